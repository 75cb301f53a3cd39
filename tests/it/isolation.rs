//! Nobody sees what is not theirs: every route as a stranger and as another partner, and a member
//! who is limited to other companies.

use portal::routes::{Access, TABLE};
use serde_json::json;

use crate::{
    app::{TestApp, owner, text},
    on_both,
};

/// A path of the table with our own ids put in.
fn fill(path: &str, ids: &[(&str, String)]) -> String {
    let kind = ids
        .iter()
        .find(|(start, _)| path.starts_with(start))
        .map(|(_, id)| id.clone());
    path.replace(
        "{id}",
        &kind.unwrap_or_else(|| uuid::Uuid::from_u128(9).to_string()),
    )
    .replace("{own}", &uuid::Uuid::from_u128(9).to_string())
    .replace("{provider}", &uuid::Uuid::from_u128(9).to_string())
    .replace("{object}", "x")
    .replace("{month}", "2026-11")
    .replace("{control}", "x")
    .replace("{group_id}", "x")
    .replace("{user_id}", "x")
    .replace("{schedule_id}", "x")
    .replace("{delivery_id}", "x")
    .replace("{evidence_id}", "x")
    .replace("{secret_id}", "x")
    .replace("{token}", "x")
    .replace("{path:.*}", "css/app.css")
}

/// Audit rows, but for those of runs, which the plan begins by itself.
async fn done_by_people(app: &TestApp) -> usize {
    let window = model::Window::page(1, 500);
    let rows = model::audit::list(&app.scope(), &model::audit::Filter::default(), window)
        .await
        .unwrap()
        .rows;
    rows.iter().filter(|r| r.actor_kind != "run").count()
}

