//! What can go wrong between us and the chain.

use mythic_interface::error::MythicError;
use solana_pubkey::Pubkey;
use solana_rpc_client_api::client_error::{Error as RpcError, ErrorKind};
use solana_signature::Signature;
use solana_transaction_error::TransactionError;

/// Error of a chain request.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The AI Precompiles program refused.
    #[error("the program refused: {} ({})", .0.name(), .0.message())]
    Program(MythicError),
    /// The chain refused the transaction for another reason.
    #[error("the chain refused the transaction: {0}")]
    Transaction(TransactionError),
    /// The transaction had landed before.
    #[error("this transaction has already landed")]
    AlreadyProcessed,
    /// The transaction names a blockhash that the chain does not know, or no longer knows.
    #[error("the transaction's blockhash is unknown or expired; sign it again with a newer one")]
    UnknownBlockhash,
    /// It did not land while its blockhash was valid.
    #[error("transaction {signature} did not land in time; sign it again with a newer blockhash")]
    Expired { signature: Signature },
    /// The node can't be reached, or answers with an error of its own.
    #[error("chain RPC: {0}; is the chain running and the RPC URL right?")]
    Rpc(String),
    /// The node is reached over TLS, and its certificate is not one that can be trusted.
    #[error(
        "chain RPC: {0}; the server's certificate is refused: that of rpc_url must be valid today (look at both clocks), made for the \
         name in the URL, and signed by a public authority"
    )]
    Certificate(String),
    /// The node's answer makes no sense.
    #[error("chain RPC gave an answer that cannot be read: {0}")]
    Answer(String),
    /// The account is not what it was read as.
    #[error("account {pubkey} is not a {kind}: {reason}")]
    Account {
        pubkey: Pubkey,
        /// What was expected.
        kind: &'static str,
        /// Why it is not.
        reason: String,
    },
    /// A key for a required signature is missing.
    #[error("cannot sign the transaction: {0}")]
    Sign(String),
}

impl ClientError {
    /// Sorts a transaction's error into ours.
    pub fn from_transaction(error: TransactionError) -> Self {
        use solana_instruction::error::InstructionError;
        match error {
            TransactionError::AlreadyProcessed => Self::AlreadyProcessed,
            TransactionError::BlockhashNotFound => Self::UnknownBlockhash,
            TransactionError::InstructionError(index, InstructionError::Custom(code)) => {
                match MythicError::from_code(code) {
                    Some(error) => Self::Program(error),
                    None => Self::Transaction(TransactionError::InstructionError(
                        index,
                        InstructionError::Custom(code),
                    )),
                }
            }
            other => Self::Transaction(other),
        }
    }

    /// The program's error, if that is what it was.
    pub fn program(&self) -> Option<MythicError> {
        match self {
            Self::Program(error) => Some(*error),
            _ => None,
        }
    }

    /// Whether the chain refused what the instructions do, rather than who pays for them or the moment at which they came: then the same
    /// is refused again.
    pub fn is_refusal(&self) -> bool {
        use TransactionError as Refused;
        match self {
            Self::Program(_) => true,
            Self::Transaction(error) => !matches!(
                error,
                // The payer.
                Refused::AccountNotFound
                    | Refused::InsufficientFundsForFee
                    | Refused::InvalidAccountForFee
                    | Refused::InsufficientFundsForRent { account_index: 0 }
                    // The moment.
                    | Refused::AccountInUse
                    | Refused::ClusterMaintenance
                    | Refused::WouldExceedMaxBlockCostLimit
                    | Refused::WouldExceedMaxAccountCostLimit
                    | Refused::WouldExceedMaxVoteCostLimit
                    | Refused::WouldExceedAccountDataBlockLimit
                    | Refused::WouldExceedAccountDataTotalLimit
                    | Refused::ProgramAccountNotFound
                    | Refused::ProgramExecutionTemporarilyRestricted { .. }
                    | Refused::ProgramCacheHitMaxLimit
                    | Refused::CommitCancelled
            ),
            _ => false,
        }
    }

    /// Whether asking again later may help.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Rpc(_)
                | Self::Certificate(_)
                | Self::Answer(_)
                | Self::Expired { .. }
                | Self::UnknownBlockhash
        )
    }
}

impl From<RpcError> for ClientError {
    fn from(error: RpcError) -> Self {
        match error.kind.get_transaction_error() {
            Some(error) => Self::from_transaction(error),
            None => match *error.kind {
                ErrorKind::SigningError(error) => Self::Sign(error.to_string()),
                ErrorKind::SerdeJson(error) => Self::Answer(error.to_string()),
                ErrorKind::Reqwest(error) => Self::unreached(causes(&error)),
                ErrorKind::Middleware(error) => Self::unreached(format!("{error:#}")),
                other => Self::Rpc(other.to_string()),
            },
        }
    }
}

impl ClientError {
    fn unreached(reason: String) -> Self {
        // The only trace that TLS libraries leave of it through several layers of boxed errors.
        match reason.contains("invalid peer certificate") {
            true => Self::Certificate(reason),
            false => Self::Rpc(reason),
        }
    }
}

/// An error and what caused it, each once: HTTP libraries show only the outermost, which says nothing.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use solana_instruction::error::InstructionError;

    #[test]
    fn what_the_payer_or_the_moment_is_to_blame_for_is_no_refusal() {
        let rent = |account_index| TransactionError::InsufficientFundsForRent { account_index };
        let custom = TransactionError::InstructionError(0, InstructionError::Custom(u32::MAX));
        for refused in [
            ClientError::Program(MythicError::LeaseRunning),
            ClientError::Transaction(custom),
            ClientError::Transaction(rent(1)),
        ] {
            assert!(refused.is_refusal(), "{refused}");
        }
        for other in [
            ClientError::Transaction(rent(0)),
            ClientError::Transaction(TransactionError::AccountNotFound),
            ClientError::Transaction(TransactionError::InsufficientFundsForFee),
            ClientError::Transaction(TransactionError::WouldExceedMaxBlockCostLimit),
            ClientError::Rpc("connection refused".into()),
            ClientError::Answer("{".into()),
            ClientError::UnknownBlockhash,
            ClientError::Expired {
                signature: Signature::default(),
            },
        ] {
            assert!(!other.is_refusal(), "{other}");
        }
    }
}
