//! Finding customers' tenants without their doing: by delegated administration (GDAP), by reseller
//! contracts, or by a list of domains.

use std::collections::BTreeMap;

use futures_util::{StreamExt, stream};
use graph::{Class, Error as GraphError, GraphClient, Meter, Request, oidc, types};
use model::{
    DirectoryId, Feature, Scope,
    credential::{Credential, parse_guid},
    tenant::{self, Found},
};
use uuid::Uuid;

use crate::{Connection, Error};

/// Domains that are looked up at the same time.
const CONCURRENCY: usize = 8;
/// Domains of one list.
pub const MAX_DOMAINS: usize = 2000;

/// Where customers are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// `/tenantRelationships/delegatedAdminCustomers`.
    Gdap,
    /// `/contracts`.
    Contracts,
}

impl Source {
    /// The word in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gdap => "gdap",
            Self::Contracts => "contract",
        }
    }

    /// The feature that must be switched on.
    pub fn feature(self) -> Feature {
        match self {
            Self::Gdap => Feature::Discovery,
            Self::Contracts => Feature::Contracts,
        }
    }
}

/// What a discovery found.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// Directories in the answer.
    pub found: usize,
    /// Of these not known before.
    pub new: usize,
    /// Lines of a list that no directory was found for, each with the reason.
    pub not_found: Vec<(String, String)>,
}

/// Asks the partner's own tenant for its customers and records them.
///
/// # Errors
/// Inside: Microsoft's refusal. Outside: ours.
pub async fn discover(
    connection: &Connection,
    scope: &Scope,
    credential: &Credential,
    source: Source,
) -> Result<Result<Summary, GraphError>, Error> {
    if !credential.uses(source.feature()) {
        return Err(model::Error::Conflict(
            "This way of discovery is switched off for the credential. Edit it, add the permission \
             that the guide then shows to the registration, and consent again."
                .into(),
        )
        .into());
    }
    let client = connection
        .client(scope, credential, credential.directory_id, "normal")
        .await?;
    let Some(client) = client else {
        return Ok(Err(GraphError::Revoked));
    };
    let listed = match source {
        Source::Gdap => gdap(&client).await,
        Source::Contracts => contracts(&client).await,
    };
    let listed = match listed {
        Ok(listed) => listed,
        Err(error) => return Ok(Err(error)),
    };
    let new = tenant::record_found(scope, credential, source.as_str(), &listed).await?;
    Ok(Ok(Summary {
        found: listed.len(),
        new,
        not_found: vec![],
    }))
}

async fn gdap(client: &GraphClient) -> Result<Vec<Found>, GraphError> {
    let meter = Meter::default();
    let customers: Vec<types::DelegatedAdminCustomer> = client
        .read_all(
            &Request::get("/tenantRelationships/delegatedAdminCustomers")
                .select(&["tenantId", "displayName"])
                .top(300),
            &meter,
        )
        .await?;
    let relationships: Vec<types::DelegatedAdminRelationship> = client
        .read_all(
            &Request::get("/tenantRelationships/delegatedAdminRelationships").top(300),
            &meter,
        )
        .await?;
    let mut by_customer: BTreeMap<String, String> = BTreeMap::new();
    for relationship in relationships {
        let Some(customer) = relationship.customer else {
            continue;
        };
        let status = relationship.status.unwrap_or_default();
        let text = match relationship.end_date_time {
            Some(end) => format!("GDAP {status}, until {}", end.format("%Y-%m-%d")),
            None => format!("GDAP {status}"),
        };
        let entry = by_customer.entry(customer.tenant_id).or_default();
        // Of several relations to one customer the active one tells most.
        if entry.is_empty() || status == "active" {
            *entry = text;
        }
    }
    Ok(customers
        .into_iter()
        .filter_map(|c| {
            Some(Found {
                directory: DirectoryId(parse_guid(&c.tenant_id).ok()?),
                relationship: by_customer.get(&c.tenant_id).cloned(),
                display_name: c.display_name,
                domain: String::new(),
            })
        })
        .collect())
}

