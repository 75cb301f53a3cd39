//! Members of the organisation and invitations to it.

use actix_web::{HttpRequest, http::StatusCode, web};
use askama::Template;
use model::{
    Company, CompanyId, FieldError, InvitationId, InvitationRow, MemberId, Role, Window, company,
    invitation, member, member::Colleague,
};
use serde::Deserialize;

use super::error_of;
use crate::{
    Portal, csv_file,
    guard::Signed,
    problem::PageProblem,
    upload::Fields,
    view::{Answer, Page, filters, html, html_status, see_other},
};

#[derive(Template)]
#[template(path = "members/index.html")]
struct Index {
    page: Page,
    members: Vec<Colleague>,
    invitations: Vec<InvitationRow>,
    own: MemberId,
    can_change: bool,
    requires_factor: bool,
    done: &'static str,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ShowQuery {
    #[serde(default)]
    done: String,
}

pub(crate) async fn index(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    query: web::Query<ShowQuery>,
) -> Answer {
    let scope = &principal.scope;
    html(&Index {
        page: Page::new(&request, &portal, &principal, "Members", "members").await?,
        members: member::colleagues(scope).await?,
        invitations: invitation::list(scope).await?,
        own: principal.member.id,
        can_change: scope.role() == Role::Owner,
        requires_factor: model::partner::requires_factor(&portal.db, scope.partner()).await?,
        done: match query.done.as_str() {
            "changed" => "The member is changed. Their sessions here have ended.",
            "removed" => {
                "The membership has ended, and with it their sessions and API tokens here."
            }
            "withdrawn" => "The invitation is withdrawn; its link does not count any more.",
            _ => "",
        },
    })
}

/// The members, as a file.
pub(crate) async fn csv(principal: Signed) -> Answer {
    let rows = member::colleagues(&principal.scope).await?;
    Ok(csv_file::whole(&report::csv::COLLEAGUES, "", &rows))
}

#[derive(Template)]
#[template(path = "members/form.html")]
struct Edit {
    page: Page,
    /// The member who is changed, or nobody for an invitation.
    member: Option<Colleague>,
    email: String,
    role: Role,
    chosen: Option<Vec<CompanyId>>,
    companies: Vec<Company>,
    errors: Vec<FieldError>,
}

impl Edit {
    fn error(&self, field: &str) -> Option<&str> {
        error_of(&self.errors, field)
    }

    fn is_chosen(&self, id: &CompanyId) -> bool {
        self.chosen.as_ref().is_some_and(|ids| ids.contains(id))
    }

    fn has(&self, role: &Role) -> bool {
        self.role == *role
    }

    fn roles(&self) -> &'static [Role] {
        Role::ALL
    }
}

/// What a role may do.
pub(super) fn role_words(role: &Role) -> &'static str {
    match role {
        Role::Viewer => "Reads what was synced.",
        Role::Auditor => "Reads everything, and approves assessments; changes no configuration.",
        Role::Technician => "Also syncs, retries and cancels, and handles alerts.",
        Role::Admin => "Also credentials, consent, mappings and channels.",
        Role::Owner => "Also members, keys and deletion.",
    }
}

/// What the form says.
#[derive(Debug, Default)]
struct Typed {
    email: String,
    role: String,
    limited: bool,
    companies: Vec<CompanyId>,
}

fn typed(form: &Fields) -> Typed {
    let companies = form.all("company");
    Typed {
        email: form.get("email").to_owned(),
        role: form.get("role").to_owned(),
        limited: form.get("limited") == "yes",
        companies: companies.iter().filter_map(|id| id.parse().ok()).collect(),
    }
}

impl Typed {
    fn role(&self) -> Result<Role, FieldError> {
        self.role.parse().map_err(|_| FieldError {
            field: "role",
            message: "Choose a role.".into(),
        })
    }

    fn chosen(&self) -> Option<Vec<CompanyId>> {
        self.limited.then(|| self.companies.clone())
    }
}

