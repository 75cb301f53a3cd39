//! Audit and sign-in logs, newest first, and when applications signed in. Events happen at fixed
//! intervals, so that the same event is the same whenever it is read, and new ones come with time.

use serde_json::{Value, json};

use crate::{
    call::{Answer, Call},
    data::{mix, object_id, pick, stamp_of},
    filter::Filter,
    names::APPLICATIONS,
    principals, refusal,
    router::{Licence, Route},
    users,
};

const READ: &[&str] = &["AuditLog.Read.All"];

pub(crate) const ROUTES: &[Route] = &[
    Route::new(
        "/v1.0/auditLogs/directoryAudits",
        &["AuditLog.Read.All", "Directory.Read.All"],
        audits,
    ),
    Route::new("/v1.0/auditLogs/signIns", READ, sign_ins).licensed(Licence::Premium),
    Route::new(
        "/beta/reports/servicePrincipalSignInActivities",
        READ,
        application_activity,
    )
    .licensed(Licence::Premium),
];

const DAY: i64 = 86_400;

/// Numbers of the events that are kept, newest first, with their times.
fn kept(call: &Call<'_>, a_day: usize) -> Vec<(usize, i64)> {
    let step = DAY / i64::try_from(a_day).unwrap_or(1);
    let days = if call.directory.premium { 30 } else { 7 };
    let now = call.state.now();
    let (newest, oldest) = (now / step, (now - days * DAY) / step);
    (oldest + 1..=newest)
        .rev()
        .map(|number| (usize::try_from(number).unwrap_or(0), number * step))
        .collect()
}

/// Someone of the directory who is still there.
fn someone(call: &Call<'_>, n: u64) -> usize {
    let users = u64::try_from(call.directory.users.max(1)).unwrap_or(1);
    let user = usize::try_from(n % users).unwrap_or(0);
    if call.changes.has_user(call.directory, user) {
        user
    } else {
        0
    }
}

