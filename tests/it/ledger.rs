//! Each change leaves its row in the audit log, in the same transaction: with a log that takes no rows
//! nothing changes, and whoever asked is told; with one that does, the rows are exactly these.

use std::collections::BTreeSet;

use model::{Pool, Role, audit, invitation, member};
use portal::routes::TABLE;
use reqwest::Response;
use serde_json::{Value, json};
use sim::World;

use crate::{
    app::{Browser, Database, OWNER, PASSWORD, TestApp, licensed, location, postgres_server, run, secret, text},
    consent_flow::decide,
    sign_in::{add_passkey, provider, set_up_app, sign_in},
    strangers::everything,
};

const ENTRA: &str = "/settings/integrations/entra";

/// What changes nothing that belongs to a partner, and why.
const NO_CHANGE: &[(&str, &str)] = &[
    ("POST /settings/integrations/entra/mappings/import/review", "shows what would be saved"),
    ("POST /account/providers/{own}/link", "leads to the provider; the return is what links"),
    ("POST /consents/{id}/check", "looks once more at a consent that spreads; it ends as the return does"),
    ("POST /api/v1/consent-requests/{id}/checks", "as the page's"),
    ("POST /setup", "there is no partner yet: tests/it/pages.rs looks at the new one's rows"),
];

struct Ledger<'a> {
    app: &'a TestApp,
    seen: BTreeSet<String>,
}

/// Lets the audit log take no rows, as on a full disk; or again.
pub async fn break_log(db: &model::Db, is_broken: bool) {
    let statements: &[&str] = match (db.owner_pool(), is_broken) {
        (Pool::Sqlite(_), true) => &["CREATE TRIGGER full BEFORE INSERT ON audit_rows BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"],
        (Pool::Sqlite(_), false) => &["DROP TRIGGER full"],
        (Pool::Postgres(_), true) => &[
            "CREATE OR REPLACE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = '53100', MESSAGE = 'could not extend file'; END $$",
            "CREATE TRIGGER full_disk BEFORE INSERT ON audit_rows FOR EACH ROW EXECUTE FUNCTION full_disk()",
        ],
        (Pool::Postgres(_), false) => &["DROP TRIGGER full_disk ON audit_rows"],
    };
    for sql in statements {
        match db.owner_pool() {
            Pool::Sqlite(pool) => drop(sqlx::query(*sql).execute(&pool).await.unwrap()),
            Pool::Postgres(pool) => drop(sqlx::query(*sql).execute(&pool).await.unwrap()),
        }
    }
}

/// All that is stored, but for when a token or an account elsewhere was last used: that is noted before
/// it is known what comes of it.
async fn changeable(app: &TestApp) -> String {
    everything(app, &["used_at"]).await
}

impl Ledger<'_> {
    async fn actions_after(&self, seq: i64) -> Vec<String> {
        let window = model::Window::page(1, 500);
        let rows = audit::list(&self.app.scope(), &audit::Filter::default(), window).await.unwrap().rows;
        let mut new: Vec<_> = rows.into_iter().filter(|row| row.seq > seq).collect();
        new.sort_by_key(|row| row.seq);
        new.into_iter().map(|row| row.action).collect()
    }

    async fn newest(&self) -> i64 {
        let window = model::Window::page(1, 1);
        let rows = audit::list(&self.app.scope(), &audit::Filter::default(), window).await.unwrap().rows;
        rows.first().map_or(0, |row| row.seq)
    }

    /// A route, driven twice: the log is full, and then it is not.
    async fn change(&mut self, route: &str, actions: &[&str], send: impl AsyncFn() -> Response) -> Response {
        let before = changeable(self.app).await;
        break_log(&self.app.db, true).await;
        let refused = send().await;
        break_log(&self.app.db, false).await;
        let status = refused.status();
        let said = refused.text().await.unwrap();
        assert!(status.is_server_error(), "{route} with a full log: {status} {said}");
        assert!(!said.contains("audit_rows") && !said.contains("disk"), "{route} says too much: {said}");
        let after = changeable(self.app).await;
        assert!(before == after, "{route} changed something without its audit row:\n{}", difference(&before, &after));
        let seq = self.newest().await;
        let answer = send().await;
        let status = answer.status();
        assert!(status.is_success() || status.is_redirection(), "{route}: {status} {}", answer.text().await.unwrap());
        assert_eq!(self.actions_after(seq).await, actions, "{route}");
        self.seen.insert(route.to_owned());
        answer
    }

    async fn page(&mut self, browser: &Browser, route: &str, ids: &[&str], form: &[(&str, &str)], actions: &[&str]) -> Response {
        let path = filled(route, ids);
        self.change(route, actions, async || browser.post(&path, form).await).await
    }

    async fn api(&mut self, route: &str, ids: &[&str], body: Value, actions: &[&str]) -> Value {
        let (method, _) = route.split_once(' ').unwrap();
        let url = format!("{}{}", self.app.url, filled(route, ids));
        let app = self.app;
        let send = async || {
            let request = app.http.request(method.parse().unwrap(), &url).bearer_auth(&app.token);
            request.json(&body).send().await.unwrap()
        };
        let answer = self.change(route, actions, send).await;
        answer.json().await.unwrap_or_default()
    }
}

fn filled(route: &str, ids: &[&str]) -> String {
    let (_, pattern) = route.split_once(' ').unwrap();
    let mut ids = ids.iter();
    let parts = pattern.split('/').map(|part| match part.starts_with('{') {
        true => ids.next().unwrap_or_else(|| panic!("{route} wants more ids")),
        false => part,
    });
    parts.collect::<Vec<_>>().join("/")
}

