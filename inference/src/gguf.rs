//! GGUF files, read as hostile input: every count, size and offset is checked before it is used,
//! and tensors stay in the memory map, which all processes on a machine share.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::quantized::GgmlDType;
use memmap2::Mmap;

const MAX_METADATA: u64 = 65_536;
const MAX_TENSORS: u64 = 65_536;
const MAX_STRING: u64 = 16 << 20;
const MAX_ARRAY: u64 = 4 << 20;
const MAX_NAME: u64 = 512;

/// Why a GGUF file was refused.
#[derive(Debug, thiserror::Error)]
pub enum GgufError {
    #[error("cannot open model file {path}: {source}")]
    Open {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path} is not a GGUF model file (it does not start with `GGUF`)")]
    NotGguf { path: PathBuf },
    #[error("GGUF version {0} is not supported; convert the model to version 3")]
    Version(u32),
    #[error(
        "the model file is damaged: {what} at byte {at}; fetch it again and compare its SHA-256"
    )]
    Damaged { what: String, at: u64 },
    #[error("the model file lacks the metadata key `{0}`")]
    MissingKey(String),
    #[error("metadata key `{key}` is {found}, expected {expected}")]
    WrongType {
        key: String,
        found: &'static str,
        expected: &'static str,
    },
    #[error("metadata key `{key}` is {value}, allowed is {allowed}")]
    OutOfRange {
        key: String,
        value: String,
        allowed: String,
    },
    #[error("the model file lacks the tensor `{0}`")]
    MissingTensor(String),
    #[error("tensor `{name}` has shape {found:?}, expected {expected:?}")]
    Shape {
        name: String,
        found: Vec<usize>,
        expected: Vec<usize>,
    },
    #[error(
        "tensor `{name}` has quantisation type {code}; supported are F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K to Q6_K"
    )]
    TensorType { name: String, code: u32 },
    #[error("{0}")]
    Unsupported(String),
}

/// A metadata value. Arrays are kept where the engine has a use for them.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Int(i128),
    Float(f64),
    Bool(bool),
    Text(String),
    Texts(Vec<String>),
    Ints(Vec<i64>),
    Floats(Vec<f32>),
    Bools(Vec<bool>),
}

impl Value {
    fn kind(&self) -> &'static str {
        match self {
            Value::Int(_) => "an integer",
            Value::Float(_) => "a float",
            Value::Bool(_) => "a boolean",
            Value::Text(_) => "a string",
            Value::Texts(_) => "an array of strings",
            Value::Ints(_) => "an array of integers",
            Value::Floats(_) => "an array of floats",
            Value::Bools(_) => "an array of booleans",
        }
    }
}

/// Where a tensor lies and what it is; the range was checked against the file.
#[derive(Clone, Debug)]
pub struct TensorInfo {
    pub dtype: GgmlDType,
    /// Extents, fastest-varying first (GGUF order): a matrix is `[inputs, outputs]`.
    pub dims: Vec<usize>,
    start: usize,
    len: usize,
}

/// The bytes of one tensor inside the shared map.
#[derive(Clone)]
pub struct Mapped {
    map: Arc<Mmap>,
    start: usize,
    len: usize,
}

impl Mapped {
    /// The bytes; their address is a multiple of 8.
    pub fn bytes(&self) -> &[u8] {
        // The range was checked when the file was parsed.
        &self.map[self.start..self.start + self.len]
    }
}

/// A parsed file.
pub struct Gguf {
    map: Arc<Mmap>,
    metadata: BTreeMap<String, Value>,
    tensors: BTreeMap<String, TensorInfo>,
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn damaged(&self, what: impl Into<String>) -> GgufError {
        GgufError::Damaged {
            what: what.into(),
            at: self.at as u64,
        }
    }

