//! A model on GPUs. Each has a part of every matrix's outputs and of the key-value heads; what they give is put together, so that all
//! have the same rows, and the bits don't depend on how many there are.
//!
//! - [`Gpu`]: the order of a pass, as [`crate::decoder`] has it
//! - `memory`: what one GPU holds; `steps`: the kernels
//!
//! What is looked up or chosen once a row stays on the processor: embeddings, rotary angles, experts, what is kept of logits.

mod memory;
mod steps;

use std::ops::Range;
use std::sync::Arc;

use mythic_interface::sampler::RowError;
use parking_lot::Mutex;

use super::cpu;
use super::driver::{Buffer, Driver};
use super::error::DeviceError;
use super::seam::{Device, NoDevice, Sizes, Take};
use crate::config::Lab;
use crate::decoder::experts::{Choice, Mixture};
use crate::decoder::{FeedForward as HostFeedForward, LOGIT_ROWS, Model, Pass, Scratch};
use crate::kernels::attention::SEGMENT;
use crate::kv::Pool;
use crate::logits::{self, Kept};
use crate::pages::PageId;
use crate::residuals::PageRows;
use memory::{At, Gated, Linear, Needs, Part, Slice};
use mythic_model::layout::Pairs;
use steps::{Batch, Reads};

/// Most dimensions of a head: a block's queries share its memory.
const MOST_DIM: usize = 512;

/// What a pass works on here.
#[derive(Default)]
struct Host {
    x: Vec<f32>,
    angles: Vec<f32>,
    positions: Vec<i32>,
    pages_at: Vec<i32>,
    pages: Vec<u32>,
    wanted: Vec<usize>,
    numbers: Vec<i32>,
    places: Vec<i32>,
    order: Vec<u32>,
    choices: Vec<Choice>,
    weights: Vec<f32>,
    /// A device's part of rows.
    part: Vec<f32>,
    logits: Vec<f32>,
    kept: Vec<Mutex<Option<Result<Kept, RowError>>>>,
}

/// A model on GPUs; once they failed, on this processor.
pub struct Gpu {
    model: Model,
    name: String,
    parts: Vec<Part>,
    host: Host,
    rows: usize,
    sizes: Sizes,
    /// Queries times segments that attention has room for.
    scored: usize,
    /// What goes on in their place.
    instead: Option<(Pool, Scratch)>,
}

/// What GPUs can't do of a model.
fn unsupported(model: &Model) -> Option<String> {
    let dim = model.shape.head_dim;
    (dim > MOST_DIM).then(|| format!("heads of {dim} dimensions: at most {MOST_DIM}"))
}

impl Gpu {
    /// Takes memory for passes of `rows` rows and copies the weights. What fails gives the model back.
    pub fn new(
        model: Model,
        drivers: &[Arc<dyn Driver>],
        rows: usize,
        sizes: Sizes,
    ) -> Result<Self, Box<(Model, DeviceError)>> {
        if let Some(what) = unsupported(&model) {
            return Err(Box::new((model, DeviceError::Unsupported(what))));
        }
        let devices = drivers.len();
        let needs = Needs {
            model: &model,
            rows,
            sizes,
            devices,
        };
        let scored = needs.scored();
        let parts = drivers.iter().enumerate();
        let parts = parts.map(|(device, driver)| Part::load(driver, &needs, (device, devices)));
        let parts = match parts.collect::<Result<Vec<_>, _>>() {
            Ok(parts) => parts,
            Err(error) => return Err(Box::new((model, error))),
        };
        let names: Vec<String> = drivers.iter().map(|driver| driver.name()).collect();
        Ok(Self {
            model,
            name: names.join(" + "),
            parts,
            host: Host::default(),
            rows,
            sizes,
            scored,
            instead: None,
        })
    }

    pub fn model(&self) -> &Model {
        &self.model
    }

    pub fn sizes(&self) -> Sizes {
        self.sizes
    }

    pub fn into_model(self) -> Model {
        self.model
    }

    /// Calls `step` with every GPU.
    fn all(&self, step: impl Fn(&Part) -> Result<(), DeviceError>) -> Result<(), DeviceError> {
        self.parts.iter().try_for_each(step)
    }

    /// Copies the same values to every GPU.
    fn put<T: bytemuck::NoUninit>(&self, at: At, values: &[T]) -> Result<(), DeviceError> {
        self.all(|part| part.at(at).put(0, values))
    }

