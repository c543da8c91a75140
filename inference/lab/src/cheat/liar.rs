//! The engine of a cheat.

#[cfg(test)]
mod tests;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use futures::future::BoxFuture;
use mythic_interface::sampler::{Sampling, Top4, order};
use tokio::sync::{OnceCell, mpsc};
use tokio_util::sync::CancellationToken;

use super::how::How;
use crate::calibrate::{
    cheats::{self, Answer},
    files::{self, Derive},
    transcript::forge,
};
use mythic_engine::{
    ByOptions, Checked, Engine, EngineConfig, EngineError, EngineStats, Finish, GenerateRequest,
    Sampler, Step,
};
use mythic_model::{
    gguf::TensorFormat,
    prompt::{Message, PromptError},
};
use mythic_node::serve::backend::{Backend, Steps};
use mythic_sampling::Options;

/// Layers that the smaller model lacks.
const LAYERS_LEFT_OUT: u32 = 6;
/// Keys and values of the cheap writer, in bytes.
const CHEAP_KV_BYTES: u64 = 128 << 20;
/// How often ids are drawn to excuse a token.
const EXCUSES: u32 = 8;

/// An engine that lies where a job's answer is written, and is the true one everywhere else.
pub struct Liar(Arc<Inner>);

struct Inner {
    how: How,
    engine: Engine,
    /// The true model's file, and where files made of it lie.
    source: PathBuf,
    directory: PathBuf,
    threads: usize,
    /// What writes more cheaply; made when it is needed.
    cheap: OnceCell<Engine>,
}

/// What a cheat submits.
struct Lie {
    answer: Answer,
    finish: Finish,
}

impl Liar {
    /// A cheat on top of the engine of `source`; `directory` takes the files that it makes.
    pub fn new(
        how: How,
        engine: Engine,
        source: &Path,
        directory: PathBuf,
        threads: usize,
    ) -> Self {
        Self(Arc::new(Inner {
            how,
            engine,
            source: source.to_owned(),
            directory,
            threads,
            cheap: OnceCell::new(),
        }))
    }
}

impl Backend for Liar {
    fn generate(
        &self,
        request: GenerateRequest,
        cancel: CancellationToken,
    ) -> Result<Steps, EngineError> {
        // Only a job's answer is committed to.
        let Some(sampling) = request.sampler.verified() else {
            return self.0.engine.generate(request, cancel);
        };
        let (sender, steps) = mpsc::channel(request.max_tokens as usize + 1);
        let inner = self.0.clone();
        tokio::spawn(async move {
            let lie = tokio::select! {
                lie = inner.write(request, &sampling) => lie,
                () = cancel.cancelled() => Err(EngineError::Cancelled),
            };
            let told: Vec<_> = match lie {
                Ok(lie) => {
                    let text = inner.engine.formatter().decode(&lie.answer.ids);
                    lie.steps(text).into_iter().map(Ok).collect()
                }
                Err(error) => vec![Err(error)],
            };
            for step in told {
                if sender.send(step).await.is_err() {
                    return;
                }
            }
        });
        Ok(steps)
    }
    fn check<'a>(
        &'a self,
        prompt_ids: &'a [u32],
        output_ids: &'a [u32],
        claimed: &'a [[u32; 4]],
        by_options: Option<ByOptions>,
    ) -> BoxFuture<'a, Result<Vec<Checked>, EngineError>> {
        let engine = &self.0.engine;
        Box::pin(engine.check(prompt_ids, output_ids, claimed, by_options))
    }
    fn check_grammar<'a>(&'a self, grammar: &'a str) -> BoxFuture<'a, Result<(), EngineError>> {
        Box::pin(self.0.engine.check_grammar(grammar))
    }
    fn stats(&self) -> EngineStats {
        self.0.engine.stats()
    }
    fn decode(&self, ids: &[u32]) -> String {
        self.0.engine.formatter().decode(ids)
    }
    fn chat(&self, messages: &[Message]) -> Result<Vec<u32>, PromptError> {
        self.0.engine.formatter().chat(messages)
    }
    fn context_length(&self) -> u32 {
        self.0.engine.formatter().context_length()
    }
    fn vocab_size(&self) -> usize {
        self.0.engine.formatter().vocab_size()
    }
}

impl Lie {
    /// As an engine gives them; the text comes in one piece.
    fn steps(self, mut text: String) -> Vec<Step> {
        let last = self.answer.ids.len().saturating_sub(1);
        let places = self.answer.ids.into_iter().zip(self.answer.leaves);
        places
            .enumerate()
            .map(|(at, (token, top4))| Step {
                position: at as u32,
                token,
                top4,
                text: std::mem::take(&mut text),
                log_sum_exp: None,
                cached_tokens: None,
                finish: (at == last).then_some(self.finish),
            })
            .collect()
    }
}

