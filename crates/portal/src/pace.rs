//! How often a person or a program may ask: far more than work needs, and less than would wear out the
//! others. Counted by each process for itself; what guesses at secrets is counted in the database
//! (`model::sign_in`).

use std::{num::NonZeroU32, time::Duration};

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::StateInformationMiddleware,
    state::keyed::DefaultKeyedStateStore,
};
use model::Principal;

/// Requests a second that go on for ever, and at once after a pause.
const SUSTAINED: NonZeroU32 = NonZeroU32::new(100).unwrap();
const AT_ONCE: NonZeroU32 = NonZeroU32::new(1000).unwrap();
/// Files a minute: each may read a whole directory.
const FILES: NonZeroU32 = NonZeroU32::new(60).unwrap();
/// Who has not asked for a while is forgotten when there are so many.
const REMEMBERED: usize = 10_000;

type Limiter =
    RateLimiter<String, DefaultKeyedStateStore<String>, DefaultClock, StateInformationMiddleware>;

/// Counts of everybody.
pub(crate) struct Pace {
    requests: Limiter,
    files: Limiter,
}

impl std::fmt::Debug for Pace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pace({})", self.requests.len())
    }
}

impl Default for Pace {
    fn default() -> Self {
        let limiter = |quota| RateLimiter::keyed(quota).with_middleware();
        Self {
            requests: limiter(Quota::per_second(SUSTAINED).allow_burst(AT_ONCE)),
            files: limiter(Quota::per_minute(FILES)),
        }
    }
}

/// What is left of an allowance.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Left {
    most: u32,
    left: u32,
}

impl Left {
    /// Says it in the words of the draft of the IETF's httpapi group.
    pub(crate) fn say(self, headers: &mut HeaderMap) {
        for (name, number) in [
            ("ratelimit-limit", self.most),
            ("ratelimit-remaining", self.left),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from(number));
        }
    }
}

/// Whether a path hands out a file that may be large.
fn is_file(path: &str) -> bool {
    [
        ".csv",
        ".ndjson",
        ".zip",
        ".pdf",
        "/archive",
        "/ocsf-events",
    ]
    .iter()
    .any(|end| path.ends_with(end))
        || (path.starts_with("/api/") && path.contains("/reports/"))
}

impl Pace {
    /// Counts a request; the seconds to wait where it is one too many.
    pub(crate) fn count(&self, principal: &Principal, path: &str) -> Result<Left, i64> {
        let key = match &principal.session {
            Some(session) => session.token_hash.clone(),
            None => principal.scope.actor().id.clone(),
        };
        if self.requests.len() > REMEMBERED {
            self.requests.retain_recent();
            self.files.retain_recent();
        }
        let wait = |duration: Duration| {
            i64::try_from(duration.as_secs())
                .unwrap_or(i64::MAX)
                .saturating_add(1)
        };
        let now = DefaultClock::default().now();
        if is_file(path) {
            self.files
                .check_key(&key)
                .map_err(|not| wait(not.wait_time_from(now)))?;
        }
        match self.requests.check_key(&key) {
            Ok(state) => Ok(Left {
                most: AT_ONCE.get(),
                left: state.remaining_burst_capacity(),
            }),
            Err(not) => Err(wait(not.wait_time_from(now))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_their_paths() {
        for file in [
            "/companies/1/users.csv",
            "/settings/audit.ndjson",
            "/assessments/1/archive.zip",
            "/api/v1/assessments/1/archive",
            "/api/v1/ocsf-events",
            "/api/v1/companies/1/reports/2026-11",
            "/companies/1/reports/2026-11/report.pdf",
        ] {
            assert!(is_file(file), "{file}");
        }
        assert!(!is_file("/api/v1/companies"));
        assert!(!is_file("/companies/1/reports/2026-11"));
    }
}
