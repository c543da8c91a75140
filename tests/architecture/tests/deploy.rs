//! What operators are given (`deploy/`) fits what the processes do: metrics, alarms, states, settings, versions.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use mythic_architecture::root;
use serde_json::Value;

/// Where metrics are registered, and what goes before names that don't say their process.
const METRICS: [(&str, &str); 8] = [
    ("api/src/metrics.rs", ""),
    ("inference/node/src/meters.rs", ""),
    ("devnet/src/metrics.rs", "mythic_devnet_"),
    ("indexer/src/telemetry.rs", "mythic_indexer_"),
    ("settler/src/metrics.rs", "mythic_settler_"),
    ("telegram-bot/src/metrics.rs", "mythic_bot_"),
    ("provider/src/meters.rs", "mythic_provider_"),
    ("geyser-plugin/core/src/metrics.rs", "mythic_plugin_"),
];

fn text(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn files(folder: &str, end: &str) -> Vec<PathBuf> {
    let found = std::fs::read_dir(root().join(folder)).expect("a folder");
    let mut files: Vec<PathBuf> = found.map(|file| file.unwrap().path()).collect();
    files.retain(|path| path.to_string_lossy().ends_with(end));
    files.sort();
    files
}

/// Names of metrics in the source of a process: a name in quotes, then its help, which begins like a sentence.
fn registered_in(source: &str, prefix: &str) -> BTreeSet<String> {
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    let is_name =
        |text: &str| text.len() > 2 && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    let pieces: Vec<&str> = source.split('"').collect();
    let mut names: BTreeSet<String> = pieces
        .windows(3)
        .filter(|three| {
            let begins_a_sentence = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit();
            is_name(three[0]) && three[1].trim() == "," && three[2].starts_with(begins_a_sentence)
        })
        .map(|three| match three[0].starts_with("mythic_") {
            true => three[0].to_owned(),
            false => format!("{prefix}{}", three[0]),
        })
        .collect();
    // Written as text, without a library.
    let typed = source.split("# TYPE ").skip(1).filter_map(words);
    names.extend(typed.filter(|name| name.starts_with("mythic_") && name.len() > prefix.len()));
    names
}

/// The first name of a text.
fn words(text: &str) -> Option<String> {
    let end = text.find(|c: char| !(c.is_ascii_lowercase() || c == '_'));
    text.get(..end.unwrap_or(text.len())).map(str::to_owned)
}

fn registered() -> BTreeSet<String> {
    METRICS
        .iter()
        .flat_map(|(file, prefix)| {
            let found = registered_in(&text(file), prefix);
            assert!(found.len() > 3, "{file}: {found:?}");
            found
        })
        .collect()
}

/// Metrics that a text names; a part of a histogram counts as the histogram.
fn used(text: &str, known: &BTreeSet<String>) -> BTreeSet<String> {
    let at = text.match_indices("mythic_").map(|(at, _)| at);
    at.filter_map(|at| words(&text[at..]))
        .map(|name| {
            let parts = ["_bucket", "_sum", "_count"];
            let whole = parts.iter().find_map(|part| name.strip_suffix(part));
            whole
                .filter(|whole| known.contains(*whole))
                .map_or(name.clone(), str::to_owned)
        })
        .collect()
}

/// Rows of a table of docs/deploy.md: what is in quotes in the first column.
fn rows(heading: &str) -> BTreeSet<String> {
    let page = text("docs/deploy.md");
    let section = page
        .split(&format!("\n## {heading}\n"))
        .nth(1)
        .and_then(|rest| rest.split("\n## ").next())
        .unwrap_or_else(|| panic!("no section {heading}"))
        .to_owned();
    let first = |line: &str| {
        Some(
            line.strip_prefix("| `")?
                .split(['`', '{'])
                .next()?
                .to_owned(),
        )
    };
    section.lines().filter_map(first).collect()
}

/// Alerts with their lines.
fn alerts() -> BTreeMap<String, String> {
    let rules = text("deploy/prometheus/rules.yml");
    let one = rules.split("- alert: ").skip(1);
    one.filter_map(|rule| {
        let (name, rest) = rule.split_once('\n')?;
        Some((name.to_owned(), rest.to_owned()))
    })
    .collect()
}

/// `promtool`, or no check where it is missing; a machine that judges commits must have it.
fn promtool(args: &[&str]) {
    let output = match Command::new("promtool")
        .args(args)
        .current_dir(root().join("deploy/prometheus"))
        .output()
    {
        Ok(output) => output,
        Err(error) if std::env::var_os("CI").is_none() => {
            // What `eprintln!` says is kept back where a test passes, and this one was not played.
            let said = format!(
                "SKIPPED: promtool {args:?} ({error}); Debian's package prometheus has it\n"
            );
            std::io::stderr()
                .write_all(said.as_bytes())
                .expect("standard error");
            return;
        }
        Err(error) => panic!("promtool: {error}; Debian's package prometheus has it"),
    };
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "promtool {args:?}:\n{said}");
}

