//! A model without weights.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::future::BoxFuture;
use mythic_engine::{
    ByOptions, Checked, Durations, EngineError, EngineStats, Finish, GenerateRequest, Sampler, Step,
};
use mythic_interface::{hash, ix::RequestInference, sampler::Sampling};
use mythic_model::prompt::{Message, PromptError};
use mythic_node::serve::backend::{Backend, Steps};
use solana_pubkey::Pubkey;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// A model without weights: the same tokens for the same seed, at a given pace. A grammar with the word `unreadable` it can't read,
/// one with `explodes` it can't follow beyond two tokens, one with `slow` it reads until it is told to end.
#[derive(Default)]
pub struct Puppet {
    pub pause: Duration,
    /// The last tokens of the prompts that it was started with.
    pub seen: Arc<Mutex<Vec<u32>>>,
    /// Slow grammars whose reading began, and what ends it.
    pub begun: Arc<AtomicUsize>,
    pub end: CancellationToken,
}

/// What the puppet says when it is asked for log-probabilities.
const LOG_SUM_EXP: f32 = 7.5;

/// What it says that it found of every prompt.
pub const CACHED_TOKENS: u32 = 3;

fn four(position: u32) -> [(u32, i32); 4] {
    let base = 100 + position * 4;
    [
        (base, 400_000),
        (base + 1, 300_000),
        (base + 2, 200_000),
        (base + 3, 100_000),
    ]
}

impl Puppet {
    /// One that takes `pause` for each token.
    pub fn at(pause: Duration) -> Self {
        Self {
            pause,
            ..Self::default()
        }
    }
}

impl Backend for Puppet {
    fn generate(
        &self,
        request: GenerateRequest,
        cancel: CancellationToken,
    ) -> Result<Steps, EngineError> {
        let (sender, receiver) = mpsc::channel(request.max_tokens as usize + 1);
        let pause = self.pause;
        let gives_up = matches!(&request.sampler, Sampler::Full { options, .. }
            if options.grammar.as_deref().is_some_and(|text| text.contains("explodes")));
        self.seen.lock().unwrap().extend(request.prompt_ids.last());
        tokio::spawn(async move {
            for position in 0..request.max_tokens {
                tokio::select! {
                    () = cancel.cancelled() => {
                        let _ = sender.send(Err(EngineError::Cancelled)).await;
                        return;
                    }
                    () = tokio::time::sleep(pause) => {}
                }
                if gives_up && position == 2 {
                    let limit = EngineError::Grammar("a limit was met".into());
                    let _ = sender.send(Err(limit)).await;
                    return;
                }
                let top4 = four(position);
                let token = match request.sampler {
                    Sampler::Verified {
                        seed,
                        temperature_milli,
                    } => Sampling {
                        seed,
                        temperature_milli,
                    }
                    .choose(position, &top4),
                    // It has no logits but these, and follows no options.
                    Sampler::Full { .. } | Sampler::Free { .. } => top4[0].0,
                };
                let finish = (position + 1 == request.max_tokens).then_some(Finish::Length);
                let step = Step {
                    position,
                    token,
                    top4,
                    text: format!("{token} "),
                    log_sum_exp: request.logprobs.then_some(LOG_SUM_EXP),
                    cached_tokens: (position == 0).then_some(CACHED_TOKENS),
                    finish,
                };
                if sender.send(Ok(step)).await.is_err() {
                    return;
                }
            }
        });
        Ok(receiver)
    }
    fn check<'a>(
        &'a self,
        _prompt_ids: &'a [u32],
        output_ids: &'a [u32],
        claimed: &'a [[u32; 4]],
        by_options: Option<ByOptions>,
    ) -> BoxFuture<'a, Result<Vec<Checked>, EngineError>> {
        let checked = (0..output_ids.len() as u32)
            .zip(claimed)
            .map(|(position, ids)| {
                let own = four(position);
                let logit = |id: &u32| own.iter().find(|e| e.0 == *id).map_or(-1, |e| e.1);
                Checked {
                    own,
                    fifth: (99, 50_000),
                    at_claimed: [
                        logit(&ids[0]),
                        logit(&ids[1]),
                        logit(&ids[2]),
                        logit(&ids[3]),
                    ],
                    log_sum_exp: LOG_SUM_EXP,
                    choice: by_options.is_some().then_some(own[0].0),
                }
            });
        let checked = Ok(checked.collect());
        Box::pin(std::future::ready(checked))
    }
    fn check_grammar<'a>(&'a self, grammar: &'a str) -> BoxFuture<'a, Result<(), EngineError>> {
        let read = match grammar.contains("unreadable") {
            true => Err(EngineError::Grammar("it can't be read".into())),
            false => Ok(()),
        };
        let slow = grammar.contains("slow");
        Box::pin(async move {
            if slow {
                self.begun.fetch_add(1, Ordering::Relaxed);
                self.end.cancelled().await;
            }
            read
        })
    }
    fn stats(&self) -> EngineStats {
        EngineStats {
            model: "puppet".into(),
            device: "none".into(),
            threads: 1,
            active: 0,
            active_verifications: 0,
            queued: 0,
            queued_verifications: 0,
            pending_tokens: 0,
            kv_bytes_used: 0,
            kv_bytes_cached: 0,
            kv_bytes_max: 0,
            prompt_tokens_total: 0,
            cached_tokens_total: 0,
            prefix_hits_total: 0,
            output_tokens_total: 0,
            proposed_tokens_total: 0,
            accepted_tokens_total: 0,
            requests_total: 0,
            cancelled_total: 0,
            prefill_tokens_per_second: None,
            decode_tokens_per_second: None,
            stream_tokens_per_second: None,
            first_tokens: Durations::default(),
            next_tokens: Durations::default(),
            weights_bytes: 0,
        }
    }
    fn decode(&self, ids: &[u32]) -> String {
        ids.iter().map(|id| format!("{id} ")).collect()
    }
    fn chat(&self, messages: &[Message]) -> Result<Vec<u32>, PromptError> {
        Ok(messages
            .iter()
            .map(|m| m.content.len() as u32 + 3)
            .collect())
    }
    fn context_length(&self) -> u32 {
        1_024
    }
    fn vocab_size(&self) -> usize {
        10_000
    }
}

/// The tokens that the puppet gives for a job.
pub fn expected(args: &RequestInference, job: &Pubkey) -> Vec<u32> {
    let sampling = Sampling {
        seed: hash::job_seed(job.as_array(), &args.user_seed),
        temperature_milli: args.temperature_milli.get(),
    };
    (0..args.max_output_tokens.get())
        .map(|p| sampling.choose(p, &four(p)))
        .collect()
}
