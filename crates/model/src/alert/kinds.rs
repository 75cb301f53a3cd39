//! The kinds of alerts: one file each, with its condition and its text, and a line here.

mod application_expiring;
mod consent_lost;
mod credential_expiring;
mod credential_failing;
mod mfa_coverage_fell;
mod new_global_administrator;
mod password_guessing;
mod permission_drift;
mod removal_held;
mod risky_user;
mod secure_score_fell;
mod stale_data;
mod sync_failing;

use super::Cause;
use crate::{AlertKind, Feature, Result, Scope, Severity, Timestamp};

/// Names of the permissions that a credential with these features needs, in the partner's own directory
/// (`true`) or a customer's.
pub type Needed = fn(&[Feature], bool) -> Vec<String>;

type Found = Vec<(AlertKind, Vec<Cause>)>;

/// Conditions on which time alone has an effect, or what people do: looked at every time.
pub(super) async fn by_time(scope: &Scope, needed: Needed) -> Result<Found> {
    let (expiring, expired) = credential_expiring::find(scope).await?;
    Ok(vec![
        (AlertKind::SyncFailing, sync_failing::find(scope).await?),
        (AlertKind::StaleData, stale_data::find(scope).await?),
        (AlertKind::ConsentLost, consent_lost::find(scope).await?),
        (
            AlertKind::PermissionDrift,
            permission_drift::find(scope, needed).await?,
        ),
        (AlertKind::CredentialExpiring, expiring),
        (AlertKind::CredentialExpired, expired),
        (
            AlertKind::CredentialFailing,
            credential_failing::find(scope).await?,
        ),
        (AlertKind::RemovalHeld, removal_held::find(scope).await?),
        (
            AlertKind::PasswordGuessing,
            password_guessing::find(scope).await?,
        ),
    ])
}

/// Conditions on what syncs read.
pub(super) async fn by_what_was_read(scope: &Scope) -> Result<Found> {
    Ok(vec![
        (
            AlertKind::ApplicationExpiring,
            application_expiring::find(scope).await?,
        ),
        (
            AlertKind::SecureScoreFell,
            secure_score_fell::find(scope).await?,
        ),
        (
            AlertKind::NewGlobalAdministrator,
            new_global_administrator::find(scope).await?,
        ),
        (AlertKind::RiskyUser, risky_user::find(scope).await?),
        (
            AlertKind::MfaCoverageFell,
            mfa_coverage_fell::find(scope).await?,
        ),
    ])
}

const DAY_MS: i64 = 24 * 60 * 60_000;

/// The days before an end at which it is told, and how much it matters from then on.
const STAGES: [(i64, Severity); 5] = [
    (1, Severity::Critical),
    (7, Severity::Critical),
    (14, Severity::Warning),
    (30, Severity::Warning),
    (60, Severity::Info),
];

/// How far it is to an end that is at most sixty days away: the stage, and days left, rounded up.
fn stage(end: Timestamp, now: Timestamp) -> Option<(i64, Severity, i64)> {
    let left = end.0 - now.0;
    if left <= 0 {
        return None;
    }
    let days = left.div_euclid(DAY_MS) + i64::from(left.rem_euclid(DAY_MS) > 0);
    STAGES
        .iter()
        .find(|(stage, _)| left <= stage * DAY_MS)
        .map(|(stage, severity)| (*stage, *severity, days))
}

fn days(n: i64) -> String {
    match n {
        1 => "1 day".into(),
        n => format!("{n} days"),
    }
}

/// A share in percent, to one decimal.
#[allow(clippy::cast_precision_loss)] // counts of users
fn percent(part: i64, whole: i64) -> f64 {
    match whole {
        0 => 0.0,
        whole => (part as f64 * 1000.0 / whole as f64).round() / 10.0,
    }
}

/// Rows that hold for the mapping that `t` is a table of: the versions that readers see of live mappings.
const SEEN: &str = "JOIN mappings m ON m.partner_id = t.partner_id AND m.id = t.mapping_id
        AND m.deleted_at IS NULL
     JOIN companies c ON c.partner_id = m.partner_id AND c.id = m.company_id
     JOIN snapshots s ON s.partner_id = t.partner_id AND s.mapping_id = t.mapping_id
        AND s.kind = 'directory' AND t.since <= s.published AND t.until > s.published";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_at_each_stage_once() {
        let now = Timestamp(1_700_000_000_000);
        let at = |days: i64| now.plus_ms(days * DAY_MS);
        assert_eq!(stage(at(61), now), None);
        assert_eq!(stage(at(60), now).map(|s| s.0), Some(60));
        assert_eq!(stage(at(31), now).map(|s| s.0), Some(60));
        assert_eq!(
            stage(at(30), now).map(|s| (s.0, s.1)),
            Some((30, Severity::Warning))
        );
        assert_eq!(
            stage(at(7), now).map(|s| (s.0, s.1)),
            Some((7, Severity::Critical))
        );
        assert_eq!(stage(at(1), now).map(|s| s.0), Some(1));
        assert_eq!(stage(now, now), None);
        assert_eq!(stage(now.plus_ms(1), now).map(|s| s.2), Some(1));
    }
}
