//! The life of one job on this node, as a pure state machine: events in, actions out, no clock and no I/O.
//!
//! Two things move independently and are joined here: what the chain says of the job (which forks can take back), and
//! how far our own work is. The rules:
//! - nothing is handed out before the job was seen accepted on chain;
//! - a result is saved durably before it is submitted, and submitted for as long as the chain says it is still owed;
//! - the engine starts once the chain has taken the request on trial: before that nobody has shown to be able to pay;
//! - after a cancel only what was handed out is submitted, and with nothing handed out the job is declined;
//! - a cancel that a fork took back is none: what was cut is made whole again;
//! - a result that is refused is tried again after a while that doubles;
//! - a job is retired only when its outcome is finalized.

/// Slots without the job's account in a finalized bank, counted from where it was last seen, after which no transaction that
/// names it can land any more: twice the life of a blockhash.
const GONE_SLOTS: u64 = 300;
/// Slots by which a bank must be newer than the one with the cancel to show that the cancel is gone.
const CANCEL_GONE_SLOTS: u64 = 4;
/// Longest wait before a result is tried again, in slots.
const LONGEST_RETRY: u64 = 64;

/// How the job came to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A gateway sent prompt and half-signed transaction.
    CoSigned,
    /// We accepted an open job.
    Consumed,
}

/// How the terms on chain compare with those our result is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TermsMatch {
    /// Equal terms hash.
    Same,
    /// Other terms under which the same output is right (the request landed again in another form).
    Compatible,
    /// Terms of another piece of work.
    Foreign,
}

/// What the chain says of the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// No account.
    Absent,
    /// Nobody has accepted it.
    Open,
    /// Accepted by this validator.
    Ours {
        /// Terms compared with those worked on.
        terms: TermsMatch,
        /// A cancel is recorded.
        cancelled: bool,
        /// First slot at which a result is refused.
        end_slot: u64,
    },
    /// Accepted by, or submitted by, another validator.
    Others,
    /// Our result is on chain.
    Submitted,
    /// Settled, refunded or slashed.
    Ended,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A new job begins: admitted and journalled.
    Begin,
    /// A job read from the journal goes on.
    Resume,
    /// The chain was read.
    Chain {
        /// Slot of the bank.
        slot: u64,
        /// Whether that bank is final.
        finalized: bool,
        /// What it says.
        view: View,
    },
    /// The program or the chain refused our RequestInference or AcceptInference for good.
    Refused,
    /// Our RequestInference can no longer land: its blockhash expired in a finalized bank.
    Expired,
    /// The chain's node has tried our RequestInference successfully and passes it on.
    RequestTaken,
    /// The prompt is here, checked and journalled.
    PromptReady,
    /// The prompt can't be had, or is not the one that was hashed.
    PromptFailed,
    /// The engine produced another token; their number so far.
    Generated(u32),
    /// The client holds this many tokens.
    HandedOut(u32),
    /// The engine ended by itself: how many tokens in all.
    Finished(u32),
    /// The engine failed.
    EngineFailed,
    /// SubmitResult landed in this slot.
    SubmitLanded(u64),
    /// SubmitResult was refused or did not land.
    SubmitFailed,
}

/// Why a job ended badly for whoever waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The paying transaction was refused or never landed.
    NotPaid,
    /// The job was cancelled.
    Cancelled,
    /// The engine failed.
    Engine,
    /// The job went to somebody else, ended, or ran out of time.
    Lost,
}

/// How a job left the node's care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Our result is final on chain; the evidence is kept.
    Submitted,
    /// Refunded or otherwise ended without our result.
    Ended,
    /// Never accepted on chain by us.
    NeverOurs,
    /// The deadline passed before we submitted.
    Missed,
}

/// What the shell must do, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Send the co-signed RequestInference (again).
    SendRequest,
    /// Send AcceptInference (again).
    SendAccept,
    /// Get the prompt from the job's source.
    FetchPrompt,
    /// Start generating from the first token.
    StartEngine,
    /// Stop generating.
    StopEngine,
    /// Tokens may be handed out.
    OpenGate,
    /// Save the first `keep` tokens as the result, durably. `cut`: ended by the cancel rather than by itself.
    SaveResult {
        /// Number of tokens.
        keep: u32,
        /// Whether the finish reason is `cancelled`.
        cut: bool,
    },
    /// Submit the saved result under the terms on chain.
    Submit,
    /// Send DeclineJob.
    Decline,
    /// Give the result to the gateway.
    Publish,
    /// Tell the client, if it still listens.
    FailClient(Failure),
    /// Forget the job.
    Retire(Exit),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    NoPrompt,
    Fetching,
    Ready,
    Running,
    /// `cut`: it ends where a cancel found it.
    Saved {
        tokens: u32,
        cut: bool,
    },
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Submission {
    None,
    InFlight,
    Landed { slot: u64 },
}

