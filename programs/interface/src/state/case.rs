//! The case of a result: its claims, what was shown, its jury, its money; the jury's votes, and the pages of output
//! posted under it.

use super::*;
use crate::comparison::Rule;
use crate::le::{I32, U16, U32};
use crate::leaf::Leaf;
use crate::output::{OUTPUT_CHUNK, chunks};
use crate::params::{MAX_JURY_SEATS, Rules};

byte_enum! {
    /// `header.status` of [`Case`].
    CaseStatus {
        /// Output, sample and what the opener named are awaited.
        Opening = 1 "opening",
        /// They are shown. Others join; what they name is shown; then the jury is awaited.
        Joining = 2 "joining",
        /// Somebody has committed: nobody joins and nothing is shown any more.
        Jury = 3 "jury",
        /// Decided.
        Resolved = 4 "resolved",
    }
}

byte_enum! {
    /// What a claim says: `Claim::kind`.
    ClaimKind {
        /// The data behind the result is not to be had.
        Withheld = 1 "withheld",
        /// The sample, or the named positions, are not what the model computes.
        False = 2 "false",
    }
}

byte_enum! {
    /// What became of a claim: `Claim::outcome`, 0 while undecided.
    Outcome {
        /// It was true.
        Right = 1 "right",
        /// It was not; what it had at stake is burned.
        Wrong = 2 "wrong",
        /// Nobody knows.
        Undecided = 3 "undecided",
    }
}

byte_enum! {
    /// What a case was decided by: `Case::ground`, 0 while undecided.
    Ground {
        /// The jury's votes.
        Jury = 1 "jury",
        /// Output or leaves were not shown in time.
        Unanswered = 2 "unanswered",
        /// Everything was shown, and nobody said that it was false.
        NoClaim = 3 "no_claim",
        /// A leaf that breaks the rules.
        Fault = 5 "fault",
        /// The jury did not agree.
        NoQuorum = 6 "no_quorum",
        /// Fewer keys revealed than a verdict needs.
        TooFew = 7 "too_few_judges",
    }
}

byte_enum! {
    /// `Case::verdict`, 0 while undecided.
    Verdict {
        /// The result was false.
        Guilty = 1 "guilty",
        /// The result was good.
        NotGuilty = 2 "not_guilty",
        /// Not decided, which is final.
        Void = 3 "void",
        /// The program itself found a fault.
        Fault = 4 "fault",
    }
}

/// One leaf of the fingerprint that was opened in a case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct OpenedLeaf {
    /// 1 once it was shown, 2 where that was a proof that it breaks the rules.
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

    /// Fills in a leaf that was proved to break the rules, which nobody can post.
    pub fn condemn(&mut self, leaf: &Leaf) {
        self.show(leaf);
        self.present = 2;
    }

    /// The leaf as it was submitted.
    pub fn leaf(&self) -> Leaf {
        let mut top4 = [(0, 0); 4];
        for (entry, (id, logit)) in top4.iter_mut().zip(self.ids.iter().zip(&self.logits)) {
            *entry = (id.get(), logit.get());
        }
        Leaf {
            position: self.position.get(),
            token: self.token.get(),
            top4,
        }
    }

    /// The logits that were submitted, largest first.
    pub fn given(&self) -> [i32; 4] {
        self.logits.map(I32::get)
    }
}

/// What somebody says of a result, with a bond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Claim {
    /// Authority of the validator that says it.
    pub claimant: Key,
    /// [`ClaimKind`].
    pub kind: u8,
    /// Used part of `leaves`.
    pub named: u8,
    /// [`Outcome`], 0 while undecided.
    pub outcome: u8,
    /// 1 once the amount was collected.
    pub collected: u8,
    /// Slot in which it was said.
    pub claimed_slot: U64,
    /// Lamports that are burned if it is wrong.
    pub at_stake: U64,
    /// Lamports for the submitter's answer to what it added.
    pub answering_fee: U64,
    /// Lamports for the jury: a tariff for each seat, by the first that says `false`.
    pub tariffs: U64,
    /// Lamports due to the claimant.
    pub amount: U64,
    /// [`crate::dispute::exact_digest`] of the leaves, once all are shown.
    pub digest: Hash,
    /// Leaves of the named positions, ascending; the positions stand in them from the beginning.
    pub leaves: [OpenedLeaf; NAMED_POSITIONS],
}

