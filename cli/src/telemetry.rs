//! The one logging set-up: human lines on a terminal, plain lines otherwise, JSON on request; `RUST_LOG` filters.

use std::io::{IsTerminal, Write};
use tracing_subscriber::{EnvFilter, fmt};

/// Standard error, a line at a time and above what moves there.
#[derive(Default)]
struct Lines(Vec<u8>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        if !self.0.is_empty() {
            crate::progress::line(String::from_utf8_lossy(&self.0).trim_end_matches('\n'));
        }
    }
}

/// Starts logging to stderr at `level` unless `RUST_LOG` says otherwise.
pub fn start(level: &str, json: bool) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let builder = fmt()
        .with_env_filter(filter)
        .with_writer(Lines::default)
        .with_ansi(std::io::stderr().is_terminal());
    if json {
        builder.json().init();
    } else {
        builder.with_target(false).init();
    }
}
