//! What a GPU holds of a model: its part of every matrix, all norms and biases, its heads' keys and values, and what a pass works on.

use std::ops::Range;
use std::sync::Arc;

use crate::decoder::gated::{Gated as HostGated, Linear as HostLinear};
use crate::decoder::{FeedForward as HostFeedForward, LOGIT_ROWS, Layer as HostLayer, Model};
use crate::device::driver::{Buffer, Driver};
use crate::device::error::DeviceError;
use crate::device::seam::Sizes;
use crate::kernels::Matrix;
use crate::kernels::attention::SEGMENT;
use crate::kernels::layout::LANES;
use crate::kv::Shape;
use crate::pages::{PAGE, pages_for};

/// Bytes of packed weights that are copied at once.
const PIECE: usize = 32 << 20;

/// Scores of queries and segments that there is room for, unless one row needs more.
const SCORED: usize = 16 << 10;

/// f16 numbers of a page of the pool of a GPU that has so many of the heads.
pub(crate) fn page_numbers(shape: Shape, kv_heads: usize) -> usize {
    shape.layers * kv_heads * 2 * PAGE * shape.head_dim
}

/// The part of so many pieces that a device has, of `devices` the one with this number.
pub(crate) fn part(pieces: usize, (device, devices): (usize, usize)) -> Range<usize> {
    pieces * device / devices..pieces * (device + 1) / devices
}

/// Some outputs of a matrix.
pub(crate) struct Slice {
    /// Names of the kernels for few rows and for many; of floats there is one.
    pub kernels: [String; 2],
    pub is_float: bool,
    pub integers: Buffer,
    pub factors: Buffer,
    pub headers: Buffer,
    pub outputs: Range<usize>,
    /// Outputs of the whole matrix.
    pub all: usize,
    pub cols: usize,
}

impl Slice {
    fn load(
        driver: &Arc<dyn Driver>,
        matrix: &Matrix,
        of: (usize, usize),
    ) -> Result<Self, DeviceError> {
        let groups = part(matrix.groups(), of);
        let one = matrix.planes(0..1);
        let sizes = [&one.integers, &one.factors, &one.headers].map(Vec::len);
        let [integers, factors, headers] =
            sizes.map(|size| Buffer::new(driver, size * groups.len()));
        let (integers, factors, headers) = (integers?, factors?, headers?);
        let step = (PIECE / sizes[0]).max(1);
        for first in groups.clone().step_by(step) {
            let planes = matrix.planes(first..groups.end.min(first + step));
            let before = first - groups.start;
            integers.put(before * sizes[0], &planes.integers)?;
            factors.put(before * sizes[1], &planes.factors)?;
            headers.put(before * sizes[2], &planes.headers)?;
        }
        let encoding = matrix.encoding();
        let is_float = matrix.is_float();
        let named = |kind: &str| match is_float {
            true => format!("floats_{encoding:?}"),
            false => format!("{kind}_{encoding:?}"),
        };
        let outputs = groups.start * LANES..(groups.end * LANES).min(matrix.rows);
        Ok(Self {
            kernels: [named("narrow"), named("wide")],
            is_float,
            integers,
            factors,
            headers,
            outputs: outputs.start.min(outputs.end)..outputs.end,
            all: matrix.rows,
            cols: matrix.cols,
        })
    }
}

/// Some outputs of a matrix, and the biases of all.
pub(crate) struct Linear {
    pub slice: Slice,
    pub bias: Option<Buffer>,
}

pub(crate) struct Gated {
    pub gate: Linear,
    pub up: Linear,
    pub down: Linear,
}

/// Which norms a layer has is what the model says.
pub(crate) struct Norms {
    pub attention: Option<Buffer>,
    pub attention_out: Option<Buffer>,
    pub feed_forward: Option<Buffer>,
    pub feed_forward_out: Option<Buffer>,
}

pub(crate) struct Layer {
    pub norms: Norms,
    pub q: Linear,
    pub k: Linear,
    pub v: Linear,
    pub q_norm: Option<Buffer>,
    pub k_norm: Option<Buffer>,
    pub sinks: Option<Buffer>,
    pub output: Linear,
    /// Of a mixture of experts.
    pub router: Option<Linear>,
    /// One, or as many as there are experts.
    pub networks: Vec<Gated>,
}

