//! `response_format`: text, any JSON object, or JSON of a schema.

use serde_json::{Map, Value, json};

use super::params::{Params, short};
use crate::error::{ApiError, ApiResult};

/// What an answer has to be.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Format {
    #[default]
    Text,
    /// Any JSON object.
    Object,
    /// JSON of this schema, an object's.
    Schema(Value),
}

impl Format {
    /// The schema that the answer follows, where it is JSON.
    pub fn schema(&self) -> Option<Value> {
        match self {
            Self::Text => None,
            Self::Object => Some(json!({"type": "object"})),
            Self::Schema(schema) => Some(schema.clone()),
        }
    }
}

/// Takes the schema apart that `{name, schema, strict}` holds. It is followed to the letter, strict or not.
fn schema(mut fields: Map<String, Value>, at: &str) -> ApiResult<Format> {
    match fields.remove("name") {
        Some(Value::String(name)) if !name.is_empty() && name.len() <= 64 => {}
        _ => {
            return Err(ApiError::invalid(
                &format!("{at}.name"),
                "a schema needs a name of 1 to 64 characters",
            ));
        }
    }
    if !matches!(
        fields.remove("strict"),
        None | Some(Value::Null | Value::Bool(_))
    ) {
        return Err(ApiError::invalid(
            &format!("{at}.strict"),
            "strict must be true or false",
        ));
    }
    match fields.remove("schema") {
        Some(Value::Object(schema)) if is_object(&schema) => {
            Ok(Format::Schema(Value::Object(schema)))
        }
        Some(Value::Object(_)) => Err(ApiError::invalid(
            &format!("{at}.schema"),
            "the schema must be of an object; put another value into a property of one",
        )),
        _ => Err(ApiError::invalid(
            &format!("{at}.schema"),
            "schema must be a JSON schema",
        )),
    }
}

/// Not plainly of something else than an object.
fn is_object(schema: &Map<String, Value>) -> bool {
    schema.get("type").is_none_or(|kind| kind == "object")
}

/// Reads a format: where it stands, and whether the fields of a schema stand under `json_schema` or beside `type`.
pub(super) fn format(value: Value, at: &str, nested: bool) -> ApiResult<Format> {
    let wrong = || {
        ApiError::invalid(
            at,
            format!("{at} must be {{\"type\": \"text\"}}, \"json_object\" or \"json_schema\""),
        )
    };
    let Value::Object(mut fields) = value else {
        return Err(wrong());
    };
    match fields.remove("type").as_ref().and_then(Value::as_str) {
        Some("text") => Ok(Format::Text),
        Some("json_object") => Ok(Format::Object),
        Some("json_schema") if !nested => schema(fields, at),
        Some("json_schema") => match fields.remove("json_schema") {
            Some(Value::Object(inner)) => schema(inner, &format!("{at}.json_schema")),
            _ => Err(ApiError::invalid(
                &format!("{at}.json_schema"),
                "json_schema must be an object {name, schema, strict}",
            )),
        },
        Some(other) => Err(ApiError::unsupported(
            at,
            format!(
                "{at} of type {} is not offered; text, json_object and json_schema are",
                short(&Value::from(other))
            ),
        )),
        None => Err(wrong()),
    }
}

/// Reads `response_format` of a chat.
pub(super) fn response_format(params: &mut Params) -> ApiResult<Format> {
    match params.take("response_format") {
        None => Ok(Format::Text),
        Some(value) => format(value, "response_format", true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_formats_are_read() {
        let read = |value: Value| format(value, "response_format", true).unwrap();
        assert_eq!(read(json!({"type": "text"})), Format::Text);
        assert_eq!(read(json!({"type": "json_object"})), Format::Object);
        let schema = json!({"type": "object", "properties": {"a": {"type": "integer"}}});
        let asked = json!({"type": "json_schema", "json_schema": {"name": "n", "strict": true, "schema": schema}});
        assert_eq!(read(asked), Format::Schema(schema.clone()));
        let flat = json!({"type": "json_schema", "name": "n", "schema": schema});
        assert_eq!(
            format(flat, "text.format", false),
            Ok(Format::Schema(schema))
        );
    }

    #[test]
    fn what_is_wrong_with_a_format_is_named() {
        let with = |inner: Value| json!({"type": "json_schema", "json_schema": inner});
        for (value, param) in [
            (json!("json"), "response_format"),
            (json!({}), "response_format"),
            (
                json!({"type": "json_schema"}),
                "response_format.json_schema",
            ),
            (
                with(json!({"schema": {}})),
                "response_format.json_schema.name",
            ),
            (
                with(json!({"name": "n"})),
                "response_format.json_schema.schema",
            ),
            (
                with(json!({"name": "n", "schema": {"type": "array"}})),
                "response_format.json_schema.schema",
            ),
            (
                with(json!({"name": "n", "schema": {}, "strict": 1})),
                "response_format.json_schema.strict",
            ),
        ] {
            let error = format(value.clone(), "response_format", true).unwrap_err();
            assert_eq!(
                (error.code.as_str(), error.param.as_deref()),
                ("invalid_request", Some(param)),
                "{value}"
            );
        }
        let grammar = format(json!({"type": "grammar"}), "response_format", true);
        assert_eq!(grammar.unwrap_err().code, "unsupported_parameter");
    }
}
