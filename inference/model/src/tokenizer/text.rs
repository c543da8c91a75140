//! From tokens back to text: characters that come whole, and stop strings across token boundaries.

use super::Tokenizer;

/// Bytes in, whole characters out.
#[derive(Clone, Debug, Default)]
struct Utf8Buffer {
    pending: Vec<u8>,
}

impl Utf8Buffer {
    fn push(&mut self, bytes: &[u8]) -> String {
        self.pending.extend_from_slice(bytes);
        let mut out = String::new();
        loop {
            match std::str::from_utf8(&self.pending) {
                Ok(text) => {
                    out.push_str(text);
                    self.pending.clear();
                    return out;
                }
                Err(error) => {
                    let valid = error.valid_up_to();
                    out.push_str(&String::from_utf8_lossy(&self.pending[..valid]));
                    match error.error_len() {
                        // Bytes that no continuation can mend.
                        Some(bad) => {
                            out.push('\u{fffd}');
                            self.pending.drain(..valid + bad);
                        }
                        None => {
                            self.pending.drain(..valid);
                            return out;
                        }
                    }
                }
            }
        }
    }

    fn finish(&mut self) -> String {
        let out = String::from_utf8_lossy(&self.pending).into_owned();
        self.pending.clear();
        out
    }
}

/// Decodes token by token; a character that is spread over tokens comes with the last of them.
pub struct DecodeStream<'a> {
    tokenizer: &'a Tokenizer,
    bytes: Utf8Buffer,
}

impl<'a> DecodeStream<'a> {
    /// Decodes with this vocabulary, from the beginning of a text.
    pub fn new(tokenizer: &'a Tokenizer) -> Self {
        Self {
            tokenizer,
            bytes: Utf8Buffer::default(),
        }
    }

    /// Adds a token; the text that is complete now, perhaps empty.
    pub fn push(&mut self, id: u32) -> String {
        self.bytes.push(self.tokenizer.piece(id))
    }

    /// What is left: an unfinished character becomes U+FFFD.
    pub fn finish(&mut self) -> String {
        self.bytes.finish()
    }
}

/// Watches decoded text for stop strings, holding back what might become one.
#[derive(Clone, Debug, Default)]
pub struct StopMatcher {
    stops: Vec<String>,
    held: String,
}

/// What a [`StopMatcher`] makes of some text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matched {
    /// Text that may be shown: it can no longer be part of a stop string.
    pub text: String,
    /// A stop string is complete: generation ends, and neither it nor what follows is shown.
    pub stopped: bool,
}

impl StopMatcher {
    /// A matcher of these strings; empty ones are ignored.
    pub fn new(stops: Vec<String>) -> Self {
        Self {
            stops: stops.into_iter().filter(|s| !s.is_empty()).collect(),
            held: String::new(),
        }
    }

    /// Adds text.
    pub fn push(&mut self, text: &str) -> Matched {
        self.held.push_str(text);
        let first = self
            .stops
            .iter()
            .filter_map(|stop| self.held.find(stop.as_str()))
            .min();
        if let Some(at) = first {
            self.held.truncate(at);
            return Matched {
                text: std::mem::take(&mut self.held),
                stopped: true,
            };
        }
        let keep = self
            .stops
            .iter()
            .map(|stop| {
                (1..stop.len())
                    .rev()
                    .find(|n| stop.is_char_boundary(*n) && self.held.ends_with(&stop[..*n]))
                    .unwrap_or(0)
            })
            .max()
            .unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - keep);
        Matched {
            text: std::mem::replace(&mut self.held, rest),
            stopped: false,
        }
    }

    /// The text still held back, once no more will come.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

/// Decoder and stop matcher of one generation, owning its state so that it can live in a queue.
#[derive(Clone, Debug, Default)]
pub struct TextStream {
    bytes: Utf8Buffer,
    stops: StopMatcher,
}

impl TextStream {
    pub fn new(stops: Vec<String>) -> Self {
        Self {
            bytes: Utf8Buffer::default(),
            stops: StopMatcher::new(stops),
        }
    }

    pub fn push(&mut self, piece: &[u8]) -> Matched {
        let text = self.bytes.push(piece);
        self.stops.push(&text)
    }

    pub fn finish(&mut self) -> Matched {
        let tail = self.bytes.finish();
        let mut matched = self.stops.push(&tail);
        if !matched.stopped {
            matched.text.push_str(&self.stops.finish());
        }
        matched
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_come_whole_and_broken_ones_are_replaced() {
        let mut b = Utf8Buffer::default();
        let snow = "☃".as_bytes();
        assert_eq!(b.push(&snow[..1]), "");
        assert_eq!(b.push(&snow[1..]), "☃");
        assert_eq!(b.push(&[b'a', 0xff, b'b', 0xe2]), "a\u{fffd}b");
        assert_eq!(b.push(b"c"), "\u{fffd}c");
        assert_eq!(b.push(&[0xf0, 0x9f]), "");
        assert_eq!(b.finish(), "\u{fffd}");
        assert_eq!(b.finish(), "");
    }

    #[test]
    fn a_stop_string_is_found_across_pushes_and_never_shown() {
        let mut m = StopMatcher::new(vec!["END".into(), "\n\n".into(), String::new()]);
        assert_eq!(m.push("a E").text, "a ");
        assert_eq!(m.push("N").text, "");
        let hit = m.push("D and more");
        assert_eq!((hit.text.as_str(), hit.stopped), ("", true));

        let mut m = StopMatcher::new(vec!["END".into(), "\n\n".into()]);
        assert_eq!(m.push("xEN").text, "x");
        assert_eq!(m.push("ough\n").text, "ENough");
        assert_eq!(m.finish(), "\n");
    }

    #[test]
    fn the_earliest_of_several_stop_strings_wins() {
        let mut m = StopMatcher::new(vec!["later".into(), "first".into()]);
        let hit = m.push("the first, later");
        assert_eq!((hit.text.as_str(), hit.stopped), ("the ", true));
    }

    #[test]
    fn stop_strings_of_several_bytes_a_character_do_not_panic() {
        let mut m = StopMatcher::new(vec!["☃☃".into()]);
        assert_eq!(m.push("é☃").text, "é");
        assert!(m.push("☃").stopped);
    }
}
