//! Reading ahead shows in nothing but the time: answers, their leaves and what layers gave are the same bits with speculation and without
//! it, whatever chooses the tokens, beside any others, and wherever an answer ends.

mod common;

use std::sync::Arc;
use std::time::Duration;

use mythic_engine::{
    Engine, EngineConfig, EngineError, Finish, GenerateRequest, Sampler, Step, residuals,
};
use mythic_model::prompt::Message;
use mythic_sampling::Options;
use tokio_util::sync::CancellationToken;

/// Tokens of most answers.
const LENGTH: u32 = 40;

fn engine(speculation: bool, config: &EngineConfig) -> Engine {
    common::engine(EngineConfig {
        speculation,
        ..config.clone()
    })
}

/// One that reads ahead, and one that doesn't.
fn both(config: &EngineConfig) -> [Engine; 2] {
    [true, false].map(|speculation| engine(speculation, config))
}

/// Ids of a text that repeats itself: in part, with numbers that count, or wholly. Each `first` makes another one, of which nothing is in
/// the prefix cache: what is read is what pays for reading ahead.
fn repeating(engine: &Engine, counts: bool, first: u32) -> Vec<u32> {
    let lines = (1..8).map(|number| match counts {
        true => format!("Line {number}: the cat sat on the mat and looked at the door.\n"),
        false => "The keeper counted seven ships before the fog came in.\n".into(),
    });
    let text: String = lines.collect();
    let tokenizer = engine.formatter().tokenizer();
    let ids = tokenizer.encode(&text, false).expect("tokens");
    [&[1_000 + first][..], &ids[..]].concat()
}

fn seeded(seed: u8, temperature_milli: u16) -> Sampler {
    Sampler::Verified {
        seed: [seed; 32],
        temperature_milli,
    }
}

/// A request for each way to choose tokens.
fn requests(engine: &Engine) -> Vec<GenerateRequest> {
    let by_options = |temperature_milli, options| Sampler::Full {
        seed: [5; 32],
        temperature_milli,
        options: Arc::new(options),
    };
    let drawn = Options {
        top_k: 8,
        top_p_ppm: 900_000,
        min_p_ppm: 10_000,
        ..Options::default()
    };
    let penalties = Options {
        presence_milli: 200,
        frequency_milli: 100,
        repetition_milli: 1_050,
        logit_bias: vec![(260, 1_500), (5_000, -2_000)],
        ..Options::default()
    };
    let grammar = Options {
        grammar: Some("start: /[A-Za-z ]+/\n".into()),
        ..Options::default()
    };
    let samplers = [
        seeded(0, 0),
        seeded(1, 700),
        seeded(2, 2_000),
        by_options(0, Options::default()),
        by_options(700, drawn),
        by_options(400, penalties),
        by_options(500, grammar),
        Sampler::Free {
            temperature: 0.7,
            top_p: 0.9,
            seed: 7,
        },
    ];
    let each = samplers.into_iter().enumerate();
    each.map(|(at, sampler)| GenerateRequest {
        sampler,
        logprobs: true,
        ..common::greedy(repeating(engine, at % 2 == 1, at as u32), LENGTH)
    })
    .collect()
}

/// Of these, which follows a grammar.
const GUIDED: usize = 6;

type Answer = (Vec<Step>, Finish);

async fn all(engine: &Engine, requests: &[GenerateRequest]) -> Vec<Answer> {
    let each = requests.iter().cloned();
    futures::future::join_all(each.map(|request| common::run(engine, request))).await
}

/// Tokens that were read ahead, and those of them that were chosen; no answer is under way.
async fn read_ahead(engine: &Engine) -> (u64, u64) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    // The last step is handed out before it is counted.
    while engine.stats().active > 0 {
        assert!(tokio::time::Instant::now() < deadline, "it still runs");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let stats = engine.stats();
    (stats.proposed_tokens_total, stats.accepted_tokens_total)
}

#[tokio::test]
async fn answers_are_the_same_bits_whatever_chooses_them_and_beside_any_others() {
    // So many rows that sixteen streams read ahead too.
    let config = EngineConfig {
        max_sequences: 16,
        chunk: 512,
        ..EngineConfig::default()
    };
    let plain = engine(false, &config);
    let requests = requests(&plain);
    let want = all(&plain, &requests).await;
    assert_eq!(read_ahead(&plain).await, (0, 0));
    for streams in [1, 4, 16] {
        let ahead = engine(true, &config);
        let count = requests.len().max(streams);
        let many: Vec<_> = requests.iter().cycle().take(count).cloned().collect();
        for (first, together) in many.chunks(streams).enumerate() {
            for (at, answer) in all(&ahead, together).await.into_iter().enumerate() {
                let which = (first * streams + at) % requests.len();
                assert_eq!(answer, want[which], "{streams} streams, request {which}");
            }
        }
        let (proposed, accepted) = read_ahead(&ahead).await;
        assert!(0 < accepted && accepted < proposed, "{streams} streams");
    }
}

