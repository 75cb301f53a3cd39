//! What happened: detected risks, directory audits, sign-ins at risk. Events are never removed; each
//! pass reads those since the newest that is stored, and an hour before it, because they arrive late.

use futures_util::future::BoxFuture;
use graph::{Cloud, Request, types};
use model::{
    Feature, Timestamp,
    inventory::{DirectoryAuditRow, Object, RiskDetectionRow, SignInRow},
};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::collector::{Entry, Pass, Stop};

/// Days of the first pass: what Microsoft keeps without a licence (source: Entra's data retention).
const FIRST_MINUTES: i64 = 7 * 24 * 60;
/// What is read twice.
const OVERLAP_MINUTES: i64 = 60;

/// One kind of events.
trait Event: 'static {
    const NAME: &'static str;
    type Wire: DeserializeOwned + Send;
    type Row: Object;
    /// Those since a moment, in Graph's words.
    fn request(since: &str) -> Request;
    fn at(row: &Self::Row) -> Option<Timestamp>;
    fn normalise(wire: Self::Wire) -> Self::Row;
}

const fn entry<E: Event>(permission: &'static str, feature: Feature) -> Entry {
    Entry {
        feature: Some(feature),
        ..Entry::new(E::NAME, permission, run::<E>)
    }
}

pub(crate) const RISK_DETECTIONS: Entry = Entry {
    absent_from: no_identity_protection,
    ..entry::<RiskDetections>("IdentityRiskEvent.Read.All", Feature::Risk)
};
pub(crate) const DIRECTORY_AUDITS: Entry =
    entry::<DirectoryAudits>("AuditLog.Read.All", Feature::Activity);
pub(crate) const SIGN_INS: Entry = entry::<SignIns>("AuditLog.Read.All", Feature::Activity);

fn no_identity_protection(cloud: &Cloud) -> Option<&'static str> {
    (!cloud.has_identity_protection).then_some("This cloud has no identity protection.")
}

fn run<'a, E: Event>(pass: &'a Pass<'a>) -> BoxFuture<'a, Result<(), Stop>> {
    Box::pin(collect::<E>(pass))
}

async fn collect<E: Event>(pass: &Pass<'_>) -> Result<(), Stop> {
    let began = pass.now();
    let known: Option<i64> = pass.watermark(E::NAME).and_then(|c| c.parse().ok());
    let since = known.map_or(began.plus_minutes(-FIRST_MINUTES), |at| {
        Timestamp(at).plus_minutes(-OVERLAP_MINUTES)
    });
    let mut newest = known.map(Timestamp);
    let mut pages = pass.client.pages::<E::Wire>(&E::request(&since.rfc3339()));
    while let Some(page) = pages.next(&pass.meter).await? {
        let rows: Vec<E::Row> = page.items.into_iter().map(E::normalise).collect();
        newest = rows.iter().map(E::at).fold(newest, Option::max);
        pass.stage.page(E::NAME, rows, pass.page_counts(1)).await?;
    }
    // With no event at all the next pass begins where this one did.
    let cursor = newest.unwrap_or(since.plus_minutes(OVERLAP_MINUTES));
    pass.stage
        .read_to(E::NAME, Some(cursor.0.to_string()), began, known.is_none());
    Ok(())
}

struct RiskDetections;

impl Event for RiskDetections {
    const NAME: &'static str = "risk_detections";
    type Wire = types::RiskDetection;
    type Row = RiskDetectionRow;

    fn request(since: &str) -> Request {
        Request::get("/identityProtection/riskDetections")
            .filter(&format!("detectedDateTime ge {since}"))
            .top(500)
    }

    fn at(row: &RiskDetectionRow) -> Option<Timestamp> {
        row.detected_at
    }

    fn normalise(wire: types::RiskDetection) -> RiskDetectionRow {
        let location = wire.location.unwrap_or_default();
        RiskDetectionRow {
            id: wire.id,
            user_id: wire.user_id,
            display_name: wire.user_display_name,
            user_principal_name: wire.user_principal_name,
            risk_event_type: wire.risk_event_type,
            risk_level: wire.risk_level,
            risk_state: wire.risk_state,
            risk_detail: wire.risk_detail,
            source: wire.source,
            activity: wire.activity,
            ip_address: wire.ip_address,
            city: location.city.filter(|c| !c.is_empty()),
            country: location.country_or_region.filter(|c| !c.is_empty()),
            detected_at: wire.detected_date_time.map(Into::into),
        }
    }
}

struct DirectoryAudits;

impl Event for DirectoryAudits {
    const NAME: &'static str = "directory_audits";
    type Wire = types::DirectoryAudit;
    type Row = DirectoryAuditRow;

    fn request(since: &str) -> Request {
        // What evidence asks for: who was given which role, which policy and which application
        // changed. All else would be a hundred times as much.
        Request::get("/auditLogs/directoryAudits")
            .filter(&format!(
                "activityDateTime ge {since} and (category eq 'RoleManagement' or \
                 category eq 'Policy' or category eq 'ApplicationManagement')"
            ))
            .top(1000)
    }

    fn at(row: &DirectoryAuditRow) -> Option<Timestamp> {
        row.activity_at
    }

    fn normalise(wire: types::DirectoryAudit) -> DirectoryAuditRow {
        let initiator = wire.initiated_by.unwrap_or_default();
        let who = initiator.user.or(initiator.app);
        let targets: Vec<serde_json::Value> = wire
            .target_resources
            .into_iter()
            .map(|t| {
                json!({ "type": t.kind, "id": t.id,
                    "name": t.display_name.or(t.user_principal_name) })
            })
            .collect();
        DirectoryAuditRow {
            id: wire.id,
            activity: wire.activity_display_name,
            category: wire.category,
            result: wire.result,
            result_reason: wire.result_reason.filter(|r| !r.is_empty()),
            service: wire.logged_by_service,
            operation_type: wire.operation_type,
            initiated_by: who.and_then(|w| w.user_principal_name.or(w.display_name)),
            targets: serde_json::Value::Array(targets).to_string(),
            activity_at: wire.activity_date_time.map(Into::into),
        }
    }
}

struct SignIns;

impl Event for SignIns {
    const NAME: &'static str = "sign_ins";
    type Wire = types::SignIn;
    type Row = SignInRow;

    fn request(since: &str) -> Request {
        Request::get("/auditLogs/signIns")
            .filter(&format!(
                "createdDateTime ge {since} and (riskState eq 'atRisk' or \
                 riskState eq 'confirmedCompromised')"
            ))
            .top(1000)
    }

    fn at(row: &SignInRow) -> Option<Timestamp> {
        row.signed_in_at
    }

    fn normalise(wire: types::SignIn) -> SignInRow {
        let location = wire.location.unwrap_or_default();
        let status = wire.status.unwrap_or_default();
        SignInRow {
            id: wire.id,
            user_id: wire.user_id,
            display_name: wire.user_display_name,
            user_principal_name: wire.user_principal_name,
            app_display_name: wire.app_display_name,
            client_app: wire.client_app_used,
            ip_address: wire.ip_address,
            city: location.city.filter(|c| !c.is_empty()),
            country: location.country_or_region.filter(|c| !c.is_empty()),
            risk_level: wire.risk_level_during_sign_in,
            risk_state: wire.risk_state,
            conditional_access_status: wire.conditional_access_status,
            error_code: status.error_code,
            failure_reason: status.failure_reason,
            signed_in_at: wire.created_date_time.map(Into::into),
        }
    }
}