/// What is left to write of an answer.
struct Rest<'a> {
    prompt: &'a [u32],
    /// Tokens in all.
    most: u32,
    /// What ends it before.
    eos: &'a [u32],
}

impl Inner {
    async fn write(
        &self,
        mut request: GenerateRequest,
        sampling: &Sampling,
    ) -> Result<Lie, EngineError> {
        let engine = &self.engine;
        let (prompt, most) = (request.prompt_ids.clone(), request.max_tokens);
        match self.how.writes() {
            How::OtherQuant | How::OtherModel => run(self.cheap().await?, request).await,
            How::PlantedFault => {
                let mut lie = run(self.cheap().await?, request).await?;
                let middle = lie.answer.leaves.len() / 2;
                if let Some(leaf) = lie.answer.leaves.get_mut(middle) {
                    leaf.swap(2, 3);
                }
                Ok(lie)
            }
            How::Prefill => {
                let mut lie = run(self.cheap().await?, request).await?;
                lie.answer.leaves = engine.teacher_forced(&prompt, &lie.answer.ids).await?;
                Ok(lie)
            }
            How::WrongIds => {
                let mut lie = run(self.cheap().await?, request).await?;
                lie.answer.leaves = self.excuse(&prompt, &lie.answer.ids, sampling).await?;
                Ok(lie)
            }
            How::WrongSeed => {
                let mut seed = sampling.seed;
                seed[0] ^= 1;
                request.sampler = Sampler::Verified {
                    seed,
                    temperature_milli: sampling.temperature_milli,
                };
                run(engine, request).await
            }
            How::TruncatePrompt => {
                request.prompt_ids.drain(..prompt.len() / 2);
                run(engine, request).await
            }
            How::EarlyStop => {
                request.max_tokens = (most / 2).max(1);
                let mut lie = run(engine, request).await?;
                lie.finish = Finish::Eos;
                Ok(lie)
            }
            How::PadAfterEos => {
                let mut lie = run(engine, request).await?;
                if lie.finish == Finish::Eos && (lie.answer.ids.len() as u32) < most {
                    self.go_on(
                        &mut lie,
                        sampling,
                        Rest {
                            prompt: &prompt,
                            most,
                            eos: &[],
                        },
                    )
                    .await?;
                }
                Ok(lie)
            }
            How::OneToken => {
                let mut lie = run(engine, request).await?;
                let at = lie.answer.ids.len() / 2;
                lie.answer.ids.truncate(at + 1);
                lie.answer.leaves.truncate(at + 1);
                let eos = engine.formatter().eos_ids();
                cheats::replace(&mut lie.answer, at, eos);
                if let (Some(token), Some(leaf)) =
                    (lie.answer.ids.last(), lie.answer.leaves.last_mut())
                {
                    let listed = leaf.iter().find(|(id, _)| id == token);
                    let logit = listed.map_or(i32::MIN, |(_, logit)| *logit);
                    *leaf = forge(leaf, *token, logit, at as u32, sampling);
                }
                self.go_on(
                    &mut lie,
                    sampling,
                    Rest {
                        prompt: &prompt,
                        most,
                        eos,
                    },
                )
                .await?;
                Ok(lie)
            }
            How::Random => {
                let vocabulary = engine.formatter().vocab_size();
                Ok(Lie {
                    answer: cheats::random(most as usize, vocabulary, sampling),
                    finish: Finish::Length,
                })
            }
            how @ (How::IgnoreTopP | How::IgnoreBias | How::IgnoreGrammar) => {
                neglect(&mut request.sampler, how);
                run(engine, request).await
            }
            // Those that answer truly; [`How::writes`] gives no others.
            _ => run(engine, request).await,
        }
    }

    /// Writes on token by token, to `most` tokens or one of `eos`: a new request would count its positions from 0.
    async fn go_on(
        &self,
        lie: &mut Lie,
        sampling: &Sampling,
        Rest { prompt, most, eos }: Rest<'_>,
    ) -> Result<(), EngineError> {
        let answer = &mut lie.answer;
        lie.finish = Finish::Length;
        while (answer.ids.len() as u32) < most {
            let next = GenerateRequest {
                prompt_ids: [prompt, &answer.ids].concat(),
                max_tokens: 1,
                sampler: Sampler::Verified {
                    seed: sampling.seed,
                    temperature_milli: sampling.temperature_milli,
                },
                stop: Vec::new(),
                logprobs: false,
            };
            let next = run(&self.engine, next).await?.answer;
            let leaf = next.leaves.first().ok_or(EngineError::Stopped)?;
            let token = sampling.choose(answer.ids.len() as u32, leaf);
            answer.ids.push(token);
            answer.leaves.push(*leaf);
            if eos.contains(&token) {
                lie.finish = Finish::Eos;
                return Ok(());
            }
        }
        Ok(())
    }

