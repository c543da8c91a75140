//! The engine beside others on the same files, threads and token ids: `make bench-engine`.
//!
//! Each side is a process of its own that computes only when it is asked; rounds alternate. The
//! median of several is a figure, on the clock and in processor seconds, and what counts is the
//! ratio to the best of the others. docs/benchmarks.md says how each is measured.
//!
//! `cargo bench --profile dev --workspace --bench engine -- [--model FILE] [--threads N] [--rounds N] [--device cuda]`

mod figures;
mod limits;
mod others;
mod ours;
mod repeats;
mod side;

#[path = "../../tests/common/python.rs"]
mod python;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use mythic_engine::Choice;
use mythic_model::{catalogue, prompt::PromptFormatter};
use serde::{Deserialize, Serialize};

use figures::{Contender, Figure, Plan, Row};
use others::Others;
use repeats::Repeats;
use side::Side;

/// Most streams that a figure runs at once, and the long prompt beside four.
const STREAMS_MOST: usize = 16;
/// Bytes of a file from which on some figures would take too long.
const LARGE: u64 = 400 << 20;
const TEXT: &str = include_str!("../../tests/reference/text.txt");

/// What a side is asked.
#[derive(Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
enum Command {
    Info,
    /// Of the others: flash attention on or off.
    Settings {
        flash: i32,
    },
    Prefill {
        prompt: Vec<u32>,
    },
    Decode {
        prompt: Vec<u32>,
        n: u32,
    },
    Streams {
        prompts: Vec<Vec<u32>>,
        n: u32,
    },
    /// Of our side: as `Decode`, read ahead or not.
    Repeating {
        prompt: Vec<u32>,
        n: u32,
        speculation: bool,
    },
    Generate {
        prompt: Vec<u32>,
        n: u32,
    },
    Verify {
        prompt: Vec<u32>,
        output: Vec<u32>,
    },
    UnderLoad {
        prompts: Vec<Vec<u32>>,
        n: u32,
        long: Vec<u32>,
        after: usize,
    },
}

struct Arguments {
    /// The only model, instead of those that are always taken.
    model: Option<PathBuf>,
    threads: usize,
    /// What our side computes on.
    device: Choice,
    /// At most so many rounds a figure: a quick look.
    rounds: usize,
    side: bool,
}

fn arguments() -> anyhow::Result<Arguments> {
    let mut out = Arguments {
        model: None,
        threads: 2,
        device: Choice::default(),
        rounds: usize::MAX,
        side: false,
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().with_context(|| format!("{arg} wants a value"));
        match arg.as_str() {
            "--model" => out.model = Some(value()?.into()),
            "--threads" => out.threads = value()?.parse().context("--threads wants a number")?,
            "--device" => out.device = value()?.parse().map_err(anyhow::Error::msg)?,
            "--rounds" => out.rounds = value()?.parse().context("--rounds wants a number")?,
            "--side" => out.side = true,
            // Given by cargo.
            "--bench" => {}
            other => bail!("unknown argument {other}"),
        }
    }
    Ok(out)
}

fn main() -> anyhow::Result<()> {
    let arguments = arguments()?;
    if arguments.side {
        let model = arguments.model.context("--side wants --model")?;
        return ours::serve(&model, arguments.threads, arguments.device);
    }
    let others = Others::install()?;
    println!("processor: {}", side::processor());
    let models = match &arguments.model {
        Some(path) => {
            let name = path.file_name().unwrap_or(path.as_os_str());
            vec![(name.to_string_lossy().into_owned(), path.clone())]
        }
        None => {
            let small = tokio::runtime::Runtime::new()?.block_on(catalogue::fetch(|_| ()))?;
            let shaped = others.shaped(&small)?.into_iter();
            let shaped = shaped.map(|(name, path)| (format!("1B-shaped {name}"), path));
            [("SmolLM2-135M Q4_1".to_owned(), small.clone())]
                .into_iter()
                .chain(shaped)
                .collect()
        }
    };
    for (name, path) in models {
        compare(&arguments, &others, name, &path)?;
    }
    Ok(())
}

/// All engines on one model: its table, what the machine gives at most, and a JSON line a figure.
fn compare(
    arguments: &Arguments,
    others: &Others,
    name: String,
    model: &Path,
) -> anyhow::Result<()> {
    let began = std::time::Instant::now();
    let large = std::fs::metadata(model)?.len() > LARGE;
    let formatter = PromptFormatter::from_gguf(model)?;
    let encode = |text: &str| formatter.tokenizer().encode(text, false);
    let repeating = Repeats::ALL.iter().map(|of| encode(&of.prompt()));
    let texts = (encode(TEXT)?, repeating.collect::<Result<Vec<_>, _>>()?);
    let plan = Plan::new(name, texts, arguments.rounds, large);
    let threads = arguments.threads;
    println!(
        "\n## {}: {}, {threads} threads",
        plan.model,
        model.display()
    );
    let mut contenders = vec![Contender {
        other: None,
        side: Side::ours(model, threads, &arguments.device)?,
    }];
    for other in others.found() {
        let side = figures::best_of(others, other, (model, threads), &plan)?;
        contenders.push(Contender {
            other: Some(other),
            side,
        });
    }
    for contender in &mut contenders {
        println!("{}: {}", contender.name(), contender.side.describe()?);
        figures::warm_up(&mut contender.side, &plan)?;
    }
    side::wait_for_quiet(&mut std::time::Duration::from_secs(6));
    let limits = limits::Limits::measure(threads);
    let mut rows: Vec<Row> = Vec::new();
    for figure in Figure::all(large) {
        // The load figures start a second copy of llama.cpp's model, so memory is read before.
        if figure == Figure::UnderLoad {
            rows.extend(figures::memory(&contenders, &plan)?);
        }
        rows.extend(figures::measure(figure, &mut contenders, &plan)?);
    }
    println!("took: {:.0} s\n", began.elapsed().as_secs_f64());
    let names: Vec<&'static str> = contenders.iter().map(Contender::name).collect();
    println!("{}", figures::table(&rows, &names));
    println!("{}\n", limits.report(model, &rows)?);
    for row in &rows {
        println!("{}", serde_json::to_string(row)?);
    }
    Ok(())
}
