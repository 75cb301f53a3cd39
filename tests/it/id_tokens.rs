//! What providers say of who signs in, forged in every way that is known: each opens no session, though
//! the account that it names is linked and the browser is the one that began.

use model::{ProviderKind, SignInProviderId, sign_in_provider};
use serde_json::{Value, json};
use sim::{Forgery, Signature};
use uuid::Uuid;

use crate::{
    app::{Browser, OWNER, TestApp, location},
    consent_flow::decide,
    on_both,
    sign_in::{provider, sign_in},
};

/// The same directory as any OpenID provider.
async fn generic(app: &TestApp) -> SignInProviderId {
    let application = app.application();
    let draft = sign_in_provider::Draft {
        kind: ProviderKind::Oidc,
        name: "By metadata".into(),
        cloud: String::new(),
        directory: None,
        issuer: format!("{}{}/v2.0", app.sim.url(), application.home),
        client_id: application.client_id.to_string(),
        client_secret: keys::Secret::new(application.secret.clone()),
        is_listed: true,
    };
    sign_in_provider::create(&app.scope(), &app.connection.keyring, &draft)
        .await
        .unwrap()
}

async fn link(app: &TestApp, owner: &Browser, id: SignInProviderId) {
    let page = owner
        .post(&format!("/account/providers/{id}/link"), &[])
        .await;
    let page = page.text().await.unwrap();
    let (_, rest) = page.split_once("url=").unwrap();
    let url = rest.split('"').next().unwrap();
    let url = url.replace("&amp;", "&").replace("&#38;", "&");
    let back = decide(owner, &url, &account(app), "accept").await;
    assert_eq!(location(&owner.get(&back).await), "/account?done=linked");
}

fn account(app: &TestApp) -> String {
    format!("{}/admin", app.application().home)
}

/// Signs in; what the browser is told, and whether it has a session then.
async fn attempt(app: &TestApp, id: SignInProviderId) -> (u16, String, bool) {
    let visitor = app.stranger();
    let url = location(
        &visitor
            .get(&format!("/sign-in/providers/{id}?next=/companies"))
            .await,
    );
    let back = decide(&visitor, &url, &account(app), "accept").await;
    let answer = visitor.get(&back).await;
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    (status, text, visitor.get("/account").await.status() == 200)
}

/// For which kind of provider a forgery is one.
#[derive(Clone, Copy, PartialEq)]
enum For {
    Both,
    Entra,
    Oidc,
}

fn header(head: Value, signature: Signature) -> Forgery {
    let claims = Value::Null;
    Forgery {
        head,
        claims,
        signature,
        second_issuer: None,
    }
}

fn claim(claims: Value) -> Forgery {
    Forgery {
        claims,
        ..Forgery::default()
    }
}

