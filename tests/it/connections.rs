//! Every way to connect: kinds of credentials, secrets and certificates, renewal, tests, drift, loss.

use std::time::Duration;

use serde_json::{Value, json};
use sim::{Fault, Kind};

use crate::{
    app::{Browser, TestApp, location, parameters, text},
    consent_flow::{CREDENTIALS, arrive, begin, decide},
    on_both,
};

/// A credential of the application at `index`, with more fields.
async fn credential(app: &TestApp, index: usize, more: Value) -> String {
    let application = &app.sim.world().applications[index];
    let mut body = json!({
        "name": application.name, "cloud": "custom", "directory_id": application.home,
        "client_id": application.client_id,
    });
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    text(&app.post("/credentials", body).await, "id")
}

fn secret_of(app: &TestApp, index: usize) -> Value {
    json!({ "client_secret": app.sim.world().applications[index].secret })
}

async fn test(app: &TestApp, credential: &str) -> Value {
    app.post(&format!("/credentials/{credential}/tests"), json!({}))
        .await
}

fn line<'a>(test: &'a Value, what: &str) -> &'a Value {
    test["lines"]
        .as_array()
        .unwrap()
        .iter()
        .find(|l| l["what"] == what)
        .unwrap_or_else(|| panic!("no line {what} in {test}"))
}

async fn state(app: &TestApp, credential: &str) -> String {
    text(
        &app.get(&format!("/credentials/{credential}")).await,
        "state",
    )
}

/// The directory of a credential, mapped; answers the mapping's id.
async fn mapped(app: &TestApp, credential: &str) -> String {
    let tenants = app
        .get(&format!("/tenants?credential_id={credential}"))
        .await;
    let tenant = text(&tenants["value"][0], "id");
    text(
        &app.post("/mappings", json!({ "tenant_id": tenant })).await,
        "id",
    )
}

