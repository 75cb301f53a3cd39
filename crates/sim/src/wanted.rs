//! `$select`: which properties of an object are wanted.

/// The selected names, or all.
#[derive(Debug, Clone)]
pub(crate) struct Wanted(Option<Vec<String>>);

impl Wanted {
    /// What `$select` says, or what comes without it.
    pub(crate) fn of(select: Option<&str>, otherwise: Option<&[&str]>) -> Self {
        let names = |list: &mut dyn Iterator<Item = &str>| {
            list.map(|name| name.trim().to_owned()).collect::<Vec<_>>()
        };
        Self(match (select, otherwise) {
            (Some(select), _) => Some(names(&mut select.split(','))),
            (None, Some(otherwise)) => Some(names(&mut otherwise.iter().copied())),
            (None, None) => None,
        })
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0
            .as_ref()
            .is_none_or(|names| names.iter().any(|n| n == name))
    }

    /// The same with one more.
    pub(crate) fn with(mut self, name: &str) -> Self {
        if let Some(names) = &mut self.0 {
            names.push(name.to_owned());
        }
        self
    }
}

/// An object of the wanted properties; those that are not wanted are not even computed.
macro_rules! object {
    ($wanted:expr, { $($name:literal: $value:expr),* $(,)? }) => {{
        let mut object = serde_json::Map::new();
        $(if $wanted.has($name) {
            object.insert($name.to_owned(), serde_json::json!($value));
        })*
        object
    }};
}

pub(crate) use object;
