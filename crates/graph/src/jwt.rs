//! Signed tokens of sign-in services: RFC 7515 and 7517, verified with ring. A key is taken from the
//! service's own set and from nowhere else: what the token says of its key (`jku`, `jwk`, `x5u`) is
//! not looked at.

use ring::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::Deserialize;
use url::Url;

use crate::{Error, http};

/// Algorithms that are accepted; never the one that a token asks for alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Rs256,
    Es256,
}

/// One signing key of a sign-in service.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Key {
    #[serde(default)]
    kid: String,
    #[serde(default)]
    kty: String,
    #[serde(default)]
    crv: String,
    #[serde(default, rename = "use")]
    usage: String,
    #[serde(default)]
    n: String,
    #[serde(default)]
    e: String,
    #[serde(default)]
    x: String,
    #[serde(default)]
    y: String,
    /// Which tenants the key signs for: one issuer, or the template. Microsoft's own member.
    #[serde(default)]
    pub(crate) issuer: Option<String>,
}

/// Reads a key set.
pub(crate) async fn keys(client: &reqwest::Client, url: Url) -> Result<Vec<Key>, Error> {
    #[derive(Deserialize)]
    struct KeySet {
        keys: Vec<Key>,
    }
    let unreadable = || Error::Malformed("the signing keys could not be read".into());
    let response = client.get(url).send().await.map_err(Error::transport)?;
    if response.status().as_u16() != 200 {
        return Err(unreadable());
    }
    let body = http::body(response).await?;
    let set: KeySet = serde_json::from_slice(&body).map_err(|_| unreadable())?;
    Ok(set.keys)
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: String,
    #[serde(default)]
    crit: Option<serde_json::Value>,
}

/// A token whose signature is right.
pub(crate) struct Verified<'a> {
    /// Its claims, JSON.
    pub(crate) claims: Vec<u8>,
    /// The key that signed it.
    pub(crate) key: &'a Key,
}

/// Verifies a token's signature with one of the keys and an accepted algorithm.
pub(crate) fn verify<'a>(
    token: &str,
    keys: &'a [Key],
    accepted: &[Algorithm],
) -> Result<Verified<'a>, Error> {
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
    if header.crit.is_some() {
        return Err(bad("it asks for an extension that is not known"));
    }
    let algorithm = match header.alg.as_str() {
        "RS256" => Algorithm::Rs256,
        "ES256" => Algorithm::Es256,
        _ => return Err(bad("its algorithm is not accepted")),
    };
    if !accepted.contains(&algorithm) {
        return Err(bad("its algorithm is not accepted"));
    }
    let fits = |key: &&Key| {
        let kind = match algorithm {
            Algorithm::Rs256 => key.kty == "RSA",
            Algorithm::Es256 => key.kty == "EC" && key.crv == "P-256",
        };
        kind && key.usage != "enc" && key.kid == header.kid
    };
    let key = keys
        .iter()
        .find(fits)
        .ok_or(bad("its key is not one of the sign-in service's"))?;
    let signed = format!("{head}.{body}");
    let signature = decode(signature)?;
    let verified = match algorithm {
        Algorithm::Rs256 => RsaPublicKeyComponents {
            n: decode(&key.n)?,
            e: decode(&key.e)?,
        }
        .verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &signature),
        Algorithm::Es256 => {
            let point = [&[4][..], &decode(&key.x)?, &decode(&key.y)?].concat();
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
                .verify(signed.as_bytes(), &signature)
        }
    };
    verified.map_err(|_| bad("its signature does not match"))?;
    Ok(Verified {
        claims: decode(body)?,
        key,
    })
}
