use bytemuck::Zeroable;
use mythic_interface::{
    le::U32,
    market::{
        params::{Grid, MarketParams},
        state::{EpochState, LeaseEpoch},
    },
};

use super::*;
use Commitment::{Confirmed, Finalized, Processed};

const DEADLINE: u64 = 1_000;
const GRACE: u64 = 5;
/// The provider that this is.
const OURS: Key = [7; 32];
/// The second of slot 0: slots take 400 ms.
const EPOCH_0: u64 = 1_000_000;

fn second(slot: u64) -> u64 {
    EPOCH_0 + slot * 2 / 5
}

/// A lease accepted in slot 910 for ten minutes: epochs of 150 slots, proofs in their first 50.
fn lease(status: LeaseStatus) -> Lease {
    let mut lease = Lease::zeroed();
    lease.header.status = status as u8;
    lease.terms.grid = Grid {
        epoch_slots: U32::new(150),
        epoch_seconds: U32::new(60),
    };
    lease.terms.rules = MarketParams::dev().rules;
    lease.terms.probe.proof_slots = U32::new(50);
    lease.terms.price.set(10_000);
    lease.terms.units = 1;
    lease.terms.provider = OURS;
    lease.accepted_slot.set(910);
    if status != LeaseStatus::Accepted {
        lease.started_slot.set(920);
        lease.started_at.set(second(920));
        lease.mark.set(second(920));
        lease.ends_at.set(second(920) + 600);
        lease.last_proved.set(6);
    }
    if !matches!(status, LeaseStatus::Accepted | LeaseStatus::Started) {
        lease.acknowledged_slot.set(930);
    }
    if status == LeaseStatus::Closing {
        lease.notice_epoch.set(6);
    }
    lease
}

fn read(slot: u64, held: Commitment, lease: impl Into<Option<Lease>>) -> Event {
    Event::Read {
        slot,
        held,
        lease: lease.into().map(Box::new),
    }
}

fn tick(slot: u64) -> Event {
    Event::Tick {
        slot,
        second: second(slot),
    }
}

fn done(step: Step) -> Event {
    Event::Ended(step, Outcome::Done)
}

fn failed(step: Step) -> Event {
    Event::Ended(step, Outcome::Failed)
}

/// A machine after events, and the steps that the last one began.
fn after(events: impl IntoIterator<Item = Event>) -> (Machine, Vec<Step>) {
    let mut machine = Machine::new(OURS, DEADLINE, GRACE, false);
    let mut begun = Vec::new();
    for event in events {
        begun = machine.on(event);
    }
    (machine, begun)
}

/// A machine that serves a lease in this state, at slot 930.
fn serving(state: &Lease) -> Machine {
    let events = [
        read(929, Processed, *state),
        tick(930),
        done(Step::Serve),
        tick(930),
    ];
    after(events).0
}

#[test]
fn a_promise_is_accepted_served_and_started_each_once() {
    let mut machine = Machine::new(OURS, DEADLINE, GRACE, false);
    assert!(machine.on(tick(900)).is_empty(), "the chain was not asked");
    assert_eq!(machine.on(read(900, Processed, None)), [Step::Accept]);
    assert!(machine.on(tick(901)).is_empty(), "it is under way");
    assert!(machine.on(done(Step::Accept)).is_empty());
    let accepted = lease(LeaseStatus::Accepted);
    assert_eq!(machine.on(read(911, Processed, accepted)), [Step::Serve]);
    assert_eq!(machine.on(done(Step::Serve)), [Step::Start]);
    assert!(machine.on(done(Step::Start)).is_empty());
    let started = lease(LeaseStatus::Started);
    assert!(machine.on(read(920, Processed, started)).is_empty());
}

#[test]
fn nothing_begins_before_the_time_is_known() {
    let (_, begun) = after([read(911, Processed, lease(LeaseStatus::Accepted))]);
    assert!(begun.is_empty());
}

