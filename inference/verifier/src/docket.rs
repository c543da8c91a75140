//! The duties in one dispute, pure: a [`Case`] takes looks at the chain and outcomes of its duties, and says what to do next.
//!
//! The chain is the truth: every look plans anew from the accounts as they are, so a fork, a restart or a lost message changes
//! nothing but the time. What a case remembers beside (evidence at hand, a vector, what runs, what failed) can all be lost and
//! found again; only a vector is written down before it is committed to.

use std::collections::BTreeMap;

use mythic_interface::{
    dispute::chunks,
    hash::{self, Hash, juror_commitment},
    state::{Dispute, DisputeStatus, Job, JobStatus, Key, OUTPUT_PAGE_TOKENS, Output},
    window,
};

use super::postings::PAGE_CHUNKS;

/// Slots that whoever is paid to crank gets before a party does it.
const PARTY_DELAY: u64 = 12;
/// Slots before somebody who is no party cranks.
const STRANGER_DELAY: u64 = 60;
/// Looks after which what failed for good is tried again at the latest.
const MOST_BACKOFF: u64 = 32;

/// Who has the duties.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Me {
    /// The validator's authority.
    pub authority: Key,
    /// Keys that pay rent for it.
    pub payers: [Key; 2],
    /// Not jailed.
    pub active: bool,
    /// It computes the dispute's model and sits on juries.
    pub judges: bool,
    /// Registered and serving the dispute's model for long enough, with the stake that judging asks for, as the chain says.
    pub mature: bool,
}

/// A page of posted output, as far as duties go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Bit per posted chunk.
    pub chunks: u16,
    /// Who gets the rent.
    pub rent_payer: Key,
}

impl Page {
    /// Of an account.
    pub fn of(output: &Output) -> Self {
        Self {
            chunks: output.chunks.get(),
            rent_payer: output.rent_payer,
        }
    }
}

/// Pages of an output.
pub fn pages(tokens: u32) -> u32 {
    tokens.div_ceil(OUTPUT_PAGE_TOKENS as u32)
}

/// The accounts of a dispute at one slot.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    /// Number of the look; rises.
    pub number: u64,
    /// Slot of the bank that was read.
    pub slot: u64,
    /// Address of the dispute.
    pub address: &'a Key,
    pub dispute: &'a Dispute,
    /// Its job; `None` once closed.
    pub job: Option<&'a Job>,
    /// Its pages of output, in order; `None` where there is none.
    pub pages: &'a [Option<Page>],
    /// The dispute is resolved in a finalized bank.
    pub final_: bool,
}

/// A kind of duty; one of each runs at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Find evidence or at least the prompt.
    Fetch,
    /// Post output.
    Output,
    /// Post leaves.
    Openings,
    /// Compute the vector.
    Compute,
    /// Commit to it.
    Commit,
    /// Reveal it.
    Reveal,
    /// Have it decided.
    Resolve,
    /// Take what is due.
    Collect,
    /// Write down how it ended.
    Book,
    /// Close pages of output.
    CloseOutput,
    /// Close the dispute.
    Close,
}

/// Something to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Duty {
    /// Find the evidence of the result, or at least its prompt: here, at the submitter, at gateways.
    Fetch,
    /// Post these chunks of output.
    Output(Vec<u32>),
    /// Post the leaves of these positions.
    Openings(Vec<u32>),
    /// Compute the values at the checked positions, and write the vector down.
    Compute,
    /// Commit to this vector.
    Commit(Held),
    /// Reveal this vector.
    Reveal(Held),
    /// Send ResolveDispute.
    Resolve,
    /// Send CollectDispute for ourselves.
    Collect,
    /// Write down how it ended for us.
    Book,
    /// Close these pages.
    CloseOutput(Vec<u32>),
    /// Close the dispute.
    Close,
}

impl Duty {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Fetch => Kind::Fetch,
            Self::Output(_) => Kind::Output,
            Self::Openings(_) => Kind::Openings,
            Self::Compute => Kind::Compute,
            Self::Commit(_) => Kind::Commit,
            Self::Reveal(_) => Kind::Reveal,
            Self::Resolve => Kind::Resolve,
            Self::Collect => Kind::Collect,
            Self::Book => Kind::Book,
            Self::CloseOutput(_) => Kind::CloseOutput,
            Self::Close => Kind::Close,
        }
    }
}

/// A vector and its salt, written down before anything is committed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Fingerprint that it judges.
    pub fingerprint: Hash,
    /// [`hash::positions_hash`] of the positions that it is of.
    pub positions: Hash,
    /// Salt of the commitment.
    pub salt: [u8; 32],
    /// The values as they are revealed.
    pub vector: Vec<u8>,
}

impl Held {
    /// Whether it is of what the dispute checks now.
    pub fn fits(&self, dispute: &Dispute) -> bool {
        self.fingerprint == dispute.fingerprint && self.positions == dispute.positions_hash()
    }

    /// What is committed to.
    pub fn commitment(&self, address: &Key, authority: &Key) -> Hash {
        juror_commitment(address, authority, &self.salt, &self.vector)
    }
}

