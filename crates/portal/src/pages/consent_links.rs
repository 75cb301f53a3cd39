//! Consent links: made and withdrawn by members, followed by customers' administrators without an
//! account.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use askama::Template;
use consent::permission::{self, Permission};
use model::{
    ConsentLink, ConsentLinkId, CredentialId, Partner,
    consent_link::{self, Draft, Standing},
    credential, partner,
};
use serde::Deserialize;

use super::credentials::{Typed, page_of, show_credential, to_microsoft, with_sign_in};
use crate::{
    Portal,
    address::address,
    cookie::Name,
    guard::Signed,
    problem::PageProblem,
    view::{Answer, Bare, filters, html_status, initials, see_other},
};

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Form {
    #[serde(default)]
    directory_id: String,
    #[serde(default)]
    company_name: String,
    #[serde(default)]
    note: String,
    #[serde(default)]
    days: String,
    /// Made with the form, so that sending it again makes no second link.
    #[serde(default)]
    token: String,
}

pub(crate) async fn create(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    id: web::Path<CredentialId>,
    form: web::Form<Form>,
) -> Answer {
    let credential = credential::get(&principal.scope, *id)
        .await?
        .ok_or(PageProblem::NotFound)?;
    let form = form.into_inner();
    let draft = Draft {
        directory_id: form.directory_id,
        company_name: form.company_name,
        note: form.note,
        days: form.days,
    };
    let is_ours = form.token.len() == 43
        && form
            .token
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    let token = if is_ours {
        form.token
    } else {
        keys::random_token()?
    };
    if consent_link::by_token(&portal.db, &token, "")
        .await?
        .is_some()
    {
        return Ok(see_other(&format!("{}#links", page_of(*id))));
    }
    let typed = match consent_link::create(&principal.scope, *id, &draft, &token).await {
        Ok(_) => Typed {
            new_link: Some(portal.url(&format!("/consent/links/{token}"))),
            ..Typed::default()
        },
        Err(model::Error::Invalid(errors)) => Typed {
            link: draft,
            errors,
            ..Typed::default()
        },
        Err(other) => return Err(other.into()),
    };
    // No redirect: the link is shown in this answer and never again.
    show_credential(&request, &portal, &principal, credential, typed).await
}

pub(crate) async fn withdraw(
    principal: Signed,
    path: web::Path<(CredentialId, ConsentLinkId)>,
) -> Answer {
    let (id, link) = path.into_inner();
    let found = consent_link::get(&principal.scope, link).await?;
    if found.is_none_or(|l| l.credential_id != id) {
        return Err(PageProblem::NotFound);
    }
    if !consent_link::withdraw(&principal.scope, link).await? {
        return Err(PageProblem::NotFound);
    }
    Ok(see_other(&format!("{}#links", page_of(id))))
}

#[derive(Template)]
#[template(path = "consents/link.html")]
struct Landing {
    bare: Bare,
    partner: Partner,
    link: ConsentLink,
    permissions: Vec<Permission>,
}

#[derive(Template)]
#[template(path = "consents/closed.html")]
struct Closed {
    bare: Bare,
    partner: Option<Partner>,
    standing: Option<Standing>,
}

/// What the administrator sees first: who asks, for what, and that nothing happens yet.
pub(crate) async fn show(
    request: HttpRequest,
    portal: web::Data<Portal>,
    token: web::Path<String>,
) -> Answer {
    let bare = Bare::new(&request, &portal);
    let found = consent_link::by_token(&portal.db, &token, &address(&portal, &request)).await?;
    let Some((scope, link)) = found else {
        let closed = Closed {
            bare,
            partner: None,
            standing: None,
        };
        return html_status(StatusCode::NOT_FOUND, &closed);
    };
    let partner = partner::current(&scope).await?;
    let standing = link.standing(scope.now());
    let credential = credential::get(&scope, link.credential_id).await?;
    let (Some(credential), Standing::Open) = (credential, standing) else {
        let closed = Closed {
            bare,
            partner: Some(partner),
            standing: Some(standing),
        };
        return html_status(StatusCode::GONE, &closed);
    };
    consent_link::note_opened(&scope, link.id).await?;
    let landing = Landing {
        bare,
        partner,
        link,
        permissions: permission::required_by(&credential),
    };
    with_sign_in(&portal, html_status(StatusCode::OK, &landing))
}

/// On to Microsoft: begins a request that only this browser can finish.
pub(crate) async fn begin(
    request: HttpRequest,
    portal: web::Data<Portal>,
    token: web::Path<String>,
) -> Answer {
    let found = consent_link::by_token(&portal.db, &token, &address(&portal, &request)).await?;
    let Some((scope, link)) = found else {
        return Err(PageProblem::NotFound);
    };
    if link.standing(scope.now()) != Standing::Open {
        // The page says why.
        return Ok(see_other(&format!("/consent/links/{token}")));
    }
    let browser = keys::random_token()?;
    let (_, url) = portal
        .consent
        .begin_by_link(&scope, &link, keys::fingerprint(&browser))
        .await?;
    let mut response: HttpResponse = to_microsoft(&url);
    let cookie = Name::Browser.with(&portal, browser);
    let _ = response.add_cookie(&cookie);
    Ok(response)
}
