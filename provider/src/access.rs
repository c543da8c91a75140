//! What a tenant is given to reach a lease. Its exact bytes are hashed into the start, so that neither side can say later that it was
//! something else.

use serde::{Deserialize, Serialize};

/// How an endpoint is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// Base58 address of the lease.
    pub lease: String,
    /// OpenAI base URL.
    pub base_url: String,
    /// The model's id there.
    pub model: String,
    /// Answers at once.
    pub max_concurrent: usize,
    /// Base58 key that signs receipts.
    pub operator: String,
}
