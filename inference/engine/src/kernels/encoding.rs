//! How a tensor's numbers are stored, and what is done with each way.

use mythic_model::gguf::TensorFormat;

use super::activations::BLOCK;
use super::formats::{self, Format};
use super::layout::{self, LANES};

/// How a matrix's weights are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Encoding {
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q3K,
    Q4K,
    Q5K,
    Q6K,
    F16,
    BF16,
    F32,
    Q2K,
    IQ4NL,
    IQ4XS,
    MXFP4,
}

/// One expression for the formats of integers and one for those of floats, with the format's type.
macro_rules! encoded {
    ($encoding:expr, $F:ident => $integers:expr, $G:ident => $floats:expr) => {
        match $encoding {
            $crate::kernels::encoding::Encoding::Q4_0 => {
                type $F = $crate::kernels::formats::Q4_0;
                $integers
            }
            $crate::kernels::encoding::Encoding::Q4_1 => {
                type $F = $crate::kernels::formats::Q4_1;
                $integers
            }
            $crate::kernels::encoding::Encoding::Q5_0 => {
                type $F = $crate::kernels::formats::Q5_0;
                $integers
            }
            $crate::kernels::encoding::Encoding::Q5_1 => {
                type $F = $crate::kernels::formats::Q5_1;
                $integers
            }
            $crate::kernels::encoding::Encoding::Q8_0 => {
                type $F = $crate::kernels::formats::Q8_0;
                $integers
            }
            $crate::kernels::encoding::Encoding::Q3K => {
                type $F = $crate::kernels::formats::Q3K;
                $integers
            }
            $crate::kernels::encoding::Encoding::Q4K => {
                type $F = $crate::kernels::formats::Q4K;
                $integers
            }
            $crate::kernels::encoding::Encoding::Q5K => {
                type $F = $crate::kernels::formats::Q5K;
                $integers
            }
            $crate::kernels::encoding::Encoding::Q6K => {
                type $F = $crate::kernels::formats::Q6K;
                $integers
            }
            $crate::kernels::encoding::Encoding::Q2K => {
                type $F = $crate::kernels::formats::Q2K;
                $integers
            }
            $crate::kernels::encoding::Encoding::IQ4NL => {
                type $F = $crate::kernels::formats::IQ4NL;
                $integers
            }
            $crate::kernels::encoding::Encoding::IQ4XS => {
                type $F = $crate::kernels::formats::IQ4XS;
                $integers
            }
            $crate::kernels::encoding::Encoding::MXFP4 => {
                type $F = $crate::kernels::formats::MXFP4;
                $integers
            }
            $crate::kernels::encoding::Encoding::F16 => {
                type $G = $crate::kernels::formats::F16;
                $floats
            }
            $crate::kernels::encoding::Encoding::BF16 => {
                type $G = $crate::kernels::formats::BF16;
                $floats
            }
            $crate::kernels::encoding::Encoding::F32 => {
                type $G = $crate::kernels::formats::F32;
                $floats
            }
        }
    };
}
pub(super) use encoded;

impl From<TensorFormat> for Encoding {
    fn from(format: TensorFormat) -> Self {
        match format {
            TensorFormat::Q4_0 => Self::Q4_0,
            TensorFormat::Q4_1 => Self::Q4_1,
            TensorFormat::Q5_0 => Self::Q5_0,
            TensorFormat::Q5_1 => Self::Q5_1,
            TensorFormat::Q8_0 => Self::Q8_0,
            TensorFormat::Q3K => Self::Q3K,
            TensorFormat::Q4K => Self::Q4K,
            TensorFormat::Q5K => Self::Q5K,
            TensorFormat::Q6K => Self::Q6K,
            TensorFormat::Q2K => Self::Q2K,
            TensorFormat::IQ4NL => Self::IQ4NL,
            TensorFormat::IQ4XS => Self::IQ4XS,
            TensorFormat::MXFP4 => Self::MXFP4,
            TensorFormat::F16 => Self::F16,
            TensorFormat::BF16 => Self::BF16,
            TensorFormat::F32 => Self::F32,
        }
    }
}

impl Encoding {
    /// Bytes of a packed group of outputs.
    pub(super) fn group_bytes(self, cols: usize) -> usize {
        encoded!(self,
            F => cols / (BLOCK * F::BLOCKS) * layout::super_bytes::<F>(),
            G => cols * LANES * <G as formats::Float>::BYTES)
    }

    /// Packs one group of outputs; the rows that it lacks are zeros.
    pub(super) fn pack(self, rows: [Option<&[u8]>; LANES], out: &mut [u8]) {
        encoded!(self,
            F => layout::pack::<F>(rows, out),
            G => layout::pack_floats(rows, <G as formats::Float>::BYTES, out))
    }

    /// Writes one row as f32.
    pub fn dequantise(self, row: &[u8], out: &mut [f32]) {
        encoded!(self,
            F => formats::dequantise::<F>(row, out),
            G => formats::widen::<G>(row, out))
    }
}
