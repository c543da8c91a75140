//! Thousands of damaged model files, each the same in every run: none makes the reader panic or
//! take memory that the file does not hold.
//!
//! One test, because the allocator counts for the whole process. A failure prints its case;
//! `MYTHIC_FUZZ_CASE=N` runs that one alone, `MYTHIC_FUZZ_CASES=N` so many. `fuzz/` searches without end.

use std::alloc::{GlobalAlloc, Layout, System};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use mythic_engine::{Engine, EngineConfig, EngineError, GenerateRequest, Sampler};
use mythic_lab::random_model::RandomModel;
use mythic_model::gguf::Gguf;
use mythic_model::gguf::TensorFormat;
use mythic_model::layout::Architecture;
use mythic_model::prompt::{Message, PromptFormatter};
use tokio_util::sync::CancellationToken;

const CASES: u64 = 20_000;
/// Files that are still whole are loaded and asked for tokens, as long as there are few.
const LOADED: usize = 40;

/// Remembers the largest single allocation and the most that was live.
struct Counting;

static LARGEST: AtomicUsize = AtomicUsize::new(0);
static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn taken(size: usize) {
    LARGEST.fetch_max(size, Ordering::Relaxed);
    let live = LIVE.fetch_add(size, Ordering::Relaxed) + size;
    PEAK.fetch_max(live, Ordering::Relaxed);
}

