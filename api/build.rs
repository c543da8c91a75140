//! Embeds the pages that `scripts/dashboard.sh` builds into `static/`; without them, one that says how.

#[path = "build/embed.rs"]
mod embed;

use std::{env, fmt::Write as _, fs, io, path::PathBuf};

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    println!("cargo::rerun-if-changed=static");
    println!("cargo::rerun-if-changed=pages");
    let embed::Pages { index, parts } = embed::pages(&root)?;
    let mut included = String::new();
    for (name, path) in parts {
        let _ = writeln!(included, "    ({name:?}, include_bytes!({path:?})),");
    }
    let code = format!(
        "const INDEX: &str = include_str!({index:?});\nconst PARTS: &[(&str, &[u8])] = &[\n{included}];\n"
    );
    fs::write(out.join("pages.rs"), code)
}
