//! The proof of throughput, as the program itself checks it: products of matrices that nobody can know before the epoch begins.
//!
//! For each unit of a lease a chain of rounds: the seed of a round is drawn from the root of the round before, the first from the
//! hash of the epoch's first slot. A round multiplies A (`n × n`, by rows) with B (by columns), int8, into C, int32. Its root is the
//! Merkle root of C in leaves of 16 elements of a row, row by row; the proof is the Merkle root of all rounds' roots, unit by unit.
//!
//! Sixteen elements of a row of A, or of a column of B, are one block of Philox4x32-10 (Salmon et al., "Parallel random numbers: as
//! easy as 1, 2, 3", SC'11). Golden vectors: `tests/vectors/`, second implementation: `tests/reference/market.py`.

use crate::hash::{Hash, domain, sha256};
use crate::merkle;

/// Elements of a block, and of a leaf of C.
pub const BLOCK: usize = 16;
/// Bytes of a leaf of C.
pub const PRODUCT_LEAF_LEN: usize = 4 * BLOCK;
/// Largest side of a matrix: 2^24 leaves.
pub const MAX_SIDE: u32 = 16_384;
/// Most rounds of a unit.
pub const MAX_ROUNDS: u32 = 4_096;
/// Most siblings of a path: those of a leaf of C.
pub const MAX_PATH: usize = 24;

/// Elements of a proof that its provider publishes.
pub const DRAWN: usize = 16;
/// Slots after a proof from whose hash they are drawn: nobody knows it while the proof is made.
pub const DRAW_SLOTS: u64 = 8;

/// Which of the two factors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Factor {
    /// A, by rows.
    A = 0,
    /// B, by columns.
    B = 1,
}

/// Where a seed stands in a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// Address of the lease.
    pub lease: &'a [u8; 32],
    /// Unit of the lease.
    pub unit: u8,
    /// Epoch.
    pub epoch: u64,
    /// Round of the unit.
    pub round: u32,
}

/// The seed of a round. `link` is the root of the round before, and the hash of the epoch's first slot for the first round.
pub fn round_seed(place: &Place, link: &Hash) -> Hash {
    sha256(&[
        domain::PROBE,
        place.lease,
        &[place.unit],
        &place.epoch.to_le_bytes(),
        &place.round.to_le_bytes(),
        link,
    ])
}

/// Ten rounds of Philox4x32.
#[inline(always)]
pub fn philox(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let [mut a, mut b, mut c, mut d] = counter;
    let [mut low, mut high] = key;
    for _ in 0..10 {
        // Products of two 32-bit numbers.
        let first = 0xd251_1f53_u64.wrapping_mul(a as u64);
        let second = 0xcd9e_8d57_u64.wrapping_mul(c as u64);
        a = (second >> 32) as u32 ^ b ^ low;
        b = second as u32;
        c = (first >> 32) as u32 ^ d ^ high;
        d = first as u32;
        low = low.wrapping_add(0x9e37_79b9);
        high = high.wrapping_add(0xbb67_ae85);
    }
    [a, b, c, d]
}

/// What a seed says of a round's factors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Factors {
    key: [u32; 2],
    tweak: u32,
}

impl Factors {
    /// Those of a seed: its first eight bytes are the key, the next four the last word of every counter.
    pub fn new(seed: &Hash) -> Self {
        let word =
            |at: usize| u32::from_le_bytes([seed[at], seed[at + 1], seed[at + 2], seed[at + 3]]);
        Self {
            key: [word(0), word(4)],
            tweak: word(8),
        }
    }

    /// The key and the last word of every counter.
    pub fn words(&self) -> [u32; 3] {
        let [low, high] = self.key;
        [low, high, self.tweak]
    }

    /// Sixteen elements of line `line` (a row of A, a column of B), from element `16 × block` on: four of them in each word, the
    /// first in its lowest byte.
    #[inline(always)]
    pub fn block(&self, factor: Factor, line: u32, block: u32) -> [u32; 4] {
        philox([block, line, factor as u32, self.tweak], self.key)
    }

    /// The element of C in row `row` and column `column`, for matrices of side `n`, a multiple of 16.
    pub fn element(&self, n: u32, row: u32, column: u32) -> i32 {
        let mut sum = 0;
        for block in 0..n / BLOCK as u32 {
            let row = self.block(Factor::A, row, block);
            let column = self.block(Factor::B, column, block);
            for (a, b) in row.into_iter().zip(column) {
                sum = multiplied(sum, a, b);
            }
        }
        sum
    }
}

