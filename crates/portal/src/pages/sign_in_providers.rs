//! Single sign-on of the organisation: its providers.

use actix_web::{HttpRequest, http::StatusCode, web};
use askama::Template;
use keys::Secret;
use model::{
    FieldError, ProviderKind, Role, SignInProvider, SignInProviderId,
    sign_in_provider::{self, Draft},
};
use serde::Deserialize;

use super::error_of;
use crate::{
    Portal,
    guard::Signed,
    problem::PageProblem,
    single_sign_on,
    view::{Answer, Page, filters, html, html_status, see_other},
};

#[derive(Template)]
#[template(path = "sign_in_providers/index.html")]
struct Index {
    page: Page,
    rows: Vec<(SignInProvider, String, String)>,
    can_change: bool,
}

pub(crate) async fn index(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
) -> Answer {
    let scope = &principal.scope;
    let providers = sign_in_provider::list(scope).await?;
    html(&Index {
        page: Page::new(&request, &portal, &principal, "Single sign-on", "sign-in").await?,
        rows: providers
            .into_iter()
            .map(|p| {
                let link = portal.url(&format!("/sign-in/providers/{}", p.id));
                let redirect_uri = single_sign_on::redirect_uri(&portal, p.id);
                (p, link, redirect_uri)
            })
            .collect(),
        can_change: scope.role() == Role::Owner,
    })
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Form {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    cloud: String,
    #[serde(default)]
    directory_id: String,
    #[serde(default)]
    issuer: String,
    #[serde(default)]
    client_id: String,
    #[serde(default)]
    client_secret: String,
    #[serde(default)]
    is_listed: String,
}

#[derive(Template)]
#[template(path = "sign_in_providers/form.html")]
struct New {
    page: Page,
    clouds: Vec<(String, String)>,
    form: Form,
    errors: Vec<FieldError>,
}

impl New {
    fn error(&self, field: &str) -> Option<&str> {
        error_of(&self.errors, field)
    }
}

pub(crate) async fn new(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
) -> Answer {
    let form = Form {
        kind: "entra".into(),
        ..Form::default()
    };
    page(&request, &portal, &principal, form, vec![]).await
}

async fn page(
    request: &HttpRequest,
    portal: &Portal,
    principal: &Signed,
    form: Form,
    errors: Vec<FieldError>,
) -> Answer {
    let status = match errors.is_empty() {
        true => StatusCode::OK,
        false => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let clouds = portal.consent.connection.clouds.all();
    let new = New {
        page: Page::new(request, portal, principal, "Add a provider", "sign-in")
            .await?
            .under("Single sign-on", "/settings/sign-in"),
        clouds: clouds
            .iter()
            .map(|c| (c.name.to_string(), c.label.to_string()))
            .collect(),
        form: Form {
            // What was typed stays, but for the secret.
            client_secret: String::new(),
            ..form
        },
        errors,
    };
    html_status(status, &new)
}

pub(crate) async fn create(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    form: web::Form<Form>,
) -> Answer {
    let form = form.into_inner();
    let one = |field, message: String| vec![FieldError { field, message }];
    let kind: ProviderKind = form.kind.parse().unwrap_or(ProviderKind::Entra);
    let is_entra = kind == ProviderKind::Entra;
    let client_id = form.client_id.trim().to_owned();
    if is_entra && client_id.parse::<uuid::Uuid>().is_err() {
        let errors = one(
            "client_id",
            "Enter the application (client) ID, a GUID.".into(),
        );
        return page(&request, &portal, &principal, form, errors).await;
    }
    if is_entra && portal.consent.connection.clouds.get(&form.cloud).is_none() {
        let errors = one("cloud", "Choose a cloud.".into());
        return page(&request, &portal, &principal, form, errors).await;
    }
    let draft = Draft {
        kind,
        name: form.name.clone(),
        cloud: if is_entra {
            form.cloud.clone()
        } else {
            String::new()
        },
        directory: match is_entra {
            true => form.directory_id.trim().parse().ok(),
            false => None,
        },
        issuer: if is_entra {
            String::new()
        } else {
            form.issuer.trim().to_owned()
        },
        client_id,
        client_secret: Secret::new(form.client_secret.trim()),
        is_listed: form.is_listed == "yes",
    };
    if let Err(model::Error::Invalid(errors)) = sign_in_provider::check(&draft) {
        return page(&request, &portal, &principal, form, errors).await;
    }
    // Found out now, not by the first who cannot sign in.
    if !is_entra && let Err(text) = single_sign_on::probe(&portal, &draft.issuer).await {
        return page(&request, &portal, &principal, form, one("issuer", text)).await;
    }
    let keyring = &portal.consent.connection.keyring;
    match sign_in_provider::create(&principal.scope, keyring, &draft).await {
        Ok(_) => Ok(see_other("/settings/sign-in")),
        Err(model::Error::Invalid(errors)) => {
            page(&request, &portal, &principal, form, errors).await
        }
        Err(other) => Err(other.into()),
    }
}

pub(crate) async fn delete(principal: Signed, id: web::Path<SignInProviderId>) -> Answer {
    sign_in_provider::remove(&principal.scope, *id)
        .await?
        .ok_or(PageProblem::NotFound)?;
    Ok(see_other("/settings/sign-in"))
}
