//! Speculation: which tokens may come next in an answer, by what came before in it and in its prompt. They are read in the same pass as the
//! token before them: one that the engine would have chosen itself spares a pass, any other was read for nothing.
//!
//! How much may be read for nothing is bounded, whatever the text: of every request
//!
//! **rejected ≤ accepted / 2 + rows / 40**
//!
//! where `rows` are those that it had computed, prompt included and rejected ones not. Pure: tokens in, tokens out.

/// So many tokens must have come before, in their order, for what followed them to be proposed.
const MATCHED: usize = 3;
/// So many tokens are looked through for them, the newest: the time that it takes is bounded too, whatever the context.
const LOOKED_THROUGH: usize = 32 << 10;
/// Tokens that are proposed at first, and most at once: twice as many each time that all were chosen, as many as were chosen otherwise.
const FIRST: usize = 2;
const MOST: usize = 8;

/// The bound as an account: a row gives one, an accepted proposal so much besides, and a rejected one costs so much.
const ACCEPTED: u32 = 20;
const REJECTED: u32 = 40;
/// The account holds no more, so that proposals end soon where they begin to fail.
const MOST_CREDIT: u32 = 2 * MOST as u32 * REJECTED;

/// Proposes tokens of one request.
#[derive(Debug)]
pub struct Proposer {
    credit: u32,
    /// Most that are proposed next.
    most: usize,
    proposed: Vec<u32>,
}

impl Default for Proposer {
    fn default() -> Self {
        Self {
            credit: 0,
            most: FIRST,
            proposed: Vec::new(),
        }
    }
}

impl Proposer {
    /// What is proposed for the next pass.
    pub fn proposed(&self) -> &[u32] {
        &self.proposed
    }

    /// Proposes what may follow `tokens`: `most` at most, and no more than could be paid for if all were rejected.
    pub fn propose(&mut self, tokens: &[u32], most: usize) {
        self.proposed.clear();
        let most = most.min(self.most).min((self.credit / REJECTED) as usize);
        if most == 0 {
            return;
        }
        if let Some(next) = followed(tokens) {
            // Behind the last token from there again: a text that goes round in a circle goes on so.
            let circle = tokens[next..].iter().copied().cycle();
            self.proposed.extend(circle.take(most));
        }
    }

    /// Nothing is proposed any more.
    pub fn clear(&mut self) {
        self.proposed.clear();
    }

    /// Says what became of a pass with `rows` rows of known tokens: the tokens behind them, as far as they were chosen. Gives the number
    /// of proposals that were right.
    pub fn settle(&mut self, rows: usize, behind: &[u32]) -> usize {
        let pairs = self.proposed.iter().zip(behind);
        let accepted = pairs.take_while(|(proposed, chosen)| proposed == chosen);
        let accepted = accepted.count();
        let rejected = self.proposed.len() - accepted;
        if rejected > 0 {
            self.most = accepted.max(1);
        } else if accepted > 0 {
            self.most = (2 * self.most).min(MOST);
        }
        self.proposed.clear();
        let paid = self.credit.saturating_sub(REJECTED * rejected as u32);
        let earned = (rows + accepted) as u32 + ACCEPTED * accepted as u32;
        self.credit = (paid + earned).min(MOST_CREDIT);
        accepted
    }
}

