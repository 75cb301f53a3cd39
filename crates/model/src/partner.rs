//! Partners and their data keys.

use keys::{Keyring, Wrapped};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ConnectionTrait, EntityTrait, PaginatorTrait, QueryOrder,
};
use serde_json::json;

use crate::{
    Actor, Db, Error, MemberId, Partner, PartnerId, Result, Role, Scope,
    audit::{self, Target},
    db::{Tx, execute, query_one},
    entity::{partner, partner_key},
    member,
};

/// How many partners the installation has.
pub async fn count(db: &Db) -> Result<u64> {
    Ok(partner::Entity::find().count(&db.everybody()).await?)
}

/// All partners, by name; for the operator.
pub async fn list(db: &Db) -> Result<Vec<Partner>> {
    Ok(partner::Entity::find()
        .order_by_asc(partner::Column::Name)
        .all(&db.everybody())
        .await?)
}

/// The scope's own partner.
pub async fn current(scope: &Scope) -> Result<Partner> {
    partner::Entity::find_by_id(scope.partner())
        .one(&scope.conn())
        .await?
        .ok_or_else(|| Error::Stored("the scope's partner does not exist".into()))
}

/// Whether members of a partner must have a second factor.
pub async fn requires_factor(db: &Db, partner: PartnerId) -> Result<bool> {
    let row = query_one(
        &db.conn_of(partner),
        "SELECT requires_factor FROM partners WHERE id = $1",
        vec![partner.into()],
    )
    .await?;
    let flag: i64 = row.map_or(Ok(0), |row| row.try_get("", "requires_factor"))?;
    Ok(flag != 0)
}

/// Demands a second factor of every member who signs in with a password, or no longer.
pub async fn require_factor(scope: &Scope, is_required: bool) -> Result<()> {
    scope.require_everywhere(Role::Owner)?;
    let tx = scope.begin().await?;
    execute(
        &tx.conn,
        "UPDATE partners SET requires_factor = $1 WHERE id = $2",
        vec![i64::from(is_required).into(), scope.partner().into()],
    )
    .await?;
    let target = Target::new("partner", scope.partner(), "");
    let detail = json!({ "is_required": is_required });
    audit::append(&tx, scope, "partner.require_factor", target, detail).await?;
    tx.commit().await
}

/// Changes the partner's name, and whom its customers' administrators may ask.
///
/// # Errors
/// [`Error::Invalid`] for a name or contact that is empty or too long.
pub async fn edit(scope: &Scope, name: &str, contact: &str) -> Result<()> {
    scope.require_everywhere(Role::Admin)?;
    let (name, contact) = (name.trim(), contact.trim());
    if name.is_empty() || name.chars().count() > 120 || name.chars().any(char::is_control) {
        return Err(Error::field(
            "name",
            "Enter the organisation's name, at most 120 characters.",
        ));
    }
    if contact.chars().count() > 200 || contact.chars().any(char::is_control) {
        return Err(Error::field(
            "contact",
            "Enter an e-mail address, a telephone number or a web page, at most 200 characters.",
        ));
    }
    let before = current(scope).await?;
    let tx = scope.begin().await?;
    execute(
        &tx.conn,
        "UPDATE partners SET name = $1, contact = $2 WHERE id = $3",
        vec![name.into(), contact.into(), scope.partner().into()],
    )
    .await?;
    audit::append(
        &tx,
        scope,
        "partner.edit",
        Target::new("partner", scope.partner(), name),
        json!({ "before": { "name": before.name, "contact": before.contact },
                "after": { "name": name, "contact": contact } }),
    )
    .await?;
    tx.commit().await
}

/// Makes a partner with its data key; the caller adds its first member or invitation.
///
/// # Errors
/// [`Error::Invalid`] for an empty or over-long name.
pub async fn create(db: &Db, keyring: &Keyring, name: &str) -> Result<PartnerId> {
    let key = new_key(db, keyring).await?;
    let tx = db.everybody_writer().begin().await?;
    let id = create_in(&tx, db, key, name).await?;
    tx.commit().await?;
    Ok(id)
}

