//! Somebody who lost the password, or the second factors too, is let in again by the operator.

use model::{Role, Scope, Window, audit, member, partner, recovery};

use crate::{
    app::{OWNER, PASSWORD, location},
    on_both,
    sign_in::{set_up_app, sign_in},
};

const NEW: &str = "a quite different passphrase 7";

on_both! {
    async fn a_lost_password_is_set_anew_and_second_factors_stay(app) {
        let browser = sign_in(&app, OWNER).await;
        set_up_app(&app, &browser).await;
        let token = recovery::begin(&app.db, OWNER, false).await.unwrap().unwrap();
        assert_eq!(browser.get("/").await.status(), 303, "every session has ended");
        let other = app.stranger();
        let old = other.post("/sign-in", &[("email", OWNER), ("password", PASSWORD)]).await;
        assert_eq!(old.status(), 422, "the lost password counts no more");
        let link = format!("/invitations/{token}");
        assert_eq!(other.post(&link, &[("password", "short")]).await.status(), 422);
        let set = other.post(&link, &[("password", NEW)]).await;
        assert_eq!(location(&set), "/sign-in/second-factor", "the password alone lets nobody in");
        assert_eq!(other.get("/").await.status(), 303);
        assert_eq!(other.post(&link, &[("password", NEW)]).await.status(), 404, "once");
    }

    async fn lost_second_factors_go_too_and_the_role_stays(app) {
        let browser = sign_in(&app, OWNER).await;
        set_up_app(&app, &browser).await;
        // They are a member of a second organisation too.
        let second = partner::create(&app.db, &app.connection.keyring, "Second").await.unwrap();
        let second = Scope::operator(&app.db, second);
        let id = member::by_email(&app.db, OWNER).await.unwrap().unwrap().id;
        member::join(&second, id, Role::Viewer).await.unwrap();
        let lost = recovery::begin(&app.db, OWNER, true).await.unwrap().unwrap();
        let token = recovery::begin(&app.db, OWNER, true).await.unwrap().unwrap();
        let other = app.stranger();
        let set = other.post(&format!("/invitations/{lost}"), &[("password", NEW)]).await;
        assert_eq!(set.status(), 404, "the last link alone counts");
        let set = other.post(&format!("/invitations/{token}"), &[("password", NEW)]).await;
        assert_eq!(location(&set), "/");
        let account = other.page("/account").await;
        assert!(account.contains("href=\"/account/authenticator-app\""), "{account}");
        assert_eq!(other.get("/settings/members/new").await.status(), 200, "an owner still");
        let log = other.page("/settings/audit").await;
        assert!(log.contains("member.recover") && log.contains("operator"), "{log}");
        let window = Window { offset: 0, limit: 50 };
        let rows = audit::list(&second, &audit::Filter::default(), window).await.unwrap().rows;
        assert_eq!(rows.iter().filter(|r| r.action == "member.recover").count(), 2, "in each log");
        let again = app.stranger();
        let signed_in = again.post("/sign-in", &[("email", OWNER), ("password", NEW)]).await;
        assert_eq!(location(&signed_in), "/");
        assert!(recovery::begin(&app.db, "nobody@example.com", true).await.unwrap().is_none());
    }
}
