//! How the collectors of a run stand, and what its timeline says.

use std::collections::BTreeSet;

use super::Stage;
use crate::{
    CollectorState, Timestamp,
    run::lease::{CollectorEnd, Counts},
};

/// What one collector did so far.
#[derive(Debug, Clone)]
pub struct Progress {
    /// Its name.
    pub name: &'static str,
    /// Where it stands.
    pub state: CollectorState,
    /// Objects that it will likely read.
    pub expected: Option<i64>,
    /// What it did.
    pub counts: Counts,
    /// How it ended.
    pub end: Option<CollectorEnd>,
    pub(in crate::inventory) position: i64,
    pub(in crate::inventory) started_at: Option<Timestamp>,
    pub(in crate::inventory) finished_at: Option<Timestamp>,
    /// A fall of the collection that is held back: objects missing, objects known.
    pub(in crate::inventory) held: Option<(i64, i64)>,
    pub(in crate::inventory) cursor: Option<Cursor>,
    pub(in crate::inventory) tables: BTreeSet<usize>,
}

/// Where a collection was read to.
#[derive(Debug, Clone)]
pub(in crate::inventory) struct Cursor {
    /// Where its changes go on, if Graph says so.
    pub(in crate::inventory) link: Option<String>,
    /// When that was asked for.
    pub(in crate::inventory) at: Timestamp,
    /// Whether it was read as a whole.
    pub(in crate::inventory) full: bool,
}

impl Stage {
    /// Lists the collectors that this attempt will run, after those of an earlier attempt whose
    /// work is published already.
    pub fn announce(&self, names: &[&'static str], from: usize) {
        let mut buffer = self.lock();
        for (i, name) in names.iter().enumerate() {
            let progress = Progress {
                name,
                state: CollectorState::Waiting,
                expected: None,
                counts: Counts::default(),
                end: None,
                position: i64::try_from(from + i).unwrap_or_default(),
                started_at: None,
                finished_at: None,
                held: None,
                cursor: None,
                tables: BTreeSet::new(),
            };
            buffer.progress.insert(name, progress);
            buffer.changed.insert(name);
        }
    }

    pub(super) fn note(&self, name: &'static str, note: impl FnOnce(&mut Progress)) {
        let mut buffer = self.lock();
        if let Some(progress) = buffer.progress.get_mut(name) {
            note(progress);
            buffer.changed.insert(name);
        }
    }

    /// Marks a collector as reading.
    pub fn started(&self, name: &'static str) {
        let now = self.lease.scope().now();
        self.note(name, |p| {
            p.state = CollectorState::Running;
            p.started_at = Some(now);
        });
    }

    /// Says how many objects a collector will likely read.
    pub fn expect(&self, name: &'static str, objects: i64) {
        self.note(name, |p| p.expected = (objects > 0).then_some(objects));
    }

    /// Adds to a collector's counts what wrote nothing.
    pub fn count(&self, name: &'static str, counts: Counts) {
        self.note(name, |p| p.counts.add(counts));
    }

    /// Adds a line to the timeline.
    pub fn event(&self, level: &'static str, text: String) {
        let now = self.lease.scope().now();
        self.lock().events.push((now, level, text));
    }

    /// Ends a collector and says so in the timeline. What it wrote is published with the run unless
    /// it is [`Stage::abandon`]ed.
    pub fn ended(&self, name: &'static str, end: CollectorEnd) {
        let now = self.lease.scope().now();
        let level = match end.state {
            CollectorState::Succeeded => "info",
            CollectorState::Failed => "error",
            _ => "warn",
        };
        let label = name.replace('_', " ");
        let text = match &end.reason {
            Some(reason) => format!("{label}: {}. {reason}", end.state),
            None => format!("{label}: {}", end.state),
        };
        self.note(name, |p| {
            p.state = end.state;
            p.finished_at = Some(now);
            p.end = Some(end);
        });
        self.lock().events.push((now, level, text));
    }

    /// Notes where a collection was read to: `link` is where its changes go on, asked for at `at`.
    pub fn read_to(&self, name: &'static str, link: Option<String>, at: Timestamp, full: bool) {
        self.note(name, |p| p.cursor = Some(Cursor { link, at, full }));
    }

    /// How a collector stands.
    pub fn progress(&self, name: &str) -> Option<Progress> {
        self.lock().progress.get(name).cloned()
    }

    /// Decides what a held-back fall makes of a collector's end.
    pub(super) fn judge(&self) {
        let held: Vec<(&'static str, i64, i64)> = self
            .lock()
            .progress
            .values()
            .filter_map(|p| p.held.map(|(missing, known)| (p.name, missing, known)))
            .collect();
        for (name, missing, known) in held {
            let is_whole = self
                .progress(name)
                .is_some_and(|p| p.state == CollectorState::Succeeded);
            if is_whole {
                self.ended(
                    name,
                    CollectorEnd {
                        state: CollectorState::Partial,
                        code: None,
                        reason: Some(format!(
                            "{missing} of {known} were missing from Microsoft's answer, so none was removed."
                        )),
                        remedy: Some(
                            "If they are really gone, confirm it on the company's page; the next sync removes them.".into(),
                        ),
                    },
                );
            }
        }
    }
}
