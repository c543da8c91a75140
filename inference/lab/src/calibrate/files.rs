//! Model files that cheaters would run, made from the file itself: other quantisations, fewer
//! layers, and the same weights as f32 (an honest engine of another arithmetic).

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};

use candle_core::Device;
use candle_core::quantized::gguf_file::{Content, Value, write};
use candle_core::quantized::{GgmlDType, QTensor};
use mythic_model::gguf::TensorFormat;

use crate::quantise::dtype;

/// Derived files above this are not made: they are quantised in memory.
pub const MAX_BYTES: u64 = 4 << 30;

/// What to make of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Derive {
    /// Every matrix whose rows fit the format's blocks, from its dequantised weights.
    Requantise(TensorFormat),
    /// The first layers only.
    Layers(u32),
}

/// A file that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Derived {
    pub path: PathBuf,
    /// Tensors whose type or bytes differ from the original's, or that are left out.
    pub changed: usize,
    pub tensors: usize,
}

/// Why a file could not be made.
#[derive(Debug, thiserror::Error)]
pub enum DeriveError {
    #[error("cannot make {path}: {reason}")]
    Failed { path: PathBuf, reason: String },
    #[error("it would take {bytes} bytes, more than the {MAX_BYTES} that calibration makes")]
    TooLarge { bytes: u64 },
}

fn layer_of(name: &str) -> Option<u32> {
    name.strip_prefix("blk.")?.split('.').next()?.parse().ok()
}

/// Layers of the model in a file, if its metadata say so.
pub fn layers(path: &Path) -> Option<u32> {
    let gguf = mythic_model::gguf::Gguf::open(path).ok()?;
    let architecture = gguf.text("general.architecture").ok()??;
    let key = format!("{architecture}.block_count");
    gguf.int(&key, 1, 1 << 16).ok()?
}

/// Makes `goal` of `source`.
pub fn derive(source: &Path, goal: &Path, how: Derive) -> Result<Derived, DeriveError> {
    let failed = |reason: String| DeriveError::Failed {
        path: goal.to_owned(),
        reason,
    };
    let candle = |e: candle_core::Error| failed(e.to_string());
    let io = |e: std::io::Error| failed(e.to_string());
    let mut reader = BufReader::new(File::open(source).map_err(io)?);
    let content = Content::read(&mut reader).map_err(candle)?;

    // In the order of the file.
    let mut infos: Vec<_> = content.tensor_infos.iter().collect();
    infos.sort_by_key(|(_, info)| info.offset);
    let kept = |name: &str| match how {
        Derive::Layers(n) => layer_of(name).is_none_or(|layer| layer < n),
        Derive::Requantise(_) => true,
    };
    let goal_type = |shape: &[usize], now: GgmlDType| match (how, shape) {
        (Derive::Requantise(goal), [_, cols]) if cols.is_multiple_of(goal.block_size()) => {
            // What candle can't write stays as it is.
            dtype(goal).unwrap_or(now)
        }
        _ => now,
    };
    let bytes: u64 = infos
        .iter()
        .filter(|(name, _)| kept(name))
        .map(|(_, info)| {
            let new_type = goal_type(info.shape.dims(), info.ggml_dtype);
            (info.shape.elem_count() / new_type.block_size() * new_type.type_size()) as u64
        })
        .sum();
    if bytes > MAX_BYTES {
        return Err(DeriveError::TooLarge { bytes });
    }

    let mut tensors: Vec<(&str, QTensor)> = Vec::with_capacity(infos.len());
    let mut changed = 0;
    for (name, info) in &infos {
        if !kept(name) {
            changed += 1;
            continue;
        }
        let old = content
            .tensor(&mut reader, name, &Device::Cpu)
            .map_err(candle)?;
        let new_type = goal_type(info.shape.dims(), info.ggml_dtype);
        let is_matrix = info.shape.rank() == 2;
        let tensor = match how {
            Derive::Requantise(goal) if is_matrix && Some(new_type) == dtype(goal) => {
                let weights = old.dequantize(&Device::Cpu).map_err(candle)?;
                let new = QTensor::quantize(&weights, new_type).map_err(candle)?;
                let same = new_type == info.ggml_dtype
                    && new.data().map_err(candle)? == old.data().map_err(candle)?;
                changed += usize::from(!same);
                new
            }
            _ => old,
        };
        tensors.push((name, tensor));
    }

    let mut metadata: Vec<(&str, Value)> = content
        .metadata
        .iter()
        .map(|(key, value)| (key.as_str(), value.clone()))
        .collect();
    metadata.sort_by_key(|(key, _)| *key);
    if let Derive::Layers(n) = how {
        for (key, value) in &mut metadata {
            if key.ends_with(".block_count") {
                *value = Value::U32(n);
            }
        }
    }
    let metadata: Vec<(&str, &Value)> = metadata.iter().map(|(k, v)| (*k, v)).collect();
    let list: Vec<(&str, &QTensor)> = tensors.iter().map(|(name, t)| (*name, t)).collect();
    // Named when it is whole.
    let part = goal.with_extension("part");
    let mut writer = BufWriter::new(File::create(&part).map_err(io)?);
    write(&mut writer, &metadata, &list).map_err(candle)?;
    writer
        .into_inner()
        .map_err(|e| failed(e.to_string()))?
        .sync_all()
        .map_err(io)?;
    std::fs::rename(&part, goal).map_err(io)?;
    Ok(Derived {
        path: goal.to_owned(),
        changed,
        tensors: infos.len(),
    })
}
