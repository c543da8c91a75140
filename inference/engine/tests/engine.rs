//! What the engine promises: one arithmetic for every way to compute a position, cancellation at
//! any moment, clear refusals.

mod common;

use std::time::Duration;

use mythic_engine::{
    Engine, EngineConfig, EngineError, Finish, GenerateRequest, InstructionSet, Lab, Sampler, Step,
};
use mythic_interface::sampler::Sampling;
use mythic_model::prompt::Message;
use mythic_wire::evidence::{Draft, Evidence};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio_util::sync::CancellationToken;

fn chat(engine: &Engine, text: &str) -> Vec<u32> {
    engine
        .formatter()
        .chat(&[Message::new("user", text)])
        .expect("a prompt")
}

/// What identifies a position's logits: the four largest, and the sum over all, to the bit.
type Bits = ([(u32, i32); 4], u32);

fn step_bits(steps: &[Step]) -> Vec<Bits> {
    steps
        .iter()
        .map(|s| (s.top4, s.log_sum_exp.expect("it was asked for").to_bits()))
        .collect()
}

/// The same from a teacher-forced pass; also checks what it says of the claimed ids.
async fn checked_bits(engine: &Engine, prompt: &[u32], steps: &[Step]) -> Vec<Bits> {
    let ids: Vec<u32> = steps.iter().map(|s| s.token).collect();
    let claimed: Vec<[u32; 4]> = steps.iter().map(|s| s.top4.map(|(id, _)| id)).collect();
    let found = engine
        .check(prompt, &ids, &claimed, None)
        .await
        .expect("a check");
    found
        .iter()
        .map(|c| {
            assert_eq!(c.own.map(|(_, logit)| logit), c.at_claimed);
            assert!(
                c.own
                    .iter()
                    .all(|(id, logit)| *id != c.fifth.0 && *logit >= c.fifth.1)
            );
            (c.own, c.log_sum_exp.to_bits())
        })
        .collect()
}

/// Random prompts in two families, so that prefixes are met again, and lengths of answers.
fn requests(rng: &mut StdRng, count: usize) -> Vec<GenerateRequest> {
    (0..count)
        .map(|i| {
            let len = rng.random_range(1..110);
            let family = 1_000 * (i as u32 % 2);
            let mut ids: Vec<u32> = (0..len).map(|p| 1_000 + family + p * 31 % 20_000).collect();
            if let Some(last) = ids.last_mut() {
                *last = rng.random_range(1_000..40_000);
            }
            GenerateRequest {
                sampler: Sampler::Verified {
                    seed: rng.random(),
                    temperature_milli: rng.random_range(0..1_500),
                },
                logprobs: true,
                ..common::greedy(ids, rng.random_range(1..14))
            }
        })
        .collect()
}

#[tokio::test]
async fn answers_are_the_same_bits_alone_mixed_cached_checked_and_for_any_chunk_and_threads() {
    let seed = 4_711;
    eprintln!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let requests = requests(&mut rng, 7);
    let alone = common::engine(EngineConfig {
        threads: 1,
        chunk: 7,
        max_sequences: 1,
        ..Default::default()
    });
    let mut want = Vec::new();
    for request in &requests {
        want.push(common::run(&alone, request.clone()).await.0);
    }
    let decoded: Vec<Vec<Bits>> = want.iter().map(|steps| step_bits(steps)).collect();
    for (threads, chunk, max_sequences) in [(2, 64, 3), (3, 9, 8)] {
        let engine = common::engine(EngineConfig {
            threads,
            chunk,
            max_sequences,
            ..Default::default()
        });
        // The second time prefixes are in the cache.
        for _ in 0..2 {
            let mix = requests.iter().zip(&want).map(|(request, want)| {
                let engine = &engine;
                let leaves = rng.random_range(0..8);
                async move {
                    // One that goes away in the middle, beside those that stay.
                    let cancel = CancellationToken::new();
                    let other = common::greedy(request.prompt_ids.clone(), 8);
                    let mut other = engine.generate(other, cancel).expect("a place");
                    let stays = common::run(engine, request.clone());
                    let goes = async move {
                        for _ in 0..leaves {
                            other.recv().await;
                        }
                    };
                    let checked = checked_bits(engine, &request.prompt_ids, want);
                    let ((got, _), (), checked) = tokio::join!(stays, goes, checked);
                    assert_eq!(&got, want);
                    checked
                }
            });
            assert_eq!(futures::future::join_all(mix).await, decoded);
        }
        let stats = engine.stats();
        assert!(stats.prefix_hits_total > 0 && stats.cached_tokens_total > 0);
        assert!(stats.cached_tokens_total < stats.prompt_tokens_total);
    }
}

