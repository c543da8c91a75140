//! Reads this repository's own sources: crates and what they depend on, files and what they import, types and where they
//! are defined. The rules of docs/architecture.md that can be held by a test are held in `tests/rules.rs` with it.
//! Nothing here runs or builds the code that is read.

mod circles;
mod imports;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

pub use circles::circles;
pub use imports::{Source, TypeName, sources};

/// A crate of the workspace.
#[derive(Debug, Clone)]
pub struct Package {
    /// As in its Cargo.toml.
    pub name: String,
    /// Its folder, from the repository's root.
    pub folder: PathBuf,
    /// Our crates that it depends on outside of tests.
    pub ours: BTreeSet<String>,
    /// All crates that it depends on outside of tests.
    pub all: BTreeSet<String>,
}

/// The root of the repository.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// The crates of the workspace by name.
pub fn packages(root: &Path) -> Result<BTreeMap<String, Package>> {
    let workspace = manifest(&root.join("Cargo.toml"))?;
    let members = workspace
        .get("workspace")
        .and_then(|table| table.get("members"))
        .and_then(toml::Value::as_array)
        .context("Cargo.toml: workspace.members")?;
    let mut packages = BTreeMap::new();
    for member in members.iter().filter_map(toml::Value::as_str) {
        let table = manifest(&root.join(member).join("Cargo.toml"))?;
        let name = table
            .get("package")
            .and_then(|package| package.get("name"))
            .and_then(toml::Value::as_str)
            .with_context(|| format!("{member}/Cargo.toml: package.name"))?
            .to_owned();
        let all: BTreeSet<String> = table
            .get("dependencies")
            .and_then(toml::Value::as_table)
            .map(|table| table.keys().cloned().collect())
            .unwrap_or_default();
        let ours = all
            .iter()
            .filter(|name| name.starts_with("mythic-"))
            .cloned()
            .collect();
        packages.insert(
            name.clone(),
            Package {
                name,
                folder: member.into(),
                ours,
                all,
            },
        );
    }
    Ok(packages)
}

/// Everything of ours that a crate is built with.
pub fn built_with(packages: &BTreeMap<String, Package>, name: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut next = vec![name.to_owned()];
    while let Some(name) = next.pop() {
        for dependency in packages.get(&name).into_iter().flat_map(|p| &p.ours) {
            if found.insert(dependency.clone()) {
                next.push(dependency.clone());
            }
        }
    }
    found
}

fn manifest(path: &Path) -> Result<toml::Table> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    text.parse().with_context(|| path.display().to_string())
}
