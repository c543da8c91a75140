//! The task around checks of others' answers: follows results, asks for evidence, has the engine compute, and challenges what is
//! false. What is decided is in [`mythic_verifier`].

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use mythic_client::{Commitment, Filter};
use mythic_interface::{
    comparison::Rule,
    state::{Job, JobStatus, Validator, ValidatorStatus},
};
use solana_pubkey::Pubkey;
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::Verifier;
use crate::{
    keep::journal::Record,
    serve::{
        backend::ServedModel,
        feed::{self, Feed},
    },
};
use mythic_verifier::{
    book::{Challenge, Note},
    check::{self, Finding, Subject},
    question,
    sample::{self, SlotHashes},
};
use mythic_wire::{Evidence, sse::SseEvent};

/// How often the chain is searched for results that the feeds did not tell of.
const SCAN_EVERY: Duration = Duration::from_secs(10);
/// How often slot and accounts are looked at while something is waited for.
pub(super) const PAUSE: Duration = Duration::from_millis(400);
/// How often evidence is asked for again.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// Results in care at once.
const MOST: usize = 256;
/// Slots for which a check is remembered beyond the window: disputes of it may run.
const REMEMBER_SLOTS: u64 = 2_000;
/// Differing positions that are written down: more than are ever sampled or named.
const KEPT_POSITIONS: usize = 64;

type Told = (Pubkey, Option<String>);

fn told(event: &SseEvent) -> Option<Told> {
    Some((feed::result_of(&event.data)?, event.id.clone()))
}

/// Runs until `quit`.
pub async fn run(node: Arc<Verifier>, quit: CancellationToken) {
    let (sender, mut results) = mpsc::channel::<(usize, Told)>(1_024);
    for (index, gateway) in node.gateways.iter().enumerate() {
        let cursor = {
            let journal = node.ledger.read();
            journal.book.cursors.get(gateway.as_str()).cloned()
        };
        let (out, mut incoming) = mpsc::channel::<Told>(64);
        let feed = Feed {
            gateway: gateway.clone(),
            operator: node.keys.operator.clone(),
            topic: "results",
            cursor,
            take: told,
        };
        tokio::spawn(feed.follow(out, quit.clone()));
        let sender = sender.clone();
        tokio::spawn(async move {
            while let Some(told) = incoming.recv().await {
                if sender.send((index, told)).await.is_err() {
                    return;
                }
            }
        });
    }
    let mut watch = Watch {
        node,
        running: HashSet::new(),
        passed: HashMap::new(),
        work: JoinSet::new(),
        places: HashMap::new(),
    };
    watch.resume();
    let mut scan = tokio::time::interval(SCAN_EVERY);
    scan.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = quit.cancelled() => return,
            _ = scan.tick() => {
                watch.keep_places();
                watch.scan().await;
            }
            Some((index, (job, id))) = results.recv() => {
                if let Some(id) = id {
                    watch.places.insert(index, id);
                }
                watch.take(job);
            }
            Some(done) = watch.work.join_next() => match done {
                Ok((job, passed)) => {
                    watch.running.remove(&job);
                    if let Some(until) = passed {
                        watch.passed.insert(job, until);
                    }
                }
                Err(error) if error.is_cancelled() => {}
                Err(error) => {
                    // Which job it was is not known: all begin anew, from journal and chain.
                    tracing::error!(%error, "a check broke off");
                    watch.running.clear();
                    watch.work.abort_all();
                }
            },
        }
    }
}

struct Watch {
    node: Arc<Verifier>,
    running: HashSet<Pubkey>,
    /// Results that are left alone, and until which slot that is remembered.
    passed: HashMap<Pubkey, u64>,
    work: JoinSet<(Pubkey, Option<u64>)>,
    /// Newest event of each gateway.
    places: HashMap<usize, String>,
}

impl Watch {
    /// Goes on with challenges that were decided before a restart.
    fn resume(&mut self) {
        let open: Vec<Pubkey> = {
            let journal = self.node.ledger.read();
            let challenges = journal.book.challenges.keys();
            challenges.filter_map(|job| job.parse().ok()).collect()
        };
        for job in open {
            self.start(job);
        }
    }

    fn take(&mut self, job: Pubkey) {
        if !self.passed.contains_key(&job) && self.running.len() < MOST {
            self.start(job);
        }
    }

    fn start(&mut self, job: Pubkey) {
        if !self.running.insert(job) {
            return;
        }
        let check = Check {
            node: self.node.clone(),
            job,
        };
        self.work.spawn(async move {
            let passed = check.run().await;
            (job, passed)
        });
    }

    fn keep_places(&mut self) {
        for (index, id) in self.places.drain() {
            if let Some(gateway) = self.node.gateways.get(index) {
                let gateway = gateway.to_string();
                let note = Note::Cursor { gateway, id };
                self.node.note_soft(Record::Verifier(note));
            }
        }
    }

