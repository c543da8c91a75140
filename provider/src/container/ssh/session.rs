//! What a client does in a container: a shell, a command, its logs. A session reads what its channel says until it knows what is to run.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig, server::Msg};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::container::runtime::{Exec, Input, Output, Process, Runtime, Signal, Size};

/// Subsystems: what the command wrote so far, and what it writes from then on.
pub const LOGS: &str = "mythic-logs";
pub const FOLLOW: &str = "mythic-logs-follow";
/// And the end of all processes: a container in which nothing can be begun any more begins anew.
pub const RESTART: &str = "mythic-restart";
/// Messages that come before it is said what is to run.
const BEFORE: usize = 32;
/// How long a client may take to say so.
const ASKING: Duration = Duration::from_secs(30);
/// How long a container that is held is waited for.
const THAWS: Duration = Duration::from_secs(300);
/// Orders that wait for the command.
const WAITING: usize = 64;
/// Bytes of input that are held for a command that does not read them. While there are more, its client is not heard.
const HELD: usize = 1 << 20;
/// Commands that begin at the same time on this machine: to begin one takes more of it than most of them do, and nothing of that is the
/// tenant's.
const BEGIN: usize = 2;
/// A command that has said nothing for so long has begun.
const BEGUN: Duration = Duration::from_secs(1);
/// Memory of the machine that a session takes beside the container's.
pub const MEMORY_MIB: u64 = 20;
/// Bytes that are read at once.
const CHUNK: usize = 16 << 10;
/// Exit code where a command could not be run.
const NOT_RUN: u32 = 255;
/// What is said where nothing can be run.
const NONE_LEFT: &str = "too many sessions, or too many begun in a short time; a restart of the container ends them all";
/// Data of the channel that are errors.
const STDERR: u32 = 1;
/// A terminal that every program knows, and its size where the client gives none.
const TERM: &str = "xterm";
const SIZE: Size = Size {
    rows: 24,
    columns: 80,
};
/// A shell, the best that there is.
const SHELL: &str =
    "if command -v bash >/dev/null 2>&1; then exec bash -l; else exec /bin/sh -l; fi";

/// A container that can be entered.
pub struct Room {
    pub runtime: Arc<dyn Runtime>,
    pub id: String,
    /// Whether it is held.
    pub frozen: watch::Receiver<bool>,
    /// Its lease has ended.
    pub ended: CancellationToken,
    pub gate: Gate,
}

/// Where commands begin, those of one lease one after the other, so that no lease keeps the others waiting.
#[derive(Debug, Clone)]
pub struct Gate {
    machine: Arc<Semaphore>,
    lease: Arc<Semaphore>,
}

impl Gate {
    /// Another lease's.
    pub fn beside(&self) -> Self {
        Self {
            machine: self.machine.clone(),
            lease: Arc::new(Semaphore::new(1)),
        }
    }

    /// Waits for its turn, which lasts until what is returned is dropped.
    async fn turn(&self) -> Result<(OwnedSemaphorePermit, OwnedSemaphorePermit)> {
        let lease = self.lease.clone().acquire_owned().await?;
        Ok((lease, self.machine.clone().acquire_owned().await?))
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            machine: Arc::new(Semaphore::new(BEGIN)),
            lease: Arc::new(Semaphore::new(1)),
        }
    }
}

/// What is to run.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Shell,
    Command(Vec<u8>),
    Logs { follow: bool },
    Restart,
}

/// What a client wants done about its command.
enum Order {
    Resize(Size),
    Signal(Signal),
}

/// Whether there is such a subsystem.
pub fn is_subsystem(name: &str) -> bool {
    [LOGS, FOLLOW, RESTART].contains(&name)
}

/// A channel from its first message to its end, or to that of its connection. One that found no place among the sessions can restart the
/// container and nothing else.
pub async fn attend(
    room: &Room,
    channel: Channel<Msg>,
    gone: &CancellationToken,
    place: Option<OwnedSemaphorePermit>,
) {
    let (mut read, write) = channel.split();
    let asked = timeout(ASKING, asked(&mut read)).await;
    let code = match asked.ok().flatten() {
        None => None,
        Some((asked, terminal)) => {
            let end = if terminal.is_some() { "\r\n" } else { "\n" };
            let does = async {
                ensure!(place.is_some() || asked == Asked::Restart, NONE_LEFT);
                run(room, (asked, terminal), &mut read, &write).await
            };
            let done = tokio::select! {
                done = does => done,
                () = room.ended.cancelled() => Ok(NOT_RUN),
                () = gone.cancelled() => Ok(NOT_RUN),
            };
            Some(match done {
                Ok(code) => code,
                Err(error) => {
                    let told = format!("mythic: {error:#}{end}");
                    let _ = write.extended_data_bytes(STDERR, told.into_bytes()).await;
                    NOT_RUN
                }
            })
        }
    };
    if let Some(code) = code {
        let _ = write.exit_status(code).await;
    }
    let _ = write.eof().await;
    let _ = write.close().await;
    drop(place);
}

