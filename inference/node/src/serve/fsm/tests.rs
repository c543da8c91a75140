use super::*;
use proptest::prelude::*;

const OURS: View = View::Ours {
    terms: TermsMatch::Same,
    cancelled: false,
    end_slot: 1_000,
};
const CANCELLED: View = View::Ours {
    terms: TermsMatch::Same,
    cancelled: true,
    end_slot: 1_000,
};

fn seen(slot: u64, view: View) -> Event {
    Event::Chain {
        slot,
        finalized: false,
        view,
    }
}
fn rooted(slot: u64, view: View) -> Event {
    Event::Chain {
        slot,
        finalized: true,
        view,
    }
}
fn run(fsm: &mut JobFsm, events: &[Event]) -> Vec<Action> {
    events.iter().flat_map(|e| fsm.step(*e)).collect()
}

#[test]
fn a_cosigned_job_runs_while_its_transaction_lands() {
    let mut fsm = JobFsm::new(Origin::CoSigned);
    assert_eq!(fsm.step(Event::Begin), [Action::SendRequest]);
    assert!(fsm.needs_engine());
    assert_eq!(fsm.step(Event::RequestTaken), [Action::StartEngine]);
    assert_eq!(fsm.step(Event::RequestTaken), []);
    assert_eq!(
        run(&mut fsm, &[Event::Generated(1), seen(5, View::Absent)]),
        []
    );
    assert_eq!(fsm.step(seen(6, OURS)), [Action::OpenGate]);
    assert_eq!(
        run(&mut fsm, &[Event::HandedOut(2), Event::Finished(2)]),
        [
            Action::SaveResult {
                keep: 2,
                cut: false
            },
            Action::Submit
        ]
    );
    assert_eq!(
        run(
            &mut fsm,
            &[Event::SubmitLanded(8), seen(8, View::Submitted)]
        ),
        [Action::Publish]
    );
    assert_eq!(
        fsm.step(rooted(8, View::Submitted)),
        [Action::Retire(Exit::Submitted)]
    );
    assert_eq!(fsm.step(seen(9, OURS)), []);
}

#[test]
fn nothing_is_computed_for_a_request_that_the_chain_does_not_take() {
    let mut fsm = JobFsm::new(Origin::CoSigned);
    let events = [
        Event::Begin,
        seen(3, View::Absent),
        rooted(3, View::Absent),
        Event::Refused,
    ];
    assert_eq!(
        run(&mut fsm, &events),
        [
            Action::SendRequest,
            Action::FailClient(Failure::NotPaid),
            Action::Retire(Exit::NeverOurs)
        ]
    );
}

#[test]
fn an_output_that_is_ready_before_the_job_is_seen_waits() {
    let mut fsm = JobFsm::new(Origin::CoSigned);
    let actions = run(
        &mut fsm,
        &[Event::Begin, Event::RequestTaken, Event::Finished(3)],
    );
    assert!(!actions.contains(&Action::Submit) && !actions.contains(&Action::OpenGate));
    assert_eq!(fsm.step(seen(4, OURS)), [Action::OpenGate, Action::Submit]);
}

#[test]
fn a_refused_request_stops_the_work_and_nothing_is_owed() {
    let mut fsm = JobFsm::new(Origin::CoSigned);
    run(&mut fsm, &[Event::Begin, Event::RequestTaken]);
    assert_eq!(
        fsm.step(Event::Refused),
        [
            Action::StopEngine,
            Action::FailClient(Failure::NotPaid),
            Action::Retire(Exit::NeverOurs)
        ]
    );
}

#[test]
fn an_open_job_is_accepted_then_fetched_then_run() {
    let mut fsm = JobFsm::new(Origin::Consumed);
    assert_eq!(fsm.step(Event::Begin), [Action::SendAccept]);
    assert_eq!(
        fsm.step(seen(3, OURS)),
        [Action::OpenGate, Action::FetchPrompt]
    );
    assert_eq!(fsm.step(Event::PromptReady), [Action::StartEngine]);
    assert_eq!(
        fsm.step(Event::Finished(1)),
        [
            Action::SaveResult {
                keep: 1,
                cut: false
            },
            Action::Submit
        ]
    );
}

#[test]
fn an_open_job_that_another_took_is_dropped_at_once() {
    let mut fsm = JobFsm::new(Origin::Consumed);
    fsm.step(Event::Begin);
    assert_eq!(
        fsm.step(seen(3, View::Others)),
        [
            Action::FailClient(Failure::Lost),
            Action::Retire(Exit::NeverOurs)
        ]
    );
}

