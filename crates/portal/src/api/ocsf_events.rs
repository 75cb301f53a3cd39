//! What was synced, as events of the Open Cybersecurity Schema Framework.

use actix_web::HttpRequest;
use model::{CompanyId, company, extract};
use report::ocsf::{Class, Export, Form, Style, Version};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Answer, ApiProblem, Problem, query};
use crate::{guard::Signed, ndjson};

/// Which events, and how they are written.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// One class, by its name or number: `user_inventory` (5003), `inventory_info` (5001),
    /// `compliance_finding` (2003) or `detection_finding` (2004). All of them unless told.
    #[param(
        pattern = "^(|user_inventory|inventory_info|compliance_finding|detection_finding|5003|5001|2003|2004)$"
    )]
    #[serde(default)]
    pub(crate) class: Option<String>,
    /// One company; all that the token may see unless told.
    #[serde(default)]
    #[param(format = Uuid)]
    pub(crate) company_id: Option<String>,
    /// `1.6.0`, unless told, or `1.8.0`.
    #[param(pattern = r"^(|1\.6\.0|1\.8\.0)$")]
    #[serde(default)]
    pub(crate) schema_version: Option<String>,
    /// `schema`, unless told, or `asset-connector`: users as other asset connectors write them.
    #[param(pattern = "^(|schema|asset-connector)$")]
    #[serde(default)]
    pub(crate) form: Option<String>,
}

impl Wanted {
    pub(crate) fn classes(&self) -> Result<Vec<Class>, ApiProblem> {
        match said(self.class.as_ref()) {
            None => Ok(Class::ALL.to_vec()),
            Some(text) => Ok(vec![Class::of(text).ok_or_else(|| {
                let known: Vec<&str> = Class::ALL.iter().map(|class| class.word()).collect();
                ApiProblem::BadRequest(format!("class: give one of {}.", known.join(", ")))
            })?]),
        }
    }

    pub(crate) fn style(&self) -> Result<Style, ApiProblem> {
        let version = match said(self.schema_version.as_ref()) {
            None => Version::default(),
            Some(text) => Version::of(text).ok_or_else(|| {
                ApiProblem::BadRequest("schema_version: give 1.6.0 or 1.8.0.".into())
            })?,
        };
        let form = match said(self.form.as_ref()) {
            None => Form::default(),
            Some(text) => Form::of(text).ok_or_else(|| {
                ApiProblem::BadRequest("form: give schema or asset-connector.".into())
            })?,
        };
        Ok(Style { version, form })
    }
}

fn said(text: Option<&String>) -> Option<&str> {
    text.map(String::as_str).filter(|text| !text.is_empty())
}

/// Events of everything that was synced, one JSON object a line
///
/// All events of a tenant are of one snapshot. Sent again after another sync, an event has another
/// `metadata.uid`.
#[utoipa::path(get, path = "/api/v1/ocsf-events", params(Wanted), responses(
    (status = 200, content_type = "application/x-ndjson", body = String,
        description = "An event of OCSF on each line"),
    (status = 400, body = Problem), (status = 401, body = Problem), (status = 404, body = Problem)))]
pub(crate) async fn list(request: HttpRequest, principal: Signed) -> Answer {
    let wanted: Wanted = query(&request)?;
    let (classes, style) = (wanted.classes()?, wanted.style()?);
    let scope = &principal.scope;
    let company = match &wanted.company_id {
        None => None,
        Some(text) => {
            let id: CompanyId = text
                .parse()
                .map_err(|_| ApiProblem::BadRequest("company_id: give a UUID.".into()))?;
            company::get(scope, id).await?.ok_or(ApiProblem::NotFound)?;
            Some(id)
        }
    };
    let extracts = extract::of(scope, company).await?;
    Ok(ndjson::events(Export::new(extracts, classes, style)))
}
