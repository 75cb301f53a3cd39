//! Sign-in of a person with OpenID Connect: authorization code with PKCE, and the checks of the id
//! token that Microsoft prescribes for applications of many tenants.

use oauth2::{AuthorizationCode, ExtraTokenFields, PkceCodeVerifier, RedirectUrl, TokenResponse};
use serde::{Deserialize, Serialize};
use url::Url;
use uuid::Uuid;

use zeroize::Zeroizing;

use crate::{
    ClientCredential, Cloud, Error,
    cloud::tenant_segment,
    http,
    jwt::{self, Algorithm, Key},
    token::{Exchange, client},
};

/// Who signed in, after every check. `(tenant, object)` is the person's identity; names are not.
#[derive(Debug, Clone)]
pub struct Identity {
    /// `tid`.
    pub tenant: Uuid,
    /// `oid`.
    pub object: Uuid,
    /// `wids`: ids of directory roles, where the registration asks for them.
    pub roles: Option<Vec<Uuid>>,
    /// `preferred_username`: for people to read, never to find anything by.
    pub username: Option<String>,
}

/// What redeeming a code gives.
#[derive(Debug)]
pub struct SignedIn {
    /// Who.
    pub identity: Identity,
    /// The refresh token, where [`SignIn::scopes`] asked for one.
    pub refresh_token: Option<Zeroizing<String>>,
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
    /// What is asked for beside who the person is; empty for a proof of identity alone.
    pub scopes: &'a [String],
    /// Whether the person must sign in anew, though they are signed in there.
    pub anew: bool,
}

impl SignIn<'_> {
    fn scope(&self) -> String {
        let mut scope = "openid profile".to_owned();
        if !self.scopes.is_empty() {
            scope.push_str(" offline_access");
        }
        for name in self.scopes {
            scope.push(' ');
            scope.push_str(name);
        }
        scope
    }
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
        .append_pair("scope", &sign_in.scope())
        .append_pair("state", sign_in.state)
        .append_pair("nonce", sign_in.nonce)
        .append_pair("code_challenge", challenge.as_str())
        .append_pair("code_challenge_method", "S256");
    if sign_in.anew {
        url.query_pairs_mut().append_pair("prompt", "login");
    }
    url
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct IdTokenField {
    pub(crate) id_token: String,
}

impl ExtraTokenFields for IdTokenField {}

/// Redeems the code and verifies the id token. `now` in seconds since 1970.
pub async fn redeem(
    http: &reqwest::Client,
    cloud: &Cloud,
    sign_in: &SignIn<'_>,
    credential: &ClientCredential,
    code: &str,
    now: i64,
) -> Result<SignedIn, Error> {
    let segment = tenant_segment(sign_in.tenant);
    let redirect = RedirectUrl::new(sign_in.redirect_uri.to_owned())
        .map_err(|e| Error::Malformed(e.to_string()))?;
    let url = cloud.login_url(&segment, "oauth2/v2.0/token");
    let (client, extra) = client::<IdTokenField>(credential, sign_in.client_id, &url, now)?;
    let client = client.set_redirect_uri(redirect);
    let exchange = Exchange::new(http);
    let mut request = client
        .exchange_code(AuthorizationCode::new(code.to_owned()))
        .set_pkce_verifier(PkceCodeVerifier::new(sign_in.verifier.to_owned()))
        .add_extra_param("scope", sign_in.scope());
    for (name, value) in extra {
        request = request.add_extra_param(name, value);
    }
    let answer = request
        .request_async(&exchange)
        .await
        .map_err(|e| exchange.refused(e))?;
    let keys = jwt::keys(http, cloud.login_url(&segment, "discovery/v2.0/keys")).await?;
    let identity = verify(&answer.extra_fields().id_token, cloud, &keys, sign_in, now)?;
    let refresh_token = answer
        .refresh_token()
        .map(|token| Zeroizing::new(token.secret().clone()));
    Ok(SignedIn {
        identity,
        refresh_token,
    })
}

/// What the sign-in service says of a tenant to anybody.
#[derive(Debug, Clone)]
pub struct Discovery {
    /// The tenant's id, from its issuer.
    pub tenant: Uuid,
    /// The service's clock in seconds since 1970, from the `Date` header.
    pub date: Option<i64>,
}

