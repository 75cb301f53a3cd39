//! `tenantry demo`: everything in one process, with a simulated Microsoft cloud, ready to click.

use std::{os::unix::fs::OpenOptionsExt, path::Path};

use anyhow::Context;
use graph::{Limits, cloud::CustomCloud};
use model::{Role, Scope, api_token, member, partner};
use sim::{Sim, World};

use crate::{
    config::{Config, Options},
    installation::Installation,
};

const OWNER: &str = "owner@haldenmsp.example";

pub(crate) async fn run(mut options: Options) -> anyhow::Result<()> {
    // The demo's data stay apart from a real installation's.
    options.data_dir.get_or_insert_with(|| "demo-data".into());
    let mut config = Config::load(&options)?;
    std::fs::create_dir_all(&config.data_dir)?;
    let secret = kept(&config.data_dir.join("simulated-client-secret"))?;
    let memory = config.data_dir.join("simulated-consents.json");
    let sim = Sim::start(World::demo(secret), config.sim_listen, Some(memory))
        .await
        .with_context(|| format!("sim-listen: {} is not free", config.sim_listen))?;
    config.custom_cloud = Some(CustomCloud {
        login: sim.url().parse()?,
        graph: sim.url().parse()?,
        label: Some("Simulated Microsoft cloud".into()),
        limits: Some(Limits::Microsoft),
        like: None,
    });
    let installation = Installation::open(config).await?;
    let password = kept(&installation.config.data_dir.join("owner-password"))?;
    let token = prepare(&installation, &password).await?;
    let (server, portal) = installation.server(true)?;
    let application = &sim.world().applications[0];
    println!("Tenantry demo, with a simulated Microsoft cloud");
    println!();
    println!("Address: {}", portal.public_url);
    println!("Sign in: {OWNER}");
    println!("Password: {password}");
    println!("API token: {token}");
    println!();
    println!("The application to add as a credential, as the Entra admin center would show it:");
    println!("  Authentication endpoint: Simulated Microsoft cloud");
    println!("  Tenant ID: {}", application.home);
    println!("  Client ID: {}", application.client_id);
    println!("  Client secret: {}", application.secret);
    println!(
        "  The same values, and all simulated tenants: {}",
        sim.url()
    );
    println!();
    println!(
        "Data is kept in {}; delete it for a fresh start.",
        installation.config.data_dir.display()
    );
    installation.run(Some(server), true).await?;
    sim.stop().await;
    Ok(())
}

/// Partner, owner and a fresh API token; on a kept data directory only the token is new.
async fn prepare(installation: &Installation, password: &str) -> anyhow::Result<String> {
    let db = &installation.db;
    let partner = match partner::list(db).await?.first() {
        Some(partner) => partner.id,
        None => partner::create(db, &installation.connection.keyring, "Halden MSP").await?,
    };
    #[allow(clippy::disallowed_methods)] // whoever runs the command is the operator
    let scope = Scope::operator(db, partner);
    let owner = match member::by_email(db, OWNER).await? {
        Some(member) => member.id,
        None => {
            let hash = portal::hash_password(password, &[])
                .await
                .map_err(anyhow::Error::msg)?;
            member::create(&scope, OWNER, &hash, Role::Owner).await?
        }
    };
    Ok(api_token::create(&scope, owner, "demo", Role::Owner, None).await?)
}

/// A random text that stays the same while its file is kept.
fn kept(path: &Path) -> anyhow::Result<String> {
    use std::io::Write;
    if let Ok(text) = std::fs::read_to_string(path) {
        return Ok(text.trim().to_owned());
    }
    let text = keys::random_token()?;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("{} could not be made", path.display()))?;
    writeln!(file, "{text}")?;
    Ok(text)
}
