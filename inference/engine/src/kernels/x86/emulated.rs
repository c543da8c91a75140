//! Instructions of 512 bits by their descriptions, in plain Rust, so that the kernels that are written on
//! them run where a processor has none. Where it has them, the test below holds them against each other.

use std::arch::x86_64::{__m256, __m256i};
use std::mem::transmute;

pub type Ints = [i32; 16];
pub type Floats = [f32; 16];

#[inline(always)]
fn each<T>(lane: impl FnMut(usize) -> T) -> [T; 16] {
    std::array::from_fn(lane)
}

/// Eight lanes and eight more.
#[inline(always)]
pub fn both(low: __m256i, high: __m256i) -> Ints {
    // SAFETY: the same size, and any bits are integers.
    let [low, high] = unsafe {
        [
            transmute::<__m256i, [i32; 8]>(low),
            transmute::<__m256i, [i32; 8]>(high),
        ]
    };
    each(|i| if i < 8 { low[i] } else { high[i - 8] })
}

#[inline(always)]
pub fn both_floats(low: __m256, high: __m256) -> Floats {
    // SAFETY: the same size, and any bits are floats.
    let [low, high] = unsafe {
        [
            transmute::<__m256, [f32; 8]>(low),
            transmute::<__m256, [f32; 8]>(high),
        ]
    };
    each(|i| if i < 8 { low[i] } else { high[i - 8] })
}

/// `vpbroadcastd`.
#[inline(always)]
pub fn ints(value: i32) -> Ints {
    [value; 16]
}

/// `vbroadcastss`.
#[inline(always)]
pub fn floats(value: f32) -> Floats {
    [value; 16]
}

/// `vxorps`.
#[inline(always)]
pub fn zeros() -> Floats {
    [0.0; 16]
}

/// `vpaddd`.
#[inline(always)]
pub fn add(a: Ints, b: Ints) -> Ints {
    each(|i| a[i].wrapping_add(b[i]))
}

/// `vpmulld`: the low halves of the products.
#[inline(always)]
pub fn mul(a: Ints, b: Ints) -> Ints {
    each(|i| a[i].wrapping_mul(b[i]))
}

/// `vpslld`.
#[inline(always)]
pub fn left<const BITS: u32>(a: Ints) -> Ints {
    each(|i| a[i] << BITS)
}

/// `vpsrad`: the sign comes in.
#[inline(always)]
pub fn right<const BITS: u32>(a: Ints) -> Ints {
    each(|i| a[i] >> BITS)
}

/// `vpdpbusd`: to every sum four products of an unsigned byte and a signed one.
#[inline(always)]
pub fn dot(sum: Ints, unsigned: Ints, signed: Ints) -> Ints {
    each(|i| {
        let pairs = unsigned[i]
            .to_le_bytes()
            .into_iter()
            .zip(signed[i].to_le_bytes());
        pairs.fold(sum[i], |sum, (a, b)| {
            sum.wrapping_add(i32::from(a) * i32::from(b as i8))
        })
    })
}

/// `vcvtdq2ps`: to the nearest, ties to even.
#[inline(always)]
pub fn to_floats(a: Ints) -> Floats {
    each(|i| a[i] as f32)
}

/// `vmulps`.
#[inline(always)]
pub fn mul_floats(a: Floats, b: Floats) -> Floats {
    each(|i| a[i] * b[i])
}

/// `vfmadd…ps`: a × b + c, rounded once.
#[inline(always)]
pub fn fma(a: Floats, b: Floats, c: Floats) -> Floats {
    each(|i| a[i].mul_add(b[i], c[i]))
}

/// `vmovaps`, and `vmovups` as well.
///
/// # Safety
/// Sixteen floats are there.
#[inline(always)]
pub unsafe fn load(p: *const f32) -> Floats {
    // SAFETY: as the caller's.
    unsafe { p.cast::<Floats>().read_unaligned() }
}

/// # Safety
/// Sixteen places are there.
#[inline(always)]
pub unsafe fn store(p: *mut f32, a: Floats) {
    // SAFETY: as the caller's.
    unsafe { p.cast::<Floats>().write_unaligned(a) }
}

/// `vcvtph2ps` of sixteen f16.
///
/// # Safety
/// They are there.
#[inline(always)]
pub unsafe fn halves(p: *const u16) -> Floats {
    // SAFETY: as the caller's.
    let halves = unsafe { p.cast::<[u16; 16]>().read_unaligned() };
    each(|i| half::f16::from_bits(halves[i]).to_f32())
}

#[cfg(test)]
mod tests {
    use std::arch::x86_64::*;

    use super::*;
    use crate::kernels::x86::has_avx512_vnni;

