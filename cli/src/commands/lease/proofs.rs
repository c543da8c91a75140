//! What is published of proofs, held against the chain: drawn elements, paths, arithmetic. Whoever can read the chain can do it.

use super::host::Host;
use crate::exit::Exit;
use anyhow::{Context, Result};
use mythic_client::{ChainClient, Commitment, slot_hashes::SlotHashes};
use mythic_interface::{
    hash::Hash,
    market::{
        probe::DRAW_SLOTS,
        state::{EpochState, Lease, LeaseEpoch, NamedElement},
    },
    state::NO_KEY,
    window,
};
use mythic_provider::proof::{
    Shape,
    opening::{OpenedElement, Opening, OpeningError},
};
use solana_pubkey::Pubkey;

/// Slots after a proof from which it should be published; half of the time to dispute it, where that is less.
const PUBLISHED_AFTER: u64 = 200;

/// Characters that are told of why an answer can't be read.
const QUOTED: usize = 200;

/// What was found out about a proof.
#[derive(Debug)]
pub enum Judged {
    /// It need not be published yet.
    Early,
    /// Nothing is published of it, and should be: nobody can check it.
    Missing,
    /// What is published of it does not show it, for this reason: nobody can check it either.
    Unshown(String),
    /// Its elements are right. Whether the draw could be compared with the chain: slots' hashes are known for some minutes.
    Right { drawn: bool },
    /// It is false, and this convicts it.
    False(Box<Evidence>),
}

/// What convicts a proof.
#[derive(Debug)]
pub struct Evidence {
    /// A wrong element, as a dispute names it.
    pub named: NamedElement,
    /// What is published of it.
    pub shown: OpenedElement,
    /// Elements that are published, and how many of them are wrong.
    pub all: usize,
    pub wrong: usize,
    /// What is wrong with the one that is named, in words.
    pub words: String,
}

impl Judged {
    /// It in words, as what is said of an epoch.
    pub fn words(&self) -> String {
        match self {
            Self::Early => "not published yet".into(),
            Self::Missing => "nothing is published of its proof, so nobody can check it".into(),
            Self::Unshown(why) => {
                format!("what is published does not show its proof, so nobody can check it: {why}")
            }
            Self::Right { drawn: true } => {
                "sixteen elements are right, and the chain drew them".into()
            }
            Self::Right { drawn: false } => {
                "sixteen elements are right; who drew them is too long ago to check".into()
            }
            Self::False(evidence) => evidence.told(),
        }
    }
}

impl Evidence {
    /// It in words, as what is said of an epoch.
    pub fn told(&self) -> String {
        format!(
            "ITS PROOF IS FALSE: {} of {} published elements were not computed; {}",
            self.wrong, self.all, self.words
        )
    }
}

/// The hashes that draw, as the chain has them now.
pub struct Drawer {
    /// The newest slot.
    pub slot: u64,
    hashes: SlotHashes,
}

impl Drawer {
    /// Reads them.
    pub async fn read(chain: &ChainClient) -> Result<Self> {
        // In this order: what drew by then is among the hashes.
        let slot = chain.slot(Commitment::Confirmed).await?;
        let hashes = chain.slot_hashes(Commitment::Confirmed).await?;
        Ok(Self { slot, hashes })
    }

    /// Those of a slot.
    #[cfg(test)]
    pub fn at(slot: u64, hashes: SlotHashes) -> Self {
        Self { slot, hashes }
    }

    /// Whether elements of an epoch's proof are drawn.
    pub fn has_drawn(&self, entry: &LeaseEpoch) -> bool {
        self.slot > entry.slot.get().saturating_add(DRAW_SLOTS)
    }

    /// The hash that draws an epoch's elements, while it is known.
    pub fn hash(&self, entry: &LeaseEpoch) -> Option<Hash> {
        let from = entry.slot.get().saturating_add(DRAW_SLOTS);
        self.hashes.first_from(from).map(|(_, hash)| hash)
    }

    /// Whether the proof of an epoch of a lease should be published.
    pub fn is_late(&self, lease: &Lease, entry: &LeaseEpoch) -> bool {
        let half = u64::from(lease.terms.rules.dispute_slots.get()) / 2;
        self.slot > entry.slot.get().saturating_add(PUBLISHED_AFTER.min(half))
    }
}

