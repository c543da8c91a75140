//! What is due of the Compute Market. Pure: a moment of the chain and the accounts in, cranks out. The rules are the interface's.

use mythic_client::LAMPORTS_PER_SIGNATURE;
use mythic_interface::{
    market::{
        due::{self, DisputeStep, Moment},
        state::{LeaseStatus, RequestStatus},
    },
    window,
};

use super::{
    crank::MarketCrank,
    windows::{LeaseDisputeWindow, LeaseWindow, MarketWindows, RequestWindow},
};
use crate::due::Settler;

/// A tenant's own is paid out when it is worth a transaction; less comes with the end of the lease's account.
const WORTH: u64 = LAMPORTS_PER_SIGNATURE;

impl Settler {
    /// What is due at a finalized moment: of each kind one in turn, so that none waits for many of another; an account at most once. The
    /// chain is ahead of it, so that what is due here is due there.
    pub fn market_due(&self, now: Moment, windows: &MarketWindows) -> Vec<MarketCrank> {
        let leases = windows.leases.iter();
        let requests = windows.requests.iter();
        let disputes = windows.disputes.iter();
        let due = leases
            .filter_map(|window| self.lease_due(now, window))
            .chain(requests.filter_map(|window| self.request_due(now, window)))
            .chain(disputes.filter_map(|window| dispute_due(now, window)))
            .chain(windows.providers.iter().filter_map(|provider| {
                let sweep = self.sweeps(now.slot, provider.owed, provider.written_slot);
                sweep.then_some(MarketCrank::SweepProvider(provider.authority))
            }));
        dealt(due)
    }

    fn lease_due(&self, now: Moment, window: &LeaseWindow) -> Option<MarketCrank> {
        let lease = &*window.lease;
        if let Some(reason) = due::close_reason(lease, now) {
            let lease = window.clone();
            return Some(MarketCrank::CloseLease { lease, reason });
        }
        // While it runs, its provider sees to that itself, and each proof pays what had its place.
        let (mut any, mut lamports) = (false, 0u64);
        for epoch in due::releasable(lease, now.slot) {
            (any, lamports) = (true, lamports.saturating_add(epoch.amount.get()));
        }
        let ended = lease.status() == Some(LeaseStatus::Ended);
        if any && (ended || lamports >= self.release_min_lamports) {
            return Some(MarketCrank::Release(window.clone()));
        }
        let closable = due::account_end(lease).is_some_and(|end| !window::open(now.slot, end));
        if self.close && closable {
            return Some(MarketCrank::CloseLeaseAccount(window.clone()));
        }
        let owed = lease.tenant_due.get() >= WORTH && window.tenant_takes;
        owed.then(|| MarketCrank::Withdraw(window.clone()))
    }

    fn request_due(&self, now: Moment, window: &RequestWindow) -> Option<MarketCrank> {
        let request = &*window.request;
        if window::open(now.slot, due::request_slot(request)?) {
            return None;
        }
        match RequestStatus::from_u8(request.header.status)? {
            RequestStatus::Open => Some(MarketCrank::ExpireRequest(window.clone())),
            RequestStatus::Accepted | RequestStatus::Cancelled | RequestStatus::Expired => {
                let closes = self.close && !window.leased;
                closes.then(|| MarketCrank::CloseRequest(window.clone()))
            }
        }
    }
}

fn dispute_due(now: Moment, window: &LeaseDisputeWindow) -> Option<MarketCrank> {
    match DisputeStep::of(&window.dispute, window.lease.as_deref(), now.slot) {
        DisputeStep::Resolve => Some(MarketCrank::Resolve(window.clone())),
        // It holds what is the disputer's.
        DisputeStep::Collect => Some(MarketCrank::CloseDispute(window.clone())),
        DisputeStep::Older | DisputeStep::Openings(_) | DisputeStep::Stays(_) => None,
    }
}