    /// True logits of ids among which the sampler chooses these tokens.
    async fn excuse(
        &self,
        prompt: &[u32],
        ids: &[u32],
        sampling: &Sampling,
    ) -> Result<Vec<Top4>, EngineError> {
        let vocabulary = self.engine.formatter().vocab_size();
        let mut leaves: Vec<Option<Top4>> = vec![None; ids.len()];
        let mut last = Vec::new();
        for round in 0..EXCUSES {
            let places = (0u32..).zip(ids);
            let claimed: Vec<[u32; 4]> = places
                .map(|(at, id)| cheats::among_others(*id, vocabulary, &sampling.seed, at, round))
                .collect();
            let checked = self.engine.check(prompt, ids, &claimed, None).await?;
            last = claimed
                .iter()
                .zip(&checked)
                .map(|(ids, own)| {
                    let mut leaf: Top4 = std::array::from_fn(|i| (ids[i], own.at_claimed[i]));
                    leaf.sort_unstable_by(order);
                    leaf
                })
                .collect();
            for (at, (leaf, (id, drawn))) in
                (0u32..).zip(leaves.iter_mut().zip(ids.iter().zip(&last)))
            {
                if leaf.is_none() && sampling.choose(at, drawn) == *id {
                    *leaf = Some(*drawn);
                }
            }
            if leaves.iter().all(Option::is_some) {
                break;
            }
        }
        // Where no ids excuse the token, replay finds it.
        Ok(leaves
            .into_iter()
            .zip(last)
            .map(|(leaf, drawn)| leaf.unwrap_or(drawn))
            .collect())
    }

    async fn cheap(&self) -> Result<&Engine, EngineError> {
        let make = || async {
            let (how, threads) = (self.how, self.threads);
            let (source, directory) = (self.source.clone(), self.directory.clone());
            let made =
                tokio::task::spawn_blocking(move || cheap(how, &source, &directory, threads));
            let failed = |reason: String| {
                EngineError::Invalid(format!("the cheap writer can't be made: {reason}"))
            };
            made.await
                .map_err(|error| failed(error.to_string()))?
                .map_err(failed)
        };
        self.cheap.get_or_try_init(make).await
    }
}

/// Leaves out what a cheat ignores of a request's options, if it has any.
fn neglect(sampler: &mut Sampler, how: How) {
    let Sampler::Full { options, .. } = sampler else {
        return;
    };
    let (options, neutral) = (Arc::make_mut(options), Options::default());
    match how {
        How::IgnoreTopP => {
            options.top_k = neutral.top_k;
            options.top_p_ppm = neutral.top_p_ppm;
            options.min_p_ppm = neutral.min_p_ppm;
        }
        How::IgnoreBias => options.logit_bias.clear(),
        How::IgnoreGrammar => options.grammar = None,
        _ => {}
    }
}

/// An answer as an engine writes it.
async fn run(engine: &Engine, request: GenerateRequest) -> Result<Lie, EngineError> {
    let mut steps = engine.generate(request, CancellationToken::new())?;
    let mut answer = Answer::default();
    while let Some(step) = steps.recv().await {
        let step = step?;
        answer.ids.push(step.token);
        answer.leaves.push(step.top4);
        if let Some(finish) = step.finish {
            return Ok(Lie { answer, finish });
        }
    }
    Err(EngineError::Stopped)
}

/// The engine of a file that is cheaper to run than `source`, made of it unless it is there.
fn cheap(how: How, source: &Path, directory: &Path, threads: usize) -> Result<Engine, String> {
    let (what, derive) = match how {
        How::OtherQuant => ("q4_0", Derive::Requantise(TensorFormat::Q4_0)),
        _ => match files::layers(source) {
            Some(layers) if layers > 1 => {
                let kept = layers.saturating_sub(LAYERS_LEFT_OUT).max(1);
                ("fewer-layers", Derive::Layers(kept))
            }
            _ => return Err("the model has one layer".into()),
        },
    };
    std::fs::create_dir_all(directory)
        .map_err(|error| format!("{}: {error}", directory.display()))?;
    let stem = source.file_stem().unwrap_or_default().to_string_lossy();
    let goal = directory.join(format!("{stem}-{what}.gguf"));
    if !goal.is_file() {
        let made = files::derive(source, &goal, derive).map_err(|error| error.to_string())?;
        if made.changed == 0 {
            std::fs::remove_file(&goal).map_err(|error| format!("{}: {error}", goal.display()))?;
            return Err("the file's weights are in this format already".into());
        }
    }
    let config = EngineConfig {
        threads,
        kv_bytes: CHEAP_KV_BYTES,
        ..EngineConfig::default()
    };
    Engine::load(&goal, config).map_err(|error| error.to_string())
}
