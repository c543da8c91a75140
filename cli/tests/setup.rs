//! `scripts/setup.sh` and `scripts/build.sh`, with stand-ins for what they call: what is installed is named first, and a
//! machine that reaches nothing is told what to do.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

struct Machine {
    dir: tempfile::TempDir,
}

impl Machine {
    /// A machine that has what `scripts/setup.sh run` looks for, but no Rust.
    fn new() -> Self {
        let machine = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        for tool in [
            "bash", "sh", "sed", "sort", "head", "cut", "grep", "dirname", "basename", "mktemp",
            "rm", "cat", "id", "tr", "stdbuf", "nproc", "sleep", "chmod",
        ] {
            let found = std::env::split_paths(&std::env::var_os("PATH").unwrap())
                .map(|dir| dir.join(tool))
                .find(|path| path.is_file())
                .unwrap_or_else(|| panic!("no {tool} here"));
            std::fs::create_dir_all(machine.bin()).unwrap();
            std::os::unix::fs::symlink(found, machine.bin().join(tool)).unwrap();
        }
        for compiler in ["cc", "c++", "pkg-config"] {
            machine.has(compiler, "exit 0");
        }
        machine.has("python3", "exit 0");
        machine.has("npm", "exit 0");
        machine.has("initdb", "echo 'initdb (PostgreSQL) 15.1'");
        machine
    }

    fn bin(&self) -> PathBuf {
        self.dir.path().join("bin")
    }

    fn has(&self, name: &str, script: &str) {
        let path = self.bin().join(name);
        std::fs::write(&path, format!("#!/bin/bash\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Exit code, and all that was said.
    fn runs(&self, script: &str, args: &[&str]) -> (i32, String) {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts");
        let output = Command::new("/bin/bash")
            .arg(scripts.join(script))
            .args(args)
            .env_clear()
            .env("PATH", self.bin())
            .env("HOME", self.dir.path())
            .env("CARGO_TARGET_DIR", self.dir.path().join("target"))
            .env("MYTHIC_BUILD_SECONDS", "0")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let said = text(&output.stdout) + &text(&output.stderr);
        (output.status.code().unwrap_or(-1), said)
    }
}

fn pinned() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rust-toolchain.toml");
    let text = std::fs::read_to_string(file).unwrap();
    let channel = text
        .lines()
        .find_map(|line| line.strip_prefix("channel = "));
    channel.unwrap().trim_matches('"').to_owned()
}

#[test]
fn rust_is_named_and_then_installed_where_it_is_missing() {
    let machine = Machine::new();
    // An installer that notes how it was called, and leaves a cargo.
    machine.has(
        "curl",
        r#"while [ "$1" != -o ]; do shift; done
cat >"$2" <<'END'
echo "$@" >"$HOME/called"
mkdir() { /bin/mkdir "$@"; }
mkdir -p "$HOME/.cargo/bin"
END"#,
    );
    let (code, said) = machine.runs("setup.sh", &["run"]);
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains(&format!("Installing Rust {}", pinned())) && said.contains("rustup"),
        "{said}"
    );
    let called = std::fs::read_to_string(machine.dir.path().join("called")).unwrap();
    assert!(
        called.contains("-y") && called.contains(&format!("--default-toolchain {}", pinned())),
        "{called}"
    );
}

#[test]
fn where_rust_cannot_be_fetched_it_says_what_to_do() {
    let machine = Machine::new();
    machine.has(
        "curl",
        "echo 'curl: (6) Could not resolve host' >&2; exit 6",
    );
    let (code, said) = machine.runs("setup.sh", &["run"]);
    assert_eq!(code, 1, "{said}");
    for word in [
        "HTTPS_PROXY",
        "RUSTUP_DIST_SERVER",
        &pinned(),
        "run this again",
    ] {
        assert!(said.contains(word), "no {word} in {said}");
    }
}

#[test]
fn a_cargo_that_is_too_old_is_no_rust_and_one_that_is_new_enough_is() {
    let machine = Machine::new();
    machine.has("curl", "exit 6");
    machine.has("cargo", "echo 'cargo 1.63.0 (fd9c4297c 2022-07-01)'");
    assert_eq!(machine.runs("setup.sh", &["run"]).0, 1);
    machine.has("cargo", &format!("echo 'cargo {} (x)'", pinned()));
    assert_eq!(machine.runs("setup.sh", &["run"]), (0, String::new()));
}

#[test]
fn a_build_says_how_long_it_takes_where_it_stands_and_how_it_failed() {
    let machine = Machine::new();
    machine.has("nproc", "echo 2");
    machine.has(
        "cargo",
        r#"printf '       Fetch [=>  ] 103 complete; 259 pending\r       Fetch [====>   ] 12.34%%, 1.2MiB/s\r' >&2
printf ' Downloading 3 crates   \r  Downloaded a v1.0.0\n Downloading 2 crates, remaining bytes: 6.6MiB  \r' >&2
printf '  Downloaded 3 crates (7.0MiB) in 0.60s (largest was `b` at 2.9MiB)\n' >&2
printf '   Compiling a v1\n    Building [=>   ] 7/600: a\r    Building [==>  ] 300/600: b\r\n' >&2
echo 'error: could not compile `b`' >&2; exit 101"#,
    );
    let (code, said) = machine.runs("build.sh", &[]);
    assert_eq!(code, 101, "{said}");
    assert!(said.contains("about 20 minutes on 2 cores"), "{said}");
    assert!(
        said.contains("compiled 300 of 600 parts after 0 min"),
        "{said}"
    );
    for line in [
        "  looked up 103 of 362 libraries after 0 min",
        "  fetched 1 of 3 libraries after 0 min",
        "  fetched 3 libraries (7.0MiB) in 0.60s\n",
    ] {
        assert!(said.contains(line), "no {line} in {said}");
    }
    for noise in ["Fetch [", "Downloading", "Downloaded"] {
        assert!(!said.contains(noise), "{noise} in {said}");
    }
    assert!(
        said.contains("error: could not compile") && !said.contains("Compiling a"),
        "{said}"
    );
}
