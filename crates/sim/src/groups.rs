//! Groups, their members and owners.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{
    Directory,
    call::{Answer, Call},
    changes::Class,
    collection::{Collection, find, one},
    data::{days_ago, index_of, mix, object_id, pick},
    delta::delta,
    names::DEPARTMENTS,
    router::Route,
    users::Users,
    wanted::{Wanted, object},
};

const ROLES: &[&str] = &[
    "GroupMember.Read.All",
    "Group.Read.All",
    "Directory.Read.All",
];

pub(crate) const ROUTES: &[Route] = &[
    Route::new("/v1.0/groups", ROLES, list),
    Route::new("/v1.0/groups/delta", ROLES, delta::<Groups>),
    Route::new("/v1.0/groups/{id}", ROLES, one::<Groups>),
    Route::new("/v1.0/groups/{id}/members", ROLES, members),
    Route::new("/v1.0/groups/{id}/owners", ROLES, owners),
];

const ID: u64 = 5;

/// How many objects an expanded relation has at most.
pub(crate) const EXPANDED: usize = 20;

pub(crate) struct Groups;

impl Collection for Groups {
    const NAME: &'static str = "groups";
    const CLASS: Class = Class::Group;
    const LINKS: &'static [(&'static str, bool)] = &[("members", true), ("owners", false)];

    fn end(call: &Call<'_>) -> usize {
        call.directory.groups
    }

    fn exists(call: &Call<'_>, index: usize) -> bool {
        call.changes.has_group(call.directory, index)
    }

    fn id(call: &Call<'_>, index: usize) -> Uuid {
        object_id(call.directory, ID, index)
    }

    fn index(call: &Call<'_>, id: &str) -> Option<usize> {
        index_of(call.directory, ID, id)
    }

    fn object(call: &Call<'_>, index: usize, wanted: &Wanted) -> Map<String, Value> {
        let name = call.changes.renamed_groups.get(&index).map(String::as_str);
        group(call.directory, index, name, wanted)
    }

    fn link_end(call: &Call<'_>, index: usize, relation: &str) -> usize {
        match relation {
            "owners" => first_owners(call.directory, index).count(),
            _ => {
                let added = call.changes.added_members.get(&index).map_or(0, Vec::len);
                member_count(call.directory, index) + added
            }
        }
    }

    fn link(call: &Call<'_>, index: usize, relation: &str, place: usize) -> Option<usize> {
        let d = call.directory;
        let user = if relation == "owners" {
            first_owners(d, index).nth(place)?
        } else {
            match place.checked_sub(member_count(d, index)) {
                None => first_member(d, index, place),
                Some(added) => *call.changes.added_members.get(&index)?.get(added)?,
            }
        };
        Self::is_linked(call, index, relation, user).then_some(user)
    }

    fn is_linked(call: &Call<'_>, index: usize, relation: &str, user: usize) -> bool {
        let d = call.directory;
        match relation {
            "owners" => call.changes.has_user(d, user) && first_owners(d, index).any(|o| o == user),
            _ => call.changes.is_member(d, index, user),
        }
    }
}

fn group(d: &Directory, index: usize, name: Option<&str>, wanted: &Wanted) -> Map<String, Value> {
    let n = mix(d, 4, index);
    let department = pick(DEPARTMENTS, index as u64);
    let (types, security, mail): (&[&str], bool, bool) = match index % 5 {
        0 => (&["Unified"], false, true),
        1 => (&[], true, false),
        2 => (&["DynamicMembership"], true, false),
        3 => (&[], false, true),
        _ => (&[], true, true),
    };
    let dynamic = index % 5 == 2;
    object!(wanted, {
        "id": object_id(d, ID, index),
        "displayName": match (index, name) {
            (_, Some(name)) => name.to_owned(),
            (1, None) => "All <i>staff</i> & friends".to_owned(),
            _ => format!("{department} {index}"),
        },
        "description": if n.is_multiple_of(3) { Value::Null } else { json!(format!("Everyone in {department}")) },
        "groupTypes": types,
        "securityEnabled": security,
        "mailEnabled": mail,
        "mail": if mail { json!(format!("group{index}@{}", d.domain)) } else { Value::Null },
        "visibility": if index.is_multiple_of(5) { json!("Private") } else { Value::Null },
        "membershipRule": if dynamic { json!(format!("user.department -eq \"{department}\"")) } else { Value::Null },
        "membershipRuleProcessingState": if dynamic { json!("On") } else { Value::Null },
        "isAssignableToRole": if n.is_multiple_of(10) { json!(true) } else { Value::Null },
        "onPremisesSyncEnabled": Value::Null,
        "createdDateTime": days_ago(n % 1500),
        "renewedDateTime": days_ago(n % 1500),
        "expirationDateTime": Value::Null,
        "assignedLicenses": json!([]),
    })
}

