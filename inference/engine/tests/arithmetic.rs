//! One arithmetic: a position's logits are the same bits however they come about, and the same as
//! when the golden file was made. Whole rows of logits are compared, by their hashes.
//!
//! A change of the golden file is a change of the kernel profile. It is made anew by
//! `cargo test -p mythic-engine --test arithmetic -- --ignored`.

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mythic_engine::Lab;
use mythic_engine::decoder::{Model, Pass, Row, Scratch, Span};
use mythic_engine::kernels::attention::SEGMENT;
use mythic_engine::kernels::pack::Pack;
use mythic_engine::kernels::{self, InstructionSet, Kernels};
use mythic_engine::kv::Pool;
use mythic_engine::logits::Keep;
use mythic_engine::pages::{PAGE, PageId, pages_for};
use mythic_lab::random_model::{FORMATS, RandomModel, architectures};
use mythic_model::catalogue::file_sha256;
use mythic_model::gguf::{Gguf, TensorFormat};
use mythic_model::layout::Architecture;
use mythic_model::servable;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

type Hash = [u8; 32];

fn model(path: &Path, threads: usize, set: InstructionSet) -> (Model, u32) {
    let gguf = Gguf::open(path).expect("a model file");
    let layout = servable::check(&gguf).expect("a model").layout;
    let kernels = Kernels::new(threads, set).expect("kernels");
    let pack = Pack::open(path, &gguf, kernels.pool()).expect("a pack");
    let model = Model::load(&gguf, &pack, &layout, kernels).expect("a model");
    (model, layout.shape.vocabulary as u32)
}

/// The hash of each position's logits. Passes hold random parts of random sequences, at most
/// `most` rows of one; pages lie in random order.
fn logits(model: &Model, sequences: &[Vec<u32>], most: usize, rng: &mut StdRng) -> Vec<Vec<Hash>> {
    let counts: Vec<usize> = sequences.iter().map(|s| pages_for(s.len())).collect();
    let mut ids: Vec<PageId> = (0..counts.iter().sum::<usize>() as u32 + 2)
        .map(PageId)
        .collect();
    ids.shuffle(rng);
    let mut pool = Pool::new(model.kv_shape(), ids.len() as u32, Lab::default()).expect("a pool");
    let tables: Vec<Vec<PageId>> = counts
        .iter()
        .map(|n| ids.split_off(ids.len() - n))
        .collect();
    let mut scratch = Scratch::default();
    let mut found: Vec<Vec<Hash>> = vec![Vec::new(); sequences.len()];
    while found.iter().zip(sequences).any(|(f, s)| f.len() < s.len()) {
        let mut pass = Pass::default();
        let mut owners = Vec::new();
        for (at, sequence) in sequences.iter().enumerate() {
            let left = sequence.len() - found[at].len();
            if left == 0 || rng.random_range(0..4) == 0 {
                continue;
            }
            let rows = rng.random_range(1..=left.min(most));
            let (row, page) = (pass.rows.len(), pass.pages.len());
            let tokens = sequence.iter().enumerate();
            for (position, token) in tokens.skip(found[at].len()).take(rows) {
                pass.rows.push(Row {
                    token: *token,
                    position,
                    keep: Some(Keep::default()),
                });
                owners.push(at);
            }
            pass.pages.extend(&tables[at]);
            pass.spans.push(Span {
                rows: row..pass.rows.len(),
                pages: page..pass.pages.len(),
            });
        }
        model.forward(&pass, &mut pool, &mut scratch, |row, kept, logits| {
            kept.expect("numbers");
            let mut hash = Sha256::new();
            for x in logits {
                hash.update(x.to_bits().to_le_bytes());
            }
            found[owners[row]].push(hash.finalize().into());
        });
    }
    found
}

/// Sequences of random tokens, the longest of so many.
fn sequences(longest: usize, vocabulary: u32, rng: &mut StdRng) -> Vec<Vec<u32>> {
    [longest, 21, 6]
        .map(|len| (0..len).map(|_| rng.random_range(0..vocabulary)).collect())
        .to_vec()
}

/// Instruction sets, threads, and how many rows of a sequence a pass holds at most.
fn ways() -> Vec<(InstructionSet, usize, usize)> {
    let mut ways = vec![(InstructionSet::Auto, 1, 64), (InstructionSet::Auto, 2, 1)];
    ways.extend(
        InstructionSet::available()
            .into_iter()
            .map(|set| (set, 3, 40)),
    );
    ways
}

