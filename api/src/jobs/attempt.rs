//! What can become of the jobs of one choice: a pure state machine. Only one attempt can be paid at a time: a new address is
//! made only when the one before is given up, and what is given up is cancelled until the chain can do nothing with it any more.
//!
//! The shells (dispatch, janitor, recovery, the route that takes results) feed events and perform effects; they decide nothing.

use mythic_interface::state::{Job, JobStatus};

/// State of one job address, as the table keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Stored, and perhaps given to a validator: its transaction may land.
    Sent,
    /// Seen on chain under the validator that was asked.
    Accepted,
    /// Anyone may take it.
    Open,
    /// Its answer was handed out, but its result was not seen on chain.
    Unconfirmed,
    /// Its answer was handed out and its result was seen on chain; not yet final.
    Answered,
    /// Its result is final.
    Done,
    /// Its answer was handed out, and the chain will never pay for it.
    Unpaid,
    /// Given up: to be cancelled as long as the chain could take it.
    Abandoned,
    /// Nothing more can happen to it that concerns the gateway.
    Closed,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Sent,
        Self::Accepted,
        Self::Open,
        Self::Unconfirmed,
        Self::Answered,
        Self::Done,
        Self::Unpaid,
        Self::Abandoned,
        Self::Closed,
    ];

    /// As it is stored.
    pub fn word(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Accepted => "accepted",
            Self::Open => "open",
            Self::Unconfirmed => "unconfirmed",
            Self::Answered => "answered",
            Self::Done => "done",
            Self::Unpaid => "unpaid",
            Self::Abandoned => "abandoned",
            Self::Closed => "closed",
        }
    }

    /// The state that is stored as this word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }

    /// The user is to pay for it, or may have to.
    pub fn payable(self) -> bool {
        matches!(
            self,
            Self::Sent
                | Self::Accepted
                | Self::Open
                | Self::Unconfirmed
                | Self::Answered
                | Self::Done
        )
    }

    /// Nothing changes it any more.
    pub fn over(self) -> bool {
        matches!(self, Self::Done | Self::Unpaid | Self::Closed)
    }

    /// A whole answer of it was handed out.
    pub fn has_answer(self) -> bool {
        matches!(
            self,
            Self::Unconfirmed | Self::Answered | Self::Done | Self::Unpaid
        )
    }
}

/// What the chain shows at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum View {
    /// Nothing yet; a transaction may still land.
    Absent,
    /// Nothing, and the nonce has expired: no transaction can land any more.
    Lapsed,
    /// Nothing, so long after the nonce's expiry that a job may have ended and been closed meanwhile.
    Gone,
    /// A job that nobody has accepted.
    Open,
    /// A validator has it.
    Taken,
    /// A cancel is recorded: no result, or one that is cut.
    Cancelled,
    /// A result of the whole answer is there, or was.
    Result,
    /// It ended without a result that counts.
    Ended,
}

/// An account may be closed this many slots after the job's end, and a job's end comes after its nonce's expiry at the earliest
/// by chance: before that many slots past the expiry an absent job never was.
const CLOSED_SLOTS: u64 = 2_000;

impl View {
    /// Reads an account (or its absence) at `slot`, for a nonce that expires at `expiry`.
    pub fn of(job: Option<&Job>, slot: u64, expiry: u64) -> Self {
        let Some(job) = job else {
            return match slot {
                slot if slot <= expiry => Self::Absent,
                slot if slot <= expiry.saturating_add(CLOSED_SLOTS) => Self::Lapsed,
                _ => Self::Gone,
            };
        };
        let cancelled = job.cancel_slot.get() > 0;
        match job.status() {
            Some(JobStatus::Open) => Self::Open,
            Some(JobStatus::Accepted) if !cancelled => Self::Taken,
            Some(JobStatus::Accepted) => Self::Cancelled,
            Some(JobStatus::Submitted | JobStatus::Disputed | JobStatus::Settled)
                if job.submitted_slot.get() > 0 =>
            {
                if cancelled {
                    Self::Cancelled
                } else {
                    Self::Result
                }
            }
            _ => Self::Ended,
        }
    }
}

