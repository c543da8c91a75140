//! What an engine is asked about an answer, what its reply stands for, and the vote that a juror makes of it.
//!
//! An answer from a stranger may hold what no model can read: ids outside the vocabulary, more positions than the context has.
//! Every checker gives the same values for those, so that a jury agrees about them: a logit of an id that does not exist, and
//! every value at a position behind something unreadable, is the least there is.

use mythic_interface::{
    choice::own_leaf,
    comparison::{VALUES_LEN, Values},
    dispute::{exact_digest, work_digest},
    hash::{Hash, sha256},
    leaf::{Leaf, NO_TOKEN},
    sampler::{Sampling, Top4},
    state::{Case, OpenedLeaf},
};

/// The value of what has no logit.
pub const NO_LOGIT: i32 = i32::MIN;
/// The id of what has none.
const NO_ID: u32 = u32::MAX;

/// What an engine replies for one position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Its four largest logits, Q16.16.
    pub four: Top4,
    /// Its fifth-largest.
    pub fifth: (u32, i32),
    /// Its logits at the four ids that were asked for, Q16.16.
    pub at_claimed: [i32; 4],
    /// Under sampling options: the token that must stand there, [`NO_TOKEN`] where none may; `None` if that was not asked.
    pub choice: Option<u32>,
}

/// What a checker computed at one position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Own {
    /// Its logits at the submitter's four ids, and its own fourth-largest: what a calibrated profile compares.
    pub values: Values,
    /// Its four largest: what an exact profile compares.
    pub four: Top4,
    /// Its fifth-largest: what shows that it was computed.
    pub fifth: (u32, i32),
    /// As [`Reply::choice`].
    pub choice: Option<u32>,
}

impl Own {
    /// Of a position that can't be computed.
    const NOTHING: Self = Self {
        values: [NO_LOGIT; 5],
        four: [(NO_ID, NO_LOGIT); 4],
        fifth: (NO_ID, NO_LOGIT),
        choice: None,
    };

    /// The leaf that an honest answer has here: the four largest, and the token that must stand there. `replay` is the sampler that
    /// the four replay, if they do; else the token is the one that was chosen by the options, `None` if nobody asked for it.
    pub fn leaf(&self, position: u32, replay: Option<&Sampling>) -> Option<Leaf> {
        let token = match (*self == Self::NOTHING, replay) {
            (true, _) => None,
            (false, Some(sampling)) => Some(sampling.choose(position, &self.four)),
            (false, None) => Some(self.choice?).filter(|token| *token != NO_TOKEN),
        };
        Some(own_leaf(position, self.four, token))
    }
}

/// Whether a pass tells all that is wanted of an answer by options at these positions: an earlier one may have asked for less.
pub fn tells(own: &[Own], wanted: &[u32]) -> bool {
    wanted.iter().all(|position| {
        let own = own.get(*position as usize);
        own.is_some_and(|own| own.leaf(*position, None).is_some())
    })
}

/// A question to an engine: readable ids only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub prompt: Vec<u32>,
    /// The answer as far as its positions can be computed.
    pub output: Vec<u32>,
    /// The ids whose logits are wanted at each of these positions; 0 stands for one that does not exist.
    pub claimed: Vec<[u32; 4]>,
    /// Under sampling options, as [`mythic_wire::Evidence::options`]: what must stand at each position is wanted too.
    pub options: Option<Vec<u8>>,
    /// The positions at which a case checks it in any case.
    pub checked: Vec<u32>,
    foreign: Vec<[bool; 4]>,
    positions: usize,
}

