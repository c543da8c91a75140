//! The kernels of 64-bit ARM: with the dot products that ARMv8.2 may have (`sdot`), and with what every such
//! processor has. Equal to the definition bit for bit; a test compares them, elsewhere by the descriptions of the
//! instructions (`emulated`).
//!
//! As in `x86`, a block of eight outputs stays in registers while the rows of a panel pass. A register holds four
//! values of four outputs, and two of them lie side by side.

// Registers are indexed side by side.
#![allow(clippy::needless_range_loop)]

/// What `sdot` gives, from instructions that every processor of 64-bit ARM has.
macro_rules! by_products {
    ($($features:literal)?) => {
        #[inline]
        $(#[target_feature(enable = $features)])?
        pub fn by_products<const LANE: i32>(sum: Ints, w: Bytes, x: Bytes) -> Ints {
            let x = repeated::<LANE>(x);
            // A product of two bytes fits in an i16, even −128 × −128; two of them don't.
            let (low, high) = (pairs(products_low(w, x)), pairs(products_high(w, x)));
            add(sum, neighbours(low, high))
        }
    };
}

#[cfg(test)]
mod emulated;
#[cfg(target_arch = "aarch64")]
mod processor;

use super::activations::Q8;
use super::formats::{Format, Scales};
use super::layout::{LANES, Lanes, block_bytes, factor_bytes, header_bytes, super_bytes};

#[cfg(target_arch = "aarch64")]
pub fn has_neon() -> bool {
    std::arch::is_aarch64_feature_detected!("neon")
}

#[cfg(target_arch = "aarch64")]
pub fn has_dotprod() -> bool {
    has_neon() && std::arch::is_aarch64_feature_detected!("dotprod")
}

/// Numbers of a block that are no weights, of each output.
struct Factors {
    scale: [f32; LANES],
    min: [f32; LANES],
    /// Of both halves.
    factors: [[i32; LANES]; 2],
    minimums: [[i32; LANES]; 2],
}

impl Factors {
    /// As the definition has them: `d` and `m` are the super-block's scales and minimums.
    #[inline(always)]
    fn new<F: Format>(d: &[f32; LANES], m: &[f32; LANES], packed: &[u8]) -> Self {
        let mut all = Self {
            scale: *d,
            min: *m,
            factors: [[1; LANES]; 2],
            minimums: [[1; LANES]; 2],
        };
        for output in 0..LANES {
            match F::SCALES {
                Scales::Own => {}
                Scales::Multiples => {
                    all.scale[output] = d[output] * f32::from(packed[output]);
                    all.min[output] = -(m[output] * f32::from(packed[LANES + output]));
                }
                Scales::Signed => all.scale[output] = d[output] * f32::from(packed[output] as i8),
                Scales::Halves => {
                    for half in 0..2 {
                        let factor = packed[2 * output + half] as i8;
                        all.factors[half][output] = i32::from(factor);
                    }
                }
                Scales::Nibbles => {
                    all.min[output] = -m[output];
                    for half in 0..2 {
                        let both = packed[2 * output + half];
                        all.factors[half][output] = i32::from(both & 15);
                        all.minimums[half][output] = i32::from(both >> 4);
                    }
                }
            }
        }
        all
    }
}

/// Sixteen bytes of a group, from `at` on.
#[inline(always)]
fn sixteen(bytes: &[u8], at: usize) -> &[u8; 16] {
    bytes[at..]
        .first_chunk()
        .expect("a block ends with a whole register")
}

/// Four of eight values.
#[inline(always)]
fn four<T>(values: &[T; LANES], register: usize) -> &[T; 4] {
    &values.as_chunks::<4>().0[register]
}

/// The kernel, compiled for a processor with these features from these instructions and this way to multiply.
macro_rules! kernel {
    ($name:ident, [$($features:literal)?], $instructions:ident, $dot:ident) => {
        pub mod $name {
            use super::$instructions::{$dot as dot, *};
            use super::*;

            /// A block of eight outputs, in each pair of registers the first four and the last four.
            struct Block {
                w: [[Bytes; 2]; 8],
                scale: [Floats; 2],
                min: [Floats; 2],
                factors: [[Ints; 2]; 2],
                minimums: [[Ints; 2]; 2],
            }

            /// One group of outputs with a panel of rows: `y` is blocks × `sums.len()`, `sums` starts at 0.
            $(#[target_feature(enable = $features)])?
            pub fn strip<F: Format>(group: &[u8], y: &[Q8], sums: &mut [Lanes]) {
                let mut panels = y.chunks_exact(sums.len());
                for packed in group.chunks_exact(super_bytes::<F>()) {
                    let (header, blocks) = packed.split_at(header_bytes::<F>());
                    let d = match F::BRAIN {
                        true => brain_floats(sixteen(header, 0)),
                        false => halves(sixteen(header, 0)),
                    };
                    let m = if F::MIN {
                        halves(sixteen(header, 16))
                    } else {
                        d
                    };
                    let (d, m) = (stored(d), stored(m));
                    let blocks = blocks.chunks_exact(block_bytes::<F>());
                    for (packed, y) in blocks.zip(&mut panels) {
                        let block = unpack::<F>(&d, &m, packed);
                        for (sums, y) in sums.iter_mut().zip(y) {
                            step::<F>(&block, y, sums);
                        }
                    }
                }
            }

            #[inline]
            $(#[target_feature(enable = $features)])?
            fn stored(registers: [Floats; 2]) -> [f32; LANES] {
                let mut out = [0.0; LANES];
                let (places, _) = out.as_chunks_mut::<4>();
                store(registers[0], &mut places[0]);
                store(registers[1], &mut places[1]);
                out
            }

            #[inline]
            $(#[target_feature(enable = $features)])?
            fn unpack<F: Format>(d: &[f32; LANES], m: &[f32; LANES], packed: &[u8]) -> Block {
                let (packed, integers) = packed.split_at(factor_bytes::<F>());
                let all = Factors::new::<F>(d, m, packed);
                let mut block = Block {
                    w: [[bytes(0); 2]; 8],
                    scale: [floats(0.0); 2],
                    min: [floats(0.0); 2],
                    factors: [[ints(0); 2]; 2],
                    minimums: [[ints(0); 2]; 2],
                };
                for r in 0..2 {
                    block.scale[r] = load_floats(four(&all.scale, r));
                    block.min[r] = load_floats(four(&all.min, r));
                    for half in 0..2 {
                        block.factors[half][r] = load_ints(four(&all.factors[half], r));
                        block.minimums[half][r] = load_ints(four(&all.minimums[half], r));
                    }
                    let w = weights::<F>(integers, 16 * r);
                    for j in 0..8 {
                        block.w[j][r] = w[j];
                    }
                }
                block
            }

            /// The integers of four outputs, which begin at `at`. Those of eight bits come as signed bytes, their offset
            /// taken off.
            #[inline]
            $(#[target_feature(enable = $features)])?
            fn weights<F: Format>(packed: &[u8], at: usize) -> [Bytes; 8] {
                const { assert!(F::WIDTH < 8 || F::OFFSET == 128) };
                let sign = bytes(128);
                let mut w = [bytes(0); 8];
                if F::BITS == 8 {
                    for j in 0..8 {
                        w[j] = xor(load(sixteen(packed, 32 * j + at)), sign);
                    }
                    return w;
                }
                for j in 0..4 {
                    let both = load(sixteen(packed, 32 * j + at));
                    w[j] = and(both, bytes(15));
                    w[j + 4] = right::<4>(both);
                }
                if let Some(table) = F::TABLE {
                    let table = load(&table);
                    for j in 0..8 {
                        w[j] = entries(table, w[j]);
                        if F::WIDTH == 8 {
                            w[j] = xor(w[j], sign);
                        }
                    }
                }
                if F::BITS == 5 {
                    // Bit j moves to bit 4.
                    let high = load(sixteen(packed, 128 + at));
                    let moved = [
                        left::<4>(high),
                        left::<3>(high),
                        left::<2>(high),
                        left::<1>(high),
                        high,
                        right::<1>(high),
                        right::<2>(high),
                        right::<3>(high),
                    ];
                    for j in 0..8 {
                        w[j] = or(w[j], and(moved[j], bytes(16)));
                    }
                }
                if F::BITS == 6 {
                    // Two bits move to bits 4 and 5.
                    for half in 0..2 {
                        let high = load(sixteen(packed, 128 + 32 * half + at));
                        let moved = [left::<4>(high), left::<2>(high), high, right::<2>(high)];
                        for j in 0..4 {
                            w[4 * half + j] = or(w[4 * half + j], and(moved[j], bytes(48)));
                        }
                    }
                }
                w
            }

            /// A block with one row.
            #[inline]
            $(#[target_feature(enable = $features)])?
            fn step<F: Format>(block: &Block, y: &Q8, sums: &mut Lanes) {
                let x: [[u8; 16]; 2] = bytemuck::cast(y.q);
                let x = [load(&x[0]), load(&x[1])];
                // What the offset takes off comes first: integers are exact.
                let offset = if F::WIDTH < 8 { F::OFFSET } else { 0 };
                let start = [
                    ints(-offset * i32::from(y.sums[0])),
                    ints(-offset * i32::from(y.sums[1])),
                ];
                let (places, _) = sums.0.as_chunks_mut::<4>();
                for r in 0..2 {
                    let mut halves = start;
                    for half in 0..2 {
                        let w = &block.w[4 * half..4 * half + 4];
                        let sum = dot::<0>(halves[half], w[0][r], x[half]);
                        let sum = dot::<1>(sum, w[1][r], x[half]);
                        let sum = dot::<2>(sum, w[2][r], x[half]);
                        halves[half] = dot::<3>(sum, w[3][r], x[half]);
                    }
                    let [first, last] = halves;
                    let integer = match F::SCALES {
                        Scales::Halves | Scales::Nibbles => add(
                            mul(first, block.factors[0][r]),
                            mul(last, block.factors[1][r]),
                        ),
                        _ => add(first, last),
                    };
                    let by = mul_floats(block.scale[r], floats(y.d));
                    let mut sum = fma(by, to_floats(integer), load_floats(&places[r]));
                    if F::MIN {
                        sum = minimum::<F>(block, y, r, sum);
                    }
                    store(sum, &mut places[r]);
                }
            }

            /// The step of a minimum, for four outputs and one row.
            #[inline]
            $(#[target_feature(enable = $features)])?
            fn minimum<F: Format>(block: &Block, y: &Q8, r: usize, sum: Floats) -> Floats {
                match F::SCALES {
                    Scales::Nibbles => {
                        let first = mul(block.minimums[0][r], ints(i32::from(y.sums[0])));
                        let last = mul(block.minimums[1][r], ints(i32::from(y.sums[1])));
                        let by = mul_floats(block.min[r], floats(y.d));
                        fma(by, to_floats(add(first, last)), sum)
                    }
                    _ => fma(block.min[r], floats(y.ds), sum),
                }
            }
        }
    };
}

#[cfg(target_arch = "aarch64")]
kernel!(dotprod, ["neon,dotprod"], processor, sdot);
#[cfg(target_arch = "aarch64")]
kernel!(baseline, ["neon"], processor, by_products);
#[cfg(test)]
kernel!(emulated_dotprod, [], emulated, sdot);
#[cfg(test)]
kernel!(emulated_baseline, [], emulated, by_products);
