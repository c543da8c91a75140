//! Attention over the pages of the key-value pool.
//!
//! A task is a few rows of one sequence that follow each other and one key-value head: all queries
//! that share the head read its keys and values together. Of a query's result every step has one
//! order, which depends on the query's position alone:
//! - the score of a position is a chain of fused multiply-adds over the head's dimensions (of the
//!   query times the scale, rounded, and the key);
//! - the maximum over all positions, then exponentials, summed in 16 lanes (lane = position mod
//!   16, ascending) and the lanes as [`sum_lanes`] does;
//! - each value is a chain of fused multiply-adds over the positions, ascending, times the
//!   reciprocal of that sum.
//!
//! Scores are computed for eight positions at once and values for eight dimensions, so no sum runs
//! across lanes. Plain Rust and AVX2 give the same bits.

// Lanes and tiles are indexed side by side.
#![allow(clippy::needless_range_loop)]

use std::cell::RefCell;

use half::f16;

use super::{Kernels, Places};
use super::math::{LANES, exp, sum_lanes};
use crate::engine::kv::{GROUP, Pool, Shape};
use crate::engine::pages::{PAGE, PageId};

/// Queries that share the loads of a kernel; a tile's last may be fewer.
const QUERIES: usize = 6;
/// Most rows of a task.
const ROWS: usize = 8;
/// Scores that a task keeps, if it has more than one row: they stay in a core's own cache.
const SCORES: usize = 96 * 1024;

/// Rows of one sequence at positions that follow each other.
#[derive(Clone, Debug)]
pub struct Tile {
    /// Index of the first row in the pass.
    pub row: usize,
    pub rows: usize,
    /// Position of the first row.
    pub position: usize,
    /// Where the sequence's pages are in the pass's list of pages.
    pub pages: std::ops::Range<usize>,
}

impl Tile {
    /// Most rows of a tile whose first row is at `position`, where `group` query heads share a
    /// key-value head. It decides how fast the result is there, and not what it is.
    pub fn most_rows(position: usize, group: usize) -> usize {
        (SCORES / (group * (position + ROWS))).clamp(1, ROWS)
    }
}

/// f32 numbers that a thread needs at most for a context, where `group` query heads share a
/// key-value head.
pub fn scratch(context: usize, group: usize) -> usize {
    SCORES.max(group * (context + PAGE)) + ROWS * group * 1_024
}

/// What all tasks of a layer share.
pub struct Attention<'a> {
    pub pool: &'a Pool,
    pub layer: usize,
    /// Query heads.
    pub heads: usize,
    pub scale: f32,
    /// Pages of all sequences of the pass.
    pub pages: &'a [PageId],
    /// rows × heads × head_dim.
    pub queries: &'a [f32],
    /// Whether AVX2, FMA and F16C are there and may be used.
    pub wide: bool,
}

/// A thread's working memory.
#[derive(Default)]
struct Scratch {
    /// Scaled queries: tiles of up to [`QUERIES`], in a tile dimension by dimension.
    queries: Vec<f32>,
    /// queries × positions, first scores and then weights.
    scores: Vec<f32>,
    /// Reciprocals of each query's sum of weights.
    inverse: Vec<f32>,
    /// queries × value width.
    values: Vec<f32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Attention<'_> {
    /// Query heads that share a key-value head.
    fn group(&self) -> usize {
        self.heads / self.pool.shape().kv_heads
    }

    /// All tiles; `out` has rows × heads × head_dim places.
    pub fn run(&self, kernels: &Kernels, tiles: &[Tile], out: &mut [f32]) {
        let Shape {
            kv_heads, head_dim, ..
        } = self.pool.shape();
        assert_eq!(out.len(), self.queries.len());
        assert!(tiles.iter().all(|t| (t.row + t.rows) * self.heads * head_dim <= out.len()));
        let out = Places(out.as_mut_ptr());
        kernels.pool().run(tiles.len() * kv_heads, |task| {
            let tile = &tiles[task / kv_heads];
            self.task(tile, task % kv_heads, |row, head, values| {
                let at = ((tile.row + row) * self.heads + head) * head_dim;
                // SAFETY: the row is there, and no two tasks share a row and a head.
                unsafe { out.write(at, values) };
            });
        });
    }

