//! The transactions of a bank as one string of bytes: how they are held, archived and read again.

use crate::proto::TransactionUpdate;
use prost::{DecodeError, Message};

/// Adds one. What all of a bank have in common (slot, generation) is left out.
pub fn push(bytes: &mut Vec<u8>, update: &TransactionUpdate) {
    let alone = TransactionUpdate {
        slot: 0,
        generation: 0,
        ..update.clone()
    };
    bytes.extend_from_slice(&alone.encode_length_delimited_to_vec());
}

/// Those in it, in their order; an error ends them.
pub fn read(mut bytes: &[u8]) -> impl Iterator<Item = Result<TransactionUpdate, DecodeError>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let next = TransactionUpdate::decode_length_delimited(&mut bytes);
        if next.is_err() {
            bytes = &[];
        }
        Some(next)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transactions_come_back_and_damage_ends_them() {
        let one = |index| TransactionUpdate {
            index,
            signature: vec![7; 64].into(),
            fee: 5_000,
            ..TransactionUpdate::default()
        };
        let mut bytes = Vec::new();
        for index in 0..3 {
            let sent = TransactionUpdate {
                slot: 9,
                generation: 1,
                ..one(index)
            };
            push(&mut bytes, &sent);
        }
        let all: Result<Vec<_>, _> = read(&bytes).collect();
        assert_eq!(all.unwrap(), (0..3).map(one).collect::<Vec<_>>());
        let cut: Vec<_> = read(&bytes[..bytes.len() - 1]).collect();
        assert_eq!(cut.len(), 3);
        assert!(cut[2].is_err());
    }
}
