//! Partners, the outermost wall, and their wrapped data keys.

table![
    "CREATE TABLE partners (
        id {uuid} NOT NULL PRIMARY KEY,
        name TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        audit_seq BIGINT NOT NULL DEFAULT 0,
        audit_head TEXT NOT NULL DEFAULT '',
        run_number BIGINT NOT NULL DEFAULT 0
    )",
    "CREATE TABLE partner_keys (
        partner_id {uuid} NOT NULL REFERENCES partners (id),
        version BIGINT NOT NULL,
        provider_key TEXT NOT NULL,
        wrapped {bytes} NOT NULL,
        created_at BIGINT NOT NULL,
        PRIMARY KEY (partner_id, version)
    )",
];