/// Begins the authorisation of a delegated connection; answers Microsoft's URL.
async fn authorise(browser: &Browser, credential: &str) -> String {
    let answer = browser
        .post(&format!("{CREDENTIALS}/{credential}/authorisations"), &[])
        .await;
    assert_eq!(answer.status(), 303, "{}", answer.text().await.unwrap());
    location(&answer)
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = data_encoding::BASE64.encode(der);
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

on_both! {
    async fn a_certificate_made_here_works_from_creation_to_the_first_sync(app) {
        let id = credential(&app, 0, json!({ "make_certificate": true })).await;
        let secrets = app.get(&format!("/credentials/{id}/secrets")).await;
        assert_eq!((secrets[0]["kind"].as_str(), secrets[0]["state"].as_str()), (Some("certificate"), Some("current")));
        // Not uploaded yet: the test says so, in our words and Microsoft's number.
        app.sim.grant(app.application().home, app.application().client_id);
        let failed = test(&app, &id).await;
        assert_eq!(failed["state"], "failed");
        let token = line(&failed, "Token");
        assert_eq!(token["code"], "AADSTS700027");
        assert!(token["remedy"].as_str().unwrap().contains("uploaded"), "{token}");
        // Downloaded from the page and uploaded.
        let browser = app.browser().await;
        let page = browser.page(&format!("{CREDENTIALS}/{id}")).await;
        let thumbprint = text(&secrets[0], "thumbprint");
        assert!(page.contains("Upload the certificate first") && page.contains(&thumbprint), "{page}");
        let file = browser.get(&format!("{CREDENTIALS}/{id}/secrets/{}/certificate.cer", text(&secrets[0], "id"))).await;
        assert!(file.headers()["content-disposition"].to_str().unwrap().contains(".cer"));
        let certificate = file.text().await.unwrap();
        assert!(certificate.starts_with("-----BEGIN CERTIFICATE-----") && !certificate.contains("PRIVATE"));
        let base64: String = certificate.lines().filter(|l| !l.starts_with('-')).collect();
        app.sim.add_certificate(0, &data_encoding::BASE64.decode(base64.as_bytes()).unwrap());
        let passed = test(&app, &id).await;
        assert_ne!(passed["state"], "failed", "{passed}");
        assert!(line(&passed, "Secret or certificate")["found"].as_str().unwrap().contains("Good until"), "{passed}");
        let (_, mapping) = app.connected("Contoso").await;
        app.drain().await;
        let run = app.settled(&app.newest_run(&mapping, "directory").await).await;
        assert_eq!(run["state"], "completed", "{run}");
        // A second one takes its place once it is uploaded, and not before.
        app.post(&format!("/credentials/{id}/secrets"), json!({ "make_certificate": true })).await;
        let secrets = app.get(&format!("/credentials/{id}/secrets")).await;
        let pending = secrets.as_array().unwrap().iter().find(|s| s["state"] == "pending").unwrap().clone();
        let use_it = format!("/credentials/{id}/secrets/{}/use", text(&pending, "id"));
        let (status, problem) = app.api("POST", &use_it, None).await;
        assert_eq!(status, 422, "{problem}");
        let base64: String = text(&pending, "certificate").lines().filter(|l| !l.starts_with('-')).collect();
        app.sim.add_certificate(0, &data_encoding::BASE64.decode(base64.as_bytes()).unwrap());
        let secrets = app.post(&use_it, json!({})).await;
        let states: Vec<&str> = secrets.as_array().unwrap().iter().map(|s| s["state"].as_str().unwrap()).collect();
        assert_eq!(states, ["current", "previous"]);
        assert_eq!(secrets[0]["id"], pending["id"]);
        assert_eq!(app.sync(&mapping, "directory").await["state"], "completed");
    }

    async fn certificates_of_ones_own_come_as_pem_and_as_pfx(app) {
        let made = keys::CertificateKey::generate("Halden", 1_795_000_000, 700).unwrap();
        app.sim.add_certificate(0, &made.certificate.der);
        let file = format!("{}{}", pem("PRIVATE KEY", &made.private_key), made.certificate.pem());
        let id = credential(&app, 0, json!({ "certificate": file })).await;
        app.sim.grant(app.application().home, app.application().client_id);
        assert_ne!(test(&app, &id).await["state"], "failed");
        // As a browser uploads it: first what is wrong with a file, at its field.
        let browser = app.browser().await;
        let upload = |bytes: Vec<u8>, password: &'static str| {
            let part = reqwest::multipart::Part::bytes(bytes).file_name("k.pfx");
            let form = reqwest::multipart::Form::new().text("proof", "own").text("password", password).part("certificate", part);
            browser.http.post(format!("{}{CREDENTIALS}/{id}/secrets", app.url)).header("origin", &app.url).multipart(form).send()
        };
        let answer = upload(b"nonsense".to_vec(), "").await.unwrap();
        assert_eq!(answer.status(), 422);
        let page = answer.text().await.unwrap();
        assert!(page.contains("neither PFX nor PEM") && page.contains("certificate-error"), "{page}");
        let other = keys::CertificateKey::generate("Second", 1_795_000_000, 700).unwrap();
        let chain = p12_keystore::PrivateKeyChain::new("1",
            p12_keystore::PrivateKey::from_der(&other.private_key).unwrap(),
            [p12_keystore::Certificate::from_der(&other.certificate.der).unwrap()]);
        let mut store = p12_keystore::KeyStore::new();
        store.add_entry("x", p12_keystore::KeyStoreEntry::PrivateKeyChain(chain));
        let pfx = store.writer("sesame").write().unwrap();
        let page = upload(pfx.clone(), "wrong").await.unwrap().text().await.unwrap();
        assert!(page.contains("password does not open"), "{page}");
        // Right, but not uploaded to the registration: the stored one stays.
        let answer = upload(pfx.clone(), "sesame").await.unwrap();
        assert_eq!(answer.status(), 422);
        assert!(answer.text().await.unwrap().contains("The stored one stays in use"));
        app.sim.add_certificate(0, &other.certificate.der);
        assert_eq!(upload(pfx, "sesame").await.unwrap().status(), 303);
        let secrets = app.get(&format!("/credentials/{id}/secrets")).await;
        assert_eq!(secrets[0]["thumbprint"], other.certificate.thumbprint());
    }

    async fn a_single_tenant_application_is_connected_by_its_test(app) {
        let id = credential(&app, 1, json!({ "kind": "single_tenant", "client_secret": app.sim.world().applications[1].secret })).await;
        let application = &app.sim.world().applications[1];
        // Before the administrator granted it.
        let before = test(&app, &id).await;
        assert_eq!(before["state"], "failed");
        assert_eq!(line(&before, "Token")["code"], "AADSTS7000229");
        assert!(app.get("/tenants").await["value"].as_array().unwrap().is_empty());
        app.sim.grant(application.home, application.client_id);
        let after = test(&app, &id).await;
        assert_ne!(after["state"], "failed", "{after}");
        for what in ["Sign-in service", "Clock", "Token", "Organization", "Registration", "User.Read.All", "Entra ID P1"] {
            assert_eq!(line(&after, what)["verdict"], "ok", "{what}: {after}");
        }
        let tenant = &app.get("/tenants").await["value"][0];
        assert_eq!((tenant["state"].as_str(), tenant["found_by"].as_str()), (Some("consented"), Some("single_tenant")));
        assert_eq!(state(&app, &id).await, "active");
        let mapping = mapped(&app, &id).await;
        app.drain().await;
        let run = app.settled(&app.newest_run(&mapping, "directory").await).await;
        assert_eq!(run["state"], "completed", "{run}");
        // It is not for consent links.
        let (status, _) = app.api("POST", "/consent-requests", Some(json!({ "credential_id": id }))).await;
        assert_eq!(status, 409);
    }

    async fn a_multi_tenant_application_does_not_pass_for_a_single_tenant_one(app) {
        // A customer consented to the application. Entered as single-tenant with the customer's id
        // it would be connected without its administrator.
        let victim = app.directory("Fabrikam").id;
        app.sim.grant(victim, app.application().client_id);
        let made = app.post("/credentials", json!({
            "kind": "single_tenant", "name": "Sly", "cloud": "custom", "directory_id": victim,
            "client_id": app.application().client_id, "client_secret": app.application().secret })).await;
        let tried = test(&app, &text(&made, "id")).await;
        assert_eq!(tried["state"], "failed", "{tried}");
        assert!(line(&tried, "Registration")["found"].as_str().unwrap().contains("does not live in this directory"));
        // Nor by testing another directory, where the registration does live.
        app.sim.grant(app.application().home, app.application().client_id);
        let (status, problem) = app.api("POST", &format!("/credentials/{}/tests", text(&made, "id")),
            Some(json!({ "directory_id": app.application().home }))).await;
        assert_eq!(status, 422, "{problem}");
        assert!(app.get("/tenants").await["value"].as_array().unwrap().is_empty());
    }

    async fn a_delegated_connection_is_authorised_renewed_and_authorised_again(app) {
        let id = credential(&app, 2, json!({ "kind": "delegated", "client_secret": app.sim.world().applications[2].secret })).await;
        let home = app.sim.world().applications[2].home;
        let before = test(&app, &id).await;
        assert!(line(&before, "Token")["remedy"].as_str().unwrap().contains("Authorise"), "{before}");
        let browser = app.browser().await;
        // Cancelled, and in another browser: nothing.
        let url = authorise(&browser, &id).await;
        assert!(url.contains("code_challenge_method=S256") && url.contains("offline_access"), "{url}");
        let scope = parameters(&url).into_iter().find(|(n, _)| n == "scope").unwrap().1;
        assert!(scope.contains("/User.Read.All") && !scope.contains("Mail"), "{scope}");
        let back = decide(&browser, &url, &format!("{home}/admin"), "cancel").await;
        assert!(arrive(&browser, &back).await.contains("Not authorised"));
        let url = authorise(&browser, &id).await;
        let back = decide(&browser, &url, &format!("{home}/admin"), "accept").await;
        assert!(arrive(&app.stranger(), &back).await.contains("in the browser that began it"));
        let page = arrive(&browser, &back).await;
        assert!(page.contains("Test connection") && page.contains("admin@haldenmsp.example"), "{page}");
        // Used once.
        assert!(arrive(&browser, &back).await.contains("counts once"));
        let rows = model::audit::list(&app.scope(), &model::audit::Filter::default(), model::Window::page(1, 100)).await.unwrap().rows;
        assert_eq!(rows.iter().filter(|r| r.action == "authorisation.refuse").count(), 3, "each is audited");
        for _ in 0..100 {
            if !app.get("/tenants").await["value"].as_array().unwrap().is_empty() { break }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let tenant = &app.get("/tenants").await["value"][0];
        assert_eq!(tenant["found_by"], "delegated");
        let mapping = mapped(&app, &id).await;
        app.drain().await;
        let run = app.settled(&app.newest_run(&mapping, "directory").await).await;
        assert_eq!(run["state"], "partial", "permissions are the person's: {run}");
        let users = app.get(&format!("/companies/{}/users?total=true", text(&run, "company_id"))).await;
        assert_eq!(users["total"], 5);
        // The authorisation lapses: the run says what to do, and nothing is lost.
        app.sim.lapse(2);
        app.connection.tokens.forget(&graph::Grantee {
            owner: app.partner.0, cloud: "custom".into(), tenant: home,
            client_id: app.sim.world().applications[2].client_id });
        let failed = app.sync(&mapping, "directory").await;
        assert_eq!(failed["state"], "failed", "{failed}");
        assert_eq!(failed["error_code"], "AADSTS700082");
        assert!(failed["remedy"].as_str().unwrap().contains("Authorise"), "{failed}");
        assert_eq!(state(&app, &id).await, "failing");
        let scope = app.scope();
        let keyring = &app.connection.keyring;
        let refresh = || async {
            model::credential::secret::open(&scope, keyring, id.parse().unwrap()).await.unwrap()
                .into_iter().find(|o| o.kind == model::SecretKind::RefreshToken).unwrap()
        };
        let old = refresh().await;
        let url = authorise(&browser, &id).await;
        let back = decide(&browser, &url, &format!("{home}/admin"), "accept").await;
        arrive(&browser, &back).await;
        // What comes late of the old authorisation does not replace the new one.
        let fresh = refresh().await;
        model::credential::secret::rotate(&scope, keyring, id.parse().unwrap(), old.id, &keys::Secret::new("stale")).await.unwrap();
        let kept = refresh().await;
        assert_eq!(kept.id, fresh.id);
        assert_ne!(kept.text().unwrap().as_str(), "stale");
        app.drain().await;
        assert_eq!(app.sync(&mapping, "directory").await["state"], "partial");
        assert_eq!(state(&app, &id).await, "active");
    }

    async fn a_secret_is_renewed_while_a_sync_runs_and_no_run_fails(app) {
        // The secret in use ends soon; then it has ended.
        let ending = app.sim.new_secret(0, Some(20 * 24 * 3600));
        let id = credential(&app, 0, json!({ "client_secret": ending })).await;
        app.sim.grant(app.application().home, app.application().client_id);
        test(&app, &id).await;
        let tenant = app.consent(&id, app.directory("Fabrikam").id).await;
        assert_eq!(state(&app, &id).await, "expiring", "read from the registration");
        // Each page takes a while; the token is taken anew amid it.
        app.sim.fail_next(Fault::always("/v1.0/groups/", Kind::Slow { ms: 60 }));
        let mapping = text(&app.post("/mappings", json!({ "tenant_id": tenant })).await, "id");
        let run = app.newest_run(&mapping, "directory").await;
        app.wait_for(&run, |s| s == "running").await;
        // A wrong one is refused and the old one stays.
        let (status, problem) = app.api("POST", &format!("/credentials/{id}/secrets"), Some(json!({ "client_secret": "wrong" }))).await;
        assert_eq!(status, 422);
        assert!(problem["errors"][0]["message"].as_str().unwrap().contains("stays in use"), "{problem}");
        let renewed = app.sim.new_secret(0, None);
        app.post(&format!("/credentials/{id}/secrets"), json!({ "client_secret": renewed })).await;
        app.sim.expire_secrets(0, &renewed);
        // Graph refuses the run's token once: a new one is to be had with the new secret alone.
        app.sim.fail_next(Fault::once("/v1.0/groups/", Kind::Error { status: 401, code: "InvalidAuthenticationToken".into() }));
        let ended = app.settled(&run).await;
        assert_eq!(ended["state"], "completed", "{ended}");
        assert_eq!(ended["attempt"], 1);
        assert_eq!(state(&app, &id).await, "active");
        // An expired one: the state says so, the sync fails with what to do, renewal heals it.
        app.sim.clear_faults();
        let short = app.sim.new_secret(0, Some(60));
        app.post(&format!("/credentials/{id}/secrets"), json!({ "client_secret": short, "secret_expires": "2020-01-01" })).await;
        assert_eq!(state(&app, &id).await, "expired");
        let fresh = app.sim.new_secret(0, None);
        app.sim.expire_secrets(0, &fresh);
        app.connection.tokens.forget(&graph::Grantee {
            owner: app.partner.0, cloud: "custom".into(), tenant: app.directory("Fabrikam").id, client_id: app.application().client_id });
        let failed = app.sync(&mapping, "directory").await;
        assert_eq!((failed["state"].as_str(), failed["error_code"].as_str()), (Some("failed"), Some("AADSTS7000222")));
        let waiting = text(&app.post("/runs", json!({ "mapping_id": mapping, "kind": "directory" })).await["value"][0], "id");
        app.settled(&waiting).await;
        app.post(&format!("/credentials/{id}/secrets"), json!({ "client_secret": fresh })).await;
        assert_eq!(app.sync(&mapping, "directory").await["state"], "completed");
        assert_eq!(state(&app, &id).await, "active");
        // What was replaced is kept for a day, then destroyed.
        let count = || async { app.get(&format!("/credentials/{id}/secrets")).await.as_array().unwrap().len() };
        assert_eq!(count().await, 2);
        app.advance_minutes(25 * 60);
        model::credential::secret::retire(&app.db).await.unwrap();
        assert_eq!(count().await, 1);
    }

    async fn the_old_secret_is_tried_where_the_new_one_is_not_known_everywhere(app) {
        let (_, mapping) = app.connected("Contoso").await;
        app.drain().await;
        let id = text(&app.get("/credentials").await["value"][0], "id");
        let renewed = app.sim.new_secret(0, None);
        app.post(&format!("/credentials/{id}/secrets"), json!({ "client_secret": renewed })).await;
        // A replica that does not know the new one yet.
        app.connection.tokens.forget(&graph::Grantee {
            owner: app.partner.0, cloud: "custom".into(), tenant: app.directory("Contoso").id, client_id: app.application().client_id });
        app.sim.fail_next(Fault::once("/oauth2/v2.0/token", Kind::Error { status: 401, code: "invalid_client:7000215".into() }));
        assert_eq!(app.sync(&mapping, "directory").await["state"], "completed");
        assert_eq!(state(&app, &id).await, "active");
    }

    async fn a_renewal_that_cannot_be_tried_is_refused(app) {
        // The home directory was mistyped; customers consented all the same.
        let wrong = app.post("/credentials", json!({ "name": "Mistyped", "cloud": "custom",
            "directory_id": "8b2f6c1e-0a4d-4b6e-9d53-1f2e3a4b5c6d", "client_id": app.application().client_id,
            "client_secret": app.application().secret })).await;
        let id = text(&wrong, "id");
        let tenant = app.consent(&id, app.directory("Contoso").id).await;
        let mapping = text(&app.post("/mappings", json!({ "tenant_id": tenant })).await, "id");
        app.drain().await;
        let (status, _) = app.api("POST", &format!("/credentials/{id}/secrets"), Some(json!({ "client_secret": "junk" }))).await;
        assert_eq!(status, 422);
        let renewed = app.sim.new_secret(0, None);
        app.post(&format!("/credentials/{id}/secrets"), json!({ "client_secret": renewed })).await;
        assert_eq!(app.sync(&mapping, "directory").await["state"], "completed");
        // A secret of another credential is not tried with this one.
        let other = credential(&app, 1, json!({ "kind": "single_tenant", "make_certificate": true })).await;
        app.post(&format!("/credentials/{other}/secrets"), json!({ "make_certificate": true })).await;
        let secrets = app.get(&format!("/credentials/{other}/secrets")).await;
        for secret in secrets.as_array().unwrap() {
            let (status, _) = app.api("POST", &format!("/credentials/{id}/secrets/{}/use", text(secret, "id")), None).await;
            assert_eq!(status, 404);
        }
    }

    async fn another_interval_keeps_the_plan_going(app) {
        app.connected("Contoso").await;
        app.drain().await;
        let id = text(&app.get("/credentials").await["value"][0], "id");
        let planned = || async {
            let runs = app.all("/runs?kind=directory").await;
            runs.iter().filter(|r| r["cause"] == "schedule").count()
        };
        for (minutes, wait) in [("15", 16), ("1440", 24 * 60 + 1), ("60", 61), ("720", 721)] {
            let answer = app.browser().await.post(&format!("{CREDENTIALS}/{id}"), &[("name", "Main"), ("sync_interval", minutes)]).await;
            assert!(location(&answer).contains("/credentials/"));
            let before = planned().await;
            app.advance_minutes(wait);
            for _ in 0..200 {
                if planned().await > before { break }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            assert!(planned().await > before, "every {minutes} minutes");
            app.drain().await;
        }
    }

    async fn the_whole_organisations_things_are_not_for_limited_members(app) {
        let (mine, mapping) = app.connected("Contoso").await;
        app.drain().await;
        let id = text(&app.get("/credentials").await["value"][0], "id");
        let link = app.post("/consent-links", json!({ "credential_id": id })).await;
        let other = text(&app.post("/companies", json!({ "name": "Mine too" })).await, "id");
        let scope = app.scope();
        let hash = portal::hash_password(crate::app::PASSWORD, &[]).await.unwrap();
        let member = model::member::create(&scope, "limited@halden.example", &hash, model::Role::Admin).await.unwrap();
        model::member::change(&scope, member, model::Role::Admin, Some(&[mine.parse().unwrap(), other.parse().unwrap()])).await.unwrap();
        let token = model::api_token::create(&scope, member, "limited", model::Role::Admin, None).await.unwrap();
        for (method, path, body, expected) in [
            ("POST", "/credentials".to_owned(), json!({ "name": "x", "directory_id": "x", "client_id": "x", "client_secret": "x" }), 409),
            ("POST", "/consent-links".to_owned(), json!({ "credential_id": id }), 404),
            ("DELETE", format!("/consent-links/{}", text(&link, "id")), json!({}), 404),
            ("POST", format!("/credentials/{id}/tests"), json!({}), 404),
            ("POST", format!("/credentials/{id}/revoke"), json!({}), 404),
            ("POST", "/company-imports".to_owned(), json!({ "csv": "name\nx" }), 409),
            ("POST", format!("/mappings/{mapping}/remap"), json!({ "company_id": other }), 201),
        ] {
            let (status, answer) = app.api_as(&token, method, &path, Some(body)).await;
            assert_eq!(status, expected, "{method} {path}: {answer}");
        }
        assert!(model::partner::edit(&model::Scope::operator(&app.db, app.partner), "Halden MSP", "x").await.is_ok());
        let browser = app.stranger();
        browser.post("/sign-in", &[("email", "limited@halden.example"), ("password", crate::app::PASSWORD)]).await;
        let answer = browser.post("/settings/organisation", &[("name", "Mine alone")]).await;
        assert_eq!(answer.status(), 409);
        assert_eq!(model::partner::current(&app.scope()).await.unwrap().name, "Halden MSP");
    }

    async fn what_is_used_at_home_is_not_missing_at_customers(app) {
        let id = credential(&app, 0, json!({ "client_secret": app.application().secret, "features": ["mfa", "activity", "devices", "managed_devices", "policies", "risk", "eligibility", "secure_score", "discovery", "mail"] })).await;
        // Customers granted what they were asked for before these were switched on.
        app.consent(&id, app.directory("Contoso").id).await;
        let browser = app.browser().await;
        assert!(!browser.page("/settings/integrations/entra/tenants?state=drift").await.contains("Contoso"));
        // At home they are.
        app.consent_outcome(&id, app.application().home, "missing_permissions").await;
        assert!(browser.page("/settings/integrations/entra/tenants?state=drift").await.contains("Halden MSP"));
    }

    async fn mail_is_sent_from_the_chosen_mailbox(app) {
        let id = credential(&app, 0, json!({ "client_secret": app.application().secret, "features": ["mail"] })).await;
        let browser = app.browser().await;
        let path = format!("{CREDENTIALS}/{id}/mail");
        let answer = browser.post(&path, &[("mail_from", "no address"), ("mail_to", "a@b.example, c@d.example"), ("action", "test")]).await;
        assert_eq!(answer.status(), 422);
        let page = answer.text().await.unwrap();
        assert!(page.matches("Enter one e-mail address").count() == 2 && page.contains("value=\"no address\""), "{page}");
        // Not granted yet: said, with what to do.
        app.sim.grant(app.application().home, app.application().client_id);
        let mail = [("mail_from", "contact@haldenmsp.example"), ("mail_to", "inbox@elsewhere.example"), ("action", "test")];
        let page = browser.post(&path, &mail).await.text().await.unwrap();
        assert!(page.contains("Authorization_RequestDenied"), "{page}");
        let mut roles = app.application().roles.clone();
        roles.push("Mail.Send");
        app.sim.set_manifest(app.application().client_id, &roles);
        app.sim.grant(app.application().home, app.application().client_id);
        app.connection.tokens.forget(&graph::Grantee { owner: app.partner.0, cloud: "custom".into(),
            tenant: app.application().home, client_id: app.application().client_id });
        let page = browser.post(&path, &mail).await.text().await.unwrap();
        assert!(page.contains("was handed to Microsoft"), "{page}");
        let restrict = format!("New-ApplicationAccessPolicy -AppId {} -PolicyScopeGroupId contact@haldenmsp.example", app.application().client_id);
        assert!(page.contains(&restrict), "{page}");
        let mails = app.sim.mails();
        assert_eq!(mails.len(), 1);
        assert_eq!(mails[0].0, "contact@haldenmsp.example");
        assert_eq!(mails[0].1["message"]["toRecipients"][0]["emailAddress"]["address"], "inbox@elsewhere.example");
        // Where mail is off there is nothing to send with.
        let off = credential(&app, 1, json!({ "kind": "single_tenant", "client_secret": app.sim.world().applications[1].secret })).await;
        assert!(!browser.page(&format!("{CREDENTIALS}/{off}")).await.contains("Sender"));
        let answer = browser.post(&format!("{CREDENTIALS}/{off}/mail"), &mail).await;
        assert_eq!(answer.status(), 409);
    }

    async fn credential_guides_say_what_each_kind_registers(app) {
        let browser = app.browser().await;
        let guide = |kind: &'static str| {
            let browser = &browser;
            async move { browser.page(&format!("{CREDENTIALS}/new?kind={kind}")).await }
        };
        let multi = guide("multi_tenant").await;
        assert!(multi.contains("(multitenant)") && multi.contains(&format!("{}/consent/callback", app.url)), "{multi}");
        assert!(multi.contains("&quot;type&quot;: &quot;Role&quot;") || multi.contains("&#34;type&#34;: &#34;Role&#34;"), "{multi}");
        let single = guide("single_tenant").await;
        assert!(single.contains("this organizational directory only") && single.contains("Leave the redirect URI blank") && single.contains("Grant admin consent"), "{single}");
        let delegated = guide("delegated").await;
        assert!(delegated.contains("/consent/callback") && delegated.contains("Scope") && !delegated.contains("498476ce-e0fe"), "{delegated}");
    }

    async fn the_test_of_a_connection_explains_each_failure(app) {
        let id = credential(&app, 0, secret_of(&app, 0)).await;
        app.sim.grant(app.application().home, app.application().client_id);
        let good = test(&app, &id).await;
        assert_eq!(good["state"], "partial", "the redirect URI is not registered: {good}");
        assert!(line(&good, "Redirect URI")["remedy"].as_str().unwrap().contains("/consent/callback"));
        assert!(line(&good, "Entra ID P2")["verdict"] == "ok");
        // A permission that was not granted, a licence that is missing.
        let contoso = app.directory("Bold");
        app.sim.set_manifest(app.application().client_id, &["Organization.Read.All", "User.Read.All", "Application.Read.All", "Mail.Send"]);
        app.sim.grant(contoso.id, app.application().client_id);
        let there = app.post(&format!("/credentials/{id}/tests"), json!({ "directory_id": contoso.id })).await;
        let groups = line(&there, "GroupMember.Read.All");
        assert_eq!(groups["verdict"], "warning");
        assert!(groups["found"].as_str().unwrap().contains("Groups are not synced"), "{groups}");
        assert_eq!(line(&there, "Entra ID P1")["verdict"], "skipped");
        assert!(line(&there, "Permissions beside these")["found"].as_str().unwrap().contains("Mail.Send"));
        // The clock alone is off.
        app.clock.advance_ms(20 * 60_000);
        let skewed = test(&app, &id).await;
        assert_eq!(line(&skewed, "Clock")["verdict"], "failed");
        assert!(line(&skewed, "Clock")["found"].as_str().unwrap().contains("ahead"), "{skewed}");
        app.clock.advance_ms(-20 * 60_000);
        // A tenant that Microsoft does not know, a disabled application, a policy, no answer.
        let made = app.post("/credentials", json!({ "name": "Nowhere", "cloud": "custom",
            "directory_id": "8b2f6c1e-0a4d-4b6e-9d53-1f2e3a4b5c6d", "client_id": "0d9c1f7a-5b3e-4c8d-a2f1-6e7d8c9b0a1f", "client_secret": "x" })).await;
        let nowhere = test(&app, &text(&made, "id")).await;
        assert_eq!(line(&nowhere, "Sign-in service")["code"], "AADSTS90002");
        assert!(line(&nowhere, "Sign-in service")["remedy"].as_str().unwrap().contains("authentication endpoint"));
        app.sim.disable(app.directory("Thrift").id, app.application().client_id);
        let disabled = app.post(&format!("/credentials/{id}/tests"), json!({ "directory_id": app.directory("Thrift").id })).await;
        assert!(line(&disabled, "Token")["remedy"].as_str().unwrap().contains("enables it"), "{disabled}");
        app.sim.grant(app.directory("Northwind").id, app.application().client_id);
        app.sim.block(app.directory("Northwind").id);
        let blocked = app.post(&format!("/credentials/{id}/tests"), json!({ "directory_id": app.directory("Northwind").id })).await;
        assert_eq!(line(&blocked, "Token")["code"], "AADSTS53003");
        app.sim.fail_next(Fault::once("/oauth2/v2.0/token", Kind::Html));
        let html = test(&app, &id).await;
        assert!(line(&html, "Token")["found"].as_str().unwrap().contains("web page"), "{html}");
        // On the page the lines come as a stream.
        let browser = app.browser().await;
        let answer = browser.post(&format!("{CREDENTIALS}/{id}/tests"), &[]).await;
        assert!(location(&answer).ends_with("#test"));
        let page = browser.page(&format!("{CREDENTIALS}/{id}")).await;
        if let Some(stream) = page.split("hx-sse:connect=\"").nth(1).and_then(|s| s.split('"').next()) {
            let events = browser.get(stream).await;
            assert_eq!(events.headers()["content-type"], "text/event-stream");
            let all = tokio::time::timeout(Duration::from_secs(20), events.text()).await.unwrap().unwrap();
            assert!(all.contains("Organization") && all.contains("event: done"), "{all}");
        }
        for _ in 0..100 {
            if browser.page(&format!("{CREDENTIALS}/{id}")).await.contains("Works, with gaps") { return }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the test did not end on the page");
    }

    async fn drift_of_permissions_is_shown_and_consented_to_again(app) {
        let client_id = app.application().client_id;
        let (_, mapping) = app.connected("Contoso").await;
        app.drain().await;
        let tenant = app.get("/tenants").await["value"][0].clone();
        assert!(tenant["granted_permissions"].as_array().unwrap().iter().any(|p| p == "User.Read.All"));
        // The registration asks for something more and something less from now on.
        let mut roles: Vec<&str> = app.application().roles.iter().copied().filter(|r| *r != "SecurityEvents.Read.All").collect();
        roles.push("Group.Read.All");
        app.sim.set_manifest(client_id, &roles);
        let browser = app.browser().await;
        let contoso = app.directory("Contoso").id.to_string();
        let url = begin(&app, &browser, &contoso).await;
        let back = decide(&browser, &url, &format!("{contoso}/admin"), "accept").await;
        let page = arrive(&browser, &back).await;
        assert!(page.contains("permissions missing") && page.contains("SecurityEvents.Read.All") && page.contains("Group.Read.All"), "{page}");
        app.sync(&mapping, "directory").await;
        let shown = browser.page(&format!("/settings/integrations/entra/tenants/{}", text(&tenant, "id"))).await;
        for expected in ["Missing", "Not needed", "Group.Read.All", "Ask for consent again"] {
            assert!(shown.contains(expected), "{expected}: {shown}");
        }
        let listed = browser.page("/settings/integrations/entra/tenants?state=drift").await;
        assert!(listed.contains("1 missing") && listed.contains("1 too many"), "{listed}");
        // As the guide asks: one click, and both sides are equal.
        app.sim.set_manifest(client_id, &app.application().roles);
        app.consent(&text(&app.get("/credentials").await["value"][0], "id"), app.directory("Contoso").id).await;
        assert!(!browser.page("/settings/integrations/entra/tenants?state=drift").await.contains("Contoso"));
        // More than asked for is an outcome of its own.
        let mut more = app.application().roles.clone();
        more.push("Mail.Send");
        app.sim.set_manifest(client_id, &more);
        let url = begin(&app, &browser, &contoso).await;
        let back = decide(&browser, &url, &format!("{contoso}/admin"), "accept").await;
        let page = arrive(&browser, &back).await;
        assert!(page.contains("more permissions than asked for") && page.contains("Mail.Send"), "{page}");
    }

    async fn lost_consent_is_noticed_and_not_hammered(app) {
        let (company, mapping) = app.connected("Contoso").await;
        app.drain().await;
        app.sim.revoke(app.directory("Contoso").id, app.application().client_id);
        let run = app.sync(&mapping, "directory").await;
        assert_eq!(run["state"], "failed", "{run}");
        let tenant = app.get("/tenants").await["value"][0].clone();
        assert_eq!(tenant["state"], "disconnected");
        assert!(tenant["last_error"].as_str().unwrap().contains("not present"), "{tenant}");
        let browser = app.browser().await;
        let page = browser.page(&format!("/settings/integrations/entra/tenants/{}", text(&tenant, "id"))).await;
        assert!(page.contains("Nothing is synced until") && page.contains("Ask for consent again"), "{page}");
        // No run is planned for it any more, and its data stays.
        let tokens = app.sim.requests("/oauth2/v2.0/token");
        app.advance_minutes(3 * 24 * 60);
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert_eq!(app.sim.requests("/oauth2/v2.0/token"), tokens);
        assert_eq!(app.get(&format!("/companies/{company}/users?total=true")).await["total"], 12);
        app.consent(&text(&app.get("/credentials").await["value"][0], "id"), app.directory("Contoso").id).await;
        assert_eq!(app.sync(&mapping, "directory").await["state"], "completed");
    }

    async fn what_is_switched_off_is_neither_asked_for_nor_read(app) {
        let id = credential(&app, 0, json!({ "client_secret": app.application().secret, "features": [], "sync_interval_minutes": 15 })).await;
        let tenant = app.consent_outcome(&id, app.directory("Contoso").id, "unexpected_permissions").await;
        let mapping = text(&app.post("/mappings", json!({ "tenant_id": tenant })).await, "id");
        app.drain().await;
        let runs = app.all(&format!("/runs?mapping_id={mapping}")).await;
        assert_eq!(runs.len(), 1, "no run of Secure Score: {runs:?}");
        assert!(!runs[0]["collectors"].to_string().contains("mfa"), "{runs:?}");
        assert_eq!(app.sim.requests("/security/") + app.sim.requests("/reports/"), 0);
        let browser = app.browser().await;
        let page = browser.page(&format!("{CREDENTIALS}/{id}")).await;
        assert!(!page.contains("SecurityEvents.Read.All") && page.contains("Every 15 minutes"), "{page}");
        // Switched on: the manifest grows, mail permissions included, and nothing else.
        let answer = browser.post(&format!("{CREDENTIALS}/{id}"), &[("name", "Main"), ("feature", "mfa"), ("feature", "mail"), ("sync_interval", "60")]).await;
        assert_eq!(answer.status(), 303);
        let page = browser.page(&format!("{CREDENTIALS}/{id}")).await;
        assert!(page.contains("Mail.Send") && page.contains("AuditLog.Read.All") && !page.contains("SecurityEvents.Read.All"), "{page}");
        let shown = app.get(&format!("/credentials/{id}")).await;
        assert_eq!(shown["sync_interval_minutes"], 60);
        let (status, problem) = app.api("POST", "/credentials", Some(json!({ "name": "x", "cloud": "custom",
            "directory_id": app.application().home, "client_id": app.directory("Contoso").id, "client_secret": "x",
            "features": ["flying"], "sync_interval_minutes": 7, "kind": "odd" }))).await;
        assert_eq!(status, 422);
        let fields: Vec<&str> = problem["errors"].as_array().unwrap().iter().map(|e| e["field"].as_str().unwrap()).collect();
        assert_eq!(fields, ["kind", "features", "sync_interval"]);
    }

    async fn the_ids_of_an_unused_credential_can_be_mended(app) {
        let wrong = app.directory("Contoso").id;
        let made = app.post("/credentials", json!({ "name": "Typo", "cloud": "custom", "directory_id": wrong,
            "client_id": app.application().client_id, "client_secret": app.application().secret })).await;
        let id = text(&made, "id");
        let browser = app.browser().await;
        let home = app.application().home.to_string();
        let client = app.application().client_id.to_string();
        let answer = browser.post(&format!("{CREDENTIALS}/{id}"), &[("name", "Mended"), ("cloud", "custom"), ("directory_id", &home), ("client_id", &client), ("feature", "mfa"), ("feature", "activity"), ("feature", "devices"), ("feature", "managed_devices"), ("feature", "policies"), ("feature", "risk"), ("feature", "eligibility"), ("feature", "secure_score")]).await;
        assert_eq!(answer.status(), 303);
        assert_eq!(app.get(&format!("/credentials/{id}")).await["directory_id"], home);
        app.consent(&id, app.directory("Contoso").id).await;
        // Once it works they stay.
        let other = app.directory("Fabrikam").id.to_string();
        browser.post(&format!("{CREDENTIALS}/{id}"), &[("name", "Again"), ("cloud", "custom"), ("directory_id", &other), ("client_id", &client)]).await;
        let shown = app.get(&format!("/credentials/{id}")).await;
        assert_eq!((shown["name"].as_str(), shown["directory_id"].as_str()), (Some("Again"), Some(home.as_str())));
    }

    async fn a_credential_is_deleted_after_it_is_revoked(app) {
        let id = credential(&app, 0, secret_of(&app, 0)).await;
        let (status, problem) = app.api("DELETE", &format!("/credentials/{id}"), None).await;
        assert_eq!(status, 409);
        assert!(problem["detail"].as_str().unwrap().contains("Revoke this credential first"), "{problem}");
        app.post(&format!("/credentials/{id}/revoke"), json!({})).await;
        assert_eq!(state(&app, &id).await, "revoked");
        let (status, _) = app.api("DELETE", &format!("/credentials/{id}"), None).await;
        assert_eq!(status, 204);
        assert!(app.get("/credentials").await["value"].as_array().unwrap().is_empty());
        // With history it stays until the retention window ends.
        app.connected("Contoso").await;
        app.drain().await;
        let id = text(&app.get("/credentials").await["value"][0], "id");
        app.post(&format!("/credentials/{id}/revoke"), json!({})).await;
        let (status, problem) = app.api("DELETE", &format!("/credentials/{id}"), None).await;
        assert_eq!(status, 409);
        assert!(problem["detail"].as_str().unwrap().contains("history"), "{problem}");
    }
}

/// Neither the secret nor its ciphertext nor its data key is left after revoke: in the database
/// file, its write-ahead log, or a copy of it.
#[test]
fn after_revoke_no_byte_of_the_secret_is_left() {
    crate::app::run(|| async {
        let app = TestApp::start(crate::app::Database::Sqlite).await;
        let secret = app.application().secret.clone();
        let certificate = keys::CertificateKey::generate("Halden", 1_795_000_000, 700).unwrap();
        app.sim.add_certificate(0, &certificate.certificate.der);
        let (_, mapping) = app.connected("Contoso").await;
        let id = text(&app.get("/credentials").await["value"][0], "id");
        let file = format!(
            "{}{}",
            pem("PRIVATE KEY", &certificate.private_key),
            certificate.certificate.pem()
        );
        app.post(
            &format!("/credentials/{id}/secrets"),
            json!({ "certificate": file }),
        )
        .await;
        app.drain().await;
        let path = app.directory.path().join("t.db");
        let db = rusqlite::Connection::open(&path).unwrap();
        let sealed: Vec<Vec<u8>> = db
            .prepare("SELECT sealed FROM credential_secrets UNION ALL SELECT content_key FROM credential_secrets").unwrap()
            .query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        assert_eq!(
            sealed.len(),
            4,
            "a current certificate and the secret that it replaced"
        );
        let mut needles = sealed;
        needles.push(secret.as_bytes().to_vec());
        needles.push(certificate.private_key[700..800].to_vec());
        let copy = app.directory.path().join("copy.db");
        let files = || -> Vec<Vec<u8>> {
            std::fs::read_dir(app.directory.path())
                .unwrap()
                .map(|f| f.unwrap().path())
                .filter(|p| p.to_string_lossy().contains(".db"))
                .map(|p| std::fs::read(p).unwrap())
                .collect()
        };
        let found = |needle: &[u8]| {
            files()
                .iter()
                .any(|f| f.windows(needle.len()).any(|w| w == needle))
        };
        assert!(
            needles[..4].iter().all(|n| found(n)),
            "the search finds what is there"
        );
        assert!(
            needles[4..].iter().all(|n| !found(n)),
            "no plaintext was ever written"
        );
        drop(db);
        app.post(&format!("/credentials/{id}/revoke"), json!({}))
            .await;
        let db = rusqlite::Connection::open(&path).unwrap();
        db.execute("VACUUM INTO ?1", [copy.to_str().unwrap()])
            .unwrap();
        assert!(copy.exists());
        for needle in &needles {
            assert!(
                !found(needle),
                "{} bytes of a secret, its ciphertext or its key are left",
                needle.len()
            );
        }
        // History stays readable, and a sync refuses.
        let runs = app.all(&format!("/runs?mapping_id={mapping}")).await;
        assert!(!runs.is_empty());
        let refused = app.sync(&mapping, "directory").await;
        assert!(
            refused["error"].as_str().unwrap().contains("revoked"),
            "{refused}"
        );
    });
}

/// GUIDs of the permissions are Microsoft's, where the reference is on this machine.
#[test]
fn permissions_have_microsofts_guids() {
    let Some(path) = crate::app::shared("microsoft/permissions.json") else {
        return;
    };
    let reference: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let all = reference["permissions"].as_array().unwrap();
    for permission in consent::permission::MANIFEST {
        let found = all.iter().find(|p| p["name"] == permission.name).unwrap();
        assert_eq!(
            found["application"]["id"], permission.role,
            "{}",
            permission.name
        );
        assert_eq!(
            found["delegated"]["id"], permission.scope,
            "{}",
            permission.name
        );
    }
}
