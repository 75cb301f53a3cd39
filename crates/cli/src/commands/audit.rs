//! `tenantry audit`: checks the logs, and says which keys sign their checkpoints.

use std::{io::Write, path::PathBuf};

use anyhow::{Context, bail};
use clap::Subcommand;
use model::{
    Db, Partner, Scope,
    audit::{self, Filter, checkpoint},
    partner,
};

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
        #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
        key: Vec<String>,
        /// One partner alone, by id or name.
        #[arg(long)]
        partner: Option<String>,
    },
    /// Print the public keys that sign checkpoints: keep them elsewhere.
    Key,
    /// Sign the end of every log that grew, now.
    Checkpoint,
    /// Print what verifiers read, in the form of docs/audit.md.
    Export {
        /// Rows, newest first, or checkpoints with their keys.
        what: What,
        /// One partner alone, by id or name.
        #[arg(long)]
        partner: Option<String>,
    },
}

/// What is exported.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum What {
    Log,
    Checkpoints,
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
        Command::Checkpoint => {
            let made = checkpoint::make(db, &installation.connection.keyring).await?;
            println!("{made} logs were signed");
        }
        Command::Export { what, partner } => export(db, what, partner).await?,
        Command::Verify {
            checkpoints,
            key,
            partner,
        } => verify(db, checkpoints, key, partner).await?,
    }
    db.close().await;
    Ok(())
}

/// Partners by id or name, or all.
async fn partners(db: &Db, only: Option<&String>) -> anyhow::Result<Vec<Partner>> {
    let mut found = partner::list(db).await?;
    found.retain(|p| only.is_none_or(|only| *only == p.name || *only == p.id.to_string()));
    if found.is_empty() {
        bail!("there is no such partner; `tenantry partner list` names them");
    }
    Ok(found)
}

async fn export(db: &Db, what: What, only: Option<String>) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if matches!(what, What::Checkpoints) {
        for (id, public_key) in checkpoint::public_keys(db).await? {
            writeln!(out, "{{\"key\":\"{id}\",\"public_key\":\"{public_key}\"}}")?;
        }
    }
    for partner in partners(db, only.as_ref()).await? {
        match what {
            What::Checkpoints => {
                for made in checkpoint::list(db, partner.id).await? {
                    writeln!(out, "{}", made.line()?)?;
                }
            }
            What::Log => {
                #[allow(clippy::disallowed_methods)] // whoever runs the command is the operator
                let (scope, filter) = (Scope::operator(db, partner.id), Filter::default());
                let mut before = None;
                loop {
                    let rows = audit::older(&scope, &filter, before, 2000).await?;
                    for row in &rows {
                        writeln!(out, "{}", audit::canonical(row))?;
                    }
                    match rows.last() {
                        Some(last) => before = Some(last.seq),
                        None => break,
                    }
                }
            }
        }
    }
    Ok(())
}

async fn verify(
    db: &Db,
    file: Option<PathBuf>,
    keys: Vec<String>,
    only: Option<String>,
) -> anyhow::Result<()> {
    let mut checkpoints = Vec::new();
    if let Some(file) = file {
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("{} could not be read", file.display()))?;
        checkpoints = checkpoint::parse(&text)?;
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
    let all = partners(db, only.as_ref()).await?;
    let checked = all.len();
    for found in all {
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
    if broken > 0 {
        bail!("{broken} of {checked} logs are broken; compare with a backup");
    }
    Ok(())
}
