//! Rows to files: what a scope lets its holder see, as CSV, OCSF, PDF and archives.

pub mod archive;
pub mod controls;
pub mod csv;
pub mod monthly;
pub mod ocsf;
pub mod pdf;
