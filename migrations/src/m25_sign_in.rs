//! Sign-in: second factors, sessions that are listed and proved anew, single sign-on.

table![
    "ALTER TABLE members ADD COLUMN password_changed_at BIGINT",
    // A membership that ended stays, because sessions, tokens and the audit log name it.
    "ALTER TABLE memberships ADD COLUMN removed_at BIGINT",
    "ALTER TABLE invitations ADD COLUMN companies TEXT",
    "ALTER TABLE invitations ADD COLUMN withdrawn_at BIGINT",
    // Who is signed in signs in anew: nobody knows how the old ones did.
    "DROP TABLE sessions",
    "CREATE TABLE sessions (
        token_hash TEXT NOT NULL PRIMARY KEY,
        id {uuid} NOT NULL UNIQUE,
        partner_id {uuid} NOT NULL,
        member_id {uuid} NOT NULL,
        method TEXT NOT NULL,
        provider_id {uuid},
        created_at BIGINT NOT NULL,
        seen_at BIGINT NOT NULL,
        proved_at BIGINT NOT NULL,
        expires_at BIGINT NOT NULL,
        user_agent TEXT NOT NULL,
        address TEXT NOT NULL,
        FOREIGN KEY (partner_id, member_id) REFERENCES memberships (partner_id, member_id)
    )",
    "CREATE INDEX sessions_by_member ON sessions (member_id)",
    // An authenticator app's seed; last_step is the newest code that was used, for each counts once.
    "CREATE TABLE totps (
        member_id {uuid} NOT NULL PRIMARY KEY REFERENCES members (id),
        provider_key TEXT NOT NULL,
        wrapped {bytes} NOT NULL,
        sealed {bytes} NOT NULL,
        created_at BIGINT NOT NULL,
        confirmed_at BIGINT,
        last_step BIGINT NOT NULL
    )",
    "CREATE TABLE recovery_codes (
        member_id {uuid} NOT NULL REFERENCES members (id),
        code_hash TEXT NOT NULL,
        used_at BIGINT,
        PRIMARY KEY (member_id, code_hash)
    )",
    "CREATE TABLE passkeys (
        id {uuid} NOT NULL PRIMARY KEY,
        member_id {uuid} NOT NULL REFERENCES members (id),
        credential_id TEXT NOT NULL UNIQUE,
        credential TEXT NOT NULL,
        name TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        used_at BIGINT
    )",
    "CREATE INDEX passkeys_of_member ON passkeys (member_id)",
    // What a browser has begun and not ended: a second factor, a passkey's challenge, a sign-in elsewhere.
    "CREATE TABLE sign_in_steps (
        token_hash TEXT NOT NULL PRIMARY KEY,
        kind TEXT NOT NULL,
        member_id {uuid},
        state TEXT NOT NULL,
        expires_at BIGINT NOT NULL
    )",
    // A form that waits until its sender has proved who they are; sealed, because it may hold secrets.
    "CREATE TABLE held_forms (
        token_hash TEXT NOT NULL PRIMARY KEY,
        partner_id {uuid} NOT NULL REFERENCES partners (id),
        session_id {uuid} NOT NULL,
        row_id {uuid} NOT NULL,
        path TEXT NOT NULL,
        content_type TEXT NOT NULL,
        provider_key TEXT NOT NULL,
        wrapped {bytes} NOT NULL,
        sealed {bytes} NOT NULL,
        expires_at BIGINT NOT NULL
    )",
    "CREATE TABLE sign_in_providers (
        partner_id {uuid} NOT NULL REFERENCES partners (id),
        id {uuid} NOT NULL,
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        cloud TEXT NOT NULL,
        directory_id {uuid},
        issuer TEXT NOT NULL,
        client_id TEXT NOT NULL,
        key_version BIGINT NOT NULL,
        wrapped {bytes} NOT NULL,
        sealed {bytes} NOT NULL,
        is_listed BIGINT NOT NULL,
        created_at BIGINT NOT NULL,
        removed_at BIGINT,
        PRIMARY KEY (partner_id, id)
    )",
    // A person at a provider: never an e-mail address, which may pass from one person to another.
    "CREATE TABLE identities (
        partner_id {uuid} NOT NULL,
        provider_id {uuid} NOT NULL,
        subject TEXT NOT NULL,
        member_id {uuid} NOT NULL REFERENCES members (id),
        username TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        used_at BIGINT,
        PRIMARY KEY (partner_id, provider_id, subject),
        FOREIGN KEY (partner_id, provider_id) REFERENCES sign_in_providers (partner_id, id)
    )",
    "CREATE INDEX identities_of_member ON identities (member_id)",
];
