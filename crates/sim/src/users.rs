//! Users, what they did last, and what they registered for signing in.

use chrono::Duration;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{
    Directory,
    call::{Answer, Call},
    changes::{Changes, Class},
    collection::{Collection, one},
    data::{days_ago, epoch, index_of, initial_domain, mix, object_id, pick, stamp, stamp_of},
    delta::delta,
    names::{DEPARTMENTS, FAMILY, GIVEN, TITLES},
    refusal,
    router::{Licence, Route},
    wanted::{Wanted, object},
};

const ROLES: &[&str] = &["User.Read.All", "Directory.Read.All"];

pub(crate) const ROUTES: &[Route] = &[
    Route::new("/v1.0/users", ROLES, list),
    Route::new("/v1.0/users/delta", ROLES, delta::<Users>),
    Route::new("/v1.0/users/{id}", ROLES, one::<Users>),
    Route::new(
        "/v1.0/reports/authenticationMethods/userRegistrationDetails",
        &["AuditLog.Read.All"],
        registrations,
    )
    .licensed(Licence::Premium),
];

const ID: u64 = 1;
const DAY: i64 = 86_400;

pub(crate) fn id(d: &Directory, index: usize) -> Uuid {
    object_id(d, ID, index)
}

pub(crate) struct Users;

impl Collection for Users {
    const NAME: &'static str = "users";
    const CLASS: Class = Class::User;
    const DEFAULTS: Option<&'static [&'static str]> = Some(&[
        "businessPhones",
        "displayName",
        "givenName",
        "id",
        "jobTitle",
        "mail",
        "mobilePhone",
        "officeLocation",
        "preferredLanguage",
        "surname",
        "userPrincipalName",
    ]);

    fn end(call: &Call<'_>) -> usize {
        call.changes.users_end(call.directory)
    }

    fn exists(call: &Call<'_>, index: usize) -> bool {
        call.changes.has_user(call.directory, index)
    }

    fn id(call: &Call<'_>, index: usize) -> Uuid {
        id(call.directory, index)
    }

    fn index(call: &Call<'_>, id: &str) -> Option<usize> {
        index_of(call.directory, ID, id)
    }

    fn object(call: &Call<'_>, index: usize, wanted: &Wanted) -> Map<String, Value> {
        user(call.directory, index, &call.changes, wanted)
    }
}

fn is_guest(d: &Directory, index: usize) -> bool {
    index > 4 && mix(d, 2, index).is_multiple_of(11)
}

pub(crate) fn principal_name(d: &Directory, index: usize) -> String {
    match index {
        0 => format!("admin@{}", d.domain),
        _ if is_guest(d, index) => {
            format!("guest{index}_partner.example#EXT#@{}", initial_domain(d))
        }
        _ => format!("user{index}@{}", d.domain),
    }
}

pub(crate) fn display_name(d: &Directory, index: usize, changes: &Changes) -> String {
    let n = mix(d, 2, index);
    let name = match (index, changes.renamed.get(&index)) {
        (_, Some(name)) => return name.clone(),
        (0, _) => "Global Administrator".to_owned(),
        // Names come from outside and may hold anything.
        (3, _) => "<script>alert('x')</script> & \"Friends\"".to_owned(),
        (4, _) => "=HYPERLINK(\"http://evil.example\",\"Pay\")".to_owned(),
        _ => format!("{} {}", pick(GIVEN, n), pick(FAMILY, n >> 8)),
    };
    match changes.revision(index) {
        0 => name,
        times => format!("{name} {}", times + 1),
    }
}

/// `value`, or null where not.
fn some_if(condition: bool, value: impl FnOnce() -> String) -> Value {
    if condition {
        json!(value())
    } else {
        Value::Null
    }
}