/// Where the tokens are that followed the last time that the last ones came before.
fn followed(tokens: &[u32]) -> Option<usize> {
    let last = tokens.last_chunk::<MATCHED>()?;
    let before = &tokens[..tokens.len() - 1];
    let first = before.len().saturating_sub(LOOKED_THROUGH);
    let mut windows = before[first..].windows(MATCHED);
    let at = windows.rposition(|some| some == last)?;
    Some(first + at + MATCHED)
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    /// One that may propose many.
    fn proposer(credit: u32) -> Proposer {
        Proposer {
            credit,
            most: MOST,
            ..Proposer::default()
        }
    }

    fn proposed(tokens: &[u32], most: usize) -> Vec<u32> {
        let mut proposer = proposer(MOST_CREDIT);
        proposer.propose(tokens, most);
        proposer.proposed().to_vec()
    }

    #[test]
    fn what_followed_the_last_three_tokens_when_they_came_last_is_proposed() {
        let tokens = [1, 2, 3, 4, 5, 1, 2, 3, 6, 7, 8, 9, 1, 2, 3];
        assert_eq!(proposed(&tokens, 3), [6, 7, 8]);
        assert_eq!(proposed(&tokens, 100), [6, 7, 8, 9, 1, 2, 3, 6]);
        assert!(proposed(&tokens, 0).is_empty());
        assert!(proposed(&tokens[..14], 3).is_empty(), "only two of them");
        assert!(proposed(&[1, 2, 3], 3).is_empty());
        assert!(proposed(&[], 3).is_empty());
    }

    #[test]
    fn a_text_that_goes_round_in_a_circle_goes_on() {
        assert_eq!(proposed(&[7, 7, 7, 7], 4), [7, 7, 7, 7]);
        assert_eq!(proposed(&[1, 2, 1, 2, 1], 5), [2, 1, 2, 1, 2]);
        assert_eq!(proposed(&[5, 1, 2, 3, 1, 2, 3], 4), [1, 2, 3, 1]);
    }

    #[test]
    fn what_came_long_before_is_not_looked_for() {
        let tokens = |between: usize| {
            let between = vec![9_u32; between];
            [&[1, 2, 3, 4][..], &between[..], &[1, 2, 3]].concat()
        };
        // The last token is not among those that are looked through.
        let most = LOOKED_THROUGH - 6;
        assert_eq!(proposed(&tokens(most), 1), [4]);
        assert!(proposed(&tokens(most + 1), 1).is_empty());
        // What came since is found where it is.
        let nines = [&tokens(2 * LOOKED_THROUGH)[..], &[9, 9, 9]].concat();
        assert_eq!(proposed(&nines, 2), [1, 2]);
    }

    #[test]
    fn as_many_are_accepted_as_were_chosen_and_none_behind_another() {
        let tokens = [1, 2, 3, 4, 5, 6, 1, 2, 3];
        let cases: [(&[u32], usize); 6] = [
            (&[], 0),
            (&[4], 1),
            (&[4, 5, 6], 3),
            (&[4, 5, 6, 9], 3),
            (&[4, 9, 6], 1),
            (&[9, 5, 6], 0),
        ];
        for (chosen, accepted) in cases {
            let mut proposer = proposer(MOST_CREDIT);
            proposer.propose(&tokens, 3);
            assert_eq!(proposer.settle(1, chosen), accepted, "{chosen:?}");
            assert!(proposer.proposed().is_empty(), "a pass takes them");
        }
    }

    #[test]
    fn more_are_proposed_the_more_were_chosen() {
        let circle: Vec<u32> = (0..40).map(|i| i % 5).collect();
        let mut proposer = Proposer {
            credit: MOST_CREDIT,
            ..Proposer::default()
        };
        let mut lengths = Vec::new();
        for chosen in [8, 8, 8, 3, 8, 0, 8, 8] {
            proposer.propose(&circle, 100);
            lengths.push(proposer.proposed().len());
            let next: Vec<u32> = (40..40 + chosen).map(|i| i % 5).collect();
            proposer.settle(1, &next);
        }
        assert_eq!(lengths, [2, 4, 8, 8, 3, 6, 1, 2]);
    }

    #[test]
    fn where_proposals_fail_there_are_none_for_a_while() {
        // One row in forty, and each proposal fails.
        let tokens = [1, 2, 3, 4, 1, 2, 3];
        let mut proposer = proposer(80);
        for want in [2, 0] {
            proposer.propose(&tokens, 8);
            assert_eq!(proposer.proposed().len(), want);
            proposer.settle(1, &[9]);
        }
        let mut passes = 0;
        while proposer.proposed().is_empty() {
            proposer.settle(1, &[]);
            proposer.propose(&tokens, 8);
            passes += 1;
        }
        assert_eq!((passes, proposer.proposed().len()), (38, 1));
    }

    #[test]
    fn no_text_has_more_rejected_than_the_bound_allows() {
        let mut rng = StdRng::seed_from_u64(18);
        let (mut all_accepted, mut all_rejected) = (0, 0);
        for _ in 0..200 {
            let (kinds, right) = (rng.random_range(1..6), rng.random_range(0.0..1.0));
            let mut tokens: Vec<u32> = (0..rng.random_range(1..400))
                .map(|_| rng.random_range(0..kinds))
                .collect();
            let mut proposer = proposer(tokens.len() as u32);
            let (mut rows, mut accepted, mut rejected) = (tokens.len(), 0, 0);
            for _ in 0..300 {
                proposer.propose(&tokens, rng.random_range(0..12));
                let proposed = proposer.proposed().to_vec();
                let from = tokens.len();
                for guess in &proposed {
                    let token = match rng.random_bool(right) {
                        true => *guess,
                        false => rng.random_range(0..kinds),
                    };
                    tokens.push(token);
                    if token != *guess {
                        break;
                    }
                }
                if tokens[from..] == proposed {
                    tokens.push(rng.random_range(0..kinds));
                }
                let right = proposer.settle(1, &tokens[from..]);
                rows += 1 + right;
                accepted += right;
                rejected += proposed.len() - right;
                assert!(40 * rejected <= 20 * accepted + rows, "{rejected} {rows}");
            }
            (all_accepted, all_rejected) = (all_accepted + accepted, all_rejected + rejected);
        }
        assert!(all_accepted > 1_000 && all_rejected > 1_000);
    }
}
