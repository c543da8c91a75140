//! What computes a pass: this processor, or GPUs. Both give the same bits, so which one it was shows in nothing but the time.
//!
//! - [`Device`]: the seam; [`Choice`]: what a config asks for; [`open()`]: what it gets
//! - `cpu`: this processor
//! - [`gpu`]: GPUs, on what a [`driver`] gives; `calls`: what kernels take
//! - [`cuda`]: the driver of NVIDIA's
//! - `check`: a GPU is used once it gave this processor's bits
//! - [`probe`]: the Compute Market's products

mod calls;
mod check;
mod choice;
mod cpu;
pub mod cuda;
pub mod driver;
mod error;
pub mod gpu;
mod open;
pub mod probe;
mod seam;
#[cfg(test)]
mod tests;

pub use choice::Choice;
pub use error::DeviceError;
pub use open::open;
pub use seam::{Device, NoDevice, Sizes, Take};