#[tokio::test]
async fn behind_a_wrong_proposal_none_counts_though_it_is_the_token_that_was_chosen() {
    let [ahead, plain] = both(&EngineConfig::default());
    // Chosen at each position, and proposed first behind another.
    const CHOSEN: u32 = 5_000;
    let before = [1_010, 1_011, CHOSEN, 1_013, CHOSEN].into_iter();
    let prompt = before.chain(2_000..2_100).chain([1_010, 1_011]);
    let options = Options {
        logit_bias: vec![(CHOSEN, 100_000)],
        ..Options::default()
    };
    let request = GenerateRequest {
        sampler: Sampler::Full {
            seed: [0; 32],
            temperature_milli: 0,
            options: Arc::new(options),
        },
        logprobs: true,
        ..common::greedy(prompt.collect(), LENGTH)
    };
    let answer = common::run(&ahead, request.clone()).await;
    assert_eq!(answer, common::run(&plain, request).await);
    assert!(answer.0.iter().all(|step| step.token == CHOSEN));
    let (proposed, accepted) = read_ahead(&ahead).await;
    assert!(accepted > 0);
    assert_eq!(proposed - accepted, 2, "the first two");
}

#[tokio::test]
async fn an_answer_by_a_grammar_reads_nothing_ahead() {
    let ahead = engine(true, &EngineConfig::default());
    let guided = &requests(&ahead)[GUIDED..=GUIDED];
    all(&ahead, guided).await;
    assert_eq!(read_ahead(&ahead).await, (0, 0));
}

#[tokio::test]
async fn a_text_that_repeats_itself_takes_far_fewer_passes() {
    let ahead = engine(true, &EngineConfig::default());
    let request = common::greedy(repeating(&ahead, false, 0), LENGTH);
    let (steps, _) = common::run(&ahead, request).await;
    let (proposed, accepted) = read_ahead(&ahead).await;
    assert!(
        2 * accepted > steps.len() as u64,
        "{accepted} of {proposed}"
    );
}

#[tokio::test]
async fn what_layers_gave_is_kept_of_the_tokens_that_were_chosen() {
    let [ahead, plain] = both(&EngineConfig {
        residual_bytes: 1 << 28,
        ..EngineConfig::default()
    });
    let prompt = repeating(&plain, true, 0);
    for (seed, temperature_milli) in [(0, 0), (1, 1_000), (2, 1_500), (3, 1_500)] {
        let request = GenerateRequest {
            sampler: seeded(seed, temperature_milli),
            ..common::greedy(prompt.clone(), LENGTH)
        };
        let (steps, _) = common::run(&ahead, request.clone()).await;
        assert_eq!(common::run(&plain, request).await.0, steps);
        let output: Vec<u32> = steps.iter().map(|step| step.token).collect();
        let [kept, want] = [
            common::rows_of(&ahead, &prompt, &output).await,
            common::rows_of(&plain, &prompt, &output).await,
        ];
        let read = prompt.len() + output.len() - 1;
        assert_eq!((kept.positions(), want.positions()), (read, read));
        assert_eq!(kept.digests(), want.digests(), "seed {seed}");
        let shape = kept.shape();
        let last = kept.rows(shape.layers - 1).expect("its rows");
        let last = residuals::read(&last, read, shape.width).expect("rows");
        let found = plain.outputs(last[last.len() - shape.width..].to_vec());
        assert_eq!(found.await, Ok(vec![steps[steps.len() - 1].top4]));
    }
    let (proposed, accepted) = read_ahead(&ahead).await;
    assert!(0 < accepted && accepted < proposed);
}