    fn take(&mut self, n: u64) -> Result<&'a [u8], GgufError> {
        let n = usize::try_from(n).map_err(|_| self.damaged("a length beyond the file"))?;
        let end = self.at.checked_add(n).filter(|e| *e <= self.bytes.len());
        let Some(end) = end else {
            return Err(self.damaged("the file ends early"));
        };
        let out = &self.bytes[self.at..end];
        self.at = end;
        Ok(out)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], GgufError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N as u64)?);
        Ok(out)
    }

    fn u32(&mut self) -> Result<u32, GgufError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, GgufError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn text(&mut self, max: u64, what: &str) -> Result<String, GgufError> {
        let n = self.u64()?;
        if n > max {
            return Err(self.damaged(format!("{what} of {n} bytes")));
        }
        let bytes = self.take(n)?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(self.damaged(format!("{what} that is not UTF-8"))),
        }
    }

    fn scalar(&mut self, kind: u32) -> Result<Value, GgufError> {
        Ok(match kind {
            0 => Value::Int(u8::from_le_bytes(self.array()?).into()),
            1 => Value::Int(i8::from_le_bytes(self.array()?).into()),
            2 => Value::Int(u16::from_le_bytes(self.array()?).into()),
            3 => Value::Int(i16::from_le_bytes(self.array()?).into()),
            4 => Value::Int(self.u32()?.into()),
            5 => Value::Int(i32::from_le_bytes(self.array()?).into()),
            6 => Value::Float(f32::from_le_bytes(self.array()?).into()),
            7 => Value::Bool(self.array::<1>()?[0] != 0),
            8 => Value::Text(self.text(MAX_STRING, "a string")?),
            10 => Value::Int(self.u64()?.into()),
            11 => Value::Int(i64::from_le_bytes(self.array()?).into()),
            12 => Value::Float(f64::from_le_bytes(self.array()?)),
            other => return Err(self.damaged(format!("metadata of unknown type {other}"))),
        })
    }

    fn value(&mut self) -> Result<Value, GgufError> {
        let kind = self.u32()?;
        if kind != 9 {
            return self.scalar(kind);
        }
        let item = self.u32()?;
        let count = self.u64()?;
        if count > MAX_ARRAY {
            return Err(self.damaged(format!("an array of {count} items")));
        }
        // Grown as items are read: a claimed length costs nothing.
        Ok(match item {
            8 => {
                let mut out = Vec::new();
                for _ in 0..count {
                    out.push(self.text(MAX_STRING, "a string")?);
                }
                Value::Texts(out)
            }
            0..=5 | 10 | 11 => {
                let mut out = Vec::new();
                for _ in 0..count {
                    let Value::Int(n) = self.scalar(item)? else {
                        return Err(self.damaged("an array of mixed types"));
                    };
                    let n = i64::try_from(n).map_err(|_| self.damaged("an integer over 2^63"))?;
                    out.push(n);
                }
                Value::Ints(out)
            }
            6 | 12 => {
                let mut out = Vec::new();
                for _ in 0..count {
                    let Value::Float(x) = self.scalar(item)? else {
                        return Err(self.damaged("an array of mixed types"));
                    };
                    out.push(x as f32);
                }
                Value::Floats(out)
            }
            7 => {
                let mut out = Vec::new();
                for _ in 0..count {
                    out.push(self.array::<1>()?[0] != 0);
                }
                Value::Bools(out)
            }
            other => return Err(self.damaged(format!("an array of unknown type {other}"))),
        })
    }
}

fn dtype(code: u32) -> Option<GgmlDType> {
    Some(match code {
        0 => GgmlDType::F32,
        1 => GgmlDType::F16,
        2 => GgmlDType::Q4_0,
        3 => GgmlDType::Q4_1,
        6 => GgmlDType::Q5_0,
        7 => GgmlDType::Q5_1,
        8 => GgmlDType::Q8_0,
        10 => GgmlDType::Q2K,
        11 => GgmlDType::Q3K,
        12 => GgmlDType::Q4K,
        13 => GgmlDType::Q5K,
        14 => GgmlDType::Q6K,
        30 => GgmlDType::BF16,
        _ => return None,
    })
}

