//! The audit log: who did what, when and from where; filtered, exported, verified.

use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use model::{
    AuditRow, Window,
    audit::{self, Filter, checkpoint},
};
use serde::Deserialize;

use crate::{
    Portal,
    guard::Signed,
    view::{Answer, PAGE_SIZE, Page, Pager, day, filters, html, query},
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
        let Ok(serde_json::Value::Object(parts)) = serde_json::from_str(&row.detail) else {
            return row.detail.clone();
        };
        let words: Vec<String> = parts
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| match value {
                serde_json::Value::String(text) => format!("{name}: {text}"),
                other => format!("{name}: {other}"),
            })
            .collect();
        words.join(", ")
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

/// A file of all rows that are filtered, newest first, sent batch by batch: the log may be long.
fn streamed(
    principal: Signed,
    filter: Filter,
    name: &str,
    kind: &'static str,
    write: fn(&[AuditRow], bool) -> std::io::Result<Vec<u8>>,
) -> HttpResponse {
    // Rows that come while it is sent are newer than the first one and do not move the others.
    let parts = futures_util::stream::unfold(Some(None), move |before: Option<Option<i64>>| {
        let (principal, filter) = (principal.clone(), filter.clone());
        async move {
            let before = before?;
            let found = audit::older(&principal.scope, &filter, before, BATCH).await;
            let sent = found.map_err(std::io::Error::other).and_then(|rows| {
                let next = match (rows.len() as u64) < BATCH {
                    true => None,
                    false => rows.last().map(|row| Some(row.seq)),
                };
                Ok((bytes::Bytes::from(write(&rows, before.is_none())?), next))
            });
            Some(match sent {
                Ok((bytes, next)) => (Ok(bytes), next),
                // The connection breaks: a file that ends early must not look whole.
                Err(error) => (Err(error), None),
            })
        }
    });
    HttpResponse::Ok()
        .content_type(kind)
        .insert_header(disposition(name))
        .streaming(parts)
}

fn disposition(name: &str) -> (&'static str, String) {
    (
        "content-disposition",
        format!("attachment; filename=\"{name}\""),
    )
}

pub(crate) async fn csv(principal: Signed, list: web::Query<ListQuery>) -> Answer {
    let kind = "text/csv; charset=utf-8";
    let write = |rows: &[AuditRow], is_first| {
        report::csv::AUDIT
            .write(rows, is_first)
            .map_err(std::io::Error::other)
    };
    Ok(streamed(
        principal,
        list.filter(),
        "audit-log.csv",
        kind,
        write,
    ))
}

/// The whole log as verifiers read it: `docs/audit.md`.
pub(crate) async fn ndjson(principal: Signed) -> Answer {
    let write = |rows: &[AuditRow], _| {
        let mut lines = String::new();
        for row in rows {
            lines.push_str(&audit::canonical(row));
            lines.push('\n');
        }
        Ok(lines.into_bytes())
    };
    let (kind, all) = ("application/x-ndjson", Filter::default());
    Ok(streamed(principal, all, "audit-log.ndjson", kind, write))
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
    Ok(HttpResponse::Ok()
        .content_type("application/x-ndjson")
        .insert_header(disposition("audit-checkpoints.ndjson"))
        .body(body))
}