/// `sum` and the products of the four pairs of int8 that lie in two words. A sum of 16,384 products fits 32 bits.
#[inline(always)]
fn multiplied(sum: i32, a: u32, b: u32) -> i32 {
    let lane = |word: u32, shift: u32| (word >> shift) as i8 as i32;
    let product = |shift: u32| lane(a, shift).wrapping_mul(lane(b, shift));
    sum.wrapping_add(product(0))
        .wrapping_add(product(8))
        .wrapping_add(product(16))
        .wrapping_add(product(24))
}

/// Leaves of C.
pub const fn product_leaves(n: u32) -> u32 {
    n.wrapping_mul(n / BLOCK as u32)
}

/// Index of the leaf of C that holds an element.
pub const fn product_leaf(n: u32, row: u32, column: u32) -> u32 {
    row.wrapping_mul(n / BLOCK as u32) + column / BLOCK as u32
}

/// Hash of a leaf of C: sixteen `i32`, little-endian.
pub fn product_leaf_hash(leaf: &[u8; PRODUCT_LEAF_LEN]) -> Hash {
    sha256(&[domain::PRODUCT_LEAF, leaf])
}

/// The element of column `column` in its leaf.
pub fn element_of(leaf: &[u8; PRODUCT_LEAF_LEN], column: u32) -> i32 {
    let at = 4 * (column as usize % BLOCK);
    i32::from_le_bytes([leaf[at], leaf[at + 1], leaf[at + 2], leaf[at + 3]])
}

/// Whether a leaf of C and its path lead to a round's root. Inlined, as all of [`merkle`]'s paths.
#[inline(always)]
pub fn leads_to_round(
    root: &Hash,
    n: u32,
    index: u32,
    leaf: &[u8; PRODUCT_LEAF_LEN],
    path: &[Hash],
) -> bool {
    let leaf = product_leaf_hash(leaf);
    merkle::verify(root, leaf, index, product_leaves(n), path)
}

/// Place of a round's root among those of a proof.
pub const fn round_index(rounds: u32, unit: u8, round: u32) -> u32 {
    (unit as u32).wrapping_mul(rounds) + round
}

/// Whether the root of a round and its path lead to a proof of `units` units with `rounds` rounds each.
#[inline(always)]
pub fn leads_to_proof(
    proof: &Hash,
    (units, rounds): (u8, u32),
    index: u32,
    root: &Hash,
    path: &[Hash],
) -> bool {
    merkle::verify(proof, *root, index, round_index(rounds, units, 0), path)
}

#[cfg(not(any(target_os = "solana", target_arch = "bpf")))]
mod whole {
    use alloc::vec::Vec;
    use core::convert::Infallible;

    use super::*;
    use crate::le::U32;
    use crate::market::state::NamedElement;

    /// The elements of a proof that its provider publishes. `hash` is that of the first slot that was not skipped from
    /// [`DRAW_SLOTS`] after the proof on.
    pub fn drawn(
        proof: &Hash,
        hash: &Hash,
        (units, rounds, n): (u8, u32, u32),
    ) -> [NamedElement; DRAWN] {
        core::array::from_fn(|index| {
            let seed = sha256(&[domain::PROBE_DRAW, proof, hash, &[index as u8]]);
            let below = |at: usize, most: u32| {
                let word = [seed[at], seed[at + 1], seed[at + 2], seed[at + 3]];
                u32::from_le_bytes(word) % most.max(1)
            };
            NamedElement {
                unit: below(0, units.into()) as u8,
                round: U32::new(below(4, rounds)),
                row: U32::new(below(8, n)),
                column: U32::new(below(12, n)),
            }
        })
    }

    /// One round, computed whole, with every node of its tree: for small classes, tests and whoever answers a dispute.
    #[derive(Clone, Debug)]
    pub struct WholeRound {
        n: u32,
        /// C by rows.
        product: Vec<i32>,
        /// The tree's levels from the leaves up.
        levels: Vec<Vec<Hash>>,
    }

