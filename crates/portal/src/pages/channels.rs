//! Notifications: the channels by which they leave, which of them, and what was sent.

use actix_web::{HttpRequest, http::StatusCode, web};
use askama::Template;
use keys::Secret;
use model::{
    AlertKind, ChannelId, CompanyId, CredentialId, Delivery, DeliveryId, DeliveryState, Feature,
    FieldError, Role, Severity, Window,
    channel::{self, Channel, Draft, Rules, Security, Settings},
    credential::{self, Credential},
    delivery,
};

use super::{dashboard::all_company_names, error_of};
use crate::{
    Portal, csv_file,
    guard::Signed,
    problem::PageProblem,
    view::{
        Answer, Html, PAGE_SIZE, Page, Pager, badge, filters, html, html_status, query, see_other,
    },
};

const HOME: &str = "/settings/notifications";

#[derive(Template)]
#[template(path = "channels/index.html")]
struct Index {
    page: Page,
    rows: Vec<Channel>,
    can_change: bool,
}

pub(crate) async fn index(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
) -> Answer {
    let scope = &principal.scope;
    html(&Index {
        rows: channel::list(scope).await?,
        page: Page::new(
            &request,
            &portal,
            &principal,
            "Notifications",
            "notifications",
        )
        .await?,
        can_change: scope.role() >= Role::Admin,
    })
}

/// What was typed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Form {
    kind: String,
    name: String,
    url: String,
    host: String,
    port: String,
    security: String,
    username: String,
    password: String,
    from: String,
    to: String,
    credential: String,
    recipients: String,
    least_severity: String,
    kinds: Vec<String>,
    scope: String,
    companies: Vec<String>,
    digest_hour: String,
    events: Vec<String>,
}

impl Form {
    fn read(pairs: Vec<(String, String)>) -> Self {
        let mut form = Self::default();
        for (name, value) in pairs {
            let field = match name.as_str() {
                "kind" => &mut form.kind,
                "name" => &mut form.name,
                "url" => &mut form.url,
                "host" => &mut form.host,
                "port" => &mut form.port,
                "security" => &mut form.security,
                "username" => &mut form.username,
                "password" => &mut form.password,
                "from" => &mut form.from,
                "to" => &mut form.to,
                "credential" => &mut form.credential,
                "recipients" => &mut form.recipients,
                "least_severity" => &mut form.least_severity,
                "scope" => &mut form.scope,
                "digest_hour" => &mut form.digest_hour,
                "alert_kind" => {
                    form.kinds.push(value);
                    continue;
                }
                "company" => {
                    form.companies.push(value);
                    continue;
                }
                "event" => {
                    form.events.push(value);
                    continue;
                }
                _ => continue,
            };
            *field = value;
        }
        form
    }

    fn of(rules: &Rules) -> Self {
        Self {
            least_severity: rules.least_severity.to_string(),
            kinds: rules.kinds.iter().map(ToString::to_string).collect(),
            events: rules.events.iter().map(ToString::to_string).collect(),
            scope: if rules.companies.is_some() {
                "some".into()
            } else {
                String::new()
            },
            companies: rules
                .companies
                .iter()
                .flatten()
                .map(ToString::to_string)
                .collect(),
            digest_hour: rules
                .digest_hour
                .map(|hour| hour.to_string())
                .unwrap_or_default(),
            ..Self::default()
        }
    }

    fn has_event(&self, event: &str) -> bool {
        self.events.iter().any(|one| one == event)
    }

    fn takes(&self, kind: &AlertKind) -> bool {
        self.kinds.iter().any(|one| one == kind.as_str())
    }

    fn tells_of(&self, company: &CompanyId) -> bool {
        self.companies.contains(&company.to_string())
    }

    fn rules(&self) -> Rules {
        Rules {
            kinds: self
                .kinds
                .iter()
                .filter_map(|kind| kind.parse().ok())
                .collect(),
            least_severity: self.least_severity.parse().unwrap_or(Severity::Info),
            // Boxes of a kind of channel that was not chosen do not count.
            events: match self.kind.as_str() {
                "smtp" | "microsoft365" => vec![],
                _ => self.events.iter().filter_map(|e| e.parse().ok()).collect(),
            },
            companies: (self.scope == "some").then(|| {
                self.companies
                    .iter()
                    .filter_map(|id| id.parse().ok())
                    .collect()
            }),
            digest_hour: match self.digest_hour.as_str() {
                "" => None,
                // What is no hour is refused with the others.
                hour => Some(hour.parse().unwrap_or(99)),
            },
        }
    }

