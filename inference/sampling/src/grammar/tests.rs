use serde_json::json;

use super::*;

fn limit(text: &str) -> &'static str {
    match check(text).unwrap_err() {
        Fault::Limit { what, .. } => what,
        other => panic!("{other}"),
    }
}

fn refused(text: &str) -> String {
    check(text).unwrap_err().to_string()
}

#[test]
fn what_people_ask_for_is_taken() {
    check(&json_object()).unwrap();
    let schema = json!({
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 100, "pattern": "^[a-z]{2,20}$"},
            "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 10},
            "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
            "price": {"type": "number", "multipleOf": 0.01, "minimum": 0}
        },
        "required": ["name"],
        "additionalProperties": false,
        "$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}}
    });
    check(&json_schema(&schema)).unwrap();
    check(
        "start: text? (\"<tool_call>\\n\" call \"\\n</tool_call>\")*\n\
         text[suffix=\"<tool_call>\"]: /(.|\\n)*/\n\
         call: %json {\"type\": \"object\"}\n | <|call|> DIGITS{1,3} (\"a\"..\"z\" | \"ok\"i)+\n\
         DIGITS: /[0-9]/\n",
    )
    .unwrap();
}

#[test]
fn a_schemas_root_may_bound_its_blanks_and_nothing_else() {
    let schema = bounded(Map::from_iter([("type".to_owned(), json!("object"))]));
    check(&json_schema(&schema)).unwrap();
    let below = json!({"type": "object", "properties": {"a": schema}});
    assert!(refused(&json_schema(&below)).contains("x-guidance"));
    for other in [
        json!({"whitespace_pattern": "[ ]+"}),
        json!({"whitespace_pattern": schema::BLANKS, "lenient": true}),
        json!({}),
    ] {
        let schema = json!({"type": "object", "x-guidance": other});
        assert!(refused(&json_schema(&schema)).contains("x-guidance"));
    }
}

#[test]
fn directives_comments_and_numbered_tokens_are_refused() {
    for text in [
        "%llguidance {\"no_forcing\": false}\nstart: \"a\"",
        "%import common.INT\nstart: INT",
        "%ignore / /\nstart: \"a\"",
        "start: %regex {\"substring_chars\": \"abc\"}",
        "start: %lark { start: \"a\" }",
        "start: @other",
        "start: \"a\" // comment",
        "# comment\nstart: \"a\"",
        "start: <[1-100]>",
        "start: <[*]>",
        "start[max_tokens=5]: \"a\"",
        "start[temperature=0]: /a/",
        "start: ~\"a\"",
        "start: A & B\nA: /a/\nB: /b/",
        "start: x::_\nx::_: \"a\" %if eq(_, 1)",
        "start: \"\\q\"",
        "start: \"a",
        "start: /a",
        "start: //",
        "start: (\"a\"",
        "start: \"a\")",
        "start: *",
        "start: A",
        "start: \"a\"\nstart: \"b\"",
        "start: %json [1]",
        "start: %json {",
        "start: /a/x",
        "nonsense",
    ] {
        check(text).expect_err(text);
    }
}

#[test]
fn repetitions_that_multiply_are_refused() {
    assert_eq!(limit("start: \"a\"{1,2000}"), "repetitions of one thing");
    assert!(refused("start: /a{2000}/").contains("too often"));
    let what = "positions in its regular expressions and terminals, repetitions written out";
    assert_eq!(limit("start: /((a{100}){100}){100}/"), what);
    assert_eq!(limit("start: ((\"a\"{100}){100}){100}"), what);
    // Each terminal is four of the next.
    let mut text = String::from("start: A\n");
    for (name, next) in ('A'..'N').zip('B'..='N') {
        text.push_str(&format!("{name}: {next} {next} {next} {next}\n"));
    }
    text.push_str("N: \"x\"\n");
    assert_eq!(limit(&text), what);
}

#[test]
fn terminals_that_hold_themselves_or_nest_too_deep_are_refused() {
    let circle = "start: A\nA: B\nB: A\n";
    assert!(refused(circle).contains("holds itself"));
    // Seventeen levels, whichever is counted first.
    let mut text = String::from("start: A\n");
    for (name, next) in ('A'..'R').zip('B'..='R') {
        text.push_str(&format!("{name}: {next}\n"));
    }
    text.push_str("R: \"x\"\n");
    assert_eq!(limit(&text), "levels of terminals in terminals");
}

#[test]
fn depth_and_alternation_are_bounded() {
    let deep = format!("start: {}\"a\"{}", "(".repeat(40), ")".repeat(40));
    assert!(refused(&deep).contains("nest too deep"));
    let deep = format!("start: /{}a{}/", "(".repeat(100), ")".repeat(100));
    check(&deep).unwrap_err();
    let wide = format!("start: \"a\"{}", " | \"a\"".repeat(2_100));
    assert_eq!(limit(&wide), "alternatives");
    let mut schema = json!({"type": "null"});
    for _ in 0..20 {
        schema = json!({"type": "array", "items": schema});
    }
    check(&json_schema(&schema)).unwrap();
    for _ in 0..20 {
        schema = json!({"type": "array", "items": schema});
    }
    assert_eq!(limit(&json_schema(&schema)), "levels in a schema");
    // Deeper than the library reads.
    let deep = format!(
        "start: %json {}1{}",
        "{\"items\":".repeat(5_000),
        "}".repeat(5_000)
    );
    check(&deep).unwrap_err();
}

