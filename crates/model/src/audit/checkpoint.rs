//! Checkpoints: what the end of a partner's log was at a moment, signed. Kept elsewhere, they show that
//! a log was cut off or written anew, which a chain alone cannot.

use keys::{Keyring, Place, Sealed, SigningKey};
use sea_orm::QueryResult;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    Db, Error, PartnerId, Result, SigningKeyId, Timestamp,
    db::{execute, query_all, query_one},
};

/// A checkpoint of each log that grew is made so often.
pub const EVERY_MINUTES: i64 = 5;

/// What the end of a log was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Whose log.
    pub partner: PartnerId,
    /// Number of its last row.
    pub seq: i64,
    /// That row's hash.
    pub head: String,
    /// When, milliseconds since 1970.
    #[serde(with = "millis")]
    pub at: Timestamp,
    /// Which key signed it.
    pub key: String,
    /// Ed25519, base64url, over [`Checkpoint::message`].
    pub signature: String,
}

mod millis {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::Timestamp;

    pub(super) fn serialize<S: Serializer>(at: &Timestamp, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_i64(at.0)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        i64::deserialize(from).map(Timestamp)
    }
}

impl Checkpoint {
    /// What is signed: lines, each with its end.
    pub fn message(&self) -> String {
        format!(
            "tenantry audit checkpoint 1\n{}\n{}\n{}\n{}\n",
            self.partner, self.seq, self.head, self.at.0
        )
    }

    /// As a line of JSON, in the form of `docs/audit.md`, without its end.
    ///
    /// # Errors
    /// Never for what was read or made; the serialiser's signature has one.
    pub fn line(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|e| Error::Stored(e.to_string()))
    }

    /// Whether a public key (base64url) signed it.
    pub fn is_signed_by(&self, public_key: &str) -> bool {
        keys::verify(public_key, self.message().as_bytes(), &self.signature)
    }

    fn read(row: &QueryResult) -> Result<Self> {
        Ok(Self {
            partner: row.try_get("", "partner_id")?,
            seq: row.try_get("", "seq")?,
            head: row.try_get("", "head")?,
            at: row.try_get("", "at")?,
            key: row.try_get("", "key_id")?,
            signature: row.try_get("", "signature")?,
        })
    }
}

/// Reads lines back; those that name a public key are passed over.
///
/// # Errors
/// [`Error::Invalid`] with the number of the first line that is no checkpoint.
pub fn parse(text: &str) -> Result<Vec<Checkpoint>> {
    let lines = text.lines().enumerate();
    lines
        .filter(|(_, line)| !line.trim().is_empty() && !line.contains("\"public_key\""))
        .map(|(n, line)| {
            serde_json::from_str(line).map_err(|_| {
                Error::field("checkpoints", format!("line {} is no checkpoint", n + 1))
            })
        })
        .collect()
}

pub(crate) fn place(row: Uuid) -> Place<'static> {
    Place {
        partner: Uuid::nil(),
        table: "signing_keys",
        column: "sealed",
        row,
    }
}

/// The installation's signing key, made when there is none.
pub async fn signing_key(db: &Db, keyring: &Keyring) -> Result<SigningKey> {
    for _ in 0..2 {
        let found = query_one(
            &db.conn(),
            "SELECT row_id, provider_key, wrapped, sealed FROM signing_keys
             ORDER BY created_at DESC, id LIMIT 1",
            vec![],
        )
        .await?;
        if let Some(row) = found {
            let id: SigningKeyId = row.try_get("", "row_id")?;
            let provider: String = row.try_get("", "provider_key")?;
            let bytes = keyring
                .open_alone(
                    &provider,
                    place(id.0),
                    &Sealed::from_bytes(row.try_get("", "wrapped")?),
                    &Sealed::from_bytes(row.try_get("", "sealed")?),
                )
                .await?;
            return Ok(SigningKey::from_pkcs8(&bytes)?);
        }
        let (key, bytes) = SigningKey::generate()?;
        let id = SigningKeyId::generate(db.clock());
        let (wrapped, sealed) = keyring.seal_alone(place(id.0), &bytes).await?;
        // Of two processes that start at once, the first one's is everybody's.
        execute(
            &db.writer(),
            "INSERT INTO signing_keys (id, row_id, public_key, provider_key, wrapped, sealed, created_at)
             SELECT $1, $2, $3, $4, $5, $6, $7
             WHERE NOT EXISTS (SELECT 1 FROM signing_keys)",
            vec![
                key.id().into(),
                id.into(),
                key.public_key().into(),
                wrapped.provider_key.into(),
                wrapped.key.as_bytes().to_vec().into(),
                sealed.as_bytes().to_vec().into(),
                db.clock().now().into(),
            ],
        )
        .await?;
    }
    Err(Error::Stored("the signing key cannot be kept".into()))
}

