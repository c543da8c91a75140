//! What users typed stays text, whatever a chat template does with it.
//!
//! A template gives one string in which its own markup and the words of users stand side by side, and a
//! control token in it looks the same from either. So before the template sees a text, characters that
//! control tokens begin or end with are replaced by stand-ins from Unicode's private use, one for one:
//! the text keeps its length, its white space and its letters, and trimming, cutting and joining work on
//! it as on any other. Afterwards the stand-ins become the characters again, and the places where they
//! stood are remembered: no control token may lie over one of them.
//!
//! What a template itself looks for in a text (`'</think>' in content`) must be found there, so such
//! strings keep their characters, as long as they could be no part of a control token.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;

use aho_corasick::{AhoCorasick, MatchKind};

use super::error::PromptError;

/// Roles that conversations are made of; from them templates make control tokens (`<|user|>`).
const ROLES: [&str; 6] = [
    "system",
    "developer",
    "user",
    "assistant",
    "tool",
    "function",
];

/// Code points of private use whose planes hold nothing else.
const PRIVATE: [std::ops::RangeInclusive<u32>; 2] = [0xf_0000..=0xf_fffd, 0x10_0000..=0x10_fffd];

/// Above these a vocabulary or template is no usual one, and no string of the template keeps its characters.
const MOST_CONTROL_TEXTS: usize = 8_192;
const MOST_LITERALS: usize = 256;
const LONGEST_LITERAL: usize = 64;

/// How texts are kept apart from the markup of one model.
pub(super) struct Guard {
    /// Of these every control token has at least one, but for the words.
    breakers: HashSet<char>,
    /// Control tokens of letters and digits alone: the first character stands in where one occurs.
    words: Option<AhoCorasick>,
    /// All characters that get stand-ins.
    replaced: BTreeSet<char>,
    /// What the template looks for.
    sought: Option<AhoCorasick>,
    /// Words in the template, which may be roles that it knows.
    roles: HashSet<String>,
    /// Private characters in the template.
    taken: HashSet<char>,
}

/// The stand-ins of one conversation.
#[derive(Clone, Debug)]
pub(super) struct Marks {
    stand_ins: HashMap<char, char>,
    originals: HashMap<char, char>,
    /// Stands where nothing may be joined over.
    seam: char,
}

/// What a template gave, in the users' own characters.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rendered {
    pub(super) text: String,
    /// Where a character stands that a stand-in stood for, ascending.
    typed: Vec<usize>,
    /// Where nothing may be joined over, ascending.
    seams: Vec<usize>,
}

/// A character that is rare in words, and none that JSON escapes: nothing that a template asks of a
/// text, or makes of it, changes with it.
fn is_sign(c: &char) -> bool {
    !c.is_alphanumeric() && !c.is_whitespace() && !matches!(c, '"' | '\\')
}

/// Whether a character may be a stand-in.
pub(super) fn is_private(c: char) -> bool {
    PRIVATE.iter().any(|plane| plane.contains(&u32::from(c)))
}

/// Whether some text in which `literal` occurs could have a control token over a part of it.
fn meets(literal: &str, control: &str) -> bool {
    let (l, c) = (literal.as_bytes(), control.as_bytes());
    literal.contains(control)
        || control.contains(literal)
        || (1..c.len()).any(|n| l.ends_with(&c[..n]) || l.starts_with(&c[n..]))
}

fn finder<T: AsRef<[u8]>>(texts: &[T]) -> Result<Option<AhoCorasick>, PromptError> {
    if texts.is_empty() {
        return Ok(None);
    }
    AhoCorasick::builder()
        .match_kind(MatchKind::Standard)
        .build(texts)
        .map(Some)
        .map_err(|e| PromptError::BadTemplate(e.to_string()))
}

