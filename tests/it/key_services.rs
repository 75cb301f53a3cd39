//! The wrapping key moves from a file to each key service and back, by the command line, while what it
//! wraps stays readable. The services are written here from their documents; `scripts/assure B9` puts
//! moto in the place of AWS KMS.

use std::{
    collections::BTreeMap,
    process::Command,
    sync::{Arc, Mutex},
};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use serde_json::{Value, json};

use crate::{app::run, rig::binary};

/// What a service has encrypted: a handle for each, so that nothing decrypts but it.
#[derive(Default)]
struct Kept {
    texts: Mutex<BTreeMap<String, String>>,
    calls: Mutex<Vec<String>>,
}

impl Kept {
    fn keep(&self, plain: &str) -> String {
        let handle = keys::random_token().unwrap();
        self.texts
            .lock()
            .unwrap()
            .insert(handle.clone(), plain.to_owned());
        handle
    }
    fn find(&self, handle: &str) -> Option<String> {
        self.texts.lock().unwrap().get(handle).cloned()
    }
    fn note(&self, call: &str) {
        self.calls.lock().unwrap().push(call.to_owned());
    }
}

fn header<'a>(request: &'a HttpRequest, name: &str) -> &'a str {
    request
        .headers()
        .get(name)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default()
}

async fn vault(
    request: HttpRequest,
    body: web::Json<Value>,
    kept: web::Data<Kept>,
) -> HttpResponse {
    if header(&request, "x-vault-token") != "vault-token" {
        return HttpResponse::Forbidden().json(json!({ "errors": ["permission denied"] }));
    }
    let action = request.match_info().query("action");
    kept.note(&format!("vault {action}"));
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    match action {
        "encrypt" => HttpResponse::Ok().json(json!({ "data": {
            "ciphertext": format!("vault:v1:{}", kept.keep(&text("plaintext"))), "key_version": 1 } })),
        "decrypt" => match kept.find(text("ciphertext").trim_start_matches("vault:v1:")) {
            Some(plain) => HttpResponse::Ok().json(json!({ "data": { "plaintext": plain } })),
            None => HttpResponse::BadRequest().json(json!({ "errors": ["invalid ciphertext"] })),
        },
        _ => HttpResponse::NotFound().finish(),
    }
}

async fn azure_token(form: web::Form<BTreeMap<String, String>>) -> HttpResponse {
    let is_right = form["client_secret"] == "azure-secret"
        && form["grant_type"] == "client_credentials"
        && form["scope"] == "https://vault.azure.net/.default";
    match is_right {
        true => HttpResponse::Ok().json(
            json!({ "access_token": "azure-token", "expires_in": 3599, "token_type": "Bearer" }),
        ),
        false => HttpResponse::Unauthorized().json(json!({ "error": "invalid_client" })),
    }
}

async fn azure(
    request: HttpRequest,
    body: web::Json<Value>,
    kept: web::Data<Kept>,
) -> HttpResponse {
    if header(&request, "authorization") != "Bearer azure-token"
        || request.query_string() != "api-version=7.4"
        || body["alg"] != "RSA-OAEP-256"
    {
        return HttpResponse::Unauthorized().json(json!({ "error": { "code": "Unauthorized" } }));
    }
    let rest = request.match_info().query("rest");
    kept.note(&format!("azure {rest}"));
    let value = body["value"].as_str().unwrap_or_default();
    let kid = "https://v.vault.azure.net/keys/wrapping/0123456789abcdef";
    match rest {
        "wrapkey" => {
            let value = BASE64URL_NOPAD.encode(kept.keep(value).as_bytes());
            HttpResponse::Ok().json(json!({ "kid": kid, "value": value }))
        }
        // Only the version that wrapped unwraps.
        "0123456789abcdef/unwrapkey" => {
            let handle = BASE64URL_NOPAD.decode(value.as_bytes()).unwrap();
            match kept.find(std::str::from_utf8(&handle).unwrap()) {
                Some(plain) => HttpResponse::Ok().json(json!({ "kid": kid, "value": plain })),
                None => {
                    HttpResponse::BadRequest().json(json!({ "error": { "code": "BadParameter" } }))
                }
            }
        }
        _ => HttpResponse::NotFound().finish(),
    }
}

