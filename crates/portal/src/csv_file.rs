//! Lists as CSV files: exactly what is filtered, read and sent in parts, so that the size does not matter.

use actix_web::HttpResponse;
use bytes::Bytes;
use model::{Listing, Window};
use report::csv::{self, Sheet};

/// Rows read at a time.
const PART: u64 = 1000;

/// A file whose parts are read page by page. Where one cannot be read the connection breaks: a file that
/// ends early must not look whole.
pub(crate) fn paged<T: 'static, F, R>(
    name: &str,
    write: impl Fn(&[T], bool) -> Result<Vec<u8>, csv::Error> + 'static,
    read: F,
) -> HttpResponse
where
    F: Fn(Window) -> R + 'static,
    R: Future<Output = model::Result<Listing<T>>>,
{
    let state = Some((1, read, write));
    let parts = futures_util::stream::unfold(state, |state| async move {
        let (part, read, write) = state?;
        let window = Window::page(part, PART);
        let sent = read(window)
            .await
            .map_err(std::io::Error::other)
            .and_then(|found| {
                let bytes = write(&found.rows, part == 1).map_err(std::io::Error::other)?;
                let more = window.offset + (found.rows.len() as u64) < found.total;
                Ok((Bytes::from(bytes), more && !found.rows.is_empty()))
            });
        Some(match sent {
            Ok((bytes, more)) => (Ok(bytes), more.then_some((part + 1, read, write))),
            Err(error) => (Err(error), None),
        })
    });
    head(name).streaming(parts)
}

/// A file of a sheet whose parts are read page by page.
pub(crate) fn sheet<T: 'static, F, R>(sheet: &'static Sheet<T>, of: &str, read: F) -> HttpResponse
where
    F: Fn(Window) -> R + 'static,
    R: Future<Output = model::Result<Listing<T>>>,
{
    let write = |rows: &[T], is_first| sheet.write(rows, is_first);
    paged(&named(sheet.name, of), write, read)
}

/// A file of a list that was read whole.
pub(crate) fn whole<T>(sheet: &Sheet<T>, of: &str, rows: &[T]) -> HttpResponse {
    match sheet.write(rows, true) {
        Ok(bytes) => head(&named(sheet.name, of)).body(bytes),
        Err(_) => HttpResponse::InternalServerError().finish(),
    }
}

/// A name for a file: of what, and whose, where it is somebody's.
pub(crate) fn named(kind: &str, of: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let of: String = of.chars().map(plain).collect();
    match of.is_empty() {
        true => kind.to_owned(),
        false => format!("{kind}-{of}"),
    }
}

fn head(name: &str) -> actix_web::HttpResponseBuilder {
    let mut answer = HttpResponse::Ok();
    answer
        .content_type("text/csv; charset=utf-8")
        .insert_header((
            "content-disposition",
            format!("attachment; filename=\"{name}.csv\""),
        ));
    answer
}
