//! How weights lie in the pack: eight outputs side by side, so that the lanes of a register are
//! outputs and every output keeps its own order of sums.
//!
//! A group of eight outputs is a run of super-blocks. A super-block is its scales (eight of 16 bits), its
//! minimums (eight f16, if the format has any), and its blocks. A block is its factors (8 or 16 bytes, if
//! any) and its integers: register j of eight holds the values 4j..4j+4 of each output. Nibbles of
//! the registers j and j + 4 share 32 bytes; fifth bits take one bit each of 32 bytes, sixth bits two
//! of 64. Floats lie value by value, eight outputs each.

use super::activations::BLOCK;
use super::formats::{Block, Float, Format, Scales};

/// Outputs of a group.
pub use mythic_model::layout::LANES;

/// One value of each output of a group, aligned as a register is stored fastest.
#[repr(C, align(32))]
#[derive(Clone, Copy, Debug, Default)]
pub struct Lanes(pub [f32; LANES]);

/// Bytes of a super-block's scales and minimums.
pub const fn header_bytes<F: Format>() -> usize {
    if F::MIN { 32 } else { 16 }
}

/// Bytes of a block's factors.
pub const fn factor_bytes<F: Format>() -> usize {
    match F::SCALES {
        Scales::Own => 0,
        Scales::Signed => LANES,
        Scales::Multiples | Scales::Halves | Scales::Nibbles => 2 * LANES,
    }
}

/// Bytes of a block.
pub const fn block_bytes<F: Format>() -> usize {
    factor_bytes::<F>() + BLOCK * F::BITS
}

/// Bytes of a super-block.
pub const fn super_bytes<F: Format>() -> usize {
    header_bytes::<F>() + F::BLOCKS * block_bytes::<F>()
}

/// Where the factors of an output lie: scales and minimums apart, or halves in pairs, or one alone.
const fn factor_places<F: Format>(output: usize) -> [usize; 2] {
    match F::SCALES {
        Scales::Halves | Scales::Nibbles => [2 * output, 2 * output + 1],
        Scales::Signed => [output; 2],
        Scales::Own | Scales::Multiples => [output, LANES + output],
    }
}

/// Packs eight rows of a GGUF tensor; `None` is a row of zeros beyond the last.
pub fn pack<F: Format>(rows: [Option<&[u8]>; LANES], out: &mut [u8]) {
    out.fill(0);
    for (output, row) in rows.iter().enumerate() {
        let Some(row) = row else { continue };
        let supers = row.chunks_exact(F::BYTES);
        for (b, out) in supers.zip(out.chunks_exact_mut(super_bytes::<F>())) {
            let (header, out) = out.split_at_mut(header_bytes::<F>());
            for (half, place) in F::header(b).iter().zip(header.chunks_exact_mut(16)) {
                place[2 * output..2 * output + 2].copy_from_slice(half);
            }
            for (i, out) in out.chunks_exact_mut(block_bytes::<F>()).enumerate() {
                let (factors, out) = out.split_at_mut(factor_bytes::<F>());
                if F::SCALES != Scales::Own {
                    for (place, f) in factor_places::<F>(output).into_iter().zip(F::factors(b, i)) {
                        factors[place] = f;
                    }
                }
                put::<F>(output, F::integers(b, i), out);
            }
        }
    }
}

fn put<F: Format>(output: usize, q: [u8; BLOCK], out: &mut [u8]) {
    for (i, q) in q.into_iter().enumerate() {
        let (j, at) = (i / 4, 4 * output + i % 4);
        if F::BITS == 8 {
            out[32 * j + at] = q;
            continue;
        }
        out[32 * (j % 4) + at] |= (q & 15) << (4 * (j / 4));
        match F::BITS {
            5 => out[128 + at] |= (q >> 4) << j,
            6 => out[128 + 32 * (j / 4) + at] |= (q >> 4) << (2 * (j % 4)),
            _ => {}
        }
    }
}

fn take<F: Format>(output: usize, integers: &[u8]) -> [u8; BLOCK] {
    std::array::from_fn(|i| {
        let (j, at) = (i / 4, 4 * output + i % 4);
        if F::BITS == 8 {
            return integers[32 * j + at];
        }
        let low = (integers[32 * (j % 4) + at] >> (4 * (j / 4))) & 15;
        let high = match F::BITS {
            5 => (integers[128 + at] >> j) & 1,
            6 => (integers[128 + 32 * (j / 4) + at] >> (2 * (j % 4))) & 3,
            _ => 0,
        };
        low | (high << 4)
    })
}

/// The eight outputs' blocks i of a packed super-block.
pub fn unpack<F: Format>(packed: &[u8], i: usize) -> [Block; LANES] {
    let (header, rest) = packed.split_at(header_bytes::<F>());
    let (factors, integers) =
        rest[i * block_bytes::<F>()..(i + 1) * block_bytes::<F>()].split_at(factor_bytes::<F>());
    let half = |half: usize, output: usize| {
        let at = 16 * half + 2 * output;
        [header[at], header[at + 1]]
    };
    std::array::from_fn(|output| {
        let minimum = if F::MIN { half(1, output) } else { [0; 2] };
        let factors = match F::SCALES {
            Scales::Own => [0; 2],
            _ => factor_places::<F>(output).map(|place| factors[place]),
        };
        Block::new::<F>(
            [half(0, output), minimum],
            factors,
            take::<F>(output, integers),
        )
    })
}

/// Weights as a GPU holds them, the parts of blocks apart: see `kernels/weights.cuh` of this crate.
#[derive(Default)]
pub struct Planes {
    pub integers: Vec<u8>,
    pub factors: Vec<u8>,
    pub headers: Vec<u8>,
}

/// The planes of packed groups.
pub fn planes<F: Format>(groups: &[u8]) -> Planes {
    let mut out = Planes::default();
    for packed in groups.chunks_exact(super_bytes::<F>()) {
        let (header, blocks) = packed.split_at(header_bytes::<F>());
        out.headers.extend_from_slice(header);
        for block in blocks.chunks_exact(block_bytes::<F>()) {
            let (factors, integers) = block.split_at(factor_bytes::<F>());
            out.factors.extend_from_slice(factors);
            out.integers.extend_from_slice(integers);
        }
    }
    out
}

/// The one plane of groups of floats.
pub fn float_planes<F: Float>(groups: &[u8]) -> Planes {
    assert!(
        groups.len().is_multiple_of(LANES * F::BYTES),
        "whole values"
    );
    Planes {
        integers: groups.to_vec(),
        ..Planes::default()
    }
}

/// Packs eight rows of floats of `size` bytes.
pub fn pack_floats(rows: [Option<&[u8]>; LANES], size: usize, out: &mut [u8]) {
    out.fill(0);
    for (output, row) in rows.iter().enumerate() {
        let Some(row) = row else { continue };
        for (value, out) in row
            .chunks_exact(size)
            .zip(out.chunks_exact_mut(LANES * size))
        {
            out[output * size..(output + 1) * size].copy_from_slice(value);
        }
    }
}
