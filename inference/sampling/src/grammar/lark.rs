//! The text of a grammar, token by token: nothing in it that is not of the part that we take, nothing that grows without bound.

use std::collections::HashMap;

use serde_json::Value;

use super::budget::{Budget, Fault, REPETITIONS};
use super::{pattern, schema};

/// Most tokens of a text.
const TOKENS: usize = 16_384;
/// How deep groups may nest.
const DEPTH: usize = 16;
/// Most alternatives, over the whole text.
const ALTERNATIVES: usize = 2_048;
/// Most rules and terminals.
const DEFINITIONS: usize = 1_024;

#[derive(Clone, Debug, PartialEq)]
enum Token {
    /// A rule (lower case) or a terminal.
    Name(String),
    /// A string of so many bytes, a range, a special token: what has a size by itself.
    Sized(u64),
    /// A schema: its size is counted by its own limits.
    Json,
    Colon,
    Bar,
    Open,
    Close,
    /// `*`, `+` or `?`.
    Often,
    /// `{n,m}`: at most so often.
    Repeat(u64),
    /// `[lazy]` or `[suffix="…"]`.
    Attribute,
    Newline,
}

/// A definition: what its positions are, and what it refers to how often.
#[derive(Debug, Default)]
struct Definition {
    own: u64,
    terminals: Vec<(String, u64)>,
}

pub fn check(text: &str, budget: &mut Budget) -> Result<(), Fault> {
    let scanner = Scanner {
        text,
        at: 0,
        budget: &mut *budget,
    };
    let tokens = scanner.tokens()?;
    if tokens.iter().filter(|token| **token == Token::Bar).count() > ALTERNATIVES {
        return Err(Fault::Limit {
            what: "alternatives",
            most: ALTERNATIVES as u64,
        });
    }
    let definitions = definitions(&tokens)?;
    let mut sizes = HashMap::new();
    for name in definitions.keys() {
        let size = size(name, &definitions, &mut sizes)?;
        budget.expand(size.positions)?;
    }
    Ok(())
}

struct Scanner<'t, 'b> {
    text: &'t str,
    at: usize,
    budget: &'b mut Budget,
}

