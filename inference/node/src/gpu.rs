//! The machine's NVIDIA GPUs as their driver shows them, for `/stats`. The driver's library is looked for at run time: without it
//! there is nothing to say, and nothing else changes.

use std::sync::Arc;

use nvml_wrapper::{Nvml, enum_wrappers::device::TemperatureSensor};
use serde::Serialize;

/// Name of the driver's library; the one without a number comes only with development packages.
const LIBRARY: &str = "libnvidia-ml.so.1";

/// One GPU now; what its driver does not say is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gpu {
    /// Product name.
    pub name: Option<String>,
    /// Memory in use by all processes, bytes.
    pub memory_used_bytes: Option<u64>,
    /// Memory in all, bytes.
    pub memory_total_bytes: Option<u64>,
    /// Share of the last moments in which a kernel ran, percent.
    pub utilisation_percent: Option<u32>,
    /// Degrees Celsius.
    pub temperature_celsius: Option<u32>,
    /// What it takes now, watts.
    pub power_watts: Option<u32>,
    /// Processes that compute on it, this one among them where it does.
    pub processes: Option<u32>,
}

/// The driver, where there is one.
#[derive(Clone, Default)]
pub struct Gpus(Option<Arc<Nvml>>);

impl Gpus {
    /// Looks for the driver.
    pub fn find() -> Self {
        match Nvml::builder().lib_path(LIBRARY.as_ref()).init() {
            Ok(nvml) => Self(Some(Arc::new(nvml))),
            Err(error) => {
                tracing::debug!(%error, "no NVIDIA driver");
                Self(None)
            }
        }
    }

    /// All GPUs; `None` without a driver. Takes milliseconds.
    pub fn read(&self) -> Option<Vec<Gpu>> {
        let nvml = self.0.as_ref()?;
        let count = nvml.device_count().ok()?;
        let devices = (0..count).filter_map(|index| nvml.device_by_index(index).ok());
        Some(
            devices
                .map(|device| {
                    let memory = device.memory_info().ok();
                    Gpu {
                        name: device.name().ok(),
                        memory_used_bytes: memory.as_ref().map(|memory| memory.used),
                        memory_total_bytes: memory.as_ref().map(|memory| memory.total),
                        utilisation_percent: device.utilization_rates().ok().map(|rates| rates.gpu),
                        temperature_celsius: device.temperature(TemperatureSensor::Gpu).ok(),
                        power_watts: device
                            .power_usage()
                            .ok()
                            .map(|milliwatts| milliwatts / 1_000),
                        processes: device.running_compute_processes_count().ok(),
                    }
                })
                .collect(),
        )
    }
}
