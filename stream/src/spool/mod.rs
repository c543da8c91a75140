//! The spool: an append-only log of envelopes in a directory. One process writes it; readers in
//! other processes tail it up to the durable mark.
//!
//! ```text
//! lock                        held by the writer
//! durable                     the mark: segment, offset; what lies before it survives a crash
//! 000000000007.seg            header, then frames: len u32 | crc32c u32 | payload (an Envelope)
//! acks/NAME                   the position that reader NAME has committed, and when it was last alive
//! ```
//! A run always opens a new segment. A segment goes when every reader has acknowledged past it. When
//! the byte bound is reached the writer refuses new records, it never overwrites old ones.

mod error;
mod format;
mod position;
mod reader;
mod records;
mod writer;

pub use error::SpoolError;
pub use position::{MAX_PAYLOAD, Position};
pub use reader::{Item, Reader, ReaderConfig};
pub use records::{Ack, Mark};
pub use writer::{FsyncPolicy, Room, Writer, WriterConfig, WriterStats};
