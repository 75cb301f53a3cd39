//! A second sync goes on where Graph says what changed, falls back to the whole where it must, and
//! shows nothing of itself before it ended.

use serde_json::{Value, json};
use sim::{Fault, Kind};

use crate::{
    app::{TestApp, text},
    on_both,
};

fn collector<'a>(run: &'a Value, name: &str) -> &'a Value {
    let mut all = run["collectors"].as_array().unwrap().iter();
    all.find(|c| c["name"] == name).unwrap()
}

fn counts(run: &Value, name: &str) -> (i64, i64, i64, i64) {
    let c = collector(run, name);
    let n = |field: &str| c[field].as_i64().unwrap();
    (n("read"), n("new"), n("changed"), n("removed"))
}

async fn total(app: &TestApp, path: &str) -> i64 {
    let separator = if path.contains('?') { '&' } else { '?' };
    app.get(&format!("{path}{separator}limit=1&total=true"))
        .await["total"]
        .as_i64()
        .unwrap()
}

async fn member_names(app: &TestApp, company: &str, group: &str) -> Vec<String> {
    let path = format!("/companies/{company}/groups/{group}/members");
    let mut ids: Vec<String> = app.all(&path).await.iter().map(|m| text(m, "id")).collect();
    ids.sort();
    ids
}

