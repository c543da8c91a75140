//! What a task of attention does with the keys and values of one page.

// Lanes and tiles are indexed side by side.
#![allow(clippy::needless_range_loop)]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;
use std::ops::Range;

use half::f16;

use crate::kernels::instructions::Vectors;
#[cfg(all(test, target_arch = "x86_64"))]
use crate::kernels::x86::emulated::{
    floats as emulated_same, fma as emulated_fma, halves as emulated_halves, load as emulated_load,
    store as emulated_store, zeros as emulated_zeros,
};
use crate::kv::GROUP;
use crate::pages::PAGE;

fn number(bits: u16) -> f32 {
    f16::from_bits(bits).to_f32()
}

/// Scores of up to [`Vectors::queries`] queries with the positions of a page.
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
    pub fn run(&self, vectors: Vectors, out: &mut [f32]) {
        let count = self.queries.len() / self.dim;
        assert!(self.keys.len() == PAGE * self.dim && self.next.len() == self.keys.len());
        assert!(self.queries.len() == count * self.dim && out.len() == count * PAGE);
        // SAFETY: `vectors` says that the features are there; the lengths were just checked.
        #[cfg(target_arch = "x86_64")]
        unsafe {
            match (vectors, count) {
                (Vectors::Plain, _) => {}
                (Vectors::Avx2, 1) => return self.avx2::<1, 4>(out),
                (Vectors::Avx2, 2) => return self.avx2::<2, 4>(out),
                (Vectors::Avx2, 3) => return self.avx2::<3, 4>(out),
                (Vectors::Avx2, 4) => return self.avx2::<4, 2>(out),
                (Vectors::Avx2, 5) => return self.avx2::<5, 2>(out),
                (Vectors::Avx2, 6) => return self.avx2::<6, 2>(out),
                (Vectors::Avx512, 1) => return self.avx512::<1, 2>(out),
                (Vectors::Avx512, 2) => return self.avx512::<2, 2>(out),
                (Vectors::Avx512, 3) => return self.avx512::<3, 2>(out),
                (Vectors::Avx512, 4) => return self.avx512::<4, 2>(out),
                (Vectors::Avx512, 5) => return self.avx512::<5, 2>(out),
                (Vectors::Avx512, 6) => return self.avx512::<6, 2>(out),
                (Vectors::Avx512, 7) => return self.avx512::<7, 2>(out),
                (Vectors::Avx512, 8) => return self.avx512::<8, 2>(out),
                #[cfg(test)]
                (Vectors::Emulated, 1) => return self.emulated::<1, 2>(out),
                #[cfg(test)]
                (Vectors::Emulated, 2) => return self.emulated::<2, 2>(out),
                #[cfg(test)]
                (Vectors::Emulated, 3) => return self.emulated::<3, 2>(out),
                #[cfg(test)]
                (Vectors::Emulated, 4) => return self.emulated::<4, 2>(out),
                #[cfg(test)]
                (Vectors::Emulated, 5) => return self.emulated::<5, 2>(out),
                #[cfg(test)]
                (Vectors::Emulated, 6) => return self.emulated::<6, 2>(out),
                #[cfg(test)]
                (Vectors::Emulated, 7) => return self.emulated::<7, 2>(out),
                #[cfg(test)]
                (Vectors::Emulated, 8) => return self.emulated::<8, 2>(out),
                _ => unreachable!("no tile has more queries"),
            }
        }
        let _ = vectors;
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
}

/// Adds weighted values of some positions of a page, for up to [`Vectors::queries`] queries.
pub(super) struct Values<'a> {
    pub page: &'a [u16],
    /// What is read next.
    pub next: &'a [u16],
    pub positions: Range<usize>,
    /// queries × positions of the page.
    pub weights: &'a [f32],
    /// A multiple of 8.
    pub width: usize,
}

