//! A decoder as a file describes it: sizes, rotary embedding, what its architecture does differently, and
//! the tensors that must be there. The engine loads what this finds, and nothing else.
//!
//! - [`Architecture`]: the architectures that the engine runs
//! - [`Layout`]: one file's; `keys`: what is asked of its head
//! - [`rope`](Rope): how positions are written into queries and keys

mod architecture;
mod keys;
mod rope;

use std::collections::BTreeSet;
use std::num::NonZeroUsize;

use crate::gguf::{Gguf, GgufError, Value};

pub use architecture::{Architecture, Gate, HeadNorm, Norms};
use keys::{Keys, unsupported};
pub use rope::{Pairs, Rope, Yarn};

/// Outputs of a matrix that lie side by side for the engine's kernels: a tensor that holds several matrices
/// is cut at multiples of it.
pub const LANES: usize = 8;

/// Sizes of a model, in values or pieces.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    pub layers: usize,
    pub vocabulary: usize,
    pub embedding: usize,
    /// Of a dense layer, or of one expert.
    pub feed_forward: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    pub epsilon: f32,
}

/// A mixture of experts: of each layer's `count` a token takes `used`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Experts {
    pub count: usize,
    pub used: usize,
}

/// Numbers that values are multiplied with on their way; 1 changes nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scales {
    /// A token's embedding.
    pub embedding: f32,
    /// What a layer adds to what came in.
    pub residual: f32,
    /// A query's product with a key.
    pub attention: f32,
    pub logits: f32,
}

/// What one layer's attention does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// The positions that a query sees, its own the last of them; all up to its own where there is none.
    pub window: Option<NonZeroUsize>,
    /// Whether positions are written into queries and keys.
    pub rotated: bool,
}

/// What is in a file that the engine runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    pub architecture: Architecture,
    pub shape: Shape,
    /// Of layers that see all positions.
    pub rope: Rope,
    /// Of layers with a window.
    pub window_rope: Rope,
    /// Of each layer.
    pub reach: Vec<Reach>,
    pub experts: Option<Experts>,
    pub scales: Scales,
    /// Whether queries, keys and values are one tensor.
    pub fused_attention: bool,
    /// Whether gate and up are one tensor.
    pub fused_gate: bool,
    /// The tensor that makes logits: the embedding, where there is no other.
    pub output: &'static str,
}

/// The tensor of the embeddings.
pub const EMBEDDING: &str = "token_embd.weight";
/// The tensor of the last norm.
pub const OUTPUT_NORM: &str = "output_norm.weight";
const OUTPUT: &str = "output.weight";
const FUSED: &str = "attn_qkv.weight";

/// The name of a layer's tensor, of `attn_q.weight` for instance.
pub fn tensor(layer: usize, part: &str) -> String {
    format!("blk.{layer}.{part}")
}

/// A tensor of a layer.
#[derive(Clone, Debug)]
struct Part {
    name: &'static str,
    /// Extents, fastest first.
    dims: Vec<usize>,
    required: bool,
}

/// A file's architecture, if the engine runs it.
pub fn architecture_of(gguf: &Gguf) -> Result<Architecture, GgufError> {
    let named = gguf.architecture()?;
    Architecture::named(named).ok_or_else(|| {
        unsupported(format!(
            "architecture `{}` is not supported; supported are {}",
            crate::gguf::short(named),
            Architecture::ALL.map(Architecture::name).join(", ")
        ))
    })
}