/// One job. Feed it events, do what it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobFsm {
    origin: Origin,
    work: Work,
    gate: bool,
    generated: u32,
    handed: u32,
    cancelled: bool,
    declined_at: Option<u64>,
    submission: Submission,
    published: bool,
    retired: bool,
    /// Newest slot of a processed bank, and the newest in which the account was there.
    slot: u64,
    last_seen: u64,
    /// Newest slot in which the cancel was there.
    cancel_seen: u64,
    /// Times that the result was refused in a row, and from which slot it may be tried again.
    refusals: u32,
    retry_at: u64,
}

impl JobFsm {
    /// A new job. A co-signed one comes with its prompt.
    pub fn new(origin: Origin) -> Self {
        Self::resumed(origin, origin == Origin::CoSigned, 0, None)
    }

    /// A job from the journal: whether its prompt is there, how many tokens were handed out, and how many tokens the
    /// saved result has, and whether a cancel cut it.
    pub fn resumed(
        origin: Origin,
        has_prompt: bool,
        handed: u32,
        saved: Option<(u32, bool)>,
    ) -> Self {
        let work = match saved {
            Some((tokens, cut)) => Work::Saved { tokens, cut },
            None if has_prompt => Work::Ready,
            None => Work::NoPrompt,
        };
        Self {
            origin,
            work,
            gate: false,
            generated: 0,
            handed,
            cancelled: false,
            declined_at: None,
            submission: Submission::None,
            published: false,
            retired: false,
            slot: 0,
            last_seen: 0,
            cancel_seen: 0,
            refusals: 0,
            retry_at: 0,
        }
    }

    /// Whether the engine is, or will be, busy with it.
    pub fn needs_engine(&self) -> bool {
        !self.retired && matches!(self.work, Work::Ready | Work::Running)
    }

    /// Whether the job was seen accepted by us.
    pub fn gate_open(&self) -> bool {
        self.gate
    }

    /// Whether a result is saved.
    pub fn is_saved(&self) -> bool {
        matches!(self.work, Work::Saved { .. })
    }

    /// Takes one event.
    pub fn step(&mut self, event: Event) -> Vec<Action> {
        let mut out = Vec::new();
        if self.retired {
            return out;
        }
        match event {
            Event::Begin => {
                out.push(match self.origin {
                    Origin::CoSigned => Action::SendRequest,
                    Origin::Consumed => Action::SendAccept,
                });
            }
            Event::RequestTaken => {
                if !self.cancelled {
                    self.start(&mut out);
                }
            }
            // What was sent before the restart may still land: nothing is sent again until the chain is read.
            Event::Resume => {}
            Event::Chain {
                slot,
                finalized,
                view,
            } => self.chain(slot, finalized, view, &mut out),
            Event::Refused => {
                if !self.gate {
                    self.never_ours(Failure::NotPaid, &mut out);
                }
            }
            // Whatever was seen before: in no bank that is still possible the job is there.
            Event::Expired => {
                let failure = match self.gate {
                    true => Failure::Lost,
                    false => Failure::NotPaid,
                };
                self.never_ours(failure, &mut out);
            }
            Event::PromptReady => {
                if self.work == Work::Fetching {
                    self.work = Work::Ready;
                    if self.gate && !self.cancelled {
                        self.start(&mut out);
                    }
                }
            }
            Event::PromptFailed => {
                if self.work == Work::Fetching {
                    self.work = Work::Failed;
                    out.push(Action::Decline);
                }
            }
            Event::Generated(count) => {
                self.generated = count;
                if self.cancelled && self.work == Work::Running {
                    self.cut_if_possible(&mut out);
                }
            }
            Event::HandedOut(count) => self.handed = self.handed.max(count),
            Event::Finished(tokens) => {
                if self.work == Work::Running {
                    self.generated = tokens;
                    if self.cancelled {
                        self.handed = self.handed.min(tokens);
                        self.cut_if_possible(&mut out);
                    } else {
                        self.save(tokens, false, &mut out);
                        self.submit_if_due(&mut out);
                    }
                }
            }
            Event::EngineFailed => {
                if self.work == Work::Running {
                    self.work = Work::Failed;
                    out.push(Action::FailClient(Failure::Engine));
                    if self.gate {
                        out.push(Action::Decline);
                    }
                }
            }
            Event::SubmitLanded(slot) => {
                self.submission = Submission::Landed { slot };
                self.refusals = 0;
            }
            Event::SubmitFailed => {
                if self.submission == Submission::InFlight {
                    self.submission = Submission::None;
                    let wait = 1u64 << self.refusals.min(16);
                    self.retry_at = self.slot.saturating_add(wait.min(LONGEST_RETRY));
                    self.refusals = self.refusals.saturating_add(1);
                }
            }
        }
        out
    }

