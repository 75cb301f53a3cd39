//! Microsoft Entra directories, each as one credential sees it.

table![
    "CREATE TABLE tenants (
        partner_id {uuid} NOT NULL,
        id {uuid} NOT NULL,
        credential_id {uuid} NOT NULL,
        cloud TEXT NOT NULL,
        client_id {uuid} NOT NULL,
        directory_id {uuid} NOT NULL,
        display_name TEXT NOT NULL,
        default_domain TEXT NOT NULL,
        domains TEXT NOT NULL,
        country TEXT,
        found_by TEXT NOT NULL,
        state TEXT NOT NULL,
        granted_scopes TEXT NOT NULL,
        consented_at BIGINT,
        checked_at BIGINT,
        last_error_code TEXT,
        last_error TEXT,
        created_at BIGINT NOT NULL,
        PRIMARY KEY (partner_id, id),
        FOREIGN KEY (partner_id, credential_id) REFERENCES credentials (partner_id, id)
    )",
    "CREATE UNIQUE INDEX tenants_directory
        ON tenants (partner_id, credential_id, directory_id)",
    // One application may hold one directory for one partner only, whatever a callback claims.
    "CREATE UNIQUE INDEX tenants_binding ON tenants (cloud, client_id, directory_id)
        WHERE state = 'consented'",
];
