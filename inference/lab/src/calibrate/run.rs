//! One calibration from the first prompt to the report.

use std::path::{Path, PathBuf};
use std::time::Instant;

use futures::{StreamExt, stream};
use mythic_interface::hash::{domain, sha256};
use mythic_interface::sampler::Sampling;
use mythic_model::gguf::TensorFormat;

use super::cheats::{self, Answer, Submission, Writer, transcript};
use super::files::{self, Derive};
use super::journal::{Entry, Journal};
use super::lab::{self, WIDTH};
use super::llama_cpp;
use super::prompts::{Job, Split, prompts, split};
use super::report::{Report, Skipped};
use super::thresholds::freeze;
use super::transcript::Transcript;
use super::{CalibrateError, Event, Settings};
use mythic_engine::Engine;
use mythic_model::catalogue::{cache_dir, file_sha256};

/// A fifth of a model's layers is what a cheater leaves out.
const LAYERS_LEFT_OUT: u32 = 5;

pub(super) type Result<T> = std::result::Result<T, CalibrateError>;

/// Measures a model file. Records lie in a directory of their own until the report is there: a run
/// that was broken off goes on from them.
pub async fn calibrate(
    model: &Path,
    settings: &Settings,
    tell: &mut (dyn FnMut(Event) + Send),
) -> Result<Report> {
    if settings.prompts < 2 {
        return Err(CalibrateError::TooFew(settings.prompts));
    }
    if settings.tokens == 0 {
        return Err(CalibrateError::NoTokens);
    }
    let began = Instant::now();
    let mut run = Run::start(model, settings, tell).await?;
    run.tell_estimate().await?;

    let foreign = [Writer::Unrounded, Writer::LlamaCpp];
    let calibration = run.split.calibration.clone();
    for writer in [Writer::Honest].into_iter().chain(foreign) {
        run.part(writer, &calibration).await?;
    }
    let frozen = freeze(&run.honest_transcripts(&calibration));
    (run.tell)(Event::Frozen(frozen));

    let test = run.split.test.clone();
    for writer in [Writer::Honest].into_iter().chain(foreign) {
        run.part(writer, &test).await?;
    }
    let identity = run.identity().await?;
    for writer in cheats::cheaters() {
        run.part(writer, &test).await?;
    }
    let report = run.report(frozen, identity, began);
    let directory = run.directory.clone();
    drop(run);
    std::fs::remove_dir_all(&directory).map_err(io(&directory))?;
    Ok(report)
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> CalibrateError {
    let path = path.to_owned();
    move |source| CalibrateError::Io { path, source }
}

pub(super) fn engine_error(
    what: impl Into<String>,
) -> impl FnOnce(mythic_engine::EngineError) -> CalibrateError {
    let what = what.into();
    move |source| CalibrateError::Engine { what, source }
}

pub(super) struct Run<'a> {
    pub(super) model: &'a Path,
    pub(super) sha256: [u8; 32],
    pub(super) settings: &'a Settings,
    /// Writes honest answers, and those of cheats that only ask it otherwise.
    pub(super) own: Engine,
    /// Another of the same: nothing that one computed serves the other.
    pub(super) checker: Engine,
    pub(super) split: Split,
    pub(super) directory: PathBuf,
    pub(super) journal: Journal,
    pub(super) skipped: Vec<Skipped>,
    pub(super) tell: &'a mut (dyn FnMut(Event) + Send),
}

/// How fast the engine reads and decodes, rows a second.
struct Speed {
    prefill: f64,
    decode: f64,
}

impl<'a> Run<'a> {
    async fn start(
        model: &'a Path,
        settings: &'a Settings,
        tell: &'a mut (dyn FnMut(Event) + Send),
    ) -> Result<Self> {
        let own = Engine::load(model, lab::config(settings.threads))?;
        let checker = Engine::load(model, lab::config(settings.threads))?;
        let split = split(own.formatter(), settings.prompts)?;
        let sha256 = file_sha256(model).map_err(io(model))?;
        let parent = match &settings.directory {
            Some(directory) => directory.clone(),
            None => cache_dir()?.with_file_name("calibrate"),
        };
        let directory = parent.join(key(&own, &split, settings, &sha256).await?);
        std::fs::create_dir_all(&directory).map_err(io(&directory))?;
        let path = directory.join("answers.jsonl");
        let journal = Journal::open(&path).map_err(io(&path))?;
        Ok(Self {
            model,
            sha256,
            settings,
            own,
            checker,
            split,
            directory,
            journal,
            skipped: Vec::new(),
            tell,
        })
    }

