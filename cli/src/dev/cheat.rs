//! `mythic dev cheat`: makes one validator of the running network cheat, or its provider, so that one can watch what comes of it.

use super::{
    attack::Attack,
    control,
    crook::{self, Crook},
    layout::Layout,
    state::DevState,
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

/// Make one validator cheat, or the provider, until the network stops or it is told to be honest again
#[derive(Args, Debug)]
#[command(
    after_help = "The validator finishes its jobs and starts again with the setting. The others check what it answers from then on, \
                  and it loses half of its stake for the first false answer. Where friends take part (planted-fault, late-friend, bait, \
                  rented-jury, shield, self-slash) an answer is bought, their part is played to the end, and what it came to is printed. The \
                  provider (--provider) starts again with one of its own ways, and goes on with its leases: `mythic lease probe`, `watch`, \
                  `dispute` and `close` are the tenants' side."
)]
pub struct Cheat {
    /// Number of the validator, from 1
    #[arg(
        long,
        required_unless_present = "provider",
        conflicts_with = "provider"
    )]
    validator: Option<usize>,
    /// The provider instead of a validator
    #[arg(long)]
    provider: bool,
    /// The way to cheat [default: other-model, of the provider wrong-proof]
    #[arg(long, value_parser = behaviours())]
    how: Option<Behaviour>,
    /// Cheat even where nobody could judge it
    #[arg(long)]
    anyway: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What is told to a validator or to the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behaviour {
    Honest,
    Validator(How),
    Provider(Crook),
}

