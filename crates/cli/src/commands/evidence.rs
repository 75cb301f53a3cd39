//! `tenantry evidence`: verifies an archive of an assessment, with nothing but the file.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Subcommand;
use report::archive;

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check that no byte of an archive's evidence was changed, added or removed.
    Verify {
        /// The archive, as the page of its assessment hands it out.
        file: PathBuf,
        /// The public key of whoever made it, as `tenantry audit key` prints it; without one the archive
        /// is held to the key that it brings itself.
        // One in 32 begins with a hyphen.
        #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
        key: Option<String>,
    },
}

pub(crate) async fn run(command: Command) -> anyhow::Result<()> {
    let Command::Verify { file, key } = command;
    let bytes =
        std::fs::read(&file).with_context(|| format!("{} cannot be read", file.display()))?;
    let verdict = archive::verify(&bytes, key.as_deref())?;
    let says = |name: &str| verdict.head[name].as_str().unwrap_or("unknown").to_owned();
    println!("{}, {}: {}", says("name"), says("company"), says("state"));
    if let Some(by) = verdict.head["approved_by"].as_str() {
        println!("approved by {by} at {}", says("approved_at"));
    }
    println!("signed by key {} ({})", verdict.key, verdict.public_key);
    if !verdict.wrong.is_empty() {
        for wrong in &verdict.wrong {
            println!("WRONG: {wrong}");
        }
        bail!("the archive is not what was signed");
    }
    println!("{} files are as they were signed", verdict.files);
    if key.is_none() {
        println!("whose key that is was not checked: give it with --key");
    }
    Ok(())
}
