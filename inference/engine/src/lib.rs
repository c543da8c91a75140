//! The engine: one worker thread that runs a model for several requests at once.
//!
//! - [`Engine`]: handle for callers; requests, steps, errors
//! - [`scheduler`]: which requests run and which rows the next forward pass holds (pure)
//! - [`speculation`]: which tokens may come next (pure)
//! - [`pages`]: who holds which page of keys and values, and the prefix cache (pure)
//! - [`kv`]: the memory of those pages
//! - [`residuals`]: what layers gave, kept with the pages; `layer_run`: one layer computed alone
//! - [`memory`]: what an engine needs against what the machine has
//! - [`device`]: what computes passes: this processor, or GPUs
//! - [`logits`]: what is kept of a row of logits
//! - `masks`, `full`: answers by options: masks beside the passes, the choice among all logits
//! - [`decoder`]: the order of a model's layers, written on [`kernels`]
//! - [`durations`]: how long requests wait for tokens
//! - [`kernels`]: the arithmetic, one kernel profile, apart from the model code
//!
//! A position's logits are the same bits whether computed in decode, prefill or a teacher-forced
//! pass, in any chunk, batch or number of threads, on any instruction set that [`kernels`] knows.

mod config;
pub mod decoder;
pub mod device;
pub mod durations;
mod full;
pub mod kernels;
pub mod kv;
mod layer_run;
pub mod logits;
mod masks;
pub mod memory;
pub mod pages;
mod request;
pub mod residuals;
pub mod scheduler;
mod shared;
pub mod speculation;
mod worker;

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc as std_mpsc;
use std::time::Duration;

use mythic_interface::sampler::Top4;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use decoder::Model;
use device::{Device, NoDevice};
use full::Replay;
use layer_run::LayerJob;
use masks::{Masks, Words};
use mythic_model::gguf::{Gguf, GgufError};
use mythic_model::prompt::PromptFormatter;
use mythic_model::servable::{self, Servable, ServableError};
use mythic_sampling::course::Shown;
use mythic_sampling::{GuideError, guide};
use residuals::{Answers, PageRows, Residuals, RowShape};
use scheduler::{Limits, Refusal, Request, Scheduler};
use shared::{Counters, Gate, Shared};
use worker::{Job, Part, Task, Worker};

pub use config::{EngineConfig, Lab};
pub use device::{Choice, DeviceError};
pub use durations::Durations;
pub use kernels::InstructionSet;
pub use layer_run::LayerInput;
pub use request::{
    ByOptions, Checked, EngineError, Finish, GenerateRequest, Priority, Sampler, Step,
};

/// Longest list of stop strings, and longest of them in bytes.
const MAX_STOPS: usize = 16;
const MAX_STOP_BYTES: usize = 1_024;
/// Most rows whose logits are asked for at once.
const MOST_OUTPUTS: usize = 32;

/// Why an engine could not start.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(transparent)]
    Gguf(#[from] GgufError),
    #[error(transparent)]
    Unservable(#[from] ServableError),
    #[error("engine configuration: {0}")]
    Config(String),
    #[error(transparent)]
    Kernels(#[from] kernels::KernelsError),
    #[error(transparent)]
    Device(#[from] NoDevice),
    #[error(
        "kv_bytes = {allowed}: keys and values of one page of this model ({} positions) take {page} bytes",
        pages::PAGE
    )]
    NoPage { page: u64, allowed: u64 },
    #[error(
        "residual_bytes = {allowed}: residual rows of one page of this model ({} positions) take {page} bytes; 0 keeps none",
        pages::PAGE
    )]
    NoRows { page: u64, allowed: u64 },
    #[error("cannot start the engine's thread: {0}")]
    Thread(std::io::Error),
}

/// What an engine does and did; what was never measured is `None`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct EngineStats {
    pub model: String,
    /// What computes, for instance `CPU (AVX-512 VNNI)`; after a GPU failed, the processor.
    pub device: String,
    pub threads: usize,
    /// Requests that run.
    pub active: usize,
    /// Of these, verifications.
    pub active_verifications: usize,
    /// Requests that wait.
    pub queued: usize,
    /// Of these, verifications.
    pub queued_verifications: usize,
    /// Tokens that running and waiting requests may still need.
    pub pending_tokens: u64,
    /// Keys and values that requests hold.
    pub kv_bytes_used: u64,
    /// Keys and values of prefixes that are kept in case they come again.
    pub kv_bytes_cached: u64,
    pub kv_bytes_max: u64,
    /// Prompt tokens whose keys and values were computed or found in the prefix cache.
    pub prompt_tokens_total: u64,
    /// Those that were found.
    pub cached_tokens_total: u64,
    /// Requests that found a part of their prompt.
    pub prefix_hits_total: u64,
    pub output_tokens_total: u64,
    /// Tokens that were read before they were chosen, because they had followed the same ones before.
    pub proposed_tokens_total: u64,
    /// Those that were chosen then: each spared a pass.
    pub accepted_tokens_total: u64,
    /// Requests that started.
    pub requests_total: u64,
    pub cancelled_total: u64,
    /// Moving averages over recent passes, all requests together.
    pub prefill_tokens_per_second: Option<f64>,
    pub decode_tokens_per_second: Option<f64>,
    /// The same of one request.
    pub stream_tokens_per_second: Option<f64>,
    /// From a request to its first token, its wait included.
    pub first_tokens: Durations,
    /// From a request's token to its next.
    pub next_tokens: Durations,
    pub weights_bytes: u64,
}

