//! Sign-in at a provider: Microsoft Entra, or any OpenID Connect provider. The browser carries one
//! cookie; state, nonce and verifier stay here.

use actix_web::cookie::Cookie;
use graph::{ClientCredential, Return, oidc, openid};
use model::{MemberId, ProviderKind, SignInProvider, SignInProviderId, sign_in, sign_in_provider};
use serde::{Deserialize, Serialize};
use url::Url;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{Portal, cookie::Name, problem::PageProblem};

const STEP: &str = "provider";

/// What the sign-in is for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Purpose {
    /// To sign in, and on to a page.
    SignIn { next: String },
    /// To link the account to the member who is signed in.
    Link,
    /// To prove who is signed in, and on to a page.
    Prove { query: String },
    /// To accept an invitation.
    Accept { invitation: String },
}

/// What is kept while the person is at the provider.
#[derive(Serialize, Deserialize)]
struct Begun {
    provider: SignInProviderId,
    purpose: Purpose,
    state: String,
    nonce: String,
    verifier: String,
}

/// Who came back.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) provider: SignInProvider,
    pub(crate) purpose: Purpose,
    /// Who was signed in when it began, for [`Purpose::Link`] and [`Purpose::Prove`].
    pub(crate) member: Option<MemberId>,
    pub(crate) subject: String,
    pub(crate) username: String,
}

/// Why nobody did, in words for the person.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Nothing of ours, or too late.
    Unknown,
    /// The provider said no; its own word.
    Refused(String),
    /// Its answer does not hold, or it did not answer.
    Failed(String),
}

/// Each provider has a redirect URI of its own: whoever came back at one's was sent there by that one,
/// so that a provider of somebody else's cannot have another's code redeemed as its own (OAuth 2.0
/// Security Best Current Practice, RFC 9700, section 4.4: mix-up).
pub(crate) fn redirect_uri(portal: &Portal, provider: SignInProviderId) -> String {
    portal.url(&format!("/sign-in/callback/{provider}"))
}

fn failed(error: &graph::Error) -> Failure {
    tracing::warn!(%error, "a sign-in at a provider failed");
    Failure::Failed(match error {
        graph::Error::IdToken(why) => {
            format!("What the provider says of you does not hold: {why}.")
        }
        graph::Error::Token { error, .. } => {
            format!(
                "The provider refused this application: {error}. Ask an owner to look at the client secret."
            )
        }
        graph::Error::Malformed(why) => format!("This does not work as a sign-in: {why}."),
        _ => "The provider did not answer as it should. Try again in a moment.".into(),
    })
}

/// A generic provider's metadata, read under the policy for addresses that members typed.
async fn discover(
    portal: &Portal,
    issuer: &str,
) -> Result<(outbound::Client, openid::Provider), Failure> {
    let url: Url = issuer.parse().map_err(|_| Failure::Unknown)?;
    let check = |url: &Url| {
        portal
            .outbound
            .check(url)
            .map_err(|refused| Failure::Failed(refused.to_string()))
    };
    check(&url)?;
    let client = portal
        .outbound
        .client()
        .map_err(|e| Failure::Failed(e.to_string()))?;
    let provider = openid::discover(&client, issuer)
        .await
        .map_err(|e| failed(&e))?;
    for endpoint in provider.endpoints() {
        check(endpoint)?;
    }
    Ok((client, provider))
}

/// Whether a provider answers at an issuer's address, as its owner adds it.
pub(crate) async fn probe(portal: &Portal, issuer: &str) -> Result<(), String> {
    match discover(portal, issuer).await {
        Ok(_) => Ok(()),
        Err(Failure::Failed(text) | Failure::Refused(text)) => Err(text),
        Err(Failure::Unknown) => Err("Enter an address that begins with https://.".into()),
    }
}

/// Begins; answers where to send the browser, and its cookie.
pub(crate) async fn begin(
    portal: &Portal,
    provider: &SignInProvider,
    member: Option<MemberId>,
    purpose: Purpose,
) -> Result<Result<(Url, Cookie<'static>), Failure>, PageProblem> {
    let begun = Begun {
        provider: provider.id,
        state: keys::random_token()?,
        nonce: keys::random_token()?,
        verifier: keys::random_token()?,
        purpose,
    };
    let anew = matches!(begun.purpose, Purpose::Prove { .. });
    let redirect_uri = redirect_uri(portal, provider.id);
    let url = match provider.kind {
        ProviderKind::Entra => {
            let Some(cloud) = portal.consent.connection.clouds.get(&provider.cloud) else {
                return Ok(Err(Failure::Unknown));
            };
            let client_id = provider.client_id.parse().unwrap_or(Uuid::nil());
            let sign_in = entra(provider, client_id, &begun, &redirect_uri, anew);
            oidc::authorize_url(&cloud, &sign_in)
        }
        ProviderKind::Oidc => {
            let (_, found) = match discover(portal, &provider.issuer).await {
                Ok(found) => found,
                Err(failure) => return Ok(Err(failure)),
            };
            found.authorize_url(&generic(provider, "", &begun, &redirect_uri, anew))
        }
    };
    let kept = serde_json::to_string(&begun).map_err(|e| PageProblem::Inner(e.to_string()))?;
    let token = sign_in::begin_step(&portal.db, STEP, member, &kept).await?;
    Ok(Ok((url, Name::Provider.with(portal, token))))
}

