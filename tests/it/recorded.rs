//! Recorded traffic of the real Graph, where those files are on the machine: every object reaches its
//! page with the fields that it came with.

use serde_json::Value;

use crate::app::{Database, TestApp, run, shared, text};

/// Collections by path, each object once: files overlap.
fn collections(folder: &std::path::Path) -> std::collections::BTreeMap<String, Vec<Value>> {
    let mut all: std::collections::BTreeMap<String, Vec<Value>> = Default::default();
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read(entry.unwrap().path()).unwrap();
        let exchanges: Vec<Value> = serde_json::from_slice(&text).unwrap();
        for exchange in exchanges.iter().filter(|e| e["status"] == 200) {
            let url: url::Url = exchange["url"].as_str().unwrap().parse().unwrap();
            let Some(items) = exchange["body"]["value"].as_array() else {
                continue;
            };
            let known = all.entry(url.path().to_owned()).or_default();
            for item in items {
                match known.iter_mut().find(|k| k["id"] == item["id"]) {
                    Some(before) => *before = item.clone(),
                    None => known.push(item.clone()),
                }
            }
        }
    }
    all
}

/// As a page writes it.
fn escaped(text: &str) -> String {
    text.replace('&', "&#38;")
        .replace('<', "&#60;")
        .replace('>', "&#62;")
        .replace('"', "&#34;")
        .replace('\'', "&#39;")
}

fn has(page: &str, item: &Value, fields: &[&str]) {
    for field in fields {
        let value = match &item[*field] {
            Value::String(text) if text.contains('T') && text.ends_with('Z') => {
                text[..10].to_owned()
            }
            Value::String(text) => escaped(text),
            Value::Number(n) => n.to_string(),
            _ => continue,
        };
        assert!(
            page.contains(&value),
            "{field} = {value} of {} is not on its page: {page}",
            item["id"]
        );
    }
}

#[test]
fn every_recorded_object_reaches_its_page() {
    let Some(folder) = shared("data/recorded") else {
        return;
    };
    run(|| async move {
        let app = TestApp::start(Database::Sqlite).await;
        let (company, mapping) = app.connected("Contoso").await;
        app.drain().await;
        let recorded = collections(&folder);
        for (path, items) in &recorded {
            // The organization stays the one that consented.
            if path != "/v1.0/organization" {
                app.sim.record(path, serde_json::json!({ "value": items }));
            }
        }
        let mut run = app.reconcile(&mapping).await;
        // Everything that was there before is gone at once: a fall that somebody has to confirm.
        for hold in app.get(&format!("/companies/{company}/holds")).await["value"]
            .as_array()
            .unwrap()
        {
            let name = text(hold, "name");
            app.api(
                "POST",
                &format!("/mappings/{mapping}/confirmations"),
                Some(serde_json::json!({ "name": name })),
            )
            .await;
        }
        app.drain().await;
        if run["state"] != "completed" {
            run = app.reconcile(&mapping).await;
        }
        assert!(
            matches!(run["state"].as_str(), Some("completed" | "partial")),
            "{run}"
        );
        let browser = app.browser().await;
        let base = format!("/companies/{company}");
        let mut shown = 0;
        for (path, address, fields) in [
            (
                "/v1.0/users",
                "users",
                &[
                    "displayName",
                    "userPrincipalName",
                    "mail",
                    "jobTitle",
                    "department",
                    "officeLocation",
                    "employeeType",
                    "userType",
                    "lastPasswordChangeDateTime",
                ][..],
            ),
            (
                "/v1.0/groups",
                "groups",
                &["displayName", "description", "mail", "membershipRule"],
            ),
            (
                "/v1.0/devices",
                "directory/devices",
                &[
                    "displayName",
                    "deviceId",
                    "operatingSystem",
                    "operatingSystemVersion",
                    "trustType",
                    "manufacturer",
                    "model",
                ],
            ),
            (
                "/v1.0/domains",
                "directory/domains",
                &["id", "authenticationType"],
            ),
            (
                "/v1.0/identity/conditionalAccess/policies",
                "directory/conditional-access-policies",
                &["displayName", "state"],
            ),
            (
                "/v1.0/applications",
                "directory/app-registrations",
                &["displayName", "appId", "publisherDomain", "signInAudience"],
            ),
        ] {
            let items = &recorded[path];
            assert!(!items.is_empty());
            for item in items {
                let page = browser
                    .page(&format!(
                        "{base}/{address}/{}",
                        item["id"].as_str().unwrap()
                    ))
                    .await;
                let page = page.replace("datetime=\"", "");
                has(&page, item, fields);
                shown += 1;
                for list in ["passwordCredentials", "keyCredentials"] {
                    for credential in item[list].as_array().into_iter().flatten() {
                        has(&page, credential, &["displayName", "endDateTime"]);
                    }
                }
            }
        }
        // Members of each group, by name where their type may be read.
        for (path, members) in recorded
            .iter()
            .filter(|(path, _)| path.ends_with("/members"))
        {
            let group = path.split('/').nth(3).unwrap();
            let page = browser.page(&format!("{base}/groups/{group}")).await;
            for member in members {
                has(&page, member, &["displayName"]);
                shown += 1;
            }
        }
        println!("{shown} recorded objects reached their pages");
        assert!(shown > 60, "{shown}");
    });
}
