//! GGUF files for tests: written from scratch, or a model's head with some of it changed.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use mythic_model::catalogue;
use mythic_model::gguf::{Gguf, Value};

/// A metadata value as a file holds it.
#[derive(Clone)]
pub enum Item {
    U32(u32),
    F32(f32),
    Bool(bool),
    Text(String),
    Texts(Vec<String>),
    I32s(Vec<i32>),
    F32s(Vec<f32>),
}

pub fn text(s: &str) -> Item {
    Item::Text(s.to_owned())
}

fn put_text(out: &mut Vec<u8>, s: &str) {
    out.extend((s.len() as u64).to_le_bytes());
    out.extend(s.as_bytes());
}

impl Item {
    fn write(&self, out: &mut Vec<u8>) {
        let kind = |out: &mut Vec<u8>, kind: u32| out.extend(kind.to_le_bytes());
        let array = |out: &mut Vec<u8>, item: u32, count: usize| {
            kind(out, 9);
            kind(out, item);
            out.extend((count as u64).to_le_bytes());
        };
        match self {
            Item::U32(n) => {
                kind(out, 4);
                out.extend(n.to_le_bytes());
            }
            Item::F32(x) => {
                kind(out, 6);
                out.extend(x.to_le_bytes());
            }
            Item::Bool(b) => {
                kind(out, 7);
                out.push(u8::from(*b));
            }
            Item::Text(s) => {
                kind(out, 8);
                put_text(out, s);
            }
            Item::Texts(list) => {
                array(out, 8, list.len());
                list.iter().for_each(|s| put_text(out, s));
            }
            Item::I32s(list) => {
                array(out, 5, list.len());
                list.iter().for_each(|n| out.extend(n.to_le_bytes()));
            }
            Item::F32s(list) => {
                array(out, 6, list.len());
                list.iter().for_each(|x| out.extend(x.to_le_bytes()));
            }
        }
    }

    fn of(value: &Value) -> Self {
        match value {
            Value::Int(n) => Item::U32(u32::try_from(*n).expect("a small number")),
            Value::Float(x) => Item::F32(*x as f32),
            Value::Bool(b) => Item::Bool(*b),
            Value::Text(s) => Item::Text(s.clone()),
            Value::Texts(list) => Item::Texts(list.iter().map(str::to_owned).collect()),
            Value::Ints(list) => Item::I32s(list.iter().map(|n| n as i32).collect()),
            Value::Floats(list) => Item::F32s(list.iter().collect()),
            Value::Bools(_) => unreachable!("no such key in these files"),
        }
    }
}

/// A tensor of a file: name, extents, ggml's code of its format, bytes.
pub type Tensor = (String, Vec<u64>, u32, usize);

/// The bytes of a file whose tensors hold zeros.
pub fn file(metadata: &[(String, Item)], tensors: &[Tensor]) -> Vec<u8> {
    let mut out = b"GGUF".to_vec();
    out.extend(3u32.to_le_bytes());
    out.extend((tensors.len() as u64).to_le_bytes());
    out.extend((metadata.len() as u64).to_le_bytes());
    for (key, item) in metadata {
        put_text(&mut out, key);
        item.write(&mut out);
    }
    let mut offset = 0usize;
    for (name, dims, format, bytes) in tensors {
        put_text(&mut out, name);
        out.extend((dims.len() as u32).to_le_bytes());
        dims.iter().for_each(|d| out.extend(d.to_le_bytes()));
        out.extend(format.to_le_bytes());
        out.extend((offset as u64).to_le_bytes());
        offset = (offset + bytes).next_multiple_of(32);
    }
    out.resize(out.len().next_multiple_of(32) + offset, 0);
    out
}

pub fn open(bytes: &[u8]) -> Gguf {
    Gguf::from_bytes(bytes, Path::new("model.gguf")).expect("a file")
}

/// Metadata with some keys changed, and those without a value left out.
pub fn changed(
    mut metadata: Vec<(String, Item)>,
    changes: &[(&str, Option<Item>)],
) -> Vec<(String, Item)> {
    for (key, item) in changes {
        metadata.retain(|(k, _)| k != key);
        metadata.extend(item.clone().map(|item| (key.to_string(), item)));
    }
    metadata
}

/// The default model's file.
#[allow(dead_code)]
pub fn model() -> PathBuf {
    static MODEL: LazyLock<PathBuf> = LazyLock::new(|| {
        std::thread::spawn(|| {
            tokio::runtime::Runtime::new()
                .expect("a runtime")
                .block_on(catalogue::fetch(|p| eprintln!("model: {p:?}")))
                .expect("the model file")
        })
        .join()
        .expect("the thread that fetches the model")
    });
    MODEL.clone()
}

/// The default model's metadata with some keys changed, without its tensors.
#[allow(dead_code)]
pub fn head(changes: &[(&str, Option<Item>)]) -> Gguf {
    let gguf = Gguf::open(&model()).expect("the model file");
    let metadata = gguf
        .metadata()
        .map(|(key, value)| (key.to_owned(), Item::of(value)))
        .collect();
    open(&file(&changed(metadata, changes), &[]))
}
