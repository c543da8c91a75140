//! Texts as Telegram takes them: with entities in UTF-16 units and without a parse mode, so that no mark in an answer can make a message
//! that is refused. Pure.

use serde::Serialize;
use unicode_segmentation::UnicodeSegmentation;

/// Longest text of a message, UTF-16 units.
pub const MESSAGE: usize = 4_096;
/// Most entities of a message; Telegram drops those beyond a hundred.
const ENTITIES: usize = 100;
/// Longest piece of a stranger's text in a line of ours, characters.
const FOREIGN: usize = 200;

/// What an entity does to its part of the text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Style {
    Bold,
    Code,
    Pre {
        /// Of a block of code; empty where none was named.
        #[serde(skip_serializing_if = "String::is_empty")]
        language: String,
    },
    TextLink {
        url: String,
    },
}

/// A part of a text that looks different.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entity {
    #[serde(flatten)]
    pub style: Style,
    /// UTF-16 units before it.
    pub offset: usize,
    /// UTF-16 units of it.
    pub length: usize,
}

impl Entity {
    fn end(&self) -> usize {
        self.offset + self.length
    }
}

/// A text with its entities.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text {
    pub text: String,
    pub entities: Vec<Entity>,
}

/// Length of a text as Telegram counts it.
pub fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

impl Text {
    /// A text without entities.
    pub fn plain(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            entities: Vec::new(),
        }
    }

    /// Adds a plain piece.
    pub fn say(mut self, piece: &str) -> Self {
        self.text.push_str(piece);
        self
    }

    /// Adds a bold piece.
    pub fn bold(self, piece: &str) -> Self {
        self.styled(piece, Style::Bold)
    }

    /// Adds a piece that is copied by a tap: an address, a signature.
    pub fn code(self, piece: &str) -> Self {
        self.styled(piece, Style::Code)
    }

    /// Adds a link.
    pub fn link(self, piece: &str, url: &str) -> Self {
        self.styled(piece, Style::TextLink { url: url.into() })
    }

    fn styled(mut self, piece: &str, style: Style) -> Self {
        self.push(piece, style);
        self
    }

    fn push(&mut self, piece: &str, style: Style) {
        let length = units(piece);
        if length > 0 {
            self.entities.push(Entity {
                style,
                offset: units(&self.text),
                length,
            });
            self.text.push_str(piece);
        }
    }
}

/// Whether a character turns the direction of the text around it.
fn turns(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether nothing of a text can be seen: Telegram takes no such message.
fn is_blank(text: &str) -> bool {
    let is_unseen = |c: char| {
        c.is_whitespace()
            || c.is_control()
            || turns(c)
            || matches!(
                c,
                '\u{ad}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'
                    ..='\u{180e}'
            )
            || matches!(c, '\u{200b}'..='\u{200d}' | '\u{2028}' | '\u{2029}' | '\u{2060}'..='\u{206f}' | '\u{2800}')
            || matches!(c, '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{e0000}'..='\u{e0fff}')
    };
    text.chars().all(is_unseen)
}

/// A stranger's text in a line of ours: one line, of bounded length, that turns nothing around it.
pub fn foreign(text: &str) -> String {
    let kept: String = text
        .chars()
        .map(|c| if c.is_whitespace() { ' ' } else { c })
        .filter(|c| !c.is_control() && !turns(*c))
        .take(FOREIGN)
        .collect();
    format!("\u{2068}{}\u{2069}", kept.trim())
}

/// An answer as it is shown: blocks of code, code in a line and bold words look like that; every other mark stays as it was written.
pub fn answer(text: &str) -> Text {
    let clean: String = text
        .chars()
        .filter(|c| !c.is_control() || matches!(c, '\n' | '\t'))
        .collect();
    let mut out = Text::default();
    let mut rest = clean.as_str();
    while let Some(at) = rest.find("```") {
        let (before, fence) = rest.split_at(at);
        let inside = fence.get(3..).unwrap_or_default();
        let Some((head, end)) = inside.split_once('\n').and_then(|(head, body)| {
            let is_language = head.len() <= 30
                && head
                    .trim()
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "+-#._".contains(c));
            let end = body.find("\n```")?;
            is_language.then_some((head, end))
        }) else {
            // A fence that nothing closes is text.
            inline(&mut out, before);
            out.text.push_str("```");
            rest = inside;
            continue;
        };
        inline(&mut out, before);
        let body_at = head.len() + 1;
        let body = inside.get(body_at..body_at + end).unwrap_or_default();
        let language = head.trim().to_owned();
        out.push(body, Style::Pre { language });
        rest = inside.get(body_at + end + 4..).unwrap_or_default();
    }
    inline(&mut out, rest);
    if is_blank(&out.text) {
        return Text::plain("(an answer without text)");
    }
    out
}

