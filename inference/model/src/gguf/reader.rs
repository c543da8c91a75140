//! The bytes of a file in order: nothing is believed before it was found in the file.

use std::sync::Arc;

use memmap2::Mmap;

use super::error::GgufError;
use super::value::{Bools, Floats, IntKind, Ints, Texts, Value};

/// Limits far above what models have, so that a file can't make a machine busy for nothing.
const MAX_STRING: u64 = 16 << 20;
const MAX_ARRAY: u64 = 4 << 20;

pub(super) struct Reader<'a> {
    map: &'a Arc<Mmap>,
    pub(super) at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(map: &'a Arc<Mmap>, at: usize) -> Self {
        Self { map, at }
    }

    pub(super) fn damaged(&self, what: impl Into<String>) -> GgufError {
        GgufError::Damaged {
            what: what.into(),
            at: self.at as u64,
        }
    }

    fn take(&mut self, n: u64) -> Result<&'a [u8], GgufError> {
        let n = usize::try_from(n).map_err(|_| self.damaged("a length beyond the file"))?;
        let range = self.at.checked_add(n).map(|end| self.at..end);
        let Some(out) = range.and_then(|range| self.map.get(range)) else {
            return Err(self.damaged("the file ends early"));
        };
        self.at += n;
        Ok(out)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], GgufError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N as u64)?);
        Ok(out)
    }

    pub(super) fn u32(&mut self) -> Result<u32, GgufError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, GgufError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(super) fn text(&mut self, max: u64, what: &str) -> Result<&'a str, GgufError> {
        let n = self.u64()?;
        if n > max {
            return Err(self.damaged(format!("{what} of {n} bytes")));
        }
        let bytes = self.take(n)?;
        std::str::from_utf8(bytes).map_err(|_| self.damaged(format!("{what} that is not UTF-8")))
    }

    pub(super) fn value(&mut self) -> Result<Value, GgufError> {
        let kind = self.u32()?;
        Ok(match kind {
            0 => Value::Int(u8::from_le_bytes(self.array()?).into()),
            1 => Value::Int(i8::from_le_bytes(self.array()?).into()),
            2 => Value::Int(u16::from_le_bytes(self.array()?).into()),
            3 => Value::Int(i16::from_le_bytes(self.array()?).into()),
            4 => Value::Int(self.u32()?.into()),
            5 => Value::Int(i32::from_le_bytes(self.array()?).into()),
            6 => Value::Float(f32::from_le_bytes(self.array()?).into()),
            7 => Value::Bool(self.array::<1>()? != [0]),
            8 => Value::Text(self.text(MAX_STRING, "a string")?.to_owned()),
            9 => self.items()?,
            10 => Value::Int(self.u64()?.into()),
            11 => Value::Int(i64::from_le_bytes(self.array()?).into()),
            12 => Value::Float(f64::from_le_bytes(self.array()?)),
            other => return Err(self.damaged(format!("metadata of unknown type {other}"))),
        })
    }

    fn items(&mut self) -> Result<Value, GgufError> {
        let kind = self.u32()?;
        let count = self.u64()?;
        if count > MAX_ARRAY {
            return Err(self.damaged(format!("an array of {count} items")));
        }
        let start = self.at;
        let map = self.map.clone();
        let skip = |reader: &mut Self, size: u64| -> Result<usize, GgufError> {
            // Neither exceeds 2^22 by much, so the product is far from overflowing.
            reader.take(count * size)?;
            Ok((reader.at - start) / size as usize)
        };
        if let Some(int) = IntKind::from_code(kind) {
            let count = skip(self, int.bytes() as u64)?;
            let ints = Ints::new(map, start, count, int);
            if int == IntKind::U64 && ints.iter().any(|n| n < 0) {
                return Err(self.damaged("an integer over 2^63"));
            }
            return Ok(Value::Ints(ints));
        }
        Ok(match kind {
            6 => Value::Floats(Floats::new(map, start, skip(self, 4)?, false)),
            12 => Value::Floats(Floats::new(map, start, skip(self, 8)?, true)),
            7 => Value::Bools(Bools::new(map, start, skip(self, 1)?)),
            8 => {
                // Grown as items are read, 4 bytes for at least 8: a claimed length costs nothing.
                let mut starts = Vec::new();
                for _ in 0..count {
                    let start = u32::try_from(self.at)
                        .map_err(|_| self.damaged("metadata of more than 4 GiB"))?;
                    self.text(MAX_STRING, "a string")?;
                    starts.push(start);
                }
                Value::Texts(Texts::new(map, starts))
            }
            other => return Err(self.damaged(format!("an array of unknown type {other}"))),
        })
    }
}
