//! Traces: what a request or a job went through, told to a collector over OTLP. One setting turns them on; without it a [`Span`] is
//! nothing, and nothing is done.
//!
//! - [`config`]: the setting, and how much of it all is traced
//! - `sampling`: what is traced, and the bound of it: a stranger's mark counts no more than that
//! - [`span`]: spans, made of what is named in [`names`] alone. Prompts, answers and keys are never put into one
//! - `export`: the queue and the way out: neither holds anybody up
//!
//! A job has a trace of its own too, whose id anybody can derive from the job's address: settler and indexer know nothing of the request
//! that made it. The span in which a gateway hands a job out links to it.

mod config;
mod counts;
mod export;
pub mod names;
mod sampling;
mod span;

pub use config::TraceConfig;
pub use counts::collector;
pub use export::{Exporting, TraceError, start};
pub use span::{Kind, Span, is_on, of_job, request};
