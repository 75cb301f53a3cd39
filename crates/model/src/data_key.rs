//! A partner's data key, which seals the content keys of its secrets. It is opened before a
//! transaction begins, because the key that wraps it may be a service's, and checked inside of it.

use keys::{ContentKey, Keyring, Place, Sealed, Secret};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, Select};

use crate::{
    Db, Error, PartnerId, Result,
    db::{Tx, query_one},
    entity::partner_key,
};

pub mod rewrap;
pub mod rotate;

/// A key is replaced by itself after so many uses: far below the 2^32 that AES-GCM under random nonces
/// allows (NIST SP 800-38D, section 8.3).
const MOST_USES: i64 = 1 << 31;

/// An opened data key. Dropped, it is wiped.
pub(crate) struct DataKey {
    partner: PartnerId,
    pub(crate) version: i64,
    pub(crate) key: ContentKey,
}

impl DataKey {
    /// The one that seals now.
    pub(crate) async fn newest(db: &Db, keyring: &Keyring, partner: PartnerId) -> Result<Self> {
        let newest = newest_row(db, partner).await?;
        if newest.uses >= MOST_USES {
            rotate::add(db, keyring, partner, newest.version).await?;
            return Self::open(keyring, newest_row(db, partner).await?).await;
        }
        Self::open(keyring, newest).await
    }

    /// The one of a version; `None` when it was replaced and nothing is sealed under it any more.
    pub(crate) async fn of(
        db: &Db,
        keyring: &Keyring,
        partner: PartnerId,
        version: i64,
    ) -> Result<Option<Self>> {
        let row = rows(partner)
            .filter(partner_key::Column::Version.eq(version))
            .one(&db.conn_of(partner))
            .await?;
        match row {
            Some(row) => Ok(Some(Self::open(keyring, row).await?)),
            None => Ok(None),
        }
    }

    async fn open(keyring: &Keyring, row: partner_key::Model) -> Result<Self> {
        let wrapped = Sealed::from_bytes(row.wrapped);
        let opened = keyring.partner_key(&row.provider_key, row.partner_id.0, &wrapped);
        Ok(Self {
            partner: row.partner_id,
            version: row.version,
            key: opened.await?,
        })
    }

    /// Seals a value inside a write; answers `(wrapped content key, value)`.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the key was replaced since it was opened.
    pub(crate) async fn seal(
        &self,
        tx: &Tx,
        keyring: &Keyring,
        place: Place<'_>,
        plain: &[u8],
    ) -> Result<(Sealed, Sealed)> {
        // The row is locked until the write ends, so that the key cannot be retired beneath it.
        let counted = query_one(
            &tx.conn,
            "UPDATE partner_keys SET uses = uses + 1 WHERE partner_id = $1 AND version = $2
             RETURNING uses",
            vec![self.partner.into(), self.version.into()],
        )
        .await?;
        match counted {
            Some(_) => Ok(keyring.seal(&self.key, place, plain)?),
            None => Err(Error::Conflict(
                "The organisation's key was replaced at this moment. Try again.".into(),
            )),
        }
    }
}

/// A text that a row keeps sealed under a data key.
#[derive(Debug, Clone)]
pub(crate) struct SealedText {
    /// Version of the data key.
    pub(crate) version: i64,
    /// The content key, wrapped by the data key.
    pub(crate) wrapped: Vec<u8>,
    /// The text, sealed by the content key.
    pub(crate) sealed: Vec<u8>,
}

/// Opens a text. The key may have been replaced since its row was read: `again` reads the row once more,
/// which names another key then.
pub(crate) async fn open<F: Future<Output = Result<Option<SealedText>>>>(
    db: &Db,
    keyring: &Keyring,
    place: Place<'_>,
    mut text: SealedText,
    again: impl Fn() -> F,
) -> Result<Secret> {
    let partner = PartnerId(place.partner);
    let data_key = loop {
        if let Some(key) = DataKey::of(db, keyring, partner, text.version).await? {
            break key;
        }
        text = match again().await? {
            Some(now) if now.version != text.version => now,
            Some(_) => return Err(Error::Stored("a secret's data key is missing".into())),
            None => return Err(Error::Stored("a secret's row is gone".into())),
        };
    };
    let bytes = keyring.open(
        &data_key.key,
        place,
        &Sealed::from_bytes(text.wrapped),
        &Sealed::from_bytes(text.sealed),
    )?;
    let text =
        std::str::from_utf8(&bytes).map_err(|_| Error::Stored("a secret is no text".into()))?;
    Ok(Secret::new(text))
}

fn rows(partner: PartnerId) -> Select<partner_key::Entity> {
    partner_key::Entity::find().filter(partner_key::Column::PartnerId.eq(partner))
}

async fn newest_row(db: &Db, partner: PartnerId) -> Result<partner_key::Model> {
    rows(partner)
        .order_by_desc(partner_key::Column::Version)
        .one(&db.conn_of(partner))
        .await?
        .ok_or_else(|| Error::Stored("the partner has no data key".into()))
}