#[test]
fn what_fails_is_tried_again_after_growing_pauses() {
    let (mut machine, _) = after([read(900, Processed, None)]);
    let mut slot = 900;
    let mut gaps = Vec::new();
    for _ in 0..5 {
        let from = slot;
        while machine.on(tick(slot)) != [Step::Accept] {
            slot += 1;
        }
        gaps.push(second(slot) - second(from));
        machine.on(failed(Step::Accept));
    }
    assert_eq!(gaps, [0, 1, 2, 4, 8]);
}

#[test]
fn a_request_that_somebody_else_took_is_forgotten_once_it_can_not_be_accepted_any_more() {
    let (mut machine, begun) = after([
        read(998, Processed, None),
        tick(999),
        failed(Step::Accept),
        tick(1_020),
    ]);
    assert!(begun.is_empty(), "its deadline has passed");
    assert!(machine.on(read(1_020, Confirmed, None)).is_empty());
    assert!(machine.on(read(DEADLINE, Finalized, None)).is_empty());
    assert_eq!(
        machine.on(read(DEADLINE + 1, Finalized, None)),
        [Step::Forget]
    );
}

#[test]
fn a_provider_that_was_killed_goes_on_with_what_it_finds() {
    for (status, expected) in [
        (LeaseStatus::Accepted, Step::Serve),
        (LeaseStatus::Started, Step::Serve),
        (LeaseStatus::Active, Step::Serve),
        (LeaseStatus::Closing, Step::Serve),
    ] {
        let (_, begun) = after([read(930, Processed, lease(status)), tick(930)]);
        assert_eq!(begun, [expected], "{status:?}");
    }
    // Its answer to the start was lost, and the start was not.
    let (_, begun) = after([
        read(915, Processed, lease(LeaseStatus::Accepted)),
        tick(915),
        done(Step::Serve),
        failed(Step::Start),
        read(920, Processed, lease(LeaseStatus::Started)),
        tick(930),
    ]);
    assert!(begun.is_empty());
}

#[test]
fn each_epoch_is_proved_in_its_time_and_not_once_the_chain_has_the_proof() {
    let mut state = lease(LeaseStatus::Active);
    let mut machine = serving(&state);
    assert!(machine.on(tick(1_049)).is_empty());
    assert_eq!(machine.on(tick(1_050)), [Step::Prove(7)]);
    assert!(machine.on(tick(1_060)).is_empty());
    machine.on(done(Step::Prove(7)));
    state.last_proved.set(7);
    assert!(machine.on(read(1_065, Processed, state)).is_empty());
    assert!(machine.on(tick(1_090)).is_empty());
    assert_eq!(machine.on(tick(1_200)), [Step::Prove(8)]);
    // Too late for it; the next epoch is another step.
    machine.on(failed(Step::Prove(8)));
    assert!(machine.on(tick(1_250)).is_empty());
    assert_eq!(machine.on(tick(1_350)), [Step::Prove(9)]);
}

#[test]
fn what_is_not_served_is_not_proved() {
    let state = lease(LeaseStatus::Active);
    let (mut machine, begun) = after([read(1_049, Processed, state), tick(1_050)]);
    assert_eq!(begun, [Step::Serve]);
    assert!(machine.on(failed(Step::Serve)).is_empty());
    assert_eq!(machine.on(tick(1_053)), [Step::Serve]);
    assert_eq!(machine.on(done(Step::Serve)), [Step::Prove(7)]);
}

#[test]
fn a_proof_that_a_dead_fork_took_along_is_made_again() {
    let mut state = lease(LeaseStatus::Active);
    let mut machine = serving(&state);
    assert_eq!(machine.on(tick(1_050)), [Step::Prove(7)]);
    state.last_proved.set(7);
    machine.on(read(1_060, Processed, state));
    machine.on(done(Step::Prove(7)));
    state.last_proved.set(6);
    machine.on(read(1_061, Processed, state));
    assert_eq!(machine.on(tick(1_075)), [Step::Prove(7)]);
}

