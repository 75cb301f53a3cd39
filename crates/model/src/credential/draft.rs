//! What people type for a credential, and what can be wrong with it.

use keys::Secret;
use uuid::Uuid;

use crate::{ClientId, DirectoryId, Error, FieldError, Result, Timestamp};

/// What a person types for a credential, as text: parsing it is the model's work, so that the form
/// and the API complain alike.
#[derive(Debug, Clone, Default)]
pub struct Draft {
    /// Name.
    pub name: String,
    /// Cloud's name.
    pub cloud: String,
    /// Tenant id.
    pub directory_id: String,
    /// Client id.
    pub client_id: String,
    /// Client secret's value; empty on edit keeps the stored one.
    pub client_secret: String,
    /// `yyyy-mm-dd` or empty.
    pub secret_expires: String,
}

/// A draft without a mistake.
pub(super) struct Parsed {
    pub(super) name: String,
    pub(super) directory_id: DirectoryId,
    pub(super) client_id: ClientId,
    pub(super) secret: Option<Secret>,
    pub(super) secret_expires_at: Option<Timestamp>,
}

/// Reads a draft; every wrong field is named.
pub(super) fn parse(draft: &Draft, clouds: &[String], secret_needed: bool) -> Result<Parsed> {
    let mut errors = Vec::new();
    let mut wrong = |field, message: &str| {
        errors.push(FieldError {
            field,
            message: message.to_owned(),
        });
    };
    let name = draft.name.trim().to_owned();
    if name.is_empty() || name.chars().count() > 80 {
        wrong("name", "Enter a name of at most 80 characters.");
    }
    if !clouds.contains(&draft.cloud) {
        wrong(
            "cloud",
            "Choose one of the listed authentication endpoints.",
        );
    }
    let directory_id = parse_guid(&draft.directory_id);
    if let Err(message) = &directory_id {
        wrong("directory_id", &format!("A tenant ID {message}"));
    }
    let client_id = parse_guid(&draft.client_id);
    if let Err(message) = &client_id {
        wrong("client_id", &format!("A client ID {message}"));
    }
    if let (Ok(a), Ok(b)) = (&directory_id, &client_id)
        && a == b
    {
        wrong(
            "client_id",
            "This is the same as the tenant ID. Copy \"Application (client) ID\" from the \
             registration's overview.",
        );
    }
    let secret = draft.client_secret.trim();
    if secret.is_empty() {
        if secret_needed {
            wrong("client_secret", "Paste the client secret's value.");
        }
    } else if Uuid::parse_str(secret).is_ok() {
        wrong(
            "client_secret",
            "This is the secret's ID. Entra shows two columns: copy the one headed Value. If it is \
             hidden by now, make a new secret.",
        );
    } else if secret.len() > 512 || secret.chars().any(|c| c.is_control() || c.is_whitespace()) {
        wrong(
            "client_secret",
            "A client secret has no blanks and at most 512 characters. Copy it again.",
        );
    }
    let secret_expires_at = match draft.secret_expires.trim() {
        "" => None,
        text => match chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d") {
            Ok(day) => day
                .and_hms_opt(0, 0, 0)
                .map(|at| Timestamp::from(at.and_utc())),
            Err(_) => {
                wrong(
                    "secret_expires",
                    "Enter the date as year-month-day, for example 2027-05-31.",
                );
                None
            }
        },
    };
    match (directory_id, client_id) {
        (Ok(directory_id), Ok(client_id)) if errors.is_empty() => Ok(Parsed {
            name,
            directory_id: DirectoryId(directory_id),
            client_id: ClientId(client_id),
            secret: (!secret.is_empty()).then(|| Secret::new(secret)),
            secret_expires_at,
        }),
        _ => Err(Error::Invalid(errors)),
    }
}

/// A GUID, or the rest of a sentence that says what is wrong with the text.
pub fn parse_guid(text: &str) -> std::result::Result<Uuid, String> {
    let text = text.trim();
    match (Uuid::try_parse(text), text.chars().count()) {
        (Ok(id), 36) if !id.is_nil() => Ok(id),
        (_, 0) => Err("is needed: 36 characters like 8b2f6c1e-….".into()),
        (_, 36) => Err("has only the digits 0 to 9 and a to f, in groups of 8-4-4-4-12.".into()),
        (_, n) => Err(format!("has 36 characters, this one has {n}.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft() -> Draft {
        Draft {
            name: "Main".into(),
            cloud: "global".into(),
            directory_id: "8b2f6c1e-0a4d-4b6e-9d53-1f2e3a4b5c6d".into(),
            client_id: "0d9c1f7a-5b3e-4c8d-a2f1-6e7d8c9b0a1f".into(),
            client_secret: "abc~DEF.123".into(),
            secret_expires: String::new(),
        }
    }

    fn fields(draft: &Draft) -> Vec<&'static str> {
        match parse(draft, &["global".into()], true) {
            Err(Error::Invalid(errors)) => errors.into_iter().map(|e| e.field).collect(),
            _ => vec![],
        }
    }

    #[test]
    fn each_wrong_field_is_named() {
        assert!(fields(&draft()).is_empty());
        let everything = Draft {
            secret_expires: "31.12.2027".into(),
            ..Draft::default()
        };
        assert_eq!(
            fields(&everything),
            [
                "name",
                "cloud",
                "directory_id",
                "client_id",
                "client_secret",
                "secret_expires"
            ]
        );
    }

    #[test]
    fn a_secret_id_is_recognised() {
        let pasted = Draft {
            client_secret: "11111111-2222-4333-8444-555555555555".into(),
            ..draft()
        };
        assert_eq!(fields(&pasted), ["client_secret"]);
    }

    #[test]
    fn the_tenant_id_is_not_a_client_id() {
        let doubled = Draft {
            client_id: draft().directory_id,
            ..draft()
        };
        assert_eq!(fields(&doubled), ["client_id"]);
    }

    #[test]
    fn a_guid_says_what_is_wrong_with_it() {
        assert!(parse_guid("4f1c9d2e-7a31").unwrap_err().contains("has 13"));
        assert!(parse_guid("{8b2f6c1e-0a4d-4b6e-9d53-1f2e3a4b5c6}").is_err());
    }
}
