//! Intakes: HTTP addresses of other systems that events of what was synced are sent to, and how far each
//! has come.
//!
//! A worker takes an intake under a lease and goes through the mappings of which something was published
//! since. A pass reads what changed between two generations, class by class, by object id; each batch that
//! has arrived moves the position on, so that whoever goes on after a crash sends at most one batch twice,
//! with the ids of its events by which the other side can drop doubles, and leaves nothing out.

use keys::{Keyring, Place, Secret};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, QueryFilter, QueryOrder, QueryResult,
};
use serde_json::json;

use crate::{
    Actor, CompanyId, Db, Error, FieldError, IntakeId, MappingId, PartnerId, Result, Role, Scope,
    Timestamp,
    audit::{self, Target},
    data_key::{self, DataKey, SealedText},
    db::{execute, query_all, query_one},
    entity::intake::{ActiveModel, Column, Entity, Model},
    extract::{self, Extract, Generations},
};

/// Events of one request, unless the other side wants fewer.
pub const BATCH: i64 = 500;
/// Whoever is silent for so long while sending is taken for dead.
const LEASE_MS: i64 = 90_000;
/// The longest pause after failures.
const LONGEST_PAUSE_MS: i64 = 15 * 60_000;

/// An intake.
#[derive(Debug, Clone)]
pub struct Intake {
    /// Its partner.
    pub partner: PartnerId,
    /// Our id.
    pub id: IntakeId,
    /// Name.
    pub name: String,
    /// Where events are sent to.
    pub url: String,
    /// The word before the token in the `Authorization` header.
    pub scheme: String,
    /// Classes of events, by their words, in order.
    pub classes: Vec<String>,
    /// Version of the schema.
    pub schema_version: String,
    /// Form of users.
    pub form: String,
    /// Companies; `None` for all.
    pub companies: Option<Vec<CompanyId>>,
    /// Whether anything is sent.
    pub is_on: bool,
    /// Events of one request.
    pub batch: i64,
    /// Failures in a row.
    pub failures: i64,
    /// Events that arrived.
    pub events: i64,
    /// When it was added.
    pub created_at: Timestamp,
    /// The last success.
    pub last_sent_at: Option<Timestamp>,
    /// The last failure, if it came after that.
    pub last_error_at: Option<Timestamp>,
    /// What it was.
    pub last_error: Option<String>,
    secret: SealedText,
}

impl TryFrom<Model> for Intake {
    type Error = Error;

    fn try_from(row: Model) -> Result<Self> {
        let stored =
            |what: &str, e: serde_json::Error| Error::Stored(format!("intakes.{what}: {e}"));
        Ok(Self {
            partner: row.partner_id,
            id: row.id,
            name: row.name,
            url: row.url,
            scheme: row.scheme,
            classes: serde_json::from_str(&row.classes).map_err(|e| stored("classes", e))?,
            schema_version: row.schema_version,
            form: row.form,
            companies: row
                .companies
                .map(|json| serde_json::from_str(&json))
                .transpose()
                .map_err(|e| stored("companies", e))?,
            is_on: row.is_on,
            batch: row.batch,
            failures: row.failures,
            events: row.events,
            created_at: row.created_at,
            last_sent_at: row.last_sent_at,
            last_error_at: row.last_error_at,
            last_error: row.last_error,
            secret: SealedText {
                version: row.key_version,
                wrapped: row.wrapped,
                sealed: row.sealed,
            },
        })
    }
}

/// What somebody types.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Name.
    pub name: String,
    /// Where events are sent to; whether it may be reached is the caller's to check.
    pub url: String,
    /// The word before the token.
    pub scheme: String,
    /// The token; empty where none is asked for.
    pub token: Secret,
    /// Classes of events, by words that the caller knows.
    pub classes: Vec<String>,
    /// Version of the schema that the caller knows.
    pub schema_version: String,
    /// Form of users that the caller knows.
    pub form: String,
    /// Companies; `None` for all.
    pub companies: Option<Vec<CompanyId>>,
}