impl Layout {
    /// Reads and checks a file's head: each number by itself, the shape of every tensor, and that there
    /// is none that the engine would leave out.
    pub fn read(gguf: &Gguf, vocabulary: usize) -> Result<Self, GgufError> {
        let architecture = architecture_of(gguf)?;
        let keys = Keys {
            gguf,
            prefix: architecture.name(),
        };
        let experts = experts(&keys, architecture)?;
        let shape = shape(&keys, vocabulary, experts.is_some())?;
        keys.without("attn_logit_softcapping", &[0.0], "capping of scores")?;
        keys.without("final_logit_softcapping", &[0.0], "capping of logits")?;
        keys.without("attention.causal", &[1.0], "attention to later positions")?;
        keys.without("expert_shared_count", &[0.0], "a shared expert")?;
        keys.without(
            "expert_shared_feed_forward_length",
            &[0.0],
            "a shared expert",
        )?;
        keys.without("expert_weights_scale", &[0.0, 1.0], "a scale of experts")?;
        keys.without("expert_gating_func", &[0.0, 1.0, 3.0], "this gating")?;
        keys.without("leading_dense_block_count", &[0.0], "a mixed stack")?;
        let rope = rope::read(&keys, shape.head_dim, architecture)?;
        let layout = Self {
            window_rope: rope::in_windows(&keys, &rope, architecture)?,
            rope,
            reach: reach(&keys, architecture, shape.layers)?,
            experts,
            scales: scales(&keys, &shape, architecture)?,
            fused_attention: gguf.tensor(&tensor(0, FUSED)).is_some(),
            fused_gate: architecture == Architecture::Phi3,
            output: match gguf.tensor(OUTPUT) {
                Some(_) => OUTPUT,
                None => EMBEDDING,
            },
            architecture,
            shape,
        };
        layout.check_cuts()?;
        let mut known = BTreeSet::new();
        for (name, dims) in layout.tensors(gguf) {
            gguf.mapped(&name, &dims)?;
            known.insert(name);
        }
        match gguf.tensor_names().find(|name| !known.contains(*name)) {
            None => Ok(layout),
            Some(name) => Err(unsupported(format!(
                "the model has a tensor `{}` that this engine does not know, so its output would be wrong",
                crate::gguf::short(name)
            ))),
        }
    }

    /// Tensors that hold several matrices must be cut where the kernels can.
    fn check_cuts(&self) -> Result<(), GgufError> {
        let s = &self.shape;
        let mut cuts = Vec::new();
        if self.fused_attention {
            cuts.extend([s.heads * s.head_dim, s.kv_heads * s.head_dim]);
        }
        if self.fused_gate {
            cuts.push(s.feed_forward);
        }
        if self.experts.is_some() {
            cuts.extend([s.embedding, s.feed_forward]);
        }
        match cuts.into_iter().find(|n| !n.is_multiple_of(LANES)) {
            None => Ok(()),
            Some(n) => Err(unsupported(format!(
                "matrices of {n} outputs in one tensor are not supported: the number is no multiple of {LANES}"
            ))),
        }
    }

    /// Names and extents (fastest first) of all tensors that must be there, and of those that may be and are.
    fn tensors<'a>(&'a self, gguf: &'a Gguf) -> impl Iterator<Item = (String, Vec<usize>)> + 'a {
        let s = &self.shape;
        let parts = self.parts();
        let layers = (0..s.layers).flat_map(move |layer| {
            parts
                .clone()
                .into_iter()
                .map(move |part| (tensor(layer, part.name), part.dims, part.required))
        });
        let half = self.rope.rotated / 2;
        let factors = self
            .rope
            .tensors
            .iter()
            .map(move |name| ((*name).to_owned(), vec![half], true));
        let ends = [
            (self.output, vec![s.embedding, s.vocabulary]),
            (EMBEDDING, vec![s.embedding, s.vocabulary]),
            (OUTPUT_NORM, vec![s.embedding]),
        ];
        layers
            .chain(factors)
            .chain(ends.map(|(name, dims)| (name.to_owned(), dims, true)))
            .filter(move |(name, _, required)| *required || gguf.tensor(name).is_some())
            .map(|(name, dims, _)| (name, dims))
    }

