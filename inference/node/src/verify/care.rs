//! Which results are checked now, which wait, and which are left alone. Pure: jobs and times in, checks to begin out.
//!
//! Results that have a case are counted apart from the others: anybody can open many cases, and each may wait an hour for its answer.
//! What waits takes no place from what can be done.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use mythic_interface::{
    state::{Case, CaseStatus, Key},
    window,
};
use mythic_verifier::search::Prompt;
use solana_pubkey::Pubkey;

/// Checks at once of results, and of results that have a case.
const MOST: usize = 256;
/// Those at once of one submitter's results that have a case.
const MOST_OF_ONE: usize = MOST / 4;
/// Those that wait beside them; what is more is taken up by a later look.
const MOST_WAITING: usize = 4_096;

/// What is known of a result's evidence while it is looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sought {
    /// Somebody answered who has it not.
    pub answered: bool,
    /// Of evidence that is not authentic, the prompt may be.
    pub prompt: Option<Prompt>,
    /// The last pause.
    pub pause: Duration,
    /// Looks at a chain that does not have the result.
    pub misses: u32,
    /// Slot in which it is given up unless it is on chain.
    pub given_up: Option<u64>,
}

/// A check to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begin {
    pub job: Pubkey,
    /// How its case stands, if it has one.
    pub case: Option<CaseStatus>,
    pub sought: Sought,
}

/// A case that others can join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Joinable {
    pub status: CaseStatus,
    pub submitter: Key,
    /// Slot from which nobody joins, at the latest: one that is not shown yet may be shown sooner.
    pub end: u64,
}

impl Joinable {
    /// Of a case; nothing once nobody joins it.
    pub fn of(case: &Case) -> Option<Self> {
        let status = case.status()?;
        let end = match status {
            CaseStatus::Opening => window::joining_end(case.leaves_due(), &case.rules),
            CaseStatus::Joining => case.joining_end(),
            CaseStatus::Jury | CaseStatus::Resolved => return None,
        };
        Some(Self {
            status,
            submitter: case.submitter,
            end,
        })
    }
}

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It is over, and written down where it has to be.
    Over,
    /// The result is left alone until this slot.
    Until(u64),
    /// To be gone on with after this time, or once its case stands otherwise.
    Later(Sought, Duration),
    /// It failed; a later look takes it up anew.
    Failed,
}

struct Wait {
    sought: Sought,
    until: Instant,
    case: Option<CaseStatus>,
}

/// Results of one kind in care.
#[derive(Default)]
struct Pool {
    running: HashMap<Pubkey, Option<CaseStatus>>,
    waiting: HashMap<Pubkey, Wait>,
}

impl Pool {
    fn has(&self, job: &Pubkey) -> bool {
        self.running.contains_key(job) || self.waiting.contains_key(job)
    }

    fn is_full(&self) -> bool {
        self.running.len() >= MOST || self.waiting.len() >= MOST_WAITING
    }

    fn begin(&mut self, job: Pubkey, case: Option<CaseStatus>, sought: Sought) -> Begin {
        self.running.insert(job, case);
        Begin { job, case, sought }
    }

    fn due(&mut self, now: Instant) -> Vec<Begin> {
        let free = MOST.saturating_sub(self.running.len());
        let over = |(_, wait): &(&Pubkey, &Wait)| wait.until <= now;
        let due = self.waiting.iter().filter(over).map(|(job, _)| *job);
        let due: Vec<Pubkey> = due.take(free).collect();
        let waits = due.into_iter().filter_map(|job| {
            let wait = self.waiting.remove(&job)?;
            self.running.insert(job, wait.case);
            Some(Begin {
                job,
                case: wait.case,
                sought: wait.sought,
            })
        });
        waits.collect()
    }
}

/// The results in care.
#[derive(Default)]
pub struct Care {
    /// Those that have no case that is known.
    results: Pool,
    /// Those that have one.
    cases: Pool,
    /// Results that are left alone, and until which slot that is remembered.
    passed: HashMap<Pubkey, u64>,
    /// Those whose check is over, and how their case stood.
    seen: HashMap<Pubkey, CaseStatus>,
}

