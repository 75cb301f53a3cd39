//! Members sign in; a membership gives one of them a role with one partner.

table![
    "CREATE TABLE members (
        id {uuid} NOT NULL PRIMARY KEY,
        email TEXT NOT NULL UNIQUE,
        name TEXT NOT NULL,
        password_hash TEXT,
        created_at BIGINT NOT NULL
    )",
    // companies: JSON array of company ids that the membership is limited to; NULL means all.
    "CREATE TABLE memberships (
        partner_id {uuid} NOT NULL REFERENCES partners (id),
        member_id {uuid} NOT NULL REFERENCES members (id),
        role TEXT NOT NULL,
        companies TEXT,
        created_at BIGINT NOT NULL,
        PRIMARY KEY (partner_id, member_id)
    )",
    "CREATE TABLE invitations (
        partner_id {uuid} NOT NULL REFERENCES partners (id),
        id {uuid} NOT NULL,
        token_hash TEXT NOT NULL UNIQUE,
        email TEXT NOT NULL,
        role TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        expires_at BIGINT NOT NULL,
        accepted_at BIGINT,
        PRIMARY KEY (partner_id, id)
    )",
    // One row while no partner exists: the one-time token that opens /setup.
    "CREATE TABLE setup_tokens (
        token_hash TEXT NOT NULL PRIMARY KEY,
        created_at BIGINT NOT NULL
    )",
];
