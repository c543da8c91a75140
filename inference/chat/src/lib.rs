//! OpenAI's chat completions straight from an engine, without a job: what a node answers to its own people, and a provider to its
//! tenants. Who may ask is the caller's to say.
//!
//! - [`ChatRequest`]: what is asked; [`Answer`]: what comes back, whole or as a stream
//! - [`problem`]: refusals as OpenAI's clients read them

#![forbid(unsafe_code)]

mod answer;
mod problem;
mod request;

pub use answer::{Answer, Told};
pub use problem::{not_generated, problem};
pub use request::ChatRequest;
