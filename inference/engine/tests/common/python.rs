//! llama.cpp to compare with: a Python beside the build's files that has PyPI's xllamacpp.

use std::path::{Path, PathBuf};
use std::process::Command;

/// `llama_c.py` knows this version's structs.
const PACKAGES: [&str; 3] = ["xllamacpp==2026.10.11549", "gguf==0.19.0", "numpy"];

/// That Python, installed if need be; the reason where it cannot be.
pub fn with_llama_cpp() -> Result<PathBuf, String> {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("llama-cpp-python");
    let python = home.join("bin/python");
    let run = |program: &Path, args: &[&str]| {
        let output = Command::new(program)
            .args(args)
            .output()
            .map_err(|e| format!("{}: {e}", program.display()))?;
        match output.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    };
    let check = "import gguf, numpy, xllamacpp; assert xllamacpp.__version__ == '2026.10.11549'";
    if run(&python, &["-c", check]).is_err() {
        run(
            Path::new("python3"),
            &["-m", "venv", &home.to_string_lossy()],
        )?;
        let install = ["-m", "pip", "install", "-q"];
        run(&python, &[&install[..], &PACKAGES].concat())?;
        run(&python, &["-c", check])?;
    }
    Ok(python)
}
