//! Application roles that service principals were given. Graph does not tell when these change, so
//! they are read of every service principal that does not belong to Microsoft, and of all of them
//! whenever all were read.

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
        let all = pass.found.take(ALL).is_some();
        let mut principals = pass.found.take(NAME).unwrap_or_default();
        if !all {
            principals.extend(inventory::foreign_principals(pass.lease()).await?);
            principals.sort_unstable();
            principals.dedup();
        }
        pass.stage
            .expect(NAME, pass.stage.present::<AppRoleAssignmentRow>().await?);
        let request = |principal: &str| {
            Request::get(format!("/servicePrincipals/{principal}/appRoleAssignments")).top(999)
        };
        let read = fan_out(pass, NAME, principals.clone(), request, assignment).await?;
        if all {
            return end_fan_out::<AppRoleAssignmentRow>(pass, NAME, read).await;
        }
        let (unread, error) = read;
        principals.retain(|id| !unread.contains(id));
        let stage = pass.stage;
        stage
            .complete_of::<AppRoleAssignmentRow>(NAME, principals)
            .await?;
        stage.guard::<AppRoleAssignmentRow>(NAME).await?;
        stage.read_to(NAME, None, pass.now(), false);
        error.map_or(Ok(()), |error| Err(Stop::Partly(unread.len(), error)))
    })
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
