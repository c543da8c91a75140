//! Jobs from their admission to a result that is final on chain.
//!
//! - [`admit`]: whether a job is taken, pure
//! - [`fsm`]: the life of one job, pure; [`task`]: the task around it
//! - [`backend`]: what is needed of an engine; [`submit`]: results to the chain
//! - [`feed`]: open jobs from gateways

pub mod admit;
pub mod backend;
pub mod feed;
pub mod fsm;
pub mod submit;
pub mod task;
