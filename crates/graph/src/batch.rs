//! Many small collections at once: `$batch` takes twenty requests. The outer answer says nothing of
//! the inner ones; each of these is charged, throttled and tried again by itself.

use std::{collections::HashMap, time::Duration};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{json, value::RawValue};
use tokio::time::Instant;

use crate::{
    Error, GraphClient, Meter, Page, Pages, Request,
    charge::{Charge, Service},
    client::{MAX_WAIT, UNTOLD_WAIT, decode, explained, pause},
    http,
    pages::WirePage,
};

/// Requests of one batch (source: Graph's JSON batching).
pub const BATCH: usize = 20;
/// Tries of one part for passing errors.
const MAX_TRIES: u32 = 6;
/// Times that one part is throttled.
const MAX_THROTTLED: u32 = 30;

/// The first page of one part, and the cursor over the rest where it has more.
pub type Part<'a, T> = Result<(Page<T>, Option<Pages<'a, T>>), Error>;

#[derive(Deserialize)]
struct WireBatch {
    responses: Vec<WireResponse>,
}

#[derive(Deserialize)]
struct WireResponse {
    id: String,
    status: u16,
    #[serde(default)]
    headers: HashMap<String, String>,
    #[serde(default)]
    body: Option<Box<RawValue>>,
}

/// A part that is not answered yet.
struct Open {
    index: usize,
    tries: u32,
    throttled: u32,
    not_before: Instant,
}

impl GraphClient {
    /// Reads the first pages of up to [`BATCH`] collections; answers them in the order of the
    /// requests.
    ///
    /// # Errors
    /// When the batch as a whole is refused. A part's own error is its answer.
    pub async fn batch<T: DeserializeOwned + Send>(
        &self,
        requests: &[Request],
        meter: &Meter,
    ) -> Result<Vec<Part<'_, T>>, Error> {
        let mut answers: Vec<Option<Part<'_, T>>> = requests.iter().map(|_| None).collect();
        let now = Instant::now();
        let mut open: Vec<Open> = (0..requests.len())
            .map(|index| Open {
                index,
                tries: 0,
                throttled: 0,
                not_before: now,
            })
            .collect();
        while let Some(first) = open.iter().map(|o| o.not_before).min() {
            if let Some(wait) = first.checked_duration_since(Instant::now()) {
                meter.waited(wait);
                tokio::time::sleep_until(first).await;
            }
            // Only those whose time has come: the others were told to wait longer.
            let (ready, waiting): (Vec<Open>, Vec<Open>) =
                open.into_iter().partition(|o| o.not_before <= first);
            open = waiting;
            let indexes: Vec<usize> = ready.iter().map(|o| o.index).collect();
            let mut responses = self.send(requests, &indexes, meter).await?;
            for part in ready {
                let request = &requests[part.index];
                let answer = match responses.remove(&part.index) {
                    Some(response) => self.part(request, response),
                    None => Err(Error::Malformed("a part of the batch is missing".into())),
                };
                match answer {
                    Ok(answer) => answers[part.index] = Some(Ok(answer)),
                    Err(error) => match self.again(request, part, &error, meter) {
                        Ok(part) => open.push(part),
                        Err(index) => answers[index] = Some(Err(error)),
                    },
                }
            }
        }
        Ok(answers.into_iter().flatten().collect())
    }

    async fn send(
        &self,
        requests: &[Request],
        indexes: &[usize],
        meter: &Meter,
    ) -> Result<HashMap<usize, WireResponse>, Error> {
        let parts: Vec<serde_json::Value> = indexes
            .iter()
            .map(
                |i| json!({ "id": i.to_string(), "method": "GET", "url": requests[*i].relative() }),
            )
            .collect();
        // Microsoft charges every part, and not the batch itself.
        let charges = indexes.iter().map(|i| Charge::of(&requests[*i]));
        let charge = Charge {
            service: Service::of(&requests[indexes[0]]),
            units: charges.map(|c| c.units).sum(),
            keys: false,
        };
        // The batch itself is counted when it is sent.
        meter.count(indexes.len() - 1);
        let url = self.url(&Request::get("/$batch"));
        let body = json!({ "requests": parts });
        let answer: WireBatch = self.ask(&url, Some(&body), charge, meter).await?;
        let responses = answer.responses.into_iter();
        Ok(responses
            .filter_map(|response| Some((response.id.parse().ok()?, response)))
            .collect())
    }

    fn part<T: DeserializeOwned + Send>(
        &self,
        request: &Request,
        response: WireResponse,
    ) -> Part<'_, T> {
        let body = response.body.as_deref().map_or("{}", RawValue::get);
        if response.status == 200 {
            let wire: WirePage<T> = decode(body.as_bytes())?;
            let rest = wire
                .next_link
                .map(|link| self.changes(request, &link))
                .transpose()?;
            let page = Page {
                items: wire.value,
                is_last: rest.is_none(),
            };
            return Ok((page, rest));
        }
        let header = |name: &str| {
            let mut headers = response.headers.iter();
            headers.find(|(key, _)| key.eq_ignore_ascii_case(name))
        };
        let told = header("retry-after").map(|(_, value)| value.as_str());
        if response.status == 429 || (response.status == 503 && told.is_some()) {
            let after = told.and_then(|text| http::wait_of(text, None));
            return Err(Error::Throttled(after.unwrap_or(UNTOLD_WAIT)));
        }
        let id = header("request-id").map_or("", |(_, value)| value.as_str());
        Err(explained(response.status, body.as_bytes(), id))
    }

    /// When a part is tried again; or its index, when it is not.
    fn again(
        &self,
        request: &Request,
        part: Open,
        error: &Error,
        meter: &Meter,
    ) -> Result<Open, usize> {
        let mut part = part;
        let wait: Duration = match error {
            Error::Throttled(after) => {
                meter.throttled();
                part.throttled += 1;
                // The next batch is a smaller load; this part alone waits as long as it was told.
                self.was_throttled(Charge::of(request), Duration::ZERO);
                *after
            }
            Error::Api {
                status: 424 | 500..=599,
                ..
            }
            | Error::Malformed(_) => {
                part.tries += 1;
                pause(part.tries)
            }
            _ => return Err(part.index),
        };
        if part.tries >= MAX_TRIES || part.throttled >= MAX_THROTTLED || wait > MAX_WAIT {
            return Err(part.index);
        }
        part.not_before = Instant::now() + wait;
        Ok(part)
    }
}
