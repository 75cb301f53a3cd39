//! Whether an organisation's members must have a second factor.

table!["ALTER TABLE partners ADD COLUMN requires_factor BIGINT NOT NULL DEFAULT 0"];