    /// Puts together what each GPU has of rows of `stride` columns in [`At::Part`].
    fn gather(
        &self,
        columns: impl Fn(&Part) -> Range<usize>,
        (rows, stride): (usize, usize),
        to: At,
        spare: &mut Vec<f32>,
    ) -> Result<(), DeviceError> {
        for from in &self.parts {
            let columns = columns(from);
            if columns.is_empty() {
                continue;
            }
            spare.resize(rows * columns.len(), 0.0);
            from.at(At::Part).get(spare)?;
            self.put(At::Staging, spare)?;
            self.all(|part| part.columns(to, rows, &columns, stride))?;
        }
        Ok(())
    }

    /// Rows that were rounded, or those `from` where weights are floats, times a matrix, plus its biases.
    fn linear(
        &self,
        of: impl Fn(&Part) -> &Linear,
        (from, to): (At, At),
        rows: usize,
        spare: &mut Vec<f32>,
    ) -> Result<(), DeviceError> {
        let Some(first) = self.parts.first() else {
            return Ok(());
        };
        let all = of(first).slice.all;
        if self.parts.len() == 1 {
            first.multiply(&of(first).slice, from, rows, to)?;
        } else {
            self.all(|part| part.multiply(&of(part).slice, from, rows, At::Part))?;
            let columns = |part: &Part| of(part).slice.outputs.clone();
            self.gather(columns, (rows, all), to, spare)?;
        }
        self.all(|part| match &of(part).bias {
            None => Ok(()),
            Some(bias) => part.add_bias(to, bias, (rows * all, all)),
        })
    }

    /// Norms rows of `len` values in all, if there is a norm; says where they are then.
    fn norm(
        &self,
        of: impl Fn(&Part) -> Option<&Buffer>,
        (from, to): (At, At),
        (len, n): (usize, usize),
    ) -> Result<At, DeviceError> {
        let epsilon = self.model.shape.epsilon;
        let mut at = from;
        for part in &self.parts {
            if let Some(weight) = of(part) {
                part.rms_norm((from, to), weight, (len, n), epsilon)?;
                at = to;
            }
        }
        Ok(at)
    }

    /// Copies what a pass begins with.
    fn begin(&self, pass: &Pass, host: &mut Host) -> Result<(), DeviceError> {
        let width = self.model.shape.embedding;
        host.x.resize(pass.rows.len() * width, 0.0);
        for (row, x) in pass.rows.iter().zip(host.x.chunks_exact_mut(width)) {
            self.model.embedding.row(row.token as usize, x);
        }
        let kernels = &self.model.kernels;
        kernels.scale(&mut host.x, self.model.scales.embedding);
        self.put(At::X, &host.x)?;
        for (rotary, at) in [
            (&self.model.rotary, At::Angles),
            (&self.model.window_rotary, At::WindowAngles),
        ] {
            host.angles.clear();
            for row in &pass.rows {
                let angles = rotary.angles(row.position);
                host.angles.extend(angles.flat_map(|(cos, sin)| [cos, sin]));
            }
            self.put(at, &host.angles)?;
        }
        host.positions.clear();
        let positions = pass.rows.iter().map(|row| row.position as i32);
        host.positions.extend(positions);
        self.put(At::Positions, &host.positions)?;
        host.pages_at.clear();
        host.pages_at.resize(pass.rows.len(), 0);
        for span in &pass.spans {
            host.pages_at[span.rows.clone()].fill(span.pages.start as i32);
        }
        self.put(At::FirstPages, &host.pages_at)?;
        host.pages.clear();
        host.pages.extend(pass.pages.iter().map(|page| page.0));
        self.put(At::Pages, &host.pages)
    }

