//! The binary: composes the other crates, one file per command.

#![allow(clippy::print_stdout, clippy::print_stderr)] // a command line speaks on its streams

mod commands;
mod config;
mod hardening;
mod installation;
mod keyring;
mod log;

use clap::{Parser, Subcommand};

use commands::{
    audit, demo, doctor, evidence, export, keys, member, migrate, partner, serve, sim, work,
};
use config::Options;

/// A sync makes and drops millions of small texts, on one thread what another made, which glibc's
/// allocator pays for with a third of the processor time (docs/adr/0008-allocator.md).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// A self-hosted, multi-tenant partner platform for managed service providers.
#[derive(Debug, Parser)]
#[command(name = "tenantry", version)]
struct Arguments {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the whole product on SQLite with a simulated Microsoft cloud, ready to click.
    Demo,
    /// Start the web server and a worker.
    Serve(serve::Arguments),
    /// Start a worker without the web server.
    Work,
    /// Start the simulated Microsoft cloud alone.
    Sim(sim::Arguments),
    /// Bring the database up to date and stop.
    Migrate,
    /// Look for mistakes in configuration, keys and database.
    Doctor,
    /// Check the audit logs.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Verify archives of assessments.
    #[command(subcommand)]
    Evidence(evidence::Command),
    /// Write what was synced to a file.
    #[command(subcommand)]
    Export(export::Command),
    /// Look at keys, and replace them.
    #[command(subcommand)]
    Keys(keys::Command),
    /// Manage partners.
    #[command(subcommand)]
    Partner(partner::Command),
    /// Let members in again.
    #[command(subcommand)]
    Member(member::Command),
}

fn main() -> std::process::ExitCode {
    let arguments = Arguments::parse();
    log::begin(arguments.options.log_format);
    if let Err(error) = hardening::begin() {
        eprintln!("tenantry: {error:#}");
        return std::process::ExitCode::FAILURE;
    }
    // One TLS and crypto stack for everything.
    if rustls::crypto::ring::default_provider()
        .install_default()
        .is_err()
    {
        eprintln!("another crypto provider is installed already");
        return std::process::ExitCode::FAILURE;
    }
    let done = actix_web::rt::System::new().block_on(async move {
        let options = arguments.options;
        match arguments.command {
            Command::Demo => demo::run(options).await,
            Command::Serve(own) => serve::run(options, own).await,
            Command::Work => work::run(options).await,
            Command::Sim(own) => sim::run(options, own).await,
            Command::Migrate => migrate::run(options).await,
            Command::Doctor => doctor::run(options).await,
            Command::Audit(command) => audit::run(options, command).await,
            Command::Evidence(command) => evidence::run(command).await,
            Command::Export(command) => export::run(options, command).await,
            Command::Keys(command) => keys::run(options, command).await,
            Command::Partner(command) => partner::run(options, command).await,
            Command::Member(command) => member::run(options, command).await,
        }
    });
    match done {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tenantry: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}
