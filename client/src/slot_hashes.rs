//! The hashes of recent slots, as the programs read them: the first slot of an epoch, and the slot from which a draw follows.

use mythic_interface::hash::Hash;
use solana_pubkey::Pubkey;

use crate::{ChainClient, ClientError, Commitment};

/// The SlotHashes sysvar.
pub const SLOT_HASHES: Pubkey =
    Pubkey::from_str_const("SysvarS1otHashes111111111111111111111111111");
/// The sysvar is a count (`u64`) and entries of slot (`u64`) and hash, latest first.
const HEAD: usize = 8;
const ENTRY: usize = 40;

/// Slots that were not skipped and their hashes, the latest first: at most 512.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SlotHashes(Vec<(u64, Hash)>);

impl SlotHashes {
    /// Reads the sysvar's bytes; what is behind them is left out.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (count, rest) = bytes.split_first_chunk::<HEAD>()?;
        let count = usize::try_from(u64::from_le_bytes(*count)).ok()?;
        let entries = rest.as_chunks::<ENTRY>().0.get(..count)?;
        let read = |entry: &[u8; ENTRY]| {
            let (slot, hash) = entry.split_first_chunk::<8>()?;
            Some((u64::from_le_bytes(*slot), hash.try_into().ok()?))
        };
        entries.iter().map(read).collect::<Option<_>>().map(Self)
    }

    /// The first slot from `slot` on that was not skipped, and its hash. `None` while there is none, and once it may be forgotten: a
    /// slot before it must still be known.
    pub fn first_from(&self, slot: u64) -> Option<(u64, Hash)> {
        let later = self.0.partition_point(|(known, _)| *known >= slot);
        match later < self.0.len() {
            true => self.0.get(later.checked_sub(1)?).copied(),
            false => None,
        }
    }
}

impl ChainClient {
    /// The hashes of recent slots at `commitment`.
    pub async fn slot_hashes(&self, commitment: Commitment) -> Result<SlotHashes, ClientError> {
        let snapshot = self.raw_account(&SLOT_HASHES, commitment).await?;
        let read = snapshot
            .account
            .map(|account| SlotHashes::read(&account.data));
        read.flatten()
            .ok_or_else(|| ClientError::Answer("the SlotHashes sysvar can't be read".into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sysvar(slots: &[u64]) -> Vec<u8> {
        let mut bytes = (slots.len() as u64).to_le_bytes().to_vec();
        for slot in slots {
            bytes.extend(slot.to_le_bytes());
            bytes.extend([*slot as u8; 32]);
        }
        bytes.extend([0; 64]);
        bytes
    }

    #[test]
    fn the_first_slot_that_was_not_skipped_is_found_while_an_older_one_is_known() {
        let hashes = SlotHashes::read(&sysvar(&[109, 108, 105, 104, 100])).unwrap();
        assert_eq!(hashes.first_from(105), Some((105, [105; 32])));
        assert_eq!(hashes.first_from(106), Some((108, [108; 32])));
        assert_eq!(hashes.first_from(101), Some((104, [104; 32])));
        assert_eq!(hashes.first_from(110), None, "there is none yet");
        assert_eq!(
            hashes.first_from(100),
            None,
            "an older one may be forgotten"
        );
        assert_eq!(SlotHashes::default().first_from(1), None);
    }

    #[test]
    fn bytes_that_are_cut_off_are_refused() {
        let bytes = sysvar(&[9, 8]);
        assert!(SlotHashes::read(&bytes[..60]).is_none());
        assert!(SlotHashes::read(&bytes[..7]).is_none());
    }
}