#[test]
fn a_start_that_is_not_acknowledged_is_proved_for_a_while_and_then_ended() {
    let started = lease(LeaseStatus::Started);
    let mut machine = serving(&started);
    // It may be acknowledged until slot 1,020.
    assert_eq!(
        machine.on(tick(1_020)),
        [Step::Close(Ending::NeverAcknowledged)]
    );
    assert!(!machine.on(tick(1_051)).contains(&Step::Prove(7)));
    let late = lease(LeaseStatus::Accepted);
    let (_, begun) = after([read(1_060, Processed, late), tick(1_060)]);
    assert_eq!(begun, [Step::Close(Ending::NeverStarted)]);
}

#[test]
fn a_lease_whose_time_or_notice_is_over_is_ended() {
    let state = lease(LeaseStatus::Active);
    let mut machine = serving(&state);
    // Ten minutes are 1,500 slots.
    assert!(
        !machine
            .on(tick(2_419))
            .contains(&Step::Close(Ending::Completed))
    );
    let begun = machine.on(tick(2_421));
    assert!(begun.contains(&Step::Close(Ending::Completed)), "{begun:?}");
    let closing = lease(LeaseStatus::Closing);
    let mut machine = serving(&closing);
    assert!(
        !machine
            .on(tick(1_351))
            .contains(&Step::Close(Ending::NoticeOver))
    );
    assert!(
        machine
            .on(tick(1_352))
            .contains(&Step::Close(Ending::NoticeOver))
    );
}

#[test]
fn what_runs_stops_a_grace_after_it_was_seen_ended_at_confirmed() {
    let mut machine = serving(&lease(LeaseStatus::Active));
    let ended = lease(LeaseStatus::Ended);
    assert!(
        !machine
            .on(read(940, Processed, ended))
            .contains(&Step::Stop)
    );
    assert!(
        !machine.on(tick(1_000)).contains(&Step::Stop),
        "it may be a fork"
    );
    machine.on(read(941, Confirmed, ended));
    let from = second(1_000);
    let at = |later: u64| Event::Tick {
        slot: 1_001,
        second: from + later,
    };
    assert!(!machine.on(at(GRACE - 1)).contains(&Step::Stop));
    assert_eq!(machine.on(at(GRACE)), [Step::Stop]);
}

#[test]
fn silence_old_slots_and_empty_lists_end_nothing() {
    let state = lease(LeaseStatus::Active);
    let ended = lease(LeaseStatus::Ended);
    // An RPC that says nothing for minutes.
    let mut machine = serving(&state);
    assert!(!machine.on(tick(2_000)).contains(&Step::Stop));
    // A list without it, whether processed or confirmed.
    for held in [Processed, Confirmed] {
        let mut machine = serving(&state);
        machine.on(read(950, held, None));
        assert!(!machine.on(tick(1_500)).contains(&Step::Stop), "{held:?}");
    }
    // Finalized, but of a slot before it was there.
    for slot in [0, 500, 929] {
        let mut machine = serving(&state);
        machine.on(read(slot, Finalized, None));
        let begun = machine.on(tick(1_500));
        assert!(!begun.contains(&Step::Stop) && !begun.contains(&Step::Forget));
    }
    // An old answer that it ended, at processed only.
    let mut machine = serving(&state);
    machine.on(read(920, Processed, ended));
    assert!(!machine.on(tick(1_500)).contains(&Step::Stop));
}

#[test]
fn a_silent_chain_is_served_until_the_time_that_is_paid_is_over() {
    let mut machine = serving(&lease(LeaseStatus::Active));
    // The end is at slot 2,420; the grace takes five seconds more.
    assert!(!machine.on(tick(2_425)).contains(&Step::Stop));
    assert_eq!(machine.on(tick(2_440)), [Step::Stop]);
}

#[test]
fn a_chain_that_says_nothing_of_it_any_more_is_served_until_then_too() {
    let mut machine = serving(&lease(LeaseStatus::Active));
    machine.on(read(950, Confirmed, None));
    assert!(machine.on(tick(2_425)).is_empty());
    assert_eq!(machine.on(tick(2_440)), [Step::Stop]);
}

