//! Account updates as the archive has them. A row of `archive.account` is a parcel: up to 256 updates of one block, in their order. Their
//! keys stand beside each other, for SQL to look at; the rest is one compressed body. Rows of older databases hold one update each.

use std::collections::HashMap;
use std::io::{self, Read, Write};

use bytes::Bytes;
use mythic_interface::state::Key;
use tokio_postgres::Row;

use crate::Account;
use crate::varint::{damaged, read_signed, read_unsigned, write_signed, write_unsigned};

/// Updates in a parcel at most.
pub const PARCEL_UPDATES: usize = 256;
/// Bytes of content with which a parcel is closed.
const PARCEL_BYTES: usize = 128 << 10;
/// A parcel is no longer than this when it is unpacked: one account may have been too many.
const LONGEST: u64 = 130 << 20;
/// The fastest: parcels are packed on the way of a commit.
const LEVEL: i32 = 1;

/// First byte of a body: how the rest is packed.
const PLAIN: u8 = 0;
const ZSTD: u8 = 1;

/// What an update says of itself against the one before it.
const OTHER_OWNER: u8 = 1;
const SIGNED: u8 = 1 << 1;
const OTHER_SIGNATURE: u8 = 1 << 2;

/// A row of the archive is not what was written.
#[derive(Debug, thiserror::Error)]
#[error("stored {0} is not what was written")]
pub struct Damaged(&'static str);

/// Columns that [`archived`] and [`Parcels`] read, of table `archive.account` under the name `a`.
pub const ARCHIVED: &str = "a.ordinal AS first, a.updates, a.keys, a.body, a.pubkey, a.owner, a.lamports, a.data, a.signature, \
     a.write_version, a.account_slot";

/// Updates of a block that lie in one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// Place of the first one in the block.
    pub first: i32,
    pub updates: i32,
    /// 32 bytes each.
    pub keys: Vec<u8>,
    pub body: Vec<u8>,
}

/// Packs updates of a block, the first of which has place `first` in it.
pub fn parcels(first: i32, accounts: &[Account]) -> Vec<Parcel> {
    let mut out = Vec::with_capacity(accounts.len().div_ceil(PARCEL_UPDATES));
    let mut packer = zstd::bulk::Compressor::new(LEVEL).ok();
    let (mut first, mut rest) = (first, accounts);
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = rest.iter().take(PARCEL_UPDATES).take_while(|account| {
            let room = bytes < PARCEL_BYTES;
            bytes += account.data.len();
            room
        });
        let (these, others) = rest.split_at(fits.count());
        let plain = plain(these, bytes);
        let packed = packer
            .as_mut()
            .and_then(|packer| packer.compress(&plain).ok());
        let (how, bytes) = match packed.filter(|packed| packed.len() < plain.len()) {
            Some(packed) => (ZSTD, packed),
            None => (PLAIN, plain),
        };
        out.push(Parcel {
            first,
            // Not more than PARCEL_UPDATES.
            updates: these.len() as i32,
            keys: these.iter().flat_map(|account| account.pubkey).collect(),
            body: [&[how][..], &bytes].concat(),
        });
        first = first.saturating_add(these.len() as i32);
        rest = others;
    }
    out
}

/// What is alike stands together: heads, then signatures, then contents.
fn plain(accounts: &[Account], bytes: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(accounts.len() * 100 + bytes);
    let mut before = Last::default();
    let mut signatures = Vec::new();
    for account in accounts {
        // A vector takes everything.
        let _ = before.write(&mut out, &mut signatures, account);
    }
    out.extend(signatures);
    for account in accounts {
        out.extend_from_slice(&account.data);
    }
    out
}

/// The update before.
struct Last {
    owner: Key,
    signature: [u8; 64],
    lamports: u64,
    write_version: u64,
    slot: u64,
}

impl Default for Last {
    fn default() -> Self {
        Self {
            owner: mythic_interface::AI_PRECOMPILES_ID,
            signature: [0; 64],
            lamports: 0,
            write_version: 0,
            slot: 0,
        }
    }
}

/// An update without key and content.
struct Head {
    account: Account,
    other_signature: bool,
    length: usize,
}

fn step(to: u64, from: u64) -> i64 {
    to.wrapping_sub(from) as i64
}

impl Last {
    fn write(
        &mut self,
        out: &mut Vec<u8>,
        signatures: &mut Vec<u8>,
        account: &Account,
    ) -> io::Result<()> {
        let mut flags = 0;
        if account.owner != self.owner {
            flags |= OTHER_OWNER;
        }
        if let Some(signature) = account.signature {
            flags |= SIGNED;
            if signature != self.signature {
                flags |= OTHER_SIGNATURE;
                signatures.extend(signature);
                self.signature = signature;
            }
        }
        out.push(flags);
        if flags & OTHER_OWNER != 0 {
            out.write_all(&account.owner)?;
            self.owner = account.owner;
        }
        write_signed(out, step(account.lamports, self.lamports))?;
        write_signed(out, step(account.write_version, self.write_version))?;
        write_signed(out, step(account.slot, self.slot))?;
        write_unsigned(out, account.data.len() as u64)?;
        self.lamports = account.lamports;
        self.write_version = account.write_version;
        self.slot = account.slot;
        Ok(())
    }

