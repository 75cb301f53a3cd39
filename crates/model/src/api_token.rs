//! Bearer tokens of members for the API: shown once, kept hashed, never above the member's role.

use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder,
};
use serde_json::json;

use crate::{
    Actor, ApiToken, ApiTokenId, Db, Error, MemberId, Result, Role, Scope, Timestamp,
    audit::{self, Target},
    db::execute,
    entity::{api_token, member},
    member::active_membership,
    session::Principal,
};

/// Every token begins with this, so that scanners for leaked secrets can know it.
pub const PREFIX: &str = "tnt_";

/// Makes a token for a member; answers its text, which is not kept.
///
/// # Errors
/// [`Error::Invalid`] for a role above the member's own.
pub async fn create(
    scope: &Scope,
    member: MemberId,
    name: &str,
    role: Role,
    expires_at: Option<Timestamp>,
) -> Result<String> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > 60 || name.chars().any(char::is_control) {
        return Err(Error::field(
            "name",
            "Enter a name of at most 60 characters, such as what the token is for.",
        ));
    }
    if expires_at.is_some_and(|at| at <= scope.now()) {
        return Err(Error::field(
            "expires_at",
            "Enter a day that is still to come.",
        ));
    }
    let own = active_membership(&scope.conn(), scope.partner(), member)
        .await?
        .ok_or_else(|| Error::field("member", "there is no such member"))?;
    if role > own.role {
        return Err(Error::field(
            "role",
            format!("the member's own role is {}", own.role),
        ));
    }
    let token = format!("{PREFIX}{}", keys::random_token()?);
    let id = ApiTokenId::generate(scope.db().clock());
    let tx = scope.begin().await?;
    api_token::ActiveModel {
        partner_id: Set(scope.partner()),
        id: Set(id),
        member_id: Set(member),
        name: Set(name.to_owned()),
        token_hash: Set(keys::fingerprint(&token)),
        role: Set(role),
        created_at: Set(scope.now()),
        expires_at: Set(expires_at),
        used_at: Set(None),
        revoked_at: Set(None),
    }
    .insert(&tx.conn)
    .await?;
    audit::append(
        &tx,
        scope,
        "api_token.create",
        Target::new("api_token", id, name),
        json!({ "role": role, "expires_at": expires_at }),
    )
    .await?;
    tx.commit().await?;
    Ok(token)
}

/// The person's own tokens with this partner that still count, newest first.
pub async fn list(scope: &Scope, member: MemberId) -> Result<Vec<ApiToken>> {
    let now = scope.now();
    let found = api_token::Entity::find()
        .filter(api_token::Column::PartnerId.eq(scope.partner()))
        .filter(api_token::Column::MemberId.eq(member))
        .filter(api_token::Column::RevokedAt.is_null())
        .order_by_desc(api_token::Column::CreatedAt)
        .all(&scope.conn())
        .await?;
    Ok(found
        .into_iter()
        .filter(|token| token.expires_at.is_none_or(|at| at > now))
        .collect())
}

/// Revokes one of the person's own tokens, or, for an owner, anybody's of the partner. `None` when
/// there is none.
pub async fn revoke(scope: &Scope, id: ApiTokenId) -> Result<Option<()>> {
    let tx = scope.begin().await?;
    let found = api_token::Entity::find_by_id((scope.partner(), id))
        .filter(api_token::Column::RevokedAt.is_null())
        .one(&tx.conn)
        .await?
        .filter(|token| scope.role() == Role::Owner || scope.member() == Some(token.member_id));
    let Some(token) = found else {
        return Ok(None);
    };
    execute(
        &tx.conn,
        "UPDATE api_tokens SET revoked_at = $1 WHERE partner_id = $2 AND id = $3",
        vec![scope.now().into(), scope.partner().into(), id.into()],
    )
    .await?;
    audit::append(
        &tx,
        scope,
        "api_token.revoke",
        Target::new("api_token", id, token.name),
        json!({}),
    )
    .await?;
    tx.commit().await?;
    Ok(Some(()))
}

/// The principal of a bearer token, or `None` when it is unknown, expired or revoked.
pub async fn authenticate(db: &Db, token: &str, address: &str) -> Result<Option<Principal>> {
    if !token.starts_with(PREFIX) {
        return Ok(None);
    }
    let now = db.clock().now();
    let Some(found) = api_token::Entity::find()
        .filter(api_token::Column::TokenHash.eq(keys::fingerprint(token)))
        .one(&db.everybody())
        .await?
    else {
        return Ok(None);
    };
    if found.revoked_at.is_some() || found.expires_at.is_some_and(|at| at <= now) {
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
    if found.used_at.is_none_or(|at| at.plus_ms(60_000) <= now) {
        execute(
            &db.writer_of(found.partner_id),
            "UPDATE api_tokens SET used_at = $1 WHERE partner_id = $2 AND id = $3",
            vec![now.into(), found.partner_id.into(), found.id.into()],
        )
        .await?;
    }
    let actor = Actor {
        kind: "token",
        id: found.id.to_string(),
        name: format!("{} ({})", found.name, member.email),
        address: address.to_owned(),
    };
    let role = found.role.min(membership.role);
    Ok(Some(Principal {
        scope: Scope::of_member(db, &membership, role, actor)?,
        member,
        session: None,
    }))
}
