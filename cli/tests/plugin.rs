//! `mythic doctor plugin` as typed, against validators and libraries that are made here: some fit, some don't, some are traps.

use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{FileExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const RUSTC: &str = "1.95.0 (59807616e 2026-04-14)";
const OTHER_RUSTC: &str = "1.75.0 (82e1608df 2023-12-21)";
const AGAVE: &str = "agave-validator 4.2.2 (src:00000000; feat:2717, client:Agave)";
const PROGRAM: &str = "MythicAiPrecompi1es111111111111111111111111";
const MARKET: &str = "MythicComputeMarket111111111111111111111111";

/// A directory with a validator, a plugin and its configuration that fit each other.
struct Scene(tempfile::TempDir);

/// Compiles C, which is there wherever Rust can link.
fn compile(path: &Path, source: &str, flags: &[&str]) {
    let file = path.with_extension("c");
    fs::write(&file, source).unwrap();
    let mut cc = Command::new("cc");
    cc.args(["-w", "-o"]).arg(path).arg(&file).args(flags);
    assert!(cc.status().unwrap().success());
}

/// A program that says its release, or else waits to be killed, and carries the signature of a compiler.
fn program(path: &Path, said: &str, rustc: &str) {
    let says = format!("puts({said:?});");
    signed(path, &says, rustc);
}

fn signed(path: &Path, on_version: &str, rustc: &str) {
    let signature = match rustc {
        "" => String::new(),
        rustc => format!(
            "__asm__(\".section .comment\\n.string \\\"rustc version {rustc}\\\"\\n.text\");"
        ),
    };
    let source = format!(
        "#include <stdio.h>\n#include <string.h>\n#include <unistd.h>\n{signature}
         int main(int n, char **a) {{
             if (n > 1 && !strcmp(a[1], \"--version\")) {{ {on_version} return 0; }}
             for (;;) pause();
         }}"
    );
    compile(path, &source, &[]);
}

fn plugin(path: &Path, interface: &str, rustc: &str) {
    let note = format!(
        "mythic-geyser-plugin\\nversion=0.1.0\\ncrate=agave-geyser-plugin-interface\\ninterface={interface}\\nrustc=rustc {rustc}\\n"
    );
    let source = format!(
        "__attribute__((section(\".mythic.plugin\"), used)) const char note[256] = \"{note}\";
         void *_create_plugin(void) {{ return 0; }}"
    );
    compile(path, &source, &["-shared", "-fPIC"]);
}

/// How the checks came out: by name, result and what was said.
type Told = BTreeMap<String, (String, String)>;

impl Scene {
    fn new() -> Self {
        let scene = Self(tempfile::tempdir().unwrap());
        program(&scene.at("validator"), AGAVE, RUSTC);
        plugin(&scene.at("plugin.so"), "4.2.2", RUSTC);
        scene.config("");
        scene
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn config(&self, extra: &str) {
        let text = format!(
            "{{ libpath: 'plugin.so', spool_dir: {:?}, owners: ['{PROGRAM}', '{MARKET}'], genesis_hash: '{PROGRAM}', spool_max_bytes: 1048576, startup_max_bytes: 1048576, {extra} }}",
            self.at("spool")
        );
        fs::write(self.at("plugin.json5"), text).unwrap();
    }

    fn doctor(&self, more: &[&str]) -> (i32, Told) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mythic"));
        command.args(["doctor", "plugin", "--json", "--validator"]);
        command.arg(self.at("validator"));
        command.arg("--plugin-config").arg(self.at("plugin.json5"));
        let output = command.args(more).stdin(Stdio::null()).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let told = text.lines().map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            let word = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
            let said = format!("{} -> {}", word("detail"), word("fix"));
            (word("check"), (word("result"), said))
        });
        (output.status.code().unwrap_or(-1), told.collect())
    }

    /// One check, and that its fix or reason has these words.
    fn expect(&self, more: &[&str], check: &str, result: &str, words: &[&str]) -> i32 {
        let (code, told) = self.doctor(more);
        let (found, said) = told
            .get(check)
            .unwrap_or_else(|| panic!("{check}: {told:?}"));
        assert_eq!(found, result, "{check}: {said}");
        for word in words {
            assert!(said.contains(word), "{check} does not say {word:?}: {said}");
        }
        code
    }
}

#[test]
fn what_fits_is_good() {
    let scene = Scene::new();
    let (code, told) = scene.doctor(&[]);
    for check in [
        "validator",
        "config",
        "library",
        "interface",
        "rustc",
        "owners",
        "spool",
        "room",
    ] {
        assert_eq!(told[check].0, "ok", "{check}: {told:?}");
    }
    assert_eq!(
        told["rpc"].0, "note",
        "nothing runs, and no script is named"
    );
    // How long the disk takes is not ours to say.
    let slow = told["speed"].0 == "FAIL";
    assert_eq!(code, if slow { 6 } else { 0 });
    assert!(!scene.at("spool").exists(), "nothing is made");
}

#[test]
fn the_library_that_is_built_with_this_fits_a_validator_of_its_release_and_compiler_alone() {
    let scene = Scene::new();
    let library = mythic_geyser_plugin::library_path().expect("the plugin is built with this test");
    fs::remove_file(scene.at("plugin.so")).unwrap();
    std::os::unix::fs::symlink(library, scene.at("plugin.so")).unwrap();
    let rustc = mythic_geyser_core::RUSTC.strip_prefix("rustc ").unwrap();
    let interface = mythic_geyser_plugin::INTERFACE_VERSION;
    let release = format!("agave-validator {interface} (src:00000000; feat:2717, client:Agave)");
    program(&scene.at("validator"), &release, rustc);
    let (_, told) = scene.doctor(&[]);
    // Release and commit, without the day.
    let (made_by, _) = rustc.rsplit_once(' ').unwrap();
    for (check, words) in [
        ("library", [interface, made_by]),
        ("interface", [interface, ""]),
        ("rustc", [made_by, ""]),
    ] {
        let (result, said) = &told[check];
        assert_eq!(result, "ok", "{check}: {said}");
        for word in words {
            assert!(said.contains(word), "{check} does not say {word}: {said}");
        }
    }
    program(&scene.at("validator"), &release, OTHER_RUSTC);
    scene.expect(&[], "rustc", "FAIL", &["1.75.0 (82e1608df)"]);
}

#[test]
fn another_release_or_compiler_is_found_before_anything_is_loaded() {
    let scene = Scene::new();
    program(
        &scene.at("validator"),
        "agave-validator 4.3.0 (src:1)",
        RUSTC,
    );
    let code = scene.expect(&[], "interface", "FAIL", &["4.3.0", "4.2.2", "crash"]);
    assert_eq!(code, 6);
    program(
        &scene.at("validator"),
        "solana-validator 1.18.26 (src:1)",
        OTHER_RUSTC,
    );
    scene.expect(&[], "interface", "FAIL", &["mythic-geyser-plugin-1.18"]);
    scene.expect(
        &[],
        "rustc",
        "FAIL",
        &["1.75.0 (82e1608df)", "1.95.0 (59807616e)"],
    );
    plugin(&scene.at("plugin.so"), "1.18.26", OTHER_RUSTC);
    scene.expect(&[], "interface", "ok", &["1.18.26"]);
    scene.expect(&[], "rustc", "ok", &["1.75.0"]);
    program(
        &scene.at("validator"),
        "agave-validator 4.2.2-jito (client:JitoLabs)",
        RUSTC,
    );
    plugin(&scene.at("plugin.so"), "4.2.2", "1.95.0");
    scene.expect(&[], "interface", "ok", &[]);
    // A compiler of no commit is compared by its number.
    scene.expect(&[], "rustc", "ok", &[]);
    program(&scene.at("validator"), "fdctl 0.503.20212 (abcdef)", RUSTC);
    let code = scene.expect(
        &[],
        "validator",
        "FAIL",
        &["no Geyser plugins", "source = \"rpc\""],
    );
    assert_eq!(code, 6);
}

#[test]
fn a_compiler_is_known_by_the_paths_it_left_too() {
    let scene = Scene::new();
    let hash = "59807616e1fa2540724bfbac14d7976d7e4a3860";
    // Far into the file, and over the border of two reads.
    let path = format!(
        "static const char far[3000000] = {{[0 ... 1048000] = 'x'}}; static const char path[] = \"/rustc/{hash}/library\"; puts(far + 2000000); puts(path);"
    );
    signed(
        &scene.at("validator"),
        &format!("puts({AGAVE:?}); {path}"),
        "",
    );
    scene.expect(&[], "rustc", "ok", &["59807616e"]);
    signed(&scene.at("validator"), &format!("puts({AGAVE:?});"), "");
    let (code, told) = scene.doctor(&[]);
    assert_eq!(told["rustc"].0, "?", "{told:?}");
    assert_eq!(code, if told["speed"].0 == "FAIL" { 6 } else { 7 });
    let two = format!(
        "puts({AGAVE:?}); puts(\"/rustc/{hash}/\"); puts(\"/rustc/{}/\");",
        "ab".repeat(20)
    );
    signed(&scene.at("validator"), &two, "");
    scene.expect(&[], "rustc", "?", &["different compilers"]);
}

#[test]
fn a_library_that_is_none_of_ours_is_told() {
    let scene = Scene::new();
    fs::copy(scene.at("validator"), scene.at("plugin.so")).unwrap();
    scene.expect(&[], "library", "FAIL", &["no Geyser plugin of Mythic"]);
    fs::write(scene.at("plugin.so"), "text").unwrap();
    scene.expect(&[], "library", "FAIL", &["no ELF file"]);
    fs::remove_file(scene.at("plugin.so")).unwrap();
    scene.expect(&[], "library", "FAIL", &["No such file"]);
    plugin(&scene.at("plugin.so"), "4.2.2", RUSTC);
    let library = fs::OpenOptions::new()
        .write(true)
        .open(scene.at("plugin.so"));
    // Another processor: RISC-V.
    library
        .unwrap()
        .write_all_at(&243u16.to_le_bytes(), 18)
        .unwrap();
    scene.expect(&[], "library", "FAIL", &["another kind of processor"]);
}

#[test]
fn a_wrong_configuration_is_told_by_its_key() {
    let scene = Scene::new();
    scene.config("fsync_interval_ms: 0");
    let code = scene.expect(&[], "config", "FAIL", &["fsync_interval_ms = 0"]);
    assert_eq!(code, 6);
    // The library is looked at all the same.
    scene.expect(&[], "library", "ok", &[]);
    scene.config("spool_dri: 'x'");
    scene.expect(&[], "config", "FAIL", &["spool_dri"]);
    let stranger = "So11111111111111111111111111111111111111112";
    scene.config(&format!("owners: ['{stranger}']"));
    let (_, told) = scene.doctor(&[]);
    let said = told.get("owners").or(told.get("config")).unwrap();
    assert_eq!(said.0, "FAIL", "{told:?}");
    scene.config("");
    let text = fs::read_to_string(scene.at("plugin.json5")).unwrap();
    let write = |owners: &str| {
        let text = text.replace(
            &format!("['{PROGRAM}', '{MARKET}'], genesis"),
            &format!("{owners}, genesis"),
        );
        fs::write(scene.at("plugin.json5"), text).unwrap();
    };
    write(&format!("['{stranger}']"));
    scene.expect(
        &[],
        "owners",
        "FAIL",
        &[stranger, "no program of Mythic", PROGRAM],
    );
    write(&format!("['{PROGRAM}', '{MARKET}', '{stranger}']"));
    scene.expect(
        &[],
        "owners",
        "FAIL",
        &["beside the programs", "refuses", MARKET],
    );
    // As it was while there was one program.
    write(&format!("['{PROGRAM}']"));
    scene.expect(&[], "owners", "FAIL", &["is missing", MARKET]);
    fs::remove_file(scene.at("plugin.json5")).unwrap();
    nix::unistd::mkfifo(&scene.at("plugin.json5"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    scene.expect(&[], "config", "FAIL", &["a pipe"]);
}

#[test]
fn a_spool_without_room_or_leave_is_told() {
    let scene = Scene::new();
    fs::write(scene.at("spool"), "x").unwrap();
    scene.expect(&[], "spool", "FAIL", &["no directory"]);
    fs::remove_file(scene.at("spool")).unwrap();
    fs::create_dir(scene.at("spool")).unwrap();
    fs::write(scene.at("spool/letter"), "x").unwrap();
    fs::set_permissions(scene.at("spool"), fs::Permissions::from_mode(0o755)).unwrap();
    scene.expect(&[], "spool", "FAIL", &["letter"]);
    scene.config("");
    let text = fs::read_to_string(scene.at("plugin.json5")).unwrap();
    let text = text.replace(
        "spool_max_bytes: 1048576",
        "spool_max_bytes: 1152921504606846976",
    );
    fs::remove_file(scene.at("spool/letter")).unwrap();
    fs::write(scene.at("plugin.json5"), text).unwrap();
    scene.expect(&[], "room", "FAIL", &["spool_max_bytes"]);
    // Root may write anywhere that can be written.
    let text = fs::read_to_string(scene.at("plugin.json5")).unwrap();
    let place = format!("{:?}", scene.at("spool"));
    fs::write(
        scene.at("plugin.json5"),
        text.replace(&place, "\"/proc/nowhere\""),
    )
    .unwrap();
    scene.expect(&[], "spool", "FAIL", &["/proc"]);
}

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn what_runs_and_what_starts_it_say_whether_there_is_rpc() {
    let scene = Scene::new();
    let start = |options: &[&str]| {
        let mut command = Command::new(scene.at("validator"));
        Running(command.args(options).stdin(Stdio::null()).spawn().unwrap())
    };
    let config = scene.at("plugin.json5");
    let with = [
        "--geyser-plugin-config",
        config.to_str().unwrap(),
        "--rpc-port",
        "8899",
        "--full-rpc-api",
    ];
    let running = start(&with);
    scene.expect(&[], "rpc", "ok", &["8899", &running.0.id().to_string()]);
    scene.expect(&[], "loads", "ok", &["plugin.json5"]);
    let without = start(&["--ledger", "/nowhere"]);
    scene.expect(&[], "start", "?", &["2 processes", "--pid"]);
    let id = without.0.id().to_string();
    scene.expect(&["--pid", &id], "rpc", "FAIL", &["--rpc-port 8899"]);
    scene.expect(
        &["--pid", &id],
        "loads",
        "note",
        &["--geyser-plugin-config"],
    );
    drop((running, without));
    let script = scene.at("start.sh");
    fs::write(
        &script,
        "#!/bin/sh\nexec agave-validator \\\n  --rpc-port 8899 # --full-rpc-api\n",
    )
    .unwrap();
    let script = script.to_str().unwrap();
    scene.expect(
        &["--start-script", script],
        "rpc",
        "note",
        &["--full-rpc-api"],
    );
    scene.expect(
        &["--start-script", "/nothing"],
        "start",
        "FAIL",
        &["/nothing"],
    );
    scene.expect(&["--pid", "999999999"], "start", "FAIL", &["999999999"]);
}

#[test]
fn traps_are_not_walked_into() {
    let scene = Scene::new();
    let validator = scene.at("validator");
    let trap = |words: &[&str]| {
        assert_eq!(scene.expect(&[], "validator", "FAIL", words), 6);
        match validator.is_dir() {
            true => fs::remove_dir(&validator).unwrap(),
            false => fs::remove_file(&validator).unwrap(),
        }
    };
    fs::write(&validator, "#!/bin/sh\necho agave-validator 4.2.2\n").unwrap();
    trap(&["script", "--start-script"]);
    trap_kinds(&validator, &trap);
    // An ELF header with nothing behind it, in a file of a terabyte.
    let header = |change: &dyn Fn(&mut [u8])| {
        let mut head = vec![0; 64];
        head[..6].copy_from_slice(b"\x7fELF\x02\x01");
        head[58] = 64;
        change(&mut head);
        let file = fs::File::create(&validator).unwrap();
        file.write_all_at(&head, 0).unwrap();
        file.set_len(1 << 40).unwrap();
    };
    header(&|head| head[60] = 200);
    let (code, told) = scene.doctor(&[]);
    assert!(code == 6 || code == 7, "{told:?}");
    assert_ne!(told["validator"].0, "ok");
    header(&|head| head[60..62].copy_from_slice(&[255; 2]));
    trap(&["damaged"]);
    header(&|head| {
        head[60] = 2;
        head[40..48].copy_from_slice(&[255; 8]);
    });
    trap(&["damaged"]);
}

fn trap_kinds(validator: &Path, trap: &dyn Fn(&[&str])) {
    fs::create_dir(validator).unwrap();
    trap(&["a directory"]);
    nix::unistd::mkfifo(validator, nix::sys::stat::Mode::S_IRWXU).unwrap();
    trap(&["a pipe"]);
    std::os::unix::fs::symlink("/dev/zero", validator).unwrap();
    trap(&["a device"]);
    fs::write(validator, [0x7f; 1000]).unwrap();
    trap(&["no ELF file"]);
    std::os::unix::fs::symlink("/nothing", validator).unwrap();
    trap(&["No such file"]);
}

#[test]
fn a_program_that_does_not_end_is_ended_with_what_it_started() {
    let scene = Scene::new();
    let child = scene.at("child");
    let hang = format!(
        "int c = fork(); if (!c) {{ setpgid(0, getppid()); for (;;) pause(); }}
         FILE *f = fopen({:?}, \"w\"); fprintf(f, \"%d\", c); fclose(f); for (;;) pause();",
        child.to_str().unwrap()
    );
    signed(&scene.at("validator"), &hang, RUSTC);
    scene.expect(&[], "validator", "?", &["no end within"]);
    let id: u32 = fs::read_to_string(child).unwrap().parse().unwrap();
    let state = || fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let gone = || state().is_empty() || state().contains(") Z");
    let deadline = Instant::now() + Duration::from_secs(60);
    while !gone() {
        assert!(Instant::now() < deadline, "{}", state());
        std::thread::sleep(Duration::from_millis(20));
    }
    // Words without end, and words that are no release.
    signed(&scene.at("validator"), "for (;;) puts(\"agave\");", RUSTC);
    scene.expect(&[], "validator", "?", &["names no release"]);
    signed(
        &scene.at("validator"),
        "puts(\"\\033[2Jagave 4.2.2\");",
        RUSTC,
    );
    scene.expect(&[], "validator", "?", &["names no release"]);
    signed(&scene.at("validator"), "return 1;", RUSTC);
    scene.expect(&[], "validator", "?", &["names no release"]);
}
