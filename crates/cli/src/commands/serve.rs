//! `tenantry serve`: the web server and a worker in one process, ready for real tenants.

use clap::Args;

use crate::{
    config::{Config, Options},
    installation::Installation,
};

/// Flags of `serve`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Serve pages and API only; run `tenantry work` elsewhere.
    #[arg(long)]
    no_worker: bool,
}

pub(crate) async fn run(options: Options, arguments: Arguments) -> anyhow::Result<()> {
    let installation = Installation::open(Config::load(&options)?).await?;
    let (server, portal) = installation.server(false)?;
    println!("Tenantry listens on {}", portal.public_url);
    if let Some(token) = model::partner::new_setup_token(&installation.db).await? {
        println!("Setup token: {token}");
        println!(
            "Set up at: {}",
            portal.url(&format!("/setup?token={token}"))
        );
    }
    installation.run(Some(server), !arguments.no_worker).await
}
