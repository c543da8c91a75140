//! What computes a pass: this processor, or GPUs. Both give the same bits, so which one it was shows in nothing but the time.
//!
//! - [`Device`]: the seam; [`Choice`]: what a config asks for; [`open`]: what it gets
//! - `cpu`: this processor
//! - [`gpu`]: GPUs, on what a [`driver`] gives; `calls`: what kernels take
//! - [`cuda`]: the driver of NVIDIA's
//! - [`probe`]: the Compute Market's products
//! - `check`: a GPU is used once it gave this processor's bits

mod calls;
mod check;
mod cpu;
pub mod cuda;
pub mod driver;
mod error;
pub mod gpu;
pub mod probe;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use mythic_interface::sampler::RowError;
use serde::{Deserialize, Serialize};

use crate::LoadError;
use crate::config::{EngineConfig, Lab};
use crate::decoder::{Model, Pass};
use crate::kv::{self, Pool};
use crate::logits::Kept;
use crate::memory;
use crate::pages::PageId;
use cpu::Cpu;
use driver::Driver;
use gpu::Gpu;

pub use error::DeviceError;

/// Rows of a pass on a GPU, unless a config has more: it reads all weights for any number of them.
const GPU_ROWS: usize = 512;

/// Most GPUs that share a model.
const MOST_GPUS: usize = 16;

/// What is told of a row: its index in the pass, what is kept of its logits, the logits.
pub type Take<'a> = dyn FnMut(usize, Result<Kept, RowError>, &[f32]) + 'a;

/// A model on what computes it.
pub trait Device: Send {
    /// For people, for instance `CPU (AVX2)`.
    fn name(&self) -> String;

    /// Rows that a pass should have at most.
    fn rows(&self) -> usize;

    /// Threads of this processor that compute.
    fn threads(&self) -> usize;

    /// As [`Model::forward`]. After an error nothing is known of keys and values.
    fn forward(&mut self, pass: &Pass, take: &mut Take<'_>) -> Result<(), DeviceError>;

    /// As [`Pool::release`].
    fn release(&mut self, pages: &mut [PageId]);

    /// After an error: goes on with this processor, without keys and values.
    fn fall_back(&mut self) -> Result<(), LoadError>;
}

/// What a config asks for: `cpu`, `cuda` (the first GPU), `cuda:0,1` (these, together) or `auto` (the first GPU if it can, else the
/// processor).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Choice {
    #[default]
    Cpu,
    Auto,
    Cuda(Vec<usize>),
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("device = {text:?}: allowed are cpu, auto, cuda, cuda:0 and cuda:0,1");
        match text {
            "cpu" => return Ok(Self::Cpu),
            "auto" => return Ok(Self::Auto),
            "cuda" => return Ok(Self::Cuda(vec![0])),
            _ => {}
        }
        let list = text.strip_prefix("cuda:").ok_or_else(wrong)?;
        let numbers = list.split(',').map(str::parse::<u8>);
        let numbers: Result<Vec<u8>, _> = numbers.collect();
        let numbers = numbers.map_err(|_| wrong())?;
        let twice = (1..numbers.len()).any(|i| numbers[..i].contains(&numbers[i]));
        if twice || numbers.len() > MOST_GPUS {
            return Err(wrong());
        }
        Ok(Self::Cuda(numbers.into_iter().map(usize::from).collect()))
    }
}

impl TryFrom<String> for Choice {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Choice> for String {
    fn from(choice: Choice) -> Self {
        choice.to_string()
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Auto => f.write_str("auto"),
            Self::Cuda(list) => {
                let list: Vec<String> = list.iter().map(usize::to_string).collect();
                write!(f, "cuda:{}", list.join(","))
            }
        }
    }
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
}

/// Memory of this machine for a model on its processor.
fn pool(model: &Model, (rows, lab): (usize, Lab), sizes: Sizes) -> Result<Pool, LoadError> {
    let shape = model.kv_shape();
    let bytes = shape.page_bytes() * u64::from(sizes.pages);
    let plan = memory::Plan {
        weights: sizes.weights,
        pool: bytes,
        scratch: model.scratch_bytes(rows, sizes.context),
    };
    plan.check()?;
    Pool::new(shape, sizes.pages, lab).map_err(|error| LoadError::Pool { bytes, error })
}

/// The model on what the config asks for.
pub fn open(
    model: Model,
    config: &EngineConfig,
    sizes: Sizes,
) -> Result<Box<dyn Device>, LoadError> {
    let on_cpu = |model: Model| -> Result<Box<dyn Device>, LoadError> {
        let pool = pool(&model, (config.chunk, config.lab), sizes)?;
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
    let drivers = list
        .iter()
        .map(|index| cuda::Cuda::open(*index).map(shared));
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

fn shared(driver: cuda::Cuda) -> Arc<dyn Driver> {
    Arc::new(driver)
}

/// f16 numbers of a page of a pool on a GPU that has so many of the heads.
fn page_numbers(shape: kv::Shape, kv_heads: usize) -> usize {
    shape.layers * kv_heads * 2 * crate::pages::PAGE * shape.head_dim
}
