//! Who writes answers, honestly or not, and what they then submit. Pure.

use mythic_interface::hash::{Hash, domain, sha256, uniform};
use mythic_interface::sampler::{Sampling, Top4, order};
use mythic_model::gguf::TensorFormat;
use serde::{Deserialize, Serialize};

use super::transcript::{Position, Transcript};

/// An answer with what its writer computed at each position.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub ids: Vec<u32>,
    pub leaves: Vec<Top4>,
}

/// What the checker computed for an answer, position by position.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Values {
    pub own: Vec<Top4>,
    /// At the ids of the answer's leaves.
    pub at_claimed: Vec<[i32; 4]>,
    /// Bits of an f32: JSON must not round them.
    pub log_sum_exp_bits: Vec<u32>,
}

/// Where an answer comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// The file, the prompt, the seed: as the job says.
    Honest,
    /// The same weights with activations left as f32: an honest engine of another arithmetic.
    Unrounded,
    /// llama.cpp on the same file, greedy.
    LlamaCpp,
    Requantised(TensorFormat),
    /// Keys and values kept in so many bits.
    KvBits(u8),
    /// The file without its last layers.
    FewerLayers,
    NoSystemPrompt,
    OtherTemperature,
    /// The seed, plus one.
    OtherSeed,
    /// So many percent of an honest answer's tokens replaced.
    Splice(u8),
    /// Only the last token replaced: no later position betrays it.
    LastToken,
    /// Made-up tokens and logits that the sampler's replay accepts.
    Random,
    /// Another job's honest answer and commitments.
    Copied,
}

/// What a writer submits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submission {
    /// The values that it has.
    AsWritten,
    /// The true model fills in logits for tokens that it did not choose.
    Prefilled,
    /// The same, with logits forged wherever replay would show it.
    PrefilledForged,
}

impl Writer {
    /// For tables and records.
    pub fn name(self) -> String {
        match self {
            Self::Honest => "this engine".into(),
            Self::Unrounded => "same weights, f32 activations".into(),
            Self::LlamaCpp => "llama.cpp, greedy".into(),
            Self::Requantised(dtype) => format!("weights as {}", dtype),
            Self::KvBits(bits) => format!("keys and values in {bits} bits"),
            Self::FewerLayers => "last layers left out".into(),
            Self::NoSystemPrompt => "system prompt dropped".into(),
            Self::OtherTemperature => "temperature + 0.3".into(),
            Self::OtherSeed => "seed + 1".into(),
            Self::Splice(percent) => format!("{percent} % of tokens spliced"),
            Self::LastToken => "last token replaced".into(),
            Self::Random => "random commitments".into(),
            Self::Copied => "copied commitments".into(),
        }
    }

    /// Whether the protocol would call it honest in a calibrated profile.
    pub fn is_honest(self) -> bool {
        matches!(self, Self::Honest | Self::Unrounded | Self::LlamaCpp)
    }

    /// Whether it makes its answer from an honest one instead of running a model.
    pub fn copies(self) -> bool {
        matches!(
            self,
            Self::Splice(_) | Self::LastToken | Self::Random | Self::Copied
        )
    }

    /// What it submits, in the order of the table.
    pub fn submissions(self) -> &'static [Submission] {
        use Submission::{AsWritten, Prefilled, PrefilledForged};
        match self {
            Self::FewerLayers | Self::Requantised(TensorFormat::Q8_0 | TensorFormat::Q4_0) => {
                &[AsWritten, Prefilled, PrefilledForged]
            }
            // Their logits are the true ones already.
            Self::OtherTemperature | Self::OtherSeed | Self::Splice(_) => {
                &[AsWritten, PrefilledForged]
            }
            // No other position changes, so filling in changes nothing but the forged one.
            Self::LastToken => &[PrefilledForged],
            _ => &[AsWritten],
        }
    }

    /// A row's name.
    pub fn label(self, submission: Submission) -> String {
        let name = self.name();
        match (self, submission) {
            (_, Submission::AsWritten) => name,
            (Self::FewerLayers | Self::Requantised(_), Submission::Prefilled) => {
                format!("{name}: prefilled")
            }
            (Self::FewerLayers | Self::Requantised(_), _) => format!("{name}: prefilled, forged"),
            (_, Submission::Prefilled) => format!("{name}: filled in"),
            (_, Submission::PrefilledForged) => format!("{name}: forged"),
        }
    }
}

