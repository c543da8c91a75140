//! The independent verifier in `tests/verifier`, which shares no code with the engine: its own tests, and its forward pass against
//! the golden file, on a Python beside the build's files that has numpy, and llguidance where it can be had.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

fn works(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// That Python, made if need be; `None` where numpy can't be had.
fn python() -> Option<PathBuf> {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("verifier-python");
    let python = home.join("bin/python");
    let has = |module: &str| works(Command::new(&python).args(["-c", &format!("import {module}")]));
    for (module, package) in [("numpy", "numpy"), ("llguidance", "llguidance==1.9.1")] {
        if !has(module) {
            works(Command::new("python3").args(["-m", "venv"]).arg(&home));
            works(Command::new(&python).args(["-m", "pip", "install", "-q", package]));
        }
    }
    has("numpy").then_some(python)
}

#[test]
fn what_shares_no_code_agrees_about_honest_answers_logits_and_lies() {
    let Some(python) = python() else {
        eprintln!("skipped: no Python with numpy can be made here");
        return;
    };
    let output = Command::new(python)
        .args(["-m", "unittest", "-v"])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/verifier"))
        .env("MYTHIC_MODEL", common::model())
        .env("OPENBLAS_NUM_THREADS", "1")
        .output()
        .expect("Python runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}
