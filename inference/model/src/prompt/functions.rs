//! What Hugging Face gives chat templates beside Jinja: `raise_exception`, `strftime_now`, `tojson`, and Python's way to print lists and
//! maps.

use std::fmt::{self, Write as _};

use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, escape_formatter};
use time::{Month, OffsetDateTime, Weekday};

use super::marks::is_private;

/// Values within values that are written.
const DEEPEST: usize = 64;

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

/// Adds them to an environment; `clock` says what time it is, in UTC.
pub(super) fn add(templates: &mut Environment<'static>, clock: fn() -> OffsetDateTime) {
    templates.add_function("raise_exception", |message: String| {
        Err::<String, _>(invalid(message))
    });
    templates.add_function("strftime_now", move |format: String| {
        strftime(&format, clock())
    });
    templates.add_filter("tojson", tojson);
    templates.add_filter("string", |value: Value| match value.kind() {
        ValueKind::Seq | ValueKind::Map => {
            let mut out = String::new();
            print(&value, 0, &mut out)?;
            Ok::<Value, Error>(Value::from(out))
        }
        ValueKind::String => Ok(value),
        _ => Ok(Value::from(value.to_string())),
    });
    templates.set_formatter(|out, state, value| match value.kind() {
        ValueKind::Seq | ValueKind::Map => print(value, 0, out),
        _ => escape_formatter(out, state, value),
    });
}

/// Writes a value as Python prints it within a list or map, and lists and maps themselves.
fn print<W: fmt::Write>(value: &Value, depth: usize, out: &mut W) -> Result<(), Error> {
    if depth > DEEPEST {
        return Err(invalid(format!("more than {DEEPEST} levels are printed")));
    }
    let comma = |at: usize| if at > 0 { ", " } else { "" };
    match value.kind() {
        ValueKind::Seq => {
            out.write_char('[')?;
            for (at, item) in value.try_iter()?.enumerate() {
                out.write_str(comma(at))?;
                print(&item, depth + 1, out)?;
            }
            out.write_char(']')?;
        }
        ValueKind::Map => {
            out.write_char('{')?;
            for (at, key) in value.try_iter()?.enumerate() {
                out.write_str(comma(at))?;
                print(&key, depth + 1, out)?;
                out.write_str(": ")?;
                print(&value.get_item(&key)?, depth + 1, out)?;
            }
            out.write_char('}')?;
        }
        _ => match value.as_str() {
            Some(text) => print_text(text, out)?,
            None => write!(out, "{value}")?,
        },
    }
    Ok(())
}

/// A text in Python's quotes.
fn print_text<W: fmt::Write>(text: &str, out: &mut W) -> fmt::Result {
    let quote = match text.contains('\'') && !text.contains('"') {
        true => '"',
        false => '\'',
    };
    out.write_char(quote)?;
    for c in text.chars() {
        match c {
            '\\' => out.write_str("\\\\")?,
            '\n' => out.write_str("\\n")?,
            '\r' => out.write_str("\\r")?,
            '\t' => out.write_str("\\t")?,
            _ if c == quote => write!(out, "\\{c}")?,
            _ if c.is_control() || (c.is_whitespace() && c != ' ') => match u32::from(c) {
                code @ ..=0xff => write!(out, "\\x{code:02x}")?,
                code @ ..=0xffff => write!(out, "\\u{code:04x}")?,
                code => write!(out, "\\U{code:08x}")?,
            },
            _ => out.write_char(c)?,
        }
    }
    out.write_char(quote)
}

/// The time in a format of C's and Python's `strftime`, in English.
fn strftime(format: &str, now: OffsetDateTime) -> Result<String, Error> {
    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let (plain, code) = match chars.next() {
            Some('-') => (true, chars.next()),
            code => (false, code),
        };
        let code = code.ok_or_else(|| invalid("strftime_now: the format ends in a lone `%`"))?;
        let hour = match now.hour() % 12 {
            0 => 12,
            hour => hour,
        };
        let (number, width): (i64, usize) = match code {
            'd' => (now.day().into(), 2),
            'm' => (u8::from(now.month()).into(), 2),
            'y' => (i64::from(now.year()).rem_euclid(100), 2),
            'Y' => (now.year().into(), 4),
            'H' => (now.hour().into(), 2),
            'I' => (hour.into(), 2),
            'M' => (now.minute().into(), 2),
            'S' => (now.second().into(), 2),
            'f' => (now.microsecond().into(), 6),
            'j' => (now.ordinal().into(), 3),
            'u' => (now.weekday().number_from_monday().into(), 1),
            'w' => (now.weekday().number_days_from_sunday().into(), 1),
            's' => (now.unix_timestamp(), 1),
            _ => {
                out.push_str(&text_of(code, now)?);
                continue;
            }
        };
        let width = if plain { 1 } else { width };
        // Writing to a string cannot fail.
        let _ = write!(out, "{number:0width$}");
    }
    Ok(out)
}

