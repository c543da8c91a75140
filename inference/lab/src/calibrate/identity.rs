//! What must not move a bit: the same answers, written and checked in other ways.

use futures::{StreamExt, stream};

use super::Event;
use super::cheats::{Answer, Values, Writer};
use super::journal::Entry;
use super::lab;
use super::prompts::Job;
use super::report::Identity;
use super::run::{Result, Run, engine_error};
use super::stats::Rate;
use mythic_engine::{Choice, Engine, EngineConfig, EngineError, InstructionSet};

/// One of so many jobs is done again by every other engine that must give the same bits.
const STRIDE: usize = 3;
/// The portable kernels are slow.
const PORTABLE_JOBS: usize = 4;

/// What is done again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Again {
    Check,
    Write,
}

/// Another way to the same bits.
struct Way {
    name: String,
    again: Again,
    jobs: usize,
    /// `None`: the checker that has done it before.
    config: Option<EngineConfig>,
}

impl Run<'_> {
    fn ways(&self, jobs: usize) -> Vec<Way> {
        let base = lab::config(self.settings.threads);
        let threads = self.own.stats().threads;
        let slow = EngineConfig {
            threads: threads + 1,
            chunk: 7,
            max_sequences: 1,
            ..base.clone()
        };
        let way = |name: String, again, config| Way {
            name,
            again,
            jobs,
            config,
        };
        let slowly = format!("alone, passes of 7 rows, {} threads", threads + 1);
        let mut ways = vec![
            way(
                "checked again, from the prefix cache".into(),
                Again::Check,
                None,
            ),
            way(
                format!("checked {slowly}"),
                Again::Check,
                Some(slow.clone()),
            ),
            way(format!("written {slowly}"), Again::Write, Some(slow)),
        ];
        if threads > 1 {
            let one = EngineConfig {
                threads: 1,
                ..base.clone()
            };
            ways.push(way("checked on one thread".into(), Again::Check, Some(one)));
        }
        for instruction_set in InstructionSet::available() {
            let config = EngineConfig {
                instruction_set,
                ..base.clone()
            };
            let name = format!("checked with instructions {instruction_set}");
            let mut way = way(name, Again::Check, Some(config));
            if instruction_set == InstructionSet::Portable {
                way.jobs = jobs.min(PORTABLE_JOBS);
            }
            ways.push(way);
        }
        if self.settings.device != Choice::Cpu {
            let config = EngineConfig {
                device: self.settings.device.clone(),
                ..base
            };
            for (what, again) in [("checked", Again::Check), ("written", Again::Write)] {
                let name = format!("{what} on {}", self.settings.device);
                ways.push(way(name, again, Some(config.clone())));
            }
        }
        ways
    }

    /// Everything that must not move a bit.
    pub(super) async fn identity(&mut self) -> Result<Vec<Identity>> {
        let all = self.split.calibration.iter().chain(&self.split.test);
        let jobs: Vec<Job> = all.cloned().collect();
        let mut found = vec![Identity {
            name: "decoded eight at a time, against one pass over the answer".into(),
            jobs: jobs.len(),
            positions: Rate::count(jobs.iter().flat_map(|job| {
                let entry = self.entry(Writer::Honest, job).into_iter();
                entry.flat_map(|e| differing(&written(&e.answer, &e.log_sum_exp_bits), &e.checked))
            })),
        }];
        let some: Vec<&Job> = jobs.iter().step_by(STRIDE).collect();
        for way in self.ways(some.len()) {
            (self.tell)(Event::Began {
                what: way.name.clone(),
                jobs: way.jobs,
                kept: 0,
            });
            let jobs = some.iter().take(way.jobs).copied();
            let positions = self.again(&way, jobs).await?;
            found.push(Identity {
                name: way.name,
                jobs: way.jobs,
                positions,
            });
        }
        Ok(found)
    }

    async fn again<'j>(&self, way: &Way, jobs: impl Iterator<Item = &'j Job>) -> Result<Rate> {
        let (engine, width) = match &way.config {
            Some(config) => (
                Engine::load(self.model, config.clone())?,
                config.max_sequences,
            ),
            None => (self.checker.clone(), lab::WIDTH),
        };
        let engine = &engine;
        let tokens = self.settings.tokens;
        let work: Vec<_> = jobs
            .filter_map(|job| Some((job, self.entry(Writer::Honest, job)?)))
            .map(|(job, entry)| once_more(engine, way.again, job, entry, tokens))
            .collect();
        let mut work = stream::iter(work).buffer_unordered(width);
        let mut positions = Rate::default();
        while let Some(rate) = work.next().await {
            let rate = rate.map_err(engine_error(format!("running \"{}\"", way.name)))?;
            positions.hits += rate.hits;
            positions.of += rate.of;
        }
        Ok(positions)
    }
}

async fn once_more(
    engine: &Engine,
    again: Again,
    job: &Job,
    entry: &Entry,
    tokens: u32,
) -> std::result::Result<Rate, EngineError> {
    let differ = match again {
        Again::Check => {
            let checked = lab::check(engine, &job.prompt_ids, &entry.answer).await?;
            differing(&entry.checked, &checked)
        }
        Again::Write => {
            let (answer, sums) = lab::write(engine, &job.prompt_ids, job.sampling, tokens).await?;
            let bits: Vec<u32> = sums.iter().map(|s| s.to_bits()).collect();
            differing(&written(&answer, &bits), &entry.checked)
        }
    };
    Ok(Rate::count(differ))
}

/// A writer's values in a checker's form.
fn written(answer: &Answer, log_sum_exp_bits: &[u32]) -> Values {
    Values {
        own: answer.leaves.clone(),
        at_claimed: answer
            .leaves
            .iter()
            .map(|leaf| leaf.map(|(_, logit)| logit))
            .collect(),
        log_sum_exp_bits: log_sum_exp_bits.to_vec(),
    }
}

/// Positions of which any value differs, or that only one of them has.
fn differing(a: &Values, b: &Values) -> Vec<bool> {
    let differs = |at| {
        a.own.get(at) != b.own.get(at)
            || a.at_claimed.get(at) != b.at_claimed.get(at)
            || a.log_sum_exp_bits.get(at) != b.log_sum_exp_bits.get(at)
    };
    (0..a.own.len().max(b.own.len())).map(differs).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bit_or_a_missing_position_is_a_difference() {
        let leaf = [(1, 4), (2, 3), (3, 2), (4, 1)];
        let answer = Answer {
            ids: vec![1, 1],
            leaves: vec![leaf; 2],
        };
        let a = written(&answer, &[7, 8]);
        assert_eq!(differing(&a, &a), [false, false]);
        assert_eq!(differing(&a, &written(&answer, &[7, 9])), [false, true]);
        let mut short = a.clone();
        short.own.pop();
        assert_eq!(differing(&a, &short), [false, true]);
        assert_eq!(differing(&short, &a), [false, true]);
    }
}