    /// A layer's attention: adds to the rows what it gives.
    fn attention(&self, index: usize, pass: &Pass, host: &mut Host) -> Result<(), DeviceError> {
        let (layer, s) = (&self.model.layers[index], &self.model.shape);
        let (rows, spare) = (pass.rows.len(), &mut host.part);
        let (e, q, kv) = (s.embedding, s.heads * s.head_dim, s.kv_heads * s.head_dim);
        let input = self.norm(
            |part| part.layers[index].norms.attention.as_ref(),
            (At::X, At::Normed),
            (rows * e, e),
        )?;
        self.all(|part| part.quantise(input, rows * e))?;
        self.linear(|part| &part.layers[index].q, (input, At::Q), rows, spare)?;
        self.linear(|part| &part.layers[index].k, (input, At::K), rows, spare)?;
        self.linear(|part| &part.layers[index].v, (input, At::V), rows, spare)?;
        if let (Some(of_q), Some(of_k)) = (&layer.q_norm, &layer.k_norm) {
            self.norm(
                |part| part.layers[index].q_norm.as_ref(),
                (At::Q, At::Q),
                (rows * q, of_q.len()),
            )?;
            self.norm(
                |part| part.layers[index].k_norm.as_ref(),
                (At::K, At::K),
                (rows * kv, of_k.len()),
            )?;
        }
        if layer.rotated {
            let (rotary, angles) = match layer.window {
                None => (&self.model.rotary, At::Angles),
                Some(_) => (&self.model.window_rotary, At::WindowAngles),
            };
            let neighbours = rotary.kind() == Pairs::Neighbours;
            let turned = (s.head_dim, rotary.pairs(), neighbours);
            self.all(|part| {
                part.rotate(At::Q, angles, (rows, s.heads), turned)?;
                part.rotate(At::K, angles, (rows, s.kv_heads), turned)
            })?;
        }
        let shape = self.model.kv_shape();
        self.all(|part| part.store(index, shape, rows))?;
        let window = layer
            .window
            .map_or(0, |window| window.get().min(i32::MAX as usize));
        let together = self.parts.len() == 1;
        let reads = Reads {
            layer: index,
            shape,
            heads: s.heads,
            window,
            scale: self.model.scales.attention,
            out: if together { At::Attended } else { At::Part },
        };
        for batch in self.batches(pass, window) {
            self.all(|part| part.attention(&reads, batch))?;
        }
        if !together {
            let wide = q / s.kv_heads;
            let columns = |part: &Part| part.heads.start * wide..part.heads.end * wide;
            self.gather(columns, (rows, q), At::Attended, spare)?;
        }
        self.all(|part| part.quantise(At::Attended, rows * q))?;
        let way = (At::Attended, At::Out);
        self.linear(|part| &part.layers[index].output, way, rows, spare)?;
        self.norm(
            |part| part.layers[index].norms.attention_out.as_ref(),
            (At::Out, At::Out),
            (rows * e, e),
        )?;
        self.add_out(rows * e)
    }

    /// Adds what a part of a layer gave, scaled, to the rows.
    fn add_out(&self, len: usize) -> Result<(), DeviceError> {
        self.all(|part| {
            part.scale(At::Out, len, self.model.scales.residual)?;
            part.add(At::X, At::Out, len)
        })
    }

    /// Rows whose scores there is room for, and the most segments that one of them reads.
    fn batches(&self, pass: &Pass, window: usize) -> Vec<Batch> {
        let segments = |position: usize| {
            let end = position + 1;
            let start = match window {
                0 => 0,
                window => end.saturating_sub(window),
            };
            end.div_ceil(SEGMENT) - start / SEGMENT
        };
        let heads = self.model.shape.heads;
        let mut batches: Vec<Batch> = Vec::new();
        for (row, of) in pass.rows.iter().enumerate() {
            let own = segments(of.position);
            let next = Batch {
                first: row,
                rows: 1,
                segments: own,
            };
            match batches.last_mut() {
                Some(last) => {
                    let most = last.segments.max(own);
                    if (last.rows + 1) * most * heads <= self.scored {
                        (last.rows, last.segments) = (last.rows + 1, most);
                    } else {
                        batches.push(next);
                    }
                }
                None => batches.push(next),
            }
        }
        batches
    }

    /// A layer's feed-forward part: adds to the rows what it gives.
    fn feed_forward(&self, index: usize, rows: usize, host: &mut Host) -> Result<(), DeviceError> {
        let e = self.model.shape.embedding;
        let input = self.norm(
            |part| part.layers[index].norms.feed_forward.as_ref(),
            (At::X, At::Normed),
            (rows * e, e),
        )?;
        self.all(|part| part.quantise(input, rows * e))?;
        match &self.model.layers[index].feed_forward {
            HostFeedForward::Dense(_) => {
                self.gated(index, 0, (input, At::Out), rows, &mut host.part)?;
            }
            HostFeedForward::Experts(mixture) => self.experts(index, mixture, input, rows, host)?,
        }
        self.norm(
            |part| part.layers[index].norms.feed_forward_out.as_ref(),
            (At::Out, At::Out),
            (rows * e, e),
        )?;
        self.add_out(rows * e)
    }

