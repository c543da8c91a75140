//! The arithmetic of kernel profile `cpu-w-a8`, apart from the model code.
//!
//! - [`formats`]: weights as GGUF files hold them, and the definition of a dot product
//! - [`activations`]: rows rounded to int8
//! - `encoding`: what is done with each of them
//! - [`layout`] and [`pack`]: weights repacked for the kernels, and the file that keeps them
//! - `weights`: tables and matrices of a model
//! - `portable`, `x86`, `neon`: the kernels; `instructions`: which of them a processor runs
//! - [`math`]: norms, activation
//! - [`gates`]: the gates of feed-forward layers
//! - [`rope`]: the rotary embedding
//! - [`attention`]: attention over pages of keys and values
//! - [`pool`]: the threads that compute
//! - `environment`: the rounding that they compute with
//!
//! Every value is computed by one order of operations, which depends neither on the batch nor on
//! threads nor on the instruction set.

pub mod activations;
pub mod attention;
mod encoding;
pub(crate) mod environment;
mod error;
pub mod formats;
pub mod gates;
mod instructions;
pub mod layout;
pub mod math;
#[cfg(any(test, target_arch = "aarch64"))]
mod neon;
pub mod pack;
pub mod pool;
mod portable;
pub mod rope;
mod weights;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::ops::Range;

use mythic_interface::state::KernelProfile;
use parking_lot::Mutex;

use activations::{BLOCK, PANEL, Q8};
use encoding::encoded;
use formats::Format;
use instructions::Isa;
use layout::{LANES, Lanes};
use mythic_model::layout::Gate;
use pool::ThreadPool;

pub use encoding::Encoding;
pub use error::KernelsError;
pub use instructions::{InstructionSet, Vectors};
pub use weights::{Matrix, Table};

#[cfg(not(target_arch = "x86_64"))]
use formats::Float as Wide;
#[cfg(target_arch = "x86_64")]
use x86::Wide;

/// The number of this profile in a model's identity.
pub const PROFILE: u16 = KernelProfile::CpuWA8 as u16;

/// Bytes of weights, times rows, that are worth a task of their own.
const GRAIN: usize = 24 * 1024;

/// Values that are worth quantising or norming on several threads.
const VALUES: usize = 16 * 1024;

/// Rows of activations.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    x: &'a [f32],
    cols: usize,
}

impl<'a> Rows<'a> {
    /// `x` holds rows of `cols` values.
    pub fn new(x: &'a [f32], cols: usize) -> Self {
        Self { x, cols }
    }

    fn len(&self) -> usize {
        self.x.len() / self.cols
    }
}

/// Threads, instruction set and scratch.
pub struct Kernels {
    pool: ThreadPool,
    isa: Isa,
    q8: Mutex<Vec<Q8>>,
}

/// Memory that several threads write, each its own places.
#[derive(Clone, Copy)]
struct Places<T>(*mut T);

// SAFETY: whoever writes through it vouches that no two threads write one place.
unsafe impl<T: Send> Sync for Places<T> {}

impl<T: Copy> Places<T> {
    /// # Safety
    /// The places lie in the memory, hold values, and nobody else uses them now.
    unsafe fn slice<'m>(self, range: Range<usize>) -> &'m mut [T] {
        // SAFETY: as the caller's.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(range.start), range.len()) }
    }

    /// # Safety
    /// The places `at..at + values.len()` lie in the memory and nobody else uses them now.
    unsafe fn write(&self, at: usize, values: &[T]) {
        // SAFETY: as the caller's.
        unsafe {
            std::ptr::copy_nonoverlapping(values.as_ptr(), self.0.add(at), values.len());
        }
    }
}

/// What matrices are multiplied with.
#[derive(Clone, Copy)]
struct Input<'a> {
    x: &'a Rows<'a>,
    /// The same rounded to int8, if any of the matrices wants that.
    q8: &'a [Q8],
}

/// Results of a multiplication, rows × outputs.
#[derive(Clone, Copy)]
struct Out {
    places: Places<f32>,
    outputs: usize,
}

