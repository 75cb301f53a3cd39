//! The floor: a bare client that reads the same collections in the cheapest way that Graph offers,
//! and writes what came into tables of text, one transaction per page: no comparison with what was
//! stored, no lease, no audit, no counts, no retries. It is a process of its own.

use std::{path::Path, time::Instant};

use reqwest::Client;
use serde_json::{Value, json};

use crate::process::{cpu, peak};

/// A directory to read, and as whom.
pub struct World {
    pub root: String,
    pub tenants: Vec<String>,
    pub client_id: String,
    pub secret: String,
}

async fn token(http: &Client, world: &World, tenant: &str) -> String {
    let answer: Value = http
        .post(format!("{}{tenant}/oauth2/v2.0/token", world.root))
        .form(&[
            ("grant_type", "client_credentials"),
            ("client_id", &world.client_id),
            ("client_secret", &world.secret),
            ("scope", &format!("{}.default", world.root)),
        ])
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    answer["access_token"].as_str().unwrap().to_owned()
}

/// Table, first address, and the properties that become columns.
const LISTS: &[(&str, &str, &[&str])] = &[
    (
        "users",
        "/users?$top=999&$select=id,displayName,userPrincipalName,mail,givenName,surname,jobTitle,department,officeLocation,companyName,employeeId,employeeType,onPremisesSamAccountName,usageLocation,userType,externalUserState,accountEnabled,onPremisesSyncEnabled,assignedLicenses,createdDateTime,lastPasswordChangeDateTime",
        &[
            "id",
            "displayName",
            "userPrincipalName",
            "mail",
            "givenName",
            "surname",
            "jobTitle",
            "department",
            "officeLocation",
            "companyName",
            "employeeId",
            "employeeType",
            "onPremisesSamAccountName",
            "usageLocation",
            "userType",
            "externalUserState",
            "accountEnabled",
            "onPremisesSyncEnabled",
            "assignedLicenses",
            "createdDateTime",
            "lastPasswordChangeDateTime",
        ],
    ),
    (
        "groups",
        "/groups?$top=999&$select=id,displayName,description,groupTypes,securityEnabled,mailEnabled,mail,visibility,membershipRule,isAssignableToRole,onPremisesSyncEnabled,createdDateTime&$expand=owners($select=id,displayName)",
        &[
            "id",
            "displayName",
            "description",
            "groupTypes",
            "securityEnabled",
            "mailEnabled",
            "mail",
            "visibility",
            "membershipRule",
            "isAssignableToRole",
            "onPremisesSyncEnabled",
            "createdDateTime",
            "owners",
        ],
    ),
    (
        "mfa",
        "/reports/authenticationMethods/userRegistrationDetails?$top=999",
        &[
            "id",
            "isAdmin",
            "isMfaRegistered",
            "isMfaCapable",
            "isPasswordlessCapable",
            "methodsRegistered",
            "lastUpdatedDateTime",
        ],
    ),
    (
        "devices",
        "/devices?$top=999&$select=id,displayName,deviceId,operatingSystem,operatingSystemVersion,manufacturer,model,trustType,isCompliant,isManaged,accountEnabled,approximateLastSignInDateTime,registrationDateTime",
        &[
            "id",
            "displayName",
            "deviceId",
            "operatingSystem",
            "operatingSystemVersion",
            "manufacturer",
            "model",
            "trustType",
            "isCompliant",
            "isManaged",
            "accountEnabled",
            "approximateLastSignInDateTime",
            "registrationDateTime",
        ],
    ),
    (
        "activity",
        "/users?$top=500&$select=id,signInActivity",
        &["id", "signInActivity"],
    ),
    (
        "applications",
        "/applications?$top=999&$expand=owners($select=id,displayName,userPrincipalName)&$select=id,appId,displayName,createdDateTime,publisherDomain,verifiedPublisher,signInAudience,disabledByMicrosoftStatus,passwordCredentials,keyCredentials",
        &[
            "id",
            "appId",
            "displayName",
            "passwordCredentials",
            "keyCredentials",
            "owners",
        ],
    ),
    (
        "principals",
        "/servicePrincipals?$top=999&$select=id,appId,displayName,servicePrincipalType,accountEnabled,appOwnerOrganizationId,appRoleAssignmentRequired,verifiedPublisher,alternativeNames,appRoles",
        &[
            "id",
            "appId",
            "displayName",
            "servicePrincipalType",
            "alternativeNames",
            "appRoles",
        ],
    ),
    (
        "roles",
        "/roleManagement/directory/roleAssignments?$expand=principal",
        &["id", "principalId", "roleDefinitionId"],
    ),
    (
        "definitions",
        "/roleManagement/directory/roleDefinitions",
        &["id", "displayName"],
    ),
    (
        "policies",
        "/identity/conditionalAccess/policies",
        &["id", "displayName", "state", "conditions"],
    ),
    ("skus", "/subscribedSkus", &["id", "skuId", "servicePlans"]),
    ("domains", "/domains", &["id", "authenticationType"]),
    (
        "organization",
        "/organization",
        &["id", "displayName", "verifiedDomains"],
    ),
    (
        "managed",
        "/deviceManagement/managedDevices?$top=999&$select=id,deviceName,azureADDeviceId,userId,userPrincipalName,operatingSystem,osVersion,manufacturer,model,serialNumber,complianceState,managementAgent,managedDeviceOwnerType,isEncrypted,jailBroken,enrolledDateTime,lastSyncDateTime",
        &[
            "id",
            "deviceName",
            "azureADDeviceId",
            "userId",
            "operatingSystem",
            "osVersion",
            "complianceState",
            "lastSyncDateTime",
        ],
    ),
    (
        "active_roles",
        "/directoryRoles?$select=id,displayName,description,roleTemplateId",
        &["id", "displayName", "description", "roleTemplateId"],
    ),
    (
        "eligibilities",
        "/roleManagement/directory/roleEligibilityScheduleInstances?$expand=principal",
        &["id", "principalId", "roleDefinitionId", "memberType"],
    ),
    (
        "risky",
        "/identityProtection/riskyUsers?$top=500",
        &["id", "userPrincipalName", "riskLevel", "riskState"],
    ),
    (
        "detections",
        "/identityProtection/riskDetections?$top=500",
        &[
            "id",
            "userId",
            "riskEventType",
            "riskLevel",
            "detectedDateTime",
        ],
    ),
];

