//! Consent in the browser: off to Microsoft, back again, and the outcome's page.

use actix_web::{HttpRequest, http::StatusCode, web};
use askama::Template;
use consent::{Ended, Next, Outcome};
use graph::Return;
use model::{
    ConsentRequest, ConsentRequestId, ConsentStep, CredentialId, DirectoryId, consent_request,
    credential::{self, Credential},
};
use serde::Deserialize;

use super::credentials::{ENTRA, Typed, frame, show_credential, to_microsoft, with_sign_in};
use crate::{
    Portal,
    address::address,
    cookie::Name,
    guard::Signed,
    problem::PageProblem,
    view::{Answer, Bare, Page, filters, html, html_status, initials, see_other},
};

#[derive(Template)]
#[template(path = "consents/show.html")]
struct Show {
    page: Page,
    outcome: Outcome,
    request: ConsentRequest,
    credential: Option<Credential>,
    tenant: Option<model::Tenant>,
}

/// The same for somebody who is not signed in here.
#[derive(Template)]
#[template(path = "consents/outcome.html")]
struct Plain {
    bare: Bare,
    outcome: Outcome,
    code: Option<String>,
    detail: Option<String>,
    tenant_name: Option<String>,
    unexpected: Option<String>,
    partner: Option<model::Partner>,
    link: bool,
}

pub(super) async fn begin(
    portal: &Portal,
    principal: &Signed,
    credential: &Credential,
    pinned: Option<DirectoryId>,
) -> Answer {
    let session = principal.session.as_ref().map(|s| s.token_hash.clone());
    let (_, url) = portal
        .consent
        .begin(&principal.scope, credential, pinned, session)
        .await?;
    Ok(to_microsoft(&url))
}

#[derive(Debug, Deserialize)]
pub(crate) struct Form {
    #[serde(default)]
    directory_id: String,
}

/// Asks for consent in a tenant: the given one, or whichever the administrator belongs to.
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
    let pinned = match form.directory_id.trim() {
        "" => None,
        text => match credential::parse_guid(text) {
            Ok(id) => Some(DirectoryId(id)),
            Err(why) => {
                let error = format!(
                    "A tenant ID {why} Leave it empty to let the administrator's account decide."
                );
                let typed = Typed {
                    pin: text.to_owned(),
                    errors: vec![model::FieldError {
                        field: "pin",
                        message: error,
                    }],
                    ..Typed::default()
                };
                return show_credential(&request, &portal, &principal, credential, typed).await;
            }
        },
    };
    begin(&portal, &principal, &credential, pinned).await
}

/// Hashes of the cookies that tell one browser from another.
fn browsers(request: &HttpRequest, portal: &Portal) -> Vec<String> {
    [Name::Session, Name::Browser]
        .into_iter()
        .filter_map(|name| name.of(portal, request))
        .map(|value| keys::fingerprint(&value))
        .collect()
}

pub(crate) async fn callback(request: HttpRequest, portal: web::Data<Portal>) -> Answer {
    let Some(back) = Return::parse(request.query_string()) else {
        let plain = plain(&request, &portal, Outcome::Unrecognised);
        return html_status(StatusCode::BAD_REQUEST, &plain);
    };
    let browsers = browsers(&request, &portal);
    let proof = Name::Consent.of(&portal, &request);
    let proof = proof.as_deref();
    let address = address(&portal, &request);
    let authorised = portal
        .consent
        .authorised(&portal.db, &back, &browsers, proof, &address)
        .await?;
    if let Some(authorised) = authorised {
        return super::authorisations::ended(&request, &portal, authorised).await;
    }
    let next = portal
        .consent
        .finish(&portal.db, &back, &browsers, proof, &address)
        .await?;
    match next {
        Next::Prove { url, cookie } => {
            let mut response = to_microsoft(&url);
            let _ = response.add_cookie(&Name::Consent.with(&portal, cookie));
            Ok(response)
        }
        Next::Show(ended) => outcome(&request, &portal, *ended).await,
    }
}

