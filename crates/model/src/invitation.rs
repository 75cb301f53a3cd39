//! Invitations: single-use links by which a person becomes a member.

use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder,
};
use serde_json::{Value as Json, json};

use crate::{
    Actor, CompanyId, Db, Error, InvitationId, InvitationRow, MemberId, PartnerId, Result, Role,
    Scope, Timestamp,
    audit::{self, Target},
    db::{Tx, execute, query_one},
    entity::{invitation, member as person, membership},
    member::{self, active_membership},
};

const INVITATION_DAYS: i64 = 7;

/// A single-use invitation; answers the token for its link, which is not kept.
pub async fn create(
    scope: &Scope,
    email: &str,
    role: Role,
    companies: Option<&[CompanyId]>,
) -> Result<String> {
    scope.require(Role::Owner)?;
    let email = member::check_email(email)?;
    if let Some(found) = member::by_email(scope.db(), &email).await?
        && active_membership(&scope.conn(), scope.partner(), found.id)
            .await?
            .is_some_and(|_| found.password_hash.is_some())
    {
        return Err(Error::field(
            "email",
            "They are a member already. Change their role in the list.",
        ));
    }
    let limited = member::limit(scope, role, companies).await?;
    let tx = scope.begin().await?;
    let token = create_in(&tx, scope, &email, role, limited).await?;
    tx.commit().await?;
    Ok(token)
}

/// The same in a transaction, with companies as they are stored.
pub(crate) async fn create_in(
    tx: &Tx,
    scope: &Scope,
    email: &str,
    role: Role,
    limited: Option<String>,
) -> Result<String> {
    let token = keys::random_token()?;
    let id = InvitationId::generate(scope.db().clock());
    let now = scope.now();
    let companies: Option<Json> = limited
        .as_deref()
        .and_then(|l| serde_json::from_str(l).ok());
    invitation::ActiveModel {
        partner_id: Set(scope.partner()),
        id: Set(id),
        token_hash: Set(keys::fingerprint(&token)),
        email: Set(email.to_owned()),
        role: Set(role),
        created_at: Set(now),
        expires_at: Set(now.plus_minutes(INVITATION_DAYS * 24 * 60)),
        accepted_at: Set(None),
        companies: Set(limited),
        withdrawn_at: Set(None),
    }
    .insert(&tx.conn)
    .await?;
    audit::append(
        tx,
        scope,
        "member.invite",
        Target::new("invitation", id, email),
        json!({ "email": email, "role": role, "companies": companies }),
    )
    .await?;
    Ok(token)
}

/// An invitation that can still be accepted.
#[derive(Debug, Clone)]
pub struct Invitation {
    /// The partner that invites.
    pub partner: PartnerId,
    /// Its name.
    pub partner_name: String,
    /// Whom it invites.
    pub email: String,
    /// With which role.
    pub role: Role,
    /// Companies that they will see, as stored; `None` for all.
    companies: Option<String>,
    /// Until when.
    pub expires_at: Timestamp,
    id: InvitationId,
}

/// The open invitation behind a token, or `None` when it is unknown, used or expired.
pub async fn open(db: &Db, token: &str) -> Result<Option<Invitation>> {
    let row = query_one(
        &db.everybody(),
        "SELECT i.partner_id, i.id, i.email, i.role, i.companies, i.expires_at, p.name AS partner_name
         FROM invitations i JOIN partners p ON p.id = i.partner_id
         WHERE i.token_hash = $1 AND i.accepted_at IS NULL AND i.withdrawn_at IS NULL
           AND i.expires_at > $2",
        vec![keys::fingerprint(token).into(), db.clock().now().into()],
    )
    .await?;
    row.map(|row| {
        Ok(Invitation {
            partner: row.try_get("", "partner_id")?,
            id: row.try_get("", "id")?,
            email: row.try_get("", "email")?,
            role: row.try_get("", "role")?,
            companies: row.try_get("", "companies")?,
            expires_at: row.try_get("", "expires_at")?,
            partner_name: row.try_get("", "partner_name")?,
        })
    })
    .transpose()
}

