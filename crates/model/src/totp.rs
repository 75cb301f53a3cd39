//! A member's authenticator app. The seed is sealed; each code counts once.

use keys::{Keyring, Place, Sealed, Secret};
use sea_orm::{ActiveModelTrait, ActiveValue::Set, EntityTrait};
use serde_json::json;
use zeroize::Zeroizing;

use crate::{
    Db, Error, MemberId, Principal, Result,
    audit::{self, Target},
    db::execute,
    entity::totp,
    recovery_code,
};

/// The seed's place: its row belongs to a person, not to a partner.
pub(crate) fn place(member: MemberId) -> Place<'static> {
    Place {
        partner: uuid::Uuid::nil(),
        table: "totps",
        column: "sealed",
        row: member.0,
    }
}

/// Whether the member has an app that was confirmed with a code.
pub async fn is_confirmed(db: &Db, member: MemberId) -> Result<bool> {
    let found = totp::Entity::find_by_id(member).one(&db.conn()).await?;
    Ok(found.is_some_and(|t| t.confirmed_at.is_some()))
}

async fn seed(keyring: &Keyring, row: &totp::Model) -> Result<Zeroizing<Vec<u8>>> {
    Ok(keyring
        .open_alone(
            &row.provider_key,
            place(row.member_id),
            &Sealed::from_bytes(row.wrapped.clone()),
            &Sealed::from_bytes(row.sealed.clone()),
        )
        .await?)
}

/// Begins an enrolment, or goes on with one that was begun and not confirmed; answers the seed.
///
/// # Errors
/// [`Error::Conflict`] when an app is confirmed already.
pub async fn enrol(principal: &Principal, keyring: &Keyring) -> Result<Zeroizing<Vec<u8>>> {
    principal.require_own_sign_in()?;
    let db = principal.scope.db();
    let member = principal.member.id;
    if let Some(found) = totp::Entity::find_by_id(member).one(&db.conn()).await? {
        if found.confirmed_at.is_some() {
            return Err(Error::Conflict(
                "An authenticator app is set up already. Remove it first.".into(),
            ));
        }
        return seed(keyring, &found).await;
    }
    let fresh = keys::totp::new_seed()?;
    let (wrapped, sealed) = keyring.seal_alone(place(member), &fresh).await?;
    let tx = db.begin().await?;
    totp::ActiveModel {
        member_id: Set(member),
        provider_key: Set(wrapped.provider_key),
        wrapped: Set(wrapped.key.as_bytes().to_vec()),
        sealed: Set(sealed.as_bytes().to_vec()),
        created_at: Set(db.clock().now()),
        confirmed_at: Set(None),
        last_step: Set(0),
    }
    .insert(&tx.conn)
    .await?;
    tx.commit().await?;
    Ok(fresh)
}

/// Confirms the enrolment with a code; answers fresh recovery codes, which are shown once. All other
/// sessions end.
///
/// # Errors
/// [`Error::Invalid`] for a code that is not right.
pub async fn confirm(principal: &Principal, keyring: &Keyring, code: &str) -> Result<Vec<Secret>> {
    principal.require_own_sign_in()?;
    let scope = &principal.scope;
    if !redeem(scope.db(), keyring, principal.member.id, code, true).await? {
        return Err(Error::field(
            "code",
            "This is not the app's present code. Look whether the clock of your telephone is right.",
        ));
    }
    let tx = scope.begin().await?;
    execute(
        &tx.conn,
        "UPDATE totps SET confirmed_at = $1 WHERE member_id = $2",
        vec![scope.now().into(), principal.member.id.into()],
    )
    .await?;
    let codes = recovery_code::renew_in(&tx, principal.member.id).await?;
    let ended = crate::session::end_others_in(&tx, principal).await?;
    audit::append(
        &tx,
        scope,
        "member.totp",
        Target::new("member", principal.member.id, &principal.member.email),
        json!({ "sessions_ended": ended }),
    )
    .await?;
    tx.commit().await?;
    Ok(codes)
}

/// Whether the code is right and was not used: each counts once, and none before it counts after it.
pub async fn verify(db: &Db, keyring: &Keyring, member: MemberId, code: &str) -> Result<bool> {
    redeem(db, keyring, member, code, false).await
}

async fn redeem(
    db: &Db,
    keyring: &Keyring,
    member: MemberId,
    code: &str,
    enrolling: bool,
) -> Result<bool> {
    let Some(row) = totp::Entity::find_by_id(member).one(&db.conn()).await? else {
        return Ok(false);
    };
    if row.confirmed_at.is_none() != enrolling {
        return Ok(false);
    }
    let seed = seed(keyring, &row).await?;
    let Some(step) = keys::totp::step_of(&seed, code, db.clock().now().0 / 1000) else {
        return Ok(false);
    };
    // Of two who send the same code at once, one gets it.
    let taken = execute(
        &db.writer(),
        "UPDATE totps SET last_step = $1 WHERE member_id = $2 AND last_step < $1",
        vec![step.into(), member.into()],
    )
    .await?;
    Ok(taken == 1)
}

/// Removes the app and, where no passkey is left either, the recovery codes with it.
pub async fn remove(principal: &Principal) -> Result<()> {
    principal.require_own_sign_in()?;
    let scope = &principal.scope;
    let tx = scope.begin().await?;
    execute(
        &tx.conn,
        "DELETE FROM totps WHERE member_id = $1",
        vec![principal.member.id.into()],
    )
    .await?;
    execute(
        &tx.conn,
        "DELETE FROM recovery_codes WHERE member_id = $1
         AND NOT EXISTS (SELECT 1 FROM passkeys k WHERE k.member_id = $1)",
        vec![principal.member.id.into()],
    )
    .await?;
    let ended = crate::session::end_others_in(&tx, principal).await?;
    audit::append(
        &tx,
        scope,
        "member.totp_remove",
        Target::new("member", principal.member.id, &principal.member.email),
        json!({ "sessions_ended": ended }),
    )
    .await?;
    tx.commit().await
}
