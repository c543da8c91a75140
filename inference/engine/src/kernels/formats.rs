//! Weight formats as they lie in a GGUF file, and the definition of this profile's dot product in
//! plain Rust. Every faster path equals it bit for bit.

use half::{bf16, f16};

use super::activations::{BLOCK, Q8};

/// Where a block's scale comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scales {
    /// The block has its own.
    Own,
    /// The super-block's scale and minimum, times six-bit integers of the block.
    Multiples,
    /// The super-block's scale, times a signed integer of the block.
    Signed,
    /// The super-block's scale, times a signed integer for each half of the block.
    Halves,
    /// The super-block's scale and minimum, times four-bit integers for each half of the block.
    Nibbles,
}

/// A format of quantised weights: super-blocks of `BLOCKS` blocks of 32 unsigned integers.
pub trait Format: Send + Sync {
    /// Blocks that share a header.
    const BLOCKS: usize;
    /// Bytes of a super-block.
    const BYTES: usize;
    /// Bits that hold an integer.
    const BITS: usize;
    /// What the integers stand for, where they are numbers of entries of a table.
    const TABLE: Option<[u8; 16]> = None;
    /// Bits that hold what is multiplied: an integer, or an entry of the table.
    const WIDTH: usize = Self::BITS;
    /// What is taken off every integer.
    const OFFSET: i32;
    /// Whether values have a minimum.
    const MIN: bool;
    /// Whether the header's scale is a bf16 instead of an f16.
    const BRAIN: bool = false;
    const SCALES: Scales;

    /// The header's scale and, where there is one, its minimum.
    fn header(b: &[u8]) -> [[u8; 2]; 2];

    /// Block i's scale and minimum in units of the header's, or its two halves' factors; of halves with
    /// minimums the factor is the low nibble and the minimum the high one.
    fn factors(_b: &[u8], _i: usize) -> [u8; 2] {
        [0; 2]
    }

    /// The integers of block i.
    fn integers(b: &[u8], i: usize) -> [u8; BLOCK];
}

/// 32 weights of one output; value = scale × factor of its half × (integer − offset) + min × minimum of
/// its half.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Block {
    pub q: [u8; BLOCK],
    pub factors: [i32; 2],
    pub minimums: [i32; 2],
    pub scale: f32,
    pub min: f32,
}

impl Block {
    /// A block from its stored parts.
    pub fn new<F: Format>(header: [[u8; 2]; 2], factors: [u8; 2], q: [u8; BLOCK]) -> Self {
        let [d, m] = header.map(|h| match F::BRAIN {
            true => bf16::from_le_bytes(h).to_f32(),
            false => f16::from_le_bytes(h).to_f32(),
        });
        let [a, b] = factors;
        let (mut factors, mut minimums) = ([1; 2], [1; 2]);
        // An f16 times an integer of six bits and a sign is exact in f32.
        let (scale, min) = match F::SCALES {
            Scales::Own => (d, if F::MIN { m } else { 0.0 }),
            Scales::Multiples => (d * f32::from(a), -(m * f32::from(b))),
            Scales::Signed => (d * f32::from(a as i8), 0.0),
            Scales::Halves => {
                factors = [a, b].map(|f| i32::from(f as i8));
                (d, 0.0)
            }
            Scales::Nibbles => {
                factors = [a, b].map(|f| i32::from(f & 15));
                minimums = [a, b].map(|f| i32::from(f >> 4));
                (d, -m)
            }
        };
        let q = match F::TABLE {
            None => q,
            Some(table) => q.map(|entry| table[usize::from(entry & 15)]),
        };
        Self {
            q,
            factors,
            minimums,
            scale,
            min,
        }
    }

    fn read<F: Format>(b: &[u8], i: usize) -> Self {
        Self::new::<F>(F::header(b), F::factors(b, i), F::integers(b, i))
    }

    /// **The definition**: one block's part of a dot product, added to what the blocks before gave.
    /// The integers are exact; then one fused step in f32, and one more for a minimum, whose integers are
    /// exact too where each half has its own.
    pub fn step<F: Format>(&self, y: &Q8, sum: f32) -> f32 {
        let mut integer = 0i32;
        for (i, (w, x)) in self.q.iter().zip(y.q).enumerate() {
            integer += self.factors[i / 16] * (i32::from(*w) - F::OFFSET) * i32::from(x);
        }
        let sum = (self.scale * y.d).mul_add(integer as f32, sum);
        match F::SCALES {
            _ if !F::MIN => sum,
            Scales::Nibbles => {
                let [a, b] = self.minimums;
                let integer = a * i32::from(y.sums[0]) + b * i32::from(y.sums[1]);
                (self.min * y.d).mul_add(integer as f32, sum)
            }
            _ => self.min.mul_add(y.ds, sum),
        }
    }
}

