//! Asking Graph about one tenant: limits kept, throttling obeyed, passing failures tried again,
//! errors classified. `pages.rs` reads collections, `batch.rs` many of them at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, de::DeserializeOwned};
use url::Url;

use crate::{
    Cloud, Error, Grantee, Limiter, ProofSource, Request, TokenSource,
    charge::{Charge, Service},
    gate::Gate,
    http,
    limits::{Asker, Size},
    link,
    pages::Pages,
};

/// Tries of one request for passing errors; being throttled is not one.
const MAX_TRIES: u32 = 6;
/// Times that one request is throttled before it is given back to the scheduler.
const MAX_THROTTLED: u32 = 30;
/// The longest wait inside a run; a longer one is given back to the scheduler.
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(90);
/// Where Microsoft does not say how long to wait.
pub(crate) const UNTOLD_WAIT: Duration = Duration::from_secs(2);

/// Graph as one application sees one tenant.
#[derive(Clone)]
pub struct GraphClient {
    tokens: TokenSource,
    limiter: Limiter,
    cloud: Arc<Cloud>,
    grantee: Grantee,
    source: Arc<dyn ProofSource>,
    priority: &'static str,
    size: Size,
    gate: Arc<Gate>,
}

impl std::fmt::Debug for GraphClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "GraphClient({:?})", self.grantee)
    }
}

/// Counts what requests cost; shared by concurrent reads of one collector.
#[derive(Debug, Default)]
pub struct Meter {
    requests: AtomicI64,
    throttled: AtomicI64,
    waited_ms: AtomicI64,
}

/// A reading of a [`Meter`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests sent; each part of a batch is one, because Microsoft charges it as one.
    pub requests: i64,
    /// Of these throttled.
    pub throttled: i64,
    /// Milliseconds waited for limits.
    pub waited_ms: i64,
}

impl Meter {
    pub(crate) fn count(&self, requests: usize) {
        let requests = i64::try_from(requests).unwrap_or(i64::MAX);
        self.requests.fetch_add(requests, Ordering::Relaxed);
    }

    pub(crate) fn throttled(&self) {
        self.throttled.fetch_add(1, Ordering::Relaxed);
    }

    /// Reads and resets.
    pub fn take(&self) -> Tally {
        Tally {
            requests: self.requests.swap(0, Ordering::Relaxed),
            throttled: self.throttled.swap(0, Ordering::Relaxed),
            waited_ms: self.waited_ms.swap(0, Ordering::Relaxed),
        }
    }

    pub(crate) fn waited(&self, time: Duration) {
        let ms = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        self.waited_ms.fetch_add(ms, Ordering::Relaxed);
    }
}

#[derive(Deserialize, Default)]
struct WireError {
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    message: Option<String>,
}

#[derive(Deserialize, Default)]
struct WireErrorBody {
    #[serde(default)]
    error: WireError,
}

impl GraphClient {
    /// A client for one tenant. `priority` is `normal` for what a person waits for, else `low`.
    pub fn new(
        tokens: TokenSource,
        limiter: Limiter,
        cloud: Arc<Cloud>,
        grantee: Grantee,
        source: Arc<dyn ProofSource>,
        priority: &'static str,
    ) -> Self {
        Self {
            tokens,
            limiter,
            cloud,
            grantee,
            source,
            priority,
            size: Size::default(),
            gate: Arc::default(),
        }
    }

    /// The same client, for a tenant of so many users: its limit depends on them.
    #[must_use]
    pub fn with_users(mut self, users: i64) -> Self {
        self.size = Size::of(users);
        self
    }

