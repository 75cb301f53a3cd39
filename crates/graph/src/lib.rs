//! The Microsoft client: clouds, tokens, sign-in, paging, limits, errors and wire types.
//!
//! A leaf: it knows nothing of partners or rows. It sends a token only to the configured Graph
//! origin, follows no redirect, bounds every body, page count and wait, and answers errors that say
//! whose turn it is.

pub mod assertion;
pub mod cloud;
pub mod error;
pub mod explain;
pub mod http;
pub mod link;
pub mod oidc;
pub mod openid;
pub mod types;

mod batch;
mod charge;
mod client;
mod gate;
mod jwt;
mod limits;
mod pages;
mod request;
mod returned;
mod token;

pub use assertion::SigningKey;
pub use batch::{BATCH, Part};
pub use client::{GraphClient, Meter, Tally};
pub use cloud::{Cloud, Clouds, Limits};
pub use error::{Class, Error};
pub use limits::{Limiter, LocalSlots, Slots};
pub use pages::{Change, Page, Pages, Removed, WirePage};
pub use request::{Request, segment};
pub use returned::Return;
pub use token::{ClientCredential, Grantee, Proof, ProofSource, TokenSource, aadsts};