async fn contracts(client: &GraphClient) -> Result<Vec<Found>, GraphError> {
    let contracts: Vec<types::Contract> = client
        .read_all(
            &Request::get("/contracts")
                .select(&[
                    "customerId",
                    "defaultDomainName",
                    "displayName",
                    "contractType",
                ])
                .top(999),
            &Meter::default(),
        )
        .await?;
    Ok(contracts
        .into_iter()
        .filter_map(|c| {
            Some(Found {
                directory: DirectoryId(parse_guid(&c.customer_id).ok()?),
                relationship: c.contract_type.map(|t| format!("Contract: {t}")),
                display_name: c.display_name,
                domain: c.default_domain_name,
            })
        })
        .collect())
}

/// Resolves domains (or tenant ids) to tenants and records them. The sign-in service tells anybody
/// which tenant has a domain; the tenant's name needs a permission and is left out without it.
pub async fn resolve(
    connection: &Connection,
    scope: &Scope,
    credential: &Credential,
    lines: &[String],
) -> Result<Summary, Error> {
    let cloud = connection.cloud(credential)?;
    let mut wanted: Vec<String> = lines
        .iter()
        .map(|l| l.trim().trim_start_matches('@').to_lowercase())
        .filter(|l| !l.is_empty())
        .collect();
    wanted.sort_unstable();
    wanted.dedup();
    if wanted.len() > MAX_DOMAINS {
        return Err(model::Error::field(
            "domains",
            format!(
                "At most {MAX_DOMAINS} domains at a time; these are {}.",
                wanted.len()
            ),
        )
        .into());
    }
    let client = if credential.uses(Feature::Discovery) {
        connection
            .client(scope, credential, credential.directory_id, "normal")
            .await?
    } else {
        None
    };
    let http = connection.tokens.http();
    let answers: Vec<(String, Result<Found, String>)> = stream::iter(wanted)
        .map(|line| {
            let (cloud, client) = (&cloud, client.as_ref());
            async move {
                let found = look_up(http, cloud, client, &line).await;
                (line, found)
            }
        })
        .buffered(CONCURRENCY)
        .collect()
        .await;
    let mut summary = Summary::default();
    let mut found: Vec<Found> = Vec::new();
    for (line, answer) in answers {
        match answer {
            Err(why) => summary.not_found.push((line, why)),
            // Two domains of one tenant are one tenant.
            Ok(one) => match found.iter_mut().find(|f| f.directory == one.directory) {
                Some(known) if known.domain.is_empty() => known.domain = one.domain,
                Some(_) => {}
                None => found.push(one),
            },
        }
    }
    summary.found = found.len();
    summary.new = tenant::record_found(scope, credential, "domains", &found).await?;
    Ok(summary)
}

async fn look_up(
    http: &reqwest::Client,
    cloud: &graph::Cloud,
    client: Option<&GraphClient>,
    line: &str,
) -> Result<Found, String> {
    let is_id = Uuid::try_parse(line).is_ok();
    let domain_like = line.contains('.')
        && line.len() <= 253
        && line
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_'));
    if !is_id && !domain_like {
        return Err("This is no domain and no tenant ID.".into());
    }
    let discovery =
        oidc::discover(http, cloud, line)
            .await
            .map_err(|error| match error.class() {
                Class::Consent => "Microsoft knows no tenant with it in this cloud.".to_owned(),
                _ => error.sentence(),
            })?;
    let mut found = Found {
        directory: DirectoryId(discovery.tenant),
        display_name: String::new(),
        domain: if is_id {
            String::new()
        } else {
            line.to_owned()
        },
        relationship: None,
    };
    if let Some(client) = client {
        let path = format!(
            "/tenantRelationships/findTenantInformationByTenantId(tenantId='{}')",
            discovery.tenant
        );
        let named: Result<types::TenantInformation, _> =
            client.read(&Request::get(path), &Meter::default()).await;
        if let Ok(named) = named {
            found.display_name = named.display_name;
            found.domain = named.default_domain_name;
        }
    }
    Ok(found)
}
