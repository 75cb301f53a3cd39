//! Monthly reports by page, PDF and mail, and the public contact form.

use std::time::Duration;

use model::Role;
use serde_json::{Value, json};

use crate::{
    app::{TestApp, text},
    evidence::{colleague, statements},
    on_both,
};

/// A credential that sends mail, its mailbox, and a channel of it.
async fn mail_channel(app: &TestApp) -> (String, String) {
    let application = app.application();
    let mut roles: Vec<&str> = application.roles.to_vec();
    roles.push("Mail.Send");
    app.sim.set_manifest(application.client_id, &roles);
    let credential = text(
        &app.post(
            "/credentials",
            json!({
                "name": "Main", "cloud": "custom", "directory_id": application.home,
                "client_id": application.client_id, "client_secret": application.secret,
                "features": ["mfa", "secure_score", "activity", "devices", "managed_devices", "policies", "risk", "eligibility", "mail"],
            }),
        )
        .await,
        "id",
    );
    app.sim.grant(application.home, application.client_id);
    let home = app
        .sim
        .world()
        .directories
        .iter()
        .find(|d| d.id == application.home)
        .unwrap();
    let from = format!("reports@{}", home.domain);
    model::credential::set_mail(
        &app.scope(),
        credential.parse().unwrap(),
        &from,
        "ops@halden.example",
    )
    .await
    .unwrap();
    let made = app.post("/channels", json!({
        "name": "Mail", "rules": { "least_severity": "critical", "kinds": ["password_guessing"] },
        "settings": { "kind": "microsoft365", "credential_id": credential, "to": ["ops@halden.example"] },
    })).await;
    (text(&made, "id"), from)
}

