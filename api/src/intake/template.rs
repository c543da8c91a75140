//! What a request tells the model's chat template beside the conversation: whether and how much to think, and documents.

use mythic_model::prompt::{ReasoningEffort, TemplateOptions};
use serde_json::Value;

use super::params::{Params, short};
use crate::error::{ApiError, ApiResult};

/// Most documents of one request.
const MAX_DOCUMENTS: usize = 128;

fn contradicts(param: &str) -> ApiError {
    ApiError::invalid(
        param,
        format!("{param} contradicts what the request says of thinking elsewhere"),
    )
}

fn switch(options: &mut TemplateOptions, param: &str, thinks: bool) -> ApiResult<()> {
    match options.enable_thinking.replace(thinks) {
        Some(other) if other != thinks => Err(contradicts(param)),
        _ => Ok(()),
    }
}

fn effort(options: &mut TemplateOptions, param: &str, value: &Value) -> ApiResult<()> {
    let effort = match value.as_str() {
        // Who wants no effort wants no thinking.
        Some("none") => return switch(options, param, false),
        Some("low") => ReasoningEffort::Low,
        Some("medium") => ReasoningEffort::Medium,
        Some("high") => ReasoningEffort::High,
        _ => {
            return Err(ApiError::unsupported(
                param,
                format!(
                    "{param} is \"none\", \"low\", \"medium\" or \"high\" here, not {}",
                    short(value)
                ),
            ));
        }
    };
    match options.reasoning_effort.replace(effort) {
        Some(other) if other != effort => Err(contradicts(param)),
        _ => Ok(()),
    }
}

fn thinking(options: &mut TemplateOptions, param: &str, value: &Value) -> ApiResult<()> {
    match value.as_bool() {
        Some(thinks) => switch(options, param, thinks),
        None => Err(ApiError::invalid(
            param,
            format!("{param} must be true or false"),
        )),
    }
}

fn documents(params: &mut Params) -> ApiResult<Vec<Value>> {
    match params.take("documents") {
        None => Ok(Vec::new()),
        Some(Value::Array(list))
            if list.len() <= MAX_DOCUMENTS && list.iter().all(Value::is_object) =>
        {
            Ok(list)
        }
        Some(_) => Err(ApiError::invalid(
            "documents",
            format!("documents must be a list of at most {MAX_DOCUMENTS} objects"),
        )),
    }
}

/// Reads `reasoning_effort`, `enable_thinking`, both again in `chat_template_kwargs`, as vLLM and llama.cpp have them, and `documents`.
pub(super) fn template(params: &mut Params) -> ApiResult<TemplateOptions> {
    let mut options = TemplateOptions::default();
    if let Some(value) = params.take("reasoning_effort") {
        effort(&mut options, "reasoning_effort", &value)?;
    }
    if let Some(value) = params.take("enable_thinking") {
        thinking(&mut options, "enable_thinking", &value)?;
    }
    match params.take("chat_template_kwargs") {
        None => {}
        Some(Value::Object(told)) => {
            for (name, value) in told.iter().filter(|(_, value)| !value.is_null()) {
                let param = format!("chat_template_kwargs.{name}");
                match name.as_str() {
                    "reasoning_effort" => effort(&mut options, &param, value)?,
                    "enable_thinking" => thinking(&mut options, &param, value)?,
                    _ => {
                        return Err(ApiError::unsupported(
                            &param,
                            format!(
                                "{param} is not supported: enable_thinking and reasoning_effort are"
                            ),
                        ));
                    }
                }
            }
        }
        Some(_) => {
            return Err(ApiError::invalid(
                "chat_template_kwargs",
                "chat_template_kwargs must be an object",
            ));
        }
    }
    if options.enable_thinking == Some(false) && options.reasoning_effort.is_some() {
        return Err(contradicts("reasoning_effort"));
    }
    options.documents = documents(params)?;
    Ok(options)
}

