//! The engine: one worker thread that runs a model for several requests at once.
//!
//! - [`Engine`]: handle for callers; requests, steps, errors
//! - [`scheduler`]: which requests run and which rows the next forward pass holds (pure)
//! - [`pages`]: who holds which page of keys and values, and the prefix cache (pure)
//! - [`kv`]: the memory of those pages
//! - [`memory`]: what an engine needs against what the machine has
//! - [`logits`]: what is kept of a row of logits
//! - [`llama`]: the llama architecture, written on [`kernels`]
//! - [`kernels`]: the arithmetic, one kernel profile, apart from the model code
//!
//! A position's logits are the same bits whether computed in decode, prefill or a teacher-forced
//! pass, in any chunk, batch or number of threads, on any instruction set that [`kernels`] knows.

pub mod kernels;
pub mod kv;
pub mod llama;
pub mod logits;
pub mod memory;
pub mod pages;
pub mod scheduler;
mod worker;

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc as std_mpsc;

use mythic_interface::sampler::{Sampling, Top4};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

pub use kernels::InstructionSet;
use kv::Pool;
use llama::Model;
/// Why a generation ended; an engine never says `Cancelled`.
pub use mythic_interface::state::FinishReason as Finish;
use mythic_model::gguf::{Gguf, GgufError};
use mythic_model::prompt::PromptFormatter;
use mythic_model::servable::{self, Servable, ServableError};
use scheduler::{Limits, Refusal, Request, Scheduler};
use worker::{Job, Worker};

/// Longest list of stop strings, and longest of them in bytes.
const MAX_STOPS: usize = 16;
const MAX_STOP_BYTES: usize = 1_024;

/// Settings of an engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EngineConfig {
    /// Threads that compute; 0 = one for each core.
    pub threads: usize,
    /// Interactive requests that run at once; one verification may run besides.
    pub max_sequences: usize,
    /// Requests of each priority that wait; one more is refused as busy.
    pub max_queued: usize,
    /// Most memory for keys and values, of running requests and of prefixes that are kept, in bytes.
    pub kv_bytes: u64,
    /// Rows of a forward pass. While a request decodes, prompts get a quarter of them.
    pub chunk: usize,
    /// Which instructions compute; the bits are the same with each.
    pub instruction_set: InstructionSet,
    /// Departures from the profile's arithmetic, for calibration.
    #[serde(skip)]
    pub lab: Lab,
}

/// What calibration varies to see whether it is found out. An engine with any of it is no honest one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lab {
    /// Keys and values rounded to integers of so many bits (2 to 8), one scale a head and position,
    /// before they are stored.
    pub kv_bits: Option<u8>,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            threads: 0,
            max_sequences: 4,
            max_queued: 32,
            kv_bytes: 1 << 30,
            chunk: 128,
            instruction_set: InstructionSet::Auto,
            lab: Lab::default(),
        }
    }
}

impl EngineConfig {
    /// Names the first key whose value is not allowed.
    pub fn validate(&self) -> Result<(), String> {
        let check = |key: &str, value: u64, min: u64, max: u64| {
            if (min..=max).contains(&value) {
                Ok(())
            } else {
                Err(format!("{key} = {value}: allowed is {min} to {max}"))
            }
        };
        check("threads", self.threads as u64, 0, 1_024)?;
        check("max_sequences", self.max_sequences as u64, 1, 256)?;
        check("max_queued", self.max_queued as u64, 0, 65_536)?;
        check("kv_bytes", self.kv_bytes, 1 << 20, 1 << 44)?;
        check("chunk", self.chunk as u64, 1, 4_096)?;
        if let Some(bits) = self.lab.kv_bits {
            check("lab.kv_bits", u64::from(bits), 2, 8)?;
        }
        if self.chunk < self.max_sequences {
            return Err(format!(
                "chunk = {}: allowed is at least max_sequences = {}",
                self.chunk, self.max_sequences
            ));
        }
        Ok(())
    }
}

/// How tokens are chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sampler {
    /// The protocol's: seeded, among the four largest logits, replayable on chain.
    Verified {
        seed: [u8; 32],
        temperature_milli: u16,
    },
    /// Over the whole vocabulary, for unbilled requests.
    Free {
        /// 0 takes the largest logit.
        temperature: f32,
        /// Smallest set of tokens whose probabilities reach this sum; 1 = all.
        top_p: f32,
        seed: u64,
    },
}

