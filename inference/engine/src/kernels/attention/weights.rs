//! From scores to weights: a query's largest score in a segment, and the sum of its exponentials.

// Lanes are indexed side by side.
#![allow(clippy::needless_range_loop)]

use std::ops::Range;

use crate::kernels::instructions::Vectors;
use crate::kernels::math::{LANES, exp, sum_lanes};
use crate::pages::PAGE;

/// The larger of two scores; what is no number is never the largest.
#[inline(always)]
pub(super) fn larger(m: f32, s: f32) -> f32 {
    if s > m { s } else { m }
}

/// Where a query's scores are in blocks of a page: pages × queries.
pub(super) struct Weights {
    /// Queries.
    pub n: usize,
    pub query: usize,
    /// The page of the first block, by its number in the sequence.
    pub first_page: usize,
    /// Those that the query reads, of one segment.
    pub positions: Range<usize>,
}

/// Compiles a function for each set of vectors from one body.
macro_rules! for_all_vectors {
    ($vectors:expr, $body:ident($($arg:ident: $type:ty),*) -> $out:ty) => {{
        #[cfg(target_arch = "x86_64")]
        {
            #[target_feature(enable = "avx2,fma,f16c")]
            fn avx2($($arg: $type),*) -> $out {
                $body($($arg),*)
            }
            #[target_feature(enable = "avx2,fma,f16c,avx512f")]
            fn avx512($($arg: $type),*) -> $out {
                $body($($arg),*)
            }
            match $vectors {
                Vectors::Plain => $body($($arg),*),
                // SAFETY: `Vectors` says that the features are there.
                Vectors::Avx2 => unsafe { avx2($($arg),*) },
                // SAFETY: as above.
                Vectors::Avx512 => unsafe { avx512($($arg),*) },
                // SAFETY: who emulates has AVX2. What names no instruction needs no other body.
                #[cfg(test)]
                Vectors::Emulated => unsafe { avx2($($arg),*) },
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            match $vectors {
                Vectors::Plain => $body($($arg),*),
            }
        }
    }};
}

impl Weights {
    /// The block of a page, and what of it the query reads.
    #[inline(always)]
    fn block(&self, page: usize) -> (usize, Range<usize>) {
        let base = page * PAGE;
        let from = self.positions.start.max(base) - base;
        let to = self.positions.end.min(base + PAGE) - base;
        ((page - self.first_page) * self.n + self.query, from..to)
    }

    #[inline(always)]
    fn pages(&self) -> Range<usize> {
        match self.positions.is_empty() {
            true => 0..0,
            false => self.positions.start / PAGE..self.positions.end.div_ceil(PAGE),
        }
    }

    /// The largest score.
    #[inline]
    pub fn largest(&self, vectors: Vectors, blocks: &[[f32; PAGE]]) -> f32 {
        let place = self;
        for_all_vectors!(vectors, largest_body(place: &Weights, blocks: &[[f32; PAGE]]) -> f32)
    }

    /// The scores become weights, the exponentials of what they are below `largest`; gives their sum.
    #[inline]
    pub fn weigh(&self, vectors: Vectors, blocks: &mut [[f32; PAGE]], largest: f32) -> f32 {
        let place = self;
        for_all_vectors!(
            vectors,
            weigh_body(place: &Weights, blocks: &mut [[f32; PAGE]], largest: f32) -> f32
        )
    }
}

#[inline(always)]
fn largest_body(place: &Weights, blocks: &[[f32; PAGE]]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; PAGE];
    for page in place.pages() {
        let (block, reads) = place.block(page);
        let block = &blocks[block];
        if reads == (0..PAGE) {
            for l in 0..PAGE {
                lanes[l] = larger(lanes[l], block[l]);
            }
        } else {
            for l in reads {
                lanes[l] = larger(lanes[l], block[l]);
            }
        }
    }
    lanes.into_iter().fold(f32::NEG_INFINITY, larger)
}

#[inline(always)]
fn weigh_body(place: &Weights, blocks: &mut [[f32; PAGE]], largest: f32) -> f32 {
    let mut lanes = [[0f32; PAGE]; LANES / PAGE];
    for page in place.pages() {
        let (block, reads) = place.block(page);
        let block = &mut blocks[block];
        // Also of what is not read, which nobody looks at: whole vectors are faster.
        for s in block.iter_mut() {
            *s = exp(*s - largest);
        }
        // Segments are whole pages and lanes, so a position's lane is that of its page.
        let lanes = &mut lanes[page % (LANES / PAGE)];
        if reads == (0..PAGE) {
            for l in 0..PAGE {
                lanes[l] += block[l];
            }
        } else {
            for l in reads {
                lanes[l] += block[l];
            }
        }
    }
    let mut all = [0f32; LANES];
    all.copy_from_slice(lanes.as_flattened());
    sum_lanes(all)
}
