//! App registrations with their owners, secrets and certificates.

use futures_util::future::BoxFuture;
use graph::{Change, Request, types};
use model::inventory::{ApplicationCredentialRow, ApplicationOwnerRow, ApplicationRow};

use super::groups::EXPANDED;
use crate::collector::{Entry, Pass, Read, Reader, Stop, fan_out, sort_changes};

const NAME: &str = "applications";

pub(crate) const ENTRY: Entry = Entry::new(NAME, "Application.Read.All", run);

fn run<'a>(pass: &'a Pass<'a>) -> BoxFuture<'a, Result<(), Stop>> {
    Box::pin(collect(pass))
}

async fn collect(pass: &Pass<'_>) -> Result<(), Stop> {
    let stage = pass.stage;
    let list = Request::get("/applications")
        .select(types::Application::LISTED)
        .expand("owners($select=id,displayName,userPrincipalName)")
        .top(999);
    let changes = Request::get("/applications/delta").select(types::Application::LISTED);
    let mut reader =
        Reader::<types::Application>::open(pass, NAME, None, list, Some(changes)).await?;
    if reader.is_whole() {
        stage.expect(NAME, stage.present::<ApplicationRow>().await?);
    }
    // Owners of these are read by themselves: a list of changes has none, and an expanded one may
    // be cut off.
    let mut owned = Vec::new();
    while let Some(read) = reader.next().await? {
        match read {
            Read::Whole(applications) => {
                let (mut rows, mut owners) = (Vec::new(), Vec::new());
                for mut application in applications {
                    let expanded = std::mem::take(&mut application.owners);
                    if expanded.len() >= EXPANDED {
                        owned.push(application.id.clone());
                    } else {
                        owners.extend(expanded.into_iter().map(|o| owner(&application.id, o)));
                    }
                    rows.push(application);
                }
                write(pass, rows).await?;
                stage.page(NAME, owners, pass.page_counts(0)).await?;
            }
            Read::Changes(changes) => owned.extend(changed(pass, changes).await?),
        }
    }
    let (unread, error) = fan_out(
        pass,
        NAME,
        owned.clone(),
        |application| {
            Request::related("applications", application, "owners").select(types::Owner::SELECT)
        },
        |application, wire| Some(owner(application, wire)),
    )
    .await?;
    if let Some(error) = error {
        return Err(error.into());
    }
    if reader.is_whole() {
        stage.complete::<ApplicationRow>(NAME, vec![]).await?;
        stage
            .complete::<ApplicationCredentialRow>(NAME, vec![])
            .await?;
        stage.complete::<ApplicationOwnerRow>(NAME, unread).await?;
    } else {
        owned.retain(|id| !unread.contains(id));
        stage
            .complete_by::<ApplicationOwnerRow>(NAME, "application_id", owned)
            .await?;
    }
    stage.guard::<ApplicationRow>(NAME).await?;
    reader.end();
    Ok(())
}

/// Writes registrations with their credentials; answers their ids.
async fn write(pass: &Pass<'_>, wires: Vec<types::Application>) -> Result<Vec<String>, Stop> {
    let mut ids = Vec::with_capacity(wires.len());
    let (mut rows, mut credentials) = (Vec::new(), Vec::new());
    for wire in wires {
        let own = credentials_of(&wire);
        ids.push(wire.id.clone());
        rows.push(normalise(wire, &own));
        credentials.extend(own);
    }
    pass.stage.page(NAME, rows, pass.page_counts(1)).await?;
    pass.stage
        .page(NAME, credentials, pass.page_counts(0))
        .await?;
    Ok(ids)
}

async fn changed(
    pass: &Pass<'_>,
    changes: Vec<Change<types::Application>>,
) -> Result<Vec<String>, Stop> {
    let stage = pass.stage;
    let (applications, gone) = sort_changes(changes, |a: &types::Application| &a.id);
    let ids = write(pass, applications).await?;
    stage
        .complete_by::<ApplicationCredentialRow>(NAME, "application_id", ids.clone())
        .await?;
    stage
        .remove_of::<ApplicationCredentialRow>(NAME, gone.clone())
        .await?;
    stage
        .remove_of::<ApplicationOwnerRow>(NAME, gone.clone())
        .await?;
    stage.remove::<ApplicationRow>(NAME, None, gone).await?;
    Ok(ids)
}

fn normalise(wire: types::Application, credentials: &[ApplicationCredentialRow]) -> ApplicationRow {
    let count = |kind: &str| {
        let of_kind = credentials.iter().filter(|c| c.kind == kind).count();
        i64::try_from(of_kind).ok()
    };
    ApplicationRow {
        id: wire.id,
        display_name: wire.display_name,
        app_id: wire.app_id,
        publisher_domain: wire.publisher_domain,
        verified_publisher: wire.verified_publisher.and_then(|p| p.display_name),
        sign_in_audience: wire.sign_in_audience,
        disabled_by_microsoft: wire.disabled_by_microsoft_status,
        secrets: count("secret"),
        certificates: count("certificate"),
        credentials_end_at: credentials.iter().filter_map(|c| c.ends_at).min(),
        app_created_at: wire.created_date_time.map(Into::into),
    }
}

fn credentials_of(wire: &types::Application) -> Vec<ApplicationCredentialRow> {
    let secrets = wire.password_credentials.iter().filter_map(|c| {
        Some(ApplicationCredentialRow {
            application_id: wire.id.clone(),
            id: c.key_id.clone()?,
            kind: "secret".into(),
            display_name: c.display_name.clone(),
            starts_at: c.start_date_time.map(Into::into),
            ends_at: c.end_date_time.map(Into::into),
        })
    });
    let certificates = wire.key_credentials.iter().filter_map(|c| {
        Some(ApplicationCredentialRow {
            application_id: wire.id.clone(),
            id: c.key_id.clone()?,
            kind: "certificate".into(),
            display_name: c.display_name.clone(),
            starts_at: c.start_date_time.map(Into::into),
            ends_at: c.end_date_time.map(Into::into),
        })
    });
    secrets.chain(certificates).collect()
}

fn owner(application: &str, wire: types::Owner) -> ApplicationOwnerRow {
    let kind = wire.odata_type.as_deref().unwrap_or_default();
    ApplicationOwnerRow {
        application_id: application.to_owned(),
        owner_type: kind.trim_start_matches("#microsoft.graph.").to_owned(),
        id: wire.id,
        display_name: wire.display_name,
        user_principal_name: wire.user_principal_name,
    }
}
