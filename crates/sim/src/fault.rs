//! Faults on demand.

use serde::Deserialize;

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A status with Graph's error code, or OAuth's for the token endpoint.
    Error {
        /// HTTP status.
        status: u16,
        /// `error.code`.
        code: String,
    },
    /// 429 with `Retry-After` in seconds.
    Throttle {
        /// Seconds.
        seconds: u64,
    },
    /// 429 with `Retry-After` as an HTTP date.
    ThrottleUntil {
        /// Seconds.
        seconds: u64,
    },
    /// 429 without `Retry-After`.
    ThrottleSilent,
    /// 429 with a `Retry-After` that is no whole number of seconds.
    ThrottleAbsurd,
    /// 200 with a web page.
    Html,
    /// 200 with the first half of the body.
    HalfBody,
    /// A `nextLink` to there.
    NextLink {
        /// Where to, as it stands.
        to: String,
    },
    /// A `deltaLink` to there, after the last page.
    DeltaLink {
        /// Where to, as it stands.
        to: String,
    },
    /// A `nextLink` to the same page.
    LoopingLink,
    /// An empty page with a `nextLink` to one more, and so on for ever.
    EndlessLinks,
    /// A redirect.
    Redirect {
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// Where to.
        to: String,
    },
    /// The right answer after this many milliseconds.
    Slow {
        /// Milliseconds.
        ms: u64,
    },
    /// The right answer, in pieces over this many milliseconds.
    Dribble {
        /// Milliseconds.
        ms: u64,
    },
    /// The connection is closed without an answer.
    Reset,
    /// 410 with a `Location` at which a delta query begins anew.
    Gone,
    /// A page that begins with the last objects of the page before.
    Repeat,
}

/// A fault of the next `times` requests whose path and query contain `path`, after `skip` of them.
#[derive(Debug, Clone, Deserialize)]
pub struct Fault {
    /// Part of the path and query.
    pub path: String,
    /// What goes wrong.
    pub kind: Kind,
    /// How often.
    pub times: usize,
    /// Requests that still pass before.
    #[serde(default)]
    pub skip: usize,
}

impl Fault {
    /// A fault of the next request.
    pub fn once(path: &str, kind: Kind) -> Self {
        Self {
            path: path.into(),
            kind,
            times: 1,
            skip: 0,
        }
    }

    /// A fault of all coming requests.
    pub fn always(path: &str, kind: Kind) -> Self {
        Self {
            times: usize::MAX,
            ..Self::once(path, kind)
        }
    }
}