    /// The tensors of a layer.
    fn parts(&self) -> Vec<Part> {
        let s = &self.shape;
        let (e, f, q, kv) = (
            s.embedding,
            s.feed_forward,
            s.heads * s.head_dim,
            s.kv_heads * s.head_dim,
        );
        let mut parts = Vec::new();
        let mut add = |name, dims: &[usize], required| {
            parts.push(Part {
                name,
                dims: dims.to_vec(),
                required,
            });
        };
        let biased = self.architecture.has_attention_biases();
        if self.fused_attention {
            add(FUSED, &[e, q + 2 * kv], true);
            add("attn_qkv.bias", &[q + 2 * kv], biased);
        } else {
            for (weight, bias, width) in [
                ("attn_q.weight", "attn_q.bias", q),
                ("attn_k.weight", "attn_k.bias", kv),
                ("attn_v.weight", "attn_v.bias", kv),
            ] {
                add(weight, &[e, width], true);
                add(bias, &[width], biased);
            }
        }
        add("attn_output.weight", &[q, e], true);
        add(
            "attn_output.bias",
            &[e],
            self.architecture == Architecture::GptOss,
        );
        match self.architecture.head_norm() {
            HeadNorm::None => {}
            HeadNorm::Each => {
                add("attn_q_norm.weight", &[s.head_dim], true);
                add("attn_k_norm.weight", &[s.head_dim], true);
            }
            HeadNorm::Whole => {
                add("attn_q_norm.weight", &[q], true);
                add("attn_k_norm.weight", &[kv], true);
            }
        }
        if self.architecture.has_sinks() {
            add("attn_sinks.weight", &[s.heads], true);
        }
        for norm in self.architecture.norms().all() {
            add(norm, &[e], true);
        }
        match self.experts {
            Some(Experts { count, .. }) => {
                let biased = self.architecture == Architecture::GptOss;
                add("ffn_gate_inp.weight", &[e, count], true);
                add("ffn_gate_inp.bias", &[count], biased);
                for (weight, bias, inputs, outputs) in [
                    ("ffn_gate_exps.weight", "ffn_gate_exps.bias", e, f),
                    ("ffn_up_exps.weight", "ffn_up_exps.bias", e, f),
                    ("ffn_down_exps.weight", "ffn_down_exps.bias", f, e),
                ] {
                    add(weight, &[inputs, outputs, count], true);
                    add(bias, &[outputs, count], biased);
                }
            }
            None => {
                if self.fused_gate {
                    add("ffn_up.weight", &[e, 2 * f], true);
                    add("ffn_up.bias", &[2 * f], false);
                } else {
                    add("ffn_gate.weight", &[e, f], true);
                    add("ffn_gate.bias", &[f], false);
                    add("ffn_up.weight", &[e, f], true);
                    add("ffn_up.bias", &[f], false);
                }
                add("ffn_down.weight", &[f, e], true);
                add("ffn_down.bias", &[e], false);
            }
        }
        parts
    }
}

fn shape(keys: &Keys, vocabulary: usize, of_experts: bool) -> Result<Shape, GgufError> {
    let embedding = keys.count("embedding_length", 1 << 17)?;
    let heads = keys.count("attention.head_count", 1 << 12)?;
    let kv_heads = keys
        .int("attention.head_count_kv", 1 << 12)?
        .unwrap_or(heads);
    let default_dim = embedding / heads;
    let dim = |key: &str| -> Result<usize, GgufError> {
        Ok(keys.int(key, 1 << 12)?.unwrap_or(default_dim))
    };
    let head_dim = dim("attention.key_length")?;
    if dim("attention.value_length")? != head_dim {
        return Err(unsupported(
            "keys and values of different length are not supported",
        ));
    }
    if !heads.is_multiple_of(kv_heads) || head_dim < 2 || !head_dim.is_multiple_of(2) {
        return Err(unsupported(format!(
            "{heads} heads of {head_dim} values over {kv_heads} key-value heads are no model's shape"
        )));
    }
    let feed_forward = match (of_experts, keys.int("expert_feed_forward_length", 1 << 20)?) {
        (true, Some(length)) => length,
        _ => keys.count("feed_forward_length", 1 << 20)?,
    };
    let epsilon = keys
        .gguf
        .float(&keys.key("attention.layer_norm_rms_epsilon"))?
        .unwrap_or(1e-5);
    if !(0.0..=1.0).contains(&epsilon) {
        return Err(GgufError::OutOfRange {
            key: keys.key("attention.layer_norm_rms_epsilon"),
            value: epsilon.to_string(),
            allowed: "0 to 1".into(),
        });
    }
    Ok(Shape {
        layers: keys.count("block_count", 1 << 10)?,
        vocabulary,
        embedding,
        feed_forward,
        heads,
        kv_heads,
        head_dim,
        epsilon: epsilon as f32,
    })
}

