//! What tenants use.
//!
//! - [`models`]: files that can be leased; [`endpoints`]: leases that run, each on an engine of its own; [`http`]: the listener
//! - [`address`]: who asks; [`bodies`]: how much of what is asked is held at once

pub mod address;
pub mod bodies;
pub mod endpoints;
pub mod http;
pub mod models;
