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

mod words;

#[cfg(test)]
mod tests;

pub use words::{Action, Event, Exit, Failure, Origin, TermsMatch, View};

/// Slots without the job's account in a finalized bank, counted from where it was last seen, after which no transaction that
/// names it can land any more: twice the life of a blockhash.
const GONE_SLOTS: u64 = 300;
/// Slots by which a bank must be newer than the one with the cancel to show that the cancel is gone.
const CANCEL_GONE_SLOTS: u64 = 4;
/// Longest wait before a result is tried again, in slots.
const LONGEST_RETRY: u64 = 64;

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
                finalized: true,
                view,
            } => self.rooted(slot, view, &mut out),
            Event::Chain {
                slot,
                finalized: false,
                view,
            } => self.seen(slot, view, &mut out),
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
            Event::EngineFailed | Event::GrammarFailed => {
                if self.work == Work::Running {
                    self.work = Work::Failed;
                    out.push(Action::FailClient(match event {
                        Event::GrammarFailed => Failure::Grammar,
                        _ => Failure::Engine,
                    }));
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

    /// A finalized bank is older than the processed one: it only decides what is over for good.
    fn rooted(&mut self, slot: u64, view: View, out: &mut Vec<Action>) {
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
    }

    /// What a processed bank says.
    fn seen(&mut self, slot: u64, view: View, out: &mut Vec<Action>) {
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