    fn asker(&self) -> Asker<'_> {
        Asker {
            cloud: &self.cloud.name,
            limits: self.cloud.limits,
            client_id: self.grantee.client_id,
            tenant: self.grantee.tenant,
            size: self.size,
        }
    }

    /// Obtains a token, from the cache or anew.
    pub async fn authenticate(&self) -> Result<(), Error> {
        self.tokens
            .token(&self.cloud, &self.grantee, self.source.as_ref())
            .await
            .map(|_| ())
    }

    /// Forgets the cached token, because app roles are frozen into it when it is issued.
    pub fn forget_token(&self) {
        self.tokens.forget(&self.grantee);
    }

    /// A cursor over the pages of a collection.
    pub fn pages<T: DeserializeOwned + Send>(&self, request: &Request) -> Pages<'_, T> {
        Pages::new(self, self.url(request), request)
    }

    /// A cursor over what changed since a link of an earlier round: `request` is what that began
    /// with.
    ///
    /// # Errors
    /// [`Error::ForeignLink`] when the link does not lead to the configured Graph origin.
    pub fn changes<T: DeserializeOwned + Send>(
        &self,
        request: &Request,
        link: &str,
    ) -> Result<Pages<'_, T>, Error> {
        Ok(Pages::new(
            self,
            self.check_link(link, request.version)?,
            request,
        ))
    }

    pub(crate) fn url(&self, request: &Request) -> Url {
        let mut url = self.cloud.graph.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}/{}{}", request.version, request.path));
        if !request.query.is_empty() {
            url.set_query(Some(&request.query));
        }
        url
    }

    /// Reads one object.
    pub async fn read<T: DeserializeOwned + Send>(
        &self,
        request: &Request,
        meter: &Meter,
    ) -> Result<T, Error> {
        self.fetch(&self.url(request), Charge::of(request), meter)
            .await
    }

    /// Posts what must not be posted twice: one try, and a second only where the token was refused
    /// before anything was looked at. The answer's body is not read.
    ///
    /// # Errors
    /// Any [`Error`]; after [`Error::Transport`] it may or may not have been done.
    pub async fn post(&self, path: &str, body: &serde_json::Value) -> Result<(), Error> {
        let url = self.url(&Request::get(path));
        for fresh_token in [false, true] {
            if fresh_token {
                self.forget_token();
            }
            let token = self
                .tokens
                .token(&self.cloud, &self.grantee, self.source.as_ref())
                .await?;
            let response = self
                .tokens
                .http()
                .post(url.clone())
                .header("client-request-id", request_id())
                .bearer_auth(token.as_str())
                .json(body)
                .send()
                .await
                .map_err(Error::transport)?;
            match response.status().as_u16() {
                200..=299 => return Ok(()),
                401 if !fresh_token => {}
                _ => return Err(refusal(response).await),
            }
        }
        Err(Error::Malformed("the token was refused twice".into()))
    }

    /// Reads a whole small collection.
    pub async fn read_all<T: DeserializeOwned + Send>(
        &self,
        request: &Request,
        meter: &Meter,
    ) -> Result<Vec<T>, Error> {
        let mut pages = self.pages(request);
        let mut items = Vec::new();
        while let Some(page) = pages.next(meter).await? {
            items.extend(page.items);
        }
        Ok(items)
    }

    /// One GET with everything that may pass tried again: throttling as told, outages with a
    /// growing pause, an expired token once.
    pub(crate) async fn fetch<B: DeserializeOwned + Send>(
        &self,
        url: &Url,
        charge: Charge,
        meter: &Meter,
    ) -> Result<B, Error> {
        self.ask(url, None, charge, meter).await
    }

    /// The same, with a body to POST where one is given; it must be harmless to send twice.
    pub(crate) async fn ask<B: DeserializeOwned + Send>(
        &self,
        url: &Url,
        body: Option<&serde_json::Value>,
        charge: Charge,
        meter: &Meter,
    ) -> Result<B, Error> {
        let (mut tries, mut throttled) = (0, 0);
        let mut fresh_token = false;
        loop {
            let error = match self.ask_once(url, body, charge, meter).await {
                Ok(page) => return Ok(page),
                Err(error) => error,
            };
            let wait = match &error {
                Error::Throttled(after) => {
                    throttled += 1;
                    *after
                }
                Error::Api {
                    status: 401,
                    says_unlicensed: false,
                    ..
                } if !fresh_token => {
                    fresh_token = true;
                    self.forget_token();
                    continue;
                }
                Error::Api {
                    status: 500..=599, ..
                }
                | Error::Transport(_)
                | Error::Malformed(_) => {
                    tries += 1;
                    pause(tries)
                }
                _ => return Err(error),
            };
            if tries >= MAX_TRIES || throttled >= MAX_THROTTLED || wait > MAX_WAIT {
                return Err(error);
            }
            meter.waited(wait);
            tokio::time::sleep(wait).await;
        }
    }

    async fn ask_once<B: DeserializeOwned + Send>(
        &self,
        url: &Url,
        body: Option<&serde_json::Value>,
        charge: Charge,
        meter: &Meter,
    ) -> Result<B, Error> {
        let token = self
            .tokens
            .token(&self.cloud, &self.grantee, self.source.as_ref())
            .await?;
        let asker = self.asker();
        let waited = self.limiter.wait(asker, charge, MAX_WAIT).await?;
        meter.waited(waited);
        // What has a strict rate of its own goes at its moment: whoever waited at the gate after that
        // would meet the next one there, and the rate bounds how many are under way.
        let _place = match charge.service {
            Service::Directory => Some(self.gate.enter().await),
            _ => None,
        };
        meter.requests.fetch_add(1, Ordering::Relaxed);
        // The origin was checked when the URL was made; the token goes on last.
        let http = self.tokens.http();
        let request = match body {
            None => http.get(url.clone()),
            Some(body) => http.post(url.clone()).json(body),
        };
        let response = request
            .header("accept", "application/json")
            .header("client-request-id", request_id())
            .header("x-ms-throttle-priority", self.priority)
            .bearer_auth(token.as_str())
            .send()
            .await
            .map_err(Error::transport)?;
        let status = response.status().as_u16();
        self.heed(response.headers(), charge);
        if status == 200 {
            let body = http::body(response).await?;
            self.gate.went_well();
            return decode(&body);
        }
        let error = refusal(response).await;
        if let Error::Throttled(after) = &error {
            meter.throttled.fetch_add(1, Ordering::Relaxed);
            self.was_throttled(charge, *after);
        }
        Err(error)
    }

    /// Everybody waits, and fewer ask at a time.
    pub(crate) fn was_throttled(&self, charge: Charge, after: Duration) {
        self.gate.was_throttled();
        self.limiter
            .told_to_wait(self.asker(), charge.service, after);
    }

    /// Slows down before Microsoft throttles: above four fifths of a limit it says how much of it
    /// is used (source: Graph's throttling guidance, `x-ms-throttle-limit-percentage`).
    fn heed(&self, headers: &reqwest::header::HeaderMap, charge: Charge) {
        let used = headers
            .get("x-ms-throttle-limit-percentage")
            .and_then(|v| v.to_str().ok())
            .and_then(|v| v.trim().parse::<f64>().ok());
        if let Some(used) = used.filter(|used| (0.8..10.0).contains(used)) {
            let wait = Duration::from_millis(200).mul_f64((used - 0.7) * 10.0);
            self.limiter
                .told_to_wait(self.asker(), charge.service, wait);
        }
    }

    /// A link of the answer, if it may be followed.
    ///
    /// # Errors
    /// [`Error::ForeignLink`] otherwise; the whole answer is refused then.
    pub(crate) fn check_link(&self, link: &str, version: &str) -> Result<Url, Error> {
        link::follow(&self.cloud.graph, version, link).ok_or(Error::ForeignLink)
    }
}

