//! The loop that reads what belongs to each of many objects.

use futures_util::{StreamExt, future::BoxFuture, stream};
use graph::{BATCH, Class, Error as GraphError, Part, Request};
use model::inventory::Object;
use serde::de::DeserializeOwned;

use super::{Pass, Stop};

/// Batches under way at a time; the client's own gate narrows that when Microsoft throttles.
const BATCHES: usize = 4;

/// Objects that could not be read, and why the first of them could not.
type Unread = (Vec<String>, Option<GraphError>);

/// Reads what belongs to each of many objects, twenty at a time; each is written when it was read to
/// its end. Answers those that could not be read, and why the first of them could not.
pub(crate) async fn fan_out<W, O>(
    pass: &Pass<'_>,
    name: &'static str,
    parents: Vec<String>,
    request: impl Fn(&str) -> Request + Copy + Send,
    row: impl Fn(&str, W) -> Option<O> + Copy + Send,
) -> Result<Unread, Stop>
where
    W: DeserializeOwned + Send,
    O: Object,
{
    let mut batches: Vec<BoxFuture<'_, Result<Unread, Stop>>> = vec![];
    for parents in parents.chunks(BATCH) {
        let parents = parents.to_vec();
        batches.push(Box::pin(batch::<W, O>(pass, name, parents, request, row)));
    }
    let mut ended = stream::iter(batches).buffer_unordered(BATCHES);
    let (mut unread, mut first) = (Vec::new(), None);
    // Nothing is waited for in here: a batch that is not polled may hold the connection that writes,
    // in the middle of taking a place under a limit, and whoever wrote its rows would wait for that.
    while let Some(batch) = ended.next().await {
        let (parents, error) = batch?;
        unread.extend(parents);
        first = first.or(error);
    }
    Ok((unread, first))
}

/// Twenty objects at most: asks for what belongs to each, and writes it.
async fn batch<W, O>(
    pass: &Pass<'_>,
    name: &'static str,
    parents: Vec<String>,
    request: impl Fn(&str) -> Request + Send,
    row: impl Fn(&str, W) -> Option<O> + Copy + Send,
) -> Result<Unread, Stop>
where
    W: DeserializeOwned + Send,
    O: Object,
{
    let requests: Vec<Request> = parents.iter().map(|parent| request(parent)).collect();
    let parts = pass.client.batch::<W>(&requests, &pass.meter).await?;
    let (mut unread, mut first) = (Vec::new(), None);
    let (mut rows, mut pages) = (Vec::new(), 0);
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
    (unread, first): Unread,
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
