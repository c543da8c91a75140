//! `mythic doctor plugin`: whether a validator can load the Geyser plugin, found out before it does. Nothing is loaded: there is no check when
//! a validator loads a library, and one that does not fit crashes it.

use super::{
    binary::{Binary, Note, Rustc, Unreadable},
    disk,
    finding::{self, Finding, Verdict},
    flags::{self, Started},
    release::{self, Release},
};
use anyhow::Result;
use clap::Args;
use mythic_geyser_core::{PluginConfig, check_config};
use mythic_interface::PROGRAMS;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// The packages' libraries.
const LIBRARIES: [&str; 2] = [
    "/usr/lib/mythic/libmythic_geyser_plugin.so",
    "/usr/lib/mythic/libmythic_geyser_plugin_v1_18.so",
];
const WITHOUT_PLUGIN: &str =
    "follow its RPC instead: `source = \"rpc\"` in indexer.toml needs no plugin";

/// Look for what would keep a validator from loading the Geyser plugin, without loading it: another release of the validator or of
/// its compiler, no RPC, a wrong configuration, a spool that can't be written. Exit code 6 if something is wrong, 7 if
/// something could not be found out
#[derive(Args, Debug)]
pub struct Plugin {
    /// The validator's program, agave-validator for example; it is run with --version
    #[arg(long, value_name = "PATH")]
    validator: PathBuf,
    /// The plugin's JSON5 file, as the validator is given it [default: /etc/mythic/geyser-plugin.json5 if it is there]
    #[arg(long, value_name = "FILE")]
    plugin_config: Option<PathBuf>,
    /// What starts the validator: a script or a systemd unit [default: the command line of the one that runs]
    #[arg(long, value_name = "FILE", conflicts_with = "pid")]
    start_script: Option<PathBuf>,
    /// The running validator's process
    #[arg(long, value_name = "N")]
    pid: Option<u32>,
    /// Print JSON lines
    #[arg(long)]
    json: bool,
}

/// What is known of the validator's program.
struct Validator {
    release: Option<Release>,
    binary: Option<Binary>,
}

/// Runs the checks.
pub async fn run(plugin: Plugin) -> Result<()> {
    let mut findings = Vec::new();
    let validator = validator(&plugin.validator, &mut findings).await;
    let packaged = Path::new("/etc/mythic/geyser-plugin.json5");
    let file = plugin
        .plugin_config
        .clone()
        .or_else(|| packaged.is_file().then(|| packaged.to_owned()));
    let config = file.as_deref().and_then(|file| config(file, &mut findings));
    let named = file.as_deref().and_then(library_in);
    library(&validator, named, &mut findings);
    let started = started(&plugin, &mut findings);
    findings.push(flags::rpc(validator.release.as_ref(), started.as_ref()));
    if let Some(started) = &started {
        findings.push(flags::loads(started, file.as_deref()));
    }
    match config {
        Some(config) => {
            findings.push(owners(&config));
            let user = started.and_then(|started| started.user);
            findings.extend(disk::check(config, user).await);
        }
        None if file.is_none() => findings.push(
            Finding::new("config", Verdict::Note, "not looked at: none is named")
                .fix("pass --plugin-config FILE"),
        ),
        None => {}
    }
    finding::tell(&findings, plugin.json)
}

/// Reads the program, then asks it.
async fn validator(path: &Path, findings: &mut Vec<Finding>) -> Validator {
    const WHAT: &str = "validator";
    let shown = path.display();
    let binary = match Binary::open(path) {
        Ok(binary) => binary,
        Err(Unreadable::Script) => {
            findings.push(Finding::bad(
                WHAT,
                format!("{shown} is a script; what it starts can't be told from it"),
                "name the program itself, and this file with --start-script",
            ));
            return Validator {
                release: None,
                binary: None,
            };
        }
        Err(error) => {
            let fix = "name the validator's program, such as $(which agave-validator)";
            findings.push(Finding::bad(WHAT, format!("{shown}: {error}"), fix));
            return Validator {
                release: None,
                binary: None,
            };
        }
    };
    let release = match release::ask(path).await {
        Ok(release) if release.loads_no_plugins() => {
            let detail = format!("{release} loads no Geyser plugins");
            findings.push(Finding::bad(WHAT, detail, WITHOUT_PLUGIN));
            None
        }
        Ok(release) => {
            findings.push(Finding::good(WHAT, format!("{release} at {shown}")));
            Some(release)
        }
        Err(reason) => {
            findings.push(Finding::unknown(
                WHAT,
                format!("which release {shown} is can't be told: {reason}"),
                "name a validator's program that runs on this machine",
            ));
            None
        }
    };
    Validator {
        release,
        binary: Some(binary),
    }
}

