//! Adapts the `GeyserPlugin` trait.

use crate::transaction::Told;
use agave_geyser_plugin_interface::geyser_plugin_interface::{
    GeyserPlugin, GeyserPluginError, ReplicaAccountInfoVersions, ReplicaBlockInfoVersions,
    ReplicaTransactionInfoVersions, Result, SlotStatus as AgaveStatus,
};
use mythic_geyser_core::{
    Banks, Block, Core, Interface, LoadError, SlotStatus, Status, Update, log,
};

/// Version of the Geyser interface that this library is built against; a validator must match it.
pub const INTERFACE_VERSION: &str = "4.2.2";

/// The plugin as the validator sees it.
#[derive(Debug)]
pub struct Plugin(Core);

impl Default for Plugin {
    fn default() -> Self {
        Self(Core::new(Interface {
            version: INTERFACE_VERSION,
            banks: Banks::Told,
        }))
    }
}

/// An account update, whichever version the validator speaks.
fn update<'a>(account: &ReplicaAccountInfoVersions<'a>) -> Option<Update<'a>> {
    let (pubkey, owner, lamports, data, write_version, signature) = match account {
        ReplicaAccountInfoVersions::V0_0_1(a) => {
            (a.pubkey, a.owner, a.lamports, a.data, a.write_version, None)
        }
        ReplicaAccountInfoVersions::V0_0_2(a) => (
            a.pubkey,
            a.owner,
            a.lamports,
            a.data,
            a.write_version,
            a.txn_signature.map(|signature| *signature.as_array()),
        ),
        ReplicaAccountInfoVersions::V0_0_3(a) => (
            a.pubkey,
            a.owner,
            a.lamports,
            a.data,
            a.write_version,
            a.txn.map(|transaction| *transaction.signature().as_array()),
        ),
    };
    Some(Update {
        pubkey: pubkey.try_into().ok()?,
        owner: owner.try_into().ok()?,
        lamports,
        data,
        write_version,
        signature,
    })
}

fn status(status: &AgaveStatus) -> Status<'_> {
    match status {
        AgaveStatus::Processed => SlotStatus::Processed.into(),
        AgaveStatus::Rooted => SlotStatus::Rooted.into(),
        AgaveStatus::Confirmed => SlotStatus::Confirmed.into(),
        AgaveStatus::FirstShredReceived => SlotStatus::FirstShredReceived.into(),
        AgaveStatus::Completed => SlotStatus::Completed.into(),
        AgaveStatus::CreatedBank => SlotStatus::CreatedBank.into(),
        AgaveStatus::Dead(reason) => Status {
            status: SlotStatus::Dead,
            dead_reason: Some(reason),
        },
    }
}

/// `Err`: its slot; version 1 names no parent, and such a bank can't be linked.
fn block<'a>(block: &ReplicaBlockInfoVersions<'a>) -> std::result::Result<Block<'a>, u64> {
    macro_rules! read {
        ($block:expr, $executed:expr) => {
            Block {
                slot: $block.slot,
                blockhash: $block.blockhash,
                parent_slot: $block.parent_slot,
                parent_blockhash: $block.parent_blockhash,
                block_time: $block.block_time,
                block_height: $block.block_height,
                executed_transactions: $executed,
            }
        };
    }
    match block {
        ReplicaBlockInfoVersions::V0_0_1(b) => Err(b.slot),
        ReplicaBlockInfoVersions::V0_0_2(b) => Ok(read!(b, 0)),
        ReplicaBlockInfoVersions::V0_0_3(b) => Ok(read!(b, b.executed_transaction_count)),
        ReplicaBlockInfoVersions::V0_0_4(b) => Ok(read!(b, b.executed_transaction_count)),
    }
}

impl GeyserPlugin for Plugin {
    fn setup_logger(&self, logger: &'static dyn log::Log, level: log::LevelFilter) -> Result<()> {
        self.0.setup_logger(logger, level);
        Ok(())
    }

    fn name(&self) -> &'static str {
        "mythic"
    }

    fn on_load(&mut self, config_file: &str, _is_reload: bool) -> Result<()> {
        self.0.load(config_file).map_err(|error| match error {
            LoadError::Config(error) => GeyserPluginError::ConfigFileReadError {
                msg: error.to_string(),
            },
            error => GeyserPluginError::Custom(error.into()),
        })
    }

    fn on_unload(&mut self) {
        self.0.unload();
    }

    fn update_account(
        &self,
        account: ReplicaAccountInfoVersions,
        slot: u64,
        is_startup: bool,
    ) -> Result<()> {
        self.0.account(slot, is_startup, || update(&account));
        Ok(())
    }

    fn notify_end_of_startup(&self) -> Result<()> {
        self.0.end_of_startup();
        Ok(())
    }

    fn update_slot_status(&self, slot: u64, parent: Option<u64>, told: &AgaveStatus) -> Result<()> {
        self.0.slot_status(slot, parent, status(told));
        Ok(())
    }

    fn transaction_notifications_enabled(&self) -> bool {
        self.0.transactions()
    }

    fn notify_transaction(
        &self,
        transaction: ReplicaTransactionInfoVersions,
        slot: u64,
    ) -> Result<()> {
        let told = match &transaction {
            ReplicaTransactionInfoVersions::V0_0_3(info) => Some(Told(info)),
            // A validator of this interface tells no older version.
            _ => None,
        };
        self.0.transaction(slot, told.as_ref());
        Ok(())
    }

    fn notify_block_metadata(&self, told: ReplicaBlockInfoVersions) -> Result<()> {
        match block(&told) {
            Ok(block) => self.0.block(&block),
            Err(slot) => self.0.unlinked_block(slot),
        }
        Ok(())
    }
}
