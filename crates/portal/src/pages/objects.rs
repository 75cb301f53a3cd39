//! Objects of a company's directory beside users and groups: lists and details of every section.

use std::collections::HashMap;

use actix_web::{HttpRequest, web};
use askama::Template;
use model::{
    CompanyId, RunKind, Scope, Timestamp, Window,
    inventory::{self, Cell, History, Object, Record, RoleDefinitionRow, Snapshot, Table},
    run,
};
use serde::Deserialize;

use super::companies::Head;
use crate::{
    Portal, csv_file,
    guard::Signed,
    problem::PageProblem,
    section::{SECTIONS, Section, label},
    view::{Answer, PAGE_SIZE, Page, Pager, filters, html, query},
};

/// A field as a page shows it.
pub(crate) struct Shown {
    pub(crate) label: String,
    pub(crate) text: String,
    pub(crate) at: Option<Timestamp>,
    pub(crate) is_known: bool,
    pub(crate) is_code: bool,
}

/// What belongs to an object.
struct Part {
    label: &'static str,
    heads: Vec<String>,
    rows: Vec<Vec<Shown>>,
}

/// A change that a sync saw.
pub(crate) struct Seen {
    pub(crate) at: Timestamp,
    pub(crate) what: &'static str,
    pub(crate) changes: Vec<(String, String, String)>,
}

/// Why a section may not be up to date.
struct Gap {
    state: String,
    reason: String,
    remedy: String,
    job: String,
}

#[derive(Template)]
#[template(path = "objects/index.html")]
struct Index {
    page: Page,
    head: Head,
    section: &'static Section,
    siblings: Vec<&'static Section>,
    heads: Vec<(String, String)>,
    rows: Vec<(String, String, Vec<Shown>)>,
    search: String,
    pager: Pager,
    gap: Option<Gap>,
    read_at: Option<Timestamp>,
    csv: String,
}

