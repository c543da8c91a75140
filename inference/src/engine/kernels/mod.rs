//! The arithmetic of kernel profile `cpu-candle`, apart from the model code: another profile is
//! another implementation of what [`Kernels`] offers.
//!
//! Weights stay quantised where they lie in the file. Formats with blocks of 32 (Q4_0, Q4_1, Q5_0,
//! Q5_1, Q8_0) have kernels here; K-quants use candle's blocks and dot products; floats are
//! multiplied as they are. Every value is computed by one order of operations that depends neither
//! on the batch nor on threads nor on the instruction set.

pub mod attention;
pub mod formats;
pub mod math;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::cell::OnceCell;

use candle_core::quantized::GgmlDType;
use candle_core::quantized::k_quants::{
    BlockQ2K, BlockQ3K, BlockQ4K, BlockQ5K, BlockQ6K, BlockQ8K, GgmlType,
};
use half::{bf16, f16};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::gguf::{Gguf, GgufError, Mapped};
use formats::{BLOCK, Q4_0, Q4_1, Q5_0, Q5_1, Q8, Q8_0};

#[cfg(target_arch = "x86_64")]
use x86::{Isa, Load};

#[cfg(not(target_arch = "x86_64"))]
use formats::Format as Load;

/// The number of this profile in a model's identity.
pub const PROFILE: u16 = 1;

/// Multiplications that are worth another thread.
const GRAIN: usize = 48 * 1024;

/// Which instructions compute; the bits are the same with each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstructionSet {
    /// The best that the processor has.
    #[default]
    Auto,
    /// Plain Rust.
    Portable,
    Avx2,
    #[serde(rename = "avx512-vnni")]
    Avx512Vnni,
}

impl InstructionSet {
    /// Those that this processor has, the plainest first.
    pub fn available() -> Vec<Self> {
        match detect() {
            #[cfg(target_arch = "x86_64")]
            Isa::Vnni => vec![Self::Portable, Self::Avx2, Self::Avx512Vnni],
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => vec![Self::Portable, Self::Avx2],
            Isa::Plain => vec![Self::Portable],
        }
    }

    fn isa(self) -> Result<Isa, KernelsError> {
        let available = Self::available();
        match self {
            Self::Auto => Ok(detect()),
            asked if !available.contains(&asked) => {
                Err(KernelsError::Instructions { asked, available })
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => Ok(Isa::Vnni),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => Ok(Isa::Avx2),
            _ => Ok(Isa::Plain),
        }
    }
}

impl std::fmt::Display for InstructionSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512Vnni => "avx512-vnni",
        })
    }
}

/// Why there are no kernels.
#[derive(Debug, thiserror::Error)]
pub enum KernelsError {
    #[error("cannot start threads: {0}")]
    Threads(#[from] rayon::ThreadPoolBuildError),
    #[error(
        "instruction_set = {asked}: this processor has {}, or auto",
        available.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    )]
    Instructions {
        asked: InstructionSet,
        available: Vec<InstructionSet>,
    },
}

#[cfg(not(target_arch = "x86_64"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Isa {
    Plain,
}

fn detect() -> Isa {
    #[cfg(target_arch = "x86_64")]
    return x86::detect();
    #[cfg(not(target_arch = "x86_64"))]
    Isa::Plain
}

/// A matrix in the model file: `rows` outputs of `cols` inputs each.
pub struct Matrix {
    data: Mapped,
    dtype: GgmlDType,
    pub rows: usize,
    pub cols: usize,
    row_bytes: usize,
}

impl Matrix {
    /// The tensor of that name, its shape checked.
    pub fn load(gguf: &Gguf, name: &str, cols: usize, rows: usize) -> Result<Self, GgufError> {
        Ok(Self::new(gguf.mapped(name, &[cols, rows])?, cols, rows))
    }

    /// A tensor of one dimension, as a matrix of one row.
    pub fn load_vector(gguf: &Gguf, name: &str, len: usize) -> Result<Self, GgufError> {
        Ok(Self::new(gguf.mapped(name, &[len])?, len, 1))
    }

