//! The token endpoint: client credentials, authorization codes, refresh tokens; secrets and signed
//! assertions.

use actix_web::{HttpRequest, HttpResponse, web};
use ring::{
    digest::{SHA256, digest},
    signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey},
};
use serde_json::{Value, json};
use uuid::Uuid;
use x509_parser::parse_x509_certificate;

use crate::{
    Application, Kind,
    login::{Query, get, root},
    state::{Holder, State},
    world,
};

pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config.route("/{tenant}/oauth2/v2.0/token", web::post().to(token));
}

pub(crate) fn refuse(status: u16, error: &str, code: u32, text: &str) -> HttpResponse {
    HttpResponse::build(actix_web::http::StatusCode::from_u16(status).unwrap_or_default()).json(json!({
        "error": error,
        "error_description": format!("AADSTS{code}: {text}\r\nTrace ID: 00000000-0000-4000-8000-000000000001\r\nCorrelation ID: 00000000-0000-4000-8000-000000000002\r\nTimestamp: 2026-11-20 10:00:00Z"),
        "error_codes": [code], "timestamp": "2026-11-20 10:00:00Z",
        "trace_id": "00000000-0000-4000-8000-000000000001",
        "correlation_id": "00000000-0000-4000-8000-000000000002",
    }))
}

async fn token(
    state: web::Data<State>,
    request: HttpRequest,
    tenant: web::Path<String>,
    form: web::Form<Query>,
) -> HttpResponse {
    match state.note(request.path(), "/{tenant}/oauth2/v2.0/token") {
        Some(Kind::Error { status, code }) => {
            // The code may be written "error:number" to choose Microsoft's number.
            let (error, number) = code.split_once(':').unwrap_or((&code, "90033"));
            return refuse(
                status,
                error,
                number.parse().unwrap_or(90_033),
                "simulated fault",
            );
        }
        Some(Kind::Throttle { seconds }) => {
            return HttpResponse::TooManyRequests()
                .insert_header(("retry-after", seconds.to_string()))
                .json(json!({ "error": "temporarily_unavailable", "error_description": "AADSTS90055: throttled" }));
        }
        Some(Kind::Html) => return HttpResponse::Ok().content_type("text/html").body("<html>"),
        _ => {}
    }
    let client_id = get(&form, "client_id");
    let Some(application) = state.world.application(client_id) else {
        return refuse(
            400,
            "unauthorized_client",
            700_016,
            &format!("Application with identifier '{client_id}' was not found in the directory."),
        );
    };
    let url = format!("{}{}", root(&request), request.path());
    if let Err(answer) = authenticate(&state, application, &form, &url) {
        return answer;
    }
    match get(&form, "grant_type") {
        "client_credentials" => client_credentials(&state, application, &tenant, &form),
        "authorization_code" => authorization_code(&state, &request, application, &form),
        "refresh_token" => refresh_token(&state, application, &form),
        other => refuse(
            400,
            "unsupported_grant_type",
            70_003,
            &format!("The app requested an unsupported grant type '{other}'."),
        ),
    }
}

/// The application's own proof: a secret that has not ended, or an assertion.
fn authenticate(
    state: &State,
    application: &Application,
    form: &Query,
    url: &str,
) -> Result<(), HttpResponse> {
    let (secret, assertion) = (get(form, "client_secret"), get(form, "client_assertion"));
    if !assertion.is_empty() {
        return verify_assertion(state, application, assertion, url)
            .map_err(|(code, why)| refuse(401, "invalid_client", code, &why));
    }
    if secret.is_empty() {
        return Err(refuse(
            401,
            "invalid_client",
            7_000_218,
            "The request body must contain 'client_assertion' or 'client_secret'.",
        ));
    }
    match state
        .secrets(application)
        .iter()
        .find(|s| s.value == secret)
    {
        Some(found) if found.ends_at.is_some_and(|end| end <= state.now()) => Err(refuse(
            401,
            "invalid_client",
            7_000_222,
            "The provided client secret keys are expired.",
        )),
        Some(_) => Ok(()),
        None => Err(refuse(
            401,
            "invalid_client",
            7_000_215,
            "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID.",
        )),
    }
}

