//! The key-value pool: one piece of memory in pages of 32 positions, whose pages become resident
//! when they are first written. Keys and values are f16; the rounding is part of the arithmetic.

use half::f16;
use half::slice::HalfFloatSliceExt;
use memmap2::MmapMut;

use super::config::Lab;
use super::pages::{PAGE, PageId};
use super::residuals::PageRows;

/// Positions whose keys lie side by side: a register of the widest kernel.
pub const GROUP: usize = 16;

/// A multiple of the pages of memory of every system that there are kernels for.
const SYSTEM_PAGE: usize = 64 << 10;

/// The largest finite f16; what is larger is stored as this.
const MAX: f32 = 65_504.0;

/// Sizes of a model's keys and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub layers: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
}

impl Shape {
    /// Values of a position in memory: whole vectors, the rest is zeros.
    pub fn value_width(&self) -> usize {
        self.head_dim.next_multiple_of(8)
    }

    /// f16 numbers of one head and layer in a page: keys, then values.
    fn block(&self) -> usize {
        PAGE * (self.head_dim + self.value_width())
    }

    fn page(&self) -> usize {
        self.layers * self.kv_heads * self.block()
    }

    /// Bytes of a page.
    pub fn page_bytes(&self) -> u64 {
        self.page() as u64 * 2
    }
}

/// Where a position's keys and values lie.
#[derive(Clone, Copy, Debug)]
pub struct At {
    pub layer: usize,
    pub page: PageId,
    /// Within the page.
    pub place: usize,
}

/// Memory for keys and values.
pub struct Pool {
    shape: Shape,
    lab: Lab,
    memory: MmapMut,
    /// A row of keys or values on its way in.
    rounded: Vec<f16>,
    /// The layer that lies first.
    first_layer: usize,
    /// What the layers gave at the positions of the pages, if that is kept.
    pub residuals: Option<PageRows>,
}

impl Pool {
    /// Address space for so many pages; memory is taken as they are written.
    pub fn new(shape: Shape, pages: u32, lab: Lab) -> std::io::Result<Self> {
        let bytes = shape.page_bytes().saturating_mul(u64::from(pages));
        let bytes = usize::try_from(bytes).map_err(std::io::Error::other)?;
        let memory = MmapMut::map_anon(bytes)?;
        // Fewer misses when all of a long context is read; without it the result is the same.
        #[cfg(target_os = "linux")]
        if let Err(error) = memory.advise(memmap2::Advice::HugePage) {
            tracing::debug!(%error, "no huge pages for keys and values");
        }
        Ok(Self {
            shape,
            lab,
            memory,
            rounded: vec![f16::ZERO; shape.kv_heads * shape.head_dim],
            first_layer: 0,
            residuals: None,
        })
    }

    /// Memory for one layer of a model of this shape.
    pub fn of_layer(shape: Shape, layer: usize, pages: u32) -> std::io::Result<Self> {
        let one = Shape { layers: 1, ..shape };
        let mut pool = Self::new(one, pages, Lab::default())?;
        pool.first_layer = layer;
        Ok(pool)
    }

    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Stores keys and values of all heads of a position. They are rounded in place.
    ///
    /// Keys of a head: groups of 16 positions, in a group first all positions' first number, then
    /// their second. Values: positions one after the other.
    pub fn write(&mut self, At { layer, page, place }: At, k: &mut [f32], v: &mut [f32]) {
        let (dim, width) = (self.shape.head_dim, self.shape.value_width());
        if let Some(bits) = self.lab.kv_bits {
            coarsen(bits, dim, k);
            coarsen(bits, dim, v);
        }
        let first = self.at(layer, 0, page);
        let block = self.shape.block();
        let memory: &mut [u16] = bytemuck::cast_slice_mut(&mut self.memory);
        let heads = &mut memory[first..first + self.shape.kv_heads * block];
        round(k, &mut self.rounded);
        let rounded: &[u16] = self.rounded.reinterpret_cast();
        for (head, k) in heads.chunks_exact_mut(block).zip(rounded.chunks_exact(dim)) {
            let group = &mut head[place / GROUP * GROUP * dim..][..GROUP * dim];
            for (eight, k) in group.chunks_exact_mut(GROUP).zip(k) {
                eight[place % GROUP] = *k;
            }
        }
        round(v, &mut self.rounded);
        let rounded: &[u16] = self.rounded.reinterpret_cast();
        for (head, v) in heads.chunks_exact_mut(block).zip(rounded.chunks_exact(dim)) {
            head[PAGE * dim + place * width..][..dim].copy_from_slice(v);
        }
    }

    /// Keys and values of a head and layer in a page, as [`Self::write`] lays them out.
    pub fn block(&self, layer: usize, head: usize, page: PageId) -> (&[u16], &[u16]) {
        let first = self.at(layer, head, page);
        let memory: &[u16] = bytemuck::cast_slice(&self.memory);
        memory[first..first + self.shape.block()].split_at(PAGE * self.shape.head_dim)
    }

