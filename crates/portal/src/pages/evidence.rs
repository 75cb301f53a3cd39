//! Evidence: how far controls are covered, for all companies and for one, and the statements themselves.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use model::{
    CompanyId, Evidence, EvidenceId, EvidenceKind, Scope, Timestamp, Window,
    evidence::{self, Filter, Observation, Source},
};
use report::controls::{self, Catalogue, Control, Coverage, State};
use serde::Deserialize;

use super::{companies::Head, dashboard::all_company_names};
use crate::{
    Portal, csv_file,
    guard::Signed,
    problem::PageProblem,
    view::{Answer, Html, PAGE_SIZE, Page, Pager, badge, filters, html, query},
};

/// Days of the chart.
const DAYS: i64 = 30;

/// A control with how far it is covered now, and over time.
pub(crate) struct Row {
    pub(crate) control: &'static Control,
    pub(crate) coverage: Coverage,
    pub(crate) trend: Option<Trend>,
}

/// Percent at the end of each day, as a chart of 240 × 56.
pub(crate) struct Trend {
    pub(crate) path: String,
    pub(crate) rows: Vec<(String, Option<f64>)>,
}

impl Trend {
    fn of(control: &Control, moments: &[Timestamp], past: &[evidence::History]) -> Option<Self> {
        let rows: Vec<(String, Option<f64>)> = moments
            .iter()
            .zip(past)
            .map(|(at, then)| (at.day(), controls::past_percent(control, then)))
            .collect();
        if rows.iter().filter(|(_, percent)| percent.is_some()).count() < 2 {
            return None;
        }
        let mut path = String::new();
        let mut pen = 'M';
        #[allow(clippy::cast_precision_loss)] // at most some days
        let step = 240.0 / (rows.len().max(2) - 1) as f64;
        for (i, (_, percent)) in rows.iter().enumerate() {
            match percent {
                // Days before there was anything to cover are a gap.
                None => pen = 'M',
                Some(percent) => {
                    #[allow(clippy::cast_precision_loss)] // the same
                    let x = i as f64 * step;
                    path.push_str(&format!("{pen}{x:.1} {:.1}", 52.0 - percent / 100.0 * 48.0));
                    pen = 'L';
                }
            }
        }
        Some(Self { path, rows })
    }
}

/// The ends of the last days, the newest of which is now.
fn moments(now: Timestamp) -> Vec<Timestamp> {
    const DAY: i64 = 24 * 60;
    (0..DAYS)
        .rev()
        .map(|days| now.plus_minutes(-days * DAY))
        .collect()
}

async fn rows(
    scope: &Scope,
    catalogue: &'static Catalogue,
    company: Option<CompanyId>,
    sources: &[Source],
) -> Result<Vec<Row>, PageProblem> {
    let now = scope.now();
    let moments = moments(now);
    let past = evidence::history(scope, company, &moments).await?;
    Ok(catalogue
        .controls
        .iter()
        .map(|control| Row {
            control,
            coverage: controls::coverage(control, sources, now),
            trend: Trend::of(control, &moments, &past),
        })
        .collect())
}

pub(crate) fn state_badge(state: &State) -> Html {
    match state {
        State::Covered => badge("badge-ok", "circle-check", state.label()),
        State::Degraded => badge("badge-bad", "alert-triangle", state.label()),
        State::Incomplete => badge("badge-warn", "circle-dashed", state.label()),
        State::NoSource => badge("", "ban", state.label()),
    }
}

/// A company with where each control stands.
struct CompanyRow {
    id: CompanyId,
    name: String,
    states: Vec<State>,
    oldest: Option<Timestamp>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct ListQuery {
    #[serde(default)]
    catalogue: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    page: u64,
}

fn chosen(word: &str) -> Result<&'static Catalogue, PageProblem> {
    let found = controls::catalogue(word).or_else(|| controls::catalogues().first());
    found.ok_or_else(|| PageProblem::Inner("there is no catalogue of controls".into()))
}

#[derive(Template)]
#[template(path = "evidence/index.html")]
struct Index {
    page: Page,
    catalogue: &'static Catalogue,
    rows: Vec<Row>,
    companies: Vec<CompanyRow>,
    list: ListQuery,
    pager: Pager,
}