/// All matrices of a layer.
fn matrices(layer: &HostLayer) -> Vec<&Matrix> {
    fn gated(gated: &HostGated) -> [&Matrix; 3] {
        [&gated.gate, &gated.up, &gated.down].map(|linear| &linear.matrix)
    }
    let mut all: Vec<&Matrix> = [&layer.q, &layer.k, &layer.v, &layer.output]
        .map(|linear| &linear.matrix)
        .to_vec();
    match &layer.feed_forward {
        HostFeedForward::Dense(dense) => all.extend(gated(dense)),
        HostFeedForward::Experts(mixture) => {
            all.push(&mixture.router.matrix);
            all.extend(mixture.experts.iter().flat_map(gated));
        }
    }
    all
}

/// What loads: a device, and which of how many it is.
struct Loader<'a> {
    driver: &'a Arc<dyn Driver>,
    of: (usize, usize),
}

impl Loader<'_> {
    fn vector(&self, values: Option<&Vec<f32>>) -> Result<Option<Buffer>, DeviceError> {
        values
            .map(|values| Buffer::of(self.driver, values))
            .transpose()
    }

    fn linear(&self, linear: &HostLinear) -> Result<Linear, DeviceError> {
        Ok(Linear {
            slice: Slice::load(self.driver, &linear.matrix, self.of)?,
            bias: self.vector(linear.bias.as_ref())?,
        })
    }

    fn gated(&self, gated: &HostGated) -> Result<Gated, DeviceError> {
        Ok(Gated {
            gate: self.linear(&gated.gate)?,
            up: self.linear(&gated.up)?,
            down: self.linear(&gated.down)?,
        })
    }

    fn layer(&self, layer: &HostLayer) -> Result<Layer, DeviceError> {
        let norms = &layer.norms;
        let (router, networks) = match &layer.feed_forward {
            HostFeedForward::Dense(gated) => (None, std::slice::from_ref(gated)),
            HostFeedForward::Experts(mixture) => (Some(&mixture.router), &mixture.experts[..]),
        };
        let networks = networks.iter().map(|network| self.gated(network));
        Ok(Layer {
            norms: Norms {
                attention: self.vector(norms.attention.as_ref())?,
                attention_out: self.vector(norms.attention_out.as_ref())?,
                feed_forward: self.vector(norms.feed_forward.as_ref())?,
                feed_forward_out: self.vector(norms.feed_forward_out.as_ref())?,
            },
            q: self.linear(&layer.q)?,
            k: self.linear(&layer.k)?,
            v: self.linear(&layer.v)?,
            q_norm: self.vector(layer.q_norm.as_ref())?,
            k_norm: self.vector(layer.k_norm.as_ref())?,
            sinks: self.vector(layer.sinks.as_ref())?,
            output: self.linear(&layer.output)?,
            router: router.map(|router| self.linear(router)).transpose()?,
            networks: networks.collect::<Result<_, _>>()?,
        })
    }
}

/// A buffer of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    X,
    Normed,
    Q,
    K,
    V,
    Attended,
    Out,
    Gate,
    Up,
    /// Rows that go to an expert, what it gives, and what all gave.
    Gathered,
    Given,
    Results,
    /// Of a part of the rows; also a router's.
    Logits,
    /// A device's own outputs, and another's on their way.
    Part,
    Staging,
    /// Rows rounded to int8.
    Integers,
    Scales,
    ScaledSums,
    Sums,
    Angles,
    WindowAngles,
    Positions,
    FirstPages,
    Pages,
    /// Numbers of rows, and of places.
    Rows,
    Places,
    Weights,
    /// Of attention: of queries and segments.
    Largest,
    SegmentSums,
    Scores,
    SegmentValues,
}

impl At {
    const ALL: [Self; 31] = [
        Self::X,
        Self::Normed,
        Self::Q,
        Self::K,
        Self::V,
        Self::Attended,
        Self::Out,
        Self::Gate,
        Self::Up,
        Self::Gathered,
        Self::Given,
        Self::Results,
        Self::Logits,
        Self::Part,
        Self::Staging,
        Self::Integers,
        Self::Scales,
        Self::ScaledSums,
        Self::Sums,
        Self::Angles,
        Self::WindowAngles,
        Self::Positions,
        Self::FirstPages,
        Self::Pages,
        Self::Rows,
        Self::Places,
        Self::Weights,
        Self::Largest,
        Self::SegmentSums,
        Self::Scores,
        Self::SegmentValues,
    ];
}

/// What sizes follow from.
pub(crate) struct Needs<'a> {
    pub model: &'a Model,
    /// Of a pass.
    pub rows: usize,
    pub sizes: Sizes,
    pub devices: usize,
}

