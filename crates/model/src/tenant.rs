//! Tenants: Microsoft Entra directories as a credential sees them.

use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder,
};
use serde_json::json;

use crate::{
    CredentialId, DirectoryId, Error, Result, Role, Scope, Tenant, TenantId, TenantState,
    audit::{self, Target},
    credential::Credential,
    db::execute,
    entity::{mapping, tenant, tenant::Column, tenant::Entity},
};

/// What Microsoft says of a directory (`GET /organization`).
#[derive(Debug, Clone, Default)]
pub struct Organization {
    /// Name.
    pub display_name: String,
    /// The domain marked as default.
    pub default_domain: String,
    /// All verified domains.
    pub domains: Vec<String>,
    /// Two-letter country code.
    pub country: Option<String>,
}

impl Tenant {
    /// The verified domains.
    pub fn domain_list(&self) -> Vec<String> {
        serde_json::from_str(&self.domains).unwrap_or_default()
    }

    /// Names of the application permissions that were found granted; `None` when that could not be
    /// read. A permission that has no name here is its GUID.
    pub fn granted_list(&self) -> Option<Vec<String>> {
        self.granted_permissions
            .as_deref()
            .and_then(|json| serde_json::from_str(json).ok())
    }

    /// The name, or what there is in place of one.
    pub fn label(&self) -> String {
        [&self.display_name, &self.default_domain]
            .into_iter()
            .find(|text| !text.is_empty())
            .cloned()
            .unwrap_or_else(|| self.directory_id.to_string())
    }
}

/// A directory that was found without consent.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its tenant id.
    pub directory: DirectoryId,
    /// Its name, empty when it is not known.
    pub display_name: String,
    /// A domain of it, empty when none is known.
    pub domain: String,
    /// How it relates to the partner, for people to read.
    pub relationship: Option<String>,
}

/// Records directories that were found, without touching what consent says of those that are known.
/// Answers how many were not known before.
pub async fn record_found(
    scope: &Scope,
    credential: &Credential,
    found_by: &str,
    found: &[Found],
) -> Result<usize> {
    scope.require(Role::Admin)?;
    let tx = scope.begin().await?;
    let now = scope.now();
    let mut new = 0;
    for one in found {
        let existing = Entity::find()
            .filter(Column::PartnerId.eq(scope.partner()))
            .filter(Column::CredentialId.eq(credential.id))
            .filter(Column::DirectoryId.eq(one.directory))
            .one(&tx.conn)
            .await?;
        match existing {
            Some(row) => {
                let consented = row.consented_at.is_some();
                let (name, domain) = (row.display_name.clone(), row.default_domain.clone());
                let mut active: tenant::ActiveModel = row.into();
                // What the tenant says of itself is better than what a list says of it.
                if !consented && !one.display_name.is_empty() && one.display_name != name {
                    active.display_name = Set(one.display_name.clone());
                }
                if !consented && domain.is_empty() {
                    active.default_domain = Set(one.domain.clone());
                }
                if one.relationship.is_some() {
                    active.relationship = Set(one.relationship.clone());
                }
                active.found_at = Set(Some(now));
                active.update(&tx.conn).await?;
            }
            None => {
                new += 1;
                let domains: Vec<&str> = [one.domain.as_str()]
                    .into_iter()
                    .filter(|d| !d.is_empty())
                    .collect();
                tenant::ActiveModel {
                    partner_id: Set(scope.partner()),
                    id: Set(TenantId::generate(scope.db().clock())),
                    credential_id: Set(credential.id),
                    cloud: Set(credential.cloud.clone()),
                    client_id: Set(credential.client_id),
                    directory_id: Set(one.directory),
                    display_name: Set(one.display_name.clone()),
                    default_domain: Set(one.domain.clone()),
                    domains: Set(serde_json::to_string(&domains)
                        .map_err(|e| Error::Stored(e.to_string()))?),
                    country: Set(None),
                    found_by: Set(found_by.to_owned()),
                    state: Set(TenantState::Discovered),
                    granted_scopes: Set(String::new()),
                    consented_at: Set(None),
                    checked_at: Set(None),
                    last_error_code: Set(None),
                    last_error: Set(None),
                    created_at: Set(now),
                    granted_permissions: Set(None),
                    permissions_checked_at: Set(None),
                    relationship: Set(one.relationship.clone()),
                    found_at: Set(Some(now)),
                }
                .insert(&tx.conn)
                .await?;
            }
        }
    }
    audit::append(
        &tx,
        scope,
        "tenant.discover",
        Target::new("credential", credential.id, &credential.name),
        json!({ "found_by": found_by, "found": found.len(), "new": new }),
    )
    .await?;
    tx.commit().await?;
    Ok(new)
}

