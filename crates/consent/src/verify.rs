//! The last step: whether a consent that was claimed and proved works, and what it brought.

use std::time::Duration;

use graph::{Class, Error as GraphError, GraphClient, Meter, Request, oidc, types};
use model::{
    ConsentRequest, ConsentStep, Db, Scope,
    consent_request::{self, Ending},
    credential::{self, Credential},
    tenant,
};
use uuid::Uuid;

use crate::{
    Consent, Ended, Error, Next, Outcome, organization_of,
    permission::{self, Drift},
};

/// How long the permissions may be read while a browser waits.
const PROBE: Duration = Duration::from_secs(15);

impl Consent {
    /// A token for the tenant, its organization, the role of who consented (where the request says
    /// that it is still to be found), and what was granted. What may pass is looked at again later,
    /// without the administrator.
    pub(crate) async fn verify(
        &self,
        scope: &Scope,
        request: ConsentRequest,
    ) -> Result<Next, Error> {
        let Some(directory) = request.claimed_directory_id else {
            return self
                .end(scope, request, Outcome::TenantMismatch, None, None)
                .await;
        };
        let credential = credential::get(scope, request.credential_id).await?;
        let client = match &credential {
            Some(credential) => {
                self.connection
                    .client(scope, credential, directory, "normal")
                    .await?
            }
            None => None,
        };
        let (Some(credential), Some(client)) = (credential, client) else {
            return self
                .end(scope, request, Outcome::CredentialRejected, None, None)
                .await;
        };
        // App roles are frozen into a token: one from before the consent proves nothing.
        client.forget_token();
        let organization = match organization_of(&client).await {
            Ok(organization) => organization,
            Err(error) => {
                let outcome = or_later(Outcome::of_error(&error));
                if outcome == Outcome::CredentialRejected {
                    note_rejected(scope, &credential, &error).await?;
                }
                return self.end(scope, request, outcome, error.code(), None).await;
            }
        };
        if organization.id != directory.0 {
            return self
                .end(scope, request, Outcome::TenantMismatch, None, None)
                .await;
        }
        if let Some(person) = request.person_id {
            let found = tokio::time::timeout(PROBE, administers(&client, person)).await;
            let refusal = match found {
                Ok(Ok(true)) => None,
                Ok(Ok(false)) => Some((Outcome::WrongRole, None)),
                Ok(Err(error)) => Some((or_later(Outcome::of_error(&error)), error.code())),
                Err(_) => Some((Outcome::StillSpreading, None)),
            };
            if let Some((outcome, code)) = refusal {
                return self.end(scope, request, outcome, code, None).await;
            }
        }
        let is_home = directory == credential.directory_id;
        let (granted, drift) = self.drift(&client, &credential, is_home).await?;
        let outcome = if !drift.missing.is_empty() {
            Outcome::MissingPermissions
        } else if !drift.unexpected.is_empty() {
            Outcome::UnexpectedPermissions
        } else {
            Outcome::Granted
        };
        let list = |names: &[String]| (!names.is_empty()).then(|| names.join(", "));
        let (detail, unexpected) = (list(&drift.missing), list(&drift.unexpected));
        let ending = Ending {
            outcome: outcome.name(),
            code: None,
            detail: detail.clone(),
            unexpected: unexpected.clone(),
            step: ConsentStep::Finished,
        };
        let bound = consent_request::bind(
            scope,
            &request,
            &credential,
            directory,
            &organization.facts,
            ending,
        )
        .await;
        match bound {
            Ok(tenant) => {
                if let Some(granted) = granted {
                    tenant::note_permissions(scope, tenant, &granted).await?;
                }
                let mut request = request;
                request.tenant_id = Some(tenant);
                request.outcome_detail = detail;
                request.unexpected = unexpected;
                Ok(Next::Show(Box::new(Ended {
                    outcome,
                    code: None,
                    tenant_name: Some(organization.facts.display_name),
                    credential_name: Some(credential.name),
                    request: Some(request),
                })))
            }
            Err(model::Error::Conflict(_)) => {
                self.end(scope, request, Outcome::AlreadyLinked, None, None)
                    .await
            }
            Err(model::Error::Invalid(fields)) => {
                let outcome = match fields.first().map(|f| f.field) {
                    Some("link") => Outcome::LinkClosed,
                    _ => Outcome::CredentialRejected,
                };
                self.end(scope, request, outcome, None, None).await
            }
            Err(other) => Err(other.into()),
        }
    }

