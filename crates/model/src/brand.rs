//! How a partner's reports look: a colour and a logo.

use sea_orm::EntityTrait;
use serde_json::json;

use crate::{
    Error, FieldError, Result, Role, Scope,
    audit::{self, Target},
    db::execute,
    entity::brand::Entity,
};

/// The largest logo, bytes.
pub const LARGEST_LOGO: usize = 256 * 1024;

/// A colour and a logo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brand {
    /// `#rrggbb`.
    pub colour: String,
    /// `image/png` or `image/jpeg`, and the bytes.
    pub logo: Option<(String, Vec<u8>)>,
}

impl Default for Brand {
    fn default() -> Self {
        Self {
            colour: "#0f6cbd".into(),
            logo: None,
        }
    }
}

impl Brand {
    /// Red, green and blue.
    pub fn rgb(&self) -> (u8, u8, u8) {
        let part = |from: usize| {
            let digits = self.colour.get(from..from + 2).unwrap_or("00");
            u8::from_str_radix(digits, 16).unwrap_or(0)
        };
        (part(1), part(3), part(5))
    }
}

/// What to do with the logo.
#[derive(Debug, Clone)]
pub enum Logo {
    /// It stays.
    Keep,
    /// It goes.
    Remove,
    /// Another one.
    Set(Vec<u8>),
}

/// What a picture is, by its first bytes: names and types that a browser sends say nothing.
pub fn picture_type(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        _ => None,
    }
}

/// The partner's brand, or the one that everybody begins with.
pub async fn get(scope: &Scope) -> Result<Brand> {
    let row = Entity::find_by_id(scope.partner())
        .one(&scope.conn())
        .await?;
    Ok(row.map_or_else(Brand::default, |row| Brand {
        colour: row.colour,
        logo: row.logo.map(|bytes| (row.logo_type, bytes)),
    }))
}

/// Sets it.
///
/// # Errors
/// [`Error::Invalid`] for what is no colour, no picture or too large.
pub async fn set(scope: &Scope, colour: &str, logo: Logo) -> Result<()> {
    scope.require_everywhere(Role::Admin)?;
    let mut errors = Vec::new();
    let mut wrong = |field, message: &str| {
        errors.push(FieldError {
            field,
            message: message.into(),
        });
    };
    let is_colour = colour.len() == 7
        && colour.starts_with('#')
        && colour[1..].chars().all(|c| c.is_ascii_hexdigit());
    if !is_colour {
        wrong("colour", "Enter a colour as #rrggbb.");
    }
    if let Logo::Set(bytes) = &logo {
        if bytes.len() > LARGEST_LOGO {
            wrong(
                "logo",
                "The logo is larger than 256 KiB. Choose a smaller file.",
            );
        } else if picture_type(bytes).is_none() {
            wrong("logo", "The logo is neither PNG nor JPEG.");
        }
    }
    if !errors.is_empty() {
        return Err(Error::Invalid(errors));
    }
    let before = get(scope).await?;
    let logo = match logo {
        Logo::Keep => before.logo,
        Logo::Remove => None,
        Logo::Set(bytes) => picture_type(&bytes).map(|kind| (kind.to_owned(), bytes)),
    };
    let (kind, bytes) = match logo {
        Some((kind, bytes)) => (kind, Some(bytes)),
        None => (String::new(), None),
    };
    let tx = scope.begin().await?;
    let digest = bytes.as_ref().map(|bytes| keys::sha256(bytes));
    execute(
        &tx.conn,
        "INSERT INTO brands (partner_id, colour, logo, logo_type) VALUES ($1, $2, $3, $4)
         ON CONFLICT (partner_id) DO UPDATE SET colour = excluded.colour, logo = excluded.logo,
            logo_type = excluded.logo_type",
        vec![
            scope.partner().into(),
            colour.to_lowercase().into(),
            bytes.into(),
            kind.into(),
        ],
    )
    .await?;
    let target = Target::new("partner", scope.partner(), "");
    audit::append(
        &tx,
        scope,
        "brand.edit",
        target,
        json!({ "colour": colour, "logo": digest }),
    )
    .await?;
    tx.commit().await
}
