//! The grammar of an answer that is JSON, or may call functions: text that a job's options carry, made here so that neither
//! validators nor jurors know of formats and tools. Pure.

use serde_json::{Map, Value};

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

/// A schema without what changes no answer: a job's grammar is bounded.
fn bare(schema: &Value) -> Value {
    match schema {
        Value::Object(fields) => {
            let mut out = Map::new();
            for (name, value) in fields {
                if ANNOTATIONS.contains(&name.as_str()) {
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
    let mut schema = bare(schema);
    if let Value::Object(fields) = &mut schema {
        fields.entry("type").or_insert_with(|| "object".into());
    }
    format!("%json {schema}")
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// What stands around the calls of an answer, behind its opening.
struct Marks {
    /// Before the first.
    first: &'static str,
    /// Behind each.
    after: &'static str,
    /// Between two.
    between: &'static str,
    /// Behind the last.
    last: &'static str,
}

fn marks(style: CallStyle) -> Marks {
    let [first, after, between, last] = match style {
        CallStyle::Hermes => ["\n", "\n</tool_call>", "\n<tool_call>\n", ""],
        CallStyle::Llama3 => ["", "", "", ""],
        CallStyle::Mistral | CallStyle::Json => ["[", "", ", ", "]"],
    };
    Marks {
        first,
        after,
        between,
        last,
    }
}

/// Rules of one call or several: `calls`.
fn calls(out: &mut Vec<String>, style: CallStyle, tools: &Tools) {
    let marks = marks(style);
    let names: Vec<String> = (0..tools.callable().count())
        .map(|at| format!("call_{at}"))
        .collect();
    let more = match tools.parallel && style.is_plural() {
        true => format!(" ({} call)*", quoted(marks.between)),
        false => String::new(),
    };
    let literal = |text: &str| match text.is_empty() {
        true => String::new(),
        false => format!("{} ", quoted(text)),
    };
    out.push(format!(
        "calls: {}call{more} {}",
        literal(marks.first),
        literal(marks.last)
    ));
    out.push(format!("call: {}", names.join(" | ")));
    for (at, tool) in tools.callable().enumerate() {
        let head = format!("{{\"name\": {}, \"{}\": ", quoted(&tool.name), style.key());
        let tail = format!("}}{}", marks.after);
        out.push(format!(
            "call_{at}: {} arguments_{at} {}",
            quoted(&head),
            quoted(&tail)
        ));
        out.push(format!("arguments_{at}: {}", of_schema(&tool.parameters)));
    }
}

/// Rules of an answer that may call: `start`, and what it needs.
fn calling(style: CallStyle, tools: &Tools, format: &Format) -> String {
    let mut out = Vec::new();
    let opened = match style.opening() {
        Some(text) => format!("{} calls", quoted(text)),
        None => "calls".to_owned(),
    };
    match (&tools.choice, format.schema()) {
        (ToolChoice::Required | ToolChoice::Named(_), _) => out.push(format!("start: {opened}")),
        (ToolChoice::Auto, Some(schema)) => {
            out.push(format!("start: answer | {opened}"));
            out.push(format!("answer: {}", of_schema(&schema)));
        }
        (ToolChoice::Auto, None) => match style.opening() {
            // The opening ends the text as soon as it stands there.
            Some(text) => {
                out.push("start: TEXT? | opened calls".into());
                out.push(format!("opened[lazy]: TEXT {}", quoted(text)));
                out.push("TEXT: /(.|\\n)*/".into());
            }
            None => {
                let first = style.first().unwrap_or('{');
                out.push(format!("start: TEXT? | {opened}"));
                out.push(format!("TEXT: /[^\\{first}](.|\\n)*/"));
            }
        },
    }
    calls(&mut out, style, tools);
    out.push(String::new());
    out.join("\n")
}

/// The grammar of an answer; `None` where any text will do.
pub fn grammar(tools: Option<(&Tools, CallStyle)>, format: &Format) -> Option<String> {
    match tools {
        Some((tools, style)) => Some(calling(style, tools, format)),
        None => format
            .schema()
            .map(|schema| format!("start: {}\n", of_schema(&schema))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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
        assert_eq!(object, "start: %json {\"type\":\"object\"}\n");
    }

    #[test]
    fn a_schema_loses_what_it_says_to_people_and_no_property_of_that_name() {
        let schema = json!({"title": "T", "type": "object", "x-guidance": {"whitespace_flexible": true},
            "properties": {"title": {"type": "string", "description": "d"}, "default": {"enum": [{"title": 1}]}},
            "$defs": {"description": {"type": "null", "examples": [1]}}});
        assert_eq!(
            bare(&schema),
            json!({"type": "object", "properties": {"title": {"type": "string"}, "default": {"enum": [{"title": 1}]}},
                "$defs": {"description": {"type": "null"}}})
        );
    }

    #[test]
    fn text_may_turn_to_calls_where_its_markup_opens_them() {
        let tools = tools(&["a", "b"], ToolChoice::Auto);
        let text = grammar(Some((&tools, CallStyle::Hermes)), &Format::Text).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "start: TEXT? | opened calls");
        assert_eq!(lines[1], "opened[lazy]: TEXT \"<tool_call>\"");
        assert_eq!(lines[3], r#"calls: "\n" call ("\n<tool_call>\n" call)* "#);
        assert_eq!(lines[4], "call: call_0 | call_1");
        assert_eq!(
            lines[5],
            r#"call_0: "{\"name\": \"a\", \"arguments\": " arguments_0 "}\n</tool_call>""#
        );
        assert!(lines[6].starts_with("arguments_0: %json {"));
    }

    #[test]
    fn calls_that_are_the_whole_answer_begin_as_no_text_does() {
        let tools = tools(&["a"], ToolChoice::Auto);
        for (style, text) in [
            (CallStyle::Llama3, r"TEXT: /[^\{](.|\n)*/"),
            (CallStyle::Json, r"TEXT: /[^\[](.|\n)*/"),
        ] {
            let grammar = grammar(Some((&tools, style)), &Format::Text).unwrap();
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
                    let text = grammar(Some((&tools, style)), &format).unwrap();
                    mythic_sampling::grammar::check(&text)
                        .unwrap_or_else(|error| panic!("{error}: {text}"));
                }
            }
        }
    }

    #[test]
    fn a_choice_that_must_call_leaves_no_text_and_only_what_it_names() {
        let tools = tools(&["a", "b"], ToolChoice::Named("b".into()));
        let asked = Some((&tools, CallStyle::Llama3));
        let text = grammar(asked, &Format::Text).unwrap();
        assert!(text.starts_with("start: calls\ncalls: call \ncall: call_0\n"));
        assert!(text.contains(r#"{\"name\": \"b\", \"parameters\": "#) && !text.contains("TEXT"));
        let json = Tools {
            choice: ToolChoice::Auto,
            ..tools
        };
        let asked = Some((&json, CallStyle::Hermes));
        let text = grammar(asked, &Format::Object).unwrap();
        assert!(text.starts_with("start: answer | \"<tool_call>\" calls\nanswer: %json {"));
    }
}
