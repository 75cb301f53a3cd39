//! Members and their memberships.

use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter,
    QueryOrder,
};
use serde_json::json;

use crate::{
    CompanyId, Db, Error, Member, MemberId, Membership, Partner, PartnerId, Result, Role, Scope,
    Timestamp,
    audit::{self, Target},
    db::{Tx, execute, query_all, query_one},
    entity::{member, membership, partner},
    session,
};

/// Finds a member by e-mail address, whatever its case.
pub async fn by_email(db: &Db, email: &str) -> Result<Option<Member>> {
    Ok(member::Entity::find()
        .filter(member::Column::Email.eq(normal_email(email)))
        .one(&db.conn())
        .await?)
}

/// The member behind an id.
pub async fn get(db: &Db, id: MemberId) -> Result<Option<Member>> {
    Ok(member::Entity::find_by_id(id).one(&db.conn()).await?)
}

/// A member's memberships, oldest first, so that the first partner is the one to sign in to.
pub async fn memberships(db: &Db, member: MemberId) -> Result<Vec<Membership>> {
    Ok(membership::Entity::find()
        .filter(membership::Column::MemberId.eq(member))
        .filter(membership::Column::RemovedAt.is_null())
        .order_by_asc(membership::Column::CreatedAt)
        .all(&db.everybody())
        .await?)
}

/// The membership, unless it ended.
pub(crate) async fn active_membership(
    conn: &impl ConnectionTrait,
    partner: PartnerId,
    member: MemberId,
) -> Result<Option<Membership>> {
    Ok(membership::Entity::find_by_id((partner, member))
        .filter(membership::Column::RemovedAt.is_null())
        .one(conn)
        .await?)
}

/// The partners that a member may choose from, by name.
pub async fn partners(db: &Db, member: MemberId) -> Result<Vec<Partner>> {
    let ids: Vec<PartnerId> = memberships(db, member)
        .await?
        .iter()
        .map(|m| m.partner_id)
        .collect();
    Ok(partner::Entity::find()
        .filter(partner::Column::Id.is_in(ids))
        .order_by_asc(partner::Column::Name)
        .all(&db.everybody())
        .await?)
}

/// A member as the partner's owners see them.
#[derive(Debug, Clone)]
pub struct Colleague {
    /// Their id.
    pub id: MemberId,
    /// E-mail address.
    pub email: String,
    /// Their role with this partner.
    pub role: Role,
    /// Companies that they may see; `None` for all.
    pub companies: Option<Vec<CompanyId>>,
    /// Whether they have a second factor or a passkey.
    pub has_second_factor: bool,
    /// When they became a member.
    pub joined_at: Timestamp,
    /// When they last used a session here; sessions that ended are not counted.
    pub seen_at: Option<Timestamp>,
}

/// All members of the scope's partner, by address.
pub async fn colleagues(scope: &Scope) -> Result<Vec<Colleague>> {
    scope.require_everywhere(Role::Auditor)?;
    let rows = query_all(
        &scope.conn(),
        "SELECT m.id, m.email, s.role, s.companies, s.created_at,
            CASE WHEN EXISTS (SELECT 1 FROM totps t WHERE t.member_id = m.id AND t.confirmed_at IS NOT NULL)
                   OR EXISTS (SELECT 1 FROM passkeys k WHERE k.member_id = m.id)
                 THEN 1 ELSE 0 END AS factors,
            (SELECT MAX(e.seen_at) FROM sessions e
             WHERE e.partner_id = s.partner_id AND e.member_id = m.id) AS seen_at
         FROM memberships s JOIN members m ON m.id = s.member_id
         WHERE s.partner_id = $1 AND s.removed_at IS NULL ORDER BY m.email",
        vec![scope.partner().into()],
    )
    .await?;
    rows.into_iter()
        .map(|row| {
            let companies: Option<String> = row.try_get("", "companies")?;
            Ok(Colleague {
                id: row.try_get("", "id")?,
                email: row.try_get("", "email")?,
                role: row.try_get("", "role")?,
                companies: companies.as_deref().map(companies_of).transpose()?,
                has_second_factor: row.try_get::<i32>("", "factors")? == 1,
                joined_at: row.try_get("", "created_at")?,
                seen_at: row.try_get("", "seen_at")?,
            })
        })
        .collect()
}

