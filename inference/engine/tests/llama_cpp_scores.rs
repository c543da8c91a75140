//! Log-probabilities of given ids against llama.cpp's: perplexity over a text, and every weight
//! format and every architecture on small random models.
//!
//! `reference/scores.json` holds what llama.cpp gave on the same files, and what it gave for the
//! same weights as f32 with f32 keys and values, where it rounds nothing to int8 or f16: the
//! distance from that is what rounding costs either side. It is written by
//! `cargo test -p mythic-engine --test llama_cpp_scores -- --ignored`.

mod common;
#[path = "common/python.rs"]
mod python;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mythic_engine::{Engine, EngineConfig};
use mythic_lab::random_model::{FORMATS, RandomModel, architectures};
use mythic_model::prompt::PromptFormatter;
use serde::{Deserialize, Serialize};

const TEXT: &str = include_str!("reference/text.txt");
const REFERENCE: &str = include_str!("reference/scores.json");
const WINDOW: usize = 512;
/// Ids of a window that are read before the first that counts.
const CONTEXT: usize = 32;
const SEED: u64 = 4;

/// Ids, and which log-probabilities are asked after each of those from number `first` on.
#[derive(Serialize)]
struct Window {
    ids: Vec<u32>,
    first: usize,
    asked: Vec<Vec<u32>>,
}

#[derive(Serialize, Deserialize)]
struct Scores {
    /// Of a random model's file: another maker makes another reference.
    sha256: String,
    llama_cpp: Vec<f64>,
    exact: Vec<f64>,
}

#[derive(Serialize, Deserialize)]
struct Reference {
    text: Scores,
    formats: BTreeMap<String, Scores>,
    architectures: BTreeMap<String, Scores>,
}

fn reference() -> Reference {
    serde_json::from_str(REFERENCE).expect("the reference")
}

/// The text in windows; after each id the next one is asked.
fn text_windows() -> Vec<Window> {
    let formatter = PromptFormatter::from_gguf(common::model()).expect("formatter");
    let ids = formatter.tokenizer().encode(TEXT, false).expect("ids");
    ids.chunks(WINDOW)
        .map(|ids| Window {
            ids: ids.to_vec(),
            first: CONTEXT - 1,
            asked: ids[CONTEXT..].iter().map(|id| vec![*id]).collect(),
        })
        .collect()
}

/// Ids without meaning for a model without one; four are asked each time.
fn random_window(vocabulary: u32) -> Window {
    let ids: Vec<u32> = (0..64u32)
        .map(|i| (i * i * 31 + 7 * i) % vocabulary)
        .collect();
    let asked = (ids[8..].iter())
        .map(|id| {
            [0, 1, 57, 211]
                .map(|step| (id + step) % vocabulary)
                .to_vec()
        })
        .collect();
    Window {
        ids,
        first: 7,
        asked,
    }
}

/// A model in each weight format.
fn in_formats() -> Vec<(&'static str, RandomModel)> {
    FORMATS
        .map(|(name, format)| (name, RandomModel::new(format, SEED)))
        .into()
}

fn write(dir: &Path, name: &str, model: &RandomModel) -> PathBuf {
    let path = dir.join(format!("{name}.gguf"));
    model.write(&path).expect("a model");
    path
}

/// The window of a model file without meaning.
fn window_of(path: &Path) -> Window {
    let formatter = PromptFormatter::from_gguf(path).expect("a model");
    random_window(formatter.vocab_size() as u32)
}

fn sha256(path: &Path) -> String {
    let hash = mythic_model::catalogue::file_sha256(path).expect("the file");
    hash.iter().map(|b| format!("{b:02x}")).collect()
}

/// Our log-probabilities, in the order in which they were asked.
async fn ours(engine: &Engine, windows: &[Window]) -> Vec<f64> {
    let mut out = Vec::new();
    for window in windows {
        let (prompt, output) = window.ids.split_at(window.first + 1);
        let claimed: Vec<[u32; 4]> = (window.asked.iter())
            .map(|asked| std::array::from_fn(|i| asked[i % asked.len()]))
            .collect();
        let checked = engine
            .check(prompt, output, &claimed, None)
            .await
            .expect("scores");
        for (checked, asked) in checked.iter().zip(&window.asked) {
            let logits = checked.at_claimed.iter().take(asked.len());
            let lse = f64::from(checked.log_sum_exp);
            out.extend(logits.map(|logit| f64::from(*logit) / 65_536.0 - lse));
        }
    }
    out
}

