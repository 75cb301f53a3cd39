//! A request for one Graph collection.

use std::fmt::Write;

/// A GET of a collection: path below `/v1.0`, query, and how much of it is wanted.
#[derive(Debug, Clone)]
pub struct Request {
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) max_items: Option<usize>,
    pub(crate) version: &'static str,
}

/// An id as a segment of a path: what Graph answered is no part of an address until it is encoded.
pub fn segment(id: &str) -> String {
    url::form_urlencoded::byte_serialize(id.as_bytes())
        .collect::<String>()
        .replace('+', "%20")
}

impl Request {
    /// A collection by its path, for example `/users`.
    pub fn get(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            query: String::new(),
            max_items: None,
            version: "v1.0",
        }
    }

    /// What is related to an object, for example the `members` of one of the `groups`.
    pub fn related(collection: &str, id: &str, relation: &str) -> Self {
        Self::get(format!("/{collection}/{}/{relation}", segment(id)))
    }

    /// A collection that only the preview version has.
    #[must_use]
    pub fn beta(mut self) -> Self {
        self.version = "beta";
        self
    }

    /// `$expand`.
    #[must_use]
    pub fn expand(self, relation: &str) -> Self {
        self.query("$expand", relation)
    }

    /// `$filter`.
    #[must_use]
    pub fn filter(self, condition: &str) -> Self {
        self.query("$filter", condition)
    }

    /// Path and query below the version, as a batch names a request.
    pub(crate) fn relative(&self) -> String {
        if self.query.is_empty() {
            self.path.clone()
        } else {
            format!("{}?{}", self.path, self.query)
        }
    }

    /// Adds a query option; the value is percent-encoded.
    #[must_use]
    pub fn query(mut self, name: &str, value: &str) -> Self {
        if !self.query.is_empty() {
            self.query.push('&');
        }
        let encoded: String = url::form_urlencoded::byte_serialize(value.as_bytes())
            .collect::<String>()
            .replace("%2C", ",")
            .replace('+', "%20");
        let _ = write!(self.query, "{name}={encoded}");
        self
    }

    /// `$select`.
    #[must_use]
    pub fn select(self, properties: &[&str]) -> Self {
        self.query("$select", &properties.join(","))
    }

    /// `$top`.
    #[must_use]
    pub fn top(self, n: usize) -> Self {
        self.query("$top", &n.to_string())
    }

    /// Stops after `n` items, whatever `@odata.nextLink` says: secure scores carry one always.
    #[must_use]
    pub fn at_most(mut self, n: usize) -> Self {
        self.max_items = Some(n);
        self
    }

    /// The path below `/v1.0`.
    pub fn path(&self) -> &str {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_one_segment_whatever_it_holds() {
        let path = |id: &str| Request::related("groups", id, "members").path().to_owned();
        assert_eq!(
            path("4f1c9b8e-0000-4a4e-9d6b-111111111111"),
            "/groups/4f1c9b8e-0000-4a4e-9d6b-111111111111/members"
        );
        assert_eq!(
            path("../users?$select=x#a b%2F"),
            "/groups/..%2Fusers%3F%24select%3Dx%23a%20b%252F/members"
        );
    }
}
