//! Instructions of 64-bit ARM by their descriptions, in plain Rust, so that the kernels that are written on them run on
//! any processor. On ARM the test below holds the two against each other.

use std::array::from_fn;

pub type Bytes = [u8; 16];
pub type Ints = [i32; 4];
pub type Floats = [f32; 4];
type Words = [i16; 8];

by_products!();

/// `sdot`, by a lane: to every sum four products of signed bytes.
#[inline(always)]
pub fn sdot<const LANE: i32>(sum: Ints, w: Bytes, x: Bytes) -> Ints {
    let (w, x) = (w.as_chunks::<4>().0, x.as_chunks::<4>().0[LANE as usize]);
    from_fn(|i| {
        w[i].into_iter().zip(x).fold(sum[i], |sum, (a, b)| {
            sum.wrapping_add(i32::from(a as i8) * i32::from(b as i8))
        })
    })
}

/// `dup`, by a lane of four bytes.
#[inline(always)]
pub fn repeated<const LANE: i32>(x: Bytes) -> Bytes {
    from_fn(|i| x[4 * LANE as usize + i % 4])
}

fn products(a: &[u8], b: &[u8]) -> Words {
    from_fn(|i| i16::from(a[i] as i8) * i16::from(b[i] as i8))
}

/// `smull`: products of the first eight signed bytes.
#[inline(always)]
pub fn products_low(a: Bytes, b: Bytes) -> Words {
    products(&a[..8], &b[..8])
}

/// `smull2`: of the last eight.
#[inline(always)]
pub fn products_high(a: Bytes, b: Bytes) -> Words {
    products(&a[8..], &b[8..])
}

/// `saddlp`: sums of neighbours, twice as wide.
#[inline(always)]
pub fn pairs(a: Words) -> Ints {
    from_fn(|i| i32::from(a[2 * i]) + i32::from(a[2 * i + 1]))
}

/// `addp`: sums of neighbours, of both.
#[inline(always)]
pub fn neighbours(a: Ints, b: Ints) -> Ints {
    let both = [a, b];
    let all = both.as_flattened();
    from_fn(|i| all[2 * i].wrapping_add(all[2 * i + 1]))
}

/// `add`.
#[inline(always)]
pub fn add(a: Ints, b: Ints) -> Ints {
    from_fn(|i| a[i].wrapping_add(b[i]))
}

/// `mul`: the low halves of the products.
#[inline(always)]
pub fn mul(a: Ints, b: Ints) -> Ints {
    from_fn(|i| a[i].wrapping_mul(b[i]))
}

#[inline(always)]
pub fn and(a: Bytes, b: Bytes) -> Bytes {
    from_fn(|i| a[i] & b[i])
}

#[inline(always)]
pub fn or(a: Bytes, b: Bytes) -> Bytes {
    from_fn(|i| a[i] | b[i])
}

/// `eor`.
#[inline(always)]
pub fn xor(a: Bytes, b: Bytes) -> Bytes {
    from_fn(|i| a[i] ^ b[i])
}

/// `shl`.
#[inline(always)]
pub fn left<const BITS: i32>(a: Bytes) -> Bytes {
    a.map(|a| a << BITS)
}

/// `ushr`.
#[inline(always)]
pub fn right<const BITS: i32>(a: Bytes) -> Bytes {
    a.map(|a| a >> BITS)
}

/// `tbl`: what is beyond the table is 0.
#[inline(always)]
pub fn entries(table: Bytes, at: Bytes) -> Bytes {
    at.map(|at| table.get(usize::from(at)).copied().unwrap_or(0))
}

#[inline(always)]
pub fn bytes(value: u8) -> Bytes {
    [value; 16]
}

#[inline(always)]
pub fn ints(value: i32) -> Ints {
    [value; 4]
}

#[inline(always)]
pub fn floats(value: f32) -> Floats {
    [value; 4]
}

#[inline(always)]
pub fn load(bytes: &[u8; 16]) -> Bytes {
    *bytes
}

#[inline(always)]
pub fn load_ints(values: &[i32; 4]) -> Ints {
    *values
}

#[inline(always)]
pub fn load_floats(values: &[f32; 4]) -> Floats {
    *values
}

