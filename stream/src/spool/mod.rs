//! The spool: an append-only log of envelopes in a directory. One process writes it; readers in
//! other processes tail it up to the durable mark.
//!
//! ```text
//! lock                        held by the writer
//! durable                     the mark: segment, offset; what lies before it survives a crash
//! 000000000007.seg            header, then frames: len u32 | crc32c(len, payload) u32 | payload (an Envelope)
//! acks/NAME                   the position that reader NAME has committed, and when it was last alive
//! ```
//! A run always opens a new segment. A segment goes when every reader has acknowledged past it. When
//! the byte bound is reached the writer refuses new records, it never overwrites old ones.
//!
//! What a crash left behind the last whole frame is cut by the next writer. Damage before it costs the records that it hits: a reader
//! names them ([`Unreadable`]) and goes on with the next. Segments of the first format, whose checksums don't cover the length, are
//! read as well; what stands behind a damaged length of theirs is found in the same way.

mod dirs;
mod error;
mod format;
mod position;
mod reader;
mod records;
mod segment;
mod writer;

pub use dirs::usable;
pub use error::SpoolError;
pub use position::{MAX_PAYLOAD, Position};
pub use reader::{Item, Reader, ReaderConfig, Unreadable};
pub use records::{Ack, Mark};
pub use writer::{FsyncPolicy, Room, Writer, WriterConfig, WriterStats};
