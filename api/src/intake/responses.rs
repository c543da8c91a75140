//! OpenAI's Responses API, without what it keeps: every request says all that the model is to know.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Json,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use mythic_http::Trace;
use serde_json::{Map, Value};

use super::{
    entry::{Intake, whole, with_headers},
    format::{Format, format},
    history::{ChatMessage, MAX_MESSAGES, content, past_call},
    openai::{ChatRequest, Given, streaming, top_logprobs},
    params::{Params, payment, short},
    play::play,
    response::{ModelResponse, Repeated, RepeatedChoice, RepeatedReasoning, RepeatedText},
    response_events::ResponseEvents,
    shapes,
    template::template,
    tools::{Nesting, tools},
};
use crate::{
    app::App,
    error::{ApiError, ApiResult, ErrorBody},
    http::{Caller, JsonBytes},
    jobs::enter::Entered,
};

/// What a chat calls otherwise.
const NAMES: &[(&str, &str)] = &[
    ("messages", "input"),
    ("max_completion_tokens", "max_output_tokens"),
    ("response_format", "text.format"),
    ("reasoning_effort", "reasoning.effort"),
];

/// What asks for log-probabilities in `include`.
const LOGPROBS: &str = "message.output_text.logprobs";

/// Refuses what needs answers that are kept.
fn check_stateless(params: &mut Params) -> ApiResult<()> {
    for (name, instead) in [
        ("previous_response_id", "send the earlier turns in input"),
        ("conversation", "send the earlier turns in input"),
        ("prompt", "send its text in instructions and input"),
    ] {
        if params.take(name).is_some() {
            return Err(ApiError::unsupported(
                name,
                format!("{name} is not supported: nothing is kept here to refer to; {instead}"),
            ));
        }
    }
    if params.bool("background")? {
        return Err(ApiError::unsupported(
            "background",
            "background is not supported: an answer comes while it is asked for, or streams",
        ));
    }
    match params.string("truncation")?.as_deref() {
        None | Some("disabled") => {}
        Some(_) => {
            return Err(ApiError::unsupported(
                "truncation",
                "truncation is not supported: nothing is left out of what is sent; leave it out and send what fits",
            ));
        }
    }
    params.integer("max_tool_calls", 0, u64::MAX)?;
    Ok(())
}

/// Whether log-probabilities are asked for; whatever else is to be included, there is none.
fn includes_logprobs(params: &mut Params) -> ApiResult<bool> {
    match params.take("include") {
        None => Ok(false),
        Some(Value::Array(list)) if list.iter().all(Value::is_string) => {
            Ok(list.iter().any(|one| one == LOGPROBS))
        }
        Some(_) => Err(ApiError::invalid(
            "include",
            "include must be a list of strings",
        )),
    }
}

/// `reasoning`: its effort becomes a chat's, and how the answer repeats it.
fn reasoning(params: &mut Params) -> ApiResult<RepeatedReasoning> {
    let effort = match params.take("reasoning") {
        None => None,
        Some(Value::Object(mut map)) => map.remove("effort").filter(|effort| !effort.is_null()),
        Some(_) => {
            return Err(ApiError::invalid(
                "reasoning",
                "reasoning must be an object",
            ));
        }
    };
    let asked = effort.as_ref().and_then(Value::as_str).map(str::to_owned);
    if let Some(effort) = effort {
        params.set("reasoning_effort", effort);
    }
    Ok(RepeatedReasoning {
        effort: asked,
        summary: None,
    })
}

/// `text`: the format, and how the answer repeats it.
fn text(params: &mut Params) -> ApiResult<(Format, Map<String, Value>)> {
    let plain = || Map::from_iter([("type".to_owned(), Value::from("text"))]);
    let mut fields = match params.take("text") {
        None => return Ok((Format::Text, plain())),
        Some(Value::Object(fields)) => fields,
        Some(_) => return Err(ApiError::invalid("text", "text must be an object")),
    };
    let verbosity = fields.remove("verbosity");
    if verbosity.is_some_and(|value| !value.is_null() && value != "medium") {
        return Err(ApiError::unsupported(
            "text.verbosity",
            "text.verbosity is not supported: an answer is as long as the model makes it; \"medium\" is accepted, and max_output_tokens bounds it",
        ));
    }
    match fields.remove("format") {
        None | Some(Value::Null) => Ok((Format::Text, plain())),
        Some(value) => {
            let shown = value.as_object().cloned().unwrap_or_default();
            Ok((format(value, "text.format", false)?, shown))
        }
    }
}

