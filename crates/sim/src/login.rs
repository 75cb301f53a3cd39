//! The sign-in service: admin consent, authorization codes, tokens, OpenID Connect metadata.

use std::collections::HashMap;

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;
use url::Url;

use crate::{
    Application, Directory, pages,
    state::{Code, State},
    token,
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
        .route(
            "/{tenant}/v2.0/.well-known/openid-configuration",
            web::get().to(metadata),
        )
        .route("/{tenant}/discovery/v2.0/keys", web::get().to(keys));
}

pub(crate) type Query = HashMap<String, String>;

pub(crate) fn root(request: &HttpRequest) -> String {
    let info = request.connection_info();
    format!("{}://{}", info.scheme(), info.host())
}

pub(crate) fn get<'a>(query: &'a Query, name: &str) -> &'a str {
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
    state.note_redirect_uri(redirect);
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
        Ok(directories) => pages::consent(
            application,
            &state.manifest(application.client_id),
            &directories,
            &query,
        ),
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

/// `account` is `{directory}/{name}`; see [`crate::world::ACCOUNTS`].
fn account<'a>(state: &'a State, form: &'a Query) -> Option<(&'a Directory, &'a str)> {
    let (directory, name) = get(form, "account").split_once('/')?;
    Some((state.world.directory(directory)?, name))
}

/// The cookie by which the sign-in service knows who signed in before.
const SIGNED_IN: &str = "simulated-sign-in";

fn remember(mut response: HttpResponse, account: &str) -> HttpResponse {
    let cookie = actix_web::cookie::Cookie::build(SIGNED_IN, account.to_owned())
        .path("/")
        .http_only(true)
        .finish();
    // Only a broken value could fail, and then the person is asked once more.
    let _ = response.add_cookie(&cookie);
    response
}

async fn consent_decision(state: web::Data<State>, form: web::Form<Query>) -> HttpResponse {
    decide(&state, &form)
}

fn decide(state: &State, form: &Query) -> HttpResponse {
    let application = match registration(state, form) {
        Ok(application) => application,
        Err(page) => return page,
    };
    let Some((directory, person)) = account(state, form) else {
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
    // Source: who may consent to application permissions of Graph.
    if !matches!(person, "admin" | "privileged" | "groupadmin" | "guest") {
        return failed(
            "access_denied",
            "AADSTS90094: The grant requires admin permission.",
        );
    }
    state.grant(directory.id, application.client_id);
    let id = directory.id.to_string();
    let scope = get(form, "scope");
    let answer = back(
        redirect,
        &[
            ("admin_consent", "True"),
            ("tenant", &id),
            ("scope", scope),
            ("state", back_state),
        ],
    );
    remember(answer, get(form, "account"))
}

async fn sign_in_page(
    state: web::Data<State>,
    request: HttpRequest,
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
    let directories = match offered(&state, &tenant) {
        Ok(directories) => directories,
        Err(page) => return page,
    };
    // Who signed in a moment ago goes straight through, unless they are asked for more.
    let known = request.cookie(SIGNED_IN).map(|c| c.value().to_owned());
    let asks_for_more = get(&query, "scope").contains("offline_access");
    if let Some(known) = known
        && !asks_for_more
        && directories
            .iter()
            .any(|d| known.starts_with(&d.id.to_string()))
    {
        let mut form = query.into_inner();
        form.insert("account".into(), known);
        return hand_out_code(&state, &tenant, &form);
    }
    pages::sign_in(application, &directories, &query)
}

async fn sign_in(
    state: web::Data<State>,
    tenant: web::Path<String>,
    form: web::Form<Query>,
) -> HttpResponse {
    if let Err(page) = registration(&state, &form) {
        return page;
    }
    if get(&form, "decision") == "cancel" {
        return back(
            get(&form, "redirect_uri"),
            &[
                ("error", "access_denied"),
                ("error_subcode", "cancel"),
                (
                    "error_description",
                    "AADSTS65004: User declined to consent to access the app.",
                ),
                ("state", get(&form, "state")),
            ],
        );
    }
    let answer = hand_out_code(&state, &tenant, &form);
    remember(answer, get(&form, "account"))
}

fn hand_out_code(state: &State, tenant: &str, form: &Query) -> HttpResponse {
    let Some((directory, person)) = account(state, form) else {
        return pages::problem("AADSTS50058", "Choose an account.");
    };
    // At `organizations` a guest is at home elsewhere; at the directory itself they are a guest.
    let home = &state.world.directories[0];
    let directory = match person {
        "guest" if tenant == "organizations" && home.id != directory.id => home,
        _ => directory,
    };
    let code = state.add_code(Code {
        directory: directory.id,
        account: person.to_owned(),
        client_id: get(form, "client_id").to_lowercase(),
        redirect_uri: get(form, "redirect_uri").into(),
        nonce: get(form, "nonce").into(),
        challenge: get(form, "code_challenge").into(),
        scope: get(form, "scope").into(),
        asked_anew: !get(form, "max_age").is_empty() || get(form, "prompt") == "login",
    });
    back(
        get(form, "redirect_uri"),
        &[("code", &code), ("state", get(form, "state"))],
    )
}

async fn metadata(
    state: web::Data<State>,
    request: HttpRequest,
    tenant: web::Path<String>,
) -> HttpResponse {
    let root = root(&request);
    let issuer_tenant = match tenant.as_str() {
        "organizations" | "common" => "{tenantid}".to_owned(),
        other => match state.world.directory(other) {
            Some(directory) => directory.id.to_string(),
            None => {
                let text = format!("Tenant '{other}' not found.");
                return token::refuse(400, "invalid_tenant", 90_002, &text);
            }
        },
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
