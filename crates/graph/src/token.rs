//! App-only tokens: client credentials through the `oauth2` crate, cached, fetched once at a time.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::BoxFuture;
use oauth2::{
    AuthType, ClientId, ClientSecret, HttpRequest, HttpResponse, RequestTokenError, Scope,
    TokenResponse, TokenUrl,
    basic::{BasicClient, BasicErrorResponseType},
};
use tokio::time::Instant;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{Cloud, Error, http};

/// What an application proves itself with.
#[derive(Clone)]
pub enum ClientCredential {
    /// A client secret's value.
    Secret(Zeroizing<String>),
}

impl std::fmt::Debug for ClientCredential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientCredential(…)")
    }
}

/// Whom a token is for. The owner and the credential's version are part of the key, so that two
/// owners of one application never share a token, and a replaced secret is tried at once.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Grantee {
    /// Our partner.
    pub owner: Uuid,
    /// The cloud's name.
    pub cloud: String,
    /// The directory that the token is for.
    pub tenant: Uuid,
    /// The application.
    pub client_id: Uuid,
    /// Version of its secret.
    pub version: i64,
}

#[derive(Clone)]
struct Token {
    text: Arc<Zeroizing<String>>,
    renew_at: Instant,
}

type Slot = Arc<tokio::sync::Mutex<Option<Token>>>;

/// The cache of tokens.
#[derive(Clone)]
pub struct TokenSource {
    http: reqwest::Client,
    slots: Arc<Mutex<HashMap<Grantee, Slot>>>,
}

impl std::fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenSource(…)")
    }
}

impl TokenSource {
    /// An empty cache.
    pub fn new(http: reqwest::Client) -> Self {
        Self {
            http,
            slots: Arc::default(),
        }
    }

    /// The HTTP client under it.
    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// A token for `grantee`: the cached one until 80 % of its life, else a new one. Of many
    /// callers at once only one asks Microsoft.
    pub async fn token(
        &self,
        cloud: &Cloud,
        grantee: &Grantee,
        credential: &ClientCredential,
    ) -> Result<Arc<Zeroizing<String>>, Error> {
        let slot = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(slots.entry(grantee.clone()).or_default())
        };
        let mut held = slot.lock().await;
        if let Some(token) = held.as_ref()
            && token.renew_at > Instant::now()
        {
            return Ok(Arc::clone(&token.text));
        }
        let token = self.fetch(cloud, grantee, credential).await?;
        let text = Arc::clone(&token.text);
        *held = Some(token);
        Ok(text)
    }

    /// Forgets a token that Graph refused or that may lack a fresh consent.
    pub fn forget(&self, grantee: &Grantee) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.remove(grantee);
    }

    async fn fetch(
        &self,
        cloud: &Cloud,
        grantee: &Grantee,
        credential: &ClientCredential,
    ) -> Result<Token, Error> {
        let url = cloud.login_url(&grantee.tenant.to_string(), "oauth2/v2.0/token");
        let ClientCredential::Secret(secret) = credential;
        let client = BasicClient::new(ClientId::new(grantee.client_id.to_string()))
            .set_client_secret(ClientSecret::new(secret.to_string()))
            .set_auth_type(AuthType::RequestBody)
            .set_token_uri(TokenUrl::from_url(url));
        let exchange = Exchange::new(&self.http);
        let answer = client
            .exchange_client_credentials()
            .add_scope(Scope::new(cloud.default_scope()))
            .request_async(&exchange)
            .await
            .map_err(|e| exchange.refused(e))?;
        let hour = Duration::from_secs(3600);
        let life = answer.expires_in().unwrap_or(hour).min(24 * hour);
        Ok(Token {
            text: Arc::new(Zeroizing::new(answer.access_token().secret().clone())),
            renew_at: Instant::now() + life.mul_f64(0.8),
        })
    }
}

/// Sends what the `oauth2` crate made; a `Retry-After` is kept aside, because its error type has no
/// room for one.
#[derive(Clone)]
pub(crate) struct Exchange {
    http: reqwest::Client,
    wait: Arc<Mutex<Option<Duration>>>,
}

impl Exchange {
    pub(crate) fn new(http: &reqwest::Client) -> Self {
        Self {
            http: http.clone(),
            wait: Arc::default(),
        }
    }

    pub(crate) fn refused(
        &self,
        error: RequestTokenError<Error, oauth2::StandardErrorResponse<BasicErrorResponseType>>,
    ) -> Error {
        if let Some(after) = *self.wait.lock().unwrap_or_else(PoisonError::into_inner) {
            return Error::Throttled(after);
        }
        match error {
            RequestTokenError::ServerResponse(answer) => Error::Token {
                error: answer.error().as_ref().to_owned(),
                code: answer.error_description().and_then(|d| aadsts(d)),
            },
            RequestTokenError::Request(inner) => inner,
            RequestTokenError::Parse(_, body) if body.starts_with(b"<") => {
                Error::Malformed("a web page instead of a token".into())
            }
            RequestTokenError::Parse(..) => Error::Malformed("no token in the answer".into()),
            RequestTokenError::Other(text) => Error::Malformed(text),
        }
    }
}

/// A trait of its own rather than a closure: through a closure's future the compiler cannot prove
/// `Send` for the futures around it.
impl<'c> oauth2::AsyncHttpClient<'c> for Exchange {
    type Error = Error;
    type Future = BoxFuture<'c, Result<HttpResponse, Error>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let response = self
                .http
                .request(parts.method, parts.uri.to_string())
                .headers(parts.headers)
                .body(body)
                .send()
                .await
                .map_err(Error::transport)?;
            let (status, headers) = (response.status(), response.headers().clone());
            if status.as_u16() == 429 || status.as_u16() == 503 {
                let after = http::retry_after(&headers).unwrap_or(Duration::from_secs(30));
                *self.wait.lock().unwrap_or_else(PoisonError::into_inner) = Some(after);
            }
            let mut answer = ::http::Response::new(http::body(response).await?.to_vec());
            *answer.status_mut() = status;
            *answer.headers_mut() = headers;
            Ok(answer)
        })
    }
}

/// The number in `AADSTS7000215: …`.
pub(crate) fn aadsts(description: &str) -> Option<u32> {
    let rest = description.split("AADSTS").nth(1)?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::aadsts;

    #[test]
    fn the_code_is_read_from_the_description() {
        assert_eq!(
            aadsts("AADSTS7000215: Invalid client secret.\r\nTrace ID: x"),
            Some(7_000_215)
        );
        assert_eq!(aadsts("nothing here"), None);
        assert_eq!(aadsts("AADSTS: "), None);
    }
}