    fn read(&mut self, from: &mut &[u8], pubkey: Key) -> io::Result<Head> {
        let mut flags = [0];
        from.read_exact(&mut flags)?;
        let [flags] = flags;
        if flags & OTHER_OWNER != 0 {
            from.read_exact(&mut self.owner)?;
        }
        let mut next = |last: &mut u64| -> io::Result<u64> {
            *last = last.wrapping_add(read_signed(from)? as u64);
            Ok(*last)
        };
        let (lamports, write_version, slot) = (
            next(&mut self.lamports)?,
            next(&mut self.write_version)?,
            next(&mut self.slot)?,
        );
        let length = read_unsigned(from)?;
        Ok(Head {
            account: Account {
                pubkey,
                owner: self.owner,
                lamports,
                data: Bytes::new(),
                signature: (flags & SIGNED != 0).then_some([0; 64]),
                write_version,
                slot,
            },
            other_signature: flags & OTHER_SIGNATURE != 0,
            length: usize::try_from(length).map_err(|_| damaged("too long a content"))?,
        })
    }
}

/// The updates of a parcel.
fn unpack(keys: &[u8], body: &[u8]) -> io::Result<Vec<Account>> {
    let (keys, []) = keys.as_chunks::<32>() else {
        return Err(damaged("keys of another length"));
    };
    let plain = match body.split_first() {
        Some((&PLAIN, plain)) => plain.to_vec(),
        Some((&ZSTD, packed)) => {
            let mut plain = Vec::new();
            let mut decoder = zstd::Decoder::new(packed)?.take(LONGEST);
            decoder.read_to_end(&mut plain)?;
            plain
        }
        _ => return Err(damaged("packed in an unknown way")),
    };
    let plain = Bytes::from(plain);
    let (mut from, mut before) = (&plain[..], Last::default());
    let mut heads = Vec::with_capacity(keys.len().min(PARCEL_UPDATES));
    for key in keys {
        heads.push(before.read(&mut from, *key)?);
    }
    let mut last = [0; 64];
    for head in &mut heads {
        if head.other_signature {
            from.read_exact(&mut last)?;
        }
        if let Some(signature) = &mut head.account.signature {
            *signature = last;
        }
    }
    let mut at = plain.len() - from.len();
    let mut accounts = Vec::with_capacity(heads.len());
    for Head {
        mut account,
        length,
        ..
    } in heads
    {
        let end = at.checked_add(length).filter(|end| *end <= plain.len());
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        account.data = plain.slice(at..end);
        at = end;
        accounts.push(account);
    }
    match at == plain.len() {
        true => Ok(accounts),
        false => Err(damaged("more than its updates")),
    }
}

/// The updates of a row, from columns [`ARCHIVED`].
pub fn archived(row: &Row) -> Result<Vec<Account>, Damaged> {
    let Some(updates) = row.get::<_, Option<i32>>("updates") else {
        return Ok(vec![single(row)?]);
    };
    let column = |name: &'static str| row.get::<_, Option<&[u8]>>(name).ok_or(Damaged(name));
    let accounts = unpack(column("keys")?, column("body")?).map_err(|_| Damaged("body"))?;
    match i32::try_from(accounts.len()) == Ok(updates) {
        true => Ok(accounts),
        false => Err(Damaged("updates")),
    }
}

/// A row that holds one update.
fn single(row: &Row) -> Result<Account, Damaged> {
    let column = |name: &'static str| row.get::<_, Option<&[u8]>>(name).ok_or(Damaged(name));
    let key = |name: &'static str| -> Result<Key, Damaged> {
        column(name)?.try_into().map_err(|_| Damaged(name))
    };
    let number = |name: &'static str| row.get::<_, Option<i64>>(name).ok_or(Damaged(name));
    let signature: Option<&[u8]> = row.get("signature");
    let lamports = column("lamports")?;
    Ok(Account {
        pubkey: key("pubkey")?,
        owner: key("owner")?,
        lamports: u64::from_le_bytes(lamports.try_into().map_err(|_| Damaged("lamports"))?),
        data: column("data")?.to_vec().into(),
        signature: signature
            .map(|bytes| bytes.try_into().map_err(|_| Damaged("signature")))
            .transpose()?,
        write_version: number("write_version")? as u64,
        slot: u64::try_from(number("account_slot")?).unwrap_or(0),
    })
}

