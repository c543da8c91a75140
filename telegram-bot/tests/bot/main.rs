//! The bot against a Bot API server that is strict and nasty, with a gateway and a chain that are scripted.

mod away;
mod page;
mod restarts;
mod world;

use std::time::{Duration, Instant};

use mythic_e2e::telegram::{BOT, Fault, Shown, Telegram};
use mythic_interface::state::JobStatus;
use serde_json::json;
use solana_keypair::Keypair;
use world::{Bot, CEILING, Manner, World};

/// Somebody, and a group.
pub const ANN: i64 = 7;
const BOB: i64 = 8;
const GROUP: i64 = -100_500;

/// A world with a bot, and a wallet that is linked to [`ANN`].
pub async fn linked() -> (World, Bot) {
    let world = World::start().await;
    let bot = Bot::start(world.config());
    world.link(ANN, &Keypair::new()).await;
    (world, bot)
}

fn has_run(one: &Shown) -> bool {
    one.buttons.iter().any(|data| data.starts_with("run:"))
}

/// Taps Run below a price that is shown in a chat.
pub async fn run(world: &World, user: i64, chat: i64) -> Shown {
    let shown = world
        .telegram
        .until(chat, "with Run", has_run)
        .await
        .unwrap();
    world.telegram.tap(user, &shown, &shown.buttons[0]);
    shown
}

