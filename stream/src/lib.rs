//! The stream between whoever watches the chain and whoever projects it: the event envelope and
//! the spool, an append-only log in a directory that one process writes and others tail.
//!
//! - [`proto`]: the envelope, generated from `proto/mythic/stream/v1/envelope.proto`
//! - [`digest`]: the order-free digest of a bank's account updates, carried by its seal
//! - [`transactions`]: a bank's transactions as bytes
//! - [`spool`]: writer, reader, positions, acknowledgements
#![forbid(unsafe_code)]

pub mod digest;
pub mod spool;
pub mod transactions;

/// Protobuf types of package `mythic.stream.v1`. Byte fields are `bytes::Bytes`, often slices of
/// the block a reader read: copy what is kept for long.
pub mod proto {
    #![allow(missing_docs)]
    include!(concat!(env!("OUT_DIR"), "/mythic.stream.v1.rs"));

    pub use envelope::Event;

    impl LossReason {
        /// All reasons that a producer has.
        pub const ALL: [Self; 6] = [
            Self::QueueFull,
            Self::SpoolFull,
            Self::AfterSeal,
            Self::SlotRecords,
            Self::Malformed,
            Self::Transactions,
        ];

        /// The word for it, the same in metrics, alarms and the operator's guide.
        pub const fn word(self) -> &'static str {
            match self {
                Self::Unspecified => "unspecified",
                Self::QueueFull => "queue_full",
                Self::SpoolFull => "spool_full",
                Self::AfterSeal => "after_seal",
                Self::SlotRecords => "slot_records",
                Self::Malformed => "malformed",
                Self::Transactions => "transactions",
            }
        }
    }
}
