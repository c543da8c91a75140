//! `mythic doctor`: what would keep Mythic from working here, each with its mend.

use crate::{
    context::Connection,
    exit::{self, Exit},
};
use anyhow::Result;
use mythic_client::Commitment;
use mythic_inference::model;
use std::{
    net::{Ipv4Addr, TcpListener},
    path::Path,
};

/// Room that a build, a model and a month of a development network take.
const WANTED_BYTES: u64 = 10 << 30;

struct Finding {
    what: &'static str,
    good: bool,
    detail: String,
}

/// Runs `mythic doctor`. Fails if a check that `mythic dev` depends on fails.
pub async fn run(connection: &Connection) -> Result<()> {
    let running = crate::dev::state::DevState::read(&connection.data_dir).is_ok();
    let mut findings = vec![
        postgres(),
        model_file(),
        disk(&connection.data_dir),
        plugin(),
    ];
    if running {
        findings.push(chain(connection).await);
        findings.push(gateway(connection).await);
    } else {
        findings.push(ports());
    }
    for finding in &findings {
        println!(
            "{} {:<12} {}",
            if finding.good { "ok  " } else { "FAIL" },
            finding.what,
            finding.detail
        );
    }
    match findings.iter().filter(|finding| !finding.good).count() {
        0 => Ok(()),
        failed => Err(Exit::error(
            exit::CHECK_FAILED,
            format!("{failed} of {} checks failed", findings.len()),
        )),
    }
}

fn postgres() -> Finding {
    let (good, detail) = match mythic_indexer::cluster::find_binaries() {
        Ok(found) => (
            true,
            format!("{} in {}", found.version, found.dir.display()),
        ),
        Err(error) => (false, error.to_string()),
    };
    Finding {
        what: "PostgreSQL",
        good,
        detail,
    }
}

fn model_file() -> Finding {
    let path = model::cache_dir().map(|dir| dir.join(model::CATALOGUE[0].file));
    let (good, detail) = match path {
        Ok(path) if path.is_file() => (true, path.display().to_string()),
        Ok(path) => (
            false,
            format!("not at {}; `mythic model pull` fetches it", path.display()),
        ),
        Err(error) => (false, error.to_string()),
    };
    Finding {
        what: "model",
        good,
        detail,
    }
}

fn disk(data_dir: &Path) -> Finding {
    let existing = data_dir
        .ancestors()
        .find(|dir| dir.exists())
        .unwrap_or(Path::new("."));
    let existing = if existing.as_os_str().is_empty() {
        Path::new(".")
    } else {
        existing
    };
    let (good, detail) = match nix::sys::statvfs::statvfs(existing) {
        Ok(stat) => {
            let free = stat.blocks_available() * stat.fragment_size();
            (
                free >= WANTED_BYTES,
                format!("{} GiB free, {} wanted", free >> 30, WANTED_BYTES >> 30),
            )
        }
        Err(error) => (false, format!("{}: {error}", existing.display())),
    };
    Finding {
        what: "disk",
        good,
        detail,
    }
}

fn plugin() -> Finding {
    let library =
        std::env::current_exe().map(|exe| exe.with_file_name("libmythic_geyser_plugin.so"));
    let (good, detail) = match library {
        Ok(path) if path.is_file() => (true, path.display().to_string()),
        Ok(path) => (
            false,
            format!(
                "not at {}; `cargo build --workspace` builds it",
                path.display()
            ),
        ),
        Err(error) => (false, error.to_string()),
    };
    Finding {
        what: "plugin",
        good,
        detail,
    }
}

fn ports() -> Finding {
    let taken: Vec<String> = [4002u16, 8080, 8899, 8900, 5442]
        .into_iter()
        .filter(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_err())
        .map(|port| port.to_string())
        .collect();
    let detail = match taken.as_slice() {
        [] => "4002, 8080, 8899, 8900, 5442 are free".into(),
        taken => format!(
            "in use: {}; `mythic dev --help` names the flags that choose others",
            taken.join(", ")
        ),
    };
    Finding {
        what: "ports",
        good: taken.is_empty(),
        detail,
    }
}

async fn chain(connection: &Connection) -> Finding {
    let (good, detail) = match connection.chain().slot(Commitment::Processed).await {
        Ok(slot) => (true, format!("slot {slot}")),
        Err(error) => (false, error.to_string()),
    };
    Finding {
        what: "chain",
        good,
        detail,
    }
}

async fn gateway(connection: &Connection) -> Finding {
    let health = match connection.gateway() {
        Ok(gateway) => gateway.get("/health").await,
        Err(error) => Err(error),
    };
    let (good, detail) = match health {
        Ok(health) => (health["status"] == "ok", health.to_string()),
        Err(error) => (false, error.to_string()),
    };
    Finding {
        what: "gateway",
        good,
        detail,
    }
}
