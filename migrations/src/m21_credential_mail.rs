//! The mailbox from which a credential sends mail, and to whom.

table![
    "ALTER TABLE credentials ADD COLUMN mail_from TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE credentials ADD COLUMN mail_to TEXT NOT NULL DEFAULT ''",
];