/// The blocks of a row of weights.
pub fn blocks<F: Format>(row: &[u8]) -> impl Iterator<Item = Block> {
    row.chunks_exact(F::BYTES)
        .flat_map(|b| (0..F::BLOCKS).map(move |i| Block::read::<F>(b, i)))
}

/// **The definition**: dot product of a row of weights and a row of activations, blocks in order.
#[cfg(test)]
pub fn dot<F: Format>(row: &[u8], y: &[Q8]) -> f32 {
    blocks::<F>(row)
        .zip(y)
        .fold(0.0, |sum, (w, y)| w.step::<F>(y, sum))
}

/// Writes a row of weights as f32.
pub fn dequantise<F: Format>(row: &[u8], out: &mut [f32]) {
    for (block, out) in blocks::<F>(row).zip(out.chunks_exact_mut(BLOCK)) {
        for (i, (o, q)) in out.iter_mut().zip(block.q).enumerate() {
            let integer = block.factors[i / 16] * (i32::from(q) - F::OFFSET);
            *o = block.scale * integer as f32 + block.min * block.minimums[i / 16] as f32;
        }
    }
}

/// Two bytes at `at`.
fn two(b: &[u8], at: usize) -> [u8; 2] {
    [b[at], b[at + 1]]
}

/// Low nibbles are the first 16 values, high nibbles the last 16.
fn nibbles(qs: &[u8]) -> [u8; BLOCK] {
    let mut out = [0; BLOCK];
    for (i, q) in qs.iter().take(16).enumerate() {
        out[i] = q & 15;
        out[i + 16] = q >> 4;
    }
    out
}

/// Nibbles with a fifth bit each.
fn five_bits(qh: &[u8], qs: &[u8]) -> [u8; BLOCK] {
    let high = u32::from_le_bytes([qh[0], qh[1], qh[2], qh[3]]);
    let mut out = nibbles(qs);
    for (i, q) in out.iter_mut().enumerate() {
        *q |= (((high >> i) & 1) << 4) as u8;
    }
    out
}

/// The low or high nibbles of 32 bytes.
fn half_bytes(qs: &[u8], high: bool) -> [u8; BLOCK] {
    std::array::from_fn(|l| if high { qs[l] >> 4 } else { qs[l] & 15 })
}

/// Six-bit scale and minimum of block i, as Q4_K and Q5_K pack them into twelve bytes.
fn six_bits(s: &[u8], i: usize) -> [u8; 2] {
    if i < 4 {
        [s[i] & 63, s[i + 4] & 63]
    } else {
        [
            (s[i + 4] & 15) | ((s[i - 4] >> 6) << 4),
            (s[i + 4] >> 4) | ((s[i] >> 6) << 4),
        ]
    }
}

pub struct Q4_0;
pub struct Q4_1;
pub struct Q5_0;
pub struct Q5_1;
pub struct Q8_0;
pub struct Q2K;
pub struct Q3K;
pub struct Q4K;
pub struct Q5K;
pub struct Q6K;
pub struct IQ4NL;
pub struct IQ4XS;
pub struct MXFP4;

impl Format for Q4_0 {
    const BLOCKS: usize = 1;
    const BYTES: usize = 18;
    const BITS: usize = 4;
    const OFFSET: i32 = 8;
    const MIN: bool = false;
    const SCALES: Scales = Scales::Own;
    fn header(b: &[u8]) -> [[u8; 2]; 2] {
        [two(b, 0), [0; 2]]
    }
    fn integers(b: &[u8], _i: usize) -> [u8; BLOCK] {
        nibbles(&b[2..])
    }
}

impl Format for Q4_1 {
    const BLOCKS: usize = 1;
    const BYTES: usize = 20;
    const BITS: usize = 4;
    const OFFSET: i32 = 0;
    const MIN: bool = true;
    const SCALES: Scales = Scales::Own;
    fn header(b: &[u8]) -> [[u8; 2]; 2] {
        [two(b, 0), two(b, 2)]
    }
    fn integers(b: &[u8], _i: usize) -> [u8; BLOCK] {
        nibbles(&b[4..])
    }
}

impl Format for Q5_0 {
    const BLOCKS: usize = 1;
    const BYTES: usize = 22;
    const BITS: usize = 5;
    const OFFSET: i32 = 16;
    const MIN: bool = false;
    const SCALES: Scales = Scales::Own;
    fn header(b: &[u8]) -> [[u8; 2]; 2] {
        [two(b, 0), [0; 2]]
    }
    fn integers(b: &[u8], _i: usize) -> [u8; BLOCK] {
        five_bits(&b[2..], &b[6..])
    }
}