#[test]
fn rules_and_dashboards_ask_only_for_what_is_measured() {
    let known = registered();
    assert!(known.len() > 80, "{} metrics were found", known.len());
    let mut asked = files("deploy/grafana", ".json");
    asked.extend(files("deploy/prometheus", ".yml"));
    assert!(asked.len() > 5);
    for file in asked {
        let used = used(&text(&file), &known);
        let unknown: Vec<_> = used.difference(&known).collect();
        assert!(unknown.is_empty(), "{}: {unknown:?}", file.display());
    }
}

#[test]
fn every_metric_has_a_row_and_every_row_a_metric() {
    assert_eq!(registered(), rows("Metrics"));
}

#[test]
fn every_metric_is_on_a_dashboard() {
    let known = registered();
    let dashboards: String = files("deploy/grafana", ".json").iter().map(text).collect();
    let shown = used(&dashboards, &known);
    let missing: Vec<_> = known.difference(&shown).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_alert_has_a_row_and_leads_to_a_heading() {
    let alerts = alerts();
    assert_eq!(
        alerts.keys().cloned().collect::<BTreeSet<_>>(),
        rows("Alerts")
    );
    for (name, rule) in &alerts {
        assert!(rule.contains("summary: "), "{name} has no summary");
        let book = rule
            .split("runbook_url: '")
            .nth(1)
            .and_then(|rest| rest.split('\'').next());
        let (page, heading) = book
            .and_then(|book| book.split_once('#'))
            .unwrap_or_else(|| panic!("{name} leads nowhere"));
        let slug = |line: &str| {
            let words = line.trim_start_matches('#').trim().to_lowercase();
            let kept = words
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            kept.map(|c| if c == ' ' { '-' } else { c })
                .collect::<String>()
        };
        let found = text(page)
            .lines()
            .any(|line| line.starts_with('#') && slug(line) == heading);
        assert!(found, "{name}: {page}#{heading}");
    }
}

#[test]
fn every_alarm_and_every_state_of_health_has_an_alert_and_a_row_in_the_guide() {
    let guide = text("docs/operator-guide.md");
    let rules = text("deploy/prometheus/rules.yml");
    let alarms = text("indexer/src/alarms.rs");
    let kinds: Vec<&str> = alarms
        .split("=> \"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .take_while(|kind| kind.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
        .collect();
    assert!(kinds.len() >= 10, "{kinds:?}");
    for kind in kinds {
        assert!(rules.contains(&format!("kind=\"{kind}\"")), "alarm {kind}");
    }
    let probe = text("api/src/http/probe.rs");
    let states = probe
        .split("pub fn states(&self)")
        .nth(1)
        .and_then(|rest| rest.split("\n    }\n").next())
        .expect("the table of states");
    let mut count = 0;
    for entry in states.split("&[").skip(1) {
        let before = states.split(entry).next().unwrap_or_default();
        let component = before.rsplit('"').nth(1).expect("a component");
        for state in entry
            .split(']')
            .next()
            .unwrap_or_default()
            .split('"')
            .skip(1)
            .step_by(2)
        {
            if state != "ok" {
                count += 1;
                let asked = format!("component=\"{component}\",state=\"{state}\"");
                assert!(rules.contains(&asked), "{asked}");
                let row = format!("\n| `{component}` | `{state}` | ");
                assert!(guide.contains(&row), "no row of the guide is {row}");
            }
        }
    }
    assert!(count >= 17, "{count} states were found");
}

#[test]
fn rules_are_sound_and_fire_when_they_should() {
    promtool(&["check", "rules", "rules.yml"]);
    promtool(&["check", "config", "--syntax-only", "prometheus.yml"]);
    promtool(&["test", "rules", "rules-test.yml"]);
    let tested = text("deploy/prometheus/rules-test.yml");
    for name in alerts().keys() {
        assert!(tested.contains(&format!("name: {name} fires")), "{name}");
    }
}

#[test]
fn what_dashboards_ask_is_sound() {
    fn questions(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                found.extend(
                    fields
                        .get("expr")
                        .and_then(Value::as_str)
                        .map(str::to_owned),
                );
                fields.values().for_each(|value| questions(value, found));
            }
            Value::Array(list) => list.iter().for_each(|value| questions(value, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    for file in files("deploy/grafana", ".json") {
        let dashboard: Value = serde_json::from_str(&text(&file)).expect("JSON");
        assert!(dashboard["uid"].is_string() && dashboard["title"].is_string());
        questions(&dashboard, &mut found);
    }
    assert!(found.len() > 60, "{} questions", found.len());
    let mut rules = String::from("groups:\n- name: dashboards\n  rules:\n");
    for (number, question) in found.iter().enumerate() {
        let question = question.replace("$instance", ".*").replace('\'', "''");
        rules += &format!("  - record: q{number}\n    expr: '{question}'\n");
    }
    let file = std::env::temp_dir().join(format!("mythic-dashboards-{}.yml", std::process::id()));
    std::fs::write(&file, rules).unwrap();
    promtool(&["check", "rules", "--lint=none", &file.display().to_string()]);
    std::fs::remove_file(file).unwrap();
}

#[test]
fn every_service_has_a_user_a_configuration_keys_and_no_rights() {
    let users = text("deploy/debian/sysusers.conf");
    let folders = text("deploy/debian/tmpfiles.conf");
    let page = text("docs/deploy.md");
    let units = files("deploy/systemd", ".service");
    assert_eq!(units.len(), 7);
    for file in units {
        let unit = text(&file);
        let service = file.file_stem().unwrap().to_string_lossy().into_owned();
        let name = service.strip_prefix("mythic-").expect("a name of ours");
        let one = |key: &str| {
            let line = unit
                .lines()
                .find_map(|line| line.strip_prefix(&format!("{key}=")));
            line.unwrap_or_else(|| panic!("{service} has no {key}"))
        };
        let config = format!("/etc/mythic/{name}.toml");
        // What a command has beside it is asked for by a word of its own.
        let command = match name {
            "provider" => "provider run",
            name => name,
        };
        assert!(one("ExecStart").ends_with(&format!(" {command} --config {config}")));
        assert!(one("ExecStartPre").contains(&config));
        assert!(root().join(format!("deploy/config/{name}.toml")).exists());
        assert_eq!(one("User"), service);
        assert!(
            users.contains(&format!("u {service} - ")),
            "{service} has no user"
        );
        assert!(
            page.contains(&format!("| `{service}` |")),
            "{service} has no row"
        );
        if let Some(keys) = unit
            .lines()
            .find_map(|line| line.strip_prefix("LoadCredential=keys:"))
        {
            assert_eq!(keys, format!("/etc/mythic/keys/{name}"));
            assert!(folders.contains(&format!("d {keys} 0700 root root")));
        }
        for (key, value) in [
            ("Type", "notify"),
            ("WatchdogSec", "60"),
            ("Restart", "always"),
            ("NoNewPrivileges", "yes"),
            ("CapabilityBoundingSet", ""),
            ("ProtectSystem", "strict"),
            ("UMask", "0077"),
        ] {
            assert_eq!(one(key), value, "{service}: {key}");
        }
        // A stop finishes what runs before systemd's patience ends.
        let settings: toml::Table = text(format!("deploy/config/{name}.toml")).parse().unwrap();
        let timing = settings
            .get("timing")
            .and_then(toml::Value::as_table)
            .unwrap_or(&settings);
        let seconds = |key: &str| {
            timing
                .get(key)
                .and_then(toml::Value::as_integer)
                .unwrap_or(0)
        };
        let stop: i64 = one("TimeoutStopSec").parse().unwrap();
        assert!(
            seconds("unready_seconds") + seconds("drain_seconds") + 10 < stop,
            "{service}"
        );
    }
}

/// A service of the compose file.
fn service(compose: &str, name: &str) -> String {
    let from = compose
        .split(&format!("\n  {name}:\n"))
        .nth(1)
        .unwrap_or_else(|| panic!("no service {name}"));
    let own = from
        .lines()
        .take_while(|line| line.starts_with("    ") || line.is_empty());
    own.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_indexer_of_the_compose_file_writes_into_mounted_directories() {
    let source = text("indexer/src/config.rs");
    let keys = source
        .split("pub struct IndexerConfig {")
        .nth(1)
        .and_then(|rest| rest.split("\n}\n").next())
        .expect("the struct");
    let directories: Vec<&str> = keys
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pub ")?.split_once(": "))
        .filter(|(_, kind)| kind.contains("PathBuf"))
        .map(|(key, _)| key)
        .collect();
    assert!(directories.len() >= 3, "{directories:?}");
    let indexer = service(&text("deploy/docker/compose.yaml"), "indexer");
    let image = text("deploy/docker/Dockerfile");
    let made = image
        .lines()
        .find(|line| line.contains("install -d"))
        .expect("directories of the image");
    for key in directories {
        let variable = format!("MYTHIC_INDEXER__{}: ", key.to_uppercase());
        let path = indexer
            .lines()
            .find_map(|line| line.trim().strip_prefix(&variable))
            .unwrap_or_else(|| panic!("the indexer is given no {variable}"));
        let target = format!("target: {path} }}");
        let mount = indexer
            .lines()
            .find(|line| line.ends_with(&target))
            .unwrap_or_else(|| panic!("{variable}{path} is not mounted, or not to be written"));
        // A volume has the owner of the image's directory.
        let owned = made.split_whitespace().any(|word| word == path);
        assert!(
            owned || mount.contains("type: bind"),
            "no {path} in the image"
        );
    }
}

#[test]
fn the_provider_of_the_compose_file_keeps_its_promises_in_a_volume() {
    let provider = service(&text("deploy/docker/compose.yaml"), "provider");
    let one = |key: &str| {
        let line = provider
            .lines()
            .find_map(|line| line.trim().strip_prefix(key));
        line.unwrap_or_else(|| panic!("the provider is given no {key}"))
            .trim()
            .to_owned()
    };
    for key in ["MYTHIC_PROVIDER__DATA_DIR:", "XDG_CACHE_HOME:"] {
        assert!(one(key).starts_with("/provider/"), "{key} {}", one(key));
    }
    assert!(provider.contains("type: volume, source: provider, target: /provider }"));
    // A volume has the owner of the image's directory.
    let image = text("deploy/docker/Dockerfile");
    let made = image
        .lines()
        .find(|line| line.contains("install -d"))
        .expect("directories of the image");
    assert!(made.split_whitespace().any(|word| word == "/provider"));
}

#[test]
fn the_bot_of_the_compose_file_keeps_its_links_in_a_volume() {
    let bot = service(&text("deploy/docker/compose.yaml"), "bot");
    assert!(bot.contains("MYTHIC_BOT__DATABASE: /bot/"));
    assert!(bot.contains("type: volume, source: bot, target: /bot }"));
    // A volume has the owner of the image's directory.
    let image = text("deploy/docker/Dockerfile");
    let made = image
        .lines()
        .find(|line| line.contains("install -d"))
        .expect("directories of the image");
    assert!(made.split_whitespace().any(|word| word == "/bot"));
}

/// Variables of an env file that a text names: `MYTHIC_…`, after each of the marks.
fn variables(text: &str, mark: &str) -> BTreeSet<String> {
    let after = text
        .split(mark)
        .skip(1)
        .filter(|rest| rest.starts_with("MYTHIC_"));
    let name = |rest: &str| {
        let end = rest.find(|c: char| !(c.is_ascii_uppercase() || c == '_'));
        rest[..end.unwrap_or(rest.len())].to_owned()
    };
    after.map(name).collect()
}

#[test]
fn what_the_page_says_of_the_compose_files_variables_is_handed_on_and_the_other_way_round() {
    let compose = text("deploy/docker/compose.yaml");
    let mut taken = variables(&compose, "${");
    // A key alone is handed on as it is.
    let alone = compose
        .lines()
        .filter_map(|line| line.trim().strip_suffix(':'));
    let alone = alone.filter(|key| key.starts_with("MYTHIC_"));
    taken.extend(alone.map(str::to_owned));
    assert!(taken.len() >= 9, "{taken:?}");
    let page = text("docs/deploy.md");
    let told = page
        .split("\n## Install with containers\n")
        .nth(1)
        .and_then(|rest| rest.split("\n## ").next())
        .expect("the section");
    assert_eq!(variables(told, "`"), taken);
}

#[test]
fn packages_name_the_releases_that_they_are_made_of() {
    let workspace: toml::Table = text("Cargo.toml").parse().unwrap();
    let version = workspace["workspace"]["package"]["version"]
        .as_str()
        .unwrap();
    let agave = workspace["workspace"]["dependencies"]["agave-geyser-plugin-interface"]
        .as_str()
        .unwrap();
    let toolchain: toml::Table = text("rust-toolchain.toml").parse().unwrap();
    let rustc = toolchain["toolchain"]["channel"].as_str().unwrap();
    let solana: toml::Table = text("geyser-plugin/v1_18/Cargo.toml").parse().unwrap();
    let solana = solana["dependencies"]["solana-geyser-plugin-interface"]
        .as_str()
        .unwrap();
    for (folder, name, interface) in [("agave", "Agave", agave), ("v1_18", "Solana", solana)] {
        let interface = interface.trim_start_matches('=');
        let source = text(format!("geyser-plugin/{folder}/src/plugin.rs"));
        let said = format!("INTERFACE_VERSION: &str = \"{interface}\";");
        assert!(source.contains(&said), "{folder} does not say: {said}");
        // Whatever the lines are broken at.
        let plugin = text(format!("geyser-plugin/{folder}/Cargo.toml")).replace('\n', " ");
        let said = format!("{name} {interface} that were built with rustc {rustc}.");
        assert!(
            plugin.contains(&said),
            "the plugin's package does not say: {said}"
        );
    }
    let example = text("deploy/config/geyser-plugin.json5");
    assert_eq!(
        text("geyser-plugin/v1_18/geyser-plugin-1.18.json5"),
        example.replace("geyser_plugin.so", "geyser_plugin_v1_18.so"),
        "the packages' configurations differ in the library alone"
    );
    let changelog = text("deploy/debian/changelog");
    assert!(
        changelog.starts_with(&format!("mythic ({version}")),
        "deploy/debian/changelog is of another release"
    );
    let image = text("deploy/docker/Dockerfile");
    assert!(
        image.contains(&format!("rust:{rustc}-")),
        "the image is built with another rustc"
    );
}