    impl WholeRound {
        /// Computes a round of side `n` from its seed.
        pub fn new(n: u32, seed: &Hash) -> Self {
            let factors = Factors::new(seed);
            // Of 16 bits, so that compilers multiply and add eight at once.
            let lines = |factor| -> Vec<Vec<i16>> {
                let blocks =
                    |line| (0..n / BLOCK as u32).map(move |b| factors.block(factor, line, b));
                let bytes = |line| blocks(line).flatten().flat_map(u32::to_le_bytes);
                (0..n)
                    .map(|line| bytes(line).map(|byte| i16::from(byte as i8)).collect())
                    .collect()
            };
            let (rows, columns) = (lines(Factor::A), lines(Factor::B));
            // Wrapping: a check of each sum would keep compilers from it, and 16,384 products fit.
            let dot = |a: &[i16], b: &[i16]| -> i32 {
                a.iter().zip(b).fold(0, |sum: i32, (a, b)| {
                    sum.wrapping_add(i32::from(*a).wrapping_mul(i32::from(*b)))
                })
            };
            let product = rows
                .iter()
                .flat_map(|row| columns.iter().map(move |column| dot(row, column)))
                .collect();
            Self::of(n, product)
        }

        /// A round whose product is given, true or not.
        pub fn of(n: u32, product: Vec<i32>) -> Self {
            let mut round = Self {
                n,
                product,
                levels: Vec::new(),
            };
            let hashed = |index| product_leaf_hash(&round.leaf(index));
            let leaves = (0..product_leaves(n)).map(hashed).collect();
            round.levels = levels(leaves);
            round
        }

        /// Its root.
        pub fn root(&self) -> Hash {
            self.levels.last().map_or([0; 32], |top| top[0])
        }

        /// C by rows.
        pub fn product(&self) -> &[i32] {
            &self.product
        }

        /// A leaf of C.
        ///
        /// # Panics
        /// Where there is no such leaf.
        pub fn leaf(&self, index: u32) -> [u8; PRODUCT_LEAF_LEN] {
            let start = BLOCK * index as usize;
            let mut leaf = [0; PRODUCT_LEAF_LEN];
            for (bytes, element) in leaf.chunks_mut(4).zip(&self.product[start..start + BLOCK]) {
                bytes.copy_from_slice(&element.to_le_bytes());
            }
            leaf
        }

        /// The leaf that holds an element, and its path.
        pub fn opening(&self, row: u32, column: u32) -> ([u8; PRODUCT_LEAF_LEN], Vec<Hash>) {
            let index = product_leaf(self.n, row, column);
            (self.leaf(index), path(&self.levels, index))
        }
    }

    /// The proof of one lease and epoch, computed whole.
    #[derive(Clone, Debug)]
    pub struct WholeProof {
        /// Rounds of each unit.
        pub rounds: u32,
        /// All rounds, unit by unit.
        pub all: Vec<WholeRound>,
        levels: Vec<Vec<Hash>>,
    }

    impl WholeProof {
        /// Computes the proof of `units` units with `rounds` rounds each, of side `n`, in the epoch whose first slot has `hash`.
        pub fn new(lease: &[u8; 32], epoch: u64, hash: &Hash, size: (u8, u32, u32)) -> Self {
            let round = |seed: &Hash| Ok::<_, Infallible>(WholeRound::new(size.2, seed));
            match Self::by(lease, epoch, hash, size, round) {
                Ok(proof) => proof,
                Err(never) => match never {},
            }
        }

        /// The same by what computes a round from its seed.
        pub fn by<E>(
            lease: &[u8; 32],
            epoch: u64,
            hash: &Hash,
            (units, rounds, _): (u8, u32, u32),
            mut computed: impl FnMut(&Hash) -> Result<WholeRound, E>,
        ) -> Result<Self, E> {
            let mut all = Vec::new();
            for unit in 0..units {
                let mut link = *hash;
                for round in 0..rounds {
                    let seed = round_seed(
                        &Place {
                            lease,
                            unit,
                            epoch,
                            round,
                        },
                        &link,
                    );
                    let whole = computed(&seed)?;
                    link = whole.root();
                    all.push(whole);
                }
            }
            Ok(Self::of(rounds, all))
        }

        /// A proof of rounds that are given, true or not.
        pub fn of(rounds: u32, all: Vec<WholeRound>) -> Self {
            let levels = levels(all.iter().map(WholeRound::root).collect());
            Self {
                rounds,
                all,
                levels,
            }
        }

        /// The proof.
        pub fn root(&self) -> Hash {
            self.levels.last().map_or([0; 32], |top| top[0])
        }

