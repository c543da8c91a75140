//! What an answer must look like: one text in a part of the Lark notation of `llguidance`, and the limits that are counted before
//! anybody accepts a job with it.
//!
//! Rules and terminals, strings, regular expressions, groups, `|`, `* + ?`, `{n,m}`, ranges, `<token>`, `%json` with a schema, the
//! attributes `[lazy]` and `[suffix="…"]`. No comments, no other directives: they could change how masks are made. The limits and
//! the exact versions of `llguidance` and `toktrie` are a part of `seeded-full`: with others it would be another profile.

mod lark;
mod pattern;
mod schema;

use serde_json::{Value, json};

/// Why a grammar is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// One of the limits; the text is a bomb, or merely too large.
    #[error("it has more than {most} {what}")]
    Limit {
        /// What was counted.
        what: &'static str,
        most: u64,
    },
    #[error("{what} at byte {at}")]
    Syntax { what: &'static str, at: usize },
    #[error("it has {0}")]
    Structure(&'static str),
    #[error("its regular expression {pattern:?} is not taken: {why}")]
    Pattern {
        /// Its beginning.
        pattern: String,
        why: String,
    },
    #[error("its schema is not taken: {0}")]
    Schema(String),
}

/// What may still be counted, over the whole of one text.
#[derive(Debug)]
struct Budget {
    /// Positions of regular expressions and terminals, repetitions written out.
    expanded: u64,
    /// Values of schemas.
    values: u64,
}

/// Positions of all regular expressions and terminals together, repetitions written out.
const EXPANDED: u64 = 50_000;
/// Values of all schemas together.
const VALUES: u64 = 4_096;
/// The largest number of a repetition of a grammar or a regular expression.
const REPETITIONS: u64 = 1_024;

impl Budget {
    fn expand(&mut self, count: u64) -> Result<(), Fault> {
        let what = "positions in its regular expressions and terminals, repetitions written out";
        spend(&mut self.expanded, count, what, EXPANDED)
    }

    fn value(&mut self) -> Result<(), Fault> {
        spend(&mut self.values, 1, "values in its schemas", VALUES)
    }
}

fn spend(left: &mut u64, count: u64, what: &'static str, most: u64) -> Result<(), Fault> {
    *left = left.checked_sub(count).ok_or(Fault::Limit { what, most })?;
    Ok(())
}

/// Whether a text keeps the limits. It may still be one that says nothing sensible: whoever makes masks of it finds out.
pub fn check(text: &str) -> Result<(), Fault> {
    let mut budget = Budget {
        expanded: EXPANDED,
        values: VALUES,
    };
    lark::check(text, &mut budget)
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