impl Claim {
    /// Whether it says that the result is false.
    pub fn is_false(&self) -> bool {
        self.kind == ClaimKind::False as u8
    }

    /// The leaves of its positions, its group.
    pub fn group(&self) -> &[OpenedLeaf] {
        &self.leaves[..usize::from(self.named).min(NAMED_POSITIONS)]
    }

    /// Whether every position that it names is shown.
    pub fn is_shown(&self) -> bool {
        self.group().iter().all(|leaf| leaf.present != 0)
    }

    /// Whether a position that it names was proved to break the rules: then it is right, whatever a jury says.
    pub fn is_proved(&self) -> bool {
        self.group().iter().any(|leaf| leaf.present == 2)
    }

    /// All that its claimant paid in.
    pub fn bond(&self) -> u64 {
        self.at_stake
            .get()
            .saturating_add(self.answering_fee.get())
            .saturating_add(self.tariffs.get())
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
    /// Lamports due to the juror, whatever seats it has: in the first of them.
    pub reward: U64,
    /// Lamports that the juror loses for this seat; once collected, those that it lost.
    pub penalty: U64,
}

impl JurySeat {
    /// Whether somebody sits here.
    pub fn is_taken(&self) -> bool {
        self.juror != NO_KEY
    }

    /// Whether its juror has shown its vote.
    pub fn is_revealed(&self) -> bool {
        self.revealed_slot.get() != 0
    }

    /// Whether something is left to collect.
    pub fn is_due(&self) -> bool {
        self.collected == 0 && (self.reward.get() != 0 || self.penalty.get() != 0)
    }
}

/// The one case of a job: everything that is said against its result, and what comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Case {
    /// Status: [`CaseStatus`].
    pub header: Header,
    /// Address of the [`Job`].
    pub job: Key,
    /// Address of the [`Model`].
    pub model: Key,
    /// The model's file: any registration of it counts as serving.
    pub weights_hash: Hash,
    /// Authority of the validator that submitted.
    pub submitter: Key,
    /// Authority of who first proved a fault; zero = nobody. While somebody says `false` the jury goes on all the same.
    pub prover: Key,
    /// Who paid the rent.
    pub rent_payer: Key,
    /// Result that it is about.
    pub fingerprint: Hash,
    /// Slot of the job's request: who judges supported the model long before it.
    pub requested_slot: U64,
    /// Slot of the result.
    pub submitted_slot: U64,
    /// Slot in which it was opened.
    pub opened_slot: U64,
    /// Slot in which output, sample and the opener's positions were shown; others join from then on.
    pub shown_slot: U64,
    /// Slot of the last leaf.
    pub leaves_slot: U64,
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
    /// Leaves of the sample that were shown.
    pub opened: u8,
    /// 1 if the model's kernel profile is exact.
    pub exact: u8,
    /// [`FinishReason`] of the result.
    pub finish_reason: u8,
    /// Used part of `claims`.
    pub claim_count: u8,
    /// Those of them that say `false`.
    pub false_count: u8,
    /// 1 once the prover's amount was collected.
    pub prover_collected: u8,
    /// Used part of `eos_ids`.
    pub eos_count: u8,
    /// [`KernelProfile`] of the model.
    pub kernel_profile: U16,
    /// Slots in which jurors commit.
    pub commit_slots: U16,
    /// Tokens of the output.
    pub output_tokens: U32,
    /// Threshold τ₁ of the model, parts per million.
    pub error_ppm: U32,
    /// Threshold τ₃ of the model, parts per million.
    pub miss_ppm: U32,
    /// End-of-sequence ids of the model.
    pub eos_ids: [U32; MODEL_EOS_IDS],
    /// The job's rules.
    pub rules: Rules,
    /// Stake of the submitter in the slot of the result, active and unbonding: what bonds are computed on.
    pub stake_at_result: U64,
    /// Pay of a juror where the jury decides: the rules' tariff and the job's fee as far as their cap.
    pub tariff: U64,
    /// Slot hashes that draw the sample.
    pub sample_hashes: [Hash; 4],
    /// Leaves of the sample; the positions stand in them from the beginning.
    pub leaves: [OpenedLeaf; SAMPLED_POSITIONS],
    /// [`crate::dispute::exact_digest`] of them, once all are shown.
    pub sample_digest: Hash,
    /// The leaf that breaks the rules, where one was proved.
    pub fault: OpenedLeaf,
    /// The claims, in the order in which they were made: the first opened the case.
    pub claims: [Claim; MAX_CLAIMS],
    /// Active stake of all who committed, whether they won a seat or not, each counted once: the most that this jury can take.
    pub committed_stake: U64,
    /// A bit for each of them, [`crate::sortition::committer_bit`]. Whose bit is another's already does not count.
    pub committers: [u8; COMMITTER_BYTES],
    /// The jury.
    pub seats: [JurySeat; MAX_JURY_SEATS],
    /// Lamports that lie here for somebody: the bonds, then what is due and not collected.
    pub held: U64,
    /// Lamports prepaid here for the rent of the posted output.
    pub output_rent: U64,
    /// Lamports slashed.
    pub slashed_amount: U64,
    /// Lamports due to all claimants together.
    pub claimants_amount: U64,
    /// Lamports due to all jurors together.
    pub jurors_amount: U64,
    /// Lamports paid to the submitter for answering.
    pub submitter_amount: U64,
    /// Lamports due to who proved a fault.
    pub prover_amount: U64,
    /// Lamports of bonds or slash that were burned.
    pub burned_amount: U64,
    /// Lamports that jurors lost, as far as collected; burned.
    pub penalties_amount: U64,
    /// Lamports that were due to jurors or a prover whose accounts were closed; burned when they were collected.
    pub forfeited_amount: U64,
}
account!(Case, 8);

