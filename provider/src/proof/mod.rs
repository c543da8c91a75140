//! Proofs of throughput: made in each epoch, shown in part to everybody, opened where somebody disputes them. All of it follows from
//! the chain: whoever has the lease, the epoch and the hash of its first slot computes the same again.
//!
//! - [`Shape`]: what is computed; [`opening`]: what is published of a proof, and how anyone checks it
//! - [`computer`]: what computes it
//! - [`dispute`]: what a dispute still asks for

pub mod computer;
pub mod dispute;
pub mod opening;

use mythic_interface::{
    hash::Hash,
    market::{
        probe::WholeProof,
        state::{Lease, LeaseDispute, LeaseTerms},
    },
};
use solana_pubkey::Pubkey;

/// A proof that can be computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Address of the lease.
    pub lease: Pubkey,
    pub epoch: u64,
    /// Hash of the epoch's first slot that was not skipped.
    pub hash: Hash,
    /// Units, rounds of each, side of the matrices.
    pub size: (u8, u32, u32),
}

/// Bytes of an element of a product while it is computed: of two matrices, the product, and its hashes.
const ELEMENT: u64 = 16;

/// About the memory that a proof of matrices of this side takes, bytes.
pub fn bytes(n: u32) -> u64 {
    let n = u64::from(n);
    ELEMENT.saturating_mul(n).saturating_mul(n)
}

/// Units, rounds and side of a lease's proofs.
pub fn size(terms: &LeaseTerms) -> (u8, u32, u32) {
    let probe = &terms.probe;
    (terms.units, probe.rounds.get(), probe.n.get())
}

impl Shape {
    /// That of an epoch that the lease has in its ring.
    pub fn of_epoch(lease: &Pubkey, state: &Lease, epoch: u64) -> Option<Self> {
        let entry = state.epoch(epoch)?;
        Some(Self {
            lease: *lease,
            epoch,
            hash: entry.hash,
            size: size(&state.terms),
        })
    }

    /// That of a disputed proof.
    pub fn of_dispute(state: &LeaseDispute) -> Self {
        Self {
            lease: Pubkey::new_from_array(state.lease),
            epoch: state.epoch.get(),
            hash: state.hash,
            size: (state.units, state.rounds.get(), state.n.get()),
        }
    }

    /// Computes it.
    pub fn compute(&self) -> WholeProof {
        WholeProof::new(self.lease.as_array(), self.epoch, &self.hash, self.size)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// Those that the second implementation, in numpy, wrote.
    const VECTORS: &str = include_str!("../../../programs/interface/tests/vectors/market.json");

    #[test]
    fn proofs_are_those_of_the_golden_vectors() {
        let cases: Vec<Value> = serde_json::from_str(VECTORS).unwrap();
        let mut count = 0;
        for case in cases.iter().filter(|case| case["fn"] == "proof") {
            let hash = |at: usize| mythic_wire::parse_hex32(case["args"][at].as_str().unwrap());
            let number = |at: usize| case["args"][at].as_u64().unwrap();
            let shape = Shape {
                lease: Pubkey::new_from_array(hash(0).unwrap()),
                epoch: number(1),
                hash: hash(2).unwrap(),
                size: (number(3) as u8, number(4) as u32, number(5) as u32),
            };
            let root = hex::encode(shape.compute().root());
            assert_eq!(root, case["result"].as_str().unwrap(), "{case}");
            count += 1;
        }
        assert!(count > 2, "{count} proofs");
    }
}
