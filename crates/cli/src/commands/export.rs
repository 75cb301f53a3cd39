//! `tenantry export`: what was synced, for other programs.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use clap::Subcommand;
use model::{Company, Scope, company, extract, partner};
use report::ocsf::{Class, Export, Form, Style, Version};

use crate::{
    config::{Config, Options},
    installation::Installation,
};

/// What to write.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Events of the Open Cybersecurity Schema Framework, a JSON object a line.
    Ocsf {
        /// The partner, by name or id; needed where there are several.
        #[arg(long)]
        partner: Option<String>,
        /// One company, by name or id; all of them unless told.
        #[arg(long)]
        company: Option<String>,
        /// One class: user_inventory, inventory_info, compliance_finding or detection_finding, or its
        /// number; all of them unless told.
        #[arg(long)]
        class: Option<String>,
        /// Version of the schema: 1.6.0 or 1.8.0.
        #[arg(long, default_value = "1.6.0")]
        schema_version: String,
        /// Form of users: schema, or asset-connector as other asset connectors write them.
        #[arg(long, default_value = "schema")]
        form: String,
        /// Where to; standard output unless told.
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

pub(crate) async fn run(options: Options, command: Command) -> anyhow::Result<()> {
    let Command::Ocsf {
        partner,
        company,
        class,
        schema_version,
        form,
        output,
    } = command;
    // Checked before anything is opened.
    let classes = match class {
        None => Class::ALL.to_vec(),
        Some(text) => vec![Class::of(&text).with_context(|| {
            let known: Vec<&str> = Class::ALL.iter().map(|class| class.word()).collect();
            format!("--class: {text} is none of {}", known.join(", "))
        })?],
    };
    let style = Style {
        version: Version::of(&schema_version).context("--schema-version: give 1.6.0 or 1.8.0")?,
        form: Form::of(&form).context("--form: give schema or asset-connector")?,
    };
    let installation = Installation::open(Config::load(&options)?).await?;
    let scope = scope(&installation, partner.as_deref()).await?;
    let company = match company {
        None => None,
        Some(text) => Some(find(&scope, &text).await?.id),
    };
    let extracts = extract::of(&scope, company).await?;
    let export = Export::new(extracts, classes, style);
    let (events, tenants) = match &output {
        Some(path) => (to_file(export, path).await?, path.display().to_string()),
        None => {
            let standard = std::io::stdout().lock();
            (write(export, standard).await?, "standard output".to_owned())
        }
    };
    eprintln!("{events} events written to {tenants}");
    installation.db.close().await;
    Ok(())
}

/// Under another name until it is whole: a file that ends early must not look whole.
async fn to_file(export: Export, path: &Path) -> anyhow::Result<usize> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let file =
        File::create(&part).with_context(|| format!("{} cannot be written", part.display()))?;
    let events = write(export, BufWriter::new(file)).await?;
    std::fs::rename(&part, path)
        .with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(events)
}

async fn write(mut export: Export, mut to: impl Write) -> anyhow::Result<usize> {
    let mut events = 0;
    while let Some(lines) = export.next().await? {
        to.write_all(&lines.bytes)?;
        events += lines.events;
    }
    to.flush()?;
    Ok(events)
}

async fn scope(installation: &Installation, wanted: Option<&str>) -> anyhow::Result<Scope> {
    let db = &installation.db;
    let mut all = partner::list(db).await?;
    if let Some(wanted) = wanted {
        all.retain(|one| one.name == wanted || one.id.to_string() == wanted);
    }
    let names: Vec<String> = all.iter().map(|one| one.name.clone()).collect();
    match all.as_slice() {
        #[allow(clippy::disallowed_methods)] // whoever runs the command is the operator
        [one] => Ok(Scope::operator(db, one.id)),
        [] => bail!("there is no such partner; `tenantry partner list` names them"),
        _ => bail!(
            "there are several partners: choose one with --partner: {}",
            names.join(", ")
        ),
    }
}

async fn find(scope: &Scope, wanted: &str) -> anyhow::Result<Company> {
    if let Ok(id) = wanted.parse()
        && let Some(found) = company::get(scope, id).await?
    {
        return Ok(found);
    }
    let window = model::Window::page(1, 500);
    let found = company::list(scope, wanted, window).await?;
    let mut same = found.rows.into_iter().filter(|one| one.name == wanted);
    match (same.next(), same.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => bail!("there is no company of the name or id {wanted}"),
        (Some(_), Some(_)) => bail!("several companies are called {wanted}: give the id"),
    }
}
