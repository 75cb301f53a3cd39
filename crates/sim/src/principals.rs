//! Service principals: Microsoft's own, the product's where it is consented, a directory's own
//! applications, others from the gallery, and managed identities.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{
    Directory, World,
    applications::{self, READ},
    call::{Answer, Call},
    changes::Class,
    collection::{Collection, find, one},
    data::{days_ago, index_of, mix, object_id, pick, stamp_of},
    delta::delta,
    filter::Filter,
    names::GALLERY,
    permissions::{GRAPH, NAMES, ROLE_IDS, role_id},
    refusal::not_found,
    router::Route,
    wanted::{Wanted, object},
    world,
};

pub(crate) const ROUTES: &[Route] = &[
    Route::new("/v1.0/servicePrincipals", READ, list),
    Route::new("/v1.0/servicePrincipals(appId='{id}')", READ, by_app_id),
    Route::new("/v1.0/servicePrincipals/delta", READ, delta::<Principals>),
    Route::new("/v1.0/servicePrincipals/{id}", READ, one::<Principals>),
    Route::new(
        "/v1.0/servicePrincipals/{id}/appRoleAssignments",
        READ,
        assignments,
    ),
    Route::new(
        "/v1.0/servicePrincipals/{id}/appRoleAssignedTo",
        READ,
        assigned_to,
    ),
];

/// Microsoft's directory, which owns its applications.
const MICROSOFT: &str = "f8cdef31-a31e-4b4a-93e4-5f571e91255a";

const FIRST_PARTY: &[(&str, &str)] = &[
    (GRAPH, "Microsoft Graph"),
    (
        "00000002-0000-0ff1-ce00-000000000000",
        "Office 365 Exchange Online",
    ),
    (
        "00000003-0000-0ff1-ce00-000000000000",
        "Office 365 SharePoint Online",
    ),
    (
        "00000002-0000-0000-c000-000000000000",
        "Windows Azure Active Directory",
    ),
    (
        "797f4846-ba00-4fd7-ba43-dac1f8f63013",
        "Windows Azure Service Management API",
    ),
    (
        "cc15fd57-2c6c-4117-a88c-83b1d56b4bbe",
        "Microsoft Teams Services",
    ),
];

/// Purposes of ids: applications of the directory, of the gallery, managed identities.
const OWN: u64 = 16;
const SHARED: u64 = 17;
const MANAGED: u64 = 18;

/// What stands at an index.
#[derive(Debug, Clone, Copy)]
enum Place {
    First(usize),
    World(usize),
    Own(usize),
    Shared(usize),
    Managed(usize),
    Nothing,
}

fn shared(d: &Directory) -> usize {
    (d.users / 30).clamp(3, 100)
}

fn managed(d: &Directory) -> usize {
    (d.users / 50).clamp(1, 50)
}

/// Numbers of each, in the order of [`Place`].
fn counts(world: &World, d: &Directory) -> [usize; 5] {
    [
        FIRST_PARTY.len(),
        world.applications.len(),
        applications::count(d),
        shared(d),
        managed(d),
    ]
}

fn place(world: &World, d: &Directory, index: usize) -> Place {
    let [first, applications, own, shared, managed] = counts(world, d);
    let mut rest = index;
    for (count, place) in [
        (first, Place::First as fn(usize) -> Place),
        (applications, Place::World),
        (own, Place::Own),
        (shared, Place::Shared),
        (managed, Place::Managed),
    ] {
        if rest < count {
            return place(rest);
        }
        rest -= count;
    }
    Place::Nothing
}

/// The index of the service principal of an application of the world, in any directory.
pub(crate) fn index_of_world(world: &World, client_id: Uuid) -> Option<usize> {
    let all = &world.applications;
    let found = all.iter().position(|a| a.client_id == client_id)?;
    Some(FIRST_PARTY.len() + found)
}

fn principal_id(directory: &Directory, app_id: &str) -> Uuid {
    world::id(app_id.as_bytes(), directory.id.as_u64_pair().1)
}

/// The service principal of Microsoft Graph.
fn graph_id(directory: &Directory) -> Uuid {
    principal_id(directory, GRAPH)
}

/// The managed identity at `index`, as a principal of roles.
pub(crate) fn managed_id(directory: &Directory, index: usize) -> Uuid {
    object_id(directory, MANAGED, index)
}

pub(crate) struct Principals;

impl Collection for Principals {
    const NAME: &'static str = "servicePrincipals";
    const CLASS: Class = Class::Principal;

    fn end(call: &Call<'_>) -> usize {
        counts(&call.state.world, call.directory).iter().sum()
    }

    fn exists(call: &Call<'_>, index: usize) -> bool {
        match place(&call.state.world, call.directory, index) {
            Place::World(i) => {
                let client_id = call.state.world.applications[i].client_id;
                call.state.granted(call.directory.id, client_id).is_some()
            }
            Place::Nothing => false,
            _ => true,
        }
    }

