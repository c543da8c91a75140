//! Words for what is lost behind the producer. Its own reasons are [`LossReason`](mythic_stream::proto::LossReason)s.

/// Bytes of the spool don't read back.
pub const SPOOL_DAMAGED: &str = "spool_damaged";
/// Records are in no partition of the topic.
pub const KAFKA_LOST: &str = "kafka_lost";
/// The disk did not take what exceeds the memory for what is held.
pub const SPILL_FAILED: &str = "spill_failed";

#[cfg(test)]
pub const ALL: [&str; 3] = [SPOOL_DAMAGED, KAFKA_LOST, SPILL_FAILED];