/// A job as a checker sees it.
pub fn transcript(
    submission: Submission,
    answer: &Answer,
    checked: &Values,
    sampling: Sampling,
) -> Transcript {
    let given = answer.ids.iter().zip(&answer.leaves);
    let values = checked.own.iter().zip(&checked.at_claimed);
    let positions = (0u32..)
        .zip(given.zip(values.zip(&checked.log_sum_exp_bits)))
        .map(|(at, ((token, given), ((own, at_given), bits)))| {
            let position = Position {
                token: *token,
                given: *given,
                at_given: *at_given,
                own: *own,
                log_sum_exp: f32::from_bits(*bits),
            };
            match submission {
                Submission::AsWritten => position,
                Submission::Prefilled => position.prefilled(at, &sampling, false),
                Submission::PrefilledForged => position.prefilled(at, &sampling, true),
            }
        })
        .collect();
    Transcript {
        sampling,
        positions,
    }
}

fn number(seed: &Hash, what: &str, index: u32) -> u32 {
    uniform(&sha256(&[
        domain::CALIBRATION_NUMBER,
        seed,
        what.as_bytes(),
        &index.to_le_bytes(),
    ]))
}

/// `id` among three others of the vocabulary, one out of each of three quarters; every round draws others.
pub fn among_others(id: u32, vocabulary: usize, seed: &Hash, at: u32, round: u32) -> [u32; 4] {
    let quarter = (vocabulary as u32 / 4).max(2);
    let other = |i: u32| {
        let drawn = number(seed, "other", (round << 24) ^ (at * 4 + i)) % quarter;
        match i * quarter + drawn {
            same if same == id => i * quarter + (drawn + 1) % quarter,
            other => other,
        }
    };
    [id, other(0), other(1), other(2)]
}

/// Replaces the token at `at` by the likeliest other one that does not end the answer.
pub fn replace(answer: &mut Answer, at: usize, eos: &[u32]) {
    let (Some(token), Some(leaf)) = (answer.ids.get_mut(at), answer.leaves.get(at)) else {
        return;
    };
    let other = leaf.iter().find(|(id, _)| id != token && !eos.contains(id));
    if let Some((id, _)) = other {
        *token = *id;
    }
}

/// An honest answer with `percent` of its tokens replaced, at least one.
pub fn splice(honest: &Answer, percent: u8, seed: &Hash, eos: &[u32]) -> Answer {
    let n = honest.ids.len();
    let count = (n * usize::from(percent)).div_ceil(100).clamp(1, n.max(1));
    let mut places: Vec<usize> = (0..n).collect();
    places.sort_by_cached_key(|at| number(seed, "splice", *at as u32));
    let mut out = honest.clone();
    for at in places.into_iter().take(count) {
        replace(&mut out, at, eos);
    }
    out
}

/// An honest answer with its last token replaced.
pub fn last_token(honest: &Answer, eos: &[u32]) -> Answer {
    let mut out = honest.clone();
    replace(&mut out, honest.ids.len().saturating_sub(1), eos);
    out
}

/// `len` positions out of thin air that the sampler's replay accepts.
pub fn random(len: usize, vocabulary: usize, sampling: &Sampling) -> Answer {
    let mut out = Answer::default();
    let draw = |at: u32, i: u32| number(&sampling.seed, "random", at * 16 + i);
    for at in 0..len as u32 {
        let mut leaf: Top4 = [(0, 0); 4];
        let quarter = (vocabulary as u32 / 4).max(1);
        for (i, entry) in (0u32..).zip(&mut leaf) {
            // One id of each quarter of the vocabulary: distinct. Logits of 10 to 20.
            let id = i * quarter + draw(at, i) % quarter;
            let logit = (10 << 16) + (draw(at, i + 4) % (10 << 16)) as i32;
            *entry = (id, logit);
        }
        leaf.sort_unstable_by(order);
        out.ids.push(sampling.choose(at, &leaf));
        out.leaves.push(leaf);
    }
    out
}

