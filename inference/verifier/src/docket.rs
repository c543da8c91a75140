//! The duties in one case, pure: a [`Docket`] takes looks at the chain and outcomes of its duties, and says what to do next.
//!
//! The chain is the truth: every look plans anew from the accounts as they are, so a fork, a restart or a lost message changes
//! nothing but the time. What a docket remembers beside (evidence at hand, a vote, what runs, what failed) can all be lost and
//! found again; only a vote is written down before it is committed to.

use std::collections::{BTreeMap, BTreeSet};

use mythic_interface::{
    hash::{self, Hash, juror_commitment},
    output::chunks,
    state::{Case, CaseStatus, Job, Key, OUTPUT_PAGE_TOKENS, Output},
    window,
};

use super::{postings::PAGE_CHUNKS, question::checked, seat};

/// Slots that whoever is paid to crank gets before a party does it.
const PARTY_DELAY: u64 = 12;
/// Slots before somebody who is no party cranks, and before a party does it for others.
const STRANGER_DELAY: u64 = 60;
/// Slots that the submitter gets, at most, before a claimant shows its evidence for it, and before anybody else does.
const CLAIMANT_PATIENCE: u64 = 75;
const HELPER_PATIENCE: u64 = 300;
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
    /// It computes the case's model, sits on juries, and would under the case's rules and thresholds.
    pub judges: bool,
    /// Registered and serving the case's model for long enough, with the stake that judging asks for, as the chain says.
    pub mature: bool,
    /// Its active stake.
    pub stake: u64,
    /// It commits where it wins no seat too, as long as that is of use.
    pub lends: bool,
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

/// The accounts of a case at one slot.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    /// Number of the look; rises.
    pub number: u64,
    /// Slot of the bank that was read.
    pub slot: u64,
    /// Address of the case.
    pub address: &'a Key,
    pub case: &'a Case,
    /// Its job; `None` once closed, which it isn't before its case is decided.
    pub job: Option<&'a Job>,
    /// Its pages of output, in order; `None` where there is none.
    pub pages: &'a [Option<Page>],
    /// The case is resolved in a finalized bank.
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
    /// Compute the vote.
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
    /// Close the case.
    Close,
}

/// Something to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Duty {
    /// Find the evidence of the result, or at least its prompt: here, at the submitter, at claimants, at gateways.
    Fetch,
    /// Post these chunks of output.
    Output(Vec<u32>),
    /// Show the leaves of these positions: post them, or prove that they break a rule.
    Openings(Vec<u32>),
    /// Compute the answer again, and write the vote down.
    Compute,
    /// Commit to this vote, for a seat or not.
    Commit(Held, bool),
    /// Reveal this vote.
    Reveal(Held),
    /// Send ResolveCase.
    Resolve,
    /// Send CollectCase for these validators.
    Collect(Vec<Key>),
    /// Write down how it ended for us.
    Book,
    /// Close these pages.
    CloseOutput(Vec<u32>),
    /// Close the case and its votes.
    Close,
}

impl Duty {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Fetch => Kind::Fetch,
            Self::Output(_) => Kind::Output,
            Self::Openings(_) => Kind::Openings,
            Self::Compute => Kind::Compute,
            Self::Commit(..) => Kind::Commit,
            Self::Reveal(_) => Kind::Reveal,
            Self::Resolve => Kind::Resolve,
            Self::Collect(_) => Kind::Collect,
            Self::Book => Kind::Book,
            Self::CloseOutput(_) => Kind::CloseOutput,
            Self::Close => Kind::Close,
        }
    }
}

/// A vote and its salt, written down before anything is committed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Fingerprint that it judges.
    pub fingerprint: Hash,
    /// [`hash::positions_hash`] of what it judges.
    pub positions: Hash,
    /// Salt of the commitment.
    pub salt: [u8; 32],
    /// The vote as it is revealed.
    pub vote: Vec<u8>,
}

impl Held {
    /// Whether it is of what the case judges now.
    pub fn fits(&self, case: &Case) -> bool {
        self.fingerprint == case.fingerprint && self.positions == case.positions_hash()
    }

