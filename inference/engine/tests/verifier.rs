//! The independent verifier in `tests/verifier`, which shares no code with the engine: its own tests, and its forward pass against
//! the golden file.

mod common;
#[path = "common/numpy.rs"]
mod numpy;

use std::path::Path;
use std::process::Command;

#[test]
fn what_shares_no_code_agrees_about_honest_answers_logits_and_lies() {
    let Some(python) = numpy::python() else {
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
