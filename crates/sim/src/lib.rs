//! Microsoft on localhost, for tests and the demo: sign-in with admin consent, tokens, OpenID
//! Connect, and the part of Graph that the product reads, with paging, `$select`, delta queries,
//! batches, licences, permissions, throttling, and faults on demand or by chance.
//!
//! It knows none of the other crates: it speaks HTTP as Microsoft does, and is held to Microsoft's
//! metadata by a test.

use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::Arc,
};

use actix_web::{App, HttpServer, dev::ServerHandle, web};
use uuid::Uuid;

mod applications;
mod batch;
mod body;
mod call;
mod changes;
mod collection;
mod data;
mod delta;
mod devices;
mod fault;
mod filter;
mod groups;
mod identity;
mod limits;
mod login;
mod logs;
mod names;
mod pages;
mod partner;
mod permissions;
mod principals;
mod refusal;
mod roles;
mod router;
mod scores;
mod signing;
mod state;
mod token;
mod users;
mod wanted;
mod weather;
mod world;

pub use fault::{Fault, Kind};
pub use signing::{Forgery, Signature};
pub use weather::Weather;
pub use world::{Application, Directory, World};

use state::State;

/// A running simulator.
#[derive(Debug)]
pub struct Sim {
    state: Arc<State>,
    address: SocketAddr,
    handle: ServerHandle,
}

