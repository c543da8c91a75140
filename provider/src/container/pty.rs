//! A terminal between a user and a command: two ends, this one for reading and writing without waiting.

use std::{
    io,
    os::fd::OwnedFd,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use rustix::{
    fs::{self as sys, Mode, OFlags},
    io::Errno,
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, unix::AsyncFd};

use super::runtime::Size;

/// The end of a terminal that its user has. Copies share it.
#[derive(Debug, Clone)]
pub struct Terminal(Arc<AsyncFd<OwnedFd>>);

impl Terminal {
    /// A terminal of this size; the other end is for the command.
    pub fn open(size: Size) -> io::Result<(Self, OwnedFd)> {
        let user = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&user)?;
        unlockpt(&user)?;
        let name = ptsname(&user, Vec::new())?;
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let command = sys::open(name.as_c_str(), flags, Mode::empty())?;
        sys::fcntl_setfl(&user, OFlags::RDWR | OFlags::NONBLOCK)?;
        #[expect(
            deprecated,
            reason = "its successor is unsafe for whoever closes the descriptor early; this one is owned"
        )]
        let user = AsyncFd::new(user)?;
        let terminal = Self(Arc::new(user));
        terminal.resize(size)?;
        Ok((terminal, command))
    }

    /// Gives it another size.
    pub fn resize(&self, size: Size) -> io::Result<()> {
        let size = Winsize {
            ws_row: size.rows,
            ws_col: size.columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        Ok(tcsetwinsize(self.0.get_ref(), size)?)
    }
}

impl AsyncRead for Terminal {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut ready = ready!(self.0.poll_read_ready(context))?;
            let room = buffer.initialize_unfilled();
            let read = ready.try_io(|fd| Ok(rustix::io::read(fd.get_ref(), room)?));
            match read {
                Ok(Ok(count)) => {
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
                // Nobody has the other end any more: that is the end.
                Ok(Err(error)) if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => {
                    return Poll::Ready(Ok(()));
                }
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_not_yet) => {}
            }
        }
    }
}

impl AsyncWrite for Terminal {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut ready = ready!(self.0.poll_write_ready(context))?;
            match ready.try_io(|fd| Ok(rustix::io::write(fd.get_ref(), bytes)?)) {
                Ok(written) => return Poll::Ready(written),
                Err(_not_yet) => {}
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        process::Command,
    };

    use super::*;

    #[tokio::test]
    async fn a_command_has_a_terminal_of_the_size_that_its_user_gave() {
        let size = Size {
            rows: 33,
            columns: 111,
        };
        let (mut terminal, command) = Terminal::open(size).unwrap();
        let dup = || Stdio::from(command.try_clone().unwrap());
        let mut child = Command::new("sh")
            .args(["-c", "stty size; read line; echo \"got $line\""])
            .stdin(dup())
            .stdout(dup())
            .stderr(dup())
            .spawn()
            .unwrap();
        drop(command);
        terminal.write_all(b"hello\n").await.unwrap();
        let mut said = String::new();
        let read = terminal.read_to_string(&mut said);
        let patience = std::time::Duration::from_secs(60);
        tokio::time::timeout(patience, read).await.unwrap().unwrap();
        assert!(
            said.contains("33 111") && said.contains("got hello"),
            "{said}"
        );
        assert!(child.wait().await.unwrap().success());
    }
}
