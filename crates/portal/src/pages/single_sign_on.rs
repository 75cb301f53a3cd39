//! To a provider and back: sign-in, linking, proof, and accepting an invitation.

use actix_web::{HttpMessage, HttpRequest, HttpResponse, http::StatusCode, web};
use askama::Template;
use graph::Return;
use model::{SignInMethod, SignInProvider, SignInProviderId, invitation, member, sign_in_provider};
use serde::Deserialize;

use super::{
    proofs::{self, Goal},
    sign_in::{Entry, count_begin, enter_partner},
};
use crate::{
    Portal,
    address::address,
    cookie::Name,
    guard::{self, Signed, safe_next},
    problem::PageProblem,
    single_sign_on::{self, Arrival, Failure, Purpose},
    view::{Answer, Bare, html_status, see_other},
};

#[derive(Template)]
#[template(path = "sign_in/provider.html")]
struct Failed {
    bare: Bare,
    text: String,
}

fn refused(request: &HttpRequest, portal: &Portal, failure: Failure) -> Answer {
    let text = match failure {
        Failure::Unknown => {
            "This sign-in was not begun in this browser, or it took longer than ten \
             minutes. Begin again."
                .to_owned()
        }
        Failure::Refused(code) if code == "another_directory" => {
            "Your account is of another directory than the one that may sign in here.".into()
        }
        Failure::Refused(code) if code.is_empty() => "The provider did not sign you in.".into(),
        Failure::Refused(code) => format!("The provider did not sign you in: {code}."),
        Failure::Failed(text) => text,
    };
    let address = address(portal, request);
    tracing::warn!(why = text, address, "a sign-in at a provider was refused");
    let page = Failed {
        bare: Bare::new(request, portal),
        text,
    };
    let mut response = html_status(StatusCode::UNPROCESSABLE_ENTITY, &page)?;
    let _ = response.add_cookie(&Name::Provider.gone(portal));
    Ok(response)
}

async fn to_provider(
    request: &HttpRequest,
    portal: &Portal,
    provider: &SignInProvider,
    member: Option<model::MemberId>,
    purpose: Purpose,
) -> Answer {
    count_begin(request, portal).await?;
    match single_sign_on::begin(portal, provider, member, purpose).await? {
        Ok((url, cookie)) => {
            let mut response = HttpResponse::SeeOther()
                .insert_header(("location", url.as_str()))
                .finish();
            let _ = response.add_cookie(&cookie);
            Ok(response)
        }
        Err(failure) => refused(request, portal, failure),
    }
}

async fn provider(portal: &Portal, id: SignInProviderId) -> Result<SignInProvider, PageProblem> {
    sign_in_provider::get(&portal.db, id)
        .await?
        .ok_or(PageProblem::NotFound)
}

#[derive(Debug, Deserialize)]
pub(crate) struct Query {
    #[serde(default)]
    next: String,
}

pub(crate) async fn begin(
    request: HttpRequest,
    portal: web::Data<Portal>,
    id: web::Path<SignInProviderId>,
    query: web::Query<Query>,
) -> Answer {
    let provider = provider(&portal, *id).await?;
    let next = safe_next(&query.next).to_owned();
    if !guard::is_from_here(&request) {
        // Another site's link signs nobody in: the person decides, on our own page.
        let next: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
        return Ok(see_other(&format!("/sign-in?next={next}")));
    }
    to_provider(&request, &portal, &provider, None, Purpose::SignIn { next }).await
}

pub(crate) async fn link(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    id: web::Path<SignInProviderId>,
) -> Answer {
    let provider = provider(&portal, *id).await?;
    if provider.partner_id != principal.scope.partner() {
        return Err(PageProblem::NotFound);
    }
    let member = Some(principal.member.id);
    match single_sign_on::begin(&portal, &provider, member, Purpose::Link).await? {
        Ok((url, cookie)) => {
            // A page and no redirect: browsers apply the policy's `form-action` to redirects after a
            // form, and the provider's address is not in it.
            let page = Onward {
                bare: Bare::new(&request, &portal),
                name: provider.name.clone(),
                url: url.to_string(),
            };
            let mut response = html_status(StatusCode::OK, &page)?;
            let _ = response.add_cookie(&cookie);
            Ok(response)
        }
        Err(failure) => refused(&request, &portal, failure),
    }
}

#[derive(Template)]
#[template(path = "sign_in/onward.html")]
struct Onward {
    bare: Bare,
    name: String,
    url: String,
}

pub(crate) async fn prove(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
) -> Answer {
    let id = principal.session.as_ref().and_then(|s| s.provider_id);
    let provider = provider(&portal, id.ok_or(PageProblem::NotFound)?).await?;
    let query = request.query_string().to_owned();
    let member = Some(principal.member.id);
    to_provider(
        &request,
        &portal,
        &provider,
        member,
        Purpose::Prove { query },
    )
    .await
}

