//! Members of the groups that this run read as a whole; where Graph told what changed, its members
//! came with that.

use futures_util::future::BoxFuture;
use graph::{Request, types};
use model::inventory::MemberRow;

use super::groups;
use crate::collector::{Entry, Pass, Stop, end_fan_out, fan_out};

pub(crate) const NAME: &str = "group_members";

pub(crate) const ENTRY: Entry = Entry {
    name: NAME,
    run,
    ..groups::ENTRY.after(groups::NAME)
};

fn run<'a>(pass: &'a Pass<'a>) -> BoxFuture<'a, Result<(), Stop>> {
    Box::pin(async move {
        let Some(groups) = pass.found.take(NAME) else {
            pass.stage.read_to(NAME, None, pass.now(), false);
            return Ok(());
        };
        pass.stage
            .expect(NAME, pass.stage.present::<MemberRow>().await?);
        let request = |group: &str| {
            Request::related("groups", group, "members")
                .select(types::DirectoryObject::SELECT)
                .top(999)
        };
        let read = fan_out(pass, NAME, groups, request, |g, m| Some(member(g, m))).await?;
        end_fan_out::<MemberRow>(pass, NAME, read).await
    })
}

pub(super) fn member(group: &str, wire: types::DirectoryObject) -> MemberRow {
    MemberRow {
        group_id: group.to_owned(),
        member_type: wire.kind().to_owned(),
        id: wire.id,
        display_name: wire.display_name,
    }
}
