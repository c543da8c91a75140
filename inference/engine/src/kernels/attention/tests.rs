use super::*;
use half::f16;

use crate::Lab;
use crate::kernels::InstructionSet;
use crate::kernels::math::LANES;
#[cfg(target_arch = "x86_64")]
use crate::kernels::x86;
use crate::kv::At;

fn noise(i: usize) -> f32 {
    ((i * 7_919 + 13) % 2_000) as f32 / 500.0 - 2.0
}

/// A layer of attention and a sequence of so many positions that goes through it.
#[derive(Clone, Copy)]
struct Case {
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    depth: usize,
    window: Option<usize>,
    sinks: bool,
}

impl Case {
    fn shape(&self) -> Shape {
        Shape {
            layers: 1,
            kv_heads: self.kv_heads,
            head_dim: self.head_dim,
        }
    }

    fn width(&self) -> usize {
        self.heads * self.head_dim
    }

    /// The sequence's pages, out of order.
    fn pages(&self) -> Vec<PageId> {
        let count = self.depth.div_ceil(PAGE) as u32;
        // 7 and the number of all pages have no common divisor.
        (0..count)
            .map(|i| PageId((3 + 7 * i) % self.all_pages()))
            .collect()
    }

    fn all_pages(&self) -> u32 {
        let count = self.depth.div_ceil(PAGE) as u32 + 2;
        count + u32::from(count.is_multiple_of(7))
    }

    fn sinks(&self) -> Option<Vec<f32>> {
        self.sinks
            .then(|| (0..self.heads).map(|head| noise(head + 5) * 2.0).collect())
    }

    fn query(&self, position: usize, head: usize, d: usize) -> f32 {
        noise((position * self.width() + head * self.head_dim + d) * 3)
    }

    fn key(&self, position: usize, kv_head: usize, d: usize) -> f32 {
        let n = self.kv_heads * self.head_dim;
        noise(position * n + kv_head * self.head_dim + d)
    }

    fn value(&self, position: usize, kv_head: usize, d: usize) -> f32 {
        let n = self.kv_heads * self.head_dim;
        noise(position * n + kv_head * self.head_dim + d + 77)
    }

    /// Keys and values of the sequence, and no numbers wherever there are none.
    fn pool(&self) -> Pool {
        let mut pool = Pool::new(self.shape(), self.all_pages(), Lab::default()).unwrap();
        let n = self.kv_heads * self.head_dim;
        let at = |page: PageId, place: usize| At {
            layer: 0,
            page,
            place,
        };
        for page in 0..self.all_pages() {
            for place in 0..PAGE {
                let (mut k, mut v) = (vec![f32::NAN; n], vec![f32::NAN; n]);
                pool.write(at(PageId(page), place), &mut k, &mut v);
            }
        }
        let pages = self.pages();
        for position in 0..self.depth {
            let each = (0..n).map(|i| (i / self.head_dim, i % self.head_dim));
            let mut k: Vec<f32> = each
                .clone()
                .map(|(head, d)| self.key(position, head, d))
                .collect();
            let mut v: Vec<f32> = each
                .map(|(head, d)| self.value(position, head, d))
                .collect();
            pool.write(at(pages[position / PAGE], position % PAGE), &mut k, &mut v);
        }
        pool
    }

    /// Rows from `first` on, in tiles of up to `most` rows.
    fn attend(
        &self,
        pool: &Pool,
        (first, rows, most): (usize, usize, usize),
        (threads, vectors): (usize, Vectors),
    ) -> Vec<f32> {
        let kernels = Kernels::new(threads, InstructionSet::Auto).unwrap();
        let pages = self.pages();
        let mut queries = Vec::new();
        for position in first..first + rows {
            for head in 0..self.heads {
                queries.extend((0..self.head_dim).map(|d| self.query(position, head, d)));
            }
        }
        let sinks = self.sinks();
        let attention = Attention {
            pool,
            layer: 0,
            heads: self.heads,
            scale: 0.3,
            window: self.window.and_then(NonZeroUsize::new),
            sinks: sinks.as_deref(),
            pages: &pages,
            queries: &queries,
            vectors,
        };
        let tiles: Vec<Tile> = (0..rows)
            .step_by(most)
            .map(|row| Tile {
                row,
                rows: most.min(rows - row),
                position: first + row,
                pages: 0..pages.len(),
            })
            .collect();
        let mut out = vec![0.0; queries.len()];
        attention.run(&kernels, &tiles, &mut Vec::new(), &mut out);
        out
    }

    fn reads(&self, position: usize) -> Range<usize> {
        let window = self.window.unwrap_or(usize::MAX);
        (position + 1).saturating_sub(window)..position + 1
    }

    /// One query's result by the definition, step by step.
    fn defined(&self, position: usize, head: usize) -> Vec<f32> {
        let kv = head * self.kv_heads / self.heads;
        let stored = |x: f32| f16::from_f32(x).to_f32();
        let sink = self.sinks().map(|sinks| sinks[head]);
        let reads = self.reads(position);
        let mut max = sink.unwrap_or(f32::NEG_INFINITY);
        let mut scores = Vec::new();
        for t in reads.clone() {
            let mut score = 0f32;
            for d in 0..self.head_dim {
                let q = self.query(position, head, d) * 0.3;
                score = q.mul_add(stored(self.key(t, kv, d)), score);
            }
            max = max.max(score);
            scores.push(score);
        }
        let (mut sum, mut values) = (0f32, vec![0f32; self.head_dim]);
        let first = reads.start / SEGMENT;
        for segment in first..reads.end.div_ceil(SEGMENT) {
            let mut lanes = [0f32; LANES];
            let mut chains = vec![0f32; self.head_dim];
            for t in segment * SEGMENT..(segment + 1) * SEGMENT {
                if !reads.contains(&t) {
                    continue;
                }
                let weight = exp(scores[t - reads.start] - max);
                lanes[t % LANES] += weight;
                for (d, chain) in chains.iter_mut().enumerate() {
                    *chain = weight.mul_add(stored(self.value(t, kv, d)), *chain);
                }
            }
            let mut width = LANES;
            while width > 1 {
                width /= 2;
                let (low, high) = lanes.split_at_mut(width);
                low.iter_mut().zip(high).for_each(|(a, b)| *a += *b);
            }
            if segment == first {
                (sum, values) = (lanes[0], chains);
            } else {
                sum += lanes[0];
                values.iter_mut().zip(&chains).for_each(|(v, c)| *v += c);
            }
        }
        if let Some(sink) = sink {
            sum += exp(sink - max);
        }
        let inverse = 1.0 / sum;
        values.iter().map(|v| v * inverse).collect()
    }

