//! The figures: what each side is asked for one, how often, and the table of them.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::side::{Answer, Side, wait_for_quiet};
use super::{Command, STREAMS_MOST};

/// Generated tokens of most figures.
const DECODED: u32 = 64;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Figure {
    Prefill(usize),
    Decode(usize),
    Streams(usize),
    Verify,
    UnderLoad,
}

/// A line of the result.
#[derive(Serialize)]
pub struct Row {
    figure: String,
    ours: f64,
    llama_cpp: f64,
    ratio: f64,
    unit: &'static str,
    #[serde(skip)]
    rounds: usize,
    #[serde(skip)]
    disturbed: usize,
    /// Smallest and largest of the samples that count, ours and theirs.
    #[serde(skip)]
    spread: [(f64, f64); 2],
    /// The ratio in processor seconds instead of seconds, where it means something.
    #[serde(skip)]
    by_processor: Option<f64>,
}

impl Figure {
    pub const ALL: [Figure; 10] = [
        Figure::Prefill(128),
        Figure::Prefill(512),
        Figure::Decode(0),
        Figure::Decode(512),
        Figure::Decode(2_048),
        Figure::Streams(1),
        Figure::Streams(4),
        Figure::Streams(STREAMS_MOST),
        Figure::Verify,
        Figure::UnderLoad,
    ];

    fn rounds(self) -> usize {
        match self {
            Figure::Decode(2_048) | Figure::Streams(STREAMS_MOST) => 3,
            Figure::Verify | Figure::UnderLoad => 3,
            _ => 5,
        }
    }
}

/// Where prompts come from: one text, from another place each time, so that no cache of prompts
/// helps anyone.
pub struct Plan {
    ids: Vec<u32>,
    /// At most so many a figure.
    rounds: usize,
}

impl Plan {
    pub fn new(ids: Vec<u32>, rounds: usize) -> Self {
        let rounds = rounds.max(1);
        Self { ids, rounds }
    }

    fn prompt(&self, place: usize, tokens: usize) -> Vec<u32> {
        let start = place * 131 % self.ids.len();
        self.ids
            .iter()
            .copied()
            .cycle()
            .skip(start)
            .take(tokens)
            .collect()
    }
}

fn rate(answer: &Answer) -> f64 {
    answer.tokens as f64 / answer.seconds
}

/// What one side gave in one round.
struct Sample {
    /// By the names of the figures.
    values: Vec<f64>,
    /// The first value, had every processor second been a second.
    by_processor: Option<f64>,
    disturbed: bool,
}

fn once(figure: Figure, side: &mut Side, plan: &Plan, round: usize) -> anyhow::Result<Sample> {
    let place = match figure {
        Figure::Prefill(n) => n + round,
        // The same each time: its depth is read once and used again by who can.
        Figure::Decode(n) => n / 64,
        Figure::Streams(n) => 40 * n + 16 * round,
        Figure::Verify => 900 + 2 * round,
        Figure::UnderLoad => 1_200 + 8 * round,
    };
    let prompts = |n: usize| (0..n).map(|i| plan.prompt(place + i, 32)).collect();
    let command = match figure {
        Figure::Prefill(n) => Command::Prefill {
            prompt: plan.prompt(place, n),
        },
        Figure::Decode(depth) => Command::Decode {
            prompt: plan.prompt(place, depth.max(1)),
            n: DECODED,
        },
        Figure::Streams(n) => Command::Streams {
            prompts: prompts(n),
            n: DECODED,
        },
        Figure::Verify => {
            let generate = Command::Generate {
                prompt: plan.prompt(place, 128),
                n: 128,
            };
            let generated = side.ask(&generate)?;
            // Another answer than the one that was just generated and may be in a cache.
            let verify = Command::Verify {
                prompt: plan.prompt(place + 1, 128),
                output: plan.prompt(place + 300, generated.answer.tokens),
            };
            let verified = side.ask(&verify)?;
            let (a, b) = (verified.answer, generated.answer);
            return Ok(Sample {
                values: vec![a.seconds / b.seconds],
                by_processor: Some(a.processor / b.processor),
                disturbed: verified.disturbed || generated.disturbed,
            });
        }
        Figure::UnderLoad => Command::UnderLoad {
            prompts: prompts(4),
            n: 2 * DECODED,
            long: plan.prompt(place + 4, 1_024),
            after: 8,
        },
    };
    let sample = side.ask(&command)?;
    let answer = sample.answer;
    let (values, by_processor) = match figure {
        Figure::UnderLoad => (vec![answer.seconds, answer.stall], None),
        _ => {
            let per_processor_second = answer.tokens as f64 / answer.processor;
            (vec![rate(&answer)], Some(per_processor_second))
        }
    };
    Ok(Sample {
        values,
        by_processor,
        disturbed: sample.disturbed,
    })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    (values[(n - 1) / 2] + values[n / 2]) / 2.0
}

/// Four digits are more than a sample is worth.
fn rounded(x: f64) -> f64 {
    format!("{x:.3e}").parse().unwrap_or(x)
}

