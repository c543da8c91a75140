//! The plugin as an Agave validator of this release loads it: its interface's types into those of the core, and nothing else.

mod plugin;
mod transaction;

pub use mythic_geyser_core::{ConfigError, PluginConfig, check_config};
pub use plugin::{INTERFACE_VERSION, Plugin};

use agave_geyser_plugin_interface::geyser_plugin_interface::GeyserPlugin;
use std::path::PathBuf;

/// What this library was built with and for; `mythic doctor plugin` reads it without loading the library.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".mythic.plugin")]
pub static MYTHIC_PLUGIN_BUILD: [u8; mythic_geyser_core::NOTE_BYTES] =
    mythic_geyser_core::note(("agave-geyser-plugin-interface", INTERFACE_VERSION));

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
