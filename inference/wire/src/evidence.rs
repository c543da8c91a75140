//! The evidence bundle: everything that proves what a fingerprint on chain stands for. It
//! authenticates itself, so node, gateway and challenger may each serve it.

use mythic_interface::hash::{self, Hash};
use mythic_interface::leaf::{Leaf, LeafFault, check_leaf, check_unreplayed};
use mythic_interface::sampler::{Sampling, Top4};
use mythic_interface::state::{Job, SamplingProfile, Terms};
use mythic_interface::{merkle, output};
use serde::{Deserialize, Serialize};

/// Most output tokens of an evidence bundle that is read from outside.
pub const MAX_OUTPUT: usize = 1 << 20;

/// What a validator keeps for each job until it can no longer be disputed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Evidence {
    /// The job account; base58 in JSON.
    #[serde(with = "base58")]
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub job: [u8; 32],
    /// The validator's authority, as leaves name it; base58 in JSON.
    #[serde(with = "base58")]
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub submitter: [u8; 32],
    /// Hex in JSON, like all byte strings below.
    #[serde(with = "hex_bytes")]
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub terms_hash: Hash,
    #[serde(with = "hex_bytes")]
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub salt: [u8; 16],
    pub prompt_ids: Vec<u32>,
    pub output_ids: Vec<u32>,
    /// At each position the four largest logits, `[token id, Q16.16]`, largest first.
    #[cfg_attr(feature = "schema", schema(value_type = Vec<Vec<Vec<i64>>>))]
    pub leaves: Vec<Top4>,
    /// The job's seed.
    #[serde(with = "hex_bytes")]
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub seed: Hash,
    /// Temperature in thousandths.
    pub temperature_milli: u16,
    /// The canonical bytes of the sampling options, base64 in JSON: of an answer of `seeded-full`, whose tokens its leaves don't
    /// replay; no bytes where the options are neutral. Left out for `seeded-top4`.
    #[serde(
        default,
        with = "crate::bytes64",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>))]
    pub options: Option<Vec<u8>>,
    #[serde(with = "hex_bytes")]
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub fingerprint: Hash,
}

/// What an [`Evidence`] commits to; compare with the job account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digests {
    pub prompt_hash: Hash,
    pub output_root: Hash,
    pub leaf_root: Hash,
    pub fingerprint: Hash,
    /// Output tokens.
    pub count: u32,
}

/// Why evidence proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    #[error("the evidence has no output tokens")]
    Empty,
    #[error("the evidence has {0} output tokens, more than {MAX_OUTPUT}")]
    TooLong(usize),
    #[error("the evidence has {leaves} leaves for {tokens} output tokens")]
    Count { leaves: usize, tokens: usize },
    #[error("position {position}: {}", describe(fault))]
    Leaf { position: u32, fault: LeafFault },
    #[error(
        "position {position}: the answer does not end as the model's registration says that answers end"
    )]
    End { position: usize },
    #[error(
        "the evidence does not give its fingerprint: it was altered, or belongs to another job"
    )]
    Fingerprint,
}

/// Why evidence is not that of a result: it proves nothing, and the real one is withheld.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// It has no commitments at all.
    #[error("{0}")]
    Shape(EvidenceError),
    /// It names another job.
    #[error("it is of another job")]
    Job,
    /// It names another validator.
    #[error("it is of another validator")]
    Submitter,
    /// It names other terms.
    #[error("it is of other terms")]
    Terms,
    /// It was sampled with another seed or temperature than the terms say.
    #[error("it was sampled with another seed or temperature")]
    Sampling,
    /// The options in it are not those of the terms.
    #[error("its sampling options do not give the hash in the job's terms")]
    Options,
    /// The prompt in it is not the one that was paid for.
    #[error("its prompt does not give the prompt hash in the job's terms")]
    Prompt,
    /// It has more or fewer tokens than the result.
    #[error("its number of output tokens is not the one on chain")]
    Count,
    /// Its output is not the one on chain.
    #[error("its output does not give the output root on chain")]
    Output,
    /// Its leaves are not those on chain.
    #[error("its leaves do not give the fingerprint on chain")]
    Fingerprint,
}

fn describe(fault: &LeafFault) -> &'static str {
    match fault {
        LeafFault::RepeatedId => "an id stands twice among the four largest logits",
        LeafFault::NotOrdered => "the four largest logits are out of order",
        LeafFault::NotTheChoice => "the token is not the one that the seeded sampler chooses",
    }
}

