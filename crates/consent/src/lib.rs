//! Admin consent: begin, return, prove, verify, outcome.
//!
//! The callback proves nothing by itself (docs/adr/0005-consent.md). The state must be ours, unused,
//! fresh and from the browser that began; the tenant must be the pinned one where one was; the
//! person signs in once more and their home tenant must be the claimed one, where they hold a role
//! that may consent; then a token for that tenant and `GET /organization` must work. Only then is a
//! tenant recorded, in one transaction with its audit rows.

pub mod authorisation;
pub mod connection_test;
pub mod discovery;
pub mod limits;
pub mod mail;
pub mod permission;

mod microsoft;
mod outcome;
mod verify;

pub use microsoft::{Connection, organization_of};
pub use outcome::Outcome;
pub use verify::check_spreading;

use graph::Return;
use graph::{
    aadsts,
    oidc::{self, Identity, SignIn},
};
use model::{
    ConsentLink, ConsentLinkId, ConsentRequest, ConsentStep, CredentialKind, DirectoryId, MemberId,
    Scope,
    consent_link::Standing,
    consent_request::{self, Ending, New, Presented},
    credential::{self, Credential},
};
use url::Url;

/// What the consent flow needs of the installation.
#[derive(Debug, Clone)]
pub struct Consent {
    /// How Microsoft is reached.
    pub connection: Connection,
    /// This installation's redirect URI, exactly as registered.
    pub redirect_uri: String,
}

/// What to do with the browser after a return.
#[derive(Debug)]
pub enum Next {
    /// Show the page of this outcome.
    Show(Box<Ended>),
    /// Set the cookie and send the browser to Microsoft once more, to prove whose administrator the
    /// person is.
    Prove {
        /// Where to.
        url: Url,
        /// Value of the proof cookie: nonce and PKCE verifier are derived from it.
        cookie: String,
    },
}

/// A request that ended, with what its page shows.
#[derive(Debug)]
pub struct Ended {
    /// How.
    pub outcome: Outcome,
    /// The request, where the state was one of ours.
    pub request: Option<ConsentRequest>,
    /// Microsoft's code.
    pub code: Option<String>,
    /// The directory's name, where it was read.
    pub tenant_name: Option<String>,
    /// The credential's name.
    pub credential_name: Option<String>,
}

