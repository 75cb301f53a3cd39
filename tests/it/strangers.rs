//! An id that is another partner's answers exactly as one that nobody has: status, headers and body,
//! on every route, at every place where a request carries an id; and nothing of theirs changes.

use std::collections::BTreeSet;

use model::Pool;
use portal::routes::{Access, TABLE};
use reqwest::Response;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

use crate::{
    app::{Browser, PASSWORD, TestApp, owner, text},
    on_both,
};

/// What an answer shows: status, headers but for the time, and body without the id itself. Whether the
/// connection stays open depends on when the request's body arrives, not on what it says.
async fn shown(response: Response, id: &str) -> (u16, Vec<(String, String)>, String) {
    let status = response.status().as_u16();
    let mut headers: Vec<(String, String)> = response
        .headers()
        .iter()
        .filter(|(name, _)| !["date", "connection", "ratelimit-remaining"].contains(&name.as_str()))
        .map(|(name, value)| {
            let value = value.to_str().unwrap().replace(id, "ID");
            (name.to_string(), value)
        })
        .collect();
    headers.sort();
    let body = response.text().await.unwrap().replace(id, "ID");
    (status, headers, body)
}

/// Everything that is stored for the partner, as one text.
pub async fn everything(app: &TestApp, but: &[&str]) -> String {
    let mut all = String::new();
    for table in migrations::PARTNERS_TABLES {
        let column = if *table == "partners" {
            "id"
        } else {
            "partner_id"
        };
        let partner = app.partner.0;
        let rows: Vec<String> = match app.db.owner_pool() {
            Pool::Postgres(pool) => {
                let taken: String = but.iter().map(|column| format!(" - '{column}'")).collect();
                let sql = format!(
                    "SELECT (to_jsonb(t){taken})::text FROM {table} t WHERE {column} = '{partner}' ORDER BY 1"
                );
                sqlx::query_scalar(AssertSqlSafe(sql))
                    .fetch_all(&pool)
                    .await
                    .unwrap()
            }
            Pool::Sqlite(pool) => {
                let columns: Vec<String> = sqlx::query(AssertSqlSafe(format!(
                    "SELECT name FROM pragma_table_info('{table}')"
                )))
                .fetch_all(&pool)
                .await
                .unwrap()
                .iter()
                .filter(|row| !but.contains(&row.get::<&str, _>(0)))
                .map(|row| format!("quote({})", row.get::<String, _>(0)))
                .collect();
                let sql = format!(
                    "SELECT {} FROM {table} WHERE {column} = x'{}' ORDER BY 1",
                    columns.join(" || ',' || "),
                    partner.simple()
                );
                sqlx::query_scalar(AssertSqlSafe(sql))
                    .fetch_all(&pool)
                    .await
                    .unwrap()
            }
        };
        for row in rows {
            all.push_str(&format!("{table} {row}\n"));
        }
    }
    all
}

/// Somebody of another partner, in a browser and with a token.
struct Other {
    browser: Browser,
    token: String,
}

impl Other {
    async fn api(&self, app: &TestApp, method: &str, path: &str, body: &Value) -> Response {
        let url = format!("{}{path}", app.url);
        let mut request = app
            .http
            .request(method.parse().unwrap(), url)
            .bearer_auth(&self.token);
        if method != "GET" {
            request = request.json(body);
        }
        request.send().await.unwrap()
    }

    async fn page(&self, method: &str, path: &str, form: &[(&str, &str)]) -> Response {
        match method {
            "GET" => self.browser.get(path).await,
            _ => self.browser.post(path, form).await,
        }
    }
}

