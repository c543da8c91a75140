//! Integers of variable length (7 bits a byte, lowest first; signed ones zigzag) and byte strings with their length before them: how
//! the archive writes what it packs.

use std::io::{self, Read, Write};

/// The longest byte string that is read: the transactions of a block take 64 MiB and one more, the data of an account 10 MiB.
const LONGEST: u64 = 128 << 20;

pub fn write_unsigned(out: &mut impl Write, mut value: u64) -> io::Result<()> {
    let mut buffer = [0; 10];
    let mut length = 0;
    for byte in &mut buffer {
        length += 1;
        *byte = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            break;
        }
        *byte |= 0x80;
    }
    out.write_all(&buffer[..length])
}

pub fn read_unsigned(from: &mut impl Read) -> io::Result<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let mut byte = [0];
        from.read_exact(&mut byte)?;
        let part = u64::from(byte[0] & 0x7f);
        if shift == 63 && part > 1 {
            break;
        }
        value |= part << shift;
        if byte[0] & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(damaged("a number that is none"))
}

pub fn write_signed(out: &mut impl Write, value: i64) -> io::Result<()> {
    write_unsigned(out, ((value << 1) ^ (value >> 63)) as u64)
}

pub fn read_signed(from: &mut impl Read) -> io::Result<i64> {
    let value = read_unsigned(from)?;
    Ok((value >> 1) as i64 ^ -((value & 1) as i64))
}

pub fn write_bytes(out: &mut impl Write, value: &[u8]) -> io::Result<()> {
    write_unsigned(out, value.len() as u64)?;
    out.write_all(value)
}

pub fn read_bytes(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let length = read_unsigned(from)?;
    if length > LONGEST {
        return Err(damaged("longer than anything that is archived"));
    }
    // Memory grows with what is really there, whatever the length says.
    let mut value = Vec::new();
    from.by_ref().take(length).read_to_end(&mut value)?;
    match value.len() as u64 == length {
        true => Ok(value),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// What was read is not what is written here.
pub fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}