    fn new((data, dtype): (Mapped, GgmlDType), cols: usize, rows: usize) -> Self {
        Self {
            row_bytes: data.bytes().len() / rows,
            data,
            dtype,
            rows,
            cols,
        }
    }

    fn row(&self, index: usize) -> &[u8] {
        &self.data.bytes()[index * self.row_bytes..(index + 1) * self.row_bytes]
    }

    /// Writes one row as f32; `out` has `cols` places.
    pub fn dequantise_row(&self, index: usize, out: &mut [f32]) {
        let row = self.row(index);
        match self.dtype {
            GgmlDType::Q4_0 => formats::dequantise::<Q4_0>(row, out),
            GgmlDType::Q4_1 => formats::dequantise::<Q4_1>(row, out),
            GgmlDType::Q5_0 => formats::dequantise::<Q5_0>(row, out),
            GgmlDType::Q5_1 => formats::dequantise::<Q5_1>(row, out),
            GgmlDType::Q8_0 => formats::dequantise::<Q8_0>(row, out),
            GgmlDType::Q2K => BlockQ2K::to_float(blocks(row), out),
            GgmlDType::Q3K => BlockQ3K::to_float(blocks(row), out),
            GgmlDType::Q4K => BlockQ4K::to_float(blocks(row), out),
            GgmlDType::Q5K => BlockQ5K::to_float(blocks(row), out),
            GgmlDType::Q6K => BlockQ6K::to_float(blocks(row), out),
            GgmlDType::F16 => convert(row, out, |b| f16::from_le_bytes(b).to_f32()),
            GgmlDType::BF16 => convert(row, out, |b| bf16::from_le_bytes(b).to_f32()),
            // The parser lets no other type through than those above and f32.
            _ => convert(row, out, f32::from_le_bytes),
        }
    }
}

fn convert<const N: usize>(row: &[u8], out: &mut [f32], f: impl Fn([u8; N]) -> f32) {
    for (o, b) in out.iter_mut().zip(row.as_chunks::<N>().0) {
        *o = f(*b);
    }
}

/// Bytes of the map as candle's blocks.
fn blocks<T: GgmlType>(bytes: &[u8]) -> &[T] {
    // SAFETY: candle's blocks are repr(C) of integers and f16, any bytes are valid ones;
    // `align_to` gives only what is aligned.
    let (before, blocks, after) = unsafe { bytes.align_to::<T>() };
    assert!(
        before.is_empty() && after.is_empty(),
        "tensors are aligned to 8 bytes and their rows are whole blocks"
    );
    blocks
}

/// Rows of activations, and their quantised forms once something asks for them.
pub struct Rows<'a> {
    x: &'a [f32],
    cols: usize,
    q8: OnceCell<Q8>,
    q8k: OnceCell<Vec<BlockQ8K>>,
}

impl<'a> Rows<'a> {
    /// `x` holds rows of `cols` values.
    pub fn new(x: &'a [f32], cols: usize) -> Self {
        Self {
            x,
            cols,
            q8: OnceCell::new(),
            q8k: OnceCell::new(),
        }
    }

    fn len(&self) -> usize {
        self.x.len() / self.cols
    }

    fn q8(&self) -> &Q8 {
        self.q8.get_or_init(|| Q8::new(self.x, self.cols))
    }

    fn q8k(&self) -> &[BlockQ8K] {
        self.q8k.get_or_init(|| {
            let mut out = vec![BlockQ8K::zeros(); self.x.len() / BlockQ8K::BLCK_SIZE];
            BlockQ8K::from_float(self.x, &mut out);
            out
        })
    }
}

/// Activations in the form that a matrix's format meets.
#[derive(Clone, Copy)]
enum Operand<'a> {
    Q8(&'a Q8),
    Q8K(&'a [BlockQ8K]),
    F32(&'a [f32]),
}

fn operand<'a>(w: &Matrix, x: &'a Rows) -> Operand<'a> {
    match w.dtype {
        GgmlDType::Q4_0 | GgmlDType::Q4_1 | GgmlDType::Q5_0 | GgmlDType::Q5_1 | GgmlDType::Q8_0 => {
            Operand::Q8(x.q8())
        }
        GgmlDType::Q2K | GgmlDType::Q3K | GgmlDType::Q4K | GgmlDType::Q5K | GgmlDType::Q6K => {
            Operand::Q8K(x.q8k())
        }
        _ => Operand::F32(x.x),
    }
}

