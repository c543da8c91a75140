//! Order-free digest of a bank: `Σ SHA256(pubkey ‖ ordinal u64 ‖ owner ‖ lamports u64 ‖ data)` modulo
//! 2²⁵⁶, little-endian, where `ordinal` counts the earlier updates of the same account in the bank.
//! Validators deliver different accounts in different orders and each account in its own order,
//! so two of them with equal filters get equal digests for equal banks.

use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// Digest of one bank while its updates arrive.
#[derive(Debug, Clone, Default)]
pub struct BankDigest {
    sum: [u8; 32],
    ordinals: HashMap<[u8; 32], u64>,
    updates: u64,
}

impl BankDigest {
    /// Adds the next update of `pubkey`; updates of one account must come in their order.
    pub fn push(&mut self, pubkey: [u8; 32], owner: &[u8; 32], lamports: u64, data: &[u8]) {
        let ordinal = self.ordinals.entry(pubkey).or_insert(0);
        let term = update_hash(&pubkey, *ordinal, owner, lamports, data);
        *ordinal += 1;
        self.updates += 1;
        add_wrapping(&mut self.sum, &term);
    }

    /// Updates pushed so far.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// The digest of what was pushed; all zeros for an empty bank.
    pub fn finish(&self) -> [u8; 32] {
        self.sum
    }
}

/// The term of one update.
pub fn update_hash(
    pubkey: &[u8; 32],
    ordinal: u64,
    owner: &[u8; 32],
    lamports: u64,
    data: &[u8],
) -> [u8; 32] {
    Sha256::new()
        .chain_update(pubkey)
        .chain_update(ordinal.to_le_bytes())
        .chain_update(owner)
        .chain_update(lamports.to_le_bytes())
        .chain_update(data)
        .finalize()
        .into()
}

/// Hash of an account filter: `SHA256("mythic/filter/v1" ‖ n u32 ‖ owners, sorted, without repeats)`.
pub fn filter_hash(owners: &[[u8; 32]]) -> [u8; 32] {
    let mut sorted = owners.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let mut hash = Sha256::new();
    hash.update(b"mythic/filter/v1");
    hash.update((sorted.len() as u32).to_le_bytes());
    for owner in &sorted {
        hash.update(owner);
    }
    hash.finalize().into()
}

fn add_wrapping(sum: &mut [u8; 32], term: &[u8; 32]) {
    let mut carry = 0u16;
    for (s, t) in sum.iter_mut().zip(term) {
        carry += u16::from(*s) + u16::from(*t);
        *s = carry as u8;
        carry >>= 8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_may_interleave_but_one_account_keeps_its_order() {
        let (a, b, owner) = ([1; 32], [2; 32], [9; 32]);
        let mut one = BankDigest::default();
        one.push(a, &owner, 1, b"x");
        one.push(a, &owner, 2, b"y");
        one.push(b, &owner, 3, b"z");
        let mut other = BankDigest::default();
        other.push(b, &owner, 3, b"z");
        other.push(a, &owner, 1, b"x");
        other.push(a, &owner, 2, b"y");
        assert_eq!(one.finish(), other.finish());
        let mut swapped = BankDigest::default();
        swapped.push(a, &owner, 2, b"y");
        swapped.push(a, &owner, 1, b"x");
        swapped.push(b, &owner, 3, b"z");
        assert_ne!(one.finish(), swapped.finish());
        assert_eq!(BankDigest::default().finish(), [0; 32]);
    }

    #[test]
    fn the_sum_wraps_at_two_to_the_256() {
        let mut sum = [0xff; 32];
        let mut one = [0; 32];
        one[0] = 1;
        add_wrapping(&mut sum, &one);
        assert_eq!(sum, [0; 32]);
    }

    #[test]
    fn the_filter_hash_ignores_order_and_repeats() {
        assert_eq!(
            filter_hash(&[[1; 32], [2; 32]]),
            filter_hash(&[[2; 32], [1; 32], [2; 32]])
        );
        assert_ne!(filter_hash(&[[1; 32]]), filter_hash(&[[2; 32]]));
    }
}
