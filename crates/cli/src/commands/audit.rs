//! `tenantry audit`: checks the logs, and says which keys sign their checkpoints.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Subcommand;
use model::{audit, audit::checkpoint, partner};

use crate::{
    config::{Config, Options},
    installation::Installation,
};

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check that no row of a log was altered, removed, inserted or moved.
    Verify {
        /// Checkpoints that were kept elsewhere: without them a log whose end was cut off, or that
        /// was written anew as a whole, looks whole.
        #[arg(long, value_name = "FILE")]
        checkpoints: Option<PathBuf>,
        /// The public key that signed them, as `tenantry audit key` printed it on a good day; without
        /// one the database is believed.
        #[arg(long, value_name = "KEY")]
        key: Vec<String>,
        /// One partner alone, by id or name.
        #[arg(long)]
        partner: Option<String>,
    },
    /// Print the public keys that sign checkpoints: keep them elsewhere.
    Key,
}

pub(crate) async fn run(options: Options, command: Command) -> anyhow::Result<()> {
    let installation = Installation::open(Config::load(&options)?).await?;
    let db = &installation.db;
    match command {
        Command::Key => {
            let keyring = &installation.connection.keyring;
            checkpoint::signing_key(db, keyring).await?;
            for (id, public_key) in checkpoint::public_keys(db).await? {
                println!("{id} {public_key}");
            }
        }
        Command::Verify {
            checkpoints,
            key,
            partner,
        } => verify(db, checkpoints, key, partner).await?,
    }
    db.close().await;
    Ok(())
}

async fn verify(
    db: &model::Db,
    file: Option<PathBuf>,
    keys: Vec<String>,
    only: Option<String>,
) -> anyhow::Result<()> {
    let mut checkpoints = Vec::new();
    if let Some(file) = file {
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("{} could not be read", file.display()))?;
        checkpoints = sync::read_checkpoints(&text)?;
        let keys = match keys.is_empty() {
            false => keys,
            true => {
                let known = checkpoint::public_keys(db).await?;
                known.into_iter().map(|(_, key)| key).collect()
            }
        };
        for (n, checkpoint) in checkpoints.iter().enumerate() {
            if !keys.iter().any(|key| checkpoint.is_signed_by(key)) {
                bail!("checkpoint {} is not signed by any of the keys", n + 1);
            }
        }
    }
    let mut broken = 0;
    let mut checked = 0;
    for found in partner::list(db).await? {
        let is_meant = |only: &String| *only == found.name || *only == found.id.to_string();
        if !only.as_ref().is_none_or(is_meant) {
            continue;
        }
        checked += 1;
        let seen = checkpoints.iter().filter(|c| c.partner == found.id).count();
        match audit::verify(db, found.id, &checkpoints).await? {
            Ok(rows) => println!(
                "{}: {rows} rows, unbroken{}",
                found.name,
                match seen {
                    0 => String::new(),
                    n => format!(", as {n} checkpoints saw it"),
                }
            ),
            Err(fault) => {
                broken += 1;
                println!("{}: row {}: {}", found.name, fault.seq, fault.why);
            }
        }
    }
    if checked == 0 {
        bail!("there is no such partner; `tenantry partner list` names them");
    }
    if broken > 0 {
        bail!("{broken} of {checked} logs are broken; compare with a backup");
    }
    Ok(())
}
