//! Which function answers which path, for requests from outside and inside a batch alike.

use std::sync::LazyLock;

use actix_web::{
    HttpRequest, HttpResponse,
    dev::{Path, ResourceDef},
    http::Method,
    web,
};
use uuid::Uuid;

use crate::{
    Directory, Kind, applications, batch,
    call::{Answer, Call, Query},
    data, devices, groups, identity,
    limits::Usage,
    logs, partner, principals, refusal, roles, scores,
    state::{Holder, State},
    users,
};

/// The licence without which a path is refused.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Licence {
    None,
    /// Entra ID P1, for reports.
    Premium,
    /// Entra ID P2, for identity protection.
    Protection,
    /// Entra ID P2, for eligible roles.
    Governance,
    Intune,
}

/// A path and what may be asked of it.
pub(crate) struct Route {
    /// With its version.
    path: &'static str,
    /// Any one of these permissions.
    roles: &'static [&'static str],
    licence: Licence,
    answer: fn(&Call<'_>) -> Answer,
}

impl Route {
    pub(crate) const fn new(
        path: &'static str,
        roles: &'static [&'static str],
        answer: fn(&Call<'_>) -> Answer,
    ) -> Self {
        Self {
            path,
            roles,
            licence: Licence::None,
            answer,
        }
    }

    pub(crate) const fn licensed(mut self, licence: Licence) -> Self {
        self.licence = licence;
        self
    }

    /// The path as Microsoft's metadata spells it.
    fn template(&self) -> String {
        if self.path.ends_with("/delta") {
            format!("{}()", self.path)
        } else {
            self.path.to_owned()
        }
    }
}

/// The first that matches answers.
static ROUTES: LazyLock<Vec<(ResourceDef, &'static Route)>> = LazyLock::new(|| {
    [
        data::ROUTES,
        users::ROUTES,
        groups::ROUTES,
        applications::ROUTES,
        principals::ROUTES,
        devices::ROUTES,
        roles::ROUTES,
        identity::ROUTES,
        logs::ROUTES,
        scores::ROUTES,
        partner::ROUTES,
    ]
    .into_iter()
    .flatten()
    .map(|route| (ResourceDef::new([route.path, &route.template()]), route))
    .collect()
});

/// One request, from outside or inside a batch.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    /// Scheme and host.
    pub(crate) root: String,
    /// Path and query as they came.
    pub(crate) uri: String,
    pub(crate) query: Query,
    pub(crate) token: Option<String>,
    /// Whether it came inside a batch, where only whole answers fit.
    pub(crate) inner: bool,
}

impl Ask {
    pub(crate) fn new(root: String, uri: String, token: Option<String>, inner: bool) -> Self {
        let text = uri.split_once('?').map_or("", |(_, query)| query);
        let query = url::form_urlencoded::parse(text.as_bytes())
            .into_owned()
            .collect();
        Self {
            root,
            uri,
            query,
            token,
            inner,
        }
    }

    pub(crate) fn of(request: &HttpRequest) -> Self {
        let info = request.connection_info();
        let uri = request.uri().path_and_query().map_or("", |p| p.as_str());
        let token = request
            .headers()
            .get("authorization")
            .and_then(|v| v.to_str().ok())
            .and_then(|v| v.strip_prefix("Bearer "));
        Self::new(
            format!("{}://{}", info.scheme(), info.host()),
            uri.to_owned(),
            token.map(str::to_owned),
            false,
        )
    }

    pub(crate) fn raw_path(&self) -> &str {
        self.uri.split('?').next().unwrap_or_default()
    }

    /// Root with the version.
    pub(crate) fn service(&self) -> String {
        let version = self.uri.split('/').nth(1).unwrap_or_default();
        format!("{}/{version}", self.root)
    }
}

/// `%41` is `A`.
fn decoded(path: &str) -> String {
    // The form decoder takes these for its own.
    let form = path
        .replace('+', "%2B")
        .replace('&', "%26")
        .replace('=', "%3D");
    url::form_urlencoded::parse(form.as_bytes())
        .map(|(name, _)| name.into_owned())
        .collect()
}

fn find(path: &str) -> Option<(&'static Route, String)> {
    ROUTES.iter().find_map(|(pattern, route)| {
        let mut path = Path::new(path);
        pattern
            .capture_match_info(&mut path)
            .then(|| (*route, path.get("id").unwrap_or_default().to_owned()))
    })
}

pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/v1.0/$batch", web::post().to(batch::batch))
        .route(
            "/v1.0/users/{id}/sendMail",
            web::post().to(partner::send_mail),
        )
        .service(web::scope("/v1.0").default_service(web::to(outside)))
        .service(web::scope("/beta").default_service(web::to(outside)));
}

