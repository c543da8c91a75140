//! Model files that tenants can lease, and the accounts on chain that are of them.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use mythic_engine::kernels;
use mythic_interface::{
    hash::Hash,
    state::{Model, ModelStatus},
};
use mythic_model::{catalogue::file_sha256, prompt::Identity, servable};

/// A file that can be leased.
#[derive(Debug, Clone)]
pub struct LocalModel {
    pub path: PathBuf,
    /// SHA-256 of the file.
    pub weights: Hash,
    identity: Identity,
}

impl LocalModel {
    /// Reads a file whole.
    pub fn read(path: &Path) -> Result<Self> {
        let servable = servable::check_servable(path);
        let servable = servable.with_context(|| format!("{} can't be served", path.display()))?;
        let weights = file_sha256(path);
        Ok(Self {
            path: path.to_path_buf(),
            weights: weights.with_context(|| format!("reading {}", path.display()))?,
            identity: servable.formatter.identity(),
        })
    }

    /// Whether a model on chain is this file under the arithmetic that is computed here.
    pub fn is(&self, model: &Model) -> bool {
        model.header.status == ModelStatus::Active as u8
            && model.spec.kernel_profile.get() == kernels::PROFILE
            && self.identity.is_of(&model.spec, &self.weights)
    }
}
