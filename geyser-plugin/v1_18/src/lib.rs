//! The plugin as a validator of Solana 1.18 loads it: its interface's types into those of the core, and nothing else.
//!
//! That interface tells less than Agave's. There is no `CreatedBank` and no `Dead`: where a bank begins is taken from its first
//! account (`implied` in the core), and a block that died half-way and is replayed in another version, which takes a leader who
//! made two, is counted into the bank that comes of the other. `Processed` does not mean that all transactions were told: the root
//! does.

mod plugin;
mod transaction;

pub use plugin::{INTERFACE_VERSION, Plugin};

use solana_geyser_plugin_interface::geyser_plugin_interface::GeyserPlugin;

/// What this library was built with and for; `mythic doctor plugin` reads it without loading the library.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".mythic.plugin")]
pub static MYTHIC_PLUGIN_BUILD: [u8; mythic_geyser_core::NOTE_BYTES] =
    mythic_geyser_core::note(("solana-geyser-plugin-interface", INTERFACE_VERSION));

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
