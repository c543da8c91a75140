//! What an audit of layers costs beside a whole pass, and how often it finds what is false.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mythic_engine::residuals::{self, Residuals};
use mythic_engine::{Engine, EngineConfig, EngineError, Lab, LayerInput};
use mythic_interface::hash::{domain, sha256};
use mythic_verifier::audit::{Draw, Size};
use serde::Serialize;

use super::cheats::Answer;
use super::prompts::{self, Job};
use super::run::engine_error;
use super::{CalibrateError, Settings, lab};

/// Memory for residual rows.
const ROOM: u64 = 256 << 20;
/// Answers of which cheats are made: all layers of each are computed.
const CHEATED: usize = 3;
/// Draws for each thing that is false.
const DRAWS: u64 = 1_000;
/// How many bits the cheat of coarse keys and values keeps.
const KV_BITS: u8 = 4;

/// What was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Measured {
    pub model: String,
    pub device: String,
    pub threads: usize,
    pub layers: usize,
    /// Layers that an audit draws.
    pub drawn: usize,
    /// Bytes that a node keeps for a position.
    pub position_bytes: usize,
    pub answers: usize,
    /// Positions that were read for all answers.
    pub positions: usize,
    /// Bytes of rows that all audits ask for.
    pub audit_bytes: usize,
    /// By the clock, for all answers, one at a time.
    pub generation_seconds: f64,
    pub pass_seconds: f64,
    pub audit_seconds: f64,
    /// The node's hashes of all layers.
    pub hash_seconds: f64,
    /// Honest answers whose audit did not pass: must be 0.
    pub honest_failed: usize,
    pub cheats: Vec<Cheat>,
}

/// Something false, and how many of so many draws find it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cheat {
    pub what: String,
    pub found: u64,
    pub draws: u64,
}

impl Measured {
    /// As a section of a page.
    pub fn markdown(&self) -> String {
        let mut out = format!(
            "{} on {}, {} threads: {} answers of {} positions, {} of {} layers drawn\n\n| figure | value |\n|---|--:|\n",
            self.model,
            self.device,
            self.threads,
            self.answers,
            self.positions,
            self.drawn,
            self.layers
        );
        for (what, seconds) in [
            ("generation, one at a time, s", self.generation_seconds),
            ("whole pass, s", self.pass_seconds),
            ("audit, s", self.audit_seconds),
            ("the node's hashes, s", self.hash_seconds),
            ("audit ÷ whole pass", self.audit_seconds / self.pass_seconds),
        ] {
            let _ = writeln!(out, "| {what} | {seconds:.3} |");
        }
        for (what, number) in [
            ("bytes kept for a position", self.position_bytes),
            ("bytes asked for", self.audit_bytes),
            ("honest answers that did not pass", self.honest_failed),
        ] {
            let _ = writeln!(out, "| {what} | {number} |");
        }
        out.push_str("\n| what is false | found | draws |\n|---|--:|--:|\n");
        for cheat in &self.cheats {
            let Cheat { what, found, draws } = cheat;
            let _ = writeln!(out, "| {what} | {found} | {draws} |");
        }
        out
    }
}

/// An answer with what its maker keeps of it.
struct Kept {
    prompt: Vec<u32>,
    answer: Answer,
    rows: Arc<Residuals>,
}

