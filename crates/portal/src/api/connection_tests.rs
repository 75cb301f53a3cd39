//! Test connection: the answer comes when all lines are there.

use actix_web::{HttpResponse, web};
use model::{
    ConnectionTest, CredentialId, DirectoryId, Timestamp,
    connection_test::{self, Verdict},
    credential,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Answer;
use crate::{
    Portal,
    guard::Signed,
    problem::{ApiProblem, Problem},
};

/// One line of a test.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConnectionTestLine)]
pub(crate) struct LineView {
    /// What was tried.
    what: String,
    /// `ok`, `warning`, `failed` or `skipped`.
    verdict: &'static str,
    /// What was found.
    found: String,
    /// What to do, if anything.
    remedy: String,
    /// Microsoft's code, if it gave one.
    code: String,
    /// Milliseconds.
    ms: i64,
}

/// A test of a connection.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConnectionTest)]
pub(crate) struct View {
    id: Uuid,
    directory_id: Uuid,
    /// `passed`, `partial` (works, with gaps), `failed` or `running`.
    state: String,
    lines: Vec<LineView>,
    started_at: String,
    finished_at: Option<String>,
}

impl From<ConnectionTest> for View {
    fn from(test: ConnectionTest) -> Self {
        Self {
            id: test.id.0,
            directory_id: test.directory_id.0,
            state: test.state.to_string(),
            lines: test
                .line_list()
                .into_iter()
                .map(|line| LineView {
                    verdict: match line.verdict {
                        Verdict::Ok => "ok",
                        Verdict::Warning => "warning",
                        Verdict::Failed => "failed",
                        Verdict::Skipped => "skipped",
                    },
                    what: line.what,
                    found: line.found,
                    remedy: line.remedy,
                    code: line.code,
                    ms: line.ms,
                })
                .collect(),
            started_at: test.started_at.rfc3339(),
            finished_at: test.finished_at.map(Timestamp::rfc3339),
        }
    }
}

/// A test to run.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = NewConnectionTest)]
#[serde(deny_unknown_fields)]
pub(crate) struct New {
    /// The tenant to try; the credential's own unless told.
    #[serde(default)]
    directory_id: Option<Uuid>,
}

/// Test a connection
///
/// Where a single-tenant application or a delegated connection passes, its directory is connected.
#[utoipa::path(post, path = "/api/v1/credentials/{id}/tests", request_body = New,
    params(("id" = Uuid, Path)), responses(
    (status = 201, body = View), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn create(
    portal: web::Data<Portal>,
    principal: Signed,
    id: web::Path<CredentialId>,
    new: web::Json<New>,
) -> Answer {
    let scope = &principal.scope;
    let credential = credential::get(scope, *id)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    let directory = new
        .directory_id
        .map_or(credential.directory_id, DirectoryId);
    let begun = connection_test::begin(scope, &credential, directory).await?;
    portal
        .consent
        .test_connection(scope, &credential, &begun)
        .await?;
    let ended = connection_test::get(scope, begun.id)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    Ok(HttpResponse::Created().json(View::from(ended)))
}
