//! AWS KMS: `Encrypt` and `Decrypt` of its JSON protocol, signed with Signature Version 4 (source: the
//! KMS API reference; "Create a signed AWS API request" in the IAM user guide).

use std::{fmt::Write, time::Duration};

use chrono::{DateTime, Utc};
use data_encoding::{BASE64, HEXLOWER};
use keys::Error;
use reqwest::Client;
use ring::{digest, hmac};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use url::Url;
use zeroize::Zeroizing;

use crate::{Environment, Service, ask, decoded, refused};

const NAME: &str = "AWS KMS";
/// What the key's policy may ask for, so that nothing else of the account's is decrypted with it.
const CONTEXT: (&str, &str) = ("application", "tenantry");

/// A key of AWS KMS. Credentials come from the environment, a container's role, or the machine's role
/// (IMDSv2), in this order.
#[derive(Debug)]
pub struct AwsKms {
    http: Client,
    environment: Environment,
    endpoint: Url,
    region: String,
    key: String,
    held: Mutex<Option<Credentials>>,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Credentials {
    access_key_id: String,
    secret_access_key: Zeroizing<String>,
    #[serde(default)]
    token: Option<Zeroizing<String>>,
    #[serde(default)]
    expiration: Option<DateTime<Utc>>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({})", self.access_key_id)
    }
}

impl AwsKms {
    /// A key by its id, alias or ARN, in a region; `endpoint` for one of your own.
    ///
    /// # Errors
    /// When the platform's certificates cannot be read, or the region is none.
    pub fn new(
        key: &str,
        region: &str,
        endpoint: Option<Url>,
        environment: Environment,
    ) -> Result<Self, Error> {
        let default = format!("https://kms.{region}.amazonaws.com/");
        let endpoint = match endpoint {
            Some(endpoint) => endpoint,
            None => default
                .parse()
                .map_err(|_| refused(NAME, "the region is none"))?,
        };
        Ok(Self {
            http: crate::client()?,
            environment,
            endpoint,
            region: region.to_owned(),
            key: key.to_owned(),
            held: Mutex::default(),
        })
    }

    async fn credentials(&self) -> Result<Credentials, Error> {
        let mut held = self.held.lock().await;
        let soon = wall_clock() + Duration::from_secs(300);
        if let Some(credentials) = held
            .as_ref()
            .filter(|c| c.expiration.is_none_or(|at| at > soon))
        {
            return Ok(credentials.clone());
        }
        let fresh = match (
            (self.environment)("AWS_ACCESS_KEY_ID"),
            (self.environment)("AWS_SECRET_ACCESS_KEY"),
        ) {
            (Some(access_key_id), Some(secret)) => Credentials {
                access_key_id,
                secret_access_key: secret.into(),
                token: (self.environment)("AWS_SESSION_TOKEN").map(Zeroizing::new),
                expiration: None,
            },
            _ => self.role().await?,
        };
        *held = Some(fresh.clone());
        Ok(fresh)
    }