fn forgeries(app: &TestApp) -> Vec<(&'static str, For, Forgery)> {
    use For::{Both, Entra, Oidc};
    use Signature::{
        Before, BitFlipped, Empty, Foreign, PublicKeyAsSecret, Right, SecondKey, Swapped, TwoParts,
    };
    let root = app.sim.url();
    let home = app.application().home;
    let other = app
        .sim
        .world()
        .directories
        .iter()
        .find(|d| d.id != home)
        .unwrap()
        .id;
    let personal = "9188040d-6c67-4c5b-b112-36a304b66dad";
    let client = app.application().client_id;
    let second = |signature, issuer: &str| Forgery {
        signature,
        second_issuer: Some(format!("{root}{issuer}/v2.0")),
        ..Forgery::default()
    };
    let stranger = Uuid::from_u128(7);
    vec![
        (
            "no algorithm",
            Both,
            header(json!({ "alg": "none" }), Empty),
        ),
        (
            "no algorithm, in capitals",
            Both,
            header(json!({ "alg": "NONE" }), Empty),
        ),
        (
            "no algorithm, in both",
            Both,
            header(json!({ "alg": "nOnE" }), Right),
        ),
        (
            "no algorithm, two parts",
            Both,
            header(json!({ "alg": "none" }), TwoParts),
        ),
        (
            "the public key as a secret",
            Both,
            header(json!({ "alg": "HS256" }), PublicKeyAsSecret),
        ),
        (
            "the public key as a secret, said to be RSA",
            Both,
            header(json!({}), PublicKeyAsSecret),
        ),
        (
            "a key of a path",
            Both,
            header(
                json!({ "alg": "HS256", "kid": "../../../dev/null" }),
                PublicKeyAsSecret,
            ),
        ),
        (
            "another algorithm of the family",
            Both,
            header(json!({ "alg": "RS384" }), Right),
        ),
        (
            "a padding that is not accepted",
            Both,
            header(json!({ "alg": "PS256" }), Right),
        ),
        (
            "a curve that the key is not on",
            Both,
            header(json!({ "alg": "ES256" }), Right),
        ),
        (
            "an extension that must be understood",
            Both,
            header(json!({ "crit": ["b64"], "b64": false }), Right),
        ),
        (
            "a foreign key under the right name",
            Both,
            header(json!({}), Foreign),
        ),
        (
            "a foreign key, by address",
            Both,
            header(json!({ "jku": format!("{root}keys") }), Foreign),
        ),
        (
            "a foreign key, by certificate",
            Both,
            header(
                json!({ "x5u": format!("{root}keys"), "x5c": ["MIIB"] }),
                Foreign,
            ),
        ),
        (
            "a foreign key, brought along",
            Both,
            header(
                json!({ "jwk": { "kty": "RSA", "n": "AQAB", "e": "AQAB" } }),
                Foreign,
            ),
        ),
        (
            "a key of another name",
            Both,
            header(json!({ "kid": "sim-key-9" }), Right),
        ),
        (
            "a key without a name",
            Both,
            header(json!({ "kid": null }), Right),
        ),
        (
            "the second key under the first one's name",
            Both,
            second(Swapped, "{tenantid}"),
        ),
        ("no signature", Both, header(json!({}), Empty)),
        ("two parts", Both, header(json!({}), TwoParts)),
        (
            "one bit of the signature",
            Both,
            header(json!({}), BitFlipped),
        ),
        (
            "claims that came after the signature",
            Both,
            Forgery {
                signature: Before,
                ..claim(json!({ "name": "x" }))
            },
        ),
        (
            "another's issuer",
            Both,
            claim(json!({ "iss": "https://evil.example/v2.0" })),
        ),
        (
            "the issuer with a slash",
            Both,
            claim(json!({ "iss": format!("{root}{home}/v2.0/") })),
        ),
        (
            "the issuer in capitals",
            Both,
            claim(json!({ "iss": format!("{root}{home}/V2.0") })),
        ),
        (
            "another directory's issuer",
            Both,
            claim(json!({ "iss": format!("{root}{other}/v2.0") })),
        ),
        ("no issuer", Both, claim(json!({ "iss": null }))),
        (
            "another directory, rightly signed",
            Both,
            claim(json!({ "iss": format!("{root}{other}/v2.0"), "tid": other })),
        ),
        (
            "another directory's id alone",
            Entra,
            claim(json!({ "tid": other })),
        ),
        ("no directory", Entra, claim(json!({ "tid": null }))),
        (
            "a personal account",
            Entra,
            claim(json!({ "iss": format!("{root}{personal}/v2.0"), "tid": personal })),
        ),
        // What Storm-0558 did in 2023: the key of personal accounts signed for a company's directory.
        (
            "the key of personal accounts",
            Entra,
            second(SecondKey, personal),
        ),
        (
            "the key of another directory",
            Entra,
            second(SecondKey, &other.to_string()),
        ),
        (
            "another application",
            Both,
            claim(json!({ "aud": Uuid::from_u128(9) })),
        ),
        (
            "several applications, for none of them",
            Both,
            claim(json!({ "aud": [client, Uuid::from_u128(9)] })),
        ),
        (
            "several applications, for another",
            Both,
            claim(json!({ "aud": [client, Uuid::from_u128(9)], "azp": Uuid::from_u128(9) })),
        ),
        ("no application", Both, claim(json!({ "aud": null }))),
        ("long past", Both, claim(json!({ "exp": 1 }))),
        (
            "past by more than clocks differ",
            Both,
            claim(json!({ "exp": app.clock.now().0 / 1000 - 301 })),
        ),
        (
            "the least of all times",
            Both,
            claim(json!({ "exp": i64::MIN })),
        ),
        ("no end", Both, claim(json!({ "exp": null }))),
        (
            "an end in words",
            Both,
            claim(json!({ "exp": "9999999999" })),
        ),
        (
            "not yet",
            Both,
            claim(json!({ "nbf": app.clock.now().0 / 1000 + 400 })),
        ),
        ("never", Both, claim(json!({ "nbf": i64::MAX }))),
        (
            "issued tomorrow",
            Oidc,
            claim(json!({ "iat": app.clock.now().0 / 1000 + 86_400 })),
        ),
        ("another's nonce", Both, claim(json!({ "nonce": "x" }))),
        ("no nonce", Both, claim(json!({ "nonce": null }))),
        ("an empty nonce", Both, claim(json!({ "nonce": "" }))),
        ("an older form", Entra, claim(json!({ "ver": "1.0" }))),
        ("nobody", Entra, claim(json!({ "oid": null }))),
        ("nobody", Oidc, claim(json!({ "sub": null }))),
        ("nobody, said", Oidc, claim(json!({ "sub": "" }))),
        (
            "a name without end",
            Oidc,
            claim(json!({ "sub": "x".repeat(256) })),
        ),
        // Rightly signed: somebody else, who says that they have the owner's address.
        (
            "the owner's address and another's id",
            Both,
            claim(json!({
                "oid": stranger, "sub": stranger, "email": OWNER, "preferred_username": OWNER, "email_verified": true, "upn": OWNER,
            })),
        ),
    ]
}

on_both! {
    async fn no_forged_id_token_opens_a_session(app) {
        let owner = sign_in(&app, OWNER).await;
        let providers = [(For::Entra, provider(&app).await), (For::Oidc, generic(&app).await)];
        let mut tried = 0;
        for (kind, id) in providers {
            link(&app, &owner, id).await;
            let (status, text, has_session) = attempt(&app, id).await;
            assert!(status == 303 && has_session, "the right token: {status} {text}");
            for (name, applies, forgery) in forgeries(&app) {
                if applies != For::Both && applies != kind {
                    continue;
                }
                app.sim.forge(Some(forgery));
                let (status, text, has_session) = attempt(&app, id).await;
                app.sim.forge(None);
                assert!(!has_session, "{name}: a session");
                assert_eq!(status, 422, "{name}: {text}");
                tried += 1;
            }
            let (.., has_session) = attempt(&app, id).await;
            assert!(has_session, "the right token is still one");
        }
        println!("B22: {tried} forged id tokens of two kinds of provider, and no session");
    }
}
