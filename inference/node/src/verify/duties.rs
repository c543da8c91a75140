//! The task around [`docket`]: looks at disputes on chain and starts what each [`Case`] says. No decisions are made here.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use mythic_client::{Commitment, Filter, account::decode, pda};
use mythic_interface::state::{Dispute, DisputeStatus, Job, Output, ValidatorStatus};
use mythic_support::life::Pulse;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Verifier;
use super::errand::{Errand, Prompts};
#[cfg(doc)]
use mythic_verifier::docket;
use mythic_verifier::docket::{Case, Kind, Look, Me, Outcome, Page, is_party, pages};

/// How often the chain is searched for disputes that are not decided, at the latest.
const SCAN_EVERY: Duration = Duration::from_secs(2);
/// Slots after which it is searched earlier: where slots are short, deadlines are.
const SCAN_SLOTS: u64 = 4;
/// How often it is searched at most.
const SCAN_PAUSE: Duration = Duration::from_millis(250);
/// How often it is searched for decided ones.
const WIND_UP_EVERY: Duration = Duration::from_secs(15);
/// How often the accounts of disputes in care are read.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Longest round of what is owed: it reads all disputes, and each call to the chain ends by itself.
const LONGEST: Duration = Duration::from_secs(1_800);
/// Disputes in care at most; more wait for a later scan.
const MOST_CASES: usize = 512;

/// A dispute in care.
struct Tracked {
    case: Case,
    job: Pubkey,
    pages: u32,
}

