//! Companies.

use actix_web::{HttpRequest, HttpResponse, web};
use model::{
    Company, CompanyId,
    company::{self, Draft},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Answer, List, Paging, query};
use crate::{
    guard::Signed,
    problem::{ApiProblem, Problem},
};

/// A customer of the partner.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Company)]
pub(crate) struct View {
    id: Uuid,
    name: String,
    /// Mail domain, by which mappings are suggested.
    domain: String,
    /// Id in the partner's PSA.
    external_id: String,
    created_at: String,
}

impl From<Company> for View {
    fn from(c: Company) -> Self {
        Self {
            id: c.id.0,
            name: c.name,
            domain: c.domain,
            external_id: c.external_id,
            created_at: c.created_at.rfc3339(),
        }
    }
}

/// A company to make.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewCompany)]
#[serde(deny_unknown_fields)]
pub(crate) struct New {
    name: String,
    #[serde(default)]
    domain: String,
    #[serde(default)]
    external_id: String,
    /// Make it although another company has the same name.
    #[serde(default)]
    allow_same_name: bool,
}

/// What to change; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = CompanyChange)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    name: Option<String>,
    domain: Option<String>,
    external_id: Option<String>,
    #[serde(default)]
    allow_same_name: bool,
}

#[derive(Debug, Deserialize)]
struct Search {
    #[serde(default)]
    search: String,
}

/// Companies
#[utoipa::path(get, path = "/api/v1/companies", params(Paging,
    ("search" = Option<String>, Query, description = "Part of name, domain or external id")), responses(
    (status = 200, body = List<View>), (status = 400, body = Problem), (status = 401, body = Problem)))]
pub(crate) async fn list(request: HttpRequest, principal: Signed) -> Answer {
    let paging: Paging = query(&request)?;
    let search: Search = query(&request)?;
    let found = company::list(&principal.scope, &search.search, paging.window()?).await?;
    paging.page(found, View::from)
}

/// Make a company
#[utoipa::path(post, path = "/api/v1/companies", request_body = New, responses(
    (status = 201, body = View), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn create(principal: Signed, new: web::Json<New>) -> Answer {
    let new = new.into_inner();
    let draft = Draft {
        name: new.name,
        domain: new.domain,
        external_id: new.external_id,
    };
    let made = company::create(&principal.scope, &draft, new.allow_same_name).await?;
    Ok(HttpResponse::Created()
        .insert_header(("location", format!("/api/v1/companies/{}", made.id)))
        .json(View::from(made)))
}

/// One company
#[utoipa::path(get, path = "/api/v1/companies/{id}", params(("id" = Uuid, Path)), responses(
    (status = 200, body = View), (status = 401, body = Problem), (status = 404, body = Problem)))]
pub(crate) async fn get(principal: Signed, id: web::Path<CompanyId>) -> Answer {
    let found = company::get(&principal.scope, *id)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    Ok(HttpResponse::Ok().json(View::from(found)))
}

/// Change a company
#[utoipa::path(patch, path = "/api/v1/companies/{id}", params(("id" = Uuid, Path)), request_body = Change, responses(
    (status = 200, body = View), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn update(
    principal: Signed,
    id: web::Path<CompanyId>,
    change: web::Json<Change>,
) -> Answer {
    let found = company::get(&principal.scope, *id)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    let change = change.into_inner();
    let draft = Draft {
        name: change.name.unwrap_or(found.name),
        domain: change.domain.unwrap_or(found.domain),
        external_id: change.external_id.unwrap_or(found.external_id),
    };
    let saved = company::edit(&principal.scope, *id, &draft, change.allow_same_name)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    Ok(HttpResponse::Ok().json(View::from(saved)))
}

/// Archive a company
///
/// Its mappings end and it is not listed any more; what was synced stays.
#[utoipa::path(delete, path = "/api/v1/companies/{id}", params(("id" = Uuid, Path)), responses(
    (status = 204), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(crate) async fn delete(principal: Signed, id: web::Path<CompanyId>) -> Answer {
    match company::archive(&principal.scope, *id).await? {
        true => Ok(HttpResponse::NoContent().finish()),
        false => Err(ApiProblem::NotFound),
    }
}

/// A CSV to import.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = CompanyImport)]
#[serde(deny_unknown_fields)]
pub(crate) struct Import {
    /// With a header: name, domain, external id.
    csv: String,
    /// Only says what would become of each line.
    #[serde(default)]
    dry_run: bool,
}

/// What became of a line.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ImportedLine)]
pub(crate) struct LineView {
    line: u64,
    name: String,
    /// `create`, `update`, `unchanged` or `refused`.
    fate: &'static str,
    company_id: Option<Uuid>,
    reason: Option<String>,
}

/// Import companies
#[utoipa::path(post, path = "/api/v1/company-imports", request_body = Import, responses(
    (status = 200, body = Vec<LineView>), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn import(principal: Signed, import: web::Json<Import>) -> Answer {
    let read =
        report::csv::companies(&import.csv).map_err(|why| model::Error::field("csv", why))?;
    let drafts: Vec<_> = read.iter().map(|(_, draft)| draft.clone()).collect();
    let fates = company::import(&principal.scope, &drafts, import.dry_run).await?;
    let lines: Vec<LineView> = read
        .into_iter()
        .zip(fates)
        .map(|((line, draft), fate)| {
            let (word, company_id, reason) = match fate {
                company::Fate::Create => ("create", None, None),
                company::Fate::Update(id) => ("update", Some(id.0), None),
                company::Fate::Unchanged(id) => ("unchanged", Some(id.0), None),
                company::Fate::Refused(why) => ("refused", None, Some(why)),
            };
            LineView {
                line,
                name: draft.name,
                fate: word,
                company_id,
                reason,
            }
        })
        .collect();
    Ok(HttpResponse::Ok().json(lines))
}