impl Sampler {
    fn validate(&self) -> Result<(), EngineError> {
        match self {
            Sampler::Verified { .. } => Ok(()),
            Sampler::Free {
                temperature, top_p, ..
            } => {
                if !(0.0..=100.0).contains(temperature) {
                    return Err(EngineError::Invalid(format!(
                        "temperature {temperature}: allowed is 0 to 100"
                    )));
                }
                if !(*top_p > 0.0 && *top_p <= 1.0) {
                    return Err(EngineError::Invalid(format!(
                        "top_p {top_p}: allowed is above 0, up to 1"
                    )));
                }
                Ok(())
            }
        }
    }

    /// The protocol's sampler, if it is that one.
    pub fn verified(&self) -> Option<Sampling> {
        match self {
            Sampler::Verified {
                seed,
                temperature_milli,
            } => Some(Sampling {
                seed: *seed,
                temperature_milli: *temperature_milli,
            }),
            Sampler::Free { .. } => None,
        }
    }
}

/// A request to generate.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerateRequest {
    /// The whole prompt as token ids, beginning-of-sequence token included.
    pub prompt_ids: Vec<u32>,
    /// Most tokens to generate, at least 1.
    pub max_tokens: u32,
    pub sampler: Sampler,
    /// Strings that end the generation; they are not part of the text.
    pub stop: Vec<String>,
    /// Whether each step says its [`Step::log_sum_exp`].
    pub logprobs: bool,
}

/// Who goes first where not all can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Priority {
    /// Somebody waits for the tokens: every [`Engine::generate`].
    Interactive,
    /// Answers that are checked: [`Engine::check`] and [`Engine::teacher_forced`].
    Verification,
}

/// What a checker computes at one position of an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Checked {
    /// Its own four largest logits, Q16.16.
    pub own: Top4,
    /// Its own logits at the four ids that the answer's maker claimed, Q16.16.
    pub at_claimed: [i32; 4],
    /// Natural logarithm of the sum of the exponentials of all logits of the position.
    pub log_sum_exp: f32,
}

/// One generated token.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Index of the token in the answer, from 0.
    pub position: u32,
    pub token: u32,
    /// The four largest logits (Q16.16) of the position, ordered as the protocol wants.
    pub top4: Top4,
    /// Text that is complete with this token; may be empty, and is held back while it might
    /// become a stop string.
    pub text: String,
    /// Natural logarithm of the sum of the exponentials of all logits of the position, if the
    /// request asked: a logit less this is a log-probability.
    pub log_sum_exp: Option<f32>,
    /// Set on the last step.
    pub finish: Option<Finish>,
}

/// What can go wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    #[error(
        "the engine is busy: {queued} requests wait already; try again in {retry_after_seconds} s"
    )]
    Busy {
        queued: usize,
        retry_after_seconds: u64,
    },
    #[error("the prompt is empty")]
    EmptyPrompt,
    #[error(
        "{prompt_tokens} prompt tokens and {max_tokens} to generate exceed the model's context of {context}"
    )]
    ContextExceeded {
        prompt_tokens: usize,
        max_tokens: usize,
        context: usize,
    },
    #[error(
        "the request needs {needed} bytes of key-value memory, the node allows {allowed}; lower max_tokens, or raise kv_bytes"
    )]
    TooLarge { needed: u64, allowed: u64 },
    #[error("token id {id} is outside the vocabulary of {vocabulary}")]
    UnknownToken { id: u32, vocabulary: usize },
    #[error("{0}")]
    Invalid(String),
    /// The last thing a stream gives after its token was cancelled.
    #[error("the request was cancelled")]
    Cancelled,
    #[error("the model computed no usable logits: {0}")]
    Numbers(String),
    #[error("the engine has stopped")]
    Stopped,
}

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
    Memory(#[from] memory::TooBig),
    #[error(
        "kv_bytes = {allowed}: keys and values of one page of this model ({} positions) take {page} bytes",
        pages::PAGE
    )]
    NoPage { page: u64, allowed: u64 },
    #[error("cannot reserve {bytes} bytes for keys and values: {error}")]
    Pool { bytes: u64, error: std::io::Error },
    #[error("cannot start the engine's thread: {0}")]
    Thread(std::io::Error),
}

/// What an engine does and did; what was never measured is `None`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct EngineStats {
    pub model: String,
    /// What computes, for instance `CPU (AVX-512 VNNI)`.
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
    /// Requests that started.
    pub requests_total: u64,
    pub cancelled_total: u64,
    /// Moving averages over recent passes, all requests together.
    pub prefill_tokens_per_second: Option<f64>,
    pub decode_tokens_per_second: Option<f64>,
    pub weights_bytes: u64,
}

