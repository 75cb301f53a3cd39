//! Import companies from Azure AD: choose tenants, name them and resolve clashes, save at once.

use actix_web::{HttpRequest, http::StatusCode, web};
use askama::Template;
use model::{
    Company, CredentialId, FieldError, Tenant, TenantId, company,
    credential::Credential,
    mapping::{self, Choice, Pair},
    tenant,
};
use serde::Deserialize;

use super::mappings::{MAPPINGS, choose as choose_credential, saved, wizard_frame};
use crate::{
    Portal,
    guard::Signed,
    problem::PageProblem,
    view::{Answer, Page, filters, html, html_status, query, see_other},
};

#[derive(Template)]
#[template(path = "mappings/import.html")]
struct ChooseTenants {
    page: Page,
    credential: Credential,
    rows: Vec<Tenant>,
    total: usize,
    list: ListQuery,
    error: Option<&'static str>,
}

impl ChooseTenants {
    fn is_ticked(&self, id: &TenantId) -> bool {
        self.list.tenant == Some(*id)
    }

    fn sort_link(&self, column: &str) -> String {
        let turned = if self.list.sort == column {
            format!("-{column}")
        } else {
            column.to_owned()
        };
        let id = self.credential.id.to_string();
        let pairs = [
            ("credential", id.as_str()),
            ("q", &self.list.q),
            ("sort", &turned),
        ];
        // Also on the answer to a form, whose own address is another.
        format!("{MAPPINGS}/import{}", query(&pairs))
    }

    fn aria_sort(&self, column: &str) -> &'static str {
        let current = self.list.sort.as_str();
        if current == column || (current.is_empty() && column == "name") {
            "ascending"
        } else if current.strip_prefix('-') == Some(column) {
            "descending"
        } else {
            "none"
        }
    }
}

#[derive(Template)]
#[template(path = "mappings/review.html")]
struct Review {
    page: Page,
    credential: Credential,
    rows: Vec<ReviewRow>,
    errors: Vec<FieldError>,
}

struct ReviewRow {
    tenant: Tenant,
    name: String,
    clashes: Vec<Company>,
    choice: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ListQuery {
    credential: Option<CredentialId>,
    /// Ticked from the start.
    tenant: Option<TenantId>,
    #[serde(default)]
    q: String,
    #[serde(default)]
    sort: String,
}

fn matches(tenant: &Tenant, wanted: &str) -> bool {
    wanted.is_empty()
        || tenant.display_name.to_lowercase().contains(wanted)
        || tenant.default_domain.to_lowercase().contains(wanted)
        || tenant.directory_id.to_string().contains(wanted)
}

async fn choose_page(
    request: &HttpRequest,
    portal: &Portal,
    principal: &Signed,
    list: ListQuery,
    error: Option<&'static str>,
) -> Result<ChooseTenants, PageProblem> {
    let (_, chosen) = choose_credential(principal, list.credential).await?;
    let credential = chosen.ok_or(PageProblem::NotFound)?;
    let page = wizard_frame(request, portal, principal, "Import companies from Azure AD").await?;
    let all = tenant::unmapped(&principal.scope, credential.id).await?;
    let total = all.len();
    let wanted = list.q.trim().to_lowercase();
    let mut rows: Vec<Tenant> = all.into_iter().filter(|t| matches(t, &wanted)).collect();
    match list.sort.trim_start_matches('-') {
        "domain" => rows.sort_by_key(|t| t.default_domain.to_lowercase()),
        _ => rows.sort_by_key(|t| t.display_name.to_lowercase()),
    }
    if list.sort.starts_with('-') {
        rows.reverse();
    }
    Ok(ChooseTenants {
        page,
        credential,
        rows,
        total,
        list,
        error,
    })
}

pub(crate) async fn choose(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    list: web::Query<ListQuery>,
) -> Answer {
    let list = list.into_inner();
    html(&choose_page(&request, &portal, &principal, list, None).await?)
}

/// A form whose fields may repeat, in order.
type Fields = web::Form<Vec<(String, String)>>;

fn field<'a>(fields: &'a [(String, String)], name: &str) -> &'a str {
    fields
        .iter()
        .rev()
        .find(|(n, _)| n == name)
        .map_or("", |(_, value)| value)
}

