//! The consent flow in a browser: what is granted, and everything that must not be.

use serde_json::json;

use crate::{
    app::{Browser, TestApp, location, parameters, text},
    on_both,
};

pub const CREDENTIALS: &str = "/settings/integrations/entra/credentials";

/// Signed in, with a credential; begins a request and answers Microsoft's URL.
pub async fn begin(app: &TestApp, browser: &Browser, pinned: &str) -> String {
    let credentials = app.get("/credentials").await;
    let id = match credentials["value"].as_array().unwrap().first() {
        Some(c) => text(c, "id"),
        None => app.credential().await,
    };
    let answer = browser
        .post(
            &format!("{CREDENTIALS}/{id}/consent"),
            &[("directory_id", pinned)],
        )
        .await;
    assert_eq!(answer.status(), 303);
    location(&answer)
}

/// Presses a button on Microsoft's page; answers where Microsoft sends the browser.
pub async fn decide(browser: &Browser, url: &str, account: &str, decision: &str) -> String {
    let mut form: Vec<(String, String)> = parameters(url);
    form.push(("account".into(), account.into()));
    form.push(("decision".into(), decision.into()));
    let form: Vec<(&str, &str)> = form.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let answer = browser.post(url.split('?').next().unwrap(), &form).await;
    assert_eq!(answer.status(), 303, "{}", answer.text().await.unwrap());
    location(&answer)
}

/// Follows redirects, Microsoft's silent sign-in among them, to the page at their end.
pub async fn arrive(browser: &Browser, url: &str) -> String {
    let mut answer = browser.get(url).await;
    for _ in 0..6 {
        if answer.status() != 303 {
            break;
        }
        answer = browser.get(&location(&answer)).await;
    }
    answer.text().await.unwrap()
}

pub async fn tenants(app: &TestApp) -> usize {
    app.get("/tenants").await["value"].as_array().unwrap().len()
}

