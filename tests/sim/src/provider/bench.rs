//! What must hold: no lease of the provider without a promise, nothing served that is over, nothing ended that is not, no false proof, no
//! lamport without a name. Of lamports the market's invariants judge every transaction; here the sums are drawn in the end.

use std::collections::{BTreeMap, BTreeSet};

use mythic_client::Commitment;
use mythic_interface::hash::Hash;
use mythic_interface::market::meter;
use mythic_interface::market::state::{
    CloseReason, DisputeEnd, Lease, LeaseDispute, LeaseDisputeStatus, LeaseEpoch, LeaseStatus,
    Provider,
};
use mythic_interface::state::NO_KEY;
use mythic_program_tests::keys::key;
use mythic_provider::proof::{self, Shape};
use solana_pubkey::Pubkey;

use super::cluster::{Cluster, DEADLINE_SLOTS, OURS, Sight};
use crate::judge::Fault;

/// Seconds for which a lease is served after it ended.
pub const GRACE: u64 = 5;
/// Seconds that a step may take longer.
const LATE: u64 = 3;
/// Milliseconds in which a provider that can see the chain stops what is over: what is final comes half a minute later.
const SEEN_MS: u64 = 45_000;
/// Milliseconds after something went wrong in which steps may still wait to be tried again.
const AFTER_MS: u64 = 90_000;
/// Milliseconds without trouble in which a lease that was accepted is started, however often an engine fails.
const START_MS: u64 = 40_000;
/// Milliseconds without trouble in which a lost lease is served again or given up: an epoch, the proofs of the next one, a notice.
const FOUND_MS: u64 = 150_000;

/// A lease as its provider has it.
#[derive(Clone, Copy, Debug)]
pub struct Served {
    pub lease: Pubkey,
    /// Slot from which its request can't be accepted.
    pub deadline: u64,
    /// Second until which it is paid, as last read; 0 before its start.
    pub paid_until: u64,
}

#[derive(Default)]
pub struct Bench {
    pub faults: Vec<Fault>,
    /// Milliseconds in which something was wrong.
    rough: Vec<(u64, u64)>,
    /// Milliseconds at which slots came.
    slots: BTreeMap<u64, u64>,
    /// Leases of the provider, as they were last final.
    leases: BTreeMap<Pubkey, Lease>,
    /// Disputes about its proofs, likewise.
    disputes: BTreeMap<Pubkey, LeaseDispute>,
    /// The last slot whose sight was judged.
    judged: u64,
    /// Proofs that were found true.
    proved: BTreeSet<(Pubkey, u64)>,
    /// Since when what is served is over.
    over: BTreeMap<Pubkey, u64>,
    /// Since when leases run without a promise.
    unpromised: BTreeMap<Pubkey, u64>,
    /// Slots in which a data directory was lost.
    losses: Vec<u64>,
    /// What there was of what is to be tried, in words.
    pub seen: BTreeSet<String>,
}

/// Whether a lease is this provider's.
pub fn is_ours(state: &Lease) -> bool {
    state.terms.provider == key(OURS)
}

/// Whether a dispute waits for this provider's answer.
pub fn is_open(state: &LeaseDispute) -> bool {
    state.provider == key(OURS) && state.header.status == LeaseDisputeStatus::Open as u8
}

/// Whether a lease is over for this provider, or will never be.
fn is_over(cluster: &Cluster, served: &Served) -> bool {
    let slot = cluster.slot(Commitment::Confirmed);
    match cluster.at(slot).leases.get(&served.lease) {
        Some(state) if is_ours(state) => state.status() == Some(LeaseStatus::Ended),
        Some(_) => true,
        None => slot > served.deadline,
    }
}

impl Bench {
    /// Notes that a rule is broken, each once.
    pub fn fault(&mut self, rule: &'static str, what: String) {
        if self.faults.iter().all(|fault| fault.rule != rule) {
            self.faults.push(Fault { rule, what });
        }
    }

    /// Something is wrong for a while.
    pub fn rough(&mut self, from: u64, until: u64) {
        self.rough.push((from, until));
    }

    /// Something happened that is to be tried.
    pub fn saw(&mut self, what: &str) {
        if !self.seen.contains(what) {
            self.seen.insert(what.to_owned());
        }
    }

    /// A data directory is lost: with it goes what was promised, also of requests that may still be accepted.
    pub fn loses(&mut self, slot: u64) {
        self.losses.push(slot);
    }

    /// Whether a lease's promise may have been lost while it ran, or before.
    fn is_lost(&self, state: &Lease) -> bool {
        let (accepted, ended) = (state.accepted_slot.get(), state.ended_slot.get());
        let among = |slot: &u64| {
            let latest = slot + u64::from(DEADLINE_SLOTS);
            accepted <= latest && (ended == 0 || ended >= *slot)
        };
        self.losses.iter().any(among)
    }

