//! Members of the groups that this run read: eight groups at a time, written in batches, each group
//! concluded from only when it was read to its end.

use futures_util::{StreamExt, stream};
use graph::{Class, Request, types};
use model::inventory::{self, MemberRow};

use crate::collector::{Pass, Stop};

pub(crate) const NAME: &str = "group_members";

/// Groups read at the same time.
const CONCURRENCY: usize = 8;
/// Rows gathered before a transaction.
const BATCH: usize = 2000;

struct Read {
    group: String,
    rows: Vec<MemberRow>,
    pages: i64,
}

pub(crate) async fn collect(pass: &Pass<'_>) -> Result<(), Stop> {
    let groups = inventory::group_ids(pass.lease).await?;
    let mut reads = stream::iter(groups.into_iter().map(|group| read(pass, group)))
        .buffer_unordered(CONCURRENCY);
    let mut batch: Vec<Read> = Vec::new();
    let mut gathered = 0;
    while let Some(read) = reads.next().await {
        // A group that vanished between the two lists is not an error: the next run removes it.
        let Some(read) = read? else { continue };
        gathered += read.rows.len() + 1;
        batch.push(read);
        if gathered >= BATCH {
            write(pass, &batch).await?;
            batch.clear();
            gathered = 0;
        }
    }
    write(pass, &batch).await?;
    inventory::mark_members_of_removed_groups(pass.lease, NAME).await?;
    Ok(())
}

async fn read(pass: &Pass<'_>, group: String) -> Result<Option<Read>, Stop> {
    let request = Request::get(format!("/groups/{group}/members"))
        .select(types::DirectoryObject::SELECT)
        .top(999);
    let mut pages = pass.client.pages::<types::DirectoryObject>(&request)?;
    let mut read = Read {
        group,
        rows: Vec::new(),
        pages: 0,
    };
    loop {
        match pages.next(&pass.meter).await {
            Ok(Some(page)) => {
                read.pages += 1;
                read.rows.extend(page.items.into_iter().map(normalise));
            }
            Ok(None) => return Ok(Some(read)),
            Err(error) if error.class() == Class::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
}

fn normalise(wire: types::DirectoryObject) -> MemberRow {
    let kind = wire.odata_type.as_deref().unwrap_or_default();
    MemberRow {
        id: wire.id,
        member_type: kind.trim_start_matches("#microsoft.graph.").to_owned(),
        display_name: wire.display_name,
    }
}

async fn write(pass: &Pass<'_>, batch: &[Read]) -> Result<(), Stop> {
    if batch.is_empty() {
        return Ok(());
    }
    let counts = pass.page_counts(batch.iter().map(|r| r.pages).sum());
    let pages: Vec<(Option<&str>, &[MemberRow])> = batch
        .iter()
        .map(|r| (Some(r.group.as_str()), r.rows.as_slice()))
        .collect();
    inventory::upsert_pages(pass.lease, NAME, &pages, counts).await?;
    let parents: Vec<Option<&str>> = batch.iter().map(|r| Some(r.group.as_str())).collect();
    inventory::mark_removed::<MemberRow>(pass.lease, NAME, &parents).await?;
    Ok(())
}
