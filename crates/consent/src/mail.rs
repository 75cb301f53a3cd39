//! Mail through Microsoft 365: Graph's `sendMail` in application mode, from one mailbox.

use graph::Error as GraphError;
use model::{Feature, Scope, credential::Credential};
use serde_json::json;

use crate::{Connection, Error};

/// The command that restricts the application to its mailbox, for Exchange Online PowerShell.
pub fn access_policy(credential: &Credential) -> String {
    format!(
        "New-ApplicationAccessPolicy -AppId {} -PolicyScopeGroupId {} -AccessRight RestrictAccess -Description \"Tenantry sends from this mailbox alone\"",
        credential.client_id, credential.mail_from
    )
}

/// Sends a mail in plain text from the credential's mailbox to its recipient.
///
/// # Errors
/// Inside: Microsoft's refusal. Outside: ours.
pub async fn send(
    connection: &Connection,
    scope: &Scope,
    credential: &Credential,
    subject: &str,
    text: &str,
) -> Result<Result<(), GraphError>, Error> {
    if !credential.uses(Feature::Mail) || credential.mail_from.is_empty() {
        return Err(model::Error::Conflict(
            "Switch on Microsoft 365 mail and enter sender and recipient first.".into(),
        )
        .into());
    }
    let client = connection
        .client(scope, credential, credential.directory_id, "normal")
        .await?;
    let Some(client) = client else {
        return Ok(Err(GraphError::Revoked));
    };
    let mail = json!({
        "message": {
            "subject": subject,
            "body": { "contentType": "Text", "content": text },
            "toRecipients": [{ "emailAddress": { "address": credential.mail_to } }],
        },
        "saveToSentItems": true,
    });
    // Checked when it was saved: an address has nothing that a path would read otherwise.
    let path = format!("/users/{}/sendMail", graph::segment(&credential.mail_from));
    Ok(client.post(&path, &mail).await)
}
