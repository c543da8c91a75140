//! The task around [`docket`]: looks at cases on chain and starts what each [`Docket`] says. No decisions are made here.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use mythic_client::{Commitment, Filter, account::decode, pda};
use mythic_interface::state::{Case, CaseStatus, Job, Output, ValidatorStatus};
use mythic_support::life::Pulse;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{
    Verifier,
    care::Joinable,
    errand::{Errand, Prompts},
    purse,
};
#[cfg(doc)]
use mythic_verifier::docket;
use mythic_verifier::docket::{
    Docket, Kind, Look, Me, Outcome, Page, Place, is_party, pages, pays,
};

/// How often the chain is searched for cases that are not decided, at the latest.
const SCAN_EVERY: Duration = Duration::from_secs(2);
/// Slots after which it is searched earlier: where slots are short, deadlines are.
const SCAN_SLOTS: u64 = 4;
/// How often it is searched at most.
const SCAN_PAUSE: Duration = Duration::from_millis(250);
/// How often it is searched for decided ones.
const WIND_UP_EVERY: Duration = Duration::from_secs(15);
/// How often the accounts of cases in care are read.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Longest round of what is owed: it reads all cases, and each call to the chain ends by itself.
const LONGEST: Duration = Duration::from_secs(1_800);
/// A case in care.
struct Tracked {
    docket: Docket,
    job: Pubkey,
    pages: u32,
    place: Place,
}

/// The accounts of a case, as read at once.
struct Accounts<'a> {
    slot: u64,
    case: &'a Case,
    job: Option<Job>,
    outputs: &'a [Option<Output>],
}

struct Runner {
    node: Arc<Verifier>,
    cases: HashMap<Pubkey, Tracked>,
    prompts: Prompts,
    work: JoinSet<(Pubkey, Kind, Outcome)>,
    looks: u64,
}

/// Runs until `quit`. What is under way then is found again at the next start.
pub async fn run(node: Arc<Verifier>, quit: CancellationToken) {
    let mut runner = Runner {
        node,
        cases: HashMap::new(),
        prompts: Prompts::default(),
        work: JoinSet::new(),
        looks: 0,
    };
    let (mut scan, mut look) = (
        tokio::time::interval(SCAN_PAUSE),
        tokio::time::interval(LOOK_EVERY),
    );
    for tick in [&mut scan, &mut look] {
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    }
    let node = runner.node.clone();
    let pulse = Pulse::new("cases and juries", LONGEST);
    let (mut scanned, mut wound_up): (Option<(Instant, u64)>, Option<Instant>) = (None, None);
    loop {
        pulse.beat();
        tokio::select! {
            () = quit.cancelled() => return,
            _ = scan.tick() => {
                let slot = runner.node.slot();
                if scanned.is_some_and(|(at, then)| {
                    at.elapsed() < SCAN_EVERY && slot < then.saturating_add(SCAN_SLOTS)
                }) {
                    continue;
                }
                let decided = wound_up.is_none_or(|at| at.elapsed() >= WIND_UP_EVERY);
                if decided {
                    wound_up = Some(Instant::now());
                }
                scanned = Some((Instant::now(), slot));
                runner.scan(decided).await;
            }
            () = node.cases_changed.notified() => runner.scan(false).await,
            _ = look.tick(), if !runner.cases.is_empty() => runner.look().await,
            Some(done) = runner.work.join_next() => {
                runner.done(done);
                // What follows from it is not kept waiting.
                runner.look().await;
            }
        }
    }
}

impl Runner {
    /// Finds cases that have duties for us.
    async fn scan(&mut self, decided: bool) {
        let mut statuses = vec![CaseStatus::Opening, CaseStatus::Joining, CaseStatus::Jury];
        if decided {
            statuses.push(CaseStatus::Resolved);
            self.node.count_verifier();
        }
        let before = self.cases.len();
        for status in statuses {
            let filters = [Filter::<Case>::status(status)];
            let chain = &self.node.chain;
            match chain
                .program_accounts::<Case>(&filters, Commitment::Processed)
                .await
            {
                Ok(found) => {
                    for (address, case) in found {
                        self.take(address, &case);
                    }
                }
                Err(error) => tracing::debug!(%error, "cases can't be listed"),
            }
        }
        if self.cases.len() > before {
            self.look().await;
        }
    }

