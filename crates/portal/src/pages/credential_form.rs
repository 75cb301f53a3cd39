//! Adding and editing a credential, with the guide beside the form.

use std::sync::Arc;

use actix_web::{HttpRequest, http::StatusCode, web};
use askama::Template;
use consent::permission::{self, FEATURES, FeatureLabel, Permission};
use graph::Cloud;
use model::{
    CredentialId, CredentialKind, Feature, FieldError, Timestamp,
    credential::{self, Credential, Draft, Proof},
};
use zeroize::Zeroizing;

use super::{
    consents,
    credentials::{ENTRA, frame, page_of, with_sign_in},
    error_of,
};
use crate::{
    Portal,
    guard::Signed,
    problem::PageProblem,
    upload::Fields,
    view::{Answer, Page, filters, html, html_status, see_other},
};

/// What to register, for one kind of credential and its features.
pub(super) struct Guide {
    pub(super) kind: CredentialKind,
    pub(super) redirect_uri: String,
    pub(super) manifest: String,
    pub(super) permissions: Vec<Permission>,
    pub(super) sends_mail: bool,
}

impl Guide {
    pub(super) fn new(portal: &Portal, kind: CredentialKind, features: &[Feature]) -> Self {
        let json =
            serde_json::to_string_pretty(&permission::required_resource_access(kind, features));
        Self {
            kind,
            redirect_uri: portal.consent.redirect_uri.clone(),
            manifest: format!("\"requiredResourceAccess\": {}", json.unwrap_or_default()),
            permissions: permission::required(features),
            sends_mail: features.contains(&Feature::Mail),
        }
    }
}

#[derive(Template)]
#[template(path = "credentials/form.html")]
struct Edit {
    page: Page,
    id: Option<CredentialId>,
    /// Whether the registration's ids may be typed.
    ids_open: bool,
    has_certificate: bool,
    draft: Draft,
    proof: &'static str,
    clouds: Vec<Arc<Cloud>>,
    errors: Vec<FieldError>,
    guide: Guide,
}

impl Edit {
    fn error(&self, field: &str) -> Option<&str> {
        error_of(&self.errors, field)
    }

    fn features(&self) -> &'static [FeatureLabel] {
        FEATURES
    }

    fn uses(&self, feature: &FeatureLabel) -> bool {
        self.draft
            .features
            .iter()
            .any(|f| f == feature.feature.as_str())
    }

    fn is_kind(&self, word: &str) -> bool {
        self.guide.kind.as_str() == word
    }
}

/// Minutes in words, as the form offers them.
pub(super) fn interval_words(minutes: &i64) -> String {
    match minutes {
        15 => "Every 15 minutes".into(),
        60 => "Every hour".into(),
        1440 => "Once a day".into(),
        other => format!("Every {} hours", other / 60),
    }
}

fn words(features: &[Feature]) -> Vec<String> {
    features.iter().map(|f| f.as_str().to_owned()).collect()
}

fn features_of(draft: &Draft) -> Vec<Feature> {
    draft
        .features
        .iter()
        .filter_map(|word| word.parse().ok())
        .collect()
}

/// What was typed, without what must not be sent back to a page.
fn shown(draft: Draft) -> Draft {
    Draft {
        client_secret: String::new(),
        proof: Proof::Secret,
        ..draft
    }
}

fn proof_word(proof: &Proof) -> &'static str {
    match proof {
        Proof::Secret => "secret",
        Proof::NewCertificate => "new",
        Proof::OwnCertificate { .. } => "own",
    }
}

/// Reads the choice of secret or certificate.
pub(super) fn proof_of(form: &Fields) -> Proof {
    match form.get("proof") {
        "new" => Proof::NewCertificate,
        "own" => Proof::OwnCertificate {
            file: form.file("certificate").cloned().unwrap_or_default(),
            password: Zeroizing::new(form.get("password").to_owned()),
        },
        _ => Proof::Secret,
    }
}

fn draft_of(form: &Fields) -> Draft {
    Draft {
        kind: form.get("kind").to_owned(),
        name: form.get("name").to_owned(),
        cloud: form.get("cloud").to_owned(),
        directory_id: form.get("directory_id").to_owned(),
        client_id: form.get("client_id").to_owned(),
        proof: proof_of(form),
        client_secret: form.get("client_secret").to_owned(),
        secret_expires: form.get("secret_expires").to_owned(),
        features: form.all("feature"),
        sync_interval: form.get("sync_interval").to_owned(),
    }
}

fn edit_page(
    page: Page,
    portal: &Portal,
    credential: Option<(&Credential, bool)>,
    draft: Draft,
    errors: Vec<FieldError>,
) -> Edit {
    let kind = credential.map_or_else(
        || draft.kind.parse().unwrap_or(CredentialKind::MultiTenant),
        |(c, _)| c.kind,
    );
    Edit {
        page,
        id: credential.map(|(c, _)| c.id),
        ids_open: credential.is_none_or(|(c, _)| c.is_unused()),
        has_certificate: credential.is_some_and(|(_, certificate)| certificate),
        proof: proof_word(&draft.proof),
        guide: Guide::new(portal, kind, &features_of(&draft)),
        draft: shown(draft),
        clouds: portal.consent.connection.clouds.all().to_vec(),
        errors,
    }
}

#[derive(Debug, serde::Deserialize)]
pub(crate) struct NewQuery {
    #[serde(default)]
    kind: String,
}

