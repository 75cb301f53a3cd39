//! The partner's public contact form: whoever has its address may write, and what they write leaves by a
//! channel of mail.

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use serde_json::json;

use crate::{
    Actor, ChannelId, ChannelKind, Db, Error, FieldError, Result, Role, Scope,
    audit::{self, Target},
    channel,
    db::execute,
    delivery,
    entity::contact_form::{Column, Entity},
    member,
};

/// A form.
#[derive(Debug, Clone)]
pub struct ContactForm {
    /// What its address ends with.
    pub slug: String,
    /// By which channel.
    pub channel: ChannelId,
    /// To whom.
    pub recipient: String,
    /// What stands above it.
    pub intro: String,
    /// Whether it takes anything.
    pub is_on: bool,
}

/// A form as the public sees it, with the scope in which what is written is delivered.
#[derive(Debug, Clone)]
pub struct Public {
    /// The form.
    pub form: ContactForm,
    /// The name of the partner.
    pub partner_name: String,
    scope: Scope,
}

fn of(row: crate::entity::contact_form::Model) -> ContactForm {
    ContactForm {
        slug: row.slug,
        channel: row.channel_id,
        recipient: row.recipient,
        intro: row.intro,
        is_on: row.is_on != 0,
    }
}

/// The partner's form, if there is one.
pub async fn get(scope: &Scope) -> Result<Option<ContactForm>> {
    scope.require_everywhere(Role::Auditor)?;
    let row = Entity::find_by_id(scope.partner())
        .one(&scope.conn())
        .await?;
    Ok(row.map(of))
}

/// Makes or changes the form. Its address is made once and stays.
///
/// # Errors
/// [`Error::Invalid`] for what is no address, or no channel of mail.
pub async fn set(
    scope: &Scope,
    channel: Option<ChannelId>,
    recipient: &str,
    intro: &str,
    is_on: bool,
) -> Result<()> {
    scope.require_everywhere(Role::Admin)?;
    let (recipient, intro) = (recipient.trim(), intro.trim());
    let mut errors = Vec::new();
    let mut wrong = |field, message: &str| {
        errors.push(FieldError {
            field,
            message: message.into(),
        });
    };
    if !member::is_mailbox(recipient) {
        wrong(
            "recipient",
            "Enter one e-mail address, for example contact@example.com.",
        );
    }
    if intro.chars().count() > 500 {
        wrong("intro", "At most 500 characters.");
    }
    let found = channel::all(scope, &scope.conn()).await?.into_iter();
    let found = found.filter(|c| c.settings.kind() != ChannelKind::Webhook);
    let chosen = found.into_iter().find(|c| Some(c.id) == channel);
    if chosen.is_none() {
        wrong("channel", "Choose a channel that sends mail.");
    }
    let (Some(chosen), true) = (chosen, errors.is_empty()) else {
        return Err(Error::Invalid(errors));
    };
    let slug = keys::random_token()?[..22].to_owned();
    let tx = scope.begin().await?;
    execute(
        &tx.conn,
        "INSERT INTO contact_forms (partner_id, slug, channel_id, recipient, intro, is_on)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (partner_id) DO UPDATE SET channel_id = excluded.channel_id,
            recipient = excluded.recipient, intro = excluded.intro, is_on = excluded.is_on",
        vec![
            scope.partner().into(),
            slug.into(),
            chosen.id.into(),
            recipient.into(),
            intro.into(),
            i64::from(is_on).into(),
        ],
    )
    .await?;
    audit::append(
        &tx,
        scope,
        "contact_form.edit",
        Target::new("partner", scope.partner(), ""),
        json!({ "channel": chosen.name, "recipient": recipient, "is_on": is_on }),
    )
    .await?;
    tx.commit().await
}

/// A form that takes something, by its address; `None` also while it is switched off.
pub async fn public(db: &Db, slug: &str) -> Result<Option<Public>> {
    let row = Entity::find()
        .filter(Column::Slug.eq(slug))
        .filter(Column::IsOn.eq(1))
        .one(&db.everybody())
        .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let actor = Actor {
        kind: "visitor",
        id: String::new(),
        name: "contact form".into(),
        address: String::new(),
    };
    let scope = Scope::new(db, row.partner_id, Role::Viewer, actor);
    let partner_name = crate::partner::current(&scope).await?.name;
    Ok(Some(Public {
        form: of(row),
        partner_name,
        scope,
    }))
}

/// What a visitor typed.
#[derive(Debug, Clone, Default)]
pub struct Message {
    /// Their name.
    pub name: String,
    /// Where to answer.
    pub email: String,
    /// What they want.
    pub text: String,
}

impl Public {
    /// Puts a message into the outbox.
    ///
    /// # Errors
    /// [`Error::Invalid`] with each wrong field.
    pub async fn send(&self, message: &Message, address: &str) -> Result<()> {
        let (name, email, text) = (
            message.name.trim(),
            message.email.trim(),
            message.text.trim(),
        );
        let mut errors = Vec::new();
        let mut wrong = |field, message: &str| {
            errors.push(FieldError {
                field,
                message: message.into(),
            });
        };
        if name.is_empty() || name.chars().count() > 100 || name.chars().any(char::is_control) {
            wrong("name", "Enter your name, at most 100 characters.");
        }
        if !member::is_mailbox(email) {
            wrong("email", "Enter your e-mail address, so that we can answer.");
        }
        if text.is_empty() || text.chars().count() > 5000 {
            wrong(
                "text",
                "Write what you want to say, at most 5,000 characters.",
            );
        }
        if !errors.is_empty() {
            return Err(Error::Invalid(errors));
        }
        let plain: String = text
            .chars()
            .filter(|c| !c.is_control() || *c == '\n')
            .collect();
        let scope = self.scope.clone().from_address(address);
        let tx = scope.begin().await?;
        let body = json!({
            "text": format!("{name} <{email}> wrote by the contact form:\n\n{plain}"),
            "to": [self.form.recipient], "contact": { "name": name, "email": email },
        });
        let subject = format!("Contact form: {name}");
        delivery::write_contact(&tx, &scope, self.form.channel, &subject, body).await?;
        audit::append(
            &tx,
            &scope,
            "contact_form.message",
            Target::new("partner", scope.partner(), ""),
            json!({}),
        )
        .await?;
        tx.commit().await
    }
}
