//! Checkpoints of the audit logs: signed, and taken to where nobody who holds the database can change
//! them.

use std::{io::Write, os::unix::fs::OpenOptionsExt, path::PathBuf};

use anyhow::Context;
use keys::Keyring;
use model::{Db, audit::checkpoint};
use outbound::Outbound;
use url::Url;

/// Where they are taken.
#[derive(Debug, Clone, Default)]
pub struct Elsewhere {
    /// A file that lines are added to, best on another machine's disk or on one that only grows.
    pub file: Option<PathBuf>,
    /// An address that lines are sent to (`POST`, `application/x-ndjson`).
    pub url: Option<Url>,
    /// What may be reached.
    pub outbound: Outbound,
}

/// Makes what is due and takes away what was made. What could not be taken is tried again.
pub(crate) async fn run(db: &Db, keyring: &Keyring, elsewhere: &Elsewhere) -> anyhow::Result<()> {
    checkpoint::make(db, keyring).await?;
    if elsewhere.file.is_none() && elsewhere.url.is_none() {
        return Ok(());
    }
    let due = checkpoint::unexported(db).await?;
    if due.is_empty() {
        return Ok(());
    }
    let mut lines = String::new();
    for checkpoint in &due {
        lines.push_str(&checkpoint.line()?);
        lines.push('\n');
    }
    if let Some(file) = elsewhere.file.clone() {
        let lines = lines.clone();
        tokio::task::spawn_blocking(move || add(&file, &lines)).await??;
    }
    if let Some(url) = &elsewhere.url {
        send(elsewhere, url, lines).await?;
    }
    Ok(checkpoint::exported(db, &due).await?)
}

fn add(file: &PathBuf, lines: &str) -> anyhow::Result<()> {
    let mut open = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(file)
        .with_context(|| format!("{} could not be opened", file.display()))?;
    open.write_all(lines.as_bytes())?;
    open.sync_all()?;
    Ok(())
}

async fn send(elsewhere: &Elsewhere, url: &Url, lines: String) -> anyhow::Result<()> {
    elsewhere.outbound.check(url)?;
    let answer = elsewhere
        .outbound
        .client()?
        .post(url.clone())
        .header("content-type", "application/x-ndjson")
        .body(lines)
        .send()
        .await
        .map_err(|e| e.without_url())?;
    anyhow::ensure!(
        answer.status().is_success(),
        "the address for checkpoints answered {}",
        answer.status()
    );
    Ok(())
}
