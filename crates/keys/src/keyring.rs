//! The chain of keys: provider → partner's data key → credential's content key → secret.

use std::sync::Arc;

use uuid::Uuid;

use crate::{ContentKey, Error, Place, Sealed};

/// Wraps and unwraps data keys with a key that never leaves it.
pub trait KeyProvider: Send + Sync {
    /// Name of the key that wraps now; stored beside what it wrapped.
    fn id(&self) -> String;
    /// Encrypts a data key for `place`.
    fn wrap(&self, place: Place<'_>, key: &ContentKey) -> Result<Sealed, Error>;
    /// Decrypts what [`KeyProvider::wrap`] made under the key named `id`.
    fn unwrap(&self, id: &str, place: Place<'_>, wrapped: &Sealed) -> Result<ContentKey, Error>;
}

/// Seals and opens values for partners. Holds the provider alone: data keys are unwrapped for each
/// use and wiped after it, so that little key material is in memory at any time.
#[derive(Clone)]
pub struct Keyring {
    provider: Arc<dyn KeyProvider>,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keyring({})", self.provider.id())
    }
}

impl Keyring {
    /// A keyring over one provider.
    pub fn new(provider: impl KeyProvider + 'static) -> Self {
        Self {
            provider: Arc::new(provider),
        }
    }

    /// Name of the wrapping key in use.
    pub fn provider_id(&self) -> String {
        self.provider.id()
    }

    /// A new data key for a partner, wrapped: what the `partner_keys` row stores.
    pub fn new_partner_key(&self, partner: Uuid) -> Result<Sealed, Error> {
        self.provider
            .wrap(partner_key_place(partner), &ContentKey::generate()?)
    }

    /// The partner's data key, from its wrapped form.
    pub fn partner_key(
        &self,
        provider_id: &str,
        partner: Uuid,
        wrapped: &Sealed,
    ) -> Result<ContentKey, Error> {
        self.provider
            .unwrap(provider_id, partner_key_place(partner), wrapped)
    }

    /// Wraps the same data key under the provider's present key, for rotation of the wrapping key.
    pub fn rewrap(
        &self,
        provider_id: &str,
        partner: Uuid,
        wrapped: &Sealed,
    ) -> Result<Sealed, Error> {
        let key = self.partner_key(provider_id, partner, wrapped)?;
        self.provider.wrap(partner_key_place(partner), &key)
    }

    /// Seals `plain` under a content key of its own; answers `(wrapped content key, value)`.
    pub fn seal(
        &self,
        partner_key: &ContentKey,
        place: Place<'_>,
        plain: &[u8],
    ) -> Result<(Sealed, Sealed), Error> {
        let content = ContentKey::generate()?;
        let wrapped = partner_key.seal(content_key_place(place), content.bytes())?;
        Ok((wrapped, content.seal(place, plain)?))
    }

    /// Seals a value that belongs to no partner, under a content key that the provider wraps itself;
    /// answers `(wrapped content key, value)`. The provider's name is stored beside them.
    pub fn seal_alone(&self, place: Place<'_>, plain: &[u8]) -> Result<(Sealed, Sealed), Error> {
        let content = ContentKey::generate()?;
        let wrapped = self.provider.wrap(content_key_place(place), &content)?;
        Ok((wrapped, content.seal(place, plain)?))
    }

    /// Opens what [`Keyring::seal_alone`] made.
    pub fn open_alone(
        &self,
        provider_id: &str,
        place: Place<'_>,
        wrapped: &Sealed,
        value: &Sealed,
    ) -> Result<zeroize::Zeroizing<Vec<u8>>, Error> {
        let content = self
            .provider
            .unwrap(provider_id, content_key_place(place), wrapped)?;
        content.open(place, value)
    }

    /// Opens what [`Keyring::seal`] made.
    pub fn open(
        &self,
        partner_key: &ContentKey,
        place: Place<'_>,
        wrapped: &Sealed,
        value: &Sealed,
    ) -> Result<zeroize::Zeroizing<Vec<u8>>, Error> {
        let content =
            ContentKey::from_slice(&partner_key.open(content_key_place(place), wrapped)?)?;
        content.open(place, value)
    }
}

fn partner_key_place(partner: Uuid) -> Place<'static> {
    Place {
        partner,
        table: "partner_keys",
        column: "wrapped",
        row: partner,
    }
}

/// A content key is bound to the value's row under a column name that no value has.
fn content_key_place(value: Place<'_>) -> Place<'_> {
    Place {
        column: "content_key",
        ..value
    }
}
