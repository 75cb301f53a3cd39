//! Client and simulator are held to Microsoft's own metadata and to recorded traffic, where those
//! files are on the machine; the same shapes, in data of our own, are decoded always.

use std::collections::BTreeSet;

use graph::types;
use serde_json::{Value, json};

use crate::app::{Database, TestApp, shared};

#[test]
fn shapes_of_our_own_are_decoded() {
    // Nulls, unknown members, numbers as text, times that are none.
    let user: types::User = serde_json::from_value(json!({
        "id": "1", "displayName": null, "userPrincipalName": "a@b", "accountEnabled": null,
        "createdDateTime": "not a time", "assignedLicenses": null, "somethingNew": {"x": 1},
    }))
    .unwrap();
    assert_eq!(user.display_name, "");
    assert_eq!(
        (user.account_enabled, user.created_date_time.is_some()),
        (None, false)
    );
    assert!(user.assigned_licenses.is_none(), "unknown, not unlicensed");
    let score: types::SecureScore = serde_json::from_value(json!({
        "id": "t_2026-11-20", "currentScore": "402.5", "maxScore": 910, "averageComparativeScores": null,
        "controlScores": [{"controlName": "A", "score": "4.5", "scoreInPercentage": 50.0, "lastSynced": null}],
    })).unwrap();
    assert_eq!(score.current_score, Some(402.5));
    assert_eq!(score.control_scores[0].score, Some(4.5));
    let profile: types::SecureScoreControlProfile = serde_json::from_value(json!({
        "id": "A", "title": null, "controlStateUpdates": [
            {"state": "Default", "updatedDateTime": null},
            {"state": "Ignored", "updatedDateTime": "2026-01-02T00:00:00Z"},
            {"state": "Reviewed", "updatedDateTime": "2026-01-01T00:00:00Z"}],
    }))
    .unwrap();
    assert_eq!(profile.state(), Some("Ignored"));
}

/// Every member of `wire` that we show equals what we decoded.
fn no_field_lost(wire: &Value, decoded: &[(&str, Value)], file: &str) {
    for (name, value) in decoded {
        if let Some(sent) = wire.get(*name).filter(|v| !v.is_null()) {
            assert_eq!(sent, value, "{file}: {name} of {}", wire["id"]);
        }
    }
}

#[test]
fn recorded_traffic_is_decoded_without_loss() {
    let Some(folder) = shared("data/recorded") else {
        return;
    };
    let mut decoded = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        let exchanges: Vec<Value> = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        for exchange in exchanges.iter().filter(|e| e["status"] == 200) {
            let url = exchange["url"].as_str().unwrap();
            let path = url
                .split("/v1.0")
                .nth(1)
                .unwrap_or("")
                .split('?')
                .next()
                .unwrap();
            for wire in exchange["body"]["value"].as_array().into_iter().flatten() {
                decoded += 1;
                match path {
                    "/users" => {
                        let u: types::User = serde_json::from_value(wire.clone()).unwrap();
                        no_field_lost(
                            wire,
                            &[
                                ("id", json!(u.id)),
                                ("displayName", json!(u.display_name)),
                                ("userPrincipalName", json!(u.user_principal_name)),
                                ("mail", json!(u.mail)),
                                ("givenName", json!(u.given_name)),
                                ("surname", json!(u.surname)),
                                ("jobTitle", json!(u.job_title)),
                                ("department", json!(u.department)),
                                ("officeLocation", json!(u.office_location)),
                                ("employeeType", json!(u.employee_type)),
                                ("usageLocation", json!(u.usage_location)),
                                ("userType", json!(u.user_type)),
                                ("accountEnabled", json!(u.account_enabled)),
                            ],
                            &file,
                        );
                        assert_eq!(
                            wire["lastPasswordChangeDateTime"].is_string(),
                            u.last_password_change_date_time.is_some()
                        );
                    }
                    "/groups" => {
                        let g: types::Group = serde_json::from_value(wire.clone()).unwrap();
                        no_field_lost(
                            wire,
                            &[
                                ("id", json!(g.id)),
                                ("displayName", json!(g.display_name)),
                                ("description", json!(g.description)),
                                ("groupTypes", json!(g.group_types)),
                                ("securityEnabled", json!(g.security_enabled)),
                                ("mailEnabled", json!(g.mail_enabled)),
                                ("mail", json!(g.mail)),
                                ("visibility", json!(g.visibility)),
                            ],
                            &file,
                        );
                    }
                    "/organization" => {
                        let o: types::Organization = serde_json::from_value(wire.clone()).unwrap();
                        no_field_lost(
                            wire,
                            &[
                                ("id", json!(o.id)),
                                ("displayName", json!(o.display_name)),
                                ("countryLetterCode", json!(o.country_letter_code)),
                            ],
                            &file,
                        );
                    }
                    "/domains" => {
                        let d: types::Domain = serde_json::from_value(wire.clone()).unwrap();
                        no_field_lost(
                            wire,
                            &[
                                ("id", json!(d.id)),
                                ("authenticationType", json!(d.authentication_type)),
                                ("isDefault", json!(d.is_default)),
                                ("isVerified", json!(d.is_verified)),
                                ("supportedServices", json!(d.supported_services)),
                            ],
                            &file,
                        );
                    }
                    members if members.ends_with("/members") => {
                        let m: types::DirectoryObject =
                            serde_json::from_value(wire.clone()).unwrap();
                        no_field_lost(
                            wire,
                            &[
                                ("id", json!(m.id)),
                                ("@odata.type", json!(m.odata_type)),
                                ("displayName", json!(m.display_name)),
                            ],
                            &file,
                        );
                    }
                    _ => decoded -= 1,
                }
            }
        }
    }
    assert!(decoded > 50, "{decoded} objects were decoded");
}

