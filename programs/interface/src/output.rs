//! The tree over the tokens of an answer, in chunks.

use crate::hash::{Hash, domain, id_bytes, sha256};
use crate::merkle::Tree;

/// Token ids in one leaf of the output tree.
pub const OUTPUT_CHUNK: usize = 128;

/// Chunks in which an output of `tokens` tokens is posted.
pub const fn chunks(tokens: u32) -> u32 {
    tokens.div_ceil(OUTPUT_CHUNK as u32)
}

/// Leaf of the output tree: chunk `chunk` of up to [`OUTPUT_CHUNK`] token ids.
pub fn output_leaf(chunk: u32, ids: &[u32]) -> Hash {
    output_leaf_bytes(chunk, id_bytes(ids))
}

/// [`output_leaf`] of ids as they are posted: 4 little-endian bytes each.
pub fn output_leaf_bytes(chunk: u32, ids: &[u8]) -> Hash {
    sha256(&[domain::OUTPUT_LEAF, &chunk.to_le_bytes(), ids])
}

/// Root over the chunks of an output; `None` for an output without tokens.
pub fn output_root(ids: &[u32]) -> Option<Hash> {
    let mut tree = Tree::new();
    for (chunk, ids) in ids.chunks(OUTPUT_CHUNK).enumerate() {
        tree.push(output_leaf(chunk as u32, ids));
    }
    tree.root()
}