/// What a code stands for that is no single number.
fn text_of(code: char, now: OffsetDateTime) -> Result<String, Error> {
    let all = |format: &str| strftime(format, now);
    let short = |name: String| name.chars().take(3).collect();
    Ok(match code {
        'A' => weekday(now.weekday()).to_owned(),
        'a' => short(weekday(now.weekday()).to_owned()),
        'B' => month(now.month()).to_owned(),
        'b' | 'h' => short(month(now.month()).to_owned()),
        'e' => format!("{:2}", now.day()),
        'p' => if now.hour() < 12 { "AM" } else { "PM" }.to_owned(),
        'Z' => "UTC".to_owned(),
        'z' => "+0000".to_owned(),
        'D' | 'x' => all("%m/%d/%y")?,
        'F' => all("%Y-%m-%d")?,
        'T' | 'X' => all("%H:%M:%S")?,
        'R' => all("%H:%M")?,
        'c' => all("%a %b %e %H:%M:%S %Y")?,
        'n' => "\n".to_owned(),
        't' => "\t".to_owned(),
        '%' => "%".to_owned(),
        other => return Err(invalid(format!("strftime_now: `%{other}` is not known"))),
    })
}

fn weekday(day: Weekday) -> &'static str {
    match day {
        Weekday::Monday => "Monday",
        Weekday::Tuesday => "Tuesday",
        Weekday::Wednesday => "Wednesday",
        Weekday::Thursday => "Thursday",
        Weekday::Friday => "Friday",
        Weekday::Saturday => "Saturday",
        Weekday::Sunday => "Sunday",
    }
}

fn month(month: Month) -> &'static str {
    match month {
        Month::January => "January",
        Month::February => "February",
        Month::March => "March",
        Month::April => "April",
        Month::May => "May",
        Month::June => "June",
        Month::July => "July",
        Month::August => "August",
        Month::September => "September",
        Month::October => "October",
        Month::November => "November",
        Month::December => "December",
    }
}

/// JSON as Python writes it: `tojson(ensure_ascii=false, indent=none, separators=none, sort_keys=false)`.
fn tojson(value: Value, options: Kwargs) -> Result<Value, Error> {
    let indent: Option<Value> = options.get("indent")?;
    let indent = match indent.filter(|v| !v.is_none() && !v.is_undefined()) {
        None => None,
        Some(indent) => Some(match (indent.as_str(), indent.as_usize()) {
            (Some(text), _) => text.to_owned(),
            (None, Some(spaces)) if spaces <= 32 => " ".repeat(spaces),
            _ => return Err(invalid("tojson: indent must be a string or 0 to 32")),
        }),
    };
    let separators: Option<Vec<String>> = options.get("separators")?;
    let (item, key) = match separators.as_deref() {
        None if indent.is_some() => (",", ": "),
        None => (", ", ": "),
        Some([item, key]) => (item.as_str(), key.as_str()),
        Some(_) => return Err(invalid("tojson: separators are two strings")),
    };
    let flag = |name: &str| {
        let value: Option<bool> = options.get(name)?;
        Ok::<bool, Error>(value.unwrap_or(false))
    };
    let mut writer = Writer {
        ascii: flag("ensure_ascii")?,
        sort: flag("sort_keys")?,
        indent: indent.as_deref(),
        item,
        key,
        out: String::new(),
    };
    options.assert_all_used()?;
    writer.value(&value, 0)?;
    Ok(Value::from(writer.out))
}

struct Writer<'a> {
    ascii: bool,
    sort: bool,
    indent: Option<&'a str>,
    /// Between items.
    item: &'a str,
    /// Between a key and its value.
    key: &'a str,
    out: String,
}