    /// One tile and key-value head: calls `out(row of the tile, query head, its result)`.
    fn task(&self, tile: &Tile, kv_head: usize, mut out: impl FnMut(usize, usize, &[f32])) {
        let dim = self.pool.shape().head_dim;
        let width = self.pool.shape().value_width();
        let group = self.group();
        let n = tile.rows * group;
        let pages = &self.pages[tile.pages.clone()];
        let depth = tile.position + tile.rows;
        let pages = &pages[..depth.div_ceil(PAGE)];
        let stride = pages.len() * PAGE;
        SCRATCH.with_borrow_mut(|scratch| {
            let Scratch {
                queries,
                scores,
                inverse,
                values,
            } = scratch;
            queries.resize(n * dim, 0.0);
            scores.resize(n * stride, 0.0);
            values.clear();
            values.resize(n * width, 0.0);
            self.arrange(tile, kv_head, queries);
            for (i, page) in pages.iter().enumerate() {
                let (keys, _) = self.pool.block(self.layer, kv_head, *page);
                let next = pages.get(i + 1).unwrap_or(page);
                let (next, _) = self.pool.block(self.layer, kv_head, *next);
                for first in (0..n).step_by(QUERIES) {
                    let count = QUERIES.min(n - first);
                    let task = Scores {
                        keys,
                        next,
                        queries: &queries[first * dim..(first + count) * dim],
                        dim,
                        stride,
                    };
                    let out = &mut scores[first * stride + i * PAGE..];
                    task.run(self.wide, count, out);
                }
            }
            let positions = |query: usize| tile.position + query / group + 1;
            inverse.clear();
            for (query, scores) in scores.chunks_exact_mut(stride).enumerate() {
                inverse.push(softmax(self.wide, &mut scores[..positions(query)]));
            }
            // Up to the first row's position all queries go together, then each row alone.
            let common = positions(0);
            let mut weigh = |queries: std::ops::Range<usize>, from: usize, to: usize| {
                for i in from / PAGE..to.div_ceil(PAGE) {
                    let (_, page) = self.pool.block(self.layer, kv_head, pages[i]);
                    let next = pages.get(i + 1).unwrap_or(&pages[i]);
                    let (_, next) = self.pool.block(self.layer, kv_head, *next);
                    let base = i * PAGE;
                    for first in queries.clone().step_by(QUERIES) {
                        let count = QUERIES.min(queries.end - first);
                        let task = Values {
                            page,
                            next,
                            from: from.max(base) - base,
                            to: to.min(base + PAGE) - base,
                            weights: &scores[first * stride + base..],
                            stride,
                            width,
                        };
                        let out = &mut values[first * width..(first + count) * width];
                        task.run(self.wide, count, out);
                    }
                }
            };
            weigh(0..n, 0, common);
            for row in 1..tile.rows {
                weigh(row * group..(row + 1) * group, common, common + row);
            }
            for (query, values) in values.chunks_exact_mut(width).enumerate() {
                for v in values.iter_mut() {
                    *v *= inverse[query];
                }
                let head = kv_head * group + query % group;
                out(query / group, head, &values[..dim]);
            }
        });
    }

    /// The scaled queries of a task, as [`Scratch::queries`] wants them.
    fn arrange(&self, tile: &Tile, kv_head: usize, out: &mut [f32]) {
        let dim = self.pool.shape().head_dim;
        let group = self.group();
        for (tile_index, out) in out.chunks_mut(QUERIES * dim).enumerate() {
            let count = out.len() / dim;
            for i in 0..count {
                let query = tile_index * QUERIES + i;
                let row = tile.row + query / group;
                let head = kv_head * group + query % group;
                let q = &self.queries[(row * self.heads + head) * dim..][..dim];
                for (d, q) in q.iter().enumerate() {
                    out[d * count + i] = q * self.scale;
                }
            }
        }
    }
}

fn number(bits: u16) -> f32 {
    f16::from_bits(bits).to_f32()
}

/// Scores of up to [`QUERIES`] queries with the positions of a page.
struct Scores<'a> {
    keys: &'a [u16],
    /// What is read next.
    next: &'a [u16],
    /// dim × queries.
    queries: &'a [f32],
    dim: usize,
    /// From one query's scores to the next one's.
    stride: usize,
}

