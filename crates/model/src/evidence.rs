//! Evidence: what a sync saw, as typed statements in canonical JSON (RFC 8785) with their SHA-256.
//!
//! A statement is written once and never altered; a later sync that sees the same is noted as an
//! observation of it. [`attest`] writes both after a run has ended, [`source`] says how fresh they are.

use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::{
    CompanyId, Evidence, EvidenceId, EvidenceKind, Listing, MappingId, Result, RunId, Scope,
    Timestamp, Window,
    entity::{
        evidence::{Column, Entity},
        evidence_observation,
    },
    inventory::Snapshot,
};

mod attest;
mod source;
mod statement;

pub use attest::{attest, attest_pending};
pub use source::{History, Source, history, limit_ms, sources};

/// Filters of a list of evidence.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of one company.
    pub company: Option<CompanyId>,
    /// Of one kind.
    pub kind: Option<EvidenceKind>,
    /// Seen at this moment or later.
    pub since: Option<Timestamp>,
    /// First seen before this moment.
    pub until: Option<Timestamp>,
}

/// A run that saw what a statement says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observation {
    /// The run.
    pub run: RunId,
    /// When it ended.
    pub at: Timestamp,
}

/// Statements, newest first.
pub async fn list(scope: &Scope, filter: &Filter, window: Window) -> Result<Listing<Evidence>> {
    let mut query = scope.find::<Entity>();
    if let Some(company) = filter.company {
        query = query.filter(Column::CompanyId.eq(company));
    }
    if let Some(kind) = filter.kind {
        query = query.filter(Column::Kind.eq(kind));
    }
    if let Some(until) = filter.until {
        query = query.filter(Column::CreatedAt.lt(until));
    }
    if let Some(since) = filter.since {
        let seen = evidence_observation::Entity::find()
            .select_only()
            .column(evidence_observation::Column::EvidenceId)
            .filter(evidence_observation::Column::PartnerId.eq(scope.partner()))
            .filter(evidence_observation::Column::ObservedAt.gte(since));
        query = query.filter(Column::Id.in_subquery(sea_orm::QueryTrait::into_query(seen)));
    }
    Ok(Listing {
        total: query.clone().count(&scope.conn()).await?,
        rows: query
            .order_by_desc(Column::CreatedAt)
            .order_by_desc(Column::Id)
            .offset(window.offset)
            .limit(window.limit)
            .all(&scope.conn())
            .await?,
    })
}

/// One statement.
pub async fn get(scope: &Scope, id: EvidenceId) -> Result<Option<Evidence>> {
    Ok(scope
        .find::<Entity>()
        .filter(Column::Id.eq(id))
        .one(&scope.conn())
        .await?)
}

/// The runs that saw it, newest first, at most `limit`.
pub async fn observations(
    scope: &Scope,
    evidence: &Evidence,
    limit: u64,
) -> Result<Vec<Observation>> {
    let rows = scope
        .find::<evidence_observation::Entity>()
        .filter(evidence_observation::Column::EvidenceId.eq(evidence.id))
        .order_by_desc(evidence_observation::Column::ObservedAt)
        .limit(limit)
        .all(&scope.conn())
        .await?;
    Ok(rows
        .into_iter()
        .map(|row| Observation {
            run: row.run_id,
            at: row.observed_at,
        })
        .collect())
}

/// The accounts that a statement of [`EvidenceKind::UserInventory`] speaks of, as lines of JSON: what its
/// `population.sha256` is taken over. Empty for other kinds.
pub async fn population(scope: &Scope, evidence: &Evidence) -> Result<String> {
    let mut lines = String::new();
    if evidence.kind == EvidenceKind::UserInventory {
        let seen = Snapshot::at(scope, evidence.mapping_id, evidence.generation);
        statement::each_account(scope, &seen, |account| {
            lines.push_str(&account.line());
            lines.push('\n');
        })
        .await?;
    }
    Ok(lines)
}

impl Evidence {
    /// What it says.
    pub fn statement(&self) -> serde_json::Value {
        serde_json::from_str(&self.content).unwrap_or_default()
    }

    /// Whether its content is still what its fingerprint was taken of.
    pub fn is_intact(&self) -> bool {
        keys::fingerprint(&self.content) == self.fingerprint
    }

    /// What it says, in a sentence.
    pub fn summary(&self) -> String {
        let says = self.statement();
        let n = |pointer: &str| says.pointer(pointer).map_or(0, |n| n.as_i64().unwrap_or(0));
        match self.kind {
            EvidenceKind::UserInventory => format!(
                "{} accounts: {} members, {} guests; {} disabled, {} licensed",
                n("/accounts"),
                n("/members"),
                n("/guests"),
                n("/disabled"),
                n("/licensed")
            ),
            EvidenceKind::MfaRegistration => format!(
                "{} of {} registered, {} not, {} unknown; {} administrators without",
                n("/registered"),
                n("/accounts"),
                n("/not_registered"),
                n("/unknown"),
                n("/administrators/not_registered")
            ),
            EvidenceKind::ConditionalAccessPolicies => format!(
                "{} policies: {} enabled, {} report only, {} disabled",
                n("/policies_in_all"),
                n("/states/enabled"),
                n("/states/enabledForReportingButNotEnforced"),
                n("/states/disabled")
            ),
            EvidenceKind::PrivilegedRoles => format!(
                "{} assignments of {} roles, {} eligible",
                n("/assignments_in_all"),
                n("/roles_in_all"),
                n("/eligible_in_all")
            ),
            EvidenceKind::RiskySignInEvents => format!(
                "{} sign-ins at risk and {} detections in {} days",
                n("/sign_ins_in_all"),
                n("/detections_in_all"),
                n("/days")
            ),
        }
    }
}

/// What newest statement of each kind says of a mapping.
pub async fn newest(
    scope: &Scope,
    mapping: MappingId,
    kind: EvidenceKind,
) -> Result<Option<Evidence>> {
    let seen = scope
        .find::<evidence_observation::Entity>()
        .filter(evidence_observation::Column::MappingId.eq(mapping))
        .filter(evidence_observation::Column::Kind.eq(kind))
        .order_by_desc(evidence_observation::Column::ObservedAt)
        .one(&scope.conn())
        .await?;
    match seen {
        None => Ok(None),
        Some(seen) => get(scope, seen.evidence_id).await,
    }
}
