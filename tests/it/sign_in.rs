//! Sign-in, second factors, sessions, step-up, members, tokens, single sign-on.

use model::{Role, SignInProviderId, invitation, member, sign_in_provider};
use serde_json::json;

use crate::{
    app::{Browser, OWNER, PASSWORD, TestApp, location},
    authenticator::{Authenticator, challenge},
    consent_flow::decide,
    on_both,
};

/// A provider of the app's partner: the simulated Entra of its own directory.
pub async fn provider(app: &TestApp) -> SignInProviderId {
    let application = app.application();
    let draft = sign_in_provider::Draft {
        kind: model::ProviderKind::Entra,
        name: "Sign in with Halden".into(),
        cloud: "custom".into(),
        directory: Some(application.home.to_string().parse().unwrap()),
        issuer: String::new(),
        client_id: application.client_id.to_string(),
        client_secret: keys::Secret::new(application.secret.clone()),
        is_listed: true,
    };
    sign_in_provider::create(&app.scope(), &app.connection.keyring, &draft)
        .await
        .unwrap()
}

pub async fn sign_in(app: &TestApp, email: &str) -> Browser {
    let browser = app.stranger();
    let answer = browser
        .post("/sign-in", &[("email", email), ("password", PASSWORD)])
        .await;
    assert_eq!(answer.status(), 303, "{}", answer.text().await.unwrap());
    browser
}

/// A member of a role, limited to companies or not.
async fn join(app: &TestApp, email: &str, role: Role) -> model::MemberId {
    let hash = portal::hash_password(PASSWORD, &[]).await.unwrap();
    member::create(&app.scope(), email, &hash, role)
        .await
        .unwrap()
}

/// Sets an authenticator app up; answers its seed and the recovery codes.
pub async fn set_up_app(app: &TestApp, browser: &Browser) -> (Vec<u8>, Vec<String>) {
    // At the beginning of a code's half minute, so that it is the same one for a while.
    app.clock.advance_ms(30_000 - app.clock.now().0 % 30_000);
    let page = browser.page("/account/authenticator-app").await;
    let (_, rest) = page.split_once("<code class=\"secret\">").unwrap();
    let key: String = rest.split('<').next().unwrap().replace(' ', "");
    let seed = data_encoding::BASE32_NOPAD.decode(key.as_bytes()).unwrap();
    let code = code(app, &seed);
    let wrong = browser
        .post("/account/authenticator-app", &[("code", "000000")])
        .await;
    assert_eq!(wrong.status(), 422);
    let answer = browser
        .post("/account/authenticator-app", &[("code", &code)])
        .await;
    assert_eq!(answer.status(), 200);
    let page = answer.text().await.unwrap();
    let codes: Vec<String> = page
        .split("<li><code>")
        .skip(1)
        .map(|rest| rest.split('<').next().unwrap().to_owned())
        .collect();
    assert_eq!(codes.len(), 10);
    (seed, codes)
}

fn code(app: &TestApp, seed: &[u8]) -> String {
    keys::totp::present_code(seed, app.clock.now().0 / 1000)
}

fn fields<'a>(fields: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    fields.iter().map(|(n, v)| (*n, v.as_str())).collect()
}

/// Adds a passkey; answers its authenticator.
pub async fn add_passkey(app: &TestApp, browser: &Browser) -> Authenticator {
    let mut authenticator = Authenticator::new(&app.url);
    let page = browser.page("/account/passkeys/new").await;
    let mut form = authenticator.make(&challenge(&page));
    form.push(("name", "Test key".into()));
    let answer = browser.post("/account/passkeys", &fields(&form)).await;
    let status = answer.status();
    let page = answer.text().await.unwrap();
    assert_eq!(status, 200, "{page}");
    assert!(page.contains("Recovery codes"), "{page}");
    authenticator
}

async fn passkey_answer(browser: &Browser, authenticator: &mut Authenticator) -> reqwest::Response {
    let page = browser.page("/sign-in/passkey").await;
    let form = authenticator.answer(&challenge(&page));
    browser.post("/sign-in/passkey", &fields(&form)).await
}

