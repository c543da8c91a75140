//! What the machine gives at most, beside what the engine takes of it: bytes read from memory (decoding reads all
//! weights for each token) and products of int8 (reading a prompt multiplies each weight with each token).

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use mythic_model::gguf::Gguf;

use super::figures::Row;

/// Bytes that each thread reads: no cache holds them.
const BUFFER: usize = 256 << 20;
const ROUNDS: usize = 5;

pub struct Limits {
    /// Bytes a second, all threads together.
    memory: f64,
    /// Products a second, each added to a sum; `None` where the kernels of this processor are not known here.
    products: Option<f64>,
}

/// What a token costs.
struct Work {
    /// Weights of all layers: products for a token of a prompt.
    layers: f64,
    /// Bytes of all matrices, the output matrix too: read for a token that is decoded alone.
    bytes: f64,
}

impl Work {
    fn of(model: &Path) -> anyhow::Result<Self> {
        let gguf = Gguf::open(model)?;
        let (mut layers, mut bytes) = (0.0, 0.0);
        let output = ["output.weight", "token_embd.weight"]
            .into_iter()
            .find(|name| gguf.tensor(name).is_some());
        for name in gguf.tensor_names() {
            let Some(tensor) = gguf.tensor(name).filter(|t| t.dims.len() == 2) else {
                continue;
            };
            let weights = tensor.dims.iter().product::<usize>() as f64;
            let in_layer = name.starts_with("blk.");
            if in_layer {
                layers += weights;
            }
            if in_layer || Some(name) == output {
                let dtype = tensor.dtype;
                bytes += weights / dtype.block_size() as f64 * dtype.block_bytes() as f64;
            }
        }
        Ok(Self { layers, bytes })
    }
}

/// Runs `body` on all threads at once; gives the shortest time of several.
fn shortest(threads: usize, body: impl Fn(usize) + Sync) -> f64 {
    let once = || {
        let began = Instant::now();
        std::thread::scope(|scope| {
            for thread in 0..threads {
                let body = &body;
                scope.spawn(move || body(thread));
            }
        });
        began.elapsed().as_secs_f64()
    };
    (0..ROUNDS).map(|_| once()).fold(f64::INFINITY, f64::min)
}

fn read(buffer: &[u64]) -> u64 {
    let mut sums = [0u64; 16];
    for part in buffer.chunks_exact(16) {
        for (sum, x) in sums.iter_mut().zip(part) {
            *sum = sum.wrapping_add(*x);
        }
    }
    sums.iter().fold(0, |a, b| a.wrapping_add(*b))
}

/// Products in registers: what `vpmaddubsw` and `vpaddw` give when nothing waits for memory.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn multiply(times: usize) {
    use std::arch::x86_64::*;
    let mut sums = [_mm256_setzero_si256(); 8];
    let weights: [_; 8] = std::array::from_fn(|i| black_box(_mm256_set1_epi8(i as i8)));
    let ones = _mm256_set1_epi8(-1);
    for _ in 0..times {
        // New to the compiler each time, so that no product is computed once for all.
        let activations = black_box(ones);
        for (sum, weights) in sums.iter_mut().zip(weights) {
            *sum = _mm256_add_epi16(*sum, _mm256_maddubs_epi16(weights, activations));
        }
    }
    black_box(sums);
}

#[cfg(target_arch = "x86_64")]
fn products(threads: usize) -> Option<f64> {
    const TIMES: usize = 20_000_000;
    if !is_x86_feature_detected!("avx2") {
        return None;
    }
    // SAFETY: AVX2 is there.
    let seconds = shortest(threads, |_| unsafe { multiply(TIMES) });
    Some((threads * TIMES * 8 * 32) as f64 / seconds)
}

#[cfg(not(target_arch = "x86_64"))]
fn products(_threads: usize) -> Option<f64> {
    None
}

impl Limits {
    pub fn measure(threads: usize) -> Self {
        let buffers: Vec<Vec<u64>> = (0..threads).map(|_| vec![1; BUFFER / 8]).collect();
        let seconds = shortest(threads, |thread| {
            black_box(read(&buffers[thread]));
        });
        Self {
            memory: (threads * BUFFER) as f64 / seconds,
            products: products(threads),
        }
    }

    /// The limits, and what part of them the figures reach.
    pub fn report(&self, model: &Path, rows: &[Row]) -> anyhow::Result<String> {
        let work = Work::of(model)?;
        let mut out = format!("memory gives {:.1} GB/s", self.memory / 1e9);
        if let Some(products) = self.products {
            out += &format!(", vpmaddubsw and vpaddw {:.0} G products/s", products / 1e9);
        }
        for row in rows {
            let Some(rate) = row.ours() else {
                continue;
            };
            // Where a pass makes several tokens, their rate says nothing of memory.
            let figure = row.figure().strip_prefix("decode_");
            if figure.is_some_and(|rest| !rest.starts_with("repeating_")) {
                out += &format!(
                    "\n{}: {:.1} MB of weights a token, {:.1} GB/s, {:.0} % of memory",
                    row.figure(),
                    work.bytes / 1e6,
                    rate * work.bytes / 1e9,
                    100.0 * rate * work.bytes / self.memory
                );
            }
            if let Some(products) = self.products
                && row.figure().starts_with("prefill_")
            {
                out += &format!(
                    "\n{}: {:.1} M products a token, {:.0} G/s, {:.0} % of the products",
                    row.figure(),
                    work.layers / 1e6,
                    rate * work.layers / 1e9,
                    100.0 * rate * work.layers / products
                );
            }
        }
        Ok(out)
    }
}