on_both! {
    async fn every_route_refuses_strangers_and_other_partners(app) {
        let (company, mapping) = app.connected("Contoso").await;
        app.drain().await;
        let run = app.newest_run(&mapping, "directory").await;
        let credential = text(&app.get("/credentials").await["value"][0], "id");
        let tenant = text(&app.get("/tenants").await["value"][0], "id");
        let scope = app.scope();
        let member = model::member::colleagues(&scope).await.unwrap()[0].id.to_string();
        model::invitation::create(&scope, "new@halden.example", model::Role::Viewer, None).await.unwrap();
        let invitation = model::invitation::list(&scope).await.unwrap()[0].id.to_string();
        let provider = crate::sign_in::provider(&app).await.to_string();
        let ids = [
            ("/companies", company.clone()), ("/jobs", run.clone()),
            ("/settings/integrations/entra/credentials", credential.clone()),
            ("/settings/integrations/entra/mappings", mapping.clone()),
            ("/api/v1/companies", company.clone()), ("/api/v1/runs", run.clone()),
            ("/api/v1/credentials", credential), ("/api/v1/mappings", mapping.clone()),
            ("/api/v1/tenants", tenant),
            ("/settings/members", member), ("/settings/invitations", invitation),
            ("/settings/sign-in", provider),
        ];
        let other = model::partner::create(&app.db, &app.connection.keyring, "Other").await.unwrap();
        let other_token = owner(&app.db, other, "owner@other.example").await;
        let other_browser = app.stranger();
        let signed = other_browser.post("/sign-in", &[("email", "owner@other.example"), ("password", crate::app::PASSWORD)]).await;
        assert_eq!(signed.status(), 303);
        let stranger = app.stranger();
        let audit_before = done_by_people(&app).await;
        let mut driven = 0;
        for (method, path, access) in TABLE {
            let filled = fill(path, &ids);
            let method = method.to_uppercase();
            let is_ours = path.contains("{id}") || path.contains("{own}");
            driven += 1;
            match access {
                Access::Public => {}
                Access::Page(_) | Access::Proved(_) => {
                    let answer = send(&stranger, &method, &filled).await;
                    assert_eq!(answer.status(), 303, "stranger: {method} {path}");
                    assert!(answer.headers()["location"].to_str().unwrap().starts_with("/sign-in"));
                    if is_ours {
                        let answer = send(&other_browser, &method, &filled).await;
                        assert_eq!(answer.status(), 404, "other partner: {method} {path}");
                    }
                }
                Access::Api(_) => {
                    let url = format!("{}{filled}", app.url);
                    let answer = app.http.request(method.parse().unwrap(), &url).send().await.unwrap();
                    assert_eq!(answer.status(), 401, "stranger: {method} {path}");
                    if is_ours {
                        let answer = app.http.request(method.parse().unwrap(), &url)
                            .bearer_auth(&other_token).json(&body_of(path)).send().await.unwrap();
                        assert_eq!(answer.status(), 404, "other partner: {method} {path}");
                    }
                }
            }
        }
        assert_eq!(driven, TABLE.len());
        model::audit::verify(&app.db, app.partner, &[]).await.unwrap().unwrap();
        assert_eq!(audit_before, done_by_people(&app).await, "nothing was done to ours");
        // Lists of the other partner are empty.
        for list in ["companies", "credentials", "tenants", "mappings", "runs"] {
            let (_, body) = app.api_as(&other_token, "GET", &format!("/{list}?total=true"), None).await;
            assert_eq!(body["total"], 0, "{list}");
        }
    }

    async fn a_limited_member_sees_their_companies_alone(app) {
        let (mine, _) = app.connected("Contoso").await;
        let (other, other_mapping) = app.connected("Northwind").await;
        app.drain().await;
        let other_run = app.newest_run(&other_mapping, "directory").await;
        let scope = app.scope();
        let hash = portal::hash_password(crate::app::PASSWORD, &[]).await.unwrap();
        let member = model::member::create(&scope, "limited@halden.example", &hash, model::Role::Admin).await.unwrap();
        model::member::change(&scope, member, model::Role::Admin, Some(&[mine.parse().unwrap()])).await.unwrap();
        let token = model::api_token::create(&scope, member, "limited", model::Role::Admin, None).await.unwrap();
        let (_, companies) = app.api_as(&token, "GET", "/companies?total=true", None).await;
        assert_eq!(companies["total"], 1);
        for path in [format!("/companies/{other}"), format!("/companies/{other}/users"),
            format!("/companies/{other}/groups"), format!("/companies/{other}/secure-scores"),
            format!("/mappings/{other_mapping}"), format!("/runs/{other_run}")] {
            let (status, _) = app.api_as(&token, "GET", &path, None).await;
            assert_eq!(status, 404, "{path}");
        }
        let (_, runs) = app.api_as(&token, "GET", "/runs", None).await;
        for run in runs["value"].as_array().unwrap() {
            assert_eq!(run["company_id"], mine);
        }
        let (_, mappings) = app.api_as(&token, "GET", "/mappings?total=true", None).await;
        assert_eq!(mappings["total"], 1);
        // What belongs to the whole partner is not shown to them.
        let (_, tenants) = app.api_as(&token, "GET", "/tenants?total=true", None).await;
        assert_eq!(tenants["total"], 0);
    }

    async fn a_role_may_do_what_the_table_says_and_no_more(app) {
        let (company, _) = app.connected("Contoso").await;
        app.drain().await;
        let scope = app.scope();
        let hash = portal::hash_password(crate::app::PASSWORD, &[]).await.unwrap();
        let member = model::member::create(&scope, "viewer@halden.example", &hash, model::Role::Viewer).await.unwrap();
        let token = model::api_token::create(&scope, member, "viewer", model::Role::Viewer, None).await.unwrap();
        let (status, _) = app.api_as(&token, "GET", &format!("/companies/{company}/users"), None).await;
        assert_eq!(status, 200);
        for (path, body) in [
            ("/runs", json!({ "company_id": company })),
            ("/companies", json!({ "name": "x" })),
            ("/mappings", json!({})),
        ] {
            let (status, problem) = app.api_as(&token, "POST", path, Some(body)).await;
            assert_eq!(status, 403, "{path}: {problem}");
        }
        let too_high = model::api_token::create(&scope, member, "x", model::Role::Owner, None).await;
        assert!(too_high.is_err());
    }

    async fn a_form_of_another_site_is_refused(app) {
        let browser = app.browser().await;
        for (name, value) in [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site"), ("x-nothing", "x")] {
            let answer = browser.http.post(format!("{}/companies", app.url))
                .header(name, value).form(&[("name", "Evil")]).send().await.unwrap();
            assert_eq!(answer.status(), 403, "{name}");
        }
        assert!(app.get("/companies").await["value"].as_array().unwrap().is_empty());
    }
}

/// A body that can be read, so that the id is looked at.
pub fn body_of(path: &str) -> serde_json::Value {
    match path {
        p if p.ends_with("/discoveries") => json!({ "source": "gdap" }),
        "/api/v1/alerts/{id}" => json!({ "state": "acknowledged" }),
        "/api/v1/members/{id}" => json!({ "role": "viewer" }),
        p if p.ends_with("/report-schedules") => {
            json!({ "channel_id": uuid::Uuid::from_u128(9), "recipients": ["a@b.example"], "day": 1 })
        }
        "/api/v1/intakes/{id}" => json!({ "is_on": true }),
        "/api/v1/mappings/{id}" => json!({ "sync_interval_minutes": null }),
        p if p.ends_with("/remap") => json!({ "company_id": uuid::Uuid::from_u128(9) }),
        _ => json!({}),
    }
}

async fn send(browser: &crate::app::Browser, method: &str, path: &str) -> reqwest::Response {
    if method == "GET" {
        browser.get(path).await
    } else {
        browser.post(path, &[("name", "x")]).await
    }
}