/// Notes which application permissions a tenant has granted, read just now.
pub async fn note_permissions(scope: &Scope, id: TenantId, granted: &[String]) -> Result<()> {
    let mut granted = granted.to_vec();
    granted.sort_unstable();
    let text = serde_json::to_string(&granted).map_err(|e| Error::Stored(e.to_string()))?;
    let values: Vec<sea_orm::Value> = vec![
        text.into(),
        scope.now().into(),
        scope.partner().into(),
        id.into(),
    ];
    // Most syncs find what the last one found: that needs no turn at the audit log.
    let conn = scope.writer();
    let same = execute(
        &conn,
        "UPDATE tenants SET permissions_checked_at = $2
         WHERE partner_id = $3 AND id = $4 AND granted_permissions = $1",
        values.clone(),
    );
    if same.await? > 0 {
        return Ok(());
    }
    let tx = scope.begin().await?;
    execute(
        &tx.conn,
        "UPDATE tenants SET granted_permissions = $1, permissions_checked_at = $2
         WHERE partner_id = $3 AND id = $4",
        values,
    )
    .await?;
    audit::append(
        &tx,
        scope,
        "tenant.permissions",
        Target::new("tenant", id, ""),
        json!({ "granted": granted }),
    )
    .await?;
    tx.commit().await
}

/// All tenants of a credential, or of all credentials, by name.
pub async fn list(scope: &Scope, credential: Option<CredentialId>) -> Result<Vec<Tenant>> {
    let mut query = scope.find::<Entity>();
    if let Some(id) = credential {
        query = query.filter(Column::CredentialId.eq(id));
    }
    Ok(query
        .order_by_asc(Column::DisplayName)
        .order_by_asc(Column::DirectoryId)
        .all(&scope.conn())
        .await?)
}

/// One tenant by our id.
pub async fn get(scope: &Scope, id: TenantId) -> Result<Option<Tenant>> {
    Ok(scope
        .find::<Entity>()
        .filter(Column::Id.eq(id))
        .one(&scope.conn())
        .await?)
}

/// Tenants of a credential that consented and that no company is mapped to, by name.
pub async fn unmapped(scope: &Scope, credential: CredentialId) -> Result<Vec<Tenant>> {
    let mapped: Vec<DirectoryId> = mapping::Entity::find()
        .filter(mapping::Column::PartnerId.eq(scope.partner()))
        .filter(mapping::Column::DeletedAt.is_null())
        .all(&scope.conn())
        .await?
        .into_iter()
        .map(|m| m.directory_id)
        .collect();
    Ok(list(scope, Some(credential))
        .await?
        .into_iter()
        .filter(|t| t.state == TenantState::Consented && !mapped.contains(&t.directory_id))
        .collect())
}

