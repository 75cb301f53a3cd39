//! Syncs that the plan will begin.

use actix_web::HttpRequest;
use model::{CompanyId, RunKind, run};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Answer, List, Paging, query, runs::word};
use crate::{guard::Signed, problem::Problem};

/// A sync that the plan will begin; it has no id until then.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ScheduledRun)]
pub(crate) struct View {
    company_id: Uuid,
    mapping_id: Uuid,
    #[schema(example = "directory")]
    kind: &'static str,
    /// When it begins, RFC 3339. Sign-in activity waits for its turn from then on: Microsoft allows an
    /// application ten reads a minute over all its tenants.
    #[schema(format = DateTime)]
    starts_at: String,
}

#[derive(Debug, Default, Deserialize)]
struct Filter {
    company_id: Option<CompanyId>,
    #[serde(default)]
    kind: String,
}

/// Syncs that the plan will begin, soonest first
#[utoipa::path(get, path = "/api/v1/scheduled-runs", params(Paging,
    ("company_id" = Option<Uuid>, Query, description = "Of one company"),
    ("kind" = Option<String>, Query, pattern = "^(|directory|secure_score|sign_in_activity)$", description = "Of one kind")), responses(
    (status = 200, body = List<View>), (status = 400, body = Problem), (status = 401, body = Problem)))]
pub(crate) async fn list(request: HttpRequest, principal: Signed) -> Answer {
    let paging: Paging = query(&request)?;
    let filter: Filter = query(&request)?;
    let kind = word::<RunKind>("kind", &filter.kind)?;
    let window = paging.window()?;
    let found = run::upcoming(&principal.scope, filter.company_id, kind, window).await?;
    paging.page(found, |one| View {
        company_id: one.company.0,
        mapping_id: one.mapping.0,
        kind: one.kind.as_str(),
        starts_at: one.at.rfc3339(),
    })
}
