//! Where members of a partner may sign in instead of here: Microsoft Entra, or any OpenID Connect
//! provider. What a provider says of a person counts for its partner alone.

use keys::{Keyring, Place, Secret};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder,
};
use serde_json::json;

use crate::{
    Db, DirectoryId, Error, FieldError, Member, PartnerId, Principal, ProviderKind, Result, Role,
    Scope, SignInProvider, SignInProviderId,
    audit::{self, Target},
    data_key::{self, DataKey, SealedText},
    db::{execute, query_all},
    entity::{identity, member, sign_in_provider},
    member::active_membership,
};

/// What an owner types.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Microsoft Entra, or another.
    pub kind: ProviderKind,
    /// What the button says.
    pub name: String,
    /// Microsoft's cloud, for [`ProviderKind::Entra`].
    pub cloud: String,
    /// The directory whose people may sign in, for [`ProviderKind::Entra`].
    pub directory: Option<DirectoryId>,
    /// The issuer exactly as the provider writes it, for [`ProviderKind::Oidc`].
    pub issuer: String,
    /// The application's id there.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Secret,
    /// Whether the sign-in page offers it to everybody; else it has a link of its own.
    pub is_listed: bool,
}

/// Checks what was typed.
///
/// # Errors
/// [`Error::Invalid`] with every field that is wrong.
pub fn check(draft: &Draft) -> Result<()> {
    let mut errors = Vec::new();
    let mut wrong = |field, message: &str| {
        errors.push(FieldError {
            field,
            message: message.into(),
        });
    };
    let long = |text: &str| text.len() > 300 || text.chars().any(char::is_control);
    let name = draft.name.trim();
    if name.is_empty() || name.chars().count() > 60 || long(name) {
        wrong(
            "name",
            "Enter a name of at most 60 characters, as the button will say it.",
        );
    }
    match draft.kind {
        ProviderKind::Entra if draft.directory.is_none() => {
            wrong("directory_id", "Enter the directory's tenant ID, a GUID.");
        }
        ProviderKind::Oidc if draft.issuer.is_empty() || long(&draft.issuer) => {
            wrong(
                "issuer",
                "Enter the issuer's address, such as https://id.example.com.",
            );
        }
        _ => {}
    }
    if draft.client_id.trim().is_empty() || long(&draft.client_id) {
        wrong("client_id", "Enter the application's client ID.");
    }
    if draft.client_secret.expose().is_empty() || long(draft.client_secret.expose()) {
        wrong("client_secret", "Enter the application's client secret.");
    }
    match errors.is_empty() {
        true => Ok(()),
        false => Err(Error::Invalid(errors)),
    }
}

pub(crate) fn place(partner: PartnerId, id: SignInProviderId) -> Place<'static> {
    Place {
        partner: partner.0,
        table: "sign_in_providers",
        column: "sealed",
        row: id.0,
    }
}

/// Adds a provider.
pub async fn create(scope: &Scope, keyring: &Keyring, draft: &Draft) -> Result<SignInProviderId> {
    scope.require_everywhere(Role::Owner)?;
    check(draft)?;
    let id = SignInProviderId::generate(scope.db().clock());
    let data_key = DataKey::newest(scope.db(), keyring, scope.partner()).await?;
    let tx = scope.begin().await?;
    let secret = draft.client_secret.expose().as_bytes();
    let (wrapped, sealed) = data_key
        .seal(&tx, keyring, place(scope.partner(), id), secret)
        .await?;
    sign_in_provider::ActiveModel {
        partner_id: Set(scope.partner()),
        id: Set(id),
        kind: Set(draft.kind),
        name: Set(draft.name.trim().to_owned()),
        cloud: Set(draft.cloud.clone()),
        directory_id: Set(draft.directory),
        issuer: Set(draft.issuer.clone()),
        client_id: Set(draft.client_id.trim().to_owned()),
        key_version: Set(data_key.version),
        wrapped: Set(wrapped.as_bytes().to_vec()),
        sealed: Set(sealed.as_bytes().to_vec()),
        is_listed: Set(i64::from(draft.is_listed)),
        created_at: Set(scope.now()),
        removed_at: Set(None),
    }
    .insert(&tx.conn)
    .await?;
    audit::append(
        &tx,
        scope,
        "sign_in_provider.create",
        Target::new("sign_in_provider", id, draft.name.trim()),
        json!({ "kind": draft.kind, "issuer": draft.issuer, "directory_id": draft.directory,
                "client_id": draft.client_id.trim(), "is_listed": draft.is_listed }),
    )
    .await?;
    tx.commit().await?;
    Ok(id)
}

