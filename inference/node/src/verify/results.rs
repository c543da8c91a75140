//! The task around checks of others' answers: follows results and cases, asks for evidence, has the engine compute, and claims
//! what is false. What is decided is in [`mythic_verifier`].

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use mythic_client::{Commitment, Filter};
use mythic_interface::{
    comparison::Rule,
    state::{Job, JobStatus},
};
use solana_pubkey::Pubkey;
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{
    Verifier,
    care::{Begin, Care, End, Sought},
    checking::{Asked, View},
    lane::Purpose,
    purse,
    serving::{MOST_LISTS, Serving},
};
use crate::{
    keep::journal::Record,
    serve::feed::{self, Feed},
};
use mythic_verifier::{
    book::{Claim, Note},
    check::{self, Finding, Subject},
    claims::{self, Found, Patience},
    question::{self, Question},
    search::Prompt,
};
use mythic_wire::{Evidence, sse::SseEvent};

/// How often the chain is searched for results that the feeds did not tell of.
const SCAN_EVERY: Duration = Duration::from_secs(10);
/// How often slot and accounts are looked at while something is waited for.
pub(super) const PAUSE: Duration = Duration::from_millis(400);
/// How often evidence is asked for again; while a case waits to be answered, ever more seldom.
const ASK_EVERY: Duration = Duration::from_secs(2);
const ASK_AT_LEAST_EVERY: Duration = Duration::from_secs(30);
/// How often other registrations of our models are looked for.
const REGISTERED_EVERY: Duration = Duration::from_secs(300);
/// Looks at a chain that does not have a result any more before it is given up.
const MOST_MISSES: u32 = 75;
/// How often it is looked whether something can be said yet of a result whose case is not answered.
const CLAIM_EVERY: Duration = Duration::from_secs(10);
/// Slots for which a check is remembered beyond the window: its case may run.
const REMEMBER_SLOTS: u64 = 20_000;

/// What is looked at again once there is a case.
const AGAIN: [&str; 3] = ["withheld", "unknown", "audited"];

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
        care: Care::default(),
        work: JoinSet::new(),
        places: HashMap::new(),
        registered: HashSet::new(),
        registered_at: None,
    };
    let mut scan = tokio::time::interval(SCAN_EVERY);
    let mut tick = tokio::time::interval(PAUSE);
    for every in [&mut scan, &mut tick] {
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    }
    loop {
        tokio::select! {
            () = quit.cancelled() => return,
            _ = scan.tick() => {
                watch.keep_places();
                watch.resume();
                watch.scan().await;
            }
            _ = tick.tick() => watch.look(),
            Some((index, (job, id))) = results.recv() => {
                if let Some(id) = id {
                    watch.places.insert(index, id);
                }
                watch.take(job, false);
            }
            Some(done) = watch.work.join_next() => match done {
                Ok((job, end)) => watch.care.done(job, end, Instant::now()),
                Err(error) if error.is_cancelled() => {}
                Err(error) => {
                    let lost = watch.care.lost().len();
                    tracing::error!(%error, lost, "a check broke off");
                    watch.work.abort_all();
                }
            },
        }
    }
}

struct Watch {
    node: Arc<Verifier>,
    care: Care,
    work: JoinSet<(Pubkey, End)>,
    /// Newest event of each gateway.
    places: HashMap<usize, String>,
    /// Models whose results are looked for, and when they were read.
    registered: HashSet<Pubkey>,
    registered_at: Option<Instant>,
}

impl Watch {
    /// Goes on with claims that were decided, before a restart too.
    fn resume(&mut self) {
        let open: Vec<Pubkey> = {
            let journal = self.node.ledger.read();
            let claims = journal.book.claims.keys();
            claims.filter_map(|job| job.parse().ok()).collect()
        };
        for job in open {
            self.take(job, true);
        }
    }

    fn take(&mut self, job: Pubkey, claimed: bool) {
        if let Some(begin) = self.care.take(job, claimed) {
            self.start(begin);
        }
    }

    /// Takes up what has waited, and cases that can be joined.
    fn look(&mut self) {
        let mut begun = self.care.due(Instant::now());
        if self.node.config.verifier.join {
            begun.extend(self.care.take_cases(&self.node.joinable.lock()));
        }
        for begin in begun {
            self.start(begin);
        }
    }

