//! Domains of customers' directories.

table![
    "CREATE TABLE domains (
        partner_id {uuid} NOT NULL,
        mapping_id {uuid} NOT NULL,
        id TEXT NOT NULL,
        company_id {uuid} NOT NULL,
        authentication_type TEXT,
        is_default BOOLEAN,
        is_initial BOOLEAN,
        is_verified BOOLEAN,
        supported_services TEXT,
        digest BIGINT NOT NULL,
        generation BIGINT NOT NULL,
        first_seen_at BIGINT NOT NULL,
        changed_at BIGINT NOT NULL,
        removed_at BIGINT,
        PRIMARY KEY (partner_id, mapping_id, id),
        FOREIGN KEY (partner_id, mapping_id) REFERENCES mappings (partner_id, id)
    )",
];
