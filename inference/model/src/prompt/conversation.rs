//! Conversations in which functions are called, for templates that know of them.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::marks::{Guard, Marks};

/// A conversation in OpenAI's shape, as Hugging Face gives it to templates. Its texts are text, names and keys too.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conversation {
    /// Objects of `role, content`, and where there are such `tool_calls` (arguments as objects), `tool_call_id`, `name`.
    pub messages: Vec<Value>,
    /// Objects of `type` and `function {name, description, parameters}`.
    pub tools: Vec<Value>,
}

/// How much a model thinks before it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReasoningEffort {
    Low,
    Medium,
    High,
}

impl ReasoningEffort {
    /// As templates compare it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// What a template is told beside the conversation. What isn't set is not defined for it, so that the model's own
/// default holds; documents are `none` where there are none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TemplateOptions {
    /// Whether the model thinks before it answers.
    pub enable_thinking: Option<bool>,
    pub reasoning_effort: Option<ReasoningEffort>,
    /// Objects that the answer is to rest on, of `title` and `text` for most templates. Their texts are text.
    pub documents: Vec<Value>,
}

impl TemplateOptions {
    /// All texts that users wrote.
    pub(super) fn texts(&self) -> Vec<&str> {
        let mut out = Vec::new();
        for value in &self.documents {
            texts_of(value, &mut out);
        }
        out
    }

    /// What is set of thinking, by the names that templates know.
    pub(super) fn switches(&self) -> minijinja::Value {
        let mut set: BTreeMap<&str, minijinja::Value> = BTreeMap::new();
        if let Some(thinks) = self.enable_thinking {
            set.insert("enable_thinking", thinks.into());
        }
        if let Some(effort) = self.reasoning_effort {
            set.insert("reasoning_effort", effort.as_str().into());
        }
        minijinja::Value::from_serialize(&set)
    }

    /// The documents for a template, with stand-ins; `None` without any.
    pub(super) fn marked_documents(&self, guard: &Guard, marks: &Marks) -> Option<Vec<Value>> {
        let mark = |document: &Value| marked(document, guard, marks);
        (!self.documents.is_empty()).then(|| self.documents.iter().map(mark).collect())
    }
}

/// What a template asks a message or a function for.
const KEYS: [&str; 14] = [
    "role",
    "content",
    "tool_calls",
    "tool_call_id",
    "id",
    "type",
    "function",
    "name",
    "description",
    "parameters",
    "arguments",
    "properties",
    "required",
    "enum",
];

fn texts_of<'v>(value: &'v Value, out: &mut Vec<&'v str>) {
    match value {
        Value::String(text) => out.push(text),
        Value::Array(list) => list.iter().for_each(|value| texts_of(value, out)),
        Value::Object(fields) => {
            for (key, value) in fields {
                out.push(key);
                texts_of(value, out);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A value whose texts have stand-ins.
fn marked(value: &Value, guard: &Guard, marks: &Marks) -> Value {
    match value {
        Value::String(text) => guard.text(marks, text).into(),
        Value::Array(list) => list
            .iter()
            .map(|value| marked(value, guard, marks))
            .collect(),
        Value::Object(fields) => {
            let mut out = Map::new();
            for (key, value) in fields {
                let key = match KEYS.contains(&key.as_str()) {
                    true => key.clone(),
                    false => guard.text(marks, key),
                };
                out.insert(key, marked(value, guard, marks));
            }
            Value::Object(out)
        }
        other => other.clone(),
    }
}

impl Conversation {
    /// All texts that users wrote.
    pub(super) fn texts(&self) -> Vec<&str> {
        let mut out = Vec::new();
        for value in self.messages.iter().chain(&self.tools) {
            texts_of(value, &mut out);
        }
        out
    }

    /// The messages for a template, with stand-ins.
    pub(super) fn marked_messages(&self, guard: &Guard, marks: &Marks) -> Vec<Value> {
        let mark = |message: &Value| {
            let mut out = marked(message, guard, marks);
            if let Some(role) = message.get("role").and_then(Value::as_str) {
                out["role"] = guard.role(marks, role).into();
            }
            out
        };
        self.messages.iter().map(mark).collect()
    }

    /// The functions for a template, with stand-ins; `None` without any.
    pub(super) fn marked_tools(&self, guard: &Guard, marks: &Marks) -> Option<Vec<Value>> {
        let mark = |tool: &Value| marked(tool, guard, marks);
        (!self.tools.is_empty()).then(|| self.tools.iter().map(mark).collect())
    }
}