#[tokio::test]
async fn every_instruction_set_gives_the_same_answer() {
    let mut answers = Vec::new();
    for instruction_set in InstructionSet::available() {
        let engine = common::engine(EngineConfig {
            instruction_set,
            ..Default::default()
        });
        let request = GenerateRequest {
            logprobs: true,
            ..common::greedy(chat(&engine, "Why do cats purr?"), 6)
        };
        answers.push(common::run(&engine, request).await.0);
    }
    for answer in &answers {
        assert_eq!(answer, &answers[0]);
    }
}

#[tokio::test]
async fn a_repeated_prompt_is_found_in_the_cache_and_counted() {
    let engine = common::engine(EngineConfig::default());
    let prompt: Vec<u32> = (0..100).map(|i| 1_000 + i).collect();
    let (first, _) = common::run(&engine, common::greedy(prompt.clone(), 4)).await;
    let stats = engine.stats();
    assert_eq!(
        (stats.prompt_tokens_total, stats.cached_tokens_total),
        (100, 0)
    );
    assert!(stats.kv_bytes_cached > 0 && stats.kv_bytes_used == 0);
    let (again, _) = common::run(&engine, common::greedy(prompt, 4)).await;
    assert_eq!(again, first);
    let stats = engine.stats();
    // Three pages of 32; the rest is read again.
    assert_eq!(
        (stats.prompt_tokens_total, stats.cached_tokens_total),
        (200, 96)
    );
    assert_eq!((stats.prefix_hits_total, stats.requests_total), (1, 2));
}

#[tokio::test]
async fn the_first_step_says_how_much_of_the_prompt_was_found() {
    let engine = common::engine(EngineConfig::default());
    let prompt: Vec<u32> = (0..100).map(|i| 1_000 + i).collect();
    for found in [0, 96] {
        let request = common::greedy(prompt.clone(), 3);
        let stream = engine.generate(request, CancellationToken::new());
        let mut stream = stream.expect("a place");
        let mut told = Vec::new();
        while let Some(step) = stream.recv().await {
            told.push(step.expect("a step").cached_tokens);
        }
        assert_eq!(told[0], Some(found));
        assert!(told[1..].iter().all(Option::is_none), "{told:?}");
    }
}