/// How many members the group at `index` began with.
pub(crate) fn member_count(d: &Directory, index: usize) -> usize {
    if d.groups == 0 {
        return 0;
    }
    let even = d.memberships / d.groups + usize::from(index < d.memberships % d.groups);
    even.min(d.users)
}

/// The user index of the `k`-th of them: consecutive users, so no one comes twice.
pub(crate) fn first_member(d: &Directory, group: usize, k: usize) -> usize {
    (first_of(d, group) + k) % d.users.max(1)
}

fn first_of(d: &Directory, group: usize) -> usize {
    group * (d.memberships / d.groups.max(1)).max(1) % d.users.max(1)
}

pub(crate) fn is_first_member(d: &Directory, group: usize, user: usize) -> bool {
    let users = d.users.max(1);
    user < d.users && (user + users - first_of(d, group)) % users < member_count(d, group)
}

/// The owners that a group began with: none to three, and one group with more than are expanded.
pub(crate) fn first_owners(d: &Directory, group: usize) -> impl Iterator<Item = usize> {
    let n = mix(d, 9, group);
    let (users, from) = (d.users.max(1), usize::try_from(n >> 8).unwrap_or(0));
    let count = if group == 2 { 24 } else { n % 4 };
    (0..usize::try_from(count).unwrap_or(0).min(d.users)).map(move |k| (from % users + k) % users)
}

/// Users as objects of a relation.
pub(crate) fn people(
    call: &Call<'_>,
    wanted: &Wanted,
    indexes: impl Iterator<Item = usize>,
) -> Vec<Value> {
    indexes.map(|i| person(call, wanted, i)).collect()
}

fn person(call: &Call<'_>, wanted: &Wanted, index: usize) -> Value {
    let mut user = Users::object(call, index, wanted);
    user.insert("@odata.type".into(), json!("#microsoft.graph.user"));
    Value::Object(user)
}

fn list(call: &Call<'_>) -> Answer {
    let wanted = Groups::wanted(call.query("$select"));
    let owners = call.expand("owners")?;
    call.page_where(
        Groups::NAME,
        Groups::end(call),
        (100, 999),
        |i| Groups::exists(call, i),
        |i| {
            let mut group = Groups::object(call, i, &wanted);
            if let Some(wanted) = &owners {
                let all = linked(call, i, "owners").take(EXPANDED);
                group.insert("owners".into(), json!(people(call, wanted, all)));
            }
            Value::Object(group)
        },
    )
}

fn linked<'c>(
    call: &'c Call<'_>,
    group: usize,
    relation: &'static str,
) -> impl Iterator<Item = usize> + 'c {
    (0..Groups::link_end(call, group, relation))
        .filter_map(move |place| Groups::link(call, group, relation, place))
}

fn members(call: &Call<'_>) -> Answer {
    related(call, "members")
}

fn owners(call: &Call<'_>) -> Answer {
    related(call, "owners")
}

fn related(call: &Call<'_>, relation: &'static str) -> Answer {
    let group = find::<Groups>(call)?;
    let wanted = Users::wanted(call.query("$select"));
    let user = |place| Groups::link(call, group, relation, place);
    call.page_where(
        "directoryObjects",
        Groups::link_end(call, group, relation),
        (100, 999),
        |place| user(place).is_some(),
        |place| user(place).map_or(Value::Null, |i| person(call, &wanted, i)),
    )
}
