//! What the engine promises: one arithmetic for every way to compute a position, cancellation at
//! any moment, clear refusals.

mod common;

use std::time::Duration;

use mythic_inference::engine::{EngineConfig, EngineError, Finish, GenerateRequest, Sampler};
use mythic_inference::fingerprint::{Draft, Evidence};
use mythic_inference::prompt::Message;
use mythic_interface::sampler::Sampling;
use tokio_util::sync::CancellationToken;

fn chat(engine: &mythic_inference::engine::Engine, text: &str) -> Vec<u32> {
    engine
        .formatter()
        .chat(&[Message::new("user", text)])
        .expect("a prompt")
}

#[tokio::test]
async fn decode_and_teacher_forced_passes_give_the_same_bits_for_any_chunk_and_threads() {
    let one = common::engine(EngineConfig {
        threads: 1,
        chunk: 7,
        max_sequences: 1,
        ..Default::default()
    });
    let two = common::engine(EngineConfig {
        threads: 2,
        chunk: 64,
        ..Default::default()
    });
    let prompt = chat(&one, "Why do cats purr? Answer in two sentences.");
    let (steps, _) = common::run(&one, common::greedy(prompt.clone(), 40)).await;
    let ids: Vec<u32> = steps.iter().map(|s| s.token).collect();
    let decoded: Vec<_> = steps.iter().map(|s| s.top4).collect();
    for engine in [&one, &two] {
        let scored = engine.teacher_forced(&prompt, &ids).await.expect("scores");
        assert_eq!(scored, decoded);
    }
    let (again, _) = common::run(&two, common::greedy(prompt, 40)).await;
    assert_eq!(again, steps);
}

#[tokio::test]
async fn requests_side_by_side_do_not_change_each_other() {
    let engine = common::engine(EngineConfig::default());
    let questions = [
        "Name a fruit.",
        "What is two plus two?",
        "Tell me about rivers.",
    ];
    let mut alone = Vec::new();
    for q in questions {
        alone.push(
            common::run(&engine, common::greedy(chat(&engine, q), 24))
                .await
                .0,
        );
    }
    let together = futures::future::join_all(
        questions.map(|q| common::run(&engine, common::greedy(chat(&engine, q), 24))),
    )
    .await;
    for (a, (b, _)) in alone.iter().zip(&together) {
        assert_eq!(a, b);
    }
}

#[tokio::test]
async fn a_seeded_answer_replays_and_its_evidence_verifies() {
    let engine = common::engine(EngineConfig::default());
    let prompt = chat(&engine, "Write a short poem about rain.");
    let sampling = Sampling {
        seed: [42; 32],
        temperature_milli: 900,
    };
    let request = GenerateRequest {
        prompt_ids: prompt.clone(),
        max_tokens: 32,
        sampler: Sampler::Verified {
            seed: sampling.seed,
            temperature_milli: sampling.temperature_milli,
        },
        stop: Vec::new(),
    };
    let (steps, _) = common::run(&engine, request.clone()).await;
    assert_eq!(common::run(&engine, request).await.0, steps);
    let greedy = common::run(&engine, common::greedy(prompt.clone(), 32))
        .await
        .0;
    assert_ne!(greedy, steps, "the temperature has an effect");
    for (position, step) in (0u32..).zip(&steps) {
        assert_eq!(step.position, position);
        assert_eq!(step.token, sampling.choose(position, &step.top4));
    }
    let evidence = Evidence::seal(Draft {
        job: [1; 32],
        submitter: [2; 32],
        terms_hash: [3; 32],
        salt: [4; 16],
        prompt_ids: prompt.clone(),
        output_ids: steps.iter().map(|s| s.token).collect(),
        leaves: steps.iter().map(|s| s.top4).collect(),
        sampling,
    })
    .expect("evidence");
    let json = serde_json::to_vec(&evidence).expect("JSON");
    let read: Evidence = serde_json::from_slice(&json).expect("evidence");
    assert_eq!(read.verify().expect("digests").count as usize, steps.len());
    let checked = engine
        .teacher_forced(&read.prompt_ids, &read.output_ids)
        .await
        .expect("scores");
    assert_eq!(checked, read.leaves);
}

#[tokio::test]
async fn free_sampling_is_seeded_and_respects_top_p() {
    let engine = common::engine(EngineConfig::default());
    let request = |temperature, top_p, seed| GenerateRequest {
        prompt_ids: chat(&engine, "Tell me something."),
        max_tokens: 12,
        sampler: Sampler::Free {
            temperature,
            top_p,
            seed,
        },
        stop: Vec::new(),
    };
    let ids = async |r| -> Vec<u32> {
        let (steps, _) = common::run(&engine, r).await;
        steps.iter().map(|s| s.token).collect()
    };
    let greedy = ids(request(0.0, 1.0, 1)).await;
    assert_eq!(ids(request(1.0, 1e-6, 5)).await, greedy);
    let warm = ids(request(1.5, 1.0, 5)).await;
    assert_eq!(ids(request(1.5, 1.0, 5)).await, warm);
    assert_ne!(ids(request(1.5, 1.0, 6)).await, warm);
}