async fn aws(request: HttpRequest, body: web::Bytes, kept: web::Data<Kept>) -> HttpResponse {
    let signed = header(&request, "authorization");
    let names = "SignedHeaders=content-type;host;x-amz-date;x-amz-target,";
    if !signed.starts_with("AWS4-HMAC-SHA256 Credential=AKIDTEST/") || !signed.contains(names) {
        return HttpResponse::BadRequest()
            .json(json!({ "__type": "IncompleteSignatureException" }));
    }
    let body: Value = serde_json::from_slice(&body).unwrap();
    let target = header(&request, "x-amz-target");
    kept.note(&format!("aws {target}"));
    let context = body["EncryptionContext"].to_string();
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    match target {
        "TrentService.Encrypt" => {
            let handle = kept.keep(&format!("{context}{}", text("Plaintext")));
            HttpResponse::Ok().json(json!({ "CiphertextBlob": BASE64.encode(handle.as_bytes()) }))
        }
        "TrentService.Decrypt" => {
            let blob = BASE64.decode(text("CiphertextBlob").as_bytes()).unwrap();
            let found = kept.find(std::str::from_utf8(&blob).unwrap_or_default());
            match found
                .as_deref()
                .and_then(|f| f.strip_prefix(context.as_str()))
            {
                Some(plain) => HttpResponse::Ok().json(json!({ "Plaintext": plain })),
                None => HttpResponse::BadRequest()
                    .json(json!({ "__type": "com.amazonaws.kms#InvalidCiphertextException" })),
            }
        }
        _ => HttpResponse::BadRequest().finish(),
    }
}

struct Installed {
    folder: tempfile::TempDir,
    url: String,
}

impl Installed {
    fn tenantry(
        &self,
        config: &str,
        arguments: &[&str],
        vault_token: &str,
    ) -> std::process::Output {
        std::fs::write(self.folder.path().join("tenantry.toml"), config).unwrap();
        Command::new(binary())
            .args(arguments)
            .arg("--data-dir")
            .arg(self.folder.path().join("data"))
            .arg("--config")
            .arg(self.folder.path().join("tenantry.toml"))
            .env("VAULT_TOKEN", vault_token)
            .env("AZURE_TENANT_ID", "a-directory")
            .env("AZURE_CLIENT_ID", "a-client")
            .env("AZURE_CLIENT_SECRET", "azure-secret")
            .env("AZURE_AUTHORITY_HOST", &self.url)
            .env("AWS_ACCESS_KEY_ID", "AKIDTEST")
            .env("AWS_SECRET_ACCESS_KEY", "aws-secret")
            .env("TENANTRY_KEY", BASE64.encode(&[7; 32]))
            .output()
            .unwrap()
    }

    fn does(&self, config: &str, arguments: &[&str]) -> String {
        let done = self.tenantry(config, arguments, "vault-token");
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success(), "{arguments:?}: {said}");
        String::from_utf8(done.stdout).unwrap()
    }
}

