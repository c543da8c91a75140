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
//!
//! Where there are too few tasks to keep all threads busy evenly, as when one long sequence decodes,
//! each is divided: first the scores by pages, then the values by dimensions.

// Lanes and tiles are indexed side by side.
#![allow(clippy::needless_range_loop)]

use std::cell::RefCell;
use std::ops::Range;

use half::f16;

use super::math::{LANES, exp, sum_lanes};
use super::{Kernels, Places};
use crate::kv::{GROUP, Pool, Shape};
use crate::pages::{PAGE, PageId};

/// Queries that share the loads of a kernel; a tile's last may be fewer.
const QUERIES: usize = 6;
/// Most rows of a task.
const ROWS: usize = 8;
/// Scores that a task keeps, if it has more than one row: they stay in a core's own cache.
const SCORES: usize = 96 * 1024;

/// Position from which on it pays to divide tasks where they are few.
const DEEP: usize = 128;

/// Rows of one sequence at positions that follow each other.
#[derive(Clone, Debug)]
pub struct Tile {
    /// Index of the first row in the pass.
    pub row: usize,
    pub rows: usize,
    /// Position of the first row.
    pub position: usize,
    /// Where the sequence's pages are in the pass's list of pages.
    pub pages: Range<usize>,
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
    /// pages × queries × positions of a page, first scores and then weights.
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

    /// The pages that a tile reads.
    fn pages(&self, tile: &Tile) -> &[PageId] {
        let depth = tile.position + tile.rows;
        &self.pages[tile.pages.clone()][..depth.div_ceil(PAGE)]
    }

    /// Scores of a tile with one key-value head.
    fn scores_len(&self, tile: &Tile) -> usize {
        self.pages(tile).len() * PAGE * tile.rows * self.group()
    }

    /// All tiles; `out` has rows × heads × head_dim places, `shared` is scratch.
    pub fn run(&self, kernels: &Kernels, tiles: &[Tile], shared: &mut Vec<f32>, out: &mut [f32]) {
        let Shape {
            kv_heads, head_dim, ..
        } = self.pool.shape();
        let vectors = self.pool.shape().value_width() / 8;
        let last = |t: &Tile| (t.row + t.rows) * self.heads * head_dim;
        assert!(out.len() == self.queries.len() && tiles.iter().all(|t| last(t) <= out.len()));
        let out = Places(out.as_mut_ptr());
        let write = |tile: &Tile, row: usize, head: usize, first: usize, values: &[f32]| {
            let at = ((tile.row + row) * self.heads + head) * head_dim + first;
            // SAFETY: the row is there, and no two tasks share a row, a head and a dimension.
            unsafe { out.write(at, values) };
        };
        let threads = kernels.threads();
        let tasks = tiles.len() * kv_heads;
        let deep = tiles.iter().any(|t| t.position >= DEEP);
        if threads == 1 || tasks >= 4 * threads || !deep {
            kernels.pool().run(tasks, |task| {
                let (tile, head) = (&tiles[task / kv_heads], task % kv_heads);
                SCRATCH.with_borrow_mut(|scratch| {
                    scratch.scores.resize(self.scores_len(tile), 0.0);
                    let pages = 0..self.pages(tile).len();
                    self.score(tile, head, pages, &mut scratch.queries, &mut scratch.scores);
                    self.weigh(tile, head, 0..vectors, scratch, write);
                });
            });
            return;
        }
        let parts = threads.min(vectors);
        let part_of = |len: usize, part: usize| len * part / parts..len * (part + 1) / parts;
        let first = |task: usize| -> usize {
            let before = tiles[..task / kv_heads].iter();
            let before: usize = before.map(|t| self.scores_len(t) * kv_heads).sum();
            before + task % kv_heads * self.scores_len(&tiles[task / kv_heads])
        };
        shared.resize(
            tiles.iter().map(|t| self.scores_len(t) * kv_heads).sum(),
            0.0,
        );
        let places = Places(shared.as_mut_ptr());
        kernels.pool().run(tasks * parts, |i| {
            let (task, part) = (i / parts, i % parts);
            let (tile, head) = (&tiles[task / kv_heads], task % kv_heads);
            let pages = part_of(self.pages(tile).len(), part);
            let page = PAGE * tile.rows * self.group();
            let range = first(task) + pages.start * page..first(task) + pages.end * page;
            // SAFETY: `shared` has room for the scores of all tasks one after the other, of each
            // task page by page, and no two parts share a page.
            let scores = unsafe { places.slice(range) };
            SCRATCH.with_borrow_mut(|scratch| {
                self.score(tile, head, pages, &mut scratch.queries, scores);
            });
        });
        let shared: &[f32] = shared;
        kernels.pool().run(tasks * parts, |i| {
            let (task, part) = (i / parts, i % parts);
            let (tile, head) = (&tiles[task / kv_heads], task % kv_heads);
            let scores = &shared[first(task)..first(task) + self.scores_len(tile)];
            SCRATCH.with_borrow_mut(|scratch| {
                scratch.scores.clear();
                scratch.scores.extend_from_slice(scores);
                self.weigh(tile, head, part_of(vectors, part), scratch, write);
            });
        });
    }

