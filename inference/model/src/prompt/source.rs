//! The source of a chat template, made fit for the template engine: Hugging Face's `{% generation %}`,
//! which marks the assistant's words for training, becomes a plain scope. And the strings that the
//! template is written with.

use std::collections::BTreeSet;

/// A template's source.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// As the template engine reads it.
    pub(super) text: String,
    /// The strings in its expressions, which it compares contents with or cuts them at.
    pub(super) literals: BTreeSet<String>,
}

impl Source {
    /// Reads a template as Jinja does: text, `{{ expressions }}`, `{% statements %}`, `{# comments #}`.
    /// What is cut short stays as it is, for the template engine to refuse.
    pub(super) fn read(source: &str) -> Self {
        let mut out = Self::default();
        let mut rest = source;
        while let Some(at) = rest.find('{') {
            let (text, tag) = rest.split_at(at);
            out.text.push_str(text);
            let length = match tag.as_bytes().get(1) {
                Some(b'#') => tag.find("#}").map(|end| end + 2),
                Some(b'{') => out.strings(tag, "}}"),
                Some(b'%') => out.strings(tag, "%}"),
                _ => Some(1),
            };
            let (tag, after) = tag.split_at(length.unwrap_or(tag.len()));
            match statement(tag) {
                Some((name, at)) if name == "generation" || name == "endgeneration" => {
                    out.text.push_str(&tag[..at]);
                    out.text.push_str(&name.replace("generation", "with"));
                    out.text.push_str(&tag[at + name.len()..]);
                    rest = after;
                }
                Some(("raw", _)) => {
                    let end = end_of_raw(after);
                    out.text.push_str(tag);
                    out.text.push_str(&after[..end]);
                    rest = &after[end..];
                }
                _ => {
                    out.text.push_str(tag);
                    rest = after;
                }
            }
        }
        out.text.push_str(rest);
        out
    }

    /// The length of a tag that `close` ends outside of a string; its strings are kept.
    fn strings(&mut self, tag: &str, close: &str) -> Option<usize> {
        let mut at = 2;
        loop {
            let rest = tag.get(at..)?;
            if rest.starts_with(close) {
                return Some(at + close.len());
            }
            let c = rest.chars().next()?;
            at += c.len_utf8();
            if matches!(c, '\'' | '"') {
                let (literal, length) = literal(tag.get(at..)?, c)?;
                self.literals.insert(literal);
                at += length;
            }
        }
    }
}

/// The name of a `{% statement %}` and where in the tag it stands.
fn statement(tag: &str) -> Option<(&str, usize)> {
    let inside = tag.strip_prefix("{%")?;
    let name = inside
        .strip_prefix(['-', '+'])
        .unwrap_or(inside)
        .trim_start();
    let at = tag.len() - name.len();
    let end = name
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(name.len());
    Some((&name[..end], at))
}

/// Where the `{% endraw %}` of a raw block begins.
fn end_of_raw(text: &str) -> usize {
    text.match_indices("{%")
        .map(|(at, _)| at)
        .find(|at| statement(&text[*at..]).is_some_and(|(name, _)| name == "endraw"))
        .unwrap_or(text.len())
}

/// The string that a quote opened, and its length in the source with the quote that closes it.
fn literal(text: &str, quote: char) -> Option<(String, usize)> {
    let mut out = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            c if c == quote => return Some((out, at + c.len_utf8())),
            '\\' => match chars.next()?.1 {
                'n' => out.push('\n'),
                't' => out.push('\t'),
                'r' => out.push('\r'),
                // What a template writes as a code point is no text that it looks for.
                other => out.push(other),
            },
            c => out.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generation_becomes_a_scope_with_its_white_space_control() {
        let read = |text| Source::read(text).text;
        assert_eq!(
            read("a{% generation %}b{%- endgeneration -%}c"),
            "a{% with %}b{%- endwith -%}c"
        );
        assert_eq!(
            read("{%-generation%}{%+ endgeneration%}"),
            "{%-with%}{%+ endwith%}"
        );
        for same in [
            "generation {% if generation %}{{ 'generation' }}{% endif %}",
            "{# {% generation %} #}",
            "{{ '{% generation %}' }}",
            "{{ \"a\\\"}}{% generation %}\" }}",
            "{% raw %}{% generation %}{% endraw %}",
            "{%- raw -%}{{ {% generation %}{%- endraw %}",
            "{% set x = '%}{% generation %}' %}",
            "{ {a} {%",
            "{{ 'open",
            "{# open",
            "{% raw %} open",
        ] {
            assert_eq!(read(same), same);
        }
    }

    #[test]
    fn the_strings_of_expressions_and_statements_are_found() {
        let source = Source::read(
            "'no' {{ 'a' + \"b'c\" }}{% if 'd\\n' in x %}{# 'no' #}{% raw %}{{ 'no' }}{% endraw %}{{ 'e' }}",
        );
        let found: Vec<&str> = source.literals.iter().map(String::as_str).collect();
        assert_eq!(found, ["a", "b'c", "d\n", "e"]);
    }
}