/// Public keys that ever signed: `(id, base64url)`.
pub async fn public_keys(db: &Db) -> Result<Vec<(String, String)>> {
    let rows = query_all(
        &db.conn(),
        "SELECT id, public_key FROM signing_keys ORDER BY created_at",
        vec![],
    )
    .await?;
    rows.iter()
        .map(|row| Ok((row.try_get("", "id")?, row.try_get("", "public_key")?)))
        .collect()
}

/// Signs the end of every log that grew since its last checkpoint, if that is old enough. Answers how
/// many. Any number of processes may do so at once.
pub async fn make(db: &Db, keyring: &Keyring) -> Result<usize> {
    let now = db.clock().now();
    let due = query_all(
        &db.everybody(),
        "SELECT p.id, p.audit_seq, p.audit_head FROM partners p
         WHERE p.audit_seq > 0 AND NOT EXISTS (
            SELECT 1 FROM audit_checkpoints c WHERE c.partner_id = p.id
            AND (c.seq >= p.audit_seq OR c.at > $1))",
        vec![now.plus_minutes(-EVERY_MINUTES).into()],
    )
    .await?;
    if due.is_empty() {
        return Ok(0);
    }
    let key = signing_key(db, keyring).await?;
    for row in &due {
        let mut checkpoint = Checkpoint {
            partner: row.try_get("", "id")?,
            seq: row.try_get("", "audit_seq")?,
            head: row.try_get("", "audit_head")?,
            at: now,
            key: key.id(),
            signature: String::new(),
        };
        checkpoint.signature = key.sign(checkpoint.message().as_bytes());
        execute(
            &db.writer_of(checkpoint.partner),
            "INSERT INTO audit_checkpoints (partner_id, seq, head, at, key_id, signature)
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
            vec![
                checkpoint.partner.into(),
                checkpoint.seq.into(),
                checkpoint.head.into(),
                checkpoint.at.into(),
                checkpoint.key.into(),
                checkpoint.signature.into(),
            ],
        )
        .await?;
    }
    Ok(due.len())
}

/// All checkpoints of a partner, oldest first.
pub async fn list(db: &Db, partner: PartnerId) -> Result<Vec<Checkpoint>> {
    let rows = query_all(
        &db.conn_of(partner),
        "SELECT partner_id, seq, head, at, key_id, signature FROM audit_checkpoints
         WHERE partner_id = $1 ORDER BY seq",
        vec![partner.into()],
    )
    .await?;
    rows.iter().map(Checkpoint::read).collect()
}

/// Checkpoints that were not taken elsewhere yet, oldest first, at most a thousand.
pub async fn unexported(db: &Db) -> Result<Vec<Checkpoint>> {
    let rows = query_all(
        &db.everybody(),
        "SELECT partner_id, seq, head, at, key_id, signature FROM audit_checkpoints
         WHERE exported_at IS NULL ORDER BY at, partner_id, seq LIMIT 1000",
        vec![],
    )
    .await?;
    rows.iter().map(Checkpoint::read).collect()
}

/// Notes that these are elsewhere now.
pub async fn exported(db: &Db, checkpoints: &[Checkpoint]) -> Result<()> {
    let now = db.clock().now();
    for checkpoint in checkpoints {
        execute(
            &db.writer_of(checkpoint.partner),
            "UPDATE audit_checkpoints SET exported_at = $1 WHERE partner_id = $2 AND seq = $3",
            vec![now.into(), checkpoint.partner.into(), checkpoint.seq.into()],
        )
        .await?;
    }
    Ok(())
}
