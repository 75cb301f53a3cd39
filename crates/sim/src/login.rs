//! The sign-in service: admin consent, authorization codes, tokens, OpenID Connect metadata.

use std::collections::HashMap;

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

use crate::{
    Application, Directory, Kind, data, pages,
    state::{Code, Holder, State},
    world,
};

pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/{tenant}/v2.0/adminconsent", web::get().to(consent_page))
        .route(
            "/{tenant}/v2.0/adminconsent",
            web::post().to(consent_decision),
        )
        .route(
            "/{tenant}/oauth2/v2.0/authorize",
            web::get().to(sign_in_page),
        )
        .route("/{tenant}/oauth2/v2.0/authorize", web::post().to(sign_in))
        .route("/{tenant}/oauth2/v2.0/token", web::post().to(token))
        .route(
            "/{tenant}/v2.0/.well-known/openid-configuration",
            web::get().to(metadata),
        )
        .route("/{tenant}/discovery/v2.0/keys", web::get().to(keys));
}

type Query = HashMap<String, String>;

fn root(request: &HttpRequest) -> String {
    let info = request.connection_info();
    format!("{}://{}", info.scheme(), info.host())
}

fn get<'a>(query: &'a Query, name: &str) -> &'a str {
    query.get(name).map_or("", String::as_str)
}

/// Checks what Microsoft checks before it shows a page: application and redirect URI.
fn registration<'a>(state: &'a State, query: &Query) -> Result<&'a Application, HttpResponse> {
    let client_id = get(query, "client_id");
    let Some(application) = state.world.application(client_id) else {
        return Err(pages::problem(
            "AADSTS700016",
            &format!("Application with identifier '{client_id}' was not found in the directory."),
        ));
    };
    let redirect = get(query, "redirect_uri");
    let known = if application.redirect_uris.is_empty() {
        Url::parse(redirect)
            .is_ok_and(|u| matches!(u.host_str(), Some("127.0.0.1" | "localhost" | "[::1]")))
    } else {
        application.redirect_uris.iter().any(|u| u == redirect)
    };
    if !known {
        return Err(pages::problem(
            "AADSTS50011",
            "The redirect URI specified in the request does not match the redirect URIs configured for the application.",
        ));
    }
    Ok(application)
}

/// The directories that a person could sign in to: the pinned one, or all.
fn offered<'a>(state: &'a State, tenant: &str) -> Result<Vec<&'a Directory>, HttpResponse> {
    if matches!(tenant, "organizations" | "common") {
        return Ok(state.world.directories.iter().collect());
    }
    state.world.directory(tenant).map(|d| vec![d]).ok_or_else(|| {
        pages::problem("AADSTS90002", &format!("Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID."))
    })
}

async fn consent_page(
    state: web::Data<State>,
    request: HttpRequest,
    tenant: web::Path<String>,
    query: web::Query<Query>,
) -> HttpResponse {
    let path = request.uri().path_and_query().map_or("", |p| p.as_str());
    state.note(path, "/{tenant}/v2.0/adminconsent");
    if *tenant == "common" {
        return pages::problem(
            "AADSTS50194",
            "The tenant 'common' is not to be used with this endpoint.",
        );
    }
    let application = match registration(&state, &query) {
        Ok(application) => application,
        Err(page) => return page,
    };
    if !get(&query, "scope").contains("/.default") {
        return pages::problem(
            "AADSTS70011",
            "The provided value for the input parameter 'scope' is not valid.",
        );
    }
    match offered(&state, &tenant) {
        // A script cannot press a button: where the tenant is pinned, its administrator agrees.
        Ok(directories) if is_script(&request) && directories.len() == 1 => {
            let mut form = query.into_inner();
            form.insert("account".into(), format!("{}/admin", directories[0].id));
            form.insert("decision".into(), "accept".into());
            decide(&state, &form)
        }
        Ok(directories) => pages::consent(application, &directories, &query),
        Err(page) => page,
    }
}

/// Browsers ask for HTML by name; scripts take anything.
fn is_script(request: &HttpRequest) -> bool {
    !request
        .headers()
        .get("accept")
        .and_then(|v| v.to_str().ok())
        .is_some_and(|v| v.contains("text/html"))
}

fn back(redirect: &str, pairs: &[(&str, &str)]) -> HttpResponse {
    let Ok(mut url) = Url::parse(redirect) else {
        return pages::problem("AADSTS50011", "The redirect URI is not a URL.");
    };
    url.query_pairs_mut().extend_pairs(pairs);
    HttpResponse::SeeOther()
        .insert_header(("location", url.as_str()))
        .finish()
}

