//! Commands beside a container's own, run by a program of the machine that passes their bytes on.

use std::{process::Stdio, time::Duration};

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use tokio::{
    process::{Child, Command},
    time::timeout,
};

use super::{
    pty::Terminal,
    runtime::{Control, Process, Signal, Size},
};

/// How long a command may take to end once its user hung up.
const PARTING: Duration = Duration::from_secs(2);
/// Exit code of a command that could not be run or was killed.
const KILLED: u32 = 255;

/// Runs it with three pipes.
pub fn piped(mut command: Command) -> Result<Process> {
    command.stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.kill_on_drop(true).spawn().context("running it")?;
    let (input, output) = (child.stdin.take(), child.stdout.take());
    let errors = child.stderr.take().context("its errors")?;
    Ok(Process {
        input: Box::new(input.context("its input")?),
        output: Box::new(output.context("its output")?),
        errors: Some(Box::new(errors)),
        control: Box::new(Executed {
            child: Some(child),
            terminal: None,
        }),
    })
}

/// Runs it on a terminal.
pub fn on_terminal(mut command: Command, size: Size) -> Result<Process> {
    let (terminal, other) = Terminal::open(size)?;
    command.stdin(other.try_clone()?);
    command.stdout(other.try_clone()?).stderr(other);
    let child = command.kill_on_drop(true).spawn().context("running it")?;
    Ok(Process {
        input: Box::new(terminal.clone()),
        output: Box::new(terminal.clone()),
        errors: None,
        control: Box::new(Executed {
            child: Some(child),
            terminal: Some(terminal),
        }),
    })
}

/// A command beside the container's own.
struct Executed {
    /// There until it is dropped.
    child: Option<Child>,
    terminal: Option<Terminal>,
}

/// Tells the program, which passes signals on as far as it can.
fn tell(child: &Child, signal: rustix::process::Signal) {
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
        // It may have ended by now.
        let _ = rustix::process::kill_process(pid, signal);
    }
}

#[async_trait]
impl Control for Executed {
    fn resize(&self, size: Size) {
        if let (Some(terminal), Some(child)) = (&self.terminal, &self.child)
            && terminal.resize(size).is_ok()
        {
            tell(child, rustix::process::Signal::WINCH);
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(child) = &self.child {
            tell(
                child,
                match signal {
                    Signal::Interrupt => rustix::process::Signal::INT,
                    Signal::Terminate => rustix::process::Signal::TERM,
                    Signal::HangUp => rustix::process::Signal::HUP,
                },
            );
        }
    }

    async fn wait(&mut self) -> Result<u32> {
        let child = self.child.as_mut().context("it has ended")?;
        let code = child.wait().await?.code();
        Ok(code
            .and_then(|code| u32::try_from(code).ok())
            .unwrap_or(KILLED))
    }
}

impl Drop for Executed {
    /// Its user hung up. What does not care for that goes on inside, without a process of the machine beside it.
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                tell(&child, rustix::process::Signal::HUP);
                let ended = timeout(PARTING, child.wait()).await;
                if ended.is_err() {
                    let _ = child.kill().await;
                }
            });
        }
    }
}
