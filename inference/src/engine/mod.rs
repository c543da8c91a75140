//! The engine: one worker thread that runs a model for several requests at once.
//!
//! - [`Engine`]: handle for callers; requests, steps, errors
//! - [`scheduler`]: which rows the next forward pass holds (pure)
//! - [`llama`]: the llama architecture, written on [`kernels`]
//! - [`kernels`]: the arithmetic, one kernel profile, apart from the model code
//!
//! A position's logits are the same bits whether computed in decode, prefill or a teacher-forced
//! pass, in any chunk, batch or number of threads, on any instruction set that [`kernels`] knows.

pub mod kernels;
pub mod llama;
pub mod scheduler;
mod worker;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc as std_mpsc;

use mythic_interface::sampler::{Sampling, Top4};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::gguf::{Gguf, GgufError};
use crate::prompt::{PromptError, PromptFormatter};
use llama::Model;
use worker::{Command, Job, Worker};

/// Longest list of stop strings, and longest of them in bytes.
const MAX_STOPS: usize = 16;
const MAX_STOP_BYTES: usize = 1_024;

/// Settings of an engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EngineConfig {
    /// Threads that compute; 0 = one for each core.
    pub threads: usize,
    /// Requests that run at once.
    pub max_sequences: usize,
    /// Requests that wait; one more is refused as busy.
    pub max_queued: usize,
    /// Most memory for keys and values of running requests, in bytes.
    pub kv_bytes: u64,
    /// Rows of a forward pass: how much of a prompt is read between two decoded tokens of others.
    pub chunk: usize,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            threads: 0,
            max_sequences: 4,
            max_queued: 32,
            kv_bytes: 1 << 30,
            chunk: 32,
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
}

/// Why a generation ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// The last token is one of the model's end tokens.
    Eos,
    /// `max_tokens` are there.
    Length,
    /// A stop string appeared.
    Stopped,
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
    Prompt(#[from] PromptError),
    #[error("engine configuration: {0}")]
    Config(String),
    #[error(transparent)]
    Kernels(#[from] kernels::KernelsError),
    #[error("cannot start the engine's thread: {0}")]
    Thread(std::io::Error),
}

/// What an engine does and did; what was never measured is `None`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EngineStats {
    pub model: String,
    /// What computes, for instance `CPU (AVX-512 VNNI)`.
    pub device: String,
    pub threads: usize,
    /// Requests that run.
    pub active: usize,
    /// Requests that wait.
    pub queued: usize,
    /// Tokens that running and waiting requests may still need.
    pub pending_tokens: u64,
    pub kv_bytes_used: u64,
    pub kv_bytes_max: u64,
    pub prompt_tokens_total: u64,
    pub output_tokens_total: u64,
    pub requests_total: u64,
    pub cancelled_total: u64,
    /// Moving averages over recent passes, all requests together.
    pub prefill_tokens_per_second: Option<f64>,
    pub decode_tokens_per_second: Option<f64>,
    pub weights_bytes: u64,
}

/// What worker and handles share.
struct Shared {
    /// Requests that wait or run.
    admitted: AtomicUsize,
    stats: Mutex<EngineStats>,
}

/// A loaded model; cloning gives another handle to the same worker, which ends with the last.
#[derive(Clone)]
pub struct Engine {
    commands: std_mpsc::Sender<Command>,
    shared: Arc<Shared>,
    formatter: Arc<PromptFormatter>,
    config: EngineConfig,
    kv_bytes_per_token: u64,
}

/// Gives the place in the queue back when a request is over, however it ends.
struct Admission(Arc<Shared>);

