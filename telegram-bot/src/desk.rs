//! Takes questions from their price to their settled job. Each step begins at what is stored and stores before it acts, so that a stop at any
//! moment changes nothing but time: a request is stored before it is sent and has one nonce and one key; an answer is stored before it is
//! delivered, into messages whose numbers are stored.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::StreamExt as _;
use mythic_client::{ClientError, Commitment};
use mythic_support::Backoff;
use tokio::{sync::watch, time::sleep};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    clock,
    gateway::{GatewayError, Question, Step},
    parts::{Parts, Trouble},
    purse::{Payer, SignError, Signed, Standing, refusal},
    store::{Ask, AskState, Field, NewAsk, Store},
    telegram::{Address, Button, Keyboard, SendMessageDraft, TelegramError},
    text::{self, Text, money},
    words,
};

/// Pauses between two tries of a step.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// How long a price is tried to be found out, and how long an approved question waits for gateway, chain and a validator, seconds.
const PATIENCE: i64 = 60;
/// How long a price is good, and so is a question that nobody could be told of, seconds.
pub const QUOTE_LIFE: i64 = 900;
const TOO_OLD: &str = "This price is too old. Nothing was paid; ask again.";
/// Requests of one question: where none comes to a job, another validator may take the next.
const TRIES: i64 = 2;
/// How long an answer is waited for at the longest, seconds.
const LONGEST: i64 = 3_600;
/// How long a job is watched at the longest, seconds.
const WATCHED: i64 = 86_400;
/// Most characters that are shown of an answer that broke off.
const PARTIAL: usize = 1_500;
/// Slots that pass at the most between two questions to a node.
const MARGIN: u64 = 300;
/// Pause between two looks at what a request came to.
const LOOK: Duration = Duration::from_secs(2);
/// Pauses between two versions of a growing answer: in a private chat, and in a group, where Telegram allows twenty messages a minute.
const GROWTH: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3));
/// Pauses between two looks at a job whose window runs: private, in a group, in a case.
const COUNTDOWN: (Duration, Duration, Duration) = (
    Duration::from_secs(5),
    Duration::from_secs(20),
    Duration::from_secs(60),
);

/// What became of a request that brought no answer so far.
enum Look {
    /// It is not known yet.
    Wait,
    /// Nothing more comes of it: the word that is kept, and what is said.
    Over(&'static str, String),
    /// It came to no job, can't any more, and another request may.
    Anew,
}

/// Why a request is not signed.
struct Unsigned {
    /// It may be within a minute.
    passes: bool,
    /// The word that is kept.
    outcome: &'static str,
    /// A sentence.
    why: String,
}

impl Unsigned {
    fn never(outcome: &'static str, why: String) -> Self {
        Self {
            passes: false,
            outcome,
            why,
        }
    }
}

impl From<ClientError> for Unsigned {
    fn from(error: ClientError) -> Self {
        Self {
            passes: error.is_transient(),
            outcome: "chain",
            why: refusal(&error),
        }
    }
}

/// An answer that is whole.
struct Whole {
    text: String,
    cost: u64,
    validator: Option<String>,
    unconfirmed: bool,
}

/// The desk.
#[derive(Debug)]
pub struct Desk {
    parts: Arc<Parts>,
    /// Questions that somebody works on, and whether they were started again meanwhile.
    running: Mutex<HashMap<i64, bool>>,
    tasks: TaskTracker,
}

impl Desk {
    /// A desk on which nothing lies.
    pub fn new(parts: Arc<Parts>) -> Arc<Self> {
        Arc::new(Self {
            parts,
            running: Mutex::default(),
            tasks: TaskTracker::new(),
        })
    }

    /// Goes on with everything that is stored as unfinished.
    pub async fn resume(self: &Arc<Self>) -> Result<(), Trouble> {
        for id in self.parts.store.unfinished().await? {
            self.start(id);
        }
        Ok(())
    }

    /// Goes on with a question. Whoever does already looks at it once more when it comes to its end.
    pub fn start(self: &Arc<Self>, id: i64) {
        {
            let mut running = self.running();
            if let Some(again) = running.get_mut(&id) {
                *again = true;
                return;
            }
            running.insert(id, false);
        }
        let desk = self.clone();
        self.tasks.spawn(async move {
            desk.parts.metrics.open_asks.inc();
            loop {
                desk.drive(id).await;
                if !desk.is_wanted_again(id) {
                    break;
                }
            }
            desk.parts.metrics.open_asks.dec();
        });
    }

