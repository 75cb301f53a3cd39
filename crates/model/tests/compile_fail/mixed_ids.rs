//! The id of one thing is not the id of another.

fn compared(partner: model::PartnerId, company: model::CompanyId) -> bool {
    partner == company
}

async fn asked(scope: &model::Scope, mapping: model::MappingId) {
    let _ = model::company::get(scope, mapping).await;
}

fn directory(tenant: model::TenantId) -> model::DirectoryId {
    tenant
}

fn main() {}
