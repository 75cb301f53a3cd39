//! Exports: the events that can be downloaded, and the intakes that they are sent to.

use actix_web::{HttpRequest, http::StatusCode, web};
use askama::Template;
use keys::Secret;
use model::{
    CompanyId, FieldError, IntakeId, Role, company, extract,
    intake::{self, Act, Draft, Intake},
};
use report::ocsf::{Class, Export, Style, Version};
use serde::Deserialize;

use super::{dashboard::all_company_names, error_of};
use crate::{
    Portal,
    api::intakes::{check_url, classes},
    guard::Signed,
    ndjson,
    problem::PageProblem,
    view::{Answer, Html, Page, badge, filters, html, html_status, see_other},
};

const HOME: &str = "/settings/exports";

#[derive(Template)]
#[template(path = "intakes/index.html")]
struct Index {
    page: Page,
    rows: Vec<Intake>,
    can_change: bool,
}

pub(crate) async fn index(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
) -> Answer {
    let scope = &principal.scope;
    html(&Index {
        rows: intake::list(scope).await?,
        page: Page::new(&request, &portal, &principal, "Exports", "exports").await?,
        can_change: scope.role() >= Role::Admin,
    })
}

fn state_badge(intake: &Intake) -> Html {
    match intake {
        Intake { is_on: false, .. } => badge("", "clock", "Paused"),
        Intake { failures: 1.., .. } => badge("badge-bad", "circle-x", "Failing"),
        Intake {
            last_sent_at: Some(_),
            ..
        } => badge("badge-ok", "circle-check", "Works"),
        _ => badge("", "circle-dashed", "Nothing sent yet"),
    }
}

/// Captions of an intake's classes.
fn class_names(intake: &Intake) -> String {
    let known = intake.classes.iter().filter_map(|word| Class::of(word));
    known.map(Class::caption).collect::<Vec<_>>().join(", ")
}

/// What was typed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Form {
    name: String,
    url: String,
    scheme: String,
    token: String,
    classes: Vec<String>,
    schema_version: String,
    form: String,
    scope: String,
    companies: Vec<String>,
}

impl Form {
    fn read(pairs: Vec<(String, String)>) -> Self {
        let mut form = Self::default();
        for (name, value) in pairs {
            match name.as_str() {
                "name" => form.name = value,
                "url" => form.url = value,
                "scheme" => form.scheme = value,
                "token" => form.token = value,
                "schema_version" => form.schema_version = value,
                "form" => form.form = value,
                "scope" => form.scope = value,
                "class" => form.classes.push(value),
                "company" => form.companies.push(value),
                _ => {}
            }
        }
        form
    }

    fn has_class(&self, class: &Class) -> bool {
        self.classes.iter().any(|word| word == class.word())
    }

    fn has_company(&self, company: &CompanyId) -> bool {
        self.companies.contains(&company.to_string())
    }

    fn draft(&self) -> Result<Draft, model::Error> {
        Ok(Draft {
            name: self.name.clone(),
            url: self.url.trim().to_owned(),
            scheme: self.scheme.trim().to_owned(),
            token: Secret::new(self.token.trim()),
            // None chosen is a mistake in a form, where all of them are chosen at first.
            classes: match self.classes.is_empty() {
                true => vec![],
                false => classes(&self.classes)?,
            },
            schema_version: crate::api::intakes::version(&self.schema_version)?,
            form: crate::api::intakes::form(&self.form)?,
            companies: (self.scope == "some").then(|| {
                self.companies
                    .iter()
                    .filter_map(|id| id.parse().ok())
                    .collect()
            }),
        })
    }
}

#[derive(Template)]
#[template(path = "intakes/form.html")]
struct New {
    page: Page,
    form: Form,
    companies: Vec<(CompanyId, String)>,
    errors: Vec<FieldError>,
}

impl New {
    fn error(&self, field: &str) -> Option<&str> {
        error_of(&self.errors, field)
    }
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
    let names = all_company_names(&principal.scope).await?;
    let mut companies: Vec<_> = names.into_iter().collect();
    companies.sort_by_key(|one| one.1.to_lowercase());
    let page = Page::new(request, portal, principal, "Add an intake", "exports").await?;
    let new = New {
        page: page.under("Exports", HOME),
        // What was typed stays, but for the secret.
        form: Form {
            token: String::new(),
            ..form
        },
        companies,
        errors,
    };
    html_status(status, &new)
}

