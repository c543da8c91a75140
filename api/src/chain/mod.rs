//! The chain: what pays for jobs.

pub mod blockhashes;
pub mod pay;
