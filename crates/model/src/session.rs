//! Signed-in browsers: opaque 256-bit tokens, found by their SHA-256, checked at every request.

use sea_orm::{ActiveModelTrait, ActiveValue::Set, EntityTrait};
use serde_json::json;

use crate::{
    Actor, Db, Member, MemberId, PartnerId, Result, Role, Scope,
    audit::{self, Target},
    db::{execute, query_one},
    entity::{member, membership, session},
};

/// A session ends this long after its last use.
pub const IDLE_MINUTES: i64 = 30;
/// And at the latest this long after it began.
pub const ABSOLUTE_MINUTES: i64 = 12 * 60;

/// Failures per account or address in one window before sign-in pauses.
const FAILURE_LIMIT: i64 = 10;
const FAILURE_WINDOW_MS: i64 = 15 * 60_000;

/// Who a session or token belongs to.
#[derive(Debug, Clone)]
pub struct Principal {
    /// What they may see and do.
    pub scope: Scope,
    /// The person.
    pub member: Member,
    /// Hash of the session's token; `None` for an API token.
    pub session: Option<String>,
}

/// Begins a session for a member with one of their partners; answers the cookie's token.
pub async fn begin(
    db: &Db,
    member: MemberId,
    partner: PartnerId,
    user_agent: &str,
    address: &str,
) -> Result<String> {
    let token = keys::random_token()?;
    let now = db.clock().now();
    let tx = db.begin().await?;
    session::ActiveModel {
        token_hash: Set(keys::fingerprint(&token)),
        partner_id: Set(partner),
        member_id: Set(member),
        created_at: Set(now),
        seen_at: Set(now),
        expires_at: Set(now.plus_minutes(ABSOLUTE_MINUTES)),
        user_agent: Set(user_agent.chars().take(200).collect()),
    }
    .insert(&tx.conn)
    .await?;
    let name = member::Entity::find_by_id(member)
        .one(&tx.conn)
        .await?
        .map(|m| m.email)
        .unwrap_or_default();
    let actor = Actor {
        kind: "member",
        id: member.to_string(),
        name: name.clone(),
        address: address.to_owned(),
    };
    audit::append(
        &tx,
        &Scope::new(db, partner, Role::Viewer, actor),
        "session.begin",
        Target::new("member", member, name),
        json!({}),
    )
    .await?;
    tx.commit().await?;
    Ok(token)
}

/// The principal of a session token, or `None` when it is unknown, idle too long or expired. The
/// membership is read anew, so a changed role counts from the next request on.
pub async fn resume(db: &Db, token: &str, address: &str) -> Result<Option<Principal>> {
    let hash = keys::fingerprint(token);
    let now = db.clock().now();
    let Some(found) = session::Entity::find_by_id(hash.clone())
        .one(db.conn())
        .await?
    else {
        return Ok(None);
    };
    if found.expires_at <= now || found.seen_at.plus_minutes(IDLE_MINUTES) <= now {
        return Ok(None);
    }
    let key = (found.partner_id, found.member_id);
    let Some(membership) = membership::Entity::find_by_id(key).one(db.conn()).await? else {
        return Ok(None);
    };
    let Some(member) = member::Entity::find_by_id(found.member_id)
        .one(db.conn())
        .await?
    else {
        return Ok(None);
    };
    // Once a minute is enough to know when it was last used.
    if found.seen_at.plus_ms(60_000) <= now {
        execute(
            db.writer(),
            "UPDATE sessions SET seen_at = $1 WHERE token_hash = $2",
            vec![now.into(), hash.clone().into()],
        )
        .await?;
    }
    let actor = Actor {
        kind: "member",
        id: member.id.to_string(),
        name: member.email.clone(),
        address: address.to_owned(),
    };
    Ok(Some(Principal {
        scope: Scope::of_member(db, &membership, membership.role, actor)?,
        member,
        session: Some(hash),
    }))
}

/// Ends a session.
pub async fn end(principal: &Principal) -> Result<()> {
    let Some(hash) = &principal.session else {
        return Ok(());
    };
    let scope = &principal.scope;
    let tx = scope.begin().await?;
    execute(
        &tx.conn,
        "DELETE FROM sessions WHERE token_hash = $1",
        vec![hash.clone().into()],
    )
    .await?;
    audit::append(
        &tx,
        scope,
        "session.end",
        Target::new("member", principal.member.id, &principal.member.email),
        json!({}),
    )
    .await?;
    tx.commit().await
}

/// Removes sessions that ended by themselves; called by the scheduler.
pub async fn prune(db: &Db) -> Result<()> {
    let now = db.clock().now();
    execute(
        db.writer(),
        "DELETE FROM sessions WHERE expires_at <= $1 OR seen_at <= $2",
        vec![now.into(), now.plus_minutes(-IDLE_MINUTES).into()],
    )
    .await?;
    execute(
        db.writer(),
        "DELETE FROM sign_in_failures WHERE window_start <= $1",
        vec![now.plus_ms(-2 * FAILURE_WINDOW_MS).into()],
    )
    .await?;
    Ok(())
}

/// Counts a sign-in against each subject (an account, an address) before it is tried, so that many at
/// once cannot pass the limit together. Answers the seconds to wait where one is over it.
pub async fn sign_in_begins(db: &Db, subjects: &[String]) -> Result<Option<i64>> {
    let now = db.clock().now();
    let window = now.0 - now.0 % FAILURE_WINDOW_MS;
    let tx = db.begin().await?;
    let mut most = 0;
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
        most = most.max(count);
    }
    tx.commit().await?;
    Ok((most > FAILURE_LIMIT).then(|| (window + FAILURE_WINDOW_MS - now.0) / 1000 + 1))
}

/// Takes back what [`sign_in_begins`] counted, because it was the right person.
pub async fn sign_in_succeeded(db: &Db, subjects: &[String]) -> Result<()> {
    let now = db.clock().now();
    let window = now.0 - now.0 % FAILURE_WINDOW_MS;
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
