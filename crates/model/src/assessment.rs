//! Assessments: a company's controls over a period, the evidence that shows them, and the approval of
//! somebody who gathered none of it. From then on the database refuses to change any of that.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect,
};
use serde_json::json;

use crate::{
    Assessment, AssessmentId, AssessmentState, CompanyId, Error, Evidence, EvidenceId,
    EvidenceKind, FieldError, Listing, MemberId, Result, Role, Scope, Timestamp, Window,
    audit::{self, Target},
    db::{Tx, execute, query_all},
    entity::{
        assessment::{ActiveModel, Column, Entity},
        company, evidence,
    },
};

/// What somebody types.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The company.
    pub company: CompanyId,
    /// What it is called.
    pub name: String,
    /// The catalogue that its controls are of.
    pub catalogue: String,
    /// Controls, by their ids in the catalogue.
    pub controls: Vec<String>,
    /// First moment of the period.
    pub period_start: Option<Timestamp>,
    /// The moment after it.
    pub period_end: Option<Timestamp>,
}

/// A statement that is attached to a control.
#[derive(Debug, Clone)]
pub struct Attached {
    /// The control.
    pub control: String,
    /// The statement.
    pub evidence: Evidence,
    /// Who attached it.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

impl Assessment {
    /// Ids of its controls.
    pub fn control_ids(&self) -> Vec<String> {
        serde_json::from_str(&self.controls).unwrap_or_default()
    }

    /// Whether it stays as it is.
    pub fn is_approved(&self) -> bool {
        self.state == AssessmentState::Approved
    }

