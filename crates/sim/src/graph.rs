//! Graph v1.0: what the product reads, as Microsoft answers it.

use std::{collections::HashMap, sync::Arc};

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Map, Value, json};

use crate::{
    Directory, Kind, data,
    state::{Changes, State},
};

pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config.service(
        web::scope("/v1.0")
            .route("/organization", web::get().to(organization))
            .route("/domains", web::get().to(domains))
            .route("/users", web::get().to(users))
            .route("/users/{id}", web::get().to(user))
            .route("/groups", web::get().to(groups))
            .route("/groups/{id}", web::get().to(group))
            .route("/groups/{id}/members", web::get().to(members))
            .route("/subscribedSkus", web::get().to(skus))
            .route(
                "/reports/authenticationMethods/userRegistrationDetails",
                web::get().to(registrations),
            )
            .route("/security/secureScores", web::get().to(secure_scores))
            .route(
                "/security/secureScoreControlProfiles",
                web::get().to(control_profiles),
            )
            .configure(crate::partner::routes)
            .default_service(web::to(unknown)),
    );
}

type Query = HashMap<String, String>;

/// Everything that one authorised request needs.
pub(crate) struct Call<'a> {
    request: &'a HttpRequest,
    pub(crate) directory: &'a Directory,
    changes: Changes,
    pub(crate) query: Query,
    fault: Option<Kind>,
}

pub(crate) fn error(status: u16, code: &str, message: &str) -> HttpResponse {
    let id = uuid::Uuid::from_u64_pair(u64::from(status), 1);
    HttpResponse::build(actix_web::http::StatusCode::from_u16(status).unwrap_or_default())
        .insert_header(("request-id", id.to_string()))
        .json(
            json!({ "error": { "code": code, "message": message, "innerError": {
            "date": "2026-11-20T10:00:00", "request-id": id, "client-request-id": id } } }),
        )
}

/// Checks token, consent, permission and licence in Microsoft's order, and meets faults.
pub(crate) async fn authorise<'a>(
    state: &'a State,
    request: &'a HttpRequest,
    roles: &[&str],
    premium: bool,
) -> Result<Call<'a>, HttpResponse> {
    let template = request.match_pattern().unwrap_or_default();
    let path = request.uri().path_and_query().map_or("", |p| p.as_str());
    let fault = state.note(path, &template);
    match &fault {
        Some(Kind::Error { status, code }) => return Err(error(*status, code, "simulated fault")),
        Some(Kind::Throttle { seconds }) => return Err(throttled(*seconds)),
        Some(Kind::Html) => {
            return Err(HttpResponse::Ok()
                .content_type("text/html")
                .body("<html><body>Gateway</body></html>"));
        }
        Some(Kind::Redirect) => {
            return Err(HttpResponse::Found()
                .insert_header(("location", "http://127.0.0.1:9/v1.0/users"))
                .finish());
        }
        Some(Kind::Slow { ms }) => {
            actix_web::rt::time::sleep(std::time::Duration::from_millis(*ms)).await;
        }
        _ => {}
    }
    let unauthorised = || {
        error(
            401,
            "InvalidAuthenticationToken",
            "Access token is empty or invalid.",
        )
    };
    let token = request
        .headers()
        .get("authorization")
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.strip_prefix("Bearer "))
        .ok_or_else(unauthorised)?;
    let holder = state.holder(token).ok_or_else(unauthorised)?;
    let world = &state.world;
    let directory = world
        .directory(&holder.directory.to_string())
        .ok_or_else(unauthorised)?;
    if directory.throttle_every > 0
        && state
            .served(directory.id)
            .is_multiple_of(directory.throttle_every)
    {
        return Err(throttled(1));
    }
    if !roles
        .iter()
        .any(|role| holder.roles.iter().any(|held| held == role))
    {
        return Err(error(
            403,
            "Authorization_RequestDenied",
            "Insufficient privileges to complete the operation.",
        ));
    }
    if premium && !directory.premium {
        return Err(error(
            403,
            "Authentication_RequestFromNonPremiumTenantOrB2CTenant",
            "Neither tenant is B2C or tenant doesn't have premium license",
        ));
    }
    let query = web::Query::<Query>::from_query(request.query_string())
        .map(web::Query::into_inner)
        .unwrap_or_default();
    Ok(Call {
        request,
        directory,
        changes: state.changes(directory.id),
        query,
        fault,
    })
}

