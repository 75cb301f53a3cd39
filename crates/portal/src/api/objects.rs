//! Objects of a directory beside users and groups.

use actix_web::{HttpRequest, HttpResponse, web};
use model::{
    CompanyId, Scope, company,
    inventory::{self, Cell, History, Record, Snapshot, Table},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::{Answer, ApiProblem, List, Paging, Problem, query};
use crate::{guard::Signed, ndjson, section::Section};

/// An object of a section. A field that is null is unknown, or Microsoft gave no value.
#[derive(Serialize, ToSchema)]
#[schema(as = DirectoryObject)]
pub(crate) struct View {
    /// Microsoft's object id.
    id: String,
    /// Its fields; lists and structures are JSON.
    #[schema(value_type = Object)]
    fields: Map<String, Value>,
    first_seen_at: String,
    changed_at: String,
    /// When a sync saw that it was gone.
    gone_at: Option<String>,
    /// What syncs saw happen to it, newest first; of one object alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Object>>)]
    history: Option<Vec<Value>>,
}

fn value(cell: Option<&Cell>) -> Value {
    match cell {
        None => Value::Null,
        Some(Cell::Boolean(yes)) => json!(yes),
        Some(Cell::Number(n)) => json!(n),
        Some(Cell::Points(n)) => json!(n),
        Some(Cell::Time(at)) => json!(at.rfc3339()),
        Some(Cell::Text(text)) if text.starts_with(['[', '{']) => {
            serde_json::from_str(text).unwrap_or_else(|_| json!(text))
        }
        Some(Cell::Text(text)) => json!(text),
    }
}

impl From<Record> for View {
    fn from(record: Record) -> Self {
        Self {
            fields: record
                .fields
                .iter()
                .map(|(name, cell)| ((*name).to_owned(), value(cell.as_ref())))
                .collect(),
            first_seen_at: record.first_seen_at.rfc3339(),
            changed_at: record.changed_at.rfc3339(),
            gone_at: record.ended_at.map(model::Timestamp::rfc3339),
            history: None,
            id: record.id,
        }
    }
}

#[derive(Debug, Deserialize)]
struct Search {
    #[serde(default)]
    search: String,
    #[serde(default)]
    sort: String,
}

/// Objects of a section of a company's directory
///
/// Sections: app-registrations, service-principals, managed-identities, devices, managed-devices,
/// role-assignments, role-eligibilities, directory-roles, role-definitions,
/// conditional-access-policies, risky-users, risk-detections, sign-ins, directory-audits, licences,
/// domains.
///
/// All pages are of one snapshot. With `Accept: application/x-ndjson` all objects are answered, one a line.
#[utoipa::path(get, path = "/api/v1/companies/{id}/directory/{section}",
    params(("id" = Uuid, Path), ("section" = String, Path), Paging,
        ("search" = Option<String>, Query, description = "Part of a name or of the id"),
        ("sort" = Option<String>, Query, description = "A field; with a minus before it, largest first")),
    responses((status = 200, content((List<View> = "application/json"), (String = "application/x-ndjson"))),
        (status = 400, body = Problem), (status = 401, body = Problem), (status = 404, body = Problem),
        (status = 409, body = Problem)))]
pub(crate) async fn list(
    request: HttpRequest,
    principal: Signed,
    path: web::Path<(CompanyId, String)>,
) -> Answer {
    let paging: Paging = query(&request)?;
    let search: Search = query(&request)?;
    let (id, word) = path.into_inner();
    let scope = &principal.scope;
    company::get(scope, id).await?.ok_or(ApiProblem::NotFound)?;
    let section = Section::of(&word).ok_or(ApiProblem::NotFound)?;
    let mut snapshot = Snapshot::of_company(scope, id, section.table.kind).await?;
    paging.pin(|pins| snapshot.pin(pins))?;
    let column = search.sort.trim_start_matches('-');
    let sort = section.sort(column, search.sort.starts_with('-'));
    let (table, only) = (section.table, section.wanted());
    if ndjson::is_wanted(&request) {
        let read = move |window| {
            let (principal, snapshot) = (principal.clone(), snapshot.clone());
            let search = search.search.clone();
            async move {
                let scope = &principal.scope;
                inventory::list(scope, table, &snapshot, only, &search, sort, window).await
            }
        };
        return Ok(ndjson::rows(read, View::from));
    }
    let window = paging.window()?;
    let found =
        inventory::list(scope, table, &snapshot, only, &search.search, sort, window).await?;
    paging.pinned(found, &snapshot.generations(), View::from)
}

/// One object with its history, also one that is gone
#[utoipa::path(get, path = "/api/v1/companies/{id}/directory/{section}/{object_id}",
    params(("id" = Uuid, Path), ("section" = String, Path), ("object_id" = String, Path)),
    responses((status = 200, body = View), (status = 401, body = Problem),
        (status = 404, body = Problem)))]
pub(crate) async fn get(principal: Signed, path: web::Path<(CompanyId, String, String)>) -> Answer {
    let (id, word, object) = path.into_inner();
    let scope = &principal.scope;
    let section = Section::of(&word).ok_or(ApiProblem::NotFound)?;
    let snapshot = Snapshot::of_company(scope, id, section.table.kind).await?;
    let record = inventory::record(scope, id, section.table, &snapshot, &object)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    let history = history(scope, id, section.table, &snapshot, &object).await?;
    Ok(HttpResponse::Ok().json(View {
        history: Some(history),
        ..record.into()
    }))
}

/// What syncs saw happen to an object, newest first.
pub(super) async fn history(
    scope: &Scope,
    company: CompanyId,
    table: &'static Table,
    snapshot: &Snapshot,
    object: &str,
) -> model::Result<Vec<Value>> {
    let history = inventory::history(scope, company, table, snapshot, object).await?;
    let events = history.into_iter().map(|event| match event {
        History::Appeared(at) => json!({ "at": at.rfc3339(), "what": "appeared" }),
        History::Left(at) => json!({ "at": at.rfc3339(), "what": "left" }),
        History::Changed(at, changes) => {
            let changes: Vec<Value> = changes
                .iter()
                .map(|(field, before, after)| {
                    json!({ "field": field, "before": value(before.as_ref()),
                        "after": value(after.as_ref()) })
                })
                .collect();
            json!({ "at": at.rfc3339(), "what": "changed", "changes": changes })
        }
    });
    Ok(events.collect())
}
