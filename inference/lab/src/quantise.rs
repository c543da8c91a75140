//! Weights in the engine's formats: candle's quantisers where it has one, plain ones of our own where it
//! has none. Nobody is served what comes out here.

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use half::f16;
use mythic_model::gguf::TensorFormat;

/// candle's name of a format, if it has it.
pub(crate) fn dtype(format: TensorFormat) -> Option<GgmlDType> {
    Some(match format {
        TensorFormat::F32 => GgmlDType::F32,
        TensorFormat::F16 => GgmlDType::F16,
        TensorFormat::BF16 => GgmlDType::BF16,
        TensorFormat::Q4_0 => GgmlDType::Q4_0,
        TensorFormat::Q4_1 => GgmlDType::Q4_1,
        TensorFormat::Q5_0 => GgmlDType::Q5_0,
        TensorFormat::Q5_1 => GgmlDType::Q5_1,
        TensorFormat::Q8_0 => GgmlDType::Q8_0,
        TensorFormat::Q2K => GgmlDType::Q2K,
        TensorFormat::Q3K => GgmlDType::Q3K,
        TensorFormat::Q4K => GgmlDType::Q4K,
        TensorFormat::Q5K => GgmlDType::Q5K,
        TensorFormat::Q6K => GgmlDType::Q6K,
        TensorFormat::IQ4NL | TensorFormat::IQ4XS | TensorFormat::MXFP4 => return None,
    })
}

/// The bytes of values in a format; rows hold whole blocks.
pub fn quantise(values: Vec<f32>, format: TensorFormat) -> Result<Vec<u8>, candle_core::Error> {
    // Where a reference holds what another program made of the bytes, they are to stay what they are.
    let own = format == TensorFormat::Q2K;
    if let Some(dtype) = dtype(format).filter(|_| !own) {
        let count = values.len();
        let tensor = Tensor::from_vec(values, (1, count), &Device::Cpu)?;
        return Ok(QTensor::quantize(&tensor, dtype)?.data()?.into_owned());
    }
    let mut out = Vec::new();
    match format {
        TensorFormat::Q2K => values.chunks_exact(256).for_each(|b| q2_k(b, &mut out)),
        TensorFormat::MXFP4 => values.chunks_exact(32).for_each(|b| mxfp4(b, &mut out)),
        TensorFormat::IQ4XS => values.chunks_exact(256).for_each(|b| iq4_xs(b, &mut out)),
        _ => values.chunks_exact(32).for_each(|b| iq4_nl(b, &mut out)),
    }
    Ok(out)
}

/// The values that IQ4_NL and IQ4_XS have.
const NONLINEAR: [f32; 16] = [
    -127.0, -104.0, -83.0, -65.0, -49.0, -35.0, -22.0, -10.0, 1.0, 13.0, 25.0, 38.0, 53.0, 69.0,
    89.0, 113.0,
];
/// Those that MXFP4 has.
const FLOATS: [f32; 16] = [
    0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0,
];

/// The first of the nearest.
fn nearest(table: &[f32; 16], x: f32) -> u8 {
    let mut best = 0;
    for (i, value) in table.iter().enumerate() {
        if (value - x).abs() < (table[best] - x).abs() {
            best = i;
        }
    }
    best as u8
}

/// The numbers of 32 values in a table, two in a byte: the first half of them low.
fn nibbles(table: &[f32; 16], values: &[f32], scale: f32, out: &mut Vec<u8>) {
    let number = |x: f32| match scale == 0.0 {
        true => nearest(table, 0.0),
        false => nearest(table, x / scale),
    };
    let (first, last) = values.split_at(16);
    out.extend(
        first
            .iter()
            .zip(last)
            .map(|(a, b)| number(*a) | (number(*b) << 4)),
    );
}

fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |m: f32, v| m.max(v.abs()))
}

fn iq4_nl(values: &[f32], out: &mut Vec<u8>) {
    let scale = f16::from_f32(largest(values) / 127.0);
    out.extend(scale.to_le_bytes());
    nibbles(&NONLINEAR, values, scale.to_f32(), out);
}

