//! The figures: what each side is asked for one, how often, and the table of them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::others::{Other, Others};
use super::repeats::Repeats;
use super::side::{Answer, Side, wait_for_quiet};
use super::{Command, STREAMS_MOST};

/// The name of our side in results.
const OURS: &str = "ours";

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Figure {
    Prefill(usize),
    Decode(usize),
    Streams(usize),
    /// Of this engine alone: a check against the work of generating, where so many streams run.
    Verify(usize),
    UnderLoad,
    /// Of this engine alone: an answer that repeats what came before, read ahead and not.
    Repeating(Repeats),
}

/// What one engine gave.
#[derive(Clone, Copy, Serialize)]
pub struct Value {
    /// A second of the clock.
    wall: f64,
    /// A second of a processor, where that means something.
    #[serde(skip_serializing_if = "Option::is_none")]
    processor: Option<f64>,
    /// Smallest and largest of `wall`'s samples.
    least: f64,
    most: f64,
}

/// How often we are better than the best of the others: more is better, whatever the figure.
#[derive(Clone, Copy, Serialize)]
struct Ratio {
    wall: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    processor: Option<f64>,
}

/// A line of the result.
#[derive(Serialize)]
pub struct Row {
    model: String,
    figure: String,
    unit: &'static str,
    engines: BTreeMap<&'static str, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio_to_best: Option<Ratio>,
    rounds: usize,
    disturbed: usize,
}

/// An engine that takes part.
pub struct Contender {
    /// None is ours.
    pub other: Option<Other>,
    pub side: Side,
}

impl Contender {
    pub fn name(&self) -> &'static str {
        self.other.map_or(OURS, Other::name)
    }
}

impl Figure {
    /// Of a small model all; of a large one those that don't take hours.
    pub fn all(large: bool) -> Vec<Self> {
        let mut all = vec![Self::Prefill(512), Self::Decode(0), Self::Decode(512)];
        if !large {
            all.insert(0, Self::Prefill(128));
            all.push(Self::Decode(2_048));
        }
        all.extend([1, 4, STREAMS_MOST].map(Self::Streams));
        all.extend([1, 4, STREAMS_MOST].map(Self::Verify));
        all.push(Self::UnderLoad);
        // Last: a second engine is loaded for them.
        all.extend(Repeats::ALL.map(Self::Repeating));
        all
    }

    fn rounds(self) -> usize {
        match self {
            Self::Decode(2_048) | Self::Streams(STREAMS_MOST) => 3,
            Self::Verify(_) | Self::UnderLoad | Self::Repeating(_) => 3,
            _ => 5,
        }
    }

    fn asks(self, contender: &Contender) -> bool {
        match self {
            Self::Verify(_) | Self::Repeating(_) => contender.other.is_none(),
            Self::UnderLoad => contender.other.is_none_or(Other::serves),
            _ => true,
        }
    }

    /// Whether less is better.
    fn is_wait(self) -> bool {
        self == Self::UnderLoad
    }
}

/// Where prompts come from: one text, from another place each time, so that no cache of prompts
/// helps anyone.
pub struct Plan {
    pub model: String,
    ids: Vec<u32>,
    /// The prompts of [`Repeats::ALL`].
    repeating: Vec<Vec<u32>>,
    /// At most so many a figure.
    rounds: usize,
    /// Generated tokens of most figures.
    decoded: u32,
}

