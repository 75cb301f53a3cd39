//! The audit log: who did what, when and from where; filtered, exported, verified.

use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use model::{
    AuditRow, Timestamp, Window,
    audit::{self, Filter, checkpoint},
};
use serde::Deserialize;

use crate::{
    Portal,
    guard::Signed,
    view::{Answer, PAGE_SIZE, Page, Pager, filters, html, query},
};

/// Rows that are read at a time for an export.
const BATCH: u64 = 2000;

#[derive(Debug, Deserialize)]
pub(crate) struct ListQuery {
    #[serde(default)]
    action: String,
    #[serde(default)]
    actor: String,
    #[serde(default)]
    target: String,
    #[serde(default)]
    from: String,
    #[serde(default)]
    to: String,
    #[serde(default)]
    page: u64,
}

/// The first moment of a day `yyyy-mm-dd`, UTC.
fn day(text: &str) -> Option<Timestamp> {
    let day = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    Some(day.and_hms_opt(0, 0, 0)?.and_utc().into())
}

impl ListQuery {
    fn filter(&self) -> Filter {
        Filter {
            action: self.action.clone(),
            actor: self.actor.trim().to_owned(),
            target: self.target.trim().to_owned(),
            from: day(&self.from),
            to: day(&self.to).map(|at| at.plus_minutes(24 * 60)),
        }
    }

    fn pairs(&self) -> [(&'static str, &str); 5] {
        [
            ("action", &self.action),
            ("actor", &self.actor),
            ("target", &self.target),
            ("from", &self.from),
            ("to", &self.to),
        ]
    }

    fn link(&self, path: &str, page: u64) -> String {
        let page = match page {
            0 | 1 => String::new(),
            other => other.to_string(),
        };
        let mut pairs = self.pairs().to_vec();
        pairs.push(("page", &page));
        format!("/settings/{path}{}", query(&pairs))
    }
}

#[derive(Template)]
#[template(path = "audit/index.html")]
struct Index {
    page: Page,
    rows: Vec<AuditRow>,
    actions: Vec<String>,
    list: ListQuery,
    pager: Pager,
}

impl Index {
    /// What a row holds besides, as text of one line.
    fn detail(row: &AuditRow) -> String {
        match row.detail.as_str() {
            "{}" => String::new(),
            other => other.to_owned(),
        }
    }
}

pub(crate) async fn index(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    list: web::Query<ListQuery>,
) -> Answer {
    let list = list.into_inner();
    let scope = &principal.scope;
    let window = Window::page(list.page, PAGE_SIZE);
    let found = audit::list(scope, &list.filter(), window).await?;
    let pager = Pager::new(list.page, found.rows.len(), found.total, |page| {
        list.link("audit", page)
    });
    html(&Index {
        page: Page::new(&request, &portal, &principal, "Audit log", "audit").await?,
        rows: found.rows,
        actions: audit::actions(scope).await?,
        pager,
        list,
    })
}

/// All rows that are filtered, newest first, batch by batch.
async fn all(
    principal: &Signed,
    filter: &Filter,
) -> Result<Vec<AuditRow>, crate::problem::PageProblem> {
    let mut rows = Vec::new();
    loop {
        let window = Window {
            offset: rows.len() as u64,
            limit: BATCH,
        };
        let found = audit::list(&principal.scope, filter, window).await?.rows;
        let is_last = (found.len() as u64) < BATCH;
        rows.extend(found);
        if is_last {
            return Ok(rows);
        }
    }
}

fn download(name: &str, kind: &'static str, body: impl Into<web::Bytes>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(kind)
        .insert_header((
            "content-disposition",
            format!("attachment; filename=\"{name}\""),
        ))
        .body(body.into())
}

pub(crate) async fn csv(principal: Signed, list: web::Query<ListQuery>) -> Answer {
    let rows = all(&principal, &list.filter()).await?;
    let body =
        report::csv::audit(&rows).map_err(|e| crate::problem::PageProblem::Inner(e.to_string()))?;
    Ok(download("audit-log.csv", "text/csv; charset=utf-8", body))
}

/// The whole log as verifiers read it: `docs/audit.md`.
pub(crate) async fn ndjson(principal: Signed) -> Answer {
    let mut rows = all(&principal, &Filter::default()).await?;
    rows.reverse();
    let mut body = String::new();
    for row in &rows {
        body.push_str(&audit::canonical(row));
        body.push('\n');
    }
    Ok(download("audit-log.ndjson", "application/x-ndjson", body))
}

/// Checkpoints of the log and the keys that signed them.
pub(crate) async fn checkpoints(portal: web::Data<Portal>, principal: Signed) -> Answer {
    principal.scope.require_everywhere(model::Role::Auditor)?;
    let found = checkpoint::list(&portal.db, principal.scope.partner()).await?;
    let mut body = String::new();
    for (id, public_key) in checkpoint::public_keys(&portal.db).await? {
        body.push_str(&serde_json::json!({ "key": id, "public_key": public_key }).to_string());
        body.push('\n');
    }
    for checkpoint in found {
        body.push_str(&serde_json::json!(checkpoint).to_string());
        body.push('\n');
    }
    Ok(download(
        "audit-checkpoints.ndjson",
        "application/x-ndjson",
        body,
    ))
}
