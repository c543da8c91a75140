//! The thread that runs the model: takes requests, runs the passes that the scheduler plans, hands
//! out steps.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc as std_mpsc;
use std::time::{Duration, Instant};

use mythic_interface::sampler::{RowError, Sampling, Top4};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::decoder::{Pass, Row, Span};
use super::device::{Device, DeviceError};
use super::full::{Full, Replay};
use super::kernels::environment;
use super::layer_run::{LayerJob, LayerRun};
use super::logits::{Keep, Kept};
use super::masks::{Made, Masks};
use super::pages::PAGE;
use super::request::{Checked, EngineError, GenerateRequest, Sampler, Step};
use super::scheduler::{Id, Share};
use super::shared::Shared;
use mythic_model::prompt::PromptFormatter;
use mythic_sampling::Ending;

/// Weight of the newest pass in the measured rates.
const RATE_WEIGHT: f64 = 0.2;

/// Turns after which memory that nobody used goes back. They are counted at their ends, so that the
/// first may have been a moment: as many less one make the time that is set.
const TURNS: u32 = 5;

enum Chooser {
    Verified(Sampling),
    Full(Box<Full>),
    Free {
        temperature: f32,
        top_p: f32,
        rng: Box<StdRng>,
    },
}

enum Kind {
    Generate {
        made: u32,
        /// Positions of its prompt that were found in the prefix cache.
        cached: u32,
        chooser: Chooser,
        ending: Ending,
        logprobs: bool,
        steps: mpsc::Sender<Result<Step, EngineError>>,
        cancel: CancellationToken,
        /// When it was asked, or made its last token.
        since: Instant,
    },
    Check {
        claimed: Vec<[u32; 4]>,
        found: Vec<Checked>,
        /// For an answer by options.
        replay: Option<Box<Replay>>,
        reply: oneshot::Sender<Result<Vec<Checked>, EngineError>>,
    },
}

/// What the thread is given to do.
pub(crate) enum Task {
    Job(Job),
    Part(Part),
}

/// A part of a pass that a checker asks for.
pub(crate) enum Part {
    /// One layer, from given rows.
    Layer(LayerJob),
    /// The four largest logits of rows that the last layer gave.
    Outputs(Vec<f32>, oneshot::Sender<Result<Vec<Top4>, EngineError>>),
}

impl Part {
    fn fail(self, error: EngineError) {
        // Whoever asked may be gone.
        match self {
            Self::Layer(job) => drop(job.reply.send(Err(error))),
            Self::Outputs(_, reply) => drop(reply.send(Err(error))),
        }
    }
}

/// A request that the scheduler took.
pub(crate) struct Job {
    pub(crate) id: Id,
    kind: Kind,
}

/// What became of a job with a row of logits.
enum Next {
    /// It reads on.
    Reads,
    /// Its row waits for the mask of its grammar.
    Waits,
    /// It goes on with a token that it made.
    Token(u32),
    Done,
}

impl Job {
    pub(crate) fn generate(
        id: Id,
        request: GenerateRequest,
        steps: mpsc::Sender<Result<Step, EngineError>>,
        cancel: CancellationToken,
    ) -> Self {
        let chooser = match (&request.sampler, request.sampler.verified()) {
            (Sampler::Full { options, .. }, Some(sampling)) => {
                Chooser::Full(Box::new(Full::new(options, sampling)))
            }
            (_, Some(sampling)) => Chooser::Verified(sampling),
            (_, None) => free(&request.sampler),
        };
        Self {
            id,
            kind: Kind::Generate {
                made: 0,
                cached: 0,
                chooser,
                ending: Ending::new(request.stop, request.max_tokens),
                logprobs: request.logprobs,
                steps,
                cancel,
                since: Instant::now(),
            },
        }
    }

    pub(crate) fn check(
        id: Id,
        claimed: Vec<[u32; 4]>,
        replay: Option<Box<Replay>>,
        reply: oneshot::Sender<Result<Vec<Checked>, EngineError>>,
    ) -> Self {
        Self {
            id,
            kind: Kind::Check {
                found: Vec::with_capacity(claimed.len()),
                claimed,
                replay,
                reply,
            },
        }
    }

