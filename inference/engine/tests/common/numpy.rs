//! A Python that has numpy, and llguidance where it can be had, beside the build's files.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Whether a command ends well.
pub fn works(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// Whether a Python has a module.
pub fn has(python: &Path, module: &str) -> bool {
    works(Command::new(python).args(["-c", &format!("import {module}")]))
}

/// That Python, made if need be; `None` where numpy can't be had.
pub fn python() -> Option<PathBuf> {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("verifier-python");
    let python = home.join("bin/python");
    for (module, package) in [("numpy", "numpy"), ("llguidance", "llguidance==1.9.1")] {
        if !has(&python, module) {
            works(Command::new("python3").args(["-m", "venv"]).arg(&home));
            works(Command::new(&python).args(["-m", "pip", "install", "-q", package]));
        }
    }
    has(&python, "numpy").then_some(python)
}
