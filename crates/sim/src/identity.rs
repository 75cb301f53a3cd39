//! Conditional access, and what identity protection found.

use serde_json::{Value, json};

use crate::{
    Directory,
    call::{Answer, Call},
    data::{days_ago, mix, object_id, pick, stamp_of},
    filter::Filter,
    router::{Licence, Route},
    users,
};

pub(crate) const ROUTES: &[Route] = &[
    Route::new(
        "/v1.0/identity/conditionalAccess/policies",
        &["Policy.Read.All"],
        |call| {
            let all = policies(call.directory);
            call.all("identity/conditionalAccess/policies", &all, 100, 999)
        },
    ),
    Route::new(
        "/v1.0/identityProtection/riskyUsers",
        &["IdentityRiskyUser.Read.All"],
        risky_users,
    )
    .licensed(Licence::Protection),
    Route::new(
        "/v1.0/identityProtection/riskDetections",
        &["IdentityRiskEvent.Read.All"],
        risk_detections,
    )
    .licensed(Licence::Protection),
];

const DAY: i64 = 86_400;

/// Name, state, whom it covers, what it grants; without P1 there are none.
fn policies(d: &Directory) -> Vec<Value> {
    let administrator = users::id(d, 0);
    let all: [(&str, &str, Value, Value); 5] = [
        (
            "Require MFA for everyone",
            "enabled",
            json!({ "includeUsers": ["All"], "excludeUsers": [administrator] }),
            json!(["mfa"]),
        ),
        (
            "Block legacy authentication",
            "enabled",
            json!({ "includeUsers": ["All"] }),
            json!(["block"]),
        ),
        (
            "Compliant device for <admins>",
            "enabledForReportingButNotEnforced",
            json!({ "includeRoles": ["62e90394-69f5-4237-9190-012177145e10"] }),
            json!(["compliantDevice", "mfa"]),
        ),
        (
            "Guests only from known places",
            "disabled",
            json!({ "includeUsers": ["GuestsOrExternalUsers"] }),
            json!(["block"]),
        ),
        (
            "Shorter sessions on the web",
            "enabled",
            json!({ "includeUsers": ["All"] }),
            Value::Null,
        ),
    ];
    let count = if d.premium { all.len() } else { 0 };
    all.into_iter()
        .take(count)
        .enumerate()
        .map(|(i, (name, state, who, grants))| policy(d, i, name, state, &who, &grants))
        .collect()
}

fn policy(
    d: &Directory,
    index: usize,
    name: &str,
    state: &str,
    who: &Value,
    grants: &Value,
) -> Value {
    let list = |value: &Value| {
        if value.is_null() {
            json!([])
        } else {
            value.clone()
        }
    };
    let legacy = index == 1;
    let (grant, session) = if grants.is_null() {
        let often = json!({ "signInFrequency": { "value": 8, "type": "hours", "isEnabled": true,
            "authenticationType": "primaryAndSecondaryAuthentication", "frequencyInterval": "timeBased" } });
        (Value::Null, often)
    } else {
        let controls = json!({ "operator": "OR", "builtInControls": grants,
            "customAuthenticationFactors": [], "termsOfUse": [] });
        (controls, Value::Null)
    };
    json!({
        "id": object_id(d, 42, index), "templateId": null, "displayName": name,
        "createdDateTime": days_ago(700), "modifiedDateTime": if index == 2 { json!(days_ago(40)) } else { Value::Null },
        "state": state,
        "conditions": {
            "clientAppTypes": if legacy { json!(["exchangeActiveSync", "other"]) } else { json!(["all"]) },
            "userRiskLevels": [], "signInRiskLevels": [], "servicePrincipalRiskLevels": [],
            "applications": { "includeApplications": ["All"], "excludeApplications": [],
                "includeUserActions": [], "includeAuthenticationContextClassReferences": [] },
            "users": {
                "includeUsers": list(&who["includeUsers"]), "excludeUsers": list(&who["excludeUsers"]),
                "includeGroups": [], "excludeGroups": [],
                "includeRoles": list(&who["includeRoles"]), "excludeRoles": [],
                "includeGuestsOrExternalUsers": null, "excludeGuestsOrExternalUsers": null,
            },
            "platforms": null, "locations": null, "devices": null, "clientApplications": null,
        },
        "grantControls": grant, "sessionControls": session,
    })
}