    /// What is committed to.
    pub fn commitment(&self, address: &Key, authority: &Key) -> Hash {
        juror_commitment(address, authority, &self.salt, &self.vote)
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
    /// The vote is written down.
    Computed(Held),
    /// The jury whose first slot this is holds our commitment, with a seat or without.
    Committed(u64),
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

/// One case.
#[derive(Clone, Debug, Default)]
pub struct Docket {
    data: Data,
    data_of: Hash,
    held: Option<Held>,
    /// First slot of the jury to which we have committed.
    committed: Option<u64>,
    booked: bool,
    attempts: BTreeMap<Kind, Attempt>,
    last_look: u64,
}

impl Docket {
    /// A docket, with what the journal holds of its case.
    pub fn new(held: Option<Held>, committed: Option<u64>, booked: bool) -> Self {
        Self {
            held,
            committed,
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
        if self.data_of != look.case.fingerprint {
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
                // Who looked for it adds to what is known; who needed it says that it is gone, so that it is looked for again.
                if self.data_of != of || data > self.data || kind != Kind::Fetch {
                    (self.data_of, self.data) = (of, data);
                }
            }
            Outcome::Computed(held) => self.held = Some(held),
            Outcome::Committed(jury) => self.committed = Some(jury),
            Outcome::Done if kind == Kind::Book => self.booked = true,
            Outcome::Done | Outcome::Failed => {}
        }
    }

    fn plan(&self, me: &Me, look: &Look<'_>) -> Vec<Duty> {
        let mut out = Vec::new();
        match look.case.status() {
            Some(CaseStatus::Opening | CaseStatus::Joining) => {
                self.answer(me, look, &mut out);
                self.judge(me, look, &mut out);
            }
            Some(CaseStatus::Jury) => self.judge(me, look, &mut out),
            Some(CaseStatus::Resolved) => self.wind_up(me, look, &mut out),
            None => {}
        }
        if resolvable(me, look) {
            out.push(Duty::Resolve);
        }
        out
    }

    /// What is asked for is shown by whoever holds it: the submitter at once, a claimant soon, since what nobody shows brings it a
    /// tenth and what a jury sees two fifths, anybody else in time.
    fn answer(&self, me: &Me, look: &Look<'_>, out: &mut Vec<Duty>) {
        let case = look.case;
        if case.is_shown() || !window::open(look.slot, case.leaves_due()) {
            return;
        }
        let role = role(me, case);
        if self.data < Data::Evidence && (role != Role::Stranger || eligible(me, case)) {
            out.push(Duty::Fetch);
        }
        if self.data < Data::Evidence || look.slot < showing_slot(me, look, role) {
            return;
        }
        let missing = missing_chunks(case, look.pages);
        if !missing.is_empty() {
            out.push(Duty::Output(missing));
            return;
        }
        // Claims may name the same positions, and each is shown once for all.
        let hidden = checked(case).filter(|leaf| leaf.present == 0);
        let hidden: BTreeSet<u32> = hidden.map(|leaf| leaf.position.get()).collect();
        out.push(Duty::Openings(hidden.into_iter().collect()));
    }

    fn judge(&self, me: &Me, look: &Look<'_>, out: &mut Vec<Duty>) {
        let case = look.case;
        // Until then others may say `false`, or name what is not shown.
        if case.rule().is_none() || case.false_count == 0 || !case.is_shown() {
            return;
        }
        let mut seats = case.jury().iter().filter(|s| s.juror == me.authority);
        let seat = seats.next();
        let wins = seat::wins(case, look.address, &me.authority, me.stake);
        let commits = window::open(look.slot, case.commit_end())
            && seat.is_none()
            && eligible(me, case)
            && !self.has_committed(me, case)
            && (wins || me.lends && seat::counts(case));
        let reveals = window::open(look.slot, case.reveal_end())
            && seat.is_some_and(|seat| !seat.is_revealed());
        if !commits && !reveals {
            return;
        }
        let Some(held) = self.held.as_ref().filter(|held| held.fits(case)) else {
            out.push(match self.data {
                Data::None => Duty::Fetch,
                Data::Prompt | Data::Evidence => Duty::Compute,
            });
            return;
        };
        if let Some(seat) = seat {
            let ours = held.commitment(look.address, &me.authority) == seat.commitment;
            if reveals && ours && !window::open(look.slot, case.commit_end()) {
                out.push(Duty::Reveal(held.clone()));
            }
        } else if !window::open(look.slot, case.commit_start()) {
            out.push(Duty::Commit(held.clone(), wins));
        }
    }

    /// Whether it has committed to this jury, seated or not: it can't again. The bit in the case alone says nothing, since another
    /// key may have the same one; where it is gone, so is the slot that carried the commitment.
    fn has_committed(&self, me: &Me, case: &Case) -> bool {
        self.committed == Some(case.jury_slot()) && case.counts(&me.authority)
    }

    fn wind_up(&self, me: &Me, look: &Look<'_>, out: &mut Vec<Duty>) {
        let case = look.case;
        let resolved = case.resolved_slot.get();
        if look.final_ && !self.booked && is_party(me, case) {
            out.push(Duty::Book);
        }
        let due = case.due_parties();
        let own = due.contains(&me.authority);
        let party = is_party(me, case) || pays(me, case);
        if party && !due.is_empty() && look.slot >= resolved.saturating_add(STRANGER_DELAY) {
            // Fines too: nobody else may care for them.
            out.push(Duty::Collect(due));
        } else if own && look.slot >= resolved.saturating_add(PARTY_DELAY) {
            out.push(Duty::Collect(vec![me.authority]));
        }
        if !pays(me, case) || (is_party(me, case) && !self.booked) {
            return;
        }
        // Pages can go as soon as the case could if it owed nothing.
        if look.slot < case.retention_end().saturating_add(PARTY_DELAY) {
            return;
        }
        let kept = (0u32..).zip(look.pages).filter_map(|(number, page)| {
            page.filter(|page| me.payers.contains(&page.rent_payer))
                .map(|_| number)
        });
        let kept: Vec<u32> = kept.collect();
        let closable = case.closable_from();
        if !kept.is_empty() {
            out.push(Duty::CloseOutput(kept));
        } else if closable.is_some_and(|from| look.slot >= from.saturating_add(PARTY_DELAY)) {
            out.push(Duty::Close);
        }
    }
}

/// Whose evidence is asked for, who says something of it, and who looks on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Submitter,
    Claimant,
    Stranger,
}

fn role(me: &Me, case: &Case) -> Role {
    if case.submitter == me.authority {
        return Role::Submitter;
    }
    match claims(me, case) {
        true => Role::Claimant,
        false => Role::Stranger,
    }
}

fn claims(me: &Me, case: &Case) -> bool {
    case.claims()
        .iter()
        .any(|claim| claim.claimant == me.authority)
}

/// Whether it may judge.
pub fn eligible(me: &Me, case: &Case) -> bool {
    me.active && me.judges && me.mature && role(me, case) == Role::Stranger
}

/// Whether it has something at stake.
pub fn is_party(me: &Me, case: &Case) -> bool {
    role(me, case) != Role::Stranger
        || case.prover == me.authority
        || case.jury().iter().any(|seat| seat.juror == me.authority)
}

/// Whether rent of it returns to us: of the case, or of the votes, which the first `false` paid.
pub fn pays(me: &Me, case: &Case) -> bool {
    let mut falses = case.claims().iter().filter(|claim| claim.is_false());
    me.payers.contains(&case.rent_payer)
        || falses
            .next()
            .is_some_and(|claim| claim.claimant == me.authority)
}

/// Slot from which a vote of ours that is not computed is of no use.
pub fn vote_due(me: &Key, case: &Case) -> u64 {
    match case.jury().iter().any(|seat| seat.juror == *me) {
        true => case.reveal_end(),
        false => case.commit_end(),
    }
}

/// Cases in care at most, but for those in which we have a part: of those that wait to be shown, and as many of the others. One is
/// opened cheaply and may wait for an hour, and should keep nobody from another's jury.
const MOST_CASES: usize = 512;
/// Those among them of one submitter.
const MOST_OF_ONE: usize = MOST_CASES / 4;

/// The place that a case takes among those in care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Something that it asks for is not shown.
    pub waits: bool,
    pub submitter: Key,
}

