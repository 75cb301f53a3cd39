//! Consent requests: one attempt each, found by the hash of an unguessable state, consumed once.

use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder,
};
use serde_json::json;

use crate::{
    Actor, ConsentLinkId, ConsentRequest, ConsentRequestId, ConsentStep, CredentialId, Db,
    DirectoryId, Error, MemberId, PartnerId, Result, Role, Scope, TenantId, Timestamp,
    audit::{self, Target},
    consent_link,
    credential::{self, Credential},
    db::{execute, query_all},
    entity::consent_request::{ActiveModel, Column, Entity},
    tenant::{self, Organization},
};

/// How long the administrator may take.
pub const LIFETIME_MINUTES: i64 = 10;
/// How long consent may take to spread before it counts as not working.
const SPREADING_MINUTES: i64 = 15;

/// What a request is begun with.
#[derive(Debug, Clone)]
pub struct New<'a> {
    /// The credential to consent to.
    pub credential: CredentialId,
    /// The tenant, where it is known.
    pub pinned: Option<DirectoryId>,
    /// Who asked: the member, also where the administrator follows their link.
    pub member: MemberId,
    /// Hash of the session or cookie of the browser that begins; only it can finish.
    pub browser: Option<String>,
    /// The link that was followed.
    pub link: Option<ConsentLinkId>,
    /// Unguessable; kept hashed.
    pub state: &'a str,
}

/// Begins a request.
pub async fn create(scope: &Scope, new: New<'_>) -> Result<ConsentRequest> {
    scope.require(Role::Admin)?;
    let now = scope.now();
    let tx = scope.begin().await?;
    let row = ActiveModel {
        partner_id: Set(scope.partner()),
        id: Set(ConsentRequestId::generate(scope.db().clock())),
        credential_id: Set(new.credential),
        pinned_directory_id: Set(new.pinned),
        member_id: Set(new.member),
        session_hash: Set(new.browser),
        state_hash: Set(keys::fingerprint(new.state)),
        proof_state_hash: Set(None),
        step: Set(ConsentStep::Begun),
        claimed_directory_id: Set(None),
        granted_scopes: Set(String::new()),
        outcome: Set(None),
        outcome_code: Set(None),
        outcome_detail: Set(None),
        tenant_id: Set(None),
        created_at: Set(now),
        expires_at: Set(now.plus_minutes(LIFETIME_MINUTES)),
        used_at: Set(None),
        finished_at: Set(None),
        link_id: Set(new.link),
        administrator: Set(None),
        person_id: Set(None),
        unexpected: Set(None),
        checks: Set(0),
        next_check_at: Set(None),
    }
    .insert(&tx.conn)
    .await?;
    credential::awaiting_consent(&tx, scope, new.credential).await?;
    audit::append(
        &tx,
        scope,
        "consent.begin",
        Target::new("consent_request", row.id, ""),
        json!({ "credential_id": new.credential, "pinned": new.pinned, "link_id": new.link }),
    )
    .await?;
    tx.commit().await?;
    Ok(row)
}

/// One request of the partner.
pub async fn get(scope: &Scope, id: ConsentRequestId) -> Result<Option<ConsentRequest>> {
    Ok(scope
        .find::<Entity>()
        .filter(Column::Id.eq(id))
        .one(&scope.conn())
        .await?)
}

/// All requests of the partner, oldest first.
pub async fn list(scope: &Scope) -> Result<Vec<ConsentRequest>> {
    Ok(scope
        .find::<Entity>()
        .order_by_asc(Column::Id)
        .all(&scope.conn())
        .await?)
}

/// What presenting a state answers.
#[derive(Debug)]
pub enum Presented {
    /// No request has this state: forged, or from another installation.
    Unknown,
    /// It was presented before.
    Replayed(Scope, ConsentRequest),
    /// It came too late.
    Expired(Scope, ConsentRequest),
    /// Another browser began it; it stays open for that one.
    OtherSession(Scope, ConsentRequest),
    /// It is ours, and consumed by this call.
    Accepted(Scope, ConsentRequest),
}

/// The scope of a request: its partner, acting for the administrator at the other end.
fn scope_of(db: &Db, row: &ConsentRequest, address: &str) -> Scope {
    let actor = Actor {
        kind: "administrator",
        id: row.id.to_string(),
        name: "tenant administrator".into(),
        address: address.to_owned(),
    };
    Scope::new(db, row.partner_id, Role::Admin, actor)
}

