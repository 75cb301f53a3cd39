//! What was synced as events of the Open Cybersecurity Schema Framework (<https://schema.ocsf.io>), one JSON
//! object a line: User Inventory Info (5003), Device Inventory Info (5001), Compliance Finding (2003) of
//! Secure Score's controls and Detection Finding (2004) of Microsoft's risk detections. docs/ocsf.md has
//! every field with its source.

use model::{
    Timestamp,
    extract::{Extract, Generations},
};
use serde::Serialize;

mod asset_connector;
mod device;
mod finding;
#[cfg(test)]
mod tests;
mod user;

/// A class of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// 5003.
    UserInventory,
    /// 5001.
    DeviceInventory,
    /// 2003.
    ComplianceFinding,
    /// 2004.
    DetectionFinding,
}

impl Class {
    /// All of them, in the order in which they are sent.
    pub const ALL: &'static [Self] = &[
        Self::UserInventory,
        Self::DeviceInventory,
        Self::ComplianceFinding,
        Self::DetectionFinding,
    ];

    /// Its word in addresses and commands: the schema's own name of the class.
    pub fn word(self) -> &'static str {
        match self {
            Self::UserInventory => "user_inventory",
            Self::DeviceInventory => "inventory_info",
            Self::ComplianceFinding => "compliance_finding",
            Self::DetectionFinding => "detection_finding",
        }
    }

    /// Its number.
    pub fn uid(self) -> u32 {
        match self {
            Self::UserInventory => 5003,
            Self::DeviceInventory => 5001,
            Self::ComplianceFinding => 2003,
            Self::DetectionFinding => 2004,
        }
    }

    /// Its name.
    pub fn caption(self) -> &'static str {
        match self {
            Self::UserInventory => "User Inventory Info",
            Self::DeviceInventory => "Device Inventory Info",
            Self::ComplianceFinding => "Compliance Finding",
            Self::DetectionFinding => "Detection Finding",
        }
    }

    /// The class of a word or number.
    pub fn of(text: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|class| class.word() == text || class.uid().to_string() == text)
            .copied()
    }
}

/// A version of the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Version {
    /// 1.6.0.
    #[default]
    V1_6_0,
    /// 1.8.0, which has more fields for accounts and people.
    V1_8_0,
}

impl Version {
    /// As the schema writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1_6_0 => "1.6.0",
            Self::V1_8_0 => "1.8.0",
        }
    }

    /// The version of a text.
    pub fn of(text: &str) -> Option<Self> {
        [Self::V1_6_0, Self::V1_8_0]
            .into_iter()
            .find(|version| version.as_str() == text)
    }
}

/// How users are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// As the schema says.
    #[default]
    Schema,
    /// As asset connectors of other products write them, to the letter: `time` in seconds with a fraction,
    /// `type_name` without the activity. No validator of the schema takes that; what was built on it does.
    AssetConnector,
}

impl Form {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Schema => "schema",
            Self::AssetConnector => "asset-connector",
        }
    }

    /// The form of a word.
    pub fn of(text: &str) -> Option<Self> {
        [Self::Schema, Self::AssetConnector]
            .into_iter()
            .find(|form| form.as_str() == text)
    }
}

/// How events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Style {
    /// Version of the schema.
    pub version: Version,
    /// Form of users.
    pub form: Form,
}

/// Some events, a line each.
#[derive(Debug, Clone, Default)]
pub struct Lines {
    /// JSON and a line feed, for each event.
    pub bytes: Vec<u8>,
    /// How many.
    pub events: usize,
    /// Where to go on: the id of the last object. `None` at the end of the class.
    pub last: Option<String>,
}

impl Lines {
    fn push(&mut self, event: &impl Serialize) {
        // Writing to memory what has no map with keys that are no texts: nothing can fail.
        if serde_json::to_writer(&mut self.bytes, event).is_ok() {
            self.bytes.push(b'\n');
            self.events += 1;
        }
    }
}

/// Events of a class behind an object's id, at most so many.
///
/// # Errors
/// When the database cannot be read.
pub async fn read(
    extract: &Extract,
    class: Class,
    style: Style,
    behind: &str,
    limit: u64,
) -> model::Result<Lines> {
    let mut lines = Lines::default();
    let tenant = Tenant::of(extract, style);
    let last = match class {
        Class::UserInventory => {
            let users = extract.users(behind, limit).await?;
            for user in &users {
                match style.form {
                    Form::Schema => lines.push(&user::event(&tenant, user)),
                    Form::AssetConnector => lines.push(&asset_connector::event(user)),
                }
            }
            full(&users, limit).map(|user| user.user.id.clone())
        }
        Class::DeviceInventory => {
            let devices = extract.devices(behind, limit).await?;
            for device in &devices {
                lines.push(&device::event(&tenant, device));
            }
            full(&devices, limit).map(|device| device.device.id.clone())
        }
        Class::DetectionFinding => {
            let detections = extract.risk_detections(behind, limit).await?;
            for detection in &detections {
                lines.push(&finding::detection(&tenant, detection));
            }
            full(&detections, limit).map(|detection| detection.id.clone())
        }
        Class::ComplianceFinding => {
            let mut controls = extract.controls().await?;
            controls.retain(|control| control.id.as_str() > behind);
            let whole = controls.len();
            controls.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
            for control in &controls {
                lines.push(&finding::control(&tenant, control));
            }
            let more = controls.len() < whole;
            controls
                .last()
                .filter(|_| more)
                .map(|control| control.id.clone())
        }
    };
    lines.last = last;
    Ok(lines)
}

/// Objects of one part of an export.
const PART: u64 = 500;