/// What the many small tenants are measured without, here as in the product.
const ACTIVITY: &[&str] = &["activity"];

const GRANTED: &[&str] = &["id", "appRoleId", "resourceId"];

/// What belongs to each: table, the list before it, its address around the id, and its columns.
const PARTS: &[(&str, &str, &str, &str, &[&str])] = &[
    (
        "members",
        "groups",
        "/groups/",
        "/members?$select=id,displayName&$top=999",
        &["id", "displayName", "@odata.type"],
    ),
    (
        "assignments",
        "principals",
        "/servicePrincipals/",
        "/appRoleAssignments?$top=999",
        &["id", "appRoleId", "resourceId"],
    ),
];

struct Floor {
    http: Client,
    db: rusqlite::Connection,
    requests: usize,
}

impl Floor {
    fn table(&self, name: &str, columns: &[&str], has_parent: bool) {
        let list: Vec<String> = columns.iter().map(|c| format!("\"{c}\" TEXT")).collect();
        let (extra, key) = if has_parent {
            ("parent TEXT, ", "tenant, parent, id")
        } else {
            ("", "tenant, id")
        };
        self.db
            .execute_batch(&format!(
                "CREATE TABLE IF NOT EXISTS {name} (tenant TEXT, {extra}{}, PRIMARY KEY ({key}))",
                list.join(", ")
            ))
            .unwrap();
    }

    fn insert(&mut self, table: &str, rows: &[Vec<Option<String>>]) {
        let Some(first) = rows.first() else { return };
        let marks = vec!["?"; first.len()].join(",");
        let tx = self.db.transaction().unwrap();
        {
            let mut statement = tx
                .prepare(&format!("INSERT OR REPLACE INTO {table} VALUES ({marks})"))
                .unwrap();
            for row in rows {
                statement.execute(rusqlite::params_from_iter(row)).unwrap();
            }
        }
        tx.commit().unwrap();
    }

    async fn body(&mut self, request: reqwest::RequestBuilder, token: &str) -> Value {
        let answer = request.bearer_auth(token).send().await.unwrap();
        let bytes = answer.bytes().await.unwrap();
        self.requests += 1;
        serde_json::from_slice(&bytes).unwrap()
    }