    fn skip(&mut self, what: &str, why: impl Into<String>) {
        let skipped = Skipped {
            what: what.to_owned(),
            why: why.into(),
        };
        // Both sets ask for it.
        if !self.skipped.iter().any(|s| s.what == skipped.what) {
            (self.tell)(Event::Skipped(skipped.clone()));
            self.skipped.push(skipped);
        }
    }

    async fn speed(&self) -> Result<Speed> {
        let failed = |e| engine_error("measuring the speed")(e);
        let jobs = &self.split.calibration;
        let Some(job) = jobs.first() else {
            return Err(CalibrateError::TooFew(0));
        };
        let began = Instant::now();
        let probe = probe(job);
        lab::check(&self.checker, &job.prompt_ids, &probe)
            .await
            .map_err(failed)?;
        let prefill =
            (job.prompt_ids.len() + probe.ids.len()) as f64 / began.elapsed().as_secs_f64();
        let began = Instant::now();
        let mut rows = 0;
        let mut answers = stream::iter(jobs.iter().cycle().take(WIDTH))
            .map(|job| lab::write(&self.own, &job.prompt_ids, job.sampling, 12))
            .buffer_unordered(WIDTH);
        while let Some(answer) = answers.next().await {
            rows += answer.map_err(failed)?.0.ids.len();
        }
        let read = jobs.iter().cycle().take(WIDTH).map(|j| j.prompt_ids.len());
        let reading = read.sum::<usize>() as f64 / prefill;
        let decoding = (began.elapsed().as_secs_f64() - reading).max(0.1);
        Ok(Speed {
            prefill,
            decode: rows as f64 / decoding,
        })
    }

    async fn tell_estimate(&mut self) -> Result<()> {
        let speed = self.speed().await?;
        let tokens = f64::from(self.settings.tokens);
        let cost = |writer: Writer, job: &Job| {
            let prompt = job.prompt_ids.len() as f64;
            let check = (prompt + tokens) / speed.prefill;
            match writer {
                _ if self.journal.get(&writer.name(), job.index).is_some() => 0.0,
                Writer::NoSystemPrompt if job.without_system.is_none() => 0.0,
                w if w.copies() => check,
                // Four bytes a weight instead of half a one.
                Writer::Unrounded => check + 3.0 * (prompt / speed.prefill + tokens / speed.decode),
                // It decodes one job after the other.
                Writer::LlamaCpp => check + 3.0 * tokens / speed.decode,
                _ => check + prompt / speed.prefill + tokens / speed.decode,
            }
        };
        let honest = [Writer::Honest, Writer::Unrounded, Writer::LlamaCpp];
        let both = self.split.calibration.iter().chain(&self.split.test);
        let jobs: f64 = both
            .flat_map(|job| honest.map(|w| cost(w, job)))
            .chain(
                cheats::cheaters()
                    .into_iter()
                    .flat_map(|w| self.split.test.iter().map(move |job| (w, job)))
                    .map(|(w, job)| cost(w, job)),
            )
            .sum();
        // Quantising is a pass over the weights on one core.
        let files = self.own.stats().weights_bytes as f64 / 3e7;
        (self.tell)(Event::Estimate {
            seconds: jobs * 1.2 + 10.0 * files,
        });
        Ok(())
    }

