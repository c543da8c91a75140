//! Damaged and tampered model files give an error that says what is wrong, never a panic.

mod common;

use std::path::Path;

use mythic_inference::engine::{Engine, EngineConfig};
use mythic_inference::gguf::{Gguf, GgufError};
use mythic_inference::prompt::PromptFormatter;
use proptest::prelude::*;

fn text(s: &str) -> Vec<u8> {
    [&(s.len() as u64).to_le_bytes(), s.as_bytes()].concat()
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
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("model.gguf");
    std::fs::write(&path, bytes).expect("written");
    Gguf::open(&path)
}

fn refused(bytes: &[u8]) -> String {
    match open(bytes) {
        Ok(_) => panic!("accepted"),
        Err(e) => e.to_string(),
    }
}

#[test]
fn hostile_headers_are_refused() {
    assert!(refused(b"").contains("not a GGUF"));
    assert!(refused(b"PK\x03\x04").contains("not a GGUF"));
    assert!(refused(b"GGUF\x09\0\0\0").contains("version 9"));
    let huge = [
        b"GGUF".as_slice(),
        &3u32.to_le_bytes(),
        &u64::MAX.to_le_bytes(),
        &[0; 8],
    ]
    .concat();
    assert!(refused(&huge).contains("tensors"));
    let key = [
        &9u32.to_le_bytes()[..],
        &8u32.to_le_bytes(),
        &u64::MAX.to_le_bytes(),
    ]
    .concat();
    assert!(refused(&file(&[("k", key)], &[], 0)).contains("an array of"));
    let nested = [
        &9u32.to_le_bytes()[..],
        &9u32.to_le_bytes(),
        &1u64.to_le_bytes(),
    ]
    .concat();
    assert!(refused(&file(&[("k", nested)], &[], 0)).contains("unknown type"));
    let long = [&8u32.to_le_bytes()[..], &(1u64 << 40).to_le_bytes()].concat();
    assert!(refused(&file(&[("k", long)], &[], 0)).contains("bytes"));
    let one = [&4u32.to_le_bytes()[..], &1u32.to_le_bytes()].concat();
    assert!(refused(&file(&[("k", one.clone()), ("k", one)], &[], 0)).contains("twice"));
    let align = [&4u32.to_le_bytes()[..], &3u32.to_le_bytes()].concat();
    assert!(refused(&file(&[("general.alignment", align)], &[], 0)).contains("power of two"));
}

#[test]
fn tensors_must_lie_in_the_file() {
    let with = |t: Vec<u8>| file(&[], &[t], 1024);
    assert!(open(&with(tensor("t", &[64, 4], 8, 0))).is_ok());
    for bad in [
        tensor("t", &[64, 1 << 20], 8, 0),
        tensor("t", &[1 << 31, 1 << 31, 1 << 31], 0, 0),
        tensor("t", &[64], 0, 1024),
        tensor("t", &[64], 0, u64::MAX - 31),
        tensor("t", &[64], 0, 8),
    ] {
        assert!(refused(&with(bad)).contains("outside the file or unaligned"));
    }
    assert!(refused(&with(tensor("t", &[0], 0, 0))).contains("extent of 0"));
    assert!(refused(&with(tensor("t", &[33], 8, 0))).contains("multiple of 32"));
    assert!(refused(&with(tensor("t", &[32], 99, 0))).contains("quantisation type 99"));
    assert!(refused(&with(tensor("t", &[1; 5], 0, 0))).contains("5 dimensions"));
}

#[test]
fn a_model_cut_short_is_refused() {
    let bytes = std::fs::read(common::model()).expect("the model");
    assert!(refused(&bytes[..bytes.len() - 1]).contains("outside the file"));
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn random_damage_to_a_small_file_never_panics(
        flips in prop::collection::vec((0usize..400, any::<u8>()), 1..6),
        cut in 0usize..1500,
    ) {
        let metadata = [
            ("general.architecture", [&8u32.to_le_bytes()[..], &text("llama")].concat()),
            ("x.list", [&9u32.to_le_bytes()[..], &4u32.to_le_bytes(), &2u64.to_le_bytes(), &[0; 8]].concat()),
        ];
        let tensors = [tensor("a", &[32, 2], 8, 0), tensor("b", &[16], 0, 96)];
        let mut bytes = file(&metadata, &tensors, 1024);
        for (at, value) in flips {
            if let Some(b) = bytes.get_mut(at) {
                *b = value;
            }
        }
        bytes.truncate(bytes.len().saturating_sub(cut));
        if let Ok(gguf) = open(&bytes) {
            let names: Vec<String> = gguf.tensor_names().map(str::to_owned).collect();
            for name in names {
                let dims = gguf.tensor(&name).map(|t| t.dims.clone()).unwrap_or_default();
                if let Ok((mapped, _)) = gguf.mapped(&name, &dims) {
                    let _ = mapped.bytes().iter().fold(0u8, |a, b| a ^ b);
                }
            }
            let _ = mythic_inference::tokenizer::Tokenizer::from_gguf(&gguf);
        }
    }
}
