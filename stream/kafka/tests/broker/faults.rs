//! Brokers that die, hang, fill up and forget.

use crate::{
    forwarding::noise,
    world::{PARTITIONS, PATIENCE, Running, Spool, read_all, settings, until},
};
use mythic_broker::shared;
use mythic_kafka::{Settings, Topic, Trouble, check};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewPartitions},
    client::DefaultClientContext,
};
use std::time::Duration;

#[test]
fn a_broker_that_is_killed_costs_nothing() {
    let Some(mut guard) = shared() else { return };
    let broker = guard.as_mut().unwrap();
    let settings = settings(broker.plain());
    let mut spool = Spool::new();
    spool.banks(50);
    let running = Running::start(&spool, &settings);
    running.delivered(100);
    broker.kill();
    spool.banks(50);
    broker.restart().unwrap();
    spool.banks(5);
    running.delivered(spool.written);
    drop(running);
    let read = read_all(&settings, spool.run);
    read.assert_whole(spool.written);
    read.assert_order();
}

#[test]
fn a_start_without_a_broker_waits_and_says_so() {
    let Some(mut guard) = shared() else { return };
    let broker = guard.as_mut().unwrap();
    let settings = settings(broker.plain());
    broker.kill();
    let mut spool = Spool::new();
    spool.banks(5);
    let running = Running::start(&spool, &settings);
    until("it says why nothing goes on", || {
        running.stats.trouble() == Some(Trouble::Unreachable)
    });
    assert!(running.stats.lag() > Duration::ZERO);
    broker.restart().unwrap();
    running.delivered(spool.written);
    until("it works", || running.stats.trouble().is_none());
    drop(running);
    read_all(&settings, spool.run).assert_whole(spool.written);
}

#[test]
fn a_broker_that_hangs_costs_nothing_and_repeats_nothing() {
    let Some(mut guard) = shared() else { return };
    let broker = guard.as_mut().unwrap();
    let settings = settings(broker.plain());
    let mut spool = Spool::new();
    spool.banks(5);
    let running = Running::start(&spool, &settings);
    running.delivered(spool.written);
    broker.freeze().unwrap();
    let before = running.stats.messages();
    spool.banks(20);
    until("records wait", || {
        running.stats.lag() > Duration::from_secs(3)
    });
    assert_eq!(running.stats.messages(), before);
    broker.thaw().unwrap();
    running.delivered(spool.written);
    let errors = running.stats.errors();
    drop(running);
    let read = read_all(&settings, spool.run);
    read.assert_whole(spool.written);
    read.assert_order();
    // Unless the machine stood still for so long that another producer was made.
    assert!(read.repeats == 0 || errors > 0, "{} repeats", read.repeats);
}

#[test]
fn a_slow_broker_is_told_by_the_lag_and_costs_and_repeats_nothing() {
    let Some(mut guard) = shared() else { return };
    let broker = guard.as_mut().unwrap();
    let mut settings = settings(broker.plain());
    // In pieces: more than the broker lets through in ten seconds has to wait between them.
    for (key, value) in [
        ("client.id", "slow"),
        ("batch.size", "30000"),
        ("compression.codec", "none"),
    ] {
        settings.options.insert(key.into(), value.into());
    }
    broker.slow_down("slow", 20_000).unwrap();
    let mut spool = Spool::new();
    for key in 0..26 {
        spool.account(key, noise(10_000));
    }
    spool.banks(1);
    let running = Running::start(&spool, &settings);
    let mut longest = Duration::ZERO;
    until("everything is delivered", || {
        longest = longest.max(running.stats.lag());
        running.stats.records() >= spool.written
    });
    assert!(longest > Duration::from_secs(1), "{longest:?}");
    until("nothing waits", || running.stats.lag() == Duration::ZERO);
    let errors = running.stats.errors();
    drop(running);
    let read = read_all(&settings, spool.run);
    read.assert_whole(spool.written);
    read.assert_order();
    // Unless the machine stood still for so long that another producer was made.
    assert!(read.repeats == 0 || errors > 0, "{} repeats", read.repeats);
}

