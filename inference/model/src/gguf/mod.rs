//! GGUF files, read as hostile input: every count, size and offset is checked before it is used,
//! and tensors stay in the memory map, which all processes on a machine share.
//!
//! - [`Gguf`]: a checked file, its metadata and tensors
//! - [`TensorFormat`]: how values are stored
//! - [`value`]: metadata values, arrays as views of the map
//! - [`reader`]: the bytes in order

mod error;
mod format;
mod reader;
mod value;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use memmap2::{Mmap, MmapMut, UncheckedAdvice};

pub use error::GgufError;
pub use format::TensorFormat;
use reader::Reader;
pub(crate) use value::short;
pub use value::{Bools, Floats, Ints, Texts, Value};

/// Far more than models have.
const MAX_METADATA: u64 = 65_536;
const MAX_TENSORS: u64 = 65_536;
const MAX_NAME: u64 = 512;

/// Where a tensor lies and what it is; the range was checked against the file.
#[derive(Clone, Debug)]
pub struct TensorInfo {
    pub dtype: TensorFormat,
    /// Extents, fastest-varying first (GGUF order): a matrix is `[inputs, outputs]`.
    pub dims: Vec<usize>,
    start: usize,
    len: usize,
}

/// The bytes of one tensor inside the shared map.
#[derive(Clone)]
pub struct Mapped {
    map: Arc<Mmap>,
    /// Whether the map is of a file, and not memory that `from_bytes` filled.
    is_file: bool,
    start: usize,
    len: usize,
}

impl Mapped {
    /// The bytes; their address is a multiple of 8.
    pub fn bytes(&self) -> &[u8] {
        // The range was checked when the file was parsed.
        &self.map[self.start..self.start + self.len]
    }

    /// Lets go of the memory behind the bytes; they come back from the file when they are read.
    pub fn release(&self) {
        if self.is_file {
            // SAFETY: pages of a file that were never written are dropped; the next access reads
            // the same bytes again.
            let done = unsafe {
                self.map
                    .unchecked_advise_range(UncheckedAdvice::DontNeed, self.start, self.len)
            };
            // Advice that isn't taken changes nothing but the count of resident pages.
            let _ = done;
        }
    }
}

/// A parsed file.
pub struct Gguf {
    map: Arc<Mmap>,
    is_file: bool,
    metadata: BTreeMap<String, Value>,
    tensors: BTreeMap<String, TensorInfo>,
}

fn alignment(metadata: &BTreeMap<String, Value>) -> Result<usize, GgufError> {
    match metadata.get("general.alignment") {
        None => Ok(32),
        // At least 8, so that blocks and floats are aligned in memory.
        Some(Value::Int(n)) if (8..=65_536).contains(n) && (n & (n - 1)) == 0 => Ok(*n as usize),
        Some(other) => Err(GgufError::OutOfRange {
            key: "general.alignment".into(),
            value: other.to_string(),
            allowed: "a power of two from 8 to 65536".into(),
        }),
    }
}