/// Threads and instruction set.
pub struct Kernels {
    pool: Option<rayon::ThreadPool>,
    threads: usize,
    isa: Isa,
}

impl Kernels {
    /// Kernels on that many threads; 0 = one for each core.
    pub fn new(threads: usize, instructions: InstructionSet) -> Result<Self, KernelsError> {
        let isa = instructions.isa()?;
        let threads = match threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n,
        };
        let pool = match threads {
            1 => None,
            n => Some(
                rayon::ThreadPoolBuilder::new()
                    .num_threads(n)
                    .thread_name(|i| format!("mythic-kernel-{i}"))
                    .build()?,
            ),
        };
        Ok(Self { pool, threads, isa })
    }

    /// Threads that compute.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// What computes, for people.
    pub fn device(&self) -> String {
        let isa = match self.isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Vnni => "AVX-512 VNNI",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => "AVX2",
            Isa::Plain => "portable",
        };
        format!("CPU ({isa})")
    }

    /// Whether there are AVX2, FMA and F16C, and may be used.
    pub fn wide(&self) -> bool {
        self.isa != Isa::Plain
    }

    /// Runs `work` where parallel parts of it are cheapest to start.
    pub fn install<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        match &self.pool {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }

    /// Calls `f` with every number below `count`, in parallel.
    pub fn for_each(&self, count: usize, f: impl Fn(usize) + Send + Sync) {
        if self.pool.is_some() && count > 1 {
            (0..count).into_par_iter().with_max_len(1).for_each(f);
        } else {
            (0..count).for_each(f);
        }
    }

    fn each<T: Send>(&self, tasks: Vec<T>, f: impl Fn(T) + Send + Sync) {
        if self.pool.is_some() && tasks.len() > 1 {
            tasks.into_par_iter().with_max_len(1).for_each(f);
        } else {
            tasks.into_iter().for_each(f);
        }
    }

    /// `outs[i]` = rows of x × `ws[i]` transposed: rows of `ws[i].rows` values. All matrices have
    /// the columns of x; they are multiplied side by side.
    pub fn matmul<const N: usize>(&self, ws: [&Matrix; N], x: &Rows, outs: [&mut Vec<f32>; N]) {
        let n = x.len();
        let outputs: usize = ws.iter().map(|w| w.rows).sum();
        // Outputs first, so that threads write apart; turned round at the end.
        let mut turned = vec![0f32; outputs * n];
        let per_task = (GRAIN / (x.cols * n))
            .max(outputs / (16 * self.threads))
            .max(8);
        let mut tasks = Vec::new();
        let mut rest = turned.as_mut_slice();
        for w in ws {
            assert_eq!(w.cols, x.cols, "inputs of a matrix");
            let (part, tail) = rest.split_at_mut(w.rows * n);
            rest = tail;
            let operand = operand(w, x);
            for (i, out) in part.chunks_mut(per_task * n).enumerate() {
                tasks.push((w, operand, i * per_task, out));
            }
        }
        self.each(tasks, |(w, operand, first, out)| {
            multiply(self.isa, w, operand, first, n, out);
        });
        let mut rest = turned.as_slice();
        for (w, out) in ws.iter().zip(outs) {
            let (part, tail) = rest.split_at(w.rows * n);
            rest = tail;
            out.clear();
            if n == 1 {
                out.extend_from_slice(part);
                continue;
            }
            out.resize(part.len(), 0.0);
            for (row, out) in out.chunks_exact_mut(w.rows).enumerate() {
                for (o, v) in out.iter_mut().zip(part[row..].iter().step_by(n)) {
                    *o = *v;
                }
            }
        }
    }

    /// `gate = silu(gate) × up`.
    pub fn swiglu(&self, gate: &mut [f32], up: &[f32]) {
        math::swiglu(self.wide(), gate, up);
    }
}

