//! What every process needs and none owns: logging, checks of configured values, back-off and quiet warnings.
//! No word of the product's domain belongs here.
#![forbid(unsafe_code)]

mod backoff;
pub mod check;
pub mod telemetry;
mod throttle;

pub use backoff::Backoff;
pub use throttle::Throttle;