impl Gguf {
    /// Maps and parses a file.
    ///
    /// The file must not be shortened while it is mapped; replace model files by renaming.
    pub fn open(path: &Path) -> Result<Self, GgufError> {
        let open = |source| GgufError::Open {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(open)?;
        // SAFETY: the map is read-only. Another process may still change the file: that can give
        // wrong numbers, which every reader here tolerates, or, when it is shortened, a SIGBUS,
        // which the docs of this function forbid.
        let map = unsafe { Mmap::map(&file) }.map_err(open)?;
        if map.get(..4) != Some(b"GGUF") {
            return Err(GgufError::NotGguf {
                path: path.to_owned(),
            });
        }
        Self::parse(Arc::new(map))
    }

    fn parse(map: Arc<Mmap>) -> Result<Self, GgufError> {
        let mut r = Reader { bytes: &map, at: 4 };
        let version = r.u32()?;
        if !(2..=3).contains(&version) {
            return Err(GgufError::Version(version));
        }
        let tensor_count = r.u64()?;
        let metadata_count = r.u64()?;
        if tensor_count > MAX_TENSORS || metadata_count > MAX_METADATA {
            return Err(r.damaged(format!(
                "{tensor_count} tensors and {metadata_count} metadata keys"
            )));
        }
        let mut metadata = BTreeMap::new();
        for _ in 0..metadata_count {
            let key = r.text(MAX_NAME, "a key")?;
            let value = r.value()?;
            if metadata.insert(key, value).is_some() {
                return Err(r.damaged("a metadata key that stands twice"));
            }
        }
        let alignment = match metadata.get("general.alignment") {
            None => 32,
            Some(Value::Int(n)) if (8..=65_536).contains(n) && (n & (n - 1)) == 0 => *n as usize,
            Some(other) => {
                return Err(GgufError::OutOfRange {
                    key: "general.alignment".into(),
                    value: format!("{other:?}"),
                    allowed: "a power of two from 8 to 65536".into(),
                });
            }
        };
        let mut raw = Vec::new();
        for _ in 0..tensor_count {
            let name = r.text(MAX_NAME, "a tensor name")?;
            let rank = r.u32()?;
            if !(1..=4).contains(&rank) {
                return Err(r.damaged(format!("tensor `{name}` with {rank} dimensions")));
            }
            let mut dims = Vec::with_capacity(4);
            for _ in 0..rank {
                let n = r.u64()?;
                if n == 0 || n > 1 << 31 {
                    return Err(r.damaged(format!("tensor `{name}` with an extent of {n}")));
                }
                dims.push(n as usize);
            }
            let code = r.u32()?;
            let offset = r.u64()?;
            let Some(dtype) = dtype(code) else {
                return Err(GgufError::TensorType { name, code });
            };
            raw.push((name, dims, dtype, offset));
        }
        let data = r.at.next_multiple_of(alignment);
        let mut tensors = BTreeMap::new();
        for (name, dims, dtype, offset) in raw {
            let damaged = |what: String| GgufError::Damaged { what, at: offset };
            let block = dtype.block_size();
            if !dims[0].is_multiple_of(block) {
                return Err(damaged(format!(
                    "tensor `{name}` has rows of {} values, not a multiple of {block}",
                    dims[0]
                )));
            }
            let len = dims
                .iter()
                .try_fold(1usize, |n, d| n.checked_mul(*d))
                .and_then(|n| (n / block).checked_mul(dtype.type_size()));
            let start = usize::try_from(offset)
                .ok()
                .filter(|o| o.is_multiple_of(alignment))
                .and_then(|o| o.checked_add(data));
            let range = match (start, len) {
                (Some(start), Some(len)) => start
                    .checked_add(len)
                    .filter(|end| *end <= map.len())
                    .map(|_| (start, len)),
                _ => None,
            };
            let Some((start, len)) = range else {
                return Err(damaged(format!(
                    "tensor `{name}` lies outside the file or unaligned"
                )));
            };
            let info = TensorInfo {
                dtype,
                dims,
                start,
                len,
            };
            if tensors.insert(name.clone(), info).is_some() {
                return Err(damaged(format!("tensor `{name}` stands twice")));
            }
        }
        Ok(Self {
            map,
            metadata,
            tensors,
        })
    }

    /// The file's size in bytes.
    pub fn file_len(&self) -> u64 {
        self.map.len() as u64
    }

    /// A value, if the key is there.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.metadata.get(key)
    }

    /// All metadata, ordered by key.
    pub fn metadata(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.metadata.iter().map(|(k, v)| (k.as_str(), v))
    }

    fn wrong(key: &str, value: &Value, expected: &'static str) -> GgufError {
        GgufError::WrongType {
            key: key.into(),
            found: value.kind(),
            expected,
        }
    }

    /// A string that may be absent.
    pub fn text(&self, key: &str) -> Result<Option<&str>, GgufError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(other) => Err(Self::wrong(key, other, "a string")),
        }
    }

    /// A boolean that may be absent.
    pub fn bool(&self, key: &str) -> Result<Option<bool>, GgufError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Bool(b)) => Ok(Some(*b)),
            Some(other) => Err(Self::wrong(key, other, "a boolean")),
        }
    }

    /// An integer in `min..=max` that may be absent.
    pub fn int(&self, key: &str, min: u32, max: u32) -> Result<Option<u32>, GgufError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Int(n)) if (i128::from(min)..=i128::from(max)).contains(n) => {
                Ok(Some(*n as u32))
            }
            Some(Value::Int(n)) => Err(GgufError::OutOfRange {
                key: key.into(),
                value: n.to_string(),
                allowed: format!("{min} to {max}"),
            }),
            Some(other) => Err(Self::wrong(key, other, "an integer")),
        }
    }

    /// An integer in `min..=max` that must be there.
    pub fn require_int(&self, key: &str, min: u32, max: u32) -> Result<u32, GgufError> {
        self.int(key, min, max)?
            .ok_or_else(|| GgufError::MissingKey(key.into()))
    }

    /// A finite float that may be absent.
    pub fn float(&self, key: &str) -> Result<Option<f64>, GgufError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Float(x)) if x.is_finite() => Ok(Some(*x)),
            Some(Value::Float(x)) => Err(GgufError::OutOfRange {
                key: key.into(),
                value: x.to_string(),
                allowed: "a finite number".into(),
            }),
            Some(other) => Err(Self::wrong(key, other, "a float")),
        }
    }

    /// Description of a tensor, if it is there.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.tensors.get(name)
    }

    /// Names of all tensors, ordered.
    pub fn tensor_names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// A tensor's bytes and type, its shape checked (GGUF order, fastest first).
    pub fn mapped(&self, name: &str, dims: &[usize]) -> Result<(Mapped, GgmlDType), GgufError> {
        let info = self
            .tensor(name)
            .ok_or_else(|| GgufError::MissingTensor(name.into()))?;
        if info.dims != dims {
            return Err(GgufError::Shape {
                name: name.into(),
                found: info.dims.clone(),
                expected: dims.to_vec(),
            });
        }
        let mapped = Mapped {
            map: self.map.clone(),
            start: info.start,
            len: info.len,
        };
        Ok((mapped, info.dtype))
    }
}
