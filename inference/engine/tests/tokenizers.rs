//! Every pre-tokenizer, and SentencePiece, against llama.cpp: token ids of texts that each cuts differently,
//! on small random models whose merges lie over those places.
//!
//! `reference/tokens.json` holds the texts and what llama.cpp makes of them; it is written by
//! `cargo test -p mythic-engine --test tokenizers -- --ignored`.

#[path = "common/python.rs"]
mod python;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mythic_lab::random_model::RandomModel;
use mythic_model::gguf::TensorFormat;
use mythic_model::layout::Architecture;
use mythic_model::prompt::PromptFormatter;
use mythic_model::tokenizer::split::PreTokenizer;
use serde::{Deserialize, Serialize};

const REFERENCE: &str = include_str!("reference/tokens.json");

#[derive(Serialize, Deserialize)]
struct Reference {
    texts: Vec<String>,
    tokens: BTreeMap<String, Vec<Vec<u32>>>,
}

fn reference() -> Reference {
    serde_json::from_str(REFERENCE).expect("the reference")
}

/// A model of each tokenizer.
fn models() -> Vec<(&'static str, RandomModel)> {
    let of = |architecture| RandomModel {
        layers: 1,
        ..RandomModel::of(architecture, TensorFormat::F32, 1)
    };
    let mut models: Vec<(&'static str, RandomModel)> = PreTokenizer::NAMES
        .map(|name| {
            let model = RandomModel {
                pre: Some(name),
                ..of(Architecture::Llama)
            };
            (name, model)
        })
        .into();
    models.push(("sentencepiece", of(Architecture::Phi3)));
    models
}

fn write(dir: &Path, name: &str, model: &RandomModel) -> PathBuf {
    let path = dir.join(format!("{name}.gguf"));
    model.write(&path).expect("a model");
    path
}

#[test]
fn every_tokenizer_gives_llama_cpps_ids() {
    let reference = reference();
    let dir = tempfile::tempdir().expect("a directory");
    for (name, model) in models() {
        let path = write(dir.path(), name, &model);
        let formatter = PromptFormatter::from_gguf(path).expect("a model");
        let tokenizer = formatter.tokenizer();
        for (text, want) in reference.texts.iter().zip(&reference.tokens[name]) {
            let got = tokenizer.encode(text, true).expect("ids");
            assert_eq!(&got, want, "{name}: {text:?}");
        }
        assert_eq!(reference.tokens[name].len(), reference.texts.len());
    }
}

/// What llama.cpp makes of the texts.
fn theirs(python: &Path, model: &Path, texts: &[String]) -> Vec<Vec<u32>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/llama_cpp.py");
    let mut child = Command::new(python)
        .arg(script)
        .arg("--tokenize")
        .arg(model)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("python starts");
    let mut stdin = child.stdin.take().expect("stdin");
    let input = serde_json::to_vec(texts).expect("JSON");
    stdin.write_all(&input).expect("the texts are read");
    drop(stdin);
    let output = child.wait_with_output().expect("python ends");
    assert!(output.status.success(), "{:?}", output.status);
    serde_json::from_slice(&output.stdout).expect("JSON")
}

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
    for (name, model) in models() {
        let path = write(dir.path(), name, &model);
        let now = theirs(&python, &path, &reference.texts);
        assert_eq!(now, reference.tokens[name], "{name}");
    }
}

/// Not a test: writes the reference.
#[test]
#[ignore = "writes reference/tokens.json by asking llama.cpp"]
fn write_the_reference() {
    let python = python::with_llama_cpp().expect("llama.cpp");
    let dir = tempfile::tempdir().expect("a directory");
    let mut reference = reference();
    let tokens = models().into_iter().map(|(name, model)| {
        let path = write(dir.path(), name, &model);
        (name.to_owned(), theirs(&python, &path, &reference.texts))
    });
    reference.tokens = tokens.collect();
    let goal = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/tokens.json");
    let json = serde_json::to_string(&reference).expect("JSON") + "\n";
    std::fs::write(goal, json).expect("written");
}
