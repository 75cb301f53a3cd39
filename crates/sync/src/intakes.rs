//! Sends events of what was synced to the intakes of other systems, batch after batch, each once more
//! where it did not arrive.

use std::time::Duration;

use futures_util::{StreamExt, stream::FuturesUnordered};
use model::{
    Db, Error,
    intake::{self, Part, Taken},
};
use report::ocsf::{self, Class, Form, Style, Version};
use tokio::{sync::watch, time::Instant};
use url::Url;

use crate::Sender;

/// How often is looked whether something was published.
pub(crate) const IDLE: Duration = Duration::from_secs(5);
/// How long one intake is served before the others' turn comes again; one request more may be under way.
const TURN: Duration = Duration::from_secs(30);
/// What one request takes at most: with a turn, less than the lease.
const LONGEST: Duration = Duration::from_secs(30);

/// Serves the intakes whose time has come, side by side; answers how many.
pub(crate) async fn run(
    db: &Db,
    sender: &Sender,
    idle: Duration,
    shutdown: &watch::Receiver<bool>,
) -> anyhow::Result<usize> {
    let due = intake::take_due(db).await?;
    let count = due.len();
    let mut serving: FuturesUnordered<_> = due
        .into_iter()
        .map(|taken| async move {
            match serve(sender, &taken, idle, shutdown).await {
                // It was paused, changed or removed, or another process has it.
                Err(Error::LeaseLost) => Ok(()),
                other => other,
            }
        })
        .collect();
    while let Some(served) = serving.next().await {
        served?;
    }
    Ok(count)
}

async fn serve(
    sender: &Sender,
    taken: &Taken,
    idle: Duration,
    shutdown: &watch::Receiver<bool>,
) -> model::Result<()> {
    let began = Instant::now();
    let mut next: Option<Part> = None;
    loop {
        let part = match next.take() {
            Some(part) => Some(part),
            None => taken.next().await?,
        };
        let Some(part) = part else {
            return taken.rest(millis(idle)).await;
        };
        let intake = &taken.intake;
        let (class, style) = (Class::of(&part.class), style(taken));
        let lines = match class {
            Some(class) => {
                let limit = u64::try_from(intake.batch).unwrap_or(1);
                ocsf::read(&part.extract, class, style, &part.behind, limit).await?
            }
            // Of a version to come: nothing of this one knows it.
            None => ocsf::Lines::default(),
        };
        if lines.events > 0
            && let Err(failure) = post(sender, taken, lines.bytes).await
        {
            tracing::info!(intake = %intake.id, why = failure.why, "an intake did not take events");
            let sent = i64::try_from(lines.events).unwrap_or(intake.batch);
            let batch = match failure.is_too_much {
                true => (sent / 2).max(1),
                false => intake.batch,
            };
            return taken.failed(&failure.why, failure.asked_ms, batch).await;
        }
        next = taken.arrived(part, lines.events, lines.last).await?;
        if began.elapsed() > TURN || *shutdown.borrow() {
            return taken.rest(0).await;
        }
    }
}

fn style(taken: &Taken) -> Style {
    Style {
        version: Version::of(&taken.intake.schema_version).unwrap_or_default(),
        form: Form::of(&taken.intake.form).unwrap_or_default(),
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Why events did not arrive.
struct Failure {
    why: String,
    /// How long the other side wants to be left alone.
    asked_ms: Option<i64>,
    /// It wants fewer at once.
    is_too_much: bool,
}

impl From<String> for Failure {
    fn from(why: String) -> Self {
        Self {
            why,
            asked_ms: None,
            is_too_much: false,
        }
    }
}

async fn post(sender: &Sender, taken: &Taken, events: Vec<u8>) -> Result<(), Failure> {
    let intake = &taken.intake;
    let url: Url = intake
        .url
        .parse()
        .map_err(|_| "The address cannot be read.".to_owned())?;
    sender
        .outbound
        .check(&url)
        .map_err(|refused| refused.to_string())?;
    let token = taken
        .token(&sender.consent.connection.keyring)
        .await
        .map_err(|_| "The intake's token could not be opened.".to_owned())?;
    let client = sender.outbound.client();
    let client = client.map_err(|_| "No request could be made.".to_owned())?;
    let mut request = client
        .post(url)
        .timeout(LONGEST)
        .header("content-type", "application/x-ndjson")
        .body(events);
    if !token.expose().is_empty() {
        let authorization = format!("{} {}", intake.scheme, token.expose());
        request = request.header("authorization", authorization);
    }
    let answer = request
        .send()
        .await
        .map_err(|error| match error.is_timeout() {
            true => "The address did not answer within half a minute.".to_owned(),
            false => "The address could not be reached.".to_owned(),
        })?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let asked = answer.headers().get("retry-after");
    let seconds = asked.and_then(|value| value.to_str().ok()?.trim().parse::<i64>().ok());
    let what = match status.as_u16() {
        401 | 403 => " Check the token.",
        404 => " Check the address.",
        413 => " Half as many events are sent at once from now on.",
        _ => "",
    };
    Err(Failure {
        why: format!("The address answered {status}.{what}"),
        asked_ms: seconds.map(|seconds| seconds.saturating_mul(1000)),
        is_too_much: status.as_u16() == 413,
    })
}