/// What happens to an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// The chain was read; `firm` = at the finalized commitment.
    Seen {
        /// What it showed.
        view: View,
        /// No fork undoes it.
        firm: bool,
    },
    /// The validator has given the whole answer; `confirmed` = its result was seen on chain.
    Answer {
        /// The chain has the result.
        confirmed: bool,
    },
    /// A validator brought the result by itself, checked against the chain.
    Brought,
    /// The run fetched the result of a job whose stream had broken, checked against the chain.
    Fetched,
    /// The validator that was asked declined or failed before any content, or a repeat of the request comes upon this address.
    Retry {
        /// What the chain shows at the address now.
        view: View,
        /// The nonce lives long enough for another validator.
        fresh: bool,
    },
    /// The request ends without this answer: the client left, the answer broke off, the gateway was restarted.
    Leave,
    /// The chain refused the client's own transaction.
    Refused,
}

/// What is to be done after an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Send CancelJob.
    Cancel,
    /// Send the open job again.
    Resend,
    /// Another validator may be asked under the same address.
    AskAgain,
    /// The address is spent: the choice goes on under a new one.
    NewAddress,
    /// The answer is on chain: fetch its evidence, don't buy it again.
    Fetch,
    /// The answer is kept already: use it.
    Use,
    /// Somebody has to look at it until it is over.
    Watch,
}

impl State {
    /// The next state and what is to be done. Pure.
    pub fn next(self, event: Event) -> (Self, Vec<Effect>) {
        match event {
            Event::Seen { view, firm } => self.seen(view, firm),
            Event::Answer { confirmed } => match self {
                Self::Sent | Self::Accepted if confirmed => (Self::Answered, vec![Effect::Watch]),
                Self::Sent | Self::Accepted => (Self::Unconfirmed, vec![Effect::Watch]),
                other => (other, vec![]),
            },
            Event::Brought => match self {
                Self::Sent | Self::Accepted | Self::Open | Self::Unconfirmed => {
                    (Self::Answered, vec![Effect::Watch])
                }
                // Given up stays given up: its cancel is sent again until it is final.
                other => (other, vec![]),
            },
            Event::Fetched => match self {
                Self::Sent | Self::Accepted | Self::Abandoned => {
                    (Self::Answered, vec![Effect::Watch])
                }
                other => (other, vec![]),
            },
            Event::Retry { view, fresh } => self.retry(view, fresh),
            Event::Leave => match self {
                Self::Sent | Self::Accepted | Self::Open => (Self::Abandoned, vec![Effect::Watch]),
                other => (other, vec![]),
            },
            Event::Refused => match self {
                Self::Sent | Self::Open => (Self::Closed, vec![]),
                other => (other, vec![]),
            },
        }
    }

    fn seen(self, view: View, firm: bool) -> (Self, Vec<Effect>) {
        use View::{Absent, Cancelled, Ended, Gone, Lapsed, Open, Result, Taken};
        match (self, view, firm) {
            (Self::Sent, Taken, false) => (Self::Accepted, vec![]),
            (Self::Sent | Self::Accepted | Self::Open, Lapsed | Gone | Ended, true) => {
                (Self::Closed, vec![])
            }
            (Self::Open, Absent, false) => (Self::Open, vec![Effect::Resend]),
            (Self::Open, Cancelled | Result, true) => (Self::Closed, vec![]),
            (Self::Unconfirmed, Result, false) => (Self::Answered, vec![]),
            (Self::Unconfirmed | Self::Answered, Result | Cancelled, true) => (Self::Done, vec![]),
            (Self::Answered, Gone, true) => (Self::Done, vec![]),
            (Self::Unconfirmed, Gone, true) => (Self::Unpaid, vec![]),
            (Self::Unconfirmed | Self::Answered, Lapsed | Ended, true) => (Self::Unpaid, vec![]),
            (Self::Abandoned, Open | Taken, false) => (Self::Abandoned, vec![Effect::Cancel]),
            (Self::Abandoned, Lapsed | Gone | Cancelled | Result | Ended, true) => {
                (Self::Closed, vec![])
            }
            (other, _, _) => (other, vec![]),
        }
    }