/// The events that `$filter` leaves.
fn answer(
    call: &Call<'_>,
    context: &str,
    time: &str,
    a_day: usize,
    event: impl Fn(&Call<'_>, usize, i64) -> Value,
) -> Answer {
    let filter = Filter::of(call, &[time, "id", "category", "riskState"])?;
    let all: Vec<Value> = kept(call, a_day)
        .into_iter()
        .map(|(number, at)| event(call, number, at))
        .filter(|event| filter.holds(event))
        .collect();
    call.page(context, all.len(), 1000, 1000, |i| all[i].clone())
}

fn audits(call: &Call<'_>) -> Answer {
    let a_day = (call.directory.users / 10).clamp(1, 30);
    answer(
        call,
        "auditLogs/directoryAudits",
        "activityDateTime",
        a_day,
        audit,
    )
}

fn audit(call: &Call<'_>, number: usize, at: i64) -> Value {
    let d = call.directory;
    let n = mix(d, 48, number);
    let (activity, category, operation) = [
        ("Add user", "UserManagement", "Add"),
        ("Update user", "UserManagement", "Update"),
        ("Reset user password", "UserManagement", "Update"),
        ("Add member to group", "GroupManagement", "Assign"),
        ("Add member to role", "RoleManagement", "Assign"),
        ("Consent to application", "ApplicationManagement", "Assign"),
        ("Update conditional access policy", "Policy", "Update"),
    ][usize::try_from(n % 7).unwrap_or(0)];
    let target = someone(call, n >> 8);
    json!({
        "id": format!("Directory_{}", object_id(d, 49, number)), "category": category,
        "correlationId": object_id(d, 50, number), "result": if n % 12 == 5 { "failure" } else { "success" },
        "resultReason": "", "activityDisplayName": activity, "activityDateTime": stamp_of(at),
        "loggedByService": "Core Directory", "operationType": operation,
        "initiatedBy": { "app": null, "user": { "id": users::id(d, 0), "displayName": null,
            "userPrincipalName": users::principal_name(d, 0), "ipAddress": "203.0.113.9" } },
        "targetResources": [{ "id": users::id(d, target), "displayName": null, "type": "User",
            "userPrincipalName": users::principal_name(d, target), "groupType": null,
            "modifiedProperties": [{ "displayName": "Included Updated Properties", "oldValue": null,
                "newValue": "\"DisplayName\"" }] }],
        "additionalDetails": [],
    })
}

fn sign_ins(call: &Call<'_>) -> Answer {
    let a_day = call.directory.users.clamp(2, 60);
    answer(call, "auditLogs/signIns", "createdDateTime", a_day, sign_in)
}

fn sign_in(call: &Call<'_>, number: usize, at: i64) -> Value {
    let d = call.directory;
    let n = mix(d, 51, number);
    let user = someone(call, n >> 8);
    let failed = n.is_multiple_of(9);
    // Risk is told where there is a licence for it.
    let risky = d.premium_two && n % 41 == 7;
    let city = pick(&["Paris", "Oslo", "Lagos"], n >> 16);
    json!({
        "id": object_id(d, 52, number), "createdDateTime": stamp_of(at),
        "userId": users::id(d, user), "userPrincipalName": users::principal_name(d, user),
        "userDisplayName": users::display_name(d, user, &call.changes),
        "appId": object_id(d, 13, 0), "appDisplayName": pick(APPLICATIONS, 0),
        "ipAddress": format!("203.0.113.{}", n % 250), "clientAppUsed": pick(&["Browser", "Mobile Apps and Desktop clients", "IMAP4"], n >> 24),
        "correlationId": object_id(d, 53, number), "conditionalAccessStatus": if failed { "failure" } else { "success" },
        "isInteractive": true, "riskDetail": "none", "riskLevelAggregated": "none",
        "riskLevelDuringSignIn": if risky { "medium" } else { "none" }, "riskState": if risky { "atRisk" } else { "none" }, "riskEventTypes_v2": [],
        "resourceDisplayName": "Microsoft Graph", "resourceId": crate::permissions::GRAPH,
        "status": { "errorCode": if failed { 50_126 } else { 0 }, "additionalDetails": null,
            "failureReason": if failed { "Error validating credentials due to invalid username or password." } else { "Other." } },
        "deviceDetail": { "deviceId": "", "displayName": null, "operatingSystem": "Windows 10",
            "browser": "Edge 130", "isCompliant": null, "isManaged": null, "trustType": null },
        "location": { "city": city, "state": "", "countryOrRegion": d.country,
            "geoCoordinates": { "altitude": null, "latitude": 48.8, "longitude": 2.3 } },
        "appliedConditionalAccessPolicies": [],
    })
}

fn application_activity(call: &Call<'_>) -> Answer {
    if call.directory.national {
        return Err(refusal::no_segment("servicePrincipalSignInActivities"));
    }
    let d = call.directory;
    let filter = Filter::of(call, &["appId"])?;
    let all: Vec<Value> = principals::app_ids(call)
        .into_iter()
        .enumerate()
        // Some never signed in.
        .filter(|(i, _)| mix(d, 54, *i) % 6 != 1)
        .map(|(i, app_id)| activity(call, i, &app_id))
        .filter(|activity| filter.holds(activity))
        .collect();
    call.all("reports/servicePrincipalSignInActivities", &all, 100, 999)
}

fn activity(call: &Call<'_>, index: usize, app_id: &str) -> Value {
    let d = call.directory;
    let n = mix(d, 55, index);
    let days = if n.is_multiple_of(4) { n % 300 } else { n % 7 };
    let day = (call.state.now() / DAY - i64::try_from(days).unwrap_or(0)) * DAY;
    let never = json!({ "lastSignInDateTime": null, "lastSignInRequestId": null });
    let last = json!({ "lastSignInDateTime": stamp_of(day), "lastSignInRequestId": object_id(d, 56, index) });
    let delegated = n % 3 == 1;
    json!({
        "id": data_encoding::BASE64URL_NOPAD.encode(app_id.as_bytes()), "appId": app_id,
        "lastSignInActivity": last,
        "delegatedClientSignInActivity": if delegated { &last } else { &never },
        "delegatedResourceSignInActivity": never,
        "applicationAuthenticationClientSignInActivity": if delegated { &never } else { &last },
        "applicationAuthenticationResourceSignInActivity": never,
    })
}
