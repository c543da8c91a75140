//! A dispute of a result with its jury, and the pages of output posted under it.

use super::*;
use crate::comparison::Rule;
use crate::le::{I32, U16, U32};
use crate::leaf::Leaf;
use crate::output::OUTPUT_CHUNK;
use crate::params::{MAX_JURY_SEATS, Rules};

byte_enum! {
    /// `header.status` of [`Dispute`].
    DisputeStatus {
        /// Openings and output are awaited.
        Openings = 1 "openings",
        /// All is shown; the jury commits and reveals.
        Jury = 2 "jury",
        /// Decided.
        Resolved = 3 "resolved",
    }
}

byte_enum! {
    /// What a dispute was decided by: `Dispute::ground`, 0 while undecided.
    Ground {
        /// The jury's vectors.
        Jury = 1 "jury",
        /// Openings or output were not shown in time.
        Unanswered = 2 "unanswered",
        /// Everything was shown, and the model has no thresholds that a jury could judge by.
        NoThresholds = 3 "no_thresholds",
        /// The job was decided by another dispute or by a fault.
        Overtaken = 4 "overtaken",
        /// A leaf that breaks the rules.
        Fault = 5 "fault",
    }
}

byte_enum! {
    /// `Dispute::verdict`, 0 while undecided.
    Verdict {
        /// The result was false.
        Guilty = 1 "guilty",
        /// The result was good.
        NotGuilty = 2 "not_guilty",
        /// Not decided, or overtaken by another dispute.
        Void = 3 "void",
        /// The program itself found a fault.
        Fault = 4 "fault",
    }
}

/// One leaf of the fingerprint that was opened under a dispute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct OpenedLeaf {
    /// 1 once it was shown.
    pub present: u8,
    /// Position in the output.
    pub position: U32,
    /// Token at it.
    pub token: U32,
    /// The four ids with the largest logits.
    pub ids: [U32; 4],
    /// Their logits, Q16.16.
    pub logits: [I32; 4],
}

impl OpenedLeaf {
    /// Fills in a leaf that was shown.
    pub fn show(&mut self, leaf: &Leaf) {
        self.present = 1;
        self.position.set(leaf.position);
        self.token.set(leaf.token);
        for (i, (id, logit)) in leaf.top4.iter().enumerate() {
            self.ids[i].set(*id);
            self.logits[i].set(*logit);
        }
    }

    /// The logits that were submitted, largest first.
    pub fn given(&self) -> [i32; 4] {
        self.logits.map(I32::get)
    }
}

/// One seat of a jury.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct JurySeat {
    /// Authority of the juror; zero = not taken.
    pub juror: Key,
    /// Rank of the juror at this seat, Q16.16.
    pub rank: I32,
    /// Hash of the slot that draws this seat; zero = not used yet.
    pub slot_hash: Hash,
    /// [`crate::hash::juror_commitment`].
    pub commitment: Hash,
    /// Slot of the commitment.
    pub committed_slot: U64,
    /// Slot of the reveal, 0 = none.
    pub revealed_slot: U64,
    /// 1 once the amount of this seat was collected.
    pub collected: u8,
    /// 1 if its vector shows fraud.
    pub fraud: u8,
    /// Bit per seat that shows fraud too and whose vector agrees with this one, itself included.
    pub agrees: U16,
    /// Per checked position, logits at the four ids and the juror's own fourth-largest, Q16.16.
    pub vector: [[I32; 5]; CHECKED_POSITIONS],
    /// Lamports due to the juror.
    pub reward: U64,
    /// Lamports that the juror loses; once collected, those that it lost.
    pub penalty: U64,
}

impl JurySeat {
    /// Whether somebody sits here.
    pub fn is_taken(&self) -> bool {
        self.juror != NO_KEY
    }

    /// Whether its juror has shown its vector.
    pub fn is_revealed(&self) -> bool {
        self.revealed_slot.get() != 0
    }

    /// Whether something is left to collect.
    pub fn is_due(&self) -> bool {
        self.collected == 0 && (self.reward.get() != 0 || self.penalty.get() != 0)
    }
}

