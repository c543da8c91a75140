//! Masks depend on grammar, vocabulary and tokens alone: they are recorded here, and the same cold and warm.
//!
//! `MYTHIC_REWRITE=1 cargo test -p mythic-sampling --test guide` records them. They are a part of `seeded-full`: where they change
//! without a new number of the profile, honest nodes differ.

use std::fmt::Write;
use std::path::Path;

use mythic_interface::hash::sha256;
use mythic_sampling::grammar::{bounded, json_object, json_schema};
use mythic_sampling::{Guide, GuideError, Mask, Vocabulary};
use serde_json::json;

const FILE: &str = "tests/masks.txt";
const END: u32 = 300;
const CALL: u32 = 301;

/// Every byte, some words and a control token or two: 320 tokens, of which a few are holes.
fn pieces() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
    let words = [
        "{\"",
        "\":",
        "\",",
        "\"}",
        "\"name\"",
        "name",
        "true",
        "false",
        "null",
        " \"",
        ": ",
        ", ",
        "[]",
        "{}",
        "12",
        "3.5",
        "abc",
        "  ",
        "\n",
        "no",
        "yes",
        "☃",
        "<tool_call>",
        "</tool_call>",
    ];
    all.extend(words.map(|word| word.as_bytes().to_vec()));
    all.resize(320, Vec::new());
    all
}

fn vocabulary() -> Vocabulary {
    let pieces = pieces();
    let controls = [(END, "<|end|>"), (CALL, "<|call|>")].into_iter();
    Vocabulary::of(pieces.iter().map(Vec::as_slice), controls, &[END]).unwrap()
}

/// Tokens of a text: the longest at each place.
fn tokens(text: &str) -> Vec<u32> {
    let pieces = pieces();
    let mut rest = text.as_bytes();
    let mut all = Vec::new();
    while !rest.is_empty() {
        let fits = (0u32..).zip(&pieces);
        let fits = fits.filter(|(_, piece)| !piece.is_empty() && rest.starts_with(piece));
        let (id, piece) = fits.max_by_key(|(_, piece)| piece.len()).unwrap();
        rest = &rest[piece.len()..];
        all.push(id);
    }
    all
}

fn schema() -> String {
    json_schema(&json!({
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 10}, "age": {"type": "integer", "minimum": 0}},
        "required": ["name"],
        "additionalProperties": false
    }))
}

/// A grammar, and a text that it allows.
fn cases() -> Vec<(&'static str, String, &'static str)> {
    vec![
        ("object", json_object(), "{\"name\": [true, 12]}"),
        ("schema", schema(), "{\"name\": \"abc\", \"age\": 12}"),
        ("choice", "start: \"yes\" | \"no\"\n".into(), "no"),
        (
            "call",
            "start: text \"{}</tool_call>\"\ntext[suffix=\"<tool_call>\"]: /(.|\\n)*/\n".into(),
            "abc<tool_call>{}</tool_call>",
        ),
        ("pattern", "start: /[a-c]{2,4}(12)?/\n".into(), "abc12"),
    ]
}

/// The masks before each token of a text and behind it.
fn masks(vocabulary: &Vocabulary, grammar: &str, text: &str) -> Vec<Mask> {
    let mut guide = Guide::new(vocabulary, grammar).unwrap();
    let mut all = vec![guide.mask().unwrap()];
    for token in tokens(text) {
        assert!(all.last().unwrap().allows(token), "{grammar}: {token}");
        guide.push(token).unwrap();
        all.push(guide.mask().unwrap());
    }
    all
}

