//! Activations as int8 in blocks of 32, in the order in which the kernels read them. Plain Rust, the
//! definition; the fast path is in `x86`.

/// Values in a block, of activations and of weights.
pub const BLOCK: usize = 32;

/// Below this a block counts as zero: its inverse would leave the range of f32.
pub const TINY: f32 = 1e-30;

/// Rows that a kernel takes at once: their blocks lie side by side, so that one block of weights
/// meets them in order.
pub const PANEL: usize = 32;

/// 32 activations.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Q8 {
    /// In −127..=127; value = d × q.
    pub q: [i8; BLOCK],
    /// Largest magnitude / 127; not finite if a value is not, and then all q are 0.
    pub d: f32,
    /// d × the sum of q: meets a minimum.
    pub ds: f32,
    /// Sum of the first 16 q and of the last: meet offsets.
    pub sums: [i16; 2],
}

impl Q8 {
    /// **The definition**: largest magnitude by its bits (so that NaN is the largest), one division
    /// for the scale and one for its inverse, integers rounded half to even.
    pub fn new(x: &[f32; BLOCK]) -> Self {
        let amax = f32::from_bits(x.iter().fold(0, |m, v| m.max(v.abs().to_bits())));
        let mut out = Self {
            d: amax / 127.0,
            ..Self::default()
        };
        if amax < TINY {
            out.d = 0.0;
        } else if amax.is_finite() {
            let inverse = 127.0 / amax;
            for (i, (q, v)) in out.q.iter_mut().zip(x).enumerate() {
                *q = round(v * inverse);
                out.sums[i / 16] += i16::from(*q);
            }
        }
        out.ds = out.d * f32::from(out.sums[0] + out.sums[1]);
        out
    }
}

/// Rounds half to even by adding and taking off 1.5 × 2^23; the argument is within ±127.5.
fn round(x: f32) -> i8 {
    const MAGIC: f32 = 12_582_912.0;
    ((x + MAGIC) - MAGIC) as i8
}

/// Where block `block` of row `row` lies among the blocks of `rows` rows of `blocks` blocks:
/// panels of up to [`PANEL`] rows one after another; in a panel, the first block of each row, then
/// the second of each.
pub fn place(rows: usize, blocks: usize, row: usize, block: usize) -> usize {
    let first = row / PANEL * PANEL;
    first * blocks + block * PANEL.min(rows - first) + row - first
}
