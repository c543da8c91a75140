//! What the engine's tests share: the model file, fetched once, and one engine.

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use mythic_engine::residuals::Residuals;
use mythic_engine::{Engine, EngineConfig, Finish, GenerateRequest, Sampler, Step};
use tokio_util::sync::CancellationToken;

/// The default model's file.
pub fn model() -> PathBuf {
    static MODEL: LazyLock<PathBuf> = LazyLock::new(|| {
        std::thread::spawn(|| {
            tokio::runtime::Runtime::new()
                .expect("a runtime")
                .block_on(mythic_model::catalogue::fetch(|p| {
                    eprintln!("model: {p:?}")
                }))
                .expect("the model file")
        })
        .join()
        .expect("the thread that fetches the model")
    });
    MODEL.clone()
}

/// An engine with these settings.
#[allow(dead_code)]
pub fn engine(config: EngineConfig) -> Engine {
    Engine::load(model(), config).expect("the engine")
}

/// A greedy, verified request.
#[allow(dead_code)]
pub fn greedy(prompt_ids: Vec<u32>, max_tokens: u32) -> GenerateRequest {
    GenerateRequest {
        prompt_ids,
        max_tokens,
        sampler: Sampler::Verified {
            seed: [0; 32],
            temperature_milli: 0,
        },
        stop: Vec::new(),
        logprobs: false,
    }
}

/// Runs a request to its end. What its steps say of the cache is left out: it is nothing of the answer.
#[allow(dead_code)]
pub async fn run(engine: &Engine, request: GenerateRequest) -> (Vec<Step>, Finish) {
    let mut stream = engine
        .generate(request, CancellationToken::new())
        .expect("a place in the queue");
    let mut steps = Vec::new();
    while let Some(step) = stream.recv().await {
        steps.push(Step {
            cached_tokens: None,
            ..step.expect("a step")
        });
    }
    let finish = steps.last().and_then(|s| s.finish).expect("a finish");
    (steps, finish)
}

/// The rows of an answer, which are kept once its last step was handed out.
#[allow(dead_code)]
pub async fn rows_of(engine: &Engine, prompt: &[u32], output: &[u32]) -> Arc<Residuals> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = engine.residuals(prompt, output) {
            return found;
        }
        assert!(Instant::now() < deadline, "the rows are not kept");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
