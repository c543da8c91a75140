//! Time to first token and tokens a second of the engine on the default model, as a table.
//!
//! `cargo run -p mythic-inference --example engine_bench [-- THREADS]`

use std::time::Instant;

use mythic_inference::engine::{Engine, EngineConfig, GenerateRequest, Sampler};
use mythic_inference::model;
use tokio_util::sync::CancellationToken;

const DECODED: u32 = 64;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let threads = match std::env::args().nth(1) {
        Some(text) => text.parse()?,
        None => 0,
    };
    let path = model::fetch(|_| ()).await?;
    let began = Instant::now();
    let config = EngineConfig {
        threads,
        ..Default::default()
    };
    let engine = Engine::load(path, config)?;
    let load = began.elapsed();
    let stats = engine.stats();
    println!(
        "{} on {}, {} threads",
        stats.model, stats.device, stats.threads
    );
    println!("load: {:.0} ms\n", load.as_secs_f64() * 1e3);
    println!(
        "| prompt tokens | time to first token | prefill tok/s | decode tok/s | four at once, tok/s each |"
    );
    println!("|--:|--:|--:|--:|--:|");
    for prompt in [32usize, 128, 512, 1024] {
        // Once without being counted: the pages of the file and the caches of the processor.
        run(&engine, 32, 2).await?;
        let (first, decode) = run(&engine, prompt, DECODED).await?;
        let four =
            futures::future::try_join_all((0..4).map(|_| run(&engine, prompt, DECODED))).await?;
        let each = four.iter().map(|(_, rate)| rate).sum::<f64>() / 4.0;
        println!(
            "| {prompt} | {:.0} ms | {:.0} | {decode:.1} | {each:.1} |",
            first * 1e3,
            prompt as f64 / first,
        );
    }
    Ok(())
}

/// Seconds to the first token, and tokens a second after it.
async fn run(engine: &Engine, prompt: usize, tokens: u32) -> anyhow::Result<(f64, f64)> {
    let request = GenerateRequest {
        prompt_ids: (0..prompt as u32).map(|i| 1_000 + i * 7 % 20_000).collect(),
        max_tokens: tokens,
        sampler: Sampler::Verified {
            seed: [1; 32],
            temperature_milli: 1_000,
        },
        stop: Vec::new(),
        logprobs: false,
    };
    let began = Instant::now();
    let mut stream = engine.generate(request, CancellationToken::new())?;
    let mut first = None;
    let mut count = 0u32;
    while let Some(step) = stream.recv().await {
        step?;
        count += 1;
        first.get_or_insert_with(|| began.elapsed());
    }
    let first = first.ok_or_else(|| anyhow::anyhow!("no token"))?;
    let rest = (began.elapsed() - first).as_secs_f64();
    Ok((
        first.as_secs_f64(),
        f64::from(count.saturating_sub(1)) / rest.max(1e-9),
    ))
}