fn throttled(seconds: u64) -> HttpResponse {
    HttpResponse::TooManyRequests()
        .insert_header(("retry-after", seconds.to_string()))
        .json(json!({ "error": { "code": "TooManyRequests", "message": "Too many requests." } }))
}

impl Call<'_> {
    fn root(&self) -> String {
        let info = self.request.connection_info();
        format!("{}://{}/v1.0", info.scheme(), info.host())
    }

    /// Keeps the selected properties; the id always comes for entities that were selected from.
    pub(crate) fn select(&self, item: Value) -> Value {
        let (Some(select), Value::Object(item)) = (self.query.get("$select"), &item) else {
            return item;
        };
        let wanted: Vec<&str> = select.split(',').map(str::trim).collect();
        let kept: Map<String, Value> = item
            .iter()
            .filter(|(name, _)| wanted.contains(&name.as_str()) || name.starts_with("@odata."))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        Value::Object(kept)
    }

    /// One page of `total` objects made by `make`, with a `nextLink` that carries the query on.
    pub(crate) fn page(
        &self,
        context: &str,
        total: usize,
        default: usize,
        max: usize,
        make: impl Fn(usize) -> Value,
    ) -> HttpResponse {
        let size = match self.query.get("$top").map(|t| t.parse::<usize>()) {
            None => default,
            Some(Ok(n)) if (1..=max).contains(&n) => n,
            Some(_) => {
                return error(
                    400,
                    "Request_BadRequest",
                    &format!("Invalid page size specified. Must be between 1 and {max} inclusive."),
                );
            }
        };
        let from = match self.query.get("$skiptoken").map(|t| decode(t)) {
            None => 0,
            Some(Some(n)) => n,
            Some(None) => {
                return error(
                    400,
                    "Directory_ExpiredPageToken",
                    "The specified page token value has expired.",
                );
            }
        };
        let items: Vec<Value> = (from..total.min(from + size))
            .map(|i| self.select(make(i)))
            .collect();
        let mut body = Map::new();
        body.insert(
            "@odata.context".into(),
            json!(format!("{}/$metadata#{context}", self.root())),
        );
        if self.query.get("$count").is_some_and(|c| c == "true") && from == 0 {
            body.insert("@odata.count".into(), json!(total));
        }
        if let Some(link) = self.next_link(from + size, total) {
            body.insert("@odata.nextLink".into(), json!(link));
        }
        body.insert("value".into(), Value::Array(items));
        self.send(&Value::Object(body))
    }

    fn next_link(&self, next: usize, total: usize) -> Option<String> {
        match self.fault {
            Some(Kind::ForeignLink) => {
                return Some("http://127.0.0.1:9/v1.0/users?$skiptoken=x".into());
            }
            Some(Kind::LoopingLink) => {
                return Some(format!(
                    "{}{}",
                    self.root().trim_end_matches("/v1.0"),
                    self.request.uri()
                ));
            }
            _ => {}
        }
        if next >= total {
            return None;
        }
        let mut query: Vec<String> = self
            .query
            .iter()
            .filter(|(name, _)| *name != "$skiptoken")
            .map(|(name, value)| {
                let value: String =
                    url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
                format!("{name}={value}")
            })
            .collect();
        query.sort();
        query.push(format!("$skiptoken={}", encode(next)));
        let path = self.request.path().trim_start_matches("/v1.0");
        Some(format!("{}{path}?{}", self.root(), query.join("&")))
    }

    pub(crate) fn send(&self, body: &Value) -> HttpResponse {
        let text = body.to_string();
        let text = match self.fault {
            Some(Kind::HalfBody) => {
                let mut half = text.len() / 2;
                while !text.is_char_boundary(half) {
                    half -= 1;
                }
                text[..half].to_owned()
            }
            _ => text,
        };
        HttpResponse::Ok()
            .content_type("application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8")
            .insert_header(("request-id", uuid::Uuid::from_u128(7).to_string()))
            .insert_header(("x-ms-resource-unit", "1"))
            .body(text)
    }
}

fn encode(n: usize) -> String {
    data_encoding::BASE64URL_NOPAD.encode(format!("page:{n}").as_bytes())
}

fn decode(token: &str) -> Option<usize> {
    let bytes = data_encoding::BASE64URL_NOPAD
        .decode(token.as_bytes())
        .ok()?;
    String::from_utf8(bytes)
        .ok()?
        .strip_prefix("page:")?
        .parse()
        .ok()
}

