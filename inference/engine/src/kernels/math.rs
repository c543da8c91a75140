//! Norms, activation and the functions under them, each in one fixed order of
//! operations, without the system's mathematical library. A multiply is fused with an add where
//! `mul_add` says so and nowhere else, so any instruction set gives the same bits.

// Coefficients are written as they were computed; lanes are indexed side by side.
#![allow(
    clippy::approx_constant,
    clippy::excessive_precision,
    clippy::needless_range_loop
)]

/// Lanes of a sum: value i belongs to lane i mod 64. AVX2 has no more registers to keep beside what
/// is added.
pub const LANES: usize = 64;

/// Compiles a function twice from one body: as it is, and for AVX2 with FMA. The first argument of
/// the result says whether they are there.
macro_rules! both_widths {
    ($(#[$doc:meta])* $name:ident, $body:ident, ($($arg:ident: $type:ty),*)) => {
        $(#[$doc])*
        pub fn $name(wide: bool, $($arg: $type),*) {
            #[cfg(target_arch = "x86_64")]
            if wide {
                #[target_feature(enable = "avx2,fma,f16c")]
                fn avx2($($arg: $type),*) {
                    $body($($arg),*);
                }
                // SAFETY: `wide` says that the features are there.
                return unsafe { avx2($($arg),*) };
            }
            let _ = wide;
            $body($($arg),*);
        }
    };
}

pub(super) use both_widths;

both_widths!(
    /// `out = x / rms(x) × weight`, for each row of x; a row has as many values as `weight`.
    rms_norm, rms_norm_body, (x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32])
);

#[inline(always)]
fn rms_norm_body(x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
    let n = weight.len();
    for (x, out) in x.chunks_exact(n).zip(out.chunks_exact_mut(n)) {
        let mut lanes = [0f32; LANES];
        let (whole, rest) = x.as_chunks::<LANES>();
        for x in whole {
            for l in 0..LANES {
                lanes[l] = x[l].mul_add(x[l], lanes[l]);
            }
        }
        for (lane, x) in lanes.iter_mut().zip(rest) {
            *lane = x.mul_add(*x, *lane);
        }
        let scale = 1.0 / (sum_lanes(lanes) / n as f32 + epsilon).sqrt();
        for ((o, x), w) in out.iter_mut().zip(x).zip(weight) {
            *o = x * scale * w;
        }
    }
}

/// The one order in which lanes become a number: halves are added until one is left.
#[inline(always)]
pub fn sum_lanes(mut lanes: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for l in 0..width {
            lanes[l] += lanes[l + width];
        }
        width /= 2;
    }
    lanes[0]
}

both_widths!(
    /// `gate = silu(gate) × up`.
    swiglu, swiglu_body, (gate: &mut [f32], up: &[f32])
);

#[inline(always)]
fn swiglu_body(gate: &mut [f32], up: &[f32]) {
    for (g, u) in gate.iter_mut().zip(up) {
        *g = *g / (1.0 + exp(-*g)) * u;
    }
}

both_widths!(
    /// `x = x + y`.
    add, add_body, (x: &mut [f32], y: &[f32])
);

#[inline(always)]
fn add_body(x: &mut [f32], y: &[f32]) {
    for (x, y) in x.iter_mut().zip(y) {
        *x += y;
    }
}

/// e^x for x ≤ 88 to about 1 ulp; below −87 it is e^−87, which adds nothing to a softmax.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    const MAGIC: f32 = 12_582_912.0;
    // Comparisons that keep NaN.
    let x = if x < -87.0 { -87.0 } else { x };
    let x = if x > 88.0 { 88.0 } else { x };
    let shifted = x.mul_add(std::f32::consts::LOG2_E, MAGIC);
    let n = shifted - MAGIC;
    // ln 2 in two parts: the fused steps leave the remainder exact to f32.
    let r = n.mul_add(-0.693_147_2, x);
    let r = n.mul_add(1.904_654_3e-9, r);
    let p = 1.987_569_1e-4f32;
    let p = p.mul_add(r, 1.398_199_9e-3);
    let p = p.mul_add(r, 8.333_452e-3);
    let p = p.mul_add(r, 4.166_579_6e-2);
    let p = p.mul_add(r, 1.666_666_5e-1);
    let p = p.mul_add(r, 0.5);
    let y = p.mul_add(r * r, r) + 1.0;
    // n as an integer is what `MAGIC` left in the low bits; it becomes the exponent.
    let power = f32::from_bits(
        shifted
            .to_bits()
            .wrapping_sub(MAGIC.to_bits())
            .wrapping_add(127)
            << 23,
    );
    y * power
}