/// Presents the state of the consent step, with the hashes of the cookies that the browser brought. Exactly one of any number of simultaneous calls is
/// accepted.
pub async fn present(
    db: &Db,
    state: &str,
    browsers: &[String],
    address: &str,
) -> Result<Presented> {
    let row = Entity::find()
        .filter(Column::StateHash.eq(keys::fingerprint(state)))
        .one(&db.everybody())
        .await?;
    let Some(row) = row else {
        return Ok(Presented::Unknown);
    };
    let scope = scope_of(db, &row, address);
    let now = scope.now();
    if row.used_at.is_some() {
        return Ok(Presented::Replayed(scope, row));
    }
    if row.expires_at <= now {
        return Ok(Presented::Expired(scope, row));
    }
    if let Some(browser) = &row.session_hash
        && !browsers.contains(browser)
    {
        return Ok(Presented::OtherSession(scope, row));
    }
    let consumed = execute(
        &scope.writer(),
        "UPDATE consent_requests SET used_at = $1
         WHERE partner_id = $2 AND id = $3 AND used_at IS NULL",
        vec![now.into(), row.partner_id.into(), row.id.into()],
    )
    .await?;
    Ok(if consumed == 1 {
        Presented::Accepted(scope, row)
    } else {
        Presented::Replayed(scope, row)
    })
}

/// Moves an accepted request to the proving step: the administrator signs in, under another state.
pub async fn begin_proof(
    scope: &Scope,
    id: ConsentRequestId,
    claimed: DirectoryId,
    scopes: &str,
    proof_state: &str,
) -> Result<()> {
    execute(
        &scope.writer(),
        "UPDATE consent_requests SET step = 'proving', claimed_directory_id = $1,
            granted_scopes = $2, proof_state_hash = $3
         WHERE partner_id = $4 AND id = $5 AND step = 'begun'",
        vec![
            claimed.into(),
            scopes.into(),
            keys::fingerprint(proof_state).into(),
            scope.partner().into(),
            id.into(),
        ],
    )
    .await?;
    Ok(())
}

/// Presents the state of the proving step; it is consumed by the call. Without the cookie of the
/// browser that began it (`has_proof`) it stays open for that one.
pub async fn present_proof(
    db: &Db,
    proof_state: &str,
    has_proof: bool,
    address: &str,
) -> Result<Presented> {
    let hash = keys::fingerprint(proof_state);
    let row = Entity::find()
        .filter(Column::ProofStateHash.eq(&hash))
        .one(&db.everybody())
        .await?;
    let Some(row) = row else {
        return Ok(Presented::Unknown);
    };
    let scope = scope_of(db, &row, address);
    if row.outcome.as_deref() == Some("expired") {
        return Ok(Presented::Expired(scope, row));
    }
    if row.step != ConsentStep::Proving {
        return Ok(Presented::Replayed(scope, row));
    }
    if row.expires_at <= scope.now() {
        return Ok(Presented::Expired(scope, row));
    }
    if !has_proof {
        return Ok(Presented::OtherSession(scope, row));
    }
    let consumed = execute(
        &scope.writer(),
        "UPDATE consent_requests SET step = 'begun'
         WHERE partner_id = $1 AND id = $2 AND step = 'proving'",
        vec![row.partner_id.into(), row.id.into()],
    )
    .await?;
    Ok(if consumed == 1 {
        Presented::Accepted(scope, row)
    } else {
        Presented::Replayed(scope, row)
    })
}

/// How a request ended, as stored.
#[derive(Debug, Clone)]
pub struct Ending<'a> {
    /// Name of the outcome.
    pub outcome: &'a str,
    /// Microsoft's code, if it gave one.
    pub code: Option<&'a str>,
    /// More in words, for example the missing permissions.
    pub detail: Option<String>,
    /// Permissions that were granted beside those that were asked for.
    pub unexpected: Option<String>,
    /// Whether another check may change it.
    pub step: ConsentStep,
}

/// Ends a request without a binding.
pub async fn finish(scope: &Scope, request: &ConsentRequest, ending: Ending<'_>) -> Result<()> {
    let tx = scope.begin().await?;
    finish_in(&tx, scope, request, &ending, None).await?;
    tx.commit().await
}

/// Ends a request with a binding: tenant, outcome and audit rows in one transaction.
///
/// # Errors
/// [`Error::Conflict`] when the directory is bound by another partner; [`Error::Invalid`] naming
/// `credential` or `link` when that ended meanwhile.
pub async fn bind(
    scope: &Scope,
    request: &ConsentRequest,
    credential: &Credential,
    directory: DirectoryId,
    organization: &Organization,
    ending: Ending<'_>,
) -> Result<TenantId> {
    let tx = scope.begin().await?;
    if !credential::is_live(&tx, scope, credential.id).await? {
        return Err(Error::field("credential", "It was revoked meanwhile."));
    }
    if let Some(link) = request.link_id
        && !consent_link::use_up(&tx, scope, link).await?
    {
        return Err(Error::field("link", "It was used or withdrawn meanwhile."));
    }
    let tenant = tenant::record_consent(
        &tx,
        scope,
        credential,
        directory,
        organization,
        &request.granted_scopes,
        "consent",
    )
    .await?;
    execute(
        &tx.conn,
        "UPDATE credentials SET state = 'active', last_success_at = $1
         WHERE partner_id = $2 AND id = $3 AND state <> 'revoked'",
        vec![
            scope.now().into(),
            scope.partner().into(),
            credential.id.into(),
        ],
    )
    .await?;
    finish_in(&tx, scope, request, &ending, Some(tenant)).await?;
    tx.commit().await?;
    Ok(tenant)
}

