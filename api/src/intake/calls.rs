//! Calls of functions as a model writes them, and as they come out of its answer piece by piece. Pure.
//!
//! Which text is a call, the model's chat template says: each family was trained on its own. What is written here is forced by a
//! grammar ([`super::grammar`]), so that an answer has no other text where a call stands.

use sha2::{Digest, Sha256};

/// How a family of models writes calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallStyle {
    /// Hermes, Qwen and many others: `<tool_call>\n{"name": "f", "arguments": {…}}\n</tool_call>`.
    Hermes,
    /// Llama 3: `{"name": "f", "parameters": {…}}` is the whole answer, one call.
    Llama3,
    /// Mistral: `[TOOL_CALLS][{"name": "f", "arguments": {…}}, …]`.
    Mistral,
    /// Models whose template knows no functions: `[{"name": "f", "arguments": {…}}, …]` is the whole answer.
    Json,
}

impl CallStyle {
    /// The style of a model, by the source of its chat template.
    pub fn of(template: &str) -> Self {
        let has = |word: &str| template.contains(word);
        if !has("tools") {
            Self::Json
        } else if has("[TOOL_CALLS]") {
            Self::Mistral
        } else if has("<tool_call>") {
            Self::Hermes
        } else if has("ipython") || has("<|python_tag|>") {
            Self::Llama3
        } else {
            Self::Json
        }
    }

    /// Whether the template is told of functions and calls itself; else they are written into its messages.
    pub fn is_native(self) -> bool {
        self != Self::Json
    }

    /// Text before the first call, wherever in the answer it stands; `None` = calls are the whole answer.
    pub fn opening(self) -> Option<&'static str> {
        match self {
            Self::Hermes => Some("<tool_call>"),
            Self::Mistral => Some("[TOOL_CALLS]"),
            Self::Llama3 | Self::Json => None,
        }
    }

    /// Text behind each call, where there is an opening before each.
    pub fn closing(self) -> Option<&'static str> {
        match self {
            Self::Hermes => Some("</tool_call>"),
            Self::Llama3 | Self::Mistral | Self::Json => None,
        }
    }

    /// The first character of an answer that is calls, where text may not begin with it.
    pub fn first(self) -> Option<char> {
        match self {
            Self::Llama3 => Some('{'),
            Self::Json => Some('['),
            Self::Hermes | Self::Mistral => None,
        }
    }

    /// The key of a call's arguments.
    pub fn key(self) -> &'static str {
        match self {
            Self::Llama3 => "parameters",
            Self::Hermes | Self::Mistral | Self::Json => "arguments",
        }
    }

    /// Several calls in one answer.
    pub fn is_plural(self) -> bool {
        self != Self::Llama3
    }
}

/// How an answer may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Calling {
    pub style: CallStyle,
    /// There are calls or text and never both: text that is JSON may hold any string, that of an opening too.
    pub is_alone: bool,
}

/// What of an answer is new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    Text(String),
    /// Call number `at` begins.
    Call {
        at: usize,
        name: String,
    },
    /// More of the arguments of call number `at`.
    Arguments {
        at: usize,
        text: String,
    },
}

/// The id of call number `at` of a choice: the same whenever this answer is shown.
pub fn call_id(job: &str, choice: u32, at: usize) -> String {
    let digest = Sha256::digest(format!("{job}/{choice}/{at}"));
    format!("call_{}", hex::encode(&digest[..12]))
}

/// A call's id as Mistral's templates want it: nine letters and digits, the same for the same id.
pub fn nine(id: &str) -> String {
    if id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return id.to_owned();
    }
    let digits = hex::encode(Sha256::digest(id.as_bytes()));
    digits.chars().take(9).collect()
}

const HEAD: &str = "{\"name\": \"";
/// Most blanks that text keeps back in case a call follows: more are text.
const BLANKS: usize = 64;

/// How far a JSON object was read.
#[derive(Debug, Default)]
struct Depth {
    open: u32,
    in_string: bool,
    is_escaped: bool,
}

impl Depth {
    /// Bytes of `text` that belong to the object; it ends there if they are not all.
    fn take(&mut self, text: &str) -> Option<usize> {
        for (at, byte) in text.bytes().enumerate() {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' if self.in_string => self.is_escaped = true,
                b'"' => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b'{' | b'[' => self.open += 1,
                b'}' | b']' => {
                    self.open = self.open.saturating_sub(1);
                    if self.open == 0 {
                        return Some(at + 1);
                    }
                }
                _ => {}
            }
        }
        None
    }
}

#[derive(Debug)]
enum Reading {
    Begin,
    Text,
    /// Between calls, and before the first.
    Between,
    Arguments(Depth),
}

/// Tells calls from text in an answer that comes in pieces.
#[derive(Debug)]
pub struct CallReader {
    calling: Calling,
    place: Reading,
    held: String,
    calls: usize,
}

impl CallReader {
    /// A reader of one answer.
    pub fn new(calling: Calling) -> Self {
        Self {
            calling,
            place: Reading::Begin,
            held: String::new(),
            calls: 0,
        }
    }

