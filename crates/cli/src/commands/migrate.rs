//! `tenantry migrate`: brings the database up to date and stops.

use crate::{
    config::{Config, Options},
    installation::Installation,
};

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let installation = Installation::open(Config::load(&options)?).await?;
    println!("The {} database is up to date.", installation.db.kind());
    installation.db.close().await;
    Ok(())
}