impl Scores<'_> {
    fn run(&self, wide: bool, count: usize, out: &mut [f32]) {
        assert!(self.keys.len() == PAGE * self.dim && self.next.len() == self.keys.len());
        assert!(self.queries.len() == count * self.dim);
        assert!(out.len() >= (count - 1) * self.stride + PAGE);
        #[cfg(target_arch = "x86_64")]
        if wide {
            // SAFETY: `wide` says that the features are there; the lengths were just checked.
            unsafe {
                match count {
                    1 => self.avx2::<1, 4>(out),
                    2 => self.avx2::<2, 4>(out),
                    3 => self.avx2::<3, 4>(out),
                    4 => self.avx2::<4, 2>(out),
                    5 => self.avx2::<5, 2>(out),
                    QUERIES => self.avx2::<6, 2>(out),
                    _ => unreachable!("no tile has more queries"),
                }
            }
            return;
        }
        let _ = wide;
        for query in 0..count {
            for position in 0..PAGE {
                let group = &self.keys[position / GROUP * GROUP * self.dim..];
                let mut sum = 0f32;
                for d in 0..self.dim {
                    let key = number(group[d * GROUP + position % GROUP]);
                    sum = self.queries[d * count + query].mul_add(key, sum);
                }
                out[query * self.stride + position] = sum;
            }
        }
    }

    /// `Q` queries, `G` groups of positions at once.
    ///
    /// # Safety
    /// The features are there; lengths are as [`Self::run`] checks them, with `Q` queries.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn avx2<const Q: usize, const G: usize>(&self, out: &mut [f32]) {
        use std::arch::x86_64::*;
        let dim = self.dim;
        let (keys, queries) = (self.keys.as_ptr(), self.queries.as_ptr());
        for first in (0..PAGE / GROUP).step_by(G) {
            let mut acc = [[_mm256_setzero_ps(); G]; Q];
            for d in 0..dim {
                // SAFETY: first + g < PAGE / GROUP and d < dim, so these are 8 keys of the page,
                // q < Q of the queries; a prefetch may name any address.
                unsafe {
                    if first == 0 {
                        // A cache line for each dimension is the whole page.
                        _mm_prefetch::<_MM_HINT_T0>(self.next.as_ptr().add(d * PAGE).cast());
                    }
                    let mut k = [_mm256_setzero_ps(); G];
                    for g in 0..G {
                        let at = keys.add(((first + g) * dim + d) * GROUP);
                        k[g] = _mm256_cvtph_ps(_mm_loadu_si128(at.cast()));
                    }
                    for q in 0..Q {
                        let x = _mm256_broadcast_ss(&*queries.add(d * Q + q));
                        for g in 0..G {
                            acc[q][g] = _mm256_fmadd_ps(x, k[g], acc[q][g]);
                        }
                    }
                }
            }
            for q in 0..Q {
                for g in 0..G {
                    let at = q * self.stride + (first + g) * GROUP;
                    // SAFETY: `out` has PAGE places from q × stride on.
                    unsafe { _mm256_storeu_ps(out.as_mut_ptr().add(at), acc[q][g]) };
                }
            }
        }
    }
}

/// Adds weighted values of positions `from..to` of a page, for up to [`QUERIES`] queries.
struct Values<'a> {
    page: &'a [u16],
    /// What is read next.
    next: &'a [u16],
    from: usize,
    to: usize,
    /// Of the page's positions; the next query's are `stride` further on.
    weights: &'a [f32],
    stride: usize,
    width: usize,
}