    fn target(&self) -> Target {
        Target::new("assessment", self.id, self.name.as_str())
    }
}

/// The person who acts: neither the operator nor a token gathers or approves evidence in nobody's name.
fn person(scope: &Scope) -> Result<MemberId> {
    scope.require(Role::Auditor)?;
    scope.member().ok_or_else(|| {
        Error::Conflict("This needs a person: sign in as a member of the organisation.".into())
    })
}

fn check(draft: &Draft) -> Result<(Timestamp, Timestamp)> {
    let mut errors = Vec::new();
    let mut wrong = |field, message: &str| {
        errors.push(FieldError {
            field,
            message: message.into(),
        });
    };
    let name = draft.name.trim();
    if name.is_empty() || name.chars().count() > 120 || name.chars().any(char::is_control) {
        wrong("name", "Enter a name of at most 120 characters.");
    }
    if draft.controls.is_empty() {
        wrong("control", "Choose at least one control.");
    }
    let Some(start) = draft.period_start else {
        wrong("from", "Enter the first day of the period.");
        return Err(Error::Invalid(errors));
    };
    let Some(end) = draft.period_end else {
        wrong("to", "Enter the last day of the period.");
        return Err(Error::Invalid(errors));
    };
    if end <= start {
        wrong("to", "The last day is before the first.");
    }
    match errors.is_empty() {
        true => Ok((start, end)),
        false => Err(Error::Invalid(errors)),
    }
}

/// Begins an assessment. `None` when there is no such company in scope.
pub async fn create(scope: &Scope, draft: &Draft) -> Result<Option<Assessment>> {
    let member = person(scope)?;
    let (period_start, period_end) = check(draft)?;
    let tx = scope.begin().await?;
    let found = scope
        .find::<company::Entity>()
        .filter(company::Column::Id.eq(draft.company))
        .one(&tx.conn)
        .await?;
    if found.is_none() {
        return Ok(None);
    }
    let made = ActiveModel {
        partner_id: Set(scope.partner()),
        id: Set(AssessmentId::generate(scope.db().clock())),
        company_id: Set(draft.company),
        name: Set(draft.name.trim().to_owned()),
        catalogue: Set(draft.catalogue.clone()),
        controls: Set(json!(draft.controls).to_string()),
        period_start: Set(period_start),
        period_end: Set(period_end),
        state: Set(AssessmentState::Draft),
        created_by: Set(member),
        created_by_name: Set(scope.actor().name.clone()),
        created_at: Set(scope.now()),
        approved_by: Set(None),
        approved_by_name: Set(None),
        approved_at: Set(None),
        note: Set(String::new()),
    }
    .insert(&tx.conn)
    .await?;
    audit::append(
        &tx,
        scope,
        "assessment.create",
        made.target(),
        json!({ "company_id": draft.company, "catalogue": draft.catalogue,
                "controls": draft.controls, "period_start": period_start, "period_end": period_end }),
    )
    .await?;
    tx.commit().await?;
    Ok(Some(made))
}

/// Assessments, newest first; of one company.
pub async fn list(
    scope: &Scope,
    company: Option<CompanyId>,
    window: Window,
) -> Result<Listing<Assessment>> {
    let mut query = scope.find::<Entity>();
    if let Some(company) = company {
        query = query.filter(Column::CompanyId.eq(company));
    }
    Ok(Listing {
        total: query.clone().count(&scope.conn()).await?,
        rows: query
            .order_by_desc(Column::CreatedAt)
            .order_by_desc(Column::Id)
            .offset(window.offset)
            .limit(window.limit)
            .all(&scope.conn())
            .await?,
    })
}

/// One assessment.
pub async fn get(scope: &Scope, id: AssessmentId) -> Result<Option<Assessment>> {
    Ok(scope
        .find::<Entity>()
        .filter(Column::Id.eq(id))
        .one(&scope.conn())
        .await?)
}

/// What is attached, by control and kind, oldest first.
pub async fn attached(scope: &Scope, assessment: &Assessment) -> Result<Vec<Attached>> {
    let rows = query_all(
        &scope.conn(),
        "SELECT control, evidence_id, attached_by_name, attached_at FROM assessment_evidence
         WHERE partner_id = $1 AND assessment_id = $2 ORDER BY control, attached_at, evidence_id",
        vec![scope.partner().into(), assessment.id.into()],
    )
    .await?;
    let mut ids: Vec<EvidenceId> = Vec::with_capacity(rows.len());
    for row in &rows {
        ids.push(row.try_get("", "evidence_id")?);
    }
    let mut statements = BTreeMap::new();
    for chunk in ids.chunks(500) {
        let found = scope
            .find::<evidence::Entity>()
            .filter(evidence::Column::Id.is_in(chunk.iter().copied()))
            .all(&scope.conn())
            .await?;
        statements.extend(found.into_iter().map(|one| (one.id, one)));
    }
    let mut all = Vec::with_capacity(rows.len());
    for (row, id) in rows.iter().zip(&ids) {
        let Some(evidence) = statements.get(id).cloned() else {
            continue;
        };
        all.push(Attached {
            control: row.try_get("", "control")?,
            evidence,
            by: row.try_get("", "attached_by_name")?,
            at: row.try_get("", "attached_at")?,
        });
    }
    all.sort_by_key(|one| {
        (
            one.control.clone(),
            one.evidence.kind,
            one.evidence.created_at,
        )
    });
    Ok(all)
}

/// The assessment, while it may be changed; its row is locked by the partner's turn.
async fn open(tx: &Tx, scope: &Scope, id: AssessmentId) -> Result<Option<Assessment>> {
    let found = scope
        .find::<Entity>()
        .filter(Column::Id.eq(id))
        .one(&tx.conn)
        .await?;
    match found {
        Some(found) if found.is_approved() => Err(Error::Conflict(
            "This assessment is approved: it stays as it is. Begin a new one.".into(),
        )),
        other => Ok(other),
    }
}

/// Attaches to each control what syncs saw of its kinds within the period: `kinds` says which kinds a
/// control rests on. Answers how many were added; `None` when there is no such assessment in scope.
///
/// # Errors
/// [`Error::Conflict`] once it is approved.
pub async fn attach_period(
    scope: &Scope,
    id: AssessmentId,
    kinds: &BTreeMap<String, Vec<EvidenceKind>>,
) -> Result<Option<u64>> {
    let member = person(scope)?;
    let tx = scope.begin().await?;
    let Some(assessment) = open(&tx, scope, id).await? else {
        return Ok(None);
    };
    let mut added = 0;
    for control in assessment.control_ids() {
        for kind in kinds.get(&control).into_iter().flatten() {
            added += execute(
                &tx.conn,
                "INSERT INTO assessment_evidence (partner_id, assessment_id, control, evidence_id,
                    attached_by, attached_by_name, attached_at)
                 SELECT e.partner_id, $2, $3, e.id, $4, $5, $6 FROM evidence e
                 WHERE e.partner_id = $1 AND e.company_id = $7 AND e.kind = $8
                    AND EXISTS (SELECT 1 FROM evidence_observations o
                        WHERE o.partner_id = e.partner_id AND o.evidence_id = e.id
                        AND o.observed_at >= $9 AND o.observed_at < $10)
                 ON CONFLICT DO NOTHING",
                vec![
                    scope.partner().into(),
                    id.into(),
                    control.clone().into(),
                    member.into(),
                    scope.actor().name.clone().into(),
                    scope.now().into(),
                    assessment.company_id.into(),
                    kind.as_str().into(),
                    assessment.period_start.into(),
                    assessment.period_end.into(),
                ],
            )
            .await?;
        }
    }
    audit::append(
        &tx,
        scope,
        "assessment.attach",
        assessment.target(),
        json!({ "added": added }),
    )
    .await?;
    tx.commit().await?;
    Ok(Some(added))
}

