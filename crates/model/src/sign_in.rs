//! On the way to a session: limits of attempts, and steps that a browser has begun.

use std::collections::HashMap;

use zeroize::Zeroizing;

use crate::{
    Db, MemberId, Principal, Result,
    audit::{self, Target},
    db::{execute, query_all, query_one},
};

/// Attempts on an account in one window before it pauses.
const ATTEMPTS: i64 = 10;
/// Attempts from an address, behind which a whole office may be.
const ATTEMPTS_OF_ADDRESS: i64 = 100;
/// Sign-ins that an address begins without saying whose: most of them are well meant.
const BEGINS_OF_ADDRESS: i64 = 1000;
/// Messages that a public contact form takes in one window, from everybody together.
const MESSAGES_OF_FORM: i64 = 60;
const WINDOW_MS: i64 = 15 * 60_000;
/// A step that was begun is ended within this time, or begun anew.
pub const STEP_MINUTES: i64 = 10;

/// Counts an attempt against each subject (an account, an address, a second factor) before it is
/// tried, so that many at once cannot pass the limit together. Answers the seconds to wait where one
/// is over it.
pub async fn attempt(db: &Db, subjects: &[String]) -> Result<Option<i64>> {
    let now = db.clock().now();
    let window = now.0 - now.0 % WINDOW_MS;
    let tx = db.begin().await?;
    let mut is_over = false;
    for subject in subjects {
        let row = query_one(
            &tx.conn,
            "INSERT INTO sign_in_failures (subject, window_start, failures) VALUES ($1, $2, 1)
             ON CONFLICT (subject, window_start) DO UPDATE
             SET failures = sign_in_failures.failures + 1
             RETURNING failures",
            vec![subject.clone().into(), window.into()],
        )
        .await?;
        let count: i64 = row.map_or(Ok(0), |r| r.try_get("", "failures"))?;
        let most = match subject.split_once(' ') {
            Some(("address", _)) => ATTEMPTS_OF_ADDRESS,
            Some(("begins", _)) => BEGINS_OF_ADDRESS,
            Some(("contact_form", _)) => MESSAGES_OF_FORM,
            _ => ATTEMPTS,
        };
        is_over |= count > most;
    }
    tx.commit().await?;
    Ok(is_over.then(|| (window + WINDOW_MS - now.0) / 1000 + 1))
}

/// Takes back what [`attempt`] counted, because it was the right person.
pub async fn succeeded(db: &Db, subjects: &[String]) -> Result<()> {
    let now = db.clock().now();
    let window = now.0 - now.0 % WINDOW_MS;
    let tx = db.begin().await?;
    for subject in subjects {
        execute(
            &tx.conn,
            "UPDATE sign_in_failures SET failures = failures - 1
             WHERE subject = $1 AND window_start = $2 AND failures > 0",
            vec![subject.clone().into(), window.into()],
        )
        .await?;
    }
    tx.commit().await
}

/// How attempts on an account are counted: by the hash of its address in its one spelling, so that the
/// table names nobody.
pub fn account_subject(email: &str) -> String {
    format!(
        "account {}",
        keys::fingerprint(&crate::member::normal_email(email))
    )
}

/// Accounts, by [`account_subject`], on which there were more attempts than are let through in the
/// window of now or the one before, with their number.
pub(crate) async fn paused_accounts(db: &Db) -> Result<HashMap<String, i64>> {
    let now = db.clock().now();
    let rows = query_all(
        &db.conn(),
        "SELECT subject, MAX(failures) AS attempts FROM sign_in_failures
         WHERE window_start > $1 AND failures > $2 AND subject LIKE 'account %' GROUP BY subject",
        vec![
            (now.0 - now.0 % WINDOW_MS - 2 * WINDOW_MS).into(),
            ATTEMPTS.into(),
        ],
    )
    .await?;
    let mut all = HashMap::new();
    for row in &rows {
        all.insert(
            row.try_get("", "subject")?,
            row.try_get::<i64>("", "attempts")?,
        );
    }
    Ok(all)
}

/// What a browser has begun.
#[derive(Debug)]
pub struct Step {
    /// Whose it is, where that is known.
    pub member: Option<MemberId>,
    /// What the step needs to end: JSON of its own kind. It may hold a verifier.
    pub state: Zeroizing<String>,
}

impl Step {
    fn read(row: sea_orm::QueryResult) -> Result<Self> {
        Ok(Self {
            member: row.try_get("", "member_id")?,
            state: Zeroizing::new(row.try_get("", "state")?),
        })
    }
}

/// Begins a step of a kind; answers the token that the browser keeps in a cookie.
pub async fn begin_step(
    db: &Db,
    kind: &'static str,
    member: Option<MemberId>,
    state: &str,
) -> Result<String> {
    let token = keys::random_token()?;
    execute(
        &db.writer(),
        "INSERT INTO sign_in_steps (token_hash, kind, member_id, state, expires_at)
         VALUES ($1, $2, $3, $4, $5)",
        vec![
            keys::fingerprint(&token).into(),
            kind.into(),
            member.into(),
            state.into(),
            db.clock().now().plus_minutes(STEP_MINUTES).into(),
        ],
    )
    .await?;
    Ok(token)
}

/// The open step behind a token, or `None` when it is unknown, ended, expired or of another kind.
pub async fn step(db: &Db, kind: &'static str, token: &str) -> Result<Option<Step>> {
    let row = query_one(
        &db.conn(),
        "SELECT member_id, state FROM sign_in_steps
         WHERE token_hash = $1 AND kind = $2 AND expires_at > $3",
        vec![
            keys::fingerprint(token).into(),
            kind.into(),
            db.clock().now().into(),
        ],
    )
    .await?;
    row.map(Step::read).transpose()
}

/// Ends a step and answers it; only one of many who ask at once gets it.
pub async fn take_step(db: &Db, kind: &'static str, token: &str) -> Result<Option<Step>> {
    let row = query_one(
        &db.writer(),
        "DELETE FROM sign_in_steps WHERE token_hash = $1 AND kind = $2 AND expires_at > $3
         RETURNING member_id, state",
        vec![
            keys::fingerprint(token).into(),
            kind.into(),
            db.clock().now().into(),
        ],
    )
    .await?;
    row.map(Step::read).transpose()
}

/// Changes the member's password; all other sessions end.
pub async fn change_password(principal: &Principal, password_hash: &str) -> Result<()> {
    principal.require_own_sign_in()?;
    let scope = &principal.scope;
    let tx = scope.begin().await?;
    execute(
        &tx.conn,
        "UPDATE members SET password_hash = $1, password_changed_at = $2 WHERE id = $3",
        vec![
            password_hash.into(),
            scope.now().into(),
            principal.member.id.into(),
        ],
    )
    .await?;
    let ended = crate::session::end_others_in(&tx, principal).await?;
    audit::append(
        &tx,
        scope,
        "member.password",
        Target::new("member", principal.member.id, &principal.member.email),
        serde_json::json!({ "sessions_ended": ended }),
    )
    .await?;
    tx.commit().await
}

pub(crate) async fn prune(db: &Db) -> Result<()> {
    let now = db.clock().now();
    execute(
        &db.writer(),
        "DELETE FROM sign_in_failures WHERE window_start <= $1",
        vec![now.plus_ms(-2 * WINDOW_MS).into()],
    )
    .await?;
    execute(
        &db.writer(),
        "DELETE FROM sign_in_steps WHERE expires_at <= $1",
        vec![now.into()],
    )
    .await?;
    Ok(())
}
