//! The partner's contact form: its settings, and the public page.

use actix_web::{HttpRequest, http::StatusCode, web};
use askama::Template;
use model::{
    ChannelKind, FieldError, Role,
    channel::{self, Channel},
    contact_form::{self, Message, Public},
    sign_in,
};
use serde::Deserialize;

use super::error_of;
use crate::{
    Portal,
    address::{self, address},
    guard::Signed,
    problem::PageProblem,
    view::{Answer, Bare, Page, filters, html_status, see_other},
};

const HOME: &str = "/settings/contact-form";

#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Form {
    #[serde(default)]
    channel: String,
    #[serde(default)]
    recipient: String,
    #[serde(default)]
    intro: String,
    #[serde(default)]
    is_on: String,
}

#[derive(Template)]
#[template(path = "contact/settings.html")]
struct Settings {
    page: Page,
    form: Form,
    url: Option<String>,
    channels: Vec<Channel>,
    can_change: bool,
    errors: Vec<FieldError>,
}

impl Settings {
    fn error(&self, field: &str) -> Option<&str> {
        error_of(&self.errors, field)
    }
}

async fn settings(
    request: &HttpRequest,
    portal: &Portal,
    principal: &Signed,
    typed: Option<Form>,
    errors: Vec<FieldError>,
) -> Answer {
    let scope = &principal.scope;
    let found = contact_form::get(scope).await?;
    let all = channel::list(scope).await?.into_iter();
    let stored = found.as_ref().map(|form| Form {
        channel: form.channel.to_string(),
        recipient: form.recipient.clone(),
        intro: form.intro.clone(),
        is_on: if form.is_on {
            "yes".into()
        } else {
            String::new()
        },
    });
    let status = match errors.is_empty() {
        true => StatusCode::OK,
        false => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let page = Settings {
        page: Page::new(request, portal, principal, "Contact form", "contact-form").await?,
        form: typed.or(stored).unwrap_or_default(),
        url: found.map(|form| portal.url(&format!("/contact/{}", form.slug))),
        channels: all
            .filter(|c| c.settings.kind() != ChannelKind::Webhook)
            .collect(),
        can_change: scope.role() >= Role::Admin,
        errors,
    };
    html_status(status, &page)
}

pub(crate) async fn edit(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
) -> Answer {
    settings(&request, &portal, &principal, None, vec![]).await
}

pub(crate) async fn update(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    form: web::Form<Form>,
) -> Answer {
    let form = form.into_inner();
    let channel = form.channel.parse().ok();
    let is_on = form.is_on == "yes";
    match contact_form::set(
        &principal.scope,
        channel,
        &form.recipient,
        &form.intro,
        is_on,
    )
    .await
    {
        Ok(()) => Ok(see_other(HOME)),
        Err(model::Error::Invalid(errors)) => {
            settings(&request, &portal, &principal, Some(form), errors).await
        }
        Err(other) => Err(other.into()),
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Typed {
    #[serde(default)]
    name: String,
    #[serde(default)]
    email: String,
    #[serde(default)]
    text: String,
    /// Nobody sees this field; whoever fills it is no person.
    #[serde(default)]
    website: String,
}

#[derive(Template)]
#[template(path = "contact/public.html")]
struct Show {
    bare: Bare,
    partner: String,
    intro: String,
    slug: String,
    typed: Typed,
    errors: Vec<FieldError>,
    is_sent: bool,
}

impl Show {
    fn error(&self, field: &str) -> Option<&str> {
        error_of(&self.errors, field)
    }
}

fn public_page(
    request: &HttpRequest,
    portal: &Portal,
    found: &Public,
    typed: Typed,
    errors: Vec<FieldError>,
    is_sent: bool,
) -> Answer {
    let status = match errors.is_empty() {
        true => StatusCode::OK,
        false => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let show = Show {
        bare: Bare::new(request, portal),
        partner: found.partner_name.clone(),
        intro: found.form.intro.clone(),
        slug: found.form.slug.clone(),
        typed,
        errors,
        is_sent,
    };
    html_status(status, &show)
}

async fn found(portal: &Portal, slug: &str) -> Result<Public, PageProblem> {
    contact_form::public(&portal.db, slug)
        .await?
        .ok_or(PageProblem::NotFound)
}

pub(crate) async fn show(
    request: HttpRequest,
    portal: web::Data<Portal>,
    slug: web::Path<String>,
) -> Answer {
    let found = found(&portal, &slug).await?;
    public_page(&request, &portal, &found, Typed::default(), vec![], false)
}

pub(crate) async fn send(
    request: HttpRequest,
    portal: web::Data<Portal>,
    slug: web::Path<String>,
    typed: web::Form<Typed>,
) -> Answer {
    let found = found(&portal, &slug).await?;
    let typed = typed.into_inner();
    if !typed.website.is_empty() {
        // It learns nothing from the answer.
        return public_page(&request, &portal, &found, Typed::default(), vec![], true);
    }
    let mut subjects = vec![format!("contact_form {}", found.form.slug)];
    if address::tells_apart(&portal) {
        subjects.push(format!("contact {}", address(&portal, &request)));
    }
    if let Some(seconds) = sign_in::attempt(&portal.db, &subjects).await? {
        return Err(PageProblem::TooMany(seconds));
    }
    let message = Message {
        name: typed.name.clone(),
        email: typed.email.clone(),
        text: typed.text.clone(),
    };
    match found.send(&message, &address(&portal, &request)).await {
        Ok(()) => public_page(&request, &portal, &found, Typed::default(), vec![], true),
        Err(model::Error::Invalid(errors)) => {
            public_page(&request, &portal, &found, typed, errors, false)
        }
        Err(other) => Err(other.into()),
    }
}