/// Keeps an engine from beginning a pass, until it is dropped.
pub struct Hold(Arc<Shared>);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.gate.release();
    }
}

/// What never changes.
struct Facts {
    formatter: Arc<PromptFormatter>,
    words: Arc<Words>,
    threads: usize,
    page_bytes: u64,
    kv_bytes: u64,
    weights_bytes: u64,
    rows: RowShape,
    speculation: bool,
    /// Whether the device computes single layers.
    has_layers: bool,
    /// Answers whose residual rows are kept.
    answers: Arc<Answers>,
}

impl Facts {
    fn follow(
        &self,
        by: &ByOptions,
        output: Vec<u32>,
        gone: &CancellationToken,
    ) -> Result<Replay, GuideError> {
        let vocabulary = match by.options.grammar {
            Some(_) => Some(self.words.get()?),
            None => None,
        };
        let shown = Shown {
            options: &by.options,
            output: &output,
            output_tokens: by.output_tokens,
            max_tokens: by.max_tokens,
            finish_reason: by.finish_reason,
        };
        let asked = |position: u32| match &by.asked {
            Some(asked) => asked.binary_search(&position).is_ok(),
            None => true,
        };
        let wanted = || !gone.is_cancelled();
        let expected = shown.follow(self.formatter.tokenizer(), vocabulary, &asked, &wanted)?;
        Ok(Replay::new(by, output, expected))
    }
}

/// A loaded model; cloning gives another handle to the same worker, which ends with the last.
#[derive(Clone)]
pub struct Engine {
    tasks: std_mpsc::Sender<Task>,
    shared: Arc<Shared>,
    facts: Arc<Facts>,
}

impl Engine {
    /// Maps the file, checks it, plans the memory and starts the worker. Blocks for a fraction of a
    /// second.
    pub fn load(path: impl AsRef<Path>, config: EngineConfig) -> Result<Self, LoadError> {
        Self::load_on(path, config, device::open)
    }

    /// The same on a device that `open` makes of the model.
    pub fn load_on(
        path: impl AsRef<Path>,
        config: EngineConfig,
        open: impl FnOnce(Model, &EngineConfig, device::Sizes) -> Result<Box<dyn Device>, NoDevice>,
    ) -> Result<Self, LoadError> {
        config.validate().map_err(LoadError::Config)?;
        let gguf = Gguf::open(path.as_ref())?;
        let Servable { formatter, layout } = servable::check(&gguf)?;
        let formatter = Arc::new(formatter);
        let kernels = kernels::Kernels::new(config.threads, config.instruction_set)?;
        let pack = kernels::pack::Pack::open(path.as_ref(), &gguf, kernels.pool())?;
        let model = Model::load(&gguf, &pack, &layout, kernels)?;
        let shape = model.kv_shape();
        let page_bytes = shape.page_bytes();
        let pages = u32::try_from(config.kv_bytes / page_bytes).unwrap_or(u32::MAX);
        if pages == 0 {
            return Err(LoadError::NoPage {
                page: page_bytes,
                allowed: config.kv_bytes,
            });
        }
        let kv_bytes = page_bytes * u64::from(pages);
        let context = formatter.context_length() as usize;
        let sizes = device::Sizes {
            pages,
            context,
            weights: gguf.file_len(),
            residuals: config.residual_bytes,
        };
        let rows = model.residual_shape();
        if (1..rows.page_bytes()).contains(&config.residual_bytes) {
            return Err(LoadError::NoRows {
                page: rows.page_bytes(),
                allowed: config.residual_bytes,
            });
        }
        let mut device = open(model, &config, sizes)?;
        let seconds = Duration::from_secs(config.residual_seconds.into());
        let answers = Arc::new(Answers::new(seconds));
        if config.residual_bytes > 0 {
            let kept = PageRows::new(rows, config.residual_bytes, answers.clone());
            if let Err(error) = device.keep_residuals(kept) {
                tracing::warn!(%error, "no residual rows are kept: others check answers by whole passes");
            }
        }
        let words = Arc::new(Words::new(formatter.clone()));
        let masks = Masks::new(&words).map_err(LoadError::Thread)?;
        let facts = Arc::new(Facts {
            formatter: formatter.clone(),
            words,
            threads: device.threads(),
            page_bytes,
            kv_bytes,
            weights_bytes: gguf.file_len(),
            rows,
            speculation: config.speculation,
            has_layers: device.layers().is_ok(),
            answers,
        });
        let shared = Arc::new(Shared {
            scheduler: Mutex::new(Scheduler::new(Limits {
                sequences: config.max_sequences,
                queued: config.max_queued,
                chunk: device.rows(),
                pages,
            })),
            counters: Mutex::new(Counters {
                device: device.name(),
                ..Counters::default()
            }),
            gate: Gate::default(),
        });
        let (tasks, inbox) = std_mpsc::channel();
        let idle = Duration::from_secs(config.kv_idle_seconds.into());
        let sources = (inbox, masks);
        let times = (idle, config.chunk);
        let worker = Worker::new(device, formatter, shared.clone(), sources, times);
        std::thread::Builder::new()
            .name("mythic-engine".into())
            .spawn(move || worker.run())
            .map_err(LoadError::Thread)?;
        Ok(Self {
            tasks,
            shared,
            facts,
        })
    }

