//! The mapping of users row by row, each a test; docs/ocsf.md names them.

use model::{
    CompanyId, MappingId, PartnerId, Timestamp, User,
    extract::{ExtractedUser, Generations},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Form, Style, Tenant, Version, asset_connector, user};

fn at(text: &str) -> Timestamp {
    let at = time(text);
    Timestamp(at)
}

/// Milliseconds of `yyyy-mm-ddThh:mm`.
fn time(text: &str) -> i64 {
    let (day, clock) = text.split_once('T').unwrap_or((text, "00:00"));
    let (hour, minute) = clock.split_once(':').unwrap_or((clock, "0"));
    let minutes: i64 = hour.parse::<i64>().unwrap_or(0) * 60 + minute.parse::<i64>().unwrap_or(0);
    Timestamp::of_day(day).map_or(0, |at| at.0) + minutes * 60_000
}

fn person(id: &str, name: &str, login: &str) -> User {
    User {
        partner_id: PartnerId(Uuid::nil()),
        mapping_id: MappingId(Uuid::nil()),
        id: id.into(),
        company_id: CompanyId(Uuid::nil()),
        display_name: name.into(),
        user_principal_name: format!("{login}@example.com"),
        mail: Some(format!("{login}@example.com")),
        given_name: None,
        surname: None,
        job_title: None,
        department: None,
        office_location: None,
        company_name: Some("Example Corp".into()),
        employee_id: None,
        employee_type: None,
        on_premises_sam_account_name: Some(login.into()),
        usage_location: None,
        user_type: None,
        external_user_state: None,
        account_enabled: Some(true),
        on_premises_sync_enabled: Some(true),
        licences: None,
        licensed: None,
        account_created_at: Some(at("2020-06-04T10:00")),
        last_password_change_at: None,
        since: 1,
        until: i64::MAX,
        seen: 1,
        digest: 0,
        first_seen_at: at("2026-01-01"),
        changed_at: at("2026-01-01"),
        ended_at: None,
    }
}

/// The person of the connector's documented example.
fn mary() -> ExtractedUser {
    let id = "a1b2c3d4-e5f6-7890-abcd-ef1234567890";
    ExtractedUser {
        user: User {
            job_title: Some("Financial Analyst".into()),
            department: Some("Finance".into()),
            office_location: Some("New York, NY".into()),
            employee_id: Some("EMP456".into()),
            employee_type: Some("Employee".into()),
            last_password_change_at: Some(at("2025-01-15T08:00")),
            ..person(id, "Mary Jones", "mary.jones")
        },
        mfa_registered: Some(true),
        is_admin: Some(false),
        last_sign_in_at: Some(at("2025-08-26T09:30")),
        sign_in_is_known: true,
        risk_level: None,
        groups: vec![
            ("g1".into(), Some("Finance Users".into())),
            ("g2".into(), Some("All Users".into())),
        ],
    }
}

fn tenant(version: Version) -> Tenant {
    Tenant {
        id: "11111111-2222-4333-8444-555555555555".into(),
        name: "Example".into(),
        company: "Example Corp".into(),
        style: Style {
            version,
            form: Form::Schema,
        },
        at: Generations {
            directory: 7,
            activity: 3,
            secure_score: 2,
        },
        published_at: Some(at("2026-11-20T04:00")),
    }
}

fn written(version: Version, one: &ExtractedUser) -> Value {
    serde_json::to_value(user::event(&tenant(version), one)).unwrap_or_default()
}

fn connector(one: &ExtractedUser) -> Value {
    serde_json::to_value(asset_connector::event(one)).unwrap_or_default()
}

macro_rules! rows {
    ($($name:ident: $source:literal => $path:literal is $expected:tt;)+) => {
        /// Each row of the mapping, in both forms where they agree.
        mod rows {
            use super::*;

            $(#[test]
            fn $name() {
                let event = written(Version::V1_6_0, &mary());
                assert_eq!(event.pointer($path), Some(&json!($expected)), "{event}");
            })+
        }

        const ROWS: &[(&str, &str, &str)] = &[$((stringify!($name), $source, $path)),+];
    };
}

