//! What is published of a proof: the sixteen elements that a later slot's hash draws, each with its leaf and paths, made once. Anyone
//! checks them in as many multiplications as a side has elements, and disputes on chain what is wrong.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use mythic_interface::{
    hash::Hash,
    le::U32,
    market::{
        ix,
        probe::{
            self, Factors, PRODUCT_LEAF_LEN, Place, WholeProof, drawn, leads_to_proof,
            leads_to_round, product_leaf, round_index,
        },
        state::NamedElement,
    },
};
use mythic_support::files;
use serde::{Deserialize, Serialize};
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;

use super::Shape;

/// Longest file or answer, bytes.
pub const MAX_OPENING: usize = 256 << 10;

/// The published part of a proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// Base58 address of the lease.
    pub lease: String,
    pub epoch: u64,
    /// Hex proof, as on chain.
    pub proof: String,
    /// The slot whose hash drew the elements.
    pub draw_slot: u64,
    /// Hex hash of it.
    pub draw_hash: String,
    /// The elements in the order in which they are drawn.
    pub elements: Vec<OpenedElement>,
}

/// An element with what leads from it to the proof. Hashes are hex, paths from the leaf up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenedElement {
    pub unit: u8,
    pub round: u32,
    pub row: u32,
    pub column: u32,
    /// Sixteen elements of the row, little-endian, hex.
    pub leaf: String,
    /// From the leaf to the round's root.
    pub path: Vec<String>,
    pub root: String,
    /// From the round's root to the proof.
    pub root_path: Vec<String>,
    /// The root of the round before and its path, for every round but the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<LinkedRound>,
}

/// The root of a round, and its path to the proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkedRound {
    pub root: String,
    pub path: Vec<String>,
}

/// The slot that draws elements, and its hash.
pub type Draw = (u64, Hash);

/// Makes what is published.
pub fn publish(shape: &Shape, proof: &WholeProof, draw: Draw) -> Opening {
    let named = drawn(&proof.root(), &draw.1, shape.size);
    Opening {
        lease: shape.lease.to_string(),
        epoch: shape.epoch,
        proof: hex::encode(proof.root()),
        draw_slot: draw.0,
        draw_hash: hex::encode(draw.1),
        elements: named.iter().map(|named| opened(proof, named)).collect(),
    }
}

fn opened(proof: &WholeProof, named: &NamedElement) -> OpenedElement {
    let (unit, round, row, column) = named.key();
    let shown = |(root, path): (Hash, Vec<Hash>)| (hex::encode(root), digits(&path));
    let (root, root_path) = shown(proof.round(unit, round));
    let index = round_index(proof.rounds, unit, round) as usize;
    let (leaf, path) = match proof.all.get(index) {
        Some(whole) => whole.opening(row, column),
        None => ([0; PRODUCT_LEAF_LEN], Vec::new()),
    };
    let before = round.checked_sub(1);
    let link = before.map(|before| shown(proof.round(unit, before)));
    OpenedElement {
        unit,
        round,
        row,
        column,
        leaf: hex::encode(leaf),
        path: digits(&path),
        root,
        root_path,
        link: link.map(|(root, path)| LinkedRound { root, path }),
    }
}

fn digits(path: &[Hash]) -> Vec<String> {
    path.iter().map(hex::encode).collect()
}

/// What is wrong with what a provider published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpeningError {
    #[error("it is about another proof than the chain has")]
    OtherProof,
    #[error("its elements are not those that the slot's hash draws")]
    OtherElements,
    #[error("element {0:?} (unit, round, row, column) can't be read")]
    Unreadable((u8, u32, u32, u32)),
    #[error("what is shown of element {0:?} (unit, round, row, column) does not lead to the proof")]
    Path((u8, u32, u32, u32)),
    #[error(
        "element {0:?} (unit, round, row, column) is {1} and must be {2}: dispute the proof on chain"
    )]
    Wrong((u8, u32, u32, u32), i32, i32),
}