#[test]
fn schemas_that_explode_are_refused() {
    let many = json!({"enum": (0..5_000).collect::<Vec<_>>()});
    assert_eq!(limit(&json_schema(&many)), "values in its schemas");
    let any = json!({"anyOf": [{"type": "null"}, {"type": "string"}, {"type": "number"}, {"type": "boolean"}]});
    let product = json!({"allOf": vec![any; 10]});
    let what = "alternatives in one place of a schema";
    assert_eq!(limit(&json_schema(&product)), what);
    // Ten definitions, each twice the next.
    let mut definitions = serde_json::Map::new();
    for n in 0..16 {
        let next = json!({"$ref": format!("#/$defs/d{}", n + 1)});
        definitions.insert(format!("d{n}"), json!({"anyOf": [next, next]}));
    }
    definitions.insert("d16".into(), json!({"type": "null"}));
    let chain = json!({"$ref": "#/$defs/d0", "$defs": definitions});
    check(&json_schema(&chain)).unwrap_err();
    let remote = json!({"$ref": "https://example.com/schema.json"});
    assert!(refused(&json_schema(&remote)).contains("names nothing in it"));
    let strange = json!({"x-guidance": {"lenient": true}, "type": "object"});
    assert!(refused(&json_schema(&strange)).contains("x-guidance"));
    let long = json!({"type": "string", "maxLength": 1_000_000_000});
    assert!(refused(&json_schema(&long)).contains("maxLength"));
    let fine = json!({"type": "number", "multipleOf": 1e-12});
    assert!(refused(&json_schema(&fine)).contains("multipleOf"));
    let pattern = json!({"type": "string", "pattern": "(a{500}){500}"});
    check(&json_schema(&pattern)).unwrap_err();
}

#[test]
fn whatever_bytes_a_text_has_it_is_taken_or_refused() {
    use proptest::prelude::*;
    proptest!(|(text in "(start: )?[ -~\\n☃]{0,80}")| {
        let _ = check(&text);
    });
    proptest!(|(text in "[a-zA-Z:|()*+?\"/{}\\[\\]<>%\\\\ \\n0-9,.]{0,80}")| {
        let _ = check(&text);
    });
}

#[test]
fn classes_are_few_where_each_is_folded_letter_by_letter() {
    check("start: /[a-z]+[0-9]\\pL/i\n").unwrap();
    let classes = "[\\s\\S]".repeat(500);
    check(&format!("start: /{classes}/\n")).unwrap();
    let joined = format!("[{}a]", "\\S&&".repeat(13));
    check(&format!("start: /{joined}/\n")).unwrap();
    for classes in [&classes, &joined] {
        for (flags, behind) in [
            ("", "i"),
            ("(?i)", ""),
            ("a(?s-u:b)(?si)", ""),
            ("(?x)( ?i)", ""),
        ] {
            let text = format!("start: /{flags}{classes}/{behind}\n");
            assert!(limit(&text).contains("positions"), "{flags}/{behind}");
        }
    }
    let schema = json!({"type": "string", "pattern": format!("(?i){classes}")});
    assert!(limit(&json_schema(&schema)).contains("positions"));
}

#[test]
fn what_a_reference_leads_to_is_looked_at_wherever_it_stands() {
    let hidden = |schema: serde_json::Value| {
        json_schema(
            &json!({"$ref": "#/elsewhere/0", "elsewhere": [{"$ref": "#/elsewhere/1"}, schema]}),
        )
    };
    check(&hidden(json!({"type": "string", "pattern": "^a{5}$"}))).unwrap();
    let bomb = hidden(json!({"type": "string", "pattern": "(a{500}){500}"}));
    assert!(limit(&bomb).contains("positions"));
    let lenient = hidden(json!({"x-guidance": {"lenient": true}}));
    assert!(refused(&lenient).contains("x-guidance"));
    check(&hidden(json!({"$ref": "#/elsewhere/0"}))).unwrap();
    // What may be read in two ways.
    let two = json!({"$ref": "#/$defs/a~1b", "$defs": {"a~1b": {}, "a/b": {}}});
    assert!(refused(&json_schema(&two)).contains("names nothing in it"));
    let named = json!({"$ref": "#/$defs/a", "$defs": {"a": {"$id": "http://example.com/a"}}});
    assert!(refused(&json_schema(&named)).contains("$id"));
    let named =
        json!({"$id": "http://example.com/a", "properties": {"id": {"$id": "#/properties/id"}}});
    check(&json_schema(&named)).unwrap();
}

#[test]
fn schemas_that_are_merged_or_copied_too_often_are_refused() {
    let mut properties = serde_json::Map::new();
    for n in 0..900 {
        properties.insert(format!("p{n}"), json!(true));
    }
    let large = json!({"type": "object", "properties": properties});
    let any = |count: usize| json!({"anyOf": vec![json!({"type": "object"}); count]});
    check(&json_schema(&json!({"allOf": [any(50), large]}))).unwrap();
    let copies = json_schema(&json!({"allOf": [any(500), large]}));
    assert!(limit(&copies).contains("times values"));
    let names = |names: &[&str]| -> serde_json::Map<String, serde_json::Value> {
        names
            .iter()
            .map(|name| ((*name).to_owned(), json!({"type": "string"})))
            .collect()
    };
    check(&json_schema(
        &json!({"type": "object", "patternProperties": names(&["^a", "^b"])}),
    ))
    .unwrap();
    let three = json!({"patternProperties": names(&["^a", "^b", "^c"])});
    assert!(limit(&json_schema(&three)).contains("patternProperties"));
    let merged = json!({"allOf": [{"patternProperties": names(&["^a"])}, {"type": "object"}]});
    assert!(refused(&json_schema(&merged)).contains("patternProperties"));
}
