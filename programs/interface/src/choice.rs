//! What a juror's digest holds of a position: its own four largest logits, and the token that must stand there after the tokens
//! that were shown before it.
//!
//! Under sampling profile 1 that is what the sampler chooses among the four. Under profile 2 it is what it chooses by the
//! options, unless the tokens shown allow none: then [`NO_TOKEN`] stands there, so that whatever the answer has is false.

use crate::leaf::{Leaf, NO_TOKEN};
use crate::sampler::Top4;
use crate::state::FinishReason;

/// A juror's leaf at a position, with its own four largest; `token` is the one that must stand there, `None` where none may.
pub fn own_leaf(position: u32, top4: Top4, token: Option<u32>) -> Leaf {
    Leaf {
        position,
        token: token.unwrap_or(NO_TOKEN),
        top4,
    }
}

/// Whether a result says that a stop string was whole with the token at `position`: the last, of one that says `stopped`.
pub const fn claims_stop(position: u32, output_tokens: u32, finish_reason: u8) -> bool {
    position.saturating_add(1) == output_tokens && finish_reason == FinishReason::Stopped as u8
}

/// What a juror finds at a position, under sampling profile 2, of the tokens that the answer shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Course {
    /// Those before it are a beginning that the options' grammar allows, if they have one.
    pub in_grammar: bool,
    /// One before it ended the answer: an end-of-sequence id, or one with which a stop string was whole.
    pub is_over: bool,
    /// With the token at it a stop string is whole.
    pub stops_here: bool,
}

impl Course {
    /// The token that must stand there, `None` where none may: behind an end, outside of the grammar, and where [`claims_stop`]
    /// and no stop string is whole. `chosen` is what the sampler chooses after the tokens before it.
    pub fn token(self, chosen: u32, claims_stop: bool) -> Option<u32> {
        let is_possible = self.in_grammar && !self.is_over && (self.stops_here || !claims_stop);
        is_possible.then_some(chosen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ON: Course = Course {
        in_grammar: true,
        is_over: false,
        stops_here: false,
    };

    #[test]
    fn a_token_may_stand_where_the_answer_has_neither_left_the_grammar_nor_ended() {
        assert_eq!(ON.token(5, false), Some(5));
        for course in [
            Course {
                in_grammar: false,
                ..ON
            },
            Course {
                is_over: true,
                ..ON
            },
        ] {
            assert_eq!(course.token(5, false), None);
        }
    }

    #[test]
    fn who_claims_a_stop_has_a_stop_string_that_ends_there() {
        let stops = Course {
            stops_here: true,
            ..ON
        };
        assert_eq!((ON.token(5, true), stops.token(5, true)), (None, Some(5)));
        // A stop that nobody claims is no fault of the token.
        assert_eq!(stops.token(5, false), Some(5));
        let stopped = FinishReason::Stopped as u8;
        assert!(claims_stop(9, 10, stopped));
        assert!(!claims_stop(8, 10, stopped) && !claims_stop(9, 10, FinishReason::Length as u8));
        assert!(!claims_stop(u32::MAX, 0, stopped));
    }

    #[test]
    fn a_jurors_leaf_has_a_token_that_no_answer_may_hold_where_none_may_stand() {
        let four = [(3, 9), (4, 8), (5, 7), (6, 6)];
        let none = own_leaf(4, four, None);
        assert_eq!((none.position, none.token, none.top4), (4, u32::MAX, four));
        assert!(crate::leaf::check_unreplayed(&none).is_err());
        assert_eq!(own_leaf(4, four, Some(3)).token, 3);
    }
}
