//! Devices: all that are registered, and those of them that Intune manages.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{
    Directory,
    call::{Answer, Call},
    changes::{Changes, Class},
    collection::{Collection, list, one},
    data::{days_ago, index_of, mix, object_id, pick, stamp_of},
    delta::delta,
    router::{Licence, Route},
    users,
    wanted::{Wanted, object},
};

const ROLES: &[&str] = &["Device.Read.All", "Directory.Read.All"];

pub(crate) const ROUTES: &[Route] = &[
    Route::new("/v1.0/devices", ROLES, list::<Devices>),
    Route::new("/v1.0/devices/delta", ROLES, delta::<Devices>),
    Route::new("/v1.0/devices/{id}", ROLES, one::<Devices>),
    Route::new(
        "/v1.0/deviceManagement/managedDevices",
        &[
            "DeviceManagementManagedDevices.Read.All",
            "DeviceManagementConfiguration.Read.All",
        ],
        managed,
    )
    .licensed(Licence::Intune),
];

const ID: u64 = 21;
const DEVICE_ID: u64 = 22;
const MANAGED_ID: u64 = 23;
const DAY: i64 = 86_400;

pub(crate) struct Devices;

impl Collection for Devices {
    const NAME: &'static str = "devices";
    const CLASS: Class = Class::Device;

    fn end(call: &Call<'_>) -> usize {
        call.directory.devices
    }

    fn exists(call: &Call<'_>, index: usize) -> bool {
        index < call.directory.devices
    }

    fn id(call: &Call<'_>, index: usize) -> Uuid {
        object_id(call.directory, ID, index)
    }

    fn index(call: &Call<'_>, id: &str) -> Option<usize> {
        index_of(call.directory, ID, id)
    }

    fn object(call: &Call<'_>, index: usize, wanted: &Wanted) -> Map<String, Value> {
        device(call, index, wanted)
    }
}

/// Operating system, as the directory and as Intune name it, versions, maker, model, prefix.
type Make = (
    &'static str,
    &'static str,
    &'static [&'static str],
    &'static str,
    &'static str,
    &'static str,
);

const MAKES: [Make; 4] = [
    (
        "Windows",
        "Windows",
        &["10.0.26100.2314", "10.0.22631.4460", "10.0.19045.5131"],
        "LENOVO",
        "21HM",
        "LT",
    ),
    (
        "IPhone",
        "iOS",
        &["18.1", "17.6.1"],
        "Apple",
        "iPhone 15",
        "PH",
    ),
    (
        "AndroidEnterprise",
        "Android",
        &["15.0", "14.0", "11.0"],
        "Google",
        "Pixel 8",
        "AN",
    ),
    (
        "MacMDM",
        "macOS",
        &["15.1.0", "14.7.1"],
        "Apple",
        "MacBookPro18,3",
        "MB",
    ),
];

fn make(d: &Directory, index: usize) -> &'static Make {
    match mix(d, 24, index) % 10 {
        0..6 => &MAKES[0],
        6..8 => &MAKES[1],
        8 => &MAKES[2],
        _ => &MAKES[3],
    }
}

fn name(d: &Directory, index: usize, changes: &Changes) -> String {
    let renamed = changes.renamed_devices.get(&index).cloned();
    renamed.unwrap_or_else(|| format!("{}-{index:05}", make(d, index).5))
}

fn is_managed(d: &Directory, index: usize) -> bool {
    !mix(d, 25, index).is_multiple_of(4)
}

fn is_compliant(d: &Directory, index: usize) -> bool {
    mix(d, 25, index) % 9 != 1
}

/// Seconds since 1970 at which it was last seen: some are forgotten in a drawer.
fn seen(call: &Call<'_>, index: usize) -> i64 {
    let n = mix(call.directory, 26, index);
    let days = if n.is_multiple_of(8) { n % 500 } else { n % 20 };
    let time = i64::try_from((n >> 16) % 40_000).unwrap_or(0);
    (call.state.now() / DAY - i64::try_from(days).unwrap_or(0)) * DAY - time
}