impl Question {
    /// Asks for the logits at `claimed`, one entry a position of `output`.
    pub fn new(
        prompt: &[u32],
        output: &[u32],
        claimed: &[[u32; 4]],
        vocabulary: usize,
        context: usize,
    ) -> Self {
        let known = |id: &u32| (*id as usize) < vocabulary;
        let positions = output.len().min(claimed.len());
        let mut readable = 0;
        if !prompt.is_empty() && prompt.iter().all(known) {
            // The token of a position is read by the next one.
            let before = output.iter().position(|id| !known(id));
            readable = before
                .map_or(positions, |at| at + 1)
                .min(positions)
                .min(context.saturating_sub(prompt.len()));
        }
        let claimed = &claimed[..readable];
        Self {
            prompt: prompt.to_vec(),
            output: output[..readable]
                .iter()
                .map(|id| if known(id) { *id } else { 0 })
                .collect(),
            claimed: claimed
                .iter()
                .map(|ids| ids.map(|id| if known(&id) { id } else { 0 }))
                .collect(),
            options: None,
            checked: Vec::new(),
            foreign: claimed
                .iter()
                .map(|ids| ids.map(|id| !known(&id)))
                .collect(),
            positions,
        }
    }

    /// The same, where the terms name sampling options, and with the positions that a case checks.
    pub fn by_options(mut self, options: Option<&[u8]>, case: Option<&Case>) -> Self {
        self.options = options.map(<[u8]>::to_vec);
        self.checked = case.map_or_else(Vec::new, Case::checked_positions);
        self
    }

    /// Whether an engine has anything to compute.
    pub fn is_empty(&self) -> bool {
        self.output.is_empty()
    }

    /// What was computed at every position, from the engine's reply; `None` if it is not of this question.
    pub fn answered(&self, replies: &[Reply]) -> Option<Vec<Own>> {
        if replies.len() != self.output.len() {
            return None;
        }
        let mut all: Vec<Own> = replies
            .iter()
            .zip(&self.foreign)
            .map(|(own, foreign)| {
                let mut values = [own.four[3].1; 5];
                for ((out, logit), foreign) in values.iter_mut().zip(own.at_claimed).zip(foreign) {
                    *out = if *foreign { NO_LOGIT } else { logit };
                }
                Own {
                    values,
                    four: own.four,
                    fifth: own.fifth,
                    choice: own.choice,
                }
            })
            .collect();
        all.resize(self.positions, Own::NOTHING);
        Some(all)
    }
}

/// What is asked of an output that was posted, where the rest of the evidence is not to be had: everything, since others may
/// still name any position. The submitter's ids are known where its leaves were shown.
pub fn of_case(
    case: &Case,
    prompt: &[u32],
    output: &[u32],
    vocabulary: usize,
    context: usize,
) -> Question {
    let mut claimed = vec![[0; 4]; output.len()];
    for leaf in checked(case).filter(|leaf| leaf.present != 0) {
        if let Some(ids) = claimed.get_mut(leaf.position.get() as usize) {
            *ids = leaf.ids.map(|id| id.get());
        }
    }
    Question::new(prompt, output, &claimed, vocabulary, context)
}

/// The leaves that a case asks for.
pub fn checked(case: &Case) -> impl Iterator<Item = &OpenedLeaf> {
    let named = case.claims().iter().flat_map(|claim| claim.group());
    case.sample().iter().chain(named)
}

/// A juror's vote, as it is revealed: in an exact profile the digests of its work, of the sample and of each claim's positions,
/// else its values at the sample. `None` if the case checks what was not computed. `replay`: as in [`Own::leaf`].
pub fn vote(case: &Case, replay: Option<&Sampling>, own: &[Own]) -> Option<Vec<u8>> {
    let at = |position: u32| own.get(usize::try_from(position).ok()?);
    if case.exact == 0 {
        let mut body = Vec::with_capacity(case.sample().len() * VALUES_LEN);
        for leaf in case.sample() {
            let values = at(leaf.position.get())?.values;
            body.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        }
        return Some(body);
    }
    let group = |leaves: &[OpenedLeaf]| -> Option<Hash> {
        let own = leaves.iter().map(|leaf| {
            let position = leaf.position.get();
            at(position)?.leaf(position, replay)
        });
        Some(exact_digest(&own.collect::<Option<Vec<Leaf>>>()?))
    };
    let fifths = case.checked_positions().into_iter();
    let fifths: Option<Vec<(u32, i32)>> = fifths.map(|p| Some(at(p)?.fifth)).collect();
    let mut body = work_digest(&fifths?).to_vec();
    body.extend(group(case.sample())?);
    for claim in case.groups() {
        body.extend(group(claim.group())?);
    }
    Some(body)
}

