//! Customers of a partner.

table![
    "CREATE TABLE companies (
        partner_id {uuid} NOT NULL REFERENCES partners (id),
        id {uuid} NOT NULL,
        name TEXT NOT NULL,
        name_key TEXT NOT NULL,
        domain TEXT NOT NULL,
        external_id TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL,
        archived_at BIGINT,
        PRIMARY KEY (partner_id, id)
    )",
    "CREATE INDEX companies_name ON companies (partner_id, name)",
    "CREATE INDEX companies_name_key ON companies (partner_id, name_key)",
];
