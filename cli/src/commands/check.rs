//! `mythic config` and `mythic indexer`: processes whose configuration is read by the common loader.

use super::{alarms, archive, heal};
use crate::{
    config::{self, ProcessConfig},
    context::Connection,
    exit::{self, Exit},
    progress::Step,
    say,
    stop::shutdown,
    terminal,
};
use anyhow::{Context, Result};
use clap::{Args, Subcommand, ValueEnum};
use mythic_api::{GatewayConfig, app::Files};
use mythic_bot::BotConfig;
use mythic_client::keys;
use mythic_devnet::DevnetConfig;
use mythic_indexer::{IndexerConfig, Swap};
use mythic_lab::cheat::Told;
use mythic_provider::ProviderConfig;
use mythic_settler::SettlerConfig;
use serde::Serialize;
use serde_json::json;
use std::path::{Path, PathBuf};

macro_rules! process {
    ($($config:ty = $name:literal),*) => {$(
        impl ProcessConfig for $config {
            const PROCESS: &'static str = $name;
            fn check(&self) -> Result<(), String> {
                self.validate()
            }
        }
    )*};
}

process!(
    GatewayConfig = "gateway",
    DevnetConfig = "chain",
    IndexerConfig = "indexer",
    SettlerConfig = "settler",
    Told = "node",
    ProviderConfig = "provider",
    BotConfig = "bot"
);

/// A process that has a configuration file.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ProcessName {
    /// `mythic gateway`
    Gateway,
    /// `mythic chain`
    Chain,
    /// `mythic indexer`
    Indexer,
    /// `mythic settler`
    Settler,
    /// `mythic node`
    Node,
    /// `mythic provider run`
    Provider,
    /// `mythic bot`
    Bot,
}

impl ProcessName {
    /// Whose file it is by its name; `node-2.toml` is a node's too.
    fn of(file: &Path) -> Result<Self> {
        let stem = file.file_stem().and_then(|stem| stem.to_str());
        let first = stem.unwrap_or_default().split('-').next();
        Self::from_str(first.unwrap_or_default(), true).map_err(|_| {
            Exit::error(
                exit::USAGE,
                format!(
                    "{} names no process: pass --process gateway|chain|indexer|settler|node|provider|bot",
                    file.display()
                ),
            )
        })
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => GatewayConfig::PROCESS,
            Self::Chain => DevnetConfig::PROCESS,
            Self::Indexer => IndexerConfig::PROCESS,
            Self::Settler => SettlerConfig::PROCESS,
            Self::Node => Told::PROCESS,
            Self::Provider => ProviderConfig::PROCESS,
            Self::Bot => BotConfig::PROCESS,
        }
    }

    /// What a start would refuse of the file, and of the files that it names.
    fn check(self, file: &Path) -> Result<()> {
        let file = Some(file);
        match self {
            Self::Gateway => config::load::<GatewayConfig>(file)
                .and_then(|config| Files::open(&config))
                .map(drop),
            Self::Chain => config::load::<DevnetConfig>(file).map(drop),
            Self::Indexer => config::load::<IndexerConfig>(file).map(drop),
            Self::Settler => config::load::<SettlerConfig>(file).map(drop),
            Self::Node => config::load::<Told>(file).and_then(|told| {
                let mut models = told.node.models.iter();
                models.try_for_each(|model| crate::model::check(&model.path))
            }),
            Self::Provider => config::load::<ProviderConfig>(file).and_then(|config| {
                keys::load_keypair(&config.operator_keypair).context("operator_keypair")?;
                let mut models = config.models.iter();
                models.try_for_each(|path| crate::model::check(path))
            }),
            Self::Bot => {
                config::load::<BotConfig>(file).and_then(|config| config.token().map(drop))
            }
        }
    }
}