impl Sim {
    /// Starts on `listen` (port 0 for any); consents are kept in `memory` where given.
    ///
    /// # Errors
    /// When the address cannot be bound or the memory file cannot be read.
    pub async fn start(
        world: World,
        listen: SocketAddr,
        memory: Option<PathBuf>,
    ) -> anyhow::Result<Self> {
        let state = Arc::new(State::new(world, memory)?);
        let listener = TcpListener::bind(listen)?;
        let address = listener.local_addr()?;
        let shared = web::Data::from(Arc::clone(&state));
        let server = HttpServer::new(move || {
            App::new()
                .app_data(shared.clone())
                .app_data(web::FormConfig::default().limit(64 * 1024))
                .configure(login::routes)
                .configure(token::routes)
                .configure(router::routes)
                .configure(pages::routes)
        })
        .workers(2)
        .disable_signals()
        .listen(listener)?
        .run();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        Ok(Self {
            state,
            address,
            handle,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Root of the sign-in service and of Graph.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// The world as it was started.
    pub fn world(&self) -> &World {
        &self.state.world
    }

    /// Makes coming requests fail; see [`Fault`].
    pub fn fail_next(&self, fault: Fault) {
        self.state.add_fault(fault);
    }

    /// Tokens that were handed out: access, refresh and id tokens.
    pub fn tokens(&self) -> Vec<String> {
        [self.state.tokens(), self.state.signer.issued()].concat()
    }

    /// Lets every id token be wrong in this way from now on, or none.
    pub fn forge(&self, forgery: Option<Forgery>) {
        self.state.signer.forge(forgery);
    }

    /// Removes all faults that have not happened yet.
    pub fn clear_faults(&self) {
        self.state.clear_faults();
    }

    /// Consents as if an administrator had pressed Accept.
    pub fn grant(&self, directory: Uuid, client_id: Uuid) {
        self.state.grant(directory, client_id);
    }

    /// Takes a consent back.
    pub fn revoke(&self, directory: Uuid, client_id: Uuid) {
        self.state.revoke(directory, client_id);
    }

    /// Moves the clock of the sign-in service.
    pub fn advance(&self, seconds: i64) {
        self.state.advance(seconds);
    }

    /// Changes what an application's manifest asks for; consents given before keep what they gave.
    pub fn set_manifest(&self, client_id: Uuid, roles: &[&str]) {
        let roles = roles.iter().map(|r| (*r).to_owned()).collect();
        self.state.set_manifest(client_id, roles);
    }

    /// Disables an application in a directory, as its administrator may.
    pub fn disable(&self, directory: Uuid, client_id: Uuid) {
        self.state.disable(directory, client_id);
    }

    /// Lets a conditional access policy of a directory block applications.
    pub fn block(&self, directory: Uuid) {
        self.state.block(directory);
    }

    /// Answers whatever is asked of a directory's Graph with 429 and two minutes, for ever.
    pub fn throttle(&self, directory: Uuid) {
        self.state.throttle(directory);
    }

    /// Ends what [`Sim::throttle`] began.
    pub fn relent(&self, directory: Uuid) {
        self.state.relent(directory);
    }

    /// Makes a client secret of the application at `index`; it ends in so many seconds, if given.
    pub fn new_secret(&self, index: usize, ends_in: Option<i64>) -> String {
        self.state
            .new_secret(&self.state.world.applications[index], ends_in)
    }

    /// Lets every client secret of the application at `index` end, but this one.
    pub fn expire_secrets(&self, index: usize, except: &str) {
        self.state
            .expire_secrets(&self.state.world.applications[index], except);
    }

    /// Uploads a certificate in DER to the application at `index`.
    pub fn add_certificate(&self, index: usize, der: &[u8]) {
        let client_id = self.state.world.applications[index].client_id;
        self.state.add_certificate(client_id, der);
    }

    /// Lets all authorisations by people of the application at `index` lapse.
    pub fn lapse(&self, index: usize) {
        self.state
            .lapse(self.state.world.applications[index].client_id);
    }

    /// Mails that were sent: the mailbox and what `sendMail` was given.
    pub fn mails(&self) -> Vec<(String, serde_json::Value)> {
        self.state.mails()
    }

    /// Deletes the first `count` users of a directory after its administrator, as leavers.
    pub fn remove_users(&self, directory: Uuid, count: usize) {
        self.state
            .change(directory, |c, d| c.remove_users(d, count));
    }

    /// Adds so many users after the last.
    pub fn add_users(&self, directory: Uuid, count: usize) {
        self.state.change(directory, |c, d| c.add_users(d, count));
    }

    /// Renames the user at `index`.
    pub fn rename_user(&self, directory: Uuid, index: usize, name: &str) {
        self.state
            .change(directory, |c, _| c.rename_user(index, name));
    }

    /// Gives every `every`-th user another name and title; answers how many those are.
    pub fn change_users(&self, directory: Uuid, every: usize) -> usize {
        self.state
            .change(directory, |c, d| c.change_users(d, every))
            .unwrap_or_default()
    }

    /// Lets the user at `index` register a method for signing in, now.
    pub fn register_mfa(&self, directory: Uuid, index: usize) {
        let now = self.state.now();
        self.state
            .change(directory, |c, _| c.register_mfa(index, now));
    }

    /// Renames the group at `index`.
    pub fn rename_group(&self, directory: Uuid, index: usize, name: &str) {
        self.state
            .change(directory, |c, _| c.rename_group(index, name));
    }

    /// Deletes the group at `index`.
    pub fn remove_group(&self, directory: Uuid, index: usize) {
        self.state.change(directory, |c, _| c.remove_group(index));
    }

    /// Puts a user into a group.
    pub fn add_member(&self, directory: Uuid, group: usize, user: usize) {
        self.state
            .change(directory, |c, d| c.add_member(d, group, user));
    }

    /// Takes a user out of a group.
    pub fn remove_member(&self, directory: Uuid, group: usize, user: usize) {
        self.state
            .change(directory, |c, d| c.remove_member(d, group, user));
    }

    /// Renames the device at `index`.
    pub fn rename_device(&self, directory: Uuid, index: usize, name: &str) {
        self.state
            .change(directory, |c, _| c.rename_device(index, name));
    }

    /// Keeps Microsoft's published limits from now on, or no longer.
    pub fn keep_limits(&self, on: bool) {
        self.state.meter.keep(on);
    }

    /// How many requests of Graph were answered 429 so far, for whatever reason.
    pub fn throttled(&self) -> usize {
        self.state.weather.throttled()
    }

    /// Lets requests of Graph fail by chance until [`Self::clear_faults`].
    pub fn weather(&self, weather: Weather) {
        self.state.weather.set(Some(weather));
    }

    /// How many requests met each kind of fault of the weather, by the names of its fields.
    pub fn weathered(&self) -> BTreeMap<&'static str, usize> {
        self.state.weather.counts()
    }

    /// How many requests came before the wait that the same request was told had passed.
    pub fn undercut(&self) -> usize {
        self.state.weather.undercut()
    }

    /// How many requests named an object, a page or a delta token that is not of the directory which
    /// their bearer token is for.
    pub fn strays(&self) -> usize {
        self.state.strays()
    }

    /// Answers a path (such as `/v1.0/users`) of any directory with a recorded body from now on.
    pub fn record(&self, path: &str, body: serde_json::Value) {
        self.state.record(path, body);
    }

    /// Requests answered so far whose path contains `part`.
    pub fn requests(&self, part: &str) -> usize {
        self.state.requests(part)
    }

    /// Paths of Graph and of the sign-in service that were asked for, ids replaced by `{id}`.
    pub fn paths(&self) -> Vec<String> {
        self.state.paths()
    }

    /// Stops at once.
    pub async fn stop(&self) {
        self.handle.stop(false).await;
    }
}
