//! Global Settings › Integrations › Microsoft Entra ID: credentials with their guide.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use askama::Template;
use consent::permission::{self, Permission};
use graph::Cloud;
use model::{
    CredentialId, FieldError, Tenant, Timestamp,
    credential::{self, Credential, Draft},
    mapping, tenant,
};
use serde::Deserialize;

use super::{consents, error_of};
use crate::{
    Portal,
    guard::{self, Signed},
    problem::PageProblem,
    view::{Answer, Html, Page, badge, filters, html, html_status, see_other},
};

#[derive(Template)]
#[template(path = "credentials/integrations.html")]
struct Integrations {
    page: Page,
    credentials: usize,
}

#[derive(Template)]
#[template(path = "credentials/index.html")]
struct Index {
    page: Page,
    rows: Vec<(Credential, usize, String)>,
}

#[derive(Template)]
#[template(path = "credentials/form.html")]
struct Edit {
    page: Page,
    id: Option<CredentialId>,
    draft: Draft,
    clouds: Vec<Arc<Cloud>>,
    errors: Vec<FieldError>,
    redirect_uri: String,
    manifest: String,
    permissions: &'static [Permission],
}

impl Edit {
    fn error(&self, field: &str) -> Option<&str> {
        error_of(&self.errors, field)
    }
}

#[derive(Template)]
#[template(path = "credentials/show.html")]
struct Show {
    page: Page,
    credential: Credential,
    cloud: String,
    tenants: Vec<Tenant>,
    mapped: Vec<model::DirectoryId>,
    redirect_uri: String,
    manifest: String,
    permissions: &'static [Permission],
    pin: String,
    pin_error: Option<String>,
}

/// A credential's state as people see it.
pub(super) fn state_badge(credential: &Credential, now: &Timestamp) -> Html {
    match credential.shown_state(*now) {
        "draft" => badge("", "circle-dashed", "Draft"),
        "awaiting_consent" => badge("badge-info", "clock", "Awaiting consent"),
        "active" => badge("badge-ok", "circle-check", "Active"),
        "expiring" => badge("badge-warn", "key", "Secret expires soon"),
        "expired" => badge("badge-bad", "key", "Secret expired"),
        "failing" => badge("badge-bad", "alert-circle", "Failing"),
        _ => badge("", "ban", "Revoked"),
    }
}

/// A tenant's state as people see it.
pub(super) fn tenant_badge(tenant: &Tenant) -> Html {
    match tenant.state {
        model::TenantState::Consented => badge("badge-ok", "circle-check", "Consented"),
        model::TenantState::Disconnected => badge("badge-bad", "alert-circle", "Disconnected"),
    }
}

const INTEGRATIONS: &str = "/settings/integrations";
pub(super) const ENTRA: &str = "/settings/integrations/entra";

pub(super) async fn frame(
    request: &HttpRequest,
    portal: &Portal,
    principal: &Signed,
    title: &str,
) -> Result<Page, PageProblem> {
    Ok(Page::new(request, portal, principal, title, "entra")
        .await?
        .under("Integrations", INTEGRATIONS))
}

pub(crate) async fn integrations(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
) -> Answer {
    let page = Page::new(
        &request,
        &portal,
        &principal,
        "Integrations",
        "integrations",
    )
    .await?;
    let credentials = credential::list(&principal.scope).await?;
    let credentials = credentials
        .iter()
        .filter(|c| c.revoked_at.is_none())
        .count();
    html(&Integrations { page, credentials })
}

pub(crate) async fn index(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
) -> Answer {
    let page = frame(&request, &portal, &principal, "Microsoft Entra ID").await?;
    let mut rows = Vec::new();
    for credential in credential::list(&principal.scope).await? {
        let tenants = tenant::list(&principal.scope, Some(credential.id))
            .await?
            .len();
        let label = cloud_label(&portal, &credential.cloud);
        rows.push((credential, tenants, label));
    }
    html(&Index { page, rows })
}

