//! The settler's part about the Compute Market: what a look shows (`windows`), what is due of it (`due`, pure), what is sent (`crank`),
//! how the chain is read (`chain`), when all of this happens (`look`).

pub(crate) mod chain;
mod crank;
mod due;
pub(crate) mod look;
mod windows;

pub use crank::MarketCrank;
pub use windows::{LeaseDisputeWindow, LeaseWindow, MarketWindows, ProviderWindow, RequestWindow};
