//! Setting up an authenticator app, and removing it.

use actix_web::{HttpRequest, http::StatusCode, web};
use askama::Template;
use keys::Secret;
use model::{FieldError, totp};
use qrcode::{EcLevel, QrCode, render::svg};
use serde::Deserialize;

use super::{account::codes_page, error_of};
use crate::{
    Portal,
    guard::Signed,
    problem::PageProblem,
    view::{Answer, Html, Page, filters, html_status, see_other},
};

#[derive(Template)]
#[template(path = "account/app.html")]
struct New {
    page: Page,
    picture: Html,
    seed: Secret,
    errors: Vec<FieldError>,
}

impl New {
    fn error(&self, field: &str) -> Option<&str> {
        error_of(&self.errors, field)
    }

    /// In groups of four, to be typed.
    fn groups(&self) -> String {
        let text: Vec<char> = self.seed.expose().chars().collect();
        text.chunks(4)
            .map(|group| group.iter().collect::<String>())
            .collect::<Vec<_>>()
            .join(" ")
    }
}

pub(crate) async fn new(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
) -> Answer {
    page(&request, &portal, &principal, vec![]).await
}

async fn page(
    request: &HttpRequest,
    portal: &Portal,
    principal: &Signed,
    errors: Vec<FieldError>,
) -> Answer {
    let seed = totp::enrol(principal, &portal.consent.connection.keyring).await?;
    let uri = keys::totp::uri(&seed, "Tenantry", &principal.member.email);
    let code = QrCode::with_error_correction_level(uri.expose(), EcLevel::M)
        .map_err(|e| PageProblem::Inner(e.to_string()))?;
    let picture = code
        .render::<svg::Color<'_>>()
        .min_dimensions(208, 208)
        .dark_color(svg::Color("#000"))
        .light_color(svg::Color("#fff"))
        .build();
    // Inside a page, it begins with its element; the text beside it says the same for those who hear it.
    let start = picture.find("<svg").unwrap_or_default();
    let picture = picture[start..].replacen("<svg", "<svg aria-hidden=\"true\"", 1);
    let status = match errors.is_empty() {
        true => StatusCode::OK,
        false => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let title = "Set up an authenticator app";
    let page = New {
        page: Page::new(request, portal, principal, title, "account")
            .await?
            .under("Your account", "/account"),
        picture: Html(picture),
        seed: keys::totp::seed_text(&seed),
        errors,
    };
    html_status(status, &page)
}

#[derive(Debug, Deserialize)]
pub(crate) struct Form {
    #[serde(default)]
    code: String,
}

pub(crate) async fn create(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    form: web::Form<Form>,
) -> Answer {
    let keyring = &portal.consent.connection.keyring;
    match totp::confirm(&principal, keyring, &form.code).await {
        Ok(codes) => codes_page(&request, &portal, &principal, codes).await,
        Err(model::Error::Invalid(errors)) => page(&request, &portal, &principal, errors).await,
        Err(other) => Err(other.into()),
    }
}

pub(crate) async fn delete(principal: Signed) -> Answer {
    totp::remove(&principal).await?;
    Ok(see_other("/account?done=totp-removed"))
}