fn cloud_label(portal: &Portal, name: &str) -> String {
    portal
        .consent
        .connection
        .clouds
        .get(name)
        .map_or_else(|| name.to_owned(), |c| c.label.clone())
}

fn manifest() -> String {
    let json = serde_json::to_string_pretty(&permission::required_resource_access());
    format!("\"requiredResourceAccess\": {}", json.unwrap_or_default())
}

fn edit_page(
    page: Page,
    portal: &Portal,
    id: Option<CredentialId>,
    draft: Draft,
    errors: Vec<FieldError>,
) -> Edit {
    Edit {
        page,
        id,
        draft: Draft {
            client_secret: String::new(),
            ..draft
        },
        clouds: portal.consent.connection.clouds.all().to_vec(),
        errors,
        redirect_uri: portal.consent.redirect_uri.clone(),
        manifest: manifest(),
        permissions: permission::MANIFEST,
    }
}

/// A form that leads on to Microsoft needs its hosts in the policy.
pub(super) fn with_sign_in(portal: &Portal, answer: Answer) -> Answer {
    let mut response = answer?;
    if let Ok(value) = guard::policy_with_sign_in(portal).parse() {
        response
            .headers_mut()
            .insert(actix_web::http::header::CONTENT_SECURITY_POLICY, value);
    }
    Ok(response)
}

pub(crate) async fn new(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
) -> Answer {
    let page = frame(&request, &portal, &principal, "Add credential")
        .await?
        .under("Microsoft Entra ID", ENTRA);
    let first = portal.consent.connection.clouds.all().first();
    let draft = Draft {
        cloud: first.map(|c| c.name.clone()).unwrap_or_default(),
        ..Draft::default()
    };
    with_sign_in(
        &portal,
        html(&edit_page(page, &portal, None, draft, vec![])),
    )
}

#[derive(Debug, Deserialize)]
pub(crate) struct Form {
    #[serde(default)]
    name: String,
    #[serde(default)]
    cloud: String,
    #[serde(default)]
    directory_id: String,
    #[serde(default)]
    client_id: String,
    #[serde(default)]
    client_secret: String,
    #[serde(default)]
    secret_expires: String,
}

impl Form {
    fn draft(&self) -> Draft {
        Draft {
            name: self.name.clone(),
            cloud: self.cloud.clone(),
            directory_id: self.directory_id.clone(),
            client_id: self.client_id.clone(),
            client_secret: self.client_secret.clone(),
            secret_expires: self.secret_expires.clone(),
        }
    }
}

pub(crate) async fn create(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    form: web::Form<Form>,
) -> Answer {
    let connection = &portal.consent.connection;
    let draft = form.draft();
    let made = credential::create(
        &principal.scope,
        &connection.keyring,
        &connection.clouds.names(),
        &draft,
    )
    .await;
    match made {
        // Saving leads straight to Microsoft's consent page for the partner's own tenant.
        Ok(credential) => {
            let home = Some(credential.directory_id);
            consents::begin(&portal, &principal, &credential, home).await
        }
        Err(model::Error::Invalid(errors)) => {
            let page = frame(&request, &portal, &principal, "Add credential")
                .await?
                .under("Microsoft Entra ID", ENTRA);
            let edit = edit_page(page, &portal, None, draft, errors);
            with_sign_in(
                &portal,
                html_status(StatusCode::UNPROCESSABLE_ENTITY, &edit),
            )
        }
        Err(other) => Err(other.into()),
    }
}

pub(crate) async fn show(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    id: web::Path<CredentialId>,
) -> Answer {
    let credential = credential::get(&principal.scope, *id)
        .await?
        .ok_or(PageProblem::NotFound)?;
    show_credential(
        &request,
        &portal,
        &principal,
        credential,
        (String::new(), None),
    )
    .await
}

