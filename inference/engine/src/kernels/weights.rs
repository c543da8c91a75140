//! Weights of a model: tables to look rows up in, and matrices to multiply with.

use std::ops::Range;
use std::sync::Arc;

use mythic_model::gguf::{Gguf, GgufError, Mapped, TensorFormat};

use super::encoding::{Encoding, encoded};
use super::layout::{self, LANES, Planes};
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

    /// Some of the values of a tensor, as f32: those of its first extent that follow each other, counted
    /// through all of it.
    pub fn load_values(
        gguf: &Gguf,
        name: &str,
        dims: &[usize],
        range: Range<usize>,
    ) -> Result<Vec<f32>, GgufError> {
        let mapped = gguf.mapped(name, dims)?;
        let mut row = vec![0.0; dims[0]];
        let (index, first) = (range.start / row.len(), range.start % row.len());
        Self::new(mapped, dims[1..].iter().product()).row(index, &mut row);
        Ok(row[first..first + range.len()].to_vec())
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
        Self::load_part(gguf, pack, name, &[cols, rows], 0..rows)
    }

    /// Some outputs of a tensor that holds several matrices one after another; they are whole groups, but
    /// for the tensor's last.
    pub fn load_part(
        gguf: &Gguf,
        pack: &Arc<Pack>,
        name: &str,
        dims: &[usize],
        outputs: Range<usize>,
    ) -> Result<Self, GgufError> {
        let (_, format) = gguf.mapped(name, dims)?;
        let (encoding, cols) = (Encoding::from(format), dims[0]);
        let all: usize = dims[1..].iter().product();
        let whole = |n: usize| n.is_multiple_of(LANES) || n == all;
        assert!(whole(outputs.start) && whole(outputs.end), "whole groups");
        let group_bytes = encoding.group_bytes(cols);
        let groups = outputs.start / LANES..outputs.end.div_ceil(LANES);
        let packed = pack
            .get(name)
            .ok_or_else(|| GgufError::MissingTensor(name.into()))?;
        Ok(Self {
            data: packed.part(groups.start * group_bytes..groups.end * group_bytes),
            group_bytes,
            encoding,
            rows: outputs.len(),
            cols,
        })
    }

    /// A matrix of these rows.
    #[cfg(test)]
    pub(crate) fn alone(encoding: Encoding, rows: &[&[u8]], cols: usize) -> Self {
        Self {
            data: Packed::alone(encoding, rows, cols),
            group_bytes: encoding.group_bytes(cols),
            rows: rows.len(),
            encoding,
            cols,
        }
    }

    /// The planes of these groups, as a GPU holds them.
    pub(crate) fn planes(&self, groups: Range<usize>) -> Planes {
        let packed = self.bytes(groups);
        encoded!(self.encoding,
            F => layout::planes::<F>(packed),
            G => layout::float_planes::<G>(packed))
    }

    /// Bytes of its weights as they are packed.
    pub(crate) fn packed_bytes(&self) -> usize {
        self.data.bytes().len()
    }

    /// How its weights are stored.
    pub(crate) fn encoding(&self) -> Encoding {
        self.encoding
    }

    pub(crate) fn groups(&self) -> usize {
        self.rows.div_ceil(LANES)
    }

    /// The packed bytes of these groups.
    pub(super) fn bytes(&self, groups: Range<usize>) -> &[u8] {
        &self.data.bytes()[groups.start * self.group_bytes..groups.end * self.group_bytes]
    }

    pub(crate) fn is_float(&self) -> bool {
        matches!(
            self.encoding,
            Encoding::F16 | Encoding::BF16 | Encoding::F32
        )
    }
}