impl Case {
    /// The status; `None` for a byte that is not listed.
    pub fn status(&self) -> Option<CaseStatus> {
        CaseStatus::from_u8(self.header.status)
    }

    /// The claims so far.
    pub fn claims(&self) -> &[Claim] {
        &self.claims[..usize::from(self.claim_count).min(MAX_CLAIMS)]
    }

    /// The claims that name positions, in their order: each has a group that is judged by itself.
    pub fn groups(&self) -> impl Iterator<Item = &Claim> {
        self.claims().iter().filter(|claim| claim.named != 0)
    }

    /// The leaves of the sample.
    pub fn sample(&self) -> &[OpenedLeaf] {
        &self.leaves[..usize::from(self.sampled).min(SAMPLED_POSITIONS)]
    }

    /// Every position that is checked, sampled or named, ascending and each once: what a juror's work digest is of.
    #[cfg(not(any(target_os = "solana", target_arch = "bpf")))]
    pub fn checked_positions(&self) -> alloc::vec::Vec<u32> {
        let named = self.claims().iter().flat_map(Claim::group);
        let leaves = self.sample().iter().chain(named);
        let mut positions: alloc::vec::Vec<u32> = leaves.map(|leaf| leaf.position.get()).collect();
        positions.sort_unstable();
        positions.dedup();
        positions
    }

    /// [`crate::hash::positions_hash`] of what is judged, which jurors name. Once everything is shown.
    pub fn positions_hash(&self) -> Hash {
        let mut positions = [U32::new(0); SAMPLED_POSITIONS];
        for (out, leaf) in positions.iter_mut().zip(self.sample()) {
            *out = leaf.position;
        }
        let mut digests = [[0; 32]; MAX_FALSE];
        let mut count = 0;
        for (out, claim) in digests.iter_mut().zip(self.groups()) {
            *out = claim.digest;
            count += 1;
        }
        crate::hash::positions_hash(&positions[..self.sample().len()], &digests[..count])
    }

