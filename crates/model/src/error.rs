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

fn hung_up(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => true,
        // Class 08 is a broken connection, 57P0x a server that stops or starts (source: PostgreSQL's
        // appendix A); 5 and 6 are SQLite's busy and locked.
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            code.starts_with("08")
                || code.starts_with("57P0")
                || matches!(&*code, "5" | "6" | "517")
        }),
        _ => false,
    }
}
