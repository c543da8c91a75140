//! Few tasks that go deep, as when one long sequence decodes: threads share the segments of each.

use super::weights::larger;
use super::{Attention, Part, SCRATCH, SEGMENT, Task, Tile, room};
use crate::kernels::{Kernels, Places};
use crate::kv::Shape;

/// A segment of a task.
struct Unit<'a> {
    task: Task<'a>,
    segment: usize,
    /// Queries of all units before it.
    first: usize,
}

impl Attention<'_> {
    /// The segment of a task with this number: a tile's heads follow each other, and a head's segments.
    fn unit<'a>(&self, tiles: &'a [Tile], number: usize) -> Unit<'a> {
        let kv_heads = self.pool.shape().kv_heads;
        let (mut before, mut first) = (0, 0);
        for tile in tiles {
            let segments = self.segments(tile);
            let units = kv_heads * segments.len();
            let index = number - before;
            if index < units {
                let task = Task {
                    tile,
                    kv_head: index / segments.len(),
                };
                return Unit {
                    task,
                    segment: segments.start + index % segments.len(),
                    first: first + index * self.count(tile),
                };
            }
            before += units;
            first += units * self.count(tile);
        }
        unreachable!("no tile has segment {number}")
    }

    /// All tiles, where threads share the segments of tasks: first their scores, then what each
    /// gives, then the sums of that.
    pub(super) fn divided(
        &self,
        kernels: &Kernels,
        tiles: &[Tile],
        shared: &mut Vec<f32>,
        out: impl Fn(Task<'_>, usize, &[f32]) + Sync,
    ) {
        let Shape { kv_heads, .. } = self.pool.shape();
        let width = self.pool.shape().value_width();
        let units_of = |tile: &Tile| kv_heads * self.segments(tile).len();
        let units: usize = tiles.iter().map(units_of).sum();
        // Queries of all units: each has places of its own.
        let n: usize = tiles.iter().map(|t| units_of(t) * self.count(t)).sum();
        let memory = room(shared, n * (2 + width + SEGMENT));
        let (largest, memory) = memory.split_at_mut(n);
        let (sums, memory) = memory.split_at_mut(n);
        let (values, scores) = memory.split_at_mut(n * width);
        let largest_places = Places(largest.as_mut_ptr());
        let sums_places = Places(sums.as_mut_ptr());
        let values_places = Places(values.as_mut_ptr());
        let scores_places = Places(scores.as_mut_ptr());
        // SAFETY: there are n × `each` places, and no two units share any.
        let of = |unit: &Unit<'_>, places: Places<f32>, each: usize| unsafe {
            let last = unit.first + self.count(unit.task.tile);
            places.slice(unit.first * each..last * each)
        };
        kernels.pool().run(units, |number| {
            let unit = self.unit(tiles, number);
            let largest = of(&unit, largest_places, 1);
            let scores = of(&unit, scores_places, SEGMENT);
            SCRATCH.with_borrow_mut(|scratch| {
                self.arrange(unit.task, &mut scratch.queries);
                self.score(unit.task, unit.segment, &scratch.queries, scores, largest);
            });
        });
        let found: &[f32] = largest;
        kernels.pool().run(units, |number| {
            let unit = self.unit(tiles, number);
            let scores = of(&unit, scores_places, SEGMENT);
            let mut part = Part {
                sums: of(&unit, sums_places, 1),
                values: of(&unit, values_places, width),
            };
            SCRATCH.with_borrow_mut(|scratch| {
                let largest = room(&mut scratch.largest, part.sums.len());
                self.largest_of_all(&unit, found, largest);
                self.weigh(unit.task, unit.segment, largest, scores, &mut part);
            });
        });
        let (sums, values): (&[f32], &[f32]) = (sums, values);
        kernels.pool().run(units, |number| {
            let unit = self.unit(tiles, number);
            let tile = unit.task.tile;
            let (count, segments) = (self.count(tile), self.segments(tile));
            if unit.segment != segments.start {
                return;
            }
            SCRATCH.with_borrow_mut(|scratch| {
                let largest = room(&mut scratch.largest, count);
                self.largest_of_all(&unit, found, largest);
                let mut total = Part {
                    sums: room(&mut scratch.total_sums, count),
                    values: room(&mut scratch.total_values, count * width),
                };
                for (i, segment) in segments.enumerate() {
                    let first = unit.first + i * count;
                    let sums = &sums[first..first + count];
                    let values = &values[first * width..(first + count) * width];
                    self.join(tile, segment, (sums, values), &mut total);
                }
                self.finish(unit.task, largest, total, &out);
            });
        });
    }

    /// Each query's largest score, from those `found` in the segments of its task.
    fn largest_of_all(&self, unit: &Unit<'_>, found: &[f32], largest: &mut [f32]) {
        let segments = self.segments(unit.task.tile);
        let first = unit.first - (unit.segment - segments.start) * largest.len();
        self.start(unit.task, largest);
        for found in found[first..].chunks(largest.len()).take(segments.len()) {
            for (largest, found) in largest.iter_mut().zip(found) {
                *largest = larger(*largest, *found);
            }
        }
    }
}
