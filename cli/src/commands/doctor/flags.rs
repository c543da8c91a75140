//! What a validator was started with: the command line of the one that runs, or that of a script or a service's file.

use super::{
    binary::open_file,
    finding::{Finding, Verdict},
    release::Release,
};
use std::{
    fs,
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Longest command line or script that is read, in bytes.
const MAX_BYTES: u64 = 1 << 20;
/// Most processes that are looked at.
const MAX_PROCESSES: usize = 100_000;

/// A start, as it was or is to be.
#[derive(Debug)]
pub struct Started {
    /// Which one, in words.
    pub by: String,
    words: Vec<String>,
    /// Whose the process is: user, and groups.
    pub user: Option<(u32, Vec<u32>)>,
    /// The program on disk is another one by now.
    pub replaced: bool,
}

fn read(path: &Path) -> Result<String, String> {
    let say = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let file = open_file(path).map_err(|error| say(&error))?;
    let mut bytes = Vec::new();
    let read = file.take(MAX_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|error| say(&error))?;
    match bytes.len() as u64 > MAX_BYTES {
        true => Err(say(&"longer than 1 MiB")),
        false => Ok(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

/// Processes that run this program.
pub fn running(program: &Path) -> Vec<u32> {
    let Ok(wanted) = fs::metadata(program) else {
        return Vec::new();
    };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.take(MAX_PROCESSES)
        .filter(|id| {
            let exe = fs::metadata(format!("/proc/{id}/exe"));
            exe.is_ok_and(|exe| (exe.dev(), exe.ino()) == (wanted.dev(), wanted.ino()))
        })
        .collect()
}

impl Started {
    /// Of a process.
    pub fn process(id: u32) -> Result<Self, String> {
        let dir = PathBuf::from(format!("/proc/{id}"));
        if !dir.is_dir() {
            return Err(format!("no process has the number {id}"));
        }
        let line = read(&dir.join("cmdline"))?;
        let exe = fs::read_link(dir.join("exe")).unwrap_or_default();
        let status = read(&dir.join("status")).unwrap_or_default();
        let numbers = |key: &str| -> Vec<u32> {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            let words = line.unwrap_or_default().split_whitespace();
            words.filter_map(|word| word.parse().ok()).collect()
        };
        let mut groups = numbers("Groups:");
        groups.extend(numbers("Gid:").get(1));
        Ok(Self {
            by: format!("process {id}"),
            words: line.split('\0').map(str::to_owned).collect(),
            user: numbers("Uid:").get(1).map(|user| (*user, groups)),
            replaced: exe.to_string_lossy().ends_with(" (deleted)"),
        })
    }

    /// Of a shell script, or of a unit of systemd.
    pub fn script(path: &Path) -> Result<Self, String> {
        Ok(Self {
            by: path.display().to_string(),
            words: words(&read(path)?),
            user: None,
            replaced: false,
        })
    }

    fn has(&self, option: &str) -> bool {
        self.words.iter().any(|word| word == option)
    }

    /// The values of an option, wherever it stands.
    fn values(&self, option: &str) -> Vec<&str> {
        let mut values = Vec::new();
        let mut words = self.words.iter().map(String::as_str).peekable();
        while let Some(word) = words.next() {
            if let Some(value) = word
                .strip_prefix(option)
                .and_then(|rest| rest.strip_prefix('='))
            {
                values.push(value);
            } else if word == option {
                // Several may follow.
                while let Some(value) = words.next_if(|next| !next.starts_with("--")) {
                    values.push(value);
                }
            }
        }
        values
    }
}

/// The words of a script: quotes are taken off, comments left out. Variables stay as they are.
fn words(script: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut chars = script.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\\', None | Some('"')) => match chars.next() {
                // The line goes on.
                Some('\n') | None => {}
                Some(next) => word.get_or_insert_default().push(next),
            },
            (c, Some(open)) if c == open => quote = None,
            (c, Some(_)) => word.get_or_insert_default().push(c),
            ('"' | '\'', None) => {
                word.get_or_insert_default();
                quote = Some(c);
            }
            ('#', None) if word.is_none() => while chars.next_if(|c| *c != '\n').is_some() {},
            // A command ends: what follows is no value of its last option.
            ('\n' | '(' | ')' | ';' | '|' | '&', None) => {
                words.extend(word.take());
                words.push("--".into());
            }
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, None) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// Whether the validator tells what is confirmed and final: it does with RPC alone.
pub fn rpc(release: Option<&Release>, started: Option<&Started>) -> Finding {
    const WHAT: &str = "rpc";
    if release.is_some_and(|release| release.name == "solana-test-validator") {
        return Finding::good(WHAT, "a test validator always has one");
    }
    let Some(started) = started else {
        return Finding::new(
            WHAT,
            Verdict::Note,
            "not looked at: the validator does not run. Without --rpc-port it tells a plugin nothing of what is processed, confirmed or final",
        )
        .fix("name what starts it: --start-script FILE, or --pid N");
    };
    let by = &started.by;
    let port = started.values("--rpc-port").into_iter().next();
    let usable =
        |port: &str| port.starts_with('$') || port.parse::<u16>().is_ok_and(|port| port > 0);
    match port {
        None => Finding::bad(
            WHAT,
            format!(
                "{by} has no --rpc-port: a validator without RPC tells a plugin nothing of what is processed, confirmed or final, and nothing becomes final in the index"
            ),
            "start it with `--rpc-port 8899 --rpc-bind-address 127.0.0.1 --private-rpc`",
        ),
        Some(port) if !usable(port) => Finding::bad(
            WHAT,
            format!("{by} has --rpc-port {port:?}, which is no port"),
            "give it a number from 1 to 65535",
        ),
        Some(port) if !started.has("--full-rpc-api") => Finding::new(
            WHAT,
            Verdict::Note,
            format!(
                "{by} has --rpc-port {port}, which is all that a plugin needs; without --full-rpc-api gateway, settler and `mythic indexer heal` can't use it"
            ),
        )
        .fix("add --full-rpc-api, or give those another RPC"),
        Some(port) => Finding::good(WHAT, format!("{by} has --rpc-port {port} --full-rpc-api")),
    }
}

/// Whether the validator is told of the plugin.
pub fn loads(started: &Started, config: Option<&Path>) -> Finding {
    const WHAT: &str = "loads";
    let by = &started.by;
    let named = started.values("--geyser-plugin-config");
    if named.is_empty() {
        return Finding::new(
            WHAT,
            Verdict::Note,
            format!("{by} has no --geyser-plugin-config: it loads no plugin"),
        )
        .fix("add `--geyser-plugin-config FILE` and start it again: a start alone sends all accounts");
    }
    let whole = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    match config {
        Some(config)
            if !named
                .iter()
                .any(|path| whole(Path::new(path)) == whole(config)) =>
        {
            Finding::new(
                WHAT,
                Verdict::Note,
                format!("{by} loads {}, not {}", named.join(", "), config.display()),
            )
            .fix("check the file that it loads, or name this one there")
        }
        _ => Finding::good(WHAT, format!("{by} loads {}", named.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(script: &str) -> Started {
        Started {
            by: "it".into(),
            words: words(script),
            user: None,
            replaced: false,
        }
    }

    #[test]
    fn options_are_found_as_shells_and_systemd_have_them() {
        let script = started(
            "#!/bin/bash\n# --rpc-port 1\nargs=(--ledger /l \\\n  --rpc-port \"88\"99\\\n --full-rpc-api)\nexec agave-validator \"${args[@]}\" --geyser-plugin-config='/a b.json5' --geyser-plugin-config /c /d; echo '# no comment'",
        );
        assert_eq!(script.values("--rpc-port"), ["8899"]);
        assert!(script.has("--full-rpc-api"));
        let configs = script.values("--geyser-plugin-config");
        assert_eq!(configs, ["/a b.json5", "/c", "/d"]);
        let unit = started("[Service]\nExecStart=/usr/bin/agave-validator --rpc-port=8899\n");
        assert_eq!(unit.values("--rpc-port"), ["8899"]);
    }

    #[test]
    fn what_rpc_there_is_is_said() {
        let verdict = |script: &str| rpc(None, Some(&started(script))).told();
        assert_eq!(verdict("v --rpc-port 8899 --full-rpc-api").1, Verdict::Good);
        assert_eq!(
            verdict("v --rpc-port $PORT --full-rpc-api").1,
            Verdict::Good
        );
        let (_, found, said) = verdict("v --rpc-port 8899");
        assert!(
            found == Verdict::Note && said.contains("--full-rpc-api"),
            "{said}"
        );
        let (_, found, said) = verdict("v --full-rpc-api");
        assert!(
            found == Verdict::Bad && said.contains("--rpc-port 8899"),
            "{said}"
        );
        for port in ["0", "70000", "--private-rpc", ""] {
            assert_eq!(verdict(&format!("v --rpc-port {port}")).1, Verdict::Bad);
        }
        let nobody = rpc(None, None).told();
        assert!(nobody.1 == Verdict::Note && nobody.2.contains("--start-script"));
        let test = Release {
            name: "solana-test-validator".into(),
            version: "4.2.2".into(),
        };
        assert_eq!(rpc(Some(&test), None).told().1, Verdict::Good);
    }

    #[test]
    fn whether_the_plugin_is_loaded_is_said() {
        let config = Path::new("/etc/mythic/geyser-plugin.json5");
        let verdict = |script: &str| loads(&started(script), Some(config)).told().1;
        let named = "v --geyser-plugin-config /etc/mythic/geyser-plugin.json5";
        assert_eq!(verdict(named), Verdict::Good);
        assert_eq!(verdict("v --geyser-plugin-config /other"), Verdict::Note);
        assert_eq!(verdict("v"), Verdict::Note);
    }

    #[test]
    fn a_process_says_how_it_was_started() {
        let own = Started::process(std::process::id()).unwrap();
        assert!(own.words.len() > 1 || !own.words[0].is_empty());
        assert!(own.user.is_some() && !own.replaced);
        let exe = std::env::current_exe().unwrap();
        assert!(running(&exe).contains(&std::process::id()));
        assert!(running(Path::new("/nothing")).is_empty());
        assert!(Started::process(u32::MAX).is_err());
    }
}
