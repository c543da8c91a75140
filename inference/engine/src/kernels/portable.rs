//! The kernels in plain Rust, for processors without the instructions of `x86`: the definition's
//! own steps on the blocks that come out of the pack.

use super::activations::Q8;
use super::formats::{Float, Format};
use super::layout::{LANES, Lanes, super_bytes, unpack};

/// One group of outputs with a panel of rows: `y` is blocks × `sums.len()`, `sums` starts at 0.
pub fn strip<F: Format>(group: &[u8], y: &[Q8], sums: &mut [Lanes]) {
    let mut panels = y.chunks_exact(sums.len());
    for packed in group.chunks_exact(super_bytes::<F>()) {
        for (i, y) in (0..F::BLOCKS).zip(&mut panels) {
            let blocks = unpack::<F>(packed, i);
            for (sums, y) in sums.iter_mut().zip(y) {
                for (sum, block) in sums.0.iter_mut().zip(&blocks) {
                    *sum = block.step::<F>(y, *sum);
                }
            }
        }
    }
}

/// One group of outputs whose weights are floats, with the rows of `x`.
pub fn floats<F: Float>(group: &[u8], x: &[f32], cols: usize, sums: &mut [Lanes]) {
    for (x, sums) in x.chunks_exact(cols).zip(sums) {
        for (x, weights) in x.iter().zip(group.chunks_exact(LANES * F::BYTES)) {
            for (sum, w) in sums.0.iter_mut().zip(weights.chunks_exact(F::BYTES)) {
                *sum = F::read(w).mul_add(*x, *sum);
            }
        }
    }
}