/// The second step: every chosen tenant with an editable name and, where names clash, a choice.
pub(crate) async fn review(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    fields: Fields,
) -> Answer {
    let credential: Option<CredentialId> = field(&fields, "credential").parse().ok();
    let (_, chosen) = choose_credential(&principal, credential).await?;
    let credential = chosen.ok_or(PageProblem::NotFound)?;
    let unmapped = tenant::unmapped(&principal.scope, credential.id).await?;
    // "Select all that match" posts the filter, not thousands of ids.
    let all_matching = !field(&fields, "all_matching").is_empty();
    let wanted = field(&fields, "q").trim().to_lowercase();
    let picked: Vec<TenantId> = fields
        .iter()
        .filter(|(name, _)| name == "tenant")
        .filter_map(|(_, id)| id.parse().ok())
        .collect();
    let tenants: Vec<Tenant> = unmapped
        .into_iter()
        .filter(|t| {
            if all_matching {
                matches(t, &wanted)
            } else {
                picked.contains(&t.id)
            }
        })
        .collect();
    if tenants.is_empty() {
        let list = ListQuery {
            tenant: None,
            credential: Some(credential.id),
            q: field(&fields, "q").to_owned(),
            sort: String::new(),
        };
        let error = Some("Select at least one company to import.");
        let page = choose_page(&request, &portal, &principal, list, error).await?;
        return html_status(StatusCode::UNPROCESSABLE_ENTITY, &page);
    }
    let page = wizard_frame(&request, &portal, &principal, "Review import").await?;
    let mut rows = Vec::new();
    for tenant in tenants {
        let clashes = company::same_name(&principal.scope, &tenant.display_name).await?;
        rows.push(ReviewRow {
            name: tenant.display_name.clone(),
            // A clash must be resolved by a person; nothing is chosen for them.
            choice: if clashes.is_empty() {
                "create".into()
            } else {
                String::new()
            },
            clashes,
            tenant,
        });
    }
    html(&Review {
        page,
        credential,
        rows,
        errors: vec![],
    })
}

/// Saves all of them in one transaction, or says which failed and why.
pub(crate) async fn save(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    fields: Fields,
) -> Answer {
    let credential: Option<CredentialId> = field(&fields, "credential").parse().ok();
    let (_, chosen) = choose_credential(&principal, credential).await?;
    let credential = chosen.ok_or(PageProblem::NotFound)?;
    let known = tenant::list(&principal.scope, Some(credential.id)).await?;
    let mut rows = Vec::new();
    let mut pairs = Vec::new();
    let mut errors = Vec::new();
    for (_, id) in fields.iter().filter(|(name, _)| name == "tenant") {
        let Some(tenant) = known.iter().find(|t| t.id.to_string() == *id).cloned() else {
            return Err(PageProblem::NotFound);
        };
        let name = field(&fields, &format!("name.{id}")).trim().to_owned();
        let choice = field(&fields, &format!("choice.{id}")).to_owned();
        let clashes = company::same_name(&principal.scope, &name).await?;
        match choice.as_str() {
            "skip" => pairs.push(Pair {
                tenant: tenant.id,
                choice: Choice::Skip,
            }),
            "create" if name.is_empty() => errors.push(problem(format!(
                "{}: enter a name for the company.",
                tenant.display_name
            ))),
            "create" => {
                let choice = Choice::Create(name.clone());
                pairs.push(Pair {
                    tenant: tenant.id,
                    choice,
                });
            }
            other => match other.strip_prefix("map.").and_then(|id| id.parse().ok()) {
                Some(company) => {
                    pairs.push(Pair {
                        tenant: tenant.id,
                        choice: Choice::MapTo(company),
                    });
                }
                None => errors.push(problem(format!(
                    "{}: a company of this name exists. Choose what to do.",
                    tenant.display_name
                ))),
            },
        }
        rows.push(ReviewRow {
            tenant,
            name,
            clashes,
            choice,
        });
    }
    let made = if errors.is_empty() {
        mapping::create(&principal.scope, credential.id, &pairs).await
    } else {
        Err(model::Error::Invalid(errors))
    };
    match made {
        Ok(made) => Ok(see_other(&saved(credential.id, made.len()))),
        Err(model::Error::Invalid(errors)) => {
            let page = wizard_frame(&request, &portal, &principal, "Review import").await?;
            let review = Review {
                page,
                credential,
                rows,
                errors,
            };
            html_status(StatusCode::UNPROCESSABLE_ENTITY, &review)
        }
        Err(other) => Err(other.into()),
    }
}

fn problem(message: String) -> FieldError {
    FieldError {
        field: "mappings",
        message,
    }
}
