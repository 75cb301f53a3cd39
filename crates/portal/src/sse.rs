//! Server-sent events: bytes at once, a sign of life every 15 seconds, no compression.

use std::time::Duration;

use actix_web::{HttpResponse, http::header};
use bytes::Bytes;
use futures_util::Stream;

/// Between two looks at the database; also the shortest distance of two messages.
pub(crate) const LOOK: Duration = Duration::from_millis(1000);
/// Looks without a message until a comment is sent.
pub(crate) const QUIET_LOOKS: u32 = 15;

/// One message: its id, its event name (empty for the default) and HTML on one line.
pub(crate) fn message(id: &str, event: &str, html: &str) -> Bytes {
    let html = html.replace(['\n', '\r'], " ");
    let name = if event.is_empty() {
        String::new()
    } else {
        format!("event: {event}\n")
    };
    Bytes::from(format!("id: {id}\n{name}data: {html}\n\n"))
}

/// A response of a stream of messages.
pub(crate) fn respond(
    stream: impl Stream<Item = Result<Bytes, std::io::Error>> + 'static,
) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((header::CONTENT_ENCODING, "identity"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header(("x-accel-buffering", "no"))
        .streaming(stream)
}
