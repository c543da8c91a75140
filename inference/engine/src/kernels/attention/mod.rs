//! Attention over the pages of the key-value pool.
//!
//! A task is a few rows of one sequence that follow each other and one key-value head: all queries
//! that share the head read its keys and values together. A query reads the positions of its window
//! up to its own. Of its result every step has one order, which depends on its position alone:
//! - the score of a position is a chain of fused multiply-adds over the head's dimensions (of the
//!   query times the scale, rounded, and the key);
//! - the maximum over all scores, and the sink's if there is one; a position's weight is the
//!   exponential of its score less the maximum;
//! - positions go by segments of 256, counted from position 0: position p is in segment p / 256,
//!   whatever the query. A window and the query itself cut a segment's ends, and what is cut off is
//!   not added. A segment's weights are summed in 64 lanes (lane = position mod 64, ascending) and
//!   the lanes as `sum_lanes` does; each of its values is a chain of fused multiply-adds from +0
//!   over its positions, ascending;
//! - the segments' sums and values are added, ascending from the first that is read; the sink's
//!   exponential is added to the sum last. The result is the values times the reciprocal of the sum.
//!
//! Scores are computed for several positions at once and values for several dimensions, so no sum
//! runs across lanes but that of the weights. All instruction sets give the same bits.
//!
//! Where there are too few tasks to keep all threads busy evenly, as when one long sequence decodes,
//! threads share the segments of each.

mod divided;
mod page;
mod weights;

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::num::NonZeroUsize;
use std::ops::Range;

use super::instructions::Vectors;
use super::math::exp;
use super::{Kernels, Places};
use crate::kv::{Pool, Shape};
use crate::pages::{PAGE, PageId};
use page::{Scores, Values};
use weights::{Weights, larger};

/// Positions of a segment.
pub const SEGMENT: usize = 256;
/// Pages of a segment.
const PAGES: usize = SEGMENT / PAGE;

/// Most rows of a task.
const ROWS: usize = 8;
/// Scores that a task of several rows keeps: they stay in a core's own cache.
const SCORES: usize = 96 * 1024;
/// Queries from which on keys and values are read too often for too little, so that a task has as
/// many though its scores leave the cache.
const QUERIES: usize = 16;
/// Tasks for each thread below which segments are shared.
const FEW: usize = 4;

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
        (SCORES / (group * (position + ROWS)))
            .max(QUERIES / group)
            .clamp(1, ROWS)
    }
}

/// f32 numbers that a thread needs at most for a context, where `group` query heads share a
/// key-value head: its own, and its part of what threads share.
pub fn scratch(context: usize, group: usize) -> usize {
    let scores = SCORES.max(QUERIES.max(group) * (context + SEGMENT));
    (1 + 2 * FEW) * scores + ROWS * group * 1_024
}

/// What all tasks of a layer share.
pub struct Attention<'a> {
    pub pool: &'a Pool,
    pub layer: usize,
    /// Query heads.
    pub heads: usize,
    pub scale: f32,
    /// Positions that a query reads, its own included; without it all up to its own.
    pub window: Option<NonZeroUsize>,
    /// For each query head a score without a value, which takes its share of the weights.
    pub sinks: Option<&'a [f32]>,
    /// Pages of all sequences of the pass.
    pub pages: &'a [PageId],
    /// rows × heads × head_dim.
    pub queries: &'a [f32],
    pub vectors: Vectors,
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

/// What a segment gives a task, or several together.
struct Part<'a> {
    /// Of each query the sum of its weights.
    sums: &'a mut [f32],
    /// queries × value width.
    values: &'a mut [f32],
}

/// A thread's working memory.
#[derive(Default)]
struct Scratch {
    /// Scaled queries: tiles of up to [`Vectors::queries`], in a tile dimension by dimension.
    queries: Vec<f32>,
    /// pages × queries × positions of a page, first scores and then weights.
    scores: Vec<f32>,
    /// Each query's largest score.
    largest: Vec<f32>,
    /// Of one segment: largest scores, and then sums.
    sums: Vec<f32>,
    values: Vec<f32>,
    total_sums: Vec<f32>,
    total_values: Vec<f32>,
}