/// Refuses what this model's template does not read: the answer would be as without it, and nobody would know. `reads` says whether
/// it reads a variable.
pub(super) fn check(
    options: &TemplateOptions,
    model: &str,
    reads: impl Fn(&str) -> bool,
) -> ApiResult<()> {
    let asked = [
        ("reasoning_effort", options.reasoning_effort.is_some()),
        ("enable_thinking", options.enable_thinking == Some(true)),
        ("documents", !options.documents.is_empty()),
    ];
    if let Some((name, _)) = asked.iter().find(|(name, asked)| *asked && !reads(name)) {
        return Err(ApiError::unsupported(
            name,
            format!(
                "{name} is not supported for {model}: its chat template does not read it; leave it out"
            ),
        ));
    }
    // A template that reads neither has nothing to switch off.
    match options.enable_thinking == Some(false)
        && !reads("enable_thinking")
        && reads("reasoning_effort")
    {
        true => Err(ApiError::unsupported(
            "reasoning_effort",
            format!("{model} can't be told not to think; reasoning_effort \"low\" is the least"),
        )),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: Value) -> ApiResult<TemplateOptions> {
        let mut params = Params::new(body.to_string().as_bytes())?;
        let options = template(&mut params)?;
        params.finish()?;
        Ok(options)
    }

    #[test]
    fn thinking_is_asked_for_as_clients_ask_for_it() {
        assert_eq!(read(json!({})), Ok(TemplateOptions::default()));
        let off = TemplateOptions {
            enable_thinking: Some(false),
            ..TemplateOptions::default()
        };
        for body in [
            json!({"reasoning_effort": "none"}),
            json!({"enable_thinking": false}),
            json!({"chat_template_kwargs": {"enable_thinking": false}}),
        ] {
            assert_eq!(read(body.clone()), Ok(off.clone()), "{body}");
        }
        let high = json!({"reasoning_effort": "high", "documents": [{"title": "a"}]});
        let high = read(high).unwrap();
        assert_eq!(high.reasoning_effort, Some(ReasoningEffort::High));
        assert_eq!(high.documents, [json!({"title": "a"})]);
        let twice =
            json!({"enable_thinking": true, "chat_template_kwargs": {"enable_thinking": true}});
        assert_eq!(read(twice).unwrap().enable_thinking, Some(true));
        for (body, param) in [
            (json!({"reasoning_effort": "extreme"}), "reasoning_effort"),
            (
                json!({"reasoning_effort": "none", "enable_thinking": true}),
                "enable_thinking",
            ),
            (
                json!({"reasoning_effort": "low", "enable_thinking": false}),
                "reasoning_effort",
            ),
            (
                json!({"reasoning_effort": "low", "chat_template_kwargs": {"reasoning_effort": "high"}}),
                "chat_template_kwargs.reasoning_effort",
            ),
            (json!({"enable_thinking": "no"}), "enable_thinking"),
            (json!({"chat_template_kwargs": 1}), "chat_template_kwargs"),
            (
                json!({"chat_template_kwargs": {"add_generation_prompt": false}}),
                "chat_template_kwargs.add_generation_prompt",
            ),
            (json!({"documents": ["a"]}), "documents"),
        ] {
            let error = read(body.clone()).unwrap_err();
            assert_eq!(error.param.as_deref(), Some(param), "{body}");
        }
    }

    #[test]
    fn what_a_template_does_not_read_is_refused() {
        let knows = |names: &'static [&'static str]| move |name: &str| names.contains(&name);
        let of = |options: &TemplateOptions, names: &'static [&'static str]| {
            let refused = check(options, "m", knows(names)).err();
            refused.and_then(|error| error.param)
        };
        let none: &[&str] = &[];
        let on = read(json!({"enable_thinking": true})).unwrap();
        assert_eq!(of(&on, none).as_deref(), Some("enable_thinking"));
        assert_eq!(of(&on, &["enable_thinking"]), None);
        let low = read(json!({"reasoning_effort": "low"})).unwrap();
        assert_eq!(of(&low, none).as_deref(), Some("reasoning_effort"));
        assert_eq!(of(&low, &["reasoning_effort"]), None);
        let off = read(json!({"reasoning_effort": "none"})).unwrap();
        assert_eq!(of(&off, none), None);
        assert_eq!(of(&off, &["enable_thinking", "reasoning_effort"]), None);
        let param = of(&off, &["reasoning_effort"]);
        assert_eq!(param.as_deref(), Some("reasoning_effort"));
        let told = read(json!({"documents": [{}]})).unwrap();
        assert_eq!(of(&told, none).as_deref(), Some("documents"));
    }
}