async fn outside(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    let ask = Ask::of(&request);
    if request.method() == Method::GET {
        answer(&state, &ask).await
    } else {
        state.note(&ask.uri, ask.raw_path());
        refusal::no_segment(ask.raw_path())
    }
}

/// Answers one request.
pub(crate) async fn answer(state: &State, ask: &Ask) -> HttpResponse {
    let path = decoded(ask.raw_path());
    if let Some(body) = state.recorded(&path) {
        state.note(&ask.uri, &path);
        return HttpResponse::Ok().json(body);
    }
    let Some((route, id)) = find(&path) else {
        state.note(&ask.uri, &path);
        return refusal::no_segment(&path);
    };
    let directory = state.holder_of(ask).map_or(Uuid::nil(), |h| h.directory);
    let waiter = (directory, ask.uri.clone());
    state.weather.asked(&waiter, state.millis());
    // Inside a batch only whole answers are possible.
    let except: &[&str] = match ask.inner {
        true => &["reset", "slow", "half_body"],
        false => &[],
    };
    let fault = state
        .note(&ask.uri, &route.template())
        .or_else(|| state.weather.strike(&ask.uri, except));
    let answer = match respond(state, ask, route, id, fault).await {
        Ok(answer) | Err(answer) => answer,
    };
    state
        .weather
        .answered(Some(waiter), &answer, state.millis());
    answer
}

async fn respond(
    state: &State,
    ask: &Ask,
    route: &Route,
    id: String,
    fault: Option<Kind>,
) -> Answer {
    let (holder, directory, usage) =
        admit(state, ask, route.path, route.roles, fault.as_ref()).await?;
    licensed(route.licence, directory)?;
    let call = Call {
        state,
        ask,
        id,
        directory,
        changes: state.changes(directory.id),
        holder,
        fault,
        cost: usage.cost,
        used: usage.used,
    };
    (route.answer)(&call)
}

/// Checks token, throttling and permission in Microsoft's order, and meets faults.
pub(crate) async fn admit<'a>(
    state: &'a State,
    ask: &Ask,
    path: &str,
    roles: &[&str],
    fault: Option<&Kind>,
) -> Result<(Holder, &'a Directory, Usage), HttpResponse> {
    meet(ask, fault).await?;
    let holder = state.holder_of(ask).ok_or_else(refusal::unauthorised)?;
    let directory = throttle(state, &holder)?;
    let now = state.millis();
    let usage = state
        .meter
        .charge(now, path, &ask.query, &holder, directory)?;
    if holder
        .roles
        .iter()
        .any(|held| roles.contains(&held.as_str()))
    {
        Ok((holder, directory, usage))
    } else {
        Err(refusal::forbidden())
    }
}

/// Answers as a fault wants, or waits as it wants.
pub(crate) async fn meet(ask: &Ask, fault: Option<&Kind>) -> Result<(), HttpResponse> {
    if let Some(Kind::Slow { ms }) = fault {
        actix_web::rt::time::sleep(std::time::Duration::from_millis(*ms)).await;
    }
    match fault.and_then(|f| refusal::of_fault(f, &ask.root, ask.raw_path())) {
        Some(answer) => Err(answer),
        None => Ok(()),
    }
}

/// The holder's directory, unless it throttles just now.
fn throttle<'a>(state: &'a State, holder: &Holder) -> Result<&'a Directory, HttpResponse> {
    let directory = state
        .world
        .of(holder.directory)
        .ok_or_else(refusal::unauthorised)?;
    if state.is_throttled(directory.id) {
        return Err(refusal::throttled(Some("120")));
    }
    if directory.throttle_every > 0
        && state
            .served(directory.id)
            .is_multiple_of(directory.throttle_every)
    {
        return Err(refusal::throttled(Some("1")));
    }
    Ok(directory)
}

fn licensed(licence: Licence, directory: &Directory) -> Result<(), HttpResponse> {
    match licence {
        Licence::Premium if !directory.premium => Err(refusal::not_premium()),
        Licence::Protection if !directory.premium_two => Err(refusal::error(
            403,
            "Forbidden",
            "Your tenant is not licensed for this feature.",
        )),
        Licence::Governance if !directory.premium_two => Err(refusal::error(
            400,
            "AadPremiumLicenseRequired",
            "The tenant needs to have Microsoft Entra ID P2 or Microsoft Entra ID Governance license.",
        )),
        Licence::Intune if !directory.premium_two => Err(refusal::error(
            400,
            "BadRequest",
            "Request not applicable to target tenant.",
        )),
        _ => Ok(()),
    }
}
