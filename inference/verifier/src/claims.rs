//! What is said against a result, and when: to open its case, to join it, to prove a fault, or to leave it alone. Pure.

use mythic_interface::{
    comparison::Rule,
    state::{Case, CaseStatus, Claim, ClaimKind, Job, JobStatus, Key, MAX_FALSE, NO_KEY},
    window,
};
use serde::{Deserialize, Serialize};

use super::sample;

/// What a check found that is worth a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "found", rename_all = "snake_case")]
pub enum Found {
    /// The evidence is not shown.
    Withheld,
    /// The logits are not the model's.
    False {
        /// Where, ascending, the first few; none in a calibrated profile, where nothing can be named.
        differing: Vec<u32>,
        /// In so many places that any sample holds one.
        often: bool,
    },
    /// One leaf proves it.
    Fault {
        /// Where.
        position: u32,
    },
}

/// What is known when it is decided.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'a> {
    /// Newest slot.
    pub slot: u64,
    /// The job as read.
    pub job: &'a Job,
    /// Its case as read.
    pub case: Option<&'a Case>,
    /// The positions that the chain draws, once it has.
    pub sample: Option<&'a [u32]>,
    /// How the model's answers are judged.
    pub rule: Option<Rule>,
    /// Authority of who decides.
    pub me: &'a Key,
    /// Whether cases of others are joined.
    pub joins: bool,
}

/// Differing positions that are remembered: enough to name two that no sample holds, and to see what others' claims cover.
const KEPT_POSITIONS: usize = 64;

impl Found {
    /// Of an answer of `tokens` tokens that differs at these positions, in a profile in which they can be named or not.
    pub fn differing(positions: &[u32], tokens: u32, named: bool) -> Self {
        let kept = positions.iter().copied().filter(|_| named);
        Self::False {
            differing: kept.take(KEPT_POSITIONS).collect(),
            // A sample of 16 misses them once in a hundred times at most.
            often: positions.len().saturating_mul(4) >= tokens as usize,
        }
    }
}

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// Nothing yet.
    Wait,
    /// Say it, naming these positions.
    Claim(ClaimKind, Vec<u32>),
    /// Say `false`, naming these positions, and prove the fault in the same transaction: nobody can come between.
    ClaimAndProve(Vec<u32>),
    /// Prove the fault: it is noted, and shown where a claim names it.
    Prove,
    /// It was said.
    Said,
    /// Nothing any more.
    Leave(&'static str),
}

/// How long the evidence of a result is still asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Often.
    Often,
    /// Ever more seldom: there may be long to wait.
    Seldom,
    /// No more: what is known now has to do.
    Spent,
    /// No more: nothing can be claimed either.
    Over,
}

/// Until two thirds of the window are over; where there is a case, until half of the time is over in which others join it, which
/// begins when it was answered.
pub fn patience(slot: u64, job: &Job, case: Option<&Case>) -> Patience {
    let window = u64::from(job.terms.rules.window_slots.get());
    let end = job.window_end().unwrap_or(0);
    let until = |last: u64, over: u64| match (slot < last, slot < over) {
        (true, _) => Patience::Often,
        (false, true) => Patience::Spent,
        (false, false) => Patience::Over,
    };
    match (job.status(), case.map(|case| (case, case.status()))) {
        // Who finds it withheld may still say so when the window is over: it is refused then.
        (Some(JobStatus::Submitted), _) => until(end.saturating_sub(window / 3), u64::MAX),
        (Some(JobStatus::Disputed), None) => Patience::Often,
        (Some(JobStatus::Disputed), Some((_, Some(CaseStatus::Opening)))) => Patience::Seldom,
        (Some(JobStatus::Disputed), Some((case, Some(CaseStatus::Joining)))) => {
            let end = case.joining_end();
            until(end.saturating_sub(window / 2), end)
        }
        _ => Patience::Over,
    }
}

/// Decides. An honest claim is made where it decides something: a `false` that another one covers already would earn nothing, and
/// cost the seat on the jury.
pub fn next(found: &Found, sight: &Sight<'_>) -> Move {
    match sight.job.status() {
        Some(JobStatus::Submitted) => opening(found, sight),
        Some(JobStatus::Disputed) => match sight.case {
            Some(case) => joining(found, sight, case),
            // Job and case were read in two banks.
            None => Move::Wait,
        },
        _ => Move::Leave("the job is over"),
    }
}