fn entra<'a>(
    provider: &SignInProvider,
    client_id: Uuid,
    begun: &'a Begun,
    redirect_uri: &'a str,
    anew: bool,
) -> oidc::SignIn<'a> {
    oidc::SignIn {
        tenant: provider.directory_id.map(|d| d.0),
        client_id,
        redirect_uri,
        state: &begun.state,
        nonce: &begun.nonce,
        verifier: &begun.verifier,
        scopes: &[],
        anew,
    }
}

fn generic<'a>(
    provider: &'a SignInProvider,
    secret: &'a str,
    begun: &'a Begun,
    redirect_uri: &'a str,
    anew: bool,
) -> openid::SignIn<'a> {
    openid::SignIn {
        client_id: &provider.client_id,
        client_secret: secret,
        redirect_uri,
        state: &begun.state,
        nonce: &begun.nonce,
        verifier: &begun.verifier,
        anew,
    }
}

/// Ends: redeems the code, once, for the browser that began, at the redirect URI of `provider`.
pub(crate) async fn finish(
    portal: &Portal,
    provider: SignInProviderId,
    cookie: Option<String>,
    back: &Return,
) -> Result<Result<Arrival, Failure>, PageProblem> {
    let Some(token) = cookie else {
        return Ok(Err(Failure::Unknown));
    };
    let Some(step) = sign_in::take_step(&portal.db, STEP, &token).await? else {
        return Ok(Err(Failure::Unknown));
    };
    let begun: Begun =
        serde_json::from_str(&step.state).map_err(|e| PageProblem::Inner(e.to_string()))?;
    let is_ours = keys::constant_time_eq(begun.state.as_bytes(), back.state.as_bytes());
    if !is_ours || begun.provider != provider {
        return Ok(Err(Failure::Unknown));
    }
    let Some(provider) = sign_in_provider::get(&portal.db, begun.provider).await? else {
        return Ok(Err(Failure::Unknown));
    };
    let Some(code) = back.code.as_deref().filter(|code| !code.is_empty()) else {
        // Its own words are a stranger's: a short code of letters is all that is shown.
        let error = back.error.as_deref().unwrap_or_default();
        let code: String = error
            .chars()
            .filter(|c| c.is_ascii_alphanumeric() || *c == '_')
            .take(60)
            .collect();
        return Ok(Err(Failure::Refused(code)));
    };
    let keyring = &portal.consent.connection.keyring;
    let secret = sign_in_provider::secret(&portal.db, keyring, &provider).await?;
    let found = redeem(
        portal,
        &provider,
        &begun,
        (code, back.iss.as_deref()),
        secret.expose(),
    )
    .await;
    Ok(found.map(|(subject, username)| Arrival {
        provider,
        purpose: begun.purpose,
        member: step.member,
        subject,
        username,
    }))
}

async fn redeem(
    portal: &Portal,
    provider: &SignInProvider,
    begun: &Begun,
    (code, issuer): (&str, Option<&str>),
    secret: &str,
) -> Result<(String, String), Failure> {
    let anew = matches!(begun.purpose, Purpose::Prove { .. });
    let redirect_uri = redirect_uri(portal, provider.id);
    let now = portal.db.clock().now().0 / 1000;
    match provider.kind {
        ProviderKind::Entra => {
            let cloud = portal.consent.connection.clouds.get(&provider.cloud);
            let cloud = cloud.ok_or(Failure::Unknown)?;
            let client_id = provider.client_id.parse().map_err(|_| Failure::Unknown)?;
            let sign_in = entra(provider, client_id, begun, &redirect_uri, anew);
            let credential = ClientCredential::Secret(Zeroizing::new(secret.to_owned()));
            let http = portal.consent.connection.tokens.http();
            let found = oidc::redeem(http, &cloud, &sign_in, &credential, code, now)
                .await
                .map_err(|e| failed(&e))?;
            let person = found.identity;
            // Guests of the directory and its own people have its tid; people of others do not.
            if provider.directory_id.map(|d| d.0) != Some(person.tenant) {
                return Err(Failure::Refused("another_directory".into()));
            }
            let subject = format!("{}/{}", person.tenant, person.object);
            Ok((subject, person.username.unwrap_or_default()))
        }
        ProviderKind::Oidc => {
            let (client, found) = discover(portal, &provider.issuer).await?;
            if !found.is_named_by(issuer) {
                return Err(Failure::Failed(
                    "The answer names another provider than the one that was asked.".into(),
                ));
            }
            let sign_in = generic(provider, secret, begun, &redirect_uri, anew);
            let person = found
                .redeem(&client, &sign_in, code, now)
                .await
                .map_err(|e| failed(&e))?;
            Ok((person.subject, person.username))
        }
    }
}
