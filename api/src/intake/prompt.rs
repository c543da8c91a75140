//! From what a request gives to the tokens that its model is told. Pure, and slow: seconds for the longest.

use std::collections::HashMap;

use mythic_model::prompt::{Conversation, Message, PromptError, PromptFormatter, TemplateOptions};
use serde_json::{Value, json};

use super::{
    calls::{CallStyle, nine},
    history::{ChatMessage, PastCall},
    openai::Given,
    tools::Tools,
};

/// The tokens of a request's prompt.
pub fn tokens(
    formatter: &PromptFormatter,
    style: CallStyle,
    given: &Given,
    tools: Option<&Tools>,
    options: &TemplateOptions,
) -> Result<Vec<u32>, PromptError> {
    match given {
        Given::Ids(ids) => Ok(ids.clone()),
        Given::Text(text) => formatter.encode(text),
        Given::Prompt(text) => formatter.prompt(text),
        Given::Chat(messages) => match (needs_tools(messages, tools), style.is_native()) {
            (false, _) => formatter.chat_with(&plain(messages), options),
            (true, true) => formatter.converse_with(&native(messages, tools, style), options),
            (true, false) => untold(formatter, messages, tools, options),
        },
    }
}

/// How a model calls functions: as its template says, if it tells the model of them.
pub fn style(formatter: &PromptFormatter, template: &str) -> CallStyle {
    const NAME: &str = "is_this_told";
    let style = CallStyle::of(template);
    let told = || {
        let asked = Conversation {
            messages: vec![json!({"role": "user", "content": "Hello."})],
            tools: vec![
                json!({"type": "function", "function": {"name": NAME, "description": "None.",
                "parameters": {"type": "object", "properties": {}}}}),
            ],
        };
        let ids = formatter.converse(&asked);
        ids.is_ok_and(|ids| formatter.decode(&ids).contains(NAME))
    };
    match style.is_native() && !told() {
        true => CallStyle::Json,
        false => style,
    }
}

fn needs_tools(messages: &[ChatMessage], tools: Option<&Tools>) -> bool {
    let is_called = |message: &ChatMessage| message.role == "tool" || !message.calls.is_empty();
    tools.is_some() || messages.iter().any(is_called)
}

fn plain(messages: &[ChatMessage]) -> Vec<Message> {
    let message = |message: &ChatMessage| Message::new(message.role, message.content.as_str());
    messages.iter().map(message).collect()
}

/// A conversation for a template that knows of functions.
fn native(messages: &[ChatMessage], tools: Option<&Tools>, style: CallStyle) -> Conversation {
    let id = |id: &str| match style {
        CallStyle::Mistral => nine(id),
        _ => id.to_owned(),
    };
    let call = |call: &PastCall| json!({"id": id(&call.id), "type": "function", "function": {"name": call.name, "arguments": call.arguments}});
    // What results are of, by the ids of calls.
    let mut names: HashMap<&str, &str> = HashMap::new();
    for call in messages.iter().flat_map(|message| &message.calls) {
        names.entry(&call.id).or_insert(&call.name);
    }
    let message = |message: &ChatMessage| {
        let mut out = json!({"role": message.role, "content": message.content});
        if !message.calls.is_empty() {
            out["tool_calls"] = message.calls.iter().map(call).collect();
        }
        if let Some(answers) = &message.answers {
            out["tool_call_id"] = id(answers).into();
            let name = names.get(answers.as_str()).copied().unwrap_or(answers);
            out["name"] = name.into();
        }
        out
    };
    let list = tools.map(|tools| tools.list.as_slice()).unwrap_or_default();
    Conversation {
        messages: messages.iter().map(message).collect(),
        tools: list.iter().map(|tool| tool.described()).collect(),
    }
}

/// What a model is told of functions whose template can't.
fn instruction(tools: &Tools) -> String {
    let mut out = String::from("You may call these functions:\n");
    for tool in &tools.list {
        out += &tool.described()["function"].to_string();
        out.push('\n');
    }
    out += "To call functions, answer with a JSON list of calls and nothing else: [{\"name\": the function's name, \"arguments\": an object}]. \
            Their results come in the next message. If no function is needed, answer in words.";
    out
}

