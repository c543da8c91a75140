//! What must hold between the states before and after any transaction.

use std::collections::BTreeMap;

use mythic_interface::money;
use mythic_interface::state::{
    Account, Config, Dispute, DisputeStatus, EndReason, Ground, Job, JobStatus, Key, Model, NO_KEY,
    Output, SpendGrant, Treasury, Validator, Vault, Verdict,
};
use mythic_interface::window::retention_end;
use mythic_interface::{pda, state::Header};

use crate::keys::address;

/// An account of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Lamports it holds.
    pub lamports: u64,
    /// Lamports that keep it alive.
    pub rent: u64,
    /// Whether somebody sent lamports to it, so that it may hold more than it knows of.
    pub donated: bool,
    /// Its bytes.
    pub data: Vec<u8>,
}

/// The program's world at one moment.
#[derive(Clone, Debug)]
pub struct State {
    /// The current slot.
    pub slot: u64,
    /// Lamports of all accounts of the chain.
    pub total: u128,
    /// Lamports of the incinerator, which the runtime has not emptied yet.
    pub incinerator: u64,
    /// The program's accounts.
    pub accounts: BTreeMap<Key, Stored>,
}

macro_rules! ensure {
    ($condition:expr, $($text:tt)*) => {
        if !$condition {
            return Err(format!($($text)*));
        }
    };
}

impl State {
    fn all<T: Account>(&self) -> impl Iterator<Item = (&Key, &T)> {
        self.accounts
            .iter()
            .filter(|(_, stored)| stored.data.first() == Some(&T::DISCRIMINATOR))
            .filter_map(|(address, stored)| Some((address, T::load(&stored.data).ok()?)))
    }

    fn get<T: Account>(&self, address: &Key) -> Option<&T> {
        T::load(&self.accounts.get(address)?.data).ok()
    }

    fn jobs(&self) -> impl Iterator<Item = (&Key, &Job)> {
        self.all::<Job>()
    }

    fn sum<T: Account>(&self, amount: impl Fn(&T) -> u64) -> i128 {
        self.all::<T>()
            .map(|(_, account)| i128::from(amount(account)))
            .sum()
    }
}

/// Checks everything; `fee` is what the runtime took for the transaction.
///
/// # Errors
/// One sentence about the first invariant that does not hold.
pub fn check(before: &State, after: &State, fee: u128) -> Result<(), String> {
    ensure!(
        before.total == after.total + fee,
        "lamports were {} and are {} after a fee of {fee}",
        before.total,
        after.total
    );
    for (address, stored) in &after.accounts {
        balances(address, stored)?;
        let old = before.accounts.get(address);
        sequence(old, stored)?;
    }
    for (_, job) in after.jobs() {
        job_is_sound(job)?;
    }
    for (address, job) in before.jobs() {
        job_went_on(address, job, after)?;
    }
    for (_, dispute) in after.all::<Dispute>() {
        dispute_is_sound(dispute)?;
    }
    for (address, dispute) in before.all::<Dispute>() {
        dispute_went_on(address, dispute, after)?;
    }
    for (address, output) in before.all::<Output>() {
        output_went_on(address, output, before, after)?;
    }
    holdings(after)?;
    flows(before, after)
}