impl Needs<'_> {
    /// Queries times segments that attention has room for: those of one row at least.
    pub fn scored(&self) -> usize {
        let segments = self.sizes.context.div_ceil(SEGMENT) + 1;
        SCORED.max(self.model.shape.heads * segments)
    }

    fn bytes(&self, at: At) -> usize {
        let s = &self.model.shape;
        let (q, kv) = (s.heads * s.head_dim, s.kv_heads * s.head_dim);
        let widest = s.embedding.max(q).max(kv).max(s.feed_forward);
        let mixtures = self
            .model
            .layers
            .iter()
            .map(|layer| match &layer.feed_forward {
                HostFeedForward::Dense(_) => (0, 0),
                HostFeedForward::Experts(mixture) => (mixture.used, mixture.experts.len()),
            });
        let (used, experts) = mixtures.fold((0, 0), |a, b| (a.0.max(b.0), a.1.max(b.1)));
        let shared = usize::from(self.devices > 1);
        let rows = |numbers: usize| self.rows * numbers;
        let numbers = match at {
            At::X | At::Normed | At::Out => rows(s.embedding),
            At::Q | At::Attended => rows(q),
            At::K | At::V => rows(kv),
            At::Gate | At::Up => rows(s.feed_forward),
            At::Gathered | At::Given => rows(s.embedding * used.min(1)),
            At::Results => rows(s.embedding * used),
            At::Logits => (LOGIT_ROWS * s.vocabulary).max(rows(experts)),
            At::Part | At::Staging => rows(widest * shared).max(rows(experts * shared)),
            // A byte each.
            At::Integers => rows(widest).div_ceil(4),
            At::Scales | At::ScaledSums | At::Sums => rows(widest).div_ceil(32),
            At::Angles => rows(2 * self.model.rotary.pairs()),
            At::WindowAngles => rows(2 * self.model.window_rotary.pairs()),
            At::Positions | At::FirstPages => self.rows,
            At::Pages => rows(pages_for(self.sizes.context)),
            At::Rows | At::Places | At::Weights => rows(used.max(1)),
            At::Largest | At::SegmentSums => self.scored(),
            At::Scores => self.scored() * SEGMENT,
            At::SegmentValues => self.scored() * s.head_dim,
        };
        4 * numbers
    }

    /// Of all buffers of a pass.
    pub fn scratch(&self) -> u64 {
        At::ALL.into_iter().map(|at| self.bytes(at) as u64).sum()
    }

    /// Of the weights that a device of these has at most.
    fn weights(&self) -> u64 {
        let layers = self.model.layers.iter().flat_map(matrices);
        let all = layers.chain([&self.model.output]);
        all.map(|matrix| matrix.packed_bytes().div_ceil(self.devices) as u64)
            .sum()
    }

    fn pool(&self, kv_heads: usize) -> usize {
        2 * page_numbers(self.model.kv_shape(), kv_heads) * self.sizes.pages as usize
    }
}

/// One of the GPUs that share a model.
pub(crate) struct Part {
    pub driver: Arc<dyn Driver>,
    pub layers: Vec<Layer>,
    pub output_norm: Buffer,
    pub output: Slice,
    pub pool: Buffer,
    /// Key-value heads whose keys and values it has.
    pub heads: Range<usize>,
    buffers: Vec<Buffer>,
}

impl Part {
    /// Takes the memory and copies the weights.
    pub fn load(
        driver: &Arc<dyn Driver>,
        needs: &Needs<'_>,
        of: (usize, usize),
    ) -> Result<Self, DeviceError> {
        let model = needs.model;
        let heads = part(model.shape.kv_heads, of);
        let (weights, scratch) = (needs.weights(), needs.scratch());
        let pool = needs.pool(heads.len());
        let (free, all) = driver.memory()?;
        if weights + pool as u64 + scratch > free {
            return Err(DeviceError::TooBig {
                name: driver.name(),
                weights,
                pool: pool as u64,
                scratch,
                free,
                all,
            });
        }
        if free < all - all / 16 {
            tracing::warn!(
                gpu = driver.name(),
                used_bytes = all - free,
                "another process computes on this GPU, or shows pictures; they share its speed"
            );
        }
        let buffers = At::ALL.map(|at| Buffer::new(driver, needs.bytes(at)));
        let loader = Loader { driver, of };
        Ok(Self {
            pool: Buffer::new(driver, pool)?,
            buffers: buffers.into_iter().collect::<Result<_, _>>()?,
            layers: (model.layers.iter())
                .map(|layer| loader.layer(layer))
                .collect::<Result<_, _>>()?,
            output_norm: Buffer::of(driver, &model.output_norm)?,
            output: Slice::load(driver, &model.output, of)?,
            heads,
            driver: driver.clone(),
        })
    }

    pub fn at(&self, at: At) -> &Buffer {
        &self.buffers[at as usize]
    }

    pub fn address(&self, at: At) -> u64 {
        self.at(at).address()
    }
}