    fn chain(&mut self, slot: u64, finalized: bool, view: View, out: &mut Vec<Action>) {
        // A finalized bank is older than the processed one: it only decides what is over for good.
        if finalized {
            match view {
                View::Submitted => {
                    self.publish(out);
                    self.retire(Exit::Submitted, out);
                }
                View::Ended => {
                    self.stop(out);
                    self.retire(Exit::Ended, out);
                }
                View::Others => {
                    self.stop(out);
                    out.push(Action::FailClient(Failure::Lost));
                    self.retire(Exit::NeverOurs, out);
                }
                View::Ours { end_slot, .. } if slot >= end_slot => {
                    self.stop(out);
                    out.push(Action::FailClient(Failure::Lost));
                    self.retire(Exit::Missed, out);
                }
                View::Absent if slot >= self.last_seen.saturating_add(GONE_SLOTS) => {
                    if self.last_seen > 0 {
                        self.never_ours(Failure::Lost, out);
                    }
                }
                View::Ours { .. } | View::Open | View::Absent => {}
            }
            return;
        }
        self.slot = self.slot.max(slot);
        if view != View::Absent {
            self.last_seen = self.last_seen.max(slot);
        }
        match view {
            View::Ours {
                terms,
                cancelled,
                end_slot,
            } => {
                if !self.gate {
                    self.gate = true;
                    out.push(Action::OpenGate);
                }
                self.cancelled = cancelled;
                if cancelled {
                    self.cancel_seen = self.cancel_seen.max(slot);
                }
                if slot >= end_slot {
                    return;
                }
                if let Submission::Landed { slot: landed } = self.submission
                    && slot > landed
                {
                    // The bank in which it landed is gone: it is owed again.
                    self.submission = Submission::None;
                }
                match (terms, self.work) {
                    (TermsMatch::Foreign, _) | (_, Work::Failed) => {
                        self.stop(out);
                        self.decline(slot, out);
                    }
                    (_, _) if cancelled => self.cancel(slot, out),
                    (_, Work::NoPrompt) => {
                        self.work = Work::Fetching;
                        out.push(Action::FetchPrompt);
                    }
                    (_, Work::Ready) => self.start(out),
                    (_, Work::Saved { cut: true, .. }) => self.make_whole(slot, out),
                    (TermsMatch::Compatible, Work::Saved { tokens, .. }) => {
                        if self.submission != Submission::InFlight {
                            self.save(tokens, false, out);
                            self.submit_if_due(out);
                        }
                    }
                    (TermsMatch::Same, Work::Saved { .. }) => self.submit_if_due(out),
                    (_, Work::Fetching | Work::Running) => {}
                }
            }
            View::Submitted => {
                self.submission = Submission::Landed { slot };
                self.publish(out);
            }
            View::Open => match self.origin {
                Origin::Consumed => out.push(Action::SendAccept),
                Origin::CoSigned => {}
            },
            View::Absent => {
                // A fork took the request back: it can land again. Before it was ever seen, whoever sent it looks after it.
                if self.gate && self.origin == Origin::CoSigned {
                    out.push(Action::SendRequest);
                }
            }
            View::Others => {
                self.stop(out);
                out.push(Action::FailClient(Failure::Lost));
                if !self.gate {
                    self.retire(Exit::NeverOurs, out);
                }
            }
            View::Ended => {
                self.stop(out);
                out.push(Action::FailClient(if self.cancelled {
                    Failure::Cancelled
                } else {
                    Failure::Lost
                }));
            }
        }
    }