    /// The longest stretch between two milliseconds in which nothing was wrong, nor little before.
    fn calm(&self, from: u64, until: u64) -> u64 {
        let mut rough = self.rough.clone();
        rough.sort_unstable();
        let (mut longest, mut at) = (0, from);
        for (begin, end) in rough {
            longest = longest.max(begin.min(until).saturating_sub(at));
            at = at.max(end + AFTER_MS);
        }
        longest.max(until.saturating_sub(at))
    }

    /// Whether nothing was wrong between two slots, nor little before.
    fn was_calm(&self, from: u64, until: u64) -> bool {
        let (from, until) = (self.ms_of(from), self.ms_of(until));
        until > from && self.calm(from, until) == until - from
    }

    /// Since when nothing is wrong.
    fn calm_since(&self, now: u64) -> u64 {
        let ends = self.rough.iter().map(|(_, end)| *end);
        ends.max().unwrap_or(0).min(now)
    }

    /// The millisecond at which a slot came.
    fn ms_of(&self, slot: u64) -> u64 {
        let came = self.slots.range(..=slot).next_back();
        came.map_or(0, |(_, ms)| *ms)
    }

    /// Time passed: judges what became final.
    pub fn passes(&mut self, now: u64, cluster: &Cluster) {
        let head = cluster.slot(Commitment::Processed);
        self.slots.entry(head).or_insert(now);
        for (slot, sight) in cluster.finalized_since(self.judged) {
            self.judged = slot;
            for (dispute, state) in &sight.disputes {
                if state.provider == key(OURS) {
                    self.disputes.insert(*dispute, *state);
                }
            }
            for (lease, state) in sight.leases.iter().filter(|(_, state)| is_ours(state)) {
                self.leases.insert(*lease, *state);
                for entry in state.ring.iter().filter(|entry| entry.state != 0) {
                    self.proof(cluster, lease, state, entry);
                }
            }
        }
    }

    /// What the chain has of an epoch is what its first slot's hash gives.
    fn proof(&mut self, cluster: &Cluster, lease: &Pubkey, state: &Lease, entry: &LeaseEpoch) {
        let epoch = entry.epoch.get();
        if entry.proof == NO_KEY || !self.proved.insert((*lease, epoch)) {
            return;
        }
        let start = meter::epoch_start(epoch, &state.terms.grid);
        let hash: Hash = cluster.first_from(start).1;
        let shape = Shape {
            lease: *lease,
            epoch,
            hash,
            size: proof::size(&state.terms),
        };
        if entry.hash != hash || entry.proof != shape.compute().root() {
            self.fault(
                "false proof",
                format!("the proof of epoch {epoch} of {lease} is not what this chain gives"),
            );
        }
    }

    /// Everything that is served is paid for, and over for a short while at most.
    pub fn serves(&mut self, now: u64, second: u64, cluster: &Cluster, all: &[Served]) {
        self.over
            .retain(|lease, _| all.iter().any(|served| served.lease == *lease));
        for served in all {
            let lease = served.lease;
            if served.paid_until > 0 && second > served.paid_until + GRACE + LATE {
                let until = served.paid_until;
                self.fault(
                    "served beyond its time",
                    format!("{lease} is paid until {until} and served at {second}"),
                );
            }
            if !is_over(cluster, served) {
                self.over.remove(&lease);
                continue;
            }
            let since = *self.over.entry(lease).or_insert(now);
            if now > since.max(self.calm_since(now)) + SEEN_MS {
                self.fault(
                    "orphan",
                    format!("{lease} is over since {since} ms and served at {now} ms"),
                );
            }
        }
    }

    /// A lease is served no longer: it is over, or its time is.
    pub fn stops(&mut self, second: u64, cluster: &Cluster, served: &Served) {
        let until = served.paid_until;
        let is_late = until > 0 && second >= until + GRACE;
        if !is_late && !is_over(cluster, served) {
            let lease = served.lease;
            self.fault(
                "wrong end",
                format!("{lease} runs, is paid until {until}, and is served no longer at {second}"),
            );
        }
    }

    /// A promise is forgotten: there is no lease of it, and no container that runs.
    pub fn forgets(&mut self, cluster: &Cluster, lease: &Pubkey, runs: bool) {
        if runs {
            self.fault(
                "orphan",
                format!("the promise of {lease} is forgotten, and its container runs"),
            );
        }
        let sight = cluster.newest(Commitment::Processed);
        if sight.leases.get(lease).is_some_and(is_ours) {
            self.fault(
                "forgotten",
                format!("the promise of {lease} is forgotten, and the lease is there"),
            );
        }
    }

