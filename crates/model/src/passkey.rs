//! Passkeys of members. The ceremony itself is the portal's; here its public results are kept.

use keys::Secret;
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder,
};
use serde_json::json;

use crate::{
    Db, Error, MemberId, Passkey, PasskeyId, Principal, Result,
    audit::{self, Target},
    db::execute,
    entity::passkey,
    recovery_code,
};

/// The most that a member may have.
const MOST: usize = 20;

/// A member's passkeys, oldest first.
pub async fn list(db: &Db, member: MemberId) -> Result<Vec<Passkey>> {
    Ok(passkey::Entity::find()
        .filter(passkey::Column::MemberId.eq(member))
        .order_by_asc(passkey::Column::CreatedAt)
        .all(&db.conn())
        .await?)
}

/// The passkey that an authenticator names.
pub async fn by_credential(db: &Db, credential_id: &str) -> Result<Option<Passkey>> {
    Ok(passkey::Entity::find()
        .filter(passkey::Column::CredentialId.eq(credential_id.trim_end_matches('=')))
        .one(&db.conn())
        .await?)
}

/// Keeps a new passkey: the authenticator's id of it and what checks it, both as text. Answers
/// recovery codes where the member had none.
///
/// # Errors
/// [`Error::Invalid`] for the name, [`Error::Conflict`] for a passkey that is known already.
pub async fn add(
    principal: &Principal,
    credential_id: &str,
    credential: &str,
    name: &str,
) -> Result<Vec<Secret>> {
    principal.require_own_sign_in()?;
    let scope = &principal.scope;
    let name = name.trim();
    if name.is_empty() || name.chars().count() > 60 || name.chars().any(char::is_control) {
        return Err(Error::field(
            "name",
            "Enter a name of at most 60 characters, such as where the passkey is kept.",
        ));
    }
    let member = principal.member.id;
    if list(scope.db(), member).await?.len() >= MOST {
        return Err(Error::Conflict(format!(
            "{MOST} passkeys are as many as one person may have. Remove one first."
        )));
    }
    let id = PasskeyId::generate(scope.db().clock());
    let tx = scope.begin().await?;
    let inserted = passkey::ActiveModel {
        id: Set(id),
        member_id: Set(member),
        credential_id: Set(credential_id.to_owned()),
        credential: Set(credential.to_owned()),
        name: Set(name.to_owned()),
        created_at: Set(scope.now()),
        used_at: Set(None),
    }
    .insert(&tx.conn)
    .await;
    match inserted {
        Err(error) if Error::is_unique(&error) => {
            return Err(Error::Conflict("This passkey is known already.".into()));
        }
        other => other?,
    };
    let codes = match recovery_code::left(scope.db(), member).await? {
        0 => recovery_code::renew_in(&tx, member).await?,
        _ => vec![],
    };
    let ended = crate::session::end_others_in(&tx, principal).await?;
    audit::append(
        &tx,
        scope,
        "member.passkey",
        Target::new("passkey", id, name),
        json!({ "sessions_ended": ended }),
    )
    .await?;
    tx.commit().await?;
    Ok(codes)
}

/// Notes that a passkey was used, and what its authenticator counted: only if nobody did meanwhile,
/// so that one answer of it counts once.
pub async fn used(db: &Db, passkey: &Passkey, credential: &str) -> Result<bool> {
    let changed = execute(
        &db.writer(),
        "UPDATE passkeys SET credential = $1, used_at = $2 WHERE id = $3 AND credential = $4",
        vec![
            credential.into(),
            db.clock().now().into(),
            passkey.id.into(),
            passkey.credential.clone().into(),
        ],
    )
    .await?;
    Ok(changed == 1)
}

/// Removes one of the person's passkeys and, with the last factor, the recovery codes. All other
/// sessions end. `None` when there is none.
pub async fn remove(principal: &Principal, id: PasskeyId) -> Result<Option<()>> {
    principal.require_own_sign_in()?;
    let scope = &principal.scope;
    let member = principal.member.id;
    let tx = scope.begin().await?;
    let removed = execute(
        &tx.conn,
        "DELETE FROM passkeys WHERE id = $1 AND member_id = $2",
        vec![id.into(), member.into()],
    )
    .await?;
    if removed == 0 {
        return Ok(None);
    }
    execute(
        &tx.conn,
        "DELETE FROM recovery_codes WHERE member_id = $1
         AND NOT EXISTS (SELECT 1 FROM passkeys k WHERE k.member_id = $1)
         AND NOT EXISTS (SELECT 1 FROM totps t WHERE t.member_id = $1 AND t.confirmed_at IS NOT NULL)",
        vec![member.into()],
    )
    .await?;
    let ended = crate::session::end_others_in(&tx, principal).await?;
    audit::append(
        &tx,
        scope,
        "member.passkey_remove",
        Target::new("passkey", id, ""),
        json!({ "sessions_ended": ended }),
    )
    .await?;
    tx.commit().await?;
    Ok(Some(()))
}
