//! Adaptive concurrency: how many requests of one client are under way.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// How many requests of one client are under way: one more after each that went well, half as many
/// after one that was throttled.
#[derive(Debug)]
pub(crate) struct Gate {
    allowed: AtomicUsize,
    active: AtomicUsize,
    went_well: AtomicUsize,
    free: Notify,
}

/// More at a time do not help: the service limits units, not connections.
const MOST_AT_A_TIME: usize = 8;

impl Default for Gate {
    fn default() -> Self {
        Self {
            allowed: AtomicUsize::new(4),
            active: AtomicUsize::new(0),
            went_well: AtomicUsize::new(0),
            free: Notify::new(),
        }
    }
}

/// A place at the gate; it is free again when this is dropped.
pub(crate) struct Place<'a>(&'a Gate);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::AcqRel);
        self.0.free.notify_one();
    }
}

impl Gate {
    pub(crate) async fn enter(&self) -> Place<'_> {
        loop {
            let freed = self.free.notified();
            let active = self.active.load(Ordering::Acquire);
            if active < self.allowed.load(Ordering::Acquire) {
                let entered = self.active.compare_exchange(
                    active,
                    active + 1,
                    Ordering::AcqRel,
                    Ordering::Acquire,
                );
                if entered.is_ok() {
                    return Place(self);
                }
                continue;
            }
            freed.await;
        }
    }

    pub(crate) fn went_well(&self) {
        let allowed = self.allowed.load(Ordering::Acquire);
        let well = self.went_well.fetch_add(1, Ordering::AcqRel) + 1;
        if well >= allowed && allowed < MOST_AT_A_TIME {
            self.went_well.store(0, Ordering::Release);
            self.allowed.store(allowed + 1, Ordering::Release);
            self.free.notify_one();
        }
    }

    pub(crate) fn was_throttled(&self) {
        let allowed = self.allowed.load(Ordering::Acquire);
        self.allowed.store((allowed / 2).max(1), Ordering::Release);
        self.went_well.store(0, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn the_gate_narrows_when_throttled_and_widens_again() {
        let gate = Gate::default();
        let held: Vec<Place<'_>> =
            futures_util::future::join_all((0..4).map(|_| gate.enter())).await;
        assert!(
            tokio::time::timeout(Duration::from_millis(20), gate.enter())
                .await
                .is_err()
        );
        drop(held);
        gate.was_throttled();
        let _held = (gate.enter().await, gate.enter().await);
        assert!(
            tokio::time::timeout(Duration::from_millis(20), gate.enter())
                .await
                .is_err()
        );
        for _ in 0..40 {
            gate.went_well();
        }
        gate.enter().await;
    }
}
