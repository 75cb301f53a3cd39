//! A new data key for a partner, while everything runs: it is added, what the old one sealed moves to
//! it one by one, and the old one goes when nothing is sealed under it. Each step stands by itself, so
//! whoever finds it half done goes on.

use keys::{ContentKey, Keyring, Place, Sealed};
use sea_orm::{ActiveModelTrait, ActiveValue::Set};
use serde_json::json;
use uuid::Uuid;

use super::DataKey;
use crate::{
    ChannelId, CredentialId, CredentialSecretId, Db, Error, IdempotencyKeyId, IntakeId, PartnerId,
    Result, Role, Scope, SignInProviderId,
    audit::{self, Target},
    channel,
    credential::secret,
    db::{execute, query_all, query_one},
    entity::partner_key,
    idempotency_key, intake, sign_in_provider,
};

/// What a rotation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotated {
    /// The version that seals now.
    pub version: i64,
    /// Values that moved to it.
    pub moved: u64,
}

/// Replaces the partner's data key, or goes on with a replacement that was begun.
///
/// # Errors
/// [`Error::Key`] when the wrapping key's service does not answer: nothing is lost, call it again.
pub async fn rotate(scope: &Scope, keyring: &Keyring) -> Result<Rotated> {
    scope.require_everywhere(Role::Owner)?;
    let (db, partner) = (scope.db(), scope.partner());
    let versions = query_all(
        &scope.conn(),
        "SELECT version FROM partner_keys WHERE partner_id = $1 ORDER BY version DESC",
        vec![partner.into()],
    )
    .await?;
    let versions: Vec<i64> = versions
        .iter()
        .map(|row| row.try_get("", "version"))
        .collect::<Result<_, _>>()?;
    let version = match versions.as_slice() {
        [] => return Err(Error::Stored("the partner has no data key".into())),
        // More than one: somebody began, and did not end.
        [newest] => add(db, keyring, partner, *newest).await?,
        [newest, ..] => *newest,
    };
    let mut moved = 0;
    loop {
        moved += move_all(scope, keyring, version).await?;
        if retire(scope, version).await? {
            return Ok(Rotated { version, moved });
        }
    }
}

/// Adds the version after `newest`; somebody else may have done so at the same moment, which is as
/// good. Answers the version that seals now.
pub(super) async fn add(
    db: &Db,
    keyring: &Keyring,
    partner: PartnerId,
    newest: i64,
) -> Result<i64> {
    let version = newest + 1;
    let wrapped = keyring.new_partner_key(partner.0).await?;
    #[allow(clippy::disallowed_methods)] // a key is replaced for its partner
    let scope = Scope::operator(db, partner);
    let tx = scope.begin().await?;
    let inserted = partner_key::ActiveModel {
        partner_id: Set(partner),
        version: Set(version),
        provider_key: Set(wrapped.provider_key),
        wrapped: Set(wrapped.key.as_bytes().to_vec()),
        created_at: Set(scope.now()),
        uses: Set(0),
    }
    .insert(&tx.conn)
    .await;
    match inserted {
        Err(error) if Error::is_unique(&error) => return Ok(version),
        other => other?,
    };
    audit::append(
        &tx,
        &scope,
        "partner.key.add",
        Target::new("partner", partner, ""),
        json!({ "version": version }),
    )
    .await?;
    tx.commit().await?;
    Ok(version)
}

/// A value whose content key the partner's data key wraps.
struct Value {
    table: &'static str,
    column: &'static str,
    id: sea_orm::Value,
    place: Place<'static>,
    version: i64,
    wrapped: Vec<u8>,
}

/// A table whose rows have one sealed text each.
struct SealedTable {
    name: &'static str,
    /// Which rows still have it.
    lives: &'static str,
    place: fn(PartnerId, Uuid) -> Place<'static>,
}

/// All of them.
const SEALED: &[SealedTable] = &[
    SealedTable {
        name: "sign_in_providers",
        lives: "removed_at IS NULL",
        place: |partner, id| sign_in_provider::place(partner, SignInProviderId(id)),
    },
    SealedTable {
        name: "channels",
        lives: "removed_at IS NULL",
        place: |partner, id| channel::place(partner, ChannelId(id)),
    },
    SealedTable {
        name: "intakes",
        lives: "removed_at IS NULL",
        place: |partner, id| intake::place(partner, IntakeId(id)),
    },
    SealedTable {
        name: "idempotency_keys",
        lives: "status IS NOT NULL",
        place: |partner, id| idempotency_key::place(partner, IdempotencyKeyId(id)),
    },
];

