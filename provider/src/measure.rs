//! How long a class's proof takes on this machine.

use std::time::{Duration, Instant};

use mythic_engine::{Choice, DeviceError};
use mythic_interface::market::{
    params::Grid,
    state::{Class, Probe},
};
use solana_pubkey::Pubkey;

use crate::proof::{Shape, computer::Computer};

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// Of the proof of one unit.
    pub proof: Duration,
    /// Which the class gives for it.
    pub allowed: Duration,
    /// Of an epoch.
    pub epoch: Duration,
}

impl Measured {
    /// Part of an epoch that proofs of so many units take, one after the other.
    pub fn share(&self, units: u16) -> f64 {
        let all = self.proof.as_secs_f64() * f64::from(units.max(1));
        all / self.epoch.as_secs_f64()
    }

    /// Whether proofs of so many units are made in time, with a half of it to land.
    pub fn is_in_time(&self, units: u16) -> bool {
        2 * self.proof * u32::from(units.max(1)) <= self.allowed
    }
}

/// Why a class is not measured here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotMeasured {
    #[error(
        "class {0} is of GPUs, and proofs are computed on this processor: name a GPU, device = \"cuda\", or a class of CPUs"
    )]
    OfGpus(String),
    #[error(transparent)]
    Device(#[from] DeviceError),
}

/// Computes a proof of one unit of a class on a device. Takes as long as that takes.
pub fn measure(class: &Class, grid: &Grid, device: &Choice) -> Result<Measured, NotMeasured> {
    let computer = Computer::open(device)?;
    if class.vram_mib.get() > 0 && !computer.is_gpu() {
        return Err(NotMeasured::OfGpus(class.name.as_str().into()));
    }
    let probe = &class.probe;
    let started = Instant::now();
    let shape = Shape {
        lease: Pubkey::new_from_array([1; 32]),
        epoch: 1,
        hash: [2; 32],
        size: (1, probe.rounds.get(), probe.n.get()),
    };
    std::hint::black_box(computer.compute(&shape).root());
    Ok(Measured {
        proof: started.elapsed(),
        allowed: allowed(probe, grid),
        epoch: Duration::from_secs(grid.epoch_seconds.get().into()),
    })
}

/// The time in which a proof is taken, by the grid's own pace.
fn allowed(probe: &Probe, grid: &Grid) -> Duration {
    let epoch = Duration::from_secs(grid.epoch_seconds.get().into());
    epoch * probe.proof_slots.get() / grid.epoch_slots.get().max(1)
}

#[cfg(test)]
mod tests {
    use bytemuck::Zeroable;
    use mythic_interface::le::{Text, U32};

    use super::*;

    #[test]
    fn a_class_of_cpus_is_measured_and_one_of_gpus_is_not() {
        let grid = Grid {
            epoch_slots: U32::new(150),
            epoch_seconds: U32::new(60),
        };
        let mut class = Class::zeroed();
        class.name = Text::new("small").unwrap();
        class.probe.n = U32::new(32);
        class.probe.rounds = U32::new(2);
        class.probe.proof_slots = U32::new(50);
        let measured = measure(&class, &grid, &Choice::Cpu).unwrap();
        assert_eq!(measured.allowed, Duration::from_secs(20));
        assert!(measured.is_in_time(1) && measured.share(1) < 0.5);
        let slow = Measured {
            proof: Duration::from_secs(6),
            ..measured
        };
        assert!(slow.is_in_time(1) && !slow.is_in_time(2));
        assert!((slow.share(2) - 0.2).abs() < 1e-9);
        class.vram_mib = U32::new(80_000);
        assert!(
            measure(&class, &grid, &Choice::Cpu)
                .unwrap_err()
                .to_string()
                .contains("small")
        );
    }
}
