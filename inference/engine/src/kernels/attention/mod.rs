//! Attention over the pages of the key-value pool.
//!
//! A task is a few rows of one sequence that follow each other and one key-value head: all queries
//! that share the head read its keys and values together. Of a query's result every step has one
//! order, which depends on the query's position alone:
//! - the score of a position is a chain of fused multiply-adds over the head's dimensions (of the
//!   query times the scale, rounded, and the key);
//! - the maximum over all positions, then exponentials, summed in 16 lanes (lane = position mod
//!   16, ascending) and the lanes as `sum_lanes` does;
//! - each value is a chain of fused multiply-adds over the positions, ascending, times the
//!   reciprocal of that sum.
//!
//! Scores are computed for eight positions at once and values for eight dimensions, so no sum runs
//! across lanes. Plain Rust and AVX2 give the same bits.
//!
//! Where there are too few tasks to keep all threads busy evenly, as when one long sequence decodes,
//! each is divided: first the scores by pages, then the values by dimensions.

mod page;

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::ops::Range;

use super::{Kernels, Places};
use crate::kv::{Pool, Shape};
use crate::pages::{PAGE, PageId};
use page::{QUERIES, Scores, Values, softmax};

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

/// A tile and the key-value head that all its queries share.
#[derive(Clone, Copy)]
struct Task<'a> {
    tile: &'a Tile,
    kv_head: usize,
}

impl<'a> Task<'a> {
    /// The task with this number: all heads of a tile follow each other.
    fn of(tiles: &'a [Tile], kv_heads: usize, number: usize) -> Self {
        Self {
            tile: &tiles[number / kv_heads],
            kv_head: number % kv_heads,
        }
    }
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
                let task = Task::of(tiles, kv_heads, task);
                SCRATCH.with_borrow_mut(|scratch| {
                    scratch.scores.resize(self.scores_len(task.tile), 0.0);
                    let pages = 0..self.pages(task.tile).len();
                    self.score(task, pages, &mut scratch.queries, &mut scratch.scores);
                    self.weigh(task, 0..vectors, scratch, write);
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
            let (number, part) = (i / parts, i % parts);
            let task = Task::of(tiles, kv_heads, number);
            let pages = part_of(self.pages(task.tile).len(), part);
            let page = PAGE * task.tile.rows * self.group();
            let range = first(number) + pages.start * page..first(number) + pages.end * page;
            // SAFETY: `shared` has room for the scores of all tasks one after the other, of each
            // task page by page, and no two parts share a page.
            let scores = unsafe { places.slice(range) };
            SCRATCH.with_borrow_mut(|scratch| {
                self.score(task, pages, &mut scratch.queries, scores);
            });
        });
        let shared: &[f32] = shared;
        kernels.pool().run(tasks * parts, |i| {
            let (number, part) = (i / parts, i % parts);
            let task = Task::of(tiles, kv_heads, number);
            let scores = &shared[first(number)..first(number) + self.scores_len(task.tile)];
            SCRATCH.with_borrow_mut(|scratch| {
                scratch.scores.clear();
                scratch.scores.extend_from_slice(scores);
                self.weigh(task, part_of(vectors, part), scratch, write);
            });
        });
    }

    /// Scores of a task with the positions of some of its pages.
    fn score(
        &self,
        task: Task<'_>,
        range: Range<usize>,
        queries: &mut Vec<f32>,
        scores: &mut [f32],
    ) {
        let Task { tile, kv_head } = task;
        let dim = self.pool.shape().head_dim;
        let n = tile.rows * self.group();
        queries.resize(n * dim, 0.0);
        self.arrange(task, queries);
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

    /// From a task's scores its results in some vectors of dimensions: calls
    /// `out(tile, row of the tile, query head, first dimension, results)`.
    fn weigh(
        &self,
        task: Task<'_>,
        vectors: Range<usize>,
        scratch: &mut Scratch,
        out: impl Fn(&Tile, usize, usize, usize, &[f32]),
    ) {
        let Task { tile, kv_head } = task;
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
    fn arrange(&self, Task { tile, kv_head }: Task<'_>, out: &mut [f32]) {
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
