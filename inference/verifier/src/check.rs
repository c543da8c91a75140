//! What an answer's evidence shows: whether it is what the chain holds, whether it keeps the rules that need no model, and how
//! its logits compare with a checker's own. Pure.

use mythic_interface::{
    comparison::{Comparison, Rule, Values, Verdict, error_ppm},
    hash::Hash,
    le::U32,
    leaf::{Leaf, LeafFault},
    merkle,
    sampler::{Sampling, Top4},
    state::{Case, FinishReason, Job, KernelProfile, ModelSpec},
};

use crate::question::Own;
use mythic_wire::evidence::Evidence;

/// A result on chain, and the model that it claims to be of.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The job as read.
    pub state: &'a Job,
    /// Its model's immutable part.
    pub spec: &'a ModelSpec,
}

/// A rule that every result must keep, whatever its model computes; a broken one is proved with one leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// An id stands twice among the four.
    #[error("an id stands twice among the four largest logits")]
    RepeatedId,
    /// The four are out of order.
    #[error("the four largest logits are out of order")]
    NotOrdered,
    /// The sampler's replay chooses another token.
    #[error("the token is not the one that the seeded sampler chooses")]
    NotTheChoice,
    /// An end-of-sequence id before the end.
    #[error("an end-of-sequence id stands before the end")]
    EndInside,
    /// It says it ended by itself, and has no end-of-sequence id.
    #[error(
        "the result says that the model ended it, and its last token is not an end-of-sequence id"
    )]
    NoEnd,
}

impl From<LeafFault> for Fault {
    fn from(fault: LeafFault) -> Self {
        match fault {
            LeafFault::RepeatedId => Self::RepeatedId,
            LeafFault::NotOrdered => Self::NotOrdered,
            LeafFault::NotTheChoice => Self::NotTheChoice,
        }
    }
}

/// How a model's answers are judged; `None` where there is no jury.
pub fn rule(spec: &ModelSpec) -> Option<Rule> {
    let profile = u8::try_from(spec.kernel_profile.get())
        .ok()
        .and_then(KernelProfile::from_u8);
    let exact = profile.is_some_and(KernelProfile::is_exact);
    Rule::of(exact, spec.error_ppm.get(), spec.miss_ppm.get())
}

/// The sampler of a job, from its terms: what the evidence says of it does not count.
pub fn sampling(state: &Job) -> Sampling {
    Sampling {
        seed: state.terms.seed,
        temperature_milli: state.terms.temperature_milli.get(),
    }
}

/// Puts seed and temperature of the terms in the place of what the evidence says: neither is committed to, and a maker can't
/// make its evidence worthless by misstating them.
pub fn sample_by_terms(evidence: &mut Evidence, state: &Job) {
    let sampling = sampling(state);
    evidence.seed = sampling.seed;
    evidence.temperature_milli = sampling.temperature_milli;
}

/// What is wrong with a leaf by itself, if something is: no case takes it as an answer, and a proof shows it. `eos` are the model's
/// end-of-sequence ids.
pub fn leaf_fault(state: &Job, eos: &[U32], leaf: &Leaf) -> Option<Fault> {
    if let Err(fault) = state.terms.check_leaf(leaf) {
        return Some(fault.into());
    }
    let last = leaf.position.saturating_add(1) >= state.output_tokens.get();
    end_fault(eos, leaf.token, last, state.finish_reason)
}

/// The same of a token alone, that is the last of an answer which ended so, or not the last.
pub fn end_fault(eos: &[U32], token: u32, last: bool, finish_reason: u8) -> Option<Fault> {
    let ends = eos.iter().any(|id| id.get() == token);
    match last {
        false => ends.then_some(Fault::EndInside),
        true => (!ends && finish_reason == FinishReason::Eos as u8).then_some(Fault::NoEnd),
    }
}

/// What is wrong with a position by itself, if something is.
pub fn fault_at(subject: &Subject<'_>, evidence: &Evidence, position: u32) -> Option<Fault> {
    leaf_fault(subject.state, subject.spec.eos(), &evidence.leaf(position)?)
}

