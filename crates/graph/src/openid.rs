//! Sign-in of a person at any OpenID Connect provider (OpenID Connect Core 1.0, sections 3.1.2 and
//! 3.1.3; Discovery 1.0; RFC 7636; RFC 9207). Microsoft Entra has rules of its own: [`crate::oidc`].

use oauth2::{
    AuthType, AuthorizationCode, ClientId, ClientSecret, PkceCodeChallenge, PkceCodeVerifier,
    RedirectUrl, TokenUrl,
};
use serde::Deserialize;
use url::Url;

use crate::{
    Error, http,
    jwt::{self, Algorithm},
    oidc::{IdTokenField, SKEW},
    token::Exchange,
};

/// What a provider says of itself.
#[derive(Debug, Clone, Deserialize)]
pub struct Provider {
    /// Its identifier; what it signs must name exactly this.
    pub issuer: String,
    authorization_endpoint: Url,
    token_endpoint: Url,
    jwks_uri: Url,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

/// What one sign-in is bound to.
#[derive(Debug, Clone)]
pub struct SignIn<'a> {
    /// The application's id at the provider.
    pub client_id: &'a str,
    /// Its secret.
    pub client_secret: &'a str,
    /// Where the provider sends the browser back to.
    pub redirect_uri: &'a str,
    /// Unguessable.
    pub state: &'a str,
    /// Must come back in the id token.
    pub nonce: &'a str,
    /// PKCE verifier, 43 to 128 characters.
    pub verifier: &'a str,
    /// Whether the person must sign in anew, though they are signed in there.
    pub anew: bool,
}

/// Who signed in, after every check.
#[derive(Debug, Clone)]
pub struct Person {
    /// `sub`: theirs for ever, and nobody else's at this provider.
    pub subject: String,
    /// A name to read, never to find anything by.
    pub username: String,
}

/// Reads a provider's metadata; `issuer` as its owner typed it.
///
/// # Errors
/// [`Error::Malformed`] when there is none, when it names another issuer, or when an endpoint of it
/// is not of the same scheme: then nothing of it is believed.
pub async fn discover(client: &reqwest::Client, issuer: &str) -> Result<Provider, Error> {
    let malformed = |text: &str| Error::Malformed(text.to_owned());
    let url = format!(
        "{}/.well-known/openid-configuration",
        issuer.trim_end_matches('/')
    );
    let url = Url::parse(&url).map_err(|_| malformed("the issuer is no address"))?;
    let scheme = url.scheme().to_owned();
    let response = client.get(url).send().await.map_err(Error::transport)?;
    if response.status().as_u16() != 200 {
        return Err(malformed("the provider has no metadata at this address"));
    }
    let body = http::body(response).await?;
    let provider: Provider = serde_json::from_slice(&body)
        .map_err(|_| malformed("the provider's metadata cannot be read"))?;
    if provider.issuer != issuer {
        return Err(malformed("the provider's metadata names another issuer"));
    }
    let endpoints = [
        &provider.authorization_endpoint,
        &provider.token_endpoint,
        &provider.jwks_uri,
    ];
    if endpoints.iter().any(|e| e.scheme() != scheme) {
        return Err(malformed("an endpoint of the provider is not https"));
    }
    Ok(provider)
}

impl Provider {
    /// The URL that starts the sign-in.
    pub fn authorize_url(&self, sign_in: &SignIn<'_>) -> Url {
        let verifier = PkceCodeVerifier::new(sign_in.verifier.to_owned());
        let challenge = PkceCodeChallenge::from_code_verifier_sha256(&verifier);
        let mut url = self.authorization_endpoint.clone();
        url.query_pairs_mut()
            .append_pair("client_id", sign_in.client_id)
            .append_pair("response_type", "code")
            .append_pair("redirect_uri", sign_in.redirect_uri)
            .append_pair("scope", "openid profile email")
            .append_pair("state", sign_in.state)
            .append_pair("nonce", sign_in.nonce)
            .append_pair("code_challenge", challenge.as_str())
            .append_pair("code_challenge_method", "S256");
        if sign_in.anew {
            url.query_pairs_mut()
                .append_pair("prompt", "login")
                .append_pair("max_age", "0");
        }
        url
    }

    /// Where this server itself connects to, for the caller's policy.
    pub fn endpoints(&self) -> [&Url; 2] {
        [&self.token_endpoint, &self.jwks_uri]
    }

    /// Whether what the provider sent back beside the code names it (RFC 9207): a code of another
    /// provider is never redeemed here.
    pub fn is_named_by(&self, issuer: Option<&str>) -> bool {
        match issuer {
            Some(issuer) => issuer == self.issuer,
            None => !self.authorization_response_iss_parameter_supported,
        }
    }