on_both! {
    async fn a_pinned_tenant_is_connected(app) {
        let browser = app.browser().await;
        let contoso = app.directory("Contoso").id.to_string();
        let url = begin(&app, &browser, &contoso).await;
        assert!(url.contains(&format!("/{contoso}/v2.0/adminconsent?")), "{url}");
        let back = decide(&browser, &url, &format!("{contoso}/admin"), "accept").await;
        let page = arrive(&browser, &back).await;
        assert!(page.contains("Consent granted") && page.contains("Contoso Bakery"), "{page}");
        assert_eq!(tenants(&app).await, 1);
        // The same return again changes nothing.
        let again = arrive(&browser, &back).await;
        assert!(again.contains("used already"), "{again}");
        assert_eq!(tenants(&app).await, 1);
    }

    async fn without_a_pinned_tenant_the_administrator_proves_theirs(app) {
        let browser = app.browser().await;
        let contoso = app.directory("Contoso").id.to_string();
        let url = begin(&app, &browser, "").await;
        assert!(url.contains("/organizations/v2.0/adminconsent?"), "{url}");
        let back = decide(&browser, &url, &format!("{contoso}/admin"), "accept").await;
        let proof = location(&browser.get(&back).await);
        assert!(proof.contains("/organizations/oauth2/v2.0/authorize?"), "{proof}");
        assert_eq!(tenants(&app).await, 0, "nothing is connected before the proof");
        let back = decide(&browser, &proof, &format!("{contoso}/admin"), "accept").await;
        let page = arrive(&browser, &back).await;
        assert!(page.contains("Consent granted"), "{page}");
        assert_eq!(tenants(&app).await, 1);
    }

    async fn another_tenants_administrator_proves_nothing(app) {
        let browser = app.browser().await;
        let contoso = app.directory("Contoso").id.to_string();
        let victim = app.directory("Fabrikam").id;
        // The victim consented to the same application before.
        app.sim.grant(victim, app.application().client_id);
        for (claimed, account, expected) in [
            (victim.to_string(), format!("{contoso}/admin"), "Another tenant than expected"),
            (contoso.clone(), format!("{contoso}/user"), "This account may not consent"),
        ] {
            let url = begin(&app, &browser, "").await;
            let back = decide(&browser, &url, &format!("{contoso}/admin"), "accept").await;
            let forged = back.replace(&contoso, &claimed);
            let proof = location(&browser.get(&forged).await);
            let back = decide(&browser, &proof, &account, "accept").await;
            let page = arrive(&browser, &back).await;
            assert!(page.contains(expected), "{expected}: {page}");
            assert_eq!(tenants(&app).await, 0);
        }
    }

    async fn forged_swapped_and_late_returns_connect_nothing(app) {
        let browser = app.browser().await;
        let contoso = app.directory("Contoso").id.to_string();
        let other = app.directory("Fabrikam").id.to_string();
        app.sim.grant(app.directory("Fabrikam").id, app.application().client_id);

        // No state, a made-up one, parameters twice.
        for query in ["", "?state=x", "?state=x&state=y", "?tenant=1&admin_consent=True", "?code=1&state=z"] {
            let answer = browser.get(&format!("/consent/callback{query}")).await;
            assert_eq!(answer.status(), 400, "{query}");
            assert!(answer.text().await.unwrap().contains("not one of ours"));
        }

        // Another tenant than the pinned one.
        let url = begin(&app, &browser, &contoso).await;
        let back = decide(&browser, &url, &format!("{contoso}/admin"), "accept").await;
        let page = arrive(&browser, &back.replace(&contoso, &other)).await;
        assert!(page.contains("Another tenant than expected"), "{page}");

        // Another browser than the one that began.
        let url = begin(&app, &browser, &contoso).await;
        let back = decide(&browser, &url, &format!("{contoso}/admin"), "accept").await;
        let page = arrive(&app.stranger(), &back).await;
        assert!(page.contains("another browser"), "{page}");
        assert_eq!(tenants(&app).await, 0);
        // It is still open where it began.
        assert!(arrive(&browser, &back).await.contains("Consent granted"));
        assert_eq!(tenants(&app).await, 1);

        // Too late.
        let url = begin(&app, &browser, &other).await;
        let back = decide(&browser, &url, &format!("{other}/admin"), "accept").await;
        app.advance_minutes(11);
        let page = arrive(&browser, &back).await;
        assert!(page.contains("has expired"), "{page}");
        assert_eq!(tenants(&app).await, 1);
    }

    async fn each_refusal_of_microsoft_has_its_page(app) {
        let browser = app.browser().await;
        let contoso = app.directory("Contoso").id.to_string();
        let vault = app.directory("Vault").id.to_string();
        for (tenant, account, decision, expected) in [
            (&contoso, "admin", "cancel", "Consent was declined"),
            (&vault, "admin", "accept", "Consent was declined"),
            (&contoso, "user", "accept", "This account may not consent"),
        ] {
            let url = begin(&app, &browser, tenant).await;
            let back = decide(&browser, &url, &format!("{tenant}/{account}"), decision).await;
            let page = arrive(&browser, &back).await;
            assert!(page.contains(expected), "{expected}: {page}");
        }
        // A description with markup is read for its number alone.
        let url = begin(&app, &browser, &contoso).await;
        let state = parameters(&url).into_iter().find(|(n, _)| n == "state").unwrap().1;
        let page = arrive(&browser, &format!(
            "/consent/callback?error=server_error&error_description=%3Cscript%3Ealert(1)%3C%2Fscript%3E&state={state}"
        )).await;
        assert!(page.contains("could not be asked") && !page.contains("<script>alert"), "{page}");
        assert_eq!(tenants(&app).await, 0);
    }

    async fn consent_that_still_spreads_is_looked_at_again_by_itself(app) {
        let browser = app.browser().await;
        let slow = app.directory("Ελιά");
        assert!(slow.spreads > 0);
        let tenant = slow.id.to_string();
        let url = begin(&app, &browser, &tenant).await;
        let back = decide(&browser, &url, &format!("{tenant}/admin"), "accept").await;
        let page = arrive(&browser, &back).await;
        assert!(page.contains("still spreading") && page.contains("http-equiv=\"refresh\""), "{page}");
        assert_eq!(tenants(&app).await, 0);
        let tokens = app.sim.requests("/oauth2/v2.0/token");
        // It works by now; nobody presses anything.
        app.advance_minutes(1);
        for _ in 0..200 {
            if tenants(&app).await == 1 { break }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        assert_eq!(tenants(&app).await, 1);
        assert!(app.sim.requests("/oauth2/v2.0/token") > tokens, "each look takes a new token");
    }

    async fn who_consented_is_looked_at_also_when_consent_spreads(app) {
        let browser = app.browser().await;
        let victim = app.directory("Fabrikam");
        app.sim.grant(victim.id, app.application().client_id);
        let tenant = victim.id.to_string();
        for (account, expected) in [("user", "wrong_role"), ("admin", "granted")] {
            let url = begin(&app, &browser, &tenant).await;
            let state = parameters(&url).into_iter().find(|(n, _)| n == "state").unwrap().1;
            // The token of the first look may not read yet.
            app.sim.fail_next(sim::Fault::once("/v1.0/organization", sim::Kind::Error { status: 403, code: "Authorization_RequestDenied".into() }));
            let proof = location(&browser.get(&format!("/consent/callback?tenant={tenant}&state={state}")).await);
            let back = decide(&browser, &proof, &format!("{tenant}/{account}"), "accept").await;
            assert!(arrive(&browser, &back).await.contains("still spreading"));
            app.advance_minutes(2);
            let newest = || async { model::consent_request::list(&app.scope()).await.unwrap().pop().unwrap() };
            for _ in 0..200 {
                if newest().await.outcome.as_deref() == Some(expected) { break }
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
            assert_eq!(newest().await.outcome.as_deref(), Some(expected), "{account}");
        }
        assert_eq!(tenants(&app).await, 1);
    }

    async fn a_passing_failure_is_no_refusal(app) {
        let browser = app.browser().await;
        let tenant = app.directory("Contoso").id.to_string();
        let url = begin(&app, &browser, &tenant).await;
        app.sim.fail_next(sim::Fault { path: "roleAssignments".into(), kind: sim::Kind::Throttle { seconds: 600 }, times: 1, skip: 0 });
        let back = decide(&browser, &url, &format!("{tenant}/admin"), "accept").await;
        assert!(arrive(&browser, &back).await.contains("still spreading"));
        app.advance_minutes(2);
        for _ in 0..200 {
            if tenants(&app).await == 1 { break }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        assert_eq!(tenants(&app).await, 1);
    }

    async fn a_request_that_nobody_came_back_for_ends(app) {
        let browser = app.browser().await;
        let tenant = app.directory("Contoso").id.to_string();
        begin(&app, &browser, &tenant).await;
        // In another browser the proof stays open for the one that began it.
        let url = begin(&app, &browser, &tenant).await;
        let back = decide(&browser, &url, &format!("{tenant}/admin"), "accept").await;
        let proof = location(&browser.get(&back).await);
        let back = decide(&browser, &proof, &format!("{tenant}/admin"), "accept").await;
        assert!(arrive(&app.stranger(), &back).await.contains("still open there"));
        assert!(arrive(&browser, &back).await.contains("Consent granted"));
        app.advance_minutes(12);
        let first = || async { model::consent_request::list(&app.scope()).await.unwrap().remove(0) };
        for _ in 0..200 {
            if first().await.outcome.is_some() { break }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        assert_eq!(first().await.outcome.as_deref(), Some("expired"));
    }

    async fn consent_that_never_spreads_ends_as_not_found(app) {
        let browser = app.browser().await;
        let contoso = app.directory("Contoso");
        let tenant = contoso.id.to_string();
        let url = begin(&app, &browser, &tenant).await;
        let back = decide(&browser, &url, &format!("{tenant}/admin"), "accept").await;
        app.sim.revoke(contoso.id, app.application().client_id);
        assert!(arrive(&browser, &back).await.contains("still spreading"));
        app.advance_minutes(20);
        let outcome = || async {
            let rows = model::consent_request::list(&app.scope()).await.unwrap();
            rows.last().unwrap().outcome.clone().unwrap()
        };
        for _ in 0..200 {
            if outcome().await == "application_not_found" { break }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        assert_eq!(outcome().await, "application_not_found");
        assert_eq!(tenants(&app).await, 0);
    }

    async fn of_fifty_parallel_returns_one_counts(app) {
        let browser = app.browser().await;
        let contoso = app.directory("Contoso").id.to_string();
        let url = begin(&app, &browser, &contoso).await;
        let back = decide(&browser, &url, &format!("{contoso}/admin"), "accept").await;
        // The consent step: one return is sent on to prove whose administrator it is.
        let answers = futures_util::future::join_all((0..50).map(|_| browser.get(&back))).await;
        let proofs: Vec<String> = answers.iter().map(location).filter(|to| to.contains("/authorize?")).collect();
        assert_eq!(proofs.len(), 1);
        // The proving step: one return connects.
        let back = decide(&browser, &proofs[0], &format!("{contoso}/admin"), "accept").await;
        let answers = futures_util::future::join_all((0..50).map(|_| browser.get(&back))).await;
        let granted = answers.iter().filter(|a| !location(a).contains("outcome=")).count();
        assert_eq!(granted, 1);
        assert_eq!(tenants(&app).await, 1);
        assert!(model::audit::verify(&app.db, app.partner, &[]).await.unwrap().is_ok());
        let rows = model::audit::list(&app.scope(), &model::audit::Filter::default(), model::Window::page(1, 1000)).await.unwrap().rows;
        let refused = rows.iter().filter(|r| r.action == "consent.refuse").count();
        assert_eq!(refused, 98, "each of the others is audited");
    }

    async fn a_tenant_of_another_partner_is_never_taken_over(app) {
        let credential = app.credential().await;
        app.consent(&credential, app.directory("Contoso").id).await;
        let other = model::partner::create(&app.db, &app.connection.keyring, "Other MSP").await.unwrap();
        let token = crate::app::owner(&app.db, other, "owner@other.example").await;
        let application = app.application();
        let (_, made) = app.api_as(&token, "POST", "/credentials", Some(json!({
            "name": "Same app", "cloud": "custom", "directory_id": application.home,
            "client_id": application.client_id, "client_secret": application.secret,
        }))).await;
        let (_, begun) = app.api_as(&token, "POST", "/consent-requests", Some(json!({
            "credential_id": made["id"], "directory_id": app.directory("Contoso").id,
        }))).await;
        let followed = reqwest::Client::builder().cookie_store(true).build().unwrap().get(begun["url"].as_str().unwrap()).send().await.unwrap();
        assert!(followed.text().await.unwrap().contains("linked elsewhere"));
        let (_, mine) = app.api_as(&token, "GET", "/tenants", None).await;
        assert!(mine["value"].as_array().unwrap().is_empty());
    }
}
