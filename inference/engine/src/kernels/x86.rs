//! The kernels with AVX2, and with the dot-product instructions of AVX-512 VNNI and AVX-VNNI on
//! 256-bit registers (for several rows on 512 bits: `zmm`). Equal to the definition bit for bit; a
//! test compares them.
//!
//! A block of eight outputs is eight registers of integers, which stay where they are while the rows
//! of a panel pass: four activations of a row are broadcast, multiplied with four weights of each
//! output, and so on; what comes out is one integer for each output.

// Registers and tiles are indexed side by side.
#![allow(clippy::needless_range_loop)]

#[cfg(test)]
pub mod emulated;
mod pair;
mod zmm;

use std::arch::x86_64::*;

use super::activations::{BLOCK, Q8, TINY};
use super::formats::{Float, Format, Scales};
use super::layout::{LANES, Lanes, block_bytes, factor_bytes, header_bytes, super_bytes};

pub use pair::{in_pairs, pair_avx2};
pub use zmm::pair_avx512_vnni;
#[cfg(test)]
pub use zmm::pair_emulated;

/// Sets of instructions that there are kernels for, and that this processor has.
pub fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c")
}

pub fn has_avx_vnni() -> bool {
    has_avx2() && is_x86_feature_detected!("avxvnni")
}

pub fn has_avx512_vnni() -> bool {
    has_avx2()
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vnni")
}

/// What the integers of a block are multiplied with to give its sum.
#[derive(Clone, Copy)]
struct Factors {
    /// For each output a pair of i16, one for each half of the block.
    pairs: __m256i,
    /// The first half's factor twice, and the second's.
    halves: [__m256i; 2],
    /// For each output its halves' minimums, where they have their own.
    minimums: __m256i,
}

/// Eight f16 as f32.
///
/// # Safety
/// 16 bytes are there.
#[inline]
#[target_feature(enable = "avx2,f16c")]
unsafe fn eight_halves(p: *const u8) -> __m256 {
    // SAFETY: the caller vouches for the bytes.
    _mm256_cvtph_ps(unsafe { _mm_loadu_si128(p.cast()) })
}

/// The scales of a super-block.
///
/// # Safety
/// 16 bytes are there.
#[inline]
#[target_feature(enable = "avx2,f16c")]
unsafe fn header_scales<F: Format>(p: *const u8) -> __m256 {
    // SAFETY: as the caller's.
    unsafe {
        match F::BRAIN {
            true => eight_brain_floats(p),
            false => eight_halves(p),
        }
    }
}

/// Eight bf16 as f32.
///
/// # Safety
/// 16 bytes are there.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn eight_brain_floats(p: *const u8) -> __m256 {
    // SAFETY: the caller vouches for the bytes.
    let halves = unsafe { _mm_loadu_si128(p.cast()) };
    _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(halves)))
}

/// # Safety
/// 32 bytes are there.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load(p: *const u8) -> __m256i {
    // SAFETY: the caller vouches for the bytes.
    unsafe { _mm256_loadu_si256(p.cast()) }
}

