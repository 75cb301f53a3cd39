//! Pages as a browser without script sees them.

use std::path::Path;

use crate::{
    app::{PASSWORD, location, text},
    on_both,
};

on_both! {
    async fn setup_opens_with_the_token_on_the_console_alone(app) {
        // This installation has a partner already.
        let answer = app.stranger().get("/setup").await;
        assert_eq!(location(&answer), "/sign-in");
        assert!(model::partner::new_setup_token(&app.db).await.unwrap().is_none());
        let answer = app.stranger().post("/setup", &[("token", "x"), ("partner", "Evil"),
            ("email", "e@evil.example"), ("password", PASSWORD)]).await;
        assert_eq!(answer.status(), 422);
        assert_eq!(model::partner::count(&app.db).await.unwrap(), 1);
    }

    async fn sign_in_answers_alike_and_pauses_after_ten_failures(app) {
        // Attempts are counted by quarters of an hour; this one has just begun.
        app.clock.advance_ms(900_000 - app.clock.now().0 % 900_000);
        let browser = app.stranger();
        let mut pages = Vec::new();
        for (email, password) in [(crate::app::OWNER, "wrong password"), ("nobody@halden.example", "wrong password")] {
            let answer = browser.post("/sign-in", &[("email", email), ("password", password)]).await;
            assert_eq!(answer.status(), 422);
            pages.push(answer.text().await.unwrap().replace(email, "E"));
        }
        assert_eq!(pages[0], pages[1]);
        // However the address is written, and wherever the visitor says to come from, it is one account.
        let upper = crate::app::OWNER.to_uppercase();
        let (blank, nul) = (format!(" {} ", crate::app::OWNER), format!("{}\0", crate::app::OWNER));
        for n in 0..9 {
            let email = [crate::app::OWNER, upper.as_str(), &blank, &nul][n % 4];
            let answer = browser.http.post(format!("{}/sign-in", app.url)).header("origin", &app.url)
                .header("x-forwarded-for", format!("203.0.113.{n}"))
                .form(&[("email", email), ("password", "wrong")]).send().await.unwrap();
            assert_eq!(answer.status(), 422, "{n}");
        }
        let answer = browser.post("/sign-in", &[("email", crate::app::OWNER), ("password", PASSWORD)]).await;
        assert_eq!(answer.status(), 429);
        assert!(answer.headers()["retry-after"].to_str().unwrap().parse::<u64>().unwrap() <= 900);
        app.advance_minutes(16);
        let answer = browser.post("/sign-in", &[("email", crate::app::OWNER), ("password", PASSWORD),
            ("next", "//evil.example")]).await;
        assert_eq!(answer.status(), 303);
        assert_eq!(location(&answer), "/");
    }

    async fn a_session_ends_when_it_is_idle_and_at_sign_out(app) {
        let browser = app.browser().await;
        assert_eq!(browser.get("/companies").await.status(), 200);
        browser.post("/sign-out", &[]).await;
        assert_eq!(browser.get("/companies").await.status(), 303);
        let idle = app.browser().await;
        app.advance_minutes(31);
        assert_eq!(idle.get("/companies").await.status(), 303);
    }

    async fn an_invitation_is_accepted_once(app) {
        let token = model::invitation::create(&app.scope(), "new@halden.example", model::Role::Technician, None).await.unwrap();
        let browser = app.stranger();
        let path = format!("/invitations/{token}");
        assert!(browser.page(&path).await.contains("Halden MSP"));
        assert_eq!(browser.post(&path, &[("password", "short")]).await.status(), 422);
        assert_eq!(browser.post(&path, &[("password", PASSWORD)]).await.status(), 303);
        assert_eq!(browser.get("/companies").await.status(), 200);
        assert_eq!(app.stranger().get(&path).await.status(), 404);
    }

    async fn the_wizard_imports_and_maps(app) {
        let credential = app.credential().await;
        for name in ["Contoso", "Northwind", "Nørgård"] {
            app.consent(&credential, app.directory(name).id).await;
        }
        let browser = app.browser().await;
        let mappings = "/settings/integrations/entra/mappings";
        let page = browser.page(&format!("{mappings}/import?credential={credential}")).await;
        assert!(page.contains("Contoso Bakery") && page.contains("Nørgård &#38; Søn A/S"), "{page}");
        let tenants = app.get("/tenants").await;
        let id = |name: &str| {
            let all = tenants["value"].as_array().unwrap();
            text(all.iter().find(|t| t["display_name"].as_str().unwrap().contains(name)).unwrap(), "id")
        };
        // Nothing chosen, then a clash that must be resolved, then saved.
        let review = format!("{mappings}/import/review");
        let answer = browser.post(&review, &[("credential", &credential)]).await;
        assert_eq!(answer.status(), 422);
        app.post("/companies", serde_json::json!({ "name": "Contoso Bakery Ltd" })).await;
        let (contoso, northwind) = (id("Contoso"), id("Northwind"));
        let answer = browser.post(&review, &[("credential", &credential), ("tenant", &contoso), ("tenant", &northwind)]).await;
        assert_eq!(answer.status(), 200);
        let page = answer.text().await.unwrap();
        assert!(page.contains("Name exists: choose") && page.contains("Map to existing Contoso Bakery Ltd"), "{page}");
        let (name_c, choice_c) = (format!("name.{contoso}"), format!("choice.{contoso}"));
        let (name_n, choice_n) = (format!("name.{northwind}"), format!("choice.{northwind}"));
        let mut form = vec![("credential", credential.as_str()), ("tenant", &contoso), ("tenant", &northwind),
            (&name_c, "Contoso Bakery"), (&choice_c, ""), (&name_n, "Northwind renamed"), (&choice_n, "create")];
        let answer = browser.post(&format!("{mappings}/import"), &form).await;
        assert_eq!(answer.status(), 422);
        let page = answer.text().await.unwrap();
        assert!(page.contains("Nothing was saved") && page.contains("Northwind renamed"), "{page}");
        assert!(app.get("/mappings").await["value"].as_array().unwrap().is_empty());
        form[4].1 = "create";
        let answer = browser.post(&format!("{mappings}/import"), &form).await;
        assert_eq!(answer.status(), 303);
        let page = browser.page(&location(&answer)).await;
        assert!(page.contains("2 mappings were saved") && page.contains("Northwind renamed"), "{page}");

        // Map existing: a suggestion by name, a wrong text, a pair, finish.
        app.post("/companies", serde_json::json!({ "name": "Nørgård & Søn" })).await;
        let matching = format!("{mappings}/match");
        let page = browser.page(&format!("{matching}?credential={credential}")).await;
        assert!(page.contains("Suggestions"), "{page}");
        let answer = browser.post(&matching, &[("credential", &credential), ("company", "Nobody"), ("tenant", "Nothing"), ("action", "add")]).await;
        assert_eq!(answer.status(), 422);
        let answer = browser.post(&matching, &[("credential", &credential), ("company", "Nørgård & Søn"),
            ("tenant", "norgaard.example"), ("action", "add")]).await;
        let page = answer.text().await.unwrap();
        assert!(page.contains("1 pair ready"), "{page}");
        let pair = page.split("name=\"pair\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let answer = browser.post(&matching, &[("credential", &credential), ("pair", &pair), ("action", "finish")]).await;
        assert_eq!(answer.status(), 303);
        assert_eq!(app.get("/mappings?total=true").await["total"], 3);
    }

    async fn pages_show_what_was_synced_and_escape_it(app) {
        let (company, mapping) = app.connected("Bold").await;
        app.drain().await;
        let browser = app.browser().await;
        let run = app.newest_run(&mapping, "directory").await;
        for path in ["/".to_owned(), "/companies".into(), format!("/companies/{company}"),
            format!("/companies/{company}/users"), format!("/companies/{company}/groups"),
            format!("/companies/{company}/secure-score"), format!("/companies/{company}/secure-score/AdminMFAV2"),
            "/jobs".into(), format!("/jobs/{run}"), "/settings/integrations".into(),
            "/settings/integrations/entra".into(), "/settings/integrations/entra/mappings".into()] {
            let answer = browser.get(&path).await;
            assert_eq!(answer.status(), 200, "{path}");
            for (name, value) in [
                ("x-content-type-options", "nosniff"), ("x-frame-options", "DENY"), ("referrer-policy", "same-origin"),
                ("cross-origin-opener-policy", "same-origin"), ("cross-origin-resource-policy", "same-origin"),
            ] {
                assert_eq!(answer.headers()[name], value);
            }
            assert!(answer.headers()["permissions-policy"].to_str().unwrap().contains("camera=()"));
            let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
            assert!(!policy.contains("unsafe") && policy.contains("script-src 'self'"), "{policy}");
            let page = answer.text().await.unwrap();
            assert!(!page.contains("<b>Brothers</b>") && !page.contains("<script>alert"), "{path}");
            assert!(!page.contains("style=\"") && !page.contains("onclick"), "{path}");
        }
        let users = browser.page(&format!("/companies/{company}/users?q=script")).await;
        assert!(users.contains("&#60;script&#62;alert"), "{users}");
        let control = browser.page(&format!("/companies/{company}/secure-score/AdminMFAV2")).await;
        assert!(control.contains("<ol>") && !control.contains("onerror"), "{control}");
    }

    async fn the_csv_of_users_is_what_is_filtered_and_no_formula(app) {
        let (company, _) = app.connected("Fabrikam").await;
        app.drain().await;
        let browser = app.browser().await;
        let answer = browser.get(&format!("/companies/{company}/users.csv")).await;
        assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("text/csv"));
        let file = answer.text().await.unwrap();
        assert_eq!(file.lines().count(), 241);
        assert!(file.starts_with("id,display_name,user_principal_name"));
        assert!(file.contains("\"'=HYPERLINK("), "{file}");
        let some = browser.page(&format!("/companies/{company}/users.csv?mfa=missing")).await;
        let page = browser.page(&format!("/companies/{company}/users?mfa=missing")).await;
        let shown = some.lines().count() - 1;
        assert!(page.contains(&format!("of {shown}</span>")), "{shown}");
        // Letters beyond ASCII are found in either case.
        for search in ["SØREN", "søren", "Søren"] {
            let found = browser.page(&format!("/companies/{company}/users.csv?q={search}")).await;
            assert!(found.lines().count() > 1, "{search}");
        }
    }

    async fn the_live_stream_is_complete_at_once_and_ends(app) {
        let (_, mapping) = app.connected("Contoso").await;
        let browser = app.browser().await;
        let run = app.newest_run(&mapping, "directory").await;
        app.settled(&run).await;
        let answer = browser.get(&format!("/jobs/{run}/events")).await;
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        let stream = answer.text().await.unwrap();
        assert!(stream.starts_with(": open"), "{stream}");
        assert!(stream.contains("hx-partial") && stream.contains("Completed"), "{stream}");
        assert!(stream.trim_end().ends_with("data:") && stream.contains("event: done"), "{stream}");
    }
}

