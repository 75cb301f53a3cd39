//! Wrong input gets a clear error at its field, and nothing is lost.

use serde_json::{Value, json};

use crate::{
    app::{TestApp, text},
    on_both,
};

async fn refused(app: &TestApp, path: &str, body: Value) -> Vec<(String, String)> {
    let (status, problem) = app.api("POST", path, Some(body)).await;
    assert_eq!(status, 422, "{problem}");
    problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| (text(e, "field"), text(e, "message")))
        .collect()
}

on_both! {
    async fn a_credential_names_each_wrong_field(app) {
        let errors = refused(&app, "/credentials", json!({
            "name": "", "cloud": "moon", "directory_id": "4f1c9d2e-7a31", "client_id": "x",
            "client_secret": "11111111-2222-4333-8444-555555555555",
        })).await;
        let fields: Vec<&str> = errors.iter().map(|e| e.0.as_str()).collect();
        assert_eq!(fields, ["name", "cloud", "directory_id", "client_id", "client_secret"]);
        assert!(errors[2].1.contains("has 13"), "{errors:?}");
        assert!(errors[4].1.contains("Value"), "a secret's id is recognised: {errors:?}");
        assert!(app.get("/credentials").await["value"].as_array().unwrap().is_empty());
        app.credential().await;
        let application = app.application();
        let again = refused(&app, "/credentials", json!({
            "name": "Twice", "cloud": "custom", "directory_id": application.home,
            "client_id": application.client_id, "client_secret": "abc",
        })).await;
        assert_eq!(again[0].0, "client_id");
    }

    async fn a_secret_is_nowhere_in_the_clear(app) {
        let credential = app.credential().await;
        let secret = app.application().secret.clone();
        let shown = app.get(&format!("/credentials/{credential}")).await.to_string();
        assert!(!shown.contains(&secret));
        let page = app.browser().await.page(&format!("/settings/integrations/entra/credentials/{credential}/edit")).await;
        assert!(!page.contains(&secret));
        if app.db.kind() == "sqlite" {
            for file in std::fs::read_dir(app.directory.path()).unwrap() {
                let bytes = std::fs::read(file.unwrap().path()).unwrap();
                assert!(!bytes.windows(secret.len()).any(|w| w == secret.as_bytes()));
            }
        }
    }

    async fn a_mapped_tenant_is_not_mapped_twice(app) {
        app.connected("Contoso").await;
        let tenant = app.get("/tenants").await["value"][0]["id"].clone();
        let errors = refused(&app, "/mappings", json!({ "tenant_id": tenant })).await;
        assert!(errors[0].1.contains("mapped to Contoso Bakery already"), "{errors:?}");
    }

    async fn names_that_clash_are_said(app) {
        app.post("/companies", json!({ "name": "Contoso Ltd" })).await;
        let errors = refused(&app, "/companies", json!({ "name": "CONTOSO limited" })).await;
        assert_eq!(errors[0].0, "name");
        app.post("/companies", json!({ "name": "CONTOSO limited", "allow_same_name": true })).await;
    }

    async fn unknown_things_are_not_found(app) {
        let id = uuid::Uuid::from_u128(7);
        for path in ["credentials", "consent-requests", "tenants", "companies", "mappings", "runs"] {
            for id in [id.to_string(), "no-guid".into()] {
                let (status, problem) = app.api("GET", &format!("/{path}/{id}"), None).await;
                assert_eq!(status, 404, "{path}");
                assert_eq!(problem["status"], 404);
            }
        }
        let (status, _) = app.api("POST", "/runs", Some(json!({ "company_id": id }))).await;
        assert_eq!(status, 404);
        let (status, _) = app.api("POST", "/runs", Some(json!({}))).await;
        assert_eq!(status, 422);
        let (status, _) = app.api("POST", "/companies", Some(json!({ "nam": "x" }))).await;
        assert_eq!(status, 400);
        let (status, _) = app.api("GET", "/companies?limit=0", None).await;
        assert_eq!(status, 400);
    }

    async fn another_kind_keeps_what_was_typed(app) {
        let browser = app.browser().await;
        let path = "/settings/integrations/entra/credentials";
        let answer = browser.post(path, &[("switch", "delegated"), ("kind", "multi_tenant"), ("name", "Typed before"),
            ("directory_id", "abc"), ("client_secret", "secret-that-stays-here"), ("feature", "mail")]).await;
        assert_eq!(answer.status(), 200);
        let page = answer.text().await.unwrap();
        assert!(page.contains("value=\"Typed before\"") && page.contains("value=\"abc\""), "{page}");
        assert!(page.contains("name=\"kind\" value=\"delegated\"") && page.contains("Mail.Send"), "the guide is for what is ticked: {page}");
        assert!(!page.contains("secret-that-stays-here"));
        assert!(app.get("/credentials").await["value"].as_array().unwrap().is_empty());
    }

    async fn a_form_that_fails_is_itself_again(app) {
        let browser = app.browser().await;
        let answer = browser.post("/settings/integrations/entra/credentials", &[
            ("name", "My own name"), ("cloud", "custom"), ("directory_id", "short"),
            ("client_id", ""), ("client_secret", "secret-that-stays-here"), ("secret_expires", ""),
        ]).await;
        assert_eq!(answer.status(), 422);
        let page = answer.text().await.unwrap();
        assert!(page.contains("My own name") && page.contains("value=\"short\""));
        assert!(page.contains("this one has 5"), "{page}");
        assert!(!page.contains("secret-that-stays-here"));
    }
}
