//! The id of one thing is not the id of another.

fn compared(partner: tenantry_model::PartnerId, company: tenantry_model::CompanyId) -> bool {
    partner == company
}

async fn asked(scope: &tenantry_model::Scope, mapping: tenantry_model::MappingId) {
    let _ = tenantry_model::company::get(scope, mapping).await;
}

fn directory(tenant: tenantry_model::TenantId) -> tenantry_model::DirectoryId {
    tenant
}

fn main() {}
