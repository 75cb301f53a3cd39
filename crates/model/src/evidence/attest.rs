//! Writing evidence after a run has ended. It rests on what the run published, and a worker that dies in
//! between leaves a run that whoever comes next attests: doing it twice writes nothing twice.

use sea_orm::{ColumnTrait, QueryFilter};

use super::statement;
use crate::{
    Actor, CollectorState, Db, Error, EvidenceId, EvidenceKind, MappingId, PartnerId, Result, Role,
    Run, RunId, RunKind, RunState, Scope,
    db::{execute, query_all, query_one},
    entity::run,
    inventory::Snapshot,
};

/// What a run says, and whether it was said before.
struct Statement {
    kind: EvidenceKind,
    /// `None` where nothing changed since the statement with this id.
    content: Option<String>,
    known: Option<EvidenceId>,
}

/// Writes what a run saw. Answers how many statements it made or saw again; none of a run that is not
/// of a directory, has not ended well, or was attested.
pub async fn attest(scope: &Scope, id: RunId) -> Result<usize> {
    let found = scope
        .find::<run::Entity>()
        .filter(run::Column::Id.eq(id))
        .one(&scope.conn())
        .await?;
    let Some(run) =
        found.filter(|run| matches!(run.state, RunState::Completed | RunState::Partial))
    else {
        return Ok(0);
    };
    let statements = match run.kind {
        RunKind::Directory => statements(scope, &run).await?,
        RunKind::SecureScore | RunKind::SignInActivity => vec![],
    };
    write(scope, &run, statements).await
}

async fn statements(scope: &Scope, run: &Run) -> Result<Vec<Statement>> {
    let at = run.finished_at.unwrap_or(run.created_at);
    let seen = Snapshot::of_mapping(scope, run.mapping_id, RunKind::Directory).await?;
    let whole: Vec<_> = crate::run::collectors(scope, run)
        .await?
        .into_iter()
        .filter(|c| c.state == CollectorState::Succeeded)
        .collect();
    let mut statements = Vec::new();
    for kind in EvidenceKind::ALL.iter().copied() {
        let on = |c: &&crate::RunCollector| kind.collectors().contains(&c.name.as_str());
        let of: Vec<_> = whole.iter().filter(on).collect();
        if of.is_empty() {
            // No conclusion from what was not read to its end.
            continue;
        }
        let is_unchanged =
            |c: &&crate::RunCollector| c.objects_new + c.objects_changed + c.objects_removed == 0;
        // Accounts are many: where nothing changed they need not be looked at again.
        let known = match kind {
            EvidenceKind::UserInventory if of.iter().all(is_unchanged) => {
                newest_id(scope, run.mapping_id, kind).await?
            }
            _ => None,
        };
        let content = match known {
            Some(_) => None,
            None => {
                let read: Vec<String> = of.iter().map(|c| c.name.clone()).collect();
                let says = statement::of(scope, &seen, kind, at, &read).await?;
                let canonical = serde_json_canonicalizer::to_string(&says)
                    .map_err(|e| Error::Stored(format!("evidence: {e}")))?;
                Some(canonical)
            }
        };
        statements.push(Statement {
            kind,
            content,
            known,
        });
    }
    Ok(statements)
}

async fn newest_id(
    scope: &Scope,
    mapping: MappingId,
    kind: EvidenceKind,
) -> Result<Option<EvidenceId>> {
    let row = query_one(
        &scope.conn(),
        "SELECT evidence_id FROM evidence_observations
         WHERE partner_id = $1 AND mapping_id = $2 AND kind = $3
         ORDER BY observed_at DESC LIMIT 1",
        vec![scope.partner().into(), mapping.into(), kind.as_str().into()],
    )
    .await?;
    Ok(row.map(|row| row.try_get("", "evidence_id")).transpose()?)
}

async fn write(scope: &Scope, run: &Run, statements: Vec<Statement>) -> Result<usize> {
    let seen = Snapshot::of_mapping(scope, run.mapping_id, RunKind::Directory).await?;
    let at = run.finished_at.unwrap_or(run.created_at);
    let count = statements.len();
    let tx = scope.begin_beside().await?;
    for statement in statements {
        let id = match (statement.known, statement.content) {
            (Some(id), _) => Some(id),
            (None, None) => None,
            (None, Some(content)) => {
                let fingerprint = keys::fingerprint(&content);
                execute(
                    &tx.conn,
                    "INSERT INTO evidence (partner_id, id, company_id, mapping_id, kind, fingerprint,
                        content, generation, run_id, created_at)
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING",
                    vec![
                        run.partner_id.into(),
                        EvidenceId::generate(scope.db().clock()).into(),
                        run.company_id.into(),
                        run.mapping_id.into(),
                        statement.kind.as_str().into(),
                        fingerprint.clone().into(),
                        content.into(),
                        seen.generation(run.mapping_id).into(),
                        run.id.into(),
                        at.into(),
                    ],
                )
                .await?;
                let row = query_one(
                    &tx.conn,
                    "SELECT id FROM evidence WHERE partner_id = $1 AND mapping_id = $2
                        AND kind = $3 AND fingerprint = $4",
                    vec![
                        run.partner_id.into(),
                        run.mapping_id.into(),
                        statement.kind.as_str().into(),
                        fingerprint.into(),
                    ],
                )
                .await?;
                row.map(|row| row.try_get("", "id")).transpose()?
            }
        };
        let Some(id): Option<EvidenceId> = id else {
            continue;
        };
        execute(
            &tx.conn,
            "INSERT INTO evidence_observations (partner_id, evidence_id, run_id, company_id,
                mapping_id, kind, observed_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
            vec![
                run.partner_id.into(),
                id.into(),
                run.id.into(),
                run.company_id.into(),
                run.mapping_id.into(),
                statement.kind.as_str().into(),
                at.into(),
            ],
        )
        .await?;
    }
    execute(
        &tx.conn,
        "UPDATE runs SET attested_at = $1 WHERE partner_id = $2 AND id = $3",
        vec![scope.now().into(), run.partner_id.into(), run.id.into()],
    )
    .await?;
    tx.commit().await?;
    Ok(count)
}

/// Attests runs that have ended and whose worker did not come to it, oldest first, at most a hundred.
/// Those that ended within the last moments are their worker's.
pub async fn attest_pending(db: &Db) -> Result<usize> {
    const GRACE_MS: i64 = 10_000;
    let rows = query_all(
        &db.everybody(),
        "SELECT partner_id, id FROM runs
         WHERE attested_at IS NULL AND state IN ('completed', 'partial') AND finished_at < $1
         ORDER BY finished_at LIMIT 100",
        vec![db.clock().now().plus_ms(-GRACE_MS).into()],
    )
    .await?;
    for row in &rows {
        let partner: PartnerId = row.try_get("", "partner_id")?;
        let actor = Actor {
            kind: "run",
            id: String::new(),
            name: "schedule".into(),
            address: String::new(),
        };
        let scope = Scope::new(db, partner, Role::Technician, actor);
        attest(&scope, row.try_get("", "id")?).await?;
    }
    Ok(rows.len())
}
