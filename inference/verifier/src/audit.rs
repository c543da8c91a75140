//! The layer audit: of an answer whose maker shows the hash of what each layer gave, a few layers are computed again, drawn after the
//! hashes are known. Pure.

use std::collections::BTreeSet;

use mythic_interface::{
    comparison::Rule,
    hash::{Hash, domain, sha256},
    state::{Job, Key},
};
use mythic_wire::{Evidence, ResidualDigests, parse_hex32};

use crate::{
    check::{self, Subject},
    policy::VerifierConfig,
};

/// Positions whose logits are computed from what the last layer gave.
pub const POSITIONS: usize = 16;

/// Sizes of an answer in its model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub layers: usize,
    /// Numbers of a row between layers.
    pub width: usize,
    /// Positions that were read: the prompt, and the answer's tokens but the last.
    pub positions: usize,
}

impl Size {
    /// Layers that are computed again, if `part` of all are; at least one.
    pub fn drawn(&self, part: f64) -> usize {
        let layers = (part * self.layers as f64).ceil();
        // A float becomes an integer saturating.
        (layers as usize).clamp(1, self.layers.max(1))
    }

    /// Bytes of one layer's rows.
    pub fn bytes(&self) -> usize {
        self.positions
            .saturating_mul(self.width)
            .saturating_mul(size_of::<f32>())
    }

    /// Most bytes that an audit asks for: what went into each layer, and what the last one gave.
    pub fn all_bytes(&self, part: f64) -> usize {
        self.bytes().saturating_mul(self.drawn(part) + 1)
    }
}

/// What is read for an answer: what its residual rows are of. `None` where an engine can't read it.
pub fn tokens(evidence: &Evidence, vocabulary: usize, context: usize) -> Option<Vec<u32>> {
    let (_, known) = evidence.output_ids.split_last()?;
    let all = [&evidence.prompt_ids[..], known].concat();
    let readable = all.iter().all(|id| (*id as usize) < vocabulary);
    (readable && !evidence.prompt_ids.is_empty() && all.len() < context).then_some(all)
}

/// Whether a result that the policy drew is audited first: its arithmetic is exact and its leaves replay its choices, so that layers
/// and logits say all of it. A share is checked in full nonetheless, drawn by a secret.
pub fn is_first(
    config: &VerifierConfig,
    secret: &[u8; 32],
    (job, subject): (&Key, &Subject<'_>),
) -> bool {
    let state: &Job = subject.state;
    let exact = check::rule(subject.spec) == Some(Rule::Exact);
    let drawn = sha256(&[domain::AUDIT, secret, job]);
    config.audit_layers > 0.0
        && exact
        && state.terms.replay().is_some()
        && part_of(&drawn) >= config.audit_full
}

/// A hash as a number from 0 up to 1.
fn part_of(hash: &Hash) -> f64 {
    f64::from(number(hash)) / (f64::from(u32::MAX) + 1.0)
}

fn number(hash: &Hash) -> u32 {
    u32::from_le_bytes([hash[0], hash[1], hash[2], hash[3]])
}

/// The hashes of what each layer gave, if they are of this answer's sizes.
pub fn digests(shown: &ResidualDigests, size: &Size) -> Option<Vec<Hash>> {
    let same = shown.positions as usize == size.positions
        && shown.width as usize == size.width
        && shown.layers.len() == size.layers;
    if !same {
        return None;
    }
    shown.layers.iter().map(|hex| parse_hex32(hex)).collect()
}

/// What is computed again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draw {
    /// Layers from 0, ascending.
    pub layers: Vec<usize>,
    /// Positions of the output, ascending.
    pub positions: Vec<usize>,
}

impl Draw {
    /// By `random`, which must be made after the hashes are known, and known to nobody before.
    pub fn new(random: &[u8; 32], size: &Size, part: f64, output: usize) -> Self {
        Self {
            layers: some(random, b"layers", size.drawn(part), size.layers),
            positions: some(random, b"positions", POSITIONS, output),
        }
    }
}

