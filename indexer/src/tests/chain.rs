//! A synthetic validator: writes envelopes to a real spool as the plugin would.

use std::path::Path;

use bytemuck::Zeroable;
use mythic_interface::le::Text;
use mythic_interface::params::Params;
use mythic_interface::state::{Header, Job, VERSION, Validator, Vault};
use mythic_interface::{AI_PRECOMPILES_ID, PROGRAMS};
use mythic_stream::digest::{BankDigest, filter_hash};
use mythic_stream::proto::{
    AccountUpdate, BaseEnd, Call, Event, SlotSeal, SlotStatus, SlotUpdate, Start, TransactionSeal,
    TransactionUpdate,
};
use mythic_stream::spool::{FsyncPolicy, Room, Writer, WriterConfig};

pub const GENESIS: [u8; 32] = [0xaa; 32];

/// One account write.
#[derive(Clone)]
pub struct Write {
    pub key: u8,
    pub owner: [u8; 32],
    pub lamports: u64,
    pub data: Vec<u8>,
}

pub fn write(key: u8, data: Vec<u8>) -> Write {
    Write {
        key,
        owner: AI_PRECOMPILES_ID,
        lamports: 1_000_000,
        data,
    }
}

pub fn closed(key: u8) -> Write {
    Write {
        key,
        owner: [0; 32],
        lamports: 0,
        data: Vec::new(),
    }
}

pub fn header(discriminator: u8, status: u8, seq: u64) -> Header {
    Header {
        discriminator,
        version: VERSION,
        bump: 255,
        status,
        reserved: [0; 4],
        seq: seq.into(),
    }
}

/// Slots of a job's life; 0 = not yet.
#[derive(Clone, Copy, Default)]
pub struct Life {
    pub requested: u64,
    pub accepted: u64,
    pub submitted: u64,
    pub ended: u64,
}

pub fn job(seq: u64, life: Life) -> Vec<u8> {
    let mut job = Job::zeroed();
    let status = match life {
        Life { ended: 1.., .. } => 5,
        Life { submitted: 1.., .. } => 3,
        Life { accepted: 1.., .. } => 2,
        _ => 1,
    };
    job.header = header(7, status, seq);
    job.terms.owner = [11; 32];
    job.terms.requester = [12; 32];
    job.terms.model = [13; 32];
    job.terms.prompt_tokens = 10.into();
    job.terms.max_output_tokens = 20.into();
    job.terms.price_in = 25_000.into();
    job.terms.price_out = 50_000.into();
    job.terms.rules = Params::dev().rules;
    job.terms.prompt_source = Text::new("http://127.0.0.1:4002").unwrap();
    job.requested_slot = life.requested.into();
    job.accepted_slot = life.accepted.into();
    job.submitted_slot = life.submitted.into();
    job.ended_slot = life.ended.into();
    job.deadline_slot = (life.requested + 100).into();
    job.ceiling = 1_250.into();
    if life.accepted > 0 {
        job.validator = [14; 32];
    }
    if life.submitted > 0 {
        job.output_tokens = 7.into();
        job.finish_reason = 1;
        job.fingerprint = [15; 32];
    }
    if life.ended > 0 {
        job.end_reason = 1;
        job.fee = 600.into();
        job.validator_amount = 300.into();
        job.foundation_amount = 60.into();
        job.burned_amount = 240.into();
        job.refunded_amount = 650.into();
    }
    bytemuck::bytes_of(&job).to_vec()
}

pub fn vault(seq: u64, balance: u64) -> Vec<u8> {
    let mut vault = Vault::zeroed();
    vault.header = header(5, 1, seq);
    vault.owner = [11; 32];
    vault.balance = balance.into();
    bytemuck::bytes_of(&vault).to_vec()
}