/// The accounts of a dispute, as read at once.
struct Accounts<'a> {
    slot: u64,
    dispute: &'a Dispute,
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
    let pulse = Pulse::new("disputes and juries", LONGEST);
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
            () = node.disputes_changed.notified() => runner.scan(false).await,
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
    /// Finds disputes that have duties for us.
    async fn scan(&mut self, decided: bool) {
        let mut statuses = vec![DisputeStatus::Openings, DisputeStatus::Jury];
        if decided {
            statuses.push(DisputeStatus::Resolved);
            self.node.count_verifier();
        }
        let before = self.cases.len();
        for status in statuses {
            let filters = [Filter::<Dispute>::status(status)];
            let chain = &self.node.chain;
            match chain
                .program_accounts::<Dispute>(&filters, Commitment::Processed)
                .await
            {
                Ok(found) => {
                    for (address, dispute) in found {
                        self.take(address, &dispute);
                    }
                }
                Err(error) => tracing::debug!(%error, "disputes can't be listed"),
            }
        }
        if self.cases.len() > before {
            self.look().await;
        }
    }

    fn take(&mut self, address: Pubkey, dispute: &Dispute) {
        if self.cases.contains_key(&address) || self.cases.len() >= MOST_CASES {
            return;
        }
        let me = me(&self.node, dispute);
        let text = address.to_string();
        let (held, booked) = {
            let journal = self.node.ledger.read();
            let book = &journal.book;
            (book.held(&text), book.ended.contains_key(&text))
        };
        if dispute.status() == Some(DisputeStatus::Resolved) && !has_left(&me, dispute, booked) {
            return;
        }
        tracing::debug!(dispute = %address, job = %Pubkey::new_from_array(dispute.job), "dispute taken into care");
        let tracked = Tracked {
            case: Case::new(held, booked),
            job: Pubkey::new_from_array(dispute.job),
            pages: pages(dispute.output_tokens.get()).min(64),
        };
        self.cases.insert(address, tracked);
    }

    /// Reads the accounts of all cases, and starts what each one says.
    async fn look(&mut self) {
        self.looks += 1;
        let mut addresses = Vec::new();
        let order: Vec<Pubkey> = self.cases.keys().copied().collect();
        for dispute in &order {
            let tracked = &self.cases[dispute];
            addresses.extend([*dispute, tracked.job]);
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
                tracing::debug!(%error, "accounts of disputes can't be read");
                return;
            }
        };
        let mut rest = addresses.iter().zip(found);
        for address in order {
            let Some(tracked) = self.cases.get(&address) else {
                continue;
            };
            let mut next = || rest.next();
            let (Some((_, dispute)), Some((_, job))) = (next(), next()) else {
                return;
            };
            let read_pages: Vec<Option<Output>> = (0..tracked.pages)
                .map(|_| {
                    let (key, page) = next()?;
                    decode::<Output>(key, &page.account?).ok()
                })
                .collect();
            let slot = dispute.slot;
            let Some(state) = dispute
                .account
                .and_then(|account| decode::<Dispute>(&address, &account).ok())
            else {
                // Closed, or on a fork that is gone; a scan finds it again if it comes back.
                if !tracked.case.is_busy() {
                    self.forget(&address);
                }
                continue;
            };
            let job_state = job
                .account
                .and_then(|account| decode::<Job>(&tracked.job, &account).ok());
            let read = Accounts {
                slot,
                dispute: &state,
                job: job_state,
                outputs: &read_pages,
            };
            self.step(address, read).await;
        }
    }

    async fn step(
        &mut self,
        address: Pubkey,
        Accounts {
            slot,
            dispute,
            job,
            outputs,
        }: Accounts<'_>,
    ) {
        let me = me(&self.node, dispute);
        let resolved = dispute.status() == Some(DisputeStatus::Resolved);
        let Some(tracked) = self.cases.get_mut(&address) else {
            return;
        };
        let booked = tracked.case.is_booked();
        if resolved && !has_left(&me, dispute, booked) {
            if !tracked.case.is_busy() {
                self.forget(&address);
            }
            return;
        }
        let final_ = resolved && !booked && self.is_final(&address, dispute).await;
        let pages: Vec<Option<Page>> = outputs
            .iter()
            .map(|page| page.as_ref().map(Page::of))
            .collect();
        let look = Look {
            number: self.looks,
            slot,
            address: address.as_array(),
            dispute,
            job: job.as_ref(),
            pages: &pages,
            final_,
        };
        let Some(tracked) = self.cases.get_mut(&address) else {
            return;
        };
        for duty in tracked.case.look(&me, &look) {
            tracing::debug!(dispute = %address, slot, kind = ?duty.kind(), "duty");
            let errand = Errand {
                node: self.node.clone(),
                prompts: self.prompts.clone(),
                address,
                job_address: tracked.job,
                dispute: Box::new(*dispute),
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
    async fn is_final(&self, address: &Pubkey, dispute: &Dispute) -> bool {
        let read = self
            .node
            .chain
            .account_at::<Dispute>(address, Commitment::Finalized)
            .await;
        matches!(read, Ok(Some((_, old))) if old.header.status == dispute.header.status
            && old.resolved_slot == dispute.resolved_slot && old.verdict == dispute.verdict)
    }

    fn forget(&mut self, address: &Pubkey) {
        if let Some(tracked) = self.cases.remove(address)
            && !self.cases.values().any(|other| other.job == tracked.job)
        {
            self.prompts.lock().remove(&tracked.job);
        }
    }

    fn done(&mut self, done: Result<(Pubkey, Kind, Outcome), tokio::task::JoinError>) {
        match done {
            Ok((address, kind, outcome)) => {
                if let Some(tracked) = self.cases.get_mut(&address) {
                    tracked.case.done(kind, outcome);
                }
            }
            Err(error) => {
                // Which case it was is not known: all are taken up anew, from journal and chain.
                tracing::error!(%error, "a duty broke off");
                self.cases.clear();
            }
        }
    }
}

/// Whether a decided dispute still has something for us.
fn has_left(me: &Me, dispute: &Dispute, booked: bool) -> bool {
    (is_party(me, dispute) && (!booked || !dispute.all_collected()))
        || me.payers.contains(&dispute.rent_payer)
}

fn me(node: &Verifier, dispute: &Dispute) -> Me {
    let validator = node.validator();
    let model = Pubkey::new_from_array(dispute.model);
    Me {
        authority: node.keys.authority.to_bytes(),
        payers: [
            node.keys.operator.pubkey().to_bytes(),
            node.keys.authority.to_bytes(),
        ],
        active: validator.header.status == ValidatorStatus::Active as u8,
        judges: node.config.verifier.jury && node.model(&model).is_some(),
        mature: validator.is_mature(&dispute.model, dispute.requested_slot.get(), &dispute.rules)
            && validator.active_stake(node.slot()) >= dispute.rules.min_stake.get(),
    }
}