pub(crate) async fn new(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
) -> Answer {
    let form = Form {
        scheme: "Bearer".into(),
        classes: Class::ALL.iter().map(|c| c.word().to_owned()).collect(),
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
    let keyring = &portal.consent.connection.keyring;
    let made = async {
        let draft = form.draft()?;
        check_url(&portal, &draft.url)?;
        intake::create(&principal.scope, keyring, &draft).await
    };
    match made.await {
        Ok(id) => Ok(see_other(&format!("{HOME}/{id}"))),
        Err(model::Error::Invalid(errors)) => {
            form_page(&request, &portal, &principal, form, errors).await
        }
        Err(other) => Err(other.into()),
    }
}

#[derive(Template)]
#[template(path = "intakes/show.html")]
struct Show {
    page: Page,
    intake: Intake,
    waiting: u64,
    companies: Vec<String>,
    can_change: bool,
}

pub(crate) async fn show(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    id: web::Path<IntakeId>,
) -> Answer {
    let scope = &principal.scope;
    let intake = intake::get(scope, *id).await?;
    let intake = intake.ok_or(PageProblem::NotFound)?;
    let names = all_company_names(scope).await?;
    let mut companies: Vec<String> = intake
        .companies
        .iter()
        .flatten()
        .filter_map(|id| names.get(id).cloned())
        .collect();
    companies.sort_by_key(|name| name.to_lowercase());
    let page = Page::new(&request, &portal, &principal, &intake.name, "exports").await?;
    html(&Show {
        page: page.under("Exports", HOME),
        waiting: intake::waiting(scope, &intake).await?,
        companies,
        can_change: scope.role() >= Role::Admin,
        intake,
    })
}

async fn act(principal: &Signed, id: IntakeId, act: Act) -> Answer {
    intake::act(&principal.scope, id, act)
        .await?
        .ok_or(PageProblem::NotFound)?;
    Ok(see_other(&format!("{HOME}/{id}")))
}

pub(crate) async fn pause(principal: Signed, id: web::Path<IntakeId>) -> Answer {
    act(&principal, *id, Act::Pause).await
}

pub(crate) async fn resume(principal: Signed, id: web::Path<IntakeId>) -> Answer {
    act(&principal, *id, Act::Resume).await
}

pub(crate) async fn send_again(principal: Signed, id: web::Path<IntakeId>) -> Answer {
    act(&principal, *id, Act::SendAgain).await
}

pub(crate) async fn remove(principal: Signed, id: web::Path<IntakeId>) -> Answer {
    intake::remove(&principal.scope, *id)
        .await?
        .ok_or(PageProblem::NotFound)?;
    Ok(see_other(HOME))
}

/// Which events a file has.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Wanted {
    #[serde(default)]
    class: String,
    #[serde(default)]
    schema_version: String,
}

async fn file(principal: &Signed, company: Option<CompanyId>, wanted: &Wanted) -> Answer {
    let classes = match wanted.class.as_str() {
        "" => Class::ALL.to_vec(),
        word => vec![Class::of(word).ok_or(PageProblem::NotFound)?],
    };
    let version = match wanted.schema_version.as_str() {
        "" => Version::default(),
        text => Version::of(text).ok_or(PageProblem::NotFound)?,
    };
    let style = Style {
        version,
        ..Style::default()
    };
    let extracts = extract::of(&principal.scope, company).await?;
    let mut answer = ndjson::events(Export::new(extracts, classes, style));
    answer.headers_mut().insert(
        actix_web::http::header::CONTENT_DISPOSITION,
        actix_web::http::header::HeaderValue::from_static(
            "attachment; filename=\"ocsf-events.ndjson\"",
        ),
    );
    Ok(answer)
}

/// Events of a company.
pub(crate) async fn of_company(
    principal: Signed,
    id: web::Path<CompanyId>,
    wanted: web::Query<Wanted>,
) -> Answer {
    company::get(&principal.scope, *id)
        .await?
        .ok_or(PageProblem::NotFound)?;
    file(&principal, Some(*id), &wanted).await
}

/// Events of everything that the member sees.
pub(crate) async fn of_all(principal: Signed, wanted: web::Query<Wanted>) -> Answer {
    file(&principal, None, &wanted).await
}
