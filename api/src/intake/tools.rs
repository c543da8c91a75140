//! Functions that a model may call: what is asked, and which of it is refused.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::params::{Params, short};
use crate::error::{ApiError, ApiResult};

/// Most functions of a request, as OpenAI has it.
pub const MAX_TOOLS: usize = 128;
/// Longest name of a function, in bytes.
const MAX_NAME: usize = 64;
/// Longest description of a function, in bytes.
const MAX_DESCRIPTION: usize = 16 << 10;

/// A function that the model may call.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    /// Letters, digits, `_` and `-`.
    pub name: String,
    /// What it is for, in words.
    pub description: Option<String>,
    /// JSON schema of its arguments, an object's.
    pub parameters: Value,
}

impl Tool {
    /// As chat templates take it: OpenAI's own shape.
    pub fn described(&self) -> Value {
        let mut function = Map::new();
        function.insert("name".into(), self.name.clone().into());
        if let Some(description) = &self.description {
            function.insert("description".into(), description.clone().into());
        }
        function.insert("parameters".into(), self.parameters.clone());
        json!({"type": "function", "function": function})
    }
}

/// Whether the model calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolChoice {
    /// As it likes.
    Auto,
    /// At least one function.
    Required,
    /// This one.
    Named(String),
}

/// Functions that can be called in an answer; without any there is none of this.
#[derive(Debug, Clone, PartialEq)]
pub struct Tools {
    /// At least one, each name once.
    pub list: Vec<Tool>,
    pub choice: ToolChoice,
    /// Several calls in one answer.
    pub parallel: bool,
}

impl Tools {
    /// Those that the choice leaves.
    pub fn callable(&self) -> impl Iterator<Item = &Tool> {
        self.list.iter().filter(move |tool| match &self.choice {
            ToolChoice::Named(name) => tool.name == *name,
            ToolChoice::Auto | ToolChoice::Required => true,
        })
    }
}

/// Where a client's API puts the fields of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nesting {
    /// Under `function`: chat completions.
    Under,
    /// Beside `type`: responses.
    Beside,
}

fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// The fields of a function, wherever they stand.
fn fields(entry: Value, nesting: Nesting, at: &str) -> ApiResult<(Map<String, Value>, String)> {
    let Value::Object(mut entry) = entry else {
        return Err(ApiError::invalid(at, "a tool must be an object"));
    };
    match entry.get("type").and_then(Value::as_str) {
        Some("function") => {}
        Some(other) => {
            return Err(ApiError::unsupported(
                &format!("{at}.type"),
                format!(
                    "tools of type {} are not offered, only functions, which the client runs itself",
                    short(&Value::from(other))
                ),
            ));
        }
        None => {
            return Err(ApiError::invalid(
                &format!("{at}.type"),
                "a tool needs type \"function\"",
            ));
        }
    }
    match nesting {
        Nesting::Beside => Ok((entry, at.to_owned())),
        Nesting::Under => match entry.remove("function") {
            Some(Value::Object(function)) => Ok((function, format!("{at}.function"))),
            _ => Err(ApiError::invalid(
                &format!("{at}.function"),
                "a tool needs function {name, description, parameters}",
            )),
        },
    }
}

/// A schema that names properties, none, and says nothing else: clients write it of a function without arguments.
fn names_none(schema: &Map<String, Value>) -> bool {
    let is_plain = |(key, value): (&String, &Value)| match key.as_str() {
        "properties" => value.as_object().is_some_and(Map::is_empty),
        "required" => value.as_array().is_some_and(Vec::is_empty),
        "type" | "title" | "description" | "$schema" => true,
        _ => false,
    };
    schema.contains_key("properties") && schema.iter().all(is_plain)
}