/// Events of extracts, class by class, in parts, so that their number does not matter.
#[derive(Debug)]
pub struct Export {
    extracts: std::vec::IntoIter<Extract>,
    classes: Vec<Class>,
    style: Style,
    /// The extract that is read, the place of its class in the list, and the object behind which it goes on.
    now: Option<(Extract, usize, String)>,
}

impl Export {
    /// Of these extracts and classes.
    pub fn new(extracts: Vec<Extract>, classes: Vec<Class>, style: Style) -> Self {
        Self {
            extracts: extracts.into_iter(),
            classes,
            style,
            now: None,
        }
    }

    /// The next part, which has at least one event; `None` at the end.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn next(&mut self) -> model::Result<Option<Lines>> {
        loop {
            let (extract, place, behind) = match self.now.take() {
                Some(now) => now,
                None => match self.extracts.next() {
                    Some(extract) => (extract, 0, String::new()),
                    None => return Ok(None),
                },
            };
            let Some(class) = self.classes.get(place) else {
                continue;
            };
            let lines = read(&extract, *class, self.style, &behind, PART).await?;
            self.now = Some(match &lines.last {
                Some(last) => (extract, place, last.clone()),
                None => (extract, place + 1, String::new()),
            });
            if lines.events > 0 {
                return Ok(Some(lines));
            }
        }
    }
}

/// The last of a page that may have one behind it.
fn full<T>(rows: &[T], limit: u64) -> Option<&T> {
    rows.last().filter(|_| rows.len() as u64 >= limit)
}

/// What all events of a tenant share.
struct Tenant {
    /// Microsoft's id.
    id: String,
    name: String,
    company: String,
    style: Style,
    at: Generations,
    published_at: Option<Timestamp>,
}

impl Tenant {
    fn of(extract: &Extract, style: Style) -> Self {
        Self {
            id: extract.directory_id.to_string(),
            name: extract.tenant_name.clone(),
            company: extract.company_name.clone(),
            style,
            at: extract.at,
            published_at: extract.published_at,
        }
    }

    fn is_1_8(&self) -> bool {
        self.style.version >= Version::V1_8_0
    }

    fn metadata(&self, class: Class, object: &str) -> Metadata<'_> {
        // Whatever an event is made of has a generation of its own.
        let Generations {
            directory,
            activity,
            secure_score,
        } = self.at;
        let generation = match class {
            Class::UserInventory => format!("{directory}.{activity}"),
            Class::DeviceInventory | Class::DetectionFinding => directory.to_string(),
            Class::ComplianceFinding => secure_score.to_string(),
        };
        Metadata {
            labels: [&self.company],
            logged_time: self.published_at.map(Millis::from),
            product: Product {
                name: "Microsoft Entra ID",
                vendor_name: "Microsoft",
                version: "1.0",
            },
            profiles: ["cloud"],
            tenant_uid: &self.id,
            uid: format!("{}/{}/{object}/{generation}", self.id, class.uid()),
            version: self.style.version.as_str(),
        }
    }

    fn cloud(&self) -> Cloud<'_> {
        Cloud {
            account: CloudAccount {
                name: (!self.name.is_empty()).then_some(&self.name),
                kind: "M365 Tenant",
                type_id: 17,
                uid: &self.id,
            },
            provider: "Azure",
        }
    }
}

/// What every event begins with.
#[derive(Serialize)]
struct Head<'a> {
    activity_id: u32,
    activity_name: &'static str,
    category_name: &'static str,
    category_uid: u32,
    class_name: &'static str,
    class_uid: u32,
    cloud: Cloud<'a>,
    metadata: Metadata<'a>,
    severity: &'static str,
    severity_id: u32,
    time: Millis,
    type_name: String,
    type_uid: u32,
}

impl<'a> Head<'a> {
    fn new(
        class: Class,
        (activity_id, activity_name): (u32, &'static str),
        (severity_id, severity): (u32, &'static str),
        time: Timestamp,
        (metadata, cloud): (Metadata<'a>, Cloud<'a>),
    ) -> Self {
        let (category_uid, category_name) = match class.uid() / 1000 {
            5 => (5, "Discovery"),
            _ => (2, "Findings"),
        };
        Self {
            activity_id,
            activity_name,
            category_name,
            category_uid,
            class_name: class.caption(),
            class_uid: class.uid(),
            cloud,
            metadata,
            severity,
            severity_id,
            time: time.into(),
            type_name: format!("{}: {activity_name}", class.caption()),
            type_uid: class.uid() * 100 + activity_id,
        }
    }
}

const COLLECT: (u32, &str) = (2, "Collect");
const INFORMATIONAL: (u32, &str) = (1, "Informational");

#[derive(Serialize)]
struct Metadata<'a> {
    /// The company of the partner: the tenant's name is its administrator's choice.
    labels: [&'a str; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    logged_time: Option<Millis>,
    product: Product,
    profiles: [&'static str; 1],
    tenant_uid: &'a str,
    /// The same when the same is sent again, so that a receiver can drop doubles.
    uid: String,
    version: &'static str,
}

#[derive(Serialize)]
struct Product {
    name: &'static str,
    vendor_name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
struct Cloud<'a> {
    account: CloudAccount<'a>,
    provider: &'static str,
}

#[derive(Serialize)]
struct CloudAccount<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(rename = "type")]
    kind: &'static str,
    type_id: u32,
    uid: &'a str,
}

/// Milliseconds since 1970, as the schema counts.
#[derive(Debug, Clone, Copy, Serialize)]
struct Millis(i64);

impl From<Timestamp> for Millis {
    fn from(at: Timestamp) -> Self {
        Self(at.0)
    }
}

/// Text that says something.
fn said(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}
