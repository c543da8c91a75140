//! Merkle trees of the protocol: pairs from the left, an odd last node is promoted unchanged.
//! That is the shape of RFC 6962: left subtrees are full, of the largest power of two that fits.

use crate::hash::{Hash, node};

/// Levels of a [`Tree`]: room for 16 million leaves. The program's compiler can't clear much more
/// than this in one go.
const LEVELS: usize = 24;

/// A root computed leaf by leaf in less than 1 KiB.
#[derive(Clone, Debug)]
pub struct Tree {
    /// `full[h]` holds a full subtree of 2^h leaves where bit h of `count` is set.
    full: [Hash; LEVELS],
    count: u32,
}

impl Default for Tree {
    fn default() -> Self {
        Self::new()
    }
}

impl Tree {
    /// A tree without leaves.
    pub const fn new() -> Self {
        Tree {
            full: [[0; 32]; LEVELS],
            count: 0,
        }
    }

    /// Leaves so far.
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// Appends a leaf (already hashed).
    ///
    /// # Panics
    /// After 2^24 - 1 leaves, more than any model's context.
    pub fn push(&mut self, leaf: Hash) {
        let mut carried = leaf;
        let mut height = 0;
        while (self.count >> height) & 1 == 1 {
            carried = node(&self.full[height], &carried);
            height += 1;
        }
        self.full[height] = carried;
        self.count += 1;
    }

    /// The root of the leaves so far; `None` without any.
    pub fn root(&self) -> Option<Hash> {
        let mut root = None;
        for (height, full) in self.full.iter().enumerate() {
            if (self.count >> height) & 1 == 1 {
                root = Some(match root {
                    None => *full,
                    Some(right) => node(full, &right),
                });
            }
        }
        root
    }
}

impl Extend<Hash> for Tree {
    fn extend<I: IntoIterator<Item = Hash>>(&mut self, leaves: I) {
        for leaf in leaves {
            self.push(leaf);
        }
    }
}

/// Root over all `leaves`; `None` without any.
pub fn root(leaves: &[Hash]) -> Option<Hash> {
    let mut tree = Tree::new();
    tree.extend(leaves.iter().copied());
    tree.root()
}

/// The siblings from a leaf up to the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    siblings: [Hash; 32],
    len: usize,
}

impl Path {
    /// The siblings, lowest first.
    pub fn siblings(&self) -> &[Hash] {
        &self.siblings[..self.len]
    }
}

/// Path of leaf `index`; `None` where there is no such leaf.
pub fn prove(leaves: &[Hash], index: usize) -> Option<Path> {
    if index >= leaves.len() {
        return None;
    }
    let mut path = Path {
        siblings: [[0; 32]; 32],
        len: 0,
    };
    // Walk down from the root, noting the other half at each split.
    let (mut range, mut index) = (leaves, index);
    while range.len() > 1 {
        let split = range.len().next_power_of_two() / 2;
        let (left, right) = range.split_at(split);
        let other = if index < split {
            range = left;
            right
        } else {
            range = right;
            index -= split;
            left
        };
        *path.siblings.get_mut(path.len)? = root(other)?;
        path.len += 1;
    }
    path.siblings[..path.len].reverse();
    Some(path)
}

/// Number of siblings in the path of leaf `index` of `count`; 0 where there is no such leaf.
pub fn path_len(index: u32, count: u32) -> usize {
    if index >= count {
        return 0;
    }
    let (mut at, mut last, mut len) = (index, count - 1, 0);
    while last > 0 {
        if at & 1 == 1 || at < last {
            len += 1;
        }
        at >>= 1;
        last >>= 1;
    }
    len
}

/// The root over `count` leaves to which `leaf` at `index` and its path lead; `None` if the path has another
/// length than that leaf's. Inlined, because the program's calls take five arguments at most.
#[inline(always)]
pub fn root_from_path(leaf: Hash, index: u32, count: u32, siblings: &[Hash]) -> Option<Hash> {
    if index >= count {
        return None;
    }
    let mut siblings = siblings.iter();
    let (mut at, mut last, mut node_hash) = (index, count - 1, leaf);
    while last > 0 {
        if at & 1 == 1 {
            node_hash = node(siblings.next()?, &node_hash);
        } else if at < last {
            node_hash = node(&node_hash, siblings.next()?);
        }
        at >>= 1;
        last >>= 1;
    }
    match siblings.next() {
        Some(_) => None,
        None => Some(node_hash),
    }
}

/// Whether `leaf` is leaf `index` of `count` under `root`; `siblings` must be exactly the path. Inlined for the same reason.
#[inline(always)]
pub fn verify(root: &Hash, leaf: Hash, index: u32, count: u32, siblings: &[Hash]) -> bool {
    root_from_path(leaf, index, count, siblings) == Some(*root)
}
