//! Metadata values. Arrays stay in the map and are read item by item, so that a file of any
//! content takes no more memory than it has bytes.

use std::fmt;
use std::sync::Arc;

use memmap2::Mmap;

/// A metadata value.
#[derive(Clone)]
pub enum Value {
    Int(i128),
    Float(f64),
    Bool(bool),
    Text(String),
    Texts(Texts),
    Ints(Ints),
    Floats(Floats),
    Bools(Bools),
}

impl Value {
    pub(super) fn kind(&self) -> &'static str {
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

/// Short, whatever it is: for messages.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Int(n) => n.fmt(f),
            Value::Float(x) => x.fmt(f),
            Value::Bool(b) => b.fmt(f),
            Value::Text(text) => write!(f, "`{}`", short(text)),
            other => f.write_str(other.kind()),
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The beginning of a text from a file, fit for a message: control characters escaped.
pub(crate) fn short(text: &str) -> String {
    const MOST: usize = 64;
    let mut out: String = text
        .chars()
        .take(MOST)
        .flat_map(|c| c.escape_debug())
        .collect();
    if text.chars().nth(MOST).is_some() {
        out.push('…');
    }
    out
}

/// Items of one size, one after the other.
#[derive(Clone)]
struct Items {
    map: Arc<Mmap>,
    start: usize,
    count: usize,
}

impl Items {
    fn iter<const N: usize>(&self) -> impl ExactSizeIterator<Item = [u8; N]> {
        // The reader has found them all in the file.
        let bytes = self.map.get(self.start..self.start + self.count * N);
        let items = bytes.unwrap_or_default().as_chunks::<N>().0;
        items.iter().copied()
    }
}

/// How an integer lies in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IntKind {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
}

impl IntKind {
    pub(super) fn from_code(code: u32) -> Option<Self> {
        Some(match code {
            0 => IntKind::U8,
            1 => IntKind::I8,
            2 => IntKind::U16,
            3 => IntKind::I16,
            4 => IntKind::U32,
            5 => IntKind::I32,
            10 => IntKind::U64,
            11 => IntKind::I64,
            _ => return None,
        })
    }

    pub(super) fn bytes(self) -> usize {
        match self {
            IntKind::U8 | IntKind::I8 => 1,
            IntKind::U16 | IntKind::I16 => 2,
            IntKind::U32 | IntKind::I32 => 4,
            IntKind::U64 | IntKind::I64 => 8,
        }
    }
}

/// An array of integers; the reader has refused those over 2^63 − 1.
#[derive(Clone)]
pub struct Ints {
    items: Items,
    kind: IntKind,
}

impl Ints {
    pub(super) fn new(map: Arc<Mmap>, start: usize, count: usize, kind: IntKind) -> Self {
        let items = Items { map, start, count };
        Self { items, kind }
    }

    pub fn len(&self) -> usize {
        self.items.count
    }

    pub fn is_empty(&self) -> bool {
        self.items.count == 0
    }

    pub fn iter(&self) -> Box<dyn Iterator<Item = i64> + '_> {
        let items = &self.items;
        match self.kind {
            IntKind::U8 => Box::new(items.iter().map(|b| u8::from_le_bytes(b).into())),
            IntKind::I8 => Box::new(items.iter().map(|b| i8::from_le_bytes(b).into())),
            IntKind::U16 => Box::new(items.iter().map(|b| u16::from_le_bytes(b).into())),
            IntKind::I16 => Box::new(items.iter().map(|b| i16::from_le_bytes(b).into())),
            IntKind::U32 => Box::new(items.iter().map(|b| u32::from_le_bytes(b).into())),
            IntKind::I32 => Box::new(items.iter().map(|b| i32::from_le_bytes(b).into())),
            IntKind::U64 | IntKind::I64 => Box::new(items.iter().map(i64::from_le_bytes)),
        }
    }
}

/// An array of floats of 4 or 8 bytes.
#[derive(Clone)]
pub struct Floats {
    items: Items,
    double: bool,
}

impl Floats {
    pub(super) fn new(map: Arc<Mmap>, start: usize, count: usize, double: bool) -> Self {
        let items = Items { map, start, count };
        Self { items, double }
    }

    pub fn len(&self) -> usize {
        self.items.count
    }

    pub fn is_empty(&self) -> bool {
        self.items.count == 0
    }

    pub fn iter(&self) -> Box<dyn Iterator<Item = f32> + '_> {
        if self.double {
            Box::new(self.items.iter().map(|b| f64::from_le_bytes(b) as f32))
        } else {
            Box::new(self.items.iter().map(f32::from_le_bytes))
        }
    }
}

/// An array of booleans.
#[derive(Clone)]
pub struct Bools(Items);

impl Bools {
    pub(super) fn new(map: Arc<Mmap>, start: usize, count: usize) -> Self {
        Self(Items { map, start, count })
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = bool> {
        self.0.iter().map(|[b]| b != 0)
    }
}

/// An array of strings.
#[derive(Clone)]
pub struct Texts {
    map: Arc<Mmap>,
    /// Where the length before each string lies.
    starts: Vec<u32>,
}

impl Texts {
    pub(super) fn new(map: Arc<Mmap>, starts: Vec<u32>) -> Self {
        Self { map, starts }
    }

    pub fn len(&self) -> usize {
        self.starts.len()
    }

    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        self.starts.iter().map(|start| self.text(*start))
    }

    /// The reader has found it whole and in UTF-8; empty where the file was changed since.
    fn text(&self, start: u32) -> &str {
        let read = || {
            let (length, rest) = self.map.get(start as usize..)?.split_first_chunk::<8>()?;
            let bytes = rest.get(..usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
            std::str::from_utf8(bytes).ok()
        };
        read().unwrap_or_default()
    }
}
