//! Matrices with their biases, and the gated networks that are made of them.

use crate::kernels::{Kernels, Matrix, Rows};
use mythic_model::layout::Gate;

/// A matrix and, where the model has one, what is added to its outputs.
pub struct Linear {
    pub matrix: Matrix,
    pub bias: Option<Vec<f32>>,
}

impl Linear {
    /// Adds the bias to rows of outputs.
    pub fn add_bias(&self, kernels: &Kernels, rows: &mut [f32]) {
        if let Some(bias) = &self.bias {
            kernels.add_bias(rows, bias);
        }
    }
}

/// `down(gate(x) × up(x))`.
pub struct Gated {
    pub gate: Linear,
    pub up: Linear,
    pub down: Linear,
}

/// What a gated network works on.
#[derive(Default)]
pub struct Work {
    gate: Vec<f32>,
    up: Vec<f32>,
}

impl Gated {
    /// What it makes of the rows of `x`.
    pub fn run(
        &self,
        kernels: &Kernels,
        kind: Gate,
        x: &[f32],
        Work { gate, up }: &mut Work,
        out: &mut Vec<f32>,
    ) {
        let rows = Rows::new(x, self.gate.matrix.cols);
        kernels.matmul(
            [&self.gate.matrix, &self.up.matrix],
            &rows,
            [&mut *gate, &mut *up],
        );
        self.gate.add_bias(kernels, gate);
        self.up.add_bias(kernels, up);
        kernels.gate(kind, gate, up);
        let rows = Rows::new(gate, self.down.matrix.cols);
        kernels.matmul([&self.down.matrix], &rows, [&mut *out]);
        self.down.add_bias(kernels, out);
    }
}