async fn form(
    request: &HttpRequest,
    portal: &Portal,
    principal: &Signed,
    member: Option<Colleague>,
    again: Option<(Typed, Vec<FieldError>)>,
) -> Answer {
    let title = match &member {
        Some(member) => member.email.clone(),
        None => "Invite a member".to_owned(),
    };
    let all = Window {
        offset: 0,
        limit: 5000,
    };
    let companies = company::list(&principal.scope, "", all).await?.rows;
    let status = match again {
        None => StatusCode::OK,
        Some(_) => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let (email, role, chosen, errors) = match again {
        Some((typed, errors)) => {
            let chosen = typed.chosen();
            (
                typed.email,
                typed.role.parse().unwrap_or(Role::Viewer),
                chosen,
                errors,
            )
        }
        None => match &member {
            Some(m) => (m.email.clone(), m.role, m.companies.clone(), vec![]),
            None => (String::new(), Role::Technician, None, vec![]),
        },
    };
    let edit = Edit {
        page: Page::new(request, portal, principal, title, "members")
            .await?
            .under("Members", "/settings/members"),
        member,
        email,
        role,
        chosen,
        companies,
        errors,
    };
    html_status(status, &edit)
}

pub(crate) async fn new(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
) -> Answer {
    form(&request, &portal, &principal, None, None).await
}

#[derive(Template)]
#[template(path = "members/invited.html")]
struct Invited {
    page: Page,
    email: String,
    role: Role,
    url: String,
}

pub(crate) async fn create(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    body: Fields,
) -> Answer {
    let typed = typed(&body);
    let made = match typed.role() {
        Ok(role) => invitation::create(
            &principal.scope,
            &typed.email,
            role,
            typed.chosen().as_deref(),
        )
        .await
        .map(|token| (token, role)),
        Err(error) => Err(model::Error::Invalid(vec![error])),
    };
    let (token, role) = match made {
        Ok(made) => made,
        Err(model::Error::Invalid(errors)) => {
            return form(&request, &portal, &principal, None, Some((typed, errors))).await;
        }
        Err(other) => return Err(other.into()),
    };
    html(&Invited {
        page: Page::new(&request, &portal, &principal, "Invitation", "members")
            .await?
            .under("Members", "/settings/members"),
        email: typed.email,
        role,
        url: portal.url(&format!("/invitations/{token}")),
    })
}

pub(crate) async fn edit(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    id: web::Path<MemberId>,
) -> Answer {
    let found = member::colleague(&principal.scope, *id)
        .await?
        .ok_or(PageProblem::NotFound)?;
    form(&request, &portal, &principal, Some(found), None).await
}

pub(crate) async fn update(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    id: web::Path<MemberId>,
    body: Fields,
) -> Answer {
    let found = member::colleague(&principal.scope, *id)
        .await?
        .ok_or(PageProblem::NotFound)?;
    let typed = typed(&body);
    let changed = match typed.role() {
        Ok(role) => member::change(&principal.scope, *id, role, typed.chosen().as_deref()).await,
        Err(error) => Err(model::Error::Invalid(vec![error])),
    };
    let errors = match changed {
        Ok(Some(())) => return Ok(see_other("/settings/members?done=changed")),
        Ok(None) => return Err(PageProblem::NotFound),
        Err(model::Error::Invalid(errors)) => errors,
        Err(model::Error::Conflict(message)) => vec![FieldError {
            field: "role",
            message,
        }],
        Err(other) => return Err(other.into()),
    };
    form(
        &request,
        &portal,
        &principal,
        Some(found),
        Some((typed, errors)),
    )
    .await
}

pub(crate) async fn delete(principal: Signed, id: web::Path<MemberId>) -> Answer {
    member::remove(&principal.scope, *id)
        .await?
        .ok_or(PageProblem::NotFound)?;
    Ok(see_other("/settings/members?done=removed"))
}

pub(crate) async fn withdraw(principal: Signed, id: web::Path<InvitationId>) -> Answer {
    invitation::withdraw(&principal.scope, *id)
        .await?
        .ok_or(PageProblem::NotFound)?;
    Ok(see_other("/settings/members?done=withdrawn"))
}

#[derive(Debug, Deserialize)]
pub(crate) struct Requirement {
    #[serde(default)]
    is_required: String,
}

/// Whether everybody must have a second factor.
pub(crate) async fn require_factor(principal: Signed, form: web::Form<Requirement>) -> Answer {
    model::partner::require_factor(&principal.scope, form.is_required == "yes").await?;
    Ok(see_other("/settings/members"))
}
