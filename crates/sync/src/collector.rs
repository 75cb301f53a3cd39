//! One Graph collection, and the only loop that reads one.

use graph::{Class, Error as GraphError, GraphClient, Meter, Request, Tally};
use model::{
    CollectorState,
    inventory::{self, Object},
    run::{CollectorEnd, Counts, Lease},
};
use serde::de::DeserializeOwned;

/// One Graph collection: where to read it, what that needs, and what we keep.
pub trait Collector {
    /// Name in runs and in the API: the plural noun.
    const NAME: &'static str;
    /// Application permission that it needs.
    const PERMISSION: &'static str;
    /// Graph's type.
    type Wire: DeserializeOwned + Send;
    /// Our row.
    type Row: Object;
    /// The collection, with `$select` of what we keep.
    fn request() -> Request;
    /// Turns what came into what we keep.
    fn normalise(wire: Self::Wire) -> Self::Row;
}

/// What a collector works with.
pub(crate) struct Pass<'a> {
    pub(crate) lease: &'a Lease,
    pub(crate) client: &'a GraphClient,
    pub(crate) cloud: &'a graph::Cloud,
    pub(crate) meter: Meter,
}

/// Why a collector stopped before its end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Microsoft did not answer as needed.
    Graph(GraphError),
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
    /// What the requests since the last call cost, as counts of one page.
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

/// Reads a collection to its end: one short transaction per page; only after the last page is what
/// was not seen marked removed.
pub(crate) async fn collect<C: Collector>(pass: &Pass<'_>) -> Result<(), Stop> {
    let mut pages = pass.client.pages::<C::Wire>(&C::request())?;
    while let Some(page) = pages.next(&pass.meter).await? {
        let rows: Vec<C::Row> = page.items.into_iter().map(C::normalise).collect();
        inventory::upsert_page(pass.lease, C::NAME, None, &rows, pass.page_counts(1)).await?;
    }
    inventory::mark_removed::<C::Row>(pass.lease, C::NAME, &[None]).await?;
    Ok(())
}

/// How a stopped collector is recorded. What was read before it stopped stands; nothing is
/// concluded from what was not read.
pub(crate) fn ending(stop: &Stop, permission: &str, pages_read: bool) -> CollectorEnd {
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
        Stop::Graph(error) => {
            let (state, reason) = match error.class() {
                Class::Permission => (
                    CollectorState::Skipped,
                    format!("The permission {permission} was not granted."),
                ),
                Class::Licence => (CollectorState::Skipped, error.sentence()),
                _ if pages_read => (CollectorState::Partial, error.sentence()),
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
