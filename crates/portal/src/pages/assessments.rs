//! Assessments: begun, given evidence, approved by somebody else, and exported for an auditor.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use askama::Template;
use model::{
    Assessment, AssessmentId, CompanyId, EvidenceId, FieldError, Listing, Timestamp, Window,
    assessment::{self, Attached, Draft},
};
use report::controls::{self, Catalogue, Control};
use serde::Deserialize;

use super::{dashboard::all_company_names, error_of};
use crate::{
    Portal, assessment_archive, csv_file,
    guard::Signed,
    problem::PageProblem,
    view::{Answer, PAGE_SIZE, Page, Pager, day, filters, html, html_status, query, see_other},
};

#[derive(Debug, Default, Deserialize)]
pub(crate) struct ListQuery {
    #[serde(default)]
    company: String,
    #[serde(default)]
    page: u64,
}

#[derive(Template)]
#[template(path = "assessments/index.html")]
struct Index {
    page: Page,
    rows: Vec<(Assessment, String, Timestamp)>,
    list: ListQuery,
    companies: Vec<(CompanyId, String)>,
    pager: Pager,
}

impl Index {
    /// The file of what is shown, with the same filter.
    fn csv_link(&self) -> String {
        format!(
            "/assessments.csv{}",
            query(&[("company", &self.list.company)])
        )
    }
}

async fn companies(principal: &Signed) -> Result<Vec<(CompanyId, String)>, PageProblem> {
    let mut all: Vec<_> = all_company_names(&principal.scope)
        .await?
        .into_iter()
        .collect();
    all.sort_by_key(|one| one.1.to_lowercase());
    Ok(all)
}

pub(crate) async fn index(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    list: web::Query<ListQuery>,
) -> Answer {
    let list = list.into_inner();
    let scope = &principal.scope;
    let companies = companies(&principal).await?;
    let window = Window::page(list.page, PAGE_SIZE);
    let found = assessment::list(scope, list.company.parse().ok(), window).await?;
    let pager = Pager::new(list.page, found.rows.len(), found.total, |n| {
        let pairs = [("company", list.company.as_str()), ("page", &n.to_string())];
        format!("/assessments{}", query(&pairs))
    });
    let name = |id| {
        let found = companies.iter().find(|(company, _)| *company == id);
        found.map(|(_, name)| name.clone()).unwrap_or_default()
    };
    html(&Index {
        page: Page::new(&request, &portal, &principal, "Assessments", "assessments").await?,
        rows: found
            .rows
            .into_iter()
            .map(|one| {
                let (company, last_day) = (name(one.company_id), last_day(&one));
                (one, company, last_day)
            })
            .collect(),
        companies,
        list,
        pager,
    })
}

/// Exactly what is filtered, as a file.
pub(crate) async fn csv(principal: Signed, list: web::Query<ListQuery>) -> Answer {
    let names = companies(&principal).await?;
    let company = list.company.parse().ok();
    let read = move |window| {
        let (principal, names) = (principal.clone(), names.clone());
        async move {
            let found = assessment::list(&principal.scope, company, window).await?;
            let named = |one: Assessment| {
                let name = names.iter().find(|(id, _)| *id == one.company_id);
                let name = name.map(|(_, name)| name.clone()).unwrap_or_default();
                (one, name)
            };
            Ok(Listing {
                total: found.total,
                rows: found.rows.into_iter().map(named).collect(),
            })
        }
    };
    Ok(csv_file::sheet(&report::csv::ASSESSMENTS, "", read))
}

/// The last day of an assessment's period.
fn last_day(assessment: &Assessment) -> Timestamp {
    Timestamp(assessment.period_end.0 - 1)
}

/// What was typed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Form {
    company: String,
    name: String,
    catalogue: String,
    controls: Vec<String>,
    from: String,
    to: String,
}