    /// A cancel is recorded: submit what was handed out, or decline.
    fn cancel(&mut self, slot: u64, out: &mut Vec<Action>) {
        match self.work {
            Work::Running => self.cut_if_possible(out),
            Work::Saved { tokens, cut } if cut || self.handed >= tokens => self.submit_if_due(out),
            Work::Saved { .. } if self.handed > 0 => {
                if self.submission == Submission::None {
                    self.save(self.handed, true, out);
                    self.submit_if_due(out);
                }
            }
            // Handed out before a restart: made again up to there.
            Work::Ready if self.handed > 0 => self.start(out),
            Work::NoPrompt | Work::Fetching | Work::Ready | Work::Saved { .. } | Work::Failed => {
                out.push(Action::FailClient(Failure::Cancelled));
                self.decline(slot, out);
            }
        }
    }

    /// What was cut for a cancel that a fork took back is made again to its end. It is not refused meanwhile: the program takes a
    /// cut result only beside a cancel.
    fn make_whole(&mut self, slot: u64, out: &mut Vec<Action>) {
        let gone = slot >= self.cancel_seen.saturating_add(CANCEL_GONE_SLOTS);
        if gone && self.submission == Submission::None {
            self.work = Work::Ready;
            self.start(out);
        }
    }

    /// The job is not ours in any bank that is still possible.
    fn never_ours(&mut self, failure: Failure, out: &mut Vec<Action>) {
        self.stop(out);
        out.push(Action::FailClient(failure));
        self.retire(Exit::NeverOurs, out);
    }

    fn cut_if_possible(&mut self, out: &mut Vec<Action>) {
        if self.handed == 0 {
            self.stop(out);
            out.push(Action::FailClient(Failure::Cancelled));
            out.push(Action::Decline);
        } else if self.generated >= self.handed {
            out.push(Action::StopEngine);
            self.save(self.handed, true, out);
            self.submit_if_due(out);
        }
    }

    fn start(&mut self, out: &mut Vec<Action>) {
        if self.work == Work::Ready {
            self.work = Work::Running;
            self.generated = 0;
            out.push(Action::StartEngine);
        }
    }

    /// Stops the engine; a fork that brings the job back starts it again.
    fn stop(&mut self, out: &mut Vec<Action>) {
        if self.work == Work::Running {
            self.work = Work::Ready;
            out.push(Action::StopEngine);
        }
    }

    fn save(&mut self, keep: u32, cut: bool, out: &mut Vec<Action>) {
        self.work = Work::Saved { tokens: keep, cut };
        out.push(Action::SaveResult { keep, cut });
    }

    fn submit_if_due(&mut self, out: &mut Vec<Action>) {
        if self.gate
            && self.submission == Submission::None
            && self.slot >= self.retry_at
            && matches!(self.work, Work::Saved { .. })
        {
            self.submission = Submission::InFlight;
            out.push(Action::Submit);
        }
    }

    /// At most one decline in 16 slots; it is idempotent, and a fork may lose it.
    fn decline(&mut self, slot: u64, out: &mut Vec<Action>) {
        if self
            .declined_at
            .is_none_or(|at| slot >= at.saturating_add(16))
        {
            self.declined_at = Some(slot);
            out.push(Action::Decline);
        }
    }

    fn publish(&mut self, out: &mut Vec<Action>) {
        if !self.published && matches!(self.work, Work::Saved { .. }) {
            self.published = true;
            out.push(Action::Publish);
        }
    }

