//! Puts the parts together from a configuration: database, keys, Microsoft, portal, worker.

use std::{
    net::{SocketAddr, TcpListener},
    os::unix::fs::DirBuilderExt,
    time::Duration,
};

use anyhow::Context;
use consent::{Connection, Consent};
use graph::{Clouds, TokenSource};
use model::{Clock, Db};
use portal::{Portal, Server};
use sync::{Elsewhere, Runner, Settings, Worker};
use tokio::sync::watch;
use url::Url;

use crate::{config::Config, hardening, keyring};

/// An opened installation.
#[derive(Debug, Clone)]
pub(crate) struct Installation {
    pub(crate) config: Config,
    pub(crate) db: Db,
    pub(crate) connection: Connection,
}

impl Installation {
    /// Opens database and keys and brings the schema up to date.
    pub(crate) async fn open(config: Config) -> anyhow::Result<Self> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&config.data_dir)
            .with_context(|| {
                format!("data_dir: {} could not be made", config.data_dir.display())
            })?;
        hardening::check_folder(&config.data_dir)?;
        let keyring = keyring::open(&config)?;
        let db = database(&config)
            .await
            .context("the database could not be opened")?;
        db.migrate()
            .await
            .context("the database could not be brought up to date")?;
        sync::prepare_queue(&db)
            .await
            .context("the job queue could not be prepared")?;
        let connection = Connection {
            clouds: Clouds::new(config.custom_cloud.as_ref())?,
            tokens: TokenSource::new(graph::http::client()?),
            limiter: consent::limits::shared(&db),
            keyring,
        };
        Ok(Self {
            config,
            db,
            connection,
        })
    }

    /// How browsers reach the server that is or will be, for links that a command prints.
    pub(crate) fn root(&self) -> anyhow::Result<Url> {
        match &self.config.public_url {
            Some(url) => Ok(url.clone()),
            None => local_url(self.config.listen),
        }
    }

    fn public_url(&self, listener: &TcpListener) -> anyhow::Result<Url> {
        match &self.config.public_url {
            Some(url) => Ok(url.clone()),
            None => local_url(listener.local_addr()?),
        }
    }

    fn consent(&self, public_url: &Url) -> anyhow::Result<Consent> {
        Ok(Consent {
            connection: self.connection.clone(),
            redirect_uri: public_url.join("consent/callback")?.to_string(),
        })
    }

    /// Binds the web server; answers it and how browsers reach it.
    pub(crate) fn server(&self, demo: bool) -> anyhow::Result<(Server, Portal)> {
        let listener = TcpListener::bind(self.config.listen)
            .with_context(|| format!("listen: {} is not free", self.config.listen))?;
        let public_url = self.public_url(&listener)?;
        let portal = Portal {
            db: self.db.clone(),
            consent: self.consent(&public_url)?,
            public_url,
            demo,
            outbound: self.config.outbound.clone(),
            trusted_proxies: self.config.trusted_proxies.clone(),
        };
        let server = Server::build(portal.clone(), listener, 2)?;
        Ok((server, portal))
    }

    /// The worker of this process.
    fn worker(&self) -> anyhow::Result<Worker> {
        let worker = self.config.worker;
        // Nothing that the worker asks of Microsoft sends a browser back here.
        let public_url = self.root()?;
        Ok(Worker {
            runner: Runner {
                db: self.db.clone(),
                consent: self.consent(&public_url)?,
                settings: Settings {
                    concurrency: worker.concurrency,
                    lease: Duration::from_secs(worker.lease_seconds),
                    ..Settings::default()
                },
            },
            elsewhere: Elsewhere {
                file: self.config.checkpoint_file.clone(),
                url: self.config.checkpoint_url.clone(),
                outbound: self.config.outbound.clone(),
            },
            public_url,
        })
    }

    /// Serves and works until a signal comes; runs in flight are given time to end.
    pub(crate) async fn run(
        &self,
        server: Option<Server>,
        with_worker: bool,
    ) -> anyhow::Result<()> {
        let (stop, stopped) = watch::channel(false);
        let working = match with_worker {
            true => Some(tokio::spawn(self.worker()?.run(stopped))),
            false => None,
        };
        let handle = server.as_ref().map(Server::handle);
        let serving = server.map(|server| actix_web::rt::spawn(server.run()));
        wait_for_signal().await?;
        tracing::info!("stopping");
        // Nobody may be listening any more, which is as good.
        let _ = stop.send(true);
        if let Some(handle) = handle {
            handle.stop(true).await;
        }
        if let Some(serving) = serving {
            serving.await??;
        }
        if let Some(working) = working {
            working.await??;
        }
        self.db.close().await;
        Ok(())
    }
}

/// The configured database.
pub(crate) async fn database(config: &Config) -> model::Result<Db> {
    match &config.database_owner_url {
        None => Db::connect(&config.database_url, Clock::system()).await,
        Some(owner) => Db::connect_owned(&config.database_url, owner, Clock::system()).await,
    }
}

/// How a browser on this machine reaches it. By name, because browsers have passkeys for a name alone,
/// and because Microsoft accepts plain http in a redirect URI for `localhost`.
fn local_url(listen: SocketAddr) -> anyhow::Result<Url> {
    let url = match listen.ip().is_loopback() {
        true => format!("http://localhost:{}/", listen.port()),
        false => format!("http://{listen}/"),
    };
    Ok(Url::parse(&url)?)
}

async fn wait_for_signal() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
