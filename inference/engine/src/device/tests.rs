//! Kernels against their definitions in plain Rust, bit by bit, at the edges of shapes and numbers.

use std::num::NonZeroUsize;
use std::sync::Arc;

use half::f16;
use mythic_model::layout::{Gate, Pairs, Rope};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::calls::{Attention, Floats, Matmul, Quantise, RmsNorm, Rotate, Rounded, Store, Values};
use super::driver::{Buffer, Driver};
use super::error::DeviceError;
use crate::config::Lab;
use crate::kernels::activations::{BLOCK, Q8};
use crate::kernels::attention::{self, SEGMENT, Tile};
use crate::kernels::formats::{self, Float, Format, dot, dot_floats};
use crate::kernels::rope::Rotary;
use crate::kernels::{Encoding, InstructionSet, Kernels, Matrix, gates, math};
use crate::kv::{At, Pool, Shape};
use crate::pages::{PAGE, PageId, pages_for};

#[path = "../../tests/emulated/mod.rs"]
mod emulated;

use emulated::Emulated;

struct Bench {
    driver: Arc<dyn Driver>,
    rng: StdRng,
}

impl Bench {
    fn new(seed: u64) -> Self {
        Self {
            driver: Emulated::sound(),
            rng: StdRng::seed_from_u64(seed),
        }
    }

    fn put<T: bytemuck::NoUninit>(&self, values: &[T]) -> Buffer {
        Buffer::of(&self.driver, values).unwrap()
    }

    fn room(&self, bytes: usize) -> Buffer {
        Buffer::new(&self.driver, bytes).unwrap()
    }

    fn floats(&self, buffer: &Buffer, len: usize) -> Vec<f32> {
        let mut out = vec![0.0; len];
        buffer.get(&mut out).unwrap();
        out
    }

    fn run<A: bytemuck::NoUninit>(&self, kernel: &str, grid: [u32; 3], threads: u32, argument: A) {
        let argument = [argument];
        let words: &[u64] = bytemuck::cast_slice(&argument);
        // SAFETY: the tests keep the buffers, and make them as large as the kernels want.
        unsafe { self.driver.launch(kernel, grid, threads, words) }.unwrap();
    }

    /// Numbers of many sizes, of both signs, some of them 0.
    fn numbers(&mut self, len: usize) -> Vec<f32> {
        let one = |rng: &mut StdRng| match rng.random_range(0..20) {
            0 => 0.0,
            _ => rng.random_range(-1f32..1.0) * 2f32.powi(rng.random_range(-12..6)),
        };
        (0..len).map(|_| one(&mut self.rng)).collect()
    }

    /// Rows rounded here, and where they are there.
    fn quantised(&mut self, x: &[f32]) -> (Vec<Q8>, [Buffer; 4], Rounded) {
        let blocks = x.len() / BLOCK;
        let sizes = [x.len(), 4 * blocks, 4 * blocks, 4 * blocks];
        let buffers = sizes.map(|bytes| self.room(bytes));
        let [q, d, ds, sums] = [0, 1, 2, 3].map(|i: usize| buffers[i].address());
        let y = Rounded { q, d, ds, sums };
        let from = self.put(x);
        let argument = Quantise {
            x: from.address(),
            y,
            blocks: blocks as i64,
        };
        self.run("quantise", [blocks.div_ceil(64) as u32, 1, 1], 64, argument);
        let here = x.as_chunks::<BLOCK>().0.iter().map(Q8::new).collect();
        (here, buffers, y)
    }
}

/// The same numbers; of what is none any form.
fn assert_same(got: &[f32], want: &[f32], what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (a, b)) in got.iter().zip(want).enumerate() {
        let same = a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
        assert!(same, "{what}, value {i}: {a:e}, not {b:e}");
    }
}

/// Numbers at the ends of f32 and of what the kernels tell apart.
fn edges() -> Vec<f32> {
    let sizes = [
        0.0,
        f32::from_bits(1),
        f32::MIN_POSITIVE,
        1e-31,
        1e-30,
        1e-8,
        0.5,
        1.0,
        6.999_999_5,
        7.0,
        7.000_000_5,
        86.999,
        87.0,
        87.001,
        88.0,
        88.001,
        65_503.996,
        65_504.0,
        65_520.0,
        1e30,
        f32::MAX,
        f32::INFINITY,
        f32::NAN,
    ];
    sizes.into_iter().flat_map(|x| [x, -x]).collect()
}

