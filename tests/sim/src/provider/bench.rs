//! What must hold: no lease of the provider without a promise, nothing served that is over, nothing ended that is not, no false proof, no
//! lamport without a name. Of lamports the market's invariants judge every transaction; here the sums are drawn in the end.

use std::collections::{BTreeMap, BTreeSet};

use mythic_client::Commitment;
use mythic_interface::hash::Hash;
use mythic_interface::market::meter;
use mythic_interface::market::state::{
    CloseReason, Lease, LeaseDispute, LeaseDisputeStatus, LeaseEpoch, LeaseStatus, Provider,
};
use mythic_interface::state::NO_KEY;
use mythic_program_tests::keys::key;
use mythic_provider::proof::{self, Shape};
use solana_pubkey::Pubkey;

use super::cluster::{Cluster, OURS, Sight};
use crate::judge::Fault;

/// Seconds for which a lease is served after it ended.
pub const GRACE: u64 = 5;
/// Seconds that a step may take longer.
const LATE: u64 = 3;
/// Milliseconds in which a provider that can see the chain stops what is over: what is final comes half a minute later.
const SEEN_MS: u64 = 45_000;
/// Milliseconds after something went wrong in which steps may still wait to be tried again.
const AFTER_MS: u64 = 90_000;

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

    /// Whether something was wrong between two milliseconds, or little before.
    fn was_rough(&self, from: u64, until: u64) -> bool {
        let overlaps = |(begin, end): &(u64, u64)| *begin <= until && end + AFTER_MS >= from;
        self.rough.iter().any(overlaps)
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

    /// A promise is forgotten: there is no lease of it.
    pub fn forgets(&mut self, cluster: &Cluster, lease: &Pubkey) {
        let sight = cluster.newest(Commitment::Processed);
        if sight.leases.get(lease).is_some_and(is_ours) {
            self.fault(
                "forgotten",
                format!("the promise of {lease} is forgotten, and the lease is there"),
            );
        }
    }

    /// Leases that run are among those that were promised.
    pub fn promised(&mut self, sight: &Sight, is_promised: impl Fn(&Pubkey) -> bool) {
        for (lease, state) in &sight.leases {
            let runs = is_ours(state) && state.status() != Some(LeaseStatus::Ended);
            if runs && !is_promised(lease) {
                self.fault(
                    "not promised",
                    format!("{lease} runs, and no promise of it is kept"),
                );
            }
        }
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
        let ms = |slot: u64| self.ms_of(slot);
        let (accepted, started, ended) = (
            ms(state.accepted_slot.get()),
            ms(state.started_slot.get()),
            ms(state.ended_slot.get()),
        );
        let reason = CloseReason::from_u8(state.reason);
        let by_itself = match reason {
            Some(CloseReason::NeverStarted) => !self.was_rough(accepted, ended),
            Some(CloseReason::MissedProofs | CloseReason::ProofRefuted) => {
                !self.was_rough(started, ended)
            }
            None => true,
            Some(_) => state.missed.get() > 0 && !self.was_rough(started, ended),
        };
        if by_itself {
            let missed = state.missed;
            self.fault(
                "wrong reason",
                format!("{lease} ended as {reason:?} with {missed:?} epochs missed, and nothing was wrong meanwhile"),
            );
        }
    }
}
