//! Mappings: which tenant's data belongs to which company.

use std::collections::{HashMap, HashSet};

use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder,
};
use serde_json::json;

use crate::{
    Company, CompanyId, CredentialId, DirectoryId, Error, FieldError, Mapping, MappingId, Result,
    Role, Run, RunCause, RunKind, Scope, Tenant, TenantId, TenantState,
    audit::{self, Target},
    company,
    db::{Tx, execute},
    delivery,
    entity::{
        company::Column as CompanyColumn,
        company::Entity as CompanyEntity,
        mapping::{ActiveModel, Column, Entity},
        tenant,
    },
    run,
};

/// A mapping with the names that a list shows.
#[derive(Debug, Clone)]
pub struct MappingRow {
    /// The mapping.
    pub mapping: Mapping,
    /// Its company.
    pub company: Company,
    /// Its tenant.
    pub tenant: Tenant,
    /// Its newest directory run, if any.
    pub last_run: Option<Run>,
}

/// What to do with one tenant at import.
#[derive(Debug, Clone)]
pub enum Choice {
    /// Make a company of this name, whether or not another has it.
    Create(String),
    /// Map to an existing company.
    MapTo(CompanyId),
    /// Leave it unmapped.
    Skip,
}

/// A pair to map: the tenant and what to do with it.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The tenant.
    pub tenant: TenantId,
    /// What to do.
    pub choice: Choice,
}

/// A suggestion for an unmapped tenant; never applied unasked.
#[derive(Debug, Clone)]
pub struct Suggestion {
    /// The company.
    pub company: CompanyId,
    /// `domain` or `name`.
    pub matched_by: &'static str,
}

/// All live mappings, of one credential or all, by company name.
pub async fn list(scope: &Scope, credential: Option<CredentialId>) -> Result<Vec<MappingRow>> {
    let mut query = scope.find::<Entity>().filter(Column::DeletedAt.is_null());
    if let Some(id) = credential {
        query = query.filter(Column::CredentialId.eq(id));
    }
    rows(scope, query.all(&scope.conn()).await?).await
}

/// The mappings of a company, also deleted ones where asked for, because their data stays readable.
pub async fn of_company(
    scope: &Scope,
    company: CompanyId,
    with_deleted: bool,
) -> Result<Vec<MappingRow>> {
    let mut query = scope.find::<Entity>().filter(Column::CompanyId.eq(company));
    if !with_deleted {
        query = query.filter(Column::DeletedAt.is_null());
    }
    rows(scope, query.all(&scope.conn()).await?).await
}

async fn rows(scope: &Scope, mappings: Vec<Mapping>) -> Result<Vec<MappingRow>> {
    let conn = &scope.conn();
    let companies: HashMap<CompanyId, Company> = scope
        .find::<CompanyEntity>()
        .all(conn)
        .await?
        .into_iter()
        .map(|c| (c.id, c))
        .collect();
    // A member who is limited to companies sees the tenants mapped to them and no others, so
    // tenants are read by the mappings, not through the list of tenants.
    let tenants: HashMap<TenantId, Tenant> = tenant::Entity::find()
        .filter(tenant::Column::PartnerId.eq(scope.partner()))
        .all(conn)
        .await?
        .into_iter()
        .map(|t| (t.id, t))
        .collect();
    let mut last = run::newest_by_mapping(scope, RunKind::Directory).await?;
    let mut rows: Vec<MappingRow> = mappings
        .into_iter()
        .filter_map(|mapping| {
            Some(MappingRow {
                company: companies.get(&mapping.company_id)?.clone(),
                tenant: tenants.get(&mapping.tenant_id)?.clone(),
                last_run: last.remove(&mapping.id),
                mapping,
            })
        })
        .collect();
    rows.sort_by_key(|r| {
        (
            r.company.name.to_lowercase(),
            r.tenant.display_name.to_lowercase(),
        )
    });
    Ok(rows)
}