pub fn validator(seq: u64, stake: u64, gpu: &str) -> Vec<u8> {
    let mut validator = Validator::zeroed();
    validator.header = header(4, 1, seq);
    validator.authority = [14; 32];
    validator.stake = stake.into();
    validator.gpu_name = Text::new(gpu).unwrap();
    bytemuck::bytes_of(&validator).to_vec()
}

/// Blockhash of `slot` on `fork`.
pub fn hash(slot: u64, fork: u8) -> [u8; 32] {
    let mut hash = [fork; 32];
    hash[..8].copy_from_slice(&slot.to_le_bytes());
    hash
}

/// Signature of the update of `key` in `slot` on `fork`.
pub fn signature(slot: u64, fork: u8, key: u8) -> [u8; 64] {
    let mut signature = [fork; 64];
    signature[0] = key;
    signature[1..9].copy_from_slice(&slot.to_le_bytes());
    signature
}

pub struct Chain {
    pub spool: Writer,
    generations: std::collections::HashMap<u64, u32>,
    digests: std::collections::HashMap<(u64, u32), BankDigest>,
    version: u64,
    filter: [u8; 32],
    /// Its seals promise the bank's transactions.
    pub streams: bool,
}

impl Chain {
    /// Opens a run, with startup accounts that end at `base_slot`.
    pub fn start(dir: &Path, run: u8, base_slot: u64, base: &[Write]) -> Self {
        let mut chain = Self::begin(dir, run, &PROGRAMS);
        for write in base {
            chain.update(base_slot, 0, 0, write, true);
        }
        chain.push(Event::BaseEnd(BaseEnd {
            slot: base_slot,
            count: base.len() as u64,
        }));
        chain
    }

    /// Opens a run of a plugin that follows these owners, before its startup accounts.
    pub fn begin(dir: &Path, run: u8, owners: &[[u8; 32]]) -> Self {
        Self::within(WriterConfig::new(dir), run, owners)
    }

    /// The same, with a spool of other bounds.
    pub fn within(mut config: WriterConfig, run: u8, owners: &[[u8; 32]]) -> Self {
        config.fsync = FsyncPolicy::Never;
        let filter = filter_hash(owners);
        let mut chain = Self {
            spool: Writer::open(config, [run; 16]).unwrap(),
            generations: Default::default(),
            digests: Default::default(),
            version: 0,
            filter,
            streams: false,
        };
        let start = Start {
            genesis_hash: GENESIS.to_vec().into(),
            filter_hash: filter.to_vec().into(),
            primed: true,
            ..Default::default()
        };
        chain.push(Event::Start(start));
        chain
    }

    pub fn push(&mut self, event: Event) {
        if let Event::Account(update) = &event
            && !update.is_startup
        {
            let key = |bytes: &[u8]| bytes.try_into().unwrap();
            self.digests
                .entry((update.slot, update.generation))
                .or_default()
                .push(
                    key(&update.pubkey),
                    &key(&update.owner),
                    update.lamports,
                    &update.data,
                );
        }
        self.spool.append(event, Room::Ordinary).unwrap();
    }

    pub fn update(&mut self, slot: u64, generation: u32, fork: u8, write: &Write, startup: bool) {
        self.version += 1;
        let signature = if startup {
            Vec::new()
        } else {
            signature(slot, fork, write.key).to_vec()
        };
        self.push(Event::Account(AccountUpdate {
            slot,
            generation,
            write_version: self.version,
            pubkey: vec![write.key; 32].into(),
            owner: write.owner.to_vec().into(),
            lamports: write.lamports,
            data: write.data.clone().into(),
            is_startup: startup,
            signature: signature.into(),
        }));
    }

    pub fn create(&mut self, slot: u64) -> u32 {
        let generation = self.generations.entry(slot).or_default();
        *generation += 1;
        let generation = *generation;
        self.status(slot, 0, SlotStatus::CreatedBank, generation);
        generation
    }