    /// What the tenant granted, where it can be read, and how that differs from what is required.
    async fn drift(
        &self,
        client: &GraphClient,
        credential: &Credential,
        is_home: bool,
    ) -> Result<(Option<Vec<String>>, Drift), Error> {
        let cloud = self.connection.cloud(credential)?;
        let required = permission::required_by(credential);
        // The browser waits and the state is spent: a slow answer must not lose the consent. What is
        // missing then shows at the first sync.
        let looked = tokio::time::timeout(PROBE, async {
            match permission::granted(client, credential.client_id).await {
                Ok(granted) => {
                    let drift = Drift::of(&required, &granted, is_home);
                    (Some(granted), drift)
                }
                Err(_) => {
                    let missing = permission::missing_by_trying(client, &cloud, &required).await;
                    let unexpected = vec![];
                    let drift = Drift {
                        missing,
                        unexpected,
                    };
                    (None, drift)
                }
            }
        })
        .await;
        Ok(looked.unwrap_or_default())
    }
}

/// Whether a person holds a role that may consent, in person or as member of a group. Where that
/// cannot be read the proof of membership stands alone, and the permission shows as missing.
async fn administers(client: &GraphClient, person: Uuid) -> Result<bool, GraphError> {
    let meter = Meter::default();
    let person = person.to_string();
    for role in oidc::CONSENTING_ROLES {
        let request = Request::get("/roleManagement/directory/roleAssignments")
            .query("$filter", &format!("roleDefinitionId eq '{role}'"))
            .query("$expand", "principal");
        let assignments: Vec<types::RoleAssignment> = match client.read_all(&request, &meter).await
        {
            Ok(assignments) => assignments,
            Err(error) if error.class() == Class::Permission => return Ok(true),
            Err(error) => return Err(error),
        };
        for assignment in assignments {
            if assignment.directory_scope_id.as_deref() != Some("/") {
                continue;
            }
            if assignment.principal_id.eq_ignore_ascii_case(&person) {
                return Ok(true);
            }
            let is_group = assignment
                .principal
                .and_then(|p| p.odata_type)
                .is_some_and(|t| t.ends_with(".group"));
            if is_group && is_member(client, &assignment.principal_id, &person).await? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

async fn is_member(client: &GraphClient, group: &str, person: &str) -> Result<bool, GraphError> {
    let request = Request::related("groups", group, "transitiveMembers")
        .select(types::DirectoryObject::SELECT)
        .top(999);
    let members: Result<Vec<types::DirectoryObject>, _> =
        client.read_all(&request, &Meter::default()).await;
    match members {
        Ok(members) => Ok(members.iter().any(|o| o.id.eq_ignore_ascii_case(person))),
        // The group vanished, or may not be read: it makes nobody an administrator.
        Err(error) if matches!(error.class(), Class::NotFound | Class::Permission) => Ok(false),
        Err(error) => Err(error),
    }
}

/// A failure that may pass is looked at again: the administrator has done their part.
fn or_later(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Unreachable => Outcome::StillSpreading,
        other => other,
    }
}

/// How a consent that did not come to work in time ends, by what was answered last.
fn in_the_end(request: &ConsentRequest) -> Outcome {
    match request.outcome_code.as_deref() {
        Some(code) if code.starts_with("AADSTS") => Outcome::ApplicationNotFound,
        Some(code) if code.starts_with("Auth") || code == "403" => Outcome::NothingReadable,
        Some("Request_ResourceNotFound") => Outcome::ApplicationNotFound,
        _ => Outcome::Unreachable,
    }
}

/// Looks again at the consents that are still spreading, and ends requests that nobody came back
/// for; called by the scheduler. Each look takes a new token. After a quarter of an hour it ends.
pub async fn check_spreading(db: &Db, consent: &Consent) -> Result<(), Error> {
    consent_request::expire(db).await?;
    for (scope, request) in consent_request::take_due_checks(db).await? {
        if request.spread_for_too_long(scope.now()) {
            let (outcome, code) = (in_the_end(&request), request.outcome_code.clone());
            consent.end(&scope, request, outcome, code, None).await?;
        } else if let Err(error) = consent.check_again(&scope, request).await {
            // Ended by somebody else meanwhile, most likely; another look comes if not.
            tracing::warn!(%error, "a consent could not be looked at again");
        }
    }
    Ok(())
}

async fn note_rejected(
    scope: &Scope,
    credential: &Credential,
    error: &GraphError,
) -> Result<(), Error> {
    let code = error.code().unwrap_or_default();
    Ok(credential::note_result(scope, credential.id, Err((&code, &error.sentence()))).await?)
}
