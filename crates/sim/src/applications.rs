//! Application registrations: the world's own in their home directory, and a directory's others.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{
    Directory,
    call::{Answer, Call},
    changes::Class,
    collection::{Collection, find, one},
    data::{days_ago, index_of, mix, object_id, pick, stamp_of},
    delta::delta,
    groups::{EXPANDED, people},
    names::APPLICATIONS,
    permissions::{GRAPH, NAMES, role_id},
    refusal::not_found,
    router::Route,
    state::State,
    users::Users,
    wanted::{Wanted, object},
    world,
};

pub(crate) const READ: &[&str] = &["Application.Read.All", "Directory.Read.All"];

pub(crate) const ROUTES: &[Route] = &[
    Route::new("/v1.0/applications", READ, list),
    Route::new("/v1.0/applications(appId='{id}')", READ, by_app_id),
    Route::new("/v1.0/applications/delta", READ, delta::<Applications>),
    Route::new("/v1.0/applications/{id}", READ, one::<Applications>),
    Route::new("/v1.0/applications/{id}/owners", READ, owners),
];

const ID: u64 = 12;
const APP_ID: u64 = 13;
const DAY: i64 = 86_400;

/// How many registrations a directory has beside the world's.
pub(crate) fn count(d: &Directory) -> usize {
    (d.users / 20).clamp(2, 200)
}

/// The application id of the directory's own registration at `own`.
pub(crate) fn app_id(d: &Directory, own: usize) -> Uuid {
    object_id(d, APP_ID, own)
}

pub(crate) fn own_with_app_id(d: &Directory, app_id: &str) -> Option<usize> {
    index_of(d, APP_ID, app_id).filter(|own| *own < count(d))
}

pub(crate) fn name(d: &Directory, own: usize) -> String {
    let name = pick(APPLICATIONS, own as u64);
    match own / APPLICATIONS.len() {
        0 => name.to_owned(),
        more => format!("{name} {} of {}", more + 1, d.name),
    }
}

/// The world's registrations come first, at their places in the world; then the directory's own.
pub(crate) struct Applications;

fn worlds(call: &Call<'_>) -> usize {
    call.state.world.applications.len()
}

impl Collection for Applications {
    const NAME: &'static str = "applications";
    const CLASS: Class = Class::Application;

    fn end(call: &Call<'_>) -> usize {
        worlds(call) + count(call.directory)
    }

    fn exists(call: &Call<'_>, index: usize) -> bool {
        match call.state.world.applications.get(index) {
            Some(application) => application.home == call.directory.id,
            None => index < Self::end(call),
        }
    }

    fn id(call: &Call<'_>, index: usize) -> Uuid {
        match call.state.world.applications.get(index) {
            Some(application) => world::id(application.client_id.as_bytes(), 3),
            None => object_id(call.directory, ID, index - worlds(call)),
        }
    }

    fn index(call: &Call<'_>, id: &str) -> Option<usize> {
        let own = index_of(call.directory, ID, id).map(|own| own + worlds(call));
        own.or_else(|| {
            let id = Uuid::parse_str(id).ok()?;
            (0..worlds(call)).find(|i| Self::id(call, *i) == id)
        })
    }

    fn object(call: &Call<'_>, index: usize, wanted: &Wanted) -> Map<String, Value> {
        match call.state.world.applications.get(index) {
            Some(application) => registration(call.state, application, wanted),
            None => own(call, index - worlds(call), wanted),
        }
    }
}

/// A registration of the world, as its home directory shows it.
fn registration(
    state: &State,
    application: &crate::Application,
    wanted: &Wanted,
) -> Map<String, Value> {
    let secrets = || -> Vec<Value> {
        let all = state.secrets(application);
        let secret = |s: &crate::state::ClientSecret| {
            json!({
                "keyId": world::id(s.value.as_bytes(), 1), "displayName": "secret",
                "hint": s.value.get(..3), "secretText": null, "customKeyIdentifier": null,
                "startDateTime": stamp_of(state.now() - DAY),
                "endDateTime": stamp_of(s.ends_at.unwrap_or(state.now() + 365 * DAY)),
            })
        };
        all.iter().map(secret).collect()
    };
    let certificates = || -> Vec<Value> {
        let all = state.certificates(application.client_id);
        all.iter().filter_map(|der| certificate(der)).collect()
    };
    let roles = || -> Vec<Value> {
        let names = state.manifest(application.client_id);
        names.iter().map(|name| asked(name)).collect()
    };
    object!(wanted, {
        "id": world::id(application.client_id.as_bytes(), 3),
        "appId": application.client_id,
        "displayName": application.name,
        "createdDateTime": days_ago(400),
        "signInAudience": if application.multi_tenant { "AzureADMultipleOrgs" } else { "AzureADMyOrg" },
        "web": json!({ "homePageUrl": null, "logoutUrl": null,
            "redirectUris": state.redirect_uris(application) }),
        "requiredResourceAccess": json!([{ "resourceAppId": GRAPH, "resourceAccess": roles() }]),
        "passwordCredentials": secrets(),
        "keyCredentials": certificates(),
    })
}

fn certificate(der: &[u8]) -> Option<Value> {
    let (_, parsed) = x509_parser::parse_x509_certificate(der).ok()?;
    let sha1 = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, der);
    Some(json!({
        "keyId": world::id(der, 2), "displayName": parsed.subject().to_string(),
        "type": "AsymmetricX509Cert", "usage": "Verify", "key": null,
        "customKeyIdentifier": data_encoding::BASE64.encode(sha1.as_ref()),
        "startDateTime": stamp_of(parsed.validity().not_before.timestamp()),
        "endDateTime": stamp_of(parsed.validity().not_after.timestamp()),
    }))
}

