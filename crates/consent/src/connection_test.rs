//! Test connection: one line for each thing that a connection needs, in the order in which it is
//! needed, with what to do about each that is wrong.

use std::time::Instant;

use graph::{Class, Cloud, Error as GraphError, GraphClient, Meter, Request, oidc, types};
use model::{
    ConnectionTest, CredentialKind, Scope, SecretKind, TestState, Timestamp, authorisation,
    connection_test::{self, Line, Verdict},
    credential::{
        self, Credential,
        secret::{self, Opened},
    },
};

use crate::{
    Connection, Consent, Error, organization_of,
    permission::{self, Drift},
};

/// A clock that is further off makes tokens and assertions fail; half of it is worth a word.
const SKEW_SECONDS: i64 = 300;

/// A test under way.
struct Test<'a> {
    scope: &'a Scope,
    id: model::ConnectionTestId,
    lines: Vec<Line>,
}

impl Test<'_> {
    async fn add(&mut self, line: Line) -> Result<(), Error> {
        self.lines.push(line);
        Ok(connection_test::record(self.scope, self.id, &self.lines, None).await?)
    }

    fn has(&self, verdict: Verdict) -> bool {
        self.lines.iter().any(|l| l.verdict == verdict)
    }
}

fn line(what: &str, verdict: Verdict, found: impl Into<String>, began: Instant) -> Line {
    Line {
        what: what.to_owned(),
        verdict,
        found: found.into(),
        remedy: String::new(),
        code: String::new(),
        ms: i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX),
    }
}

fn failure(what: &str, verdict: Verdict, error: &GraphError, began: Instant) -> Line {
    Line {
        remedy: error.remedy(),
        code: error.code().unwrap_or_default(),
        ..line(what, verdict, error.sentence(), began)
    }
}

impl Consent {
    /// Runs a test that was begun, keeping each line as it comes, to its end. Where a single-tenant
    /// application or a delegated connection passes, its directory is connected.
    ///
    /// # Errors
    /// Ours alone; what Microsoft refuses is a line.
    #[allow(clippy::disallowed_methods)] // times of lines are measured, not told
    pub async fn test_connection(
        &self,
        scope: &Scope,
        credential: &Credential,
        begun: &ConnectionTest,
    ) -> Result<TestState, Error> {
        let mut test = Test {
            scope,
            id: begun.id,
            lines: vec![],
        };
        self.lines_of(&mut test, credential, begun).await?;
        let end = if test.has(Verdict::Failed) {
            TestState::Failed
        } else if test.has(Verdict::Warning) {
            TestState::Partial
        } else {
            TestState::Passed
        };
        connection_test::record(scope, begun.id, &test.lines, Some(end)).await?;
        Ok(end)
    }

    #[allow(clippy::disallowed_methods)]
    async fn lines_of(
        &self,
        test: &mut Test<'_>,
        credential: &Credential,
        begun: &ConnectionTest,
    ) -> Result<(), Error> {
        let (scope, connection) = (test.scope, &self.connection);
        let cloud = connection.cloud(credential)?;
        let directory = begun.directory_id;
        let is_home = directory == credential.directory_id;

        if !sign_in_service(test, connection, &cloud, directory.0).await? {
            return Ok(());
        }
        let began = Instant::now();
        let client = connection
            .client(scope, credential, directory, "normal")
            .await?;
        let client = match client {
            Some(client) => client,
            None => {
                return test
                    .add(failure(
                        "Token",
                        Verdict::Failed,
                        &GraphError::Revoked,
                        began,
                    ))
                    .await;
            }
        };
        client.forget_token();
        let token = client.authenticate().await;
        note(scope, credential, token.as_ref().err()).await?;
        if let Err(error) = token {
            return test
                .add(failure("Token", Verdict::Failed, &error, began))
                .await;
        }
        let how = match credential.kind {
            CredentialKind::Delegated => "Obtained in the name of the person who authorised.",
            _ => "Obtained.",
        };
        test.add(line("Token", Verdict::Ok, how, began)).await?;

        let began = Instant::now();
        let organization = match organization_of(&client).await {
            Ok(organization) if organization.id == directory.0 => organization,
            Ok(_) => {
                return test
                    .add(line(
                        "Organization",
                        Verdict::Failed,
                        "Microsoft answered with another tenant than the one that was asked.",
                        began,
                    ))
                    .await;
            }
            Err(error) => {
                return test
                    .add(failure("Organization", Verdict::Failed, &error, began))
                    .await;
            }
        };
        let name = format!("{}.", organization.facts.display_name);
        test.add(line("Organization", Verdict::Ok, name, began))
            .await?;

        if is_home && credential.kind != CredentialKind::Delegated {
            self.registration(test, credential, &client).await?;
        }
        permissions(test, credential, &client, &cloud, is_home).await?;
        licences(test, &client).await?;

        if is_home && !test.has(Verdict::Failed) && credential.kind != CredentialKind::MultiTenant {
            let began = Instant::now();
            match authorisation::connect(scope, credential, &organization.facts).await {
                Ok(_) => {}
                Err(model::Error::Conflict(why)) => {
                    test.add(line("Tenant", Verdict::Failed, why, began))
                        .await?;
                }
                Err(other) => return Err(other.into()),
            }
        }
        Ok(())
    }

