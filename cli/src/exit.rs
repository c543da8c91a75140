//! Exit codes that differ, so that scripts can tell what went wrong.

use std::fmt;

/// The command line was not understood (clap's own code).
pub const USAGE: u8 = 2;
/// Anything without a code of its own.
pub const FAILURE: u8 = 1;
/// A server (gateway, chain, database) could not be reached.
pub const UNREACHABLE: u8 = 3;
/// The thing asked for does not exist.
pub const NOT_FOUND: u8 = 4;
/// Not enough money, or a spend limit is exhausted.
pub const FUNDS: u8 = 5;
/// A check found something wrong (`doctor`, `config check`).
pub const CHECK_FAILED: u8 = 6;

/// An error that carries its exit code.
#[derive(Debug)]
pub struct Exit {
    /// One of the constants of this module.
    pub code: u8,
    /// What is printed on stderr.
    pub message: String,
}

impl Exit {
    /// An error with `code` and `message`.
    pub fn error(code: u8, message: impl Into<String>) -> anyhow::Error {
        Self {
            code,
            message: message.into(),
        }
        .into()
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Exit {}
