//! Users of a company.

use actix_web::{HttpRequest, web};
use model::{
    CompanyId, Timestamp, company,
    directory::{self, UserFilter, UserSort, UserWithMfa},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Answer, List, Paging, query};
use crate::{
    guard::Signed,
    problem::{ApiProblem, Problem},
};

/// A user. Null means unknown: Microsoft gave no value, or it could not be read.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = User)]
pub(crate) struct View {
    /// Microsoft's object id.
    id: String,
    mapping_id: Uuid,
    display_name: String,
    user_principal_name: String,
    mail: Option<String>,
    given_name: Option<String>,
    surname: Option<String>,
    job_title: Option<String>,
    department: Option<String>,
    office_location: Option<String>,
    company_name: Option<String>,
    employee_id: Option<String>,
    employee_type: Option<String>,
    usage_location: Option<String>,
    /// `Member` or `Guest`.
    user_type: Option<String>,
    account_enabled: Option<bool>,
    on_premises_sync_enabled: Option<bool>,
    licensed: Option<bool>,
    /// Ids of assigned SKUs.
    licences: Option<Vec<String>>,
    mfa_registered: Option<bool>,
    /// Registered methods, in Microsoft's words.
    mfa_methods: Vec<String>,
    is_admin: Option<bool>,
    account_created_at: Option<String>,
    last_password_change_at: Option<String>,
    /// When a sync first saw the user.
    first_seen_at: String,
}

impl From<UserWithMfa> for View {
    fn from(row: UserWithMfa) -> Self {
        let u = row.user;
        Self {
            id: u.id,
            mapping_id: u.mapping_id.0,
            display_name: u.display_name,
            user_principal_name: u.user_principal_name,
            mail: u.mail,
            given_name: u.given_name,
            surname: u.surname,
            job_title: u.job_title,
            department: u.department,
            office_location: u.office_location,
            company_name: u.company_name,
            employee_id: u.employee_id,
            employee_type: u.employee_type,
            usage_location: u.usage_location,
            user_type: u.user_type,
            account_enabled: u.account_enabled,
            on_premises_sync_enabled: u.on_premises_sync_enabled,
            licensed: u.licensed,
            licences: u.licences.and_then(|json| serde_json::from_str(&json).ok()),
            mfa_registered: row.mfa_registered,
            mfa_methods: row.methods,
            is_admin: row.is_admin,
            account_created_at: u.account_created_at.map(Timestamp::rfc3339),
            last_password_change_at: u.last_password_change_at.map(Timestamp::rfc3339),
            first_seen_at: u.first_seen_at.rfc3339(),
        }
    }
}

#[derive(Debug, Deserialize)]
struct Search {
    #[serde(default)]
    search: String,
}

/// Users of a company, by name
#[utoipa::path(get, path = "/api/v1/companies/{id}/users", params(("id" = Uuid, Path), Paging,
    ("search" = Option<String>, Query, description = "Part of name, principal name, mail, department or job title")),
    responses((status = 200, body = List<View>), (status = 400, body = Problem),
        (status = 401, body = Problem), (status = 404, body = Problem)))]
pub(crate) async fn list(
    request: HttpRequest,
    principal: Signed,
    id: web::Path<CompanyId>,
) -> Answer {
    let paging: Paging = query(&request)?;
    let search: Search = query(&request)?;
    company::get(&principal.scope, *id)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    let filter = UserFilter {
        search: search.search,
        ..UserFilter::default()
    };
    let found = directory::users(
        &principal.scope,
        *id,
        &filter,
        UserSort::Name,
        false,
        paging.window()?,
    )
    .await?;
    paging.page(found, View::from)
}
