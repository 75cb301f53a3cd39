//! How long a session lives, what it may do when it is not fresh, what its cookie looks like where
//! browsers come over TLS, and that fifty people who sign in at once are not mixed up.

use std::net::TcpListener;

use model::{Role, member};
use portal::{
    Portal, Server,
    routes::{Access, TABLE},
};

use crate::{
    app::{Database, OWNER, PASSWORD, TestApp, location, run},
    on_both,
    sign_in::{cookie_of, sign_in},
};

on_both! {
    async fn a_session_ends_after_twelve_hours_however_much_it_is_used(app) {
        let browser = sign_in(&app, OWNER).await;
        for _ in 0..28 {
            app.advance_minutes(25);
            assert_eq!(browser.get("/companies").await.status(), 200);
        }
        app.advance_minutes(21);
        assert_eq!(browser.get("/companies").await.status(), 303, "twelve hours and a minute after");
    }

    async fn what_matters_wants_a_proof_of_the_last_five_minutes(app) {
        let browser = sign_in(&app, OWNER).await;
        app.advance_minutes(6);
        let mut asked = 0;
        let routes = TABLE.iter().filter(|(_, _, access)| matches!(access, Access::Proved(_)));
        for (method, path, _) in routes {
            let nobody = uuid::Uuid::from_u128(9).to_string();
            let holes = path.split('/').map(|part| if part.starts_with('{') { nobody.as_str() } else { part });
            let filled = holes.collect::<Vec<_>>().join("/");
            let answer = match *method {
                "get" => browser.get(&filled).await,
                _ => browser.post(&filled, &[("name", "x")]).await,
            };
            let to = location(&answer);
            assert!(to.starts_with("/prove?"), "{method} {path}: {} {to}", answer.status());
            asked += 1;
        }
        // Connecting, renewing, exporting and roles are among them.
        for path in [
            "/settings/integrations/entra/credentials", "/settings/integrations/entra/credentials/{id}/consent",
            "/settings/integrations/entra/credentials/{id}/secrets", "/settings/audit.csv", "/companies/{id}/users.csv",
            "/settings/members/{id}", "/account/tokens",
        ] {
            assert!(TABLE.iter().any(|(_, p, access)| *p == path && matches!(access, Access::Proved(_))), "{path}");
        }
        println!("B21: {asked} routes want a proof of the last five minutes");
    }

    async fn sign_ins_that_strangers_begin_are_limited(app) {
        let browser = app.stranger();
        let mut begun = 0;
        let refused = loop {
            let answer = browser.get("/sign-in/passkey").await;
            if answer.status() != 200 {
                break answer;
            }
            begun += 1;
        };
        assert_eq!((refused.status().as_u16(), begun), (429, 1000));
        let wait: i64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=901).contains(&wait), "{wait}");
        assert_eq!(browser.get("/sign-in").await.status(), 200, "a password is asked all the same");
        app.advance_minutes(15);
        assert_eq!(browser.get("/sign-in/passkey").await.status(), 200);
    }

    async fn what_a_browser_had_before_it_signed_in_is_worth_nothing_after(app) {
        // Whoever knows the cookies that a browser had before must not have its session.
        let browser = app.stranger();
        browser.get("/sign-in").await;
        let planted = "planted-by-somebody-else-0123456789abcdef";
        let url = app.url.parse().unwrap();
        browser.jar.add_cookie_str(&format!("session={planted}"), &url);
        let answer = browser.post("/sign-in", &[("email", OWNER), ("password", PASSWORD)]).await;
        assert_eq!(answer.status(), 303);
        let cookies = cookie_of(&browser, &app).await;
        assert!(cookies.contains("session=") && !cookies.contains(planted), "{cookies}");
        let with = app.stranger();
        with.jar.add_cookie_str(&format!("session={planted}"), &url);
        assert_eq!(with.get("/companies").await.status(), 303);
    }

    async fn fifty_people_who_sign_in_at_once_are_not_mixed_up(app) {
        let hash = portal::hash_password(PASSWORD, &[]).await.unwrap();
        let people: Vec<String> = (0..50).map(|n| format!("person{n}@halden.example")).collect();
        for email in &people {
            member::create(&app.scope(), email, &hash, Role::Viewer).await.unwrap();
        }
        let enter = people.iter().map(async |email| {
            let browser = sign_in(&app, email).await;
            (email, browser.page("/account").await, cookie_of(&browser, &app).await)
        });
        let mut cookies = std::collections::BTreeSet::new();
        for (email, page, cookie) in futures_util::future::join_all(enter).await {
            assert!(page.contains(email.as_str()), "{email}");
            let others = people.iter().filter(|other| *other != email && page.contains(&format!(">{other}<")));
            assert_eq!(others.count(), 0, "{email}");
            assert!(cookies.insert(cookie), "{email} has somebody else's cookie");
        }
        println!("B21: fifty people signed in at once, each with their own session");
    }
}