fn check(draft: &Draft) -> Result<()> {
    let mut errors = Vec::new();
    let mut wrong = |is_wrong: bool, field, message: &str| {
        if is_wrong {
            errors.push(FieldError {
                field,
                message: message.into(),
            });
        }
    };
    let name = draft.name.trim();
    wrong(
        name.is_empty() || name.chars().count() > 60 || name.chars().any(char::is_control),
        "name",
        "Enter a name of at most 60 characters.",
    );
    wrong(
        draft.url.len() > 2000 || draft.url.chars().any(char::is_control),
        "url",
        "Enter an address of at most 2,000 characters.",
    );
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-';
    wrong(
        draft.scheme.len() > 40 || !draft.scheme.chars().all(is_word),
        "scheme",
        "Enter one word, such as Bearer or Splunk.",
    );
    wrong(
        draft.scheme.is_empty() && !draft.token.expose().is_empty(),
        "scheme",
        "Enter the word that stands before the token, such as Bearer.",
    );
    let token = draft.token.expose();
    wrong(
        token.len() > 4000 || !token.chars().all(|c| c.is_ascii_graphic()),
        "token",
        "Enter the token without spaces, at most 4,000 characters.",
    );
    wrong(
        draft.classes.is_empty(),
        "class",
        "Choose at least one class of events.",
    );
    wrong(
        draft.companies.as_ref().is_some_and(Vec::is_empty),
        "company",
        "Choose at least one company, or all of them.",
    );
    match errors.is_empty() {
        true => Ok(()),
        false => Err(Error::Invalid(errors)),
    }
}

pub(crate) fn place(partner: PartnerId, id: IntakeId) -> Place<'static> {
    Place {
        partner: partner.0,
        table: "intakes",
        column: "sealed",
        row: id.0,
    }
}

/// Adds an intake; the first pass sends everything that is known.
pub async fn create(scope: &Scope, keyring: &Keyring, draft: &Draft) -> Result<IntakeId> {
    scope.require_everywhere(Role::Admin)?;
    check(draft)?;
    for company in draft.companies.iter().flatten() {
        if crate::company::get(scope, *company).await?.is_none() {
            let message = format!("There is no company {company}.");
            return Err(Error::field("company", message));
        }
    }
    let id = IntakeId::generate(scope.db().clock());
    let data_key = DataKey::newest(scope.db(), keyring, scope.partner()).await?;
    let tx = scope.begin().await?;
    let place = place(scope.partner(), id);
    let (wrapped, sealed) = data_key
        .seal(&tx, keyring, place, draft.token.expose().as_bytes())
        .await?;
    ActiveModel {
        partner_id: Set(scope.partner()),
        id: Set(id),
        name: Set(draft.name.trim().to_owned()),
        url: Set(draft.url.clone()),
        scheme: Set(draft.scheme.clone()),
        key_version: Set(data_key.version),
        wrapped: Set(wrapped.as_bytes().to_vec()),
        sealed: Set(sealed.as_bytes().to_vec()),
        classes: Set(json!(draft.classes).to_string()),
        schema_version: Set(draft.schema_version.clone()),
        form: Set(draft.form.clone()),
        companies: Set(draft.companies.as_ref().map(|c| json!(c).to_string())),
        is_on: Set(true),
        batch: Set(BATCH),
        fence: Set(0),
        lease_until: Set(Timestamp(0)),
        not_before: Set(Timestamp(0)),
        failures: Set(0),
        events: Set(0),
        created_at: Set(scope.now()),
        removed_at: Set(None),
        last_sent_at: Set(None),
        last_error_at: Set(None),
        last_error: Set(None),
    }
    .insert(&tx.conn)
    .await?;
    audit::append(
        &tx,
        scope,
        "intake.create",
        Target::new("intake", id, draft.name.trim()),
        json!({ "url": draft.url, "classes": draft.classes, "companies": draft.companies,
                "schema_version": draft.schema_version, "form": draft.form }),
    )
    .await?;
    tx.commit().await?;
    Ok(id)
}

/// The scope's intakes, oldest first.
pub async fn list(scope: &Scope) -> Result<Vec<Intake>> {
    scope.require_everywhere(Role::Auditor)?;
    scope
        .find::<Entity>()
        .filter(Column::RemovedAt.is_null())
        .order_by_asc(Column::CreatedAt)
        .all(&scope.conn())
        .await?
        .into_iter()
        .map(Intake::try_from)
        .collect()
}

/// One intake.
pub async fn get(scope: &Scope, id: IntakeId) -> Result<Option<Intake>> {
    scope
        .find::<Entity>()
        .filter(Column::Id.eq(id))
        .filter(Column::RemovedAt.is_null())
        .one(&scope.conn())
        .await?
        .map(Intake::try_from)
        .transpose()
}

/// Mappings of which something waits to be sent.
pub async fn waiting(scope: &Scope, intake: &Intake) -> Result<u64> {
    Ok(due_mappings(scope, intake).await?.len() as u64)
}

