//! Whose rows one sees comes from a session or a token, never from what was sent.

fn from_json(body: &str) -> Option<model::Scope> {
    serde_json::from_str(body).ok()
}

fn from_id(partner: model::PartnerId) -> model::Scope {
    partner.into()
}

fn by_hand(db: model::Db, partner: model::PartnerId, role: model::Role) -> model::Scope {
    model::Scope { db, partner, role }
}

fn moved(mut scope: model::Scope, partner: model::PartnerId) -> model::Scope {
    scope.partner = partner;
    scope
}

fn main() {}
