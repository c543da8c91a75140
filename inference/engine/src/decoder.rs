//! The decoder: a stack of layers, each attention over all positions before and a feed-forward part, in
//! the variations that the architectures make of it. It knows the order of things; their shapes are
//! [`mythic_model::layout`]'s, arithmetic is in [`super::kernels`].
//!
//! - [`Model`]: weights, and what a pass does with them
//! - `load`: a layer's weights from a file
//! - `gated`, `experts`: the feed-forward part

pub(crate) mod experts;
pub(crate) mod gated;
mod load;

use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::Arc;

use mythic_interface::sampler::RowError;
use parking_lot::Mutex;

use super::kernels::attention::{self, Attention, Tile};
use super::kernels::pack::Pack;
use super::kernels::rope::Rotary;
use super::kernels::{Kernels, Matrix, Rows, Table};
use super::kv::{self, At, Pool};
use super::logits::{self, Keep, Kept};
use super::pages::{PAGE, PageId};
use super::residuals;
use experts::{Mixture, Routing};
use gated::{Gated, Linear, Work};
use mythic_model::gguf::{Gguf, GgufError};
use mythic_model::layout::{self, Gate, Layout, Rope, Scales, Shape};

/// Rows whose logits are in memory at once.
pub(crate) const LOGIT_ROWS: usize = 32;

/// The feed-forward part of a layer.
pub(crate) enum FeedForward {
    Dense(Gated),
    Experts(Mixture),
}

/// Weights of the norms that a layer has.
pub(crate) struct Norms {
    pub(crate) attention: Option<Vec<f32>>,
    pub(crate) attention_out: Option<Vec<f32>>,
    pub(crate) feed_forward: Option<Vec<f32>>,
    pub(crate) feed_forward_out: Option<Vec<f32>>,
}

/// The weights of a layer.
pub(crate) struct Layer {
    pub(crate) norms: Norms,
    pub(crate) q: Linear,
    pub(crate) k: Linear,
    pub(crate) v: Linear,
    pub(crate) q_norm: Option<Vec<f32>>,
    pub(crate) k_norm: Option<Vec<f32>>,
    pub(crate) sinks: Option<Vec<f32>>,
    pub(crate) output: Linear,
    pub(crate) window: Option<NonZeroUsize>,
    pub(crate) rotated: bool,
    pub(crate) feed_forward: FeedForward,
}