    /// Scores of a tile and key-value head with the positions of some of its pages.
    fn score(
        &self,
        tile: &Tile,
        kv_head: usize,
        range: Range<usize>,
        queries: &mut Vec<f32>,
        scores: &mut [f32],
    ) {
        let dim = self.pool.shape().head_dim;
        let n = tile.rows * self.group();
        queries.resize(n * dim, 0.0);
        self.arrange(tile, kv_head, queries);
        let pages = &self.pages(tile)[range];
        for ((i, page), scores) in (1..).zip(pages).zip(scores.chunks_exact_mut(n * PAGE)) {
            let (keys, _) = self.pool.block(self.layer, kv_head, *page);
            let next = pages.get(i).unwrap_or(page);
            let (next, _) = self.pool.block(self.layer, kv_head, *next);
            let tiles = queries.chunks(QUERIES * dim);
            for (queries, out) in tiles.zip(scores.chunks_mut(QUERIES * PAGE)) {
                let task = Scores {
                    keys,
                    next,
                    queries,
                    dim,
                };
                task.run(self.wide, out);
            }
        }
    }

    /// From a tile's scores with a key-value head its results in some vectors of dimensions: calls
    /// `out(tile, row of the tile, query head, first dimension, results)`.
    fn weigh(
        &self,
        tile: &Tile,
        kv_head: usize,
        vectors: Range<usize>,
        scratch: &mut Scratch,
        out: impl Fn(&Tile, usize, usize, usize, &[f32]),
    ) {
        let Scratch {
            scores,
            inverse,
            values,
            ..
        } = scratch;
        let (dim, width) = (self.pool.shape().head_dim, self.pool.shape().value_width());
        let group = self.group();
        let n = tile.rows * group;
        let pages = self.pages(tile);
        let positions = |query: usize| tile.position + query / group + 1;
        inverse.clear();
        for query in 0..n {
            inverse.push(softmax(self.wide, scores, n, query, positions(query)));
        }
        values.clear();
        values.resize(n * width, 0.0);
        let mut add = |queries: Range<usize>, from: usize, to: usize| {
            for i in from / PAGE..to.div_ceil(PAGE) {
                let (_, page) = self.pool.block(self.layer, kv_head, pages[i]);
                let next = pages.get(i + 1).unwrap_or(&pages[i]);
                let (_, next) = self.pool.block(self.layer, kv_head, *next);
                let base = i * PAGE;
                for first in queries.clone().step_by(QUERIES) {
                    let last = queries.end.min(first + QUERIES);
                    let task = Values {
                        page,
                        next,
                        positions: from.max(base) - base..to.min(base + PAGE) - base,
                        vectors: vectors.clone(),
                        weights: &scores[(i * n + first) * PAGE..(i * n + last) * PAGE],
                        width,
                    };
                    task.run(self.wide, &mut values[first * width..last * width]);
                }
            }
        };
        // Up to the first row's position all queries go together, then each row alone.
        let common = positions(0);
        add(0..n, 0, common);
        for row in 1..tile.rows {
            add(row * group..(row + 1) * group, common, common + row);
        }
        let range = vectors.start * 8..dim.min(vectors.end * 8);
        for (query, values) in values.chunks_exact_mut(width).enumerate() {
            let values = &mut values[range.clone()];
            for v in values.iter_mut() {
                *v *= inverse[query];
            }
            let head = kv_head * group + query % group;
            out(tile, query / group, head, range.start, values);
        }
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
}

impl Scores<'_> {
    /// `out` is queries × positions.
    fn run(&self, wide: bool, out: &mut [f32]) {
        let count = self.queries.len() / self.dim;
        assert!(self.keys.len() == PAGE * self.dim && self.next.len() == self.keys.len());
        assert!(self.queries.len() == count * self.dim && out.len() == count * PAGE);
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
        for (query, out) in out.chunks_exact_mut(PAGE).enumerate() {
            for (position, out) in out.iter_mut().enumerate() {
                let group = &self.keys[position / GROUP * GROUP * self.dim..];
                let mut sum = 0f32;
                for d in 0..self.dim {
                    let key = number(group[d * GROUP + position % GROUP]);
                    sum = self.queries[d * count + query].mul_add(key, sum);
                }
                *out = sum;
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
                    let at = q * PAGE + (first + g) * GROUP;
                    // SAFETY: `out` has Q × PAGE places.
                    unsafe { _mm256_storeu_ps(out.as_mut_ptr().add(at), acc[q][g]) };
                }
            }
        }
    }
}

/// Adds weighted values of some positions of a page, for up to [`QUERIES`] queries.
struct Values<'a> {
    page: &'a [u16],
    /// What is read next.
    next: &'a [u16],
    positions: Range<usize>,
    /// Of eight dimensions.
    vectors: Range<usize>,
    /// queries × positions of the page.
    weights: &'a [f32],
    width: usize,
}

