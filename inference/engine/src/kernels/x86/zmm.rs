//! Two groups of outputs at once in registers of 512 bits, with AVX-512 VNNI: what a panel of several
//! rows goes through. One instruction multiplies and adds 64 pairs of bytes.

use std::arch::x86_64::*;

use super::super::activations::{BLOCK, PANEL, Q8};
use super::super::formats::{Format, Scales};
use super::super::layout::{LANES, Lanes, block_bytes, factor_bytes, header_bytes, super_bytes};
use super::{eight_halves, fetch, header_scales, integers, scales};

/// Rows of a tile: two sums of each and a block's integers are 24 of 32 registers.
const TILE: usize = 8;

/// One unpacked block of two groups: the first group's outputs in the low halves.
struct Block {
    w: [__m512i; 8],
    scale: __m512,
    min: __m512,
    /// For each output the factors of the block's halves.
    factors: [__m512i; 2],
    /// And their minimums, where halves have their own.
    minimums: [__m512i; 2],
}

/// Sums of two groups with a row.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Both([Lanes; 2]);

#[inline]
#[target_feature(enable = "avx512f")]
fn both(low: __m256i, high: __m256i) -> __m512i {
    _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high)
}

#[inline]
#[target_feature(enable = "avx2,avx512f")]
fn both_floats(low: __m256, high: __m256) -> __m512 {
    _mm512_castsi512_ps(both(_mm256_castps_si256(low), _mm256_castps_si256(high)))
}

/// Four activations, broadcast.
#[inline]
#[target_feature(enable = "avx512f")]
fn four(q: &[i8; BLOCK], j: usize) -> __m512i {
    let (fours, _) = q.as_chunks::<4>();
    _mm512_set1_epi32(bytemuck::cast(fours[j]))
}

/// Two groups of outputs with a panel of rows. `sums` holds the first group's rows, then the
/// second's, and starts at 0.
///
/// # Safety
/// The processor has AVX2, FMA, F16C, AVX-512F and AVX-512 VNNI.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512vnni")]
pub unsafe fn pair_avx512_vnni<F: Format>(groups: [&[u8]; 2], y: &[Q8], sums: &mut [Lanes]) {
    let rows = sums.len() / 2;
    let supers = groups[0].len() / super_bytes::<F>();
    assert_eq!(groups[0].len(), groups[1].len(), "two groups of one matrix");
    assert_eq!(y.len(), rows * supers * F::BLOCKS, "a panel of rows");
    assert!(rows <= PANEL, "a panel of rows");
    let mut all = [Both([Lanes::default(); 2]); PANEL];
    let mut y = y.as_ptr();
    for index in 0..supers {
        for i in 0..F::BLOCKS {
            // SAFETY: both groups have this super-block, and it has this block.
            let block = unsafe { unpack::<F>(groups, index, i) };
            let mut row = 0;
            while row < rows {
                // SAFETY: y and the rows were measured above.
                unsafe {
                    let (y, sums) = (y.add(row), all.as_mut_ptr().add(row));
                    row += match rows - row {
                        TILE.. => tile::<F, TILE>(&block, y, sums),
                        4.. => tile::<F, 4>(&block, y, sums),
                        2.. => tile::<F, 2>(&block, y, sums),
                        _ => tile::<F, 1>(&block, y, sums),
                    };
                }
            }
            // SAFETY: as above.
            y = unsafe { y.add(rows) };
        }
    }
    let (first, second) = sums.split_at_mut(rows);
    for ((both, first), second) in all.iter().zip(first).zip(second) {
        [*first, *second] = both.0;
    }
}

/// What the 256-bit kernels unpack of a block of one group.
struct Half {
    w: [__m256i; 8],
    scale: __m256,
    min: __m256,
    pairs: __m256i,
    minimums: __m256i,
}

/// Block `i` of super-block `index` of a group.
///
/// # Safety
/// It is there.
#[inline]
#[target_feature(enable = "avx2,f16c")]
unsafe fn half<F: Format>(group: &[u8], index: usize, i: usize) -> Half {
    // SAFETY: as the caller's; a super-block has these bytes.
    unsafe {
        let b = group.as_ptr().add(index * super_bytes::<F>());
        let d = header_scales::<F>(b);
        let m = if F::MIN { eight_halves(b.add(16)) } else { d };
        let p = b.add(header_bytes::<F>() + i * block_bytes::<F>());
        // The same block of the next pair.
        fetch::<F>(p, 2 * group.len());
        let (scale, min, factors) = scales::<F>(d, m, p);
        Half {
            w: integers::<F>(p.add(factor_bytes::<F>())),
            scale,
            min,
            pairs: factors.pairs,
            minimums: factors.minimums,
        }
    }
}

