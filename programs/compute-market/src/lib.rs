//! The Compute Market program: classes of capacity, providers with stake, requests, leases that epochs meter and proofs show, and
//! disputes about those proofs.
//!
//! Layouts, arguments, errors, meter and probe are `mythic-interface`'s; accounts, governance and stake are `mythic-program`'s, for
//! both programs. Here are only the rules: every module is one room of the market, and each handler in it is one instruction, all
//! checks first, then state, then lamports.
#![no_std]

mod accounts;
mod close;
mod config;
mod dispute;
mod entry;
mod lease;
mod opening;
mod proof;
mod provider;
mod request;
mod security;
mod verdict;

pub use entry::process;
