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
    /// The least tokens a second of one answer that are promised, if any are: of a prompt of at most [`crate::spec::FLOOR_PROMPT`] tokens
    /// and an answer of at least [`crate::spec::FLOOR_ANSWER`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_tokens_per_second: Option<u32>,
}

/// How a container is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerAccess {
    /// Base58 address of the lease.
    pub lease: String,
    /// Host on which its ports are.
    pub host: String,
    /// Port of SSH.
    pub ssh_port: u16,
    /// The SSH host key, as `known_hosts` has it behind the name.
    pub host_key: String,
    /// What is published.
    pub ports: Vec<PublishedPort>,
    /// The image's digest.
    pub image: String,
    /// Base58 key of the operator.
    pub operator: String,
}

/// A port of a container, and where it is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedPort {
    /// Its number inside.
    pub inside: u16,
    /// Its number at the provider's host.
    pub outside: u16,
}
