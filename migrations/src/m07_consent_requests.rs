//! Attempts to have a tenant's administrator consent. State and nonce are kept hashed; the code
//! verifier of the sign-in step is derived from a cookie, so nothing here can be replayed.

table![
    "CREATE TABLE consent_requests (
        partner_id {uuid} NOT NULL,
        id {uuid} NOT NULL,
        credential_id {uuid} NOT NULL,
        pinned_directory_id {uuid},
        member_id {uuid} NOT NULL,
        session_hash TEXT,
        state_hash TEXT NOT NULL UNIQUE,
        proof_state_hash TEXT UNIQUE,
        step TEXT NOT NULL,
        claimed_directory_id {uuid},
        granted_scopes TEXT NOT NULL DEFAULT '',
        outcome TEXT,
        outcome_code TEXT,
        outcome_detail TEXT,
        tenant_id {uuid},
        created_at BIGINT NOT NULL,
        expires_at BIGINT NOT NULL,
        used_at BIGINT,
        finished_at BIGINT,
        PRIMARY KEY (partner_id, id),
        FOREIGN KEY (partner_id, credential_id) REFERENCES credentials (partner_id, id)
    )",
];
