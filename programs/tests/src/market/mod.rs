//! The Compute Market in tests.
//!
//! - [`world`]: a market with classes, providers and tenants to start from, and a lease's life step by step
//! - [`calls`]: instructions with the tests' usual arguments
//! - [`rules`]: what must hold between any two states
//! - [`scenes`]: a call of every instruction that succeeds, each with its world

pub mod calls;
pub mod rules;
pub mod scenes;
pub mod world;
