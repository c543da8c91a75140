//! The grammar of an answer that is JSON, or may call functions: text that a job's options carry, made here so that neither
//! validators nor jurors know of formats and tools. Pure.

use serde_json::{Map, Value, json};

use super::{
    calls::CallStyle,
    format::Format,
    tools::{ToolChoice, Tools},
};

/// What a schema says to people alone.
const ANNOTATIONS: [&str; 9] = [
    // The library's own, which is not taken.
    "x-guidance",
    "title",
    "description",
    "examples",
    "default",
    "deprecated",
    "readOnly",
    "writeOnly",
    "$comment",
];
/// Keywords whose value is an object of schemas by names of the client's own.
const NAMED: [&str; 5] = [
    "properties",
    "patternProperties",
    "dependentSchemas",
    "$defs",
    "definitions",
];

/// Formats of strings that are followed. Any other is a note for people, as JSON Schema has it.
const FORMATS: [&str; 10] = [
    "date-time",
    "time",
    "date",
    "duration",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "uuid",
    "uri",
];

/// What some clients write although it asks for nothing, and no grammar is made of.
fn is_idle(name: &str, value: &Value) -> bool {
    match name {
        "format" => value.as_str().is_some_and(|name| !FORMATS.contains(&name)),
        "propertyNames" => *value == json!({"type": "string"}),
        "uniqueItems" => *value == false,
        _ => false,
    }
}

/// A schema without what changes no answer: a job's grammar is bounded.
fn bare(schema: &Value) -> Value {
    match schema {
        Value::Object(fields) => {
            let mut out = Map::new();
            for (name, value) in fields {
                if ANNOTATIONS.contains(&name.as_str()) || is_idle(name, value) {
                    continue;
                }
                let value = match (name.as_str(), value) {
                    ("enum" | "const", value) => value.clone(),
                    (name, Value::Object(inner)) if NAMED.contains(&name) => inner
                        .iter()
                        .map(|(name, schema)| (name.clone(), bare(schema)))
                        .collect(),
                    (_, value) => bare(value),
                };
                out.insert(name.clone(), value);
            }
            Value::Object(out)
        }
        Value::Array(list) => list.iter().map(bare).collect(),
        other => other.clone(),
    }
}

