//! All accounts of the programs at finality: of each in one answer, or in parts where one would be too long.
//!
//! An answer shows one block. Parts show several, so a snapshot says between which: what is older than `low` is as it was in
//! `low`, and what changed up to `high` may be shown as it was before or after. Whoever uses it puts it at `low`, where anything
//! newer that is known from elsewhere wins, and knows all blocks up to `high`.

use std::collections::BTreeMap;

use futures::TryStreamExt;
use mythic_interface::market::state::{
    Class, Lease, LeaseDispute, MarketConfig, MarketTreasury, Provider, Request,
};
use mythic_interface::state::{
    Case, Config, Job, Key, Model, Output, SpendGrant, Treasury, Validator, Vault, Votes,
};
use mythic_interface::{AI_PRECOMPILES_ID, COMPUTE_MARKET_ID};

use super::ask::{Level, Rpc, RpcError, patiently};
use super::claim::{Content, HEAD, Read};
use crate::projection::Account;
use crate::tree::BankId;

/// The programs, and the first bytes of their accounts.
const KINDS: [(Key, &[u8]); 2] = [
    (
        AI_PRECOMPILES_ID,
        &[
            Config::DISCRIMINATOR,
            Model::DISCRIMINATOR,
            Validator::DISCRIMINATOR,
            Vault::DISCRIMINATOR,
            SpendGrant::DISCRIMINATOR,
            Job::DISCRIMINATOR,
            Case::DISCRIMINATOR,
            Votes::DISCRIMINATOR,
            Treasury::DISCRIMINATOR,
            Output::DISCRIMINATOR,
        ],
    ),
    (
        COMPUTE_MARKET_ID,
        &[
            MarketConfig::DISCRIMINATOR,
            MarketTreasury::DISCRIMINATOR,
            Class::DISCRIMINATOR,
            Provider::DISCRIMINATOR,
            Request::DISCRIMINATOR,
            Lease::DISCRIMINATOR,
            LeaseDispute::DISCRIMINATOR,
        ],
    ),
];

/// See the module's description.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub low: BankId,
    pub high: u64,
    /// Sorted by key, with the slot of `low`.
    pub accounts: Vec<Account>,
}

/// The programs' accounts as they were in finalized blocks that are `least` or newer.
pub(super) async fn take(rpc: &Rpc, least: u64) -> Result<Snapshot, RpcError> {
    let mut parts = Parts::of(rpc);
    for (program, kinds) in KINDS {
        match rpc.program_accounts(&program, None, false, least).await {
            Ok(all) => parts.add(all)?,
            Err(e) if e.is_too_long() => {
                tracing::info!("asking for the accounts in parts: {e}");
                for kind in kinds {
                    kind_of(rpc, (&program, *kind), least, &mut parts).await?;
                }
            }
            Err(e) => return Err(e),
        }
    }
    let low = patiently(|| rpc.head(parts.low, Level::Finalized))
        .await?
        .id;
    let account = |(pubkey, (_, content)): (Key, (u64, Content))| Account {
        pubkey,
        owner: content.owner,
        lamports: content.lamports,
        data: content.data,
        signature: None,
        write_version: 0,
        slot: low.slot,
    };
    Ok(Snapshot {
        low,
        high: parts.high,
        accounts: parts.newest.into_iter().map(account).collect(),
    })
}

/// The accounts of a program that begin with a byte: at once, or one by one if that is too long too.
async fn kind_of(
    rpc: &Rpc,
    (program, kind): (&Key, u8),
    least: u64,
    parts: &mut Parts<'_>,
) -> Result<(), RpcError> {
    match patiently(|| rpc.program_accounts(program, Some(kind), false, least)).await {
        Ok(all) => {
            return parts.add(all);
        }
        Err(e) if e.is_too_long() => {}
        Err(e) => return Err(e),
    }
    let keys = patiently(|| rpc.program_accounts(program, Some(kind), true, least)).await?;
    let slot = keys.slot;
    let keys: Vec<Key> = keys.value.into_iter().map(|(key, _)| key).collect();
    parts.saw(slot);
    let mut reads = rpc.every_account(&keys, Level::Finalized, slot);
    while let Some(read) = reads.try_next().await? {
        // One that is gone meanwhile was closed in a block up to `high`.
        let found = read.value.into_iter();
        let ours = found.filter_map(|(key, content)| Some((key, content?)));
        parts.add(Read {
            slot: read.slot,
            value: ours.filter(|(_, content)| content.is_ours()).collect(),
        })?;
    }
    Ok(())
}

struct Parts<'a> {
    rpc: &'a Rpc,
    low: u64,
    high: u64,
    /// The newest state of each account that was seen.
    newest: BTreeMap<Key, (u64, Content)>,
    /// What they take in memory, bytes.
    held: usize,
}

fn takes(content: &Content) -> usize {
    content.data.len() + HEAD
}

impl<'a> Parts<'a> {
    fn of(rpc: &'a Rpc) -> Self {
        Self {
            rpc,
            low: u64::MAX,
            high: 0,
            newest: BTreeMap::new(),
            held: 0,
        }
    }

    fn saw(&mut self, slot: u64) {
        self.low = self.low.min(slot);
        self.high = self.high.max(slot);
    }

    fn add(&mut self, part: Read<Vec<(Key, Content)>>) -> Result<(), RpcError> {
        self.saw(part.slot);
        for (key, content) in part.value {
            // An account can be of two kinds if it was made anew in between.
            let known = self.newest.get(&key);
            if known.is_none_or(|(slot, _)| *slot <= part.slot) {
                self.held += takes(&content);
                let before = self.newest.insert(key, (part.slot, content));
                self.held -= before.map_or(0, |(_, content)| takes(&content));
            }
            if self.held > self.rpc.most() {
                return Err(self.rpc.too_much());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::projection::entity_of;
    use mythic_interface::PROGRAMS;

    #[test]
    fn every_kind_of_account_of_every_program_is_asked_for() {
        assert_eq!(KINDS.map(|(program, _)| program), PROGRAMS);
        for (program, kinds) in KINDS {
            let is_known = |byte: &u8| entity_of(&program, &[*byte]).is_some();
            let known: Vec<u8> = (0..=u8::MAX).filter(is_known).collect();
            let mut asked = kinds.to_vec();
            asked.sort_unstable();
            assert_eq!(asked, known);
        }
    }
}
