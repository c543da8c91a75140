//! Answers by options (`seeded-full`), on a small random model: made, replayed, and told from those that ignore them.

use std::sync::Arc;

use mythic_engine::{
    ByOptions, Checked, Engine, EngineConfig, Finish, GenerateRequest, Sampler, Step,
};
use mythic_interface::sampler::Sampling;
use mythic_lab::random_model::RandomModel;
use mythic_model::gguf::TensorFormat;
use mythic_sampling::Options;
use tokio_util::sync::CancellationToken;

const SAMPLING: Sampling = Sampling {
    seed: [9; 32],
    temperature_milli: 1_000,
};

/// The model's end-of-sequence token.
const END: u32 = 278;

/// An engine, and where its file lies.
fn engine() -> (Engine, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.gguf");
    RandomModel::new(TensorFormat::Q8_0, 5)
        .write(&path)
        .unwrap();
    let config = EngineConfig {
        threads: 1,
        kv_bytes: 64 << 20,
        ..EngineConfig::default()
    };
    (Engine::load(&path, config).unwrap(), directory)
}

/// Options of an answer that goes on to its last token.
fn endless() -> Options {
    Options {
        logit_bias: vec![(END, -100_000)],
        ..Options::default()
    }
}

fn prompt() -> Vec<u32> {
    (40..72).collect()
}

async fn answer(engine: &Engine, options: &Options) -> Vec<Step> {
    let request = GenerateRequest {
        prompt_ids: prompt(),
        max_tokens: 24,
        sampler: Sampler::Full {
            seed: SAMPLING.seed,
            temperature_milli: SAMPLING.temperature_milli,
            options: Arc::new(options.clone()),
        },
        stop: Vec::new(),
        logprobs: false,
    };
    let mut steps = engine.generate(request, CancellationToken::new()).unwrap();
    let mut all = Vec::new();
    while let Some(step) = steps.recv().await {
        all.push(step.unwrap());
    }
    all
}

fn ids(steps: &[Step]) -> Vec<u32> {
    steps.iter().map(|step| step.token).collect()
}

/// What a checker finds that must stand at each position of a result that says this.
async fn expected(engine: &Engine, options: &Options, output: &[u32], finish: Finish) -> Vec<u32> {
    let by = ByOptions {
        options: Arc::new(options.clone()),
        sampling: SAMPLING,
        output_tokens: output.len() as u32,
        max_tokens: output.len() as u32,
        finish_reason: finish as u8,
        asked: None,
    };
    let claimed = vec![[0; 4]; output.len()];
    let checked: Vec<Checked> = engine
        .check(&prompt(), output, &claimed, Some(by))
        .await
        .unwrap();
    checked.iter().map(|own| own.choice.unwrap()).collect()
}

fn all_options() -> Vec<Options> {
    let neutral = endless();
    vec![
        neutral.clone(),
        Options {
            top_k: 3,
            ..neutral.clone()
        },
        Options {
            top_p_ppm: 300_000,
            min_p_ppm: 20_000,
            ..neutral.clone()
        },
        Options {
            presence_milli: -2_000,
            frequency_milli: -2_000,
            repetition_milli: 500,
            ..neutral.clone()
        },
        Options {
            logit_bias: (0..40)
                .map(|id| (id, 4_000))
                .chain([(END, -100_000)])
                .collect(),
            ..neutral.clone()
        },
        Options {
            grammar: Some("start: /[a-f0-9 ]+/\n".into()),
            ..neutral
        },
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_by_options_is_what_a_checker_expects() {
    let (engine, _directory) = engine();
    for options in all_options() {
        let steps = answer(&engine, &options).await;
        let finish = steps.last().and_then(|step| step.finish).unwrap();
        let output = ids(&steps);
        assert_eq!(
            expected(&engine, &options, &output, finish).await,
            output,
            "{options:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_the_same_alone_and_beside_others() {
    let (engine, _directory) = engine();
    let options = all_options();
    let mut alone = Vec::new();
    for options in &options {
        alone.push(answer(&engine, options).await);
    }
    let beside = futures::future::join_all(options.iter().map(|o| answer(&engine, o))).await;
    assert_eq!(beside, alone);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_ignored_its_options_is_told_from_an_honest_one() {
    let (engine, _directory) = engine();
    let free = answer(&engine, &endless()).await;
    let finish = free.last().and_then(|step| step.finish).unwrap();
    let output = ids(&free);
    for options in all_options().into_iter().skip(1) {
        let expected = expected(&engine, &options, &output, finish).await;
        assert_ne!(expected, output, "{options:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_an_altered_token_that_leaves_the_grammar_nothing_may_stand() {
    let (engine, _directory) = engine();
    let options = all_options().pop().unwrap();
    let steps = answer(&engine, &options).await;
    let mut output = ids(&steps);
    assert!(output.len() > 6);
    let at = 3;
    output[at] = (0..279)
        .find(|id| engine.formatter().piece(*id) == b"z")
        .unwrap();
    let found = expected(&engine, &options, &output, Finish::Length).await;
    assert_eq!(found[..at], output[..at]);
    assert_ne!(found[at], output[at]);
    assert!(found[at + 1..].iter().all(|token| *token == u32::MAX));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grammar_and_stop_strings_hold_together() {
    let (engine, _directory) = engine();
    // What the grammar leaves alone is taken, however little the biases want it.
    let ends = engine.formatter().eos_ids().iter();
    let spelled = Options {
        logit_bias: ends.map(|end| (*end, -100_000)).collect(),
        grammar: Some("start: \"abc\"\n".into()),
        ..Options::default()
    };
    for (stop, told, finish) in [
        (None, "abc", Finish::Eos),
        (Some("zz"), "abc", Finish::Eos),
        (Some("bc"), "a", Finish::Stopped),
        (Some("c"), "ab", Finish::Stopped),
    ] {
        let options = Options {
            stop: stop.into_iter().map(str::to_owned).collect(),
            ..spelled.clone()
        };
        let steps = answer(&engine, &options).await;
        let text: String = steps.iter().map(|step| step.text.as_str()).collect();
        let ended = steps.last().and_then(|step| step.finish);
        assert_eq!((text.as_str(), ended), (told, Some(finish)), "{stop:?}");
        let output = ids(&steps);
        let found = expected(&engine, &options, &output, finish).await;
        assert_eq!(found, output, "{stop:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_string_of_the_options_ends_the_answer_and_nothing_may_follow() {
    let (engine, _directory) = engine();
    let whole = answer(&engine, &endless()).await;
    let text: String = whole.iter().map(|step| step.text.as_str()).collect();
    let middle: String = text.chars().skip(4).take(2).collect();
    let options = Options {
        stop: vec![middle],
        ..endless()
    };
    let steps = answer(&engine, &options).await;
    assert_eq!(steps.last().unwrap().finish, Some(Finish::Stopped));
    let output = ids(&steps);
    let found = expected(&engine, &options, &output, Finish::Stopped).await;
    assert_eq!(found, output);
    // Who goes on behind it, or says so without it.
    let longer = ids(&whole);
    let found = expected(&engine, &options, &longer, Finish::Length).await;
    assert!(found[output.len()..].iter().all(|token| *token == u32::MAX));
    let shorter = &output[..output.len() - 1];
    let found = expected(&engine, &options, shorter, Finish::Stopped).await;
    assert_eq!(found.last(), Some(&u32::MAX));
}
