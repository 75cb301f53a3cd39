//! The keyring of a configuration.

use std::{path::PathBuf, sync::Arc};

use anyhow::Context;
use keys::{FileProvider, KeyProvider, Keyring};
use kms::{AwsKms, AzureKeyVault, Remote, VaultTransit};

use crate::config::{Config, Wrapping};

/// Variables that key services' own tools read: they belong to those services, and a token among them
/// may be renewed while we run, so they are no part of our configuration.
#[allow(clippy::disallowed_methods)]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Where the wrapping key is, if it is in a file.
pub(crate) fn file(config: &Config, wrapping: &Wrapping) -> Option<PathBuf> {
    match wrapping {
        Wrapping::File { path } => {
            Some(path.clone().unwrap_or_else(|| config.data_dir.join("key")))
        }
        _ => None,
    }
}

/// Opens what the configuration names; the file of the present key is made where it is missing.
pub(crate) fn open(config: &Config) -> anyhow::Result<Keyring> {
    let present = provider(config, &config.keys.present, true).context("keys")?;
    let older = config.keys.older.iter();
    let older = older.map(|older| provider(config, older, false).context("keys.older"));
    Ok(Keyring::over(present, older.collect::<Result<_, _>>()?))
}

fn provider(
    config: &Config,
    wrapping: &Wrapping,
    is_present: bool,
) -> anyhow::Result<Arc<dyn KeyProvider>> {
    if let Some(path) = file(config, wrapping) {
        return Ok(match is_present {
            true => Arc::new(FileProvider::open_or_create(&path)?),
            false => Arc::new(FileProvider::open(&path)?),
        });
    }
    Ok(match wrapping {
        Wrapping::File { .. } => unreachable!("a file was opened above"),
        Wrapping::Environment => {
            let text = environment("TENANTRY_KEY").context(
                "TENANTRY_KEY is not set; give it 32 bytes of base64, such as of `openssl rand -base64 32`",
            )?;
            Arc::new(FileProvider::of_text("TENANTRY_KEY", &text)?)
        }
        Wrapping::AwsKms {
            key,
            region,
            endpoint,
        } => Arc::new(Remote(AwsKms::new(
            key,
            region,
            endpoint.clone(),
            environment,
        )?)),
        Wrapping::AzureKeyVault { vault, key } => {
            Arc::new(Remote(AzureKeyVault::new(vault.clone(), key, environment)?))
        }
        Wrapping::VaultTransit {
            address,
            mount,
            key,
        } => {
            let mount = mount.as_deref().unwrap_or("transit");
            Arc::new(Remote(VaultTransit::new(
                address.clone(),
                mount,
                key,
                environment,
            )?))
        }
    })
}