/// One live mapping.
pub async fn get(scope: &Scope, id: MappingId) -> Result<Option<MappingRow>> {
    let found = scope
        .find::<Entity>()
        .filter(Column::Id.eq(id))
        .filter(Column::DeletedAt.is_null())
        .one(&scope.conn())
        .await?;
    Ok(rows(scope, found.into_iter().collect()).await?.pop())
}

/// Suggests a company for each unmapped tenant of a credential: a verified domain equal to the
/// company's domain, else an equal normalised name. Where the company has a domain that the tenant
/// does not have, names must be equal with their legal forms: "Mint" and "Mint Ltd" may be two. A
/// company, domain or name that fits several times is not suggested.
pub async fn suggest(scope: &Scope, tenants: &[Tenant]) -> Result<HashMap<TenantId, Suggestion>> {
    let mut by_domain: HashMap<String, Vec<CompanyId>> = HashMap::new();
    let mut by_name: HashMap<String, Vec<Company>> = HashMap::new();
    for company in scope
        .find::<CompanyEntity>()
        .filter(CompanyColumn::ArchivedAt.is_null())
        .order_by_asc(CompanyColumn::Id)
        .all(&scope.conn())
        .await?
    {
        if !company.domain.is_empty() {
            by_domain
                .entry(company.domain.clone())
                .or_default()
                .push(company.id);
        }
        by_name
            .entry(company.name_key.clone())
            .or_default()
            .push(company);
    }
    let only = |found: Option<&Vec<CompanyId>>| match found.map(Vec::as_slice) {
        Some([one]) => Some(*one),
        _ => None,
    };
    Ok(tenants
        .iter()
        .filter_map(|tenant| {
            let domains = tenant.domain_list();
            let hits: HashSet<CompanyId> = domains
                .iter()
                .filter_map(|d| only(by_domain.get(&d.to_lowercase())))
                .collect();
            let suggestion = match hits.len() {
                1 => hits.into_iter().next().map(|company| Suggestion {
                    company,
                    matched_by: "domain",
                }),
                0 => named(&by_name, tenant, &domains).map(|company| Suggestion {
                    company,
                    matched_by: "name",
                }),
                _ => None,
            };
            suggestion.map(|s| (tenant.id, s))
        })
        .collect())
}

/// The one company that is named like a tenant, unless their domains speak against it.
fn named(
    by_name: &HashMap<String, Vec<Company>>,
    tenant: &Tenant,
    domains: &[String],
) -> Option<CompanyId> {
    let [company] = by_name
        .get(&company::name_key(&tenant.display_name))?
        .as_slice()
    else {
        return None;
    };
    let differs = !company.domain.is_empty()
        && !domains
            .iter()
            .any(|d| d.eq_ignore_ascii_case(&company.domain));
    let equal = || company::full_key(&company.name) == company::full_key(&tenant.display_name);
    (!differs || equal()).then_some(company.id)
}

/// Maps all pairs in one transaction and starts the first sync of each. When any pair cannot be
/// mapped nothing is, and the error names each with its reason under the field of its tenant's id.
///
/// Mapping a tenant to the company that it was mapped to before revives that mapping with its data.
pub async fn create(
    scope: &Scope,
    credential: CredentialId,
    pairs: &[Pair],
) -> Result<Vec<(MappingId, Vec<Run>)>> {
    scope.require(Role::Admin)?;
    let tx = scope.begin().await?;
    let mut errors = Vec::new();
    let mut made = Vec::new();
    let mut seen = HashSet::new();
    for pair in pairs {
        if matches!(pair.choice, Choice::Skip) {
            continue;
        }
        if !seen.insert(pair.tenant) {
            errors.push(pair_error(
                "This Azure AD company is in the list twice.".into(),
            ));
            continue;
        }
        let tenant = scope
            .find::<tenant::Entity>()
            .filter(tenant::Column::Id.eq(pair.tenant))
            .filter(tenant::Column::CredentialId.eq(credential))
            .one(&tx.conn)
            .await?;
        match create_one(&tx, scope, tenant, pair).await {
            Ok(done) => made.push(done),
            Err(Error::Invalid(fields)) => errors.extend(fields),
            Err(Error::Conflict(text)) => errors.push(pair_error(text)),
            Err(other) => return Err(other),
        }
    }
    if !errors.is_empty() {
        return Err(Error::Invalid(errors));
    }
    tx.commit().await?;
    Ok(made)
}