impl Format for Q5_1 {
    const BLOCKS: usize = 1;
    const BYTES: usize = 24;
    const BITS: usize = 5;
    const OFFSET: i32 = 0;
    const MIN: bool = true;
    const SCALES: Scales = Scales::Own;
    fn header(b: &[u8]) -> [[u8; 2]; 2] {
        [two(b, 0), two(b, 2)]
    }
    fn integers(b: &[u8], _i: usize) -> [u8; BLOCK] {
        five_bits(&b[4..], &b[8..])
    }
}

impl Format for Q8_0 {
    const BLOCKS: usize = 1;
    const BYTES: usize = 34;
    const BITS: usize = 8;
    const OFFSET: i32 = 128;
    const MIN: bool = false;
    const SCALES: Scales = Scales::Own;
    fn header(b: &[u8]) -> [[u8; 2]; 2] {
        [two(b, 0), [0; 2]]
    }
    fn integers(b: &[u8], _i: usize) -> [u8; BLOCK] {
        std::array::from_fn(|l| b[2 + l] ^ 128)
    }
}

impl Format for Q2K {
    const BLOCKS: usize = 8;
    const BYTES: usize = 84;
    const BITS: usize = 4;
    const OFFSET: i32 = 0;
    const MIN: bool = true;
    const SCALES: Scales = Scales::Nibbles;
    fn header(b: &[u8]) -> [[u8; 2]; 2] {
        [two(b, 80), two(b, 82)]
    }
    fn factors(b: &[u8], i: usize) -> [u8; 2] {
        two(b, 2 * i)
    }
    fn integers(b: &[u8], i: usize) -> [u8; BLOCK] {
        let qs = &b[16 + 32 * (i / 4)..];
        std::array::from_fn(|l| (qs[l] >> (2 * (i % 4))) & 3)
    }
}

impl Format for Q3K {
    const BLOCKS: usize = 8;
    const BYTES: usize = 110;
    const BITS: usize = 4;
    const OFFSET: i32 = 4;
    const MIN: bool = false;
    const SCALES: Scales = Scales::Halves;
    fn header(b: &[u8]) -> [[u8; 2]; 2] {
        [two(b, 108), [0; 2]]
    }
    fn factors(b: &[u8], i: usize) -> [u8; 2] {
        let s = &b[96..108];
        // Sixteen six-bit factors: low nibbles in eight bytes, high bits in four, 32 taken off.
        [2 * i, 2 * i + 1].map(|n| {
            let low = if n < 8 { s[n] & 15 } else { s[n - 8] >> 4 };
            let high = (s[8 + n % 4] >> (2 * (n / 4))) & 3;
            (low | (high << 4)).wrapping_sub(32)
        })
    }
    fn integers(b: &[u8], i: usize) -> [u8; BLOCK] {
        let qs = &b[32 + 32 * (i / 4)..];
        std::array::from_fn(|l| ((qs[l] >> (2 * (i % 4))) & 3) | (((b[l] >> i) & 1) << 2))
    }
}

impl Format for Q4K {
    const BLOCKS: usize = 8;
    const BYTES: usize = 144;
    const BITS: usize = 4;
    const OFFSET: i32 = 0;
    const MIN: bool = true;
    const SCALES: Scales = Scales::Multiples;
    fn header(b: &[u8]) -> [[u8; 2]; 2] {
        [two(b, 0), two(b, 2)]
    }
    fn factors(b: &[u8], i: usize) -> [u8; 2] {
        six_bits(&b[4..16], i)
    }
    fn integers(b: &[u8], i: usize) -> [u8; BLOCK] {
        half_bytes(&b[16 + 32 * (i / 2)..], i % 2 == 1)
    }
}

impl Format for Q5K {
    const BLOCKS: usize = 8;
    const BYTES: usize = 176;
    const BITS: usize = 5;
    const OFFSET: i32 = 0;
    const MIN: bool = true;
    const SCALES: Scales = Scales::Multiples;
    fn header(b: &[u8]) -> [[u8; 2]; 2] {
        [two(b, 0), two(b, 2)]
    }
    fn factors(b: &[u8], i: usize) -> [u8; 2] {
        six_bits(&b[4..16], i)
    }
    fn integers(b: &[u8], i: usize) -> [u8; BLOCK] {
        let mut out = half_bytes(&b[48 + 32 * (i / 2)..], i % 2 == 1);
        for (q, high) in out.iter_mut().zip(&b[16..48]) {
            *q |= ((high >> i) & 1) << 4;
        }
        out
    }
}