/// What is known of a result's data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Data {
    /// Nothing.
    #[default]
    None,
    Prompt,
    /// The whole evidence.
    Evidence,
}

/// What became of a duty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// This much data was found, of the result with this fingerprint.
    Found(Hash, Data),
    /// The vector is written down.
    Computed(Held),
    /// The jury has no seat for us.
    NotSeated,
    /// It failed; the next look tells whether it is still to be done.
    Failed,
}

/// What is remembered of a duty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Attempt {
    running: bool,
    failures: u32,
    /// Look before which it is not tried again.
    not_before: u64,
}

/// One dispute.
#[derive(Clone, Debug, Default)]
pub struct Case {
    data: Data,
    data_of: Hash,
    held: Option<Held>,
    /// Completion of the jury that had no seat for us.
    unseated: Option<u64>,
    booked: bool,
    attempts: BTreeMap<Kind, Attempt>,
    last_look: u64,
    last_completed: u64,
}

impl Case {
    /// A case, with what the journal holds of it.
    pub fn new(held: Option<Held>, booked: bool) -> Self {
        Self {
            held,
            booked,
            ..Self::default()
        }
    }

    /// Whether its end is written down.
    pub fn is_booked(&self) -> bool {
        self.booked
    }

    /// Whether something runs.
    pub fn is_busy(&self) -> bool {
        self.attempts.values().any(|attempt| attempt.running)
    }

    /// What is to be done, after a look at the chain. What is returned counts as running until [`Self::done`].
    pub fn look(&mut self, me: &Me, look: &Look<'_>) -> Vec<Duty> {
        self.last_look = look.number;
        self.last_completed = look.dispute.completed_slot.get();
        if self.data_of != look.dispute.fingerprint {
            // Another fork has another result.
            self.data = Data::None;
        }
        let duties = self.plan(me, look);
        duties
            .into_iter()
            .filter(|duty| {
                let attempt = self.attempts.entry(duty.kind()).or_default();
                let free = !attempt.running && look.number >= attempt.not_before;
                attempt.running |= free;
                free
            })
            .collect()
    }

    /// Takes the outcome of a duty.
    pub fn done(&mut self, kind: Kind, outcome: Outcome) {
        let attempt = self.attempts.entry(kind).or_default();
        attempt.running = false;
        let failed = match &outcome {
            Outcome::Failed | Outcome::Found(_, Data::None) => true,
            // A prompt alone may be joined by the leaves later.
            Outcome::Found(_, Data::Prompt) => true,
            _ => false,
        };
        attempt.failures = if failed { attempt.failures + 1 } else { 0 };
        let wait = match failed {
            true => (1u64 << attempt.failures.min(6)).min(MOST_BACKOFF),
            // The accounts as they are after it.
            false => 1,
        };
        attempt.not_before = self.last_look.saturating_add(wait);
        match outcome {
            Outcome::Found(of, data) => {
                if self.data_of != of || data > self.data {
                    (self.data_of, self.data) = (of, data);
                }
            }
            Outcome::Computed(held) => self.held = Some(held),
            Outcome::NotSeated => self.unseated = Some(self.last_completed),
            Outcome::Done if kind == Kind::Book => self.booked = true,
            Outcome::Done | Outcome::Failed => {}
        }
    }

    fn plan(&self, me: &Me, look: &Look<'_>) -> Vec<Duty> {
        let dispute = look.dispute;
        let mut out = Vec::new();
        match dispute.status() {
            Some(DisputeStatus::Openings) => self.answer(me, look, &mut out),
            Some(DisputeStatus::Jury) => self.judge(me, look, &mut out),
            Some(DisputeStatus::Resolved) => self.wind_up(me, look, &mut out),
            None => {}
        }
        if resolvable(me, look) {
            out.push(Duty::Resolve);
        }
        out
    }

    fn answer(&self, me: &Me, look: &Look<'_>, out: &mut Vec<Duty>) {
        let dispute = look.dispute;
        if !window::open(look.slot, dispute.openings_end()) || over(look) {
            return;
        }
        let own = dispute.submitter == me.authority;
        if self.data < Data::Evidence && (own || eligible(me, dispute)) {
            out.push(Duty::Fetch);
        }
        // A challenger is paid as well if nobody answers.
        let from = match own {
            true => 0,
            false if dispute.challenger == me.authority => return,
            false => helper_slot(me, look),
        };
        if self.data < Data::Evidence || look.slot < from {
            return;
        }
        let missing = missing_chunks(dispute, look.pages);
        if !missing.is_empty() {
            out.push(Duty::Output(missing));
            return;
        }
        let hidden = dispute.checked_leaves().iter().filter(|l| l.present == 0);
        out.push(Duty::Openings(hidden.map(|l| l.position.get()).collect()));
    }