        /// The root of a round, and its path.
        pub fn round(&self, unit: u8, round: u32) -> (Hash, Vec<Hash>) {
            let index = round_index(self.rounds, unit, round);
            (self.all[index as usize].root(), path(&self.levels, index))
        }
    }

    /// Every level of a tree, from the leaves to the root; an odd node is promoted.
    fn levels(leaves: Vec<Hash>) -> Vec<Vec<Hash>> {
        let mut levels = alloc::vec![leaves];
        while let Some(below) = levels.last().filter(|below| below.len() > 1) {
            let pair = |pair: &[Hash]| match pair {
                [left, right] => crate::hash::node(left, right),
                odd => odd[0],
            };
            let above = below.chunks(2).map(pair).collect();
            levels.push(above);
        }
        levels
    }

    fn path(levels: &[Vec<Hash>], index: u32) -> Vec<Hash> {
        let sibling = |(height, level): (usize, &Vec<Hash>)| {
            level.get((index as usize >> height) ^ 1).copied()
        };
        levels.iter().enumerate().filter_map(sibling).collect()
    }
}
#[cfg(not(any(target_os = "solana", target_arch = "bpf")))]
pub use whole::{WholeProof, WholeRound, drawn};

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn philox_is_that_of_its_paper() {
        // Random123's known answers.
        assert_eq!(
            philox([0; 4], [0; 2]),
            [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]
        );
        assert_eq!(
            philox([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        assert_eq!(
            philox(
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0]
            ),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn the_products_of_four_lanes_are_signed() {
        assert_eq!(
            multiplied(5, 0x80ff_0201, 0x80ff_0302),
            5 + 16_384 + 1 + 6 + 2
        );
        assert_eq!(multiplied(0, 0x0000_0080, 0x0000_007f), -128 * 127);
        // The largest sum there can be.
        assert_eq!(16_384_i64 * 128 * 128, 1 << 28);
    }

    #[test]
    fn a_proof_opens_to_its_elements_and_to_nothing_else() {
        let (lease, hash) = ([7; 32], [9; 32]);
        let proof = WholeProof::new(&lease, 5, &hash, (2, 3, 32));
        let (root, path) = proof.round(1, 2);
        let index = round_index(3, 1, 2);
        assert!(leads_to_proof(&proof.root(), (2, 3), index, &root, &path));
        assert!(!leads_to_proof(
            &proof.root(),
            (2, 3),
            index - 1,
            &root,
            &path
        ));
        assert!(!leads_to_proof(&proof.root(), (2, 4), index, &root, &path));
        let before = proof.round(1, 1).0;
        let place = Place {
            lease: &lease,
            unit: 1,
            epoch: 5,
            round: 2,
        };
        let factors = Factors::new(&round_seed(&place, &before));
        let round = &proof.all[index as usize];
        for (row, column) in [(0, 0), (31, 31), (17, 5)] {
            let (leaf, path) = round.opening(row, column);
            let at = product_leaf(32, row, column);
            assert!(leads_to_round(&root, 32, at, &leaf, &path));
            assert!(!leads_to_round(&before, 32, at, &leaf, &path));
            assert_eq!(element_of(&leaf, column), factors.element(32, row, column));
            assert_eq!(
                round.product()[(32 * row + column) as usize],
                factors.element(32, row, column)
            );
        }
    }

    #[test]
    fn what_is_published_lies_inside_the_proof_and_follows_from_it_and_the_slot() {
        let shape = (3, 5, 48);
        let first = drawn(&[1; 32], &[2; 32], shape);
        assert_eq!(first, drawn(&[1; 32], &[2; 32], shape));
        assert_ne!(first, drawn(&[9; 32], &[2; 32], shape));
        assert_ne!(first, drawn(&[1; 32], &[9; 32], shape));
        for element in first {
            let (unit, round, row, column) = element.key();
            assert!(unit < 3 && round < 5 && row < 48 && column < 48);
        }
    }

    #[test]
    fn the_largest_opening_fits_a_transaction() {
        assert_eq!(product_leaves(MAX_SIDE), 1 << 24);
        assert_eq!(merkle::path_len(0, product_leaves(MAX_SIDE)), MAX_PATH);
        assert_eq!(PRODUCT_LEAF_LEN + 32 * MAX_PATH, 832);
        assert_eq!(merkle::path_len(0, round_index(MAX_ROUNDS, 8, 0)), 15);
    }
}
