//! Our side of the benchmark: one JSON command a line on stdin, one answer a line on stdout.

use std::io::{BufRead, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures::future::try_join_all;
use mythic_engine::{Choice, Engine, EngineConfig, EngineError, GenerateRequest, Sampler, Step};
use serde_json::{Value, json};
use tokio::sync::mpsc::Receiver;
use tokio_util::sync::CancellationToken;

use super::side::processor_seconds;
use super::{Command, STREAMS_MOST};

/// Answers until stdin ends.
pub fn serve(model: &Path, threads: usize, device: Choice) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let load = |speculation| {
        let config = EngineConfig {
            threads,
            device: device.clone(),
            speculation,
            max_sequences: STREAMS_MOST,
            ..Default::default()
        };
        Engine::load(model, config)
    };
    // The others don't read ahead; what it gives has figures of its own, and an engine from then on.
    let plain = load(false)?;
    let mut ahead = None;
    let mut answers = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let command: Command = serde_json::from_str(&line?)?;
        let engine = match &command {
            Command::Repeating {
                speculation: true, ..
            } => {
                if ahead.is_none() {
                    ahead = Some(load(true)?);
                }
                ahead.as_ref().unwrap_or(&plain)
            }
            _ => &plain,
        };
        let answer = runtime.block_on(answer(engine, command))?;
        writeln!(answers, "{answer}")?;
        answers.flush()?;
    }
    Ok(())
}

/// Seconds, and processor seconds of all threads, since it was made.
struct Clock(Instant, f64);

impl Clock {
    fn start() -> Self {
        Self(Instant::now(), processor_seconds("self"))
    }

    fn answer(&self, tokens: usize, ids: &[u32]) -> Value {
        json!({
            "seconds": self.0.elapsed().as_secs_f64(),
            "processor": processor_seconds("self") - self.1,
            "tokens": tokens,
            "ids": ids,
        })
    }
}

async fn answer(engine: &Engine, command: Command) -> anyhow::Result<Value> {
    let clock = Clock::start();
    Ok(match command {
        Command::Info => {
            let stats = engine.stats();
            json!({
                "device": format!("{}, {} threads", stats.device, stats.threads),
                "version": concat!("mythic-engine ", env!("CARGO_PKG_VERSION")),
            })
        }
        // These are the others'.
        Command::Settings { .. } => json!({}),
        Command::Prefill { prompt } => {
            let tokens = prompt.len();
            let mut stream = start(engine, prompt, 1)?;
            next(&mut stream).await?.context("no token")?;
            clock.answer(tokens, &[])
        }
        Command::Decode { prompt, n } | Command::Repeating { prompt, n, .. } => {
            let mut stream = start(engine, prompt, n)?;
            let mut ids = vec![next(&mut stream).await?.context("no token")?.token];
            let clock = Clock::start();
            while let Some(step) = next(&mut stream).await? {
                ids.push(step.token);
            }
            clock.answer(ids.len() - 1, &ids)
        }
        Command::Streams { prompts, n } => {
            let streams = prompts
                .into_iter()
                .map(|prompt| start(engine, prompt, n))
                .collect::<Result<Vec<_>, _>>()?;
            let counts = try_join_all(streams.into_iter().map(count)).await?;
            let tokens: usize = counts.iter().sum();
            clock.answer(tokens, &[])
        }
        Command::Generate { prompt, n } => {
            let mut stream = start(engine, prompt, n)?;
            let mut ids = Vec::new();
            while let Some(step) = next(&mut stream).await? {
                ids.push(step.token);
            }
            clock.answer(ids.len(), &ids)
        }
        Command::Verify { prompt, output } => {
            let rows = engine.teacher_forced(&prompt, &output).await?;
            clock.answer(rows.len(), &[])
        }
        Command::UnderLoad {
            prompts,
            n,
            long,
            after,
        } => under_load(engine, prompts, n, long, after).await?,
    })
}

fn start(
    engine: &Engine,
    prompt: Vec<u32>,
    n: u32,
) -> Result<Receiver<Result<Step, EngineError>>, EngineError> {
    engine.generate(
        GenerateRequest {
            prompt_ids: prompt,
            max_tokens: n,
            sampler: Sampler::Verified {
                seed: [0; 32],
                temperature_milli: 0,
            },
            stop: Vec::new(),
            logprobs: false,
        },
        CancellationToken::new(),
    )
}

async fn next(
    stream: &mut Receiver<Result<Step, EngineError>>,
) -> Result<Option<Step>, EngineError> {
    stream.recv().await.transpose()
}

async fn count(mut stream: Receiver<Result<Step, EngineError>>) -> Result<usize, EngineError> {
    let mut count = 0;
    while next(&mut stream).await?.is_some() {
        count += 1;
    }
    Ok(count)
}

/// Streams decode; once each has given `after` tokens, the long prompt comes.
async fn under_load(
    engine: &Engine,
    prompts: Vec<Vec<u32>>,
    n: u32,
    long: Vec<u32>,
    after: usize,
) -> anyhow::Result<Value> {
    let (ready, mut readies) = tokio::sync::mpsc::channel(prompts.len());
    let waiting = prompts.len();
    let streams = prompts.into_iter().map(|prompt| {
        let ready = ready.clone();
        async move {
            let mut stream = start(engine, prompt, n)?;
            let mut times = Vec::new();
            while next(&mut stream).await?.is_some() {
                times.push(Instant::now());
                if times.len() == after {
                    // The receiver lives until all are ready.
                    let _ = ready.try_send(());
                }
            }
            anyhow::Ok(times)
        }
    });
    let tokens = long.len();
    let late = async {
        for _ in 0..waiting {
            readies.recv().await.context("a stream ended early")?;
        }
        let began = Instant::now();
        let mut stream = start(engine, long, 1)?;
        next(&mut stream).await?.context("no token")?;
        anyhow::Ok((began, Instant::now()))
    };
    let (times, (began, first)) = tokio::try_join!(try_join_all(streams), late)?;
    let stall = times
        .iter()
        .flat_map(|times| times.windows(2))
        .filter(|w| w[1] > began && w[0] < first)
        .map(|w| w[1] - w[0].max(began))
        .max()
        .unwrap_or(Duration::ZERO);
    anyhow::ensure!(
        stall > Duration::ZERO,
        "the streams ended before the prompt came"
    );
    Ok(json!({
        "seconds": (first - began).as_secs_f64(),
        "stall": stall.as_secs_f64(),
        "tokens": tokens,
    }))
}
