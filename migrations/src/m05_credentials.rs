//! Entra application registrations that partners bring. The secret is sealed under a content key of
//! its own, which the partner's data key wraps; both columns are emptied on revoke.

table![
    "CREATE TABLE credentials (
        partner_id {uuid} NOT NULL REFERENCES partners (id),
        id {uuid} NOT NULL,
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        cloud TEXT NOT NULL,
        directory_id {uuid} NOT NULL,
        client_id {uuid} NOT NULL,
        secret {bytes},
        content_key {bytes},
        key_version BIGINT NOT NULL,
        secret_version BIGINT NOT NULL DEFAULT 1,
        secret_expires_at BIGINT,
        state TEXT NOT NULL,
        sync_interval_minutes BIGINT NOT NULL DEFAULT 1440,
        last_success_at BIGINT,
        last_error_at BIGINT,
        last_error_code TEXT,
        last_error TEXT,
        created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL,
        revoked_at BIGINT,
        PRIMARY KEY (partner_id, id)
    )",
    "CREATE UNIQUE INDEX credentials_client ON credentials (partner_id, cloud, client_id)
        WHERE revoked_at IS NULL",
];