    /// Answers of `writer` to these jobs, checked by this engine, into the journal.
    async fn part(&mut self, writer: Writer, jobs: &[Job]) -> Result<()> {
        let name = writer.name();
        let jobs: Vec<&Job> = jobs
            .iter()
            .filter(|j| writer != Writer::NoSystemPrompt || j.without_system.is_some())
            .collect();
        let missing: Vec<&Job> = jobs
            .iter()
            .filter(|j| self.journal.get(&name, j.index).is_none())
            .copied()
            .collect();
        if jobs.is_empty() {
            self.skip(&name, "no job has a system prompt");
            return Ok(());
        }
        (self.tell)(Event::Began {
            what: name.clone(),
            jobs: jobs.len(),
            kept: jobs.len() - missing.len(),
        });
        if missing.is_empty() || self.skipped.iter().any(|s| s.what == name) {
            return Ok(());
        }
        if writer == Writer::LlamaCpp {
            return self.llama_cpp(&missing).await;
        }
        let engine = match self.engine_of(writer).await? {
            Ok(engine) => engine,
            Err(why) => {
                self.skip(&name, why);
                return Ok(());
            }
        };
        let checker = self.checker.clone();
        let max_tokens = self.settings.tokens;
        let entries: Vec<_> = missing
            .iter()
            .map(|job| {
                let ready = self.copied(writer, job);
                let (engine, checker) = (&engine, &checker);
                let writer_name = name.clone();
                async move {
                    let (answer, sums) = match ready {
                        Some(answer) => (answer, Vec::new()),
                        None => {
                            let (prompt, sampling) = asked(writer, job);
                            lab::write(engine, prompt, sampling, max_tokens).await?
                        }
                    };
                    let checked = lab::check(checker, &job.prompt_ids, &answer).await?;
                    Ok(Entry {
                        writer: writer_name,
                        job: job.index,
                        answer,
                        log_sum_exp_bits: sums.iter().map(|s| s.to_bits()).collect(),
                        checked,
                    })
                }
            })
            .collect();
        let mut entries = stream::iter(entries).buffer_unordered(WIDTH);
        let mut done = jobs.len() - missing.len();
        while let Some(entry) = entries.next().await {
            let entry = entry.map_err(engine_error(format!("running \"{name}\"")))?;
            self.journal.append(entry).map_err(io(&self.directory))?;
            done += 1;
            (self.tell)(Event::Done {
                done,
                of: jobs.len(),
            });
        }
        drop(entries);
        drop(engine);
        self.remove_file_of(writer)
    }

    /// What a writer makes of honest answers that are there; `None` if it runs a model.
    fn copied(&self, writer: Writer, job: &Job) -> Option<Answer> {
        let eos = self.own.formatter().eos_ids();
        let honest = |index: usize| {
            let entry = self.journal.get(&Writer::Honest.name(), index);
            entry.map(|e| e.answer.clone()).unwrap_or_default()
        };
        match writer {
            Writer::Splice(percent) => Some(cheats::splice(
                &honest(job.index),
                percent,
                &job.sampling.seed,
                eos,
            )),
            Writer::LastToken => Some(cheats::last_token(&honest(job.index), eos)),
            Writer::Random => {
                let vocabulary = self.own.formatter().vocab_size();
                let len = honest(job.index).ids.len();
                Some(cheats::random(len, vocabulary, &job.sampling))
            }
            Writer::Copied => {
                let test = &self.split.test;
                let at = test.iter().position(|j| j.index == job.index)?;
                let other = test.get((at + 1) % test.len())?;
                Some(honest(other.index))
            }
            _ => None,
        }
    }

    /// The engine that a writer runs, or why there is none.
    async fn engine_of(&self, writer: Writer) -> Result<std::result::Result<Engine, String>> {
        let mut config = lab::config(self.settings.threads);
        let how = match writer {
            Writer::Unrounded => Derive::Requantise(TensorFormat::F32),
            Writer::Requantised(dtype) => Derive::Requantise(dtype),
            Writer::FewerLayers => match files::layers(self.model) {
                Some(n) if n > 1 => Derive::Layers(n - (n / LAYERS_LEFT_OUT).max(1)),
                _ => return Ok(Err("the model has one layer".into())),
            },
            Writer::KvBits(bits) => {
                config.lab.kv_bits = Some(bits);
                return Ok(Engine::load(self.model, config).map_err(|e| e.to_string()));
            }
            _ => return Ok(Ok(self.own.clone())),
        };
        let directory = self.directory_of(writer);
        std::fs::create_dir_all(&directory).map_err(io(&directory))?;
        let goal = directory.join("model.gguf");
        let source = self.model.to_owned();
        let made = tokio::task::spawn_blocking(move || {
            let made = files::derive(&source, &goal, how).map_err(|e| e.to_string())?;
            if made.changed == 0 {
                return Err("the file's weights are of this format already".into());
            }
            Engine::load(&goal, config).map_err(|e| e.to_string())
        });
        Ok(made
            .await
            .unwrap_or_else(|e| Err(format!("making the file failed: {e}"))))
    }

    /// A file of its own for each writer, with whatever the engine puts beside it.
    fn directory_of(&self, writer: Writer) -> PathBuf {
        self.directory.join(writer.name().replace([' ', ','], "-"))
    }