#[test]
fn rows_are_rounded_to_the_same_integers() {
    let mut bench = Bench::new(1);
    let mut x = bench.numbers(64 * BLOCK);
    // Halves between integers, too small a block, and what is no number.
    for (i, x) in x[..BLOCK].iter_mut().enumerate() {
        *x = i as f32 + 0.5;
    }
    x[BLOCK - 1] = 127.0;
    x[BLOCK..2 * BLOCK].fill(9e-31);
    x[2 * BLOCK + 5] = f32::NAN;
    x[3 * BLOCK + 6] = f32::NEG_INFINITY;
    x[4 * BLOCK..5 * BLOCK].fill(0.0);
    x[5 * BLOCK] = f32::MAX;
    let (want, [q, d, ds, sums], _) = bench.quantised(&x);
    let (mut integers, mut halves) = (vec![0i8; x.len()], vec![0i16; 2 * want.len()]);
    q.get(&mut integers).unwrap();
    sums.get(&mut halves).unwrap();
    let all: Vec<i8> = want.iter().flat_map(|block| block.q).collect();
    assert_eq!(integers, all);
    let all: Vec<i16> = want.iter().flat_map(|block| block.sums).collect();
    assert_eq!(halves, all);
    let all: Vec<f32> = want.iter().map(|block| block.d).collect();
    assert_same(&bench.floats(&d, want.len()), &all, "scales");
    let all: Vec<f32> = want.iter().map(|block| block.ds).collect();
    assert_same(&bench.floats(&ds, want.len()), &all, "scaled sums");
}

/// Products of random rows with a matrix of random weights, here and there.
fn products<F: Format>(encoding: Encoding, seed: u64) {
    let mut bench = Bench::new(seed);
    for (rows, outputs, supers) in [
        (1, 1, 1),
        (1, 8, 40),
        (2, 13, 3),
        (16, 24, 5),
        (17, 8, 2),
        (33, 70, 1),
    ] {
        let supers = if F::BLOCKS == 1 {
            supers
        } else {
            supers.min(5)
        };
        let cols = supers * F::BLOCKS * BLOCK;
        let weights: Vec<Vec<u8>> = (0..outputs)
            .map(|_| row::<F>(encoding, supers, &mut bench.rng))
            .collect();
        let x = bench.numbers(rows * cols);
        let (y, _keep, rounded) = bench.quantised(&x);
        let slices: Vec<&[u8]> = weights.iter().map(Vec::as_slice).collect();
        let matrix = Matrix::alone(encoding, &slices, cols);
        let planes = matrix.planes(0..matrix.groups());
        let [integers, factors, headers] =
            [&planes.integers, &planes.factors, &planes.headers].map(|plane| bench.put(plane));
        let want: Vec<f32> = y
            .chunks_exact(cols / BLOCK)
            .flat_map(|y| slices.iter().map(|w| dot::<F>(w, y)).collect::<Vec<_>>())
            .collect();
        let groups = matrix.groups() as u32;
        let mut ways = vec![(
            "wide",
            [groups.div_ceil(8), rows.div_ceil(32) as u32, 1],
            128,
        )];
        if rows <= 16 {
            ways.push(("narrow", [groups, 1, 1], 256));
        }
        for (kind, grid, threads) in ways {
            let out = bench.room(4 * rows * outputs);
            let argument = Matmul {
                integers: integers.address(),
                factors: factors.address(),
                headers: headers.address(),
                y: rounded,
                out: out.address(),
                rows: rows as i32,
                blocks: (cols / BLOCK) as i32,
                outputs: outputs as i32,
                rest: 0,
            };
            bench.run(&format!("{kind}_{encoding:?}"), grid, threads, argument);
            let what = format!("{kind} {encoding:?}, {rows} rows, {outputs} x {cols}");
            assert_same(&bench.floats(&out, rows * outputs), &want, &what);
        }
    }
}

