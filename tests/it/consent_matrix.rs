//! The matrix of callbacks: every way in which a return of Microsoft may be forged, stale, swapped
//! or refused. None connects anything but the last; each that belongs to a request is audited.

use crate::{
    app::{Browser, TestApp, location, owner, parameters, text},
    consent_flow::{arrive, begin, decide, tenants},
    on_both,
};

/// What a case knows of the world: the attacker's own tenant, and a victim that consented to the
/// same application elsewhere.
struct Matrix<'a> {
    app: &'a TestApp,
    browser: Browser,
    own: String,
    victim: String,
    driven: usize,
}

impl Matrix<'_> {
    async fn audited(&self) -> i64 {
        model::audit::verify(&self.app.db, self.app.partner, &[])
            .await
            .unwrap()
            .unwrap()
    }

    /// Checks a page against what it must say, that nothing is connected, and that it was audited.
    async fn refused(&mut self, name: &str, before: i64, page: &str, expected: &str) {
        assert!(
            page.contains(expected),
            "{name}: expected {expected:?} in {page}"
        );
        assert!(!page.contains("<script>alert"), "{name}");
        assert_eq!(tenants(self.app).await, 0, "{name}");
        if before >= 0 {
            assert!(self.audited().await > before, "{name} is not audited");
        }
        self.driven += 1;
    }

    /// A return of the consent step, edited, and the page at its end.
    async fn edited(
        &mut self,
        name: &str,
        pin: bool,
        expected: &str,
        edit: impl Fn(&str) -> String,
    ) {
        let own = self.own.clone();
        let url = begin(self.app, &self.browser, if pin { &own } else { "" }).await;
        let back = decide(&self.browser, &url, &format!("{own}/admin"), "accept").await;
        let before = self.audited().await;
        let page = arrive(&self.browser, &edit(&back)).await;
        self.refused(name, before, &page, expected).await;
    }

    /// A query in place of Microsoft's, with the state of a fresh request where `{state}` stands.
    async fn query(&mut self, name: &str, expected: &str, query: &str) {
        let own = self.own.clone();
        let url = begin(self.app, &self.browser, &own).await;
        let state = parameters(&url)
            .into_iter()
            .find(|(n, _)| n == "state")
            .unwrap()
            .1;
        let ours = query.contains("{state}");
        let before = if ours { self.audited().await } else { -1 };
        let path = format!("/consent/callback?{}", query.replace("{state}", &state));
        let page = self.browser.get(&path).await;
        let page = if page.status() == 303 {
            arrive(&self.browser, &location(&page)).await
        } else {
            page.text().await.unwrap()
        };
        self.refused(name, before, &page, expected).await;
    }

    /// Microsoft's sign-in of the proving step, where another account than the consenting one is
    /// chosen.
    async fn proved_as(
        &mut self,
        name: &str,
        tenant: &str,
        pin: bool,
        account: &str,
        expected: &str,
    ) {
        let proof = self.at_proof(tenant, pin).await;
        let back = decide(&self.browser, &proof, account, "accept").await;
        let before = self.audited().await;
        let page = arrive(&self.browser, &back).await;
        self.refused(name, before, &page, expected).await;
    }

    /// A request whose consent step says `tenant`, stopped where the person is to sign in.
    async fn at_proof(&self, tenant: &str, pin: bool) -> String {
        let url = begin(self.app, &self.browser, if pin { tenant } else { "" }).await;
        let state = parameters(&url)
            .into_iter()
            .find(|(n, _)| n == "state")
            .unwrap()
            .1;
        let forged = format!("/consent/callback?admin_consent=True&tenant={tenant}&state={state}");
        let proof = location(&self.browser.get(&forged).await);
        assert!(
            proof.contains("/organizations/oauth2/v2.0/authorize?"),
            "{proof}"
        );
        proof
    }
}

