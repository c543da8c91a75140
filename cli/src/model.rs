//! A GGUF file as the chain knows it.

use crate::progress::Step;
use anyhow::{Context, Result};
use mythic_inference::{
    gguf::Gguf,
    model::{self, Progress, file_sha256},
    prompt::PromptFormatter,
};
use mythic_interface::{
    le::{U16, U32},
    state::{KernelProfile, MODEL_EOS_IDS, ModelSpec},
};
use std::path::{Path, PathBuf};

/// The on-chain description of the file at `path` under profile `cpu-candle`, which has no jury.
pub fn spec(path: &Path) -> Result<ModelSpec> {
    let gguf = Gguf::open(path).with_context(|| format!("reading {}", path.display()))?;
    let formatter = PromptFormatter::from_parsed(&gguf)
        .with_context(|| format!("reading {}", path.display()))?;
    let identity = formatter.identity();
    let mut eos: Vec<u32> = formatter.eos_ids().to_vec();
    eos.sort_unstable();
    eos.dedup();
    anyhow::ensure!(
        eos.len() <= MODEL_EOS_IDS,
        "{} has {} end-of-sequence ids; at most {MODEL_EOS_IDS} fit",
        path.display(),
        eos.len()
    );
    let mut eos_ids = [U32::new(0); MODEL_EOS_IDS];
    for (slot, id) in eos_ids.iter_mut().zip(&eos) {
        *slot = U32::new(*id);
    }
    Ok(ModelSpec {
        weights_hash: file_sha256(path)?,
        tokenizer_hash: identity.tokenizer,
        chat_template_hash: identity.chat_template,
        quantisation: U16::new(
            gguf.int("general.file_type", 0, u16::MAX.into())?
                .unwrap_or_default() as u16,
        ),
        kernel_profile: U16::new(KernelProfile::CpuCandle as u16),
        context_length: U32::new(formatter.context_length()),
        max_job_tokens: U32::new(formatter.context_length()),
        error_ppm: U32::new(0),
        miss_ppm: U32::new(0),
        commit_slots: U16::new(100),
        min_vram_mib: U32::new(0),
        eos_count: eos.len() as u8,
        eos_ids,
    })
}

/// The default model's file: from the cache, or fetched with a progress bar.
pub async fn fetch_with_progress() -> Result<PathBuf> {
    let step = Step::new("Fetching the model");
    let path = model::fetch(|progress| match progress {
        Progress::Trying { source } => step.note(&source),
        Progress::Downloaded { bytes, total } => step.advance(bytes, total),
        Progress::Failed { source, reason } => eprintln!("  {source}: {reason}"),
        Progress::Cached { .. } | Progress::Verified { .. } => {}
    })
    .await?;
    step.done();
    Ok(path)
}