    async fn scan(&mut self) {
        let slot = self.node.slot();
        self.passed.retain(|_, until| *until >= slot);
        let old = {
            let journal = self.node.ledger.read();
            let book = &journal.book;
            book.checked.values().any(|(_, _, until)| *until < slot)
                || book.ended.values().any(|until| *until < slot)
        };
        if old {
            let note = Note::Forget { before: slot };
            self.node.note_soft(Record::Verifier(note));
        }
        let models: Vec<Pubkey> = self.node.models.iter().map(|m| m.address).collect();
        for model in models {
            let filters = [
                Filter::<Job>::status(JobStatus::Submitted),
                Filter::<Job>::model(&model),
            ];
            let chain = self.node.chain.clone();
            match chain
                .program_accounts::<Job>(&filters, Commitment::Confirmed)
                .await
            {
                Ok(found) => {
                    for (job, state) in found {
                        if !self.node.is_checked(&job, &state) {
                            self.take(job);
                        }
                    }
                }
                Err(error) => tracing::debug!(%error, "results can't be listed"),
            }
        }
    }
}

impl Verifier {
    fn is_checked(&self, job: &Pubkey, state: &Job) -> bool {
        let journal = self.ledger.read();
        let book = &journal.book;
        book.checked
            .get(&job.to_string())
            .is_some_and(|(fingerprint, _, _)| *fingerprint == hex::encode(state.fingerprint))
    }
}

/// The check of one job's result.
pub(super) struct Check {
    pub node: Arc<Verifier>,
    pub job: Pubkey,
}

/// An answer that is worth a look.
pub(super) struct Answer {
    pub state: Job,
    pub model: ServedModel,
    pub end: u64,
}

impl Check {
    /// Runs to the end; the slot until which the job is left alone, unless that is written down.
    async fn run(&self) -> Option<u64> {
        loop {
            let result = match self.result().await {
                Ok(result) => result,
                Err(until) => return Some(until),
            };
            let fingerprint = hex::encode(result.state.fingerprint);
            let key = self.job.to_string();
            let (checked, challenge) = {
                let journal = self.node.ledger.read();
                let book = &journal.book;
                let fits = |f: &String| *f == fingerprint;
                let challenge = book.challenges.get(&key).filter(|c| fits(&c.fingerprint));
                let checked = book.checked.get(&key).is_some_and(|(f, _, _)| fits(f));
                (checked, challenge.cloned())
            };
            let challenge = match (challenge, checked) {
                (Some(challenge), _) => challenge,
                (None, true) => return None,
                (None, false) => match self.examine(&result).await {
                    Some(challenge) => challenge,
                    None => return None,
                },
            };
            match self.challenge(&result, &challenge).await {
                // The result is another one now: from the start.
                None => continue,
                Some(made) => {
                    let note = Note::ChallengeOver { job: key, made };
                    self.node.remember(note).await;
                    if made {
                        self.node.disputes_changed.notify_one();
                    }
                    return None;
                }
            }
        }
    }

