//! The dot products of [`super::formats`] with AVX2, and with AVX-512 VNNI on 256-bit registers.
//! Equal to the plain definition bit for bit; a test compares them.

// Lanes and tiles are indexed side by side.
#![allow(clippy::needless_range_loop)]

use std::arch::x86_64::*;

use super::formats::{BLOCK, Format, Q4_0, Q4_1, Q5_0, Q5_1, Q8, Q8_0};

/// What the processor can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    Plain,
    Avx2,
    Vnni,
}

/// The best that this processor has.
pub fn detect() -> Isa {
    let avx2 = is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c");
    match avx2 {
        true if is_x86_feature_detected!("avx512vnni") && is_x86_feature_detected!("avx512vl") => {
            Isa::Vnni
        }
        true => Isa::Avx2,
        false => Isa::Plain,
    }
}

/// How a format's block becomes a register: integers, scale, minimum.
pub trait Load: Format {
    /// # Safety
    /// AVX2 and F16C are there.
    unsafe fn load(block: &[u8]) -> (__m256i, f32, f32);
}

/// Scale and minimum of a block, which starts with two f16 (or one, and then the second is unused).
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn halves(block: &[u8]) -> (f32, f32) {
    let bits = i32::from_le_bytes([block[0], block[1], block[2], block[3]]);
    let pair = _mm_cvtph_ps(_mm_cvtsi32_si128(bits));
    (
        _mm_cvtss_f32(pair),
        _mm_cvtss_f32(_mm_shuffle_ps::<1>(pair, pair)),
    )
}

#[inline]
#[target_feature(enable = "avx2")]
fn nibbles(qs: &[u8]) -> __m256i {
    assert!(qs.len() >= 16);
    // SAFETY: 16 bytes are there.
    let packed = unsafe { _mm_loadu_si128(qs.as_ptr().cast()) };
    let both = _mm256_set_m128i(_mm_srli_epi16::<4>(packed), packed);
    _mm256_and_si256(both, _mm256_set1_epi8(15))
}

#[inline]
#[target_feature(enable = "avx2")]
fn bytes(qs: &[i8]) -> __m256i {
    assert!(qs.len() >= BLOCK);
    // SAFETY: 32 bytes are there.
    unsafe { _mm256_loadu_si256(qs.as_ptr().cast()) }
}

impl Load for Q4_0 {
    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn load(block: &[u8]) -> (__m256i, f32, f32) {
        let q = _mm256_sub_epi8(nibbles(&block[2..]), _mm256_set1_epi8(8));
        (q, halves(block).0, 0.0)
    }
}

impl Load for Q4_1 {
    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn load(block: &[u8]) -> (__m256i, f32, f32) {
        let (scale, min) = halves(block);
        (nibbles(&block[4..]), scale, min)
    }
}

impl Load for Q5_0 {
    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn load(block: &[u8]) -> (__m256i, f32, f32) {
        (bytes(&Self::unpack(block)), halves(block).0, 0.0)
    }
}

impl Load for Q5_1 {
    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn load(block: &[u8]) -> (__m256i, f32, f32) {
        let (scale, min) = halves(block);
        (bytes(&Self::unpack(block)), scale, min)
    }
}

impl Load for Q8_0 {
    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn load(block: &[u8]) -> (__m256i, f32, f32) {
        let qs = &block[2..34];
        // SAFETY: the slice holds 32 bytes.
        let q = unsafe { _mm256_loadu_si256(qs.as_ptr().cast()) };
        (q, halves(block).0, 0.0)
    }
}

/// Sums of four products, u8 × i8. The pairs stay within i16: 128 × 127 × 2 < 2^15.
#[inline]
#[target_feature(enable = "avx2")]
fn dot_avx2(a: __m256i, b: __m256i) -> __m256i {
    _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), _mm256_set1_epi16(1))
}

#[inline]
#[target_feature(enable = "avx2,avx512vnni,avx512vl")]
fn dot_vnni(a: __m256i, b: __m256i) -> __m256i {
    _mm256_dpbusd_epi32(_mm256_setzero_si256(), a, b)
}

#[inline]
#[target_feature(enable = "avx2")]
fn sum_lanes(a: __m256) -> f32 {
    let b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
    let c = _mm_add_ps(b, _mm_movehl_ps(b, b));
    _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)))
}

macro_rules! kernel {
    ($name:ident, $features:literal, $dot:ident) => {
        /// As [`super::formats::dot`].
        ///
        /// # Safety
        /// The processor has the features; `row` holds `y.blocks` blocks and `y` at least
        /// `first + T` rows.
        #[target_feature(enable = $features)]
        pub unsafe fn $name<F: Load, const T: usize>(
            row: &[u8],
            y: &Q8,
            first: usize,
            out: &mut [f32; T],
        ) {
            let mut acc = [_mm256_setzero_ps(); T];
            let mut mins = [0f32; T];
            let base = first * y.blocks;
            for (ib, block) in row.chunks_exact(F::BYTES).enumerate() {
                // SAFETY: the caller vouches for the features.
                let (q, scale, min) = unsafe { F::load(block) };
                let magnitude = if F::SIGNED { _mm256_abs_epi8(q) } else { q };
                for t in 0..T {
                    let at = base + t * y.blocks + ib;
                    // SAFETY: the caller vouches that y has these blocks.
                    let (qs, d, s) = unsafe {
                        (
                            _mm256_loadu_si256(y.qs.as_ptr().add(at * BLOCK).cast()),
                            *y.d.get_unchecked(at),
                            *y.s.get_unchecked(at),
                        )
                    };
                    let qs = if F::SIGNED {
                        _mm256_sign_epi8(qs, q)
                    } else {
                        qs
                    };
                    let sums = _mm256_cvtepi32_ps($dot(magnitude, qs));
                    acc[t] = _mm256_fmadd_ps(_mm256_set1_ps(scale * d), sums, acc[t]);
                    if F::MIN {
                        mins[t] += min * s;
                    }
                }
            }
            for t in 0..T {
                out[t] = sum_lanes(acc[t]) + mins[t];
            }
        }
    };
}

kernel!(avx2, "avx2,fma,f16c", dot_avx2);
kernel!(vnni, "avx2,fma,f16c,avx512vnni,avx512vl", dot_vnni);
