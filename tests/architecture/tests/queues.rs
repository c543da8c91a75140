//! `scripts/tests.sh`, with a cargo that says what the real one would of four binaries.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use mythic_architecture::root;

/// Two binaries of the first queue and one of the second, and the one that is run by itself; `$WHAT` goes wrong.
const CARGO: &str = r#"#!/usr/bin/env bash
case "$*" in
  metadata*) exec "$REAL" "$@" --offline --manifest-path "$ROOT/Cargo.toml" ;;
  *--no-run*)
    [ "$WHAT" != build-fails ] || exit 101
    printf '  Executable tests/%s.rs (target/debug/deps/%s-0a)\n' gateway gateway cheats cheats seeds seeds >&2
    echo "  Executable unittests src/lib.rs ($(dirname "$0")/mythic_indexer-0a)" >&2
    exit ;;
  *--lib*) binaries=(gateway cheats) ;;
  *) binaries=(seeds) ;;
esac
status=0
for binary in "${binaries[@]}"; do
  [ "$WHAT" != "$binary-missing" ] || continue
  printf '     Running tests/%s.rs (target/debug/deps/%s-0a)\n' "$binary" "$binary" >&2
  for line in 1 2 3; do
    echo "$binary says $line"
    sleep 0.1
  done
  result='ok. 3 passed; 0 failed; 1 ignored'
  case $WHAT in
    "$binary-hangs")
      touch "$BEGUN"
      sleep 600 ;;
    "$binary-fails")
      result='FAILED. 2 passed; 1 failed; 1 ignored'
      status=101 ;;
    "$binary-crashes")
      echo 'error: test failed' >&2
      status=101
      continue ;;
  esac
  printf '\ntest result: %s; 0 measured; 0 filtered out; finished in 0.30s\n\n' "$result"
done
exit "$status"
"#;
const INDEXER: &str = r#"#!/usr/bin/env bash
[ "$(basename "$PWD")" = indexer ] || exit 1
printf 'indexer says %s\n' 1 2 3
result='ok. 3 passed; 0 failed; 1 ignored'
[ "$WHAT" != indexer-fails ] || result='FAILED. 2 passed; 1 failed; 1 ignored'
printf '\ntest result: %s; 0 measured; 0 filtered out; finished in 0.30s\n\n' "$result"
[ "$WHAT" != indexer-fails ] || exit 101
"#;
const PAGES: &str = r#"#!/usr/bin/env bash
[ "$1-$WHAT" != test-pages-fail ] || exit 3
"#;

/// A folder with the script, and what it calls.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("queues");
    let script = std::fs::read_to_string(root().join("scripts/tests.sh")).expect("the script");
    let gone = script.replace("\nmythic-sim seeds\n", "\nmythic-sim seeds gone\n");
    let shared = script.replace("\nmythic-sim seeds\n", "\nmythic-program-tests refusals\n");
    for (name, text) in [
        ("scripts/tests.sh", script.as_str()),
        ("scripts/gone.sh", gone.as_str()),
        ("scripts/shared.sh", shared.as_str()),
        ("scripts/dashboard.sh", PAGES),
        ("bin/cargo", CARGO),
        ("bin/mythic_indexer-0a", INDEXER),
        ("indexer/Cargo.toml", ""),
    ] {
        let file = folder.join(name);
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        std::fs::write(&file, text).expect("a file");
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).expect("its mode");
    }
    folder
});

/// The script, where this goes wrong.
fn script(name: &str, what: &str) -> Command {
    let path = std::env::var("PATH").expect("a path");
    let mut command = Command::new("bash");
    command
        .arg(FOLDER.join("scripts").join(name))
        .env("PATH", format!("{}:{path}", FOLDER.join("bin").display()))
        .env("REAL", env!("CARGO"))
        .env("ROOT", root())
        .env("WHAT", what)
        .env("BEGUN", FOLDER.join(what))
        .env("MYTHIC_TEST_LOOK_SECONDS", "1")
        .env_remove("MYTHIC_SKIPPED");
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn last(output: &Output) -> String {
    said(output).lines().last().unwrap_or_default().to_owned()
}

#[test]
fn two_queues_run_all_and_each_binary_speaks_in_one_piece() {
    let output = script("tests.sh", "nothing").output().expect("bash");
    let told = said(&output);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(last(&output), "12 passed, 0 failed, 4 ignored");
    for binary in ["gateway", "cheats", "seeds", "indexer"] {
        let whole = format!("{binary} says 1\n{binary} says 2\n{binary} says 3\n\ntest result: ok");
        assert!(told.contains(&whole), "{told}");
    }
}

#[test]
fn whatever_fails_is_named_and_counted() {
    for (what, named, sum) in [
        (
            "indexer-fails",
            "src/lib.rs of mythic_indexer",
            "11 passed, 1 failed, 4 ignored",
        ),
        (
            "seeds-fails",
            "tests/seeds.rs",
            "11 passed, 1 failed, 4 ignored",
        ),
        (
            "cheats-crashes",
            "tests/cheats.rs",
            "9 passed, 1 failed, 3 ignored",
        ),
        (
            "seeds-missing",
            "4 test binaries were built, and 3 ran",
            "9 passed, 1 failed, 3 ignored",
        ),
        ("pages-fail", "pages", "12 passed, 1 failed, 4 ignored"),
        ("build-fails", "build", "0 passed, 1 failed, 0 ignored"),
    ] {
        let output = script("tests.sh", what).output().expect("bash");
        assert!(!output.status.success(), "{what}");
        assert_eq!(last(&output), sum, "{what}: {output:?}");
        let told = said(&output);
        let mut failed = told.lines().filter(|line| line.starts_with("failed: "));
        assert!(failed.any(|line| line.contains(named)), "{what}: {told}");
    }
}

#[test]
fn a_name_that_no_test_has_and_one_that_two_crates_have_are_refused() {
    for (name, why) in [
        ("gone.sh", "mythic-sim has no tests gone"),
        ("shared.sh", "mythic-e2e has tests refusals too"),
    ] {
        let output = script(name, "nothing").output().expect("bash");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{name}");
        assert!(errors.contains(why), "{name}: {errors}");
        assert!(!said(&output).contains("says"), "{name} ran tests");
    }
}

#[test]
fn a_signal_ends_it_at_once_with_what_is_known() {
    let begun = FOLDER.join("cheats-hangs");
    let _ = std::fs::remove_file(&begun);
    let running = script("tests.sh", "cheats-hangs")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("bash");
    let deadline = Instant::now() + Duration::from_secs(60);
    while !begun.exists() {
        assert!(Instant::now() < deadline, "it does not begin");
        std::thread::sleep(Duration::from_millis(20));
    }
    let told = Instant::now();
    let pid = running.id().to_string();
    let killed = Command::new("kill").args(["-TERM", &pid]).status();
    assert!(killed.expect("kill").success());
    let output = running.wait_with_output().expect("its end");
    assert_eq!(output.status.code(), Some(143));
    assert!(told.elapsed() < Duration::from_secs(60));
    assert!(
        said(&output).contains("failed: tests/cheats.rs of cheats"),
        "{output:?}"
    );
    assert!(last(&output).ends_with(" ignored"), "{output:?}");
}