fn told(mask: &Mask) -> String {
    let bits: Vec<u8> = mask
        .bits()
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect();
    let allowed = (0..320).filter(|id| mask.allows(*id)).count();
    let hash = sha256(&[&bits]);
    let hash: String = hash[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{allowed:3} {hash}")
}

#[test]
fn masks_are_those_that_were_recorded_cold_and_warm() {
    let warm = vocabulary();
    let mut made = String::new();
    for (name, grammar, text) in cases() {
        let cold = masks(&vocabulary(), &grammar, text);
        for _ in 0..3 {
            assert_eq!(masks(&warm, &grammar, text), cold, "{name}");
        }
        for (at, mask) in cold.iter().enumerate() {
            writeln!(made, "{name} {at:2} {}", told(mask)).unwrap();
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    if std::env::var_os("MYTHIC_REWRITE").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(kept, made, "{FILE}: MYTHIC_REWRITE=1 records the masks");
}

#[test]
fn a_mask_depends_on_the_tokens_and_not_on_how_often_it_was_asked_for() {
    let vocabulary = vocabulary();
    let text = "{\"name\": \"abc\", \"age\": 12}";
    let every = masks(&vocabulary, &schema(), text);
    let tokens = tokens(text);
    for stop in 0..=tokens.len() {
        let mut guide = Guide::new(&vocabulary, &schema()).unwrap();
        for token in &tokens[..stop] {
            guide.push(*token).unwrap();
        }
        assert_eq!(guide.mask().unwrap(), every[stop], "{stop}");
        assert_eq!(guide.mask().unwrap(), every[stop], "{stop}");
    }
}

#[test]
fn an_end_is_allowed_where_the_grammar_accepts_and_alone_where_nothing_else_is() {
    let vocabulary = vocabulary();
    let last = |grammar: &str, text: &str| masks(&vocabulary, grammar, text).pop().unwrap();
    let done = last("start: \"yes\"\n", "yes");
    let allowed: Vec<u32> = (0..320).filter(|id| done.allows(*id)).collect();
    assert_eq!(allowed, [END]);
    let open = last("start: /a+/\n", "a");
    assert!(open.allows(END) && open.allows(u32::from(b'a')));
    let begun = last("start: \"yes\"\n", "");
    assert!(!begun.allows(END) && begun.allows(tokens("yes")[0]));
    // Whatever bytes lead there.
    assert!(begun.allows(u32::from(b'y')));
}

#[test]
fn what_ends_an_answer_is_no_text_in_it_whatever_its_bytes_are() {
    let mut pieces = pieces();
    pieces[END as usize] = b"cab".to_vec();
    let words = pieces.iter().map(Vec::as_slice);
    let vocabulary = Vocabulary::of(words, std::iter::empty(), &[END]).unwrap();
    let mut guide = Guide::new(&vocabulary, "start: /[a-c]{4}/\n").unwrap();
    for letter in b"abca" {
        let mask = guide.mask().unwrap();
        assert!(mask.allows(u32::from(*letter)) && !mask.allows(END));
        guide.push(u32::from(*letter)).unwrap();
    }
    let mask = guide.mask().unwrap();
    let allowed: Vec<u32> = (0..320).filter(|id| mask.allows(*id)).collect();
    assert_eq!(allowed, [END]);
}

#[test]
fn a_control_token_is_meant_by_its_name_alone() {
    let vocabulary = vocabulary();
    let mut text = Guide::new(&vocabulary, "start: \"<|call|>\"\n").unwrap();
    let mask = text.mask().unwrap();
    assert!(!mask.allows(CALL) && mask.allows(u32::from(b'<')));
    let mut token = Guide::new(&vocabulary, "start: <|call|> \"no\"\n").unwrap();
    let mask = token.mask().unwrap();
    let allowed: Vec<u32> = (0..320).filter(|id| mask.allows(*id)).collect();
    assert_eq!(allowed, [CALL]);
    token.push(CALL).unwrap();
    assert!(token.mask().unwrap().allows(u32::from(b'n')));
    let unknown = Guide::new(&vocabulary, "start: <|other|>\n").err();
    assert!(matches!(unknown, Some(GuideError::Grammar(_))));
}

#[test]
fn json_of_a_bounded_schema_is_no_blanks_for_ever() {
    let vocabulary = vocabulary();
    let fields = serde_json::Map::from_iter([("type".to_owned(), json!("object"))]);
    let grammar = json_schema(&bounded(fields));
    let goes_on = |blanks: usize| {
        let text = format!("{{{}", "\n".repeat(blanks));
        let mask = masks(&vocabulary, &grammar, &text).pop().unwrap();
        assert!(mask.allows(u32::from(b'"')));
        mask.allows(u32::from(b'\n'))
    };
    assert!(goes_on(0) && goes_on(63));
    assert!(!goes_on(64));
}

#[test]
fn what_says_nothing_sensible_is_refused_before_it_is_followed() {
    let vocabulary = vocabulary();
    for grammar in ["start: other\n", "start: /(?=a)b/\n", "other: \"a\"\n"] {
        let error = Guide::new(&vocabulary, grammar).err();
        assert!(matches!(error, Some(GuideError::Grammar(_))), "{grammar}");
        assert!(mythic_sampling::guide::check_text(grammar).is_err());
    }
    let contradiction = json_schema(&json!({"type": "string", "minLength": 5, "maxLength": 2}));
    assert!(Guide::new(&vocabulary, &contradiction).is_err());
}

#[test]
fn long_chains_of_references_and_rules_end_no_process() {
    let vocabulary = vocabulary();
    // Each definition nests as deep as it may, and refers to the next.
    let mut definitions = serde_json::Map::new();
    for n in 0..90 {
        let mut schema = json!({"$ref": format!("#/$defs/d{}", n + 1)});
        for _ in 0..20 {
            schema = json!({"items": schema});
        }
        definitions.insert(format!("d{n}"), schema);
    }
    definitions.insert("d90".into(), json!({"type": "null"}));
    let chain = json_schema(&json!({"$ref": "#/$defs/d0", "$defs": definitions}));
    mythic_sampling::grammar::check(&chain).unwrap();
    let _ = Guide::new(&vocabulary, &chain);
    let mut rules = String::from("start: r0\n");
    for n in 0..1_000 {
        writeln!(rules, "r{n}: \"a\" ((((r{} | \"b\"))))", n + 1).unwrap();
    }
    rules.push_str("r1000: \"c\"\n");
    mythic_sampling::grammar::check(&rules).unwrap();
    let _ = Guide::new(&vocabulary, &rules);
    let _ = mythic_sampling::guide::check_text(&rules);
}

#[test]
fn a_limit_on_the_way_is_an_error_and_no_other_mask() {
    let vocabulary = vocabulary();
    // Its states remember each of the last two hundred letters.
    let grammar = "start: /(a|b)*a(a|b){200}c/\n";
    let Ok(mut guide) = Guide::new(&vocabulary, grammar) else {
        return;
    };
    let mut random = 1u32;
    for _ in 0..1_000 {
        match guide.mask() {
            Ok(mask) => assert!(mask.allows(u32::from(b'a')) && mask.allows(u32::from(b'b'))),
            Err(GuideError::Run(_)) => return,
            Err(other) => panic!("{other}"),
        }
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let letter = if random >> 31 == 0 { b'a' } else { b'b' };
        if let Err(error) = guide.push(u32::from(letter)) {
            assert!(matches!(error, GuideError::Run(_)), "{error}");
            return;
        }
    }
}