impl Values<'_> {
    fn run(&self, wide: bool, count: usize, out: &mut [f32]) {
        assert!(self.to <= PAGE && self.page.len() == PAGE * self.width);
        assert!(self.next.len() == self.page.len());
        assert!(self.weights.len() >= (count - 1) * self.stride + PAGE);
        assert!(out.len() == count * self.width && self.width.is_multiple_of(8));
        #[cfg(target_arch = "x86_64")]
        if wide {
            // SAFETY: `wide` says that the features are there; the lengths were just checked.
            unsafe {
                match count {
                    1 => self.all_avx2::<1, 4>(out),
                    2 => self.all_avx2::<2, 4>(out),
                    3 => self.all_avx2::<3, 4>(out),
                    4 => self.all_avx2::<4, 2>(out),
                    5 => self.all_avx2::<5, 2>(out),
                    QUERIES => self.all_avx2::<6, 2>(out),
                    _ => unreachable!("no tile has more queries"),
                }
            }
            return;
        }
        let _ = wide;
        for (query, out) in out.chunks_exact_mut(self.width).enumerate() {
            for position in self.from..self.to {
                let weight = self.weights[query * self.stride + position];
                let values = &self.page[position * self.width..][..self.width];
                for (o, v) in out.iter_mut().zip(values) {
                    *o = weight.mul_add(number(*v), *o);
                }
            }
        }
    }

    /// `Q` queries, `D` vectors of dimensions at once, what is left over one by one.
    ///
    /// # Safety
    /// The features are there; lengths are as [`Self::run`] checks them, with `Q` queries.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn all_avx2<const Q: usize, const D: usize>(&self, out: &mut [f32]) {
        let vectors = self.width / 8;
        let mut at = 0;
        while at + D <= vectors {
            // SAFETY: the caller vouches for it, and these vectors are within the width.
            unsafe { self.avx2::<Q, D>(at * 8, out) };
            at += D;
        }
        while at < vectors {
            // SAFETY: as above.
            unsafe { self.avx2::<Q, 1>(at * 8, out) };
            at += 1;
        }
    }

    /// # Safety
    /// As [`Self::all_avx2`], and `first + 8 × D <= self.width`.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn avx2<const Q: usize, const D: usize>(&self, first: usize, out: &mut [f32]) {
        use std::arch::x86_64::*;
        let (width, stride) = (self.width, self.stride);
        let (page, next) = (self.page.as_ptr(), self.next.as_ptr());
        let (weights, out) = (self.weights.as_ptr(), out.as_mut_ptr());
        let mut acc = [[_mm256_setzero_ps(); D]; Q];
        for q in 0..Q {
            for i in 0..D {
                // SAFETY: `out` has Q × width places.
                acc[q][i] = unsafe { _mm256_loadu_ps(out.add(q * width + first + i * 8)) };
            }
        }
        for t in self.from..self.to {
            // SAFETY: t < PAGE, and `page` has PAGE × width numbers, each query PAGE weights; a
            // prefetch may name any address.
            unsafe {
                _mm_prefetch::<_MM_HINT_T0>(next.add(t * width + first).cast());
                let mut v = [_mm256_setzero_ps(); D];
                for i in 0..D {
                    let at = page.add(t * width + first + i * 8);
                    v[i] = _mm256_cvtph_ps(_mm_loadu_si128(at.cast()));
                }
                for q in 0..Q {
                    let weight = _mm256_broadcast_ss(&*weights.add(q * stride + t));
                    for i in 0..D {
                        acc[q][i] = _mm256_fmadd_ps(weight, v[i], acc[q][i]);
                    }
                }
            }
        }
        for q in 0..Q {
            for i in 0..D {
                // SAFETY: as for the loads.
                unsafe { _mm256_storeu_ps(out.add(q * width + first + i * 8), acc[q][i]) };
            }
        }
    }
}

/// Scores become weights; gives the reciprocal of their sum.
fn softmax(wide: bool, scores: &mut [f32]) -> f32 {
    #[cfg(target_arch = "x86_64")]
    if wide {
        /// The same code, compiled for wider registers.
        #[target_feature(enable = "avx2,fma")]
        fn avx2(scores: &mut [f32]) -> f32 {
            softmax_body(scores)
        }
        // SAFETY: `wide` says that AVX2 and FMA are there.
        return unsafe { avx2(scores) };
    }
    let _ = wide;
    softmax_body(scores)
}