/// The first position that breaks a rule.
pub fn first_fault(subject: &Subject<'_>, evidence: &Evidence) -> Option<(u32, Fault)> {
    (0..subject.state.output_tokens.get())
        .find_map(|position| Some((position, fault_at(subject, evidence, position)?)))
}

/// The path of a leaf in the fingerprint's tree.
pub fn path(evidence: &Evidence, position: u32) -> Option<Vec<Hash>> {
    let leaves = evidence.leaf_hashes();
    let proof = merkle::prove(&leaves, usize::try_from(position).ok()?)?;
    Some(proof.siblings().to_vec())
}

/// One position of an answer beside a checker's own values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Index in the output.
    pub position: u32,
    pub token: u32,
    /// What was committed to.
    pub given: Top4,
    /// The checker's own logits at those ids, and its own fourth-largest.
    pub own: Values,
    /// Largest relative error of the four, parts per million.
    pub error_ppm: u32,
    /// Whether anything differs. Exact profile: any id, logit or token, which is fraud; else any of the logits at the claimed ids.
    pub differs: bool,
    /// Whether the chain's sample holds it.
    pub sampled: bool,
    /// A rule that it breaks by itself.
    pub fault: Option<Fault>,
}

/// What a check came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Everything is as the model computes it.
    Honest,
    /// What was looked at is: some layers, and the logits of some positions.
    Audited,
    /// A rule is broken that needs no model: one leaf proves it.
    Fault {
        /// Where.
        position: u32,
        /// Which.
        fault: Fault,
    },
    /// The logits are not the model's.
    Fraud {
        /// The rules that are broken.
        verdict: Verdict,
        /// Where something differs, ascending.
        differing: Vec<u32>,
    },
    /// The evidence is not shown, or is not the result's.
    Withheld {
        /// What was found instead.
        reason: String,
    },
    /// The check could not be made.
    Unknown {
        /// Why.
        reason: String,
    },
}

impl Finding {
    /// One word for it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Honest => "honest",
            Self::Audited => "audited",
            Self::Fault { .. } => "fault",
            Self::Fraud { .. } => "fraud",
            Self::Withheld { .. } => "withheld",
            Self::Unknown { .. } => "unknown",
        }
    }

    /// Whether the result is shown to be false.
    pub fn is_false(&self) -> bool {
        matches!(self, Self::Fault { .. } | Self::Fraud { .. })
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Honest => f.write_str("honest: every position is what the model computes"),
            Self::Audited => f.write_str("audited: what was drawn is what the model computes"),
            Self::Fault { position, fault } => write!(f, "false: position {position}: {fault}"),
            Self::Fraud { verdict, differing } => {
                let rules = [
                    (verdict.different, "values differ"),
                    (verdict.mean, "the mean error is too large (R1)"),
                    (verdict.large, "too many positions have a large error (R2)"),
                    (verdict.omitted, "larger logits are left out (R3)"),
                ];
                let broken: Vec<&str> = rules
                    .iter()
                    .filter(|(broken, _)| *broken)
                    .map(|(_, name)| *name)
                    .collect();
                write!(
                    f,
                    "false: {}; {} positions differ",
                    broken.join(", "),
                    differing.len()
                )
            }
            Self::Withheld { reason } => write!(f, "withheld: {reason}"),
            Self::Unknown { reason } => write!(f, "cannot say: {reason}"),
        }
    }
}