    /// Whether it is an answer that may be checked.
    fn is_answer(&self) -> bool {
        match &self.kind {
            Kind::Generate { chooser, .. } => !matches!(chooser, Chooser::Free { .. }),
            Kind::Check { .. } => false,
        }
    }

    /// Whether nobody waits for it any more.
    fn abandoned(&self) -> bool {
        match &self.kind {
            Kind::Generate { steps, cancel, .. } => cancel.is_cancelled() || steps.is_closed(),
            Kind::Check { reply, .. } => reply.is_closed(),
        }
    }

    fn fail(self, error: EngineError) {
        match self.kind {
            Kind::Generate { steps, .. } => {
                // A closed or full channel means that nobody reads.
                let _ = steps.try_send(Err(error));
            }
            Kind::Check { reply, .. } => {
                let _ = reply.send(Err(error));
            }
        }
    }

    /// Ends a job that is done: a check has its answer now.
    fn finish(self) {
        if let Kind::Check { found, reply, .. } = self.kind {
            let _ = reply.send(Ok(found));
        }
    }

    /// Takes note of how much of its prompt was found and not computed.
    fn found(&mut self, positions: usize) {
        if let Kind::Generate { cached, .. } = &mut self.kind {
            *cached = u32::try_from(positions).unwrap_or(u32::MAX);
        }
    }

    /// What it wants of the logits of the position `ahead` of the next that it hasn't seen.
    fn keep(&self, ahead: usize) -> Keep {
        match &self.kind {
            Kind::Generate { logprobs, .. } => Keep {
                claimed: [0; 4],
                log_sum_exp: *logprobs,
            },
            Kind::Check { claimed, found, .. } => Keep {
                claimed: claimed
                    .get(found.len() + ahead)
                    .copied()
                    .unwrap_or_default(),
                log_sum_exp: true,
            },
        }
    }

    /// How long a generation waited for the token that it has just made, and whether it was its first; of a row that made none nothing.
    fn waited(&mut self, next: &Result<Next, EngineError>) -> Option<(bool, Duration)> {
        let Kind::Generate { made, since, .. } = &mut self.kind else {
            return None;
        };
        if !matches!(next, Ok(Next::Token(_) | Next::Done)) {
            return None;
        }
        let now = Instant::now();
        let before = std::mem::replace(since, now);
        Some((*made == 1, now - before))
    }

    /// Takes the logits of its next wanted position.
    fn take(
        &mut self,
        kept: &Kept,
        logits: &[f32],
        formatter: &PromptFormatter,
        masks: &Masks,
    ) -> Result<Next, EngineError> {
        let (made, cached, chooser, ending, steps) = match &mut self.kind {
            Kind::Check {
                claimed,
                found,
                replay,
                ..
            } => {
                let choice = match replay {
                    Some(replay) => replay.choice(found.len(), logits)?,
                    None => None,
                };
                found.push(Checked {
                    own: kept.top4,
                    fifth: kept.fifth,
                    at_claimed: kept.at_claimed,
                    log_sum_exp: kept.log_sum_exp.unwrap_or(f32::NAN),
                    choice,
                });
                return Ok(match found.len() == claimed.len() {
                    true => Next::Done,
                    false => Next::Reads,
                });
            }
            Kind::Generate {
                made,
                cached,
                chooser,
                ending,
                steps,
                ..
            } => (made, *cached, chooser, ending, steps),
        };
        let position = *made;
        let Some(token) = chooser.choose(position, kept, logits)? else {
            return Ok(Next::Waits);
        };
        *made += 1;
        let is_end = formatter.eos_ids().contains(&token);
        let added = ending.push(formatter.tokenizer().piece(token), is_end);
        let step = Step {
            position,
            token,
            top4: kept.top4,
            text: added.text,
            log_sum_exp: kept.log_sum_exp,
            cached_tokens: (position == 0).then_some(cached),
            finish: added.finish,
        };
        // The channel has room for every step; a closed one is seen before the next pass.
        let _ = steps.try_send(Ok(step));
        if added.finish.is_some() {
            return Ok(Next::Done);
        }
        if let Chooser::Full(full) = chooser {
            full.push(self.id, token, masks);
        }
        Ok(Next::Token(token))
    }

