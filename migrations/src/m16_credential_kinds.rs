//! Kinds of credentials beside the multi-tenant application: which features are switched on, and who
//! authorised a delegated connection.

table![
    "ALTER TABLE credentials ADD COLUMN features TEXT NOT NULL DEFAULT '[\"mfa\",\"secure_score\"]'",
    "ALTER TABLE credentials ADD COLUMN authorised_as TEXT",
    "ALTER TABLE credentials ADD COLUMN authorised_at BIGINT",
    // Flows of a delegated connection's authorisation: found by the hash of their state, used once.
    "CREATE TABLE authorisations (
        partner_id {uuid} NOT NULL,
        id {uuid} NOT NULL,
        credential_id {uuid} NOT NULL,
        session_hash TEXT NOT NULL,
        state_hash TEXT NOT NULL UNIQUE,
        created_at BIGINT NOT NULL,
        expires_at BIGINT NOT NULL,
        used_at BIGINT,
        PRIMARY KEY (partner_id, id),
        FOREIGN KEY (partner_id, credential_id) REFERENCES credentials (partner_id, id)
    )",
];
