//! How often a data key was used: AES-GCM under random nonces wants fewer than 2^32 uses of a key.

table!["ALTER TABLE partner_keys ADD COLUMN uses BIGINT NOT NULL DEFAULT 0"];