on_both! {
    async fn an_authenticator_app_is_asked_for_and_each_code_counts_once(app) {
        let browser = sign_in(&app, OWNER).await;
        let (seed, codes) = set_up_app(&app, &browser).await;
        // The code of the enrolment counts no second time.
        let second = app.stranger();
        let begun = second.post("/sign-in", &[("email", OWNER), ("password", PASSWORD)]).await;
        assert_eq!(location(&begun), "/sign-in/second-factor");
        assert!(!begun.headers().get_all("set-cookie").iter().any(|c| c.to_str().unwrap().starts_with("session=")));
        assert_eq!(second.get("/").await.status(), 303, "the password alone is not enough");
        let used = code(&app, &seed);
        assert_eq!(second.post("/sign-in/second-factor", &[("code", &used)]).await.status(), 422);
        app.advance_minutes(2);
        let fresh = code(&app, &seed);
        let in_now = second.post("/sign-in/second-factor", &[("code", &fresh)]).await;
        assert_eq!(location(&in_now), "/");
        assert!(second.page("/").await.contains("Dashboard"));
        // The same code in another browser, at once.
        let third = app.stranger();
        third.post("/sign-in", &[("email", OWNER), ("password", PASSWORD)]).await;
        assert_eq!(third.post("/sign-in/second-factor", &[("code", &fresh)]).await.status(), 422);
        // A recovery code, once, however it is typed.
        let typed = codes[3].to_lowercase().replace('-', " ");
        let in_now = third.post("/sign-in/second-factor", &[("recovery_code", &typed)]).await;
        assert_eq!(location(&in_now), "/");
        let fourth = app.stranger();
        fourth.post("/sign-in", &[("email", OWNER), ("password", PASSWORD)]).await;
        assert_eq!(fourth.post("/sign-in/second-factor", &[("recovery_code", &typed)]).await.status(), 422);
        assert!(second.page("/account").await.contains("9 left"));
        // Guessing ends soon, for the owner as well, and for a quarter of an hour.
        let mut last = 0;
        for _ in 0..12 {
            last = fourth.post("/sign-in/second-factor", &[("code", "123456")]).await.status().as_u16();
        }
        assert_eq!(last, 429);
    }

    async fn a_passkey_signs_in_and_every_lie_is_refused(app) {
        let browser = sign_in(&app, OWNER).await;
        let mut key = add_passkey(&app, &browser).await;
        let visitor = app.stranger();
        let answer = passkey_answer(&visitor, &mut key).await;
        assert_eq!(location(&answer), "/");
        assert!(visitor.page("/account").await.contains("Passkey, "));
        // A question is answered once, by the browser that was asked.
        let visitor = app.stranger();
        let page = visitor.page("/sign-in/passkey").await;
        let form = key.answer(&challenge(&page));
        assert_eq!(app.stranger().post("/sign-in/passkey", &fields(&form)).await.status(), 422);
        assert_eq!(visitor.post("/sign-in/passkey", &fields(&form)).await.status(), 303);
        assert_eq!(visitor.post("/sign-in/passkey", &fields(&form)).await.status(), 422);
        // Lies.
        let lies: [fn(&mut Authenticator); 5] = [
            |key| key.origin = "https://evil.example".into(),
            |key| key.party = "evil.example".into(),
            |key| key.flags = 1,
            |key| key.flags = 4,
            |key| key.count = 0,
        ];
        for (number, lie) in lies.iter().enumerate() {
            let (origin, party, flags, count) = (key.origin.clone(), key.party.clone(), key.flags, key.count);
            lie(&mut key);
            let visitor = app.stranger();
            assert_eq!(passkey_answer(&visitor, &mut key).await.status(), 422, "lie {number}");
            assert_eq!(visitor.get("/").await.status(), 303);
            (key.origin, key.party, key.flags, key.count) = (origin, party, flags, count + 1);
        }
        // One that nobody registered, and one whose owner took it away.
        let mut unknown = Authenticator::new(&app.url);
        assert_eq!(passkey_answer(&app.stranger(), &mut unknown).await.status(), 422);
        // With a passkey, the password alone signs nobody in.
        let begun = app.stranger().post("/sign-in", &[("email", OWNER), ("password", PASSWORD)]).await;
        assert_eq!(location(&begun), "/sign-in/second-factor");
        let page = browser.page("/account").await;
        let (_, rest) = page.split_once("/account/passkeys/").unwrap();
        let (_, rest) = rest.split_once("/account/passkeys/").unwrap();
        let id = rest.split('/').next().unwrap();
        let gone = browser.post(&format!("/account/passkeys/{id}/remove"), &[]).await;
        assert_eq!(gone.status(), 303);
        assert_eq!(passkey_answer(&app.stranger(), &mut key).await.status(), 422);
        sign_in(&app, OWNER).await;
    }

    async fn what_matters_asks_for_a_proof_and_loses_nothing(app) {
        let browser = sign_in(&app, OWNER).await;
        let new = "/settings/integrations/entra/credentials/new";
        assert_eq!(browser.get(new).await.status(), 200);
        app.advance_minutes(6);
        let asked = browser.get(new).await;
        let prove = location(&asked);
        assert!(prove.starts_with("/prove?next="), "{prove}");
        // A form that took longer is held, sealed, and goes on after the proof.
        let application = app.application();
        let (home, client) = (application.home.to_string(), application.client_id.to_string());
        let form = [
            ("kind", "multi_tenant"), ("name", "Held"), ("cloud", "custom"), ("directory_id", &home),
            ("client_id", &client), ("proof", "secret"), ("client_secret", &application.secret),
        ];
        let held = browser.post("/settings/integrations/entra/credentials", &form).await;
        let prove = location(&held);
        assert!(prove.starts_with("/prove?held="), "{prove}");
        assert!(app.get("/credentials").await["value"].as_array().unwrap().is_empty());
        let page = browser.page(&prove).await;
        assert!(!page.contains(&application.secret));
        let wrong = browser.post(&prove, &[("password", "not my password at all")]).await;
        assert_eq!(wrong.status(), 422);
        let proved = browser.post(&prove, &[("password", PASSWORD)]).await;
        assert_eq!(proved.status(), 200);
        let page = proved.text().await.unwrap();
        assert!(!page.contains(&application.secret));
        let (_, rest) = page.split_once("<form method=\"post\" action=\"/settings").unwrap();
        let action = format!("/settings{}", rest.split('"').next().unwrap());
        // Another browser of the same person cannot send it.
        let other = sign_in(&app, OWNER).await;
        assert_eq!(other.post(&action, &[]).await.status(), 409);
        let sent = browser.post(&action, &[]).await;
        assert_eq!(sent.status(), 303, "{}", sent.text().await.unwrap());
        assert_eq!(app.get("/credentials").await["value"][0]["name"], "Held");
        assert_eq!(browser.post(&action, &[]).await.status(), 409, "it counts once");
        // A stolen session guesses no password.
        app.advance_minutes(6);
        let mut last = 0;
        for _ in 0..12 {
            last = browser.post("/prove?next=/", &[("password", "guess guess guess")]).await.status().as_u16();
        }
        assert_eq!(last, 429);
    }

    async fn a_required_second_factor_comes_before_everything_else(app) {
        let browser = sign_in(&app, OWNER).await;
        assert_eq!(browser.post("/settings/second-factor", &[("is_required", "yes")]).await.status(), 303);
        // From the next request on, also in the session that asked for it.
        for path in ["/", "/companies", "/settings/members", "/alerts", "/settings/audit.csv"] {
            assert_eq!(location(&browser.get(path).await), "/account?done=factor", "{path}");
        }
        let made = browser.post("/account/tokens", &[("token_name", "Way round"), ("role", "owner")]).await;
        assert_eq!(location(&made), "/account?done=factor");
        let page = browser.page("/account?done=factor").await;
        assert!(page.contains("wants a second factor of everybody"), "{page}");
        set_up_app(&app, &browser).await;
        assert_eq!(browser.get("/companies").await.status(), 200);
        // Programs have tokens, which are long enough by themselves.
        app.get("/companies").await;
    }

    async fn what_matters_wants_the_password_and_the_code(app) {
        let browser = sign_in(&app, OWNER).await;
        let (seed, codes) = set_up_app(&app, &browser).await;
        app.advance_minutes(6);
        let code = || keys::totp::present_code(&seed, app.clock.now().0 / 1000);
        let prove = async |form: &[(&str, &str)]| browser.post("/prove?next=/account", form).await.status().as_u16();
        assert_eq!(prove(&[("code", &code())]).await, 422, "a code alone");
        assert_eq!(prove(&[("password", PASSWORD)]).await, 422, "a password alone");
        assert_eq!(prove(&[("password", "not my password at all"), ("code", &code())]).await, 422);
        assert_eq!(prove(&[("recovery_code", &codes[0])]).await, 422, "a recovery code alone");
        assert_eq!(prove(&[("password", PASSWORD), ("code", &code())]).await, 303);
        app.advance_minutes(6);
        assert_eq!(prove(&[("password", PASSWORD), ("recovery_code", &codes[0])]).await, 303);
    }

    async fn a_proof_renews_the_session_and_old_tokens_stop(app) {
        let browser = sign_in(&app, OWNER).await;
        let stolen = cookie_of(&browser, &app).await;
        app.advance_minutes(6);
        assert_eq!(with_cookie(&app, &stolen, "/account").await, 200);
        assert_eq!(browser.post("/prove?next=/account", &[("password", PASSWORD)]).await.status(), 303);
        assert_eq!(browser.get("/account").await.status(), 200);
        assert_eq!(with_cookie(&app, &stolen, "/account").await, 303, "the token before the proof");
    }

    async fn passwords_roles_and_removal_end_sessions(app) {
        let technician = join(&app, "tech@halden.example", Role::Technician).await;
        let (one, two) = (sign_in(&app, "tech@halden.example").await, sign_in(&app, "tech@halden.example").await);
        assert!(one.page("/account").await.contains("End all others"));
        let weak = [("current_password", PASSWORD), ("new_password", "tech@halden.example")];
        assert_eq!(one.post("/account/password", &weak).await.status(), 422);
        let wrong = [("current_password", "something else entirely"), ("new_password", "four quiet otters swim")];
        assert_eq!(one.post("/account/password", &wrong).await.status(), 422);
        let right = [("current_password", PASSWORD), ("new_password", "four quiet otters swim")];
        assert_eq!(location(&one.post("/account/password", &right).await), "/account?done=password");
        assert_eq!(one.get("/account").await.status(), 200);
        assert_eq!(two.get("/account").await.status(), 303, "another session ended with the password");
        // A role below what a page needs counts from the next request on.
        let owner = sign_in(&app, OWNER).await;
        let path = format!("/settings/members/{technician}");
        let changed = owner.post(&path, &[("role", "viewer"), ("limited", "")]).await;
        assert_eq!(location(&changed), "/settings/members?done=changed");
        assert_eq!(one.get("/account").await.status(), 303, "sessions ended with the role");
        // The last owner stays.
        let me = member::by_email(&app.db, OWNER).await.unwrap().unwrap().id;
        let page = owner.post(&format!("/settings/members/{me}"), &[("role", "admin"), ("limited", "")]).await;
        assert_eq!(page.status(), 422);
        assert!(page.text().await.unwrap().contains("only owner"));
        assert_eq!(owner.post(&format!("/settings/members/{me}/remove"), &[]).await.status(), 409);
        // Removal stops tokens as well.
        let token = model::api_token::create(&app.scope(), technician, "t", Role::Viewer, None).await.unwrap();
        assert_eq!(app.api_as(&token, "GET", "/runs", None).await.0, 200);
        let removed = owner.post(&format!("{path}/remove"), &[]).await;
        assert_eq!(location(&removed), "/settings/members?done=removed");
        assert_eq!(app.api_as(&token, "GET", "/runs", None).await.0, 401);
        let refused = app.stranger().post("/sign-in", &[("email", "tech@halden.example"), ("password", "four quiet otters swim")]).await;
        assert_eq!(refused.status(), 422);
        // Invited anew, they are a member again.
        let again = invitation::create(&app.scope(), "tech@halden.example", Role::Auditor, None).await.unwrap();
        let back = app.stranger();
        let joined = back.post(&format!("/invitations/{again}"), &[("password", "four quiet otters swim")]).await;
        assert_eq!(joined.status(), 303, "{}", joined.text().await.unwrap());
        assert!(back.page("/settings/members").await.contains("auditor"));
    }

    async fn an_invited_member_sees_the_companies_that_were_chosen(app) {
        let (mine, _) = app.connected("Contoso").await;
        let (other, _) = app.connected("Northwind").await;
        app.drain().await;
        let owner = sign_in(&app, OWNER).await;
        let nobody = [("email", "limited@halden.example"), ("role", "technician"), ("limited", "yes")];
        assert_eq!(owner.post("/settings/members", &nobody).await.status(), 422);
        let form = [nobody[0], nobody[1], nobody[2], ("company", mine.as_str())];
        let page = owner.post("/settings/members", &form).await.text().await.unwrap();
        let (_, rest) = page.split_once("/invitations/").unwrap();
        let token = rest.split(['"', '<']).next().unwrap().to_owned();
        let limited = app.stranger();
        let joined = limited.post(&format!("/invitations/{token}"), &[("password", PASSWORD)]).await;
        assert_eq!(joined.status(), 303);
        assert_eq!(limited.get(&format!("/companies/{mine}")).await.status(), 200);
        assert_eq!(limited.get(&format!("/companies/{other}")).await.status(), 404);
        assert_eq!(limited.get("/settings/members").await.status(), 409, "it belongs to the whole organisation");
        // The link counts once, and a withdrawn one not at all.
        assert_eq!(app.stranger().get(&format!("/invitations/{token}")).await.status(), 404);
        let second = invitation::create(&app.scope(), "x@halden.example", Role::Viewer, None).await.unwrap();
        let id = invitation::list(&app.scope()).await.unwrap()[0].id;
        assert_eq!(owner.post(&format!("/settings/invitations/{id}/withdraw"), &[]).await.status(), 303);
        assert_eq!(app.stranger().get(&format!("/invitations/{second}")).await.status(), 404);
    }

    async fn one_person_of_two_partners_switches_between_them(app) {
        let other = model::partner::create(&app.db, &app.connection.keyring, "Second MSP").await.unwrap();
        let me = member::by_email(&app.db, OWNER).await.unwrap().unwrap();
        let there = model::Scope::operator(&app.db, other);
        member::join(&there, me.id, Role::Viewer).await.unwrap();
        let browser = sign_in(&app, OWNER).await;
        let page = browser.page("/").await;
        assert!(page.contains("Go to Second MSP"), "{page}");
        let before = cookie_of(&browser, &app).await;
        let switched = browser.post("/account/organisation", &[("partner", &other.to_string())]).await;
        assert_eq!(location(&switched), "/");
        let page = browser.page("/").await;
        assert!(page.contains("viewer of Second MSP") && page.contains("Go to Halden MSP"), "{page}");
        assert_eq!(browser.get("/settings/members/new").await.status(), 403);
        assert_eq!(with_cookie(&app, &before, "/").await, 303, "the session before is over");
        let third = model::partner::create(&app.db, &app.connection.keyring, "Third").await.unwrap();
        assert_eq!(browser.post("/account/organisation", &[("partner", &third.to_string())]).await.status(), 404);
    }

    async fn api_tokens_are_made_and_revoked_on_the_account_s_page(app) {
        join(&app, "tech@halden.example", Role::Technician).await;
        let browser = sign_in(&app, "tech@halden.example").await;
        let empty = browser.post("/account/tokens", &[("token_name", " "), ("role", "viewer"), ("days", "30")]).await;
        assert_eq!(empty.status(), 422);
        let above = browser.post("/account/tokens", &[("token_name", "x"), ("role", "owner"), ("days", "30")]).await;
        assert_eq!(above.status(), 422);
        let made = browser.post("/account/tokens", &[("token_name", "Nightly"), ("role", "viewer"), ("days", "30")]).await;
        let page = made.text().await.unwrap();
        let (_, rest) = page.split_once("id=\"token\">").unwrap();
        let token = rest.split('<').next().unwrap().to_owned();
        assert_eq!(app.api_as(&token, "GET", "/companies", None).await.0, 200);
        assert_eq!(app.api_as(&token, "POST", "/runs", Some(json!({}))).await.0, 403);
        let page = browser.page("/account").await;
        assert!(page.contains("Nightly") && !page.contains(&token));
        app.advance_minutes(31 * 24 * 60);
        assert_eq!(app.api_as(&token, "GET", "/companies", None).await.0, 401, "it has ended");
        let browser = sign_in(&app, "tech@halden.example").await;
        let made = browser.post("/account/tokens", &[("token_name", "Second"), ("role", "viewer"), ("days", "")]).await;
        let page = made.text().await.unwrap();
        let (_, rest) = page.split_once("id=\"token\">").unwrap();
        let token = rest.split('<').next().unwrap().to_owned();
        let page = browser.page("/account").await;
        let (_, rest) = page.split_once("/account/tokens/").unwrap();
        let id = rest.split('/').next().unwrap();
        // Somebody else's token is not there for them, but an owner may stop it.
        let viewer = join(&app, "viewer@halden.example", Role::Viewer).await;
        assert!(viewer.to_string().len() == 36);
        let other = sign_in(&app, "viewer@halden.example").await;
        assert_eq!(other.post(&format!("/account/tokens/{id}/revoke"), &[]).await.status(), 404);
        assert_eq!(browser.post(&format!("/account/tokens/{id}/revoke"), &[]).await.status(), 303);
        assert_eq!(app.api_as(&token, "GET", "/companies", None).await.0, 401);
    }

    async fn a_member_signs_in_with_entra_once_the_account_is_linked(app) {
        let id = provider(&app).await;
        let home = app.application().home;
        let account = format!("{home}/admin");
        let page = app.stranger().page("/sign-in").await;
        assert!(page.contains("Sign in with Halden"), "{page}");
        // Not linked: nobody, whatever the address says.
        let visitor = app.stranger();
        let url = location(&visitor.get(&format!("/sign-in/providers/{id}?next=/companies")).await);
        let back = decide(&visitor, &url, &account, "accept").await;
        let answer = visitor.get(&back).await;
        assert_eq!(answer.status(), 422);
        assert!(answer.text().await.unwrap().contains("Nobody here is linked"));
        // Linked in a session of one's own.
        let browser = sign_in(&app, OWNER).await;
        let page = browser.post(&format!("/account/providers/{id}/link"), &[]).await.text().await.unwrap();
        let (_, rest) = page.split_once("url=").unwrap();
        let url = rest.split('"').next().unwrap().replace("&amp;", "&").replace("&#38;", "&");
        let back = decide(&browser, &url, &account, "accept").await;
        assert_eq!(app.stranger().get(&back).await.status(), 422, "in another browser it is nothing");
        assert_eq!(location(&browser.get(&back).await), "/account?done=linked");
        // From then on it signs in, for this partner alone, and once.
        let other = model::partner::create(&app.db, &app.connection.keyring, "Second MSP").await.unwrap();
        let me = member::by_email(&app.db, OWNER).await.unwrap().unwrap();
        member::join(&model::Scope::operator(&app.db, other), me.id, Role::Owner).await.unwrap();
        let visitor = app.stranger();
        let url = location(&visitor.get(&format!("/sign-in/providers/{id}?next=/companies")).await);
        let back = decide(&visitor, &url, &account, "accept").await;
        assert_eq!(location(&visitor.get(&back).await), "/companies");
        assert_eq!(app.stranger().get(&back).await.status(), 422);
        let page = visitor.page("/account").await;
        assert!(page.contains("Single sign-on, ") && !page.contains("Go to Second MSP"), "{page}");
        let refused = visitor.post("/account/organisation", &[("partner", &other.to_string())]).await;
        assert_eq!(refused.status(), 409, "a partner's own sign-in says nothing to another partner");
        for path in ["/account/authenticator-app", "/account/passkeys/new"] {
            assert_eq!(visitor.get(path).await.status(), 409, "{path}");
        }
        assert_eq!(visitor.post("/account/passkeys", &[("name", "Smuggled")]).await.status(), 409);
        // And beneath the pages, where no route can forget it.
        let cookies = cookie_of(&visitor, &app).await;
        let token = cookies.split("; ").find_map(|c| c.strip_prefix("session=")).unwrap();
        let bound = model::session::resume(&app.db, token, "").await.unwrap().unwrap();
        let keyring = &app.connection.keyring;
        assert!(model::passkey::add(&bound, "id", "{}", "Smuggled").await.is_err());
        assert!(model::passkey::remove(&bound, model::PasskeyId(uuid::Uuid::nil())).await.is_err());
        assert!(model::totp::enrol(&bound, keyring).await.is_err());
        assert!(model::totp::remove(&bound).await.is_err());
        assert!(model::recovery_code::renew(&bound).await.is_err());
        assert!(model::sign_in::change_password(&bound, "x").await.is_err());
        assert!(model::session::end_others(&bound).await.is_err());
        let password = [("current_password", PASSWORD), ("new_password", "four quiet otters swim")];
        assert_eq!(visitor.post("/account/password", &password).await.status(), 409);
        // Another person of the directory is not the owner.
        let visitor = app.stranger();
        let url = location(&visitor.get(&format!("/sign-in/providers/{id}")).await);
        let back = decide(&visitor, &url, &format!("{home}/user"), "accept").await;
        assert_eq!(visitor.get(&back).await.status(), 422);
        // The provider goes, and its sessions with it.
        assert_eq!(browser.post(&format!("/settings/sign-in/{id}/remove"), &[]).await.status(), 303);
        assert_eq!(visitor.get(&format!("/sign-in/providers/{id}")).await.status(), 404);
    }

    async fn any_openid_provider_signs_in_an_invited_member_without_a_password(app) {
        let owner = sign_in(&app, OWNER).await;
        let application = app.application();
        let issuer = format!("{}{}/v2.0", app.sim.url(), application.home);
        let form = |issuer: &str| -> Vec<(&'static str, String)> {
            vec![
                ("kind", "oidc".into()), ("name", "Other identity".into()), ("issuer", issuer.into()),
                ("client_id", application.client_id.to_string()), ("client_secret", application.secret.clone()),
            ]
        };
        for (bad, why) in [
            (format!("{issuer}x"), "no metadata"), (format!("{issuer}/"), "another issuer"),
            ("https://169.254.169.254".into(), "private network"), ("http://example.com".into(), "begins with https"),
            ("https://10.0.0.1".into(), "private network"), ("ftp://example.com".into(), "begins with https"),
        ] {
            let answer = owner.post("/settings/sign-in", &fields(&form(&bad))).await;
            assert_eq!(answer.status(), 422, "{bad}");
            let page = answer.text().await.unwrap();
            assert!(page.contains(why), "{bad}: {page}");
            assert!(!page.contains(&application.secret));
        }
        assert_eq!(owner.post("/settings/sign-in", &fields(&form(&issuer))).await.status(), 303);
        let id = sign_in_provider::list(&app.scope()).await.unwrap()[0].id;
        let token = invitation::create(&app.scope(), "sso@halden.example", Role::Technician, None).await.unwrap();
        let person = app.stranger();
        assert!(person.page(&format!("/invitations/{token}")).await.contains("Other identity"));
        let url = location(&person.get(&format!("/invitations/{token}/providers/{id}")).await);
        let back = decide(&person, &url, &format!("{}/user", application.home), "accept").await;
        // A state that is not ours, then a code without its cookie.
        let forged = back.replace("state=", "state=x");
        assert_eq!(app.stranger().get(&forged).await.status(), 422);
        let arrived = person.get(&back).await;
        assert_eq!(location(&arrived), "/", "{}", arrived.text().await.unwrap());
        assert!(person.page("/").await.contains("technician of Halden MSP"));
        // They prove who they are there as well.
        app.advance_minutes(6);
        let asked = person.post("/account/tokens", &[("token_name", "Mine"), ("role", "viewer"), ("days", "30")]).await;
        let prove = location(&asked);
        let page = person.page(&prove).await;
        assert!(page.contains("/prove/provider?held="), "{page}");
        let url = location(&person.get(&prove.replace("/prove?", "/prove/provider?")).await);
        assert!(url.contains("prompt=login") && url.contains("max_age=0"), "{url}");
        let back = decide(&person, &url, &format!("{}/user", application.home), "accept").await;
        let page = person.get(&back).await.text().await.unwrap();
        assert!(page.contains("data-go-on"), "{page}");
        // Somebody else of the same provider proves nothing.
        app.advance_minutes(6);
        let url = location(&person.get("/prove/provider?next=/account").await);
        let back = decide(&person, &url, &format!("{}/admin", application.home), "accept").await;
        assert_eq!(person.get(&back).await.status(), 422);
    }

    async fn one_provider_cannot_have_anothers_code_redeemed(app) {
        // Ours, and one that another partner's owner added.
        let ours = provider(&app).await;
        let other = model::partner::create(&app.db, &app.connection.keyring, "Other").await.unwrap();
        let application = app.application();
        let draft = sign_in_provider::Draft {
            kind: model::ProviderKind::Oidc,
            name: "Theirs".into(),
            cloud: String::new(),
            directory: None,
            issuer: format!("{}{}/v2.0", app.sim.url(), application.home),
            client_id: application.client_id.to_string(),
            client_secret: keys::Secret::new("x"),
            is_listed: true,
        };
        let scope = model::Scope::operator(&app.db, other);
        let theirs = sign_in_provider::create(&scope, &app.connection.keyring, &draft).await.unwrap();
        let at = |url: &str, name: &str| {
            let all = crate::app::parameters(url);
            all.into_iter().find(|(n, _)| n == name).unwrap().1
        };
        // The attacker begins at ours; their victim, lured, begins at theirs.
        let attacker = app.stranger();
        let at_ours = location(&attacker.get(&format!("/sign-in/providers/{ours}")).await);
        let victim = app.stranger();
        let at_theirs = location(&victim.get(&format!("/sign-in/providers/{theirs}")).await);
        assert!(at(&at_ours, "redirect_uri").ends_with(&ours.to_string()));
        assert!(at(&at_theirs, "redirect_uri").ends_with(&theirs.to_string()));
        // Theirs sends the victim on to ours, with the attacker's nonce and challenge and its own state.
        let lured = at_ours.replace(&at(&at_ours, "state"), &at(&at_theirs, "state"));
        let back = decide(&victim, &lured, &format!("{}/admin", application.home), "accept").await;
        let answer = victim.get(&back).await;
        assert_eq!(answer.status(), 422);
        let page = answer.text().await.unwrap();
        assert!(page.contains("was not begun in this browser"), "the code was sent on: {page}");
    }

    async fn another_site_s_link_signs_nobody_in(app) {
        let id = provider(&app).await;
        for (site, begins) in [("cross-site", false), ("same-site", false), ("same-origin", true), ("none", true)] {
            let answer = app.stranger().http.get(format!("{}/sign-in/providers/{id}?next=/jobs", app.url))
                .header("sec-fetch-site", site).send().await.unwrap();
            assert_eq!(answer.status(), 303);
            assert_eq!(location(&answer).starts_with(&app.sim.url()), begins, "{site}");
            assert_eq!(location(&answer) == "/sign-in?next=%2Fjobs", !begins, "{site}");
        }
    }

    async fn another_site_s_link_accepts_no_invitation(app) {
        let id = provider(&app).await;
        let token = invitation::create(&app.scope(), "sso@halden.example", Role::Technician, None).await.unwrap();
        let invitation = format!("/invitations/{token}");
        for (site, begins) in [("cross-site", false), ("same-site", false), ("same-origin", true), ("none", true)] {
            let answer = app.stranger().http.get(format!("{}{invitation}/providers/{id}", app.url))
                .header("sec-fetch-site", site).send().await.unwrap();
            assert_eq!(answer.status(), 303);
            assert_eq!(location(&answer).starts_with(&app.sim.url()), begins, "{site}");
            assert_eq!(location(&answer) == invitation, !begins, "{site}");
        }
    }

    async fn what_a_provider_proves_must_be_fresh_by_its_own_word(app) {
        let id = provider(&app).await;
        let account = format!("{}/admin", app.application().home);
        let browser = sign_in(&app, OWNER).await;
        let page = browser.post(&format!("/account/providers/{id}/link"), &[]).await.text().await.unwrap();
        let (_, rest) = page.split_once("url=").unwrap();
        let url = rest.split('"').next().unwrap().replace("&amp;", "&").replace("&#38;", "&");
        let back = decide(&browser, &url, &account, "accept").await;
        assert_eq!(location(&browser.get(&back).await), "/account?done=linked");
        let visitor = app.stranger();
        let url = location(&visitor.get(&format!("/sign-in/providers/{id}")).await);
        let back = decide(&visitor, &url, &account, "accept").await;
        assert_eq!(location(&visitor.get(&back).await), "/");
        app.advance_minutes(6);
        // Whoever has the browser takes `prompt=login` out of the address.
        let url = location(&visitor.get("/prove/provider?next=/account").await);
        let edited = url.replace("prompt=login", "prompt=none_asked");
        assert_ne!(url, edited);
        let back = decide(&visitor, &edited, &account, "accept").await;
        let answer = visitor.get(&back).await;
        assert_eq!(answer.status(), 422);
        assert!(answer.text().await.unwrap().contains("auth_time"));
        let url = location(&visitor.get("/prove/provider?next=/account").await);
        let back = decide(&visitor, &url, &account, "accept").await;
        let answer = visitor.get(&back).await;
        assert_eq!(answer.status(), 303, "{}", answer.text().await.unwrap());
    }

    async fn a_live_page_ends_with_the_session_and_with_the_right(app) {
        let (_, mapping) = app.connected("Contoso").await;
        app.drain().await;
        app.sim.fail_next(sim::Fault::always("/users/delta", sim::Kind::Slow { ms: 20_000 }));
        let asked = app.post("/runs", json!({ "mapping_id": mapping, "kind": "directory", "reconcile": true })).await;
        let run = crate::app::text(&asked["value"][0], "id");
        let member = join(&app, "tech@halden.example", Role::Technician).await;
        for by in ["signing out", "another role"] {
            let browser = sign_in(&app, "tech@halden.example").await;
            let mut stream = browser.get(&format!("/jobs/{run}/events")).await;
            assert_eq!(stream.status(), 200);
            let first = stream.chunk().await.unwrap().unwrap();
            assert!(!first.is_empty());
            match by {
                "signing out" => {
                    browser.post("/sign-out", &[]).await;
                }
                _ => {
                    model::member::change(&app.scope(), member, Role::Viewer, None).await.unwrap();
                }
            }
            let rest = tokio::time::timeout(std::time::Duration::from_secs(5), async {
                let mut text = String::new();
                while let Some(chunk) = stream.chunk().await.unwrap() {
                    text.push_str(&String::from_utf8_lossy(&chunk));
                }
                text
            })
            .await
            .unwrap_or_else(|_| panic!("{by}: the page went on"));
            assert!(rest.contains("event: done"), "{by}: {rest}");
            let (_, run) = app.api("GET", &format!("/runs/{run}"), None).await;
            assert!(["queued", "running", "retrying"].contains(&run["state"].as_str().unwrap()), "{by}: the run had ended by itself");
        }
    }

    async fn a_second_sign_in_ends_the_session_before_it(app) {
        let browser = sign_in(&app, OWNER).await;
        let before = cookie_of(&browser, &app).await;
        let again = browser.post("/sign-in", &[("email", OWNER), ("password", PASSWORD)]).await;
        assert_eq!(again.status(), 303);
        let old = app.stranger().http.get(format!("{}/account", app.url)).header("cookie", &before).send().await.unwrap();
        assert_eq!(old.status(), 303, "the session before is over");
        assert_eq!(browser.get("/account").await.status(), 200);
    }

    async fn another_partner_s_invitation_makes_no_key_to_an_account(app) {
        // A member of ours who signs in at our provider alone, and so has no password.
        let id = provider(&app).await;
        let theirs = "sso@halden.example";
        let token = invitation::create(&app.scope(), theirs, Role::Admin, None).await.unwrap();
        let person = app.stranger();
        let url = location(&person.get(&format!("/invitations/{token}/providers/{id}")).await);
        let back = decide(&person, &url, &format!("{}/user", app.application().home), "accept").await;
        assert_eq!(location(&person.get(&back).await), "/");
        // Another partner's owner invites their address, and follows the link.
        let other = model::partner::create(&app.db, &app.connection.keyring, "Other").await.unwrap();
        let there = model::Scope::operator(&app.db, other);
        let token = invitation::create(&there, theirs, Role::Viewer, None).await.unwrap();
        let thief = app.stranger();
        let taken = thief.post(&format!("/invitations/{token}"), &[("password", PASSWORD)]).await;
        assert_eq!(taken.status(), 422, "{}", taken.text().await.unwrap());
        assert_eq!(thief.post("/sign-in", &[("email", theirs), ("password", PASSWORD)]).await.status(), 422);
        assert_eq!(thief.get("/").await.status(), 303);
        // Nothing of the account changed, and the invitation is still open.
        assert!(person.page("/").await.contains("admin of Halden MSP"));
        assert!(invitation::open(&app.db, &token).await.unwrap().is_some());
    }

    async fn forty_addresses_after_sign_in_lead_nowhere_else(app) {
        let evil = [
            "//evil.example", "///evil.example", "////evil.example", "/\\evil.example", "\\\\evil.example",
            "https://evil.example", "http://evil.example", "HTTPS://evil.example", "https:evil.example",
            "javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "vbscript:x", "evil.example",
            "@evil.example", "/\t/evil.example", "/\n/evil.example", "/\r/evil.example", "\t//evil.example",
            " //evil.example", "/%0d%0aLocation:%20https://evil.example/\r\n", "http:/evil.example",
            "//evil.example@localhost", "//localhost@evil.example", "https://localhost.evil.example",
            "//[::1]", "//①②⑦.⓪.⓪.①", "//evil。example", "/\\/evil.example", "/\\\\evil.example",
            "\\/evil.example", ".//evil.example", "?next=//evil.example", "#//evil.example", "",
            "mailto:x@evil.example", "file:///etc/passwd", "\u{0}//evil.example", "/\u{b}/evil.example", "//",
        ];
        assert_eq!(evil.len(), 40);
        for next in evil {
            let browser = app.stranger();
            let form = [("email", OWNER), ("password", PASSWORD), ("next", next)];
            let answer = browser.post("/sign-in", &form).await;
            let to = location(&answer);
            let whole = url::Url::parse(&app.url).unwrap().join(&to).unwrap();
            assert_eq!(whole.origin(), url::Url::parse(&app.url).unwrap().origin(), "{next:?} led to {to}");
        }
    }
}

/// The cookies that a browser holds.
pub async fn cookie_of(browser: &Browser, app: &TestApp) -> String {
    use reqwest::cookie::CookieStore;
    let url = url::Url::parse(&app.url).unwrap();
    let cookies = browser.jar.cookies(&url).unwrap();
    cookies.to_str().unwrap().to_owned()
}

async fn with_cookie(app: &TestApp, cookie: &str, path: &str) -> u16 {
    let http = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let answer = http
        .get(format!("{}{path}", app.url))
        .header("cookie", cookie)
        .send()
        .await
        .unwrap();
    answer.status().as_u16()
}