#[test]
fn absence_at_finalized_after_it_was_there_ends_it_and_forgets_it() {
    let mut machine = serving(&lease(LeaseStatus::Active));
    machine.on(read(930, Confirmed, lease(LeaseStatus::Active)));
    machine.on(read(931, Finalized, None));
    assert_eq!(machine.on(tick(1_000)), [Step::Stop]);
    assert_eq!(machine.on(done(Step::Stop)), [Step::Forget]);
}

#[test]
fn an_ended_lease_is_settled_to_the_last_lamport_and_its_account_closed() {
    let mut state = lease(LeaseStatus::Ended);
    state.ended_slot.set(1_000);
    state.pending.set(600_000);
    state.tenant_due.set(7);
    state.ring[7] = LeaseEpoch {
        state: EpochState::Pending as u8,
        ..LeaseEpoch::zeroed()
    };
    state.ring[7].epoch.set(7);
    state.ring[7].amount.set(1);
    state.ring[7].slot.set(960);
    let mut machine = Machine::new(OURS, DEADLINE, GRACE, false);
    machine.on(tick(1_005));
    assert!(machine.on(read(1_005, Processed, state)).is_empty());
    assert_eq!(machine.on(tick(1_062)), [Step::Release], "however little");
    machine.on(done(Step::Release));
    state.ring[7].state = EpochState::Released as u8;
    state.pending.set(0);
    assert_eq!(machine.on(read(1_063, Processed, state)), [Step::Withdraw]);
    machine.on(done(Step::Withdraw));
    state.tenant_due.set(0);
    assert!(machine.on(read(1_064, Processed, state)).is_empty());
    assert_eq!(machine.on(tick(3_250)), [Step::CloseAccount]);
    // A dispute holds all of it.
    state.open_disputes.set(1);
    let (_, begun) = after([read(3_250, Processed, state), tick(3_250)]);
    assert!(begun.is_empty());
}

#[test]
fn a_running_lease_is_released_when_that_is_worth_a_fee() {
    let mut state = lease(LeaseStatus::Active);
    state.last_proved.set(7);
    state.ring[7] = LeaseEpoch {
        state: EpochState::Pending as u8,
        ..LeaseEpoch::zeroed()
    };
    state.ring[7].epoch.set(7);
    state.ring[7].slot.set(1_055);
    state.ring[7].amount.set(499_999);
    let mut machine = serving(&state);
    assert!(!machine.on(tick(1_160)).contains(&Step::Release));
    state.ring[7].amount.set(500_000);
    assert!(
        machine
            .on(read(1_160, Processed, state))
            .contains(&Step::Release)
    );
}

#[test]
fn a_proof_is_published_once_the_draw_is_firm() {
    let mut state = lease(LeaseStatus::Active);
    state.last_proved.set(7);
    state.ring[7] = LeaseEpoch {
        proof: [3; 32],
        state: EpochState::Pending as u8,
        ..LeaseEpoch::zeroed()
    };
    state.ring[7].epoch.set(7);
    state.ring[7].slot.set(1_055);
    let mut machine = serving(&state);
    assert!(machine.on(tick(1_071)).is_empty());
    assert_eq!(machine.on(tick(1_072)), [Step::Publish(7)]);
    machine.on(done(Step::Publish(7)));
    assert!(machine.on(tick(1_150)).is_empty(), "made once");
    // The seconds behind the last proof have none.
    state.ring[7].proof = [0; 32];
    let mut machine = serving(&state);
    assert!(machine.on(tick(1_080)).is_empty());
}

#[test]
fn an_older_answer_does_not_take_back_a_newer_one() {
    let mut machine = serving(&lease(LeaseStatus::Active));
    machine.on(read(900, Confirmed, lease(LeaseStatus::Accepted)));
    assert_eq!(
        machine.lease().and_then(Lease::status),
        Some(LeaseStatus::Active)
    );
}

/// The same lease, taken by another provider.
fn of_another(status: LeaseStatus) -> Lease {
    let mut lease = lease(status);
    lease.terms.provider = [9; 32];
    lease
}

