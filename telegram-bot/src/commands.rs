//! What an update asks for, and what is done about it.

use std::sync::Arc;

use mythic_client::{ClientError, Commitment};
use mythic_interface::state::Job;
use sha2::{Digest as _, Sha256};
use solana_pubkey::Pubkey;

use crate::{
    clock,
    desk::Desk,
    parts::{Parts, Trouble},
    purse::{Payer, refusal},
    store::{LinkState, NewAsk, PageLink},
    telegram::{
        Address, AnswerCallbackQuery, Button, CallbackQuery, Keyboard, Message, TelegramError,
        Update, User,
    },
    text::{Text, amount, foreign, money},
    words::{self, PAGE_TAG},
};

/// How long an address of the wallet page is good before a wallet signs, and once its account confirmed the wallet, seconds.
const PAGE_LIFE: i64 = 900;
const SIGNED_LIFE: i64 = 1_800;
/// Questions that `/history` shows.
const HISTORY: u32 = 10;
/// Models that `/model` offers.
const MODELS: usize = 20;

/// What a text asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Asked<'a> {
    /// A command of this bot, in small letters, and what stands behind it.
    Command(String, &'a str),
    /// A command of another bot.
    Others,
    Plain(&'a str),
}

fn read<'a>(text: &'a str, me: &str) -> Asked<'a> {
    let Some(rest) = text.strip_prefix('/') else {
        return Asked::Plain(text.trim());
    };
    let (word, behind) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let (name, of) = word.split_once('@').unwrap_or((word, me));
    match of.eq_ignore_ascii_case(me) {
        true => Asked::Command(name.to_ascii_lowercase(), behind.trim()),
        false => Asked::Others,
    }
}

/// Short enough for a button, whatever a model is called.
fn model_tag(id: &str) -> String {
    hex::encode(&Sha256::digest(id)[..8])
}

/// An account as the wallet page names it. What people call themselves has no `@`, so that nobody is taken for a user name's owner.
fn account(user: &User) -> String {
    let is_at = |c: char| matches!(c, '@' | '\u{fe6b}' | '\u{ff20}');
    let first = foreign(&user.first_name.replace(is_at, ""));
    match &user.username {
        Some(username) => format!("@{username}, {first}"),
        None => format!("{first}, without a user name"),
    }
}

/// Works on updates. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Commands {
    parts: Arc<Parts>,
    desk: Arc<Desk>,
}

impl Commands {
    /// With its parts and the desk that takes questions.
    pub fn new(parts: Arc<Parts>, desk: Arc<Desk>) -> Self {
        Self { parts, desk }
    }

    /// Works on an update. An error means that it is to be worked on again; what can't be told to anybody is done.
    pub async fn update(&self, text: &str) -> Result<(), Trouble> {
        let kind = self.parts.metrics.updates.clone();
        let count = |word: &str| kind.with_label_values(&[word]).inc();
        let Ok(update) = serde_json::from_str::<Update>(text) else {
            count("unreadable");
            return Ok(());
        };
        let done = match (update.message, update.callback_query) {
            (Some(message), _) => {
                count("message");
                self.message(update.update_id, message).await
            }
            (None, Some(query)) => {
                count("tap");
                self.tap(query).await
            }
            // An edited message asks nothing anew.
            (None, None) => {
                count("other");
                Ok(())
            }
        };
        match done {
            Err(Trouble::Telegram(
                error @ (TelegramError::Blocked(_)
                | TelegramError::Refused(_)
                | TelegramError::Moved(_)),
            )) => {
                tracing::info!(update = update.update_id, %error, "nobody can be told");
                Ok(())
            }
            done => done,
        }
    }

    async fn say(&self, to: &Address, text: Text) -> Result<(), Trouble> {
        self.parts.telegram.say(to, text).await?;
        Ok(())
    }

