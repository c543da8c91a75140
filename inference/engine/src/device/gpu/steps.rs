//! The steps of a pass on one GPU, each a kernel: what it takes, and how many threads.

use bytemuck::NoUninit;

use super::memory::{At, Part, Slice, page_numbers};
use crate::device::calls::{
    Attention, Columns, Floats, Matmul, Mix, Move, Quantise, RmsNorm, Rotate, Rounded, Store,
    Values,
};
use crate::device::driver::Buffer;
use crate::device::error::DeviceError;
use crate::kernels::attention::SEGMENT;
use crate::kernels::math::LANES;
use crate::kv::Shape;
use mythic_model::layout::Gate;

/// Threads of a block of most kernels.
const THREADS: usize = 256;
/// Most rows of the kernel for few.
const NARROW: usize = 16;
/// Outputs and rows of a block of the kernel for many.
const WIDE: (usize, usize) = (64, 32);
/// Values of a block that is rounded with one scale.
const BLOCK: usize = 32;

/// What of a layer's attention is the same for all rows.
pub(crate) struct Reads {
    pub layer: usize,
    pub shape: Shape,
    pub heads: usize,
    pub window: usize,
    pub scale: f32,
    /// Where the results go.
    pub out: At,
}

/// Rows whose attention is computed at once.
#[derive(Clone, Copy)]
pub(crate) struct Batch {
    pub first: usize,
    pub rows: usize,
    /// Most segments that one of them reads.
    pub segments: usize,
}

impl Part {
    fn run<A: NoUninit>(
        &self,
        kernel: &str,
        grid: [usize; 3],
        threads: usize,
        argument: &A,
    ) -> Result<(), DeviceError> {
        if grid.contains(&0) {
            return Ok(());
        }
        let words: &[u64] = bytemuck::cast_slice(std::slice::from_ref(argument));
        let grid = grid.map(|n| n as u32);
        // SAFETY: the functions below give each kernel its own struct, with buffers of this device that `Needs` made large enough
        // for the rows of a pass, which `Gpu::forward` checks.
        unsafe { self.driver.launch(kernel, grid, threads as u32, words) }
    }

    /// A thread a value.
    fn each<A: NoUninit>(&self, kernel: &str, len: usize, argument: &A) -> Result<(), DeviceError> {
        self.run(kernel, [len.div_ceil(THREADS), 1, 1], THREADS, argument)
    }

    /// Norms rows of as many values as there are weights, `len` values in all.
    pub fn rms_norm(
        &self,
        (from, to): (At, At),
        weight: &Buffer,
        (len, n): (usize, usize),
        epsilon: f32,
    ) -> Result<(), DeviceError> {
        let argument = RmsNorm {
            x: self.address(from),
            weight: weight.address(),
            out: self.address(to),
            n: n as i32,
            epsilon,
        };
        self.run("rms_norm", [len / n, 1, 1], LANES, &argument)
    }

    fn rounded(&self) -> Rounded {
        Rounded {
            q: self.address(At::Integers),
            d: self.address(At::Scales),
            ds: self.address(At::ScaledSums),
            sums: self.address(At::Sums),
        }
    }

    /// Rounds rows of whole blocks, `len` values in all.
    pub fn quantise(&self, from: At, len: usize) -> Result<(), DeviceError> {
        let argument = Quantise {
            x: self.address(from),
            y: self.rounded(),
            blocks: (len / BLOCK) as i64,
        };
        self.each("quantise", len / BLOCK, &argument)
    }

    /// The rows that were rounded, or those `from` where weights are floats, times a matrix.
    pub fn multiply(&self, w: &Slice, from: At, rows: usize, to: At) -> Result<(), DeviceError> {
        let outputs = w.outputs.len();
        if w.is_float {
            let argument = Floats {
                w: w.integers.address(),
                x: self.address(from),
                out: self.address(to),
                rows: rows as i32,
                cols: w.cols as i32,
                outputs: outputs as i32,
                rest: 0,
            };
            return self.run(
                &w.kernels[0],
                [outputs.div_ceil(128), rows, 1],
                128,
                &argument,
            );
        }
        let argument = Matmul {
            integers: w.integers.address(),
            factors: w.factors.address(),
            headers: w.headers.address(),
            y: self.rounded(),
            out: self.address(to),
            rows: rows as i32,
            blocks: (w.cols / BLOCK) as i32,
            outputs: outputs as i32,
            rest: 0,
        };
        match rows <= NARROW {
            true => self.run(
                &w.kernels[0],
                [outputs.div_ceil(8), 1, 1],
                THREADS,
                &argument,
            ),
            false => self.run(
                &w.kernels[1],
                [outputs.div_ceil(WIDE.0), rows.div_ceil(WIDE.1), 1],
                128,
                &argument,
            ),
        }
    }

    fn values(
        &self,
        kernel: &str,
        (x, y): (At, u64),
        (len, cols): (usize, usize),
        by: f32,
    ) -> Result<(), DeviceError> {
        let argument = Values {
            x: self.address(x),
            y,
            len: len as i64,
            cols: cols as i32,
            by,
        };
        self.each(kernel, len, &argument)
    }

    pub fn add(&self, x: At, y: At, len: usize) -> Result<(), DeviceError> {
        self.values("add_rows", (x, self.address(y)), (len, 1), 1.0)
    }

