//! Progress of long work: a spinner or bar on a terminal, plain lines elsewhere. Whatever else is printed meanwhile goes
//! through [`line`], so that the two do not write over each other.

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::{
    io::IsTerminal,
    sync::LazyLock,
    time::{Duration, Instant},
};

/// All that moves on this terminal.
static MOVING: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

fn terminal() -> bool {
    std::io::stderr().is_terminal()
}

/// Prints a line to standard error, above what moves.
pub fn line(text: &str) {
    match terminal() {
        true => MOVING.suspend(|| eprintln!("{text}")),
        false => eprintln!("{text}"),
    }
}

fn spinner(message: String) -> Option<ProgressBar> {
    terminal().then(|| {
        let bar = MOVING.add(ProgressBar::new_spinner().with_message(message));
        bar.enable_steady_tick(Duration::from_millis(120));
        bar
    })
}

/// One step of a longer procedure; prints how long it took when it ends.
pub struct Step {
    name: String,
    bar: Option<ProgressBar>,
    started: Instant,
}

impl Step {
    /// Starts a step and shows its name.
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        let bar = spinner(name.clone());
        Self {
            name,
            bar,
            started: Instant::now(),
        }
    }

    /// Says where a step with known size stands.
    pub fn advance(&self, done: u64, total: u64) {
        if let Some(bar) = &self.bar {
            if bar.length() != Some(total) {
                bar.set_length(total);
                if let Ok(style) = ProgressStyle::with_template(
                    "{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec}",
                ) {
                    bar.set_style(style);
                }
            }
            bar.set_position(done);
        }
    }

    /// Says what the step is waiting for.
    pub fn note(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{}: {text}", self.name));
        }
    }

    /// Ends the step.
    pub fn done(self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        line(&format!(
            "  {} ({:.1} s)",
            self.name,
            self.started.elapsed().as_secs_f32()
        ));
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A line at the bottom of a terminal that says how things stand; elsewhere nothing.
pub struct Live {
    bar: Option<ProgressBar>,
}

impl Live {
    /// A line without text yet.
    pub fn new() -> Self {
        Self {
            bar: spinner(String::new()),
        }
    }

    /// Whether anybody sees it.
    pub fn is_seen(&self) -> bool {
        self.bar.is_some()
    }

    /// Replaces the text.
    pub fn say(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(crate::terminal::on_one_line(text).into_owned());
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
