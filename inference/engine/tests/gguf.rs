//! Damaged and tampered model files give an error that says what is wrong, never a panic.

mod common;

use std::path::Path;

use mythic_engine::{Engine, EngineConfig};
use mythic_model::gguf::{Gguf, GgufError, Value};
use mythic_model::prompt::PromptFormatter;

fn text(s: &str) -> Vec<u8> {
    [&(s.len() as u64).to_le_bytes(), s.as_bytes()].concat()
}

/// A metadata value of a type.
fn value(kind: u32, bytes: &[u8]) -> Vec<u8> {
    [&kind.to_le_bytes(), bytes].concat()
}

/// An array that claims `count` items of a type and holds `bytes`.
fn array(kind: u32, count: u64, bytes: &[u8]) -> Vec<u8> {
    value(
        9,
        &[&kind.to_le_bytes()[..], &count.to_le_bytes(), bytes].concat(),
    )
}

/// A file of some metadata (each: key, then type and value) and tensors (each: description).
fn file(metadata: &[(&str, Vec<u8>)], tensors: &[Vec<u8>], data: usize) -> Vec<u8> {
    let mut out = b"GGUF".to_vec();
    out.extend(3u32.to_le_bytes());
    out.extend((tensors.len() as u64).to_le_bytes());
    out.extend((metadata.len() as u64).to_le_bytes());
    for (key, value) in metadata {
        out.extend(text(key));
        out.extend(value);
    }
    for t in tensors {
        out.extend(t);
    }
    out.resize(out.len().next_multiple_of(32) + data, 0);
    out
}

fn tensor(name: &str, dims: &[u64], kind: u32, offset: u64) -> Vec<u8> {
    let mut out = text(name);
    out.extend((dims.len() as u32).to_le_bytes());
    dims.iter().for_each(|d| out.extend(d.to_le_bytes()));
    out.extend(kind.to_le_bytes());
    out.extend(offset.to_le_bytes());
    out
}

fn open(bytes: &[u8]) -> Result<Gguf, GgufError> {
    Gguf::from_bytes(bytes, Path::new("model.gguf"))
}

fn refused(bytes: &[u8]) -> String {
    match open(bytes) {
        Ok(_) => panic!("accepted"),
        Err(e) => e.to_string(),
    }
}

#[test]
fn hostile_headers_are_refused() {
    assert!(refused(b"").contains("model.gguf is not a GGUF"));
    assert!(refused(b"PK\x03\x04").contains("not a GGUF"));
    assert!(refused(b"GGUF").contains("ends early"));
    assert!(refused(b"GGUF\x09\0\0\0").contains("version 9"));
    let counts = |tensors: u64, keys: u64| {
        let counts = [tensors.to_le_bytes(), keys.to_le_bytes()].concat();
        refused(&[b"GGUF".as_slice(), &3u32.to_le_bytes(), &counts].concat())
    };
    assert!(counts(u64::MAX, 0).contains("18446744073709551615 tensors"));
    assert!(counts(0, u64::MAX).contains("18446744073709551615 metadata keys"));
    assert!(counts(1, 0).contains("ends early"));
    assert!(counts(0, 65_536).contains("ends early"));
}

