//! `tenantry keys`: which keys there are, and new ones in their place while everything runs.

use std::time::Duration;

use anyhow::bail;
use clap::Subcommand;
use keys::FileProvider;
use model::{
    Scope,
    data_key::{rewrap, rotate},
    partner,
};

use crate::{
    config::{Config, Options},
    installation::Installation,
    keyring,
};

/// Commands about keys.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show which wrapping key wraps how many keys.
    Status,
    /// Give every partner a new data key; what the old one sealed moves to it.
    RotateData,
    /// Put a new wrapping key into the key file; what the old one wrapped moves to it.
    RotateWrapping,
    /// Move what older wrapping keys wrapped to the one of the configuration, after it was changed.
    Rewrap,
}

/// A write that began with the old key has ended after so long.
const SETTLED: Duration = Duration::from_secs(5);

pub(crate) async fn run(options: Options, command: Command) -> anyhow::Result<()> {
    let installation = Installation::open(Config::load(&options)?).await?;
    match command {
        Command::Status => status(&installation).await,
        Command::RotateData => rotate_data(&installation).await,
        Command::RotateWrapping => rotate_wrapping(&installation).await,
        Command::Rewrap => move_all(&installation).await,
    }
}

async fn status(installation: &Installation) -> anyhow::Result<()> {
    let present = installation.connection.keyring.provider_id();
    println!("{present} wraps now");
    for (name, count) in rewrap::in_use(&installation.db).await? {
        println!("{name} wraps {count}");
    }
    Ok(())
}

async fn rotate_data(installation: &Installation) -> anyhow::Result<()> {
    let db = &installation.db;
    for found in partner::list(db).await? {
        #[allow(clippy::disallowed_methods)] // whoever runs the command is the operator
        let scope = Scope::operator(db, found.id);
        let done = rotate::rotate(&scope, &installation.connection.keyring).await?;
        println!(
            "{}: data key {}, {} values moved to it",
            found.name, done.version, done.moved
        );
    }
    Ok(())
}

/// Until nothing is wrapped under another key, and stays so for a while.
async fn move_all(installation: &Installation) -> anyhow::Result<()> {
    let (db, keyring) = (&installation.db, &installation.connection.keyring);
    let mut moved = rewrap::rewrap(db, keyring).await?;
    for _ in 0..20 {
        tokio::time::sleep(SETTLED).await;
        let late = rewrap::rewrap(db, keyring).await?;
        moved += late;
        if late == 0 {
            println!("{moved} keys moved to {}", keyring.provider_id());
            return Ok(());
        }
    }
    bail!(
        "other processes go on wrapping under an older key; restart them with this configuration, \
         and run this again"
    )
}

async fn rotate_wrapping(installation: &Installation) -> anyhow::Result<()> {
    let config = &installation.config;
    let Some(path) = keyring::file(config, &config.keys.present) else {
        bail!(
            "this is for keys in a file. A key service replaces its keys itself; for another key, \
             name it under [keys], the one before it under [[keys.older]], and run `tenantry keys rewrap`"
        );
    };
    let in_use = rewrap::in_use(&installation.db).await?;
    let present = installation.connection.keyring.provider_id();
    // A rotation that was begun and not ended has its new key already.
    if in_use.iter().all(|(name, _)| *name == present) {
        FileProvider::add(&path)?;
    }
    move_all(installation).await?;
    FileProvider::retire(&path)?;
    println!(
        "the keys before it are out of {}. A backup of the database that was made before now opens \
         with the copy of the file that belongs to it, so keep that one as long",
        path.display()
    );
    Ok(())
}
