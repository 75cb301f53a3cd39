//! Passwords: argon2id, a few at a time, and the same time for an account that does not exist.

use std::sync::OnceLock;

use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use tokio::sync::Semaphore;

/// Each hash takes 19 MiB: this many at once bound what a burst of sign-ins may take.
static TURNS: Semaphore = Semaphore::const_new(4);

/// Shortest password: it may stand alone.
pub(crate) const SHORTEST: usize = 15;

/// Hashes a password with argon2id in its default parameters (19 MiB, 2 passes). `known` is what
/// everybody knows of the person: their address, their organisation.
///
/// # Errors
/// When it is too short, would be guessed soon, or hashing fails; the text is for the person.
pub async fn hash(password: &str, known: &[&str]) -> Result<String, String> {
    if password.chars().count() < SHORTEST {
        return Err(format!(
            "Use at least {SHORTEST} characters; a short sentence is easy to remember."
        ));
    }
    if password.len() > 1024 {
        return Err("Use at most 1024 characters.".into());
    }
    // Of common passwords, words, names, dates, keyboard rows and repetitions.
    let mut known: Vec<&str> = known
        .iter()
        .flat_map(|text| text.split(|c: char| !c.is_alphanumeric()).chain([*text]))
        .filter(|word| word.len() > 2)
        .collect();
    known.push("tenantry");
    let start: String = password.chars().take(100).collect();
    if zxcvbn::zxcvbn(&start, &known).score() < zxcvbn::Score::Three {
        return Err(
            "This would be guessed soon. A sentence of a few words that do not belong together is \
             hard to guess and easy to remember."
                .into(),
        );
    }
    let password = password.to_owned();
    in_turn(move || {
        Argon2::default()
            .hash_password(password.as_bytes())
            .map(|h| h.to_string())
    })
    .await
    .and_then(Result::ok)
    .ok_or_else(|| "The password could not be stored. Try again.".into())
}

/// Whether the password matches. `None` for the hash of an account that does not exist: a dummy is
/// verified then, so that the answer takes as long.
pub(crate) async fn verify(password: &str, stored: Option<String>) -> bool {
    let password = password.to_owned();
    in_turn(move || {
        let exists = stored.is_some();
        let hash = stored.unwrap_or_else(|| dummy().to_owned());
        let matches = PasswordHash::new(&hash).is_ok_and(|h| {
            Argon2::default()
                .verify_password(password.as_bytes(), &h)
                .is_ok()
        });
        matches && exists
    })
    .await
    .unwrap_or(false)
}

async fn in_turn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let turn = TURNS.acquire().await.ok()?;
    // The turn goes with the work: a visitor who leaves does not free it before the hash is done.
    tokio::task::spawn_blocking(move || {
        let _turn = turn;
        work()
    })
    .await
    .ok()
}

fn dummy() -> &'static str {
    static HASH: OnceLock<String> = OnceLock::new();
    HASH.get_or_init(|| {
        Argon2::default()
            .hash_password(b"no account has this password")
            .map(|h| h.to_string())
            .unwrap_or_default()
    })
}