/// One crank of each kind in turn; those of a kind in their order.
fn dealt(due: impl Iterator<Item = MarketCrank>) -> Vec<MarketCrank> {
    let mut kinds: Vec<(&str, Vec<MarketCrank>)> = Vec::new();
    for crank in due {
        let name = crank.name();
        match kinds.iter_mut().find(|(kind, _)| *kind == name) {
            Some((_, all)) => all.push(crank),
            None => kinds.push((name, vec![crank])),
        }
    }
    let mut kinds: Vec<_> = kinds.into_iter().map(|(_, all)| all.into_iter()).collect();
    let mut out = Vec::new();
    loop {
        let before = out.len();
        out.extend(kinds.iter_mut().filter_map(Iterator::next));
        if out.len() == before {
            return out;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::ProviderWindow;
    use bytemuck::Zeroable;
    use mythic_interface::market::{
        params::MarketParams,
        state::{CloseReason, EpochState, Lease, LeaseDispute, LeaseDisputeStatus, Request},
    };
    use solana_pubkey::Pubkey;

    const RULES: Settler = Settler {
        sweep_min_lamports: 1_000,
        sweep_after_slots: 32,
        release_min_lamports: 500_000,
        close: true,
    };
    const KEEP: Settler = Settler {
        close: false,
        ..RULES
    };

    fn key(n: u8) -> Pubkey {
        Pubkey::new_from_array([n; 32])
    }

    fn at(slot: u64) -> Moment {
        Moment {
            slot,
            second: 1_000,
        }
    }

    fn names(rules: &Settler, now: Moment, windows: &MarketWindows) -> Vec<&'static str> {
        let due = rules.market_due(now, windows);
        due.iter().map(MarketCrank::name).collect()
    }

    /// Under the rules of a development network; its time is over at second 5,000.
    fn lease(status: LeaseStatus) -> Lease {
        let mut lease = Lease::zeroed();
        lease.header.status = status as u8;
        lease.terms.rules = MarketParams::dev().rules;
        lease.terms.grid.epoch_slots.set(150);
        lease.terms.grid.epoch_seconds.set(60);
        lease.terms.units = 1;
        lease.accepted_slot.set(100);
        lease.started_slot.set(160);
        lease.acknowledged_slot.set(170);
        lease.ends_at.set(5_000);
        lease.last_proved.set(20);
        lease
    }

    fn of_lease(lease: Lease) -> MarketWindows {
        MarketWindows {
            leases: vec![LeaseWindow {
                pubkey: key(1),
                lease: Box::new(lease),
                tenant_takes: true,
            }],
            ..MarketWindows::default()
        }
    }

    fn pending(lease: &mut Lease, epoch: u64, slot: u64, lamports: u64) {
        let entry = &mut lease.ring[Lease::place(epoch)];
        entry.epoch.set(epoch);
        entry.slot.set(slot);
        entry.amount.set(lamports);
        entry.state = EpochState::Pending as u8;
        let sum = lease.pending.get() + lamports;
        lease.pending.set(sum);
    }

    #[test]
    fn a_lease_is_ended_for_the_reason_that_anyone_may_give_and_by_who_pays() {
        let windows = of_lease(lease(LeaseStatus::Active));
        assert!(names(&RULES, at(24 * 150 - 1), &windows).is_empty());
        let due = RULES.market_due(at(24 * 150), &windows);
        let [MarketCrank::CloseLease { reason, .. }] = &due[..] else {
            panic!("{due:?}");
        };
        assert_eq!(*reason, CloseReason::MissedProofs);
        let call = due[0].instruction(&key(9));
        assert_eq!(call.accounts[0].pubkey, key(9));
        assert!(call.accounts[0].is_signer);
        let over = Moment {
            slot: 0,
            second: 5_000,
        };
        let due = RULES.market_due(over, &windows);
        let completed = |crank: &MarketCrank| {
            let MarketCrank::CloseLease { reason, .. } = crank else {
                return false;
            };
            *reason == CloseReason::Completed
        };
        assert!(due.len() == 1 && completed(&due[0]), "{due:?}");
    }

    #[test]
    fn epochs_of_a_running_lease_are_paid_when_that_is_worth_it_and_of_an_ended_one_always() {
        let mut running = lease(LeaseStatus::Active);
        pending(&mut running, 18, 2_700, 499_999);
        let paid = |lease: Lease, slot| names(&RULES, at(slot), &of_lease(lease));
        assert!(paid(running, 2_800).is_empty());
        pending(&mut running, 19, 2_850, 1);
        assert!(paid(running, 2_949).is_empty(), "the second is not due");
        assert_eq!(paid(running, 2_950), ["release_epochs"]);
        let mut ended = lease(LeaseStatus::Ended);
        ended.ended_slot.set(2_900);
        pending(&mut ended, 19, 2_850, 0);
        assert!(paid(ended, 2_949).is_empty());
        assert_eq!(paid(ended, 2_950), ["release_epochs"]);
    }

    #[test]
    fn a_tenant_is_paid_what_is_worth_a_transaction_if_its_wallet_can_hold_it() {
        let mut ended = lease(LeaseStatus::Ended);
        ended.ended_slot.set(2_900);
        ended.tenant_due.set(WORTH);
        let mut windows = of_lease(ended);
        assert_eq!(names(&RULES, at(2_900), &windows), ["withdraw_lease"]);
        windows.leases[0].tenant_takes = false;
        assert!(names(&RULES, at(2_900), &windows).is_empty());
        ended.tenant_due.set(WORTH - 1);
        assert!(names(&RULES, at(2_900), &of_lease(ended)).is_empty());
        // With its account everything goes.
        let end = 2_900 + 2_250;
        assert!(names(&RULES, at(end - 1), &of_lease(ended)).is_empty());
        assert_eq!(
            names(&RULES, at(end), &of_lease(ended)),
            ["close_lease_account"]
        );
        assert!(names(&KEEP, at(end), &of_lease(ended)).is_empty());
        ended.tenant_due.set(WORTH);
        assert_eq!(names(&KEEP, at(end), &of_lease(ended)), ["withdraw_lease"]);
    }

    #[test]
    fn a_request_is_refunded_after_its_deadline_and_closed_once_its_lease_is_gone() {
        let of = |status: RequestStatus, leased: bool| {
            let mut request = Request::zeroed();
            request.header.status = status as u8;
            request.terms.rules = MarketParams::dev().rules;
            request.deadline_slot.set(700);
            request.ended_slot.set(650);
            MarketWindows {
                requests: vec![RequestWindow {
                    pubkey: key(2),
                    request: Box::new(request),
                    leased,
                }],
                ..MarketWindows::default()
            }
        };
        let open = of(RequestStatus::Open, false);
        assert!(names(&RULES, at(699), &open).is_empty());
        assert_eq!(names(&KEEP, at(700), &open), ["expire_request"]);
        let accepted = of(RequestStatus::Accepted, true);
        assert!(names(&RULES, at(9_999), &accepted).is_empty());
        let gone = of(RequestStatus::Accepted, false);
        assert!(names(&RULES, at(650 + 2_249), &gone).is_empty());
        assert_eq!(names(&RULES, at(650 + 2_250), &gone), ["close_request"]);
        assert!(names(&KEEP, at(9_999), &gone).is_empty());
    }

    #[test]
    fn disputes_are_decided_in_their_order_and_their_disputers_paid() {
        let mut state = lease(LeaseStatus::Active);
        state.disputes.set(2);
        state.open_disputes.set(2);
        let of = |number: u32, status: LeaseDisputeStatus| {
            let mut dispute = LeaseDispute::zeroed();
            dispute.header.status = status as u8;
            dispute.number.set(number);
            dispute.count = 1;
            dispute.openings_end.set(500);
            dispute.resolved_slot.set(500);
            dispute.close_delay_slots.set(100);
            LeaseDisputeWindow {
                pubkey: key(10 + number as u8),
                dispute: Box::new(dispute),
                lease: Some(Box::new(state)),
            }
        };
        let open = LeaseDisputeStatus::Open;
        let windows = MarketWindows {
            disputes: vec![of(1, open), of(0, open)],
            ..MarketWindows::default()
        };
        assert!(names(&RULES, at(499), &windows).is_empty());
        let due = RULES.market_due(at(500), &windows);
        assert_eq!(due.len(), 1);
        assert_eq!(
            (due[0].name(), due[0].account()),
            ("resolve_lease_dispute", key(10))
        );
        let mut decided = of(0, LeaseDisputeStatus::Resolved);
        decided.lease = None;
        let windows = MarketWindows {
            disputes: vec![decided],
            ..MarketWindows::default()
        };
        assert!(names(&RULES, at(599), &windows).is_empty());
        assert_eq!(names(&KEEP, at(600), &windows), ["close_lease_dispute"]);
    }

    #[test]
    fn a_provider_is_swept_by_the_rule_of_validators() {
        let owes = |owed, written_slot| MarketWindows {
            providers: vec![ProviderWindow {
                authority: key(3),
                owed,
                written_slot,
            }],
            ..MarketWindows::default()
        };
        assert_eq!(
            names(&RULES, at(100), &owes(1_000, 100)),
            ["sweep_provider"]
        );
        assert!(names(&RULES, at(131), &owes(999, 100)).is_empty());
        assert_eq!(names(&RULES, at(132), &owes(1, 100)), ["sweep_provider"]);
    }

    #[test]
    fn a_crowd_of_one_kind_leaves_room_for_the_others() {
        let mut ended = lease(LeaseStatus::Ended);
        ended.tenant_due.set(WORTH);
        let crowd = of_lease(ended);
        let mut windows = MarketWindows {
            leases: vec![crowd.leases[0].clone(); 50],
            ..MarketWindows::default()
        };
        windows.providers = vec![ProviderWindow {
            authority: key(3),
            owed: 5_000,
            written_slot: 0,
        }];
        let all = RULES.market_due(at(100), &windows);
        let due: Vec<&str> = all.iter().take(4).map(MarketCrank::name).collect();
        assert_eq!(
            due,
            [
                "withdraw_lease",
                "sweep_provider",
                "withdraw_lease",
                "withdraw_lease"
            ]
        );
        assert_eq!(all.len(), 51);
    }

    #[test]
    fn unknown_bytes_are_left_alone() {
        let mut strange = lease(LeaseStatus::Ended);
        strange.header.status = 99;
        assert!(names(&RULES, at(1_000_000), &of_lease(strange)).is_empty());
        let windows = MarketWindows {
            requests: vec![RequestWindow {
                pubkey: key(2),
                request: Box::new(Request::zeroed()),
                leased: false,
            }],
            disputes: vec![LeaseDisputeWindow {
                pubkey: key(4),
                dispute: Box::new(LeaseDispute::zeroed()),
                lease: None,
            }],
            ..MarketWindows::default()
        };
        assert!(names(&RULES, at(1_000_000), &windows).is_empty());
    }
}