on_both! {
    async fn what_changed_is_followed_and_nothing_else_is_read(app) {
        let (company, mapping) = app.connected("Fabrikam").await;
        app.drain().await;
        let directory = app.directory("Fabrikam").clone();
        let groups = app.all(&format!("/companies/{company}/groups")).await;
        let before = total(&app, &format!("/companies/{company}/users")).await;
        app.sim.add_users(directory.id, 2);
        app.sim.remove_users(directory.id, 3);
        app.sim.rename_user(directory.id, 10, "Renamed Person");
        app.sim.rename_group(directory.id, 2, "Renamed Group");
        app.sim.rename_device(directory.id, 1, "RENAMED-DEVICE");
        app.sim.add_member(directory.id, 3, 9);
        app.sim.register_mfa(directory.id, 12);
        let asked = app.sim.requests("/v1.0/");
        let run = app.sync(&mapping, "directory").await;
        assert_eq!(run["state"], "completed", "{run}");
        let (_, new, changed, removed) = counts(&run, "users");
        assert_eq!((new, changed, removed), (2, 1, 3));
        assert_eq!(counts(&run, "groups").2, 1, "{run}");
        assert_eq!(counts(&run, "devices"), (1, 0, 1, 0));
        assert!(collector(&run, "users")["requests"] == 1 && collector(&run, "group_members")["requests"] == 0, "{run}");
        assert!(app.sim.requests("/v1.0/") - asked < 80, "{run}");
        assert_eq!(total(&app, &format!("/companies/{company}/users")).await, before - 1);
        assert_eq!(total(&app, &format!("/companies/{company}/users?search=renamed")).await, 1);
        assert_eq!(total(&app, &format!("/companies/{company}/directory/devices?search=renamed")).await, 1);
        // Members agree with what a whole read finds: who left the directory left the groups.
        let mut incremental = Vec::new();
        for group in &groups {
            incremental.push(member_names(&app, &company, &text(group, "id")).await);
        }
        let whole = app.reconcile(&mapping).await;
        assert_eq!(whole["state"], "completed", "{whole}");
        // Lines of the registration report about people who left stand, unseen, until the whole
        // report is read: they are shown with their users alone.
        for name in ["users", "groups", "group_members", "devices", "applications", "service_principals", "app_role_assignments"] {
            let (_, new, changed, removed) = counts(&whole, name);
            assert_eq!((new, changed, removed), (0, 0, 0), "{name}: changes and the whole differ: {}", collector(&whole, name));
        }
        for (group, before) in groups.iter().zip(incremental) {
            assert_eq!(member_names(&app, &company, &text(group, "id")).await, before);
        }
    }

    async fn a_lost_link_means_the_whole_and_never_a_hole(app) {
        let (company, mapping) = app.connected("Northwind").await;
        app.drain().await;
        let directory = app.directory("Northwind").clone();
        let gone = Kind::Error { status: 400, code: "SyncStateNotFound".into() };
        for (round, kind) in [gone, Kind::Gone].into_iter().enumerate() {
            app.sim.rename_user(directory.id, 7, &format!("Round {round}"));
            app.sim.fail_next(Fault { times: 1, ..Fault::once("/users/delta", kind) });
            let run = app.sync(&mapping, "directory").await;
            assert_eq!(run["state"], "completed", "{run}");
            let (read, new, changed, removed) = counts(&run, "users");
            assert_eq!((read, new, changed, removed), (i64::try_from(directory.users).unwrap(), 0, 1, 0));
            let found = format!("/companies/{company}/users?search=Round%20{round}");
            assert_eq!(total(&app, &found).await, 1);
        }
        // After a week the link is not even tried, here and at Microsoft.
        app.sim.rename_user(directory.id, 7, "After a week");
        app.sim.advance(8 * 24 * 3600);
        app.advance_minutes(8 * 24 * 60);
        app.drain().await;
        let run = app.sync(&mapping, "directory").await;
        assert_eq!(run["state"], "completed", "{run}");
        assert_eq!(total(&app, &format!("/companies/{company}/users?search=After%20a%20week")).await, 1);
    }

    async fn a_sudden_fall_is_held_back_until_it_is_confirmed(app) {
        let (company, mapping) = app.connected("Fabrikam").await;
        app.drain().await;
        let directory = app.directory("Fabrikam").clone();
        let users = format!("/companies/{company}/users");
        let before = total(&app, &users).await;
        app.sim.remove_users(directory.id, 80);
        for pass in 0..2 {
            let run = match pass {
                0 => app.sync(&mapping, "directory").await,
                _ => app.reconcile(&mapping).await,
            };
            assert_eq!(run["state"], "partial", "{run}");
            let found = collector(&run, "users");
            assert_eq!((found["state"].as_str(), found["removed"].as_i64()), (Some("partial"), Some(0)), "{found}");
            assert!(found["reason"].as_str().unwrap().starts_with("80 of 240"), "{found}");
            assert_eq!(total(&app, &users).await, before);
        }
        let holds = app.get(&format!("/companies/{company}/holds")).await;
        let users_hold = holds["value"].as_array().unwrap().iter().find(|h| h["name"] == "users").unwrap().clone();
        assert_eq!((users_hold["missing"].as_i64(), users_hold["known"].as_i64()), (Some(80), Some(240)));
        let browser = app.browser().await;
        let page = browser.page(&format!("/companies/{company}")).await;
        assert!(page.contains("80 of 240 users are missing") && page.contains("remove them"), "{page}");
        // Somebody knows that they are gone.
        for hold in holds["value"].as_array().unwrap() {
            let name = text(hold, "name");
            let answer = browser.post(&format!("/companies/{company}/confirmations"), &[("mapping", &mapping), ("name", &name)]).await;
            assert_eq!(answer.status(), 303);
        }
        app.drain().await;
        let mut run = app.get(&format!("/runs/{}", app.newest_run(&mapping, "directory").await)).await;
        if run["state"] != "completed" {
            run = app.reconcile(&mapping).await;
        }
        assert_eq!(run["state"], "completed", "{run}");
        assert_eq!(total(&app, &users).await, before - 80);
        assert_eq!(app.get(&format!("/companies/{company}/holds")).await["value"], json!([]));
    }

    async fn a_confirmation_while_a_pass_reads_is_kept_whatever_the_clock_says(app) {
        let (company, mapping) = app.connected("Fabrikam").await;
        app.drain().await;
        let directory = app.directory("Fabrikam").clone();
        let users = format!("/companies/{company}/users");
        let before = total(&app, &users).await;
        app.sim.remove_users(directory.id, 80);
        app.reconcile(&mapping).await;
        // The next pass has begun, and has not seen a confirmation.
        app.sim.fail_next(Fault::once("/users?", Kind::Slow { ms: 3000 }));
        let ask = json!({ "mapping_id": mapping, "kind": "directory", "reconcile": true });
        let asked = app.post("/runs", ask).await;
        let id = text(&asked["value"][0], "id");
        let reading = |run: &Value| run["collectors"].as_array().unwrap().iter()
            .any(|c| c["name"] == "users" && c["state"] == "running");
        for _ in 0..200 {
            if reading(&app.get(&format!("/runs/{id}")).await) { break }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        assert!(reading(&app.get(&format!("/runs/{id}")).await), "it does not read");
        // Who confirms has a clock that is behind.
        app.advance_minutes(-1);
        for hold in app.get(&format!("/companies/{company}/holds")).await["value"].as_array().unwrap() {
            let name = text(hold, "name");
            model::inventory::confirm(&app.scope(), mapping.parse().unwrap(), &name).await.unwrap().unwrap();
        }
        app.advance_minutes(1);
        app.settled(&id).await;
        assert_eq!(total(&app, &users).await, before, "this pass did not know of it");
        app.reconcile(&mapping).await;
        assert_eq!(total(&app, &users).await, before - 80, "the next one does");
    }

    async fn a_reader_sees_the_old_or_the_new(app) {
        let (company, mapping) = app.connected("Tailspin").await;
        app.drain().await;
        let directory = app.directory("Tailspin").clone();
        let all = i64::try_from(directory.users).unwrap();
        let fresh = format!("/companies/{company}/users?search=Moved");
        assert_eq!(total(&app, &fresh).await, 0);
        for index in 0..directory.users {
            app.sim.rename_user(directory.id, index, &format!("Moved {index}"));
        }
        let asked = app.post("/runs", json!({ "mapping_id": mapping, "kind": "directory" })).await;
        let id = text(&asked["value"][0], "id");
        let (mut seen, mut looks) = (std::collections::BTreeSet::new(), 0);
        loop {
            seen.insert(total(&app, &fresh).await);
            looks += 1;
            let state = text(&app.get(&format!("/runs/{id}")).await, "state");
            if !matches!(state.as_str(), "queued" | "running") { break }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        seen.insert(total(&app, &fresh).await);
        assert!(looks > 4, "{looks}");
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [0, all], "half a sync was seen");
    }

    async fn history_says_who_appeared_changed_and_left(app) {
        let (company, mapping) = app.connected("Contoso").await;
        app.drain().await;
        let directory = app.directory("Contoso").clone();
        let devices = format!("/companies/{company}/directory/devices");
        let device = app.get(&format!("{devices}?limit=1")).await["value"][0].clone();
        let id = text(&device, "id");
        for index in 0..directory.devices {
            app.sim.rename_device(directory.id, index, &format!("NEW-{index}"));
        }
        app.sync(&mapping, "directory").await;
        let detail = app.get(&format!("{devices}/{id}")).await;
        let history = detail["history"].as_array().unwrap();
        assert_eq!(history.len(), 2, "{detail}");
        assert_eq!(history[0]["what"], "changed");
        assert_eq!(history[0]["changes"][0]["field"], "display_name");
        assert_eq!(history[0]["changes"][0]["before"], device["fields"]["display_name"]);
        assert_eq!(history[1]["what"], "appeared");
        // A user who left is still read, and said to be gone.
        let browser = app.browser().await;
        let leaver = app.all(&format!("/companies/{company}/users")).await.into_iter()
            .find(|u| text(u, "user_principal_name").starts_with("user1@")).unwrap();
        app.sim.remove_users(directory.id, 1);
        app.sync(&mapping, "directory").await;
        let page = browser.page(&format!("/companies/{company}/users/{}", text(&leaver, "id"))).await;
        assert!(page.contains("Gone from the directory") && page.contains("Seen first"), "{page}");
    }

    async fn sign_in_activity_is_a_run_of_its_own(app) {
        let (company, mapping) = app.connected("Fabrikam").await;
        let (_, other) = app.connected("Contoso").await;
        app.drain().await;
        // No run of the directory asked for it.
        let run = app.get(&format!("/runs/{}", app.newest_run(&mapping, "directory").await)).await;
        assert!(run["collectors"].as_array().unwrap().iter().all(|c| c["name"] != "sign_in_activities"));
        // The plan reads one tenant of an application after the other.
        for _ in 0..6 {
            model::run::plan(&app.db).await.unwrap();
            let open = app.all("/runs?kind=sign_in_activity").await.iter()
                .filter(|r| matches!(r["state"].as_str(), Some("queued" | "running"))).count();
            assert!(open <= 1, "{open}");
            app.drain().await;
        }
        for id in [&mapping, &other] {
            let runs = app.get(&format!("/runs?kind=sign_in_activity&mapping_id={id}")).await;
            assert_eq!(runs["value"].as_array().unwrap().len(), 1, "{runs}");
            assert_eq!(runs["value"][0]["state"], "completed", "{runs}");
        }
        let browser = app.browser().await;
        let user = app.all(&format!("/companies/{company}/users")).await[5].clone();
        let page = browser.page(&format!("/companies/{company}/users/{}", text(&user, "id"))).await;
        assert!(page.contains("Last sign-in"), "{page}");
        assert!(!page.contains("<dt>Last sign-in</dt><dd>Unknown"), "{page}");
    }

    async fn bad_weather_changes_nothing_in_the_end(app) {
        let credential = app.credential().await;
        let tenant = app.consent(&credential, app.directory("Fabrikam").id).await;
        app.sim.weather(sim::Weather {
            seed: 7, throttle: 0.30, absurd: 0.0, server_error: 0.05, reset: 0.05,
            slow: 0.02, half_body: 0.05, html: 0.03, repeat: 0.05, once: false,
        });
        let mapping = text(&app.post("/mappings", json!({ "tenant_id": tenant })).await, "id");
        let id = app.newest_run(&mapping, "directory").await;
        let mut run = Value::Null;
        for _ in 0..5 {
            run = app.wait_for(&id, |s| !matches!(s, "queued" | "running")).await;
            if run["state"] != "retrying" { break }
            app.advance_minutes(60);
        }
        assert_eq!(run["state"], "completed", "{run}");
        let struck: usize = app.sim.weathered().values().sum();
        assert!(struck > 10, "{:?}", app.sim.weathered());
        assert_eq!(app.sim.undercut(), 0, "nobody came back before the time");
        app.sim.clear_faults();
        // In the calm, the whole is read once more, and nothing differs from what the storm left.
        let calm = app.reconcile(&mapping).await;
        for c in calm["collectors"].as_array().unwrap() {
            let name = text(c, "name");
            let (_, new, changed, removed) = counts(&calm, &name);
            assert_eq!((new, changed, removed), (0, 0, 0), "{name}: {c}");
        }
        let asked = |run: &Value| -> i64 {
            run["collectors"].as_array().unwrap().iter().map(|c| c["requests"].as_i64().unwrap()).sum()
        };
        println!("{struck} strokes; {} requests in the storm, {} in the calm", asked(&run), asked(&calm));
    }

    async fn every_section_has_its_page(app) {
        let (company, _) = app.connected("Fabrikam").await;
        app.drain().await;
        let browser = app.browser().await;
        for section in ["app-registrations", "service-principals", "managed-identities", "devices", "managed-devices",
            "role-assignments", "role-eligibilities", "directory-roles", "role-definitions", "conditional-access-policies",
            "risky-users", "risk-detections", "directory-audits", "licences", "domains"]
        {
            let listed = app.get(&format!("/companies/{company}/directory/{section}?limit=3&total=true")).await;
            assert!(listed["total"].as_i64().unwrap() > 0, "{section}: {listed}");
            let page = browser.page(&format!("/companies/{company}/directory/{section}?desc=yes")).await;
            assert!(page.contains("<table"), "{section}");
            let id = text(&listed["value"][0], "id");
            let detail = browser.page(&format!("/companies/{company}/directory/{section}/{id}")).await;
            assert!(detail.contains("Object ID") && detail.contains("Seen first"), "{section}: {detail}");
            // It is found by what the list calls it, and by its id.
            let (_, link) = page.split_once("class=\"c-main\"><a href=").unwrap();
            let name = link.split_once('>').unwrap().1.split_once('<').unwrap().0.to_owned();
            let encoded = |text: &str| -> String { url::form_urlencoded::byte_serialize(text.as_bytes()).collect() };
            for search in [&name, &id] {
                let found = app.get(&format!("/companies/{company}/directory/{section}?search={}&total=true", encoded(search))).await;
                assert!(found["total"].as_i64().unwrap() > 0, "{section}: {search} finds {found}");
            }
            let found = browser.page(&format!("/companies/{company}/directory/{section}?q={}", encoded(&name))).await;
            assert!(found.contains("<table"), "{section}: {name}");
            let none = browser.page(&format!("/companies/{company}/directory/{section}?q=no-such-thing")).await;
            assert!(none.contains("Nothing matches"), "{section}");
        }
        let roles = browser.page(&format!("/companies/{company}/directory/role-assignments")).await;
        assert!(roles.contains("Global Administrator"), "names, not ids: {roles}");
        assert_eq!(browser.get(&format!("/companies/{company}/directory/elsewhere")).await.status(), 404);
    }
}
