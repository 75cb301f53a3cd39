//! Sign-in of a person with OpenID Connect: authorization code with PKCE, and the checks of the id
//! token that Microsoft prescribes for applications of many tenants.

use oauth2::{
    AuthType, AuthorizationCode, ClientId, ClientSecret, ExtraTokenFields, PkceCodeVerifier,
    RedirectUrl, StandardTokenResponse, TokenUrl,
    basic::{
        BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse,
        BasicTokenType,
    },
};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use serde::{Deserialize, Serialize};
use url::Url;
use uuid::Uuid;

use crate::{ClientCredential, Cloud, Error, cloud::tenant_segment, http, token::Exchange};

/// Who signed in, after every check. `(tenant, object)` is the person's identity; names are not.
#[derive(Debug, Clone)]
pub struct Identity {
    /// `tid`.
    pub tenant: Uuid,
    /// `oid`.
    pub object: Uuid,
    /// `wids`: ids of directory roles, where the registration asks for them.
    pub roles: Option<Vec<Uuid>>,
}

/// Template ids of the roles that may consent to Graph application permissions: Global
/// Administrator and Privileged Role Administrator.
pub const CONSENTING_ROLES: [Uuid; 2] = [
    Uuid::from_u128(0x62e9_0394_69f5_4237_9190_0121_7714_5e10),
    Uuid::from_u128(0xe861_1ab8_c189_46e8_94e1_6021_3ab1_f814),
];

/// Personal Microsoft accounts, which administer no directory.
const PERSONAL: Uuid = Uuid::from_u128(0x9188_040d_6c67_4c5b_b112_36a3_04b6_6dad);

/// What one sign-in is bound to.
#[derive(Debug, Clone)]
pub struct SignIn<'a> {
    /// Tenant in the URL; `None` asks for any work or school tenant, by which `tid` is the home
    /// tenant and never one where the person is a guest.
    pub tenant: Option<Uuid>,
    /// The application.
    pub client_id: Uuid,
    /// Where Microsoft sends the browser back to.
    pub redirect_uri: &'a str,
    /// Unguessable and hashed in our database.
    pub state: &'a str,
    /// Must come back in the id token.
    pub nonce: &'a str,
    /// PKCE verifier, 43 to 128 characters.
    pub verifier: &'a str,
}