/// Properties of a type with those of its kind's name in the metadata.
fn properties(types: &Value, name: &str) -> BTreeSet<String> {
    types[name]["properties"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect()
}

#[test]
fn every_path_and_property_is_microsofts() {
    let (Some(paths), Some(types_file)) = (
        shared("data/msgraph-openapi-v1.db"),
        shared("microsoft/graph-types.json"),
    ) else {
        return;
    };
    crate::app::run(|| async {
        let app = TestApp::start(Database::Sqlite).await;
        app.connected("Contoso").await;
        app.drain().await;
        let known = rusqlite::Connection::open_with_flags(
            format!("file:{}?immutable=1", paths.display()),
            rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY | rusqlite::OpenFlags::SQLITE_OPEN_URI,
        )
        .unwrap();
        let mut checked = 0;
        for path in app.sim.paths() {
            let Some(path) = path.strip_prefix("/v1.0") else {
                continue;
            };
            // The index names parameters by their type: /groups/{group-id}/members.
            let pattern = path.replace("{id}", "{%}");
            let found: i64 = known
                .query_row(
                    "SELECT COUNT(*) FROM endpoints WHERE graphVersion = 'v1.0' AND path LIKE ?1",
                    [&pattern],
                    |row| row.get(0),
                )
                .unwrap();
            assert!(found > 0, "{path} is no path of Graph v1.0");
            checked += 1;
        }
        assert!(checked >= 8, "{checked} paths");

        let metadata: Value = serde_json::from_slice(&std::fs::read(types_file).unwrap()).unwrap();
        let metadata = &metadata["types"];
        for (name, selected) in [
            ("user", types::User::SELECT),
            ("group", types::Group::SELECT),
            ("organization", types::Organization::SELECT),
            ("domain", types::Domain::SELECT),
        ] {
            let declared = properties(metadata, name);
            for property in selected {
                assert!(
                    declared.contains(*property),
                    "{name}.{property} is selected but not Microsoft's"
                );
            }
        }
        // What the simulator sends.
        app.sim
            .grant(app.directory("Fabrikam").id, app.application().client_id);
        let token = graph_token(&app).await;
        for (path, kind, open) in [
            ("/users?$top=5", "user", false),
            ("/groups?$top=5", "group", false),
            ("/organization", "organization", false),
            ("/domains", "domain", false),
            ("/subscribedSkus", "subscribedSku", false),
            (
                "/reports/authenticationMethods/userRegistrationDetails?$top=3",
                "userRegistrationDetails",
                false,
            ),
            // Microsoft declares these open: undeclared members are known from live captures.
            ("/security/secureScores?$top=1", "secureScore", false),
            (
                "/security/secureScoreControlProfiles",
                "secureScoreControlProfile",
                true,
            ),
        ] {
            let answer: Value = app
                .http
                .get(format!("{}v1.0{path}", app.sim.url()))
                .bearer_auth(&token)
                .send()
                .await
                .unwrap()
                .json()
                .await
                .unwrap();
            let declared = properties(metadata, kind);
            let items = answer["value"].as_array().unwrap();
            assert!(!items.is_empty(), "{path}");
            for property in items[0].as_object().unwrap().keys() {
                assert!(
                    declared.contains(property) || property.starts_with('@'),
                    "{kind}.{property} ({open})"
                );
            }
        }
    });
}

async fn graph_token(app: &TestApp) -> String {
    let application = app.application();
    let answer: Value = app
        .http
        .post(format!(
            "{}{}/oauth2/v2.0/token",
            app.sim.url(),
            app.directory("Fabrikam").id
        ))
        .form(&[
            ("grant_type", "client_credentials"),
            ("client_id", &application.client_id.to_string()),
            ("client_secret", &application.secret),
            ("scope", &format!("{}.default", app.sim.url())),
        ])
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    answer["access_token"].as_str().unwrap().to_owned()
}
