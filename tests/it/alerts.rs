//! Alerts: a month in which everything goes wrong once, and what people do about an alert.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use model::{AlertKind, Role};
use serde_json::{Value, json};

use crate::{
    app::{TestApp, text},
    channels::webhook,
    evidence::{colleague, statements},
    on_both,
    receiver::{Received, Receiver},
};

async fn open(app: &TestApp, kind: &str) -> Vec<Value> {
    app.all(&format!("/alerts?state=open&kind={kind}")).await
}

/// Waits until so many alerts of a kind are open.
async fn until_open(app: &TestApp, kind: &str, count: usize) -> Vec<Value> {
    for _ in 0..200 {
        let found = open(app, kind).await;
        if found.len() == count {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("not {count} of {kind}: {:?}", app.all("/alerts").await);
}

/// Takes a directory's consent back, syncs, and answers the alert.
pub async fn lost_consent(app: &TestApp, directory: &str) -> Value {
    app.sim
        .revoke(app.directory(directory).id, app.application().client_id);
    app.forget_tokens();
    let mapping = text(&app.get("/mappings").await["value"][0], "id");
    app.sync(&mapping, "directory").await;
    until_open(app, "consent_lost", 1).await.remove(0)
}

/// A day later, with all that was due by then.
async fn tomorrow(app: &TestApp) {
    app.advance_minutes(24 * 60);
    // The plan is looked at, what it began ends, and conditions are looked at.
    tokio::time::sleep(Duration::from_millis(1300)).await;
    app.drain().await;
    tokio::time::sleep(Duration::from_millis(1300)).await;
}

struct Month<'a> {
    app: &'a TestApp,
    company: String,
    mapping: String,
    credential: String,
    secret_ends: String,
}

impl Month<'_> {
    /// The role assignments as they are, and perhaps one more global administrator.
    async fn assignments(&self, with_new: bool) {
        let all = self
            .app
            .all(&format!(
                "/companies/{}/directory/role-assignments",
                self.company
            ))
            .await;
        let field = |one: &Value, name: &str| {
            one["fields"]
                .get(name)
                .or(one.get(name))
                .cloned()
                .unwrap_or(Value::Null)
        };
        let mut value: Vec<Value> = all
            .iter()
            .map(|one| json!({
                "id": one["id"], "principalId": field(one, "principal_id"), "roleDefinitionId": field(one, "role_definition_id"),
                "directoryScopeId": "/", "appScopeId": null,
                "principal": { "@odata.type": "#microsoft.graph.user", "id": field(one, "principal_id"), "displayName": field(one, "principal_name") },
            }))
            .filter(|one| one["id"] != "new-assignment")
            .collect();
        if with_new {
            value.push(json!({
                "id": "new-assignment", "principalId": "11111111-2222-3333-4444-555555555555",
                "roleDefinitionId": "62e90394-69f5-4237-9190-012177145e10", "directoryScopeId": "/", "appScopeId": null,
                "principal": { "@odata.type": "#microsoft.graph.user", "id": "11111111-2222-3333-4444-555555555555", "displayName": "Mallory" },
            }));
        }
        self.app.sim.record(
            "/v1.0/roleManagement/directory/roleAssignments",
            json!({ "value": value }),
        );
    }

    /// Secure Score of today, and of the nine days before.
    fn score(&self, today: f64) {
        let directory = self.app.directory("Contoso").id;
        let days: Vec<Value> = (0..10)
            .map(|ago| {
                let day = self.app.clock.now().plus_minutes(-ago * 24 * 60).day();
                let current = if ago == 0 { today } else { 80.0 };
                json!({
                    "id": format!("{directory}_{day}"), "azureTenantId": directory, "createdDateTime": format!("{day}T00:00:00Z"),
                    "currentScore": current, "maxScore": 100.0, "activeUserCount": 10, "licensedUserCount": 10,
                    "enabledServices": ["HasAADP1"], "averageComparativeScores": [], "controlScores": [],
                })
            })
            .collect();
        self.app
            .sim
            .record("/v1.0/security/secureScores", json!({ "value": days }));
    }

    /// The registration report: every second user lost the second factor, or everybody has one.
    async fn registrations(&self, is_fallen: bool) {
        let users = self
            .app
            .all(&format!("/companies/{}/users", self.company))
            .await;
        let now = self.app.clock.now().rfc3339();
        let lines: Vec<Value> = users
            .iter()
            .enumerate()
            .map(|(i, user)| {
                let registered = !is_fallen || i % 2 == 0;
                json!({
                    "id": user["id"], "userPrincipalName": user["user_principal_name"], "userDisplayName": user["display_name"],
                    "userType": "member", "isAdmin": false, "isMfaRegistered": registered, "isMfaCapable": registered,
                    "isPasswordlessCapable": false, "methodsRegistered": [], "lastUpdatedDateTime": now,
                })
            })
            .collect();
        self.app.sim.record(
            "/v1.0/reports/authenticationMethods/userRegistrationDetails",
            json!({ "value": lines }),
        );
    }

    /// An application whose only secret ends on this day.
    fn application(&self, days: i64) {
        let end = self.app.clock.now().plus_minutes(days * 24 * 60).rfc3339();
        let body = json!({ "value": [{
            "id": "aaaaaaaa-0000-0000-0000-000000000001", "appId": "bbbbbbbb-0000-0000-0000-000000000001",
            "displayName": "Payroll", "createdDateTime": "2026-01-01T00:00:00Z", "signInAudience": "AzureADMyOrg",
            "keyCredentials": [], "passwordCredentials": [{ "keyId": "cccccccc-0000-0000-0000-000000000001", "displayName": "s",
                "startDateTime": "2026-01-01T00:00:00Z", "endDateTime": end, "hint": "abc", "secretText": null, "customKeyIdentifier": null }],
        }] });
        self.app.sim.record("/v1.0/applications", body);
    }

    /// A new secret, which ends on a day.
    async fn renew(&self, ends: &str) {
        let secret = self.app.sim.new_secret(0, None);
        let body = json!({ "client_secret": secret, "secret_expires": ends });
        self.app
            .post(&format!("/credentials/{}/secrets", self.credential), body)
            .await;
    }

    /// What goes wrong, and is mended, on which day.
    async fn day(&self, day: i64) {
        let (app, directory) = (self.app, self.app.directory("Contoso").id);
        let client = app.application().client_id;
        match day {
            2 => self.score(5.0),
            4 => self.score(81.0),
            5 => {
                let stranger = app.stranger();
                for _ in 0..12 {
                    stranger.post("/sign-in", &[("email", crate::app::OWNER), ("password", "guessed")]).await;
                }
                until_open(app, "password_guessing", 1).await;
            }
            6 => {
                app.sim.expire_secrets(0, &app.sim.new_secret(0, None));
                app.forget_tokens();
            }
            7 => self.renew(&self.secret_ends).await,
            9 => app.sim.revoke(directory, client),
            10 => drop(app.consent(&self.credential, directory).await),
            11 => {
                let mut roles: Vec<&str> = app.application().roles.to_vec();
                roles.push("Mail.ReadWrite");
                app.sim.set_manifest(client, &roles);
                app.sim.grant(directory, client);
                app.forget_tokens();
            }
            12 => {
                let roles: Vec<&str> = app.application().roles.to_vec();
                app.sim.set_manifest(client, &roles);
                app.sim.revoke(directory, client);
                app.sim.grant(directory, client);
                app.forget_tokens();
            }
            13 => self.registrations(true).await,
            15 => self.registrations(false).await,
            16 => self.assignments(true).await,
            17 => self.assignments(false).await,
            18 => app.sim.record("/v1.0/identityProtection/riskyUsers", json!({ "value": [{
                "id": "dddddddd-0000-0000-0000-000000000001", "isDeleted": false, "isProcessing": false, "riskLevel": "high",
                "riskState": "atRisk", "riskDetail": "none", "riskLastUpdatedDateTime": "2026-11-01T00:00:00Z",
                "userDisplayName": "Eve", "userPrincipalName": "eve@contoso.example" }] })),
            19 => app.sim.record("/v1.0/identityProtection/riskyUsers", json!({ "value": [] })),
            20 => app.sim.remove_users(directory, app.directory("Contoso").users / 2),
            21 => {
                let holds = app.get(&format!("/companies/{}/holds", self.company)).await;
                for hold in holds["value"].as_array().unwrap() {
                    app.post(&format!("/mappings/{}/confirmations", self.mapping), json!({ "name": hold["name"] })).await;
                }
            }
            22 => app.sim.throttle(directory),
            25 => app.sim.relent(directory),
            26 => self.renew(&app.clock.now().plus_minutes(400 * 24 * 60).day()).await,
            _ => {}
        }
    }
}

