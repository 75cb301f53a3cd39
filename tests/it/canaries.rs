//! Secrets are where they belong and nowhere else: after a day's work of the real program every byte
//! that it wrote, said or answered is searched for each of them, in every form in which text is carried.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use portal::routes::{Access, TABLE};
use serde_json::json;
use sim::World;

use crate::{
    app::{Browser, Database, PASSWORD, TestApp, licensed, run, text},
    hardening::data_key,
    rig::{Installation, is_over},
};

/// The forms in which a secret may be carried.
fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    use data_encoding::{BASE32_NOPAD, BASE64_NOPAD, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};
    let mut forms = vec![
        secret.to_vec(),
        HEXLOWER.encode(secret).into_bytes(),
        HEXUPPER.encode(secret).into_bytes(),
        BASE32_NOPAD.encode(secret).into_bytes(),
        url::form_urlencoded::byte_serialize(secret)
            .collect::<String>()
            .into_bytes(),
    ];
    // Inside of something longer base64 begins at one of three places; what depends on the neighbours
    // is left out.
    for before in 0..3_usize {
        let padded = [&vec![0; before][..], secret].concat();
        for encoding in [BASE64_NOPAD, BASE64URL_NOPAD] {
            let whole = encoding.encode(&padded);
            let from = if before == 0 { 0 } else { 4 };
            let to = whole.len() - whole.len() % 4;
            let to = if padded.len() % 3 == 0 {
                whole.len()
            } else {
                to.min(padded.len() / 3 * 4)
            };
            forms.push(whole.as_bytes()[from..to].to_vec());
        }
    }
    if let Ok(text) = std::str::from_utf8(secret) {
        forms.push(text.encode_utf16().flat_map(u16::to_le_bytes).collect());
        forms.push(text.encode_utf16().flat_map(u16::to_be_bytes).collect());
        forms.push(
            serde_json::to_string(text)
                .unwrap()
                .trim_matches('"')
                .into(),
        );
    }
    forms.sort_unstable();
    forms.dedup();
    forms.retain(|form| form.len() >= 10);
    forms
}

/// Secrets by name. A form of one of them may be looked for in many bytes.
struct Canaries(Vec<(String, Vec<Vec<u8>>)>);

impl Canaries {
    fn new() -> Self {
        Self(Vec::new())
    }

    fn add(&mut self, name: &str, secret: impl AsRef<[u8]>) {
        let secret = secret.as_ref();
        assert!(secret.len() >= 10, "{name} is too short to look for");
        self.0.push((name.to_owned(), forms(secret)));
    }

    /// The names of those that are in these bytes.
    fn found_in(&self, bytes: &[u8]) -> Vec<&str> {
        // One pass: the first eight bytes of each form lead to it.
        let mut heads: BTreeMap<[u8; 8], Vec<(&str, &[u8])>> = BTreeMap::new();
        let mut firsts = [false; 65_536];
        for (name, forms) in &self.0 {
            for form in forms {
                let head: [u8; 8] = form[..8].try_into().unwrap();
                firsts[usize::from(u16::from_be_bytes([form[0], form[1]]))] = true;
                heads.entry(head).or_default().push((name, form));
            }
        }
        let mut found = Vec::new();
        for (at, window) in bytes.windows(8).enumerate() {
            if !firsts[usize::from(u16::from_be_bytes([window[0], window[1]]))] {
                continue;
            }
            let head: [u8; 8] = window.try_into().unwrap();
            for (name, form) in heads.get(&head).into_iter().flatten() {
                if bytes[at..].starts_with(form) {
                    found.push(*name);
                }
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files(&path, found),
            false => found.push(path),
        }
    }
}

fn between<'a>(page: &'a str, before: &str, after: char) -> &'a str {
    let (_, rest) = page
        .split_once(before)
        .unwrap_or_else(|| panic!("no {before}: {page}"));
    rest.split(after).next().unwrap()
}

fn visitor(rig: &Installation) -> Browser {
    let jar = std::sync::Arc::new(reqwest::cookie::Jar::default());
    let http = reqwest::Client::builder()
        .cookie_provider(jar.clone())
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    Browser {
        http,
        jar,
        url: rig.url(),
    }
}

/// What the credential's rows hold: sealed values and the wrapped keys of them.
fn sealed(rig: &Installation) -> Vec<Vec<u8>> {
    let db = rusqlite::Connection::open(rig.data().join("tenantry.db")).unwrap();
    let mut found = Vec::new();
    let mut statement = db
        .prepare("SELECT sealed, content_key FROM credential_secrets")
        .unwrap();
    let mut rows = statement.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        for column in 0..2 {
            found.extend(row.get::<_, Option<Vec<u8>>>(column).unwrap());
        }
    }
    found.retain(|bytes| bytes.len() >= 16);
    found
}