/// Without a case.
fn opening(found: &Found, sight: &Sight<'_>) -> Move {
    let end = sight.job.window_end().unwrap_or(0);
    if !window::open(sight.slot, end) {
        return Move::Leave("its window closed");
    }
    let known = sample::known_from(sight.job.submitted_slot.get());
    let drawn = sight.sample.filter(|_| sight.slot >= known);
    match (found, drawn) {
        (Found::Fault { .. }, _) if sight.rule.is_none() => Move::Prove,
        // The chance to be asked is gone: better a tenth than nothing.
        (Found::Fault { .. }, None) if sight.slot.saturating_add(LAST_SLOTS) >= end => Move::Prove,
        (_, None) => Move::Wait,
        (Found::Withheld, Some(_)) => Move::Claim(ClaimKind::Withheld, Vec::new()),
        (Found::False { .. }, Some(_)) if sight.rule.is_none() => {
            Move::Leave("the model has no rule by which a jury could judge")
        }
        (Found::False { differing, .. }, Some(drawn)) => {
            Move::Claim(ClaimKind::False, name(sight, differing, drawn))
        }
        (Found::Fault { position }, Some(drawn)) => {
            Move::ClaimAndProve(name(sight, &[*position], drawn))
        }
    }
}

/// Slots before the end of a window in which a fault is proved whatever else could be had.
const LAST_SLOTS: u64 = 16;

/// What is named of the positions that differ: nothing where the profile allows none.
fn name(sight: &Sight<'_>, differing: &[u32], sample: &[u32]) -> Vec<u32> {
    match sight.rule {
        Some(Rule::Exact) => sample::named(differing, sample),
        _ => Vec::new(),
    }
}

/// With a case.
fn joining(found: &Found, sight: &Sight<'_>, case: &Case) -> Move {
    let sample: Vec<u32> = case
        .sample()
        .iter()
        .map(|leaf| leaf.position.get())
        .collect();
    let joinable =
        case.status() == Some(CaseStatus::Joining) && window::open(sight.slot, case.joining_end());
    let free = usize::from(case.false_count) < MAX_FALSE;
    let ours = falses(case).any(|claim| claim.claimant == *sight.me);
    match found {
        Found::Withheld => match case.claims().iter().any(|c| c.claimant == *sight.me) {
            true => Move::Said,
            false => Move::Leave("its case is open already"),
        },
        // A proof would end it now and pay who opened it, also for an empty `false`. Once all is shown a claim that names the fault
        // is right; if it never is, the result is guilty as well.
        Found::Fault { .. } if case.status() == Some(CaseStatus::Opening) && !ours => Move::Wait,
        Found::Fault { position } => {
            let named = name(sight, &[*position], &sample);
            // Where nothing can be named an earlier `false` has the reward whatever a later one says.
            let pays = match case.false_count {
                0 => sight.rule.is_some(),
                _ => !named.is_empty() && !falses(case).any(|claim| covers(claim, *position)),
            };
            match joinable && free && sight.joins && !ours && pays {
                true => Move::ClaimAndProve(named),
                false => proving(case, *position, ours),
            }
        }
        Found::False { differing, often } => {
            if ours {
                return Move::Said;
            }
            if covered(case, &sample, differing, *often) {
                return Move::Leave("another claim covers what is false in it");
            }
            match case.status() {
                _ if !sight.joins => Move::Leave("verifier.join is off"),
                Some(CaseStatus::Opening) => Move::Wait,
                _ if !joinable => Move::Leave("nobody joins its case any more"),
                _ if !free => Move::Leave("its case is full"),
                _ => Move::Claim(ClaimKind::False, name(sight, differing, &sample)),
            }
        }
    }
}

fn falses(case: &Case) -> impl Iterator<Item = &Claim> {
    case.claims().iter().filter(|claim| claim.is_false())
}

/// Whether a claim is right by a fault: it names this one, or one that was proved.
fn covers(claim: &Claim, position: u32) -> bool {
    let mut named = claim.group().iter();
    claim.is_proved() || named.any(|leaf| leaf.position.get() == position)
}

/// A fault of which no claim of ours is worth more: it is proved where nobody has, and where a claim names what nobody can post.
fn proving(case: &Case, position: u32, ours: bool) -> Move {
    let shows = case.status() != Some(CaseStatus::Jury);
    let mut named = case.claims().iter().flat_map(Claim::group);
    let awaited = named.any(|leaf| leaf.position.get() == position && leaf.present == 0);
    match case.prover == NO_KEY || shows && awaited {
        true => Move::Prove,
        false if ours => Move::Said,
        false => Move::Leave("its fault is proved"),
    }
}