/// Users at risk: every fortieth or so, while they have not left.
fn at_risk(call: &Call<'_>) -> Vec<usize> {
    let d = call.directory;
    let count = (d.users / 40).clamp(1, 50);
    let step = (d.users / count).max(1);
    (0..count)
        .map(|k| k * step + step / 2)
        .filter(|user| call.changes.has_user(d, *user))
        .collect()
}

/// Of a user at risk: the level, the state, and days since.
fn risk(d: &Directory, user: usize) -> (&'static str, &'static str, i64) {
    let n = mix(d, 43, user);
    let level = pick(&["high", "medium", "low", "medium", "hidden"], n);
    let state = pick(
        &[
            "atRisk",
            "atRisk",
            "confirmedCompromised",
            "remediated",
            "dismissed",
        ],
        n >> 8,
    );
    (level, state, i64::try_from((n >> 16) % 60).unwrap_or(0))
}

/// When it was detected: at some time of its day.
fn detected(call: &Call<'_>, user: usize) -> i64 {
    let time = i64::try_from(mix(call.directory, 44, user) % 80_000).unwrap_or(0);
    (call.state.born / DAY - 1 - risk(call.directory, user).2) * DAY + time
}

fn risky_users(call: &Call<'_>) -> Answer {
    let d = call.directory;
    let filter = Filter::of(call, &["riskState", "riskLevel", "riskLastUpdatedDateTime"])?;
    let all: Vec<Value> = at_risk(call)
        .into_iter()
        .map(|user| {
            let (level, state, _) = risk(d, user);
            json!({
                "id": users::id(d, user), "isDeleted": false, "isProcessing": false,
                "riskLevel": level, "riskState": state, "riskDetail": match state {
                    "dismissed" => "adminDismissedAllRiskForUser",
                    "remediated" => "userPerformedSecuredPasswordChange",
                    "confirmedCompromised" => "adminConfirmedUserCompromised",
                    _ => "none",
                },
                "riskLastUpdatedDateTime": stamp_of(detected(call, user) + 60),
                "userDisplayName": users::display_name(d, user, &call.changes),
                "userPrincipalName": users::principal_name(d, user),
            })
        })
        .filter(|user| filter.holds(user))
        .collect();
    call.all("identityProtection/riskyUsers", &all, 100, 500)
}

fn risk_detections(call: &Call<'_>) -> Answer {
    let filter = Filter::of(
        call,
        &["detectedDateTime", "riskState", "riskLevel", "userId"],
    )?;
    let mut users = at_risk(call);
    users.sort_by_key(|user| std::cmp::Reverse(detected(call, *user)));
    let all: Vec<Value> = users
        .into_iter()
        .map(|user| detection(call, user))
        .filter(|detection| filter.holds(detection))
        .collect();
    call.all("identityProtection/riskDetections", &all, 100, 500)
}

fn detection(call: &Call<'_>, user: usize) -> Value {
    let d = call.directory;
    let n = mix(d, 45, user);
    let (level, state, _) = risk(d, user);
    let kind = pick(
        &[
            "unfamiliarFeatures",
            "anonymizedIPAddress",
            "leakedCredentials",
            "unlikelyTravel",
            "maliciousIPAddress",
        ],
        n,
    );
    let at = detected(call, user);
    json!({
        "id": format!("{n:016x}"), "requestId": object_id(d, 46, user), "correlationId": object_id(d, 47, user),
        "riskEventType": kind, "riskState": state, "riskLevel": level, "riskDetail": "none",
        "source": "IdentityProtection", "detectionTimingType": if kind == "leakedCredentials" { "offline" } else { "realtime" },
        "activity": if kind == "leakedCredentials" { "user" } else { "signin" }, "tokenIssuerType": "AzureAD",
        "ipAddress": format!("203.0.113.{}", n % 250), "activityDateTime": stamp_of(at - 60),
        "detectedDateTime": stamp_of(at), "lastUpdatedDateTime": stamp_of(at + 60),
        "userId": users::id(d, user), "userDisplayName": users::display_name(d, user, &call.changes),
        "userPrincipalName": users::principal_name(d, user),
        "additionalInfo": "[{\"Key\":\"userAgent\",\"Value\":\"Mozilla/5.0\"}]",
        "location": { "city": "Paris", "state": "", "countryOrRegion": "FR",
            "geoCoordinates": { "latitude": 48.8, "longitude": 2.3 } },
    })
}
