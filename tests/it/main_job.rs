//! The main job through the API, as a script does it.

use serde_json::json;

use crate::{app::text, on_both};

on_both! {
    async fn credential_consent_mapping_sync_and_data(app) {
        let credential = app.credential().await;
        let fabrikam = app.directory("Fabrikam").clone();
        let tenant = app.consent(&credential, fabrikam.id).await;

        // Consent made the tenant known by name; it waits for a mapping.
        let waiting = app.get("/tenants?mapped=false").await;
        assert_eq!(waiting["value"][0]["display_name"], "Fabrikam Freight Ltd");
        let company = app.post("/companies", json!({ "name": "Fabrikam", "external_id": "PSA-7" })).await;
        let mapping = app
            .post("/mappings", json!({ "tenant_id": tenant, "company_id": company["id"] }))
            .await;
        let mapping = text(&mapping, "id");
        assert!(app.get("/tenants?mapped=false").await["value"].as_array().unwrap().is_empty());

        // Saving the mapping started its first sync.
        let first = app.settled(&app.newest_run(&mapping, "directory").await).await;
        assert_eq!(first["state"], "completed", "{first}");
        assert_eq!(first["cause"], "mapping");
        let counts = |name: &str| {
            first["collectors"].as_array().unwrap().iter()
                .find(|c| c["name"] == name).unwrap().clone()
        };
        assert_eq!(counts("users")["read"], fabrikam.users);
        assert_eq!(counts("users")["new"], fabrikam.users);
        assert_eq!(counts("group_members")["read"], fabrikam.memberships);
        app.drain().await;

        let company = text(&company, "id");
        let users = app.all(&format!("/companies/{company}/users")).await;
        assert_eq!(users.len(), fabrikam.users);
        let admin = users.iter().find(|u| u["display_name"] == "Global Administrator").unwrap();
        assert_eq!(admin["user_principal_name"], "admin@fabrikamfreight.example");
        assert_eq!(admin["mfa_registered"], true);
        assert_eq!(admin["is_admin"], true);
        assert_eq!(admin["account_enabled"], true);

        let groups = app.all(&format!("/companies/{company}/groups")).await;
        assert_eq!(groups.len(), fabrikam.groups);
        let group = &groups[0];
        let members = app
            .all(&format!("/companies/{company}/groups/{}/members", text(group, "id")))
            .await;
        assert_eq!(members.len() as u64, group["member_count"].as_u64().unwrap());
        assert_eq!(members[0]["member_type"], "user");

        let scores = app.all(&format!("/companies/{company}/secure-scores")).await;
        assert_eq!(scores.len(), 90);
        assert!(scores[0]["day"].as_str() > scores[89]["day"].as_str());
        assert!(scores[0]["percent"].as_f64().unwrap() > 0.0);
        assert_eq!(scores[0]["averages"][0]["basis"], "TotalSeats");
    }

    async fn a_second_sync_finds_what_changed(app) {
        let (company, mapping) = app.connected("Northwind").await;
        app.drain().await;
        let directory = app.directory("Northwind").clone();
        app.sim.remove_users(directory.id, 3);
        app.sim.rename_user(directory.id, 10, "Renamed Person");
        let run = app.sync(&mapping, "directory").await;
        assert_eq!(run["state"], "completed", "{run}");
        let users = run["collectors"].as_array().unwrap().iter()
            .find(|c| c["name"] == "users").unwrap().clone();
        // Graph told what changed: one user, and three that are gone.
        assert_eq!(users["read"], 1);
        assert_eq!((users["new"].as_i64(), users["changed"].as_i64(), users["removed"].as_i64()),
            (Some(0), Some(1), Some(3)));
        let found = app.get(&format!("/companies/{company}/users?search=renamed&total=true")).await;
        assert_eq!(found["total"], 1);
        let all = app.get(&format!("/companies/{company}/users?total=true&limit=1")).await;
        assert_eq!(all["total"], directory.users - 3);
    }

    async fn sync_now_answers_the_open_run(app) {
        let (company, mapping) = app.connected("Contoso").await;
        app.drain().await;
        app.sim.fail_next(sim::Fault::always("/users", sim::Kind::Slow { ms: 1500 }));
        let body = json!({ "company_id": company, "kind": "directory" });
        let (first, second) = tokio::join!(app.post("/runs", body.clone()), app.post("/runs", body.clone()));
        assert_eq!(first["value"][0]["id"], second["value"][0]["id"]);
        app.sim.clear_faults();
        app.drain().await;
        let third = app.post("/runs", body).await;
        assert_ne!(first["value"][0]["id"], third["value"][0]["id"]);
        let _ = mapping;
    }

    async fn deleting_a_mapping_keeps_the_data_and_mapping_again_brings_it_back(app) {
        let (company, mapping) = app.connected("Contoso").await;
        app.drain().await;
        let before = app.all(&format!("/companies/{company}/users")).await.len();
        let (status, _) = app.api("DELETE", &format!("/mappings/{mapping}"), None).await;
        assert_eq!(status, 204);
        assert_eq!(app.all(&format!("/companies/{company}/users")).await.len(), before);
        let (status, problem) = app
            .api("POST", "/runs", Some(json!({ "company_id": company })))
            .await;
        assert_eq!(status, 409, "{problem}");
        let tenant = app.get("/tenants?mapped=false").await;
        let tenant = text(&tenant["value"][0], "id");
        let again = app.post("/mappings", json!({ "tenant_id": tenant, "company_id": company })).await;
        assert_eq!(text(&again, "id"), mapping, "the same mapping is revived");
    }
}
