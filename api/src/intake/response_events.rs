//! A run as the events of a response's stream.

use serde_json::{Map, Value, json};

use super::{
    calls::Said,
    completion::TokenLogprob,
    play::{Line, Script, written},
    render::{Frame, Spoken, Told},
    response::{OutputItem, Repeated, output_text, status},
};
use crate::{
    error::ApiError,
    jobs::{
        answer::ChoiceEnd,
        run::{Run, Step},
    },
};

/// The item that is being written.
enum Open {
    Text {
        text: String,
        tokens: Vec<TokenLogprob>,
    },
    Call {
        at: usize,
        name: String,
        arguments: String,
    },
}

/// What was told of a response.
pub(super) struct ResponseEvents {
    asked: Repeated,
    sequence: u64,
    told: Option<Told>,
    open: Option<Open>,
    /// Items that are whole.
    items: Vec<OutputItem>,
    end: Option<ChoiceEnd>,
    out: Vec<Line>,
}

impl ResponseEvents {
    /// Nothing was told; what the request asked is repeated.
    pub fn new(asked: Repeated) -> Self {
        Self {
            asked,
            sequence: 0,
            told: None,
            open: None,
            items: Vec::new(),
            end: None,
            out: Vec::new(),
        }
    }

    /// An event of this name with these fields.
    fn event(&mut self, name: &'static str, fields: Value) {
        let mut event = Map::new();
        event.insert("type".into(), name.into());
        event.insert("sequence_number".into(), self.sequence.into());
        self.sequence += 1;
        if let Value::Object(fields) = fields {
            event.extend(fields);
        }
        self.out.push(Line {
            event: Some(name),
            data: written(&event),
        });
    }

    /// Fields that events of an item have; it is the next one.
    fn of_item(&self, item: &OutputItem) -> Value {
        let id = match item {
            OutputItem::Message(message) => &message.id,
            OutputItem::Call(call) => &call.id,
        };
        json!({"item_id": id, "output_index": self.items.len()})
    }

    /// An event of an item with more fields than [`Self::of_item`].
    fn item_event(&mut self, name: &'static str, item: &OutputItem, more: Value) {
        let mut fields = self.of_item(item);
        if let (Value::Object(fields), Value::Object(more)) = (&mut fields, more) {
            fields.extend(more);
        }
        self.event(name, fields);
    }

    /// The open item as it stands.
    fn item(&self, frame: &Frame, status: &'static str) -> Option<OutputItem> {
        Some(match self.open.as_ref()? {
            Open::Text { text, tokens } => {
                frame.message(status, vec![output_text(text.clone(), tokens.clone())])
            }
            Open::Call {
                at,
                name,
                arguments,
            } => frame.call(*at, status, (name.clone(), arguments.clone())),
        })
    }

    fn begin(&mut self, frame: &Frame) {
        if self.told.is_some() {
            return;
        }
        self.told = Some(frame.told());
        let response = frame.begun(&self.asked);
        self.event("response.created", json!({"response": response}));
        self.event("response.in_progress", json!({"response": response}));
    }

    fn open(&mut self, frame: &Frame, open: Open) {
        self.close(frame, "completed");
        let is_text = matches!(open, Open::Text { .. });
        let item = match &open {
            Open::Text { .. } => frame.message("in_progress", Vec::new()),
            Open::Call { at, name, .. } => {
                frame.call(*at, "in_progress", (name.clone(), String::new()))
            }
        };
        self.open = Some(open);
        let fields = json!({"output_index": self.items.len(), "item": item});
        self.event("response.output_item.added", fields);
        if is_text {
            let part = output_text(String::new(), Vec::new());
            let more = json!({"content_index": 0, "part": part});
            self.item_event("response.content_part.added", &item, more);
        }
    }

    fn close(&mut self, frame: &Frame, status: &'static str) {
        let Some(item) = self.item(frame, status) else {
            return;
        };
        match self.open.take() {
            Some(Open::Text { text, tokens }) => {
                let more = json!({"content_index": 0, "text": text, "logprobs": tokens});
                self.item_event("response.output_text.done", &item, more);
                let part = output_text(text, tokens);
                let more = json!({"content_index": 0, "part": part});
                self.item_event("response.content_part.done", &item, more);
            }
            Some(Open::Call {
                name, arguments, ..
            }) => {
                let more = json!({"name": name, "arguments": arguments});
                self.item_event("response.function_call_arguments.done", &item, more);
            }
            None => {}
        }
        let fields = json!({"output_index": self.items.len(), "item": item});
        self.event("response.output_item.done", fields);
        self.items.push(item);
    }

