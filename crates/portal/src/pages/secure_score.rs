//! Microsoft Secure Score of a company: gauge, trend, comparison, controls.

use actix_web::{HttpRequest, web};
use ammonia::Builder;
use askama::Template;
use model::{
    CompanyId, MappingId, SecureScore,
    mapping::MappingRow,
    secure_score::{self, Average, Control, ControlStatus},
};
use serde::Deserialize;

use super::companies::Head;
use crate::{
    Portal, csv_file,
    guard::Signed,
    problem::PageProblem,
    view::{Answer, Html, Page, filters, html, query},
};

#[derive(Template)]
#[template(path = "secure_score/show.html")]
struct Show {
    page: Page,
    head: Head,
    mapping: Option<MappingRow>,
    newest: Option<SecureScore>,
    percent: f64,
    gauge: Html,
    trend: Option<Trend>,
    averages: Vec<Average>,
    categories: Vec<Category>,
    controls: Vec<Control>,
    shown: ListQuery,
    counts: [usize; 3],
}

/// Points of one category.
struct Category {
    name: String,
    class: &'static str,
    points: f64,
    possible: f64,
}

impl Category {
    fn share(&self) -> f64 {
        if self.possible > 0.0 {
            100.0 * self.points / self.possible
        } else {
            0.0
        }
    }
}

/// A line of days as SVG numbers, in two widths.
struct Trend {
    lines: [Line; 2],
    first: (String, f64),
    last: (String, f64),
    rows: Vec<(String, f64)>,
}

/// One drawing: paths and axis labels.
struct Line {
    width: u32,
    path: String,
    area: String,
    grid: Vec<(f64, i64)>,
    end: (f64, f64),
    labels: Vec<(f64, String)>,
}

#[derive(Template)]
#[template(path = "secure_score/control.html")]
struct Detail {
    page: Page,
    head: Head,
    control: Control,
    remediation: Option<Html>,
    impact: Option<Html>,
    description: Option<Html>,
    action_url: Option<String>,
    threats: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ListQuery {
    #[serde(default)]
    q: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    mapping: Option<MappingId>,
}

fn is_done(control: &Control) -> bool {
    matches!(
        control.status(),
        ControlStatus::Done | ControlStatus::Accepted
    )
}

impl ListQuery {
    /// Whether a control is among what is filtered.
    fn keeps(&self, control: &Control) -> bool {
        let wanted = self.q.to_lowercase();
        let is_wanted = match self.status.as_str() {
            "done" => is_done(control),
            "all" => true,
            _ => !is_done(control),
        };
        is_wanted
            && [control.title(), &control.id, control.category()]
                .iter()
                .any(|text| text.to_lowercase().contains(&wanted))
    }
}

impl Show {
    /// The file of what is shown, with the same filters.
    fn csv_link(&self, word: &str) -> String {
        let mapping = self.shown.mapping.map(|m| m.to_string());
        let pairs = [
            ("q", self.shown.q.as_str()),
            ("status", &self.shown.status),
            ("mapping", mapping.as_deref().unwrap_or_default()),
        ];
        format!(
            "/companies/{}/{word}.csv{}",
            self.head.company.id,
            query(&pairs)
        )
    }