    /// What the registration itself says: who may sign in, where they are sent back to, what it asks
    /// for, when its secrets end. And that it lives in this directory: an application of many
    /// tenants, taken for one of a single tenant, would read a customer's without their consent.
    #[allow(clippy::disallowed_methods)]
    async fn registration(
        &self,
        test: &mut Test<'_>,
        credential: &Credential,
        client: &GraphClient,
    ) -> Result<(), Error> {
        let began = Instant::now();
        let single = credential.kind == CredentialKind::SingleTenant;
        let request = Request::get(format!("/applications(appId='{}')", credential.client_id))
            .select(types::Application::SELECT);
        let read: Result<types::Application, _> = client.read(&request, &Meter::default()).await;
        let application = match read {
            Ok(application) => application,
            Err(error) => {
                let verdict = if single {
                    Verdict::Failed
                } else {
                    Verdict::Warning
                };
                let mut told = failure("Registration", verdict, &error, began);
                match error.class() {
                    Class::NotFound => {
                        told.found = "The registration does not live in this directory.".into();
                        told.remedy =
                            "Enter the tenant ID of the directory in which it was registered."
                                .into();
                    }
                    Class::Permission => {
                        told.found = "The registration cannot be read.".into();
                        told.remedy =
                            "Grant Application.Read.All: it shows in which directory the registration lives."
                                .into();
                    }
                    _ => {}
                }
                return test.add(told).await;
            }
        };
        let name = format!("{}.", application.display_name);
        test.add(line("Registration", Verdict::Ok, name, began))
            .await?;
        let warn = |what: &str, found: &str, remedy: &str| Line {
            remedy: remedy.to_owned(),
            ..line(what, Verdict::Warning, found, began)
        };
        let audience = application.sign_in_audience.as_deref().unwrap_or_default();
        let many = audience.starts_with("AzureADMultipleOrgs")
            || audience.starts_with("AzureADandPersonal");
        if !single && !many {
            test.add(warn(
                "Supported account types",
                "The registration accepts accounts of its own directory only.",
                "Set them to \"Accounts in any organizational directory\" under Authentication.",
            ))
            .await?;
        }
        let uris = application.web.map(|w| w.redirect_uris).unwrap_or_default();
        if !single && !uris.contains(&self.redirect_uri) {
            test.add(warn(
                "Redirect URI",
                "The redirect URI of this installation is not in the registration.",
                &format!("Add {} under Authentication › Web.", self.redirect_uri),
            ))
            .await?;
        }
        let opened = secret::open(test.scope, &self.connection.keyring, credential.id).await?;
        let current = opened.iter().find(|o| o.kind != SecretKind::RefreshToken);
        if let Some(current) = current {
            let end = end_of(
                current,
                &application.password_credentials,
                &application.key_credentials,
            );
            if let Some(end) = end {
                secret::note_expiry(test.scope, current.id, end).await?;
                test.add(secret_end(test.scope.now(), end, began)).await?;
            }
        }
        Ok(())
    }
}

