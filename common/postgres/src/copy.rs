//! Rows in the format of `COPY … (FORMAT binary)`: a header, per row an `i16` column count, per column an
//! `i32` length (−1 = null) and the bytes, a trailer; all big-endian.
//! Source: PostgreSQL manual, COPY, "Binary Format".

use bytes::{BufMut, Bytes, BytesMut};

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// Microseconds from the Unix epoch to Postgres' (2000-01-01).
const EPOCH_OFFSET_MICROS: i64 = 946_684_800_000_000;

/// Bytes before the first row.
const HEADER: usize = SIGNATURE.len() + 8;

/// Rows of one table on their way.
#[derive(Debug)]
pub struct CopyBuffer {
    out: BytesMut,
    rows: usize,
}

impl Default for CopyBuffer {
    fn default() -> Self {
        let mut out = BytesMut::with_capacity(8 * 1024);
        out.put_slice(SIGNATURE);
        out.put_u64(0); // flags, length of the header's extension
        Self { out, rows: 0 }
    }
}

impl CopyBuffer {
    /// Adds the rows of another buffer of the same table.
    pub fn append(&mut self, other: Self) {
        self.out.extend_from_slice(&other.out[HEADER..]);
        self.rows += other.rows;
    }

    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// There is no row.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Opens a row of `columns` columns; exactly as many values must follow.
    pub fn row(&mut self, columns: i16) -> &mut Self {
        self.rows += 1;
        self.out.put_i16(columns);
        self
    }

    pub fn null(&mut self) -> &mut Self {
        self.out.put_i32(-1);
        self
    }

    /// `smallint`.
    pub fn i16(&mut self, value: i16) -> &mut Self {
        self.out.put_i32(2);
        self.out.put_i16(value);
        self
    }

    /// `integer`.
    pub fn i32(&mut self, value: i32) -> &mut Self {
        self.out.put_i32(4);
        self.out.put_i32(value);
        self
    }

    /// `bigint`.
    pub fn i64(&mut self, value: i64) -> &mut Self {
        self.out.put_i32(8);
        self.out.put_i64(value);
        self
    }

    /// `bigint` or null.
    pub fn opt_i64(&mut self, value: Option<i64>) -> &mut Self {
        match value {
            Some(value) => self.i64(value),
            None => self.null(),
        }
    }

    /// `boolean`.
    pub fn bool(&mut self, value: bool) -> &mut Self {
        self.out.put_i32(1);
        self.out.put_u8(value.into());
        self
    }

    /// Postgres takes no value of a gigabyte: what is longer than the format can say it refuses.
    fn length(&mut self, bytes: usize) {
        self.out.put_i32(i32::try_from(bytes).unwrap_or(i32::MAX));
    }

    /// `bytea` or `text`.
    pub fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.length(value.len());
        self.out.put_slice(value);
        self
    }

    /// `bytea`, `text` or null.
    pub fn opt_bytes(&mut self, value: Option<&[u8]>) -> &mut Self {
        match value {
            Some(value) => self.bytes(value),
            None => self.null(),
        }
    }

    /// `jsonb`, format version 1.
    pub fn json(&mut self, value: &str) -> &mut Self {
        self.length(value.len().saturating_add(1));
        self.out.put_u8(1);
        self.out.put_slice(value.as_bytes());
        self
    }

    /// `timestamptz` from Unix seconds; null outside the years Postgres knows.
    pub fn unix_seconds(&mut self, value: Option<i64>) -> &mut Self {
        let micros = value
            .filter(|s| (-62_135_596_800..=253_402_300_799).contains(s))
            .map(|s| s * 1_000_000 - EPOCH_OFFSET_MICROS);
        self.opt_i64(micros)
    }

    /// The finished stream.
    pub fn finish(mut self) -> Bytes {
        self.out.put_i16(-1);
        self.out.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_those_of_the_manual() {
        let mut buffer = CopyBuffer::default();
        assert!(buffer.is_empty());
        buffer.row(3).i64(-2).null().bytes(b"ab");
        let bytes = buffer.finish();
        assert_eq!(&bytes[..19], b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0");
        assert_eq!(
            bytes[19..],
            [
                0, 3, 0, 0, 0, 8, 255, 255, 255, 255, 255, 255, 255, 254, 255, 255, 255, 255, 0, 0,
                0, 2, b'a', b'b', 255, 255
            ]
        );
    }

    #[test]
    fn rows_of_two_buffers_are_one_stream() {
        let (mut one, mut other, mut both) = (
            CopyBuffer::default(),
            CopyBuffer::default(),
            CopyBuffer::default(),
        );
        one.row(1).i64(1);
        other.row(1).bytes(b"x");
        both.row(1).i64(1).row(1).bytes(b"x");
        one.append(other);
        one.append(CopyBuffer::default());
        assert_eq!((one.len(), one.is_empty()), (both.len(), false));
        assert_eq!(one.finish(), both.finish());
    }

    #[test]
    fn times_outside_postgres_years_are_null() {
        let mut buffer = CopyBuffer::default();
        buffer
            .row(2)
            .unix_seconds(Some(946_684_801))
            .unix_seconds(Some(i64::MAX));
        assert_eq!(
            buffer.finish()[21..37],
            [0, 0, 0, 8, 0, 0, 0, 0, 0, 15, 66, 64, 255, 255, 255, 255]
        );
    }
}