    /// Whether a question was started again while somebody worked on it; if not, nobody works on it from now on.
    fn is_wanted_again(&self, id: i64) -> bool {
        let mut running = self.running();
        let is_wanted = running.get_mut(&id).is_some_and(std::mem::take);
        if !is_wanted {
            running.remove(&id);
        }
        is_wanted
    }

    /// Waits until nobody works on a question.
    pub async fn close(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn running(&self) -> std::sync::MutexGuard<'_, HashMap<i64, bool>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn drive(&self, id: i64) {
        let (store, stop) = (&self.parts.store, &self.parts.stop);
        let mut pauses = Backoff::new(PAUSES.0, PAUSES.1);
        while !stop.is_cancelled() {
            let trouble = match self.step(id).await {
                Ok(true) => {
                    pauses.reset();
                    continue;
                }
                Ok(false) | Err(Trouble::Stopping) => return,
                Err(trouble) => trouble,
            };
            let kept = match &trouble {
                Trouble::Telegram(TelegramError::Blocked(_) | TelegramError::Refused(_)) => {
                    match store.refuge(id).await {
                        // What is paid is delivered, if not in the group.
                        Ok(Some(user)) => store.move_chat(id, user).await,
                        Ok(None) => {
                            tracing::info!(ask = id, %trouble, "nobody can be told; it waits until they write again");
                            if store.set_blocked(id).await.is_ok() {
                                return;
                            }
                            Ok(())
                        }
                        Err(error) => Err(error),
                    }
                }
                Trouble::Telegram(TelegramError::Moved(chat)) => store.move_chat(id, *chat).await,
                _ => Ok(()),
            };
            if let Err(error) = kept {
                tracing::warn!(ask = id, %error, "a question can't be kept");
            }
            tracing::warn!(ask = id, %trouble, "trying again");
            if !pauses.wait(stop).await {
                return;
            }
        }
    }

    /// Does what is next; `false` if nothing is.
    async fn step(&self, id: i64) -> Result<bool, Trouble> {
        let Some(ask) = self.parts.store.ask(id).await? else {
            return Ok(false);
        };
        match ask.state {
            AskState::Quoting => self.quote(ask).await,
            AskState::Approved => self.sign(ask).await,
            AskState::Sent => self.fetch(ask).await,
            AskState::Answered => self.deliver(ask).await,
            AskState::Watching => self.watch(ask).await,
            AskState::Quoted | AskState::Over => Ok(false),
        }
    }

    /// Shows a text as the bot's message number `at` about a question. A message is made as a placeholder and its number stored before
    /// it says anything, so that what it says is said once.
    async fn show(
        &self,
        ask: &mut Ask,
        at: usize,
        text: Text,
        keyboard: Option<Keyboard>,
    ) -> Result<(), Trouble> {
        let (telegram, chat) = (&self.parts.telegram, ask.new.chat);
        if let Some(message) = ask.messages.get(at) {
            let edited = telegram.edit(chat, *message, text.clone(), keyboard.clone());
            match edited.await {
                // Somebody deleted it.
                Err(error) if error.is_gone() => {}
                edited => return Ok(edited?),
            }
        }
        let to = Address {
            chat,
            thread: ask.new.thread,
            reply: (at == 0 && ask.new.reply_to > 0).then_some(ask.new.reply_to),
        };
        let message = telegram.say(&to, Text::plain("…")).await?;
        match ask.messages.get_mut(at) {
            Some(place) => *place = message,
            None => ask.messages.push(message),
        }
        self.parts
            .store
            .set_messages(ask.new.id, &ask.messages)
            .await?;
        Ok(telegram.edit(chat, message, text, keyboard).await?)
    }

    /// Ends a question that brought no answer.
    async fn end(
        &self,
        mut ask: Ask,
        outcome: &'static str,
        said: String,
    ) -> Result<bool, Trouble> {
        self.show(&mut ask, 0, Text::plain(said.as_str()), None)
            .await?;
        let set = vec![
            ("outcome", Field::Text(outcome.into())),
            ("words", Field::Text(said)),
        ];
        self.over(&ask, outcome, set).await
    }