#[inline(always)]
fn softmax_body(scores: &mut [f32]) -> f32 {
    let (whole, rest) = scores.as_chunks_mut::<LANES>();
    let larger = |m: f32, s: f32| if s > m { s } else { m };
    let mut largest = [f32::NEG_INFINITY; LANES];
    for part in whole.iter() {
        for l in 0..LANES {
            largest[l] = larger(largest[l], part[l]);
        }
    }
    let all = largest.iter().chain(rest.iter()).copied();
    let max = all.fold(f32::NEG_INFINITY, larger);
    let mut lanes = [0f32; LANES];
    for part in whole {
        for l in 0..LANES {
            part[l] = exp(part[l] - max);
            lanes[l] += part[l];
        }
    }
    for (s, lane) in rest.iter_mut().zip(&mut lanes) {
        *s = exp(*s - max);
        *lane += *s;
    }
    1.0 / sum_lanes(lanes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Lab;
    use crate::engine::kernels::InstructionSet;

    fn noise(i: usize) -> f32 {
        ((i * 7_919 + 13) % 2_000) as f32 / 500.0 - 2.0
    }

    /// Keys and values of a sequence whose pages are out of order, and garbage in the others.
    fn pool(shape: Shape, pages: &[PageId], depth: usize) -> Pool {
        let mut pool = Pool::new(shape, 16, Lab::default()).unwrap();
        let n = shape.kv_heads * shape.head_dim;
        for page in 0..16 {
            for place in 0..PAGE {
                let (mut k, mut v) = (vec![f32::NAN; n], vec![f32::NAN; n]);
                pool.write(0, PageId(page), place, &mut k, &mut v);
            }
        }
        for position in 0..depth {
            let mut k: Vec<f32> = (0..n).map(|i| noise(position * n + i)).collect();
            let mut v: Vec<f32> = (0..n).map(|i| noise(position * n + i + 77)).collect();
            let page = pages[position / PAGE];
            pool.write(0, page, position % PAGE, &mut k, &mut v);
        }
        pool
    }

    /// Rows from `first` on, in tiles of up to `most` rows.
    fn attend(
        pool: &Pool,
        heads: usize,
        pages: &[PageId],
        (first, rows, most): (usize, usize, usize),
        instructions: InstructionSet,
    ) -> Vec<f32> {
        let kernels = Kernels::new(2, instructions).unwrap();
        let dim = pool.shape().head_dim;
        let width = heads * dim;
        let queries: Vec<f32> = (first * width..(first + rows) * width)
            .map(|i| noise(i * 3))
            .collect();
        let attention = Attention {
            pool,
            layer: 0,
            heads,
            scale: 0.3,
            pages,
            queries: &queries,
            wide: kernels.wide(),
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
        attention.run(&kernels, &tiles, &mut out);
        out
    }

    #[test]
    fn a_row_has_the_same_bits_in_any_tile_on_any_instruction_set_and_is_a_weighted_mean() {
        for (heads, kv_heads, head_dim, depth) in [
            (9, 3, 64, 150),
            (4, 4, 20, 70),
            (8, 1, 128, 40),
            (5, 1, 8, 33),
        ] {
            let shape = Shape {
                layers: 1,
                kv_heads,
                head_dim,
            };
            let pages = [3, 1, 7, 0, 9].map(PageId);
            let pool = pool(shape, &pages, depth);
            let width = heads * head_dim;
            let plain = InstructionSet::Portable;
            let want = attend(&pool, heads, &pages, (0, depth, 1), plain);
            for set in InstructionSet::available() {
                for most in [1, 2, 5, 8] {
                    let got = attend(&pool, heads, &pages, (0, depth, most), set);
                    assert!(
                        got.iter()
                            .zip(&want)
                            .all(|(a, b)| a.to_bits() == b.to_bits())
                    );
                }
                let tail = attend(&pool, heads, &pages, (depth - 3, 3, 3), set);
                assert_eq!(tail, want[(depth - 3) * width..]);
            }
            // Against f64, for the last row.
            for head in 0..heads {
                let (kv, n) = (head * kv_heads / heads, kv_heads * head_dim);
                let q =
                    |d: usize| f64::from(noise(((depth - 1) * width + head * head_dim + d) * 3));
                let at = |position: usize, d: usize, add: usize| {
                    let x = noise(position * n + kv * head_dim + d + add);
                    f64::from(f16::from_f32(x).to_f32())
                };
                let weight: Vec<f64> = (0..depth)
                    .map(|t| {
                        let dot: f64 = (0..head_dim).map(|d| q(d) * at(t, d, 0)).sum();
                        (dot * 0.3).exp()
                    })
                    .collect();
                let total: f64 = weight.iter().sum();
                for d in 0..head_dim {
                    let mean: f64 = (0..depth).map(|t| weight[t] / total * at(t, d, 77)).sum();
                    let got = f64::from(want[(depth - 1) * width + head * head_dim + d]);
                    assert!((got - mean).abs() < 1e-4, "{got}, not {mean}");
                }
            }
        }
    }
}
