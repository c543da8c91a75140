//! The smallest useful Geyser plugin: writes what it is told into the file `out` of its configuration.

use std::fs::File;
use std::io::Write;
use std::sync::Mutex;

use agave_geyser_plugin_interface::geyser_plugin_interface::{
    GeyserPlugin, GeyserPluginError, ReplicaBlockInfoVersions, Result, SlotStatus,
};

#[derive(Debug, Default)]
struct Recorder {
    out: Mutex<Option<File>>,
}

#[derive(serde::Deserialize)]
struct Config {
    out: std::path::PathBuf,
}

impl Recorder {
    fn note(&self, line: &str) -> Result<()> {
        let mut out = self
            .out
            .lock()
            .map_err(|error| GeyserPluginError::Custom(error.to_string().into()))?;
        match out.as_mut() {
            Some(file) => Ok(writeln!(file, "{line}")?),
            None => Ok(()),
        }
    }
}

impl GeyserPlugin for Recorder {
    fn name(&self) -> &'static str {
        "recorder"
    }

    fn on_load(&mut self, config_file: &str, _is_reload: bool) -> Result<()> {
        let text = std::fs::read_to_string(config_file)?;
        let config: Config =
            json5::from_str(&text).map_err(|error| GeyserPluginError::ConfigFileReadError {
                msg: error.to_string(),
            })?;
        self.out = Mutex::new(Some(File::create(config.out)?));
        self.note("load")
    }

    fn on_unload(&mut self) {
        // The file closes with the plugin; there is nobody left to tell an error to.
        let _ = self.note("unload");
    }

    fn account_data_notifications_enabled(&self) -> bool {
        false
    }

    fn notify_end_of_startup(&self) -> Result<()> {
        self.note("end of startup")
    }

    fn update_slot_status(&self, slot: u64, _: Option<u64>, status: &SlotStatus) -> Result<()> {
        self.note(&format!("{} {slot}", status.as_str()))
    }

    fn notify_block_metadata(&self, block: ReplicaBlockInfoVersions) -> Result<()> {
        match block {
            ReplicaBlockInfoVersions::V0_0_4(block) => self.note(&format!("block {}", block.slot)),
            _ => self.note("a block of an older version"),
        }
    }
}

/// What a validator looks up in the library.
///
/// # Safety
/// The caller takes the box over and was built by the same compiler against the same interface.
#[unsafe(no_mangle)]
#[allow(improper_ctypes_definitions)]
pub unsafe extern "C" fn _create_plugin() -> *mut dyn GeyserPlugin {
    Box::into_raw(Box::new(Recorder::default()))
}