/// Sine and cosine of |x| up to 2^20 to about 1e-15, absolute.
pub fn sin_cos(x: f64) -> (f64, f64) {
    use std::f64::consts::FRAC_2_PI;
    const MAGIC: f64 = 6_755_399_441_055_744.0;
    // π / 2 in three parts of which the first two have room for 2^20 quarter turns.
    const A: f64 = 1.570_796_326_734_125_6;
    const B: f64 = 6.077_100_506_303_965_9e-11;
    const C: f64 = 2.022_266_248_795_950_6e-21;
    let n = x.mul_add(FRAC_2_PI, MAGIC) - MAGIC;
    let r = n.mul_add(-C, n.mul_add(-B, n.mul_add(-A, x)));
    let z = r * r;
    // Taylor: |r| ≤ π / 4, so the first term left out is below 1e-16.
    let chain = |coefficients: &[f64]| {
        coefficients
            .iter()
            .fold(0.0f64, |sum, c| sum.mul_add(z, *c))
    };
    let sin = chain(&[
        -1.0 / 1_307_674_368_000.0,
        1.0 / 6_227_020_800.0,
        -1.0 / 39_916_800.0,
        1.0 / 362_880.0,
        -1.0 / 5_040.0,
        1.0 / 120.0,
        -1.0 / 6.0,
    ]);
    let sin = (sin * z).mul_add(r, r);
    let cos = chain(&[
        1.0 / 20_922_789_888_000.0,
        -1.0 / 87_178_291_200.0,
        1.0 / 479_001_600.0,
        -1.0 / 3_628_800.0,
        1.0 / 40_320.0,
        -1.0 / 720.0,
        1.0 / 24.0,
        -0.5,
    ]);
    let cos = cos.mul_add(z, 1.0);
    match n as i64 & 3 {
        0 => (sin, cos),
        1 => (cos, -sin),
        2 => (-sin, -cos),
        _ => (-cos, sin),
    }
}

/// `base` to the power of `exponent`, for a normal base above 0 and results within e^±700, to
/// about 1e-13.
pub fn power(base: f64, exponent: f64) -> f64 {
    exp64(exponent * ln64(base))
}

/// Natural logarithm of a normal number above 0.
pub fn ln64(x: f64) -> f64 {
    const MANTISSA: u64 = (1 << 52) - 1;
    let bits = x.to_bits();
    let mut e = (bits >> 52) as i64 - 1023;
    let mut m = f64::from_bits((bits & MANTISSA) | (1023 << 52));
    if m > std::f64::consts::SQRT_2 {
        m *= 0.5;
        e += 1;
    }
    // ln m = 2 artanh(s); |s| ≤ 0.1716, so that s^25 / 25 is below 1e-20.
    let s = (m - 1.0) / (m + 1.0);
    let z = s * s;
    let mut sum = 0.0f64;
    for k in (0..12).rev() {
        sum = sum.mul_add(z, 1.0 / (2 * k + 1) as f64);
    }
    (e as f64).mul_add(std::f64::consts::LN_2, 2.0 * s * sum)
}

