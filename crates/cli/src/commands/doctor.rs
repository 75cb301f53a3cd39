//! `tenantry doctor`: looks for mistakes and says what to do about each.

use std::os::unix::fs::PermissionsExt;

use keys::FileProvider;
use model::{audit, partner};

use crate::{
    config::{Config, Options},
    installation::database,
    keyring,
};

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let mut healthy = true;
    let mut say = |what: &str, result: Result<String, String>| match result {
        Ok(text) => println!("ok     {what}: {text}"),
        Err(text) => {
            healthy = false;
            println!("WRONG  {what}: {text}");
        }
    };
    let config = match Config::load(&options) {
        Ok(config) => config,
        Err(error) => {
            say("configuration", Err(format!("{error:#}")));
            anyhow::bail!("mistakes were found");
        }
    };
    say("configuration", Ok("every setting is right".into()));
    say(
        "data directory",
        match std::fs::metadata(&config.data_dir) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(format!(
                "{} does not exist yet; it is made at the first start",
                config.data_dir.display()
            )),
            Err(e) => Err(format!("{}: {e}", config.data_dir.display())),
            Ok(meta) if meta.permissions().mode() & 0o077 != 0 => Err(format!(
                "others may read {0}; run `chmod 700 {0}`",
                config.data_dir.display()
            )),
            Ok(_) => Ok(format!("{} is private", config.data_dir.display())),
        },
    );
    say(
        "key",
        match keyring::file(&config, &config.keys.present) {
            Some(path) => match FileProvider::open(&path) {
                Ok(_) => Ok("it can be read, by this user alone".into()),
                Err(_) if !path.exists() => {
                    Ok("it does not exist yet; it is made at the first start".into())
                }
                Err(e) => Err(e.to_string()),
            },
            None => keyring::open(&config)
                .map(|keyring| format!("{} wraps", keyring.provider_id()))
                .map_err(|e| format!("{e:#}")),
        },
    );
    let exists = !config.database_url.starts_with("sqlite:")
        || std::path::Path::new(config.database_url.trim_start_matches("sqlite:")).exists();
    if exists {
        match database(&config).await {
            Err(error) => say("database", Err(error.to_string())),
            Ok(db) => {
                say(
                    "database",
                    match db.pending_migrations().await {
                        Ok(0) => Ok(format!("{} is up to date", db.kind())),
                        Ok(n) => Err(format!(
                            "{n} changes are not applied; run `tenantry migrate`"
                        )),
                        Err(e) => Err(e.to_string()),
                    },
                );
                for found in partner::list(&db).await.unwrap_or_default() {
                    let what = format!("audit log of {}", found.name);
                    say(
                        &what,
                        match audit::verify(&db, found.id, &[]).await {
                            Ok(Ok(rows)) => Ok(format!("{rows} rows, unbroken")),
                            Ok(Err(broken)) => Err(format!(
                                "row {}: {}; restore from a backup",
                                broken.seq, broken.why
                            )),
                            Err(e) => Err(e.to_string()),
                        },
                    );
                }
                db.close().await;
            }
        }
    } else {
        say(
            "database",
            Ok("it does not exist yet; it is made at the first start".into()),
        );
    }
    say(
        "certificates",
        match graph::http::client() {
            Ok(_) => Ok("the system's certificate store can be read".into()),
            Err(e) => Err(format!("{e}; install the package ca-certificates")),
        },
    );
    if healthy {
        println!("Nothing wrong was found.");
        Ok(())
    } else {
        anyhow::bail!("mistakes were found")
    }
}