/// What the worker counts and measures.
#[derive(Default)]
struct Counters {
    output_tokens: u64,
    cancelled: u64,
    prefill_rate: Option<f64>,
    decode_rate: Option<f64>,
}

/// What worker and handles share.
struct Shared {
    scheduler: Mutex<Scheduler>,
    counters: Mutex<Counters>,
}

/// What never changes.
struct Facts {
    formatter: Arc<PromptFormatter>,
    device: String,
    threads: usize,
    page_bytes: u64,
    kv_bytes: u64,
    weights_bytes: u64,
}

/// A loaded model; cloning gives another handle to the same worker, which ends with the last.
#[derive(Clone)]
pub struct Engine {
    jobs: std_mpsc::Sender<Job>,
    shared: Arc<Shared>,
    facts: Arc<Facts>,
}

impl Engine {
    /// Maps the file, checks it, plans the memory and starts the worker. Blocks for a fraction of a
    /// second.
    pub fn load(path: impl AsRef<Path>, config: EngineConfig) -> Result<Self, LoadError> {
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
        let plan = memory::Plan {
            weights: gguf.file_len(),
            pool: kv_bytes,
            scratch: model.scratch_bytes(config.chunk, context),
        };
        plan.check()?;
        let pool = Pool::new(shape, pages, config.lab).map_err(|error| LoadError::Pool {
            bytes: kv_bytes,
            error,
        })?;
        let facts = Arc::new(Facts {
            formatter: formatter.clone(),
            device: model.kernels().device(),
            threads: model.kernels().threads(),
            page_bytes,
            kv_bytes,
            weights_bytes: gguf.file_len(),
        });
        let shared = Arc::new(Shared {
            scheduler: Mutex::new(Scheduler::new(Limits {
                sequences: config.max_sequences,
                queued: config.max_queued,
                chunk: config.chunk,
                pages,
            })),
            counters: Mutex::default(),
        });
        let (jobs, inbox) = std_mpsc::channel();
        let worker = Worker::new(model, pool, formatter, shared.clone(), inbox);
        std::thread::Builder::new()
            .name("mythic-engine".into())
            .spawn(move || worker.run())
            .map_err(LoadError::Thread)?;
        Ok(Self {
            jobs,
            shared,
            facts,
        })
    }

    /// Tokenizer, chat template and limits of the model.
    pub fn formatter(&self) -> &Arc<PromptFormatter> {
        &self.facts.formatter
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
        request.sampler.validate()?;
        if request.max_tokens == 0 {
            return Err(EngineError::Invalid("max_tokens is 0".into()));
        }
        if request.stop.len() > MAX_STOPS || request.stop.iter().any(|s| s.len() > MAX_STOP_BYTES) {
            return Err(EngineError::Invalid(format!(
                "at most {MAX_STOPS} stop strings of {MAX_STOP_BYTES} bytes are allowed"
            )));
        }
        let reach = self.fits(&request.prompt_ids, request.max_tokens as usize)?;
        let tokens = std::mem::take(&mut request.prompt_ids);
        // Room for every step, so that a slow reader never holds the worker up.
        let (steps, receiver) = mpsc::channel(request.max_tokens as usize + 1);
        let scheduled = Request {
            prompt: tokens.len(),
            tokens,
            reach,
            priority: Priority::Interactive,
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
        let found = self.check(prompt_ids, output_ids, &claimed).await?;
        Ok(found.iter().map(|checked| checked.own).collect())
    }

    /// What a checker needs at every position of an answer whose maker claims to have found its
    /// four largest logits at `claimed`, from one pass over prompt and answer.
    pub async fn check(
        &self,
        prompt_ids: &[u32],
        output_ids: &[u32],
        claimed: &[[u32; 4]],
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
        let scheduled = Request {
            tokens: [prompt_ids, known].concat(),
            prompt: prompt_ids.len(),
            reach,
            priority: Priority::Verification,
        };
        let (reply, receiver) = oneshot::channel();
        self.submit(scheduled, |id| Job::check(id, claimed.to_vec(), reply))?;
        receiver.await.map_err(|_| EngineError::Stopped)?
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
            device: facts.device.clone(),
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
            requests_total: totals.started,
            cancelled_total: counters.cancelled,
            prefill_tokens_per_second: counters.prefill_rate,
            decode_tokens_per_second: counters.decode_rate,
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
        self.jobs.send(job(id)).map_err(|_| {
            scheduler.remove(id);
            EngineError::Stopped
        })
    }
}