/// llama.cpp's log-probabilities; `exact` keeps keys and values in f32.
fn theirs(python: &Path, model: &Path, windows: &[Window], exact: bool) -> Vec<f64> {
    let mut child = Command::new(python)
        .arg(script())
        .arg("--score")
        .arg(model)
        .args(exact.then_some("f32"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("python starts");
    let input = serde_json::to_vec(windows).expect("JSON");
    let mut stdin = child.stdin.take().expect("stdin");
    stdin.write_all(&input).expect("the windows are read");
    drop(stdin);
    let output = child.wait_with_output().expect("python ends");
    assert!(output.status.success(), "{:?}", output.status);
    let rows: Vec<Vec<Vec<f64>>> = serde_json::from_slice(&output.stdout).expect("JSON");
    rows.into_iter().flatten().flatten().collect()
}

fn unquantise(python: &Path, model: &Path, goal: &Path) {
    let status = Command::new(python)
        .arg(script())
        .arg("--unquantise")
        .args([model, goal])
        .status()
        .expect("python starts");
    assert!(status.success());
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/llama_cpp.py")
}

/// Mean distance.
fn distance(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let sum: f64 = a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum();
    sum / a.len() as f64
}

fn perplexity(logprobs: &[f64]) -> f64 {
    (-logprobs.iter().sum::<f64>() / logprobs.len() as f64).exp()
}

#[tokio::test]
async fn perplexity_over_a_text_is_llama_cpps_within_one_per_cent() {
    let reference = reference().text;
    let engine = common::engine(EngineConfig::default());
    let ours = ours(&engine, &text_windows()).await;
    let values = [&ours, &reference.llama_cpp, &reference.exact].map(|l| perplexity(l));
    let (error, noise) = (
        distance(&ours, &reference.exact),
        distance(&reference.llama_cpp, &reference.exact),
    );
    println!(
        "{} tokens, perplexity: ours {:.4}, llama.cpp {:.4}, weights as f32 {:.4}; a log-probability is off by {error:.4}, llama.cpp's by {noise:.4}",
        ours.len(),
        values[0],
        values[1],
        values[2],
    );
    assert!(ours.len() > 3_000);
    assert!((values[0] / values[1] - 1.0).abs() < 0.01);
    assert!((values[0] / values[2] - 1.0).abs() < 0.01);
    assert!(error < 1.25 * noise);
}

/// How far our log-probabilities are from those of a model that rounds nothing, on average, and how far
/// llama.cpp's are. The file must be the one that the reference was made with.
async fn errors(dir: &Path, name: &str, model: &RandomModel, scores: &Scores) -> (f64, f64) {
    let path = write(dir, name, model);
    assert_eq!(
        sha256(&path),
        scores.sha256,
        "the maker of {name} has changed"
    );
    let engine = Engine::load(&path, EngineConfig::default()).expect("the engine");
    let ours = ours(&engine, &[window_of(&path)]).await;
    let error = distance(&ours, &scores.exact);
    let noise = distance(&scores.llama_cpp, &scores.exact);
    println!("{name}: a log-probability is off by {error:.5}, llama.cpp's by {noise:.5}");
    (error, noise)
}

#[tokio::test]
async fn every_weight_format_is_as_exact_as_llama_cpps() {
    let reference = reference();
    let dir = tempfile::tempdir().expect("a directory");
    for (name, model) in in_formats() {
        let (error, noise) = errors(dir.path(), name, &model, &reference.formats[name]).await;
        // Where next to nothing is rounded, both are off by what f16 keys and values cost.
        assert!(
            error < 1.25 * noise + 0.000_5,
            "{name}: {error} against {noise}"
        );
    }
}

#[tokio::test]
async fn every_architecture_gives_llama_cpps_log_probabilities() {
    let reference = reference();
    let dir = tempfile::tempdir().expect("a directory");
    for (name, model) in architectures(SEED) {
        let scores = &reference.architectures[name];
        let (error, noise) = errors(dir.path(), name, &model, scores).await;
        // Weights are f32 here, so that both are off by what f16 keys and values cost; llama.cpp reads
        // GELU from a table of f16 besides. What an architecture does otherwise moves them by tenths.
        assert!(
            error < 1.5 * noise + 0.001_5,
            "{name}: {error} against {noise}"
        );
    }
}

/// Asks llama.cpp again, where it can be installed: the reference is what it says.
#[test]
fn llama_cpp_itself_gives_the_reference() {
    let python = match python::with_llama_cpp() {
        Ok(python) => python,
        Err(reason) => {
            println!("not compared: xllamacpp cannot be installed here: {reason}");
            return;
        }
    };
    let reference = reference();
    let dir = tempfile::tempdir().expect("a directory");
    let same = |name: &str, now: Vec<f64>, then: &Scores| {
        // Another processor adds up in another order, and that is all that may differ.
        let noise = distance(&then.llama_cpp, &then.exact);
        let moved = distance(&now, &then.llama_cpp);
        assert!(moved <= noise + 0.000_1, "{name}: {moved} against {noise}");
    };
    let now = theirs(&python, &common::model(), &text_windows(), false);
    assert!((perplexity(&now) / perplexity(&reference.text.llama_cpp) - 1.0).abs() < 0.005);
    same("text", now, &reference.text);
    for (models, scores) in [
        (in_formats(), &reference.formats),
        (architectures(SEED), &reference.architectures),
    ] {
        for (name, model) in models {
            let path = write(dir.path(), name, &model);
            let now = theirs(&python, &path, &[window_of(&path)], false);
            same(name, now, &scores[name]);
        }
    }
}

/// Not a test: writes the reference.
#[test]
#[ignore = "writes reference/scores.json by asking llama.cpp"]
fn write_the_reference() {
    let python = python::with_llama_cpp().expect("llama.cpp");
    let dir = tempfile::tempdir().expect("a directory");
    let round = |list: Vec<f64>| list.iter().map(|x| (x * 1e5).round() / 1e5).collect();
    let scores = |path: &Path, windows: &[Window]| {
        let f32_model = dir.path().join("f32.gguf");
        unquantise(&python, path, &f32_model);
        Scores {
            sha256: sha256(path),
            llama_cpp: round(theirs(&python, path, windows, false)),
            exact: round(theirs(&python, &f32_model, windows, true)),
        }
    };
    let of = |models: Vec<(&str, RandomModel)>| -> BTreeMap<String, Scores> {
        let each = models.into_iter().map(|(name, model)| {
            let path = write(dir.path(), name, &model);
            (name.to_owned(), scores(&path, &[window_of(&path)]))
        });
        each.collect()
    };
    let reference = Reference {
        text: scores(&common::model(), &text_windows()),
        formats: of(in_formats()),
        architectures: of(architectures(SEED)),
    };
    let goal = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/scores.json");
    let json = serde_json::to_string(&reference).expect("JSON") + "\n";
    std::fs::write(goal, json).expect("written");
}