rows! {
    activity_id: "static" => "/activity_id" is 2;
    activity_name: "static" => "/activity_name" is "Collect";
    category_name: "static" => "/category_name" is "Discovery";
    category_uid: "static" => "/category_uid" is 5;
    class_name: "static" => "/class_name" is "User Inventory Info";
    class_uid: "static" => "/class_uid" is 5003;
    type_uid: "static" => "/type_uid" is 500_302;
    type_name: "static" => "/type_name" is "User Inventory Info: Collect";
    severity: "static" => "/severity" is "Informational";
    severity_id: "static" => "/severity_id" is 1;
    time_is_when_the_account_was_made: "createdDateTime" => "/time" is 1_591_264_800_000_i64;
    product_name: "static" => "/metadata/product/name" is "Microsoft Entra ID";
    product_version: "static" => "/metadata/product/version" is "1.0";
    schema_version: "static" => "/metadata/version" is "1.6.0";
    has_mfa: "isMfaRegistered" => "/user/has_mfa" is true;
    name: "userPrincipalName" => "/user/name" is "mary.jones@example.com";
    uid: "id" => "/user/uid" is "a1b2c3d4-e5f6-7890-abcd-ef1234567890";
    groups: "memberOf" => "/user/groups" is [{ "uid": "g1", "name": "Finance Users" }, { "uid": "g2", "name": "All Users" }];
    full_name: "displayName" => "/user/full_name" is "Mary Jones";
    email_addr: "mail" => "/user/email_addr" is "mary.jones@example.com";
    account_uid: "id" => "/user/account/uid" is "a1b2c3d4-e5f6-7890-abcd-ef1234567890";
    account_name: "userPrincipalName" => "/user/account/name" is "mary.jones@example.com";
    account_type: "static" => "/user/account/type" is "Azure AD Account";
    account_type_id: "static" => "/user/account/type_id" is 6;
    display_name: "displayName" => "/user/display_name" is "Mary Jones";
    domain_of_the_account: "userPrincipalName" => "/user/domain" is "example.com";
    type_id: "isAdmin" => "/user/type_id" is 1;
    type_caption: "isAdmin" => "/user/type" is "User";
    org_name: "companyName" => "/user/org/name" is "Example Corp";
    org_unit: "officeLocation" => "/user/org/ou_name" is "New York, NY";
    uid_alt: "onPremisesSamAccountName" => "/user/uid_alt" is "mary.jones";
    enrichment_name: "static" => "/enrichments/0/name" is "account";
    enrichment_value: "static" => "/enrichments/0/value" is "status";
    is_enabled: "accountEnabled" => "/enrichments/0/data/is_enabled" is true;
    last_logon: "signInActivity.lastSignInDateTime" => "/enrichments/0/data/last_logon" is "2025-08-26T09:30:00+00:00";
    last_time_password_change: "lastPasswordChangeDateTime" => "/enrichments/0/data/last_time_password_change" is 1_736_928_000_i64;
}

#[test]
fn the_documentation_names_every_row_and_its_test() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/ocsf.md");
    let documentation = std::fs::read_to_string(root).unwrap_or_default();
    for (name, source, path) in ROWS {
        let path = path.trim_start_matches('/').replace('/', ".");
        let path = path.replace("enrichments.0.", "enrichments[0].");
        let line = documentation
            .lines()
            .find(|line| line.contains(&format!("`rows::{name}`")));
        let line = line.unwrap_or_default();
        assert!(
            line.contains(&format!("`{path}`")),
            "{name}: {path} is not documented: {line:?}"
        );
        assert!(
            line.contains(source),
            "{name}: {source} is not documented: {line:?}"
        );
    }
}

