//! Secrets, certificates and refresh tokens of credentials, several at a time: while one replaces
//! another both may be tried. Each is sealed under a content key of its own, and removing the row
//! removes both.
//!
//! A secret that was stored beside its credential moves here under the credential's own id, by which
//! its sealed place is known again.

table![
    "CREATE TABLE credential_secrets (
        partner_id {uuid} NOT NULL,
        id {uuid} NOT NULL,
        credential_id {uuid} NOT NULL,
        kind TEXT NOT NULL,
        state TEXT NOT NULL,
        sealed {bytes} NOT NULL,
        content_key {bytes} NOT NULL,
        key_version BIGINT NOT NULL,
        certificate {bytes},
        thumbprint TEXT,
        expires_at BIGINT,
        created_at BIGINT NOT NULL,
        replaced_at BIGINT,
        PRIMARY KEY (partner_id, id),
        FOREIGN KEY (partner_id, credential_id) REFERENCES credentials (partner_id, id)
    )",
    "CREATE INDEX credential_secrets_credential ON credential_secrets (partner_id, credential_id)",
    // One that is used, one that it replaced and one that is to come, of the application and of the
    // person who authorised.
    "CREATE UNIQUE INDEX credential_secrets_state ON credential_secrets
        (partner_id, credential_id, state, (kind = 'refresh_token'))",
    "INSERT INTO credential_secrets (partner_id, id, credential_id, kind, state, sealed, content_key,
        key_version, expires_at, created_at)
     SELECT partner_id, id, id, 'client_secret', 'current', secret, content_key, key_version,
        secret_expires_at, created_at
     FROM credentials WHERE secret IS NOT NULL AND content_key IS NOT NULL",
    "ALTER TABLE credentials DROP COLUMN secret",
    "ALTER TABLE credentials DROP COLUMN content_key",
    "ALTER TABLE credentials DROP COLUMN key_version",
];