async fn finish_in(
    tx: &crate::db::Tx,
    scope: &Scope,
    request: &ConsentRequest,
    ending: &Ending<'_>,
    tenant: Option<TenantId>,
) -> Result<()> {
    let changed = execute(
        &tx.conn,
        "UPDATE consent_requests SET step = $1, outcome = $2, outcome_code = $3,
            outcome_detail = $4, tenant_id = $5, claimed_directory_id = $6, granted_scopes = $7,
            finished_at = $8, administrator = $9, person_id = $10, unexpected = $11,
            next_check_at = $12
         WHERE partner_id = $13 AND id = $14 AND step <> 'finished'",
        vec![
            ending.step.as_str().into(),
            ending.outcome.into(),
            ending.code.map(str::to_owned).into(),
            ending.detail.clone().into(),
            tenant.into(),
            request.claimed_directory_id.into(),
            request.granted_scopes.clone().into(),
            scope.now().into(),
            request.administrator.clone().into(),
            request.person_id.into(),
            ending.unexpected.clone().into(),
            next_check(scope.now(), request, ending.step).into(),
            scope.partner().into(),
            request.id.into(),
        ],
    )
    .await?;
    if changed == 0 {
        return Err(Error::Conflict("This request has ended already.".into()));
    }
    audit::append(
        tx,
        scope,
        "consent.finish",
        Target::new("consent_request", request.id, ending.outcome),
        json!({ "outcome": ending.outcome, "code": ending.code, "detail": ending.detail,
                "unexpected": ending.unexpected, "administrator": request.administrator,
                "directory_id": request.claimed_directory_id }),
    )
    .await
}

/// While consent spreads: after 10 seconds, then twice as long each time, a minute at most.
fn next_check(now: Timestamp, request: &ConsentRequest, step: ConsentStep) -> Option<Timestamp> {
    let pause = (10_000_i64 << request.checks.clamp(0, 8)).min(60_000);
    (step == ConsentStep::Spreading).then(|| now.plus_ms(pause))
}

/// Takes the requests whose consent is to be looked at again; each is taken by one caller.
pub async fn take_due_checks(db: &Db) -> Result<Vec<(Scope, ConsentRequest)>> {
    let now = db.clock().now();
    // Should the one that takes it die, another takes it after two minutes.
    let rows = query_all(
        &db.everybody_writer(),
        "UPDATE consent_requests SET checks = checks + 1, next_check_at = $1
         WHERE step = 'spreading' AND next_check_at <= $2
         RETURNING partner_id, id",
        vec![now.plus_minutes(2).into(), now.into()],
    )
    .await?;
    let mut taken = Vec::with_capacity(rows.len());
    for row in rows {
        let partner: PartnerId = row.try_get("", "partner_id")?;
        let id: ConsentRequestId = row.try_get("", "id")?;
        if let Some(request) = Entity::find_by_id((partner, id))
            .one(&db.conn_of(partner))
            .await?
        {
            taken.push((scope_of(db, &request, ""), request));
        }
    }
    Ok(taken)
}

/// Ends requests that nobody came back for; called by the scheduler.
pub async fn expire(db: &Db) -> Result<()> {
    let before = db.clock().now().plus_minutes(-1);
    let late = Entity::find()
        .filter(Column::Step.is_in([ConsentStep::Begun, ConsentStep::Proving]))
        .filter(Column::ExpiresAt.lte(before))
        .all(&db.everybody())
        .await?;
    for request in late {
        let scope = scope_of(db, &request, "");
        let ending = Ending {
            outcome: "expired",
            code: None,
            detail: None,
            unexpected: None,
            step: ConsentStep::Finished,
        };
        match finish(&scope, &request, ending).await {
            // Somebody else ended it just now.
            Err(Error::Conflict(_)) => {}
            other => other?,
        }
    }
    Ok(())
}

impl ConsentRequest {
    /// Whether consent had its time to spread.
    pub fn spread_for_too_long(&self, now: Timestamp) -> bool {
        self.step == ConsentStep::Spreading
            && self.created_at.plus_minutes(SPREADING_MINUTES) <= now
    }
}

/// Writes an audit row for a callback that changed nothing: replayed, expired, another session.
pub async fn note_refusal(scope: &Scope, id: ConsentRequestId, why: &str) -> Result<()> {
    let tx = scope.begin().await?;
    audit::append(
        &tx,
        scope,
        "consent.refuse",
        Target::new("consent_request", id, why),
        json!({ "outcome": why }),
    )
    .await?;
    tx.commit().await
}
