//! Lets somebody in again who has lost a way to sign in. The operator alone does, who has made sure
//! whom they speak to.

use serde_json::json;

use crate::{
    Db, Error, Result, Scope,
    audit::{self, Target},
    db::execute,
    invitation, member,
};

/// Takes the password of an account away, and its authenticator app, passkeys and recovery codes where
/// those are lost as well; every session of it ends. Answers the token of an invitation, with which the
/// person sets a new password, or `None` where nobody has the address. Memberships, roles, API tokens
/// and accounts that are linked at providers stay; open invitations that could set a password end. Each
/// of the person's partners has it in its log.
///
/// # Errors
/// [`Error::Conflict`] where the person is a member of no partner any more.
pub async fn begin(db: &Db, email: &str, second_factors: bool) -> Result<Option<String>> {
    let Some(member) = member::by_email(db, email).await? else {
        return Ok(None);
    };
    let memberships = member::memberships(db, member.id).await?;
    // The invitation is of the oldest, as that one may set a password (`invitation::accept`).
    let Some(oldest) = memberships.first() else {
        return Err(Error::Conflict(
            "They are a member of no organisation any more. Invite them.".into(),
        ));
    };
    #[allow(clippy::disallowed_methods)] // whoever runs the command is the operator
    let scopes: Vec<Scope> = memberships
        .iter()
        .map(|m| Scope::operator(db, m.partner_id))
        .collect();
    let tx = db.everybody_writer().begin().await?;
    execute(
        &tx.conn,
        "UPDATE members SET password_hash = NULL, password_changed_at = $1 WHERE id = $2",
        vec![db.clock().now().into(), member.id.into()],
    )
    .await?;
    let lost: &[&str] = match second_factors {
        true => &["totps", "passkeys", "recovery_codes", "sessions"],
        false => &["sessions"],
    };
    for table in lost {
        let sql = format!("DELETE FROM {table} WHERE member_id = $1");
        execute(&tx.conn, &sql, vec![member.id.into()]).await?;
    }
    // Another link of that partner's, of before or of an earlier call, would set a password as well.
    execute(
        &tx.conn,
        "UPDATE invitations SET withdrawn_at = $1
         WHERE partner_id = $2 AND email = $3 AND accepted_at IS NULL AND withdrawn_at IS NULL",
        vec![
            db.clock().now().into(),
            oldest.partner_id.into(),
            member.email.clone().into(),
        ],
    )
    .await?;
    for scope in &scopes {
        let target = Target::new("member", member.id, &member.email);
        let detail = json!({ "second_factors": second_factors });
        audit::append(&tx, scope, "member.recover", target, detail).await?;
    }
    let (role, companies) = (oldest.role, oldest.companies.clone());
    let token = invitation::create_in(&tx, &scopes[0], &member.email, role, companies).await?;
    tx.commit().await?;
    Ok(Some(token))
}