fn plain(request: &HttpRequest, portal: &Portal, outcome: Outcome) -> Plain {
    Plain {
        bare: Bare::new(request, portal),
        outcome,
        code: None,
        detail: None,
        tenant_name: None,
        unexpected: None,
        partner: None,
        link: false,
    }
}

/// To the member's own page of the request where they are signed in and may see it; else the
/// outcome alone.
async fn outcome(request: &HttpRequest, portal: &Portal, ended: Ended) -> Answer {
    use actix_web::HttpMessage;
    let signed = request.extensions().get::<Signed>().cloned();
    if let (Some(signed), Some(consent)) = (signed, &ended.request)
        && signed.scope.partner() == consent.partner_id
        // A link is followed as the customer's administrator, also in a member's own browser.
        && consent.link_id.is_none()
        && consent_request::get(&signed.scope, consent.id)
            .await?
            .is_some()
    {
        let shown = match ended.outcome {
            // These change nothing, so the request's own outcome may be another.
            Outcome::Replayed | Outcome::Expired | Outcome::OtherBrowser => {
                format!("?outcome={}", ended.outcome.name())
            }
            _ => String::new(),
        };
        return Ok(see_other(&format!("/consents/{}{shown}", consent.id)));
    }
    let partner = match &ended.request {
        Some(r) => model::partner::list(&portal.db)
            .await?
            .into_iter()
            .find(|p| p.id == r.partner_id),
        None => None,
    };
    let status = if ended.outcome.connected() || ended.outcome == Outcome::StillSpreading {
        StatusCode::OK
    } else {
        StatusCode::BAD_REQUEST
    };
    let page = Plain {
        code: ended.code,
        link: ended.request.as_ref().is_some_and(|r| r.link_id.is_some()),
        unexpected: ended.request.as_ref().and_then(|r| r.unexpected.clone()),
        detail: ended.request.and_then(|r| r.outcome_detail),
        tenant_name: ended.tenant_name,
        partner,
        ..plain(request, portal, ended.outcome)
    };
    html_status(status, &page)
}

#[derive(Debug, Deserialize)]
pub(crate) struct ShowQuery {
    #[serde(default)]
    outcome: String,
}

pub(crate) async fn show(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    id: web::Path<ConsentRequestId>,
    query: web::Query<ShowQuery>,
) -> Answer {
    let scope = &principal.scope;
    let found = consent_request::get(scope, *id)
        .await?
        .ok_or(PageProblem::NotFound)?;
    let credential = credential::get(scope, found.credential_id).await?;
    let tenant = match found.tenant_id {
        Some(id) => model::tenant::get(scope, id).await?,
        None => None,
    };
    let outcome = Outcome::of_name(&query.outcome)
        .filter(|o| {
            matches!(
                o,
                Outcome::Replayed | Outcome::Expired | Outcome::OtherBrowser
            )
        })
        .or(found.outcome.as_deref().and_then(Outcome::of_name));
    let Some(outcome) = outcome else {
        return Err(PageProblem::Conflict(
            "This consent request has not come back from Microsoft yet.".into(),
        ));
    };
    let mut page = frame(&request, &portal, &principal, outcome.title())
        .await?
        .under("Microsoft Entra ID", ENTRA);
    // While it spreads, the page follows without script.
    page.refresh = found.step == ConsentStep::Spreading;
    let shown = Show {
        page,
        outcome,
        request: found,
        credential,
        tenant,
    };
    with_sign_in(&portal, html(&shown))
}

/// Looks again whether a consent that was still spreading works.
pub(crate) async fn check(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    id: web::Path<ConsentRequestId>,
) -> Answer {
    let found = consent_request::get(&principal.scope, *id)
        .await?
        .ok_or(PageProblem::NotFound)?;
    if found.step != ConsentStep::Spreading {
        return Ok(see_other(&format!("/consents/{id}")));
    }
    match portal.consent.check_again(&principal.scope, found).await? {
        Next::Show(ended) => outcome(&request, &portal, *ended).await,
        Next::Prove { url, .. } => Ok(to_microsoft(&url)),
    }
}