/// An evidence bundle before its fingerprint is known.
#[derive(Clone, Debug)]
pub struct Draft {
    pub job: [u8; 32],
    pub submitter: [u8; 32],
    pub terms_hash: Hash,
    pub salt: [u8; 16],
    pub prompt_ids: Vec<u32>,
    pub output_ids: Vec<u32>,
    pub leaves: Vec<Top4>,
    pub sampling: Sampling,
    /// As [`Evidence::options`].
    pub options: Option<Vec<u8>>,
}

impl Evidence {
    /// Computes the fingerprint over a finished job, after checking every leaf.
    pub fn seal(draft: Draft) -> Result<Self, EvidenceError> {
        let mut evidence = Self::unsealed(draft);
        evidence.fingerprint = evidence.digests()?.fingerprint;
        Ok(evidence)
    }

    /// Computes the fingerprint over whatever is there, however false, as a cheat does.
    pub fn seal_unchecked(draft: Draft) -> Result<Self, EvidenceError> {
        let mut evidence = Self::unsealed(draft);
        evidence.fingerprint = evidence.commitments()?.fingerprint;
        Ok(evidence)
    }

    fn unsealed(draft: Draft) -> Self {
        Self {
            job: draft.job,
            submitter: draft.submitter,
            terms_hash: draft.terms_hash,
            salt: draft.salt,
            prompt_ids: draft.prompt_ids,
            output_ids: draft.output_ids,
            leaves: draft.leaves,
            seed: draft.sampling.seed,
            temperature_milli: draft.sampling.temperature_milli,
            options: draft.options,
            fingerprint: [0; 32],
        }
    }

    /// The sampler that chose the tokens.
    pub fn sampling(&self) -> Sampling {
        Sampling {
            seed: self.seed,
            temperature_milli: self.temperature_milli,
        }
    }

    /// The leaf of a position, if there is one.
    pub fn leaf(&self, position: u32) -> Option<Leaf> {
        let at = usize::try_from(position).ok()?;
        Some(Leaf {
            position,
            token: *self.output_ids.get(at)?,
            top4: *self.leaves.get(at)?,
        })
    }

    /// The hashes of all leaves, in order.
    pub fn leaf_hashes(&self) -> Vec<Hash> {
        (0u32..)
            .map_while(|p| self.leaf(p))
            .map(|leaf| leaf.hash(&self.job, &self.submitter))
            .collect()
    }

    /// Recomputes everything: each leaf's order and, where they replay it, its token by the seeded sampler, the trees,
    /// and the fingerprint, which must be the one that the evidence names.
    pub fn verify(&self) -> Result<Digests, EvidenceError> {
        let digests = self.digests()?;
        if digests.fingerprint != self.fingerprint {
            return Err(EvidenceError::Fingerprint);
        }
        Ok(digests)
    }

    fn digests(&self) -> Result<Digests, EvidenceError> {
        let sampling = self.sampling();
        for leaf in (0u32..).map_while(|p| self.leaf(p)) {
            let checked = match self.options {
                None => check_leaf(&leaf, &sampling),
                Some(_) => check_unreplayed(&leaf),
            };
            checked.map_err(|fault| EvidenceError::Leaf {
                position: leaf.position,
                fault,
            })?;
        }
        self.commitments()
    }

    /// Whether this is the evidence of the result that the job at `address` holds: the one comparison of evidence with the
    /// chain. Its leaves may still break every rule; [`Self::verify`] says whether they do.
    pub fn of(&self, address: &[u8; 32], job: &Job) -> Result<Digests, Mismatch> {
        let found = self.commitments().map_err(Mismatch::Shape)?;
        let sampling = self.seed == job.terms.seed
            && self.temperature_milli == job.terms.temperature_milli.get();
        let checks = [
            (self.job == *address, Mismatch::Job),
            (self.submitter == job.validator, Mismatch::Submitter),
            (self.terms_hash == job.terms_hash, Mismatch::Terms),
            (sampling, Mismatch::Sampling),
            (
                options_fit(&job.terms, &self.salt, self.options.as_deref()),
                Mismatch::Options,
            ),
            (found.prompt_hash == job.terms.prompt_hash, Mismatch::Prompt),
            (found.count == job.output_tokens.get(), Mismatch::Count),
            (found.output_root == job.output_root, Mismatch::Output),
            (found.fingerprint == job.fingerprint, Mismatch::Fingerprint),
        ];
        match checks.into_iter().find(|(holds, _)| !holds) {
            Some((_, mismatch)) => Err(mismatch),
            None => Ok(found),
        }
    }

