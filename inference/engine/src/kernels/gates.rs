//! What feed-forward layers make of their gates, and small steps over whole rows, each in one fixed order
//! of operations.

use super::math::{both_widths, exp};

both_widths!(
    /// `gate = gelu(gate) × up`, with the tanh form of GELU.
    geglu, geglu_body, (gate: &mut [f32], up: &[f32])
);

#[inline(always)]
fn geglu_body(gate: &mut [f32], up: &[f32]) {
    // tanh(y) = 2 / (1 + e^−2y) − 1, so that half of (1 + tanh) is a sigmoid of 2y:
    // 2 √(2 / π) and that times 0.044715.
    const LINEAR: f32 = 1.595_769_2;
    const CUBIC: f32 = 0.071_354_814;
    for (g, u) in gate.iter_mut().zip(up) {
        let twice = (*g * *g).mul_add(CUBIC, LINEAR) * *g;
        *g = *g / (1.0 + exp(-twice)) * u;
    }
}

both_widths!(
    /// gpt-oss: `gate = min(gate, 7) × sigmoid(1.702 × that) × (up within ±7, plus 1)`.
    clamped, clamped_body, (gate: &mut [f32], up: &[f32])
);

#[inline(always)]
fn clamped_body(gate: &mut [f32], up: &[f32]) {
    const LIMIT: f32 = 7.0;
    const SLOPE: f32 = 1.702;
    for (g, u) in gate.iter_mut().zip(up) {
        // Comparisons that keep NaN.
        let x = if *g > LIMIT { LIMIT } else { *g };
        let y = if *u > LIMIT { LIMIT } else { *u };
        let y = if y < -LIMIT { -LIMIT } else { y };
        *g = x / (1.0 + exp(-SLOPE * x)) * (y + 1.0);
    }
}

both_widths!(
    /// `x = x × by`.
    scale, scale_body, (x: &mut [f32], by: f32)
);

#[inline(always)]
fn scale_body(x: &mut [f32], by: f32) {
    for x in x {
        *x *= by;
    }
}

both_widths!(
    /// `sum = sum + weight × x`, fused.
    add_weighted, add_weighted_body, (sum: &mut [f32], weight: f32, x: &[f32])
);

#[inline(always)]
fn add_weighted_body(sum: &mut [f32], weight: f32, x: &[f32]) {
    for (sum, x) in sum.iter_mut().zip(x) {
        *sum = weight.mul_add(*x, *sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::InstructionSet;

    fn wide() -> bool {
        InstructionSet::available().contains(&InstructionSet::Avx2)
    }

    /// A gate with both widths, and what f64 says.
    fn check(
        gate: impl Fn(bool, &mut [f32], &[f32]),
        want: impl Fn(f64, f64) -> f64,
        tolerance: f64,
    ) {
        let x: Vec<f32> = (0..1_000).map(|i| (i as f32 - 500.0) / 40.0).collect();
        let up: Vec<f32> = (0..1_000)
            .map(|i| (i * 37 % 400) as f32 / 20.0 - 10.0)
            .collect();
        let (mut a, mut b) = (x.clone(), x.clone());
        gate(false, &mut a, &up);
        gate(wide(), &mut b, &up);
        assert_eq!(a, b);
        for i in 0..1_000 {
            let want = want(x[i].into(), up[i].into());
            let off = (f64::from(a[i]) - want).abs();
            assert!(
                off <= want.abs() * 1e-5 + tolerance,
                "{}: {} {want}",
                x[i],
                a[i]
            );
        }
    }

    #[test]
    fn gelu_is_its_tanh_form() {
        let gelu = |x: f64| {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
            0.5 * x * (1.0 + inner.tanh())
        };
        check(geglu, |g, u| gelu(g) * u, 1e-6);
    }

    #[test]
    fn clamped_gates_end_at_seven() {
        let want = |g: f64, u: f64| {
            let x = g.min(7.0);
            x / (1.0 + (-1.702 * x).exp()) * (u.clamp(-7.0, 7.0) + 1.0)
        };
        check(clamped, want, 1e-6);
        let mut broken = [f32::NAN, 1.0];
        clamped(wide(), &mut broken, &[1.0, f32::NAN]);
        assert!(broken.iter().all(|x| x.is_nan()));
    }
}
