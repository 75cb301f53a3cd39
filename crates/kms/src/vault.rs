//! HashiCorp Vault's transit engine: `encrypt` and `decrypt` (source: its HTTP API). The token comes
//! from `VAULT_TOKEN`, or from the file of `VAULT_TOKEN_FILE`, which an agent renews.

use data_encoding::BASE64;
use keys::Error;
use reqwest::Client;
use serde_json::{Value, json};
use url::Url;
use zeroize::Zeroizing;

use crate::{Environment, Service, ask, decoded, refused};

const NAME: &str = "Vault";

/// A key of a transit engine.
#[derive(Debug)]
pub struct VaultTransit {
    http: Client,
    environment: Environment,
    address: Url,
    mount: String,
    key: String,
}

impl VaultTransit {
    /// A key of the engine at `mount`, usually `transit`.
    ///
    /// # Errors
    /// When the platform's certificates cannot be read.
    pub fn new(
        address: Url,
        mount: &str,
        key: &str,
        environment: Environment,
    ) -> Result<Self, Error> {
        Ok(Self {
            http: crate::client()?,
            environment,
            address,
            mount: mount.trim_matches('/').to_owned(),
            key: key.to_owned(),
        })
    }

    async fn call(
        &self,
        action: &str,
        body: Value,
        field: &str,
    ) -> Result<Zeroizing<String>, Error> {
        let token = match (self.environment)("VAULT_TOKEN_FILE") {
            Some(file) => std::fs::read_to_string(file).ok(),
            None => (self.environment)("VAULT_TOKEN"),
        };
        let token = Zeroizing::new(token.ok_or_else(|| {
            refused(
                NAME,
                "there is no token: set VAULT_TOKEN or VAULT_TOKEN_FILE",
            )
        })?);
        let address = self.address.as_str().trim_end_matches('/');
        let url = format!("{address}/v1/{}/{action}/{}", self.mount, self.key);
        let mut request = self.http.post(url).header("x-vault-token", token.trim());
        if let Some(namespace) = (self.environment)("VAULT_NAMESPACE") {
            request = request.header("x-vault-namespace", namespace);
        }
        let answer: Value = ask(NAME, request.json(&body), |answer| {
            answer["errors"][0].as_str().map(str::to_owned)
        })
        .await?;
        match answer["data"][field].as_str() {
            Some(text) => Ok(Zeroizing::new(text.to_owned())),
            None => Err(refused(NAME, "its answer cannot be read")),
        }
    }
}

#[async_trait::async_trait]
impl Service for VaultTransit {
    fn id(&self) -> String {
        let address = self.address.as_str().trim_end_matches('/');
        format!("vault-transit:{address}/{}/{}", self.mount, self.key)
    }

    async fn encrypt(&self, plain: &[u8]) -> Result<Vec<u8>, Error> {
        let body = json!({ "plaintext": BASE64.encode(plain) });
        let sealed = self.call("encrypt", body, "ciphertext").await?;
        Ok(sealed.as_bytes().to_vec())
    }

    async fn decrypt(&self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let text = std::str::from_utf8(sealed).map_err(|_| Error::Malformed("an answer"))?;
        let plain = self
            .call("decrypt", json!({ "ciphertext": text }), "plaintext")
            .await?;
        decoded(NAME, &plain)
    }
}
