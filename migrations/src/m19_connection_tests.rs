//! Tests of a connection, line by line as they come. The newest of a credential is shown.

table![
    "CREATE TABLE connection_tests (
        partner_id {uuid} NOT NULL,
        id {uuid} NOT NULL,
        credential_id {uuid} NOT NULL,
        directory_id {uuid} NOT NULL,
        state TEXT NOT NULL,
        lines TEXT NOT NULL,
        started_at BIGINT NOT NULL,
        finished_at BIGINT,
        PRIMARY KEY (partner_id, id),
        FOREIGN KEY (partner_id, credential_id) REFERENCES credentials (partner_id, id)
    )",
    "CREATE INDEX connection_tests_credential ON connection_tests (partner_id, credential_id)",
];
