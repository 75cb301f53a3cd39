//! Configuration: flags over environment over file over defaults, checked as a whole.

use std::{net::SocketAddr, path::PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use graph::cloud::CustomCloud;
use ipnet::IpNet;
use outbound::Outbound;
use serde::Deserialize;
use url::Url;

use crate::log::Format;

/// What the command line and the environment may say.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Address of the web server [default: 127.0.0.1:8080].
    #[arg(long, global = true, env = "TENANTRY_LISTEN", value_name = "ADDR")]
    pub(crate) listen: Option<SocketAddr>,
    /// Where database and keys are kept [default: ./data].
    #[arg(long, global = true, env = "TENANTRY_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Address of the simulated Microsoft cloud [default: 127.0.0.1:8090].
    #[arg(long, global = true, env = "TENANTRY_SIM_LISTEN", value_name = "ADDR")]
    pub(crate) sim_listen: Option<SocketAddr>,
    /// Configuration file (TOML).
    #[arg(long, global = true, env = "TENANTRY_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// `postgres://…` for the scale-out database; SQLite in the data directory otherwise.
    #[arg(
        long,
        global = true,
        env = "DATABASE_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    pub(crate) database_url: Option<String>,
    /// The same PostgreSQL database as the role that owns its tables, where the server runs as another.
    #[arg(
        long,
        global = true,
        env = "TENANTRY_DATABASE_OWNER_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    pub(crate) database_owner_url: Option<String>,
    /// Root of this installation as browsers see it [default: http://localhost:PORT].
    #[arg(long, global = true, env = "TENANTRY_PUBLIC_URL", value_name = "URL")]
    pub(crate) public_url: Option<Url>,
    /// How events are written to standard error.
    #[arg(
        long,
        global = true,
        env = "TENANTRY_LOG_FORMAT",
        value_enum,
        default_value_t,
        value_name = "FORMAT"
    )]
    pub(crate) log_format: Format,
}

/// What the file may say; the same names as the flags.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    listen: Option<SocketAddr>,
    data_dir: Option<PathBuf>,
    sim_listen: Option<SocketAddr>,
    database_url: Option<String>,
    database_owner_url: Option<String>,
    public_url: Option<Url>,
    trusted_proxies: Vec<IpNet>,
    outbound: OutboundSection,
    keys: KeysSection,
    audit: AuditSection,
    clouds: CloudsSection,
    worker: WorkerSection,
}

/// `[keys]`: what wraps data keys, and what wrapped them before.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct KeysSection {
    #[serde(flatten)]
    pub(crate) present: Wrapping,
    /// Providers that still unwrap what has not moved: `[[keys.older]]`.
    pub(crate) older: Vec<Wrapping>,
}

/// Where a wrapping key is held.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "provider", rename_all = "kebab-case")]
pub(crate) enum Wrapping {
    /// In a file of this machine.
    File {
        /// [default: DATA_DIR/key]
        path: Option<PathBuf>,
    },
    /// In the environment variable TENANTRY_KEY.
    Environment,
    /// With AWS KMS.
    AwsKms {
        /// Id, alias or ARN.
        key: String,
        /// Region.
        region: String,
        /// Another address than the region's.
        endpoint: Option<Url>,
    },
    /// In an Azure Key Vault.
    AzureKeyVault {
        /// `https://NAME.vault.azure.net/`
        vault: Url,
        /// Name of an RSA key.
        key: String,
    },
    /// With the transit engine of HashiCorp Vault.
    VaultTransit {
        /// `https://vault.example.com:8200/`
        address: Url,
        /// [default: transit]
        mount: Option<String>,
        /// Name of a key.
        key: String,
    },
}

impl Default for Wrapping {
    fn default() -> Self {
        Self::File { path: None }
    }
}

/// `[audit]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AuditSection {
    /// A file to which signed checkpoints are added, best on a disk of another machine.
    checkpoint_file: Option<PathBuf>,
    /// An address to which they are sent.
    checkpoint_url: Option<Url>,
}

/// `[outbound]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct OutboundSection {
    /// Networks beside the public internet that members may have this server connect to.
    allow: Vec<IpNet>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct CloudsSection {
    custom: Option<CustomCloud>,
}

