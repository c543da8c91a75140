//! The llama architecture (Llama, Mistral, SmolLM2): grouped-query attention with rotary
//! embedding, RMS norms, SwiGLU. It knows shapes and order; arithmetic is in [`super::kernels`].

use std::collections::BTreeSet;
use std::sync::Arc;

use super::kernels::pack::Pack;
use super::kernels::{Attend, Kernels, Matrix, Rows, Table, math};
use crate::gguf::{Gguf, GgufError, Value};

/// Rows whose logits are in memory at once.
const LOGIT_ROWS: usize = 16;

#[derive(Clone, Debug)]
struct Shape {
    embedding: usize,
    feed_forward: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    epsilon: f32,
}

struct Layer {
    attention_norm: Vec<f32>,
    q: Matrix,
    k: Matrix,
    v: Matrix,
    output: Matrix,
    feed_forward_norm: Vec<f32>,
    gate: Matrix,
    up: Matrix,
    down: Matrix,
}

/// A model whose weights stay in the mapped file.
pub struct Model {
    shape: Shape,
    layers: Vec<Layer>,
    embedding: Table,
    output_norm: Vec<f32>,
    output: Matrix,
    /// Radians a position, one for each rotary pair.
    frequencies: Vec<f64>,
    kernels: Kernels,
}

/// Keys and values of one sequence, allocated once for as many positions as it may reach.
pub struct KvCache {
    keys: Vec<f32>,
    values: Vec<f32>,
    capacity: usize,
}

/// One row of a forward pass.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Which of the caches given to the pass.
    pub sequence: usize,
    pub token: u32,
    pub position: usize,
    /// Whether its logits are wanted.
    pub logits: bool,
}

fn unsupported(what: impl Into<String>) -> GgufError {
    GgufError::Unsupported(what.into())
}

/// A vector of f32, as norms are stored.
fn vector(
    gguf: &Gguf,
    name: &str,
    len: usize,
    used: &mut BTreeSet<String>,
) -> Result<Vec<f32>, GgufError> {
    used.insert(name.to_owned());
    Table::load_vector(gguf, name, len)
}

impl Model {
    /// Checks the file's shapes against each other and takes the weights where they are.
    pub fn load(
        gguf: &Gguf,
        pack: &Arc<Pack>,
        vocabulary: usize,
        kernels: Kernels,
    ) -> Result<Self, GgufError> {
        let architecture = gguf
            .text("general.architecture")?
            .ok_or_else(|| GgufError::MissingKey("general.architecture".into()))?;
        if architecture != "llama" {
            return Err(unsupported(format!(
                "architecture `{architecture}` is not supported; supported is llama"
            )));
        }
        if gguf.int("llama.expert_count", 0, u32::MAX)?.unwrap_or(0) > 0 {
            return Err(unsupported("mixtures of experts are not supported"));
        }
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
        let shape = Shape {
            embedding,
            feed_forward: count("feed_forward_length", 1 << 20)?,
            heads,
            kv_heads,
            head_dim,
            epsilon: epsilon as f32,
        };
        let mut used = BTreeSet::new();
        let frequencies = frequencies(gguf, &shape, &mut used)?;
        let layers = (0..count("block_count", 1 << 10)?)
            .map(|i| Layer::load(gguf, pack, &shape, i, &mut used))
            .collect::<Result<_, _>>()?;
        let table = "token_embd.weight";
        // The embedding is the output matrix too, where there is no other.
        let output = match gguf.tensor("output.weight") {
            Some(_) => "output.weight",
            None => table,
        };
        used.extend([table.to_owned(), output.to_owned()]);
        let output = Matrix::load(gguf, pack, output, embedding, vocabulary)?;
        let table = Table::load(gguf, table, embedding, vocabulary)?;
        let output_norm = vector(gguf, "output_norm.weight", embedding, &mut used)?;
        if let Some(name) = gguf.tensor_names().find(|name| !used.contains(*name)) {
            return Err(unsupported(format!(
                "the model has a tensor `{name}` that this engine does not know, so its output would be wrong"
            )));
        }
        Ok(Self {
            shape,
            layers,
            embedding: table,
            output_norm,
            output,
            frequencies,
            kernels,
        })
    }