/// Each account's lamports are its rent and the balances it stores.
fn balances(address: &Key, stored: &Stored) -> Result<(), String> {
    let data = stored.data.as_slice();
    let load_error = |error| format!("{}: {error}", hex(address));
    let balance = match data.first() {
        Some(&Config::DISCRIMINATOR) => Config::load(data).map(|_| 0).map_err(load_error)?,
        Some(&Model::DISCRIMINATOR) => Model::load(data).map(|_| 0).map_err(load_error)?,
        Some(&SpendGrant::DISCRIMINATOR) => {
            SpendGrant::load(data).map(|_| 0).map_err(load_error)?
        }
        Some(&Treasury::DISCRIMINATOR) => {
            let treasury = Treasury::load(data).map_err(load_error)?;
            ensure!(
                treasury.received.get() == treasury.withdrawn.get() + treasury.balance.get(),
                "the treasury's totals differ from its balance"
            );
            treasury.balance.get()
        }
        Some(&Validator::DISCRIMINATOR) => {
            let v = Validator::load(data).map_err(load_error)?;
            let parts = [
                v.stake,
                v.activating,
                v.unbonding,
                v.claimable,
                v.owed_foundation,
                v.owed_burn,
            ];
            parts.iter().map(|part| part.get()).sum()
        }
        Some(&Vault::DISCRIMINATOR) => {
            let vault = Vault::load(data).map_err(load_error)?;
            let out = vault.withdrawn.get() + vault.spent.get();
            ensure!(
                vault.deposited.get() == out + vault.balance.get() + vault.held.get(),
                "a vault's totals differ from its balance"
            );
            vault.balance.get()
        }
        Some(&Job::DISCRIMINATOR) => Job::load(data).map_err(load_error)?.escrow.get(),
        Some(&Dispute::DISCRIMINATOR) => {
            let dispute = Dispute::load(data).map_err(load_error)?;
            dispute.held.get() + dispute.output_rent.get()
        }
        Some(&Output::DISCRIMINATOR) => Output::load(data).map(|_| 0).map_err(load_error)?,
        other => return Err(format!("{}: unknown type {other:?}", hex(address))),
    };
    let due = stored.rent + balance;
    ensure!(
        stored.lamports == due || stored.donated && stored.lamports > due,
        "{} (type {}) holds {} lamports, rent and balances are {due}",
        hex(address),
        data[0],
        stored.lamports
    );
    Ok(())
}

/// `seq` rises with every change and only with a change.
fn sequence(old: Option<&Stored>, new: &Stored) -> Result<(), String> {
    let seq = |stored: &Stored| -> u64 {
        let header: &Header = bytemuck::from_bytes(&stored.data[..size_of::<Header>()]);
        header.seq.get()
    };
    let before = old.map_or(0, seq);
    match old {
        Some(old) if old.data == new.data => Ok(()),
        _ => {
            ensure!(
                seq(new) > before,
                "an account changed and its seq went from {before} to {}",
                seq(new)
            );
            Ok(())
        }
    }
}

fn status(job: &Job) -> Result<JobStatus, String> {
    job.status()
        .ok_or_else(|| format!("a job has status {}", job.header.status))
}

