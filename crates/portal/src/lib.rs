//! The portal: pages, API and live progress over HTTP.
//!
//! It never sees the worker: both meet at the `runs` table. Every route stands in one table with the
//! least role that it needs ([`routes::TABLE`]).

pub mod routes;
mod section;

mod address;
mod api;
mod assessment_archive;
mod assets;
mod cookie;
mod csv_file;
mod exchange;
mod guard;
mod ndjson;
mod pace;
mod pages;
mod passkey;
mod password;
mod problem;
mod proof;
mod refused;
mod single_sign_on;
mod sse;
mod upload;
mod view;

use std::net::{SocketAddr, TcpListener};

use actix_web::{App, HttpServer, dev, middleware::Compress, web};
use consent::Consent;
use ipnet::IpNet;
use keys::webauthn::RelyingParty;
use model::Db;
use outbound::Outbound;
use url::Url;

pub use password::hash as hash_password;

/// What every handler may use.
#[derive(Debug, Clone)]
pub struct Portal {
    /// The database.
    pub db: Db,
    /// The consent flow, which also knows clouds and keys.
    pub consent: Consent,
    /// Root of this installation as browsers see it; its scheme decides about cookies.
    pub public_url: Url,
    /// Whether a simulator stands in for Microsoft; said on every page.
    pub demo: bool,
    /// Where a member may have this server connect to.
    pub outbound: Outbound,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
}

impl Portal {
    /// Whether browsers reach us over TLS.
    pub fn is_secure(&self) -> bool {
        self.public_url.scheme() == "https"
    }

    /// Whom passkeys are bound to; `None` where browsers have none: at a bare address, which is no
    /// domain, and over plain http to anything but this machine itself.
    pub fn relying_party(&self) -> Option<RelyingParty> {
        let id = self.public_url.domain()?.to_owned();
        if !self.is_secure() && id != "localhost" && !id.ends_with(".localhost") {
            return None;
        }
        Some(RelyingParty {
            id,
            origin: self.public_url.origin().ascii_serialization(),
        })
    }

    /// An absolute URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.public_url.as_str().trim_end_matches('/'))
    }
}

/// The HTTP server as a value: built, asked for its port, run.
pub struct Server {
    server: dev::Server,
    address: SocketAddr,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Server({})", self.address)
    }
}

impl Server {
    /// Builds the server on a bound listener.
    ///
    /// # Errors
    /// When the listener cannot be used.
    pub fn build(portal: Portal, listener: TcpListener, workers: usize) -> std::io::Result<Self> {
        let address = listener.local_addr()?;
        let portal = web::Data::new(portal);
        let pace = web::Data::new(pace::Pace::default());
        let server = HttpServer::new(move || {
            App::new()
                .app_data(portal.clone())
                .app_data(pace.clone())
                .app_data(web::FormConfig::default().limit(1024 * 1024))
                .app_data(web::PayloadConfig::new(1024 * 1024))
                .app_data(api::json_config())
                .app_data(api::path_config())
                .app_data(api::query_config())
                .wrap(actix_web::middleware::from_fn(exchange::exchange))
                .wrap(actix_web::middleware::from_fn(guard::guard))
                .wrap(Compress::default())
                .configure(routes::configure)
                .default_service(web::to(problem::no_such_page))
        })
        .workers(workers)
        .client_request_timeout(std::time::Duration::from_secs(10))
        .shutdown_timeout(5)
        .disable_signals()
        .listen(listener)?
        .run();
        Ok(Self { server, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A handle to stop it.
    pub fn handle(&self) -> dev::ServerHandle {
        self.server.handle()
    }

    /// Serves until stopped.
    pub async fn run(self) -> std::io::Result<()> {
        self.server.await
    }
}