impl Care {
    /// A result that was heard of. One that has to be said something of, as the journal says, is taken whatever else is.
    pub fn take(&mut self, job: Pubkey, claimed: bool) -> Option<Begin> {
        let known = self.results.has(&job) || self.cases.has(&job);
        let left = self.passed.contains_key(&job) || self.results.is_full();
        (!known && (claimed || !left)).then(|| self.results.begin(job, None, Sought::default()))
    }

    /// The cases that others can join, each time all of them. A result with a case is checked whatever the policy says: who opened it
    /// may be a friend of who submitted it.
    pub fn take_cases(&mut self, cases: &HashMap<Pubkey, Joinable>) -> Vec<Begin> {
        self.seen.retain(|job, _| cases.contains_key(job));
        let mut of: HashMap<Key, usize> = HashMap::new();
        for case in self.cases.running.keys().filter_map(|job| cases.get(job)) {
            *of.entry(case.submitter).or_default() += 1;
        }
        let mut begun = Vec::new();
        for (job, case) in cases {
            let running = of.entry(case.submitter).or_default();
            if *running < MOST_OF_ONE
                && let Some(begin) = self.take_case(*job, case.status)
            {
                *running += 1;
                begun.push(begin);
            }
        }
        begun
    }

    fn take_case(&mut self, job: Pubkey, status: CaseStatus) -> Option<Begin> {
        let busy = self.results.running.contains_key(&job) || self.cases.running.contains_key(&job);
        if busy || self.seen.get(&job) == Some(&status) {
            return None;
        }
        let waits = self.cases.waiting.get(&job);
        if waits.is_some_and(|wait| wait.case == Some(status)) {
            return None;
        }
        if waits.is_none() && self.cases.is_full() || self.cases.running.len() >= MOST {
            return None;
        }
        let wait = self.cases.waiting.remove(&job);
        let wait = wait.or_else(|| self.results.waiting.remove(&job));
        let mut sought = wait.map(|wait| wait.sought).unwrap_or_default();
        sought.pause = Duration::ZERO;
        Some(self.cases.begin(job, Some(status), sought))
    }

    /// Those that have waited long enough.
    pub fn due(&mut self, now: Instant) -> Vec<Begin> {
        let mut due = self.cases.due(now);
        due.extend(self.results.due(now));
        due
    }

    /// A check has ended.
    pub fn done(&mut self, job: Pubkey, end: End, now: Instant) {
        let pool = match self.cases.running.contains_key(&job) {
            true => &mut self.cases,
            false => &mut self.results,
        };
        let Some(case) = pool.running.remove(&job) else {
            return;
        };
        match end {
            End::Later(sought, pause) => {
                let until = now + pause;
                let wait = Wait {
                    sought,
                    until,
                    case,
                };
                pool.waiting.insert(job, wait);
                return;
            }
            End::Until(slot) => drop(self.passed.insert(job, slot)),
            End::Over => {}
            End::Failed => return,
        }
        self.seen.extend(case.map(|status| (job, status)));
    }

    /// Which check broke off is not known: all begin anew.
    pub fn lost(&mut self) -> HashSet<Pubkey> {
        let results = self.results.running.drain();
        results
            .chain(self.cases.running.drain())
            .map(|(job, _)| job)
            .collect()
    }

