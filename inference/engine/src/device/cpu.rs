//! This processor.

use mythic_interface::sampler::RowError;

use super::error::DeviceError;
use super::seam::{Device, NoDevice, Sizes, Take};
use crate::config::Lab;
use crate::decoder::{Model, Pass, Scratch};
use crate::kv::Pool;
use crate::logits::Kept;
use crate::memory::Plan;
use crate::pages::PageId;
use crate::residuals::PageRows;

/// Memory of this machine for a model's keys and values, if it has what passes of so many rows need.
pub(crate) fn pool(
    model: &Model,
    (rows, lab): (usize, Lab),
    sizes: Sizes,
) -> Result<Pool, NoDevice> {
    let shape = model.kv_shape();
    let bytes = shape.page_bytes() * u64::from(sizes.pages);
    let plan = Plan {
        weights: sizes.weights,
        pool: bytes.saturating_add(sizes.residuals),
        scratch: model.scratch_bytes(rows, sizes.context),
    };
    plan.check()?;
    Pool::new(shape, sizes.pages, lab).map_err(|error| NoDevice::Pool { bytes, error })
}

/// A model on this processor.
pub struct Cpu {
    model: Model,
    pool: Pool,
    scratch: Scratch,
    rows: usize,
}

impl Cpu {
    /// `rows` is how many a pass has.
    pub fn new(model: Model, pool: Pool, rows: usize) -> Self {
        Self {
            model,
            pool,
            scratch: Scratch::default(),
            rows,
        }
    }
}

impl Device for Cpu {
    fn name(&self) -> String {
        self.model.kernels().device()
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn threads(&self) -> usize {
        self.model.kernels().threads()
    }

    fn forward(&mut self, pass: &Pass, take: &mut Take<'_>) -> Result<(), DeviceError> {
        let take =
            |row: usize, kept: Result<Kept, RowError>, logits: &[f32]| take(row, kept, logits);
        self.model
            .forward(pass, &mut self.pool, &mut self.scratch, take);
        Ok(())
    }

    fn keep_residuals(&mut self, rows: PageRows) -> Result<(), DeviceError> {
        self.pool.residuals = Some(rows);
        Ok(())
    }

    fn residuals(&mut self) -> Option<&mut PageRows> {
        self.pool.residuals.as_mut()
    }

    fn layers(&mut self) -> Result<(&Model, &mut Scratch), DeviceError> {
        Ok((&self.model, &mut self.scratch))
    }

    fn release(&mut self, pages: &mut [PageId]) {
        if let Some(kept) = self.residuals() {
            kept.forget(pages);
        }
        self.pool.release(pages);
    }

    fn fall_back(&mut self) -> Result<(), NoDevice> {
        Ok(())
    }
}