#[test]
fn a_request_that_another_provider_took_is_never_served_and_forgotten_once_that_is_final() {
    for status in [
        LeaseStatus::Accepted,
        LeaseStatus::Started,
        LeaseStatus::Active,
        LeaseStatus::Closing,
        LeaseStatus::Ended,
    ] {
        let (mut machine, begun) = after([
            read(900, Processed, None),
            tick(910),
            failed(Step::Accept),
            read(912, Processed, of_another(status)),
        ]);
        assert!(begun.is_empty(), "{status:?}");
        assert!(machine.lease().is_none());
        for slot in [930, 1_050, 1_100, 4_000] {
            assert!(machine.on(tick(slot)).is_empty(), "{status:?} {slot}");
        }
        let confirmed = read(940, Confirmed, of_another(status));
        assert!(machine.on(confirmed).is_empty(), "it may be a fork");
        let last = read(950, Finalized, of_another(status));
        assert_eq!(machine.on(last), [Step::Forget], "{status:?}");
    }
}

#[test]
fn what_runs_for_a_lease_that_turns_out_to_be_anothers_stops() {
    let mut machine = serving(&lease(LeaseStatus::Accepted));
    let other = of_another(LeaseStatus::Accepted);
    machine.on(read(940, Processed, other));
    assert!(machine.on(tick(941)).is_empty(), "it is not started");
    machine.on(read(945, Finalized, other));
    assert_eq!(machine.on(tick(1_000)), [Step::Stop]);
    assert_eq!(machine.on(done(Step::Stop)), [Step::Forget]);
}

#[test]
fn an_acceptance_that_a_dead_fork_took_along_is_made_again_while_it_can_be() {
    let accepted = lease(LeaseStatus::Accepted);
    let (mut machine, _) = after([
        read(900, Processed, None),
        tick(900),
        done(Step::Accept),
        read(911, Processed, accepted),
        done(Step::Serve),
        done(Step::Start),
        read(915, Processed, None),
    ]);
    // Not there at processed may be another fork, and before it was there says nothing.
    assert!(machine.on(tick(920)).is_empty());
    assert!(machine.on(read(911, Finalized, None)).is_empty());
    assert_eq!(machine.on(read(920, Finalized, None)), [Step::Accept]);
    // Somebody else has it now.
    machine.on(failed(Step::Accept));
    assert!(
        machine.on(tick(1_010)).is_empty(),
        "its deadline has passed"
    );
    machine.on(read(1_010, Finalized, None));
    assert_eq!(machine.on(tick(1_030)), [Step::Stop]);
    assert_eq!(machine.on(done(Step::Stop)), [Step::Forget]);
}

#[test]
fn a_tenant_whose_wallet_is_empty_keeps_neither_rent_nor_stake() {
    let mut state = lease(LeaseStatus::Ended);
    state.ended_slot.set(1_000);
    state.tenant_due.set(7);
    let (mut machine, begun) = after([read(1_005, Processed, state), tick(1_005)]);
    assert_eq!(begun, [Step::Withdraw]);
    machine.on(failed(Step::Withdraw));
    assert_eq!(machine.on(tick(3_249)), [Step::Withdraw]);
    machine.on(failed(Step::Withdraw));
    assert_eq!(machine.on(tick(3_250)), [Step::CloseAccount]);
    // What can be disputed longer stays longer.
    state.terms.rules.dispute_slots.set(3_000);
    let (mut machine, _) = after([read(3_900, Processed, state), tick(3_900)]);
    machine.on(failed(Step::Withdraw));
    assert_eq!(machine.on(tick(4_000)), [Step::CloseAccount]);
}

#[test]
fn a_start_that_is_not_acknowledged_ends_with_its_time_at_the_latest() {
    let mut started = lease(LeaseStatus::Started);
    // Twenty seconds, of which the last is at slot 970.
    started.ends_at.set(second(920) + 20);
    let mut machine = serving(&started);
    assert!(machine.on(tick(969)).is_empty());
    let never = Step::Close(Ending::NeverAcknowledged);
    assert_eq!(machine.on(tick(970)), [never]);
}

