//! Global Settings › Integrations › Microsoft Entra ID: credentials with their guide.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use askama::Template;
use consent::permission::{self, Drift};
use model::{
    ConsentLink, ConsentRequest, CredentialId, CredentialKind, Feature, SecretState, Tenant,
    Timestamp,
    consent_link::{self, Standing},
    credential::{
        self, Credential,
        secret::{self, SecretFacts},
    },
    mapping, tenant,
};

use super::{
    connection_tests::Test,
    credential_form::{Guide, interval_words},
    error_of,
    tenants::tenant_badge,
};
use crate::{
    Portal, csv_file,
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

/// What was typed into a form of the credential's page, and what is wrong with it.
#[derive(Debug, Default)]
pub(super) struct Typed {
    pub(super) pin: String,
    pub(super) link: consent_link::Draft,
    pub(super) domains: String,
    /// Sender and recipient as typed.
    pub(super) mail: Option<(String, String)>,
    pub(super) mail_sent: bool,
    /// What was done just before: `renewed` or `features`.
    pub(super) flash: String,
    pub(super) errors: Vec<model::FieldError>,
    /// A consent link that was made just now: it is shown this once.
    pub(super) new_link: Option<String>,
    /// What a discovery found.
    pub(super) found: Option<consent::discovery::Summary>,
}

#[derive(Template)]
#[template(path = "credentials/show.html")]
struct Show {
    page: Page,
    credential: Credential,
    cloud: String,
    tenants: Vec<(Tenant, Drift)>,
    mapped: Vec<model::DirectoryId>,
    secrets: Vec<SecretFacts>,
    links: Vec<(ConsentLink, Option<ConsentRequest>)>,
    test: Option<Test>,
    guide: Guide,
    typed: Typed,
    can_delete: bool,
    link_token: String,
}

impl Show {
    fn error(&self, field: &str) -> Option<&str> {
        error_of(&self.typed.errors, field)
    }

    fn is_chosen_time(&self, days: &i64) -> bool {
        match self.typed.link.days.parse::<i64>() {
            Ok(chosen) => chosen == *days,
            Err(_) => *days == 7,
        }
    }

    fn test_is_old(&self) -> bool {
        self.test
            .as_ref()
            .is_some_and(|t| t.test.started_at < self.credential.updated_at)
    }

    fn mail_from(&self) -> &str {
        match &self.typed.mail {
            Some((from, _)) => from,
            None => &self.credential.mail_from,
        }
    }

    fn mail_to(&self) -> &str {
        match &self.typed.mail {
            Some((_, to)) => to,
            None => &self.credential.mail_to,
        }
    }

    fn access_policy(&self) -> String {
        consent::mail::access_policy(&self.credential)
    }

    fn is_multi(&self) -> bool {
        self.credential.kind == CredentialKind::MultiTenant
    }

    fn is_live(&self) -> bool {
        self.credential.revoked_at.is_none()
    }

    fn is_delegated(&self) -> bool {
        self.credential.kind == CredentialKind::Delegated
    }

    fn uses(&self, word: &str) -> bool {
        word.parse::<Feature>()
            .is_ok_and(|f| self.credential.uses(f))
    }

    /// A certificate that waits for its upload.
    fn pending(&self) -> Option<&SecretFacts> {
        self.secrets
            .iter()
            .find(|s| s.state == SecretState::Pending)
    }

    /// A new certificate of a credential that was never used: it is to be uploaded first.
    fn first_certificate(&self) -> Option<&SecretFacts> {
        self.secrets.iter().find(|s| {
            s.state == SecretState::Current
                && s.certificate.is_some()
                && self.credential.is_unused()
        })
    }

    fn secret_badge(&self, secret: &SecretFacts) -> Html {
        match secret.state {
            SecretState::Current => badge("badge-ok", "circle-check", "In use"),
            SecretState::Pending => badge("badge-info", "clock", "To be uploaded"),
            SecretState::Previous => badge("", "history", "Replaced"),
        }
    }

    fn link_badge(&self, link: &ConsentLink) -> Html {
        match link.standing(self.page.now) {
            Standing::Open if link.opened_count > 0 => badge("badge-info", "eye", "Opened"),
            Standing::Open => badge("", "clock", "Sent"),
            Standing::Used => badge("badge-ok", "circle-check", "Consented"),
            Standing::Expired => badge("", "clock", "Expired"),
            Standing::Withdrawn => badge("", "ban", "Withdrawn"),
        }
    }

    fn is_open(&self, link: &ConsentLink) -> bool {
        link.standing(self.page.now) == Standing::Open
    }

    fn outcome(&self, request: &Option<ConsentRequest>) -> &'static str {
        request
            .as_ref()
            .and_then(|r| r.outcome.as_deref())
            .and_then(consent::Outcome::of_name)
            .map_or("", consent::Outcome::title)
    }
}