/// Something that is done to an intake as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Nothing is sent until it is resumed; nothing is lost.
    Pause,
    /// It goes on, at once.
    Resume,
    /// Everything is sent once more, at once.
    SendAgain,
}

/// Pauses an intake, lets it go on, or has it send everything once more. `None` when there is none.
pub async fn act(scope: &Scope, id: IntakeId, act: Act) -> Result<Option<()>> {
    scope.require_everywhere(Role::Admin)?;
    let Some(intake) = get(scope, id).await? else {
        return Ok(None);
    };
    let tx = scope.begin().await?;
    // The fence moves on, so that a worker that is sending right now notices.
    let changed = execute(
        &tx.conn,
        "UPDATE intakes SET is_on = $1, fence = fence + 1, lease_until = 0, not_before = 0,
            failures = 0, batch = $2
         WHERE partner_id = $3 AND id = $4 AND removed_at IS NULL",
        vec![
            (act != Act::Pause).into(),
            BATCH.into(),
            scope.partner().into(),
            id.into(),
        ],
    )
    .await?;
    if changed == 0 {
        return Ok(None);
    }
    let word = match act {
        Act::Pause => "intake.pause",
        Act::Resume => "intake.resume",
        Act::SendAgain => {
            forget_positions(&tx.conn, scope, id).await?;
            "intake.send_again"
        }
    };
    let target = Target::new("intake", id, intake.name);
    audit::append(&tx, scope, word, target, json!({})).await?;
    tx.commit().await?;
    Ok(Some(()))
}

async fn forget_positions(
    conn: &impl sea_orm::ConnectionTrait,
    scope: &Scope,
    id: IntakeId,
) -> Result<()> {
    execute(
        conn,
        "DELETE FROM intake_positions WHERE partner_id = $1 AND intake_id = $2",
        vec![scope.partner().into(), id.into()],
    )
    .await?;
    Ok(())
}

/// Removes an intake with its token. `None` when there is none.
pub async fn remove(scope: &Scope, id: IntakeId) -> Result<Option<()>> {
    scope.require_everywhere(Role::Admin)?;
    let Some(intake) = get(scope, id).await? else {
        return Ok(None);
    };
    let tx = scope.begin().await?;
    execute(
        &tx.conn,
        "UPDATE intakes SET removed_at = $1, wrapped = $2, sealed = $2, fence = fence + 1
         WHERE partner_id = $3 AND id = $4 AND removed_at IS NULL",
        vec![
            scope.now().into(),
            Vec::<u8>::new().into(),
            scope.partner().into(),
            id.into(),
        ],
    )
    .await?;
    forget_positions(&tx.conn, scope, id).await?;
    let target = Target::new("intake", id, intake.name);
    audit::append(&tx, scope, "intake.remove", target, json!({})).await?;
    tx.commit().await?;
    scope.db().scrub().await;
    Ok(Some(()))
}

/// An intake that a worker took, with the scope in which it reads.
#[derive(Debug, Clone)]
pub struct Taken {
    /// The intake.
    pub intake: Intake,
    scope: Scope,
    fence: i64,
}

/// What of one mapping is to be sent, and from where on.
#[derive(Debug, Clone)]
pub struct Part {
    /// What is read.
    pub extract: Extract,
    /// The class of events, by its word.
    pub class: String,
    /// Behind which object.
    pub behind: String,
}

fn sender(db: &Db, partner: PartnerId) -> Scope {
    let actor = Actor {
        kind: "run",
        id: String::new(),
        name: "intake".into(),
        address: String::new(),
    };
    Scope::new(db, partner, Role::Viewer, actor)
}

/// Takes the intakes whose time has come. Any number of processes may do so at the same time.
pub async fn take_due(db: &Db) -> Result<Vec<Taken>> {
    let now = db.now_sql();
    let due = query_all(
        &db.everybody(),
        &format!(
            "SELECT partner_id, id, fence FROM intakes WHERE removed_at IS NULL AND is_on
                AND not_before <= {now} AND lease_until < {now} ORDER BY not_before LIMIT 20"
        ),
        vec![],
    )
    .await?;
    let mut taken = Vec::new();
    for row in &due {
        let (partner, id): (PartnerId, IntakeId) =
            (row.try_get("", "partner_id")?, row.try_get("", "id")?);
        let fence: i64 = row.try_get("", "fence")?;
        let claimed = execute(
            &db.writer_of(partner),
            &format!(
                "UPDATE intakes SET fence = fence + 1, lease_until = {now} + $1
                 WHERE partner_id = $2 AND id = $3 AND fence = $4"
            ),
            vec![LEASE_MS.into(), partner.into(), id.into(), fence.into()],
        )
        .await?;
        let scope = sender(db, partner);
        if claimed > 0
            && let Some(intake) = get(&scope, id).await?
        {
            taken.push(Taken {
                intake,
                scope,
                fence: fence + 1,
            });
        }
    }
    Ok(taken)
}