/// What holds of a job at any time.
fn job_is_sound(job: &Job) -> Result<(), String> {
    let status = status(job)?;
    let terms = &job.terms;
    ensure!(
        terms.hash() == job.terms_hash,
        "terms_hash is not the hash of the terms"
    );
    ensure!(
        terms.ceiling() == Ok(job.ceiling.get()),
        "the ceiling is not the price of the terms"
    );
    let [fee, refunded, validator, foundation, burned] = [
        job.fee,
        job.refunded_amount,
        job.validator_amount,
        job.foundation_amount,
        job.burned_amount,
    ]
    .map(|amount| amount.get());
    if !status.is_terminal() {
        ensure!(
            job.escrow == job.ceiling,
            "a running job does not hold its ceiling"
        );
        ensure!(
            fee + refunded + validator + foundation + burned == 0
                && job.end_reason == 0
                && job.ended_slot.get() == 0,
            "a running job has amounts or an end"
        );
    } else {
        ensure!(
            job.escrow.get() == 0 && job.ended_slot.get() > 0,
            "an ended job holds money or has no end"
        );
        ensure!(
            fee + refunded == job.ceiling.get(),
            "fee and refund are not the ceiling"
        );
        ensure!(
            validator + foundation + burned == fee,
            "the split does not sum to the fee"
        );
    }
    let reason = EndReason::from_u8(job.end_reason);
    match status {
        JobStatus::Settled => {
            let price = terms.price_of(job.output_tokens.get());
            let price = price.map_err(|error| error.to_string())?;
            ensure!(
                fee == price.min(job.ceiling.get()),
                "the fee is not the price"
            );
            let split = money::split(fee, &terms.rules);
            ensure!(
                (validator, foundation, burned)
                    == (split.validator, split.foundation, split.burned),
                "the shares are not the rules' shares"
            );
            ensure!(
                matches!(
                    reason,
                    Some(EndReason::Claimed | EndReason::NotGuilty | EndReason::Void)
                ),
                "settled because of {reason:?}"
            );
        }
        JobStatus::Refunded => {
            ensure!(fee == 0, "a refunded job paid a fee");
            ensure!(
                matches!(
                    reason,
                    Some(EndReason::Cancelled | EndReason::Declined | EndReason::Expired)
                ),
                "refunded because of {reason:?}"
            );
        }
        JobStatus::Open => ensure!(job.validator == NO_KEY, "an open job has a validator"),
        JobStatus::Accepted => ensure!(job.validator != NO_KEY, "accepted by nobody"),
        JobStatus::Submitted => ensure!(
            job.submitted_slot.get() > 0 && (1..=4).contains(&job.finish_reason),
            "submitted without a result"
        ),
        JobStatus::Disputed => ensure!(job.disputed_slot.get() > 0, "disputed since never"),
        JobStatus::Slashed => {
            ensure!(fee == 0, "a false result was paid for");
            ensure!(
                matches!(reason, Some(EndReason::Guilty | EndReason::Fault)),
                "slashed because of {reason:?}"
            );
        }
    }
    ensure!(
        status == JobStatus::Slashed || job.slashed_amount.get() == 0,
        "slashed for a job that is {status:?}"
    );
    Ok(())
}

/// What holds of a dispute at any time.
fn dispute_is_sound(dispute: &Dispute) -> Result<(), String> {
    let status = dispute
        .status()
        .ok_or_else(|| format!("a dispute has status {}", dispute.header.status))?;
    let shown = dispute
        .leaves
        .iter()
        .filter(|leaf| leaf.present != 0)
        .count();
    ensure!(
        shown == usize::from(dispute.opened),
        "{shown} leaves are shown and {} counted",
        dispute.opened
    );
    let bond = dispute.bond.get();
    let [challenger, jurors, submitter, burned, slashed] = [
        dispute.challenger_amount,
        dispute.jurors_amount,
        dispute.submitter_amount,
        dispute.burned_amount,
        dispute.slashed_amount,
    ]
    .map(|amount| amount.get());
    let rewards: u64 = dispute.seats.iter().map(|seat| seat.reward.get()).sum();
    ensure!(
        rewards == jurors,
        "the seats' rewards are not the jurors' amount"
    );
    ensure!(
        dispute.completed_slot.get() == 0 || shown == dispute.checked(),
        "complete without every leaf"
    );
    if status != DisputeStatus::Resolved {
        ensure!(
            dispute.held.get() == bond,
            "an open dispute does not hold its bond"
        );
        ensure!(
            challenger + jurors + submitter + burned + slashed == 0
                && dispute.verdict == 0
                && dispute.ground == 0
                && dispute.resolved_slot.get() == 0,
            "an open dispute has a verdict or amounts"
        );
        return Ok(());
    }
    ensure!(
        bond + slashed == challenger + jurors + submitter + burned,
        "bond and slash are not what was shared out"
    );
    let mut held: u64 = match dispute.challenger_collected {
        0 => challenger,
        _ => 0,
    };
    for seat in dispute.seats.iter().filter(|seat| seat.collected == 0) {
        held += seat.reward.get();
    }
    ensure!(
        dispute.held.get() == held,
        "a resolved dispute holds {:?} and owes {held}",
        dispute.held
    );
    let verdict = Verdict::from_u8(dispute.verdict);
    let guilty = matches!(verdict, Some(Verdict::Guilty | Verdict::Fault));
    ensure!(guilty || slashed == 0, "slashed by {verdict:?}");
    let ground = Ground::from_u8(dispute.ground);
    ensure!(
        dispute.seats.iter().all(|seat| seat.penalty.get() == 0) || ground == Some(Ground::Jury),
        "jurors are penalised by {ground:?}"
    );
    ensure!(
        dispute
            .seats
            .iter()
            .all(|seat| seat.reward.get() == 0 || seat.is_revealed()),
        "a silent juror is paid"
    );
    Ok(())
}

