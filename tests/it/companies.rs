//! Companies from a CSV, remapping, archiving.

use serde_json::json;

use crate::{app::text, on_both};

on_both! {
    async fn a_csv_is_shown_line_by_line_before_it_is_saved(app) {
        app.post("/companies", json!({ "name": "Contoso Ltd", "external_id": "7" })).await;
        app.post("/companies", json!({ "name": "Fabrikam" })).await;
        let csv = "\u{feff}Name;Domain;External ID\nNew One;new.example;1\nContoso Limited;contoso.example;7\nFabrikam;;\nFabrikam;;\n;x.example;9\nBad;no domain;3\n";
        let lines = app.post("/company-imports", json!({ "csv": csv, "dry_run": true })).await;
        let fates: Vec<&str> = lines.as_array().unwrap().iter().map(|l| l["fate"].as_str().unwrap()).collect();
        assert_eq!(fates, ["create", "update", "unchanged", "refused", "refused", "refused"]);
        assert_eq!(lines[0]["line"], 2);
        assert!(lines[3]["reason"].as_str().unwrap().contains("twice"));
        assert_eq!(app.get("/companies?total=true").await["total"], 2, "a dry run saves nothing");
        app.post("/company-imports", json!({ "csv": csv })).await;
        let all = app.all("/companies").await;
        assert_eq!(all.len(), 3);
        let contoso = all.iter().find(|c| c["external_id"] == "7").unwrap();
        assert_eq!((contoso["name"].as_str(), contoso["domain"].as_str()), (Some("Contoso Limited"), Some("contoso.example")));
        // Lines of one file see what the lines above do; a dry run says the same as the import.
        app.post("/companies", json!({ "name": "Old Name", "external_id": "E1" })).await;
        let csv = "name,external id\nNew Name,E1\nOld Name,\nFresh,E9\nFresh,\nContoso Limited,E7\n";
        let fates = |lines: serde_json::Value| -> Vec<String> {
            lines.as_array().unwrap().iter().map(|l| text(l, "fate")).collect()
        };
        let dry = fates(app.post("/company-imports", json!({ "csv": csv, "dry_run": true })).await);
        assert_eq!(dry, ["update", "create", "create", "refused", "refused"]);
        assert_eq!(fates(app.post("/company-imports", json!({ "csv": csv })).await), dry);
        let all = app.all("/companies").await;
        assert_eq!(all.len(), 6);
        assert_eq!(all.iter().find(|c| c["external_id"] == "E1").unwrap()["name"], "New Name");
        for (csv, expected) in [("a,b\n1,2", "headed"), ("name\n", "No line follows"), ("", "headed")] {
            let (status, problem) = app.api("POST", "/company-imports", Some(json!({ "csv": csv }))).await;
            assert_eq!(status, 422, "{csv:?}");
            assert!(problem["errors"][0]["message"].as_str().unwrap().contains(expected), "{problem}");
        }
        // The pages: a file, its fate, the import.
        let browser = app.browser().await;
        let page = browser.post("/companies/import", &[("text", "name\nPasted"), ("action", "check")]).await.text().await.unwrap();
        assert!(page.contains("1 new") && page.contains("Pasted"), "{page}");
        let part = reqwest::multipart::Part::bytes(b"name\nFrom a file\n".to_vec()).file_name("c.csv");
        let form = reqwest::multipart::Form::new().part("file", part).text("action", "import");
        let answer = browser.http.post(format!("{}/companies/import", app.url)).header("origin", &app.url).multipart(form).send().await.unwrap();
        assert_eq!(answer.status(), 303);
        assert!(app.all("/companies").await.iter().any(|c| c["name"] == "From a file"));
    }

    async fn remapping_moves_future_data_only(app) {
        let (old, mapping) = app.connected("Contoso").await;
        app.drain().await;
        let other = app.post("/companies", json!({ "name": "The other one" })).await;
        let other = text(&other, "id");
        let browser = app.browser().await;
        let path = format!("/settings/integrations/entra/mappings/{mapping}/remap");
        let page = browser.page(&path).await;
        assert!(page.contains("Only future data") && page.contains("The other one"), "{page}");
        let answer = browser.post(&path, &[("company_id", "")]).await;
        assert_eq!(answer.status(), 422);
        assert!(answer.text().await.unwrap().contains("Choose the company"));
        assert_eq!(browser.post(&path, &[("company_id", &old)]).await.status(), 422);
        assert_eq!(browser.post(&path, &[("company_id", &other)]).await.status(), 303);
        app.drain().await;
        // What was collected stays readable where it was collected for; the new one has its own.
        for company in [&old, &other] {
            let users = app.get(&format!("/companies/{company}/users?total=true")).await;
            assert_eq!(users["total"], 12, "{company}");
        }
        let mappings = app.all("/mappings").await;
        assert_eq!(mappings.len(), 1);
        assert_eq!(mappings[0]["company_id"], other.as_str());
        assert_ne!(mappings[0]["id"], mapping.as_str());
        // Back again: the first mapping comes back with its data.
        let back = app.post(&format!("/mappings/{}/remap", text(&mappings[0], "id")), json!({ "company_id": old })).await;
        assert_eq!(back["id"], mapping.as_str());
    }

    async fn a_company_is_archived_when_nothing_is_mapped_to_it(app) {
        let (company, mapping) = app.connected("Contoso").await;
        app.drain().await;
        let browser = app.browser().await;
        let answer = browser.post(&format!("/companies/{company}/archive"), &[]).await;
        assert_eq!(answer.status(), 409);
        assert!(answer.text().await.unwrap().contains("mapped to this company"));
        app.api("DELETE", &format!("/mappings/{mapping}"), None).await;
        assert_eq!(browser.post(&format!("/companies/{company}/archive"), &[]).await.status(), 303);
        assert!(app.all("/companies").await.is_empty());
    }
}