    pub fn seal(&mut self, slot: u64, fork: u8, parent: (u64, u8), generation: u32, offered: u64) {
        let digest = self.digests.remove(&(slot, generation)).unwrap_or_default();
        self.push(Event::Seal(SlotSeal {
            slot,
            generation,
            blockhash: hash(slot, fork).to_vec().into(),
            parent_slot: parent.0,
            parent_blockhash: hash(parent.0, parent.1).to_vec().into(),
            block_time: Some(1_800_000_000 + slot as i64),
            offered,
            digest: digest.finish().to_vec().into(),
            filter_hash: self.filter.to_vec().into(),
            transactions: self.streams,
            ..Default::default()
        }));
    }

    /// A whole bank of `slot` on `fork`.
    pub fn bank(&mut self, slot: u64, fork: u8, parent: (u64, u8), writes: &[Write]) {
        let generation = self.create(slot);
        for write in writes {
            self.update(slot, generation, fork, write, false);
        }
        self.seal(slot, fork, parent, generation, writes.len() as u64);
    }

    /// A whole bank with transactions, one for each of `calls`, which are the data of instructions.
    pub fn called(
        &mut self,
        (slot, fork): (u64, u8),
        parent: (u64, u8),
        writes: &[Write],
        calls: &[Vec<u8>],
    ) {
        let generation = self.create(slot);
        for write in writes {
            self.update(slot, generation, fork, write, false);
        }
        for (index, data) in (0..).zip(calls) {
            self.push(Event::Transaction(TransactionUpdate {
                slot,
                generation,
                index,
                signature: signature(slot, fork, index as u8).to_vec().into(),
                keys: [[11; 32], [3; 32], AI_PRECOMPILES_ID].concat().into(),
                fee: 5_000,
                calls: vec![Call {
                    accounts: vec![1, 0, 0, 0].into(),
                    data: data.clone().into(),
                    program: 2,
                    ..Call::default()
                }],
                ..TransactionUpdate::default()
            }));
        }
        self.streams = true;
        self.seal(slot, fork, parent, generation, writes.len() as u64);
        self.streams = false;
        self.push(Event::TransactionSeal(TransactionSeal {
            slot,
            generation,
            blockhash: hash(slot, fork).to_vec().into(),
            offered: calls.len() as u64,
            ..TransactionSeal::default()
        }));
    }

    fn status(&mut self, slot: u64, fork: u8, status: SlotStatus, generation: u32) {
        let named = matches!(status, SlotStatus::Confirmed | SlotStatus::Rooted);
        let blockhash = if named {
            hash(slot, fork).to_vec()
        } else {
            Vec::new()
        };
        self.push(Event::Slot(SlotUpdate {
            slot,
            generation,
            status: status.into(),
            parent: Some(slot.saturating_sub(1)),
            blockhash: blockhash.into(),
            dead_reason: None,
        }));
    }

    pub fn confirm(&mut self, slot: u64, fork: u8) {
        self.status(slot, fork, SlotStatus::Confirmed, 1);
    }

    pub fn root(&mut self, slot: u64, fork: u8) {
        self.status(slot, fork, SlotStatus::Rooted, 1);
    }

    /// A status whose blockhash the plugin does not know.
    pub fn unnamed(&mut self, slot: u64, status: SlotStatus) {
        self.push(Event::Slot(SlotUpdate {
            slot,
            generation: 0,
            status: status.into(),
            parent: Some(slot.saturating_sub(1)),
            blockhash: Default::default(),
            dead_reason: None,
        }));
    }

    /// A bank of which one update of `writes` is lost.
    pub fn incomplete(&mut self, slot: u64, fork: u8, parent: (u64, u8), writes: &[Write]) {
        let generation = self.create(slot);
        for write in &writes[1..] {
            self.update(slot, generation, fork, write, false);
        }
        self.seal(slot, fork, parent, generation, writes.len() as u64);
    }

    pub fn dead(&mut self, slot: u64) {
        self.status(slot, 0, SlotStatus::Dead, 1);
    }

    pub fn sync(&mut self) {
        self.spool.sync().unwrap();
    }
}