    /// Takes a mask, and chooses by it if a row waited for it.
    fn guided(
        &mut self,
        made: Made,
        formatter: &PromptFormatter,
        masks: &Masks,
    ) -> Result<Next, EngineError> {
        let row = match &mut self.kind {
            Kind::Generate {
                chooser: Chooser::Full(full),
                ..
            } => full.take(made)?,
            _ => None,
        };
        match row {
            Some(row) => self.take(&row.0, &row.1, formatter, masks),
            None => Ok(Next::Waits),
        }
    }

    /// Asks for the first mask, if it needs one and nobody did.
    fn begin(&mut self, masks: &Masks) {
        if let Kind::Generate {
            chooser: Chooser::Full(full),
            ..
        } = &mut self.kind
        {
            full.begin(self.id, masks);
        }
    }

    /// Positions whose logits it took.
    fn taken(&self) -> usize {
        match &self.kind {
            Kind::Generate { made, .. } => *made as usize + usize::from(self.waits()),
            Kind::Check { found, .. } => found.len(),
        }
    }

    /// Whether its row waits for a mask.
    fn waits(&self) -> bool {
        match &self.kind {
            Kind::Generate {
                chooser: Chooser::Full(full),
                ..
            } => full.waits(),
            _ => false,
        }
    }
}

fn free(sampler: &Sampler) -> Chooser {
    let (temperature, top_p, seed) = match sampler {
        Sampler::Free {
            temperature,
            top_p,
            seed,
        } => (*temperature, *top_p, *seed),
        Sampler::Verified { .. } | Sampler::Full { .. } => (0.0, 1.0, 0),
    };
    Chooser::Free {
        temperature,
        top_p,
        rng: Box::new(StdRng::seed_from_u64(seed)),
    }
}

impl Chooser {
    /// `None` where the row waits for its mask.
    fn choose(
        &mut self,
        position: u32,
        kept: &Kept,
        logits: &[f32],
    ) -> Result<Option<u32>, EngineError> {
        match self {
            Chooser::Verified(sampling) => Ok(Some(sampling.choose(position, &kept.top4))),
            Chooser::Full(full) => full.choose(kept, logits),
            Chooser::Free {
                temperature,
                top_p,
                rng,
            } => Ok(Some(draw(*temperature, *top_p, rng, &kept.top4, logits))),
        }
    }
}

/// A token of an unbilled request.
fn draw(temperature: f32, top_p: f32, rng: &mut StdRng, four: &Top4, logits: &[f32]) -> u32 {
    if temperature == 0.0 {
        return four[0].0;
    }
    let max = logits.iter().fold(f32::NEG_INFINITY, |m, l| m.max(*l));
    let mut weights: Vec<(u32, f64)> = (0u32..)
        .zip(logits)
        .map(|(id, l)| (id, f64::from((l - max) / temperature).exp()))
        .filter(|(_, w)| *w > 0.0)
        .collect();
    let mut total: f64 = weights.iter().map(|(_, w)| w).sum();
    if top_p < 1.0 {
        weights.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let goal = total * f64::from(top_p);
        let mut sum = 0.0;
        let kept = weights
            .iter()
            .position(|(_, w)| {
                sum += w;
                sum >= goal
            })
            .map_or(weights.len(), |last| last + 1);
        weights.truncate(kept);
        total = weights.iter().map(|(_, w)| w).sum();
    }
    let mut left = rng.random::<f64>() * total;
    for (id, w) in &weights {
        left -= w;
        if left < 0.0 {
            return *id;
        }
    }
    weights.last().map_or(four[0].0, |(id, _)| *id)
}