impl<'t> Scanner<'t, '_> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn fault<T>(&self, what: &'static str) -> Result<T, Fault> {
        Err(Fault::Syntax { what, at: self.at })
    }

    fn tokens(mut self) -> Result<Vec<Token>, Fault> {
        let mut all = Vec::new();
        while let Some(token) = self.next()? {
            all.push(token);
            if all.len() > TOKENS {
                return Err(Fault::Limit {
                    what: "tokens",
                    most: TOKENS as u64,
                });
            }
        }
        Ok(all)
    }

    fn next(&mut self) -> Result<Option<Token>, Fault> {
        let blank = self
            .rest()
            .bytes()
            .take_while(|b| matches!(b, b' ' | b'\t'));
        self.at += blank.count();
        let Some(first) = self.rest().bytes().next() else {
            return Ok(None);
        };
        let single = match first {
            b'\n' => Some(Token::Newline),
            b':' => Some(Token::Colon),
            b'|' => Some(Token::Bar),
            b'(' => Some(Token::Open),
            b')' => Some(Token::Close),
            b'*' | b'+' | b'?' => Some(Token::Often),
            _ => None,
        };
        if let Some(token) = single {
            self.at += 1;
            return Ok(Some(token));
        }
        let token = match first {
            b'a'..=b'z' => self.name(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_')),
            b'A'..=b'Z' => self.name(|b| matches!(b, b'A'..=b'Z' | b'0'..=b'9' | b'_')),
            b'"' => self.string()?,
            b'/' => self.regex()?,
            b'<' => self.special()?,
            b'%' => self.json()?,
            b'{' => self.repeat()?,
            b'[' => self.attribute()?,
            _ => return self.fault("a character that has no meaning here"),
        };
        Ok(Some(token))
    }

    fn name(&mut self, part: impl Fn(u8) -> bool) -> Token {
        let length = self.rest().bytes().take_while(|b| part(*b)).count();
        let name = self.rest()[..length].to_owned();
        self.at += length;
        Token::Name(name)
    }

    /// A string, or a range of two characters.
    fn string(&mut self) -> Result<Token, Fault> {
        let size = self.quoted()?;
        let Some(after) = self.rest().strip_prefix("..") else {
            if self.rest().starts_with('i') {
                self.at += 1;
            }
            return Ok(Token::Sized(size));
        };
        if !after.starts_with('"') {
            return self.fault("a range without an end");
        }
        self.at += 2;
        self.quoted()?;
        Ok(Token::Sized(1))
    }

    /// The length of a string, which is read.
    fn quoted(&mut self) -> Result<u64, Fault> {
        let bytes = self.rest().as_bytes();
        let mut at = 1;
        loop {
            match bytes.get(at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    let digits = match bytes.get(at + 1) {
                        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 0,
                        Some(b'u') => 4,
                        Some(b'x') => 2,
                        _ => return self.fault("a string with an unknown escape"),
                    };
                    let hex = bytes.get(at + 2..at + 2 + digits);
                    if !hex.is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)) {
                        return self.fault("a string with a broken escape");
                    }
                    at += 2 + digits;
                }
                Some(0..=0x1f | 0x7f) | None => return self.fault("a string without an end"),
                Some(_) => at += 1,
            }
        }
        self.at += at + 1;
        Ok(at as u64 - 1)
    }

    fn regex(&mut self) -> Result<Token, Fault> {
        let mut escaped = false;
        let end = self.rest().bytes().skip(1).position(|b| {
            let ends = !escaped && matches!(b, b'/' | b'\n');
            escaped = !escaped && b == b'\\';
            ends
        });
        let end = match end {
            Some(end) if end > 0 && self.rest().as_bytes()[end + 1] == b'/' => end + 1,
            _ => return self.fault("a regular expression without an end"),
        };
        let inner = &self.text[self.at + 1..self.at + end];
        if inner.contains(['\n', '\r']) {
            return self.fault("a regular expression over several lines");
        }
        let flags = self.text[self.at + end + 1..].bytes();
        let flags: Vec<u8> = flags.take_while(u8::is_ascii_alphabetic).collect();
        let size = match flags.as_slice() {
            [] => pattern::check(inner, self.budget)?,
            b"i" => pattern::check(&format!("(?i){inner}"), self.budget)?,
            b"s" => pattern::check(&format!("(?s){inner}"), self.budget)?,
            _ => return self.fault("a regular expression with unknown flags"),
        };
        self.at += end + 1 + flags.len();
        Ok(Token::Sized(size))
    }

    fn special(&mut self) -> Result<Token, Fault> {
        // By number, a token would be one of this model alone, and a range of them a mask of its own making.
        let name = |b: &u8| !matches!(b, b'<' | b'>' | b'[' | b']' | b'"' | b'\\' | 0..=b' ' | 0x7f..=0xff);
        let length = self.rest().bytes().skip(1).take_while(name).count();
        if length == 0 || self.rest().as_bytes().get(length + 1) != Some(&b'>') {
            return self.fault("a token without a name");
        }
        self.at += length + 2;
        Ok(Token::Sized(1))
    }

    fn json(&mut self) -> Result<Token, Fault> {
        let Some(rest) = self.rest().strip_prefix("%json") else {
            return self.fault("a directive other than %json");
        };
        // Schemas that nest deeper than the library reads are refused by it, long before the stack ends.
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
        let Some(Ok(value)) = values.next() else {
            return self.fault("%json without a schema");
        };
        let length = values.byte_offset();
        if !value.is_object() {
            return self.fault("%json with something else than an object");
        }
        schema::check(&value, self.budget)?;
        self.at += "%json".len() + length;
        Ok(Token::Json)
    }

    /// `{n}`, `{n,}`, `{n,m}` or `{,m}`.
    fn repeat(&mut self) -> Result<Token, Fault> {
        let Some((inner, _)) = self.rest()[1..].split_once('}') else {
            return self.fault("a repetition without an end");
        };
        let length = inner.len() + 2;
        let number = |text: &str| match text.bytes().all(|b| b.is_ascii_digit()) && text.len() < 10
        {
            true => text.parse::<u64>().ok(),
            false => None,
        };
        let bounds = match inner.split_once(',') {
            None => number(inner).map(|n| (n, n)),
            Some(("", "")) => None,
            Some((least, "")) => number(least).map(|n| (n, n + 1)),
            Some(("", most)) => number(most).map(|n| (0, n)),
            Some((least, most)) => number(least).zip(number(most)),
        };
        let Some((least, most)) = bounds.filter(|(least, most)| *most > 0 && least <= most) else {
            return self.fault("a repetition that is none");
        };
        if least.max(most) > REPETITIONS {
            return Err(Fault::Limit {
                what: "repetitions of one thing",
                most: REPETITIONS,
            });
        }
        self.at += length;
        Ok(Token::Repeat(most))
    }

    fn attribute(&mut self) -> Result<Token, Fault> {
        if let Some(rest) = self.rest().strip_prefix("[lazy]") {
            self.at = self.text.len() - rest.len();
            return Ok(Token::Attribute);
        }
        let Some(rest) = self.rest().strip_prefix("[suffix=") else {
            return self.fault("an attribute other than lazy and suffix");
        };
        self.at = self.text.len() - rest.len();
        if !rest.starts_with('"') {
            return self.fault("a suffix that is no string");
        }
        self.quoted()?;
        if !self.rest().starts_with(']') {
            return self.fault("an attribute without an end");
        }
        self.at += 1;
        Ok(Token::Attribute)
    }
}

