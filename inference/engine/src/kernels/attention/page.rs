//! What a task of attention does with the keys and values of one page, and with a query's scores.

// Lanes and tiles are indexed side by side.
#![allow(clippy::needless_range_loop)]

use std::ops::Range;

use half::f16;

use crate::kernels::math::{LANES, exp, sum_lanes};
use crate::kv::GROUP;
use crate::pages::PAGE;

/// Queries that share the loads of a kernel; a tile's last may be fewer.
pub(super) const QUERIES: usize = 6;

fn number(bits: u16) -> f32 {
    f16::from_bits(bits).to_f32()
}

/// Scores of up to [`QUERIES`] queries with the positions of a page.
pub(super) struct Scores<'a> {
    pub keys: &'a [u16],
    /// What is read next.
    pub next: &'a [u16],
    /// dim × queries.
    pub queries: &'a [f32],
    pub dim: usize,
}

impl Scores<'_> {
    /// `out` is queries × positions.
    #[inline]
    pub fn run(&self, wide: bool, out: &mut [f32]) {
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
pub(super) struct Values<'a> {
    pub page: &'a [u16],
    /// What is read next.
    pub next: &'a [u16],
    pub positions: Range<usize>,
    /// Of eight dimensions.
    pub vectors: Range<usize>,
    /// queries × positions of the page.
    pub weights: &'a [f32],
    pub width: usize,
}

impl Values<'_> {
    /// `out` is queries × width.
    #[inline]
    pub fn run(&self, wide: bool, out: &mut [f32]) {
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
#[inline]
pub(super) fn softmax(
    wide: bool,
    scores: &mut [f32],
    n: usize,
    query: usize,
    positions: usize,
) -> f32 {
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