pub(crate) struct Worker {
    device: Box<dyn Device>,
    formatter: Arc<PromptFormatter>,
    shared: Arc<Shared>,
    inbox: std_mpsc::Receiver<Task>,
    jobs: HashMap<Id, Job>,
    /// Parts that are computed one after the other, and the layer that is under way.
    parts: VecDeque<Part>,
    layer: Option<LayerRun>,
    /// Most rows of a layer between two passes.
    chunk: usize,
    masks: Masks,
    plan: Vec<Share>,
    pass: Pass,
    /// Which job each row of the pass belongs to, and whether it is proposed: of a token that is not chosen yet.
    owners: Vec<(Id, bool)>,
    /// What became of the jobs in the pass.
    outcomes: Vec<(Id, Result<Next, EngineError>)>,
    /// How long those that made tokens waited for them, and which were first.
    waits: Vec<(bool, Duration)>,
    /// The length of a turn, if memory goes back, and when the last ended.
    turn: Option<Duration>,
    swept: Instant,
}

impl Worker {
    /// `idle` is how long memory may be of no use before it goes back; zero is for ever. `chunk` is the most rows of a part of a layer.
    pub(crate) fn new(
        device: Box<dyn Device>,
        formatter: Arc<PromptFormatter>,
        shared: Arc<Shared>,
        (inbox, masks): (std_mpsc::Receiver<Task>, Masks),
        (idle, chunk): (Duration, usize),
    ) -> Self {
        Self {
            parts: VecDeque::new(),
            layer: None,
            chunk,
            waits: Vec::new(),
            turn: (!idle.is_zero()).then(|| idle / (TURNS - 1)),
            swept: Instant::now(),
            device,
            formatter,
            shared,
            inbox,
            jobs: HashMap::new(),
            masks,
            plan: Vec::new(),
            pass: Pass::default(),
            owners: Vec::new(),
            outcomes: Vec::new(),
        }
    }

    /// Until every handle is gone and every request is done. Sleeps while there are none.
    pub(crate) fn run(mut self) {
        if let Err(error) = environment::check() {
            // Its requests end with it, as those of an engine that has stopped.
            tracing::error!(%error, "the engine's thread cannot compute");
            return;
        }
        loop {
            if self.jobs.is_empty() && !self.has_part() {
                match self.next_task() {
                    Some(task) => self.take(task),
                    None => return,
                }
            }
            self.give_back();
            self.shared.gate.pass();
            self.guide();
            self.prepare();
            let reads = !self.pass.rows.is_empty();
            // A library that was loaded meanwhile may have changed it.
            if (reads || self.has_part())
                && let Err(error) = environment::check()
            {
                tracing::error!(%error, "the engine's thread cannot compute any more");
                return self.stop();
            }
            if reads {
                if let Err(error) = self.compute() {
                    // What it gave before counts.
                    self.plan.clear();
                    self.settle();
                    if !self.recover(&error) {
                        return;
                    }
                } else {
                    self.settle();
                }
            } else if !self.has_part()
                && self.jobs.values().any(Job::waits)
                && let Some(made) = self.masks.wait()
            {
                self.guided(made);
            }
            if self.has_part() {
                self.compute_part();
            }
        }
    }

    fn take(&mut self, task: Task) {
        match task {
            Task::Job(job) => {
                self.jobs.insert(job.id, job);
            }
            Task::Part(part) => self.parts.push_back(part),
        }
    }

    /// Whether something is left to do of what checkers ask for.
    fn has_part(&self) -> bool {
        self.layer.is_some() || !self.parts.is_empty()
    }

    /// A step of what checkers ask for.
    fn compute_part(&mut self) {
        let (model, scratch) = match self.device.layers() {
            Ok(found) => found,
            Err(error) => {
                for part in self.parts.drain(..) {
                    part.fail(EngineError::Invalid(error.to_string()));
                }
                return;
            }
        };
        if self.layer.is_none() {
            match self.parts.pop_front() {
                Some(Part::Layer(job)) => self.layer = job.begin(model),
                Some(Part::Outputs(rows, reply)) => {
                    let kept = model.outputs(&rows, scratch).into_iter();
                    let found: Result<Vec<Top4>, RowError> =
                        kept.map(|kept| kept.map(|kept| kept.top4)).collect();
                    let found = found.map_err(|error| EngineError::Numbers(error.to_string()));
                    let _ = reply.send(found);
                }
                None => {}
            }
        }
        if let Some(run) = self.layer.take() {
            self.layer = run.step(model, scratch, self.chunk);
        }
    }

    /// Takes the masks that are made; whoever waited for one goes on with the next pass.
    fn guide(&mut self) {
        while let Some(made) = self.masks.take() {
            self.guided(made);
        }
    }