    fn draft(&self) -> Result<Draft, Vec<FieldError>> {
        let list = |text: &str| {
            let parts = text.split([',', ';', '\n']).map(str::trim);
            parts
                .filter(|part| !part.is_empty())
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let settings = match self.kind.as_str() {
            "smtp" => Settings::Smtp {
                host: self.host.trim().to_owned(),
                port: self.port.trim().parse().unwrap_or(0),
                security: match self.security.as_str() {
                    "tls" => Security::Tls,
                    "none" => Security::None,
                    _ => Security::Starttls,
                },
                username: self.username.trim().to_owned(),
                from: self.from.trim().to_owned(),
                to: list(&self.to),
            },
            "microsoft365" => Settings::Microsoft365 {
                credential: self.credential.parse::<CredentialId>().map_err(|_| {
                    vec![FieldError {
                        field: "credential",
                        message: "Choose a credential with Microsoft 365 mail.".into(),
                    }]
                })?,
                to: list(&self.recipients),
            },
            _ => Settings::Webhook {
                url: self.url.trim().to_owned(),
            },
        };
        Ok(Draft {
            name: self.name.clone(),
            settings,
            rules: self.rules(),
            password: Secret::new(self.password.as_str()),
        })
    }
}

/// What both forms choose rules from.
struct Choice {
    companies: Vec<(CompanyId, String)>,
    kinds: &'static [AlertKind],
}

impl Choice {
    async fn of(principal: &Signed) -> Result<Self, PageProblem> {
        let names = all_company_names(&principal.scope).await?;
        let mut companies: Vec<_> = names.into_iter().collect();
        companies.sort_by_key(|one| one.1.to_lowercase());
        Ok(Self {
            companies,
            kinds: AlertKind::ALL,
        })
    }
}

#[derive(Template)]
#[template(path = "channels/form.html")]
struct New {
    page: Page,
    form: Form,
    choice: Choice,
    credentials: Vec<Credential>,
    errors: Vec<FieldError>,
}

impl New {
    fn error(&self, field: &str) -> Option<&str> {
        error_of(&self.errors, field)
    }
}

async fn form_page(
    request: &HttpRequest,
    portal: &Portal,
    principal: &Signed,
    form: Form,
    errors: Vec<FieldError>,
) -> Answer {
    let status = match errors.is_empty() {
        true => StatusCode::OK,
        false => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let all = credential::list(&principal.scope).await?;
    let new = New {
        page: Page::new(request, portal, principal, "Add a channel", "notifications")
            .await?
            .under("Notifications", HOME),
        choice: Choice::of(principal).await?,
        credentials: all
            .into_iter()
            .filter(|c| c.revoked_at.is_none() && c.uses(Feature::Mail))
            .collect(),
        form: Form {
            // What was typed stays, but for the secret.
            password: String::new(),
            ..form
        },
        errors,
    };
    html_status(status, &new)
}

pub(crate) async fn new(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
) -> Answer {
    let form = Form {
        kind: "microsoft365".into(),
        port: "587".into(),
        ..Form::default()
    };
    form_page(&request, &portal, &principal, form, vec![]).await
}

#[derive(Template)]
#[template(path = "channels/key.html")]
struct Key {
    page: Page,
    id: ChannelId,
    key: String,
}

pub(crate) async fn create(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    form: web::Form<Vec<(String, String)>>,
) -> Answer {
    let form = Form::read(form.into_inner());
    let draft = match form.draft() {
        Ok(draft) => draft,
        Err(errors) => return form_page(&request, &portal, &principal, form, errors).await,
    };
    // Found out now, not by the first alert that does not arrive.
    if let Settings::Webhook { url } = &draft.settings {
        let refused = match url.parse() {
            Err(_) => Some("Enter an address that begins with https://.".to_owned()),
            Ok(url) => portal
                .outbound
                .check(&url)
                .err()
                .map(|refused| refused.to_string()),
        };
        if let Some(message) = refused {
            let errors = vec![FieldError {
                field: "url",
                message,
            }];
            return form_page(&request, &portal, &principal, form, errors).await;
        }
    }
    let keyring = &portal.consent.connection.keyring;
    match channel::create(&principal.scope, keyring, &draft).await {
        Ok((id, None)) => Ok(see_other(&format!("{HOME}/{id}"))),
        Ok((id, Some(key))) => html(&Key {
            page: Page::new(
                &request,
                &portal,
                &principal,
                "Signing key",
                "notifications",
            )
            .await?
            .under("Notifications", HOME),
            id,
            key: key.expose().to_owned(),
        }),
        Err(model::Error::Invalid(errors)) => {
            form_page(&request, &portal, &principal, form, errors).await
        }
        Err(other) => Err(other.into()),
    }
}

#[derive(Debug, serde::Deserialize)]
pub(crate) struct ListQuery {
    #[serde(default)]
    page: u64,
}

#[derive(Template)]
#[template(path = "channels/show.html")]
struct Show {
    page: Page,
    channel: Channel,
    form: Form,
    choice: Choice,
    deliveries: Vec<Delivery>,
    pager: Pager,
    can_change: bool,
    errors: Vec<FieldError>,
}

impl Show {
    fn error(&self, field: &str) -> Option<&str> {
        error_of(&self.errors, field)
    }
}

fn delivery_badge(delivery: &Delivery) -> Html {
    match delivery.state {
        DeliveryState::Waiting => badge("", "clock", "Waits for the digest"),
        DeliveryState::Queued if delivery.attempts > 0 => {
            badge("badge-warn", "rotate-clockwise", "Tried again")
        }
        DeliveryState::Queued => badge("", "clock", "Queued"),
        DeliveryState::Sending => badge("badge-info", "loader-2", "Sending"),
        DeliveryState::Sent => badge("badge-ok", "circle-check", "Sent"),
        DeliveryState::Failed => badge("badge-bad", "circle-x", "Given up"),
        DeliveryState::Digested => badge("badge-ok", "check", "In a digest"),
    }
}

async fn show_page(
    request: &HttpRequest,
    portal: &Portal,
    principal: &Signed,
    channel: Channel,
    page: u64,
    form: Form,
    errors: Vec<FieldError>,
) -> Answer {
    let scope = &principal.scope;
    let status = match errors.is_empty() {
        true => StatusCode::OK,
        false => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let found = delivery::list(scope, channel.id, Window::page(page, PAGE_SIZE)).await?;
    let id = channel.id;
    let pager = Pager::new(page, found.rows.len(), found.total, |n| {
        format!("{HOME}/{id}{}", query(&[("page", &n.to_string())]))
    });
    let show = Show {
        page: Page::new(
            request,
            portal,
            principal,
            channel.name.clone(),
            "notifications",
        )
        .await?
        .under("Notifications", HOME),
        form,
        choice: Choice::of(principal).await?,
        deliveries: found.rows,
        pager,
        can_change: scope.role() >= Role::Admin && scope.sees_all_companies(),
        channel,
        errors,
    };
    html_status(status, &show)
}

async fn found(principal: &Signed, id: ChannelId) -> Result<Channel, PageProblem> {
    let found = channel::get(&principal.scope, id).await?;
    found.ok_or(PageProblem::NotFound)
}

pub(crate) async fn show(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    id: web::Path<ChannelId>,
    list: web::Query<ListQuery>,
) -> Answer {
    let channel = found(&principal, *id).await?;
    let form = Form::of(&channel.rules);
    show_page(
        &request,
        &portal,
        &principal,
        channel,
        list.page,
        form,
        vec![],
    )
    .await
}

pub(crate) async fn update(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    id: web::Path<ChannelId>,
    form: web::Form<Vec<(String, String)>>,
) -> Answer {
    let channel = found(&principal, *id).await?;
    let form = Form::read(form.into_inner());
    match channel::set_rules(&principal.scope, *id, &form.rules()).await {
        Ok(Some(())) => Ok(see_other(&format!("{HOME}/{id}"))),
        Ok(None) => Err(PageProblem::NotFound),
        Err(model::Error::Invalid(errors)) => {
            show_page(&request, &portal, &principal, channel, 1, form, errors).await
        }
        Err(other) => Err(other.into()),
    }
}

/// What a channel sent, as a file.
pub(crate) async fn csv(principal: Signed, id: web::Path<ChannelId>) -> Answer {
    let channel = found(&principal, *id).await?;
    let id = *id;
    let read = move |window| {
        let principal = principal.clone();
        async move { delivery::list(&principal.scope, id, window).await }
    };
    Ok(csv_file::sheet(
        &report::csv::DELIVERIES,
        &channel.name,
        read,
    ))
}

pub(crate) async fn test(principal: Signed, id: web::Path<ChannelId>) -> Answer {
    delivery::test(&principal.scope, *id)
        .await?
        .ok_or(PageProblem::NotFound)?;
    Ok(see_other(&format!("{HOME}/{id}#deliveries")))
}

pub(crate) async fn remove(principal: Signed, id: web::Path<ChannelId>) -> Answer {
    channel::remove(&principal.scope, *id)
        .await?
        .ok_or(PageProblem::NotFound)?;
    Ok(see_other(HOME))
}

pub(crate) async fn resend(principal: Signed, ids: web::Path<(ChannelId, DeliveryId)>) -> Answer {
    let (channel, id) = ids.into_inner();
    delivery::resend(&principal.scope, channel, id)
        .await?
        .ok_or(PageProblem::NotFound)?;
    Ok(see_other(&format!("{HOME}/{channel}#deliveries")))
}