fn pair_error(message: String) -> FieldError {
    FieldError {
        field: "mappings",
        message,
    }
}

async fn create_one(
    tx: &Tx,
    scope: &Scope,
    tenant: Option<Tenant>,
    pair: &Pair,
) -> Result<(MappingId, Vec<Run>)> {
    let tenant = tenant.ok_or_else(|| {
        Error::Conflict("An Azure AD company of the list is not known to this credential.".into())
    })?;
    if tenant.state != TenantState::Consented {
        return Err(Error::Conflict(format!(
            "{}: its administrator has not consented. Ask for consent first.",
            tenant.display_name
        )));
    }
    if let Some(other) = live_mapping_of(tx, scope, tenant.directory_id).await? {
        let name = CompanyEntity::find_by_id((scope.partner(), other.company_id))
            .one(&tx.conn)
            .await?
            .filter(|c| scope.sees(c.id))
            .map_or_else(|| "another company".to_owned(), |c| c.name);
        return Err(Error::Conflict(format!(
            "{} is mapped to {name} already. Delete that mapping first.",
            tenant.display_name
        )));
    }
    let (company, matched_by) = match &pair.choice {
        Choice::MapTo(id) => {
            let company = scope
                .find::<CompanyEntity>()
                .filter(CompanyColumn::Id.eq(*id))
                .filter(CompanyColumn::ArchivedAt.is_null())
                .one(&tx.conn)
                .await?
                .ok_or_else(|| {
                    Error::Conflict(format!(
                        "{}: the company to map it to does not exist.",
                        tenant.display_name
                    ))
                })?;
            (company, "chosen")
        }
        Choice::Create(name) => {
            let draft = company::Draft {
                name: name.clone(),
                domain: tenant.default_domain.clone(),
                external_id: String::new(),
            };
            let made = company::create_in(tx, scope, &draft, true).await;
            let company = made.map_err(|e| match e {
                Error::Invalid(fields) => Error::Conflict(format!(
                    "{}: {}",
                    tenant.display_name,
                    fields.first().map_or("", |f| &f.message)
                )),
                other => other,
            })?;
            (company, "imported")
        }
        Choice::Skip => return Err(Error::Conflict("nothing to map".into())),
    };
    let mapping = save(tx, scope, &company, &tenant, matched_by).await?;
    let mut runs = Vec::new();
    for kind in run::used_kinds(tx, scope, &mapping).await? {
        if !RunKind::SYNC_NOW.contains(&kind) {
            continue;
        }
        runs.push(run::request_in(tx, scope, &mapping, kind, RunCause::Mapping, None).await?);
    }
    Ok((mapping.id, runs))
}

async fn live_mapping_of(
    tx: &Tx,
    scope: &Scope,
    directory: DirectoryId,
) -> Result<Option<Mapping>> {
    Ok(Entity::find()
        .filter(Column::PartnerId.eq(scope.partner()))
        .filter(Column::DirectoryId.eq(directory))
        .filter(Column::DeletedAt.is_null())
        .one(&tx.conn)
        .await?)
}