/// Where update `e.ordinal` of event `e.bank`, archived under slot `e.archive_slot`, is: the join of `e` with `archive.account a`.
pub const PLACE: &str = "a.slot = e.archive_slot AND a.bank = e.bank AND a.ordinal > e.ordinal - 256 AND a.ordinal <= e.ordinal \
     AND e.ordinal < a.ordinal + COALESCE(a.updates, 1)";

/// Finds single updates in rows that join them with their parcels ([`PLACE`]); each parcel is unpacked once.
#[derive(Debug, Default)]
pub struct Parcels(HashMap<(i64, i32), Vec<Account>>);

impl Parcels {
    /// The update at place `ordinal` of event `bank`, from columns `bank`, `ordinal` and [`ARCHIVED`]. What is packed may be
    /// null in rows that follow another one of the same parcel.
    pub fn update(&mut self, row: &Row) -> Result<&Account, Damaged> {
        let first: Option<i32> = row.get("first");
        let (bank, first, ordinal): (i64, i32, i32) = (
            row.get("bank"),
            first.ok_or(Damaged("place"))?,
            row.get("ordinal"),
        );
        let accounts = match self.0.entry((bank, first)) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(new) => new.insert(archived(row)?),
        };
        let place = usize::try_from(ordinal.saturating_sub(first)).ok();
        place
            .and_then(|place| accounts.get(place))
            .ok_or(Damaged("updates"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(place: u64, length: usize) -> Account {
        Account {
            pubkey: [place as u8; 32],
            owner: [(place / 7) as u8; 32],
            lamports: u64::MAX.wrapping_mul(place),
            data: vec![place as u8; length].into(),
            signature: (!place.is_multiple_of(3)).then_some([(place / 2) as u8; 64]),
            write_version: u64::MAX - place * place,
            slot: place.is_multiple_of(5).into(),
        }
    }

    fn unpacked(parcels: &[Parcel]) -> Vec<Account> {
        let all = parcels.iter().map(|p| unpack(&p.keys, &p.body).unwrap());
        all.flatten().collect()
    }

    #[test]
    fn updates_are_read_as_they_were_written() {
        for count in [0, 1, 2, 255, 256, 257, 1000] {
            let accounts: Vec<Account> = (0..count).map(|n| account(n, n as usize % 900)).collect();
            let parcels = parcels(7, &accounts);
            assert_eq!(unpacked(&parcels), accounts);
            let mut next = 7;
            for parcel in &parcels {
                assert_eq!(
                    (parcel.first, parcel.keys.len()),
                    (next, parcel.updates as usize * 32)
                );
                assert!(parcel.updates as usize <= PARCEL_UPDATES);
                next += parcel.updates;
            }
        }
        assert!(PLACE.contains(&format!("e.ordinal - {PARCEL_UPDATES} ")));
    }

    #[test]
    fn large_accounts_and_what_does_not_shrink_are_packed_too() {
        let large: Vec<Account> = (0..5).map(|n| account(n, 100 << 10)).collect();
        let packed = parcels(0, &large);
        assert_eq!(unpacked(&packed), large);
        assert_eq!(
            packed.iter().map(|p| p.updates).collect::<Vec<_>>(),
            [2, 2, 1]
        );
        let mut noise = account(1, 0);
        noise.owner = mythic_interface::AI_PRECOMPILES_ID;
        noise.signature = Some(std::array::from_fn(|n| (n as u8).wrapping_mul(37) ^ 0x5a));
        let packed = parcels(0, std::slice::from_ref(&noise));
        assert_eq!(packed[0].body[0], PLAIN);
        assert_eq!(unpacked(&packed), [noise]);
    }

    #[test]
    fn a_damaged_parcel_is_an_error_and_never_a_panic() {
        let accounts: Vec<Account> = (0..40).map(|n| account(n, 30)).collect();
        let [parcel] = &parcels(0, &accounts)[..] else {
            panic!("one parcel")
        };
        assert!(unpack(&parcel.keys[1..], &parcel.body).is_err());
        assert!(unpack(&parcel.keys[32..], &parcel.body).is_err());
        assert!(unpack(&[], &parcel.body).is_err());
        assert!(unpack(&[], &[]).is_err());
        let mut plain = vec![PLAIN];
        plain.extend(super::plain(&accounts, 0));
        assert_eq!(unpack(&parcel.keys, &plain).unwrap(), accounts);
        for length in 0..plain.len() {
            assert!(unpack(&parcel.keys, &plain[..length]).is_err(), "{length}");
        }
        for place in 0..parcel.body.len() {
            let mut bad = parcel.body.clone();
            bad[place] ^= 0x41;
            let _ = unpack(&parcel.keys, &bad);
        }
    }
}
