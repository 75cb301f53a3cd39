//! What all pages share: the frame, filters of templates, pagers, and how a page is answered.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode};
use askama::Template;
use model::{RunState, Timestamp, run, session::Principal};

use crate::{Portal, problem::PageProblem};

pub(crate) type Answer = Result<HttpResponse, PageProblem>;

/// A step of the path at the top of a page.
#[derive(Debug, Clone)]
pub(crate) struct Crumb {
    pub(crate) label: String,
    pub(crate) href: String,
}

/// The frame around a page.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    pub(crate) title: String,
    pub(crate) section: &'static str,
    pub(crate) crumbs: Vec<Crumb>,
    pub(crate) theme: String,
    pub(crate) density: String,
    pub(crate) partner: String,
    pub(crate) email: String,
    pub(crate) initials: String,
    pub(crate) role: String,
    pub(crate) can_configure: bool,
    pub(crate) can_sync: bool,
    pub(crate) can_audit: bool,
    pub(crate) can_assess: bool,
    /// Alerts that nobody has dealt with yet, and whether one of them is critical.
    pub(crate) open_alerts: i64,
    pub(crate) has_critical: bool,
    /// Organisations that the member may go on as a member of: `(id, name)`, without this one.
    pub(crate) others: Vec<(String, String)>,
    pub(crate) open_runs: i64,
    pub(crate) demo: bool,
    pub(crate) version: &'static str,
    pub(crate) refresh: bool,
    pub(crate) now: Timestamp,
}

/// A word that `static/js/app.js` keeps; over TLS bound to the host, as all our cookies are.
fn cookie_word(request: &HttpRequest, portal: &Portal, name: &str, allowed: &[&str]) -> String {
    let bound = format!("__Host-{name}");
    request
        .cookie(if portal.is_secure() { &bound } else { name })
        .map(|c| c.value().to_owned())
        .filter(|v| allowed.contains(&v.as_str()))
        .unwrap_or_default()
}

impl Page {
    /// The frame for a signed-in member.
    pub(crate) async fn new(
        request: &HttpRequest,
        portal: &Portal,
        principal: &Principal,
        title: impl Into<String>,
        section: &'static str,
    ) -> Result<Self, PageProblem> {
        let scope = &principal.scope;
        let counts = run::counts(scope).await?;
        let alerts = model::alert::counts(scope).await?;
        let open = [RunState::Queued, RunState::Running, RunState::Retrying];
        let email = principal.member.email.clone();
        Ok(Self {
            title: title.into(),
            section,
            crumbs: vec![],
            theme: cookie_word(request, portal, "theme", &["light", "dark"]),
            density: cookie_word(request, portal, "density", &["compact", "comfortable"]),
            partner: model::partner::current(scope).await?.name,
            initials: initials(&principal.member.name),
            email,
            role: scope.role().to_string(),
            can_configure: scope.role() >= model::Role::Admin,
            can_sync: scope.role() >= model::Role::Technician,
            can_audit: scope.role() >= model::Role::Auditor && scope.sees_all_companies(),
            can_assess: scope.role() >= model::Role::Auditor,
            open_alerts: alerts.values().sum(),
            has_critical: alerts.contains_key(&model::Severity::Critical),
            others: others(portal, principal).await?,
            open_runs: open.iter().filter_map(|s| counts.get(s)).sum(),
            demo: portal.demo,
            version: env!("CARGO_PKG_VERSION"),
            refresh: false,
            now: scope.now(),
        })
    }

    /// Adds a step to the path.
    #[must_use]
    pub(crate) fn under(mut self, label: &str, href: impl Into<String>) -> Self {
        self.crumbs.push(Crumb {
            label: label.to_owned(),
            href: href.into(),
        });
        self
    }

    /// The step that "back" leads to on a narrow screen.
    pub(crate) fn parent(&self) -> Option<&Crumb> {
        self.crumbs.last()
    }
}

async fn others(
    portal: &Portal,
    principal: &Principal,
) -> Result<Vec<(String, String)>, PageProblem> {
    // A session of one organisation's own sign-in goes nowhere else.
    if principal.require_own_sign_in().is_err() {
        return Ok(vec![]);
    }
    let all = model::member::partners(&portal.db, principal.member.id).await?;
    let here = principal.scope.partner();
    let others = all.into_iter().filter(|p| p.id != here);
    Ok(others.map(|p| (p.id.to_string(), p.name)).collect())
}

/// The frame of pages without a member: setup, sign-in, invitations.
#[derive(Debug, Clone)]
pub(crate) struct Bare {
    pub(crate) theme: String,
    pub(crate) demo: bool,
}

impl Bare {
    pub(crate) fn new(request: &HttpRequest, portal: &Portal) -> Self {
        Self {
            theme: cookie_word(request, portal, "theme", &["light", "dark"]),
            demo: portal.demo,
        }
    }
}