fn alerts_of(all: &[Received], event: &str) -> Vec<Value> {
    let told = all
        .iter()
        .filter(|one| one.headers["tenantry-event"] == event);
    told.map(|one| one.json()["data"]["alert"].clone())
        .collect()
}

on_both! {
    async fn a_month_opens_and_closes_each_kind_and_tells_it_once(app) {
        let application = app.application();
        let secret_ends = app.clock.now().plus_minutes(24 * 24 * 60).day();
        let credential = text(&app.post("/credentials", json!({
            "name": "Main", "cloud": "custom", "directory_id": application.home, "client_id": application.client_id,
            "client_secret": application.secret, "secret_expires": secret_ends,
        })).await, "id");
        let (at_once, daily) = (Receiver::start(&[]).await, Receiver::start(&[]).await);
        webhook(&app, &at_once.url, json!({})).await;
        let (digest, _) = webhook(&app, &daily.url, json!({ "digest_hour": 0 })).await;
        let (company, mapping) = app.connected("Contoso").await;
        let month = Month { app: &app, company, mapping, credential, secret_ends };
        month.application(20);
        app.drain().await;
        statements(&app, &month.company, 4).await;
        for day in 1..=31 {
            month.day(day).await;
            if day == 7 {
                // A new secret serves the runs of today.
                app.sync(&month.mapping, "directory").await;
            }
            tomorrow(&app).await;
            if day == 23 {
                month.application(400);
            }
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        let told = at_once.received();
        let (opened, closed) = (alerts_of(&told, "alert.opened"), alerts_of(&told, "alert.closed"));
        let kinds = |all: &[Value]| all.iter().map(|a| text(a, "kind")).collect::<BTreeSet<_>>();
        let every: BTreeSet<String> = AlertKind::ALL.iter().map(ToString::to_string).collect();
        let (kinds_opened, kinds_closed) = (kinds(&opened), kinds(&closed));
        let never: Vec<_> = every.difference(&kinds_opened).collect();
        assert!(never.is_empty(), "never opened: {never:?}");
        let open_still: Vec<_> = every.difference(&kinds_closed).collect();
        assert!(open_still.is_empty(), "never closed: {open_still:?}");
        let mut by_alert: BTreeMap<String, (usize, usize)> = BTreeMap::new();
        for alert in &opened {
            by_alert.entry(text(alert, "id")).or_default().0 += 1;
        }
        for alert in &closed {
            by_alert.entry(text(alert, "id")).or_default().1 += 1;
        }
        for (id, (opens, closes)) in &by_alert {
            assert!(*opens == 1 && *closes <= 1, "{id} was told {opens} and {closes} times");
        }
        // What was planned to happen once happened once.
        for kind in ["consent_lost", "credential_expired", "password_guessing", "new_global_administrator", "permission_drift", "secure_score_fell"] {
            let titles: Vec<_> = opened.iter().filter(|a| a["kind"] == kind).map(|a| text(a, "title")).collect();
            assert_eq!(titles.len(), 1, "{kind}: {titles:?}");
        }
        let stages: Vec<_> = told.iter().map(Received::json).filter(|e| e["data"]["alert"]["kind"] == "credential_expiring")
            .map(|e| (text(&e, "event"), text(&e["data"]["alert"], "stage"))).collect();
        let expected = [("alert.opened", "30"), ("alert.changed", "14"), ("alert.changed", "7"), ("alert.changed", "1")];
        let stages: Vec<(&str, &str)> = stages.iter().filter(|(event, _)| event != "alert.closed").map(|(e, s)| (e.as_str(), s.as_str())).collect();
        assert_eq!(stages, expected);
        // The digest tells each of them once, once a day.
        let mut days = BTreeSet::new();
        let mut entries = BTreeSet::new();
        let mut count = 0;
        for one in daily.received() {
            let digest = one.json()["data"]["digest"].clone();
            assert!(days.insert(text(&digest, "day")), "two digests of {}", digest["day"]);
            for entry in digest["entries"].as_array().unwrap() {
                let alert = &entry["body"]["alert"];
                assert!(entries.insert(format!("{}{}{}{}", entry["event"], alert["id"], alert["stage"], entry["at"])), "told twice: {entry}");
                count += 1;
            }
        }
        let waiting = app.all(&format!("/channels/{digest}/deliveries")).await.iter().filter(|d| d["state"] == "waiting").count();
        assert_eq!(count + waiting, told.len(), "{} digests", days.len());
        assert!(days.len() >= 10, "{} digests", days.len());
    }

    async fn people_deal_with_an_alert_and_it_closes_by_itself(app) {
        let (company, _) = app.connected("Contoso").await;
        app.drain().await;
        let directory = app.directory("Contoso").id;
        let alert = lost_consent(&app, "Contoso").await;
        let id = text(&alert, "id");
        assert_eq!((alert["severity"].as_str(), text(&alert, "company_id")), (Some("critical"), company.clone()));
        // Who is limited to another company sees nothing of it, in no list and no count.
        let viewer = colleague(&app, "viewer@halden.example", Role::Viewer).await;
        let (status, _) = app.api_as(&viewer, "PATCH", &format!("/alerts/{id}"), Some(json!({ "state": "resolved" }))).await;
        assert_eq!(status, 403);
        let browser = app.browser().await;
        let page = browser.page("/alerts").await;
        assert!(page.contains("consent is lost") && page.contains("count-bad"), "{page}");
        assert_eq!(browser.post(&format!("/alerts/{id}"), &[("action", "acknowledge")]).await.status(), 303);
        assert_eq!(app.get(&format!("/alerts/{id}")).await["state"], "acknowledged");
        assert_eq!(browser.post("/alerts", &[("alert", &id), ("action", "snooze"), ("days", "7"), ("back", "/alerts")]).await.status(), 303);
        assert_eq!(app.get(&format!("/alerts/{id}")).await["state"], "snoozed");
        assert!(!browser.page("/alerts").await.contains("consent is lost"));
        assert!(browser.page("/alerts?view=snoozed").await.contains("consent is lost"));
        app.advance_minutes(7 * 24 * 60 + 1);
        let woken = until_open(&app, "consent_lost", 1).await;
        assert_eq!(text(&woken[0], "id"), id);
        // Resolved it stays quiet while its cause lasts. The session of a week ago is over.
        let browser = app.browser().await;
        assert_eq!(browser.post(&format!("/alerts/{id}"), &[("action", "resolve")]).await.status(), 303);
        tokio::time::sleep(Duration::from_millis(2500)).await;
        assert_eq!(app.get(&format!("/alerts/{id}")).await["state"], "resolved");
        assert_eq!(app.all("/alerts?kind=consent_lost").await.len(), 1);
        let credential = text(&app.get("/credentials").await["value"][0], "id");
        app.consent(&credential, directory).await;
        for _ in 0..100 {
            if app.get(&format!("/alerts/{id}")).await["state"] == "closed" { break; }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let closed = app.get(&format!("/alerts/{id}")).await;
        assert_eq!(closed["state"], "closed");
        let (status, answer) = app.api("PATCH", &format!("/alerts/{id}"), Some(json!({ "state": "open" }))).await;
        assert_eq!(status, 409, "{answer}");
    }

    async fn a_cloud_that_froze_degrades_every_control_with_one_alert(app) {
        let (company, _) = app.connected("Contoso").await;
        app.drain().await;
        statements(&app, &company, 5).await;
        app.sim.throttle(app.directory("Contoso").id);
        for hours in [24, 48] {
            app.advance_minutes(hours * 60);
            tokio::time::sleep(Duration::from_millis(1500)).await;
        }
        let alerts = until_open(&app, "stale_data", 1).await;
        assert!(text(&alerts[0], "text").contains("User inventory"), "{alerts:?}");
        let coverage = app.get(&format!("/companies/{company}/coverage")).await;
        for control in coverage["value"].as_array().unwrap() {
            assert_eq!(control["state"], "degraded", "{control}");
        }
        app.sim.relent(app.directory("Contoso").id);
        app.advance_minutes(24 * 60);
        tokio::time::sleep(Duration::from_millis(1500)).await;
        app.drain().await;
        until_open(&app, "stale_data", 0).await;
        let coverage = app.get(&format!("/companies/{company}/coverage")).await;
        for control in coverage["value"].as_array().unwrap() {
            assert_eq!(control["state"], "covered", "{control}");
        }
        println!("B16: frozen, every control degraded with one alert; thawed, each is covered and the alert closed");
    }
}