/// Whether the proof of an epoch can be disputed at a slot.
pub fn is_disputable(lease: &Lease, entry: &LeaseEpoch, slot: u64) -> bool {
    // What its tenant called unserved is disputed like any other; who is convicted loses nothing more behind the same lease.
    let states = [EpochState::Pending as u8, EpochState::Unserved as u8];
    states.contains(&entry.state)
        && lease.refuted_slot.get() == 0
        && entry.proof != NO_KEY
        && window::open(slot, entry.dispute_end(&lease.terms.rules))
}

/// A lease and one of its epochs as they are held to stay, if the proof is the one that was judged and can be disputed: what was judged
/// may be minutes old, or of a fork that is gone.
pub async fn still(
    chain: &ChainClient,
    lease: &Pubkey,
    judged: &LeaseEpoch,
) -> Result<Option<(Lease, LeaseEpoch)>> {
    let slot = chain.slot(Commitment::Confirmed).await?;
    let read = chain.account_at::<Lease>(lease, Commitment::Confirmed);
    let read = read.await?;
    Ok(read.and_then(|(_, state)| Some((state, same(&state, judged, slot)?))))
}

/// The epoch that was judged, as a lease has it at a slot.
fn same(lease: &Lease, judged: &LeaseEpoch, slot: u64) -> Option<LeaseEpoch> {
    let entry = lease.epoch(judged.epoch.get())?;
    let is_it = entry.proof == judged.proof && entry.hash == judged.hash;
    (is_it && is_disputable(lease, entry, slot)).then_some(*entry)
}

/// Asks the provider for what it published of an epoch and judges it; `draw` is the hash that draws, where it is known.
pub async fn ask(
    host: &Host,
    (lease, state): (&Pubkey, &Lease),
    entry: &LeaseEpoch,
    (drawer, draw): (&Drawer, Option<Hash>),
) -> Result<Judged> {
    if !drawer.has_drawn(entry) {
        return Ok(Judged::Early);
    }
    let epoch = entry.epoch.get();
    let shape = Shape::of_epoch(lease, state, epoch).context("the lease has no such epoch")?;
    let opening = match host.opening(lease, epoch).await {
        Ok(opening) => opening,
        // An answer that can't be read is one all the same; no answer is none.
        Err(error) if error.downcast_ref::<Exit>().is_none() => {
            // It may quote what the provider wrote.
            let why = format!("{error:#}").chars().take(QUOTED).collect();
            return Ok(Judged::Unshown(why));
        }
        Err(error) => return Err(error),
    };
    let Some(opening) = opening else {
        return Ok(match drawer.is_late(state, entry) {
            true => Judged::Missing,
            false => Judged::Early,
        });
    };
    let proof = entry.proof;
    // Up to sixteen elements of sides of up to 16,384.
    let judge = move || judge(&shape, &proof, &opening, draw);
    Ok(tokio::task::spawn_blocking(judge).await?)
}

