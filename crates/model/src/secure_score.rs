//! Reading Microsoft Secure Score: days, the controls of the newest day, and their profiles.

use std::collections::HashMap;

use sea_orm::{ColumnTrait, QueryFilter, QueryOrder};
use serde::Deserialize;

use crate::{
    CompanyId, ControlProfile, ControlScore, MappingId, Result, RunKind, Scope, SecureScore,
    entity::{control_profile, control_score, secure_score},
    inventory::Snapshot,
};

/// A control with its points and its profile. Either may be missing: Microsoft lists retired
/// controls without profiles and profiles that do not apply.
#[derive(Debug, Clone)]
pub struct Control {
    /// Microsoft's name of the control.
    pub id: String,
    /// Points, if the control was scored.
    pub score: Option<ControlScore>,
    /// Profile, if known.
    pub profile: Option<ControlProfile>,
}

/// Where a control stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ControlStatus {
    /// No points yet.
    ToAddress,
    /// Some points.
    Partial,
    /// All points.
    Done,
    /// Ignored or resolved by another product, whatever the points.
    Accepted,
    /// Not scored.
    Unknown,
}

impl ControlStatus {
    /// In words.
    pub fn label(self) -> &'static str {
        match self {
            Self::ToAddress => "To address",
            Self::Partial => "Partial",
            Self::Done => "Done",
            Self::Accepted => "Accepted",
            Self::Unknown => "Unknown",
        }
    }
}

impl Control {
    /// Title, or the id where there is no profile.
    pub fn title(&self) -> &str {
        self.profile.as_ref().map_or(&self.id, |p| &p.title)
    }

    /// Category, or `Other`.
    pub fn category(&self) -> &str {
        let named = self.profile.as_ref().map(|p| p.category.as_str());
        named
            .or(self.score.as_ref().map(|s| s.category.as_str()))
            .filter(|c| !c.is_empty())
            .unwrap_or("Other")
    }

    /// Points now.
    pub fn points(&self) -> Option<f64> {
        self.score.as_ref().and_then(|s| s.score)
    }

    /// Points possible: of the profile, because the score does not say.
    pub fn possible(&self) -> Option<f64> {
        self.profile.as_ref().and_then(|p| p.max_score)
    }

    /// Points still to win; never below zero.
    pub fn open_points(&self) -> f64 {
        match (self.points(), self.possible()) {
            (Some(now), Some(max)) => (max - now).max(0.0),
            _ => 0.0,
        }
    }

    /// Derived as Microsoft's own portal does (source: docs/architecture.md, Secure Score).
    pub fn status(&self) -> ControlStatus {
        let state = self
            .profile
            .as_ref()
            .and_then(|p| p.state.as_deref())
            .unwrap_or_default();
        if state.eq_ignore_ascii_case("ignored") || state.eq_ignore_ascii_case("thirdparty") {
            return ControlStatus::Accepted;
        }
        let percent = self.score.as_ref().and_then(|s| {
            s.score_in_percentage.or_else(|| {
                let (now, max) = (s.score?, self.possible()?);
                (max > 0.0).then(|| now / max * 100.0)
            })
        });
        match percent {
            None => ControlStatus::Unknown,
            Some(p) if p >= 100.0 => ControlStatus::Done,
            Some(p) if p > 0.0 => ControlStatus::Partial,
            Some(_) => ControlStatus::ToAddress,
        }
    }
}

/// An average that Microsoft gives beside the score; found by `basis`, never by position.
#[derive(Debug, Clone, Deserialize, serde::Serialize)]
pub struct Average {
    /// `AllTenants`, `TotalSeats` or `IndustryTypes`.
    pub basis: String,
    /// Its value as Microsoft shows it.
    pub average_score: f64,
}

/// Percent of the maximum; `None` where the maximum is zero.
pub fn percent(score: &SecureScore) -> Option<f64> {
    (score.max_score > 0.0).then(|| 100.0 * score.current_score / score.max_score)
}