    /// Leases that run are among those that were promised; where a promise may be lost, after a while.
    pub fn promised(&mut self, now: u64, sight: &Sight, is_promised: impl Fn(&Pubkey) -> bool) {
        let mut unpromised = BTreeMap::new();
        for (lease, state) in &sight.leases {
            let runs = is_ours(state) && state.status() != Some(LeaseStatus::Ended);
            if !runs || is_promised(lease) {
                continue;
            }
            let since = self.unpromised.get(lease).copied().unwrap_or(now);
            unpromised.insert(*lease, since);
            let is_late = now > since.max(self.calm_since(now)) + FOUND_MS;
            if is_late || !self.is_lost(state) {
                self.fault(
                    "not promised",
                    format!("{lease} runs since {since} ms without a promise, at {now} ms"),
                );
            }
        }
        self.unpromised = unpromised;
    }

    /// Leases that there were.
    pub fn leases(&self) -> usize {
        self.leases.len()
    }

    /// In the end every lease ended for a reason that it had, and every lamport has a name.
    pub fn close(&mut self, provider: &Provider) {
        let (mut paid, mut slashed) = (0, 0);
        for (lease, state) in std::mem::take(&mut self.leases) {
            paid += state.paid.get();
            slashed += state.slashed.get();
            self.ended(&lease, &state);
        }
        paid += self
            .disputes
            .values()
            .map(|dispute| dispute.paid.get())
            .sum::<u64>();
        if provider.earned.get() != paid || provider.slashed.get() != slashed {
            self.fault(
                "lamports",
                format!(
                    "leases and answers paid {paid}, leases cost {slashed}, their provider says {:?} and {:?}",
                    provider.earned, provider.slashed
                ),
            );
        }
        let left = (
            provider.leased.get(),
            provider.backed.get(),
            provider.open_leases.get(),
        );
        if left != (0, 0, 0) {
            self.fault(
                "left behind",
                format!("units leased, units backed and accounts are still {left:?}"),
            );
        }
    }

    fn ended(&mut self, lease: &Pubkey, state: &Lease) {
        let came = [state.deposited, state.compensated].map(|amount| amount.get());
        let went = [state.paid, state.foundation, state.burned, state.refunded];
        let went = went.map(|amount| amount.get());
        if came.iter().sum::<u64>() != went.iter().sum::<u64>() {
            self.fault(
                "lamports",
                format!("{came:?} came into {lease} and {went:?} went out of it"),
            );
        }
        let reason = CloseReason::from_u8(state.reason);
        if let Some(reason) = reason {
            self.saw(reason.as_str());
        }
        if let Some(why) = self.unexcused(lease, state, reason) {
            self.fault(
                "wrong reason",
                format!("{lease} ended as {reason:?}, and nothing was wrong meanwhile: {why}"),
            );
        }
    }

    /// What its provider did not do of a lease that ended, though it could.
    fn unexcused(
        &self,
        lease: &Pubkey,
        state: &Lease,
        reason: Option<CloseReason>,
    ) -> Option<String> {
        match reason {
            None => Some("it has not ended".into()),
            Some(CloseReason::NeverStarted) => {
                let from = self.ms_of(state.accepted_slot.get());
                let calm = self.calm(from, self.ms_of(state.start_end()));
                let excused = self.is_lost(state) || calm < START_MS;
                (!excused).then(|| "it was not started".into())
            }
            Some(CloseReason::ProofRefuted) => {
                let ends = [DisputeEnd::Wrong as u8, DisputeEnd::Unanswered as u8];
                let of_it = |dispute: &&LeaseDispute| {
                    dispute.lease == lease.to_bytes() && ends.contains(&dispute.end)
                };
                let Some(dispute) = self.disputes.values().find(of_it) else {
                    return Some("no dispute has refuted its proofs".into());
                };
                let (from, until) = (dispute.opened_slot.get(), dispute.openings_end.get());
                let calm = self.was_calm(from, until);
                calm.then(|| "a dispute was not answered".into())
            }
            Some(_) => {
                let epoch = self.unproved(state)?;
                Some(format!("epoch {epoch} is not proved"))
            }
        }
    }

    /// The first epoch of a lease that should have been proved and was not, though nothing was wrong at the time.
    fn unproved(&self, state: &Lease) -> Option<u64> {
        // Before it is acknowledged its time for proofs may end in every slot.
        if self.is_lost(state) || state.acknowledged_slot.get() == 0 {
            return None;
        }
        let (meter, ended) = (state.meter(), state.ended_slot.get());
        // What is metered to its end needs no proof more.
        let last = match meter.mark >= meter.ends_at {
            true => meter.last_proved,
            false => meter::epoch_of(ended, &meter.grid),
        };
        let first = meter::epoch_of(state.started_slot.get(), &meter.grid) + 1;
        let proof = |epoch: u64| state.epoch(epoch).filter(|entry| entry.proof != NO_KEY);
        (first..=last).find(|epoch| {
            let (from, until) = (
                meter::epoch_start(*epoch, &meter.grid),
                meter.proof_end(*epoch),
            );
            until <= ended && proof(*epoch).is_none() && self.was_calm(from, until)
        })
    }
}