/// What the client wants, and its terminal if it has one.
async fn asked(read: &mut ChannelReadHalf) -> Option<(Asked, Option<(String, Size)>)> {
    let mut terminal = None;
    for _ in 0..BEFORE {
        let asked = match read.wait().await? {
            ChannelMsg::RequestPty {
                term,
                col_width,
                row_height,
                ..
            } => {
                terminal = Some((kind(&term), size(col_width, row_height)));
                continue;
            }
            ChannelMsg::RequestShell { .. } => Asked::Shell,
            ChannelMsg::Exec { command, .. } => Asked::Command(command),
            ChannelMsg::RequestSubsystem { name, .. } => match name.as_str() {
                LOGS => Asked::Logs { follow: false },
                FOLLOW => Asked::Logs { follow: true },
                RESTART => Asked::Restart,
                _ => continue,
            },
            ChannelMsg::Close => return None,
            _ => continue,
        };
        return Some((asked, terminal));
    }
    None
}

/// A name of a terminal, if it is one.
fn kind(term: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-+._".contains(c);
    let is_one = !term.is_empty() && term.len() <= 64 && term.chars().all(allowed);
    let known = if is_one { term } else { TERM };
    known.to_owned()
}

fn size(columns: u32, rows: u32) -> Size {
    let within = |value: u32, otherwise: u16| match u16::try_from(value) {
        Ok(value) if value > 0 => value,
        _ => otherwise,
    };
    Size {
        rows: within(rows, SIZE.rows),
        columns: within(columns, SIZE.columns),
    }
}

fn signal(signal: &Sig) -> Option<Signal> {
    match signal {
        Sig::INT | Sig::QUIT => Some(Signal::Interrupt),
        Sig::TERM | Sig::KILL => Some(Signal::Terminate),
        Sig::HUP => Some(Signal::HangUp),
        _ => None,
    }
}

/// Runs what was asked for; gives its exit code.
async fn run(
    room: &Room,
    (asked, terminal): (Asked, Option<(String, Size)>),
    read: &mut ChannelReadHalf,
    write: &ChannelWriteHalf<Msg>,
) -> Result<u32> {
    let script = match asked {
        Asked::Logs { follow } => return logs(room, follow, read, write).await,
        Asked::Restart => {
            thawed(room).await?;
            return room.runtime.kill(&room.id).await.map(|()| 0);
        }
        Asked::Shell => SHELL.to_owned(),
        Asked::Command(bytes) => String::from_utf8(bytes).context("the command is no UTF-8")?,
    };
    thawed(room).await?;
    let mut turn = Some(room.gate.turn().await?);
    let exec = Exec {
        command: vec!["/bin/sh".into(), "-c".into(), script],
        terminal,
    };
    let Process {
        input,
        output,
        errors,
        mut control,
    } = room.runtime.exec(&room.id, exec).await?;
    // Whoever of these waits keeps no other from going on.
    let (feed, fed) = mpsc::channel(1);
    let (give, mut orders) = mpsc::channel(WAITING);
    let first = CancellationToken::new();
    let told = async {
        let errors = async {
            if let Some(errors) = errors {
                spoken((errors, Some(STDERR)), write, &first).await;
            }
        };
        tokio::join!(spoken((output, None), write, &first), errors);
    };
    let begun = timeout(BEGUN, first.cancelled());
    let (written, heard) = (written(input, fed), heard(read, feed, give));
    tokio::pin!(told, begun, written, heard);
    let (mut is_told, mut is_written) = (false, false);
    let code = loop {
        tokio::select! {
            code = control.wait() => break code?,
            Some(order) = orders.recv() => match order {
                Order::Resize(size) => control.resize(size),
                Order::Signal(signal) => control.signal(signal),
            },
            _ = &mut begun, if turn.is_some() => turn = None,
            () = &mut told, if !is_told => is_told = true,
            () = &mut written, if !is_written => is_written = true,
            // Dropped, the process is told that its user hung up.
            () = &mut heard => return Ok(NOT_RUN),
        }
    };
    drop((turn, orders));
    // What it said is passed on whole, however slowly it is read.
    while !is_told {
        tokio::select! {
            () = &mut told => is_told = true,
            () = &mut written, if !is_written => is_written = true,
            () = &mut heard => break,
        }
    }
    Ok(code)
}

/// Waits until the container is not held.
async fn thawed(room: &Room) -> Result<()> {
    let mut frozen = room.frozen.clone();
    let thawed = async move { frozen.wait_for(|is_frozen| !is_frozen).await.map(drop) };
    let thawed = timeout(THAWS, thawed).await;
    let thawed = thawed.context("the container is held for too long")?;
    thawed.context("the lease has ended")
}

