//! The laboratory: what tries and measures engines and nodes, and no honest node needs.
//!
//! - [`calibrate`]: how far honest answers differ, and which cheats are found
//! - [`cheat`]: nodes that lie, on development networks
//! - [`random_model`]: small random model files in any weight format, for tests

pub mod calibrate;
pub mod cheat;
pub mod random_model;

use candle_core::quantized::GgmlDType;
use mythic_model::gguf::TensorFormat;

/// candle's name of a format.
fn dtype(format: TensorFormat) -> GgmlDType {
    match format {
        TensorFormat::F32 => GgmlDType::F32,
        TensorFormat::F16 => GgmlDType::F16,
        TensorFormat::BF16 => GgmlDType::BF16,
        TensorFormat::Q4_0 => GgmlDType::Q4_0,
        TensorFormat::Q4_1 => GgmlDType::Q4_1,
        TensorFormat::Q5_0 => GgmlDType::Q5_0,
        TensorFormat::Q5_1 => GgmlDType::Q5_1,
        TensorFormat::Q8_0 => GgmlDType::Q8_0,
        TensorFormat::Q3K => GgmlDType::Q3K,
        TensorFormat::Q4K => GgmlDType::Q4K,
        TensorFormat::Q5K => GgmlDType::Q5K,
        TensorFormat::Q6K => GgmlDType::Q6K,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_have_the_block_sizes_that_candle_gives_them() {
        for code in 0..64 {
            if let Some(format) = TensorFormat::from_code(code) {
                let theirs = dtype(format);
                assert_eq!(format.block_size(), theirs.block_size(), "{format}");
                assert_eq!(format.block_bytes(), theirs.type_size(), "{format}");
            }
        }
    }
}
