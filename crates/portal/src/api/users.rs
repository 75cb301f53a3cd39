//! Users of a company.

use actix_web::{HttpRequest, HttpResponse, web};
use model::{
    CompanyId, RunKind, Timestamp, company,
    directory::{self, MfaFilter, UserFilter, UserSort, UserType, UserWithMfa},
    inventory::{Object, Snapshot, UserRow},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{Answer, List, Paging, objects, query};
use crate::{
    guard::Signed,
    ndjson,
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

/// Which users, and in which order: as the portal's table has it.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// Part of name, principal name, mail, department or job title
    #[serde(default)]
    search: String,
    /// `member` or `guest`.
    #[serde(default, rename = "type")]
    #[param(pattern = "^(|member|guest)$")]
    user_type: String,
    /// Whether the account is enabled.
    account_enabled: Option<bool>,
    /// Whether the user has any licence.
    licensed: Option<bool>,
    /// `registered`, `missing` or `unknown`.
    #[serde(default)]
    #[param(pattern = "^(|registered|missing|unknown)$")]
    mfa: String,
    /// `display_name`, `user_principal_name`, `department` or `account_created_at`; with a minus before it,
    /// largest first.
    #[serde(default)]
    #[param(pattern = "^(|-?(display_name|user_principal_name|department|account_created_at))$")]
    sort: String,
}

impl Wanted {
    fn filter(&self) -> Result<UserFilter, ApiProblem> {
        let wrong = |text: &str| Err(ApiProblem::BadRequest(text.into()));
        Ok(UserFilter {
            search: self.search.clone(),
            user_type: match self.user_type.as_str() {
                "" => None,
                "member" => Some(UserType::Member),
                "guest" => Some(UserType::Guest),
                _ => return wrong("type: give member or guest."),
            },
            enabled: self.account_enabled,
            licensed: self.licensed,
            mfa: match self.mfa.as_str() {
                "" => None,
                "registered" => Some(MfaFilter::Registered),
                "missing" => Some(MfaFilter::NotRegistered),
                "unknown" => Some(MfaFilter::Unknown),
                _ => return wrong("mfa: give registered, missing or unknown."),
            },
        })
    }

    fn sort(&self) -> Result<(UserSort, bool), ApiProblem> {
        let sort = match self.sort.trim_start_matches('-') {
            "" | "display_name" => UserSort::Name,
            "user_principal_name" => UserSort::PrincipalName,
            "department" => UserSort::Department,
            "account_created_at" => UserSort::Created,
            _ => {
                return Err(ApiProblem::BadRequest(
                    "sort: give display_name, user_principal_name, department or account_created_at."
                        .into(),
                ));
            }
        };
        Ok((sort, self.sort.starts_with('-')))
    }
}

/// Users of a company
///
/// All pages are of one snapshot. With `Accept: application/x-ndjson` all users are answered, one a line.
#[utoipa::path(get, path = "/api/v1/companies/{id}/users", params(("id" = Uuid, Path), Paging, Wanted),
    responses((status = 200, content((List<View> = "application/json"), (String = "application/x-ndjson"))),
        (status = 400, body = Problem), (status = 401, body = Problem), (status = 404, body = Problem),
        (status = 409, body = Problem)))]
pub(crate) async fn list(
    request: HttpRequest,
    principal: Signed,
    id: web::Path<CompanyId>,
) -> Answer {
    let paging: Paging = query(&request)?;
    let wanted: Wanted = query(&request)?;
    let (filter, (sort, descending)) = (wanted.filter()?, wanted.sort()?);
    company::get(&principal.scope, *id)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    let mut seen = directory::Seen::of(&principal.scope, *id).await?;
    paging.pin(|pins| seen.pin(pins))?;
    if ndjson::is_wanted(&request) {
        let read = move |window| {
            let (principal, seen, filter) = (principal.clone(), seen.clone(), filter.clone());
            async move {
                let scope = &principal.scope;
                directory::users_of(scope, &seen, &filter, sort, descending, window).await
            }
        };
        return Ok(ndjson::rows(read, View::from));
    }
    let (scope, window) = (&principal.scope, paging.window()?);
    let found = directory::users_of(scope, &seen, &filter, sort, descending, window).await?;
    paging.pinned(found, &seen.generations(), View::from)
}

/// A user with everything that is known of one.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UserDetail)]
pub(crate) struct Detail {
    #[serde(flatten)]
    user: View,
    last_sign_in_at: Option<String>,
    /// When a sync saw that it was gone.
    gone_at: Option<String>,
    /// Groups that the user is a direct member of.
    groups: Vec<Membership>,
    /// What syncs saw happen, newest first.
    #[schema(value_type = Vec<Object>)]
    history: Vec<Value>,
}

/// A group that somebody is in.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Membership)]
pub(crate) struct Membership {
    id: String,
    display_name: String,
}

/// One user with groups and history, also one that is gone
#[utoipa::path(get, path = "/api/v1/companies/{id}/users/{user_id}",
    params(("id" = Uuid, Path), ("user_id" = String, Path)), responses((status = 200, body = Detail),
        (status = 401, body = Problem), (status = 404, body = Problem)))]
pub(crate) async fn get(principal: Signed, path: web::Path<(CompanyId, String)>) -> Answer {
    let (id, object) = path.into_inner();
    let scope = &principal.scope;
    let user = directory::user(scope, id, &object)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    let snapshot = Snapshot::of_company(scope, id, RunKind::Directory).await?;
    let groups = directory::groups_of(scope, user.user.mapping_id, &user.user.id).await?;
    let detail = Detail {
        last_sign_in_at: user.last_sign_in_at.map(Timestamp::rfc3339),
        gone_at: user.gone_at.map(Timestamp::rfc3339),
        groups: groups
            .into_iter()
            .map(|group| Membership {
                id: group.id,
                display_name: group.display_name,
            })
            .collect(),
        history: objects::history(scope, id, UserRow::TABLE, &snapshot, &object).await?,
        user: user.into(),
    };
    Ok(HttpResponse::Ok().json(detail))
}
