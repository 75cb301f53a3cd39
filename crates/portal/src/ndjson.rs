//! Answers of any length, a JSON object a line, read and sent in parts.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{ACCEPT, HeaderMap},
};
use bytes::Bytes;
use model::{Listing, Window};
use report::ocsf::Export;
use serde::Serialize;

/// `application/x-ndjson`, the media type that the field uses for it.
pub(crate) const NDJSON: &str = "application/x-ndjson";

/// Events as they are read. Where the database fails midway the connection breaks: an answer that ends
/// early must not look whole.
pub(crate) fn events(export: Export) -> HttpResponse {
    let parts = futures_util::stream::unfold(Some(export), |export| async move {
        let mut export = export?;
        match export.next().await {
            Ok(None) => None,
            Ok(Some(lines)) => Some((Ok(Bytes::from(lines.bytes)), Some(export))),
            Err(error) => Some((Err(std::io::Error::other(error)), None)),
        }
    });
    HttpResponse::Ok().content_type(NDJSON).streaming(parts)
}

/// Whether all rows are asked for, a line each, instead of a page.
pub(crate) fn is_wanted(request: &HttpRequest) -> bool {
    accepts(request.headers())
}

fn accepts(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| {
        accept
            .split(',')
            .any(|one| one.split(';').next().unwrap_or_default().trim() == NDJSON)
    })
}

/// Rows of a list, all of them.
pub(crate) fn rows<T: 'static, V: Serialize, F, R>(
    read: F,
    view: impl Fn(T) -> V + 'static,
) -> HttpResponse
where
    F: Fn(Window) -> R + 'static,
    R: Future<Output = model::Result<Listing<T>>>,
{
    const PART: u64 = 1000;
    let state = Some((1, read, view));
    let parts = futures_util::stream::unfold(state, |state| async move {
        let (part, read, view) = state?;
        let window = Window::page(part, PART);
        let sent = read(window)
            .await
            .map_err(std::io::Error::other)
            .and_then(|found| {
                let more = window.offset + (found.rows.len() as u64) < found.total;
                let mut bytes = Vec::new();
                for row in found.rows {
                    serde_json::to_writer(&mut bytes, &view(row))?;
                    bytes.push(b'\n');
                }
                Ok((more && !bytes.is_empty(), Bytes::from(bytes)))
            });
        Some(match sent {
            Ok((more, bytes)) => (Ok(bytes), more.then_some((part + 1, read, view))),
            Err(error) => (Err(error), None),
        })
    });
    HttpResponse::Ok().content_type(NDJSON).streaming(parts)
}