    /// Tokenizer, chat template and limits of the model.
    pub fn formatter(&self) -> &Arc<PromptFormatter> {
        &self.facts.formatter
    }

    /// Bytes of keys and values that the longest request takes: one that fills the context.
    pub fn context_bytes(&self) -> u64 {
        let reach = self.formatter().context_length().saturating_sub(1);
        self.facts.page_bytes * pages::pages_for(reach as usize) as u64
    }

    /// Queues a request. Steps arrive on the receiver, the last with `finish` set; an error ends
    /// the stream. Cancelling the token, or dropping the receiver, ends it within one pass,
    /// whether it waits, reads its prompt or decodes.
    ///
    /// What can never be served, and a full queue, are refused at once.
    pub fn generate(
        &self,
        mut request: GenerateRequest,
        cancel: CancellationToken,
    ) -> Result<mpsc::Receiver<Result<Step, EngineError>>, EngineError> {
        request.sampler.validate(self.formatter().vocab_size())?;
        if request.max_tokens == 0 {
            return Err(EngineError::Invalid("max_tokens is 0".into()));
        }
        if let Sampler::Full { options, .. } = &request.sampler {
            request.stop.clone_from(&options.stop);
        }
        if request.stop.len() > MAX_STOPS || request.stop.iter().any(|s| s.len() > MAX_STOP_BYTES) {
            return Err(EngineError::Invalid(format!(
                "at most {MAX_STOPS} stop strings of {MAX_STOP_BYTES} bytes are allowed"
            )));
        }
        let reach = self.fits(&request.prompt_ids, request.max_tokens as usize)?;
        // Of a row whose mask is not made nothing can be chosen, and masks are made beside the passes.
        let guided =
            matches!(&request.sampler, Sampler::Full { options, .. } if options.grammar.is_some());
        let tokens = std::mem::take(&mut request.prompt_ids);
        // Room for every step, so that a slow reader never holds the worker up.
        let (steps, receiver) = mpsc::channel(request.max_tokens as usize + 1);
        let scheduled = Request {
            prompt: tokens.len(),
            tokens,
            reach,
            priority: Priority::Interactive,
            speculates: self.facts.speculation && !guided,
        };
        self.submit(scheduled, |id| Job::generate(id, request, steps, cancel))?;
        Ok(receiver)
    }

    /// The four largest logits at every position of an answer that is known already, from one
    /// pass over prompt and answer.
    pub async fn teacher_forced(
        &self,
        prompt_ids: &[u32],
        output_ids: &[u32],
    ) -> Result<Vec<Top4>, EngineError> {
        let claimed = vec![[0; 4]; output_ids.len()];
        let found = self.check(prompt_ids, output_ids, &claimed, None).await?;
        Ok(found.iter().map(|checked| checked.own).collect())
    }

