//! Quantised weight formats with blocks of 32 values, as they lie in a GGUF file, and activations
//! quantised to meet them. Plain Rust; the definition that every faster path must equal bit for bit.

// Lanes and tiles are indexed side by side.
#![allow(clippy::needless_range_loop)]

use half::f16;

/// Values in a block.
pub const BLOCK: usize = 32;

/// A format whose block is a scale, perhaps a minimum, and 32 small integers:
/// value = scale × q + minimum.
pub trait Format: Send + Sync {
    /// Bytes of a block.
    const BYTES: usize;
    /// Whether the integers are signed; unsigned ones are below 128.
    const SIGNED: bool;
    /// Whether there is a minimum.
    const MIN: bool;

    /// The integers of a block of [`Self::BYTES`] bytes.
    fn unpack(block: &[u8]) -> [i8; BLOCK];

    /// The block's scale.
    fn scale(block: &[u8]) -> f32 {
        half_at(block, 0)
    }

    /// The block's minimum, 0 without one.
    fn min(block: &[u8]) -> f32 {
        if Self::MIN { half_at(block, 2) } else { 0.0 }
    }
}

fn half_at(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// Low nibbles are the first 16 values, high nibbles the last 16.
fn nibbles(qs: &[u8]) -> [i8; BLOCK] {
    let mut out = [0; BLOCK];
    for (i, q) in qs.iter().take(16).enumerate() {
        out[i] = (q & 15) as i8;
        out[i + 16] = (q >> 4) as i8;
    }
    out
}

/// Nibbles with a fifth bit each.
fn five_bits(qh: &[u8], qs: &[u8]) -> [i8; BLOCK] {
    let high = u32::from_le_bytes([qh[0], qh[1], qh[2], qh[3]]);
    let mut out = nibbles(qs);
    for (i, q) in out.iter_mut().enumerate() {
        *q |= (((high >> i) & 1) << 4) as i8;
    }
    out
}

pub struct Q4_0;
pub struct Q4_1;
pub struct Q5_0;
pub struct Q5_1;
pub struct Q8_0;

impl Format for Q4_0 {
    const BYTES: usize = 18;
    const SIGNED: bool = true;
    const MIN: bool = false;
    fn unpack(block: &[u8]) -> [i8; BLOCK] {
        nibbles(&block[2..18]).map(|q| q - 8)
    }
}

impl Format for Q4_1 {
    const BYTES: usize = 20;
    const SIGNED: bool = false;
    const MIN: bool = true;
    fn unpack(block: &[u8]) -> [i8; BLOCK] {
        nibbles(&block[4..20])
    }
}

impl Format for Q5_0 {
    const BYTES: usize = 22;
    const SIGNED: bool = true;
    const MIN: bool = false;
    fn unpack(block: &[u8]) -> [i8; BLOCK] {
        five_bits(&block[2..6], &block[6..22]).map(|q| q - 16)
    }
}

impl Format for Q5_1 {
    const BYTES: usize = 24;
    const SIGNED: bool = false;
    const MIN: bool = true;
    fn unpack(block: &[u8]) -> [i8; BLOCK] {
        five_bits(&block[4..8], &block[8..24])
    }
}

impl Format for Q8_0 {
    const BYTES: usize = 34;
    const SIGNED: bool = true;
    const MIN: bool = false;
    fn unpack(block: &[u8]) -> [i8; BLOCK] {
        let mut out = [0; BLOCK];
        for (o, q) in out.iter_mut().zip(&block[2..34]) {
            *o = *q as i8;
        }
        out
    }
}

/// Writes a row of weights as f32.
pub fn dequantise<F: Format>(row: &[u8], out: &mut [f32]) {
    for (block, out) in row.chunks_exact(F::BYTES).zip(out.chunks_exact_mut(BLOCK)) {
        let (scale, min) = (F::scale(block), F::min(block));
        for (o, q) in out.iter_mut().zip(F::unpack(block)) {
            *o = scale * f32::from(q) + min;
        }
    }
}

/// Activations in blocks of 32 int8, the rounding of llama.cpp's Q8_1: scale = largest magnitude
/// / 127 kept as f16, integers by the unrounded scale, half to even.
pub struct Q8 {
    /// Blocks in a row.
    pub blocks: usize,
    /// n × blocks × 32 integers in -127..=127.
    pub qs: Vec<i8>,
    /// n × blocks scales.
    pub d: Vec<f32>,
    /// n × blocks: scale × sum of the integers, as f16; meets the weights' minimum.
    pub s: Vec<f32>,
}

impl Q8 {
    /// Quantises rows of `cols` values, a multiple of 32.
    pub fn new(x: &[f32], cols: usize) -> Self {
        let total = x.len() / BLOCK;
        let mut out = Self {
            blocks: cols / BLOCK,
            qs: vec![0; x.len()],
            d: Vec::with_capacity(total),
            s: Vec::with_capacity(total),
        };
        for (x, qs) in x.chunks_exact(BLOCK).zip(out.qs.chunks_exact_mut(BLOCK)) {
            let amax = x.iter().fold(0f32, |m, v| m.max(v.abs()));
            let scale = amax / 127.0;
            let inverse = if amax == 0.0 { 0.0 } else { 127.0 / amax };
            let mut sum = 0i32;
            for (q, v) in qs.iter_mut().zip(x) {
                *q = round_i8(v * inverse);
                sum += i32::from(*q);
            }
            out.d.push(f16::from_f32(scale).to_f32());
            out.s.push(f16::from_f32(scale * sum as f32).to_f32());
        }
        out
    }
}

/// Rounds half to even by the trick of adding 1.5 × 2^23; the argument is within ±127.5, or NaN
/// which gives some integer, and then the block's scale isn't finite either.
fn round_i8(x: f32) -> i8 {
    const MAGIC: f32 = 12_582_912.0;
    let bits = (x + MAGIC).to_bits() as i32;
    bits.wrapping_sub(MAGIC.to_bits() as i32).clamp(-127, 127) as i8
}

/// Dot products of one row of weights with `T` rows of activations from `first` on.
///
/// Eight lanes, lane l over the integers 4l..4l+4 of each block (exact in i32), accumulated over
/// the blocks by fused multiply-add, lanes summed at the end in one order.
pub fn dot<F: Format, const T: usize>(row: &[u8], y: &Q8, first: usize, out: &mut [f32; T]) {
    let mut acc = [[0f32; 8]; T];
    let mut mins = [0f32; T];
    for (ib, block) in row.chunks_exact(F::BYTES).enumerate() {
        let q = F::unpack(block);
        let (scale, min) = (F::scale(block), F::min(block));
        for t in 0..T {
            let at = (first + t) * y.blocks + ib;
            let qs = &y.qs[at * BLOCK..(at + 1) * BLOCK];
            let d = scale * y.d[at];
            for (lane, acc) in acc[t].iter_mut().enumerate() {
                let sum: i32 = (4 * lane..4 * lane + 4)
                    .map(|i| i32::from(q[i]) * i32::from(qs[i]))
                    .sum();
                *acc = d.mul_add(sum as f32, *acc);
            }
            if F::MIN {
                mins[t] += min * y.s[at];
            }
        }
    }
    for t in 0..T {
        out[t] = sum_lanes(acc[t]) + mins[t];
    }
}

/// The one order in which eight lanes become a number.
pub fn sum_lanes(a: [f32; 8]) -> f32 {
    let b = [a[0] + a[4], a[1] + a[5], a[2] + a[6], a[3] + a[7]];
    (b[0] + b[2]) + (b[1] + b[3])
}