#[test]
fn metadata_bombs_are_refused() {
    let with = |value: Vec<u8>| refused(&file(&[("k", value)], &[], 0));
    for kind in [0, 4, 6, 7, 8, 12] {
        assert!(with(array(kind, u64::MAX, &[])).contains("an array of 18446744073709551615"));
        assert!(with(array(kind, 1 << 22, &[0; 64])).contains("ends early"));
    }
    assert!(with(array(9, 1, &[])).contains("an array of unknown type 9"));
    assert!(with(array(77, 1, &[])).contains("an array of unknown type 77"));
    assert!(with(array(10, 1, &u64::MAX.to_le_bytes())).contains("integer over 2^63"));
    assert!(with(value(13, &[0; 8])).contains("metadata of unknown type 13"));
    assert!(with(value(8, &(1u64 << 40).to_le_bytes())).contains("a string of 1099511627776"));
    assert!(with(value(8, &(1u64 << 20).to_le_bytes())).contains("ends early"));
    assert!(with(value(8, &[1, 0, 0, 0, 0, 0, 0, 0, 0xff])).contains("not UTF-8"));
    assert!(with(array(8, 1, &[1, 0, 0, 0, 0, 0, 0, 0, 0xff])).contains("not UTF-8"));
    let one = value(4, &1u32.to_le_bytes());
    assert!(refused(&file(&[("k", one.clone()), ("k", one)], &[], 0)).contains("`k` stands twice"));
    let long = "k".repeat(513);
    assert!(refused(&file(&[(&long, value(0, &[0]))], &[], 0)).contains("a key of 513 bytes"));
}

#[test]
fn alignments_other_than_powers_of_two_are_refused() {
    let with = |n: u32| file(&[("general.alignment", value(4, &n.to_le_bytes()))], &[], 0);
    for n in [0, 1, 3, 4, 33, 131_072, u32::MAX] {
        assert!(refused(&with(n)).contains("power of two"), "{n}");
    }
    assert!(open(&with(32)).is_ok());
    // An array in its place is named, not printed.
    let bomb = array(0, 1 << 20, &vec![7; 1 << 20]);
    let error = refused(&file(&[("general.alignment", bomb)], &[], 0));
    assert!(
        error.contains("is an array of integers, allowed"),
        "{error}"
    );
}

#[test]
fn arrays_are_read_from_the_file_as_they_are() {
    let bytes = [
        ("a", array(1, 3, &[0xff, 0, 1])),
        (
            "b",
            array(
                12,
                2,
                &[1.5f64.to_le_bytes(), (-2f64).to_le_bytes()].concat(),
            ),
        ),
        ("c", array(7, 2, &[0, 2])),
        ("d", array(8, 2, &[text("é"), text("")].concat())),
        ("e", array(4, 0, &[])),
    ];
    let gguf = open(&file(&bytes, &[], 0)).expect("a file");
    let found: Vec<String> = gguf
        .metadata()
        .map(|(key, value)| match value {
            Value::Ints(list) => format!("{key}{:?}", list.iter().collect::<Vec<_>>()),
            Value::Floats(list) => format!("{key}{:?}", list.iter().collect::<Vec<_>>()),
            Value::Bools(list) => format!("{key}{:?}", list.iter().collect::<Vec<_>>()),
            Value::Texts(list) => format!("{key}{:?}", list.iter().collect::<Vec<_>>()),
            other => panic!("{other}"),
        })
        .collect();
    assert_eq!(
        found,
        [
            "a[-1, 0, 1]",
            "b[1.5, -2.0]",
            "c[false, true]",
            "d[\"é\", \"\"]",
            "e[]"
        ]
    );
}

#[test]
fn tensors_lie_in_the_file_one_after_the_other() {
    let with = |tensors: &[Vec<u8>]| file(&[], tensors, 288);
    let (a, b) = (tensor("a", &[64, 2], 8, 0), tensor("b", &[32], 0, 160));
    assert!(open(&with(&[a.clone(), b.clone()])).is_ok());
    let bad = |t: Vec<u8>| refused(&with(&[a.clone(), t]));
    let begins = |offset| bad(tensor("b", &[32], 0, offset));
    // Overlapping, leaving a gap, unaligned, beyond the file, overflowing.
    for offset in [0, 32, 128, 192, 136, 1 << 40, u64::MAX - 31, u64::MAX] {
        assert!(begins(offset).contains("expected 160"), "{offset}");
    }
    assert!(bad(tensor("b", &[64], 0, 160)).contains("its tensors need"));
    assert!(bad(tensor("b", &[1 << 31, 1 << 31, 1 << 31], 0, 160)).contains("larger than any"));
    assert!(bad(tensor("b", &[1 << 31, 1 << 29], 0, 160)).contains("larger than any"));
    assert!(bad(tensor("b", &[1 << 31, 1 << 20], 0, 160)).contains("its tensors need"));
    assert!(bad(tensor("b", &[0], 0, 160)).contains("extent of 0"));
    assert!(bad(tensor("b", &[1 << 32], 0, 160)).contains("extent of 4294967296"));
    assert!(bad(tensor("b", &[33], 8, 160)).contains("multiple of 32"));
    assert!(bad(tensor("b", &[32], 99, 160)).contains("quantisation type 99"));
    assert!(bad(tensor("b", &[], 0, 160)).contains("0 dimensions"));
    assert!(bad(tensor("b", &[1; 5], 0, 160)).contains("5 dimensions"));
    assert!(bad(tensor("a", &[32], 0, 160)).contains("`a` stands twice"));
    let long = file(&[], &[a, b], 288 + 32);
    assert!(refused(&long).contains("32 bytes follow the last tensor"));
}

