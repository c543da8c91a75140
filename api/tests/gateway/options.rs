//! What shapes an answer: options of sampling, formats, functions; and OpenAI's other two APIs on the same path.

use std::sync::Arc;

use axum::body::Body;
use mythic_api::app::App;
use mythic_interface::state::{Job, ModelSpec, SamplingProfile};
use mythic_sampling::Options;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::{
    harness::{EXACT, MODEL, World, error_of, exact_spec, within},
    validators::{ANSWER, JSON},
};

/// A gateway that serves the exact model too.
async fn exact(world: &World) -> Arc<App> {
    let model = world.exact.clone();
    world.other(|config| config.models.push(model)).await
}

/// Status and text of an answer.
async fn post(app: &Arc<App>, path: &str, body: &Value) -> (u16, String) {
    let url = &app.config.public_url;
    let request = axum::http::Request::post(path)
        .header("host", url.trim_start_matches("http://"))
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))
        .unwrap();
    let response = mythic_api::router(app.clone())
        .oneshot(request)
        .await
        .unwrap();
    let status = response.status().as_u16();
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await;
    (status, String::from_utf8(bytes.unwrap().to_vec()).unwrap())
}

async fn answered(app: &Arc<App>, path: &str, body: &Value) -> Value {
    let (status, text) = post(app, path, body).await;
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// The JSON of a stream's events.
fn events(text: &str) -> Vec<Value> {
    text.lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .filter_map(|data| serde_json::from_str(data).ok())
        .collect()
}

fn chat(prompt: &str, extra: &Value) -> Value {
    let mut body = json!({"model": EXACT, "messages": [{"role": "user", "content": prompt}], "max_completion_tokens": 80, "temperature": 0});
    for (name, value) in extra.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

fn weather() -> Value {
    json!([{"type": "function", "function": {"name": "weather", "description": "of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}])
}

async fn job(world: &World, answer: &Value) -> Job {
    world.job(answer["mythic"]["job"].as_str().unwrap()).await
}

/// The options of an answer's job, as its validator was told.
fn options_of(world: &World, answer: &Value) -> Options {
    let id = answer["mythic"]["job"].as_str().unwrap();
    let found = world
        .validators
        .iter()
        .find_map(|validator| validator.options.lock().unwrap().get(id).cloned());
    Options::from_wire(&found.flatten().unwrap()).unwrap()
}

#[test]
fn options_are_bound_by_the_terms_and_reach_the_validator() {
    within(|world| async move {
        let app = exact(world).await;
        let asked = json!({"temperature": 0.7, "top_p": 0.9, "top_k": 40, "logit_bias": {"7": -3}, "stop": ["STOP"]});
        let answer = answered(&app, "/v1/chat/completions", &chat("optional", &asked)).await;
        let fingerprint = answer["system_fingerprint"].as_str().unwrap();
        assert!(fingerprint.ends_with("_full"), "{fingerprint}");
        assert_eq!(
            answer["choices"][0]["message"]["content"],
            ANSWER.split("STOP").next().unwrap()
        );
        let terms = job(world, &answer).await.terms;
        assert_eq!(terms.sampling_profile, SamplingProfile::SeededFull as u8);
        let options = options_of(world, &answer);
        assert_eq!((options.top_p_ppm, options.top_k), (900_000, 40));
        assert_eq!(options.logit_bias, [(7, -3_000)]);
        assert_eq!(options.stop, ["STOP"]);
        assert_ne!(terms.options_hash, [0; 32]);
        // Without options the largest is the largest: anybody can replay that.
        let answer = answered(&app, "/v1/chat/completions", &chat("plain", &json!({}))).await;
        let terms = job(world, &answer).await.terms;
        assert_eq!(terms.sampling_profile, SamplingProfile::SeededTop4 as u8);
    });
}

#[test]
fn a_calibrated_model_refuses_what_can_not_be_replayed_before_money_moves() {
    within(|world| async move {
        for (name, value) in [
            ("presence_penalty", json!(0.5)),
            ("logit_bias", json!({"1": 2})),
            ("response_format", json!({"type": "json_object"})),
            ("tools", weather()),
        ] {
            let request = world.chat("calibrated", json!({name: value}));
            let error = error_of(request.send().await.unwrap(), 400, "unsupported_parameter").await;
            assert_eq!(error["param"], name);
            assert!(error["message"].as_str().unwrap().contains("is_exact"));
            assert!(error.get("job_id").is_none());
        }
        // At temperature 0 these change nothing.
        let request = world.chat("calibrated", json!({"top_p": 0.5, "top_k": 9}));
        assert_eq!(request.send().await.unwrap().status(), 200);
    });
}

#[test]
fn what_no_model_can_honour_is_refused_by_name() {
    within(|world| async move {
        let app = exact(world).await;
        let bomb = (0..40).fold(
            json!({}),
            |inner, _| json!({"type": "object", "properties": {"a": inner}}),
        );
        let of = |schema: Value| json!({"type": "json_schema", "json_schema": {"name": "n", "schema": schema}});
        // An object with one property that must be there.
        let with = |schema: Value| json!({"type": "object", "properties": {"a": schema}, "required": ["a"]});
        let any = json!({"anyOf": [{"type": "null"}, {"type": "string"}, {"type": "number"}, {"type": "boolean"}]});
        let mut chain = with(json!({"$ref": "#/$defs/d0"}));
        for n in 0..16 {
            let next = json!({"$ref": format!("#/$defs/d{}", n + 1)});
            chain["$defs"][format!("d{n}")] = json!({"anyOf": [next, next]});
        }
        chain["$defs"]["d16"] = json!({"type": "null"});
        let schemas = [
            bomb.clone(),
            json!({"$ref": "#"}),
            with(json!({"$ref": "http://example.com/a"})),
            with(json!({"enum": (0..5_000).collect::<Vec<u32>>()})),
            with(json!({"allOf": vec![any; 10]})),
            chain,
            with(json!({"const": "x".repeat(70_000)})),
            with(json!({"type": "string", "pattern": "(a{500}){500}"})),
            with(json!({"type": "string", "pattern": "(?=a)b"})),
            with(json!({"type": "string", "minLength": 5, "maxLength": 2})),
        ];
        let schemas =
            schemas.map(|schema| (json!({"response_format": of(schema)}), "response_format"));
        let mut bombs = weather();
        bombs[0]["function"]["parameters"] = bomb;
        let result = json!([{"role": "user", "content": "x"},
            {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "c", "content": "x".repeat(1 << 20)}]);
        let others = [
            (json!({"logit_bias": {"999999": 1}}), "logit_bias"),
            (json!({"messages": result}), "messages"),
            (json!({"tools": bombs}), "tools"),
        ];
        for (extra, param) in schemas.into_iter().chain(others) {
            let (status, text) = post(&app, "/v1/chat/completions", &chat("x", &extra)).await;
            let body: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(
                (status, &body["error"]["param"]),
                (400, &json!(param)),
                "{text}"
            );
            assert!(body["error"].get("job_id").is_none(), "{text}");
        }
        let result = json!([{"role": "user", "content": "x"},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "x".repeat(1 << 20)}]);
        let body = json!({"model": EXACT, "input": result});
        let (status, text) = post(&app, "/v1/responses", &body).await;
        let body: Value = serde_json::from_str(&text).unwrap();
        let error = &body["error"];
        assert_eq!((status, &error["param"]), (400, &json!("input")), "{text}");
        assert_eq!(error["code"], "context_length_exceeded", "{text}");
    });
}

#[test]
fn what_a_template_refuses_is_told_and_functions_are_told_where_it_takes_them() {
    within(|world| async move {
        let spec = ModelSpec {
            weights_hash: [10; 32],
            ..exact_spec()
        };
        let template = "{% if messages[0].role == 'system' %}{{ raise_exception('no system messages here') }}{% endif %}\
            {% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n";
        let strict = world.other_model("strict", spec, Some(template)).await;
        let app = world.other(|config| config.models.push(strict)).await;
        let mut body = json!({"model": "strict", "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]});
        for path in ["/v1/chat/completions", "/v1/estimate"] {
            let (status, text) = post(&app, path, &body).await;
            let answer: Value = serde_json::from_str(&text).unwrap();
            let error = &answer["error"];
            assert_eq!((status, &error["param"]), (400, &json!("messages")));
            let message = error["message"].as_str().unwrap();
            assert!(message.contains("no system messages here"), "{message}");
            assert!(error.get("job_id").is_none());
        }
        // Functions are told to such a model in the user's message.
        body["messages"].as_array_mut().unwrap().remove(0);
        let plain = answered(&app, "/v1/estimate", &body).await;
        body["tools"] = weather();
        let with = answered(&app, "/v1/estimate", &body).await;
        let tokens = |estimate: &Value| estimate["prompt_tokens"].as_u64().unwrap();
        assert!(tokens(&with) > tokens(&plain) + 50);
    });
}

#[test]
fn a_format_and_functions_that_look_alike_are_not_taken_together() {
    within(|world| async move {
        let spec = ModelSpec {
            weights_hash: [11; 32],
            ..exact_spec()
        };
        // As Llama 3 has it: a call is JSON and nothing else.
        let template = "{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}{% if m.role == 'ipython' %}{% endif %}\
            <|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n";
        let llama = world.other_model("llama", spec, Some(template)).await;
        let app = world.other(|config| config.models.push(llama)).await;
        let mut body = json!({"model": "llama", "messages": [{"role": "user", "content": "hi"}], "tools": weather(),
            "response_format": {"type": "json_object"}});
        let (status, text) = post(&app, "/v1/estimate", &body).await;
        let answer: Value = serde_json::from_str(&text).unwrap();
        let error = &answer["error"];
        assert_eq!((status, &error["param"]), (400, &json!("response_format")));
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("tool_choice"), "{message}");
        for choice in ["required", "none"] {
            body["tool_choice"] = choice.into();
            answered(&app, "/v1/estimate", &body).await;
        }
    });
}

#[test]
fn functions_are_called_answered_and_streamed() {
    within(|world| async move {
        let app = exact(world).await;
        let path = "/v1/chat/completions";
        let ask = chat("[calls] weather?", &json!({"tools": weather()}));
        let answer = answered(&app, path, &ask).await;
        let choice = &answer["choices"][0];
        assert_eq!(choice["finish_reason"], "tool_calls");
        assert_eq!(choice["message"]["content"], Value::Null);
        let call = &choice["message"]["tool_calls"][0];
        assert_eq!(call["function"]["name"], "weather");
        let arguments = call["function"]["arguments"].as_str().unwrap();
        let arguments: Value = serde_json::from_str(arguments).unwrap();
        assert_eq!(arguments, json!({"city": "Bern"}));

        let mut streamed = ask.clone();
        streamed["stream"] = true.into();
        let (_, text) = post(&app, path, &streamed).await;
        let events = events(&text);
        let deltas: Vec<&Value> = events
            .iter()
            .map(|event| &event["choices"][0]["delta"]["tool_calls"][0])
            .filter(|delta| delta.is_object())
            .collect();
        assert_eq!(deltas[0]["function"]["name"], "weather");
        let joined: String = deltas
            .iter()
            .filter_map(|delta| delta["function"]["arguments"].as_str())
            .collect();
        assert_eq!(joined, call["function"]["arguments"]);

        let mut history = ask["messages"].clone();
        let turns = history.as_array_mut().unwrap();
        turns[0]["content"] = "weather?".into();
        turns.push(choice["message"].clone());
        turns.push(json!({"role": "tool", "tool_call_id": call["id"], "content": "sunny"}));
        let mut next = ask.clone();
        next["messages"] = history;
        let (status, text) = post(&app, path, &next).await;
        assert_eq!(status, 200, "{text}");
    });
}

#[test]
fn json_is_asked_for_by_a_grammar_that_the_gateway_makes() {
    within(|world| async move {
        let app = exact(world).await;
        let format = json!({"response_format": {"type": "json_schema", "json_schema": {"name": "city", "strict": true,
            "schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}});
        let answer = answered(&app, "/v1/chat/completions", &chat("[json]", &format)).await;
        assert_eq!(answer["choices"][0]["message"]["content"], JSON);
        let grammar = options_of(world, &answer).grammar.unwrap();
        assert!(grammar.starts_with("start: %json "), "{grammar}");
        // A stop string cuts it like any other answer.
        let mut stopped = chat("[json] stopped", &format);
        stopped["stop"] = json!(["Bern"]);
        let answer = answered(&app, "/v1/chat/completions", &stopped).await;
        let choice = &answer["choices"][0];
        assert_eq!(choice["message"]["content"], "{\"city\": \"");
        assert_eq!(choice["finish_reason"], "stop");
        let options = options_of(world, &answer);
        assert!(options.grammar.is_some() && options.stop == ["Bern"]);
    });
}

#[test]
fn an_estimate_counts_the_functions_that_the_model_is_told_of() {
    within(|world| async move {
        let app = exact(world).await;
        let mut body = json!({"model": EXACT, "messages": [{"role": "user", "content": "hi"}]});
        let plain = answered(&app, "/v1/estimate", &body).await;
        body["tools"] = weather();
        let with = answered(&app, "/v1/estimate", &body).await;
        let tokens = |estimate: &Value| estimate["prompt_tokens"].as_u64().unwrap();
        assert!(tokens(&with) > tokens(&plain) + 50);
        assert_eq!(with["terms"]["sampling_profile"], 2);
        assert_ne!(with["terms"]["options_hash"], "0".repeat(64));
    });
}

#[test]
fn text_completions_continue_the_text_itself() {
    within(|world| async move {
        let client = reqwest::Client::new();
        let ask = |body: Value| {
            client
                .post(format!("{}/v1/completions", world.url))
                .header("idempotency-key", "a-text-completion-01")
                .json(&body)
                .send()
        };
        let body = json!({"model": MODEL, "prompt": "Once upon", "max_tokens": 64, "temperature": 0, "logprobs": 2});
        let answer: Value = ask(body.clone()).await.unwrap().json().await.unwrap();
        assert_eq!(answer["object"], "text_completion");
        assert_eq!(answer["choices"][0]["text"], ANSWER);
        assert_eq!(answer["choices"][0]["finish_reason"], "stop");
        let logprobs = &answer["choices"][0]["logprobs"];
        assert_eq!(logprobs["tokens"].as_array().unwrap().len(), ANSWER.len());
        assert_eq!(logprobs["text_offset"][3], 3);
        assert_eq!(answer["usage"]["prompt_tokens"], "Once upon".len());
        let again = ask(body).await.unwrap();
        assert_eq!(again.headers()["x-mythic-replayed"], "true");
        let again: Value = again.json().await.unwrap();
        assert_eq!(again["id"], answer["id"]);
        let ids: Vec<u32> = "Once".bytes().map(u32::from).collect();
        let body = json!({"model": MODEL, "prompt": ids, "max_tokens": 64, "temperature": 0, "stream": true,
            "stream_options": {"include_usage": true}});
        let request = client.post(format!("{}/v1/completions", world.url));
        let text = request.json(&body).send().await.unwrap().text().await;
        let text = text.unwrap();
        assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
        let events = events(&text);
        let told: String = events
            .iter()
            .filter_map(|event| event["choices"][0]["text"].as_str())
            .collect();
        assert_eq!(told, ANSWER);
        assert_eq!(events.last().unwrap()["usage"]["prompt_tokens"], 4);
    });
}

#[test]
fn responses_are_the_same_whole_and_streamed() {
    within(|world| async move {
        let client = reqwest::Client::new();
        let url = format!("{}/v1/responses", world.url);
        let body = json!({"model": MODEL, "instructions": "Be brief.", "input": "responses", "max_output_tokens": 64, "temperature": 0});
        let whole: Value = client
            .post(&url)
            .json(&body)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        assert_eq!(
            (&whole["object"], &whole["status"]),
            (&json!("response"), &json!("completed"))
        );
        assert_eq!(whole["output"][0]["content"][0]["text"], ANSWER);
        assert!(whole["id"].as_str().unwrap().starts_with("resp_"));
        assert_eq!(whole["instructions"], "Be brief.");
        let mut streamed = body.clone();
        streamed["stream"] = true.into();
        let response = client.post(&url).json(&streamed).send().await.unwrap();
        let text = response.text().await.unwrap();
        assert!(text.starts_with("event: response.created\n"), "{text}");
        let events = events(&text);
        let told: String = events
            .iter()
            .filter(|event| event["type"] == "response.output_text.delta")
            .filter_map(|event| event["delta"].as_str())
            .collect();
        assert_eq!(told, ANSWER);
        let last = events.last().unwrap();
        assert_eq!(last["type"], "response.completed");
        assert_eq!(
            last["response"]["output"][0]["content"],
            whole["output"][0]["content"]
        );
        assert_eq!(last["response"]["usage"], whole["usage"]);
        let kept = json!({"model": MODEL, "input": "more", "previous_response_id": whole["id"]});
        let refused = client.post(&url).json(&kept).send().await.unwrap();
        let error = error_of(refused, 400, "unsupported_parameter").await;
        assert_eq!(error["param"], "previous_response_id");
        let long = json!({"model": MODEL, "input": "x", "max_output_tokens": 4000});
        let refused = client.post(&url).json(&long).send().await.unwrap();
        let error = error_of(refused, 400, "context_length_exceeded").await;
        assert_eq!(error["param"], "max_output_tokens");
    });
}

#[test]
fn schemas_that_can_not_be_followed_cost_who_sends_them_and_nobody_else() {
    within(|world| async move {
        let app = exact(world).await;
        // It keeps every limit, and no object is one of it.
        let schema = json!({"type": "object", "required": ["a"],
            "properties": {"a": {"type": "string", "minLength": 5, "maxLength": 2}}});
        let bad = json!({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}});
        let good = json!({"response_format": {"type": "json_object"}});
        let path = "/v1/chat/completions";
        let mut refused = 0;
        let error = loop {
            let (status, text) = post(&app, path, &chat("[json]", &bad)).await;
            let body: Value = serde_json::from_str(&text).unwrap();
            if status == 429 {
                break body["error"].clone();
            }
            assert_eq!(
                (status, &body["error"]["param"]),
                (400, &json!("response_format")),
                "{text}"
            );
            refused += 1;
            assert!(refused < 40, "it is read again and again");
        };
        assert!(refused >= 10, "{refused}");
        assert_eq!(error["code"], "rate_limit_exceeded");
        let (status, text) = post(&app, path, &chat("[json]", &good)).await;
        assert_eq!(status, 429, "{text}");
        // What needs no reading goes on.
        answered(&app, path, &chat("plain", &json!({}))).await;
        // Without a key another asks.
        let mut body = json!({"model": EXACT, "prompt": "x"});
        body["response_format"] = good["response_format"].clone();
        answered(&app, "/v1/estimate", &body).await;
    });
}

#[test]
fn a_grammar_that_meets_a_limit_on_the_way_is_no_fault_of_the_validators() {
    within(|world| async move {
        let app = exact(world).await;
        let path = "/v1/chat/completions";
        let format = json!({"response_format": {"type": "json_object"}});
        // Three failures in a row would close each validator for a while.
        for at in 0..8 {
            let ask = chat(&format!("limited [json] {at}"), &format);
            let (status, text) = post(&app, path, &ask).await;
            let body: Value = serde_json::from_str(&text).unwrap();
            let error = &body["error"];
            assert_eq!(
                (status, &error["code"]),
                (422, &json!("grammar_limit")),
                "{text}"
            );
            assert!(error["job_id"].is_string());
        }
        answered(&app, path, &chat("[json]", &format)).await;
        assert_eq!(app.validators.open_breakers(), 0);
        // Where there is no grammar, the word is none.
        let (status, text) = post(&app, path, &chat("limited", &json!({}))).await;
        assert_eq!(status, 502, "{text}");
    });
}

#[test]
fn an_open_job_takes_no_format_and_is_not_made() {
    within(|world| async move {
        let app = exact(world).await;
        let body =
            json!({"model": EXACT, "prompt": "open", "response_format": {"type": "json_object"}});
        let (status, text) = post(&app, "/v1/inference?wait=false", &body).await;
        let body: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (status, &body["error"]["param"]),
            (400, &json!("response_format")),
            "{text}"
        );
        assert_eq!(body["error"]["code"], "unsupported_parameter");
    });
}

#[test]
fn schemas_that_wait_to_be_read_hold_up_no_other_prompt() {
    within(|world| async move {
        let app = exact(world).await;
        let someone = mythic_api::http::Asker::Key("someone".into());
        let mut turns = Vec::new();
        let short = std::time::Duration::from_millis(100);
        while let Ok(Ok(turn)) = tokio::time::timeout(short, app.edge.reading(&someone)).await {
            turns.push(turn);
        }
        let path = "/v1/chat/completions";
        let shaped = chat(
            "[json]",
            &json!({"response_format": {"type": "json_object"}}),
        );
        let (status, text) = post(&app, path, &shaped).await;
        assert_eq!(status, 503, "{text}");
        assert!(text.contains("gateway_busy"), "{text}");
        answered(&app, path, &chat("plain", &json!({}))).await;
        turns.pop();
        answered(&app, path, &shaped).await;
    });
}

#[test]
fn usage_tells_what_the_validator_had_read_before_and_nothing_where_it_said_nothing() {
    use crate::validators::CACHED;

    within(|world| async move {
        let usage = async |path: &str, body: Value| {
            let request = reqwest::Client::new().post(format!("{}{path}", world.url));
            let response = request.json(&body).send().await.unwrap();
            let text = response.text().await.unwrap();
            let whole: Option<Value> = serde_json::from_str(&text).ok();
            let last = whole.or_else(|| events(&text).pop()).unwrap();
            match last.get("response") {
                Some(response) => response["usage"].clone(),
                None => last["usage"].clone(),
            }
        };
        let chat = |prompt: &str| json!({"model": MODEL, "messages": [{"role": "user", "content": prompt}], "max_tokens": 64, "temperature": 0});
        let asked = "/v1/chat/completions";
        let silent = usage(asked, chat("nothing is said")).await;
        let details = &silent["prompt_tokens_details"];
        assert_eq!(details, &json!({"audio_tokens": 0}));
        let told = usage(asked, chat("cached:some")).await;
        assert_eq!(told["prompt_tokens_details"]["cached_tokens"], CACHED);
        // No more than there is to read.
        let more = usage(asked, chat("cached:more")).await;
        let all = &more["prompt_tokens"];
        assert_eq!(&more["prompt_tokens_details"]["cached_tokens"], all);
        let mut body = chat("streamed cached:some");
        body["stream"] = true.into();
        body["stream_options"] = json!({"include_usage": true});
        let told = usage(asked, body).await;
        assert_eq!(told["prompt_tokens_details"]["cached_tokens"], CACHED);
        let text =
            json!({"model": MODEL, "prompt": "cached:some", "max_tokens": 64, "temperature": 0});
        let told = usage("/v1/completions", text).await;
        assert_eq!(told["prompt_tokens_details"]["cached_tokens"], CACHED);
        for stream in [false, true] {
            let body = json!({"model": MODEL, "input": "cached:some", "max_output_tokens": 64, "temperature": 0, "stream": stream});
            let told = usage("/v1/responses", body).await;
            assert_eq!(told["input_tokens_details"]["cached_tokens"], CACHED);
        }
    });
}
