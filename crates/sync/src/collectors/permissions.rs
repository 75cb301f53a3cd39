//! The application permissions that the tenant granted: drift from what is required shows there.

use model::{CredentialKind, run::Counts, tenant};

use crate::collector::{Pass, Stop};

pub(crate) const NAME: &str = "permissions";
pub(crate) const PERMISSION: &str = "Application.Read.All";

pub(crate) async fn collect(pass: &Pass<'_>) -> Result<(), Stop> {
    let credential = &pass.lease.credential;
    if credential.kind == CredentialKind::Delegated {
        return Err(Stop::NotHere(
            "A delegated connection reads what the person who authorised it may read.",
        ));
    }
    let granted = consent::permission::granted(pass.client, credential.client_id).await?;
    tenant::note_permissions(pass.lease.scope(), pass.lease.tenant.id, &granted).await?;
    let counts = Counts {
        pages: 1,
        read: i64::try_from(granted.len()).unwrap_or_default(),
        requests: 2,
        ..Counts::default()
    };
    pass.lease.count(NAME, counts).await?;
    Ok(())
}
