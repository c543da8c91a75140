//! The AI Precompiles program: models, validators with stake, prepaid vaults with spend grants, jobs from
//! request to settlement, and cases about their results.
//!
//! Layouts, arguments, errors, money and deadlines are `mythic-interface`'s; here are only the rules.
//! `accounts` is the sole way to accounts, in `mythic-program` for both programs: it checks lists, owners and types, counts
//! writes, creates, closes and moves lamports. Every other module is one room of the protocol, and each handler in it is
//! one instruction: all checks first, then state, then lamports.
#![no_std]

mod accounts;
mod claim;
mod config;
mod entry;
mod grant;
mod job;
mod jury;
mod memory;
mod model;
mod post;
mod security;
mod settle;
mod stake;
mod validator;
mod vault;
mod verdict;

pub use entry::process;
