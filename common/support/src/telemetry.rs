//! The one logging set-up: human lines on a terminal, plain lines otherwise, JSON on request; `RUST_LOG` filters.

use std::io::{IsTerminal, Write};
use tracing_subscriber::{EnvFilter, fmt};

/// Collects a line and hands it on whole.
struct Line {
    text: Vec<u8>,
    print: fn(&str),
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if !self.text.is_empty() {
            (self.print)(String::from_utf8_lossy(&self.text).trim_end_matches('\n'));
        }
    }
}

/// Starts logging at `level` unless `RUST_LOG` says otherwise. `print` writes a line to standard error, where something else
/// may be moving on a terminal.
pub fn start(level: &str, json: bool, print: fn(&str)) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let line = move || Line {
        text: Vec::new(),
        print,
    };
    let builder = fmt()
        .with_env_filter(filter)
        .with_writer(line)
        .with_ansi(std::io::stderr().is_terminal());
    if json {
        builder.json().init();
    } else {
        builder.with_target(false).init();
    }
}