    /// The arithmetic it runs on.
    pub fn kernels(&self) -> &Kernels {
        &self.kernels
    }

    /// Memory that one position of one sequence takes.
    pub fn kv_bytes_per_token(&self) -> u64 {
        (self.layers.len() * self.shape.kv_heads * self.shape.head_dim * 2 * 4) as u64
    }

    /// An empty cache for `capacity` positions; memory is used as positions are filled.
    pub fn cache(&self, capacity: usize) -> KvCache {
        let len = self.layers.len() * self.shape.kv_heads * self.shape.head_dim * capacity;
        KvCache {
            keys: vec![0.0; len],
            values: vec![0.0; len],
            capacity,
        }
    }

    /// Runs `rows` through the model and calls `logits(index of the row, its logits)` for those
    /// that want them. The positions of a sequence must follow its cache without a gap, and tokens
    /// must be in the vocabulary.
    pub fn forward(
        &self,
        rows: &[Row],
        caches: &mut [&mut KvCache],
        mut logits: impl FnMut(usize, &[f32]) + Send,
    ) {
        {
            let mut hidden = self.hidden(rows, caches);
            let e = self.shape.embedding;
            let wanted: Vec<usize> = (0..rows.len()).filter(|i| rows[*i].logits).collect();
            let output = &self.output;
            let mut out = Vec::new();
            for part in wanted.chunks(LOGIT_ROWS) {
                let mut normed = vec![0.0; part.len() * e];
                for (i, normed) in part.iter().zip(normed.chunks_exact_mut(e)) {
                    let x = &mut hidden[i * e..(i + 1) * e];
                    math::rms_norm(
                        self.kernels.wide(),
                        x,
                        &self.output_norm,
                        self.shape.epsilon,
                        normed,
                    );
                }
                self.kernels
                    .matmul([output], &Rows::new(&normed, e), [&mut out]);
                for (i, row) in part.iter().zip(out.chunks_exact(output.rows)) {
                    logits(*i, row);
                }
            }
        }
    }

    /// The rows after the last layer, and their keys and values in the caches.
    fn hidden(&self, rows: &[Row], caches: &mut [&mut KvCache]) -> Vec<f32> {
        let s = &self.shape;
        let n = rows.len();
        let mut x = vec![0.0; n * s.embedding];
        for (row, x) in rows.iter().zip(x.chunks_exact_mut(s.embedding)) {
            self.embedding.row(row.token as usize, x);
        }
        let angles: Vec<Vec<(f32, f32)>> = rows
            .iter()
            .map(|row| math::rope_angles(&self.frequencies, row.position))
            .collect();
        let scale = 1.0 / (s.head_dim as f32).sqrt();
        let group = s.heads / s.kv_heads * s.head_dim;
        let mut normed = vec![0.0; x.len()];
        let mut attended = vec![0.0; n * s.heads * s.head_dim];
        let (mut q, mut k, mut v) = (Vec::new(), Vec::new(), Vec::new());
        let (mut out, mut gate, mut up) = (Vec::new(), Vec::new(), Vec::new());
        for (index, layer) in self.layers.iter().enumerate() {
            self.kernels
                .rms_norm(&x, &layer.attention_norm, s.epsilon, &mut normed);
            self.kernels.matmul(
                [&layer.q, &layer.k, &layer.v],
                &Rows::new(&normed, s.embedding),
                [&mut q, &mut k, &mut v],
            );
            for (i, row) in rows.iter().enumerate() {
                let width = s.kv_heads * s.head_dim;
                let q = &mut q[i * s.heads * s.head_dim..(i + 1) * s.heads * s.head_dim];
                let k = &mut k[i * width..(i + 1) * width];
                math::rope(q, s.head_dim, &angles[i]);
                math::rope(k, s.head_dim, &angles[i]);
                let v = &v[i * width..(i + 1) * width];
                caches[row.sequence].write(s, index, row.position, k, v);
            }
            let mut tasks = Vec::with_capacity(n * s.kv_heads);
            let heads = q.chunks_exact(group).zip(attended.chunks_exact_mut(group));
            for (at, (q, out)) in heads.enumerate() {
                let row = &rows[at / s.kv_heads];
                let cache = &caches[row.sequence];
                let range = cache.range(s, index, at % s.kv_heads, row.position + 1);
                tasks.push(Attend {
                    q,
                    keys: &cache.keys[range.clone()],
                    values: &cache.values[range],
                    head_dim: s.head_dim,
                    out,
                });
            }
            self.kernels.attend(tasks, scale);
            let rows = Rows::new(&attended, s.heads * s.head_dim);
            self.kernels.matmul([&layer.output], &rows, [&mut out]);
            self.kernels.add(&mut x, &out);
            self.kernels
                .rms_norm(&x, &layer.feed_forward_norm, s.epsilon, &mut normed);
            self.kernels.matmul(
                [&layer.gate, &layer.up],
                &Rows::new(&normed, s.embedding),
                [&mut gate, &mut up],
            );
            self.kernels.swiglu(&mut gate, &up);
            let rows = Rows::new(&gate, s.feed_forward);
            self.kernels.matmul([&layer.down], &rows, [&mut out]);
            self.kernels.add(&mut x, &out);
        }
        x
    }
}