/// Whether some claim will be found right as the result is false where it says: the sample holds a false position, or a claim
/// names one, or a fault that was proved. Where nothing can be named every `false` is of the sample.
fn covered(case: &Case, sample: &[u32], differing: &[u32], often: bool) -> bool {
    let sampled = often || differing.is_empty() || sample.iter().any(|p| differing.contains(p));
    falses(case).any(|claim| {
        let mut named = claim.group().iter().map(|leaf| leaf.position.get());
        sampled || claim.is_proved() || named.any(|position| differing.contains(&position))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytemuck::Zeroable;
    use mythic_interface::params::Params;

    const ME: Key = [1; 32];
    const OTHER: Key = [2; 32];
    const SUBMITTED: u64 = 1_000;
    const SAMPLE: [u32; 3] = [5, 9, 14];

    fn job(status: JobStatus) -> Job {
        let mut job = Job::zeroed();
        job.header.status = status as u8;
        job.terms.rules = Params::mainnet().rules;
        job.submitted_slot.set(SUBMITTED);
        job.output_tokens.set(500);
        job
    }

    /// A case that `OTHER` opened in slot 1,030 and that was shown in slot 1,040, if it was.
    fn case(kind: ClaimKind, named: &[u32], shown: bool) -> Case {
        let mut case = Case::zeroed();
        case.rules = Params::mainnet().rules;
        case.header.status = match shown {
            true => CaseStatus::Joining as u8,
            false => CaseStatus::Opening as u8,
        };
        case.opened_slot.set(1_030);
        case.shown_slot.set(if shown { 1_040 } else { 0 });
        case.sampled = SAMPLE.len() as u8;
        for (leaf, position) in case.leaves.iter_mut().zip(SAMPLE) {
            leaf.position.set(position);
        }
        say(&mut case, OTHER, kind, named);
        case
    }

    fn say(case: &mut Case, claimant: Key, kind: ClaimKind, named: &[u32]) {
        let claim = &mut case.claims[usize::from(case.claim_count)];
        claim.claimant = claimant;
        claim.kind = kind as u8;
        claim.named = named.len() as u8;
        for (leaf, position) in claim.leaves.iter_mut().zip(named) {
            leaf.position.set(*position);
        }
        case.claim_count += 1;
        case.false_count += u8::from(kind == ClaimKind::False);
    }

    fn at(slot: u64, found: &Found, case: Option<&Case>) -> Move {
        let status = match case {
            Some(_) => JobStatus::Disputed,
            None => JobStatus::Submitted,
        };
        let job = job(status);
        let sight = Sight {
            slot,
            job: &job,
            case,
            sample: (slot >= SUBMITTED + 21).then_some(&SAMPLE),
            rule: Some(Rule::Exact),
            me: &ME,
            joins: true,
        };
        next(found, &sight)
    }

    fn differs(differing: &[u32]) -> Found {
        Found::False {
            differing: differing.to_vec(),
            often: false,
        }
    }

    fn says(named: &[u32]) -> Move {
        Move::Claim(ClaimKind::False, named.to_vec())
    }

    #[test]
    fn a_case_is_opened_once_the_sample_is_known_and_while_the_window_runs() {
        let withheld = Move::Claim(ClaimKind::Withheld, Vec::new());
        for (found, opens) in [
            (Found::Withheld, withheld),
            (differs(&[3, 5, 7, 8]), says(&[3, 7])),
            (Found::Fault { position: 5 }, Move::ClaimAndProve(vec![])),
            (Found::Fault { position: 6 }, Move::ClaimAndProve(vec![6])),
        ] {
            assert_eq!(at(SUBMITTED + 20, &found, None), Move::Wait);
            assert_eq!(at(SUBMITTED + 21, &found, None), opens);
            assert_eq!(at(SUBMITTED + 99, &found, None), opens);
            assert!(matches!(at(SUBMITTED + 100, &found, None), Move::Leave(_)));
        }
    }

    #[test]
    fn a_false_is_joined_where_no_other_claim_covers_what_is_false() {
        let found = differs(&[3, 7]);
        // A friend that names sound positions, or none, shields nothing.
        for named in [&[][..], &[200, 300]] {
            let case = case(ClaimKind::False, named, true);
            assert_eq!(at(1_050, &found, Some(&case)), says(&[3, 7]));
        }
        let honest = case(ClaimKind::False, &[7], true);
        assert!(matches!(at(1_050, &found, Some(&honest)), Move::Leave(_)));
        let sampled = case(ClaimKind::False, &[], true);
        let hit = differs(&[3, 9]);
        assert!(matches!(at(1_050, &hit, Some(&sampled)), Move::Leave(_)));
        // Nobody has said `false` yet.
        let withheld = case(ClaimKind::Withheld, &[], true);
        assert_eq!(at(1_050, &hit, Some(&withheld)), says(&[3]));
        // The same of ourselves.
        let mut own = withheld;
        own.claims[0].claimant = ME;
        assert_eq!(at(1_050, &hit, Some(&own)), says(&[3]));
        assert_eq!(at(1_050, &Found::Withheld, Some(&own)), Move::Said);
        say(&mut own, ME, ClaimKind::False, &[3]);
        assert_eq!(at(1_050, &hit, Some(&own)), Move::Said);
    }

    #[test]
    fn evidence_is_asked_for_as_long_as_it_can_be_used() {
        let submitted = job(JobStatus::Submitted);
        assert_eq!(patience(1_066, &submitted, None), Patience::Often);
        assert_eq!(patience(1_067, &submitted, None), Patience::Spent);
        let disputed = job(JobStatus::Disputed);
        assert_eq!(patience(1_090, &disputed, None), Patience::Often);
        let mut case = case(ClaimKind::Withheld, &[], false);
        assert_eq!(patience(9_000, &disputed, Some(&case)), Patience::Seldom);
        case.header.status = CaseStatus::Joining as u8;
        case.shown_slot.set(9_000);
        for (slot, expected) in [
            (9_049, Patience::Often),
            (9_050, Patience::Spent),
            (9_099, Patience::Spent),
            (9_100, Patience::Over),
        ] {
            assert_eq!(patience(slot, &disputed, Some(&case)), expected, "{slot}");
        }
        case.header.status = CaseStatus::Jury as u8;
        assert_eq!(patience(9_010, &disputed, Some(&case)), Patience::Over);
        let settled = job(JobStatus::Settled);
        assert_eq!(patience(9_010, &settled, Some(&case)), Patience::Over);
    }

    #[test]
    fn what_is_false_everywhere_is_covered_by_any_false() {
        let all: Vec<u32> = (0..500).collect();
        let found = Found::differing(&all, 500, true);
        let Found::False { differing, often } = &found else {
            panic!("{found:?}");
        };
        assert_eq!((differing.len(), *often), (64, true));
        let case = case(ClaimKind::False, &[], true);
        assert!(matches!(at(1_050, &found, Some(&case)), Move::Leave(_)));
        let few = Found::differing(&[7], 500, false);
        assert_eq!(
            few,
            Found::False {
                differing: Vec::new(),
                often: false
            }
        );
    }

    #[test]
    fn a_case_is_joined_from_what_was_shown_to_the_end_of_joining() {
        let found = differs(&[3]);
        let mut case = case(ClaimKind::False, &[], false);
        assert_eq!(at(1_050, &found, Some(&case)), Move::Wait);
        case.header.status = CaseStatus::Joining as u8;
        case.shown_slot.set(1_040);
        assert_eq!(at(1_139, &found, Some(&case)), says(&[3]));
        assert!(matches!(at(1_140, &found, Some(&case)), Move::Leave(_)));
        for _ in 1..MAX_FALSE {
            say(&mut case, OTHER, ClaimKind::False, &[]);
        }
        assert!(matches!(at(1_050, &found, Some(&case)), Move::Leave(_)));
        case.header.status = CaseStatus::Jury as u8;
        assert!(matches!(at(1_050, &found, Some(&case)), Move::Leave(_)));
    }

    #[test]
    fn a_fault_is_named_and_proved_at_once_where_no_claim_names_one() {
        let found = Found::Fault { position: 6 };
        let both = Move::ClaimAndProve(vec![6]);
        // Whatever a friend said first, a false of sound positions too: it is wrong, and ours is right.
        for (kind, named) in [
            (ClaimKind::Withheld, &[][..]),
            (ClaimKind::False, &[]),
            (ClaimKind::False, &[200, 300]),
        ] {
            let hidden = case(kind, named, false);
            assert_eq!(at(1_050, &found, Some(&hidden)), Move::Wait);
            let mut shown = case(kind, named, true);
            assert_eq!(at(1_050, &found, Some(&shown)), both);
            // Who comes too late proves it all the same, once.
            assert_eq!(at(1_140, &found, Some(&shown)), Move::Prove);
            shown.prover = OTHER;
            assert_eq!(at(1_050, &found, Some(&shown)), both);
            assert!(matches!(at(1_140, &found, Some(&shown)), Move::Leave(_)));
            shown.prover = NO_KEY;
            shown.header.status = CaseStatus::Jury as u8;
            assert_eq!(at(1_300, &found, Some(&shown)), Move::Prove);
        }
        let mut full = case(ClaimKind::False, &[], true);
        for _ in 1..MAX_FALSE {
            say(&mut full, OTHER, ClaimKind::False, &[]);
        }
        assert_eq!(at(1_050, &found, Some(&full)), Move::Prove);
    }

    #[test]
    fn a_fault_that_a_claim_names_is_shown_by_a_proof_and_named_by_nobody_else() {
        let found = Found::Fault { position: 6 };
        let mut case = case(ClaimKind::False, &[6], true);
        assert_eq!(at(1_050, &found, Some(&case)), Move::Prove);
        // Another fault was proved: this one is still awaited.
        case.prover = OTHER;
        assert_eq!(at(1_050, &found, Some(&case)), Move::Prove);
        case.claims[0].leaves[0].present = 2;
        assert!(matches!(at(1_050, &found, Some(&case)), Move::Leave(_)));
        // A proven one is right, so that no later claim is paid, be it of a fault or of what the model computes.
        let other = Found::Fault { position: 7 };
        assert!(matches!(at(1_050, &other, Some(&case)), Move::Leave(_)));
        assert!(matches!(
            at(1_050, &differs(&[8]), Some(&case)),
            Move::Leave(_)
        ));
    }

    #[test]
    fn a_false_of_ours_is_followed_by_its_proof() {
        let found = Found::Fault { position: 6 };
        for shown in [false, true] {
            let mut own = case(ClaimKind::False, &[6], shown);
            own.claims[0].claimant = ME;
            assert_eq!(at(1_050, &found, Some(&own)), Move::Prove);
            own.prover = ME;
            own.claims[0].leaves[0].present = 2;
            assert_eq!(at(1_050, &found, Some(&own)), Move::Said);
        }
    }

    #[test]
    fn where_nothing_can_be_judged_only_withholding_and_faults_count() {
        let [job, disputed] = [JobStatus::Submitted, JobStatus::Disputed].map(job);
        let mut sight = Sight {
            slot: SUBMITTED + 30,
            job: &job,
            case: None,
            sample: Some(&SAMPLE),
            rule: None,
            me: &ME,
            joins: true,
        };
        assert!(matches!(next(&differs(&[3]), &sight), Move::Leave(_)));
        assert_eq!(next(&Found::Fault { position: 6 }, &sight), Move::Prove);
        sight.rule = Some(Rule::Calibrated {
            tau1_ppm: 5_000,
            tau3_ppm: 5_000,
        });
        assert_eq!(next(&differs(&[]), &sight), says(&[]));
        let both = Move::ClaimAndProve(Vec::new());
        let found = Found::Fault { position: 6 };
        assert_eq!(next(&found, &sight), both);
        // Nothing can be named: an earlier `false` would have the reward, and ours cost what is at stake.
        for (kind, expected) in [(ClaimKind::Withheld, both), (ClaimKind::False, Move::Prove)] {
            let case = case(kind, &[], true);
            let joined = Sight {
                slot: 1_050,
                job: &disputed,
                case: Some(&case),
                ..sight
            };
            assert_eq!(next(&found, &joined), expected);
        }
    }

    #[test]
    fn who_does_not_join_still_opens_and_proves() {
        let job = job(JobStatus::Disputed);
        let case = case(ClaimKind::Withheld, &[], true);
        let sight = Sight {
            slot: 1_050,
            job: &job,
            case: Some(&case),
            sample: Some(&SAMPLE),
            rule: Some(Rule::Exact),
            me: &ME,
            joins: false,
        };
        assert!(matches!(next(&differs(&[3]), &sight), Move::Leave(_)));
        assert_eq!(next(&Found::Fault { position: 6 }, &sight), Move::Prove);
    }
}
