//! What every process needs and none owns: logging, checks of configured values, private files, back-off, quiet warnings and signs of life.
//! No word of the product's domain belongs here.
#![forbid(unsafe_code)]

mod backoff;
pub mod check;
pub mod files;
pub mod life;
pub mod telemetry;
mod throttle;

pub use backoff::Backoff;
pub use throttle::Throttle;
