//! One Graph collection, and the only loops that read one: as a whole, by what changed, and what
//! belongs to each of many objects.

use futures_util::future::BoxFuture;
use graph::{Change, Class, Cloud, Error as GraphError, GraphClient, Meter, Request, Tally};
use model::{
    CollectorState, Feature, Timestamp,
    inventory::{Object, Stage},
    run::{CollectorEnd, Counts, Lease},
};
use serde::de::DeserializeOwned;

mod fan_out;
mod reader;

pub(crate) use fan_out::{end_fan_out, fan_out};
pub(crate) use reader::{Read, Reader, sort_changes};

/// One Graph collection: where to read it, what that needs, and what we keep.
pub trait Collector: 'static {
    /// Name in runs and in the API: the plural noun.
    const NAME: &'static str;
    /// Application permission that it needs.
    const PERMISSION: &'static str;
    /// The feature for which it is read; `None` for what is always read.
    const FEATURE: Option<Feature> = None;
    /// Whether a sudden fall of it is held back until somebody confirms it.
    const IS_GUARDED: bool = true;
    /// Graph's type.
    type Wire: DeserializeOwned + Send;
    /// Our row.
    type Row: Object;
    /// The collection, with `$select` of what we keep.
    fn request() -> Request;
    /// Where Graph tells what changed, with the same `$select`, if it does.
    fn changes() -> Option<Request> {
        None
    }
    /// Why a cloud does not have it, if so.
    fn absent_from(_: &Cloud) -> Option<&'static str> {
        None
    }
    /// Turns what came into what we keep; `None` for what is not kept.
    fn normalise(wire: Self::Wire) -> Option<Self::Row>;
}

/// A collector as the table names it.
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) permission: &'static str,
    pub(crate) feature: Option<Feature>,
    /// The collector that must have ended before, because this one reads what belongs to its
    /// objects.
    pub(crate) after: Option<&'static str>,
    pub(crate) absent_from: fn(&Cloud) -> Option<&'static str>,
    pub(crate) run: Run,
}

/// Reads a collection to its end.
type Run = for<'a> fn(&'a Pass<'a>) -> BoxFuture<'a, Result<(), Stop>>;

impl Entry {
    /// One that is always read, wherever it is.
    pub(crate) const fn new(name: &'static str, permission: &'static str, run: Run) -> Self {
        Self {
            name,
            permission,
            feature: None,
            after: None,
            absent_from: |_| None,
            run,
        }
    }

    /// A collection that the generic loop reads.
    pub(crate) const fn of<C: Collector>() -> Self {
        Self {
            feature: C::FEATURE,
            absent_from: C::absent_from,
            ..Self::new(C::NAME, C::PERMISSION, |pass| Box::pin(collect::<C>(pass)))
        }
    }

    /// One that reads what belongs to the objects of another.
    pub(crate) const fn after(self, name: &'static str) -> Self {
        Self {
            after: Some(name),
            ..self
        }
    }
}

/// What a collector works with.
pub(crate) struct Pass<'a> {
    pub(crate) stage: &'a Stage,
    pub(crate) client: &'a GraphClient,
    pub(crate) cloud: &'a Cloud,
    pub(crate) meter: Meter,
    /// Objects whose own collections other collectors of this run read.
    pub(crate) found: &'a Found,
}