    pub fn add_bias(
        &self,
        x: At,
        bias: &Buffer,
        (len, cols): (usize, usize),
    ) -> Result<(), DeviceError> {
        self.values("add_bias", (x, bias.address()), (len, cols), 1.0)
    }

    pub fn scale(&self, x: At, len: usize, by: f32) -> Result<(), DeviceError> {
        match by == 1.0 {
            true => Ok(()),
            false => self.values("scale_rows", (x, 0), (len, 1), by),
        }
    }

    pub fn gate(&self, kind: Gate, len: usize) -> Result<(), DeviceError> {
        let kernel = match kind {
            Gate::Silu => "gate_silu",
            Gate::Gelu => "gate_gelu",
            Gate::Clamped => "gate_clamped",
        };
        self.values(kernel, (At::Gate, self.address(At::Up)), (len, 1), 1.0)
    }

    /// Rotates `rows` of `count` heads.
    pub fn rotate(
        &self,
        heads: At,
        angles: At,
        (rows, count): (usize, usize),
        (dim, pairs, neighbours): (usize, usize, bool),
    ) -> Result<(), DeviceError> {
        let len = rows * count * pairs;
        let argument = Rotate {
            heads: self.address(heads),
            angles: self.address(angles),
            len: len as i64,
            count: count as i32,
            dim: dim as i32,
            pairs: pairs as i32,
            neighbours: neighbours.into(),
        };
        self.each("rotate", len, &argument)
    }

    /// Copies rows: `rows` is the address of their numbers.
    pub fn carry(
        &self,
        kernel: &str,
        (from, to): (At, At),
        rows: u64,
        (count, cols): (usize, usize),
    ) -> Result<(), DeviceError> {
        let argument = Move {
            from: self.address(from),
            to: self.address(to),
            rows,
            len: (count * cols) as i64,
            cols: cols as i32,
            rest: 0,
        };
        self.each(kernel, count * cols, &argument)
    }

    /// Puts the columns that are in [`At::Staging`] where they belong.
    pub fn columns(
        &self,
        to: At,
        rows: usize,
        columns: &std::ops::Range<usize>,
        stride: usize,
    ) -> Result<(), DeviceError> {
        let len = rows * columns.len();
        let argument = Columns {
            from: self.address(At::Staging),
            to: self.address(to),
            len: len as i64,
            cols: columns.len() as i32,
            stride: stride as i32,
            first: columns.start as i32,
            rest: 0,
        };
        self.each("columns", len, &argument)
    }

    /// What rows get back from their experts.
    pub fn mix(&self, (rows, cols): (usize, usize), used: usize) -> Result<(), DeviceError> {
        let argument = Mix {
            results: self.address(At::Results),
            weights: self.address(At::Weights),
            out: self.address(At::Out),
            len: (rows * cols) as i64,
            cols: cols as i32,
            used: used as i32,
        };
        self.each("mix", rows * cols, &argument)
    }

    /// Keeps the keys and values of rows, of this device's heads.
    pub fn store(&self, layer: usize, shape: Shape, rows: usize) -> Result<(), DeviceError> {
        let len = rows * self.heads.len() * shape.head_dim;
        let argument = Store {
            pool: self.pool.address(),
            k: self.address(At::K),
            v: self.address(At::V),
            positions: self.address(At::Positions),
            pages_at: self.address(At::FirstPages),
            pages: self.address(At::Pages),
            page_size: page_numbers(shape, self.heads.len()) as i64,
            len: len as i64,
            layer: layer as i32,
            all_heads: shape.kv_heads as i32,
            first_head: self.heads.start as i32,
            kv_heads: self.heads.len() as i32,
            dim: shape.head_dim as i32,
            rest: 0,
        };
        self.each("store", len, &argument)
    }

    /// Attention of some rows, of this device's heads.
    pub fn attention(&self, of: &Reads, batch: Batch) -> Result<(), DeviceError> {
        let (local, group) = (self.heads.len(), of.heads / of.shape.kv_heads);
        let sinks = self.layers[of.layer].sinks.as_ref();
        let argument = Attention {
            pool: self.pool.address(),
            queries: self.address(At::Q),
            sinks: sinks.map_or(0, Buffer::address),
            out: self.address(of.out),
            positions: self.address(At::Positions),
            pages_at: self.address(At::FirstPages),
            pages: self.address(At::Pages),
            largest: self.address(At::Largest),
            sums: self.address(At::SegmentSums),
            scores: self.address(At::Scores),
            values: self.address(At::SegmentValues),
            page_size: page_numbers(of.shape, local) as i64,
            layer: of.layer as i32,
            heads: of.heads as i32,
            kv_heads: local as i32,
            first_head: self.heads.start as i32,
            group: group as i32,
            dim: of.shape.head_dim as i32,
            window: of.window as i32,
            segments: batch.segments as i32,
            first_row: batch.first as i32,
            scale: of.scale,
        };
        let grid = [batch.segments, local, batch.rows];
        self.run("scores", grid, SEGMENT, &argument)?;
        self.run("weigh", grid, SEGMENT, &argument)?;
        self.run("join", [local * group, batch.rows, 1], 128, &argument)
    }
}
