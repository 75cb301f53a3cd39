//! The closed table of Microsoft clouds, and one more that only server configuration can define.
//!
//! Source: Microsoft's national-cloud documents; the hosts of China differ between two of them and
//! are taken from the identity platform's.

use std::sync::Arc;

use serde::Deserialize;
use url::Url;

/// Microsoft's published request limits that we keep to by ourselves; part of a cloud, so that a
/// cloud of one's own may lift them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Limits {
    /// Those of Microsoft's service-specific throttling page.
    Microsoft,
    /// None: only what the server itself demands.
    None,
}

/// One Microsoft cloud.
#[derive(Debug, Clone)]
pub struct Cloud {
    /// Name in the database, the API and the configuration.
    pub name: String,
    /// Label in the form.
    pub label: String,
    /// Root of the sign-in service, ending in `/`.
    pub login: Url,
    /// Root of Microsoft Graph, ending in `/`.
    pub graph: Url,
    /// Limits to keep.
    pub limits: Limits,
    /// Whether `/security/secureScores` exists there (absent from the China schema).
    pub has_secure_scores: bool,
    /// Whether `/tenantRelationships/delegatedAdmin…` exists there (absent from the China schema).
    pub has_delegated_admin: bool,
    /// Whether `/identityProtection` exists there (absent from the China schema).
    pub has_identity_protection: bool,
    /// Whether `/beta/reports/servicePrincipalSignInActivities` exists there (the Global service
    /// alone, as Microsoft's document says).
    pub has_application_activity: bool,
}

impl Cloud {
    /// `{graph}/.default`: the one scope of app-only tokens.
    pub fn default_scope(&self) -> String {
        format!("{}/.default", self.graph.as_str().trim_end_matches('/'))
    }

    /// Where a tenant's administrator consents; `None` asks for any work or school tenant.
    ///
    /// Source: Microsoft identity platform, admin consent v2.0 (`common` is not to be used).
    pub fn admin_consent_url(
        &self,
        tenant: Option<uuid::Uuid>,
        client_id: uuid::Uuid,
        redirect_uri: &str,
        state: &str,
    ) -> Url {
        let mut url = self.login_url(&tenant_segment(tenant), "v2.0/adminconsent");
        url.query_pairs_mut()
            .append_pair("client_id", &client_id.to_string())
            .append_pair("redirect_uri", redirect_uri)
            .append_pair("scope", &self.default_scope())
            .append_pair("state", state);
        url
    }

    /// `{login}/{tenant}/{path}`.
    pub(crate) fn login_url(&self, tenant: &str, path: &str) -> Url {
        let mut url = self.login.clone();
        url.set_path(&format!(
            "{}{tenant}/{path}",
            self.login.path().trim_end_matches('/').to_owned() + "/"
        ));
        url
    }
}

pub(crate) fn tenant_segment(tenant: Option<uuid::Uuid>) -> String {
    tenant.map_or_else(|| "organizations".to_owned(), |t| t.to_string())
}

/// `[clouds.custom]` of the server's configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CustomCloud {
    /// Root of the sign-in service.
    pub login: Url,
    /// Root of Graph, without `/v1.0`.
    pub graph: Url,
    /// Label in the form.
    #[serde(default)]
    pub label: Option<String>,
    /// Limits to keep; Microsoft's unless lifted.
    #[serde(default)]
    pub limits: Option<Limits>,
    /// Name of the cloud whose services it has; `global` unless told.
    #[serde(default)]
    pub like: Option<String>,
}

/// Microsoft's clouds: name, label, login root, Graph root, and whether they have Secure Score and
/// delegated administration.
const TABLE: &[(&str, &str, &str, &str, bool, bool)] = &[
    (
        "global",
        "Global service",
        "https://login.microsoftonline.com/",
        "https://graph.microsoft.com/",
        true,
        true,
    ),
    (
        "usgov_l4",
        "US Government L4",
        "https://login.microsoftonline.us/",
        "https://graph.microsoft.us/",
        true,
        true,
    ),
    (
        "usgov_l5",
        "US Government L5 (DoD)",
        "https://login.microsoftonline.us/",
        "https://dod-graph.microsoft.us/",
        true,
        true,
    ),
    (
        "china",
        "China (21Vianet)",
        "https://login.partner.microsoftonline.cn/",
        "https://microsoftgraph.chinacloudapi.cn/",
        false,
        false,
    ),
];

/// The clouds of this installation, the Global service first (or the custom one, where defined).
#[derive(Debug, Clone)]
pub struct Clouds(Arc<Vec<Arc<Cloud>>>);