    fn retry(self, view: View, fresh: bool) -> (Self, Vec<Effect>) {
        match self {
            Self::Unconfirmed | Self::Answered | Self::Done => (self, vec![Effect::Use]),
            Self::Unpaid | Self::Closed => (self, vec![Effect::NewAddress]),
            Self::Sent | Self::Abandoned if view == View::Absent && fresh => {
                (Self::Sent, vec![Effect::AskAgain])
            }
            Self::Sent | Self::Accepted | Self::Abandoned if view == View::Result => {
                (self, vec![Effect::Fetch])
            }
            Self::Sent | Self::Accepted | Self::Open | Self::Abandoned => {
                (Self::Abandoned, vec![Effect::Watch, Effect::NewAddress])
            }
        }
    }
}

/// The attempts of one choice, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Choice {
    attempts: Vec<State>,
}

impl Choice {
    /// Of these attempts.
    pub fn new(attempts: Vec<State>) -> Self {
        Self { attempts }
    }

    /// The attempt that a run goes on with: the one whose answer is kept, else the newest.
    pub fn current(&self) -> Option<usize> {
        self.attempts
            .iter()
            .rposition(|state| state.has_answer() && state.payable())
            .or_else(|| self.attempts.len().checked_sub(1))
    }

    /// A new address, if none before could still be paid for.
    pub fn begin(&self) -> Option<Self> {
        if self.attempts.iter().any(|state| state.payable()) {
            return None;
        }
        let mut attempts = self.attempts.clone();
        attempts.push(State::Sent);
        Some(Self { attempts })
    }

    /// Feeds an event to one attempt. Only the current one may be retried or fetched.
    pub fn next(&self, at: usize, event: Event) -> (Self, Vec<Effect>) {
        let barred =
            matches!(event, Event::Retry { .. } | Event::Fetched) && self.current() != Some(at);
        let Some(state) = self.attempts.get(at).filter(|_| !barred) else {
            return (self.clone(), vec![]);
        };
        let (next, effects) = state.next(event);
        let mut attempts = self.attempts.clone();
        if let Some(place) = attempts.get_mut(at) {
            *place = next;
        }
        (Self { attempts }, effects)
    }

