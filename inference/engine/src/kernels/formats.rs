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
    /// The super-block's scale, times a signed integer for each half of the block.
    Halves,
}

/// A format of quantised weights: super-blocks of `BLOCKS` blocks of 32 unsigned integers.
pub trait Format: Send + Sync {
    /// Blocks that share a header.
    const BLOCKS: usize;
    /// Bytes of a super-block.
    const BYTES: usize;
    /// Bits that hold an integer.
    const BITS: usize;
    /// What is taken off every integer.
    const OFFSET: i32;
    /// Whether values have a minimum.
    const MIN: bool;
    const SCALES: Scales;

    /// The header's scale and, where there is one, its minimum: f16 as stored.
    fn header(b: &[u8]) -> [[u8; 2]; 2];

    /// Block i's scale and minimum in units of the header's, or its two halves' factors.
    fn factors(_b: &[u8], _i: usize) -> [u8; 2] {
        [0; 2]
    }

    /// The integers of block i.
    fn integers(b: &[u8], i: usize) -> [u8; BLOCK];
}

/// 32 weights of one output; value = scale × factor of its half × (integer − offset) + min.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Block {
    pub q: [u8; BLOCK],
    pub factors: [i32; 2],
    pub scale: f32,
    pub min: f32,
}

impl Block {
    /// A block from its stored parts.
    pub fn new<F: Format>(header: [[u8; 2]; 2], factors: [u8; 2], q: [u8; BLOCK]) -> Self {
        let [d, m] = header.map(|h| f16::from_le_bytes(h).to_f32());
        let [a, b] = factors;
        // An f16 times a six-bit integer is exact in f32.
        let (factors, scale, min) = match F::SCALES {
            Scales::Own => ([1; 2], d, if F::MIN { m } else { 0.0 }),
            Scales::Multiples => ([1; 2], d * f32::from(a), -(m * f32::from(b))),
            Scales::Halves => ([a, b].map(|f| i32::from(f as i8)), d, 0.0),
        };
        Self {
            q,
            factors,
            scale,
            min,
        }
    }

    fn read<F: Format>(b: &[u8], i: usize) -> Self {
        Self::new::<F>(F::header(b), F::factors(b, i), F::integers(b, i))
    }

    /// **The definition**: one block's part of a dot product, added to what the blocks before gave.
    /// The integers are exact; then one fused step in f32, and one more for a minimum.
    pub fn step<F: Format>(&self, y: &Q8, sum: f32) -> f32 {
        let mut integer = 0i32;
        for (i, (w, x)) in self.q.iter().zip(y.q).enumerate() {
            integer += self.factors[i / 16] * (i32::from(*w) - F::OFFSET) * i32::from(x);
        }
        let sum = (self.scale * y.d).mul_add(integer as f32, sum);
        if F::MIN {
            self.min.mul_add(y.ds, sum)
        } else {
            sum
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
            *o = block.scale * integer as f32 + block.min;
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
pub struct Q3K;
pub struct Q4K;
pub struct Q5K;
pub struct Q6K;

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