/// A call belongs to what the assistant said just before.
fn add_call(out: &mut Vec<ChatMessage>, item: &Value, at: &str) -> ApiResult<()> {
    let id = item.get("call_id").and_then(Value::as_str);
    let call = past_call(id, item, at)?;
    match out.last_mut().filter(|last| last.role == "assistant") {
        Some(last) => last.calls.push(call),
        None => out.push(ChatMessage {
            role: "assistant",
            calls: vec![call],
            ..ChatMessage::default()
        }),
    }
    Ok(())
}

fn add_item(out: &mut Vec<ChatMessage>, mut item: Value, at: &str) -> ApiResult<()> {
    let kind = item
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or("message");
    match kind {
        "message" => {
            let role = match item.get("role").and_then(Value::as_str) {
                Some("system" | "developer") => "system",
                Some("user") => "user",
                Some("assistant") => "assistant",
                _ => {
                    return Err(ApiError::invalid(
                        &format!("{at}.role"),
                        "role must be system, developer, user or assistant",
                    ));
                }
            };
            let said = item.get_mut("content").map(Value::take);
            out.push(ChatMessage {
                role,
                content: content(said, at)?,
                ..ChatMessage::default()
            });
        }
        "function_call" => add_call(out, &item, at)?,
        "function_call_output" => {
            let Some(answers) = item.get("call_id").and_then(Value::as_str) else {
                return Err(ApiError::invalid(
                    &format!("{at}.call_id"),
                    "a function_call_output needs the call_id of its call",
                ));
            };
            let answers = Some(answers.to_owned());
            let output = item.get_mut("output").map(Value::take);
            out.push(ChatMessage {
                role: "tool",
                content: content(output, at)?,
                answers,
                ..ChatMessage::default()
            });
        }
        // Of another model's answer: this one is told what was said.
        "reasoning" => {}
        "item_reference" => {
            return Err(ApiError::unsupported(
                at,
                "an item_reference is not supported: nothing is kept here to refer to; send the item itself, as clients do that are told store: false",
            ));
        }
        other => {
            return Err(ApiError::unsupported(
                at,
                format!(
                    "items of type {} are not supported; message, function_call and function_call_output are",
                    short(&Value::from(other))
                ),
            ));
        }
    }
    Ok(())
}

/// What the model is told: `instructions`, then `input`.
fn input(instructions: Option<&str>, value: Option<Value>) -> ApiResult<Vec<ChatMessage>> {
    let mut out = Vec::new();
    if let Some(instructions) = instructions {
        out.push(ChatMessage {
            role: "system",
            content: instructions.to_owned(),
            ..ChatMessage::default()
        });
    }
    match value {
        Some(Value::String(text)) => out.push(ChatMessage::user(text)),
        Some(Value::Array(items)) if (1..=MAX_MESSAGES).contains(&items.len()) => {
            for (i, item) in items.into_iter().enumerate() {
                let at = format!("input[{i}]");
                if !item.is_object() {
                    return Err(ApiError::invalid(&at, "an item must be an object"));
                }
                add_item(&mut out, item, &at)?;
            }
        }
        _ => {
            return Err(ApiError::invalid(
                "input",
                format!("input must be a string, or a list of 1 to {MAX_MESSAGES} items"),
            ));
        }
    }
    Ok(out)
}

/// How an answer repeats `tool_choice`.
fn asked_choice(params: &Params) -> RepeatedChoice {
    let choice = params.get("tool_choice");
    let name = choice.and_then(|choice| choice.get("name"));
    match (choice.and_then(Value::as_str), name.and_then(Value::as_str)) {
        (Some(word), _) => RepeatedChoice::Word(word.to_owned()),
        (None, Some(name)) => RepeatedChoice::Function {
            kind: "function".into(),
            name: name.to_owned(),
        },
        (None, None) => RepeatedChoice::default(),
    }
}

fn asked_metadata(params: &Params) -> HashMap<String, String> {
    let map = params.get("metadata").and_then(Value::as_object);
    let text = |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
    map.into_iter().flatten().filter_map(text).collect()
}

