//! JSON schemas: depth, number of values, alternatives that multiply, repetitions, references that stay inside.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::budget::{Budget, Fault};
use super::pattern;

/// How deep values may nest.
const DEPTH: usize = 32;
/// Alternatives in one place, where those of `allOf` and of keywords beside each other multiply.
const ALTERNATIVES: u64 = 1_024;
/// Schemas looked at while alternatives are counted, references followed.
const LOOKS: u64 = 20_000;
/// Largest length of a string.
const LENGTH: u64 = 65_536;
/// Largest number of items or properties.
const ITEMS: u64 = 1_024;
/// Most expressions for names of properties of a schema: each is compared with each, wherever two schemas become one.
const NAME_PATTERNS: usize = 2;
/// Alternatives in one place times values of the schema: each may be made with a copy of what stands beside it.
const COPIES: u64 = 400_000;
/// Largest divisor, in ten-thousandths.
const DIVISOR: f64 = 10_000_000.0;

/// Most blanks between two parts of a JSON text: a line's end and the deepest indentation.
pub const BLANKS: &str = r"[ \n\t]{1,64}";

/// The one thing that a schema's root may say to the library.
pub fn manner() -> Value {
    serde_json::json!({"whitespace_pattern": BLANKS})
}

/// Whether a schema keeps the limits.
pub fn check(root: &Value, budget: &mut Budget) -> Result<(), Fault> {
    let mut walk = Walk {
        root,
        looks: LOOKS,
        values: 0,
        name_patterns: 0,
        merges: false,
        refers: false,
        renames: false,
        walked: HashSet::new(),
        behind: Vec::new(),
        budget,
    };
    walk.value(root, 0)?;
    walk.schema(root)?;
    // A reference may lead to where no keyword does.
    while let Some(schema) = walk.behind.pop() {
        walk.schema(schema)?;
    }
    if walk.refers && walk.renames {
        let words = "$ref is not taken where a schema inside has an $id of its own";
        return Err(Fault::Schema(words.into()));
    }
    if walk.merges && walk.name_patterns > 0 {
        let words = "patternProperties is not taken beside anyOf, oneOf, allOf or $ref";
        return Err(Fault::Schema(words.into()));
    }
    Ok(())
}

struct Walk<'a, 'b> {
    root: &'a Value,
    looks: u64,
    values: u64,
    name_patterns: usize,
    /// Whether schemas may become one.
    merges: bool,
    refers: bool,
    /// Whether one inside has a name, from which references in it would be read.
    renames: bool,
    /// Schemas whose keywords were looked at, and some that references lead to.
    walked: HashSet<*const Value>,
    behind: Vec<&'a Value>,
    budget: &'b mut Budget,
}