#[test]
fn what_the_tenant_called_unserved_is_published_all_the_same() {
    let mut state = lease(LeaseStatus::Active);
    state.last_proved.set(7);
    state.ring[7] = LeaseEpoch {
        proof: [3; 32],
        state: EpochState::Unserved as u8,
        ..LeaseEpoch::zeroed()
    };
    state.ring[7].epoch.set(7);
    state.ring[7].slot.set(1_055);
    let mut machine = serving(&state);
    assert_eq!(machine.on(tick(1_072)), [Step::Publish(7)]);
}

#[test]
fn an_epoch_is_missed_once_its_time_is_over_and_nothing_was_read_of_a_proof() {
    let mut active = lease(LeaseStatus::Active);
    let mut machine = serving(&active);
    let missed = |machine: &mut Machine, slot: u64| {
        machine.on(tick(slot));
        machine.standing().missed
    };
    assert_eq!(machine.standing().status, Some(LeaseStatus::Active));
    // Proofs of epoch 7, from slot 1,050 on, are taken until 1,100; what landed last may not be read yet.
    assert_eq!(missed(&mut machine, 1_099), 0);
    assert_eq!(missed(&mut machine, 1_100), 0);
    assert_eq!(missed(&mut machine, 1_100 + DRAW_MARGIN), 1);
    assert_eq!(missed(&mut machine, 1_249), 1);
    assert_eq!(missed(&mut machine, 1_250 + DRAW_MARGIN), 2);
    active.last_proved.set(8);
    machine.on(read(1_260, Processed, active));
    assert_eq!(machine.standing().missed, 0);
    // Nobody proves what is not paid any more.
    active.mark = active.ends_at;
    machine.on(read(1_261, Processed, active));
    assert_eq!(missed(&mut machine, 1_700), 0);
    machine.on(read(1_701, Processed, of_another(LeaseStatus::Active)));
    assert_eq!(machine.standing(), Standing::default());
}

#[test]
fn a_start_that_a_dead_fork_took_along_is_made_again() {
    let accepted = lease(LeaseStatus::Accepted);
    let mut machine = serving(&accepted);
    machine.on(done(Step::Start));
    machine.on(read(935, Processed, lease(LeaseStatus::Started)));
    machine.on(read(936, Processed, accepted));
    assert_eq!(machine.on(tick(940)), [Step::Start]);
    // The time for which it was paid there is not its end here.
    machine.on(failed(Step::Start));
    assert!(!machine.on(tick(1_000)).contains(&Step::Stop));
}

#[test]
fn an_end_that_a_dead_fork_took_along_stops_nothing_and_is_sent_again() {
    let closing = lease(LeaseStatus::Closing);
    let mut machine = serving(&closing);
    let close = Step::Close(Ending::NoticeOver);
    assert!(machine.on(tick(1_352)).contains(&close));
    machine.on(done(close));
    machine.on(read(1_355, Processed, lease(LeaseStatus::Ended)));
    assert!(!machine.on(tick(1_390)).contains(&Step::Stop));
    let begun = machine.on(read(1_395, Processed, closing));
    assert!(begun.contains(&close), "{begun:?}");
    assert!(!begun.contains(&Step::Stop), "{begun:?}");
}

#[test]
fn a_chain_whose_clock_stands_still_is_asked_again_to_end_what_is_over() {
    let mut machine = serving(&lease(LeaseStatus::Active));
    let close = Step::Close(Ending::Completed);
    assert!(machine.on(tick(2_421)).contains(&close));
    machine.on(failed(close));
    assert!(machine.on(tick(2_424)).contains(&close));
    machine.on(failed(close));
    // Served for its grace by everybody's clock, and no longer.
    assert_eq!(machine.on(tick(2_440)), [Step::Stop]);
    assert!(machine.on(done(Step::Stop)).contains(&close));
}

