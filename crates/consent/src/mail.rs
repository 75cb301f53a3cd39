//! Mail through Microsoft 365: Graph's `sendMail` in application mode, from one mailbox.

use graph::Error as GraphError;
use model::{Feature, Scope, credential::Credential};
use serde_json::{Value, json};

use crate::{Connection, Error};

/// The command that restricts the application to its mailbox, for Exchange Online PowerShell.
pub fn access_policy(credential: &Credential) -> String {
    format!(
        "New-ApplicationAccessPolicy -AppId {} -PolicyScopeGroupId {} -AccessRight RestrictAccess -Description \"Tenantry sends from this mailbox alone\"",
        credential.client_id, credential.mail_from
    )
}

/// A mail.
#[derive(Debug, Clone, Default)]
pub struct Mail {
    /// Addresses.
    pub to: Vec<String>,
    /// Where answers go, if not to the sender.
    pub reply_to: Option<String>,
    /// Subject.
    pub subject: String,
    /// Plain text.
    pub text: String,
    /// An id that stays the same when it is sent again, without brackets.
    pub id: Option<String>,
    /// Files: name, media type, content. Together under 3 MB: larger ones need an upload session
    /// (source: Microsoft's "Attach large files").
    pub attachments: Vec<(String, String, Vec<u8>)>,
}

impl Mail {
    /// As `sendMail` takes it.
    fn body(&self) -> Value {
        let address = |address: &String| json!({ "emailAddress": { "address": address } });
        let mut message = json!({
            "subject": self.subject,
            "body": { "contentType": "Text", "content": self.text },
            "toRecipients": self.to.iter().map(address).collect::<Vec<_>>(),
        });
        if let Some(reply_to) = &self.reply_to {
            message["replyTo"] = json!([address(reply_to)]);
        }
        if let Some(id) = &self.id {
            message["internetMessageId"] = json!(format!("<{id}>"));
        }
        if !self.attachments.is_empty() {
            let files = self.attachments.iter().map(|(name, kind, content)| {
                json!({
                    "@odata.type": "#microsoft.graph.fileAttachment", "name": name,
                    "contentType": kind,
                    "contentBytes": data_encoding::BASE64.encode(content),
                })
            });
            message["attachments"] = files.collect();
        }
        json!({ "message": message, "saveToSentItems": true })
    }
}

/// Sends a mail from the credential's mailbox.
///
/// # Errors
/// Inside: Microsoft's refusal. Outside: ours.
pub async fn send(
    connection: &Connection,
    scope: &Scope,
    credential: &Credential,
    mail: &Mail,
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
    // Checked when it was saved: an address has nothing that a path would read otherwise.
    let path = format!("/users/{}/sendMail", graph::segment(&credential.mail_from));
    Ok(client.post(&path, &mail.body()).await)
}
