//! What people type for a credential, and what can be wrong with it.

use keys::{CertificateKey, Secret};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    ClientId, CredentialKind, DirectoryId, Error, Feature, FieldError, Result, Timestamp,
    credential::secret::NewSecret,
};

/// Intervals between scheduled syncs that may be chosen, in minutes.
pub const INTERVALS: [i64; 5] = [15, 60, 360, 720, 1440];

/// How the application is to prove itself.
#[derive(Clone, Default)]
pub enum Proof {
    /// By a client secret: [`Draft::client_secret`].
    #[default]
    Secret,
    /// By a certificate that is made here.
    NewCertificate,
    /// By a certificate of one's own.
    OwnCertificate {
        /// PEM or PFX.
        file: Zeroizing<Vec<u8>>,
        /// What opens it; may be empty.
        password: Zeroizing<String>,
    },
}

impl std::fmt::Debug for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Secret => "Secret",
            Self::NewCertificate => "NewCertificate",
            Self::OwnCertificate { .. } => "OwnCertificate",
        })
    }
}

/// What a person types for a credential, as text: parsing it is the model's work, so that the form
/// and the API complain alike.
#[derive(Debug, Clone, Default)]
pub struct Draft {
    /// Kind; `multi_tenant` when empty.
    pub kind: String,
    /// Name.
    pub name: String,
    /// Cloud's name.
    pub cloud: String,
    /// Tenant id.
    pub directory_id: String,
    /// Client id.
    pub client_id: String,
    /// Secret or certificate.
    pub proof: Proof,
    /// Client secret's value; empty on edit keeps the stored one.
    pub client_secret: String,
    /// `yyyy-mm-dd` or empty.
    pub secret_expires: String,
    /// Features that are switched on, by their words.
    pub features: Vec<String>,
    /// Minutes between scheduled syncs; a day when empty.
    pub sync_interval: String,
}

/// A draft without a mistake.
pub(super) struct Parsed {
    pub(super) kind: CredentialKind,
    pub(super) name: String,
    pub(super) directory_id: DirectoryId,
    pub(super) client_id: ClientId,
    /// `None` where the stored one stays, or where a certificate is to be made.
    pub(super) secret: Option<NewSecret>,
    pub(super) secret_expires_at: Option<Timestamp>,
    pub(super) features: Vec<Feature>,
    pub(super) sync_interval_minutes: i64,
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
    let kind = match draft.kind.trim() {
        "" => Ok(CredentialKind::MultiTenant),
        word => word.parse(),
    };
    if let Err(message) = &kind {
        wrong("kind", message);
    }
    let name = draft.name.trim().to_owned();
    if name.is_empty() || name.chars().count() > 80 || name.chars().any(char::is_control) {
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
    let secret_expires_at = match parse_day(&draft.secret_expires) {
        Ok(at) => at,
        Err(message) => {
            wrong("secret_expires", &message);
            None
        }
    };
    let secret = match parse_proof(draft, secret_needed, secret_expires_at) {
        Ok(secret) => secret,
        Err((field, message)) => {
            wrong(field, &message);
            None
        }
    };
    let features: Vec<Feature> = Feature::ALL
        .iter()
        .copied()
        .filter(|f| draft.features.iter().any(|word| word == f.as_str()))
        .collect();
    if let Some(unknown) = draft
        .features
        .iter()
        .find(|word| !Feature::ALL.iter().any(|f| f.as_str() == **word))
    {
        wrong("features", &format!("{unknown:?} is no feature."));
    }
    let sync_interval_minutes = match draft.sync_interval.trim() {
        "" => 1440,
        text => text
            .parse()
            .ok()
            .filter(|minutes| INTERVALS.contains(minutes))
            .unwrap_or_else(|| {
                wrong("sync_interval", "Choose one of the listed intervals.");
                1440
            }),
    };
    match (kind, directory_id, client_id) {
        (Ok(kind), Ok(directory_id), Ok(client_id)) if errors.is_empty() => Ok(Parsed {
            kind,
            name,
            directory_id: DirectoryId(directory_id),
            client_id: ClientId(client_id),
            secret,
            secret_expires_at,
            features,
            sync_interval_minutes,
        }),
        _ => Err(Error::Invalid(errors)),
    }
}

/// Reads the secret or certificate of a renewal.
///
/// # Errors
/// [`Error::Invalid`] naming each wrong field.
pub async fn parse_new_secret(draft: &Draft) -> Result<NewSecret> {
    // Opening a file may be slow work.
    let draft = draft.clone();
    tokio::task::spawn_blocking(move || read_new_secret(&draft))
        .await
        .map_err(|e| Error::Stored(e.to_string()))?
}

fn read_new_secret(draft: &Draft) -> Result<NewSecret> {
    let expires_at = parse_day(&draft.secret_expires)
        .map_err(|message| Error::field("secret_expires", message))?;
    match parse_proof(draft, true, expires_at) {
        Ok(Some(secret)) => Ok(secret),
        Ok(None) => Err(Error::field(
            "client_secret",
            "Paste the client secret's value.",
        )),
        Err((field, message)) => Err(Error::field(field, message)),
    }
}

/// `yyyy-mm-dd`, or nothing.
fn parse_day(text: &str) -> std::result::Result<Option<Timestamp>, String> {
    match text.trim() {
        "" => Ok(None),
        text => match chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d") {
            Ok(day) => Ok(day
                .and_hms_opt(0, 0, 0)
                .map(|at| Timestamp::from(at.and_utc()))),
            Err(_) => Err("Enter the date as year-month-day, for example 2027-05-31.".into()),
        },
    }
}

type Wrong = (&'static str, String);

/// The secret or certificate of a draft.
pub(super) fn parse_proof(
    draft: &Draft,
    needed: bool,
    expires_at: Option<Timestamp>,
) -> std::result::Result<Option<NewSecret>, Wrong> {
    match &draft.proof {
        Proof::NewCertificate => Ok(None),
        Proof::OwnCertificate { file, password } => CertificateKey::import(file, password)
            .map(|pair| Some(NewSecret::Certificate(pair)))
            .map_err(|e| {
                let field = if e.0.starts_with("The password") {
                    "password"
                } else {
                    "certificate"
                };
                (field, e.0)
            }),
        Proof::Secret => {
            let secret = draft.client_secret.trim();
            let wrong = |message: &str| Err(("client_secret", message.to_owned()));
            if secret.is_empty() {
                return if needed {
                    wrong("Paste the client secret's value.")
                } else {
                    Ok(None)
                };
            }
            if Uuid::parse_str(secret).is_ok() {
                return wrong(
                    "This is the secret's ID. Entra shows two columns: copy the one headed Value. \
                     If it is hidden by now, make a new secret.",
                );
            }
            if secret.len() > 512 || secret.chars().any(|c| c.is_control() || c.is_whitespace()) {
                return wrong(
                    "A client secret has no blanks and at most 512 characters. Copy it again.",
                );
            }
            Ok(Some(NewSecret::ClientSecret {
                value: Secret::new(secret),
                expires_at,
            }))
        }
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
            ..Draft::default()
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
                "secret_expires",
                "client_secret"
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
