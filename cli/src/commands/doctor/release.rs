//! Which validator a program is: `PROGRAM --version`, with an end to its time and to what it prints.

use std::{fmt, path::Path, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::Command,
    time::timeout,
};

const PATIENCE: Duration = Duration::from_secs(10);
const MAX_OUTPUT: u64 = 64 << 10;

/// What it calls itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    pub name: String,
    pub version: String,
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

impl Release {
    /// From `agave-validator 4.2.2 (src:00000000; feat:…, client:Agave)`.
    pub fn parse(said: &str) -> Option<Self> {
        let mut words = said
            .lines()
            .find(|line| !line.trim().is_empty())?
            .split_whitespace();
        let (name, version) = (words.next()?, words.next()?);
        let version = version.trim_start_matches('v');
        let plain = |text: &str| {
            let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+' | '_');
            (1..=60).contains(&text.len()) && text.chars().all(good)
        };
        let numbered = version.starts_with(|c: char| c.is_ascii_digit()) && version.contains('.');
        (numbered && plain(name) && plain(version)).then(|| Self {
            name: name.to_owned(),
            version: version.to_owned(),
        })
    }

    /// Firedancer and its mixture with Agave.
    pub fn loads_no_plugins(&self) -> bool {
        let name = self.name.to_ascii_lowercase();
        ["fdctl", "firedancer", "frankendancer"].contains(&name.as_str())
    }
}

/// Ends a program and what it started.
struct Group(Option<nix::unistd::Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // What has ended already is no fault.
            let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
        }
    }
}

async fn text(from: Option<impl AsyncRead + Unpin>) -> String {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        // What came before an error is what it said.
        let _ = from.take(MAX_OUTPUT).read_to_end(&mut bytes).await;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Asks the program. `Err`: why it does not say.
pub async fn ask(path: &Path) -> Result<Release, String> {
    let absolute = std::path::absolute(path).map_err(|error| error.to_string())?;
    let mut child = Command::new(absolute)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("it can't be run: {error}"))?;
    let leader = child.id().and_then(|id| i32::try_from(id).ok());
    let _group = Group(leader.map(nix::unistd::Pid::from_raw));
    let said = timeout(PATIENCE, text(child.stdout.take())).await;
    let said =
        said.map_err(|_| format!("`--version` gave no end within {} s", PATIENCE.as_secs()))?;
    Release::parse(&said).ok_or_else(|| {
        let shown: String = said.chars().take(80).collect();
        format!("`--version` names no release: {shown:?}")
    })
}
