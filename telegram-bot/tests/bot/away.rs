//! Gateway or chain that stay away at each step of a question.

use mythic_interface::state::JobStatus;
use solana_keypair::Keypair;

use crate::{
    ANN, linked, run,
    world::{Bot, Manner, World},
};

#[tokio::test(flavor = "multi_thread")]
async fn away_before_the_price_nothing_is_asked_and_nothing_paid() {
    let (world, bot) = linked().await;
    world.script().is_away = true;
    world.telegram.write(ANN, ANN, "one");
    let told = world
        .telegram
        .says(ANN, "What it costs can't be found out")
        .await
        .unwrap();
    assert!(told.text.contains("Nothing was paid") && told.buttons.is_empty());
    world.script().is_away = false;
    world.telegram.write(ANN, ANN, "two");
    run(&world, ANN, ANN).await;
    world.telegram.says(ANN, "Settled").await.unwrap();
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn away_between_price_and_request_nothing_is_paid() {
    let (world, bot) = linked().await;
    world.telegram.write(ANN, ANN, "one");
    world
        .telegram
        .until(ANN, "with a price", |one| !one.buttons.is_empty())
        .await
        .unwrap();
    world.script().is_away = true;
    run(&world, ANN, ANN).await;
    let told = world
        .telegram
        .says(ANN, "The gateway can't take it")
        .await
        .unwrap();
    assert!(told.text.contains("Nothing was paid"), "{}", told.text);
    assert_eq!(world.script().paid.len(), 0);
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_is_away_before_the_request_is_told_without_its_address() {
    let (world, bot) = linked().await;
    world.telegram.write(ANN, ANN, "one");
    world
        .telegram
        .until(ANN, "with a price", |one| !one.buttons.is_empty())
        .await
        .unwrap();
    world.script().is_chain_away = true;
    run(&world, ANN, ANN).await;
    let told = world
        .telegram
        .says(ANN, "The chain can't be asked now")
        .await
        .unwrap();
    assert!(told.text.contains("Nothing was paid"), "{}", told.text);
    assert!(!told.text.contains("/rpc") && !told.text.contains("127.0.0.1"));
    assert_eq!(world.script().paid.len(), 0);
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn away_while_the_answer_is_written_it_is_waited_for_and_paid_once() {
    let (world, bot) = linked().await;
    world.script().manner = Manner::BreaksOffOnce;
    world.script().on_chain = Some(JobStatus::Accepted);
    world.telegram.write(ANN, ANN, "one");
    run(&world, ANN, ANN).await;
    crate::until("it is paid", || world.script().calls == 1).await;
    world.script().is_away = true;
    // As long as the chain shows the job nobody is told that nothing was paid.
    crate::until("it is asked again", || world.script().turned_away >= 2).await;
    let shown = world.telegram.shown(ANN);
    assert!(
        !shown
            .iter()
            .any(|one| one.text.contains("Nothing was paid"))
    );
    world.script().is_away = false;
    world.telegram.says(ANN, "Settled").await.unwrap();
    assert_eq!(world.script().paid.len(), 1);
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn away_after_the_answer_its_receipt_is_brought_up_to_date_later() {
    let (world, bot) = linked().await;
    world.script().status = "submitted";
    world.telegram.write(ANN, ANN, "one");
    run(&world, ANN, ANN).await;
    world.telegram.says(ANN, "slots more").await.unwrap();
    world.script().is_away = true;
    world.script().is_chain_away = true;
    world.script().status = "settled";
    bot.stop().await;
    let bot = Bot::start(world.config());
    world.script().is_chain_away = false;
    world.script().is_away = false;
    world.telegram.says(ANN, "Settled").await.unwrap();
    bot.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_without_gateway_and_chain_says_so_and_links() {
    let world = World::start().await;
    let bot = Bot::start(world.config());
    world.script().is_away = true;
    world.script().is_chain_away = true;
    let page = world.link(ANN, &Keypair::new()).await;
    let (status, told) = world.state(&page).await;
    assert_eq!(status, 503, "{told}");
    assert!(!told.to_string().contains("/rpc"), "{told}");
    bot.stop().await;
}