/// Rotary frequencies, with linear scaling or the file's own factors (Llama 3).
fn frequencies(
    gguf: &Gguf,
    shape: &Shape,
    used: &mut BTreeSet<String>,
) -> Result<Vec<f64>, GgufError> {
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
    let factors = match gguf.tensor("rope_freqs.weight") {
        Some(_) => vector(gguf, "rope_freqs.weight", rotated / 2, used)?,
        None => vec![1.0; rotated / 2],
    };
    Ok(factors
        .iter()
        .enumerate()
        .map(|(i, f)| math::power(base, -2.0 * i as f64 / rotated as f64) / f64::from(*f) / linear)
        .collect())
}

impl Layer {
    fn load(
        gguf: &Gguf,
        pack: &Arc<Pack>,
        s: &Shape,
        index: usize,
        used: &mut BTreeSet<String>,
    ) -> Result<Self, GgufError> {
        let name = |part: &str| format!("blk.{index}.{part}.weight");
        let mut matrix = |part: &str, cols, rows| {
            let name = name(part);
            let matrix = Matrix::load(gguf, pack, &name, cols, rows);
            used.insert(name);
            matrix
        };
        let (q_width, kv_width) = (s.heads * s.head_dim, s.kv_heads * s.head_dim);
        Ok(Self {
            q: matrix("attn_q", s.embedding, q_width)?,
            k: matrix("attn_k", s.embedding, kv_width)?,
            v: matrix("attn_v", s.embedding, kv_width)?,
            output: matrix("attn_output", q_width, s.embedding)?,
            gate: matrix("ffn_gate", s.embedding, s.feed_forward)?,
            up: matrix("ffn_up", s.embedding, s.feed_forward)?,
            down: matrix("ffn_down", s.feed_forward, s.embedding)?,
            attention_norm: vector(gguf, &name("attn_norm"), s.embedding, used)?,
            feed_forward_norm: vector(gguf, &name("ffn_norm"), s.embedding, used)?,
        })
    }
}

impl KvCache {
    /// Positions 0..positions of a head: layers × heads × positions × head_dim in memory.
    fn range(
        &self,
        s: &Shape,
        layer: usize,
        head: usize,
        positions: usize,
    ) -> std::ops::Range<usize> {
        let start = (layer * s.kv_heads + head) * self.capacity * s.head_dim;
        start..start + positions * s.head_dim
    }

    fn write(&mut self, s: &Shape, layer: usize, position: usize, k: &[f32], v: &[f32]) {
        let d = s.head_dim;
        for (head, (k, v)) in k.chunks_exact(d).zip(v.chunks_exact(d)).enumerate() {
            let at = self.range(s, layer, head, 0).start + position * d;
            self.keys[at..at + d].copy_from_slice(k);
            self.values[at..at + d].copy_from_slice(v);
        }
    }
}