impl Values<'_> {
    /// `out` is queries × width.
    #[inline]
    pub fn run(&self, vectors: Vectors, out: &mut [f32]) {
        let count = self.weights.len() / PAGE;
        assert!(self.positions.end <= PAGE && self.page.len() == PAGE * self.width);
        assert!(self.width.is_multiple_of(8) && self.next.len() == self.page.len());
        assert!(self.weights.len() == count * PAGE && out.len() == count * self.width);
        // SAFETY: `vectors` says that the features are there; the lengths were just checked.
        #[cfg(target_arch = "x86_64")]
        unsafe {
            match (vectors, count) {
                (Vectors::Plain, _) => {}
                (Vectors::Avx2, 1) => return self.avx2::<1, 4>(out),
                (Vectors::Avx2, 2) => return self.avx2::<2, 4>(out),
                (Vectors::Avx2, 3) => return self.avx2::<3, 4>(out),
                (Vectors::Avx2, 4) => return self.avx2::<4, 2>(out),
                (Vectors::Avx2, 5) => return self.avx2::<5, 2>(out),
                (Vectors::Avx2, 6) => return self.avx2::<6, 2>(out),
                (Vectors::Avx512, 1) => return self.avx512::<1, 4>(out),
                (Vectors::Avx512, 2) => return self.avx512::<2, 4>(out),
                (Vectors::Avx512, 3) => return self.avx512::<3, 4>(out),
                (Vectors::Avx512, 4) => return self.avx512::<4, 4>(out),
                (Vectors::Avx512, 5) => return self.avx512::<5, 4>(out),
                (Vectors::Avx512, 6) => return self.avx512::<6, 4>(out),
                (Vectors::Avx512, 7) => return self.avx512::<7, 2>(out),
                (Vectors::Avx512, 8) => return self.avx512::<8, 2>(out),
                #[cfg(test)]
                (Vectors::Emulated, 1) => return self.emulated::<1, 4>(out),
                #[cfg(test)]
                (Vectors::Emulated, 2) => return self.emulated::<2, 4>(out),
                #[cfg(test)]
                (Vectors::Emulated, 3) => return self.emulated::<3, 4>(out),
                #[cfg(test)]
                (Vectors::Emulated, 4) => return self.emulated::<4, 4>(out),
                #[cfg(test)]
                (Vectors::Emulated, 5) => return self.emulated::<5, 4>(out),
                #[cfg(test)]
                (Vectors::Emulated, 6) => return self.emulated::<6, 4>(out),
                #[cfg(test)]
                (Vectors::Emulated, 7) => return self.emulated::<7, 2>(out),
                #[cfg(test)]
                (Vectors::Emulated, 8) => return self.emulated::<8, 2>(out),
                _ => unreachable!("no tile has more queries"),
            }
        }
        let _ = vectors;
        for (query, out) in out.chunks_exact_mut(self.width).enumerate() {
            for position in self.positions.clone() {
                let weight = self.weights[query * PAGE + position];
                let values = &self.page[position * self.width..][..self.width];
                for (o, v) in out.iter_mut().zip(values) {
                    *o = weight.mul_add(number(*v), *o);
                }
            }
        }
    }
}

/// Eight f16 as f32.
///
/// # Safety
/// They are there.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2,f16c")]
unsafe fn eight(p: *const u16) -> __m256 {
    // SAFETY: as the caller's.
    _mm256_cvtph_ps(unsafe { _mm_loadu_si128(p.cast()) })
}

/// Sixteen f16 as f32.
///
/// # Safety
/// They are there.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2,f16c,avx512f")]
unsafe fn sixteen(p: *const u16) -> __m512 {
    // SAFETY: as the caller's.
    _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(p.cast()) })
}