impl Opening {
    /// Checks it against what the chain says: the proof, what it is of, and the hash that draws. Computes every element; what is wrong
    /// with each is returned. It is an error where nothing can be said of any.
    pub fn findings(
        &self,
        shape: &Shape,
        proof: &Hash,
        draw: &Hash,
    ) -> Result<Vec<OpeningError>, OpeningError> {
        if self.proof != hex::encode(proof)
            || self.epoch != shape.epoch
            || self.lease != shape.lease.to_string()
        {
            return Err(OpeningError::OtherProof);
        }
        let named = drawn(proof, draw, shape.size);
        let same = |(shown, named): (&OpenedElement, &NamedElement)| shown.key() == named.key();
        if self.elements.len() != named.len() || !self.elements.iter().zip(&named).all(same) {
            return Err(OpeningError::OtherElements);
        }
        let found = |element: &OpenedElement| element.check(shape, proof).err();
        Ok(self.elements.iter().filter_map(found).collect())
    }

    /// The same, where the first that is wrong is enough.
    pub fn check(&self, shape: &Shape, proof: &Hash, draw: &Hash) -> Result<(), OpeningError> {
        let found = self.findings(shape, proof, draw)?;
        found.into_iter().next().map_or(Ok(()), Err)
    }

    /// An element that was computed wrongly, as a dispute names it, and what is published of it. Of several the one that is answered in
    /// the fewest transactions: a wrong one convicts.
    pub fn convicting(&self, findings: &[OpeningError]) -> Option<(NamedElement, &OpenedElement)> {
        let is_wrong = |element: &&OpenedElement| {
            let is_it = |error: &OpeningError| matches!(error, OpeningError::Wrong(key, ..) if *key == element.key());
            findings.iter().any(is_it)
        };
        let wrong = self.elements.iter().filter(is_wrong);
        let least = wrong.min_by_key(|element| (element.round > 0, element.key()))?;
        Some((least.named(), least))
    }
}

impl OpenedElement {
    fn key(&self) -> (u8, u32, u32, u32) {
        (self.unit, self.round, self.row, self.column)
    }

    fn named(&self) -> NamedElement {
        NamedElement {
            unit: self.unit,
            round: U32::new(self.round),
            row: U32::new(self.row),
            column: U32::new(self.column),
        }
    }

    /// Shows to a dispute what is published of the element that it names alone: its roots, then itself, one a call. Whoever has the
    /// publication needs nobody's answer. `None` where something can't be read.
    pub fn shown(&self, dispute: &Pubkey) -> Option<Vec<Instruction>> {
        let mut calls = Vec::new();
        if let (Some(link), Some(before)) = (&self.link, self.round.checked_sub(1)) {
            let (root, path) = (hash(&link.root)?, hashes(&link.path)?);
            calls.push(ix::open_root(dispute, (self.unit, before), &root, &path));
        }
        let (root, path) = (hash(&self.root)?, hashes(&self.root_path)?);
        let own = (self.unit, self.round);
        calls.push(ix::open_root(dispute, own, &root, &path));
        let mut leaf = [0; PRODUCT_LEAF_LEN];
        hex::decode_to_slice(&self.leaf, &mut leaf).ok()?;
        calls.push(ix::open_element(dispute, 0, &leaf, &hashes(&self.path)?));
        Some(calls)
    }

