//! Writing GGUF files, as far as tests need them: metadata and tensors in the order in which they are given.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use mythic_model::gguf::TensorFormat;

/// A metadata value.
#[derive(Clone, Debug)]
pub enum Item {
    U32(u32),
    F32(f32),
    Bool(bool),
    Text(String),
    I32s(Vec<i32>),
    F32s(Vec<f32>),
    Texts(Vec<String>),
}

/// A tensor: its bytes are in its format, its extents fastest first.
#[derive(Clone, Debug)]
pub struct TensorData {
    pub name: String,
    pub dims: Vec<usize>,
    pub format: TensorFormat,
    pub bytes: Vec<u8>,
}

const ALIGNMENT: usize = 32;

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

impl Item {
    /// Its type and its bytes.
    fn write(&self, out: &mut Vec<u8>) {
        let kind = |out: &mut Vec<u8>, kind: u32| out.extend(kind.to_le_bytes());
        let array = |out: &mut Vec<u8>, of: u32, count: usize| {
            kind(out, 9);
            kind(out, of);
            out.extend((count as u64).to_le_bytes());
        };
        match self {
            Self::U32(n) => {
                kind(out, 4);
                out.extend(n.to_le_bytes());
            }
            Self::F32(x) => {
                kind(out, 6);
                out.extend(x.to_le_bytes());
            }
            Self::Bool(b) => {
                kind(out, 7);
                out.push(u8::from(*b));
            }
            Self::Text(s) => {
                kind(out, 8);
                text(out, s);
            }
            Self::I32s(list) => {
                array(out, 5, list.len());
                list.iter().for_each(|n| out.extend(n.to_le_bytes()));
            }
            Self::F32s(list) => {
                array(out, 6, list.len());
                list.iter().for_each(|x| out.extend(x.to_le_bytes()));
            }
            Self::Texts(list) => {
                array(out, 8, list.len());
                list.iter().for_each(|s| text(out, s));
            }
        }
    }
}

/// Writes a file.
pub fn write(path: &Path, metadata: &[(String, Item)], tensors: &[TensorData]) -> io::Result<()> {
    let mut head = b"GGUF".to_vec();
    head.extend(2u32.to_le_bytes());
    head.extend((tensors.len() as u64).to_le_bytes());
    head.extend((metadata.len() as u64).to_le_bytes());
    for (key, item) in metadata {
        text(&mut head, key);
        item.write(&mut head);
    }
    let mut offset = 0usize;
    for tensor in tensors {
        text(&mut head, &tensor.name);
        head.extend((tensor.dims.len() as u32).to_le_bytes());
        for n in &tensor.dims {
            head.extend((*n as u64).to_le_bytes());
        }
        head.extend(tensor.format.code().to_le_bytes());
        head.extend((offset as u64).to_le_bytes());
        offset = (offset + tensor.bytes.len()).next_multiple_of(ALIGNMENT);
    }
    head.resize(head.len().next_multiple_of(ALIGNMENT), 0);
    let mut file = BufWriter::new(File::create(path)?);
    file.write_all(&head)?;
    for tensor in tensors {
        let len = tensor.bytes.len();
        file.write_all(&tensor.bytes)?;
        file.write_all(&vec![0; len.next_multiple_of(ALIGNMENT) - len])?;
    }
    file.flush()
}
