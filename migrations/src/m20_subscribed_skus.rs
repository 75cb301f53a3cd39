//! Licences that customers' directories subscribe to.

table![
    "CREATE TABLE subscribed_skus (
        partner_id {uuid} NOT NULL,
        mapping_id {uuid} NOT NULL,
        id TEXT NOT NULL,
        company_id {uuid} NOT NULL,
        sku_id TEXT NOT NULL,
        sku_part_number TEXT NOT NULL,
        capability_status TEXT,
        applies_to TEXT,
        enabled_units BIGINT,
        suspended_units BIGINT,
        warning_units BIGINT,
        consumed_units BIGINT,
        service_plans TEXT NOT NULL,
        digest BIGINT NOT NULL,
        generation BIGINT NOT NULL,
        first_seen_at BIGINT NOT NULL,
        changed_at BIGINT NOT NULL,
        removed_at BIGINT,
        PRIMARY KEY (partner_id, mapping_id, id),
        FOREIGN KEY (partner_id, mapping_id) REFERENCES mappings (partner_id, id)
    )",
];