    /// Waits until the result is confirmed; an error is the slot until which it is left alone.
    async fn result(&self) -> Result<Answer, u64> {
        let node = &self.node;
        let given_up = node
            .slot()
            .saturating_add(u64::from(node.params().rules.window_slots.get()));
        loop {
            let read = node
                .chain
                .account_at::<Job>(&self.job, Commitment::Confirmed)
                .await;
            if let Ok(Some((_, state))) = read
                && let Some(end) = state.window_end()
            {
                let until = end.saturating_add(REMEMBER_SLOTS);
                let running = matches!(
                    state.status(),
                    Some(JobStatus::Submitted | JobStatus::Disputed)
                );
                let model = node.model(&Pubkey::new_from_array(state.terms.model));
                let Some(model) = model.filter(|_| running && self.may_challenge(&state)) else {
                    return Err(until);
                };
                if node.slot() >= end {
                    return Err(until);
                }
                let picked = node
                    .config
                    .verifier
                    .picks(&node.secret, self.job.as_array(), &state);
                let begun = {
                    let journal = node.ledger.read();
                    let book = &journal.book;
                    book.challenges.contains_key(&self.job.to_string())
                };
                return match picked || begun {
                    true => Ok(Answer {
                        state,
                        model: model.clone(),
                        end,
                    }),
                    false => Err(until),
                };
            }
            if node.slot() >= given_up {
                return Err(node.slot());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn may_challenge(&self, state: &Job) -> bool {
        let validator: Validator = self.node.validator();
        state.validator != self.node.keys.authority.to_bytes()
            && validator.header.status == ValidatorStatus::Active as u8
            && validator.is_mature(
                &state.terms.model,
                state.requested_slot.get(),
                &state.terms.rules,
            )
            && validator.active_stake(self.node.slot()) >= state.terms.rules.min_stake.get()
    }

    /// Checks a result; what is to be challenged is written down and returned.
    async fn examine(&self, result: &Answer) -> Option<Challenge> {
        let state = &result.state;
        let finding = match self.evidence(result).await {
            Ok(evidence) => self.compare(result, &evidence).await,
            Err(finding) => finding,
        };
        match &finding {
            Finding::Honest => tracing::debug!(job = %self.job, "checked: honest"),
            other => {
                tracing::warn!(job = %self.job, validator = %Pubkey::new_from_array(state.validator), finding = %other, "checked")
            }
        }
        let (job, fingerprint) = (self.job.to_string(), hex::encode(state.fingerprint));
        let until = result.end.saturating_add(REMEMBER_SLOTS);
        let (differing, fault) = match &finding {
            Finding::Fault { position, .. } => (vec![*position], Some(*position)),
            Finding::Fraud { differing, .. } => {
                let exact = check::rule(&result.model.account.read().spec) == Some(Rule::Exact);
                // Only an exact profile lets positions be named.
                let kept = differing.iter().copied().filter(|_| exact);
                (kept.take(KEPT_POSITIONS).collect(), None)
            }
            Finding::Withheld { .. } if self.node.config.verifier.challenge_withheld => {
                (Vec::new(), None)
            }
            _ => {
                self.checked(&finding, fingerprint, until).await;
                return None;
            }
        };
        let note = Note::Challenge {
            job,
            fingerprint: fingerprint.clone(),
            differing: differing.clone(),
            fault,
            until,
        };
        // The challenge before the check: a crash between them checks again, and never forgets a challenge.
        if !self.node.remember(note).await {
            return None;
        }
        self.checked(&finding, fingerprint.clone(), until).await;
        Some(Challenge {
            fingerprint,
            differing,
            fault,
            until,
        })
    }

    async fn checked(&self, finding: &Finding, fingerprint: String, until: u64) {
        let note = Note::Checked {
            job: self.job.to_string(),
            fingerprint,
            finding: finding.name().into(),
            until,
        };
        self.node.remember(note).await;
    }

    /// The evidence, asked for until two thirds of the window are over.
    async fn evidence(&self, result: &Answer) -> Result<Evidence, Finding> {
        let node = &self.node;
        if let Some(evidence) = node.local_evidence(&self.job, &result.state).await {
            return Ok(evidence);
        }
        let window = result.end.saturating_sub(result.state.submitted_slot.get());
        let last = result.end.saturating_sub(window / 3);
        let mut answered = false;
        loop {
            let search = node.search(&self.job, &result.state, &[]).await;
            answered |= search.answered;
            let reason = search.reason();
            if let Some(evidence) = search.evidence {
                return Ok(evidence);
            }
            if node.slot() >= last {
                return Err(match answered {
                    true => Finding::Withheld { reason },
                    false => Finding::Unknown { reason },
                });
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    async fn compare(&self, result: &Answer, evidence: &Evidence) -> Finding {
        let spec = result.model.account.read().spec;
        let subject = Subject {
            state: &result.state,
            spec: &spec,
        };
        if let Some((position, fault)) = check::first_fault(&subject, evidence) {
            return Finding::Fault { position, fault };
        }
        let unknown = |reason: &str| Finding::Unknown {
            reason: reason.into(),
        };
        let drawn = match check::rule(&spec) {
            Some(Rule::Exact) => None,
            Some(Rule::Calibrated { .. }) => match self.drawn(result).await {
                Some(drawn) => Some(drawn),
                None => return unknown("the sampled positions can't be known"),
            },
            None => return unknown("the model has no rule by which a jury could judge"),
        };
        self.wait_for_engine(result).await;
        let claimed: Vec<[u32; 4]> = evidence
            .leaves
            .iter()
            .map(|four| four.map(|e| e.0))
            .collect();
        let backend = &result.model.backend;
        let asked = question::Question::new(
            &evidence.prompt_ids,
            &evidence.output_ids,
            &claimed,
            backend.vocab_size(),
            backend.context_length() as usize,
        );
        match self.node.ask(&result.model, &asked).await {
            Some(values) => check::compare(&subject, evidence, &values, drawn.as_deref()).1,
            None => unknown("the engine could not check it"),
        }
    }

    /// Users come first: while the engine works for them, a check waits, up to half of the window.
    async fn wait_for_engine(&self, result: &Answer) {
        let window = result.end.saturating_sub(result.state.submitted_slot.get());
        let last = result.end.saturating_sub(window / 2);
        while self.node.slot() < last {
            let stats = result.model.backend.stats();
            if stats.active + stats.queued
                <= stats.active_verifications + stats.queued_verifications
            {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The positions that the chain draws, once it has.
    pub(super) async fn drawn(&self, result: &Answer) -> Option<Vec<u32>> {
        let sysvar = Pubkey::new_from_array(sample::SLOT_HASHES);
        let from = sample::known_from(result.state.submitted_slot.get());
        while self.node.slot() < result.end {
            if self.node.slot() >= from {
                let read = self
                    .node
                    .chain
                    .raw_account(&sysvar, Commitment::Processed)
                    .await;
                let hashes = read
                    .ok()
                    .and_then(|read| SlotHashes::parse(&read.account?.data));
                if let Some(sample) = hashes.and_then(|h| sample::of_job(&result.state, &h)) {
                    return Some(sample.positions().to_vec());
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
        None
    }
}