// SAFETY: everything is handed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        taken(layout.size());
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        taken(size);
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What `work` gave, the largest single allocation in it, and the most it held at once.
fn counted<T>(work: impl FnOnce() -> T) -> (T, usize, usize) {
    LARGEST.store(0, Ordering::Relaxed);
    let before = LIVE.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let out = work();
    let peak = PEAK.load(Ordering::Relaxed).saturating_sub(before);
    (out, LARGEST.load(Ordering::Relaxed), peak)
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

/// Numbers at which checks go wrong.
const EDGES: [u64; 22] = [
    0,
    1,
    2,
    7,
    8,
    9,
    31,
    33,
    255,
    256,
    65_535,
    65_536,
    1 << 20,
    (1 << 22) + 1,
    1 << 31,
    (1 << 31) - 1,
    u32::MAX as u64,
    1 << 32,
    1 << 62,
    1 << 63,
    u64::MAX - 31,
    u64::MAX,
];

/// Damages a file in one of the ways that files are damaged; `head` is where its tensors begin.
fn mutate(bytes: &mut Vec<u8>, head: usize, random: &mut Random) {
    // Most of what can go wrong is in the head.
    let place = |random: &mut Random, len: usize| match random.below(8) {
        0 => random.below(len),
        1 => random.below(len.min(64)),
        _ => random.below(len.min(head)),
    };
    if bytes.is_empty() {
        return;
    }
    let at = place(random, bytes.len());
    match random.below(9) {
        0 => bytes[at] ^= 1 << random.below(8),
        1 => bytes[at] = random.next() as u8,
        2 => {
            let value = random.pick(&EDGES).to_le_bytes();
            let width = random.pick(&[1usize, 2, 4, 8]);
            for (byte, new) in bytes[at..].iter_mut().zip(&value[..width]) {
                *byte = *new;
            }
        }
        3 => {
            // A number that is there, a little larger or smaller, or as large as the file.
            if let Some(old) = bytes.get(at..at + 8) {
                let mut number = [0; 8];
                number.copy_from_slice(old);
                let old = u64::from_le_bytes(number);
                let size = bytes.len() as u64;
                let new = match random.below(4) {
                    0 => old.wrapping_add(1),
                    1 => old.wrapping_sub(1),
                    2 => old.wrapping_mul(2),
                    _ => size,
                };
                bytes[at..at + 8].copy_from_slice(&new.to_le_bytes());
            }
        }
        4 => bytes.truncate(at),
        5 => {
            let len = 1 + random.below(64);
            let more: Vec<u8> = (0..len).map(|_| random.next() as u8).collect();
            bytes.splice(at..at, more);
        }
        6 => {
            let end = (at + 1 + random.below(64)).min(bytes.len());
            bytes.drain(at..end);
        }
        7 => {
            // A piece again, somewhere else: keys and tensors that stand twice or overlap.
            let from = place(random, bytes.len());
            let len = 1 + random.below(96);
            let piece: Vec<u8> = bytes[from..(from + len).min(bytes.len())].to_vec();
            for (byte, new) in bytes[at..].iter_mut().zip(piece) {
                *byte = new;
            }
        }
        _ => {
            // Not a number, infinity, the smallest and largest floats.
            let value = random.pick(&[f32::NAN, f32::INFINITY, f32::MIN_POSITIVE, f32::MAX, -0.0]);
            for (byte, new) in bytes[at..].iter_mut().zip(value.to_le_bytes()) {
                *byte = new;
            }
        }
    }
}

/// The memory that reading a file may take: in one piece no more than the file has (and a little
/// for messages and names), in all a small multiple of it, because small items have a place in a
/// tree. Tokenizer and template are tables over the file's texts.
fn read(bytes: &[u8], path: &Path) -> Option<PromptFormatter> {
    let size = bytes.len();
    let (gguf, largest, peak) = counted(|| Gguf::from_bytes(bytes, path));
    assert!(
        largest <= size + 4_096,
        "{largest} bytes at once for a file of {size}"
    );
    assert!(
        peak <= 16 * size + 16_384,
        "{peak} bytes for a file of {size}"
    );
    let gguf = match gguf {
        Ok(gguf) => gguf,
        Err(error) => {
            assert!(error.to_string().len() < 2_048, "a short message");
            return None;
        }
    };
    let (formatter, largest, peak) = counted(|| PromptFormatter::from_parsed(&gguf));
    assert!(
        largest <= 16 * size + (1 << 20),
        "{largest} bytes at once for tables of {size}"
    );
    assert!(
        peak <= 64 * size + (4 << 20),
        "{peak} bytes for tables of {size}"
    );
    match formatter {
        Ok(formatter) => Some(formatter),
        Err(error) => {
            assert!(error.to_string().len() < 2_048, "a short message");
            None
        }
    }
}

/// Loads a file and asks for two tokens; whatever it says, it must go on working.
fn run(path: &Path) {
    let config = EngineConfig {
        threads: 1,
        ..Default::default()
    };
    let Ok(engine) = Engine::load(path, config) else {
        return;
    };
    let request = GenerateRequest {
        prompt_ids: vec![1, 2, 3],
        max_tokens: 2,
        sampler: Sampler::Verified {
            seed: [0; 32],
            temperature_milli: 0,
        },
        stop: Vec::new(),
        logprobs: false,
    };
    for _ in 0..2 {
        let Ok(mut stream) = engine.generate(request.clone(), CancellationToken::new()) else {
            return;
        };
        let mut ended = false;
        while let Some(step) = stream.blocking_recv() {
            match step {
                Ok(step) => ended |= step.finish.is_some(),
                Err(EngineError::Numbers(_)) => ended = true,
                Err(other) => panic!("{other}"),
            }
        }
        assert!(ended, "the engine's thread is gone");
    }
}

#[test]
fn no_damaged_file_panics_or_takes_more_memory_than_it_has_bytes() {
    let dir = tempfile::tempdir().expect("a directory");
    let small = |model: RandomModel| RandomModel {
        layers: 1,
        embedding: 64,
        feed_forward: 128,
        heads: 2,
        kv_heads: 1,
        context: 64,
        ..model
    };
    // The plainest and the one with the most parts; cases take them in turns.
    let files = [
        small(RandomModel::new(TensorFormat::Q4_0, 1)),
        small(RandomModel::of(Architecture::GptOss, TensorFormat::Q4_0, 1)),
    ]
    .map(|model| {
        let whole = dir.path().join("whole.gguf");
        model.write(&whole).expect("a model");
        let bytes = std::fs::read(&whole).expect("the file");
        let formatter = read(&bytes, &whole).expect("an undamaged file is read");
        assert!(formatter.chat(&[Message::new("user", "x")]).is_err());
        run(&whole);
        // The name of the last tensor stands only in the table; data follows it by less than that.
        let name = b"output_norm.weight";
        let table = bytes.windows(name.len()).position(|w| w == name);
        let head = table.expect("the table") + 1_024;
        (bytes, head)
    });

    let number = |key: &str| std::env::var(key).ok().and_then(|n| n.parse().ok());
    let only: Option<u64> = number("MYTHIC_FUZZ_CASE");
    let cases = match only {
        Some(case) => case..case + 1,
        None => 0..number("MYTHIC_FUZZ_CASES").unwrap_or(CASES),
    };
    let (mut accepted, mut loaded) = (0, 0);
    for case in cases.clone() {
        let mut random = Random(case);
        let (bytes, head) = &files[case as usize % files.len()];
        let mut damaged = bytes.clone();
        for _ in 0..1 + random.below(3) {
            mutate(&mut damaged, *head, &mut random);
        }
        let path = dir.path().join(format!("{case}.gguf"));
        let result = catch_unwind(AssertUnwindSafe(|| {
            let Some(formatter) = read(&damaged, &path) else {
                return;
            };
            accepted += 1;
            let _ = formatter.encode("Hello, world! 123\n<|im_end|>");
            let _ = formatter.chat(&[Message::new("user", "x")]);
            if loaded < LOADED || only.is_some() {
                loaded += 1;
                std::fs::write(&path, &damaged).expect("written");
                run(&path);
                std::fs::remove_file(&path).expect("removed");
            }
        }));
        assert!(
            result.is_ok(),
            "case {case}: MYTHIC_FUZZ_CASE={case} runs it alone"
        );
    }
    println!(
        "{} cases, {accepted} accepted, {loaded} loaded",
        cases.end - cases.start
    );
    if only.is_none() {
        assert!(accepted > 0 && loaded > 0, "some damage does no harm");
    }
}