/// The definitions of a text, which are all that it holds.
fn definitions(tokens: &[Token]) -> Result<HashMap<String, Definition>, Fault> {
    let mut all = HashMap::new();
    let mut rest = tokens;
    loop {
        while let [Token::Newline, after @ ..] = rest {
            rest = after;
        }
        let (name, body) = match rest {
            [] => return Ok(all),
            [Token::Name(name), Token::Colon, body @ ..]
            | [Token::Name(name), Token::Attribute, Token::Colon, body @ ..] => (name, body),
            _ => return Err(Fault::Structure("something that is no definition")),
        };
        let length = body_length(body);
        let definition = definition(&body[..length]).map_err(Fault::Structure)?;
        rest = &body[length..];
        if all.insert(name.clone(), definition).is_some() {
            return Err(Fault::Structure("a name that is defined twice"));
        }
        if all.len() > DEFINITIONS {
            return Err(Fault::Limit {
                what: "rules and terminals",
                most: DEFINITIONS as u64,
            });
        }
    }
}

/// Tokens up to a line's end behind which no alternative follows.
fn body_length(body: &[Token]) -> usize {
    let ends = |at: &usize| body[*at] == Token::Newline && body.get(at + 1) != Some(&Token::Bar);
    (0..body.len()).find(ends).unwrap_or(body.len())
}

/// What a definition's body comes to; the first of the open groups is the body itself.
fn definition(body: &[Token]) -> Result<Definition, &'static str> {
    let mut open: Vec<Definition> = vec![Definition::default()];
    // What a repetition behind it repeats.
    let mut last: Option<Definition> = None;
    for token in body {
        let top = open.last_mut().ok_or("a group that was not opened")?;
        match token {
            Token::Often => {
                let last = last.as_mut().ok_or("a repetition of nothing")?;
                last.own = last.own.saturating_add(1);
                continue;
            }
            Token::Repeat(most) => {
                last.as_mut()
                    .ok_or("a repetition of nothing")?
                    .repeat(*most);
                continue;
            }
            _ => top.add(last.take()),
        }
        match token {
            Token::Name(name) => {
                let mut one = Definition::default();
                // A rule counts by itself, wherever it is used.
                match name.starts_with(|c: char| c.is_ascii_uppercase()) {
                    true => one.terminals.push((name.clone(), 1)),
                    false => one.own = 1,
                }
                last = Some(one);
            }
            Token::Sized(own) => {
                last = Some(Definition {
                    own: *own,
                    terminals: Vec::new(),
                });
            }
            Token::Json => {
                last = Some(Definition {
                    own: 1,
                    terminals: Vec::new(),
                });
            }
            Token::Open => {
                open.push(Definition::default());
                if open.len() > DEPTH {
                    return Err("groups that nest too deep");
                }
            }
            Token::Close => {
                last = open.pop();
                if open.is_empty() {
                    return Err("a group that was not opened");
                }
            }
            Token::Bar | Token::Newline => {}
            Token::Colon | Token::Attribute | Token::Often | Token::Repeat(_) => {
                return Err("something that stands in no definition");
            }
        }
    }
    let mut whole = open.pop().ok_or("a group that was not opened")?;
    whole.add(last);
    match open.is_empty() {
        true => Ok(whole),
        false => Err("a group that is not closed"),
    }
}

impl Definition {
    fn add(&mut self, other: Option<Self>) {
        let Some(other) = other else {
            return;
        };
        self.own = self.own.saturating_add(other.own);
        self.terminals.extend(other.terminals);
    }

    fn repeat(&mut self, most: u64) {
        self.own = self.own.saturating_mul(most);
        for (_, times) in &mut self.terminals {
            *times = times.saturating_mul(most);
        }
    }
}

/// What a definition comes to.
#[derive(Clone, Copy)]
struct Size {
    /// With the terminals that it is made of written out.
    positions: u64,
    /// Levels of terminals in it.
    levels: usize,
}

/// The size of a definition. A terminal can't hold itself; `None` marks those that are being counted.
fn size(
    name: &str,
    all: &HashMap<String, Definition>,
    known: &mut HashMap<String, Option<Size>>,
) -> Result<Size, Fault> {
    match known.get(name) {
        Some(Some(size)) => return Ok(*size),
        Some(None) => return Err(Fault::Structure("a terminal that holds itself")),
        None => known.insert(name.to_owned(), None),
    };
    let definition = all
        .get(name)
        .ok_or(Fault::Structure("a terminal that is not defined"))?;
    let mut sum = Size {
        positions: definition.own,
        levels: 0,
    };
    for (terminal, times) in &definition.terminals {
        let one = size(terminal, all, known)?;
        let written = one.positions.saturating_mul(*times);
        sum.positions = sum.positions.saturating_add(written);
        sum.levels = sum.levels.max(one.levels + 1);
    }
    // Whatever is counted first: the same texts are taken everywhere.
    if sum.levels > DEPTH {
        return Err(Fault::Limit {
            what: "levels of terminals in terminals",
            most: DEPTH as u64,
        });
    }
    known.insert(name.to_owned(), Some(sum));
    Ok(sum)
}