pub(crate) async fn index(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    list: web::Query<ListQuery>,
) -> Answer {
    let list = list.into_inner();
    let scope = &principal.scope;
    let catalogue = chosen(&list.catalogue)?;
    let sources = evidence::sources(scope, None).await?;
    let names = all_company_names(scope).await?;
    let now = scope.now();
    let mut by_company: BTreeMap<CompanyId, Vec<Source>> = BTreeMap::new();
    for source in &sources {
        by_company.entry(source.company).or_default().push(*source);
    }
    let mut companies: Vec<CompanyRow> = by_company
        .into_iter()
        .map(|(id, own)| CompanyRow {
            id,
            name: names.get(&id).cloned().unwrap_or_default(),
            states: catalogue
                .controls
                .iter()
                .map(|control| controls::coverage(control, &own, now).state)
                .collect(),
            oldest: own.iter().filter_map(|s| s.observed_at).min(),
        })
        .filter(|row| match list.state.as_str() {
            "covered" => row.states.iter().all(|s| *s == State::Covered),
            "degraded" => row.states.contains(&State::Degraded),
            "incomplete" => row.states.contains(&State::Incomplete),
            _ => true,
        })
        .collect();
    companies.sort_by_key(|one| one.name.to_lowercase());
    let total = companies.len();
    let window = Window::page(list.page, PAGE_SIZE);
    let skip = usize::try_from(window.offset).unwrap_or(usize::MAX);
    let shown: Vec<CompanyRow> = companies
        .into_iter()
        .skip(skip)
        .take(usize::try_from(PAGE_SIZE).unwrap_or(usize::MAX))
        .collect();
    let pager = Pager::new(list.page, shown.len(), total as u64, |n| {
        let page = n.to_string();
        let pairs = [
            ("catalogue", list.catalogue.as_str()),
            ("state", &list.state),
            ("page", &page),
        ];
        format!("/evidence{}", query(&pairs))
    });
    html(&Index {
        page: Page::new(&request, &portal, &principal, "Evidence", "evidence").await?,
        rows: rows(scope, catalogue, None, &sources).await?,
        catalogue,
        companies: shown,
        list,
        pager,
    })
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct CompanyQuery {
    #[serde(default)]
    catalogue: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    page: u64,
}

#[derive(Template)]
#[template(path = "evidence/company.html")]
struct Company {
    page: Page,
    head: Head,
    catalogue: &'static Catalogue,
    rows: Vec<Row>,
    sources: Vec<Source>,
    statements: Vec<Evidence>,
    list: CompanyQuery,
    pager: Pager,
}

impl Company {
    /// The file of the statements that are shown.
    fn csv_link(&self) -> String {
        let pairs = [("kind", self.list.kind.as_str())];
        format!(
            "/companies/{}/evidence.csv{}",
            self.head.company.id,
            query(&pairs)
        )
    }
}

impl Company {
    fn is_fresh(&self, source: &Source) -> bool {
        source.is_fresh(self.page.now)
    }

    fn tenant(&self, mapping: &model::MappingId) -> &str {
        let found = self.head.mappings.iter().find(|m| m.mapping.id == *mapping);
        found.map_or("", |m| m.tenant.display_name.as_str())
    }
}

/// Statements of a company, as a file.
pub(crate) async fn csv(
    principal: Signed,
    id: web::Path<CompanyId>,
    list: web::Query<CompanyQuery>,
) -> Answer {
    let company = model::company::get(&principal.scope, *id)
        .await?
        .ok_or(PageProblem::NotFound)?;
    let filter = Filter {
        company: Some(*id),
        kind: list.kind.parse().ok(),
        ..Filter::default()
    };
    let read = move |window| {
        let (principal, filter) = (principal.clone(), filter.clone());
        async move { evidence::list(&principal.scope, &filter, window).await }
    };
    Ok(csv_file::sheet(&report::csv::EVIDENCE, &company.name, read))
}

pub(crate) async fn company(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    id: web::Path<CompanyId>,
    list: web::Query<CompanyQuery>,
) -> Answer {
    let list = list.into_inner();
    let scope = &principal.scope;
    let head = Head::load(&principal, *id, "evidence").await?;
    let catalogue = chosen(&list.catalogue)?;
    let sources = evidence::sources(scope, Some(*id)).await?;
    let filter = Filter {
        company: Some(*id),
        kind: list.kind.parse().ok(),
        ..Filter::default()
    };
    let found = evidence::list(scope, &filter, Window::page(list.page, PAGE_SIZE)).await?;
    let pager = Pager::new(list.page, found.rows.len(), found.total, |n| {
        let page = n.to_string();
        let pairs = [
            ("catalogue", list.catalogue.as_str()),
            ("kind", &list.kind),
            ("page", &page),
        ];
        format!("/companies/{id}/evidence{}", query(&pairs))
    });
    html(&Company {
        page: head
            .frame(&request, &portal, &principal, "Evidence".into())
            .await?,
        rows: rows(scope, catalogue, Some(*id), &sources).await?,
        catalogue,
        sources,
        statements: found.rows,
        head,
        list,
        pager,
    })
}

#[derive(Template)]
#[template(path = "evidence/show.html")]
struct Show {
    page: Page,
    head: Head,
    statement: Evidence,
    pretty: String,
    observations: Vec<Observation>,
    controls: Vec<&'static str>,
    is_intact: bool,
}

async fn of_company(
    scope: &Scope,
    company: CompanyId,
    id: EvidenceId,
) -> Result<Evidence, PageProblem> {
    evidence::get(scope, id)
        .await?
        .filter(|one| one.company_id == company)
        .ok_or(PageProblem::NotFound)
}

pub(crate) async fn show(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    ids: web::Path<(CompanyId, EvidenceId)>,
) -> Answer {
    let (company, id) = ids.into_inner();
    let scope = &principal.scope;
    let head = Head::load(&principal, company, "evidence").await?;
    let statement = of_company(scope, company, id).await?;
    let page = head
        .frame(&request, &portal, &principal, statement.kind.label().into())
        .await?
        .under("Evidence", format!("/companies/{company}/evidence"));
    html(&Show {
        page,
        pretty: serde_json::to_string_pretty(&statement.statement()).unwrap_or_default(),
        observations: evidence::observations(scope, &statement, 100).await?,
        controls: controls::controls_of(statement.kind),
        is_intact: statement.is_intact(),
        statement,
        head,
    })
}

/// The statement as it is stored: its SHA-256 is the fingerprint.
pub(crate) async fn content(principal: Signed, ids: web::Path<(CompanyId, EvidenceId)>) -> Answer {
    let (company, id) = ids.into_inner();
    let statement = of_company(&principal.scope, company, id).await?;
    let name = format!("{}-{}.json", statement.kind, &statement.fingerprint[..12]);
    Ok(HttpResponse::Ok()
        .content_type("application/json")
        .insert_header((
            "content-disposition",
            format!("attachment; filename=\"{name}\""),
        ))
        .insert_header(("content-security-policy", "default-src 'none'; sandbox"))
        .body(statement.content))
}
