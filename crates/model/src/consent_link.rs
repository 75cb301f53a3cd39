//! Consent links: how a customer's administrator, who has no account here, consents. Unguessable,
//! kept hashed, good for one consent, with an end, and withdrawn at any time.

use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder,
};
use serde_json::json;

use crate::{
    Actor, ConsentLink, ConsentLinkId, ConsentRequest, CredentialId, Db, DirectoryId, Error,
    FieldError, Result, Role, Scope, Timestamp,
    audit::{self, Target},
    credential,
    db::execute,
    entity::{
        consent_link::{ActiveModel, Column, Entity},
        consent_request,
    },
};

/// How long a link may be good for, in days.
pub const DAYS: [i64; 4] = [1, 7, 14, 30];

/// What a person types for a link.
#[derive(Debug, Clone, Default)]
pub struct Draft {
    /// The customer's tenant id; empty when it is not known.
    pub directory_id: String,
    /// The customer's name, shown on the page and used for the new company's name.
    pub company_name: String,
    /// A line to the administrator.
    pub note: String,
    /// Days until it ends; 7 when empty.
    pub days: String,
}

/// Where a link stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// May be followed.
    Open,
    /// A consent came of it.
    Used,
    /// Its time is over.
    Expired,
    /// Taken back.
    Withdrawn,
}

impl Standing {
    /// The word in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Used => "used",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
        }
    }
}

impl ConsentLink {
    /// Where it stands now.
    pub fn standing(&self, now: Timestamp) -> Standing {
        if self.used_at.is_some() {
            Standing::Used
        } else if self.withdrawn_at.is_some() {
            Standing::Withdrawn
        } else if self.expires_at <= now {
            Standing::Expired
        } else {
            Standing::Open
        }
    }
}

/// Makes a link. `token` is kept hashed: it can be shown this once.
///
/// # Errors
/// [`Error::Invalid`] naming each wrong field.
pub async fn create(
    scope: &Scope,
    credential: CredentialId,
    draft: &Draft,
    token: &str,
) -> Result<ConsentLink> {
    scope.require_everywhere(Role::Admin)?;
    let member = scope.member().ok_or(Error::Conflict(
        "A consent link is made by a member, not by the operator.".into(),
    ))?;
    let mut errors = Vec::new();
    let mut wrong = |field, message: String| errors.push(FieldError { field, message });
    let directory = match draft.directory_id.trim() {
        "" => None,
        text => match credential::parse_guid(text) {
            Ok(id) => Some(DirectoryId(id)),
            Err(why) => {
                wrong(
                    "directory_id",
                    format!(
                        "A tenant ID {why} Leave it empty to let the administrator's account decide."
                    ),
                );
                None
            }
        },
    };
    let clean = |text: &str| text.replace('\0', "").trim().to_owned();
    let (company_name, note) = (clean(&draft.company_name), clean(&draft.note));
    if company_name.chars().count() > 200 {
        wrong("company_name", "At most 200 characters.".into());
    }
    if note.chars().count() > 1000 {
        wrong("note", "At most 1,000 characters.".into());
    }
    let days = match draft.days.trim() {
        "" => 7,
        text => text
            .parse()
            .ok()
            .filter(|d| DAYS.contains(d))
            .unwrap_or_else(|| {
                wrong("days", "Choose one of the listed times.".into());
                7
            }),
    };
    if !errors.is_empty() {
        return Err(Error::Invalid(errors));
    }
    let now = scope.now();
    let tx = scope.begin().await?;
    if !credential::is_live(&tx, scope, credential).await? {
        return Err(Error::Conflict("This credential is revoked.".into()));
    }
    let row = ActiveModel {
        partner_id: Set(scope.partner()),
        id: Set(ConsentLinkId::generate(scope.db().clock())),
        credential_id: Set(credential),
        directory_id: Set(directory),
        company_name: Set(company_name),
        note: Set(note),
        token_hash: Set(keys::fingerprint(token)),
        member_id: Set(member),
        created_at: Set(now),
        expires_at: Set(now.plus_minutes(days * 24 * 60)),
        opened_at: Set(None),
        opened_count: Set(0),
        withdrawn_at: Set(None),
        used_at: Set(None),
    }
    .insert(&tx.conn)
    .await?;
    audit::append(
        &tx,
        scope,
        "consent_link.create",
        Target::new("consent_link", row.id, &row.company_name),
        json!({ "credential_id": credential, "directory_id": directory, "days": days }),
    )
    .await?;
    tx.commit().await?;
    Ok(row)
}

