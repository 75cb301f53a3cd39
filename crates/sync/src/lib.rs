//! Everything that happens off-request: planning, dispatch, the worker and the collectors.
//!
//! The run is the job; apalis is the doorbell (docs/adr/0003-runs.md). Status, retries, cancellation
//! and history live in the `runs` table; apalis carries ids and wake-ups.

mod checkpoints;
mod collector;
mod collectors;
mod deliveries;
mod intakes;
mod reports;
mod runner;
mod scheduler;
mod wake;
mod worker;

pub use checkpoints::Elsewhere;
pub use collector::Collector;
pub use collectors::names;
pub use deliveries::Sender;
pub use runner::{Runner, Settings};
pub use wake::Kick;
pub use worker::{Worker, prepare_queue};
