//! Runs answers and checks on engines.

use mythic_interface::sampler::{Sampling, order, round_q16};
use tokio_util::sync::CancellationToken;

use super::cheats::{Answer, Values};
use super::llama_cpp;
use mythic_engine::{Checked, Engine, EngineConfig, EngineError, GenerateRequest, Sampler};

/// Jobs that run side by side: decoding a batch reads the weights once.
pub const WIDTH: usize = 8;

/// Settings of an engine in the laboratory.
pub fn config(threads: usize) -> EngineConfig {
    EngineConfig {
        threads,
        max_sequences: WIDTH,
        max_queued: WIDTH,
        chunk: 128,
        ..EngineConfig::default()
    }
}

/// An answer, and the log-sum-exp of each position.
pub async fn write(
    engine: &Engine,
    prompt_ids: &[u32],
    sampling: Sampling,
    max_tokens: u32,
) -> Result<(Answer, Vec<f32>), EngineError> {
    let request = GenerateRequest {
        prompt_ids: prompt_ids.to_vec(),
        max_tokens,
        sampler: Sampler::Verified {
            seed: sampling.seed,
            temperature_milli: sampling.temperature_milli,
        },
        stop: Vec::new(),
        logprobs: true,
    };
    let mut steps = engine.generate(request, CancellationToken::new())?;
    let mut answer = Answer::default();
    let mut sums = Vec::new();
    while let Some(step) = steps.recv().await {
        let step = step?;
        answer.ids.push(step.token);
        answer.leaves.push(step.top4);
        sums.extend(step.log_sum_exp);
    }
    Ok((answer, sums))
}

/// What the checker finds for an answer, from one pass over prompt and answer.
pub async fn check(
    engine: &Engine,
    prompt_ids: &[u32],
    answer: &Answer,
) -> Result<Values, EngineError> {
    let claimed: Vec<[u32; 4]> = answer
        .leaves
        .iter()
        .map(|leaf| leaf.map(|(id, _)| id))
        .collect();
    let checked = engine
        .check(prompt_ids, &answer.ids, &claimed, None)
        .await?;
    Ok(values(&checked))
}

fn values(checked: &[Checked]) -> Values {
    Values {
        own: checked.iter().map(|c| c.own).collect(),
        at_claimed: checked.iter().map(|c| c.at_claimed).collect(),
        log_sum_exp_bits: checked.iter().map(|c| c.log_sum_exp.to_bits()).collect(),
    }
}

/// llama.cpp's answer with its log-probabilities as logits: ours of the same position have the
/// log-sum-exp to add. Positions where it lists fewer than four tokens end the answer.
pub async fn adopt(
    engine: &Engine,
    prompt_ids: &[u32],
    foreign: &llama_cpp::ForeignAnswer,
) -> Result<(Answer, Values), EngineError> {
    let mut answer = Answer::default();
    let mut logprobs = Vec::new();
    for (id, top) in foreign.ids.iter().zip(&foreign.top) {
        let Some(four) = top.first_chunk::<4>() else {
            break;
        };
        answer.ids.push(*id);
        answer.leaves.push(four.map(|(id, _)| (id, 0)));
        logprobs.push(four.map(|(_, logprob)| logprob));
    }
    let mut values = check(engine, prompt_ids, &answer).await?;
    let own = values.at_claimed.iter_mut().zip(&values.log_sum_exp_bits);
    for ((leaf, logprobs), (at_claimed, bits)) in answer.leaves.iter_mut().zip(logprobs).zip(own) {
        let sum = f64::from(f32::from_bits(*bits));
        let mut entries = [((0, 0), 0); 4];
        for (i, entry) in entries.iter_mut().enumerate() {
            // An infinite or missing log-probability saturates.
            let logit = round_q16((logprobs[i] + sum) as f32).unwrap_or(i32::MIN);
            *entry = ((leaf[i].0, logit), at_claimed[i]);
        }
        entries.sort_unstable_by(|a, b| order(&a.0, &b.0));
        *leaf = entries.map(|(entry, _)| entry);
        *at_claimed = entries.map(|(_, own)| own);
    }
    Ok((answer, values))
}