#[test]
fn a_prompt_that_is_not_the_one_hashed_is_declined() {
    let mut fsm = JobFsm::new(Origin::Consumed);
    assert_eq!(
        run(
            &mut fsm,
            &[Event::Begin, seen(3, OURS), Event::PromptFailed]
        ),
        [
            Action::SendAccept,
            Action::OpenGate,
            Action::FetchPrompt,
            Action::Decline
        ]
    );
}

#[test]
fn a_result_lost_in_a_fork_is_submitted_again() {
    let mut fsm = JobFsm::new(Origin::CoSigned);
    run(
        &mut fsm,
        &[
            Event::Begin,
            seen(1, OURS),
            Event::Finished(1),
            Event::SubmitLanded(9),
            seen(9, View::Submitted),
        ],
    );
    assert_eq!(fsm.step(seen(8, OURS)), [], "an older bank proves nothing");
    assert_eq!(fsm.step(seen(12, OURS)), [Action::Submit]);
    assert_eq!(fsm.step(seen(13, OURS)), [], "one at a time");
    assert_eq!(
        run(&mut fsm, &[Event::SubmitFailed, seen(14, OURS)]),
        [Action::Submit]
    );
    // Refused again and again: each time it waits twice as long.
    assert_eq!(run(&mut fsm, &[Event::SubmitFailed, seen(15, OURS)]), []);
    assert_eq!(fsm.step(seen(16, OURS)), [Action::Submit]);
    assert_eq!(run(&mut fsm, &[Event::SubmitFailed, seen(19, OURS)]), []);
    assert_eq!(fsm.step(seen(20, OURS)), [Action::Submit]);
}

#[test]
fn a_request_lost_in_a_fork_is_sent_again_and_its_result_too() {
    let mut fsm = JobFsm::new(Origin::CoSigned);
    run(
        &mut fsm,
        &[
            Event::Begin,
            seen(1, OURS),
            Event::Finished(1),
            Event::SubmitLanded(2),
            seen(2, View::Submitted),
        ],
    );
    assert_eq!(fsm.step(seen(5, View::Absent)), [Action::SendRequest]);
    assert_eq!(fsm.step(seen(6, OURS)), [Action::Submit]);
}

#[test]
fn a_request_that_landed_under_other_fitting_terms_is_answered_under_those() {
    let mut fsm = JobFsm::new(Origin::CoSigned);
    run(
        &mut fsm,
        &[
            Event::Begin,
            seen(1, OURS),
            Event::Finished(4),
            Event::SubmitFailed,
        ],
    );
    let view = View::Ours {
        terms: TermsMatch::Compatible,
        cancelled: false,
        end_slot: 1_000,
    };
    assert_eq!(
        fsm.step(seen(3, view)),
        [
            Action::SaveResult {
                keep: 4,
                cut: false
            },
            Action::Submit
        ]
    );
    let foreign = View::Ours {
        terms: TermsMatch::Foreign,
        cancelled: false,
        end_slot: 1_000,
    };
    assert_eq!(
        run(&mut fsm, &[Event::SubmitFailed, seen(6, foreign)]),
        [Action::Decline]
    );
}

#[test]
fn after_a_cancel_only_what_was_handed_out_is_submitted() {
    let mut fsm = JobFsm::new(Origin::CoSigned);
    run(
        &mut fsm,
        &[
            Event::Begin,
            seen(1, OURS),
            Event::Generated(5),
            Event::HandedOut(4),
        ],
    );
    assert_eq!(
        fsm.step(seen(2, CANCELLED)),
        [
            Action::StopEngine,
            Action::SaveResult { keep: 4, cut: true },
            Action::Submit
        ]
    );
    assert_eq!(fsm.step(Event::Finished(5)), []);
}

#[test]
fn after_a_cancel_with_nothing_handed_out_the_job_is_declined() {
    let mut fsm = JobFsm::new(Origin::CoSigned);
    run(
        &mut fsm,
        &[Event::Begin, seen(1, OURS), Event::Generated(5)],
    );
    assert_eq!(
        fsm.step(seen(2, CANCELLED)),
        [
            Action::StopEngine,
            Action::FailClient(Failure::Cancelled),
            Action::Decline
        ]
    );
}

