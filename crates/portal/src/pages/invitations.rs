//! Accepting an invitation: a new member chooses a password, an existing one proves theirs.

use actix_web::{HttpRequest, http::StatusCode, web};
use askama::Template;
use model::{
    SignInMethod, SignInProvider,
    invitation::{self, Invitation},
    member, sign_in, sign_in_provider,
};
use serde::Deserialize;

use super::{
    second_factor,
    sign_in::{Entry, enter_partner, subjects, too_many},
};
use crate::{
    Portal,
    address::address,
    password,
    problem::PageProblem,
    proof::encoded,
    view::{Answer, Bare, filters, html_status},
};

#[derive(Template)]
#[template(path = "invitation.html")]
struct Page {
    bare: Bare,
    invitation: Option<Invitation>,
    exists: bool,
    providers: Vec<(SignInProvider, String)>,
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
    let invitation = invitation::open(&portal.db, &token).await?;
    page(&request, &portal, &token, invitation, None).await
}

async fn page(
    request: &HttpRequest,
    portal: &Portal,
    token: &str,
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
    let providers = match &invitation {
        Some(i) if !exists => sign_in_provider::of_partner(&portal.db, i.partner).await?,
        _ => vec![],
    };
    let page = Page {
        bare: Bare::new(request, portal),
        providers: providers
            .into_iter()
            .map(|p| {
                let href = format!("/invitations/{}/providers/{}", encoded(token), p.id);
                (p, href)
            })
            .collect(),
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
    let Some(invitation) = invitation::open(&portal.db, &token).await? else {
        return page(&request, &portal, &token, None, None).await;
    };
    let existing = member::by_email(&portal.db, &invitation.email).await?;
    let hash = match existing {
        Some(member) if member.password_hash.is_some() => {
            let subjects = subjects(&request, &portal, &invitation.email);
            if let Some(seconds) = sign_in::attempt(&portal.db, &subjects).await? {
                let error = Some(too_many(seconds));
                return page(&request, &portal, &token, Some(invitation), error).await;
            }
            if !password::verify(&form.password, member.password_hash).await {
                tracing::warn!(member = %member.id, "a password for an invitation was wrong");
                let error = Some("This is not the password of your account.".to_owned());
                return page(&request, &portal, &token, Some(invitation), error).await;
            }
            sign_in::succeeded(&portal.db, &subjects).await?;
            None
        }
        _ => match password::hash(&form.password, &[&invitation.email]).await {
            Ok(hash) => Some(hash),
            Err(error) => {
                return page(&request, &portal, &token, Some(invitation), Some(error)).await;
            }
        },
    };
    let address = address(&portal, &request);
    let accepted = invitation::accept(&portal.db, &invitation, hash.as_deref(), &address).await;
    let member = match accepted {
        Ok(member) => member,
        Err(model::Error::Conflict(error)) => {
            return page(&request, &portal, &token, Some(invitation), Some(error)).await;
        }
        Err(other) => return Err(PageProblem::from(other)),
    };
    // The password alone lets nobody in who has a second factor.
    if second_factor::is_needed(&portal, member).await? {
        return second_factor::begin(&portal, member, "/").await;
    }
    let entry = Entry {
        member,
        partner: invitation.partner,
        method: SignInMethod::Password,
        provider: None,
    };
    enter_partner(&request, &portal, entry, "/").await
}
