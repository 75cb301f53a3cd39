//! Wrapping keys that never leave a key service: AWS KMS, Azure Key Vault, HashiCorp Vault Transit.
//!
//! What a service wraps is a fresh key for each value, under which the value is sealed at its place:
//! so the place is authenticated whether the service can do that or not, and no service sees a data
//! key. Nothing is kept of what a service answered: a value is unwrapped each time it is used.

use std::time::Duration;

use keys::{ContentKey, Error, KeyProvider, Place, Sealed};
use reqwest::{Client, RequestBuilder, redirect::Policy};
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

mod aws;
mod azure;
mod vault;

pub use aws::AwsKms;
pub use azure::AzureKeyVault;
pub use vault::VaultTransit;

/// One call of a service may take so long; whoever waits is told that it did not answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest answer that is read.
const MOST: usize = 64 * 1024;
/// The version of what is stored; local keys have 1.
const VERSION: u8 = 2;

/// A key of a service.
#[async_trait::async_trait]
pub trait Service: Send + Sync {
    /// Its name, stored beside what it wrapped: the service and the key, without a version.
    fn id(&self) -> String;
    /// Encrypts 32 bytes.
    async fn encrypt(&self, plain: &[u8]) -> Result<Vec<u8>, Error>;
    /// Decrypts what [`Service::encrypt`] made.
    async fn decrypt(&self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error>;
}

/// A provider over a service's key.
#[derive(Debug)]
pub struct Remote<S>(pub S);

#[async_trait::async_trait]
impl<S: Service> KeyProvider for Remote<S> {
    fn id(&self) -> String {
        self.0.id()
    }

    fn knows(&self, id: &str) -> bool {
        self.0.id() == id
    }

    /// `version ‖ length of the service's answer, 2 bytes ‖ answer ‖ sealed key`
    async fn wrap(&self, place: Place<'_>, key: &ContentKey) -> Result<(String, Sealed), Error> {
        let own = ContentKey::generate()?;
        let answer = self.0.encrypt(own.bytes()).await?;
        let length = u16::try_from(answer.len()).map_err(|_| Error::Malformed("too long"))?;
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&answer);
        bytes.extend_from_slice(own.seal(place, key.bytes())?.as_bytes());
        Ok((self.0.id(), Sealed::from_bytes(bytes)))
    }

    async fn unwrap(
        &self,
        id: &str,
        place: Place<'_>,
        wrapped: &Sealed,
    ) -> Result<ContentKey, Error> {
        if !self.knows(id) {
            return Err(Error::UnknownKey(id.to_owned()));
        }
        let (head, rest) = wrapped
            .as_bytes()
            .split_at_checked(3)
            .ok_or(Error::Malformed("too short"))?;
        if head[0] != VERSION {
            return Err(Error::Malformed("unknown version"));
        }
        let length = usize::from(u16::from_be_bytes([head[1], head[2]]));
        let (answer, sealed) = rest
            .split_at_checked(length)
            .ok_or(Error::Malformed("too short"))?;
        let own = ContentKey::from_slice(&self.0.decrypt(answer).await?)?;
        let key = own.open(place, &Sealed::from_bytes(sealed.to_vec()))?;
        ContentKey::from_slice(&key)
    }
}

/// How the services are spoken to: no redirects, no proxy of the environment, bounded in time.
///
/// # Errors
/// When the platform's certificates cannot be read.
pub fn client() -> Result<Client, Error> {
    Client::builder()
        .redirect(Policy::none())
        .no_proxy()
        .connect_timeout(Duration::from_secs(5))
        .timeout(PATIENCE)
        .user_agent(concat!("Tenantry/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| unanswered("client", &error))
}

/// Why a service could not be asked, without the address, which may hold what is nobody's business.
fn unanswered(service: &'static str, error: &reqwest::Error) -> Error {
    let reason = if error.is_timeout() {
        "it did not answer in time"
    } else if error.is_connect() {
        "it could not be reached"
    } else {
        "the connection failed"
    };
    refused(service, reason)
}

fn refused(service: &'static str, reason: impl Into<String>) -> Error {
    Error::Service {
        service,
        reason: reason.into(),
    }
}

/// Sends a request and reads a JSON answer. Of a refusal only the status and a short code are told.
async fn ask<T: DeserializeOwned>(
    service: &'static str,
    request: RequestBuilder,
    code: impl Fn(&serde_json::Value) -> Option<String>,
) -> Result<T, Error> {
    let mut response = request
        .send()
        .await
        .map_err(|error| unanswered(service, &error))?;
    let status = response.status();
    let mut body = Zeroizing::new(Vec::new());
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| unanswered(service, &error))?
    {
        if body.len() + chunk.len() > MOST {
            return Err(refused(service, "its answer is too long"));
        }
        body.extend_from_slice(&chunk);
    }
    if !status.is_success() {
        let said = serde_json::from_slice(&body).ok().and_then(|v| code(&v));
        let said: String = said
            .unwrap_or_default()
            .chars()
            .filter(|c| c.is_ascii_alphanumeric() || "._- ".contains(*c))
            .take(80)
            .collect();
        let reason = format!("it answered {} {said}", status.as_u16());
        return Err(refused(service, reason.trim_end()));
    }
    serde_json::from_slice(&body).map_err(|_| refused(service, "its answer cannot be read"))
}

fn decoded(service: &'static str, text: &str) -> Result<Zeroizing<Vec<u8>>, Error> {
    data_encoding::BASE64
        .decode(text.as_bytes())
        .map(Zeroizing::new)
        .map_err(|_| refused(service, "its answer cannot be read"))
}

/// Where a service's own variables are read, such as `VAULT_TOKEN`: each time anew, because a token may
/// be renewed. The command line gives the process's environment.
pub type Environment = fn(&str) -> Option<String>;