impl Values<'_> {
    /// `out` is queries × width.
    fn run(&self, wide: bool, out: &mut [f32]) {
        let count = self.weights.len() / PAGE;
        assert!(self.positions.end <= PAGE && self.page.len() == PAGE * self.width);
        assert!(self.vectors.end * 8 <= self.width && self.next.len() == self.page.len());
        assert!(self.weights.len() == count * PAGE && out.len() == count * self.width);
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
        let dims = self.vectors.start * 8..self.vectors.end * 8;
        for (query, out) in out.chunks_exact_mut(self.width).enumerate() {
            for position in self.positions.clone() {
                let weight = self.weights[query * PAGE + position];
                let values = &self.page[position * self.width..][dims.clone()];
                for (o, v) in out[dims.clone()].iter_mut().zip(values) {
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
        let mut at = self.vectors.start;
        while at + D <= self.vectors.end {
            // SAFETY: the caller vouches for it, and these vectors are within the width.
            unsafe { self.avx2::<Q, D>(at * 8, out) };
            at += D;
        }
        while at < self.vectors.end {
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
        let width = self.width;
        let (page, next) = (self.page.as_ptr(), self.next.as_ptr());
        let (weights, out) = (self.weights.as_ptr(), out.as_mut_ptr());
        let mut acc = [[_mm256_setzero_ps(); D]; Q];
        for q in 0..Q {
            for i in 0..D {
                // SAFETY: `out` has Q × width places.
                acc[q][i] = unsafe { _mm256_loadu_ps(out.add(q * width + first + i * 8)) };
            }
        }
        for t in self.positions.clone() {
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
                    let weight = _mm256_broadcast_ss(&*weights.add(q * PAGE + t));
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

/// The scores of one of `n` queries with its first `positions` become weights; gives the
/// reciprocal of their sum.
fn softmax(wide: bool, scores: &mut [f32], n: usize, query: usize, positions: usize) -> f32 {
    #[cfg(target_arch = "x86_64")]
    if wide {
        /// The same code, compiled for wider registers.
        #[target_feature(enable = "avx2,fma")]
        fn avx2(scores: &mut [f32], n: usize, query: usize, positions: usize) -> f32 {
            softmax_body(scores, n, query, positions)
        }
        // SAFETY: `wide` says that AVX2 and FMA are there.
        return unsafe { avx2(scores, n, query, positions) };
    }
    let _ = wide;
    softmax_body(scores, n, query, positions)
}

#[inline(always)]
fn softmax_body(scores: &mut [f32], n: usize, query: usize, positions: usize) -> f32 {
    // Each page's scores, the last page's as far as there are any. A page is whole lanes, so a
    // position has the lane that it would have in one piece.
    let range = |page: usize| {
        let at = (page * n + query) * PAGE;
        at..at + PAGE.min(positions - page * PAGE)
    };
    let pages = positions.div_ceil(PAGE);
    let larger = |m: f32, s: f32| if s > m { s } else { m };
    let mut largest = [f32::NEG_INFINITY; LANES];
    for page in 0..pages {
        let (whole, rest) = scores[range(page)].as_chunks::<LANES>();
        for part in whole {
            for l in 0..LANES {
                largest[l] = larger(largest[l], part[l]);
            }
        }
        for (largest, s) in largest.iter_mut().zip(rest) {
            *largest = larger(*largest, *s);
        }
    }
    let max = largest.into_iter().fold(f32::NEG_INFINITY, larger);
    let mut lanes = [0f32; LANES];
    for page in 0..pages {
        let (whole, rest) = scores[range(page)].as_chunks_mut::<LANES>();
        for part in whole {
            for l in 0..LANES {
                part[l] = exp(part[l] - max);
                lanes[l] += part[l];
            }
        }
        for (lane, s) in lanes.iter_mut().zip(rest) {
            *s = exp(*s - max);
            *lane += *s;
        }
    }
    1.0 / sum_lanes(lanes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Lab;
    use crate::kernels::InstructionSet;

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
        (threads, instructions): (usize, InstructionSet),
    ) -> Vec<f32> {
        let kernels = Kernels::new(threads, instructions).unwrap();
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
        attention.run(&kernels, &tiles, &mut Vec::new(), &mut out);
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
            let plain = (1, InstructionSet::Portable);
            let want = attend(&pool, heads, &pages, (0, depth, 1), plain);
            for set in InstructionSet::available() {
                for most in [1, 2, 5, 8] {
                    let got = attend(&pool, heads, &pages, (0, depth, most), (2, set));
                    assert!(
                        got.iter()
                            .zip(&want)
                            .all(|(a, b)| a.to_bits() == b.to_bits())
                    );
                }
                // Few tasks, which are divided where they are deep.
                for threads in [1, 2, 3] {
                    let tail = (depth - 3, 3, 2);
                    let tail = attend(&pool, heads, &pages, tail, (threads, set));
                    assert_eq!(tail, want[(depth - 3) * width..]);
                }
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
