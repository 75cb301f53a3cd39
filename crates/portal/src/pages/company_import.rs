//! Companies from a CSV: first what would become of each line, then the import.

use actix_web::{HttpRequest, http::StatusCode, web};
use askama::Template;
use model::company::{self, Draft, Fate};
use report::csv;

use crate::{
    Portal,
    guard::Signed,
    upload::Fields,
    view::{Answer, Html, Page, badge, filters, html, html_status, see_other},
};

#[derive(Template)]
#[template(path = "companies/import.html")]
struct Import {
    page: Page,
    text: String,
    error: Option<String>,
    lines: Vec<(u64, Draft, Fate)>,
}

impl Import {
    fn badge(&self, fate: &Fate) -> Html {
        match fate {
            Fate::Create => badge("badge-ok", "plus", "New"),
            Fate::Update(_) => badge("badge-info", "refresh", "Changed"),
            Fate::Unchanged(_) => badge("", "check", "As it is"),
            Fate::Refused(_) => badge("badge-bad", "alert-circle", "Left out"),
        }
    }

    fn reason<'a>(&self, fate: &'a Fate) -> &'a str {
        match fate {
            Fate::Refused(why) => why,
            _ => "",
        }
    }

    fn count(&self, wanted: &str) -> usize {
        self.lines
            .iter()
            .filter(|(_, _, fate)| {
                matches!(
                    (fate, wanted),
                    (Fate::Create, "new")
                        | (Fate::Update(_), "changed")
                        | (Fate::Unchanged(_), "same")
                        | (Fate::Refused(_), "out")
                )
            })
            .count()
    }

    fn has_work(&self) -> bool {
        self.count("new") + self.count("changed") > 0
    }
}

async fn frame(
    request: &HttpRequest,
    portal: &Portal,
    principal: &Signed,
) -> Result<Page, crate::problem::PageProblem> {
    Ok(
        Page::new(request, portal, principal, "Import companies", "companies")
            .await?
            .under("Companies", "/companies"),
    )
}

pub(crate) async fn new(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
) -> Answer {
    html(&Import {
        page: frame(&request, &portal, &principal).await?,
        text: String::new(),
        error: None,
        lines: vec![],
    })
}

pub(crate) async fn create(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    form: Fields,
) -> Answer {
    let text = match form.file("file") {
        Some(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        None => form.get("text").to_owned(),
    };
    let page = frame(&request, &portal, &principal).await?;
    if form.get("action") == "edit" {
        let import = Import {
            page,
            text,
            error: None,
            lines: vec![],
        };
        return html(&import);
    }
    let read = match csv::companies(&text) {
        Ok(read) => read,
        Err(why) => {
            let import = Import {
                page,
                text,
                error: Some(why),
                lines: vec![],
            };
            return html_status(StatusCode::UNPROCESSABLE_ENTITY, &import);
        }
    };
    let dry_run = form.get("action") != "import";
    let drafts: Vec<Draft> = read.iter().map(|(_, draft)| draft.clone()).collect();
    let fates = company::import(&principal.scope, &drafts, dry_run).await?;
    if !dry_run {
        let done = fates
            .iter()
            .filter(|f| matches!(f, Fate::Create | Fate::Update(_)))
            .count();
        return Ok(see_other(&format!("/companies?imported={done}")));
    }
    let lines = read
        .into_iter()
        .zip(fates)
        .map(|((line, draft), fate)| (line, draft, fate))
        .collect();
    html(&Import {
        page,
        text,
        error: None,
        lines,
    })
}