pub(crate) async fn accept(
    request: HttpRequest,
    portal: web::Data<Portal>,
    path: web::Path<(String, SignInProviderId)>,
) -> Answer {
    let (token, id) = path.into_inner();
    let provider = provider(&portal, id).await?;
    let open = invitation::open(&portal.db, &token).await?;
    if open.is_none_or(|i| i.partner != provider.partner_id) {
        return Err(PageProblem::NotFound);
    }
    if !guard::is_from_here(&request) {
        return Ok(see_other(&format!("/invitations/{token}")));
    }
    let purpose = Purpose::Accept { invitation: token };
    to_provider(&request, &portal, &provider, None, purpose).await
}

#[derive(Debug, Deserialize)]
pub(crate) struct Unlink {
    #[serde(default)]
    subject: String,
}

pub(crate) async fn unlink(
    principal: Signed,
    id: web::Path<SignInProviderId>,
    form: web::Form<Unlink>,
) -> Answer {
    sign_in_provider::unlink(&principal, *id, &form.subject)
        .await?
        .ok_or(PageProblem::NotFound)?;
    Ok(see_other("/account?done=unlinked"))
}

pub(crate) async fn callback(
    request: HttpRequest,
    portal: web::Data<Portal>,
    id: web::Path<SignInProviderId>,
) -> Answer {
    let back = Return::parse(request.query_string()).unwrap_or_default();
    let cookie = Name::Provider.of(&portal, &request);
    let arrival = match single_sign_on::finish(&portal, *id, cookie, &back).await? {
        Ok(arrival) => arrival,
        Err(failure) => return refused(&request, &portal, failure),
    };
    let mut response = arrived(&request, &portal, arrival).await?;
    let _ = response.add_cookie(&Name::Provider.gone(&portal));
    Ok(response)
}

async fn arrived(request: &HttpRequest, portal: &Portal, arrival: Arrival) -> Answer {
    // Linking and proving end in the session in which they began.
    let signed = request.extensions().get::<Signed>().cloned();
    let signed = signed.filter(|s| arrival.member == Some(s.member.id));
    let (provider, subject) = (&arrival.provider, arrival.subject.as_str());
    let say = |text: &str| refused(request, portal, Failure::Failed(text.to_owned()));
    match (&arrival.purpose, signed) {
        (Purpose::SignIn { next }, _) => {
            match sign_in_provider::member_of(&portal.db, provider, subject).await? {
                Some(member) => enter(request, portal, provider, member.id, next).await,
                None => say(
                    "Nobody here is linked to this account. Ask an owner for an invitation, or sign \
                     in with your password and link the account on your account's page.",
                ),
            }
        }
        (Purpose::Link, Some(signed)) => {
            let (username, address) = (&arrival.username, address(portal, request));
            let db = &portal.db;
            sign_in_provider::link(db, provider, &signed.member, subject, username, &address)
                .await?;
            Ok(see_other("/account?done=linked"))
        }
        (Purpose::Prove { query }, Some(signed)) => {
            let found = sign_in_provider::member_of(&portal.db, provider, subject).await?;
            if found.is_none_or(|member| member.id != signed.member.id) {
                return say("This is the account of somebody else than who is signed in.");
            }
            let goal = web::Query::<Goal>::from_query(query)
                .map(web::Query::into_inner)
                .unwrap_or_else(|_| Goal::page("/"));
            let method = SignInMethod::Provider;
            proofs::proved(request, portal, &signed, &goal, method).await
        }
        (Purpose::Accept { invitation }, _) => {
            let Some(open) = invitation::open(&portal.db, invitation).await? else {
                return say("This invitation was used or withdrawn meanwhile.");
            };
            let existing = member::by_email(&portal.db, &open.email).await?;
            if existing.is_some_and(|m| m.password_hash.is_some()) {
                return say(
                    "This address has an account here already. Open the invitation again and accept \
                     it with that account's password; then link this account to it.",
                );
            }
            let id = invitation::accept(&portal.db, &open, None, &address(portal, request)).await?;
            let member = member::get(&portal.db, id)
                .await?
                .ok_or(PageProblem::NotFound)?;
            let (username, address) = (&arrival.username, address(portal, request));
            sign_in_provider::link(&portal.db, provider, &member, subject, username, &address)
                .await?;
            enter(request, portal, provider, id, "/").await
        }
        (Purpose::Link | Purpose::Prove { .. }, None) => refused(request, portal, Failure::Unknown),
    }
}

/// Signs a member in with the provider's partner, and with that one alone.
async fn enter(
    request: &HttpRequest,
    portal: &Portal,
    provider: &SignInProvider,
    member: model::MemberId,
    next: &str,
) -> Answer {
    let entry = Entry {
        member,
        partner: provider.partner_id,
        method: SignInMethod::Provider,
        provider: Some(provider.id),
    };
    enter_partner(request, portal, entry, safe_next(next)).await
}