fn tool((mut fields, at): (Map<String, Value>, String)) -> ApiResult<Tool> {
    let name = match fields.remove("name") {
        Some(Value::String(name)) if is_name(&name) => name,
        _ => {
            return Err(ApiError::invalid(
                &format!("{at}.name"),
                format!(
                    "a function's name has 1 to {MAX_NAME} letters, digits, underscores or hyphens"
                ),
            ));
        }
    };
    let description = match fields.remove("description") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) if text.len() <= MAX_DESCRIPTION => Some(text),
        Some(_) => {
            return Err(ApiError::invalid(
                &format!("{at}.description"),
                format!("a description is a string of at most {MAX_DESCRIPTION} bytes"),
            ));
        }
    };
    let parameters = match fields.remove("parameters") {
        // OpenAI's meaning of none.
        None | Some(Value::Null) => {
            json!({"type": "object", "properties": {}, "additionalProperties": false})
        }
        Some(Value::Object(mut schema)) => {
            let kind = schema.get("type");
            if kind.is_some_and(|kind| kind != "object") {
                return Err(ApiError::invalid(
                    &format!("{at}.parameters"),
                    "parameters is the JSON schema of an object",
                ));
            }
            if names_none(&schema) {
                schema.insert("additionalProperties".into(), false.into());
            }
            Value::Object(schema)
        }
        Some(_) => {
            return Err(ApiError::invalid(
                &format!("{at}.parameters"),
                "parameters is a JSON schema, an object",
            ));
        }
    };
    // Arguments follow their schema in any case.
    if !matches!(
        fields.remove("strict"),
        None | Some(Value::Null | Value::Bool(_))
    ) {
        return Err(ApiError::invalid(
            &format!("{at}.strict"),
            "strict must be true or false",
        ));
    }
    Ok(Tool {
        name,
        description,
        parameters,
    })
}

fn list(value: Value, nesting: Nesting) -> ApiResult<Vec<Tool>> {
    let Value::Array(entries) = value else {
        return Err(ApiError::invalid("tools", "tools must be a list"));
    };
    if entries.len() > MAX_TOOLS {
        return Err(ApiError::invalid(
            "tools",
            format!("tools holds at most {MAX_TOOLS} functions"),
        ));
    }
    let mut names = BTreeSet::new();
    let mut out = Vec::with_capacity(entries.len());
    for (i, entry) in entries.into_iter().enumerate() {
        let at = format!("tools[{i}]");
        let found = tool(fields(entry, nesting, &at)?)?;
        if !names.insert(found.name.clone()) {
            return Err(ApiError::invalid(
                &at,
                format!("two functions are named {}; rename one", found.name),
            ));
        }
        out.push(found);
    }
    Ok(out)
}

/// What `tool_choice` says; `None` = nothing is called.
fn choice(value: Option<Value>, nesting: Nesting) -> ApiResult<Option<ToolChoice>> {
    let wrong = || {
        ApiError::invalid(
            "tool_choice",
            "tool_choice must be \"auto\", \"none\", \"required\" or name a function",
        )
    };
    let Some(value) = value else {
        return Ok(Some(ToolChoice::Auto));
    };
    match value.as_str() {
        Some("auto") => return Ok(Some(ToolChoice::Auto)),
        Some("none") => return Ok(None),
        // "any" is what Mistral's clients say.
        Some("required" | "any") => return Ok(Some(ToolChoice::Required)),
        Some(_) => return Err(wrong()),
        None => {}
    }
    let of = match nesting {
        Nesting::Under => value.get("function"),
        Nesting::Beside => Some(&value),
    };
    let name = of.and_then(|of| of.get("name")).and_then(Value::as_str);
    match (value.get("type").and_then(Value::as_str), name) {
        (Some("function"), Some(name)) => Ok(Some(ToolChoice::Named(name.to_owned()))),
        (Some("allowed_tools" | "custom"), _) => Err(ApiError::unsupported(
            "tool_choice",
            "tool_choice of this type is not offered; send only the tools that are allowed",
        )),
        _ => Err(wrong()),
    }
}

