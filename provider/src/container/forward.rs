//! Packets of containers past the rules of Docker, whose daemon drops all that a machine passes on but its own containers', and leaves a chain
//! for others who know better.

use anyhow::Result;

use super::command;

/// The chain for others' rules.
const CHAIN: &str = "DOCKER-USER";

/// Lets packets of interfaces of this prefix pass, where Docker has its rules; which of them may is said elsewhere.
pub async fn open(prefix: &str) -> Result<()> {
    if command::run("iptables", &["-w", "-n", "-L", CHAIN])
        .await
        .is_err()
    {
        return Ok(());
    }
    let all = format!("{prefix}+");
    for direction in ["-i", "-o"] {
        let rule = [direction, all.as_str(), "-j", "ACCEPT"];
        let is_there = [&["-w", "-C", CHAIN][..], &rule[..]].concat();
        if command::run("iptables", &is_there).await.is_err() {
            let insert = [&["-w", "-I", CHAIN][..], &rule[..]].concat();
            command::run("iptables", &insert).await?;
        }
    }
    Ok(())
}
