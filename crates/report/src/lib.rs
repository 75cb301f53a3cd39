//! Pure rows to files. It reads nothing by itself: callers hand in rows that a scope let them see.

pub mod archive;
pub mod controls;
pub mod csv;
pub mod monthly;
pub mod pdf;
