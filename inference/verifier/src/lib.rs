//! Checking other validators' answers, and what is owed to disputes. Everything here is pure but [`fetch`]; the tasks around
//! it are `node::verify` and `node::duties`.
//!
//! - [`check`]: what an answer's evidence shows, position by position
//! - [`question`]: what an engine is asked about an answer, and the values that its reply stands for
//! - [`sample`]: the positions that a challenge draws, and those that are named beside them
//! - [`policy`]: which answers are checked, and what that is worth
//! - [`docket`]: the duties in each dispute: answering, judging, collecting
//! - [`postings`]: output and leaves as they are posted
//! - [`book`]: what is remembered across restarts
//! - [`fetch`]: evidence from strangers

pub mod book;
pub mod check;
pub mod docket;
pub mod fetch;
pub mod policy;
pub mod postings;
pub mod question;
pub mod sample;

pub use policy::{Policy, VerifierConfig};
