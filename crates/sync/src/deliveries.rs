//! Sends what is in the outbox: by mail or as a signed request.

use std::time::Duration;

use consent::{Consent, mail::Mail};
use futures_util::{StreamExt, stream::FuturesUnordered};
use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{Attachment, MultiPart, SinglePart, header::ContentType},
    transport::smtp::{
        authentication::Credentials,
        client::{Tls, TlsParameters},
    },
};
use model::{
    Db,
    channel::{self, Security, Settings},
    credential,
    delivery::{self, Taken, Undelivered},
};
use outbound::Outbound;
use serde_json::Value;
use url::Url;

mod text;

/// What sending needs.
#[derive(Debug, Clone)]
pub struct Sender {
    /// How Microsoft is reached, and the keys.
    pub consent: Consent,
    /// What may be reached besides.
    pub outbound: Outbound,
    /// Root of this installation as browsers see it: links in messages lead there.
    pub public_url: Url,
}

/// Sends what is due, several at a time; answers how many were tried.
pub(crate) async fn run(db: &Db, sender: &Sender) -> anyhow::Result<usize> {
    delivery::gather_digests(db).await?;
    let due = delivery::take_due(db).await?;
    let count = due.len();
    let mut sending: FuturesUnordered<_> =
        due.iter().map(|one| one_delivery(sender, one)).collect();
    while let Some(settled) = sending.next().await {
        settled?;
    }
    Ok(count)
}

/// What one takes at most: shorter than its lease.
const LONGEST: Duration = Duration::from_secs(60);

async fn one_delivery(sender: &Sender, taken: &Taken) -> anyhow::Result<()> {
    let outcome = match tokio::time::timeout(LONGEST, send(sender, taken)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Undelivered::Later(
            "The other side did not answer within a minute.".into(),
        )),
    };
    if let Err(Undelivered::Later(why) | Undelivered::Never(why)) = &outcome {
        tracing::info!(delivery = %taken.delivery.id, channel = %taken.channel.id, why, "a delivery failed");
    }
    Ok(taken.settle(&outcome).await?)
}

async fn send(sender: &Sender, taken: &Taken) -> Result<(), Undelivered> {
    match &taken.channel.settings {
        Settings::Webhook { url } => webhook(sender, taken, url).await,
        Settings::Microsoft365 { credential, to } => {
            let mail = mail(sender, taken, to);
            microsoft(sender, taken, *credential, &mail).await
        }
        Settings::Smtp { .. } => smtp(sender, taken).await,
    }
}

/// A message of an id that stays the same when it is sent again, so that the other side can drop doubles.
fn mail(sender: &Sender, taken: &Taken, to: &[String]) -> Mail {
    let body: Value = serde_json::from_str(&taken.delivery.body).unwrap_or_default();
    let host = sender.public_url.host_str().unwrap_or("localhost");
    // A report and a message of the contact form have recipients of their own.
    let own = body["to"]
        .as_array()
        .map(|all| all.iter().filter_map(|to| to.as_str()));
    Mail {
        to: own.map_or_else(|| to.to_vec(), |own| own.map(str::to_owned).collect()),
        reply_to: body["contact"]["email"].as_str().map(str::to_owned),
        subject: taken.delivery.subject.clone(),
        text: text::of(&body, &taken.partner_name, &sender.public_url),
        id: Some(format!("{}@{host}", taken.delivery.id)),
        attachments: text::attachments(&body),
    }
}

fn ours(error: &model::Error) -> Undelivered {
    Undelivered::Later(match error {
        model::Error::Conflict(text) => text.clone(),
        _ => "The channel's secret could not be opened.".into(),
    })
}

async fn microsoft(
    sender: &Sender,
    taken: &Taken,
    id: model::CredentialId,
    mail: &Mail,
) -> Result<(), Undelivered> {
    let found = credential::get(&taken.scope, id)
        .await
        .map_err(|e| ours(&e))?;
    let Some(found) = found.filter(|c| c.revoked_at.is_none()) else {
        return Err(Undelivered::Never(
            "The credential of this channel is revoked.".into(),
        ));
    };
    let connection = &sender.consent.connection;
    match consent::mail::send(connection, &taken.scope, &found, mail).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => {
            let code = error.code().map(|c| format!(" ({c})")).unwrap_or_default();
            let said = format!("{}{code} {}", error.sentence(), error.remedy());
            // What a person must mend is not tried on for hours.
            match error.class() {
                graph::Class::Transient => Err(Undelivered::Later(said)),
                _ => Err(Undelivered::Never(said)),
            }
        }
        Err(consent::Error::Model(error)) => Err(ours(&error)),
        Err(error) => Err(Undelivered::Later(format!("{error}."))),
    }
}