    /// The same in f64, in any order.
    fn mean(&self, position: usize, head: usize) -> Vec<f64> {
        let kv = head * self.kv_heads / self.heads;
        let stored = |x: f32| f64::from(f16::from_f32(x).to_f32());
        let reads = self.reads(position);
        let weights: Vec<f64> = reads
            .clone()
            .map(|t| {
                let products = (0..self.head_dim)
                    .map(|d| f64::from(self.query(position, head, d)) * stored(self.key(t, kv, d)));
                (products.sum::<f64>() * 0.3).exp()
            })
            .collect();
        let sink = self
            .sinks()
            .map_or(0.0, |sinks| f64::from(sinks[head]).exp());
        let total = weights.iter().sum::<f64>() + sink;
        (0..self.head_dim)
            .map(|d| {
                let all = weights.iter().zip(reads.clone());
                all.map(|(w, t)| w / total * stored(self.value(t, kv, d)))
                    .sum()
            })
            .collect()
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// Heads, key-value heads, dimensions, positions, window, sinks.
fn cases() -> Vec<Case> {
    [
        (9, 3, 64, 150, None, false),
        (4, 4, 20, 70, None, true),
        (8, 1, 128, 40, None, false),
        (5, 1, 8, 33, None, false),
        (2, 1, 24, 600, None, true),
        (3, 1, 16, 530, Some(257), false),
        (4, 2, 16, 300, Some(1), true),
        (4, 2, 40, 300, Some(5), false),
        (2, 2, 16, 300, Some(64), false),
    ]
    .map(|(heads, kv_heads, head_dim, depth, window, sinks)| Case {
        heads,
        kv_heads,
        head_dim,
        depth,
        window,
        sinks,
    })
    .to_vec()
}

/// The widest vectors of this processor.
fn widest() -> Vectors {
    InstructionSet::Auto.isa().unwrap().vectors()
}

/// Every kind that can be tried here.
fn all_vectors() -> Vec<Vectors> {
    let sets = InstructionSet::available().into_iter();
    let mut all: Vec<Vectors> = sets.map(|set| set.isa().unwrap().vectors()).collect();
    all.dedup();
    #[cfg(target_arch = "x86_64")]
    if x86::has_avx2() {
        all.push(Vectors::Emulated);
    }
    all
}

#[test]
fn a_row_has_the_bits_of_the_definition_in_any_tile_on_any_instruction_set_and_threads() {
    for case in cases() {
        let pool = case.pool();
        let want: Vec<f32> = (0..case.depth)
            .flat_map(|position| (0..case.heads).map(move |head| (position, head)))
            .flat_map(|(position, head)| case.defined(position, head))
            .collect();
        for vectors in all_vectors() {
            for most in [1, 2, 5, 8] {
                let got = case.attend(&pool, (0, case.depth, most), (2, vectors));
                assert_eq!(bits(&got), bits(&want), "{vectors:?}, {most} rows");
            }
            // Few tasks, whose segments are shared where there are several.
            for threads in [1, 2, 3, 16] {
                for rows in [1, 3] {
                    let tail = (case.depth - rows, rows, 2);
                    let tail = case.attend(&pool, tail, (threads, vectors));
                    let want = &want[(case.depth - rows) * case.width()..];
                    assert_eq!(bits(&tail), bits(want), "{vectors:?}, {threads} threads");
                }
            }
        }
    }
}

#[test]
fn a_result_is_the_mean_of_the_values_by_the_softmax() {
    for case in cases() {
        let position = case.depth - 1;
        let got = case.attend(&case.pool(), (position, 1, 1), (1, widest()));
        for (head, got) in got.chunks(case.head_dim).enumerate() {
            for (got, want) in got.iter().zip(case.mean(position, head)) {
                let got = f64::from(*got);
                assert!((got - want).abs() < 1e-4, "{got}, not {want}");
            }
        }
    }
}

#[test]
fn what_lies_before_a_window_is_not_read() {
    let windowed = Case {
        heads: 2,
        kv_heads: 1,
        head_dim: 16,
        depth: 400,
        window: Some(100),
        sinks: false,
    };
    let mut pool = windowed.pool();
    let row = (windowed.depth - 1, 1, 1);
    let want = windowed.attend(&pool, row, (1, widest()));
    // What is no number would be seen.
    for position in 0..300 {
        let at = At {
            layer: 0,
            page: windowed.pages()[position / PAGE],
            place: position % PAGE,
        };
        pool.write(at, &mut [f32::NAN; 16], &mut [f32::NAN; 16]);
    }
    for threads in [1, 2] {
        let got = windowed.attend(&pool, row, (threads, widest()));
        assert_eq!(bits(&got), bits(&want));
        assert!(got.iter().all(|x| x.is_finite()));
    }
}