/// Code and bold words of a piece without blocks of code.
fn inline(out: &mut Text, piece: &str) {
    let mut rest = piece;
    while let Some(at) = rest.find(['`', '*']) {
        let (before, marked) = rest.split_at(at);
        out.text.push_str(before);
        let (mark, style) = match marked.starts_with('`') {
            true => ("`", Style::Code),
            false => ("**", Style::Bold),
        };
        let inner = marked.strip_prefix(mark).and_then(|inside| {
            let inner = inside.get(..inside.find(mark)?)?;
            let is_word = !inner.is_empty()
                && !inner.contains('\n')
                && inner.trim() == inner
                && out.entities.len() < ENTITIES;
            is_word.then_some(inner)
        });
        match inner {
            Some(inner) => {
                out.push(inner, style);
                let taken = mark.len() * 2 + inner.len();
                rest = marked.get(taken..).unwrap_or_default();
            }
            None => {
                let mut chars = marked.chars();
                out.text.extend(chars.next());
                rest = chars.as_str();
            }
        }
    }
    out.text.push_str(rest);
}

/// A place where a text may be cut, and how well.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// Bytes and UTF-16 units before it.
    byte: usize,
    unit: usize,
    /// Behind a line, behind a word, between two graphemes.
    quality: u8,
    /// Inside an entity.
    inside: bool,
}

/// The places between the graphemes of a text; those of a grapheme that is longer than a message are between its characters.
fn places(text: &Text, limit: usize) -> Vec<Place> {
    let mut entities = text.entities.iter().peekable();
    let mut places = Vec::new();
    let (mut byte, mut unit) = (0, 0);
    let mut add = |piece: &str| {
        byte += piece.len();
        unit += units(piece);
        while entities.next_if(|one| one.end() <= unit).is_some() {}
        places.push(Place {
            byte,
            unit,
            quality: match piece {
                "\n" | "\r\n" => 2,
                _ if piece.chars().all(char::is_whitespace) => 1,
                _ => 0,
            },
            inside: entities.peek().is_some_and(|one| one.offset < unit),
        });
    };
    for grapheme in text.text.graphemes(true) {
        if units(grapheme) <= limit {
            add(grapheme);
        } else {
            let mut buffer = [0; 4];
            for c in grapheme.chars() {
                add(c.encode_utf8(&mut buffer));
            }
        }
    }
    places
}

/// A text in parts of at most `limit` units, none of which cuts a grapheme. An entity is cut only where it is longer than a part, and is
/// one in each part then. Parts in which nothing can be seen are left out, because Telegram takes none.
pub fn split(text: &Text, limit: usize) -> Vec<Text> {
    let places = places(text, limit);
    let mut parts = Vec::new();
    let (mut from, mut next) = ((0, 0), 0);
    while let Some(rest) = places.get(next..).filter(|rest| !rest.is_empty()) {
        let fits = rest.partition_point(|place| place.unit - from.1 <= limit);
        let chosen = match fits == rest.len() {
            true => fits - 1,
            false => best(rest.get(..fits).unwrap_or_default(), from.1, limit),
        };
        let Some(end) = rest.get(chosen) else { break };
        let part = slice(text, from, (end.byte, end.unit));
        if !is_blank(&part.text) {
            parts.push(part);
        }
        from = (end.byte, end.unit);
        next += chosen + 1;
    }
    parts
}