#[derive(Template)]
#[template(path = "objects/show.html")]
struct Show {
    page: Page,
    head: Head,
    name: String,
    id: String,
    gone_at: Option<Timestamp>,
    fields: Vec<Shown>,
    parts: Vec<Part>,
    history: Vec<Seen>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ListQuery {
    #[serde(default)]
    q: String,
    #[serde(default)]
    sort: String,
    #[serde(default)]
    desc: String,
    #[serde(default)]
    page: u64,
}

fn text_of(cell: &Cell) -> (String, bool) {
    match cell {
        Cell::Boolean(true) => ("Yes".into(), false),
        Cell::Boolean(false) => ("No".into(), false),
        Cell::Number(n) => (n.to_string(), false),
        Cell::Points(n) => (n.to_string(), false),
        Cell::Time(at) => (at.rfc3339(), false),
        Cell::Text(text) if text.starts_with('[') || text.starts_with('{') => {
            match serde_json::from_str::<serde_json::Value>(text) {
                Ok(serde_json::Value::Array(items)) if items.iter().all(|i| i.is_string()) => {
                    let words = items.iter().filter_map(|i| i.as_str());
                    (words.collect::<Vec<_>>().join(", "), false)
                }
                Ok(json) => (
                    serde_json::to_string_pretty(&json).unwrap_or_default(),
                    true,
                ),
                Err(_) => (text.clone(), false),
            }
        }
        Cell::Text(text) => (text.clone(), false),
    }
}

pub(crate) fn shown(name: &str, cell: Option<&Cell>, names: &Names) -> Shown {
    let (mut text, is_code) = cell.map_or_else(Default::default, text_of);
    if let Some(named) = names.0.get(&text) {
        text.clone_from(named);
    }
    Shown {
        label: label(name),
        is_known: cell.is_some() && !text.is_empty(),
        text,
        at: match cell {
            Some(Cell::Time(at)) => Some(*at),
            _ => None,
        },
        is_code,
    }
}

/// Names of roles by their ids, so that a page shows words.
#[derive(Default)]
pub(crate) struct Names(HashMap<String, String>);

impl Names {
    /// Of the roles that these records speak of, and the application roles of their resources.
    async fn of(
        scope: &Scope,
        snapshot: &Snapshot,
        records: &[Record],
    ) -> Result<Self, PageProblem> {
        let mut names = HashMap::new();
        for record in records {
            if let Some(id) = record.text("role_definition_id")
                && !names.contains_key(id)
            {
                let table = RoleDefinitionRow::TABLE;
                let roles = inventory::of_parents(scope, table, snapshot, "id", id).await?;
                if let Some(role) = roles.first() {
                    names.insert(id.to_owned(), role.name().to_owned());
                }
            }
            if let (Some(resource), Some(role)) =
                (record.text("resource_id"), record.text("app_role_id"))
                && !names.contains_key(role)
            {
                let table = inventory::ServicePrincipalRow::TABLE;
                let resources =
                    inventory::of_parents(scope, table, snapshot, "id", resource).await?;
                let roles: HashMap<String, String> = resources
                    .first()
                    .and_then(|r| serde_json::from_str(r.text("app_roles")?).ok())
                    .unwrap_or_default();
                if let Some(value) = roles.get(role) {
                    names.insert(role.to_owned(), value.clone());
                }
            }
        }
        Ok(Self(names))
    }
}

/// What the newest run that ended says of a collector, where that is not success.
async fn gap(scope: &Scope, head: &Head, collector: &str) -> Result<Option<Gap>, PageProblem> {
    for row in &head.mappings {
        let filter = run::Filter {
            mapping: Some(row.mapping.id),
            kind: Some(RunKind::Directory),
            ..run::Filter::default()
        };
        for run in run::list(scope, &filter, Window::page(1, 5)).await?.rows {
            let collectors = run::collectors(scope, &run).await?;
            let Some(found) = collectors
                .into_iter()
                .find(|c| c.name == collector && c.finished_at.is_some())
            else {
                continue;
            };
            if found.state != model::CollectorState::Succeeded {
                return Ok(Some(Gap {
                    state: found.state.to_string(),
                    reason: found.reason.unwrap_or_default(),
                    remedy: found.remedy.unwrap_or_default(),
                    job: run.id.to_string(),
                }));
            }
            break;
        }
    }
    Ok(None)
}

pub(crate) async fn index(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    path: web::Path<(CompanyId, String)>,
    list: web::Query<ListQuery>,
) -> Answer {
    let (id, word) = path.into_inner();
    let section = Section::of(&word).ok_or(PageProblem::NotFound)?;
    let scope = &principal.scope;
    let head = Head::load(&principal, id, section.tab).await?;
    let title = format!("{} of {}", section.label, head.company.name);
    let page = head.frame(&request, &portal, &principal, title).await?;
    let snapshot = Snapshot::of_company(scope, id, section.table.kind).await?;
    let descending = !list.desc.is_empty();
    let found = inventory::list(
        scope,
        section.table,
        &snapshot,
        section.wanted(),
        &list.q,
        section.sort(&list.sort, descending),
        Window::page(list.page.max(1), PAGE_SIZE),
    )
    .await?;
    let names = Names::of(scope, &snapshot, &found.rows).await?;
    let rows: Vec<(String, String, Vec<Shown>)> = found
        .rows
        .iter()
        .map(|record| {
            let cells = section
                .columns
                .iter()
                .map(|column| shown(column, record.get(column), &names));
            let name = record
                .text("principal_name")
                .unwrap_or_else(|| record.name());
            (record.id.clone(), name.to_owned(), cells.collect())
        })
        .collect();
    let address = format!("/companies/{id}/directory/{word}");
    let link = |sort: &str, desc: &str, n: &str| {
        let pairs = [
            ("q", list.q.as_str()),
            ("sort", sort),
            ("desc", desc),
            ("page", n),
        ];
        format!("{address}{}", query(&pairs))
    };
    let heads = section.columns.iter().map(|column| {
        let again = list.sort == *column && !descending;
        (
            label(column),
            link(column, if again { "yes" } else { "" }, ""),
        )
    });
    let heads = heads.collect();
    let pager = Pager::new(list.page, rows.len(), found.total, |n| {
        link(&list.sort, &list.desc, &n.to_string())
    });
    let csv = [
        ("section", word.as_str()),
        ("q", &list.q),
        ("sort", &list.sort),
        ("desc", &list.desc),
    ];
    let csv = format!("/companies/{id}/directory.csv{}", query(&csv));
    let mut read_at = None;
    for row in &head.mappings {
        let collections = inventory::collections(scope, row.mapping.id).await?;
        read_at = collections
            .get(section.collector)
            .and_then(|c| c.read_at)
            .or(read_at);
    }
    html(&Index {
        gap: gap(scope, &head, section.collector).await?,
        siblings: SECTIONS.iter().filter(|s| s.tab == section.tab).collect(),
        page,
        head,
        section,
        heads,
        rows,
        search: list.q.clone(),
        pager,
        read_at,
        csv,
    })
}

/// Which section's file, and which of its rows.
#[derive(Debug, Deserialize)]
pub(crate) struct FileQuery {
    section: String,
    #[serde(default)]
    q: String,
    #[serde(default)]
    sort: String,
    #[serde(default)]
    desc: String,
}

/// Exactly what is filtered, with every column, as a file.
pub(crate) async fn csv(
    principal: Signed,
    id: web::Path<CompanyId>,
    query: web::Query<FileQuery>,
) -> Answer {
    let list = query.into_inner();
    let section = Section::of(&list.section).ok_or(PageProblem::NotFound)?;
    let company = model::company::get(&principal.scope, *id)
        .await?
        .ok_or(PageProblem::NotFound)?;
    // One snapshot for the whole file.
    let snapshot = Snapshot::of_company(&principal.scope, *id, section.table.kind).await?;
    let sort = section.sort(&list.sort, !list.desc.is_empty());
    let read = move |window| {
        let (principal, snapshot, search) = (principal.clone(), snapshot.clone(), list.q.clone());
        async move {
            let (scope, wanted) = (&principal.scope, section.wanted());
            inventory::list(
                scope,
                section.table,
                &snapshot,
                wanted,
                &search,
                sort,
                window,
            )
            .await
        }
    };
    let write = |rows: &[Record], is_first| report::csv::records(section.table, rows, is_first);
    let name = csv_file::named(section.word, &company.name);
    Ok(csv_file::paged(&name, write, read))
}

pub(crate) async fn show(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    path: web::Path<(CompanyId, String, String)>,
) -> Answer {
    let (id, word, object) = path.into_inner();
    let section = Section::of(&word).ok_or(PageProblem::NotFound)?;
    let scope = &principal.scope;
    let head = Head::load(&principal, id, section.tab).await?;
    let snapshot = Snapshot::of_company(scope, id, section.table.kind).await?;
    let record = inventory::record(scope, id, section.table, &snapshot, &object)
        .await?
        .ok_or(PageProblem::NotFound)?;
    let own = snapshot.only(record.mapping);
    let mut parts = Vec::new();
    for (label, table) in section.parts {
        parts.push(part(scope, &own, label, table, &record.id).await?);
    }
    parts.extend(extra(scope, &own, section, &record).await?);
    let names = Names::of(scope, &own, std::slice::from_ref(&record)).await?;
    let name = record
        .text("principal_name")
        .unwrap_or_else(|| record.name())
        .to_owned();
    let title = format!("{name}, {}", head.company.name);
    let page = head
        .frame(&request, &portal, &principal, title)
        .await?
        .under(section.label, format!("/companies/{id}/directory/{word}"));
    html(&Show {
        page,
        head,
        name,
        id: record.id.clone(),
        gone_at: record.ended_at,
        fields: record
            .fields
            .iter()
            .filter(|(name, _)| *name != "app_roles")
            .map(|(name, cell)| shown(name, cell.as_ref(), &names))
            .collect(),
        parts,
        history: history(scope, id, section.table, &snapshot, &object).await?,
    })
}

async fn part(
    scope: &Scope,
    snapshot: &Snapshot,
    label_of: &'static str,
    table: &'static Table,
    parent: &str,
) -> Result<Part, PageProblem> {
    let records = inventory::children(scope, table, snapshot, parent).await?;
    as_part(scope, snapshot, label_of, table, &records).await
}

async fn as_part(
    scope: &Scope,
    snapshot: &Snapshot,
    label_of: &'static str,
    table: &'static Table,
    records: &[Record],
) -> Result<Part, PageProblem> {
    let names = Names::of(scope, snapshot, records).await?;
    Ok(Part {
        label: label_of,
        heads: table.columns.iter().map(|(name, _)| label(name)).collect(),
        rows: records
            .iter()
            .map(|record| {
                let cells = record.fields.iter();
                cells
                    .map(|(name, cell)| shown(name, cell.as_ref(), &names))
                    .collect()
            })
            .collect(),
    })
}

/// What belongs to an object in other tables than those below it: directory roles and last use of a
/// service principal.
async fn extra(
    scope: &Scope,
    snapshot: &Snapshot,
    section: &Section,
    record: &Record,
) -> Result<Vec<Part>, PageProblem> {
    if section.collector != "service_principals" {
        return Ok(vec![]);
    }
    let table = inventory::RoleAssignmentRow::TABLE;
    let roles = inventory::of_parents(scope, table, snapshot, "principal_id", &record.id).await?;
    let mut parts = vec![as_part(scope, snapshot, "Directory roles", table, &roles).await?];
    let table = inventory::ServicePrincipalActivityRow::TABLE;
    let app_id = record.text("app_id").unwrap_or_default();
    let activity = inventory::of_parents(scope, table, snapshot, "id", app_id).await?;
    parts.push(as_part(scope, snapshot, "Last activity", table, &activity).await?);
    Ok(parts)
}

/// What syncs saw happen to an object, for its page.
pub(crate) async fn history(
    scope: &Scope,
    company: CompanyId,
    table: &'static Table,
    snapshot: &Snapshot,
    object: &str,
) -> Result<Vec<Seen>, PageProblem> {
    let words = |cell: Option<Cell>| cell.map_or_else(|| "–".into(), |cell| text_of(&cell).0);
    let history = inventory::history(scope, company, table, snapshot, object).await?;
    Ok(history
        .into_iter()
        .map(|event| match event {
            History::Appeared(at) => Seen {
                at,
                what: "Seen first",
                changes: vec![],
            },
            History::Left(at) => Seen {
                at,
                what: "Gone",
                changes: vec![],
            },
            History::Changed(at, changes) => Seen {
                at,
                what: "Changed",
                changes: changes
                    .into_iter()
                    .map(|(name, before, after)| (label(name), words(before), words(after)))
                    .collect(),
            },
        })
        .collect())
}