#[test]
fn what_a_broker_lost_after_it_acknowledged_is_sent_again() {
    let Some(mut guard) = shared() else { return };
    let broker = guard.as_mut().unwrap();
    let settings = settings(broker.plain());
    let mut spool = Spool::new();
    spool.banks(20);
    let running = Running::start(&spool, &settings);
    running.delivered(spool.written);
    let flushed = broker.flushed(&settings.topic(Topic::Updates)).unwrap();
    spool.banks(20);
    running.delivered(spool.written);
    broker.kill();
    broker.lose_since(&flushed).unwrap();
    broker.restart().unwrap();
    // Only a message shows it.
    spool.banks(1);
    until("the loss is found out", || running.stats.resends() > 0);
    spool.banks(1);
    // From the first record held on, which is the first of all.
    running.delivered(2 * 20 * 11 + 42 * 11);
    drop(running);
    let read = read_all(&settings, spool.run);
    read.assert_whole(spool.written);
    assert!(read.repeats > 0);
}

#[test]
fn a_loss_while_nothing_was_forwarded_is_found_out_at_the_start() {
    let Some(mut guard) = shared() else { return };
    let broker = guard.as_mut().unwrap();
    let settings = settings(broker.plain());
    let mut spool = Spool::new();
    spool.banks(10);
    let running = Running::start(&spool, &settings);
    running.delivered(spool.written);
    let flushed = broker.flushed(&settings.topic(Topic::Updates)).unwrap();
    spool.banks(10);
    running.delivered(spool.written);
    drop(running);
    broker.kill();
    broker.lose_since(&flushed).unwrap();
    broker.restart().unwrap();
    let running = Running::start(&spool, &settings);
    running.delivered(spool.written);
    assert_eq!(running.stats.resends(), 1);
    drop(running);
    read_all(&settings, spool.run).assert_whole(spool.written);
}

#[test]
fn a_full_disk_of_the_broker_is_told_and_costs_nothing() {
    let Some(mut guard) = shared() else { return };
    let broker = guard.as_mut().unwrap();
    let settings = settings(broker.plain());
    let mut spool = Spool::new();
    spool.banks(5);
    let running = Running::start(&spool, &settings);
    running.delivered(spool.written);
    broker.fill_disk(20 << 10).unwrap();
    spool.banks(200);
    // It gives up its only folder, and with it itself.
    broker.wait_for_end(PATIENCE).unwrap();
    spool.banks(1);
    // The word that the metric has, and the alarm with it.
    until("it says why nothing goes on", || {
        running.stats.trouble() == Some(Trouble::Unreachable)
    });
    assert!(running.stats.lag() > Duration::ZERO);
    assert!(running.stats.records() < spool.written);
    broker.restart().unwrap();
    running.delivered(spool.written);
    until("it works", || running.stats.trouble().is_none());
    drop(running);
    let read = read_all(&settings, spool.run);
    read.assert_whole(spool.written);
}

#[test]
fn more_partitions_while_it_runs_change_nothing_until_the_settings_follow() {
    let Some(guard) = shared() else { return };
    let settings = settings(guard.as_ref().unwrap().plain());
    let mut spool = Spool::new();
    spool.banks(10);
    let running = Running::start(&spool, &settings);
    running.delivered(spool.written);
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", &settings.brokers)
        .create()
        .unwrap();
    let topic = settings.topic(Topic::Updates);
    let more = NewPartitions::new(&topic, usize::from(PARTITIONS) + 2);
    let grown = admin.create_partitions([&more], &AdminOptions::new());
    futures::executor::block_on(grown).unwrap()[0]
        .as_ref()
        .unwrap();
    let (fewer, more) = (
        settings.clone(),
        Settings {
            partitions: PARTITIONS + 2,
            ..settings.clone()
        },
    );
    until("the new partitions are there", || {
        check(&more, Topic::Updates, PATIENCE).is_ok()
    });
    spool.banks(10);
    running.delivered(spool.written);
    drop(running);
    read_all(&fewer, spool.run).assert_whole(spool.written);

    let refused = check(&fewer, Topic::Updates, PATIENCE).unwrap_err();
    assert_eq!(refused.trouble, Trouble::Partitions);
    let running = Running::start(&spool, &fewer);
    until("a start under the old settings is refused", || {
        running.stats.trouble() == Some(Trouble::Partitions)
    });
    drop(running);
    spool.banks(10);
    let running = Running::start(&spool, &more);
    // From the first record on: nothing is known of what the new partitions should hold.
    running.delivered(spool.written);
    drop(running);
    let read = read_all(&more, spool.run);
    assert_eq!(read.records.len() as u64, spool.written);
}
