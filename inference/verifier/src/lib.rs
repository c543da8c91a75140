//! Checking other validators' answers, and what is owed to cases. Everything here is pure; the tasks around
//! it are in `mythic-node`.
//!
//! - [`check`]: what an answer's evidence shows, position by position
//! - [`audit`]: a few layers of an answer instead of a whole pass
//! - [`question`]: what an engine is asked about an answer, and the values that its reply stands for
//! - [`sample`]: the positions that a case draws, and those that are named beside them
//! - [`search`]: what is believed of evidence that strangers send
//! - [`policy`]: which answers are checked, and what that is worth
//! - [`claims`]: what is said against a result, and when; [`price`]: what that costs, brings and risks
//! - [`docket`]: the duties in each case: answering, judging, collecting; [`seat`]: whether a juror commits
//! - [`postings`]: output and leaves as they are posted
//! - [`book`]: what is remembered across restarts

pub mod audit;
pub mod book;
pub mod check;
pub mod claims;
pub mod docket;
pub mod policy;
pub mod postings;
pub mod price;
pub mod question;
pub mod sample;
pub mod search;
pub mod seat;

pub use policy::{Policy, VerifierConfig};
