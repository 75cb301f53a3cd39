//! Tests of connections: which lines came so far. A test is one process's work; when that dies it
//! stays without an end, and is shown as interrupted.

use sea_orm::{ActiveModelTrait, ActiveValue::Set, ColumnTrait, QueryFilter, QueryOrder};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    ConnectionTest, ConnectionTestId, CredentialId, CredentialKind, DirectoryId, Error, Result,
    Role, Scope, TestState, Timestamp,
    audit::{self, Target},
    credential::Credential,
    db::execute,
    entity::connection_test::{ActiveModel, Column, Entity},
};

/// A test without an end after this long was interrupted.
const LONGEST_MINUTES: i64 = 5;

/// How one line ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Works, with less than everything.
    Warning,
    /// Does not work.
    Failed,
    /// Not looked at, because something before it failed.
    Skipped,
}

/// One line of a test.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Line {
    /// What was tried.
    pub what: String,
    /// How it ended.
    pub verdict: Verdict,
    /// What was found, in words.
    pub found: String,
    /// What to do, if anything.
    #[serde(default)]
    pub remedy: String,
    /// Microsoft's code, if it gave one.
    #[serde(default)]
    pub code: String,
    /// Milliseconds that it took.
    pub ms: i64,
}

impl ConnectionTest {
    /// The lines so far.
    pub fn line_list(&self) -> Vec<Line> {
        serde_json::from_str(&self.lines).unwrap_or_default()
    }

    /// Whether it has no end and will get none.
    pub fn is_interrupted(&self, now: Timestamp) -> bool {
        self.state == TestState::Running && self.started_at.plus_minutes(LONGEST_MINUTES) <= now
    }
}

/// Begins a test of a credential against one directory. The ones before it are removed.
///
/// # Errors
/// [`Error::Invalid`] for another directory than the credential's own, unless it is of many tenants.
pub async fn begin(
    scope: &Scope,
    of: &Credential,
    directory: DirectoryId,
) -> Result<ConnectionTest> {
    scope.require_everywhere(Role::Admin)?;
    if directory != of.directory_id && of.kind != CredentialKind::MultiTenant {
        return Err(Error::field(
            "directory_id",
            "This credential reads its own directory alone.",
        ));
    }
    let credential = of.id;
    let tx = scope.begin().await?;
    execute(
        &tx.conn,
        "DELETE FROM connection_tests WHERE partner_id = $1 AND credential_id = $2",
        vec![scope.partner().into(), credential.into()],
    )
    .await?;
    let row = ActiveModel {
        partner_id: Set(scope.partner()),
        id: Set(ConnectionTestId::generate(scope.db().clock())),
        credential_id: Set(credential),
        directory_id: Set(directory),
        state: Set(TestState::Running),
        lines: Set("[]".into()),
        started_at: Set(scope.now()),
        finished_at: Set(None),
    }
    .insert(&tx.conn)
    .await?;
    audit::append(
        &tx,
        scope,
        "credential.test",
        Target::new("credential", credential, ""),
        json!({ "directory_id": directory }),
    )
    .await?;
    tx.commit().await?;
    Ok(row)
}

/// Keeps the lines so far, and the end where there is one.
pub async fn record(
    scope: &Scope,
    id: ConnectionTestId,
    lines: &[Line],
    end: Option<TestState>,
) -> Result<()> {
    let text = serde_json::to_string(lines).map_err(|e| Error::Stored(e.to_string()))?;
    execute(
        &scope.writer(),
        "UPDATE connection_tests SET lines = $1, state = $2, finished_at = $3
         WHERE partner_id = $4 AND id = $5",
        vec![
            text.into(),
            end.unwrap_or(TestState::Running).as_str().into(),
            end.map(|_| scope.now()).into(),
            scope.partner().into(),
            id.into(),
        ],
    )
    .await?;
    Ok(())
}

/// The newest test of a credential.
pub async fn newest(scope: &Scope, credential: CredentialId) -> Result<Option<ConnectionTest>> {
    Ok(scope
        .find::<Entity>()
        .filter(Column::CredentialId.eq(credential))
        .order_by_desc(Column::Id)
        .one(&scope.conn())
        .await?)
}

/// One test.
pub async fn get(scope: &Scope, id: ConnectionTestId) -> Result<Option<ConnectionTest>> {
    Ok(scope
        .find::<Entity>()
        .filter(Column::Id.eq(id))
        .one(&scope.conn())
        .await?)
}
