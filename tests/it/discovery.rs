//! Tenants that are known before anybody consents.

use serde_json::{Value, json};

use crate::{
    app::{TestApp, text},
    consent_flow::CREDENTIALS,
    on_both,
};

/// The single-tenant application of the partner's own directory, tested and connected.
async fn own(app: &TestApp, features: &[&str]) -> String {
    let application = &app.sim.world().applications[1];
    app.sim.grant(application.home, application.client_id);
    let made = app
        .post(
            "/credentials",
            json!({
                "kind": "single_tenant", "name": "Own directory", "cloud": "custom",
                "directory_id": application.home, "client_id": application.client_id,
                "client_secret": application.secret, "features": features,
            }),
        )
        .await;
    text(&made, "id")
}

async fn discovered(app: &TestApp) -> Vec<Value> {
    app.all("/tenants")
        .await
        .into_iter()
        .filter(|t| t["state"] == "discovered")
        .collect()
}

on_both! {
    async fn customers_are_found_by_gdap_and_by_contracts(app) {
        let credential = own(&app, &["discovery", "contracts"]).await;
        let path = format!("/credentials/{credential}/discoveries");
        let gdap = app.post(&path, json!({ "source": "gdap" })).await;
        assert_eq!((gdap["found"].as_u64(), gdap["new"].as_u64()), (Some(3), Some(3)));
        let again = app.post(&path, json!({ "source": "gdap" })).await;
        assert_eq!(again["new"], 0);
        let contracts = app.post(&path, json!({ "source": "contract" })).await;
        assert_eq!(contracts["found"], 2);
        let all = discovered(&app).await;
        assert_eq!(all.len(), 5);
        let of = |name: &str| all.iter().find(|t| t["display_name"].as_str().unwrap().contains(name)).unwrap().clone();
        assert!(of("Contoso")["relationship"].as_str().unwrap().starts_with("GDAP expiring, until 20"));
        assert_eq!(of("Northwind")["found_by"], "contract");
        assert_eq!(of("Northwind")["default_domain"], "northwinddental.example");
        // A tenant that consented keeps its state, whatever a list says.
        let page = app.browser().await.page("/settings/integrations/entra/tenants?state=discovered").await;
        assert!(page.contains("Tailspin Logistics GmbH") && page.contains("No consent yet"), "{page}");
    }

    async fn a_discovered_tenant_leads_to_consent(app) {
        let credential = own(&app, &["discovery"]).await;
        app.post(&format!("/credentials/{credential}/discoveries"), json!({ "source": "gdap" })).await;
        let contoso = discovered(&app).await.into_iter().find(|t| t["display_name"] == "Contoso Bakery").unwrap();
        let browser = app.browser().await;
        let path = format!("/settings/integrations/entra/tenants/{}", text(&contoso, "id"));
        assert!(browser.page(&path).await.contains("there is none yet"), "no application that it could consent to");
        let multi = app.credential().await;
        let page = browser.page(&path).await;
        assert!(page.contains(&format!("{CREDENTIALS}/{multi}/links")) && page.contains("to Main"), "{page}");
        app.consent(&multi, app.directory("Contoso").id).await;
        let list = |state: &'static str| {
            let browser = &browser;
            async move { browser.page(&format!("/settings/integrations/entra/tenants?state={state}")).await }
        };
        assert!(!list("discovered").await.contains("Contoso Bakery"), "nobody chases who consented");
        assert!(list("").await.contains("Consented to Main"));
    }

    async fn discovery_that_is_off_says_how_to_switch_it_on(app) {
        let credential = app.credential().await;
        let (status, problem) = app.api("POST", &format!("/credentials/{credential}/discoveries"), Some(json!({ "source": "gdap" }))).await;
        assert_eq!(status, 409, "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains("switched off"), "{problem}");
        // On, but never granted.
        let application = &app.sim.world().applications[1];
        let made = app.post("/credentials", json!({
            "kind": "single_tenant", "name": "Own", "cloud": "custom", "directory_id": application.home,
            "client_id": application.client_id, "client_secret": application.secret, "features": ["discovery"],
        })).await;
        let (status, problem) = app.api("POST", &format!("/credentials/{}/discoveries", text(&made, "id")), Some(json!({ "source": "gdap" }))).await;
        assert_eq!(status, 422);
        assert!(problem["errors"][0]["message"].as_str().unwrap().contains("not present"), "{problem}");
    }

    async fn domains_are_resolved_without_any_permission(app) {
        let credential = app.credential().await;
        let contoso = app.directory("Contoso").id;
        let body = json!({ "source": "domains", "domains": [
            "contosobakery.example", "CONTOSOBAKERY.EXAMPLE ", contoso, "nobody.example", "no domain", "fabrikamfreight.example" ] });
        let found = app.post(&format!("/credentials/{credential}/discoveries"), body).await;
        assert_eq!(found["found"], 2, "{found}");
        let reasons: Vec<&str> = found["not_found"].as_array().unwrap().iter().map(|n| n["reason"].as_str().unwrap()).collect();
        assert_eq!(reasons.len(), 2);
        assert!(reasons.iter().any(|r| r.contains("knows no tenant")) && reasons.iter().any(|r| r.contains("no domain and no tenant ID")), "{reasons:?}");
        let row = discovered(&app).await.into_iter().find(|t| t["directory_id"] == contoso.to_string()).unwrap();
        assert_eq!(row["default_domain"], "contosobakery.example");
        // It is one click to a consent link, and consent makes it a tenant like any other.
        let browser = app.browser().await;
        let page = browser.page(&format!("/settings/integrations/entra/tenants/{}", text(&row, "id"))).await;
        assert!(page.contains("Make a consent link") && page.contains("List of domains"), "{page}");
        app.consent(&credential, contoso).await;
        let row = app.get(&format!("/tenants/{}", text(&row, "id"))).await;
        assert_eq!((row["state"].as_str(), row["display_name"].as_str()), (Some("consented"), Some("Contoso Bakery")));
        // A pasted CSV does as well.
        let answer = browser.post(&format!("{CREDENTIALS}/{credential}/discoveries"), &[("domains", "domain,name\n\"aozora.example\",Sky\n")]).await;
        assert!(answer.text().await.unwrap().contains("1 tenant found, 1 new"));
    }

    async fn names_of_found_tenants_come_with_the_permission(app) {
        let credential = own(&app, &["discovery"]).await;
        app.post(&format!("/credentials/{credential}/discoveries"), json!({ "source": "domains", "domains": ["aozora.example"] })).await;
        assert_eq!(discovered(&app).await[0]["display_name"], "株式会社青空");
    }
}