/// Looks up a tenant by its id or one of its domains.
///
/// # Errors
/// [`Error::Token`] with Microsoft's number (90002) when there is no such tenant in this cloud.
pub async fn discover(
    http: &reqwest::Client,
    cloud: &Cloud,
    tenant: &str,
) -> Result<Discovery, Error> {
    #[derive(Deserialize)]
    struct Metadata {
        issuer: String,
    }
    #[derive(Deserialize, Default)]
    struct Refusal {
        #[serde(default)]
        error: String,
        #[serde(default)]
        error_description: String,
    }
    let segment: String = url::form_urlencoded::byte_serialize(tenant.as_bytes()).collect();
    let url = cloud.login_url(&segment, "v2.0/.well-known/openid-configuration");
    let response = match http.get(url.clone()).send().await {
        // The server may have closed a connection that was kept, just as it was used again.
        Err(error) if !error.is_timeout() => http.get(url).send().await,
        other => other,
    };
    let response = response.map_err(Error::transport)?;
    let status = response.status().as_u16();
    let date = response
        .headers()
        .get(reqwest::header::DATE)
        .and_then(|d| chrono::DateTime::parse_from_rfc2822(d.to_str().ok()?).ok())
        .map(|d| d.timestamp());
    if status == 429 {
        let after = http::retry_after(response.headers());
        return Err(Error::Throttled(
            after.unwrap_or(std::time::Duration::from_secs(30)),
        ));
    }
    let body = http::body(response).await?;
    if status != 200 {
        let refusal: Refusal = serde_json::from_slice(&body).unwrap_or_default();
        if refusal.error.is_empty() {
            return Err(Error::Malformed(format!(
                "the sign-in service answered {status}"
            )));
        }
        return Err(Error::Token {
            code: crate::token::aadsts(&refusal.error_description),
            error: refusal.error,
        });
    }
    let metadata: Metadata = serde_json::from_slice(&body)
        .map_err(|_| Error::Malformed("the sign-in service's metadata".into()))?;
    // https://login.microsoftonline.com/{tenant id}/v2.0
    let tenant = metadata
        .issuer
        .rsplit('/')
        .find_map(|part| Uuid::try_parse(part).ok())
        .ok_or_else(|| Error::Malformed("the issuer names no tenant".into()))?;
    Ok(Discovery { tenant, date })
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
    #[serde(default)]
    preferred_username: Option<String>,
    #[serde(default)]
    auth_time: Option<i64>,
}

/// Clocks may differ by this many seconds.
pub(crate) const SKEW: i64 = 300;

fn verify(
    token: &str,
    cloud: &Cloud,
    keys: &[Key],
    sign_in: &SignIn<'_>,
    now: i64,
) -> Result<Identity, Error> {
    let bad = Error::IdToken;
    let verified = jwt::verify(token, keys, &[Algorithm::Rs256])?;
    // Only now is the content looked at.
    let claims: Claims =
        serde_json::from_slice(&verified.claims).map_err(|_| bad("its claims are unreadable"))?;
    let key = verified.key;
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
    // Its times are a stranger's numbers: the largest must not wrap around.
    if claims.exp.saturating_add(SKEW) <= now {
        return Err(bad("it has expired"));
    }
    if claims.nbf.saturating_sub(SKEW) > now {
        return Err(bad("it is not valid yet; check this server's clock"));
    }
    if claims.nonce.as_bytes() != sign_in.nonce.as_bytes() || claims.nonce.is_empty() {
        return Err(bad("its nonce is not the one that was sent"));
    }
    if claims.ver != "2.0" {
        return Err(bad("its version is not 2.0"));
    }
    // `prompt=login` is in an address that whoever has the browser may edit; only this is signed.
    if sign_in.anew {
        match claims.auth_time {
            None => {
                return Err(bad(
                    "it does not say when you signed in; add the optional claim auth_time to the ID \
                     tokens of the application's registration",
                ));
            }
            Some(at) if at.saturating_add(SKEW) < now => {
                return Err(bad("you signed in too long ago"));
            }
            Some(_) => {}
        }
    }
    if claims.tid == PERSONAL {
        return Err(bad("a personal account administers no directory"));
    }
    Ok(Identity {
        tenant: claims.tid,
        object: claims.oid,
        roles: claims.wids,
        username: claims.preferred_username,
    })
}