#[tokio::test]
async fn stop_strings_end_an_answer_and_are_not_shown() {
    let engine = common::engine(EngineConfig::default());
    let prompt = chat(&engine, "Count from one to ten in words.");
    let (steps, _) = common::run(&engine, common::greedy(prompt.clone(), 40)).await;
    let full: String = steps.iter().map(|s| s.text.as_str()).collect();
    // A stop string in the middle of the text, cut so that it starts and ends inside tokens.
    let chars: Vec<char> = full.chars().collect();
    let stop: String = chars[11..18].iter().collect();
    let at = full.find(&stop).expect("it is there");
    let request = GenerateRequest {
        stop: vec!["never".into(), stop],
        ..common::greedy(prompt, 40)
    };
    let (steps, finish) = common::run(&engine, request).await;
    let text: String = steps.iter().map(|s| s.text.as_str()).collect();
    assert_eq!((text.as_str(), finish), (&full[..at], Finish::Stopped));
}

#[tokio::test]
async fn max_tokens_ends_an_answer_with_length() {
    let engine = common::engine(EngineConfig::default());
    let prompt = chat(&engine, "Tell me a long story.");
    let (steps, finish) = common::run(&engine, common::greedy(prompt, 3)).await;
    assert_eq!((steps.len(), finish), (3, Finish::Length));
    assert!(steps[..2].iter().all(|s| s.finish.is_none()));
}

#[tokio::test]
async fn cancelling_works_while_waiting_reading_and_decoding() {
    let engine = common::engine(EngineConfig {
        max_sequences: 1,
        max_queued: 4,
        ..Default::default()
    });
    let long: Vec<u32> = (0..3_000).map(|i| 500 + i % 1_000).collect();
    let start = |prompt: Vec<u32>, max| {
        let cancel = CancellationToken::new();
        let stream = engine
            .generate(common::greedy(prompt, max), cancel.clone())
            .expect("a place");
        (cancel, stream)
    };
    let cancelled = |step| assert_eq!(step, Some(Err(EngineError::Cancelled)));
    // The first decodes.
    let (decoding, mut first) = start(chat(&engine, "Write a very long story."), 2_000);
    assert!(first.recv().await.is_some_and(|s| s.is_ok()));
    // The second waits behind it, and goes without ever running.
    let (waiting, mut second) = start(long.clone(), 10);
    waiting.cancel();
    cancelled(second.recv().await);
    decoding.cancel();
    while let Some(Ok(_)) = first.recv().await {}
    assert!(first.recv().await.is_none());
    // The third is somewhere in its prompt of 3,000 tokens.
    let (reading, mut third) = start(long.clone(), 10);
    while engine.stats().active == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    reading.cancel();
    cancelled(third.recv().await);
    // A receiver that is dropped counts like a cancelled token.
    let (_token, fourth) = start(long, 10);
    drop(fourth);
    let (steps, _) = common::run(&engine, common::greedy(chat(&engine, "Hi"), 2)).await;
    assert_eq!(steps.len(), 2);
    assert_eq!(engine.stats().cancelled_total, 4);
}

#[tokio::test]
async fn what_does_not_fit_is_refused_with_its_reason() {
    let engine = common::engine(EngineConfig {
        max_sequences: 1,
        max_queued: 1,
        kv_bytes: 64 << 20,
        ..Default::default()
    });
    let refuse = |prompt: Vec<u32>, max| {
        engine
            .generate(common::greedy(prompt, max), CancellationToken::new())
            .expect_err("a refusal")
    };
    assert_eq!(refuse(vec![], 5), EngineError::EmptyPrompt);
    assert!(matches!(refuse(vec![1], 0), EngineError::Invalid(_)));
    assert!(matches!(
        refuse(vec![1; 8_000], 193),
        EngineError::ContextExceeded { context: 8_192, .. }
    ));
    assert!(matches!(
        refuse(vec![1; 4_000], 100),
        EngineError::TooLarge { .. }
    ));
    assert!(matches!(
        refuse(vec![1, 49_152], 5),
        EngineError::UnknownToken {
            id: 49_152,
            vocabulary: 49_152
        }
    ));
    let cancel = CancellationToken::new();
    let go = || engine.generate(common::greedy(vec![1; 20], 900), cancel.clone());
    let _streams = (go().expect("runs"), go().expect("waits"));
    match go() {
        Err(EngineError::Busy {
            retry_after_seconds,
            ..
        }) => assert!(retry_after_seconds >= 1),
        other => panic!("expected busy, got {:?}", other.err()),
    }
    cancel.cancel();
    // Its places come back.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while go().is_err() {
        assert!(tokio::time::Instant::now() < deadline, "still busy");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn configurations_out_of_range_are_named() {
    let bad = EngineConfig {
        max_sequences: 0,
        ..Default::default()
    };
    assert!(
        bad.validate()
            .expect_err("refused")
            .contains("max_sequences = 0")
    );
    assert_eq!(EngineConfig::default().validate(), Ok(()));
}
