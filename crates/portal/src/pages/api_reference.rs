//! The reference of the API: every operation of its document, to read and to try.

use actix_web::{HttpRequest, web};
use askama::Template;
use serde_json::Value;

use crate::{
    Portal, api,
    guard::Signed,
    view::{Answer, Page, filters, html},
};

struct Parameter {
    name: String,
    place: String,
    required: bool,
    text: String,
}

struct Operation {
    id: String,
    method: String,
    path: String,
    summary: String,
    text: Vec<String>,
    parameters: Vec<Parameter>,
    body: String,
    sample: String,
    answers: Vec<(String, String)>,
}

/// Operations under one noun.
struct Noun {
    name: String,
    operations: Vec<Operation>,
}

#[derive(Template)]
#[template(path = "api_reference.html")]
struct Show {
    page: Page,
    nouns: Vec<Noun>,
    root: String,
}

/// A text of the document, as it is.
fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The same without the marks for code, which say nothing on a page.
fn prose(value: &Value) -> String {
    text(value).replace('`', "")
}

fn operation(path: &str, method: &str, one: &Value) -> Operation {
    let empty = vec![];
    let parameters = one["parameters"].as_array().unwrap_or(&empty);
    let sample = text(&one["x-codeSamples"][0]["source"]);
    let body = sample
        .split_once("<<JSON\n")
        .map(|(_, body)| body.trim_end_matches("\nJSON").to_owned());
    let answers = one["responses"].as_object();
    Operation {
        id: format!(
            "{method}-{}",
            path.trim_start_matches("/api/v1/")
                .replace(['/', '{', '}'], "-")
        ),
        method: method.to_uppercase(),
        path: path.to_owned(),
        summary: text(&one["summary"]),
        text: text(&one["description"])
            .split("\n\n")
            .map(str::to_owned)
            .collect(),
        parameters: parameters
            .iter()
            .map(|parameter| Parameter {
                name: text(&parameter["name"]),
                place: text(&parameter["in"]),
                required: parameter["required"] == true,
                text: prose(&parameter["description"]),
            })
            .collect(),
        body: body.unwrap_or_default(),
        sample,
        answers: answers
            .into_iter()
            .flatten()
            .map(|(status, answer)| (status.clone(), prose(&answer["description"])))
            .collect(),
    }
}

pub(crate) async fn show(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
) -> Answer {
    let document = api::document();
    let mut nouns: Vec<Noun> = Vec::new();
    for (path, operations) in document["paths"].as_object().into_iter().flatten() {
        let noun = path.trim_start_matches("/api/v1/").split('/').next();
        let noun = noun.unwrap_or_default().replace('-', " ");
        let mut letters = noun.chars();
        let first = letters.next().map(|first| first.to_ascii_uppercase());
        let noun: String = first.into_iter().chain(letters).collect();
        for (method, one) in operations.as_object().into_iter().flatten() {
            let one = operation(path, method, one);
            match nouns.iter_mut().find(|known| known.name == noun) {
                Some(known) => known.operations.push(one),
                None => nouns.push(Noun {
                    name: noun.clone(),
                    operations: vec![one],
                }),
            }
        }
    }
    html(&Show {
        page: Page::new(&request, &portal, &principal, "API", "api").await?,
        nouns,
        root: portal.url("/api/v1"),
    })
}
