//! What an engine is asked about an answer, and the values that its reply stands for.
//!
//! An answer from a stranger may hold what no model can read: ids outside the vocabulary, more positions than the context has.
//! Every checker gives the same values for those, so that a jury agrees about them: a logit of an id that does not exist, and
//! every value at a position behind something unreadable, is the least there is.

use mythic_interface::{
    comparison::{VALUES_LEN, Values},
    hash::sha256,
    state::Dispute,
};

/// The value of what has no logit.
pub const NO_LOGIT: i32 = i32::MIN;

/// What an engine replies for one position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Its fourth-largest logit, Q16.16.
    pub fourth: i32,
    /// Its logits at the four ids that were asked for, Q16.16.
    pub at_claimed: [i32; 4],
}

/// A question to an engine: readable ids only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub prompt: Vec<u32>,
    /// The answer as far as its positions can be computed.
    pub output: Vec<u32>,
    /// The ids whose logits are wanted at each of these positions; 0 stands for one that does not exist.
    pub claimed: Vec<[u32; 4]>,
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
            foreign: claimed
                .iter()
                .map(|ids| ids.map(|id| !known(&id)))
                .collect(),
            positions,
        }
    }

    /// Whether an engine has anything to compute.
    pub fn is_empty(&self) -> bool {
        self.output.is_empty()
    }

    /// The values at every position, from the engine's reply; `None` if it is not of this question.
    pub fn values(&self, replies: &[Reply]) -> Option<Vec<Values>> {
        if replies.len() != self.output.len() {
            return None;
        }
        let mut values: Vec<Values> = replies
            .iter()
            .zip(&self.foreign)
            .map(|(own, foreign)| {
                let mut out = [own.fourth; 5];
                for ((out, logit), foreign) in out.iter_mut().zip(own.at_claimed).zip(foreign) {
                    *out = if *foreign { NO_LOGIT } else { logit };
                }
                out
            })
            .collect();
        values.resize(self.positions, [NO_LOGIT; 5]);
        Some(values)
    }
}

/// What a juror is asked: the leaves and the output that were posted. `None` unless everything is posted.
pub fn of_dispute(
    dispute: &Dispute,
    prompt: &[u32],
    output: &[u32],
    vocabulary: usize,
    context: usize,
) -> Option<Question> {
    let leaves = dispute.checked_leaves();
    if leaves.iter().any(|leaf| leaf.present == 0) {
        return None;
    }
    let last = leaves.iter().map(|leaf| leaf.position.get()).max()?;
    // Nothing after the last checked position is needed.
    let output = output.get(..=usize::try_from(last).ok()?)?;
    let mut claimed = vec![[0; 4]; output.len()];
    for leaf in leaves {
        *claimed.get_mut(leaf.position.get() as usize)? = leaf.ids.map(|id| id.get());
    }
    Some(Question::new(prompt, output, &claimed, vocabulary, context))
}

/// A juror's vector: the values at the checked positions, in the dispute's order, as they are revealed.
pub fn vector(dispute: &Dispute, values: &[Values]) -> Option<Vec<u8>> {
    let leaves = dispute.checked_leaves();
    let mut out = Vec::with_capacity(leaves.len() * VALUES_LEN);
    for leaf in leaves {
        let at = values.get(leaf.position.get() as usize)?;
        out.extend(at.iter().flat_map(|value| value.to_le_bytes()));
    }
    Some(out)
}

/// The salt of a commitment. It follows from a secret and from what is committed to, so that a lost journal loses no seat.
pub fn salt(secret: &[u8; 32], dispute: &[u8; 32], vector: &[u8]) -> [u8; 32] {
    sha256(&[
        mythic_interface::hash::domain::JUROR_SALT,
        secret,
        dispute,
        vector,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytemuck::Zeroable;

    fn reply(base: i32) -> Reply {
        Reply {
            fourth: base - 3,
            at_claimed: [base, base - 1, base - 2, base - 3],
        }
    }

    #[test]
    fn a_readable_answer_is_asked_as_it_is() {
        let question = Question::new(&[1], &[5, 6], &[[5, 1, 2, 3], [6, 1, 2, 3]], 10, 100);
        assert_eq!(question.output, [5, 6]);
        assert_eq!(question.claimed, [[5, 1, 2, 3], [6, 1, 2, 3]]);
        let values = question.values(&[reply(9), reply(5)]).unwrap();
        assert_eq!(values, [[9, 8, 7, 6, 6], [5, 4, 3, 2, 2]]);
        assert_eq!(question.values(&[reply(9)]), None);
    }

    #[test]
    fn what_has_no_logit_has_the_same_value_for_everybody() {
        // The second token does not exist: its own position can be computed, the ones behind it can't.
        let claimed = [[5, 1, 2, 3], [99, 1, 2, 3], [6, 1, 2, 3]];
        let question = Question::new(&[1], &[5, 99, 6], &claimed, 10, 100);
        assert_eq!(question.output, [5, 0]);
        assert_eq!(question.claimed[1], [0, 1, 2, 3]);
        let values = question.values(&[reply(9), reply(5)]).unwrap();
        assert_eq!(values[1], [NO_LOGIT, 4, 3, 2, 2]);
        assert_eq!(values[2], [NO_LOGIT; 5]);
    }

    #[test]
    fn an_unreadable_prompt_or_a_full_context_leaves_nothing_to_compute() {
        let claimed = [[1, 2, 3, 4]; 3];
        for prompt in [&[][..], &[77][..]] {
            let question = Question::new(prompt, &[1, 2, 3], &claimed, 10, 100);
            assert!(question.is_empty());
            assert_eq!(question.values(&[]).unwrap(), [[NO_LOGIT; 5]; 3]);
        }
        let question = Question::new(&[1, 1], &[1, 2, 3], &claimed, 10, 4);
        assert_eq!(question.output.len(), 2);
    }

    #[test]
    fn a_jurors_vector_follows_the_disputes_order() {
        let mut dispute = Dispute::zeroed();
        (dispute.sampled, dispute.named) = (1, 1);
        for (leaf, position) in dispute.leaves.iter_mut().zip([2, 0]) {
            leaf.position.set(position);
            leaf.ids = [7, 8, 9, 1].map(mythic_interface::le::U32::new);
        }
        assert_eq!(of_dispute(&dispute, &[1], &[4, 5, 6, 7], 10, 100), None);
        for leaf in &mut dispute.leaves {
            leaf.present = 1;
        }
        let question = of_dispute(&dispute, &[1], &[4, 5, 6, 7], 10, 100).unwrap();
        assert_eq!(
            question.output,
            [4, 5, 6],
            "nothing behind the last checked one"
        );
        assert_eq!(question.claimed, [[7, 8, 9, 1], [0; 4], [7, 8, 9, 1]]);
        let values = [[1; 5], [2; 5], [3; 5]];
        let vector = vector(&dispute, &values).unwrap();
        assert_eq!(vector.len(), 40);
        assert_eq!((vector[0], vector[20]), (3, 1));
        assert_eq!(of_dispute(&dispute, &[1], &[4], 10, 100), None);
    }

    #[test]
    fn a_salt_is_secret_and_the_same_after_a_restart() {
        let one = salt(&[1; 32], &[2; 32], b"vector");
        assert_eq!(one, salt(&[1; 32], &[2; 32], b"vector"));
        assert_ne!(one, salt(&[3; 32], &[2; 32], b"vector"));
        assert_ne!(one, salt(&[1; 32], &[3; 32], b"vector"));
        assert_ne!(one, salt(&[1; 32], &[2; 32], b"other"));
    }
}
