//! Tokens through the `oauth2` crate: client credentials, or the refresh token of a person who
//! authorised; cached, fetched once at a time.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::BoxFuture;
use oauth2::{
    AuthType, ClientId, ClientSecret, EmptyExtraTokenFields, ExtraTokenFields, HttpRequest,
    HttpResponse, RefreshToken, RequestTokenError, Scope, StandardTokenResponse, TokenResponse,
    TokenUrl,
    basic::{
        BasicErrorResponse, BasicErrorResponseType, BasicRevocationErrorResponse,
        BasicTokenIntrospectionResponse, BasicTokenType,
    },
};
use tokio::time::Instant;
use url::Url;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{Class, Cloud, Error, assertion, assertion::SigningKey, http};

/// What an application proves itself with.
#[derive(Clone)]
pub enum ClientCredential {
    /// A client secret's value.
    Secret(Zeroizing<String>),
    /// A certificate's private key.
    Certificate(Arc<SigningKey>),
}

impl std::fmt::Debug for ClientCredential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientCredential(…)")
    }
}

/// What one token request is made with.
#[derive(Debug, Clone)]
pub struct Proof {
    /// The application's own proof.
    pub credential: ClientCredential,
    /// The refresh token of the person in whose name it reads; `None` for the application itself.
    pub refresh_token: Option<Zeroizing<String>>,
    /// The present moment in seconds since 1970, by the caller's clock.
    pub now: i64,
}

/// Where the proof comes from each time that a token is needed, so that nobody holds an opened
/// secret for longer than one request, and a replaced one is found by a client that is in use.
pub trait ProofSource: Send + Sync {
    /// What may be tried, the newest first; empty when the credential is revoked.
    fn proofs(&self) -> BoxFuture<'_, Result<Vec<Proof>, Error>>;

    /// Keeps the refresh token that came with a token: Microsoft hands out a new one each time.
    fn rotated(&self, refresh_token: Zeroizing<String>) -> BoxFuture<'_, Result<(), Error>>;
}

/// One proof that does not change: for a credential that is not stored yet, and for tests.
impl ProofSource for Proof {
    fn proofs(&self) -> BoxFuture<'_, Result<Vec<Proof>, Error>> {
        let proof = self.clone();
        Box::pin(async move { Ok(vec![proof]) })
    }

    fn rotated(&self, _: Zeroizing<String>) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async { Ok(()) })
    }
}

/// Whom a token is for. The owner is part of the key, so that two owners of one application never
/// share a token.
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

    /// Forgets every token that is held: the next request for each asks anew.
    pub fn forget_all(&self) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.clear();
    }

    /// The HTTP client under it.
    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// A token for `grantee`: the cached one until 80 % of its life, else a new one. Of many
    /// callers at once only one asks Microsoft.
    ///
    /// Where Microsoft refuses the newest proof itself, the one before it is tried: right after a
    /// renewal either may be the one that works.
    pub async fn token(
        &self,
        cloud: &Cloud,
        grantee: &Grantee,
        source: &dyn ProofSource,
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
        let mut refusal = None;
        for proof in source.proofs().await? {
            match self.fetch(cloud, grantee, source, &proof).await {
                Ok(token) => {
                    let text = Arc::clone(&token.text);
                    *held = Some(token);
                    return Ok(text);
                }
                Err(error) if error.class() == Class::Credential => {
                    refusal.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(refusal.unwrap_or(Error::Revoked))
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
        source: &dyn ProofSource,
        proof: &Proof,
    ) -> Result<Token, Error> {
        let url = cloud.login_url(&grantee.tenant.to_string(), "oauth2/v2.0/token");
        let (client, extra) =
            client::<EmptyExtraTokenFields>(&proof.credential, grantee.client_id, &url, proof.now)?;
        let exchange = Exchange::new(&self.http);
        let answer = match &proof.refresh_token {
            None => {
                let mut request = client
                    .exchange_client_credentials()
                    .add_scope(Scope::new(cloud.default_scope()));
                for (name, value) in &extra {
                    request = request.add_extra_param(*name, value.as_str());
                }
                request.request_async(&exchange).await
            }
            Some(refresh_token) => {
                let refresh_token = RefreshToken::new(refresh_token.to_string());
                let mut request = client
                    .exchange_refresh_token(&refresh_token)
                    .add_scope(Scope::new(cloud.default_scope()))
                    .add_scope(Scope::new("offline_access".into()));
                for (name, value) in &extra {
                    request = request.add_extra_param(*name, value.as_str());
                }
                request.request_async(&exchange).await
            }
        };
        let answer = answer.map_err(|e| match (exchange.refused(e), &proof.refresh_token) {
            (Error::Token { error, code }, Some(_)) if error == "invalid_grant" => {
                Error::Lapsed { code }
            }
            (other, _) => other,
        })?;
        if let (Some(_), Some(new)) = (&proof.refresh_token, answer.refresh_token()) {
            source.rotated(Zeroizing::new(new.secret().clone())).await?;
        }
        let hour = Duration::from_secs(3600);
        let life = answer.expires_in().unwrap_or(hour).min(24 * hour);
        Ok(Token {
            text: Arc::new(Zeroizing::new(answer.access_token().secret().clone())),
            renew_at: Instant::now() + life.mul_f64(0.8),
        })
    }
}

pub(crate) type Client<F> = oauth2::Client<
    BasicErrorResponse,
    StandardTokenResponse<F, BasicTokenType>,
    BasicTokenIntrospectionResponse,
    oauth2::StandardRevocableToken,
    BasicRevocationErrorResponse,
    oauth2::EndpointNotSet,
    oauth2::EndpointNotSet,
    oauth2::EndpointNotSet,
    oauth2::EndpointNotSet,
    oauth2::EndpointSet,
>;

/// A client, and the parameters that go with each of its requests.
pub(crate) type Prepared<F> = (Client<F>, Vec<(&'static str, String)>);

/// A client of the token endpoint, and the parameters that go with each of its requests: none with
/// a secret, the assertion with a certificate.
pub(crate) fn client<F: ExtraTokenFields>(
    credential: &ClientCredential,
    client_id: Uuid,
    url: &Url,
    now: i64,
) -> Result<Prepared<F>, Error> {
    let client = oauth2::Client::new(ClientId::new(client_id.to_string()))
        .set_auth_type(AuthType::RequestBody)
        .set_token_uri(TokenUrl::from_url(url.clone()));
    Ok(match credential {
        ClientCredential::Secret(secret) => (
            client.set_client_secret(ClientSecret::new(secret.to_string())),
            vec![],
        ),
        ClientCredential::Certificate(key) => (
            client,
            vec![
                ("client_assertion_type", assertion::TYPE.to_owned()),
                ("client_assertion", key.assert(client_id, url, now)?),
            ],
        ),
    })
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
            RequestTokenError::Other(text) if text.contains("text/html") => {
                Error::Malformed("a web page instead of a token".into())
            }
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
pub fn aadsts(description: &str) -> Option<u32> {
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