    /// A gated network of a layer, of experts the one with this number; its rows are rounded already.
    fn gated(
        &self,
        index: usize,
        expert: usize,
        (from, to): (At, At),
        rows: usize,
        spare: &mut Vec<f32>,
    ) -> Result<(), DeviceError> {
        let f = self.model.shape.feed_forward;
        self.linear(
            |part| &part.gated(index, expert).gate,
            (from, At::Gate),
            rows,
            spare,
        )?;
        self.linear(
            |part| &part.gated(index, expert).up,
            (from, At::Up),
            rows,
            spare,
        )?;
        self.all(|part| {
            part.gate(self.model.gate, rows * f)?;
            part.quantise(At::Gate, rows * f)
        })?;
        self.linear(
            |part| &part.gated(index, expert).down,
            (At::Gate, to),
            rows,
            spare,
        )
    }

    /// A layer's mixture of experts: rows are routed here, as [`Mixture::run`] does it.
    fn experts(
        &self,
        index: usize,
        mixture: &Mixture,
        input: At,
        rows: usize,
        host: &mut Host,
    ) -> Result<(), DeviceError> {
        let (e, used) = (self.model.shape.embedding, mixture.used);
        self.linear(
            |part| part.router(index),
            (input, At::Logits),
            rows,
            &mut host.part,
        )?;
        host.logits.resize(rows * mixture.experts.len(), 0.0);
        if let Some(first) = self.parts.first() {
            first.at(At::Logits).get(&mut host.logits)?;
        }
        let (order, choices, weights) = (&mut host.order, &mut host.choices, &mut host.weights);
        mixture.route(&host.logits, order, choices, weights);
        host.numbers.clear();
        host.places.clear();
        for choice in &host.choices {
            host.numbers.push(choice.row as i32);
            host.places.push((choice.row * used + choice.place) as i32);
        }
        self.put(At::Rows, &host.numbers)?;
        self.put(At::Places, &host.places)?;
        self.put(At::Weights, &host.weights)?;
        let mut first = 0;
        for chosen in host.choices.chunk_by(|a, b| a.expert == b.expert) {
            let (count, before) = (chosen.len(), 4 * first as u64);
            self.all(|part| {
                let numbers = part.address(At::Rows) + before;
                part.carry("gather", (input, At::Gathered), numbers, (count, e))?;
                part.quantise(At::Gathered, count * e)
            })?;
            let expert = chosen[0].expert as usize;
            let way = (At::Gathered, At::Given);
            self.gated(index, expert, way, count, &mut host.part)?;
            self.all(|part| {
                let places = part.address(At::Places) + before;
                part.carry("scatter", (At::Given, At::Results), places, (count, e))
            })?;
            first += count;
        }
        self.all(|part| part.mix((rows, e), used))
    }

    /// All of a pass.
    fn pass(&self, pass: &Pass, host: &mut Host, take: &mut Take<'_>) -> Result<(), DeviceError> {
        self.begin(pass, host)?;
        for index in 0..self.model.layers.len() {
            self.attention(index, pass, host)?;
            self.feed_forward(index, pass.rows.len(), host)?;
        }
        self.logits(pass, host, take)
    }