async fn save(
    tx: &Tx,
    scope: &Scope,
    company: &Company,
    tenant: &Tenant,
    matched_by: &str,
) -> Result<Mapping> {
    let earlier = Entity::find()
        .filter(Column::PartnerId.eq(scope.partner()))
        .filter(Column::CompanyId.eq(company.id))
        .filter(Column::DirectoryId.eq(tenant.directory_id))
        .one(&tx.conn)
        .await?;
    let revived = earlier.is_some();
    let interval =
        crate::entity::credential::Entity::find_by_id((scope.partner(), tenant.credential_id))
            .one(&tx.conn)
            .await?
            .map_or(24 * 60, |c| c.sync_interval_minutes);
    let slots = |id| run::plan::present_slots(scope.now(), id, interval);
    let mapping = match earlier {
        Some(row) => {
            // Also under another credential: the data is the directory's.
            let (directory_slot, score_slot) = slots(row.id);
            let mut active: ActiveModel = row.into();
            active.deleted_at = Set(None);
            active.tenant_id = Set(tenant.id);
            active.credential_id = Set(tenant.credential_id);
            active.planned_directory = Set(Some(directory_slot));
            active.planned_secure_score = Set(Some(score_slot));
            active.update(&tx.conn).await?
        }
        None => {
            let id = MappingId::generate(scope.db().clock());
            let (directory_slot, score_slot) = slots(id);
            ActiveModel {
                partner_id: Set(scope.partner()),
                id: Set(id),
                company_id: Set(company.id),
                tenant_id: Set(tenant.id),
                credential_id: Set(tenant.credential_id),
                directory_id: Set(tenant.directory_id),
                matched_by: Set(matched_by.to_owned()),
                interval_minutes: Set(None),
                planned_directory: Set(Some(directory_slot)),
                planned_secure_score: Set(Some(score_slot)),
                planned_sign_in_activity: Set(None),
                last_sync_at: Set(None),
                last_sync_state: Set(None),
                created_at: Set(scope.now()),
                deleted_at: Set(None),
            }
            .insert(&tx.conn)
            .await?
        }
    };
    audit::append(
        tx,
        scope,
        "mapping.create",
        Target::new("mapping", mapping.id, &company.name),
        json!({
            "company_id": company.id, "tenant_id": tenant.id,
            "directory_id": tenant.directory_id, "revived": revived,
        }),
    )
    .await?;
    let directory = tenant.directory_id;
    delivery::tell_mapping(tx, scope, "created", mapping.id, company.id, directory).await?;
    Ok(mapping)
}

/// Deletes a mapping: syncing stops, the data stays readable and comes back when the same pair is
/// mapped again. `false` when there is no such mapping.
pub async fn delete(scope: &Scope, id: MappingId) -> Result<bool> {
    scope.require(Role::Admin)?;
    let tx = scope.begin().await?;
    let Some(mapping) = live(scope, &tx, id).await? else {
        return Ok(false);
    };
    run::cancel_for_mapping(&tx, scope, id).await?;
    execute(
        &tx.conn,
        "UPDATE mappings SET deleted_at = $1 WHERE partner_id = $2 AND id = $3",
        vec![scope.now().into(), scope.partner().into(), id.into()],
    )
    .await?;
    audit::append(
        &tx,
        scope,
        "mapping.delete",
        Target::new("mapping", id, ""),
        json!({ "company_id": mapping.company_id, "directory_id": mapping.directory_id }),
    )
    .await?;
    let (company, directory) = (mapping.company_id, mapping.directory_id);
    delivery::tell_mapping(&tx, scope, "deleted", id, company, directory).await?;
    tx.commit().await?;
    Ok(true)
}

/// A mapping that was not deleted, inside a write.
async fn live(scope: &Scope, tx: &Tx, id: MappingId) -> Result<Option<Mapping>> {
    Ok(scope
        .find::<Entity>()
        .filter(Column::Id.eq(id))
        .filter(Column::DeletedAt.is_null())
        .one(&tx.conn)
        .await?)
}

