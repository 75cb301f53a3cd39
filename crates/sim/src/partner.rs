//! The part of Graph about applications, roles and a partner's customers.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    Directory, data,
    graph::{Call, authorise, error, not_found},
    state::State,
    world::{self, account_id},
};

pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/applications", web::get().to(applications))
        .route("/applications(appId='{id}')", web::get().to(application))
        .route(
            "/servicePrincipals(appId='{id}')",
            web::get().to(service_principal),
        )
        .route(
            "/servicePrincipals/{id}/appRoleAssignments",
            web::get().to(assignments),
        )
        .route(
            "/roleManagement/directory/roleAssignments",
            web::get().to(role_assignments),
        )
        .route(
            "/groups/{id}/transitiveMembers",
            web::get().to(transitive_members),
        )
        .route(
            "/tenantRelationships/delegatedAdminCustomers",
            web::get().to(customers),
        )
        .route(
            "/tenantRelationships/delegatedAdminRelationships",
            web::get().to(relationships),
        )
        .route(
            "/tenantRelationships/findTenantInformationByTenantId(tenantId='{id}')",
            web::get().to(tenant_information),
        )
        .route(
            "/tenantRelationships/findTenantInformationByDomainName(domainName='{id}')",
            web::get().to(tenant_information),
        )
        .route("/users/{id}/sendMail", web::post().to(send_mail))
        .route("/contracts", web::get().to(contracts));
}

macro_rules! call {
    ($state:expr, $request:expr, $roles:expr) => {
        match authorise(&$state, &$request, $roles, false).await {
            Ok(call) => call,
            Err(answer) => return answer,
        }
    };
}

const READ_APPLICATIONS: &[&str] = &["Application.Read.All", "Directory.Read.All"];

/// GUIDs of Graph's application permissions that the simulation grants, and two that nobody asks for
/// (source: Graph's permissions reference).
const ROLE_IDS: &[(&str, &str)] = &[
    (
        "Organization.Read.All",
        "498476ce-e0fe-48b0-b801-37ba7e2685c6",
    ),
    ("Domain.Read.All", "dbb9058a-0e50-45d7-ae91-66909b5d4664"),
    ("User.Read.All", "df021288-bdef-4463-88db-98f22de89214"),
    (
        "GroupMember.Read.All",
        "98830695-27a2-44f7-8c18-0c3ebc9698f6",
    ),
    (
        "Application.Read.All",
        "9a5d68dd-52b0-4cc2-bd40-abcf44ac3a30",
    ),
    (
        "RoleManagement.Read.Directory",
        "483bed4a-2ad3-4361-a73b-c83ccdbdc53c",
    ),
    ("AuditLog.Read.All", "b0afded3-3588-46d8-8b3d-9842eff778da"),
    (
        "SecurityEvents.Read.All",
        "bf394140-e372-4bf9-a898-299cfc7564e5",
    ),
    (
        "DelegatedAdminRelationship.Read.All",
        "f6e9e124-4586-492f-adc0-c6f96e4823fd",
    ),
    (
        "CrossTenantInformation.ReadBasic.All",
        "cac88765-0581-4025-9725-5ebc13f729ee",
    ),
    ("Directory.Read.All", "7ab1d382-f21e-4acd-a863-ba3e13f7da61"),
    ("Mail.Send", "b633e1c5-b582-4048-a93e-9f11b44c7e96"),
    ("Group.Read.All", "5b567255-7703-4780-807c-7be8301ae99b"),
];

const GRAPH: &str = "00000003-0000-0000-c000-000000000000";

fn role_id(name: &str) -> String {
    ROLE_IDS.iter().find(|(n, _)| *n == name).map_or_else(
        || world::id(name.as_bytes(), 0).to_string(),
        |(_, id)| (*id).to_owned(),
    )
}

fn principal_id(directory: &Directory, client_id: &str) -> Uuid {
    world::id(client_id.as_bytes(), directory.id.as_u64_pair().1)
}

fn stamp(seconds: i64) -> Value {
    chrono::DateTime::from_timestamp(seconds, 0).map_or(Value::Null, |t| {
        json!(t.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))
    })
}

