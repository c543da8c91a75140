//! Geyser plugin of Mythic: a library that an Agave validator loads. It copies the accounts of our
//! programs, the transactions that call them and the slots' statuses into the spool, and never holds the validator up.
//!
//! ```text
//! callback (many threads) -> filter -> bounded queue -> one drain thread -> spool directory
//!                                                spool directory -> one forward thread -> Kafka, if configured
//! ```
//! - `plugin`: the `GeyserPlugin` trait, and nothing else
//! - `config`: the JSON5 file, [`check_config`]
//! - `tracked`: accounts that are or were ours, so that their closing is seen
//! - `startup`, `foreign`: the accounts that a validator starts from, all of them and none in an older version
//! - `calls`: the transactions that call our programs
//! - `lanes`, `queue`, `losses`: what the callbacks touch; atomics only
//! - `sequencer`: generations, seals, digests, untracking; pure
//! - `drain`: the thread between queue and spool
//! - `forward`: the thread between spool and Kafka, one more reader of the spool
//! - `metrics`: Prometheus text on an optional loopback address

mod calls;
mod config;
mod drain;
mod foreign;
mod forward;
mod interface;
mod lanes;
mod losses;
mod metrics;
mod plugin;
mod queue;
mod sequencer;
mod startup;
mod tracked;

pub use config::{ConfigError, PluginConfig, check_config};
pub use interface::INTERFACE_VERSION;
pub use plugin::Plugin;

use agave_geyser_plugin_interface::geyser_plugin_interface::GeyserPlugin;
use std::path::PathBuf;

/// Entry point that the validator looks up by name.
///
/// # Safety
/// Both sides must be built by the same rustc against the same interface crate: the pointer is a Rust
/// trait object. The caller owns it.
#[unsafe(no_mangle)]
#[allow(improper_ctypes_definitions)]
pub unsafe extern "C" fn _create_plugin() -> *mut dyn GeyserPlugin {
    Box::into_raw(Box::new(Plugin::default()))
}

/// Where the shared library lies that was built with the running program: beside it, in its
/// `deps`, or beside its folder (for test binaries). `None` when it was not built.
pub fn library_path() -> Option<PathBuf> {
    let name = format!(
        "{}mythic_geyser_plugin{}",
        std::env::consts::DLL_PREFIX,
        std::env::consts::DLL_SUFFIX
    );
    let exe = std::env::current_exe().ok()?;
    let beside = exe.parent()?;
    [
        Some(beside.to_path_buf()),
        Some(beside.join("deps")),
        beside.parent().map(Into::into),
    ]
    .into_iter()
    .flatten()
    .map(|dir| dir.join(&name))
    .find(|path| path.is_file())
}
