//! A mixture of experts: which experts a row goes to, and what it gets back from them.
//!
//! A row's result depends on that row alone: its experts are those of its largest logits, the lower id
//! first where two are equal; their weights are the softmax over the chosen, and their results are added
//! in that order. So rows may be gathered by expert in any batch.

use super::gated::{Gated, Linear, Work};
use crate::kernels::{Kernels, Rows, gates, math};
use mythic_model::layout::Gate;

/// The experts of a layer.
pub struct Mixture {
    pub router: Linear,
    /// Experts that a row goes to.
    pub used: usize,
    pub experts: Vec<Gated>,
}

/// A row that goes to an expert.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choice {
    pub(crate) expert: u32,
    pub(crate) row: usize,
    /// Among the experts of its row.
    pub(crate) place: usize,
}

/// What a pass through a mixture works on.
#[derive(Default)]
pub struct Routing {
    logits: Vec<f32>,
    order: Vec<u32>,
    choices: Vec<Choice>,
    /// rows × used.
    weights: Vec<f32>,
    gathered: Vec<f32>,
    given: Vec<f32>,
    /// rows × used × embedding.
    results: Vec<f32>,
}

impl Mixture {
    /// Where rows go by the router's logits: by experts, of one by rows; and the weights of each row's, in its order.
    pub(crate) fn route(
        &self,
        logits: &[f32],
        order: &mut Vec<u32>,
        choices: &mut Vec<Choice>,
        weights: &mut Vec<f32>,
    ) {
        choices.clear();
        weights.clear();
        for (row, logits) in logits.chunks_exact(self.experts.len()).enumerate() {
            choose(logits, self.used, order, weights);
            choices.extend(order.iter().enumerate().map(|(place, expert)| Choice {
                expert: *expert,
                row,
                place,
            }));
        }
        choices.sort_unstable_by_key(|choice| (choice.expert, choice.row));
    }

    /// What the experts make of the rows of `x`.
    pub fn run(
        &self,
        kernels: &Kernels,
        gate: Gate,
        x: &[f32],
        (work, routing): (&mut Work, &mut Routing),
        out: &mut Vec<f32>,
    ) {
        let (width, used) = (self.router.matrix.cols, self.used);
        let Routing {
            logits,
            order,
            choices,
            weights,
            gathered,
            given,
            results,
        } = routing;
        kernels.matmul([&self.router.matrix], &Rows::new(x, width), [&mut *logits]);
        self.router.add_bias(kernels, logits);
        self.route(logits, order, choices, weights);
        results.resize(choices.len() * width, 0.0);
        for rows in choices.chunk_by(|a, b| a.expert == b.expert) {
            gathered.clear();
            for choice in rows {
                gathered.extend_from_slice(&x[choice.row * width..][..width]);
            }
            let expert = &self.experts[rows[0].expert as usize];
            expert.run(kernels, gate, gathered, work, given);
            for (choice, values) in rows.iter().zip(given.chunks_exact(width)) {
                let place = choice.row * used + choice.place;
                results[place * width..][..width].copy_from_slice(values);
            }
        }
        out.clear();
        out.resize(x.len(), 0.0);
        let of_rows = results
            .chunks_exact(used * width)
            .zip(weights.chunks_exact(used));
        for (out, (results, weights)) in out.chunks_exact_mut(width).zip(of_rows) {
            for (values, weight) in results.chunks_exact(width).zip(weights) {
                gates::add_weighted(kernels.wide(), out, *weight, values);
            }
        }
    }
}

/// The experts of a row in `order`, and their weights behind `weights`.
fn choose(logits: &[f32], used: usize, order: &mut Vec<u32>, weights: &mut Vec<f32>) {
    let logit = |expert: &u32| logits[*expert as usize];
    order.clear();
    order.extend(0..logits.len() as u32);
    order.sort_unstable_by(|a, b| logit(b).total_cmp(&logit(a)).then(a.cmp(b)));
    order.truncate(used);
    let first = weights.len();
    let largest = order.first().map_or(0.0, logit);
    weights.extend(order.iter().map(|e| math::exp(logit(e) - largest)));
    let sum = weights[first..].iter().fold(0.0, |sum: f32, w| sum + w);
    for weight in &mut weights[first..] {
        *weight /= sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_logits_are_chosen_and_of_equal_ones_the_lower_id() {
        let (mut order, mut weights) = (Vec::new(), vec![9.0]);
        let logits = [1.0, 3.0, -2.0, 3.0, 2.0];
        choose(&logits, 3, &mut order, &mut weights);
        assert_eq!(order, [1, 3, 4]);
        assert_eq!(weights.len(), 4);
        assert!((weights[1..].iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert_eq!(weights[1], weights[2]);
        assert!((weights[3] / weights[1] - (-1f32).exp()).abs() < 1e-6);
    }

    #[test]
    fn broken_numbers_stay_broken_and_choose_somebody() {
        let (mut order, mut weights) = (Vec::new(), Vec::new());
        choose(&[f32::NAN; 4], 2, &mut order, &mut weights);
        assert_eq!(order, [0, 1]);
        assert!(weights.iter().all(|w| w.is_nan()));
    }
}
