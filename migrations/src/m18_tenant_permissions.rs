//! What a tenant really granted, when that was read, and how far a discovered one's relation to the
//! partner reaches. NULL is unknown.

table![
    "ALTER TABLE tenants ADD COLUMN granted_permissions TEXT",
    "ALTER TABLE tenants ADD COLUMN permissions_checked_at BIGINT",
    "ALTER TABLE tenants ADD COLUMN relationship TEXT",
    "ALTER TABLE tenants ADD COLUMN found_at BIGINT",
];
