//! Weights of a model: tables to look rows up in, and matrices to multiply with.

use std::ops::Range;
use std::sync::Arc;

use mythic_model::gguf::{Gguf, GgufError, Mapped, TensorFormat};

use super::encoding::Encoding;
use super::layout::LANES;
use super::pack::{Pack, Packed};

/// Rows of values to be looked up, where they lie in the model file.
pub struct Table {
    data: Mapped,
    encoding: Encoding,
    row_bytes: usize,
}

impl Table {
    /// The tensor of that name, its shape checked.
    pub fn load(gguf: &Gguf, name: &str, cols: usize, rows: usize) -> Result<Self, GgufError> {
        Ok(Self::new(gguf.mapped(name, &[cols, rows])?, rows))
    }

    /// A tensor of one dimension, as f32.
    pub fn load_vector(gguf: &Gguf, name: &str, len: usize) -> Result<Vec<f32>, GgufError> {
        let mut out = vec![0.0; len];
        Self::new(gguf.mapped(name, &[len])?, 1).row(0, &mut out);
        Ok(out)
    }

    fn new((data, format): (Mapped, TensorFormat), rows: usize) -> Self {
        Self {
            row_bytes: data.bytes().len() / rows,
            encoding: format.into(),
            data,
        }
    }

    /// Writes one row as f32.
    pub fn row(&self, index: usize, out: &mut [f32]) {
        let row = &self.data.bytes()[index * self.row_bytes..(index + 1) * self.row_bytes];
        self.encoding.dequantise(row, out);
    }
}

/// A matrix to multiply with: `rows` outputs of `cols` inputs each.
pub struct Matrix {
    pub(super) data: Packed,
    pub(super) encoding: Encoding,
    pub rows: usize,
    pub cols: usize,
    pub(super) group_bytes: usize,
}

impl Matrix {
    /// The tensor of that name from the model's pack, its shape checked.
    pub fn load(
        gguf: &Gguf,
        pack: &Arc<Pack>,
        name: &str,
        cols: usize,
        rows: usize,
    ) -> Result<Self, GgufError> {
        let (_, format) = gguf.mapped(name, &[cols, rows])?;
        let encoding = Encoding::from(format);
        Ok(Self {
            data: pack
                .get(name)
                .ok_or_else(|| GgufError::MissingTensor(name.into()))?,
            group_bytes: encoding.group_bytes(cols),
            encoding,
            rows,
            cols,
        })
    }

    pub(super) fn groups(&self) -> usize {
        self.rows.div_ceil(LANES)
    }

    /// The packed bytes of these groups.
    pub(super) fn bytes(&self, groups: Range<usize>) -> &[u8] {
        &self.data.bytes()[groups.start * self.group_bytes..groups.end * self.group_bytes]
    }

    pub(super) fn is_float(&self) -> bool {
        matches!(
            self.encoding,
            Encoding::F16 | Encoding::BF16 | Encoding::F32
        )
    }
}