/// A description of the tensor table, checked against the tensor before it, which ended at
/// `previous`. Its start counts from the first tensor's.
fn tensor(
    r: &mut Reader,
    previous: usize,
    alignment: usize,
) -> Result<(String, TensorInfo), GgufError> {
    let name = r.text(MAX_NAME, "a tensor name")?.to_owned();
    let shown = short(&name);
    let rank = r.u32()?;
    if !(1..=4).contains(&rank) {
        return Err(r.damaged(format!("tensor `{shown}` with {rank} dimensions")));
    }
    let mut dims = Vec::with_capacity(4);
    for _ in 0..rank {
        let n = r.u64()?;
        if n == 0 || n > 1 << 31 {
            return Err(r.damaged(format!("tensor `{shown}` with an extent of {n}")));
        }
        dims.push(n as usize);
    }
    let code = r.u32()?;
    let offset = r.u64()?;
    let Some(dtype) = TensorFormat::from_code(code) else {
        return Err(GgufError::TensorType { name: shown, code });
    };
    let block = dtype.block_size();
    if !dims[0].is_multiple_of(block) {
        return Err(r.damaged(format!(
            "tensor `{shown}` has rows of {} values, not a multiple of {block}",
            dims[0]
        )));
    }
    let expected = previous.next_multiple_of(alignment);
    if offset != expected as u64 {
        return Err(r.damaged(format!(
            "tensor `{shown}` begins at {offset} of the data, expected {expected}"
        )));
    }
    let len = dims
        .iter()
        .try_fold(1usize, |n, d| n.checked_mul(*d))
        .and_then(|n| (n / block).checked_mul(dtype.block_bytes()))
        // So that neither the next tensor's alignment nor the last sum overflows.
        .filter(|len| expected.saturating_add(*len) < 1 << 62);
    let Some(len) = len else {
        return Err(r.damaged(format!(
            "tensor `{shown}` of shape {dims:?} is larger than any file"
        )));
    };
    let info = TensorInfo {
        dtype,
        dims,
        start: expected,
        len,
    };
    Ok((name, info))
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
        // Opening a pipe would wait for a writer.
        if !std::fs::metadata(path).map_err(open)?.is_file() {
            return Err(open(std::io::Error::other("it is not a regular file")));
        }
        let file = File::open(path).map_err(open)?;
        // SAFETY: the map is read-only. Another process may still change the file: that can give
        // wrong numbers, which every reader here tolerates, or, when it is shortened, a SIGBUS,
        // which the docs of this function forbid.
        let map = unsafe { Mmap::map(&file) }.map_err(open)?;
        Self::parse(Arc::new(map), true, path)
    }

    /// Parses a file that is in memory; `path` names it in errors.
    pub fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self, GgufError> {
        let memory = |source| GgufError::Open {
            path: path.to_owned(),
            source,
        };
        let mut map = MmapMut::map_anon(bytes.len()).map_err(memory)?;
        map.copy_from_slice(bytes);
        let map = map.make_read_only().map_err(memory)?;
        Self::parse(Arc::new(map), false, path)
    }

    fn parse(map: Arc<Mmap>, is_file: bool, path: &Path) -> Result<Self, GgufError> {
        if map.get(..4) != Some(b"GGUF") {
            return Err(GgufError::NotGguf {
                path: path.to_owned(),
            });
        }
        let mut r = Reader::new(&map, 4);
        let version = r.u32()?;
        if (1..=3).contains(&version.swap_bytes()) {
            return Err(GgufError::BigEndian {
                path: path.to_owned(),
            });
        }
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
            let key = r.text(MAX_NAME, "a key")?.to_owned();
            let value = r.value()?;
            if metadata.contains_key(&key) {
                return Err(r.damaged(format!("the metadata key `{}` stands twice", short(&key))));
            }
            metadata.insert(key, value);
        }
        let alignment = alignment(&metadata)?;
        let mut tensors = BTreeMap::new();
        // As the format wants, each tensor begins where the one before ended, but for alignment:
        // none overlaps another and nothing is hidden between them.
        let mut end = 0usize;
        for _ in 0..tensor_count {
            let (name, info) = tensor(&mut r, end, alignment)?;
            end = info.start + info.len;
            if tensors.insert(name.clone(), info).is_some() {
                return Err(r.damaged(format!("tensor `{}` stands twice", short(&name))));
            }
        }
        let data = r.at.next_multiple_of(alignment);
        let rest = map.len().checked_sub(data).and_then(|n| n.checked_sub(end));
        match rest {
            None => {
                return Err(GgufError::Damaged {
                    what: format!(
                        "the file ends early: its tensors need {} bytes",
                        data.saturating_add(end)
                    ),
                    at: map.len() as u64,
                });
            }
            Some(rest) if rest >= alignment => {
                return Err(GgufError::Damaged {
                    what: format!("{rest} bytes follow the last tensor"),
                    at: data.saturating_add(end) as u64,
                });
            }
            Some(_) => {}
        }
        for info in tensors.values_mut() {
            info.start += data;
        }
        Ok(Self {
            map,
            is_file,
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

    /// The model's architecture, which begins the names of its keys.
    pub fn architecture(&self) -> Result<&str, GgufError> {
        let key = "general.architecture";
        let name = self
            .text(key)?
            .ok_or_else(|| GgufError::MissingKey(key.into()))?;
        if name.len() > 64 {
            return Err(GgufError::OutOfRange {
                key: key.into(),
                value: format!("`{}`", short(name)),
                allowed: "a name of up to 64 bytes".into(),
            });
        }
        Ok(name)
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
    pub fn mapped(&self, name: &str, dims: &[usize]) -> Result<(Mapped, TensorFormat), GgufError> {
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
            is_file: self.is_file,
            start: info.start,
            len: info.len,
        };
        Ok((mapped, info.dtype))
    }
}