/// `[worker]`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct WorkerSection {
    /// Runs at the same time in this process.
    pub(crate) concurrency: usize,
    /// Seconds after which a silent worker is taken for dead.
    pub(crate) lease_seconds: u64,
}

impl Default for WorkerSection {
    fn default() -> Self {
        Self {
            concurrency: 4,
            lease_seconds: 4,
        }
    }
}

/// The configuration in force.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) listen: SocketAddr,
    pub(crate) data_dir: PathBuf,
    pub(crate) sim_listen: SocketAddr,
    pub(crate) database_url: String,
    pub(crate) database_owner_url: Option<String>,
    pub(crate) public_url: Option<Url>,
    pub(crate) custom_cloud: Option<CustomCloud>,
    pub(crate) worker: WorkerSection,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub(crate) trusted_proxies: Vec<IpNet>,
    pub(crate) outbound: Outbound,
    pub(crate) keys: KeysSection,
    pub(crate) checkpoint_file: Option<PathBuf>,
    pub(crate) checkpoint_url: Option<Url>,
}

impl Config {
    /// Puts it together; every mistake is said at once with its place.
    pub(crate) fn load(options: &Options) -> anyhow::Result<Self> {
        let file = match &options.config {
            None => File::default(),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("{} could not be read", path.display()))?;
                toml::from_str(&text).with_context(|| format!("{} is not right", path.display()))?
            }
        };
        let data_dir = options
            .data_dir
            .clone()
            .or(file.data_dir)
            .unwrap_or_else(|| PathBuf::from("data"));
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let config = Self {
            listen: options.listen.or(file.listen).unwrap_or(address(8080)),
            sim_listen: options
                .sim_listen
                .or(file.sim_listen)
                .unwrap_or(address(8090)),
            database_url: options
                .database_url
                .clone()
                .or(file.database_url)
                .unwrap_or_else(|| format!("sqlite:{}", data_dir.join("tenantry.db").display())),
            database_owner_url: options
                .database_owner_url
                .clone()
                .or(file.database_owner_url),
            public_url: options.public_url.clone().or(file.public_url),
            custom_cloud: file.clouds.custom,
            worker: file.worker,
            trusted_proxies: file.trusted_proxies,
            outbound: Outbound::new(&file.outbound.allow),
            keys: file.keys,
            checkpoint_file: file.audit.checkpoint_file,
            checkpoint_url: file.audit.checkpoint_url,
            data_dir,
        };
        let mistakes = config.mistakes();
        if mistakes.is_empty() {
            Ok(config)
        } else {
            bail!(
                "the configuration is not right:\n  {}",
                mistakes.join("\n  ")
            )
        }
    }

    fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        if let Err(error) = graph::Clouds::new(self.custom_cloud.as_ref()) {
            mistakes.push(error.to_string());
        }
        if let Some(url) = &self.public_url {
            let plain = url.scheme() == "http" && graph::cloud::is_loopback(url);
            if url.scheme() != "https" && !plain {
                mistakes.push(format!(
                    "public_url: {url} must be https, or http on a loopback address"
                ));
            }
            if url.path() != "/" || url.query().is_some() {
                mistakes.push(format!(
                    "public_url: {url} must be a root without path or query"
                ));
            }
        } else if !self.listen.ip().is_loopback() {
            mistakes.push(
                "public_url: say how browsers reach this server, because it does not listen on \
                 loopback alone"
                    .into(),
            );
        }
        if self.database_owner_url.is_some() && self.database_url.starts_with("sqlite:") {
            mistakes.push(
                "database_owner_url: it is for PostgreSQL; say database_url as well, or leave it out"
                    .into(),
            );
        }
        if let Some(url) = &self.checkpoint_url
            && let Err(refused) = self.outbound.check(url)
        {
            mistakes.push(format!("audit.checkpoint_url: {refused}"));
        }
        if !(1..=64).contains(&self.worker.concurrency) {
            mistakes.push("worker.concurrency: give a number from 1 to 64".into());
        }
        if !(2..=600).contains(&self.worker.lease_seconds) {
            mistakes.push("worker.lease_seconds: give a number from 2 to 600".into());
        }
        mistakes
    }
}
