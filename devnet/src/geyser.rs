//! Hosts a Geyser plugin the way an Agave validator does.
//!
//! The library is loaded by its `_create_plugin`, the callbacks come in Agave's order and only those that the
//! plugin asks for. An error of a callback is logged and counted, and the chain goes on. There is no ABI check:
//! the plugin must be built by the same rustc against the same interface crate as this process.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use agave_geyser_plugin_interface::geyser_plugin_interface::{
    GeyserPlugin, ReplicaAccountInfoV3, ReplicaAccountInfoVersions, ReplicaBlockInfoV4,
    ReplicaBlockInfoVersions, ReplicaEntryInfoV2, ReplicaEntryInfoVersions,
    ReplicaTransactionInfoV3, ReplicaTransactionInfoVersions, Result as PluginResult, SlotStatus,
};
use serde::Deserialize;
use solana_account::{AccountSharedData, ReadableAccount};
use solana_clock::Slot;
use solana_pubkey::Pubkey;
use solana_transaction_status::RewardsAndNumPartitions;

use crate::chain::{Block, Event, Executed};
use crate::storages::{Storage, Storages, Written};

/// Threads that tell the accounts of a validator's snapshot.
const READERS: usize = 4;
/// Of so many blocks a validator says that one is confirmed.
const CONFIRMED_EVERY: u64 = 2;

/// Why a plugin could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum GeyserError {
    #[error("geyser plugin configuration {path}: {reason}")]
    Config { path: PathBuf, reason: String },
    #[error("geyser plugin {path}: {source}; is it built by the same toolchain?")]
    Library {
        path: PathBuf,
        source: libloading::Error,
    },
    #[error("geyser plugin {name}: on_load failed: {reason}")]
    OnLoad { name: String, reason: String },
}

#[derive(Deserialize)]
struct PluginConfig {
    libpath: PathBuf,
    #[serde(default)]
    name: Option<String>,
}

/// A loaded plugin. Dropping it unloads it.
pub struct PluginHost {
    // Dropped before the library that holds its code.
    plugin: Option<Box<dyn GeyserPlugin>>,
    _library: Option<libloading::Library>,
    name: String,
    accounts: bool,
    transactions: bool,
    entries: bool,
    rewards: RewardsAndNumPartitions,
    /// It is told what a validator tells.
    as_validator: bool,
    errors: AtomicU64,
}

/// An account as it is told.
struct AccountCall<'a> {
    key: &'a Pubkey,
    account: &'a AccountSharedData,
    slot: Slot,
    write_version: u64,
    executed: Option<&'a Executed>,
    is_startup: bool,
}

impl PluginHost {
    /// Loads the plugin of a configuration file (JSON5 with `libpath` and, optionally, `name`).
    pub fn load(config_path: &Path) -> Result<Self, GeyserError> {
        let invalid = |reason: String| GeyserError::Config {
            path: config_path.to_path_buf(),
            reason,
        };
        let text =
            std::fs::read_to_string(config_path).map_err(|error| invalid(error.to_string()))?;
        let config: PluginConfig =
            json5::from_str(&text).map_err(|error| invalid(error.to_string()))?;
        let path = match config_path.parent() {
            Some(dir) if config.libpath.is_relative() => dir.join(&config.libpath),
            _ => config.libpath,
        };
        let (library, plugin) = open(&path)?;
        let name = config.name.unwrap_or_else(|| plugin.name().to_owned());
        Self::start(plugin, Some(library), name, config_path)
    }

    /// Hosts a plugin that is part of this process.
    pub fn in_process(
        plugin: Box<dyn GeyserPlugin>,
        config_path: &Path,
    ) -> Result<Self, GeyserError> {
        let name = plugin.name().to_owned();
        Self::start(plugin, None, name, config_path)
    }

    fn start(
        mut plugin: Box<dyn GeyserPlugin>,
        library: Option<libloading::Library>,
        name: String,
        config_path: &Path,
    ) -> Result<Self, GeyserError> {
        if let Err(error) = plugin.setup_logger(log::logger(), log::max_level()) {
            tracing::warn!(plugin = name, %error, "the plugin did not take the logger");
        }
        plugin
            .on_load(&config_path.to_string_lossy(), false)
            .map_err(|error| GeyserError::OnLoad {
                name: name.clone(),
                reason: error.to_string(),
            })?;
        tracing::info!(plugin = name, "loaded the geyser plugin");
        Ok(Self {
            accounts: plugin.account_data_notifications_enabled(),
            transactions: plugin.transaction_notifications_enabled(),
            entries: plugin.entry_notifications_enabled(),
            plugin: Some(plugin),
            _library: library,
            name,
            rewards: RewardsAndNumPartitions {
                rewards: Vec::new(),
                num_partitions: None,
            },
            as_validator: false,
            errors: AtomicU64::new(0),
        })
    }

