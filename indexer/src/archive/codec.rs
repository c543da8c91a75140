//! Events and account updates as bytes: what a pack in the database and a file of the archive hold. An event without content takes
//! little more than its blockhash once it is compressed: what it shares with the one before it is said by a flag or a difference.
//!
//! Integers are variable-length, byte strings have their length before them ([`varint`](crate::projection::varint)). Every event has the
//! number after the one before it, so numbers are not written.

use std::io::{self, Read, Write};

use super::event::ArchivedEvent;
use crate::projection::Account;
pub(super) use crate::projection::varint::damaged;
use crate::projection::varint::{
    read_bytes, read_signed, read_unsigned, write_bytes, write_signed, write_unsigned,
};

const OTHER_RUN: u16 = 1;
const BLOCKHASH: u16 = 1 << 1;
const PARENT_SLOT: u16 = 1 << 2;
const PARENT_BLOCKHASH: u16 = 1 << 3;
const TIME: u16 = 1 << 4;
const WHOLE: u16 = 1 << 5;
const DIGEST: u16 = 1 << 6;
const OTHER_DIGEST: u16 = 1 << 7;
const FILTER: u16 = 1 << 8;
const OTHER_FILTER: u16 = 1 << 9;
const DETAIL: u16 = 1 << 10;
const BODY: u16 = 1 << 11;

/// What an event is written against: the one before it.
#[derive(Debug)]
pub(super) struct Codec {
    next: i64,
    slot: i64,
    time: i64,
    run: Vec<u8>,
    digest: Vec<u8>,
    filter: Vec<u8>,
}

impl Codec {
    /// `first`: the number of the first event.
    pub fn new(first: i64) -> Self {
        Self {
            next: first,
            slot: 0,
            time: 0,
            run: Vec::new(),
            digest: Vec::new(),
            filter: Vec::new(),
        }
    }

    pub fn write(&mut self, out: &mut impl Write, event: &ArchivedEvent) -> io::Result<()> {
        if event.id != self.next {
            return Err(damaged(&format!(
                "event {} follows event {}: one is missing",
                event.id,
                self.next - 1
            )));
        }
        let set = |flag: u16, is: bool| if is { flag } else { 0 };
        let flags = set(OTHER_RUN, event.run != self.run)
            | set(BLOCKHASH, event.blockhash.is_some())
            | set(PARENT_SLOT, event.parent_slot.is_some())
            | set(PARENT_BLOCKHASH, event.parent_blockhash.is_some())
            | set(TIME, event.block_seconds.is_some())
            | set(WHOLE, event.whole)
            | set(DIGEST, event.digest.is_some())
            | set(OTHER_DIGEST, differs(&event.digest, &self.digest))
            | set(FILTER, event.filter_hash.is_some())
            | set(OTHER_FILTER, differs(&event.filter_hash, &self.filter))
            | set(DETAIL, event.detail.is_some())
            | set(BODY, !event.body.is_empty());
        out.write_all(&[event.kind as u8])?;
        out.write_all(&flags.to_le_bytes())?;
        write_signed(out, event.slot.wrapping_sub(self.slot))?;
        write_unsigned(out, event.generation as u64)?;
        write_unsigned(out, event.accounts as u64)?;
        if flags & OTHER_RUN != 0 {
            write_bytes(out, &event.run)?;
            self.run.clone_from(&event.run);
        }
        if let Some(parent) = event.parent_slot {
            write_signed(out, event.slot.wrapping_sub(parent))?;
        }
        if let Some(time) = event.block_seconds {
            write_signed(out, time.wrapping_sub(self.time))?;
            self.time = time;
        }
        for (value, last, other) in [
            (&event.digest, &mut self.digest, OTHER_DIGEST),
            (&event.filter_hash, &mut self.filter, OTHER_FILTER),
        ] {
            if let (Some(value), true) = (value, flags & other != 0) {
                write_bytes(out, value)?;
                last.clone_from(value);
            }
        }
        for hash in [&event.parent_blockhash, &event.blockhash]
            .into_iter()
            .flatten()
        {
            write_bytes(out, hash)?;
        }
        if let Some(detail) = &event.detail {
            write_bytes(out, detail.as_bytes())?;
        }
        if !event.body.is_empty() {
            write_bytes(out, &event.body)?;
        }
        self.slot = event.slot;
        self.next += 1;
        Ok(())
    }

    pub fn read(&mut self, from: &mut impl Read) -> io::Result<ArchivedEvent> {
        let mut head = [0; 3];
        from.read_exact(&mut head)?;
        let [kind, flags @ ..] = head;
        let flags = u16::from_le_bytes(flags);
        let has = |flag: u16| flags & flag != 0;
        let slot = self.slot.wrapping_add(read_signed(from)?);
        let generation = read_unsigned(from)? as i64;
        let accounts = i32::try_from(read_unsigned(from)?)
            .map_err(|_| damaged("more updates than an event can have"))?;
        if has(OTHER_RUN) {
            self.run = read_bytes(from)?;
        }
        let parent_slot = match has(PARENT_SLOT) {
            true => Some(slot.wrapping_sub(read_signed(from)?)),
            false => None,
        };
        let block_seconds = match has(TIME) {
            true => {
                self.time = self.time.wrapping_add(read_signed(from)?);
                Some(self.time)
            }
            false => None,
        };
        if has(OTHER_DIGEST) {
            self.digest = read_bytes(from)?;
        }
        if has(OTHER_FILTER) {
            self.filter = read_bytes(from)?;
        }
        let mut hash = |flag| has(flag).then(|| read_bytes(from)).transpose();
        let parent_blockhash = hash(PARENT_BLOCKHASH)?;
        let blockhash = hash(BLOCKHASH)?;
        let detail = hash(DETAIL)?
            .map(String::from_utf8)
            .transpose()
            .map_err(|_| damaged("a text that is none"))?;
        let body = match has(BODY) {
            true => read_bytes(from)?,
            false => Vec::new(),
        };
        let id = self.next;
        (self.slot, self.next) = (slot, id + 1);
        Ok(ArchivedEvent {
            id,
            kind: kind.into(),
            run: self.run.clone(),
            slot,
            generation,
            blockhash,
            parent_slot,
            parent_blockhash,
            block_seconds,
            accounts,
            whole: has(WHOLE),
            digest: has(DIGEST).then(|| self.digest.clone()),
            filter_hash: has(FILTER).then(|| self.filter.clone()),
            detail,
            body,
        })
    }
}

