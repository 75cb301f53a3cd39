//! How Microsoft is reached with a partner's credential.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use graph::{
    Class, ClientCredential, Cloud, Clouds, Error as GraphError, Grantee, GraphClient, Limiter,
    Meter, Proof, ProofSource, Request, SigningKey, TokenSource, types,
};
use keys::{Keyring, Secret};
use model::{
    CredentialId, CredentialKind, CredentialSecretId, DirectoryId, Scope, SecretKind, TenantState,
    credential::{
        self, Credential,
        secret::{self, NewSecret, Opened},
    },
    tenant,
};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::Error;

/// Clouds, tokens, limits and keys: everything that turns a credential into a Graph client.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Configured clouds.
    pub clouds: Clouds,
    /// Token cache.
    pub tokens: TokenSource,
    /// Limits.
    pub limiter: Limiter,
    /// Opens secrets.
    pub keyring: Keyring,
}

/// A directory as it describes itself.
#[derive(Debug, Clone)]
pub struct Described {
    /// Its tenant id.
    pub id: Uuid,
    /// What we keep of it.
    pub facts: tenant::Organization,
}

/// The proofs of a stored credential: opened for each token request, and not held after it.
struct Stored {
    scope: Scope,
    keyring: Keyring,
    credential: CredentialId,
    kind: CredentialKind,
    /// Which refresh token was opened last: only that one is replaced by what comes of it.
    refresh_token: Mutex<Option<CredentialSecretId>>,
}

impl ProofSource for Stored {
    fn proofs(&self) -> BoxFuture<'_, Result<Vec<Proof>, GraphError>> {
        Box::pin(async move {
            let opened = secret::open(&self.scope, &self.keyring, self.credential)
                .await
                .map_err(|error| match error {
                    model::Error::Key(service @ keys::Error::Service { .. }) => {
                        GraphError::Locked(service.to_string())
                    }
                    other => GraphError::Store(other.to_string()),
                })?;
            if opened.is_empty() {
                return Err(GraphError::Revoked);
            }
            let token = opened.iter().find(|o| o.kind == SecretKind::RefreshToken);
            *self
                .refresh_token
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = token.map(|o| o.id);
            let refresh_token = token
                .map(Opened::text)
                .transpose()
                .map_err(|e| GraphError::Store(e.to_string()))?;
            if self.kind == CredentialKind::Delegated && refresh_token.is_none() {
                return Err(GraphError::Lapsed { code: None });
            }
            opened
                .iter()
                .filter(|o| o.kind != SecretKind::RefreshToken)
                .map(|o| {
                    Ok(Proof {
                        credential: client_credential(o)?,
                        refresh_token: refresh_token.clone(),
                        now: self.scope.now().0 / 1000,
                    })
                })
                .collect()
        })
    }

    fn rotated(&self, refresh_token: Zeroizing<String>) -> BoxFuture<'_, Result<(), GraphError>> {
        Box::pin(async move {
            let token = Secret::new(refresh_token.as_str());
            let used = *self
                .refresh_token
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let Some(used) = used else { return Ok(()) };
            secret::rotate(&self.scope, &self.keyring, self.credential, used, &token)
                .await
                .map_err(|e| GraphError::Store(e.to_string()))
        })
    }
}

fn client_credential(opened: &Opened) -> Result<ClientCredential, GraphError> {
    match &opened.certificate {
        Some(certificate) => Ok(ClientCredential::Certificate(Arc::new(SigningKey::new(
            &opened.bytes,
            certificate,
        )?))),
        None => Ok(ClientCredential::Secret(
            opened
                .text()
                .map_err(|e| GraphError::Store(e.to_string()))?,
        )),
    }
}

impl Connection {
    /// The credential's cloud.
    ///
    /// # Errors
    /// [`Error::UnknownCloud`] when the configuration does not have it any more.
    pub fn cloud(&self, credential: &Credential) -> Result<Arc<Cloud>, Error> {
        self.clouds
            .get(&credential.cloud)
            .ok_or_else(|| Error::UnknownCloud(credential.cloud.clone()))
    }

    /// What the application proves itself with now; `None` when the credential is revoked.
    pub async fn client_credential(
        &self,
        scope: &Scope,
        credential: &Credential,
    ) -> Result<Option<ClientCredential>, Error> {
        let opened = secret::open(scope, &self.keyring, credential.id).await?;
        let own = opened.iter().find(|o| o.kind != SecretKind::RefreshToken);
        own.map(client_credential)
            .transpose()
            .map_err(|e| model::Error::Stored(e.to_string()).into())
    }