    /// Redeems the code and verifies the id token. `now` in seconds since 1970.
    pub async fn redeem(
        &self,
        client: &reqwest::Client,
        sign_in: &SignIn<'_>,
        code: &str,
        now: i64,
    ) -> Result<Person, Error> {
        let redirect = RedirectUrl::new(sign_in.redirect_uri.to_owned())
            .map_err(|e| Error::Malformed(e.to_string()))?;
        // The default of Discovery 1.0 is Basic; in the body nothing is encoded twice, so that is
        // taken where there is a choice.
        let methods = self.token_endpoint_auth_methods_supported.as_deref();
        let by_body = methods.is_some_and(|m| m.iter().any(|m| m == "client_secret_post"));
        let oauth: oauth2::Client<
            oauth2::basic::BasicErrorResponse,
            oauth2::StandardTokenResponse<IdTokenField, oauth2::basic::BasicTokenType>,
            oauth2::basic::BasicTokenIntrospectionResponse,
            oauth2::StandardRevocableToken,
            oauth2::basic::BasicRevocationErrorResponse,
        > = oauth2::Client::new(ClientId::new(sign_in.client_id.to_owned()));
        let oauth = oauth
            .set_auth_type(match by_body {
                true => AuthType::RequestBody,
                false => AuthType::BasicAuth,
            })
            .set_client_secret(ClientSecret::new(sign_in.client_secret.to_owned()))
            .set_token_uri(TokenUrl::from_url(self.token_endpoint.clone()))
            .set_redirect_uri(redirect);
        let exchange = Exchange::new(client);
        let answer = oauth
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .set_pkce_verifier(PkceCodeVerifier::new(sign_in.verifier.to_owned()))
            .request_async(&exchange)
            .await
            .map_err(|e| exchange.refused(e))?;
        let keys = jwt::keys(client, self.jwks_uri.clone()).await?;
        self.verify(&answer.extra_fields().id_token, &keys, sign_in, now)
    }

    /// Section 3.1.3.7 of the Core.
    fn verify(
        &self,
        token: &str,
        keys: &[jwt::Key],
        sign_in: &SignIn<'_>,
        now: i64,
    ) -> Result<Person, Error> {
        let bad = Error::IdToken;
        let verified = jwt::verify(token, keys, &[Algorithm::Rs256, Algorithm::Es256])?;
        let claims: Claims = serde_json::from_slice(&verified.claims)
            .map_err(|_| bad("its claims are unreadable"))?;
        if claims.iss != self.issuer {
            return Err(bad("its issuer is another"));
        }
        let (ours, several) = match &claims.aud {
            Audience::One(aud) => (aud == sign_in.client_id, false),
            Audience::Several(all) => (
                all.iter().any(|aud| aud == sign_in.client_id),
                all.len() > 1,
            ),
        };
        let party = claims.azp.as_deref();
        if !ours || (several && party.is_none()) || party.is_some_and(|p| p != sign_in.client_id) {
            return Err(bad("it is for another application"));
        }
        // Its times are a stranger's numbers: the largest must not wrap around.
        if claims.exp.saturating_add(SKEW) <= now {
            return Err(bad("it has expired"));
        }
        if claims.nbf.is_some_and(|nbf| nbf.saturating_sub(SKEW) > now)
            || claims.iat.saturating_sub(SKEW) > now
        {
            return Err(bad("it is not valid yet; check this server's clock"));
        }
        if claims.nonce.is_empty() || claims.nonce != sign_in.nonce {
            return Err(bad("its nonce is not the one that was sent"));
        }
        if sign_in.anew
            && claims
                .auth_time
                .is_none_or(|at| at.saturating_add(SKEW) < now)
        {
            return Err(bad("the person was not asked to sign in anew"));
        }
        if claims.sub.is_empty() || claims.sub.len() > 255 {
            return Err(bad("it names nobody"));
        }
        let names = [claims.preferred_username, claims.email, claims.name];
        Ok(Person {
            username: names.into_iter().flatten().next().unwrap_or_default(),
            subject: claims.sub,
        })
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    #[serde(default)]
    azp: Option<String>,
    exp: i64,
    iat: i64,
    #[serde(default)]
    nbf: Option<i64>,
    #[serde(default)]
    nonce: String,
    #[serde(default)]
    auth_time: Option<i64>,
    #[serde(default)]
    preferred_username: Option<String>,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    name: Option<String>,
}
