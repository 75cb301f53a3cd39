//! Channels: webhooks that are signed and tried again, mail by Graph, and what is sent once.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    app::{TestApp, text},
    on_both,
    receiver::Receiver,
};

/// Waits until a channel's newest delivery is in a state.
async fn delivered(app: &TestApp, channel: &str, state: &str) -> Value {
    for _ in 0..400 {
        let all = app.get(&format!("/channels/{channel}/deliveries")).await;
        if all["value"][0]["state"] == state {
            return all["value"][0].clone();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!(
        "{}",
        app.get(&format!("/channels/{channel}/deliveries")).await
    );
}

pub async fn webhook(app: &TestApp, url: &str, rules: Value) -> (String, String) {
    let made = app.post("/channels", json!({ "name": "Hook", "settings": { "kind": "webhook", "url": url }, "rules": rules })).await;
    (text(&made, "id"), text(&made, "signing_key"))
}

on_both! {
    async fn a_webhook_fails_twice_and_is_signed_anew_each_time(app) {
        let receiver = Receiver::start(&[500, 429]).await;
        let (id, key) = webhook(&app, &receiver.url, json!({})).await;
        app.post(&format!("/channels/{id}/tests"), json!({})).await;
        // It is not tried again before its time.
        for (tries, wait) in [(1, 30), (2, 60)] {
            delivered(&app, &id, "queued").await;
            for _ in 0..200 {
                if receiver.received().len() == tries { break; }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            delivered(&app, &id, "queued").await;
            tokio::time::sleep(Duration::from_millis(400)).await;
            assert_eq!(receiver.received().len(), tries);
            app.clock.advance_ms(wait * 1000 + 1000);
        }
        let done = delivered(&app, &id, "sent").await;
        assert_eq!(done["attempts"], 3);
        let all = receiver.received();
        assert_eq!(all.iter().map(|r| r.answered).collect::<Vec<_>>(), [500, 429, 200]);
        for one in &all {
            assert!(one.is_signed(&key), "{one:?}");
            assert!(!one.is_signed("whsec_other"));
            assert_eq!(one.headers["tenantry-delivery"], text(&done, "id"));
            assert_eq!(one.json()["event"], "test");
        }
        // The key is shown once, and nowhere again.
        let shown = app.get(&format!("/channels/{id}")).await.to_string();
        assert!(!shown.contains(&key), "{shown}");
    }

    async fn what_will_never_arrive_is_given_up_and_sent_again_by_hand(app) {
        let receiver = Receiver::start(&[500; 8]).await;
        let (id, _) = webhook(&app, &receiver.url, json!({})).await;
        app.post(&format!("/channels/{id}/tests"), json!({})).await;
        for tries in 1..=8 {
            for _ in 0..400 {
                let one = app.get(&format!("/channels/{id}/deliveries")).await["value"][0].clone();
                if one["attempts"] == tries && one["state"] != "sending" { break; }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            app.clock.advance_ms(2 * 3_600_000);
        }
        let given_up = delivered(&app, &id, "failed").await;
        assert!(given_up["error"].as_str().unwrap().contains("500"), "{given_up}");
        let browser = app.browser().await;
        let page = browser.page(&format!("/settings/notifications/{id}")).await;
        assert!(page.contains("Given up") && page.contains("Send again"), "{page}");
        let again = format!("/settings/notifications/{id}/deliveries/{}/resend", text(&given_up, "id"));
        assert_eq!(browser.post(&again, &[]).await.status(), 303);
        delivered(&app, &id, "sent").await;
        assert_eq!(receiver.received().len(), 9);
    }

    async fn mail_by_graph_is_what_graph_takes_and_a_missing_permission_is_said(app) {
        let application = app.application();
        let credential = text(&app.post("/credentials", json!({
            "name": "Main", "cloud": "custom", "directory_id": application.home,
            "client_id": application.client_id, "client_secret": application.secret,
            "features": ["mfa", "secure_score", "mail"],
        })).await, "id");
        let domain = &app.sim.world().directories.iter().find(|d| d.id == application.home).unwrap().domain;
        let scope = app.scope();
        let id: model::CredentialId = credential.parse().unwrap();
        model::credential::set_mail(&scope, id, &format!("alerts@{domain}"), "ops@halden.example").await.unwrap();
        let made = app.post("/channels", json!({
            "name": "Mail", "settings": { "kind": "microsoft365", "credential_id": credential, "to": ["ops@halden.example", "boss@halden.example"] },
        })).await;
        let channel = text(&made, "id");
        // The permission is not granted yet: that is said, and not tried on for hours.
        app.consent_outcome(&credential, application.home, "missing_permissions").await;
        app.post(&format!("/channels/{channel}/tests"), json!({})).await;
        let refused = delivered(&app, &channel, "failed").await;
        assert!(refused["error"].as_str().unwrap().contains("Mail.Send") || refused["error"].as_str().unwrap().contains("permission"), "{refused}");
        let mut roles: Vec<&str> = application.roles.to_vec();
        roles.push("Mail.Send");
        app.sim.set_manifest(application.client_id, &roles);
        app.sim.grant(application.home, application.client_id);
        app.forget_tokens();
        app.post(&format!("/channels/{channel}/tests"), json!({})).await;
        let sent = delivered(&app, &channel, "sent").await;
        let (from, mail) = app.sim.mails().pop().unwrap();
        assert_eq!(from, format!("alerts@{domain}"));
        assert_eq!(mail["saveToSentItems"], true);
        let to: Vec<&str> = mail["message"]["toRecipients"].as_array().unwrap().iter().map(|r| r["emailAddress"]["address"].as_str().unwrap()).collect();
        assert_eq!(to, ["ops@halden.example", "boss@halden.example"]);
        assert_eq!(mail["message"]["body"]["contentType"], "Text");
        let id = mail["message"]["internetMessageId"].as_str().unwrap();
        assert!(id.starts_with(&format!("<{}@", text(&sent, "id"))), "{id}");
    }

    async fn addresses_inside_are_refused_and_rules_are_checked(app) {
        for (settings, field) in [
            (json!({ "kind": "webhook", "url": "https://169.254.169.254/latest" }), "url"),
            (json!({ "kind": "webhook", "url": "http://hooks.example.com/" }), "url"),
            (json!({ "kind": "smtp", "host": "smtp.example.com", "from": "no address", "to": ["a@b.example"] }), "from"),
            (json!({ "kind": "smtp", "host": "smtp.example.com\r\nX: y", "from": "a@b.example", "to": ["a@b.example"] }), "host"),
            (json!({ "kind": "smtp", "host": "smtp.example.com", "from": "a@b.example", "to": ["a@b.example\r\nBcc: c@d.example"] }), "to"),
            (json!({ "kind": "smtp", "host": "smtp.example.com", "from": "a@b.example", "to": [] }), "to"),
        ] {
            let (status, answer) = app.api("POST", "/channels", Some(json!({ "name": "Bad", "settings": settings }))).await;
            assert_eq!(status, 422, "{settings}: {answer}");
            assert_eq!(answer["errors"][0]["field"], field, "{answer}");
        }
        // A server inside of the network that nobody allowed is not connected to at its time either.
        let made = app.post("/channels", json!({ "name": "Inside", "settings":
            { "kind": "smtp", "host": "10.0.0.1", "port": 25, "security": "none", "from": "a@b.example", "to": ["c@d.example"] } })).await;
        let id = text(&made, "id");
        app.post(&format!("/channels/{id}/tests"), json!({})).await;
        for _ in 0..200 {
            let one = app.get(&format!("/channels/{id}/deliveries")).await["value"][0].clone();
            if one["error"].is_string() {
                assert!(one["error"].as_str().unwrap().contains("private network"), "{one}");
                let (status, _) = app.api("DELETE", &format!("/channels/{id}"), None).await;
                assert_eq!(status, 204);
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("nothing was said");
    }
}