/// A conversation for a template that knows of no functions: they are told, called and answered in its messages.
fn told(messages: &[ChatMessage]) -> Vec<Message> {
    let mut out: Vec<Message> = Vec::new();
    let mut after_result = false;
    for message in messages {
        let is_result = message.role == "tool";
        if is_result {
            let id = message.answers.as_deref().unwrap_or("a call");
            let text = format!("Result of {id}:\n{}", message.content);
            match out.last_mut().filter(|_| after_result) {
                // Templates want users and assistants in turn.
                Some(last) => last.content += &format!("\n\n{text}"),
                None => out.push(Message::new("user", text)),
            }
        } else {
            let calls: Vec<Value> = message
                .calls
                .iter()
                .map(|call| json!({"name": call.name, "arguments": call.arguments}))
                .collect();
            let content = match calls.is_empty() {
                true => message.content.clone(),
                false => format!("{}\n{}", message.content, Value::from(calls))
                    .trim_start()
                    .to_owned(),
            };
            out.push(Message::new(message.role, content));
        }
        after_result = is_result;
    }
    out
}

fn untold(
    formatter: &PromptFormatter,
    messages: &[ChatMessage],
    tools: Option<&Tools>,
    options: &TemplateOptions,
) -> Result<Vec<u32>, PromptError> {
    let messages = told(messages);
    let Some(tools) = tools else {
        return formatter.chat_with(&messages, options);
    };
    let instruction = instruction(tools);
    let with = |role: &str| {
        let mut messages = messages.clone();
        match messages.first_mut().filter(|first| first.role == role) {
            Some(first) => first.content = format!("{instruction}\n\n{}", first.content),
            None => messages.insert(0, Message::new(role, instruction.as_str())),
        }
        formatter.chat_with(&messages, options)
    };
    match with("system") {
        // Some templates take no system message.
        Err(PromptError::Refused(_)) => with("user"),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::tools::{Tool, ToolChoice};

    fn conversation() -> Vec<ChatMessage> {
        let call = |id: &str| PastCall {
            id: id.into(),
            name: "weather".into(),
            arguments: json!({"city": "Bern"}),
        };
        let result = |id: &str, content: &str| ChatMessage {
            role: "tool",
            content: content.into(),
            answers: Some(id.into()),
            ..ChatMessage::default()
        };
        vec![
            ChatMessage::user("Weather?".into()),
            ChatMessage {
                role: "assistant",
                calls: vec![call("call_1"), call("call_2")],
                ..ChatMessage::default()
            },
            result("call_1", "sunny"),
            result("call_2", "rain"),
        ]
    }

    #[test]
    fn a_template_that_knows_functions_is_given_calls_and_results_as_such() {
        let tools = Tools {
            list: vec![Tool {
                name: "weather".into(),
                description: Some("of a city".into()),
                parameters: json!({"type": "object"}),
            }],
            choice: ToolChoice::Auto,
            parallel: true,
        };
        let given = native(&conversation(), Some(&tools), CallStyle::Hermes);
        let called = &given.messages[1]["tool_calls"][0];
        assert_eq!(called["function"]["arguments"]["city"], "Bern");
        assert_eq!(given.messages[2]["tool_call_id"], "call_1");
        assert_eq!(given.messages[2]["name"], "weather");
        assert_eq!(given.tools[0]["function"]["description"], "of a city");
        let mistral = native(&conversation(), None, CallStyle::Mistral);
        let id = mistral.messages[1]["tool_calls"][0]["id"].as_str().unwrap();
        assert_eq!(id.len(), 9);
        assert_eq!(mistral.messages[2]["tool_call_id"], id);
    }

    #[test]
    fn a_template_that_knows_none_is_given_words_in_turns() {
        let messages = told(&conversation());
        let roles: Vec<&str> = messages.iter().map(|m| m.role.as_str()).collect();
        assert_eq!(roles, ["user", "assistant", "user"]);
        assert!(messages[1].content.starts_with("[{\"name\":\"weather\""));
        assert_eq!(
            messages[2].content,
            "Result of call_1:\nsunny\n\nResult of call_2:\nrain"
        );
    }
}