    /// Callbacks that returned an error.
    pub fn errors(&self) -> u64 {
        self.errors.load(Relaxed)
    }

    /// Sends the accounts from which the chain starts, then the end of startup.
    pub fn startup(&self, accounts: &[(Pubkey, AccountSharedData, Slot)]) {
        if self.wants_startup() {
            for (write_version, (key, account, slot)) in accounts.iter().enumerate() {
                self.account(&AccountCall {
                    key,
                    account,
                    slot: *slot,
                    write_version: write_version as u64,
                    executed: None,
                    is_startup: true,
                });
            }
        }
        self.end_of_startup();
    }

    /// Tells what a validator tells that starts, and from then on of blocks what it does. Of its snapshot several threads read a slot's
    /// accounts each, in no order of the slots: older versions and closed accounts come too. What it executes again is told as written,
    /// and of those blocks nothing else; without a snapshot that begins with the genesis, and no end of startup is told.
    pub(crate) fn startup_of_validator(&mut self, storages: &Storages) {
        self.as_validator = true;
        let (snapshot, again) = storages.split();
        if let Some(mut read) = snapshot {
            read.sort_unstable_by_key(|(slot, _)| slot.reverse_bits());
            if self.wants_startup() {
                self.read(&read);
            }
            self.end_of_startup();
        }
        if self.accounts {
            for (slot, written) in again {
                self.storage(slot, written, false);
            }
        }
    }

