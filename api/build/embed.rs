//! Which files the gateway's crate embeds as its pages.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The document that loads all others.
const INDEX: &str = "index.html";

/// What is embedded.
pub struct Pages {
    pub index: PathBuf,
    /// Names and places of what the document loads.
    pub parts: Vec<(String, PathBuf)>,
}

/// Names and places of the files in a folder, hidden ones apart.
fn files(folder: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_file() && !name.starts_with('.') {
            found.push((name, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

/// What `scripts/dashboard.sh` built into `static` of the crate at `root`; without it, the page that says how.
pub fn pages(root: &Path) -> io::Result<Pages> {
    let built = files(&root.join("static"))?;
    let (index, parts): (Vec<_>, Vec<_>) = built.into_iter().partition(|(name, _)| name == INDEX);
    let index = match index.into_iter().next() {
        Some((_, path)) => path,
        None => root.join("pages/unbuilt.html"),
    };
    Ok(Pages { index, parts })
}