macro_rules! call {
    ($state:expr, $request:expr, $roles:expr, premium: $premium:expr) => {
        match authorise(&$state, &$request, $roles, $premium).await {
            Ok(call) => call,
            Err(answer) => return answer,
        }
    };
    ($state:expr, $request:expr, $roles:expr) => {
        call!($state, $request, $roles, premium: false)
    };
}

async fn organization(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    let call = call!(
        state,
        request,
        &[
            "Organization.Read.All",
            "Directory.Read.All",
            "User.Read.All"
        ]
    );
    call.page("organization", 1, 100, 999, |_| {
        data::organization(call.directory)
    })
}

async fn domains(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    let call = call!(state, request, &["Domain.Read.All", "Directory.Read.All"]);
    let all = data::domains(call.directory);
    call.page("domains", all.len(), 100, 999, |i| all[i].clone())
}

async fn users(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    let call = call!(state, request, &["User.Read.All", "Directory.Read.All"]);
    let (directory, gone) = (call.directory, call.changes.removed_users);
    // The administrator stays; leavers are the users after them.
    let index = |i: usize| if i == 0 { 0 } else { i + gone };
    call.page("users", directory.users - gone, 100, 999, |i| {
        data::user(directory, index(i), &call.changes)
    })
}

async fn user(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    let call = call!(state, request, &["User.Read.All", "Directory.Read.All"]);
    let id = request.match_info().query("id");
    match (0..call.directory.users).find(|i| data::user_id(call.directory, *i).to_string() == id) {
        Some(i) => {
            let item = call.select(data::user(call.directory, i, &call.changes));
            call.send(&item)
        }
        None => not_found(id),
    }
}

pub(crate) fn not_found(id: &str) -> HttpResponse {
    error(
        404,
        "Request_ResourceNotFound",
        &format!(
            "Resource '{id}' does not exist or one of its queried reference-property objects are not present."
        ),
    )
}

const GROUP_ROLES: &[&str] = &[
    "GroupMember.Read.All",
    "Group.Read.All",
    "Directory.Read.All",
];

async fn groups(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    let call = call!(state, request, GROUP_ROLES);
    call.page("groups", call.directory.groups, 100, 999, |i| {
        data::group(call.directory, i)
    })
}

async fn group(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    let call = call!(state, request, GROUP_ROLES);
    let id = request.match_info().query("id");
    match data::group_index(call.directory, id) {
        Some(i) => {
            let item = call.select(data::group(call.directory, i));
            call.send(&item)
        }
        None => not_found(id),
    }
}

async fn members(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    let call = call!(state, request, GROUP_ROLES);
    let id = request.match_info().query("id");
    let Some(group) = data::group_index(call.directory, id) else {
        return not_found(id);
    };
    let total = data::member_count(call.directory, group);
    call.page("directoryObjects", total, 100, 999, |k| {
        let index = data::member_user(call.directory, group, k);
        let mut user = data::user(call.directory, index, &call.changes);
        user["@odata.type"] = json!("#microsoft.graph.user");
        user
    })
}

async fn skus(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    let call = call!(
        state,
        request,
        &["Organization.Read.All", "Directory.Read.All"]
    );
    let all = data::skus(call.directory);
    call.page("subscribedSkus", all.len(), 100, 999, |i| all[i].clone())
}

async fn registrations(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    let call = call!(state, request, &["AuditLog.Read.All"], premium: true);
    let (directory, gone) = (call.directory, call.changes.removed_users);
    call.page(
        "reports/authenticationMethods/userRegistrationDetails",
        directory.users - gone,
        999,
        999,
        |i| data::registration(directory, if i == 0 { 0 } else { i + gone }),
    )
}

async fn secure_scores(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    let call = call!(state, request, &["SecurityEvents.Read.All"]);
    call.page("security/secureScores", 90, 90, 90, |ago| {
        data::secure_score(call.directory, ago)
    })
}

async fn control_profiles(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    let call = call!(state, request, &["SecurityEvents.Read.All"]);
    let all = data::control_profiles(call.directory);
    call.page(
        "security/secureScoreControlProfiles",
        all.len(),
        20,
        200,
        |i| all[i].clone(),
    )
}

async fn unknown(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    let state: Arc<State> = state.into_inner();
    state.note(request.path(), request.path());
    error(
        400,
        "BadRequest",
        &format!("Resource not found for the segment '{}'.", request.path()),
    )
}