async fn behind(scope: &Scope, version: i64) -> Result<Vec<Value>> {
    let partner = scope.partner();
    let keys = || vec![partner.into(), version.into()];
    let mut found = Vec::new();
    for row in query_all(
        &scope.conn(),
        "SELECT id, credential_id, content_key, key_version FROM credential_secrets
         WHERE partner_id = $1 AND key_version < $2 LIMIT 100",
        keys(),
    )
    .await?
    {
        let id: CredentialSecretId = row.try_get("", "id")?;
        let credential: CredentialId = row.try_get("", "credential_id")?;
        found.push(Value {
            table: "credential_secrets",
            column: "content_key",
            id: id.into(),
            place: secret::place(scope, credential, id),
            version: row.try_get("", "key_version")?,
            wrapped: row.try_get("", "content_key")?,
        });
    }
    for table in SEALED {
        let sql = format!(
            "SELECT id, wrapped, key_version FROM {} WHERE partner_id = $1 AND key_version < $2
                AND {} LIMIT 100",
            table.name, table.lives
        );
        for row in query_all(&scope.conn(), &sql, keys()).await? {
            let id: Uuid = row.try_get("", "id")?;
            found.push(Value {
                table: table.name,
                column: "wrapped",
                id: id.into(),
                place: (table.place)(partner, id),
                version: row.try_get("", "key_version")?,
                wrapped: row.try_get("", "wrapped")?,
            });
        }
    }
    Ok(found)
}

async fn move_all(scope: &Scope, keyring: &Keyring, version: i64) -> Result<u64> {
    let (db, partner) = (scope.db(), scope.partner());
    let (mut moved, mut was_orphaned) = (0, false);
    loop {
        let values = behind(scope, version).await?;
        if values.is_empty() {
            return Ok(moved);
        }
        // Another rotation may have replaced the one that this moves values to; it moves them on.
        let Some(new) = DataKey::of(db, keyring, partner, version).await? else {
            return Ok(moved);
        };
        let (before, mut is_orphaned) = (moved, false);
        let mut old: Option<(i64, ContentKey)> = None;
        for value in values {
            let key = match old.take() {
                Some((version, key)) if version == value.version => key,
                _ => match DataKey::of(db, keyring, partner, value.version).await? {
                    Some(opened) => opened.key,
                    // It is retired, so the value was moved since it was read.
                    None => {
                        is_orphaned = true;
                        continue;
                    }
                },
            };
            let wrapped = Sealed::from_bytes(value.wrapped.clone());
            let resealed = keyring.reseal(&key, &new.key, value.place, &wrapped)?;
            // Only what is still as it was read: a secret that was replaced meanwhile has a new key.
            moved += execute(
                &scope.writer(),
                &format!(
                    "UPDATE {table} SET {column} = $1, key_version = $2
                     WHERE partner_id = $3 AND id = $4 AND key_version = $5 AND {column} = $6",
                    table = value.table,
                    column = value.column
                ),
                vec![
                    resealed.as_bytes().to_vec().into(),
                    version.into(),
                    partner.into(),
                    value.id,
                    value.version.into(),
                    value.wrapped.into(),
                ],
            )
            .await?;
            old = Some((value.version, key));
        }
        if is_orphaned && moved == before && was_orphaned {
            return Err(Error::Stored("values name data keys that are gone".into()));
        }
        was_orphaned = is_orphaned && moved == before;
    }
}

/// Destroys the versions before `version`, unless something is sealed under one: `false` then.
async fn retire(scope: &Scope, version: i64) -> Result<bool> {
    let partner = scope.partner();
    let tx = scope.begin().await?;
    let mut sql = "SELECT (SELECT COUNT(*) FROM credential_secrets
            WHERE partner_id = $1 AND key_version < $2)"
        .to_owned();
    for table in SEALED {
        sql.push_str(&format!(
            " + (SELECT COUNT(*) FROM {} WHERE partner_id = $1 AND key_version < $2 AND {})",
            table.name, table.lives
        ));
    }
    sql.push_str(" AS n");
    let left = query_one(&tx.conn, &sql, vec![partner.into(), version.into()]).await?;
    if left.map_or(Ok(0), |row| row.try_get::<i64>("", "n"))? > 0 {
        return Ok(false);
    }
    let gone = execute(
        &tx.conn,
        "DELETE FROM partner_keys WHERE partner_id = $1 AND version < $2",
        vec![partner.into(), version.into()],
    )
    .await?;
    if gone > 0 {
        audit::append(
            &tx,
            scope,
            "partner.key.retire",
            Target::new("partner", partner, ""),
            json!({ "before_version": version }),
        )
        .await?;
    }
    tx.commit().await?;
    if gone > 0 {
        scope.db().scrub().await;
    }
    Ok(true)
}