/// Compares authenticated evidence with what a checker computed, position by position. `sample` is what the chain draws, `None` while
/// it is not known: in a calibrated profile nothing can be said before.
pub fn compare(
    subject: &Subject<'_>,
    evidence: &Evidence,
    computed: &[Own],
    sample: Option<&[u32]>,
) -> (Vec<Position>, Finding) {
    let count = subject.state.output_tokens.get();
    if computed.len() != count as usize || evidence.leaves.len() != computed.len() {
        let reason = format!(
            "{} positions were computed of an answer of {count}",
            computed.len()
        );
        return (Vec::new(), Finding::Unknown { reason });
    }
    let exact = rule(subject.spec) == Some(Rule::Exact);
    let replay = subject.state.terms.replay();
    let positions: Vec<Position> = (0u32..)
        .zip(computed.iter().zip(&evidence.leaves))
        .zip(&evidence.output_ids)
        .map(|((position, (computed, given)), token)| {
            let own = &computed.values;
            let logits = given.map(|(_, logit)| logit);
            let errors = logits.iter().zip(own).map(|(x, y)| error_ppm(*x, *y));
            let differs = match exact {
                // Where nobody asked for the choice, the logits alone are compared.
                true => match computed.leaf(position, replay.as_ref()) {
                    Some(leaf) => *given != leaf.top4 || *token != leaf.token,
                    None => *given != computed.four,
                },
                false => logits[..] != own[..4] || logits[3] != own[4],
            };
            Position {
                position,
                token: *token,
                given: *given,
                own: *own,
                error_ppm: errors.max().unwrap_or(0),
                differs,
                sampled: sample.is_some_and(|sample| sample.contains(&position)),
                fault: fault_at(subject, evidence, position),
            }
        })
        .collect();
    let finding = find(subject, &positions, sample.is_some());
    (positions, finding)
}

fn find(subject: &Subject<'_>, positions: &[Position], drawn: bool) -> Finding {
    if let Some((position, fault)) = positions
        .iter()
        .find_map(|p| p.fault.map(|fault| (p.position, fault)))
    {
        return Finding::Fault { position, fault };
    }
    let Some(rule) = rule(subject.spec) else {
        let reason =
            "the model's arithmetic is not exact and it has no thresholds, so no rule compares it";
        return Finding::Unknown {
            reason: reason.into(),
        };
    };
    if rule != Rule::Exact && !drawn {
        let reason = "the model's profile is judged at the positions that the chain draws, and those are not known";
        return Finding::Unknown {
            reason: reason.into(),
        };
    }
    let verdict = match rule {
        Rule::Exact => Verdict {
            different: positions.iter().any(|p| p.differs),
            ..Verdict::default()
        },
        Rule::Calibrated { .. } => {
            let mut comparison = Comparison::new(rule);
            for p in positions.iter().filter(|p| p.sampled) {
                comparison.submitted(&p.given.map(|(_, logit)| logit), &p.own);
            }
            comparison.verdict()
        }
    };
    match verdict.is_fraud() {
        false => Finding::Honest,
        true => Finding::Fraud {
            verdict,
            differing: positions
                .iter()
                .filter(|p| p.differs)
                .map(|p| p.position)
                .collect(),
        },
    }
}