/// The scope's providers, oldest first.
pub async fn list(scope: &Scope) -> Result<Vec<SignInProvider>> {
    scope.require_everywhere(Role::Auditor)?;
    of_partner(scope.db(), scope.partner()).await
}

/// A partner's providers, for its members to link and to sign in with.
pub async fn of_partner(db: &Db, partner: PartnerId) -> Result<Vec<SignInProvider>> {
    Ok(sign_in_provider::Entity::find()
        .filter(sign_in_provider::Column::PartnerId.eq(partner))
        .filter(sign_in_provider::Column::RemovedAt.is_null())
        .order_by_asc(sign_in_provider::Column::CreatedAt)
        .all(&db.conn_of(partner))
        .await?)
}

/// Providers that the sign-in page offers to everybody.
pub async fn listed(db: &Db) -> Result<Vec<SignInProvider>> {
    Ok(sign_in_provider::Entity::find()
        .filter(sign_in_provider::Column::IsListed.eq(1))
        .filter(sign_in_provider::Column::RemovedAt.is_null())
        .order_by_asc(sign_in_provider::Column::Name)
        .all(&db.everybody())
        .await?)
}

/// A provider by its id, for a sign-in that begins.
pub async fn get(db: &Db, id: SignInProviderId) -> Result<Option<SignInProvider>> {
    Ok(sign_in_provider::Entity::find()
        .filter(sign_in_provider::Column::Id.eq(id))
        .filter(sign_in_provider::Column::RemovedAt.is_null())
        .one(&db.everybody())
        .await?)
}

/// The provider's client secret, for the one request that redeems a code.
pub async fn secret(db: &Db, keyring: &Keyring, provider: &SignInProvider) -> Result<Secret> {
    let sealed = |row: &SignInProvider| SealedText {
        version: row.key_version,
        wrapped: row.wrapped.clone(),
        sealed: row.sealed.clone(),
    };
    let place = place(provider.partner_id, provider.id);
    data_key::open(db, keyring, place, sealed(provider), || async {
        Ok(get(db, provider.id).await?.as_ref().map(sealed))
    })
    .await
}

/// Removes a provider: nobody signs in with it any more, sessions that it began end, its secret is
/// gone. `None` when there is none.
pub async fn remove(scope: &Scope, id: SignInProviderId) -> Result<Option<()>> {
    scope.require_everywhere(Role::Owner)?;
    let tx = scope.begin().await?;
    let changed = execute(
        &tx.conn,
        "UPDATE sign_in_providers SET removed_at = $1, wrapped = $2, sealed = $2
         WHERE partner_id = $3 AND id = $4 AND removed_at IS NULL",
        vec![
            scope.now().into(),
            Vec::<u8>::new().into(),
            scope.partner().into(),
            id.into(),
        ],
    )
    .await?;
    if changed == 0 {
        return Ok(None);
    }
    for sql in [
        "DELETE FROM sessions WHERE partner_id = $1 AND provider_id = $2",
        "DELETE FROM identities WHERE partner_id = $1 AND provider_id = $2",
    ] {
        execute(&tx.conn, sql, vec![scope.partner().into(), id.into()]).await?;
    }
    audit::append(
        &tx,
        scope,
        "sign_in_provider.remove",
        Target::new("sign_in_provider", id, ""),
        json!({}),
    )
    .await?;
    tx.commit().await?;
    scope.db().scrub().await;
    Ok(Some(()))
}

