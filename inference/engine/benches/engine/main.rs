//! The engine against llama.cpp on the same file, threads and token ids: `make bench-engine`.
//!
//! Each side is a process of its own that computes only when it is asked; rounds alternate. The
//! median of several is a figure. docs/benchmarks.md says how each is measured.
//!
//! `cargo bench --profile dev --workspace --bench engine -- [--model FILE] [--threads N] [--rounds N]`

mod figures;
mod limits;
mod ours;
mod side;

#[path = "../../tests/common/python.rs"]
mod python;

use std::path::PathBuf;

use anyhow::{Context, bail};
use mythic_model::{catalogue, prompt::PromptFormatter};
use serde::{Deserialize, Serialize};

use figures::{Figure, Plan, Row};
use side::Side;

/// Most streams that a figure runs at once, and the long prompt beside four.
const STREAMS_MOST: usize = 16;
const TEXT: &str = include_str!("../../tests/reference/text.txt");

/// What a side is asked.
#[derive(Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
enum Command {
    Info,
    /// Of llama.cpp: flash attention on or off.
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
    model: Option<PathBuf>,
    threads: usize,
    /// At most so many rounds a figure: a quick look.
    rounds: usize,
    side: bool,
}

fn arguments() -> anyhow::Result<Arguments> {
    let mut out = Arguments {
        model: None,
        threads: 2,
        rounds: usize::MAX,
        side: false,
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().with_context(|| format!("{arg} wants a value"));
        match arg.as_str() {
            "--model" => out.model = Some(value()?.into()),
            "--threads" => out.threads = value()?.parse().context("--threads wants a number")?,
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
    let model = match arguments.model {
        Some(path) => path,
        None => tokio::runtime::Runtime::new()?.block_on(catalogue::fetch(|_| ()))?,
    };
    if arguments.side {
        return ours::serve(&model, arguments.threads);
    }
    let python = python::with_llama_cpp()
        .map_err(anyhow::Error::msg)
        .context("llama.cpp cannot be installed, so there is nothing to compare with")?;
    let formatter = PromptFormatter::from_gguf(&model)?;
    let plan = Plan::new(formatter.tokenizer().encode(TEXT, false)?, arguments.rounds);
    let began = std::time::Instant::now();

    let mut ours = Side::ours(&model, arguments.threads)?;
    let mut theirs = figures::best_llama_cpp(&python, &model, arguments.threads, &plan)?;
    println!("model: {}", model.display());
    println!(
        "processor: {}, {} threads",
        side::processor(),
        arguments.threads
    );
    for (name, side) in [("ours", &mut ours), ("llama.cpp", &mut theirs)] {
        println!("{name}: {}", side.describe()?);
    }
    for side in [&mut ours, &mut theirs] {
        figures::warm_up(side, &plan)?;
    }
    side::wait_for_quiet(&mut std::time::Duration::from_secs(6));
    let limits = limits::Limits::measure(arguments.threads);
    let mut rows: Vec<Row> = Vec::new();
    for figure in Figure::ALL {
        // The load figures start a second copy of llama.cpp's model, so memory is read before.
        if figure == Figure::UnderLoad {
            rows.extend(figures::memory(&ours, &theirs)?);
        }
        rows.extend(figures::measure(figure, &mut ours, &mut theirs, &plan)?);
    }
    println!("took: {:.0} s\n", began.elapsed().as_secs_f64());
    println!("{}", figures::table(&rows));
    println!("{}\n", limits.report(&model, &rows)?);
    for row in &rows {
        println!("{}", serde_json::to_string(row)?);
    }
    Ok(())
}
