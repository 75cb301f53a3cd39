//! What a sign-in service sends back through a browser, in the query of our redirect URI (RFC 6749,
//! section 4.1.2; RFC 9207; Microsoft's admin consent endpoint).

/// A query that is longer is none of a sign-in service's: codes of Microsoft's have some thousand
/// characters.
const LONGEST: usize = 16 * 1024;

/// Parameters of a return. All of it comes from a browser and is believed nowhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Return {
    /// `state`.
    pub state: String,
    /// `tenant`, of admin consent.
    pub tenant: Option<String>,
    /// `scope`.
    pub scope: Option<String>,
    /// `error`.
    pub error: Option<String>,
    /// `error_description`; only its AADSTS number is read.
    pub error_description: Option<String>,
    /// `code`.
    pub code: Option<String>,
    /// `iss`: who sends it (RFC 9207).
    pub iss: Option<String>,
}

impl Return {
    /// Reads a query; other parameters are passed over (RFC 6749 wants it so). `None` when it is too
    /// long, when one of ours comes twice, or when one of ours is no text: that is nothing of a sign-in
    /// service's.
    pub fn parse(query: &str) -> Option<Self> {
        if query.len() > LONGEST {
            return None;
        }
        let mut found = Self::default();
        let mut state = None;
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let place = match name.as_ref() {
                "state" => &mut state,
                "tenant" => &mut found.tenant,
                "scope" => &mut found.scope,
                "error" => &mut found.error,
                "error_description" => &mut found.error_description,
                "code" => &mut found.code,
                "iss" => &mut found.iss,
                _ => continue,
            };
            if place.is_some() || !is_text(&value) {
                return None;
            }
            *place = Some(value.into_owned());
        }
        found.state = state.unwrap_or_default();
        Some(found)
    }
}

/// Bytes that are no UTF-8 come as replacement characters, which no sign-in service sends.
fn is_text(value: &str) -> bool {
    !value.contains(['\u{fffd}', '\0'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_return_is_read_once_and_whole() {
        let found =
            Return::parse("state=a%2Bb&tenant=x&admin_consent=True&code=&iss=https%3A%2F%2Fi");
        let wanted = Return {
            state: "a+b".into(),
            tenant: Some("x".into()),
            code: Some(String::new()),
            iss: Some("https://i".into()),
            ..Return::default()
        };
        assert_eq!(found, Some(wanted));
        assert_eq!(Return::parse(""), Some(Return::default()));
        for none in [
            "state=a&state=b",
            "code=x&code=x",
            "state=%ff",
            "state=%00",
            "iss=a&iss=",
        ] {
            assert_eq!(Return::parse(none), None, "{none}");
        }
        assert_eq!(
            Return::parse(&format!("code={}", "x".repeat(LONGEST))),
            None
        );
    }
}