/// A registration as its home directory shows it.
fn registration(state: &State, application: &crate::Application) -> Value {
    let secrets: Vec<Value> = state
        .secrets(application)
        .iter()
        .map(|s| {
            json!({
                "keyId": world::id(s.value.as_bytes(), 1), "displayName": "secret",
                "hint": s.value.get(..3), "secretText": null, "customKeyIdentifier": null,
                "startDateTime": stamp(state.now() - 86_400),
                "endDateTime": s.ends_at.map_or_else(|| stamp(state.now() + 365 * 86_400), stamp),
            })
        })
        .collect();
    let certificates: Vec<Value> = state
        .certificates(application.client_id)
        .iter()
        .filter_map(|der| {
            let (_, parsed) = x509_parser::parse_x509_certificate(der).ok()?;
            let sha1 = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, der);
            Some(json!({
                "keyId": world::id(der, 2), "displayName": parsed.subject().to_string(),
                "type": "AsymmetricX509Cert", "usage": "Verify", "key": null,
                "customKeyIdentifier": data_encoding::BASE64.encode(sha1.as_ref()),
                "startDateTime": stamp(parsed.validity().not_before.timestamp()),
                "endDateTime": stamp(parsed.validity().not_after.timestamp()),
            }))
        })
        .collect();
    let roles: Vec<Value> = state
        .manifest(application.client_id)
        .iter()
        .map(|name| json!({ "id": role_id(name), "type": "Role" }))
        .collect();
    json!({
        "id": world::id(application.client_id.as_bytes(), 3), "appId": application.client_id,
        "displayName": application.name,
        "signInAudience": if application.multi_tenant { "AzureADMultipleOrgs" } else { "AzureADMyOrg" },
        "web": { "homePageUrl": null, "logoutUrl": null, "redirectUris": state.redirect_uris(application) },
        "requiredResourceAccess": [{ "resourceAppId": GRAPH, "resourceAccess": roles }],
        "passwordCredentials": secrets, "keyCredentials": certificates,
    })
}

async fn applications(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    let call = call!(state, request, READ_APPLICATIONS);
    let home: Vec<_> = state
        .world
        .applications
        .iter()
        .filter(|a| a.home == call.directory.id)
        .collect();
    call.page("applications", home.len(), 100, 999, |i| {
        registration(&state, home[i])
    })
}

async fn application(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    let call = call!(state, request, READ_APPLICATIONS);
    let id = request.match_info().query("id");
    match state.world.application(id) {
        Some(found) if found.home == call.directory.id => {
            call.send(&call.select(registration(&state, found)))
        }
        _ => not_found(id),
    }
}

async fn service_principal(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    let call = call!(state, request, READ_APPLICATIONS);
    let id = request.match_info().query("id");
    if id == GRAPH {
        let roles: Vec<Value> = ROLE_IDS
            .iter()
            .map(|(name, id)| {
                json!({ "id": id, "value": name, "displayName": name, "isEnabled": true,
                    "allowedMemberTypes": ["Application"], "description": name, "origin": "Application" })
            })
            .collect();
        return call.send(&call.select(json!({
            "id": principal_id(call.directory, GRAPH), "appId": GRAPH,
            "displayName": "Microsoft Graph", "appRoles": roles,
            "appOwnerOrganizationId": "f8cdef31-a31e-4b4a-93e4-5f571e91255a",
        })));
    }
    match state.world.application(id) {
        Some(found) if state.granted(call.directory.id, found.client_id).is_some() => {
            call.send(&call.select(json!({
                "id": principal_id(call.directory, &found.client_id.to_string()),
                "appId": found.client_id, "displayName": found.name, "accountEnabled": true,
                "appOwnerOrganizationId": found.home, "appRoles": [],
                "servicePrincipalType": "Application",
            })))
        }
        _ => not_found(id),
    }
}

async fn assignments(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    let call = call!(state, request, READ_APPLICATIONS);
    let id = request.match_info().query("id");
    let directory = call.directory;
    let found = state.world.applications.iter().find(|a| {
        principal_id(directory, &a.client_id.to_string()).to_string() == id.to_lowercase()
    });
    let Some(found) = found else {
        return not_found(id);
    };
    let roles = state
        .granted(directory.id, found.client_id)
        .unwrap_or_default();
    call.page("appRoleAssignments", roles.len(), 100, 999, |i| {
        json!({
            "id": world::id(roles[i].as_bytes(), 4), "appRoleId": role_id(&roles[i]),
            "createdDateTime": stamp(state.now()), "deletedDateTime": null,
            "principalDisplayName": found.name, "principalId": id,
            "principalType": "ServicePrincipal", "resourceDisplayName": "Microsoft Graph",
            "resourceId": principal_id(directory, GRAPH),
        })
    })
}

const GLOBAL_ADMINISTRATOR: &str = "62e90394-69f5-4237-9190-012177145e10";
const PRIVILEGED_ROLE_ADMINISTRATOR: &str = "e8611ab8-c189-46e8-94e1-60213ab1f814";
const APPLICATION_ADMINISTRATOR: &str = "9b895d92-2cd3-44c7-9d02-a6ac2d5ea5c3";

fn admin_group(directory: &Directory) -> Uuid {
    world::id(b"role-assignable group", directory.id.as_u64_pair().0)
}

