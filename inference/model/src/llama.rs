//! The llama architecture (Llama, Mistral, SmolLM2) as a file describes it: sizes, rotary embedding, and
//! the tensors that must be there. The engine loads what this finds, and nothing else.

use std::collections::BTreeSet;

use crate::gguf::{Gguf, GgufError, Value};

/// Sizes of a model, in values or pieces.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    pub layers: usize,
    pub vocabulary: usize,
    pub embedding: usize,
    pub feed_forward: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    pub epsilon: f32,
}

/// How positions are written into queries and keys.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// Values of each head that are rotated, an even number.
    pub rotated: usize,
    pub base: f64,
    /// Positions are divided by it.
    pub linear: f64,
    /// The tensor of a factor for each pair, where the file has one (Llama 3).
    pub factors: Option<&'static str>,
}

/// What is in a file that the engine runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    pub shape: Shape,
    pub rope: Rope,
    /// The tensor that makes logits: the embedding, where there is no other.
    pub output: &'static str,
}

/// The tensor of the embeddings.
pub const EMBEDDING: &str = "token_embd.weight";
/// The tensor of the last norm.
pub const OUTPUT_NORM: &str = "output_norm.weight";
const OUTPUT: &str = "output.weight";
const ROPE_FACTORS: &str = "rope_freqs.weight";

fn unsupported(what: impl Into<String>) -> GgufError {
    GgufError::Unsupported(what.into())
}

/// The name of a layer's tensor, `attn_q` for instance.
pub fn tensor(layer: usize, part: &str) -> String {
    format!("blk.{layer}.{part}.weight")
}

impl Layout {
    /// Reads and checks a file's head: each number by itself, the shape of every tensor, and that there
    /// is none that the engine would leave out.
    pub fn read(gguf: &Gguf, vocabulary: usize) -> Result<Self, GgufError> {
        let architecture = gguf.architecture()?;
        if architecture != "llama" {
            return Err(unsupported(format!(
                "architecture `{architecture}` is not supported; supported is llama"
            )));
        }
        if gguf.int("llama.expert_count", 0, u32::MAX)?.unwrap_or(0) > 0 {
            return Err(unsupported("mixtures of experts are not supported"));
        }
        let shape = shape(gguf, vocabulary)?;
        let layout = Self {
            rope: rope(gguf, &shape)?,
            output: match gguf.tensor(OUTPUT) {
                Some(_) => OUTPUT,
                None => EMBEDDING,
            },
            shape,
        };
        let mut known = BTreeSet::new();
        for (name, dims) in layout.tensors() {
            gguf.mapped(&name, &dims)?;
            known.insert(name);
        }
        match gguf.tensor_names().find(|name| !known.contains(*name)) {
            None => Ok(layout),
            Some(name) => Err(unsupported(format!(
                "the model has a tensor `{name}` that this engine does not know, so its output would be wrong"
            ))),
        }
    }

    /// Names and extents (fastest first) of all tensors.
    fn tensors(&self) -> impl Iterator<Item = (String, Vec<usize>)> {
        let s = &self.shape;
        let (e, f, q, kv) = (
            s.embedding,
            s.feed_forward,
            s.heads * s.head_dim,
            s.kv_heads * s.head_dim,
        );
        let parts = [
            ("attn_q", vec![e, q]),
            ("attn_k", vec![e, kv]),
            ("attn_v", vec![e, kv]),
            ("attn_output", vec![q, e]),
            ("ffn_gate", vec![e, f]),
            ("ffn_up", vec![e, f]),
            ("ffn_down", vec![f, e]),
            ("attn_norm", vec![e]),
            ("ffn_norm", vec![e]),
        ];
        let factors = self
            .rope
            .factors
            .map(|name| (name, vec![self.rope.rotated / 2]));
        let ends = [
            (self.output, vec![e, s.vocabulary]),
            (EMBEDDING, vec![e, s.vocabulary]),
            (OUTPUT_NORM, vec![e]),
        ];
        (0..s.layers)
            .flat_map(move |layer| {
                parts
                    .clone()
                    .map(|(part, dims)| (tensor(layer, part), dims))
            })
            .chain(
                factors
                    .into_iter()
                    .chain(ends)
                    .map(|(name, dims)| (name.to_owned(), dims)),
            )
    }
}

fn shape(gguf: &Gguf, vocabulary: usize) -> Result<Shape, GgufError> {
    let count = |key: &str, max: u32| {
        gguf.require_int(&format!("llama.{key}"), 1, max)
            .map(|n| n as usize)
    };
    let embedding = count("embedding_length", 1 << 17)?;
    let heads = count("attention.head_count", 1 << 12)?;
    let kv_heads = match gguf.int("llama.attention.head_count_kv", 1, 1 << 12)? {
        Some(n) => n as usize,
        None => heads,
    };
    let default_dim = embedding / heads;
    let dim = |key: &str| -> Result<usize, GgufError> {
        Ok(gguf
            .int(&format!("llama.attention.{key}"), 2, 1 << 12)?
            .map_or(default_dim, |n| n as usize))
    };
    let head_dim = dim("key_length")?;
    if dim("value_length")? != head_dim {
        return Err(unsupported(
            "keys and values of different length are not supported",
        ));
    }
    if !heads.is_multiple_of(kv_heads) || head_dim < 2 || !head_dim.is_multiple_of(2) {
        return Err(unsupported(format!(
            "{heads} heads of {head_dim} values over {kv_heads} key-value heads are no model's shape"
        )));
    }
    let epsilon = gguf
        .float("llama.attention.layer_norm_rms_epsilon")?
        .unwrap_or(1e-5);
    Ok(Shape {
        layers: count("block_count", 1 << 10)?,
        vocabulary,
        embedding,
        feed_forward: count("feed_forward_length", 1 << 20)?,
        heads,
        kv_heads,
        head_dim,
        epsilon: epsilon as f32,
    })
}

/// Without scaling, with linear scaling, or with the file's own factors.
fn rope(gguf: &Gguf, shape: &Shape) -> Result<Rope, GgufError> {
    let rotated = gguf
        .int("llama.rope.dimension_count", 2, 1 << 12)?
        .map_or(shape.head_dim, |n| n as usize);
    if rotated > shape.head_dim || !rotated.is_multiple_of(2) {
        return Err(unsupported(format!(
            "rotating {rotated} of {} values is not possible",
            shape.head_dim
        )));
    }
    let base = gguf.float("llama.rope.freq_base")?.unwrap_or(10_000.0);
    if base <= 0.0 {
        return Err(GgufError::OutOfRange {
            key: "llama.rope.freq_base".into(),
            value: base.to_string(),
            allowed: "above 0".into(),
        });
    }
    let factor = gguf.float("llama.rope.scaling.factor")?.unwrap_or(1.0);
    let linear = match gguf.get("llama.rope.scaling.type") {
        None => 1.0,
        Some(Value::Text(kind)) if kind == "none" => 1.0,
        Some(Value::Text(kind)) if kind == "linear" && factor > 0.0 => factor,
        Some(other) => {
            return Err(unsupported(format!(
                "rope scaling {other:?} by {factor} is not supported; supported are none and linear by a positive factor"
            )));
        }
    };
    Ok(Rope {
        rotated,
        base,
        linear,
        factors: gguf.tensor(ROPE_FACTORS).map(|_| ROPE_FACTORS),
    })
}