/// A configuration is a small file; anything else is not read.
fn readable(file: &Path) -> Result<(), String> {
    let open = super::binary::open_file(file).map_err(|error| error.to_string())?;
    let length = open.metadata().map_err(|error| error.to_string())?.len();
    match length > 1 << 20 {
        true => Err("longer than 1 MiB".into()),
        false => Ok(()),
    }
}

fn config(file: &Path, findings: &mut Vec<Finding>) -> Option<PluginConfig> {
    const WHAT: &str = "config";
    let checked = readable(file)
        .map_err(|reason| format!("{}: {reason}", file.display()))
        .and_then(|()| check_config(file).map_err(|error| error.to_string()));
    match checked {
        Ok(config) => {
            let detail = format!("{} would be taken", file.display());
            findings.push(Finding::good(WHAT, detail));
            Some(config)
        }
        Err(reason) => {
            let fix = "mend the key that it names; the operator's guide lists all of them";
            findings.push(Finding::bad(WHAT, reason, fix));
            None
        }
    }
}

/// `libpath`, also of a file whose other keys are wrong.
fn library_in(file: &Path) -> Option<PathBuf> {
    readable(file).ok()?;
    let text = std::fs::read_to_string(file).ok()?;
    let value: serde_json::Value = json5::from_str(&text).ok()?;
    let path = Path::new(value.get("libpath")?.as_str()?);
    // As validators have it: from the file's own folder.
    Some(match file.parent() {
        Some(dir) if path.is_relative() => dir.join(path),
        _ => path.to_owned(),
    })
}

fn library(validator: &Validator, named: Option<PathBuf>, findings: &mut Vec<Finding>) {
    const WHAT: &str = "library";
    let beside = std::env::current_exe().ok();
    let beside = beside.map(|exe| exe.with_file_name("libmythic_geyser_plugin.so"));
    let known = LIBRARIES.iter().map(PathBuf::from).chain(beside);
    let Some(path) = named.or_else(|| known.into_iter().find(|path| path.is_file())) else {
        findings.push(Finding::unknown(
            WHAT,
            "no plugin is named, and none is installed",
            "pass --plugin-config FILE with libpath in it, or install the package mythic-geyser-plugin",
        ));
        return;
    };
    let shown = path.display();
    let fix = "install the package mythic-geyser-plugin, and name its library in libpath";
    let library = match Binary::open(&path) {
        Ok(library) => library,
        Err(error) => return findings.push(Finding::bad(WHAT, format!("{shown}: {error}"), fix)),
    };
    let processor = validator.binary.as_ref().map(Binary::machine);
    if processor.is_some_and(|machine| machine != library.machine()) {
        let detail = format!("{shown} is for another kind of processor than the validator");
        return findings.push(Finding::bad(WHAT, detail, fix));
    }
    let note = Note::of(&library).filter(|_| library.exports("_create_plugin"));
    let Some(note) = note else {
        let detail = format!("{shown} is no Geyser plugin of Mythic, or of a release before 0.1.0");
        return findings.push(Finding::bad(WHAT, detail, fix));
    };
    let (of, interface) = &note.interface;
    let detail = format!(
        "{shown}: {} for {of} {interface}, {}",
        note.version, note.rustc
    );
    findings.push(Finding::good(WHAT, detail));
    if let Some(release) = &validator.release {
        findings.push(self::interface(release, &note));
    }
    if let Some(binary) = &validator.binary {
        findings.push(rustc(&binary.rustc(), &note.rustc));
    }
}

/// Whether both speak the same interface.
fn interface(release: &Release, note: &Note) -> Finding {
    const WHAT: &str = "interface";
    let (of, version) = &note.interface;
    // Builds of others add to the number: 4.2.2-jito.
    let plain = release.version.split(['-', '+']).next().unwrap_or_default();
    if plain == version {
        return Finding::good(WHAT, format!("both are of {version}"));
    }
    let detail = format!(
        "the validator is {release}, the plugin was built against {of} {version}: they lay out what they share in different ways, and the validator may crash"
    );
    let fix = match plain.starts_with("1.18.") {
        true => "use the library of the package mythic-geyser-plugin-1.18, for 1.18.26".into(),
        false => format!(
            "run a validator of {version}, or build the plugin against {plain} (`apt show` says what a package fits); {WITHOUT_PLUGIN}"
        ),
    };
    Finding::bad(WHAT, detail, fix)
}

