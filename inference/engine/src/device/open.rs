//! Which device a model is on.

use std::sync::Arc;

use super::check;
use super::choice::Choice;
use super::cpu::{self, Cpu};
use super::cuda::Cuda;
use super::driver::Driver;
use super::error::DeviceError;
use super::gpu::Gpu;
use super::seam::{Device, NoDevice, Sizes};
use crate::config::{EngineConfig, Lab};
use crate::decoder::Model;

/// Rows of a pass on a GPU, unless a config has more: it reads all weights for any number of them.
const GPU_ROWS: usize = 512;

/// The model on what the config asks for.
pub fn open(
    model: Model,
    config: &EngineConfig,
    sizes: Sizes,
) -> Result<Box<dyn Device>, NoDevice> {
    let on_cpu = |model: Model| -> Result<Box<dyn Device>, NoDevice> {
        let pool = cpu::pool(&model, (config.chunk, config.lab), sizes)?;
        Ok(Box::new(Cpu::new(model, pool, config.chunk)))
    };
    let list = match &config.device {
        Choice::Cpu => return on_cpu(model),
        Choice::Auto => vec![0],
        Choice::Cuda(list) => list.clone(),
    };
    match on_gpus(model, &list, config, sizes) {
        Ok(gpu) => Ok(Box::new(gpu)),
        Err(failed) if config.device == Choice::Auto => {
            let (model, error) = *failed;
            match error {
                DeviceError::NoDriver | DeviceError::NoGpu => {
                    tracing::info!(%error, "computing on this processor")
                }
                error => tracing::warn!(%error, "a GPU is not used; computing on this processor"),
            }
            on_cpu(model)
        }
        Err(failed) => Err(failed.1.into()),
    }
}

/// The model on GPUs that gave this processor's bits.
fn on_gpus(
    model: Model,
    list: &[usize],
    config: &EngineConfig,
    sizes: Sizes,
) -> Result<Gpu, Box<(Model, DeviceError)>> {
    if config.lab != Lab::default() {
        let error = DeviceError::Unsupported("departures for calibration".into());
        return Err(Box::new((model, error)));
    }
    let drivers = list.iter().map(|index| Cuda::open(*index).map(shared));
    let drivers = match drivers.collect::<Result<Vec<_>, _>>() {
        Ok(drivers) => drivers,
        Err(error) => return Err(Box::new((model, error))),
    };
    let rows = config.chunk.max(GPU_ROWS).max(config.max_sequences + 1);
    let mut gpu = Gpu::new(model, &drivers, rows, sizes)?;
    match check::same_bits(&mut gpu) {
        Ok(()) => Ok(gpu),
        Err(error) => Err(Box::new((gpu.into_model(), error))),
    }
}

fn shared(driver: Cuda) -> Arc<dyn Driver> {
    Arc::new(driver)
}
