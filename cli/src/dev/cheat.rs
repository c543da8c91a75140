//! `mythic dev cheat`: makes one validator of the running network cheat, so that one can watch what comes of it.

use super::{
    attack::Attack,
    control,
    layout::Layout,
    state::{DevState, ValidatorInfo},
};
use crate::{
    exit::{self, Exit},
    note, say, terminal,
};
use anyhow::{Context, Result};
use clap::{
    Args,
    builder::{PossibleValue, PossibleValuesParser, TypedValueParser},
};
use mythic_lab::cheat::{How, Told};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// Longer than a node takes to finish its jobs and to load its model.
const PATIENCE: Duration = Duration::from_secs(60);
const HONEST: &str = "honest";

/// Make one validator cheat, until the network stops or it is told to be honest again
#[derive(Args, Debug)]
#[command(
    after_help = "The validator finishes its jobs and starts again with the setting. The others check what it answers from then on, \
                  and it loses half of its stake for the first false answer. Where friends take part (planted-fault, late-friend, bait, \
                  rented-jury, shield, self-slash) an answer is bought, their part is played to the end, and what it came to is printed."
)]
pub struct Cheat {
    /// Number of the validator, from 1
    #[arg(long)]
    validator: usize,
    /// The way to cheat
    #[arg(long, default_value = How::OtherModel.as_str(), value_parser = behaviours())]
    how: Behaviour,
    /// Cheat even where nobody could judge it
    #[arg(long)]
    anyway: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What a validator is told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Behaviour(Option<How>);

fn behaviours() -> impl TypedValueParser<Value = Behaviour> {
    let cheats = How::ALL.map(|how| PossibleValue::new(how.as_str()).help(how.describe()));
    let honest = PossibleValue::new(HONEST).help("cheats no more");
    PossibleValuesParser::new(cheats.into_iter().chain([honest]))
        // Only these names come here.
        .map(|name| Behaviour(name.parse().ok()))
}

/// Validators that it takes to find a cheat and to punish it: the cheater, one that claims against it, and, where the program
/// can't decide by itself, two that judge.
fn needed(how: How) -> usize {
    match how {
        // Their own data shows these false, or nothing is shown.
        How::Prefill
        | How::WrongSeed
        | How::EarlyStop
        | How::PadAfterEos
        | How::Withhold
        | How::Bait => 2,
        How::OtherQuant
        | How::OtherModel
        | How::WrongIds
        | How::TruncatePrompt
        | How::OneToken
        | How::Random
        | How::PlantedFault
        | How::LateFriend
        | How::RentedJury
        | How::Shield
        | How::SelfSlash => 4,
    }
}

/// What to know of a network of so many validators, if it is too small to judge every answer.
pub fn too_small(validators: usize) -> Option<String> {
    match validators {
        0 | 1 => Some("With one validator nobody checks its answers; with 4 or more false ones are claimed and judged.".into()),
        2 | 3 => Some(format!("With {validators} validators too few are left to judge most cases, and a cheat keeps its stake; 4 or more can.")),
        _ => None,
    }
}

impl Cheat {
    /// Refuses where the outcome would be the opposite of what is to be seen.
    fn check(&self, validators: usize) -> Result<()> {
        let Some(how) = self
            .how
            .0
            .filter(|how| validators < needed(*how) && !self.anyway)
        else {
            return Ok(());
        };
        let why = match validators {
            0 | 1 => "nobody else is there to claim against it",
            _ => {
                "one would cheat, one claim, and fewer than two be left to judge: the case would end void, the cheat keep its stake"
            }
        };
        Err(Exit::error(
            exit::USAGE,
            format!(
                "{how} with {validators} of {} validators: {why}. Start the network with --validators {} or more (5 give a jury of three), or pass --anyway",
                needed(how),
                needed(how),
                how = how.as_str(),
            ),
        ))
    }

    pub async fn run(self, data_dir: &Path) -> Result<()> {
        let state = control::running(data_dir)?;
        let validator = state.validator(self.validator)?;
        self.check(state.validators.len())?;
        let process = state.process(&validator.process)?;
        let pid = process.pid.with_context(|| {
            format!(
                "{} is down and being started again; try again, its log is {}",
                validator.process,
                process.log.display()
            )
        })?;
        let text = std::fs::read_to_string(&process.config)
            .with_context(|| format!("reading {}", process.config.display()))?;
        let mut config: Told = toml::from_str(&text)
            .with_context(|| format!("{} is damaged", process.config.display()))?;
        config.cheat = self.how.0;
        let layout = Layout {
            root: state.data_dir.clone(),
        };
        layout.write_config(&validator.process, &toml::to_string(&config)?)?;
        // The supervisor starts it again.
        kill(Pid::from_raw(i32::try_from(pid)?), Signal::SIGTERM)
            .with_context(|| format!("stopping {} (process {pid})", validator.process))?;
        wait(data_dir, validator, pid).await?;
        match self.how.0.filter(|how| how.has_friends()) {
            Some(how) => self.play(&state, how).await,
            None => self.announce(&validator.authority),
        }
    }

