//! The part of Graph about a partner's customers, and mail.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use crate::{
    Directory,
    call::{Answer, Call},
    data::{self, stamp_of},
    refusal,
    router::{Ask, Route, admit},
    state::State,
    world,
};

const RELATIONSHIPS: &[&str] = &["DelegatedAdminRelationship.Read.All"];
const TENANTS: &[&str] = &["CrossTenantInformation.ReadBasic.All"];

pub(crate) const ROUTES: &[Route] = &[
    Route::new(
        "/v1.0/tenantRelationships/delegatedAdminCustomers",
        RELATIONSHIPS,
        customers,
    ),
    Route::new(
        "/v1.0/tenantRelationships/delegatedAdminRelationships",
        RELATIONSHIPS,
        relationships,
    ),
    Route::new(
        "/v1.0/tenantRelationships/findTenantInformationByTenantId(tenantId='{id}')",
        TENANTS,
        tenant_information,
    ),
    Route::new(
        "/v1.0/tenantRelationships/findTenantInformationByDomainName(domainName='{id}')",
        TENANTS,
        tenant_information,
    ),
    Route::new("/v1.0/contracts", &["Directory.Read.All"], contracts),
];

/// The customers that the partner's own directory knows in a way; other directories have none.
fn related<'a>(call: &Call<'a>, relation: &str) -> Vec<&'a Directory> {
    let world = &call.state.world;
    let home = &world.directories[0];
    world
        .directories
        .iter()
        .filter(|d| call.directory.id == home.id && d.relation == relation)
        .collect()
}

fn customers(call: &Call<'_>) -> Answer {
    let known = related(call, "gdap");
    call.page(
        "delegatedAdminCustomers",
        known.len(),
        300,
        300,
        |i| json!({ "id": known[i].id, "tenantId": known[i].id, "displayName": known[i].name }),
    )
}

fn relationships(call: &Call<'_>) -> Answer {
    let known = related(call, "gdap");
    call.page("delegatedAdminRelationships", known.len(), 300, 300, |i| {
        json!({
            "id": format!("{}-relationship", known[i].id), "displayName": "Standard services",
            "status": if i == 0 { "expiring" } else { "active" },
            "endDateTime": stamp_of(data::now().timestamp() + 200 * 86_400),
            "customer": { "tenantId": known[i].id, "displayName": known[i].name },
        })
    })
}

fn contracts(call: &Call<'_>) -> Answer {
    let known = related(call, "contract");
    call.page("contracts", known.len(), 100, 999, |i| {
        json!({
            "id": world::id(b"contract", i as u64), "customerId": known[i].id,
            "defaultDomainName": known[i].domain, "displayName": known[i].name,
            "contractType": "BreadthPartner", "deletedDateTime": null,
        })
    })
}

/// Takes a mail from a mailbox of the directory.
pub(crate) async fn send_mail(
    state: web::Data<State>,
    request: HttpRequest,
    mail: web::Json<Value>,
) -> HttpResponse {
    let ask = Ask::of(&request);
    let path = "/v1.0/users/{id}/sendMail";
    let fault = state.note(&ask.uri, path);
    let (_, directory, _) = match admit(&state, &ask, path, &["Mail.Send"], fault.as_ref()).await {
        Ok(admitted) => admitted,
        Err(refused) => {
            state.weather.answered(None, &refused, state.millis());
            return refused;
        }
    };
    let from = request.match_info().query("id").to_owned();
    if !from.ends_with(&format!("@{}", directory.domain)) {
        return refusal::error(
            404,
            "ErrorInvalidUser",
            &format!("The requested user '{from}' is invalid."),
        );
    }
    state.add_mail(&from, mail.into_inner());
    HttpResponse::Accepted().finish()
}

fn tenant_information(call: &Call<'_>) -> Answer {
    match call.state.world.directory(&call.id) {
        Some(found) => Ok(call.send(&json!({
            "tenantId": found.id, "displayName": found.name, "defaultDomainName": found.domain,
            "federationBrandName": null,
        }))),
        None => Err(refusal::not_found(&call.id)),
    }
}