    fn remove_file_of(&self, writer: Writer) -> Result<()> {
        let directory = self.directory_of(writer);
        match std::fs::remove_dir_all(&directory) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(io(&directory)(e)),
            _ => Ok(()),
        }
    }

    async fn llama_cpp(&mut self, jobs: &[&Job]) -> Result<()> {
        let name = Writer::LlamaCpp.name();
        let python = match llama_cpp::find_python(self.settings.python.as_deref()).await {
            Ok(python) => python,
            Err(why) => {
                self.skip(&name, why);
                return Ok(());
            }
        };
        let mut answers = Vec::new();
        let tell = &mut self.tell;
        let outcome = llama_cpp::answers(
            llama_cpp::LlamaCpp {
                python: &python,
                model: self.model,
                threads: self.own.stats().threads,
            },
            jobs,
            self.settings.tokens,
            |answer| {
                answers.push(answer);
                tell(Event::Done {
                    done: answers.len(),
                    of: jobs.len(),
                });
            },
        )
        .await;
        for answer in &answers {
            let Some(job) = jobs.iter().find(|j| j.index == answer.index) else {
                continue;
            };
            let (answer, checked) = lab::adopt(&self.checker, &job.prompt_ids, answer)
                .await
                .map_err(engine_error("checking llama.cpp's answers"))?;
            let entry = Entry {
                writer: name.clone(),
                job: job.index,
                answer,
                log_sum_exp_bits: Vec::new(),
                checked,
            };
            self.journal.append(entry).map_err(io(&self.directory))?;
        }
        if let Err(why) = outcome {
            self.skip(&name, why);
        }
        Ok(())
    }

    pub(super) fn entry(&self, writer: Writer, job: &Job) -> Option<&Entry> {
        self.journal.get(&writer.name(), job.index)
    }

    pub(super) fn transcript(
        &self,
        writer: Writer,
        submission: Submission,
        job: &Job,
    ) -> Option<Transcript> {
        let entry = self.entry(writer, job)?;
        let sampling = match writer {
            Writer::LlamaCpp => Sampling {
                temperature_milli: 0,
                ..job.sampling
            },
            _ => job.sampling,
        };
        Some(transcript(
            submission,
            &entry.answer,
            &entry.checked,
            sampling,
        ))
    }

    fn honest_transcripts(&self, jobs: &[Job]) -> Vec<Transcript> {
        [Writer::Honest, Writer::Unrounded, Writer::LlamaCpp]
            .into_iter()
            .flat_map(|w| jobs.iter().map(move |job| (w, job)))
            .filter_map(|(w, job)| self.transcript(w, Submission::AsWritten, job))
            .collect()
    }
}

/// What a writer that runs a model asks it.
fn asked(writer: Writer, job: &Job) -> (&[u32], Sampling) {
    let mut sampling = job.sampling;
    let mut prompt = job.prompt_ids.as_slice();
    match writer {
        Writer::OtherTemperature => sampling.temperature_milli += 300,
        Writer::OtherSeed => sampling.seed[0] = sampling.seed[0].wrapping_add(1),
        Writer::NoSystemPrompt => prompt = job.without_system.as_deref().unwrap_or(prompt),
        _ => {}
    }
    (prompt, sampling)
}

/// A pass over a job's prompt and the prompt once more.
fn probe(job: &Job) -> Answer {
    Answer {
        ids: job.prompt_ids.clone(),
        leaves: vec![[(0, 0), (1, 0), (2, 0), (3, 0)]; job.prompt_ids.len()],
    }
}

/// Names the records of a calibration: other files, jobs, settings or arithmetic have others.
async fn key(
    own: &Engine,
    split: &Split,
    settings: &Settings,
    sha256_of_file: &[u8; 32],
) -> Result<String> {
    let Some(job) = split.calibration.first() else {
        return Err(CalibrateError::TooFew(0));
    };
    let values = lab::check(own, &job.prompt_ids, &probe(job))
        .await
        .map_err(engine_error("checking the first prompt"))?;
    let mut numbers = vec![settings.prompts as u64, u64::from(settings.tokens)];
    numbers.extend(values.log_sum_exp_bits.iter().map(|b| u64::from(*b)));
    let numbers: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
    let texts: String = prompts()
        .iter()
        .map(|p| format!("{:?}{:?}", p.system, p.user))
        .collect();
    let digest = sha256(&[
        domain::CALIBRATION,
        sha256_of_file,
        &numbers,
        texts.as_bytes(),
    ]);
    Ok(hex::encode(&digest[..8]))
}
