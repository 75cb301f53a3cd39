//! Members, their memberships and invitations.

use sea_orm::{ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter};
use serde_json::json;

use crate::{
    Actor, Db, Error, InvitationId, Member, MemberId, Membership, PartnerId, Result, Role, Scope,
    Timestamp,
    audit::{self, Target},
    db::{Tx, execute, query_one},
    entity::{invitation, member, membership},
};

const INVITATION_DAYS: i64 = 7;

/// Finds a member by e-mail address, whatever its case.
pub async fn by_email(db: &Db, email: &str) -> Result<Option<Member>> {
    Ok(member::Entity::find()
        .filter(member::Column::Email.eq(normal_email(email)))
        .one(db.conn())
        .await?)
}

/// The member behind an id.
pub async fn get(db: &Db, id: MemberId) -> Result<Option<Member>> {
    Ok(member::Entity::find_by_id(id).one(db.conn()).await?)
}

/// A member's memberships, oldest first, so that the first partner is the one to sign in to.
pub async fn memberships(db: &Db, member: MemberId) -> Result<Vec<Membership>> {
    use sea_orm::QueryOrder;
    Ok(membership::Entity::find()
        .filter(membership::Column::MemberId.eq(member))
        .order_by_asc(membership::Column::CreatedAt)
        .all(db.conn())
        .await?)
}

fn normal_email(email: &str) -> String {
    email.replace('\0', "").trim().to_lowercase()
}

/// Checks the form of an address: one `@`, something on both sides, no blanks.
pub fn check_email(email: &str) -> Result<String> {
    let email = normal_email(email);
    let ok = email.len() <= 254
        && !email.contains(char::is_whitespace)
        && email.split_once('@').is_some_and(|(user, host)| {
            !user.is_empty() && host.contains('.') && !host.contains('@')
        });
    if ok {
        Ok(email)
    } else {
        Err(Error::field(
            "email",
            "Enter an e-mail address like name@example.com.",
        ))
    }
}

pub(crate) async fn create_in(
    tx: &Tx,
    db: &Db,
    email: &str,
    password_hash: Option<&str>,
) -> Result<MemberId> {
    let email = check_email(email)?;
    let id = MemberId::generate(db.clock());
    let name = email.split('@').next().unwrap_or_default().to_owned();
    member::ActiveModel {
        id: Set(id),
        email: Set(email),
        name: Set(name),
        password_hash: Set(password_hash.map(str::to_owned)),
        created_at: Set(db.clock().now()),
    }
    .insert(&tx.conn)
    .await?;
    Ok(id)
}

pub(crate) async fn join_in(tx: &Tx, scope: &Scope, id: MemberId, role: Role) -> Result<()> {
    membership::ActiveModel {
        partner_id: Set(scope.partner()),
        member_id: Set(id),
        role: Set(role),
        companies: Set(None),
        created_at: Set(scope.now()),
    }
    .insert(&tx.conn)
    .await?;
    audit::append(
        tx,
        scope,
        "member.join",
        Target::new("member", id, ""),
        json!({ "role": role }),
    )
    .await
}

/// Makes a member with a password and a role at once, for the command line and tests; a person is
/// invited with [`invite`].
pub async fn create(
    scope: &Scope,
    email: &str,
    password_hash: &str,
    role: Role,
) -> Result<MemberId> {
    scope.require(Role::Owner)?;
    let tx = scope.begin().await?;
    let id = create_in(&tx, scope.db(), email, Some(password_hash)).await?;
    join_in(&tx, scope, id, role).await?;
    tx.commit().await?;
    Ok(id)
}

/// As [`create`], for a member who will choose a password through an invitation.
pub async fn create_without_password(scope: &Scope, email: &str, role: Role) -> Result<MemberId> {
    scope.require(Role::Owner)?;
    let tx = scope.begin().await?;
    let id = create_in(&tx, scope.db(), email, None).await?;
    join_in(&tx, scope, id, role).await?;
    tx.commit().await?;
    Ok(id)
}

/// Gives a member who exists a role with the scope's partner.
pub async fn join(scope: &Scope, member: MemberId, role: Role) -> Result<MemberId> {
    scope.require(Role::Owner)?;
    let tx = scope.begin().await?;
    join_in(&tx, scope, member, role).await?;
    tx.commit().await?;
    Ok(member)
}