/// What can be said of an answer by its posted output and the leaves that its case shows, to a checker that has the prompt and
/// no more: who hides the evidence and answers when it is asked is found out all the same. In an exact profile every token of the
/// output is compared, else the sample alone.
pub fn compare_shown(state: &Job, case: &Case, output: &[u32], computed: &[Own]) -> Finding {
    let replay = state.terms.replay();
    let unknown = |reason: &str| Finding::Unknown {
        reason: reason.into(),
    };
    let Some(rule) = case.rule() else {
        return unknown("the model has no rule by which a jury could judge");
    };
    if computed.len() != output.len() || case.sample().iter().any(|leaf| leaf.present == 0) {
        return unknown("not everything is shown");
    }
    let at = |position: u32| computed.get(position as usize);
    let mut comparison = Comparison::new(rule);
    let mut differing = Vec::new();
    for leaf in case.sample() {
        let position = leaf.position.get();
        let Some(own) = at(position) else {
            return unknown("not everything was computed");
        };
        comparison.submitted(&leaf.given(), &own.values);
        if rule == Rule::Exact {
            let Some(own) = own.leaf(position, replay.as_ref()) else {
                return unknown("not everything was computed");
            };
            if leaf.leaf() != own {
                differing.push(position);
            }
        }
    }
    let verdict = match rule {
        Rule::Exact => {
            let tokens = (0u32..).zip(output.iter().zip(computed));
            let other = tokens.filter(|(p, (token, own))| {
                let own = own.leaf(*p, replay.as_ref());
                own.is_some_and(|own| own.token != **token)
            });
            differing.extend(other.map(|(position, _)| position));
            differing.sort_unstable();
            differing.dedup();
            Verdict {
                different: !differing.is_empty(),
                ..Verdict::default()
            }
        }
        Rule::Calibrated { .. } => comparison.verdict(),
    };
    match verdict.is_fraud() {
        true => Finding::Fraud { verdict, differing },
        false => Finding::Honest,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use bytemuck::Zeroable;
    use mythic_interface::{hash, le::U16, params::Params, state::SamplingProfile};
    use mythic_wire::evidence::{EvidenceError, Mismatch};

    pub const JOB: [u8; 32] = [1; 32];
    pub const EOS: u32 = 2;

    /// An honest answer of `n` tokens, the job that commits to it and its model.
    pub fn case(n: u32) -> (Job, ModelSpec, Evidence) {
        let mut job = Job::zeroed();
        job.terms.rules = Params::dev().rules;
        job.terms.seed = [7; 32];
        job.terms.temperature_milli.set(700);
        job.terms.sampling_profile = SamplingProfile::SeededTop4 as u8;
        job.terms.prompt_hash = hash::prompt_hash(&[4; 16], &[5, 6]);
        job.terms_hash = [3; 32];
        job.validator = [9; 32];
        job.finish_reason = FinishReason::Length as u8;
        let mut spec = ModelSpec::zeroed();
        spec.kernel_profile = U16::new(KernelProfile::CpuWA8 as u16);
        spec.eos_count = 1;
        spec.eos_ids[0] = U32::new(EOS);
        let leaves: Vec<Top4> = (0..n)
            .map(|p| {
                let base = 100 + 4 * p;
                [
                    (base, 400_000),
                    (base + 1, 300_000),
                    (base + 2, 200_000),
                    (base + 3, 100_000),
                ]
            })
            .collect();
        let sampling = sampling(&job);
        let mut evidence = Evidence {
            job: JOB,
            submitter: job.validator,
            terms_hash: job.terms_hash,
            salt: [4; 16],
            prompt_ids: vec![5, 6],
            output_ids: (0u32..)
                .zip(&leaves)
                .map(|(p, four)| sampling.choose(p, four))
                .collect(),
            leaves,
            seed: [7; 32],
            temperature_milli: 700,
            options: None,
            fingerprint: [0; 32],
        };
        commit(&mut job, &mut evidence);
        (job, spec, evidence)
    }

    /// Makes the job commit to the evidence, whatever is in it.
    pub fn commit(job: &mut Job, evidence: &mut Evidence) {
        let found = evidence.commitments().unwrap();
        evidence.fingerprint = found.fingerprint;
        job.fingerprint = found.fingerprint;
        job.output_root = found.output_root;
        job.output_tokens.set(found.count);
    }

    /// What an honest checker computes.
    pub fn own(evidence: &Evidence) -> Vec<Own> {
        let computed = evidence.leaves.iter().map(|four| Own {
            values: [four[0].1, four[1].1, four[2].1, four[3].1, four[3].1],
            four: *four,
            fifth: (99, 50_000),
            choice: None,
        });
        computed.collect()
    }

    fn judge(job: &Job, spec: &ModelSpec, evidence: &Evidence, values: &[Own]) -> Finding {
        let subject = Subject { state: job, spec };
        let mut evidence = evidence.clone();
        sample_by_terms(&mut evidence, job);
        assert!(evidence.of(&JOB, job).is_ok());
        let evidence = &evidence;
        compare(&subject, evidence, values, None).1
    }

    #[test]
    fn an_honest_answer_is_found_honest() {
        let (job, spec, evidence) = case(40);
        assert_eq!(
            judge(&job, &spec, &evidence, &own(&evidence)),
            Finding::Honest
        );
    }

    #[test]
    fn an_answer_by_options_is_compared_with_what_they_choose() {
        let (mut job, spec, mut evidence) = case(40);
        job.terms.sampling_profile = SamplingProfile::SeededFull as u8;
        evidence.options = Some(Vec::new());
        // No token of the leaf's four, and no fault by itself.
        evidence.output_ids[7] = 77;
        commit(&mut job, &mut evidence);
        let mut own = own(&evidence);
        for (own, token) in own.iter_mut().zip(&evidence.output_ids) {
            own.choice = Some(*token);
        }
        assert_eq!(judge(&job, &spec, &evidence, &own), Finding::Honest);
        own[9].choice = Some(5);
        let found = judge(&job, &spec, &evidence, &own);
        assert!(matches!(found, Finding::Fraud { differing, .. } if differing == [9]));
        // Behind an end, and outside of the grammar, no token may stand.
        own[9].choice = Some(u32::MAX);
        assert!(judge(&job, &spec, &evidence, &own).is_false());
    }

    #[test]
    fn evidence_of_something_else_is_withholding() {
        let (job, _, good) = case(20);
        let broken = |change: &dyn Fn(&mut Evidence)| {
            let mut evidence = good.clone();
            change(&mut evidence);
            evidence.of(&JOB, &job).unwrap_err()
        };
        assert_eq!(broken(&|e| e.job[0] ^= 1), Mismatch::Job);
        assert_eq!(broken(&|e| e.submitter[0] ^= 1), Mismatch::Submitter);
        assert_eq!(broken(&|e| e.terms_hash[0] ^= 1), Mismatch::Terms);
        assert_eq!(broken(&|e| e.prompt_ids[0] ^= 1), Mismatch::Prompt);
        assert_eq!(broken(&|e| e.salt[0] ^= 1), Mismatch::Prompt);
        assert_eq!(broken(&|e| e.output_ids[3] ^= 1), Mismatch::Output);
        assert_eq!(broken(&|e| e.leaves[3][0].1 += 1), Mismatch::Fingerprint);
        assert_eq!(
            broken(&|e| {
                e.leaves.pop();
            }),
            Mismatch::Shape(EvidenceError::Count {
                leaves: 19,
                tokens: 20
            })
        );
        // What it says of sampler and fingerprint is not believed, and so does not matter.
        let mut evidence = good.clone();
        (evidence.seed, evidence.fingerprint) = ([0; 32], [0; 32]);
        assert_eq!(evidence.of(&JOB, &job), Err(Mismatch::Sampling));
        sample_by_terms(&mut evidence, &job);
        assert!(evidence.of(&JOB, &job).is_ok());
    }

    #[test]
    fn rules_that_need_no_model_are_faults() {
        let fault = |change: &dyn Fn(&mut Job, &mut Evidence)| {
            let (mut job, spec, mut evidence) = case(20);
            change(&mut job, &mut evidence);
            commit(&mut job, &mut evidence);
            let subject = Subject {
                state: &job,
                spec: &spec,
            };
            let first = first_fault(&subject, &evidence);
            let finding = judge(&job, &spec, &evidence, &own(&evidence));
            let expected = first.map(|(position, fault)| Finding::Fault { position, fault });
            assert_eq!(Some(finding), expected);
            first
        };
        assert_eq!(
            fault(&|_, e| e.leaves[4][1].0 = e.leaves[4][0].0),
            Some((4, Fault::RepeatedId))
        );
        assert_eq!(
            fault(&|_, e| e.leaves[5].swap(0, 1)),
            Some((5, Fault::NotOrdered))
        );
        assert_eq!(
            fault(&|_, e| e.output_ids[6] = 9_999),
            Some((6, Fault::NotTheChoice))
        );
        // Another seed than the job's: the tokens are choices, but not of this job.
        let other = fault(&|j, _| j.terms.seed = [8; 32]);
        assert!(matches!(other, Some((_, Fault::NotTheChoice))));
        let end = |e: &mut Evidence, at: usize| {
            e.leaves[at] = [(EOS, 900_000), (7, 3), (8, 2), (9, 1)];
            e.output_ids[at] = EOS;
        };
        assert_eq!(fault(&|_, e| end(e, 7)), Some((7, Fault::EndInside)));
        assert_eq!(
            fault(&|j, _| j.finish_reason = FinishReason::Eos as u8),
            Some((19, Fault::NoEnd))
        );
        let (mut job, spec, mut evidence) = case(20);
        job.finish_reason = FinishReason::Eos as u8;
        end(&mut evidence, 19);
        commit(&mut job, &mut evidence);
        assert_eq!(
            judge(&job, &spec, &evidence, &own(&evidence)),
            Finding::Honest
        );
    }

    #[test]
    fn one_bit_anywhere_is_fraud_in_an_exact_profile() {
        let (job, spec, evidence) = case(40);
        let mut changes: Vec<Vec<Own>> = Vec::new();
        for entry in 0..4 {
            let mut logit = own(&evidence);
            logit[33].four[entry].1 += 1;
            let mut id = own(&evidence);
            id[33].four[entry].0 += 7_000;
            changes.extend([logit, id]);
        }
        for computed in changes {
            let Finding::Fraud { verdict, differing } = judge(&job, &spec, &evidence, &computed)
            else {
                panic!("{:?}", computed[33]);
            };
            assert!(verdict.different);
            assert_eq!(differing, [33]);
        }
        // Of what no leaf shows nothing follows for the answer.
        let mut computed = own(&evidence);
        computed[33].fifth.1 += 1;
        assert_eq!(judge(&job, &spec, &evidence, &computed), Finding::Honest);
    }

    #[test]
    fn with_the_prompt_alone_the_sample_and_every_token_are_compared() {
        let (job, _, evidence) = case(40);
        let mut shown = Case::zeroed();
        (shown.exact, shown.sampled) = (1, 2);
        for (leaf, position) in shown.leaves.iter_mut().zip([3, 8]) {
            leaf.show(&evidence.leaf(position).unwrap());
        }
        let computed = own(&evidence);
        let found = |shown: &Case, computed: &[Own]| {
            let finding = compare_shown(&job, shown, &evidence.output_ids, computed);
            match finding {
                Finding::Fraud { differing, .. } => differing,
                Finding::Honest => Vec::new(),
                other => panic!("{other}"),
            }
        };
        assert_eq!(found(&shown, &computed), [0u32; 0]);
        let mut logit = computed.clone();
        (logit[3].four[0].1, logit[5].four[3].1) = (1, 2);
        assert_eq!(found(&shown, &logit), [3], "the other one is not shown");
        let mut token = computed.clone();
        token[20].four = [(7, 9), (6, 3), (5, 2), (4, 1)];
        assert_eq!(found(&shown, &token), [20]);
        shown.leaves[1].present = 0;
        let finding = compare_shown(&job, &shown, &evidence.output_ids, &token);
        assert!(matches!(finding, Finding::Unknown { .. }));
    }

    #[test]
    fn a_calibrated_profile_is_judged_at_the_sample() {
        let (job, mut spec, evidence) = case(40);
        spec.kernel_profile.set(KernelProfile::CpuCandle as u16);
        let mut values = own(&evidence);
        assert!(matches!(
            judge(&job, &spec, &evidence, &values),
            Finding::Unknown { .. }
        ));
        spec.error_ppm.set(5_000);
        spec.miss_ppm.set(100_000);
        assert!(matches!(
            judge(&job, &spec, &evidence, &values),
            Finding::Unknown { .. }
        ));
        for own in &mut values[..16] {
            own.values[0] *= 2;
        }
        let subject = Subject {
            state: &job,
            spec: &spec,
        };
        let low: Vec<u32> = (0..16).collect();
        let high: Vec<u32> = (20..36).collect();
        assert!(
            compare(&subject, &evidence, &values, Some(&low))
                .1
                .is_false()
        );
        let (positions, finding) = compare(&subject, &evidence, &values, Some(&high));
        assert_eq!(finding, Finding::Honest);
        assert!(positions[20].sampled && !positions[0].sampled && positions[0].differs);
        assert_eq!(positions[0].error_ppm, 500_000);
    }

    #[test]
    fn a_leafs_path_leads_to_the_fingerprint() {
        let (job, _, evidence) = case(21);
        for position in [0, 7, 20] {
            let leaf = evidence.leaf(position).unwrap();
            let root = merkle::root_from_path(
                leaf.hash(&JOB, &job.validator),
                position,
                21,
                &path(&evidence, position).unwrap(),
            );
            let found = hash::fingerprint(&root.unwrap(), 21, &job.terms_hash, &job.output_root);
            assert_eq!(found, job.fingerprint);
        }
    }
}