/// Every writer that is not honest, the costliest to unmask last.
pub fn cheaters() -> Vec<Writer> {
    use TensorFormat::{Q4_0, Q4_1, Q4K, Q5_0, Q5_1, Q5K, Q6K, Q8_0};
    let formats = [Q8_0, Q6K, Q5_1, Q5_0, Q5K, Q4_1, Q4_0, Q4K];
    formats
        .map(Writer::Requantised)
        .into_iter()
        .chain([
            Writer::KvBits(8),
            Writer::KvBits(4),
            Writer::FewerLayers,
            Writer::NoSystemPrompt,
            Writer::OtherTemperature,
            Writer::OtherSeed,
            Writer::Splice(10),
            Writer::Splice(1),
            Writer::LastToken,
            Writer::Random,
            Writer::Copied,
        ])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLING: Sampling = Sampling {
        seed: [8; 32],
        temperature_milli: 1_000,
    };

    fn honest(n: u32) -> Answer {
        let leaf = [(9, 900_000), (5, 850_000), (700, 800_000), (3, 700_000)];
        Answer {
            ids: (0..n).map(|at| SAMPLING.choose(at, &leaf)).collect(),
            leaves: vec![leaf; n as usize],
        }
    }

    fn distance(a: &Answer, b: &Answer) -> usize {
        a.ids.iter().zip(&b.ids).filter(|(a, b)| a != b).count()
    }

    #[test]
    fn a_splice_replaces_its_share_rounded_up_and_never_ends_the_answer() {
        let answer = honest(64);
        for (percent, count) in [(1, 1), (10, 7)] {
            let spliced = splice(&answer, percent, &[1; 32], &[9]);
            assert_eq!(distance(&answer, &spliced), count);
            assert_eq!(answer.leaves, spliced.leaves);
            let changed = answer.ids.iter().zip(&spliced.ids).filter(|(a, b)| a != b);
            assert!(changed.into_iter().all(|(_, new)| *new != 9));
        }
        let last = last_token(&answer, &[]);
        assert_eq!(distance(&answer, &last), 1);
        assert_ne!(answer.ids[63], last.ids[63]);
    }

    #[test]
    fn the_others_are_distinct_and_change_with_the_round() {
        for id in 0..64u32 {
            let [first, second] = [0, 1].map(|round| among_others(id, 64, &[1; 32], 7, round));
            for list in [first, second] {
                let distinct: std::collections::BTreeSet<u32> = list.into_iter().collect();
                assert!(distinct.len() == 4 && list[0] == id && list.iter().all(|x| *x < 64));
            }
        }
        let far = among_others(9, 49_152, &[1; 32], 7, 0);
        assert_ne!(far, among_others(9, 49_152, &[1; 32], 7, 1));
    }

    #[test]
    fn made_up_commitments_pass_replay() {
        let made_up = random(200, 49_152, &SAMPLING);
        let values = Values {
            own: made_up.leaves.clone(),
            at_claimed: made_up.leaves.iter().map(|l| l.map(|(_, x)| x)).collect(),
            log_sum_exp_bits: vec![20f32.to_bits(); 200],
        };
        let t = transcript(Submission::AsWritten, &made_up, &values, SAMPLING);
        assert_eq!(t.differing(), 0);
        assert_eq!(t.positions.len(), 200);
    }

    #[test]
    fn filling_in_leaves_nothing_but_the_token_to_see_and_forging_nothing_but_the_logit() {
        let answer = splice(&honest(64), 10, &[1; 32], &[]);
        let values = Values {
            own: answer.leaves.clone(),
            at_claimed: answer.leaves.iter().map(|l| l.map(|(_, x)| x)).collect(),
            log_sum_exp_bits: vec![15f32.to_bits(); 64],
        };
        let plain = transcript(Submission::Prefilled, &answer, &values, SAMPLING);
        let forged = transcript(Submission::PrefilledForged, &answer, &values, SAMPLING);
        let faults = |t: &Transcript| (0..64).filter(|at| t.is_fault(*at)).count();
        let wrong = |t: &Transcript| t.positions.iter().filter(|p| p.differs()).count();
        assert_eq!((faults(&plain), wrong(&plain)), (7, 0));
        assert_eq!((faults(&forged), wrong(&forged)), (0, 7));
    }

    #[test]
    fn formats_have_their_usual_names() {
        assert_eq!(TensorFormat::Q4K.to_string(), "Q4_K");
        assert_eq!(TensorFormat::Q5_1.to_string(), "Q5_1");
    }
}
