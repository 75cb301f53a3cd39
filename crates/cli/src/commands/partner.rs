//! `tenantry partner`: more partners on one installation.

use anyhow::Context;
use clap::Subcommand;
use model::{Role, Scope, api_token, member, partner};

use crate::{
    config::{Config, Options},
    installation::Installation,
};

/// Commands about partners.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a partner and print an invitation link for its owner.
    Add {
        /// Name of the organisation.
        name: String,
        /// E-mail address of its owner.
        #[arg(long, value_name = "EMAIL")]
        owner: String,
        /// Also make the owner now and print an API token, so that a script can go on.
        #[arg(long)]
        token: bool,
    },
    /// List partners.
    List,
}

pub(crate) async fn run(options: Options, command: Command) -> anyhow::Result<()> {
    let installation = Installation::open(Config::load(&options)?).await?;
    let db = &installation.db;
    match command {
        Command::List => {
            for partner in partner::list(db).await? {
                println!("{}  {}", partner.id, partner.name);
            }
        }
        Command::Add { name, owner, token } => {
            // Checked before anything is made.
            let owner = member::check_email(&owner).context("--owner")?;
            let id = partner::create(db, &installation.connection.keyring, &name).await?;
            #[allow(clippy::disallowed_methods)] // whoever runs the command is the operator
            let scope = Scope::operator(db, id);
            let root = installation.root()?;
            println!("Partner: {id}");
            if token {
                let member = match member::by_email(db, &owner).await? {
                    Some(member) => member::join(&scope, member.id, Role::Owner).await?,
                    None => member::create_without_password(&scope, &owner, Role::Owner).await?,
                };
                let text =
                    api_token::create(&scope, member, "partner add", Role::Owner, None).await?;
                println!("API token: {text}");
            }
            let invitation = model::invitation::create(&scope, &owner, Role::Owner, None).await?;
            println!("Invitation: {root}invitations/{invitation}");
        }
    }
    db.close().await;
    Ok(())
}
