//! Device Inventory Info (5001).

use model::{
    extract::ExtractedDevice,
    inventory::{Cell, Record},
};
use serde::Serialize;

use super::{COLLECT, Class, Head, INFORMATIONAL, Millis, Tenant, said};

#[derive(Serialize)]
pub(super) struct Event<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    device: Device<'a>,
}

#[derive(Serialize)]
struct Device<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    created_time: Option<Millis>,
    first_seen_time: Millis,
    #[serde(skip_serializing_if = "Option::is_none")]
    hw_info: Option<Hardware<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_compliant: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_managed: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_personal: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seen_time: Option<Millis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    os: Option<System<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<Owner<'a>>,
    #[serde(rename = "type")]
    kind: &'static str,
    type_id: u32,
    uid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid_alt: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vendor_name: Option<&'a str>,
}

#[derive(Serialize)]
struct Hardware<'a> {
    serial_number: &'a str,
}

#[derive(Serialize)]
struct System<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    type_id: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
}

/// Who uses it, as Intune says.
#[derive(Serialize)]
struct Owner<'a> {
    name: &'a str,
}

fn yes(record: &Record, name: &str) -> Option<bool> {
    match record.get(name) {
        Some(Cell::Boolean(yes)) => Some(*yes),
        _ => None,
    }
}

pub(super) fn event<'a>(tenant: &'a Tenant, one: &'a ExtractedDevice) -> Event<'a> {
    let (device, managed) = (&one.device, one.managed.as_ref());
    let metadata = tenant.metadata(Class::DeviceInventory, &device.id);
    // What the directory says, else what Intune says.
    let either = |name: &str| {
        said(device.text(name)).or_else(|| managed.and_then(|managed| said(managed.text(name))))
    };
    let last_seen = managed
        .and_then(|managed| managed.time("last_sync_at"))
        .max(device.time("last_sign_in_at"));
    let system = either("operating_system");
    let (type_id, kind) = kind(system);
    Event {
        head: Head::new(
            Class::DeviceInventory,
            COLLECT,
            INFORMATIONAL,
            // The moment of the collection: a device has no other that is always known.
            tenant.published_at.unwrap_or(device.changed_at),
            (metadata, tenant.cloud()),
        ),
        device: Device {
            created_time: device.time("registered_at").map(Millis::from),
            first_seen_time: device.first_seen_at.into(),
            hw_info: managed
                .and_then(|managed| said(managed.text("serial_number")))
                .map(|serial_number| Hardware { serial_number }),
            is_compliant: yes(device, "is_compliant"),
            is_managed: yes(device, "is_managed"),
            is_personal: managed.and_then(|managed| match managed.text("owner_type") {
                Some("personal") => Some(true),
                Some("company") => Some(false),
                _ => None,
            }),
            last_seen_time: last_seen.map(Millis::from),
            model: either("model"),
            name: device.name(),
            os: system.map(|name| {
                let (type_id, kind) = system_kind(name);
                System {
                    name,
                    kind,
                    type_id,
                    version: said(device.text("operating_system_version"))
                        .or_else(|| managed.and_then(|managed| said(managed.text("os_version")))),
                }
            }),
            owner: managed
                .and_then(|managed| said(managed.text("user_principal_name")))
                .map(|name| Owner { name }),
            kind,
            type_id,
            uid: &device.id,
            uid_alt: said(device.text("device_id")),
            vendor_name: either("manufacturer"),
        },
    }
}

/// What sort of machine has such a system. Microsoft does not say whether one with Windows or macOS stands
/// on a desk or is carried about, or is a server: those are unknown, not guessed.
fn kind(system: Option<&str>) -> (u32, &'static str) {
    let system = system.unwrap_or_default().to_ascii_lowercase();
    match system.as_str() {
        "ipados" => (4, "Tablet"),
        "ios" | "iphone" | "windowsphone" => (5, "Mobile"),
        "windows server" | "windowsserver" => (1, "Server"),
        android if android.starts_with("android") => (5, "Mobile"),
        _ => (0, "Unknown"),
    }
}

fn system_kind(name: &str) -> (u32, &'static str) {
    let name = name.to_ascii_lowercase();
    let begins = |word: &str| name.starts_with(word);
    if begins("windowsphone") || begins("windows mobile") {
        (101, "Windows Mobile")
    } else if begins("windows") {
        (100, "Windows")
    } else if begins("android") {
        (201, "Android")
    } else if begins("linux") {
        (200, "Linux")
    } else if begins("macos") || begins("mac os") || begins("macmdm") {
        (300, "macOS")
    } else if begins("ipad") {
        (302, "iPadOS")
    } else if begins("ios") || begins("iphone") {
        (301, "iOS")
    } else {
        (99, "Other")
    }
}
