//! Monthly reports.

use actix_web::{HttpResponse, web};
use model::CompanyId;

use super::{Answer, ApiProblem, Problem};
use crate::{guard::Signed, pages::reports::make_pdf};

/// The report of a month (PDF)
#[utoipa::path(get, path = "/api/v1/companies/{id}/reports/{month}", params(("id" = Uuid, Path),
    ("month" = String, Path, pattern = "^[0-9]{4}-[0-9]{2}$", description = "Such as 2026-11")), responses(
    (status = 200, body = Vec<u8>, content_type = "application/pdf"), (status = 401, body = Problem),
    (status = 404, body = Problem)))]
pub(crate) async fn get(principal: Signed, ids: web::Path<(CompanyId, String)>) -> Answer {
    let (company, month) = ids.into_inner();
    let bytes = make_pdf(&principal.scope, company, &month)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    Ok(HttpResponse::Ok()
        .content_type("application/pdf")
        .body(bytes))
}
