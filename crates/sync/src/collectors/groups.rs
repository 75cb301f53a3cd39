//! Groups with their owners. Where Graph tells what changed, it tells of members as well; else the
//! members of each group are read by [`super::group_members`].

use futures_util::future::BoxFuture;
use graph::{Change, Request, types};
use model::inventory::{GroupOwnerRow, GroupRow, MemberRow};

use super::group_members;
use crate::collector::{Entry, Pass, Read, Reader, Stop, fan_out, sort_changes};

pub(crate) const NAME: &str = "groups";

pub(crate) const ENTRY: Entry = Entry::new(NAME, "GroupMember.Read.All", run);

/// `$expand` gives at most so many (source: Graph's query parameters); a list as long may be longer.
pub(super) const EXPANDED: usize = 20;

fn run<'a>(pass: &'a Pass<'a>) -> BoxFuture<'a, Result<(), Stop>> {
    Box::pin(collect(pass))
}

async fn collect(pass: &Pass<'_>) -> Result<(), Stop> {
    let stage = pass.stage;
    let list = Request::get("/groups")
        .select(types::Group::SELECT)
        .expand("owners($select=id,displayName)")
        .top(999);
    let with_relations: Vec<&str> = types::Group::SELECT
        .iter()
        .copied()
        .chain(["members", "owners"])
        .collect();
    let changes = Request::get("/groups/delta").select(&with_relations);
    let mut reader =
        Reader::<types::Group>::open(pass, NAME, Some(group_members::NAME), list, Some(changes))
            .await?;
    if reader.is_whole() {
        stage.expect(NAME, stage.present::<GroupRow>().await?);
    }
    let mut many_owners = Vec::new();
    while let Some(read) = reader.next().await? {
        match read {
            Read::Whole(groups) => whole(pass, groups, &mut many_owners).await?,
            Read::Changes(changes) => changed(pass, changes).await?,
        }
    }
    if reader.is_whole() {
        let (unread, error) = fan_out(
            pass,
            NAME,
            many_owners,
            |group| {
                Request::related("groups", group, "owners").select(types::DirectoryObject::SELECT)
            },
            |group, wire| Some(owner(group, wire)),
        )
        .await?;
        if let Some(error) = error {
            return Err(error.into());
        }
        stage.complete::<GroupRow>(NAME, vec![]).await?;
        stage.complete::<GroupOwnerRow>(NAME, unread).await?;
    } else {
        stage.guard::<MemberRow>(group_members::NAME).await?;
    }
    stage.guard::<GroupRow>(NAME).await?;
    reader.end();
    Ok(())
}

async fn whole(
    pass: &Pass<'_>,
    groups: Vec<types::Group>,
    many_owners: &mut Vec<String>,
) -> Result<(), Stop> {
    pass.found
        .add(group_members::NAME, groups.iter().map(|g| g.id.clone()));
    let mut owners = Vec::new();
    let mut rows = Vec::with_capacity(groups.len());
    for mut group in groups {
        let expanded = std::mem::take(&mut group.owners);
        if expanded.len() >= EXPANDED {
            many_owners.push(group.id.clone());
        } else {
            owners.extend(expanded.into_iter().map(|o| owner(&group.id, o)));
        }
        rows.push(normalise(group));
    }
    pass.stage.page(NAME, rows, pass.page_counts(1)).await?;
    pass.stage.page(NAME, owners, pass.page_counts(0)).await?;
    Ok(())
}

async fn changed(pass: &Pass<'_>, changes: Vec<Change<types::Group>>) -> Result<(), Stop> {
    let stage = pass.stage;
    let (groups, gone) = sort_changes(changes, |group: &types::Group| &group.id);
    let (mut rows, mut members, mut owners) = (Vec::new(), Vec::new(), Vec::new());
    let mut left: Vec<(String, Vec<String>, Vec<String>)> = Vec::new();
    for mut group in groups {
        let (came, went) = sort_changes(
            std::mem::take(&mut group.members_delta),
            |m: &types::DirectoryObject| &m.id,
        );
        members.push((group.id.clone(), came));
        let (new_owners, old_owners) = sort_changes(
            std::mem::take(&mut group.owners_delta),
            |o: &types::DirectoryObject| &o.id,
        );
        owners.extend(new_owners.into_iter().map(|o| owner(&group.id, o)));
        left.push((group.id.clone(), went, old_owners));
        rows.push(normalise(group));
    }
    stage.page(NAME, rows, pass.page_counts(1)).await?;
    // One group at a time: a page of several would be taken for all of their members.
    for (group, came) in members {
        let rows = came
            .into_iter()
            .map(|m| group_members::member(&group, m))
            .collect();
        stage
            .page::<MemberRow>(group_members::NAME, rows, pass.page_counts(0))
            .await?;
    }
    for owner in owners {
        stage.page(NAME, vec![owner], pass.page_counts(0)).await?;
    }
    for (group, members, owners) in left {
        stage
            .remove::<MemberRow>(group_members::NAME, Some(group.clone()), members)
            .await?;
        stage
            .remove::<GroupOwnerRow>(NAME, Some(group), owners)
            .await?;
    }
    stage
        .remove_of::<MemberRow>(group_members::NAME, gone.clone())
        .await?;
    stage.remove_of::<GroupOwnerRow>(NAME, gone.clone()).await?;
    stage.remove::<GroupRow>(NAME, None, gone).await?;
    Ok(())
}

fn owner(group: &str, wire: types::DirectoryObject) -> GroupOwnerRow {
    GroupOwnerRow {
        group_id: group.to_owned(),
        owner_type: wire.kind().to_owned(),
        id: wire.id,
        display_name: wire.display_name,
    }
}

fn normalise(wire: types::Group) -> GroupRow {
    GroupRow {
        kind: kind(&wire).into(),
        id: wire.id,
        display_name: wire.display_name,
        description: wire.description,
        membership_rule: wire.membership_rule,
        mail: wire.mail,
        visibility: wire.visibility,
        security_enabled: wire.security_enabled,
        mail_enabled: wire.mail_enabled,
        is_assignable_to_role: wire.is_assignable_to_role,
        on_premises_sync_enabled: wire.on_premises_sync_enabled,
        group_created_at: wire.created_date_time.map(Into::into),
    }
}

/// Microsoft has no type property: it follows from three others (source: Graph, group resource).
fn kind(group: &types::Group) -> &'static str {
    let has = |name: &str| {
        group
            .group_types
            .iter()
            .any(|t| t.eq_ignore_ascii_case(name))
    };
    match (has("Unified"), group.security_enabled, group.mail_enabled) {
        (true, _, _) => "microsoft365",
        (_, Some(true), Some(true)) => "mail_enabled_security",
        (_, Some(true), _) => "security",
        (_, _, Some(true)) => "distribution",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_follows_from_three_properties() {
        let of = |json: &str| kind(&serde_json::from_str::<types::Group>(json).unwrap());
        assert_eq!(
            of(r#"{"id":"a","groupTypes":["Unified"],"mailEnabled":true}"#),
            "microsoft365"
        );
        assert_eq!(
            of(
                r#"{"id":"a","groupTypes":["DynamicMembership"],"securityEnabled":true,"mailEnabled":false}"#
            ),
            "security"
        );
        assert_eq!(
            of(r#"{"id":"a","securityEnabled":true,"mailEnabled":true}"#),
            "mail_enabled_security"
        );
        assert_eq!(
            of(r#"{"id":"a","securityEnabled":false,"mailEnabled":true}"#),
            "distribution"
        );
        assert_eq!(of(r#"{"id":"a","groupTypes":null}"#), "unknown");
    }
}
