//! `mythic calibrate`: measures honest noise and cheats of a model file, and proposes its thresholds.

use crate::{
    context::variable,
    exit::{self, Exit},
    model::fetch_with_progress,
    note,
    progress::Step,
    say, terminal,
};
use anyhow::{Context, Result};
use clap::Args;
use mythic_engine::Choice;
use mythic_lab::calibrate::{
    self, Event, Settings,
    report::{self, JobRow},
};
use mythic_model::catalogue as model;
use std::path::{Path, PathBuf};

/// Measure how far honest answers of a model differ, and which cheats the rules find.
///
/// Cheating models are made from the file itself. Thresholds come from one part of the prompts and are frozen before
/// the other part tests them. A run that was broken off goes on where it was when it is started again.
#[derive(Args, Debug)]
pub struct Calibrate {
    /// GGUF file, or the name of a known model, which is fetched [default: the default model]
    model: Option<PathBuf>,
    /// Prompts of the committed set to use; two fifths calibrate, the rest test
    #[arg(long, value_name = "N")]
    prompts: Option<usize>,
    /// Most tokens of an answer
    #[arg(long, value_name = "N")]
    tokens: Option<u32>,
    /// Few prompts and short answers: a first look
    #[arg(long)]
    quick: bool,
    /// Measure instead what an audit of this part of the layers (above 0, up to 1) costs and finds
    #[arg(long, value_name = "PART", conflicts_with_all = ["python", "report"])]
    audit: Option<f64>,
    /// Threads of the engine; 0 = one for each core
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// A GPU that checks and writes the same answers again, without moving a bit: cuda, cuda:0,1
    #[arg(long, default_value_t = Choice::Cpu)]
    device: Choice,
    /// A Python that imports `xllamacpp`, to measure llama.cpp too [env: MYTHIC_PYTHON] [default: python3, python]
    #[arg(long, value_name = "FILE")]
    python: Option<PathBuf>,
    /// Write the tables to this Markdown file: between its calibration marks if it has them, else as its whole text; and
    /// beside it, ending in `.jobs.jsonl`, each answer that they count, as a line of JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    /// Directory of records and derived files, removed at the end [default: beside the models' cache]
    #[arg(long, value_name = "DIR")]
    work_dir: Option<PathBuf>,
}

impl Calibrate {
    fn settings(&self) -> Settings {
        let base = match self.quick {
            true => Settings::quick(),
            false => Settings::default(),
        };
        Settings {
            prompts: self.prompts.unwrap_or(base.prompts),
            tokens: self.tokens.unwrap_or(base.tokens),
            threads: self.threads,
            device: self.device.clone(),
            python: self
                .python
                .clone()
                .or_else(|| variable("MYTHIC_PYTHON").map(PathBuf::from)),
            directory: self.work_dir.clone(),
        }
    }
}

async fn file(given: Option<&Path>) -> Result<PathBuf> {
    match given {
        Some(path) if path.exists() => Ok(path.to_owned()),
        Some(name) if name.to_str().and_then(model::find).is_none() => Err(Exit::error(
            exit::NOT_FOUND,
            format!(
                "{} is neither a file nor a known model; known are: {}",
                name.display(),
                model::CATALOGUE.map(|entry| entry.name).join(", ")
            ),
        )),
        _ => fetch_with_progress().await,
    }
}

/// Puts the report into a Markdown file.
fn write_report(path: &Path, text: &str) -> Result<()> {
    let whole = match std::fs::read_to_string(path) {
        Ok(document) => report::insert(&document, text).unwrap_or_else(|| text.to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => text.to_owned(),
        Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
    };
    std::fs::write(path, whole).with_context(|| format!("writing {}", path.display()))
}

/// Puts what the tables count beside them, a line an answer.
fn write_jobs(path: &Path, jobs: &[JobRow]) -> Result<()> {
    let mut lines = String::new();
    for job in jobs {
        lines += &serde_json::to_string(job)?;
        lines.push('\n');
    }
    std::fs::write(path, lines).with_context(|| format!("writing {}", path.display()))
}

/// Measures audits of layers.
async fn audit(args: &Calibrate, path: &Path, part: f64) -> Result<()> {
    let step = Step::new("Audits of layers");
    let found = calibrate::audit::measure(path, &args.settings(), part).await?;
    step.done();
    match args.json {
        true => terminal::json(&found)?,
        false => say!("{}", found.markdown()),
    }
    match found.honest_failed {
        0 => Ok(()),
        count => Err(Exit::error(
            exit::CHECK_FAILED,
            format!("{count} honest answers did not pass their audit"),
        )),
    }
}

/// Runs `mythic calibrate`.
pub async fn run(args: Calibrate) -> Result<()> {
    let path = file(args.model.as_deref()).await?;
    if let Some(part) = args.audit {
        return audit(&args, &path, part).await;
    }
    let settings = args.settings();
    let mut step: Option<Step> = None;
    let mut tell = |event| match event {
        Event::Estimate { seconds } => {
            let minutes = (seconds / 60.0).ceil().max(1.0);
            note!(
                "  This takes about {minutes} min here; if it is broken off, start it again and it goes on."
            );
        }
        Event::Began { what, kept, .. } => {
            if let Some(step) = step.take() {
                step.done();
            }
            let kept = if kept > 0 {
                format!(" ({kept} kept)")
            } else {
                String::new()
            };
            step = Some(Step::new(format!("{what}{kept}")));
        }
        Event::Done { done, of } => {
            if let Some(step) = &step {
                step.note(&format!("{done}/{of}"));
            }
        }
        Event::Skipped(skipped) => note!("  {} left out: {}", skipped.what, skipped.why),
        Event::Frozen(frozen) => {
            if let Some(step) = step.take() {
                step.done();
            }
            note!(
                "  Thresholds frozen from {} honest jobs: τ₁ {} ppm, τ₃ {} ppm",
                frozen.jobs,
                frozen.tau1_ppm,
                frozen.tau3_ppm
            );
        }
    };
    let outcome = calibrate::calibrate(&path, &settings, &mut tell).await;
    if let Some(step) = step.take() {
        step.done();
    }
    let found = outcome?;
    let text = found.markdown();
    if let Some(path) = &args.report {
        write_report(path, &text)?;
        write_jobs(&path.with_extension("jobs.jsonl"), &found.jobs)?;
    }
    if args.json {
        terminal::json(&found)?;
    } else {
        say!("{text}");
    }
    if found.holds() {
        Ok(())
    } else {
        Err(Exit::error(
            exit::CHECK_FAILED,
            "an honest run differed, or a cheat passed the exact rule: see the tables",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_goes_between_the_marks_of_a_document_or_makes_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("verification.md");
        write_report(&path, "one\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\n");
        let document = format!("# T\n{}\n{}\nafter\n", report::BEGIN, report::END);
        std::fs::write(&path, document).unwrap();
        write_report(&path, "two\n").unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(
            text.contains("-->\ntwo\n<!--") && text.ends_with("after\n"),
            "{text}"
        );
    }
}