/// A row of random weights whose scales are numbers.
fn row<F: Format>(encoding: Encoding, supers: usize, rng: &mut StdRng) -> Vec<u8> {
    let mut row: Vec<u8> = (0..supers * F::BYTES).map(|_| rng.random()).collect();
    for b in row.chunks_exact_mut(F::BYTES) {
        // Where the f16 of a block or super-block are; MXFP4 has an exponent instead.
        let places: &[usize] = match encoding {
            Encoding::MXFP4 => &[],
            Encoding::Q2K => &[80, 82],
            Encoding::Q3K => &[108],
            Encoding::Q6K => &[208],
            _ if F::MIN => &[0, 2],
            _ => &[0],
        };
        for at in places {
            let scale = f16::from_f32(rng.random_range(-0.1f32..0.1));
            b[*at..at + 2].copy_from_slice(&scale.to_le_bytes());
        }
        if encoding == Encoding::MXFP4 {
            b[0] = rng.random_range(100..140);
        }
    }
    row
}

#[test]
fn products_have_the_same_bits_in_every_format_and_shape() {
    products::<formats::Q4_0>(Encoding::Q4_0, 1);
    products::<formats::Q4_1>(Encoding::Q4_1, 2);
    products::<formats::Q5_0>(Encoding::Q5_0, 3);
    products::<formats::Q5_1>(Encoding::Q5_1, 4);
    products::<formats::Q8_0>(Encoding::Q8_0, 5);
    products::<formats::Q2K>(Encoding::Q2K, 6);
    products::<formats::Q3K>(Encoding::Q3K, 7);
    products::<formats::Q4K>(Encoding::Q4K, 8);
    products::<formats::Q5K>(Encoding::Q5K, 9);
    products::<formats::Q6K>(Encoding::Q6K, 10);
    products::<formats::IQ4NL>(Encoding::IQ4NL, 11);
    products::<formats::IQ4XS>(Encoding::IQ4XS, 12);
    products::<formats::MXFP4>(Encoding::MXFP4, 13);
}

fn float_products<F: Float>(encoding: Encoding, seed: u64) {
    let mut bench = Bench::new(seed);
    for (rows, outputs, cols) in [(1, 1, 1), (3, 13, 65), (2, 130, 7)] {
        let weights: Vec<Vec<u8>> = (0..outputs)
            .map(|_| {
                let numbers = bench.numbers(cols);
                let bytes = numbers.iter().flat_map(|x| match encoding {
                    Encoding::F16 => f16::from_f32(*x).to_le_bytes().to_vec(),
                    Encoding::BF16 => half::bf16::from_f32(*x).to_le_bytes().to_vec(),
                    _ => x.to_le_bytes().to_vec(),
                });
                bytes.collect()
            })
            .collect();
        let x = bench.numbers(rows * cols);
        let slices: Vec<&[u8]> = weights.iter().map(Vec::as_slice).collect();
        let matrix = Matrix::alone(encoding, &slices, cols);
        let plane = bench.put(&matrix.planes(0..matrix.groups()).integers);
        let (from, out) = (bench.put(&x), bench.room(4 * rows * outputs));
        let argument = Floats {
            w: plane.address(),
            x: from.address(),
            out: out.address(),
            rows: rows as i32,
            cols: cols as i32,
            outputs: outputs as i32,
            rest: 0,
        };
        let grid = [outputs.div_ceil(128) as u32, rows as u32, 1];
        bench.run(&format!("floats_{encoding:?}"), grid, 128, argument);
        let want: Vec<f32> = x
            .chunks_exact(cols)
            .flat_map(|x| {
                slices
                    .iter()
                    .map(|w| dot_floats::<F>(w, x))
                    .collect::<Vec<_>>()
            })
            .collect();
        assert_same(
            &bench.floats(&out, want.len()),
            &want,
            &format!("{encoding:?}"),
        );
    }
}

#[test]
fn products_with_floats_have_the_same_bits() {
    float_products::<formats::F16>(Encoding::F16, 21);
    float_products::<formats::BF16>(Encoding::BF16, 22);
    float_products::<formats::F32>(Encoding::F32, 23);
}

#[test]
fn every_half_is_the_number_that_it_is_here() {
    let bench = Bench::new(31);
    let halves: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
    // One column: eight outputs side by side are eight numbers.
    let (w, x, out) = (bench.put(&halves), bench.put(&[1f32]), bench.room(4 << 16));
    let argument = Floats {
        w: w.address(),
        x: x.address(),
        out: out.address(),
        rows: 1,
        cols: 1,
        outputs: 1 << 16,
        rest: 0,
    };
    bench.run("floats_F16", [(1 << 16) / 128, 1, 1], 128, argument);
    let want: Vec<f32> = (0..=u16::MAX)
        .map(|bits| f16::from_bits(bits).to_f32().mul_add(1.0, 0.0))
        .collect();
    assert_same(&bench.floats(&out, 1 << 16), &want, "halves");
}

