//! The organization: the tenant's own name and domains, and the proof that consent holds.

use model::{run::Counts, tenant};

use crate::collector::{Pass, Stop};

pub(crate) const NAME: &str = "organization";
pub(crate) const PERMISSION: &str = "Organization.Read.All";

pub(crate) async fn collect(pass: &Pass<'_>) -> Result<(), Stop> {
    let described = consent::organization_of(pass.client).await?;
    if described.id != pass.lease.tenant.directory_id.0 {
        return Err(Stop::Graph(graph::Error::Malformed(
            "the organization is another than the tenant's".into(),
        )));
    }
    tenant::refresh(pass.lease.scope(), pass.lease.tenant.id, &described.facts).await?;
    let counts = Counts {
        pages: 1,
        read: 1,
        requests: 1,
        ..Counts::default()
    };
    pass.lease.count(NAME, counts).await?;
    Ok(())
}