fn device(call: &Call<'_>, index: usize, wanted: &Wanted) -> Map<String, Value> {
    let d = call.directory;
    let n = mix(d, 24, index);
    let (system, _, versions, maker, model, _) = *make(d, index);
    let managed = is_managed(d, index);
    let trust = match n % 7 {
        _ if system != "Windows" => "Workplace",
        0 => "ServerAd",
        1 => "Workplace",
        _ => "AzureAd",
    };
    let if_managed = |value: Value| if managed { value } else { Value::Null };
    object!(wanted, {
        "id": object_id(d, ID, index),
        "deviceId": object_id(d, DEVICE_ID, index),
        "displayName": name(d, index, &call.changes),
        "operatingSystem": system,
        "operatingSystemVersion": pick(versions, n >> 8),
        "trustType": trust,
        "profileType": "RegisteredDevice",
        "deviceOwnership": if_managed(json!(if trust == "Workplace" { "Personal" } else { "Company" })),
        "managementType": if_managed(json!("MDM")),
        "isManaged": if_managed(json!(true)),
        "isCompliant": if_managed(json!(is_compliant(d, index))),
        "isRooted": if_managed(json!(false)),
        "accountEnabled": !n.is_multiple_of(19),
        "manufacturer": if_managed(json!(maker)),
        "model": if_managed(json!(model)),
        "deviceVersion": 2,
        "onPremisesSyncEnabled": if trust == "ServerAd" { json!(true) } else { Value::Null },
        "physicalIds": json!([]),
        "systemLabels": json!([]),
        "approximateLastSignInDateTime": stamp_of(seen(call, index)),
        "registrationDateTime": days_ago(n % 1400),
    })
}

fn managed(call: &Call<'_>) -> Answer {
    let wanted = Wanted::of(call.query("$select"), None);
    call.page_where(
        "deviceManagement/managedDevices",
        call.directory.devices,
        (1000, 1000),
        |i| is_managed(call.directory, i),
        |i| Value::Object(managed_device(call, i, &wanted)),
    )
}

fn managed_device(call: &Call<'_>, index: usize, wanted: &Wanted) -> Map<String, Value> {
    let d = call.directory;
    let n = mix(d, 24, index);
    let (_, system, versions, maker, model, _) = *make(d, index);
    let user = index % d.users.max(1);
    // Kiosks and devices of leavers belong to nobody.
    let owned = !n.is_multiple_of(23) && call.changes.has_user(d, user);
    let of_user = |text: String| if owned { text } else { String::new() };
    object!(wanted, {
        "id": object_id(d, MANAGED_ID, index),
        "deviceName": name(d, index, &call.changes),
        "azureADDeviceId": object_id(d, DEVICE_ID, index),
        "azureADRegistered": true,
        "userId": of_user(users::id(d, user).to_string()),
        "userPrincipalName": of_user(users::principal_name(d, user)),
        "userDisplayName": of_user(users::display_name(d, user, &call.changes)),
        "operatingSystem": system,
        "osVersion": pick(versions, n >> 8),
        "complianceState": match is_compliant(d, index) {
            true => "compliant",
            false if n % 3 == 1 => "inGracePeriod",
            false => "noncompliant",
        },
        // No value in a property that may not be null.
        "complianceGracePeriodExpirationDateTime": "0001-01-01T00:00:00Z",
        "managementAgent": "mdm",
        "managedDeviceOwnerType": if n % 7 == 1 { "personal" } else { "company" },
        "deviceRegistrationState": "registered",
        "deviceEnrollmentType": if system == "Windows" { "windowsAzureADJoin" } else { "userEnrollment" },
        "enrolledDateTime": days_ago(n % 1400),
        "lastSyncDateTime": stamp_of(seen(call, index)),
        "isEncrypted": n % 6 != 1,
        "isSupervised": false,
        "jailBroken": if system == "Windows" { "Unknown" } else { "False" },
        "manufacturer": maker,
        "model": model,
        "serialNumber": format!("SN{:08X}", n & 0xffff_ffff),
    })
}