    fn retire(&mut self, exit: Exit, out: &mut Vec<Action>) {
        self.retired = true;
        out.push(Action::Retire(exit));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OURS: View = View::Ours {
        terms: TermsMatch::Same,
        cancelled: false,
        end_slot: 1_000,
    };
    const CANCELLED: View = View::Ours {
        terms: TermsMatch::Same,
        cancelled: true,
        end_slot: 1_000,
    };

    fn seen(slot: u64, view: View) -> Event {
        Event::Chain {
            slot,
            finalized: false,
            view,
        }
    }
    fn rooted(slot: u64, view: View) -> Event {
        Event::Chain {
            slot,
            finalized: true,
            view,
        }
    }
    fn run(fsm: &mut JobFsm, events: &[Event]) -> Vec<Action> {
        events.iter().flat_map(|e| fsm.step(*e)).collect()
    }

    #[test]
    fn a_cosigned_job_runs_while_its_transaction_lands() {
        let mut fsm = JobFsm::new(Origin::CoSigned);
        assert_eq!(fsm.step(Event::Begin), [Action::SendRequest]);
        assert!(fsm.needs_engine());
        assert_eq!(fsm.step(Event::RequestTaken), [Action::StartEngine]);
        assert_eq!(fsm.step(Event::RequestTaken), []);
        assert_eq!(
            run(&mut fsm, &[Event::Generated(1), seen(5, View::Absent)]),
            []
        );
        assert_eq!(fsm.step(seen(6, OURS)), [Action::OpenGate]);
        assert_eq!(
            run(&mut fsm, &[Event::HandedOut(2), Event::Finished(2)]),
            [
                Action::SaveResult {
                    keep: 2,
                    cut: false
                },
                Action::Submit
            ]
        );
        assert_eq!(
            run(
                &mut fsm,
                &[Event::SubmitLanded(8), seen(8, View::Submitted)]
            ),
            [Action::Publish]
        );
        assert_eq!(
            fsm.step(rooted(8, View::Submitted)),
            [Action::Retire(Exit::Submitted)]
        );
        assert_eq!(fsm.step(seen(9, OURS)), []);
    }

    #[test]
    fn nothing_is_computed_for_a_request_that_the_chain_does_not_take() {
        let mut fsm = JobFsm::new(Origin::CoSigned);
        let events = [
            Event::Begin,
            seen(3, View::Absent),
            rooted(3, View::Absent),
            Event::Refused,
        ];
        assert_eq!(
            run(&mut fsm, &events),
            [
                Action::SendRequest,
                Action::FailClient(Failure::NotPaid),
                Action::Retire(Exit::NeverOurs)
            ]
        );
    }

    #[test]
    fn an_output_that_is_ready_before_the_job_is_seen_waits() {
        let mut fsm = JobFsm::new(Origin::CoSigned);
        let actions = run(
            &mut fsm,
            &[Event::Begin, Event::RequestTaken, Event::Finished(3)],
        );
        assert!(!actions.contains(&Action::Submit) && !actions.contains(&Action::OpenGate));
        assert_eq!(fsm.step(seen(4, OURS)), [Action::OpenGate, Action::Submit]);
    }

    #[test]
    fn a_refused_request_stops_the_work_and_nothing_is_owed() {
        let mut fsm = JobFsm::new(Origin::CoSigned);
        run(&mut fsm, &[Event::Begin, Event::RequestTaken]);
        assert_eq!(
            fsm.step(Event::Refused),
            [
                Action::StopEngine,
                Action::FailClient(Failure::NotPaid),
                Action::Retire(Exit::NeverOurs)
            ]
        );
    }

    #[test]
    fn an_open_job_is_accepted_then_fetched_then_run() {
        let mut fsm = JobFsm::new(Origin::Consumed);
        assert_eq!(fsm.step(Event::Begin), [Action::SendAccept]);
        assert_eq!(
            fsm.step(seen(3, OURS)),
            [Action::OpenGate, Action::FetchPrompt]
        );
        assert_eq!(fsm.step(Event::PromptReady), [Action::StartEngine]);
        assert_eq!(
            fsm.step(Event::Finished(1)),
            [
                Action::SaveResult {
                    keep: 1,
                    cut: false
                },
                Action::Submit
            ]
        );
    }

    #[test]
    fn an_open_job_that_another_took_is_dropped_at_once() {
        let mut fsm = JobFsm::new(Origin::Consumed);
        fsm.step(Event::Begin);
        assert_eq!(
            fsm.step(seen(3, View::Others)),
            [
                Action::FailClient(Failure::Lost),
                Action::Retire(Exit::NeverOurs)
            ]
        );
    }

    #[test]
    fn a_prompt_that_is_not_the_one_hashed_is_declined() {
        let mut fsm = JobFsm::new(Origin::Consumed);
        assert_eq!(
            run(
                &mut fsm,
                &[Event::Begin, seen(3, OURS), Event::PromptFailed]
            ),
            [
                Action::SendAccept,
                Action::OpenGate,
                Action::FetchPrompt,
                Action::Decline
            ]
        );
    }

    #[test]
    fn a_result_lost_in_a_fork_is_submitted_again() {
        let mut fsm = JobFsm::new(Origin::CoSigned);
        run(
            &mut fsm,
            &[
                Event::Begin,
                seen(1, OURS),
                Event::Finished(1),
                Event::SubmitLanded(9),
                seen(9, View::Submitted),
            ],
        );
        assert_eq!(fsm.step(seen(8, OURS)), [], "an older bank proves nothing");
        assert_eq!(fsm.step(seen(12, OURS)), [Action::Submit]);
        assert_eq!(fsm.step(seen(13, OURS)), [], "one at a time");
        assert_eq!(
            run(&mut fsm, &[Event::SubmitFailed, seen(14, OURS)]),
            [Action::Submit]
        );
        // Refused again and again: each time it waits twice as long.
        assert_eq!(run(&mut fsm, &[Event::SubmitFailed, seen(15, OURS)]), []);
        assert_eq!(fsm.step(seen(16, OURS)), [Action::Submit]);
        assert_eq!(run(&mut fsm, &[Event::SubmitFailed, seen(19, OURS)]), []);
        assert_eq!(fsm.step(seen(20, OURS)), [Action::Submit]);
    }

    #[test]
    fn a_request_lost_in_a_fork_is_sent_again_and_its_result_too() {
        let mut fsm = JobFsm::new(Origin::CoSigned);
        run(
            &mut fsm,
            &[
                Event::Begin,
                seen(1, OURS),
                Event::Finished(1),
                Event::SubmitLanded(2),
                seen(2, View::Submitted),
            ],
        );
        assert_eq!(fsm.step(seen(5, View::Absent)), [Action::SendRequest]);
        assert_eq!(fsm.step(seen(6, OURS)), [Action::Submit]);
    }

    #[test]
    fn a_request_that_landed_under_other_fitting_terms_is_answered_under_those() {
        let mut fsm = JobFsm::new(Origin::CoSigned);
        run(
            &mut fsm,
            &[
                Event::Begin,
                seen(1, OURS),
                Event::Finished(4),
                Event::SubmitFailed,
            ],
        );
        let view = View::Ours {
            terms: TermsMatch::Compatible,
            cancelled: false,
            end_slot: 1_000,
        };
        assert_eq!(
            fsm.step(seen(3, view)),
            [
                Action::SaveResult {
                    keep: 4,
                    cut: false
                },
                Action::Submit
            ]
        );
        let foreign = View::Ours {
            terms: TermsMatch::Foreign,
            cancelled: false,
            end_slot: 1_000,
        };
        assert_eq!(
            run(&mut fsm, &[Event::SubmitFailed, seen(6, foreign)]),
            [Action::Decline]
        );
    }

    #[test]
    fn after_a_cancel_only_what_was_handed_out_is_submitted() {
        let mut fsm = JobFsm::new(Origin::CoSigned);
        run(
            &mut fsm,
            &[
                Event::Begin,
                seen(1, OURS),
                Event::Generated(5),
                Event::HandedOut(4),
            ],
        );
        assert_eq!(
            fsm.step(seen(2, CANCELLED)),
            [
                Action::StopEngine,
                Action::SaveResult { keep: 4, cut: true },
                Action::Submit
            ]
        );
        assert_eq!(fsm.step(Event::Finished(5)), []);
    }

    #[test]
    fn after_a_cancel_with_nothing_handed_out_the_job_is_declined() {
        let mut fsm = JobFsm::new(Origin::CoSigned);
        run(
            &mut fsm,
            &[Event::Begin, seen(1, OURS), Event::Generated(5)],
        );
        assert_eq!(
            fsm.step(seen(2, CANCELLED)),
            [
                Action::StopEngine,
                Action::FailClient(Failure::Cancelled),
                Action::Decline
            ]
        );
    }

    #[test]
    fn a_whole_answer_that_was_handed_out_survives_a_cancel() {
        let mut fsm = JobFsm::new(Origin::CoSigned);
        run(
            &mut fsm,
            &[
                Event::Begin,
                seen(1, OURS),
                Event::HandedOut(2),
                Event::Finished(2),
                Event::SubmitFailed,
            ],
        );
        assert_eq!(fsm.step(seen(2, CANCELLED)), [Action::Submit]);
    }

    /// A job that was cut after three tokens by a cancel in slot 10, and its result in flight.
    fn cut() -> JobFsm {
        let mut fsm = JobFsm::new(Origin::CoSigned);
        let events = [
            Event::Begin,
            seen(1, OURS),
            Event::Generated(5),
            Event::HandedOut(3),
            seen(10, CANCELLED),
        ];
        assert!(run(&mut fsm, &events).contains(&Action::SaveResult { keep: 3, cut: true }));
        fsm
    }

    #[test]
    fn a_cancel_that_a_fork_took_back_leaves_a_whole_answer() {
        let mut fsm = cut();
        // The cancel's bank is gone: the cut result is refused, and never tried in vain.
        assert_eq!(run(&mut fsm, &[Event::SubmitFailed, seen(9, OURS)]), []);
        assert_eq!(fsm.step(seen(13, OURS)), []);
        assert_eq!(fsm.step(seen(14, OURS)), [Action::StartEngine]);
        assert_eq!(
            run(&mut fsm, &[Event::Generated(5), Event::Finished(8)]),
            [
                Action::SaveResult {
                    keep: 8,
                    cut: false
                },
                Action::Submit
            ]
        );
        // The cancel comes again while it is made whole.
        let mut fsm = cut();
        run(&mut fsm, &[Event::SubmitFailed, seen(14, OURS)]);
        assert_eq!(
            run(&mut fsm, &[Event::Generated(3), seen(15, CANCELLED)]),
            [
                Action::StopEngine,
                Action::SaveResult { keep: 3, cut: true },
                Action::Submit
            ]
        );
        // And across a restart.
        let mut fsm = JobFsm::resumed(Origin::CoSigned, true, 3, Some((3, true)));
        assert_eq!(
            run(&mut fsm, &[Event::Resume, seen(30, OURS)]),
            [Action::OpenGate, Action::StartEngine]
        );
    }

    #[test]
    fn a_result_that_is_refused_for_ever_is_tried_a_few_times() {
        let mut fsm = JobFsm::new(Origin::CoSigned);
        run(&mut fsm, &[Event::Begin, seen(1, OURS), Event::Finished(1)]);
        let mut submitted = 0;
        for slot in 2..1_000 {
            for action in run(&mut fsm, &[Event::SubmitFailed, seen(slot, OURS)]) {
                submitted += usize::from(action == Action::Submit);
            }
        }
        assert!(submitted <= 22, "{submitted}");
    }

    #[test]
    fn a_job_that_a_fork_took_back_for_good_is_let_go() {
        // After a restart: the request's blockhash is too old to land again.
        let mut fsm = JobFsm::resumed(Origin::CoSigned, true, 3, Some((3, false)));
        run(&mut fsm, &[Event::Resume, seen(9, OURS)]);
        assert_eq!(
            run(&mut fsm, &[Event::SubmitFailed, seen(12, View::Absent)]),
            [Action::SendRequest]
        );
        assert_eq!(
            fsm.step(Event::Expired),
            [
                Action::FailClient(Failure::Lost),
                Action::Retire(Exit::NeverOurs)
            ]
        );
        // And where nothing tells of the request: long after it was last seen.
        for origin in [Origin::CoSigned, Origin::Consumed] {
            let mut fsm = JobFsm::new(origin);
            run(&mut fsm, &[Event::Begin, seen(9, OURS)]);
            assert_eq!(fsm.step(rooted(308, View::Absent)), []);
            assert!(
                fsm.step(rooted(309, View::Absent))
                    .contains(&Action::Retire(Exit::NeverOurs))
            );
        }
    }

    #[test]
    fn a_restart_makes_a_saved_result_good() {
        let mut fsm = JobFsm::resumed(Origin::CoSigned, true, 7, Some((7, false)));
        assert_eq!(
            run(&mut fsm, &[Event::Resume, seen(9, OURS)]),
            [Action::OpenGate, Action::Submit]
        );
    }

    #[test]
    fn a_restart_in_the_middle_runs_again_and_a_cancel_cuts_where_it_was() {
        let mut fsm = JobFsm::resumed(Origin::CoSigned, true, 3, None);
        assert_eq!(
            run(&mut fsm, &[Event::Resume, seen(9, CANCELLED)]),
            [Action::OpenGate, Action::StartEngine]
        );
        assert_eq!(
            run(&mut fsm, &[Event::Generated(1), Event::Generated(2)]),
            []
        );
        assert_eq!(
            fsm.step(Event::Generated(3)),
            [
                Action::StopEngine,
                Action::SaveResult { keep: 3, cut: true },
                Action::Submit
            ]
        );
    }

    #[test]
    fn a_restart_before_the_request_landed_sends_nothing() {
        let mut fsm = JobFsm::resumed(Origin::CoSigned, true, 0, None);
        assert_eq!(run(&mut fsm, &[Event::Resume, seen(9, View::Absent)]), []);
        assert_eq!(
            fsm.step(Event::Expired),
            [
                Action::FailClient(Failure::NotPaid),
                Action::Retire(Exit::NeverOurs)
            ]
        );
    }

    #[test]
    fn a_job_whose_deadline_passed_is_retired_when_that_is_final() {
        let mut fsm = JobFsm::new(Origin::CoSigned);
        run(&mut fsm, &[Event::Begin, seen(1, OURS)]);
        assert_eq!(fsm.step(seen(1_000, OURS)), []);
        assert_eq!(
            fsm.step(rooted(1_000, OURS)),
            [
                Action::StopEngine,
                Action::FailClient(Failure::Lost),
                Action::Retire(Exit::Missed)
            ]
        );
    }

    fn any_event() -> impl Strategy<Value = Event> {
        let view = prop_oneof![
            Just(View::Absent),
            Just(View::Open),
            Just(View::Others),
            Just(View::Submitted),
            Just(View::Ended),
            (any::<bool>(), 0u8..3).prop_map(|(cancelled, t)| View::Ours {
                terms: [
                    TermsMatch::Same,
                    TermsMatch::Compatible,
                    TermsMatch::Foreign
                ][usize::from(t)],
                cancelled,
                end_slot: 50,
            }),
        ];
        prop_oneof![
            4 => (0u64..60, any::<bool>(), view).prop_map(|(slot, f, view)| Event::Chain { slot, finalized: f, view }),
            1 => Just(Event::Begin),
            1 => Just(Event::RequestTaken),
            1 => Just(Event::Expired),
            1 => Just(Event::PromptReady),
            1 => Just(Event::PromptFailed),
            2 => (1u32..9).prop_map(Event::Generated),
            2 => (1u32..9).prop_map(Event::HandedOut),
            1 => (1u32..9).prop_map(Event::Finished),
            1 => Just(Event::EngineFailed),
            1 => Just(Event::Refused),
            1 => (0u64..60).prop_map(Event::SubmitLanded),
            1 => Just(Event::SubmitFailed),
        ]
    }

    proptest! {
        #[test]
        fn rules_hold_for_any_order_of_events(
            consumed in any::<bool>(),
            events in proptest::collection::vec(any_event(), 1..60),
        ) {
            let mut fsm = JobFsm::new(if consumed { Origin::Consumed } else { Origin::CoSigned });
            let (mut seen_ours, mut saved, mut running, mut retired, mut handed) = (false, false, false, false, 0);
            for event in events {
                if let Event::Chain { finalized: false, view: View::Ours { .. }, .. } = event {
                    seen_ours = true;
                }
                if let Event::HandedOut(n) = event {
                    handed = handed.max(n);
                }
                for action in fsm.step(event) {
                    prop_assert!(!retired, "nothing happens after retirement");
                    match action {
                        Action::OpenGate => prop_assert!(seen_ours),
                        Action::Submit => prop_assert!(saved && seen_ours),
                        Action::SaveResult { keep, cut } => {
                            prop_assert!(keep > 0);
                            if cut {
                                prop_assert!(keep <= handed, "a cut result holds only what was handed out");
                            }
                            saved = true;
                        }
                        Action::StartEngine => {
                            prop_assert!(!running);
                            running = true;
                        }
                        Action::StopEngine => running = false,
                        Action::Retire(_) => retired = true,
                        _ => {}
                    }
                }
                if matches!(event, Event::Finished(_) | Event::EngineFailed) {
                    running = false;
                }
            }
        }
    }
}