#[test]
fn norms_have_the_same_bits() {
    let mut bench = Bench::new(41);
    for n in [1, 7, 63, 64, 65, 576, 1_001] {
        let (x, weight) = (bench.numbers(3 * n), bench.numbers(n));
        let (from, by, out) = (bench.put(&x), bench.put(&weight), bench.room(12 * n));
        let argument = RmsNorm {
            x: from.address(),
            weight: by.address(),
            out: out.address(),
            n: n as i32,
            epsilon: 1e-5,
        };
        bench.run("rms_norm", [3, 1, 1], 64, argument);
        let mut want = vec![0.0; 3 * n];
        math::rms_norm(false, &x, &weight, 1e-5, &mut want);
        assert_same(&bench.floats(&out, 3 * n), &want, &format!("norm of {n}"));
        // In their place too.
        bench.run(
            "rms_norm",
            [3, 1, 1],
            64,
            RmsNorm {
                out: from.address(),
                ..argument
            },
        );
        assert_same(
            &bench.floats(&from, 3 * n),
            &want,
            &format!("norm of {n} in place"),
        );
    }
}

#[test]
fn gates_and_small_steps_have_the_same_bits_to_the_ends_of_floats() {
    let mut bench = Bench::new(51);
    let mut x = edges();
    let ends = x.len();
    x.extend(bench.numbers(1_000));
    x.extend((0..4_000).map(|i| (i as f32 - 2_000.0) / 20.0));
    let mut y = bench.numbers(x.len());
    y[..ends].copy_from_slice(&edges());
    y[..ends].rotate_left(7);
    let check = |kernel: &str, by: f32, cols: usize, want: &[f32]| {
        let (at, other) = (bench.put(&x), bench.put(&y));
        let argument = Values {
            x: at.address(),
            y: other.address(),
            len: x.len() as i64,
            cols: cols as i32,
            by,
        };
        bench.run(kernel, [x.len().div_ceil(64) as u32, 1, 1], 64, argument);
        assert_same(&bench.floats(&at, x.len()), want, kernel);
    };
    for (kernel, gate) in [
        ("gate_silu", Gate::Silu),
        ("gate_gelu", Gate::Gelu),
        ("gate_clamped", Gate::Clamped),
    ] {
        let mut want = x.clone();
        match gate {
            Gate::Silu => math::swiglu(false, &mut want, &y),
            Gate::Gelu => gates::geglu(false, &mut want, &y),
            Gate::Clamped => gates::clamped(false, &mut want, &y),
        }
        check(kernel, 1.0, 1, &want);
    }
    let mut want = x.clone();
    math::add(false, &mut want, &y);
    check("add_rows", 1.0, 1, &want);
    let mut want = x.clone();
    want.chunks_mut(17)
        .for_each(|x| x.iter_mut().zip(&y).for_each(|(x, y)| *x += y));
    check("add_bias", 1.0, 17, &want);
    let mut want = x.clone();
    gates::scale(false, &mut want, 0.3);
    check("scale_rows", 0.3, 1, &want);
}

#[test]
fn heads_are_rotated_to_the_same_bits() {
    let mut bench = Bench::new(61);
    for pairs in [Pairs::Neighbours, Pairs::Halves] {
        let (rows, count, dim) = (3, 5, 20);
        let rope = Rope {
            pairs,
            rotated: 16,
            base: 10_000.0,
            linear: 1.0,
            yarn: None,
            magnitude: 1.0,
            factors: None,
            tensors: Vec::new(),
        };
        let rotary = Rotary::new(&rope, None);
        let x = bench.numbers(rows * count * dim);
        let (mut want, mut angles) = (x.clone(), Vec::new());
        for (row, heads) in want.chunks_exact_mut(count * dim).enumerate() {
            let own: Vec<(f32, f32)> = rotary.angles(1_000 * row + 3).collect();
            rotary.rotate(heads, dim, &own);
            angles.extend(own.iter().flat_map(|(cos, sin)| [*cos, *sin]));
        }
        let (heads, angles) = (bench.put(&x), bench.put(&angles));
        let len = rows * count * 8;
        let argument = Rotate {
            heads: heads.address(),
            angles: angles.address(),
            len: len as i64,
            count: count as i32,
            dim: dim as i32,
            pairs: 8,
            neighbours: i32::from(pairs == Pairs::Neighbours),
        };
        bench.run("rotate", [len.div_ceil(64) as u32, 1, 1], 64, argument);
        assert_same(&bench.floats(&heads, x.len()), &want, &format!("{pairs:?}"));
    }
}