/// Every page, fragment, export and list of the portal and of the API, as the owner sees it.
async fn everything_shown(
    rig: &Installation,
    browser: &Browser,
    ids: &[(&str, String, String)],
) -> (usize, Vec<u8>) {
    let (mut bytes, mut pages) = (Vec::new(), 0);
    for (method, path, access) in TABLE {
        // Live pages do not end; signing out and what begins something new is no reading.
        let is_live = path.ends_with("/events") || path.ends_with("/live");
        if *method != "get" || is_live || path.contains("{token}") || path.contains("/new") {
            continue;
        }
        let entry = ids
            .iter()
            .filter(|(start, ..)| path.starts_with(start))
            .max_by_key(|(start, ..)| start.len());
        let (id, below) = entry.map_or(("x", "x"), |(_, id, below)| (id, below));
        let mut filled = (*path).to_owned();
        for (hole, value) in [
            ("{id}", id),
            ("{own}", id),
            ("{object}", below),
            ("{object_id}", below),
            ("{secret_id}", below),
            ("{group_id}", below),
            ("{control}", "MFARegistrationV2"),
            ("{provider}", id),
            ("{section}", "applications"),
            ("{month}", "2026-11"),
            ("{path:.*}", "css/app.css"),
        ] {
            filled = filled.replace(hole, value);
        }
        if path.contains("authenticator-app") {
            continue; // it shows a new seed each time
        }
        let answer = match access {
            Access::Api(_) => {
                let url = format!("{}{filled}", browser.url);
                browser
                    .http
                    .get(url)
                    .bearer_auth(&rig.token)
                    .send()
                    .await
                    .unwrap()
            }
            _ => browser.get(&filled).await,
        };
        for (name, value) in answer.headers() {
            bytes.extend_from_slice(name.as_str().as_bytes());
            bytes.extend_from_slice(value.as_bytes());
        }
        pages += usize::from(answer.status().is_success());
        bytes.extend_from_slice(&answer.bytes().await.unwrap());
    }
    (pages, bytes)
}

#[test]
fn every_form_of_a_secret_is_found() {
    let secret = "a/secret+with=signs&more";
    let mut canaries = Canaries::new();
    canaries.add("it", secret);
    for before in ["", "x", "xy", "xyz"] {
        let text = format!("{before}{secret} and after");
        let utf16 =
            |order: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(order).collect::<Vec<u8>>();
        for carried in [
            text.clone().into_bytes(),
            data_encoding::BASE64.encode(text.as_bytes()).into_bytes(),
            data_encoding::BASE64URL
                .encode(text.as_bytes())
                .into_bytes(),
            data_encoding::HEXLOWER.encode(text.as_bytes()).into_bytes(),
            data_encoding::HEXUPPER.encode(text.as_bytes()).into_bytes(),
            url::form_urlencoded::byte_serialize(text.as_bytes())
                .collect::<String>()
                .into_bytes(),
            utf16(u16::to_le_bytes),
            utf16(u16::to_be_bytes),
        ] {
            assert_eq!(canaries.found_in(&carried), ["it"], "{before:?}");
        }
    }
    assert!(canaries.found_in(b"a/secret+with-signs&more").is_empty());
}

