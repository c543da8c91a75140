//! The chain's Clock, as the programs read it.

use mythic_interface::market::due::Moment;
use solana_pubkey::Pubkey;

use crate::{ChainClient, ClientError, Commitment};

/// The Clock sysvar.
pub const CLOCK: Pubkey = Pubkey::from_str_const("SysvarC1ock11111111111111111111111111111111");

/// Reads the sysvar's bytes: slot (`u64`), second in which its epoch began (`i64`), two epochs (`u64` each), second (`i64`).
fn read(bytes: &[u8]) -> Option<Moment> {
    let word = |place: usize| {
        let word = bytes.get(8 * place..8 * place + 8)?;
        Some(u64::from_le_bytes(word.try_into().ok()?))
    };
    // Before 1970 it is no second of ours.
    let second = word(4)?.cast_signed().max(0).unsigned_abs();
    Some(Moment {
        slot: word(0)?,
        second,
    })
}

impl ChainClient {
    /// Slot and second of the newest block at `commitment`.
    pub async fn moment(&self, commitment: Commitment) -> Result<Moment, ClientError> {
        let snapshot = self.raw_account(&CLOCK, commitment).await?;
        let moment = snapshot.account.and_then(|account| read(&account.data));
        moment.ok_or_else(|| ClientError::Answer("the Clock sysvar can't be read".into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sysvar(words: [i64; 5]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    #[test]
    fn slot_and_second_stand_first_and_last() {
        let moment = Moment {
            slot: 7,
            second: 1_700_000_000,
        };
        assert_eq!(read(&sysvar([7, 1, 2, 3, 1_700_000_000])), Some(moment));
        let early = read(&sysvar([7, 1, 2, 3, -5]));
        assert_eq!(early.map(|moment| moment.second), Some(0));
    }

    #[test]
    fn bytes_that_are_cut_off_are_refused() {
        let bytes = sysvar([7, 1, 2, 3, 4]);
        assert_eq!(read(bytes.get(..39).unwrap_or_default()), None);
        assert_eq!(read(&[]), None);
    }
}