/// The URL that starts the sign-in.
pub fn authorize_url(cloud: &Cloud, sign_in: &SignIn<'_>) -> Url {
    let verifier = PkceCodeVerifier::new(sign_in.verifier.to_owned());
    let challenge = oauth2::PkceCodeChallenge::from_code_verifier_sha256(&verifier);
    let mut url = cloud.login_url(&tenant_segment(sign_in.tenant), "oauth2/v2.0/authorize");
    url.query_pairs_mut()
        .append_pair("client_id", &sign_in.client_id.to_string())
        .append_pair("response_type", "code")
        .append_pair("response_mode", "query")
        .append_pair("redirect_uri", sign_in.redirect_uri)
        .append_pair("scope", "openid profile")
        .append_pair("state", sign_in.state)
        .append_pair("nonce", sign_in.nonce)
        .append_pair("code_challenge", challenge.as_str())
        .append_pair("code_challenge_method", "S256");
    url
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct IdTokenField {
    id_token: String,
}

impl ExtraTokenFields for IdTokenField {}

type Client = oauth2::Client<
    BasicErrorResponse,
    StandardTokenResponse<IdTokenField, BasicTokenType>,
    BasicTokenIntrospectionResponse,
    oauth2::StandardRevocableToken,
    BasicRevocationErrorResponse,
>;

/// Redeems the code and verifies the id token. `now` in seconds since 1970.
pub async fn redeem(
    client: &reqwest::Client,
    cloud: &Cloud,
    sign_in: &SignIn<'_>,
    credential: &ClientCredential,
    code: &str,
    now: i64,
) -> Result<Identity, Error> {
    let segment = tenant_segment(sign_in.tenant);
    let ClientCredential::Secret(secret) = credential;
    let redirect = RedirectUrl::new(sign_in.redirect_uri.to_owned())
        .map_err(|e| Error::Malformed(e.to_string()))?;
    let exchange = Exchange::new(client);
    let answer = Client::new(ClientId::new(sign_in.client_id.to_string()))
        .set_client_secret(ClientSecret::new(secret.to_string()))
        .set_auth_type(AuthType::RequestBody)
        .set_token_uri(TokenUrl::from_url(
            cloud.login_url(&segment, "oauth2/v2.0/token"),
        ))
        .set_redirect_uri(redirect)
        .exchange_code(AuthorizationCode::new(code.to_owned()))
        .set_pkce_verifier(PkceCodeVerifier::new(sign_in.verifier.to_owned()))
        .request_async(&exchange)
        .await
        .map_err(|e| exchange.refused(e))?;
    let keys = signing_keys(client, cloud, &segment).await?;
    verify(&answer.extra_fields().id_token, cloud, &keys, sign_in, now)
}

/// One signing key of the sign-in service.
#[derive(Debug, Clone, Deserialize)]
struct Key {
    kid: String,
    #[serde(default)]
    kty: String,
    #[serde(default)]
    n: String,
    #[serde(default)]
    e: String,
    /// Which tenants the key signs for: one issuer, or the template.
    #[serde(default)]
    issuer: Option<String>,
}

async fn signing_keys(
    client: &reqwest::Client,
    cloud: &Cloud,
    segment: &str,
) -> Result<Vec<Key>, Error> {
    #[derive(Deserialize)]
    struct KeySet {
        keys: Vec<Key>,
    }
    let response = client
        .get(cloud.login_url(segment, "discovery/v2.0/keys"))
        .send()
        .await
        .map_err(Error::transport)?;
    if response.status().as_u16() != 200 {
        return Err(Error::Malformed(
            "the signing keys could not be read".into(),
        ));
    }
    let body = http::body(response).await?;
    let set: KeySet = serde_json::from_slice(&body)
        .map_err(|_| Error::Malformed("the signing keys could not be read".into()))?;
    Ok(set.keys)
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: String,
}

#[derive(Deserialize)]
struct Claims {
    aud: String,
    iss: String,
    tid: Uuid,
    oid: Uuid,
    exp: i64,
    #[serde(default)]
    nbf: i64,
    #[serde(default)]
    nonce: String,
    #[serde(default)]
    ver: String,
    #[serde(default)]
    wids: Option<Vec<Uuid>>,
}

/// Clocks may differ by this many seconds.
const SKEW: i64 = 300;

fn verify(
    token: &str,
    cloud: &Cloud,
    keys: &[Key],
    sign_in: &SignIn<'_>,
    now: i64,
) -> Result<Identity, Error> {
    let bad = Error::IdToken;
    let decode = |text: &str| {
        data_encoding::BASE64URL_NOPAD
            .decode(text.trim_end_matches('=').as_bytes())
            .map_err(|_| bad("it is not base64url"))
    };
    let mut parts = token.split('.');
    let (Some(head), Some(body), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(bad("it does not have three parts"));
    };
    let header: Header =
        serde_json::from_slice(&decode(head)?).map_err(|_| bad("its header is unreadable"))?;
    if header.alg != "RS256" {
        return Err(bad("its algorithm is not RS256"));
    }
    let key = keys
        .iter()
        .find(|k| k.kid == header.kid && k.kty == "RSA")
        .ok_or(bad("its key is not one of the sign-in service's"))?;
    RsaPublicKeyComponents {
        n: decode(&key.n)?,
        e: decode(&key.e)?,
    }
    .verify(
        &RSA_PKCS1_2048_8192_SHA256,
        format!("{head}.{body}").as_bytes(),
        &decode(signature)?,
    )
    .map_err(|_| bad("its signature does not match"))?;
    // Only now is the content looked at.
    let claims: Claims =
        serde_json::from_slice(&decode(body)?).map_err(|_| bad("its claims are unreadable"))?;
    let template = cloud.login_url("{tenantid}", "v2.0");
    let issuer = cloud.login_url(&claims.tid.to_string(), "v2.0");
    if claims.iss != issuer.as_str() {
        return Err(bad("its issuer is not its tenant's"));
    }
    let key_issuer = key.issuer.as_deref().unwrap_or_default();
    let template = template.as_str().replace("%7B", "{").replace("%7D", "}");
    if key.issuer.is_some() && key_issuer != template && key_issuer != claims.iss {
        return Err(bad("its key does not sign for its tenant"));
    }
    if claims.aud != sign_in.client_id.to_string() {
        return Err(bad("it is for another application"));
    }
    if claims.exp + SKEW <= now {
        return Err(bad("it has expired"));
    }
    if claims.nbf - SKEW > now {
        return Err(bad("it is not valid yet; check this server's clock"));
    }
    if claims.nonce.as_bytes() != sign_in.nonce.as_bytes() || claims.nonce.is_empty() {
        return Err(bad("its nonce is not the one that was sent"));
    }
    if claims.ver != "2.0" {
        return Err(bad("its version is not 2.0"));
    }
    if claims.tid == PERSONAL {
        return Err(bad("a personal account administers no directory"));
    }
    Ok(Identity {
        tenant: claims.tid,
        object: claims.oid,
        roles: claims.wids,
    })
}