/// First letters of up to two words.
pub(crate) fn initials(name: &str) -> String {
    let letters: String = name
        .split(|c: char| !c.is_alphanumeric())
        .filter_map(|w| w.chars().next())
        .take(2)
        .collect();
    letters.to_uppercase()
}

/// Answers a page.
pub(crate) fn html(template: &impl Template) -> Answer {
    html_status(StatusCode::OK, template)
}

/// Answers a page with a status, 422 for a form with errors.
pub(crate) fn html_status(status: StatusCode, template: &impl Template) -> Answer {
    Ok(HttpResponse::build(status)
        .content_type("text/html; charset=utf-8")
        .body(template.render()?))
}

/// See other: after every successful POST.
pub(crate) fn see_other(location: &str) -> HttpResponse {
    HttpResponse::SeeOther()
        .insert_header(("location", location))
        .finish()
}

/// The first moment of a day `yyyy-mm-dd`, UTC, as a date field sends it.
pub(crate) fn day(text: &str) -> Option<Timestamp> {
    let day = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    Some(day.and_hms_opt(0, 0, 0)?.and_utc().into())
}

/// Rows on a page.
pub(crate) const PAGE_SIZE: u64 = 50;

/// Where a list stands.
#[derive(Debug, Clone)]
pub(crate) struct Pager {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) total: u64,
    pub(crate) previous: Option<String>,
    pub(crate) next: Option<String>,
}

impl Pager {
    /// `link` gives the address of a page number.
    pub(crate) fn new(number: u64, shown: usize, total: u64, link: impl Fn(u64) -> String) -> Self {
        let number = number.clamp(1, 1_000_000);
        let before = (number - 1) * PAGE_SIZE;
        let shown = shown as u64;
        Self {
            from: if shown == 0 { 0 } else { before + 1 },
            to: before + shown,
            total,
            previous: (number > 1).then(|| link(number - 1)),
            next: (before + shown < total).then(|| link(number + 1)),
        }
    }
}

/// A query string from names and values, without empty ones.
pub(crate) fn query(pairs: &[(&str, &str)]) -> String {
    let mut out = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in pairs {
        if !value.is_empty() {
            out.append_pair(name, value);
        }
    }
    let text = out.finish();
    if text.is_empty() {
        text
    } else {
        format!("?{text}")
    }
}

/// HTML made by us from parts that are escaped or ours.
#[derive(Debug, Clone)]
pub(crate) struct Html(pub(crate) String);

