//! Kills, forks and changes of the network in the middle of jobs.

use std::time::{Duration, Instant};

use mythic_client::Commitment;
use mythic_interface::{
    output,
    state::{Job, JobStatus},
};
use mythic_wire::NodeEvent;
use serde_json::json;

use crate::harness::{PATIENCE, World, expected, post};

const QUICK: Duration = Duration::from_millis(2);
const SLOW: Duration = Duration::from_millis(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_in_the_middle_loses_no_job() {
    let world = World::start(60).await;
    let node = world.node(SLOW);
    let (args, prompt) = world.request(5, 400).await;
    let job = world.job(&args);
    let mut events = post(&node, &world.cosigned(&args, &prompt).await)
        .await
        .unwrap();
    for _ in 0..4 {
        events.next().await.unwrap();
    }
    node.kill();
    assert_eq!(
        world
            .read(&job, Commitment::Processed)
            .await
            .unwrap()
            .status(),
        Some(JobStatus::Accepted)
    );
    let _again = world.node(QUICK);
    let state = world
        .until(&job, Commitment::Finalized, "submitted", |j| {
            j.status() == Some(JobStatus::Submitted)
        })
        .await;
    assert_eq!(
        output::output_root(&expected(&args, &job)),
        Some(state.output_root),
        "the same tokens as before the kill"
    );
    let started = Instant::now();
    while world.gateway.told.lock().unwrap().results.is_empty() {
        assert!(
            started.elapsed() < PATIENCE,
            "the result goes to the gateway, whose stream broke"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn forks_that_abandon_the_request_and_the_result_are_survived() {
    let world = World::start(150).await;
    let node = world.node(QUICK);
    let (args, prompt) = world.request(6, 6).await;
    let job = world.job(&args);
    let events = post(&node, &world.cosigned(&args, &prompt).await)
        .await
        .unwrap()
        .all()
        .await;
    assert!(matches!(events.last(), Some(NodeEvent::Done { .. })));
    world
        .until(&job, Commitment::Processed, "submitted", |j| {
            j.status() == Some(JobStatus::Submitted)
        })
        .await;
    let fork = solana_rpc_client_api::request::RpcRequest::Custom {
        method: "mythic_fork",
    };
    let _: serde_json::Value = world.chain.rpc().send(fork, json!([6])).await.unwrap();
    let state = world
        .until(&job, Commitment::Finalized, "submitted", |j| {
            j.status() == Some(JobStatus::Submitted)
        })
        .await;
    assert_eq!(
        output::output_root(&expected(&args, &job)),
        Some(state.output_root)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn under_another_arithmetic_old_results_are_submitted_and_unfinished_jobs_declined() {
    let world = World::start(60).await;
    let node = world.node(SLOW);
    let (args, prompt) = world.request(7, 400).await;
    let unfinished = world.job(&args);
    let mut long = post(&node, &world.cosigned(&args, &prompt).await)
        .await
        .unwrap();
    long.next().await.unwrap();
    let (args, prompt) = world.request(8, 20).await;
    let finished = world.job(&args);
    let mut short = post(&node, &world.cosigned(&args, &prompt).await)
        .await
        .unwrap();
    short.next().await.unwrap();
    let accepted = call(&world, "mythic_snapshot", json!([])).await;
    short.all().await;
    node.kill();
    // The chain has forgotten the result, so it is owed again.
    call(&world, "mythic_revert", json!([accepted])).await;
    let successor = world.succeed_model().await;
    let _now = world.node_of(successor, QUICK);
    world
        .until(&finished, Commitment::Finalized, "submitted", |j| {
            j.status() == Some(JobStatus::Submitted)
        })
        .await;
    let declined = world
        .until(&unfinished, Commitment::Processed, "refunded", |j| {
            j.status() == Some(JobStatus::Refunded)
        })
        .await;
    assert_eq!(declined.refunded_amount, declined.ceiling);
}

async fn call(world: &World, method: &'static str, params: serde_json::Value) -> serde_json::Value {
    let request = solana_rpc_client_api::request::RpcRequest::Custom { method };
    world.chain.rpc().send(request, params).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_vanished_from_the_chain_is_submitted_again() {
    let world = World::start(60).await;
    let node = world.node(Duration::from_millis(30));
    let mut tag = 10;
    let (args, job, snapshot, first) = loop {
        tag += 1;
        let (args, prompt) = world.request(tag, 20).await;
        let job = world.job(&args);
        let mut events = post(&node, &world.cosigned(&args, &prompt).await)
            .await
            .unwrap();
        events.next().await.unwrap();
        world
            .until(&job, Commitment::Processed, "accepted", |j| {
                j.status() != Some(JobStatus::Open)
            })
            .await;
        let snapshot = call(&world, "mythic_snapshot", json!([])).await;
        // The snapshot is of the next slot at the latest.
        let slot = world.chain.slot(Commitment::Processed).await.unwrap() + 1;
        let first = world
            .until(&job, Commitment::Processed, "submitted", |j| {
                j.status() == Some(JobStatus::Submitted)
            })
            .await;
        // Another one, where this one's result was sooner than the snapshot.
        if first.submitted_slot.get() > slot {
            break (args, job, snapshot, first);
        }
    };
    call(&world, "mythic_revert", json!([snapshot])).await;
    let again = |j: &Job| {
        j.status() == Some(JobStatus::Submitted) && j.submitted_slot > first.submitted_slot
    };
    let state = world
        .until(&job, Commitment::Finalized, "submitted again", again)
        .await;
    assert_eq!(
        output::output_root(&expected(&args, &job)),
        Some(state.output_root)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_posted_again_is_the_same_job() {
    let world = World::start(60).await;
    let node = world.node(SLOW);
    let (args, prompt) = world.request(7, 100).await;
    let job = world.job(&args);
    let mut first = post(&node, &world.cosigned(&args, &prompt).await)
        .await
        .unwrap();
    for _ in 0..3 {
        first.next().await.unwrap();
    }
    let events = post(&node, &world.cosigned(&args, &prompt).await)
        .await
        .unwrap()
        .all()
        .await;
    let Some(NodeEvent::Done { output_ids, .. }) = events.last() else {
        panic!("{events:?}")
    };
    assert_eq!(*output_ids, expected(&args, &job));
    let tokens = events
        .iter()
        .filter(|e| matches!(e, NodeEvent::Token { .. }))
        .count();
    assert_eq!(tokens, 100, "the second stream has all of it");
}
