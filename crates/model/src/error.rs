//! What a call into the model can answer instead of a value.

use crate::Role;

/// A field of the input and what is wrong with it, in words for the person who typed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// Name of the input field, as the form and the API spell it.
    pub field: &'static str,
    /// What is wrong and what to do.
    pub message: String,
}

/// Errors of the model. Not found is no error: such calls answer `Ok(None)`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The input breaks a rule; nothing was changed.
    #[error("{}", .0.iter().map(|e| format!("{}: {}", e.field, e.message)).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<FieldError>),
    /// The state of things forbids it now; nothing was changed. The text says what to do.
    #[error("{0}")]
    Conflict(String),
    /// The scope's role is too low.
    #[error("this needs the role {0} or higher")]
    Forbidden(Role),
    /// The run is not ours any more: another worker has it, or it was cancelled.
    #[error("the run's lease is lost")]
    LeaseLost,
    /// A key did not open.
    #[error("key: {0}")]
    Key(#[from] keys::Error),
    /// The database failed; the caller may try again.
    #[error("database: {0}")]
    Database(#[from] sea_orm::DbErr),
    /// A stored value could not be read back: a defect or a damaged file.
    #[error("stored value: {0}")]
    Stored(String),
}

/// Results of the model.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// One field's error.
    pub fn field(field: &'static str, message: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError {
            field,
            message: message.into(),
        }])
    }

    /// Whether the database could not be reached, or hung up, or was busy for too long: what was
    /// asked may be asked again, and nothing is wrong with it.
    pub fn is_outage(&self) -> bool {
        use sea_orm::{DbErr, RuntimeErr};
        let Self::Database(error) = self else {
            return false;
        };
        match error {
            DbErr::Conn(_) | DbErr::ConnectionAcquire(_) => true,
            DbErr::Exec(RuntimeErr::SqlxError(error))
            | DbErr::Query(RuntimeErr::SqlxError(error)) => hung_up(error),
            _ => false,
        }
    }

    /// Whether the database refused a duplicate.
    pub(crate) fn is_unique(error: &sea_orm::DbErr) -> bool {
        matches!(
            error.sql_err(),
            Some(sea_orm::SqlErr::UniqueConstraintViolation(_))
        )
    }
}

/// What a code of the database says. PostgreSQL's have five characters: class 08 is a broken
/// connection, 57P0x a server that stops or starts, 53300 one that has no connection left (source:
/// its appendix A). SQLite's are shorter, and numbers: the low byte 5 is busy, 6 locked (source: its
/// result codes).
fn is_away(code: &str) -> bool {
    if code.len() == 5 {
        return code.starts_with("08") || code.starts_with("57P0") || code == "53300";
    }
    code.parse::<u32>()
        .is_ok_and(|code| matches!(code & 0xff, 5 | 6))
}

fn hung_up(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| is_away(&code)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::is_away;

    #[test]
    fn an_outage_is_told_from_a_refusal() {
        for away in ["08006", "57P01", "57P03", "53300", "5", "6", "261", "517"] {
            assert!(is_away(away), "{away}");
        }
        // 22021, a text that is no UTF-8, has SQLite's busy in its low byte.
        for refused in ["22021", "23505", "42P01", "40P01", "19", "13", "2067", ""] {
            assert!(!is_away(refused), "{refused}");
        }
    }
}
