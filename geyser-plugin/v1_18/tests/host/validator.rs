//! The host: Solana 1.18's way of loading a plugin and of calling it.

use crate::story::{Bank, OTHER, OURS, Story, Transaction, Write};
use mythic_stream::{
    proto::Event,
    spool::{Reader, ReaderConfig},
};
use solana_geyser_plugin_interface::geyser_plugin_interface::{
    GeyserPlugin, ReplicaAccountInfo, ReplicaAccountInfoV3, ReplicaAccountInfoVersions,
    ReplicaBlockInfo, ReplicaBlockInfoV3, ReplicaBlockInfoVersions, ReplicaTransactionInfo,
    ReplicaTransactionInfoV2, ReplicaTransactionInfoVersions, SlotStatus,
};
use solana_sdk::{
    hash::Hash,
    instruction::{CompiledInstruction, InstructionError},
    message::{Message, MessageHeader},
    pubkey::Pubkey,
    signature::Signature,
    transaction::{SanitizedTransaction, Transaction as SolanaTransaction, TransactionError},
};
use solana_transaction_status::TransactionStatusMeta;
use std::{
    path::{Path, PathBuf},
    sync::{
        Barrier,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

pub struct Validator {
    // Dropped before the library that holds its code.
    plugin: Box<dyn GeyserPlugin>,
    _library: libloading::Library,
    dir: tempfile::TempDir,
    write_version: AtomicU64,
}

/// The library that is built with this test.
pub fn library() -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    let name = "libmythic_geyser_plugin_v1_18.so";
    let deps = exe.parent().unwrap();
    let found = [deps.join(name), deps.parent().unwrap().join(name)];
    found.into_iter().find(|path| path.is_file()).unwrap()
}

fn base58(bytes: &[u8]) -> String {
    bs58::encode(bytes).into_string()
}

fn config(dir: &Path, extra: &str) -> PathBuf {
    let path = dir.join("geyser.json5");
    let text = format!(
        "{{ libpath: {:?}, spool_dir: {:?}, owners: ['{}'], genesis_hash: '{}', {extra} }}",
        library(),
        dir.join("spool"),
        base58(&OURS),
        base58(&[5; 32])
    );
    std::fs::write(&path, text).unwrap();
    path
}

fn load() -> (libloading::Library, Box<dyn GeyserPlugin>) {
    type Constructor = unsafe fn() -> *mut dyn GeyserPlugin;
    // SAFETY: the library is the one that was built with this test, by the same compiler against the same interface.
    unsafe {
        let library = libloading::Library::new(library()).unwrap();
        let create: libloading::Symbol<Constructor> = library.get(b"_create_plugin").unwrap();
        let plugin = Box::from_raw(create());
        (library, plugin)
    }
}

fn sanitized(transaction: &Transaction) -> SanitizedTransaction {
    let keys = [[1; 32], [2; 32], OURS, OTHER].map(Pubkey::from);
    let instructions = transaction.calls.iter().map(|ours| CompiledInstruction {
        program_id_index: if *ours { 2 } else { 3 },
        accounts: vec![0, 1],
        data: vec![62],
    });
    let message = Message {
        header: MessageHeader {
            num_required_signatures: 1,
            num_readonly_signed_accounts: 0,
            num_readonly_unsigned_accounts: 2,
        },
        account_keys: keys.to_vec(),
        recent_blockhash: Hash::default(),
        instructions: instructions.collect(),
    };
    let transaction = SolanaTransaction {
        signatures: vec![Signature::from(transaction.signature)],
        message,
    };
    SanitizedTransaction::try_from_legacy_transaction(transaction).unwrap()
}

impl Validator {
    pub fn start(extra: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (library, mut plugin) = load();
        let config = config(dir.path(), extra);
        plugin.on_load(config.to_str().unwrap(), false).unwrap();
        assert_eq!(plugin.name(), "mythic");
        assert!(plugin.account_data_notifications_enabled());
        assert!(plugin.transaction_notifications_enabled());
        assert!(!plugin.entry_notifications_enabled());
        Self {
            plugin,
            _library: library,
            dir,
            write_version: AtomicU64::new(0),
        }
    }

    /// What the plugin says of a configuration with this in it.
    pub fn refused(extra: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        let (_library, mut plugin) = load();
        let config = config(dir.path(), extra);
        let refused = plugin.on_load(config.to_str().unwrap(), false);
        refused.unwrap_err().to_string()
    }

    /// Plays a whole story; what the spool holds then.
    pub fn play(story: &Story) -> Vec<Event> {
        let validator = Self::start("");
        std::thread::scope(|scope| {
            for rows in &story.base {
                let validator = &validator;
                scope.spawn(move || {
                    for row in rows {
                        validator.account(90, row, None, true);
                    }
                });
            }
        });
        validator.plugin.notify_end_of_startup().unwrap();
        for (slot, write) in &story.before {
            validator.account(*slot, write, None, false);
        }
        for bank in std::iter::once(&story.first).chain(&story.banks) {
            validator.bank(bank);
        }
        validator.finish()
    }

    /// Accounts come from as many threads as write, all at once; transactions and statuses from threads of their own, when those get to it.
    fn bank(&self, bank: &Bank) {
        let slot = bank.slot;
        let barrier = Barrier::new(bank.writes.len());
        std::thread::scope(|scope| {
            for writes in &bank.writes {
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    for write in writes {
                        self.account(slot, write, bank.transactions.first(), false);
                    }
                });
            }
        });
        let (early, late) = bank.transactions.split_at(bank.early);
        for (index, transaction) in early.iter().enumerate() {
            self.transaction(slot, index, transaction);
        }
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for (index, transaction) in late.iter().enumerate() {
                    self.transaction(slot, bank.early + index, transaction);
                }
            });
            let executed = bank.transactions.len() as u64;
            self.block((slot, bank.hash), (bank.parent, bank.parent_hash), executed);
            scope.spawn(move || {
                self.status(slot, Some(bank.parent), SlotStatus::Processed);
                if let Some(confirmed) = bank.confirmed {
                    self.status(confirmed, None, SlotStatus::Confirmed);
                }
            });
        });
        if let Some(rooted) = bank.rooted {
            self.status(rooted, Some(rooted - 1), SlotStatus::Rooted);
        }
    }

    fn account(&self, slot: u64, write: &Write, by: Option<&Transaction>, is_startup: bool) {
        let by = by.map(sanitized);
        let info = ReplicaAccountInfoV3 {
            pubkey: &write.key,
            lamports: write.lamports,
            owner: &write.owner,
            executable: false,
            rent_epoch: 0,
            data: &write.data,
            write_version: self.write_version.fetch_add(1, Relaxed),
            txn: by.as_ref(),
        };
        let info = ReplicaAccountInfoVersions::V0_0_3(&info);
        self.plugin.update_account(info, slot, is_startup).unwrap();
    }

    fn transaction(&self, slot: u64, index: usize, transaction: &Transaction) {
        let sanitized = sanitized(transaction);
        let status = match transaction.custom_error {
            Some(code) => Err(TransactionError::InstructionError(
                0,
                InstructionError::Custom(code),
            )),
            None => Ok(()),
        };
        let meta = TransactionStatusMeta {
            status,
            fee: 5_000,
            compute_units_consumed: Some(777),
            ..TransactionStatusMeta::default()
        };
        let info = ReplicaTransactionInfoV2 {
            signature: sanitized.signature(),
            is_vote: transaction.is_vote,
            transaction: &sanitized,
            transaction_status_meta: &meta,
            index,
        };
        let info = ReplicaTransactionInfoVersions::V0_0_2(&info);
        self.plugin.notify_transaction(info, slot).unwrap();
    }

    fn block(&self, own: (u64, [u8; 32]), parent: (u64, [u8; 32]), executed: u64) {
        let (hash, parent_hash) = (base58(&own.1), base58(&parent.1));
        let info = ReplicaBlockInfoV3 {
            parent_slot: parent.0,
            parent_blockhash: &parent_hash,
            slot: own.0,
            blockhash: &hash,
            rewards: &[],
            block_time: Some(1_700_000_000),
            block_height: Some(own.0),
            executed_transaction_count: executed,
            entry_count: 1,
        };
        let info = ReplicaBlockInfoVersions::V0_0_3(&info);
        self.plugin.notify_block_metadata(info).unwrap();
    }

    fn status(&self, slot: u64, parent: Option<u64>, status: SlotStatus) {
        self.plugin
            .update_slot_status(slot, parent, status)
            .unwrap();
    }

    /// An account of ours.
    pub fn write(&self, slot: u64, key: u8) {
        let write = Write {
            key: [key; 32],
            owner: OURS,
            lamports: 1,
            data: vec![1, 2, 3],
            passes: true,
        };
        self.account(slot, &write, None, false);
    }

    pub fn freeze(&self, slot: u64, parent: u64) {
        self.block((slot, [slot as u8; 32]), (parent, [parent as u8; 32]), 0);
    }

    pub fn malformed_account(&self, slot: u64) {
        let info = ReplicaAccountInfo {
            pubkey: &[1; 3],
            lamports: 1,
            owner: &[],
            executable: false,
            rent_epoch: 0,
            data: &[],
            write_version: 0,
        };
        let info = ReplicaAccountInfoVersions::V0_0_1(&info);
        self.plugin.update_account(info, slot, false).unwrap();
    }

    pub fn unlinked_block(&self, slot: u64) {
        let info = ReplicaBlockInfo {
            slot,
            blockhash: "",
            rewards: &[],
            block_time: None,
            block_height: None,
        };
        let info = ReplicaBlockInfoVersions::V0_0_1(&info);
        self.plugin.notify_block_metadata(info).unwrap();
    }

    pub fn old_transaction(&self, slot: u64) {
        let sanitized = sanitized(&Transaction {
            signature: [3; 64],
            calls: vec![true],
            is_vote: false,
            custom_error: None,
        });
        let info = ReplicaTransactionInfo {
            signature: sanitized.signature(),
            is_vote: false,
            transaction: &sanitized,
            transaction_status_meta: &TransactionStatusMeta::default(),
        };
        let info = ReplicaTransactionInfoVersions::V0_0_1(&info);
        self.plugin.notify_transaction(info, slot).unwrap();
    }

    /// Unloads the plugin; what the spool holds.
    pub fn finish(mut self) -> Vec<Event> {
        self.plugin.on_unload();
        let mut reader = Reader::open(ReaderConfig {
            dir: self.dir.path().join("spool"),
            name: "test".into(),
            start: None,
        })
        .unwrap();
        let mut events = Vec::new();
        loop {
            let items = reader.poll(1_000).unwrap();
            if items.is_empty() {
                return events;
            }
            let read = items.into_iter().map(|item| item.envelope.unwrap());
            events.extend(read.flat_map(|envelope| envelope.event));
        }
    }
}