    async fn message(&self, update: i64, message: Message) -> Result<(), Trouble> {
        let to = Address {
            chat: message.chat.id,
            thread: message.topic(),
            reply: Some(message.message_id),
        };
        let is_private = message.chat.is_private();
        let Some(text) = message.text.as_deref() else {
            // Pictures, voices, notices: only a person who writes to the bot itself is told.
            return match is_private && message.from.is_some() {
                true => {
                    self.say(&to, Text::plain("I read text alone. Write me a question."))
                        .await
                }
                false => Ok(()),
            };
        };
        let asked = read(text, &self.parts.me.name);
        let is_ours = match &asked {
            Asked::Command(..) => true,
            Asked::Others => false,
            Asked::Plain(_) => is_private,
        };
        if !is_ours {
            return Ok(());
        }
        let speaker = message.from.as_ref().filter(|from| !from.is_bot);
        let Some(from) = speaker.filter(|_| message.sender_chat.is_none()) else {
            let said =
                "I can't tell who asks that: write as yourself, not as a channel or anonymously.";
            return self.say(&to, Text::plain(said)).await;
        };
        for id in self.parts.store.unblock(from.id).await? {
            self.desk.start(id);
        }
        let spends = match &asked {
            Asked::Command(name, _) => ["ai", "limit"].contains(&name.as_str()),
            _ => true,
        };
        if spends && (message.forward_origin.is_some() || message.via_bot.is_some()) {
            let said = "I run nothing that somebody else wrote, since it costs you: send it as a message of your own.";
            return self.say(&to, Text::plain(said)).await;
        }
        match asked {
            Asked::Plain(prompt) => self.ask(update, &message, from, prompt).await,
            Asked::Command(name, behind) => match (name.as_str(), is_private) {
                ("ai", _) => self.ask(update, &message, from, behind).await,
                ("help", _) => self.say(&to, words::help()).await,
                ("start" | "link", true) => {
                    self.link(
                        &to,
                        from,
                        "Let your wallet allow me to spend a little for your questions.",
                    )
                    .await
                }
                ("balance" | "limit" | "model" | "history" | "verify" | "revoke", true) => {
                    self.own(&to, from, (name.as_str(), behind)).await
                }
                (_, true) => {
                    self.say(
                        &to,
                        Text::plain("I don't know this command. /help lists those that I know."),
                    )
                    .await
                }
                (
                    "start" | "link" | "balance" | "limit" | "model" | "history" | "verify"
                    | "revoke",
                    false,
                ) => {
                    self.say(
                        &to,
                        Text::plain("That is between you and me: write it to me in private."),
                    )
                    .await
                }
                // Somebody else's, without a name behind it.
                (_, false) => Ok(()),
            },
            Asked::Others => Ok(()),
        }
    }

    /// A question.
    async fn ask(
        &self,
        update: i64,
        message: &Message,
        from: &User,
        prompt: &str,
    ) -> Result<(), Trouble> {
        let Parts { store, config, .. } = &*self.parts;
        let to = Address {
            chat: message.chat.id,
            thread: message.topic(),
            reply: Some(message.message_id),
        };
        if prompt.is_empty() {
            return self
                .say(
                    &to,
                    Text::plain("Write your question behind it: /ai why is the sky blue?"),
                )
                .await;
        }
        if store.ask(update).await?.is_none() {
            let (running, recent) = store.load(from.id, clock::now() - 3_600).await?;
            if running >= i64::try_from(config.asks_per_user).unwrap_or(i64::MAX) {
                let said =
                    format!("{running} of your questions are under way; wait for one of them.");
                return self.say(&to, Text::plain(said)).await;
            }
            if recent >= i64::from(config.asks_per_hour) {
                let said = format!(
                    "You asked {recent} questions within an hour, as many as I take. Ask again later."
                );
                return self.say(&to, Text::plain(said)).await;
            }
            let person = store.person(from.id).await?;
            let new = NewAsk {
                id: update,
                user: from.id,
                chat: message.chat.id,
                thread: message.topic(),
                is_private: message.chat.is_private(),
                reply_to: message.message_id,
                model: person.model,
                prompt: prompt.to_owned(),
            };
            // A question that waited long with Telegram is as old as it is.
            store.add_ask(&new, message.date.min(clock::now())).await?;
        }
        self.desk.start(update);
        Ok(())
    }