/// Block `i` of super-block `index` of both groups.
///
/// # Safety
/// It is there.
#[inline]
#[target_feature(enable = "avx2,f16c,avx512f")]
unsafe fn unpack<F: Format>(groups: [&[u8]; 2], index: usize, i: usize) -> Block {
    // SAFETY: as the caller's.
    let (a, b) = unsafe {
        (
            half::<F>(groups[0], index, i),
            half::<F>(groups[1], index, i),
        )
    };
    let mut w = [_mm512_setzero_si512(); 8];
    for j in 0..8 {
        w[j] = both(a.w[j], b.w[j]);
    }
    // Pairs hold one factor in their low and one in their high half.
    let apart = |pairs: __m512i| {
        [
            _mm512_srai_epi32::<16>(_mm512_slli_epi32::<16>(pairs)),
            _mm512_srai_epi32::<16>(pairs),
        ]
    };
    Block {
        w,
        scale: both_floats(a.scale, b.scale),
        min: both_floats(a.min, b.min),
        factors: apart(both(a.pairs, b.pairs)),
        minimums: apart(both(a.minimums, b.minimums)),
    }
}

/// A block with T rows; gives T.
///
/// # Safety
/// `y` has T rows, and `sums` T places.
#[inline]
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512vnni")]
unsafe fn tile<F: Format, const T: usize>(block: &Block, y: *const Q8, sums: *mut Both) -> usize {
    let mut halves = [[_mm512_setzero_si512(); 2]; T];
    if F::OFFSET != 0 {
        for t in 0..T {
            // SAFETY: as the caller's. What the offset takes off comes first: integers are exact.
            let [first, last] = unsafe { (*y.add(t)).sums };
            halves[t] = [
                _mm512_set1_epi32(-F::OFFSET * i32::from(first)),
                _mm512_set1_epi32(-F::OFFSET * i32::from(last)),
            ];
        }
    }
    for j in 0..8 {
        for t in 0..T {
            // SAFETY: as the caller's.
            let x = four(unsafe { &(*y.add(t)).q }, j);
            halves[t][j / 4] = _mm512_dpbusd_epi32(halves[t][j / 4], block.w[j], x);
        }
    }
    for t in 0..T {
        // SAFETY: as the caller's.
        let y = unsafe { &*y.add(t) };
        let [first, last] = halves[t];
        let integer = match F::SCALES {
            Scales::Halves | Scales::Nibbles => _mm512_add_epi32(
                _mm512_mullo_epi32(first, block.factors[0]),
                _mm512_mullo_epi32(last, block.factors[1]),
            ),
            _ => _mm512_add_epi32(first, last),
        };
        let step = _mm512_mul_ps(block.scale, _mm512_set1_ps(y.d));
        // SAFETY: as the caller's; sixteen floats, aligned.
        unsafe {
            let place: *mut f32 = sums.add(t).cast();
            let mut s = _mm512_fmadd_ps(step, _mm512_cvtepi32_ps(integer), _mm512_load_ps(place));
            if F::MIN {
                s = minimum::<F>(block, y, s);
            }
            _mm512_store_ps(place, s);
        }
    }
    T
}

/// The step of a minimum, for two groups and one row.
#[inline]
#[target_feature(enable = "avx2,avx512f")]
fn minimum<F: Format>(block: &Block, y: &Q8, sum: __m512) -> __m512 {
    match F::SCALES {
        Scales::Nibbles => {
            let of = |half: usize| {
                let sum = _mm512_set1_epi32(i32::from(y.sums[half]));
                _mm512_mullo_epi32(block.minimums[half], sum)
            };
            let integer = _mm512_cvtepi32_ps(_mm512_add_epi32(of(0), of(1)));
            let step = _mm512_mul_ps(block.min, _mm512_set1_ps(y.d));
            _mm512_fmadd_ps(step, integer, sum)
        }
        _ => _mm512_fmadd_ps(block.min, _mm512_set1_ps(y.ds), sum),
    }
}

const _: () = assert!(size_of::<Both>() == 64 && LANES == 8);