fn asked(role: &str) -> Value {
    json!({ "id": role_id(role), "type": "Role" })
}

/// The permissions that the registration at `own` asks for.
pub(crate) fn roles(d: &Directory, own: usize) -> Vec<&'static str> {
    let n = mix(d, 14, own);
    (0..n % 4).map(|k| pick(NAMES, (n >> 8) + k * 5)).collect()
}

/// Days until the secrets and certificates of the registration at `own` end: some did, some soon do.
fn ends(own: usize) -> (&'static [i64], &'static [i64]) {
    match own % 5 {
        0 => (&[-40], &[]),
        1 => (&[12], &[]),
        2 => (&[300], &[25]),
        3 => (&[], &[-3, 500]),
        _ => (&[-200, 5, 700], &[]),
    }
}

fn own(call: &Call<'_>, own: usize, wanted: &Wanted) -> Map<String, Value> {
    let d = call.directory;
    let n = mix(d, 14, own);
    // Counted from the start, so that they come nearer as time passes.
    let day = call.state.born / DAY * DAY;
    let times = |days: &i64| {
        let end = day + days * DAY;
        (stamp_of(end - 730 * DAY), stamp_of(end))
    };
    let key = |purpose: u64, k: usize| object_id(d, purpose, own * 8 + k);
    let secrets = ends(own).0.iter().enumerate().map(|(k, days)| {
        let (from, until) = times(days);
        json!({ "customKeyIdentifier": null, "displayName": if k == 0 { json!("main") } else { Value::Null },
            "endDateTime": until, "hint": "q~8", "keyId": key(34, k), "secretText": null,
            "startDateTime": from })
    });
    let certificates = ends(own).1.iter().enumerate().map(|(k, days)| {
        let (from, until) = times(days);
        json!({ "customKeyIdentifier": format!("{:016X}", mix(d, 35, own * 8 + k)),
            "displayName": format!("CN=app{own}.{}", d.domain), "endDateTime": until, "key": null,
            "keyId": key(35, k), "startDateTime": from, "type": "AsymmetricX509Cert",
            "usage": "Verify" })
    });
    let asks: Vec<Value> = roles(d, own).into_iter().map(asked).collect();
    let access = match asks.is_empty() {
        true => json!([]),
        false => json!([{ "resourceAppId": GRAPH, "resourceAccess": asks }]),
    };
    object!(wanted, {
        "id": object_id(d, ID, own),
        "appId": app_id(d, own),
        "displayName": name(d, own),
        "description": Value::Null,
        "createdDateTime": days_ago(n % 1200),
        "signInAudience": if n.is_multiple_of(6) { "AzureADMultipleOrgs" } else { "AzureADMyOrg" },
        "publisherDomain": d.domain,
        "verifiedPublisher": json!({ "displayName": null, "verifiedPublisherId": null,
            "addedDateTime": null }),
        "identifierUris": json!([]),
        "tags": json!([]),
        "isDisabled": Value::Null,
        "disabledByMicrosoftStatus": Value::Null,
        "web": json!({ "homePageUrl": null, "logoutUrl": null,
            "redirectUris": [format!("https://app{own}.{}/signin", d.domain)] }),
        "requiredResourceAccess": access,
        "passwordCredentials": secrets.collect::<Vec<_>>(),
        "keyCredentials": certificates.collect::<Vec<_>>(),
    })
}

/// The users who own a registration: none to two, of one more than are expanded.
fn owning(call: &Call<'_>, index: usize) -> Vec<usize> {
    let d = call.directory;
    let Some(own) = index.checked_sub(worlds(call)) else {
        return vec![0];
    };
    let n = mix(d, 15, own);
    let (users, from) = (d.users.max(1), usize::try_from(n >> 8).unwrap_or(0));
    let count = if own == 1 { 25 } else { n % 3 };
    (0..usize::try_from(count).unwrap_or(0).min(d.users))
        .map(|k| (from % users + k) % users)
        .filter(|user| call.changes.has_user(d, *user))
        .collect()
}

fn list(call: &Call<'_>) -> Answer {
    let wanted = Applications::wanted(call.query("$select"));
    let owners = call.expand("owners")?;
    call.page_where(
        Applications::NAME,
        Applications::end(call),
        (100, 999),
        |i| Applications::exists(call, i),
        |i| {
            let mut application = Applications::object(call, i, &wanted);
            if let Some(wanted) = &owners {
                let all = owning(call, i).into_iter().take(EXPANDED);
                application.insert("owners".into(), json!(people(call, wanted, all)));
            }
            Value::Object(application)
        },
    )
}

fn by_app_id(call: &Call<'_>) -> Answer {
    let own = own_with_app_id(call.directory, &call.id).map(|own| own + worlds(call));
    let all = &call.state.world.applications;
    let id = call.id.to_lowercase();
    let index = own.or_else(|| all.iter().position(|a| a.client_id.to_string() == id));
    match index.filter(|i| Applications::exists(call, *i)) {
        Some(index) => {
            let wanted = Applications::wanted(call.query("$select"));
            let found = Applications::object(call, index, &wanted);
            Ok(call.send(&Value::Object(found)))
        }
        None => Err(not_found(&call.id)),
    }
}

fn owners(call: &Call<'_>) -> Answer {
    let all = owning(call, find::<Applications>(call)?);
    let wanted = Users::wanted(call.query("$select"));
    let all = people(call, &wanted, all.into_iter());
    call.page_where(
        "directoryObjects",
        all.len(),
        (100, 999),
        |_| true,
        |i| all[i].clone(),
    )
}
