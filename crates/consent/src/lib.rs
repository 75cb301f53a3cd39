//! Admin consent: begin, return, prove, verify, outcome.
//!
//! The callback proves nothing by itself (docs/adr/0005-consent.md). The state must be ours, unused,
//! fresh and from the browser that began; the tenant must be the pinned one, or else the person signs
//! in once more and their home tenant must be the claimed one; then a token for that tenant and
//! `GET /organization` must work. Only then is a tenant recorded, in one transaction with its audit
//! rows.

mod microsoft;
mod outcome;
pub mod permission;

pub use microsoft::{Connection, organization_of};
pub use outcome::Outcome;

use graph::{
    Cloud, Error as GraphError,
    oidc::{self, SignIn},
};
use model::{
    ConsentRequest, ConsentStep, DirectoryId, Scope,
    consent_request::{self, Ending, Presented},
    credential::{self, Credential},
};
use url::Url;

/// How long the permissions may be probed while a browser waits.
const PROBE: std::time::Duration = std::time::Duration::from_secs(15);

/// What the consent flow needs of the installation.
#[derive(Debug, Clone)]
pub struct Consent {
    /// How Microsoft is reached.
    pub connection: Connection,
    /// This installation's redirect URI, exactly as registered.
    pub redirect_uri: String,
}

/// Parameters of Microsoft's return. All of it comes from a browser and is believed nowhere.
#[derive(Debug, Clone, Default)]
pub struct Return {
    /// `state`.
    pub state: String,
    /// `tenant`.
    pub tenant: Option<String>,
    /// `scope`.
    pub scope: Option<String>,
    /// `error`.
    pub error: Option<String>,
    /// `error_description`; only its AADSTS number is read.
    pub error_description: Option<String>,
    /// `code`, in the proving step.
    pub code: Option<String>,
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
    /// the API have none and go by a pinned tenant, or by the proving step.
    pub async fn begin(
        &self,
        scope: &Scope,
        credential: &Credential,
        pinned: Option<DirectoryId>,
        session: Option<String>,
    ) -> Result<(ConsentRequest, Url), Error> {
        let cloud = self.cloud(&credential.cloud)?;
        if credential.revoked_at.is_some() {
            return Err(model::Error::Conflict("This credential is revoked.".into()).into());
        }
        let member = scope.member().ok_or(model::Error::Conflict(
            "Consent is asked for by a member, not by the operator.".into(),
        ))?;
        let state = keys::random_token()?;
        let request =
            consent_request::create(scope, credential.id, pinned, member, session, &state).await?;
        let url = cloud.admin_consent_url(
            pinned.map(|d| d.0),
            credential.client_id.0,
            &self.redirect_uri,
            &state,
        );
        Ok((request, url))
    }

    fn cloud(&self, name: &str) -> Result<std::sync::Arc<Cloud>, Error> {
        self.connection
            .clouds
            .get(name)
            .ok_or_else(|| Error::UnknownCloud(name.to_owned()))
    }

