//! What a message of `PREFIX.updates` is, and in which partition it stands.

use bytes::Bytes;
use mythic_stream::proto::{Envelope, Event};
use prost::Message;

/// Where an envelope goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    /// Into the partition of its key.
    Keyed(&'a [u8]),
    /// Into every partition.
    Everywhere,
}

/// Where an envelope with this event goes.
pub fn place(event: &Event) -> Place<'_> {
    match event {
        Event::Account(update) => Place::Keyed(&update.pubkey),
        Event::Transaction(update) => Place::Keyed(&update.signature),
        Event::Start(_)
        | Event::End(_)
        | Event::BaseEnd(_)
        | Event::Slot(_)
        | Event::Seal(_)
        | Event::Loss(_)
        | Event::TransactionSeal(_)
        | Event::Damage(_) => Place::Everywhere,
    }
}

/// The partition of a key among so many.
pub fn partition_of(key: &[u8], partitions: u16) -> i32 {
    (crc32c::crc32c(key) % u32::from(partitions.max(1))) as i32
}

/// Why a message is no envelope of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It can't be decoded.
    #[error("it is no envelope")]
    NoEnvelope,
    /// Its run is not 16 bytes.
    #[error("its run is not 16 bytes")]
    Run,
    /// A record has a number from 1 up, damage has 0.
    #[error("its number is not one that a record has")]
    Seq,
}

/// Reads the value of a message.
pub fn decode(value: Bytes) -> Result<([u8; 16], Envelope), Malformed> {
    let envelope = Envelope::decode(value).map_err(|_| Malformed::NoEnvelope)?;
    let run = envelope.run.as_ref().try_into();
    let run = run.map_err(|_| Malformed::Run)?;
    let damage = matches!(envelope.event, Some(Event::Damage(_)));
    match damage == (envelope.seq == 0) {
        true => Ok((run, envelope)),
        false => Err(Malformed::Seq),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mythic_stream::proto::{AccountUpdate, Damage, SlotSeal};

    fn envelope(seq: u64, event: Event) -> Envelope {
        Envelope {
            run: vec![7; 16].into(),
            seq,
            time_unix_nanos: 1,
            event: Some(event),
        }
    }

    #[test]
    fn only_records_of_an_account_have_a_partition_of_their_own() {
        let update = Event::Account(AccountUpdate {
            pubkey: vec![3; 32].into(),
            ..Default::default()
        });
        assert_eq!(place(&update), Place::Keyed(&[3; 32]));
        assert_eq!(place(&Event::Seal(SlotSeal::default())), Place::Everywhere);
        // Frozen: a producer and a consumer of different releases agree.
        let keys: Vec<i32> = (0..6u8).map(|b| partition_of(&[b; 32], 8)).collect();
        assert_eq!(keys, [2, 7, 0, 5, 6, 3]);
        assert_eq!(partition_of(b"x", 1), 0);
    }

    #[test]
    fn what_is_no_envelope_is_told_apart() {
        let read = |envelope: &Envelope| decode(envelope.encode_to_vec().into());
        let seal = envelope(4, Event::Seal(SlotSeal::default()));
        assert_eq!(read(&seal), Ok(([7; 16], seal.clone())));
        let damage = envelope(0, Event::Damage(Damage::default()));
        assert!(read(&damage).is_ok());
        assert_eq!(
            read(&envelope(0, Event::Seal(SlotSeal::default()))),
            Err(Malformed::Seq)
        );
        assert_eq!(
            read(&envelope(5, Event::Damage(Damage::default()))),
            Err(Malformed::Seq)
        );
        let short = Envelope {
            run: vec![7; 15].into(),
            ..seal
        };
        assert_eq!(read(&short), Err(Malformed::Run));
        assert_eq!(
            decode(Bytes::from_static(b"\xff\xff")),
            Err(Malformed::NoEnvelope)
        );
        assert_eq!(decode(Bytes::new()), Err(Malformed::Run));
    }
}
