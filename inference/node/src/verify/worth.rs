//! When a step of a case must be done, and what is lost otherwise: what is bid for it follows from that. Pure.

use mythic_client::Due;
use mythic_interface::{
    dispute::{self, Bond, EVIDENT_REWARD_BPS, REWARD_BPS},
    money::share,
    state::{Case, ClaimKind, Job, Key},
};
use mythic_verifier::{
    docket::{Kind, asked_from},
    price::Balance,
    sample,
};

/// Of a duty in a case, for the validator with this authority.
pub fn of_duty(case: &Case, me: &Key, kind: Kind) -> Due {
    match kind {
        Kind::Output | Kind::Openings => Due {
            from: asked_from(case),
            end: case.leaves_due(),
            loss: unshown(case, me),
        },
        Kind::Commit => Due {
            from: case.commit_start(),
            end: case.commit_end(),
            loss: case.tariff.get(),
        },
        Kind::Reveal => {
            let seats = case.jury().iter().filter(|seat| seat.juror == *me).count();
            let fines = case.rules.juror_penalty.get().saturating_mul(seats as u64);
            Due {
                from: case.commit_end(),
                end: case.reveal_end(),
                loss: fines.saturating_add(case.tariff.get()),
            }
        }
        Kind::Fetch
        | Kind::Compute
        | Kind::Resolve
        | Kind::Collect
        | Kind::Book
        | Kind::CloseOutput
        | Kind::Close => Due::NEVER,
    }
}

/// What is lost if the case is not answered: by the submitter its slash, by who says `false` what a jury's reward is more than that
/// for an answer which never comes.
fn unshown(case: &Case, me: &Key) -> u64 {
    let slash = dispute::slash(&case.rules, case.stake_at_result.get());
    if case.submitter == *me {
        return slash;
    }
    match says_false(case, me) {
        true => share(slash, REWARD_BPS - EVIDENT_REWARD_BPS),
        false => 0,
    }
}

fn says_false(case: &Case, me: &Key) -> bool {
    let mut falses = case.claims().iter().filter(|claim| claim.is_false());
    falses.any(|claim| claim.claimant == *me)
}

/// Answering fees that a claim `withheld` counts as worth: most are answered, so with the default share of that it bids no more than one.
const WITHHELD_FEES: u64 = 10;

/// Of a claim with this bond against a result, with its case if there is one. What is `withheld` is found late, in slot `found`.
pub fn of_claim(job: &Job, case: Option<&Case>, kind: ClaimKind, bond: &Bond, found: u64) -> Due {
    let balance = Balance::of(job, kind, bond);
    let known = sample::known_from(job.submitted_slot.get());
    let (from, loss) = match kind {
        ClaimKind::False => (known, balance.right),
        ClaimKind::Withheld => {
            let fees = bond.answering_fee.saturating_mul(WITHHELD_FEES);
            (known.max(found), balance.unanswered.min(fees))
        }
    };
    match case {
        Some(case) => Due {
            from: case.shown_slot.get(),
            end: case.joining_end(),
            loss,
        },
        None => Due {
            from,
            end: job.window_end().unwrap_or(0),
            loss,
        },
    }
}

/// Of the proof of a fault.
pub fn of_proof(job: &Job, case: Option<&Case>, me: &Key) -> Due {
    let reward = match case.is_some_and(|case| says_false(case, me)) {
        true => REWARD_BPS,
        false => EVIDENT_REWARD_BPS,
    };
    let slash = dispute::slash(&job.terms.rules, job.stake_at_result.get());
    let end = match case {
        Some(case) => case.due_slot(),
        None => job.window_end(),
    };
    Due {
        from: case.map_or(job.submitted_slot.get(), |case| case.opened_slot.get()),
        end: end.unwrap_or(0),
        loss: share(slash, reward),
    }
}

