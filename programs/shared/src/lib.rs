//! What both on-chain programs are made of: accounts, the network's admin and treasury, stake, slot hashes.
//!
//! Nothing here knows which program it is part of: the type of an account says whose it is, and where only the program's
//! address can tell, it is passed.
#![no_std]

pub mod accounts;
pub mod governance;
pub mod security;
pub mod slot_hashes;
pub mod stake;
