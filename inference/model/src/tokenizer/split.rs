//! How text is cut into words before byte-pair merges run inside each: llama.cpp's pre-tokenizers.
//!
//! The patterns are those of llama.cpp without their look-ahead, which no automaton of linear time
//! has: of a run of white space that text follows, the last character belongs to what follows.

use std::sync::LazyLock;

use regex::Regex;

/// One cut: what matches becomes a word of its own, and so does what lies between two matches.
struct Stage {
    pattern: &'static LazyLock<Regex>,
    /// Whether a run of white space that ends a line stays whole.
    lines: bool,
}

/// The cuts of a pre-tokenizer, each within the words of the one before.
pub struct PreTokenizer(&'static [Stage]);

macro_rules! patterns {
    ($($name:ident = $text:literal;)*) => {$(
        static $name: LazyLock<Regex> = LazyLock::new(|| Regex::new($text).expect("a constant"));
    )*};
}

patterns! {
    GPT2 = r"'(?:s|t|re|ve|m|ll|d)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+";
    LLAMA3 = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+";
    QWEN2 = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+";
    // llama.cpp takes letters that aren't ASCII for capital and small at once.
    TEKKEN = r"[^\r\n\p{L}\p{N}]?[\p{L}--[a-z]]*[\p{L}--[A-Z]]+|[^\r\n\p{L}\p{N}]?[\p{L}--[a-z]]+[\p{L}--[A-Z]]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+";
    GPT4O = r"[^\r\n\p{L}\p{N}]?[\p{L}--[a-z]]*[\p{L}--[A-Z]]+(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])?|[^\r\n\p{L}\p{N}]?[\p{L}--[a-z]]+[\p{L}--[A-Z]]*(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+";
    NUMERAL = r"\p{N}";
    NUMERALS = r"\p{N}+";
    PUNCTUATION = r"[\p{P}$+<=>^~|]+";
    THREE_DIGITS = "[0-9][0-9][0-9]";
}

const fn words(pattern: &'static LazyLock<Regex>) -> Stage {
    Stage {
        pattern,
        lines: false,
    }
}

const fn lines(pattern: &'static LazyLock<Regex>) -> Stage {
    Stage {
        pattern,
        lines: true,
    }
}

impl Stage {
    /// Where a match of `text[start..end]` ends, once the look-ahead is made good.
    fn end(&self, text: &str, start: usize, end: usize) -> usize {
        let found = &text[start..end];
        let Some(last) = found.chars().next_back() else {
            return end;
        };
        let whole = end == text.len()
            || !last.is_whitespace()
            || (self.lines && matches!(last, '\r' | '\n'))
            || found.len() == last.len_utf8()
            // Only white space ends in white space here, but for `[\r\n]*` behind other signs.
            || !found.chars().all(char::is_whitespace);
        match whole {
            true => end,
            false => end - last.len_utf8(),
        }
    }
}

impl PreTokenizer {
    /// Names that `tokenizer.ggml.pre` may have.
    pub const NAMES: [&str; 21] = [
        "default",
        "gpt-2",
        "olmo",
        "phi-2",
        "smollm",
        "starcoder",
        "command-r",
        "refact",
        "codeshell",
        "llama-bpe",
        "llama3",
        "llama-v3",
        "falcon3",
        "pixtral",
        "dbrx",
        "smaug-bpe",
        "qwen2",
        "deepseek-r1-qwen",
        "stablelm2",
        "tekken",
        "gpt-4o",
    ];

    /// The pre-tokenizer of that name in `tokenizer.ggml.pre`, and whether a word that is a token is not merged.
    pub fn named(name: &str) -> Option<(Self, bool)> {
        static DEFAULT: [Stage; 4] = [
            words(&PUNCTUATION),
            words(&GPT2),
            words(&NUMERALS),
            words(&THREE_DIGITS),
        ];
        static GPT2_STAGES: [Stage; 1] = [words(&GPT2)];
        static SMOLLM: [Stage; 2] = [words(&NUMERAL), words(&GPT2)];
        static LLAMA3_STAGES: [Stage; 1] = [lines(&LLAMA3)];
        static QWEN2_STAGES: [Stage; 1] = [lines(&QWEN2)];
        static TEKKEN_STAGES: [Stage; 1] = [lines(&TEKKEN)];
        static GPT4O_STAGES: [Stage; 1] = [lines(&GPT4O)];
        let (stages, whole_words): (&'static [Stage], bool) = match name {
            "default" => (&DEFAULT, false),
            "gpt-2" | "olmo" | "phi-2" => (&GPT2_STAGES, false),
            "smollm" | "starcoder" | "command-r" | "refact" | "codeshell" => (&SMOLLM, false),
            "llama-bpe" | "llama3" | "llama-v3" | "falcon3" | "pixtral" => (&LLAMA3_STAGES, true),
            "dbrx" | "smaug-bpe" => (&LLAMA3_STAGES, false),
            "qwen2" | "deepseek-r1-qwen" | "stablelm2" => (&QWEN2_STAGES, false),
            "tekken" => (&TEKKEN_STAGES, true),
            "gpt-4o" => (&GPT4O_STAGES, false),
            _ => return None,
        };
        Some((Self(stages), whole_words))
    }

    /// Calls `each` with the words of `text`, in order; together they are the text.
    pub fn words<'t>(&self, text: &'t str, mut each: impl FnMut(&'t str)) {
        cut(self.0, text, &mut each);
    }
}

fn cut<'t>(stages: &[Stage], text: &'t str, each: &mut dyn FnMut(&'t str)) {
    if text.is_empty() {
        return;
    }
    let Some((stage, rest)) = stages.split_first() else {
        return each(text);
    };
    let mut at = 0;
    while let Some(found) = stage.pattern.find_at(text, at) {
        let end = stage.end(text, found.start(), found.end());
        cut(rest, &text[at..found.start()], each);
        cut(rest, &text[found.start()..end], each);
        at = end;
    }
    cut(rest, &text[at..], each);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words_of(name: &str, text: &str) -> Vec<String> {
        let (pre, _) = PreTokenizer::named(name).unwrap();
        let mut out = Vec::new();
        pre.words(text, |word| out.push(word.to_owned()));
        assert_eq!(out.concat(), text);
        out
    }

    #[test]
    fn white_space_leaves_its_last_character_to_what_follows() {
        assert_eq!(words_of("gpt-2", "a   b  "), ["a", "  ", " b", "  "]);
        assert_eq!(words_of("gpt-2", "a\n\n\nb"), ["a", "\n\n", "\n", "b"]);
        assert_eq!(
            words_of("gpt-2", "a \u{3000}b"),
            ["a", " ", "\u{3000}", "b"]
        );
        assert_eq!(words_of("llama3", "a  \n\n  b"), ["a", "  \n\n", " ", " b"]);
        assert_eq!(words_of("llama3", "a!\n\n b"), ["a", "!\n\n", " b"]);
        assert_eq!(words_of("qwen2", "a\n"), ["a", "\n"]);
    }

    #[test]
    fn every_name_is_known() {
        assert!(
            PreTokenizer::NAMES
                .iter()
                .all(|name| PreTokenizer::named(name).is_some())
        );
        assert!(PreTokenizer::named("viking").is_none());
    }

    #[test]
    fn capitals_begin_words_where_the_pre_tokenizer_says_so() {
        assert_eq!(
            words_of("tekken", "camelCaseHTTPServer"),
            ["camel", "Case", "HTTPServer"]
        );
        assert_eq!(
            words_of("tekken", "it's 12 a!/\n"),
            ["it", "'s", " ", "1", "2", " a", "!/\n"]
        );
        assert_eq!(words_of("gpt-4o", "It's 1234"), ["It's", " ", "123", "4"]);
        assert_eq!(words_of("gpt-4o", "aÉB"), ["aÉ", "B"]);
        assert_eq!(words_of("dbrx", "camelCase"), ["camelCase"]);
    }

    #[test]
    fn numbers_are_cut_as_each_pre_tokenizer_cuts_them() {
        assert_eq!(words_of("gpt-2", "x 12345"), ["x", " 12345"]);
        assert_eq!(words_of("smollm", " 12"), [" ", "1", "2"]);
        assert_eq!(words_of("llama3", "12345"), ["123", "45"]);
        assert_eq!(words_of("qwen2", "123"), ["1", "2", "3"]);
        assert_eq!(
            words_of("default", " 12345.6"),
            [" ", "123", "45", ".", "6"]
        );
        assert_eq!(words_of("default", "it's"), ["it", "'", "s"]);
        assert_eq!(words_of("default", "a `b`"), ["a", " `", "b", "`"]);
    }
}
