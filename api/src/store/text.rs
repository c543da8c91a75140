//! Text as PostgreSQL can hold it. Its strings, JSON among them, have no U+0000; answers may. Such a character is written as the
//! noncharacter U+FDD0 and a digit, and the noncharacter itself likewise, so that what is read is what was written.

use serde::{Deserialize, Deserializer, Serializer};

const MARK: char = '\u{FDD0}';

fn hold(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\0' => out.extend([MARK, '0']),
            MARK => out.extend([MARK, '1']),
            c => out.push(c),
        }
    }
    out
}

fn release(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            (MARK, Some('0')) => {
                chars.next();
                out.push('\0');
            }
            (MARK, Some('1')) => {
                chars.next();
                out.push(MARK);
            }
            (c, _) => out.push(c),
        }
    }
    out
}

/// For `#[serde(with = "store::text")]` on fields that are kept as JSON.
pub fn serialize<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    if text.contains(['\0', MARK]) {
        serializer.serialize_str(&hold(text))
    } else {
        serializer.serialize_str(text)
    }
}

/// The counterpart of [`serialize`].
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok(if text.contains(MARK) {
        release(&text)
    } else {
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_what_was_written_and_the_database_can_hold_it() {
        for text in [
            "",
            "plain",
            "\0",
            "a\0b\0",
            "\u{FDD0}",
            "\u{FDD0}0",
            "\0\u{FDD0}1\u{FFFD}",
            "\u{FDD0}\u{FDD0}",
        ] {
            let held = hold(text);
            assert!(!held.contains('\0'), "{text:?}");
            assert_eq!(release(&held), text, "{text:?}");
        }
    }
}