/// Rows of w from `first` on, each with all n rows of x: `out` is outputs × n.
fn multiply(isa: Isa, w: &Matrix, x: Operand, first: usize, n: usize, out: &mut [f32]) {
    match (x, w.dtype) {
        (Operand::Q8(y), GgmlDType::Q4_0) => quantised::<Q4_0>(isa, w, y, first, n, out),
        (Operand::Q8(y), GgmlDType::Q4_1) => quantised::<Q4_1>(isa, w, y, first, n, out),
        (Operand::Q8(y), GgmlDType::Q5_0) => quantised::<Q5_0>(isa, w, y, first, n, out),
        (Operand::Q8(y), GgmlDType::Q5_1) => quantised::<Q5_1>(isa, w, y, first, n, out),
        (Operand::Q8(y), _) => quantised::<Q8_0>(isa, w, y, first, n, out),
        (Operand::Q8K(y), GgmlDType::Q2K) => k_quantised::<BlockQ2K>(w, y, first, n, out),
        (Operand::Q8K(y), GgmlDType::Q3K) => k_quantised::<BlockQ3K>(w, y, first, n, out),
        (Operand::Q8K(y), GgmlDType::Q4K) => k_quantised::<BlockQ4K>(w, y, first, n, out),
        (Operand::Q8K(y), GgmlDType::Q5K) => k_quantised::<BlockQ5K>(w, y, first, n, out),
        (Operand::Q8K(y), _) => k_quantised::<BlockQ6K>(w, y, first, n, out),
        (Operand::F32(y), _) => floats(w, y, first, n, out),
    }
}

fn quantised<F: Load>(isa: Isa, w: &Matrix, y: &Q8, first: usize, n: usize, out: &mut [f32]) {
    assert!(y.blocks == w.cols / BLOCK && y.d.len() >= n * y.blocks && y.s.len() == y.d.len());
    for (j, out) in out.chunks_exact_mut(n).enumerate() {
        let row = w.row(first + j);
        let mut at = 0;
        while at < n {
            at += match n - at {
                8.. => tile::<F, 8>(isa, row, y, at, out),
                4.. => tile::<F, 4>(isa, row, y, at, out),
                2.. => tile::<F, 2>(isa, row, y, at, out),
                _ => tile::<F, 1>(isa, row, y, at, out),
            };
        }
    }
}

/// One row of weights with T rows of activations from `at` on; gives T.
#[inline]
fn tile<F: Load, const T: usize>(
    isa: Isa,
    row: &[u8],
    y: &Q8,
    at: usize,
    out: &mut [f32],
) -> usize {
    let mut sums = [0f32; T];
    match isa {
        // SAFETY: `detect` found the features; `quantised` checked that y has n rows of as many
        // blocks as the weights' row, and at + T <= n.
        #[cfg(target_arch = "x86_64")]
        Isa::Vnni => unsafe { x86::vnni::<F, T>(row, y, at, &mut sums) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => unsafe { x86::avx2::<F, T>(row, y, at, &mut sums) },
        Isa::Plain => formats::dot::<F, T>(row, y, at, &mut sums),
    }
    out[at..at + T].copy_from_slice(&sums);
    T
}

fn k_quantised<B: GgmlType<VecDotType = BlockQ8K>>(
    w: &Matrix,
    y: &[BlockQ8K],
    first: usize,
    n: usize,
    out: &mut [f32],
) {
    let per_row = w.cols / BlockQ8K::BLCK_SIZE;
    for (j, out) in out.chunks_exact_mut(n).enumerate() {
        let row = blocks::<B>(w.row(first + j));
        for (o, y) in out.iter_mut().zip(y.chunks_exact(per_row)) {
            *o = B::vec_dot(w.cols, row, y);
        }
    }
}

fn floats(w: &Matrix, x: &[f32], first: usize, n: usize, out: &mut [f32]) {
    let mut row = vec![0f32; w.cols];
    for (j, out) in out.chunks_exact_mut(n).enumerate() {
        w.dequantise_row(first + j, &mut row);
        for (o, x) in out.iter_mut().zip(x.chunks_exact(w.cols)) {
            *o = math::dot(&row, x);
        }
    }
}

#[cfg(test)]
fn detect_wide() -> bool {
    detect() != Isa::Plain
}

#[cfg(test)]
mod tests;