fn same_bits_however(path: &Path, longest: usize, seed: u64) {
    eprintln!("{} seed {seed}", path.display());
    let mut rng = StdRng::seed_from_u64(seed);
    let mut want = None;
    for (set, threads, most) in ways() {
        let (model, vocabulary) = model(path, threads, set);
        let sequences = sequences(longest, vocabulary, &mut StdRng::seed_from_u64(seed));
        let got = logits(&model, &sequences, most, &mut rng);
        let want = want.get_or_insert_with(|| got.clone());
        for (sequence, (got, want)) in got.iter().zip(want.iter()).enumerate() {
            for position in 0..want.len() {
                assert_eq!(
                    got[position], want[position],
                    "sequence {sequence} position {position}: {set}, {threads} threads, up to {most} rows"
                );
            }
        }
    }
}

#[test]
fn logits_are_the_same_bits_for_any_chunk_batch_threads_and_instruction_set() {
    same_bits_however(&common::model(), PAGE + 13, 20_261_127);
}

#[test]
fn so_are_those_of_every_weight_format_past_a_segment_of_attention() {
    let directory = tempfile::tempdir().expect("a directory");
    for (seed, (name, format)) in (1..).zip(FORMATS) {
        let path = directory.path().join(format!("{name}.gguf"));
        RandomModel::new(format, seed)
            .write(&path)
            .expect("a model");
        same_bits_however(&path, SEGMENT + PAGE + 13, seed);
    }
}

#[test]
fn so_are_those_of_every_architecture() {
    let directory = tempfile::tempdir().expect("a directory");
    for (seed, (name, model)) in (1..).zip(architectures(3)) {
        let path = directory.path().join(format!("{name}.gguf"));
        model.write(&path).expect("a model");
        same_bits_however(&path, PAGE + 13, seed);
    }
}

#[test]
fn so_are_those_of_experts_in_four_bits() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("experts.gguf");
    RandomModel::of(Architecture::GptOss, TensorFormat::MXFP4, 5)
        .write(&path)
        .expect("a model");
    same_bits_however(&path, SEGMENT + PAGE + 13, 5);
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Golden {
    model_sha256: String,
    kernel_profile: u16,
    /// Into a second segment of attention.
    tokens: Vec<u32>,
    /// SHA-256 over the logits, as little-endian f32, of every eighth position from the first on.
    logits_sha256: Vec<String>,
    /// Of a random model in each weight format, the same for its last position.
    formats: BTreeMap<String, String>,
    /// Of one of each architecture.
    architectures: BTreeMap<String, String>,
}

fn golden_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/logits.json")
}

fn golden() -> Golden {
    let path = common::model();
    let directory = tempfile::tempdir().expect("a directory");
    let last = |(name, of): (&str, RandomModel)| {
        let path = directory.path().join(format!("{name}.gguf"));
        of.write(&path).expect("a model");
        let (model, vocabulary) = model(&path, 0, InstructionSet::Auto);
        // Beyond the windows of layers that have one.
        let tokens = (0..PAGE as u32 + 8).map(|i| i * 13 % vocabulary).collect();
        let found = logits(&model, &[tokens], 40, &mut StdRng::seed_from_u64(0));
        (name.to_owned(), hex::encode(found[0][PAGE + 7]))
    };
    let formats = FORMATS.map(|(name, format)| (name, RandomModel::new(format, 7)));
    let formats = formats.into_iter().map(last).collect();
    let architectures = architectures(7).into_iter().map(last).collect();
    let (model, _) = model(&path, 0, InstructionSet::Auto);
    let tokens: Vec<u32> = (0..(SEGMENT + PAGE) as u32 + 9)
        .map(|i| 300 + i * 997 % 40_000)
        .collect();
    let mut rng = StdRng::seed_from_u64(0);
    let found = logits(&model, std::slice::from_ref(&tokens), 64, &mut rng);
    Golden {
        model_sha256: hex::encode(file_sha256(&path).expect("the file")),
        kernel_profile: kernels::PROFILE,
        tokens,
        logits_sha256: found[0].iter().step_by(8).map(hex::encode).collect(),
        formats,
        architectures,
    }
}

#[test]
fn logits_are_those_of_the_golden_file() {
    let text = std::fs::read_to_string(golden_path()).expect("the golden file");
    let want: Golden = serde_json::from_str(&text).expect("JSON");
    assert_eq!(golden(), want);
}

#[test]
#[ignore = "writes the golden file: a change of arithmetic is a change of the kernel profile"]
fn write_the_golden_file() {
    let text = serde_json::to_string_pretty(&golden()).expect("JSON");
    std::fs::write(golden_path(), text + "\n").expect("the file is written");
}
