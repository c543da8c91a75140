//! The one configuration loader: a TOML file, then `MYTHIC_<PROCESS>__KEY` from the environment; unknown keys are refused.

use anyhow::{Context, Result, bail};
use figment::{
    Figment,
    providers::{Env, Format, Toml},
};
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};

/// What every process configuration can do.
pub trait ProcessConfig: DeserializeOwned {
    /// The process' name: `mythic NAME`, and `MYTHIC_NAME__` in the environment.
    const PROCESS: &'static str;
    /// Checks values that the type alone can't. The message names the key, the value and what is allowed.
    fn check(&self) -> Result<(), String>;
}

/// The configuration of a process for a command beside it: the file that is named, that of `mythic dev` in `data_dir`, or all defaults.
pub fn beside<C: ProcessConfig>(file: Option<PathBuf>, data_dir: &Path) -> Result<C> {
    let dev = data_dir.join("config").join(format!("{}.toml", C::PROCESS));
    let file = file.or_else(|| dev.is_file().then_some(dev));
    load(file.as_deref())
}

/// Reads `file` (all defaults when `None`), applies the environment and validates.
pub fn load<C: ProcessConfig>(file: Option<&Path>) -> Result<C> {
    let mut figment = Figment::new();
    if let Some(file) = file {
        if !file.is_file() {
            bail!("no configuration file at {}", file.display());
        }
        figment = figment.merge(Toml::file_exact(file));
    }
    let prefix = format!("MYTHIC_{}__", C::PROCESS.to_uppercase());
    let config: C = figment
        .merge(Env::prefixed(&prefix).split("__"))
        .extract()
        .map_err(|error| anyhow::anyhow!("{error}"))
        .with_context(|| match file {
            Some(file) => format!(
                "configuration of `mythic {}` in {}",
                C::PROCESS,
                file.display()
            ),
            None => format!(
                "configuration of `mythic {}` from the environment",
                C::PROCESS
            ),
        })?;
    config.check().map_err(|message| {
        anyhow::anyhow!("configuration of `mythic {}`: {message}", C::PROCESS)
    })?;
    Ok(config)
}
