//! SSH into a container: a listener for each lease, with a host key of its own that the start states on chain.
//!
//! - [`door`]: who comes in; `waiting`: who has not said yet who it is; [`session`]: what they do there; [`keys`]: host keys

pub mod door;
pub mod keys;
pub mod session;
mod waiting;
