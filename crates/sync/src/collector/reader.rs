//! The loop that reads a collection: as a whole, or by what changed.

use graph::{Change, Class, Error as GraphError, Request};
use model::{RunCause, Timestamp};
use serde::de::DeserializeOwned;

use super::{Pass, Stop};

/// Directory objects' links to changes live seven days (source: Graph's delta query overview); one
/// that is nearly so old is not tried.
const LINK_MINUTES: i64 = 6 * 24 * 60 + 12 * 60;
/// However well changes work, the whole is read so often.
const RECONCILE_MINUTES: i64 = 7 * 24 * 60;
/// A list whose place-holder expired is begun again so many times.
const MAX_RESTARTS: usize = 2;

impl Pass<'_> {
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

    /// Up to where a collection was read that tells no changes, unless its time has come to be read
    /// as a whole.
    pub(crate) fn watermark(&self, name: &str) -> Option<String> {
        self.link(name)
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
