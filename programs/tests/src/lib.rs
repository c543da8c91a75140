//! Harness for the on-chain programs: the built ELFs in LiteSVM, with the protocol's invariants
//! checked after every transaction. What is not in [`market`] is of AI Precompiles or of both.
//!
//! - [`market`]: the Compute Market's world, calls, invariants and catalogue
//! - [`chain`]: the machine; [`chain::Chain::send`] runs a transaction and then the invariants
//! - [`invariants`]: what must hold between any two states, as a pure function
//! - [`calls`]: one builder per instruction, from the account lists of the interface
//! - [`keys`]: people and addresses
//! - [`world`]: a network with models, validators, vaults and a grant to start from
//! - [`answer`]: answers with leaves, paths and the truth about them; [`court`]: cases step by step
//! - [`draw`]: random choices
//! - [`catalogue`]: a call of every instruction that succeeds, each with its world

// Its macro is the market's too.
#[macro_use]
pub mod invariants;

pub mod answer;
pub mod calls;
pub mod catalogue;
pub mod chain;
pub mod court;
pub mod draw;
pub mod keys;
pub mod market;
pub mod world;