    fn id(call: &Call<'_>, index: usize) -> Uuid {
        let d = call.directory;
        match place(&call.state.world, d, index) {
            Place::First(i) => principal_id(d, FIRST_PARTY[i].0),
            Place::World(i) => {
                principal_id(d, &call.state.world.applications[i].client_id.to_string())
            }
            Place::Own(i) => object_id(d, OWN, i),
            Place::Shared(i) => object_id(d, SHARED, i),
            Place::Managed(i) => object_id(d, MANAGED, i),
            Place::Nothing => Uuid::nil(),
        }
    }

    fn index(call: &Call<'_>, id: &str) -> Option<usize> {
        let d = call.directory;
        let [first, applications, own, shared, _] = counts(&call.state.world, d);
        let computed = first + applications;
        let found = [(OWN, 0), (SHARED, own), (MANAGED, own + shared)]
            .into_iter()
            .find_map(|(purpose, before)| Some(index_of(d, purpose, id)? + computed + before));
        found.or_else(|| {
            let id = Uuid::parse_str(id).ok()?;
            (0..computed).find(|i| Self::id(call, *i) == id)
        })
    }

    fn object(call: &Call<'_>, index: usize, wanted: &Wanted) -> Map<String, Value> {
        principal(call, index, wanted)
    }
}

/// Its application id, name and the directory that owns the application.
fn identity(call: &Call<'_>, index: usize) -> (String, String, Option<String>) {
    let d = call.directory;
    match place(&call.state.world, d, index) {
        Place::First(i) => {
            let (app_id, name) = FIRST_PARTY[i];
            (
                app_id.to_owned(),
                name.to_owned(),
                Some(MICROSOFT.to_owned()),
            )
        }
        Place::World(i) => {
            let application = &call.state.world.applications[i];
            (
                application.client_id.to_string(),
                application.name.clone(),
                Some(application.home.to_string()),
            )
        }
        Place::Own(i) => (
            applications::app_id(d, i).to_string(),
            applications::name(d, i),
            Some(d.id.to_string()),
        ),
        Place::Shared(i) => {
            let name = pick(GALLERY, i as u64);
            let more = i / GALLERY.len();
            (
                shared_app_id(i).to_string(),
                if more == 0 {
                    name.to_owned()
                } else {
                    format!("{name} {}", more + 1)
                },
                Some(world::id(b"publisher", (i % GALLERY.len()) as u64).to_string()),
            )
        }
        Place::Managed(i) => (
            object_id(d, MANAGED + 20, i).to_string(),
            format!("mi-{}-{i}", pick(&["backup", "web", "jobs"], i as u64)),
            None,
        ),
        Place::Nothing => Default::default(),
    }
}

/// An application of the gallery is the same in all directories.
fn shared_app_id(index: usize) -> Uuid {
    world::id(b"gallery", index as u64)
}

fn principal(call: &Call<'_>, index: usize, wanted: &Wanted) -> Map<String, Value> {
    let d = call.directory;
    let place = place(&call.state.world, d, index);
    let (app_id, name, owner) = identity(call, index);
    let n = mix(d, 19, index);
    let (kind, tags, alternative): (_, &[&str], _) = match place {
        Place::Managed(i) => ("ManagedIdentity", &[], identity_names(d, i, &name)),
        Place::Own(_) | Place::Shared(_) | Place::World(_) => (
            "Application",
            &["WindowsAzureActiveDirectoryIntegratedApp"],
            vec![],
        ),
        _ => ("Application", &[], vec![]),
    };
    // A certificate for signing on belongs to the service principal.
    let signs_on = matches!(place, Place::Shared(i) if i % 3 == 0);
    let keys = if signs_on {
        let end =
            call.state.born / 86_400 * 86_400 + 86_400 * (i64::try_from(n % 900).unwrap_or(0) - 60);
        json!([{ "customKeyIdentifier": format!("{n:016X}"), "displayName": format!("CN={name}"),
            "endDateTime": stamp_of(end), "key": null, "keyId": object_id(d, 39, index),
            "startDateTime": stamp_of(end - 1095 * 86_400), "type": "AsymmetricX509Cert",
            "usage": "Sign" }])
    } else {
        json!([])
    };
    object!(wanted, {
        "id": Principals::id(call, index),
        "appId": app_id,
        "displayName": name,
        "appDisplayName": name,
        "servicePrincipalType": kind,
        "accountEnabled": !matches!(place, Place::Shared(_)) || !n.is_multiple_of(9),
        "appOwnerOrganizationId": owner,
        "appRoleAssignmentRequired": matches!(place, Place::Shared(_)) && n.is_multiple_of(4),
        "createdByAppId": Value::Null,
        "signInAudience": if kind == "ManagedIdentity" { Value::Null } else { json!("AzureADMultipleOrgs") },
        "tags": tags,
        "verifiedPublisher": json!({ "displayName": null, "verifiedPublisherId": null,
            "addedDateTime": null }),
        "passwordCredentials": json!([]),
        "keyCredentials": keys,
        "alternativeNames": alternative,
        "preferredSingleSignOnMode": if signs_on { json!("saml") } else { Value::Null },
        "disabledByMicrosoftStatus": Value::Null,
        "servicePrincipalNames": [app_id.as_str()],
        "appRoles": if app_id == GRAPH { app_roles() } else { vec![] },
    })
}