/// Links of a credential with the newest request that came of each, newest first.
pub async fn list(
    scope: &Scope,
    credential: CredentialId,
) -> Result<Vec<(ConsentLink, Option<ConsentRequest>)>> {
    let links = scope
        .find::<Entity>()
        .filter(Column::CredentialId.eq(credential))
        .order_by_desc(Column::Id)
        .all(&scope.conn())
        .await?;
    let requests = scope
        .find::<consent_request::Entity>()
        .filter(consent_request::Column::CredentialId.eq(credential))
        .filter(consent_request::Column::LinkId.is_not_null())
        .order_by_asc(consent_request::Column::Id)
        .all(&scope.conn())
        .await?;
    Ok(links
        .into_iter()
        .map(|link| {
            let newest = requests.iter().rfind(|r| r.link_id == Some(link.id));
            let newest = newest.cloned();
            (link, newest)
        })
        .collect())
}

/// One link.
pub async fn get(scope: &Scope, id: ConsentLinkId) -> Result<Option<ConsentLink>> {
    Ok(scope
        .find::<Entity>()
        .filter(Column::Id.eq(id))
        .one(&scope.conn())
        .await?)
}

/// Takes a link back. `false` when there is none such.
///
/// # Errors
/// [`Error::Conflict`] when a consent was given with it already.
pub async fn withdraw(scope: &Scope, id: ConsentLinkId) -> Result<bool> {
    scope.require(Role::Admin)?;
    let tx = scope.begin().await?;
    let link = scope
        .find::<Entity>()
        .filter(Column::Id.eq(id))
        .one(&tx.conn)
        .await?;
    match link {
        None => return Ok(false),
        Some(link) if link.used_at.is_some() => {
            return Err(Error::Conflict(
                "A consent was given with this link already. Withdraw that in Microsoft Entra, or \
                 delete the mapping."
                    .into(),
            ));
        }
        Some(_) => {}
    }
    let changed = execute(
        &tx.conn,
        "UPDATE consent_links SET withdrawn_at = $1
         WHERE partner_id = $2 AND id = $3 AND withdrawn_at IS NULL AND used_at IS NULL",
        vec![scope.now().into(), scope.partner().into(), id.into()],
    )
    .await?;
    if changed == 0 {
        return Ok(true);
    }
    audit::append(
        &tx,
        scope,
        "consent_link.withdraw",
        Target::new("consent_link", id, ""),
        json!({}),
    )
    .await?;
    tx.commit().await?;
    Ok(true)
}

/// The link of a token, whatever its standing, with the scope of the administrator who holds it.
pub async fn by_token(db: &Db, token: &str, address: &str) -> Result<Option<(Scope, ConsentLink)>> {
    let row = Entity::find()
        .filter(Column::TokenHash.eq(keys::fingerprint(token)))
        .one(&db.everybody())
        .await?;
    Ok(row.map(|link| {
        let actor = Actor {
            kind: "administrator",
            id: link.id.to_string(),
            name: "tenant administrator".into(),
            address: address.to_owned(),
        };
        (Scope::new(db, link.partner_id, Role::Admin, actor), link)
    }))
}

/// Notes that a link was opened. Mail scanners open links too: it tells little, and changes nothing.
pub async fn note_opened(scope: &Scope, id: ConsentLinkId) -> Result<()> {
    let tx = scope.begin().await?;
    let first = execute(
        &tx.conn,
        "UPDATE consent_links SET opened_at = $1 WHERE partner_id = $2 AND id = $3
            AND opened_at IS NULL",
        vec![scope.now().into(), scope.partner().into(), id.into()],
    )
    .await?;
    execute(
        &tx.conn,
        "UPDATE consent_links SET opened_count = opened_count + 1 WHERE partner_id = $1 AND id = $2",
        vec![scope.partner().into(), id.into()],
    )
    .await?;
    if first == 1 {
        audit::append(
            &tx,
            scope,
            "consent_link.open",
            Target::new("consent_link", id, ""),
            json!({}),
        )
        .await?;
    }
    tx.commit().await
}

/// Uses a link up, in the transaction that binds its tenant. `false` when it was used or withdrawn
/// meanwhile.
pub(crate) async fn use_up(tx: &crate::db::Tx, scope: &Scope, id: ConsentLinkId) -> Result<bool> {
    let used = execute(
        &tx.conn,
        "UPDATE consent_links SET used_at = $1
         WHERE partner_id = $2 AND id = $3 AND used_at IS NULL AND withdrawn_at IS NULL",
        vec![scope.now().into(), scope.partner().into(), id.into()],
    )
    .await?;
    Ok(used == 1)
}
