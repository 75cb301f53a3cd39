//! When the worker looks for work: at once after a push in this process, on a tick otherwise.
//!
//! apalis' own interval strategy may lose its waker and stall until the next heartbeat (measured:
//! 5 to 9 seconds), so this replaces it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use apalis_core::backend::ext::poll_strategy::{PollSnapshot, PollStrategy};
use futures_util::task::AtomicWaker;
use tokio::time::{Interval, MissedTickBehavior, interval};

#[derive(Debug, Default)]
struct Inner {
    flag: AtomicBool,
    waker: AtomicWaker,
}

/// Wakes the worker of this process.
#[derive(Debug, Clone, Default)]
pub struct Kick(Arc<Inner>);

impl Kick {
    /// Call after a push.
    pub fn kick(&self) {
        self.0.flag.store(true, Ordering::Release);
        self.0.waker.wake();
    }

    pub(crate) fn strategy(&self, every: Duration) -> Wake {
        let mut tick = interval(every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Wake {
            tick,
            kick: self.clone(),
        }
    }
}

/// The strategy that apalis polls.
#[derive(Debug)]
pub(crate) struct Wake {
    tick: Interval,
    kick: Kick,
}

impl PollStrategy for Wake {
    fn poll_drive(&mut self, cx: &mut Context<'_>, _: &PollSnapshot) -> Poll<Option<()>> {
        self.kick.0.waker.register(cx.waker());
        let mut fired = self.kick.0.flag.swap(false, Ordering::AcqRel);
        // Until pending: only then is the tick's waker registered.
        while self.tick.poll_tick(cx).is_ready() {
            fired = true;
        }
        if fired {
            Poll::Ready(Some(()))
        } else {
            Poll::Pending
        }
    }
}