impl std::fmt::Display for Html {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl askama::filters::HtmlSafe for Html {}

fn escape(text: &str) -> String {
    askama::filters::escape(text, askama::filters::Html)
        .map(|e| e.to_string())
        .unwrap_or_default()
}

/// A status: icon, word and colour.
pub(crate) fn badge(kind: &str, icon: &str, word: &str) -> Html {
    let spin = if icon == "loader-2" { " spin" } else { "" };
    Html(format!(
        "<span class=\"badge {kind}\"><svg class=\"icon{spin}\" aria-hidden=\"true\"><use href=\"/static/icons.svg#{icon}\"/></svg>{}</span>",
        escape(word)
    ))
}

/// Milliseconds in words.
pub(crate) fn duration_words(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    match seconds {
        0 => format!("{} ms", ms.max(0)),
        1..=59 => format!("{seconds} s"),
        60..=3599 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// A collector in words.
pub(crate) fn collector_label(name: &str) -> String {
    match name {
        "mfa_registrations" => "MFA registration".into(),
        other => {
            let words = other.replace('_', " ");
            let mut chars = words.chars();
            let first = chars.next().map(char::to_uppercase);
            first.into_iter().flatten().chain(chars).collect()
        }
    }
}

/// How long ago, in words.
pub(crate) fn ago(at: Timestamp, now: Timestamp) -> String {
    let (ms, later) = ((now.0 - at.0).abs(), at > now);
    let minutes = ms / 60_000;
    let words = match minutes {
        0 if later => return "in under a minute".into(),
        0 => return "just now".into(),
        1..=59 => format!("{minutes} min"),
        60..=2879 => format!("{} h", minutes / 60),
        _ => format!("{} days", minutes / 1440),
    };
    if later {
        format!("in {words}")
    } else {
        format!("{words} ago")
    }
}

/// Filters of all templates.
#[allow(unreachable_pub)] // what askama's attribute makes of them is public
pub(crate) mod filters {
    use askama::Values;
    use model::{CollectorState, RunState, Timestamp};

    use super::{Html, badge};

    /// `{{ "search"|icon }}`: an icon of the sprite.
    #[askama::filter_fn]
    pub(crate) fn icon(name: &str, _: &dyn Values) -> askama::Result<Html> {
        Ok(Html(format!(
            "<svg class=\"icon\" aria-hidden=\"true\"><use href=\"/static/icons.svg#{name}\"/></svg>"
        )))
    }

    /// `{{ at|when(page.now) }}`: relative, with the exact time on hover.
    #[askama::filter_fn]
    pub(crate) fn when(at: &Timestamp, _: &dyn Values, now: &Timestamp) -> askama::Result<Html> {
        let exact = at.to_utc().format("%Y-%m-%d %H:%M:%S UTC");
        Ok(Html(format!(
            "<time datetime=\"{}\" title=\"{exact}\">{}</time>",
            at.rfc3339(),
            super::ago(*at, *now)
        )))
    }

    /// `{{ at|date }}`: the day.
    #[askama::filter_fn]
    pub(crate) fn date(at: &Timestamp, _: &dyn Values) -> askama::Result<Html> {
        Ok(Html(format!(
            "<time datetime=\"{}\">{}</time>",
            at.rfc3339(),
            at.to_utc().format("%-d %b %Y")
        )))
    }

    /// `{{ at|clock }}`: the time of day to the second, UTC.
    #[askama::filter_fn]
    pub(crate) fn clock(at: &Timestamp, _: &dyn Values) -> askama::Result<Html> {
        Ok(Html(format!(
            "<time datetime=\"{}\">{}</time>",
            at.rfc3339(),
            at.to_utc().format("%H:%M:%S")
        )))
    }

    /// `{{ n|count }}`: digits in groups of three.
    #[askama::filter_fn]
    pub(crate) fn count(n: impl ToString, _: &dyn Values) -> askama::Result<String> {
        let digits = n.to_string();
        let mut out = String::new();
        for (i, c) in digits.chars().enumerate() {
            if i > 0 && (digits.len() - i).is_multiple_of(3) && c.is_ascii_digit() {
                out.push(',');
            }
            out.push(c);
        }
        Ok(out)
    }

    /// `{{ id|short }}`: the ends of a GUID.
    #[askama::filter_fn]
    pub(crate) fn short(id: impl ToString, _: &dyn Values) -> askama::Result<String> {
        let id = id.to_string();
        Ok(if id.len() == 36 {
            format!("{}…{}", &id[..8], &id[32..])
        } else {
            id
        })
    }

    /// `{{ x|points }}`: one decimal, none where it is whole.
    #[askama::filter_fn]
    pub(crate) fn points(x: impl std::fmt::Display, _: &dyn Values) -> askama::Result<String> {
        let text = format!("{x:.1}");
        Ok(text.strip_suffix(".0").map_or(text.clone(), str::to_owned))
    }

    /// `{{ state|run_badge }}`.
    #[askama::filter_fn]
    pub(crate) fn run_badge(state: &RunState, _: &dyn Values) -> askama::Result<Html> {
        Ok(match state {
            RunState::Queued => badge("", "clock", "Queued"),
            RunState::Running => badge("badge-info", "loader-2", "Running"),
            RunState::Retrying => badge("badge-warn", "rotate-clockwise", "Retrying"),
            RunState::Completed => badge("badge-ok", "circle-check", "Completed"),
            RunState::Partial => badge("badge-warn", "alert-triangle", "Partial"),
            RunState::Failed => badge("badge-bad", "circle-x", "Failed"),
            RunState::Cancelled => badge("", "ban", "Cancelled"),
        })
    }

    /// `{{ state|collector_class }}`: the step's class.
    #[askama::filter_fn]
    pub(crate) fn collector_class(
        state: &CollectorState,
        _: &dyn Values,
    ) -> askama::Result<&'static str> {
        Ok(match state {
            CollectorState::Succeeded => "ok",
            CollectorState::Running => "run",
            CollectorState::Failed => "bad",
            CollectorState::Partial | CollectorState::Skipped => "wait",
            CollectorState::Waiting | CollectorState::Cancelled => "todo",
        })
    }

    /// `{{ state|collector_icon }}`: the step's icon.
    #[askama::filter_fn]
    pub(crate) fn collector_icon(
        state: &CollectorState,
        _: &dyn Values,
    ) -> askama::Result<&'static str> {
        Ok(match state {
            CollectorState::Succeeded => "circle-check",
            CollectorState::Running => "progress",
            CollectorState::Failed => "circle-x",
            CollectorState::Partial => "alert-triangle",
            CollectorState::Skipped => "lock",
            CollectorState::Waiting => "circle-dashed",
            CollectorState::Cancelled => "ban",
        })
    }

    /// `{{ line.verdict|verdict }}`: how a line of a test ended, for those who hear the page.
    #[askama::filter_fn]
    pub(crate) fn verdict(
        verdict: &model::connection_test::Verdict,
        _: &dyn Values,
    ) -> askama::Result<&'static str> {
        use model::connection_test::Verdict;
        Ok(match verdict {
            Verdict::Ok => "in order",
            Verdict::Warning => "to look at",
            Verdict::Failed => "failed",
            Verdict::Skipped => "not available",
        })
    }

    /// `{{ name|collector_label }}`: a collector in words.
    #[askama::filter_fn]
    pub(crate) fn collector_label(name: &str, _: &dyn Values) -> askama::Result<String> {
        Ok(super::collector_label(name))
    }
}
