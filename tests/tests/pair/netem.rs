//! Who makes bytes late: the kernel (`tc netem`), in a network namespace of the test's own, where it can; else the relays.

use std::{fmt, net::TcpListener, process::Command};

use anyhow::{Context, Result, ensure};
use mythic_e2e::relay::Weather;

/// Says to a test that it is in the namespace already.
const INSIDE: &str = "MYTHIC_PAIR_NETEM";
/// Ports of relays in the namespace: 64 of them, so that one mask finds them.
const FIRST: u16 = 0x5200;
const COUNT: u16 = 64;
/// What is late: packets to and from the relays' ports.
const LATE: &str = "ip link set lo up \
    && tc qdisc add dev lo root handle 1: prio bands 3 priomap 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 \
    && tc qdisc add dev lo parent 1:3 handle 30: netem delay 8ms 5ms loss 0.5% \
    && tc filter add dev lo parent 1: protocol ip u32 match ip dport 0x5200 0xffc0 flowid 1:3 \
    && tc filter add dev lo parent 1: protocol ip u32 match ip sport 0x5200 0xffc0 flowid 1:3";

/// Who makes bytes late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Late {
    Kernel,
    Relay,
}

impl fmt::Display for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kernel => "tc netem, in a network namespace of the test's own",
            Self::Relay => {
                "relays of the test (no tc netem here: it needs root, iproute2 and the kernel's sch_netem)"
            }
        })
    }
}

impl Late {
    /// What is left for the relays to do.
    pub fn weather(self) -> Weather {
        match self {
            Self::Kernel => Weather::CLEAR,
            Self::Relay => Weather::ROUGH,
        }
    }

    /// A port for a relay.
    pub fn port(self) -> Result<TcpListener> {
        if self == Self::Relay {
            return Ok(TcpListener::bind("127.0.0.1:0")?);
        }
        (FIRST..FIRST + COUNT)
            .find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok())
            .context("no port for a relay")
    }
}

fn unshared(script: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", script]);
    command
}

/// Decides it. Where it is the kernel, runs the test of this name once more, in a namespace, and says `None` after it.
pub fn choose(test: &str) -> Result<Option<Late>> {
    if std::env::var_os(INSIDE).is_some() {
        return Ok(Some(Late::Kernel));
    }
    let tried = unshared(LATE).output();
    // What comes from the network comes before.
    let works = tried.is_ok_and(|tried| tried.status.success()) && mythic_broker::fetch()?;
    if !works {
        return Ok(Some(Late::Relay));
    }
    let status = unshared(&format!("{LATE} && exec \"$0\" \"$@\""))
        .arg(std::env::current_exe()?)
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env(INSIDE, "1")
        .status()?;
    ensure!(status.success(), "in the namespace: {status}");
    Ok(None)
}
