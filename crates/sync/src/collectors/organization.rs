//! The organization: the tenant's own name and domains, and the proof that consent holds.

use futures_util::future::BoxFuture;
use model::{run::Counts, tenant};

use crate::collector::{Entry, Pass, Stop};

pub(crate) const NAME: &str = "organization";

pub(crate) const ENTRY: Entry = Entry::new(NAME, "Organization.Read.All", run);

fn run<'a>(pass: &'a Pass<'a>) -> BoxFuture<'a, Result<(), Stop>> {
    Box::pin(async move {
        let described = consent::organization_of(pass.client).await?;
        let (scope, tenant) = (pass.lease().scope(), &pass.lease().tenant);
        if described.id != tenant.directory_id.0 {
            return Err(Stop::Graph(graph::Error::Malformed(
                "the organization is another than the tenant's".into(),
            )));
        }
        tenant::refresh(scope, tenant.id, &described.facts).await?;
        let counts = Counts {
            pages: 1,
            read: 1,
            requests: 1,
            ..Counts::default()
        };
        pass.stage.count(NAME, counts);
        Ok(())
    })
}