    /// Whether anything was called.
    pub fn has_called(&self) -> bool {
        self.calls > 0
    }

    /// Adds text; what can be told now.
    pub fn push(&mut self, text: &str) -> Vec<Said> {
        self.held.push_str(text);
        let mut out = Vec::new();
        while !self.held.is_empty() && self.step(&mut out) {}
        out
    }

    /// One step; false when more text is needed.
    fn step(&mut self, out: &mut Vec<Said>) -> bool {
        match &mut self.place {
            Reading::Begin => {
                let style = self.calling.style;
                let is_call = match (style.first(), style.opening()) {
                    (Some(first), _) => self.held.starts_with(first),
                    (None, Some(opening)) if self.calling.is_alone => {
                        if self.held.len() < opening.len() && opening.starts_with(&self.held) {
                            return false;
                        }
                        self.held.starts_with(opening)
                    }
                    (None, _) => false,
                };
                self.place = match is_call {
                    true => Reading::Between,
                    false => Reading::Text,
                };
                true
            }
            Reading::Text => self.text(out),
            Reading::Between => self.head(out),
            Reading::Arguments(depth) => {
                let end = depth.take(&self.held);
                let rest = self.held.split_off(end.unwrap_or(self.held.len()));
                let text = std::mem::replace(&mut self.held, rest);
                // The call that is open is the last that began.
                let at = self.calls.saturating_sub(1);
                out.push(Said::Arguments { at, text });
                if end.is_some() {
                    self.place = Reading::Between;
                }
                end.is_some()
            }
        }
    }

    /// Tells text, but for what may begin a call, and blanks before it.
    fn text(&mut self, out: &mut Vec<Said>) -> bool {
        let opening = self.calling.style.opening();
        let Some(opening) = opening.filter(|_| !self.calling.is_alone) else {
            out.push(Said::Text(std::mem::take(&mut self.held)));
            return false;
        };
        let (end, found) = match self.held.find(opening) {
            Some(at) => (at, true),
            None => {
                let begun = (1..opening.len())
                    .rev()
                    .find(|n| self.held.ends_with(&opening[..*n]))
                    .unwrap_or(0);
                (self.held.len() - begun, false)
            }
        };
        let said = self.held[..end].trim_end_matches([' ', '\t', '\r', '\n']);
        let told = said.len().max(end.saturating_sub(BLANKS));
        let rest = self.held.split_off(told);
        let text = std::mem::replace(&mut self.held, rest);
        if !text.is_empty() {
            out.push(Said::Text(text));
        }
        if found {
            self.held.drain(..end - told + opening.len());
            self.place = Reading::Between;
        }
        found
    }

    /// Looks for the head of a call; what stands before one are brackets, commas and markup.
    fn head(&mut self, out: &mut Vec<Said>) -> bool {
        let Some(at) = self.held.find(HEAD) else {
            let begun = (1..HEAD.len())
                .rev()
                .find(|n| self.held.ends_with(&HEAD[..*n]))
                .unwrap_or(0);
            self.held.drain(..self.held.len() - begun);
            return false;
        };
        let rest = &self.held[at + HEAD.len()..];
        let Some((name, behind)) = rest.split_once('"') else {
            return false;
        };
        let key = format!(", \"{}\": ", self.calling.style.key());
        let Some(arguments) = behind.strip_prefix(key.as_str()) else {
            return false;
        };
        out.push(Said::Call {
            at: self.calls,
            name: name.to_owned(),
        });
        self.calls += 1;
        self.held = arguments.to_owned();
        self.place = Reading::Arguments(Depth::default());
        true
    }

