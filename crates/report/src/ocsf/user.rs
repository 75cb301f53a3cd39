//! User Inventory Info (5003).

use model::{Timestamp, extract::ExtractedUser};
use serde::{Serialize, Serializer};

use super::{COLLECT, Class, Head, INFORMATIONAL, Millis, Tenant, said};

#[derive(Serialize)]
pub(super) struct Event<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    enrichments: Vec<Enrichment>,
    user: User<'a>,
}

#[derive(Serialize)]
struct User<'a> {
    account: Account<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email_addr: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    full_name: Option<&'a str>,
    groups: Vec<Group<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    has_mfa: Option<bool>,
    ldap_person: Person<'a>,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    org: Option<Org<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    risk_level: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    risk_level_id: Option<u32>,
    #[serde(rename = "type")]
    kind: &'static str,
    type_id: u32,
    uid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid_alt: Option<&'a str>,
}

#[derive(Serialize)]
struct Account<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    is_disabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_on_premises_sync_enabled: Option<bool>,
    name: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    type_id: u32,
    uid: &'a str,
}

#[derive(Serialize)]
pub(super) struct Group<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    uid: &'a str,
}

#[derive(Serialize)]
pub(super) struct Org<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ou_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<&'a str>,
}

#[derive(Serialize)]
struct Person<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    created_time: Option<Millis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    department: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    employee_uid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    given_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    job_title: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_login_time: Option<Millis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    office_location: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    surname: Option<&'a str>,
}

/// What the schema has no field for.
#[derive(Serialize)]
pub(super) struct Enrichment {
    pub(super) data: Data,
    pub(super) name: &'static str,
    pub(super) value: String,
}

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Data {
    /// The state of the account.
    Status {
        is_enabled: Option<bool>,
        /// Null is never. Where sign-in activity could not be read it is left out.
        #[serde(skip_serializing_if = "Option::is_none", serialize_with = "maybe_time")]
        last_logon: Option<Option<Timestamp>>,
        last_time_password_change: Option<Seconds>,
    },
    /// Nothing besides the value.
    Empty {},
}

/// Seconds since 1970, whole or with a fraction.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Seconds {
    Whole(i64),
    WithFraction(f64),
}

impl Seconds {
    #[allow(clippy::cast_precision_loss)] // milliseconds of a date are far below 2^53
    pub(super) fn with_fraction(at: Timestamp) -> Self {
        Self::WithFraction(at.0 as f64 / 1000.0)
    }
}

/// As the source writes moments, with the offset of UTC in figures.
fn maybe_time<S: Serializer>(
    time: &Option<Option<Timestamp>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    time.flatten()
        .map(|at| at.rfc3339().replace('Z', "+00:00"))
        .serialize(serializer)
}

pub(super) fn event<'a>(tenant: &'a Tenant, one: &'a ExtractedUser) -> Event<'a> {
    let user = &one.user;
    let metadata = tenant.metadata(Class::UserInventory, &user.id);
    // When the account was made, as the mapping says; else when a sync first saw it.
    let time = user.account_created_at.unwrap_or(user.first_seen_at);
    let (type_id, kind) = kind(one);
    let risk = risk(one);
    Event {
        head: Head::new(
            Class::UserInventory,
            COLLECT,
            INFORMATIONAL,
            time,
            (metadata, tenant.cloud()),
        ),
        enrichments: enrichments(one, |at| Seconds::Whole(at.0.div_euclid(1000))),
        user: User {
            account: Account {
                is_disabled: user
                    .account_enabled
                    .map(|on| !on)
                    .filter(|_| tenant.is_1_8()),
                is_on_premises_sync_enabled: user
                    .on_premises_sync_enabled
                    .filter(|_| tenant.is_1_8()),
                name: &user.user_principal_name,
                kind: "Azure AD Account",
                type_id: 6,
                uid: &user.id,
            },
            display_name: said(Some(&user.display_name)),
            domain: domain(&user.user_principal_name),
            email_addr: user.mail.as_deref().filter(|mail| is_address(mail)),
            full_name: said(Some(&user.display_name)),
            groups: groups(one),
            has_mfa: one.mfa_registered,
            ldap_person: Person {
                created_time: user.account_created_at.map(Millis::from),
                department: said(user.department.as_deref()).filter(|_| tenant.is_1_8()),
                employee_uid: said(user.employee_id.as_deref()),
                given_name: said(user.given_name.as_deref()),
                job_title: said(user.job_title.as_deref()),
                last_login_time: one.last_sign_in_at.map(Millis::from),
                office_location: said(user.office_location.as_deref()),
                surname: said(user.surname.as_deref()),
            },
            name: name(one),
            org: org(one, Some(&tenant.id)),
            risk_level: risk.map(|(_, word)| word),
            risk_level_id: risk.map(|(id, _)| id),
            kind,
            type_id,
            uid: &user.id,
            uid_alt: said(user.on_premises_sam_account_name.as_deref()),
        },
    }
}