/// A challenge of a job's result, or the record of a proven fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Dispute {
    /// Status: [`DisputeStatus`].
    pub header: Header,
    /// Address of the [`Job`].
    pub job: Key,
    /// Address of the [`Model`].
    pub model: Key,
    /// Authority of the challenger, or of who proved the fault.
    pub challenger: Key,
    /// Authority of the validator that submitted.
    pub submitter: Key,
    /// Who paid the rent.
    pub rent_payer: Key,
    /// Result that is challenged.
    pub fingerprint: Hash,
    /// Slot of the job's request: jurors supported the model before it.
    pub requested_slot: U64,
    /// Slot of the result.
    pub submitted_slot: U64,
    /// Slot of the challenge.
    pub challenged_slot: U64,
    /// Slot in which openings and output were complete.
    pub completed_slot: U64,
    /// Slot of the end.
    pub resolved_slot: U64,
    /// [`Verdict`], 0 while undecided.
    pub verdict: u8,
    /// [`Ground`], 0 while undecided.
    pub ground: u8,
    /// Seats of the jury.
    pub jury_seats: u8,
    /// Sampled positions.
    pub sampled: u8,
    /// Positions named by the challenger, behind the sampled ones.
    pub named: u8,
    /// Leaves shown.
    pub opened: u8,
    /// 1 if the model's kernel profile is exact.
    pub exact: u8,
    /// [`FinishReason`] of the result.
    pub finish_reason: u8,
    /// Tokens of the output.
    pub output_tokens: U32,
    /// Slots in which jurors commit.
    pub commit_slots: U16,
    /// Threshold τ₁ of the model, parts per million.
    pub error_ppm: U32,
    /// Threshold τ₃ of the model, parts per million.
    pub miss_ppm: U32,
    /// Used part of `eos_ids`.
    pub eos_count: u8,
    /// End-of-sequence ids of the model.
    pub eos_ids: [U32; MODEL_EOS_IDS],
    /// The job's rules.
    pub rules: Rules,
    /// Slot hashes that draw the sample.
    pub sample_hashes: [Hash; 4],
    /// Leaves of the checked positions.
    pub leaves: [OpenedLeaf; CHECKED_POSITIONS],
    /// The jury.
    pub seats: [JurySeat; MAX_JURY_SEATS],
    /// Lamports of the bond, as paid: the stake, the answering fee and the tariff of every seat.
    pub bond: U64,
    /// Part of the bond that is burned if the result was good.
    pub at_stake: U64,
    /// Part of the bond for the submitter's answer.
    pub answering_fee: U64,
    /// Part of the bond for each seat.
    pub tariff: U64,
    /// Lamports that lie here for somebody: the bond, then what is due and not collected.
    pub held: U64,
    /// Lamports prepaid here for the rent of the posted output.
    pub output_rent: U64,
    /// Lamports slashed.
    pub slashed_amount: U64,
    /// Lamports due to the challenger.
    pub challenger_amount: U64,
    /// 1 once the challenger's amount was collected.
    pub challenger_collected: u8,
    /// Lamports due to all jurors together.
    pub jurors_amount: U64,
    /// Lamports paid to the submitter for answering.
    pub submitter_amount: U64,
    /// Lamports of bond or slash that were burned.
    pub burned_amount: U64,
    /// Lamports that jurors lost, as far as collected; burned.
    pub penalties_amount: U64,
    /// Lamports that were due to jurors whose accounts were closed; burned when they were collected.
    pub forfeited_amount: U64,
}
account!(Dispute, 8);

impl Dispute {
    /// The status; `None` for a byte that is not listed.
    pub fn status(&self) -> Option<DisputeStatus> {
        DisputeStatus::from_u8(self.header.status)
    }

    /// Checked positions: sampled and named.
    pub fn checked(&self) -> usize {
        usize::from(self.sampled)
            .saturating_add(usize::from(self.named))
            .min(CHECKED_POSITIONS)
    }

    /// Leaves of the checked positions, sampled ones first.
    pub fn checked_leaves(&self) -> &[OpenedLeaf] {
        &self.leaves[..self.checked()]
    }

    /// [`crate::hash::positions_hash`] of the checked positions, which jurors name.
    pub fn positions_hash(&self) -> Hash {
        let mut positions = [U32::new(0); CHECKED_POSITIONS];
        for (out, leaf) in positions.iter_mut().zip(self.checked_leaves()) {
            *out = leaf.position;
        }
        crate::hash::positions_hash(&positions[..self.checked()])
    }

    /// The seats in use.
    pub fn jury(&self) -> &[JurySeat] {
        &self.seats[..usize::from(self.jury_seats).min(MAX_JURY_SEATS)]
    }

    /// The model's end-of-sequence ids.
    pub fn eos(&self) -> &[U32] {
        &self.eos_ids[..usize::from(self.eos_count).min(MODEL_EOS_IDS)]
    }