/// The kernels on vectors of so many lanes: `Q` queries with `G` vectors of positions, or `D` of
/// dimensions, at once.
#[cfg(target_arch = "x86_64")]
macro_rules! kernels {
    (
        $features:literal, $lanes:literal, $name:ident, $dims:ident,
        $zero:ident, $halves:ident, $load:ident, $store:ident, $same:ident, $fma:ident
    ) => {
        impl Scores<'_> {
            /// # Safety
            /// The features are there; lengths are as [`Self::run`] checks them, with `Q` queries.
            #[target_feature(enable = $features)]
            unsafe fn $name<const Q: usize, const G: usize>(&self, out: &mut [f32]) {
                let dim = self.dim;
                let (keys, queries) = (self.keys.as_ptr(), self.queries.as_ptr());
                for first in (0..PAGE / $lanes).step_by(G) {
                    let mut acc = [[$zero(); G]; Q];
                    for d in 0..dim {
                        // SAFETY: first + g < PAGE / lanes and d < dim, so these are keys of the
                        // page, q < Q of the queries; a prefetch may name any address.
                        unsafe {
                            if first == 0 {
                                // A cache line for each dimension is the whole page.
                                _mm_prefetch::<_MM_HINT_T0>(
                                    self.next.as_ptr().add(d * PAGE).cast(),
                                );
                            }
                            let mut k = [$zero(); G];
                            for g in 0..G {
                                let position = (first + g) * $lanes;
                                let group = position / GROUP * dim + d;
                                k[g] = $halves(keys.add(group * GROUP + position % GROUP));
                            }
                            for q in 0..Q {
                                let x = $same(*queries.add(d * Q + q));
                                for g in 0..G {
                                    acc[q][g] = $fma(x, k[g], acc[q][g]);
                                }
                            }
                        }
                    }
                    for q in 0..Q {
                        for g in 0..G {
                            let at = q * PAGE + (first + g) * $lanes;
                            // SAFETY: `out` has Q × PAGE places.
                            unsafe { $store(out.as_mut_ptr().add(at), acc[q][g]) };
                        }
                    }
                }
            }
        }

        impl Values<'_> {
            /// All dimensions, what is left over in shorter steps.
            ///
            /// # Safety
            /// The features are there; lengths are as [`Self::run`] checks them, with `Q` queries.
            #[target_feature(enable = $features)]
            unsafe fn $name<const Q: usize, const D: usize>(&self, out: &mut [f32]) {
                let mut at = 0;
                while at + D * $lanes <= self.width {
                    // SAFETY: the caller vouches for it, and these dimensions are within the width.
                    unsafe { self.$dims::<Q, D>(at, out) };
                    at += D * $lanes;
                }
                while at + $lanes <= self.width {
                    // SAFETY: as above.
                    unsafe { self.$dims::<Q, 1>(at, out) };
                    at += $lanes;
                }
                if at < self.width {
                    // SAFETY: as above; a width is whole vectors of eight.
                    unsafe { self.eight_dims::<Q, 1>(at, out) };
                }
            }

            /// # Safety
            /// As above, and the `D` vectors of dimensions from `first` on are within the width.
            #[target_feature(enable = $features)]
            unsafe fn $dims<const Q: usize, const D: usize>(&self, first: usize, out: &mut [f32]) {
                let width = self.width;
                let (page, next) = (self.page.as_ptr(), self.next.as_ptr());
                let (weights, out) = (self.weights.as_ptr(), out.as_mut_ptr());
                let mut acc = [[$zero(); D]; Q];
                for q in 0..Q {
                    for i in 0..D {
                        // SAFETY: `out` has Q × width places.
                        acc[q][i] = unsafe { $load(out.add(q * width + first + i * $lanes)) };
                    }
                }
                for t in self.positions.clone() {
                    // SAFETY: t < PAGE, and `page` has PAGE × width numbers, each query PAGE
                    // weights; a prefetch may name any address.
                    unsafe {
                        _mm_prefetch::<_MM_HINT_T0>(next.add(t * width + first).cast());
                        let mut v = [$zero(); D];
                        for i in 0..D {
                            v[i] = $halves(page.add(t * width + first + i * $lanes));
                        }
                        for q in 0..Q {
                            let weight = $same(*weights.add(q * PAGE + t));
                            for i in 0..D {
                                acc[q][i] = $fma(weight, v[i], acc[q][i]);
                            }
                        }
                    }
                }
                for q in 0..Q {
                    for i in 0..D {
                        // SAFETY: as for the loads.
                        unsafe { $store(out.add(q * width + first + i * $lanes), acc[q][i]) };
                    }
                }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
kernels!(
    "avx2,fma,f16c",
    8,
    avx2,
    eight_dims,
    _mm256_setzero_ps,
    eight,
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    _mm256_set1_ps,
    _mm256_fmadd_ps
);

#[cfg(target_arch = "x86_64")]
kernels!(
    "avx2,fma,f16c,avx512f",
    16,
    avx512,
    sixteen_dims,
    _mm512_setzero_ps,
    sixteen,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    _mm512_set1_ps,
    _mm512_fmadd_ps
);

#[cfg(all(test, target_arch = "x86_64"))]
kernels!(
    "avx2,fma,f16c",
    16,
    emulated,
    emulated_dims,
    emulated_zeros,
    emulated_halves,
    emulated_load,
    emulated_store,
    emulated_same,
    emulated_fma
);
