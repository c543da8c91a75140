//! The kernels against the definition, bit for bit, and the definition against f64. (Against another reader of the formats: the
//! laboratory's tests.)

use proptest::prelude::*;

use super::formats::{Float, Q4_1, dequantise, dot, dot_floats};
use super::pack::Packed;
use super::*;

const ENCODINGS: [Encoding; 16] = [
    Encoding::Q4_0,
    Encoding::Q4_1,
    Encoding::Q5_0,
    Encoding::Q5_1,
    Encoding::Q8_0,
    Encoding::Q3K,
    Encoding::Q4K,
    Encoding::Q5K,
    Encoding::Q6K,
    Encoding::F16,
    Encoding::BF16,
    Encoding::F32,
    Encoding::Q2K,
    Encoding::IQ4NL,
    Encoding::IQ4XS,
    Encoding::MXFP4,
];

/// What some processor has besides plain Rust.
const SETS: [InstructionSet; 5] = [
    InstructionSet::Avx2,
    InstructionSet::AvxVnni,
    InstructionSet::Avx512Vnni,
    InstructionSet::Neon,
    InstructionSet::NeonDotprod,
];

/// A small generator, so that a failing case is told by one number.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// Mostly around 1, now and then large, tiny or nothing.
    fn float(&mut self) -> f32 {
        let x = (self.next() % 20_001) as f32 / 10_000.0 - 1.0;
        match self.below(40) {
            0 => 0.0,
            1 => x * 300.0,
            2 => x * 1e-4,
            _ => x,
        }
    }
}

/// Where the f16 of a super-block lie.
fn header_places(encoding: Encoding) -> &'static [usize] {
    match encoding {
        Encoding::Q4_0 | Encoding::Q5_0 | Encoding::Q8_0 | Encoding::IQ4NL | Encoding::IQ4XS => {
            &[0]
        }
        Encoding::Q2K => &[80, 82],
        Encoding::Q4_1 | Encoding::Q5_1 | Encoding::Q4K | Encoding::Q5K => &[0, 2],
        Encoding::Q3K => &[108],
        Encoding::Q6K => &[208],
        _ => &[],
    }
}

/// Values of a row that must be a multiple of, and the bytes that many take in a GGUF file.
fn unit(encoding: Encoding) -> (usize, usize) {
    encoded!(encoding,
        F => (BLOCK * F::BLOCKS, F::BYTES),
        G => (1, <G as Float>::BYTES))
}

/// A row of any integers and finite scales.
fn row(encoding: Encoding, cols: usize, noise: &mut Noise) -> Vec<u8> {
    let (values, bytes) = unit(encoding);
    let mut out = Vec::new();
    for _ in 0..cols / values {
        let start = out.len();
        match encoding {
            Encoding::F32 => out.extend(noise.float().to_le_bytes()),
            Encoding::F16 => out.extend(half::f16::from_f32(noise.float()).to_le_bytes()),
            Encoding::BF16 => out.extend(half::bf16::from_f32(noise.float()).to_le_bytes()),
            _ => {
                // Extremes are likelier than chance has them.
                let fill = [0, 255, noise.next() as u8][noise.below(3)];
                let all = noise.below(4) == 0;
                out.extend((0..bytes).map(|_| if all { fill } else { noise.next() as u8 }));
            }
        }
        for place in header_places(encoding) {
            let scale = half::f16::from_f32(noise.float() / 8.0).to_le_bytes();
            out[start + place..start + place + 2].copy_from_slice(&scale);
        }
        if encoding == Encoding::MXFP4 {
            // A power of two that leaves room for sums.
            out[start] = 110 + noise.below(24) as u8;
        }
    }
    out
}

struct Case {
    encoding: Encoding,
    cols: usize,
    rows: Vec<Vec<u8>>,
    x: Vec<f32>,
}