    fn start(&mut self, begin: Begin) {
        let check = Check {
            node: self.node.clone(),
            job: begin.job,
            disputed: begin.case.is_some(),
        };
        self.work.spawn(async move {
            let end = check.run(begin.sought).await;
            (begin.job, end)
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
        self.care.forget(slot);
        if self.node.ledger.read().book.has_before(slot) {
            let note = Note::Forget { before: slot };
            self.node.note_soft(Record::Verifier(note));
        }
        let fresh = |at: Instant| at.elapsed() < REGISTERED_EVERY;
        if !self.registered_at.is_some_and(fresh) {
            self.registered = self.node.registered().await;
            self.registered_at = Some(Instant::now());
            match purse::largest_stake(&self.node.chain).await {
                Ok(stake) => self.node.largest_stake.store(stake, Ordering::Relaxed),
                Err(error) => {
                    // The next look asks for both again.
                    self.registered_at = None;
                    tracing::debug!(%error, "validators can't be listed");
                }
            }
        }
        let submitted = Filter::<Job>::status(JobStatus::Submitted);
        let lists: Vec<Vec<Filter<Job>>> = match self.registered.len() <= MOST_LISTS {
            true => {
                let models = self.registered.iter();
                let of = |model| vec![submitted.clone(), Filter::<Job>::model(model)];
                models.map(of).collect()
            }
            false => vec![vec![submitted]],
        };
        for filters in lists {
            let chain = self.node.chain.clone();
            match chain
                .program_accounts::<Job>(&filters, Commitment::Confirmed)
                .await
            {
                Ok(found) => {
                    for (job, state) in found {
                        let model = Pubkey::new_from_array(state.terms.model);
                        if self.registered.contains(&model) && !self.node.is_checked(&job, &state) {
                            self.take(job, false);
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
    /// It has a case, so that the policy's draw does not count.
    pub disputed: bool,
}

/// Why a result is not looked at now.
enum Left {
    /// It is left alone until this slot.
    Until(u64),
    /// It is not confirmed yet.
    Later,
}

/// The disk refuses.
struct NotWritten;

/// What became of a claim.
pub(super) enum Pursued {
    /// It is over; whether it was made.
    Over(bool),
    /// The result is another one by now.
    Another,
    /// Its case has to be answered first.
    Later,
}

/// An answer that is worth a look.
pub(super) struct Answer {
    pub state: Job,
    pub serving: Serving,
    /// End of its window.
    pub end: u64,
    /// The policy drew it.
    pub drawn: bool,
}

/// What can be had of an answer.
enum Material {
    Evidence(Box<Evidence>),
    /// The prompt; output and sample are posted.
    Prompt(Prompt, Box<View>),
}

/// What a look for an answer's material came to.
enum Had {
    Material(Material),
    /// There is none, and this is to be said of that.
    Nothing(Finding),
    Later(Duration),
}

impl Check {
    /// Goes as far as it can now.
    async fn run(&self, mut sought: Sought) -> End {
        loop {
            let answer = match self.result(&mut sought).await {
                Ok(answer) => answer,
                Err(Left::Until(slot)) => return End::Until(slot),
                Err(Left::Later) => return End::Later(sought, PAUSE),
            };
            let fingerprint = hex::encode(answer.state.fingerprint);
            let key = self.job.to_string();
            let (checked, claim) = {
                let journal = self.node.ledger.read();
                let book = &journal.book;
                let fits = |f: &String| *f == fingerprint;
                let claim = book.claims.get(&key).filter(|c| fits(&c.fingerprint));
                let checked = book.checked.get(&key).filter(|(f, _, _)| fits(f));
                // What was not to be had before may be had once there is a case, and what was audited is checked as a whole.
                let checked = checked.is_some_and(|(_, finding, _)| {
                    !self.disputed || !AGAIN.contains(&finding.as_str())
                });
                (checked, claim.cloned())
            };
            let claim = match (claim, checked) {
                (Some(claim), _) => claim,
                (None, true) => return End::Over,
                (None, false) => {
                    let finding = match self.material(&answer, &mut sought).await {
                        Had::Material(Material::Evidence(evidence)) => {
                            self.compare(&answer, &evidence).await
                        }
                        Had::Material(Material::Prompt(prompt, view)) => {
                            self.compare_shown(&answer, &prompt, &view).await
                        }
                        Had::Nothing(finding) => finding,
                        Had::Later(pause) => return End::Later(sought, pause),
                    };
                    match self.write_down(&answer, &finding).await {
                        Ok(Some(claim)) => claim,
                        Ok(None) => return End::Over,
                        Err(NotWritten) => return End::Failed,
                    }
                }
            };
            match self.pursue(&answer, &claim).await {
                Pursued::Another => continue,
                Pursued::Later => return End::Later(sought, CLAIM_EVERY),
                Pursued::Over(made) => {
                    let note = Note::ClaimOver { job: key, made };
                    self.node.remember(note).await;
                    if made {
                        self.node.cases_changed.notify_one();
                    }
                    return End::Over;
                }
            }
        }
    }

    /// The result, once it is confirmed.
    async fn result(&self, sought: &mut Sought) -> Result<Answer, Left> {
        let node = &self.node;
        let read = node
            .chain
            .account_at::<Job>(&self.job, Commitment::Confirmed)
            .await;
        let found = read.ok().flatten();
        let found = found.and_then(|(_, state)| Some((state, state.window_end()?)));
        let Some((state, end)) = found else {
            let window = u64::from(node.params().rules.window_slots.get());
            let until = node.slot().saturating_add(window);
            return match *sought.given_up.get_or_insert(until) <= node.slot() {
                true => Err(Left::Until(node.slot())),
                false => Err(Left::Later),
            };
        };
        let until = end.saturating_add(REMEMBER_SLOTS);
        let open = match state.status() {
            Some(JobStatus::Submitted) => node.slot() < end,
            Some(JobStatus::Disputed) => true,
            _ => false,
        };
        let model = Pubkey::new_from_array(state.terms.model);
        let serving = match open {
            true => node.serving(&model).await,
            false => None,
        };
        let Some(serving) = serving else {
            return Err(Left::Until(until));
        };
        if let Err(reason) = node.may_claim(&state, &serving) {
            tracing::debug!(job = %self.job, reason, "not checked");
            return Err(Left::Until(until));
        }
        let picked = node
            .config
            .verifier
            .picks(&node.secret, self.job.as_array(), &state);
        let begun = {
            let journal = node.ledger.read();
            journal.book.claims.contains_key(&self.job.to_string())
        };
        match picked || begun || self.disputed {
            true => Ok(Answer {
                state,
                serving,
                end,
                drawn: picked,
            }),
            false => Err(Left::Until(until)),
        }
    }

    /// Writes down what was found; what is to be claimed is returned.
    async fn write_down(
        &self,
        answer: &Answer,
        finding: &Finding,
    ) -> Result<Option<Claim>, NotWritten> {
        let state = &answer.state;
        match finding {
            Finding::Honest | Finding::Audited => {
                tracing::debug!(job = %self.job, finding = finding.name(), "checked");
            }
            other => {
                tracing::warn!(job = %self.job, validator = %Pubkey::new_from_array(state.validator), finding = %other, "checked")
            }
        }
        let fingerprint = hex::encode(state.fingerprint);
        let until = answer.end.saturating_add(REMEMBER_SLOTS);
        let found = match finding {
            Finding::Fault { position, .. } => Found::Fault {
                position: *position,
            },
            Finding::Fraud { differing, .. } => {
                let named = check::rule(&answer.serving.spec) == Some(Rule::Exact);
                Found::differing(differing, state.output_tokens.get(), named)
            }
            Finding::Withheld { .. } if self.node.config.verifier.challenge_withheld => {
                Found::Withheld
            }
            _ => {
                return match self.checked(finding, fingerprint, until).await {
                    true => Ok(None),
                    false => Err(NotWritten),
                };
            }
        };
        let note = Note::Claim {
            job: self.job.to_string(),
            fingerprint: fingerprint.clone(),
            found: found.clone(),
            until,
        };
        // The claim before the check: a crash between them checks again, and never forgets a claim.
        if !self.node.remember(note).await {
            return Err(NotWritten);
        }
        self.checked(finding, fingerprint.clone(), until).await;
        Ok(Some(Claim {
            fingerprint,
            found,
            until,
        }))
    }

    async fn checked(&self, finding: &Finding, fingerprint: String, until: u64) -> bool {
        let note = Note::Checked {
            job: self.job.to_string(),
            fingerprint,
            finding: finding.name().into(),
            until,
        };
        self.node.remember(note).await
    }

    /// The evidence, asked for until two thirds of the window are over; where there is a case, until nobody joins it any more.
    async fn material(&self, answer: &Answer, sought: &mut Sought) -> Had {
        let node = &self.node;
        let unknown = |reason: &str| {
            Had::Nothing(Finding::Unknown {
                reason: reason.into(),
            })
        };
        if let Some(evidence) = node.local_evidence(&self.job, &answer.state).await {
            return Had::Material(Material::Evidence(Box::new(evidence)));
        }
        let view = match node.view(&self.job).await {
            Ok(Some(view)) if view.job.fingerprint == answer.state.fingerprint => view,
            Ok(_) if sought.misses >= MOST_MISSES => {
                return unknown("the result is not on chain any more");
            }
            // A fork without it may be gone in a moment.
            other => {
                sought.misses += u32::from(other.is_ok());
                return Had::Later(PAUSE);
            }
        };
        let search = node.search(&self.job, &view.job, view.case.as_ref()).await;
        sought.answered |= search.answered;
        let reason = search.reason();
        if let Some(evidence) = search.evidence {
            return Had::Material(Material::Evidence(Box::new(evidence)));
        }
        sought.prompt = search.prompt.or(sought.prompt.take());
        let slot = node.slot().max(view.slot);
        match claims::patience(slot, &view.job, view.case.as_ref()) {
            Patience::Often => sought.pause = ASK_EVERY,
            Patience::Seldom => {
                sought.pause = (sought.pause * 2).clamp(ASK_EVERY, ASK_AT_LEAST_EVERY);
            }
            Patience::Spent => {
                return match (view.case, sought.prompt.take()) {
                    (Some(_), Some(prompt)) => {
                        Had::Material(Material::Prompt(prompt, Box::new(view)))
                    }
                    (None, _) if sought.answered => Had::Nothing(Finding::Withheld { reason }),
                    _ => unknown(&reason),
                };
            }
            Patience::Over => return unknown("nobody can join its case any more"),
        }
        Had::Later(sought.pause)
    }

    async fn compare(&self, answer: &Answer, evidence: &Evidence) -> Finding {
        let spec = &answer.serving.spec;
        let subject = Subject {
            state: &answer.state,
            spec,
        };
        if let Some((position, fault)) = check::first_fault(&subject, evidence) {
            return Finding::Fault { position, fault };
        }
        let unknown = |reason: &str| Finding::Unknown {
            reason: reason.into(),
        };
        let drawn = match check::rule(spec) {
            Some(Rule::Exact) => None,
            Some(Rule::Calibrated { .. }) => match self.drawn(answer).await {
                Some(drawn) => Some(drawn),
                None => return unknown("the sampled positions can't be known"),
            },
            None => return unknown("the model has no rule by which a jury could judge"),
        };
        self.wait_for_engine(answer).await;
        if self.audited(answer, evidence).await {
            return Finding::Audited;
        }
        let claimed: Vec<[u32; 4]> = evidence
            .leaves
            .iter()
            .map(|four| four.map(|e| e.0))
            .collect();
        let backend = &answer.serving.model.backend;
        let question = Question::new(
            &evidence.prompt_ids,
            &evidence.output_ids,
            &claimed,
            backend.vocab_size(),
            backend.context_length() as usize,
        );
        let question = question.by_options(evidence.options.as_deref(), None);
        match self.ask(answer, &question).await {
            Some(own) => check::compare(&subject, evidence, &own, drawn.as_deref()).1,
            None => unknown("the engine could not check it"),
        }
    }

    /// Who hides the leaves and answers its case is checked by what it shows there.
    async fn compare_shown(&self, answer: &Answer, prompt: &Prompt, view: &View) -> Finding {
        let unknown = |reason: &str| Finding::Unknown {
            reason: reason.into(),
        };
        let Some(case) = &view.case else {
            return unknown("it has no case");
        };
        let Some(output) = self.node.posted(&self.job, case).await else {
            return unknown("its output can't be read");
        };
        let backend = &answer.serving.model.backend;
        let context = backend.context_length() as usize;
        let vocabulary = backend.vocab_size();
        let question = question::of_case(case, &prompt.ids, &output, vocabulary, context);
        let question = question.by_options(prompt.options.as_deref(), Some(case));
        match self.ask(answer, &question).await {
            Some(own) => check::compare_shown(&view.job, case, &output, &own),
            None => unknown("the engine could not check it"),
        }
    }

    async fn ask(&self, answer: &Answer, question: &Question) -> Option<Arc<Vec<question::Own>>> {
        let case = self.node.joinable.lock().get(&self.job).copied();
        let asked = Asked {
            job: &self.job,
            state: &answer.state,
            fingerprint: &answer.state.fingerprint,
            question,
            submitter: answer.state.validator,
            purpose: match answer.drawn {
                true => Purpose::Drawn,
                false => Purpose::Case,
            },
            end: case.map_or(answer.end, |case| case.end),
        };
        self.node.ask(&answer.serving.model, &asked).await
    }

    /// Users come first: while the engine works for them, a check waits, up to half of the window, and none where a case runs.
    async fn wait_for_engine(&self, answer: &Answer) {
        let window = answer.end.saturating_sub(answer.state.submitted_slot.get());
        let last = answer.end.saturating_sub(window / 2);
        while self.node.slot() < last && !self.disputed {
            let stats = answer.serving.model.backend.stats();
            if stats.active + stats.queued
                <= stats.active_verifications + stats.queued_verifications
            {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The positions that are judged, once they are known: the case's, else those that the chain draws.
    async fn drawn(&self, answer: &Answer) -> Option<Vec<u32>> {
        loop {
            let view = self.node.view(&self.job).await.ok().flatten();
            if let Some(case) = view.and_then(|view| view.case) {
                let sample = case.sample().iter().map(|leaf| leaf.position.get());
                return Some(sample.collect());
            }
            if let Some(drawn) = self.sampled(&answer.state).await {
                return Some(drawn);
            }
            if self.node.slot() >= answer.end {
                return None;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}