/// Where to cut among the places that fit: outside entities before inside, behind a line before behind a word before anywhere, and of
/// lines and words only those that leave no part less than half full.
fn best(places: &[Place], from: usize, limit: usize) -> usize {
    let rank = |place: &Place| match place.unit - from >= limit / 2 {
        true => (!place.inside, place.quality, place.unit),
        // A short part is better than a cut entity.
        false => (!place.inside, 0, place.unit),
    };
    let ranked = places
        .iter()
        .enumerate()
        .max_by_key(|(_, place)| rank(place));
    ranked.map_or(0, |(at, _)| at)
}

/// What of a text and of its entities lies between two places, in bytes and units.
fn slice(text: &Text, from: (usize, usize), to: (usize, usize)) -> Text {
    let entities = text.entities.iter().filter_map(|entity| {
        let (offset, end) = (entity.offset.max(from.1), entity.end().min(to.1));
        (offset < end).then(|| Entity {
            style: entity.style.clone(),
            offset: offset - from.1,
            length: end - offset,
        })
    });
    Text {
        text: text.text.get(from.0..to.0).unwrap_or_default().to_owned(),
        entities: entities.take(ENTITIES).collect(),
    }
}

/// A text that fits a message: what is too long is cut.
pub fn fitted(text: Text) -> Text {
    if units(&text.text) <= MESSAGE {
        return text;
    }
    let mut parts = split(&text, MESSAGE).into_iter();
    parts.next().unwrap_or_else(|| Text::plain("…"))
}

/// What is shown of a text while it grows: its last part, with a mark that there is more above it.
pub fn tail(text: &Text) -> Text {
    let mut parts = split(text, MESSAGE - 2);
    let Some(last) = parts.pop() else {
        return Text::plain("…");
    };
    if parts.is_empty() {
        return last;
    }
    let entities = last.entities.into_iter().map(|entity| Entity {
        offset: entity.offset + 2,
        ..entity
    });
    Text {
        entities: entities.collect(),
        text: format!("…\n{}", last.text),
    }
}

/// Lamports as SOL without zeroes at the end, and as lamports.
pub fn money(lamports: u64) -> String {
    format!("{} SOL ({lamports} lamports)", sol(lamports))
}

