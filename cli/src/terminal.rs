//! The one way to standard output and standard error. Text from a model, a gateway or a chain may hold escape sequences
//! that recolour a terminal, move its cursor or rename its window; here they become visible characters.

use anyhow::Result;
use serde::Serialize;
use std::{
    borrow::Cow,
    io::{IsTerminal, Write},
};

/// Prints a line to standard output, harmless whatever is in it.
#[macro_export]
macro_rules! say {
    () => { println!() };
    ($($arg:tt)*) => { println!("{}", $crate::terminal::shown(&format!($($arg)*))) };
}

/// Prints a line to standard error, harmless whatever is in it.
#[macro_export]
macro_rules! note {
    ($($arg:tt)*) => { $crate::progress::line(&$crate::terminal::shown(&format!($($arg)*))) };
}

/// Whether a character acts on a terminal instead of being seen: controls of both sets, and those that turn the direction
/// of the text around them. Line feed and tab only lay text out.
fn acts(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        c => c.is_control(),
    }
}

/// `text` with every character that would act on a terminal written out, as `\u{1b}`.
pub fn shown(text: &str) -> Cow<'_, str> {
    escaped(text, acts)
}

/// The same on one line: a cell of a table.
pub fn on_one_line(text: &str) -> Cow<'_, str> {
    escaped(text, |c| acts(c) || c == '\n' || c == '\t')
}

fn escaped(text: &str, bad: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&bad) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match bad(c) {
            true => out.extend(c.escape_default()),
            false => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Prints a value as one line of JSON.
pub fn json_line(value: &impl Serialize) -> Result<()> {
    println!("{}", inert(serde_json::to_string(value)?));
    Ok(())
}

/// Prints a value as JSON over several lines.
pub fn json(value: &impl Serialize) -> Result<()> {
    println!("{}", inert(serde_json::to_string_pretty(value)?));
    Ok(())
}

/// The same JSON: what `serde_json` leaves as it is and a terminal acts on can only stand in strings, where it may be escaped.
fn inert(json: String) -> String {
    if !json.contains(acts) {
        return json;
    }
    let mut out = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        match acts(c) {
            true => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            false => out.push(c),
        }
    }
    out
}

/// Where an answer is written as it comes: to a terminal made harmless, into a pipe or a file byte for byte.
pub struct Answer<W> {
    out: W,
    terminal: bool,
}

impl Answer<std::io::Stdout> {
    /// Standard output.
    pub fn stdout() -> Self {
        let out = std::io::stdout();
        let terminal = out.is_terminal();
        Self { out, terminal }
    }
}

impl<W: Write> Answer<W> {
    /// Writes a piece, at once.
    pub fn write(&mut self, piece: &str) -> std::io::Result<()> {
        match self.terminal {
            true => self.out.write_all(shown(piece).as_bytes())?,
            false => self.out.write_all(piece.as_bytes())?,
        }
        self.out.flush()
    }

    /// Ends the line after the answer.
    pub fn end(mut self) -> std::io::Result<()> {
        self.out.write_all(b"\n")?;
        self.out.flush()
    }
}

/// Text that comes as bytes, cut anywhere: made harmless piece by piece.
#[derive(Debug, Default)]
pub struct Pieces {
    /// The beginning of a character whose end is still to come.
    begun: Vec<u8>,
}

impl Pieces {
    /// What a piece adds.
    pub fn shown(&mut self, bytes: &[u8]) -> String {
        self.begun.extend_from_slice(bytes);
        let whole = self.begun.len() - unfinished(&self.begun);
        let rest = self.begun.split_off(whole);
        let whole = std::mem::replace(&mut self.begun, rest);
        shown(&String::from_utf8_lossy(&whole)).into_owned()
    }

    /// What is left in the end.
    pub fn end(self) -> String {
        String::from_utf8_lossy(&self.begun).into_owned()
    }
}

/// How many bytes at the end begin a character of UTF-8 and do not end it.
fn unfinished(bytes: &[u8]) -> usize {
    let last = bytes.iter().rev().take(3).enumerate();
    for (after, byte) in last {
        let length = match byte {
            0x80..=0xbf => continue,
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => 1,
        };
        let there = after + 1;
        return if there < length { there } else { 0 };
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\u{1b}]0;title\u{7}\u{9b}31m\r\u{7f}\u{202e}b\n\tc";

    #[test]
    fn nothing_that_acts_on_a_terminal_passes() {
        let text = shown(HOSTILE);
        assert!(!text.contains(acts), "{text:?}");
        assert_eq!(
            text,
            "a\\u{1b}]0;title\\u{7}\\u{9b}31m\\r\\u{7f}\\u{202e}b\n\tc"
        );
        for text in ["Привет, 世界 — 🚀 e\u{301}", "two\nlines\tand a tab"] {
            assert_eq!(shown(text), text);
        }
        assert_eq!(on_one_line("a\nb\tc"), "a\\nb\\tc");
    }

    #[test]
    fn json_is_inert_and_means_the_same() {
        let text = inert(serde_json::to_string(&HOSTILE).unwrap());
        assert!(!text.contains(acts), "{text:?}");
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), HOSTILE);
    }

    #[test]
    fn an_answer_is_harmless_on_a_terminal_and_whole_in_a_pipe() {
        for (terminal, wanted) in [
            (true, format!("{}\n", shown(HOSTILE))),
            (false, format!("{HOSTILE}\n")),
        ] {
            let mut out = Vec::new();
            let mut answer = Answer {
                out: &mut out,
                terminal,
            };
            // Cut anywhere: each character stands for itself.
            for c in HOSTILE.chars() {
                answer.write(&c.to_string()).unwrap();
            }
            answer.end().unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), wanted);
        }
    }

    #[test]
    fn bytes_that_are_cut_anywhere_are_the_same_harmless_text() {
        let text = format!("{HOSTILE} Привет, 世界 🚀");
        let bytes = [text.as_bytes(), b"\xff\xe4\xb8|\xf0\x9f"].concat();
        let wanted = format!("{}\u{fffd}\u{fffd}|\u{fffd}", shown(&text));
        for size in 1..bytes.len() {
            let (mut pieces, mut said) = (Pieces::default(), String::new());
            for piece in bytes.chunks(size) {
                said.push_str(&pieces.shown(piece));
            }
            said.push_str(&pieces.end());
            assert_eq!(said, wanted, "{size}");
        }
    }

    /// Whoever prints goes through this file.
    #[test]
    fn nothing_else_prints() {
        fn sources(dir: &std::path::Path, found: &mut Vec<std::path::PathBuf>) {
            for entry in std::fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => sources(&path, found),
                    false => found.push(path),
                }
            }
        }
        let mut found = Vec::new();
        sources(
            &std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
            &mut found,
        );
        for path in found {
            if path.ends_with("terminal.rs") || path.ends_with("progress.rs") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for (number, line) in text.lines().enumerate() {
                assert!(
                    !line.contains("print!(") && !line.contains("println!("),
                    "{}:{}: print with say! or note!",
                    path.display(),
                    number + 1
                );
            }
        }
    }
}
