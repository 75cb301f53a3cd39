//! One Graph collection, and the only loops that read one: as a whole, by what changed, and what
//! belongs to each of many objects.

use futures_util::{StreamExt, future::BoxFuture, stream};
use graph::{
    BATCH, Change, Class, Cloud, Error as GraphError, GraphClient, Meter, Part, Request, Tally,
};
use model::{
    CollectorState, Feature, RunCause, Timestamp,
    inventory::{Object, Stage},
    run::{CollectorEnd, Counts, Lease},
};
use serde::de::DeserializeOwned;

/// Directory objects' links to changes live seven days (source: Graph's delta query overview); one
/// that is nearly so old is not tried.
const LINK_MINUTES: i64 = 6 * 24 * 60 + 12 * 60;
/// However well changes work, the whole is read so often.
const RECONCILE_MINUTES: i64 = 7 * 24 * 60;
/// A list whose place-holder expired is begun again so many times.
const MAX_RESTARTS: usize = 2;
/// Batches under way at a time; the client's own gate narrows that when Microsoft throttles.
const BATCHES: usize = 4;

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

    /// Up to where a collection was read that tells no changes, unless its time has come to be read
    /// as a whole.
    pub(crate) fn watermark(&self, name: &str) -> Option<String> {
        self.link(name)
    }

    /// Where the changes of a collection go on, unless its time has come to be read as a whole.
    fn link(&self, name: &str) -> Option<String> {
        if self.lease().run.cause == RunCause::Reconcile {
            return None;
        }
        let known = self.stage.collection(name);
        let recent = |at: Option<Timestamp>, minutes: i64| {
            at.is_some_and(|at| at.plus_minutes(minutes) > self.now())
        };
        known.cursor.filter(|_| {
            recent(known.cursor_at, LINK_MINUTES) && recent(known.full_at, RECONCILE_MINUTES)
        })
    }
}

/// A page of a collection that is read as a whole, or of what changed.
pub(crate) enum Read<W> {
    Whole(Vec<W>),
    Changes(Vec<Change<W>>),
}

enum Source<'a, W> {
    Whole(graph::Pages<'a, W>),
    Changes(graph::Pages<'a, Change<W>>),
}

/// Reads a collection page by page: what changed where Graph tells it, else the whole. A reader of
/// changes may find that Microsoft forgot where they went on; it goes on with the whole then.
pub(crate) struct Reader<'a, W> {
    pass: &'a Pass<'a>,
    name: &'static str,
    with: Option<&'static str>,
    list: Request,
    changes: Option<Request>,
    source: Source<'a, W>,
    link: Option<String>,
    began: Timestamp,
    restarts: usize,
}

impl<'a, W: DeserializeOwned + Send> Reader<'a, W> {
    /// `with` is the collection of what belongs to these objects: where that was not read as
    /// recently, what changed since is not enough for it.
    pub(crate) async fn open(
        pass: &'a Pass<'a>,
        name: &'static str,
        with: Option<&'static str>,
        list: Request,
        changes: Option<Request>,
    ) -> Result<Self, Stop> {
        let since = |name: &str| pass.stage.collection(name).cursor_at;
        let is_apart = with.is_some_and(|with| since(with) < since(name));
        let source = match (&changes, pass.link(name).filter(|_| !is_apart)) {
            (Some(request), Some(link)) => pass.client.changes(request, &link).ok(),
            _ => None,
        };
        let mut reader = Self {
            source: Source::Whole(pass.client.pages(&list)),
            pass,
            name,
            with,
            list,
            changes,
            link: None,
            began: pass.now(),
            restarts: 0,
        };
        match source {
            Some(pages) => reader.source = Source::Changes(pages),
            None => reader.read_whole().await?,
        }
        Ok(reader)
    }

    /// From the first page. Where changes go on is asked before: what happens meanwhile comes
    /// twice rather than never.
    async fn read_whole(&mut self) -> Result<(), Stop> {
        self.began = self.pass.now();
        self.link = match &self.changes {
            None => None,
            Some(request) => {
                let latest = request.clone().query("$deltatoken", "latest");
                let mut pages = self.pass.client.pages::<Change<W>>(&latest);
                loop {
                    match pages.next(&self.pass.meter).await {
                        Ok(Some(_)) => {}
                        Ok(None) => break pages.delta_link().map(str::to_owned),
                        // A directory of customers has no changes to tell: the whole is read always.
                        Err(error @ GraphError::Api { .. }) if error.class() == Class::Defect => {
                            break None;
                        }
                        Err(error) => return Err(error.into()),
                    }
                }
            }
        };
        self.source = Source::Whole(self.pass.client.pages(&self.list));
        Ok(())
    }

    /// Whether the whole is read.
    pub(crate) fn is_whole(&self) -> bool {
        matches!(self.source, Source::Whole(_))
    }