impl Case {
    fn new(encoding: Encoding, outputs: usize, n: usize, noise: &mut Noise) -> Self {
        let (unit, _) = unit(encoding);
        let cols = unit * (1 + noise.below(if unit == 256 { 2 } else { 5 }));
        let mut x: Vec<f32> = (0..n * cols).map(|_| noise.float()).collect();
        if noise.below(4) == 0 {
            x[..cols.min(32)].fill(0.0);
        }
        Self {
            encoding,
            cols,
            rows: (0..outputs).map(|_| row(encoding, cols, noise)).collect(),
            x,
        }
    }

    fn matrix(&self) -> Matrix {
        let rows: Vec<&[u8]> = self.rows.iter().map(Vec::as_slice).collect();
        Matrix {
            data: Packed::alone(self.encoding, &rows, self.cols),
            encoding: self.encoding,
            rows: rows.len(),
            cols: self.cols,
            group_bytes: self.encoding.group_bytes(self.cols),
        }
    }

    /// Rows × outputs by the definition.
    fn defined(&self) -> Vec<f32> {
        let mut out = Vec::new();
        for x in self.x.chunks_exact(self.cols) {
            let y: Vec<Q8> = x.as_chunks::<BLOCK>().0.iter().map(Q8::new).collect();
            for row in &self.rows {
                out.push(encoded!(self.encoding,
                    F => dot::<F>(row, &y),
                    G => dot_floats::<G>(row, x)));
            }
        }
        out
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// Every instruction set that can be tried here.
fn kernels() -> Vec<Kernels> {
    let mut isas: Vec<Isa> = InstructionSet::available()
        .into_iter()
        .map(|set| set.isa().expect("available"))
        .collect();
    for set in SETS {
        if !InstructionSet::available().contains(&set) {
            eprintln!("SKIPPED: this processor has no {set}");
        }
    }
    isas.extend([Isa::EmulatedNeon, Isa::EmulatedNeonDotprod]);
    #[cfg(target_arch = "x86_64")]
    if x86::has_avx2() {
        isas.extend([Isa::EmulatedVnni, Isa::EmulatedAvx512Vnni]);
    }
    let mut out = Vec::new();
    for (i, isa) in isas.into_iter().enumerate() {
        out.push(Kernels {
            pool: ThreadPool::new(1 + i % 3).expect("threads"),
            isa,
            q8: Mutex::default(),
        });
    }
    out
}

#[test]
fn every_instruction_set_row_count_and_format_gives_the_bits_of_the_definition() {
    let kernels = kernels();
    for seed in 0..6u64 {
        for n in 1..=40 {
            for encoding in ENCODINGS {
                let mut noise = Noise(seed << 32 | (n as u64) << 8 | encoding as u64);
                let outputs = 1 + noise.below(20);
                let case = Case::new(encoding, outputs, n, &mut noise);
                let (matrix, want) = (case.matrix(), case.defined());
                for k in &kernels {
                    let mut out = Vec::new();
                    k.matmul([&matrix], &Rows::new(&case.x, case.cols), [&mut out]);
                    assert_eq!(
                        bits(&out),
                        bits(&want),
                        "seed {seed}, {n} rows, {encoding:?}, {outputs} outputs of {}, {:?}",
                        case.cols,
                        k.isa
                    );
                }
            }
        }
    }
}

/// Whether activations of −128 may be tried, of which [`Q8::new`] makes none: AVX2 has no opposite of it.
fn takes_minus_128(kernels: &Kernels) -> bool {
    kernels.device() != "CPU (AVX2)"
}

/// Bytes that weights are made of: the least, the greatest, and both in turns.
const FILLS: [[u8; 2]; 8] = [
    [0, 0],
    [255, 255],
    [128, 128],
    [127, 127],
    [0, 255],
    [128, 127],
    [0xF0, 0x0F],
    [0x88, 0x77],
];

/// A row of weights of these bytes, and of any scales.
fn filled(encoding: Encoding, cols: usize, fill: [u8; 2], noise: &mut Noise) -> Vec<u8> {
    let (_, bytes) = unit(encoding);
    let scales = header_places(encoding);
    let mut out = row(encoding, cols, noise);
    for (i, byte) in out.iter_mut().enumerate() {
        let at = i % bytes;
        let is_scale = scales.iter().any(|s| (*s..s + 2).contains(&at));
        if !is_scale && (encoding, at) != (Encoding::MXFP4, 0) {
            *byte = fill[i % 2];
        }
    }
    out
}

/// Activations that a row is made of, the last two with −128.
const ACTIVATIONS: [[i8; 2]; 7] = [
    [127, 127],
    [-127, -127],
    [127, -127],
    [0, -127],
    [127, 1],
    [-128, -128],
    [-128, 127],
];

fn activations_of(kind: [i8; 2], d: f32) -> Q8 {
    let q: [i8; BLOCK] = std::array::from_fn(|i| kind[i % 2]);
    let sum: i16 = q[..16].iter().map(|q| i16::from(*q)).sum();
    Q8 {
        q,
        d,
        ds: d * f32::from(2 * sum),
        sums: [sum; 2],
    }
}

/// Two groups of outputs of the least and the greatest numbers, with rows like that.
fn extremes<F: Format>(encoding: Encoding, kernels: &[Kernels]) {
    let mut noise = Noise(encoding as u64);
    let (cols, blocks) = (2 * unit(encoding).0, 2 * F::BLOCKS);
    let weights: Vec<Vec<u8>> = (0..2 * LANES)
        .map(|output| filled(encoding, cols, FILLS[output % FILLS.len()], &mut noise))
        .collect();
    let weights: Vec<&[u8]> = weights.iter().map(Vec::as_slice).collect();
    let matrix = Matrix::alone(encoding, &weights, cols);
    for k in kernels {
        let kinds = if takes_minus_128(k) { 7 } else { 5 };
        for n in [1, 2, 3, 7, 8, 15] {
            let rows: Vec<Q8> = (0..n)
                .map(|row| activations_of(ACTIVATIONS[(row + n) % kinds], 0.25 + row as f32 / 7.0))
                .collect();
            let mut y = vec![Q8::default(); n * blocks];
            for (row, block) in (0..n).flat_map(|row| (0..blocks).map(move |block| (row, block))) {
                y[activations::place(n, blocks, row, block)] = rows[row];
            }
            for first in [0, 1] {
                let mut sums = vec![Lanes::default(); (2 - first) * n];
                k.strips::<F>(&matrix, first..2, &y, &mut sums);
                for (i, sums) in sums.iter().enumerate() {
                    let (group, row) = (first + i / n, i % n);
                    let outputs = &weights[group * LANES..(group + 1) * LANES];
                    let x = vec![rows[row]; blocks];
                    let want: Vec<f32> = outputs.iter().map(|w| dot::<F>(w, &x)).collect();
                    assert_eq!(
                        bits(&sums.0),
                        bits(&want),
                        "{encoding:?}, {:?}, group {group}, row {row} of {n}",
                        k.isa
                    );
                }
            }
        }
    }
}

#[test]
fn the_least_and_greatest_integers_give_the_bits_of_the_definition() {
    let kernels = kernels();
    for encoding in ENCODINGS {
        encoded!(encoding,
            F => extremes::<F>(encoding, &kernels),
            G => assert_eq!(unit(encoding), (1, <G as Float>::BYTES)));
    }
}

#[test]
fn matrices_side_by_side_give_what_each_gives_alone_on_any_number_of_threads() {
    let mut noise = Noise(7);
    for encoding in ENCODINGS {
        for n in [1, 5, 33, 70] {
            let mut cases: Vec<Case> = [200, 3, 64]
                .into_iter()
                .map(|outputs| Case::new(encoding, outputs, n, &mut noise))
                .collect();
            let (cols, x) = (cases[0].cols, cases[0].x.clone());
            for case in &mut cases[1..] {
                let rows = case.rows.len();
                case.rows = (0..rows).map(|_| row(encoding, cols, &mut noise)).collect();
                (case.cols, case.x) = (cols, x.clone());
            }
            let m: Vec<Matrix> = cases.iter().map(Case::matrix).collect();
            for threads in 1..=4 {
                let k = Kernels::new(threads, InstructionSet::Auto).expect("kernels");
                let (mut a, mut b, mut c) = (vec![f32::NAN; 9], Vec::new(), Vec::new());
                let rows = Rows::new(&x, cols);
                k.matmul([&m[0], &m[1], &m[2]], &rows, [&mut a, &mut b, &mut c]);
                for (case, out) in cases.iter().zip([&a, &b, &c]) {
                    assert_eq!(bits(out), bits(&case.defined()), "{encoding:?}, {n} rows");
                }
            }
        }
    }
}

#[test]
fn the_definition_is_near_f64_arithmetic() {
    let mut noise = Noise(11);
    for encoding in ENCODINGS {
        for _ in 0..20 {
            let case = Case::new(encoding, 3, 2, &mut noise);
            let got = case.defined();
            let mut w = vec![0f32; case.cols];
            for (r, x) in case.x.chunks_exact(case.cols).enumerate() {
                for (o, row) in case.rows.iter().enumerate() {
                    encoding.dequantise(row, &mut w);
                    let (mut want, mut bound) = (0f64, 1e-30f64);
                    for (i, (a, b)) in w.iter().zip(x).enumerate() {
                        let (a, b) = (f64::from(*a), f64::from(*b));
                        want += a * b;
                        // Rounding to int8 moves a value by half a step of its block at most; the
                        // sums in f32 by some last bits of their terms.
                        let block = &x[i / 32 * 32..case.cols.min(i / 32 * 32 + 32)];
                        let amax = block.iter().fold(0f32, |m, v| m.max(v.abs()));
                        let step = f64::from(amax) / 127.0;
                        let half = if unit(encoding).0 == 1 { 0.0 } else { 0.5001 };
                        bound += a.abs() * (step * half) + (a * b).abs() * 1e-5;
                    }
                    let got = f64::from(got[r * 3 + o]);
                    // Where integers and minimum nearly cancel, the terms are larger than w says.
                    let cancelled = 2e-2 * w.iter().fold(0f32, |m, v| m.max(v.abs())) as f64;
                    assert!(
                        (got - want).abs() <= bound + cancelled,
                        "{encoding:?}: {got} against {want} ± {bound}"
                    );
                }
            }
        }
    }
}

#[test]
fn what_is_packed_comes_out_again() {
    let mut noise = Noise(5);
    for encoding in ENCODINGS {
        let case = Case::new(encoding, 8, 1, &mut noise);
        encoded!(encoding, F => {
            let rows: Vec<&[u8]> = case.rows.iter().map(Vec::as_slice).collect();
            let packed = Packed::alone(encoding, &rows, case.cols);
            for (i, part) in packed.bytes().chunks_exact(layout::super_bytes::<F>()).enumerate() {
                for b in 0..F::BLOCKS {
                    let got = layout::unpack::<F>(part, b);
                    for (row, got) in rows.iter().zip(got) {
                        let want = formats::blocks::<F>(row).nth(i * F::BLOCKS + b);
                        assert_eq!(Some(got), want, "{encoding:?}");
                    }
                }
            }
        }, G => assert_eq!(unit(encoding), (1, <G as Float>::BYTES)));
    }
}

proptest! {
    #[test]
    fn activations_round_alike_on_every_instruction_set(
        bits in prop::collection::vec(any::<u32>(), 32),
        plain in prop::collection::vec(-1e4f32..1e4, 32),
        pick in any::<u32>(),
    ) {
        let mut x = [0f32; BLOCK];
        for (i, x) in x.iter_mut().enumerate() {
            // Any bits at all (infinities, NaN, subnormals) in a few places, or nowhere.
            let odd = pick & 3 == 0 && (pick >> (i % 29)) & 7 == 7;
            *x = if odd { f32::from_bits(bits[i]) } else { plain[i] };
        }
        let want = Q8::new(&x);
        #[cfg(target_arch = "x86_64")]
        if x86::has_avx2() {
            // SAFETY: AVX2 is there.
            let got = unsafe { x86::quantise(&x) };
            prop_assert_eq!((got.q, got.sums), (want.q, want.sums));
            prop_assert_eq!(got.d.to_bits(), want.d.to_bits());
            prop_assert_eq!(got.ds.to_bits(), want.ds.to_bits());
        }
        let sum = |half: &[i8]| half.iter().map(|q| i32::from(*q)).sum::<i32>();
        prop_assert_eq!(want.sums.map(i32::from), [sum(&want.q[..16]), sum(&want.q[16..])]);
        if want.d.is_finite() {
            for (x, q) in x.iter().zip(want.q) {
                prop_assert!((x - want.d * f32::from(q)).abs() <= want.d * 0.5001 + TINY_STEP);
            }
        }
    }
}

const TINY_STEP: f32 = activations::TINY;

#[test]
fn halves_round_to_even() {
    let mut x = [0.0; BLOCK];
    x[..6].copy_from_slice(&[127.0, 0.5, 1.5, 2.5, -0.5, -1.5]);
    assert_eq!(Q8::new(&x).q[..6], [127, 0, 2, 2, 0, -2]);
}

#[test]
fn a_row_with_a_broken_value_gives_no_number() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut noise = Noise(1);
        let mut case = Case::new(Encoding::Q4_1, 8, 2, &mut noise);
        case.x[7] = bad;
        let k = Kernels::new(1, InstructionSet::Auto).expect("kernels");
        let mut out = Vec::new();
        k.matmul([&case.matrix()], &Rows::new(&case.x, case.cols), [&mut out]);
        assert!(out[..8].iter().all(|v| !v.is_finite()));
        assert!(out[8..].iter().all(|v| v.is_finite()));
    }
}