#[allow(clippy::disallowed_methods)]
async fn sign_in_service(
    test: &mut Test<'_>,
    connection: &Connection,
    cloud: &Cloud,
    directory: uuid::Uuid,
) -> Result<bool, Error> {
    let began = Instant::now();
    let what = "Sign-in service";
    let found = oidc::discover(connection.tokens.http(), cloud, &directory.to_string()).await;
    let discovery = match found {
        Ok(discovery) => discovery,
        Err(error) => {
            test.add(failure(what, Verdict::Failed, &error, began))
                .await?;
            return Ok(false);
        }
    };
    let text = format!("{} knows the tenant.", cloud.label);
    test.add(line(what, Verdict::Ok, text, began)).await?;
    let Some(date) = discovery.date else {
        return Ok(true);
    };
    let skew = test.scope.now().0 / 1000 - date;
    let text = match skew {
        -2..=2 => "Equal to Microsoft's.".to_owned(),
        s if s > 0 => format!("{s} seconds ahead of Microsoft's."),
        s => format!("{} seconds behind Microsoft's.", -s),
    };
    let verdict = match skew.abs() {
        0..=SKEW_SECONDS if skew.abs() <= SKEW_SECONDS / 2 => Verdict::Ok,
        0..=SKEW_SECONDS => Verdict::Warning,
        _ => Verdict::Failed,
    };
    let remedy = match verdict {
        Verdict::Ok => "",
        _ => {
            "Set this server's clock, best by NTP: Microsoft refuses what is signed in the future or the past."
        }
    };
    test.add(Line {
        remedy: remedy.into(),
        ..line("Clock", verdict, text, began)
    })
    .await?;
    Ok(true)
}

/// Each permission by what was granted where that can be read, and by its cheapest call.
#[allow(clippy::disallowed_methods)]
async fn permissions(
    test: &mut Test<'_>,
    credential: &Credential,
    client: &GraphClient,
    cloud: &Cloud,
    is_home: bool,
) -> Result<(), Error> {
    let required = permission::required_by(credential);
    let granted = match credential.kind {
        CredentialKind::Delegated => None,
        _ => permission::granted(client, credential.client_id).await.ok(),
    };
    for permission in required.iter().filter(|p| is_home || !p.home_only) {
        let began = Instant::now();
        let listed = granted
            .as_ref()
            .map(|names| names.iter().any(|n| n == permission.name));
        let mut told = match (permission.try_it(client, cloud).await, listed) {
            (Some(Ok(())), _) | (None, Some(true)) => {
                line(permission.name, Verdict::Ok, "Granted.", began)
            }
            (Some(Err(error)), _) if error.class() == Class::Permission => {
                let mut told = failure(permission.name, Verdict::Warning, &error, began);
                told.found = format!("Not granted. {}", permission.without);
                told
            }
            (Some(Err(error)), listed) => {
                let mut told = failure(permission.name, Verdict::Warning, &error, began);
                if listed == Some(true) {
                    told.found = format!("Granted, but not usable: {}", told.found);
                }
                told
            }
            (None, Some(false)) => Line {
                remedy: "Add it to the registration and consent again.".into(),
                ..line(
                    permission.name,
                    Verdict::Warning,
                    format!("Not granted. {}", permission.without),
                    began,
                )
            },
            (None, None) => line(
                permission.name,
                Verdict::Skipped,
                "Not in this cloud, or not to be told by reading.",
                began,
            ),
        };
        // The organization was read just now: that one is there whatever the list says.
        if permission.name == "Organization.Read.All" && told.verdict == Verdict::Skipped {
            told.verdict = Verdict::Ok;
        }
        test.add(told).await?;
    }
    if let Some(granted) = granted {
        let began = Instant::now();
        let drift = Drift::of(&required, &granted, is_home);
        if !drift.unexpected.is_empty() {
            test.add(Line {
                remedy: "Remove it from the registration and from the enterprise application, or switch on the feature that needs it.".into(),
                ..line(
                    "Permissions beside these",
                    Verdict::Warning,
                    format!("Granted and not needed: {}.", drift.unexpected.join(", ")),
                    began,
                )
            })
            .await?;
        }
    }
    Ok(())
}

