//! Microsoft's request limits, kept by ourselves so that most throttling never happens.
//!
//! Source: Microsoft Graph service-specific throttling limits: reports 5 requests in 10 s per
//! application and tenant and 122 in 10 s per application over all tenants; security 10,000 in
//! 10 min per application and tenant, of which secure score 150 a minute.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use uuid::Uuid;

use crate::{Limits, request::Service};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    service: Service,
    client_id: Uuid,
    tenant: Option<Uuid>,
}

/// Sliding windows per application, tenant and service; shared by all clients of the process.
#[derive(Debug, Clone, Default)]
pub struct Limiter {
    windows: Arc<Mutex<HashMap<Key, VecDeque<Instant>>>>,
}

impl Limiter {
    /// Waits until a request may be sent; answers how long that took.
    pub(crate) async fn wait(
        &self,
        limits: Limits,
        service: Service,
        client_id: Uuid,
        tenant: Uuid,
    ) -> Duration {
        if limits == Limits::None {
            return Duration::ZERO;
        }
        let began = Instant::now();
        while let Err(free_at) = self.take(service, client_id, tenant) {
            tokio::time::sleep_until(free_at).await;
        }
        began.elapsed()
    }

    /// Takes a place in every window that applies, or in none and answers when to try again.
    fn take(&self, service: Service, client_id: Uuid, tenant: Uuid) -> Result<(), Instant> {
        let rules: &[(Option<Uuid>, usize, u64)] = match service {
            Service::Directory => &[],
            Service::Reports => &[(Some(tenant), 5, 10), (None, 122, 10)],
            Service::Security => &[(Some(tenant), 150, 60)],
        };
        let now = Instant::now();
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        for &(tenant, most, seconds) in rules {
            let key = Key {
                service,
                client_id,
                tenant,
            };
            let window = windows.entry(key).or_default();
            let length = Duration::from_secs(seconds);
            while window.front().is_some_and(|&at| at + length <= now) {
                window.pop_front();
            }
            if window.len() >= most
                && let Some(&oldest) = window.front()
            {
                return Err(oldest + length);
            }
        }
        for &(tenant, _, _) in rules {
            let key = Key {
                service,
                client_id,
                tenant,
            };
            windows.entry(key).or_default().push_back(now);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_sixth_report_in_ten_seconds_waits_and_other_tenants_do_not() {
        let limiter = Limiter::default();
        let (app, a, b) = (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3));
        for _ in 0..5 {
            let waited = limiter
                .wait(Limits::Microsoft, Service::Reports, app, a)
                .await;
            assert_eq!(waited, Duration::ZERO);
        }
        let other = limiter
            .wait(Limits::Microsoft, Service::Reports, app, b)
            .await;
        assert_eq!(other, Duration::ZERO);
        let waited = limiter
            .wait(Limits::Microsoft, Service::Reports, app, a)
            .await;
        assert!(waited >= Duration::from_secs(10), "{waited:?}");
        let lifted = limiter.wait(Limits::None, Service::Reports, app, a).await;
        assert_eq!(lifted, Duration::ZERO);
    }
}