    /// Gives the memory of pages back to the system; what was in them is gone. At the ends of a run
    /// of pages a part stays that others share.
    #[cfg(target_os = "linux")]
    pub fn release(&mut self, pages: &mut [PageId]) {
        pages.sort_unstable_by_key(|page| page.0);
        let bytes = self.shape.page() * size_of::<u16>();
        for run in pages.chunk_by(|a, b| a.0 + 1 == b.0) {
            let first = run[0].0 as usize * bytes;
            let start = first.next_multiple_of(SYSTEM_PAGE);
            let end = (first + run.len() * bytes) / SYSTEM_PAGE * SYSTEM_PAGE;
            if start >= end {
                continue;
            }
            // SAFETY: the range lies in these pages of the pool, zeros are numbers too, and
            // `&mut self` says that nobody reads them now.
            let done = unsafe {
                let advice = memmap2::UncheckedAdvice::DontNeed;
                self.memory
                    .unchecked_advise_range(advice, start, end - start)
            };
            if let Err(error) = done {
                tracing::debug!(%error, "memory of keys and values does not go back");
            }
        }
    }

    /// Other systems keep it.
    #[cfg(not(target_os = "linux"))]
    pub fn release(&mut self, _pages: &mut [PageId]) {}

    fn at(&self, layer: usize, head: usize, page: PageId) -> usize {
        let s = &self.shape;
        let layer = layer - self.first_layer;
        page.0 as usize * s.page() + (layer * s.kv_heads + head) * s.block()
    }
}

/// To f16, half to even, saturating.
fn round(values: &mut [f32], out: &mut [f16]) {
    for v in values.iter_mut() {
        *v = v.clamp(-MAX, MAX);
    }
    out.convert_from_f32_slice(values);
}

/// Rounds each head's values to integers of so many bits with one scale.
fn coarsen(bits: u8, head_dim: usize, values: &mut [f32]) {
    let top = f32::from((1u8 << (bits - 1)) - 1);
    for head in values.chunks_exact_mut(head_dim) {
        let largest = head.iter().fold(0f32, |m, v| m.max(v.abs()));
        if largest > 0.0 {
            for v in head {
                *v = (*v * (top / largest)).round_ties_even() * (largest / top);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn f(bits: u16) -> f32 {
        f16::from_bits(bits).to_f32()
    }

    #[test]
    fn what_is_written_is_read_where_the_kernels_expect_it() {
        let shape = Shape {
            layers: 2,
            kv_heads: 3,
            head_dim: 12,
        };
        assert_eq!(shape.page_bytes(), 2 * 2 * 3 * 32 * (12 + 16));
        let mut pool = Pool::new(shape, 3, Lab::default()).unwrap();
        let number = |layer: usize, position: usize, head: usize, i: usize| {
            // Below 2,048, where f16 has every integer.
            (layer * 800 + position * 36 + head * 12 + i) as f32
        };
        for layer in 0..2 {
            for position in 0..PAGE {
                let all = (0..36).map(|i| number(layer, position, i / 12, i % 12));
                let mut k: Vec<f32> = all.clone().collect();
                let mut v: Vec<f32> = all.map(|x| -x).collect();
                let at = At {
                    layer,
                    page: PageId(1),
                    place: position,
                };
                pool.write(at, &mut k, &mut v);
            }
        }
        for (layer, position, head) in [(0, 0, 0), (1, 31, 2), (0, 17, 1)] {
            let (k, v) = pool.block(layer, head, PageId(1));
            for i in 0..12 {
                let want = number(layer, position, head, i);
                let group = position / GROUP * 12 + i;
                assert_eq!(f(k[group * GROUP + position % GROUP]), want);
                assert_eq!(f(v[position * 16 + i]), -want);
            }
        }
        assert!(pool.block(1, 2, PageId(0)).0.iter().all(|x| *x == 0));
        assert!(pool.block(0, 0, PageId(2)).1.iter().all(|x| *x == 0));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn pages_that_go_back_hold_nothing_and_their_neighbours_all() {
        let shape = Shape {
            layers: 1,
            kv_heads: 1,
            head_dim: 64,
        };
        let mut pool = Pool::new(shape, 64, Lab::default()).unwrap();
        for page in 0..64 {
            for place in 0..PAGE {
                let page = PageId(page);
                let at = At {
                    layer: 0,
                    page,
                    place,
                };
                pool.write(at, &mut [1.0; 64], &mut [1.0; 64]);
            }
        }
        // Of 8 KiB each, so that a run has a whole page of any system inside.
        let mut back: Vec<PageId> = (3..43).rev().map(PageId).collect();
        back.push(PageId(50));
        pool.release(&mut back);
        let all = |page: u32, want: f32| {
            let (k, v) = pool.block(0, 0, PageId(page));
            k.iter().chain(v).all(|x| f(*x) == want)
        };
        assert!(all(20, 0.0), "it went back");
        for page in [0, 1, 2, 43, 44, 49, 51, 63] {
            assert!(all(page, 1.0), "page {page}");
        }
    }

    #[test]
    fn rounding_is_half_to_even_and_saturates() {
        let mut values = [1.0 + 2f32.powi(-11), 1.0 + 3.0 * 2f32.powi(-11), 1e30, -1e9];
        let mut out = [f16::ZERO; 4];
        round(&mut values, &mut out);
        let want = [1.0, 1.0 + 2f32.powi(-9), MAX, -MAX];
        assert_eq!(out.map(f16::to_f32), want);
    }

    #[test]
    fn coarse_values_stand_on_a_grid_of_their_head() {
        let mut values: Vec<f32> = (0..8).map(|i| i as f32 / 7.0).collect();
        values[4..].fill(0.0);
        coarsen(2, 4, &mut values);
        let top = 3.0 / 7.0;
        assert_eq!(values, [0.0, 0.0, top, top, 0.0, 0.0, 0.0, 0.0]);
    }
}
