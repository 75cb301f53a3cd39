//! The two ceremonies of a passkey over plain forms: a page carries the question, a small script asks
//! the authenticator, and a form brings its answer.

use actix_web::{HttpRequest, cookie::Cookie};
use keys::webauthn::{self, Assertion, PublicKey, Registered};
use model::{Member, MemberId, member, passkey, sign_in};
use serde::Deserialize;

use crate::{Portal, address::address, cookie::Name, problem::PageProblem};

/// The kind of the step in which a challenge is kept.
const STEP: &str = "passkey";

/// What a page asks an authenticator.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    /// 256 bits, base64url.
    pub(crate) challenge: String,
    /// Our domain.
    pub(crate) party: String,
    /// Ids of the passkeys that may answer, or that are there already, separated by blanks.
    pub(crate) known: String,
}

/// What the form brings.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Answered {
    #[serde(flatten)]
    assertion: Assertion,
    /// The member's id, where the authenticator keeps it.
    #[serde(default, rename = "userHandle")]
    user_handle: String,
}

/// Asks for a passkey: of a member, or, where nobody is known yet, of anybody who has one here.
/// `None` where browsers have no passkeys for us.
pub(crate) async fn ask(
    portal: &Portal,
    member: Option<MemberId>,
) -> Result<Option<(Question, Cookie<'static>)>, PageProblem> {
    let Some(party) = portal.relying_party() else {
        return Ok(None);
    };
    let challenge = keys::random_token()?;
    let token = sign_in::begin_step(&portal.db, STEP, member, &challenge).await?;
    let known = match member {
        Some(member) => passkey::list(&portal.db, member).await?,
        None => vec![],
    };
    let ids: Vec<&str> = known.iter().map(|k| k.credential_id.as_str()).collect();
    let question = Question {
        challenge,
        party: party.id,
        known: ids.join(" "),
    };
    Ok(Some((question, Name::Passkey.with(portal, token))))
}

/// Asks a member for a passkey, where they have one.
pub(crate) async fn ask_owner(
    portal: &Portal,
    member: MemberId,
) -> Result<(Option<Question>, Option<Cookie<'static>>), PageProblem> {
    match passkey::list(&portal.db, member).await?.is_empty() {
        true => Ok((None, None)),
        false => Ok(ask(portal, Some(member)).await?.unzip()),
    }
}

/// The member whose passkey answered, or `None` for an answer that is not right. A question is
/// answered once.
pub(crate) async fn answer(
    request: &HttpRequest,
    portal: &Portal,
    answered: &Answered,
) -> Result<Option<Member>, PageProblem> {
    let found = check(request, portal, answered).await?;
    if found.is_none() {
        let address = address(portal, request);
        tracing::warn!(address, "an answer of a passkey was not accepted");
    }
    Ok(found)
}

async fn check(
    request: &HttpRequest,
    portal: &Portal,
    answered: &Answered,
) -> Result<Option<Member>, PageProblem> {
    let (Some(party), Some(token)) = (portal.relying_party(), Name::Passkey.of(portal, request))
    else {
        return Ok(None);
    };
    let Some(step) = sign_in::take_step(&portal.db, STEP, &token).await? else {
        return Ok(None);
    };
    let Some(found) = passkey::by_credential(&portal.db, &answered.assertion.id).await? else {
        return Ok(None);
    };
    let handle = data_encoding::BASE64URL_NOPAD.encode(found.member_id.0.as_bytes());
    let is_theirs = answered.user_handle.is_empty() || answered.user_handle == handle;
    if !is_theirs || step.member.is_some_and(|asked| asked != found.member_id) {
        return Ok(None);
    }
    let key: PublicKey = serde_json::from_str(&found.credential)
        .map_err(|e| PageProblem::Inner(format!("passkeys.credential: {e}")))?;
    let after = match webauthn::authenticate(&party, &step.state, &key, &answered.assertion) {
        Ok(after) => after,
        Err(refused) => {
            tracing::warn!(member = %found.member_id, %refused, "a passkey was refused");
            return Ok(None);
        }
    };
    let kept = serde_json::to_string(&after).map_err(|e| PageProblem::Inner(e.to_string()))?;
    if !passkey::used(&portal.db, &found, &kept).await? {
        return Ok(None);
    }
    Ok(member::get(&portal.db, found.member_id).await?)
}

/// What the form of a new passkey brings.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Made {
    #[serde(default)]
    pub(crate) name: String,
    #[serde(default, rename = "clientDataJSON")]
    client_data: String,
    #[serde(default, rename = "attestationObject")]
    attestation: String,
}

/// Checks a new passkey of the member who was asked.
pub(crate) async fn made(
    request: &HttpRequest,
    portal: &Portal,
    member: MemberId,
    made: &Made,
) -> Result<Option<Registered>, PageProblem> {
    let (Some(party), Some(token)) = (portal.relying_party(), Name::Passkey.of(portal, request))
    else {
        return Ok(None);
    };
    let step = sign_in::take_step(&portal.db, STEP, &token).await?;
    let Some(step) = step.filter(|step| step.member == Some(member)) else {
        return Ok(None);
    };
    match webauthn::register(&party, &step.state, &made.client_data, &made.attestation) {
        Ok(registered) => Ok(Some(registered)),
        Err(refused) => {
            tracing::warn!(%member, %refused, "a new passkey was refused");
            Ok(None)
        }
    }
}
