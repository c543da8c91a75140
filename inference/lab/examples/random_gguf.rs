//! Writes small random models, one file for each weight format and one for each architecture, into a directory.
//!
//! `cargo run -p mythic-lab --example random_gguf -- DIRECTORY [SEED]`

use std::path::PathBuf;

use anyhow::Context;
use mythic_lab::random_model::{FORMATS, RandomModel, architectures};

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args_os().skip(1);
    let directory = PathBuf::from(args.next().context("usage: random_gguf DIRECTORY [SEED]")?);
    let seed = match args.next() {
        Some(text) => text.to_string_lossy().parse().context("SEED is a number")?,
        None => 1,
    };
    std::fs::create_dir_all(&directory)?;
    let formats = FORMATS.map(|(name, format)| (name, RandomModel::new(format, seed)));
    for (name, model) in formats.into_iter().chain(architectures(seed)) {
        let path = directory.join(format!("random.{name}.gguf"));
        model.write(&path)?;
        println!("{}", path.display());
    }
    Ok(())
}