/// A dispute's subject stays, its pieces stay once shown, and its verdict is final.
fn dispute_went_on(address: &Key, old: &Dispute, after: &State) -> Result<(), String> {
    let resolved = old.status() == Some(DisputeStatus::Resolved);
    let Some(new) = after.get::<Dispute>(address) else {
        ensure!(
            resolved && old.all_collected(),
            "an open dispute was closed"
        );
        ensure!(
            after.slot >= old.retention_end(),
            "a dispute was closed too early"
        );
        return Ok(());
    };
    let subject = |d: &Dispute| {
        (
            [
                d.job,
                d.model,
                d.challenger,
                d.submitter,
                d.rent_payer,
                d.fingerprint,
            ],
            [
                d.requested_slot,
                d.submitted_slot,
                d.challenged_slot,
                d.bond,
            ],
            d.sample_hashes,
            d.positions_hash(),
        )
    };
    ensure!(
        subject(old) == subject(new),
        "the subject of a dispute changed"
    );
    for (was, is) in old.leaves.iter().zip(&new.leaves) {
        ensure!(
            was.present == 0 || was == is,
            "a leaf that was shown changed"
        );
    }
    for (was, is) in old.seats.iter().zip(&new.seats) {
        ensure!(
            was.slot_hash == [0; 32] || was.slot_hash == is.slot_hash,
            "the draw of a seat changed"
        );
        ensure!(
            !was.is_revealed() || (was.juror, was.vector) == (is.juror, is.vector),
            "a vector that was revealed changed"
        );
        ensure!(
            !was.is_taken() || is.is_taken() && (was.juror == is.juror || is.rank >= was.rank),
            "a seat went to a lower rank"
        );
    }
    if resolved {
        let verdict = |d: &Dispute| {
            (
                [d.header.status, d.verdict, d.ground],
                d.resolved_slot,
                [d.slashed_amount, d.challenger_amount, d.jurors_amount],
                [d.submitter_amount, d.burned_amount],
            )
        };
        ensure!(verdict(old) == verdict(new), "a verdict changed");
    }
    Ok(())
}

/// Posted output stays until its job has ended.
fn output_went_on(
    address: &Key,
    old: &Output,
    before: &State,
    after: &State,
) -> Result<(), String> {
    let Some(new) = after.get::<Output>(address) else {
        let ended = before
            .get::<Job>(&old.job)
            .is_none_or(|job| !is_running(job) && job.open_disputes.get() == 0);
        ensure!(ended, "output of a running job was closed");
        return Ok(());
    };
    let posted = old.chunks.get();
    ensure!(
        new.chunks.get() & posted == posted,
        "a posted chunk is gone"
    );
    for (position, (was, is)) in old.tokens.iter().zip(&new.tokens).enumerate() {
        ensure!(
            posted >> (position / 128) & 1 == 0 || was == is,
            "a posted token changed"
        );
    }
    Ok(())
}

