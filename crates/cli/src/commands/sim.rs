//! `tenantry sim`: the simulated Microsoft cloud alone, for a configured `custom` cloud.

use clap::Args;
use sim::{Sim, World};

use crate::config::{Config, Options};

/// Flags of `sim`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Adds a directory with this many users.
    #[arg(long, value_name = "N")]
    users: Option<usize>,
    /// Groups of that directory.
    #[arg(long, value_name = "N", default_value_t = 100)]
    groups: usize,
    /// Memberships over those groups.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    memberships: usize,
    /// Devices of that directory; two for three users where left out.
    #[arg(long, value_name = "N")]
    devices: Option<usize>,
    /// Adds so many directories of this many users instead of one.
    #[arg(long, value_name = "N")]
    tenants: Option<usize>,
}

pub(crate) async fn run(options: Options, arguments: Arguments) -> anyhow::Result<()> {
    let config = Config::load(&options)?;
    let secret = keys::random_token()?;
    let Arguments {
        users,
        groups,
        memberships,
        devices,
        tenants,
    } = arguments;
    let world = match (users, tenants) {
        (None, _) => World::demo(secret),
        (Some(users), Some(tenants)) => World::many(secret, tenants, users),
        (Some(users), None) => {
            let devices = devices.unwrap_or(users * 2 / 3);
            World::sized_with_devices(secret, users, groups, memberships, devices)
        }
    };
    let sim = Sim::start(world, config.sim_listen, None).await?;
    println!("Simulated Microsoft cloud: {}", sim.url());
    for application in &sim.world().applications {
        println!("Tenant ID: {}", application.home);
        println!("Client ID: {}", application.client_id);
        println!("Client secret: {}", application.secret);
    }
    for directory in &sim.world().directories {
        println!("Directory: {} {}", directory.id, directory.name);
    }
    println!("Configuration for tenantry serve --config FILE:");
    println!(
        "[clouds.custom]\nlabel = \"Simulated Microsoft cloud\"\nlogin = \"{0}\"\ngraph = \"{0}\"",
        sim.url()
    );
    tokio::signal::ctrl_c().await?;
    Ok(())
}
