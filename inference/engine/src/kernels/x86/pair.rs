//! Two groups of outputs at once with AVX2: what a panel of several rows goes through. A block's
//! integers are unpacked once into the first-level cache, and each broadcast of four activations
//! meets both groups. (For bytes instead of nibbles this is no faster than one group at a time.)

use std::arch::x86_64::*;

use super::super::activations::Q8;
use super::super::formats::{Format, Scales};
use super::super::layout::{Lanes, block_bytes, factor_bytes, header_bytes, super_bytes};
use super::{eight_halves, fetch, four, integers, scales};

/// Whether this way is for the format: the sums of a whole block fit in an i16.
pub const fn in_pairs<F: Format>() -> bool {
    F::WIDTH == 4 && !matches!(F::SCALES, Scales::Halves | Scales::Nibbles)
}

/// Rows of a tile: two groups' sums of four rows are eight registers.
const TILE: usize = 4;

/// One unpacked block of two groups.
struct Block {
    w: [[__m256i; 8]; 2],
    scale: [__m256; 2],
    min: [__m256; 2],
}

/// Two groups of outputs with a panel of rows, for formats that are [`in_pairs`]. `sums` holds the
/// first group's rows, then the second's, and starts at 0.
///
/// # Safety
/// The processor has AVX2, FMA and F16C.
#[target_feature(enable = "avx2,fma,f16c")]
pub unsafe fn pair_avx2<F: Format>(groups: [&[u8]; 2], y: &[Q8], sums: &mut [Lanes]) {
    assert!(in_pairs::<F>(), "sums of a block fit in an i16");
    let rows = sums.len() / 2;
    let supers = groups[0].len() / super_bytes::<F>();
    assert_eq!(groups[0].len(), groups[1].len(), "two groups of one matrix");
    assert_eq!(y.len(), rows * supers * F::BLOCKS, "a panel of rows");
    let mut block = Block {
        w: [[_mm256_setzero_si256(); 8]; 2],
        scale: [_mm256_setzero_ps(); 2],
        min: [_mm256_setzero_ps(); 2],
    };
    let mut y = y.as_ptr();
    for index in 0..supers {
        for i in 0..F::BLOCKS {
            for g in 0..2 {
                // SAFETY: the group has this super-block, which has these bytes.
                unsafe {
                    let b = groups[g].as_ptr().add(index * super_bytes::<F>());
                    let d = eight_halves(b);
                    let m = if F::MIN { eight_halves(b.add(16)) } else { d };
                    let p = b.add(header_bytes::<F>() + i * block_bytes::<F>());
                    // The same block of the next pair.
                    fetch::<F>(p, 2 * groups[g].len());
                    (block.scale[g], block.min[g], _) = scales::<F>(d, m, p);
                    block.w[g] = integers::<F>(p.add(factor_bytes::<F>()));
                }
            }
            let mut row = 0;
            while row < rows {
                // SAFETY: y and sums were measured above.
                unsafe {
                    let (y, s) = (y.add(row), sums.as_mut_ptr().add(row));
                    row += match rows - row {
                        TILE.. => tile::<F, TILE>(&block, y, s, rows),
                        3 => tile::<F, 3>(&block, y, s, rows),
                        2 => tile::<F, 2>(&block, y, s, rows),
                        _ => tile::<F, 1>(&block, y, s, rows),
                    };
                }
            }
            // SAFETY: as above.
            y = unsafe { y.add(rows) };
        }
    }
}

/// A block with T rows; gives T.
///
/// # Safety
/// `y` has T rows; `sums` T places, and as many after `apart` more.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn tile<F: Format, const T: usize>(
    block: &Block,
    y: *const Q8,
    sums: *mut Lanes,
    apart: usize,
) -> usize {
    let mut pairs = [[_mm256_setzero_si256(); T]; 2];
    for j in 0..8 {
        for t in 0..T {
            // SAFETY: as the caller's.
            let x = four(unsafe { &(*y.add(t)).q }, j);
            for g in 0..2 {
                // 8 × 2 × 127 × 15 = 30,480.
                let products = _mm256_maddubs_epi16(block.w[g][j], x);
                pairs[g][t] = _mm256_add_epi16(pairs[g][t], products);
            }
        }
    }
    for t in 0..T {
        // SAFETY: as the caller's.
        let y = unsafe { &*y.add(t) };
        let (d, ds) = (_mm256_set1_ps(y.d), _mm256_set1_ps(y.ds));
        for g in 0..2 {
            let mut integer = _mm256_madd_epi16(pairs[g][t], _mm256_set1_epi16(1));
            if F::OFFSET != 0 {
                let sums = _mm256_set1_epi32(bytemuck::cast(y.sums));
                let taken = _mm256_madd_epi16(sums, _mm256_set1_epi16(F::OFFSET as i16));
                integer = _mm256_sub_epi32(integer, taken);
            }
            let step = _mm256_mul_ps(block.scale[g], d);
            // SAFETY: as the caller's.
            unsafe {
                let place = (*sums.add(g * apart + t)).0.as_mut_ptr();
                let mut s =
                    _mm256_fmadd_ps(step, _mm256_cvtepi32_ps(integer), _mm256_load_ps(place));
                if F::MIN {
                    s = _mm256_fmadd_ps(block.min[g], ds, s);
                }
                _mm256_store_ps(place, s);
            }
        }
    }
    T
}