    /// What the evidence commits to, whatever its leaves say: they may break every rule. [`Self::verify`] is for evidence that
    /// must be good.
    pub fn commitments(&self) -> Result<Digests, EvidenceError> {
        let tokens = self.output_ids.len();
        if tokens > MAX_OUTPUT {
            return Err(EvidenceError::TooLong(tokens));
        }
        if self.leaves.len() != tokens {
            return Err(EvidenceError::Count {
                leaves: self.leaves.len(),
                tokens,
            });
        }
        let mut tree = merkle::Tree::new();
        for leaf in (0u32..).map_while(|p| self.leaf(p)) {
            tree.push(leaf.hash(&self.job, &self.submitter));
        }
        let leaf_root = tree.root().ok_or(EvidenceError::Empty)?;
        let output_root = output::output_root(&self.output_ids).ok_or(EvidenceError::Empty)?;
        let count = tree.count();
        Ok(Digests {
            prompt_hash: hash::prompt_hash(&self.salt, &self.prompt_ids),
            output_root,
            leaf_root,
            fingerprint: hash::fingerprint(&leaf_root, count, &self.terms_hash, &output_root),
            count,
        })
    }
}

/// Whether these are the options that a job's terms name: none for `seeded-top4`, whose terms name stop strings alone, and none
/// but an empty text where the terms of `seeded-full` name nothing.
pub fn options_fit(terms: &Terms, salt: &[u8; 16], options: Option<&[u8]>) -> bool {
    let full = terms.sampling_profile == SamplingProfile::SeededFull as u8;
    match options {
        None => !full,
        Some([]) => full && terms.options_hash == [0; 32],
        Some(bytes) => full && terms.options_hash == hash::options_hash(salt, bytes),
    }
}

mod hex_bytes {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer, const N: usize>(b: &[u8; N], s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&hex::encode(b))
    }

    pub fn deserialize<'de, D: Deserializer<'de>, const N: usize>(
        d: D,
    ) -> Result<[u8; N], D::Error> {
        let text = String::deserialize(d)?;
        let mut out = [0; N];
        hex::decode_to_slice(&text, &mut out)
            .map_err(|e| D::Error::custom(format!("expected {} hex digits: {e}", 2 * N)))?;
        Ok(out)
    }
}