#[test]
fn a_whole_answer_that_was_handed_out_survives_a_cancel() {
    let mut fsm = JobFsm::new(Origin::CoSigned);
    run(
        &mut fsm,
        &[
            Event::Begin,
            seen(1, OURS),
            Event::HandedOut(2),
            Event::Finished(2),
            Event::SubmitFailed,
        ],
    );
    assert_eq!(fsm.step(seen(2, CANCELLED)), [Action::Submit]);
}

/// A job that was cut after three tokens by a cancel in slot 10, and its result in flight.
fn cut() -> JobFsm {
    let mut fsm = JobFsm::new(Origin::CoSigned);
    let events = [
        Event::Begin,
        seen(1, OURS),
        Event::Generated(5),
        Event::HandedOut(3),
        seen(10, CANCELLED),
    ];
    assert!(run(&mut fsm, &events).contains(&Action::SaveResult { keep: 3, cut: true }));
    fsm
}

#[test]
fn a_cancel_that_a_fork_took_back_leaves_a_whole_answer() {
    let mut fsm = cut();
    // The cancel's bank is gone: the cut result is refused, and never tried in vain.
    assert_eq!(run(&mut fsm, &[Event::SubmitFailed, seen(9, OURS)]), []);
    assert_eq!(fsm.step(seen(13, OURS)), []);
    assert_eq!(fsm.step(seen(14, OURS)), [Action::StartEngine]);
    assert_eq!(
        run(&mut fsm, &[Event::Generated(5), Event::Finished(8)]),
        [
            Action::SaveResult {
                keep: 8,
                cut: false
            },
            Action::Submit
        ]
    );
    // The cancel comes again while it is made whole.
    let mut fsm = cut();
    run(&mut fsm, &[Event::SubmitFailed, seen(14, OURS)]);
    assert_eq!(
        run(&mut fsm, &[Event::Generated(3), seen(15, CANCELLED)]),
        [
            Action::StopEngine,
            Action::SaveResult { keep: 3, cut: true },
            Action::Submit
        ]
    );
    // And across a restart.
    let mut fsm = JobFsm::resumed(Origin::CoSigned, true, 3, Some((3, true)));
    assert_eq!(
        run(&mut fsm, &[Event::Resume, seen(30, OURS)]),
        [Action::OpenGate, Action::StartEngine]
    );
}

#[test]
fn a_result_that_is_refused_for_ever_is_tried_a_few_times() {
    let mut fsm = JobFsm::new(Origin::CoSigned);
    run(&mut fsm, &[Event::Begin, seen(1, OURS), Event::Finished(1)]);
    let mut submitted = 0;
    for slot in 2..1_000 {
        for action in run(&mut fsm, &[Event::SubmitFailed, seen(slot, OURS)]) {
            submitted += usize::from(action == Action::Submit);
        }
    }
    assert!(submitted <= 22, "{submitted}");
}

#[test]
fn a_job_that_a_fork_took_back_for_good_is_let_go() {
    // After a restart: the request's blockhash is too old to land again.
    let mut fsm = JobFsm::resumed(Origin::CoSigned, true, 3, Some((3, false)));
    run(&mut fsm, &[Event::Resume, seen(9, OURS)]);
    assert_eq!(
        run(&mut fsm, &[Event::SubmitFailed, seen(12, View::Absent)]),
        [Action::SendRequest]
    );
    assert_eq!(
        fsm.step(Event::Expired),
        [
            Action::FailClient(Failure::Lost),
            Action::Retire(Exit::NeverOurs)
        ]
    );
    // And where nothing tells of the request: long after it was last seen.
    for origin in [Origin::CoSigned, Origin::Consumed] {
        let mut fsm = JobFsm::new(origin);
        run(&mut fsm, &[Event::Begin, seen(9, OURS)]);
        assert_eq!(fsm.step(rooted(308, View::Absent)), []);
        assert!(
            fsm.step(rooted(309, View::Absent))
                .contains(&Action::Retire(Exit::NeverOurs))
        );
    }
}

#[test]
fn a_restart_makes_a_saved_result_good() {
    let mut fsm = JobFsm::resumed(Origin::CoSigned, true, 7, Some((7, false)));
    assert_eq!(
        run(&mut fsm, &[Event::Resume, seen(9, OURS)]),
        [Action::OpenGate, Action::Submit]
    );
}