/// Sets how often a mapping is synced, one of [`crate::credential::INTERVALS`] in minutes; `None` for
/// as often as its credential says. `false` when there is no such mapping.
///
/// # Errors
/// [`Error::Invalid`] for another number.
pub async fn set_interval(scope: &Scope, id: MappingId, minutes: Option<i64>) -> Result<bool> {
    scope.require(Role::Admin)?;
    if minutes.is_some_and(|minutes| !crate::credential::INTERVALS.contains(&minutes)) {
        return Err(Error::field(
            "sync_interval_minutes",
            "Choose 15, 60, 360, 720 or 1440 minutes, or as often as the credential says.",
        ));
    }
    let tx = scope.begin().await?;
    let Some(mapping) = live(scope, &tx, id).await? else {
        return Ok(false);
    };
    let credential =
        crate::entity::credential::Entity::find_by_id((scope.partner(), mapping.credential_id))
            .one(&tx.conn)
            .await?
            .ok_or_else(|| Error::Stored("a mapping's credential is gone".into()))?;
    // Slots are numbered by their length: it waits for the next one of the new length.
    let length = minutes.unwrap_or(credential.sync_interval_minutes);
    let (slot, _) = run::plan::present_slots(scope.now(), id, length);
    execute(
        &tx.conn,
        "UPDATE mappings SET interval_minutes = $1, planned_directory = $2
         WHERE partner_id = $3 AND id = $4",
        vec![
            minutes.into(),
            slot.into(),
            scope.partner().into(),
            id.into(),
        ],
    )
    .await?;
    audit::append(
        &tx,
        scope,
        "mapping.interval",
        Target::new("mapping", id, ""),
        json!({ "before": mapping.interval_minutes, "after": minutes }),
    )
    .await?;
    let (company, directory) = (mapping.company_id, mapping.directory_id);
    delivery::tell_mapping(&tx, scope, "interval", id, company, directory).await?;
    tx.commit().await?;
    Ok(true)
}

/// Maps a tenant to another company from now on: the mapping ends, and a new one begins with its
/// first sync. What was collected stays with the company for which it was collected. `None` when
/// there is no such mapping.
///
/// # Errors
/// [`Error::Invalid`] when the company does not exist, is archived or is the same.
pub async fn remap(
    scope: &Scope,
    id: MappingId,
    company: CompanyId,
) -> Result<Option<(MappingId, Vec<Run>)>> {
    scope.require(Role::Admin)?;
    let tx = scope.begin().await?;
    let Some(mapping) = live(scope, &tx, id).await? else {
        return Ok(None);
    };
    if mapping.company_id == company {
        return Err(Error::field(
            "company_id",
            "The tenant is mapped to this company already. Choose another one.",
        ));
    }
    run::cancel_for_mapping(&tx, scope, id).await?;
    execute(
        &tx.conn,
        "UPDATE mappings SET deleted_at = $1 WHERE partner_id = $2 AND id = $3",
        vec![scope.now().into(), scope.partner().into(), id.into()],
    )
    .await?;
    let pair = Pair {
        tenant: mapping.tenant_id,
        choice: Choice::MapTo(company),
    };
    // The mapping is in scope, so its tenant is, also for a member who is limited to companies.
    let tenant = tenant::Entity::find_by_id((scope.partner(), mapping.tenant_id))
        .one(&tx.conn)
        .await?;
    let made = create_one(&tx, scope, tenant, &pair).await;
    let made = made.map_err(|e| match e {
        Error::Conflict(text) => Error::field("company_id", text),
        other => other,
    })?;
    audit::append(
        &tx,
        scope,
        "mapping.remap",
        Target::new("mapping", made.0, ""),
        json!({ "from": { "mapping_id": id, "company_id": mapping.company_id },
                "to": { "mapping_id": made.0, "company_id": company } }),
    )
    .await?;
    let directory = mapping.directory_id;
    delivery::tell_mapping(&tx, scope, "remapped", made.0, company, directory).await?;
    tx.commit().await?;
    Ok(Some(made))
}