    /// Makes an address of the wallet page for somebody, and tells them.
    async fn link(&self, to: &Address, from: &User, why: &str) -> Result<(), Trouble> {
        let token = hex::encode(rand::random::<[u8; 32]>());
        let link = PageLink {
            user: from.id,
            chat: to.chat,
            name: account(from),
            expires: clock::now() + PAGE_LIFE,
            wallet: None,
            message: None,
            message_expires: None,
            state: LinkState::Open,
        };
        let hash = hex::encode(Sha256::digest(&token));
        self.parts.store.add_link(&hash, &link).await?;
        let origin = self.parts.config.public_url.trim_end_matches('/');
        let text = words::page(&format!("{origin}/link/{token}"), why);
        self.say(to, text).await
    }

    /// What a person asks about their own.
    async fn own(
        &self,
        to: &Address,
        from: &User,
        (name, behind): (&str, &str),
    ) -> Result<(), Trouble> {
        let Parts {
            store,
            purse,
            config,
            telegram,
            ..
        } = &*self.parts;
        let person = store.person(from.id).await?;
        match name {
            "model" => return self.models(to, person.model.as_deref()).await,
            "history" => {
                let past = store.past(from.id, HISTORY).await?;
                telegram.say(to, words::history(&past, config)).await?;
                return Ok(());
            }
            _ => {}
        }
        let Some(payer) = purse.payer(from.id, &person) else {
            return self.link(to, from, "No wallet is linked yet.").await;
        };
        let text = match name {
            "balance" => match purse.funds(&payer).await {
                Ok(funds) => words::balance(&funds),
                Err(error) => away(&error),
            },
            "limit" if behind.is_empty() => {
                let below = person.run_below.unwrap_or(config.run_below_lamports);
                match purse.funds(&payer).await {
                    Ok(funds) => words::limits(&funds, below),
                    Err(error) => away(&error),
                }
            }
            "limit" => match amount(behind) {
                Some(0) => {
                    store.set_run_below(from.id, 0).await?;
                    Text::plain("I ask before every question from now on.")
                }
                Some(below) => {
                    store.set_run_below(from.id, below).await?;
                    let said = format!(
                        "Questions that cost at most {} run at once from now on. The chain's limits stay what they are.",
                        money(below)
                    );
                    Text::plain(said)
                }
                None => Text::plain("Write an amount in SOL behind it: /limit 0.001, or /limit 0."),
            },
            "verify" => self.verify(from.id, &payer, behind).await?,
            // "revoke": what is left.
            _ => {
                store.unlink(from.id).await?;
                let why = "I spend nothing for you any more, from now on. What lies on your delegate for rent and fees goes back to your wallet, also \
                           what running jobs return.\n\nThe leave still stands on chain: end it there too on this page.";
                return self.link(to, from, why).await;
            }
        };
        telegram.say(to, text).await?;
        Ok(())
    }

    async fn models(&self, to: &Address, chosen: Option<&str>) -> Result<(), Trouble> {
        let (text, keyboard) = match self.parts.gateway.models().await {
            Ok(mut models) => {
                models.truncate(MODELS);
                let button = |id: &str| Button {
                    text: id.chars().take(60).collect(),
                    callback_data: format!("model:{}", model_tag(id)),
                };
                let rows = models.iter().map(|model| vec![button(&model.id)]);
                let keyboard = Keyboard {
                    inline_keyboard: rows.collect(),
                };
                (words::models(&models, chosen), Some(keyboard))
            }
            Err(error) => (
                Text::plain(format!("The models can't be listed: {error}.")),
                None,
            ),
        };
        let keyboard = keyboard.filter(|keyboard| !keyboard.inline_keyboard.is_empty());
        self.parts.telegram.offer(to, text, keyboard).await?;
        Ok(())
    }

