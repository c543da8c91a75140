//! Keeps the tables of models and formats in `docs/engine.md` true.
//!
//! `MYTHIC_REWRITE=1 cargo test -p mythic-model --test document` rewrites them.

use std::fmt::Write;

use mythic_model::gguf::TensorFormat;
use mythic_model::layout::Architecture;
use mythic_model::tokenizer::split::PreTokenizer;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/engine.md");

fn models() -> String {
    let mut out = String::from(
        "| `general.architecture` | models | what it does differently from `llama` |\n|---|---|---|\n",
    );
    for architecture in Architecture::ALL {
        let (name, models, differs) = (
            architecture.name(),
            architecture.models(),
            architecture.differs(),
        );
        writeln!(out, "| `{name}` | {models} | {differs} |").expect("a string");
    }
    out
}

fn formats() -> String {
    let mut out = String::from("| weights | values of a block | bits a weight |\n|---|--:|--:|\n");
    for format in TensorFormat::ALL {
        let (values, bytes) = (format.block_size(), format.block_bytes());
        let bits = 8.0 * bytes as f64 / values as f64;
        writeln!(out, "| {format} | {values} | {bits:.2} |").expect("a string");
    }
    out
}

fn tokenizers() -> String {
    PreTokenizer::NAMES.join(", ") + "."
}

#[test]
fn the_tables_are_those_of_the_source() {
    let before = std::fs::read_to_string(DOCUMENT).expect("the document");
    let mut document = before.clone();
    for (name, text) in [
        ("models", models()),
        ("formats", formats()),
        ("tokenizers", tokenizers()),
    ] {
        let (start, end) = (
            format!("<!-- made: {name} -->\n"),
            format!("<!-- end: {name} -->"),
        );
        let (head, rest) = document.split_once(&start).expect("the start of a table");
        let (_, tail) = rest.split_once(&end).expect("the end of a table");
        document = format!("{head}{start}{}\n{end}{tail}", text.trim_end());
    }
    if std::env::var_os("MYTHIC_REWRITE").is_some() {
        std::fs::write(DOCUMENT, &document).expect("writable");
        return;
    }
    assert!(
        document == before,
        "{DOCUMENT} is not true any more; MYTHIC_REWRITE=1 rewrites it"
    );
}