/// Limits a membership to some companies; nothing of any other company is visible to it then.
pub async fn limit_to_companies(
    scope: &Scope,
    member: MemberId,
    companies: Option<&[crate::CompanyId]>,
) -> Result<()> {
    scope.require(Role::Owner)?;
    let json_text = companies
        .map(serde_json::to_string)
        .transpose()
        .map_err(|e| Error::Stored(e.to_string()))?;
    let tx = scope.begin().await?;
    execute(
        &tx.conn,
        "UPDATE memberships SET companies = $1 WHERE partner_id = $2 AND member_id = $3",
        vec![json_text.into(), scope.partner().into(), member.into()],
    )
    .await?;
    audit::append(
        &tx,
        scope,
        "member.limit",
        Target::new("member", member, ""),
        json!({ "companies": companies }),
    )
    .await?;
    tx.commit().await
}

/// A single-use invitation; answers the token for its link, which is not kept.
pub async fn invite(scope: &Scope, email: &str, role: Role) -> Result<String> {
    scope.require(Role::Owner)?;
    let email = check_email(email)?;
    let token = keys::random_token()?;
    let id = InvitationId::generate(scope.db().clock());
    let now = scope.now();
    let tx = scope.begin().await?;
    invitation::ActiveModel {
        partner_id: Set(scope.partner()),
        id: Set(id),
        token_hash: Set(keys::fingerprint(&token)),
        email: Set(email.clone()),
        role: Set(role),
        created_at: Set(now),
        expires_at: Set(now.plus_minutes(INVITATION_DAYS * 24 * 60)),
        accepted_at: Set(None),
    }
    .insert(&tx.conn)
    .await?;
    audit::append(
        &tx,
        scope,
        "member.invite",
        Target::new("invitation", id, &email),
        json!({ "email": email, "role": role }),
    )
    .await?;
    tx.commit().await?;
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
    /// Until when.
    pub expires_at: Timestamp,
    id: InvitationId,
}

/// The open invitation behind a token, or `None` when it is unknown, used or expired.
pub async fn open_invitation(db: &Db, token: &str) -> Result<Option<Invitation>> {
    let row = query_one(
        db.conn(),
        "SELECT i.partner_id, i.id, i.email, i.role, i.expires_at, p.name AS partner_name
         FROM invitations i JOIN partners p ON p.id = i.partner_id
         WHERE i.token_hash = $1 AND i.accepted_at IS NULL AND i.expires_at > $2",
        vec![keys::fingerprint(token).into(), db.clock().now().into()],
    )
    .await?;
    row.map(|row| {
        Ok(Invitation {
            partner: row.try_get("", "partner_id")?,
            id: row.try_get("", "id")?,
            email: row.try_get("", "email")?,
            role: row.try_get("", "role")?,
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
pub async fn accept_invitation(
    db: &Db,
    invitation: &Invitation,
    password_hash: Option<&str>,
) -> Result<MemberId> {
    let tx = db.begin().await?;
    let taken = execute(
        &tx.conn,
        "UPDATE invitations SET accepted_at = $1
         WHERE partner_id = $2 AND id = $3 AND accepted_at IS NULL",
        vec![
            db.clock().now().into(),
            invitation.partner.into(),
            invitation.id.into(),
        ],
    )
    .await?;
    if taken == 0 {
        return Err(Error::Conflict(
            "This invitation was accepted already. Sign in instead.".into(),
        ));
    }
    let existing = member::Entity::find()
        .filter(member::Column::Email.eq(&invitation.email))
        .one(&tx.conn)
        .await?;
    let id = match existing {
        Some(member) => {
            // A member without a password is one that the operator made: the invitation sets it.
            if let (None, Some(hash)) = (&member.password_hash, password_hash) {
                execute(
                    &tx.conn,
                    "UPDATE members SET password_hash = $1 WHERE id = $2 AND password_hash IS NULL",
                    vec![hash.into(), member.id.into()],
                )
                .await?;
            }
            member.id
        }
        None => create_in(&tx, db, &invitation.email, password_hash).await?,
    };
    let scope = Scope::new(
        db,
        invitation.partner,
        invitation.role,
        Actor {
            kind: "member",
            id: id.to_string(),
            name: invitation.email.clone(),
            address: String::new(),
        },
    );
    let joined = membership::Entity::find_by_id((invitation.partner, id))
        .one(&tx.conn)
        .await?;
    if joined.is_none() {
        join_in(&tx, &scope, id, invitation.role).await?;
    }
    tx.commit().await?;
    Ok(id)
}