    /// Checks an answer of somebody against what the chain holds of its job.
    async fn verify(&self, user: i64, payer: &Payer, behind: &str) -> Result<Text, Trouble> {
        let Parts {
            store,
            purse,
            gateway,
            config,
            ..
        } = &*self.parts;
        let job = match behind.is_empty() {
            true => store.last_job(user).await?,
            false => Some(behind.trim_start_matches("chatcmpl-").to_owned()),
        };
        let Some(job) = job else {
            return Ok(Text::plain("You have no answer yet that could be checked."));
        };
        let Ok(address) = job.parse::<Pubkey>() else {
            return Ok(Text::plain(
                "That is no job. Write /verify for your last answer, or /verify and a job's address.",
            ));
        };
        if !store.is_job_of(user, &job).await? {
            return Ok(Text::plain(
                "That is no job of yours: what proves it is for those who paid for it.",
            ));
        }
        let page = config.page(&format!("/jobs/{job}"));
        let read = purse
            .chain
            .account_at::<Job>(&address, Commitment::Confirmed);
        let state = match read.await {
            Ok(Some((_, state))) => state,
            Ok(None) | Err(ClientError::Account { .. }) => {
                return Ok(Text::plain(format!(
                    "The job's account is closed, some minutes after its end. Its history: {page}"
                )));
            }
            Err(error) => return Ok(away(&error)),
        };
        let evidence = match gateway.evidence(&address, &payer.delegate).await {
            Ok(evidence) => evidence,
            Err(error) => {
                return Ok(Text::plain(format!(
                    "What proves it can't be had now: {error}. {page}"
                )));
            }
        };
        let checked = tokio::task::spawn_blocking(move || {
            let digests = evidence
                .of(address.as_array(), &state)
                .map_err(|error| error.to_string())?;
            evidence.verify().map_err(|error| error.to_string())?;
            Ok::<(u32, bool), String>((digests.count, evidence.options.is_none()))
        });
        Ok(match checked.await {
            Ok(Ok((count, is_replayed))) => {
                let (drawn, left) = match is_replayed {
                    true => (
                        ", and each token is the one that the job's seed draws from its logits",
                        "Whether these are the model's own logits",
                    ),
                    false => (
                        "",
                        "Whether these are the model's own logits, and the tokens those that the job's options draw,",
                    ),
                };
                Text::default()
                    .bold("It fits")
                    .say(&format!(
                        ": {count} tokens. Question, answer, logits and terms give exactly the hashes on chain{drawn}. {left} takes the model: "
                    ))
                    .code(&format!("mythic verify {job}"))
                    .say("\n")
                    .link("The job", &page)
            }
            Ok(Err(error)) => Text::default()
                .bold("It does not fit")
                .say(&format!(": {error}. {page}")),
            Err(_) => Text::plain("It could not be checked."),
        })
    }