    /// How vectors are compared; `None` where there is no jury.
    pub fn rule(&self) -> Option<Rule> {
        match (self.exact, self.error_ppm.get()) {
            (0, 0) => None,
            (0, tau1_ppm) => Some(Rule::Calibrated {
                tau1_ppm,
                tau3_ppm: self.miss_ppm.get(),
            }),
            _ => Some(Rule::Exact),
        }
    }

    /// End of the time for openings and output.
    pub fn openings_end(&self) -> u64 {
        crate::window::openings_end(self.challenged_slot.get(), &self.rules)
    }

    /// Slot whose hash draws seat 0.
    pub fn jury_slot(&self) -> u64 {
        crate::window::jury_slot(self.completed_slot.get())
    }

    /// Slot from which jurors commit.
    pub fn commit_start(&self) -> u64 {
        crate::window::commit_start(self.completed_slot.get(), self.jury_seats)
    }

    /// Slot from which jurors commit no more, and reveal.
    pub fn commit_end(&self) -> u64 {
        self.commit_start()
            .saturating_add(u64::from(self.commit_slots.get()))
    }

    /// Slot from which jurors reveal no more.
    pub fn reveal_end(&self) -> u64 {
        self.commit_end()
            .saturating_add(u64::from(self.rules.reveal_slots.get()))
    }

    /// Whether everybody who sits on the jury has revealed.
    pub fn all_revealed(&self) -> bool {
        let mut seats = self.jury().iter();
        seats.all(|seat| !seat.is_taken() || seat.is_revealed())
    }

    /// Slot from which it can be resolved if nothing else happens; `None` once it is.
    pub fn due_slot(&self) -> Option<u64> {
        match self.status()? {
            DisputeStatus::Openings => Some(self.openings_end()),
            DisputeStatus::Jury if self.rule().is_none() => Some(self.completed_slot.get()),
            DisputeStatus::Jury if self.all_revealed() => Some(self.commit_end()),
            DisputeStatus::Jury => Some(self.reveal_end()),
            DisputeStatus::Resolved => None,
        }
    }

    /// Slot from which it can be closed, once it is resolved and everything collected.
    pub fn retention_end(&self) -> u64 {
        self.resolved_slot
            .get()
            .saturating_add(u64::from(self.rules.close_delay_slots.get()))
    }

    /// Slot from which it can be closed although fines were not collected.
    pub fn forfeit_end(&self) -> u64 {
        self.retention_end()
            .saturating_add(u64::from(self.rules.close_delay_slots.get()))
    }

    /// Slot until which the stake of its jurors is held: their fines are known and can be collected by then.
    pub fn juror_obliged_until(&self) -> u64 {
        self.reveal_end()
            .saturating_add(u64::from(self.rules.close_delay_slots.get()))
    }

    /// Whether it holds nothing for anybody any more; fines may be uncollected.
    pub fn all_paid(&self) -> bool {
        let unpaid = |seat: &JurySeat| seat.collected == 0 && seat.reward.get() != 0;
        self.challenger_collected != 0 && !self.jury().iter().any(unpaid)
    }

    /// Whether everybody has collected what is due.
    pub fn all_collected(&self) -> bool {
        self.challenger_collected != 0 && !self.jury().iter().any(JurySeat::is_due)
    }
}

/// A page of output posted under a dispute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Output {
    /// Status: 1.
    pub header: Header,
    /// Address of the [`Job`].
    pub job: Key,
    /// Who paid the rent.
    pub rent_payer: Key,
    /// Fingerprint that the output belongs to.
    pub fingerprint: Hash,
    /// Slot of the last posting.
    pub updated_slot: U64,
    /// Page number from 0.
    pub page: U32,
    /// Token ids of the page once it is complete.
    pub count: U32,
    /// Bit per posted chunk of 128 ids.
    pub chunks: U16,
    /// On page 0: chunks posted on all pages.
    pub posted: U32,
    /// On page 0: slot in which every page was complete.
    pub completed_slot: U64,
    /// Token ids.
    pub tokens: [U32; OUTPUT_PAGE_TOKENS],
}
account!(Output, 9);

impl Output {
    /// The token at a position of the output, `None` if it is on another page or not posted.
    pub fn token(&self, position: u32) -> Option<u32> {
        let page_tokens = OUTPUT_PAGE_TOKENS as u32;
        if position / page_tokens != self.page.get() {
            return None;
        }
        let at = position % page_tokens;
        let chunk = at / OUTPUT_CHUNK as u32;
        if (self.chunks.get() >> chunk) & 1 == 0 {
            return None;
        }
        self.tokens.get(at as usize).map(|token| token.get())
    }
}