/// Behind a proxy with TLS: the cookies' prefix, and what they are withheld from.
#[test]
fn over_tls_cookies_are_bound_to_the_host() {
    run(|| async {
        let app = TestApp::start(Database::Sqlite).await;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let portal = Portal {
            db: app.db.clone(),
            consent: app.consent.clone(),
            public_url: "https://tenantry.example/".parse().unwrap(),
            demo: false,
            outbound: outbound::Outbound::default(),
            trusted_proxies: vec![],
        };
        let server = Server::build(portal, listener, 1).unwrap();
        let handle = server.handle();
        actix_web::rt::spawn(server.run());
        let post = async |path: &str, cookie: &str| {
            let form = [("email", OWNER), ("password", PASSWORD)];
            let request = app.stranger().http.post(format!("{url}{path}"));
            request
                .header("host", "tenantry.example")
                .header("origin", "https://tenantry.example")
                .header("cookie", cookie)
                .form(&form)
                .send()
                .await
                .unwrap()
        };
        let answer = post("/sign-in", "").await;
        assert_eq!(answer.status(), 303);
        assert!(answer.headers().contains_key("strict-transport-security"));
        let mut session = String::new();
        let set: Vec<&str> = answer
            .headers()
            .get_all("set-cookie")
            .iter()
            .map(|value| value.to_str().unwrap())
            .collect();
        assert!(!set.is_empty());
        for cookie in set {
            let mut parts = cookie.split("; ");
            let pair = parts.next().unwrap();
            let flags: Vec<String> = parts.map(str::to_lowercase).collect();
            assert!(pair.starts_with("__Host-"), "{cookie}");
            for flag in ["httponly", "secure", "path=/"] {
                assert!(flags.iter().any(|f| f == flag), "{flag}: {cookie}");
            }
            assert!(flags.iter().any(|f| f.starts_with("samesite=")), "{cookie}");
            assert!(!flags.iter().any(|f| f.starts_with("domain")), "{cookie}");
            if let Some(value) = pair.strip_prefix("__Host-session=") {
                session = value.to_owned();
            }
        }
        assert!(!session.is_empty());
        let get = async |path: &str, cookie: String| {
            let request = app.stranger().http.get(format!("{url}{path}"));
            let request = request.header("host", "tenantry.example");
            request.header("cookie", cookie).send().await.unwrap()
        };
        let companies = get("/companies", format!("__Host-session={session}")).await;
        assert_eq!(companies.status(), 200);
        // The name without the prefix, which another host of the domain could set, is nothing.
        let companies = get("/companies", format!("session={session}")).await;
        assert_eq!(companies.status(), 303);
        for (cookie, is_dark) in [("__Host-theme=dark", true), ("theme=dark", false)] {
            let page = get("/sign-in", cookie.into()).await.text().await.unwrap();
            assert_eq!(page.contains("data-theme=\"dark\""), is_dark, "{cookie}");
        }
        handle.stop(false).await;
        println!("B21: cookies over TLS have __Host-, HttpOnly, Secure and SameSite");
    });
}
