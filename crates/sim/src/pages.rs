//! The few pages that a person sees: accounts to choose, what is asked for, errors, and an index
//! that stands for the Entra admin center's app registration.

use std::{collections::HashMap, fmt::Write};

use actix_web::{HttpResponse, web};

use crate::{Application, Directory, Fault, state::State, world::ACCOUNTS};

pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/", web::get().to(index))
        .route("/_sim/faults", web::post().to(add_fault))
        .route("/_sim/faults", web::delete().to(clear_faults))
        .route("/_sim/requests", web::get().to(requests))
        .route("/_sim/changes", web::post().to(change_users))
        .route("/_sim/limits", web::post().to(keep_limits))
        .route("/_sim/secrets", web::post().to(new_secret))
        .route("/_sim/secrets/expire", web::post().to(expire_secrets))
        .route("/_sim/certificates", web::post().to(add_certificate))
        .route("/_sim/grants", web::post().to(grant))
        .route("/_sim/grants/revoke", web::post().to(revoke));
}

type Query = HashMap<String, String>;

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;background:#f2f2f2;color:#1b1b1b;margin:0}\
main{background:#fff;max-width:34rem;margin:6vh auto;padding:2rem 2.5rem;box-shadow:0 2px 6px #0003}\
h1{font-size:1.4rem;font-weight:600}label{display:block;padding:.5rem 0;border-bottom:1px solid #eee}\
button{font:inherit;padding:.4rem 1.5rem;border:0;background:#ddd;margin:1.2rem .5rem 0 0;cursor:pointer}\
button[value=accept],.go{background:#0067b8;color:#fff}code{background:#f2f2f2;padding:.1rem .3rem;word-break:break-all}\
small{color:#555}fieldset{border:0;padding:0;max-height:20rem;overflow:auto}dt{font-weight:600;margin-top:.6rem}dd{margin:0}";

fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>{title}</title><style>{STYLE}</style></head><body><main><p><small>Simulated Microsoft sign-in</small></p><h1>{title}</h1>{body}</main></body></html>"
    )
}

pub(crate) fn problem(code: &str, text: &str) -> HttpResponse {
    let body = format!("<p>{code}: {}</p>", escape(text));
    HttpResponse::BadRequest()
        .content_type("text/html; charset=utf-8")
        .body(page(
            "Sorry, but we’re having trouble signing you in",
            &body,
        ))
}

/// The request's own parameters as hidden fields, and the accounts to choose from.
fn accounts(directories: &[&Directory], query: &Query) -> String {
    let mut html = String::new();
    for (name, value) in query {
        let _ = write!(
            html,
            "<input type=\"hidden\" name=\"{}\" value=\"{}\">",
            escape(name),
            escape(value)
        );
    }
    html.push_str("<fieldset><legend>Pick an account</legend>");
    let mut first = true;
    for directory in directories {
        for (role, who) in ACCOUNTS {
            let checked = if first { " checked" } else { "" };
            first = false;
            let _ = write!(
                html,
                "<label><input type=\"radio\" name=\"account\" value=\"{}/{role}\"{checked}> {role}@{} <small>{who}, {}</small></label>",
                directory.id,
                escape(&directory.domain),
                escape(&directory.name)
            );
        }
    }
    html.push_str("</fieldset>");
    html
}

pub(crate) fn consent(
    application: &Application,
    roles: &[String],
    directories: &[&Directory],
    query: &Query,
) -> HttpResponse {
    let mut body = format!("<form method=\"post\">{}", accounts(directories, query));
    let _ = write!(
        body,
        "<p><b>{}</b> would like to:</p><ul>",
        escape(&application.name)
    );
    for role in roles {
        let _ = write!(body, "<li>{}</li>", escape(role));
    }
    body.push_str("</ul><button name=\"decision\" value=\"accept\">Accept</button><button name=\"decision\" value=\"cancel\">Cancel</button></form>");
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .body(page("Permissions requested", &body))
}

pub(crate) fn sign_in(
    application: &Application,
    directories: &[&Directory],
    query: &Query,
) -> HttpResponse {
    let body = format!(
        "<p>to continue to {}</p>{}<form method=\"post\">{}<button class=\"go\" name=\"decision\" value=\"accept\">Sign in</button><button name=\"decision\" value=\"cancel\">Cancel</button></form>",
        escape(&application.name),
        asked_for(query),
        accounts(directories, query)
    );
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .body(page("Sign in", &body))
}

/// What a person is asked to let the application do in their name.
fn asked_for(query: &Query) -> String {
    let scope = query.get("scope").map_or("", String::as_str);
    let names: Vec<String> = scope
        .split(' ')
        .filter(|s| s.contains("://"))
        .filter_map(|s| s.rsplit('/').next())
        .map(|name| format!("<li>{}</li>", escape(name)))
        .collect();
    if names.is_empty() {
        return String::new();
    }
    format!(
        "<p>In your name it would like to:</p><ul>{}</ul>",
        names.concat()
    )
}

async fn index(state: web::Data<State>) -> HttpResponse {
    let mut body = String::from(
        "<p>This stands for the Entra admin center: copy these values into the product.</p>",
    );
    for application in &state.world.applications {
        let _ = write!(
            body,
            "<h2>{}</h2><p><small>{}</small></p><dl><dt>Directory (tenant) ID</dt><dd><code>{}</code></dd><dt>Application (client) ID</dt><dd><code>{}</code></dd>",
            escape(&application.name),
            if application.multi_tenant {
                "Accounts in any organizational directory (multitenant)"
            } else {
                "Accounts in this organizational directory only (single tenant)"
            },
            application.home,
            application.client_id,
        );
        for secret in state.secrets(application) {
            let ended = secret.ends_at.is_some_and(|end| end <= state.now());
            let _ = write!(
                body,
                "<dt>Client secret, value{}</dt><dd><code>{}</code></dd>",
                if ended { " (expired)" } else { "" },
                escape(&secret.value)
            );
        }
        let _ = write!(
            body,
            "</dl><p>{certificates} certificates uploaded.</p>\
             <form method=\"post\" action=\"/_sim/secrets\"><input type=\"hidden\" name=\"client_id\" value=\"{id}\"><button>New client secret</button></form>\
             <form method=\"post\" action=\"/_sim/secrets/expire\"><input type=\"hidden\" name=\"client_id\" value=\"{id}\"><button>Let the older secrets expire</button></form>\
             <form method=\"post\" action=\"/_sim/grants\"><input type=\"hidden\" name=\"client_id\" value=\"{id}\"><button>Grant admin consent for this directory</button></form>\
             <form method=\"post\" action=\"/_sim/certificates\"><input type=\"hidden\" name=\"client_id\" value=\"{id}\"><label>Certificate (PEM)<br><textarea name=\"certificate\" rows=\"4\" cols=\"50\"></textarea></label><button>Upload certificate</button></form>",
            certificates = state.certificates(application.client_id).len(),
            id = application.client_id,
        );
    }
    body.push_str("<h2>Directories</h2><ul>");
    for directory in &state.world.directories {
        let _ = write!(
            body,
            "<li>{} <small>{}, {} users</small><br><code>{}</code></li>",
            escape(&directory.name),
            escape(&directory.domain),
            directory.users,
            directory.id
        );
    }
    body.push_str("</ul>");
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .body(page("Simulated Microsoft cloud", &body))
}

async fn add_fault(state: web::Data<State>, fault: web::Json<Fault>) -> HttpResponse {
    state.add_fault(fault.into_inner());
    HttpResponse::NoContent().finish()
}

async fn clear_faults(state: web::Data<State>) -> HttpResponse {
    state.clear_faults();
    HttpResponse::NoContent().finish()
}

async fn requests(state: web::Data<State>, query: web::Query<Query>) -> HttpResponse {
    let part = query.get("contains").map_or("", String::as_str);
    HttpResponse::Ok().json(serde_json::json!({ "requests": state.requests(part) }))
}

/// Back to the index for people; nothing for scripts.
fn done(request: &actix_web::HttpRequest) -> HttpResponse {
    let wants_html = request
        .headers()
        .get("accept")
        .and_then(|v| v.to_str().ok())
        .is_some_and(|v| v.contains("text/html"));
    if wants_html {
        HttpResponse::SeeOther()
            .insert_header(("location", "/"))
            .finish()
    } else {
        HttpResponse::NoContent().finish()
    }
}

fn named<'a>(state: &'a State, form: &Query) -> Option<&'a Application> {
    state
        .world
        .application(form.get("client_id").map_or("", String::as_str))
}

/// `client_id`, and `ends_in` seconds where it is to end. Answers the value to scripts.
async fn new_secret(
    state: web::Data<State>,
    request: actix_web::HttpRequest,
    form: web::Form<Query>,
) -> HttpResponse {
    let Some(application) = named(&state, &form) else {
        return HttpResponse::NotFound().finish();
    };
    let ends_in = form.get("ends_in").and_then(|s| s.parse().ok());
    let value = state.new_secret(application, ends_in);
    let answer = done(&request);
    if answer.status().is_redirection() {
        answer
    } else {
        HttpResponse::Ok().json(serde_json::json!({ "value": value }))
    }
}

/// All secrets of an application but its newest end now.
async fn expire_secrets(
    state: web::Data<State>,
    request: actix_web::HttpRequest,
    form: web::Form<Query>,
) -> HttpResponse {
    let Some(application) = named(&state, &form) else {
        return HttpResponse::NotFound().finish();
    };
    let newest = state.secrets(application).pop().map(|s| s.value);
    state.expire_secrets(application, &newest.unwrap_or_default());
    done(&request)
}

/// `client_id` and `certificate`, PEM.
async fn add_certificate(
    state: web::Data<State>,
    request: actix_web::HttpRequest,
    form: web::Form<Query>,
) -> HttpResponse {
    let text = form.get("certificate").map_or("", String::as_str);
    let base64: String = text
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .flat_map(str::chars)
        .filter(|c| !c.is_whitespace())
        .collect();
    let der = data_encoding::BASE64.decode(base64.as_bytes());
    match (named(&state, &form), der) {
        (Some(application), Ok(der)) if x509_parser::parse_x509_certificate(&der).is_ok() => {
            state.add_certificate(application.client_id, &der);
            done(&request)
        }
        _ => problem("Upload failed", "This is no certificate in PEM."),
    }
}

async fn grant(
    state: web::Data<State>,
    request: actix_web::HttpRequest,
    form: web::Form<Query>,
) -> HttpResponse {
    on_grant(&state, &request, &form, State::grant)
}

async fn revoke(
    state: web::Data<State>,
    request: actix_web::HttpRequest,
    form: web::Form<Query>,
) -> HttpResponse {
    on_grant(&state, &request, &form, State::revoke)
}

/// `client_id`, and `directory` where it is not the application's home.
fn on_grant(
    state: &State,
    request: &actix_web::HttpRequest,
    form: &Query,
    act: fn(&State, uuid::Uuid, uuid::Uuid),
) -> HttpResponse {
    let Some(application) = named(state, form) else {
        return HttpResponse::NotFound().finish();
    };
    let directory = form.get("directory").and_then(|d| state.world.directory(d));
    act(
        state,
        directory.map_or(application.home, |d| d.id),
        application.client_id,
    );
    done(request)
}

/// Changes every `every`-th user of `directory`; answers how many.
async fn change_users(state: web::Data<State>, form: web::Form<Query>) -> HttpResponse {
    let directory = form.get("directory").and_then(|d| state.world.directory(d));
    let every = form.get("every").and_then(|e| e.parse().ok());
    match (directory, every) {
        (Some(directory), Some(every)) => {
            let changed = state.change(directory.id, |c, d| c.change_users(d, every));
            HttpResponse::Ok().body(changed.unwrap_or_default().to_string())
        }
        _ => HttpResponse::NotFound().finish(),
    }
}

/// Keeps Microsoft's limits, or does not.
async fn keep_limits(state: web::Data<State>, form: web::Form<Query>) -> HttpResponse {
    state
        .meter
        .keep(form.get("keep").is_some_and(|keep| keep == "yes"));
    HttpResponse::Ok().finish()
}
