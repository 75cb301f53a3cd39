//! Sessions of members and API tokens; both are found by the SHA-256 of an unguessable token.

table![
    "CREATE TABLE sessions (
        token_hash TEXT NOT NULL PRIMARY KEY,
        partner_id {uuid} NOT NULL,
        member_id {uuid} NOT NULL,
        created_at BIGINT NOT NULL,
        seen_at BIGINT NOT NULL,
        expires_at BIGINT NOT NULL,
        user_agent TEXT NOT NULL,
        FOREIGN KEY (partner_id, member_id) REFERENCES memberships (partner_id, member_id)
    )",
    "CREATE INDEX sessions_of_member ON sessions (member_id)",
    "CREATE TABLE api_tokens (
        partner_id {uuid} NOT NULL,
        id {uuid} NOT NULL,
        member_id {uuid} NOT NULL,
        name TEXT NOT NULL,
        token_hash TEXT NOT NULL UNIQUE,
        role TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        expires_at BIGINT,
        used_at BIGINT,
        revoked_at BIGINT,
        PRIMARY KEY (partner_id, id),
        FOREIGN KEY (partner_id, member_id) REFERENCES memberships (partner_id, member_id)
    )",
    // Failed sign-ins by account and by address, counted in fixed windows.
    "CREATE TABLE sign_in_failures (
        subject TEXT NOT NULL,
        window_start BIGINT NOT NULL,
        failures BIGINT NOT NULL,
        PRIMARY KEY (subject, window_start)
    )",
];
