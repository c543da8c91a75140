//! A GGUF file as the chain knows it.

use crate::progress::Step;
use anyhow::{Context, Result};
use mythic_engine::kernels;
use mythic_interface::{
    le::{U16, U32},
    state::{MODEL_EOS_IDS, MODEL_NAME_LEN, ModelSpec},
};
use mythic_model::catalogue::{self as model, Progress, file_sha256};
use mythic_model::gguf::Gguf;
use mythic_model::prompt::PromptFormatter;
use std::path::{Path, PathBuf};

/// The on-chain description of the file at `path` under the arithmetic that this build computes with.
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
        kernel_profile: U16::new(kernels::PROFILE),
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

/// A name for the file at `path`, from its metadata or else from the file's own name, in the characters of a model id.
pub fn name(path: &Path) -> Result<String> {
    let gguf = Gguf::open(path).with_context(|| format!("reading {}", path.display()))?;
    let stem = path.file_stem().and_then(|stem| stem.to_str());
    let name = gguf.text("general.name")?.or(stem).map(slug);
    name.filter(|name| !name.is_empty())
        .with_context(|| format!("{} names no model: pass --name", path.display()))
}

fn slug(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c.to_ascii_lowercase() {
            c @ ('a'..='z' | '0'..='9' | '.' | '_') => out.push(c),
            _ if out.ends_with('-') || out.is_empty() => {}
            _ => out.push('-'),
        }
    }
    out.truncate(MODEL_NAME_LEN);
    out.trim_end_matches('-').to_owned()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_name_becomes_a_model_name() {
        assert_eq!(slug("SmolLM2 135M  Instruct"), "smollm2-135m-instruct");
        assert_eq!(slug("(Qwen) 2.5 — Coder"), "qwen-2.5-coder");
        assert_eq!(slug("日本"), "");
        assert!(slug(&"long name ".repeat(9)).len() <= MODEL_NAME_LEN);
    }
}
