//! Microsoft's request limits, shared by all workers through the database.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use graph::{Limiter, Slots};
use model::{Db, limit};

struct Shared(Db);

impl Slots for Shared {
    fn take<'a>(
        &'a self,
        name: &'a str,
        slots: u32,
        period: Duration,
    ) -> BoxFuture<'a, Result<Duration, String>> {
        Box::pin(async move {
            let period = i64::try_from(period.as_millis()).unwrap_or(i64::MAX);
            let wait = limit::take(&self.0, name, slots.into(), period)
                .await
                .map_err(|error| error.to_string())?;
            Ok(Duration::from_millis(wait.unsigned_abs()))
        })
    }
}

/// A limiter whose slots are kept in a database.
pub fn shared(db: &Db) -> Limiter {
    Limiter::new(Arc::new(Shared(db.clone())))
}
