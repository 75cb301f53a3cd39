//! Domains of the directory.

use graph::{Request, types};
use model::inventory::DomainRow;

use crate::Collector;

pub(crate) struct Domains;

impl Collector for Domains {
    const NAME: &'static str = "domains";
    const PERMISSION: &'static str = "Domain.Read.All";
    type Wire = types::Domain;
    type Row = DomainRow;

    fn request() -> Request {
        Request::get("/domains").select(types::Domain::SELECT)
    }

    fn normalise(wire: types::Domain) -> Option<DomainRow> {
        Some(DomainRow {
            id: wire.id,
            authentication_type: wire.authentication_type,
            is_default: wire.is_default,
            is_initial: wire.is_initial,
            is_verified: wire.is_verified,
            supported_services: Some(super::json_list(&wire.supported_services)),
        })
    }
}