/// Of a job's result that was ready in slot `from`: what it earns, and what silence costs whoever took an open job.
pub fn of_result(job: &Job, from: u64) -> Due {
    let rules = &job.terms.rules;
    let earned = share(job.ceiling.get(), rules.validator_bps.get());
    let silence = match job.open {
        0 => 0,
        _ => rules.no_show.get(),
    };
    Due {
        from,
        end: job.submit_end(),
        loss: earned.saturating_add(silence),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytemuck::Zeroable;
    use mythic_interface::params::Params;

    const SOL: u64 = 1_000_000_000;
    const SUBMITTER: Key = [1; 32];
    const CLAIMANT: Key = [2; 32];
    const JUROR: Key = [3; 32];

    /// A case of a stake of 1 SOL that `CLAIMANT` opened in slot 1,000 with `false` and that was shown in slot 1,010.
    fn case() -> Case {
        let mut case = Case::zeroed();
        case.rules = Params::mainnet().rules;
        case.stake_at_result.set(SOL);
        case.submitter = SUBMITTER;
        case.opened_slot.set(1_000);
        case.shown_slot.set(1_010);
        case.leaves_slot.set(1_010);
        case.jury_seats = 15;
        case.commit_slots.set(100);
        case.tariff.set(20_000);
        (case.claim_count, case.false_count) = (1, 1);
        case.claims[0].claimant = CLAIMANT;
        case.claims[0].kind = ClaimKind::False as u8;
        case.claims[0].claimed_slot.set(1_000);
        for seat in &mut case.seats[..2] {
            seat.juror = JUROR;
        }
        case
    }

    #[test]
    fn who_is_late_loses_what_the_case_would_have_brought_or_spared() {
        let case = case();
        let loss = |me, kind| of_duty(&case, me, kind).loss;
        assert_eq!(loss(&SUBMITTER, Kind::Output), SOL / 2);
        assert_eq!(loss(&CLAIMANT, Kind::Openings), SOL / 2 * 3 / 10);
        assert_eq!(loss(&JUROR, Kind::Openings), 0, "a helper");
        assert_eq!(loss(&JUROR, Kind::Commit), 20_000);
        assert_eq!(loss(&JUROR, Kind::Reveal), 2 * 50_000_000 + 20_000);
        for kind in [Kind::Resolve, Kind::Collect, Kind::Close] {
            assert_eq!(of_duty(&case, &CLAIMANT, kind), Due::NEVER);
        }
        let reveal = of_duty(&case, &JUROR, Kind::Reveal);
        let [commits, reveals] = [1_110 + 8 + 60, 1_110 + 8 + 60 + 100];
        assert_eq!((reveal.from, reveal.end), (reveals, reveals + 300));
        let commit = of_duty(&case, &JUROR, Kind::Commit);
        assert_eq!((commit.from, commit.end), (commits, reveals));
        let post = of_duty(&case, &SUBMITTER, Kind::Openings);
        assert_eq!((post.from, post.end), (1_000, case.leaves_due()));
    }

    #[test]
    fn a_claim_is_worth_its_reward_and_a_result_what_it_earns() {
        let mut job = Job::zeroed();
        job.terms.rules = Params::mainnet().rules;
        job.stake_at_result.set(SOL);
        job.submitted_slot.set(900);
        job.ceiling.set(20_000);
        job.deadline_slot.set(2_000);
        let bond = Bond {
            at_stake: 0,
            answering_fee: 0,
            tariffs: 0,
            total: 0,
        };
        let opens = of_claim(&job, None, ClaimKind::False, &bond, 0);
        assert_eq!((opens.from, opens.end, opens.loss), (921, 1_000, SOL / 5));
        let joins = of_claim(&job, Some(&case()), ClaimKind::False, &bond, 0);
        assert_eq!((joins.from, joins.end), (1_010, 1_110));
        assert_eq!(of_proof(&job, None, &CLAIMANT).loss, SOL / 20);
        assert_eq!(of_proof(&job, Some(&case()), &CLAIMANT).loss, SOL / 5);
        let result = of_result(&job, 950);
        assert_eq!((result.end, result.loss), (2_000, 10_000));
        job.open = 1;
        assert_eq!(of_result(&job, 950).loss, 10_000 + 1_000_000);
    }
    #[test]
    fn a_bait_is_bid_for_from_when_it_is_found_and_no_more_than_it_risks() {
        let mut job = Job::zeroed();
        job.terms.rules = Params::mainnet().rules;
        job.stake_at_result.set(SOL);
        job.submitted_slot.set(900);
        let bond = Bond {
            at_stake: 0,
            answering_fee: 60_000,
            tariffs: 0,
            total: 60_000,
        };
        let bids = mythic_client::Bids::default();
        // Two thirds of the window on, and a few slots for its turn.
        let due = of_claim(&job, None, ClaimKind::Withheld, &bond, 967);
        assert!((967..975).all(|slot| bids.lamports(&due, slot, 0) == 0));
        assert_eq!(bids.lamports(&due, 999, u64::MAX), 60_000);
        // Where less than that is to be won, less is bid.
        job.stake_at_result.set(1_000_000);
        let due = of_claim(&job, None, ClaimKind::Withheld, &bond, 967);
        assert_eq!(due.loss, 50_000);
    }
}