/// `count` different numbers below `of`, all of them where there are no more.
fn some(random: &[u8; 32], what: &[u8], count: usize, of: usize) -> Vec<usize> {
    if count >= of {
        return (0..of).collect();
    }
    let mut found = BTreeSet::new();
    let mut counter = 0u64;
    while found.len() < count {
        let drawn = sha256(&[domain::AUDIT, random, what, &counter.to_le_bytes()]);
        found.insert(((u64::from(number(&drawn)) * of as u64) >> 32) as usize);
        counter += 1;
    }
    found.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size {
        layers: 32,
        width: 4_096,
        positions: 256,
    };

    #[test]
    fn an_audit_asks_for_what_went_into_its_layers_and_what_the_last_gave() {
        assert_eq!(SIZE.bytes(), 4 << 20);
        assert_eq!(SIZE.drawn(0.1), 4);
        assert_eq!(SIZE.all_bytes(0.1), 20 << 20);
        assert_eq!((SIZE.drawn(0.0), SIZE.drawn(1.0)), (1, 32));
        assert_eq!((SIZE.drawn(9.0), SIZE.drawn(f64::NAN)), (32, 1));
    }

    #[test]
    fn a_draw_depends_on_all_of_its_randomness_and_repeats_nothing() {
        let draw = |random: u8| Draw::new(&[random; 32], &SIZE, 0.1, 200);
        let one = draw(1);
        assert_eq!(one, draw(1));
        assert_ne!(one, draw(2));
        let is_rising = |numbers: &[usize]| numbers.is_sorted_by(|a, b| a < b);
        assert!(is_rising(&one.layers) && is_rising(&one.positions));
        assert_eq!((one.layers.len(), one.positions.len()), (4, 16));
        assert!(one.layers[3] < 32 && one.positions[15] < 200);
        let short = Draw::new(&[1; 32], &SIZE, 1.0, 3);
        assert_eq!(short.layers, (0..32).collect::<Vec<_>>());
        assert_eq!(short.positions, [0, 1, 2]);
    }

    #[test]
    fn each_layer_is_drawn_as_often_as_the_others() {
        let mut times = [0; 32];
        for random in 0..1_000u32 {
            let mut bytes = [0; 32];
            bytes[..4].copy_from_slice(&random.to_le_bytes());
            for layer in Draw::new(&bytes, &SIZE, 0.1, 1).layers {
                times[layer] += 1;
            }
        }
        assert!(times.iter().all(|n| (80..170).contains(n)), "{times:?}");
    }

    #[test]
    fn hashes_of_other_sizes_are_none() {
        let shown = ResidualDigests {
            positions: 256,
            width: 4_096,
            layers: vec!["11".repeat(32); 32],
        };
        assert_eq!(digests(&shown, &SIZE), Some(vec![[0x11; 32]; 32]));
        let other = |change: &dyn Fn(&mut ResidualDigests)| {
            let mut shown = shown.clone();
            change(&mut shown);
            digests(&shown, &SIZE)
        };
        assert_eq!(other(&|s| s.positions = 255), None);
        assert_eq!(other(&|s| s.width = 1), None);
        assert_eq!(other(&|s| drop(s.layers.pop())), None);
        assert_eq!(other(&|s| s.layers[3] = "x".into()), None);
    }

    #[test]
    fn a_share_is_checked_in_full_and_without_the_key_all_are() {
        use bytemuck::Zeroable;
        use mythic_interface::state::{KernelProfile, ModelSpec};
        let state = Job::zeroed();
        let mut spec = ModelSpec::zeroed();
        let audited = |config: &VerifierConfig, spec: &ModelSpec| {
            let subject = Subject {
                state: &state,
                spec,
            };
            let jobs = (0..=u8::MAX).map(|n| [n; 32]);
            jobs.filter(|job| is_first(config, &[7; 32], (job, &subject)))
                .count()
        };
        let mut config = VerifierConfig {
            audit_layers: 0.1,
            audit_full: 0.25,
            ..VerifierConfig::default()
        };
        assert_eq!(audited(&config, &spec), 0, "its arithmetic is not exact");
        spec.kernel_profile.set(KernelProfile::CpuWA8 as u16);
        let some = audited(&config, &spec);
        assert!((160..=220).contains(&some), "{some}");
        config.audit_full = 1.0;
        assert_eq!(audited(&config, &spec), 0);
        config.audit_full = 0.0;
        assert_eq!(audited(&config, &spec), 256);
        config.audit_layers = 0.0;
        assert_eq!(audited(&config, &spec), 0);
    }
}
