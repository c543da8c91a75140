//! What an answer must look like: one text in a part of the Lark notation of `llguidance`, and the limits that are counted before
//! anybody accepts a job with it.
//!
//! Rules and terminals, strings, regular expressions, groups, `|`, `* + ?`, `{n,m}`, ranges, `<token>`, `%json` with a schema, the
//! attributes `[lazy]` and `[suffix="…"]`. No comments, no other directives: they could change how masks are made. The limits and
//! the exact versions of `llguidance` and `toktrie` are a part of `seeded-full`: with others it would be another profile.

mod budget;
mod lark;
mod pattern;
mod schema;

use budget::Budget;
pub use budget::Fault;
use serde_json::{Map, Value, json};

/// Whether a text keeps the limits. It may still be one that says nothing sensible: whoever makes masks of it finds out.
pub fn check(text: &str) -> Result<(), Fault> {
    lark::check(text, &mut Budget::default())
}

/// A schema of JSON that is not blanks for ever: a model that is at a loss may write them until its answer ends.
pub fn bounded(mut schema: Map<String, Value>) -> Value {
    schema.insert("x-guidance".into(), schema::manner());
    Value::Object(schema)
}

/// The grammar of any JSON object.
pub fn json_object() -> String {
    json_schema(&json!({"type": "object"}))
}

/// The grammar of what a JSON schema describes.
pub fn json_schema(schema: &Value) -> String {
    format!("start: %json {schema}\n")
}

#[cfg(test)]
mod tests;