    async fn over(
        &self,
        ask: &Ask,
        outcome: &str,
        set: Vec<(&'static str, Field)>,
    ) -> Result<bool, Trouble> {
        let step = (ask.state, AskState::Over);
        if self.parts.store.advance(ask.new.id, step, set).await? {
            self.parts.metrics.asks.with_label_values(&[outcome]).inc();
        }
        Ok(false)
    }

    fn question<'a>(&self, ask: &'a NewAsk) -> Question<'a> {
        Question {
            model: ask.model.as_deref(),
            prompt: &ask.prompt,
            max_tokens: self.parts.config.max_output_tokens,
        }
    }

    /// Waits before a step is tried again.
    async fn pause(&self) -> Result<(), Trouble> {
        tokio::select! {
            () = sleep(LOOK) => Ok(()),
            () = self.parts.stop.cancelled() => Err(Trouble::Stopping),
        }
    }

    /// Finds out what a question costs, and asks its author unless it is below what runs at once.
    async fn quote(&self, mut ask: Ask) -> Result<bool, Trouble> {
        let Parts {
            store,
            gateway,
            purse,
            config,
            ..
        } = &*self.parts;
        if clock::now() - ask.made > QUOTE_LIFE {
            let said = "Your question came too long ago. Nothing was paid; ask again.";
            return self.end(ask, "expired", said.into()).await;
        }
        let person = store.person(ask.new.user).await?;
        if purse.payer(ask.new.user, &person).is_none() {
            let said = "No wallet is linked. Write me /link in private, then ask again.";
            return self.end(ask, "unlinked", said.into()).await;
        }
        let estimate = match gateway.estimate(&self.question(&ask.new)).await {
            Ok(estimate) => estimate,
            Err(error) if error.may_pass() && clock::now() - ask.made < PATIENCE => {
                tracing::info!(ask = ask.new.id, %error, "no price yet");
                self.pause().await?;
                return Ok(true);
            }
            Err(error) => {
                let said = format!("What it costs can't be found out: {error}. Nothing was paid.");
                return self.end(ask, "no_price", said).await;
            }
        };
        let ceiling = estimate.ceiling_cost_lamports;
        let columns = Store::quote(ceiling, &estimate.model);
        if ceiling <= person.run_below.unwrap_or(config.run_below_lamports) {
            let step = (AskState::Quoting, AskState::Approved);
            return Ok(store.advance(ask.new.id, step, columns).await?);
        }
        let id = ask.new.id;
        let button = |text: &str, data: String| Button {
            text: text.into(),
            callback_data: data,
        };
        // What is agreed to is what was shown.
        let keyboard = Keyboard {
            inline_keyboard: vec![vec![
                button("Run", format!("run:{id}:{ceiling}")),
                button("Cancel", format!("no:{id}")),
            ]],
        };
        self.show(&mut ask, 0, words::quote(&estimate), Some(keyboard))
            .await?;
        let step = (AskState::Quoting, AskState::Quoted);
        store.advance(ask.new.id, step, columns).await?;
        Ok(false)
    }