    fn guided(&mut self, made: Made) {
        let id = made.id;
        // It may be gone by now.
        if let Some(job) = self.jobs.get_mut(&id) {
            let outcome = job.guided(made, &self.formatter, &self.masks);
            self.waits.extend(job.waited(&outcome));
            self.outcomes.push((id, outcome));
            self.plan.clear();
            self.settle();
        }
    }

    /// Waits for a request, and sees to it that memory goes back meanwhile. `None` once every handle is gone.
    fn next_task(&mut self) -> Option<Task> {
        loop {
            self.give_back();
            let spare = self.shared.scheduler.lock().pages().spare();
            let Some(turn) = self.turn.filter(|_| spare) else {
                return self.inbox.recv().ok();
            };
            match self.inbox.recv_timeout(turn) {
                Ok(task) => return Some(task),
                Err(std_mpsc::RecvTimeoutError::Timeout) => {}
                Err(std_mpsc::RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    /// Gives memory of keys and values that nobody used for a while back to the system, once a turn.
    fn give_back(&mut self) {
        if self.turn.is_none_or(|turn| self.swept.elapsed() < turn) {
            return;
        }
        self.swept = Instant::now();
        let mut pages = self.shared.scheduler.lock().sweep(TURNS.into());
        self.device.release(&mut pages);
    }

    /// Drops what nobody waits for, and lays out the next pass.
    fn prepare(&mut self) {
        let shared = self.shared.clone();
        // Whoever sends a job holds this lock, so that the scheduler knows none that isn't here.
        let mut scheduler = shared.scheduler.lock();
        while let Ok(task) = self.inbox.try_recv() {
            self.take(task);
        }
        for job in self.jobs.values_mut() {
            job.begin(&self.masks);
        }
        let mut cancelled = 0;
        for (id, job) in self.jobs.extract_if(|_, job| job.abandoned()) {
            cancelled += 1;
            scheduler.remove(id);
            job.fail(EngineError::Cancelled);
        }
        if cancelled > 0 {
            shared.counters.lock().cancelled += cancelled;
        }
        scheduler.plan(&mut self.plan);
        self.pass.clear();
        self.owners.clear();
        for share in &self.plan {
            let (Some(sequence), Some(job)) =
                (scheduler.running(share.id), self.jobs.get_mut(&share.id))
            else {
                continue;
            };
            job.found(sequence.found());
            let (first, page) = (self.pass.rows.len(), self.pass.pages.len());
            let wanted = (sequence.prompt() - 1).max(share.from);
            let known = sequence.tokens()[share.from..].iter();
            let tokens = known.chain(sequence.proposed()).take(share.rows);
            for (at, token) in tokens.enumerate() {
                let position = share.from + at;
                self.pass.rows.push(Row {
                    token: *token,
                    position,
                    keep: position.checked_sub(wanted).map(|ahead| job.keep(ahead)),
                });
                self.owners.push((share.id, at >= share.known()));
            }
            self.pass.pages.extend_from_slice(sequence.pages());
            self.pass.spans.push(Span {
                rows: first..self.pass.rows.len(),
                pages: page..self.pass.pages.len(),
            });
        }
        if let Some(kept) = self.device.residuals() {
            let fresh = self.pass.rows.len() / PAGE + self.pass.spans.len();
            kept.make_room(fresh, |page| scheduler.pages().is_held(page));
        }
    }

    fn compute(&mut self) -> Result<(), DeviceError> {
        let began = Instant::now();
        let (owners, outcomes, jobs) = (&self.owners, &mut self.outcomes, &mut self.jobs);
        let (formatter, masks) = (&self.formatter, &self.masks);
        let (rows, waits) = (&self.pass.rows, &mut self.waits);
        let mut accepted = 0;
        // Of this job no row counts any more.
        let mut over = None;
        let mut take = |row: usize, kept: Result<Kept, RowError>, logits: &[f32]| {
            let (id, proposed) = owners[row];
            if over == Some(id) {
                return;
            }
            let chosen = || match outcomes.last() {
                Some((last, Ok(Next::Token(token)))) => *last == id && *token == rows[row].token,
                _ => false,
            };
            let counts = !proposed || chosen();
            let Some(job) = jobs.get_mut(&id).filter(|_| counts) else {
                over = Some(id);
                return;
            };
            accepted += usize::from(proposed);
            let outcome = match kept {
                Ok(kept) => {
                    let next = job.take(&kept, logits, formatter, masks);
                    waits.extend(job.waited(&next));
                    next
                }
                Err(error) => Err(EngineError::Numbers(error.to_string())),
            };
            if outcome.is_err() {
                over = Some(id);
            }
            outcomes.push((id, outcome));
        };
        self.device.forward(&self.pass, &mut take)?;
        self.measure(began.elapsed(), accepted);
        Ok(())
    }

    /// Goes on with this processor once a device failed: requests that run read again what they had. False where it
    /// can't, and all have ended.
    fn recover(&mut self, error: &DeviceError) -> bool {
        tracing::error!(%error, "the device failed; this processor goes on with its requests, slower");
        if let Err(error) = self.device.fall_back() {
            tracing::error!(%error, "this processor can't go on with them: the engine stops");
            self.stop();
            return false;
        }
        let jobs = &self.jobs;
        let taken = |id: Id| jobs.get(&id).map_or(0, Job::taken);
        self.shared.scheduler.lock().forget(taken);
        self.shared.counters.lock().device = self.device.name();
        true
    }

    /// Ends all requests.
    fn stop(&mut self) {
        let mut scheduler = self.shared.scheduler.lock();
        for (id, job) in self.jobs.drain() {
            scheduler.remove(id);
            job.fail(EngineError::Stopped);
        }
    }

    /// Tells the scheduler what the pass did.
    fn settle(&mut self) {
        let mut scheduler = self.shared.scheduler.lock();
        // Tokens first: by them it knows which proposed rows count.
        for (id, outcome) in &self.outcomes {
            if let Ok(Next::Token(token)) = outcome {
                scheduler.push(*id, *token);
            }
        }
        scheduler.advance(&self.plan);
        let mut tokens = 0;
        for (id, outcome) in self.outcomes.drain(..) {
            let generates = |job: &Job| matches!(job.kind, Kind::Generate { .. });
            if matches!(outcome, Ok(Next::Token(_) | Next::Done))
                && self.jobs.get(&id).is_some_and(generates)
            {
                tokens += 1;
            }
            match outcome {
                Ok(Next::Reads | Next::Waits | Next::Token(_)) => {}
                Ok(Next::Done) => {
                    let job = self.jobs.remove(&id);
                    if let (Some(kept), Some(read)) =
                        (self.device.residuals(), scheduler.running(id))
                        && job.as_ref().is_some_and(Job::is_answer)
                    {
                        kept.keep(read.tokens(), read.pages());
                    }
                    scheduler.remove(id);
                    if let Some(job) = job {
                        job.finish();
                    }
                }
                Err(error) => {
                    scheduler.remove(id);
                    if let Some(job) = self.jobs.remove(&id) {
                        job.fail(error);
                    }
                }
            }
        }
        let mut counters = self.shared.counters.lock();
        counters.output_tokens += tokens;
        for (first, waited) in self.waits.drain(..) {
            match first {
                true => counters.first_tokens.add(waited),
                false => counters.next_tokens.add(waited),
            }
        }
    }

    /// Takes the time of a pass in which so many proposed rows were accepted; rejected ones are no work.
    fn measure(&self, took: Duration, accepted: usize) {
        let streams = self.pass.spans.len();
        let known = self.owners.iter().filter(|(_, proposed)| !proposed).count();
        let rows = known + accepted;
        let rate = rows as f64 / took.as_secs_f64().max(1e-9);
        let mut counters = self.shared.counters.lock();
        let follow = |average: &mut Option<f64>, rate: f64| {
            *average = Some(average.map_or(rate, |a| a + RATE_WEIGHT * (rate - a)));
        };
        if known == streams {
            follow(&mut counters.decode_rate, rate);
            follow(&mut counters.stream_rate, rate / streams as f64);
        } else {
            follow(&mut counters.prefill_rate, rate);
        }
    }
}