    /// Their states.
    pub fn attempts(&self) -> &[State] {
        &self.attempts
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const VIEWS: [View; 8] = [
        View::Absent,
        View::Lapsed,
        View::Gone,
        View::Open,
        View::Taken,
        View::Cancelled,
        View::Result,
        View::Ended,
    ];

    fn events() -> Vec<Event> {
        let mut all = vec![
            Event::Answer { confirmed: true },
            Event::Answer { confirmed: false },
            Event::Brought,
            Event::Fetched,
            Event::Leave,
            Event::Refused,
        ];
        for view in VIEWS {
            for flag in [false, true] {
                all.push(Event::Seen { view, firm: flag });
                all.push(Event::Retry { view, fresh: flag });
            }
        }
        all
    }

    fn run(events: &[Event]) -> (State, Vec<Effect>) {
        events
            .iter()
            .fold((State::Sent, vec![]), |(state, _), event| {
                state.next(*event)
            })
    }

    fn seen(view: View, firm: bool) -> Event {
        Event::Seen { view, firm }
    }

    fn payable(choice: &Choice) -> usize {
        choice
            .attempts()
            .iter()
            .filter(|state| state.payable())
            .count()
    }

    /// Applies what shells do with an effect that opens an address.
    fn settle(choice: &Choice, effects: &[Effect]) -> Choice {
        if effects.contains(&Effect::NewAddress) {
            choice
                .begin()
                .expect("a new address only when no other can be paid for")
        } else {
            choice.clone()
        }
    }

    /// Every sequence of up to six events over all attempts of a choice. `next` is pure, so sequences that lead to the same states
    /// have the same continuations: states are visited once.
    #[test]
    fn whatever_happens_at_most_one_attempt_can_be_paid() {
        let first = Choice::default().begin().unwrap();
        let mut seen: HashSet<Choice> = HashSet::from([first.clone()]);
        let mut layer = vec![first];
        for _ in 0..6 {
            let mut next = Vec::new();
            for choice in &layer {
                for at in 0..choice.attempts().len() {
                    for event in events() {
                        let (after, effects) = choice.next(at, event);
                        assert!(
                            payable(&after) <= 1,
                            "{choice:?} after {event:?} at {at}: {after:?}"
                        );
                        let after = settle(&after, &effects);
                        assert!(payable(&after) <= 1, "{after:?}");
                        if seen.insert(after.clone()) {
                            next.push(after);
                        }
                    }
                }
            }
            layer = next;
        }
        assert!(seen.len() > 100, "{}", seen.len());
    }

    #[test]
    fn from_every_state_the_chain_and_the_clock_bring_an_end() {
        for state in State::ALL {
            // A run ends by its deadline; then the chain says what is final.
            for (processed, firm) in [
                (View::Absent, View::Lapsed),
                (View::Absent, View::Gone),
                (View::Taken, View::Cancelled),
                (View::Result, View::Result),
                (View::Ended, View::Ended),
            ] {
                let mut now = state.next(Event::Leave).0;
                for _ in 0..2 {
                    now = now.next(seen(processed, false)).0;
                    now = now.next(seen(firm, true)).0;
                }
                assert!(
                    now.over(),
                    "{state:?} under {processed:?}, {firm:?}: {now:?}"
                );
            }
        }
    }

    #[test]
    fn what_is_over_stays() {
        for state in State::ALL.into_iter().filter(|state| state.over()) {
            for event in events() {
                assert_eq!(state.next(event).0, state, "{event:?}");
            }
        }
    }

    #[test]
    fn a_cancel_is_sent_again_when_a_fork_undoes_it() {
        let (state, effects) = run(&[Event::Leave, seen(View::Taken, false)]);
        assert_eq!((state, effects), (State::Abandoned, vec![Effect::Cancel]));
        let (state, effects) = run(&[
            Event::Leave,
            seen(View::Taken, false),
            seen(View::Cancelled, false),
            seen(View::Taken, false),
        ]);
        assert_eq!((state, effects), (State::Abandoned, vec![Effect::Cancel]));
        let (state, _) = run(&[Event::Leave, seen(View::Cancelled, true)]);
        assert_eq!(state, State::Closed);
    }

    #[test]
    fn a_result_that_a_validator_brings_does_not_stop_the_cancel() {
        let (state, _) = run(&[seen(View::Taken, false), Event::Leave, Event::Brought]);
        assert_eq!(state, State::Abandoned);
    }

    #[test]
    fn a_job_that_the_chain_refused_is_not_looked_after() {
        assert_eq!(run(&[Event::Refused]).0, State::Closed);
    }

    #[test]
    fn an_answer_that_is_on_chain_is_fetched_and_not_bought_again() {
        let retry = Event::Retry {
            view: View::Result,
            fresh: true,
        };
        assert_eq!(
            run(&[seen(View::Taken, false), retry]),
            (State::Accepted, vec![Effect::Fetch])
        );
        assert_eq!(
            run(&[seen(View::Taken, false), retry, Event::Fetched]).0,
            State::Answered
        );
    }

    #[test]
    fn an_address_is_used_again_until_a_job_is_at_it() {
        let retry = |view, fresh| Event::Retry { view, fresh };
        assert_eq!(
            run(&[retry(View::Absent, true)]),
            (State::Sent, vec![Effect::AskAgain])
        );
        for event in [retry(View::Absent, false), retry(View::Taken, true)] {
            assert_eq!(
                run(&[event]),
                (State::Abandoned, vec![Effect::Watch, Effect::NewAddress])
            );
        }
    }

    #[test]
    fn an_answer_is_done_when_its_result_is_final_and_unpaid_when_there_is_none() {
        let answer = Event::Answer { confirmed: false };
        assert_eq!(run(&[answer]).0, State::Unconfirmed);
        assert_eq!(
            run(&[answer, seen(View::Result, false), seen(View::Result, true)]).0,
            State::Done
        );
        assert_eq!(run(&[answer, seen(View::Lapsed, true)]).0, State::Unpaid);
        assert_eq!(
            run(&[Event::Answer { confirmed: true }, seen(View::Ended, true)]).0,
            State::Unpaid
        );
    }

    #[test]
    fn words_are_told_apart() {
        for state in State::ALL {
            assert_eq!(State::of(state.word()), Some(state));
        }
        assert_eq!(State::of("paid"), None);
    }
}
