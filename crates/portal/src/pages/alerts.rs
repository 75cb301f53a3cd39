//! Alerts: what needs somebody's attention, and what they did about it.

use actix_web::{HttpRequest, web};
use askama::Template;
use model::{
    Alert, AlertId, AlertKind, AlertState, CompanyId, Listing, Severity, Window,
    alert::{self, Filter, Handling},
};
use serde::Deserialize;

use super::dashboard::all_company_names;
use crate::{
    Portal, csv_file,
    guard::Signed,
    problem::PageProblem,
    view::{Answer, Html, PAGE_SIZE, Page, Pager, badge, filters, html, query, see_other},
};

/// The views of the list: word, label, states.
const VIEWS: &[(&str, &str, &[AlertState])] = &[
    ("", "Open", &[AlertState::Open, AlertState::Acknowledged]),
    ("snoozed", "Snoozed", &[AlertState::Snoozed]),
    ("resolved", "Resolved", &[AlertState::Resolved]),
    ("closed", "Closed", &[AlertState::Closed]),
    ("all", "All", &[]),
];

/// Days for which an alert may be put off.
const SNOOZES: [i64; 4] = [1, 7, 30, 90];

#[derive(Debug, Deserialize)]
pub(crate) struct ListQuery {
    #[serde(default)]
    view: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    severity: String,
    #[serde(default)]
    company: String,
    #[serde(default)]
    page: u64,
    /// How many a form changed just before, and how many it could not.
    done: Option<usize>,
    left: Option<usize>,
}

impl ListQuery {
    fn link(&self, name: &str, value: &str) -> String {
        let mut pairs = [
            ("view", self.view.as_str()),
            ("kind", &self.kind),
            ("severity", &self.severity),
            ("company", &self.company),
            ("page", ""),
        ];
        for pair in &mut pairs {
            if pair.0 == name {
                pair.1 = value;
            }
        }
        format!("/alerts{}", query(&pairs))
    }

    fn filter(&self) -> Filter {
        let view = VIEWS
            .iter()
            .find(|(word, ..)| *word == self.view)
            .unwrap_or(&VIEWS[0]);
        Filter {
            states: view.2.to_vec(),
            kind: self.kind.parse().ok(),
            severity: self.severity.parse().ok(),
            company: self.company.parse().ok(),
        }
    }
}

/// An alert with the name of its company.
struct Row {
    alert: Alert,
    company: String,
}

#[derive(Template)]
#[template(path = "alerts/index.html")]
struct Index {
    page: Page,
    rows: Vec<Row>,
    list: ListQuery,
    kinds: &'static [AlertKind],
    companies: Vec<(CompanyId, String)>,
    pager: Pager,
}

impl Index {
    /// The file of what is shown, with the same filters.
    fn csv_link(&self) -> String {
        self.list
            .link("page", "")
            .replacen("/alerts", "/alerts.csv", 1)
    }
}

#[derive(Template)]
#[template(path = "alerts/show.html")]
struct Show {
    page: Page,
    row: Row,
}

pub(crate) fn severity_badge(severity: &Severity) -> Html {
    match severity {
        Severity::Critical => badge("badge-bad", "circle-x", "Critical"),
        Severity::Warning => badge("badge-warn", "alert-triangle", "Warning"),
        Severity::Info => badge("badge-info", "info-circle", "Info"),
    }
}

fn state_badge(alert: &Alert) -> Html {
    match alert.state {
        AlertState::Open => badge("badge-warn", "bell", "Open"),
        AlertState::Acknowledged => badge("badge-info", "eye", "Acknowledged"),
        AlertState::Snoozed => badge("", "player-pause", "Snoozed"),
        AlertState::Resolved => badge("badge-ok", "check", "Resolved"),
        AlertState::Closed => badge("badge-ok", "circle-check", "Closed"),
    }
}

/// Exactly what is filtered, as a file.
pub(crate) async fn csv(principal: Signed, list: web::Query<ListQuery>) -> Answer {
    let names = all_company_names(&principal.scope).await?;
    let filter = list.filter();
    let read = move |window| {
        let (principal, filter, names) = (principal.clone(), filter.clone(), names.clone());
        async move {
            let found = alert::list(&principal.scope, &filter, window).await?;
            let named = |alert: Alert| {
                let name = alert.company_id.and_then(|id| names.get(&id).cloned());
                (alert, name.unwrap_or_default())
            };
            Ok(Listing {
                total: found.total,
                rows: found.rows.into_iter().map(named).collect(),
            })
        }
    };
    Ok(csv_file::sheet(&report::csv::ALERTS, "", read))
}