fn iq4_xs(values: &[f32], out: &mut Vec<u8>) {
    let blocks = values.chunks_exact(32);
    let scale = f16::from_f32(largest(values) / (31.0 * 127.0));
    let factor = |block: &[f32]| -> u8 {
        let units = largest(block) / (scale.to_f32().max(1e-30) * 127.0);
        units.round_ties_even().clamp(0.0, 31.0) as u8 + 32
    };
    let factors: Vec<u8> = blocks.clone().map(factor).collect();
    out.extend(scale.to_le_bytes());
    let high = factors
        .iter()
        .rev()
        .fold(0u16, |all, f| (all << 2) | u16::from(f >> 4));
    out.extend(high.to_le_bytes());
    for pair in factors.chunks_exact(2) {
        out.push((pair[0] & 15) | ((pair[1] & 15) << 4));
    }
    for (block, factor) in blocks.zip(&factors) {
        let scale = scale.to_f32() * (f32::from(*factor) - 32.0);
        nibbles(&NONLINEAR, block, scale, out);
    }
}

fn q2_k(values: &[f32], out: &mut Vec<u8>) {
    let halves = || values.chunks_exact(16);
    // Of 16 values what is taken off them, and a third of what is left.
    let minimum = |half: &[f32]| half.iter().fold(0.0, |m: f32, v| m.max(-v));
    let step = |half: &[f32]| {
        let top = half.iter().fold(0.0, |m: f32, v| m.max(*v));
        (top + minimum(half)) / 3.0
    };
    let unit = |of: &dyn Fn(&[f32]) -> f32| {
        let most = halves().map(of).fold(0.0, f32::max);
        f16::from_f32(most / 15.0)
    };
    let (scale, min) = (unit(&step), unit(&minimum));
    let (d, m) = (scale.to_f32().max(1e-30), min.to_f32().max(1e-30));
    let whole = |x: f32, most: f32| x.round_ties_even().clamp(0.0, most);
    let mut quarters = [0u8; 256];
    for (half, quarters) in halves().zip(quarters.chunks_exact_mut(16)) {
        let (factor, minimum) = (whole(step(half) / d, 15.0), whole(minimum(half) / m, 15.0));
        out.push(factor as u8 | ((minimum as u8) << 4));
        for (x, quarter) in half.iter().zip(quarters) {
            *quarter = whole((x + m * minimum) / (d * factor).max(1e-30), 3.0) as u8;
        }
    }
    for part in quarters.chunks_exact(128) {
        out.extend(
            (0..32)
                .map(|l| part[l] | (part[32 + l] << 2) | (part[64 + l] << 4) | (part[96 + l] << 6)),
        );
    }
    out.extend(scale.to_le_bytes());
    out.extend(min.to_le_bytes());
}

fn mxfp4(values: &[f32], out: &mut Vec<u8>) {
    // The power of two that brings the largest to at most 6, by its exponent alone.
    let exponent = (largest(values) / 6.0)
        .max(f32::MIN_POSITIVE)
        .to_bits()
        .div_ceil(1 << 23);
    out.push(exponent as u8);
    let scale = f32::from_bits(exponent << 23);
    nibbles(&FLOATS, values, scale, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use mythic_engine::kernels::Encoding;

    #[test]
    fn what_is_quantised_here_is_near_what_the_engine_reads() {
        let values: Vec<f32> = (0..512)
            .map(|i| ((i * 7_919 % 1_000) as f32 - 500.0) / 500.0 * (1.0 + (i / 32) as f32))
            .collect();
        for (format, tolerance) in [
            (TensorFormat::IQ4NL, 0.12),
            (TensorFormat::IQ4XS, 0.13),
            (TensorFormat::MXFP4, 0.2),
            (TensorFormat::Q2K, 0.4),
        ] {
            let bytes = quantise(values.clone(), format).unwrap();
            assert_eq!(
                bytes.len(),
                512 / format.block_size() * format.block_bytes(),
                "{format}"
            );
            let mut read = vec![0.0; 512];
            Encoding::from(format).dequantise(&bytes, &mut read);
            for (block, read) in values.chunks(32).zip(read.chunks(32)) {
                let most = tolerance * largest(block);
                let off = block.iter().zip(read).map(|(a, b)| (a - b).abs());
                assert!(off.fold(0.0, f32::max) <= most, "{format}");
            }
        }
    }

    #[test]
    fn formats_have_the_block_sizes_that_candle_gives_them() {
        for format in TensorFormat::ALL {
            if let Some(theirs) = dtype(format) {
                assert_eq!(format.block_size(), theirs.block_size(), "{format}");
                assert_eq!(format.block_bytes(), theirs.type_size(), "{format}");
            }
        }
    }
}
