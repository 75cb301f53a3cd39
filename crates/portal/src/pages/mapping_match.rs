//! Map existing companies to Azure AD companies: two searchable lists, `+` adds the pair to the
//! list below, Finish saves the list. The list travels in the form, so it works without script.

use std::collections::HashMap;

use actix_web::{HttpRequest, http::StatusCode, web};
use askama::Template;
use model::{
    Company, CompanyId, CredentialId, Tenant, TenantId, Window, company,
    credential::Credential,
    mapping::{self, Choice, Pair, Suggestion},
    tenant,
};
use serde::Deserialize;

use super::mappings::{choose as choose_credential, saved, wizard_frame};
use crate::{
    Portal,
    guard::Signed,
    problem::PageProblem,
    view::{Answer, Page, filters, html, html_status, see_other},
};

#[derive(Template)]
#[template(path = "mappings/match.html")]
struct Match {
    page: Page,
    credential: Credential,
    companies: Vec<Company>,
    tenants: Vec<Tenant>,
    pairs: Vec<(Company, Tenant, String)>,
    suggestions: Vec<(Company, Tenant, &'static str)>,
    company_text: String,
    tenant_text: String,
    errors: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ListQuery {
    credential: Option<CredentialId>,
}

/// What the page is made of, read anew each time.
struct Known {
    companies: Vec<Company>,
    tenants: Vec<Tenant>,
    suggestions: HashMap<TenantId, Suggestion>,
}

async fn known(principal: &Signed, credential: CredentialId) -> Result<Known, PageProblem> {
    let scope = &principal.scope;
    let companies = company::list(
        scope,
        "",
        Window {
            offset: 0,
            limit: 100_000,
        },
    )
    .await?
    .rows;
    let tenants = tenant::unmapped(scope, credential).await?;
    let suggestions = mapping::suggest(scope, &tenants).await?;
    Ok(Known {
        companies,
        tenants,
        suggestions,
    })
}

/// A label that stands for one row, also where names are equal.
fn company_label(company: &Company) -> String {
    if company.external_id.is_empty() {
        company.name.clone()
    } else {
        format!("{} ({})", company.name, company.external_id)
    }
}

fn tenant_label(tenant: &Tenant) -> String {
    format!("{} ({})", tenant.display_name, tenant.default_domain)
}

type Chosen = Vec<(CompanyId, TenantId)>;

fn page_of(
    page: Page,
    credential: Credential,
    known: Known,
    chosen: &Chosen,
    texts: (String, String),
    errors: Vec<String>,
) -> Match {
    let company = |id: CompanyId| known.companies.iter().find(|c| c.id == id).cloned();
    let tenant = |id: TenantId| known.tenants.iter().find(|t| t.id == id).cloned();
    let pairs: Vec<(Company, Tenant, String)> = chosen
        .iter()
        .filter_map(|(c, t)| {
            let why = match known.suggestions.get(t) {
                Some(s) if s.company == *c => s.matched_by,
                _ => "chosen",
            };
            Some((company(*c)?, tenant(*t)?, why.to_owned()))
        })
        .collect();
    let taken: Vec<TenantId> = chosen.iter().map(|(_, t)| *t).collect();
    let mut suggestions: Vec<(Company, Tenant, &'static str)> = known
        .suggestions
        .iter()
        .filter(|(t, _)| !taken.contains(t))
        .filter_map(|(t, s)| Some((company(s.company)?, tenant(*t)?, s.matched_by)))
        .collect();
    suggestions.sort_by_key(|s| (s.2, s.0.name.to_lowercase()));
    Match {
        page,
        credential,
        companies: known.companies,
        tenants: known
            .tenants
            .into_iter()
            .filter(|t| !taken.contains(&t.id))
            .collect(),
        pairs,
        suggestions,
        company_text: texts.0,
        tenant_text: texts.1,
        errors,
    }
}

pub(crate) async fn show(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    list: web::Query<ListQuery>,
) -> Answer {
    let (_, chosen) = choose_credential(&principal, list.credential).await?;
    let credential = chosen.ok_or(PageProblem::NotFound)?;
    let page = wizard_frame(&request, &portal, &principal, "Map existing companies").await?;
    let known = known(&principal, credential.id).await?;
    let none = (String::new(), String::new());
    html(&page_of(page, credential, known, &vec![], none, vec![]))
}

/// `add`, `remove.N`, `accept.N` change the list; `finish` saves it.
pub(crate) async fn save(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    fields: web::Form<Vec<(String, String)>>,
) -> Answer {
    let value = |name: &str| {
        fields
            .iter()
            .rev()
            .find(|(n, _)| n == name)
            .map_or("", |(_, v)| v.trim())
    };
    let credential: Option<CredentialId> = value("credential").parse().ok();
    let (_, credential) = choose_credential(&principal, credential).await?;
    let credential = credential.ok_or(PageProblem::NotFound)?;
    let known = known(&principal, credential.id).await?;
    let mut chosen: Chosen = fields
        .iter()
        .filter(|(name, _)| name == "pair")
        .filter_map(|(_, pair)| {
            let (company, tenant) = pair.split_once(' ')?;
            Some((company.parse().ok()?, tenant.parse().ok()?))
        })
        .collect();
    let action = value("action");
    let mut texts = (value("company").to_owned(), value("tenant").to_owned());
    let mut errors = Vec::new();
    let nothing_typed = texts.0.is_empty() && texts.1.is_empty();
    // Enter in a field submits the form without a button, and a pair that was typed but not added
    // is meant to be saved.
    if action == "add" || (!nothing_typed && (action == "finish" || action.is_empty())) {
        match find(&known, &chosen, &texts) {
            Ok(pair) => {
                chosen.push(pair);
                texts = (String::new(), String::new());
            }
            Err(found) => errors = found,
        }
    } else if let Some(index) = action.strip_prefix("remove.").and_then(|n| n.parse().ok()) {
        let index: usize = index;
        if index < chosen.len() {
            chosen.remove(index);
        }
    } else if let Some(pair) = action.strip_prefix("accept.") {
        let pair = pair
            .split_once(' ')
            .and_then(|(c, t)| Some((c.parse().ok()?, t.parse().ok()?)));
        chosen.extend(pair);
    }
    let finish = action == "finish" && errors.is_empty();
    if finish && chosen.is_empty() {
        errors.push("Add at least one pair before you finish.".into());
    }
    if finish && errors.is_empty() {
        let pairs: Vec<Pair> = chosen
            .iter()
            .map(|(c, t)| Pair {
                tenant: *t,
                choice: Choice::MapTo(*c),
            })
            .collect();
        match mapping::create(&principal.scope, credential.id, &pairs).await {
            Ok(made) => return Ok(see_other(&saved(credential.id, made.len()))),
            Err(model::Error::Invalid(found)) => {
                errors = found.into_iter().map(|e| e.message).collect();
            }
            Err(other) => return Err(other.into()),
        }
    }
    let page = wizard_frame(&request, &portal, &principal, "Map existing companies").await?;
    let status = if errors.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::UNPROCESSABLE_ENTITY
    };
    html_status(
        status,
        &page_of(page, credential, known, &chosen, texts, errors),
    )
}

/// The pair that the two texts name, or what is wrong with each.
fn find(
    known: &Known,
    chosen: &Chosen,
    (company, tenant): &(String, String),
) -> Result<(CompanyId, TenantId), Vec<String>> {
    let mut errors = Vec::new();
    let same = |a: &str, b: &str| a.to_lowercase() == b.to_lowercase();
    let companies: Vec<&Company> = known
        .companies
        .iter()
        .filter(|c| {
            same(&company_label(c), company)
                || same(&c.name, company)
                || c.id.to_string() == *company
        })
        .collect();
    let tenants: Vec<&Tenant> = known
        .tenants
        .iter()
        .filter(|t| {
            same(&tenant_label(t), tenant)
                || same(&t.display_name, tenant)
                || same(&t.default_domain, tenant)
                || t.directory_id.to_string() == tenant.to_lowercase()
        })
        .collect();
    match companies.as_slice() {
        [_] => {}
        [] if company.is_empty() => errors.push("Choose a company.".into()),
        [] => errors.push(format!(
            "There is no company \"{company}\". Choose one of the list."
        )),
        _ => errors.push(format!(
            "Several companies are named \"{company}\". Give them external ids to tell them apart."
        )),
    }
    match tenants.as_slice() {
        [t] if chosen.iter().any(|(_, other)| *other == t.id) => {
            errors.push(format!("{} is in the list already.", t.display_name));
        }
        [_] => {}
        [] if tenant.is_empty() => errors.push("Choose an Azure AD company.".into()),
        [] => errors.push(format!(
            "There is no unmapped Azure AD company \"{tenant}\". Choose one of the list."
        )),
        _ => errors.push(format!(
            "Several Azure AD companies fit \"{tenant}\". Enter the tenant ID."
        )),
    }
    match (companies.as_slice(), tenants.as_slice()) {
        ([company], [tenant]) if errors.is_empty() => Ok((company.id, tenant.id)),
        _ => Err(errors),
    }
}