#[test]
fn a_restart_in_the_middle_runs_again_and_a_cancel_cuts_where_it_was() {
    let mut fsm = JobFsm::resumed(Origin::CoSigned, true, 3, None);
    assert_eq!(
        run(&mut fsm, &[Event::Resume, seen(9, CANCELLED)]),
        [Action::OpenGate, Action::StartEngine]
    );
    assert_eq!(
        run(&mut fsm, &[Event::Generated(1), Event::Generated(2)]),
        []
    );
    assert_eq!(
        fsm.step(Event::Generated(3)),
        [
            Action::StopEngine,
            Action::SaveResult { keep: 3, cut: true },
            Action::Submit
        ]
    );
}

#[test]
fn a_restart_before_the_request_landed_sends_nothing() {
    let mut fsm = JobFsm::resumed(Origin::CoSigned, true, 0, None);
    assert_eq!(run(&mut fsm, &[Event::Resume, seen(9, View::Absent)]), []);
    assert_eq!(
        fsm.step(Event::Expired),
        [
            Action::FailClient(Failure::NotPaid),
            Action::Retire(Exit::NeverOurs)
        ]
    );
}

#[test]
fn a_job_whose_deadline_passed_is_retired_when_that_is_final() {
    let mut fsm = JobFsm::new(Origin::CoSigned);
    run(&mut fsm, &[Event::Begin, seen(1, OURS)]);
    assert_eq!(fsm.step(seen(1_000, OURS)), []);
    assert_eq!(
        fsm.step(rooted(1_000, OURS)),
        [
            Action::StopEngine,
            Action::FailClient(Failure::Lost),
            Action::Retire(Exit::Missed)
        ]
    );
}

fn any_event() -> impl Strategy<Value = Event> {
    let view = prop_oneof![
        Just(View::Absent),
        Just(View::Open),
        Just(View::Others),
        Just(View::Submitted),
        Just(View::Ended),
        (any::<bool>(), 0u8..3).prop_map(|(cancelled, t)| View::Ours {
            terms: [
                TermsMatch::Same,
                TermsMatch::Compatible,
                TermsMatch::Foreign
            ][usize::from(t)],
            cancelled,
            end_slot: 50,
        }),
    ];
    prop_oneof![
        4 => (0u64..60, any::<bool>(), view).prop_map(|(slot, f, view)| Event::Chain { slot, finalized: f, view }),
        1 => Just(Event::Begin),
        1 => Just(Event::RequestTaken),
        1 => Just(Event::Expired),
        1 => Just(Event::PromptReady),
        1 => Just(Event::PromptFailed),
        2 => (1u32..9).prop_map(Event::Generated),
        2 => (1u32..9).prop_map(Event::HandedOut),
        1 => (1u32..9).prop_map(Event::Finished),
        1 => Just(Event::EngineFailed),
        1 => Just(Event::GrammarFailed),
        1 => Just(Event::Refused),
        1 => (0u64..60).prop_map(Event::SubmitLanded),
        1 => Just(Event::SubmitFailed),
    ]
}

proptest! {
    #[test]
    fn rules_hold_for_any_order_of_events(
        consumed in any::<bool>(),
        events in proptest::collection::vec(any_event(), 1..60),
    ) {
        let mut fsm = JobFsm::new(if consumed { Origin::Consumed } else { Origin::CoSigned });
        let (mut seen_ours, mut saved, mut running, mut retired, mut handed) = (false, false, false, false, 0);
        for event in events {
            if let Event::Chain { finalized: false, view: View::Ours { .. }, .. } = event {
                seen_ours = true;
            }
            if let Event::HandedOut(n) = event {
                handed = handed.max(n);
            }
            for action in fsm.step(event) {
                prop_assert!(!retired, "nothing happens after retirement");
                match action {
                    Action::OpenGate => prop_assert!(seen_ours),
                    Action::Submit => prop_assert!(saved && seen_ours),
                    Action::SaveResult { keep, cut } => {
                        prop_assert!(keep > 0);
                        if cut {
                            prop_assert!(keep <= handed, "a cut result holds only what was handed out");
                        }
                        saved = true;
                    }
                    Action::StartEngine => {
                        prop_assert!(!running);
                        running = true;
                    }
                    Action::StopEngine => running = false,
                    Action::Retire(_) => retired = true,
                    _ => {}
                }
            }
            if matches!(event, Event::Finished(_) | Event::EngineFailed | Event::GrammarFailed) {
                running = false;
            }
        }
    }
}
