//! A form with or without files, as browsers send either; bounded in size.

use actix_multipart::Multipart;
use actix_web::{Error, FromRequest, HttpRequest, dev::Payload, http::header, web};
use futures_util::{StreamExt, future::LocalBoxFuture};
use zeroize::Zeroizing;

use crate::problem::PageProblem;

/// All fields and files of a form together.
const MAX_FORM: usize = 1024 * 1024;

/// What a form held. Files may be private keys: dropped, they are wiped.
#[derive(Default)]
pub(crate) struct Fields {
    texts: Vec<(String, Zeroizing<String>)>,
    files: Vec<(String, Zeroizing<Vec<u8>>)>,
}

impl Fields {
    /// The first value of a field; empty when there is none.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.texts
            .iter()
            .find(|(n, _)| n == name)
            .map_or("", |(_, value)| value.as_str())
    }

    /// All values of a field.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        self.texts
            .iter()
            .filter(|(n, _)| n == name)
            .map(|(_, value)| value.to_string())
            .collect()
    }

    /// A file; `None` where none was chosen.
    pub(crate) fn file(&self, name: &str) -> Option<&Zeroizing<Vec<u8>>> {
        self.files
            .iter()
            .find(|(n, bytes)| n == name && !bytes.is_empty())
            .map(|(_, bytes)| bytes)
    }
}

impl FromRequest for Fields {
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self, Error>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let is_multipart = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|v| v.to_str().ok())
            .is_some_and(|v| v.starts_with("multipart/form-data"));
        if is_multipart {
            let parts = Multipart::new(request.headers(), payload.take());
            Box::pin(read(parts))
        } else {
            let form = web::Form::<Vec<(String, String)>>::from_request(request, payload);
            Box::pin(async move {
                let texts = form.await?.into_inner();
                Ok(Self {
                    texts: texts
                        .into_iter()
                        .map(|(name, value)| (name, Zeroizing::new(value)))
                        .collect(),
                    files: vec![],
                })
            })
        }
    }
}

async fn read(mut parts: Multipart) -> Result<Fields, Error> {
    let unreadable = || Error::from(PageProblem::Conflict("The form could not be read.".into()));
    let mut fields = Fields::default();
    let mut total = 0;
    while let Some(part) = parts.next().await {
        let mut part = part.map_err(|_| unreadable())?;
        let name = part.name().unwrap_or_default().to_owned();
        let is_file = part
            .content_disposition()
            .is_some_and(|d| d.get_filename().is_some());
        let mut bytes = Zeroizing::new(Vec::new());
        while let Some(chunk) = part.next().await {
            let chunk = chunk.map_err(|_| unreadable())?;
            total += chunk.len();
            if total > MAX_FORM {
                return Err(PageProblem::TooLarge.into());
            }
            bytes.extend_from_slice(&chunk);
        }
        if is_file {
            fields.files.push((name, bytes));
        } else {
            let text = std::str::from_utf8(&bytes).map_err(|_| unreadable())?;
            fields.texts.push((name, Zeroizing::new(text.to_owned())));
        }
    }
    Ok(fields)
}