mod base58 {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(b: &[u8; 32], s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&bs58::encode(b).into_string())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(d)?;
        let mut out = [0; 32];
        match (text.len() <= 44).then(|| bs58::decode(&text).onto(&mut out)) {
            Some(Ok(32)) => Ok(out),
            _ => Err(D::Error::custom("expected a base58 address of 32 bytes")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytemuck::Zeroable;

    fn draft(n: u32) -> Draft {
        let sampling = Sampling {
            seed: [7; 32],
            temperature_milli: 800,
        };
        let leaves: Vec<Top4> = (0..n as i32)
            .map(|p| [(9, 900 + p), (5, 500), (700, 400), (3, -200_000)])
            .collect();
        Draft {
            job: [1; 32],
            submitter: [2; 32],
            terms_hash: [3; 32],
            salt: [4; 16],
            prompt_ids: vec![1, 2, 3],
            output_ids: (0u32..)
                .zip(&leaves)
                .map(|(p, four)| sampling.choose(p, four))
                .collect(),
            leaves,
            sampling,
            options: None,
        }
    }

    #[test]
    fn evidence_of_an_answer_by_options_shows_them_and_need_not_replay() {
        let mut draft = draft(20);
        draft.options = Some(vec![1, 2, 3]);
        draft.output_ids[4] = 77;
        let evidence = Evidence::seal(draft).unwrap();
        let json = serde_json::to_string(&evidence).unwrap();
        assert!(json.contains(r#""options":"AQID""#), "{json}");
        let back: Evidence = serde_json::from_str(&json).unwrap();
        assert_eq!(back, evidence);
        back.verify().unwrap();
        let mut terms = Job::zeroed().terms;
        let fits = |terms: &Terms, options: Option<&[u8]>| options_fit(terms, &[4; 16], options);
        assert!(fits(&terms, None) && !fits(&terms, Some(&[])));
        terms.sampling_profile = SamplingProfile::SeededFull as u8;
        assert!(fits(&terms, Some(&[])) && !fits(&terms, None));
        assert!(!fits(&terms, Some(&[1, 2, 3])));
        terms.options_hash = hash::options_hash(&[4; 16], &[1, 2, 3]);
        assert!(fits(&terms, Some(&[1, 2, 3])) && !fits(&terms, Some(&[])));
        assert!(!fits(&terms, Some(&[1, 2, 4])));
    }

    #[test]
    fn evidence_survives_json_and_verifies() {
        let evidence = Evidence::seal(draft(300)).unwrap();
        let json = serde_json::to_string(&evidence).unwrap();
        let back: Evidence = serde_json::from_str(&json).unwrap();
        assert_eq!(back, evidence);
        let digests = back.verify().unwrap();
        assert_eq!(digests.count, 300);
        assert_eq!(digests.prompt_hash, hash::prompt_hash(&[4; 16], &[1, 2, 3]));
        assert_eq!(merkle::root(&back.leaf_hashes()), Some(digests.leaf_root));
    }

    #[test]
    fn whatever_is_altered_is_noticed() {
        let good = Evidence::seal(draft(20)).unwrap();
        let broken = |change: &dyn Fn(&mut Evidence)| {
            let mut e = good.clone();
            change(&mut e);
            e.verify().unwrap_err()
        };
        assert_eq!(broken(&|e| e.job[0] ^= 1), EvidenceError::Fingerprint);
        assert_eq!(broken(&|e| e.submitter[0] ^= 1), EvidenceError::Fingerprint);
        assert_eq!(
            broken(&|e| e.terms_hash[0] ^= 1),
            EvidenceError::Fingerprint
        );
        assert_eq!(
            broken(&|e| e.fingerprint[0] ^= 1),
            EvidenceError::Fingerprint
        );
        assert!(matches!(
            broken(&|e| e.output_ids[4] = 4),
            EvidenceError::Leaf {
                position: 4,
                fault: LeafFault::NotTheChoice
            }
        ));
        assert!(matches!(
            broken(&|e| e.leaves[0][1].0 = 9),
            EvidenceError::Leaf {
                position: 0,
                fault: LeafFault::RepeatedId
            }
        ));
        assert!(matches!(
            broken(&|e| e.leaves[2].swap(0, 1)),
            EvidenceError::Leaf {
                position: 2,
                fault: LeafFault::NotOrdered
            }
        ));
        assert!(matches!(
            broken(&|e| {
                e.leaves.pop();
            }),
            EvidenceError::Count {
                leaves: 19,
                tokens: 20
            }
        ));
        assert_eq!(Evidence::seal(draft(0)).unwrap_err(), EvidenceError::Empty);
    }

    #[test]
    fn evidence_is_that_of_the_result_on_chain_or_of_none() {
        let good = Evidence::seal(draft(20)).unwrap();
        let found = good.commitments().unwrap();
        let mut job = Job::zeroed();
        job.validator = good.submitter;
        job.terms_hash = good.terms_hash;
        job.terms.seed = good.seed;
        job.terms.temperature_milli.set(good.temperature_milli);
        job.terms.prompt_hash = found.prompt_hash;
        job.output_tokens.set(found.count);
        job.output_root = found.output_root;
        job.fingerprint = found.fingerprint;
        assert_eq!(good.of(&[1; 32], &job), Ok(found));
        assert_eq!(good.of(&[2; 32], &job), Err(Mismatch::Job));
        let other = |change: &dyn Fn(&mut Job)| {
            let mut job = job;
            change(&mut job);
            good.of(&[1; 32], &job).unwrap_err()
        };
        assert_eq!(other(&|j| j.validator[0] ^= 1), Mismatch::Submitter);
        assert_eq!(other(&|j| j.terms_hash[0] ^= 1), Mismatch::Terms);
        assert_eq!(other(&|j| j.terms.seed[0] ^= 1), Mismatch::Sampling);
        assert_eq!(
            other(&|j| j.terms.temperature_milli.set(0)),
            Mismatch::Sampling
        );
        assert_eq!(other(&|j| j.terms.prompt_hash[0] ^= 1), Mismatch::Prompt);
        assert_eq!(other(&|j| j.output_tokens.set(19)), Mismatch::Count);
        assert_eq!(other(&|j| j.output_root[0] ^= 1), Mismatch::Output);
        assert_eq!(other(&|j| j.fingerprint[0] ^= 1), Mismatch::Fingerprint);
        let mut said = good.clone();
        said.leaves.pop();
        assert!(matches!(said.of(&[1; 32], &job), Err(Mismatch::Shape(_))));
    }

    #[test]
    fn json_of_the_wrong_length_is_refused() {
        let json = serde_json::to_value(Evidence::seal(draft(1)).unwrap()).unwrap();
        for (key, value) in [("job", "1"), ("salt", "00"), ("seed", "xyz")] {
            let mut json = json.clone();
            json[key] = value.into();
            assert!(serde_json::from_value::<Evidence>(json).is_err(), "{key}");
        }
    }
}
