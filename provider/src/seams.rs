//! What of a provider can be another's: how its proofs are made, and whether it answers its tenants and disputes. All else is the same
//! process.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use mythic_engine::Choice;
use mythic_interface::market::probe::WholeProof;

use crate::proof::{Shape, computer::Computer};

/// Makes the proof of a shape; `None` makes none.
pub type Prover = dyn Fn(&Shape) -> Option<WholeProof> + Send + Sync;

/// The parts that can be replaced; by default what a provider should be.
#[derive(Clone)]
pub struct Seams {
    /// Makes proofs: the one of an epoch, and the same again for what is published and disputed of it.
    pub prover: Arc<Prover>,
    /// Whether tenants get answers.
    pub answers: bool,
    /// Whether disputes get answers.
    pub opens: bool,
}

impl Default for Seams {
    fn default() -> Self {
        Self {
            prover: Arc::new(|shape| Some(shape.compute())),
            answers: true,
            opens: true,
        }
    }
}

impl Seams {
    /// An honest provider's, whose proofs are computed by what its configuration says.
    pub fn on(device: &Choice) -> Result<Self> {
        let computer = Computer::open(device)?;
        Ok(Self {
            prover: Arc::new(move |shape| Some(computer.compute(shape))),
            ..Self::default()
        })
    }

    /// The proof of a shape, made on a thread of its own; `None` where none is made.
    pub async fn made(&self, shape: Shape) -> Result<Option<WholeProof>> {
        let prover = self.prover.clone();
        Ok(tokio::task::spawn_blocking(move || prover(&shape)).await?)
    }

    /// The proof that was made of a shape before.
    pub async fn again(&self, shape: Shape) -> Result<WholeProof> {
        let made = self.made(shape).await?;
        made.context("proofs are not made here")
    }
}