    fn take(&mut self, address: Pubkey, case: &Case) {
        if self.cases.contains_key(&address) {
            return;
        }
        let me = me(&self.node, case);
        let place = Place::of(case);
        let taken = self.cases.values().map(|other| other.place);
        // More wait for a later scan.
        if !is_party(&me, case) && !place.is_free(taken) {
            return;
        }
        let text = address.to_string();
        let (held, committed, booked) = {
            let journal = self.node.ledger.read();
            let book = &journal.book;
            let booked = book.ended.contains_key(&text);
            (book.held(&text), book.committed(&text), booked)
        };
        let resolved = case.status() == Some(CaseStatus::Resolved);
        if resolved && !has_left(&me, case, booked) {
            return;
        }
        let job = Pubkey::new_from_array(case.job);
        tracing::debug!(case = %address, %job, "case taken into care");
        let tracked = Tracked {
            docket: Docket::new(held, committed, booked),
            job,
            pages: pages(case.output_tokens.get()).min(64),
            place,
        };
        self.node.in_case.write().insert(job);
        self.cases.insert(address, tracked);
    }

    /// Reads the accounts of all cases, and starts what each one says.
    async fn look(&mut self) {
        self.looks += 1;
        let mut addresses = Vec::new();
        let order: Vec<Pubkey> = self.cases.keys().copied().collect();
        for case in &order {
            let tracked = &self.cases[case];
            addresses.extend([*case, tracked.job]);
            addresses.extend((0..tracked.pages).map(|page| pda::output(tracked.job, page)));
        }
        let found = match self
            .node
            .chain
            .raw_accounts(&addresses, Commitment::Processed)
            .await
        {
            Ok(found) => found,
            Err(error) => {
                tracing::debug!(%error, "accounts of cases can't be read");
                return;
            }
        };
        let mut rest = addresses.iter().zip(found);
        let (mut joinable, mut withheld) = (HashMap::new(), HashMap::new());
        let authority = self.node.keys.authority.to_bytes();
        for address in order {
            let Some(tracked) = self.cases.get(&address) else {
                continue;
            };
            let mut next = || rest.next();
            let (Some((_, case)), Some((_, job))) = (next(), next()) else {
                return;
            };
            let read_pages: Vec<Option<Output>> = (0..tracked.pages)
                .map(|_| {
                    let (key, page) = next()?;
                    decode::<Output>(key, &page.account?).ok()
                })
                .collect();
            let slot = case.slot;
            let Some(state) = case
                .account
                .and_then(|account| decode::<Case>(&address, &account).ok())
            else {
                // Closed, or on a fork that is gone; a scan finds it again if it comes back.
                if !tracked.docket.is_busy() {
                    self.forget(&address);
                }
                continue;
            };
            if let Some(case) = Joinable::of(&state).filter(|_| state.submitter != authority) {
                joinable.insert(tracked.job, case);
            }
            if let Some(claim) = purse::Opened::of(&state, &authority) {
                withheld.insert(tracked.job, claim);
            }
            let job_state = job
                .account
                .and_then(|account| decode::<Job>(&tracked.job, &account).ok());
            let read = Accounts {
                slot,
                case: &state,
                job: job_state,
                outputs: &read_pages,
            };
            self.step(address, read).await;
        }
        self.node.withheld.lock().look(withheld, self.node.slot());
        let end_of = |job: &Pubkey| joinable.get(job).map(|case: &Joinable| case.end);
        self.node.turns.end_with(end_of);
        *self.node.joinable.lock() = joinable;
    }