impl Kept {
    /// Waits until an answer's rows are kept, which they are soon after its last step.
    async fn of(maker: &Engine, job: &Job, answer: Answer) -> Result<Self, CalibrateError> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(rows) = maker.residuals(&job.prompt_ids, &answer.ids) {
                return Ok(Self {
                    prompt: job.prompt_ids.clone(),
                    answer,
                    rows,
                });
            }
            if Instant::now() > deadline {
                return Err(CalibrateError::NoRows(ROOM));
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn size(&self) -> Size {
        let shape = self.rows.shape();
        Size {
            layers: shape.layers,
            width: shape.width,
            positions: self.rows.positions(),
        }
    }

    /// What went into a layer, as a checker has it.
    fn input(&self, layer: usize) -> LayerInput {
        match layer.checked_sub(1) {
            Some(before) => LayerInput::Rows(self.given(before)),
            None => {
                let known = self.answer.ids.len().saturating_sub(1);
                LayerInput::Tokens([&self.prompt[..], &self.answer.ids[..known]].concat())
            }
        }
    }

    /// What a layer gave. Rows that can't be read are none, and differ from all.
    fn given(&self, layer: usize) -> Vec<f32> {
        let Size {
            positions, width, ..
        } = self.size();
        let bytes = self.rows.rows(layer).unwrap_or_default();
        residuals::read(&bytes, positions, width).unwrap_or_default()
    }

    /// Whether a layer gives what its maker says.
    async fn holds(&self, checker: &Engine, layer: usize) -> Result<bool, EngineError> {
        let width = self.size().width;
        let out = checker.layer(layer, self.input(layer)).await?;
        Ok(residuals::digest(layer, width, &out) == self.rows.digests()[layer])
    }

    /// Whether all that is drawn is as it should be: a checker's work, but for what the network takes.
    async fn passes(&self, checker: &Engine, draw: &Draw) -> Result<bool, EngineError> {
        let Size { layers, width, .. } = self.size();
        let first = self.prompt.len().saturating_sub(1);
        let last = self.given(layers.saturating_sub(1));
        let mut good =
            residuals::digest(layers - 1, width, &last) == self.rows.digests()[layers - 1];
        let rows = draw.positions.iter().flat_map(|position| {
            let at = (first + position) * width;
            let row = last.get(at..at + width).unwrap_or_default();
            row.iter().copied()
        });
        let found = checker.outputs(rows.collect()).await?;
        let claimed = draw
            .positions
            .iter()
            .map(|position| self.answer.leaves[*position]);
        good &= found.iter().copied().eq(claimed);
        for layer in &draw.layers {
            if let LayerInput::Rows(rows) = self.input(*layer) {
                let digest = residuals::digest(layer - 1, width, &rows);
                good &= digest == self.rows.digests()[layer - 1];
            }
            good &= self.holds(checker, *layer).await?;
        }
        Ok(good)
    }

    /// Layers that don't give what their maker says.
    async fn false_layers(&self, checker: &Engine) -> Result<BTreeSet<usize>, EngineError> {
        let mut found = BTreeSet::new();
        for layer in 0..self.size().layers {
            if !self.holds(checker, layer).await? {
                found.insert(layer);
            }
        }
        Ok(found)
    }

    /// Whether a maker that leaves out this layer, and hands on what went into it, says what is false there.
    async fn tells_skipped(&self, checker: &Engine, layer: usize) -> Result<bool, EngineError> {
        let width = self.size().width;
        let LayerInput::Rows(before) = self.input(layer) else {
            return Ok(false);
        };
        let skipped = residuals::digest(layer, width, &before);
        let out = checker.layer(layer, LayerInput::Rows(before)).await?;
        Ok(skipped != residuals::digest(layer, width, &out))
    }
}

fn draw(number: u64, size: &Size, part: f64, output: usize) -> Draw {
    let random = sha256(&[domain::AUDIT, &number.to_le_bytes()]);
    Draw::new(&random, size, part, output)
}

/// How many draws meet one of these layers, or this position.
fn found(kept: &Kept, part: f64, layers: &BTreeSet<usize>, position: Option<usize>) -> u64 {
    let (size, output) = (kept.size(), kept.answer.ids.len());
    let meets = |number: &u64| {
        let draw = draw(*number, &size, part, output);
        let of_position = position.is_some_and(|at| draw.positions.contains(&at));
        of_position || draw.layers.iter().any(|layer| layers.contains(layer))
    };
    (0..DRAWS).filter(meets).count() as u64
}

/// Measures on the prompts of a calibration; an audit draws `part` of the layers.
pub async fn measure(
    model: &Path,
    settings: &Settings,
    part: f64,
) -> Result<Measured, CalibrateError> {
    if !(part > 0.0 && part <= 1.0) {
        return Err(CalibrateError::Part(part));
    }
    let alone = EngineConfig {
        max_sequences: 1,
        residual_bytes: ROOM,
        // One answer at a time is looked at.
        residual_seconds: 1,
        ..lab::config(settings.threads)
    };
    let coarse = EngineConfig {
        lab: Lab {
            kv_bits: Some(KV_BITS),
        },
        ..alone.clone()
    };
    let maker = Engine::load(model, alone)?;
    let coarse = Engine::load(model, coarse)?;
    let checker = Engine::load(model, lab::config(settings.threads))?;
    let split = prompts::split(checker.formatter(), settings.prompts)?;
    let stats = checker.stats();
    let mut all = Measured {
        model: stats.model,
        device: stats.device,
        threads: stats.threads,
        ..Measured::default()
    };
    let (mut skipped, mut coarsened, mut altered) = (Vec::new(), Vec::new(), Vec::new());
    let jobs = split.calibration.iter().chain(&split.test);
    for (number, job) in jobs.enumerate() {
        let kept = costs(&mut all, (&maker, &checker), job, (settings.tokens, part)).await?;
        if number >= CHEATED {
            continue;
        }
        let failed = |error| engine_error("making cheats")(error);
        for layer in 1..all.layers {
            let tells = kept.tells_skipped(&checker, layer).await;
            let tells = tells.map_err(failed)?;
            let layers: BTreeSet<usize> = tells.then_some(layer).into_iter().collect();
            skipped.push(found(&kept, part, &layers, None));
        }
        altered.push(found(&kept, part, &BTreeSet::new(), Some(0)));
        let written = lab::write(&coarse, &job.prompt_ids, job.sampling, settings.tokens).await;
        let kept = Kept::of(&coarse, job, written.map_err(failed)?.0).await?;
        let layers = kept.false_layers(&checker).await.map_err(failed)?;
        coarsened.push(found(&kept, part, &layers, None));
    }
    let coarse = format!("keys and values in {KV_BITS} bits");
    for (what, found) in [
        ("one layer left out", skipped),
        ("one position's logits altered", altered),
        (coarse.as_str(), coarsened),
    ] {
        all.cheats.push(Cheat {
            what: what.to_owned(),
            draws: DRAWS * found.len() as u64,
            found: found.iter().sum(),
        });
    }
    Ok(all)
}

/// Writes an honest answer, checks it in both ways, and counts what each takes.
async fn costs(
    all: &mut Measured,
    (maker, checker): (&Engine, &Engine),
    job: &Job,
    (tokens, part): (u32, f64),
) -> Result<Kept, CalibrateError> {
    let failed = |error| engine_error("measuring an audit")(error);
    let began = Instant::now();
    let written = lab::write(maker, &job.prompt_ids, job.sampling, tokens).await;
    all.generation_seconds += began.elapsed().as_secs_f64();
    let kept = Kept::of(maker, job, written.map_err(failed)?.0).await?;
    let began = Instant::now();
    std::hint::black_box(kept.rows.digests());
    all.hash_seconds += began.elapsed().as_secs_f64();
    let (size, output) = (kept.size(), kept.answer.ids.len());
    let draw = draw(all.answers as u64, &size, part, output);
    let began = Instant::now();
    let passes = kept.passes(checker, &draw).await.map_err(failed)?;
    all.audit_seconds += began.elapsed().as_secs_f64();
    let began = Instant::now();
    let checked = lab::check(checker, &job.prompt_ids, &kept.answer).await;
    checked.map_err(failed)?;
    all.pass_seconds += began.elapsed().as_secs_f64();
    all.honest_failed += usize::from(!passes);
    all.answers += 1;
    all.positions += size.positions;
    all.audit_bytes += size.all_bytes(part);
    (all.layers, all.drawn) = (size.layers, size.drawn(part));
    all.position_bytes = 4 * size.layers * size.width;
    Ok(kept)
}