/// Records a verified consent: the tenant is made or comes back.
///
/// # Errors
/// [`Error::Conflict`] when another partner of this installation holds the same application in the
/// same directory: it is never taken over silently.
pub(crate) async fn record_consent(
    tx: &crate::db::Tx,
    scope: &Scope,
    credential: &Credential,
    directory: DirectoryId,
    organization: &Organization,
    scopes: &str,
    found_by: &str,
) -> Result<TenantId> {
    let now = scope.now();
    let existing = Entity::find()
        .filter(Column::PartnerId.eq(scope.partner()))
        .filter(Column::CredentialId.eq(credential.id))
        .filter(Column::DirectoryId.eq(directory))
        .one(&tx.conn)
        .await?;
    let domains =
        serde_json::to_string(&organization.domains).map_err(|e| Error::Stored(e.to_string()))?;
    let (id, saved) = match existing {
        Some(row) => {
            let id = row.id;
            let mut active: tenant::ActiveModel = row.into();
            // The binding is unique by these: they must be the credential's of now.
            active.cloud = Set(credential.cloud.clone());
            active.client_id = Set(credential.client_id);
            active.display_name = Set(organization.display_name.clone());
            active.default_domain = Set(organization.default_domain.clone());
            active.domains = Set(domains);
            active.country = Set(organization.country.clone());
            active.state = Set(TenantState::Consented);
            active.granted_scopes = Set(scopes.to_owned());
            active.consented_at = Set(Some(now));
            active.checked_at = Set(Some(now));
            active.last_error_code = Set(None);
            active.last_error = Set(None);
            (id, active.update(&tx.conn).await.map(|_| ()))
        }
        None => {
            let id = TenantId::generate(scope.db().clock());
            let active = tenant::ActiveModel {
                partner_id: Set(scope.partner()),
                id: Set(id),
                credential_id: Set(credential.id),
                cloud: Set(credential.cloud.clone()),
                client_id: Set(credential.client_id),
                directory_id: Set(directory),
                display_name: Set(organization.display_name.clone()),
                default_domain: Set(organization.default_domain.clone()),
                domains: Set(domains),
                country: Set(organization.country.clone()),
                found_by: Set(found_by.to_owned()),
                state: Set(TenantState::Consented),
                granted_scopes: Set(scopes.to_owned()),
                consented_at: Set(Some(now)),
                checked_at: Set(Some(now)),
                last_error_code: Set(None),
                last_error: Set(None),
                created_at: Set(now),
                granted_permissions: Set(None),
                permissions_checked_at: Set(None),
                relationship: Set(None),
                found_at: Set(Some(now)),
            };
            (id, active.insert(&tx.conn).await.map(|_| ()))
        }
    };
    match saved {
        Err(e) if Error::is_unique(&e) => {
            return Err(Error::Conflict(
                "This directory is linked to the same application by another partner of this \
                 installation."
                    .into(),
            ));
        }
        other => other?,
    }
    audit::append(
        tx,
        scope,
        "tenant.consent",
        Target::new("tenant", id, &organization.display_name),
        json!({ "directory_id": directory, "credential_id": credential.id, "scopes": scopes }),
    )
    .await?;
    Ok(id)
}

/// Notes at a sync that consent is lost; data and mapping stay.
pub async fn disconnect(scope: &Scope, id: TenantId, code: &str, text: &str) -> Result<()> {
    let tx = scope.begin().await?;
    let changed = execute(
        &tx.conn,
        "UPDATE tenants SET state = 'disconnected', checked_at = $1, last_error_code = $2,
            last_error = $3
         WHERE partner_id = $4 AND id = $5 AND state <> 'disconnected'",
        vec![
            scope.now().into(),
            code.into(),
            text.into(),
            scope.partner().into(),
            id.into(),
        ],
    )
    .await?;
    if changed > 0 {
        audit::append(
            &tx,
            scope,
            "tenant.disconnect",
            Target::new("tenant", id, ""),
            json!({ "code": code }),
        )
        .await?;
    }
    tx.commit().await
}

/// Notes at a sync what the organization is called now, and that consent holds.
pub async fn refresh(scope: &Scope, id: TenantId, organization: &Organization) -> Result<()> {
    let domains =
        serde_json::to_string(&organization.domains).map_err(|e| Error::Stored(e.to_string()))?;
    let tx = scope.begin().await?;
    execute(
        &tx.conn,
        "UPDATE tenants SET display_name = $1, default_domain = $2, domains = $3, country = $4,
            checked_at = $5, last_error = NULL, last_error_code = NULL
         WHERE partner_id = $6 AND id = $7",
        vec![
            organization.display_name.clone().into(),
            organization.default_domain.clone().into(),
            domains.into(),
            organization.country.clone().into(),
            scope.now().into(),
            scope.partner().into(),
            id.into(),
        ],
    )
    .await?;
    tx.commit().await
}