/// What collectors of a run hand to those that come after them.
#[derive(Debug, Default)]
pub(crate) struct Found(std::sync::Mutex<std::collections::HashMap<&'static str, Vec<String>>>);

impl Found {
    fn lock(
        &self,
    ) -> std::sync::MutexGuard<'_, std::collections::HashMap<&'static str, Vec<String>>> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Adds ids under a name.
    pub(crate) fn add(&self, name: &'static str, ids: impl IntoIterator<Item = String>) {
        self.lock().entry(name).or_default().extend(ids);
    }

    /// Takes them; `None` when the collector before found nothing to read.
    pub(crate) fn take(&self, name: &str) -> Option<Vec<String>> {
        self.lock().remove(name)
    }
}

/// Why a collector stopped before its end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Microsoft did not answer as needed.
    Graph(GraphError),
    /// What belongs to so many objects could not be read; the rest stands.
    Partly(usize, GraphError),
    /// The database did not, or the lease is lost.
    Model(model::Error),
    /// Not possible here; why.
    NotHere(&'static str),
}

impl From<GraphError> for Stop {
    fn from(error: GraphError) -> Self {
        Self::Graph(error)
    }
}

impl From<model::Error> for Stop {
    fn from(error: model::Error) -> Self {
        Self::Model(error)
    }
}

impl Pass<'_> {
    pub(crate) fn lease(&self) -> &Lease {
        self.stage.lease()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.lease().scope().now()
    }

    /// What the requests since the last call cost, as counts of so many pages.
    pub(crate) fn page_counts(&self, pages: i64) -> Counts {
        let Tally {
            requests,
            throttled,
            waited_ms,
        } = self.meter.take();
        Counts {
            pages,
            requests,
            throttled,
            waited_ms,
            ..Counts::default()
        }
    }
}

/// Reads a collection to its end; only after the last page is what was not seen ended.
async fn collect<C: Collector>(pass: &Pass<'_>) -> Result<(), Stop> {
    if let Some(why) = C::absent_from(pass.cloud) {
        return Err(Stop::NotHere(why));
    }
    let stage = pass.stage;
    let mut reader =
        Reader::<C::Wire>::open(pass, C::NAME, None, C::request(), C::changes()).await?;
    if reader.is_whole() {
        stage.expect(C::NAME, stage.present::<C::Row>().await?);
    }
    while let Some(read) = reader.next().await? {
        let (rows, gone) = match read {
            Read::Whole(items) => (items.into_iter().filter_map(C::normalise).collect(), vec![]),
            Read::Changes(changes) => changed::<C>(changes),
        };
        stage.page(C::NAME, rows, pass.page_counts(1)).await?;
        stage.remove::<C::Row>(C::NAME, None, gone).await?;
    }
    if reader.is_whole() {
        stage.complete::<C::Row>(C::NAME, vec![]).await?;
    }
    if C::IS_GUARDED {
        stage.guard::<C::Row>(C::NAME).await?;
    }
    reader.end();
    Ok(())
}

fn changed<C: Collector>(changes: Vec<Change<C::Wire>>) -> (Vec<C::Row>, Vec<String>) {
    let (mut rows, mut gone) = (Vec::with_capacity(changes.len()), Vec::new());
    for change in changes {
        match change {
            Change::Removed { id, .. } => {
                rows.retain(|row: &C::Row| row.id() != id);
                gone.push(id);
            }
            Change::Present(wire) => {
                let row = C::normalise(wire);
                if let Some(row) = &row {
                    gone.retain(|id| id != row.id());
                }
                rows.extend(row);
            }
        }
    }
    (rows, gone)
}

/// How a stopped collector is recorded.
pub(crate) fn ending(stop: &Stop, permission: &str) -> CollectorEnd {
    match stop {
        Stop::NotHere(why) => CollectorEnd {
            state: CollectorState::Skipped,
            code: None,
            reason: Some((*why).to_owned()),
            remedy: None,
        },
        Stop::Model(error) => CollectorEnd {
            state: CollectorState::Failed,
            code: None,
            reason: Some(format!("The database did not take it: {error}")),
            remedy: Some("It is tried again by itself.".into()),
        },
        Stop::Partly(missing, error) => CollectorEnd {
            state: CollectorState::Partial,
            code: error.code(),
            reason: Some(format!(
                "What belongs to {missing} of the objects could not be read: {}",
                error.sentence()
            )),
            remedy: Some(error.remedy()),
        },
        Stop::Graph(error) => {
            let (state, reason) = match error.class() {
                Class::Permission => (
                    CollectorState::Skipped,
                    format!("The permission {permission} was not granted."),
                ),
                Class::Licence => (CollectorState::Skipped, error.sentence()),
                _ => (CollectorState::Failed, error.sentence()),
            };
            CollectorEnd {
                state,
                code: error.code(),
                reason: Some(reason),
                remedy: Some(error.remedy()),
            }
        }
    }
}