fn differs(value: &Option<Vec<u8>>, last: &Vec<u8>) -> bool {
    value.as_ref().is_some_and(|value| value != last)
}

pub(super) fn write_account(out: &mut impl Write, account: &Account) -> io::Result<()> {
    out.write_all(&account.pubkey)?;
    out.write_all(&account.owner)?;
    write_unsigned(out, account.lamports)?;
    write_unsigned(out, account.write_version)?;
    write_unsigned(out, account.slot)?;
    write_bytes(out, account.signature.as_ref().map_or(&[], |s| &s[..]))?;
    write_bytes(out, &account.data)
}

pub(super) fn read_account(from: &mut impl Read) -> io::Result<Account> {
    let mut keys = [[0; 32]; 2];
    for key in &mut keys {
        from.read_exact(key)?;
    }
    let [pubkey, owner] = keys;
    let (lamports, write_version, slot) = (
        read_unsigned(from)?,
        read_unsigned(from)?,
        read_unsigned(from)?,
    );
    let signature = match read_bytes(from)?.as_slice() {
        [] => None,
        signature => Some(
            signature
                .try_into()
                .map_err(|_| damaged("a signature of another length"))?,
        ),
    };
    Ok(Account {
        pubkey,
        owner,
        lamports,
        data: read_bytes(from)?.into(),
        signature,
        write_version,
        slot,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    fn events() -> impl Strategy<Value = Vec<ArchivedEvent>> {
        let hash = || option::of(vec(any::<u8>(), 0..40));
        // Few values, so that some repeat.
        let few = || option::of(vec(0u8..2, 0..2));
        let one = (
            (0i16..13, vec(0u8..2, 0..3), any::<i64>(), any::<u32>()),
            (
                hash(),
                option::of(any::<i64>()),
                hash(),
                option::of(any::<i64>()),
            ),
            (
                0i32..=i32::MAX,
                any::<bool>(),
                few(),
                few(),
                option::of(".{0,9}"),
                vec(any::<u8>(), 0..9),
            ),
        );
        vec(one, 0..20).prop_map(|rows| {
            let events = rows
                .into_iter()
                .zip(7i64..)
                .map(|((a, b, c), id)| ArchivedEvent {
                    id,
                    kind: a.0,
                    run: a.1,
                    slot: a.2,
                    generation: a.3.into(),
                    blockhash: b.0,
                    parent_slot: b.1,
                    parent_blockhash: b.2,
                    block_seconds: b.3,
                    accounts: c.0,
                    whole: c.1,
                    digest: c.2,
                    filter_hash: c.3,
                    detail: c.4,
                    body: c.5,
                });
            events.collect()
        })
    }

    proptest! {
        #[test]
        fn events_are_read_as_they_were_written(events in events()) {
            let (mut out, mut codec) = (Vec::new(), Codec::new(7));
            for event in &events {
                codec.write(&mut out, event).unwrap();
            }
            let (mut from, mut codec) = (&out[..], Codec::new(7));
            for event in &events {
                prop_assert_eq!(&codec.read(&mut from).unwrap(), event);
            }
            prop_assert!(from.is_empty());
        }

        #[test]
        fn junk_is_an_error_and_never_a_panic(junk in vec(any::<u8>(), 0..300)) {
            let (mut from, mut codec) = (&junk[..], Codec::new(i64::MAX - 9));
            while codec.next < i64::MAX && codec.read(&mut from).is_ok() {}
            let mut from = &junk[..];
            while read_account(&mut from).is_ok() {}
        }

        #[test]
        fn accounts_are_read_as_they_were_written(
            keys in any::<[[u8; 32]; 2]>(), numbers in any::<[u64; 3]>(),
            data in vec(any::<u8>(), 0..99), signed in any::<bool>()
        ) {
            let account = Account {
                pubkey: keys[0], owner: keys[1], lamports: numbers[0], data: data.into(),
                signature: signed.then_some([7; 64]), write_version: numbers[1], slot: numbers[2],
            };
            let mut out = Vec::new();
            write_account(&mut out, &account).unwrap();
            prop_assert_eq!(read_account(&mut &out[..]).unwrap(), account);
        }
    }

    #[test]
    fn a_number_that_is_missing_is_not_written_over() {
        let event = ArchivedEvent {
            id: 3,
            ..ArchivedEvent::default()
        };
        let error = Codec::new(2).write(&mut Vec::new(), &event).unwrap_err();
        assert!(
            error.to_string().contains("event 3 follows event 1"),
            "{error}"
        );
    }
}