on_both! {
    async fn no_forged_return_connects_anything(app) {
        let victim = app.directory("Fabrikam").id;
        app.sim.grant(victim, app.application().client_id);
        let mut m = Matrix {
            browser: app.browser().await,
            own: app.directory("Contoso").id.to_string(),
            victim: victim.to_string(),
            app: &app,
            driven: 0,
        };
        let (own, victim) = (m.own.clone(), m.victim.clone());
        let not_ours = "not one of ours";
        let mismatch = "Another tenant than expected";

        // 1–9: parameters that are missing, doubled or made up.
        for (name, query) in [
            ("no parameters", ""),
            ("a made-up state", "state=x&tenant=t&admin_consent=True"),
            ("an empty state", "state=&tenant=t"),
            ("a state that comes twice", "state=x&state=y"),
            ("a tenant without a state", "tenant=1&admin_consent=True"),
            ("a code of nobody", "code=1&state=z"),
            ("an error of nobody", "error=access_denied&state=z"),
            ("a state of bytes that are no text", "state=%ff%fe"),
            ("a state as long as a novel", &format!("state={}", "a".repeat(4000))),
        ] {
            m.query(name, not_ours, query).await;
        }
        // 10–15: our state, and a tenant that is none.
        for (name, query) in [
            ("no tenant", "state={state}&admin_consent=True"),
            ("an empty tenant", "state={state}&tenant="),
            ("a tenant that is no GUID", "state={state}&tenant=abc"),
            ("a tenant by its domain", "state={state}&tenant=contosobakery.example"),
            ("the nil tenant", "state={state}&tenant=00000000-0000-0000-0000-000000000000"),
            ("a tenant with a blank", "state={state}&tenant=%20%20"),
        ] {
            m.query(name, mismatch, query).await;
        }
        // 16–23: what Microsoft refuses, also when it says admin_consent=True.
        for (name, query, expected) in [
            ("declined", "state={state}&error=access_denied&error_description=AADSTS65004%3A+x", "Consent was declined"),
            ("declined, with admin_consent", "state={state}&error=access_denied&admin_consent=True&tenant=OWN", "Consent was declined"),
            ("cancelled", "state={state}&error=access_denied&error_subcode=cancel", "Consent was declined"),
            ("consent required", "state={state}&error=consent_required&error_description=AADSTS65001%3A+x", "Consent was declined"),
            ("markup in the description", "state={state}&error=server_error&error_description=%3Cscript%3Ealert(1)%3C%2Fscript%3E", "could not be asked"),
            ("an administrator is needed", "state={state}&error=access_denied&error_description=AADSTS90094%3A+x", "may not consent"),
            ("the application is unknown", "state={state}&error=unauthorized_client&error_description=AADSTS700016%3A+x", "does not find the application"),
            ("a word that nobody knows", "state={state}&error=who_knows", "Consent was declined"),
        ] {
            m.query(name, expected, &query.replace("OWN", &own)).await;
        }
        // 24–25: the victim in place of the own tenant.
        let to_victim = |back: &str| back.replace(&own, &victim);
        m.edited("the victim, another one pinned", true, mismatch, to_victim).await;
        m.edited("the victim, none pinned: the silent sign-in is the own", false, mismatch, to_victim).await;
        // 26–33: who signs in to prove it.
        for (name, tenant, pin, account, expected) in [
            ("victim pinned, own administrator", &victim, true, format!("{own}/admin"), mismatch),
            ("victim claimed, own administrator", &victim, false, format!("{own}/admin"), mismatch),
            ("victim pinned, its plain user", &victim, true, format!("{victim}/user"), "may not consent"),
            ("victim pinned, its application administrator", &victim, true, format!("{victim}/appadmin"), "may not consent"),
            ("victim pinned, a guest administrator", &victim, true, format!("{victim}/guest"), mismatch),
            ("victim claimed, a guest administrator", &victim, false, format!("{victim}/guest"), mismatch),
            ("own pinned, its plain user", &own, true, format!("{own}/user"), "may not consent"),
            ("own claimed, its plain user", &own, false, format!("{own}/user"), "may not consent"),
        ] {
            m.proved_as(name, tenant, pin, &account, expected).await;
        }
        // 34: the proof is cancelled.
        let proof = m.at_proof(&own, true).await;
        let back = decide(&m.browser, &proof, &format!("{own}/admin"), "cancel").await;
        let before = m.audited().await;
        let page = arrive(&m.browser, &back).await;
        m.refused("the sign-in is cancelled", before, &page, "Consent was declined").await;
        // 35: a forged code; 36: the code of another sign-in; 37: none at all.
        for (name, code) in [("a forged code", Some("forged")), ("another sign-in's code", None)] {
            let proof = m.at_proof(&own, true).await;
            let state = parameters(&proof).into_iter().find(|(n, _)| n == "state").unwrap().1;
            let code = match code {
                Some(code) => code.to_owned(),
                None => {
                    let other = m.at_proof(&own, true).await;
                    let back = decide(&m.browser, &other, &format!("{own}/admin"), "accept").await;
                    parameters(&back).into_iter().find(|(n, _)| n == "code").unwrap().1
                }
            };
            let before = m.audited().await;
            let page = arrive(&m.browser, &format!("/consent/callback?code={code}&state={state}")).await;
            m.refused(name, before, &page, "could not be asked").await;
        }
        let proof = m.at_proof(&own, true).await;
        let state = parameters(&proof).into_iter().find(|(n, _)| n == "state").unwrap().1;
        let before = m.audited().await;
        let page = arrive(&m.browser, &format!("/consent/callback?tenant={own}&state={state}")).await;
        m.refused("the proof's state without a code", before, &page, "could not be asked").await;
        // 38: the proof in a browser without its cookie.
        let proof = m.at_proof(&own, true).await;
        let back = decide(&m.browser, &proof, &format!("{own}/admin"), "accept").await;
        let before = m.audited().await;
        let page = arrive(&app.stranger(), &back).await;
        m.refused("the proof in another browser", before, &page, "another browser").await;
        // 39: a return that was used; 40: a proof that was used.
        let url = begin(&app, &m.browser, &own).await;
        let back = decide(&m.browser, &url, &format!("{own}/admin"), "cancel").await;
        arrive(&m.browser, &back).await;
        let before = m.audited().await;
        let page = arrive(&m.browser, &back).await;
        m.refused("a return that was used", before, &page, "used already").await;
        let proof = m.at_proof(&own, true).await;
        let back = decide(&m.browser, &proof, &format!("{own}/user"), "accept").await;
        arrive(&m.browser, &back).await;
        let before = m.audited().await;
        let page = arrive(&m.browser, &back).await;
        m.refused("a proof that was used", before, &page, "used already").await;
        // 41: nobody's browser; 42: another partner's member.
        let url = begin(&app, &m.browser, &own).await;
        let back = decide(&m.browser, &url, &format!("{own}/admin"), "accept").await;
        let before = m.audited().await;
        let page = arrive(&app.stranger(), &back).await;
        m.refused("a browser without a session", before, &page, "another browser").await;
        let other = model::partner::create(&app.db, &app.connection.keyring, "Other").await.unwrap();
        owner(&app.db, other, "owner@other.example").await;
        let stranger = app.stranger();
        stranger.post("/sign-in", &[("email", "owner@other.example"), ("password", crate::app::PASSWORD)]).await;
        let before = m.audited().await;
        let page = arrive(&stranger, &back).await;
        m.refused("another partner's session", before, &page, "another browser").await;
        // 43: a conditional access policy; 44: the application disabled.
        let blocked = app.directory("Northwind").id;
        app.sim.block(blocked);
        let blocked = blocked.to_string();
        let url = begin(&app, &m.browser, &blocked).await;
        let back = decide(&m.browser, &url, &format!("{blocked}/admin"), "accept").await;
        let before = m.audited().await;
        let page = arrive(&m.browser, &back).await;
        m.refused("conditional access", before, &page, "Consent was declined").await;
        let disabled = app.directory("Thrift").id;
        app.sim.disable(disabled, app.application().client_id);
        let disabled = disabled.to_string();
        let url = begin(&app, &m.browser, &disabled).await;
        let back = decide(&m.browser, &url, &format!("{disabled}/admin"), "accept").await;
        let before = m.audited().await;
        let page = arrive(&m.browser, &back).await;
        m.refused("the application is disabled there", before, &page, "spreading").await;
        // 45, 46: too late in either step.
        let url = begin(&app, &m.browser, &own).await;
        let late = decide(&m.browser, &url, &format!("{own}/admin"), "accept").await;
        let proof = m.at_proof(&own, true).await;
        let late_proof = decide(&m.browser, &proof, &format!("{own}/admin"), "accept").await;
        app.advance_minutes(11);
        // What comes next asks for a proof that is not so old.
        let proved = m.browser.post("/prove?next=/", &[("password", crate::app::PASSWORD)]).await;
        assert_eq!(proved.status(), 303);
        for (name, back) in [("too late to return", late), ("too late to prove", late_proof)] {
            let before = m.audited().await;
            let page = arrive(&m.browser, &back).await;
            m.refused(name, before, &page, "has expired").await;
        }
        // 47: the credential is refused meanwhile. (48 is at the end: its revocation ends the matrix.)
        let proof = m.at_proof(&own, true).await;
        let back = decide(&m.browser, &proof, &format!("{own}/admin"), "accept").await;
        app.sim.expire_secrets(0, "");
        let before = m.audited().await;
        let page = arrive(&m.browser, &back).await;
        m.refused("the secret expired meanwhile", before, &page, "does not accept the credential").await;
        let credential = text(&app.get("/credentials").await["value"][0], "id");
        let renewed = app.sim.new_secret(0, None);
        app.post(&format!("/credentials/{credential}/secrets"), serde_json::json!({ "client_secret": renewed })).await;
        assert_eq!(m.driven, 47);

        // And one that is right: exactly one tenant.
        let url = begin(&app, &m.browser, &own).await;
        let back = decide(&m.browser, &url, &format!("{own}/admin"), "accept").await;
        let page = arrive(&m.browser, &back).await;
        assert!(page.contains("Consent granted"), "{page}");
        assert_eq!(tenants(&app).await, 1);

        let victim_url = begin(&app, &m.browser, &victim).await;
        let back = decide(&m.browser, &victim_url, &format!("{victim}/admin"), "accept").await;
        let proof = location(&m.browser.get(&back).await);
        let back = decide(&m.browser, &proof, &format!("{victim}/admin"), "accept").await;
        app.post(&format!("/credentials/{credential}/revoke"), serde_json::json!({})).await;
        let page = arrive(&m.browser, &back).await;
        assert!(page.contains("does not accept the credential"), "{page}");
        assert_eq!(tenants(&app).await, 1);
        assert!(model::audit::verify(&app.db, app.partner, &[]).await.unwrap().is_ok());
    }

    async fn roles_may_come_in_the_token_or_from_graph(app) {
        // From Graph, also through a group; the demo's registration has no role claims.
        let browser = app.browser().await;
        for (part, account) in [("Contoso", "privileged"), ("Northwind", "groupadmin")] {
            let tenant = app.directory(part).id.to_string();
            let url = begin(&app, &browser, &tenant).await;
            let back = decide(&browser, &url, &format!("{tenant}/{account}"), "accept").await;
            let page = arrive(&browser, &back).await;
            assert!(page.contains("Consent granted"), "{account}: {page}");
            assert!(page.contains(&format!("{account}@")), "who signed in is shown: {page}");
        }
        assert!(app.sim.requests("roleAssignments") >= 2);
    }
}

#[test]
fn roles_of_the_token_are_enough() {
    crate::app::run(|| async {
        let mut world = sim::World::demo(crate::app::secret());
        world.applications[0].role_claims = true;
        let app = TestApp::start_with(crate::app::Database::Sqlite, world, true).await;
        let browser = app.browser().await;
        let tenant = app.directory("Contoso").id.to_string();
        for (account, expected) in [
            ("appadmin", "may not consent"),
            ("user", "may not consent"),
            ("admin", "Consent granted"),
        ] {
            let url = begin(&app, &browser, &tenant).await;
            let state = parameters(&url)
                .into_iter()
                .find(|(n, _)| n == "state")
                .unwrap()
                .1;
            app.sim
                .grant(app.directory("Contoso").id, app.application().client_id);
            let forged = format!("/consent/callback?tenant={tenant}&state={state}");
            let proof = location(&browser.get(&forged).await);
            let back = decide(&browser, &proof, &format!("{tenant}/{account}"), "accept").await;
            let page = arrive(&browser, &back).await;
            assert!(page.contains(expected), "{account}: {page}");
        }
    });
}