/// The integers of a packed block, register by register.
///
/// # Safety
/// The block's integers are there.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn integers<F: Format>(p: *const u8) -> [__m256i; 8] {
    let mut w = [_mm256_setzero_si256(); 8];
    // SAFETY: the caller vouches for 32 × BITS bytes; the offsets below end there.
    unsafe {
        if F::BITS == 8 {
            for (j, w) in w.iter_mut().enumerate() {
                *w = load(p.add(32 * j));
            }
            return w;
        }
        let low = _mm256_set1_epi8(15);
        for j in 0..4 {
            let both = load(p.add(32 * j));
            w[j] = _mm256_and_si256(both, low);
            w[j + 4] = _mm256_and_si256(_mm256_srli_epi16::<4>(both), low);
        }
        if let Some(table) = F::TABLE {
            let table = _mm256_broadcastsi128_si256(_mm_loadu_si128(table.as_ptr().cast()));
            for w in &mut w {
                *w = _mm256_shuffle_epi8(table, *w);
            }
            return w;
        }
        if F::BITS == 5 {
            let high = load(p.add(128));
            let bit = _mm256_set1_epi8(16);
            // Bit j moves to bit 4; what 16-bit shifts bring from a neighbour is masked off.
            let moved = [
                _mm256_slli_epi16::<4>(high),
                _mm256_slli_epi16::<3>(high),
                _mm256_slli_epi16::<2>(high),
                _mm256_slli_epi16::<1>(high),
                high,
                _mm256_srli_epi16::<1>(high),
                _mm256_srli_epi16::<2>(high),
                _mm256_srli_epi16::<3>(high),
            ];
            for (w, moved) in w.iter_mut().zip(moved) {
                *w = _mm256_or_si256(*w, _mm256_and_si256(moved, bit));
            }
        }
        if F::BITS == 6 {
            let bits = _mm256_set1_epi8(48);
            for half in 0..2 {
                let high = load(p.add(128 + 32 * half));
                let moved = [
                    _mm256_slli_epi16::<4>(high),
                    _mm256_slli_epi16::<2>(high),
                    high,
                    _mm256_srli_epi16::<2>(high),
                ];
                for (w, moved) in w[4 * half..].iter_mut().zip(moved) {
                    *w = _mm256_or_si256(*w, _mm256_and_si256(moved, bits));
                }
            }
        }
    }
    w
}

/// How far ahead weights are fetched for one row, which waits for memory and nothing else: a page, at
/// whose end the processor's own prefetcher stops.
const AHEAD: usize = 4096;

/// Asks for the block `distance` bytes after `p`.
#[inline]
#[target_feature(enable = "avx2")]
fn fetch<F: Format>(p: *const u8, distance: usize) {
    for line in (0..block_bytes::<F>()).step_by(64) {
        let place = p.wrapping_add(distance + line);
        _mm_prefetch::<_MM_HINT_T0>(place.cast());
    }
}

/// Scales, minimums and factors of a packed block.
///
/// # Safety
/// The block's factors are there.
#[inline]
#[target_feature(enable = "avx2,f16c")]
unsafe fn scales<F: Format>(d: __m256, m: __m256, p: *const u8) -> (__m256, __m256, Factors) {
    let one = _mm256_set1_epi16(1);
    let plain = Factors {
        pairs: one,
        halves: [one; 2],
        minimums: one,
    };
    let by_halves = |pairs: __m256i, minimums: __m256i| Factors {
        pairs,
        halves: [
            _mm256_shufflehi_epi16::<0xA0>(_mm256_shufflelo_epi16::<0xA0>(pairs)),
            _mm256_shufflehi_epi16::<0xF5>(_mm256_shufflelo_epi16::<0xF5>(pairs)),
        ],
        minimums,
    };
    let minus = _mm256_set1_ps(-0.0);
    match F::SCALES {
        Scales::Own => (d, m, plain),
        Scales::Multiples => {
            // SAFETY: the caller vouches for 16 bytes.
            let both = unsafe { _mm_loadu_si128(p.cast()) };
            let a = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(both));
            let b = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128::<8>(both)));
            let min = _mm256_xor_ps(_mm256_mul_ps(m, b), minus);
            (_mm256_mul_ps(d, a), min, plain)
        }
        Scales::Signed => {
            // SAFETY: the caller vouches for 8 bytes.
            let a = _mm256_cvtepi8_epi32(unsafe { _mm_loadl_epi64(p.cast()) });
            (_mm256_mul_ps(d, _mm256_cvtepi32_ps(a)), m, plain)
        }
        Scales::Halves => {
            // SAFETY: the caller vouches for 16 bytes.
            let pairs = _mm256_cvtepi8_epi16(unsafe { _mm_loadu_si128(p.cast()) });
            (d, m, by_halves(pairs, one))
        }
        Scales::Nibbles => {
            // SAFETY: the caller vouches for 16 bytes.
            let both = _mm256_cvtepu8_epi16(unsafe { _mm_loadu_si128(p.cast()) });
            let pairs = _mm256_and_si256(both, _mm256_set1_epi16(15));
            let factors = by_halves(pairs, _mm256_srli_epi16::<4>(both));
            (d, _mm256_xor_ps(m, minus), factors)
        }
    }
}

