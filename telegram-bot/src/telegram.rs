//! The Bot API: the methods that the bot calls, and what it reads of updates. The transport is teloxide's; the methods are declared here,
//! because its release is older than drafts, and updates are read leniently, because a field of a new kind must lose nobody's message.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use mythic_support::Backoff;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use teloxide_core::{
    ApiError, Bot, RequestError,
    requests::{JsonRequest, Payload, Request},
};
use tokio_util::sync::CancellationToken;

use crate::{
    metrics::Metrics,
    text::{self, Entity, Text},
};

/// Longest that one call is tried again, a wait that Telegram asks for apart.
const PATIENCE: Duration = Duration::from_secs(120);
/// Longest wait that Telegram may ask for at once.
const LONGEST_WAIT: Duration = Duration::from_secs(900);
/// Pauses between two tries.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));
/// Longest time for one call, beyond what it asks Telegram to wait.
const CALL: Duration = Duration::from_secs(30);
/// How long Telegram is asked to hold a question for updates, seconds.
pub const POLL_SECONDS: u64 = 25;

macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident = $method:literal -> $output:ty {
        $($(#[$attribute:meta])* $field:ident: $kind:ty),* $(,)?
    })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Serialize)]
        pub struct $name {
            $($(#[$attribute])* pub $field: $kind),*
        }

        impl Payload for $name {
            type Output = $output;
            const NAME: &'static str = $method;
        }
    )*};
}

methods! {
    /// Who the bot is.
    GetMe = "getMe" -> User {}

    /// Updates from an offset on; acknowledges those before it.
    GetUpdates = "getUpdates" -> Vec<Value> {
        offset: i64,
        limit: u32,
        timeout: u64,
        allowed_updates: &'static [&'static str],
    }

    /// Has updates sent to a URL.
    SetWebhook = "setWebhook" -> bool {
        url: String,
        secret_token: String,
        max_connections: u32,
        allowed_updates: &'static [&'static str],
    }

    /// Ends that.
    DeleteWebhook = "deleteWebhook" -> bool {}

    /// The commands that Telegram offers.
    SetMyCommands = "setMyCommands" -> bool {
        commands: Vec<Offer>,
    }

    /// A new message.
    SendMessage = "sendMessage" -> Sent {
        chat_id: i64,
        #[serde(skip_serializing_if = "Option::is_none")]
        message_thread_id: Option<i64>,
        text: String,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        entities: Vec<Entity>,
        link_preview_options: NoPreview,
        #[serde(skip_serializing_if = "Option::is_none")]
        reply_parameters: Option<ReplyTo>,
        #[serde(skip_serializing_if = "Option::is_none")]
        reply_markup: Option<Keyboard>,
    }

    /// Another text for a message of the bot; doing it twice is doing it once.
    EditMessageText = "editMessageText" -> Value {
        chat_id: i64,
        message_id: i64,
        text: String,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        entities: Vec<Entity>,
        link_preview_options: NoPreview,
        #[serde(skip_serializing_if = "Option::is_none")]
        reply_markup: Option<Keyboard>,
    }

    /// A text that grows in a private chat, and is no message yet.
    SendMessageDraft = "sendMessageDraft" -> bool {
        chat_id: i64,
        #[serde(skip_serializing_if = "Option::is_none")]
        message_thread_id: Option<i64>,
        draft_id: i64,
        text: String,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        entities: Vec<Entity>,
    }

    /// Ends the wait of whoever tapped a button.
    AnswerCallbackQuery = "answerCallbackQuery" -> bool {
        callback_query_id: String,
        #[serde(skip_serializing_if = "String::is_empty")]
        text: String,
        show_alert: bool,
    }
}

/// A command that Telegram offers.
#[derive(Debug, Clone, Serialize)]
pub struct Offer {
    pub command: &'static str,
    pub description: &'static str,
}

/// No preview: Telegram would fetch the link.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct NoPreview {
    is_disabled: bool,
}

