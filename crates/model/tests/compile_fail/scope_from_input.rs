//! Whose rows one sees comes from a session or a token, never from what was sent.

fn from_json(body: &str) -> Option<tenantry_model::Scope> {
    serde_json::from_str(body).ok()
}

fn from_id(partner: tenantry_model::PartnerId) -> tenantry_model::Scope {
    partner.into()
}

fn by_hand(db: tenantry_model::Db, partner: tenantry_model::PartnerId, role: tenantry_model::Role) -> tenantry_model::Scope {
    tenantry_model::Scope { db, partner, role }
}

fn moved(mut scope: tenantry_model::Scope, partner: tenantry_model::PartnerId) -> tenantry_model::Scope {
    scope.partner = partner;
    scope
}

fn main() {}