/// The user at `index`; the first is the administrator.
fn user(d: &Directory, index: usize, changes: &Changes, wanted: &Wanted) -> Map<String, Value> {
    let n = mix(d, 2, index);
    let guest = is_guest(d, index);
    let (synced, has_mail) = (n.is_multiple_of(6), n % 5 != 4);
    let upn = principal_name(d, index);
    let mail = || upn.replace("#EXT#", "");
    let title = || match changes.revision(index) {
        0 => pick(TITLES, n >> 16).to_owned(),
        times => format!("{} {}", pick(TITLES, n >> 16), times + 1),
    };
    let titled = !n.is_multiple_of(3) || changes.revision(index) > 0;
    object!(wanted, {
        "id": id(d, index),
        "displayName": display_name(d, index, changes),
        "userPrincipalName": upn,
        "mail": some_if(has_mail, mail),
        "givenName": pick(GIVEN, n),
        "surname": pick(FAMILY, n >> 8),
        "jobTitle": some_if(titled, title),
        "department": some_if(!n.is_multiple_of(4), || pick(DEPARTMENTS, n >> 24).to_owned()),
        "officeLocation": Value::Null,
        "companyName": if guest { "Partner Example" } else { d.name.as_str() },
        "employeeId": format!("E{index:06}"),
        "employeeType": if n.is_multiple_of(9) { "Contractor" } else { "Employee" },
        "employeeHireDate": some_if(n % 5 < 2, || days_ago(n % 4000)),
        "usageLocation": d.country,
        "preferredLanguage": some_if(n % 4 == 1, || "en-GB".to_owned()),
        "mobilePhone": some_if(n % 3 == 1, || format!("+47 900 {:05}", n % 100_000)),
        "businessPhones": if n % 7 == 1 { vec![format!("+47 22 {:06}", n % 1_000_000)] } else { vec![] },
        "userType": if guest { "Guest" } else { "Member" },
        "creationType": some_if(guest, || "Invitation".to_owned()),
        "externalUserState": some_if(guest, || {
            if n.is_multiple_of(5) { "PendingAcceptance" } else { "Accepted" }.to_owned()
        }),
        "accountEnabled": index == 0 || !n.is_multiple_of(13),
        "isResourceAccount": Value::Null,
        "passwordPolicies": some_if(!synced, || {
            if n % 8 == 3 { "DisablePasswordExpiration" } else { "None" }.to_owned()
        }),
        "proxyAddresses": if has_mail { vec![format!("SMTP:{}", mail())] } else { vec![] },
        "otherMails": if guest { vec![format!("guest{index}@partner.example")] } else { vec![] },
        "onPremisesSyncEnabled": if synced { json!(true) } else { Value::Null },
        "onPremisesSamAccountName": some_if(synced, || format!("user{index}")),
        "onPremisesImmutableId": some_if(synced, || {
            data_encoding::BASE64.encode(id(d, index).as_bytes())
        }),
        "onPremisesDistinguishedName": some_if(synced, || {
            format!("CN=user{index},OU=Staff,DC={}", d.domain.replace('.', ",DC="))
        }),
        "assignedLicenses": if d.premium && !guest && !n.is_multiple_of(7) {
            json!([{ "skuId": "06ebc4ee-1bb5-47dd-8120-11324bc54e06", "disabledPlans": [] }])
        } else {
            json!([])
        },
        "createdDateTime": days_ago(n % 2000),
        "lastPasswordChangeDateTime": days_ago(n % 400),
    })
}

fn list(call: &Call<'_>) -> Answer {
    let select = call.query("$select");
    let wanted = Users::wanted(select);
    // It comes to those alone who ask for it by name.
    let activity = wanted.has("signInActivity");
    if activity {
        call.require("AuditLog.Read.All")?;
        if !call.directory.premium {
            return Err(refusal::not_premium());
        }
    }
    call.page_where(
        "users",
        Users::end(call),
        (100, if activity { 500 } else { 999 }),
        |i| Users::exists(call, i),
        |i| {
            let mut user = Users::object(call, i, &wanted);
            if activity && let Some(seen) = sign_in_activity(call, i) {
                user.insert("signInActivity".into(), seen);
            }
            Value::Object(user)
        },
    )
}

