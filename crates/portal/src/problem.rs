//! Errors as people and programs see them: what happened and what to do, never an inner detail.

use actix_web::{
    HttpResponse, ResponseError,
    http::{StatusCode, header},
};
use askama::Template;
use model::{FieldError, Role};
use serde::Serialize;
use utoipa::ToSchema;

/// An error of a page.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PageProblem {
    #[error("not found")]
    NotFound,
    #[error("forbidden")]
    Forbidden(Role),
    #[error("a form of another site")]
    OtherSite,
    #[error("too large")]
    TooLarge,
    /// Seconds to wait.
    #[error("too many")]
    TooMany(i64),
    #[error("{0}")]
    Conflict(String),
    #[error("inner: {0}")]
    Inner(String),
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage {
    title: &'static str,
    text: String,
    demo: bool,
}

impl ResponseError for PageProblem {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Forbidden(_) | Self::OtherSite => StatusCode::FORBIDDEN,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::Inner(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn error_response(&self) -> HttpResponse {
        let (title, text) = match self {
            Self::TooMany(seconds) => (
                "That was too often",
                format!("Try again in {} minutes.", seconds / 60 + 1),
            ),
            Self::TooLarge => (
                "That is too much at once",
                "Nothing was changed. A form may hold 1 MB.".into(),
            ),
            Self::NotFound => (
                "There is no such page",
                "It may have been removed, or it belongs to something that you may not see.".into(),
            ),
            Self::Forbidden(least) => (
                "Your role does not allow this",
                format!("It needs the role {least} or higher. Ask an owner of your organisation."),
            ),
            Self::OtherSite => (
                "This form came from another site",
                "Nothing was changed. Open the page here and try again.".into(),
            ),
            Self::Conflict(text) => ("That is not possible now", text.clone()),
            Self::Inner(inner) => {
                tracing::error!(%inner, "a page failed");
                (
                    "Something went wrong here",
                    "Nothing was changed. Try again; if it stays, ask your operator to look at the \
                     server's log."
                        .into(),
                )
            }
        };
        let page = ProblemPage {
            title,
            text,
            demo: false,
        };
        let mut answer = HttpResponse::build(self.status_code());
        if let Self::TooMany(seconds) = self {
            answer.insert_header((header::RETRY_AFTER, *seconds));
        }
        answer
            .content_type("text/html; charset=utf-8")
            .body(page.render().unwrap_or_else(|_| title.to_owned()))
    }
}

impl From<model::Error> for PageProblem {
    fn from(error: model::Error) -> Self {
        match error {
            model::Error::Forbidden(least) => Self::Forbidden(least),
            model::Error::Conflict(text) => Self::Conflict(text),
            invalid @ model::Error::Invalid(_) => Self::Conflict(invalid.to_string()),
            other => Self::Inner(other.to_string()),
        }
    }
}

impl From<consent::Error> for PageProblem {
    fn from(error: consent::Error) -> Self {
        match error {
            consent::Error::Model(error) => error.into(),
            other => Self::Inner(other.to_string()),
        }
    }
}

impl From<askama::Error> for PageProblem {
    fn from(error: askama::Error) -> Self {
        Self::Inner(error.to_string())
    }
}

impl From<keys::Error> for PageProblem {
    fn from(error: keys::Error) -> Self {
        Self::Inner(error.to_string())
    }
}

pub(crate) async fn no_such_page(request: actix_web::HttpRequest) -> HttpResponse {
    let methods = crate::routes::methods(request.path());
    if !methods.is_empty() {
        let mut response = match request.path().starts_with("/api/") {
            true => ApiProblem::Method.error_response(),
            false => PageProblem::NotFound.error_response(),
        };
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        if let Ok(allow) = header::HeaderValue::from_str(&methods.join(", ")) {
            response.headers_mut().insert(header::ALLOW, allow);
        }
        return response;
    }
    if request.path().starts_with("/api/") {
        ApiProblem::NotFound.error_response()
    } else {
        PageProblem::NotFound.error_response()
    }
}

/// An error of the API, as RFC 9457 writes it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiProblem {
    #[error("not found")]
    NotFound,
    #[error("method")]
    Method,
    #[error("unauthorised")]
    Unauthorised,
    #[error("forbidden")]
    Forbidden(Role),
    #[error("{0}")]
    BadRequest(String),
    #[error("invalid")]
    Invalid(Vec<FieldError>),
    #[error("{0}")]
    Conflict(String),
    #[error("changed")]
    Changed,
    /// Seconds to wait.
    #[error("too many")]
    TooMany(i64),
    #[error("inner: {0}")]
    Inner(String),
}