impl Out {
    /// Writes the sums of groups from `group` on and rows from `first` on: `sums` holds `rows` of
    /// one group, then those of the next. Row by row, so that neighbouring groups fill a cache
    /// line while it is there.
    ///
    /// # Safety
    /// The rows are there, and no other thread has these groups.
    unsafe fn write(&self, group: usize, first: usize, rows: usize, sums: &[Lanes]) {
        let whole = group * LANES + sums.len() / rows * LANES <= self.outputs;
        for row in 0..rows {
            let groups = sums[row..].iter().step_by(rows);
            let first = (first + row) * self.outputs;
            for (at, sums) in (group * LANES..).step_by(LANES).zip(groups) {
                // SAFETY: as the caller's; the lanes end with the outputs.
                unsafe {
                    if whole {
                        // A register's stores, not a call.
                        let place: *mut [f32; LANES] = self.places.0.add(first + at).cast();
                        place.write_unaligned(sums.0);
                    } else {
                        let lanes = LANES.min(self.outputs - at);
                        self.places.write(first + at, &sums.0[..lanes]);
                    }
                }
            }
        }
    }
}

impl Kernels {
    /// Kernels on that many threads; 0 = one for each core.
    pub fn new(threads: usize, instructions: InstructionSet) -> Result<Self, KernelsError> {
        let isa = instructions
            .isa()
            .ok_or_else(|| KernelsError::Instructions {
                asked: instructions,
                available: InstructionSet::available(),
            })?;
        let threads = match threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n,
        };
        environment::check()?;
        Ok(Self {
            pool: ThreadPool::new(threads)?,
            isa,
            q8: Mutex::default(),
        })
    }

    /// Threads that compute.
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// The threads.
    pub fn pool(&self) -> &ThreadPool {
        &self.pool
    }

    /// What computes, for people.
    pub fn device(&self) -> String {
        let isa = match self.isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Vnni => "AVX-512 VNNI",
            #[cfg(target_arch = "x86_64")]
            Isa::AvxVnni => "AVX-VNNI",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => "AVX2",
            #[cfg(target_arch = "aarch64")]
            Isa::NeonDotprod => "NEON with dot products",
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => "NEON",
            _ => "portable",
        };
        format!("CPU ({isa})")
    }

    /// Whether there are AVX2, FMA and F16C, and may be used.
    pub fn wide(&self) -> bool {
        self.vectors() != Vectors::Plain
    }

    /// What attention computes in.
    pub fn vectors(&self) -> Vectors {
        self.isa.vectors()
    }

    /// `outs[i]` = rows of x × `ws[i]` transposed: rows of `ws[i].rows` values. All matrices have
    /// the columns of x; they are multiplied side by side.
    pub fn matmul<const N: usize>(&self, ws: [&Matrix; N], x: &Rows, mut outs: [&mut Vec<f32>; N]) {
        let n = x.len();
        let mut q8 = self.q8.lock();
        if ws.iter().any(|w| !w.is_float()) {
            self.quantise(x, &mut q8);
        }
        let input = Input { x, q8: &q8 };
        let mut jobs = Vec::with_capacity(N);
        let (mut groups, mut bytes) = (0, 0);
        for (w, out) in ws.iter().zip(&mut outs) {
            assert_eq!(w.cols, x.cols, "inputs of a matrix");
            out.resize(n * w.rows, 0.0);
            let out = Out {
                places: Places(out.as_mut_ptr()),
                outputs: w.rows,
            };
            jobs.push((*w, groups, out));
            groups += w.groups();
            bytes += w.data.bytes().len();
        }
        // A few tasks for each thread, so that one that is held up holds up little.
        let tasks = (bytes * n / GRAIN).clamp(1, 8 * self.threads());
        // Even, because kernels take pairs of groups.
        let per_task = groups.div_ceil(tasks).next_multiple_of(2);
        self.pool.run(groups.div_ceil(per_task), |task| {
            let mine = task * per_task..groups.min((task + 1) * per_task);
            for (w, first, out) in &jobs {
                let start = mine.start.max(*first);
                let end = mine.end.min(first + w.groups());
                if start < end {
                    // SAFETY: tasks have different groups; the outs hold n rows.
                    unsafe { self.multiply(w, start - first..end - first, input, *out) };
                }
            }
        });
    }

    /// # Safety
    /// No other thread has these groups; `out` has the rows of x.
    unsafe fn multiply(&self, w: &Matrix, groups: Range<usize>, input: Input<'_>, out: Out) {
        encoded!(w.encoding,
            // SAFETY: as the caller's.
            F => unsafe { self.integers::<F>(w, groups, input, out) },
            // SAFETY: as the caller's.
            G => unsafe { self.floats::<G>(w, groups, input.x, out) })
    }

    /// # Safety
    /// As [`Self::multiply`].
    unsafe fn integers<F: Format>(
        &self,
        w: &Matrix,
        groups: Range<usize>,
        input: Input<'_>,
        out: Out,
    ) {
        let (n, q8) = (input.x.len(), input.q8);
        let blocks = w.cols / BLOCK;
        let mut sums = [Lanes::default(); 2 * PANEL];
        for first in (0..n).step_by(PANEL) {
            let rows = PANEL.min(n - first);
            let y = &q8[first * blocks..(first + rows) * blocks];
            for group in groups.clone().step_by(2) {
                let count = 2.min(groups.end - group);
                let sums = &mut sums[..count * rows];
                sums.fill(Lanes::default());
                self.strips::<F>(w, group..group + count, y, sums);
                // SAFETY: as the caller's.
                unsafe { out.write(group, first, rows, sums) };
            }
        }
    }

    /// One or two groups of outputs with a panel of rows, of which `sums` holds one after another.
    fn strips<F: Format>(&self, w: &Matrix, groups: Range<usize>, y: &[Q8], sums: &mut [Lanes]) {
        let rows = sums.len() / groups.len();
        #[cfg(target_arch = "x86_64")]
        if rows > 1 && groups.len() == 2 {
            let pair = [groups.start, groups.start + 1].map(|g| w.bytes(g..g + 1));
            // SAFETY: an `Isa` is made only where its features are.
            unsafe {
                match self.isa {
                    Isa::Avx2 if x86::in_pairs::<F>() => {
                        return x86::pair_avx2::<F>(pair, y, sums);
                    }
                    Isa::Avx512Vnni => return x86::pair_avx512_vnni::<F>(pair, y, sums),
                    #[cfg(test)]
                    Isa::EmulatedAvx512Vnni => return x86::pair_emulated::<F>(pair, y, sums),
                    _ => {}
                }
            }
        }
        for (group, sums) in groups.zip(sums.chunks_exact_mut(rows)) {
            self.strip::<F>(w.bytes(group..group + 1), y, sums);
        }
    }

    /// One group of outputs with a panel of rows.
    fn strip<F: Format>(&self, group: &[u8], y: &[Q8], sums: &mut [Lanes]) {
        match self.isa {
            Isa::Portable => portable::strip::<F>(group, y, sums),
            // SAFETY: an `Isa` is made only where its features are.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => unsafe { x86::strip_avx2::<F>(group, y, sums) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Isa::AvxVnni => unsafe { x86::strip_avx_vnni::<F>(group, y, sums) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Vnni => unsafe { x86::strip_avx512_vnni::<F>(group, y, sums) },
            // SAFETY: as above.
            #[cfg(all(test, target_arch = "x86_64"))]
            Isa::EmulatedVnni | Isa::EmulatedAvx512Vnni => unsafe {
                x86::strip_emulated::<F>(group, y, sums);
            },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => unsafe { neon::baseline::strip::<F>(group, y, sums) },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Isa::NeonDotprod => unsafe { neon::dotprod::strip::<F>(group, y, sums) },
            #[cfg(test)]
            Isa::EmulatedNeon => neon::emulated_baseline::strip::<F>(group, y, sums),
            #[cfg(test)]
            Isa::EmulatedNeonDotprod => neon::emulated_dotprod::strip::<F>(group, y, sums),
        }
    }

    /// # Safety
    /// As [`Self::multiply`].
    unsafe fn floats<F: Wide>(&self, w: &Matrix, groups: Range<usize>, x: &Rows, out: Out) {
        let n = x.len();
        #[cfg(target_arch = "x86_64")]
        if self.wide() {
            let mut row = 0;
            while row < n {
                // SAFETY: as the caller's.
                row += unsafe {
                    match n - row {
                        4.. => wide_floats::<F, 2, 4>(w, groups.clone(), x, row, out),
                        _ => wide_floats::<F, 8, 1>(w, groups.clone(), x, row, out),
                    }
                };
            }
            return;
        }
        for first in (0..n).step_by(PANEL) {
            let rows = PANEL.min(n - first);
            for group in groups.clone() {
                let mut sums = [Lanes::default(); PANEL];
                let sums = &mut sums[..rows];
                let x = &x.x[first * w.cols..(first + rows) * w.cols];
                portable::floats::<F>(w.bytes(group..group + 1), x, w.cols, sums);
                // SAFETY: as the caller's.
                unsafe { out.write(group, first, rows, sums) };
            }
        }
    }

    /// Rounds rows to int8, in the order of [`activations::place`].
    fn quantise(&self, x: &Rows, out: &mut Vec<Q8>) {
        let blocks = x.cols / BLOCK;
        let n = x.len();
        out.resize(n * blocks, Q8::default());
        let places = Places(out.as_mut_ptr());
        let wide = self.wide();
        self.rows(n, x.cols, |row| {
            let (x, _) = x.x[row * x.cols..(row + 1) * x.cols].as_chunks::<BLOCK>();
            for (block, x) in x.iter().enumerate() {
                #[cfg(target_arch = "x86_64")]
                let q = if wide {
                    // SAFETY: `wide` says that AVX2 is there.
                    unsafe { x86::quantise(x) }
                } else {
                    Q8::new(x)
                };
                #[cfg(not(target_arch = "x86_64"))]
                let q = Q8::new(x);
                // SAFETY: every row and block has a place of its own below n × blocks.
                unsafe { places.write(activations::place(n, blocks, row, block), &[q]) };
            }
        });
        let _ = wide;
    }

    /// Calls `body` with every row, on several threads if there is enough to do.
    fn rows(&self, n: usize, cols: usize, body: impl Fn(usize) + Sync) {
        let tasks = (n * cols / VALUES)
            .clamp(1, 4 * self.threads())
            .min(n.max(1));
        let per_task = n.div_ceil(tasks).max(1);
        self.pool.run(n.div_ceil(per_task), |task| {
            (task * per_task..n.min((task + 1) * per_task)).for_each(&body);
        });
    }

    /// `gate = what the gate makes of it × up`.
    pub fn gate(&self, kind: Gate, gate: &mut [f32], up: &[f32]) {
        let wide = self.wide();
        self.chunks(gate, |at, gate| {
            let up = &up[at..at + gate.len()];
            match kind {
                Gate::Silu => math::swiglu(wide, gate, up),
                Gate::Gelu => gates::geglu(wide, gate, up),
                Gate::Clamped => gates::clamped(wide, gate, up),
            }
        });
    }

    /// `x = x × by`.
    pub fn scale(&self, x: &mut [f32], by: f32) {
        if by != 1.0 {
            self.chunks(x, |_, x| gates::scale(self.wide(), x, by));
        }
    }

    /// Adds a bias to each row of x.
    pub fn add_bias(&self, x: &mut [f32], bias: &[f32]) {
        for row in x.chunks_exact_mut(bias.len()) {
            math::add(self.wide(), row, bias);
        }
    }

    /// `x = x + y`.
    pub fn add(&self, x: &mut [f32], y: &[f32]) {
        self.chunks(x, |at, x| math::add(self.wide(), x, &y[at..at + x.len()]));
    }

    /// `out = x / rms(x) × weight`, for each row of x.
    pub fn rms_norm(&self, x: &[f32], weight: &[f32], epsilon: f32, out: &mut Vec<f32>) {
        let cols = weight.len();
        out.resize(x.len(), 0.0);
        let places = Places(out.as_mut_ptr());
        self.rows(x.len() / cols, cols, |row| {
            let range = row * cols..(row + 1) * cols;
            // SAFETY: every row is there and is written by one thread.
            let out = unsafe { places.slice(range.clone()) };
            math::rms_norm(self.wide(), &x[range], weight, epsilon, out);
        });
    }

    /// Calls `body` with parts of x and where they begin, on several threads if it is long.
    fn chunks(&self, x: &mut [f32], body: impl Fn(usize, &mut [f32]) + Sync) {
        if x.len() <= VALUES {
            return body(0, x);
        }
        let parts = x.chunks_mut(VALUES / 2).enumerate();
        self.pool
            .each(parts.collect(), |(i, part)| body(i * (VALUES / 2), part));
    }
}

/// T rows from `first` on, G groups at a time; gives T.
///
/// # Safety
/// AVX2, FMA and F16C are there; as [`Kernels::multiply`].
#[cfg(target_arch = "x86_64")]
unsafe fn wide_floats<F: Wide, const G: usize, const T: usize>(
    w: &Matrix,
    groups: Range<usize>,
    x: &Rows,
    first: usize,
    out: Out,
) -> usize {
    let x = &x.x[first * w.cols..(first + T) * w.cols];
    let mut group = groups.start;
    while group < groups.end {
        // SAFETY: as the caller's.
        unsafe {
            if group + G <= groups.end {
                let sums = x86::floats::<F, G, T>(w.bytes(group..group + G), x, w.cols);
                out.write(group, first, T, sums.as_flattened());
                group += G;
            } else {
                let [sums] = x86::floats::<F, 1, T>(w.bytes(group..group + 1), x, w.cols);
                out.write(group, first, T, &sums);
                group += 1;
            }
        }
    }
    T
}

#[cfg(test)]
mod tests;
