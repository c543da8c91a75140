//! What dApps are written with, against the chain's ports: @solana/web3.js, @solana/spl-token and @solana/kit.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::common::{Devnet, config};

/// Output of a command, which must succeed.
fn run(command: &mut Command) -> Vec<u8> {
    let out = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let shown = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{command:?}: {shown}");
    out.stdout
}

/// A directory with the clients installed, made once.
fn installed() -> PathBuf {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients");
    std::fs::create_dir_all(&dir).unwrap();
    let wanted = std::fs::read(sources.join("package.json")).unwrap();
    let ready = dir.join("ready");
    if std::fs::read(&ready).ok().as_ref() != Some(&wanted) {
        std::fs::write(dir.join("package.json"), &wanted).unwrap();
        let install = ["install", "--no-audit", "--no-fund", "--no-package-lock"];
        run(Command::new("npm").args(install).current_dir(&dir));
        std::fs::write(&ready, &wanted).unwrap();
    }
    for script in ["web3.mjs", "kit.mjs"] {
        std::fs::copy(sources.join(script), dir.join(script)).unwrap();
    }
    dir
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_dapps_get_what_they_need() {
    let dir = tempfile::tempdir().unwrap();
    let config = mythic_devnet::DevnetConfig {
        slot_ms: 100,
        ..config(dir.path())
    };
    let devnet = Devnet::start(config, None).await;
    let urls = [devnet.url.clone(), devnet.ws_url.clone()];
    let said = tokio::task::spawn_blocking(move || {
        let dir = installed();
        let say = |script: &str| {
            let out = run(Command::new("node")
                .arg(script)
                .args(&urls)
                .current_dir(&dir));
            serde_json::from_slice::<Value>(&out).unwrap()
        };
        let version = run(Command::new("node").arg("--version"));
        let version = String::from_utf8(version).unwrap();
        let major: u32 = version
            .trim_start_matches('v')
            .split('.')
            .next()
            .unwrap()
            .parse()
            .unwrap();
        // @solana/kit does not run on older ones.
        (say("web3.mjs"), (major >= 20).then(|| say("kit.mjs")))
    });
    let (web3, kit) = said.await.unwrap();
    assert_eq!(web3["failed"], json!([]), "{web3}");
    assert!(
        web3["seen"]["account"].as_u64() >= Some(2_000_000),
        "{web3}"
    );
    for kind in ["slotUpdates", "slots", "roots"] {
        assert!(web3["seen"][kind].as_u64() > Some(0), "{kind}: {web3}");
    }
    if let Some(kit) = kit {
        assert_eq!(kit["failed"], json!([]), "{kit}");
    }
    devnet.stop().await;
}