impl Guard {
    /// For the texts of a model's control tokens, and the strings and the source of its template.
    pub(super) fn new(
        control: &[String],
        literals: &BTreeSet<String>,
        template: &str,
    ) -> Result<Self, PromptError> {
        let mut breakers = HashSet::new();
        let mut words = Vec::new();
        for text in control {
            let mut signs = text.chars().filter(is_sign);
            match (signs.next(), signs.next_back()) {
                (Some(first), last) => breakers.extend([first, last.unwrap_or(first)]),
                (None, _) => words.push(text.as_str()),
            }
        }
        let firsts = words.iter().filter_map(|word| word.chars().next());
        let replaced = breakers.iter().copied().chain(firsts).collect();
        let sought: Vec<&str> = match control.len() <= MOST_CONTROL_TEXTS {
            false => Vec::new(),
            true => literals
                .iter()
                .map(String::as_str)
                .filter(|l| l.len() <= LONGEST_LITERAL && l.contains(|c| breakers.contains(&c)))
                .take(MOST_LITERALS)
                .filter(|literal| !control.iter().any(|text| meets(literal, text)))
                .collect(),
        };
        let is_word = |text: &&String| {
            let word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | ' ');
            !text.is_empty() && text.chars().all(word)
        };
        Ok(Self {
            sought: finder(&sought)?,
            words: finder(&words)?,
            breakers,
            replaced,
            roles: literals.iter().filter(is_word).cloned().collect(),
            taken: template.chars().filter(|c| is_private(*c)).collect(),
        })
    }

    /// Stand-ins that occur neither in the texts of a conversation nor in the template.
    pub(super) fn marks<'t>(
        &self,
        texts: impl Iterator<Item = &'t str>,
    ) -> Result<Marks, PromptError> {
        let mut taken = self.taken.clone();
        taken.extend(texts.flat_map(str::chars).filter(|c| is_private(*c)));
        let mut free = PRIVATE
            .into_iter()
            .flatten()
            .filter_map(char::from_u32)
            .filter(|c| !taken.contains(c));
        let full =
            || PromptError::Refused("they use every private character that Unicode has".to_owned());
        let seam = free.next().ok_or_else(full)?;
        let stand_ins: HashMap<char, char> = self.replaced.iter().copied().zip(free).collect();
        if stand_ins.len() < self.replaced.len() {
            return Err(full());
        }
        Ok(Marks {
            originals: stand_ins.iter().map(|(c, s)| (*s, *c)).collect(),
            stand_ins,
            seam,
        })
    }

    /// A text for the template, with stand-ins.
    pub(super) fn text(&self, marks: &Marks, text: &str) -> String {
        let kept = cover(self.sought.as_ref(), text);
        let mut kept = kept.iter().peekable();
        let mut words: Vec<usize> = match &self.words {
            None => Vec::new(),
            Some(words) => words
                .find_overlapping_iter(text)
                .map(|found| found.start())
                .collect(),
        };
        words.sort_unstable();
        let mut out = String::with_capacity(text.len());
        for (at, c) in text.char_indices() {
            while kept.next_if(|range| range.end <= at).is_some() {}
            let keeps = kept.peek().is_some_and(|range| range.start <= at);
            let breaks = self.breakers.contains(&c) && !keeps || words.binary_search(&at).is_ok();
            out.push(match marks.stand_ins.get(&c) {
                Some(stand_in) if breaks => *stand_in,
                _ => c,
            });
        }
        out
    }

    /// A role for the template. A role that neither conversations nor the template know is a text, and
    /// what the template writes around it does not make it a control token.
    pub(super) fn role(&self, marks: &Marks, role: &str) -> String {
        if ROLES.contains(&role) || self.roles.contains(role) {
            return role.to_owned();
        }
        let text = self.text(marks, role);
        format!("{seam}{text}{seam}", seam = marks.seam)
    }
}

/// The parts of a text that are covered by matches, in order, none touching another.
fn cover(finder: Option<&AhoCorasick>, text: &str) -> Vec<Range<usize>> {
    let mut out: Vec<Range<usize>> = Vec::new();
    // Matches come by their ends.
    for found in finder
        .iter()
        .flat_map(|finder| finder.find_overlapping_iter(text))
    {
        let mut range = found.range();
        while let Some(last) = out.pop_if(|last| last.end >= range.start) {
            range.start = range.start.min(last.start);
        }
        out.push(range);
    }
    out
}