impl Plan {
    pub fn new(
        model: String,
        (ids, repeating): (Vec<u32>, Vec<Vec<u32>>),
        rounds: usize,
        large: bool,
    ) -> Self {
        Self {
            model,
            ids,
            repeating,
            rounds: rounds.max(1),
            decoded: if large { 32 } else { 64 },
        }
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

/// What one side gave in one round: by the names of the figures, a second of the clock and of a
/// processor.
struct Sample {
    values: Vec<(f64, Option<f64>)>,
    disturbed: bool,
}

fn rates(answer: &Answer) -> (f64, Option<f64>) {
    let tokens = answer.tokens as f64;
    (tokens / answer.seconds, Some(tokens / answer.processor))
}

fn once(figure: Figure, side: &mut Side, plan: &Plan, round: usize) -> anyhow::Result<Sample> {
    let prompts = |place: usize, n: usize| (0..n).map(|i| plan.prompt(place + i, 32)).collect();
    let command = match figure {
        Figure::Prefill(n) => Command::Prefill {
            prompt: plan.prompt(n + round, n),
        },
        // The same each time: its depth is read once and used again by who can.
        Figure::Decode(depth) => Command::Decode {
            prompt: plan.prompt(depth / 64, depth.max(1)),
            n: plan.decoded,
        },
        Figure::Streams(n) => Command::Streams {
            prompts: prompts(40 * n + 16 * round, n),
            n: plan.decoded,
        },
        Figure::UnderLoad => Command::UnderLoad {
            prompts: prompts(1_200 + 8 * round, 4),
            n: 2 * plan.decoded,
            long: plan.prompt(1_204 + 8 * round, 1_024),
            after: 8,
        },
        Figure::Verify(n) => return verify(n, side, plan, round),
        Figure::Repeating(of) => return repeat(of, side, plan, round),
    };
    let sample = side.ask(&command)?;
    let answer = sample.answer;
    let values = match figure {
        Figure::UnderLoad => vec![(answer.seconds, None), (answer.stall, None)],
        _ => vec![rates(&answer)],
    };
    Ok(Sample {
        values,
        disturbed: sample.disturbed,
    })
}

/// One pass over an answer that is known, over what each of `n` answers costs that are generated
/// together: prompts and answers of 128 tokens.
fn verify(n: usize, side: &mut Side, plan: &Plan, round: usize) -> anyhow::Result<Sample> {
    let place = 900 + 40 * n + 20 * round;
    let generate = Command::Streams {
        prompts: (0..n).map(|i| plan.prompt(place + i, 128)).collect(),
        n: 128,
    };
    let generated = side.ask(&generate)?;
    // Another answer than those that were just generated and may be in a cache.
    let verify = Command::Verify {
        prompt: plan.prompt(place + n + 1, 128),
        output: plan.prompt(place + 300, 128),
    };
    let verified = side.ask(&verify)?;
    let (a, b) = (&verified.answer, &generated.answer);
    // Of a token, for an answer may end before its 128.
    let over =
        |verified: f64, generated: f64| verified / a.tokens as f64 / (generated / b.tokens as f64);
    Ok(Sample {
        values: vec![(
            over(a.seconds, b.seconds),
            Some(over(a.processor, b.processor)),
        )],
        disturbed: verified.disturbed || generated.disturbed,
    })
}

/// The same answer read ahead and not. Its prompt is another in each round, for what is found in the cache pays for nothing that is read ahead.
fn repeat(of: Repeats, side: &mut Side, plan: &Plan, round: usize) -> anyhow::Result<Sample> {
    let mut prompt = plan.prompt(3_000 + round, 4);
    prompt.extend(&plan.repeating[of as usize]);
    let mut ask = |speculation| {
        side.ask(&Command::Repeating {
            prompt: prompt.clone(),
            n: 2 * plan.decoded,
            speculation,
        })
    };
    let (ahead, plain) = (ask(true)?, ask(false)?);
    anyhow::ensure!(
        ahead.answer.ids == plain.answer.ids,
        "an answer that was read ahead is another"
    );
    Ok(Sample {
        values: [&ahead, &plain].map(|s| rates(&s.answer)).to_vec(),
        disturbed: ahead.disturbed || plain.disturbed,
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

/// Of one engine's samples the value number `which`.
fn value(samples: &[Sample], which: usize) -> Value {
    // Disturbed ones count on the clock only where there is nothing better.
    let quiet: Vec<&Sample> = samples.iter().filter(|s| !s.disturbed).collect();
    let counted = match quiet.len() {
        0 | 1 => samples.iter().collect(),
        _ => quiet,
    };
    let walls: Vec<f64> = counted.iter().map(|s| s.values[which].0).collect();
    let processors: Option<Vec<f64>> = samples.iter().map(|s| s.values[which].1).collect();
    Value {
        least: rounded(walls.iter().copied().fold(f64::INFINITY, f64::min)),
        most: rounded(walls.iter().copied().fold(0.0, f64::max)),
        wall: rounded(median(walls)),
        processor: processors.map(|values| rounded(median(values))),
    }
}

/// The engines in turns, each first in one round after another.
pub fn measure(
    figure: Figure,
    contenders: &mut [Contender],
    plan: &Plan,
) -> anyhow::Result<Vec<Row>> {
    let (names, unit): (Vec<String>, _) = match figure {
        Figure::Prefill(n) => (vec![format!("prefill_{n}")], "tok/s"),
        Figure::Decode(n) => (vec![format!("decode_{n}")], "tok/s"),
        Figure::Streams(n) => (vec![format!("streams_{n}")], "tok/s"),
        Figure::Verify(n) => (vec![format!("verify_over_generate_{n}")], "fraction"),
        Figure::UnderLoad => (
            vec!["ttft_under_load".into(), "stall_under_load".into()],
            "s",
        ),
        Figure::Repeating(of) => {
            let name = format!("decode_repeating_{}", of.name());
            (vec![name.clone(), format!("{name}_plain")], "tok/s")
        }
    };
    // Waiting for quiet must not make the whole run long.
    let mut patience = Duration::from_secs(6);
    let mut samples: BTreeMap<&'static str, Vec<Sample>> = BTreeMap::new();
    let rounds = figure.rounds().min(plan.rounds);
    for round in 0..rounds {
        for turn in 0..contenders.len() {
            let which = (round + turn) % contenders.len();
            let contender = &mut contenders[which];
            if figure.asks(contender) {
                wait_for_quiet(&mut patience);
                let sample = once(figure, &mut contender.side, plan, round)?;
                samples.entry(contender.name()).or_default().push(sample);
            }
        }
    }
    let disturbed = samples.values().flatten().filter(|s| s.disturbed).count();
    Ok(names
        .into_iter()
        .enumerate()
        .map(|(which, name)| Row {
            rounds,
            disturbed,
            ..Row::new(
                plan,
                (name, unit),
                samples
                    .iter()
                    .map(|(engine, samples)| (*engine, value(samples, which)))
                    .collect(),
                figure.is_wait(),
            )
        })
        .collect())
}

impl Row {
    pub fn figure(&self) -> &str {
        &self.figure
    }

    /// What we gave a second of the clock.
    pub fn ours(&self) -> Option<f64> {
        self.engines.get(OURS).map(|value| value.wall)
    }

    fn new(
        plan: &Plan,
        (figure, unit): (String, &'static str),
        engines: BTreeMap<&'static str, Value>,
        less_is_better: bool,
    ) -> Self {
        let best = |of: fn(&Value) -> Option<f64>| -> Option<f64> {
            let ours = of(engines.get(OURS)?)?;
            let others = engines.iter().filter(|(name, _)| **name != OURS);
            let others = others.filter_map(|(_, value)| of(value));
            Some(rounded(match less_is_better {
                true => others.reduce(f64::min)? / ours,
                false => ours / others.reduce(f64::max)?,
            }))
        };
        let ratio_to_best = best(|value| Some(value.wall)).map(|wall| Ratio {
            wall,
            processor: best(|value| value.processor),
        });
        Self {
            model: plan.model.clone(),
            figure,
            unit,
            ratio_to_best,
            engines,
            rounds: 1,
            disturbed: 0,
        }
    }
}

/// Memory of the processes as they are now and were at most.
pub fn memory(contenders: &[Contender], plan: &Plan) -> anyhow::Result<[Row; 2]> {
    let (mut peak, mut now) = (BTreeMap::new(), BTreeMap::new());
    for contender in contenders {
        let (most, pss) = contender.side.memory()?;
        for (values, mb) in [(&mut peak, most), (&mut now, pss)] {
            let mb = rounded(mb);
            let value = Value {
                wall: mb,
                processor: None,
                least: mb,
                most: mb,
            };
            values.insert(contender.name(), value);
        }
    }
    let row = |name: &str, values| Row::new(plan, (name.into(), "MB"), values, true);
    Ok([row("memory_peak_rss", peak), row("memory_pss", now)])
}

/// Pages of the file, caches of the processor, buffers.
pub fn warm_up(side: &mut Side, plan: &Plan) -> anyhow::Result<()> {
    side.ask(&Command::Generate {
        prompt: plan.prompt(7, 64),
        n: 8,
    })?;
    Ok(())
}

/// Another engine in the setting that is fastest here, of flash attention on or off.
pub fn best_of(
    others: &Others,
    other: Other,
    (model, threads): (&Path, usize),
    plan: &Plan,
) -> anyhow::Result<Side> {
    let mut best: Option<(f64, Side)> = None;
    for flash in [false, true] {
        let words = if flash { "on" } else { "off" };
        let settings = format!(
            "flash attention {words}, f16 keys and values, batch as long as the prompt, n_ubatch 512"
        );
        let mut side = Side::start(others.command(other, model, threads), settings)?;
        side.ask(&Command::Settings {
            flash: flash.into(),
        })?;
        warm_up(&mut side, plan)?;
        let prefill = side.ask(&Command::Prefill {
            prompt: plan.prompt(11, 512),
        })?;
        let decode = side.ask(&Command::Decode {
            prompt: plan.prompt(11, 512),
            n: 16,
        })?;
        // Processor seconds: what others do meanwhile counts less.
        let rate = |answer: &Answer| answer.tokens as f64 / answer.processor;
        let (prefill, decode) = (rate(&prefill.answer), rate(&decode.answer));
        println!(
            "{} with flash attention {words}: prefill_512 {prefill:.0}, decode_512 {decode:.1} tok a processor second",
            other.name()
        );
        let score = prefill * decode;
        if best.as_ref().is_none_or(|(b, _)| score > *b) {
            best = Some((score, side));
        }
    }
    best.map(|(_, side)| side)
        .ok_or_else(|| anyhow::anyhow!("no settings were tried"))
}

pub fn table(rows: &[Row], names: &[&'static str]) -> String {
    let mut out = format!(
        "| figure | {} | ratio to the best | unit | rounds |\n|---|{}--:|---|--:|\n",
        names.join(" | "),
        "--:|".repeat(names.len()),
    );
    let both = |wall: f64, processor: Option<f64>| match processor {
        Some(processor) => format!("{wall} / {processor}"),
        None => wall.to_string(),
    };
    for row in rows {
        let cells: Vec<String> = names
            .iter()
            .map(|name| match row.engines.get(name) {
                Some(value) => both(value.wall, value.processor),
                None => "–".into(),
            })
            .collect();
        let ratio = row
            .ratio_to_best
            .map_or("–".into(), |ratio| both(ratio.wall, ratio.processor));
        let mark = match row.disturbed {
            0 => String::new(),
            n => format!(" ({n} disturbed)"),
        };
        // A String takes whatever is written.
        let _ = writeln!(
            out,
            "| {} | {} | {ratio} | {} | {}{mark} |",
            row.figure,
            cells.join(" | "),
            row.unit,
            row.rounds
        );
    }
    out
}