fn difference(before: &str, after: &str) -> String {
    let before: BTreeSet<&str> = before.lines().collect();
    let after: BTreeSet<&str> = after.lines().collect();
    let lines = before.symmetric_difference(&after);
    lines.map(|line| &line[..line.len().min(400)]).collect::<Vec<_>>().join("\n")
}

/// Waits until tests of connections have ended, which go on after the answer.
async fn tested(app: &TestApp) {
    for _ in 0..200 {
        if !everything(app, &[]).await.contains("'running'") {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// One's own account, and others'.
async fn people(ledger: &mut Ledger<'_>) {
    let app = ledger.app;
    let visitor = app.stranger();
    let right = [("email", OWNER), ("password", PASSWORD)];
    ledger.page(&visitor, "POST /sign-in", &[], &right, &["session.begin"]).await;
    ledger.page(&visitor, "POST /prove", &[], &[("password", PASSWORD)], &["session.prove"]).await;
    ledger.page(&visitor, "POST /sign-out", &[], &[], &["session.end"]).await;

    let owner = sign_in(app, OWNER).await;
    let new = [("token_name", "Nightly"), ("role", "viewer"), ("days", "30")];
    ledger.page(&owner, "POST /account/tokens", &[], &new, &["api_token.create"]).await;
    let page = owner.page("/account").await;
    let token = page.split("/account/tokens/").nth(1).unwrap()[..36].to_owned();
    ledger.page(&owner, "POST /account/tokens/{own}/revoke", &[&token], &[], &["api_token.revoke"]).await;
    let password = [("current_password", PASSWORD), ("new_password", "four quiet otters swim")];
    ledger.page(&owner, "POST /account/password", &[], &password, &["member.password"]).await;
    let me = member::by_email(&app.db, OWNER).await.unwrap().unwrap();
    let back = [("current_password", "four quiet otters swim"), ("new_password", PASSWORD)];
    owner.post("/account/password", &back).await;

    let other = sign_in(app, OWNER).await;
    let page = other.page("/account").await;
    let session = page.split("/account/sessions/").skip(1).find(|t| !t.starts_with("end")).unwrap()[..36].to_owned();
    ledger.page(&other, "POST /account/sessions/{own}/end", &[&session], &[], &["session.revoke"]).await;
    ledger.page(&other, "POST /account/sessions/end", &[], &[], &["session.revoke"]).await;
    let second = model::partner::create(&app.db, &app.connection.keyring, "Second").await.unwrap();
    member::join(&model::Scope::operator(&app.db, second), me.id, Role::Viewer).await.unwrap();
    // The row of the switch stands in the log of where one goes.
    let switch = [("partner", second.to_string())];
    let switch: Vec<(&str, &str)> = switch.iter().map(|(n, v)| (*n, v.as_str())).collect();
    ledger.page(&other, "POST /account/organisation", &[], &switch, &[]).await;
    let there = model::Scope::operator(&app.db, second);
    let rows = audit::list(&there, &audit::Filter::default(), model::Window::page(1, 1)).await.unwrap().rows;
    assert_eq!(rows[0].action, "session.switch");

    factors(ledger).await;
    members(ledger).await;
}

/// Second factors, passkeys and accounts elsewhere.
async fn factors(ledger: &mut Ledger<'_>) {
    let app = ledger.app;
    let owner = sign_in(app, OWNER).await;
    let fresh = async |browser: &Browser| {
        app.clock.advance_ms(30_000 - app.clock.now().0 % 30_000);
        let page = browser.page("/account/authenticator-app").await;
        let key = page.split("<code class=\"secret\">").nth(1).unwrap().split('<').next().unwrap().replace(' ', "");
        let seed = data_encoding::BASE32_NOPAD.decode(key.as_bytes()).unwrap();
        keys::totp::present_code(&seed, app.clock.now().0 / 1000)
    };
    let enrol = async || {
        let code = fresh(&owner).await;
        owner.post("/account/authenticator-app", &[("code", &code)]).await
    };
    ledger.change("POST /account/authenticator-app", &["member.totp"], enrol).await;
    ledger.page(&owner, "POST /account/recovery-codes", &[], &[], &["member.recovery_codes"]).await;
    ledger.page(&owner, "POST /account/authenticator-app/remove", &[], &[], &["member.totp_remove"]).await;

    let (seed, _) = set_up_app(app, &owner).await;
    let visitor = app.stranger();
    let step = async || {
        app.clock.advance_ms(30_000);
        visitor.post("/sign-in", &[("email", OWNER), ("password", PASSWORD)]).await;
        let code = keys::totp::present_code(&seed, app.clock.now().0 / 1000);
        visitor.post("/sign-in/second-factor", &[("code", &code)]).await
    };
    ledger.change("POST /sign-in/second-factor", &["session.begin"], step).await;
    owner.post("/account/authenticator-app/remove", &[]).await;

    let key = std::cell::RefCell::new(add_passkey(app, &owner).await);
    let page = owner.page("/account").await;
    let passkey = page.split("/account/passkeys/").skip(1).find(|t| !t.starts_with("new")).unwrap()[..36].to_owned();
    let challenged = async |browser: &Browser, page: &str, to: &str| {
        let page = browser.page(page).await;
        let form = key.borrow_mut().answer(&crate::authenticator::challenge(&page));
        let form: Vec<(&str, &str)> = form.iter().map(|(n, v)| (*n, v.as_str())).collect();
        browser.post(to, &form).await
    };
    let visitor = app.stranger();
    let by_key = async || challenged(&visitor, "/sign-in/passkey", "/sign-in/passkey").await;
    ledger.change("POST /sign-in/passkey", &["session.begin"], by_key).await;
    let second = app.stranger();
    let by_second = async || {
        second.post("/sign-in", &[("email", OWNER), ("password", PASSWORD)]).await;
        challenged(&second, "/sign-in/second-factor", "/sign-in/second-factor/passkey").await
    };
    ledger.change("POST /sign-in/second-factor/passkey", &["session.begin"], by_second).await;
    let prove = async || challenged(&visitor, "/prove?next=/", "/prove/passkey?next=/").await;
    ledger.change("POST /prove/passkey", &["session.prove"], prove).await;
    ledger.page(&owner, "POST /account/passkeys/{own}/remove", &[&passkey], &[], &["member.passkey_remove"]).await;
    let make = async || {
        let mut authenticator = crate::authenticator::Authenticator::new(&app.url);
        let page = owner.page("/account/passkeys/new").await;
        let mut form = authenticator.make(&crate::authenticator::challenge(&page));
        form.push(("name", "Second key".into()));
        let form: Vec<(&str, &str)> = form.iter().map(|(n, v)| (*n, v.as_str())).collect();
        owner.post("/account/passkeys", &form).await
    };
    ledger.change("POST /account/passkeys", &["member.passkey"], make).await;
    let page = owner.page("/account").await;
    let passkey = page.split("/account/passkeys/").skip(1).find(|t| !t.starts_with("new")).unwrap()[..36].to_owned();
    owner.post(&format!("/account/passkeys/{passkey}/remove"), &[]).await;

    // An account at a provider: linked by the return, with which one signs in from then on.
    let id = provider(app).await;
    let account = format!("{}/admin", app.application().home);
    let owner = sign_in(app, OWNER).await;
    let link = async || {
        let page = owner.post(&format!("/account/providers/{id}/link"), &[]).await.text().await.unwrap();
        let url = page.split("url=").nth(1).unwrap().split('"').next().unwrap().replace("&amp;", "&").replace("&#38;", "&");
        let back = decide(&owner, &url, &account, "accept").await;
        owner.get(&back).await
    };
    ledger.change("GET /sign-in/callback/{provider} (link)", &["identity.link"], link).await;
    let visitor = app.stranger();
    let enter = async || {
        let url = location(&visitor.get(&format!("/sign-in/providers/{id}")).await);
        let back = decide(&visitor, &url, &account, "accept").await;
        visitor.get(&back).await
    };
    ledger.change("GET /sign-in/callback/{provider}", &["session.begin"], enter).await;
    let page = owner.page("/account").await;
    let subject = page.split("name=\"subject\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    ledger.page(&owner, "POST /account/providers/{own}/unlink", &[&id.to_string()], &[("subject", &subject)], &["identity.unlink"]).await;
    ledger.page(&owner, "POST /settings/sign-in/{id}/remove", &[&id.to_string()], &[], &["sign_in_provider.remove"]).await;
    let (home, client) = (app.application().home.to_string(), app.application().client_id.to_string());
    let issuer = format!("{}{home}/v2.0", app.sim.url());
    let form = [("kind", "oidc"), ("name", "Other identity"), ("issuer", issuer.as_str()), ("client_id", &client), ("client_secret", &app.application().secret)];
    ledger.page(&owner, "POST /settings/sign-in", &[], &form, &["sign_in_provider.create"]).await;
}

async fn members(ledger: &mut Ledger<'_>) {
    let app = ledger.app;
    let owner = sign_in(app, OWNER).await;
    let form = [("email", "tech@halden.example"), ("role", "technician")];
    ledger.page(&owner, "POST /settings/members", &[], &form, &["member.invite"]).await;
    let id = invitation::list(&app.scope()).await.unwrap()[0].id.to_string();
    ledger.page(&owner, "POST /settings/invitations/{id}/withdraw", &[&id], &[], &["invitation.withdraw"]).await;
    let token = invitation::create(&app.scope(), "tech@halden.example", Role::Technician, None).await.unwrap();
    let person = app.stranger();
    let accept = [("password", PASSWORD)];
    ledger.page(&person, "POST /invitations/{token}", &[&token], &accept, &["member.join", "session.begin"]).await;
    let tech = member::by_email(&app.db, "tech@halden.example").await.unwrap().unwrap().id.to_string();
    let role = [("role", "auditor"), ("limited", "")];
    ledger.page(&owner, "POST /settings/members/{id}", &[&tech], &role, &["member.change"]).await;
    ledger.page(&owner, "POST /settings/members/{id}/remove", &[&tech], &[], &["member.remove"]).await;
    let invited = json!({ "email": "by.api@halden.example", "role": "viewer" });
    ledger.api("POST /api/v1/invitations", &[], invited, &["member.invite"]).await;
    let open = invitation::list(&app.scope()).await.unwrap();
    let id = open.iter().find(|one| one.email == "by.api@halden.example").unwrap().id.to_string();
    ledger.api("DELETE /api/v1/invitations/{id}", &[&id], json!({}), &["invitation.withdraw"]).await;
    let other = member::create(&app.scope(), "other@halden.example", "x", Role::Viewer).await.unwrap().to_string();
    ledger.api("PATCH /api/v1/members/{id}", &[&other], json!({ "role": "auditor" }), &["member.change"]).await;
    ledger.api("DELETE /api/v1/members/{id}", &[&other], json!({}), &["member.remove"]).await;
    ledger.api("PATCH /api/v1/organisation", &[], json!({ "contact": "api@halden.example" }), &["partner.edit"]).await;
    let required = [("is_required", "yes")];
    ledger.page(&owner, "POST /settings/second-factor", &[], &required, &["partner.require_factor"]).await;
    model::partner::require_factor(&app.scope(), false).await.unwrap();
    let name = [("name", "Halden MSP Group"), ("contact", "help@halden.example")];
    ledger.page(&owner, "POST /settings/organisation", &[], &name, &["partner.edit"]).await;
}

async fn credentials(ledger: &mut Ledger<'_>) {
    let app = ledger.app;
    let owner = sign_in(app, OWNER).await;
    let application = &app.sim.world().applications[1];
    let (home, client) = (application.home.to_string(), application.client_id.to_string());
    let form = [
        ("kind", "single_tenant"),
        ("name", "By page"),
        ("cloud", "custom"),
        ("directory_id", home.as_str()),
        ("client_id", &client),
        ("proof", "secret"),
        ("client_secret", &application.secret),
    ];
    let made = ledger.page(&owner, &format!("POST {ENTRA}/credentials"), &[], &form, &["credential.create"]).await;
    let paged = location(&made).split("/credentials/").nth(1).unwrap()[..36].to_owned();
    let edit = [
        ("name", "By page, renamed"),
        ("cloud", "custom"),
        ("directory_id", home.as_str()),
        ("client_id", &client),
        ("feature", "mfa"),
        ("feature", "mail"),
        ("sync_interval", "60"),
    ];
    ledger.page(&owner, &format!("POST {ENTRA}/credentials/{{id}}"), &[&paged], &edit, &["credential.edit"]).await;
    let mail = [("mail_from", "contact@haldenmsp.example"), ("mail_to", "inbox@elsewhere.example"), ("action", "save")];
    ledger.page(&owner, &format!("POST {ENTRA}/credentials/{{id}}/mail"), &[&paged], &mail, &["credential.mail"]).await;
    ledger.page(&owner, &format!("POST {ENTRA}/credentials/{{id}}/tests"), &[&paged], &[], &["credential.test"]).await;
    tested(app).await;
    ledger.page(&owner, &format!("POST {ENTRA}/credentials/{{id}}/revoke"), &[&paged], &[], &["credential.revoke"]).await;
    ledger.page(&owner, &format!("POST {ENTRA}/credentials/{{id}}/delete"), &[&paged], &[("name", "By page, renamed")], &["credential.delete"]).await;
}

/// By the API: another credential, its tenants and links, and the companies that they are mapped to.
async fn connections(ledger: &mut Ledger<'_>) {
    let app = ledger.app;
    let application = app.application();
    let new = json!({
        "name": "Main", "cloud": "custom", "directory_id": application.home, "client_id": application.client_id,
        "client_secret": application.secret,
    });
    let made = ledger.api("POST /api/v1/credentials", &[], new, &["credential.create"]).await;
    let id = text(&made, "id");
    let id = id.as_str();
    ledger.api("PATCH /api/v1/credentials/{id}", &[id], json!({ "sync_interval_minutes": 720 }), &["credential.edit"]).await;
    ledger.api("POST /api/v1/credentials/{id}/tests", &[id], json!({}), &["credential.test"]).await;
    tested(app).await;
    app.sim.grant(application.home, application.client_id);
    let route = "POST /api/v1/credentials/{id}/discoveries";
    ledger.api(route, &[id], json!({ "source": "domains", "domains": ["aozora.example"] }), &["tenant.discover"]).await;
    let owner = sign_in(app, OWNER).await;
    let route = format!("POST {ENTRA}/credentials/{{id}}/discoveries");
    let form = [("source", "domains"), ("domains", "domain\nnorgaard.example")];
    ledger.page(&owner, &route, &[id], &form, &["tenant.discover"]).await;

    // Secrets: one that waits is made, used, removed.
    let route = "POST /api/v1/credentials/{id}/secrets";
    ledger.api(route, &[id], json!({ "make_certificate": true }), &["credential.certificate"]).await;
    let waits = async || {
        let all = app.get(&format!("/credentials/{id}/secrets")).await;
        text(all.as_array().unwrap().iter().find(|s| s["state"] == "pending").unwrap(), "id")
    };
    let pending = waits().await;
    let route = format!("POST {ENTRA}/credentials/{{id}}/secrets/{{object}}/remove");
    ledger.page(&owner, &route, &[id, &pending], &[], &["credential.secret.remove"]).await;
    let route = format!("POST {ENTRA}/credentials/{{id}}/secrets");
    ledger.page(&owner, &route, &[id], &[("proof", "new")], &["credential.certificate"]).await;
    let pending = waits().await;
    let uploaded = async |pending: &str| {
        let path = format!("{ENTRA}/credentials/{id}/secrets/{pending}/certificate.cer");
        let file = owner.get(&path).await.text().await.unwrap();
        let body: String = file.lines().filter(|line| !line.starts_with('-')).collect();
        app.sim.add_certificate(0, &data_encoding::BASE64.decode(body.as_bytes()).unwrap());
    };
    uploaded(&pending).await;
    let route = "POST /api/v1/credentials/{id}/secrets/{secret_id}/use";
    ledger.api(route, &[id, &pending], json!({}), &["credential.renew"]).await;
    app.post(&format!("/credentials/{id}/secrets"), json!({ "make_certificate": true })).await;
    let pending = waits().await;
    uploaded(&pending).await;
    let route = format!("POST {ENTRA}/credentials/{{id}}/secrets/{{object}}/use");
    ledger.page(&owner, &route, &[id, &pending], &[], &["credential.renew"]).await;

    // Links for administrators, and consent.
    let link = json!({ "credential_id": id, "company_name": "Somebody" });
    let made = ledger.api("POST /api/v1/consent-links", &[], link, &["consent_link.create"]).await;
    let (url, link) = (text(&made, "url"), text(&made, "id"));
    let token = url.rsplit('/').next().unwrap().to_owned();
    let administrator = app.stranger();
    ledger.page(&administrator, "POST /consent/links/{token}", &[&token], &[], &["consent.begin"]).await;
    ledger.api("DELETE /api/v1/consent-links/{id}", &[&link], json!({}), &["consent_link.withdraw"]).await;
    let route = format!("POST {ENTRA}/credentials/{{id}}/links");
    ledger.page(&owner, &route, &[id], &[("company_name", "Somebody else"), ("days", "30")], &["consent_link.create"]).await;
    let all = app.get(&format!("/consent-links?credential_id={id}")).await;
    let link = all["value"].as_array().unwrap().iter().find(|l| l["company_name"] == "Somebody else").map(|l| text(l, "id")).unwrap();
    let route = format!("POST {ENTRA}/credentials/{{id}}/links/{{object}}/withdraw");
    ledger.page(&owner, &route, &[id, &link], &[], &["consent_link.withdraw"]).await;
    let ask = json!({ "credential_id": id, "directory_id": app.directory("Contoso").id });
    ledger.api("POST /api/v1/consent-requests", &[], ask, &["consent.begin"]).await;
    let route = format!("POST {ENTRA}/credentials/{{id}}/consent");
    ledger.page(&owner, &route, &[id], &[], &["consent.begin"]).await;
    mappings(ledger, id).await;

    ledger.api("POST /api/v1/credentials/{id}/revoke", &[id], json!({}), &["credential.revoke"]).await;
    let unused = app.post(
        "/credentials",
        json!({
            "name": "Unused", "cloud": "custom", "directory_id": application.home,
            "client_id": uuid::Uuid::from_u128(77), "client_secret": application.secret,
        }),
    );
    let unused = text(&unused.await, "id");
    app.post(&format!("/credentials/{unused}/revoke"), json!({})).await;
    ledger.api("DELETE /api/v1/credentials/{id}", &[&unused], json!({}), &["credential.delete"]).await;
}

async fn mappings(ledger: &mut Ledger<'_>, credential: &str) {
    let app = ledger.app;
    let owner = sign_in(app, OWNER).await;
    let mut tenants = Vec::new();
    for name in ["Contoso", "Northwind", "Fabrikam"] {
        tenants.push(app.consent(credential, app.directory(name).id).await);
    }
    let company = ledger.api("POST /api/v1/companies", &[], json!({ "name": "By hand" }), &["company.create"]).await;
    let company = text(&company, "id");
    let route = "PATCH /api/v1/companies/{id}";
    ledger.api(route, &[&company], json!({ "domain": "hand.example" }), &["company.edit"]).await;
    ledger.page(&owner, "POST /companies", &[], &[("name", "By page")], &["company.create"]).await;
    let form = [("name", "By hand, renamed"), ("domain", ""), ("external_id", "7")];
    ledger.page(&owner, "POST /companies/{id}", &[&company], &form, &["company.edit"]).await;
    let csv = json!({ "csv": "name\nFrom the API\n" });
    ledger.api("POST /api/v1/company-imports", &[], csv, &["company.create"]).await;
    let form = [("text", "name\nFrom a file\n"), ("action", "import")];
    ledger.page(&owner, "POST /companies/import", &[], &form, &["company.create"]).await;

    let body = json!({ "tenant_id": tenants[0] });
    let mapped = ledger.api("POST /api/v1/mappings", &[], body, &["company.create", "mapping.create", "run.request", "run.request"]).await;
    let mapping = text(&mapped, "id");
    let body = json!({ "sync_interval_minutes": 60 });
    ledger.api("PATCH /api/v1/mappings/{id}", &[&mapping], body, &["mapping.interval"]).await;
    let route = format!("POST {ENTRA}/mappings/{{id}}/interval");
    ledger.page(&owner, &route, &[&mapping], &[("minutes", "")], &["mapping.interval"]).await;
    let body = json!({ "company_id": company });
    let moved = ledger.api("POST /api/v1/mappings/{id}/remap", &[&mapping], body, &["mapping.create", "run.request", "run.request", "mapping.remap"]).await;
    let first = text(&mapped, "company_id");
    let route = format!("POST {ENTRA}/mappings/{{id}}/remap");
    ledger
        .page(&owner, &route, &[&text(&moved, "id")], &[("company_id", &first)], &["mapping.create", "run.request", "run.request", "mapping.remap"])
        .await;
    ledger.api("DELETE /api/v1/mappings/{id}", &[&mapping], json!({}), &["mapping.delete"]).await;
    let (name, choice) = (format!("name.{}", tenants[1]), format!("choice.{}", tenants[1]));
    let form = [("credential", credential), ("tenant", tenants[1].as_str()), (&name, "Northwind"), (&choice, "create")];
    let route = format!("POST {ENTRA}/mappings/import");
    ledger.page(&owner, &route, &[], &form, &["company.create", "mapping.create", "run.request", "run.request"]).await;
    let matching = format!("{ENTRA}/mappings/match");
    let form = [("credential", credential), ("company", "By hand, renamed"), ("tenant", app.directory("Fabrikam").domain.as_str()), ("action", "add")];
    let page = owner.post(&matching, &form).await.text().await.unwrap();
    let pair = page.split("name=\"pair\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let form = [("credential", credential), ("pair", pair.as_str()), ("action", "finish")];
    ledger.page(&owner, &format!("POST {matching}"), &[], &form, &["mapping.create", "run.request", "run.request"]).await;
    let all = app.get("/mappings").await;
    let id_of = |tenant: &str| {
        let all = all["value"].as_array().unwrap();
        all.iter().find(|m| m["tenant_id"] == tenant).map(|m| (text(m, "id"), text(m, "company_id"))).unwrap()
    };
    let (northwind, northwind_company) = id_of(&tenants[1]);
    let (fabrikam, _) = id_of(&tenants[2]);
    runs(ledger, &northwind, &northwind_company, &fabrikam).await;
    ledger.page(&owner, &format!("POST {ENTRA}/mappings/{{id}}/delete"), &[&fabrikam], &[], &["mapping.delete"]).await;
    ledger.page(&owner, "POST /companies/{id}/archive", &[&company], &[], &["company.archive"]).await;
    let other = text(&app.post("/companies", json!({ "name": "In vain" })).await, "id");
    ledger.api("DELETE /api/v1/companies/{id}", &[&other], json!({}), &["company.archive"]).await;
}

/// Runs are asked for and cancelled, and falls confirmed; nothing works on them meanwhile.
async fn runs(ledger: &mut Ledger<'_>, mapping: &str, company: &str, other: &str) {
    let app = ledger.app;
    let owner = sign_in(app, OWNER).await;
    let cancel_all = async || {
        for run in app.all("/runs?state=queued").await {
            app.api("POST", &format!("/runs/{}/cancel", text(&run, "id")), Some(json!({}))).await;
        }
    };
    cancel_all().await;
    let asked = ledger.api("POST /api/v1/runs", &[], json!({ "mapping_id": mapping, "kind": "directory" }), &["run.request"]).await;
    let run = text(&asked["value"][0], "id");
    ledger.api("POST /api/v1/runs/{id}/cancel", &[&run], json!({}), &["run.cancel"]).await;
    ledger.api("POST /api/v1/runs/{id}/retry", &[&run], json!({}), &["run.request"]).await;
    cancel_all().await;
    ledger.page(&owner, "POST /jobs/{id}/retry", &[&run], &[], &["run.request"]).await;
    let queued = text(&app.all("/runs?state=queued").await[0], "id");
    ledger.page(&owner, "POST /jobs/{id}/cancel", &[&queued], &[], &["run.cancel"]).await;
    let both = ["run.request", "run.request"];
    ledger.page(&owner, "POST /jobs", &[], &[("company", company)], &both).await;
    cancel_all().await;
    ledger.page(&owner, "POST /companies/{id}/runs", &[company], &[], &both).await;
    cancel_all().await;
    ledger.page(&owner, &format!("POST {ENTRA}/mappings/{{id}}/runs"), &[mapping], &[], &both).await;
    cancel_all().await;
    let _ = other;
}

/// A fall of a collection, which somebody confirms.
async fn confirmations(ledger: &mut Ledger<'_>, company: &str, mapping: &str) {
    let app = ledger.app;
    let owner = sign_in(app, OWNER).await;
    let holds = app.get(&format!("/companies/{company}/holds")).await;
    let names: Vec<String> = holds["value"].as_array().unwrap().iter().map(|h| text(h, "name")).collect();
    assert!(names.len() >= 2, "{holds}");
    let route = "POST /api/v1/mappings/{id}/confirmations";
    let rows = ["collection.confirm", "run.request"];
    ledger.api(route, &[mapping], json!({ "name": names[0] }), &rows).await;
    for run in app.all("/runs?state=queued").await {
        app.post(&format!("/runs/{}/cancel", text(&run, "id")), json!({})).await;
    }
    let form = [("mapping", mapping), ("name", names[1].as_str())];
    ledger.page(&owner, "POST /companies/{id}/confirmations", &[company], &form, &rows).await;
    let application = &app.sim.world().applications[2];
    let delegated = app.post(
        "/credentials",
        json!({
            "kind": "delegated", "name": "Delegated", "cloud": "custom", "directory_id": application.home,
            "client_id": application.client_id, "client_secret": application.secret,
        }),
    );
    let delegated = text(&delegated.await, "id");
    let route = format!("POST {ENTRA}/credentials/{{id}}/authorisations");
    ledger.page(&owner, &route, &[&delegated], &[], &["authorisation.begin"]).await;
}

/// Intakes, by the API and by pages.
async fn intakes(ledger: &mut Ledger<'_>) {
    let owner = sign_in(ledger.app, OWNER).await;
    let body = json!({ "name": "SIEM", "url": "http://127.0.0.1:9/", "token": "x" });
    let one = text(&ledger.api("POST /api/v1/intakes", &[], body, &["intake.create"]).await, "id");
    ledger.api("PATCH /api/v1/intakes/{id}", &[&one], json!({ "is_on": false }), &["intake.pause"]).await;
    ledger.api("POST /api/v1/intakes/{id}/full-passes", &[&one], json!({}), &["intake.send_again"]).await;
    ledger.api("DELETE /api/v1/intakes/{id}", &[&one], json!({}), &["intake.remove"]).await;
    let form = [("name", "Other"), ("url", "http://127.0.0.1:9/"), ("scheme", "Bearer"), ("token", "x"), ("class", "user_inventory")];
    let made = ledger.page(&owner, "POST /settings/exports", &[], &form, &["intake.create"]).await;
    let other = location(&made).rsplit('/').next().unwrap().to_owned();
    for (word, action) in [("pause", "intake.pause"), ("resume", "intake.resume"), ("full-passes", "intake.send_again"), ("remove", "intake.remove")] {
        ledger.page(&owner, &format!("POST /settings/exports/{{id}}/{word}"), &[&other], &[], &[action]).await;
    }
}

/// Alerts that somebody deals with, channels, and assessments of two people.
async fn oversight(ledger: &mut Ledger<'_>, company: &str) {
    let app = ledger.app;
    let owner = sign_in(app, OWNER).await;
    let alerts = app.all("/alerts?state=open").await;
    assert!(!alerts.is_empty(), "nothing is open");
    let alert = text(&alerts[0], "id");
    ledger.page(&owner, "POST /alerts/{id}", &[&alert], &[("action", "acknowledge")], &["alert.acknowledge"]).await;
    ledger.page(&owner, "POST /alerts", &[], &[("alert", &alert), ("action", "resolve")], &["alert.resolve"]).await;
    ledger.api("PATCH /api/v1/alerts/{id}", &[&alert], json!({ "state": "open" }), &["alert.reopen"]).await;

    let settings = json!({ "kind": "webhook", "url": "http://127.0.0.1:9/" });
    let body = json!({ "name": "Hook", "settings": settings });
    let channel = text(&ledger.api("POST /api/v1/channels", &[], body, &["channel.create"]).await, "id");
    ledger.api("PATCH /api/v1/channels/{id}", &[&channel], json!({ "digest_hour": 6 }), &["channel.edit"]).await;
    ledger.page(&owner, "POST /settings/notifications/{id}", &[&channel], &[("least_severity", "critical")], &["channel.edit"]).await;
    ledger.page(&owner, "POST /settings/notifications/{id}/tests", &[&channel], &[], &["channel.test"]).await;
    let delivery = text(&ledger.api("POST /api/v1/channels/{id}/tests", &[&channel], json!({}), &["channel.test"]).await, "id");
    let give_up = async || match app.db.owner_pool() {
        Pool::Sqlite(pool) => drop(sqlx::query("UPDATE deliveries SET state = 'failed'").execute(&pool).await.unwrap()),
        Pool::Postgres(pool) => drop(sqlx::query("UPDATE deliveries SET state = 'failed'").execute(&pool).await.unwrap()),
    };
    give_up().await;
    let route = "POST /settings/notifications/{id}/deliveries/{object}/resend";
    ledger.page(&owner, route, &[&channel, &delivery], &[], &["delivery.resend"]).await;
    give_up().await;
    let route = "POST /api/v1/channels/{id}/deliveries/{delivery_id}/retry";
    ledger.api(route, &[&channel, &delivery], json!({}), &["delivery.resend"]).await;
    ledger.page(&owner, "POST /settings/notifications/{id}/remove", &[&channel], &[], &["channel.remove"]).await;
    let form = [("kind", "smtp"), ("name", "Mail"), ("host", "127.0.0.1"), ("port", "25"), ("security", "none"), ("from", "a@halden.example"), ("to", "b@halden.example")];
    let made = ledger.page(&owner, "POST /settings/notifications", &[], &form, &["channel.create"]).await;
    let mail = location(&made).rsplit('/').next().unwrap().to_owned();
    ledger.api("DELETE /api/v1/channels/{id}", &[&mail], json!({}), &["channel.remove"]).await;

    let smtp = json!({ "kind": "smtp", "host": "127.0.0.1", "port": 9, "security": "none", "from": "a@halden.example", "to": ["b@halden.example"] });
    let mail = text(&app.post("/channels", json!({ "name": "Mail", "settings": smtp })).await, "id");
    let form = [("channel", mail.as_str()), ("recipients", "boss@contoso.example"), ("day", "2")];
    ledger.page(&owner, "POST /companies/{id}/reports/schedules", &[company], &form, &["report_schedule.create"]).await;
    let page = owner.page(&format!("/companies/{company}/reports")).await;
    let schedule = page.split("/reports/schedules/").nth(1).unwrap()[..36].to_owned();
    let route = "POST /companies/{id}/reports/schedules/{object}/remove";
    ledger.page(&owner, route, &[company, &schedule], &[], &["report_schedule.remove"]).await;
    let body = json!({ "channel_id": mail, "recipients": ["boss@contoso.example"], "day": 3 });
    let schedule = text(&ledger.api("POST /api/v1/companies/{id}/report-schedules", &[company], body, &["report_schedule.create"]).await, "id");
    let route = "DELETE /api/v1/companies/{id}/report-schedules/{schedule_id}";
    ledger.api(route, &[company, &schedule], json!({}), &["report_schedule.remove"]).await;
    let body = json!({ "is_on": true, "channel_id": mail, "recipient": "api@halden.example" });
    ledger.api("PUT /api/v1/contact-form", &[], body, &["contact_form.edit"]).await;
    intakes(ledger).await;
    ledger.page(&owner, "POST /settings/organisation/brand", &[], &[("colour", "#aa0000")], &["brand.edit"]).await;
    let form = [("channel", mail.as_str()), ("recipient", "contact@halden.example"), ("is_on", "yes")];
    ledger.page(&owner, "POST /settings/contact-form", &[], &form, &["contact_form.edit"]).await;
    let page = owner.page("/settings/contact-form").await;
    let slug = page.split("/contact/").nth(1).unwrap()[..22].to_owned();
    let form = [("name", "Ada"), ("email", "ada@example.com"), ("text", "Hello")];
    let visitor = app.stranger();
    ledger.page(&visitor, "POST /contact/{token}", &[&slug], &form, &["contact_form.message"]).await;

    let now = app.clock.now();
    let (from, to) = (now.plus_minutes(-10 * 24 * 60).day(), now.day());
    let body = json!({ "company_id": company, "name": "By the API", "catalogue": "soc2", "from": from, "to": to });
    let first = text(&ledger.api("POST /api/v1/assessments", &[], body, &["assessment.create"]).await, "id");
    ledger.api("POST /api/v1/assessments/{id}/evidence", &[&first], json!({}), &["assessment.attach"]).await;
    let form = [("company", company), ("name", "By page"), ("control", "CC6.1"), ("from", from.as_str()), ("to", &to)];
    crate::evidence::colleague(app, "auditor@halden.example", Role::Auditor).await;
    let auditor = sign_in(app, "auditor@halden.example").await;
    let made = ledger.page(&auditor, "POST /assessments", &[], &form, &["assessment.create"]).await;
    let second = location(&made).rsplit('/').next().unwrap().to_owned();
    ledger.page(&auditor, "POST /assessments/{id}/evidence", &[&second], &[], &["assessment.attach"]).await;
    let whole = app.get(&format!("/assessments/{second}")).await;
    let off = text(&whole["evidence"][0], "evidence_id");
    let form = [("control", "CC6.1"), ("evidence", off.as_str())];
    ledger.page(&auditor, "POST /assessments/{id}/evidence/remove", &[&second], &form, &["assessment.detach"]).await;
    let whole = app.get(&format!("/assessments/{first}")).await;
    let (control, off) = (text(&whole["evidence"][0], "control"), text(&whole["evidence"][0], "evidence_id"));
    let route = "DELETE /api/v1/assessments/{id}/evidence/{control}/{evidence_id}";
    ledger.api(route, &[&first, &control, &off], json!({}), &["assessment.detach"]).await;
    // Each approves what the other gathered.
    ledger.page(&auditor, "POST /assessments/{id}/approve", &[&first], &[("note", "Seen")], &["assessment.approve"]).await;
    ledger.api("POST /api/v1/assessments/{id}/approval", &[&second], json!({}), &["assessment.approve"]).await;
    for (route, by_page) in [("POST /assessments/{id}/delete", true), ("DELETE /api/v1/assessments/{id}", false)] {
        let body = json!({ "company_id": company, "name": "In vain", "catalogue": "soc2", "from": from, "to": to });
        let id = text(&app.post("/assessments", body).await, "id");
        match by_page {
            true => drop(ledger.page(&owner, route, &[&id], &[], &["assessment.delete"]).await),
            false => drop(ledger.api(route, &[&id], json!({}), &["assessment.delete"]).await),
        }
    }
}

async fn fallen(database: Database) -> (TestApp, String, String) {
    let mut app = TestApp::start(database).await;
    let (company, mapping) = app.connected("Fabrikam").await;
    app.drain().await;
    app.sim.remove_users(app.directory("Fabrikam").id, 80);
    crate::evidence::statements(&app, &company, 5).await;
    assert_eq!(app.sync(&mapping, "directory").await["state"], "partial");
    for _ in 0..100 {
        if !app.all("/alerts?kind=removal_held").await.is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    app.stop_worker().await;
    (app, company, mapping)
}

#[test]
fn every_change_leaves_its_row_or_nothing_at_all() {
    run(|| async {
        let databases = [Some(Database::Sqlite), postgres_server().map(Database::Postgres)];
        for database in databases.into_iter().flatten() {
            let (app, company, mapping) = fallen(database.clone()).await;
            let mut ledger = Ledger { app: &app, seen: BTreeSet::new() };
            confirmations(&mut ledger, &company, &mapping).await;
            oversight(&mut ledger, &company).await;
            let seen = ledger.seen;
            let app = TestApp::start_with(database, licensed(World::demo(secret())), false).await;
            let mut ledger = Ledger { app: &app, seen };
            people(&mut ledger).await;
            credentials(&mut ledger).await;
            connections(&mut ledger).await;
            let all: BTreeSet<String> =
                TABLE.iter().filter(|(method, ..)| *method != "get").map(|(method, path, _)| format!("{} {path}", method.to_uppercase())).collect();
            let exempt = NO_CHANGE.iter().map(|(route, _)| (*route).to_owned()).collect();
            let left: Vec<_> = all.difference(&ledger.seen).filter(|r| !BTreeSet::contains(&exempt, *r)).collect();
            assert!(left.is_empty(), "not driven: {left:#?}");
            println!("B14: {} changes, each with its rows, and none without", ledger.seen.len());
        }
    });
}