impl NoPreview {
    /// The one value.
    pub const SET: Self = Self { is_disabled: true };
}

/// What a message answers.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct ReplyTo {
    message_id: i64,
    /// Who deletes the question still gets the answer.
    allow_sending_without_reply: bool,
}

impl ReplyTo {
    /// An answer to this message.
    pub fn new(message_id: i64) -> Self {
        Self {
            message_id,
            allow_sending_without_reply: true,
        }
    }
}

/// Buttons below a message, in rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Keyboard {
    pub inline_keyboard: Vec<Vec<Button>>,
}

/// A button; `callback_data` (64 bytes at most) comes back when it is tapped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Button {
    pub text: String,
    pub callback_data: String,
}

/// A message that was sent.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Sent {
    pub message_id: i64,
}

/// What is read of an update.
#[derive(Debug, Clone, Deserialize)]
pub struct Update {
    pub update_id: i64,
    pub message: Option<Message>,
    pub callback_query: Option<CallbackQuery>,
}

/// What is read of a message.
#[derive(Debug, Clone, Deserialize)]
pub struct Message {
    pub message_id: i64,
    /// When it was written, Unix seconds.
    #[serde(default)]
    pub date: i64,
    message_thread_id: Option<i64>,
    /// The thread is a forum's topic; a reply has a thread too, in which nothing can be sent.
    #[serde(default)]
    is_topic_message: bool,
    pub from: Option<User>,
    /// Set where a channel or a group speaks: then nobody can say who it was.
    pub sender_chat: Option<Value>,
    pub chat: Chat,
    pub text: Option<String>,
    /// Set where it was written elsewhere.
    pub forward_origin: Option<Value>,
    /// Set where another bot wrote it.
    pub via_bot: Option<Value>,
}

impl Message {
    /// The topic that it stands in.
    pub fn topic(&self) -> Option<i64> {
        self.message_thread_id.filter(|_| self.is_topic_message)
    }
}

/// What is read of a tap.
#[derive(Debug, Clone, Deserialize)]
pub struct CallbackQuery {
    pub id: String,
    pub from: User,
    pub message: Option<Place>,
    pub data: Option<String>,
}

/// The message that a tapped button is below.
#[derive(Debug, Clone, Deserialize)]
pub struct Place {
    pub message_id: i64,
    pub chat: Chat,
}

/// What is read of an account.
#[derive(Debug, Clone, Deserialize)]
pub struct User {
    pub id: i64,
    #[serde(default)]
    pub is_bot: bool,
    #[serde(default)]
    pub first_name: String,
    pub username: Option<String>,
}

/// What is read of a chat.
#[derive(Debug, Clone, Deserialize)]
pub struct Chat {
    pub id: i64,
    #[serde(rename = "type")]
    pub kind: String,
}

impl Chat {
    /// Of one person and the bot.
    pub fn is_private(&self) -> bool {
        self.kind == "private"
    }
}

/// Why a call came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TelegramError {
    /// The person blocked the bot, or the bot was removed from the chat.
    #[error("the bot may not write there: {0}")]
    Blocked(String),
    /// The group goes on under another number.
    #[error("the chat is {0} now")]
    Moved(i64),
    /// Refused for good.
    #[error("Telegram refuses: {0}")]
    Refused(String),
    /// The token is not the bot's any more: nothing is wrong with who is written to.
    #[error("the bot's token is not known to Telegram")]
    Token,
    /// Telegram asks to wait.
    #[error("Telegram asks to wait {} s", .0.as_secs())]
    Wait(Duration),
    /// Nobody answers, or an answer that can't be read.
    #[error("Telegram does not answer: {0}")]
    Away(String),
}