/// Attaches one statement of the same company to a control of the assessment. `false` when it was
/// attached already; `None` when there is no such assessment, statement or control.
///
/// # Errors
/// [`Error::Conflict`] once it is approved.
pub async fn attach(
    scope: &Scope,
    id: AssessmentId,
    control: &str,
    statement: EvidenceId,
) -> Result<Option<bool>> {
    let member = person(scope)?;
    let tx = scope.begin().await?;
    let Some(assessment) = open(&tx, scope, id).await? else {
        return Ok(None);
    };
    let found = scope
        .find::<evidence::Entity>()
        .filter(evidence::Column::Id.eq(statement))
        .filter(evidence::Column::CompanyId.eq(assessment.company_id))
        .one(&tx.conn)
        .await?;
    if found.is_none() || !assessment.control_ids().iter().any(|c| c == control) {
        return Ok(None);
    }
    let added = execute(
        &tx.conn,
        "INSERT INTO assessment_evidence (partner_id, assessment_id, control, evidence_id,
            attached_by, attached_by_name, attached_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
        vec![
            scope.partner().into(),
            id.into(),
            control.into(),
            statement.into(),
            member.into(),
            scope.actor().name.clone().into(),
            scope.now().into(),
        ],
    )
    .await?;
    let detail = json!({ "control": control, "evidence_id": statement });
    audit::append(&tx, scope, "assessment.attach", assessment.target(), detail).await?;
    tx.commit().await?;
    Ok(Some(added > 0))
}

/// Takes a statement off a control. `None` when it is not attached.
///
/// # Errors
/// [`Error::Conflict`] once it is approved.
pub async fn detach(
    scope: &Scope,
    id: AssessmentId,
    control: &str,
    statement: EvidenceId,
) -> Result<Option<()>> {
    person(scope)?;
    let tx = scope.begin().await?;
    let Some(assessment) = open(&tx, scope, id).await? else {
        return Ok(None);
    };
    let removed = execute(
        &tx.conn,
        "DELETE FROM assessment_evidence
         WHERE partner_id = $1 AND assessment_id = $2 AND control = $3 AND evidence_id = $4",
        vec![
            scope.partner().into(),
            id.into(),
            control.into(),
            statement.into(),
        ],
    )
    .await?;
    if removed == 0 {
        return Ok(None);
    }
    let detail = json!({ "control": control, "evidence_id": statement });
    audit::append(&tx, scope, "assessment.detach", assessment.target(), detail).await?;
    tx.commit().await?;
    Ok(Some(()))
}

