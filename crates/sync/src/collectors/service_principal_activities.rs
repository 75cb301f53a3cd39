//! When applications signed in last. The report has no id of its own to keep: it is joined by the
//! application (client) id.

use graph::{Cloud, Request, types};
use model::{Feature, inventory::ServicePrincipalActivityRow};

use crate::Collector;

pub(crate) struct ServicePrincipalActivities;

impl Collector for ServicePrincipalActivities {
    const NAME: &'static str = "service_principal_activities";
    const PERMISSION: &'static str = "AuditLog.Read.All";
    const FEATURE: Option<Feature> = Some(Feature::Activity);
    const IS_GUARDED: bool = false;
    type Wire = types::ServicePrincipalActivity;
    type Row = ServicePrincipalActivityRow;

    fn request() -> Request {
        Request::get("/reports/servicePrincipalSignInActivities").beta()
    }

    fn absent_from(cloud: &Cloud) -> Option<&'static str> {
        (!cloud.has_application_activity)
            .then_some("This cloud does not report when applications signed in.")
    }

    fn normalise(wire: types::ServicePrincipalActivity) -> Option<ServicePrincipalActivityRow> {
        let at = |activity: Option<types::ApplicationActivity>| {
            Some(activity?.last_sign_in_date_time?.into())
        };
        Some(ServicePrincipalActivityRow {
            id: wire.app_id,
            last_sign_in_at: at(wire.last_sign_in_activity),
            last_delegated_sign_in_at: at(wire.delegated_client_sign_in_activity),
            last_application_sign_in_at: at(wire.application_authentication_client_sign_in_activity),
        })
    }
}
