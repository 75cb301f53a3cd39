//! The one HTTP client: bounded in time and size, no redirects, no proxy from the environment.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::{Client, Response, redirect::Policy};

use crate::Error;

/// Largest body that is read, after decompression.
pub const MAX_BODY: usize = 32 * 1024 * 1024;

/// Builds the client. Call once and clone.
///
/// # Errors
/// When the platform's certificate store cannot be read.
pub fn client() -> Result<Client, Error> {
    Client::builder()
        .redirect(Policy::none())
        .no_proxy()
        .connect_timeout(Duration::from_secs(5))
        .read_timeout(Duration::from_secs(30))
        .timeout(Duration::from_secs(120))
        .pool_idle_timeout(Duration::from_secs(60))
        .user_agent(concat!("Tenantry/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(Error::transport)
}

/// Reads a body up to [`MAX_BODY`].
pub(crate) async fn body(mut response: Response) -> Result<Bytes, Error> {
    let mut bytes = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(Error::transport)? {
        if bytes.len() + chunk.len() > MAX_BODY {
            return Err(Error::TooLarge);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

/// `Retry-After` in seconds or as an HTTP date, relative to the response's own `Date`; negative and
/// absurd values are clamped to between 0 and one day.
pub(crate) fn retry_after(headers: &reqwest::header::HeaderMap) -> Option<Duration> {
    let header = |name| headers.get(name).and_then(|v| v.to_str().ok());
    wait_of(
        header(reqwest::header::RETRY_AFTER)?,
        header(reqwest::header::DATE),
    )
}

/// The same of texts; `date` is what the sender's clock said.
pub(crate) fn wait_of(text: &str, date: Option<&str>) -> Option<Duration> {
    let day = Duration::from_secs(24 * 3600);
    if let Ok(seconds) = text.trim().parse::<f64>() {
        return Some(
            Duration::try_from_secs_f64(seconds.max(0.0))
                .unwrap_or(day)
                .min(day),
        );
    }
    let at = chrono::DateTime::parse_from_rfc2822(text.trim()).ok()?;
    let now = chrono::DateTime::parse_from_rfc2822(date?).ok()?;
    Some((at - now).to_std().unwrap_or_default().min(day))
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderMap;

    fn after(value: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", value.parse().unwrap());
        headers.insert("date", "Sat, 21 Nov 2026 10:00:00 GMT".parse().unwrap());
        retry_after(&headers)
    }

    #[test]
    fn retry_after_is_read_in_both_forms_and_clamped() {
        assert_eq!(after("7"), Some(Duration::from_secs(7)));
        assert_eq!(
            after("Sat, 21 Nov 2026 10:00:30 GMT"),
            Some(Duration::from_secs(30))
        );
        assert_eq!(after("1e9"), Some(Duration::from_secs(86_400)));
        assert_eq!(after("-4"), Some(Duration::ZERO));
        assert_eq!(after("soon"), None);
    }
}