async fn role_assignments(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    let call = call!(
        state,
        request,
        &["RoleManagement.Read.Directory", "Directory.Read.All"]
    );
    let directory = call.directory;
    // Only the filter that the documents show is understood.
    let filter = call.query.get("$filter").cloned().unwrap_or_default();
    let wanted = filter
        .strip_prefix("roleDefinitionId eq '")
        .and_then(|f| f.strip_suffix('\''))
        .map(str::to_owned);
    if !filter.is_empty() && wanted.is_none() {
        return error(400, "Request_BadRequest", "Invalid filter clause.");
    }
    let user = "#microsoft.graph.user";
    let all = [
        (GLOBAL_ADMINISTRATOR, account_id(directory, "admin"), user),
        (
            GLOBAL_ADMINISTRATOR,
            admin_group(directory),
            "#microsoft.graph.group",
        ),
        (
            PRIVILEGED_ROLE_ADMINISTRATOR,
            account_id(directory, "privileged"),
            user,
        ),
        (
            APPLICATION_ADMINISTRATOR,
            account_id(directory, "appadmin"),
            user,
        ),
    ];
    let chosen: Vec<_> = all
        .iter()
        .filter(|(role, ..)| wanted.as_deref().is_none_or(|w| w == *role))
        .collect();
    let expand = call.query.get("$expand").is_some_and(|e| e == "principal");
    call.page("roleAssignments", chosen.len(), 100, 999, |i| {
        let (role, principal, kind) = chosen[i];
        let mut assignment = json!({
            "id": format!("{role}-{principal}"), "principalId": principal,
            "roleDefinitionId": role, "directoryScopeId": "/",
        });
        if expand {
            assignment["principal"] = json!({ "@odata.type": kind, "id": principal });
        }
        assignment
    })
}

async fn transitive_members(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    let call = call!(
        state,
        request,
        &["GroupMember.Read.All", "Directory.Read.All"]
    );
    let id = request.match_info().query("id");
    if id != admin_group(call.directory).to_string() {
        return not_found(id);
    }
    call.page("directoryObjects", 1, 100, 999, |_| {
        json!({ "@odata.type": "#microsoft.graph.user", "id": account_id(call.directory, "groupadmin"),
            "displayName": "Group Administrator" })
    })
}

/// The customers that the partner's own directory knows in a way; other directories have none.
fn related<'a>(state: &'a State, call: &Call<'_>, relation: &str) -> Vec<&'a Directory> {
    let home = &state.world.directories[0];
    state
        .world
        .directories
        .iter()
        .filter(|d| call.directory.id == home.id && d.relation == relation)
        .collect()
}

async fn customers(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    let call = call!(state, request, &["DelegatedAdminRelationship.Read.All"]);
    let known = related(&state, &call, "gdap");
    call.page(
        "delegatedAdminCustomers",
        known.len(),
        300,
        300,
        |i| json!({ "id": known[i].id, "tenantId": known[i].id, "displayName": known[i].name }),
    )
}

async fn relationships(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    let call = call!(state, request, &["DelegatedAdminRelationship.Read.All"]);
    let known = related(&state, &call, "gdap");
    call.page("delegatedAdminRelationships", known.len(), 300, 300, |i| {
        json!({
            "id": format!("{}-relationship", known[i].id), "displayName": "Standard services",
            "status": if i == 0 { "expiring" } else { "active" },
            "endDateTime": stamp(data::now().timestamp() + 200 * 86_400),
            "customer": { "tenantId": known[i].id, "displayName": known[i].name },
        })
    })
}

async fn contracts(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    let call = call!(state, request, &["Directory.Read.All"]);
    let known = related(&state, &call, "contract");
    call.page("contracts", known.len(), 100, 999, |i| {
        json!({
            "id": world::id(b"contract", i as u64), "customerId": known[i].id,
            "defaultDomainName": known[i].domain, "displayName": known[i].name,
            "contractType": "BreadthPartner", "deletedDateTime": null,
        })
    })
}

/// Takes a mail from a mailbox of the directory.
async fn send_mail(
    state: web::Data<State>,
    request: HttpRequest,
    mail: web::Json<Value>,
) -> HttpResponse {
    let call = call!(state, request, &["Mail.Send"]);
    let from = request.match_info().query("id").to_owned();
    if !from.ends_with(&format!("@{}", call.directory.domain)) {
        return error(
            404,
            "ErrorInvalidUser",
            &format!("The requested user '{from}' is invalid."),
        );
    }
    state.add_mail(&from, mail.into_inner());
    HttpResponse::Accepted().finish()
}

async fn tenant_information(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    let call = call!(state, request, &["CrossTenantInformation.ReadBasic.All"]);
    let id = request.match_info().query("id");
    match state.world.directory(id) {
        Some(found) => call.send(&json!({
            "tenantId": found.id, "displayName": found.name, "defaultDomainName": found.domain,
            "federationBrandName": null,
        })),
        None => not_found(id),
    }
}