    fn link(&self, status: &str) -> String {
        let mapping = self
            .shown
            .mapping
            .map(|m| m.to_string())
            .unwrap_or_default();
        let pairs = [
            ("q", self.shown.q.as_str()),
            ("status", status),
            ("mapping", &mapping),
        ];
        format!(
            "/companies/{}/secure-score{}",
            self.head.company.id,
            query(&pairs)
        )
    }
}

impl Line {
    /// `days` oldest first, values in percent; the vertical scale is rounded to tens around them.
    fn new(width: u32, days: &[(String, f64)]) -> Self {
        let (left, right, top, bottom) = (30.0, f64::from(width) - 44.0, 14.0, 190.0);
        let low = days.iter().map(|d| d.1).fold(f64::INFINITY, f64::min);
        let high = days.iter().map(|d| d.1).fold(0.0, f64::max);
        let min = (low / 10.0).floor().clamp(0.0, 9.0) * 10.0;
        let max = ((high / 10.0).ceil() * 10.0).max(min + 10.0);
        #[allow(clippy::cast_precision_loss)] // a number of days
        let x = |i: usize| left + i as f64 * (right - left) / (days.len().max(2) - 1) as f64;
        let y = |v: f64| bottom - (v - min) * (bottom - top) / (max - min);
        let points: Vec<String> = days
            .iter()
            .enumerate()
            .map(|(i, d)| format!("{:.1} {:.1}", x(i), y(d.1)))
            .collect();
        let path = format!("M{}", points.join("L"));
        let end = days
            .last()
            .map_or((right, bottom), |d| (x(days.len() - 1), y(d.1)));
        #[allow(clippy::cast_possible_truncation)] // percents
        let grid = (0..=((max - min) / 10.0) as i64)
            .map(|step| (y(min + step as f64 * 10.0), min as i64 + step * 10))
            .collect();
        let labels = [0, days.len() / 2, days.len().saturating_sub(1)]
            .iter()
            .filter_map(|&i| days.get(i).map(|d| (x(i), d.0.clone())))
            .collect();
        Self {
            width,
            area: format!("{path}L{:.1} {bottom}L{left} {bottom}Z", end.0),
            path,
            grid,
            end,
            labels,
        }
    }
}

fn short_day(day: &str) -> String {
    chrono::NaiveDate::parse_from_str(day, "%Y-%m-%d")
        .map_or_else(|_| day.to_owned(), |d| d.format("%-d %b").to_string())
}

/// A 240-degree arc around 100,94 with radius 74, from 150 degrees, filled to `percent`.
fn gauge(percent: f64, points: f64, possible: f64) -> Html {
    let point = |share: f64| {
        let angle = (150.0 + 240.0 * share).to_radians();
        (100.0 + 74.0 * angle.cos(), 94.0 + 74.0 * angle.sin())
    };
    let share = (percent / 100.0).clamp(0.0, 1.0);
    let ((x0, y0), (x1, y1), (xe, ye)) = (point(0.0), point(share), point(1.0));
    let large = u8::from(share * 240.0 > 180.0);
    let value = if share > 0.0 {
        format!("<path class=\"val\" d=\"M{x0:.2} {y0:.2}A74 74 0 {large} 1 {x1:.2} {y1:.2}\"/>")
    } else {
        String::new()
    };
    Html(format!(
        "<svg class=\"gauge\" viewBox=\"0 0 200 142\" role=\"img\" aria-labelledby=\"gauge-title\">\
         <title id=\"gauge-title\">Secure Score {percent:.1} percent, {points:.1} of {possible:.1} points</title>\
         <path class=\"track\" d=\"M{x0:.2} {y0:.2}A74 74 0 1 1 {xe:.2} {ye:.2}\"/>{value}\
         <text class=\"big\" x=\"100\" y=\"102\">{percent:.1} %</text>\
         <text class=\"lbl\" x=\"100\" y=\"122\">{points:.1} of {possible:.1} points</text></svg>"
    ))
}

fn categories(controls: &[Control]) -> Vec<Category> {
    let order = [
        "Identity",
        "Apps",
        "Device",
        "Data",
        "Infrastructure",
        "Other",
    ];
    let classes = ["f1", "f2", "f3", "f4", "f5", "f5"];
    order
        .iter()
        .zip(classes)
        .filter_map(|(name, class)| {
            let own: Vec<&Control> = controls
                .iter()
                .filter(|c| {
                    let known = order.contains(&c.category());
                    c.category() == *name || (*name == "Other" && !known)
                })
                .collect();
            (!own.is_empty()).then(|| Category {
                name: (*name).to_owned(),
                class,
                points: own.iter().filter_map(|c| c.points()).sum(),
                possible: own.iter().filter_map(|c| c.possible()).sum(),
            })
        })
        .collect()
}

/// A company's mapping of the address, else its first.
async fn chosen(
    principal: &Signed,
    id: CompanyId,
    list: &ListQuery,
) -> Result<(model::Company, Option<MappingId>), PageProblem> {
    let head = Head::load(principal, id, "secure-score").await?;
    let mapping = head
        .mappings
        .iter()
        .find(|m| Some(m.mapping.id) == list.mapping)
        .or(head.mappings.first())
        .map(|m| m.mapping.id);
    Ok((head.company, mapping))
}

/// Every control of the newest day, as a file.
pub(crate) async fn controls_csv(
    principal: Signed,
    id: web::Path<CompanyId>,
    list: web::Query<ListQuery>,
) -> Answer {
    let (company, mapping) = chosen(&principal, *id, &list).await?;
    let rows = match mapping {
        Some(mapping) => secure_score::controls(&principal.scope, mapping).await?,
        None => vec![],
    };
    let rows = rows
        .into_iter()
        .filter(|c| list.keeps(c))
        .collect::<Vec<_>>();
    Ok(csv_file::whole(
        &report::csv::CONTROLS,
        &company.name,
        &rows,
    ))
}

/// Every day that is known, as a file.
pub(crate) async fn days_csv(
    principal: Signed,
    id: web::Path<CompanyId>,
    list: web::Query<ListQuery>,
) -> Answer {
    let (company, mapping) = chosen(&principal, *id, &list).await?;
    let rows = match mapping {
        Some(mapping) => secure_score::days(&principal.scope, mapping).await?,
        None => vec![],
    };
    Ok(csv_file::whole(&report::csv::SCORES, &company.name, &rows))
}

pub(crate) async fn show(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    id: web::Path<CompanyId>,
    list: web::Query<ListQuery>,
) -> Answer {
    let head = Head::load(&principal, *id, "secure-score").await?;
    let title = format!("Secure Score of {}", head.company.name);
    let page = head.frame(&request, &portal, &principal, title).await?;
    let shown = list.into_inner();
    let mapping = head
        .mappings
        .iter()
        .find(|m| Some(m.mapping.id) == shown.mapping)
        .or(head.mappings.first())
        .cloned();
    let (days, all) = match &mapping {
        Some(m) => (
            secure_score::days(&principal.scope, m.mapping.id).await?,
            secure_score::controls(&principal.scope, m.mapping.id).await?,
        ),
        None => (vec![], vec![]),
    };
    let newest = days.last().cloned();
    let percent = newest
        .as_ref()
        .and_then(secure_score::percent)
        .unwrap_or_default();
    let recent: Vec<(String, f64)> = days
        .iter()
        .rev()
        .take(90)
        .rev()
        .filter_map(|d| Some((short_day(&d.day), secure_score::percent(d)?)))
        .collect();
    let trend = match (recent.first().cloned(), recent.last().cloned()) {
        (Some(first), Some(last)) if recent.len() > 1 => Some(Trend {
            lines: [Line::new(560, &recent), Line::new(340, &recent)],
            rows: recent.iter().rev().step_by(7).cloned().collect(),
            first,
            last,
        }),
        _ => None,
    };
    let done = all.iter().filter(|c| is_done(c)).count();
    let counts = [all.len() - done, done, all.len()];
    let categories = categories(&all);
    let controls = all.into_iter().filter(|c| shown.keeps(c)).collect();
    let gauge = newest.as_ref().map_or(Html(String::new()), |n| {
        gauge(percent, n.current_score, n.max_score)
    });
    html(&Show {
        page,
        averages: newest
            .as_ref()
            .map(secure_score::averages)
            .unwrap_or_default(),
        head,
        mapping,
        newest,
        percent,
        gauge,
        trend,
        categories,
        controls,
        shown,
        counts,
    })
}

/// Microsoft's HTML, made safe: text, lists and links of https alone.
fn safe(text: &str) -> Html {
    let cleaned = Builder::new()
        .tags(
            [
                "p", "ol", "ul", "li", "b", "strong", "i", "em", "br", "a", "code",
            ]
            .into(),
        )
        .url_schemes(["https"].into())
        .link_rel(Some("noopener noreferrer"))
        .clean(text)
        .to_string();
    Html(cleaned)
}

pub(crate) async fn control(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    path: web::Path<(CompanyId, String)>,
    list: web::Query<ListQuery>,
) -> Answer {
    let (id, name) = path.into_inner();
    let head = Head::load(&principal, id, "secure-score").await?;
    let mapping = head
        .mappings
        .iter()
        .find(|m| Some(m.mapping.id) == list.mapping)
        .or(head.mappings.first())
        .ok_or(PageProblem::NotFound)?;
    let control = secure_score::controls(&principal.scope, mapping.mapping.id)
        .await?
        .into_iter()
        .find(|c| c.id == name)
        .ok_or(PageProblem::NotFound)?;
    let page = head
        .frame(&request, &portal, &principal, control.title().to_owned())
        .await?
        .under("Secure Score", format!("/companies/{id}/secure-score"));
    let profile = control.profile.as_ref();
    let text = |t: Option<&String>| t.filter(|t| !t.is_empty()).map(|t| safe(t));
    html(&Detail {
        remediation: text(profile.and_then(|p| p.remediation.as_ref())),
        impact: text(profile.and_then(|p| p.remediation_impact.as_ref())),
        description: text(control.score.as_ref().and_then(|s| s.description.as_ref())),
        action_url: profile
            .and_then(|p| p.action_url.clone())
            .filter(|u| url::Url::parse(u).is_ok_and(|u| u.scheme() == "https")),
        threats: profile
            .and_then(|p| serde_json::from_str(&p.threats).ok())
            .unwrap_or_default(),
        page,
        head,
        control,
    })
}

#[cfg(test)]
mod tests {
    use super::safe;

    #[test]
    fn remediation_loses_what_could_run() {
        let html = safe("<ol><li onclick=x>Go <a href=\"https://a.example\">there</a><a href=\"javascript:x\">no</a></li></ol><script>x</script><img src=x>").0;
        assert!(
            html.contains("<li>") && html.contains("https://a.example"),
            "{html}"
        );
        for bad in ["onclick", "javascript", "<script", "<img"] {
            assert!(!html.contains(bad), "{html}");
        }
    }
}
