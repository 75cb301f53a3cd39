//! What the plan will begin next.

use std::collections::HashMap;

use sea_orm::{ColumnTrait, QueryFilter};

use super::plan::{ACTIVITY_MS, SECURE_SCORE_MINUTES, begins, slot};
use crate::{
    CompanyId, Feature, Listing, MappingId, Result, RunKind, Scope, Timestamp, Window,
    db::query_all, entity::mapping,
};

/// A sync that the plan will begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upcoming {
    /// Of this mapping.
    pub mapping: MappingId,
    /// Its company.
    pub company: CompanyId,
    /// What is synced.
    pub kind: RunKind,
    /// When; sign-in activity waits for its turn from then on, because tenants are read one after
    /// another.
    pub at: Timestamp,
}

/// What the plan knows of a mapping.
struct Plan {
    minutes: i64,
    features: Vec<Feature>,
    /// Slots taken: directory, secure score; and when sign-in activity was begun.
    taken: [Option<i64>; 3],
}

/// Syncs that the plan will begin, soonest first; of one company, of one kind.
pub async fn upcoming(
    scope: &Scope,
    company: Option<CompanyId>,
    kind: Option<RunKind>,
    window: Window,
) -> Result<Listing<Upcoming>> {
    let mut mappings = scope
        .find::<mapping::Entity>()
        .filter(mapping::Column::DeletedAt.is_null());
    if let Some(company) = company {
        mappings = mappings.filter(mapping::Column::CompanyId.eq(company));
    }
    let mappings = mappings.all(&scope.conn()).await?;
    let plans = plans(scope).await?;
    let now = scope.now();
    let mut all = Vec::new();
    for mapping in mappings {
        let Some(plan) = plans.get(&mapping.id) else {
            continue;
        };
        for (of, at) in plan.next(mapping.id, now) {
            if kind.is_none_or(|kind| kind == of) {
                all.push(Upcoming {
                    mapping: mapping.id,
                    company: mapping.company_id,
                    kind: of,
                    at,
                });
            }
        }
    }
    all.sort_unstable_by_key(|one| (one.at, one.mapping, one.kind.as_str()));
    let total = all.len() as u64;
    let offset = usize::try_from(window.offset).unwrap_or(usize::MAX);
    let limit = usize::try_from(window.limit).unwrap_or(usize::MAX);
    Ok(Listing {
        rows: all.into_iter().skip(offset).take(limit).collect(),
        total,
    })
}

/// What the plan knows of each mapping that it syncs.
async fn plans(scope: &Scope) -> Result<HashMap<MappingId, Plan>> {
    let rows = query_all(
        &scope.conn(),
        "SELECT m.id, COALESCE(m.interval_minutes, c.sync_interval_minutes) AS minutes,
                m.planned_directory, m.planned_secure_score, m.planned_sign_in_activity, c.features
         FROM mappings m
         JOIN credentials c ON c.partner_id = m.partner_id AND c.id = m.credential_id
         JOIN tenants t ON t.partner_id = m.partner_id AND t.id = m.tenant_id
         WHERE m.partner_id = $1 AND m.deleted_at IS NULL AND c.revoked_at IS NULL
            AND t.state = 'consented'",
        vec![scope.partner().into()],
    )
    .await?;
    rows.into_iter()
        .map(|row| {
            let features: String = row.try_get("", "features")?;
            let plan = Plan {
                minutes: row.try_get("", "minutes")?,
                features: serde_json::from_str(&features).unwrap_or_default(),
                taken: [
                    row.try_get("", "planned_directory")?,
                    row.try_get("", "planned_secure_score")?,
                    row.try_get("", "planned_sign_in_activity")?,
                ],
            };
            Ok((row.try_get("", "id")?, plan))
        })
        .collect()
}

impl Plan {
    fn next(&self, id: MappingId, now: Timestamp) -> Vec<(RunKind, Timestamp)> {
        let [directory, secure_score, activity] = self.taken;
        let of = |kind, minutes, taken: Option<i64>| {
            let slot = slot(now, id, kind, minutes);
            // A slot that nobody took yet is due.
            let next = if taken.is_none_or(|taken| taken < slot) {
                slot
            } else {
                slot + 1
            };
            (kind, begins(next, id, kind, minutes))
        };
        let mut all = vec![of(RunKind::Directory, self.minutes, directory)];
        if self.features.contains(&Feature::SecureScore) {
            all.push(of(RunKind::SecureScore, SECURE_SCORE_MINUTES, secure_score));
        }
        if self.features.contains(&Feature::Activity) {
            let at = activity.map_or(now, |began| Timestamp(began).plus_ms(ACTIVITY_MS));
            all.push((RunKind::SignInActivity, at));
        }
        all
    }
}