/// Licences that features depend on: a hint, never a failure.
#[allow(clippy::disallowed_methods)]
async fn licences(test: &mut Test<'_>, client: &GraphClient) -> Result<(), Error> {
    let began = Instant::now();
    let request = Request::get("/subscribedSkus");
    let skus: Result<Vec<types::SubscribedSku>, _> =
        client.read_all(&request, &Meter::default()).await;
    let skus = match skus {
        Ok(skus) => skus,
        Err(error) => {
            return test
                .add(failure("Licences", Verdict::Warning, &error, began))
                .await;
        }
    };
    let plans: Vec<&str> = skus
        .iter()
        .flat_map(|s| &s.service_plans)
        .filter(|p| p.provisioning_status.as_deref() != Some("Disabled"))
        .map(|p| p.service_plan_name.as_str())
        .collect();
    for (what, plan, without) in [
        (
            "Entra ID P1",
            "AAD_PREMIUM",
            "MFA registration and sign-in activity stay unknown.",
        ),
        (
            "Entra ID P2",
            "AAD_PREMIUM_P2",
            "Risky users and eligible roles stay unknown.",
        ),
        ("Intune", "INTUNE_A", "Managed devices stay unknown."),
    ] {
        let has =
            plans.contains(&plan) || (plan == "AAD_PREMIUM" && plans.contains(&"AAD_PREMIUM_P2"));
        let told = if has {
            line(what, Verdict::Ok, "Licensed.", began)
        } else {
            line(
                what,
                Verdict::Skipped,
                format!("Not licensed: {without}"),
                began,
            )
        };
        test.add(told).await?;
    }
    Ok(())
}

/// When the secret in use ends, by what the registration lists.
fn end_of(
    current: &Opened,
    secrets: &[types::PasswordCredential],
    certificates: &[types::KeyCredential],
) -> Option<Timestamp> {
    if let Some(der) = &current.certificate {
        let thumbprint = keys::Certificate::from_der(der).ok()?.thumbprint();
        let bytes = data_encoding::HEXUPPER.decode(thumbprint.as_bytes()).ok()?;
        let base64 = data_encoding::BASE64.encode(&bytes);
        return certificates
            .iter()
            .find(|c| {
                // Graph answers the bytes in base64; the portal's manifest shows hexadecimal.
                c.custom_key_identifier
                    .as_deref()
                    .is_some_and(|id| id == base64 || id.eq_ignore_ascii_case(&thumbprint))
            })
            .and_then(|c| c.end_date_time)
            .map(Timestamp::from);
    }
    let text = current.text().ok()?;
    let mut fitting = secrets.iter().filter(|s| {
        s.hint
            .as_deref()
            .is_some_and(|h| !h.is_empty() && text.starts_with(h))
    });
    match (fitting.next(), fitting.next()) {
        // Two secrets that begin alike cannot be told apart.
        (Some(one), None) => one.end_date_time.map(Timestamp::from),
        _ => None,
    }
}

fn secret_end(now: Timestamp, end: Timestamp, began: Instant) -> Line {
    let day = end.day();
    let soon = end <= now.plus_minutes(credential::EXPIRING_DAYS * 24 * 60);
    if soon {
        Line {
            remedy: "Make a new one in the registration and renew the credential here.".into(),
            ..line(
                "Secret or certificate",
                Verdict::Warning,
                format!("Ends on {day}."),
                began,
            )
        }
    } else {
        line(
            "Secret or certificate",
            Verdict::Ok,
            format!("Good until {day}."),
            began,
        )
    }
}

async fn note(
    scope: &Scope,
    credential: &Credential,
    error: Option<&GraphError>,
) -> Result<(), Error> {
    match error {
        // A draft becomes active when a tenant is connected, not when a token is obtained.
        None if credential.is_unused() => Ok(()),
        None => Ok(credential::note_result(scope, credential.id, Ok(())).await?),
        Some(error) if error.class() == Class::Credential => {
            let code = error.code().unwrap_or_default();
            let told = Err((code.as_str(), &*error.sentence()));
            Ok(credential::note_result(scope, credential.id, told).await?)
        }
        Some(_) => Ok(()),
    }
}
