//! Programs of the machine that a container needs, each within a time, with what it said where it fails.

use std::{ffi::OsStr, process::Stdio, time::Duration};

use anyhow::{Context as _, Result, bail};
use tokio::{io::AsyncWriteExt as _, process::Command, time::timeout};

/// How long a program may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Characters of its complaint that are told.
const COMPLAINT: usize = 400;

/// Runs a program; returns what it printed.
pub async fn run<A: AsRef<OsStr>>(program: &str, arguments: &[A]) -> Result<Vec<u8>> {
    fed(program, arguments, b"").await
}

/// The same of a program that reads something.
pub async fn fed<A: AsRef<OsStr>>(program: &str, arguments: &[A], input: &[u8]) -> Result<Vec<u8>> {
    let mut command = Command::new(program);
    command.args(arguments).kill_on_drop(true);
    command.stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let told = format!("{program} {}", words(arguments));
    let mut child = command.spawn().with_context(|| told.clone())?;
    let mut stdin = child.stdin.take().context("its input")?;
    let whole = async {
        // One that ends before it has read all of it says why by itself.
        let _ = stdin.write_all(input).await;
        drop(stdin);
        child.wait_with_output().await
    };
    let output = match timeout(PATIENCE, whole).await {
        Ok(output) => output.with_context(|| told.clone())?,
        Err(_) => bail!("{told}: not done within {} s", PATIENCE.as_secs()),
    };
    match output.status.success() {
        true => Ok(output.stdout),
        false => bail!("{told}: {} ({})", complaint(&output.stderr), output.status),
    }
}

/// A program that begins what a tenant's processes are, under the mask of modes that is usual. This process's own lets nobody else read
/// its files, and a container would inherit it, up to its view of its own bounds.
pub fn unmasked(program: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "umask 022; exec \"$0\" \"$@\""]);
    command.arg(program);
    command
}

fn words<A: AsRef<OsStr>>(arguments: &[A]) -> String {
    let words = arguments.iter().take(4);
    let words: Vec<_> = words.map(|word| word.as_ref().to_string_lossy()).collect();
    words.join(" ")
}

/// The end of what a program complained of, on one line.
fn complaint(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text: Vec<char> = text.trim().chars().collect();
    let end = text.iter().skip(text.len().saturating_sub(COMPLAINT));
    end.map(|c| if c.is_control() { ' ' } else { *c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_program_says_is_handed_back_and_why_it_failed() {
        let said = run("echo", &["hello"]).await.unwrap();
        assert_eq!(said, b"hello\n");
        let said = fed("cat", &[] as &[&str], b"read").await.unwrap();
        assert_eq!(said, b"read");
        let failed = run("sh", &["-c", "echo why >&2; exit 3"]).await;
        let failed = failed.unwrap_err().to_string();
        assert!(failed.contains("why") && failed.contains('3'), "{failed}");
        let missing = run("no-such-program", &["x"]).await.unwrap_err();
        assert!(format!("{missing:#}").contains("no-such-program x"));
    }

    #[tokio::test]
    async fn what_a_tenants_processes_begin_with_is_the_usual_mask() {
        let said = unmasked("sh").args(["-c", "umask"]).output();
        assert_eq!(said.await.unwrap().stdout, b"0022\n");
    }

    #[test]
    fn a_long_complaint_is_told_from_its_end() {
        let told = complaint(format!("{}\nlast", "x".repeat(9_000)).as_bytes());
        assert!(told.ends_with(" last") && told.len() == COMPLAINT);
    }
}