    /// The permissions that the tenant granted to the application.
    async fn granted(&mut self, world: &World, tenant: &str, token: &str) {
        let principals = format!("{}v1.0/servicePrincipals", world.root);
        let own = format!("{principals}(appId='{}')?$select=id", world.client_id);
        let principal = self.body(self.http.get(own), token).await;
        let list = format!(
            "{principals}/{}/appRoleAssignments",
            principal["id"].as_str().unwrap()
        );
        let body = self.body(self.http.get(list), token).await;
        let items = body["value"].as_array().unwrap();
        let rows: Vec<_> = items
            .iter()
            .map(|item| texts(&[tenant], item, GRANTED))
            .collect();
        self.insert("granted", &rows);
    }

    async fn tenant(&mut self, world: &World, tenant: &str) {
        let token = token(&self.http, world, tenant).await;
        self.granted(world, tenant, &token).await;
        let mut ids: std::collections::HashMap<&str, Vec<String>> = Default::default();
        for (table, first, columns) in LISTS {
            if ACTIVITY.contains(table) && world.tenants.len() > 1 {
                continue;
            }
            let mut next = Some(format!("{}v1.0{first}", world.root));
            while let Some(url) = next {
                let body = self.body(self.http.get(&url), &token).await;
                let Some(items) = body["value"].as_array() else {
                    break;
                };
                if PARTS.iter().any(|part| part.1 == *table) {
                    let known = ids.entry(table).or_default();
                    known.extend(
                        items
                            .iter()
                            .map(|item| item["id"].as_str().unwrap().to_owned()),
                    );
                }
                let rows: Vec<_> = items
                    .iter()
                    .map(|item| texts(&[tenant], item, columns))
                    .collect();
                self.insert(table, &rows);
                next = body["@odata.nextLink"].as_str().map(str::to_owned);
            }
        }
        for (table, of, before, after, columns) in PARTS {
            let parents = ids.remove(of).unwrap_or_default();
            for chunk in parents.chunks(20) {
                let parts: Vec<Value> = chunk
                    .iter()
                    .enumerate()
                    .map(|(i, id)| json!({ "id": i.to_string(), "method": "GET", "url": format!("{before}{id}{after}") }))
                    .collect();
                let post = self.http.post(format!("{}v1.0/$batch", world.root));
                let body = self
                    .body(post.json(&json!({ "requests": parts })), &token)
                    .await;
                let mut rows = Vec::new();
                for response in body["responses"].as_array().unwrap() {
                    let parent = &chunk[response["id"].as_str().unwrap().parse::<usize>().unwrap()];
                    let mut page = response["body"].clone();
                    loop {
                        for item in page["value"].as_array().into_iter().flatten() {
                            rows.push(texts(&[tenant, parent], item, columns));
                        }
                        let Some(next) = page["@odata.nextLink"].as_str().map(str::to_owned) else {
                            break;
                        };
                        page = self.body(self.http.get(&next), &token).await;
                    }
                }
                self.insert(table, &rows);
            }
        }
    }
}

fn texts(keys: &[&str], item: &Value, names: &[&str]) -> Vec<Option<String>> {
    let keys = keys.iter().map(|key| Some((*key).to_owned()));
    let values = names.iter().map(|name| match &item[*name] {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    });
    keys.chain(values).collect()
}

/// Reads every tenant and prints what it cost.
pub async fn run(world: World, path: &Path) {
    let db = rusqlite::Connection::open(path).unwrap();
    // The same promises as the product's database.
    db.execute_batch("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA secure_delete=ON")
        .unwrap();
    let mut floor = Floor {
        http: Client::builder().no_proxy().build().unwrap(),
        db,
        requests: 0,
    };
    for (table, _, columns) in LISTS {
        floor.table(table, columns, false);
    }
    floor.table("granted", GRANTED, false);
    for (table, _, _, _, columns) in PARTS {
        floor.table(table, columns, true);
    }
    let (began, before) = (Instant::now(), cpu(std::process::id()));
    for tenant in &world.tenants {
        floor.tenant(&world, tenant).await;
    }
    let used = cpu(std::process::id()) - before;
    println!(
        "FLOOR wall={:.3} cpu={:.3} requests={} peak={:.1}",
        began.elapsed().as_secs_f64(),
        used.as_secs_f64(),
        floor.requests,
        peak(std::process::id())
    );
}
