//! Embeds the pages that `scripts/dashboard.sh` builds into `static/`; without them, one that says how.

use std::{
    env,
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

/// The document that loads all others.
const INDEX: &str = "index.html";

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

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    println!("cargo::rerun-if-changed=static");
    println!("cargo::rerun-if-changed=pages");
    let built = files(&root.join("static"))?;
    let index = built.iter().find(|(name, _)| name == INDEX);
    let shown = match index {
        Some((_, path)) => path.clone(),
        None => root.join("pages/unbuilt.html"),
    };
    let mut parts = String::new();
    for (name, path) in built.iter().filter(|(name, _)| name != INDEX) {
        let _ = writeln!(parts, "    ({name:?}, include_bytes!({path:?})),");
    }
    let code = format!(
        "const INDEX: &str = include_str!({shown:?});\nconst PARTS: &[(&str, &[u8])] = &[\n{parts}];\n"
    );
    fs::write(out.join("pages.rs"), code)
}
