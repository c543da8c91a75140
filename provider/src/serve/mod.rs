//! What tenants use.
//!
//! - [`models`]: files that can be leased; [`endpoints`]: leases that run, each on an engine of its own; [`http`]: the listener

pub mod endpoints;
pub mod http;
pub mod models;