/// Reads `tools`, `tool_choice` and `parallel_tool_calls`. Functions that are not to be called are as none.
pub(super) fn tools(params: &mut Params, nesting: Nesting) -> ApiResult<Option<Tools>> {
    let parallel = match params.take("parallel_tool_calls") {
        None | Some(Value::Bool(true)) => true,
        Some(Value::Bool(false)) => false,
        Some(_) => {
            return Err(ApiError::invalid(
                "parallel_tool_calls",
                "parallel_tool_calls must be true or false",
            ));
        }
    };
    let choice = choice(params.take("tool_choice"), nesting)?;
    let list = match params.take("tools") {
        None => Vec::new(),
        Some(value) => list(value, nesting)?,
    };
    let Some(choice) = choice else {
        return Ok(None);
    };
    let missing = |message: String| Err(ApiError::invalid("tool_choice", message));
    match &choice {
        ToolChoice::Auto if list.is_empty() => return Ok(None),
        ToolChoice::Required if list.is_empty() => {
            return missing("tool_choice \"required\" needs tools".into());
        }
        ToolChoice::Named(name) if !list.iter().any(|tool| tool.name == *name) => {
            return missing(format!(
                "tool_choice names a function that tools does not hold: {}",
                short(&Value::from(name.as_str()))
            ));
        }
        _ => {}
    }
    Ok(Some(Tools {
        list,
        choice,
        parallel,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: Value, nesting: Nesting) -> ApiResult<Option<Tools>> {
        let mut params = Params::new(body.to_string().as_bytes())?;
        tools(&mut params, nesting)
    }

    fn weather() -> Value {
        json!({"type": "function", "function": {"name": "weather", "description": "of a city",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}, "strict": true}})
    }

    #[test]
    fn functions_are_read_from_both_apis() {
        let chat = read(json!({"tools": [weather()]}), Nesting::Under);
        let mut flat = weather()["function"].clone();
        flat["type"] = "function".into();
        let responses = read(json!({"tools": [flat]}), Nesting::Beside);
        let chat = chat.unwrap().unwrap();
        assert_eq!(chat, responses.unwrap().unwrap());
        assert_eq!(chat.choice, ToolChoice::Auto);
        assert!(chat.parallel);
        assert_eq!(
            chat.list[0].described()["function"]["name"],
            json!("weather")
        );
    }

    #[test]
    fn a_function_without_parameters_has_no_arguments() {
        let closed = |parameters: Value| {
            let function = json!({"name": "now", "parameters": parameters});
            let body = json!({"tools": [{"type": "function", "function": function}]});
            let tools = read(body, Nesting::Under).unwrap().unwrap();
            tools.list[0].parameters["additionalProperties"] == false
        };
        assert!(closed(Value::Null));
        assert!(closed(json!({"type": "object", "properties": {}})));
        // Any object.
        assert!(!closed(json!({"type": "object"})));
        assert!(!closed(
            json!({"properties": {}, "additionalProperties": true})
        ));
    }

    #[test]
    fn functions_that_are_not_to_be_called_are_none() {
        for body in [
            json!({}),
            json!({"tools": []}),
            json!({"tools": [], "tool_choice": "auto", "parallel_tool_calls": false}),
            json!({"tools": [weather()], "tool_choice": "none"}),
            json!({"tool_choice": "none"}),
        ] {
            assert_eq!(read(body.clone(), Nesting::Under), Ok(None), "{body}");
        }
    }

    #[test]
    fn a_choice_leaves_the_functions_that_it_names() {
        let mut other = weather();
        other["function"]["name"] = "time".into();
        let body = json!({"tools": [weather(), other], "parallel_tool_calls": false,
            "tool_choice": {"type": "function", "function": {"name": "time"}}});
        let tools = read(body, Nesting::Under).unwrap().unwrap();
        let names: Vec<&str> = tools.callable().map(|tool| tool.name.as_str()).collect();
        assert_eq!((names, tools.parallel), (vec!["time"], false));
    }

    #[test]
    fn what_is_wrong_with_tools_is_named() {
        let named = |name: &str| json!({"type": "function", "function": {"name": name}});
        let many: Vec<Value> = (0..=MAX_TOOLS).map(|i| named(&format!("f{i}"))).collect();
        for (body, param) in [
            (json!({"tools": {}}), "tools"),
            (json!({"tools": many}), "tools"),
            (json!({"tools": [1]}), "tools[0]"),
            (json!({"tools": [{"function": {}}]}), "tools[0].type"),
            (
                json!({"tools": [{"type": "function"}]}),
                "tools[0].function",
            ),
            (
                json!({"tools": [named("<tool_call>")]}),
                "tools[0].function.name",
            ),
            (json!({"tools": [named("")]}), "tools[0].function.name"),
            (json!({"tools": [named("a"), named("a")]}), "tools[1]"),
            (
                json!({"tools": [{"type": "function", "function": {"name": "a", "parameters": []}}]}),
                "tools[0].function.parameters",
            ),
            (
                json!({"tools": [{"type": "function", "function": {"name": "a", "parameters": {"type": "string"}}}]}),
                "tools[0].function.parameters",
            ),
            (json!({"tool_choice": "required"}), "tool_choice"),
            (
                json!({"tools": [named("a")], "tool_choice": "b"}),
                "tool_choice",
            ),
            (
                json!({"tools": [named("a")], "tool_choice": {"type": "function", "function": {"name": "b"}}}),
                "tool_choice",
            ),
            (json!({"parallel_tool_calls": "no"}), "parallel_tool_calls"),
        ] {
            let error = read(body.clone(), Nesting::Under).unwrap_err();
            assert_eq!(
                (error.code.as_str(), error.param.as_deref()),
                ("invalid_request", Some(param)),
                "{body}"
            );
        }
        let search = json!({"tools": [{"type": "web_search"}]});
        let error = read(search, Nesting::Beside).unwrap_err();
        assert_eq!(error.code, "unsupported_parameter");
    }
}