/// The credential's page; with what was typed for a tenant, and what is wrong with it.
pub(super) async fn show_credential(
    request: &HttpRequest,
    portal: &Portal,
    principal: &Signed,
    credential: Credential,
    (pin, pin_error): (String, Option<String>),
) -> Answer {
    let page = frame(request, portal, principal, &credential.name)
        .await?
        .under("Microsoft Entra ID", ENTRA);
    let status = match pin_error {
        Some(_) => StatusCode::UNPROCESSABLE_ENTITY,
        None => StatusCode::OK,
    };
    let mapped = mapping::list(&principal.scope, None).await?;
    let show = Show {
        page,
        cloud: cloud_label(portal, &credential.cloud),
        tenants: tenant::list(&principal.scope, Some(credential.id)).await?,
        mapped: mapped.into_iter().map(|m| m.mapping.directory_id).collect(),
        redirect_uri: portal.consent.redirect_uri.clone(),
        manifest: manifest(),
        permissions: permission::MANIFEST,
        credential,
        pin,
        pin_error,
    };
    with_sign_in(portal, html_status(status, &show))
}

pub(crate) async fn edit(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    id: web::Path<CredentialId>,
) -> Answer {
    let credential = credential::get(&principal.scope, *id)
        .await?
        .ok_or(PageProblem::NotFound)?;
    let page = edit_frame(&request, &portal, &principal, &credential).await?;
    html(&edit_page(
        page,
        &portal,
        Some(*id),
        draft_of(&credential),
        vec![],
    ))
}

async fn edit_frame(
    request: &HttpRequest,
    portal: &Portal,
    principal: &Signed,
    credential: &Credential,
) -> Result<Page, PageProblem> {
    Ok(frame(
        request,
        portal,
        principal,
        &format!("Edit {}", credential.name),
    )
    .await?
    .under("Microsoft Entra ID", ENTRA)
    .under(
        &credential.name,
        format!("{ENTRA}/credentials/{}", credential.id),
    ))
}

fn draft_of(credential: &Credential) -> Draft {
    Draft {
        name: credential.name.clone(),
        cloud: credential.cloud.clone(),
        directory_id: credential.directory_id.to_string(),
        client_id: credential.client_id.to_string(),
        client_secret: String::new(),
        secret_expires: credential
            .secret_expires_at
            .map(Timestamp::day)
            .unwrap_or_default(),
    }
}

pub(crate) async fn update(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    id: web::Path<CredentialId>,
    form: web::Form<Form>,
) -> Answer {
    let credential = credential::get(&principal.scope, *id)
        .await?
        .ok_or(PageProblem::NotFound)?;
    let keyring = &portal.consent.connection.keyring;
    match credential::edit(&principal.scope, keyring, *id, &form.draft()).await {
        Ok(_) => Ok(see_other(&format!("{ENTRA}/credentials/{id}"))),
        Err(model::Error::Invalid(errors)) => {
            let page = edit_frame(&request, &portal, &principal, &credential).await?;
            // What identifies the registration is not in the form when it is edited.
            let draft = Draft {
                name: form.name.clone(),
                secret_expires: form.secret_expires.clone(),
                ..draft_of(&credential)
            };
            let edit = edit_page(page, &portal, Some(*id), draft, errors);
            html_status(StatusCode::UNPROCESSABLE_ENTITY, &edit)
        }
        Err(other) => Err(other.into()),
    }
}

pub(crate) async fn revoke(principal: Signed, id: web::Path<CredentialId>) -> Answer {
    if credential::revoke(&principal.scope, *id).await? {
        Ok(see_other(&format!("{ENTRA}/credentials/{id}")))
    } else {
        Err(PageProblem::NotFound)
    }
}

/// To Microsoft: an address of another host, made by us.
pub(super) fn to_microsoft(url: &url::Url) -> HttpResponse {
    see_other(url.as_str())
}