    async fn step(
        &mut self,
        address: Pubkey,
        Accounts {
            slot,
            case,
            job,
            outputs,
        }: Accounts<'_>,
    ) {
        let me = me(&self.node, case);
        let resolved = case.status() == Some(CaseStatus::Resolved);
        let Some(tracked) = self.cases.get_mut(&address) else {
            return;
        };
        tracked.place = Place::of(case);
        let booked = tracked.docket.is_booked();
        if resolved && !has_left(&me, case, booked) {
            if !tracked.docket.is_busy() {
                self.forget(&address);
            }
            return;
        }
        let final_ = resolved && !booked && self.is_final(&address, case).await;
        let pages: Vec<Option<Page>> = outputs
            .iter()
            .map(|page| page.as_ref().map(Page::of))
            .collect();
        let look = Look {
            number: self.looks,
            slot,
            address: address.as_array(),
            case,
            job: job.as_ref(),
            pages: &pages,
            final_,
        };
        let Some(tracked) = self.cases.get_mut(&address) else {
            return;
        };
        for duty in tracked.docket.look(&me, &look) {
            tracing::debug!(case = %address, slot, kind = ?duty.kind(), "duty");
            let errand = Errand {
                node: self.node.clone(),
                prompts: self.prompts.clone(),
                address,
                job_address: tracked.job,
                case: Box::new(*case),
                job: job.map(Box::new),
            };
            self.work.spawn(async move {
                let kind = duty.kind();
                let outcome = errand.perform(duty).await;
                (errand.address, kind, outcome)
            });
        }
    }

    /// Whether a finalized bank has the same end.
    async fn is_final(&self, address: &Pubkey, case: &Case) -> bool {
        let read = self
            .node
            .chain
            .account_at::<Case>(address, Commitment::Finalized)
            .await;
        matches!(read, Ok(Some((_, old))) if old.header.status == case.header.status
            && old.resolved_slot == case.resolved_slot && old.verdict == case.verdict)
    }

    fn forget(&mut self, address: &Pubkey) {
        if let Some(tracked) = self.cases.remove(address) {
            self.prompts.lock().remove(&tracked.job);
            self.node.in_case.write().remove(&tracked.job);
        }
    }

    fn done(&mut self, done: Result<(Pubkey, Kind, Outcome), tokio::task::JoinError>) {
        match done {
            Ok((address, kind, outcome)) => {
                if let Some(tracked) = self.cases.get_mut(&address) {
                    tracked.docket.done(kind, outcome);
                }
            }
            Err(error) => {
                // Which case it was is not known: all are taken up anew, from journal and chain.
                tracing::error!(%error, "a duty broke off");
                self.cases.clear();
                self.node.in_case.write().clear();
            }
        }
    }
}

/// Whether a decided case still has something for us.
fn has_left(me: &Me, case: &Case, booked: bool) -> bool {
    (is_party(me, case) && (!booked || !case.all_collected())) || pays(me, case)
}

fn me(node: &Verifier, case: &Case) -> Me {
    let validator = node.validator();
    let rules = &case.rules;
    let bounds = &node.config.bounds;
    let bounded = bounds.rules(rules).is_ok()
        && bounds
            .thresholds(case.exact != 0, case.error_ppm.get())
            .is_ok();
    let served = node.judging(case).map(|(model, _)| model.address);
    let mature = served.is_some_and(|model| {
        validator.is_mature(model.as_array(), case.requested_slot.get(), rules)
    });
    let least = rules.min_stake.get().max(rules.jury_stake.get());
    let stake = validator.active_stake(node.slot());
    Me {
        authority: node.keys.authority.to_bytes(),
        payers: [
            node.keys.operator.pubkey().to_bytes(),
            node.keys.authority.to_bytes(),
        ],
        active: validator.header.status == ValidatorStatus::Active as u8,
        judges: node.config.verifier.jury && bounded && served.is_some(),
        mature: mature && stake >= least,
        stake,
        lends: node.config.verifier.lend_stake,
    }
}
