//! Takes every account update and does nothing with it.

use agave_geyser_plugin_interface::geyser_plugin_interface::{
    GeyserPlugin, ReplicaAccountInfoVersions, Result,
};

#[derive(Debug)]
struct Noop;

impl GeyserPlugin for Noop {
    fn name(&self) -> &'static str {
        "noop"
    }

    fn update_account(&self, _: ReplicaAccountInfoVersions, _: u64, _: bool) -> Result<()> {
        Ok(())
    }

    fn account_data_notifications_enabled(&self) -> bool {
        true
    }
}

/// # Safety
/// The validator must have been built by the same rustc against the same interface crate.
#[unsafe(no_mangle)]
#[allow(improper_ctypes_definitions)]
pub unsafe extern "C" fn _create_plugin() -> *mut dyn GeyserPlugin {
    Box::into_raw(Box::new(Noop))
}
