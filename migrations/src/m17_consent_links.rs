//! Links for customers' administrators, who need no account here, and what a consent request keeps
//! for them: who consented, and when to look again while consent spreads.

table![
    "CREATE TABLE consent_links (
        partner_id {uuid} NOT NULL,
        id {uuid} NOT NULL,
        credential_id {uuid} NOT NULL,
        directory_id {uuid},
        company_name TEXT NOT NULL DEFAULT '',
        note TEXT NOT NULL DEFAULT '',
        token_hash TEXT NOT NULL UNIQUE,
        member_id {uuid} NOT NULL,
        created_at BIGINT NOT NULL,
        expires_at BIGINT NOT NULL,
        opened_at BIGINT,
        opened_count BIGINT NOT NULL DEFAULT 0,
        withdrawn_at BIGINT,
        used_at BIGINT,
        PRIMARY KEY (partner_id, id),
        FOREIGN KEY (partner_id, credential_id) REFERENCES credentials (partner_id, id)
    )",
    "ALTER TABLE consent_requests ADD COLUMN link_id {uuid}",
    "ALTER TABLE consent_requests ADD COLUMN administrator TEXT",
    // Whose role is still to be found, by the object id of their token.
    "ALTER TABLE consent_requests ADD COLUMN person_id {uuid}",
    "ALTER TABLE consent_requests ADD COLUMN unexpected TEXT",
    "ALTER TABLE consent_requests ADD COLUMN checks BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE consent_requests ADD COLUMN next_check_at BIGINT",
    "CREATE INDEX consent_requests_link ON consent_requests (partner_id, link_id)",
    // Shown to customers' administrators: whom to ask.
    "ALTER TABLE partners ADD COLUMN contact TEXT NOT NULL DEFAULT ''",
];