/// A body of the expected shape.
pub(crate) fn decode<B: DeserializeOwned>(body: &[u8]) -> Result<B, Error> {
    serde_json::from_slice(body).map_err(|e| {
        Error::Malformed(match body.first() {
            Some(b'<') => "a web page instead of JSON".into(),
            _ => format!("{:?} error at byte {}", e.classify(), e.column()),
        })
    })
}

/// What a response that is no success says.
async fn refusal(response: reqwest::Response) -> Error {
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    if status == 429 || (status == 503 && headers.contains_key("retry-after")) {
        return Error::Throttled(http::retry_after(&headers).unwrap_or(UNTOLD_WAIT));
    }
    let body = match http::body(response).await {
        Ok(body) => body,
        Err(error) => return error,
    };
    let request_id = headers
        .get("request-id")
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    explained(status, &body, request_id)
}

/// What an error body says, of a response or of one part of a batch.
pub(crate) fn explained(status: u16, body: &[u8], request_id: &str) -> Error {
    let wire: WireErrorBody = serde_json::from_slice(body).unwrap_or_default();
    let message = wire.error.message.unwrap_or_default().to_ascii_lowercase();
    Error::Api {
        status,
        code: wire.error.code.unwrap_or_default(),
        request_id: request_id.to_owned(),
        says_unlicensed: [
            "not licensed",
            "premium license",
            "not provisioned",
            "not applicable to target tenant",
        ]
        .iter()
        .any(|sign| message.contains(sign)),
    }
}

/// Half a second, then doubled, with up to a quarter of jitter from the request id's bits.
pub(crate) fn pause(tries: u32) -> Duration {
    let base = 500 * 2u64.pow(tries.min(6) - 1);
    let jitter = uuid_bits() % (base / 4);
    Duration::from_millis(base + jitter)
}

#[allow(clippy::disallowed_methods)] // request ids name nothing of ours
fn request_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

#[allow(clippy::disallowed_methods)]
fn uuid_bits() -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ClientCredential, Clouds, Proof, cloud::CustomCloud};

    fn client() -> GraphClient {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let clouds = Clouds::new(Some(&CustomCloud {
            login: "http://127.0.0.1:1/".parse().unwrap(),
            graph: "http://127.0.0.1:2/".parse().unwrap(),
            label: None,
            limits: None,
            like: None,
        }))
        .unwrap();
        let id = uuid::Uuid::from_u128(1);
        GraphClient::new(
            TokenSource::new(http::client().unwrap()),
            Limiter::default(),
            clouds.get("custom").unwrap(),
            Grantee {
                owner: id,
                cloud: "custom".into(),
                tenant: id,
                client_id: id,
            },
            Arc::new(Proof {
                credential: ClientCredential::Secret(zeroize::Zeroizing::new("x".into())),
                refresh_token: None,
                now: 0,
            }),
            "low",
        )
    }

    #[test]
    fn only_links_to_the_configured_origin_are_followed() {
        let client = client();
        assert!(
            client
                .check_link("http://127.0.0.1:2/v1.0/users?$skiptoken=x", "v1.0")
                .is_ok()
        );
        for foreign in [
            "http://127.0.0.1:3/v1.0/users",
            "https://127.0.0.1:2/v1.0/users",
            "http://127.0.0.1:2@evil.example/v1.0/users",
            "http://evil@127.0.0.1:2/v1.0/users",
            "http://127.0.0.1:2.evil.example/v1.0/users",
            "http://127.0.0.1:2/beta/users",
            "http://127.0.0.1:2/v1.0/../beta/users",
            "//evil.example/v1.0/users",
            "/v1.0/users",
            "",
        ] {
            assert!(client.check_link(foreign, "v1.0").is_err(), "{foreign}");
        }
    }
}
