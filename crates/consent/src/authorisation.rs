//! Delegated connections: a person signs in and lets the application read in their name. Authorization
//! code with PKCE; the refresh token is kept sealed and renewed with each use.

use graph::oidc::{self, SignIn};
use keys::Secret;
use model::{
    CredentialKind, Db, Scope,
    authorisation::{self, Presented},
    credential::{self, Credential},
};
use url::Url;

use crate::{Consent, Error, Outcome, derive, permission};
use graph::Return;

/// How an authorisation ended.
#[derive(Debug)]
pub struct Authorised {
    /// How.
    pub outcome: Outcome,
    /// Microsoft's code, if it gave one.
    pub code: Option<String>,
    /// The scope and the credential, where the state was one of ours.
    pub credential: Option<(Scope, Credential)>,
}

impl Consent {
    /// Begins one: where the person is sent, and the cookie from which nonce and PKCE verifier are
    /// derived.
    ///
    /// # Errors
    /// [`model::Error::Conflict`] for a credential that is revoked or of another kind.
    pub async fn authorise(
        &self,
        scope: &Scope,
        credential: &Credential,
        session: &str,
    ) -> Result<(Url, String), Error> {
        if credential.kind != CredentialKind::Delegated || credential.revoked_at.is_some() {
            return Err(model::Error::Conflict(
                "Only a delegated connection that is not revoked is authorised.".into(),
            )
            .into());
        }
        let cloud = self.connection.cloud(credential)?;
        let (state, cookie) = (keys::random_token()?, keys::random_token()?);
        authorisation::create(scope, credential.id, session, &state).await?;
        let (nonce, verifier) = derive(&cookie, &state);
        let scopes = scopes(&cloud, credential);
        let sign_in = self.person(credential, &state, (&nonce, &verifier), &scopes);
        Ok((oidc::authorize_url(&cloud, &sign_in), cookie))
    }

    fn person<'a>(
        &'a self,
        credential: &Credential,
        state: &'a str,
        (nonce, verifier): (&'a str, &'a str),
        scopes: &'a [String],
    ) -> SignIn<'a> {
        SignIn {
            tenant: Some(credential.directory_id.0),
            client_id: credential.client_id.0,
            redirect_uri: &self.redirect_uri,
            state,
            nonce,
            verifier,
            scopes,
            anew: false,
        }
    }

    /// Handles Microsoft's return. `None` when the state is of no authorisation: it may be of a
    /// consent.
    pub async fn authorised(
        &self,
        db: &Db,
        back: &Return,
        browsers: &[String],
        proof: Option<&str>,
        address: &str,
    ) -> Result<Option<Authorised>, Error> {
        let (scope, row, refusal) =
            match authorisation::present(db, &back.state, browsers, address).await? {
                Presented::Unknown => return Ok(None),
                Presented::Replayed(scope, row) => (scope, row, Some(Outcome::Replayed)),
                Presented::Expired(scope, row) => (scope, row, Some(Outcome::Expired)),
                Presented::OtherSession(scope, row) => (scope, row, Some(Outcome::OtherBrowser)),
                Presented::Accepted(scope, row) => (scope, row, None),
            };
        let Some(credential) = credential::get(&scope, row.credential_id).await? else {
            return Ok(None);
        };
        let (outcome, code) = match refusal {
            Some(outcome) => (outcome, None),
            None => self.redeem(&scope, &credential, back, proof).await?,
        };
        if outcome != Outcome::Granted {
            authorisation::note_refusal(&scope, credential.id, outcome.name(), code.as_deref())
                .await?;
        }
        Ok(Some(Authorised {
            outcome,
            code,
            credential: Some((scope, credential)),
        }))
    }

    async fn redeem(
        &self,
        scope: &Scope,
        credential: &Credential,
        back: &Return,
        proof: Option<&str>,
    ) -> Result<(Outcome, Option<String>), Error> {
        if let Some(error) = &back.error {
            let code = back.error_description.as_deref().and_then(graph::aadsts);
            let outcome = crate::before_verification(Outcome::of_redirect_error(error, code));
            return Ok((outcome, code.map(|c| format!("AADSTS{c}"))));
        }
        let (Some(cookie), Some(code)) = (proof, &back.code) else {
            return Ok((Outcome::OtherBrowser, None));
        };
        let cloud = self.connection.cloud(credential)?;
        let own = self.connection.client_credential(scope, credential).await?;
        let Some(own) = own else {
            return Ok((Outcome::CredentialRejected, None));
        };
        let (nonce, verifier) = derive(cookie, &back.state);
        let scopes = scopes(&cloud, credential);
        let sign_in = self.person(credential, &back.state, (&nonce, &verifier), &scopes);
        let now = scope.now().0 / 1000;
        let http = self.connection.tokens.http();
        let signed_in = match oidc::redeem(http, &cloud, &sign_in, &own, code, now).await {
            Ok(signed_in) => signed_in,
            Err(error) => {
                let outcome = crate::before_verification(Outcome::of_error(&error));
                return Ok((outcome, error.code()));
            }
        };
        if signed_in.identity.tenant != credential.directory_id.0 {
            return Ok((Outcome::TenantMismatch, None));
        }
        let Some(refresh_token) = signed_in.refresh_token else {
            return Ok((Outcome::Declined, None));
        };
        let person = crate::described(&signed_in.identity);
        authorisation::finish(
            scope,
            &self.connection.keyring,
            credential,
            &Secret::new(refresh_token.as_str()),
            &person,
        )
        .await?;
        Ok((Outcome::Granted, None))
    }
}

/// The delegated permissions by their names on this cloud's Graph.
fn scopes(cloud: &graph::Cloud, credential: &Credential) -> Vec<String> {
    let graph = cloud.graph.as_str().trim_end_matches('/');
    permission::required_by(credential)
        .iter()
        .map(|p| format!("{graph}/{}", p.name))
        .collect()
}