/// The first `len` places, made if there are fewer.
fn room(memory: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if memory.len() < len {
        memory.resize(len, 0.0);
    }
    &mut memory[..len]
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Attention<'_> {
    /// Query heads that share a key-value head.
    fn group(&self) -> usize {
        self.heads / self.pool.shape().kv_heads
    }

    /// Queries of a task.
    fn count(&self, tile: &Tile) -> usize {
        tile.rows * self.group()
    }

    /// Positions that a row of a tile reads.
    fn reads(&self, tile: &Tile, row: usize) -> Range<usize> {
        let end = tile.position + row + 1;
        let window = self.window.map_or(end, NonZeroUsize::get);
        end.saturating_sub(window)..end
    }

    /// Those of them that are in a segment.
    fn reads_of(&self, tile: &Tile, row: usize, segment: usize) -> Range<usize> {
        let reads = self.reads(tile, row);
        let start = reads.start.max(segment * SEGMENT);
        start..reads.end.min((segment + 1) * SEGMENT).max(start)
    }

    /// Positions that a tile reads.
    fn all_reads(&self, tile: &Tile) -> Range<usize> {
        self.reads(tile, 0).start..self.reads(tile, tile.rows - 1).end
    }

    /// Segments that a tile reads.
    fn segments(&self, tile: &Tile) -> Range<usize> {
        let reads = self.all_reads(tile);
        reads.start / SEGMENT..reads.end.div_ceil(SEGMENT)
    }

    /// Of the sequence's pages those in a segment that a tile reads.
    fn pages_of(&self, tile: &Tile, segment: usize) -> Range<usize> {
        let reads = self.all_reads(tile);
        let first = (reads.start / PAGE).max(segment * PAGES);
        first..reads.end.div_ceil(PAGE).min((segment + 1) * PAGES)
    }

    /// The query head of a task's query.
    fn head(&self, task: Task<'_>, query: usize) -> usize {
        task.kv_head * self.group() + query % self.group()
    }

    fn sink(&self, task: Task<'_>, query: usize) -> Option<f32> {
        self.sinks.map(|sinks| sinks[self.head(task, query)])
    }

    /// Each query's largest score before any was computed.
    fn start(&self, task: Task<'_>, largest: &mut [f32]) {
        for (query, largest) in largest.iter_mut().enumerate() {
            *largest = self.sink(task, query).unwrap_or(f32::NEG_INFINITY);
        }
    }

    /// All tiles; `out` has rows × heads × head_dim places, `shared` is scratch.
    pub fn run(&self, kernels: &Kernels, tiles: &[Tile], shared: &mut Vec<f32>, out: &mut [f32]) {
        let Shape {
            kv_heads, head_dim, ..
        } = self.pool.shape();
        let last = |t: &Tile| (t.row + t.rows) * self.heads * head_dim;
        assert!(out.len() == self.queries.len() && tiles.iter().all(|t| last(t) <= out.len()));
        assert!(self.sinks.is_none_or(|sinks| sinks.len() == self.heads));
        let out = Places(out.as_mut_ptr());
        let write = |task: Task<'_>, query: usize, values: &[f32]| {
            let row = task.tile.row + query / self.group();
            let at = (row * self.heads + self.head(task, query)) * head_dim;
            // SAFETY: the row is there, and no two tasks share a row and a head.
            unsafe { out.write(at, values) };
        };
        let tasks = tiles.len() * kv_heads;
        let threads = kernels.threads();
        let deep = tiles.iter().any(|t| self.segments(t).len() > 1);
        if threads > 1 && tasks < FEW * threads && deep {
            return self.divided(kernels, tiles, shared, write);
        }
        kernels.pool().run(tasks, |task| {
            let task = Task::of(tiles, kv_heads, task);
            SCRATCH.with_borrow_mut(|scratch| self.whole(task, scratch, write));
        });
    }

    /// A task on one thread.
    fn whole(&self, task: Task<'_>, scratch: &mut Scratch, out: impl Fn(Task<'_>, usize, &[f32])) {
        let tile = task.tile;
        let (n, width) = (self.count(tile), self.pool.shape().value_width());
        let segments = self.segments(tile);
        let scores_of = |segment: usize| self.pages_of(tile, segment).len() * n * PAGE;
        self.arrange(task, &mut scratch.queries);
        let all = room(&mut scratch.scores, segments.clone().map(scores_of).sum());
        let largest = room(&mut scratch.largest, n);
        let sums = room(&mut scratch.sums, n);
        self.start(task, largest);
        let mut rest = &mut *all;
        for segment in segments.clone() {
            let (scores, after) = std::mem::take(&mut rest).split_at_mut(scores_of(segment));
            rest = after;
            self.score(task, segment, &scratch.queries, scores, sums);
            for (largest, found) in largest.iter_mut().zip(&*sums) {
                *largest = larger(*largest, *found);
            }
        }
        let mut total = Part {
            sums: room(&mut scratch.total_sums, n),
            values: room(&mut scratch.total_values, n * width),
        };
        if segments.len() == 1 {
            self.weigh(task, segments.start, largest, all, &mut total);
        } else {
            let mut part = Part {
                sums,
                values: room(&mut scratch.values, n * width),
            };
            let mut rest = all;
            for segment in segments {
                let (scores, after) = std::mem::take(&mut rest).split_at_mut(scores_of(segment));
                rest = after;
                self.weigh(task, segment, largest, scores, &mut part);
                self.join(tile, segment, (part.sums, part.values), &mut total);
            }
        }
        self.finish(task, largest, total, out);
    }

    /// Scores of a task with the positions of a segment, and each query's largest.
    fn score(
        &self,
        task: Task<'_>,
        segment: usize,
        queries: &[f32],
        scores: &mut [f32],
        largest: &mut [f32],
    ) {
        let Task { tile, kv_head } = task;
        let dim = self.pool.shape().head_dim;
        let n = self.count(tile);
        let pages = self.pages_of(tile, segment);
        let ids = &self.pages[tile.pages.clone()][..self.all_reads(tile).end.div_ceil(PAGE)];
        let most = self.vectors.queries();
        for (number, scores) in pages.clone().zip(scores.chunks_exact_mut(n * PAGE)) {
            let (keys, _) = self.pool.block(self.layer, kv_head, ids[number]);
            let next = ids.get(number + 1).unwrap_or(&ids[number]);
            let (next, _) = self.pool.block(self.layer, kv_head, *next);
            let tiles = queries.chunks(most * dim);
            for (queries, out) in tiles.zip(scores.chunks_mut(most * PAGE)) {
                let task = Scores {
                    keys,
                    next,
                    queries,
                    dim,
                };
                task.run(self.vectors, out);
            }
        }
        let (blocks, _) = scores.as_chunks::<PAGE>();
        for (query, largest) in largest.iter_mut().enumerate() {
            let weights = self.weights(tile, segment, query);
            *largest = weights.largest(self.vectors, blocks);
        }
    }

    /// Where a query's scores are among those of a segment.
    fn weights(&self, tile: &Tile, segment: usize, query: usize) -> Weights {
        Weights {
            n: self.count(tile),
            query,
            first_page: self.pages_of(tile, segment).start,
            positions: self.reads_of(tile, query / self.group(), segment),
        }
    }

    /// The scores of a segment become weights; gives their sums and the weighted values.
    fn weigh(
        &self,
        Task { tile, kv_head }: Task<'_>,
        segment: usize,
        largest: &[f32],
        scores: &mut [f32],
        part: &mut Part<'_>,
    ) {
        let width = self.pool.shape().value_width();
        let (n, group) = (self.count(tile), self.group());
        let (blocks, _) = scores.as_chunks_mut::<PAGE>();
        for (query, (sum, largest)) in part.sums.iter_mut().zip(largest).enumerate() {
            let weights = self.weights(tile, segment, query);
            *sum = weights.weigh(self.vectors, blocks, *largest);
        }
        part.values.fill(0.0);
        let ids = &self.pages[tile.pages.clone()][..self.all_reads(tile).end.div_ceil(PAGE)];
        let first_page = self.pages_of(tile, segment).start;
        let most = self.vectors.queries();
        let mut add = |queries: Range<usize>, positions: Range<usize>| {
            if positions.is_empty() {
                return;
            }
            for number in positions.start / PAGE..positions.end.div_ceil(PAGE) {
                let (_, page) = self.pool.block(self.layer, kv_head, ids[number]);
                let next = ids.get(number + 1).unwrap_or(&ids[number]);
                let (_, next) = self.pool.block(self.layer, kv_head, *next);
                let base = number * PAGE;
                for first in queries.clone().step_by(most) {
                    let last = queries.end.min(first + most);
                    let at = (number - first_page) * n;
                    let task = Values {
                        page,
                        next,
                        positions: positions.start.max(base) - base
                            ..positions.end.min(base + PAGE) - base,
                        weights: &scores[(at + first) * PAGE..(at + last) * PAGE],
                        width,
                    };
                    task.run(self.vectors, &mut part.values[first * width..last * width]);
                }
            }
        };
        // What all rows read goes together; what only some do, before and after that, row by row.
        let reads = |row: usize| self.reads_of(tile, row, segment);
        let (first, last) = (reads(0), reads(tile.rows - 1));
        let queries = |row: usize| row * group..(row + 1) * group;
        if last.start >= first.end {
            for row in 0..tile.rows {
                add(queries(row), reads(row));
            }
            return;
        }
        for row in 0..tile.rows {
            add(queries(row), reads(row).start..last.start);
        }
        add(0..n, last.start..first.end);
        for row in 0..tile.rows {
            add(queries(row), first.end..reads(row).end);
        }
    }

    /// Adds what a segment gave to what those before it gave.
    fn join(
        &self,
        tile: &Tile,
        segment: usize,
        (sums, values): (&[f32], &[f32]),
        total: &mut Part<'_>,
    ) {
        let width = self.pool.shape().value_width();
        let queries = values.chunks_exact(width).zip(sums);
        let totals = total.values.chunks_exact_mut(width).zip(&mut *total.sums);
        for (query, ((values, sum), (totals, total))) in queries.zip(totals).enumerate() {
            let reads = self.reads(tile, query / self.group());
            if reads.start / SEGMENT == segment {
                totals.copy_from_slice(values);
                *total = *sum;
            } else if reads.start < segment * SEGMENT && segment * SEGMENT < reads.end {
                for (total, value) in totals.iter_mut().zip(values) {
                    *total += value;
                }
                *total += sum;
            }
        }
    }

    /// Gives each query's result to `out`, with the query's number.
    fn finish(
        &self,
        task: Task<'_>,
        largest: &[f32],
        total: Part<'_>,
        out: impl Fn(Task<'_>, usize, &[f32]),
    ) {
        let Shape { head_dim, .. } = self.pool.shape();
        let width = self.pool.shape().value_width();
        let queries = total.values.chunks_exact_mut(width).zip(total.sums);
        for (query, (values, sum)) in queries.enumerate() {
            if let Some(sink) = self.sink(task, query) {
                *sum += exp(sink - largest[query]);
            }
            let inverse = 1.0 / *sum;
            let values = &mut values[..head_dim];
            for v in values.iter_mut() {
                *v *= inverse;
            }
            out(task, query, values);
        }
    }

    /// The scaled queries of a task, as [`Scratch::queries`] wants them.
    fn arrange(&self, task: Task<'_>, out: &mut Vec<f32>) {
        let dim = self.pool.shape().head_dim;
        let most = self.vectors.queries();
        out.resize(self.count(task.tile) * dim, 0.0);
        for (tile_index, out) in out.chunks_mut(most * dim).enumerate() {
            let count = out.len() / dim;
            for i in 0..count {
                let query = tile_index * most + i;
                let row = task.tile.row + query / self.group();
                let head = self.head(task, query);
                let q = &self.queries[(row * self.heads + head) * dim..][..dim];
                for (d, q) in q.iter().enumerate() {
                    out[d * count + i] = q * self.scale;
                }
            }
        }
    }
}