    fn tell(&mut self, frame: &Frame, parts: Vec<Spoken>) {
        for part in parts {
            match part.said {
                Said::Text(delta) => {
                    let new = match frame.logprobs {
                        true => part.tokens,
                        false => Vec::new(),
                    };
                    if !delta.is_empty() {
                        self.text(frame, &delta, new);
                    }
                }
                Said::Call { at, name } => self.open(
                    frame,
                    Open::Call {
                        at,
                        name,
                        arguments: String::new(),
                    },
                ),
                Said::Arguments { text: delta, .. } => {
                    if let Some(Open::Call { arguments, .. }) = &mut self.open {
                        *arguments += &delta;
                    }
                    if let Some(item) = self.item(frame, "in_progress") {
                        let more = json!({"delta": delta});
                        self.item_event("response.function_call_arguments.delta", &item, more);
                    }
                }
            }
        }
    }

    fn text(&mut self, frame: &Frame, delta: &str, new: Vec<TokenLogprob>) {
        if !matches!(self.open, Some(Open::Text { .. })) {
            let (text, tokens) = (String::new(), Vec::new());
            self.open(frame, Open::Text { text, tokens });
        }
        let more = json!({"content_index": 0, "delta": delta, "logprobs": new});
        if let Some(Open::Text { text, tokens }) = &mut self.open {
            *text += delta;
            tokens.extend(new);
        }
        let item = frame.message("in_progress", Vec::new());
        self.item_event("response.output_text.delta", &item, more);
    }

    fn failed(&mut self, error: &ApiError) {
        let body = error.body();
        let fields = json!({"code": error.code, "message": error.message, "param": error.param, "error": body["error"]});
        self.event("error", fields);
    }
}

