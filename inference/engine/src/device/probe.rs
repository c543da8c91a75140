//! The Compute Market's products on a GPU: integers, so there is one result.

use std::sync::Arc;

use mythic_interface::market::probe::{BLOCK, Factor, Factors};

use super::calls::{ProbeLines, ProbeProduct};
use super::choice::Choice;
use super::cuda::Cuda;
use super::driver::{Buffer, Driver};
use super::error::DeviceError;

/// Columns and rows of a block of the product's kernel.
const TILE: (usize, usize) = (256, 32);
/// Threads of a block.
const THREADS: usize = 256;

/// A GPU that computes products of matrices of int8.
pub struct Prober {
    driver: Arc<dyn Driver>,
}

impl Prober {
    /// The first GPU that is asked for, once it gave this processor's product; `None` where none is asked for, or none can with `auto`.
    pub fn open(device: &Choice) -> Result<Option<Self>, DeviceError> {
        let first = match device {
            Choice::Cpu => return Ok(None),
            Choice::Auto => 0,
            Choice::Cuda(list) => list.first().copied().unwrap_or(0),
        };
        let opened = Cuda::open(first).and_then(|driver| Self::new(Arc::new(driver)));
        match opened {
            Ok(prober) => Ok(Some(prober)),
            Err(error) if *device == Choice::Auto => {
                tracing::info!(%error, "proofs are computed on this processor");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// On a GPU that gives this processor's product.
    pub fn new(driver: Arc<dyn Driver>) -> Result<Self, DeviceError> {
        const SIDE: u32 = 3 * BLOCK as u32;
        let prober = Self { driver };
        let factors = Factors::new(&[0xA5; 32]);
        let here = (0..SIDE * SIDE).map(|at| factors.element(SIDE, at / SIDE, at % SIDE));
        if prober.product(SIDE, &factors)?.into_iter().eq(here) {
            return Ok(prober);
        }
        Err(DeviceError::Failed {
            name: prober.driver.name(),
            doing: "being compared",
            error: "its products are not this processor's".into(),
        })
    }

    /// The product of matrices of side `n`, a multiple of 16, by rows.
    pub fn product(&self, n: u32, factors: &Factors) -> Result<Vec<i32>, DeviceError> {
        let side = n as usize;
        let [rows, columns] =
            [Factor::A, Factor::B].map(|factor| self.lines(side, factors, factor));
        let (rows, columns) = (rows?, columns?);
        let out = Buffer::new(&self.driver, 4 * side * side)?;
        let argument = ProbeProduct {
            rows: rows.address(),
            columns: columns.address(),
            out: out.address(),
            n: n as i32,
            rest: 0,
        };
        let grid = [side.div_ceil(TILE.0), side.div_ceil(TILE.1), 1];
        self.run("probe_product", grid, &argument)?;
        let mut product = vec![0; side * side];
        out.get(&mut product)?;
        Ok(product)
    }

    fn lines(&self, side: usize, factors: &Factors, factor: Factor) -> Result<Buffer, DeviceError> {
        let lines = Buffer::new(&self.driver, side * side)?;
        let blocks = side * side / BLOCK;
        let [low, high, tweak] = factors.words();
        let argument = ProbeLines {
            out: lines.address(),
            len: blocks as i64,
            per_line: (side / BLOCK) as i32,
            factor: factor as u32,
            key: [low, high],
            tweak,
            rest: 0,
        };
        self.run("probe_lines", [blocks.div_ceil(THREADS), 1, 1], &argument)?;
        Ok(lines)
    }

    fn run<A: bytemuck::NoUninit>(
        &self,
        kernel: &str,
        grid: [usize; 3],
        argument: &A,
    ) -> Result<(), DeviceError> {
        let words: &[u64] = bytemuck::cast_slice(std::slice::from_ref(argument));
        let grid = grid.map(|n| n as u32);
        // SAFETY: both kernels get their own struct, with buffers of the sizes that follow from the side.
        unsafe { self.driver.launch(kernel, grid, THREADS as u32, words) }
    }
}