    fn check(&self, shape: &Shape, proof: &Hash) -> Result<(), OpeningError> {
        let unreadable = || OpeningError::Unreadable(self.key());
        let ((units, rounds, n), key) = (shape.size, self.key());
        let mut leaf = [0; PRODUCT_LEAF_LEN];
        hex::decode_to_slice(&self.leaf, &mut leaf).map_err(|_| unreadable())?;
        let root = hash(&self.root).ok_or_else(unreadable)?;
        let leads = |round: u32, root: &Hash, path: &[String]| {
            let path = hashes(path)?;
            let index = round_index(rounds, self.unit, round);
            Some(leads_to_proof(proof, (units, rounds), index, root, &path))
        };
        let link = match (&self.link, self.round.checked_sub(1)) {
            (None, None) => shape.hash,
            (Some(link), Some(before)) => {
                let root = hash(&link.root).ok_or_else(unreadable)?;
                match leads(before, &root, &link.path).ok_or_else(unreadable)? {
                    true => root,
                    false => return Err(OpeningError::Path(key)),
                }
            }
            _ => return Err(unreadable()),
        };
        let path = hashes(&self.path).ok_or_else(unreadable)?;
        let index = product_leaf(n, self.row, self.column);
        let whole = leads(self.round, &root, &self.root_path).ok_or_else(unreadable)?;
        if !whole || !leads_to_round(&root, n, index, &leaf, &path) {
            return Err(OpeningError::Path(key));
        }
        let place = Place {
            lease: shape.lease.as_array(),
            unit: self.unit,
            epoch: shape.epoch,
            round: self.round,
        };
        let seed = probe::round_seed(&place, &link);
        let right = Factors::new(&seed).element(n, self.row, self.column);
        match probe::element_of(&leaf, self.column) {
            found if found == right => Ok(()),
            found => Err(OpeningError::Wrong(key, found, right)),
        }
    }
}

fn hash(text: &str) -> Option<Hash> {
    mythic_wire::parse_hex32(text)
}

fn hashes(path: &[String]) -> Option<Vec<Hash>> {
    path.iter().map(|text| hash(text)).collect()
}

/// Directory of what was published.
#[derive(Debug)]
pub struct Openings {
    dir: PathBuf,
}

impl Openings {
    /// Opens or makes it.
    pub fn open(data_dir: &Path) -> io::Result<Self> {
        let dir = data_dir.join("proofs");
        files::private_dir(&dir)?;
        Ok(Self { dir })
    }

    fn path(&self, lease: &Pubkey, epoch: u64) -> PathBuf {
        self.dir.join(format!("{lease}-{epoch}.json"))
    }

    /// Whether an epoch is published.
    pub fn has(&self, lease: &Pubkey, epoch: u64) -> bool {
        self.path(lease, epoch).is_file()
    }

    /// Keeps what is published.
    pub fn keep(&self, lease: &Pubkey, opening: &Opening) -> io::Result<()> {
        let path = self.path(lease, opening.epoch);
        files::replace(&path, &serde_json::to_vec(opening)?)
    }