impl Form {
    fn read(pairs: Vec<(String, String)>) -> Self {
        let mut form = Self::default();
        for (name, value) in pairs {
            match name.as_str() {
                "company" => form.company = value,
                "name" => form.name = value,
                "catalogue" => form.catalogue = value,
                "control" => form.controls.push(value),
                "from" => form.from = value,
                "to" => form.to = value,
                _ => {}
            }
        }
        form
    }
}

#[derive(Template)]
#[template(path = "assessments/form.html")]
struct New {
    page: Page,
    companies: Vec<(CompanyId, String)>,
    catalogue: &'static Catalogue,
    form: Form,
    errors: Vec<FieldError>,
}

impl New {
    fn error(&self, field: &str) -> Option<&str> {
        error_of(&self.errors, field)
    }

    fn has(&self, control: &Control) -> bool {
        self.form.controls.contains(&control.id)
    }
}

fn catalogue(word: &str) -> Result<&'static Catalogue, PageProblem> {
    controls::catalogue(word)
        .or_else(|| controls::catalogues().first())
        .ok_or_else(|| PageProblem::Inner("there is no catalogue of controls".into()))
}

async fn form_page(
    request: &HttpRequest,
    portal: &Portal,
    principal: &Signed,
    form: Form,
    errors: Vec<FieldError>,
) -> Answer {
    let status = match errors.is_empty() {
        true => StatusCode::OK,
        false => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let new = New {
        page: Page::new(request, portal, principal, "New assessment", "assessments")
            .await?
            .under("Assessments", "/assessments"),
        companies: companies(principal).await?,
        catalogue: catalogue(&form.catalogue)?,
        form,
        errors,
    };
    html_status(status, &new)
}

pub(crate) async fn new(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    list: web::Query<ListQuery>,
) -> Answer {
    let now = principal.scope.now();
    let form = Form {
        company: list.company.clone(),
        controls: catalogue("")?
            .controls
            .iter()
            .map(|c| c.id.clone())
            .collect(),
        from: now.plus_minutes(-90 * 24 * 60).day(),
        to: now.day(),
        ..Form::default()
    };
    form_page(&request, &portal, &principal, form, vec![]).await
}

pub(crate) async fn create(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    form: web::Form<Vec<(String, String)>>,
) -> Answer {
    let form = Form::read(form.into_inner());
    let wrong = |field, text: &str| {
        vec![FieldError {
            field,
            message: text.into(),
        }]
    };
    let Ok(company) = form.company.parse() else {
        let errors = wrong("company", "Choose a company.");
        return form_page(&request, &portal, &principal, form, errors).await;
    };
    let catalogue = catalogue(&form.catalogue)?;
    let draft = Draft {
        company,
        name: form.name.clone(),
        catalogue: catalogue.id.clone(),
        controls: form
            .controls
            .iter()
            .filter(|id| catalogue.control(id).is_some())
            .cloned()
            .collect(),
        period_start: day(&form.from),
        period_end: day(&form.to).map(|at| at.plus_minutes(24 * 60)),
    };
    match assessment::create(&principal.scope, &draft).await {
        Ok(Some(made)) => Ok(see_other(&format!("/assessments/{}", made.id))),
        Ok(None) => {
            let errors = wrong("company", "Choose a company.");
            form_page(&request, &portal, &principal, form, errors).await
        }
        Err(model::Error::Invalid(errors)) => {
            form_page(&request, &portal, &principal, form, errors).await
        }
        Err(other) => Err(other.into()),
    }
}

/// A control with what is attached to it.
struct Part {
    id: String,
    title: String,
    attached: Vec<Attached>,
}

#[derive(Template)]
#[template(path = "assessments/show.html")]
struct Show {
    page: Page,
    assessment: Assessment,
    company: String,
    catalogue: String,
    parts: Vec<Part>,
    last_day: Timestamp,
    may_approve: bool,
    statements: usize,
}

pub(crate) async fn show(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    id: web::Path<AssessmentId>,
) -> Answer {
    let scope = &principal.scope;
    let found = assessment::get(scope, *id)
        .await?
        .ok_or(PageProblem::NotFound)?;
    let attached = assessment::attached(scope, &found).await?;
    let known = controls::catalogue(&found.catalogue);
    let parts: Vec<Part> = found
        .control_ids()
        .into_iter()
        .map(|control| Part {
            title: known
                .and_then(|c| c.control(&control))
                .map(|c| c.title.clone())
                .unwrap_or_default(),
            attached: attached
                .iter()
                .filter(|one| one.control == control)
                .cloned()
                .collect(),
            id: control,
        })
        .collect();
    let company = model::company::get(scope, found.company_id)
        .await?
        .ok_or(PageProblem::NotFound)?;
    let gatherers = assessment::gatherers(scope, &found).await?;
    let mut ids: Vec<EvidenceId> = attached.iter().map(|one| one.evidence.id).collect();
    ids.sort_unstable();
    ids.dedup();
    html(&Show {
        page: Page::new(
            &request,
            &portal,
            &principal,
            found.name.clone(),
            "assessments",
        )
        .await?
        .under("Assessments", "/assessments"),
        company: company.name,
        catalogue: known.map_or_else(|| found.catalogue.clone(), |c| c.name.clone()),
        parts,
        last_day: last_day(&found),
        may_approve: scope.member().is_some_and(|me| !gatherers.contains(&me)),
        statements: ids.len(),
        assessment: found,
    })
}

/// Attaches what syncs saw within the period.
pub(crate) async fn attach(principal: Signed, id: web::Path<AssessmentId>) -> Answer {
    let scope = &principal.scope;
    let found = assessment::get(scope, *id)
        .await?
        .ok_or(PageProblem::NotFound)?;
    let kinds = controls::catalogue(&found.catalogue)
        .map(Catalogue::kinds)
        .unwrap_or_default();
    assessment::attach_period(scope, *id, &kinds)
        .await?
        .ok_or(PageProblem::NotFound)?;
    Ok(see_other(&format!("/assessments/{id}")))
}

#[derive(Debug, Deserialize)]
pub(crate) struct Detach {
    #[serde(default)]
    control: String,
    #[serde(default)]
    evidence: String,
}

pub(crate) async fn detach(
    principal: Signed,
    id: web::Path<AssessmentId>,
    form: web::Form<Detach>,
) -> Answer {
    let evidence: EvidenceId = form.evidence.parse().map_err(|_| PageProblem::NotFound)?;
    assessment::detach(&principal.scope, *id, &form.control, evidence)
        .await?
        .ok_or(PageProblem::NotFound)?;
    Ok(see_other(&format!("/assessments/{id}")))
}

#[derive(Debug, Deserialize)]
pub(crate) struct Approval {
    #[serde(default)]
    note: String,
}

pub(crate) async fn approve(
    principal: Signed,
    id: web::Path<AssessmentId>,
    form: web::Form<Approval>,
) -> Answer {
    assessment::approve(&principal.scope, *id, &form.note)
        .await?
        .ok_or(PageProblem::NotFound)?;
    Ok(see_other(&format!("/assessments/{id}")))
}

pub(crate) async fn delete(principal: Signed, id: web::Path<AssessmentId>) -> Answer {
    assessment::delete(&principal.scope, *id)
        .await?
        .ok_or(PageProblem::NotFound)?;
    Ok(see_other("/assessments"))
}

/// The signed archive.
pub(crate) async fn archive(
    portal: web::Data<Portal>,
    principal: Signed,
    id: web::Path<AssessmentId>,
) -> Answer {
    let (name, bytes) = assessment_archive::make(&portal, &principal.scope, *id)
        .await?
        .ok_or(PageProblem::NotFound)?;
    Ok(HttpResponse::Ok()
        .content_type("application/zip")
        .insert_header((
            "content-disposition",
            format!("attachment; filename=\"{name}\""),
        ))
        .body(bytes))
}
