//! Azure Key Vault: `wrapkey` and `unwrapkey` with an RSA key (source: the Key Vault REST reference,
//! version 7.4). The token comes from a client secret or a federated token of the environment, or from
//! the machine's managed identity.

use std::time::{Duration, Instant};

use data_encoding::BASE64URL_NOPAD;
use keys::Error;
use reqwest::Client;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use url::Url;
use zeroize::Zeroizing;

use crate::{Environment, Service, ask, refused};

const NAME: &str = "Azure Key Vault";
const VERSION: &str = "api-version=7.4";

/// An RSA key of a vault.
#[derive(Debug)]
pub struct AzureKeyVault {
    http: Client,
    environment: Environment,
    vault: Url,
    key: String,
    held: Mutex<Option<Token>>,
}

struct Token {
    text: Zeroizing<String>,
    renew_at: Instant,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

#[derive(Deserialize)]
struct Granted {
    access_token: Zeroizing<String>,
    /// Seconds: a number of the sign-in service, a text of a managed identity.
    expires_in: Value,
}

/// What a key wrapped, and which version of it.
#[derive(Serialize, Deserialize)]
struct Answer {
    kid: String,
    value: String,
}

impl AzureKeyVault {
    /// A key of a vault, such as `https://NAME.vault.azure.net/`.
    ///
    /// # Errors
    /// When the platform's certificates cannot be read.
    pub fn new(vault: Url, key: &str, environment: Environment) -> Result<Self, Error> {
        Ok(Self {
            http: crate::client()?,
            environment,
            vault,
            key: key.to_owned(),
            held: Mutex::default(),
        })
    }

    /// Who the token is for: the service of the vault's cloud, such as `https://vault.azure.net`.
    fn audience(&self) -> String {
        let host = self.vault.host_str().unwrap_or_default();
        match host.split_once('.') {
            Some((_, service)) if host.contains(".vault.") => format!("https://{service}"),
            _ => "https://vault.azure.net".to_owned(),
        }
    }

    async fn token(&self) -> Result<Zeroizing<String>, Error> {
        let mut held = self.held.lock().await;
        if let Some(token) = held.as_ref().filter(|t| t.renew_at > Instant::now()) {
            return Ok(token.text.clone());
        }
        let code = |answer: &Value| answer["error"].as_str().map(str::to_owned);
        let (tenant, client) = (
            (self.environment)("AZURE_TENANT_ID"),
            (self.environment)("AZURE_CLIENT_ID"),
        );
        let secret =
            (self.environment)("AZURE_CLIENT_SECRET").map(|secret| ("client_secret", secret));
        let federated = (self.environment)("AZURE_FEDERATED_TOKEN_FILE")
            .and_then(|file| std::fs::read_to_string(file).ok())
            .map(|token| ("client_assertion", token.trim().to_owned()));
        let granted: Granted = match (tenant, client.clone(), secret.or(federated)) {
            (Some(tenant), Some(client), Some((proof, value))) => {
                let authority = (self.environment)("AZURE_AUTHORITY_HOST")
                    .unwrap_or_else(|| "https://login.microsoftonline.com".into());
                let authority = authority.trim_end_matches('/');
                let scope = format!("{}/.default", self.audience());
                let mut form = vec![
                    ("grant_type", "client_credentials"),
                    ("client_id", client.as_str()),
                    ("scope", scope.as_str()),
                    (proof, value.as_str()),
                ];
                if proof == "client_assertion" {
                    form.push((
                        "client_assertion_type",
                        "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                    ));
                }
                let url = format!("{authority}/{tenant}/oauth2/v2.0/token");
                ask(NAME, self.http.post(url).form(&form), code).await?
            }
            _ => {
                let mut url: Url = "http://169.254.169.254/metadata/identity/oauth2/token"
                    .parse()
                    .map_err(|_| refused(NAME, "no address"))?;
                url.query_pairs_mut()
                    .append_pair("api-version", "2018-02-01")
                    .append_pair("resource", &self.audience());
                if let Some(client) = &client {
                    url.query_pairs_mut().append_pair("client_id", client);
                }
                let request = self.http.get(url).header("metadata", "true");
                ask(NAME, request, code).await?
            }
        };
        let seconds = granted
            .expires_in
            .as_u64()
            .or_else(|| granted.expires_in.as_str()?.parse().ok())
            .unwrap_or(0);
        *held = Some(Token {
            text: granted.access_token.clone(),
            renew_at: Instant::now() + Duration::from_secs(seconds.saturating_sub(300)),
        });
        Ok(granted.access_token)
    }

    async fn call(&self, url: String, value: &[u8]) -> Result<Answer, Error> {
        let token = self.token().await?;
        let body = json!({ "alg": "RSA-OAEP-256", "value": BASE64URL_NOPAD.encode(value) });
        let request = self
            .http
            .post(format!("{url}?{VERSION}"))
            .bearer_auth(token.as_str())
            .json(&body);
        ask(NAME, request, |answer| {
            answer["error"]["code"].as_str().map(str::to_owned)
        })
        .await
    }

    fn address(&self) -> String {
        let vault = self.vault.as_str().trim_end_matches('/');
        format!("{vault}/keys/{}", self.key)
    }
}

fn bytes(text: &str) -> Result<Zeroizing<Vec<u8>>, Error> {
    BASE64URL_NOPAD
        .decode(text.as_bytes())
        .map(Zeroizing::new)
        .map_err(|_| refused(NAME, "its answer cannot be read"))
}

#[async_trait::async_trait]
impl Service for AzureKeyVault {
    fn id(&self) -> String {
        format!("azure-key-vault:{}", self.address())
    }

    async fn encrypt(&self, plain: &[u8]) -> Result<Vec<u8>, Error> {
        let answer = self
            .call(format!("{}/wrapkey", self.address()), plain)
            .await?;
        serde_json::to_vec(&answer).map_err(|_| Error::Malformed("an answer"))
    }

    async fn decrypt(&self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let answer: Answer =
            serde_json::from_slice(sealed).map_err(|_| Error::Malformed("an answer"))?;
        // The version that wrapped it unwraps it; it is a version of this very key.
        let version = answer
            .kid
            .rsplit('/')
            .next()
            .filter(|v| !v.is_empty() && v.bytes().all(|b| b.is_ascii_alphanumeric()))
            .ok_or(Error::Malformed("the version of a key"))?;
        let url = format!("{}/{version}/unwrapkey", self.address());
        let plain = self.call(url, &bytes(&answer.value)?).await?;
        bytes(&plain.value)
    }
}
