//! The application permissions that the tenant granted: drift from what is required shows there.

use futures_util::future::BoxFuture;
use model::{CredentialKind, run::Counts, tenant};

use crate::collector::{Entry, Pass, Stop};

const NAME: &str = "permissions";

pub(crate) const ENTRY: Entry = Entry::new(NAME, "Application.Read.All", run);

fn run<'a>(pass: &'a Pass<'a>) -> BoxFuture<'a, Result<(), Stop>> {
    Box::pin(async move {
        let lease = pass.lease();
        let credential = &lease.credential;
        if credential.kind == CredentialKind::Delegated {
            return Err(Stop::NotHere(
                "A delegated connection reads what the person who authorised it may read.",
            ));
        }
        let granted = consent::permission::granted(pass.client, credential.client_id).await?;
        tenant::note_permissions(lease.scope(), lease.tenant.id, &granted).await?;
        let counts = Counts {
            pages: 1,
            read: i64::try_from(granted.len()).unwrap_or_default(),
            requests: 2,
            ..Counts::default()
        };
        pass.stage.count(NAME, counts);
        Ok(())
    })
}
