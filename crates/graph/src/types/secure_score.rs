//! Secure score. Microsoft declares these types open: undeclared members do occur.

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::{list, number, text, time};

/// `secureScore`: one day.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct SecureScore {
    pub id: String,
    #[serde(default, deserialize_with = "text")]
    pub azure_tenant_id: String,
    #[serde(default, deserialize_with = "time")]
    pub created_date_time: Option<DateTime<Utc>>,
    #[serde(default, deserialize_with = "number")]
    pub current_score: Option<f64>,
    #[serde(default, deserialize_with = "number")]
    pub max_score: Option<f64>,
    #[serde(default)]
    pub active_user_count: Option<i64>,
    #[serde(default)]
    pub licensed_user_count: Option<i64>,
    #[serde(default, deserialize_with = "list")]
    pub enabled_services: Vec<String>,
    #[serde(default, deserialize_with = "list")]
    pub average_comparative_scores: Vec<AverageComparativeScore>,
    #[serde(default, deserialize_with = "list")]
    pub control_scores: Vec<ControlScore>,
}

/// `averageComparativeScore`; found by `basis`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct AverageComparativeScore {
    #[serde(default, deserialize_with = "text")]
    pub basis: String,
    #[serde(default, deserialize_with = "number")]
    pub average_score: Option<f64>,
}

/// `controlScore`; the last three members are undeclared but on the wire.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct ControlScore {
    #[serde(default, deserialize_with = "text")]
    pub control_name: String,
    #[serde(default, deserialize_with = "text")]
    pub control_category: String,
    #[serde(default)]
    pub description: Option<String>,
    #[serde(default, deserialize_with = "number")]
    pub score: Option<f64>,
    #[serde(default, deserialize_with = "number")]
    pub score_in_percentage: Option<f64>,
    #[serde(default)]
    pub implementation_status: Option<String>,
    #[serde(default, deserialize_with = "time")]
    pub last_synced: Option<DateTime<Utc>>,
}

/// `secureScoreControlProfile`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct SecureScoreControlProfile {
    pub id: String,
    #[serde(default, deserialize_with = "text")]
    pub title: String,
    #[serde(default, deserialize_with = "text")]
    pub control_category: String,
    #[serde(default, deserialize_with = "number")]
    pub max_score: Option<f64>,
    #[serde(default)]
    pub rank: Option<i64>,
    #[serde(default)]
    pub action_type: Option<String>,
    #[serde(default)]
    pub action_url: Option<String>,
    #[serde(default)]
    pub service: Option<String>,
    #[serde(default)]
    pub tier: Option<String>,
    #[serde(default, deserialize_with = "list")]
    pub threats: Vec<String>,
    #[serde(default)]
    pub user_impact: Option<String>,
    #[serde(default)]
    pub implementation_cost: Option<String>,
    #[serde(default)]
    pub remediation: Option<String>,
    #[serde(default)]
    pub remediation_impact: Option<String>,
    #[serde(default)]
    pub deprecated: Option<bool>,
    #[serde(default, deserialize_with = "list")]
    pub control_state_updates: Vec<ControlStateUpdate>,
}

impl SecureScoreControlProfile {
    /// The state in force: that of the newest update; one without a time is the oldest.
    pub fn state(&self) -> Option<&str> {
        self.control_state_updates
            .iter()
            .max_by_key(|u| u.updated_date_time)
            .and_then(|u| u.state.as_deref())
    }
}

/// `secureScoreControlStateUpdate`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct ControlStateUpdate {
    #[serde(default)]
    pub state: Option<String>,
    #[serde(default, deserialize_with = "time")]
    pub updated_date_time: Option<DateTime<Utc>>,
}
