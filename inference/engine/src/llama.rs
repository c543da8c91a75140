//! The llama architecture (Llama, Mistral, SmolLM2): grouped-query attention with rotary
//! embedding, RMS norms, SwiGLU. It knows the order of things; their shapes are [`mythic_model::llama`]'s,
//! arithmetic is in [`super::kernels`].

use std::ops::Range;
use std::sync::Arc;

use mythic_interface::sampler::RowError;
use parking_lot::Mutex;

use super::kernels::attention::{self, Attention, Tile};
use super::kernels::pack::Pack;
use super::kernels::{Kernels, Matrix, Rows, Table, math};
use super::kv::{self, At, Pool};
use super::logits::{self, Keep, Kept};
use super::pages::{PAGE, PageId};
use mythic_model::gguf::{Gguf, GgufError};
use mythic_model::llama::{self, Layout, Rope, Shape};

/// Rows whose logits are in memory at once.
const LOGIT_ROWS: usize = 32;

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

impl Model {
    /// Takes the weights that the layout names where they are.
    pub fn load(
        gguf: &Gguf,
        pack: &Arc<Pack>,
        layout: &Layout,
        kernels: Kernels,
    ) -> Result<Self, GgufError> {
        let shape = layout.shape.clone();
        let layers = (0..shape.layers)
            .map(|layer| Layer::load(gguf, pack, &shape, layer))
            .collect::<Result<_, _>>()?;
        let (embedding, vocabulary) = (shape.embedding, shape.vocabulary);
        Ok(Self {
            layers,
            embedding: Table::load(gguf, llama::EMBEDDING, embedding, vocabulary)?,
            output_norm: Table::load_vector(gguf, llama::OUTPUT_NORM, embedding)?,
            output: Matrix::load(gguf, pack, layout.output, embedding, vocabulary)?,
            frequencies: frequencies(gguf, &layout.rope)?,
            shape,
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
                    let at = At {
                        layer: index,
                        page,
                        place: position % PAGE,
                    };
                    pool.write(at, k, v);
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
fn frequencies(gguf: &Gguf, rope: &Rope) -> Result<Vec<f64>, GgufError> {
    let (rotated, base) = (rope.rotated, rope.base);
    let factors = match rope.factors {
        Some(name) => Table::load_vector(gguf, name, rotated / 2)?,
        None => vec![1.0; rotated / 2],
    };
    let linear = rope.linear;
    Ok(factors
        .iter()
        .enumerate()
        .map(|(i, f)| math::power(base, -2.0 * i as f64 / rotated as f64) / f64::from(*f) / linear)
        .collect())
}

impl Layer {
    fn load(gguf: &Gguf, pack: &Arc<Pack>, s: &Shape, layer: usize) -> Result<Self, GgufError> {
        let matrix = |part: &str, cols, rows| {
            Matrix::load(gguf, pack, &llama::tensor(layer, part), cols, rows)
        };
        let norm = |part: &str| Table::load_vector(gguf, &llama::tensor(layer, part), s.embedding);
        let (q_width, kv_width) = (s.heads * s.head_dim, s.kv_heads * s.head_dim);
        Ok(Self {
            q: matrix("attn_q", s.embedding, q_width)?,
            k: matrix("attn_k", s.embedding, kv_width)?,
            v: matrix("attn_v", s.embedding, kv_width)?,
            output: matrix("attn_output", q_width, s.embedding)?,
            gate: matrix("ffn_gate", s.embedding, s.feed_forward)?,
            up: matrix("ffn_up", s.embedding, s.feed_forward)?,
            down: matrix("ffn_down", s.feed_forward, s.embedding)?,
            attention_norm: norm("attn_norm")?,
            feed_forward_norm: norm("ffn_norm")?,
        })
    }
}
