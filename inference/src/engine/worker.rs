//! The thread that runs the model: takes requests, plans passes, hands out steps.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc as std_mpsc;
use std::time::{Duration, Instant};

use mythic_interface::sampler::{Sampling, Top4, top4};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::llama::{KvCache, Model, Row};
use super::scheduler::{Pending, plan};
use super::{Admission, EngineConfig, EngineError, Finish, GenerateRequest, Sampler, Shared, Step};
use crate::prompt::PromptFormatter;
use crate::tokenizer::TextStream;

/// Weight of the newest pass in the measured rates.
const RATE_WEIGHT: f64 = 0.2;

pub(super) enum Command {
    Run(Job),
}

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
        chooser: Chooser,
        text: TextStream,
        steps: mpsc::Sender<Result<Step, EngineError>>,
        cancel: CancellationToken,
    },
    Score {
        found: Vec<Top4>,
        reply: Option<oneshot::Sender<Result<Vec<Top4>, EngineError>>>,
    },
}

/// A request with its place in the queue.
pub(super) struct Job {
    tokens: Vec<u32>,
    prompt_tokens: usize,
    /// Logits are wanted from this position on.
    want_from: usize,
    capacity: usize,
    kind: Kind,
    /// Held until the job is dropped.
    _admission: Admission,
}

impl Job {
    pub(super) fn generate(
        request: GenerateRequest,
        capacity: usize,
        steps: mpsc::Sender<Result<Step, EngineError>>,
        cancel: CancellationToken,
        admission: Admission,
    ) -> Self {
        let chooser = match request.sampler.verified() {
            Some(sampling) => Chooser::Verified(sampling),
            None => free(&request.sampler),
        };
        Self {
            prompt_tokens: request.prompt_ids.len(),
            want_from: request.prompt_ids.len() - 1,
            tokens: request.prompt_ids,
            capacity,
            kind: Kind::Generate {
                max_tokens: request.max_tokens,
                chooser,
                text: TextStream::new(request.stop),
                steps,
                cancel,
            },
            _admission: admission,
        }
    }

    pub(super) fn score(
        prompt: &[u32],
        output: &[u32],
        capacity: usize,
        reply: oneshot::Sender<Result<Vec<Top4>, EngineError>>,
        admission: Admission,
    ) -> Self {
        let known = output.len().saturating_sub(1);
        Self {
            tokens: prompt.iter().chain(&output[..known]).copied().collect(),
            prompt_tokens: prompt.len(),
            want_from: prompt.len() - 1,
            capacity,
            kind: Kind::Score {
                found: Vec::new(),
                reply: Some(reply),
            },
            _admission: admission,
        }
    }

    /// Whether nobody waits for it any more.
    fn abandoned(&self) -> bool {
        match &self.kind {
            Kind::Generate { steps, cancel, .. } => cancel.is_cancelled() || steps.is_closed(),
            Kind::Score { reply, .. } => reply.as_ref().is_none_or(oneshot::Sender::is_closed),
        }
    }

    fn fail(self, error: EngineError) {
        match self.kind {
            Kind::Generate { steps, .. } => {
                // A closed or full channel means that nobody reads.
                let _ = steps.try_send(Err(error));
            }
            Kind::Score { reply, .. } => {
                if let Some(reply) = reply {
                    let _ = reply.send(Err(error));
                }
            }
        }
    }