fn experts(keys: &Keys, architecture: Architecture) -> Result<Option<Experts>, GgufError> {
    let count = keys.gguf.int(&keys.key("expert_count"), 0, 1 << 10)?;
    let count = count.unwrap_or(0) as usize;
    match (architecture.may_have_experts(), count) {
        ((_, true), 0) => Err(GgufError::MissingKey(keys.key("expert_count"))),
        ((_, false), 0) => Ok(None),
        ((false, _), _) => Err(unsupported(format!(
            "mixtures of experts of the architecture `{}` are not supported",
            architecture.name()
        ))),
        ((true, _), count) => {
            let used = keys.count("expert_used_count", 1 << 10)?;
            if used > count {
                return Err(GgufError::OutOfRange {
                    key: keys.key("expert_used_count"),
                    value: used.to_string(),
                    allowed: format!("1 to {count}, the number of experts"),
                });
            }
            Ok(Some(Experts { count, used }))
        }
    }
}

fn scales(keys: &Keys, shape: &Shape, of: Architecture) -> Result<Scales, GgufError> {
    let by_head = 1.0 / (shape.head_dim as f32).sqrt();
    let mut scales = Scales {
        embedding: 1.0,
        residual: 1.0,
        attention: by_head,
        logits: 1.0,
    };
    match of {
        Architecture::Granite => {
            let default = f64::from(by_head);
            scales.attention = keys.positive("attention.scale", default)? as f32;
            scales.embedding = keys.positive("embedding_scale", 1.0)? as f32;
            scales.residual = keys.positive("residual_scale", 1.0)? as f32;
            scales.logits = 1.0 / keys.positive("logit_scale", 1.0)? as f32;
        }
        Architecture::Gemma3 => {
            scales.embedding = (shape.embedding as f32).sqrt();
            // The model of 27B alone divides by the width of a head that it doesn't have.
            if shape.layers == 62 {
                scales.attention = 1.0 / ((shape.embedding / shape.heads) as f32).sqrt();
            }
        }
        Architecture::Llama | Architecture::SmolLm3 => {
            let default = f64::from(by_head);
            scales.attention = keys.positive("attention.scale", default)? as f32;
        }
        _ => {}
    }
    Ok(scales)
}

/// What each layer's attention sees.
fn reach(keys: &Keys, of: Architecture, layers: usize) -> Result<Vec<Reach>, GgufError> {
    let window = match of.window_period() {
        None => None,
        Some(_) => {
            let found = keys
                .gguf
                .int(&keys.key("attention.sliding_window"), 0, 1 << 24)?;
            found.and_then(|n| NonZeroUsize::new(n as usize))
        }
    };
    if window.is_none() && matches!(of, Architecture::Gemma3 | Architecture::GptOss) {
        return Err(GgufError::MissingKey(keys.key("attention.sliding_window")));
    }
    let pattern = keys.key("attention.sliding_window_pattern");
    let (period, listed) = match (window, keys.gguf.get(&pattern)) {
        (None, _) | (Some(_), None) => (of.window_period().unwrap_or(1), None),
        (Some(_), Some(Value::Bools(list))) if list.iter().len() == layers => {
            (1, Some(list.iter().collect::<Vec<bool>>()))
        }
        (Some(_), Some(Value::Int(_))) => (
            keys.count("attention.sliding_window_pattern", 1 << 10)?,
            None,
        ),
        (Some(_), Some(other)) => {
            return Err(GgufError::OutOfRange {
                key: pattern,
                value: other.to_string(),
                allowed: format!("a number, or {layers} booleans"),
            });
        }
    };
    let rotated =
        of != Architecture::Granite || keys.flag("rope.scaling.finetuned")? != Some(false);
    Ok((0..layers)
        .map(|layer| Reach {
            // Of each period the last layer sees everything.
            window: window.filter(|_| match &listed {
                Some(list) => list[layer],
                None => layer % period + 1 < period,
            }),
            rotated: rotated && (of != Architecture::SmolLm3 || !(layer + 1).is_multiple_of(4)),
        })
        .collect())
}