/// A model whose weights stay in the mapped file.
pub struct Model {
    pub(crate) shape: Shape,
    pub(crate) scales: Scales,
    pub(crate) gate: Gate,
    pub(crate) layers: Vec<Layer>,
    pub(crate) embedding: Table,
    pub(crate) output_norm: Vec<f32>,
    pub(crate) output: Matrix,
    /// Of layers that see all positions.
    pub(crate) rotary: Rotary,
    /// Of layers with a window.
    pub(crate) window_rotary: Rotary,
    pub(crate) kernels: Kernels,
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
    work: Work,
    routing: Routing,
    /// Of the rows whose logits are wanted, what the last layer gave.
    last: Vec<f32>,
    logits: Vec<f32>,
    /// A pair for each row and rotary pair: of layers that see all positions, and of those with a window.
    angles: Vec<(f32, f32)>,
    window_angles: Vec<(f32, f32)>,
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
            .map(|layer| Layer::load(gguf, pack, layout, layer))
            .collect::<Result<_, _>>()?;
        let (embedding, vocabulary) = (shape.embedding, shape.vocabulary);
        Ok(Self {
            layers,
            embedding: Table::load(gguf, layout::EMBEDDING, embedding, vocabulary)?,
            output_norm: Table::load_vector(gguf, layout::OUTPUT_NORM, embedding)?,
            output: Matrix::load(gguf, pack, layout.output, embedding, vocabulary)?,
            rotary: rotary(gguf, &layout.rope)?,
            window_rotary: rotary(gguf, &layout.window_rope)?,
            scales: layout.scales,
            gate: layout.architecture.gate(),
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
        let experts = self.layers.iter().map(|layer| match &layer.feed_forward {
            FeedForward::Dense(_) => 0,
            // Results, what goes to one and comes back.
            FeedForward::Experts(mixture) => (mixture.used + 2) * s.embedding,
        });
        let experts = experts.max().unwrap_or(0);
        let row = 4 * s.embedding + 4 * q + 2 * kv + 3 * s.feed_forward + experts;
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
        take: impl FnMut(usize, Result<Kept, RowError>, &[f32]),
    ) {
        self.hidden(pass, pool, scratch);
        self.logits(pass, scratch, take);
    }

    /// Runs one layer over the rows of a pass, whose tokens don't matter: `x` is what goes in, and what comes out. The pool holds
    /// the layer's keys and values at the positions before.
    pub fn layer(
        &self,
        index: usize,
        pass: &Pass,
        x: &mut [f32],
        (pool, scratch): (&mut Pool, &mut Scratch),
    ) {
        scratch.x.clear();
        scratch.x.extend_from_slice(x);
        self.place(pass, scratch);
        self.attention(index, pass, pool, scratch);
        self.feed_forward(index, scratch);
        x.copy_from_slice(&scratch.x);
    }

    /// What is kept of the logits of rows that the last layer gave.
    pub fn outputs(&self, rows: &[f32], scratch: &mut Scratch) -> Vec<Result<Kept, RowError>> {
        let mut pass = Pass::default();
        let row = Row {
            token: 0,
            position: 0,
            keep: Some(Keep::default()),
        };
        pass.rows.resize(rows.len() / self.shape.embedding, row);
        scratch.x.clear();
        scratch.x.extend_from_slice(rows);
        let mut all = Vec::with_capacity(pass.rows.len());
        self.logits(&pass, scratch, |_, kept, _| all.push(kept));
        all
    }

    /// Layers, and numbers of a row between them.
    pub fn residual_shape(&self) -> residuals::RowShape {
        residuals::RowShape {
            layers: self.layers.len(),
            width: self.shape.embedding,
        }
    }

    /// The rows that go into the first layer.
    pub fn embed(&self, tokens: impl ExactSizeIterator<Item = u32>, x: &mut Vec<f32>) {
        let e = self.shape.embedding;
        x.resize(tokens.len() * e, 0.0);
        for (token, x) in tokens.zip(x.chunks_exact_mut(e)) {
            self.embedding.row(token as usize, x);
        }
        self.kernels.scale(x, self.scales.embedding);
    }

    /// Calls `take` for the rows of a pass whose logits are wanted, in order; what the last layer gave is in `scratch.x`.
    fn logits(
        &self,
        pass: &Pass,
        scratch: &mut Scratch,
        mut take: impl FnMut(usize, Result<Kept, RowError>, &[f32]),
    ) {
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
            self.kernels.scale(&mut s.logits, self.scales.logits);
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
        self.embed(pass.rows.iter().map(|row| row.token), &mut scratch.x);
        self.place(pass, scratch);
        for index in 0..self.layers.len() {
            self.attention(index, pass, pool, scratch);
            self.feed_forward(index, scratch);
            if let Some(kept) = &mut pool.residuals {
                self.keep_rows(index, pass, kept, &scratch.x);
            }
        }
    }

    /// Keeps what a layer gave with the pages of the positions.
    fn keep_rows(&self, layer: usize, pass: &Pass, kept: &mut residuals::PageRows, x: &[f32]) {
        let e = self.shape.embedding;
        for span in &pass.spans {
            for i in span.rows.clone() {
                let position = pass.rows[i].position;
                let page = pass.pages[span.pages.start + position / PAGE];
                let row = &x[i * e..(i + 1) * e];
                kept.write(layer, page, position % PAGE, row);
            }
        }
    }

    /// Where the rows of a pass stand: angles, and the tasks of attention.
    fn place(&self, pass: &Pass, scratch: &mut Scratch) {
        for (rotary, angles) in [
            (&self.rotary, &mut scratch.angles),
            (&self.window_rotary, &mut scratch.window_angles),
        ] {
            angles.clear();
            for row in &pass.rows {
                angles.extend(rotary.angles(row.position));
            }
        }
        self.tile(pass, &mut scratch.tiles);
    }

    /// The tasks of attention: rows of one sequence that are read together.
    fn tile(&self, pass: &Pass, tiles: &mut Vec<Tile>) {
        let group = self.shape.heads / self.shape.kv_heads;
        tiles.clear();
        for span in &pass.spans {
            let mut row = span.rows.start;
            while row < span.rows.end {
                let position = pass.rows[row].position;
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
    }

    /// A layer's attention: adds to `scratch.x` what it gives.
    fn attention(&self, index: usize, pass: &Pass, pool: &mut Pool, scratch: &mut Scratch) {
        let (layer, s) = (&self.layers[index], &self.shape);
        let Scratch {
            x,
            normed,
            attended,
            q,
            k,
            v,
            out,
            tiles,
            scores,
            angles,
            window_angles,
            ..
        } = scratch;
        let (rotary, angles) = match layer.window {
            None => (&self.rotary, &*angles),
            Some(_) => (&self.window_rotary, &*window_angles),
        };
        let input = self.norm(layer.norms.attention.as_deref(), x, normed);
        self.kernels.matmul(
            [&layer.q.matrix, &layer.k.matrix, &layer.v.matrix],
            &Rows::new(input, s.embedding),
            [&mut *q, &mut *k, &mut *v],
        );
        for (linear, norm, rows) in [
            (&layer.q, &layer.q_norm, &mut *q),
            (&layer.k, &layer.k_norm, &mut *k),
            (&layer.v, &None, &mut *v),
        ] {
            linear.add_bias(&self.kernels, rows);
            self.norm_out(norm.as_deref(), rows, normed);
        }
        let (q_width, kv_width) = (s.heads * s.head_dim, s.kv_heads * s.head_dim);
        for span in &pass.spans {
            for i in span.rows.clone() {
                let position = pass.rows[i].position;
                let k = &mut k[i * kv_width..(i + 1) * kv_width];
                let v = &mut v[i * kv_width..(i + 1) * kv_width];
                if layer.rotated {
                    let angles = &angles[i * rotary.pairs()..][..rotary.pairs()];
                    let q = &mut q[i * q_width..(i + 1) * q_width];
                    rotary.rotate(q, s.head_dim, angles);
                    rotary.rotate(k, s.head_dim, angles);
                }
                let page = pass.pages[span.pages.start + position / PAGE];
                let at = At {
                    layer: index,
                    page,
                    place: position % PAGE,
                };
                pool.write(at, k, v);
            }
        }
        attended.resize(pass.rows.len() * q_width, 0.0);
        Attention {
            pool,
            layer: index,
            heads: s.heads,
            scale: self.scales.attention,
            window: layer.window,
            sinks: layer.sinks.as_deref(),
            pages: &pass.pages,
            queries: q,
            vectors: self.kernels.vectors(),
        }
        .run(&self.kernels, tiles, scores, attended);
        let rows = Rows::new(attended, q_width);
        self.kernels
            .matmul([&layer.output.matrix], &rows, [&mut *out]);
        layer.output.add_bias(&self.kernels, out);
        self.norm_out(layer.norms.attention_out.as_deref(), out, normed);
        self.kernels.scale(out, self.scales.residual);
        self.kernels.add(x, out);
    }

    /// A layer's feed-forward part: adds to `scratch.x` what it gives.
    fn feed_forward(&self, index: usize, scratch: &mut Scratch) {
        let layer = &self.layers[index];
        let Scratch {
            x,
            normed,
            out,
            work,
            routing,
            ..
        } = scratch;
        let input = self.norm(layer.norms.feed_forward.as_deref(), x, normed);
        match &layer.feed_forward {
            FeedForward::Dense(gated) => gated.run(&self.kernels, self.gate, input, work, out),
            FeedForward::Experts(mixture) => {
                mixture.run(&self.kernels, self.gate, input, (work, routing), out);
            }
        }
        self.norm_out(layer.norms.feed_forward_out.as_deref(), out, normed);
        self.kernels.scale(out, self.scales.residual);
        self.kernels.add(x, out);
    }

    /// The rows of `x`, normed if there is a norm.
    fn norm<'a>(
        &self,
        weight: Option<&[f32]>,
        x: &'a [f32],
        normed: &'a mut Vec<f32>,
    ) -> &'a [f32] {
        match weight {
            None => x,
            Some(weight) => {
                self.kernels.rms_norm(x, weight, self.shape.epsilon, normed);
                normed
            }
        }
    }

    /// Norms rows in their place, if there is a norm; `spare` is scratch.
    fn norm_out(&self, weight: Option<&[f32]>, rows: &mut Vec<f32>, spare: &mut Vec<f32>) {
        if let Some(weight) = weight {
            self.kernels
                .rms_norm(rows, weight, self.shape.epsilon, spare);
            std::mem::swap(rows, spare);
        }
    }
}

/// A rotary embedding with the file's own factors, if it has some.
fn rotary(gguf: &Gguf, rope: &Rope) -> Result<Rotary, GgufError> {
    let load = |name: &str| Table::load_vector(gguf, name, rope.rotated / 2);
    let factors = rope.factors.map(load).transpose()?;
    Ok(Rotary::new(rope, factors.as_deref()))
}
