//! The partner's own name and contact, as customers' administrators see them.

use actix_web::{HttpRequest, http::StatusCode, web};
use askama::Template;
use model::{FieldError, partner};
use serde::Deserialize;

use super::error_of;
use crate::{
    Portal,
    guard::Signed,
    view::{Answer, Page, filters, html, html_status, see_other},
};

#[derive(Template)]
#[template(path = "organisation.html")]
struct Edit {
    page: Page,
    name: String,
    contact: String,
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
                errors,
                saved: false,
            };
            html_status(StatusCode::UNPROCESSABLE_ENTITY, &edit)
        }
        Err(other) => Err(other.into()),
    }
}