/// Reads the body of `POST /v1/responses`.
fn parse(body: &[u8]) -> ApiResult<(ChatRequest, Repeated)> {
    let mut params = Params::new(body)?;
    check_stateless(&mut params)?;
    let reasoning = reasoning(&mut params)?;
    let instructions = params.string("instructions")?;
    let messages = input(instructions.as_deref(), params.take("input"))?;
    let logprobs = includes_logprobs(&mut params)?;
    let (stream, _) = streaming(&mut params)?;
    let (format, shown) = text(&mut params)?;
    let listed = params.get("tools").and_then(Value::as_array);
    let mut asked = Repeated {
        instructions,
        temperature: 1.0,
        top_p: params.get("top_p").and_then(Value::as_f64).unwrap_or(1.0),
        parallel_tool_calls: params.get("parallel_tool_calls") != Some(&Value::Bool(false)),
        tools: listed
            .into_iter()
            .flatten()
            .filter_map(|tool| tool.as_object().cloned())
            .collect(),
        tool_choice: asked_choice(&params),
        text: RepeatedText { format: shown },
        reasoning,
        metadata: asked_metadata(&params),
        user: params
            .get("user")
            .and_then(Value::as_str)
            .map(str::to_owned),
        max_output_tokens: None,
    };
    params.rename("max_output_tokens", "max_completion_tokens");
    let request = ChatRequest {
        stream,
        top_logprobs: match params.get("top_logprobs").is_some() || logprobs {
            true => top_logprobs(&mut params, true)?.filter(|_| logprobs),
            false => None,
        },
        format,
        tools: tools(&mut params, Nesting::Beside)?,
        template: template(&mut params)?,
        payment: payment(&mut params)?,
        ..ChatRequest::read(&mut params, Given::Chat(messages))?
    };
    params.finish()?;
    asked.max_output_tokens = request.max_tokens;
    asked.temperature = f64::from(request.temperature_milli) / 1_000.0;
    Ok((request, asked))
}

/// OpenAI's responses, streamed or whole, without what is kept of them there: `input` says all that the model is to know.
#[utoipa::path(post, path = "/v1/responses", operation_id = "create_response", tag = "inference",
    request_body(content = shapes::ResponseBody), security((), ("api_key" = [])),
    responses((status = 200, description = "With `stream` text/event-stream of OpenAI's events, from `response.created` to `response.completed` or `response.incomplete`", body = ModelResponse),
              (status = 400, description = "invalid_request, invalid_json, unsupported_parameter, context_length_exceeded", body = ErrorBody),
              (status = 401, description = "invalid_api_key", body = ErrorBody), (status = 402, description = "insufficient_funds, spend_limit_exceeded, grant_not_usable", body = ErrorBody),
              (status = 404, description = "model_not_found", body = ErrorBody), (status = 409, description = "request_in_progress", body = ErrorBody),
              (status = 410, description = "answer_expired", body = ErrorBody), (status = 422, description = "idempotency_key_reused, grammar_limit", body = ErrorBody),
              (status = 429, description = "rate_limit_exceeded", body = ErrorBody), (status = 502, description = "validator_failed, chain_refused", body = ErrorBody),
              (status = 503, description = "no_validator, gateway_busy and others, with Retry-After", body = ErrorBody)))]
pub async fn create(
    State(app): State<Arc<App>>,
    Caller(address): Caller,
    trace: Trace,
    headers: HeaderMap,
    JsonBytes(body): JsonBytes,
) -> ApiResult<Response> {
    let (request, asked) = parse(&body).map_err(|error| error.renamed(NAMES))?;
    let stream = request.stream;
    let intake = Intake {
        app: &app,
        headers: &headers,
        address,
        trace,
        body: &body,
        route: "/v1/responses",
        open: false,
    };
    let entered = intake.enter(request).await;
    let mut reader = match entered.map_err(|error| error.renamed(NAMES))? {
        Entered::Run(reader) => reader,
        Entered::Open(_) => return Err(ApiError::internal("a response made an open job")),
    };
    if stream {
        return play(&app, reader, ResponseEvents::new(asked)).await;
    }
    let run = reader.run().clone();
    let answers = whole(&app, &mut reader).await?;
    let answer = answers
        .first()
        .ok_or_else(|| ApiError::internal("a response without an answer"))?;
    Ok(with_headers(
        &app,
        Json(run.frame().response(&asked, answer)).into_response(),
        &run,
        Some(answer.end.job.clone()),
    ))
}

#[cfg(test)]
mod tests {
    use mythic_model::prompt::ReasoningEffort;
    use serde_json::json;

    use super::*;

