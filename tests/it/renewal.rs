//! New keys in place of old ones while everything runs: partners' data keys and the key that wraps
//! them, whoever holds it, and when they who hold it do not answer.

use std::{
    cell::Cell,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use keys::{ContentKey, Error, FileProvider, KeyProvider, Place, Sealed};
use model::{
    data_key::{rewrap, rotate},
    partner,
};
use serde_json::json;

use crate::{
    app::{Database, TestApp, licensed, run, text},
    on_both,
};

/// A provider like a key service's: it answers, or is away, or is slow, or refuses.
pub struct Switch {
    inner: FileProvider,
    mode: Arc<AtomicU8>,
}

pub const ANSWERS: u8 = 0;
pub const AWAY: u8 = 1;
pub const SLOW: u8 = 2;
pub const DENIES: u8 = 3;

impl Switch {
    pub fn new(inner: FileProvider) -> (Self, Arc<AtomicU8>) {
        let mode = Arc::new(AtomicU8::new(ANSWERS));
        let switch = Self {
            inner,
            mode: mode.clone(),
        };
        (switch, mode)
    }

    async fn ask(&self) -> Result<(), Error> {
        let reason = match self.mode.load(Ordering::Relaxed) {
            ANSWERS => return Ok(()),
            AWAY => "it could not be reached",
            SLOW => {
                tokio::time::sleep(Duration::from_secs(2)).await;
                "it did not answer in time"
            }
            _ => "it answered 400 AccessDeniedException",
        };
        Err(Error::Service {
            service: "test",
            reason: reason.into(),
        })
    }
}

#[async_trait::async_trait]
impl KeyProvider for Switch {
    fn id(&self) -> String {
        self.inner.id()
    }
    fn knows(&self, id: &str) -> bool {
        self.inner.knows(id)
    }
    async fn wrap(&self, place: Place<'_>, key: &ContentKey) -> Result<(String, Sealed), Error> {
        self.ask().await?;
        self.inner.wrap(place, key).await
    }
    async fn unwrap(
        &self,
        id: &str,
        place: Place<'_>,
        wrapped: &Sealed,
    ) -> Result<ContentKey, Error> {
        self.ask().await?;
        self.inner.unwrap(id, place, wrapped).await
    }
}

/// A future that is dropped when it was polled so often: as a process that is killed there.
struct Killed<F>(Pin<Box<F>>, u32);

impl<F: Future> Future for Killed<F> {
    type Output = Option<F::Output>;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.1 == 0 {
            return Poll::Ready(None);
        }
        self.1 -= 1;
        self.0.as_mut().poll(context).map(Some)
    }
}

fn killed<F: Future>(future: F, polls: u32) -> Killed<F> {
    Killed(Box::pin(future), polls)
}

/// What can be opened: the credential's secret and the provider's.
async fn opens(app: &TestApp, credential: &str) {
    let keyring = &app.connection.keyring;
    let id = credential.parse().unwrap();
    let opened = model::credential::secret::open(&app.scope(), keyring, id)
        .await
        .unwrap();
    assert_eq!(opened.len(), 1);
    assert_eq!(opened[0].text().unwrap().as_str(), app.application().secret);
    let provider = model::sign_in_provider::list(&app.scope())
        .await
        .unwrap()
        .remove(0);
    let secret = model::sign_in_provider::secret(&app.db, keyring, &provider)
        .await
        .unwrap();
    assert_eq!(secret.expose(), app.application().secret);
}

async fn keys_of(app: &TestApp) -> usize {
    crate::audit::count(&app.db, "SELECT COUNT(*) FROM partner_keys").await
}

