//! How Microsoft is reached with a partner's credential.

use graph::{
    ClientCredential, Clouds, Error as GraphError, Grantee, GraphClient, Limiter, Meter, Request,
    TokenSource, types,
};
use keys::Keyring;
use model::{
    DirectoryId, Scope,
    credential::{self, Credential},
    tenant,
};
use uuid::Uuid;

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

impl Connection {
    /// The credential's secret, opened; `None` when it is revoked.
    pub async fn client_credential(
        &self,
        scope: &Scope,
        credential: &Credential,
    ) -> Result<Option<ClientCredential>, Error> {
        let secret = credential::open_secret(scope, &self.keyring, credential.id).await?;
        Ok(secret.map(|s| ClientCredential::Secret(s.expose().to_owned().into())))
    }

    /// A client for one directory; `None` when the credential is revoked.
    pub async fn client(
        &self,
        scope: &Scope,
        credential: &Credential,
        directory: DirectoryId,
        priority: &'static str,
    ) -> Result<Option<GraphClient>, Error> {
        let cloud = self
            .clouds
            .get(&credential.cloud)
            .ok_or_else(|| Error::UnknownCloud(credential.cloud.clone()))?;
        let grantee = Grantee {
            owner: scope.partner().0,
            cloud: credential.cloud.clone(),
            tenant: directory.0,
            client_id: credential.client_id.0,
            version: credential.secret_version,
        };
        Ok(self
            .client_credential(scope, credential)
            .await?
            .map(|secret| {
                GraphClient::new(
                    self.tokens.clone(),
                    self.limiter.clone(),
                    cloud,
                    grantee,
                    secret,
                    priority,
                )
            }))
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