/// `account` is `{directory}/admin` or `{directory}/user`.
fn account<'a>(state: &'a State, form: &Query) -> Option<(&'a Directory, bool)> {
    let (directory, role) = get(form, "account").split_once('/')?;
    Some((state.world.directory(directory)?, role == "admin"))
}

async fn consent_decision(state: web::Data<State>, form: web::Form<Query>) -> HttpResponse {
    decide(&state, &form)
}

fn decide(state: &State, form: &Query) -> HttpResponse {
    let application = match registration(state, form) {
        Ok(application) => application,
        Err(page) => return page,
    };
    let Some((directory, is_admin)) = account(state, form) else {
        return pages::problem("AADSTS50058", "Choose an account.");
    };
    let (redirect, back_state) = (get(form, "redirect_uri"), get(form, "state"));
    let tail = "\r\nTrace ID: 00000000-0000-4000-8000-000000000001\r\nCorrelation ID: 00000000-0000-4000-8000-000000000002\r\nTimestamp: 2026-11-20 10:00:00Z";
    let failed = |error: &str, description: &str| {
        back(
            redirect,
            &[
                ("error", error),
                ("error_description", &format!("{description}{tail}")),
                ("admin_consent", "True"),
                ("state", back_state),
            ],
        )
    };
    if get(form, "decision") != "accept" || directory.declines {
        return failed(
            "access_denied",
            "AADSTS65004: User declined to consent to access the app.",
        );
    }
    if !is_admin {
        return failed(
            "access_denied",
            "AADSTS90094: The grant requires admin permission.",
        );
    }
    state.grant(directory.id, application.client_id);
    let id = directory.id.to_string();
    let scope = get(form, "scope");
    back(
        redirect,
        &[
            ("admin_consent", "True"),
            ("tenant", &id),
            ("scope", scope),
            ("state", back_state),
        ],
    )
}

async fn sign_in_page(
    state: web::Data<State>,
    tenant: web::Path<String>,
    query: web::Query<Query>,
) -> HttpResponse {
    let application = match registration(&state, &query) {
        Ok(application) => application,
        Err(page) => return page,
    };
    if get(&query, "code_challenge_method") != "S256" || get(&query, "code_challenge").is_empty() {
        return pages::problem("AADSTS9002325", "Proof Key for Code Exchange is required.");
    }
    match offered(&state, &tenant) {
        Ok(directories) => pages::sign_in(application, &directories, &query),
        Err(page) => page,
    }
}

async fn sign_in(state: web::Data<State>, form: web::Form<Query>) -> HttpResponse {
    if let Err(page) = registration(&state, &form) {
        return page;
    }
    let Some((directory, is_admin)) = account(&state, &form) else {
        return pages::problem("AADSTS50058", "Choose an account.");
    };
    let code = state.add_code(Code {
        directory: directory.id,
        account: if is_admin { "admin" } else { "user" }.into(),
        client_id: get(&form, "client_id").to_lowercase(),
        redirect_uri: get(&form, "redirect_uri").into(),
        nonce: get(&form, "nonce").into(),
        challenge: get(&form, "code_challenge").into(),
    });
    back(
        get(&form, "redirect_uri"),
        &[("code", &code), ("state", get(&form, "state"))],
    )
}

fn refuse(status: u16, error: &str, code: u32, text: &str) -> HttpResponse {
    HttpResponse::build(actix_web::http::StatusCode::from_u16(status).unwrap_or_default()).json(json!({
        "error": error,
        "error_description": format!("AADSTS{code}: {text}\r\nTrace ID: 00000000-0000-4000-8000-000000000001\r\nCorrelation ID: 00000000-0000-4000-8000-000000000002\r\nTimestamp: 2026-11-20 10:00:00Z"),
        "error_codes": [code], "timestamp": "2026-11-20 10:00:00Z",
        "trace_id": "00000000-0000-4000-8000-000000000001",
        "correlation_id": "00000000-0000-4000-8000-000000000002",
    }))
}

async fn token(
    state: web::Data<State>,
    request: HttpRequest,
    tenant: web::Path<String>,
    form: web::Form<Query>,
) -> HttpResponse {
    match state.note(request.path(), "/{tenant}/oauth2/v2.0/token") {
        Some(Kind::Error { status, code }) => {
            // The code may be written "error:number" to choose Microsoft's number.
            let (error, number) = code.split_once(':').unwrap_or((&code, "90033"));
            return refuse(
                status,
                error,
                number.parse().unwrap_or(90_033),
                "simulated fault",
            );
        }
        Some(Kind::Throttle { seconds }) => {
            return HttpResponse::TooManyRequests()
                .insert_header(("retry-after", seconds.to_string()))
                .json(json!({ "error": "temporarily_unavailable", "error_description": "AADSTS90055: throttled" }));
        }
        Some(Kind::Html) => return HttpResponse::Ok().content_type("text/html").body("<html>"),
        _ => {}
    }
    let client_id = get(&form, "client_id");
    let Some(application) = state.world.application(client_id) else {
        return refuse(
            400,
            "unauthorized_client",
            700_016,
            &format!("Application with identifier '{client_id}' was not found in the directory."),
        );
    };
    if application.secret != get(&form, "client_secret") {
        return refuse(
            401,
            "invalid_client",
            7_000_215,
            "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID.",
        );
    }
    match get(&form, "grant_type") {
        "client_credentials" => client_credentials(&state, application, &tenant, &form),
        "authorization_code" => authorization_code(&state, &request, application, &form),
        other => refuse(
            400,
            "unsupported_grant_type",
            70_003,
            &format!("The app requested an unsupported grant type '{other}'."),
        ),
    }
}

