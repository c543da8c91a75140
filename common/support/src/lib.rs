//! What every process needs and none owns: logging, checks of configured values, back-off, quiet warnings, metrics over HTTP.
//! No word of the product's domain belongs here.
#![forbid(unsafe_code)]

mod backoff;
pub mod check;
pub mod metrics;
pub mod telemetry;
mod throttle;

pub use backoff::Backoff;
pub use throttle::Throttle;