/// Configuration files.
#[derive(Subcommand, Debug)]
pub enum Config {
    /// Validate a file without starting anything. Of a gateway, a node and a provider keys and models are looked at too, of a bot its token. Exit code 6 if
    /// something is wrong
    Check {
        /// TOML file
        file: PathBuf,
        /// Whose configuration it is [default: the file's name, gateway.toml → gateway]
        #[arg(long)]
        process: Option<ProcessName>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print every key with its default
    Show {
        /// Whose configuration
        process: ProcessName,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// The indexer.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Indexer {
    #[command(subcommand)]
    command: Option<IndexerCommand>,
    /// TOML file; without it all defaults. MYTHIC_INDEXER__KEY in the environment wins
    #[arg(long)]
    config: Option<PathBuf>,
}

#[derive(Subcommand, Debug)]
enum IndexerCommand {
    /// Project the archive into fresh tables, compare, and swap them in. The live indexer may run on. Exit code 6 if they differ
    Rebuild {
        /// TOML file of the indexer [default: that of `mythic dev` here, else all defaults]
        #[arg(long)]
        config: Option<PathBuf>,
        /// When to take the rebuilt tables: never, if they equal the live ones, always
        #[arg(long, value_enum, default_value_t = SwapChoice::IfEqual)]
        swap: SwapChoice,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List what an operator should look at, or clear it. Exit code 6 while alarms are open
    Alarms(alarms::Alarms),
    /// List the files that older spans of the archive lie in, or verify them. Exit code 6 if one can't be used
    Archive(archive::Archive),
    Heal(heal::Heal),
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SwapChoice {
    /// Compare only
    Never,
    /// Take them if they equal the live ones
    IfEqual,
    /// Take them whatever the live ones hold
    Always,
}

/// Runs `mythic config`.
pub fn config(command: Config) -> Result<()> {
    match command {
        Config::Show { process, json } => {
            fn show(config: impl Serialize, json: bool) -> Result<()> {
                match json {
                    true => terminal::json(&config)?,
                    false => say!("{}", toml::to_string(&config)?.trim_end()),
                }
                Ok(())
            }
            match process {
                ProcessName::Gateway => show(GatewayConfig::default(), json),
                ProcessName::Chain => show(DevnetConfig::default(), json),
                ProcessName::Indexer => show(IndexerConfig::default(), json),
                ProcessName::Settler => show(SettlerConfig::default(), json),
                ProcessName::Node => show(Told::default(), json),
                ProcessName::Provider => show(ProviderConfig::default(), json),
                ProcessName::Bot => show(BotConfig::default(), json),
            }
        }
        Config::Check {
            file,
            process,
            json,
        } => {
            let process = process.map_or_else(|| ProcessName::of(&file), Ok)?;
            let problem = process.check(&file).err().map(|error| format!("{error:#}"));
            match (json, &problem) {
                (true, _) => terminal::json(&json!({
                    "file": file,
                    "process": process.as_str(),
                    "good": problem.is_none(),
                    "problem": problem,
                }))?,
                (false, None) => say!("{}: good", file.display()),
                (false, Some(_)) => {}
            }
            match problem {
                None => Ok(()),
                Some(problem) => Err(Exit::error(exit::CHECK_FAILED, problem)),
            }
        }
    }
}

impl Indexer {
    /// Whether it runs until it is stopped.
    pub fn is_process(&self) -> bool {
        self.command.is_none()
    }
}

/// Runs `mythic indexer`.
pub async fn indexer(command: Indexer, connection: &Connection) -> Result<()> {
    match command.command {
        None => {
            Ok(mythic_indexer::run(config::load(command.config.as_deref())?, shutdown()).await?)
        }
        Some(IndexerCommand::Alarms(command)) => alarms::run(command, connection).await,
        Some(IndexerCommand::Archive(command)) => archive::run(command, connection).await,
        Some(IndexerCommand::Heal(command)) => heal::run(command, connection).await,
        Some(IndexerCommand::Rebuild { config, swap, json }) => {
            let config = config::beside::<IndexerConfig>(config, &connection.data_dir())?;
            rebuild(&config, swap, json).await
        }
    }
}

async fn rebuild(config: &IndexerConfig, swap: SwapChoice, json: bool) -> Result<()> {
    let swap = match swap {
        SwapChoice::Never => Swap::Never,
        SwapChoice::IfEqual => Swap::IfEqual,
        SwapChoice::Always => Swap::Always,
    };
    let step = Step::new("Projecting the archive");
    let made = mythic_indexer::rebuild_from(&config.database_url, &config.archive_dir, swap)
        .await
        .map_err(exit::of_index)?;
    step.done();
    let different = made.different.join(", ");
    if json {
        terminal::json(&json!({
            "events": made.events,
            "rows": made.rows,
            "different": made.different,
            "swapped": made.swapped,
        }))?;
    } else {
        let compared = match made.different.as_slice() {
            [] => "equal to the live tables".to_owned(),
            _ => format!("different: {different}"),
        };
        let swapped = match made.swapped {
            true => "swapped in",
            false => "not swapped in",
        };
        let (events, rows) = (made.events, made.rows);
        say!("{events} events, {rows} rows; {compared}; {swapped}");
    }
    match made.different.as_slice() {
        [] => Ok(()),
        _ => Err(Exit::error(
            exit::CHECK_FAILED,
            format!("the rebuilt tables differ from the live ones: {different}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<DevnetConfig> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("chain.toml");
        std::fs::write(&file, text).unwrap();
        config::load(Some(&file))
    }

    #[test]
    fn what_is_not_named_has_its_default() {
        let config = load("slot_ms = 50").unwrap();
        assert_eq!(config.slot_ms, 50);
        assert_eq!(config.rooted_lag, DevnetConfig::default().rooted_lag);
    }

    /// What is commented out in an example of a configuration stands for what has to be there; files are those of another machine.
    fn filled(text: &str, file: &Path) -> String {
        let examples = [
            "[[",
            "name = ",
            "identity = ",
            "gguf = ",
            "path = ",
            "dir = ",
            "authority = ",
            "models = ",
        ];
        let lines = text.lines().map(|line| {
            let example = line
                .strip_prefix("# ")
                .filter(|rest| examples.iter().any(|start| rest.starts_with(start)));
            let line = example.unwrap_or(line);
            if line.starts_with("models = ") {
                return format!("models = [{:?}]", file.display().to_string());
            }
            match line.split_once(" = \"") {
                Some(("authority", _)) => format!("authority = {:?}", "1".repeat(32)),
                Some(("identity", _)) => format!("identity = \"{}\"", "ab".repeat(32)),
                Some((key @ ("path" | "operator_keypair" | "authority_keypair"), _)) => {
                    format!("{key} = {:?}", file.display().to_string())
                }
                _ => line.to_owned(),
            }
        });
        lines.map(|line| line + "\n").collect()
    }

    #[test]
    fn the_configurations_in_the_packages_are_taken() {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("key.json");
        std::fs::write(&key, "[]").unwrap();
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/config");
        let take = |name: &str| {
            let text = std::fs::read_to_string(examples.join(format!("{name}.toml"))).unwrap();
            let file = dir.path().join(format!("{name}.toml"));
            std::fs::write(&file, filled(&text, &key)).unwrap();
            file
        };
        let gateway: GatewayConfig = config::load(Some(&take("gateway"))).unwrap();
        assert_eq!(gateway.models.len(), 1);
        let indexer: IndexerConfig = config::load(Some(&take("indexer"))).unwrap();
        assert_eq!(indexer.more_spools.len(), 1);
        let settler: SettlerConfig = config::load(Some(&take("settler"))).unwrap();
        assert!(settler.keypair_path.starts_with("/run/credentials"));
        let provider: ProviderConfig = config::load(Some(&take("provider"))).unwrap();
        assert_eq!(provider.models.len(), 1);
        let bot: BotConfig = config::load(Some(&take("bot"))).unwrap();
        assert!(bot.token_file.starts_with("/run/credentials"));
        for name in ["node", "verify"] {
            let told: Told = config::load(Some(&take(name))).unwrap();
            assert_eq!(told.node.models.len(), 1, "{name}");
            assert_eq!(told.node.accept_jobs, name == "node");
        }
    }

    #[test]
    fn unknown_keys_and_bad_values_are_refused_by_name() {
        let message = format!("{:#}", load("slotms = 50").unwrap_err());
        assert!(message.contains("slotms"), "{message}");
        let message = format!("{:#}", load("slot_ms = \"fast\"").unwrap_err());
        assert!(message.contains("slot_ms"), "{message}");
    }

    #[test]
    fn a_node_with_a_model_that_it_could_not_serve_is_no_good() {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("key.json");
        std::fs::write(&key, "[]").unwrap();
        let node = mythic_node::NodeConfig {
            gateways: vec!["http://127.0.0.1:4002".into()],
            allow_loopback: true,
            operator_keypair: key.clone(),
            authority_keypair: Some(key),
            models: vec![mythic_node::ModelConfig {
                path: crate::model::tests::part_of_a_model(dir.path()),
                identity: None,
            }],
            ..mythic_node::NodeConfig::default()
        };
        let file = dir.path().join("node.toml");
        std::fs::write(&file, toml::to_string(&node).unwrap()).unwrap();
        let check = Config::Check {
            file,
            process: None,
            json: false,
        };
        let message = format!("{:#}", config(check).unwrap_err());
        assert!(message.contains("part 1 of 2"), "{message}");
    }

    #[test]
    fn a_provider_whose_key_or_model_it_could_not_load_is_no_good() {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("operator.json");
        std::fs::write(&key, "[]").unwrap();
        let provider = ProviderConfig {
            authority: "1".repeat(32),
            operator_keypair: key.clone(),
            models: vec![crate::model::tests::part_of_a_model(dir.path())],
            allow_loopback: true,
            ..ProviderConfig::default()
        };
        let file = dir.path().join("provider.toml");
        std::fs::write(&file, toml::to_string(&provider).unwrap()).unwrap();
        let problem = || {
            let checked = ProcessName::of(&file).unwrap().check(&file);
            format!("{:#}", checked.unwrap_err())
        };
        assert!(problem().contains("operator_keypair"), "{}", problem());
        std::fs::remove_file(&key).unwrap();
        keys::load_or_create(&key).unwrap();
        assert!(problem().contains("part 1 of 2"), "{}", problem());
    }

    #[test]
    fn a_gateway_whose_model_or_key_it_could_not_load_is_no_good() {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("gateway.json");
        let mut gateway = GatewayConfig {
            keypair_path: key.clone(),
            models: vec![mythic_api::ModelConfig {
                name: "half".into(),
                identity: "ab".repeat(32),
                gguf: crate::model::tests::part_of_a_model(dir.path()),
            }],
            ..GatewayConfig::default()
        };
        let file = dir.path().join("gateway.toml");
        let problem = |gateway: &GatewayConfig| {
            std::fs::write(&file, toml::to_string(gateway).unwrap()).unwrap();
            let checked = ProcessName::of(&file).unwrap().check(&file);
            checked.err().map(|error| format!("{error:#}"))
        };
        let why = problem(&gateway).unwrap();
        assert!(why.contains("keypair_path"), "{why}");
        mythic_client::keys::load_or_create(&key).unwrap();
        let why = problem(&gateway).unwrap();
        assert!(
            why.contains("model half") && why.contains("tokenizer"),
            "{why}"
        );
        gateway.models.clear();
        assert_eq!(problem(&gateway), None);
    }
}