/// The step of a minimum, for eight outputs and one row.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn minimum<F: Format>(min: __m256, f: &Factors, y: &Q8, sum: __m256) -> __m256 {
    match F::SCALES {
        Scales::Nibbles => {
            let sums = _mm256_set1_epi32(bytemuck::cast(y.sums));
            let integer = _mm256_cvtepi32_ps(_mm256_madd_epi16(sums, f.minimums));
            _mm256_fmadd_ps(_mm256_mul_ps(min, _mm256_set1_ps(y.d)), integer, sum)
        }
        _ => _mm256_fmadd_ps(min, _mm256_set1_ps(y.ds), sum),
    }
}

/// What the format's offset takes off the sum of products of unsigned integers.
#[inline]
#[target_feature(enable = "avx2")]
fn offset<F: Format>(sums: [i16; 2], f: &Factors) -> __m256i {
    let sums = _mm256_set1_epi32(bytemuck::cast(sums));
    match F::SCALES {
        Scales::Halves => _mm256_mullo_epi32(
            _mm256_madd_epi16(sums, f.pairs),
            _mm256_set1_epi32(F::OFFSET),
        ),
        _ => _mm256_madd_epi16(sums, _mm256_set1_epi16(F::OFFSET as i16)),
    }
}

/// Four activations, broadcast.
#[inline]
#[target_feature(enable = "avx2")]
fn four(q: &[i8; BLOCK], j: usize) -> __m256i {
    let (fours, _) = q.as_chunks::<4>();
    _mm256_set1_epi32(bytemuck::cast(fours[j]))
}

/// The integer that the definition's block gives, for eight outputs and one row.
#[inline]
#[target_feature(enable = "avx2")]
fn dot_avx2<F: Format>(w: &[__m256i; 8], f: &Factors, y: &Q8) -> __m256i {
    let m = |j: usize| _mm256_maddubs_epi16(w[j], four(&y.q, j));
    let add = |a, b| _mm256_add_epi16(a, b);
    let one = _mm256_set1_epi16(1);
    // A pair of products is at most 2 × 127 × the largest integer: how many pairs fit in an i16?
    let sum = match F::WIDTH {
        4 => {
            let (first, last) = (
                add(add(m(0), m(1)), add(m(2), m(3))),
                add(add(m(4), m(5)), add(m(6), m(7))),
            );
            match F::SCALES {
                Scales::Halves | Scales::Nibbles => _mm256_add_epi32(
                    _mm256_madd_epi16(first, f.halves[0]),
                    _mm256_madd_epi16(last, f.halves[1]),
                ),
                // 8 × 2 × 127 × 15 = 30,480.
                _ => _mm256_madd_epi16(add(first, last), one),
            }
        }
        // 4 × 2 × 127 × 31 = 31,496.
        5 => _mm256_add_epi32(
            _mm256_madd_epi16(add(add(m(0), m(1)), add(m(2), m(3))), one),
            _mm256_madd_epi16(add(add(m(4), m(5)), add(m(6), m(7))), one),
        ),
        // 2 × 2 × 127 × 63 = 32,004.
        6 => _mm256_add_epi32(
            _mm256_add_epi32(
                _mm256_madd_epi16(add(m(0), m(1)), f.halves[0]),
                _mm256_madd_epi16(add(m(2), m(3)), f.halves[0]),
            ),
            _mm256_add_epi32(
                _mm256_madd_epi16(add(m(4), m(5)), f.halves[1]),
                _mm256_madd_epi16(add(m(6), m(7)), f.halves[1]),
            ),
        ),
        _ => {
            // Unsigned bytes would saturate: magnitudes of the weights, and their signs on the
            // activations. 2 × 127 × 128 = 32,512.
            let mut sum = _mm256_setzero_si256();
            for (j, w) in w.iter().enumerate() {
                let signed = _mm256_xor_si256(*w, _mm256_set1_epi8(-128));
                let x = _mm256_sign_epi8(four(&y.q, j), signed);
                let products = _mm256_maddubs_epi16(_mm256_abs_epi8(signed), x);
                sum = _mm256_add_epi32(sum, _mm256_madd_epi16(products, one));
            }
            return sum;
        }
    };
    if F::OFFSET == 0 {
        return sum;
    }
    _mm256_sub_epi32(sum, offset::<F>(y.sums, f))
}

