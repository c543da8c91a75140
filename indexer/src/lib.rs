//! From the stream of a validator's account updates to Postgres tables, exactly once.
#![recursion_limit = "256"]

pub mod copy;
pub mod entity;
pub mod feed;
pub mod holder;
pub mod projection;
pub mod tree;