/// Errors that are ours, not an outcome.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The model failed.
    #[error(transparent)]
    Model(#[from] model::Error),
    /// Randomness or a key failed.
    #[error(transparent)]
    Key(#[from] keys::Error),
    /// The credential's cloud is not configured any more.
    #[error("the cloud {0} is not configured on this server")]
    UnknownCloud(String),
}

impl Consent {
    /// Begins a request and answers Microsoft's URL. `session` binds it to a browser; requests of
    /// the API have none.
    ///
    /// # Errors
    /// [`model::Error::Conflict`] for a credential that is revoked or of another kind.
    pub async fn begin(
        &self,
        scope: &Scope,
        credential: &Credential,
        pinned: Option<DirectoryId>,
        session: Option<String>,
    ) -> Result<(ConsentRequest, Url), Error> {
        let member = scope.member().ok_or(model::Error::Conflict(
            "Consent is asked for by a member, not by the operator.".into(),
        ))?;
        self.begin_for(scope, credential, pinned, (member, session, None))
            .await
    }

    /// Begins the request of an administrator who followed a link. `browser` is the hash of a cookie
    /// that only their browser has.
    ///
    /// # Errors
    /// [`model::Error::Conflict`] when the link may not be followed any more.
    pub async fn begin_by_link(
        &self,
        scope: &Scope,
        link: &ConsentLink,
        browser: String,
    ) -> Result<(ConsentRequest, Url), Error> {
        if link.standing(scope.now()) != Standing::Open {
            return Err(model::Error::Conflict("This link cannot be used any more.".into()).into());
        }
        let credential = credential::get(scope, link.credential_id)
            .await?
            .ok_or_else(|| model::Error::Stored("a link's credential is gone".into()))?;
        let by = (link.member_id, Some(browser), Some(link.id));
        self.begin_for(scope, &credential, link.directory_id, by)
            .await
    }

    async fn begin_for(
        &self,
        scope: &Scope,
        credential: &Credential,
        pinned: Option<DirectoryId>,
        (member, browser, link): (MemberId, Option<String>, Option<ConsentLinkId>),
    ) -> Result<(ConsentRequest, Url), Error> {
        let cloud = self.connection.cloud(credential)?;
        if credential.revoked_at.is_some() {
            return Err(model::Error::Conflict("This credential is revoked.".into()).into());
        }
        if credential.kind != CredentialKind::MultiTenant {
            return Err(model::Error::Conflict(
                "Customers consent to multi-tenant applications. Test this connection instead."
                    .into(),
            )
            .into());
        }
        let state = keys::random_token()?;
        let new = New {
            credential: credential.id,
            pinned,
            member,
            browser,
            link,
            state: &state,
        };
        let request = consent_request::create(scope, new).await?;
        let url = cloud.admin_consent_url(
            pinned.map(|d| d.0),
            credential.client_id.0,
            &self.redirect_uri,
            &state,
        );
        Ok((request, url))
    }

    /// Handles Microsoft's return, of either step. `browsers` are the hashes of the cookies that
    /// tell one browser from another, `proof` its proof cookie.
    pub async fn finish(
        &self,
        db: &model::Db,
        back: &Return,
        browsers: &[String],
        proof: Option<&str>,
        address: &str,
    ) -> Result<Next, Error> {
        let presented = if back.code.is_some() {
            consent_request::present_proof(db, &back.state, proof.is_some(), address).await?
        } else {
            consent_request::present(db, &back.state, browsers, address).await?
        };
        let presented = match presented {
            // An error of the proving step comes without a code; its state tells the step.
            Presented::Unknown if back.code.is_none() => {
                consent_request::present_proof(db, &back.state, proof.is_some(), address).await?
            }
            other => other,
        };
        match presented {
            Presented::Unknown => {
                // It names no partner, so no partner's audit log can hold it.
                tracing::warn!(
                    address,
                    "a return from Microsoft with a state nobody asked for"
                );
                Ok(show(Outcome::Unrecognised, None, None))
            }
            Presented::Replayed(scope, request) => {
                self.refuse(&scope, request, Outcome::Replayed).await
            }
            Presented::Expired(scope, request) => {
                self.refuse(&scope, request, Outcome::Expired).await
            }
            Presented::OtherSession(scope, request) => {
                self.refuse(&scope, request, Outcome::OtherBrowser).await
            }
            Presented::Accepted(scope, request) => {
                if request.step == ConsentStep::Proving {
                    self.proved(&scope, request, back, proof).await
                } else {
                    self.returned(&scope, request, back).await
                }
            }
        }
    }

    /// Writes the audit row of a return that changes nothing, and shows why.
    async fn refuse(
        &self,
        scope: &Scope,
        request: ConsentRequest,
        outcome: Outcome,
    ) -> Result<Next, Error> {
        consent_request::note_refusal(scope, request.id, outcome.name()).await?;
        Ok(show(outcome, Some(request), None))
    }

    /// The consent step's return.
    async fn returned(
        &self,
        scope: &Scope,
        mut request: ConsentRequest,
        back: &Return,
    ) -> Result<Next, Error> {
        if let Some(error) = &back.error {
            let code = back.error_description.as_deref().and_then(aadsts);
            let outcome = before_verification(Outcome::of_redirect_error(error, code));
            let code = code.map(|c| format!("AADSTS{c}"));
            return self.end(scope, request, outcome, code, None).await;
        }
        let claimed = back
            .tenant
            .as_deref()
            .and_then(|t| credential::parse_guid(t).ok())
            .map(DirectoryId);
        let Some(claimed) = claimed else {
            return self
                .end(scope, request, Outcome::TenantMismatch, None, None)
                .await;
        };
        request.claimed_directory_id = Some(claimed);
        request.granted_scopes = back
            .scope
            .clone()
            .unwrap_or_default()
            .chars()
            .filter(|c| !c.is_control())
            .take(2000)
            .collect();
        match request.pinned_directory_id {
            Some(pinned) if pinned != claimed => {
                self.end(scope, request, Outcome::TenantMismatch, None, None)
                    .await
            }
            // Also where the tenant was pinned: that the application works there shows that somebody
            // consented once, not that this person may (docs/adr/0005-consent.md).
            _ => self.ask_for_proof(scope, &request, claimed).await,
        }
    }

    async fn ask_for_proof(
        &self,
        scope: &Scope,
        request: &ConsentRequest,
        claimed: DirectoryId,
    ) -> Result<Next, Error> {
        let Some(credential) = credential::get(scope, request.credential_id).await? else {
            return Ok(show(
                Outcome::CredentialRejected,
                Some(request.clone()),
                None,
            ));
        };
        let cloud = self.connection.cloud(&credential)?;
        let (state, cookie) = (keys::random_token()?, keys::random_token()?);
        consent_request::begin_proof(scope, request.id, claimed, &request.granted_scopes, &state)
            .await?;
        let (nonce, verifier) = derive(&cookie, &state);
        let url = oidc::authorize_url(
            &cloud,
            &self.sign_in(&credential, &state, &nonce, &verifier),
        );
        Ok(Next::Prove { url, cookie })
    }

    fn sign_in<'a>(
        &'a self,
        credential: &Credential,
        state: &'a str,
        nonce: &'a str,
        verifier: &'a str,
    ) -> SignIn<'a> {
        SignIn {
            // The home tenant of the person: in a tenant's own endpoint a guest would pass.
            tenant: None,
            client_id: credential.client_id.0,
            redirect_uri: &self.redirect_uri,
            state,
            nonce,
            verifier,
            scopes: &[],
            anew: false,
        }
    }

    /// The proving step's return.
    async fn proved(
        &self,
        scope: &Scope,
        request: ConsentRequest,
        back: &Return,
        proof: Option<&str>,
    ) -> Result<Next, Error> {
        let Some(cookie) = proof else {
            return self
                .end(scope, request, Outcome::OtherBrowser, None, None)
                .await;
        };
        if let Some(error) = &back.error {
            let code = back.error_description.as_deref().and_then(aadsts);
            let outcome = before_verification(Outcome::of_redirect_error(error, code));
            let code = code.map(|c| format!("AADSTS{c}"));
            return self.end(scope, request, outcome, code, None).await;
        }
        let Some(credential) = credential::get(scope, request.credential_id).await? else {
            return self
                .end(scope, request, Outcome::CredentialRejected, None, None)
                .await;
        };
        let cloud = self.connection.cloud(&credential)?;
        let secret = self
            .connection
            .client_credential(scope, &credential)
            .await?;
        let Some(secret) = secret else {
            return self
                .end(scope, request, Outcome::CredentialRejected, None, None)
                .await;
        };
        let (nonce, verifier) = derive(cookie, &back.state);
        let identity = oidc::redeem(
            self.connection.tokens.http(),
            &cloud,
            &self.sign_in(&credential, &back.state, &nonce, &verifier),
            &secret,
            back.code.as_deref().unwrap_or_default(),
            scope.now().0 / 1000,
        )
        .await;
        let identity = match identity {
            Err(error) => {
                let outcome = before_verification(Outcome::of_error(&error));
                return self.end(scope, request, outcome, error.code(), None).await;
            }
            Ok(signed_in) => signed_in.identity,
        };
        let mut request = request;
        request.administrator = Some(described(&identity));
        if Some(DirectoryId(identity.tenant)) != request.claimed_directory_id {
            return self
                .end(scope, request, Outcome::TenantMismatch, None, None)
                .await;
        }
        if !may_consent(identity.roles.as_deref()) {
            return self
                .end(scope, request, Outcome::WrongRole, None, None)
                .await;
        }
        // The token names no roles unless the registration asks for them: then Graph is asked.
        request.person_id = identity.roles.is_none().then_some(identity.object);
        self.verify(scope, request).await
    }

    /// Looks once more whether a consent that was still spreading works by now.
    pub async fn check_again(&self, scope: &Scope, request: ConsentRequest) -> Result<Next, Error> {
        if request.step != ConsentStep::Spreading {
            return Ok(show(Outcome::Replayed, Some(request), None));
        }
        self.verify(scope, request).await
    }

    async fn end(
        &self,
        scope: &Scope,
        request: ConsentRequest,
        outcome: Outcome,
        code: Option<String>,
        detail: Option<String>,
    ) -> Result<Next, Error> {
        let step = if outcome == Outcome::StillSpreading {
            ConsentStep::Spreading
        } else {
            ConsentStep::Finished
        };
        let ending = Ending {
            outcome: outcome.name(),
            code: code.as_deref(),
            detail,
            unexpected: None,
            step,
        };
        consent_request::finish(scope, &request, ending).await?;
        Ok(show(outcome, Some(request), code))
    }
}