/// As [`dot_avx2`], from an instruction that adds four products to a sum.
macro_rules! dot_vnni {
    ($name:ident, $features:literal, $dpbusd:path) => {
        #[inline]
        #[target_feature(enable = $features)]
        fn $name<F: Format>(w: &[__m256i; 8], f: &Factors, y: &Q8) -> __m256i {
            let mut halves = [_mm256_setzero_si256(); 2];
            for (j, w) in w.iter().enumerate() {
                halves[j / 4] = $dpbusd(halves[j / 4], *w, four(&y.q, j));
            }
            let [first, last] = halves;
            let sum = match F::SCALES {
                Scales::Halves | Scales::Nibbles => {
                    // The pairs hold one factor in their low and one in their high half.
                    let a = _mm256_srai_epi32::<16>(_mm256_slli_epi32::<16>(f.pairs));
                    let b = _mm256_srai_epi32::<16>(f.pairs);
                    _mm256_add_epi32(_mm256_mullo_epi32(first, a), _mm256_mullo_epi32(last, b))
                }
                _ => _mm256_add_epi32(first, last),
            };
            if F::OFFSET == 0 {
                return sum;
            }
            _mm256_sub_epi32(sum, offset::<F>(y.sums, f))
        }
    };
}

dot_vnni!(
    dot_avx512_vnni,
    "avx2,avx512vnni,avx512vl",
    _mm256_dpbusd_epi32
);
dot_vnni!(dot_avx_vnni, "avx2,avxvnni", _mm256_dpbusd_avx_epi32);

/// `vpdpbusd` by its description in plain code, so that the kernels that use it are tested on
/// processors without it.
#[cfg(test)]
#[inline]
#[target_feature(enable = "avx2")]
fn emulated_dpbusd(sum: __m256i, unsigned: __m256i, signed: __m256i) -> __m256i {
    // SAFETY: arrays of bytes, words and a register of the same size; any bits are valid in each.
    unsafe {
        let mut sum: [i32; 8] = std::mem::transmute(sum);
        let unsigned: [u8; 32] = std::mem::transmute(unsigned);
        let signed: [i8; 32] = std::mem::transmute(signed);
        for (i, (a, b)) in unsigned.into_iter().zip(signed).enumerate() {
            sum[i / 4] = sum[i / 4].wrapping_add(i32::from(a) * i32::from(b));
        }
        std::mem::transmute(sum)
    }
}

#[cfg(test)]
dot_vnni!(dot_emulated, "avx2", emulated_dpbusd);