impl Format for Q6K {
    const BLOCKS: usize = 8;
    const BYTES: usize = 210;
    const BITS: usize = 6;
    const OFFSET: i32 = 32;
    const MIN: bool = false;
    const SCALES: Scales = Scales::Halves;
    fn header(b: &[u8]) -> [[u8; 2]; 2] {
        [two(b, 208), [0; 2]]
    }
    fn factors(b: &[u8], i: usize) -> [u8; 2] {
        two(b, 192 + 2 * i)
    }
    fn integers(b: &[u8], i: usize) -> [u8; BLOCK] {
        let (half, part) = (i / 4, i % 4);
        let mut out = half_bytes(&b[64 * half + 32 * (part % 2)..], part >= 2);
        for (q, high) in out.iter_mut().zip(&b[128 + 32 * half..]) {
            *q |= ((high >> (2 * part)) & 3) << 4;
        }
        out
    }
}

/// The values that IQ4_NL and IQ4_XS have, plus 128.
const NONLINEAR: [u8; 16] = [
    1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241,
];

impl Format for IQ4NL {
    const BLOCKS: usize = 1;
    const BYTES: usize = 18;
    const BITS: usize = 4;
    const TABLE: Option<[u8; 16]> = Some(NONLINEAR);
    const WIDTH: usize = 8;
    const OFFSET: i32 = 128;
    const MIN: bool = false;
    const SCALES: Scales = Scales::Own;
    fn header(b: &[u8]) -> [[u8; 2]; 2] {
        [two(b, 0), [0; 2]]
    }
    fn integers(b: &[u8], _i: usize) -> [u8; BLOCK] {
        nibbles(&b[2..])
    }
}

impl Format for IQ4XS {
    const BLOCKS: usize = 8;
    const BYTES: usize = 136;
    const BITS: usize = 4;
    const TABLE: Option<[u8; 16]> = Some(NONLINEAR);
    const WIDTH: usize = 8;
    const OFFSET: i32 = 128;
    const MIN: bool = false;
    const SCALES: Scales = Scales::Signed;
    fn header(b: &[u8]) -> [[u8; 2]; 2] {
        [two(b, 0), [0; 2]]
    }
    fn factors(b: &[u8], i: usize) -> [u8; 2] {
        // Six bits less 32: two high ones of each block in bytes 2 and 3, low nibbles in 4 to 7.
        let high = (u16::from_le_bytes(two(b, 2)) >> (2 * i)) & 3;
        let low = (b[4 + i / 2] >> (4 * (i % 2))) & 15;
        [(low | (high << 4) as u8).wrapping_sub(32); 2]
    }
    fn integers(b: &[u8], i: usize) -> [u8; BLOCK] {
        nibbles(&b[8 + 16 * i..])
    }
}

/// Floats of four bits (E2M1), doubled, with the power of two of their block, halved.
impl Format for MXFP4 {
    const BLOCKS: usize = 1;
    const BYTES: usize = 17;
    const BITS: usize = 4;
    /// The doubled values plus 12.
    const TABLE: Option<[u8; 16]> =
        Some([12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0]);
    const WIDTH: usize = 5;
    const OFFSET: i32 = 12;
    const MIN: bool = false;
    const BRAIN: bool = true;
    const SCALES: Scales = Scales::Own;
    fn header(b: &[u8]) -> [[u8; 2]; 2] {
        // 2^(e − 128): below 2^−126 f32 and bf16 have no exponent left.
        let bits = match b[0] {
            e @ 0..=1 => 0x20u16 << e,
            e => (u16::from(e) - 1) << 7,
        };
        [bits.to_le_bytes(), [0; 2]]
    }
    fn integers(b: &[u8], _i: usize) -> [u8; BLOCK] {
        nibbles(&b[1..])
    }
}

/// Weights that are stored as floats.
pub trait Float: Send + Sync {
    const BYTES: usize;
    fn read(b: &[u8]) -> f32;
}

pub struct F16;
pub struct BF16;
pub struct F32;

impl Float for F16 {
    const BYTES: usize = 2;
    fn read(b: &[u8]) -> f32 {
        f16::from_le_bytes([b[0], b[1]]).to_f32()
    }
}

impl Float for BF16 {
    const BYTES: usize = 2;
    fn read(b: &[u8]) -> f32 {
        bf16::from_le_bytes([b[0], b[1]]).to_f32()
    }
}

impl Float for F32 {
    const BYTES: usize = 4;
    fn read(b: &[u8]) -> f32 {
        f32::from_le_bytes([b[0], b[1], b[2], b[3]])
    }
}

/// Writes a row of floats as f32.
pub fn widen<F: Float>(row: &[u8], out: &mut [f32]) {
    for (b, o) in row.chunks_exact(F::BYTES).zip(out) {
        *o = F::read(b);
    }
}

/// **The definition** for weights that are floats: one chain, fused, from first to last.
#[cfg(test)]
pub fn dot_floats<F: Float>(row: &[u8], x: &[f32]) -> f32 {
    row.chunks_exact(F::BYTES)
        .zip(x)
        .fold(0.0, |sum, (w, x)| F::read(w).mul_add(*x, sum))
}