/// Only a verification that ran may say "still spreading": that outcome can be checked again without
/// the administrator, so nothing that a browser sends may lead to it.
fn before_verification(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::StillSpreading => Outcome::Declined,
        other => other,
    }
}

/// Who signed in, for people to read.
fn described(identity: &Identity) -> String {
    let name = identity.username.as_deref().unwrap_or_default();
    let name: String = name.chars().filter(|c| !c.is_control()).take(200).collect();
    if name.is_empty() {
        identity.object.to_string()
    } else {
        name
    }
}

/// Roles of the token: unknown ones are asked for elsewhere.
fn may_consent(roles: Option<&[uuid::Uuid]>) -> bool {
    roles.is_none_or(|held| held.iter().any(|id| oidc::CONSENTING_ROLES.contains(id)))
}

fn show(outcome: Outcome, request: Option<ConsentRequest>, code: Option<String>) -> Next {
    Next::Show(Box::new(Ended {
        outcome,
        request,
        code,
        tenant_name: None,
        credential_name: None,
    }))
}

/// Nonce and PKCE verifier from the proof cookie, so that nothing of either is kept in our database;
/// and from the state, so that a code of one sign-in does not do for another.
fn derive(cookie: &str, state: &str) -> (String, String) {
    let of = |purpose: &str| keys::fingerprint(&format!("tenantry {purpose} {state} {cookie}"));
    (of("nonce"), of("code verifier"))
}