/// Alternates the sides, each first in turn.
pub fn measure(
    figure: Figure,
    ours: &mut Side,
    theirs: &mut Side,
    plan: &Plan,
) -> anyhow::Result<Vec<Row>> {
    let (names, unit): (Vec<String>, _) = match figure {
        Figure::Prefill(n) => (vec![format!("prefill_{n}")], "tok/s"),
        Figure::Decode(n) => (vec![format!("decode_{n}")], "tok/s"),
        Figure::Streams(n) => (vec![format!("streams_{n}")], "tok/s"),
        Figure::Verify => (vec!["verify_over_generate".into()], "fraction"),
        Figure::UnderLoad => (
            vec!["ttft_under_load".into(), "stall_under_load".into()],
            "s",
        ),
    };
    // Waiting for quiet must not make the whole run long.
    let mut patience = Duration::from_secs(6);
    let mut samples = [Vec::new(), Vec::new()];
    let rounds = figure.rounds().min(plan.rounds);
    for round in 0..rounds {
        for turn in 0..2 {
            let which = (round + turn) % 2;
            wait_for_quiet(&mut patience);
            let side = if which == 0 { &mut *ours } else { &mut *theirs };
            samples[which].push(once(figure, side, plan, round)?);
        }
    }
    let by_processor = |side: usize| -> Option<f64> {
        let values: Option<Vec<f64>> = samples[side].iter().map(|s| s.by_processor).collect();
        values.map(median)
    };
    let by_processor = by_processor(0).zip(by_processor(1)).map(|(a, b)| a / b);
    let disturbed = samples.iter().flatten().filter(|s| s.disturbed).count();
    for side in &mut samples {
        // Disturbed ones count only where there is nothing better.
        if side.iter().filter(|s| !s.disturbed).count() >= 2 {
            side.retain(|s| !s.disturbed);
        }
    }
    Ok(names
        .into_iter()
        .enumerate()
        .map(|(i, figure_name)| {
            let values = |side: usize| samples[side].iter().map(|s| s.values[i]);
            let spread = |side: usize| {
                (
                    values(side).fold(f64::INFINITY, f64::min),
                    values(side).fold(0.0, f64::max),
                )
            };
            let middle = |side: usize| median(values(side).collect());
            Row {
                rounds,
                disturbed,
                spread: [spread(0), spread(1)],
                by_processor,
                ..Row::new(figure_name, middle(0), middle(1), unit)
            }
        })
        .collect())
}

impl Row {
    pub fn figure(&self) -> &str {
        &self.figure
    }

    pub fn ours(&self) -> f64 {
        self.ours
    }

    fn new(figure: String, ours: f64, llama_cpp: f64, unit: &'static str) -> Self {
        Self {
            figure,
            ours: rounded(ours),
            llama_cpp: rounded(llama_cpp),
            ratio: rounded(ours / llama_cpp),
            unit,
            rounds: 1,
            disturbed: 0,
            spread: [(ours, ours), (llama_cpp, llama_cpp)],
            by_processor: None,
        }
    }
}

/// Memory of the processes as they are now and were at most.
pub fn memory(ours: &Side, theirs: &Side) -> anyhow::Result<[Row; 2]> {
    let ((peak, pss), (their_peak, their_pss)) = (ours.memory()?, theirs.memory()?);
    let row = |name: &str, ours, theirs| Row::new(name.into(), ours, theirs, "MB");
    Ok([
        row("memory_peak_rss", peak, their_peak),
        row("memory_pss", pss, their_pss),
    ])
}

/// Pages of the file, caches of the processor, buffers.
pub fn warm_up(side: &mut Side, plan: &Plan) -> anyhow::Result<()> {
    side.ask(&Command::Generate {
        prompt: plan.prompt(7, 64),
        n: 8,
    })?;
    Ok(())
}

/// llama.cpp in the settings that are fastest here, of flash attention on or off and threads
/// that wait by spinning or asleep.
pub fn best_llama_cpp(
    python: &Path,
    model: &Path,
    threads: usize,
    plan: &Plan,
) -> anyhow::Result<Side> {
    let mut best: Option<(f64, Side)> = None;
    for spin in [false, true] {
        // Threads that spin wait for ever where other programs have the processors.
        if spin && !wait_for_quiet(&mut Duration::from_secs(5)) {
            println!("llama.cpp with idle threads spinning: not tried, for the machine is busy");
            continue;
        }
        for flash in [false, true] {
            let mut side = Side::llama_cpp(python, model, threads, flash, spin)?;
            warm_up(&mut side, plan)?;
            let prefill = side.ask(&Command::Prefill {
                prompt: plan.prompt(11, 512),
            })?;
            let decode = side.ask(&Command::Decode {
                prompt: plan.prompt(11, 512),
                n: 24,
            })?;
            let (prefill, decode) = (rate(&prefill.answer), rate(&decode.answer));
            let words = |on, yes, no| if on { yes } else { no };
            println!(
                "llama.cpp with flash attention {}, idle threads {}: prefill_512 {prefill:.0}, decode_512 {decode:.1} tok/s",
                words(flash, "on", "off"),
                words(spin, "spinning", "asleep"),
            );
            let score = prefill * decode;
            if best.as_ref().is_none_or(|(b, _)| score > *b) {
                best = Some((score, side));
            }
        }
    }
    best.map(|(_, side)| side)
        .ok_or_else(|| anyhow::anyhow!("no settings were tried"))
}

pub fn table(rows: &[Row]) -> String {
    let mut out = String::from(
        "| figure | ours | (least–most) | llama.cpp | (least–most) | ratio | by processor time | unit | rounds |\n|---|--:|--:|--:|--:|--:|--:|---|--:|\n",
    );
    for r in rows {
        let spread =
            |(least, most): (f64, f64)| format!("{:.4}–{:.4}", rounded(least), rounded(most));
        let mark = match r.disturbed {
            0 => String::new(),
            n => format!(" ({n} of {} disturbed)", 2 * r.rounds),
        };
        // A String takes whatever is written.
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {}{mark} |",
            r.figure,
            r.ours,
            spread(r.spread[0]),
            r.llama_cpp,
            spread(r.spread[1]),
            r.ratio,
            r.by_processor.map_or("–".into(), |x| format!("{:.3}", x)),
            r.unit,
            r.rounds,
        );
    }
    out
}