impl Place {
    /// Of a case.
    pub fn of(case: &Case) -> Self {
        Self {
            waits: !case.is_shown(),
            submitter: case.submitter,
        }
    }

    /// Whether there is such a place beside those that are taken.
    pub fn is_free(&self, taken: impl Iterator<Item = Self>) -> bool {
        let like = taken.filter(|other| other.waits == self.waits);
        let (all, own) = like.fold((0, 0), |(all, own), other| {
            (
                all + 1,
                own + usize::from(other.submitter == self.submitter),
            )
        });
        all < MOST_CASES && own < MOST_OF_ONE
    }
}

/// Whether it proves what breaks a rule among the leaves that a case asks for, and that nobody can post. Before everything else is shown
/// a proof ends the case, so that is left to who claims: an opener who names nothing would be paid for it.
pub fn proves(me: &Key, case: &Case) -> bool {
    let mut claims = case.claims().iter();
    case.submitter != *me
        && (case.shown_slot.get() != 0 || claims.any(|claim| claim.claimant == *me))
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

/// Slot in which what is not shown yet was asked for: what joiners name may be shown while others still join.
pub fn asked_from(case: &Case) -> u64 {
    let named = case.claims().iter().map(|claim| claim.claimed_slot.get());
    named.max().unwrap_or(0).max(case.opened_slot.get())
}

/// Slot from which it shows what it holds.
fn showing_slot(me: &Me, look: &Look<'_>, role: Role) -> u64 {
    let case = look.case;
    let asked = asked_from(case);
    let time = case.leaves_due().saturating_sub(asked);
    let wait = match role {
        Role::Submitter => 0,
        Role::Claimant => CLAIMANT_PATIENCE.min(time / 6),
        Role::Stranger => {
            let patience = HELPER_PATIENCE.min(time / 3);
            patience.saturating_add(lot(me, look) % (patience / 2).max(1))
        }
    };
    asked.saturating_add(wait)
}

/// Chunks of output that are not posted.
pub fn missing_chunks(case: &Case, pages: &[Option<Page>]) -> Vec<u32> {
    (0..chunks(case.output_tokens.get()))
        .filter(|chunk| {
            let page = pages.get((chunk / PAGE_CHUNKS) as usize).copied().flatten();
            page.is_none_or(|page| (page.chunks >> (chunk % PAGE_CHUNKS)) & 1 == 0)
        })
        .collect()
}

/// Whether it is time that we have it decided.
fn resolvable(me: &Me, look: &Look<'_>) -> bool {
    let case = look.case;
    let (Some(due), Some(_)) = (case.due_slot(), look.job) else {
        return false;
    };
    let delay = match is_party(me, case) {
        true => PARTY_DELAY,
        false => STRANGER_DELAY,
    };
    let from = due.saturating_add(delay).saturating_add(lot(me, look) % 16);
    !window::open(look.slot, from)
}

#[cfg(test)]
#[path = "docket_tests.rs"]
mod tests;
