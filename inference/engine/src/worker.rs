//! The thread that runs the model: takes requests, runs the passes that the scheduler plans, hands
//! out steps.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc as std_mpsc;
use std::time::{Duration, Instant};

use mythic_interface::sampler::{RowError, Sampling, Top4};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::kv::Pool;
use super::llama::{Model, Pass, Row, Scratch, Span};
use super::logits::{Keep, Kept};
use super::request::{Checked, EngineError, Finish, GenerateRequest, Sampler, Step};
use super::scheduler::{Id, Share};
use super::shared::Shared;
use mythic_model::prompt::PromptFormatter;
use mythic_model::tokenizer::TextStream;

/// Weight of the newest pass in the measured rates.
const RATE_WEIGHT: f64 = 0.2;

enum Chooser {
    Verified(Sampling),
    Free {
        temperature: f32,
        top_p: f32,
        rng: Box<StdRng>,
    },
}

enum Kind {
    Generate {
        max_tokens: u32,
        made: u32,
        chooser: Chooser,
        text: TextStream,
        logprobs: bool,
        steps: mpsc::Sender<Result<Step, EngineError>>,
        cancel: CancellationToken,
    },
    Check {
        claimed: Vec<[u32; 4]>,
        found: Vec<Checked>,
        reply: oneshot::Sender<Result<Vec<Checked>, EngineError>>,
    },
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
        let chooser = match request.sampler.verified() {
            Some(sampling) => Chooser::Verified(sampling),
            None => free(&request.sampler),
        };
        Self {
            id,
            kind: Kind::Generate {
                max_tokens: request.max_tokens,
                made: 0,
                chooser,
                text: TextStream::new(request.stop),
                logprobs: request.logprobs,
                steps,
                cancel,
            },
        }
    }

    pub(crate) fn check(
        id: Id,
        claimed: Vec<[u32; 4]>,
        reply: oneshot::Sender<Result<Vec<Checked>, EngineError>>,
    ) -> Self {
        Self {
            id,
            kind: Kind::Check {
                found: Vec::with_capacity(claimed.len()),
                claimed,
                reply,
            },
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

    /// Takes the logits of its next wanted position.
    fn take(&mut self, kept: &Kept, logits: &[f32], formatter: &PromptFormatter) -> Next {
        let (max_tokens, made, chooser, text, steps) = match &mut self.kind {
            Kind::Check { claimed, found, .. } => {
                found.push(Checked {
                    own: kept.top4,
                    fifth: kept.fifth,
                    at_claimed: kept.at_claimed,
                    log_sum_exp: kept.log_sum_exp.unwrap_or(f32::NAN),
                });
                return match found.len() == claimed.len() {
                    true => Next::Done,
                    false => Next::Reads,
                };
            }
            Kind::Generate {
                max_tokens,
                made,
                chooser,
                text,
                steps,
                ..
            } => (*max_tokens, made, chooser, text, steps),
        };
        let position = *made;
        *made += 1;
        let token = chooser.choose(position, &kept.top4, logits);
        let mut matched = text.push(formatter.tokenizer().piece(token));
        let mut finish = if formatter.eos_ids().contains(&token) {
            Some(Finish::Eos)
        } else if matched.stopped {
            Some(Finish::Stopped)
        } else if position + 1 == max_tokens {
            Some(Finish::Length)
        } else {
            None
        };
        if finish.is_some() && !matched.stopped {
            let tail = text.finish();
            matched.text.push_str(&tail.text);
            if tail.stopped && finish == Some(Finish::Length) {
                finish = Some(Finish::Stopped);
            }
        }
        let step = Step {
            position,
            token,
            top4: kept.top4,
            text: matched.text,
            log_sum_exp: kept.log_sum_exp,
            finish,
        };
        // The channel has room for every step; a closed one is seen before the next pass.
        let _ = steps.try_send(Ok(step));
        match finish {
            Some(_) => Next::Done,
            None => Next::Token(token),
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
        Sampler::Verified { .. } => (0.0, 1.0, 0),
    };
    Chooser::Free {
        temperature,
        top_p,
        rng: Box::new(StdRng::seed_from_u64(seed)),
    }
}

impl Chooser {
    fn choose(&mut self, position: u32, four: &Top4, logits: &[f32]) -> u32 {
        match self {
            Chooser::Verified(sampling) => sampling.choose(position, four),
            Chooser::Free { temperature, .. } if *temperature == 0.0 => four[0].0,
            Chooser::Free {
                temperature,
                top_p,
                rng,
            } => {
                let max = logits.iter().fold(f32::NEG_INFINITY, |m, l| m.max(*l));
                let mut weights: Vec<(u32, f64)> = (0u32..)
                    .zip(logits)
                    .map(|(id, l)| (id, f64::from((l - max) / *temperature).exp()))
                    .filter(|(_, w)| *w > 0.0)
                    .collect();
                let mut total: f64 = weights.iter().map(|(_, w)| w).sum();
                if *top_p < 1.0 {
                    weights.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
                    let goal = total * f64::from(*top_p);
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
        }
    }
}

pub(crate) struct Worker {
    model: Model,
    pool: Pool,
    formatter: Arc<PromptFormatter>,
    shared: Arc<Shared>,
    inbox: std_mpsc::Receiver<Job>,
    jobs: HashMap<Id, Job>,
    scratch: Scratch,
    plan: Vec<Share>,
    pass: Pass,
    /// Which job each row of the pass belongs to.
    owners: Vec<Id>,
    /// What became of the jobs in the pass.
    outcomes: Vec<(Id, Result<Next, EngineError>)>,
}

impl Worker {
    pub(crate) fn new(
        model: Model,
        pool: Pool,
        formatter: Arc<PromptFormatter>,
        shared: Arc<Shared>,
        inbox: std_mpsc::Receiver<Job>,
    ) -> Self {
        Self {
            model,
            pool,
            formatter,
            shared,
            inbox,
            jobs: HashMap::new(),
            scratch: Scratch::default(),
            plan: Vec::new(),
            pass: Pass::default(),
            owners: Vec::new(),
            outcomes: Vec::new(),
        }
    }

    /// Until every handle is gone and every request is done. Sleeps while there are none.
    pub(crate) fn run(mut self) {
        loop {
            if self.jobs.is_empty() {
                match self.inbox.recv() {
                    Ok(job) => self.jobs.insert(job.id, job),
                    Err(_) => return,
                };
            }
            self.shared.gate.pass();
            self.prepare();
            if !self.pass.rows.is_empty() {
                self.compute();
                self.settle();
            }
        }
    }

    /// Drops what nobody waits for, and lays out the next pass.
    fn prepare(&mut self) {
        let shared = self.shared.clone();
        // Whoever sends a job holds this lock, so that the scheduler knows none that isn't here.
        let mut scheduler = shared.scheduler.lock();
        while let Ok(job) = self.inbox.try_recv() {
            self.jobs.insert(job.id, job);
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
                (scheduler.running(share.id), self.jobs.get(&share.id))
            else {
                continue;
            };
            let (first, page) = (self.pass.rows.len(), self.pass.pages.len());
            let wanted = (sequence.prompt() - 1).max(share.from);
            for position in share.from..share.from + share.rows {
                self.pass.rows.push(Row {
                    token: sequence.tokens()[position],
                    position,
                    keep: position.checked_sub(wanted).map(|ahead| job.keep(ahead)),
                });
                self.owners.push(share.id);
            }
            self.pass.pages.extend_from_slice(sequence.pages());
            self.pass.spans.push(Span {
                rows: first..self.pass.rows.len(),
                pages: page..self.pass.pages.len(),
            });
        }
    }

    fn compute(&mut self) {
        let began = Instant::now();
        let (owners, outcomes, jobs) = (&self.owners, &mut self.outcomes, &mut self.jobs);
        let formatter = &self.formatter;
        let take = |row: usize, kept: Result<Kept, RowError>, logits: &[f32]| {
            let id = owners[row];
            let over = outcomes
                .last()
                .is_some_and(|(last, o)| *last == id && o.is_err());
            let Some(job) = jobs.get_mut(&id).filter(|_| !over) else {
                return;
            };
            let outcome = match kept {
                Ok(kept) => Ok(job.take(&kept, logits, formatter)),
                Err(error) => Err(EngineError::Numbers(error.to_string())),
            };
            outcomes.push((id, outcome));
        };
        self.model
            .forward(&self.pass, &mut self.pool, &mut self.scratch, take);
        self.measure(began.elapsed());
    }

    /// Tells the scheduler what the pass did.
    fn settle(&mut self) {
        let mut scheduler = self.shared.scheduler.lock();
        scheduler.advance(&self.plan);
        let mut tokens = 0;
        for (id, outcome) in self.outcomes.drain(..) {
            let generates = |job: &Job| matches!(job.kind, Kind::Generate { .. });
            if outcome.is_ok() && self.jobs.get(&id).is_some_and(generates) {
                tokens += 1;
            }
            match outcome {
                Ok(Next::Reads) => {}
                Ok(Next::Token(token)) => scheduler.push(id, token),
                Ok(Next::Done) => {
                    scheduler.remove(id);
                    if let Some(job) = self.jobs.remove(&id) {
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
        self.shared.counters.lock().output_tokens += tokens;
    }

    fn measure(&self, took: Duration) {
        let rows = self.pass.rows.len();
        let rate = rows as f64 / took.as_secs_f64().max(1e-9);
        let mut counters = self.shared.counters.lock();
        let average = if rows == self.pass.spans.len() {
            &mut counters.decode_rate
        } else {
            &mut counters.prefill_rate
        };
        *average = Some(average.map_or(rate, |a| a + RATE_WEIGHT * (rate - a)));
    }
}