    /// The seats in use.
    pub fn jury(&self) -> &[JurySeat] {
        &self.seats[..usize::from(self.jury_seats).min(MAX_JURY_SEATS)]
    }

    /// The model's end-of-sequence ids.
    pub fn eos(&self) -> &[U32] {
        &self.eos_ids[..usize::from(self.eos_count).min(MODEL_EOS_IDS)]
    }

    /// How votes are compared; `None` where nothing can be judged.
    pub fn rule(&self) -> Option<Rule> {
        Rule::of(self.exact != 0, self.error_ppm.get(), self.miss_ppm.get())
    }

    /// Bytes of a juror's vote.
    pub fn vote_len(&self) -> usize {
        match self.exact {
            0 => crate::comparison::VALUES_LEN * self.sample().len(),
            _ => size_of::<Hash>() * (2 + self.groups().count()),
        }
    }

    /// Whether output, sample and all that was named are shown.
    pub fn is_shown(&self) -> bool {
        self.shown_slot.get() != 0 && self.claims().iter().all(Claim::is_shown)
    }

    /// Slot from which nobody joins; 0 while nobody does yet.
    pub fn joining_end(&self) -> u64 {
        match self.shown_slot.get() {
            0 => 0,
            shown => crate::window::joining_end(shown, &self.rules),
        }
    }

    /// End of the time for output and leaves that are not shown yet.
    pub fn leaves_due(&self) -> u64 {
        let (from, chunks) = match self.shown_slot.get() {
            0 => (self.opened_slot.get(), chunks(self.output_tokens.get())),
            _ => (self.joining_end(), 0),
        };
        crate::window::openings_end(from, chunks, &self.rules)
    }

    /// Whether a commitment of this validator counts already, or that of another one with the same bit. Once the seats are drawn.
    pub fn counts(&self, authority: &Key) -> bool {
        let bit = self.committer_bit(authority);
        self.committers[bit / 8] >> (bit % 8) & 1 == 1
    }

    /// Counts the commitment of this validator.
    pub fn count(&mut self, authority: &Key) {
        let bit = self.committer_bit(authority);
        self.committers[bit / 8] |= 1 << (bit % 8);
    }

    fn committer_bit(&self, authority: &Key) -> usize {
        crate::sortition::committer_bit(&self.seats[0].slot_hash, authority)
    }

    /// Slot whose hash draws seat 0, once everything is shown.
    pub fn jury_slot(&self) -> u64 {
        crate::window::jury_slot(self.joining_end().max(self.leaves_slot.get()))
    }

    /// Slot from which jurors commit.
    pub fn commit_start(&self) -> u64 {
        crate::window::commit_start(self.jury_slot(), self.jury_seats)
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
            CaseStatus::Opening => Some(self.leaves_due()),
            CaseStatus::Joining if !self.is_shown() => Some(self.leaves_due()),
            CaseStatus::Joining if self.false_count == 0 => Some(self.joining_end()),
            CaseStatus::Joining | CaseStatus::Jury if self.all_revealed() => {
                Some(self.commit_end())
            }
            CaseStatus::Joining | CaseStatus::Jury => Some(self.reveal_end()),
            CaseStatus::Resolved => None,
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

    /// Whether something is left to collect for who proved a fault.
    pub fn is_prover_due(&self) -> bool {
        self.prover_collected == 0 && self.prover_amount.get() != 0
    }

    /// Whether every claimant has collected, and who proved a fault.
    fn claims_collected(&self) -> bool {
        self.claims().iter().all(|claim| claim.collected != 0) && !self.is_prover_due()
    }

    /// Whether it holds nothing for anybody any more; fines may be uncollected.
    pub fn all_paid(&self) -> bool {
        let unpaid = |seat: &JurySeat| seat.collected == 0 && seat.reward.get() != 0;
        self.claims_collected() && !self.jury().iter().any(unpaid)
    }

    /// Whether everybody has collected what is due.
    pub fn all_collected(&self) -> bool {
        self.claims_collected() && !self.jury().iter().any(JurySeat::is_due)
    }
}

/// What the juror of one seat has revealed, and how it compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Vote {
    /// As it was revealed, zeroes behind. Exact profile: digests of work, sample, and each group in the order of the claims.
    /// Calibrated: for each sampled position five logits, Q16.16: those at the submitter's four ids, and its own fourth-largest.
    pub body: [u8; VOTE_LEN],
    /// For each of these digests, bit per seat that revealed the same. Calibrated: of the sample alone, for votes that show
    /// fraud, bit per seat that shows fraud too and agrees.
    pub agrees: [U16; VOTE_DIGESTS],
    /// Bit per digest that finds the leaves true: 1 for the sample, 2 and on for the groups.
    pub right: U32,
}