on_both! {
    async fn a_data_key_is_replaced_however_often_it_is_killed(app) {
        let mut app = app;
        let credential = app.credential().await;
        crate::sign_in::provider(&app).await;
        app.stop_worker().await;
        let scope = app.scope();
        let keyring = app.connection.keyring.clone();
        let (mut kills, mut ended) = (0, 0);
        for polls in 1.. {
            match killed(rotate::rotate(&scope, &keyring), polls).await {
                None => kills += 1,
                Some(done) => {
                    done.unwrap();
                    ended += 1;
                }
            }
            opens(&app, &credential).await;
            // Five times in a row it ended: there are no more steps to be killed at.
            if ended == 5 {
                break;
            }
            assert!(polls < 2000, "it does not end");
        }
        assert_eq!(keys_of(&app).await, 1, "old keys are gone");
        assert!(kills > 10, "only {kills} steps");
        model::audit::verify(&app.db, app.partner, &[]).await.unwrap().unwrap();
        println!("B9: a data key replaced, killed at {kills} steps, nothing lost, one key left");
    }

    async fn the_wrapping_key_is_replaced_however_often_it_is_killed(app) {
        let mut app = app;
        let credential = app.credential().await;
        crate::sign_in::provider(&app).await;
        for name in ["Second", "Third"] {
            partner::create(&app.db, &app.connection.keyring, name).await.unwrap();
        }
        app.stop_worker().await;
        let keyring = app.connection.keyring.clone();
        let file = app.directory.path().join("key");
        let before = keyring.provider_id();
        tokio::time::sleep(Duration::from_millis(20)).await;
        FileProvider::add(&file).unwrap();
        let mut kills = 0;
        for polls in 1..2000 {
            if let Some(done) = killed(rewrap::rewrap(&app.db, &keyring), polls).await {
                done.unwrap();
                break;
            }
            kills += 1;
            opens(&app, &credential).await;
        }
        assert!(kills > 3, "only {kills} steps");
        let in_use = rewrap::in_use(&app.db).await.unwrap();
        assert_eq!(in_use.len(), 1, "{in_use:?}");
        assert_ne!(in_use[0].0, before);
        FileProvider::retire(&file).unwrap();
        opens(&app, &credential).await;
        assert!(!keyring.provider_id().contains(&before));
        println!("B9: a wrapping key replaced, killed at {kills} steps, nothing lost, nothing left under the old one");
    }

    async fn a_worn_key_replaces_itself(app) {
        let credential = app.credential().await;
        crate::audit::sql(&app.db, "UPDATE partner_keys SET uses = 2147483648").await.unwrap();
        assert_eq!(keys_of(&app).await, 1);
        crate::sign_in::provider(&app).await;
        assert_eq!(keys_of(&app).await, 2, "a new key seals");
        opens(&app, &credential).await;
        assert_eq!(rotate::rotate(&app.scope(), &app.connection.keyring).await.unwrap().moved, 1);
        assert_eq!(keys_of(&app).await, 1);
        opens(&app, &credential).await;
    }

    async fn a_key_service_that_is_away_parks_runs_and_loses_none(app) {
        let (_, mapping) = app.connected("Contoso").await;
        app.drain().await;
        let provider = crate::sign_in::provider(&app).await;
        for (mode, says) in [(AWAY, "could not be reached"), (SLOW, "did not answer"), (DENIES, "AccessDenied")] {
            app.key_service.store(mode, Ordering::Relaxed);
            // A token of before is good for an hour.
            app.forget_tokens();
            let asked = app.post("/runs", json!({ "mapping_id": mapping, "kind": "directory", "reconcile": true })).await;
            let run = text(&asked["value"][0], "id");
            let parked = app.wait_for(&run, |state| state == "retrying").await;
            assert!(text(&parked, "error").contains(says), "{parked}");
            assert_eq!(parked["attempt"], 0, "it is not the run's fault");
            let credentials = app.get("/credentials").await;
            assert_eq!(credentials["value"][0]["state"], "active", "nor the credential's: {credentials}");
            // Nothing is written in the clear, and nothing that needs the key is done.
            let keyring = &app.connection.keyring;
            assert!(partner::create(&app.db, keyring, "Nobody").await.is_err());
            let made = app.api("POST", "/credentials", Some(json!({
                "name": "Another", "cloud": "custom", "directory_id": app.application().home,
                "client_id": uuid::Uuid::from_u128(5), "client_secret": "not-in-the-clear",
            }))).await;
            assert!(made.0.is_server_error(), "{made:?}");
            let begun = app.stranger().get(&format!("/sign-in/providers/{provider}")).await;
            assert_eq!(begun.status(), 303, "what needs no key goes on");
            app.key_service.store(ANSWERS, Ordering::Relaxed);
            let back = Instant::now();
            let done = app.settled(&run).await;
            assert_eq!(done["state"], "completed", "{done}");
            assert!(back.elapsed() < Duration::from_secs(60), "{:?}", back.elapsed());
            println!("B9: {says}: parked, and done {:.0} s after it was back", back.elapsed().as_secs_f64());
        }
    }
}

/// Fifty syncs, and all the while both kinds of keys are replaced.
#[test]
fn fifty_syncs_go_on_while_keys_are_replaced() {
    run(|| async {
        let world = licensed(sim::World::demo(crate::app::secret()));
        let app = TestApp::start_with(Database::Sqlite, world, true).await;
        let mut mappings = vec![];
        for name in ["Contoso", "Northwind"] {
            mappings.push(app.connected(name).await.1);
        }
        app.drain().await;
        crate::sign_in::provider(&app).await;
        let file = app.directory.path().join("key");
        let (scope, keyring) = (app.scope(), app.connection.keyring.clone());
        let (replaced, is_done) = (Cell::new(0), Cell::new(false));
        let replace = async {
            while !is_done.get() {
                rotate::rotate(&scope, &keyring).await.unwrap();
                tokio::time::sleep(Duration::from_millis(20)).await;
                FileProvider::add(&file).unwrap();
                while rewrap::rewrap(&app.db, &keyring).await.unwrap() > 0 {}
                FileProvider::retire(&file).unwrap();
                replaced.set(replaced.get() + 1);
            }
        };
        let syncs = async {
            for sync in 0..50 {
                app.forget_tokens();
                let run = app.sync(&mappings[sync % 2], "secure_score").await;
                assert_eq!(run["state"], "completed", "sync {sync}: {run}");
                assert_eq!(run["attempt"], 1, "sync {sync}: {run}");
            }
            is_done.set(true);
        };
        tokio::join!(replace, syncs);
        let replaced = replaced.get();
        assert!(replaced >= 3, "only {replaced}");
        println!(
            "B9: 50 syncs, none failed and none tried twice, while both keys were replaced {replaced} times"
        );
    });
}