#[inline(always)]
pub fn store(values: Floats, places: &mut [f32; 4]) {
    *places = values;
}

/// `scvtf`: to the nearest, ties to even.
#[inline(always)]
pub fn to_floats(a: Ints) -> Floats {
    a.map(|a| a as f32)
}

/// `fmul`.
#[inline(always)]
pub fn mul_floats(a: Floats, b: Floats) -> Floats {
    from_fn(|i| a[i] * b[i])
}

/// `fmla`: a × b + c, rounded once.
#[inline(always)]
pub fn fma(a: Floats, b: Floats, c: Floats) -> Floats {
    from_fn(|i| a[i].mul_add(b[i], c[i]))
}

/// `fcvtl`: eight f16 as f32.
#[inline(always)]
pub fn halves(bytes: &[u8; 16]) -> [Floats; 2] {
    let (halves, _) = bytes.as_chunks::<2>();
    from_fn(|r| from_fn(|i| half::f16::from_le_bytes(halves[4 * r + i]).to_f32()))
}

/// `ushll` and `shl`: eight bf16 as f32.
#[inline(always)]
pub fn brain_floats(bytes: &[u8; 16]) -> [Floats; 2] {
    let (halves, _) = bytes.as_chunks::<2>();
    from_fn(|r| from_fn(|i| half::bf16::from_le_bytes(halves[4 * r + i]).to_f32()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Any bytes; the extremes of signed ones are likely.
    fn some(seed: u64) -> Bytes {
        from_fn(|i| {
            let mixed = (seed * 16 + i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 32;
            match mixed & 3 {
                0 => [0x80, 0x7F, 0, 0xFF, 0x81, 1][(mixed >> 8) as usize % 6],
                _ => (mixed >> 8) as u8,
            }
        })
    }

    fn sums(seed: u64) -> Ints {
        let bytes = some(seed);
        from_fn(|i| i32::from_le_bytes(bytes.as_chunks::<4>().0[i]))
    }

    #[test]
    fn both_ways_to_multiply_give_the_sums_of_four_products() {
        for seed in 0..20_000 {
            let (sum, w, x) = (sums(seed), some(seed + 50_000), some(seed + 100_000));
            let by_lane = |lane: usize| -> Ints {
                from_fn(|i| {
                    let products = (0..4)
                        .map(|k| i64::from(w[4 * i + k] as i8) * i64::from(x[4 * lane + k] as i8));
                    (i64::from(sum[i]) + products.sum::<i64>()) as i32
                })
            };
            let want: [Ints; 4] = from_fn(by_lane);
            let got = [
                sdot::<0>(sum, w, x),
                sdot::<1>(sum, w, x),
                sdot::<2>(sum, w, x),
                sdot::<3>(sum, w, x),
            ];
            assert_eq!(got, want);
            let got = [
                by_products::<0>(sum, w, x),
                by_products::<1>(sum, w, x),
                by_products::<2>(sum, w, x),
                by_products::<3>(sum, w, x),
            ];
            assert_eq!(got, want);
        }
        let least = sdot::<0>(ints(0), bytes(0x80), bytes(0x80));
        assert_eq!(least, ints(4 * 128 * 128));
        assert_eq!(by_products::<0>(ints(0), bytes(0x80), bytes(0x80)), least);
        assert_eq!(
            sdot::<3>(ints(0), bytes(0x80), bytes(0x7F)),
            ints(-4 * 128 * 127)
        );
    }

    #[cfg(target_arch = "aarch64")]
    mod against_the_processor {
        use std::arch::aarch64::int16x8_t;
        use std::mem::transmute;

        use super::super::super::processor as p;
        use super::super::super::{has_dotprod, has_neon};
        use super::*;

        #[target_feature(enable = "neon")]
        fn compare(seed: u64) {
            let [a, b] = [some(seed), some(seed + 50_000)];
            let [x, y, z] = [seed + 100_000, seed + 150_000, seed + 200_000].map(sums);
            let [f, g, h] = [x, y, z].map(|x| x.map(|n| n as f32 / 65_536.0));
            // SAFETY: arrays and registers of the same size, all of whose bits are values.
            unsafe {
                let of = |r: p::Bytes| transmute::<p::Bytes, Bytes>(r);
                let ints_of = |r: p::Ints| transmute::<p::Ints, Ints>(r);
                let bits = |r: p::Floats| transmute::<p::Floats, [u32; 4]>(r);
                let words = |r: int16x8_t| transmute::<int16x8_t, Words>(r);
                let [ra, rb] = [p::load(&a), p::load(&b)];
                let [rx, ry] = [p::load_ints(&x), p::load_ints(&y)];
                let [rf, rg, rh] = [p::load_floats(&f), p::load_floats(&g), p::load_floats(&h)];
                assert_eq!([of(ra), of(p::bytes(a[0]))], [a, bytes(a[0])]);
                assert_eq!(of(p::and(ra, rb)), and(a, b));
                assert_eq!(of(p::or(ra, rb)), or(a, b));
                assert_eq!(of(p::xor(ra, rb)), xor(a, b));
                assert_eq!(of(p::left::<4>(ra)), left::<4>(a));
                assert_eq!(of(p::right::<3>(ra)), right::<3>(a));
                assert_eq!(of(p::entries(ra, rb)), entries(a, b));
                assert_eq!(of(p::repeated::<2>(ra)), repeated::<2>(a));
                let (low, high) = (p::products_low(ra, rb), p::products_high(ra, rb));
                assert_eq!(
                    [words(low), words(high)],
                    [products_low(a, b), products_high(a, b)]
                );
                assert_eq!(ints_of(p::pairs(low)), pairs(products_low(a, b)));
                assert_eq!(ints_of(p::neighbours(rx, ry)), neighbours(x, y));
                assert_eq!(ints_of(p::add(rx, ry)), add(x, y));
                assert_eq!(ints_of(p::mul(rx, ry)), mul(x, y));
                assert_eq!(ints_of(p::ints(x[0])), ints(x[0]));
                assert_eq!(
                    ints_of(p::by_products::<1>(rx, ra, rb)),
                    by_products::<1>(x, a, b)
                );
                let same = |r: p::Floats, want: Floats| assert_eq!(bits(r), want.map(f32::to_bits));
                same(p::floats(f[0]), floats(f[0]));
                same(p::to_floats(rx), to_floats(x));
                same(p::mul_floats(rf, rg), mul_floats(f, g));
                same(p::fma(rf, rg, rh), fma(f, g, h));
                for r in 0..2 {
                    same(p::brain_floats(&a)[r], brain_floats(&a)[r]);
                    // Which bits of a number that is none are kept is nobody's concern.
                    let hardware = bits(p::halves(&a)[r]).map(f32::from_bits);
                    for (a, b) in hardware.into_iter().zip(halves(&a)[r]) {
                        assert!(a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()));
                    }
                }
                let mut stored = [0.0; 4];
                p::store(rf, &mut stored);
                assert_eq!(stored, f);
            }
        }

        #[target_feature(enable = "neon,dotprod")]
        fn compare_sdot(seed: u64) {
            let (sum, w, x) = (sums(seed), some(seed + 50_000), some(seed + 100_000));
            let (r, rw, rx) = (p::load_ints(&sum), p::load(&w), p::load(&x));
            let got = [
                p::sdot::<0>(r, rw, rx),
                p::sdot::<1>(r, rw, rx),
                p::sdot::<2>(r, rw, rx),
                p::sdot::<3>(r, rw, rx),
            ];
            // SAFETY: the same size, and any bits are integers.
            let got = got.map(|r| unsafe { transmute::<p::Ints, Ints>(r) });
            let want = [
                sdot::<0>(sum, w, x),
                sdot::<1>(sum, w, x),
                sdot::<2>(sum, w, x),
                sdot::<3>(sum, w, x),
            ];
            assert_eq!(got, want);
        }

        #[test]
        fn the_descriptions_are_what_the_processor_does() {
            assert!(has_neon());
            for seed in 0..20_000 {
                // SAFETY: the features are there.
                unsafe { compare(seed) };
            }
            if !has_dotprod() {
                eprintln!("SKIPPED: this processor has no dotprod");
                return;
            }
            for seed in 0..20_000 {
                // SAFETY: the features are there.
                unsafe { compare_sdot(seed) };
            }
        }
    }
}
