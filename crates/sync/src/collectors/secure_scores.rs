//! Secure scores: ninety days at first, later the newest; days are never removed, because we keep
//! them longer than Microsoft. Points of controls are kept for the newest day of each read.

use futures_util::future::BoxFuture;
use graph::{Request, types};
use model::{
    inventory::{self, ControlScoreRow, ScoreRow},
    run::Counts,
    secure_score::Average,
};

use crate::collector::{Entry, Pass, Stop};

const NAME: &str = "secure_scores";

pub(crate) const ENTRY: Entry = Entry {
    absent_from: |cloud| (!cloud.has_secure_scores).then_some("This cloud has no Secure Score."),
    ..Entry::new(NAME, "SecurityEvents.Read.All", run)
};

/// Days that Microsoft keeps.
const HISTORY: usize = 90;
/// Days read once the history is there; more than one, so that a late correction is seen.
const RECENT: usize = 7;

fn run<'a>(pass: &'a Pass<'a>) -> BoxFuture<'a, Result<(), Stop>> {
    Box::pin(collect(pass))
}

async fn collect(pass: &Pass<'_>) -> Result<(), Stop> {
    let (stage, began) = (pass.stage, pass.now());
    let newest_day = inventory::newest_score_day(pass.lease()).await?;
    let recent = began.plus_minutes(-(RECENT as i64 - 1) * 24 * 60).day();
    // After a pause longer than what is usually read, Microsoft still has the days between.
    let wanted = match newest_day {
        Some(day) if day >= recent => RECENT,
        _ => HISTORY,
    };
    // The answer carries a nextLink whatever $top says, so the end is ours to set.
    let request = Request::get("/security/secureScores")
        .top(wanted)
        .at_most(wanted);
    let mut pages = pass.client.pages::<types::SecureScore>(&request);
    let mut newest: Option<types::SecureScore> = None;
    while let Some(page) = pages.next(&pass.meter).await? {
        let mut rows = Vec::with_capacity(page.items.len());
        for score in page.items {
            rows.extend(normalise(&score));
            let is_newer = newest
                .as_ref()
                .is_none_or(|n| score.created_date_time > n.created_date_time);
            if is_newer {
                newest = Some(score);
            }
        }
        stage.page(NAME, rows, pass.page_counts(1)).await?;
    }
    if let Some(score) = newest
        && let Some(day) = day(&score)
    {
        let rows: Vec<ControlScoreRow> = score
            .control_scores
            .into_iter()
            .map(|control| normalise_control(&day, control))
            .collect();
        stage.page(NAME, rows, Counts::default()).await?;
    }
    stage.read_to(NAME, None, began, true);
    Ok(())
}

fn day(score: &types::SecureScore) -> Option<String> {
    let created = score
        .created_date_time
        .map(|at| at.format("%Y-%m-%d").to_string());
    // The id ends in the day, should the time be unreadable.
    created.or_else(|| score.id.rsplit('_').next().map(str::to_owned))
}

/// A day without its numbers says nothing and is not kept.
fn normalise(wire: &types::SecureScore) -> Option<ScoreRow> {
    let averages: Vec<Average> = wire
        .average_comparative_scores
        .iter()
        .filter_map(|a| {
            Some(Average {
                basis: a.basis.clone(),
                average_score: a.average_score?,
            })
        })
        .collect();
    Some(ScoreRow {
        id: wire.id.clone(),
        day: day(wire)?,
        current_score: wire.current_score?,
        max_score: wire.max_score?,
        active_user_count: wire.active_user_count,
        licensed_user_count: wire.licensed_user_count,
        enabled_services: super::json_list(&wire.enabled_services),
        averages: serde_json::to_string(&averages).ok()?,
    })
}

fn normalise_control(day: &str, wire: types::ControlScore) -> ControlScoreRow {
    ControlScoreRow {
        day: day.to_owned(),
        id: wire.control_name,
        category: wire.control_category,
        score: wire.score,
        score_in_percentage: wire.score_in_percentage,
        implementation_status: wire.implementation_status.filter(|s| !s.is_empty()),
        description: wire.description,
        last_synced_at: wire.last_synced.map(Into::into),
    }
}