pub(crate) async fn index(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    list: web::Query<ListQuery>,
) -> Answer {
    let list = list.into_inner();
    let scope = &principal.scope;
    let found = alert::list(scope, &list.filter(), Window::page(list.page, PAGE_SIZE)).await?;
    let names = all_company_names(scope).await?;
    let pager = Pager::new(list.page, found.rows.len(), found.total, |n| {
        list.link("page", &n.to_string())
    });
    let rows = found.rows.into_iter().map(|alert| Row {
        company: alert
            .company_id
            .and_then(|id| names.get(&id).cloned())
            .unwrap_or_default(),
        alert,
    });
    let rows = rows.collect();
    let mut companies: Vec<(CompanyId, String)> = names.into_iter().collect();
    companies.sort_by(|a, b| a.1.cmp(&b.1));
    html(&Index {
        page: Page::new(&request, &portal, &principal, "Alerts", "alerts").await?,
        rows,
        kinds: AlertKind::ALL,
        companies,
        pager,
        list,
    })
}

pub(crate) async fn show(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    id: web::Path<AlertId>,
) -> Answer {
    let scope = &principal.scope;
    let alert = alert::get(scope, *id).await?.ok_or(PageProblem::NotFound)?;
    let company = match alert.company_id {
        Some(id) => model::company::get(scope, id)
            .await?
            .map(|c| c.name)
            .unwrap_or_default(),
        None => String::new(),
    };
    let title = format!("Alert {}", alert.number);
    html(&Show {
        page: Page::new(&request, &portal, &principal, title, "alerts")
            .await?
            .under("Alerts", "/alerts"),
        row: Row { alert, company },
    })
}

#[derive(Debug, Deserialize)]
pub(crate) struct Form {
    #[serde(default)]
    action: String,
    #[serde(default)]
    days: i64,
}

impl Form {
    fn handling(&self, now: model::Timestamp) -> Result<Handling, PageProblem> {
        match self.action.as_str() {
            "acknowledge" => Ok(Handling::Acknowledge),
            "resolve" => Ok(Handling::Resolve),
            "reopen" => Ok(Handling::Reopen),
            "snooze" => Ok(Handling::Snooze(
                now.plus_minutes(self.days.clamp(1, 90) * 24 * 60),
            )),
            _ => Err(PageProblem::Conflict(
                "Choose what to do with the alert.".into(),
            )),
        }
    }
}

pub(crate) async fn handle(
    principal: Signed,
    id: web::Path<AlertId>,
    form: web::Form<Form>,
) -> Answer {
    let scope = &principal.scope;
    alert::get(scope, *id).await?.ok_or(PageProblem::NotFound)?;
    let handling = form.handling(scope.now())?;
    alert::handle(scope, *id, handling)
        .await?
        .ok_or(PageProblem::NotFound)?;
    Ok(see_other(&format!("/alerts/{id}")))
}

/// The same for several: a form with a field `alert` for each.
pub(crate) async fn handle_many(
    principal: Signed,
    form: web::Form<Vec<(String, String)>>,
) -> Answer {
    let of = |name: &'static str| {
        let named = form.iter().filter(move |(n, _)| n == name);
        named.map(|(_, value)| value.as_str())
    };
    let form_of = Form {
        action: of("action").next().unwrap_or_default().to_owned(),
        days: of("days")
            .next()
            .and_then(|days| days.parse().ok())
            .unwrap_or(1),
    };
    let handling = form_of.handling(principal.scope.now())?;
    let (mut done, mut left) = (0, 0);
    for id in of("alert").take(500) {
        let Ok(id) = id.parse() else {
            continue;
        };
        match alert::handle(&principal.scope, id, handling).await {
            Ok(Some(_)) => done += 1,
            // Closed meanwhile, or never there: the others are done all the same.
            Ok(None) | Err(model::Error::Conflict(_)) => left += 1,
            Err(other) => return Err(other.into()),
        }
    }
    let back = of("back")
        .next()
        .filter(|b| b.starts_with("/alerts"))
        .unwrap_or("/alerts");
    let mark = if back.contains('?') { '&' } else { '?' };
    Ok(see_other(&format!("{back}{mark}done={done}&left={left}")))
}
