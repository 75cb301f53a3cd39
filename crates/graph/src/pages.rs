//! Collections, page after page: links are followed as they came, on the configured origin alone, and
//! the chain is bounded.

use std::collections::HashSet;

use serde::{Deserialize, de::DeserializeOwned};
use url::Url;

use crate::{Error, GraphClient, Meter, Request, charge::Charge};

/// More pages than any directory has; a longer chain is a loop.
const MAX_PAGES: usize = 20_000;

/// One page of a collection.
#[derive(Debug)]
pub struct Page<T> {
    /// Its items; a page may be empty and still have a successor.
    pub items: Vec<T>,
    /// Whether another follows.
    pub is_last: bool,
}

/// An item of a round of changes.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, bound = "T: DeserializeOwned")]
pub enum Change<T> {
    /// It is gone: in the bin or for good.
    Removed {
        /// Its id.
        id: String,
        /// Why.
        #[serde(rename = "@removed")]
        removed: Removed,
    },
    /// It is there, as it is now.
    Present(T),
}

/// Why an object is gone.
#[derive(Debug, Clone, Deserialize)]
pub struct Removed {
    /// `changed`: it can be restored; `deleted`: it cannot, or is no member any more.
    #[serde(default)]
    pub reason: String,
}

/// The body of a page as Graph sends it; its links are not judged yet ([`crate::link::follow`]).
#[derive(Debug, Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
pub struct WirePage<T> {
    /// Its items.
    pub value: Vec<T>,
    /// Where the next page is.
    #[serde(rename = "@odata.nextLink")]
    pub next_link: Option<String>,
    /// After the last page of a round of changes: where the next round begins.
    #[serde(rename = "@odata.deltaLink")]
    pub delta_link: Option<String>,
}

/// A cursor over pages.
#[derive(Debug)]
pub struct Pages<'a, T> {
    client: &'a GraphClient,
    charge: Charge,
    version: &'static str,
    next: Option<Url>,
    delta_link: Option<String>,
    seen: HashSet<u64>,
    left: Option<usize>,
    _items: std::marker::PhantomData<fn() -> T>,
}

impl<'a, T: DeserializeOwned + Send> Pages<'a, T> {
    pub(crate) fn new(client: &'a GraphClient, from: Url, request: &Request) -> Self {
        Self {
            client,
            charge: Charge::of(request),
            version: request.version,
            next: Some(from),
            delta_link: None,
            seen: HashSet::new(),
            left: request.max_items,
            _items: std::marker::PhantomData,
        }
    }

    /// The next page, or `None` after the last.
    ///
    /// # Errors
    /// Any [`Error`]; what was read before stands, but the pass is not complete.
    pub async fn next(&mut self, meter: &Meter) -> Result<Option<Page<T>>, Error> {
        let Some(url) = self.next.take() else {
            return Ok(None);
        };
        if !self.seen.insert(fingerprint(&url)) || self.seen.len() > MAX_PAGES {
            return Err(Error::EndlessPages);
        }
        let wire: WirePage<T> = self.client.fetch(&url, self.charge, meter).await?;
        let link = |link: Option<String>| {
            link.map(|link| self.client.check_link(&link, self.version))
                .transpose()
        };
        let next = link(wire.next_link)?;
        if let Some(delta) = link(wire.delta_link)? {
            self.delta_link = Some(delta.into());
        }
        let mut items = wire.value;
        if let Some(left) = &mut self.left {
            items.truncate(*left);
            *left -= items.len();
        }
        self.next = next.filter(|_| self.left != Some(0));
        Ok(Some(Page {
            items,
            is_last: self.next.is_none(),
        }))
    }

    /// After the last page of a round of changes: where the next round begins.
    pub fn delta_link(&self) -> Option<&str> {
        self.delta_link.as_deref()
    }
}

/// Links are long and pages many: a loop is noticed by eight bytes of each.
fn fingerprint(url: &Url) -> u64 {
    let digest = ring::digest::digest(&ring::digest::SHA256, url.as_str().as_bytes());
    let mut first = [0u8; 8];
    first.copy_from_slice(&digest.as_ref()[..8]);
    u64::from_be_bytes(first)
}