impl TelegramError {
    /// The word under which it is counted.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Blocked(_) => "blocked",
            Self::Moved(_) => "moved",
            Self::Refused(_) => "refused",
            Self::Token => "token",
            Self::Wait(_) => "wait",
            Self::Away(_) => "away",
        }
    }

    /// Whether a message that was to be edited is there no more.
    pub fn is_gone(&self) -> bool {
        let signs = ["not found", "can't be edited", "MESSAGE_ID_INVALID"];
        matches!(self, Self::Refused(words) if signs.iter().any(|sign| words.contains(sign)))
    }

    /// Whether the words of a refusal say that Telegram itself is not well: it answers so in JSON too.
    fn is_away(words: &str) -> bool {
        let signs = [
            "Internal Server Error",
            "Bad Gateway",
            "Service Unavailable",
            "Gateway Timeout",
            "Too Many Requests",
        ];
        signs.iter().any(|sign| words.contains(sign))
    }

    fn of(error: RequestError) -> Self {
        match error {
            RequestError::RetryAfter(seconds) => Self::Wait(seconds.duration()),
            RequestError::MigrateToChatId(chat) => Self::Moved(chat.0),
            RequestError::Api(ApiError::InvalidToken) => Self::Token,
            RequestError::Api(error) => {
                let words = error.to_string();
                if Self::is_away(&words) {
                    Self::Away(words)
                } else if words.contains("Forbidden") {
                    Self::Blocked(words)
                } else {
                    Self::Refused(words)
                }
            }
            // The innermost cause: what lies around it names the URL, and the URL the token.
            RequestError::Network(error) => {
                let mut cause: &dyn Error = &*error;
                while let Some(inner) = cause.source() {
                    cause = inner;
                }
                Self::Away(match error.url().is_some() && error.source().is_none() {
                    true => "a request failed".into(),
                    false => cause.to_string(),
                })
            }
            _ => Self::Away("its answer is not that of a Bot API".into()),
        }
    }
}

/// A client of the Bot API.
#[derive(Clone)]
pub struct Telegram {
    bot: Bot,
    metrics: Metrics,
    stop: CancellationToken,
}

impl std::fmt::Debug for Telegram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Telegram").finish_non_exhaustive()
    }
}

impl Telegram {
    /// A client with a token, of the Bot API server at `api_url`.
    pub fn new(
        token: &str,
        api_url: reqwest::Url,
        metrics: Metrics,
        stop: CancellationToken,
    ) -> reqwest::Result<Self> {
        let whole = CALL + Duration::from_secs(POLL_SECONDS);
        let http = mythic_http::client::builder()
            .read_timeout(whole)
            .timeout(whole)
            .build()?;
        Ok(Self {
            bot: Bot::with_client(token, http).set_api_url(api_url),
            metrics,
            stop,
        })
    }

    /// Calls once.
    pub async fn once<P>(&self, payload: P) -> Result<P::Output, TelegramError>
    where
        P: Payload + Serialize + 'static,
        P::Output: DeserializeOwned,
    {
        let sent = JsonRequest::new(self.bot.clone(), payload).send().await;
        sent.map_err(TelegramError::of).inspect_err(|error| {
            self.metrics
                .telegram_errors
                .with_label_values(&[P::NAME, error.word()])
                .inc();
        })
    }

    /// Calls until it is done or refused, as Telegram asks to wait; at the longest for two minutes beside that.
    pub async fn call<P>(&self, payload: P) -> Result<P::Output, TelegramError>
    where
        P: Payload + Serialize + Clone + 'static,
        P::Output: DeserializeOwned,
    {
        let (mut until, mut pauses) = (Instant::now() + PATIENCE, Backoff::new(PAUSES.0, PAUSES.1));
        loop {
            let error = match self.once(payload.clone()).await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            let pause = match &error {
                TelegramError::Wait(asked) if *asked <= LONGEST_WAIT => {
                    until += *asked;
                    *asked
                }
                TelegramError::Away(_) if Instant::now() < until => pauses.pause(),
                _ => return Err(error),
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.stop.cancelled() => return Err(error),
            }
            if Instant::now() > until {
                return Err(error);
            }
        }
    }