#[tokio::test]
async fn the_prefix_cache_holds_what_was_chosen_and_nothing_else() {
    let [ahead, plain] = both(&EngineConfig::default());
    for seed in 0..6 {
        // Computed each time: what is found in the cache gives no leave to propose.
        let prompt = repeating(&plain, true, u32::from(seed));
        let request = GenerateRequest {
            sampler: seeded(seed, 1_000),
            ..common::greedy(prompt.clone(), LENGTH)
        };
        let (steps, _) = common::run(&ahead, request).await;
        // The next turn begins with all of it, and finds pages of the answer.
        let output: Vec<u32> = steps.iter().map(|step| step.token).collect();
        let next = [&prompt[..], &output[..], &[30, 198]].concat();
        read_ahead(&ahead).await;
        let found = ahead.stats().cached_tokens_total;
        let turn = common::run(&ahead, common::greedy(next.clone(), 8)).await;
        let found = (ahead.stats().cached_tokens_total - found) as usize;
        assert_eq!(found, (prompt.len() + output.len() - 1) / 32 * 32);
        assert_eq!(turn, common::run(&plain, common::greedy(next, 8)).await);
        let leaves: Vec<_> = steps.iter().map(|step| step.top4).collect();
        assert_eq!(plain.teacher_forced(&prompt, &output).await, Ok(leaves));
    }
    let (proposed, accepted) = read_ahead(&ahead).await;
    assert!(
        0 < accepted && accepted < proposed,
        "{accepted} of {proposed}"
    );
}

#[tokio::test]
async fn an_answer_ends_where_it_would_end_anyway() {
    let [ahead, plain] = both(&EngineConfig::default());
    let prompt = |first| repeating(&plain, false, first);
    let same = async |request: GenerateRequest| {
        let answer = common::run(&ahead, request.clone()).await;
        assert_eq!(answer, common::run(&plain, request).await);
        answer
    };
    let (whole, _) = same(common::greedy(prompt(0), LENGTH)).await;
    // Every number of tokens, so that some runs of accepted ones are cut at each of their places.
    for max_tokens in 12..28 {
        let (steps, finish) = same(common::greedy(prompt(max_tokens), max_tokens)).await;
        assert_eq!((steps.len() as u32, finish), (max_tokens, Finish::Length));
    }
    // Stop strings from all over the text.
    let text: Vec<char> = whole.iter().flat_map(|step| step.text.chars()).collect();
    for at in (0..60).step_by(4) {
        let stop: String = text[at..at + 12].iter().collect();
        let (steps, finish) = same(GenerateRequest {
            stop: vec![stop],
            ..common::greedy(prompt(100 + at as u32), LENGTH)
        })
        .await;
        assert_eq!(finish, Finish::Stopped);
        assert!(steps.len() < whole.len());
    }
    // An end token that was proposed, with what had followed it.
    let turn = [
        Message::new("user", "May I come in?"),
        Message::new(
            "assistant",
            "Yes, of course you may come in whenever you like.",
        ),
    ];
    let mut talk: Vec<Message> = turn.iter().cycle().take(8).cloned().collect();
    talk.push(turn[0].clone());
    let prompt = plain.formatter().chat(&talk).expect("a prompt");
    let before = read_ahead(&ahead).await;
    let (_, finish) = same(common::greedy(prompt, LENGTH)).await;
    assert_eq!(finish, Finish::Eos);
    assert!(read_ahead(&ahead).await.1 > before.1);
}

#[tokio::test]
async fn answers_that_are_left_or_wait_for_pages_change_no_other() {
    let config = EngineConfig {
        max_sequences: 3,
        chunk: 256,
        ..EngineConfig::default()
    };
    let plain = engine(false, &config);
    let requests = requests(&plain);
    let want = all(&plain, &requests).await;
    // Room for two at a time.
    let narrow = EngineConfig {
        kv_bytes: 11 * 32 * 23_040,
        ..config
    };
    let ahead = engine(true, &narrow);
    let leave = async |after: usize, drops: bool| {
        let cancel = CancellationToken::new();
        let prompt = repeating(&ahead, after.is_multiple_of(2), 50 + after as u32);
        let request = common::greedy(prompt, LENGTH);
        let stream = ahead.generate(request, cancel.clone());
        let mut stream = stream.expect("a place");
        for _ in 0..after {
            stream.recv().await;
        }
        if drops {
            return;
        }
        cancel.cancel();
        // What was made before is given still.
        while let Some(step) = stream.recv().await {
            assert!(matches!(step, Ok(_) | Err(EngineError::Cancelled)));
        }
    };
    let stay = all(&ahead, &requests);
    let (answers, ..) = tokio::join!(
        stay,
        leave(1, true),
        leave(4, false),
        leave(7, true),
        leave(11, false)
    );
    assert_eq!(answers, want);
    let (_, accepted) = read_ahead(&ahead).await;
    assert!(accepted > 0);
    assert_eq!(ahead.stats().kv_bytes_used, 0);
}