/// Accepts an invitation. A new member gets `password_hash`; a member who exists already keeps
/// their password and must have proved it.
///
/// # Errors
/// [`Error::Conflict`] when another request accepted it first.
pub async fn accept(
    db: &Db,
    invitation: &Invitation,
    password_hash: Option<&str>,
    address: &str,
) -> Result<MemberId> {
    // Whose account it is already is asked over all partners.
    let tx = db.everybody_writer().begin().await?;
    let taken = execute(
        &tx.conn,
        "UPDATE invitations SET accepted_at = $1
         WHERE partner_id = $2 AND id = $3 AND accepted_at IS NULL AND withdrawn_at IS NULL",
        vec![
            db.clock().now().into(),
            invitation.partner.into(),
            invitation.id.into(),
        ],
    )
    .await?;
    if taken == 0 {
        return Err(Error::Conflict(
            "This invitation was used or withdrawn meanwhile. Sign in instead.".into(),
        ));
    }
    let existing = person::Entity::find()
        .filter(person::Column::Email.eq(&invitation.email))
        .one(&tx.conn)
        .await?;
    let id = match existing {
        Some(member) => {
            // A member without a password is one that the operator made: the invitation sets it.
            if let (None, Some(hash)) = (&member.password_hash, password_hash) {
                // Of another partner's, who sees the link as well, it must not: it would be a key to
                // what the member may see there.
                let oldest = membership::Entity::find()
                    .filter(membership::Column::MemberId.eq(member.id))
                    .filter(membership::Column::RemovedAt.is_null())
                    .order_by_asc(membership::Column::CreatedAt)
                    .one(&tx.conn)
                    .await?;
                if oldest.is_some_and(|oldest| oldest.partner_id != invitation.partner) {
                    return Err(Error::Conflict(
                        "This address has an account that signs in with another organisation's own \
                         sign-in. Accept with this organisation's sign-in, if it offers one, or ask \
                         for an invitation of another address."
                            .into(),
                    ));
                }
                execute(
                    &tx.conn,
                    "UPDATE members SET password_hash = $1 WHERE id = $2 AND password_hash IS NULL",
                    vec![hash.into(), member.id.into()],
                )
                .await?;
            }
            member.id
        }
        None => member::create_in(&tx, db, &invitation.email, password_hash).await?,
    };
    let scope = Scope::new(
        db,
        invitation.partner,
        invitation.role,
        Actor {
            kind: "member",
            id: id.to_string(),
            name: invitation.email.clone(),
            address: address.to_owned(),
        },
    );
    let joined = active_membership(&tx.conn, invitation.partner, id).await?;
    if joined.is_none() {
        let companies = invitation.companies.as_deref();
        member::join_in(&tx, &scope, id, invitation.role, companies).await?;
    }
    tx.commit().await?;
    Ok(id)
}

/// Open invitations of the partner, newest first.
pub async fn list(scope: &Scope) -> Result<Vec<InvitationRow>> {
    scope.require_everywhere(Role::Auditor)?;
    Ok(scope
        .find::<invitation::Entity>()
        .filter(invitation::Column::AcceptedAt.is_null())
        .filter(invitation::Column::WithdrawnAt.is_null())
        .filter(invitation::Column::ExpiresAt.gt(scope.now()))
        .order_by_desc(invitation::Column::CreatedAt)
        .all(&scope.conn())
        .await?)
}

/// Withdraws an open invitation; its link stops. `None` when there is none.
pub async fn withdraw(scope: &Scope, id: InvitationId) -> Result<Option<()>> {
    scope.require(Role::Owner)?;
    let tx = scope.begin().await?;
    let changed = execute(
        &tx.conn,
        "UPDATE invitations SET withdrawn_at = $1
         WHERE partner_id = $2 AND id = $3 AND accepted_at IS NULL AND withdrawn_at IS NULL",
        vec![scope.now().into(), scope.partner().into(), id.into()],
    )
    .await?;
    if changed == 0 {
        return Ok(None);
    }
    audit::append(
        &tx,
        scope,
        "invitation.withdraw",
        Target::new("invitation", id, ""),
        json!({}),
    )
    .await?;
    tx.commit().await?;
    Ok(Some(()))
}