pub(crate) async fn new(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    query: web::Query<NewQuery>,
) -> Answer {
    let page = frame(&request, &portal, &principal, "Add credential")
        .await?
        .under("Microsoft Entra ID", ENTRA);
    let first = portal.consent.connection.clouds.all().first();
    let kind: CredentialKind = query.kind.parse().unwrap_or(CredentialKind::MultiTenant);
    let draft = Draft {
        kind: kind.to_string(),
        cloud: first.map(|c| c.name.clone()).unwrap_or_default(),
        features: words(permission::DEFAULT_FEATURES),
        ..Draft::default()
    };
    with_sign_in(
        &portal,
        html(&edit_page(page, &portal, None, draft, vec![])),
    )
}

pub(crate) async fn create(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    form: Fields,
) -> Answer {
    let connection = &portal.consent.connection;
    let mut draft = draft_of(&form);
    // Another kind, or the guide for what is ticked: the same form with what was typed.
    if !form.get("switch").is_empty() {
        form.get("switch").clone_into(&mut draft.kind);
        let page = frame(&request, &portal, &principal, "Add credential")
            .await?
            .under("Microsoft Entra ID", ENTRA);
        return with_sign_in(
            &portal,
            html(&edit_page(page, &portal, None, draft, vec![])),
        );
    }
    let made = credential::create(
        &principal.scope,
        &connection.keyring,
        &connection.clouds.names(),
        &draft,
    )
    .await;
    match made {
        Ok(credential) => {
            let is_new_certificate = matches!(draft.proof, Proof::NewCertificate);
            if credential.kind == CredentialKind::MultiTenant && !is_new_certificate {
                // Saving leads straight to Microsoft's consent page for the partner's own tenant.
                let home = Some(credential.directory_id);
                consents::begin(&portal, &principal, &credential, home).await
            } else {
                Ok(see_other(&page_of(credential.id)))
            }
        }
        Err(model::Error::Invalid(mut errors)) => {
            // What is never sent back to a page is to be entered again: said where it is.
            for (field, given) in [
                ("client_secret", !draft.client_secret.is_empty()),
                (
                    "certificate",
                    matches!(draft.proof, Proof::OwnCertificate { .. }),
                ),
            ] {
                if given
                    && !errors
                        .iter()
                        .any(|e| e.field == field || e.field == "password")
                {
                    errors.push(FieldError {
                        field,
                        message: "Enter it again: it is never sent back to a page.".into(),
                    });
                }
            }
            let page = frame(&request, &portal, &principal, "Add credential")
                .await?
                .under("Microsoft Entra ID", ENTRA);
            let edit = edit_page(page, &portal, None, draft, errors);
            with_sign_in(
                &portal,
                html_status(StatusCode::UNPROCESSABLE_ENTITY, &edit),
            )
        }
        Err(other) => Err(other.into()),
    }
}

async fn edit_frame(
    request: &HttpRequest,
    portal: &Portal,
    principal: &Signed,
    credential: &Credential,
) -> Result<Page, PageProblem> {
    Ok(frame(
        request,
        portal,
        principal,
        &format!("Edit {}", credential.name),
    )
    .await?
    .under("Microsoft Entra ID", ENTRA)
    .under(&credential.name, page_of(credential.id)))
}

async fn has_certificate(principal: &Signed, id: CredentialId) -> Result<bool, PageProblem> {
    Ok(credential::secret::list(&principal.scope, id)
        .await?
        .iter()
        .any(|s| {
            s.state == model::SecretState::Current && s.kind == model::SecretKind::Certificate
        }))
}

pub(crate) async fn edit(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    id: web::Path<CredentialId>,
) -> Answer {
    let credential = credential::get(&principal.scope, *id)
        .await?
        .ok_or(PageProblem::NotFound)?;
    let page = edit_frame(&request, &portal, &principal, &credential).await?;
    let certificate = has_certificate(&principal, *id).await?;
    let draft = Draft {
        kind: credential.kind.to_string(),
        name: credential.name.clone(),
        cloud: credential.cloud.clone(),
        directory_id: credential.directory_id.to_string(),
        client_id: credential.client_id.to_string(),
        secret_expires: credential
            .secret_expires_at
            .map(Timestamp::day)
            .unwrap_or_default(),
        features: words(&credential.features),
        sync_interval: credential.sync_interval_minutes.to_string(),
        ..Draft::default()
    };
    let of = Some((&credential, certificate));
    html(&edit_page(page, &portal, of, draft, vec![]))
}

pub(crate) async fn update(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    id: web::Path<CredentialId>,
    form: Fields,
) -> Answer {
    let credential = credential::get(&principal.scope, *id)
        .await?
        .ok_or(PageProblem::NotFound)?;
    let draft = draft_of(&form);
    let clouds = portal.consent.connection.clouds.names();
    match credential::edit(&principal.scope, &clouds, *id, &draft).await {
        Ok(Some(edited)) if edited.features != credential.features => {
            Ok(see_other(&format!("{}?done=features", page_of(*id))))
        }
        Ok(_) => Ok(see_other(&page_of(*id))),
        Err(model::Error::Invalid(errors)) => {
            let page = edit_frame(&request, &portal, &principal, &credential).await?;
            let certificate = has_certificate(&principal, *id).await?;
            let mut draft = draft;
            if !credential.is_unused() {
                // What identifies the registration is not in the form then.
                draft.cloud.clone_from(&credential.cloud);
                draft.directory_id = credential.directory_id.to_string();
                draft.client_id = credential.client_id.to_string();
            }
            let of = Some((&credential, certificate));
            let edit = edit_page(page, &portal, of, draft, errors);
            html_status(StatusCode::UNPROCESSABLE_ENTITY, &edit)
        }
        Err(other) => Err(other.into()),
    }
}