macro_rules! strip {
    ($name:ident, $features:literal, $dot:ident) => {
        /// One group of outputs with a panel of rows: `y` is blocks × `sums.len()`, `sums` starts
        /// at 0.
        ///
        /// # Safety
        /// The processor has the features.
        #[target_feature(enable = $features)]
        pub unsafe fn $name<F: Format>(group: &[u8], y: &[Q8], sums: &mut [Lanes]) {
            if let [sum] = sums {
                // SAFETY: as the caller's.
                return unsafe { one::<F>(group, y, &mut sum.0) };
            }
            let rows = sums.len();
            let supers = group.chunks_exact(super_bytes::<F>());
            assert_eq!(y.len(), rows * supers.len() * F::BLOCKS, "a panel of rows");
            let mut y = y.as_ptr();
            for b in supers {
                let b = b.as_ptr();
                // SAFETY: a super-block has these bytes; y and sums were measured above.
                unsafe {
                    let d = header_scales::<F>(b);
                    let m = if F::MIN { eight_halves(b.add(16)) } else { d };
                    let mut p = b.add(header_bytes::<F>());
                    for _ in 0..F::BLOCKS {
                        fetch::<F>(p, group.len());
                        let (scale, min, factors) = scales::<F>(d, m, p);
                        let w = integers::<F>(p.add(factor_bytes::<F>()));
                        let mut sum = sums.as_mut_ptr().cast::<f32>();
                        for _ in 0..rows {
                            let y_block = &*y;
                            let integer = _mm256_cvtepi32_ps($dot::<F>(&w, &factors, y_block));
                            let step = _mm256_mul_ps(scale, _mm256_set1_ps(y_block.d));
                            let mut s = _mm256_fmadd_ps(step, integer, _mm256_loadu_ps(sum));
                            if F::MIN {
                                s = minimum::<F>(min, &factors, y_block, s);
                            }
                            _mm256_storeu_ps(sum, s);
                            sum = sum.add(LANES);
                            y = y.add(1);
                        }
                        p = p.add(block_bytes::<F>());
                    }
                }
            }

            /// The same for one row, whose sums stay in a register.
            ///
            /// # Safety
            /// The processor has the features.
            #[target_feature(enable = $features)]
            unsafe fn one<F: Format>(group: &[u8], y: &[Q8], sum: &mut [f32; LANES]) {
                let supers = group.chunks_exact(super_bytes::<F>());
                assert_eq!(y.len(), supers.len() * F::BLOCKS, "a row");
                let mut s = _mm256_setzero_ps();
                let mut y = y.as_ptr();
                for b in supers {
                    let b = b.as_ptr();
                    // SAFETY: a super-block has these bytes; y was measured above.
                    unsafe {
                        let d = header_scales::<F>(b);
                        let m = if F::MIN { eight_halves(b.add(16)) } else { d };
                        let mut p = b.add(header_bytes::<F>());
                        for _ in 0..F::BLOCKS {
                            fetch::<F>(p, AHEAD);
                            let (scale, min, factors) = scales::<F>(d, m, p);
                            let w = integers::<F>(p.add(factor_bytes::<F>()));
                            let integer = _mm256_cvtepi32_ps($dot::<F>(&w, &factors, &*y));
                            let step = _mm256_mul_ps(scale, _mm256_set1_ps((*y).d));
                            s = _mm256_fmadd_ps(step, integer, s);
                            if F::MIN {
                                s = minimum::<F>(min, &factors, &*y, s);
                            }
                            y = y.add(1);
                            p = p.add(block_bytes::<F>());
                        }
                    }
                }
                // SAFETY: eight places.
                unsafe { _mm256_storeu_ps(sum.as_mut_ptr(), s) };
            }
        }
    };
}

strip!(strip_avx2, "avx2,fma,f16c", dot_avx2);
strip!(
    strip_avx512_vnni,
    "avx2,fma,f16c,avx512vnni,avx512vl",
    dot_avx512_vnni
);
strip!(strip_avx_vnni, "avx2,fma,f16c,avxvnni", dot_avx_vnni);
#[cfg(test)]
strip!(strip_emulated, "avx2,fma,f16c", dot_emulated);

/// Floats that a register can be filled with.
pub trait Wide: Float {
    /// Eight neighbouring weights.
    ///
    /// # Safety
    /// The processor has AVX2 and F16C; the bytes are there.
    unsafe fn eight(p: *const u8) -> __m256;
}

impl Wide for super::formats::F16 {
    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn eight(p: *const u8) -> __m256 {
        // SAFETY: as the caller's.
        unsafe { eight_halves(p) }
    }
}

impl Wide for super::formats::BF16 {
    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn eight(p: *const u8) -> __m256 {
        // SAFETY: as the caller's.
        unsafe { eight_brain_floats(p) }
    }
}

impl Wide for super::formats::F32 {
    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn eight(p: *const u8) -> __m256 {
        // SAFETY: the caller vouches for 32 bytes.
        unsafe { _mm256_loadu_ps(p.cast()) }
    }
}

