//! Agave 4.2.2 itself, where the rest of the repository has the development chain: to see what our plugin, program and index do on a
//! real validator. A workspace of its own, because its 900 crates take an hour to compile.

pub mod admin;
pub mod config;
mod crowd;
pub mod ledger;
pub mod validator;