#[test]
fn keys_and_values_are_rounded_as_here() {
    let mut bench = Bench::new(71);
    let mut k = edges();
    // Halfway between two halves, and beside it; halves that are subnormal.
    for i in 0..2_000u32 {
        let between = f32::from_bits(((0x3880_0000 + i * 0x0010_1000) & 0x477F_F000) | 0x1000);
        k.extend([between, f32::from_bits(between.to_bits() + 1)]);
        k.push(2f32.powi(-24) * (i as f32 / 4.0));
    }
    k.resize(k.len().next_multiple_of(32), 1.0);
    let v = bench.numbers(k.len());
    let (dim, rows) = (32, k.len() / 32);
    let positions: Vec<i32> = (0..rows as i32).collect();
    let pages: Vec<u32> = (0..rows.div_ceil(32) as u32).rev().collect();
    let numbers = 2 * 32 * dim;
    let pool = bench.room(2 * numbers * pages.len());
    let (keys, values, at) = (bench.put(&k), bench.put(&v), bench.put(&positions));
    let (pages_at, ids) = (bench.put(&vec![0i32; rows]), bench.put(&pages));
    let argument = Store {
        pool: pool.address(),
        k: keys.address(),
        v: values.address(),
        positions: at.address(),
        pages_at: pages_at.address(),
        pages: ids.address(),
        page_size: numbers as i64,
        len: k.len() as i64,
        layer: 0,
        all_heads: 1,
        first_head: 0,
        kv_heads: 1,
        dim: dim as i32,
        rest: 0,
    };
    bench.run("store", [k.len().div_ceil(64) as u32, 1, 1], 64, argument);
    let mut stored = vec![0u16; numbers * pages.len()];
    pool.get(&mut stored).unwrap();
    let want = |x: f32| f16::from_f32(x.clamp(-65_504.0, 65_504.0));
    for row in 0..rows {
        let page = &stored[pages[row / 32] as usize * numbers..][..numbers];
        for d in 0..dim {
            let found = [page[d * 32 + row % 32], page[32 * dim + row % 32 * dim + d]];
            for (found, from) in found.into_iter().zip([k[row * dim + d], v[row * dim + d]]) {
                let (found, want) = (f16::from_bits(found), want(from));
                let same = found.to_bits() == want.to_bits() || (found.is_nan() && want.is_nan());
                assert!(same, "{from:e}: {found}, not {want}");
            }
        }
    }
}

/// Rows at the edges of pages and segments, of a sequence of so many positions.
const ROWS: [usize; 6] = [0, PAGE, SEGMENT - 1, SEGMENT, 2 * SEGMENT, 2 * SEGMENT + 17];
const POSITIONS: usize = 2 * SEGMENT + 18;
const LAYER: usize = 1;
const SCALE: f32 = 0.37;

/// A shape of attention over two key-value heads, and a sequence that goes through it.
struct Case {
    group: usize,
    window: Option<NonZeroUsize>,
    shape: Shape,
    pages: Vec<PageId>,
    sinks: Option<Vec<f32>>,
    queries: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
}

impl Case {
    fn new(
        bench: &mut Bench,
        (group, dim): (usize, usize),
        (window, sinks): (usize, bool),
    ) -> Self {
        let shape = Shape {
            layers: 2,
            kv_heads: 2,
            head_dim: dim,
        };
        Self {
            group,
            window: NonZeroUsize::new(window),
            shape,
            pages: (0..pages_for(POSITIONS) as u32).rev().map(PageId).collect(),
            sinks: sinks.then(|| bench.numbers(2 * group)),
            queries: bench.numbers(ROWS.len() * 2 * group * dim),
            k: bench.numbers(POSITIONS * 2 * dim),
            v: bench.numbers(POSITIONS * 2 * dim),
        }
    }

