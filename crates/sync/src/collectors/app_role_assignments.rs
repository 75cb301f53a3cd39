//! Application roles that service principals were given. Graph does not tell when these change, so
//! they are read in every run: of each service principal when all of these were read, else of each
//! resource that has roles to give, which are few, and of the service principals that changed.

use futures_util::future::BoxFuture;
use graph::{Request, types};
use model::inventory::{self, AppRoleAssignmentRow};

use super::service_principals;
use crate::collector::{Entry, Pass, Stop, end_fan_out, fan_out};

pub(crate) const NAME: &str = "app_role_assignments";
/// Under which it is said that all service principals were read.
pub(super) const ALL: &str = "app_role_assignments of all";

pub(crate) const ENTRY: Entry = Entry {
    name: NAME,
    run,
    ..service_principals::ENTRY.after(service_principals::NAME)
};

fn run<'a>(pass: &'a Pass<'a>) -> BoxFuture<'a, Result<(), Stop>> {
    Box::pin(async move {
        let stage = pass.stage;
        let all = pass.found.take(ALL).is_some();
        let principals = pass.found.take(NAME).unwrap_or_default();
        stage.expect(NAME, stage.present::<AppRoleAssignmentRow>().await?);
        let given = |principal: &str| {
            Request::related("servicePrincipals", principal, "appRoleAssignments").top(999)
        };
        let own = |principal: &str, wire| Some(assignment(principal, wire));
        let (mut unread, mut error) = fan_out(pass, NAME, principals.clone(), given, own).await?;
        if all {
            return end_fan_out::<AppRoleAssignmentRow>(pass, NAME, (unread, error)).await;
        }
        end(pass, "principal_id", principals, &unread).await?;
        let resources = inventory::resources(pass.lease()).await?;
        let taken = |resource: &str| {
            Request::related("servicePrincipals", resource, "appRoleAssignedTo").top(999)
        };
        let (missing, why) = fan_out(pass, NAME, resources.clone(), taken, of_resource).await?;
        end(pass, "resource_id", resources, &missing).await?;
        unread.extend(missing);
        error = error.or(why);
        stage.guard::<AppRoleAssignmentRow>(NAME).await?;
        stage.read_to(NAME, None, pass.now(), false);
        error.map_or(Ok(()), |error| Err(Stop::Partly(unread.len(), error)))
    })
}

/// Ends what was not seen of those that were read.
async fn end(
    pass: &Pass<'_>,
    column: &'static str,
    mut read: Vec<String>,
    unread: &[String],
) -> Result<(), Stop> {
    read.retain(|id| !unread.contains(id));
    let stage = pass.stage;
    stage
        .complete_by::<AppRoleAssignmentRow>(NAME, column, read)
        .await?;
    Ok(())
}

/// Users and groups take roles as well; theirs are no permissions of applications.
fn of_resource(_: &str, wire: types::AppRoleAssignment) -> Option<AppRoleAssignmentRow> {
    let is_application = wire.principal_type.as_deref() == Some("ServicePrincipal");
    is_application.then(|| assignment(&wire.principal_id.clone(), wire))
}

fn assignment(principal: &str, wire: types::AppRoleAssignment) -> AppRoleAssignmentRow {
    AppRoleAssignmentRow {
        principal_id: principal.to_owned(),
        id: wire.id,
        app_role_id: wire.app_role_id,
        resource_id: wire.resource_id,
        resource_display_name: wire.resource_display_name,
        assigned_at: wire.created_date_time.map(Into::into),
    }
}