/// An id for a new partner and its data key, made before the transaction begins: the wrapping key may
/// be a service's.
async fn new_key(db: &Db, keyring: &Keyring) -> Result<(PartnerId, Wrapped)> {
    let id = PartnerId::generate(db.clock());
    Ok((id, keyring.new_partner_key(id.0).await?))
}

async fn create_in(
    tx: &Tx,
    db: &Db,
    (id, key): (PartnerId, Wrapped),
    name: &str,
) -> Result<PartnerId> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > 120 {
        return Err(Error::field(
            "partner",
            "Enter the organisation's name, at most 120 characters.",
        ));
    }
    // However the first partner came to be, nobody sets up a second one with the console's token.
    execute(&tx.conn, "DELETE FROM setup_tokens", vec![]).await?;
    let now = db.clock().now();
    partner::ActiveModel {
        id: Set(id),
        name: Set(name.to_owned()),
        created_at: Set(now),
        audit_seq: Set(0),
        audit_head: Set(String::new()),
        run_number: Set(0),
        contact: Set(String::new()),
    }
    .insert(&tx.conn)
    .await?;
    partner_key::ActiveModel {
        partner_id: Set(id),
        version: Set(1),
        provider_key: Set(key.provider_key),
        wrapped: Set(key.key.as_bytes().to_vec()),
        created_at: Set(now),
        uses: Set(0),
    }
    .insert(&tx.conn)
    .await?;
    #[allow(clippy::disallowed_methods)] // before it there is nobody
    let scope = Scope::operator(db, id);
    audit::append(
        tx,
        &scope,
        "partner.create",
        Target::new("partner", id, name),
        json!({ "name": name }),
    )
    .await?;
    Ok(id)
}

/// The one-time token that opens `/setup`, made anew; only its hash is kept. `None` once a partner
/// exists.
pub async fn new_setup_token(db: &Db) -> Result<Option<String>> {
    let tx = db.everybody_writer().begin().await?;
    if partner::Entity::find().count(&tx.conn).await? > 0 {
        return Ok(None);
    }
    let token = keys::random_token()?;
    execute(&tx.conn, "DELETE FROM setup_tokens", vec![]).await?;
    execute(
        &tx.conn,
        "INSERT INTO setup_tokens (token_hash, created_at) VALUES ($1, $2)",
        vec![keys::fingerprint(&token).into(), db.clock().now().into()],
    )
    .await?;
    tx.commit().await?;
    Ok(Some(token))
}

/// Whether the token opens `/setup` now.
pub async fn setup_token_is_valid(db: &Db, token: &str) -> Result<bool> {
    setup_token_in(&db.conn(), token).await
}

async fn setup_token_in(conn: &impl ConnectionTrait, token: &str) -> Result<bool> {
    Ok(query_one(
        conn,
        "SELECT token_hash FROM setup_tokens WHERE token_hash = $1",
        vec![keys::fingerprint(token).into()],
    )
    .await?
    .is_some())
}

/// First start: the partner, its owner and the end of the setup token, in one transaction.
///
/// # Errors
/// [`Error::Conflict`] when the token was used or is wrong, [`Error::Invalid`] for the fields.
pub async fn set_up(
    db: &Db,
    keyring: &Keyring,
    token: &str,
    name: &str,
    email: &str,
    password_hash: &str,
) -> Result<(PartnerId, MemberId)> {
    let key = new_key(db, keyring).await?;
    let tx = db.everybody_writer().begin().await?;
    let taken = execute(
        &tx.conn,
        "DELETE FROM setup_tokens WHERE token_hash = $1",
        vec![keys::fingerprint(token).into()],
    )
    .await?;
    if taken != 1 || partner::Entity::find().count(&tx.conn).await? > 0 {
        return Err(Error::Conflict(
            "This setup link was used already or is not the one on the console. Restart the \
             server to get a new one."
                .into(),
        ));
    }
    let partner = create_in(&tx, db, key, name).await?;
    let member = member::create_in(&tx, db, email, Some(password_hash)).await?;
    member::join_in(
        &tx,
        &Scope::new(
            db,
            partner,
            Role::Owner,
            Actor {
                kind: "operator",
                id: String::new(),
                name: "setup".into(),
                address: String::new(),
            },
        ),
        member,
        Role::Owner,
        None,
    )
    .await?;
    tx.commit().await?;
    Ok((partner, member))
}
