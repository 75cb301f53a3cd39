//! Test connection: begun by a form, its lines shown as they come.

use actix_web::web;
use askama::Template;
use bytes::Bytes;
use futures_util::stream;
use model::{
    ConnectionTest, ConnectionTestId, CredentialId, DirectoryId, TestState, Timestamp,
    connection_test::{self, Line, Verdict},
    credential, session,
};
use serde::Deserialize;

use super::credentials::page_of;
use crate::{
    Portal,
    guard::Signed,
    problem::PageProblem,
    sse,
    view::{Answer, Html, badge, duration_words, filters, see_other},
};

/// A test as a page shows it.
pub(super) struct Test {
    pub(super) test: ConnectionTest,
    pub(super) lines: Vec<Line>,
    pub(super) now: Timestamp,
}

impl Test {
    fn new(test: ConnectionTest, now: Timestamp) -> Self {
        Self {
            lines: test.line_list(),
            test,
            now,
        }
    }

    /// The newest of a credential.
    pub(super) async fn newest(
        principal: &Signed,
        id: CredentialId,
    ) -> Result<Option<Self>, PageProblem> {
        let newest = connection_test::newest(&principal.scope, id).await?;
        Ok(newest.map(|test| Self::new(test, principal.scope.now())))
    }

    pub(super) fn is_running(&self) -> bool {
        self.test.state == TestState::Running && !self.test.is_interrupted(self.now)
    }

    pub(super) fn state_badge(&self) -> Html {
        match self.test.state {
            TestState::Running if self.test.is_interrupted(self.now) => {
                badge("", "ban", "Interrupted")
            }
            TestState::Running => badge("badge-info", "loader-2", "Running"),
            TestState::Passed => badge("badge-ok", "circle-check", "Passed"),
            TestState::Partial => badge("badge-warn", "alert-triangle", "Works, with gaps"),
            TestState::Failed => badge("badge-bad", "circle-x", "Failed"),
        }
    }

    pub(super) fn class(&self, line: &Line) -> &'static str {
        match line.verdict {
            Verdict::Ok => "ok",
            Verdict::Warning => "wait",
            Verdict::Failed => "bad",
            Verdict::Skipped => "todo",
        }
    }

    pub(super) fn icon(&self, line: &Line) -> &'static str {
        match line.verdict {
            Verdict::Ok => "circle-check",
            Verdict::Warning => "alert-triangle",
            Verdict::Failed => "circle-x",
            Verdict::Skipped => "circle-dashed",
        }
    }

    pub(super) fn took(&self, line: &Line) -> String {
        duration_words(line.ms)
    }

    fn version(&self) -> String {
        format!("{}.{}", self.lines.len(), self.test.state)
    }
}

#[derive(Template)]
#[template(path = "credentials/test.html")]
struct TestPart {
    test: Test,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Form {
    #[serde(default)]
    directory_id: String,
}

/// Begins a test against the credential's own directory, or that of a tenant.
pub(crate) async fn create(
    portal: web::Data<Portal>,
    principal: Signed,
    id: web::Path<CredentialId>,
    form: web::Form<Form>,
) -> Answer {
    let credential = credential::get(&principal.scope, *id)
        .await?
        .ok_or(PageProblem::NotFound)?;
    let directory =
        credential::parse_guid(&form.directory_id).map_or(credential.directory_id, DirectoryId);
    let begun = connection_test::begin(&principal.scope, &credential, directory).await?;
    let scope = principal.scope.clone();
    actix_web::rt::spawn(async move {
        let ended = portal
            .consent
            .test_connection(&scope, &credential, &begun)
            .await;
        if let Err(error) = ended {
            tracing::warn!(%error, "a test of a connection did not end");
        }
    });
    Ok(see_other(&format!("{}#test", page_of(*id))))
}

enum Step {
    Open,
    Look { last: String, looks: u32 },
    End,
}

/// The lines as they come.
pub(crate) async fn stream(
    principal: Signed,
    path: web::Path<(CredentialId, ConnectionTestId)>,
) -> Answer {
    let (_, id) = path.into_inner();
    connection_test::get(&principal.scope, id)
        .await?
        .ok_or(PageProblem::NotFound)?;
    let events = stream::unfold(Step::Open, move |step| {
        let principal = principal.clone();
        async move {
            match step {
                Step::Open => {
                    let next = Step::Look {
                        last: String::new(),
                        looks: 0,
                    };
                    Some((Ok(Bytes::from_static(b": open\n\n")), next))
                }
                Step::End => None,
                Step::Look { last, looks } => Some(look(&principal, id, last, looks).await),
            }
        }
    });
    Ok(sse::respond(events))
}

/// A test is over in seconds, so its lines are looked for more often than a job's.
const LOOK: std::time::Duration = std::time::Duration::from_millis(200);

async fn look(
    principal: &Signed,
    id: ConnectionTestId,
    last: String,
    looks: u32,
) -> (Result<Bytes, std::io::Error>, Step) {
    for round in looks.. {
        if !last.is_empty() {
            actix_web::rt::time::sleep(LOOK).await;
        }
        let found = connection_test::get(&principal.scope, id).await;
        let Ok(Some(found)) = found else { break };
        if !session::holds(principal).await.unwrap_or(false) {
            break;
        }
        let test = Test::new(found, principal.scope.now());
        let version = test.version();
        let is_over = !test.is_running();
        if version != last {
            let html = TestPart { test }.render().unwrap_or_default();
            let html = format!(
                "<hx-partial hx-target=\"#test-lines\" hx-swap=\"innerMorph\">{html}</hx-partial>"
            );
            let next = Step::Look {
                last: version.clone(),
                looks: round + 1,
            };
            return (Ok(sse::message(&version, "", &html)), next);
        }
        if is_over {
            break;
        }
    }
    (Ok(sse::message("done", "done", "")), Step::End)
}