#[cfg(unix)]
#[test]
fn what_is_no_regular_file_is_refused() {
    for path in ["/dev/zero", "/"] {
        let error = Gguf::open(Path::new(path)).err().expect("refused");
        assert!(error.to_string().contains("not a regular file"), "{error}");
    }
}

#[test]
fn a_model_cut_short_is_refused() {
    let bytes = std::fs::read(common::model()).expect("the model");
    assert!(refused(&bytes[..bytes.len() - 1]).contains("its tensors need"));
    assert!(refused(&bytes[..1_000_000]).contains("ends early"));
}

/// The real model's head with `find` replaced by `put`, of the same length, and nothing behind
/// the tensor table but a hole.
fn tampered(dir: &Path, find: &[u8], put: &[u8]) -> std::path::PathBuf {
    assert_eq!(find.len(), put.len());
    let mut bytes = std::fs::read(common::model()).expect("the model");
    let at = bytes
        .windows(find.len())
        .position(|w| w == find)
        .expect("something to tamper with");
    bytes[at..at + put.len()].copy_from_slice(put);
    let path = dir.join("tampered.gguf");
    std::fs::write(&path, bytes).expect("written");
    path
}

#[test]
fn tampered_models_are_refused_with_what_is_wrong() {
    let dir = tempfile::tempdir().expect("a directory");
    let key = |name: &str, old: u32, new: u32| {
        let line = |v: u32| [name.as_bytes(), &4u32.to_le_bytes(), &v.to_le_bytes()].concat();
        let path = tampered(dir.path(), &line(old), &line(new));
        match Engine::load(&path, EngineConfig::default()) {
            Ok(_) => panic!("{name} = {new} was accepted"),
            Err(e) => e.to_string(),
        }
    };
    assert!(key("llama.embedding_length", 576, 577).contains("attn_q"));
    assert!(key("llama.attention.head_count", 9, 0).contains("allowed is 1"));
    assert!(key("llama.attention.head_count_kv", 3, 4).contains("no model's shape"));
    assert!(key("llama.block_count", 30, 31).contains("lacks the tensor `blk.30"));
    assert!(key("llama.block_count", 30, 29).contains("does not know"));
    assert!(key("llama.context_length", 8192, 0).contains("allowed is 1"));
    assert!(key("llama.rope.dimension_count", 64, 66).contains("rotating 66"));
    assert!(key("tokenizer.ggml.eos_token_id", 2, 60_000).contains("allowed is 0 to 49151"));
    let path = tampered(dir.path(), b"tokenizer.ggml.model", b"tokenizer.ggml.Model");
    let error = PromptFormatter::from_gguf(&path).err().expect("refused");
    assert!(
        error.to_string().contains("tokenizer.ggml.model"),
        "{error}"
    );
    let path = tampered(dir.path(), b"smollm\x15", b"sm0llm\x15");
    let error = PromptFormatter::from_gguf(&path).err().expect("refused");
    assert!(error.to_string().contains("sm0llm"), "{error}");
}
