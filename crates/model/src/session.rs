//! Signed-in browsers: opaque 256-bit tokens, found by their SHA-256, checked at every request.

use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder,
};
use serde_json::json;

use crate::{
    Actor, Db, Error, Member, MemberId, PartnerId, Result, Role, Scope, Session, SessionId,
    SignInMethod, SignInProviderId,
    audit::{self, Target},
    db::{Tx, execute},
    entity::{member, session},
    member::active_membership,
};

/// A session ends this long after its last use.
pub const IDLE_MINUTES: i64 = 30;
/// And at the latest this long after it began.
pub const ABSOLUTE_MINUTES: i64 = 12 * 60;
/// What needs a proof of the person asks for a new one after so long.
pub const PROOF_MINUTES: i64 = 5;

/// Who a session or token belongs to.
#[derive(Debug, Clone)]
pub struct Principal {
    /// What they may see and do.
    pub scope: Scope,
    /// The person.
    pub member: Member,
    /// The session; `None` for an API token.
    pub session: Option<Session>,
}

impl Principal {
    /// Refuses a session that a partner's own provider began: whoever keeps that provider could else
    /// make themselves keys to an account that belongs to the person, with other partners as well.
    ///
    /// # Errors
    /// [`Error::Conflict`].
    pub fn require_own_sign_in(&self) -> Result<()> {
        match &self.session {
            Some(session) if session.provider_id.is_some() => Err(Error::Conflict(
                "You signed in with your organisation's own sign-in, which looks after this. Sign in \
                 with your password to change it."
                    .into(),
            )),
            _ => Ok(()),
        }
    }

    /// Whether the person proved lately who they are. A token proves that with every request.
    pub fn is_proved(&self) -> bool {
        match &self.session {
            None => true,
            Some(session) => session.proved_at.plus_minutes(PROOF_MINUTES) > self.scope.now(),
        }
    }
}

/// What a session is begun with.
#[derive(Debug, Clone)]
pub struct Begin<'a> {
    /// Who.
    pub member: MemberId,
    /// For which partner.
    pub partner: PartnerId,
    /// How they signed in.
    pub method: SignInMethod,
    /// At which provider, for [`SignInMethod::Provider`]: such a session stays with its partner.
    pub provider: Option<SignInProviderId>,
    /// The browser as it names itself.
    pub user_agent: &'a str,
    /// Network address.
    pub address: &'a str,
}

/// Begins a session for a member with one of their partners; answers the cookie's token.
pub async fn begin(db: &Db, begin: Begin<'_>) -> Result<String> {
    let tx = db.begin_of(begin.partner).await?;
    let token = begin_in(&tx, db, &begin, "session.begin").await?;
    tx.commit().await?;
    Ok(token)
}

async fn begin_in(tx: &Tx, db: &Db, begin: &Begin<'_>, action: &str) -> Result<String> {
    let token = keys::random_token()?;
    let now = db.clock().now();
    session::ActiveModel {
        token_hash: Set(keys::fingerprint(&token)),
        id: Set(SessionId::generate(db.clock())),
        partner_id: Set(begin.partner),
        member_id: Set(begin.member),
        method: Set(begin.method),
        provider_id: Set(begin.provider),
        created_at: Set(now),
        seen_at: Set(now),
        proved_at: Set(now),
        expires_at: Set(now.plus_minutes(ABSOLUTE_MINUTES)),
        user_agent: Set(begin
            .user_agent
            .chars()
            .filter(|c| !c.is_control())
            .take(200)
            .collect()),
        address: Set(begin.address.to_owned()),
    }
    .insert(&tx.conn)
    .await?;
    let name = member::Entity::find_by_id(begin.member)
        .one(&tx.conn)
        .await?
        .map(|m| m.email)
        .unwrap_or_default();
    let actor = Actor {
        kind: "member",
        id: begin.member.to_string(),
        name: name.clone(),
        address: begin.address.to_owned(),
    };
    audit::append(
        tx,
        &Scope::new(db, begin.partner, Role::Viewer, actor),
        action,
        Target::new("member", begin.member, name),
        json!({ "method": begin.method }),
    )
    .await?;
    Ok(token)
}

