//! The llama architecture (Llama, Mistral, SmolLM2): grouped-query attention with rotary
//! embedding, RMS norms, SwiGLU. It knows shapes and order; arithmetic is in [`super::kernels`].

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use mythic_interface::sampler::RowError;
use parking_lot::Mutex;

use super::kernels::attention::{self, Attention, Tile};
use super::kernels::pack::Pack;
use super::kernels::{Kernels, Matrix, Rows, Table, math};
use super::kv::{self, Pool};
use super::logits::{self, Keep, Kept};
use super::pages::{PAGE, PageId};
use mythic_model::gguf::{Gguf, GgufError, Value};

/// Rows whose logits are in memory at once.
const LOGIT_ROWS: usize = 32;

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

/// One row of a forward pass.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub token: u32,
    pub position: usize,
    /// What is wanted of its logits, if anything.
    pub keep: Option<Keep>,
}

/// Rows of one sequence in a pass, at positions that follow each other.
#[derive(Clone, Debug)]
pub struct Span {
    pub rows: Range<usize>,
    /// Where the sequence's pages are in the pass's list; they hold all positions up to the last.
    pub pages: Range<usize>,
}

/// What a forward pass computes.
#[derive(Clone, Debug, Default)]
pub struct Pass {
    pub rows: Vec<Row>,
    /// Every row is in one of them.
    pub spans: Vec<Span>,
    pub pages: Vec<PageId>,
}

impl Pass {
    pub fn clear(&mut self) {
        self.rows.clear();
        self.spans.clear();
        self.pages.clear();
    }
}

/// What a pass works on; kept from pass to pass, so that none allocates.
#[derive(Default)]
pub struct Scratch {
    x: Vec<f32>,
    normed: Vec<f32>,
    attended: Vec<f32>,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    out: Vec<f32>,
    gate: Vec<f32>,
    up: Vec<f32>,
    /// Of the rows whose logits are wanted, what the last layer gave.
    last: Vec<f32>,
    logits: Vec<f32>,
    /// A pair for each row and rotary pair.
    angles: Vec<(f32, f32)>,
    tiles: Vec<Tile>,
    /// Of attention, where threads share a task.
    scores: Vec<f32>,
    /// Rows whose logits are wanted.
    wanted: Vec<usize>,
    kept: Vec<Mutex<Option<Result<Kept, RowError>>>>,
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

    /// Sizes of its keys and values.
    pub fn kv_shape(&self) -> kv::Shape {
        kv::Shape {
            layers: self.layers.len(),
            kv_heads: self.shape.kv_heads,
            head_dim: self.shape.head_dim,
        }
    }

    /// Memory that passes of `rows` rows over a context of `context` work on, in bytes.
    pub fn scratch_bytes(&self, rows: usize, context: usize) -> u64 {
        let s = &self.shape;
        let (q, kv) = (s.heads * s.head_dim, s.kv_heads * s.head_dim);
        // Of activations also their quantised form, a quarter and scales.
        let row = 4 * s.embedding + 4 * q + 2 * kv + 3 * s.feed_forward;
        let logits = LOGIT_ROWS.min(rows) * self.output.rows;
        let scores = self.kernels.threads() * attention::scratch(context, s.heads / s.kv_heads);
        (4 * (rows * row + logits + scores)) as u64
    }