    /// What is published of an epoch, as JSON.
    pub fn read(&self, lease: &Pubkey, epoch: u64) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.path(lease, epoch)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes all that was published of a lease.
    pub fn forget(&self, lease: &Pubkey) -> io::Result<()> {
        let begins = format!("{lease}-");
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(&begins) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use mythic_interface::market::probe::WholeRound;

    use super::*;
    use crate::proof::dispute::transactions;

    fn shape() -> Shape {
        Shape {
            lease: Pubkey::new_from_array([7; 32]),
            epoch: 5,
            hash: [9; 32],
            size: (2, 3, 32),
        }
    }

    fn whole(shape: &Shape) -> WholeProof {
        WholeProof::new(shape.lease.as_array(), shape.epoch, &shape.hash, shape.size)
    }

    const DRAW: Draw = (90, [3; 32]);

    #[test]
    fn what_is_published_of_a_right_proof_checks_also_after_it_was_written() {
        let (shape, proof) = (shape(), whole(&shape()));
        let opening = publish(&shape, &proof, DRAW);
        assert_eq!(opening.check(&shape, &proof.root(), &DRAW.1), Ok(()));
        let dir = tempfile::tempdir().unwrap();
        let openings = Openings::open(dir.path()).unwrap();
        assert!(!openings.has(&shape.lease, 5));
        openings.keep(&shape.lease, &opening).unwrap();
        let read = openings.read(&shape.lease, 5).unwrap().unwrap();
        assert!(read.len() < MAX_OPENING);
        assert_eq!(serde_json::from_slice::<Opening>(&read).unwrap(), opening);
        openings.forget(&shape.lease).unwrap();
        assert!(openings.read(&shape.lease, 5).unwrap().is_none());
    }

    #[test]
    fn the_largest_opening_is_taken() {
        // Sixteen elements with the longest paths there are.
        let digits = |hashes: usize| 67 * hashes;
        let element = 300 + 128 + digits(probe::MAX_PATH + 2 + 2 * 15);
        assert!(probe::DRAWN * element < MAX_OPENING);
    }

    #[test]
    fn whatever_is_not_the_chains_or_does_not_lead_to_the_proof_is_named() {
        let (shape, proof) = (shape(), whole(&shape()));
        let root = proof.root();
        let good = publish(&shape, &proof, DRAW);
        let check = |change: &dyn Fn(&mut Opening)| {
            let mut opening = good.clone();
            change(&mut opening);
            opening.check(&shape, &root, &DRAW.1).unwrap_err()
        };
        assert_eq!(check(&|o| o.epoch = 6), OpeningError::OtherProof);
        assert_eq!(check(&|o| o.proof = "00".into()), OpeningError::OtherProof);
        assert_eq!(
            check(&|o| o.elements.reverse()),
            OpeningError::OtherElements
        );
        assert_eq!(
            check(&|o| o.elements.truncate(15)),
            OpeningError::OtherElements
        );
        assert_eq!(
            good.check(&shape, &root, &[4; 32]),
            Err(OpeningError::OtherElements)
        );
        let unreadable = check(&|o| o.elements[0].leaf = "zz".into());
        assert!(matches!(unreadable, OpeningError::Unreadable(_)));
        let path = check(&|o| o.elements[3].path.swap(0, 1));
        assert!(matches!(path, OpeningError::Path(_)));
        let path = check(&|o| o.elements[3].root_path[0] = hex::encode([0; 32]));
        assert!(matches!(path, OpeningError::Path(_)));
    }

    #[test]
    fn an_element_that_was_not_computed_is_found() {
        let (shape, right) = (shape(), whole(&shape()));
        // Every round of the second unit is made up.
        let all = right
            .all
            .iter()
            .enumerate()
            .map(|(index, round)| match index {
                0..3 => round.clone(),
                _ => WholeRound::of(32, vec![1; 32 * 32]),
            });
        let proof = WholeProof::of(3, all.collect());
        let opening = publish(&shape, &proof, DRAW);
        let found = opening.check(&shape, &proof.root(), &DRAW.1).unwrap_err();
        assert!(
            matches!(found, OpeningError::Wrong((1, ..), 1, _)),
            "{found}"
        );
        let findings = opening.findings(&shape, &proof.root(), &DRAW.1).unwrap();
        let of_second = opening.elements.iter().filter(|shown| shown.unit == 1);
        assert_eq!(findings.len(), of_second.count());
        // One is named, and what is published of it is all that a dispute about it asks for.
        let (named, shown) = opening.convicting(&findings).unwrap();
        assert_eq!((named.unit, named.key()), (1, shown.key()));
        let dispute = Pubkey::new_from_array([8; 32]);
        let roots = 1 + usize::from(shown.round > 0);
        assert_eq!(shown.shown(&dispute).unwrap().len(), roots + 1);
        assert_eq!(transactions(&[named]), roots as u8 + 1);
    }

    #[test]
    fn nothing_convicts_that_is_not_computed_to_be_wrong() {
        let (shape, proof) = (shape(), whole(&shape()));
        let mut opening = publish(&shape, &proof, DRAW);
        let right = opening.findings(&shape, &proof.root(), &DRAW.1).unwrap();
        assert!(right.is_empty() && opening.convicting(&right).is_none());
        opening.elements[2].leaf = "zz".into();
        opening.elements[5].path.swap(0, 1);
        let found = opening.findings(&shape, &proof.root(), &DRAW.1).unwrap();
        assert_eq!(found.len(), 2);
        assert!(opening.convicting(&found).is_none());
        assert!(opening.elements[2].shown(&shape.lease).is_none());
    }
}