/// The kind in words.
pub(super) fn kind_words(kind: &CredentialKind) -> &'static str {
    match kind {
        CredentialKind::MultiTenant => "Multi-tenant application",
        CredentialKind::SingleTenant => "Single-tenant application",
        CredentialKind::Delegated => "Delegated connection",
    }
}

/// The address of a credential's page.
pub(super) fn page_of(id: CredentialId) -> String {
    format!("{ENTRA}/credentials/{id}")
}

/// A credential's state as people see it.
pub(super) fn state_badge(credential: &Credential, now: &Timestamp) -> Html {
    match credential.shown_state(*now) {
        "draft" => badge("", "circle-dashed", "Draft"),
        "awaiting_consent" => badge("badge-info", "clock", "Awaiting consent"),
        "active" => badge("badge-ok", "circle-check", "Active"),
        "expiring" => badge("badge-warn", "key", "Expires soon"),
        "expired" => badge("badge-bad", "key", "Expired"),
        "failing" => badge("badge-bad", "alert-circle", "Failing"),
        _ => badge("", "ban", "Revoked"),
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

/// All credentials, without anything that is secret, as a file.
pub(crate) async fn csv(principal: Signed) -> Answer {
    let rows = credential::list(&principal.scope).await?;
    Ok(csv_file::whole(&report::csv::CREDENTIALS, "", &rows))
}

pub(super) fn cloud_label(portal: &Portal, name: &str) -> String {
    portal
        .consent
        .connection
        .clouds
        .get(name)
        .map_or_else(|| name.to_owned(), |c| c.label.clone())
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

#[derive(Debug, serde::Deserialize)]
pub(crate) struct ShowQuery {
    #[serde(default)]
    done: String,
}

pub(crate) async fn show(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    id: web::Path<CredentialId>,
    query: web::Query<ShowQuery>,
) -> Answer {
    let credential = credential::get(&principal.scope, *id)
        .await?
        .ok_or(PageProblem::NotFound)?;
    let typed = Typed {
        flash: query.done.clone(),
        ..Typed::default()
    };
    show_credential(&request, &portal, &principal, credential, typed).await
}

/// The credential's page; with what was typed into one of its forms.
pub(super) async fn show_credential(
    request: &HttpRequest,
    portal: &Portal,
    principal: &Signed,
    credential: Credential,
    typed: Typed,
) -> Answer {
    let scope = &principal.scope;
    let page = frame(request, portal, principal, &credential.name)
        .await?
        .under("Microsoft Entra ID", ENTRA);
    let status = if typed.errors.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::UNPROCESSABLE_ENTITY
    };
    let mapped = mapping::list(scope, None).await?;
    let required = permission::required_by(&credential);
    let tenants = tenant::list(scope, Some(credential.id))
        .await?
        .into_iter()
        .map(|t| {
            let drift = t
                .granted_list()
                .map(|granted| {
                    let is_home = t.directory_id == credential.directory_id;
                    Drift::of(&required, &granted, is_home)
                })
                .unwrap_or_default();
            (t, drift)
        })
        .collect();
    let show = Show {
        page,
        cloud: cloud_label(portal, &credential.cloud),
        tenants,
        mapped: mapped.into_iter().map(|m| m.mapping.directory_id).collect(),
        secrets: secret::list(scope, credential.id).await?,
        links: consent_link::list(scope, credential.id).await?,
        test: Test::newest(principal, credential.id).await?,
        guide: Guide::new(portal, credential.kind, &credential.features),
        link_token: keys::random_token()?,
        can_delete: scope.role() >= model::Role::Owner,
        credential,
        typed,
    };
    with_sign_in(portal, html_status(status, &show))
}

pub(crate) async fn revoke(principal: Signed, id: web::Path<CredentialId>) -> Answer {
    if credential::revoke(&principal.scope, *id).await? {
        Ok(see_other(&format!("{ENTRA}/credentials/{id}")))
    } else {
        Err(PageProblem::NotFound)
    }
}

pub(crate) async fn delete(principal: Signed, id: web::Path<CredentialId>) -> Answer {
    if credential::delete(&principal.scope, *id).await? {
        Ok(see_other(ENTRA))
    } else {
        Err(PageProblem::NotFound)
    }
}

/// To Microsoft: an address of another host, made by us.
pub(super) fn to_microsoft(url: &url::Url) -> HttpResponse {
    see_other(url.as_str())
}