#[test]
fn what_an_earlier_process_left_running_is_adopted_or_ended_and_never_forgotten() {
    let left = || Machine::new(OURS, DEADLINE, GRACE, true);
    // While the lease lives it is served again, which finds what runs.
    let mut machine = left();
    machine.on(read(929, Processed, lease(LeaseStatus::Active)));
    assert!(machine.on(tick(930)).contains(&Step::Serve));
    // Seen ended, it is stopped, whether this process served it or not, and tried again until that worked.
    let mut machine = left();
    machine.on(tick(929));
    machine.on(read(929, Confirmed, lease(LeaseStatus::Ended)));
    assert!(!machine.on(tick(930)).contains(&Step::Stop), "the grace");
    let over = machine.on(tick(950));
    assert_eq!(over, [Step::Stop]);
    machine.on(failed(Step::Stop));
    assert_eq!(machine.on(tick(960)), [Step::Stop]);
    assert!(!machine.on(done(Step::Stop)).contains(&Step::Stop));
    // Absent for good: not forgotten before it is stopped.
    let mut machine = left();
    machine.on(tick(DEADLINE + 10));
    let absent = machine.on(read(DEADLINE + 10, Finalized, None));
    assert!(!absent.contains(&Step::Forget), "{absent:?}");
    assert_eq!(machine.on(tick(DEADLINE + 100)), [Step::Stop]);
    assert_eq!(machine.on(done(Step::Stop)), [Step::Forget]);
    // No answer and old answers end nothing.
    let mut machine = left();
    machine.on(tick(930));
    machine.on(read(929, Processed, None));
    assert!(!machine.on(tick(990)).contains(&Step::Stop));
}

#[test]
fn nothing_is_stopped_or_forgotten_beside_a_start_of_it() {
    // A container whose start takes long, and whose lease ends meanwhile.
    let mut machine = Machine::new(OURS, DEADLINE, GRACE, true);
    machine.on(read(929, Processed, lease(LeaseStatus::Active)));
    assert_eq!(machine.on(tick(930)), [Step::Serve]);
    machine.on(read(931, Confirmed, lease(LeaseStatus::Active)));
    machine.on(read(932, Finalized, None));
    assert!(machine.on(tick(1_000)).is_empty(), "it is being started");
    assert_eq!(machine.on(failed(Step::Serve)), [Step::Stop]);
    assert_eq!(machine.on(done(Step::Stop)), [Step::Forget]);
    // An engine leaves nothing where it does not start, and is stopped where it does.
    for (ended, then) in [
        (done(Step::Serve), Step::Stop),
        (failed(Step::Serve), Step::Forget),
    ] {
        let (mut machine, begun) =
            after([read(929, Confirmed, lease(LeaseStatus::Active)), tick(930)]);
        assert_eq!(begun, [Step::Serve]);
        machine.on(read(932, Finalized, None));
        assert!(machine.on(tick(1_000)).is_empty());
        assert_eq!(machine.on(ended), [then]);
    }
}

#[test]
fn what_a_start_that_failed_after_a_stop_left_is_stopped_too() {
    let mut machine = Machine::new(OURS, DEADLINE, GRACE, true);
    let active = lease(LeaseStatus::Active);
    machine.on(read(929, Processed, active));
    machine.on(tick(930));
    machine.on(done(Step::Serve));
    // The time that was paid is over, and more is paid while it is stopped.
    assert_eq!(machine.on(tick(2_440)), [Step::Stop]);
    let mut longer = active;
    longer.ends_at.set(second(2_920) + 600);
    machine.on(read(2_441, Processed, longer));
    let begun = machine.on(tick(2_442));
    assert!(!begun.contains(&Step::Serve), "it is being stopped");
    let begun = machine.on(done(Step::Stop));
    assert!(begun.contains(&Step::Serve), "{begun:?}");
    machine.on(failed(Step::Serve));
    // Seen ended then, what the start left is taken away.
    machine.on(read(2_450, Confirmed, lease(LeaseStatus::Ended)));
    assert_eq!(machine.on(tick(2_480)), [Step::Stop]);
    assert!(machine.on(tick(2_490)).is_empty(), "it is being stopped");
}