    /// Sends a message, and gives its number.
    pub async fn say(&self, to: &Address, text: Text) -> Result<i64, TelegramError> {
        self.offer(to, text, None).await
    }

    /// Sends a message with buttons.
    pub async fn offer(
        &self,
        to: &Address,
        text: Text,
        keyboard: Option<Keyboard>,
    ) -> Result<i64, TelegramError> {
        let text = text::fitted(text);
        let message = SendMessage {
            chat_id: to.chat,
            message_thread_id: to.thread,
            text: text.text,
            entities: text.entities,
            link_preview_options: NoPreview::SET,
            reply_parameters: to.reply.map(ReplyTo::new),
            reply_markup: keyboard,
        };
        Ok(self.call(message).await?.message_id)
    }

    /// Gives a message another text; one that has it already is as good as edited. A text whose entities Telegram refuses goes without them.
    pub async fn edit(
        &self,
        chat: i64,
        message: i64,
        text: Text,
        keyboard: Option<Keyboard>,
    ) -> Result<(), TelegramError> {
        let mut edit = edited(chat, message, text, keyboard);
        match done(self.call(edit.clone()).await) {
            Err(TelegramError::Refused(words))
                if !edit.entities.is_empty() && words.to_ascii_lowercase().contains("entit") =>
            {
                tracing::warn!(%words, "a text is shown without its entities");
                edit.entities.clear();
                done(self.call(edit).await)
            }
            done => done,
        }
    }

    /// Tries once to show how far an answer is.
    pub async fn edit_once(
        &self,
        chat: i64,
        message: i64,
        text: Text,
    ) -> Result<(), TelegramError> {
        done(self.once(edited(chat, message, text, None)).await)
    }
}

fn edited(
    chat_id: i64,
    message_id: i64,
    text: Text,
    reply_markup: Option<Keyboard>,
) -> EditMessageText {
    let text = text::fitted(text);
    EditMessageText {
        chat_id,
        message_id,
        text: text.text,
        entities: text.entities,
        link_preview_options: NoPreview::SET,
        reply_markup,
    }
}

fn done(edited: Result<Value, TelegramError>) -> Result<(), TelegramError> {
    match edited {
        Err(TelegramError::Refused(words)) if words.contains("message is not modified") => Ok(()),
        edited => edited.map(drop),
    }
}

/// Where a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    pub chat: i64,
    /// Of a forum.
    pub thread: Option<i64>,
    /// The message that it answers.
    pub reply: Option<i64>,
}

/// Who the bot is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Me {
    pub id: i64,
    /// Its user name, which commands in groups carry.
    pub name: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_topic_is_a_thread_to_answer_in() {
        let read = |more: serde_json::Value| {
            let mut message = serde_json::json!({
                "message_id": 1, "message_thread_id": 9, "chat": {"id": -5, "type": "supergroup"},
            });
            message["is_topic_message"] = more;
            serde_json::from_value::<Message>(message).unwrap().topic()
        };
        assert_eq!((read(true.into()), read(false.into())), (Some(9), None));
    }

    #[test]
    fn a_server_that_is_not_well_is_tried_again_and_a_refusal_is_not() {
        let of =
            |words: &str| TelegramError::of(RequestError::Api(ApiError::Unknown(words.into())));
        for words in [
            "Bad Gateway",
            "Internal Server Error: restart",
            "Too Many Requests",
        ] {
            assert!(matches!(of(words), TelegramError::Away(_)), "{words}");
        }
        let blocked = TelegramError::of(RequestError::Api(ApiError::BotBlocked));
        assert!(matches!(blocked, TelegramError::Blocked(_)));
        assert!(matches!(of("Bad Request: no"), TelegramError::Refused(_)));
        let token = TelegramError::of(RequestError::Api(ApiError::InvalidToken));
        assert_eq!(token, TelegramError::Token);
    }
}