/// A job's terms stay, its slots stay once set, its status follows the life of a job, and its end
/// is final.
fn job_went_on(address: &Key, old: &Job, after: &State) -> Result<(), String> {
    let old_status = status(old)?;
    let Some(new) = after.get::<Job>(address) else {
        ensure!(old_status.is_terminal(), "a running job was closed");
        let end = retention_end(old.ended_slot.get(), &old.terms.nonce, &old.terms.rules);
        ensure!(after.slot >= end, "a job was closed too early");
        return Ok(());
    };
    if old_status.is_terminal() {
        // Disputes that are still open end one by one, which changes nothing else.
        let mut expected = *old;
        expected.open_disputes = new.open_disputes;
        expected.header.seq = new.header.seq;
        ensure!(expected == *new, "an ended job changed");
        ensure!(
            new.open_disputes <= old.open_disputes,
            "an ended job was challenged"
        );
        return Ok(());
    }
    ensure!(old.terms == new.terms, "terms changed");
    let slots = |job: &Job| {
        [
            job.requested_slot,
            job.deadline_slot,
            job.accepted_slot,
            job.cancel_slot,
            job.submitted_slot,
            job.disputed_slot,
        ]
    };
    for (was, is) in slots(old).into_iter().zip(slots(new)) {
        ensure!(was.get() == 0 || was == is, "a slot that was set changed");
    }
    ensure!(
        old.validator == NO_KEY || old.validator == new.validator,
        "the validator changed"
    );
    use JobStatus::{Accepted, Disputed, Open, Refunded, Settled, Slashed, Submitted};
    let possible: &[JobStatus] = match old_status {
        Open => &[Open, Accepted, Submitted, Refunded],
        Accepted => &[Accepted, Submitted, Refunded],
        Submitted => &[Submitted, Disputed, Settled, Slashed],
        Disputed => &[Disputed, Settled, Slashed],
        Settled | Refunded | Slashed => &[],
    };
    let new_status = status(new)?;
    ensure!(
        possible.contains(&new_status),
        "a job went from {old_status:?} to {new_status:?}"
    );
    Ok(())
}

fn is_running(job: &Job) -> bool {
    job.status().is_some_and(|status| !status.is_terminal())
}

/// Vaults, grants and validators count exactly the jobs that refer to them, and exist while any does.
fn holdings(state: &State) -> Result<(), String> {
    let mut held: BTreeMap<Key, (u64, u32)> = BTreeMap::new();
    let mut granted: BTreeMap<Key, u32> = BTreeMap::new();
    let mut taken: BTreeMap<Key, u32> = BTreeMap::new();
    for (_, job) in state.jobs().filter(|(_, job)| is_running(job)) {
        let vault = held
            .entry(address(&pda::vault(&job.terms.owner)))
            .or_default();
        vault.0 += job.escrow.get();
        vault.1 += 1;
        if job.grant != NO_KEY {
            *granted.entry(job.grant).or_default() += 1;
        }
        if job.validator != NO_KEY {
            *taken
                .entry(address(&pda::validator(&job.validator)))
                .or_default() += 1;
        }
    }
    for (address, vault) in state.all::<Vault>() {
        let expected = held.remove(address).unwrap_or_default();
        ensure!(
            expected == (vault.held.get(), vault.open_jobs.get()),
            "a vault says {:?} lamports in {:?} jobs, its jobs say {expected:?}",
            vault.held,
            vault.open_jobs
        );
    }
    for (address, grant) in state.all::<SpendGrant>() {
        let expected = granted.remove(address).unwrap_or_default();
        ensure!(
            expected == grant.open_jobs.get(),
            "a grant says {:?} open jobs, there are {expected}",
            grant.open_jobs
        );
    }
    let mut disputed: BTreeMap<Key, u32> = BTreeMap::new();
    let mut at_stake: BTreeMap<Key, u32> = BTreeMap::new();
    for (_, dispute) in state.all::<Dispute>() {
        if dispute.status() != Some(DisputeStatus::Resolved) {
            *disputed.entry(dispute.job).or_default() += 1;
            *at_stake.entry(dispute.submitter).or_default() += 1;
        }
        if dispute.challenger_collected == 0 {
            *at_stake.entry(dispute.challenger).or_default() += 1;
        }
    }
    for (address, job) in state.jobs() {
        let expected = disputed.remove(address).unwrap_or_default();
        ensure!(
            expected == u32::from(job.open_disputes.get()),
            "a job says {:?} open disputes, there are {expected}",
            job.open_disputes
        );
    }
    for (_, validator) in state.all::<Validator>() {
        let expected = at_stake.remove(&validator.authority).unwrap_or_default();
        ensure!(
            expected == validator.open_disputes.get(),
            "a validator says {:?} open disputes, there are {expected}",
            validator.open_disputes
        );
    }
    ensure!(
        disputed.is_empty() && at_stake.is_empty(),
        "a dispute refers to a closed job or validator"
    );
    for (address, validator) in state.all::<Validator>() {
        let expected = taken.remove(address).unwrap_or_default();
        ensure!(
            expected == validator.open_jobs.get(),
            "a validator says {:?} open jobs, there are {expected}",
            validator.open_jobs
        );
    }
    ensure!(
        held.is_empty() && granted.is_empty() && taken.is_empty(),
        "a job refers to a closed vault, grant or validator"
    );
    Ok(())
}

