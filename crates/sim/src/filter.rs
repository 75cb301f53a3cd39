//! `$filter`, as far as our own queries and Microsoft's examples need it: comparisons of one
//! property with a literal, joined by `and` and `or`, grouped by parentheses.

use std::cmp::Ordering;

use chrono::{DateTime, FixedOffset};
use serde_json::Value;

use crate::{call::Call, refusal};

/// A comparison.
struct Term {
    name: String,
    operator: String,
    literal: String,
}

/// What has to hold.
enum Expression {
    Any(Vec<Self>),
    All(Vec<Self>),
    Compare(Term),
}

/// What `$filter` asks for.
pub(crate) struct Filter(Expression);

impl Filter {
    /// What `$filter` says, where it compares no other properties than these.
    pub(crate) fn of(call: &Call<'_>, known: &[&str]) -> Result<Self, actix_web::HttpResponse> {
        let Some(text) = call.query("$filter").filter(|text| !text.is_empty()) else {
            return Ok(Self(Expression::All(vec![])));
        };
        Expression::of(text, known)
            .map(Self)
            .ok_or_else(|| refusal::bad_request("Invalid filter clause."))
    }

    pub(crate) fn holds(&self, object: &Value) -> bool {
        self.0.holds(object)
    }
}

impl Expression {
    fn of(text: &str, known: &[&str]) -> Option<Self> {
        let text = text.trim();
        let any = split(text, " or ");
        if any.len() > 1 {
            let parts = any.into_iter().map(|part| Self::of(part, known));
            return parts.collect::<Option<_>>().map(Self::Any);
        }
        let all = split(text, " and ");
        if all.len() > 1 {
            let parts = all.into_iter().map(|part| Self::of(part, known));
            return parts.collect::<Option<_>>().map(Self::All);
        }
        match text.strip_prefix('(').and_then(|t| t.strip_suffix(')')) {
            Some(inner) => Self::of(inner, known),
            None => Term::of(text, known).map(Self::Compare),
        }
    }

    fn holds(&self, object: &Value) -> bool {
        match self {
            Self::Any(parts) => parts.iter().any(|part| part.holds(object)),
            Self::All(parts) => parts.iter().all(|part| part.holds(object)),
            Self::Compare(term) => term.holds(object),
        }
    }
}

/// Parts of a text between separators that stand outside of parentheses.
fn split<'a>(text: &'a str, separator: &str) -> Vec<&'a str> {
    let (mut parts, mut from, mut depth) = (Vec::new(), 0, 0);
    for (at, letter) in text.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ if depth == 0 && at >= from && text[at..].starts_with(separator) => {
                parts.push(&text[from..at]);
                from = at + separator.len();
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts
}

impl Term {
    fn of(text: &str, known: &[&str]) -> Option<Self> {
        let parts: Vec<&str> = text.trim().splitn(3, ' ').collect();
        let [name, operator, literal] = parts.as_slice() else {
            return None;
        };
        let understood = known.contains(name) && ["eq", "ge", "gt", "le", "lt"].contains(operator);
        understood.then(|| Self {
            name: (*name).to_owned(),
            operator: (*operator).to_owned(),
            literal: literal.trim_matches('\'').to_owned(),
        })
    }

    fn holds(&self, object: &Value) -> bool {
        let value = match &object[&self.name] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let order = match (time(&value), time(&self.literal)) {
            (Some(value), Some(literal)) => value.cmp(&literal),
            _ => value.cmp(&self.literal),
        };
        match self.operator.as_str() {
            "eq" => order == Ordering::Equal,
            "ge" => order != Ordering::Less,
            "gt" => order == Ordering::Greater,
            "le" => order != Ordering::Greater,
            _ => order == Ordering::Less,
        }
    }
}

fn time(text: &str) -> Option<DateTime<FixedOffset>> {
    DateTime::parse_from_rfc3339(text).ok()
}
