//! Licences that the directory subscribes to.

use graph::{Request, types};
use model::inventory::SkuRow;

use crate::Collector;

pub(crate) struct SubscribedSkus;

impl Collector for SubscribedSkus {
    const NAME: &'static str = "subscribed_skus";
    const PERMISSION: &'static str = "Organization.Read.All";
    type Wire = types::SubscribedSku;
    type Row = SkuRow;

    fn request() -> Request {
        // This collection takes no options.
        Request::get("/subscribedSkus")
    }

    fn normalise(wire: types::SubscribedSku) -> Option<SkuRow> {
        let units = wire.prepaid_units.unwrap_or_default();
        let plans: Vec<String> = wire
            .service_plans
            .iter()
            .filter(|p| p.provisioning_status.as_deref() != Some("Disabled"))
            .map(|p| p.service_plan_name.clone())
            .collect();
        Some(SkuRow {
            id: wire.id,
            sku_id: wire.sku_id,
            sku_part_number: wire.sku_part_number,
            capability_status: wire.capability_status,
            applies_to: wire.applies_to,
            enabled_units: units.enabled,
            suspended_units: units.suspended,
            warning_units: units.warning,
            consumed_units: wire.consumed_units,
            service_plans: super::json_list(&plans),
        })
    }
}
