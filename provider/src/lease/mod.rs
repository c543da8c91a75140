//! Leases, each with a machine that decides ([`fsm`]) and a task that does it ([`task`]).
//!
//! - [`desk`]: the leases in care; [`reconcile`]: what the chain says of them, every few seconds; [`lost`]: leases without a promise

pub mod desk;
pub mod fsm;
pub mod lost;
pub mod reconcile;
pub mod task;