/// `G` groups of outputs whose weights are floats, one after another in memory, with `T` rows of
/// `x`: enough chains side by side to hide the latency of an addition.
///
/// # Safety
/// The processor has the features; `groups` holds G groups of `cols` × 8 weights, `x` T rows.
#[target_feature(enable = "avx2,fma,f16c")]
pub unsafe fn floats<F: Wide, const G: usize, const T: usize>(
    groups: &[u8],
    x: &[f32],
    cols: usize,
) -> [[Lanes; T]; G] {
    let bytes = LANES * F::BYTES;
    assert!(groups.len() >= G * cols * bytes && x.len() >= T * cols);
    let (groups, x) = (groups.as_ptr(), x.as_ptr());
    let mut sums = [[_mm256_setzero_ps(); T]; G];
    for k in 0..cols {
        for (g, sums) in sums.iter_mut().enumerate() {
            // SAFETY: measured above.
            let w = unsafe { F::eight(groups.add((g * cols + k) * bytes)) };
            for (t, sum) in sums.iter_mut().enumerate() {
                // SAFETY: measured above.
                let x = unsafe { *x.add(t * cols + k) };
                *sum = _mm256_fmadd_ps(w, _mm256_set1_ps(x), *sum);
            }
        }
    }
    sums.map(|sums| {
        sums.map(|sum| {
            let mut out = Lanes::default();
            // SAFETY: eight places, aligned.
            unsafe { _mm256_store_ps(out.0.as_mut_ptr(), sum) };
            out
        })
    })
}

/// As [`Q8::new`].
///
/// # Safety
/// The processor has AVX2.
#[target_feature(enable = "avx2")]
pub unsafe fn quantise(x: &[f32; BLOCK]) -> Q8 {
    // SAFETY: 32 values are there.
    let v: [__m256; 4] = std::array::from_fn(|i| unsafe { _mm256_loadu_ps(x.as_ptr().add(8 * i)) });
    let bits = _mm256_set1_epi32(i32::MAX);
    let a = v.map(|v| _mm256_and_si256(_mm256_castps_si256(v), bits));
    let max = _mm256_max_epu32(_mm256_max_epu32(a[0], a[1]), _mm256_max_epu32(a[2], a[3]));
    let max = _mm_max_epu32(
        _mm256_castsi256_si128(max),
        _mm256_extracti128_si256::<1>(max),
    );
    let max = _mm_max_epu32(max, _mm_shuffle_epi32::<0b01_00_11_10>(max));
    let max = _mm_max_epu32(max, _mm_shuffle_epi32::<0b10_11_00_01>(max));
    let amax = f32::from_bits(_mm_cvtsi128_si32(max) as u32);
    if !(TINY..=f32::MAX).contains(&amax) {
        return Q8::new(x);
    }
    let inverse = _mm256_set1_ps(127.0 / amax);
    // Rounds half to even: the mode that Rust programs run in.
    let i = v.map(|v| _mm256_cvtps_epi32(_mm256_mul_ps(v, inverse)));
    // Packing works in halves of a register; the permutation puts them in order.
    let words = [
        _mm256_packs_epi32(i[0], i[1]),
        _mm256_packs_epi32(i[2], i[3]),
    ];
    let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    let bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(words[0], words[1]), order);
    let mut out = Q8 {
        d: amax / 127.0,
        ..Q8::default()
    };
    // SAFETY: 32 places.
    unsafe { _mm256_storeu_si256(out.q.as_mut_ptr().cast(), bytes) };
    // The first word register holds the first 16 values.
    let ones = _mm256_set1_epi16(1);
    for (sum, words) in out.sums.iter_mut().zip(words) {
        let s = _mm256_madd_epi16(words, ones);
        let s = _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256::<1>(s));
        let s = _mm_add_epi32(s, _mm_shuffle_epi32::<0b01_00_11_10>(s));
        let s = _mm_add_epi32(s, _mm_shuffle_epi32::<0b10_11_00_01>(s));
        *sum = _mm_cvtsi128_si32(s) as i16;
    }
    out.ds = out.d * f32::from(out.sums[0] + out.sums[1]);
    out
}
