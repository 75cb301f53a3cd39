//! Consent links: followed by customers' administrators in a browser of their own.

use serde_json::{Value, json};

use crate::{
    app::{TestApp, location, text},
    consent_flow::{CREDENTIALS, arrive, decide, tenants},
    on_both,
};

async fn link(app: &TestApp, body: Value) -> (String, Value) {
    let credentials = app.get("/credentials").await;
    let credential = match credentials["value"].as_array().unwrap().first() {
        Some(c) => text(c, "id"),
        None => app.credential().await,
    };
    let mut body = body;
    body["credential_id"] = json!(credential);
    let made = app.post("/consent-links", body).await;
    (text(&made, "url").replace(&app.url, ""), made)
}

async fn links(app: &TestApp) -> Value {
    let credential = text(&app.get("/credentials").await["value"][0], "id");
    app.get(&format!("/consent-links?credential_id={credential}"))
        .await["value"]
        .clone()
}

on_both! {
    async fn an_administrator_without_an_account_consents(app) {
        model::partner::edit(&app.scope(), "Halden MSP", "help@halden.example").await.unwrap();
        let contoso = app.directory("Contoso").id.to_string();
        let (path, made) = link(&app, json!({ "company_name": "Contoso Bakery <b>", "note": "As agreed & signed", "directory_id": contoso })).await;
        assert_eq!(made["state"], "open");
        let administrator = app.stranger();
        let page = administrator.page(&path).await;
        for expected in ["Halden MSP asks for your consent", "Contoso Bakery &#60;b&#62;", "As agreed", "User.Read.All", "help@halden.example"] {
            assert!(page.contains(expected), "{expected}: {page}");
        }
        assert!(!page.contains("Mail.Send"));
        // Looking at it, as mail scanners do, uses nothing up.
        administrator.page(&path).await;
        assert!(links(&app).await[0]["opened_at"].is_string());
        let url = location(&administrator.post(&path, &[]).await);
        assert!(url.contains(&format!("/{contoso}/v2.0/adminconsent?")), "{url}");
        let back = decide(&administrator, &url, &format!("{contoso}/admin"), "accept").await;
        let page = arrive(&administrator, &back).await;
        for expected in ["Consent granted", "Halden MSP", "Contoso Bakery", "To withdraw"] {
            assert!(page.contains(expected), "{expected}: {page}");
        }
        assert_eq!(tenants(&app).await, 1);
        let row = &links(&app).await[0];
        assert_eq!((row["state"].as_str(), row["outcome"].as_str()), (Some("used"), Some("granted")));
        // Good for one consent.
        let gone = administrator.get(&path).await;
        assert_eq!(gone.status(), 410);
        assert!(gone.text().await.unwrap().contains("good for one"));
        // The partner sees who consented.
        let page = app.browser().await.page(&format!("{CREDENTIALS}/{}", row["credential_id"].as_str().unwrap())).await;
        assert!(page.contains("Consented"), "{page}");
    }

    async fn a_declined_link_stays_good_and_a_wrong_role_too(app) {
        let contoso = app.directory("Contoso").id.to_string();
        let (path, _) = link(&app, json!({ "company_name": "Contoso" })).await;
        let administrator = app.stranger();
        for (account, decision, expected) in [("admin", "cancel", "Consent was declined"), ("user", "accept", "may not consent"), ("admin", "accept", "Consent granted")] {
            let url = location(&administrator.post(&path, &[]).await);
            assert!(url.contains("/organizations/v2.0/adminconsent?"), "{url}");
            let back = decide(&administrator, &url, &format!("{contoso}/{account}"), decision).await;
            let page = arrive(&administrator, &back).await;
            assert!(page.contains(expected), "{expected}: {page}");
            if decision == "cancel" {
                assert!(page.contains("The link stays good"), "{page}");
                assert_eq!(links(&app).await[0]["outcome"], "declined");
            }
        }
        assert_eq!(tenants(&app).await, 1);
    }

    async fn links_end_by_withdrawal_time_and_use(app) {
        let administrator = app.stranger();
        let contoso = app.directory("Contoso").id.to_string();
        // Withdrawn before it is opened, and between going and coming back.
        let (path, made) = link(&app, json!({})).await;
        let url = location(&administrator.post(&path, &[]).await);
        let back = decide(&administrator, &url, &format!("{contoso}/admin"), "accept").await;
        let (status, _) = app.api("DELETE", &format!("/consent-links/{}", made["id"].as_str().unwrap()), None).await;
        assert_eq!(status, 204);
        let page = arrive(&administrator, &back).await;
        assert!(page.contains("cannot be used any more"), "{page}");
        assert!(administrator.get(&path).await.text().await.unwrap().contains("taken back"));
        assert_eq!(location(&administrator.post(&path, &[]).await), path);
        // Its time is over.
        let (path, _) = link(&app, json!({ "days": 1 })).await;
        app.advance_minutes(24 * 60 + 1);
        assert!(administrator.get(&path).await.text().await.unwrap().contains("time is over"));
        // Two browsers at once: one consents.
        let (path, _) = link(&app, json!({})).await;
        let other = app.stranger();
        let mut backs = Vec::new();
        for browser in [&administrator, &other] {
            let url = location(&browser.post(&path, &[]).await);
            backs.push(decide(browser, &url, &format!("{contoso}/admin"), "accept").await);
        }
        // Swapped, neither counts.
        assert!(arrive(&other, &backs[0]).await.contains("another browser"));
        let first = arrive(&administrator, &backs[0]).await;
        let second = arrive(&other, &backs[1]).await;
        assert!(first.contains("Consent granted"), "{first}");
        assert!(second.contains("cannot be used any more"), "{second}");
        assert_eq!(tenants(&app).await, 1);
        assert_eq!(administrator.get("/consent/links/made-up").await.status(), 404);
    }

    async fn what_is_wrong_with_a_link_is_said_at_its_field(app) {
        let credential = app.credential().await;
        let (status, problem) = app.api("POST", "/consent-links", Some(json!({
            "credential_id": credential, "directory_id": "short", "note": "x".repeat(1001), "days": 3 }))).await;
        assert_eq!(status, 422);
        let fields: Vec<&str> = problem["errors"].as_array().unwrap().iter().map(|e| e["field"].as_str().unwrap()).collect();
        assert_eq!(fields, ["directory_id", "note", "days"]);
        let browser = app.browser().await;
        let answer = browser.post(&format!("{CREDENTIALS}/{credential}/links"), &[("directory_id", "short"), ("company_name", "Kept")]).await;
        assert_eq!(answer.status(), 422);
        let page = answer.text().await.unwrap();
        assert!(page.contains("value=\"Kept\"") && page.contains("this one has 5"), "{page}");
        let answer = browser.post(&format!("{CREDENTIALS}/{credential}/links"), &[("company_name", "Contoso")]).await;
        let page = answer.text().await.unwrap();
        assert!(page.contains(&format!("{}/consent/links/", app.url)), "the link is shown once: {page}");
        let again = browser.page(&format!("{CREDENTIALS}/{credential}")).await;
        assert!(!again.contains("/consent/links/"), "{again}");
        // The same form sent twice, as a reload does, makes one link.
        let token = again.split("name=\"token\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let form = [("company_name", "Once"), ("days", "30"), ("token", token.as_str())];
        assert_eq!(browser.post(&format!("{CREDENTIALS}/{credential}/links"), &form).await.status(), 200);
        assert_eq!(browser.post(&format!("{CREDENTIALS}/{credential}/links"), &form).await.status(), 303);
        let made = links(&app).await;
        assert_eq!(made.as_array().unwrap().iter().filter(|l| l["company_name"] == "Once").count(), 1);
        // What was chosen is there again beside what is wrong.
        let answer = browser.post(&format!("{CREDENTIALS}/{credential}/links"), &[("directory_id", "short"), ("days", "30")]).await;
        assert!(answer.text().await.unwrap().contains("<option value=\"30\" selected>"));
    }
}
