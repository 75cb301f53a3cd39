//! One file per command.

pub(crate) mod audit;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod evidence;
pub(crate) mod export;
pub(crate) mod keys;
pub(crate) mod member;
pub(crate) mod migrate;
pub(crate) mod partner;
pub(crate) mod serve;
pub(crate) mod sim;
pub(crate) mod work;