    /// Sixteen numbers from one; the extremes of every width are among them.
    fn numbers(seed: u32) -> Ints {
        const EDGES: [u32; 8] = [
            0,
            0x8080_8080,
            0x7F7F_7F7F,
            0xFFFF_FFFF,
            0x8000_0000,
            0x7FFF_FFFF,
            0x80FF_017F,
            0x00FF_8001,
        ];
        each(|i| {
            let mixed = (seed ^ i as u32).wrapping_mul(0x9E37_79B9);
            let mixed = (mixed ^ (mixed >> 15)).wrapping_mul(0x85EB_CA6B);
            let mixed = mixed ^ (mixed >> 13);
            match mixed % 3 {
                0 => EDGES[(mixed >> 8) as usize % EDGES.len()] as i32,
                _ => mixed as i32,
            }
        })
    }

    /// None of which is without end, or none.
    fn plain(seed: u32) -> Floats {
        numbers(seed).map(|n| n as f32 / 65_536.0)
    }

    #[target_feature(enable = "avx2,f16c,avx512f,avx512vnni")]
    fn compare(seed: u32) {
        let [a, b, c] = [seed, seed + 0x1000_0000, seed + 0x2000_0000].map(numbers);
        let [x, y, z] = [seed, seed + 0x3000_0000, seed + 0x4000_0000].map(plain);
        // SAFETY: arrays and registers of the same size, all of whose bits are values.
        unsafe {
            let r = |a: Ints| transmute::<Ints, __m512i>(a);
            let f = |a: Floats| transmute::<Floats, __m512>(a);
            let of = |r: __m512i| transmute::<__m512i, Ints>(r);
            let bits = |f: __m512| transmute::<__m512, [u32; 16]>(f);
            let low = |a: Ints| transmute::<Ints, [__m256i; 2]>(a);
            assert_eq!(dot(a, b, c), of(_mm512_dpbusd_epi32(r(a), r(b), r(c))));
            assert_eq!(add(a, b), of(_mm512_add_epi32(r(a), r(b))));
            assert_eq!(mul(a, b), of(_mm512_mullo_epi32(r(a), r(b))));
            assert_eq!(left::<16>(a), of(_mm512_slli_epi32::<16>(r(a))));
            assert_eq!(right::<16>(a), of(_mm512_srai_epi32::<16>(r(a))));
            assert_eq!(ints(a[0]), of(_mm512_set1_epi32(a[0])));
            let [first, second] = low(a);
            assert_eq!(both(first, second), a);
            let pair = both_floats(_mm256_castsi256_ps(first), _mm256_castsi256_ps(second));
            assert_eq!(pair.map(f32::to_bits), a.map(|a| a as u32));
            let same = |a: Floats, b: __m512| assert_eq!(a.map(f32::to_bits), bits(b));
            same(floats(x[0]), _mm512_set1_ps(x[0]));
            same(to_floats(a), _mm512_cvtepi32_ps(r(a)));
            same(mul_floats(x, y), _mm512_mul_ps(f(x), f(y)));
            same(fma(x, y, z), _mm512_fmadd_ps(f(x), f(y), f(z)));
            let p = a.as_ptr().cast::<u16>();
            // Which bits of a number that is none are kept is nobody's concern.
            let hardware = _mm512_cvtph_ps(_mm256_loadu_si256(p.cast()));
            let hardware = transmute::<__m512, Floats>(hardware);
            for (a, b) in halves(p).into_iter().zip(hardware) {
                assert!(a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()));
            }
        }
    }

    #[test]
    fn the_descriptions_are_what_the_processor_does() {
        if !has_avx512_vnni() {
            eprintln!("SKIPPED: this processor has no avx512-vnni");
            return;
        }
        for seed in 0..20_000 {
            // SAFETY: the features are there.
            unsafe { compare(seed) };
        }
    }

    #[test]
    fn four_products_of_bytes_are_added_with_their_signs() {
        let lanes = |bytes: [u8; 4]| ints(i32::from_le_bytes(bytes));
        let all = |unsigned: u8, signed: i8| {
            dot(ints(7), lanes([unsigned; 4]), lanes([signed as u8; 4]))[15]
        };
        assert_eq!(all(255, -128), 7 - 4 * 255 * 128);
        assert_eq!(all(255, 127), 7 + 4 * 255 * 127);
        assert_eq!(all(0, -128), 7);
        let mixed = dot(ints(0), lanes([1, 2, 3, 255]), lanes([1, 255, 128, 127]));
        assert_eq!(mixed, [1 - 2 - 3 * 128 + 255 * 127; 16]);
        // The sum wraps around; it doesn't saturate.
        assert_eq!(
            dot(ints(i32::MAX), lanes([1; 4]), lanes([1; 4]))[0],
            i32::MIN + 3
        );
    }
}
