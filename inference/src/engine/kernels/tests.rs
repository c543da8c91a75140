//! The fast paths against the plain definition, and all of it against plain f64 arithmetic.

use candle_core::quantized::{QTensor, k_quants};
use candle_core::{Device, Tensor};
use proptest::prelude::*;

use super::formats::{Format, dequantise, dot};
use super::*;

/// Blocks of a format with random integers and finite scales.
fn weights(bytes: usize, scales: usize, blocks: usize, noise: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = noise.iter().copied().cycle().take(bytes * blocks).collect();
    for (i, block) in out.chunks_exact_mut(bytes).enumerate() {
        for s in 0..scales {
            let value = (f32::from(block[2 * s]) - 128.0) / 512.0 + i as f32 / 64.0;
            block[2 * s..2 * s + 2].copy_from_slice(&f16::from_f32(value).to_le_bytes());
        }
    }
    out
}

fn compare<F: Load>(noise: &[u8], x: &[f32], cols: usize) {
    let blocks = cols / BLOCK;
    let row = weights(F::BYTES, 1 + usize::from(F::MIN), blocks, noise);
    let y = Q8::new(x, cols);
    let mut plain = [0f32; 4];
    dot::<F, 4>(&row, &y, 0, &mut plain);
    let mut values = vec![0f32; cols];
    dequantise::<F>(&row, &mut values);
    for (t, got) in plain.iter().enumerate() {
        let x = &x[t * cols..(t + 1) * cols];
        let want: f64 = x
            .iter()
            .zip(&values)
            .map(|(a, b)| f64::from(*a) * f64::from(*b))
            .sum();
        let size: f64 = x
            .iter()
            .zip(&values)
            .map(|(a, b)| f64::from((a * b).abs()))
            .sum();
        let amax = x.iter().fold(0f32, |m, v| m.max(v.abs()));
        let wmax: f32 = values.iter().map(|v| v.abs()).sum();
        // Half a step of the activations' quantisation on every weight, and f16 scales.
        let bound = f64::from(amax / 127.0 * 0.51 * wmax) + size * 2e-3 + 1e-3;
        assert!(
            (f64::from(*got) - want).abs() <= bound,
            "{got} against {want}"
        );
    }
    #[cfg(target_arch = "x86_64")]
    {
        let best = detect();
        for isa in [Isa::Avx2, Isa::Vnni] {
            if best == Isa::Plain || (isa == Isa::Vnni && best != Isa::Vnni) {
                continue;
            }
            let mut out = [0f32; 4];
            tile::<F, 4>(isa, &row, &y, 0, &mut out);
            assert_eq!(out.map(f32::to_bits), plain.map(f32::to_bits), "{isa:?}");
            for t in 0..4 {
                let mut out = [0f32; 4];
                tile::<F, 1>(isa, &row, &y, t, &mut out);
                assert_eq!(out[t].to_bits(), plain[t].to_bits(), "{isa:?} alone");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_instruction_set_and_tile_gives_the_bits_of_the_definition(
        noise in prop::collection::vec(any::<u8>(), 61..200),
        x in prop::collection::vec(-8f32..8.0, 4 * 96),
    ) {
        compare::<Q4_0>(&noise, &x, 96);
        compare::<Q4_1>(&noise, &x, 96);
        compare::<Q5_0>(&noise, &x, 96);
        compare::<Q5_1>(&noise, &x, 96);
        compare::<Q8_0>(&noise, &x, 96);
    }
}

#[test]
fn extreme_integers_do_not_overflow() {
    let row: Vec<u8> = [0x00, 0x3c]
        .into_iter()
        .chain([0x80; 32])
        .collect::<Vec<u8>>();
    let x = vec![-3.0f32; 4 * 32];
    compare_bits(&row, &x);
    fn compare_bits(row: &[u8], x: &[f32]) {
        let y = Q8::new(x, 32);
        let mut plain = [0f32; 1];
        dot::<Q8_0, 1>(row, &y, 0, &mut plain);
        let mut fast = [0f32; 4];
        tile::<Q8_0, 4>(detect(), row, &y, 0, &mut fast);
        assert_eq!(plain[0].to_bits(), fast[0].to_bits());
        assert!((plain[0] - 128.0 * 3.0 * 32.0).abs() < 10.0);
    }
}

#[test]
fn activations_quantise_like_candles_q8_1() {
    let x: Vec<f32> = (0..96)
        .map(|i| ((i * 37 % 101) as f32 - 50.0) / 7.0)
        .collect();
    let ours = Q8::new(&x, 96);
    let tensor = Tensor::from_slice(&x, (1, 96), &Device::Cpu).unwrap();
    let theirs = QTensor::quantize(&tensor, GgmlDType::Q8_1).unwrap();
    let bytes = theirs.data().unwrap();
    assert_eq!(bytes.len(), 3 * std::mem::size_of::<k_quants::BlockQ8_1>());
    for (i, block) in bytes.chunks_exact(36).enumerate() {
        assert_eq!(f16::from_le_bytes([block[0], block[1]]).to_f32(), ours.d[i]);
        let same = block[4..]
            .iter()
            .zip(&ours.qs[i * 32..])
            .filter(|(a, b)| **a as i8 == **b)
            .count();
        // Candle rounds halves away from zero; nothing else may differ.
        assert!(same >= 31, "{same} of 32");
    }
}

#[test]
fn zero_and_broken_activations_are_harmless() {
    let y = Q8::new(&[0.0; 32], 32);
    assert_eq!((y.d[0], y.s[0], y.qs[5]), (0.0, 0.0, 0));
    let mut x = [1.0; 32];
    x[3] = f32::INFINITY;
    assert!(!Q8::new(&x, 32).d[0].is_finite());
    let _ = Q8::new(&[f32::NAN; 32], 32);
    assert_eq!(Q4_1::scale(&[0, 0x3c, 0, 0x40]), 1.0);
    assert_eq!(Q4_1::min(&[0, 0x3c, 0, 0x40]), 2.0);
}
