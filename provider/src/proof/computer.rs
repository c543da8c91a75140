//! What computes proofs: this processor, or a GPU, whose products are the same integers. Hashes are the processor's.

use mythic_engine::device::probe::Prober;
use mythic_engine::{Choice, DeviceError};
use mythic_interface::{
    hash::Hash,
    market::probe::{Factors, WholeProof, WholeRound},
};

use super::Shape;

/// What a configuration says that computes proofs.
pub struct Computer(Option<Prober>);

impl Computer {
    /// What a configuration asks for, if it is there.
    pub fn open(device: &Choice) -> Result<Self, DeviceError> {
        Prober::open(device).map(Self)
    }

    /// Whether it is a GPU.
    pub fn is_gpu(&self) -> bool {
        self.0.is_some()
    }

    /// The proof of a shape. A GPU that fails costs time, and no proof.
    pub fn compute(&self, shape: &Shape) -> WholeProof {
        let Some(prober) = &self.0 else {
            return shape.compute();
        };
        let (_, _, n) = shape.size;
        let round = |seed: &Hash| -> Result<WholeRound, DeviceError> {
            let product = prober.product(n, &Factors::new(seed))?;
            Ok(WholeRound::of(n, product))
        };
        let lease = shape.lease.as_array();
        match WholeProof::by(lease, shape.epoch, &shape.hash, shape.size, round) {
            Ok(proof) => proof,
            Err(error) => {
                tracing::error!(%error, "the GPU failed; this processor computes the proof");
                shape.compute()
            }
        }
    }
}
