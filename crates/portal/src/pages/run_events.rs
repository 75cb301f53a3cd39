//! The live stream of one run: its whole fragment whenever something changed, at most once a
//! second, and `done` at the end.

use actix_web::web;
use askama::Template;
use bytes::Bytes;
use futures_util::stream;
use model::{RunId, session};

use super::runs::{Live, LivePart};
use crate::{guard::Signed, sse, view::Answer};

enum Step {
    Open,
    Look { last: String, quiet: u32 },
    End,
}

pub(crate) async fn stream(principal: Signed, id: web::Path<RunId>) -> Answer {
    // A first look: 404 belongs here, not into the stream.
    Live::load(&principal, *id).await?;
    let id = *id;
    let events = stream::unfold(Step::Open, move |step| {
        let principal = principal.clone();
        async move {
            match step {
                Step::Open => {
                    let next = Step::Look {
                        last: String::new(),
                        quiet: 0,
                    };
                    Some((Ok(Bytes::from_static(b": open\n\n")), next))
                }
                Step::End => None,
                Step::Look { last, quiet } => Some(look(&principal, id, last, quiet).await),
            }
        }
    });
    Ok(sse::respond(events))
}

async fn look(
    principal: &Signed,
    id: RunId,
    mut last: String,
    mut quiet: u32,
) -> (Result<Bytes, std::io::Error>, Step) {
    loop {
        // The first look is at once: what a page shows after a reconnect must be complete.
        if !last.is_empty() {
            actix_web::rt::time::sleep(sse::LOOK).await;
        }
        // Signed out, removed, or of another role since: nothing more is shown.
        let holds = session::holds(principal).await.unwrap_or(false);
        let live = match holds {
            true => Live::load(principal, id).await.ok(),
            false => None,
        };
        let Some(live) = live else {
            return (Ok(sse::message("gone", "done", "")), Step::End);
        };
        let version = live.version();
        let is_over = !live.run.state.is_open();
        if version == last {
            quiet += 1;
            if is_over {
                return (Ok(sse::message(&version, "done", "")), Step::End);
            }
            if quiet >= sse::QUIET_LOOKS {
                let next = Step::Look { last, quiet: 0 };
                return (Ok(Bytes::from_static(b": keep-alive\n\n")), next);
            }
            continue;
        }
        last.clone_from(&version);
        let html = LivePart { live }.render().unwrap_or_default();
        let html =
            format!("<hx-partial hx-target=\"#live\" hx-swap=\"innerMorph\">{html}</hx-partial>");
        return (
            Ok(sse::message(&version, "", &html)),
            Step::Look { last, quiet: 0 },
        );
    }
}