/// JSON of a schema of an object.
fn of_schema(schema: &Value) -> String {
    let mut fields = match bare(schema) {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    fields.entry("type").or_insert_with(|| "object".into());
    format!("%json {}", mythic_sampling::grammar::bounded(fields))
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// A control token in a grammar, whatever brackets the model writes around its name.
fn control(text: &str) -> String {
    format!("<{}>", text.trim_matches(['<', '>', '[', ']']))
}

/// A regular expression of text in which an opening does not stand; its first character is nowhere else in it. Where openings are
/// control tokens, text that spells one would be read as a call, of any name and arguments.
fn without(opening: &str) -> String {
    let letter = |c: char| match c {
        '[' | ']' => format!("\\{c}"),
        c => c.to_string(),
    };
    let mut chars = opening.chars();
    let first = chars.next().map(letter).unwrap_or_default();
    // Behind its first character: as much of the rest as there is, then something else, a new beginning or the end.
    let mut begun = String::new();
    let mut ways = Vec::new();
    for next in chars.map(letter) {
        ways.push(format!("{begun}([^{first}{next}][^{first}]*)?"));
        begun += &next;
    }
    let again = format!("({first}({}))", ways.join("|"));
    format!("[^{first}]+{again}*|{again}+")
}

/// What stands around the calls of an answer, behind its opening: parts of rules.
struct Marks {
    /// Opens the first.
    opening: Option<String>,
    /// Before the first.
    first: String,
    /// Behind each, after its brace.
    after: String,
    /// Between two.
    between: String,
    /// Behind the last.
    last: String,
}

fn marks(style: CallStyle, controls: bool) -> Marks {
    let mark = |text: &str| match controls {
        true => control(text),
        false => quoted(text),
    };
    let opening = style.opening().map(mark);
    match style {
        CallStyle::Hermes => {
            let again = mark("<tool_call>");
            Marks {
                opening,
                first: quoted("\n"),
                after: format!("{} {}", quoted("}\n"), mark("</tool_call>")),
                between: format!("{} {again} {}", quoted("\n"), quoted("\n")),
                last: String::new(),
            }
        }
        CallStyle::Llama3 => Marks {
            opening,
            first: String::new(),
            after: quoted("}"),
            between: String::new(),
            last: String::new(),
        },
        CallStyle::Mistral | CallStyle::Json => Marks {
            opening,
            first: quoted("["),
            after: quoted("}"),
            between: quoted(", "),
            last: quoted("]"),
        },
    }
}

/// Rules of one call or several: `calls`.
fn calls(out: &mut Vec<String>, style: CallStyle, marks: &Marks, tools: &Tools) {
    let names: Vec<String> = (0..tools.callable().count())
        .map(|at| format!("call_{at}"))
        .collect();
    // Whoever names a function wants one call.
    let named = matches!(tools.choice, ToolChoice::Named(_));
    let more = match tools.parallel && style.is_plural() && !named {
        true => format!(" ({} call)*", marks.between),
        false => String::new(),
    };
    out.push(format!("calls: {} call{more} {}", marks.first, marks.last));
    out.push(format!("call: {}", names.join(" | ")));
    for (at, tool) in tools.callable().enumerate() {
        let head = format!("{{\"name\": {}, \"{}\": ", quoted(&tool.name), style.key());
        out.push(format!(
            "call_{at}: {} arguments_{at} {}",
            quoted(&head),
            marks.after
        ));
        out.push(format!("arguments_{at}: {}", of_schema(&tool.parameters)));
    }
}

/// Rules of an answer that may call: `start`, and what it needs.
fn calling(tools: &Tools, style: CallStyle, controls: bool, format: &Format) -> String {
    let mut out = Vec::new();
    let marks = marks(style, controls);
    let opened = match &marks.opening {
        Some(opening) => format!("{opening} calls"),
        None => "calls".to_owned(),
    };
    match (&tools.choice, format.schema()) {
        (ToolChoice::Required | ToolChoice::Named(_), _) => out.push(format!("start: {opened}")),
        (ToolChoice::Auto, Some(schema)) => {
            out.push(format!("start: answer | {opened}"));
            out.push(format!("answer: {}", of_schema(&schema)));
        }
        (ToolChoice::Auto, None) => match &marks.opening {
            Some(_) if controls => {
                out.push(format!("start: TEXT? | TEXT? {opened}"));
                let opening = style.opening().unwrap_or_default();
                out.push(format!("TEXT: /{}/", without(opening)));
            }
            // The opening ends the text as soon as it stands there.
            Some(opening) => {
                out.push("start: TEXT? | opened calls".into());
                out.push(format!("opened[lazy]: TEXT {opening}"));
                out.push("TEXT: /(.|\\n)*/".into());
            }
            None => {
                let first = style.first().unwrap_or('{');
                out.push(format!("start: TEXT? | {opened}"));
                out.push(format!("TEXT: /[^\\{first}](.|\\n)*/"));
            }
        },
    }
    calls(&mut out, style, &marks, tools);
    out.push(String::new());
    out.join("\n")
}

/// The grammar of an answer; `None` where any text will do. With functions go their model's style and whether the markup of its
/// calls is control tokens.
pub fn grammar(tools: Option<(&Tools, CallStyle, bool)>, format: &Format) -> Option<String> {
    match tools {
        Some((tools, style, controls)) => Some(calling(tools, style, controls, format)),
        None => format
            .schema()
            .map(|schema| format!("start: {}\n", of_schema(&schema))),
    }
}

#[cfg(test)]
mod tests {
    use mythic_sampling::{Guide, Mask, Vocabulary};

    use super::*;
    use crate::intake::tools::Tool;

    fn tools(names: &[&str], choice: ToolChoice) -> Tools {
        let list = names.iter().map(|name| Tool {
            name: (*name).into(),
            description: None,
            parameters: json!({"type": "object"}),
        });
        Tools {
            list: list.collect(),
            choice,
            parallel: true,
        }
    }

    #[test]
    fn text_needs_no_grammar_and_json_is_its_schema() {
        assert_eq!(grammar(None, &Format::Text), None);
        let object = grammar(None, &Format::Object).unwrap();
        let schema = object.strip_prefix("start: %json ").unwrap();
        let schema: Value = serde_json::from_str(schema).unwrap();
        assert_eq!(schema["type"], "object");
        assert!(schema["x-guidance"]["whitespace_pattern"].is_string());
    }

    #[test]
    fn a_schema_loses_what_it_says_to_people_and_no_property_of_that_name() {
        let schema = json!({"title": "T", "type": "object", "x-guidance": {"whitespace_flexible": true},
            "properties": {"title": {"type": "string", "description": "d"}, "default": {"enum": [{"title": 1}]}},
            "$defs": {"description": {"type": "null", "examples": [1]}}, "propertyNames": {"type": "string"}, "uniqueItems": false});
        assert_eq!(
            bare(&schema),
            json!({"type": "object", "properties": {"title": {"type": "string"}, "default": {"enum": [{"title": 1}]}},
                "$defs": {"description": {"type": "null"}}})
        );
    }

    #[test]
    fn formats_that_are_known_are_followed_and_others_ask_for_nothing() {
        let schema = json!({"properties": {"format": {"type": "string", "format": "password"}, "size": {"type": "integer", "format": "int64"}}});
        assert_eq!(
            bare(&schema),
            json!({"properties": {"format": {"type": "string"}, "size": {"type": "integer"}}})
        );
        let of = |format: &str| {
            let schema = json!({"type": "object", "properties": {"a": {"type": "string", "format": format}}});
            grammar(None, &Format::Schema(schema)).unwrap()
        };
        for name in FORMATS {
            let text = of(name);
            assert!(text.contains(name), "{text}");
            mythic_sampling::guide::check_text(&text)
                .unwrap_or_else(|error| panic!("{error}: {text}"));
        }
        for name in ["path", "binary", "uri-reference", "cuid"] {
            mythic_sampling::guide::check_text(&of(name)).unwrap();
        }
    }

    #[test]
    fn text_may_turn_to_calls_where_its_markup_opens_them() {
        let tools = tools(&["a", "b"], ToolChoice::Auto);
        let text = grammar(Some((&tools, CallStyle::Hermes, false)), &Format::Text).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "start: TEXT? | opened calls");
        assert_eq!(lines[1], "opened[lazy]: TEXT \"<tool_call>\"");
        assert_eq!(
            lines[3],
            r#"calls: "\n" call ("\n" "<tool_call>" "\n" call)* "#
        );
        assert_eq!(lines[4], "call: call_0 | call_1");
        assert_eq!(
            lines[5],
            r#"call_0: "{\"name\": \"a\", \"arguments\": " arguments_0 "}\n" "</tool_call>""#
        );
        assert!(lines[6].starts_with("arguments_0: %json {"));
    }

    /// The number of the control token of an opening, in a vocabulary of all bytes.
    const OPENING: u32 = 256;

    /// What may follow a text.
    fn follows(grammar: &str, opening: &str, text: &str) -> Mask {
        let mut pieces: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
        let controls = [
            (OPENING, opening),
            (OPENING + 1, "<|end|>"),
            (OPENING + 2, "</tool_call>"),
        ];
        pieces.resize(256 + controls.len(), Vec::new());
        let controls = controls.into_iter();
        let bytes = pieces.iter().map(Vec::as_slice);
        let vocabulary = Vocabulary::of(bytes, controls, &[OPENING + 1]).unwrap();
        let mut guide = Guide::new(&vocabulary, grammar).unwrap();
        for byte in text.bytes().map(u32::from) {
            assert!(guide.mask().unwrap().allows(byte), "{text}: {byte}");
            guide.push(byte).unwrap();
        }
        guide.mask().unwrap()
    }

    #[test]
    fn text_spells_no_opening_that_is_a_control_token() {
        let tools = tools(&["a"], ToolChoice::Auto);
        for style in [CallStyle::Hermes, CallStyle::Mistral] {
            let opening = style.opening().unwrap();
            let grammar = grammar(Some((&tools, style, true)), &Format::Text).unwrap();
            let (begun, last) = opening.split_at(opening.len() - 1);
            let last = u32::from(last.as_bytes()[0]);
            let first = &opening[..1];
            let again = format!("{begun}a{first}{first}");
            for text in ["", "a\n", first, &begun[..5], &again] {
                let next = follows(&grammar, opening, text);
                assert!(next.allows(OPENING) && next.allows(last), "{text}");
            }
            for text in [begun.to_owned(), format!("a{first}{begun}")] {
                let next = follows(&grammar, opening, &text);
                assert!(!next.allows(last), "{text}");
                assert!(next.allows(OPENING) && next.allows(u32::from(b'a')));
            }
        }
    }

    #[test]
    fn calls_that_are_the_whole_answer_begin_as_no_text_does() {
        let tools = tools(&["a"], ToolChoice::Auto);
        for (style, text) in [
            (CallStyle::Llama3, r"TEXT: /[^\{](.|\n)*/"),
            (CallStyle::Json, r"TEXT: /[^\[](.|\n)*/"),
        ] {
            let grammar = grammar(Some((&tools, style, false)), &Format::Text).unwrap();
            assert!(grammar.contains(text), "{grammar}");
        }
    }

    #[test]
    fn every_grammar_that_is_made_here_is_of_the_part_that_is_taken() {
        let schema = json!({"type": "object", "properties": {"city": {"type": "string", "maxLength": 9, "title": "City"}}});
        for choice in [
            ToolChoice::Auto,
            ToolChoice::Required,
            ToolChoice::Named("b".into()),
        ] {
            for style in [
                CallStyle::Hermes,
                CallStyle::Llama3,
                CallStyle::Mistral,
                CallStyle::Json,
            ] {
                for format in [Format::Text, Format::Object, Format::Schema(schema.clone())] {
                    let tools = tools(&["a", "b"], choice.clone());
                    for controls in [false, true] {
                        let text = grammar(Some((&tools, style, controls)), &format).unwrap();
                        mythic_sampling::grammar::check(&text)
                            .unwrap_or_else(|error| panic!("{error}: {text}"));
                        mythic_sampling::guide::check_text(&text)
                            .unwrap_or_else(|error| panic!("{error}: {text}"));
                    }
                }
            }
        }
    }

    #[test]
    fn a_choice_that_must_call_leaves_no_text_and_only_what_it_names() {
        let tools = tools(&["a", "b"], ToolChoice::Named("b".into()));
        let asked = Some((&tools, CallStyle::Llama3, false));
        let text = grammar(asked, &Format::Text).unwrap();
        assert!(text.starts_with("start: calls\ncalls:  call \ncall: call_0\n"));
        assert!(text.contains(r#"{\"name\": \"b\", \"parameters\": "#) && !text.contains("TEXT"));
        // One call, though this style has several and the client takes several.
        let asked = Some((&tools, CallStyle::Hermes, false));
        assert!(!grammar(asked, &Format::Text).unwrap().contains(" call)*"));
        let json = Tools {
            choice: ToolChoice::Auto,
            ..tools
        };
        let asked = Some((&json, CallStyle::Hermes, false));
        let text = grammar(asked, &Format::Object).unwrap();
        assert!(text.starts_with("start: answer | \"<tool_call>\" calls\nanswer: %json {"));
    }
}