    /// Runs the rows of a pass through the model and calls `take(index of the row, what is kept of
    /// its logits, the logits)` for those that want any, in order. The positions of a sequence
    /// must follow what its pages hold without a gap, and tokens must be in the vocabulary.
    pub fn forward(
        &self,
        pass: &Pass,
        pool: &mut Pool,
        scratch: &mut Scratch,
        mut take: impl FnMut(usize, Result<Kept, RowError>, &[f32]),
    ) {
        self.hidden(pass, pool, scratch);
        let (e, output, wide) = (self.shape.embedding, &self.output, self.kernels.wide());
        let s = scratch;
        s.wanted.clear();
        let wanted = |i: &usize| pass.rows[*i].keep.is_some();
        s.wanted.extend((0..pass.rows.len()).filter(wanted));
        s.kept.resize_with(LOGIT_ROWS, Mutex::default);
        for part in s.wanted.chunks(LOGIT_ROWS) {
            s.last.clear();
            for i in part {
                s.last.extend_from_slice(&s.x[i * e..(i + 1) * e]);
            }
            let epsilon = self.shape.epsilon;
            self.kernels
                .rms_norm(&s.last, &self.output_norm, epsilon, &mut s.normed);
            self.kernels
                .matmul([output], &Rows::new(&s.normed, e), [&mut s.logits]);
            self.kernels.pool().run(part.len(), |at| {
                let row = &s.logits[at * output.rows..(at + 1) * output.rows];
                let keep = pass.rows[part[at]].keep.unwrap_or_default();
                *s.kept[at].lock() = Some(logits::keep(wide, row, &keep));
            });
            let rows = s.logits.chunks_exact(output.rows);
            for ((i, row), kept) in part.iter().zip(rows).zip(&s.kept) {
                if let Some(kept) = kept.lock().take() {
                    take(*i, kept, row);
                }
            }
        }
    }

    /// The rows after the last layer in `scratch.x`, and their keys and values in the pool.
    fn hidden(&self, pass: &Pass, pool: &mut Pool, scratch: &mut Scratch) {
        let s = &self.shape;
        let rows = &pass.rows;
        let n = rows.len();
        let Scratch {
            x,
            normed,
            attended,
            q,
            k,
            v,
            out,
            gate,
            up,
            angles,
            tiles,
            scores,
            ..
        } = scratch;
        x.resize(n * s.embedding, 0.0);
        for (row, x) in rows.iter().zip(x.chunks_exact_mut(s.embedding)) {
            self.embedding.row(row.token as usize, x);
        }
        angles.clear();
        for row in rows {
            angles.extend(math::rope_angles(&self.frequencies, row.position));
        }
        let group = s.heads / s.kv_heads;
        tiles.clear();
        for span in &pass.spans {
            let mut row = span.rows.start;
            while row < span.rows.end {
                let position = rows[row].position;
                let most = Tile::most_rows(position, group);
                let count = most.min(span.rows.end - row);
                tiles.push(Tile {
                    row,
                    rows: count,
                    position,
                    pages: span.pages.clone(),
                });
                row += count;
            }
        }
        let (q_width, kv_width) = (s.heads * s.head_dim, s.kv_heads * s.head_dim);
        attended.resize(n * q_width, 0.0);
        for (index, layer) in self.layers.iter().enumerate() {
            self.kernels
                .rms_norm(x, &layer.attention_norm, s.epsilon, normed);
            self.kernels.matmul(
                [&layer.q, &layer.k, &layer.v],
                &Rows::new(normed, s.embedding),
                [q, k, v],
            );
            for span in &pass.spans {
                for i in span.rows.clone() {
                    let position = rows[i].position;
                    let angles = &angles[i * self.frequencies.len()..][..self.frequencies.len()];
                    let q = &mut q[i * q_width..(i + 1) * q_width];
                    let k = &mut k[i * kv_width..(i + 1) * kv_width];
                    let v = &mut v[i * kv_width..(i + 1) * kv_width];
                    math::rope(q, s.head_dim, angles);
                    math::rope(k, s.head_dim, angles);
                    let page = pass.pages[span.pages.start + position / PAGE];
                    pool.write(index, page, position % PAGE, k, v);
                }
            }
            Attention {
                pool,
                layer: index,
                heads: s.heads,
                scale: 1.0 / (s.head_dim as f32).sqrt(),
                pages: &pass.pages,
                queries: q,
                wide: self.kernels.wide(),
            }
            .run(&self.kernels, tiles, scores, attended);
            self.kernels
                .matmul([&layer.output], &Rows::new(attended, q_width), [out]);
            self.kernels.add(x, out);
            self.kernels
                .rms_norm(x, &layer.feed_forward_norm, s.epsilon, normed);
            self.kernels.matmul(
                [&layer.gate, &layer.up],
                &Rows::new(normed, s.embedding),
                [gate, up],
            );
            self.kernels.swiglu(gate, up);
            self.kernels
                .matmul([&layer.down], &Rows::new(gate, s.feed_forward), [out]);
            self.kernels.add(x, out);
        }
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
