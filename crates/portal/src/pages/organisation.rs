//! The partner's own name and contact, as customers' administrators see them.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use askama::Template;
use model::{
    FieldError,
    brand::{self, Brand, Logo},
    partner,
};
use serde::Deserialize;

use super::error_of;
use crate::{
    Portal,
    guard::Signed,
    problem::PageProblem,
    upload::Fields,
    view::{Answer, Page, filters, html, html_status, see_other},
};

#[derive(Template)]
#[template(path = "organisation.html")]
struct Edit {
    page: Page,
    name: String,
    contact: String,
    brand: Brand,
    errors: Vec<FieldError>,
    saved: bool,
}

impl Edit {
    fn error(&self, field: &str) -> Option<&str> {
        error_of(&self.errors, field)
    }
}

async fn frame(
    request: &HttpRequest,
    portal: &Portal,
    principal: &Signed,
) -> Result<Page, crate::problem::PageProblem> {
    Page::new(request, portal, principal, "Organisation", "organisation").await
}

#[derive(Debug, Deserialize)]
pub(crate) struct ShowQuery {
    #[serde(default)]
    saved: String,
}

pub(crate) async fn edit(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    query: web::Query<ShowQuery>,
) -> Answer {
    let partner = partner::current(&principal.scope).await?;
    html(&Edit {
        page: frame(&request, &portal, &principal).await?,
        name: partner.name,
        contact: partner.contact,
        brand: brand::get(&principal.scope).await?,
        errors: vec![],
        saved: !query.saved.is_empty(),
    })
}

#[derive(Debug, Deserialize)]
pub(crate) struct Form {
    #[serde(default)]
    name: String,
    #[serde(default)]
    contact: String,
}

pub(crate) async fn update(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    form: web::Form<Form>,
) -> Answer {
    match partner::edit(&principal.scope, &form.name, &form.contact).await {
        Ok(()) => Ok(see_other("/settings/organisation?saved=yes")),
        Err(model::Error::Invalid(errors)) => {
            let edit = Edit {
                page: frame(&request, &portal, &principal).await?,
                name: form.name.clone(),
                contact: form.contact.clone(),
                brand: brand::get(&principal.scope).await?,
                errors,
                saved: false,
            };
            html_status(StatusCode::UNPROCESSABLE_ENTITY, &edit)
        }
        Err(other) => Err(other.into()),
    }
}

/// The colour and the logo of reports.
pub(crate) async fn set_brand(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    fields: Fields,
) -> Answer {
    let logo = match (fields.file("logo"), fields.get("remove_logo")) {
        (Some(bytes), _) => Logo::Set(bytes.to_vec()),
        (None, "yes") => Logo::Remove,
        (None, _) => Logo::Keep,
    };
    let colour = fields.get("colour").to_owned();
    match brand::set(&principal.scope, &colour, logo).await {
        Ok(()) => Ok(see_other("/settings/organisation?saved=yes")),
        Err(model::Error::Invalid(errors)) => {
            let partner = partner::current(&principal.scope).await?;
            let stored = brand::get(&principal.scope).await?;
            let edit = Edit {
                page: frame(&request, &portal, &principal).await?,
                name: partner.name,
                contact: partner.contact,
                brand: Brand { colour, ..stored },
                errors,
                saved: false,
            };
            html_status(StatusCode::UNPROCESSABLE_ENTITY, &edit)
        }
        Err(other) => Err(other.into()),
    }
}

/// The logo, as it was uploaded; its type is what its first bytes said then.
pub(crate) async fn logo(principal: Signed) -> Answer {
    let (kind, bytes) = brand::get(&principal.scope)
        .await?
        .logo
        .ok_or(PageProblem::NotFound)?;
    Ok(HttpResponse::Ok()
        .content_type(kind)
        .insert_header(("content-security-policy", "default-src 'none'; sandbox"))
        .body(bytes))
}