fn behaviours() -> impl TypedValueParser<Value = Behaviour> {
    let cheats = How::ALL.map(|how| PossibleValue::new(how.as_str()).help(how.describe()));
    let crooks = Crook::ALL
        .map(|way| PossibleValue::new(way.as_str()).help(format!("provider: {}", way.describe())));
    let honest = PossibleValue::new(HONEST).help("cheats no more");
    let all = cheats.into_iter().chain(crooks).chain([honest]);
    // Only these names come here.
    PossibleValuesParser::new(all).map(|name| match (name.parse(), Crook::named(&name)) {
        (Ok(how), _) => Behaviour::Validator(how),
        (_, Some(way)) => Behaviour::Provider(way),
        _ => Behaviour::Honest,
    })
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
        | How::IgnoreTopP
        | How::IgnoreBias
        | How::IgnoreGrammar
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
    /// What a validator is told.
    fn how(&self) -> Result<Option<How>> {
        match self.how.unwrap_or(Behaviour::Validator(How::OtherModel)) {
            Behaviour::Honest => Ok(None),
            Behaviour::Validator(how) => Ok(Some(how)),
            Behaviour::Provider(way) => Err(Exit::error(
                exit::USAGE,
                format!("--how {way} is a provider's: pass --provider instead of --validator"),
            )),
        }
    }

    /// What the provider is told.
    fn crook(&self) -> Result<Option<Crook>> {
        match self.how.unwrap_or(Behaviour::Provider(Crook::WrongProof)) {
            Behaviour::Honest => Ok(None),
            Behaviour::Provider(way) => Ok(Some(way)),
            Behaviour::Validator(how) => {
                let ways = Crook::ALL.map(Crook::as_str).join(", ");
                Err(Exit::error(
                    exit::USAGE,
                    format!("--how {how} is a validator's; a provider's are {ways}"),
                ))
            }
        }
    }

    /// Refuses where the outcome would be the opposite of what is to be seen.
    fn check(&self, how: Option<How>, validators: usize) -> Result<()> {
        let Some(how) = how.filter(|how| validators < needed(*how) && !self.anyway) else {
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
        match self.validator {
            Some(number) => self.validator(&state, number).await,
            None => self.provider(&state).await,
        }
    }

    async fn provider(&self, state: &DevState) -> Result<()> {
        let way = self.crook()?;
        let provider = state.provider.as_ref();
        let provider = provider.context("no provider in dev.json: start the network again")?;
        let layout = Layout {
            root: state.data_dir.clone(),
        };
        crook::tell(&layout.at(&provider.process), way)?;
        start_again(state, &provider.process, &provider.endpoint).await?;
        let authority = &provider.authority;
        if self.json {
            let how = way.map(Crook::as_str);
            return terminal::json(&json!({"provider": authority, "cheat": how}));
        }
        match way {
            None => say!("The provider ({authority}) is honest again."),
            Some(way) => {
                say!("The provider ({authority}) cheats: it {}.", way.describe());
                say!("  what comes of it   {}", way.fate());
                say!("  watch    mythic lease watch");
                say!("  stop it  mythic dev cheat --provider --how {HONEST}");
            }
        }
        Ok(())
    }

    async fn validator(&self, state: &DevState, number: usize) -> Result<()> {
        let (how, validator) = (self.how()?, state.validator(number)?);
        self.check(how, state.validators.len())?;
        let process = state.process(&validator.process)?;
        let text = std::fs::read_to_string(&process.config)
            .with_context(|| format!("reading {}", process.config.display()))?;
        let mut config: Told = toml::from_str(&text)
            .with_context(|| format!("{} is damaged", process.config.display()))?;
        config.cheat = how;
        let layout = Layout {
            root: state.data_dir.clone(),
        };
        layout.write_config(&validator.process, &toml::to_string(&config)?)?;
        start_again(state, &validator.process, &validator.endpoint).await?;
        match how.filter(|how| how.has_friends()) {
            Some(how) => self.play(state, number, how).await,
            None => self.announce(number, &validator.authority, how),
        }
    }

    /// Plays the friends' part.
    async fn play(&self, state: &DevState, number: usize, how: How) -> Result<()> {
        note!("Validator {number} and its friends: it {}.", how.describe());
        let attack = Attack::prepare(state, number, how).await?;
        let spoils = attack.play().await?;
        match self.json {
            true => terminal::json(&spoils.json(how)),
            false => {
                spoils.say();
                say!(
                    "It goes on answering like that; `mythic dev cheat --validator {number} --how {HONEST}` stops it."
                );
                Ok(())
            }
        }
    }

    fn announce(&self, number: usize, authority: &str, how: Option<How>) -> Result<()> {
        if self.json {
            let how = how.map(How::as_str);
            return terminal::json(
                &json!({"validator": authority, "number": number, "cheat": how}),
            );
        }
        match how {
            None => say!("Validator {number} ({authority}) is honest again."),
            Some(how) => {
                say!(
                    "Validator {number} ({authority}) cheats: it {}.",
                    how.describe()
                );
                let options = match how {
                    How::IgnoreTopP => " --top-p 0.1",
                    How::IgnoreBias => " --logit-bias 0=-100 --logit-bias 1=-100",
                    How::IgnoreGrammar => " --json-object",
                    _ => "",
                };
                say!(
                    "  ask it   mythic dev ask --validator {number}{options} \"Why is the sky blue?\""
                );
                say!("  watch    mythic disputes watch");
                say!("  stop it  mythic dev cheat --validator {number} --how {HONEST}");
            }
        }
        Ok(())
    }
}

/// Has the supervisor start a process again, and waits until another one, which has read what it is told, serves.
async fn start_again(state: &DevState, process: &str, endpoint: &str) -> Result<()> {
    let (data_dir, name) = (&state.data_dir, process);
    let process = state.process(name)?;
    let old = process.pid.with_context(|| {
        format!(
            "{name} is down and being started again; try again, its log is {}",
            process.log.display()
        )
    })?;
    kill(Pid::from_raw(i32::try_from(old)?), Signal::SIGTERM)
        .with_context(|| format!("stopping {name} (process {old})"))?;
    let started = Instant::now();
    let health = format!("{endpoint}/health");
    let client = mythic_http::client::builder()
        .timeout(Duration::from_secs(2))
        .build()?;
    loop {
        let state = DevState::read(data_dir)?;
        let process = state.process(name)?;
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
                    "{name} does not serve again after {} s; its log is {}",
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
            Line::try_parse_from(line).unwrap().cheat.how()
        };
        let crook = |name: &str| {
            let line = ["mythic", "--provider", "--how", name];
            Line::try_parse_from(line).unwrap().cheat.crook()
        };
        for cheat in How::ALL {
            assert_eq!(how(cheat.as_str()).unwrap(), Some(cheat));
            let refused = crook(cheat.as_str()).unwrap_err().to_string();
            assert!(refused.contains("wrong-proof, no-proof"), "{refused}");
        }
        for way in Crook::ALL {
            assert_eq!(crook(way.as_str()).unwrap(), Some(way));
            let refused = how(way.as_str()).unwrap_err().to_string();
            assert!(refused.contains("--provider"), "{refused}");
        }
        assert_eq!(how("honest").unwrap(), None);
        assert_eq!(crook("honest").unwrap(), None);
        let line = |line: &[&str]| Line::try_parse_from(line).map(|line| line.cheat);
        assert!(line(&["mythic", "--validator", "2", "--how", "nicely"]).is_err());
        assert!(line(&["mythic"]).is_err(), "nobody is named");
        assert!(line(&["mythic", "--validator", "2", "--provider"]).is_err());
        let default = line(&["mythic", "--validator", "2"]).unwrap();
        assert_eq!(default.how().unwrap(), Some(How::OtherModel));
        let default = line(&["mythic", "--provider"]).unwrap();
        assert_eq!(default.crook().unwrap(), Some(Crook::WrongProof));
    }

    #[test]
    fn a_network_that_could_not_judge_a_cheat_is_named_with_the_number_that_can() {
        let refused = |how: &str, validators: usize, anyway: bool| {
            let mut line = vec!["mythic", "--validator", "1", "--how", how];
            line.extend(anyway.then_some("--anyway"));
            let cheat = Line::try_parse_from(line).unwrap().cheat;
            let how = cheat.how().unwrap();
            let checked = cheat.check(how, validators);
            checked.err().map(|error| error.to_string())
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