/// What one transaction moved by a dispute.
struct Flow<'a> {
    old: Option<&'a Dispute>,
    new: &'a Dispute,
}

impl Flow<'_> {
    /// Whether it was resolved by the transaction.
    fn resolved(&self) -> bool {
        let done = |dispute: &Dispute| dispute.status() == Some(DisputeStatus::Resolved);
        done(self.new) && !self.old.is_some_and(done)
    }

    /// The challenger's amount beyond its bond, if it was collected now.
    fn challenger(&self) -> u64 {
        let collected = |dispute: &Dispute| dispute.challenger_collected != 0;
        match collected(self.new) && !self.old.is_some_and(collected) {
            true => self
                .new
                .challenger_amount
                .get()
                .saturating_sub(self.new.bond.get()),
            false => 0,
        }
    }

    /// Seats collected now: juror, reward, penalty.
    fn seats(&self) -> impl Iterator<Item = (&Key, u64, u64)> {
        let now = self.new.seats.iter().enumerate().filter(|(i, seat)| {
            let before = self.old.is_some_and(|old| old.seats[*i].collected != 0);
            seat.collected != 0 && !before
        });
        now.map(|(_, seat)| (&seat.juror, seat.reward.get(), seat.penalty.get()))
    }

    fn earned(&self, authority: &Key) -> u64 {
        let mut earned = 0;
        if self.resolved() && self.new.submitter == *authority {
            earned += self.new.submitter_amount.get();
        }
        if self.new.challenger == *authority {
            earned += self.challenger();
        }
        let seats = self.seats().filter(|seat| seat.0 == authority);
        earned + seats.map(|seat| seat.1).sum::<u64>()
    }

    fn slashed(&self, authority: &Key) -> u64 {
        let mut slashed = 0;
        if self.resolved() && self.new.submitter == *authority {
            slashed += self.new.slashed_amount.get();
        }
        let seats = self.seats().filter(|seat| seat.0 == authority);
        slashed + seats.map(|seat| seat.2).sum::<u64>()
    }

    /// Burned by verdict, by penalty, or because a juror has closed its account.
    fn burned(&self, exists: impl Fn(&Key) -> bool) -> u64 {
        let verdict = match self.resolved() {
            true => self.new.burned_amount.get(),
            false => 0,
        };
        let seats = self
            .seats()
            .map(|(juror, reward, penalty)| match exists(juror) {
                true => penalty,
                false => reward,
            });
        verdict + seats.sum::<u64>()
    }
}

