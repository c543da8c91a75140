//! A Bot API server for tests. It refuses what Telegram refuses (lengths, entities, unknown fields, haste), and fails as it fails.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Result, bail};
use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::{Value, json};
use tokio::sync::Notify;

/// The token that it knows.
pub const TOKEN: &str = "123456:fake-token-for-tests-only";
/// The bot's number and user name.
pub const BOT: (i64, &str) = (123_456, "Mythic_test_bot");
/// Longest text of a message, UTF-16 units, and most entities.
const TEXT: usize = 4_096;
const ENTITIES: usize = 100;
/// Longest data of a button, bytes.
const DATA: usize = 64;
/// Messages and edits that one chat takes within a second.
const PACE: usize = 20;
/// Pause between two versions of a draft, less what a slow machine shifts.
const DRAFTS: Duration = Duration::from_millis(800);
/// Longest time that a question for updates is held.
const HOLD: Duration = Duration::from_millis(500);
/// How long a test waits for something.
const PATIENCE: Duration = Duration::from_secs(90);

/// How a call fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// 429 with seconds to wait.
    Wait(u32),
    /// A refusal with its status and words.
    Refuse(u16, String),
    /// A proxy's page instead of an answer, before anything was done.
    BadGateway,
    /// Done, and the connection is gone before anybody hears of it.
    DoneUnheard,
}

/// A message of the bot.
#[derive(Debug, Clone)]
pub struct Shown {
    pub chat: i64,
    pub id: i64,
    pub text: String,
    pub entities: Vec<Value>,
    /// Data of its buttons, and what stands on them.
    pub buttons: Vec<String>,
    pub labels: Vec<String>,
    /// Texts that it had before.
    pub before: Vec<String>,
}

#[derive(Default)]
struct Inner {
    updates: VecDeque<Value>,
    next_update: i64,
    next_message: i64,
    messages: BTreeMap<i64, Shown>,
    /// What people wrote: chat, the bot's last message before it, text.
    written: Vec<(i64, i64, String)>,
    drafts: Vec<(i64, String)>,
    draft_at: HashMap<i64, Instant>,
    taps: Vec<(String, String)>,
    faults: Vec<(String, Fault)>,
    blocked: HashSet<i64>,
    recent: HashMap<i64, VecDeque<Instant>>,
    violations: Vec<String>,
    /// Updates are given again, with those that are acknowledged.
    repeats: bool,
    webhook: Option<Value>,
    /// Edits that were refused because the bot is blocked.
    forbidden: usize,
    /// Until when the bot was asked to leave a method and a chat alone.
    held: HashMap<(String, i64), Instant>,
}

/// Counts calls, and stops at one of them.
#[derive(Debug, Default)]
pub struct Fuse {
    left: Mutex<Option<u32>>,
    blown: Notify,
}

impl Fuse {
    /// The call after `calls` more is done and never answered.
    pub fn set(&self, calls: Option<u32>) {
        *self.left.lock().unwrap_or_else(PoisonError::into_inner) = calls;
    }

    /// A call was done; whether it is the one that nobody hears of.
    pub fn burn(&self) -> bool {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        match left.as_mut() {
            Some(0) => {
                *left = None;
                self.blown.notify_one();
                true
            }
            Some(more) => {
                *more -= 1;
                false
            }
            None => false,
        }
    }

    /// Waits until that call came.
    pub async fn blown(&self) {
        self.blown.notified().await;
    }
}

/// The server.
#[derive(Clone)]
pub struct Telegram {
    pub url: String,
    pub fuse: Arc<Fuse>,
    inner: Arc<Mutex<Inner>>,
    news: Arc<Notify>,
}

