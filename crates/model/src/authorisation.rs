//! Authorisations of delegated connections: a person signs in with Microsoft and lets the
//! application read in their name. Found by the hash of a state, used once, bound to a session.

use keys::{Keyring, Secret};
use sea_orm::{ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter};
use serde_json::json;

use crate::{
    Actor, Authorisation, AuthorisationId, CredentialId, Db, DirectoryId, Error, Result, Role,
    Scope, TenantId,
    audit::{self, Target},
    credential::{self, Credential},
    data_key::DataKey,
    db::execute,
    entity::authorisation::{ActiveModel, Column, Entity},
    tenant::{self, Organization},
};

/// How long the person may take.
const LIFETIME_MINUTES: i64 = 10;

/// Begins one; `state` is kept hashed.
pub async fn create(
    scope: &Scope,
    credential: CredentialId,
    session_hash: &str,
    state: &str,
) -> Result<Authorisation> {
    scope.require(Role::Admin)?;
    let now = scope.now();
    let tx = scope.begin().await?;
    let row = ActiveModel {
        partner_id: Set(scope.partner()),
        id: Set(AuthorisationId::generate(scope.db().clock())),
        credential_id: Set(credential),
        session_hash: Set(session_hash.to_owned()),
        state_hash: Set(keys::fingerprint(state)),
        created_at: Set(now),
        expires_at: Set(now.plus_minutes(LIFETIME_MINUTES)),
        used_at: Set(None),
    }
    .insert(&tx.conn)
    .await?;
    audit::append(
        &tx,
        scope,
        "authorisation.begin",
        Target::new("credential", credential, ""),
        json!({}),
    )
    .await?;
    tx.commit().await?;
    Ok(row)
}

/// What presenting a state answers.
#[derive(Debug)]
pub enum Presented {
    /// No authorisation has this state.
    Unknown,
    /// It was presented before.
    Replayed(Scope, Authorisation),
    /// It came too late.
    Expired(Scope, Authorisation),
    /// Another browser began it; it stays open for that one.
    OtherSession(Scope, Authorisation),
    /// It is ours, and consumed by this call.
    Accepted(Scope, Authorisation),
}

/// Presents a state, with the hashes of the cookies that the browser brought.
pub async fn present(
    db: &Db,
    state: &str,
    browsers: &[String],
    address: &str,
) -> Result<Presented> {
    let row = Entity::find()
        .filter(Column::StateHash.eq(keys::fingerprint(state)))
        .one(&db.everybody())
        .await?;
    let Some(row) = row else {
        return Ok(Presented::Unknown);
    };
    let now = db.clock().now();
    let actor = Actor {
        kind: "administrator",
        id: row.id.to_string(),
        name: "authorising person".into(),
        address: address.to_owned(),
    };
    let scope = Scope::new(db, row.partner_id, Role::Admin, actor);
    if row.used_at.is_some() {
        return Ok(Presented::Replayed(scope, row));
    }
    if row.expires_at <= now {
        return Ok(Presented::Expired(scope, row));
    }
    if !browsers.contains(&row.session_hash) {
        return Ok(Presented::OtherSession(scope, row));
    }
    let used = execute(
        &scope.writer(),
        "UPDATE authorisations SET used_at = $1
         WHERE partner_id = $2 AND id = $3 AND used_at IS NULL",
        vec![now.into(), row.partner_id.into(), row.id.into()],
    )
    .await?;
    Ok(if used == 1 {
        Presented::Accepted(scope, row)
    } else {
        Presented::Replayed(scope, row)
    })
}

/// Writes the audit row of a return that authorised nothing.
pub async fn note_refusal(
    scope: &Scope,
    credential: CredentialId,
    outcome: &str,
    code: Option<&str>,
) -> Result<()> {
    let tx = scope.begin().await?;
    audit::append(
        &tx,
        scope,
        "authorisation.refuse",
        Target::new("credential", credential, ""),
        json!({ "outcome": outcome, "code": code }),
    )
    .await?;
    tx.commit().await
}

/// Keeps the refresh token of a person who authorised, in one transaction with its audit row.
///
/// # Errors
/// [`Error::Conflict`] when the credential was revoked meanwhile.
pub async fn finish(
    scope: &Scope,
    keyring: &Keyring,
    credential: &Credential,
    refresh_token: &Secret,
    person: &str,
) -> Result<()> {
    let data_key = DataKey::newest(scope.db(), keyring, scope.partner()).await?;
    let tx = scope.begin().await?;
    if !credential::is_live(&tx, scope, credential.id).await? {
        return Err(Error::Conflict(
            "The credential was revoked meanwhile.".into(),
        ));
    }
    credential::secret::authorised(
        &tx,
        scope,
        (keyring, &data_key),
        credential.id,
        refresh_token,
    )
    .await?;
    execute(
        &tx.conn,
        "UPDATE credentials SET authorised_as = $1, authorised_at = $2, last_error = NULL,
            last_error_code = NULL, last_error_at = NULL
         WHERE partner_id = $3 AND id = $4",
        vec![
            person.into(),
            scope.now().into(),
            scope.partner().into(),
            credential.id.into(),
        ],
    )
    .await?;
    audit::append(
        &tx,
        scope,
        "authorisation.finish",
        Target::new("credential", credential.id, &credential.name),
        json!({ "authorised_as": person }),
    )
    .await?;
    tx.commit().await
}

/// Records that the credential reads its own directory: of a single-tenant application and of a
/// delegated connection, once their test passed.
///
/// # Errors
/// [`Error::Conflict`] when another partner of this installation holds the same application there.
pub async fn connect(
    scope: &Scope,
    credential: &Credential,
    organization: &Organization,
) -> Result<TenantId> {
    let tx = scope.begin().await?;
    if !credential::is_live(&tx, scope, credential.id).await? {
        return Err(Error::Conflict(
            "The credential was revoked meanwhile.".into(),
        ));
    }
    let found_by = credential.kind.as_str();
    let directory: DirectoryId = credential.directory_id;
    let id = tenant::record_consent(
        &tx,
        scope,
        credential,
        directory,
        organization,
        "",
        found_by,
    )
    .await?;
    execute(
        &tx.conn,
        "UPDATE credentials SET state = 'active', last_success_at = $1
         WHERE partner_id = $2 AND id = $3 AND state <> 'revoked'",
        vec![
            scope.now().into(),
            scope.partner().into(),
            credential.id.into(),
        ],
    )
    .await?;
    tx.commit().await?;
    Ok(id)
}