impl<'a> Walk<'a, '_> {
    /// Counts every value, schema or not.
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Fault> {
        self.budget.value()?;
        self.values += 1;
        if depth > DEPTH {
            return Err(Fault::Limit {
                what: "levels in a schema",
                most: DEPTH as u64,
            });
        }
        match value {
            Value::Array(all) => all.iter().try_for_each(|one| self.value(one, depth + 1)),
            Value::Object(all) => all.values().try_for_each(|one| self.value(one, depth + 1)),
            _ => Ok(()),
        }
    }

    /// The keywords of a schema and of all below it; [`Self::value`] said that they end.
    fn schema(&mut self, schema: &'a Value) -> Result<(), Fault> {
        let Value::Object(map) = schema else {
            return Ok(());
        };
        if !self.walked.insert(std::ptr::from_ref(schema)) {
            return Ok(());
        }
        let named = |key: &str| map.get(key).is_some_and(Value::is_string);
        self.renames |= (named("$id") || named("id")) && !std::ptr::eq(schema, self.root);
        for (key, value) in map {
            self.keyword(key, value)?;
        }
        let ways = self.alternatives(schema, 0)?;
        if ways.all > ALTERNATIVES {
            return Err(Fault::Limit {
                what: "alternatives in one place of a schema",
                most: ALTERNATIVES,
            });
        }
        match ways.copied > 1 && ways.copied.saturating_mul(self.values) > COPIES {
            true => Err(Fault::Limit {
                what: "alternatives in one place times values of a schema",
                most: COPIES,
            }),
            false => Ok(()),
        }
    }

    /// Whether this is what the root says.
    fn is_of_root(&self, key: &str, value: &Value) -> bool {
        let said = self.root.get(key);
        said.is_some_and(|said| std::ptr::eq(said, value))
    }

    fn keyword(&mut self, key: &str, value: &'a Value) -> Result<(), Fault> {
        match key {
            "x-guidance" if self.is_of_root(key, value) && *value == manner() => Ok(()),
            "x-guidance" => Err(Fault::Schema(format!("{key} is not taken"))),
            "$ref" => {
                (self.merges, self.refers) = (true, true);
                let target = self.target(value)?;
                self.behind.push(target);
                Ok(())
            }
            "minLength" | "maxLength" => number(key, value, LENGTH),
            "minItems" | "maxItems" | "minProperties" | "maxProperties" => {
                number(key, value, ITEMS)
            }
            "multipleOf" => divisor(value),
            "pattern" => {
                let text = value
                    .as_str()
                    .ok_or_else(|| Fault::Schema("pattern is no string".into()))?;
                pattern::check(text, self.budget).map(|_| ())
            }
            "patternProperties" => {
                let map = object(key, value)?;
                self.name_patterns += map.len();
                if self.name_patterns > NAME_PATTERNS {
                    return Err(Fault::Limit {
                        what: "patternProperties in a schema",
                        most: NAME_PATTERNS as u64,
                    });
                }
                for (name, below) in map {
                    pattern::check(name, self.budget)?;
                    self.schema(below)?;
                }
                Ok(())
            }
            "properties" | "$defs" | "definitions" => {
                let mut below = object(key, value)?.values();
                below.try_for_each(|below| self.schema(below))
            }
            "anyOf" | "oneOf" | "allOf" | "prefixItems" => {
                self.merges |= key != "prefixItems";
                let all = value
                    .as_array()
                    .ok_or_else(|| Fault::Schema(format!("{key} is no list")))?;
                all.iter().try_for_each(|below| self.schema(below))
            }
            "items" | "additionalItems" => match value {
                Value::Array(all) => all.iter().try_for_each(|below| self.schema(below)),
                below => self.schema(below),
            },
            "additionalProperties" => self.schema(value),
            _ => Ok(()),
        }
    }

    /// In how many ways a schema may be met, where every combination is made by itself. A reference that comes back to itself
    /// counts as one: what makes grammars of schemas makes it once.
    fn alternatives(&mut self, schema: &'a Value, depth: usize) -> Result<Ways, Fault> {
        self.looks = self.looks.checked_sub(1).ok_or(Fault::Limit {
            what: "schemas behind its references and alternatives",
            most: LOOKS,
        })?;
        let Value::Object(map) = schema else {
            return Ok(Ways::ONE);
        };
        if depth > DEPTH {
            return Ok(Ways::ONE);
        }
        let mut product = Ways::ONE;
        for (key, value) in map {
            let ways = match (key.as_str(), value) {
                ("anyOf" | "oneOf", Value::Array(all)) => {
                    let mut sum = Ways { all: 0, copied: 0 };
                    for below in all {
                        sum = sum.or(self.alternatives(below, depth + 1)?);
                    }
                    sum
                }
                ("allOf", Value::Array(all)) => {
                    let mut each = Ways::ONE;
                    for below in all {
                        each = each.and(self.alternatives(below, depth + 1)?);
                    }
                    each
                }
                // Constants and types are made with nothing of a schema's size.
                ("enum" | "type", Value::Array(all)) => Ways {
                    all: all.len() as u64,
                    copied: 1,
                },
                ("$ref", reference) => {
                    let target = self.target(reference)?;
                    self.alternatives(target, depth + 1)?
                }
                _ => Ways::ONE,
            };
            product = product.and(ways);
        }
        Ok(product)
    }

    /// What a reference names, in the same schema.
    fn target(&self, reference: &Value) -> Result<&'a Value, Fault> {
        let text = reference.as_str().unwrap_or_default();
        let found = match text {
            // What is written in another way may be read in another way.
            _ if text.contains(['~', '%']) => None,
            "#" | "#/" => Some(self.root),
            _ => text.strip_prefix("#/").and_then(|path| {
                path.split('/').try_fold(self.root, |at, step| match at {
                    Value::Array(all) => all.get(step.parse::<usize>().ok()?),
                    at => at.get(step),
                })
            }),
        };
        found.ok_or_else(|| {
            let reference: String = text.chars().take(80).collect();
            Fault::Schema(format!(
                "the reference {reference:?} names nothing in it; only those that begin with #/ are followed"
            ))
        })
    }
}

/// In how many ways a schema may be met.
#[derive(Clone, Copy)]
struct Ways {
    all: u64,
    /// Of these, those that are made with copies of schemas.
    copied: u64,
}

impl Ways {
    const ONE: Self = Self { all: 1, copied: 1 };

    fn or(self, other: Self) -> Self {
        Self {
            all: self.all.saturating_add(other.all),
            copied: self.copied.saturating_add(other.copied),
        }
    }

    /// Each with each; what has none counts as one.
    fn and(self, other: Self) -> Self {
        Self {
            all: self.all.saturating_mul(other.all.max(1)),
            copied: self.copied.saturating_mul(other.copied.max(1)),
        }
    }
}

fn object<'a>(key: &str, value: &'a Value) -> Result<&'a Map<String, Value>, Fault> {
    let map = value.as_object();
    map.ok_or_else(|| Fault::Schema(format!("{key} is no object")))
}

fn number(key: &str, value: &Value, most: u64) -> Result<(), Fault> {
    match value.as_u64() {
        Some(number) if number <= most => Ok(()),
        _ => Err(Fault::Schema(format!("{key} must be 0 to {most}"))),
    }
}

fn divisor(value: &Value) -> Result<(), Fault> {
    let scaled = value.as_f64().map(|divisor| divisor * 10_000.0);
    match scaled {
        // A divisor of so many digits at most; a tenth is a whole number of ten-thousandths but for its rounding.
        Some(x) if x > 0.5 && x <= DIVISOR && (x - x.round()).abs() < 1e-6 => Ok(()),
        _ => Err(Fault::Schema(
            "multipleOf must be above 0, up to 1000, with at most four decimals".into(),
        )),
    }
}
