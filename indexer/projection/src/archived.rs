//! An account update as the archive has it.

use mythic_interface::state::Key;
use tokio_postgres::Row;

use crate::Account;

/// A row of the archive is not what was written.
#[derive(Debug, thiserror::Error)]
#[error("stored {0} is not what was written")]
pub struct Damaged(&'static str);

/// Reads an update from columns `pubkey`, `owner`, `lamports`, `data`, `signature`, `write_version` and `account_slot` of
/// `archive.account`.
pub fn archived(row: &Row) -> Result<Account, Damaged> {
    let key = |column: &'static str| -> Result<Key, Damaged> {
        let bytes = row.get::<_, &[u8]>(column);
        bytes.try_into().map_err(|_| Damaged(column))
    };
    let lamports: &[u8] = row.get("lamports");
    let signature: Option<&[u8]> = row.get("signature");
    Ok(Account {
        pubkey: key("pubkey")?,
        owner: key("owner")?,
        lamports: u64::from_le_bytes(lamports.try_into().map_err(|_| Damaged("lamports"))?),
        data: row.get::<_, Vec<u8>>("data").into(),
        signature: signature
            .map(|bytes| bytes.try_into().map_err(|_| Damaged("signature")))
            .transpose()?,
        write_version: row.get::<_, i64>("write_version") as u64,
        slot: u64::try_from(row.get::<_, i64>("account_slot")).unwrap_or(0),
    })
}