/// Lamports as SOL without zeroes at the end.
pub fn sol(lamports: u64) -> String {
    let text = format!(
        "{}.{:09}",
        lamports / 1_000_000_000,
        lamports % 1_000_000_000
    );
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// An amount as a person types it: SOL with up to nine places, or lamports with the word behind them. `None` where it is neither, or more
/// than there is.
pub fn amount(text: &str) -> Option<u64> {
    let text = text.trim();
    if let Some(lamports) = text.strip_suffix("lamports") {
        return lamports.trim().parse().ok();
    }
    let text = text.strip_suffix("SOL").unwrap_or(text).trim();
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |digits: &str| digits.bytes().all(|b| b.is_ascii_digit());
    if (whole.is_empty() && part.is_empty())
        || !is_number(whole)
        || !is_number(part)
        || part.len() > 9
    {
        return None;
    }
    let whole: u64 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let part: u64 = format!("{part:0<9}").parse().ok()?;
    whole.checked_mul(1_000_000_000)?.checked_add(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What holds for the parts of every text.
    fn check(text: &Text, limit: usize) -> Vec<Text> {
        let parts = split(text, limit);
        for part in &parts {
            assert!(units(&part.text) <= limit && !part.text.trim().is_empty());
            for entity in &part.entities {
                assert!(entity.length > 0 && entity.end() <= units(&part.text));
            }
        }
        let joined: String = parts.iter().map(|part| part.text.as_str()).collect();
        let visible = |text: &str| text.split_whitespace().collect::<String>();
        assert_eq!(visible(&joined), visible(&text.text), "nothing is lost");
        parts
    }

    #[test]
    fn marks_become_entities_and_broken_ones_stay_text() {
        let shown = answer("a **b** `c` *d* **e\n```rust\nlet x = 1;\n```\nend ``` `");
        assert_eq!(shown.text, "a b c *d* **e\nlet x = 1;\nend ``` `");
        let styles: Vec<&Style> = shown.entities.iter().map(|one| &one.style).collect();
        let language = "rust".to_owned();
        assert_eq!(
            styles,
            [&Style::Bold, &Style::Code, &Style::Pre { language }]
        );
        for broken in [
            "**", "`", "```", "```\n", "****", "``", "* *", "```a\nb", "**a", "\u{0}",
        ] {
            assert!(!answer(broken).text.is_empty(), "{broken:?}");
        }
        assert_eq!(answer("2 * 3 ** 4 * 5").text, "2 * 3 ** 4 * 5");
        for unseen in [" \n", "\u{200b}\u{2060}", "\u{fe0f}\u{3164}\u{202e}"] {
            assert_eq!(answer(unseen).text, "(an answer without text)");
        }
        assert_eq!(answer("\u{200b}a").text, "\u{200b}a");
    }

    #[test]
    fn offsets_are_utf_16_units() {
        let shown = answer("👍🏽 **жирно** مرحبا `код`");
        let of = |entity: &Entity| {
            let all: Vec<u16> = shown.text.encode_utf16().collect();
            String::from_utf16(&all[entity.offset..entity.end()]).unwrap()
        };
        let marked: Vec<String> = shown.entities.iter().map(of).collect();
        assert_eq!(marked, ["жирно", "код"]);
    }

    #[test]
    fn parts_end_behind_lines_and_words_and_cut_no_grapheme() {
        let lines = Text::plain("one two three\n".repeat(100));
        for part in check(&lines, 100) {
            assert!(part.text.ends_with('\n'), "{:?}", part.text);
        }
        let words = Text::plain("word ".repeat(100));
        assert!(
            check(&words, 99)
                .iter()
                .all(|part| part.text.ends_with(' '))
        );
        // A family is one grapheme of eleven units.
        let family = "👨‍👩‍👧‍👦";
        let families = Text::plain(family.repeat(50));
        for part in check(&families, 40) {
            assert_eq!(part.text.len() % family.len(), 0);
        }
        // One that no message holds is cut between its characters.
        let tower = Text::plain(format!("a{}", "\u{301}".repeat(500)));
        assert!(check(&tower, 100).len() > 5);
    }

    #[test]
    fn an_entity_that_fits_a_part_is_never_cut_and_a_longer_one_is_one_in_each() {
        let text = Text::plain("x".repeat(60)).bold(&"b".repeat(60)).say("end");
        let parts = check(&text, 100);
        assert_eq!(parts.len(), 2);
        assert!(parts[0].entities.is_empty());
        assert_eq!(
            (parts[1].entities[0].offset, parts[1].entities[0].length),
            (0, 60)
        );
        let code = answer(&format!("```\n{}\n```", "line of code\n".repeat(50)));
        let parts = check(&code, 100);
        assert!(parts.len() > 5);
        assert!(parts.iter().all(|part| part.entities.len() == 1));
    }

    #[test]
    fn what_is_too_long_for_a_message_is_cut() {
        let short = Text::default().bold("short");
        assert_eq!(fitted(short.clone()), short);
        let long = fitted(Text::plain("word ".repeat(2_000)));
        assert!(units(&long.text) <= MESSAGE && long.text.ends_with(' '));
        assert_eq!(fitted(Text::plain(" ".repeat(5_000))).text, "…");
    }

    #[test]
    fn what_grows_is_shown_by_its_end() {
        assert_eq!(tail(&Text::plain("short")).text, "short");
        let long = tail(&Text::plain("word ".repeat(2_000)));
        assert!(long.text.starts_with("…\n") && units(&long.text) <= MESSAGE);
    }

    #[test]
    fn a_strangers_name_turns_nothing_and_breaks_no_line() {
        assert_eq!(foreign("a\u{202e}b\nc\u{2066}"), "\u{2068}ab c\u{2069}");
        assert!(foreign(&"x".repeat(10_000)).len() < 300);
    }

    #[test]
    fn amounts_are_read_and_written_exactly() {
        assert_eq!(
            (sol(0), sol(1), sol(1_500_000_000)),
            ("0".into(), "0.000000001".into(), "1.5".into())
        );
        assert_eq!(money(1_000), "0.000001 SOL (1000 lamports)");
        for (text, lamports) in [
            ("1.5", Some(1_500_000_000)),
            (".5 SOL", Some(500_000_000)),
            ("0", Some(0)),
            ("1500 lamports", Some(1_500)),
            ("0.0000000001", None),
            ("1,5", None),
            ("-1", None),
            (".", None),
            ("", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(amount(text), lamports, "{text}");
        }
    }
}
