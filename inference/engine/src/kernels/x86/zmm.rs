//! Two groups of outputs at once in registers of 512 bits, with AVX-512 VNNI: what a panel of several
//! rows goes through. One instruction multiplies and adds 64 pairs of bytes. The kernel names a few
//! instructions, so that tests run the same one on a processor without them (`emulated`).

use std::arch::x86_64::{__m256, __m256i};

use super::super::activations::{BLOCK, PANEL, Q8};
use super::super::formats::{Format, Scales};
use super::super::layout::{LANES, Lanes, block_bytes, factor_bytes, header_bytes, super_bytes};
#[cfg(test)]
use super::emulated;
use super::{eight_halves, fetch, header_scales, integers, scales};

pub use avx512_vnni::pair as pair_avx512_vnni;
#[cfg(test)]
pub use emulated_vnni::pair as pair_emulated;

/// Rows of a tile: two sums of each and a block's integers are 24 of 32 registers.
const TILE: usize = 8;

/// Sums of two groups with a row.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Both([Lanes; 2]);

/// The instructions of the processor.
mod processor {
    use std::arch::x86_64::{
        __m256, __m256i, _mm256_castps_si256, _mm512_castsi256_si512, _mm512_castsi512_ps,
        _mm512_inserti64x4,
    };

    pub use std::arch::x86_64::{
        __m512 as Floats, __m512i as Ints, _mm512_add_epi32 as add,
        _mm512_cvtepi32_ps as to_floats, _mm512_dpbusd_epi32 as dot, _mm512_fmadd_ps as fma,
        _mm512_load_ps as load, _mm512_mul_ps as mul_floats, _mm512_mullo_epi32 as mul,
        _mm512_set1_epi32 as ints, _mm512_set1_ps as floats, _mm512_slli_epi32 as left,
        _mm512_srai_epi32 as right, _mm512_store_ps as store,
    };

    /// Eight lanes and eight more.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub fn both(low: __m256i, high: __m256i) -> Ints {
        _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high)
    }

    #[inline]
    #[target_feature(enable = "avx2,avx512f")]
    pub fn both_floats(low: __m256, high: __m256) -> Floats {
        _mm512_castsi512_ps(both(_mm256_castps_si256(low), _mm256_castps_si256(high)))
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

/// The kernel, compiled for a processor with these features from these instructions.
macro_rules! kernel {
    ($name:ident, $features:literal, $instructions:ident) => {
        mod $name {
            use super::$instructions::*;
            use super::*;

            /// One unpacked block of two groups: the first group's outputs in the low halves.
            struct Block {
                w: [Ints; 8],
                scale: Floats,
                min: Floats,
                /// For each output the factors of the block's halves.
                factors: [Ints; 2],
                /// And their minimums, where halves have their own.
                minimums: [Ints; 2],
            }

            /// Four activations, broadcast.
            #[inline]
            #[target_feature(enable = $features)]
            fn four(q: &[i8; BLOCK], j: usize) -> Ints {
                let (fours, _) = q.as_chunks::<4>();
                ints(bytemuck::cast(fours[j]))
            }

            /// Two groups of outputs with a panel of rows. `sums` holds the first group's rows, then the
            /// second's, and starts at 0.
            ///
            /// # Safety
            /// The processor has the features.
            #[target_feature(enable = $features)]
            pub unsafe fn pair<F: Format>(groups: [&[u8]; 2], y: &[Q8], sums: &mut [Lanes]) {
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

            /// Block `i` of super-block `index` of both groups.
            ///
            /// # Safety
            /// It is there.
            #[inline]
            #[target_feature(enable = $features)]
            unsafe fn unpack<F: Format>(groups: [&[u8]; 2], index: usize, i: usize) -> Block {
                // SAFETY: as the caller's.
                let (a, b) = unsafe {
                    (
                        half::<F>(groups[0], index, i),
                        half::<F>(groups[1], index, i),
                    )
                };
                let mut w = [ints(0); 8];
                for j in 0..8 {
                    w[j] = both(a.w[j], b.w[j]);
                }
                // Pairs hold one factor in their low and one in their high half.
                let apart = |pairs: Ints| [right::<16>(left::<16>(pairs)), right::<16>(pairs)];
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
            #[target_feature(enable = $features)]
            unsafe fn tile<F: Format, const T: usize>(
                block: &Block,
                y: *const Q8,
                sums: *mut Both,
            ) -> usize {
                let mut halves = [[ints(0); 2]; T];
                if F::OFFSET != 0 {
                    for t in 0..T {
                        // SAFETY: as the caller's. What the offset takes off comes first: integers are exact.
                        let [first, last] = unsafe { (*y.add(t)).sums };
                        halves[t] = [
                            ints(-F::OFFSET * i32::from(first)),
                            ints(-F::OFFSET * i32::from(last)),
                        ];
                    }
                }
                for j in 0..8 {
                    for t in 0..T {
                        // SAFETY: as the caller's.
                        let x = four(unsafe { &(*y.add(t)).q }, j);
                        halves[t][j / 4] = dot(halves[t][j / 4], block.w[j], x);
                    }
                }
                for t in 0..T {
                    // SAFETY: as the caller's.
                    let y = unsafe { &*y.add(t) };
                    let [first, last] = halves[t];
                    let integer = match F::SCALES {
                        Scales::Halves | Scales::Nibbles => {
                            add(mul(first, block.factors[0]), mul(last, block.factors[1]))
                        }
                        _ => add(first, last),
                    };
                    let step = mul_floats(block.scale, floats(y.d));
                    // SAFETY: as the caller's; sixteen floats, aligned.
                    unsafe {
                        let place: *mut f32 = sums.add(t).cast();
                        let mut s = fma(step, to_floats(integer), load(place));
                        if F::MIN {
                            s = minimum::<F>(block, y, s);
                        }
                        store(place, s);
                    }
                }
                T
            }

            /// The step of a minimum, for two groups and one row.
            #[inline]
            #[target_feature(enable = $features)]
            fn minimum<F: Format>(block: &Block, y: &Q8, sum: Floats) -> Floats {
                match F::SCALES {
                    Scales::Nibbles => {
                        let of = |half: usize| {
                            let sum = ints(i32::from(y.sums[half]));
                            mul(block.minimums[half], sum)
                        };
                        let integer = to_floats(add(of(0), of(1)));
                        let step = mul_floats(block.min, floats(y.d));
                        fma(step, integer, sum)
                    }
                    _ => fma(block.min, floats(y.ds), sum),
                }
            }
        }
    };
}

kernel!(avx512_vnni, "avx2,fma,f16c,avx512f,avx512vnni", processor);
#[cfg(test)]
kernel!(emulated_vnni, "avx2,fma,f16c", emulated);

const _: () = assert!(size_of::<Both>() == 64 && LANES == 8);