#[test]
fn a_connectors_example_is_written_to_the_letter() {
    let event = connector(&mary());
    let expected = json!({
        "activity_id": 2, "activity_name": "Collect",
        "category_name": "Discovery", "category_uid": 5,
        "class_name": "User Inventory Info", "class_uid": 5003,
        "type_name": "User Inventory", "type_uid": 500_302,
        "severity": "Informational", "severity_id": 1,
        // The documented example has 07:00 UTC here, three hours off the 10:00 that it converts.
        "time": 1_591_264_800.0,
        "metadata": { "product": { "name": "Microsoft Entra ID", "version": "1.0" }, "version": "1.6.0" },
        "user": {
            "uid": "a1b2c3d4-e5f6-7890-abcd-ef1234567890", "name": "mary.jones@example.com",
            "full_name": "Mary Jones", "display_name": "Mary Jones",
            "email_addr": "mary.jones@example.com", "domain": "example.com", "uid_alt": "mary.jones",
            "has_mfa": true, "type_id": 1, "type": "User",
            "account": {
                "uid": "a1b2c3d4-e5f6-7890-abcd-ef1234567890", "name": "mary.jones@example.com",
                "type": "Azure AD Account", "type_id": 6,
            },
            "groups": [{ "uid": "g1", "name": "Finance Users" }, { "uid": "g2", "name": "All Users" }],
            "org": { "name": "Example Corp", "ou_name": "New York, NY" },
        },
        "enrichments": [
            { "name": "account", "value": "status", "data": {
                "is_enabled": true, "last_logon": "2025-08-26T09:30:00+00:00",
                "last_time_password_change": 1_736_928_000.0,
            } },
            { "name": "employment", "value": "Finance - Financial Analyst", "data": {} },
        ],
    });
    assert_eq!(event, expected);
    // Numbers with a fraction, as that example has them.
    assert!(
        event.to_string().contains("\"time\":1591264800.0"),
        "{event}"
    );
}

#[test]
fn what_is_unknown_is_not_told() {
    let nobody = ExtractedUser {
        user: User {
            mail: Some("no address".into()),
            company_name: None,
            office_location: Some("Oslo".into()),
            on_premises_sam_account_name: Some(String::new()),
            account_enabled: None,
            account_created_at: None,
            user_principal_name: String::new(),
            ..person("x", "", "x")
        },
        mfa_registered: None,
        is_admin: None,
        last_sign_in_at: None,
        sign_in_is_known: false,
        risk_level: Some("hidden".into()),
        groups: vec![("g".into(), None)],
    };
    let event = written(Version::V1_6_0, &nobody);
    let user = &event["user"];
    for absent in [
        "has_mfa",
        "email_addr",
        "uid_alt",
        "full_name",
        "domain",
        "risk_level",
    ] {
        assert!(user.get(absent).is_none(), "{absent}: {event}");
    }
    assert_eq!(user["name"], "unknown");
    assert_eq!(user["org"]["uid"], "11111111-2222-4333-8444-555555555555");
    assert_eq!(user["groups"], json!([{ "uid": "g" }]));
    assert_eq!(user["type_id"], 1, "otherwise a user");
    assert_eq!(
        event["time"],
        at("2026-01-01").0,
        "when a sync first saw it"
    );
    let status = &event["enrichments"][0]["data"];
    assert!(status["is_enabled"].is_null() && status["last_time_password_change"].is_null());
    assert!(
        status.get("last_logon").is_none(),
        "never and unknown are two things"
    );
    assert!(connector(&nobody)["user"].get("has_mfa").is_none());

    let never = ExtractedUser {
        sign_in_is_known: true,
        is_admin: Some(true),
        risk_level: Some("high".into()),
        ..nobody
    };
    let event = written(Version::V1_6_0, &never);
    let status = event["enrichments"][0]["data"].as_object();
    assert!(status.is_some_and(|data| data.get("last_logon").is_some_and(Value::is_null)));
    assert_eq!(
        (&event["user"]["type_id"], &event["user"]["type"]),
        (&json!(2), &json!("Admin"))
    );
    assert_eq!(event["user"]["risk_level_id"], 3);
}

#[test]
fn the_newer_schema_has_more_fields() {
    let (old, new) = (
        written(Version::V1_6_0, &mary()),
        written(Version::V1_8_0, &mary()),
    );
    assert!(old["user"]["account"].get("is_disabled").is_none());
    assert!(old["user"]["ldap_person"].get("department").is_none());
    assert_eq!(new["user"]["account"]["is_disabled"], false);
    assert_eq!(new["user"]["account"]["is_on_premises_sync_enabled"], true);
    assert_eq!(new["user"]["ldap_person"]["department"], "Finance");
    assert_eq!(new["metadata"]["version"], "1.8.0");
    assert_eq!(new["metadata"]["uid"], old["metadata"]["uid"]);
}
