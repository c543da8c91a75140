//! Fields of envelopes, which are bytes of any length.

use crate::tree::Hash;

/// What an envelope that can't be used was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("a key, hash or signature of another length")]
    Length,
    #[error("an envelope without an event")]
    Empty,
}

pub(super) fn hash(bytes: &[u8]) -> Result<Hash, Malformed> {
    bytes.try_into().map_err(|_| Malformed::Length)
}

pub(super) fn opt_hash(bytes: &[u8]) -> Result<Option<Hash>, Malformed> {
    if bytes.is_empty() {
        Ok(None)
    } else {
        hash(bytes).map(Some)
    }
}
