//! Small random models of the llama architecture in any weight format: what the engine is tested
//! on where no real model has the format. The same seed gives the same file.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use candle_core::quantized::QTensor;
use candle_core::quantized::gguf_file::{self, Value};
use candle_core::{Device, Tensor};

use mythic_model::gguf::TensorFormat;
use mythic_model::tokenizer::byte_chars;

use crate::dtype;

/// The weight formats that the engine runs, by the names people use.
pub const FORMATS: [(&str, TensorFormat); 10] = [
    ("Q4_0", TensorFormat::Q4_0),
    ("Q4_1", TensorFormat::Q4_1),
    ("Q5_0", TensorFormat::Q5_0),
    ("Q5_1", TensorFormat::Q5_1),
    ("Q8_0", TensorFormat::Q8_0),
    ("Q4_K", TensorFormat::Q4K),
    ("Q5_K", TensorFormat::Q5K),
    ("Q6_K", TensorFormat::Q6K),
    ("F16", TensorFormat::F16),
    ("F32", TensorFormat::F32),
];

/// Pairs that the tokenizer merges, in order; each makes a token. With 256 bytes and the control
/// tokens the vocabulary has 279 of them, which no group of 8 outputs divides.
const MERGES: [(&str, &str); 20] = [
    ("Ġ", "t"),
    ("h", "e"),
    ("Ġ", "a"),
    ("i", "n"),
    ("Ġt", "he"),
    ("r", "e"),
    ("o", "n"),
    ("Ġ", "s"),
    ("e", "r"),
    ("Ġ", "w"),
    ("n", "d"),
    ("o", "u"),
    ("in", "g"),
    ("Ġa", "nd"),
    ("a", "t"),
    ("l", "l"),
    ("Ġ", "Ġ"),
    ("ĠĠ", "ĠĠ"),
    ("Ċ", "Ċ"),
    ("ou", "r"),
];
const CONTROL: [&str; 3] = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];

/// Why a model could not be written.
#[derive(Debug, thiserror::Error)]
pub enum RandomModelError {
    #[error("cannot quantise to {format}: {source}")]
    Quantise {
        format: TensorFormat,
        source: candle_core::Error,
    },
    #[error("cannot write {path}: {reason}")]
    Write { path: PathBuf, reason: String },
}

/// What to make. Every matrix has the same format; norms are f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RandomModel {
    pub format: TensorFormat,
    pub seed: u64,
    pub layers: usize,
    /// Multiples of 256, as K-quants want them.
    pub embedding: usize,
    pub feed_forward: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub context: u32,
    /// Whether the embedding is the output matrix too.
    pub tied: bool,
}

impl RandomModel {
    /// Two layers of 256 values, 4 heads over 2 key-value heads: about 1.6 million weights.
    pub fn new(format: TensorFormat, seed: u64) -> Self {
        Self {
            format,
            seed,
            layers: 2,
            embedding: 256,
            feed_forward: 512,
            heads: 4,
            kv_heads: 2,
            context: 1_024,
            tied: false,
        }
    }

    /// Writes the model as a GGUF file.
    pub fn write(&self, path: &Path) -> Result<(), RandomModelError> {
        let tokens = vocabulary();
        let tensors = self.tensors(tokens.len())?;
        let metadata = self.metadata(tokens);
        let failed = |reason: String| RandomModelError::Write {
            path: path.to_owned(),
            reason,
        };
        let mut file = BufWriter::new(File::create(path).map_err(|e| failed(e.to_string()))?);
        let metadata: Vec<(&str, &Value)> = metadata.iter().map(|(k, v)| (*k, v)).collect();
        let tensors: Vec<(&str, &QTensor)> = tensors.iter().map(|(k, t)| (k.as_str(), t)).collect();
        gguf_file::write(&mut file, &metadata, &tensors).map_err(|e| failed(e.to_string()))?;
        file.flush().map_err(|e| failed(e.to_string()))
    }