/// Why a custom cloud is refused.
#[derive(Debug, thiserror::Error)]
#[error("clouds.custom.{field}: {reason}")]
pub struct CustomCloudError {
    /// `login` or `graph`.
    pub field: &'static str,
    /// What is wrong.
    pub reason: String,
}

impl Clouds {
    /// The table, and the custom cloud if there is one.
    ///
    /// # Errors
    /// When a custom root is neither https nor plain http on a loopback address.
    pub fn new(custom: Option<&CustomCloud>) -> Result<Self, CustomCloudError> {
        let mut clouds = Vec::new();
        if let Some(custom) = custom {
            let like = custom.like.as_deref().unwrap_or("global");
            let Some(&(.., has_secure_scores, has_delegated_admin)) =
                TABLE.iter().find(|row| row.0 == like)
            else {
                return Err(CustomCloudError {
                    field: "like",
                    reason: format!("{like:?} is none of global, usgov_l4, usgov_l5, china"),
                });
            };
            clouds.push(Arc::new(Cloud {
                name: "custom".into(),
                label: custom
                    .label
                    .clone()
                    .unwrap_or_else(|| "Custom cloud".into()),
                login: root("login", &custom.login)?,
                graph: root("graph", &custom.graph)?,
                limits: custom.limits.unwrap_or(Limits::Microsoft),
                has_secure_scores,
                has_delegated_admin,
                // China lacks the same services as Secure Score's.
                has_identity_protection: has_secure_scores,
                has_application_activity: like == "global",
            }));
        }
        for &(name, label, login, graph, has_secure_scores, has_delegated_admin) in TABLE {
            let parse = |field, text: &str| {
                Url::parse(text).map_err(|e| CustomCloudError {
                    field,
                    reason: e.to_string(),
                })
            };
            clouds.push(Arc::new(Cloud {
                name: name.into(),
                label: label.into(),
                login: parse("login", login)?,
                graph: parse("graph", graph)?,
                limits: Limits::Microsoft,
                has_secure_scores,
                has_delegated_admin,
                // China lacks the same services as Secure Score's.
                has_identity_protection: has_secure_scores,
                has_application_activity: name == "global",
            }));
        }
        Ok(Self(Arc::new(clouds)))
    }

    /// The cloud of a name.
    pub fn get(&self, name: &str) -> Option<Arc<Cloud>> {
        self.0.iter().find(|c| c.name == name).cloned()
    }

    /// All, in the order of the form.
    pub fn all(&self) -> &[Arc<Cloud>] {
        &self.0
    }

    /// Their names.
    pub fn names(&self) -> Vec<String> {
        self.0.iter().map(|c| c.name.clone()).collect()
    }
}

fn root(field: &'static str, url: &Url) -> Result<Url, CustomCloudError> {
    let wrong = |reason: &str| {
        Err(CustomCloudError {
            field,
            reason: reason.to_owned(),
        })
    };
    if !url.username().is_empty() || url.query().is_some() || url.fragment().is_some() {
        return wrong("give scheme, host, port and path alone");
    }
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(url) => {}
        "http" => return wrong("plain http is accepted for loopback addresses only; use https"),
        _ => return wrong("it must be an https URL"),
    }
    let mut url = url.clone();
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

/// Whether the host is a loopback address or `localhost`.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn custom(login: &str) -> Result<Clouds, CustomCloudError> {
        Clouds::new(Some(&CustomCloud {
            login: login.parse().unwrap(),
            graph: "http://127.0.0.1:9/graph".parse().unwrap(),
            label: None,
            limits: None,
            like: None,
        }))
    }

    #[test]
    fn plain_http_is_for_loopback_only() {
        assert!(custom("http://127.0.0.1:1/").is_ok());
        assert!(custom("http://localhost:1/").is_ok());
        assert!(custom("https://login.example/").is_ok());
        assert!(custom("http://login.example/").is_err());
        assert!(custom("http://127.0.0.1.example/").is_err());
        assert!(custom("http://user@127.0.0.1/").is_err());
        assert!(custom("ftp://127.0.0.1/").is_err());
    }

    #[test]
    fn a_path_of_the_root_is_kept() {
        let clouds = custom("http://127.0.0.1:1/login").unwrap();
        let url = clouds.all()[0].admin_consent_url(None, uuid::Uuid::nil(), "http://x/y", "s");
        assert!(
            url.as_str()
                .starts_with("http://127.0.0.1:1/login/organizations/v2.0/adminconsent?")
        );
    }
}