/// One of [`colleagues`].
pub async fn colleague(scope: &Scope, id: MemberId) -> Result<Option<Colleague>> {
    Ok(colleagues(scope).await?.into_iter().find(|c| c.id == id))
}

fn companies_of(text: &str) -> Result<Vec<CompanyId>> {
    serde_json::from_str(text).map_err(|e| Error::Stored(e.to_string()))
}

/// An address as accounts are found by it: whoever counts attempts on an account counts by this, so
/// that no way of writing an address has a count of its own.
pub fn normal_email(email: &str) -> String {
    email.replace('\0', "").trim().to_lowercase()
}

/// Whether a text is one mailbox's address and nothing besides: neither a list, nor a path, nor a line of
/// a mail's head.
pub(crate) fn is_mailbox(text: &str) -> bool {
    text.len() <= 254
        && text
            .split_once('@')
            .is_some_and(|(name, host)| !name.is_empty() && host.contains('.'))
        && !text
            .contains(|c: char| c.is_whitespace() || c.is_control() || "<>,;\"'/\\?#".contains(c))
        && text.matches('@').count() == 1
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
        password_changed_at: Set(password_hash.map(|_| db.clock().now())),
    }
    .insert(&tx.conn)
    .await?;
    Ok(id)
}

/// Gives a member a role with the scope's partner, anew where a membership had ended.
pub(crate) async fn join_in(
    tx: &Tx,
    scope: &Scope,
    id: MemberId,
    role: Role,
    companies: Option<&str>,
) -> Result<()> {
    let former = membership::Entity::find_by_id((scope.partner(), id))
        .one(&tx.conn)
        .await?;
    let row = membership::ActiveModel {
        partner_id: Set(scope.partner()),
        member_id: Set(id),
        role: Set(role),
        companies: Set(companies.map(str::to_owned)),
        created_at: Set(scope.now()),
        removed_at: Set(None),
    };
    match former {
        Some(_) => row.update(&tx.conn).await?,
        None => row.insert(&tx.conn).await?,
    };
    audit::append(
        tx,
        scope,
        "member.join",
        Target::new("member", id, ""),
        json!({ "role": role, "companies": companies.map(companies_of).transpose()? }),
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
    join_in(&tx, scope, id, role, None).await?;
    tx.commit().await?;
    Ok(id)
}

/// As [`create`], for a member who will choose a password through an invitation.
pub async fn create_without_password(scope: &Scope, email: &str, role: Role) -> Result<MemberId> {
    scope.require(Role::Owner)?;
    let tx = scope.begin().await?;
    let id = create_in(&tx, scope.db(), email, None).await?;
    join_in(&tx, scope, id, role, None).await?;
    tx.commit().await?;
    Ok(id)
}

/// Gives a member who exists a role with the scope's partner.
pub async fn join(scope: &Scope, member: MemberId, role: Role) -> Result<MemberId> {
    scope.require(Role::Owner)?;
    let tx = scope.begin().await?;
    join_in(&tx, scope, member, role, None).await?;
    tx.commit().await?;
    Ok(member)
}

/// Changes a member's role and the companies that they may see (`None` for all); their sessions with
/// this partner end. `None` when there is no such member.
///
/// # Errors
/// [`Error::Conflict`] for the last owner; [`Error::Invalid`] for an owner who is limited, and for a
/// company that is not the partner's.
pub async fn change(
    scope: &Scope,
    member: MemberId,
    role: Role,
    companies: Option<&[CompanyId]>,
) -> Result<Option<()>> {
    scope.require(Role::Owner)?;
    let text = limit(scope, role, companies).await?;
    let tx = scope.begin().await?;
    let Some(before) = active_membership(&tx.conn, scope.partner(), member).await? else {
        return Ok(None);
    };
    if before.role == Role::Owner && role != Role::Owner {
        not_the_last_owner(&tx, scope, member).await?;
    }
    execute(
        &tx.conn,
        "UPDATE memberships SET role = $1, companies = $2 WHERE partner_id = $3 AND member_id = $4",
        vec![
            role.as_str().into(),
            text.into(),
            scope.partner().into(),
            member.into(),
        ],
    )
    .await?;
    let ended = match scope.member() == Some(member) {
        // Who changes their own goes on, with what is left to them.
        true => 0,
        false => session::end_all_in(&tx, scope.partner(), member).await?,
    };
    let email = email_in(&tx, member).await?;
    audit::append(
        &tx,
        scope,
        "member.change",
        Target::new("member", member, email),
        json!({ "before": { "role": before.role,
                    "companies": before.companies.as_deref().map(companies_of).transpose()? },
                "after": { "role": role, "companies": companies }, "sessions_ended": ended }),
    )
    .await?;
    tx.commit().await?;
    Ok(Some(()))
}

/// Ends a membership: sessions end, and API tokens stop. `None` when there is no such member.
///
/// # Errors
/// [`Error::Conflict`] for the last owner.
pub async fn remove(scope: &Scope, member: MemberId) -> Result<Option<()>> {
    scope.require(Role::Owner)?;
    let tx = scope.begin().await?;
    let Some(before) = active_membership(&tx.conn, scope.partner(), member).await? else {
        return Ok(None);
    };
    if before.role == Role::Owner {
        not_the_last_owner(&tx, scope, member).await?;
    }
    let now = scope.now();
    let key = || vec![now.into(), scope.partner().into(), member.into()];
    execute(
        &tx.conn,
        "UPDATE memberships SET removed_at = $1 WHERE partner_id = $2 AND member_id = $3",
        key(),
    )
    .await?;
    let tokens = execute(
        &tx.conn,
        "UPDATE api_tokens SET revoked_at = $1
         WHERE partner_id = $2 AND member_id = $3 AND revoked_at IS NULL",
        key(),
    )
    .await?;
    // What a provider of this partner says of them counts for this partner alone.
    execute(
        &tx.conn,
        "DELETE FROM identities WHERE partner_id = $1 AND member_id = $2",
        vec![scope.partner().into(), member.into()],
    )
    .await?;
    let ended = session::end_all_in(&tx, scope.partner(), member).await?;
    let email = email_in(&tx, member).await?;
    audit::append(
        &tx,
        scope,
        "member.remove",
        Target::new("member", member, email),
        json!({ "role": before.role, "sessions_ended": ended, "tokens_revoked": tokens }),
    )
    .await?;
    tx.commit().await?;
    Ok(Some(()))
}

async fn email_in(tx: &Tx, member: MemberId) -> Result<String> {
    let found = member::Entity::find_by_id(member).one(&tx.conn).await?;
    Ok(found.map(|m| m.email).unwrap_or_default())
}

/// An organisation without an owner could never be changed again.
async fn not_the_last_owner(tx: &Tx, scope: &Scope, member: MemberId) -> Result<()> {
    let others = query_one(
        &tx.conn,
        "SELECT COUNT(*) AS owners FROM memberships
         WHERE partner_id = $1 AND member_id <> $2 AND role = 'owner' AND removed_at IS NULL",
        vec![scope.partner().into(), member.into()],
    )
    .await?;
    let owners: i64 = others.map_or(Ok(0), |row| row.try_get("", "owners"))?;
    if owners > 0 {
        return Ok(());
    }
    Err(Error::Conflict(
        "This is the only owner. Make somebody else an owner first.".into(),
    ))
}

/// The stored form of a limit to companies, each of them the partner's.
pub(crate) async fn limit(
    scope: &Scope,
    role: Role,
    companies: Option<&[CompanyId]>,
) -> Result<Option<String>> {
    let Some(companies) = companies else {
        return Ok(None);
    };
    if role == Role::Owner {
        return Err(Error::field(
            "companies",
            "An owner sees every company. Choose another role, or all companies.",
        ));
    }
    if companies.is_empty() {
        return Err(Error::field(
            "companies",
            "Choose at least one company, or all of them.",
        ));
    }
    let known = crate::company::known(scope, companies).await?;
    if known != companies.len() {
        return Err(Error::field(
            "companies",
            "One of these companies does not exist any more. Choose again.",
        ));
    }
    serde_json::to_string(companies)
        .map(Some)
        .map_err(|e| Error::Stored(e.to_string()))
}
