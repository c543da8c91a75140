//! The bot is killed at every call that it makes, once it is done and before anybody hears of it: a question is paid once and answered once,
//! a refund is said once.

use std::collections::HashMap;

use mythic_e2e::telegram::Telegram;
use mythic_interface::state::JobStatus;
use tokio::time::{Duration, Instant, sleep};

use crate::{
    ANN, linked,
    world::{Bot, Manner, Script, World},
};

/// Pause between two taps of one button.
const AGAIN: Duration = Duration::from_millis(400);

/// Taps every Run that is shown, again and again.
fn tap(telegram: &Telegram, tapped: &mut HashMap<i64, Instant>) {
    for shown in telegram.shown(ANN) {
        let Some(data) = shown.buttons.iter().find(|data| data.starts_with("run:")) else {
            continue;
        };
        if tapped.get(&shown.id).is_none_or(|at| at.elapsed() > AGAIN) {
            tapped.insert(shown.id, Instant::now());
            telegram.tap(ANN, &shown, data);
        }
    }
}

/// How many messages hold some words.
fn said(world: &World, words: &str) -> usize {
    let shown = world.telegram.shown(ANN);
    shown.iter().filter(|one| one.text.contains(words)).count()
}

/// Plays one question with a kill after so many calls, until the bot says `end`; whether there were as many.
async fn play(calls: u32, end: &str, set: impl FnOnce(&mut Script)) -> (World, bool) {
    let (world, mut bot) = linked().await;
    set(&mut world.script());
    world.fuse.set(Some(calls));
    world.telegram.write(ANN, ANN, "one");
    let (mut tapped, mut killed) = (HashMap::new(), false);
    let started = Instant::now();
    while said(&world, end) == 0 {
        assert!(
            started.elapsed() < Duration::from_secs(90),
            "killed at call {calls}: {:#?}",
            world.telegram.shown(ANN)
        );
        tap(&world.telegram, &mut tapped);
        tokio::select! {
            () = world.fuse.blown() => {
                killed = true;
                bot.kill().await;
                world.telegram.restarted();
                bot = Bot::start(world.config());
            }
            () = sleep(Duration::from_millis(20)) => {}
        }
    }
    world.fuse.set(None);
    bot.stop().await;
    let shown = world.telegram.shown(ANN);
    let empty = shown.iter().filter(|one| one.text == "…").count();
    assert!(empty <= 1, "killed at call {calls}: {shown:#?}");
    assert_eq!(
        world.telegram.violations(),
        Vec::<String>::new(),
        "killed at call {calls}"
    );
    (world, killed)
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_call_it_pays_once_and_answers_once() {
    let mut calls = 0;
    loop {
        let (world, killed) = play(calls, "Settled", |_| {}).await;
        let found = (
            world.script().paid.len(),
            said(&world, "Because"),
            said(&world, "Receipt"),
        );
        assert_eq!(
            found,
            (1, 1, 1),
            "paid, answered and with a receipt once, killed at call {calls}: {:#?}",
            world.telegram.shown(ANN)
        );
        if !killed {
            break;
        }
        calls += 1;
        assert!(calls < 200, "a question takes fewer calls");
    }
    assert!(calls >= 15, "only {calls} calls were met");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_call_it_says_once_that_a_job_was_refunded() {
    let mut calls = 0;
    loop {
        let refunds = |script: &mut Script| {
            script.manner = Manner::Fails;
            script.on_chain = Some(JobStatus::Refunded);
        };
        let (world, killed) = play(calls, "back in your vault", refunds).await;
        let found = (
            world.script().keys.len(),
            said(&world, "back in your vault"),
            said(&world, "Receipt"),
        );
        assert_eq!(
            found,
            (1, 1, 0),
            "asked for under one key and told once, killed at call {calls}: {:#?}",
            world.telegram.shown(ANN)
        );
        if !killed {
            break;
        }
        calls += 1;
        assert!(calls < 200, "a question takes fewer calls");
    }
    assert!(calls >= 10, "only {calls} calls were met");
}
