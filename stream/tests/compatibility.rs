//! Records of an older producer mean today what they meant then, and what it did not know reads as not told.

use mythic_stream::proto::{Envelope, Event, LossReason};
use prost::Message;

/// A seal as it was before transactions were streamed, inside an envelope.
#[derive(Clone, PartialEq, Message)]
struct OldEnvelope {
    #[prost(bytes = "vec", tag = "1")]
    run: Vec<u8>,
    #[prost(uint64, tag = "2")]
    seq: u64,
    #[prost(message, optional, tag = "9")]
    seal: Option<OldSeal>,
}

#[derive(Clone, PartialEq, Message)]
struct OldSeal {
    #[prost(uint64, tag = "1")]
    slot: u64,
    #[prost(uint32, tag = "2")]
    generation: u32,
    #[prost(bytes = "vec", tag = "3")]
    blockhash: Vec<u8>,
    #[prost(uint64, tag = "7")]
    offered: u64,
    #[prost(uint64, optional, tag = "11")]
    block_height: Option<u64>,
}

#[test]
fn a_seal_of_before_promises_no_transactions() {
    let old = OldEnvelope {
        run: vec![1; 16],
        seq: 7,
        seal: Some(OldSeal {
            slot: 9,
            generation: 1,
            blockhash: vec![2; 32],
            offered: 3,
            block_height: Some(8),
        }),
    };
    let read = Envelope::decode(old.encode_to_vec().as_slice()).unwrap();
    assert_eq!(read.seq, 7);
    let Some(Event::Seal(seal)) = read.event else {
        panic!("{read:?}")
    };
    assert_eq!((seal.slot, seal.generation, seal.offered), (9, 1, 3));
    assert_eq!((seal.block_height, seal.transactions), (Some(8), false));
}

#[test]
fn what_an_older_consumer_does_not_know_leaves_the_rest_readable() {
    let new = Envelope {
        seq: 8,
        event: Some(Event::TransactionSeal(Default::default())),
        ..Envelope::default()
    };
    let read = OldEnvelope::decode(new.encode_to_vec().as_slice()).unwrap();
    assert_eq!((read.seq, read.seal), (8, None));
    assert_eq!(LossReason::try_from(6), Ok(LossReason::Transactions));
}