impl Script for ResponseEvents {
    fn lines(&mut self, run: &Run, step: Step) -> Vec<Line> {
        match step {
            Step::Admitted { .. } => {}
            Step::Piece(_, piece) => {
                let frame = run.frame();
                self.begin(&frame);
                let parts = self.told.as_mut().map(|told| told.push(&piece));
                self.tell(&frame, parts.unwrap_or_default());
            }
            Step::End(_, end) => {
                let frame = run.frame();
                self.begin(&frame);
                let parts = self.told.as_mut().map(Told::finish);
                self.tell(&frame, parts.unwrap_or_default());
                if self.open.is_none() && self.items.is_empty() {
                    let (text, tokens) = (String::new(), Vec::new());
                    self.open(&frame, Open::Text { text, tokens });
                }
                self.close(&frame, status(end.finish));
                self.end = Some(end);
            }
            Step::Finished => {
                if let Some(end) = self.end.take() {
                    let items = std::mem::take(&mut self.items);
                    let response = run.frame().ended(&self.asked, items, &end);
                    let name = match response.status {
                        "completed" => "response.completed",
                        _ => "response.incomplete",
                    };
                    self.event(name, json!({"response": response}));
                }
            }
            Step::Failed(error) => self.failed(&error),
        }
        std::mem::take(&mut self.out)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mythic_interface::state::SamplingProfile;
    use mythic_wire::Finish;

    use super::*;
    use crate::{
        intake::calls::{CallStyle, Calling},
        jobs::{
            answer::{ChoiceAnswer, Piece},
            run::{Rejoin, RunHead},
        },
    };

    fn answer(pieces: &[&str], finish: Finish) -> ChoiceAnswer {
        let piece = |text: &&str| Piece {
            text: (*text).into(),
            logprob: None,
        };
        ChoiceAnswer {
            pieces: pieces.iter().map(piece).collect(),
            end: ChoiceEnd {
                job: "J".into(),
                validator: "V".into(),
                finish,
                prompt_tokens: 4,
                cached_tokens: None,
                output_tokens: 2,
                cost_lamports: 9,
                receipt: "r".into(),
                unconfirmed: false,
            },
        }
    }

    /// The events of an answer, and the response that it is as a whole.
    fn told(calls: Option<Calling>, answer: &ChoiceAnswer) -> (Vec<Value>, Value) {
        let head = RunHead {
            id: "r".into(),
            key_id: "k".into(),
            created: 5,
            model: "m@00000000".into(),
            choices: 1,
            logprobs: false,
            calls,
            profile: SamplingProfile::SeededFull,
            rejoin: Rejoin::Never,
        };
        let run = Run::replay(head, vec![answer.clone()]);
        let mut script = ResponseEvents::new(Repeated::default());
        let mut steps: Vec<Step> = answer
            .pieces
            .iter()
            .map(|piece| Step::Piece(0, Arc::new(piece.clone())))
            .collect();
        steps.push(Step::End(0, answer.end.clone()));
        steps.push(Step::Finished);
        let events = steps
            .into_iter()
            .flat_map(|step| script.lines(&run, step))
            .map(|line| {
                let event: Value = serde_json::from_str(&line.data).unwrap();
                assert_eq!(event["type"], line.event.unwrap());
                event
            })
            .collect();
        let whole = run.frame().response(&Repeated::default(), answer);
        (events, json!(whole))
    }

    fn names(events: &[Value]) -> Vec<&str> {
        events
            .iter()
            .filter_map(|event| event["type"].as_str()?.strip_prefix("response."))
            .collect()
    }

    #[test]
    fn text_streams_in_openais_events_and_ends_with_the_whole_response() {
        let (events, whole) = told(None, &answer(&["Hel", "lo"], Finish::Eos));
        assert_eq!(
            names(&events),
            [
                "created",
                "in_progress",
                "output_item.added",
                "content_part.added",
                "output_text.delta",
                "output_text.delta",
                "output_text.done",
                "content_part.done",
                "output_item.done",
                "completed"
            ]
        );
        let numbers: Vec<u64> = events
            .iter()
            .filter_map(|event| event["sequence_number"].as_u64())
            .collect();
        assert_eq!(numbers, (0..10).collect::<Vec<u64>>());
        assert_eq!(events[9]["response"], whole);
        assert_eq!(whole["output"][0]["content"][0]["text"], "Hello");
        assert_eq!(whole["usage"]["total_tokens"], 6);
        assert_eq!(whole["id"], "resp_J");
        assert_eq!(events[4]["item_id"], whole["output"][0]["id"]);
    }

    #[test]
    fn calls_are_items_of_their_own_behind_the_text() {
        let pieces = [
            "Wait.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\"",
            ": 1}}\n</tool_call>\n<tool_call>\n{\"name\": \"g\", \"arguments\": {}}\n</tool_call>",
        ];
        let answer = answer(&pieces, Finish::Eos);
        let calling = Calling {
            style: CallStyle::Hermes,
            is_alone: false,
        };
        let (events, whole) = told(Some(calling), &answer);
        let output = whole["output"].as_array().unwrap();
        let kinds: Vec<&Value> = output.iter().map(|item| &item["type"]).collect();
        assert_eq!(kinds, ["message", "function_call", "function_call"]);
        assert_eq!(output[1]["arguments"], "{\"x\": 1}");
        let last = events.last().unwrap();
        assert_eq!(
            (&last["type"], &last["response"]),
            (&json!("response.completed"), &whole)
        );
        let arguments: String = events
            .iter()
            .filter(|event| event["type"] == "response.function_call_arguments.delta")
            .filter(|event| event["output_index"] == 1)
            .filter_map(|event| event["delta"].as_str())
            .collect();
        assert_eq!(arguments, "{\"x\": 1}");
    }

    #[test]
    fn of_an_answer_that_was_cut_off_only_the_last_item_is_incomplete() {
        let pieces = [
            "Wait.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>\n<tool_call>\n{\"name\": \"g\", \"arguments\": {\"x",
        ];
        let calling = Calling {
            style: CallStyle::Hermes,
            is_alone: false,
        };
        let (events, whole) = told(Some(calling), &answer(&pieces, Finish::Length));
        let output = whole["output"].as_array().unwrap();
        let statuses: Vec<&Value> = output.iter().map(|item| &item["status"]).collect();
        assert_eq!(statuses, ["completed", "completed", "incomplete"]);
        assert_eq!(events.last().unwrap()["response"], whole);
    }

    #[test]
    fn an_answer_that_was_cut_off_is_incomplete_and_an_empty_one_is_an_empty_message() {
        let (events, whole) = told(None, &answer(&["a"], Finish::Length));
        assert_eq!(whole["status"], "incomplete");
        assert_eq!(whole["incomplete_details"]["reason"], "max_output_tokens");
        assert_eq!(names(&events).last(), Some(&"incomplete"));
        let (events, whole) = told(None, &answer(&[], Finish::Eos));
        assert_eq!(whole["output"][0]["content"][0]["text"], "");
        assert_eq!(events.last().unwrap()["response"], whole);
    }

    #[test]
    fn a_failure_is_an_event_that_clients_know_as_an_error() {
        let mut script = ResponseEvents::new(Repeated::default());
        script.failed(&ApiError::unavailable("no_validator", "gone"));
        let event: Value = serde_json::from_str(&script.out[0].data).unwrap();
        assert_eq!(event["code"], "no_validator");
        assert_eq!(event["error"]["message"], "gone");
    }
}