/// Mappings of which a pass is under way, or something was published since the last one.
async fn due_mappings(scope: &Scope, intake: &Intake) -> Result<Vec<MappingId>> {
    let rows = query_all(
        &scope.conn(),
        "SELECT m.id, m.company_id FROM mappings m LEFT JOIN intake_positions p
            ON p.partner_id = m.partner_id AND p.intake_id = $2 AND p.mapping_id = m.id
         WHERE m.partner_id = $1 AND m.deleted_at IS NULL AND (p.class IS NOT NULL OR EXISTS (
            SELECT 1 FROM snapshots s WHERE s.partner_id = m.partner_id AND s.mapping_id = m.id
                AND s.published > CASE s.kind
                    WHEN 'directory' THEN COALESCE(p.sent_directory, 0)
                    WHEN 'sign_in_activity' THEN COALESCE(p.sent_activity, 0)
                    ELSE COALESCE(p.sent_secure_score, 0) END))
         ORDER BY m.id",
        vec![scope.partner().into(), intake.id.into()],
    )
    .await?;
    let mut due = Vec::with_capacity(rows.len());
    for row in &rows {
        let company: CompanyId = row.try_get("", "company_id")?;
        let is_chosen = |chosen: &Vec<CompanyId>| chosen.contains(&company);
        if intake.companies.as_ref().is_none_or(is_chosen) {
            due.push(row.try_get("", "id")?);
        }
    }
    Ok(due)
}

fn generations(row: &QueryResult, prefix: &str) -> Result<Generations> {
    Ok(Generations {
        directory: row.try_get(prefix, "directory")?,
        activity: row.try_get(prefix, "activity")?,
        secure_score: row.try_get(prefix, "secure_score")?,
    })
}

/// What was never sent: rows of before there were generations have the generation 0.
const NOTHING: Generations = Generations {
    directory: -1,
    activity: -1,
    secure_score: -1,
};

impl Taken {
    /// What is to be sent next; `None` where nothing is.
    pub async fn next(&self) -> Result<Option<Part>> {
        for mapping in due_mappings(&self.scope, &self.intake).await? {
            let Some(extract) = extract::of_mapping(&self.scope, mapping).await? else {
                continue;
            };
            let row = query_one(
                &self.scope.conn(),
                "SELECT sent_directory, sent_activity, sent_secure_score, at_directory, at_activity,
                    at_secure_score, class, behind FROM intake_positions
                 WHERE partner_id = $1 AND intake_id = $2 AND mapping_id = $3",
                vec![
                    self.scope.partner().into(),
                    self.intake.id.into(),
                    mapping.into(),
                ],
            )
            .await?;
            let first = self.intake.classes.first().cloned().unwrap_or_default();
            let (sent, at, class, behind) = match &row {
                None => (NOTHING, extract.at, first, String::new()),
                Some(row) => {
                    let sent = generations(row, "sent_")?;
                    match row.try_get::<Option<String>>("", "class")? {
                        Some(class) => {
                            let behind = row.try_get("", "behind")?;
                            (sent, generations(row, "at_")?, class, behind)
                        }
                        None => (sent, extract.at, first, String::new()),
                    }
                }
            };
            return Ok(Some(Part {
                extract: extract.between(Some(sent), at),
                class,
                behind,
            }));
        }
        Ok(None)
    }

