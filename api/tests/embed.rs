//! What `cargo build` alone embeds as the gateway's pages, and what it embeds after `scripts/dashboard.sh`.

#[path = "../build/embed.rs"]
mod embed;

use std::{fs, path::Path};

/// A crate whose folder `static` has these files.
fn crate_with(names: &[&str]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("static")).unwrap();
    for name in names {
        fs::write(root.path().join("static").join(name), name).unwrap();
    }
    root
}

#[test]
fn a_build_without_the_pages_embeds_the_one_that_says_how_to_build_them() {
    let root = crate_with(&[".gitignore"]);
    let pages = embed::pages(root.path()).unwrap();
    assert!(pages.parts.is_empty());
    let shown = pages.index.strip_prefix(root.path()).unwrap();
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join(shown);
    let text = fs::read_to_string(ours).unwrap();
    assert!(text.contains("scripts/dashboard.sh"), "{text}");
}

#[test]
fn a_build_after_that_of_the_pages_embeds_them_and_no_hidden_files() {
    let root = crate_with(&[".built", ".gitignore", "index.Bx3.js", "index.html"]);
    let pages = embed::pages(root.path()).unwrap();
    assert_eq!(pages.index, root.path().join("static/index.html"));
    let names: Vec<&str> = pages.parts.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["index.Bx3.js"]);
}