    fn here(&self) -> Vec<f32> {
        let mut pool = Pool::new(self.shape, self.pages.len() as u32, Lab::default()).unwrap();
        let width = 2 * self.shape.head_dim;
        let (mut k, mut v) = (self.k.clone(), self.v.clone());
        let each = k.chunks_exact_mut(width).zip(v.chunks_exact_mut(width));
        for (position, (k, v)) in each.enumerate() {
            let at = At {
                layer: LAYER,
                page: self.pages[position / PAGE],
                place: position % PAGE,
            };
            pool.write(at, k, v);
        }
        let kernels = Kernels::new(1, InstructionSet::Portable).unwrap();
        let tile = |(row, position): (usize, &usize)| Tile {
            row,
            rows: 1,
            position: *position,
            pages: 0..self.pages.len(),
        };
        let tiles: Vec<Tile> = ROWS.iter().enumerate().map(tile).collect();
        let mut out = vec![0.0; self.queries.len()];
        attention::Attention {
            pool: &pool,
            layer: LAYER,
            heads: 2 * self.group,
            scale: SCALE,
            window: self.window,
            sinks: self.sinks.as_deref(),
            pages: &self.pages,
            queries: &self.queries,
            vectors: kernels.vectors(),
        }
        .run(&kernels, &tiles, &mut Vec::new(), &mut out);
        out
    }

    fn there(&self, bench: &Bench) -> Vec<f32> {
        let (group, dim) = (self.group, self.shape.head_dim);
        let (heads, segments) = (2 * group, 3);
        let page_size = 2 * 2 * 2 * PAGE * dim;
        let memory = bench.room(2 * page_size * self.pages.len());
        let ids: Vec<u32> = self.pages.iter().map(|page| page.0).collect();
        let all: Vec<i32> = (0..POSITIONS as i32).collect();
        let (ids, all, none) = (
            bench.put(&ids),
            bench.put(&all),
            bench.put(&[0i32; POSITIONS]),
        );
        let (k, v) = (bench.put(&self.k), bench.put(&self.v));
        let store = Store {
            pool: memory.address(),
            k: k.address(),
            v: v.address(),
            positions: all.address(),
            pages_at: none.address(),
            pages: ids.address(),
            page_size: page_size as i64,
            len: self.k.len() as i64,
            layer: LAYER as i32,
            all_heads: 2,
            first_head: 0,
            kv_heads: 2,
            dim: dim as i32,
            rest: 0,
        };
        bench.run(
            "store",
            [self.k.len().div_ceil(256) as u32, 1, 1],
            256,
            store,
        );
        let scored = ROWS.len() * heads * segments;
        let at = bench.put(&ROWS.map(|position| position as i32));
        let queries = bench.put(&self.queries);
        let sinks = self.sinks.as_ref().map(|sinks| bench.put(sinks));
        let [largest, sums] = [0, 1].map(|_| bench.room(4 * scored));
        let (scores, values) = (
            bench.room(4 * scored * SEGMENT),
            bench.room(4 * scored * dim),
        );
        let out = bench.room(4 * self.queries.len());
        let argument = Attention {
            pool: memory.address(),
            queries: queries.address(),
            sinks: sinks.as_ref().map_or(0, Buffer::address),
            out: out.address(),
            positions: at.address(),
            pages_at: none.address(),
            pages: ids.address(),
            largest: largest.address(),
            sums: sums.address(),
            scores: scores.address(),
            values: values.address(),
            page_size: page_size as i64,
            layer: LAYER as i32,
            heads: heads as i32,
            kv_heads: 2,
            first_head: 0,
            group: group as i32,
            dim: dim as i32,
            window: self.window.map_or(0, NonZeroUsize::get) as i32,
            segments: segments as i32,
            first_row: 0,
            scale: SCALE,
        };
        let grid = [segments as u32, 2, ROWS.len() as u32];
        bench.run("scores", grid, SEGMENT as u32, argument);
        bench.run("weigh", grid, SEGMENT as u32, argument);
        bench.run("join", [heads as u32, ROWS.len() as u32, 1], 128, argument);
        bench.floats(&out, self.queries.len())
    }
}

#[test]
fn attention_has_the_same_bits_at_the_edges_of_pages_segments_and_windows() {
    let mut bench = Bench::new(81);
    for shape in [(1, 6), (3, 64), (9, 128), (2, 512)] {
        for reach in [(0, false), (1, true), (PAGE, false), (SEGMENT + 1, true)] {
            let case = Case::new(&mut bench, shape, reach);
            assert_same(
                &case.there(&bench),
                &case.here(),
                &format!("{shape:?}, {reach:?}"),
            );
        }
    }
}
