//! Norms, rotary embedding, attention and activation, each in one fixed order of operations.
//! Nothing here fuses a multiply with an add, so any instruction set gives the same bits.

// Lanes and tiles are indexed side by side.
#![allow(clippy::needless_range_loop, clippy::excessive_precision)]

/// `out = x / rms(x) × weight`, the sum of squares in f64 from first to last.
pub fn rms_norm(x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
    let sum: f64 = x.iter().map(|v| f64::from(*v) * f64::from(*v)).sum();
    let mean = (sum / x.len() as f64) as f32;
    let scale = 1.0 / (mean + epsilon).sqrt();
    for ((o, v), w) in out.iter_mut().zip(x).zip(weight) {
        *o = v * scale * w;
    }
}

/// Cosine and sine of each rotary pair at `position`.
pub fn rope_angles(frequencies: &[f64], position: usize) -> Vec<(f32, f32)> {
    frequencies
        .iter()
        .map(|f| {
            let (sin, cos) = (position as f64 * f).sin_cos();
            (cos as f32, sin as f32)
        })
        .collect()
}

/// Rotates neighbouring pairs of each head: the order in which GGUF files of the llama
/// architecture hold queries and keys. Values beyond the rotated ones stay.
pub fn rope(heads: &mut [f32], head_dim: usize, angles: &[(f32, f32)]) {
    for head in heads.chunks_exact_mut(head_dim) {
        for (pair, (cos, sin)) in head.chunks_exact_mut(2).zip(angles) {
            let (a, b) = (pair[0], pair[1]);
            pair[0] = a * cos - b * sin;
            pair[1] = a * sin + b * cos;
        }
    }
}

/// e^x for x ≤ 88 to about 1 ulp; below -87 it is e^-87, which adds nothing to a softmax.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    const MAGIC: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 88.0);
    let n = (x * std::f32::consts::LOG2_E + MAGIC) - MAGIC;
    // ln 2 in two parts, so that n × the first is exact.
    let r = (x - n * 0.693_359_4) + n * 2.121_944_4e-4;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let y = p * r * r + r + 1.0;
    let power = f32::from_bits((((n as i32) + 127) << 23) as u32);
    y * power
}

/// `gate = silu(gate) × up`.
#[inline(always)]
fn swiglu_body(gate: &mut [f32], up: &[f32]) {
    for (g, u) in gate.iter_mut().zip(up) {
        *g = *g / (1.0 + exp(-*g)) * u;
    }
}

/// Dot product in eight lanes, then what is left over.
#[inline(always)]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0f32; 8];
    let (a8, a_rest) = a.as_chunks::<8>();
    let (b8, b_rest) = b.as_chunks::<8>();
    for (a, b) in a8.iter().zip(b8) {
        for l in 0..8 {
            lanes[l] += a[l] * b[l];
        }
    }
    let mut sum = super::formats::sum_lanes(lanes);
    for (a, b) in a_rest.iter().zip(b_rest) {
        sum += a * b;
    }
    sum
}

/// `gate = silu(gate) × up`.
pub fn swiglu(wide: bool, gate: &mut [f32], up: &[f32]) {
    #[cfg(target_arch = "x86_64")]
    if wide {
        /// The same code, compiled for wider registers.
        #[target_feature(enable = "avx2")]
        fn avx2(gate: &mut [f32], up: &[f32]) {
            swiglu_body(gate, up);
        }
        // SAFETY: `wide` says that AVX2 is there.
        return unsafe { avx2(gate, up) };
    }
    let _ = wide;
    swiglu_body(gate, up);
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn swiglu_is_the_same_bits_for_every_width() {
        let wide = crate::engine::kernels::detect_wide();
        let gate: Vec<f32> = (0..1000).map(|i| (i as f32 - 500.0) / 3.0).collect();
        let up: Vec<f32> = (0..1000).map(|i| i as f32 / 100.0).collect();
        let (mut a, mut b) = (gate.clone(), gate.clone());
        swiglu(false, &mut a, &up);
        swiglu(wide, &mut b, &up);
        assert_eq!(a, b);
        let want =
            f64::from(gate[600]) / (1.0 + (-f64::from(gate[600])).exp()) * f64::from(up[600]);
        assert!((f64::from(a[600]) - want).abs() < want.abs() * 1e-5);
    }
}
