//! Lists the SQL migrations, so that a new file is picked up by being there.

use std::{env, fs, io::Write, path::PathBuf};

fn main() -> std::io::Result<()> {
    let dir = PathBuf::from(env::var("CARGO_MANIFEST_DIR").map_err(std::io::Error::other)?)
        .join("../sql/migrations");
    println!("cargo:rerun-if-changed={}", dir.display());
    let mut names: Vec<String> = fs::read_dir(&dir)?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(".sql"))
        .collect();
    names.sort();
    let out =
        PathBuf::from(env::var("OUT_DIR").map_err(std::io::Error::other)?).join("migrations.rs");
    let mut out = fs::File::create(out)?;
    writeln!(out, "&[")?;
    for name in names {
        // 0500 and above belong to the gateway, which applies them itself.
        if name.as_str() < "0500" {
            let path = dir.join(&name);
            println!("cargo:rerun-if-changed={}", path.display());
            writeln!(
                out,
                "    Migration {{ name: {name:?}, sql: include_str!({path:?}) }},"
            )?;
        }
    }
    writeln!(out, "]")
}