fn client_credentials(
    state: &State,
    application: &Application,
    tenant: &str,
    form: &Query,
) -> HttpResponse {
    if !get(form, "scope").ends_with("/.default") {
        return refuse(
            400,
            "invalid_scope",
            70_011,
            "The provided request must include a 'scope' input parameter ending in /.default.",
        );
    }
    let Some(directory) = state.world.directory(tenant) else {
        return refuse(
            400,
            "invalid_request",
            90_002,
            &format!("Tenant '{tenant}' not found."),
        );
    };
    if !state.is_granted(directory.id, application.client_id) {
        return refuse(
            401,
            "invalid_client",
            7_000_229,
            &format!(
                "The client application '{}' is missing service principal in the tenant '{tenant}'.",
                application.client_id
            ),
        );
    }
    let token = state.issue(Holder {
        directory: directory.id,
        client_id: application.client_id,
    });
    HttpResponse::Ok().json(json!({
        "token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "access_token": token,
    }))
}

fn authorization_code(
    state: &State,
    request: &HttpRequest,
    application: &Application,
    form: &Query,
) -> HttpResponse {
    let Some(code) = state.take_code(get(form, "code")) else {
        return refuse(
            400,
            "invalid_grant",
            70_008,
            "The provided authorization code has expired or was used.",
        );
    };
    let hash = ring::digest::digest(&ring::digest::SHA256, get(form, "code_verifier").as_bytes());
    let proven = data_encoding::BASE64URL_NOPAD.encode(hash.as_ref()) == code.challenge;
    if !proven
        || code.redirect_uri != get(form, "redirect_uri")
        || code.client_id != application.client_id.to_string()
    {
        return refuse(
            400,
            "invalid_grant",
            50_148,
            "The code_verifier or redirect_uri does not match.",
        );
    }
    let now = data::now().timestamp();
    let mut claims = json!({
        "ver": "2.0", "iss": format!("{}/{}/v2.0", root(request), code.directory),
        "aud": application.client_id, "tid": code.directory,
        "oid": world::id(code.account.as_bytes(), code.directory.as_u64_pair().0),
        "sub": "simulated", "iat": now, "nbf": now, "exp": now + 3600, "nonce": code.nonce,
        "name": code.account,
    });
    claims["wids"] = if code.account == "admin" {
        json!([Uuid::from_u128(0x62e9_0394_69f5_4237_9190_0121_7714_5e10)])
    } else {
        Value::Array(vec![])
    };
    match state.signer.sign(&claims) {
        Some(id_token) => HttpResponse::Ok().json(json!({
            "token_type": "Bearer", "scope": "openid profile", "expires_in": 3599,
            "access_token": "opaque", "id_token": id_token,
        })),
        None => refuse(
            500,
            "server_error",
            90_033,
            "The signing key could not be made.",
        ),
    }
}

async fn metadata(request: HttpRequest, tenant: web::Path<String>) -> HttpResponse {
    let root = root(&request);
    let issuer_tenant = match tenant.as_str() {
        "organizations" | "common" => "{tenantid}",
        other => other,
    };
    HttpResponse::Ok().json(json!({
        "issuer": format!("{root}/{issuer_tenant}/v2.0"),
        "authorization_endpoint": format!("{root}/{tenant}/oauth2/v2.0/authorize"),
        "token_endpoint": format!("{root}/{tenant}/oauth2/v2.0/token"),
        "jwks_uri": format!("{root}/{tenant}/discovery/v2.0/keys"),
        "response_types_supported": ["code", "id_token", "code id_token"],
        "response_modes_supported": ["query", "fragment", "form_post"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "claims_supported": ["sub", "iss", "aud", "exp", "iat", "nonce", "tid", "oid", "ver"],
    }))
}

async fn keys(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    let template = format!("{}/{{tenantid}}/v2.0", root(&request));
    HttpResponse::Ok().json(state.signer.jwks(&template))
}