#[test]
fn the_wrapping_key_moves_through_every_key_service() {
    run(|| async {
        let kept = web::Data::new(Kept::default());
        let server = {
            let kept = kept.clone();
            HttpServer::new(move || {
                App::new()
                    .app_data(kept.clone())
                    .route("/v1/transit/{action}/wrapping", web::post().to(vault))
                    .route(
                        "/a-directory/oauth2/v2.0/token",
                        web::post().to(azure_token),
                    )
                    .route("/keys/wrapping/{rest:.*}", web::post().to(azure))
                    .route("/", web::post().to(aws))
            })
            .workers(1)
            .bind("127.0.0.1:0")
            .unwrap()
        };
        let url = format!("http://{}", server.addrs()[0]);
        let server = server.run();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        // moto's key and address, where it runs.
        let moto = std::env::var("TENANTRY_MOTO").ok();
        let (endpoint, key) = match &moto {
            Some(moto) => moto.split_once('#').unwrap(),
            None => (url.as_str(), "alias/tenantry"),
        };
        let providers = [
            ("file", "provider = \"file\"\n".to_owned()),
            (
                "vault-transit:",
                format!("provider = \"vault-transit\"\naddress = \"{url}\"\nkey = \"wrapping\"\n"),
            ),
            (
                "azure-key-vault:",
                format!("provider = \"azure-key-vault\"\nvault = \"{url}\"\nkey = \"wrapping\"\n"),
            ),
            (
                "aws-kms:",
                format!(
                    "provider = \"aws-kms\"\nregion = \"us-east-1\"\nendpoint = \"{endpoint}\"\nkey = \"{key}\"\n"
                ),
            ),
            ("file:", "provider = \"environment\"\n".to_owned()),
            ("file:", "provider = \"file\"\n".to_owned()),
        ];
        let installed = Arc::new(Installed {
            folder: tempfile::tempdir().unwrap(),
            url,
        });
        let within = |config: String, arguments: &'static [&'static str]| {
            let installed = installed.clone();
            async move {
                tokio::task::spawn_blocking(move || installed.does(&config, arguments))
                    .await
                    .unwrap()
            }
        };
        let config = format!("[keys]\n{}", providers[0].1);
        within(
            config,
            &["partner", "add", "First", "--owner", "o@first.example"],
        )
        .await;
        for two in providers.windows(2) {
            let config = format!("[keys]\n{}[[keys.older]]\n{}", two[1].1, two[0].1);
            let said = within(config, &["keys", "rewrap"]).await;
            assert!(said.contains("1 keys moved to"), "{said}");
            // From now on without the one before it; what is made is wrapped there as well.
            let config = format!("[keys]\n{}", two[1].1);
            let status = within(config.clone(), &["keys", "status"]).await;
            let lines: Vec<&str> = status.lines().collect();
            assert_eq!(lines.len(), 2, "{status}");
            assert!(
                lines[1].starts_with(two[1].0) && lines[1].ends_with("wraps 1"),
                "{status}"
            );
            within(config, &["keys", "rotate-data"]).await;
        }
        let calls = kept.calls.lock().unwrap().clone();
        for call in [
            "vault encrypt",
            "vault decrypt",
            "azure wrapkey",
            "azure 0123456789abcdef/unwrapkey",
        ] {
            assert!(calls.iter().any(|c| c == call), "{call}: {calls:?}");
        }
        let of_aws = calls.iter().any(|c| c == "aws TrentService.Decrypt");
        assert_eq!(of_aws, moto.is_none(), "{calls:?}");
        // A service that refuses says so, and nothing goes on without it.
        let config = format!("[keys]\n{}", providers[1].1);
        let refused = {
            let installed = installed.clone();
            let add = ["partner", "add", "Second", "--owner", "o@second.example"];
            tokio::task::spawn_blocking(move || installed.tenantry(&config, &add, "wrong"))
                .await
                .unwrap()
        };
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(
            !refused.status.success() && said.contains("Vault: it answered 403 permission denied"),
            "{said}"
        );
        let listed = within(format!("[keys]\n{}", providers[0].1), &["partner", "list"]).await;
        assert!(!listed.contains("Second"), "{listed}");
        println!(
            "B9: file, Vault, Azure Key Vault, {}, environment, file: all that was wrapped moved along",
            if moto.is_some() {
                "AWS KMS (moto)"
            } else {
                "AWS KMS"
            }
        );
        handle.stop(false).await;
    });
}