    fn tensors(&self, vocabulary: usize) -> Result<Vec<(String, QTensor)>, RandomModelError> {
        let (e, f) = (self.embedding, self.feed_forward);
        let kv = e / self.heads * self.kv_heads;
        let mut random = Random(self.seed);
        let mut out = Vec::new();
        let mut matrix = |name: String, rows: usize, cols: usize, size: f32| {
            let scale = size / (cols as f32).sqrt();
            let values = (0..rows * cols).map(|_| random.next() * scale).collect();
            out.push((name, tensor(values, &[rows, cols], self.format)?));
            Ok(())
        };
        matrix("token_embd.weight".into(), vocabulary, e, 4.0)?;
        if !self.tied {
            // Logits that spread, so that probabilities differ.
            matrix("output.weight".into(), vocabulary, e, 2.0)?;
        }
        for layer in 0..self.layers {
            let mut part = |part: &str, rows, cols| {
                matrix(format!("blk.{layer}.{part}.weight"), rows, cols, 1.0)
            };
            part("attn_q", e, e)?;
            part("attn_k", kv, e)?;
            part("attn_v", kv, e)?;
            part("attn_output", e, e)?;
            part("ffn_gate", f, e)?;
            part("ffn_up", f, e)?;
            part("ffn_down", e, f)?;
        }
        let mut norm = |name: String| {
            let values = (0..e).map(|_| 1.0 + 0.2 * random.next()).collect();
            out.push((name, tensor(values, &[e], TensorFormat::F32)?));
            Ok(())
        };
        for layer in 0..self.layers {
            norm(format!("blk.{layer}.attn_norm.weight"))?;
            norm(format!("blk.{layer}.ffn_norm.weight"))?;
        }
        norm("output_norm.weight".into())?;
        Ok(out)
    }

    fn metadata(&self, tokens: Vec<String>) -> Vec<(&'static str, Value)> {
        let int = |n: usize| Value::U32(n as u32);
        let text = |s: &str| Value::String(s.to_owned());
        let head = self.embedding / self.heads;
        let control = tokens.len() - CONTROL.len();
        let kinds = (0..tokens.len())
            .map(|id| Value::I32(if id < control { 1 } else { 3 }))
            .collect();
        let merges = MERGES.map(|(a, b)| Value::String(format!("{a} {b}")));
        vec![
            ("general.architecture", text("llama")),
            ("general.name", text("random")),
            ("llama.block_count", int(self.layers)),
            ("llama.context_length", Value::U32(self.context)),
            ("llama.embedding_length", int(self.embedding)),
            ("llama.feed_forward_length", int(self.feed_forward)),
            ("llama.attention.head_count", int(self.heads)),
            ("llama.attention.head_count_kv", int(self.kv_heads)),
            ("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-5)),
            ("llama.rope.dimension_count", int(head)),
            ("llama.rope.freq_base", Value::F32(10_000.0)),
            ("llama.vocab_size", int(tokens.len())),
            ("tokenizer.ggml.model", text("gpt2")),
            ("tokenizer.ggml.pre", text("smollm")),
            (
                "tokenizer.ggml.tokens",
                Value::Array(tokens.into_iter().map(Value::String).collect()),
            ),
            ("tokenizer.ggml.token_type", Value::Array(kinds)),
            ("tokenizer.ggml.merges", Value::Array(merges.into())),
            ("tokenizer.ggml.bos_token_id", int(control)),
            ("tokenizer.ggml.eos_token_id", int(control + 2)),
            ("tokenizer.ggml.add_bos_token", Value::Bool(false)),
        ]
    }
}

fn vocabulary() -> Vec<String> {
    byte_chars()
        .into_iter()
        .map(String::from)
        .chain(MERGES.iter().map(|(a, b)| format!("{a}{b}")))
        .chain(CONTROL.map(str::to_owned))
        .collect()
}

fn tensor(
    values: Vec<f32>,
    shape: &[usize],
    format: TensorFormat,
) -> Result<QTensor, RandomModelError> {
    Tensor::from_vec(values, shape, &Device::Cpu)
        .and_then(|t| QTensor::quantize(&t, dtype(format)))
        .map_err(|source| RandomModelError::Quantise { format, source })
}

/// SplitMix64, summed to a bell without the system's mathematics: the same on every machine.
struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        // 24 bits, which an f32 holds exactly.
        (z >> 40) as f32 / 16_777_216.0
    }

    /// About normal: mean 0, variance 1.
    fn next(&mut self) -> f32 {
        let sum: f32 = (0..12).map(|_| self.uniform()).sum();
        sum - 6.0
    }
}