    /// What was left alone until before a slot may be heard of again.
    pub fn forget(&mut self, slot: u64) {
        self.passed.retain(|_, until| *until >= slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytemuck::Zeroable;
    use mythic_interface::params::Params;

    fn job(n: usize) -> Pubkey {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&n.to_le_bytes());
        Pubkey::new_from_array(bytes)
    }

    /// Cases of as many submitters.
    fn standing(
        jobs: impl Iterator<Item = usize>,
        status: CaseStatus,
    ) -> HashMap<Pubkey, Joinable> {
        let of = |n| Joinable {
            status,
            submitter: job(n).to_bytes(),
            end: 0,
        };
        jobs.map(|n| (job(n), of(n))).collect()
    }

    fn later(seconds: u64) -> End {
        End::Later(Sought::default(), Duration::from_secs(seconds))
    }

    #[test]
    fn cases_that_wait_for_their_answer_hold_nobody_up() {
        let (mut care, now) = (Care::default(), Instant::now());
        // As many as there are places, and none is answered for an hour.
        let opening = standing(0..MOST, CaseStatus::Opening);
        assert_eq!(care.take_cases(&opening).len(), MOST);
        assert!(care.take(job(9_000), false).is_some(), "another result");
        let more = standing(0..MOST + 1, CaseStatus::Opening);
        assert_eq!(care.take_cases(&more).len(), 0, "no place yet");
        for n in 0..MOST {
            care.done(job(n), later(30), now);
        }
        // It is told again at each look, until there is a place.
        let begun = care.take_cases(&more);
        assert_eq!(begun.len(), 1);
        assert_eq!(
            (begun[0].job, begun[0].case),
            (job(MOST), Some(CaseStatus::Opening))
        );
        care.done(job(MOST), End::Over, now);
        assert!(care.take_cases(&more).is_empty(), "it was looked at");
        assert!(care.due(now + Duration::from_secs(29)).is_empty());
        assert_eq!(care.due(now + Duration::from_secs(30)).len(), MOST);
    }

    #[test]
    fn a_long_answer_whose_case_waits_has_the_time_until_nobody_joins() {
        let mut case = Case::zeroed();
        case.rules = Params::mainnet().rules;
        case.opened_slot.set(1_000);
        let mut end = |status: CaseStatus, shown: u64| {
            case.header.status = status as u8;
            case.shown_slot.set(shown);
            Joinable::of(&case).map(|case| case.end)
        };
        assert_eq!(end(CaseStatus::Opening, 0), Some(1_000 + 9_000 + 100));
        assert_eq!(end(CaseStatus::Joining, 1_020), Some(1_120));
        assert_eq!(end(CaseStatus::Jury, 1_020), None);
    }

    #[test]
    fn cases_of_one_submitter_leave_places_to_others() {
        let mut care = Care::default();
        let mut cases = standing(0..MOST, CaseStatus::Joining);
        for case in cases.values_mut() {
            case.submitter = [1; 32];
        }
        assert_eq!(care.take_cases(&cases).len(), MOST_OF_ONE);
        assert!(care.take_cases(&cases).is_empty());
        cases.extend(standing(MOST..MOST + 1, CaseStatus::Joining));
        let begun = care.take_cases(&cases);
        assert_eq!(begun.len(), 1);
        assert_eq!(begun[0].job, job(MOST));
    }

    #[test]
    fn what_waits_goes_on_at_once_when_its_case_stands_otherwise() {
        let (mut care, now) = (Care::default(), Instant::now());
        care.take_cases(&standing(0..1, CaseStatus::Opening));
        let sought = Sought {
            answered: true,
            pause: Duration::from_secs(16),
            ..Sought::default()
        };
        care.done(job(0), End::Later(sought, Duration::from_secs(30)), now);
        assert!(
            care.take_cases(&standing(0..1, CaseStatus::Opening))
                .is_empty()
        );
        let shown = standing(0..1, CaseStatus::Joining);
        let begun = care.take_cases(&shown);
        assert_eq!(begun.len(), 1);
        assert!(begun[0].sought.answered && begun[0].sought.pause.is_zero());
        // Broken off or failed: told again. Over: not in this stage.
        care.done(job(0), End::Failed, now);
        assert_eq!(care.take_cases(&shown).len(), 1);
        care.done(job(0), End::Until(7), now);
        assert!(care.take_cases(&shown).is_empty());
        assert!(care.take(job(0), false).is_none(), "left alone");
        assert!(
            care.take(job(0), true).is_some(),
            "but it has to be claimed"
        );
    }

    #[test]
    fn a_result_whose_case_is_opened_meanwhile_is_looked_at_again() {
        let (mut care, now) = (Care::default(), Instant::now());
        let opened = standing(0..2, CaseStatus::Opening);
        for n in 0..2 {
            assert!(care.take(job(n), false).is_some());
            assert!(care.take(job(n), false).is_none(), "it is in care");
        }
        assert!(
            care.take_cases(&opened).is_empty(),
            "both are being checked"
        );
        care.done(job(0), End::Until(9), now);
        care.done(job(1), later(2), now);
        assert_eq!(care.take_cases(&opened).len(), 2);
        assert_eq!(care.lost(), HashSet::from([job(0), job(1)]));
        assert_eq!(care.take_cases(&opened).len(), 2);
    }
}