/// Waits until `good`.
pub async fn until(what: &str, mut good: impl FnMut() -> bool) {
    let started = Instant::now();
    while !good() {
        assert!(started.elapsed() < Duration::from_secs(60), "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn count(world: &World, chat: i64, words: &str) -> usize {
    let shown = world.telegram.shown(chat);
    shown.iter().filter(|one| one.text.contains(words)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_priced_run_answered_and_followed_until_it_is_settled() {
    let (world, bot) = linked().await;
    world.script().status = "submitted";
    world.telegram.write(ANN, ANN, "Why is the sky blue?");
    let price = run(&world, ANN, ANN).await;
    assert!(
        price.text.contains("0.00000003 SOL (30 lamports)"),
        "{}",
        price.text
    );
    let answer = world
        .telegram
        .says(ANN, "Because blue light")
        .await
        .unwrap();
    assert_eq!(
        answer.id, price.id,
        "the answer takes the place of its price"
    );
    assert_eq!(
        answer.entities,
        [json!({"type": "bold", "offset": 8, "length": 4})]
    );
    assert!(answer.buttons.is_empty());
    let receipt = world.telegram.says(ANN, "slots more").await.unwrap();
    for words in ["tiny", "20 lamports", "Validator", "Job", "Transaction"] {
        assert!(receipt.text.contains(words), "{words}: {}", receipt.text);
    }
    world.script().status = "settled";
    let settled = world.telegram.says(ANN, "Settled").await.unwrap();
    assert_eq!(settled.id, receipt.id);
    assert!(!world.telegram.drafts(ANN).is_empty());
    assert_eq!(
        (world.script().paid.len(), world.telegram.violations()),
        (1, Vec::new())
    );
    world.telegram.write(ANN, ANN, "/history");
    let past = world
        .telegram
        .says(ANN, "Your last questions")
        .await
        .unwrap();
    assert!(past.text.contains("settled") && past.text.contains("20 lamports"));
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn repeats_wrong_order_and_double_taps_cost_nothing() {
    let (world, bot) = linked().await;
    world.telegram.repeat();
    world.telegram.write(ANN, ANN, "one");
    let shown = world
        .telegram
        .until(ANN, "with Run", has_run)
        .await
        .unwrap();
    for _ in 0..3 {
        world.telegram.tap(ANN, &shown, &shown.buttons[0]);
    }
    world.telegram.tap(ANN, &shown, &shown.buttons[1]);
    world.telegram.says(ANN, "Settled").await.unwrap();
    until("all taps are answered", || world.telegram.taps().len() >= 4).await;
    assert_eq!(
        (world.script().paid.len(), count(&world, ANN, "Because")),
        (1, 1)
    );
    assert_eq!(count(&world, ANN, "Receipt"), 1);
    assert!(
        world
            .telegram
            .taps()
            .iter()
            .any(|told| told.contains("nothing is paid twice"))
    );
    assert_eq!(world.telegram.violations(), Vec::<String>::new());
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn below_its_authors_limit_a_question_runs_without_a_tap() {
    let (world, bot) = linked().await;
    world.telegram.write(ANN, ANN, "/limit 30 lamports");
    world.telegram.says(ANN, "run at once").await.unwrap();
    world.telegram.write(ANN, ANN, "/ai cheap?");
    world.telegram.says(ANN, "Because").await.unwrap();
    world.script().ceiling = CEILING + 1;
    world.telegram.write(ANN, ANN, "/ai dearer?");
    world
        .telegram
        .until(ANN, "with Run", has_run)
        .await
        .unwrap();
    world.telegram.write(ANN, ANN, "/limit lots");
    world.telegram.says(ANN, "Write an amount").await.unwrap();
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn long_answers_with_broken_marks_emoji_and_other_scripts_arrive_whole() {
    let (world, bot) = linked().await;
    let family = "👨‍👩‍👧‍👦 مرحبا **שלום `x ```\n<b>&lt;/b> [a](b _c* ";
    let answer = format!(
        "{}\n```rust\n{}\n```\n{}",
        family.repeat(150),
        "let x = \"👍🏽\";\n".repeat(400),
        "end ".repeat(900)
    );
    world.script().answer = answer.clone();
    world.telegram.write(ANN, ANN, "long?");
    run(&world, ANN, ANN).await;
    world.telegram.says(ANN, "Settled").await.unwrap();
    let shown = world.telegram.shown(ANN);
    let parts: String = shown
        .iter()
        .filter(|one| !one.text.contains("Receipt") && !one.text.contains("linked"))
        .map(|one| one.text.as_str())
        .collect();
    // Marks that became entities are gone, and so are the names of languages.
    let bare = |text: &str| {
        let kept = |c: &char| !c.is_whitespace() && !"`*".contains(*c);
        text.replace("rust", "")
            .chars()
            .filter(kept)
            .collect::<String>()
    };
    assert_eq!(bare(&parts), bare(&answer));
    assert!(shown.len() > 4, "{} messages", shown.len());
    assert_eq!(world.telegram.violations(), Vec::<String>::new());
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_refusals_and_bad_gateways_of_telegram_are_survived() {
    let (world, bot) = linked().await;
    world.telegram.fail("sendMessage", Fault::Wait(1));
    let ill = Fault::Refuse(500, "Internal Server Error".into());
    world.telegram.fail("sendMessage", ill);
    world.telegram.fail("editMessageText", Fault::BadGateway);
    world.telegram.fail(
        "sendMessageDraft",
        Fault::Refuse(400, "Bad Request: TEXTDRAFT_PEER_INVALID".into()),
    );
    world.telegram.fail(
        "answerCallbackQuery",
        Fault::Refuse(400, "Bad Request: query is too old".into()),
    );
    world.telegram.write(ANN, ANN, "one");
    run(&world, ANN, ANN).await;
    world.telegram.fail("editMessageText", Fault::DoneUnheard);
    world.telegram.says(ANN, "Settled").await.unwrap();
    assert_eq!(
        (world.script().paid.len(), count(&world, ANN, "Because")),
        (1, 1)
    );
    assert_eq!(world.telegram.violations(), Vec::<String>::new());
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_telegram_will_not_show_as_it_is_still_arrives() {
    let (world, bot) = linked().await;
    let refusal = "Bad Request: ENTITY_BOUNDS_INVALID";
    world
        .telegram
        .fail("editMessageText", Fault::Refuse(400, refusal.into()));
    // Nothing of it can be seen: Telegram takes no such message.
    world.script().answer = "\u{200b}\u{2060}".into();
    world.telegram.write(ANN, ANN, "one");
    let price = run(&world, ANN, ANN).await;
    assert!(price.entities.is_empty(), "{price:?}");
    world
        .telegram
        .says(ANN, "(an answer without text)")
        .await
        .unwrap();
    world.telegram.says(ANN, "Settled").await.unwrap();
    assert_eq!(world.telegram.violations(), Vec::<String>::new());
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_blocked_the_bot_gets_the_answer_when_they_write_again() {
    let (world, bot) = linked().await;
    world.script().manner = Manner::BreaksOffOnce;
    world.telegram.write(ANN, ANN, "one");
    run(&world, ANN, ANN).await;
    until("it is paid", || world.script().calls == 1).await;
    world.telegram.block(ANN, true);
    until("it can't be delivered", || world.telegram.forbidden() > 0).await;
    world.telegram.block(ANN, false);
    let settled = |one: &Shown| one.text.contains("Settled");
    until("it is delivered", || {
        world.telegram.write(ANN, ANN, "/help");
        std::thread::sleep(Duration::from_millis(500));
        world.telegram.shown(ANN).iter().any(settled)
    })
    .await;
    assert_eq!(world.script().paid.len(), 1);
    assert_eq!(count(&world, ANN, "Because"), 1);
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_shuts_the_bot_out_costs_nobody_their_answer() {
    let (world, bot) = linked().await;
    world.script().manner = Manner::BreaksOffOnce;
    world.telegram.write(ANN, GROUP, "/ai why?");
    run(&world, ANN, GROUP).await;
    until("it is paid", || world.script().calls == 1).await;
    world.telegram.block(GROUP, true);
    world.telegram.says(ANN, "Because").await.unwrap();
    world.telegram.says(ANN, "Settled").await.unwrap();
    assert_eq!(world.script().paid.len(), 1);
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_groups_only_what_is_meant_for_it_is_answered_and_only_its_author_runs_it() {
    let (world, bot) = linked().await;
    let telegram = &world.telegram;
    telegram.write(ANN, GROUP, "nice weather");
    telegram.write(ANN, GROUP, "/ai@Other_bot why?");
    telegram.write(ANN, GROUP, "/unknown");
    telegram.write(ANN, GROUP, "/balance");
    telegram.says(GROUP, "between you and me").await.unwrap();
    telegram.write(ANN, GROUP, &format!("/ai@{} why?", BOT.1.to_lowercase()));
    let shown = telegram.until(GROUP, "with Run", has_run).await.unwrap();
    telegram.tap(BOB, &shown, &shown.buttons[0]);
    until("Bob is told", || {
        telegram
            .taps()
            .iter()
            .any(|told| told.contains("somebody else's"))
    })
    .await;
    assert_eq!(world.script().paid.len(), 0);
    run(&world, ANN, GROUP).await;
    telegram.says(GROUP, "Because").await.unwrap();
    telegram.says(GROUP, "Settled").await.unwrap();
    assert_eq!(telegram.drafts(GROUP), Vec::<String>::new());
    let mut anonymous = Telegram::message(ANN, GROUP, "/ai who am I?");
    anonymous["message"]["sender_chat"] = json!({"id": GROUP, "type": "supergroup"});
    telegram.update(anonymous);
    telegram.says(GROUP, "can't tell who asks").await.unwrap();
    assert_eq!(
        telegram.shown(GROUP).len(),
        4,
        "{:#?}",
        telegram.shown(GROUP)
    );
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_question_is_never_paid_for() {
    let (world, bot) = linked().await;
    let telegram = &world.telegram;
    telegram.write(ANN, ANN, "/ai");
    telegram
        .says(ANN, "Write your question behind it")
        .await
        .unwrap();
    telegram.write(ANN, ANN, "/nonsense");
    telegram
        .says(ANN, "I don't know this command")
        .await
        .unwrap();
    let mut forwarded = Telegram::message(ANN, ANN, "/ai spend");
    forwarded["message"]["forward_origin"] = json!({"type": "user"});
    telegram.update(forwarded.clone());
    telegram.says(ANN, "somebody else wrote").await.unwrap();
    forwarded["message"]["text"] = json!("/limit 100");
    telegram.update(forwarded);
    until("neither is a limit", || {
        count(&world, ANN, "somebody else wrote") == 2
    })
    .await;
    let mut picture = Telegram::message(ANN, ANN, "");
    picture["message"].as_object_mut().unwrap().remove("text");
    telegram.update(picture);
    telegram.says(ANN, "I read text alone").await.unwrap();
    let mut old = Telegram::message(ANN, ANN, "/ai while you were away");
    old["message"]["date"] = json!(1_000_000_000);
    telegram.update(old);
    telegram.says(ANN, "came too long ago").await.unwrap();
    let edited = Telegram::message(ANN, ANN, "edited?");
    telegram.update(json!({"edited_message": edited["message"]}));
    telegram.update(json!({"update_of_tomorrow": {"x": 1}}));
    telegram.update(json!({"message": "broken"}));
    telegram.write(BOB, BOB, "why?");
    telegram.says(BOB, "No wallet is linked").await.unwrap();
    // The longest message that Telegram knows is a question like any other.
    telegram.write(ANN, ANN, &"x".repeat(4_096));
    let shown = telegram.until(ANN, "with Run", has_run).await.unwrap();
    telegram.tap(ANN, &shown, &shown.buttons[1]);
    telegram
        .says(ANN, "Cancelled. Nothing was paid.")
        .await
        .unwrap();
    assert_eq!(world.script().paid.len(), 0);
    assert_eq!(world.script().estimates, 1);
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_of_the_chain_is_shown_in_its_words_and_a_risen_price_is_not_paid() {
    let (world, bot) = linked().await;
    let telegram = &world.telegram;
    world.script().refusal = Some(609);
    telegram.write(ANN, ANN, "one");
    run(&world, ANN, ANN).await;
    let shown = telegram.says(ANN, "The chain refuses").await.unwrap();
    for words in [
        "grant's window",
        "GrantWindowExceeded",
        "609",
        "Nothing was paid",
    ] {
        assert!(shown.text.contains(words), "{words}: {}", shown.text);
    }
    world.script().refusal = None;
    // Two rents of 1,000 lamports, two signatures of 5,000.
    world.script().fuel = 11_999;
    telegram.write(ANN, ANN, "no rent");
    run(&world, ANN, ANN).await;
    let shown = telegram.says(ANN, "For rent and fees").await.unwrap();
    assert!(
        shown.text.contains("(1 lamports) are lacking"),
        "{}",
        shown.text
    );
    world.script().fuel = 12_000;
    telegram.write(ANN, ANN, "two");
    let shown = telegram.until(ANN, "with Run", has_run).await.unwrap();
    world.script().ceiling = CEILING + 1;
    telegram.tap(ANN, &shown, &shown.buttons[0]);
    telegram.says(ANN, "The price rose").await.unwrap();
    assert_eq!(world.script().paid.len(), 0);
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_takes_it_nothing_was_paid_and_a_broken_stream_is_asked_for_again() {
    let (world, bot) = linked().await;
    let telegram = &world.telegram;
    world.script().manner = Manner::NobodyTakesIt;
    telegram.write(ANN, ANN, "one");
    run(&world, ANN, ANN).await;
    let shown = telegram.says(ANN, "never reached the chain").await.unwrap();
    assert!(shown.text.contains("every validator") && shown.text.contains("Nothing was paid"));
    {
        let mut script = world.script();
        script.manner = Manner::BreaksOffOnce;
        script.calls = 0;
    }
    telegram.write(ANN, ANN, "two");
    run(&world, ANN, ANN).await;
    telegram.says(ANN, "Settled").await.unwrap();
    assert_eq!(world.script().paid.len(), 1);
    assert_eq!(world.script().calls, 2);
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_takes_the_first_request_another_one_is_sent_once_that_can_not_land() {
    let (world, bot) = linked().await;
    world.script().manner = Manner::FirstIsNotTaken;
    world.telegram.write(ANN, ANN, "one");
    run(&world, ANN, ANN).await;
    world.telegram.says(ANN, "Settled").await.unwrap();
    let keys: Vec<String> = world.script().paid.keys().cloned().collect();
    assert!(keys.len() == 1 && keys[0].ends_with("-1"), "{keys:?}");
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_persons_words_are_taken_in_their_order() {
    let world = World::start().await;
    let bot = Bot::start(world.config());
    world.link(ANN, &Keypair::new()).await;
    bot.stop().await;
    // All of it waits when the bot starts.
    world.telegram.write(ANN, ANN, "/limit 30 lamports");
    world.telegram.write(ANN, ANN, "/limit 0");
    world.telegram.write(ANN, ANN, "cheap?");
    let bot = Bot::start(world.config());
    world
        .telegram
        .until(ANN, "with Run", has_run)
        .await
        .unwrap();
    assert_eq!(world.script().paid.len(), 0, "it asks before");
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_agreed_to_is_the_price_that_was_shown() {
    let (world, bot) = linked().await;
    world.telegram.write(ANN, ANN, "one");
    let shown = world
        .telegram
        .until(ANN, "with Run", has_run)
        .await
        .unwrap();
    let run = shown.buttons[0].clone();
    assert!(run.ends_with(&format!(":{CEILING}")), "{run}");
    let (id, _) = run.rsplit_once(':').unwrap();
    world.telegram.tap(ANN, &shown, &format!("{id}:1"));
    until("another price is none", || {
        world
            .telegram
            .taps()
            .iter()
            .any(|told| told.contains("another one by now"))
    })
    .await;
    assert_eq!(world.script().paid.len(), 0);
    world.telegram.tap(ANN, &shown, &run);
    world.telegram.says(ANN, "Settled").await.unwrap();
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_validator_that_fails_is_told_with_the_refund_once_the_chain_shows_it() {
    let (world, bot) = linked().await;
    {
        let mut script = world.script();
        script.manner = Manner::Fails;
        script.on_chain = Some(JobStatus::Accepted);
    }
    world.telegram.write(ANN, ANN, "one");
    run(&world, ANN, ANN).await;
    let waits = world
        .telegram
        .says(ANN, "I wait until it is certain")
        .await
        .unwrap();
    assert!(
        waits.text.contains("the validator broke off"),
        "{}",
        waits.text
    );
    world.script().on_chain = Some(JobStatus::Refunded);
    let told = world
        .telegram
        .says(ANN, "back in your vault")
        .await
        .unwrap();
    assert_eq!(told.id, waits.id);
    // A result without a text is no refund.
    world.script().on_chain = Some(JobStatus::Settled);
    world.telegram.write(ANN, ANN, "two");
    run(&world, ANN, ANN).await;
    world
        .telegram
        .says(ANN, "its text can't be had")
        .await
        .unwrap();
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_revokes_between_price_and_run_pays_nothing() {
    let (world, bot) = linked().await;
    world.telegram.write(ANN, ANN, "one");
    let shown = world
        .telegram
        .until(ANN, "with Run", has_run)
        .await
        .unwrap();
    world.telegram.write(ANN, ANN, "/revoke");
    world
        .telegram
        .says(ANN, "I spend nothing for you any more")
        .await
        .unwrap();
    world.telegram.tap(ANN, &shown, &shown.buttons[0]);
    world
        .telegram
        .says(ANN, "not linked any more")
        .await
        .unwrap();
    assert_eq!(world.script().paid.len(), 0);
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_revokes_in_the_middle_of_an_answer_gets_it_and_nothing_more_is_spent() {
    let (world, bot) = linked().await;
    {
        let mut script = world.script();
        script.manner = Manner::BreaksOffOnce;
        script.on_chain = Some(JobStatus::Accepted);
    }
    world.telegram.write(ANN, ANN, "one");
    run(&world, ANN, ANN).await;
    until("it is paid", || world.script().calls >= 1).await;
    world.telegram.write(ANN, ANN, "/revoke");
    world
        .telegram
        .says(ANN, "I spend nothing for you any more")
        .await
        .unwrap();
    world.telegram.says(ANN, "Because").await.unwrap();
    world.telegram.says(ANN, "Settled").await.unwrap();
    world.telegram.write(ANN, ANN, "two");
    world
        .telegram
        .says(ANN, "No wallet is linked")
        .await
        .unwrap();
    assert_eq!(world.script().paid.len(), 1);
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_person_asks_no_more_than_they_may_and_others_ask_on() {
    let world = World::start().await;
    let bot = Bot::start(mythic_bot::BotConfig {
        asks_per_user: 1,
        asks_per_hour: 2,
        ..world.config()
    });
    world.link(ANN, &Keypair::new()).await;
    world.link(BOB, &Keypair::new()).await;
    let telegram = &world.telegram;
    // Without a gateway the first one goes on looking for its price.
    world.script().is_away = true;
    telegram.write(ANN, ANN, "one");
    telegram.write(ANN, ANN, "two");
    telegram
        .says(ANN, "1 of your questions are under way")
        .await
        .unwrap();
    world.script().is_away = false;
    telegram.until(ANN, "with Run", has_run).await.unwrap();
    // One more is taken once the first one is asked about, and none after it.
    until("the hour is full", || {
        telegram.write(ANN, ANN, "more");
        std::thread::sleep(Duration::from_millis(500));
        count(&world, ANN, "You asked 2 questions within an hour") > 0
    })
    .await;
    until("both have a price", || {
        telegram
            .shown(ANN)
            .iter()
            .filter(|one| has_run(one))
            .count()
            == 2
    })
    .await;
    telegram.write(BOB, BOB, "why?");
    telegram.until(BOB, "with Run", has_run).await.unwrap();
    assert_eq!(world.script().paid.len(), 0);
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_telegram_refuses_for_a_while_loses_nobodys_question() {
    let (world, bot) = linked().await;
    let unknown = Fault::Refuse(401, "Unauthorized".into());
    world.telegram.fail("sendMessage", unknown.clone());
    world.telegram.fail("editMessageText", unknown);
    world.telegram.write(ANN, ANN, "one");
    run(&world, ANN, ANN).await;
    world.telegram.says(ANN, "Settled").await.unwrap();
    assert_eq!(world.script().paid.len(), 1);
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_is_chosen_by_a_tap_and_asked_from_then_on() {
    let (world, bot) = linked().await;
    let telegram = &world.telegram;
    telegram.write(ANN, ANN, "/model");
    let shown = telegram.says(ANN, "Who answers").await.unwrap();
    assert_eq!(shown.buttons.len(), 2);
    telegram.tap(ANN, &shown, &shown.buttons[1]);
    telegram
        .until(ANN, "with large chosen", |one| {
            one.text.contains("● \u{2068}large")
        })
        .await
        .unwrap();
    telegram.write(ANN, ANN, "/balance");
    telegram.says(ANN, "There is none yet").await.unwrap();
    telegram.write(ANN, ANN, "/verify");
    telegram.says(ANN, "no answer yet").await.unwrap();
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_message_is_made_anew() {
    let (world, bot) = linked().await;
    world.telegram.write(ANN, ANN, "one");
    let shown = run(&world, ANN, ANN).await;
    world.telegram.delete(shown.id);
    world.telegram.says(ANN, "Because").await.unwrap();
    world.telegram.says(ANN, "Settled").await.unwrap();
    assert_eq!(world.script().paid.len(), 1);
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_telegram_calls_invalid_is_made_anew_too() {
    let (world, bot) = linked().await;
    world.telegram.write(ANN, ANN, "one");
    let shown = world
        .telegram
        .until(ANN, "with Run", has_run)
        .await
        .unwrap();
    world.telegram.delete(shown.id);
    let gone = Fault::Refuse(400, "Bad Request: MESSAGE_ID_INVALID".into());
    world.telegram.fail("editMessageText", gone);
    world.telegram.tap(ANN, &shown, &shown.buttons[0]);
    world.telegram.says(ANN, "Because").await.unwrap();
    world.telegram.says(ANN, "Settled").await.unwrap();
    assert_eq!(world.script().paid.len(), 1);
    bot.stop().await;
}
