//! What is remembered between runs: seeds that once failed, and rules that are known to be broken.

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::profile::Profile;

/// Seeds that once failed and passed after a repair: every test run plays them first.
const KEPT: &str = include_str!("../kept-seeds.toml");
/// Rules that the indexer is known to break, until it is repaired.
const DEFECTS: &str = include_str!("../known-defects.toml");

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    pub profile: Profile,
    pub seed: u64,
    /// What was wrong.
    pub was: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Defect {
    pub profiles: Vec<Profile>,
    pub rule: String,
    /// Seeds that show it.
    pub seeds: Vec<u64>,
    pub reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptFile {
    #[serde(default)]
    kept: Vec<Kept>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DefectFile {
    #[serde(default)]
    defect: Vec<Defect>,
}

pub fn kept() -> Result<Vec<Kept>> {
    Ok(toml::from_str::<KeptFile>(KEPT)
        .context("kept-seeds.toml")?
        .kept)
}

pub fn defects() -> Result<Vec<Defect>> {
    Ok(toml::from_str::<DefectFile>(DEFECTS)
        .context("known-defects.toml")?
        .defect)
}
