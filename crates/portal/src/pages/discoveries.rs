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

/// Domains of a text: a line each, or the first column of a CSV.
pub(crate) fn domains_of(text: &str) -> Vec<String> {
    text.lines()
        .map(|line| line.split([',', ';', '\t']).next().unwrap_or_default())
        .map(|cell| cell.trim().trim_matches('"').to_owned())
        .filter(|cell| !cell.is_empty() && !cell.eq_ignore_ascii_case("domain"))
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
                    Ok(summary) => typed.found = Some(summary),
                    Err(consent::Error::Model(model::Error::Invalid(errors))) => {
                        typed.errors = errors;
                    }
                    Err(other) => return Err(other.into()),
                }
            }
            typed.domains.clone_from(&form.domains);
        }
    }
    show_credential(&request, &portal, &principal, credential, typed).await
}
