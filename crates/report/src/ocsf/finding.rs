//! Findings: controls of Secure Score (2003) and risks that Microsoft detected (2004).

use model::{
    Timestamp,
    inventory::Record,
    secure_score::{Control, ControlStatus},
};
use serde::Serialize;

use super::{Class, Head, INFORMATIONAL, Millis, Tenant, said};

const CREATE: (u32, &str) = (1, "Create");
const CLOSE: (u32, &str) = (3, "Close");
const LOW: (u32, &str) = (2, "Low");
const MEDIUM: (u32, &str) = (3, "Medium");
const HIGH: (u32, &str) = (4, "High");
const NEW: (u32, &str) = (1, "New");
const SUPPRESSED: (u32, &str) = (3, "Suppressed");
const RESOLVED: (u32, &str) = (4, "Resolved");

#[derive(Serialize)]
pub(super) struct ControlEvent<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    compliance: Compliance<'a>,
    finding_info: Info<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remediation: Option<Remediation<'a>>,
    resources: [Resource<'a>; 1],
    status: &'static str,
    status_id: u32,
    unmapped: Points,
}

#[derive(Serialize)]
struct Compliance<'a> {
    category: &'a str,
    control: &'a str,
    standards: [&'static str; 1],
    status: &'static str,
    status_id: u32,
}

#[derive(Serialize)]
struct Info<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    created_time: Option<Millis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    desc: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    modified_time: Option<Millis>,
    title: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    types: Vec<&'a str>,
    uid: String,
}

#[derive(Serialize)]
struct Remediation<'a> {
    desc: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    references: Option<[&'a str; 1]>,
}

/// The tenant that a control is of.
#[derive(Serialize)]
struct Resource<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(rename = "type")]
    kind: &'static str,
    uid: &'a str,
}

/// What the schema has no field for.
#[derive(Serialize)]
struct Points {
    max_score: Option<f64>,
    score: Option<f64>,
}

pub(super) fn control<'a>(tenant: &'a Tenant, one: &'a Control) -> ControlEvent<'a> {
    let metadata = tenant.metadata(Class::ComplianceFinding, &one.id);
    let status = one.status();
    let (compliance_id, compliance) = match status {
        ControlStatus::Done => (1, "Pass"),
        ControlStatus::Partial => (2, "Warning"),
        ControlStatus::ToAddress => (3, "Fail"),
        ControlStatus::Accepted => (99, "Accepted"),
        ControlStatus::Unknown => (0, "Unknown"),
    };
    let (activity, (status_id, lifecycle)) = match status {
        ControlStatus::Done => (CLOSE, RESOLVED),
        ControlStatus::Accepted => (CREATE, SUPPRESSED),
        _ => (CREATE, NEW),
    };
    let profile = one.profile.as_ref();
    let day = one
        .score
        .as_ref()
        .and_then(|score| Timestamp::of_day(&score.day));
    let seen = profile
        .map(|p| p.first_seen_at)
        .or(one.score.as_ref().map(|s| s.first_seen_at));
    let remediation = profile.and_then(|p| said(p.remediation.as_deref()));
    ControlEvent {
        head: Head::new(
            Class::ComplianceFinding,
            activity,
            severity(one, status),
            day.or(tenant.published_at).or(seen).unwrap_or(Timestamp(0)),
            (metadata, tenant.cloud()),
        ),
        compliance: Compliance {
            category: one.category(),
            control: &one.id,
            standards: ["Microsoft Secure Score"],
            status: compliance,
            status_id: compliance_id,
        },
        finding_info: Info {
            created_time: seen.map(Millis::from),
            desc: one
                .score
                .as_ref()
                .and_then(|s| said(s.description.as_deref())),
            modified_time: day.map(Millis::from),
            title: one.title(),
            types: vec![],
            uid: format!("{}/{}", tenant.id, one.id),
        },
        remediation: remediation.map(|desc| Remediation {
            desc,
            references: profile
                .and_then(|p| said(p.action_url.as_deref()))
                .map(|url| [url]),
        }),
        resources: [Resource {
            name: said(Some(&tenant.name)),
            kind: "Microsoft Entra tenant",
            uid: &tenant.id,
        }],
        status: lifecycle,
        status_id,
        unmapped: Points {
            max_score: one.possible(),
            score: one.points(),
        },
    }
}

/// By the points that can still be won: Microsoft gives most of them to what matters most.
fn severity(one: &Control, status: ControlStatus) -> (u32, &'static str) {
    match status {
        ControlStatus::Done | ControlStatus::Accepted | ControlStatus::Unknown => INFORMATIONAL,
        _ if one.open_points() >= 8.0 => HIGH,
        _ if one.open_points() >= 4.0 => MEDIUM,
        _ => LOW,
    }
}

#[derive(Serialize)]
pub(super) struct DetectionEvent<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    evidences: Vec<Evidence<'a>>,
    finding_info: Info<'a>,
    status: &'static str,
    status_id: u32,
}

#[derive(Serialize)]
struct Evidence<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    src_endpoint: Option<Endpoint<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<Person<'a>>,
}

#[derive(Serialize)]
struct Endpoint<'a> {
    ip: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<Location<'a>>,
}

#[derive(Serialize)]
struct Location<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    city: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    country: Option<&'a str>,
}

#[derive(Serialize)]
struct Person<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    full_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<&'a str>,
}

pub(super) fn detection<'a>(tenant: &'a Tenant, one: &'a Record) -> DetectionEvent<'a> {
    let metadata = tenant.metadata(Class::DetectionFinding, &one.id);
    let text = |name: &str| said(one.text(name));
    let severity = match text("risk_level") {
        Some("low") => LOW,
        Some("medium") => MEDIUM,
        Some("high") => HIGH,
        Some("none") => INFORMATIONAL,
        _ => (0, "Unknown"),
    };
    let (activity, (status_id, status)) = match text("risk_state") {
        Some("atRisk") => (CREATE, NEW),
        Some("confirmedCompromised") => (CREATE, (2, "In Progress")),
        Some("dismissed") => (CLOSE, SUPPRESSED),
        Some("remediated" | "confirmedSafe") => (CLOSE, RESOLVED),
        _ => (CREATE, (0, "Unknown")),
    };
    let detected = one.time("detected_at");
    let (city, country) = (text("city"), text("country"));
    let src_endpoint = text("ip_address").map(|ip| Endpoint {
        ip,
        location: (city.is_some() || country.is_some()).then_some(Location { city, country }),
    });
    let (name, uid) = (text("user_principal_name"), text("user_id"));
    let user = (name.is_some() || uid.is_some()).then_some(Person {
        full_name: text("display_name"),
        name,
        uid,
    });
    let has_evidence = src_endpoint.is_some() || user.is_some();
    let kind = text("risk_event_type");
    DetectionEvent {
        head: Head::new(
            Class::DetectionFinding,
            activity,
            severity,
            detected.unwrap_or(one.first_seen_at),
            (metadata, tenant.cloud()),
        ),
        evidences: match has_evidence {
            true => vec![Evidence { src_endpoint, user }],
            false => vec![],
        },
        finding_info: Info {
            created_time: detected.map(Millis::from),
            desc: text("risk_detail").filter(|detail| *detail != "none"),
            modified_time: None,
            title: kind.unwrap_or("Risk detection"),
            types: kind.into_iter().chain(text("source")).collect(),
            uid: format!("{}/{}", tenant.id, one.id),
        },
        status,
        status_id,
    }
}
