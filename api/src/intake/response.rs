//! OpenAI's responses as types, and what of a request they repeat.

use std::collections::HashMap;

use mythic_wire::Finish;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{
    calls::call_id,
    completion::{Mythic, TokenLogprob},
    render::{Frame, usage},
};
use crate::jobs::answer::{ChoiceAnswer, ChoiceEnd};

/// A response, whole.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ModelResponse {
    /// `resp_` and the job.
    pub id: String,
    /// `response`.
    pub object: &'static str,
    /// Unix seconds.
    pub created_at: i64,
    /// `completed`, or `incomplete`; in events before the last `in_progress`.
    pub status: &'static str,
    /// The model's id.
    pub model: String,
    /// A message, functions to call, or both.
    pub output: Vec<OutputItem>,
    /// Why it is incomplete.
    pub incomplete_details: Option<IncompleteDetails>,
    /// Always null: what fails is an error.
    pub error: Option<String>,
    /// Null until it has ended.
    pub usage: Option<ResponseUsage>,
    /// What answered: the model's identity and how tokens are chosen.
    pub system_fingerprint: String,
    /// `default`.
    pub service_tier: &'static str,
    /// Always false.
    pub background: bool,
    /// Always false: nothing is kept to be asked for by its id.
    pub store: bool,
    /// Always null.
    pub previous_response_id: Option<String>,
    /// `disabled`.
    pub truncation: &'static str,
    #[serde(flatten)]
    pub asked: Repeated,
    /// Job and price; null until it has ended.
    pub mythic: Option<Mythic>,
}

/// What a response repeats of its request.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct Repeated {
    pub instructions: Option<String>,
    pub max_output_tokens: Option<u32>,
    pub temperature: f64,
    pub top_p: f64,
    pub parallel_tool_calls: bool,
    /// As the request has them.
    #[schema(value_type = Vec<HashMap<String, Value>>)]
    pub tools: Vec<Map<String, Value>>,
    pub tool_choice: RepeatedChoice,
    pub text: RepeatedText,
    pub reasoning: RepeatedReasoning,
    pub metadata: HashMap<String, String>,
    pub user: Option<String>,
}

/// A word, or the function that is to be called.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum RepeatedChoice {
    /// `auto`, `none` or `required`.
    Word(String),
    /// A function.
    Function {
        /// `function`.
        #[serde(rename = "type")]
        kind: String,
        name: String,
    },
}

impl Default for RepeatedChoice {
    fn default() -> Self {
        Self::Word("auto".into())
    }
}

/// What the text has to be.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct RepeatedText {
    /// `type` text, json_object or json_schema, with the fields that the request has beside it.
    #[schema(value_type = HashMap<String, Value>)]
    pub format: Map<String, Value>,
}

/// How much the model was to think; what it thinks is part of its text.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct RepeatedReasoning {
    /// As asked for.
    pub effort: Option<String>,
    /// Always null.
    pub summary: Option<String>,
}

/// Why a response is incomplete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct IncompleteDetails {
    /// `max_output_tokens`.
    pub reason: &'static str,
}

/// A part of a response.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum OutputItem {
    Message(OutputMessage),
    Call(OutputCall),
}

/// What the model says.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct OutputMessage {
    /// `message`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// `msg_` and the job.
    pub id: String,
    /// `completed`, `incomplete` or, in events, `in_progress`.
    pub status: &'static str,
    /// `assistant`.
    pub role: &'static str,
    /// One text.
    pub content: Vec<OutputText>,
}

/// Text of a message.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct OutputText {
    /// `output_text`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub text: String,
    /// Always empty.
    pub annotations: Vec<String>,
    /// Of the text's tokens; empty unless asked for, and where they are not known.
    pub logprobs: Vec<TokenLogprob>,
}

/// A function that the client is to call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct OutputCall {
    /// `function_call`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub id: String,
    /// What the item with its result names as `call_id`.
    pub call_id: String,
    pub name: String,
    /// JSON, of the schema that the request gave; cut off where the answer was.
    pub arguments: String,
    /// `completed`, `incomplete` or, in events, `in_progress`.
    pub status: &'static str,
}