/// Waits until so many mails were sent whose subject has a part.
async fn mails(app: &TestApp, part: &str, count: usize) -> Vec<Value> {
    for _ in 0..200 {
        let all: Vec<Value> = app
            .sim
            .mails()
            .into_iter()
            .map(|(_, mail)| mail)
            .filter(|mail| mail["message"]["subject"].as_str().unwrap().contains(part))
            .collect();
        if all.len() == count {
            return all;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("not {count} mails about {part}: {:?}", app.sim.mails());
}

on_both! {
    async fn a_report_is_a_page_a_pdf_and_a_mail_once_a_month(app) {
        let (channel, from) = mail_channel(&app).await;
        let (company, _) = app.connected("Fabrikam").await;
        app.drain().await;
        statements(&app, &company, 3).await;
        let browser = app.browser().await;
        let this_month = app.clock.now().to_utc().format("%Y-%m").to_string();
        let page = browser.page(&format!("/companies/{company}/reports/{this_month}")).await;
        let users = app.get(&format!("/companies/{company}/users?total=true")).await;
        for word in ["Security report", "Users with MFA", "Global administrators", "Most points to win"] {
            assert!(page.contains(word), "{word}: {page}");
        }
        assert!(page.contains("<dt>Disabled</dt>") && users["total"] == 240, "{page}");
        let pdf = browser.get(&format!("/companies/{company}/reports/{this_month}/report.pdf")).await;
        assert_eq!(pdf.headers()["content-type"], "application/pdf");
        assert!(pdf.headers()["content-disposition"].to_str().unwrap().starts_with("attachment"));
        let bytes = pdf.bytes().await.unwrap();
        assert!(bytes.starts_with(b"%PDF-") && bytes.len() > 10_000, "{} bytes", bytes.len());
        for nothing in ["2999-01", "2026-13", "nonsense"] {
            assert_eq!(browser.get(&format!("/companies/{company}/reports/{nothing}")).await.status(), 404, "{nothing}");
        }
        // Whoever is not a technician schedules none; bad input is said at its field, and kept.
        let path = format!("/companies/{company}/reports/schedules");
        let bad = browser.post(&path, &[("channel", &channel), ("recipients", "no address"), ("day", "31")]).await;
        assert_eq!(bad.status(), 422);
        let bad = bad.text().await.unwrap();
        assert!(bad.contains("no address of a mailbox") && bad.contains("from 1 to 28") && bad.contains("value=\"no address\""), "{bad}");
        let good = [("channel", channel.as_str()), ("recipients", "boss@fabrikam.example, it@fabrikam.example"), ("day", "1")];
        assert_eq!(browser.post(&path, &good).await.status(), 303);
        // Nothing is sent for a month that was over before it was asked for.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert!(app.sim.mails().is_empty());
        for month in 1..=2 {
            app.advance_minutes(31 * 24 * 60);
            let sent = mails(&app, "security report", month).await;
            let mail = &sent[month - 1]["message"];
            let to: Vec<&str> = mail["toRecipients"].as_array().unwrap().iter().map(|r| r["emailAddress"]["address"].as_str().unwrap()).collect();
            assert_eq!(to, ["boss@fabrikam.example", "it@fabrikam.example"]);
            let file = &mail["attachments"][0];
            assert_eq!(file["@odata.type"], "#microsoft.graph.fileAttachment");
            let content = data_encoding::BASE64.decode(file["contentBytes"].as_str().unwrap().as_bytes()).unwrap();
            assert!(content.starts_with(b"%PDF-"));
            tokio::time::sleep(Duration::from_millis(1500)).await;
            assert_eq!(mails(&app, "security report", month).await.len(), month, "sent twice");
        }
        assert!(app.sim.mails().iter().all(|(mailbox, _)| *mailbox == from));
        let (status, answer) = app.api("DELETE", &format!("/channels/{channel}"), None).await;
        assert_eq!(status, 204, "{answer}");
        // The session of two months ago is over.
        let browser = app.browser().await;
        assert!(!browser.page(&format!("/companies/{company}/reports")).await.contains("boss@fabrikam.example"));
    }

    async fn the_brand_is_a_picture_by_its_bytes(app) {
        let browser = app.browser().await;
        let part = |name: &str, bytes: &[u8]| {
            let file = reqwest::multipart::Part::bytes(bytes.to_vec()).file_name(name.to_owned()).mime_str("image/png").unwrap();
            reqwest::multipart::Form::new().text("colour", "#aa3311").part("logo", file)
        };
        let send = async |form| {
            let request = browser.http.post(format!("{}/settings/organisation/brand", app.url)).header("origin", &app.url);
            request.multipart(form).send().await.unwrap()
        };
        for (name, bytes) in [("a.png", b"<svg onload='alert(1)'/>".to_vec()), ("b.png", [b"\x89PNG\r\n\x1a\n".to_vec(), vec![0; 300_000]].concat())] {
            let refused = send(part(name, &bytes)).await;
            assert_eq!(refused.status(), 422, "{name}");
        }
        // The smallest PNG there is: one grey pixel.
        let pixel = data_encoding::BASE64.decode(b"iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==").unwrap();
        assert_eq!(send(part("c.png", &pixel)).await.status(), 303);
        let logo = browser.get("/settings/organisation/logo").await;
        assert_eq!(logo.headers()["content-type"], "image/png");
        assert_eq!(logo.bytes().await.unwrap(), pixel);
        let (company, _) = app.connected("Contoso").await;
        app.drain().await;
        let month = app.clock.now().to_utc().format("%Y-%m").to_string();
        let pdf = browser.get(&format!("/companies/{company}/reports/{month}/report.pdf")).await.bytes().await.unwrap();
        assert!(pdf.starts_with(b"%PDF-"));
    }

    async fn the_contact_form_writes_to_the_partner_and_answers_go_to_the_visitor(app) {
        let (channel, from) = mail_channel(&app).await;
        let browser = app.browser().await;
        let set = |is_on: &'static str| [("channel", channel.clone()), ("recipient", "contact@halden.example".to_owned()), ("intro", "We answer within a day.".to_owned()), ("is_on", is_on.to_owned())];
        let post = async |form: [(&str, String); 4]| {
            let form: Vec<(&str, &str)> = form.iter().map(|(n, v)| (*n, v.as_str())).collect();
            browser.post("/settings/contact-form", &form).await.status()
        };
        assert_eq!(post(set("yes")).await, 303);
        let page = browser.page("/settings/contact-form").await;
        let path = format!("/contact/{}", &page.split("/contact/").nth(1).unwrap()[..22]);
        let visitor = app.stranger();
        let form = visitor.page(&path).await;
        assert!(form.contains("Write to Halden MSP") && form.contains("We answer within a day."), "{form}");
        let bad = visitor.post(&path, &[("name", ""), ("email", "x"), ("text", "Hello")]).await;
        assert_eq!(bad.status(), 422);
        assert!(bad.text().await.unwrap().contains(">Hello</textarea>"));
        let message = [("name", "Ada Lovelace"), ("email", "ada@example.com"), ("text", "We need help\nwith Entra.")];
        let thanks = visitor.post(&path, &message).await;
        assert!(thanks.text().await.unwrap().contains("Thank you"));
        let mail = mails(&app, "Contact form", 1).await.remove(0);
        assert_eq!(mail["message"]["toRecipients"][0]["emailAddress"]["address"], "contact@halden.example");
        assert_eq!(mail["message"]["replyTo"][0]["emailAddress"]["address"], "ada@example.com");
        assert!(mail["message"]["body"]["content"].as_str().unwrap().contains("with Entra."), "{mail}");
        assert_eq!(app.sim.mails()[0].0, from);
        // A line more in a name or an address becomes no line of the mail's head.
        for (name, email) in [("Ada\r\nBcc: x@y.example", "ada@example.com"), ("Ada", "ada@example.com\r\nBcc: x@y.example"), ("Ada", "a@b.example,c@d.example")] {
            assert_eq!(visitor.post(&path, &[("name", name), ("email", email), ("text", "x")]).await.status(), 422, "{name:?} {email:?}");
        }
        // What fills the field that nobody sees is thanked and dropped.
        let robot = visitor.post(&path, &[("name", "R"), ("email", "r@example.com"), ("text", "Buy"), ("website", "http://spam.example")]).await;
        assert!(robot.text().await.unwrap().contains("Thank you"));
        let mut answers = vec![];
        for _ in 0..12 {
            answers.push(visitor.post(&path, &message).await.status().as_u16());
        }
        assert!(answers.contains(&429), "{answers:?}");
        tokio::time::sleep(Duration::from_millis(1000)).await;
        assert!(!app.sim.mails().iter().any(|(_, mail)| mail.to_string().contains("Buy")));
        assert_eq!(post(set("")).await, 303);
        assert_eq!(visitor.get(&path).await.status(), 404, "switched off");
        let viewer = colleague(&app, "viewer@halden.example", Role::Viewer).await;
        let (status, _) = app.api_as(&viewer, "GET", "/channels", None).await;
        assert_eq!(status, 403);
    }
}
