//! A model on what computes it, as the worker sees it.

use mythic_interface::sampler::RowError;

use super::error::DeviceError;
use crate::decoder::{Model, Pass, Scratch};
use crate::logits::Kept;
use crate::memory::TooBig;
use crate::pages::PageId;
use crate::residuals::PageRows;

/// What is told of a row: its index in the pass, what is kept of its logits, the logits.
pub type Take<'a> = dyn FnMut(usize, Result<Kept, RowError>, &[f32]) + 'a;

/// Why a model is on no device.
#[derive(Debug, thiserror::Error)]
pub enum NoDevice {
    #[error(transparent)]
    Gpu(#[from] DeviceError),
    #[error(transparent)]
    TooBig(#[from] TooBig),
    #[error("cannot reserve {bytes} bytes for keys and values: {error}")]
    Pool { bytes: u64, error: std::io::Error },
}

/// Sizes of what a model works with.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Of keys and values.
    pub pages: u32,
    /// Positions of the longest sequence.
    pub context: usize,
    /// Of the model file.
    pub weights: u64,
    /// Of residual rows that may be kept, in bytes.
    pub residuals: u64,
}

/// A model on what computes it.
pub trait Device: Send {
    /// For people, for instance `CPU (AVX2)`.
    fn name(&self) -> String;

    /// Rows that a pass should have at most.
    fn rows(&self) -> usize;

    /// Threads of this processor that compute.
    fn threads(&self) -> usize;

    /// As [`crate::decoder::Model::forward`]. After an error nothing is known of keys and values.
    fn forward(&mut self, pass: &Pass, take: &mut Take<'_>) -> Result<(), DeviceError>;

    /// Keeps what layers give, from now on.
    fn keep_residuals(&mut self, rows: PageRows) -> Result<(), DeviceError>;

    /// What it keeps of that, if it does.
    fn residuals(&mut self) -> Option<&mut PageRows>;

    /// The model, to compute a layer alone, and what that works on.
    fn layers(&mut self) -> Result<(&Model, &mut Scratch), DeviceError>;

    /// As [`crate::kv::Pool::release`]; what is kept of these pages is forgotten.
    fn release(&mut self, pages: &mut [PageId]);

    /// After an error: goes on with this processor, without keys and values.
    fn fall_back(&mut self) -> Result<(), NoDevice>;
}