/// Tokens of a response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ResponseUsage {
    pub input_tokens: u64,
    /// Parts of the input; all cost the same.
    pub input_tokens_details: InputTokensDetails,
    pub output_tokens: u64,
    /// What of the output was something else than text: nothing.
    pub output_tokens_details: OutputTokensDetails,
    /// Both.
    pub total_tokens: u64,
}

/// Parts of the input.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct InputTokensDetails {
    /// What the validator had read before, by its own word; absent where it said nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    cached_tokens: Option<u64>,
}

/// Parts of the output.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct OutputTokensDetails {
    reasoning_tokens: u64,
}

/// A text, as it stands in a message.
pub(super) fn output_text(text: String, logprobs: Vec<TokenLogprob>) -> OutputText {
    OutputText {
        kind: "output_text",
        text,
        annotations: Vec::new(),
        logprobs,
    }
}

impl Frame {
    pub(super) fn message(&self, status: &'static str, content: Vec<OutputText>) -> OutputItem {
        OutputItem::Message(OutputMessage {
            kind: "message",
            id: format!("msg_{}", self.job),
            status,
            role: "assistant",
            content,
        })
    }

    /// Call number `at`.
    pub(super) fn call(
        &self,
        at: usize,
        status: &'static str,
        (name, arguments): (String, String),
    ) -> OutputItem {
        let call_id = call_id(&self.job, 0, at);
        OutputItem::Call(OutputCall {
            kind: "function_call",
            id: call_id.replacen("call_", "fc_", 1),
            call_id,
            name,
            arguments,
            status,
        })
    }

    /// A response that has just begun.
    pub(super) fn begun(&self, asked: &Repeated) -> ModelResponse {
        ModelResponse {
            id: format!("resp_{}", self.job),
            object: "response",
            created_at: self.created,
            status: "in_progress",
            model: self.model.clone(),
            output: Vec::new(),
            incomplete_details: None,
            error: None,
            usage: None,
            system_fingerprint: self.system_fingerprint(),
            service_tier: "default",
            background: false,
            store: false,
            previous_response_id: None,
            truncation: "disabled",
            asked: asked.clone(),
            mythic: None,
        }
    }

    /// A response that has ended.
    pub(super) fn ended(
        &self,
        asked: &Repeated,
        output: Vec<OutputItem>,
        end: &ChoiceEnd,
    ) -> ModelResponse {
        let used = usage(std::slice::from_ref(end));
        let status = status(end.finish);
        ModelResponse {
            status,
            output,
            incomplete_details: (status == "incomplete").then_some(IncompleteDetails {
                reason: "max_output_tokens",
            }),
            usage: Some(ResponseUsage {
                input_tokens: used.prompt_tokens,
                input_tokens_details: InputTokensDetails {
                    cached_tokens: used.prompt_tokens_details.cached_tokens,
                },
                output_tokens: used.completion_tokens,
                output_tokens_details: OutputTokensDetails::default(),
                total_tokens: used.total_tokens,
            }),
            mythic: Some(self.mythic(std::slice::from_ref(end))),
            ..self.begun(asked)
        }
    }

    /// The whole response.
    pub(super) fn response(&self, asked: &Repeated, answer: &ChoiceAnswer) -> ModelResponse {
        let whole = self.whole(answer);
        let has_text = whole.calls.is_empty() || !whole.text.is_empty();
        let items = usize::from(has_text) + whole.calls.len();
        // Only the last was cut off, if one was.
        let status_of = |at: usize| match at + 1 == items {
            true => status(answer.end.finish),
            false => "completed",
        };
        let mut output = Vec::with_capacity(items);
        if has_text {
            let logprobs = match self.logprobs {
                true => whole.tokens,
                false => Vec::new(),
            };
            output.push(self.message(status_of(0), vec![output_text(whole.text, logprobs)]));
        }
        for (at, call) in whole.calls.into_iter().enumerate() {
            let status = status_of(output.len());
            output.push(self.call(at, status, (call.name, call.arguments)));
        }
        self.ended(asked, output, &answer.end)
    }
}

/// OpenAI's word for how a response ended.
pub(super) fn status(finish: Finish) -> &'static str {
    match finish {
        Finish::Eos | Finish::Stopped => "completed",
        Finish::Length | Finish::Cancelled => "incomplete",
    }
}
