//! Small random models of any architecture in any weight format: what the engine is tested on where no
//! real model is at hand. The same seed gives the same file.

use std::path::{Path, PathBuf};

use mythic_model::gguf::TensorFormat;
use mythic_model::layout::{Architecture, HeadNorm};
use mythic_model::tokenizer::byte_chars;

use crate::gguf_writer::{self, Item, TensorData};
use crate::quantise::quantise;

/// The weight formats that the engine runs, by the names people use.
pub const FORMATS: [(&str, TensorFormat); 16] = [
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
    ("Q2_K", TensorFormat::Q2K),
    ("Q3_K", TensorFormat::Q3K),
    ("BF16", TensorFormat::BF16),
    ("IQ4_NL", TensorFormat::IQ4NL),
    ("IQ4_XS", TensorFormat::IQ4XS),
    ("MXFP4", TensorFormat::MXFP4),
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
/// More of them, over places where pre-tokenizers cut differently: digits, capitals, apostrophes, signs
/// before line ends, letters that aren't ASCII.
const MORE_MERGES: [(&str, &str); 14] = [
    ("1", "2"),
    ("12", "3"),
    ("123", "4"),
    ("Ġ", "1"),
    ("A", "b"),
    ("b", "C"),
    ("T", "H"),
    ("'", "s"),
    ("t", "'s"),
    (".", "Ċ"),
    ("!", "/"),
    ("Ã", "©"),
    ("a", "Ã©"),
    ("Ġ", "Ċ"),
];
const CONTROL: [&str; 3] = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];

/// Words of the SentencePiece vocabulary, the likelier first.
const PIECES: [&str; 24] = [
    "▁", "e", "t", "a", "o", "n", "i", "s", "h", "r", "▁t", "he", "▁the", "in", "er", "▁a", "on",
    "▁▁", "nd", "▁and", "1", "2", "12", "é",
];

/// Positions that a layer with a window sees.
const WINDOW: u32 = 24;

/// Why a model could not be written.
#[derive(Debug, thiserror::Error)]
pub enum RandomModelError {
    #[error("cannot quantise to {format}: {source}")]
    Quantise {
        format: TensorFormat,
        source: candle_core::Error,
    },
    #[error("cannot write {path}: {source}")]
    Write {
        path: PathBuf,
        source: std::io::Error,
    },
}

/// What to make. Every matrix has the same format; norms, biases and the like are f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RandomModel {
    pub architecture: Architecture,
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
    /// Experts of a layer, and how many of them a row goes to.
    pub experts: Option<(usize, usize)>,
    /// YaRN's factor, over an original context of 64.
    pub yarn: Option<u32>,
    /// Another pre-tokenizer than its architecture's.
    pub pre: Option<&'static str>,
}