    fn read(extra: Value) -> ApiResult<(ChatRequest, Repeated)> {
        let mut body = json!({"model": "m", "input": "hi"});
        for (name, value) in extra.as_object().unwrap() {
            body[name] = value.clone();
        }
        parse(body.to_string().as_bytes()).map_err(|error| error.renamed(NAMES))
    }

    fn messages(request: &ChatRequest) -> &[ChatMessage] {
        match &request.given {
            Given::Chat(messages) => messages,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn instructions_messages_calls_and_results_make_a_conversation() {
        let (request, asked) = read(json!({"instructions": "Be brief.", "max_output_tokens": 9, "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Wait.", "annotations": []}]},
            {"type": "reasoning", "id": "rs_1", "summary": []},
            {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "weather", "arguments": "{\"city\": \"Bern\"}"},
            {"type": "function_call_output", "call_id": "call_1", "output": "sunny"},
        ]}))
        .unwrap();
        let messages = messages(&request);
        let roles: Vec<&str> = messages.iter().map(|message| message.role).collect();
        assert_eq!(roles, ["system", "user", "assistant", "tool"]);
        assert_eq!(messages[2].content, "Wait.");
        assert_eq!(messages[2].calls[0].arguments["city"], "Bern");
        assert_eq!(messages[3].answers.as_deref(), Some("call_1"));
        assert_eq!(request.max_tokens, Some(9));
        assert_eq!(asked.max_output_tokens, Some(9));
        assert_eq!(asked.instructions.as_deref(), Some("Be brief."));
    }

    #[test]
    fn tools_and_formats_are_those_of_a_chat_in_other_places() {
        let (request, asked) = read(json!({
            "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": true}],
            "tool_choice": {"type": "function", "name": "f"}, "temperature": 0.5, "store": true,
            "include": ["reasoning.encrypted_content"], "metadata": {"a": "b"}}))
        .unwrap();
        assert_eq!(request.tools.unwrap().list[0].name, "f");
        assert_eq!((asked.temperature, asked.tools.len()), (0.5, 1));
        assert_eq!(asked.metadata["a"], "b");
        let (request, asked) = read(json!({"reasoning": {"effort": "high"}})).unwrap();
        let effort = request.template.reasoning_effort;
        assert_eq!(effort, Some(ReasoningEffort::High));
        assert_eq!(asked.reasoning.effort.as_deref(), Some("high"));
        let format = json!({"text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}}});
        let (request, asked) = read(format).unwrap();
        assert_eq!(request.format, Format::Schema(json!({"type": "object"})));
        assert_eq!(asked.text.format["name"], "n");
        let (request, _) = read(json!({"include": [LOGPROBS], "top_logprobs": 2})).unwrap();
        assert_eq!(request.top_logprobs, Some(2));
        assert_eq!(
            read(json!({"top_logprobs": 2})).unwrap().0.top_logprobs,
            None
        );
    }

    #[test]
    fn what_is_kept_elsewhere_and_what_is_wrong_is_refused_by_its_own_name() {
        for (body, param) in [
            (
                json!({"previous_response_id": "resp_1"}),
                "previous_response_id",
            ),
            (json!({"conversation": "c"}), "conversation"),
            (json!({"background": true}), "background"),
            (json!({"truncation": "auto"}), "truncation"),
            (
                json!({"reasoning": {"effort": "extreme"}}),
                "reasoning.effort",
            ),
            (json!({"reasoning": "high"}), "reasoning"),
            (json!({"text": {"verbosity": "low"}}), "text.verbosity"),
            (
                json!({"text": {"format": {"type": "grammar"}}}),
                "text.format",
            ),
            (json!({"input": []}), "input"),
            (json!({"input": [1]}), "input[0]"),
            (
                json!({"input": [{"role": "tool", "content": "x"}]}),
                "input[0].role",
            ),
            (
                json!({"input": [{"type": "item_reference", "id": "x"}]}),
                "input[0]",
            ),
            (
                json!({"input": [{"type": "function_call", "call_id": "c"}]}),
                "input[0]",
            ),
            (
                json!({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]}),
                "input[0].content[0]",
            ),
            (json!({"max_output_tokens": 0}), "max_output_tokens"),
            (json!({"n": 2}), "n"),
            (json!({"tools": [{"type": "web_search"}]}), "tools[0].type"),
        ] {
            let error = read(body.clone()).unwrap_err();
            assert_eq!(error.param.as_deref(), Some(param), "{body}");
        }
    }
}