    /// Takes the logits of the job's next wanted position; `true` when it is done.
    fn take(&mut self, logits: &[f32], formatter: &PromptFormatter) -> Result<bool, EngineError> {
        let four = top4(logits).map_err(|e| EngineError::Numbers(e.to_string()))?;
        let (max_tokens, chooser, text, steps) = match &mut self.kind {
            Kind::Score { found, reply } => {
                found.push(four);
                let done = found.len() == self.tokens.len() - self.want_from;
                if done && let Some(reply) = reply.take() {
                    let _ = reply.send(Ok(std::mem::take(found)));
                }
                return Ok(done);
            }
            Kind::Generate {
                max_tokens,
                chooser,
                text,
                steps,
                ..
            } => (*max_tokens, chooser, text, steps),
        };
        let position = (self.tokens.len() - self.prompt_tokens) as u32;
        let token = chooser.choose(position, &four, logits);
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
        self.tokens.push(token);
        let step = Step {
            position,
            token,
            top4: four,
            text: matched.text,
            finish,
        };
        // The channel has room for every step; a closed one is seen before the next pass.
        let _ = steps.try_send(Ok(step));
        Ok(finish.is_some())
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

struct Running {
    job: Job,
    cache: KvCache,
    /// Positions in the cache.
    filled: usize,
}

pub(super) struct Worker {
    model: Model,
    formatter: Arc<PromptFormatter>,
    config: EngineConfig,
    shared: Arc<Shared>,
    inbox: std_mpsc::Receiver<Command>,
    waiting: VecDeque<Job>,
    running: Vec<Running>,
    /// Which sequence read its prompt last.
    last: usize,
}

impl Worker {
    pub(super) fn new(
        model: Model,
        formatter: Arc<PromptFormatter>,
        config: EngineConfig,
        shared: Arc<Shared>,
        inbox: std_mpsc::Receiver<Command>,
    ) -> Self {
        Self {
            model,
            formatter,
            config,
            shared,
            inbox,
            waiting: VecDeque::new(),
            running: Vec::new(),
            last: 0,
        }
    }

    /// Until every handle is gone and every request is done. Sleeps while there are none.
    pub(super) fn run(mut self) {
        loop {
            if self.running.is_empty() && self.waiting.is_empty() {
                self.publish();
                match self.inbox.recv() {
                    Ok(Command::Run(job)) => self.waiting.push_back(job),
                    Err(_) => return,
                }
            }
            while let Ok(Command::Run(job)) = self.inbox.try_recv() {
                self.waiting.push_back(job);
            }
            self.drop_abandoned();
            self.start_waiting();
            self.publish();
            if !self.running.is_empty() {
                self.pass();
            }
        }
    }

    fn drop_abandoned(&mut self) {
        let mut cancelled = 0;
        let mut give_up = |job: Job| {
            cancelled += 1;
            job.fail(EngineError::Cancelled);
        };
        for job in std::mem::take(&mut self.waiting) {
            if job.abandoned() {
                give_up(job);
            } else {
                self.waiting.push_back(job);
            }
        }
        for running in std::mem::take(&mut self.running) {
            if running.job.abandoned() {
                give_up(running.job);
            } else {
                self.running.push(running);
            }
        }
        self.shared.stats.lock().cancelled_total += cancelled;
    }

    fn kv_used(&self) -> u64 {
        let positions: usize = self.running.iter().map(|r| r.job.capacity).sum();
        positions as u64 * self.model.kv_bytes_per_token()
    }

    /// First come, first served: a big request is not overtaken for ever by small ones.
    fn start_waiting(&mut self) {
        while self.running.len() < self.config.max_sequences {
            let Some(job) = self.waiting.front() else {
                return;
            };
            let need = job.capacity as u64 * self.model.kv_bytes_per_token();
            if self.kv_used() + need > self.config.kv_bytes {
                return;
            }
            if let Some(job) = self.waiting.pop_front() {
                self.running.push(Running {
                    cache: self.model.cache(job.capacity),
                    job,
                    filled: 0,
                });
                self.shared.stats.lock().requests_total += 1;
            }
        }
    }

    fn pass(&mut self) {
        let pending: Vec<Pending> = self
            .running
            .iter()
            .map(|r| Pending {
                tokens: r.job.tokens.len() - r.filled,
            })
            .collect();
        let shares = plan(&pending, self.last, self.config.chunk);
        let mut rows = Vec::new();
        let mut prompt_rows = 0;
        for share in &shares {
            let r = &self.running[share.index];
            for position in r.filled..r.filled + share.rows {
                rows.push(Row {
                    sequence: share.index,
                    token: r.job.tokens[position],
                    position,
                    logits: position >= r.job.want_from,
                });
                prompt_rows += usize::from(position < r.job.prompt_tokens);
            }
            if share.rows > 1 {
                self.last = share.index;
            }
        }
        let (mut jobs, mut caches): (Vec<&mut Job>, Vec<&mut KvCache>) = self
            .running
            .iter_mut()
            .map(|r| (&mut r.job, &mut r.cache))
            .unzip();
        let mut ended: Vec<Option<Result<(), EngineError>>> = vec![None; jobs.len()];
        let mut outputs = 0u64;
        let formatter = &self.formatter;
        let began = Instant::now();
        self.model.forward(&rows, &mut caches, |i, logits| {
            let index = rows[i].sequence;
            if ended[index].is_some() {
                return;
            }
            match jobs[index].take(logits, formatter) {
                Ok(done) => {
                    outputs += u64::from(matches!(jobs[index].kind, Kind::Generate { .. }));
                    if done {
                        ended[index] = Some(Ok(()));
                    }
                }
                Err(error) => ended[index] = Some(Err(error)),
            }
        });
        self.measure(rows.len(), rows.len() == shares.len(), began.elapsed());
        {
            let mut stats = self.shared.stats.lock();
            stats.prompt_tokens_total += prompt_rows as u64;
            stats.output_tokens_total += outputs;
        }
        for share in &shares {
            self.running[share.index].filled += share.rows;
        }
        for (running, ended) in std::mem::take(&mut self.running).into_iter().zip(ended) {
            match ended {
                None => self.running.push(running),
                Some(Ok(())) => {}
                Some(Err(error)) => running.job.fail(error),
            }
        }
    }

    fn measure(&self, rows: usize, decode: bool, took: Duration) {
        let mut stats = self.shared.stats.lock();
        let rate = rows as f64 / took.as_secs_f64().max(1e-9);
        let average = if decode {
            &mut stats.decode_tokens_per_second
        } else {
            &mut stats.prefill_tokens_per_second
        };
        *average = Some(average.map_or(rate, |a| a + RATE_WEIGHT * (rate - a)));
    }

    fn publish(&self) {
        let left = |job: &Job, filled: usize| (job.capacity - filled) as u64;
        let pending = self.waiting.iter().map(|j| left(j, 0)).sum::<u64>()
            + self
                .running
                .iter()
                .map(|r| left(&r.job, r.filled))
                .sum::<u64>();
        let mut stats = self.shared.stats.lock();
        stats.active = self.running.len();
        stats.queued = self.waiting.len();
        stats.pending_tokens = pending;
        stats.kv_bytes_used = self.kv_used();
    }
}
