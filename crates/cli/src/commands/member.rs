//! `tenantry member`: for whoever lost a way to sign in.

use anyhow::bail;
use clap::Subcommand;
use model::recovery;

use crate::{
    config::{Config, Options},
    installation::Installation,
};

/// Commands about members.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Take a member's password away, end their sessions, and print a link by which they set a new one.
    /// Make sure first whom you speak to: whoever has the link is that member.
    Recover {
        /// E-mail address of the member.
        email: String,
        /// Take their authenticator app, passkeys and recovery codes away as well; else they are asked
        /// for after the new password is set.
        #[arg(long)]
        second_factors: bool,
    },
}

pub(crate) async fn run(options: Options, command: Command) -> anyhow::Result<()> {
    let installation = Installation::open(Config::load(&options)?).await?;
    let Command::Recover {
        email,
        second_factors,
    } = command;
    let root = installation.root()?;
    match recovery::begin(&installation.db, &email, second_factors).await? {
        Some(token) => println!("Invitation: {root}invitations/{token}"),
        None => bail!("nobody here has the address {email}"),
    }
    installation.db.close().await;
    Ok(())
}