    /// Of a container's or the machine's role.
    async fn role(&self) -> Result<Credentials, Error> {
        let none = |_: &Value| None;
        let relative = (self.environment)("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
        let relative = relative.map(|path| format!("http://169.254.170.2{path}"));
        if let Some(url) =
            relative.or_else(|| (self.environment)("AWS_CONTAINER_CREDENTIALS_FULL_URI"))
        {
            let token = match (self.environment)("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
                Some(file) => std::fs::read_to_string(file).ok(),
                None => (self.environment)("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
            };
            let mut request = self.http.get(url);
            if let Some(token) = token {
                request = request.header("authorization", token.trim());
            }
            return ask(NAME, request, none).await;
        }
        let machine = "http://169.254.169.254/latest";
        let token = self
            .http
            .put(format!("{machine}/api/token"))
            .header("x-aws-ec2-metadata-token-ttl-seconds", "300")
            .timeout(Duration::from_secs(2))
            .send()
            .await
            .ok()
            .filter(|answer| answer.status().is_success());
        let Some(token) = token else {
            return Err(refused(
                NAME,
                "there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give \
                 the machine or container a role",
            ));
        };
        let token = Zeroizing::new(token.text().await.unwrap_or_default());
        let roles = format!("{machine}/meta-data/iam/security-credentials/");
        let get = |url: String| {
            self.http
                .get(url)
                .header("x-aws-ec2-metadata-token", token.as_str())
        };
        let role = get(roles.clone())
            .send()
            .await
            .map_err(|error| crate::unanswered(NAME, &error))?
            .text()
            .await
            .unwrap_or_default();
        ask(NAME, get(format!("{roles}{}", role.trim())), none).await
    }

    async fn call(&self, action: &str, body: Value) -> Result<Value, Error> {
        let credentials = self.credentials().await?;
        let body = Zeroizing::new(body.to_string());
        let target = format!("TrentService.{action}");
        let host = match self.endpoint.port() {
            Some(port) => format!("{}:{port}", self.endpoint.host_str().unwrap_or_default()),
            None => self.endpoint.host_str().unwrap_or_default().to_owned(),
        };
        let now = wall_clock().format("%Y%m%dT%H%M%SZ").to_string();
        let mut headers = vec![
            ("content-type", "application/x-amz-json-1.1"),
            ("host", host.as_str()),
            ("x-amz-date", now.as_str()),
        ];
        if let Some(token) = &credentials.token {
            headers.push(("x-amz-security-token", token.as_str()));
        }
        headers.push(("x-amz-target", target.as_str()));
        let signed = sign(
            &credentials,
            &self.region,
            "kms",
            "POST",
            "/",
            &headers,
            body.as_bytes(),
        );
        let mut request = self
            .http
            .post(self.endpoint.clone())
            .header("authorization", signed)
            .body(body.to_string());
        for (name, value) in headers.into_iter().filter(|(name, _)| *name != "host") {
            request = request.header(name, value);
        }
        ask(NAME, request, |answer| {
            let kind = answer["__type"].as_str()?;
            Some(kind.rsplit('#').next().unwrap_or(kind).to_owned())
        })
        .await
    }
}

#[async_trait::async_trait]
impl Service for AwsKms {
    fn id(&self) -> String {
        format!("aws-kms:{}", self.key)
    }

    async fn encrypt(&self, plain: &[u8]) -> Result<Vec<u8>, Error> {
        let body = json!({
            "KeyId": self.key, "Plaintext": BASE64.encode(plain),
            "EncryptionContext": { CONTEXT.0: CONTEXT.1 },
        });
        let answer = self.call("Encrypt", body).await?;
        let text = answer["CiphertextBlob"].as_str().unwrap_or_default();
        Ok(decoded(NAME, text)?.to_vec())
    }

    async fn decrypt(&self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let body = json!({
            "KeyId": self.key, "CiphertextBlob": BASE64.encode(sealed),
            "EncryptionContext": { CONTEXT.0: CONTEXT.1 },
        });
        let answer = self.call("Decrypt", body).await?;
        decoded(NAME, answer["Plaintext"].as_str().unwrap_or_default())
    }
}

/// AWS compares the time of a request with its own: the real time, whatever a test's clock says.
#[allow(clippy::disallowed_methods)]
fn wall_clock() -> DateTime<Utc> {
    Utc::now()
}

/// The `Authorization` header of Signature Version 4, for headers that are sorted by name and a path
/// without query.
fn sign(
    credentials: &Credentials,
    region: &str,
    service: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> String {
    let hex = |bytes: &[u8]| HEXLOWER.encode(digest::digest(&digest::SHA256, bytes).as_ref());
    let mac = |key: &[u8], text: &str| {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
    };
    let now = headers
        .iter()
        .find(|(name, _)| *name == "x-amz-date")
        .map_or("", |(_, value)| value);
    let day = now.get(..8).unwrap_or_default();
    let mut canonical = format!("{method}\n{path}\n\n");
    for (name, value) in headers {
        let _ = writeln!(canonical, "{name}:{}", value.trim());
    }
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let _ = write!(canonical, "\n{names}\n{}", hex(body));
    let scope = format!("{day}/{region}/{service}/aws4_request");
    let text = format!(
        "AWS4-HMAC-SHA256\n{now}\n{scope}\n{}",
        hex(canonical.as_bytes())
    );
    let secret = Zeroizing::new(format!("AWS4{}", credentials.secret_access_key.as_str()));
    let key = [region, service, "aws4_request"]
        .iter()
        .fold(mac(secret.as_bytes(), day), |key, part| {
            mac(key.as_ref(), part)
        });
    let signature = HEXLOWER.encode(mac(key.as_ref(), &text).as_ref());
    format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
        credentials.access_key_id
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of AWS' own test suite: `post-vanilla`.
    #[test]
    fn the_signature_of_aws_own_example() {
        let credentials = Credentials {
            access_key_id: "AKIDEXAMPLE".into(),
            secret_access_key: Zeroizing::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into()),
            token: None,
            expiration: None,
        };
        let headers = [
            ("host", "example.amazonaws.com"),
            ("x-amz-date", "20150830T123600Z"),
        ];
        let signed = sign(
            &credentials,
            "us-east-1",
            "service",
            "POST",
            "/",
            &headers,
            b"",
        );
        assert_eq!(
            signed,
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders=host;x-amz-date, \
             Signature=5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"
        );
    }
}
