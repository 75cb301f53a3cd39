//! Accepting an invitation: a new member chooses a password, an existing one proves theirs.

use actix_web::{HttpRequest, http::StatusCode, web};
use askama::Template;
use model::member::{self, Invitation};
use serde::Deserialize;

use super::setup::{signed_in, user_agent};
use crate::{
    Portal, guard, password,
    problem::PageProblem,
    view::{Answer, Bare, filters, html_status},
};

#[derive(Template)]
#[template(path = "invitation.html")]
struct Page {
    bare: Bare,
    invitation: Option<Invitation>,
    exists: bool,
    error: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Form {
    #[serde(default)]
    password: String,
}

pub(crate) async fn show(
    request: HttpRequest,
    portal: web::Data<Portal>,
    token: web::Path<String>,
) -> Answer {
    let invitation = member::open_invitation(&portal.db, &token).await?;
    page(&request, &portal, invitation, None).await
}

async fn page(
    request: &HttpRequest,
    portal: &Portal,
    invitation: Option<Invitation>,
    error: Option<String>,
) -> Answer {
    let status = match (&invitation, &error) {
        (None, _) => StatusCode::NOT_FOUND,
        (_, Some(_)) => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::OK,
    };
    let exists = match &invitation {
        Some(i) => member::by_email(&portal.db, &i.email)
            .await?
            .is_some_and(|m| m.password_hash.is_some()),
        None => false,
    };
    let page = Page {
        bare: Bare::new(request, portal),
        invitation,
        exists,
        error,
    };
    html_status(status, &page)
}

pub(crate) async fn accept(
    request: HttpRequest,
    portal: web::Data<Portal>,
    token: web::Path<String>,
    form: web::Form<Form>,
) -> Answer {
    let Some(invitation) = member::open_invitation(&portal.db, &token).await? else {
        return page(&request, &portal, None, None).await;
    };
    let existing = member::by_email(&portal.db, &invitation.email).await?;
    let hash = match existing {
        Some(member) if member.password_hash.is_some() => {
            if !password::verify(&form.password, member.password_hash).await {
                let error = Some("This is not the password of your account.".to_owned());
                return page(&request, &portal, Some(invitation), error).await;
            }
            None
        }
        _ => match password::hash(&form.password).await {
            Ok(hash) => Some(hash),
            Err(error) => return page(&request, &portal, Some(invitation), Some(error)).await,
        },
    };
    let accepted = member::accept_invitation(&portal.db, &invitation, hash.as_deref()).await;
    let member = match accepted {
        Ok(member) => member,
        Err(model::Error::Conflict(error)) => {
            return page(&request, &portal, Some(invitation), Some(error)).await;
        }
        Err(other) => return Err(PageProblem::from(other)),
    };
    let agent = user_agent(&request);
    let address = guard::address(&request);
    let session =
        model::session::begin(&portal.db, member, invitation.partner, &agent, &address).await?;
    Ok(signed_in(&portal, session, "/"))
}