/// Whether one compiler made both.
fn rustc(validator: &BTreeSet<Rustc>, plugin: &Rustc) -> Finding {
    const WHAT: &str = "rustc";
    let fix = format!(
        "build the validator with {plugin}, or the plugin with the validator's compiler (rust-toolchain.toml)"
    );
    let named: Vec<String> = validator.iter().map(Rustc::to_string).collect();
    let named = named.join(", ");
    let same: Vec<Option<bool>> = validator.iter().map(|one| one.is(plugin)).collect();
    match () {
        () if same.is_empty() => Finding::unknown(
            WHAT,
            "the validator's program does not say which rustc made it: its signature and its paths were taken out",
            fix,
        ),
        () if same.iter().all(|same| *same == Some(true)) => {
            Finding::good(WHAT, format!("both were made by {plugin}"))
        }
        () if same.contains(&Some(true)) => Finding::unknown(
            WHAT,
            format!("parts of the validator were made by different compilers: {named}"),
            fix,
        ),
        () if same.contains(&None) => Finding::unknown(
            WHAT,
            format!("{named} and {plugin} can't be compared: too little is known of one"),
            fix,
        ),
        () => Finding::bad(
            WHAT,
            format!(
                "the validator was made by {named}, the plugin by {plugin}: they lay out what they share in different ways, and the validator may crash"
            ),
            fix,
        ),
    }
}

fn started(plugin: &Plugin, findings: &mut Vec<Finding>) -> Option<Started> {
    const WHAT: &str = "start";
    let found = match (&plugin.start_script, plugin.pid) {
        (Some(script), _) => Some(Started::script(script)),
        (None, Some(id)) => Some(Started::process(id)),
        (None, None) => match flags::running(&plugin.validator).as_slice() {
            [] => None,
            [id] => Some(Started::process(*id)),
            ids => {
                let detail = format!("{} processes run this program: {ids:?}", ids.len());
                findings.push(Finding::unknown(WHAT, detail, "pick one with --pid"));
                None
            }
        },
    };
    match found? {
        Ok(started) => {
            if started.replaced {
                findings.push(
                    Finding::new(
                        WHAT,
                        Verdict::Note,
                        format!("{} runs a program that was replaced on disk since", started.by),
                    )
                    .fix("what is said of the release is of the program on disk, which the next start runs"),
                );
            }
            Some(started)
        }
        Err(reason) => {
            findings.push(Finding::bad(WHAT, reason, "name another one"));
            None
        }
    }
}

/// An index takes the accounts of both programs, and refuses what was streamed under another filter.
fn owners(config: &PluginConfig) -> Finding {
    const WHAT: &str = "owners";
    let programs = PROGRAMS.map(|program| bs58::encode(program).into_string());
    let fix = format!("owners: [\"{}\"]", programs.join("\", \""));
    let named = |program: &str| config.owners.iter().any(|owner| owner == program);
    let is_ours = |owner: &str| programs.iter().any(|program| program == owner);
    let missing: Vec<&str> = programs
        .iter()
        .map(String::as_str)
        .filter(|program| !named(program))
        .collect();
    let strangers: Vec<&str> = config
        .owners
        .iter()
        .map(String::as_str)
        .filter(|owner| !is_ours(owner))
        .collect();
    match (strangers.as_slice(), missing.as_slice()) {
        ([], []) => Finding::good(WHAT, programs.join(", ")),
        ([], missing) => Finding::bad(
            WHAT,
            format!(
                "{} is missing: an index refuses what comes under another filter",
                missing.join(", ")
            ),
            fix,
        ),
        (strangers, missing) if missing.len() == PROGRAMS.len() => Finding::bad(
            WHAT,
            format!("{} is no program of Mythic", strangers.join(", ")),
            fix,
        ),
        (strangers, _) => Finding::bad(
            WHAT,
            format!(
                "{} beside the programs: an index refuses what comes under another filter",
                strangers.join(", ")
            ),
            fix,
        ),
    }
}