/// A model of each architecture that the engine runs, and of variants that one architecture has: by name,
/// with f32 weights, so that only keys and values are rounded.
pub fn architectures(seed: u64) -> Vec<(&'static str, RandomModel)> {
    let of = |architecture| RandomModel::of(architecture, TensorFormat::F32, seed);
    let mut models: Vec<(&'static str, RandomModel)> =
        Architecture::ALL.map(|a| (a.name(), of(a))).into();
    let llama = of(Architecture::Llama);
    models.push((
        "mixtral",
        RandomModel {
            experts: Some((4, 2)),
            ..llama
        },
    ));
    models.push((
        "mistral-nemo",
        RandomModel {
            pre: Some("tekken"),
            yarn: Some(4),
            ..llama
        },
    ));
    models
}

impl RandomModel {
    /// Two layers of 256 values, 4 heads over 2 key-value heads: about 1.6 million weights.
    pub fn new(format: TensorFormat, seed: u64) -> Self {
        Self {
            architecture: Architecture::Llama,
            format,
            seed,
            layers: 2,
            embedding: 256,
            feed_forward: 512,
            heads: 4,
            kv_heads: 2,
            context: 1_024,
            tied: false,
            experts: None,
            yarn: None,
            pre: None,
        }
    }

    /// The same of an architecture, with as many layers as it takes to see all that it does.
    pub fn of(architecture: Architecture, format: TensorFormat, seed: u64) -> Self {
        let plain = Self::new(format, seed);
        Self {
            architecture,
            layers: match architecture {
                Architecture::Gemma3 => 6,
                Architecture::SmolLm3 | Architecture::Olmo2 => 4,
                _ => 2,
            },
            experts: match architecture {
                Architecture::Qwen3Moe => Some((6, 3)),
                Architecture::GptOss => Some((4, 2)),
                _ => None,
            },
            yarn: (architecture == Architecture::GptOss).then_some(32),
            tied: matches!(
                architecture,
                Architecture::SmolLm3 | Architecture::Granite | Architecture::Gemma3
            ),
            ..plain
        }
    }

    /// Values of a head; of some architectures the heads together are no embedding wide.
    fn head_dim(&self) -> usize {
        match self.architecture {
            Architecture::Qwen3 | Architecture::Qwen3Moe | Architecture::Gemma3 => 32,
            Architecture::GptOss => 96,
            _ => self.embedding / self.heads,
        }
    }

    /// Of a layer, or of one expert.
    fn inner(&self) -> usize {
        match (self.experts, self.architecture) {
            (Some(_), Architecture::Qwen3Moe | Architecture::GptOss) => self.feed_forward / 4,
            _ => self.feed_forward,
        }
    }

    /// Writes the model as a GGUF file.
    pub fn write(&self, path: &Path) -> Result<(), RandomModelError> {
        let (words, vocabulary) = self.vocabulary();
        let tensors = self.tensors(vocabulary)?;
        let metadata: Vec<(String, Item)> =
            self.sizes(vocabulary).into_iter().chain(words).collect();
        gguf_writer::write(path, &metadata, &tensors).map_err(|source| RandomModelError::Write {
            path: path.to_owned(),
            source,
        })
    }

    fn tensors(&self, vocabulary: usize) -> Result<Vec<TensorData>, RandomModelError> {
        let mut out = Tensors {
            random: Random(self.seed),
            format: self.format,
            all: Vec::new(),
        };
        out.matrix(
            "token_embd.weight".into(),
            &[self.embedding, vocabulary],
            4.0,
        )?;
        if !self.tied {
            // Logits that spread, so that probabilities differ.
            out.matrix("output.weight".into(), &[self.embedding, vocabulary], 2.0)?;
        }
        for layer in 0..self.layers {
            for (part, dims) in self.matrices() {
                out.matrix(format!("blk.{layer}.{part}.weight"), &dims, 1.0)?;
            }
        }
        for layer in 0..self.layers {
            for (part, dims, middle) in self.vectors() {
                out.vector(format!("blk.{layer}.{part}"), &dims, middle)?;
            }
        }
        if self.architecture == Architecture::Phi3 {
            for name in ["rope_factors_long.weight", "rope_factors_short.weight"] {
                out.vector(name.into(), &[self.head_dim() / 2], 2.0)?;
            }
        }
        out.vector("output_norm.weight".into(), &[self.embedding], 1.0)?;
        Ok(out.all)
    }

    /// The matrices of a layer, and their extents.
    fn matrices(&self) -> Vec<(&'static str, Vec<usize>)> {
        let (e, f) = (self.embedding, self.inner());
        let (q, kv) = (
            self.heads * self.head_dim(),
            self.kv_heads * self.head_dim(),
        );
        let mut parts = match self.architecture {
            Architecture::Phi3 => vec![("attn_qkv", vec![e, q + 2 * kv])],
            _ => vec![
                ("attn_q", vec![e, q]),
                ("attn_k", vec![e, kv]),
                ("attn_v", vec![e, kv]),
            ],
        };
        parts.push(("attn_output", vec![q, e]));
        match (self.experts, self.architecture) {
            (Some((count, _)), _) => parts.extend([
                ("ffn_gate_exps", vec![e, f, count]),
                ("ffn_up_exps", vec![e, f, count]),
                ("ffn_down_exps", vec![f, e, count]),
            ]),
            (None, Architecture::Phi3) => {
                parts.extend([("ffn_up", vec![e, 2 * f]), ("ffn_down", vec![f, e])]);
            }
            (None, _) => parts.extend([
                ("ffn_gate", vec![e, f]),
                ("ffn_up", vec![e, f]),
                ("ffn_down", vec![f, e]),
            ]),
        }
        parts
    }

    /// What else a layer has, its extents, and what its values lie around.
    fn vectors(&self) -> Vec<(&'static str, Vec<usize>, f32)> {
        let (e, f) = (self.embedding, self.inner());
        let (q, kv) = (
            self.heads * self.head_dim(),
            self.kv_heads * self.head_dim(),
        );
        let norms = self.architecture.norms();
        let mut parts: Vec<_> = norms.all().map(|name| (name, vec![e], 1.0)).collect();
        let widths = match self.architecture.head_norm() {
            HeadNorm::None => None,
            HeadNorm::Each => Some([self.head_dim(); 2]),
            HeadNorm::Whole => Some([q, kv]),
        };
        if let Some([q, k]) = widths {
            parts.push(("attn_q_norm.weight", vec![q], 1.0));
            parts.push(("attn_k_norm.weight", vec![k], 1.0));
        }
        if matches!(
            self.architecture,
            Architecture::Qwen2 | Architecture::GptOss
        ) {
            parts.push(("attn_q.bias", vec![q], 0.0));
            parts.push(("attn_k.bias", vec![kv], 0.0));
            parts.push(("attn_v.bias", vec![kv], 0.0));
        }
        if let Some((count, _)) = self.experts {
            parts.push(("ffn_gate_inp.weight", vec![e, count], 0.0));
        }
        if let (Architecture::GptOss, Some((count, _))) = (self.architecture, self.experts) {
            parts.push(("attn_output.bias", vec![e], 0.0));
            parts.push(("attn_sinks.weight", vec![self.heads], 1.0));
            parts.push(("ffn_gate_inp.bias", vec![count], 0.0));
            parts.push(("ffn_gate_exps.bias", vec![f, count], 0.0));
            parts.push(("ffn_up_exps.bias", vec![f, count], 0.0));
            parts.push(("ffn_down_exps.bias", vec![e, count], 0.0));
        }
        parts
    }

    /// The keys of the architecture.
    fn sizes(&self, vocabulary: usize) -> Vec<(String, Item)> {
        let text = |s: &str| Item::Text(s.to_owned());
        let int = |n: usize| Item::U32(n as u32);
        let of = self.architecture;
        let base = match of {
            Architecture::Gemma3 => 1e6,
            Architecture::GptOss => 150_000.0,
            _ => 10_000.0,
        };
        let mut keys = vec![
            ("block_count", int(self.layers)),
            ("context_length", Item::U32(self.context)),
            ("embedding_length", int(self.embedding)),
            ("feed_forward_length", int(self.feed_forward)),
            ("attention.head_count", int(self.heads)),
            ("attention.head_count_kv", int(self.kv_heads)),
            ("attention.layer_norm_rms_epsilon", Item::F32(1e-5)),
            ("rope.dimension_count", int(self.head_dim())),
            ("rope.freq_base", Item::F32(base)),
            ("vocab_size", int(vocabulary)),
        ];
        if self.head_dim() * self.heads != self.embedding {
            keys.push(("attention.key_length", int(self.head_dim())));
            keys.push(("attention.value_length", int(self.head_dim())));
        }
        if let Some((count, used)) = self.experts {
            keys.push(("expert_count", int(count)));
            keys.push(("expert_used_count", int(used)));
            if of != Architecture::Llama {
                keys.push(("expert_feed_forward_length", int(self.inner())));
            }
        }
        if let Some(factor) = self.yarn {
            keys.push(("rope.scaling.type", text("yarn")));
            keys.push(("rope.scaling.factor", Item::F32(factor as f32)));
            keys.push(("rope.scaling.original_context_length", int(64)));
        }
        match of {
            Architecture::Granite => keys.extend([
                ("attention.scale", Item::F32(0.05)),
                ("embedding_scale", Item::F32(3.0)),
                ("residual_scale", Item::F32(0.5)),
                ("logit_scale", Item::F32(2.0)),
            ]),
            Architecture::Gemma3 => keys.extend([
                ("attention.sliding_window", Item::U32(WINDOW)),
                ("rope.scaling.type", text("linear")),
                ("rope.scaling.factor", Item::F32(8.0)),
            ]),
            Architecture::Olmo2 | Architecture::GptOss => {
                keys.push(("attention.sliding_window", Item::U32(WINDOW)));
            }
            Architecture::Phi3 => keys.extend([
                ("rope.scaling.original_context_length", int(64)),
                ("rope.scaling.attn_factor", Item::F32(1.2)),
            ]),
            _ => {}
        }
        let general = [
            ("general.architecture".to_owned(), text(of.name())),
            ("general.name".to_owned(), text("random")),
        ];
        let prefixed = keys
            .into_iter()
            .map(|(key, item)| (format!("{}.{key}", of.name()), item));
        general.into_iter().chain(prefixed).collect()
    }

    /// The keys of the tokenizer, and how many tokens it has.
    fn vocabulary(&self) -> (Vec<(String, Item)>, usize) {
        let pre = match self.architecture {
            Architecture::Llama => "smollm",
            Architecture::Qwen2 | Architecture::Qwen3 | Architecture::Qwen3Moe => "qwen2",
            Architecture::SmolLm3 => "llama-bpe",
            Architecture::Granite => "refact",
            Architecture::Olmo2 => "dbrx",
            Architecture::GptOss => "gpt-4o",
            Architecture::Gemma3 | Architecture::Phi3 => return sentence_pieces(),
        };
        let plain = self.architecture == Architecture::Llama && self.pre.is_none();
        let more = if plain { &[][..] } else { &MORE_MERGES[..] };
        byte_pairs(self.pre.unwrap_or(pre), more)
    }
}

fn keyed<const N: usize>(items: [(&str, Item); N]) -> Vec<(String, Item)> {
    items
        .map(|(key, item)| (format!("tokenizer.ggml.{key}"), item))
        .into()
}

/// Byte-level BPE.
fn byte_pairs(pre: &str, more: &[(&str, &str)]) -> (Vec<(String, Item)>, usize) {
    let merges = || MERGES.iter().chain(more);
    let tokens: Vec<String> = byte_chars()
        .into_iter()
        .map(String::from)
        .chain(merges().map(|(a, b)| format!("{a}{b}")))
        .chain(CONTROL.map(str::to_owned))
        .collect();
    let count = tokens.len();
    let control = count - CONTROL.len();
    let kinds = (0..count).map(|id| if id < control { 1 } else { 3 });
    let keys = keyed([
        ("model", Item::Text("gpt2".to_owned())),
        ("pre", Item::Text(pre.to_owned())),
        ("tokens", Item::Texts(tokens)),
        ("token_type", Item::I32s(kinds.collect())),
        (
            "merges",
            Item::Texts(merges().map(|(a, b)| format!("{a} {b}")).collect()),
        ),
        ("bos_token_id", Item::U32(control as u32)),
        ("eos_token_id", Item::U32(control as u32 + 2)),
        ("add_bos_token", Item::Bool(false)),
    ]);
    (keys, count)
}

/// SentencePiece with a token for each byte.
fn sentence_pieces() -> (Vec<(String, Item)>, usize) {
    let mut tokens: Vec<(String, f32, i32)> = vec![
        ("<unk>".into(), 0.0, 2),
        ("<s>".into(), 0.0, 3),
        ("</s>".into(), 0.0, 3),
        ("<end_of_turn>".into(), 0.0, 3),
    ];
    tokens.extend((0..=255u8).map(|byte| (format!("<0x{byte:02X}>"), 0.0, 6)));
    let pieces = PIECES.iter().zip(1i16..);
    tokens.extend(pieces.map(|(piece, rank)| ((*piece).to_owned(), -f32::from(rank), 1)));
    let count = tokens.len();
    let keys = keyed([
        ("model", Item::Text("llama".to_owned())),
        ("pre", Item::Text("default".to_owned())),
        (
            "tokens",
            Item::Texts(tokens.iter().map(|(text, ..)| text.clone()).collect()),
        ),
        (
            "scores",
            Item::F32s(tokens.iter().map(|(_, score, _)| *score).collect()),
        ),
        (
            "token_type",
            Item::I32s(tokens.iter().map(|(.., kind)| *kind).collect()),
        ),
        ("bos_token_id", Item::U32(1)),
        ("eos_token_id", Item::U32(2)),
        ("unknown_token_id", Item::U32(0)),
        ("add_bos_token", Item::Bool(true)),
        ("add_space_prefix", Item::Bool(false)),
    ]);
    (keys, count)
}

/// Tensors of one format, made one after another.
struct Tensors {
    random: Random,
    format: TensorFormat,
    all: Vec<TensorData>,
}

impl Tensors {
    /// Values of about `size` over the root of the inputs.
    fn matrix(&mut self, name: String, dims: &[usize], size: f32) -> Result<(), RandomModelError> {
        let scale = size / (dims[0] as f32).sqrt();
        let count: usize = dims.iter().product();
        let values = (0..count).map(|_| self.random.next() * scale).collect();
        self.add(name, dims, values, self.format)
    }

    /// Values around one, in f32.
    fn vector(
        &mut self,
        name: String,
        dims: &[usize],
        middle: f32,
    ) -> Result<(), RandomModelError> {
        let count: usize = dims.iter().product();
        let values = (0..count)
            .map(|_| middle + 0.2 * self.random.next())
            .collect();
        self.add(name, dims, values, TensorFormat::F32)
    }

    fn add(
        &mut self,
        name: String,
        dims: &[usize],
        values: Vec<f32>,
        format: TensorFormat,
    ) -> Result<(), RandomModelError> {
        let bytes = quantise(values, format)
            .map_err(|source| RandomModelError::Quantise { format, source })?;
        self.all.push(TensorData {
            name,
            dims: dims.to_vec(),
            format,
            bytes,
        });
        Ok(())
    }
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
