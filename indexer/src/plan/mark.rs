//! Rows by short marks of their keys.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use crate::entity::{Entity, Row};

/// Of this process: nobody can look for two keys with one mark.
static SECRETS: LazyLock<[RandomState; 2]> = LazyLock::new(Default::default);

/// A row that a bank wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowMark {
    pub entity: Entity,
    /// Of table and primary key.
    pub mark: [u64; 2],
    /// Account that the row is of, with which every primary key begins.
    pub pubkey: [u8; 32],
}

impl RowMark {
    pub fn of(row: &Row) -> Self {
        let key = (row.entity, row.key_bytes());
        Self {
            entity: row.entity,
            mark: SECRETS.each_ref().map(|secret| secret.hash_one(&key)),
            pubkey: row.pubkey,
        }
    }
}