/// Removes an assessment that nobody approved; the evidence stays. `None` when there is none.
///
/// # Errors
/// [`Error::Conflict`] once it is approved.
pub async fn delete(scope: &Scope, id: AssessmentId) -> Result<Option<()>> {
    person(scope)?;
    let tx = scope.begin().await?;
    let Some(assessment) = open(&tx, scope, id).await? else {
        return Ok(None);
    };
    for sql in [
        "DELETE FROM assessment_evidence WHERE partner_id = $1 AND assessment_id = $2",
        "DELETE FROM assessments WHERE partner_id = $1 AND id = $2",
    ] {
        execute(&tx.conn, sql, vec![scope.partner().into(), id.into()]).await?;
    }
    audit::append(
        &tx,
        scope,
        "assessment.delete",
        assessment.target(),
        json!({}),
    )
    .await?;
    tx.commit().await?;
    Ok(Some(()))
}

/// Who may not approve, because they gathered what is to be approved.
pub async fn gatherers(scope: &Scope, assessment: &Assessment) -> Result<BTreeSet<MemberId>> {
    let rows = query_all(
        &scope.conn(),
        "SELECT DISTINCT attached_by FROM assessment_evidence
         WHERE partner_id = $1 AND assessment_id = $2",
        vec![scope.partner().into(), assessment.id.into()],
    )
    .await?;
    let mut all = BTreeSet::from([assessment.created_by]);
    for row in &rows {
        all.insert(row.try_get("", "attached_by")?);
    }
    Ok(all)
}

/// Approves: from now on nothing of it changes. `None` when there is none in scope.
///
/// # Errors
/// [`Error::Conflict`] when it is approved already, when a control has no evidence, when a statement is
/// not what its fingerprint says, and when whoever approves began it or attached to it.
pub async fn approve(scope: &Scope, id: AssessmentId, note: &str) -> Result<Option<()>> {
    let member = person(scope)?;
    let note = note.trim();
    if note.chars().count() > 1000 {
        return Err(Error::field("note", "At most 1,000 characters."));
    }
    let tx = scope.begin().await?;
    let Some(assessment) = open(&tx, scope, id).await? else {
        return Ok(None);
    };
    if gatherers(scope, &assessment).await?.contains(&member) {
        return Err(Error::Conflict(
            "Whoever began an assessment or attached evidence to it cannot approve it. Ask another \
             auditor of your organisation."
                .into(),
        ));
    }
    let all = attached(scope, &assessment).await?;
    let controls = assessment.control_ids();
    let bare: Vec<&str> = controls
        .iter()
        .filter(|control| !all.iter().any(|one| one.control == **control))
        .map(String::as_str)
        .collect();
    if !bare.is_empty() {
        return Err(Error::Conflict(format!(
            "No evidence is attached to {}. Attach what syncs saw, or begin an assessment without it.",
            bare.join(", ")
        )));
    }
    if let Some(broken) = all.iter().find(|one| !one.evidence.is_intact()) {
        return Err(Error::Conflict(format!(
            "The evidence {} is not what its fingerprint was taken of: somebody altered it in the \
             database. Nothing was approved.",
            broken.evidence.id
        )));
    }
    execute(
        &tx.conn,
        "UPDATE assessments SET state = 'approved', approved_by = $1, approved_by_name = $2,
            approved_at = $3, note = $4
         WHERE partner_id = $5 AND id = $6 AND state = 'draft'",
        vec![
            member.into(),
            scope.actor().name.clone().into(),
            scope.now().into(),
            note.into(),
            scope.partner().into(),
            id.into(),
        ],
    )
    .await?;
    let mut fingerprints: Vec<&str> = all
        .iter()
        .map(|a| a.evidence.fingerprint.as_str())
        .collect();
    fingerprints.sort_unstable();
    fingerprints.dedup();
    let digest = keys::fingerprint(&fingerprints.join("\n"));
    audit::append(
        &tx,
        scope,
        "assessment.approve",
        assessment.target(),
        json!({ "evidence": fingerprints.len(), "digest": digest, "note": note }),
    )
    .await?;
    tx.commit().await?;
    Ok(Some(()))
}
