//! One authorised request, and what answers to it have in common: `$select`, pages, links.

use std::{collections::HashMap, sync::Arc};

use actix_web::HttpResponse;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{
    Directory, Kind,
    body::spoilt,
    changes::Changes,
    refusal,
    router::Ask,
    state::{Holder, State},
    wanted::Wanted,
};

pub(crate) type Query = HashMap<String, String>;

/// An answer; refusals are told apart only so that `?` ends a function.
pub(crate) type Answer = Result<HttpResponse, HttpResponse>;

/// Everything that one authorised request needs.
pub(crate) struct Call<'a> {
    pub(crate) state: &'a State,
    pub(crate) ask: &'a Ask,
    /// What stands for `{id}` in the path.
    pub(crate) id: String,
    pub(crate) directory: &'a Directory,
    pub(crate) holder: Holder,
    pub(crate) changes: Arc<Changes>,
    pub(crate) fault: Option<Kind>,
    /// Resource units that the request costs.
    pub(crate) cost: u32,
    /// What share of a limit is used, where it is worth a header.
    pub(crate) used: Option<f64>,
}

const JSON: &str = "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8";

/// Objects that a page repeats from the page before, where that is the fault.
const OVERLAP: usize = 3;

impl Call<'_> {
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.ask.query.get(name).map(String::as_str)
    }

    /// Refuses who does not hold this too.
    pub(crate) fn require(&self, role: &str) -> Result<(), HttpResponse> {
        if self.holder.roles.iter().any(|held| held == role) {
            Ok(())
        } else {
            Err(refusal::forbidden())
        }
    }

    /// What is selected of an expanded relation, where `$expand` names it; others are refused.
    pub(crate) fn expand(&self, relation: &str) -> Result<Option<Wanted>, HttpResponse> {
        let Some(expand) = self.query("$expand") else {
            return Ok(None);
        };
        let inner = expand
            .strip_prefix(relation)
            .filter(|rest| rest.is_empty() || (rest.starts_with('(') && rest.ends_with(')')));
        let Some(inner) = inner else {
            return Err(refusal::error(
                400,
                "BadRequest",
                "Parsing OData Select and Expand failed.",
            ));
        };
        let select = inner.trim_matches(['(', ')']).strip_prefix("$select=");
        Ok(Some(Wanted::of(select, None)))
    }

    /// Keeps the selected properties of an object that was made whole.
    pub(crate) fn select(&self, item: Value) -> Value {
        let (Some(select), Value::Object(item)) = (self.query("$select"), &item) else {
            return item;
        };
        let wanted = Wanted::of(Some(select), None);
        let kept = item
            .iter()
            .filter(|(name, _)| wanted.has(name) || name.starts_with("@odata."))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        Value::Object(kept)
    }

    /// One page of `total` objects made by `make`, with a `nextLink` that carries the query on.
    pub(crate) fn page(
        &self,
        context: &str,
        total: usize,
        default: usize,
        max: usize,
        make: impl Fn(usize) -> Value,
    ) -> Answer {
        let make = |i| self.select(make(i));
        self.page_where(context, total, (default, max), |_| true, make)
    }

    /// One page of objects that were made already.
    pub(crate) fn all(&self, context: &str, all: &[Value], default: usize, max: usize) -> Answer {
        self.page(context, all.len(), default, max, |i| all[i].clone())
    }

    /// One page of the objects below `end` that exist. Page tokens hold a place below `end`, so that
    /// nothing is missed when objects go between two pages.
    pub(crate) fn page_where(
        &self,
        context: &str,
        end: usize,
        sizes: (usize, usize),
        exists: impl Fn(usize) -> bool,
        make: impl Fn(usize) -> Value,
    ) -> Answer {
        let size = self.page_size(sizes)?;
        let from = match self.query("$skiptoken").map(decode) {
            None => 0,
            Some(Some((owner, n))) if owner == self.directory.id => n,
            Some(token) => {
                if token.is_some() {
                    self.state.strayed();
                }
                return Err(refusal::error(
                    400,
                    "Directory_ExpiredPageToken",
                    "The specified page token value has expired.",
                ));
            }
        };
        let mut places = (from..end).filter(|i| exists(*i));
        let mut items: Vec<Value> = places.by_ref().take(size).map(&make).collect();
        if let Some(Kind::Repeat) = self.fault {
            let before = (0..from).rev().filter(|i| exists(*i)).take(OVERLAP);
            items.splice(0..0, before.map(&make).collect::<Vec<_>>());
        }
        let mut body = self.body(context);
        if self.query("$count") == Some("true") && from == 0 {
            let count = (0..end).filter(|i| exists(*i)).count();
            body.insert("@odata.count".into(), json!(count));
        }
        let next = places.next().map(|next| self.page_link(next));
        if self.fault == Some(Kind::EndlessLinks) {
            items.clear();
        }
        if let Some(link) = self.link(next) {
            body.insert("@odata.nextLink".into(), json!(link));
        }
        body.insert("value".into(), Value::Array(items));
        Ok(self.send(&Value::Object(body)))
    }

    fn page_size(&self, (default, max): (usize, usize)) -> Result<usize, HttpResponse> {
        let Some(top) = self.query("$top") else {
            return Ok(default);
        };
        top.parse()
            .ok()
            .filter(|n| (1..=max).contains(n))
            .ok_or_else(|| {
                refusal::bad_request(&format!(
                    "Invalid page size specified: '{top}'. Must be between 1 and {max} inclusive."
                ))
            })
    }

    /// The beginning of a collection.
    pub(crate) fn body(&self, context: &str) -> Map<String, Value> {
        let context = format!("{}/$metadata#{context}", self.ask.service());
        Map::from_iter([("@odata.context".to_owned(), json!(context))])
    }

    /// The link to the next page, or the one that a fault puts in its place.
    pub(crate) fn link(&self, next: Option<String>) -> Option<String> {
        match &self.fault {
            Some(Kind::NextLink { to }) => Some(to.clone()),
            Some(Kind::LoopingLink) => Some(format!("{}{}", self.ask.root, self.ask.uri)),
            Some(Kind::EndlessLinks) => {
                let (path, root) = (self.ask.raw_path(), &self.ask.root);
                let now = self
                    .query("$skiptoken")
                    .and_then(decode)
                    .map_or(0, |(_, n)| n);
                let next = encode(self.directory.id, now + 1);
                Some(format!("{root}{path}?$skiptoken={next}"))
            }
            _ => next,
        }
    }

    fn page_link(&self, next: usize) -> String {
        let mut query: Vec<String> = self
            .ask
            .query
            .iter()
            .filter(|(name, _)| *name != "$skiptoken")
            .map(|(name, value)| {
                let value: String =
                    url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
                format!("{name}={value}")
            })
            .collect();
        query.sort();
        query.push(format!("$skiptoken={}", encode(self.directory.id, next)));
        format!(
            "{}{}?{}",
            self.ask.root,
            self.ask.raw_path(),
            query.join("&")
        )
    }

    pub(crate) fn send(&self, body: &Value) -> HttpResponse {
        let mut answer = HttpResponse::Ok();
        answer
            .content_type(JSON)
            .insert_header(("request-id", Uuid::from_u128(7).to_string()))
            .insert_header(("x-ms-resource-unit", self.cost.to_string()));
        if let Some(used) = self.used {
            answer.insert_header(("x-ms-throttle-limit-percentage", format!("{used:.2}")));
        }
        spoilt(&mut answer, body.to_string(), self.fault.as_ref())
    }
}

/// A page token is of one directory, and another's token does not open it.
fn encode(directory: Uuid, n: usize) -> String {
    data_encoding::BASE64URL_NOPAD.encode(format!("page:{directory}:{n}").as_bytes())
}

fn decode(token: &str) -> Option<(Uuid, usize)> {
    let bytes = data_encoding::BASE64URL_NOPAD
        .decode(token.as_bytes())
        .ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (directory, n) = text.strip_prefix("page:")?.split_once(':')?;
    Some((directory.parse().ok()?, n.parse().ok()?))
}
