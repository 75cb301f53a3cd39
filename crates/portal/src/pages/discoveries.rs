//! Discovery of customers' tenants from a credential's page.

use actix_web::{HttpRequest, web};
use consent::discovery::{self, Source};
use model::{CredentialId, FieldError, credential};
use serde::Deserialize;

use super::credentials::{Typed, show_credential};
use crate::{Portal, guard::Signed, problem::PageProblem, view::Answer};

#[derive(Debug, Deserialize)]
pub(crate) struct Form {
    #[serde(default)]
    source: String,
    #[serde(default)]
    domains: String,
}

/// Domains of a text: as many a line as there are, also as web or e-mail addresses; or the first
/// column of a CSV that is headed "domain".
fn domains_of(text: &str) -> Vec<String> {
    let is_table = text.lines().next().is_some_and(|l| {
        l.trim_start_matches('"')
            .to_lowercase()
            .starts_with("domain")
    });
    let cells: Vec<&str> = if is_table {
        text.lines()
            .skip(1)
            .map(|line| line.split([',', ';', '\t']).next().unwrap_or_default())
            .collect()
    } else {
        text.split([',', ';', '\t', ' ', '\n', '\r']).collect()
    };
    cells
        .into_iter()
        .map(|cell| {
            let cell = cell.trim().trim_matches('"');
            let host = cell.split_once("://").map_or(cell, |(_, rest)| rest);
            let host = host.split('/').next().unwrap_or_default();
            host.rsplit('@').next().unwrap_or_default().to_owned()
        })
        .filter(|cell| !cell.is_empty())
        .collect()
}

pub(crate) async fn create(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    id: web::Path<CredentialId>,
    form: web::Form<Form>,
) -> Answer {
    let scope = &principal.scope;
    let credential = credential::get(scope, *id)
        .await?
        .ok_or(PageProblem::NotFound)?;
    let connection = &portal.consent.connection;
    let source = match form.source.as_str() {
        "gdap" => Some(Source::Gdap),
        "contract" => Some(Source::Contracts),
        _ => None,
    };
    let mut typed = Typed::default();
    let field = |field, message: String| vec![FieldError { field, message }];
    match source {
        Some(source) => match discovery::discover(connection, scope, &credential, source).await? {
            Ok(summary) => typed.found = Some(summary),
            Err(error) => {
                let code = error.code().map(|c| format!(" ({c})")).unwrap_or_default();
                let message = format!("{}{code} {}", error.sentence(), error.remedy());
                typed.errors = field("source", message);
            }
        },
        None => {
            let lines = domains_of(&form.domains);
            if lines.is_empty() {
                typed.errors = field("domains", "Paste one domain or tenant ID a line.".into());
            } else {
                match discovery::resolve(connection, scope, &credential, &lines).await {
                    Ok(summary) => {
                        // What was found is done with; the rest is there to be mended.
                        let left: Vec<&str> =
                            summary.not_found.iter().map(|(l, _)| l.as_str()).collect();
                        typed.domains = left.join("\n");
                        typed.found = Some(summary);
                    }
                    Err(consent::Error::Model(model::Error::Invalid(errors))) => {
                        typed.errors = errors;
                    }
                    Err(other) => return Err(other.into()),
                }
            }
            if typed.found.is_none() {
                typed.domains.clone_from(&form.domains);
            }
        }
    }
    show_credential(&request, &portal, &principal, credential, typed).await
}