/// What the policy would refuse must not be in a template to begin with.
#[test]
fn templates_hold_nothing_inline() {
    fn walk(folder: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for bad in [
                "style=",
                "onclick",
                "onchange",
                "hx-on",
                "js:",
                "|safe",
                "<style",
                "javascript:",
            ] {
                if text.contains(bad) {
                    found.push(format!("{}: {bad}", path.display()));
                }
            }
            let has_inline_script = text
                .split("<script")
                .skip(1)
                .any(|rest| !rest.starts_with(" defer src="));
            let hex = text.split('#').skip(1).any(|rest| {
                let run: String = rest.chars().take_while(char::is_ascii_hexdigit).collect();
                matches!(run.len(), 3 | 6) && rest[run.len()..].starts_with(['"', ';'])
            });
            if has_inline_script || hex {
                found.push(path.display().to_string());
            }
        }
    }
    let mut found = Vec::new();
    walk(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("../templates"),
        &mut found,
    );
    assert!(found.is_empty(), "{found:?}");
}

/// A fresh installation is set up in a browser.
#[test]
fn first_start() {
    crate::app::run(|| async {
        let app = crate::app::TestApp::start(crate::app::Database::Sqlite).await;
        // A second database of its own, without a partner, behind the same code.
        let path = app.directory.path().join("fresh.db");
        let db = model::Db::connect(
            &format!("sqlite:{}", path.display()),
            model::Clock::system(),
        )
        .await
        .unwrap();
        db.migrate().await.unwrap();
        let token = model::partner::new_setup_token(&db).await.unwrap().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let portal = portal::Portal {
            db: db.clone(),
            consent: consent::Consent {
                connection: app.connection.clone(),
                redirect_uri: String::new(),
            },
            public_url: url.parse().unwrap(),
            demo: false,
            outbound: outbound::Outbound::default(),
            trusted_proxies: vec![],
        };
        let server = portal::Server::build(portal, listener, 1).unwrap();
        let handle = server.handle();
        actix_web::rt::spawn(server.run());
        let mut browser = app.stranger();
        browser.url = url;
        assert_eq!(location(&browser.get("/sign-in").await), "/setup");
        assert!(
            browser
                .page("/setup?token=wrong")
                .await
                .contains("not the token")
        );
        let page = browser.page(&format!("/setup?token={token}")).await;
        assert!(page.contains(&token));
        let form = |password| {
            [
                ("token", token.as_str()),
                ("partner", "New MSP"),
                ("email", "me@new.example"),
                ("password", password),
            ]
        };
        for weak in [
            "short",
            "passwordpassword",
            "aaaaaaaaaaaaaaaaaaaa",
            "qwertyuiopasdfgh",
        ] {
            assert_eq!(
                browser.post("/setup", &form(weak)).await.status(),
                422,
                "{weak}"
            );
        }
        // A log that takes no rows: nothing is made, and the token still counts.
        crate::ledger::break_log(&db, true).await;
        assert_eq!(browser.post("/setup", &form(PASSWORD)).await.status(), 500);
        crate::ledger::break_log(&db, false).await;
        assert!(model::partner::list(&db).await.unwrap().is_empty());
        assert_eq!(browser.post("/setup", &form(PASSWORD)).await.status(), 303);
        assert!(browser.page("/").await.contains("First steps"));
        let partner = model::partner::list(&db).await.unwrap()[0].id;
        let scope = model::Scope::operator(&db, partner);
        let window = model::Window::page(1, 10);
        let filter = model::audit::Filter::default();
        let rows = model::audit::list(&scope, &filter, window);
        let mut actions: Vec<String> = rows
            .await
            .unwrap()
            .rows
            .into_iter()
            .map(|r| r.action)
            .collect();
        actions.sort_unstable();
        assert_eq!(actions, ["member.join", "partner.create", "session.begin"]);
        // The token is spent.
        assert_eq!(
            app.stranger()
                .http
                .get(format!("{}/setup?token={token}", browser.url))
                .send()
                .await
                .unwrap()
                .status(),
            303
        );
        handle.stop(false).await;
    });
}
