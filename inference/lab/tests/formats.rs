//! Weight formats as the engine reads them, against candle, which wrote them.

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use mythic_engine::kernels::Encoding;
use proptest::prelude::*;

/// Values of a row: whole super-blocks of every format.
const COLS: usize = 512;

const FORMATS: [(Encoding, GgmlDType); 10] = [
    (Encoding::Q4_0, GgmlDType::Q4_0),
    (Encoding::Q4_1, GgmlDType::Q4_1),
    (Encoding::Q5_0, GgmlDType::Q5_0),
    (Encoding::Q5_1, GgmlDType::Q5_1),
    (Encoding::Q8_0, GgmlDType::Q8_0),
    (Encoding::Q2K, GgmlDType::Q2K),
    (Encoding::Q3K, GgmlDType::Q3K),
    (Encoding::Q4K, GgmlDType::Q4K),
    (Encoding::Q5K, GgmlDType::Q5K),
    (Encoding::Q6K, GgmlDType::Q6K),
];

/// Mostly around 1, now and then large, tiny or nothing.
fn weight() -> impl Strategy<Value = f32> {
    prop_oneof![
        37 => -1.0f32..1.0,
        1 => Just(0.0),
        1 => -300.0f32..300.0,
        1 => -1e-4f32..1e-4,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn formats_are_read_as_candle_reads_them(row in prop::collection::vec(weight(), COLS)) {
        let tensor = Tensor::from_slice(&row, (1, COLS), &Device::Cpu).expect("a tensor");
        for (encoding, dtype) in FORMATS {
            let theirs = QTensor::quantize(&tensor, dtype).expect("quantised");
            let values = theirs.dequantize(&Device::Cpu).expect("values");
            let want: Vec<f32> = values.flatten_all().and_then(|v| v.to_vec1()).expect("values");
            let mut got = vec![0.0; COLS];
            encoding.dequantise(&theirs.data().expect("bytes"), &mut got);
            for (got, want) in got.iter().zip(want) {
                prop_assert!(
                    (got - want).abs() <= want.abs() * 1e-6 + 1e-6,
                    "{:?}: {}, candle {}", encoding, got, want
                );
            }
        }
    }
}