#[test]
fn an_instruction_set_that_is_not_there_is_refused_with_those_that_are() {
    let available = InstructionSet::available();
    for set in SETS {
        match Kernels::new(1, set) {
            Ok(_) => assert!(available.contains(&set)),
            Err(e) => assert!(e.to_string().contains("portable"), "{e}"),
        }
    }
}

#[test]
fn dequantised_rows_are_the_definitions_values() {
    let mut w = [0f32; 32];
    let mut block = vec![0, 0x3c, 0, 0x40];
    block.extend([0x21; 16]);
    dequantise::<Q4_1>(&block, &mut w);
    assert_eq!((w[0], w[31]), (3.0, 4.0));
}

#[test]
fn four_bit_floats_are_their_values_times_a_power_of_two() {
    let mut block = vec![127];
    // Low nibbles are the first half: 0 to 7 are 0, 0.5, 1, 1.5, 2, 3, 4, 6, and with 8 they are negative.
    block.extend((0..16).map(|i: u8| i | ((15 - i) << 4)));
    let mut w = [0f32; 32];
    formats::dequantise::<formats::MXFP4>(&block, &mut w);
    let values = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0];
    for i in 0..8 {
        assert_eq!((w[i], w[i + 8]), (values[i], -values[i]));
        assert_eq!((w[31 - i], w[23 - i]), (values[i], -values[i]));
    }
    for (exponent, want) in [(0, -127.0), (1, -126.0), (2, -125.0), (254, 127.0)] {
        block[0] = exponent;
        formats::dequantise::<formats::MXFP4>(&block, &mut w);
        assert_eq!(f64::from(w[2]), 2f64.powf(want));
    }
}

#[test]
fn tables_of_values_are_ggmls() {
    let values = [
        -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
    ];
    let mut block = vec![0, 0x3c];
    block.extend((0..16).map(|i: u8| i | (i << 4)));
    let mut w = [0f32; 32];
    formats::dequantise::<formats::IQ4NL>(&block, &mut w);
    assert!((0..32).all(|i| w[i] == values[i % 16] as f32));
}