    /// Handles Microsoft's return, of either step. `session` is the hash of the browser's session,
    /// `proof` its proof cookie.
    pub async fn finish(
        &self,
        db: &model::Db,
        back: &Return,
        session: Option<&str>,
        proof: Option<&str>,
        address: &str,
    ) -> Result<Next, Error> {
        let presented = if back.code.is_some() {
            consent_request::present_proof(db, &back.state, address).await?
        } else {
            consent_request::present(db, &back.state, session, address).await?
        };
        let presented = match presented {
            // An error of the proving step comes without a code; its state tells the step.
            Presented::Unknown if back.code.is_none() => {
                consent_request::present_proof(db, &back.state, address).await?
            }
            other => other,
        };
        match presented {
            Presented::Unknown => Ok(show(Outcome::Unrecognised, None, None)),
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
            Some(_) => self.verify(scope, request).await,
            None => self.ask_for_proof(scope, &request, claimed).await,
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
        let cloud = self.cloud(&credential.cloud)?;
        let (state, cookie) = (keys::random_token()?, keys::random_token()?);
        consent_request::begin_proof(scope, request.id, claimed, &request.granted_scopes, &state)
            .await?;
        let (nonce, verifier) = derive(&cookie);
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
        let cloud = self.cloud(&credential.cloud)?;
        let secret = self
            .connection
            .client_credential(scope, &credential)
            .await?;
        let Some(secret) = secret else {
            return self
                .end(scope, request, Outcome::CredentialRejected, None, None)
                .await;
        };
        let (nonce, verifier) = derive(cookie);
        let identity = oidc::redeem(
            self.connection.tokens.http(),
            &cloud,
            &self.sign_in(&credential, &back.state, &nonce, &verifier),
            &secret,
            back.code.as_deref().unwrap_or_default(),
            scope.now().0 / 1000,
        )
        .await;
        match identity {
            Err(error) => {
                let outcome = before_verification(Outcome::of_error(&error));
                self.end(scope, request, outcome, error.code(), None).await
            }
            Ok(identity) if Some(DirectoryId(identity.tenant)) != request.claimed_directory_id => {
                self.end(scope, request, Outcome::TenantMismatch, None, None)
                    .await
            }
            Ok(identity)
                if identity
                    .roles
                    .as_ref()
                    .is_some_and(|r| !r.iter().any(|id| oidc::CONSENTING_ROLES.contains(id))) =>
            {
                self.end(scope, request, Outcome::WrongRole, None, None)
                    .await
            }
            Ok(_) => self.verify(scope, request).await,
        }
    }

    /// Looks once more whether a consent that was still spreading works by now.
    pub async fn check_again(&self, scope: &Scope, request: ConsentRequest) -> Result<Next, Error> {
        if request.step != ConsentStep::Spreading {
            return Ok(show(Outcome::Replayed, Some(request), None));
        }
        self.verify(scope, request).await
    }

    /// A token for the tenant, its organization, and each permission by its cheapest call.
    async fn verify(&self, scope: &Scope, request: ConsentRequest) -> Result<Next, Error> {
        let Some(directory) = request.claimed_directory_id else {
            return self
                .end(scope, request, Outcome::TenantMismatch, None, None)
                .await;
        };
        let Some(credential) = credential::get(scope, request.credential_id).await? else {
            return self
                .end(scope, request, Outcome::CredentialRejected, None, None)
                .await;
        };
        let client = match self
            .connection
            .client(scope, &credential, directory, "normal")
            .await?
        {
            Some(client) => client,
            None => {
                return self
                    .end(scope, request, Outcome::CredentialRejected, None, None)
                    .await;
            }
        };
        // App roles are frozen into a token: one from before the consent proves nothing.
        client.forget_token();
        let organization = match organization_of(&client).await {
            Ok(organization) => organization,
            Err(error) => {
                let outcome = Outcome::of_error(&error);
                if outcome == Outcome::CredentialRejected {
                    note_rejected(scope, &credential, &error).await?;
                }
                return self.end(scope, request, outcome, error.code(), None).await;
            }
        };
        if organization.id != directory.0 {
            return self
                .end(scope, request, Outcome::TenantMismatch, None, None)
                .await;
        }
        let cloud = self.cloud(&credential.cloud)?;
        // The browser waits and the state is spent: a slow answer must not lose the consent. What is
        // missing then shows at the first sync.
        let missing = tokio::time::timeout(PROBE, permission::missing(&client, &cloud))
            .await
            .unwrap_or_default();
        let (outcome, detail) = if missing.is_empty() {
            (Outcome::Granted, None)
        } else {
            (Outcome::MissingPermissions, Some(missing.join(", ")))
        };
        let ending = Ending {
            outcome: outcome.name(),
            code: None,
            detail: detail.clone(),
            step: ConsentStep::Finished,
        };
        let bound = consent_request::bind(
            scope,
            &request,
            &credential,
            directory,
            &organization.facts,
            ending,
        )
        .await;
        match bound {
            Ok(tenant) => {
                let mut request = request;
                request.tenant_id = Some(tenant);
                request.outcome_detail = detail;
                Ok(Next::Show(Box::new(Ended {
                    outcome,
                    code: None,
                    tenant_name: Some(organization.facts.display_name),
                    credential_name: Some(credential.name),
                    request: Some(request),
                })))
            }
            Err(model::Error::Conflict(_)) => {
                self.end(scope, request, Outcome::AlreadyLinked, None, None)
                    .await
            }
            Err(other) => Err(other.into()),
        }
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

async fn note_rejected(
    scope: &Scope,
    credential: &Credential,
    error: &GraphError,
) -> Result<(), Error> {
    let code = error.code().unwrap_or_default();
    Ok(credential::note_result(scope, credential.id, Err((&code, &error.sentence()))).await?)
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

/// Nonce and PKCE verifier from the proof cookie, so that nothing of either is kept in our database.
fn derive(cookie: &str) -> (String, String) {
    let of = |purpose: &str| keys::fingerprint(&format!("tenantry {purpose} {cookie}"));
    (of("nonce"), of("code verifier"))
}

/// The number in Microsoft's description.
fn aadsts(description: &str) -> Option<u32> {
    let digits: String = description
        .split("AADSTS")
        .nth(1)?
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    digits.parse().ok()
}