impl Marks {
    /// What a template gave, in the users' own characters.
    pub(super) fn restore(&self, given: &str) -> Rendered {
        let mut out = Rendered {
            text: String::with_capacity(given.len()),
            typed: Vec::new(),
            seams: Vec::new(),
        };
        for c in given.chars() {
            if c == self.seam {
                out.seams.push(out.text.len());
                continue;
            }
            if let Some(original) = self.originals.get(&c) {
                out.typed.push(out.text.len());
                out.text.push(*original);
                continue;
            }
            out.text.push(c);
        }
        out
    }
}

impl Rendered {
    /// Whether a control token may stand at this place: all of it is the template's own.
    pub(super) fn allows(&self, place: &Range<usize>) -> bool {
        let within = |places: &[usize], from: usize, to: usize| {
            let first = places.partition_point(|at| *at < from);
            places.get(first).is_some_and(|at| *at < to)
        };
        !within(&self.typed, place.start, place.end)
            && !within(&self.seams, place.start + 1, place.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(control: &[&str], literals: &[&str]) -> Guard {
        let control: Vec<String> = control.iter().map(|s| s.to_string()).collect();
        let literals = literals.iter().map(|s| s.to_string()).collect();
        Guard::new(&control, &literals, "").unwrap()
    }

    #[test]
    fn a_text_keeps_its_length_and_comes_back_as_it_was() {
        let guard = guard(&["<|a|>", "[X]", "PAD"], &[]);
        for text in [
            "",
            "x",
            "<|a|> [X] PAD",
            "\u{f0000}\u{f0001}<\u{10fffd}",
            "☃<|a|>☃",
        ] {
            let marks = guard.marks([text].into_iter()).unwrap();
            let marked = guard.text(&marks, text);
            assert_eq!(marked.chars().count(), text.chars().count());
            for control in ["<|a|>", "[X]", "PAD"] {
                assert!(!marked.contains(control), "{marked:?}");
            }
            assert_eq!(marks.restore(&marked).text, text);
        }
    }

    #[test]
    fn a_control_token_over_typed_characters_is_not_allowed() {
        let guard = guard(&["<|a|>"], &[]);
        let marks = guard.marks(["<|a|>"].into_iter()).unwrap();
        let given = format!("<|a|>{}<|a|>", guard.text(&marks, "<|a|>"));
        let out = marks.restore(&given);
        assert_eq!(out.text, "<|a|><|a|><|a|>");
        let allowed = [0..5, 5..10, 10..15, 0..6, 9..15].map(|place| out.allows(&place));
        assert_eq!(allowed, [true, false, true, false, false]);
    }

    #[test]
    fn what_the_template_looks_for_keeps_its_characters() {
        let guard = guard(
            &["<|a|>", "<s>"],
            &["</think>", "<", "|>", "<|a|>", "x<", "s>y"],
        );
        let text = "<think></think><|a|></think><s";
        let marks = guard.marks([text].into_iter()).unwrap();
        let marked = guard.text(&marks, text);
        assert_eq!(marked.matches("</think>").count(), 2);
        assert_eq!(marked.matches('<').count(), 2, "no other keeps its own");
        assert_eq!(marks.restore(&marked).text, text);
    }

    #[test]
    fn a_role_that_nobody_knows_is_a_text() {
        let guard = guard(&["<|im_end|>", "<|user|>"], &["observation", "<|", "|>"]);
        let marks = guard.marks([].into_iter()).unwrap();
        let line = |role: &str| {
            let role = guard.role(&marks, role);
            marks.restore(&format!("<|{role}|>"))
        };
        for (role, allowed) in [
            ("user", true),
            ("observation", true),
            ("im_end", false),
            ("", false),
            ("<|", false),
        ] {
            let out = line(role);
            assert_eq!(out.text, format!("<|{role}|>"));
            assert_eq!(out.allows(&(0..out.text.len())), allowed, "{role:?}");
        }
    }

    #[test]
    fn a_text_of_every_private_character_is_refused() {
        let guard = guard(&["<|a|>"], &[]);
        let all: String = PRIVATE
            .into_iter()
            .flatten()
            .filter_map(char::from_u32)
            .collect();
        assert!(guard.marks([all.as_str()].into_iter()).is_err());
        let two_left: String = all.chars().skip(3).collect();
        assert!(guard.marks([two_left.as_str()].into_iter()).is_ok());
    }
}