/// Money goes where the protocol says, and only there.
fn flows(before: &State, after: &State) -> Result<(), String> {
    let settled: Vec<&Job> = after
        .jobs()
        .filter(|(address, job)| {
            let ran = before.get::<Job>(address).is_none_or(is_running);
            ran && job.status() == Some(JobStatus::Settled)
        })
        .map(|(_, job)| job)
        .collect();
    let disputes: Vec<Flow> = after
        .all::<Dispute>()
        .map(|(address, new)| Flow {
            old: before.get::<Dispute>(address),
            new,
        })
        .collect();
    for (address, new) in after.all::<Validator>() {
        let Some(old) = before.get::<Validator>(address) else {
            continue;
        };
        let due: u64 = settled
            .iter()
            .filter(|job| job.validator == new.authority)
            .map(|job| job.validator_amount.get())
            .sum();
        let from_disputes: u64 = disputes
            .iter()
            .map(|flow| flow.earned(&new.authority))
            .sum();
        ensure!(
            new.earned.get() - old.earned.get() == due + from_disputes,
            "a validator earned {}, its jobs paid {due} and disputes {from_disputes}",
            new.earned.get() - old.earned.get()
        );
        let slashed: u64 = disputes
            .iter()
            .map(|flow| flow.slashed(&new.authority))
            .sum();
        ensure!(
            new.slashed.get() - old.slashed.get() == slashed,
            "a validator was slashed by {} and disputes say {slashed}",
            new.slashed.get() - old.slashed.get()
        );
        if new.open_jobs > old.open_jobs {
            // Whatever rules the job carries, backing it needs stake per job.
            let rules = after
                .jobs()
                .filter(|(at, job)| {
                    job.validator == new.authority && before.get::<Job>(at) != Some(job)
                })
                .map(|(_, job)| job.terms.rules)
                .next();
            let capacity = rules.map_or(0, |rules| new.capacity(after.slot, &rules));
            ensure!(
                u64::from(new.open_jobs.get()) <= capacity,
                "a validator took job {:?} with stake for {capacity}",
                new.open_jobs
            );
        }
    }
    let foundation = |state: &State| {
        state.sum(|v: &Validator| v.owed_foundation.get())
            + state.sum(|t: &Treasury| t.received.get())
    };
    let due: i128 = settled
        .iter()
        .map(|job| i128::from(job.foundation_amount.get()))
        .sum();
    ensure!(
        foundation(after) - foundation(before) == due,
        "the foundation's share is not {due}"
    );
    let burned = |state: &State| {
        state.sum(|v: &Validator| v.owed_burn.get()) + i128::from(state.incinerator)
            - state.sum(|m: &Model| m.fee_burned.get())
    };
    let due: i128 = settled
        .iter()
        .map(|job| i128::from(job.burned_amount.get()))
        .sum();
    let exists = |authority: &Key| {
        let at = address(&pda::validator(authority));
        before.accounts.contains_key(&at)
    };
    let by_disputes: u64 = disputes.iter().map(|flow| flow.burned(exists)).sum();
    let due = due + i128::from(by_disputes);
    ensure!(
        burned(after) - burned(before) == due,
        "what is burned is not {due}"
    );
    for (address, new) in after.all::<SpendGrant>() {
        let Some(old) = before.get::<SpendGrant>(address) else {
            continue;
        };
        let cost = |state: &State| -> i128 {
            state
                .jobs()
                .filter(|(_, job)| job.grant == *address)
                .map(|(_, job)| match is_running(job) {
                    true => i128::from(job.ceiling.get()),
                    false => i128::from(job.fee.get()),
                })
                .sum()
        };
        let closed: i128 = before
            .jobs()
            .filter(|(at, job)| job.grant == *address && !after.accounts.contains_key(*at))
            .map(|(_, job)| i128::from(job.fee.get()))
            .sum();
        let spent = i128::from(new.lifetime_spent.get()) - i128::from(old.lifetime_spent.get());
        ensure!(
            spent == cost(after) + closed - cost(before),
            "a grant counted {spent} and its jobs cost another amount"
        );
    }
    Ok(())
}

fn hex(address: &Key) -> String {
    address.iter().map(|byte| format!("{byte:02x}")).collect()
}
