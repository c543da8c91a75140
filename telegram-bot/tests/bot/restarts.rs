//! The bot is killed at every call that it makes, once it is done and before anybody hears of it: a question is paid once and answered once.

use std::collections::HashMap;

use mythic_e2e::telegram::Telegram;
use tokio::time::{Duration, Instant, sleep};

use crate::{
    ANN, linked,
    world::{Bot, World},
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

fn is_settled(world: &World) -> bool {
    let shown = world.telegram.shown(ANN);
    shown.iter().any(|one| one.text.contains("Settled"))
}

/// Plays one question with a kill after so many calls; whether there were as many.
async fn play(calls: u32) -> bool {
    let (world, mut bot) = linked().await;
    world.fuse.set(Some(calls));
    world.telegram.write(ANN, ANN, "one");
    let (mut tapped, mut killed) = (HashMap::new(), false);
    let started = Instant::now();
    while !is_settled(&world) {
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
    let holds = |words: &str| shown.iter().filter(|one| one.text.contains(words)).count();
    assert_eq!(
        world.script().paid.len(),
        1,
        "paid once, killed at call {calls}"
    );
    assert_eq!(
        holds("Because"),
        1,
        "answered once, killed at call {calls}: {shown:#?}"
    );
    assert_eq!(
        holds("Receipt"),
        1,
        "one receipt, killed at call {calls}: {shown:#?}"
    );
    let empty = shown.iter().filter(|one| one.text == "…").count();
    assert!(empty <= 1, "killed at call {calls}: {shown:#?}");
    assert_eq!(
        world.telegram.violations(),
        Vec::<String>::new(),
        "killed at call {calls}"
    );
    killed
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_call_it_pays_once_and_answers_once() {
    let mut calls = 0;
    while play(calls).await {
        calls += 1;
        assert!(calls < 200, "a question takes fewer calls");
    }
    assert!(calls >= 15, "only {calls} calls were met");
}