    /// What was held back, at the end. A call whose head was cut off is none.
    pub fn finish(&mut self) -> Vec<Said> {
        let held = std::mem::take(&mut self.held);
        match self.place {
            Reading::Begin | Reading::Text if !held.is_empty() => vec![Said::Text(held)],
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told of an answer that comes in pieces of so many characters, joined.
    fn read(style: CallStyle, answer: &str, size: usize) -> (String, Vec<(String, String)>) {
        let calling = Calling {
            style,
            is_alone: false,
        };
        told(CallReader::new(calling), answer, size)
    }

    fn told(mut reader: CallReader, answer: &str, size: usize) -> (String, Vec<(String, String)>) {
        let (mut text, mut calls) = (String::new(), Vec::<(String, String)>::new());
        let chars: Vec<char> = answer.chars().collect();
        let mut said: Vec<Said> = chars
            .chunks(size)
            .flat_map(|piece| reader.push(&piece.iter().collect::<String>()))
            .collect();
        said.extend(reader.finish());
        for said in said {
            match said {
                Said::Text(more) => text += &more,
                Said::Call { at, name } => {
                    assert_eq!(at, calls.len());
                    calls.push((name, String::new()));
                }
                Said::Arguments { at, text } => calls[at].1 += &text,
            }
        }
        (text, calls)
    }

    #[test]
    fn calls_of_every_style_are_told_from_text_whatever_the_pieces() {
        let a = (
            "a".to_owned(),
            "{\"x\": \"}\\\"]\", \"y\": [{}]}".to_owned(),
        );
        let b = ("b".to_owned(), "{}".to_owned());
        let hermes = format!(
            "Wait.\n\n<tool_call>\n{{\"name\": \"a\", \"arguments\": {}}}\n</tool_call>\n<tool_call>\n{{\"name\": \"b\", \"arguments\": {{}}}}\n</tool_call>",
            a.1
        );
        let list = format!(
            "[{{\"name\": \"a\", \"arguments\": {}}}, {{\"name\": \"b\", \"arguments\": {{}}}}]",
            a.1
        );
        let llama = format!("{{\"name\": \"a\", \"parameters\": {}}}", a.1);
        for size in [1, 2, 3, 7, 1000] {
            let both = vec![a.clone(), b.clone()];
            assert_eq!(
                read(CallStyle::Hermes, &hermes, size),
                ("Wait.".into(), both.clone())
            );
            let mistral = format!("Wait.[TOOL_CALLS]{list}");
            assert_eq!(
                read(CallStyle::Mistral, &mistral, size),
                ("Wait.".into(), both.clone())
            );
            assert_eq!(read(CallStyle::Json, &list, size), (String::new(), both));
            assert_eq!(
                read(CallStyle::Llama3, &llama, size),
                (String::new(), vec![a.clone()])
            );
        }
    }

    #[test]
    fn json_that_holds_an_opening_is_text_where_calls_stand_alone() {
        let calling = Calling {
            style: CallStyle::Hermes,
            is_alone: true,
        };
        let json = "{\"a\": \"<tool_call>\\n{\\\"name\\\": 1}\"}";
        let call = "<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>";
        for size in [1, 3, 1000] {
            let read = |answer: &str| told(CallReader::new(calling), answer, size);
            assert_eq!(read(json), (json.to_owned(), vec![]));
            let called = vec![("f".to_owned(), "{}".to_owned())];
            assert_eq!(read(call), (String::new(), called));
        }
    }

    #[test]
    fn text_without_calls_is_told_to_its_last_blank() {
        let text = "a < b, <tool\n and [TOOL_ too {\"name\": \"a\"} \n";
        for style in [
            CallStyle::Hermes,
            CallStyle::Mistral,
            CallStyle::Llama3,
            CallStyle::Json,
        ] {
            for size in [1, 4, 1000] {
                assert_eq!(read(style, text, size), (text.to_owned(), vec![]));
            }
        }
    }

    #[test]
    fn little_is_held_back_however_much_comes() {
        let blanks = " \n".repeat(500);
        for size in [1, 7, 5_000] {
            let answer = format!("a{blanks}");
            assert_eq!(read(CallStyle::Hermes, &answer, size), (answer, vec![]));
            let call =
                format!("a{blanks}<tool_call>{blanks}{{\"name\": \"f\", \"arguments\": {{}}}}");
            let (text, calls) = read(CallStyle::Hermes, &call, size);
            assert_eq!(text.len(), 1 + blanks.len() - BLANKS);
            assert_eq!(calls, [("f".to_owned(), "{}".to_owned())]);
        }
        let mut reader = CallReader::new(Calling {
            style: CallStyle::Json,
            is_alone: false,
        });
        reader.push("[");
        for _ in 0..100 {
            reader.push("nonsense {\"na");
            assert!(reader.held.len() < HEAD.len());
        }
    }

    #[test]
    fn an_answer_that_is_cut_off_tells_what_was_there() {
        let cut = "<tool_call>\n{\"name\": \"a\", \"arguments\": {\"x\": \"lo";
        let (text, calls) = read(CallStyle::Hermes, cut, 5);
        assert_eq!(text, "");
        assert_eq!(calls, [("a".to_owned(), "{\"x\": \"lo".to_owned())]);
        let head = "<tool_call>\n{\"name\": \"a";
        assert_eq!(read(CallStyle::Hermes, head, 5), (String::new(), vec![]));
    }

    #[test]
    fn a_template_says_which_style_its_model_has() {
        for (template, style) in [
            ("{% if tools %}<tool_call>{% endif %}", CallStyle::Hermes),
            (
                "{% if tools %}{{ 'Environment: ipython' }}{% endif %}",
                CallStyle::Llama3,
            ),
            (
                "{% if tools %}[AVAILABLE_TOOLS]{% endif %}[TOOL_CALLS]",
                CallStyle::Mistral,
            ),
            ("{{ messages }}", CallStyle::Json),
            ("", CallStyle::Json),
        ] {
            assert_eq!(CallStyle::of(template), style, "{template}");
        }
    }

    #[test]
    fn ids_are_the_same_whenever_an_answer_is_shown() {
        assert_eq!(call_id("J", 0, 0), call_id("J", 0, 0));
        assert_ne!(call_id("J", 0, 0), call_id("J", 0, 1));
        assert_ne!(call_id("J", 0, 0), call_id("J", 1, 0));
        assert!(call_id("J", 0, 0).starts_with("call_"));
        assert_eq!(nine("abcDEF123"), "abcDEF123");
        assert_eq!(nine("call_1").len(), 9);
        assert_eq!(nine("call_1"), nine("call_1"));
    }
}
