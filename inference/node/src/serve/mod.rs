//! Jobs from their admission to a result that is final on chain.
//!
//! - [`jobs`]: the jobs in care; [`announce`]: what gateways are told of them
//! - [`cosigned`], [`open`]: the two ways in which jobs come; [`admit`]: whether one is taken, pure
//! - [`places`], [`sources`]: how many that nobody has paid for yet
//! - [`fsm`]: the life of one job, pure; [`task`]: the task around it; [`start`]: how it begins; [`messages`]: what it is told
//! - [`backend`]: what is needed of an engine; [`submit`]: results to the chain
//! - [`feed`]: a gateway's feed; [`group`]: the same from Kafka, shared by the workers of a validator

pub mod admit;
pub mod announce;
pub mod backend;
pub mod claim;
pub mod cosigned;
pub mod feed;
pub mod fsm;
pub mod group;
pub mod jobs;
pub mod messages;
pub mod open;
pub mod places;
pub mod sources;
pub mod start;
pub mod submit;
pub mod task;
