//! Time as an argument: the only place that reads the system clock.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use chrono::{DateTime, SecondsFormat, Utc};
use sea_orm::DeriveValueType;
use serde::{Deserialize, Serialize, Serializer};

/// Milliseconds since 1970-01-01T00:00:00Z, as every time column stores it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, DeriveValueType, Deserialize,
)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// `ms` later (earlier when negative).
    pub fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// `minutes` later.
    pub fn plus_minutes(self, minutes: i64) -> Self {
        self.plus_ms(minutes.saturating_mul(60_000))
    }

    /// The same instant for formatting.
    pub fn to_utc(self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.0).unwrap_or_default()
    }

    /// RFC 3339 in UTC to the second, as the API and `datetime` attributes write it.
    pub fn rfc3339(self) -> String {
        self.to_utc().to_rfc3339_opts(SecondsFormat::Secs, true)
    }

    /// `yyyy-mm-dd` in UTC.
    pub fn day(self) -> String {
        self.to_utc().format("%Y-%m-%d").to_string()
    }

    /// The first moment of a `yyyy-mm-dd` in UTC.
    pub fn of_day(day: &str) -> Option<Self> {
        let day: chrono::NaiveDate = day.parse().ok()?;
        Some(day.and_time(chrono::NaiveTime::MIN).and_utc().into())
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(at: DateTime<Utc>) -> Self {
        Self(at.timestamp_millis())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.rfc3339())
    }
}

/// The system's clock plus an offset that tests move.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    offset_ms: Arc<AtomicI64>,
    wrong_ms: i64,
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self::default()
    }

    /// The present moment.
    #[allow(clippy::disallowed_methods)] // the one reader of the system clock
    pub fn now(&self) -> Timestamp {
        Timestamp(Utc::now().timestamp_millis() + self.offset_ms() + self.wrong_ms)
    }

    /// The same clock on a machine on which it is wrong by so much: what the database's says stays as
    /// it is.
    #[must_use]
    pub fn wrong_by_ms(&self, ms: i64) -> Self {
        Self {
            offset_ms: self.offset_ms.clone(),
            wrong_ms: ms,
        }
    }

    /// Moves this clock and all its clones; the database's clock expression follows.
    pub fn advance_ms(&self, ms: i64) {
        self.offset_ms.fetch_add(ms, Ordering::SeqCst);
    }

    pub(crate) fn offset_ms(&self) -> i64 {
        self.offset_ms.load(Ordering::SeqCst)
    }
}
