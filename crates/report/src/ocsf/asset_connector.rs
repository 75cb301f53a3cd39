//! Users as an asset connector for Microsoft Entra ID writes them: the fields and forms of its documented
//! example, which are not all the schema's.

use model::extract::ExtractedUser;
use serde::Serialize;

use super::user::{Enrichment, Group, Org, Seconds, domain, enrichments, groups, kind, name, org};

#[derive(Serialize)]
pub(super) struct Event<'a> {
    activity_id: u32,
    activity_name: &'static str,
    category_name: &'static str,
    category_uid: u32,
    class_name: &'static str,
    class_uid: u32,
    type_name: &'static str,
    type_uid: u32,
    severity: &'static str,
    severity_id: u32,
    time: Seconds,
    metadata: Metadata,
    user: User<'a>,
    enrichments: Vec<Enrichment>,
}

#[derive(Serialize)]
struct Metadata {
    product: Product,
    version: &'static str,
}

#[derive(Serialize)]
struct Product {
    name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
struct User<'a> {
    uid: &'a str,
    name: &'a str,
    full_name: &'a str,
    display_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    email_addr: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid_alt: Option<&'a str>,
    /// Left out where it could not be read: a false would accuse somebody.
    #[serde(skip_serializing_if = "Option::is_none")]
    has_mfa: Option<bool>,
    type_id: u32,
    #[serde(rename = "type")]
    kind: &'static str,
    account: Account<'a>,
    groups: Vec<Group<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    org: Option<Org<'a>>,
}

#[derive(Serialize)]
struct Account<'a> {
    uid: &'a str,
    name: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    type_id: u32,
}

pub(super) fn event(one: &ExtractedUser) -> Event<'_> {
    let user = &one.user;
    let (type_id, kind) = kind(one);
    Event {
        activity_id: 2,
        activity_name: "Collect",
        category_name: "Discovery",
        category_uid: 5,
        class_name: "User Inventory Info",
        class_uid: 5003,
        type_name: "User Inventory",
        type_uid: 500_302,
        severity: "Informational",
        severity_id: 1,
        time: Seconds::with_fraction(user.account_created_at.unwrap_or(user.first_seen_at)),
        metadata: Metadata {
            product: Product {
                name: "Microsoft Entra ID",
                version: "1.0",
            },
            version: "1.6.0",
        },
        user: User {
            uid: &user.id,
            name: name(one),
            full_name: &user.display_name,
            display_name: &user.display_name,
            email_addr: user.mail.as_deref(),
            domain: domain(&user.user_principal_name),
            uid_alt: user.on_premises_sam_account_name.as_deref(),
            has_mfa: one.mfa_registered,
            type_id,
            kind,
            account: Account {
                uid: &user.id,
                name: &user.user_principal_name,
                kind: "Azure AD Account",
                type_id: 6,
            },
            groups: groups(one),
            org: org(one, None),
        },
        enrichments: enrichments(one, Seconds::with_fraction),
    }
}
