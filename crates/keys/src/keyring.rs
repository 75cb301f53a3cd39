//! The chain of keys: provider → partner's data key → credential's content key → secret.

use std::sync::Arc;

use uuid::Uuid;

use crate::{ContentKey, Error, Place, Sealed};

/// Wraps and unwraps data keys with a key that never leaves it.
#[async_trait::async_trait]
pub trait KeyProvider: Send + Sync {
    /// Name of the key that wraps now; stored beside what it wrapped.
    fn id(&self) -> String;
    /// Whether it unwraps what was wrapped under the key named `id`.
    fn knows(&self, id: &str) -> bool;
    /// Encrypts a data key for `place`; answers under which key as well.
    ///
    /// # Errors
    /// [`Error::Service`] when a key service did not answer or refused.
    async fn wrap(&self, place: Place<'_>, key: &ContentKey) -> Result<(String, Sealed), Error>;
    /// Decrypts what [`KeyProvider::wrap`] made under the key named `id`.
    ///
    /// # Errors
    /// [`Error::Service`] when a key service did not answer or refused, [`Error::UnknownKey`].
    async fn unwrap(
        &self,
        id: &str,
        place: Place<'_>,
        wrapped: &Sealed,
    ) -> Result<ContentKey, Error>;
}

/// A key and how the provider gave it away: what is stored beside what the key seals.
#[derive(Debug, Clone)]
pub struct Wrapped {
    /// Name of the wrapping key.
    pub provider_key: String,
    /// The wrapped key.
    pub key: Sealed,
}

/// Seals and opens values for partners. Holds the provider alone: data keys are unwrapped for each
/// use and wiped after it, so that little key material is in memory at any time.
#[derive(Clone)]
pub struct Keyring {
    provider: Arc<dyn KeyProvider>,
    /// Those of before, which unwrap what has not moved yet.
    older: Vec<Arc<dyn KeyProvider>>,
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
            older: vec![],
        }
    }

    /// A keyring whose first provider wraps, and all of which unwrap.
    pub fn over(provider: Arc<dyn KeyProvider>, older: Vec<Arc<dyn KeyProvider>>) -> Self {
        Self { provider, older }
    }

    async fn wrap(&self, place: Place<'_>, key: &ContentKey) -> Result<Wrapped, Error> {
        let (provider_key, key) = self.provider.wrap(place, key).await?;
        Ok(Wrapped { provider_key, key })
    }

    async fn unwrap(
        &self,
        id: &str,
        place: Place<'_>,
        wrapped: &Sealed,
    ) -> Result<ContentKey, Error> {
        let mut all = std::iter::once(&self.provider).chain(&self.older);
        let found = all.find(|provider| provider.knows(id));
        let provider = found.ok_or_else(|| Error::UnknownKey(id.to_owned()))?;
        provider.unwrap(id, place, wrapped).await
    }

    /// Name of the wrapping key in use.
    pub fn provider_id(&self) -> String {
        self.provider.id()
    }

    /// A new data key for a partner, wrapped: what the `partner_keys` row stores.
    pub async fn new_partner_key(&self, partner: Uuid) -> Result<Wrapped, Error> {
        self.wrap(partner_key_place(partner), &ContentKey::generate()?)
            .await
    }

    /// The partner's data key, from its wrapped form.
    pub async fn partner_key(
        &self,
        provider_id: &str,
        partner: Uuid,
        wrapped: &Sealed,
    ) -> Result<ContentKey, Error> {
        self.unwrap(provider_id, partner_key_place(partner), wrapped)
            .await
    }

    /// Wraps the same data key under the provider's present key, for rotation of the wrapping key.
    pub async fn rewrap(
        &self,
        provider_id: &str,
        partner: Uuid,
        wrapped: &Sealed,
    ) -> Result<Wrapped, Error> {
        let key = self.partner_key(provider_id, partner, wrapped).await?;
        self.wrap(partner_key_place(partner), &key).await
    }

    /// The same for the content key of a value that belongs to no partner.
    pub async fn rewrap_alone(
        &self,
        provider_id: &str,
        place: Place<'_>,
        wrapped: &Sealed,
    ) -> Result<Wrapped, Error> {
        let place = content_key_place(place);
        let key = self.unwrap(provider_id, place, wrapped).await?;
        self.wrap(place, &key).await
    }

    /// Seals a value's content key under another data key of the partner; the value stays as it is.
    pub fn reseal(
        &self,
        old: &ContentKey,
        new: &ContentKey,
        place: Place<'_>,
        wrapped: &Sealed,
    ) -> Result<Sealed, Error> {
        let place = content_key_place(place);
        new.seal(place, &old.open(place, wrapped)?)
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
    pub async fn seal_alone(
        &self,
        place: Place<'_>,
        plain: &[u8],
    ) -> Result<(Wrapped, Sealed), Error> {
        let content = ContentKey::generate()?;
        let wrapped = self.wrap(content_key_place(place), &content).await?;
        Ok((wrapped, content.seal(place, plain)?))
    }

    /// Opens what [`Keyring::seal_alone`] made.
    pub async fn open_alone(
        &self,
        provider_id: &str,
        place: Place<'_>,
        wrapped: &Sealed,
        value: &Sealed,
    ) -> Result<zeroize::Zeroizing<Vec<u8>>, Error> {
        let content = self
            .unwrap(provider_id, content_key_place(place), wrapped)
            .await?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FileProvider;

    #[test]
    fn a_keyring_says_which_key_it_wraps_with_and_no_more() {
        let text = data_encoding::BASE64.encode(&[7; 32]);
        let provider = FileProvider::of_text("TENANTRY_KEY", &text).unwrap();
        let id = provider.id();
        let keyring = Keyring::new(provider);
        assert!(!id.is_empty());
        assert_eq!(keyring.provider_id(), id);
        assert_eq!(format!("{keyring:?}"), format!("Keyring({id})"));
    }

    #[test]
    fn a_content_key_is_no_value_of_its_row() {
        let value = Place {
            partner: Uuid::nil(),
            table: "t",
            column: "c",
            row: Uuid::nil(),
        };
        assert_ne!(content_key_place(value).aad(), value.aad());
    }
}