/// Checks a client assertion as Microsoft documents it: PS256, the certificate by `x5t#S256` (with
/// or without padding), audience, issuer, subject, times, and an id that is used once.
fn verify_assertion(
    state: &State,
    application: &Application,
    assertion: &str,
    url: &str,
) -> Result<(), (u32, String)> {
    let bad = |why: &str| (50_013, format!("Assertion failed validation: {why}."));
    let decode = |text: &str| {
        data_encoding::BASE64URL_NOPAD
            .decode(text.trim_end_matches('=').as_bytes())
            .map_err(|_| bad("it is not base64url"))
    };
    let parts: Vec<&str> = assertion.split('.').collect();
    let [head, body, signature] = parts.as_slice() else {
        return Err(bad("it does not have three parts"));
    };
    let json = |bytes: &[u8]| -> Result<Value, (u32, String)> {
        serde_json::from_slice(bytes).map_err(|_| bad("it is no JSON"))
    };
    let header = json(&decode(head)?)?;
    if header["alg"] != "PS256" {
        return Err(bad("the algorithm is not PS256"));
    }
    let thumbprint = decode(header["x5t#S256"].as_str().unwrap_or_default())?;
    let certificate = state
        .certificates(application.client_id)
        .into_iter()
        .find(|der| digest(&SHA256, der).as_ref() == thumbprint)
        .ok_or((
            700_027,
            "The certificate with identifier used to sign the client assertion is not registered on application.".to_owned(),
        ))?;
    let (_, parsed) =
        parse_x509_certificate(&certificate).map_err(|_| bad("the certificate is unreadable"))?;
    let now = state.now();
    if parsed.validity().not_after.timestamp() <= now {
        return Err((700_027, "The certificate has expired.".into()));
    }
    UnparsedPublicKey::new(
        &RSA_PSS_2048_8192_SHA256,
        parsed.public_key().subject_public_key.data.as_ref(),
    )
    .verify(format!("{head}.{body}").as_bytes(), &decode(signature)?)
    .map_err(|_| {
        (
            700_027,
            "Client assertion failed signature validation.".to_owned(),
        )
    })?;
    let claims = json(&decode(body)?)?;
    let id = application.client_id.to_string();
    if claims["iss"] != id.as_str() || claims["sub"] != id.as_str() {
        return Err(bad("issuer and subject must be the application"));
    }
    // A proxy may stand before this: then the path tells.
    let audience = claims["aud"].as_str().unwrap_or_default();
    let path = |u: &str| {
        url::Url::parse(u)
            .map(|u| u.path().to_owned())
            .unwrap_or_default()
    };
    if path(audience) != path(url) {
        return Err(bad("the audience is not this endpoint"));
    }
    // Microsoft's own library sends fractions of a second.
    let time = |name: &str| claims[name].as_f64().unwrap_or_default();
    #[allow(clippy::cast_precision_loss)] // seconds of this century
    let now = now as f64;
    if time("exp") <= now || time("nbf") > now + 300.0 {
        return Err((
            700_024,
            "Client assertion is not within its valid time range.".into(),
        ));
    }
    let jti = claims["jti"].as_str().unwrap_or_default();
    if jti.is_empty() || !state.is_new_assertion(jti) {
        return Err(bad("its id was used before"));
    }
    Ok(())
}

fn client_credentials(
    state: &State,
    application: &Application,
    tenant: &str,
    form: &Query,
) -> HttpResponse {
    if !get(form, "scope").ends_with("/.default") {
        return refuse(
            400,
            "invalid_scope",
            70_011,
            "The provided request must include a 'scope' input parameter ending in /.default.",
        );
    }
    let Some(directory) = state.world.directory(tenant) else {
        return refuse(
            400,
            "invalid_request",
            90_002,
            &format!("Tenant '{tenant}' not found."),
        );
    };
    if !application.multi_tenant && application.home != directory.id {
        return refuse(
            400,
            "unauthorized_client",
            700_016,
            "Application was not found in the directory.",
        );
    }
    if state.is_disabled(directory.id, application.client_id) {
        return refuse(
            400,
            "unauthorized_client",
            7_000_112,
            "Application is disabled.",
        );
    }
    let Some(roles) = state.granted(directory.id, application.client_id) else {
        return refuse(
            401,
            "invalid_client",
            7_000_229,
            &format!(
                "The client application '{}' is missing service principal in the tenant '{tenant}'.",
                application.client_id
            ),
        );
    };
    if state.is_blocked(directory) {
        return refuse(
            400,
            "invalid_grant",
            53_003,
            "Access has been blocked by Conditional Access policies.",
        );
    }
    let token = state.issue(Holder {
        directory: directory.id,
        client_id: application.client_id,
        roles,
    });
    HttpResponse::Ok().json(json!({
        "token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "access_token": token,
    }))
}

