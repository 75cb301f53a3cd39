//! Service principals: applications as the directory sees them, and managed identities with the
//! resource that they belong to.

use futures_util::future::BoxFuture;
use graph::{Request, types};
use model::inventory::{AppRoleAssignmentRow, ServicePrincipalRow};
use serde_json::json;

use super::app_role_assignments;
use crate::collector::{Entry, Pass, Read, Reader, Stop, sort_changes};

pub(crate) const NAME: &str = "service_principals";

pub(crate) const ENTRY: Entry = Entry::new(NAME, "Application.Read.All", run);

fn run<'a>(pass: &'a Pass<'a>) -> BoxFuture<'a, Result<(), Stop>> {
    Box::pin(collect(pass))
}

async fn collect(pass: &Pass<'_>) -> Result<(), Stop> {
    let stage = pass.stage;
    let list = Request::get("/servicePrincipals")
        .select(types::ServicePrincipal::LISTED)
        .top(999);
    let changes = Request::get("/servicePrincipals/delta").select(types::ServicePrincipal::LISTED);
    let mut reader = Reader::<types::ServicePrincipal>::open(
        pass,
        NAME,
        Some(app_role_assignments::NAME),
        list,
        Some(changes),
    )
    .await?;
    if reader.is_whole() {
        stage.expect(NAME, stage.present::<ServicePrincipalRow>().await?);
    }
    while let Some(read) = reader.next().await? {
        let (principals, gone) = match read {
            Read::Whole(principals) => (principals, vec![]),
            Read::Changes(changes) => {
                sort_changes(changes, |principal: &types::ServicePrincipal| &principal.id)
            }
        };
        let ids = principals.iter().map(|p| p.id.clone());
        pass.found.add(app_role_assignments::NAME, ids);
        let rows = principals.into_iter().map(normalise).collect();
        stage.page(NAME, rows, pass.page_counts(1)).await?;
        stage
            .remove_of::<AppRoleAssignmentRow>(app_role_assignments::NAME, gone.clone())
            .await?;
        stage
            .remove::<ServicePrincipalRow>(NAME, None, gone)
            .await?;
    }
    if reader.is_whole() {
        // Says to who comes after that these are all there are.
        pass.found.add(app_role_assignments::ALL, []);
        stage.complete::<ServicePrincipalRow>(NAME, vec![]).await?;
    }
    stage.guard::<ServicePrincipalRow>(NAME).await?;
    reader.end();
    Ok(())
}

fn normalise(wire: types::ServicePrincipal) -> ServicePrincipalRow {
    let names = &wire.alternative_names;
    // Of a managed identity: the resource in Azure, and whether it was made for it alone (seen in
    // the wild, not documented).
    let resource = names.iter().find(|n| n.starts_with("/subscriptions/"));
    let explicit = names
        .iter()
        .find_map(|n| n.strip_prefix("isExplicit="))
        .map(|value| match value.eq_ignore_ascii_case("true") {
            true => "user_assigned",
            false => "system_assigned",
        });
    let roles: serde_json::Map<String, serde_json::Value> = wire
        .app_roles
        .iter()
        .filter_map(|role| Some((role.id.clone(), json!(role.value.as_ref()?))))
        .collect();
    ServicePrincipalRow {
        identity_kind: explicit.map(str::to_owned),
        associated_resource: resource.cloned(),
        id: wire.id,
        display_name: wire.display_name,
        app_id: wire.app_id,
        kind: wire.service_principal_type,
        account_enabled: wire.account_enabled,
        publisher: wire.verified_publisher.and_then(|p| p.display_name),
        app_owner_organization_id: wire.app_owner_organization_id,
        app_role_assignment_required: wire.app_role_assignment_required,
        app_roles: serde_json::Value::Object(roles).to_string(),
    }
}
