//! The few pages that a person sees: accounts to choose, what is asked for, errors, and an index
//! that stands for the Entra admin center's app registration.

use std::{collections::HashMap, fmt::Write};

use actix_web::{HttpResponse, web};

use crate::{Application, Directory, Fault, state::State};

pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/", web::get().to(index))
        .route("/_sim/faults", web::post().to(add_fault))
        .route("/_sim/faults", web::delete().to(clear_faults))
        .route("/_sim/requests", web::get().to(requests));
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
        for (role, who) in [
            ("admin", "Global Administrator"),
            ("user", "User without a role"),
        ] {
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
    directories: &[&Directory],
    query: &Query,
) -> HttpResponse {
    let mut body = format!("<form method=\"post\">{}", accounts(directories, query));
    let _ = write!(
        body,
        "<p><b>{}</b> would like to:</p><ul>",
        escape(&application.name)
    );
    for role in &application.roles {
        let _ = write!(body, "<li>{role}</li>");
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
        "<p>to continue to {}</p><form method=\"post\">{}<button class=\"go\" name=\"decision\" value=\"accept\">Sign in</button></form>",
        escape(&application.name),
        accounts(directories, query)
    );
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .body(page("Sign in", &body))
}

async fn index(state: web::Data<State>) -> HttpResponse {
    let mut body = String::from(
        "<p>This stands for the Entra admin center: copy these values into the product.</p>",
    );
    for application in &state.world.applications {
        let _ = write!(
            body,
            "<h2>{}</h2><dl><dt>Directory (tenant) ID</dt><dd><code>{}</code></dd><dt>Application (client) ID</dt><dd><code>{}</code></dd><dt>Client secret, value</dt><dd><code>{}</code></dd></dl>",
            escape(&application.name),
            application.home,
            application.client_id,
            escape(&application.secret)
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