    /// The logits of the rows that want them, and what is kept.
    fn logits(&self, pass: &Pass, host: &mut Host, take: &mut Take<'_>) -> Result<(), DeviceError> {
        let (s, kernels) = (&self.model.shape, &self.model.kernels);
        let (e, vocabulary) = (s.embedding, self.model.output.rows);
        let wanted = |i: &usize| pass.rows[*i].keep.is_some();
        host.wanted.clear();
        host.wanted.extend((0..pass.rows.len()).filter(wanted));
        host.kept.resize_with(LOGIT_ROWS, Mutex::default);
        for rows in host.wanted.chunks(LOGIT_ROWS) {
            host.numbers.clear();
            host.numbers.extend(rows.iter().map(|row| *row as i32));
            self.put(At::Rows, &host.numbers)?;
            host.logits.resize(rows.len() * vocabulary, 0.0);
            for part in &self.parts {
                let numbers = part.address(At::Rows);
                part.carry("gather", (At::X, At::Normed), numbers, (rows.len(), e))?;
                let len = (rows.len() * e, e);
                part.rms_norm((At::Normed, At::Normed), &part.output_norm, len, s.epsilon)?;
                part.quantise(At::Normed, rows.len() * e)?;
                part.multiply(&part.output, At::Normed, rows.len(), At::Logits)?;
            }
            // Each works while another's are copied.
            for part in &self.parts {
                let to = (&mut host.part, &mut host.logits[..]);
                copy_columns(part, &part.output, rows.len(), to)?;
            }
            kernels.scale(&mut host.logits, self.model.scales.logits);
            kernels.pool().run(rows.len(), |at| {
                let row = &host.logits[at * vocabulary..(at + 1) * vocabulary];
                let keep = pass.rows[rows[at]].keep.unwrap_or_default();
                *host.kept[at].lock() = Some(logits::keep(kernels.wide(), row, &keep));
            });
            let all = host.logits.chunks_exact(vocabulary);
            for ((i, row), kept) in rows.iter().zip(all).zip(&host.kept) {
                if let Some(kept) = kept.lock().take() {
                    take(*i, kept, row);
                }
            }
        }
        Ok(())
    }
}

/// Copies what a GPU has of rows of logits.
fn copy_columns(
    part: &Part,
    output: &Slice,
    rows: usize,
    (spare, logits): (&mut Vec<f32>, &mut [f32]),
) -> Result<(), DeviceError> {
    let (columns, all) = (output.outputs.clone(), output.all);
    if columns.len() == all {
        return part.at(At::Logits).get(logits);
    }
    if columns.is_empty() {
        return Ok(());
    }
    spare.resize(rows * columns.len(), 0.0);
    part.at(At::Logits).get(spare)?;
    for (row, from) in logits
        .chunks_exact_mut(all)
        .zip(spare.chunks_exact(columns.len()))
    {
        row[columns.clone()].copy_from_slice(from);
    }
    Ok(())
}

/// Residual rows and single layers are for audits.
fn no_audits() -> DeviceError {
    DeviceError::Unsupported("audits of layers".into())
}

impl Part {
    /// A layer's gated network, of experts the one with this number.
    fn gated(&self, layer: usize, expert: usize) -> &Gated {
        &self.layers[layer].networks[expert]
    }

    fn router(&self, layer: usize) -> &Linear {
        let router = self.layers[layer].router.as_ref();
        router.expect("experts have a router")
    }
}

impl Device for Gpu {
    fn name(&self) -> String {
        match self.instead {
            None => self.name.clone(),
            Some(_) => self.model.kernels().device(),
        }
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn threads(&self) -> usize {
        self.model.kernels().threads()
    }

    fn forward(&mut self, pass: &Pass, take: &mut Take<'_>) -> Result<(), DeviceError> {
        if let Some((pool, scratch)) = &mut self.instead {
            let take =
                |row: usize, kept: Result<Kept, RowError>, logits: &[f32]| take(row, kept, logits);
            self.model.forward(pass, pool, scratch, take);
            return Ok(());
        }
        assert!(pass.rows.len() <= self.rows, "rows of a pass");
        let mut host = std::mem::take(&mut self.host);
        let done = self.pass(pass, &mut host, take);
        self.host = host;
        done
    }

    fn keep_residuals(&mut self, _: PageRows) -> Result<(), DeviceError> {
        Err(no_audits())
    }

    fn residuals(&mut self) -> Option<&mut PageRows> {
        None
    }

    fn layers(&mut self) -> Result<(&Model, &mut Scratch), DeviceError> {
        Err(no_audits())
    }

    /// A GPU's memory is taken once.
    fn release(&mut self, pages: &mut [PageId]) {
        if let Some((pool, _)) = &mut self.instead {
            pool.release(pages);
        }
    }

    fn fall_back(&mut self) -> Result<(), NoDevice> {
        self.parts.clear();
        let sizes = Sizes {
            residuals: 0,
            ..self.sizes
        };
        let pool = cpu::pool(&self.model, (self.rows, Lab::default()), sizes)?;
        self.instead = Some((pool, Scratch::default()));
        Ok(())
    }
}