/// The salt of a commitment. It follows from a secret and from what is committed to, so that a lost journal loses no seat.
pub fn salt(secret: &[u8; 32], case: &[u8; 32], vote: &[u8]) -> [u8; 32] {
    sha256(&[
        mythic_interface::hash::domain::JUROR_SALT,
        secret,
        case,
        vote,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytemuck::Zeroable;
    use mythic_interface::le::U32;

    const SAMPLING: Sampling = Sampling {
        seed: [7; 32],
        temperature_milli: 0,
    };

    fn reply(base: i32) -> Reply {
        Reply {
            four: [(1, base), (2, base - 1), (3, base - 2), (4, base - 3)],
            fifth: (5, base - 4),
            at_claimed: [base, base - 1, base - 2, base - 3],
            choice: None,
        }
    }

    fn values(own: &[Own]) -> Vec<Values> {
        own.iter().map(|own| own.values).collect()
    }

    #[test]
    fn a_readable_answer_is_asked_as_it_is() {
        let question = Question::new(&[1], &[5, 6], &[[5, 1, 2, 3], [6, 1, 2, 3]], 10, 100);
        assert_eq!(question.output, [5, 6]);
        assert_eq!(question.claimed, [[5, 1, 2, 3], [6, 1, 2, 3]]);
        let own = question.answered(&[reply(9), reply(5)]).unwrap();
        assert_eq!(values(&own), [[9, 8, 7, 6, 6], [5, 4, 3, 2, 2]]);
        assert_eq!((own[0].four, own[0].fifth), (reply(9).four, (5, 5)));
        assert_eq!(own[1].leaf(1, Some(&SAMPLING)).unwrap().token, 1);
        assert_eq!(own[1].leaf(1, None), None, "nobody asked");
        assert_eq!(question.answered(&[reply(9)]), None);
    }

    #[test]
    fn what_has_no_logit_has_the_same_value_for_everybody() {
        // The second token does not exist: its own position can be computed, the ones behind it can't.
        let claimed = [[5, 1, 2, 3], [99, 1, 2, 3], [6, 1, 2, 3]];
        let question = Question::new(&[1], &[5, 99, 6], &claimed, 10, 100);
        assert_eq!(question.output, [5, 0]);
        assert_eq!(question.claimed[1], [0, 1, 2, 3]);
        let own = question.answered(&[reply(9), reply(5)]).unwrap();
        assert_eq!(own[1].values, [NO_LOGIT, 4, 3, 2, 2]);
        assert_eq!(own[2], Own::NOTHING);
        for replay in [Some(&SAMPLING), None] {
            assert_eq!(own[2].leaf(2, replay).unwrap().token, u32::MAX);
        }
    }

    #[test]
    fn an_unreadable_prompt_or_a_full_context_leaves_nothing_to_compute() {
        let claimed = [[1, 2, 3, 4]; 3];
        for prompt in [&[][..], &[77][..]] {
            let question = Question::new(prompt, &[1, 2, 3], &claimed, 10, 100);
            assert!(question.is_empty());
            assert_eq!(question.answered(&[]).unwrap(), [Own::NOTHING; 3]);
        }
        let question = Question::new(&[1, 1], &[1, 2, 3], &claimed, 10, 4);
        assert_eq!(question.output.len(), 2);
    }

    /// A case that samples positions 2 and 0; one claim names nothing, the next one position 3.
    fn case(exact: u8) -> Case {
        let mut case = Case::zeroed();
        (case.sampled, case.exact) = (2, exact);
        for (leaf, position) in case.leaves.iter_mut().zip([2, 0]) {
            leaf.position.set(position);
            leaf.ids = [7, 8, 9, 1].map(U32::new);
            leaf.present = 1;
        }
        case.claim_count = 2;
        case.claims[1].named = 1;
        case.claims[1].leaves[0].position.set(3);
        case
    }

    fn computed() -> Vec<Own> {
        let all = (0..4).map(|p| {
            let reply = reply(1_000 * (p + 1));
            Own {
                values: [p; 5],
                four: reply.four,
                fifth: reply.fifth,
                choice: None,
            }
        });
        all.collect()
    }

    #[test]
    fn a_juror_asks_for_all_of_the_output_and_for_the_ids_that_were_shown() {
        let question = of_case(&case(1), &[1], &[4, 5, 6, 7], 10, 100);
        assert_eq!(question.output, [4, 5, 6, 7]);
        let shown = [7, 8, 9, 1];
        assert_eq!(question.claimed, [shown, [0; 4], shown, [0; 4]]);
    }

    #[test]
    fn an_exact_vote_is_what_the_program_computes_of_an_honest_answers_leaves() {
        let (mut case, own) = (case(1), computed());
        let honest = |case: &Case| -> Vec<u8> {
            let sample: Vec<Leaf> = [2, 0]
                .map(|p| own[p].leaf(p as u32, Some(&SAMPLING)).unwrap())
                .into();
            let fifths: Vec<(u32, i32)> = [0, 2, 3].map(|p: usize| own[p].fifth).into();
            let mut body = work_digest(&fifths).to_vec();
            body.extend(exact_digest(&sample));
            if case.claim_count == 2 {
                body.extend(exact_digest(&[own[3].leaf(3, Some(&SAMPLING)).unwrap()]));
            }
            body
        };
        let body = vote(&case, Some(&SAMPLING), &own).unwrap();
        assert_eq!(body, honest(&case));
        assert_eq!(body.len(), case.vote_len());
        // What nobody computed is not voted about.
        case.claims[1].leaves[0].position.set(4);
        assert_eq!(vote(&case, Some(&SAMPLING), &own), None);
    }

    #[test]
    fn a_vote_about_an_answer_by_options_holds_what_was_chosen_by_them() {
        let (case, mut own) = (case(1), computed());
        assert_eq!(
            vote(&case, None, &own),
            None,
            "nobody asked what was chosen"
        );
        for (own, choice) in own.iter_mut().zip([4, 99, NO_TOKEN, 3]) {
            own.choice = Some(choice);
        }
        assert!(tells(&own, &[0, 2, 3]) && !tells(&own, &[4]));
        let leaf = |p: usize, token| Leaf {
            position: p as u32,
            token,
            top4: own[p].four,
        };
        let body = vote(&case, None, &own).unwrap();
        let sample = exact_digest(&[leaf(2, NO_TOKEN), leaf(0, 4)]);
        let named = exact_digest(&[leaf(3, 3)]);
        assert_eq!(body[32..], [sample, named].concat());
        own[3].choice = None;
        assert!(!tells(&own, &[3]));
        assert_eq!(vote(&case, None, &own), None);
    }

    #[test]
    fn a_calibrated_vote_is_the_values_at_the_sample() {
        let (case, own) = (case(0), computed());
        let body = vote(&case, Some(&SAMPLING), &own).unwrap();
        assert_eq!(body.len(), 40);
        assert_eq!((body[0], body[20]), (2, 0));
    }

    #[test]
    fn a_salt_is_secret_and_the_same_after_a_restart() {
        let one = salt(&[1; 32], &[2; 32], b"vote");
        assert_eq!(one, salt(&[1; 32], &[2; 32], b"vote"));
        assert_ne!(one, salt(&[3; 32], &[2; 32], b"vote"));
        assert_ne!(one, salt(&[1; 32], &[3; 32], b"vote"));
        assert_ne!(one, salt(&[1; 32], &[2; 32], b"other"));
    }
}
