//! Ids and dates of a directory's objects, computed from its id and their index, and the directory
//! itself.

use chrono::{DateTime, Duration, SecondsFormat, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{Directory, router::Route, world};

pub(crate) const ROUTES: &[Route] = &[
    Route::new(
        "/v1.0/organization",
        &[
            "Organization.Read.All",
            "Directory.Read.All",
            "User.Read.All",
        ],
        |call| call.all("organization", &[organization(call.directory)], 100, 999),
    ),
    Route::new(
        "/v1.0/domains",
        &["Domain.Read.All", "Directory.Read.All"],
        |call| call.all("domains", &domains(call.directory), 100, 999),
    ),
    Route::new(
        "/v1.0/subscribedSkus",
        &["Organization.Read.All", "Directory.Read.All"],
        |call| call.all("subscribedSkus", &skus(call.directory), 100, 999),
    ),
];

/// A well-mixed number of a directory, a purpose and an index (splitmix64).
pub(crate) fn mix(directory: &Directory, purpose: u64, index: usize) -> u64 {
    mix_of(
        directory.id.as_u64_pair().0
            ^ purpose.wrapping_mul(0x9e37_79b9_7f4a_7c15)
            ^ (index as u64).wrapping_mul(0xbf58_476d_1ce4_e5b9),
    )
}

pub(crate) fn mix_of(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

pub(crate) fn pick<'a>(list: &[&'a str], n: u64) -> &'a str {
    list[usize::try_from(n % list.len() as u64).unwrap_or(0)]
}

/// The bits of a UUID's lower half that its variant leaves free.
const FREE: u64 = (1 << 62) - 1;
const FACTOR: u64 = 0xbf58_476d_1ce4_e5b9;

/// The inverse of an odd number modulo a power of two, by Newton's iteration.
const fn inverse(odd: u64) -> u64 {
    let mut inverse = odd;
    let mut round = 0;
    while round < 5 {
        inverse = inverse.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(inverse)));
        round += 1;
    }
    inverse
}

/// The id of an object. Its lower half is the index, scrambled so that it can be read back.
pub(crate) fn object_id(directory: &Directory, purpose: u64, index: usize) -> Uuid {
    let key = mix(directory, purpose + 100, 0);
    let low = (index as u64 ^ (key & FREE)).wrapping_mul(FACTOR) & FREE;
    let bits = u128::from(mix(directory, purpose, index)) << 64 | u128::from(low);
    uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid()
}

/// The index that an id of this purpose was made from, if it was.
pub(crate) fn index_of(directory: &Directory, purpose: u64, id: &str) -> Option<usize> {
    let id = Uuid::parse_str(id).ok()?;
    let key = mix(directory, purpose + 100, 0) & FREE;
    let low = id.as_u64_pair().1 & FREE;
    let index = usize::try_from((low.wrapping_mul(inverse(FACTOR)) & FREE) ^ key).ok()?;
    (object_id(directory, purpose, index) == id).then_some(index)
}

pub(crate) fn stamp(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// A time in seconds since 1970, as Graph writes it.
pub(crate) fn stamp_of(seconds: i64) -> Value {
    DateTime::from_timestamp(seconds, 0).map_or(Value::Null, |t| json!(stamp(t)))
}

/// Now, as the simulated Microsoft sees it: real time.
#[allow(clippy::disallowed_methods)] // the simulator stands for a machine elsewhere
pub(crate) fn now() -> DateTime<Utc> {
    Utc::now()
}

/// A fixed day from which dates of objects are counted back, so that they stay the same.
pub(crate) fn epoch() -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000, 0).unwrap_or_default()
}

/// So many days before the fixed day.
pub(crate) fn days_ago(days: u64) -> String {
    stamp(epoch() - Duration::days(i64::try_from(days).unwrap_or(0)))
}

/// `GET /organization`.
fn organization(d: &Directory) -> Value {
    json!({
        "id": d.id, "displayName": d.name, "countryLetterCode": d.country, "tenantType": "AAD",
        "createdDateTime": days_ago(1800),
        "onPremisesSyncEnabled": null, "partnerTenantType": null,
        "technicalNotificationMails": [format!("it@{}", d.domain)],
        "verifiedDomains": [
            { "name": d.domain, "isDefault": true, "isInitial": false, "type": "Managed", "capabilities": "Email" },
            { "name": initial_domain(d), "isDefault": false, "isInitial": true, "type": "Managed", "capabilities": "Email" },
        ],
        "assignedPlans": [],
    })
}

pub(crate) fn initial_domain(d: &Directory) -> String {
    format!(
        "{}.onmicrosoft.example",
        d.domain.split('.').next().unwrap_or("tenant")
    )
}

/// `GET /domains`.
fn domains(d: &Directory) -> Vec<Value> {
    [(d.domain.clone(), true), (initial_domain(d), false)]
        .into_iter()
        .map(|(name, default)| {
            json!({
                "id": name, "authenticationType": "Managed", "isAdminManaged": true,
                "isDefault": default, "isInitial": !default, "isRoot": true, "isVerified": true,
                "supportedServices": ["Email", "OfficeCommunicationsOnline"],
                "passwordValidityPeriodInDays": 2_147_483_647, "passwordNotificationWindowInDays": 14,
                "availabilityStatus": null, "state": null,
            })
        })
        .collect()
}

/// `GET /subscribedSkus`.
fn skus(d: &Directory) -> Vec<Value> {
    if !d.premium {
        return vec![];
    }
    let mut plans = vec![("41781fb2-bc02-4b7c-bd55-b576c07bb09d", "AAD_PREMIUM")];
    if d.premium_two {
        plans.push(("eec0eb4f-6444-4f95-aba0-50c24d67f998", "AAD_PREMIUM_P2"));
        plans.push(("c1ec4a95-1f05-45b3-a911-aa3fa01094f5", "INTUNE_A"));
    }
    let plans: Vec<Value> = plans
        .into_iter()
        .map(|(id, name)| {
            json!({ "servicePlanId": id, "servicePlanName": name,
                "provisioningStatus": "Success", "appliesTo": "User" })
        })
        .collect();
    vec![json!({
        "id": format!("{}_06ebc4ee-1bb5-47dd-8120-11324bc54e06", d.id),
        "skuId": "06ebc4ee-1bb5-47dd-8120-11324bc54e06", "skuPartNumber": if d.premium_two { "SPE_E5" } else { "SPE_E3" },
        "accountId": d.id, "accountName": d.name, "appliesTo": "User", "capabilityStatus": "Enabled",
        "consumedUnits": d.users, "prepaidUnits": { "enabled": d.users + 10, "lockedOut": 0, "suspended": 0, "warning": 0 },
        "servicePlans": plans,
        "subscriptionIds": [world::id(b"subscription", d.users as u64)],
    })]
}