    fn judge(&self, me: &Me, look: &Look<'_>, out: &mut Vec<Duty>) {
        let dispute = look.dispute;
        if dispute.rule().is_none() || over(look) {
            return;
        }
        let mut seats = dispute.jury().iter().filter(|s| s.juror == me.authority);
        let seat = seats.next();
        let commits = window::open(look.slot, dispute.commit_end())
            && seat.is_none()
            && eligible(me, dispute)
            && self.unseated != Some(dispute.completed_slot.get());
        let reveals = window::open(look.slot, dispute.reveal_end())
            && seat.is_some_and(|seat| !seat.is_revealed());
        if !commits && !reveals {
            return;
        }
        let Some(held) = self.held.as_ref().filter(|held| held.fits(dispute)) else {
            out.push(match self.data {
                Data::None => Duty::Fetch,
                Data::Prompt | Data::Evidence => Duty::Compute,
            });
            return;
        };
        if let Some(seat) = seat {
            let ours = held.commitment(look.address, &me.authority) == seat.commitment;
            if reveals && ours && !window::open(look.slot, dispute.commit_end()) {
                out.push(Duty::Reveal(held.clone()));
            }
        } else if !window::open(look.slot, dispute.commit_start()) {
            out.push(Duty::Commit(held.clone()));
        }
    }

    fn wind_up(&self, me: &Me, look: &Look<'_>, out: &mut Vec<Duty>) {
        let dispute = look.dispute;
        let resolved = dispute.resolved_slot.get();
        if look.final_ && !self.booked && is_party(me, dispute) {
            out.push(Duty::Book);
        }
        let challenger = dispute.challenger == me.authority;
        let seats = dispute.jury().iter().filter(|s| s.juror == me.authority);
        let owed = seats.filter(|s| s.is_due()).any(|s| s.reward.get() != 0)
            || (challenger && dispute.challenger_collected == 0);
        if owed && look.slot >= resolved.saturating_add(PARTY_DELAY) {
            out.push(Duty::Collect);
        }
        if !me.payers.contains(&dispute.rent_payer) || !self.booked {
            return;
        }
        let from = dispute.retention_end().saturating_add(PARTY_DELAY);
        let ended = match look.job {
            None => true,
            Some(job) => {
                job.open_disputes.get() == 0 && job.status().is_some_and(JobStatus::is_terminal)
            }
        };
        if look.slot < from || !ended {
            return;
        }
        let kept = (0u32..).zip(look.pages).filter_map(|(number, page)| {
            page.filter(|page| me.payers.contains(&page.rent_payer))
                .map(|_| number)
        });
        let kept: Vec<u32> = kept.collect();
        if !kept.is_empty() {
            out.push(Duty::CloseOutput(kept));
        } else if dispute.all_collected() {
            out.push(Duty::Close);
        }
    }
}

/// Whether the job was decided by another dispute or a fault: nothing more is posted or judged.
fn over(look: &Look<'_>) -> bool {
    look.job
        .is_none_or(|job| job.status().is_none_or(JobStatus::is_terminal))
}

/// Whether it may judge.
pub fn eligible(me: &Me, dispute: &Dispute) -> bool {
    me.active
        && me.judges
        && me.mature
        && ![dispute.challenger, dispute.submitter].contains(&me.authority)
}

/// Whether it has something at stake.
pub fn is_party(me: &Me, dispute: &Dispute) -> bool {
    [dispute.challenger, dispute.submitter].contains(&me.authority)
        || dispute.jury().iter().any(|seat| seat.juror == me.authority)
}

/// A number of ours alone, to spread what anyone may do.
fn lot(me: &Me, look: &Look<'_>) -> u64 {
    u64::from(
        hash::sha256(&[
            mythic_interface::hash::domain::LOT,
            &me.authority,
            look.address,
        ])[0],
    )
}

/// Slot from which somebody who is no party answers for the submitter: it had a third of the time.
fn helper_slot(me: &Me, look: &Look<'_>) -> u64 {
    let dispute = look.dispute;
    let time = u64::from(dispute.rules.openings_slots.get());
    let spread = (time / 6).max(1);
    dispute
        .challenged_slot
        .get()
        .saturating_add(time / 3)
        .saturating_add(lot(me, look) % spread)
}

/// Chunks of output that are not posted.
pub fn missing_chunks(dispute: &Dispute, pages: &[Option<Page>]) -> Vec<u32> {
    (0..chunks(dispute.output_tokens.get()))
        .filter(|chunk| {
            let page = pages.get((chunk / PAGE_CHUNKS) as usize).copied().flatten();
            page.is_none_or(|page| (page.chunks >> (chunk % PAGE_CHUNKS)) & 1 == 0)
        })
        .collect()
}

/// Whether it is time that we have it decided.
fn resolvable(me: &Me, look: &Look<'_>) -> bool {
    let dispute = look.dispute;
    let Some(due) = dispute.due_slot() else {
        return false;
    };
    let due = match (over(look), look.job) {
        (true, Some(job)) => due.min(job.ended_slot.get()),
        // Without its job it can't be decided; a job never closes before its disputes are.
        (_, None) => return false,
        (false, Some(_)) => due,
    };
    let delay = match is_party(me, dispute) {
        true => PARTY_DELAY,
        false => STRANGER_DELAY,
    };
    let from = due.saturating_add(delay).saturating_add(lot(me, look) % 16);
    !window::open(look.slot, from)
}

#[cfg(test)]
#[path = "docket_tests.rs"]
mod tests;