/// The averages of a day.
pub fn averages(score: &SecureScore) -> Vec<Average> {
    serde_json::from_str(&score.averages).unwrap_or_default()
}

/// All days of a mapping, oldest first. The mapping was read through the scope.
pub async fn days(scope: &Scope, mapping: MappingId) -> Result<Vec<SecureScore>> {
    let seen = Snapshot::of_mapping(scope, mapping, RunKind::SecureScore).await?;
    Ok(scope
        .find::<secure_score::Entity>()
        .filter(seen.condition::<secure_score::Entity>())
        .order_by_asc(secure_score::Column::Day)
        .all(&scope.conn())
        .await?)
}

/// The newest day of every mapping of a company.
pub async fn newest(scope: &Scope, company: CompanyId) -> Result<Vec<SecureScore>> {
    let seen = Snapshot::of_company(scope, company, RunKind::SecureScore).await?;
    let mut newest: HashMap<MappingId, SecureScore> = HashMap::new();
    for score in scope
        .find::<secure_score::Entity>()
        .filter(seen.condition::<secure_score::Entity>())
        .order_by_asc(secure_score::Column::Day)
        .all(&scope.conn())
        .await?
    {
        newest.insert(score.mapping_id, score);
    }
    Ok(newest.into_values().collect())
}

/// The newest day of every mapping in scope, for the dashboard.
pub async fn newest_of_all(scope: &Scope) -> Result<HashMap<MappingId, SecureScore>> {
    let seen = Snapshot::of_all(scope, RunKind::SecureScore).await?;
    let since = scope.now().plus_minutes(-14 * 24 * 60).day();
    let mut newest = HashMap::new();
    for score in scope
        .find::<secure_score::Entity>()
        .filter(secure_score::Column::Day.gte(since))
        .order_by_asc(secure_score::Column::Day)
        .all(&scope.conn())
        .await?
    {
        let published = seen.generation(score.mapping_id);
        if score.since <= published && score.until > published {
            newest.insert(score.mapping_id, score);
        }
    }
    Ok(newest)
}

/// Controls of a mapping on its newest scored day, those with most points to win first.
pub async fn controls(scope: &Scope, mapping: MappingId) -> Result<Vec<Control>> {
    let seen = Snapshot::of_mapping(scope, mapping, RunKind::SecureScore).await?;
    let mut controls = controls_of(scope, &seen).await?;
    controls.sort_by(|a, b| {
        b.open_points()
            .total_cmp(&a.open_points())
            .then_with(|| a.title().cmp(b.title()))
    });
    Ok(controls)
}

/// Controls that a snapshot shows on its newest scored day, in no order.
pub(crate) async fn controls_of(scope: &Scope, seen: &Snapshot) -> Result<Vec<Control>> {
    let conn = &scope.conn();
    let newest_day = scope
        .find::<control_score::Entity>()
        .filter(seen.condition::<control_score::Entity>())
        .order_by_desc(control_score::Column::Day)
        .one(conn)
        .await?
        .map(|s| s.day);
    let mut profiles: HashMap<String, ControlProfile> = scope
        .find::<control_profile::Entity>()
        .filter(seen.condition::<control_profile::Entity>())
        .all(conn)
        .await?
        .into_iter()
        .filter(|p| p.deprecated != Some(true))
        .map(|p| (p.id.clone(), p))
        .collect();
    let mut controls = Vec::new();
    if let Some(day) = newest_day {
        for score in scope
            .find::<control_score::Entity>()
            .filter(seen.condition::<control_score::Entity>())
            .filter(control_score::Column::Day.eq(day))
            .all(conn)
            .await?
        {
            controls.push(Control {
                id: score.id.clone(),
                profile: profiles.remove(&score.id),
                score: Some(score),
            });
        }
    }
    controls.extend(profiles.into_iter().map(|(id, profile)| Control {
        id,
        score: None,
        profile: Some(profile),
    }));
    Ok(controls)
}