pub(super) fn enrichments(
    one: &ExtractedUser,
    seconds: impl Fn(Timestamp) -> Seconds,
) -> Vec<Enrichment> {
    let user = &one.user;
    let known = one.sign_in_is_known || one.last_sign_in_at.is_some();
    let mut all = vec![Enrichment {
        data: Data::Status {
            is_enabled: user.account_enabled,
            last_logon: known.then_some(one.last_sign_in_at),
            last_time_password_change: user.last_password_change_at.map(seconds),
        },
        name: "account",
        value: "status".into(),
    }];
    let employment: Vec<&str> = [user.department.as_deref(), user.job_title.as_deref()]
        .into_iter()
        .filter_map(said)
        .collect();
    if !employment.is_empty() {
        all.push(Enrichment {
            data: Data::Empty {},
            name: "employment",
            value: employment.join(" - "),
        });
    }
    all
}

/// The principal name, or `unknown`.
pub(super) fn name(one: &ExtractedUser) -> &str {
    said(Some(&one.user.user_principal_name)).unwrap_or("unknown")
}

/// Whether the schema takes it as an address of mail.
fn is_address(text: &str) -> bool {
    let whole = !text.contains(char::is_whitespace);
    let parts = text.split_once('@').filter(|(name, _)| !name.is_empty());
    let domain = parts.and_then(|(_, rest)| rest.rsplit_once('.'));
    whole && domain.is_some_and(|(left, right)| !left.is_empty() && !right.is_empty())
}

pub(super) fn domain(principal_name: &str) -> Option<&str> {
    said(principal_name.rsplit_once('@').map(|(_, domain)| domain))
}

pub(super) fn groups(one: &ExtractedUser) -> Vec<Group<'_>> {
    one.groups
        .iter()
        .map(|(id, name)| Group {
            name: name.as_deref(),
            uid: id,
        })
        .collect()
}

/// Where the user works; an office alone is one of the tenant, as the schema wants a name or an id.
pub(super) fn org<'a>(one: &'a ExtractedUser, tenant: Option<&'a str>) -> Option<Org<'a>> {
    let name = said(one.user.company_name.as_deref());
    let ou_name = said(one.user.office_location.as_deref());
    (name.is_some() || ou_name.is_some()).then_some(Org {
        name,
        ou_name,
        uid: tenant.filter(|_| name.is_none()),
    })
}

/// An administrator, or a user; unknown counts as a user, as the mapping says "otherwise".
pub(super) fn kind(one: &ExtractedUser) -> (u32, &'static str) {
    match one.is_admin {
        Some(true) => (2, "Admin"),
        _ => (1, "User"),
    }
}

fn risk(one: &ExtractedUser) -> Option<(u32, &'static str)> {
    match one.risk_level.as_deref() {
        Some("low") => Some((1, "Low")),
        Some("medium") => Some((2, "Medium")),
        Some("high") => Some((3, "High")),
        _ => None,
    }
}
