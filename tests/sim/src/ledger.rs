//! Seeds that once failed.

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::profile::Profile;

/// Seeds that once failed and passed after a repair: every test run plays them first.
const KEPT: &str = include_str!("../kept-seeds.toml");

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    pub profile: Profile,
    pub seed: u64,
    /// What was wrong.
    pub was: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptFile {
    #[serde(default)]
    kept: Vec<Kept>,
}

pub fn kept() -> Result<Vec<Kept>> {
    Ok(toml::from_str::<KeptFile>(KEPT)
        .context("kept-seeds.toml")?
        .kept)
}