async fn smtp(sender: &Sender, taken: &Taken) -> Result<(), Undelivered> {
    let Settings::Smtp {
        host,
        port,
        security,
        username,
        from,
        to,
    } = &taken.channel.settings
    else {
        return Err(Undelivered::Never("This is no channel of SMTP.".into()));
    };
    let never = |what: &str| Undelivered::Never(what.to_owned());
    let message = message(&mail(sender, taken, to), from).map_err(|e| never(&e))?;
    let addresses = sender.outbound.resolve(host, *port).await;
    let addresses = addresses.map_err(Undelivered::Later)?;
    if *security == Security::None && !sender.outbound.is_near(&addresses) {
        return Err(never(
            "Without encryption nothing is sent over the internet. Choose STARTTLS or TLS.",
        ));
    }
    let Some(address) = addresses.first() else {
        return Err(never("The name has no address."));
    };
    // To the address that was looked at; the certificate is the name's.
    let tls = || TlsParameters::new(host.clone());
    let failed = |_| Undelivered::Later("TLS could not be set up.".into());
    let mut builder =
        AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(address.ip().to_string())
            .port(*port)
            .timeout(Some(Duration::from_secs(30)))
            .tls(match security {
                Security::Tls => Tls::Wrapper(tls().map_err(failed)?),
                Security::Starttls => Tls::Required(tls().map_err(failed)?),
                Security::None => Tls::None,
            });
    if !username.is_empty() {
        let keyring = &sender.consent.connection.keyring;
        let password = channel::secret(&taken.scope, keyring, &taken.channel).await;
        let password = password.map_err(|e| ours(&e))?;
        builder = builder.credentials(Credentials::new(
            username.clone(),
            password.expose().to_owned(),
        ));
    }
    match builder.build().send(message).await {
        Ok(_) => Ok(()),
        Err(error) => {
            let said = match error.status() {
                Some(code) => format!("The mail server answered {code}: {}", first_line(&error)),
                None if is_tls(&error) => "TLS failed: the certificate is not that of the server's name, or is not trusted.".to_owned(),
                None => "The mail server could not be reached.".to_owned(),
            };
            // 5xx: "the SMTP client SHOULD NOT repeat the exact request" (RFC 5321, 4.2.1).
            match error.is_permanent() {
                true => Err(Undelivered::Never(said)),
                false => Err(Undelivered::Later(said)),
            }
        }
    }
}

/// Whether the handshake failed: lettre passes rustls's reason on as an error of input and output, whose
/// kind is then `InvalidData`; a network that fails has another.
fn is_tls(error: &lettre::transport::smtp::Error) -> bool {
    let reasons = std::iter::successors(std::error::Error::source(error), |one| one.source());
    error.is_tls()
        || reasons
            .filter_map(|one| one.downcast_ref::<std::io::Error>())
            .any(|one| one.kind() == std::io::ErrorKind::InvalidData)
}

/// What a server said, as one line without control characters.
fn first_line(error: &lettre::transport::smtp::Error) -> String {
    let said =
        std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    let line = said.lines().next().unwrap_or_default();
    line.chars().filter(|c| !c.is_control()).take(200).collect()
}

fn message(mail: &Mail, from: &str) -> Result<Message, String> {
    let address = |text: &str| {
        text.parse()
            .map_err(|_| format!("{text} is no address of a mailbox."))
    };
    let mut builder = Message::builder()
        .from(address(from)?)
        .subject(&mail.subject)
        .message_id(mail.id.as_ref().map(|id| format!("<{id}>")));
    if let Some(reply_to) = &mail.reply_to {
        builder = builder.reply_to(address(reply_to)?);
    }
    for to in &mail.to {
        builder = builder.to(address(to)?);
    }
    let text = SinglePart::plain(mail.text.clone());
    let made = if mail.attachments.is_empty() {
        builder.singlepart(text)
    } else {
        let mut parts = MultiPart::mixed().singlepart(text);
        for (name, kind, content) in &mail.attachments {
            let kind = ContentType::parse(kind).map_err(|_| format!("{kind} is no media type"))?;
            parts = parts.singlepart(Attachment::new(name.clone()).body(content.clone(), kind));
        }
        builder.multipart(parts)
    };
    made.map_err(|error| format!("The mail cannot be written: {error}."))
}

/// A request whose signature the other side checks with the channel's key: HMAC-SHA-256 over
/// `TIMESTAMP.BODY`.
async fn webhook(sender: &Sender, taken: &Taken, url: &str) -> Result<(), Undelivered> {
    let never = |what: String| Undelivered::Never(what);
    let url: Url = url
        .parse()
        .map_err(|_| never("The address cannot be read.".into()))?;
    sender
        .outbound
        .check(&url)
        .map_err(|refused| never(refused.to_string()))?;
    let keyring = &sender.consent.connection.keyring;
    let key = channel::secret(&taken.scope, keyring, &taken.channel).await;
    let key = key.map_err(|e| ours(&e))?;
    let delivery = &taken.delivery;
    let mut payload: Value = serde_json::from_str(&delivery.body).unwrap_or_default();
    text::absolute_links(&mut payload, &sender.public_url);
    let body = serde_json::json!({
        "id": delivery.id, "event": delivery.event, "partner": taken.partner_name,
        "created_at": delivery.created_at, "subject": delivery.subject, "data": payload,
    })
    .to_string();
    // Now, not when it was written: a receiver refuses what is old, and each try is a fresh one.
    let at = taken.scope.now().0 / 1000;
    let signature = keys::hmac(&key, format!("{at}.{body}").as_bytes());
    let client = sender.outbound.client();
    let client = client.map_err(|_| Undelivered::Later("No request could be made.".into()))?;
    let answer = client
        .post(url)
        .header("content-type", "application/json")
        .header("tenantry-delivery", delivery.id.to_string())
        .header("tenantry-event", &delivery.event)
        .header("tenantry-signature", format!("t={at},v1={signature}"))
        .body(body)
        .send()
        .await;
    match answer {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => Err(Undelivered::Later(format!(
            "The address answered {}.",
            answer.status()
        ))),
        Err(error) => Err(Undelivered::Later(match error.is_timeout() {
            true => "The address did not answer in time.".into(),
            false => "The address could not be reached.".into(),
        })),
    }
}