#[tokio::test]
async fn a_prefix_that_nobody_asks_for_goes_back_and_is_computed_again() {
    let engine = common::engine(EngineConfig {
        kv_idle_seconds: 1,
        ..Default::default()
    });
    let prompt: Vec<u32> = (0..100).map(|i| 1_000 + i).collect();
    let (first, _) = common::run(&engine, common::greedy(prompt.clone(), 4)).await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while engine.stats().kv_bytes_cached > 0 {
        assert!(tokio::time::Instant::now() < deadline, "it is still kept");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (again, _) = common::run(&engine, common::greedy(prompt, 4)).await;
    assert_eq!(again, first);
    assert_eq!(engine.stats().cached_tokens_total, 0);
}

#[tokio::test]
async fn how_long_tokens_take_is_counted_once_a_token() {
    let engine = common::engine(EngineConfig::default());
    for max_tokens in [1, 5] {
        let request = common::greedy((0..40).map(|i| 1_000 + i).collect(), max_tokens);
        common::run(&engine, request).await;
    }
    // The last step is handed out before it is counted.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    let count = |d: mythic_engine::Durations| d.counts.iter().sum::<u64>();
    loop {
        let stats = engine.stats();
        if (count(stats.first_tokens), count(stats.next_tokens)) == (2, 4) {
            assert!(stats.first_tokens.seconds > 0.0 && stats.next_tokens.seconds > 0.0);
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{stats:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn parallel_answers_to_one_prompt_differ_by_their_seed_and_read_it_once() {
    let engine = common::engine(EngineConfig::default());
    let prompt: Vec<u32> = (0..150).map(|i| 2_000 + i).collect();
    let answers = futures::future::join_all((0..4u8).map(|seed| {
        let request = GenerateRequest {
            sampler: Sampler::Verified {
                seed: [seed; 32],
                temperature_milli: 1_500,
            },
            ..common::greedy(prompt.clone(), 8)
        };
        common::run(&engine, request)
    }))
    .await;
    let ids = |at: usize| -> Vec<u32> { answers[at].0.iter().map(|s| s.token).collect() };
    assert!((1..4).any(|at| ids(at) != ids(0)));
    let stats = engine.stats();
    assert_eq!(stats.prompt_tokens_total, 600);
    // The first reads four pages and more; the others find them.
    assert_eq!(stats.cached_tokens_total, 3 * 128);
}

#[tokio::test]
async fn log_probabilities_are_those_of_a_distribution() {
    let engine = common::engine(EngineConfig::default());
    let request = GenerateRequest {
        logprobs: true,
        ..common::greedy(chat(&engine, "Name the capital of France."), 6)
    };
    let (steps, _) = common::run(&engine, request).await;
    for step in &steps {
        let sum = step.log_sum_exp.expect("it was asked for");
        let probabilities = step.top4.map(|(_, q)| (q as f32 / 65_536.0 - sum).exp());
        let total: f32 = probabilities.iter().sum();
        assert!(total > 0.1 && total < 1.001, "{probabilities:?}");
    }
}

#[tokio::test]
async fn a_check_refuses_what_it_cannot_answer() {
    let engine = common::engine(EngineConfig::default());
    let check = |output: &'static [u32], claimed: &'static [[u32; 4]]| {
        engine.check(&[1, 2, 3], output, claimed, None)
    };
    assert_eq!(check(&[], &[]).await, Ok(Vec::new()));
    assert!(matches!(
        check(&[4], &[]).await,
        Err(EngineError::Invalid(_))
    ));
    assert!(matches!(
        check(&[4], &[[1, 2, 3, 60_000]]).await,
        Err(EngineError::UnknownToken { id: 60_000, .. })
    ));
    assert!(matches!(
        check(&[60_001], &[[1, 2, 3, 4]]).await,
        Err(EngineError::UnknownToken { id: 60_001, .. })
    ));
}

#[tokio::test]
async fn coarse_keys_and_values_are_another_arithmetic() {
    let honest = common::engine(EngineConfig::default());
    let coarse = common::engine(EngineConfig {
        lab: Lab { kv_bits: Some(8) },
        ..Default::default()
    });
    let prompt = chat(&honest, "Why do cats purr?");
    let (steps, _) = common::run(&honest, common::greedy(prompt.clone(), 4)).await;
    let ids: Vec<u32> = steps.iter().map(|s| s.token).collect();
    let found = coarse.teacher_forced(&prompt, &ids).await.expect("scores");
    assert!(
        found
            .iter()
            .zip(&steps)
            .all(|(found, step)| found != &step.top4)
    );
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
        logprobs: false,
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
        options: None,
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
        logprobs: false,
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
    let bad = EngineConfig {
        lab: Lab { kv_bits: Some(9) },
        ..Default::default()
    };
    assert!(bad.validate().expect_err("refused").contains("kv_bits = 9"));
    assert_eq!(EngineConfig::default().validate(), Ok(()));
}

#[test]
fn what_the_machine_cannot_keep_is_refused_with_numbers() {
    let refuse = |kv_bytes| {
        let config = EngineConfig {
            kv_bytes,
            ..Default::default()
        };
        match Engine::load(common::model(), config) {
            Err(error) => error.to_string(),
            Ok(_) => panic!("{kv_bytes} bytes were taken"),
        }
    };
    let error = refuse(1 << 44);
    assert!(
        error.contains("MiB are available; lower kv_bytes to at most"),
        "{error}"
    );
    // The model's page is smaller than the least that the setting allows; one byte is not.
    let bad = EngineConfig {
        kv_bytes: 1,
        ..Default::default()
    };
    assert!(
        bad.validate()
            .expect_err("refused")
            .contains("kv_bytes = 1")
    );
}