#[test]
#[ignore = "a day's work of the real program: ./scripts/assure B6"]
fn secrets_are_where_they_belong_and_nowhere_else() {
    run(|| async {
        let world = licensed(World::demo(crate::app::secret()));
        let app = TestApp::start_with(Database::Sqlite, world, false).await;
        let consenting = app
            .sim
            .world()
            .directories
            .iter()
            .filter(|d| !d.declines && d.users < 5000);
        let largest = consenting.max_by_key(|d| d.users).unwrap();
        let mut rig = Installation::new(&app, None);
        let temporary = rig.folder().join("temporary");
        std::fs::create_dir(&temporary).unwrap();
        rig.environment = vec![
            ("TENANTRY_LOG", "trace".into()),
            ("TMPDIR", temporary.display().to_string()),
        ];
        let server = rig.serve(&[]);
        rig.until("/credentials", |v| v["value"].is_array()).await;
        let mut canaries = Canaries::new();
        canaries.add("API token", &rig.token);

        // An owner with a password, an app, recovery codes and a session.
        let browser = visitor(&rig);
        let invitation = &rig.invitation[rig.invitation.find("/invitations/").unwrap()..];
        canaries.add("invitation", invitation.rsplit('/').next().unwrap());
        let joined = browser.post(invitation, &[("password", PASSWORD)]).await;
        assert_eq!(joined.status(), 303, "{}", joined.text().await.unwrap());
        canaries.add("password", PASSWORD);
        let page = browser.page("/account/authenticator-app").await;
        let key = between(&page, "<code class=\"secret\">", '<').replace(' ', "");
        let seed = data_encoding::BASE32_NOPAD.decode(key.as_bytes()).unwrap();
        let now = app.clock.now().0 / 1000;
        let code = keys::totp::present_code(&seed, now);
        let enrolled = browser
            .post("/account/authenticator-app", &[("code", &code)])
            .await;
        assert_eq!(enrolled.status(), 200);
        let page = enrolled.text().await.unwrap();
        canaries.add("TOTP seed", &seed);
        canaries.add("TOTP seed as text", &key);
        for code in page.split("<li><code>").skip(1) {
            let code = code.split('<').next().unwrap();
            canaries.add("recovery code", code);
            canaries.add("recovery code", code.replace('-', ""));
        }
        let cookies = cookies(&browser);
        assert!(!cookies.is_empty());
        for value in cookies {
            canaries.add("session cookie", value);
        }

        // A credential by secret, another by a certificate that was made elsewhere, a provider; their syncs.
        let credential = rig.credential(&app).await;
        canaries.add("client secret", &app.application().secret);
        let mapping = rig.connect(&credential, largest.id).await;
        rig.until("/runs?total=true", |runs| {
            let all = runs["value"].as_array().unwrap();
            all.len() >= 2 && all.iter().all(is_over)
        })
        .await;
        // Renewed by a certificate that was made elsewhere, with which the next sync asks.
        let made =
            keys::CertificateKey::generate("Elsewhere", app.clock.now().0 / 1000, 700).unwrap();
        app.sim.add_certificate(0, &made.certificate.der);
        let key = data_encoding::BASE64.encode(&made.private_key);
        let file = format!(
            "-----BEGIN PRIVATE KEY-----\n{key}\n-----END PRIVATE KEY-----\n{}",
            made.certificate.pem()
        );
        let renewed = rig
            .insist(
                "POST",
                &format!("/credentials/{credential}/secrets"),
                Some(json!({ "certificate": file })),
            )
            .await;
        assert!(renewed.to_string().contains("certificate"), "{renewed}");
        // Its private exponent; before it stands the modulus, which the certificate has too.
        canaries.add("private key", &made.private_key[400..440]);
        let run = rig.reconcile(&mapping).await;
        rig.until(&format!("/runs/{run}"), is_over).await;

        // What only the program knows.
        canaries.add("data key", data_key(&rig.data()));
        let wrapping = std::fs::read_to_string(rig.data().join("key")).unwrap();
        canaries.add("wrapping key", wrapping.trim());
        canaries.add(
            "wrapping key",
            data_encoding::BASE64
                .decode(wrapping.trim().as_bytes())
                .unwrap(),
        );
        let tokens = app.sim.tokens();
        assert!(!tokens.is_empty());
        for token in &tokens {
            canaries.add("token of Microsoft", token);
        }

        // What it answers.
        let company = text(
            &rig.insist("GET", "/companies", None).await["value"][0],
            "id",
        );
        let user = text(
            &rig.insist("GET", &format!("/companies/{company}/users"), None)
                .await["value"][0],
            "id",
        );
        let secret = text(
            &rig.insist("GET", &format!("/credentials/{credential}/secrets"), None)
                .await[0],
            "id",
        );
        let ids = [
            ("/companies", company.clone(), user.clone()),
            ("/jobs", run.clone(), String::new()),
            (
                "/settings/integrations/entra/credentials",
                credential.clone(),
                secret.clone(),
            ),
            (
                "/settings/integrations/entra/mappings",
                mapping.clone(),
                String::new(),
            ),
            ("/api/v1/companies", company, user),
            ("/api/v1/credentials", credential.clone(), secret),
            ("/api/v1/mappings", mapping.clone(), String::new()),
            ("/api/v1/runs", run, String::new()),
        ];
        let (mut pages, mut shown) = everything_shown(&rig, &browser, &ids).await;
        let path = format!("/companies/{}/users?limit=500", ids[0].1);
        for user in rig.insist("GET", &path, None).await["value"]
            .as_array()
            .unwrap()
        {
            let path = format!("/companies/{}/users/{}", ids[0].1, text(user, "id"));
            shown.extend_from_slice(browser.page(&path).await.as_bytes());
            pages += 1;
        }
        assert!(pages >= 500, "only {pages} pages were shown");
        assert_eq!(
            canaries.found_in(&shown),
            Vec::<&str>::new(),
            "in what it answers"
        );

        // What may be seen of the process.
        for file in ["cmdline", "environ"] {
            let bytes = std::fs::read(format!("/proc/{}/{file}", server.id())).unwrap_or_default();
            assert_eq!(canaries.found_in(&bytes), Vec::<&str>::new(), "{file}");
        }

        // What it wrote: all of its folder but the wrapping key's own file, with its logs and temporary
        // files; first while it runs, then after it was killed.
        let mut searched = 0;
        let mut search = |when: &str| {
            let mut all = Vec::new();
            files(rig.folder(), &mut all);
            assert!(
                all.iter().any(|path| path.ends_with("tenantry.db-wal")) || when != "while it runs"
            );
            for path in all {
                if path == rig.data().join("key") {
                    continue;
                }
                let bytes = std::fs::read(&path).unwrap();
                searched += bytes.len();
                assert_eq!(
                    canaries.found_in(&bytes),
                    Vec::<&str>::new(),
                    "{path:?} {when}"
                );
            }
        };
        search("while it runs");
        assert!(rig.log().contains("TRACE"), "the log says little");

        // The database alone, as a copy of it would be: nothing of the above, and no key that opens.
        let ciphertexts = sealed(&rig);
        assert!(ciphertexts.len() >= 2);
        println!(
            "B10: the database without the wrapping key: none of {} secrets, and no unwrapped key",
            canaries.0.len()
        );

        // Revoked: the sealed secret itself is gone, from free pages and the write-ahead log too.
        let revoked = rig
            .insist(
                "POST",
                &format!("/credentials/{credential}/revoke"),
                Some(json!({})),
            )
            .await;
        assert_eq!(revoked["state"], "revoked", "{revoked}");
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut left = Canaries::new();
        for bytes in &ciphertexts {
            left.0.push(("sealed".into(), vec![bytes.clone()]));
        }
        for name in ["tenantry.db", "tenantry.db-wal"] {
            let bytes = std::fs::read(rig.data().join(name)).unwrap_or_default();
            assert_eq!(
                left.found_in(&bytes),
                Vec::<&str>::new(),
                "{name} after it was revoked"
            );
        }
        let users = rig
            .insist(
                "GET",
                &format!("/companies/{}/users?total=true", ids[0].1),
                None,
            )
            .await;
        assert!(
            users["total"].as_u64().unwrap() > 0,
            "what was read is gone"
        );
        let refused = rig
            .insist(
                "POST",
                "/runs",
                Some(json!({ "mapping_id": mapping, "kind": "directory" })),
            )
            .await;
        let refused = match refused["value"][0]["id"].as_str() {
            Some(id) => {
                rig.until(&format!("/runs/{id}"), |r| r["finished_at"].is_string())
                    .await
            }
            None => refused,
        };
        assert!(refused.to_string().contains("revoked"), "{refused}");
        let verified = rig.command(&["audit", "verify"], &[]).output().unwrap();
        assert!(verified.status.success());
        println!(
            "B11: {} sealed values and wrapped keys gone from the database and its log at once; what was read stays; the next sync is refused",
            ciphertexts.len()
        );

        // A crash writes nothing more.
        let id = server.id().to_string();
        crate::rig::output(Command::new("kill").args(["-ABRT", &id]));
        tokio::time::sleep(Duration::from_millis(300)).await;
        drop(server);
        search("after it crashed");
        println!(
            "B6: {} secrets in {} forms: none in {} MB of files, logs at trace, {pages} pages and answers, command line and environment",
            canaries.0.len(),
            canaries
                .0
                .iter()
                .map(|(_, forms)| forms.len())
                .sum::<usize>(),
            searched / 1_000_000
        );
    });
}

fn cookies(browser: &Browser) -> Vec<String> {
    use reqwest::cookie::CookieStore;
    let url = url::Url::parse(&browser.url).unwrap();
    let all = browser.jar.cookies(&url).unwrap();
    let pairs = all.to_str().unwrap().split("; ");
    pairs
        .filter_map(|pair| pair.split_once('=').map(|(_, value)| value.to_owned()))
        .collect()
}