impl Telegram {
    /// Serves on a free port for as long as the test runs.
    pub async fn start(fuse: Arc<Fuse>) -> Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let telegram = Self {
            url: format!("http://{}", listener.local_addr()?),
            fuse,
            inner: Arc::default(),
            news: Arc::default(),
        };
        telegram.inner().next_update = 1_000;
        let router = Router::new()
            .route("/{token}/{method}", post(call))
            .with_state(telegram.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(telegram)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the bot an update; the update's number is added.
    pub fn update(&self, mut update: Value) -> i64 {
        let mut inner = self.inner();
        inner.next_update += 1;
        let id = inner.next_update;
        update["update_id"] = id.into();
        inner.updates.push_back(update);
        drop(inner);
        self.news.notify_waiters();
        id
    }

    /// A message as somebody writes it: in private where `chat` is their own number.
    pub fn message(user: i64, chat: i64, text: &str) -> Value {
        let kind = if chat == user {
            "private"
        } else {
            "supergroup"
        };
        json!({"message": {
            "message_id": 1, "date": now(), "text": text,
            "from": {"id": user, "is_bot": false, "first_name": "Ann", "username": "ann"},
            "chat": {"id": chat, "type": kind},
            // What nobody knows yet must not matter.
            "a_field_of_tomorrow": {"deep": [1, 2]},
        }})
    }

    /// Somebody writes.
    pub fn write(&self, user: i64, chat: i64, text: &str) -> i64 {
        {
            let mut inner = self.inner();
            let after = inner.next_message;
            inner.written.push((chat, after, text.to_owned()));
        }
        self.update(Self::message(user, chat, text))
    }

    /// What a chat shows, in its order, for a picture of it.
    pub fn conversation(&self, chat: i64) -> Value {
        let inner = self.inner();
        let said = inner.messages.values().filter(|one| one.chat == chat);
        let said = said.map(|one| {
            let shown = json!({"text": one.text, "entities": one.entities, "labels": one.labels});
            ((one.id, 0), shown)
        });
        let asked = inner.written.iter().filter(|(of, ..)| *of == chat);
        let asked = asked.map(|(_, after, text)| ((*after, 1), json!({"asked": text})));
        let mut all: Vec<((i64, u8), Value)> = said.chain(asked).collect();
        all.sort_by_key(|(place, _)| *place);
        all.into_iter().map(|(_, shown)| shown).collect()
    }

    /// Somebody taps a button.
    pub fn tap(&self, user: i64, shown: &Shown, data: &str) -> i64 {
        let kind = if shown.chat == user {
            "private"
        } else {
            "supergroup"
        };
        let number = self.inner().next_update;
        self.update(json!({"callback_query": {
            "id": format!("tap-{number}"), "data": data, "chat_instance": "x",
            "from": {"id": user, "is_bot": false, "first_name": "Ann"},
            "message": {"message_id": shown.id, "date": 1, "chat": {"id": shown.chat, "type": kind}},
        }}))
    }

    /// The next call of a method fails so.
    pub fn fail(&self, method: &str, fault: Fault) {
        self.inner().faults.push((method.into(), fault));
    }

    /// Somebody blocks the bot, or lets it write again.
    pub fn block(&self, chat: i64, blocks: bool) {
        let mut inner = self.inner();
        match blocks {
            true => inner.blocked.insert(chat),
            false => inner.blocked.remove(&chat),
        };
    }

    /// The bot was started anew: its first draft follows no other one.
    pub fn restarted(&self) {
        self.inner().draft_at.clear();
    }

    /// Updates are given again and again, in changing order.
    pub fn repeat(&self) {
        self.inner().repeats = true;
    }

    /// The bot's messages in a chat.
    pub fn shown(&self, chat: i64) -> Vec<Shown> {
        let inner = self.inner();
        let all = inner.messages.values().filter(|one| one.chat == chat);
        all.cloned().collect()
    }

    /// How many edits were refused because somebody blocks the bot.
    pub fn forbidden(&self) -> usize {
        self.inner().forbidden
    }

    /// Drafts of a chat, as they grew.
    pub fn drafts(&self, chat: i64) -> Vec<String> {
        let inner = self.inner();
        let all = inner.drafts.iter().filter(|(of, _)| *of == chat);
        all.map(|(_, text)| text.clone()).collect()
    }

    /// What tapped buttons were told.
    pub fn taps(&self) -> Vec<String> {
        self.inner()
            .taps
            .iter()
            .map(|(_, text)| text.clone())
            .collect()
    }

    /// What the bot told of its webhook.
    pub fn webhook(&self) -> Option<Value> {
        self.inner().webhook.clone()
    }

    /// What the bot sent that Telegram would not take, or not so often.
    pub fn violations(&self) -> Vec<String> {
        self.inner().violations.clone()
    }

    /// Somebody deletes a message of the bot.
    pub fn delete(&self, id: i64) {
        self.inner().messages.remove(&id);
    }

    /// Waits until a message of a chat is what `good` accepts.
    pub async fn until(
        &self,
        chat: i64,
        what: &str,
        good: impl Fn(&Shown) -> bool,
    ) -> Result<Shown> {
        let started = Instant::now();
        loop {
            if let Some(found) = self.shown(chat).into_iter().find(&good) {
                return Ok(found);
            }
            if started.elapsed() > PATIENCE {
                bail!(
                    "no message {what} in chat {chat}: {:#?}, {:?}",
                    self.shown(chat),
                    self.violations()
                );
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// Waits until a message of a chat holds some words.
    pub async fn says(&self, chat: i64, words: &str) -> Result<Shown> {
        self.until(chat, words, |one| one.text.contains(words))
            .await
    }
}

/// Unix seconds.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

fn refused(status: u16, words: &str) -> Response {
    let body = json!({"ok": false, "error_code": status, "description": words});
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    (status, Json(body)).into_response()
}

fn wait(seconds: u32) -> Response {
    let body = json!({
        "ok": false, "error_code": 429, "description": format!("Too Many Requests: retry after {seconds}"),
        "parameters": {"retry_after": seconds},
    });
    (StatusCode::TOO_MANY_REQUESTS, Json(body)).into_response()
}

fn given(result: Value) -> Response {
    Json(json!({"ok": true, "result": result})).into_response()
}

/// The fields of a method: those that it must have, and those that it may.
fn fields(method: &str) -> Option<(&'static [&'static str], &'static [&'static str])> {
    Some(match method {
        "getMe" | "deleteWebhook" => (&[], &[]),
        "getUpdates" => (&[], &["offset", "limit", "timeout", "allowed_updates"]),
        "setWebhook" => (
            &["url"],
            &["secret_token", "max_connections", "allowed_updates"],
        ),
        "setMyCommands" => (&["commands"], &[]),
        "sendMessage" => (
            &["chat_id", "text"],
            &[
                "message_thread_id",
                "entities",
                "link_preview_options",
                "reply_parameters",
                "reply_markup",
            ],
        ),
        "editMessageText" => (
            &["chat_id", "message_id", "text"],
            &["entities", "link_preview_options", "reply_markup"],
        ),
        "sendMessageDraft" => (
            &["chat_id", "draft_id", "text"],
            &["message_thread_id", "entities"],
        ),
        "answerCallbackQuery" => (&["callback_query_id"], &["text", "show_alert"]),
        _ => return None,
    })
}

/// What is wrong with a text and its entities.
fn wrong_text(body: &Value) -> Option<String> {
    let text = body["text"].as_str()?;
    let units: Vec<u16> = text.encode_utf16().collect();
    if units.len() > TEXT {
        return Some("Bad Request: message is too long".into());
    }
    if text.trim().is_empty() {
        return Some("Bad Request: message text is empty".into());
    }
    let none = Vec::new();
    let entities = body["entities"].as_array().unwrap_or(&none);
    if entities.len() > ENTITIES {
        return Some("too many entities".into());
    }
    let mut end = 0;
    for entity in entities {
        let place = |name: &str| entity[name].as_u64().and_then(|n| usize::try_from(n).ok());
        let (Some(offset), Some(length)) = (place("offset"), place("length")) else {
            return Some(format!("an entity without a place: {entity}"));
        };
        let inner = units.get(offset..offset + length);
        let is_text = inner.is_some_and(|inner| String::from_utf16(inner).is_ok());
        if length == 0 || offset < end || !is_text {
            return Some(format!(
                "an entity is out of the text, over another or cuts a character: {entity}"
            ));
        }
        end = offset + length;
        let extra = match entity["type"].as_str() {
            Some("bold" | "code") => None,
            Some("pre") => Some("language"),
            Some("text_link") => Some("url"),
            _ => return Some(format!("no such entity: {entity}")),
        };
        let known = ["type", "offset", "length"];
        let keys = entity
            .as_object()
            .into_iter()
            .flat_map(|fields| fields.keys());
        if let Some(key) = keys
            .filter(|key| !known.contains(&key.as_str()))
            .find(|key| Some(key.as_str()) != extra)
        {
            return Some(format!("unknown field {key} of an entity"));
        }
    }
    None
}

/// What is wrong with a call, whatever is there.
fn wrong(method: &str, body: &Value) -> Option<String> {
    let Some((must, may)) = fields(method) else {
        return Some(format!("Not Found: no method {method}"));
    };
    let none = serde_json::Map::new();
    let object = body.as_object().unwrap_or(&none);
    if let Some(missing) = must.iter().find(|name| !object.contains_key(**name)) {
        return Some(format!("{method} lacks {missing}"));
    }
    let known = |key: &&String| must.contains(&key.as_str()) || may.contains(&key.as_str());
    if let Some(unknown) = object.keys().find(|key| !known(key)) {
        return Some(format!("{method} has no field {unknown}"));
    }
    let mut rows = body["reply_markup"]["inline_keyboard"]
        .as_array()
        .into_iter()
        .flatten();
    let is_long = rows.any(|row| {
        let mut buttons = row.as_array().into_iter().flatten();
        buttons.any(|button| {
            button["callback_data"]
                .as_str()
                .is_none_or(|data| !(1..=DATA).contains(&data.len()))
        })
    });
    if is_long {
        return Some("Bad Request: BUTTON_DATA_INVALID".into());
    }
    match method {
        "sendMessage" | "editMessageText" | "sendMessageDraft" => wrong_text(body),
        _ => None,
    }
}

async fn call(
    State(telegram): State<Telegram>,
    Path((token, method)): Path<(String, String)>,
    body: axum::body::Bytes,
) -> Response {
    if token != format!("bot{TOKEN}") {
        return refused(401, "Unauthorized");
    }
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    if method == "getUpdates" {
        return updates(&telegram, &body).await;
    }
    let place = (method.clone(), body["chat_id"].as_i64().unwrap_or(0));
    let fault = {
        let mut inner = telegram.inner();
        let held = inner.held.remove(&place);
        if held.is_some_and(|until| Instant::now() < until) {
            let words = format!("{method} came before the time that it was asked to wait for");
            inner.violations.push(words);
        }
        if let Some(words) = wrong(&method, &body) {
            inner.violations.push(words.clone());
            return refused(400, &words);
        }
        let at = inner.faults.iter().position(|(of, _)| *of == method);
        at.map(|at| inner.faults.remove(at).1)
    };
    match &fault {
        Some(Fault::Wait(seconds)) => {
            let until = Instant::now() + Duration::from_secs(u64::from(*seconds));
            telegram.inner().held.insert(place, until);
            return wait(*seconds);
        }
        Some(Fault::Refuse(status, words)) => return refused(*status, words),
        Some(Fault::BadGateway) => {
            return (StatusCode::BAD_GATEWAY, "<html>502 Bad Gateway</html>").into_response();
        }
        Some(Fault::DoneUnheard) | None => {}
    }
    let answer = done(&mut telegram.inner(), &method, &body);
    if fault == Some(Fault::DoneUnheard) {
        return (StatusCode::BAD_GATEWAY, "<html>502 Bad Gateway</html>").into_response();
    }
    if telegram.fuse.burn() {
        std::future::pending::<()>().await;
    }
    answer
}

/// Updates from an offset on; those before it are forgotten.
async fn updates(telegram: &Telegram, body: &Value) -> Response {
    let offset = body["offset"].as_i64().unwrap_or(0);
    let started = Instant::now();
    loop {
        let waits = telegram.news.notified();
        {
            let mut inner = telegram.inner();
            let repeats = inner.repeats;
            if !repeats {
                inner
                    .updates
                    .retain(|one| one["update_id"].as_i64().is_none_or(|id| id >= offset));
            }
            if !inner.updates.is_empty() && (!repeats || started.elapsed() > HOLD / 2) {
                let mut all: Vec<Value> = inner.updates.iter().cloned().collect();
                if repeats {
                    all.reverse();
                    // The order is another one the next time.
                    inner.updates.rotate_left(1);
                }
                return given(Value::Array(all));
            }
        }
        let left = HOLD.saturating_sub(started.elapsed());
        if left.is_zero() {
            return given(json!([]));
        }
        let _ = tokio::time::timeout(left.min(Duration::from_millis(100)), waits).await;
    }
}

/// Whether a chat was written to too often.
fn is_hasty(inner: &mut Inner, chat: i64) -> bool {
    let recent = inner.recent.entry(chat).or_default();
    let now = Instant::now();
    recent.retain(|at| now.duration_since(*at) < Duration::from_secs(1));
    recent.push_back(now);
    recent.len() > PACE
}

/// A field of the buttons that a message is to have.
fn buttons(body: &Value, field: &str) -> Vec<String> {
    let rows = body["reply_markup"]["inline_keyboard"].as_array();
    let buttons = rows
        .into_iter()
        .flatten()
        .filter_map(Value::as_array)
        .flatten();
    buttons
        .filter_map(|button| button[field].as_str().map(str::to_owned))
        .collect()
}

/// Does a call that has the right form.
fn done(inner: &mut Inner, method: &str, body: &Value) -> Response {
    let chat = body["chat_id"].as_i64().unwrap_or(0);
    let text = body["text"].as_str().unwrap_or_default().to_owned();
    let entities = body["entities"].as_array().cloned().unwrap_or_default();
    if inner.blocked.contains(&chat) {
        inner.forbidden += usize::from(method == "editMessageText");
        return refused(403, "Forbidden: bot was blocked by the user");
    }
    match method {
        "getMe" => {
            given(json!({"id": BOT.0, "is_bot": true, "first_name": "Mythic", "username": BOT.1}))
        }
        "sendMessage" | "editMessageText" if is_hasty(inner, chat) => wait(1),
        "sendMessage" => {
            inner.next_message += 1;
            let id = inner.next_message;
            let shown = Shown {
                chat,
                id,
                text,
                entities,
                buttons: buttons(body, "callback_data"),
                labels: buttons(body, "text"),
                before: Vec::new(),
            };
            inner.messages.insert(id, shown);
            given(json!({"message_id": id, "date": 1, "chat": {"id": chat, "type": "private"}}))
        }
        "editMessageText" => {
            let id = body["message_id"].as_i64().unwrap_or(0);
            let Some(shown) = inner.messages.get_mut(&id).filter(|one| one.chat == chat) else {
                return refused(400, "Bad Request: message to edit not found");
            };
            let labels = buttons(body, "text");
            let buttons = buttons(body, "callback_data");
            if shown.text == text && shown.entities == entities && shown.buttons == buttons {
                return refused(
                    400,
                    "Bad Request: message is not modified: specified new message content and reply markup are exactly the same as a current content and reply markup of the message",
                );
            }
            let before = std::mem::replace(&mut shown.text, text);
            shown.before.push(before);
            shown.entities = entities;
            (shown.buttons, shown.labels) = (buttons, labels);
            given(json!({"message_id": id, "date": 1, "chat": {"id": chat, "type": "private"}}))
        }
        "sendMessageDraft" => {
            if chat <= 0 {
                return refused(400, "Bad Request: drafts are for private chats");
            }
            let now = Instant::now();
            let before = inner.draft_at.insert(chat, now);
            if before.is_some_and(|before| now.duration_since(before) < DRAFTS) {
                inner
                    .violations
                    .push("a draft grew more than once a second".into());
            }
            inner.drafts.push((chat, text));
            given(json!(true))
        }
        "answerCallbackQuery" => {
            let id = body["callback_query_id"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            inner.taps.push((id, text));
            given(json!(true))
        }
        "setWebhook" => {
            inner.webhook = Some(body.clone());
            given(json!(true))
        }
        _ => given(json!(true)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_telegram_refuses_is_refused_here() {
        let text =
            |text: &str, entities: Value| json!({"chat_id": 1, "text": text, "entities": entities});
        assert_eq!(wrong("sendMessage", &text("a", json!([]))), None);
        let bold = |offset: u64, length: u64| json!([{"type": "bold", "offset": offset, "length": length}]);
        assert_eq!(wrong("sendMessage", &text("👍 a", bold(0, 2))), None);
        for (body, words) in [
            (text(&"a".repeat(4_097), json!([])), "too long"),
            (text(" \n", json!([])), "empty"),
            (text("👍", bold(0, 1)), "cuts a character"),
            (text("ab", bold(1, 2)), "out of the text"),
            (text("ab", bold(0, 0)), "out of the text"),
            (
                json!({"chat_id": 1, "text": "a", "parse_mode": "HTML"}),
                "no field parse_mode",
            ),
            (json!({"text": "a"}), "lacks chat_id"),
        ] {
            let said = wrong("sendMessage", &body).unwrap_or_default();
            assert!(said.contains(words), "{said}");
        }
        assert!(wrong("deleteEverything", &json!({})).is_some());
    }

    #[test]
    fn a_fuse_blows_once() {
        let fuse = Fuse::default();
        assert!(!fuse.burn());
        fuse.set(Some(1));
        assert_eq!(
            [fuse.burn(), fuse.burn(), fuse.burn()],
            [false, true, false]
        );
    }
}
