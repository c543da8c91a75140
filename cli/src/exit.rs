//! Exit codes that differ, so that scripts can tell what went wrong. A value that is refused is a usage error whoever
//! refuses it: the parser, this program, or the gateway (400, 413, 422).

use mythic_client::ClientError;
use mythic_indexer::IndexerError;
use mythic_interface::error::MythicError;
use std::fmt;

/// Anything without a code of its own.
pub const FAILURE: u8 = 1;
/// A command, an option or a value is refused (clap's own code).
pub const USAGE: u8 = 2;
/// A server (gateway, chain, database) could not be reached.
pub const UNREACHABLE: u8 = 3;
/// The thing asked for does not exist.
pub const NOT_FOUND: u8 = 4;
/// Not enough money, or a spend limit is exhausted.
pub const FUNDS: u8 = 5;
/// A check found something wrong (`doctor`, `config check`, `verify`).
pub const CHECK_FAILED: u8 = 6;
/// A check could not be made (`verify`).
pub const CANNOT_SAY: u8 = 7;

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

/// The exit code of an error, wherever it came from.
pub fn code(error: &anyhow::Error) -> u8 {
    if let Some(exit) = error.downcast_ref::<Exit>() {
        return exit.code;
    }
    match error.downcast_ref::<ClientError>() {
        Some(ClientError::Rpc(_) | ClientError::Certificate(_)) => UNREACHABLE,
        Some(error) if lacks_funds(error) => FUNDS,
        _ => FAILURE,
    }
}

/// An error of a command of the indexer, with its exit code.
pub fn of_index(error: IndexerError) -> anyhow::Error {
    match &error {
        IndexerError::Config(_) => Exit::error(USAGE, error.to_string()),
        IndexerError::Database(database) if database.sqlstate().is_none() => Exit::error(
            UNREACHABLE,
            format!(
                "{error}: is the database's URL right (database_url, --database), and does PostgreSQL run there?"
            ),
        ),
        _ => error.into(),
    }
}

/// Whether the chain refused for want of money or of an allowance to spend it.
pub fn lacks_funds(error: &ClientError) -> bool {
    use solana_transaction_error::TransactionError;
    match error {
        ClientError::Program(error) => matches!(
            error,
            MythicError::InsufficientFunds
                | MythicError::SystemCallFailed
                | MythicError::GrantPerJobExceeded
                | MythicError::GrantWindowExceeded
                | MythicError::GrantLifetimeExceeded
        ),
        ClientError::Transaction(error) => matches!(
            error,
            TransactionError::AccountNotFound
                | TransactionError::InsufficientFundsForFee
                | TransactionError::InsufficientFundsForRent { .. }
                // The system program's transfer of more than there is.
                | TransactionError::InstructionError(_, solana_instruction::error::InstructionError::Custom(1))
        ),
        _ => false,
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Exit {}
