//! The rotary embedding: frequencies from what a file says, angles of a position, the rotation.

use mythic_model::layout::{Pairs, Rope, Yarn};

use super::math;

/// The rotary embedding of some layers.
pub struct Rotary {
    /// Radians a position, one for each pair.
    frequencies: Vec<f64>,
    /// What is rotated is multiplied with it.
    magnitude: f64,
    pairs: Pairs,
}

impl Rotary {
    /// From what the file says; a pair's factor, if there are any, divides its frequency.
    pub fn new(rope: &Rope, factors: Option<&[f32]>) -> Self {
        let count = rope.rotated / 2;
        let mix = rope.yarn.map(|yarn| Mix::new(&yarn, rope));
        let frequencies = (0..count).map(|i| {
            let turn = math::power(rope.base, -2.0 * i as f64 / rope.rotated as f64);
            let factor = factors.map_or(1.0, |factors| f64::from(factors[i]));
            let fast = turn / factor;
            let slow = fast / rope.linear;
            match &mix {
                None => slow,
                Some(mix) => {
                    let share = mix.share_of_fast(i);
                    slow * (1.0 - share) + fast * share
                }
            }
        });
        let stretched = match rope.yarn {
            None => 1.0,
            Some(_) => 1.0 + 0.1 * math::ln64(rope.linear),
        };
        Self {
            frequencies: frequencies.collect(),
            magnitude: rope.magnitude * stretched,
            pairs: rope.pairs,
        }
    }

    /// Which values are pairs.
    pub fn kind(&self) -> Pairs {
        self.pairs
    }

    /// Pairs of a head that are rotated.
    pub fn pairs(&self) -> usize {
        self.frequencies.len()
    }

    /// Cosine and sine of each pair at `position`, times the magnitude.
    pub fn angles(&self, position: usize) -> impl Iterator<Item = (f32, f32)> + '_ {
        self.frequencies.iter().map(move |f| {
            let (sin, cos) = math::sin_cos(position as f64 * f);
            ((cos * self.magnitude) as f32, (sin * self.magnitude) as f32)
        })
    }

    /// Rotates the pairs of each head. Values beyond the rotated ones stay.
    pub fn rotate(&self, heads: &mut [f32], head_dim: usize, angles: &[(f32, f32)]) {
        for head in heads.chunks_exact_mut(head_dim) {
            match self.pairs {
                Pairs::Neighbours => {
                    for (pair, angle) in head.as_chunks_mut::<2>().0.iter_mut().zip(angles) {
                        *pair = turned(*pair, angle);
                    }
                }
                Pairs::Halves => {
                    let (first, rest) = head.split_at_mut(self.frequencies.len());
                    for ((a, b), angle) in first.iter_mut().zip(rest).zip(angles) {
                        [*a, *b] = turned([*a, *b], angle);
                    }
                }
            }
        }
    }
}

fn turned([a, b]: [f32; 2], (cos, sin): &(f32, f32)) -> [f32; 2] {
    [a * cos - b * sin, a * sin + b * cos]
}

/// Between which pairs YaRN goes over from fast to slow.
struct Mix {
    first: f64,
    last: f64,
}

impl Mix {
    fn new(yarn: &Yarn, rope: &Rope) -> Self {
        use std::f64::consts::TAU;
        let n = rope.rotated as f64;
        // The pair that turns so often over the original positions.
        let pair = |turns: f64| {
            n * math::ln64(yarn.original / (turns * TAU)) / (2.0 * math::ln64(rope.base))
        };
        Self {
            first: pair(yarn.fast).floor().max(0.0),
            last: pair(yarn.slow).ceil().min(n - 1.0),
        }
    }

    fn share_of_fast(&self, pair: usize) -> f64 {
        let width = (self.last - self.first).max(0.001);
        1.0 - ((pair as f64 - self.first) / width).clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rope(pairs: Pairs, rotated: usize, base: f64, linear: f64, yarn: Option<Yarn>) -> Rope {
        Rope {
            pairs,
            rotated,
            base,
            linear,
            yarn,
            magnitude: 1.0,
            factors: None,
            tensors: Vec::new(),
        }
    }

    #[test]
    fn pairs_are_neighbours_or_halves_and_what_is_beyond_them_stays() {
        for (pairs, places) in [
            (Pairs::Neighbours, [(0, 1), (2, 3), (4, 5), (6, 7)]),
            (Pairs::Halves, [(0, 4), (1, 5), (2, 6), (3, 7)]),
        ] {
            let rope = rope(pairs, 8, 10_000.0, 4.0, None);
            let rotary = Rotary::new(&rope, Some(&[1.0, 2.0, 1.0, 1.0]));
            let angles: Vec<(f32, f32)> = rotary.angles(7).collect();
            let before: Vec<f32> = (0..20).map(|i| i as f32 - 9.5).collect();
            let mut after = before.clone();
            rotary.rotate(&mut after, 10, &angles);
            for head in [0, 10] {
                for (i, (a, b)) in places.into_iter().enumerate() {
                    let factor = if i == 1 { 2.0 } else { 1.0 };
                    let angle = 7.0 / 4.0 / factor * 10_000f64.powf(-2.0 * i as f64 / 8.0);
                    let (x, y) = (f64::from(before[head + a]), f64::from(before[head + b]));
                    let want = [
                        x * angle.cos() - y * angle.sin(),
                        x * angle.sin() + y * angle.cos(),
                    ];
                    for (place, want) in [a, b].into_iter().zip(want) {
                        assert!((f64::from(after[head + place]) - want).abs() < 1e-5);
                    }
                }
                assert_eq!(after[head + 8..head + 10], before[head + 8..head + 10]);
            }
        }
    }

    #[test]
    fn yarn_leaves_fast_pairs_and_stretches_slow_ones() {
        let yarn = Yarn {
            original: 4_096.0,
            fast: 32.0,
            slow: 1.0,
        };
        let rope = rope(Pairs::Halves, 64, 150_000.0, 32.0, Some(yarn));
        let rotary = Rotary::new(&rope, None);
        let plain = |i: usize| 150_000f64.powf(-2.0 * i as f64 / 64.0);
        let ratio = |i: usize| plain(i) / rotary.frequencies[i];
        // 4,096 positions are 32 turns for pair 8.1 and one for pair 17.4.
        assert!((0..=8).all(|i| (ratio(i) - 1.0).abs() < 1e-9));
        assert!((18..32).all(|i| (ratio(i) - 32.0).abs() < 1e-9));
        assert!((8..18).all(|i| ratio(i) < ratio(i + 1)));
        assert!((rotary.magnitude - (1.0 + 0.1 * 32f64.ln())).abs() < 1e-12);
    }
}