/// Delegated permissions by their names, of a scope like
/// `openid offline_access https://graph.microsoft.com/User.Read.All`.
fn scopes(scope: &str) -> Vec<String> {
    scope
        .split(' ')
        .filter(|s| s.contains("://"))
        .filter_map(|s| s.rsplit('/').next())
        .map(str::to_owned)
        .collect()
}

fn authorization_code(
    state: &State,
    request: &HttpRequest,
    application: &Application,
    form: &Query,
) -> HttpResponse {
    let Some(code) = state.take_code(get(form, "code")) else {
        return refuse(
            400,
            "invalid_grant",
            70_008,
            "The provided authorization code has expired or was used.",
        );
    };
    let hash = digest(&SHA256, get(form, "code_verifier").as_bytes());
    let proven = data_encoding::BASE64URL_NOPAD.encode(hash.as_ref()) == code.challenge;
    if !proven
        || code.redirect_uri != get(form, "redirect_uri")
        || code.client_id != application.client_id.to_string()
    {
        return refuse(
            400,
            "invalid_grant",
            50_148,
            "The code_verifier or redirect_uri does not match.",
        );
    }
    let Some(directory) = state.world.directory(&code.directory.to_string()) else {
        return refuse(400, "invalid_grant", 90_002, "Tenant not found.");
    };
    let now = state.now();
    let mut claims = json!({
        "ver": "2.0", "iss": format!("{}/{}/v2.0", root(request), code.directory),
        "aud": application.client_id, "tid": code.directory,
        "oid": world::account_id(directory, &code.account),
        "sub": subject(application, directory, &code.account), "iat": now, "nbf": now, "exp": now + 3600, "nonce": code.nonce,
        "name": code.account, "preferred_username": format!("{}@{}", code.account, directory.domain),
    });
    if code.asked_anew {
        claims["auth_time"] = json!(now);
    }
    if application.role_claims {
        let role = match code.account.as_str() {
            "admin" | "groupadmin" => Some(0x62e9_0394_69f5_4237_9190_0121_7714_5e10),
            "privileged" => Some(0xe861_1ab8_c189_46e8_94e1_6021_3ab1_f814),
            "appadmin" => Some(0x9b89_5d92_2cd3_44c7_9d02_a6ac_2d5e_a5c3),
            _ => None,
        };
        let roles: Vec<Uuid> = role.into_iter().map(Uuid::from_u128).collect();
        claims["wids"] = json!(roles);
    }
    let Some(id_token) = state.signer.sign(&claims) else {
        return refuse(
            500,
            "server_error",
            90_033,
            "The signing key could not be made.",
        );
    };
    let holder = Holder {
        directory: code.directory,
        client_id: application.client_id,
        roles: scopes(&code.scope),
    };
    let mut answer = json!({
        "token_type": "Bearer", "scope": code.scope, "expires_in": 3599,
        "access_token": state.issue(holder.clone()), "id_token": id_token,
    });
    if code.scope.contains("offline_access") {
        answer["refresh_token"] = json!(state.add_refresh_token(&holder));
    }
    HttpResponse::Ok().json(answer)
}

fn refresh_token(state: &State, application: &Application, form: &Query) -> HttpResponse {
    let holder = state
        .refresh_token(get(form, "refresh_token"))
        .filter(|h| h.client_id == application.client_id);
    let Some(holder) = holder else {
        return refuse(
            400,
            "invalid_grant",
            700_082,
            "The refresh token has expired due to inactivity.",
        );
    };
    // Microsoft hands out a new one each time and does not take the old one back.
    HttpResponse::Ok().json(json!({
        "token_type": "Bearer", "expires_in": 3599, "scope": get(form, "scope"),
        "refresh_token": state.add_refresh_token(&holder), "access_token": state.issue(holder),
    }))
}

/// `sub`: the same person's, another at each application.
fn subject(application: &Application, directory: &world::Directory, account: &str) -> String {
    let text = format!(
        "{}/{}",
        application.client_id,
        world::account_id(directory, account)
    );
    data_encoding::BASE64URL_NOPAD.encode(digest(&SHA256, text.as_bytes()).as_ref())
}