fn identity_names(d: &Directory, index: usize, name: &str) -> Vec<String> {
    let subscription = object_id(d, 40, 0);
    let group = format!("/subscriptions/{subscription}/resourcegroups/production/providers");
    // Some belong to a machine, others stand for themselves.
    if index.is_multiple_of(2) {
        let path = format!("{group}/Microsoft.ManagedIdentity/userAssignedIdentities/{name}");
        vec!["isExplicit=True".to_owned(), path]
    } else {
        let path = format!("{group}/Microsoft.Compute/virtualMachines/{name}");
        vec!["isExplicit=False".to_owned(), path]
    }
}

fn app_roles() -> Vec<Value> {
    ROLE_IDS
        .iter()
        .map(|(name, id)| {
            json!({ "id": id, "value": name, "displayName": name, "isEnabled": true,
                "allowedMemberTypes": ["Application"], "description": name, "origin": "Application" })
        })
        .collect()
}

fn list(call: &Call<'_>) -> Answer {
    let filter = Filter::of(call, &["servicePrincipalType", "appId", "displayName"])?;
    let wanted = Principals::wanted(call.query("$select"));
    let filtered = call.query("$filter").is_some();
    let everything = Wanted::of(None, None);
    call.page_where(
        Principals::NAME,
        Principals::end(call),
        (100, 999),
        |i| {
            Principals::exists(call, i)
                && (!filtered || filter.holds(&Value::Object(principal(call, i, &everything))))
        },
        |i| Value::Object(principal(call, i, &wanted)),
    )
}

fn by_app_id(call: &Call<'_>) -> Answer {
    let id = call.id.to_lowercase();
    let index = (0..Principals::end(call))
        .find(|i| identity(call, *i).0 == id && Principals::exists(call, *i))
        .ok_or_else(|| not_found(&call.id))?;
    let wanted = Principals::wanted(call.query("$select"));
    Ok(call.send(&Value::Object(principal(call, index, &wanted))))
}

/// The permissions that a service principal was granted, by their names.
fn granted(call: &Call<'_>, index: usize) -> Vec<String> {
    let d = call.directory;
    let n = mix(d, 41, index);
    let some = |count: u64| {
        let names = (0..count).map(|k| pick(NAMES, n + k).to_owned());
        names.collect::<Vec<_>>()
    };
    match place(&call.state.world, d, index) {
        Place::World(i) => {
            let client_id = call.state.world.applications[i].client_id;
            call.state.granted(d.id, client_id).unwrap_or_default()
        }
        // Not every application that asks was consented to.
        Place::Own(i) if i % 3 != 2 => {
            let roles = applications::roles(d, i);
            roles.into_iter().map(str::to_owned).collect()
        }
        Place::Shared(_) => some(n % 3),
        Place::Managed(_) => some(1),
        _ => vec![],
    }
}

/// One application role that the service principal at `index` was given, all of Microsoft Graph.
fn assignment(call: &Call<'_>, index: usize, role: &str) -> Value {
    let id = Principals::id(call, index);
    json!({
        "id": world::id(format!("{id}{role}").as_bytes(), 4), "appRoleId": role_id(role),
        "createdDateTime": days_ago(30), "deletedDateTime": null,
        "principalDisplayName": identity(call, index).1, "principalId": id,
        "principalType": "ServicePrincipal", "resourceDisplayName": "Microsoft Graph",
        "resourceId": graph_id(call.directory),
    })
}

fn assignments(call: &Call<'_>) -> Answer {
    let index = find::<Principals>(call)?;
    let roles = granted(call, index);
    call.page("appRoleAssignments", roles.len(), 100, 999, |i| {
        assignment(call, index, &roles[i])
    })
}

/// Who was given roles of the resource.
fn assigned_to(call: &Call<'_>) -> Answer {
    let index = find::<Principals>(call)?;
    let all: Vec<(usize, String)> = match Principals::id(call, index) == graph_id(call.directory) {
        false => vec![],
        true => (0..Principals::end(call))
            .filter(|i| Principals::exists(call, *i))
            .flat_map(|i| granted(call, i).into_iter().map(move |role| (i, role)))
            .collect(),
    };
    call.page("appRoleAssignedTo", all.len(), 100, 999, |i| {
        assignment(call, all[i].0, &all[i].1)
    })
}

/// Application ids of a directory's service principals, with how lately each was used.
pub(crate) fn app_ids(call: &Call<'_>) -> Vec<String> {
    (0..Principals::end(call))
        .filter(|i| Principals::exists(call, *i))
        .map(|i| identity(call, i).0)
        .collect()
}