    /// Plays the friends' part.
    async fn play(&self, state: &DevState, how: How) -> Result<()> {
        note!(
            "Validator {} and its friends: it {}.",
            self.validator,
            how.describe()
        );
        let attack = Attack::prepare(state, self.validator, how).await?;
        let spoils = attack.play().await?;
        match self.json {
            true => terminal::json(&spoils.json(how)),
            false => {
                spoils.say();
                say!(
                    "It goes on answering like that; `mythic dev cheat --validator {} --how {HONEST}` stops it.",
                    self.validator
                );
                Ok(())
            }
        }
    }

    fn announce(&self, authority: &str) -> Result<()> {
        let number = self.validator;
        if self.json {
            let how = self.how.0.map(|how| how.as_str());
            return terminal::json(
                &json!({"validator": authority, "number": number, "cheat": how}),
            );
        }
        match self.how.0 {
            None => say!("Validator {number} ({authority}) is honest again."),
            Some(how) => {
                say!(
                    "Validator {number} ({authority}) cheats: it {}.",
                    how.describe()
                );
                say!("  ask it   mythic dev ask --validator {number} \"Why is the sky blue?\"");
                say!("  watch    mythic disputes watch");
                say!("  stop it  mythic dev cheat --validator {number} --how {HONEST}");
            }
        }
        Ok(())
    }
}

/// Waits until another process than `old`, which has read the setting, serves.
async fn wait(data_dir: &Path, validator: &ValidatorInfo, old: u32) -> Result<()> {
    let started = Instant::now();
    let health = format!("{}/health", validator.endpoint);
    let client = mythic_http::client::builder()
        .timeout(Duration::from_secs(2))
        .build()?;
    loop {
        let state = DevState::read(data_dir)?;
        let process = state.process(&validator.process)?;
        if process.pid.is_some_and(|pid| pid != old)
            && let Ok(answer) = client.get(&health).send().await
            && answer.status().is_success()
        {
            return Ok(());
        }
        if started.elapsed() > PATIENCE {
            return Err(Exit::error(
                exit::UNREACHABLE,
                format!(
                    "{} does not serve again after {} s; its log is {}",
                    validator.process,
                    PATIENCE.as_secs(),
                    process.log.display()
                ),
            ));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        cheat: Cheat,
    }

    #[test]
    fn every_way_to_cheat_and_to_stop_is_understood_and_nothing_else() {
        let how = |name: &str| {
            let line = ["mythic", "--validator", "2", "--how", name];
            Line::try_parse_from(line).map(|line| line.cheat.how.0)
        };
        for cheat in How::ALL {
            assert_eq!(how(cheat.as_str()).ok(), Some(Some(cheat)));
        }
        assert_eq!(how("honest").ok(), Some(None));
        assert!(how("nicely").is_err());
        let line = Line::try_parse_from(["mythic", "--validator", "2"]);
        assert_eq!(line.ok().and_then(|l| l.cheat.how.0), Some(How::OtherModel));
    }

    #[test]
    fn a_network_that_could_not_judge_a_cheat_is_named_with_the_number_that_can() {
        let refused = |how: &str, validators: usize, anyway: bool| {
            let mut line = vec!["mythic", "--validator", "1", "--how", how];
            line.extend(anyway.then_some("--anyway"));
            let cheat = Line::try_parse_from(line).unwrap().cheat;
            cheat.check(validators).err().map(|error| error.to_string())
        };
        for how in How::ALL {
            let (how, needed) = (how.as_str(), needed(how));
            let why = refused(how, needed - 1, false).unwrap();
            assert!(why.contains(&format!("--validators {needed}")), "{why}");
            assert!(needed <= 5, "as many as a network has by default");
            assert_eq!(refused(how, needed, false), None, "{how}");
            assert_eq!(refused(how, 1, true), None, "{how}");
        }
        assert_eq!(refused(HONEST, 1, false), None);
        assert!(
            too_small(3).is_some_and(|hint| hint.contains("4 or more")) && too_small(4).is_none()
        );
    }
}