/// When a user signed in last; nothing for those who never did.
fn sign_in_activity(call: &Call<'_>, index: usize) -> Option<Value> {
    let n = mix(call.directory, 8, index);
    let days = match n % 100 {
        _ if index == 0 => 0,
        ..8 => return None,
        8..78 => (n >> 8) % 6,
        78..90 => (n >> 8) % 60,
        _ => (n >> 8) % 400,
    };
    let today = call.state.now() / DAY * DAY;
    let at = today
        - i64::try_from(days).unwrap_or(0) * DAY
        - i64::try_from((n >> 20) % 43_200).unwrap_or(0);
    let request = |purpose| object_id(call.directory, purpose, index);
    // The last attempt of some failed; some only refreshed their tokens since.
    let (failed, silent) = (n % 17 == 3, n % 3 == 1);
    let last = if silent { at + 3600 } else { at };
    Some(json!({
        "lastSignInDateTime": stamp_of(at), "lastSignInRequestId": request(31),
        "lastNonInteractiveSignInDateTime": if silent { stamp_of(last) } else { Value::Null },
        "lastNonInteractiveSignInRequestId": if silent { json!(request(32)) } else { Value::Null },
        "lastSuccessfulSignInDateTime": stamp_of(if failed { at - 9 * DAY } else { last }),
        "lastSuccessfulSignInRequestId": request(33),
    }))
}

/// The registration report, a line for each user; in the order of their last change where asked for.
fn registrations(call: &Call<'_>) -> Answer {
    let newest_first = match call.query("$orderby") {
        None => false,
        Some("lastUpdatedDateTime desc") => true,
        Some(_) => return Err(refusal::bad_request("Unsupported $orderby.")),
    };
    let changes = &call.changes;
    // First those who registered since; without them the dates fall with the index.
    let first = if newest_first {
        changes.registered.len()
    } else {
        0
    };
    let user = |place: usize| match place.checked_sub(first) {
        Some(index) => index,
        None => changes.registered[first - 1 - place],
    };
    call.page_where(
        "reports/authenticationMethods/userRegistrationDetails",
        first + Users::end(call),
        (999, 999),
        |place| {
            let index = user(place);
            let moved = place >= first && first > 0 && changes.registered_at(index).is_some();
            Users::exists(call, index) && !moved
        },
        |place| call.select(registration(call, user(place))),
    )
}

fn registration(call: &Call<'_>, index: usize) -> Value {
    let (d, changes) = (call.directory, &call.changes);
    let n = mix(d, 3, index);
    let since = changes.registered_at(index);
    let registered = index == 0 || n % 100 < 74 || since.is_some();
    let methods: &[&str] = match (registered, n % 4) {
        (false, _) => &[],
        (true, 0) => &["microsoftAuthenticatorPush", "softwareOneTimePasscode"],
        (true, 1) => &["mobilePhone"],
        (true, 2) => &["microsoftAuthenticatorPush"],
        (true, _) => &["passKeyDeviceBound", "microsoftAuthenticatorPush"],
    };
    let before = epoch() - Duration::seconds(i64::try_from(index).unwrap_or(0) * 61);
    json!({
        "id": id(d, index), "userPrincipalName": principal_name(d, index),
        "userDisplayName": display_name(d, index, changes),
        "userType": if is_guest(d, index) { "guest" } else { "member" },
        "isAdmin": index == 0 || n.is_multiple_of(97), "isSsprRegistered": registered,
        "isSsprEnabled": true, "isSsprCapable": registered, "isMfaRegistered": registered,
        "isMfaCapable": registered, "isPasswordlessCapable": registered && n % 4 == 3,
        "methodsRegistered": methods, "isSystemPreferredAuthenticationMethodEnabled": true,
        "systemPreferredAuthenticationMethods": [],
        "userPreferredMethodForSecondaryAuthentication": if registered { "push" } else { "none" },
        "lastUpdatedDateTime": since.map_or_else(|| json!(stamp(before)), stamp_of),
    })
}
