//! What the chain says of a lease, in words.

use crate::units::{about, sol};
use mythic_interface::market::state::{CloseReason, EpochState, Lease, LeaseEpoch, LeaseStatus};

/// How a lease stands at a second.
pub fn standing(lease: &Lease, now: u64) -> String {
    let left = lease.ends_at.get().saturating_sub(now);
    match lease.status() {
        Some(LeaseStatus::Accepted) => "accepted: the provider prepares it".into(),
        Some(LeaseStatus::Started) => {
            "started: it waits for you to acknowledge that you reached it".into()
        }
        Some(LeaseStatus::Active) if left == 0 => "its time is over; anyone may end it".into(),
        Some(LeaseStatus::Active) => format!("active, {} left", about(left)),
        Some(LeaseStatus::Closing) => format!(
            "closing: the provider has given notice, until epoch {}",
            lease.notice_end()
        ),
        Some(LeaseStatus::Ended) => format!("ended: {}", reason(lease)),
        None => "in a state that this version does not know".into(),
    }
}

/// Why a lease ended.
fn reason(lease: &Lease) -> &'static str {
    match CloseReason::from_u8(lease.reason) {
        Some(CloseReason::Completed) => "its time was over",
        Some(CloseReason::ClosedByTenant) => "you closed it",
        Some(CloseReason::ClosedByProvider) => "the provider closed it",
        Some(CloseReason::NeverStarted) => "the provider did not start it in time",
        Some(CloseReason::NeverAcknowledged) => {
            "its start was not acknowledged in time, and what was metered is burned"
        }
        Some(CloseReason::MissedProofs) => "the provider missed too many proofs in a row",
        Some(CloseReason::ProofRefuted) => {
            "a proof was refuted, and everything that was not paid yet is yours"
        }
        None => "for a reason that this version does not know",
    }
}

/// What became of an epoch.
pub fn epoch(entry: &LeaseEpoch) -> String {
    let what = match EpochState::from_u8(entry.state) {
        Some(EpochState::Pending) if entry.open_disputes.get() > 0 => "disputed",
        Some(EpochState::Pending) => "can still be disputed",
        Some(EpochState::Released) => "paid",
        Some(EpochState::Unserved) => "not served: burned",
        Some(EpochState::Refuted) => "refunded",
        Some(EpochState::Forfeited) => "burned",
        None => "unknown",
    };
    let proof = match entry.proof == [0; 32] {
        true => "no proof",
        false => "proved",
    };
    format!(
        "epoch {}: {proof}, {} s for {}, {what}",
        entry.epoch.get(),
        entry.seconds.get(),
        sol(entry.amount.get())
    )
}

/// The epochs that a lease remembers, the oldest first.
pub fn epochs(lease: &Lease) -> Vec<&LeaseEpoch> {
    let mut known: Vec<&LeaseEpoch> = lease.ring.iter().filter(|entry| entry.state != 0).collect();
    known.sort_by_key(|entry| entry.epoch.get());
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_told_in_words_whatever_its_state() {
        let mut lease: Lease = bytemuck::Zeroable::zeroed();
        let mut told = Vec::new();
        for status in 0..=5 {
            lease.header.status = status;
            told.push(standing(&lease, 0));
        }
        lease.header.status = LeaseStatus::Ended as u8;
        for reason in 0..=7 {
            lease.reason = reason;
            told.push(standing(&lease, 0));
        }
        told.dedup();
        assert_eq!(told.len(), 13, "{told:?}");
    }

    #[test]
    fn epochs_are_told_in_their_order() {
        let mut lease: Lease = bytemuck::Zeroable::zeroed();
        for epoch in [33, 7, 32] {
            let entry = &mut lease.ring[Lease::place(epoch)];
            entry.epoch.set(epoch);
            entry.state = EpochState::Pending as u8;
        }
        let order: Vec<u64> = epochs(&lease)
            .iter()
            .map(|entry| entry.epoch.get())
            .collect();
        assert_eq!(order, [7, 32, 33]);
        assert!(epoch(epochs(&lease)[0]).starts_with("epoch 7: no proof"));
    }
}