impl Writer<'_> {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > DEEPEST {
            return Err(invalid(format!("tojson: more than {DEEPEST} levels")));
        }
        match value.kind() {
            ValueKind::None | ValueKind::Undefined => self.out.push_str("null"),
            ValueKind::Bool if value.is_true() => self.out.push_str("true"),
            ValueKind::Bool => self.out.push_str("false"),
            ValueKind::Number => self.out.push_str(&value.to_string()),
            ValueKind::Seq | ValueKind::Iterable => {
                let mut count = 0;
                self.out.push('[');
                for item in value.try_iter()? {
                    self.gap(count, depth + 1);
                    self.value(&item, depth + 1)?;
                    count += 1;
                }
                self.close(']', count, depth);
            }
            ValueKind::Map => {
                let mut keys: Vec<Value> = value.try_iter()?.collect();
                if self.sort {
                    keys.sort();
                }
                self.out.push('{');
                for (at, key) in keys.iter().enumerate() {
                    self.gap(at, depth + 1);
                    self.text(&key.to_string());
                    self.out.push_str(self.key);
                    self.value(&value.get_item(key)?, depth + 1)?;
                }
                self.close('}', keys.len(), depth);
            }
            _ => match value.as_str() {
                Some(text) => self.text(text),
                None => return Err(invalid(format!("tojson: {} is no JSON", value.kind()))),
            },
        }
        Ok(())
    }

    fn gap(&mut self, at: usize, depth: usize) {
        if at > 0 {
            self.out.push_str(self.item);
        }
        self.line(depth);
    }

    fn close(&mut self, bracket: char, items: usize, depth: usize) {
        if items > 0 {
            self.line(depth);
        }
        self.out.push(bracket);
    }

    fn line(&mut self, depth: usize) {
        if let Some(indent) = self.indent {
            self.out.push('\n');
            for _ in 0..depth {
                self.out.push_str(indent);
            }
        }
    }

    fn text(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' | '\\' => self.out.extend(['\\', c]),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{c}' => self.out.push_str("\\f"),
                control if control < ' ' => {
                    let _ = write!(self.out, "\\u{:04x}", u32::from(control));
                }
                // What may stand for a user's character becomes that character again.
                _ if self.ascii && !c.is_ascii() && !is_private(c) => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        let _ = write!(self.out, "\\u{unit:04x}");
                    }
                }
                _ => self.out.push(c),
            }
        }
        self.out.push('"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn a_date_is_written_as_python_writes_it() {
        let now = datetime!(2026-03-05 14:07:09.000123 UTC);
        for (format, want) in [
            ("%d %b %Y", "05 Mar 2026"),
            ("%A, %-d %B %y", "Thursday, 5 March 26"),
            ("%a %e %H:%M:%S.%f %I%p", "Thu  5 14:07:09.000123 02PM"),
            ("%Y-%m-%d %j %u %w %Z%z %%", "2026-03-05 064 4 4 UTC+0000 %"),
            ("%F %T", "2026-03-05 14:07:09"),
            ("", ""),
        ] {
            assert_eq!(strftime(format, now).unwrap(), want);
        }
        assert!(strftime("%Q", now).is_err());
        assert!(strftime("%", now).is_err());
    }

    #[test]
    fn lists_and_maps_are_printed_as_python_prints_them() {
        let mut templates = Environment::new();
        add(&mut templates, OffsetDateTime::now_utc);
        let render = |source: &str| templates.render_str(source, ()).map_err(|e| e.to_string());
        for (source, want) in [
            (
                "{{ ['a', 1, 2.5, true, none, [], {}] }}",
                "['a', 1, 2.5, True, None, [], {}]",
            ),
            ("{{ {'k': ['v'], 2: {} } }}", "{'k': ['v'], 2: {}}"),
            ("{{ ['string', 'null'] | string }}", "['string', 'null']"),
            (
                r#"{{ ["it's", 'say "hi"', "both ' and \""] }}"#,
                r#"["it's", 'say "hi"', 'both \' and "']"#,
            ),
            (
                "{{ ['é\n\t\\\\\u{7f}\u{a0}\u{2028}'] }}",
                r"['é\n\t\\\x7f\xa0\u2028']",
            ),
            (
                "{{ 'a' | string }}{{ 1 | string }}{{ none | string }}",
                "a1None",
            ),
            ("{{ 'a' }}{{ nothing }}{{ none }}{{ true }}", "aNoneTrue"),
        ] {
            assert_eq!(render(source).as_deref(), Ok(want), "{source}");
        }
        let deep = format!("{{{{ {}{} }}}}", "[".repeat(70), "]".repeat(70));
        assert!(render(&deep).is_err());
    }

    #[test]
    fn json_is_written_as_python_writes_it() {
        let mut templates = Environment::new();
        add(&mut templates, OffsetDateTime::now_utc);
        let render = |expression: &str| {
            let source = format!("{{{{ x | {expression} }}}}");
            let of = |name: &str, value: Value| (Value::from(name), value);
            let list = vec![Value::from(1), Value::from(2.5), Value::from("é<\"\n")];
            let x = Value::from_iter([
                of("b", Value::from(list)),
                of("a", Value::from_iter(std::iter::empty::<(Value, Value)>())),
                of("c", Value::from(Vec::<Value>::new())),
            ]);
            templates
                .render_str(&source, minijinja::context! { x })
                .map_err(|e| e.to_string())
        };
        let same = Ok(r#"{"b": [1, 2.5, "é<\"\n"], "a": {}, "c": []}"#.to_owned());
        assert_eq!(render("tojson"), same);
        assert_eq!(render("tojson(indent=none)"), same);
        assert_eq!(
            render("tojson(ensure_ascii=true, sort_keys=true)").unwrap(),
            r#"{"a": {}, "b": [1, 2.5, "\u00e9<\"\n"], "c": []}"#
        );
        assert_eq!(
            render("tojson(separators=(',', ':'))").unwrap(),
            r#"{"b":[1,2.5,"é<\"\n"],"a":{},"c":[]}"#
        );
        assert_eq!(
            render("tojson(indent=2)").unwrap(),
            "{\n  \"b\": [\n    1,\n    2.5,\n    \"é<\\\"\\n\"\n  ],\n  \"a\": {},\n  \"c\": []\n}"
        );
        let literals = templates.render_str("{{ [true, false, none, 1.0] | tojson }}", ());
        assert_eq!(literals.unwrap(), "[true, false, null, 1.0]");
        assert!(render("tojson(indent=100)").is_err());
        assert!(render("tojson(nonsense=1)").is_err());
    }
}