/// Judges what is published of a proof.
fn judge(shape: &Shape, proof: &Hash, opening: &Opening, draw: Option<Hash>) -> Judged {
    // Whoever publishes elements of its own choice can choose good ones; a bad one convicts whoever chose it.
    let told = mythic_wire::parse_hex32(&opening.draw_hash).unwrap_or_default();
    let found = opening.findings(shape, proof, &draw.unwrap_or(told));
    let (findings, refused) = match found {
        Err(OpeningError::OtherElements) => (
            opening.findings(shape, proof, &told).unwrap_or_default(),
            Some(OpeningError::OtherElements),
        ),
        Err(other) => return Judged::Unshown(other.to_string()),
        Ok(findings) => (findings, None),
    };
    if let Some((named, shown)) = opening.convicting(&findings) {
        let is_wrong = |error: &&OpeningError| matches!(error, OpeningError::Wrong(..));
        let key = named.key();
        let its = |error: &&OpeningError| matches!(error, OpeningError::Wrong(k, ..) if *k == key);
        return Judged::False(Box::new(Evidence {
            named,
            shown: shown.clone(),
            all: opening.elements.len(),
            wrong: findings.iter().filter(is_wrong).count(),
            words: findings
                .iter()
                .find(its)
                .map(OpeningError::to_string)
                .unwrap_or_default(),
        }));
    }
    match refused.or_else(|| findings.into_iter().next()) {
        Some(why) => Judged::Unshown(why.to_string()),
        None => Judged::Right {
            drawn: draw.is_some(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytemuck::Zeroable;
    use mythic_interface::market::probe::{WholeProof, WholeRound};
    use mythic_provider::proof::opening::publish;

    const DRAW: (u64, Hash) = (90, [3; 32]);

    fn shape() -> Shape {
        Shape {
            lease: Pubkey::new_from_array([7; 32]),
            epoch: 5,
            hash: [9; 32],
            size: (1, 2, 32),
        }
    }

    /// A proof whose second round nobody computed.
    fn half_made_up() -> WholeProof {
        let right = shape().compute();
        let made_up = WholeRound::of(32, vec![1; 32 * 32]);
        WholeProof::of(2, vec![right.all[0].clone(), made_up])
    }

    /// A lease with a proof of epoch 4 in slot 400, which can be disputed for so many slots.
    fn proved(dispute_slots: u32) -> Lease {
        let mut lease = Lease::zeroed();
        lease.terms.rules.dispute_slots.set(dispute_slots);
        let entry = &mut lease.ring[Lease::place(4)];
        entry.epoch.set(4);
        entry.slot.set(400);
        entry.hash = [2; 32];
        entry.proof = [1; 32];
        entry.state = EpochState::Pending as u8;
        lease
    }

    #[test]
    fn a_proof_is_late_before_half_of_the_time_to_dispute_it_is_over() {
        let late = |dispute_slots, slot| {
            let lease = proved(dispute_slots);
            let drawer = Drawer::at(slot, SlotHashes::default());
            drawer.is_late(&lease, lease.epoch(4).unwrap())
        };
        assert!(!late(2_250, 600) && late(2_250, 601));
        assert!(!late(50, 425) && late(50, 426));
    }

    #[test]
    fn only_the_proof_that_was_judged_is_disputed_and_nobody_who_is_convicted() {
        let mut lease = proved(50);
        let judged = *lease.epoch(4).unwrap();
        assert_eq!(same(&lease, &judged, 449), Some(judged));
        assert_eq!(same(&lease, &judged, 450), None, "its time is over");
        for (proof, hash) in [([9; 32], [2; 32]), ([1; 32], [9; 32])] {
            let other = LeaseEpoch {
                proof,
                hash,
                ..judged
            };
            assert_eq!(same(&lease, &other, 449), None, "of another fork");
        }
        lease.refuted_slot.set(430);
        assert_eq!(same(&lease, &judged, 449), None, "it is convicted");
    }

    #[test]
    fn a_right_proof_is_right_and_says_whether_the_chain_drew_it() {
        let proof = shape().compute();
        let opening = publish(&shape(), &proof, DRAW);
        let judged = |draw| judge(&shape(), &proof.root(), &opening, draw);
        assert!(matches!(
            judged(Some(DRAW.1)),
            Judged::Right { drawn: true }
        ));
        assert!(matches!(judged(None), Judged::Right { drawn: false }));
        // Elements that another hash draws show nothing, right as they are.
        assert!(matches!(judged(Some([4; 32])), Judged::Unshown(_)));
    }

    #[test]
    fn a_false_element_convicts_whoever_drew_it() {
        let proof = half_made_up();
        let opening = publish(&shape(), &proof, DRAW);
        for draw in [Some(DRAW.1), None, Some([4; 32])] {
            let Judged::False(evidence) = judge(&shape(), &proof.root(), &opening, draw) else {
                panic!("it is false");
            };
            assert_eq!(evidence.named.key().1, 1, "of the second round");
            assert_eq!(evidence.all, 16);
            assert!((1..16).contains(&evidence.wrong), "{}", evidence.wrong);
            assert!(
                evidence.words.contains("is 1 and must be"),
                "{}",
                evidence.words
            );
        }
    }

    #[test]
    fn what_does_not_lead_to_the_proof_convicts_nobody() {
        let proof = half_made_up();
        let opening = publish(&shape(), &proof, DRAW);
        let other = judge(&shape(), &[1; 32], &opening, Some(DRAW.1));
        assert!(matches!(other, Judged::Unshown(_)), "{other:?}");
        let mut torn = opening.clone();
        for element in &mut torn.elements {
            element.path.clear();
        }
        let torn = judge(&shape(), &proof.root(), &torn, Some(DRAW.1));
        assert!(matches!(torn, Judged::Unshown(_)), "{torn:?}");
    }
}