/// The principal of a session token, or `None` when it is unknown, idle too long or expired. The
/// membership is read anew, so a changed role counts from the next request on.
pub async fn resume(db: &Db, token: &str, address: &str) -> Result<Option<Principal>> {
    let hash = keys::fingerprint(token);
    let now = db.clock().now();
    let Some(found) = session::Entity::find_by_id(hash.clone())
        .one(&db.conn())
        .await?
    else {
        return Ok(None);
    };
    if found.expires_at <= now || found.seen_at.plus_minutes(IDLE_MINUTES) <= now {
        return Ok(None);
    }
    let Some(membership) = active_membership(
        &db.conn_of(found.partner_id),
        found.partner_id,
        found.member_id,
    )
    .await?
    else {
        return Ok(None);
    };
    let Some(member) = member::Entity::find_by_id(found.member_id)
        .one(&db.conn())
        .await?
    else {
        return Ok(None);
    };
    // Once a minute is enough to know when it was last used.
    if found.seen_at.plus_ms(60_000) <= now {
        execute(
            &db.writer(),
            "UPDATE sessions SET seen_at = $1, address = $2 WHERE token_hash = $3",
            vec![now.into(), address.into(), hash.into()],
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
        session: Some(found),
    }))
}

/// Whether what the principal may do still stands: the session was not ended, and the membership is as
/// it was. For what goes on after its request, such as a live page; it is no use of the session.
pub async fn holds(principal: &Principal) -> Result<bool> {
    let scope = &principal.scope;
    let (db, now) = (scope.db(), scope.now());
    if let Some(session) = &principal.session {
        let live = session::Entity::find_by_id(session.token_hash.clone())
            .filter(session::Column::ExpiresAt.gt(now))
            .one(&db.conn())
            .await?;
        if live.is_none() {
            return Ok(false);
        }
    }
    let membership = active_membership(&scope.conn(), scope.partner(), principal.member.id).await?;
    let Some(membership) = membership else {
        return Ok(false);
    };
    let same = Scope::of_member(db, &membership, membership.role, scope.actor().clone())?;
    Ok(membership.role >= scope.role() && same.sees_as(scope))
}

/// Sessions of the person, the newest use first: those of other partners as well, because they are
/// the same person's, but not to a session that a partner's own provider began.
pub async fn list(principal: &Principal) -> Result<Vec<Session>> {
    let db = principal.scope.db();
    let now = db.clock().now();
    let mut query = session::Entity::find();
    if principal.require_own_sign_in().is_err() {
        query = query.filter(session::Column::PartnerId.eq(principal.scope.partner()));
    }
    Ok(query
        .filter(session::Column::MemberId.eq(principal.member.id))
        .filter(session::Column::ExpiresAt.gt(now))
        .filter(session::Column::SeenAt.gt(now.plus_minutes(-IDLE_MINUTES)))
        .order_by_desc(session::Column::SeenAt)
        .all(&db.conn())
        .await?)
}

/// Ends one of the person's sessions; answers whether there was one.
pub async fn revoke(principal: &Principal, id: SessionId) -> Result<bool> {
    let scope = &principal.scope;
    if !list(principal)
        .await?
        .iter()
        .any(|session| session.id == id)
    {
        return Ok(false);
    }
    let tx = scope.begin().await?;
    let ended = execute(
        &tx.conn,
        "DELETE FROM sessions WHERE id = $1 AND member_id = $2",
        vec![id.into(), principal.member.id.into()],
    )
    .await?;
    if ended == 0 {
        return Ok(false);
    }
    audit::append(
        &tx,
        scope,
        "session.revoke",
        Target::new("member", principal.member.id, &principal.member.email),
        json!({ "session": id }),
    )
    .await?;
    tx.commit().await?;
    Ok(true)
}

