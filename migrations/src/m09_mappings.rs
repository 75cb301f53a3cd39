//! Company ↔ tenant under one credential. Deleting marks; mapping again revives the same row.

table![
    "CREATE TABLE mappings (
        partner_id {uuid} NOT NULL,
        id {uuid} NOT NULL,
        company_id {uuid} NOT NULL,
        tenant_id {uuid} NOT NULL,
        credential_id {uuid} NOT NULL,
        directory_id {uuid} NOT NULL,
        matched_by TEXT NOT NULL,
        interval_minutes BIGINT,
        generation BIGINT NOT NULL DEFAULT 0,
        planned_directory BIGINT,
        planned_secure_score BIGINT,
        last_sync_at BIGINT,
        last_sync_state TEXT,
        created_at BIGINT NOT NULL,
        deleted_at BIGINT,
        PRIMARY KEY (partner_id, id),
        FOREIGN KEY (partner_id, company_id) REFERENCES companies (partner_id, id),
        FOREIGN KEY (partner_id, tenant_id) REFERENCES tenants (partner_id, id),
        FOREIGN KEY (partner_id, credential_id) REFERENCES credentials (partner_id, id)
    )",
    "CREATE UNIQUE INDEX mappings_directory ON mappings (partner_id, directory_id)
        WHERE deleted_at IS NULL",
    "CREATE INDEX mappings_company ON mappings (partner_id, company_id)",
];