    /// What a checker needs at every position of an answer whose maker claims to have found its
    /// four largest logits at `claimed`, from one pass over prompt and answer. With `by_options` also what must stand at each
    /// position: masks are made before the pass, on a thread for what blocks, and a limit that is met there fails the whole check.
    pub async fn check(
        &self,
        prompt_ids: &[u32],
        output_ids: &[u32],
        claimed: &[[u32; 4]],
        by_options: Option<ByOptions>,
    ) -> Result<Vec<Checked>, EngineError> {
        if claimed.len() != output_ids.len() {
            return Err(EngineError::Invalid(format!(
                "{} positions are claimed, the answer has {}",
                claimed.len(),
                output_ids.len()
            )));
        }
        let Some((_, known)) = output_ids.split_last() else {
            return Ok(Vec::new());
        };
        self.check_ids(output_ids)?;
        self.check_ids(claimed.as_flattened())?;
        let reach = self.fits(prompt_ids, output_ids.len())?;
        let replay = match by_options {
            Some(by) => Some(Box::new(self.replay(by, output_ids.to_vec()).await?)),
            None => None,
        };
        let scheduled = Request {
            tokens: [prompt_ids, known].concat(),
            prompt: prompt_ids.len(),
            reach,
            priority: Priority::Verification,
            speculates: false,
        };
        let (reply, receiver) = oneshot::channel();
        self.submit(scheduled, |id| {
            Job::check(id, claimed.to_vec(), replay, reply)
        })?;
        receiver.await.map_err(|_| EngineError::Stopped)?
    }

    /// Follows an answer by options from its beginning. Whoever drops this ends the thread that does it.
    async fn replay(&self, by: ByOptions, output: Vec<u32>) -> Result<Replay, EngineError> {
        let (facts, gone) = (self.facts.clone(), CancellationToken::new());
        let _waits = gone.clone().drop_guard();
        let followed = tokio::task::spawn_blocking(move || facts.follow(&by, output, &gone));
        match followed.await {
            Ok(Ok(replay)) => Ok(replay),
            Ok(Err(error)) => Err(EngineError::Grammar(error.to_string())),
            Err(_) => Err(EngineError::Stopped),
        }
    }