/// Ends the session itself.
pub async fn end(principal: &Principal) -> Result<()> {
    let Some(session) = &principal.session else {
        return Ok(());
    };
    let scope = &principal.scope;
    let tx = scope.begin().await?;
    execute(
        &tx.conn,
        "DELETE FROM sessions WHERE id = $1",
        vec![session.id.into()],
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

/// Ends all other sessions of the person; answers how many.
pub async fn end_others(principal: &Principal) -> Result<u64> {
    principal.require_own_sign_in()?;
    let scope = &principal.scope;
    let tx = scope.begin().await?;
    let ended = end_others_in(&tx, principal).await?;
    audit::append(
        &tx,
        scope,
        "session.revoke",
        Target::new("member", principal.member.id, &principal.member.email),
        json!({ "others": ended }),
    )
    .await?;
    tx.commit().await?;
    Ok(ended)
}

pub(crate) async fn end_others_in(tx: &Tx, principal: &Principal) -> Result<u64> {
    Ok(match &principal.session {
        Some(session) => {
            execute(
                &tx.conn,
                "DELETE FROM sessions WHERE member_id = $1 AND id <> $2",
                vec![principal.member.id.into(), session.id.into()],
            )
            .await?
        }
        None => {
            execute(
                &tx.conn,
                "DELETE FROM sessions WHERE member_id = $1",
                vec![principal.member.id.into()],
            )
            .await?
        }
    })
}

/// Ends all sessions of a member with a partner.
pub(crate) async fn end_all_in(tx: &Tx, partner: PartnerId, member: MemberId) -> Result<u64> {
    Ok(execute(
        &tx.conn,
        "DELETE FROM sessions WHERE partner_id = $1 AND member_id = $2",
        vec![partner.into(), member.into()],
    )
    .await?)
}

/// Notes that the person has proved anew who they are; answers the token that takes the place of the
/// old one.
///
/// # Errors
/// [`Error::Conflict`] when the session ended meanwhile.
pub async fn prove(principal: &Principal, method: SignInMethod) -> Result<String> {
    let Some(session) = &principal.session else {
        return Err(Error::Conflict("An API token has no session.".into()));
    };
    let scope = &principal.scope;
    let token = keys::random_token()?;
    let tx = scope.begin().await?;
    let changed = execute(
        &tx.conn,
        "UPDATE sessions SET proved_at = $1, token_hash = $2 WHERE token_hash = $3",
        vec![
            scope.now().into(),
            keys::fingerprint(&token).into(),
            session.token_hash.clone().into(),
        ],
    )
    .await?;
    if changed == 0 {
        return Err(Error::Conflict(
            "This session has ended. Sign in again.".into(),
        ));
    }
    audit::append(
        &tx,
        scope,
        "session.prove",
        Target::new("member", principal.member.id, &principal.member.email),
        json!({ "method": method }),
    )
    .await?;
    tx.commit().await?;
    Ok(token)
}

/// Goes on as a member of another partner, in a session with a token of its own; the old one ends.
/// `None` when the person is no member there.
///
/// # Errors
/// [`Error::Conflict`] for a session that a partner's own provider began: it says nothing about the
/// person to anybody else.
pub async fn switch(
    principal: &Principal,
    partner: PartnerId,
    user_agent: &str,
) -> Result<Option<String>> {
    let db = principal.scope.db();
    let Some(session) = &principal.session else {
        return Ok(None);
    };
    if session.provider_id.is_some() && partner != session.partner_id {
        return Err(Error::Conflict(
            "You signed in with this organisation's own sign-in, which counts here alone. Sign out, \
             and sign in to the other organisation."
                .into(),
        ));
    }
    if active_membership(&db.conn_of(partner), partner, principal.member.id)
        .await?
        .is_none()
    {
        return Ok(None);
    }
    let tx = db.begin_of(partner).await?;
    execute(
        &tx.conn,
        "DELETE FROM sessions WHERE id = $1",
        vec![session.id.into()],
    )
    .await?;
    let next = Begin {
        member: principal.member.id,
        partner,
        method: session.method,
        provider: session.provider_id,
        user_agent,
        address: &principal.scope.actor().address,
    };
    let token = begin_in(&tx, db, &next, "session.switch").await?;
    // The proof and the end are the old session's: a switch proves nothing.
    execute(
        &tx.conn,
        "UPDATE sessions SET proved_at = $1, expires_at = $2 WHERE token_hash = $3",
        vec![
            session.proved_at.into(),
            session.expires_at.into(),
            keys::fingerprint(&token).into(),
        ],
    )
    .await?;
    tx.commit().await?;
    Ok(Some(token))
}

/// Removes what ended by itself; called by the scheduler.
pub async fn prune(db: &Db) -> Result<()> {
    let now = db.clock().now();
    execute(
        &db.writer(),
        "DELETE FROM sessions WHERE expires_at <= $1 OR seen_at <= $2",
        vec![now.into(), now.plus_minutes(-IDLE_MINUTES).into()],
    )
    .await?;
    crate::sign_in::prune(db).await?;
    crate::held_form::prune(db).await
}