impl Drop for Admission {
    fn drop(&mut self) {
        self.0.admitted.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Engine {
    /// Maps the file, checks it and starts the worker. Blocks for a fraction of a second.
    pub fn load(path: impl AsRef<Path>, config: EngineConfig) -> Result<Self, LoadError> {
        config.validate().map_err(LoadError::Config)?;
        let gguf = Gguf::open(path.as_ref())?;
        let formatter = Arc::new(PromptFormatter::from_parsed(&gguf)?);
        let kernels = kernels::Kernels::new(config.threads, kernels::InstructionSet::Auto)?;
        let pack = kernels::pack::Pack::open(path.as_ref(), &gguf, kernels.pool())?;
        let model = Model::load(&gguf, &pack, formatter.vocab_size(), kernels)?;
        let stats = EngineStats {
            model: formatter.name().to_owned(),
            device: model.kernels().device(),
            threads: model.kernels().threads(),
            active: 0,
            queued: 0,
            pending_tokens: 0,
            kv_bytes_used: 0,
            kv_bytes_max: config.kv_bytes,
            prompt_tokens_total: 0,
            output_tokens_total: 0,
            requests_total: 0,
            cancelled_total: 0,
            prefill_tokens_per_second: None,
            decode_tokens_per_second: None,
            weights_bytes: gguf.file_len(),
        };
        let shared = Arc::new(Shared {
            admitted: AtomicUsize::new(0),
            stats: Mutex::new(stats),
        });
        let kv_bytes_per_token = model.kv_bytes_per_token();
        let (commands, inbox) = std_mpsc::channel();
        let worker = Worker::new(
            model,
            formatter.clone(),
            config.clone(),
            shared.clone(),
            inbox,
        );
        std::thread::Builder::new()
            .name("mythic-engine".into())
            .spawn(move || worker.run())
            .map_err(LoadError::Thread)?;
        Ok(Self {
            commands,
            shared,
            formatter,
            config,
            kv_bytes_per_token,
        })
    }

    /// Tokenizer, chat template and limits of the model.
    pub fn formatter(&self) -> &Arc<PromptFormatter> {
        &self.formatter
    }

    /// Queues a request. Steps arrive on the receiver, the last with `finish` set; an error ends
    /// the stream. Cancelling the token, or dropping the receiver, ends it within one pass,
    /// whether it waits, reads its prompt or decodes.
    ///
    /// What can never be served, and a full queue, are refused at once.
    pub fn generate(
        &self,
        request: GenerateRequest,
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
        let capacity = self.fits(&request.prompt_ids, request.max_tokens as usize)?;
        let admission = self.admit()?;
        // Room for every step, so that a slow reader never holds the worker up.
        let (steps, receiver) = mpsc::channel(request.max_tokens as usize + 1);
        let job = Job::generate(request, capacity, steps, cancel, admission);
        self.commands
            .send(Command::Run(job))
            .map_err(|_| EngineError::Stopped)?;
        Ok(receiver)
    }

    /// The four largest logits at every position of an answer that is known already, from one
    /// pass over prompt and answer.
    pub async fn teacher_forced(
        &self,
        prompt_ids: &[u32],
        output_ids: &[u32],
    ) -> Result<Vec<Top4>, EngineError> {
        if output_ids.is_empty() {
            return Ok(Vec::new());
        }
        self.check_ids(output_ids)?;
        let capacity = self.fits(prompt_ids, output_ids.len())?;
        let admission = self.admit()?;
        let (reply, receiver) = oneshot::channel();
        let job = Job::score(prompt_ids, output_ids, capacity, reply, admission);
        self.commands
            .send(Command::Run(job))
            .map_err(|_| EngineError::Stopped)?;
        receiver.await.map_err(|_| EngineError::Stopped)?
    }

    /// Numbers for pages and metrics.
    pub fn stats(&self) -> EngineStats {
        self.shared.stats.lock().clone()
    }

    fn check_ids(&self, ids: &[u32]) -> Result<(), EngineError> {
        let vocabulary = self.formatter.vocab_size();
        match ids.iter().find(|id| **id as usize >= vocabulary) {
            Some(id) => Err(EngineError::UnknownToken {
                id: *id,
                vocabulary,
            }),
            None => Ok(()),
        }
    }

    /// Positions that the request may fill.
    fn fits(&self, prompt: &[u32], max_tokens: usize) -> Result<usize, EngineError> {
        if prompt.is_empty() {
            return Err(EngineError::EmptyPrompt);
        }
        let context = self.formatter.context_length() as usize;
        let capacity = prompt.len().saturating_add(max_tokens);
        if capacity > context {
            return Err(EngineError::ContextExceeded {
                prompt_tokens: prompt.len(),
                max_tokens,
                context,
            });
        }
        let needed = (capacity as u64).saturating_mul(self.kv_bytes_per_token);
        if needed > self.config.kv_bytes {
            return Err(EngineError::TooLarge {
                needed,
                allowed: self.config.kv_bytes,
            });
        }
        self.check_ids(prompt)?;
        Ok(capacity)
    }

    fn admit(&self) -> Result<Admission, EngineError> {
        let limit = self.config.max_sequences + self.config.max_queued;
        self.shared
            .admitted
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| {
                (n < limit).then_some(n + 1)
            })
            .map_err(|admitted| {
                let stats = self.shared.stats.lock();
                let rate = stats.decode_tokens_per_second.unwrap_or(10.0).max(0.1);
                // The soonest that one of the running requests could be done.
                let seconds = stats.pending_tokens as f64 / admitted.max(1) as f64 / rate;
                EngineError::Busy {
                    queued: admitted.saturating_sub(self.config.max_sequences),
                    retry_after_seconds: seconds.ceil().clamp(1.0, 600.0) as u64,
                }
            })?;
        Ok(Admission(self.shared.clone()))
    }
}