    /// A client for one directory; `None` when the credential is revoked.
    pub async fn client(
        &self,
        scope: &Scope,
        credential: &Credential,
        directory: DirectoryId,
        priority: &'static str,
    ) -> Result<Option<GraphClient>, Error> {
        let live = credential::get(scope, credential.id).await?;
        if live.is_none_or(|c| c.revoked_at.is_some()) {
            return Ok(None);
        }
        let source = Stored {
            scope: scope.clone(),
            keyring: self.keyring.clone(),
            credential: credential.id,
            kind: credential.kind,
            refresh_token: Mutex::default(),
        };
        Ok(Some(self.client_with(
            scope,
            credential,
            directory,
            Arc::new(source),
            priority,
        )?))
    }

    fn client_with(
        &self,
        scope: &Scope,
        credential: &Credential,
        directory: DirectoryId,
        source: Arc<dyn ProofSource>,
        priority: &'static str,
    ) -> Result<GraphClient, Error> {
        let grantee = Grantee {
            owner: scope.partner().0,
            cloud: credential.cloud.clone(),
            tenant: directory.0,
            client_id: credential.client_id.0,
        };
        Ok(GraphClient::new(
            self.tokens.clone(),
            self.limiter.clone(),
            self.cloud(credential)?,
            grantee,
            source,
            priority,
        ))
    }

    /// Whether Microsoft takes `new` as the credential's proof: a token is asked for in a directory
    /// that is connected, else in the credential's own. Only for a credential that was never used
    /// does "the directory does not know the application" count as no objection: Microsoft may say
    /// that without having looked at the proof.
    ///
    /// # Errors
    /// The refusal, or what kept Microsoft from being asked.
    pub async fn try_secret(
        &self,
        scope: &Scope,
        credential: &Credential,
        new: &NewSecret,
    ) -> Result<Result<(), GraphError>, Error> {
        let proof = match new {
            NewSecret::ClientSecret { value, .. } => {
                Ok(ClientCredential::Secret(value.expose().to_owned().into()))
            }
            NewSecret::Certificate(pair) => {
                SigningKey::new(&pair.private_key, &pair.certificate.der)
                    .map(|key| ClientCredential::Certificate(Arc::new(key)))
            }
            NewSecret::RefreshToken(_) => return Ok(Ok(())),
        };
        self.try_proof(scope, credential, proof).await
    }

    /// As [`Connection::try_secret`], for one that is stored.
    pub async fn try_stored(
        &self,
        scope: &Scope,
        credential: &Credential,
        stored: &Opened,
    ) -> Result<Result<(), GraphError>, Error> {
        self.try_proof(scope, credential, client_credential(stored))
            .await
    }

    async fn try_proof(
        &self,
        scope: &Scope,
        credential: &Credential,
        proof: Result<ClientCredential, GraphError>,
    ) -> Result<Result<(), GraphError>, Error> {
        let proof = match proof {
            Ok(proof) => proof,
            Err(error) => return Ok(Err(error)),
        };
        // In a cache of its own: a token that the old proof obtained would show nothing.
        let alone = Self {
            tokens: TokenSource::new(self.tokens.http().clone()),
            ..self.clone()
        };
        let source = Proof {
            credential: proof,
            refresh_token: None,
            now: scope.now().0 / 1000,
        };
        let connected = tenant::list(scope, Some(credential.id)).await?;
        let directory = connected
            .iter()
            .find(|t| t.state == TenantState::Consented)
            .map_or(credential.directory_id, |t| t.directory_id);
        let client = alone.client_with(scope, credential, directory, Arc::new(source), "normal")?;
        Ok(match client.authenticate().await {
            Err(error) if error.class() == Class::Consent && credential.is_unused() => Ok(()),
            other => other,
        })
    }
}

/// `GET /organization`: a collection of exactly one.
pub async fn organization_of(client: &GraphClient) -> Result<Described, GraphError> {
    let request = Request::get("/organization").select(types::Organization::SELECT);
    let all: Vec<types::Organization> = client.read_all(&request, &Meter::default()).await?;
    let organization = all
        .into_iter()
        .next()
        .ok_or_else(|| GraphError::Malformed("no organization in the answer".into()))?;
    Ok(Described {
        id: Uuid::parse_str(&organization.id)
            .map_err(|_| GraphError::Malformed("the organization's id is no GUID".into()))?,
        facts: facts(&organization),
    })
}

/// What we keep of an organization.
fn facts(organization: &types::Organization) -> tenant::Organization {
    let domains = &organization.verified_domains;
    let default = domains
        .iter()
        .find(|d| d.is_default == Some(true))
        .or(domains.first());
    tenant::Organization {
        display_name: organization.display_name.clone(),
        default_domain: default.map(|d| d.name.clone()).unwrap_or_default(),
        domains: domains.iter().map(|d| d.name.clone()).collect(),
        country: organization.country_letter_code.clone(),
    }
}