/// Hears what a client says about its command until it has gone. What the command does not read yet is held meanwhile.
async fn heard(read: &mut ChannelReadHalf, feed: mpsc::Sender<Vec<u8>>, give: mpsc::Sender<Order>) {
    let (mut feed, mut held, mut is_end) = (Some(feed), Vec::<u8>::new(), false);
    loop {
        if is_end && held.is_empty() {
            feed = None;
        }
        let message = tokio::select! {
            permit = reserved(feed.as_ref()), if !held.is_empty() => {
                let bytes = std::mem::take(&mut held);
                // A command that reads no more lets what comes fall.
                if let Some(permit) = permit {
                    permit.send(bytes);
                }
                continue;
            }
            message = read.wait(), if held.len() < HELD => message,
        };
        let order = match message {
            None | Some(ChannelMsg::Close) => return,
            Some(ChannelMsg::Data { data }) => {
                if !is_end {
                    held.extend_from_slice(&data);
                }
                None
            }
            Some(ChannelMsg::Eof) => {
                is_end = true;
                None
            }
            Some(ChannelMsg::WindowChange {
                col_width,
                row_height,
                ..
            }) => Some(Order::Resize(size(col_width, row_height))),
            Some(ChannelMsg::Signal { signal: told }) => signal(&told).map(Order::Signal),
            Some(_) => None,
        };
        if let Some(order) = order {
            let _ = give.send(order).await;
        }
    }
}

/// Leave to pass a piece of input on, as soon as the one before was taken.
async fn reserved(feed: Option<&mpsc::Sender<Vec<u8>>>) -> Option<mpsc::Permit<'_, Vec<u8>>> {
    feed?.reserve().await.ok()
}

/// Gives a command what it is to read; its end too.
async fn written(mut input: Input, mut fed: mpsc::Receiver<Vec<u8>>) {
    while let Some(bytes) = fed.recv().await {
        let written = async {
            input.write_all(&bytes).await?;
            input.flush().await
        };
        if written.await.is_err() {
            return;
        }
    }
}

/// Passes an output on until its end; says when the first of it came.
async fn spoken(
    (mut output, kind): (Output, Option<u32>),
    write: &ChannelWriteHalf<Msg>,
    first: &CancellationToken,
) {
    let mut chunk = vec![0; CHUNK];
    loop {
        let count = match output.read(&mut chunk).await {
            Ok(0) | Err(_) => return,
            Ok(count) => count,
        };
        first.cancel();
        let bytes = chunk.get(..count).unwrap_or_default().to_vec();
        let sent = match kind {
            None => write.data_bytes(bytes).await,
            Some(kind) => write.extended_data_bytes(kind, bytes).await,
        };
        if sent.is_err() {
            return;
        }
    }
}

/// Passes the container's log on.
async fn logs(
    room: &Room,
    follow: bool,
    read: &mut ChannelReadHalf,
    write: &ChannelWriteHalf<Msg>,
) -> Result<u32> {
    let mut log = room.runtime.logs(&room.id, follow).await?;
    let passed = async {
        while let Some(chunk) = log.recv().await {
            write.data_bytes(chunk).await?;
        }
        anyhow::Ok(0)
    };
    let left = async { while !matches!(read.wait().await, None | Some(ChannelMsg::Close)) {} };
    tokio::select! {
        code = passed => code,
        () = left => Ok(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_are_what_programs_know_and_of_a_size() {
        assert_eq!(kind("xterm-256color"), "xterm-256color");
        for bad in ["", "a b", "--user=0", &"x".repeat(65), "a\0"] {
            let told = kind(bad);
            assert_eq!(told, TERM, "{bad:?}");
        }
        assert_eq!(size(0, 0), SIZE);
        assert_eq!(size(u32::MAX, 7).rows, 7);
        assert_eq!(size(132, 43).columns, 132);
    }

    #[tokio::test]
    async fn commands_of_a_lease_begin_one_after_the_other_and_keep_no_other_lease_waiting() {
        let first = Gate::default();
        let (second, third) = (first.beside(), first.beside());
        let waits = async |gate: &Gate| {
            let turn = timeout(Duration::from_millis(50), gate.turn()).await;
            turn.is_err()
        };
        let turn = first.turn().await.unwrap();
        assert!(waits(&first).await);
        let other = second.turn().await.unwrap();
        assert!(waits(&third).await, "the machine has enough to do");
        drop(turn);
        assert!(!waits(&third).await && !waits(&first).await);
        drop(other);
    }

    #[test]
    fn there_are_our_own_subsystems_and_no_others() {
        assert!([LOGS, FOLLOW, RESTART].into_iter().all(is_subsystem));
        assert!(!is_subsystem("sftp"));
    }
}