/// The member whom a provider's subject belongs to, while they are one of the provider's partner.
pub async fn member_of(
    db: &Db,
    provider: &SignInProvider,
    subject: &str,
) -> Result<Option<Member>> {
    let conn = &db.conn_of(provider.partner_id);
    let key = (provider.partner_id, provider.id, subject.to_owned());
    let Some(found) = identity::Entity::find_by_id(key).one(conn).await? else {
        return Ok(None);
    };
    if active_membership(conn, provider.partner_id, found.member_id)
        .await?
        .is_none()
    {
        return Ok(None);
    }
    execute(
        &db.writer_of(provider.partner_id),
        "UPDATE identities SET used_at = $1
         WHERE partner_id = $2 AND provider_id = $3 AND subject = $4",
        vec![
            db.clock().now().into(),
            provider.partner_id.into(),
            provider.id.into(),
            subject.into(),
        ],
    )
    .await?;
    Ok(member::Entity::find_by_id(found.member_id)
        .one(&db.conn())
        .await?)
}

/// Links a provider's subject to a member of its partner. `address` is where they did it from.
///
/// # Errors
/// [`Error::Conflict`] when the subject is linked to somebody else.
pub async fn link(
    db: &Db,
    provider: &SignInProvider,
    member: &Member,
    subject: &str,
    username: &str,
    address: &str,
) -> Result<()> {
    let scope = Scope::new(
        db,
        provider.partner_id,
        Role::Viewer,
        crate::Actor {
            kind: "member",
            id: member.id.to_string(),
            name: member.email.clone(),
            address: address.to_owned(),
        },
    );
    let tx = scope.begin().await?;
    let key = (provider.partner_id, provider.id, subject.to_owned());
    if let Some(found) = identity::Entity::find_by_id(key).one(&tx.conn).await? {
        return match found.member_id == member.id {
            true => Ok(()),
            false => Err(Error::Conflict(format!(
                "This account of {} belongs to another member already.",
                provider.name
            ))),
        };
    }
    identity::ActiveModel {
        partner_id: Set(provider.partner_id),
        provider_id: Set(provider.id),
        subject: Set(subject.to_owned()),
        member_id: Set(member.id),
        username: Set(username
            .chars()
            .filter(|c| !c.is_control())
            .take(200)
            .collect()),
        created_at: Set(scope.now()),
        used_at: Set(None),
    }
    .insert(&tx.conn)
    .await?;
    audit::append(
        &tx,
        &scope,
        "identity.link",
        Target::new("member", member.id, &member.email),
        json!({ "provider": provider.id, "subject": subject }),
    )
    .await?;
    tx.commit().await
}

/// A member's account at a provider.
#[derive(Debug, Clone)]
pub struct Linked {
    /// The provider.
    pub provider: SignInProviderId,
    /// Its name.
    pub name: String,
    /// Whose it is there, to read.
    pub username: String,
    /// The subject, by which it is unlinked.
    pub subject: String,
}

/// The person's accounts at the providers of the partner that they are signed in to.
pub async fn linked(principal: &Principal) -> Result<Vec<Linked>> {
    let rows = query_all(
        &principal.scope.conn(),
        "SELECT i.provider_id, i.subject, i.username, p.name FROM identities i
         JOIN sign_in_providers p ON p.partner_id = i.partner_id AND p.id = i.provider_id
         WHERE i.partner_id = $1 AND i.member_id = $2 ORDER BY i.created_at",
        vec![principal.scope.partner().into(), principal.member.id.into()],
    )
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Linked {
                provider: row.try_get("", "provider_id")?,
                name: row.try_get("", "name")?,
                username: row.try_get("", "username")?,
                subject: row.try_get("", "subject")?,
            })
        })
        .collect()
}

/// Unlinks one of the person's accounts. `None` when there is none.
pub async fn unlink(
    principal: &Principal,
    provider: SignInProviderId,
    subject: &str,
) -> Result<Option<()>> {
    let scope = &principal.scope;
    let tx = scope.begin().await?;
    let removed = execute(
        &tx.conn,
        "DELETE FROM identities
         WHERE partner_id = $1 AND provider_id = $2 AND subject = $3 AND member_id = $4",
        vec![
            scope.partner().into(),
            provider.into(),
            subject.into(),
            principal.member.id.into(),
        ],
    )
    .await?;
    if removed == 0 {
        return Ok(None);
    }
    audit::append(
        &tx,
        scope,
        "identity.unlink",
        Target::new("member", principal.member.id, &principal.member.email),
        json!({ "provider": provider, "subject": subject }),
    )
    .await?;
    tx.commit().await?;
    Ok(Some(()))
}