    /// The author of a question tapped, and agreed to a price if it is to run. What they are told.
    pub async fn tapped(
        self: &Arc<Self>,
        id: i64,
        user: i64,
        agreed: Option<u64>,
    ) -> Result<&'static str, Trouble> {
        let Some(ask) = self.parts.store.ask(id).await? else {
            return Ok("I don't know this question any more.");
        };
        if ask.new.user != user {
            return Ok("This is somebody else's question.");
        }
        if ask.state == AskState::Quoting {
            return Ok("One moment, then tap again.");
        }
        if ask.state != AskState::Quoted {
            return Ok("That was tapped already; nothing is paid twice.");
        }
        if clock::now() - ask.changed > QUOTE_LIFE {
            self.close_quote(ask, "expired", TOO_OLD).await?;
            return Ok(TOO_OLD);
        }
        if agreed.is_none() {
            self.close_quote(ask, "cancelled", "Cancelled. Nothing was paid.")
                .await?;
            return Ok("Cancelled.");
        }
        if agreed != ask.ceiling {
            return Ok("The price is another one by now. Look at it, then tap again.");
        }
        let step = (AskState::Quoted, AskState::Approved);
        let is_first = self.parts.store.advance(id, step, Vec::new()).await?;
        self.start(id);
        Ok(match is_first {
            true => "Running.",
            false => "That was tapped already; nothing is paid twice.",
        })
    }

    /// Ends questions whose author said nothing. Nobody waits until they are told.
    pub async fn expire(self: &Arc<Self>) -> Result<(), Trouble> {
        for id in self
            .parts
            .store
            .unanswered(clock::now() - QUOTE_LIFE)
            .await?
        {
            if let Some(ask) = self.parts.store.ask(id).await? {
                let desk = self.clone();
                self.tasks.spawn(async move {
                    if let Err(trouble) = desk.close_quote(ask, "expired", TOO_OLD).await {
                        tracing::info!(ask = id, %trouble, "nobody is told that a price is too old");
                    }
                });
            }
        }
        Ok(())
    }

    /// Ends a question that its author was asked about, unless they approved it meanwhile. It is over before that is said.
    async fn close_quote(
        &self,
        mut ask: Ask,
        outcome: &'static str,
        said: &str,
    ) -> Result<(), Trouble> {
        let set = vec![("outcome", Field::Text(outcome.into()))];
        let step = (AskState::Quoted, AskState::Over);
        if self.parts.store.advance(ask.new.id, step, set).await? {
            self.parts.metrics.asks.with_label_values(&[outcome]).inc();
            self.show(&mut ask, 0, Text::plain(said), None).await?;
        }
        Ok(())
    }

    /// Signs a question's request and stores it.
    async fn sign(&self, mut ask: Ask) -> Result<bool, Trouble> {
        let Parts { store, purse, .. } = &*self.parts;
        let age = |ask: &Ask| clock::now() - ask.changed;
        // Nobody is to pay for what they agreed to long ago.
        if age(&ask) > QUOTE_LIFE {
            return self.end(ask, "expired", TOO_OLD.into()).await;
        }
        let agreed = ask.ceiling.unwrap_or(0);
        let model = ask.new.model.clone().unwrap_or_default();
        self.show(&mut ask, 0, words::running(&model, agreed), None)
            .await?;
        let (signed, salt) = loop {
            let person = store.person(ask.new.user).await?;
            let Some(payer) = purse.payer(ask.new.user, &person) else {
                let said = "The wallet is not linked any more. Nothing was paid.";
                return self.end(ask, "unlinked", said.into()).await;
            };
            match self.signed(&ask, &payer, agreed).await {
                Ok(signed) => break signed,
                Err(unsigned) if unsigned.passes && age(&ask) < PATIENCE => {
                    tracing::info!(ask = ask.new.id, why = %unsigned.why, "not signed yet");
                    self.pause().await?;
                }
                Err(unsigned) => {
                    let said = format!("{} Nothing was paid.", unsigned.why);
                    return self.end(ask, unsigned.outcome, said).await;
                }
            }
        };
        let body = self.question(&ask.new).paid(&signed.encoded, &salt);
        let set = vec![
            ("body", Field::Text(body)),
            ("job", Field::Text(signed.job.to_string())),
            ("expiry", Field::Int(signed.expiry.cast_signed())),
            ("signature", Field::Text(signed.signature())),
        ];
        let step = (AskState::Approved, AskState::Sent);
        Ok(store.advance(ask.new.id, step, set).await?)
    }

    /// A question's request and the salt of its prompt, if it costs no more than its author agreed to and the chain would take it.
    async fn signed(
        &self,
        ask: &Ask,
        payer: &Payer,
        agreed: u64,
    ) -> Result<(Signed, String), Unsigned> {
        let Parts { gateway, purse, .. } = &*self.parts;
        if let Some(lacking) = purse.lacks(payer).await? {
            let why = format!(
                "For rent and fees {} are lacking: add some on the wallet page, /link.",
                money(lacking)
            );
            return Err(Unsigned::never("rent", why));
        }
        let estimate = gateway.estimate(&self.question(&ask.new)).await;
        let estimate = estimate.map_err(|error| Unsigned {
            passes: error.may_pass(),
            outcome: "gateway",
            why: format!("The gateway can't take it: {error}."),
        })?;
        let signed = match purse.sign(payer, &estimate).await {
            Ok(signed) => signed,
            Err(SignError::Chain(error)) => return Err(error.into()),
            Err(error) => {
                return Err(Unsigned {
                    passes: matches!(error, SignError::NoValidator),
                    outcome: "gateway",
                    why: format!("It can't be run: {error}."),
                });
            }
        };
        if signed.ceiling > agreed {
            let why = format!(
                "The price rose since you were asked: it would be {} now.",
                money(signed.ceiling)
            );
            return Err(Unsigned::never("price", why));
        }
        match purse.trial(&signed.transaction).await? {
            None => Ok((signed, estimate.terms.salt)),
            Some(error) => Err(Unsigned {
                outcome: "refused",
                ..Unsigned::from(error)
            }),
        }
    }

    /// Sends a request that is stored, again and again under one key, until its answer is stored or can never come.
    async fn fetch(&self, ask: Ask) -> Result<bool, Trouble> {
        let key = format!("telegram-{}-{}-{}", self.parts.me.id, ask.new.id, ask.tries);
        let (mut is_told, mut partial) = (false, String::new());
        loop {
            let error = match self.stream(&ask, &key, &mut partial).await? {
                Ok(whole) => {
                    let set = vec![
                        ("answer", Field::Text(whole.text)),
                        ("cost", Field::Int(whole.cost.cast_signed())),
                        ("validator", Field::maybe(whole.validator)),
                        ("unconfirmed", Field::Int(whole.unconfirmed.into())),
                    ];
                    let step = (AskState::Sent, AskState::Answered);
                    return Ok(self.parts.store.advance(ask.new.id, step, set).await?);
                }
                Err(error) => error,
            };
            tracing::info!(ask = ask.new.id, code = %error.code, %error, "no answer yet");
            match self.look(&ask, &error).await {
                Ok(Look::Over(outcome, mut said)) => {
                    if outcome == "lost" && !partial.is_empty() {
                        let beginning: String = partial.chars().take(PARTIAL).collect();
                        said.push_str(&format!("\n\nBefore it broke off it said:\n{beginning}"));
                    }
                    return self.end(ask, outcome, said).await;
                }
                Ok(Look::Anew) => {
                    let set = vec![
                        ("body", Field::Null),
                        ("job", Field::Null),
                        ("expiry", Field::Null),
                        ("signature", Field::Null),
                        ("tries", Field::Int(ask.tries.saturating_add(1))),
                    ];
                    let step = (AskState::Sent, AskState::Approved);
                    return Ok(self.parts.store.advance(ask.new.id, step, set).await?);
                }
                Ok(Look::Wait) => {}
                Err(trouble) => {
                    tracing::warn!(ask = ask.new.id, %trouble, "what became of a request can't be seen");
                }
            }
            if !error.may_pass() && !is_told {
                is_told = true;
                let said = format!("{error}\n\nI wait until it is certain what was paid…");
                if let Some(message) = ask.messages.first() {
                    let telegram = &self.parts.telegram;
                    // Only to bridge the wait.
                    drop(
                        telegram
                            .edit_once(ask.new.chat, *message, Text::plain(said))
                            .await,
                    );
                }
            }
            let pause = error.retry_after.unwrap_or(LOOK).max(LOOK);
            tokio::select! {
                () = sleep(pause) => {}
                () = self.parts.stop.cancelled() => return Err(Trouble::Stopping),
            }
        }
    }

    /// Sends a request and reads its answer, which is shown while it grows. What came of one that breaks off is kept in `partial`, if it
    /// is more than what is there.
    async fn stream(
        &self,
        ask: &Ask,
        key: &str,
        partial: &mut String,
    ) -> Result<Result<Whole, GatewayError>, Trouble> {
        let body = ask.body.clone().unwrap_or_default();
        let mut steps = match self.parts.gateway.chat(body, key).await {
            Ok(steps) => steps,
            Err(error) => return Ok(Err(error)),
        };
        // A stream that drips forever is no answer.
        let longest = sleep(Duration::from_secs(LONGEST.unsigned_abs()));
        tokio::pin!(longest);
        let (sender, receiver) = watch::channel(String::new());
        let ended = CancellationToken::new();
        let reading = async {
            let _ended = ended.clone().drop_guard();
            let mut whole = Whole {
                text: String::new(),
                cost: 0,
                validator: None,
                unconfirmed: false,
            };
            let mut is_paid = false;
            loop {
                let step = tokio::select! {
                    step = steps.next() => step,
                    () = &mut longest => {
                        return Ok(Err(GatewayError::away("the answer does not end")));
                    }
                    () = self.parts.stop.cancelled() => return Err(Trouble::Stopping),
                };
                match step {
                    Some(Ok(Step::Text(more))) => {
                        whole.text.push_str(&more);
                        sender.send_modify(|text| text.push_str(&more));
                    }
                    Some(Ok(Step::Receipt {
                        cost,
                        validator,
                        unconfirmed,
                    })) => {
                        is_paid = true;
                        (whole.cost, whole.validator, whole.unconfirmed) =
                            (cost, validator, unconfirmed);
                    }
                    Some(Ok(Step::Done)) if is_paid => return Ok(Ok(whole)),
                    Some(Err(error)) => return Ok(Err(error)),
                    Some(Ok(Step::Done)) | None => {
                        let words = "the gateway's answer came without a receipt";
                        return Ok(Err(GatewayError::away(words)));
                    }
                }
            }
        };
        let (read, ()) = tokio::join!(reading, self.grow(ask, receiver, &ended));
        let so_far = sender.borrow().clone();
        if so_far.len() > partial.len() {
            *partial = so_far;
        }
        read
    }

    /// Shows an answer while it grows: as a draft in a private chat where Telegram takes drafts, else in the message that it will be.
    /// Nothing of it is under way any more when this returns.
    async fn grow(&self, ask: &Ask, mut text: watch::Receiver<String>, ended: &CancellationToken) {
        let (telegram, chat) = (&self.parts.telegram, ask.new.chat);
        let mut drafts = ask.new.is_private;
        let pause = if ask.new.is_private {
            GROWTH.0
        } else {
            GROWTH.1
        };
        loop {
            tokio::select! {
                biased;
                () = ended.cancelled() => return,
                changed = text.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
            }
            let so_far = text.borrow_and_update().clone();
            let shown = text::tail(&text::answer(&so_far));
            let sent = match (drafts, ask.messages.first()) {
                (true, _) => {
                    let draft = SendMessageDraft {
                        chat_id: chat,
                        message_thread_id: ask.new.thread,
                        // Not zero.
                        draft_id: ask.new.id.rem_euclid(i64::from(i32::MAX)) + 1,
                        text: shown.text,
                        entities: shown.entities,
                    };
                    telegram.once(draft).await.map(drop)
                }
                (false, Some(message)) => telegram.edit_once(chat, *message, shown).await,
                (false, None) => return,
            };
            let wait = match sent {
                Err(TelegramError::Wait(asked)) => asked.max(pause),
                Err(TelegramError::Refused(_)) if drafts => {
                    drafts = false;
                    pause
                }
                Err(TelegramError::Blocked(_) | TelegramError::Refused(_)) => return,
                _ => pause,
            };
            tokio::select! {
                () = ended.cancelled() => return,
                () = sleep(wait) => {}
            }
        }
    }

    /// What became of a request without an answer. What is not known after an hour is not waited for any longer.
    async fn look(&self, ask: &Ask, error: &GatewayError) -> Result<Look, Trouble> {
        let seen = self.seen(ask, error).await;
        let is_long = clock::now() - ask.changed > LONGEST;
        match seen {
            Ok(Look::Wait) | Err(_) if is_long => {
                let page = self.page_of(ask);
                let said =
                    format!("No answer came in an hour ({error}). What became of the job: {page}");
                Ok(Look::Over("lost", said))
            }
            seen => seen,
        }
    }

    /// The page of a question's job.
    fn page_of(&self, ask: &Ask) -> String {
        let job = ask.job.as_deref().unwrap_or_default();
        self.parts.config.page(&format!("/jobs/{job}"))
    }

    /// What the chain says of a request without an answer, or the index where its job may be closed.
    async fn seen(&self, ask: &Ask, error: &GatewayError) -> Result<Look, Trouble> {
        let Parts { purse, gateway, .. } = &*self.parts;
        let job = ask.job.as_deref().unwrap_or_default();
        let page = self.page_of(ask);
        let refunded = || {
            let said = format!(
                "{error}\n\nNo answer came, and the job was refunded: your lamports are back in your vault. {page}"
            );
            Look::Over("refunded", said)
        };
        let lost = || {
            let said = format!(
                "{error}\n\nThe job has a result, but its text can't be had. What it cost and what came of it: {page}"
            );
            Look::Over("lost", said)
        };
        // Before the job is looked at: what is seen of it then is newer than the end of its nonce.
        let slot = purse.chain.slot(Commitment::Finalized).await?;
        Ok(match purse.job(job).await? {
            Standing::Runs => Look::Wait,
            Standing::Refunded | Standing::Slashed => refunded(),
            Standing::HasResult | Standing::Settled if error.may_pass() => Look::Wait,
            Standing::HasResult | Standing::Settled => lost(),
            Standing::Absent => {
                let expiry = ask.expiry.unwrap_or(u64::MAX);
                if slot <= expiry {
                    return Ok(Look::Wait);
                }
                // Some slots early: the job was looked at after the slot.
                if slot.saturating_add(MARGIN) > purse.closable(expiry).await? {
                    // Its account may be closed by now: the index knows.
                    match gateway.job(job).await {
                        Ok(view) if view.status == "refunded" => return Ok(refunded()),
                        Ok(view) if view.status == "unpaid" => {}
                        Ok(view)
                            if !error.may_pass()
                                && ["settled", "slashed"].contains(&view.status.as_str()) =>
                        {
                            return Ok(lost());
                        }
                        // Its answer may still come, or the index has not seen its end.
                        Ok(_) => return Ok(Look::Wait),
                        Err(away) if away.status == Some(404) => {}
                        Err(away) => return Err(away.into()),
                    }
                }
                let is_young = clock::now() - ask.changed < QUOTE_LIFE;
                if error.may_pass() && ask.tries + 1 < TRIES && is_young {
                    return Ok(Look::Anew);
                }
                let said = format!(
                    "{error}\n\nThe request never reached the chain and can't any more. Nothing was paid; ask again."
                );
                Look::Over("not_paid", said)
            }
        })
    }

    /// Delivers an answer, part by part, then its receipt.
    async fn deliver(&self, mut ask: Ask) -> Result<bool, Trouble> {
        let answer = text::answer(ask.answer.as_deref().unwrap_or_default());
        let parts = text::split(&answer, text::MESSAGE);
        let count = parts.len();
        for (at, part) in parts.into_iter().enumerate() {
            self.show(&mut ask, at, part, None).await?;
        }
        let receipt = words::receipt(&ask, None, None, &self.parts.config);
        self.show(&mut ask, count, receipt, None).await?;
        let step = (AskState::Answered, AskState::Watching);
        Ok(self
            .parts
            .store
            .advance(ask.new.id, step, Vec::new())
            .await?)
    }

    /// Counts the window down in the receipt, until the job has ended.
    async fn watch(&self, mut ask: Ask) -> Result<bool, Trouble> {
        let job = ask.job.clone().unwrap_or_default();
        let at = ask.messages.len().saturating_sub(1);
        let is_old = clock::now() - ask.changed > WATCHED;
        let view = match self.parts.gateway.job(&job).await {
            Ok(view) => view,
            // The index may lag.
            Err(_) if is_old => {
                let set = vec![("outcome", Field::Text("unwatched".into()))];
                return self.over(&ask, "unwatched", set).await;
            }
            Err(error) => return Err(error.into()),
        };
        let slot = self
            .parts
            .purse
            .chain
            .slot(Commitment::Processed)
            .await
            .ok();
        let receipt = words::receipt(&ask, Some(&view), slot, &self.parts.config);
        self.show(&mut ask, at, receipt, None).await?;
        let ends = ["settled", "refunded", "slashed", "unpaid"];
        let end = ends.into_iter().find(|end| *end == view.status);
        if let Some(outcome) = end.or(is_old.then_some("unwatched")) {
            let mut set = vec![("outcome", Field::Text(outcome.into()))];
            if let Some(fee) = view.fee_lamports {
                set.push(("cost", Field::Int(fee.cast_signed())));
            }
            return self.over(&ask, outcome, set).await;
        }
        let pause = match (view.status.as_str(), ask.new.is_private) {
            ("disputed", _) => COUNTDOWN.2,
            (_, true) => COUNTDOWN.0,
            (_, false) => COUNTDOWN.1,
        };
        tokio::select! {
            () = sleep(pause) => Ok(true),
            () = self.parts.stop.cancelled() => Err(Trouble::Stopping),
        }
    }
}
