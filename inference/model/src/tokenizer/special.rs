//! Special tokens in text: the leftmost is found first, the longest where several begin.

use std::collections::HashSet;
use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind, Input, Match, MatchKind};

use super::error::TokenizerError;

/// The tokens that are found in text before the rest of it is cut into words.
pub(super) struct Special {
    finder: AhoCorasick,
    /// Of each pattern: the token, and whether text that anybody wrote may name it (a token that the
    /// model's makers added for text, no control token).
    tokens: Vec<(u32, bool)>,
}

impl Special {
    /// A finder of these tokens: text, id, whether any text may name it. Of equal texts the first counts.
    pub(super) fn new<'t>(
        tokens: impl Iterator<Item = (&'t str, u32, bool)>,
    ) -> Result<Self, TokenizerError> {
        let mut seen = HashSet::new();
        let (texts, tokens): (Vec<&str>, Vec<(u32, bool)>) = tokens
            .filter(|(text, ..)| !text.is_empty() && seen.insert(*text))
            .map(|(text, id, any)| (text, (id, any)))
            .unzip();
        let finder = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(texts)
            .map_err(|e| TokenizerError::Damaged(format!("its special tokens: {e}")))?;
        Ok(Self { finder, tokens })
    }

    /// The next special token at or after `from`: where it stands, and its id. Of control tokens only
    /// those count whose place is `allowed`.
    pub(super) fn find(
        &self,
        text: &str,
        mut from: usize,
        allowed: &dyn Fn(&Range<usize>) -> bool,
    ) -> Option<(Range<usize>, u32)> {
        loop {
            let first = self.search(text, from..text.len())?;
            let mut at_this_place = Some(first);
            while let Some(found) = at_this_place {
                let (id, any) = *self.tokens.get(found.pattern().as_usize())?;
                if any || allowed(&found.range()) {
                    return Some((found.range(), id));
                }
                at_this_place = self
                    .search(text, found.start()..found.end() - 1)
                    .filter(|shorter| shorter.start() == found.start());
            }
            from = first.start() + text[first.start()..].chars().next()?.len_utf8();
        }
    }

    fn search(&self, text: &str, span: Range<usize>) -> Option<Match> {
        self.finder.find(Input::new(text).span(span))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str, allowed: impl Fn(&Range<usize>) -> bool) -> Vec<(Range<usize>, u32)> {
        let tokens = [
            ("<|a|>", 1, false),
            ("<|a|>x", 2, false),
            ("<|", 3, true),
            ("☃", 4, true),
            ("<|a|>", 5, true),
            ("", 6, true),
        ];
        let special = Special::new(tokens.into_iter()).unwrap();
        let mut out = Vec::new();
        let mut from = 0;
        while let Some((range, id)) = special.find(text, from, &allowed) {
            from = range.end;
            out.push((range, id));
        }
        out
    }

    #[test]
    fn the_longest_of_the_leftmost_is_found() {
        assert_eq!(
            all("☃<|a|>x<|a|>", |_| true),
            [(0..3, 4), (3..9, 2), (9..14, 1)]
        );
        assert_eq!(all("", |_| true), []);
        assert_eq!(all("<|a|", |_| true), [(0..2, 3)]);
    }

    #[test]
    fn a_control_token_that_is_not_allowed_gives_way_to_a_shorter_one_or_to_text() {
        assert_eq!(all("<|a|>x", |_| false), [(0..2, 3)]);
        // Only the longer one reaches into what is not allowed.
        assert_eq!(all("<|a|>x", |range| range.end <= 5), [(0..5, 1)]);
    }
}
