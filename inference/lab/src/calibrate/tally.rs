//! From the journal to the report: what each rule says of each kind of answer.

use std::collections::BTreeSet;
use std::time::Instant;

use mythic_interface::state::KernelProfile;

use super::cheats::{self, Submission, Writer};
use super::prompts::Job;
use super::report::{Claim, Identity, JobRow, Report, Row};
use super::run::Run;
use super::stats::Rate;
use super::thresholds::{Frozen, draw, unlucky};
use super::transcript::{Findings, Transcript};
use mythic_engine::kernels;

impl Run<'_> {
    pub(super) fn report(&self, frozen: Frozen, identity: Vec<Identity>, began: Instant) -> Report {
        let writers = [Writer::Honest, Writer::Unrounded, Writer::LlamaCpp];
        let mut jobs = Vec::new();
        let rows = writers
            .into_iter()
            .chain(cheats::cheaters())
            .flat_map(|w| w.submissions().iter().map(move |s| (w, *s)))
            .filter_map(|(w, s)| self.row(w, s, &frozen, &mut jobs))
            .collect();
        let foreign: Vec<f64> = [Writer::Unrounded, Writer::LlamaCpp]
            .into_iter()
            .flat_map(|w| self.split.test.iter().map(move |job| (w, job)))
            .filter_map(|(w, job)| self.transcript(w, Submission::AsWritten, job))
            .map(|t| unlucky(&t, &frozen))
            .collect();
        let stats = self.own.stats();
        let profile = u8::try_from(kernels::PROFILE)
            .ok()
            .and_then(KernelProfile::from_u8);
        Report {
            model: stats.model,
            sha256: hex::encode(self.sha256),
            file_bytes: stats.weights_bytes,
            profile: profile.map_or("unlisted", KernelProfile::as_str).into(),
            exact: profile.is_some_and(KernelProfile::is_exact),
            device: stats.device,
            processor: processor(),
            threads: stats.threads,
            calibration_jobs: self.split.calibration.len(),
            test_jobs: self.split.test.len(),
            max_tokens: self.settings.tokens,
            seconds: began.elapsed().as_secs_f64(),
            claim: Claim {
                exact: Rate {
                    hits: identity.iter().map(|i| i.positions.hits).sum(),
                    of: identity.iter().map(|i| i.positions.of).sum(),
                },
                foreign_jobs: foreign.len() as u64,
                worst_unlucky: foreign.iter().copied().fold(0.0, f64::max),
                mean_unlucky: foreign.iter().sum::<f64>() / foreign.len().max(1) as f64,
            },
            identity,
            rows,
            jobs,
            frozen,
            skipped: self.skipped.clone(),
        }
    }

    /// How a kind of answer fared; each answer is added to `jobs`.
    fn row(
        &self,
        writer: Writer,
        submission: Submission,
        frozen: &Frozen,
        jobs: &mut Vec<JobRow>,
    ) -> Option<Row> {
        let name = writer.label(submission);
        let mut harmless = 0;
        let mut cases = Vec::new();
        for job in &self.split.test {
            let Some(case) = self.transcript(writer, submission, job) else {
                continue;
            };
            let is_honest = !writer.is_honest() && self.is_honest_answer(&case, job);
            let found = (!is_honest).then(|| {
                let draw = draw(&name, job.index, 0);
                case.findings(&draw, &frozen.thresholds())
            });
            let errors = case.positions.iter().flat_map(|p| p.errors());
            jobs.push(JobRow {
                name: name.clone(),
                job: job.index,
                positions: case.positions.len(),
                differing: case.differing(),
                max_error_ppm: errors.max().unwrap_or(0),
                found,
            });
            match found {
                Some(found) => cases.push((case, found)),
                None => harmless += 1,
            }
        }
        if cases.is_empty() && harmless == 0 {
            return None;
        }
        let errors = || {
            cases
                .iter()
                .flat_map(|(t, _)| &t.positions)
                .flat_map(|p| p.errors())
        };
        let count = errors().count().max(1);
        let positions: usize = cases.iter().map(|(t, _)| t.positions.len()).sum();
        let rate =
            |of: fn(&Findings) -> bool| Rate::count(cases.iter().map(|(_, found)| of(found)));
        Some(Row {
            name,
            honest: writer.is_honest(),
            jobs: cases.len(),
            harmless,
            positions: Rate {
                hits: cases.iter().map(|(t, _)| t.differing() as u64).sum(),
                of: positions as u64,
            },
            mean_error_ppm: errors().map(f64::from).sum::<f64>() / count as f64,
            max_error_ppm: errors().max().unwrap_or(0),
            replay: rate(|f| f.replay),
            exact: rate(|f| f.exact),
            exact_sampled: rate(|f| f.exact_sampled),
            calibrated: rate(|f| f.calibrated),
            naive: rate(|f| f.naive),
            gonka: rate(|f| f.gonka),
            difr: rate(|f| f.difr),
        })
    }

    /// Whether tokens and commitments are what an honest node submits for the job.
    fn is_honest_answer(&self, case: &Transcript, job: &Job) -> bool {
        self.entry(Writer::Honest, job).is_some_and(|honest| {
            let given = case.positions.iter().map(|p| (&p.token, &p.given));
            given.eq(honest.answer.ids.iter().zip(&honest.answer.leaves))
        })
    }
}

/// The processor's name, where the system tells it.
fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let names: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map(|(_, name)| name.trim())
        .collect();
    (!names.is_empty()).then(|| names.into_iter().collect::<Vec<_>>().join(", "))
}
