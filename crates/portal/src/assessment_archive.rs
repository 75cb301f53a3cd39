//! The archive of an assessment, from the rows that a scope sees: what pages and API hand out.

use model::{
    AssessmentId, Evidence, Scope, Timestamp,
    assessment::{self, Attached},
    audit::checkpoint,
    evidence,
};
use report::archive::{self, File};
use serde_json::json;

use crate::Portal;

/// Runs that an archive names for each statement; the rest is counted nowhere else than here.
const OBSERVATIONS: u64 = 10_000;

const README: &str = "What this is\n\
    ============\n\n\
    The evidence of an assessment. `assessment.json` says what was assessed, by whom it was approved, and\n\
    which statement shows which control. `evidence/` has the statements in canonical JSON (RFC 8785): the\n\
    name of each file is its SHA-256. `observations.csv` says which syncs saw each of them.\n\
    `populations/` has the accounts that a statement of user inventory counts, one a line: the file's\n\
    SHA-256 is the statement's `population.sha256`.\n\n\
    How to verify it\n\
    ================\n\n\
    With the product:   tenantry evidence verify FILE --key PUBLIC_KEY\n\
    Without it:         `manifest.json` lists the SHA-256 of every file (compare with sha256sum), and\n\
    `signature.json` has an Ed25519 signature (RFC 8032, base64url) over the bytes of manifest.json.\n\
    Have the public key from the organisation by another way than this file: its audit log's checkpoints\n\
    name it as well.\n";

/// A name and the bytes; `None` when there is no such assessment in scope.
pub(crate) async fn make(
    portal: &Portal,
    scope: &Scope,
    id: AssessmentId,
) -> model::Result<Option<(String, Vec<u8>)>> {
    let Some(found) = assessment::get(scope, id).await? else {
        return Ok(None);
    };
    let company = model::company::get(scope, found.company_id).await?;
    let company = company.map(|c| c.name).unwrap_or_default();
    let attached = assessment::attached(scope, &found).await?;
    let mut statements: Vec<Evidence> = attached.iter().map(|a| a.evidence.clone()).collect();
    statements.sort_by_key(|one| one.id);
    statements.dedup_by_key(|one| one.id);
    let head = json!({
        "id": found.id, "name": found.name, "company": company, "catalogue": found.catalogue,
        "controls": found.control_ids(), "state": found.state,
        "period_start": found.period_start, "period_end": found.period_end,
        "created_by": found.created_by_name, "created_at": found.created_at,
        "approved_by": found.approved_by_name, "approved_at": found.approved_at,
        "note": found.note, "organisation": model::partner::current(scope).await?.name,
    });
    let mut files = vec![
        text("README.txt", README.to_owned()),
        shown(&head, &attached)?,
    ];
    let mut observed = csv_line(&["fingerprint", "kind", "run", "observed_at"]);
    for statement in &statements {
        files.push(text(
            &format!("evidence/{}/{}.json", statement.kind, statement.fingerprint),
            statement.content.clone(),
        ));
        for one in evidence::observations(scope, statement, OBSERVATIONS).await? {
            let (run, at) = (one.run.to_string(), one.at.rfc3339());
            observed.push_str(&csv_line(&[
                &statement.fingerprint,
                statement.kind.as_str(),
                &run,
                &at,
            ]));
        }
        let population = evidence::population(scope, statement).await?;
        if !population.is_empty() {
            let name = format!("populations/{}.jsonl", keys::fingerprint(&population));
            if !files.iter().any(|file| file.path == name) {
                files.push(text(&name, population));
            }
        }
    }
    files.push(text("observations.csv", observed));
    let keyring = &portal.consent.connection.keyring;
    let key = checkpoint::signing_key(&portal.db, keyring).await?;
    let made = tokio::task::spawn_blocking(move || archive::write(head, files, &key)).await;
    let bytes = made
        .map_err(|e| model::Error::Stored(e.to_string()))?
        .map_err(|e| model::Error::Stored(e.to_string()))?;
    Ok(Some((name(&company, &found.name, found.period_end), bytes)))
}

fn text(path: &str, content: String) -> File {
    File {
        path: path.to_owned(),
        content: content.into_bytes(),
    }
}

fn shown(head: &serde_json::Value, attached: &[Attached]) -> model::Result<File> {
    let shows: Vec<_> = attached
        .iter()
        .map(|one| {
            json!({
                "control": one.control, "kind": one.evidence.kind,
                "fingerprint": one.evidence.fingerprint, "says": one.evidence.summary(),
                "first_seen": one.evidence.created_at, "attached_by": one.by,
                "attached_at": one.at,
            })
        })
        .collect();
    let all = json!({ "assessment": head, "evidence": shows });
    let all = serde_json::to_string_pretty(&all);
    Ok(text(
        "assessment.json",
        all.map_err(|e| model::Error::Stored(e.to_string()))?,
    ))
}

/// Words of ours, none of which needs quotes.
fn csv_line(cells: &[&str]) -> String {
    format!("{}\r\n", cells.join(","))
}

fn name(company: &str, assessment: &str, end: Timestamp) -> String {
    let plain: String = format!("{company}-{assessment}-{}", Timestamp(end.0 - 1).day())
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '-' {
                c
            } else {
                '-'
            }
        })
        .take(100)
        .collect();
    format!("{plain}.zip")
}
