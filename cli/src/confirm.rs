//! Asks before money moves.

use crate::{
    exit::{self, Exit},
    note,
};
use anyhow::Result;
use std::io::{BufRead, IsTerminal};

/// Returns if the user agrees, or did with `--yes`. Without a terminal nobody can be asked.
pub fn confirm(question: &str, yes: bool) -> Result<()> {
    if yes {
        return Ok(());
    }
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(Exit::error(
            exit::USAGE,
            "nothing was signed: this asks before it spends, and there is no terminal to ask on; --yes agrees beforehand",
        ));
    }
    note!("{question} [y/N]");
    let mut line = String::new();
    stdin.lock().read_line(&mut line)?;
    match line.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Exit::error(exit::FAILURE, "nothing was signed")),
    }
}