/// e^x for |x| ≤ 700.
fn exp64(x: f64) -> f64 {
    use std::f64::consts::{LN_2, LOG2_E};
    const MAGIC: f64 = 6_755_399_441_055_744.0;
    let x = x.clamp(-700.0, 700.0);
    let n = x.mul_add(LOG2_E, MAGIC) - MAGIC;
    // ln 2 and what f64 leaves of it.
    let r = n.mul_add(-2.319_046_813_846_299_6e-17, n.mul_add(-LN_2, x));
    let mut sum = 1.0f64;
    for k in (1..=14).rev() {
        sum = (sum * r / f64::from(k)) + 1.0;
    }
    sum * f64::from_bits(((n as i64 + 1023) as u64) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::InstructionSet;

    fn wide() -> bool {
        InstructionSet::available().contains(&InstructionSet::Avx2)
    }

    #[test]
    fn exp_is_right_over_its_range() {
        let mut x = -86.9f32;
        while x < 88.0 {
            let (got, want) = (f64::from(exp(x)), f64::from(x).exp());
            assert!(
                (got - want).abs() <= want * 2e-7,
                "exp({x}) = {got}, not {want}"
            );
            x += 0.0137;
        }
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(-1e30) < 1e-37);
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn sines_cosines_and_powers_are_right() {
        for i in 0..200_000 {
            let x = f64::from(i) * 0.731 - 20_000.0;
            let (sin, cos) = sin_cos(x);
            assert!((sin - x.sin()).abs() < 2e-15, "sin({x})");
            assert!((cos - x.cos()).abs() < 2e-15, "cos({x})");
        }
        for base in [1.0, 10_000.0, 500_000.0, 1e6, 0.3] {
            for i in 0..200 {
                let y = f64::from(i) * -0.017;
                let want = f64::powf(base, y);
                assert!(
                    (power(base, y) - want).abs() <= want * 1e-13,
                    "{base}^{y}: {} against {want}",
                    power(base, y)
                );
            }
        }
    }

    #[test]
    fn swiglu_is_right_and_the_same_bits_for_every_width() {
        let gate: Vec<f32> = (0..1000).map(|i| (i as f32 - 500.0) / 3.0).collect();
        let up: Vec<f32> = (0..1000).map(|i| i as f32 / 100.0).collect();
        let (mut a, mut b) = (gate.clone(), gate.clone());
        swiglu(false, &mut a, &up);
        swiglu(wide(), &mut b, &up);
        assert_eq!(a, b);
        for i in 0..1000 {
            let g = f64::from(gate[i]);
            let want = g / (1.0 + (-g).exp()) * f64::from(up[i]);
            assert!((f64::from(a[i]) - want).abs() <= want.abs() * 1e-6 + 1e-30);
        }
    }

    #[test]
    fn a_norm_sums_in_64_lanes_and_then_by_halves() {
        // Each value vanishes beside the one before it, so that another order gives another sum.
        let x: Vec<f32> = (0..200).map(|i| 2f32.powi(i % 13 - i / 9)).collect();
        let mut lanes = [0f32; 64];
        for (i, x) in x.iter().enumerate() {
            lanes[i % 64] = x.mul_add(*x, lanes[i % 64]);
        }
        for width in [32, 16, 8, 4, 2, 1] {
            for l in 0..width {
                lanes[l] += lanes[l + width];
            }
        }
        let scale = 1.0 / (lanes[0] / 200.0 + 1e-5).sqrt();
        let want: Vec<f32> = x.iter().map(|x| x * scale * 0.5).collect();
        for wide in [false, wide()] {
            let mut got = vec![0.0; 200];
            rms_norm(wide, &x, &[0.5; 200], 1e-5, &mut got);
            assert_eq!(got, want);
        }
    }

    #[test]
    fn norms_are_right_and_the_same_bits_for_every_width() {
        for n in [1, 7, 63, 64, 65, 576, 1001] {
            let x: Vec<f32> = (0..2 * n)
                .map(|i| ((i * 7919 % 1000) as f32 - 500.0) / 250.0)
                .collect();
            let weight: Vec<f32> = (0..n).map(|i| 1.0 + i as f32 / n as f32).collect();
            let (mut a, mut b) = (vec![0.0; 2 * n], vec![0.0; 2 * n]);
            rms_norm(false, &x, &weight, 1e-5, &mut a);
            rms_norm(wide(), &x, &weight, 1e-5, &mut b);
            assert_eq!(a, b);
            for (x, a) in x.chunks(n).zip(a.chunks(n)) {
                let mean = x.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / n as f64;
                for i in 0..n {
                    let want = f64::from(x[i]) / (mean + 1e-5).sqrt() * f64::from(weight[i]);
                    assert!((f64::from(a[i]) - want).abs() <= want.abs() * 1e-6);
                }
            }
        }
    }
}