    /// A tapped button.
    async fn tap(&self, query: CallbackQuery) -> Result<(), Trouble> {
        let user = query.from.id;
        let data = query.data.as_deref().unwrap_or_default();
        let said = match data.split_once(':') {
            Some(("run", agreed)) => match agreed
                .split_once(':')
                .map(|(id, price)| (id.parse::<i64>(), price.parse::<u64>()))
            {
                Some((Ok(id), Ok(price))) => {
                    self.desk.tapped(id, user, Some(price)).await?.to_owned()
                }
                _ => String::new(),
            },
            Some(("no", id)) => match id.parse() {
                Ok(id) => self.desk.tapped(id, user, None).await?.to_owned(),
                Err(_) => String::new(),
            },
            Some((what @ ("mine" | "alien"), tag)) => {
                self.confirm(&query, tag, what == "mine").await?
            }
            Some(("model", tag)) => self.choose(&query, tag).await?,
            _ => String::new(),
        };
        let answer = AnswerCallbackQuery {
            callback_query_id: query.id,
            text: said,
            show_alert: false,
        };
        // One that comes late is told nothing; what it asked for is done.
        match self.parts.telegram.call(answer).await {
            Ok(_) | Err(TelegramError::Refused(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Somebody says whether the wallet that signed on their page is their own. What they did is done before it is said.
    async fn confirm(
        &self,
        query: &CallbackQuery,
        tag: &str,
        is_theirs: bool,
    ) -> Result<String, Trouble> {
        let Parts { store, metrics, .. } = &*self.parts;
        let user = query.from.id;
        let found = store.proof_of(user).await?;
        let found = found.filter(|(hash, _)| hash.get(..PAGE_TAG) == Some(tag));
        let (text, said) = match found {
            Some((hash, page)) if is_theirs => {
                let wallet = page.wallet.unwrap_or_default();
                if page.state == LinkState::Proved {
                    store.link_wallet(user, &wallet).await?;
                    store.confirmed(&hash, clock::now() + SIGNED_LIFE).await?;
                    metrics.linked.set(store.linked().await?);
                }
                (words::linked(&wallet), "Linked.")
            }
            Some((hash, page)) if page.state == LinkState::Proved => {
                store.denied(&hash).await?;
                (words::denied(), "Not linked.")
            }
            Some(_) => return Ok("It is linked already; /revoke ends that.".into()),
            None => (words::page_over(), "This page has ended."),
        };
        // The chat with that person, and none other.
        let place = query.message.as_ref();
        if let Some(place) = place.filter(|place| place.chat.id == user) {
            self.parts
                .telegram
                .edit(place.chat.id, place.message_id, text, None)
                .await?;
        }
        Ok(said.into())
    }

    async fn choose(&self, query: &CallbackQuery, tag: &str) -> Result<String, Trouble> {
        if query
            .message
            .as_ref()
            .is_some_and(|place| !place.chat.is_private())
        {
            return Ok("Write me /model in private.".into());
        }
        let models = match self.parts.gateway.models().await {
            Ok(models) => models,
            Err(error) => {
                return Ok(format!("The models can't be listed: {error}")
                    .chars()
                    .take(190)
                    .collect());
            }
        };
        let Some(model) = models.iter().find(|model| model_tag(&model.id) == tag) else {
            return Ok("This model is served no more.".into());
        };
        self.parts.store.set_model(query.from.id, &model.id).await?;
        if let Some(place) = &query.message {
            let text = words::models(&models, Some(&model.id));
            self.parts
                .telegram
                .edit(place.chat.id, place.message_id, text, None)
                .await?;
        }
        Ok("Chosen.".into())
    }
}

fn away(error: &ClientError) -> Text {
    Text::plain(refusal(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_with_and_without_a_name_and_others_are_left_alone() {
        let command = |name: &str, behind| Asked::Command(name.into(), behind);
        assert_eq!(read("/ai why?", "My_bot"), command("ai", "why?"));
        assert_eq!(
            read("/AI@my_BOT  why\nnot? ", "My_bot"),
            command("ai", "why\nnot?")
        );
        assert_eq!(read("/ai", "My_bot"), command("ai", ""));
        assert_eq!(read("/ai@other why?", "My_bot"), Asked::Others);
        assert_eq!(read(" why? ", "My_bot"), Asked::Plain("why?"));
        assert_eq!(read("/", "My_bot"), command("", ""));
        assert_eq!(read("", "My_bot"), Asked::Plain(""));
    }

    #[test]
    fn nobody_is_shown_as_the_owner_of_a_user_name_that_is_not_theirs() {
        let user = |first_name: &str, username: Option<&str>| User {
            id: 7,
            is_bot: false,
            first_name: first_name.into(),
            username: username.map(str::to_owned),
        };
        let honest = account(&user("Ann", Some("ann")));
        assert_eq!(honest, "@ann, \u{2068}Ann\u{2069}");
        for name in ["@ann, Ann", "\u{ff20}ann", "Ann\n@ann", "\u{202e}nna@"] {
            let shown = account(&user(name, None));
            assert!(!shown.contains('@') && !shown.contains('\n'), "{shown}");
            assert!(shown.ends_with("without a user name"), "{shown}");
        }
    }

    #[test]
    fn a_models_button_fits_whatever_it_is_called() {
        let data = format!("model:{}", model_tag(&"x".repeat(1_000)));
        assert!(data.len() <= 64);
        assert_ne!(model_tag("a"), model_tag("b"));
    }
}