/// An id of ours for each kind of path, and for what stands below it.
struct Ids(Vec<(&'static str, String, String)>);

impl Ids {
    fn of(&self, path: &str) -> Option<(&str, &str)> {
        let found = self.0.iter().filter(|(start, ..)| path.starts_with(start));
        let longest = found.max_by_key(|(start, ..)| start.len());
        longest.map(|(_, id, below)| (id.as_str(), below.as_str()))
    }
}

fn placeholders(path: &str) -> Vec<&str> {
    path.split(['{', '}']).skip(1).step_by(2).collect()
}

on_both! {
    async fn an_id_of_another_partner_is_an_id_of_nobody(app) {
        let mut app = app;
        let (company, mapping) = app.connected("Contoso").await;
        app.drain().await;
        let run = app.newest_run(&mapping, "directory").await;
        let credential = text(&app.get("/credentials").await["value"][0], "id");
        let tenant = text(&app.get("/tenants").await["value"][0], "id");
        let user = text(&app.get(&format!("/companies/{company}/users")).await["value"][0], "id");
        let secret = text(&app.get(&format!("/credentials/{credential}/secrets")).await[0], "id");
        let link = text(&app.post("/consent-links", json!({ "credential_id": credential, "company_name": "Contoso" })).await, "id");
        let scope = app.scope();
        let consent = model::consent_request::list(&scope).await.unwrap()[0].id.to_string();
        let member = model::member::colleagues(&scope).await.unwrap()[0].id.to_string();
        let (ours, _elsewhere) = (app.browser().await, app.browser().await);
        model::invitation::create(&scope, "new@halden.example", model::Role::Viewer, None).await.unwrap();
        let invitation = model::invitation::list(&scope).await.unwrap()[0].id.to_string();
        let provider = crate::sign_in::provider(&app).await.to_string();
        let session = ours.page("/account").await;
        let session = session.split("/account/sessions/").nth(1).map_or(String::new(), |t| t[..36].to_owned());
        let tokens = ours.page("/account").await;
        let api_token = tokens.split("/account/tokens/").nth(1).map_or(String::new(), |t| t[..36].to_owned());
        let statement = text(&crate::evidence::statements(&app, &company, 5).await[0], "id");
        let (channel, _) = crate::channels::webhook(&app, "http://127.0.0.1:9/", json!({})).await;
        let delivery = text(&app.post(&format!("/channels/{channel}/tests"), json!({})).await, "id");
        let mail = text(&app.post("/channels", json!({ "name": "Mail", "settings": { "kind": "smtp", "host": "127.0.0.1",
            "port": 9, "security": "none", "from": "a@halden.example", "to": ["b@halden.example"] } })).await, "id");
        let draft = model::report_schedule::Draft { channel: mail.parse().ok(), recipients: vec!["c@contoso.example".into()], day: 28 };
        let of_company = company.parse().unwrap();
        let schedule = model::report_schedule::create(&app.scope(), of_company, &draft).await.unwrap().unwrap().id.to_string();
        let assessment = crate::evidence::gathered(&app, &company).await;
        let alert = text(&crate::alerts::lost_consent(&app, "Contoso").await, "id");
        let intake = text(&app.post("/intakes", json!({ "name": "SIEM", "url": "http://127.0.0.1:9/" })).await, "id");
        app.stop_worker().await;

        // Theirs: what their own paths need.
        let other = model::partner::create(&app.db, &app.connection.keyring, "Other").await.unwrap();
        let token = owner(&app.db, other, "owner@other.example").await;
        let browser = app.stranger();
        let signed = browser.post("/sign-in", &[("email", "owner@other.example"), ("password", PASSWORD)]).await;
        assert_eq!(signed.status(), 303);
        let other = Other { browser, token };
        let (_, theirs) = app.api_as(&other.token, "POST", "/companies", Some(json!({ "name": "Theirs" }))).await;
        let their_company = text(&theirs, "id");
        let application = app.application();
        let (status, theirs) = app.api_as(&other.token, "POST", "/credentials", Some(json!({
            "name": "Theirs", "cloud": "custom", "directory_id": application.home,
            "client_id": Uuid::from_u128(77), "client_secret": application.secret,
        }))).await;
        assert!(status.is_success(), "{theirs}");
        let their_credential = text(&theirs, "id");
        let (_, theirs) = app.api_as(&other.token, "POST", "/channels", Some(json!({
            "name": "Theirs", "settings": { "kind": "webhook", "url": "http://127.0.0.1:9/" },
        }))).await;
        let their_channel = text(&theirs, "id");

        let ids = Ids(vec![
            ("/companies", company.clone(), user.clone()),
            ("/companies/{id}/secure-score", company.clone(), "MFARegistrationV2".into()),
            ("/companies/{id}/evidence", company.clone(), statement.clone()),
            ("/companies/{id}/reports/schedules", company.clone(), schedule.clone()),
            ("/alerts", alert.clone(), String::new()),
            ("/assessments", assessment.clone(), String::new()),
            ("/settings/notifications", channel.clone(), delivery.clone()),
            ("/settings/exports", intake.clone(), String::new()),
            ("/api/v1/intakes", intake, String::new()),
            ("/api/v1/evidence", statement.clone(), String::new()),
            ("/api/v1/alerts", alert, String::new()),
            ("/api/v1/assessments", assessment, statement.clone()),
            ("/api/v1/channels", channel, delivery.clone()),
            ("/api/v1/companies/{id}/report-schedules", company.clone(), schedule.clone()),
            ("/api/v1/members", member.clone(), String::new()),
            ("/api/v1/invitations", invitation.clone(), String::new()),
            ("/jobs", run.clone(), String::new()),
            ("/settings/integrations/entra/credentials", credential.clone(), secret.clone()),
            ("/settings/integrations/entra/credentials/{id}/links", credential.clone(), link.clone()),
            ("/settings/integrations/entra/mappings", mapping.clone(), String::new()),
            ("/settings/integrations/entra/tenants", tenant.clone(), String::new()),
            ("/consents", consent.clone(), String::new()),
            ("/settings/members", member, String::new()),
            ("/settings/invitations", invitation, String::new()),
            ("/settings/sign-in", provider.clone(), String::new()),
            ("/account/sessions", session, String::new()),
            // Nobody has one here; `sign_in.rs` has those of others.
            ("/account/passkeys", Uuid::from_u128(5).to_string(), String::new()),
            ("/account/tokens", api_token, String::new()),
            ("/account/providers", provider, String::new()),
            ("/api/v1/companies", company.clone(), user),
            ("/api/v1/credentials", credential.clone(), secret),
            ("/api/v1/consent-links", link, String::new()),
            ("/api/v1/consent-requests", consent, String::new()),
            ("/api/v1/tenants", tenant.clone(), String::new()),
            ("/api/v1/mappings", mapping.clone(), String::new()),
            ("/api/v1/runs", run.clone(), String::new()),
        ]);
        let alert_of_ours = ids.of("/alerts/{id}").unwrap().0.to_owned();
        let before = everything(&app, &[]).await;
        assert!(before.len() > 100_000, "there is little to see: {}", before.len());
        let mut looked = 0;

        // In paths: each place in turn, those before it with what is theirs.
        for (method, path, access) in TABLE {
            let holes = placeholders(path);
            if *access == Access::Public || holes.is_empty() {
                continue;
            }
            let (first, below) = ids.of(path).unwrap_or_else(|| panic!("no id of ours for {path}"));
            assert!(!first.is_empty(), "{path}");
            let own = match path {
                path if path.contains("credentials") => &their_credential,
                path if path.contains("notifications") || path.contains("channels") => &their_channel,
                _ => &their_company,
            };
            for place in 0..holes.len() {
                // Neither names anything of anybody's.
                if matches!(holes[place], "section" | "month") {
                    continue;
                }
                let fill = |id: &str| {
                    holes.iter().enumerate().fold((*path).to_owned(), |filled, (i, hole)| {
                        let value = match *hole {
                            "section" => "applications",
                            "month" => "2026-11",
                            _ if i == place => id,
                            _ if i < place => own,
                            _ => below,
                        };
                        filled.replace(&format!("{{{hole}}}"), value)
                    })
                };
                let id = if place == 0 { first } else { below };
                assert!(!id.is_empty(), "{path} has no id for {}", holes[place]);
                let nobody = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0009).to_string();
                let method = method.to_uppercase();
                let body = crate::isolation::body_of(path);
                let mut both = vec![];
                for id in [id, &nobody] {
                    let answer = match access {
                        Access::Api(_) => other.api(&app, &method, &fill(id), &body).await,
                        _ => other.page(&method, &fill(id), &[("name", "x")]).await,
                    };
                    both.push(shown(answer, id).await);
                }
                assert_eq!(both[0].0, 404, "{method} {path} at {}: {:?}", holes[place], both[0]);
                assert_eq!(both[0], both[1], "{method} {path} at {}", holes[place]);
                looked += 1;
            }
        }

        // In queries and bodies of the API: whatever its document calls an id.
        let document: Value = app.http.get(format!("{}/api/v1/openapi.json", app.url)).send().await.unwrap().json().await.unwrap();
        let known = |name: &str| match name {
            "company_id" | "company_ids" => Some(company.as_str()),
            "credential_id" => Some(credential.as_str()),
            "mapping_id" => Some(mapping.as_str()),
            "tenant_id" => Some(tenant.as_str()),
            "evidence_id" => Some(statement.as_str()),
            "channel_id" => Some(mail.as_str()),
            // Ids of Microsoft's, which nobody here owns.
            "directory_id" | "client_id" | "external_id" => None,
            other => panic!("no id of ours for {other}"),
        };
        let nobody = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_000a).to_string();
        let mut named = BTreeSet::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                let filled = match path.contains("{id}") {
                    true => path.replace("{id}", if path.contains("credentials") { &their_credential } else { &their_company }),
                    false => path.clone(),
                };
                if filled.contains('{') {
                    continue;
                }
                for parameter in operation["parameters"].as_array().unwrap_or(&vec![]) {
                    let name = text(parameter, "name");
                    if parameter["in"] != "query" || !name.ends_with("_id") {
                        continue;
                    }
                    let Some(id) = known(&name) else { continue };
                    let ask = async |id: &str| {
                        shown(other.api(&app, "GET", &format!("{filled}?{name}={id}&total=true"), &Value::Null).await, id).await
                    };
                    assert_eq!(ask(id).await, ask(&nobody).await, "{path}?{name}");
                    named.insert(format!("{path}?{name}"));
                    looked += 1;
                }
                let schema = &operation["requestBody"]["content"]["application/json"]["schema"]["$ref"];
                let Some(schema) = schema.as_str().and_then(|s| s.rsplit('/').next()) else { continue };
                let properties = &document["components"]["schemas"][schema]["properties"];
                for name in properties.as_object().unwrap().keys() {
                    if !name.ends_with("_id") && !name.ends_with("_ids") {
                        continue;
                    }
                    let Some(id) = known(name) else { continue };
                    let ask = async |id: &str| {
                        let id_or_ids = if name.ends_with('s') { json!([id]) } else { json!(id) };
                        let mut body = json!({ "kind": "directory", "company_name": "Somebody" });
                        if schema == "NewMapping" {
                            body = match name.as_str() {
                                "company_id" => json!({ "tenant_id": nobody }),
                                _ => json!({ "company_name": "Somebody" }),
                            };
                        } else if schema != "NewConsentLink" {
                            body.as_object_mut().unwrap().remove("company_name");
                        }
                        if schema == "NewInvitation" {
                            body = json!({ "email": "x@other.example", "role": "viewer" });
                        }
                        if schema == "MemberChange" {
                            body = json!({ "role": "viewer" });
                        }
                        if schema == "NewReportSchedule" {
                            body = json!({ "recipients": ["a@b.example"], "day": 1 });
                        }
                        if schema == "ContactFormSettings" {
                            body = json!({ "is_on": true, "recipient": "a@b.example" });
                        }
                        if schema == "NewIntake" {
                            body = json!({ "name": "x", "url": "http://127.0.0.1:9/" });
                        }
                        if schema == "NewAssessment" {
                            body = json!({ "name": "x", "catalogue": "soc2", "from": "2026-01-01", "to": "2026-02-01" });
                        }
                        if schema == "ChannelRules" || schema == "NewAttachment" || schema == "NewConsentRequest" || schema == "Remap" || schema == "NewConsentLink" {
                            body.as_object_mut().unwrap().remove("kind");
                        }
                        body[name] = id_or_ids;
                        shown(other.api(&app, &method.to_uppercase(), &filled, &body).await, id).await
                    };
                    let (of_ours, of_nobody) = (ask(id).await, ask(&nobody).await);
                    assert!((400..500).contains(&of_ours.0), "{method} {path} {name}: {of_ours:?}");
                    assert!(!of_ours.2.contains("unknown field"), "{path} {name}: {}", of_ours.2);
                    assert_eq!(of_ours, of_nobody, "{method} {path} {name}");
                    named.insert(format!("{path} {name}"));
                    looked += 1;
                }
            }
        }
        assert!(named.len() >= 12, "{named:?}");

        // In queries and forms of pages.
        let entra = "/settings/integrations/entra";
        for (method, path, field, id) in [
            ("GET", "/jobs".to_owned(), "company", &company),
            ("GET", "/jobs".to_owned(), "mapping", &mapping),
            ("GET", format!("{entra}/tenants"), "credential", &credential),
            ("GET", format!("{entra}/mappings"), "credential", &credential),
            ("GET", format!("{entra}/mappings/new"), "credential", &credential),
            ("GET", format!("{entra}/mappings/new"), "tenant", &tenant),
            ("GET", format!("{entra}/mappings/import"), "credential", &credential),
            ("GET", format!("{entra}/mappings/import"), "tenant", &tenant),
            ("GET", format!("{entra}/mappings/match"), "credential", &credential),
            ("GET", format!("/companies/{their_company}/secure-score"), "mapping", &mapping),
            ("POST", "/jobs".to_owned(), "company", &company),
            ("POST", format!("{entra}/mappings/import/review"), "tenant", &tenant),
            ("POST", format!("{entra}/mappings/import"), "tenant", &tenant),
            ("POST", format!("{entra}/mappings/match"), "company", &company),
            ("POST", format!("{entra}/mappings/match"), "tenant", &tenant),
            ("POST", "/settings/members".to_owned(), "company", &company),
            ("POST", format!("/companies/{their_company}/reports/schedules"), "channel", &mail),
            ("POST", "/settings/contact-form".to_owned(), "channel", &mail),
            ("GET", "/alerts".to_owned(), "company", &company),
            ("GET", "/assessments".to_owned(), "company", &company),
            ("GET", "/assessments/new".to_owned(), "company", &company),
            ("POST", "/assessments".to_owned(), "company", &company),
            ("POST", "/alerts".to_owned(), "alert", &alert_of_ours),
            ("POST", "/settings/notifications".to_owned(), "credential", &credential),
            ("POST", "/account/organisation".to_owned(), "partner", &app.partner.to_string()),
        ] {
            let ask = async |id: &str| {
                let form = [(field, id), ("kind", "microsoft365"), ("action", "acknowledge"), ("email", "p@other.example"), ("role", "viewer"), ("limited", "yes"), ("name", "x")];
                let answer = match method {
                    "GET" => other.page("GET", &format!("{path}?{field}={id}"), &[]).await,
                    _ => other.page("POST", &path, &form).await,
                };
                shown(answer, id).await
            };
            let (of_ours, of_nobody) = (ask(id).await, ask(&nobody).await);
            assert!(of_ours.0 < 500, "{method} {path} {field}: {of_ours:?}");
            assert_eq!(of_ours, of_nobody, "{method} {path} {field}");
            looked += 1;
        }

        let after = everything(&app, &[]).await;
        assert!(before == after, "something of ours changed");
        println!("B1: {looked} places for an id: ours answers as nobody's, and nothing of ours changed");
    }
}