    /// Whether answers can be made to follow a grammar with this model: reads it, and makes its first mask, on a thread for what
    /// blocks. What it refuses is refused before anybody pays, also what takes too long.
    pub async fn check_grammar(&self, grammar: &str) -> Result<(), EngineError> {
        let (facts, grammar) = (self.facts.clone(), grammar.to_owned());
        let read = tokio::task::spawn_blocking(move || guide::read(facts.words.get()?, &grammar));
        match read.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(EngineError::Grammar(error.to_string())),
            Err(_) => Err(EngineError::Stopped),
        }
    }

    /// The residual rows of an answer that was made here, if they are kept still.
    pub fn residuals(&self, prompt_ids: &[u32], output_ids: &[u32]) -> Option<Arc<Residuals>> {
        let (_, read) = output_ids.split_last()?;
        self.facts.answers.get(&[prompt_ids, read].concat())
    }

    /// Layers of the model, and numbers of a row between them.
    pub fn row_shape(&self) -> RowShape {
        self.facts.rows
    }

    /// Whether [`Self::layer`] and [`Self::outputs`] compute anything: GPUs don't yet.
    pub fn has_layers(&self) -> bool {
        self.facts.has_layers
    }

    /// What one layer (from 0) gives at all positions of an answer, from what goes into it; beside the passes, a part at a time.
    pub async fn layer(&self, layer: usize, input: LayerInput) -> Result<Vec<f32>, EngineError> {
        let RowShape { layers, width } = self.facts.rows;
        let positions = match &input {
            LayerInput::Tokens(tokens) => {
                self.check_ids(tokens)?;
                tokens.len()
            }
            LayerInput::Rows(rows) if rows.len().is_multiple_of(width) => rows.len() / width,
            LayerInput::Rows(_) => 0,
        };
        let context = self.formatter().context_length() as usize;
        if layer >= layers || !(1..=context).contains(&positions) {
            return Err(EngineError::Invalid(format!(
                "layer {layer} of {layers} over {positions} positions of at most {context}"
            )));
        }
        let (reply, receiver) = oneshot::channel();
        let job = LayerJob {
            layer,
            input,
            reply,
        };
        self.send(Part::Layer(job))?;
        receiver.await.map_err(|_| EngineError::Stopped)?
    }

    /// The four largest logits of rows that the last layer gave; a few rows, which one pass holds up.
    pub async fn outputs(&self, rows: Vec<f32>) -> Result<Vec<Top4>, EngineError> {
        let width = self.facts.rows.width;
        let most = MOST_OUTPUTS * width;
        if rows.is_empty() || rows.len() > most || !rows.len().is_multiple_of(width) {
            return Err(EngineError::Invalid(format!(
                "{} numbers are not one to {MOST_OUTPUTS} rows of {width}",
                rows.len()
            )));
        }
        let (reply, receiver) = oneshot::channel();
        self.send(Part::Outputs(rows, reply))?;
        receiver.await.map_err(|_| EngineError::Stopped)?
    }

    fn send(&self, part: Part) -> Result<(), EngineError> {
        let sent = self.tasks.send(Task::Part(part));
        sent.map_err(|_| EngineError::Stopped)
    }

    /// Lets no pass begin until what is returned is dropped; one that is under way ends. Answers wait meanwhile.
    pub fn hold(&self) -> Hold {
        self.shared.gate.hold();
        Hold(self.shared.clone())
    }

    /// Numbers for pages and metrics.
    pub fn stats(&self) -> EngineStats {
        let facts = &self.facts;
        let scheduler = self.shared.scheduler.lock();
        let counters = self.shared.counters.lock();
        let pages = scheduler.pages();
        let totals = scheduler.totals();
        let (interactive, verification) = (Priority::Interactive, Priority::Verification);
        EngineStats {
            model: facts.formatter.name().to_owned(),
            device: counters.device.clone(),
            threads: facts.threads,
            active: scheduler.count(interactive) + scheduler.count(verification),
            active_verifications: scheduler.count(verification),
            queued: scheduler.queued(interactive) + scheduler.queued(verification),
            queued_verifications: scheduler.queued(verification),
            pending_tokens: scheduler.pending() as u64,
            kv_bytes_used: pages.held() as u64 * facts.page_bytes,
            kv_bytes_cached: pages.idle() as u64 * facts.page_bytes,
            kv_bytes_max: facts.kv_bytes,
            prompt_tokens_total: totals.prompt_tokens,
            cached_tokens_total: totals.cached_tokens,
            prefix_hits_total: totals.prefix_hits,
            output_tokens_total: counters.output_tokens,
            proposed_tokens_total: totals.proposed,
            accepted_tokens_total: totals.accepted,
            requests_total: totals.started,
            cancelled_total: counters.cancelled,
            prefill_tokens_per_second: counters.prefill_rate,
            decode_tokens_per_second: counters.decode_rate,
            stream_tokens_per_second: counters.stream_rate,
            first_tokens: counters.first_tokens,
            next_tokens: counters.next_tokens,
            weights_bytes: facts.weights_bytes,
        }
    }

    fn check_ids(&self, ids: &[u32]) -> Result<(), EngineError> {
        let vocabulary = self.formatter().vocab_size();
        match ids.iter().find(|id| **id as usize >= vocabulary) {
            Some(id) => Err(EngineError::UnknownToken {
                id: *id,
                vocabulary,
            }),
            None => Ok(()),
        }
    }

    /// Positions that the request may fill: the last token that it makes is not read.
    fn fits(&self, prompt: &[u32], max_tokens: usize) -> Result<usize, EngineError> {
        if prompt.is_empty() {
            return Err(EngineError::EmptyPrompt);
        }
        let context = self.formatter().context_length() as usize;
        let all = prompt.len().saturating_add(max_tokens);
        if all > context {
            return Err(EngineError::ContextExceeded {
                prompt_tokens: prompt.len(),
                max_tokens,
                context,
            });
        }
        self.check_ids(prompt)?;
        Ok(all - 1)
    }

    /// Gives a request to the scheduler, and the job that it becomes to the worker.
    fn submit(
        &self,
        request: Request,
        job: impl FnOnce(scheduler::Id) -> Job,
    ) -> Result<(), EngineError> {
        let priority = request.priority;
        let mut scheduler = self.shared.scheduler.lock();
        let id = scheduler.submit(request).map_err(|refusal| match refusal {
            Refusal::TooLarge { pages } => EngineError::TooLarge {
                needed: pages as u64 * self.facts.page_bytes,
                allowed: self.facts.kv_bytes,
            },
            Refusal::Full { queued } => {
                let rate = self.shared.counters.lock().decode_rate;
                let requests = scheduler.count(priority) + queued;
                // The soonest that one of the running requests could be done.
                let tokens = scheduler.pending() as f64 / requests.max(1) as f64;
                let seconds = tokens / rate.unwrap_or(10.0).max(0.1);
                EngineError::Busy {
                    queued,
                    retry_after_seconds: seconds.ceil().clamp(1.0, 600.0) as u64,
                }
            }
        })?;
        // Under the lock, so that the worker never meets an id whose job it doesn't have.
        self.tasks.send(Task::Job(job(id))).map_err(|_| {
            scheduler.remove(id);
            EngineError::Stopped
        })
    }
}