    fn read(&self, snapshot: &[Storage<'_>]) {
        std::thread::scope(|scope| {
            for reader in 0..READERS {
                scope.spawn(move || {
                    for (slot, written) in snapshot.iter().skip(reader).step_by(READERS) {
                        self.storage(*slot, written, true);
                    }
                });
            }
        });
    }

    /// A slot's accounts; their versions count within it.
    fn storage(&self, slot: Slot, written: &Written, is_startup: bool) {
        for (write_version, (key, account)) in written.iter().enumerate() {
            self.account(&AccountCall {
                key,
                account,
                slot,
                write_version: write_version as u64,
                executed: None,
                is_startup,
            });
        }
    }

    fn wants_startup(&self) -> bool {
        let plugin = self.plugin.as_ref();
        self.accounts
            && plugin.is_some_and(|plugin| plugin.account_data_snapshot_notifications_enabled())
    }

    fn end_of_startup(&self) {
        self.call("notify_end_of_startup", |plugin| {
            plugin.notify_end_of_startup()
        });
    }

    /// Tells the plugin one event of the chain.
    pub fn tell(&self, event: &Event) {
        match event {
            Event::CreatedBank { slot, parent } => {
                self.status(*slot, Some(*parent), &SlotStatus::CreatedBank);
                if self.as_validator {
                    self.status(*slot, None, &SlotStatus::FirstShredReceived);
                }
            }
            Event::Account {
                slot,
                pubkey,
                account,
                write_version,
                executed,
            } => {
                if self.accounts {
                    let executed = executed.as_deref();
                    self.account(&AccountCall {
                        key: pubkey,
                        account,
                        slot: *slot,
                        write_version: *write_version,
                        executed,
                        is_startup: false,
                    });
                }
            }
            Event::Transaction { slot, executed } => self.transaction(*slot, executed),
            Event::Frozen(block) => self.frozen(block),
            Event::Processed(block) => {
                self.status(block.slot, Some(block.parent_slot), &SlotStatus::Processed);
                if self.as_validator {
                    self.status(block.slot, None, &SlotStatus::Completed);
                }
            }
            Event::Confirmed(block) if self.as_validator => {
                if block.height.is_multiple_of(CONFIRMED_EVERY) {
                    self.status(block.slot, None, &SlotStatus::Confirmed);
                }
            }
            Event::Confirmed(block) => {
                self.status(block.slot, Some(block.parent_slot), &SlotStatus::Confirmed);
            }
            Event::Rooted(block) => {
                self.status(block.slot, Some(block.parent_slot), &SlotStatus::Rooted);
            }
            Event::Dead {
                slot,
                parent,
                reason,
            } => self.status(*slot, Some(*parent), &SlotStatus::Dead(reason.clone())),
        }
    }

    fn account(&self, call: &AccountCall<'_>) {
        let AccountCall {
            key,
            account,
            slot,
            write_version,
            executed,
            is_startup,
        } = *call;
        let info = ReplicaAccountInfoV3 {
            pubkey: key.as_ref(),
            lamports: account.lamports(),
            owner: account.owner().as_ref(),
            executable: account.executable(),
            rent_epoch: account.rent_epoch(),
            data: account.data(),
            write_version,
            txn: executed.map(|executed| &executed.sanitized),
        };
        self.call("update_account", |plugin| {
            plugin.update_account(ReplicaAccountInfoVersions::V0_0_3(&info), slot, is_startup)
        });
    }

    fn transaction(&self, slot: Slot, executed: &Executed) {
        if !self.transactions {
            return;
        }
        let info = ReplicaTransactionInfoV3 {
            signature: &executed.signature,
            message_hash: executed.sanitized.message_hash(),
            is_vote: false,
            transaction: &executed.transaction,
            transaction_status_meta: &executed.meta,
            index: executed.index,
        };
        self.call("notify_transaction", |plugin| {
            plugin.notify_transaction(ReplicaTransactionInfoVersions::V0_0_3(&info), slot)
        });
    }

    /// A block is one entry with all its transactions.
    fn frozen(&self, block: &Block) {
        let count = block.transactions.len() as u64;
        if self.entries {
            let hash = block.blockhash.to_bytes();
            let info = ReplicaEntryInfoV2 {
                slot: block.slot,
                index: 0,
                num_hashes: 1,
                hash: &hash,
                executed_transaction_count: count,
                starting_transaction_index: 0,
            };
            self.call("notify_entry", |plugin| {
                plugin.notify_entry(ReplicaEntryInfoVersions::V0_0_2(&info))
            });
        }
        let blockhash = block.blockhash.to_string();
        let parent_blockhash = block.parent_blockhash.to_string();
        let rewards = &self.rewards;
        let info = ReplicaBlockInfoV4 {
            parent_slot: block.parent_slot,
            parent_blockhash: &parent_blockhash,
            slot: block.slot,
            blockhash: &blockhash,
            rewards,
            block_time: Some(block.unix_ms.div_euclid(1000)),
            block_height: Some(block.height),
            executed_transaction_count: count,
            entry_count: 1,
        };
        self.call("notify_block_metadata", |plugin| {
            plugin.notify_block_metadata(ReplicaBlockInfoVersions::V0_0_4(&info))
        });
    }

    fn status(&self, slot: Slot, parent: Option<Slot>, status: &SlotStatus) {
        self.call("update_slot_status", |plugin| {
            plugin.update_slot_status(slot, parent, status)
        });
    }

    fn call(&self, callback: &str, f: impl FnOnce(&dyn GeyserPlugin) -> PluginResult<()>) {
        let Some(plugin) = self.plugin.as_deref() else {
            return;
        };
        if let Err(error) = f(plugin) {
            let errors = self.errors.fetch_add(1, Relaxed).saturating_add(1);
            // One line each time the count doubles: a plugin that fails on every call must not fill the disk.
            if errors.is_power_of_two() {
                tracing::error!(plugin = self.name, callback, errors, %error, "the geyser plugin failed");
            }
        }
    }
}

impl Drop for PluginHost {
    fn drop(&mut self) {
        if let Some(mut plugin) = self.plugin.take() {
            plugin.on_unload();
        }
        tracing::info!(plugin = self.name, "unloaded the geyser plugin");
    }
}

/// Opens the library and lets it make its plugin.
fn open(path: &Path) -> Result<(libloading::Library, Box<dyn GeyserPlugin>), GeyserError> {
    #[allow(improper_ctypes_definitions)]
    type Constructor = unsafe extern "C" fn() -> *mut dyn GeyserPlugin;
    let failed = |source| GeyserError::Library {
        path: path.to_path_buf(),
        source,
    };
    // SAFETY: loading runs the library's initialisers, and the constructor hands over a boxed trait object. Both are
    // sound if the library is a Geyser plugin of this interface version built by this rustc, which the operator
    // who names it in the configuration answers for, as with a validator. The library outlives the plugin
    // (`PluginHost` drops the plugin first).
    unsafe {
        let library = libloading::Library::new(path).map_err(failed)?;
        let constructor: libloading::Symbol<Constructor> =
            library.get(b"_create_plugin").map_err(failed)?;
        let plugin = Box::from_raw(constructor());
        Ok((library, plugin))
    }
}