impl Vote {
    /// A digest of an exact vote.
    pub fn digest(&self, index: usize) -> Hash {
        let mut digest = [0; 32];
        if let Some(bytes) = self.body.get(32 * index..).and_then(|rest| rest.get(..32)) {
            digest.copy_from_slice(bytes);
        }
        digest
    }

    /// The values of a calibrated vote.
    pub fn values(&self) -> &[[I32; 5]] {
        bytemuck::cast_slice(&self.body[..SAMPLED_POSITIONS * crate::comparison::VALUES_LEN])
    }
}

/// The votes of a case's jury, by seats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Votes {
    /// Status: 1.
    pub header: Header,
    /// Address of the [`Case`].
    pub case: Key,
    /// Who paid the rent: the first who said `false`.
    pub rent_payer: Key,
    /// The vote of each seat.
    pub votes: [Vote; MAX_JURY_SEATS],
}
account!(Votes, 10);

/// A page of output posted in a case.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::Params;

    fn case() -> Case {
        let mut case = Case::zeroed();
        case.header.status = CaseStatus::Opening as u8;
        case.rules = Params::mainnet().rules;
        case.jury_seats = 15;
        case.commit_slots.set(100);
        case.opened_slot.set(1_000);
        case.claim_count = 1;
        case
    }

    #[test]
    fn what_comes_when() {
        let mut case = case();
        assert_eq!(case.due_slot(), Some(10_000));
        case.header.status = CaseStatus::Joining as u8;
        case.shown_slot.set(2_000);
        case.leaves_slot.set(2_000);
        assert_eq!((case.joining_end(), case.due_slot()), (2_100, Some(2_100)));
        // Somebody says `false` and names a position that is not shown.
        case.false_count = 1;
        case.claims[1].named = 1;
        case.claim_count = 2;
        assert_eq!(case.due_slot(), Some(11_100));
        // Shown while others may still join: the jury waits for the end of that.
        case.claims[1].leaves[0].present = 1;
        case.leaves_slot.set(2_050);
        assert_eq!((case.jury_slot(), case.commit_start()), (2_108, 2_168));
        assert_eq!(case.due_slot(), Some(2_268));
        // Shown later: it waits for that.
        case.leaves_slot.set(5_000);
        assert_eq!((case.jury_slot(), case.commit_start()), (5_008, 5_068));
        case.header.status = CaseStatus::Jury as u8;
        case.seats[0].juror = [1; 32];
        assert_eq!(case.due_slot(), Some(5_168 + 300));
        case.seats[0].revealed_slot.set(5_170);
        assert_eq!(case.due_slot(), Some(5_168));
    }

    #[test]
    fn positions_are_checked_once_whoever_names_them() {
        let mut case = case();
        case.sampled = 2;
        case.leaves[0].position.set(4);
        case.leaves[1].position.set(9);
        case.claim_count = 2;
        for claim in &mut case.claims[..2] {
            claim.named = 2;
            claim.leaves[0].position.set(3);
            claim.leaves[1].position.set(7);
        }
        assert_eq!(case.checked_positions(), [3, 4, 7, 9]);
        let before = case.positions_hash();
        case.claims[1].digest = [1; 32];
        assert_ne!(before, case.positions_hash());
    }
}