/// `application/problem+json`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// A URI that names the kind of problem.
    #[serde(rename = "type")]
    kind: String,
    /// Its short name.
    title: String,
    /// HTTP status.
    status: u16,
    /// What happened and what to do.
    detail: String,
    /// Wrong fields, where the body was refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<ProblemField>,
}

/// A wrong field.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProblemField {
    /// Name of the field in the body.
    field: String,
    /// What is wrong with it.
    message: String,
}

impl ResponseError for ApiProblem {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Unauthorised => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::Changed => StatusCode::PRECONDITION_FAILED,
            Self::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Inner(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn error_response(&self) -> HttpResponse {
        let (slug, title, detail) = match self {
            Self::Method => (
                "method-not-allowed",
                "Method not allowed",
                "This address takes other methods; its Allow header names them.".to_owned(),
            ),
            Self::NotFound => (
                "not-found",
                "Not found",
                "There is no such thing, or you may not see it.".to_owned(),
            ),
            Self::Unauthorised => (
                "unauthorised",
                "Unauthorised",
                "Send a valid API token as `Authorization: Bearer tnt_…`.".into(),
            ),
            Self::Forbidden(least) => (
                "forbidden",
                "Forbidden",
                format!("This needs a token of the role {least} or higher."),
            ),
            Self::BadRequest(text) => ("bad-request", "Bad request", text.clone()),
            Self::Invalid(errors) => (
                "invalid",
                "Invalid input",
                errors
                    .iter()
                    .map(|e| e.message.as_str())
                    .collect::<Vec<_>>()
                    .join(" "),
            ),
            Self::Conflict(text) => ("conflict", "Conflict", text.clone()),
            Self::Changed => (
                "changed",
                "Changed meanwhile",
                "It is not as your If-Match says any more. Read it again, and change what it is now."
                    .into(),
            ),
            Self::TooMany(seconds) => (
                "too-many-requests",
                "Too many requests",
                format!("Ask again in {seconds} seconds, as the Retry-After header says."),
            ),
            Self::Inner(inner) => {
                tracing::error!(%inner, "an API call failed");
                (
                    "inner",
                    "Server error",
                    "Nothing was changed. Try again; if it stays, look at the server's log.".into(),
                )
            }
        };
        let errors = match self {
            Self::Invalid(errors) => errors
                .iter()
                .map(|e| ProblemField {
                    field: e.field.into(),
                    message: e.message.clone(),
                })
                .collect(),
            _ => vec![],
        };
        let problem = Problem {
            kind: format!("tag:tenantry.example,2026:{slug}"),
            title: title.into(),
            status: self.status_code().as_u16(),
            detail,
            errors,
        };
        let mut response = HttpResponse::build(self.status_code());
        if matches!(self, Self::Unauthorised) {
            response.insert_header(("www-authenticate", "Bearer"));
        }
        if let Self::TooMany(seconds) = self {
            response.insert_header((header::RETRY_AFTER, *seconds));
        }
        response
            .content_type("application/problem+json")
            .body(serde_json::to_string(&problem).unwrap_or_default())
    }
}

impl From<model::Error> for ApiProblem {
    fn from(error: model::Error) -> Self {
        match error {
            model::Error::Forbidden(least) => Self::Forbidden(least),
            model::Error::Conflict(text) => Self::Conflict(text),
            model::Error::Invalid(errors) => Self::Invalid(errors),
            other => Self::Inner(other.to_string()),
        }
    }
}

impl From<consent::Error> for ApiProblem {
    fn from(error: consent::Error) -> Self {
        match error {
            consent::Error::Model(error) => error.into(),
            other => Self::Inner(other.to_string()),
        }
    }
}

impl From<keys::Error> for ApiProblem {
    fn from(error: keys::Error) -> Self {
        Self::Inner(error.to_string())
    }
}
