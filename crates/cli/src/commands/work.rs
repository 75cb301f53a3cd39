//! `tenantry work`: a worker without the web server.

use crate::{
    config::{Config, Options},
    installation::Installation,
};

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let installation = Installation::open(Config::load(&options)?).await?;
    println!("Worker started on {}", installation.db.kind());
    installation.run(None, true).await
}