    /// Notes that a part's events up to the object `last` have arrived, or, where there is none, all of its
    /// class. Answers what follows in the same mapping. `Err(LeaseLost)` when somebody else has the intake,
    /// or it was paused, changed or removed.
    pub async fn arrived(
        &self,
        part: Part,
        events: usize,
        last: Option<String>,
    ) -> Result<Option<Part>> {
        let next_class = || {
            let mut rest = self.intake.classes.iter().skip_while(|c| **c != part.class);
            rest.nth(1).cloned()
        };
        let following = match last {
            Some(last) => Some((part.class.clone(), last)),
            None => next_class().map(|class| (class, String::new())),
        };
        let extract = &part.extract;
        let after = extract.after.unwrap_or(NOTHING);
        let sent = match following {
            Some(_) => after,
            None => extract.at,
        };
        let scope = &self.scope;
        let tx = scope.begin_beside().await?;
        let held = execute(
            &tx.conn,
            &format!(
                "UPDATE intakes SET lease_until = {} + $1, events = events + $2, failures = 0,
                    last_sent_at = CASE WHEN $2 > 0 THEN CAST($3 AS BIGINT) ELSE last_sent_at END,
                    last_error = NULL, last_error_at = NULL
                 WHERE partner_id = $4 AND id = $5 AND fence = $6 AND removed_at IS NULL AND is_on",
                scope.db().now_sql()
            ),
            vec![
                LEASE_MS.into(),
                i64::try_from(events).unwrap_or(i64::MAX).into(),
                scope.now().into(),
                scope.partner().into(),
                self.intake.id.into(),
                self.fence.into(),
            ],
        )
        .await?;
        if held == 0 {
            return Err(Error::LeaseLost);
        }
        let (class, behind) = match &following {
            Some((class, behind)) => (Some(class.clone()), behind.clone()),
            None => (None, String::new()),
        };
        execute(
            &tx.conn,
            "INSERT INTO intake_positions (partner_id, intake_id, mapping_id, sent_directory,
                sent_activity, sent_secure_score, at_directory, at_activity, at_secure_score, class,
                behind)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
             ON CONFLICT (partner_id, intake_id, mapping_id) DO UPDATE SET
                sent_directory = excluded.sent_directory, sent_activity = excluded.sent_activity,
                sent_secure_score = excluded.sent_secure_score,
                at_directory = excluded.at_directory, at_activity = excluded.at_activity,
                at_secure_score = excluded.at_secure_score, class = excluded.class,
                behind = excluded.behind",
            vec![
                scope.partner().into(),
                self.intake.id.into(),
                extract.mapping.into(),
                sent.directory.into(),
                sent.activity.into(),
                sent.secure_score.into(),
                extract.at.directory.into(),
                extract.at.activity.into(),
                extract.at.secure_score.into(),
                class.into(),
                behind.into(),
            ],
        )
        .await?;
        tx.commit().await?;
        Ok(following.map(|(class, behind)| Part {
            class,
            behind,
            ..part
        }))
    }

    /// Gives the intake back until something may have been published.
    pub async fn rest(&self, pause_ms: i64) -> Result<()> {
        self.leave(pause_ms, None, self.intake.batch).await
    }

    /// Notes that a request failed: the next comes after what the other side asked for, or after five
    /// seconds doubled with each failure. `batch` where the other side wants fewer events at once.
    pub async fn failed(&self, why: &str, asked_ms: Option<i64>, batch: i64) -> Result<()> {
        let doubled =
            5_000 * 2_i64.pow(u32::try_from(self.intake.failures.clamp(0, 10)).unwrap_or(10));
        let pause = asked_ms.unwrap_or(0).max(doubled).min(LONGEST_PAUSE_MS);
        self.leave(pause, Some(why), batch).await
    }

    async fn leave(&self, pause_ms: i64, why: Option<&str>, batch: i64) -> Result<()> {
        let scope = &self.scope;
        let now = why.map(|_| scope.now());
        execute(
            &scope.writer(),
            &format!(
                "UPDATE intakes SET lease_until = 0, not_before = {} + $1, batch = $2,
                    failures = CASE WHEN CAST($3 AS TEXT) IS NULL THEN failures ELSE failures + 1 END,
                    last_error = COALESCE($3, last_error), last_error_at = COALESCE($4, last_error_at)
                 WHERE partner_id = $5 AND id = $6 AND fence = $7",
                scope.db().now_sql()
            ),
            vec![
                pause_ms.into(),
                batch.into(),
                why.map(str::to_owned).into(),
                now.into(),
                scope.partner().into(),
                self.intake.id.into(),
                self.fence.into(),
            ],
        )
        .await?;
        Ok(())
    }

    /// The token, for the one request that needs it.
    pub async fn token(&self, keyring: &Keyring) -> Result<Secret> {
        let (scope, intake) = (&self.scope, &self.intake);
        let place = place(intake.partner, intake.id);
        data_key::open(
            scope.db(),
            keyring,
            place,
            intake.secret.clone(),
            || async { Ok(get(scope, intake.id).await?.map(|now| now.secret)) },
        )
        .await
    }
}