    /// The next page.
    pub(crate) async fn next(&mut self) -> Result<Option<Read<W>>, Stop> {
        loop {
            let error = match &mut self.source {
                Source::Whole(pages) => match pages.next(&self.pass.meter).await {
                    Ok(page) => return Ok(page.map(|page| Read::Whole(page.items))),
                    Err(error) => error,
                },
                Source::Changes(pages) => match pages.next(&self.pass.meter).await {
                    Ok(Some(page)) => return Ok(Some(Read::Changes(page.items))),
                    Ok(None) => {
                        self.link = pages.delta_link().map(str::to_owned);
                        return Ok(None);
                    }
                    Err(error) => error,
                },
            };
            let again = match self.is_whole() {
                true => error.wants_first_page(),
                false => error.wants_full_read() || error.wants_first_page(),
            };
            if !again || self.restarts >= MAX_RESTARTS {
                return Err(error.into());
            }
            self.restarts += 1;
            self.pass.stage.event(
                "info",
                format!(
                    "{}: Microsoft wants the list to be read anew",
                    self.name.replace('_', " ")
                ),
            );
            // What belongs to the objects came with their changes, and is read anew as well.
            for name in [Some(self.name), self.with].into_iter().flatten() {
                self.pass.stage.abandon(name).await?;
                self.pass.found.take(name);
            }
            self.read_whole().await?;
        }
    }

    /// After the last page: notes where the collection was read to.
    pub(crate) fn end(self) {
        let whole = self.is_whole();
        self.pass
            .stage
            .read_to(self.name, self.link, self.began, whole);
    }
}

/// Of a page of changes, what is there and what is gone, each as it was told last.
pub(crate) fn sort_changes<W>(
    changes: Vec<Change<W>>,
    id: impl Fn(&W) -> &str,
) -> (Vec<W>, Vec<String>) {
    let mut removed = std::collections::HashSet::new();
    let mut present: Vec<W> = Vec::with_capacity(changes.len());
    for change in changes {
        match change {
            Change::Removed { id: gone, .. } => {
                present.retain(|wire| id(wire) != gone);
                removed.insert(gone);
            }
            Change::Present(wire) => {
                removed.remove(id(&wire));
                present.push(wire);
            }
        }
    }
    (present, removed.into_iter().collect())
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

/// Objects, and the first pages of what belongs to each.
type Batch<'a, W> = BoxFuture<'a, Result<(Vec<String>, Vec<Part<'a, W>>), Stop>>;

/// Reads what belongs to each of many objects, twenty at a time; each is written when it was read to
/// its end. Answers those that could not be read, and why the first of them could not.
pub(crate) async fn fan_out<W, O>(
    pass: &Pass<'_>,
    name: &'static str,
    parents: Vec<String>,
    request: impl Fn(&str) -> Request + Copy + Send,
    row: impl Fn(&str, W) -> Option<O> + Copy + Send,
) -> Result<(Vec<String>, Option<GraphError>), Stop>
where
    W: DeserializeOwned + Send,
    O: Object,
{
    let mut batches: Vec<Batch<'_, W>> = vec![];
    for parents in parents.chunks(BATCH) {
        let parents = parents.to_vec();
        batches.push(Box::pin(async move {
            let requests: Vec<Request> = parents.iter().map(|parent| request(parent)).collect();
            let parts = pass.client.batch::<W>(&requests, &pass.meter).await?;
            Ok((parents, parts))
        }));
    }
    let mut answers = stream::iter(batches).buffer_unordered(BATCHES);
    let (mut unread, mut first) = (Vec::new(), None);
    while let Some(answer) = answers.next().await {
        let (parents, parts) = answer?;
        let mut rows = Vec::new();
        let mut pages = 0;
        for (parent, part) in parents.into_iter().zip(parts) {
            match one::<W, O>(pass, name, &parent, part, row, &mut rows).await {
                Ok(read) => pages += read,
                Err(Stop::Graph(error)) => {
                    // What vanished between the two lists is no failure: the next run knows more.
                    if error.class() != Class::NotFound {
                        first.get_or_insert(error);
                    }
                    unread.push(parent);
                }
                Err(stop) => return Err(stop),
            }
        }
        pass.stage.page(name, rows, pass.page_counts(pages)).await?;
    }
    Ok((unread, first))
}

/// What belongs to one object: a short list goes with others, a long one is written page by page.
async fn one<W, O>(
    pass: &Pass<'_>,
    name: &'static str,
    parent: &str,
    part: Part<'_, W>,
    row: impl Fn(&str, W) -> Option<O>,
    rows: &mut Vec<O>,
) -> Result<i64, Stop>
where
    W: DeserializeOwned + Send,
    O: Object,
{
    let (page, rest) = part?;
    let mut items: Vec<O> = page
        .items
        .into_iter()
        .filter_map(|w| row(parent, w))
        .collect();
    let Some(mut pages) = rest else {
        rows.append(&mut items);
        return Ok(1);
    };
    let mut read = 1;
    loop {
        pass.stage.page(name, items, pass.page_counts(0)).await?;
        match pages.next(&pass.meter).await? {
            None => return Ok(read),
            Some(page) => {
                read += 1;
                items = page
                    .items
                    .into_iter()
                    .filter_map(|w| row(parent, w))
                    .collect();
            }
        }
    }
}

/// Ends a fan-out over all objects: what was not seen of those that were read ends.
pub(crate) async fn end_fan_out<O: Object>(
    pass: &Pass<'_>,
    name: &'static str,
    (unread, first): (Vec<String>, Option<GraphError>),
) -> Result<(), Stop> {
    let missing = unread.len();
    pass.stage.complete::<O>(name, unread).await?;
    pass.stage.guard::<O>(name).await?;
    pass.stage.read_to(name, None, pass.now(), true);
    match first {
        None => Ok(()),
        Some(error) => Err(Stop::Partly(missing, error)),
    }
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
